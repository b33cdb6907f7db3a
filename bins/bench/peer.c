/* One peer of many in the bench's process; see peer.h. It speaks the protocol between nodes
 * through the project's own codec. What an honest node would not say ends the bench. */

#include "bins/bench/peer.h"

#include <string.h>

#include <zmq.h>

#include "bins/bench/bench.h"

#define PARTS 3
#define TAKE_PER_TURN 256u

void
bench_peer_init (struct bench_peer *p, void *zmq, struct weir_bytes ticket)
{
    uint8_t seed[32];
    struct weir_error e = { 0 };
    memset (p, 0, sizeof *p);
    p->zmq = zmq;
    weir_random (seed, sizeof seed);
    weir_identity_init (&p->device, seed);
    weir_link_key_make (&p->link);
    if (weir_ticket_get (&p->ticket, ticket, &e) != WEIR_OK
        || weir_card_get (&p->inviter, weir_buf_bytes (&p->ticket.card)) != WEIR_OK
        || p->inviter.n_addresses == 0 || p->inviter.n_link_keys == 0) {
        bench_die ("the ticket is not good: %s", e.what);
    }
}

static void
hang_up (struct bench_peer *p)
{
    if (p->socket != NULL) {
        zmq_close (p->socket);
        weir_session_fini (&p->session);
        p->socket = NULL;
    }
}

void
bench_peer_fini (struct bench_peer *p)
{
    hang_up (p);
    weir_ticket_fini (&p->ticket);
    weir_identity_fini (&p->device);
    weir_wipe (p, sizeof *p);
}

/* ---- saying ---- */

static void
say (struct bench_peer *p, uint16_t kind, const ProtobufCMessage *meta)
{
    struct weir_envelope e = { .kind = kind };
    uint8_t envelope[WEIR_ENVELOPE_BYTES];
    struct weir_buf packed = { 0 };
    weir_meta_put (&packed, meta);
    weir_envelope_put (&e, envelope);
    if (zmq_send (p->socket, envelope, sizeof envelope, ZMQ_SNDMORE) < 0
        || zmq_send (p->socket, packed.data, packed.len, ZMQ_SNDMORE) < 0
        || zmq_send (p->socket, NULL, 0, 0) < 0) {
        bench_die ("a peer cannot send: %s", zmq_strerror (zmq_errno ()));
    }
    weir_buf_fini (&packed);
}

static void
say_hello (struct bench_peer *p)
{
    const struct weir_hello *h = &p->session.ours;
    struct weir_buf packed = { 0 };
    Weir__Hello m = WEIR__HELLO__INIT;
    m.has_protocol_min = m.has_protocol_max = m.has_role = m.has_epoch = true;
    m.has_device = m.has_challenge = m.has_exchange_key = true;
    m.protocol_min = h->protocol_min;
    m.protocol_max = h->protocol_max;
    m.role = h->role;
    m.device = weir_field_id (&h->device);
    m.challenge = weir_field_id (&h->challenge);
    m.exchange_key = weir_field_id (&h->exchange_key);
    m.epoch = h->epoch;
    weir_meta_put (&packed, &m.base);
    weir_session_sent (&p->session, weir_buf_bytes (&packed));
    say (p, WEIR_KIND_W_HELLO, &m.base);
    weir_buf_fini (&packed);
}

static void
say_proof (struct bench_peer *p)
{
    struct weir_buf claim = { 0 };
    struct weir_signature signature;
    Weir__Proof m = WEIR__PROOF__INIT;
    weir_session_claim (&p->session, WEIR_INITIATOR, &claim);
    weir_sign (&signature, &p->device, WEIR_SIGN_PROOF, weir_buf_bytes (&claim));
    m.has_signature = true;
    m.signature = weir_field_of (weir_bytes (signature.b, sizeof signature.b));
    say (p, WEIR_KIND_W_PROOF, &m.base);
    weir_session_proof_sent (&p->session);
    weir_buf_fini (&claim);
}

static void
say_join (struct bench_peer *p, struct weir_arena *arena)
{
    struct weir_card card = { .device = p->device.device, .counter = 1, .n_link_keys = 1 };
    struct weir_buf packed = { 0 };
    struct weir_id name;
    ProtobufCMessage *message = NULL;
    Weir__Join m = WEIR__JOIN__INIT;
    card.link_keys[0] = p->link.public_key;
    snprintf (card.name, sizeof card.name, "peer");
    weir_card_put (&packed, &card, &p->device);
    weir_link_key_public (&name, p->ticket.secret);
    if (weir_meta_unpack (&message, arena, &weir__card__descriptor, weir_buf_bytes (&packed))
        != WEIR_OK) {
        bench_die ("a peer's card does not decode");
    }
    m.has_ticket = m.has_name = true;
    m.ticket = weir_field_id (&name);
    m.name = weir_field_str (card.name);
    m.card = (Weir__Card *) message;
    say (p, WEIR_KIND_W_JOIN, &m.base);
    weir_buf_fini (&packed);
}

/* ---- links ---- */

static void
set (void *socket, int option, const void *value, size_t len)
{
    if (zmq_setsockopt (socket, option, value, len) != 0) {
        bench_die ("zmq option %d: %s", option, zmq_strerror (zmq_errno ()));
    }
}

static void
set_int (void *socket, int option, int value)
{
    set (socket, option, &value, sizeof value);
}

static void
dial (struct bench_peer *p, const struct weir_id *public_key, const uint8_t *secret)
{
    const struct weir_id *server = &p->inviter.link_keys[0];
    struct weir_hello hello = { .protocol_min = WEIR_PROTOCOL_MIN,
                                .protocol_max = WEIR_PROTOCOL_MIN, /* it speaks no other */
                                .device = p->device.device };
    weir_random (hello.challenge.b, sizeof hello.challenge.b);
    weir_random (hello.exchange_key.b, sizeof hello.exchange_key.b);
    weir_random (&hello.epoch, sizeof hello.epoch);
    p->greeted = false;
    p->socket = zmq_socket (p->zmq, ZMQ_DEALER);
    if (p->socket == NULL) {
        bench_die ("a peer has no socket: %s", zmq_strerror (zmq_errno ()));
    }
    set_int (p->socket, ZMQ_LINGER, 0);
    set_int (p->socket, ZMQ_HEARTBEAT_IVL, (int) WEIR_HEARTBEAT_MS);
    set_int (p->socket, ZMQ_HEARTBEAT_TIMEOUT, (int) WEIR_HEARTBEAT_TIMEOUT_MS);
    set (p->socket, ZMQ_CURVE_SERVERKEY, server->b, sizeof server->b);
    set (p->socket, ZMQ_CURVE_PUBLICKEY, public_key->b, sizeof public_key->b);
    set (p->socket, ZMQ_CURVE_SECRETKEY, secret, sizeof p->link.secret);
    if (zmq_connect (p->socket, p->inviter.addresses[0]) != 0) {
        bench_die ("a peer cannot dial %s: %s", p->inviter.addresses[0],
                   zmq_strerror (zmq_errno ()));
    }
    weir_session_init (&p->session, WEIR_INITIATOR, &hello, public_key, server, &p->inviter.device,
                       bench_now_us () / 1000u);
    say_hello (p);
}

void
bench_peer_join (struct bench_peer *p)
{
    struct weir_id public_key;
    weir_link_key_public (&public_key, p->ticket.secret);
    p->phase = BENCH_PEER_JOINING;
    dial (p, &public_key, p->ticket.secret);
}

void
bench_peer_connect (struct bench_peer *p)
{
    p->phase = BENCH_PEER_OPENING;
    dial (p, &p->link.public_key, p->link.secret);
}

void
bench_peer_ping (struct bench_peer *p)
{
    Weir__PingPong ping = WEIR__PING_PONG__INIT;
    ping.has_number = true;
    ping.number = 1;
    say (p, WEIR_KIND_W_PING, &ping.base);
}

/* ---- hearing ---- */

static void
take_hello (struct bench_peer *p, const Weir__Hello *m, struct weir_bytes bytes)
{
    struct weir_hello theirs = { .protocol_min = m->protocol_min,
                                 .protocol_max = m->protocol_max,
                                 .features = m->features,
                                 .role = m->role,
                                 .epoch = m->epoch };
    if (weir_field_get_id (&theirs.device, m->has_device, m->device) != WEIR_OK
        || weir_field_get_id (&theirs.challenge, m->has_challenge, m->challenge) != WEIR_OK
        || weir_session_hello (&p->session, &theirs, bytes) != WEIR_OK) {
        bench_die ("the node's Hello is not good");
    }
    say_proof (p);
}

static void
take_proof (struct bench_peer *p, const Weir__Proof *m, struct weir_arena *arena)
{
    struct weir_signature signature;
    if (m->signature.len != sizeof signature.b) {
        bench_die ("the node's Proof is not one");
    }
    memcpy (signature.b, m->signature.data, sizeof signature.b);
    if (weir_session_proof (&p->session, &signature) != WEIR_OK
        || !weir_session_open (&p->session)) {
        bench_die ("the node's Proof is not good");
    }
    if (p->phase == BENCH_PEER_JOINING) {
        say_join (p, arena);
    }
}

/* Whoever holds nothing of its own has what the node tells it to have. */
static void
take_digests (struct bench_peer *p, const Weir__Digests *m)
{
    Weir__Digests answer = *m;
    answer.has_answer = false;
    answer.answer = false;
    if (m->answer) {
        say (p, WEIR_KIND_W_DIGESTS, &answer.base);
    }
    if (p->phase == BENCH_PEER_OPENING) {
        p->phase = BENCH_PEER_IN_STEP;
    }
}

static void
take_offer (struct bench_peer *p, const Weir__Offer *m)
{
    Weir__Accept answer = WEIR__ACCEPT__INIT;
    answer.has_transfer = answer.has_limit = true;
    answer.transfer = m->transfer;
    answer.limit = WEIR_CREDIT_BYTES;
    say (p, WEIR_KIND_W_ACCEPT, &answer.base);
}

/* A frame that tells the sender's digest ends a burst: with it the peer has all. */
static void
take_frame (struct bench_peer *p, const Weir__Frame *m)
{
    Weir__Ack ack = WEIR__ACK__INIT;
    ack.has_transfer = ack.has_offset = ack.has_limit = true;
    ack.transfer = m->transfer;
    ack.offset = m->offset + m->bytes;
    ack.limit = ack.offset + WEIR_CREDIT_BYTES;
    ack.has_digest = m->has_digest;
    ack.digest = m->digest;
    say (p, WEIR_KIND_W_ACK, &ack.base);
    if (m->has_digest && m->bytes > 0) {
        p->phase = BENCH_PEER_RECEIVED;
    }
}

static void
take_ping (struct bench_peer *p, const Weir__PingPong *m)
{
    Weir__PingPong pong = *m;
    if (m->answer) {
        p->phase = BENCH_PEER_ANSWERED;
        return;
    }
    pong.has_answer = pong.answer = true;
    say (p, WEIR_KIND_W_PING, &pong.base);
}

static void
dispatch (struct bench_peer *p, uint16_t kind, const ProtobufCMessage *meta,
          struct weir_bytes bytes, struct weir_arena *arena)
{
    if (kind == WEIR_KIND_W_HELLO) {
        take_hello (p, (const Weir__Hello *) meta, bytes);
    } else if (kind == WEIR_KIND_W_PROOF) {
        take_proof (p, (const Weir__Proof *) meta, arena);
    } else if (kind == WEIR_KIND_W_JOINED) {
        const Weir__Joined *m = (const Weir__Joined *) meta;
        if (m->status != WEIR_OK) {
            bench_die ("a peer was not let in: %s",
                       weir_status_code (weir_status_from_number (m->status)));
        }
        p->phase = BENCH_PEER_JOINED;
    } else if (kind == WEIR_KIND_W_DIGESTS) {
        take_digests (p, (const Weir__Digests *) meta);
    } else if (kind == WEIR_KIND_W_OFFER) {
        take_offer (p, (const Weir__Offer *) meta);
    } else if (kind == WEIR_KIND_W_FRAME) {
        take_frame (p, (const Weir__Frame *) meta);
    } else if (kind == WEIR_KIND_W_PING) {
        take_ping (p, (const Weir__PingPong *) meta);
    } else if (kind == WEIR_KIND_W_BYE) {
        const Weir__Bye *m = (const Weir__Bye *) meta;
        bench_die ("the node said goodbye to a peer: %s (%.*s)",
                   weir_status_code (weir_status_from_number (m->status)), (int) m->what.len,
                   (const char *) m->what.data);
    }
}

/* One message of three parts; false when none is there. */
static bool
take_one (struct bench_peer *p, struct weir_arena *arena)
{
    zmq_msg_t parts[PARTS];
    struct weir_envelope e;
    ProtobufCMessage *meta = NULL;
    for (size_t i = 0; i < PARTS; i++) {
        zmq_msg_init (&parts[i]);
        if (zmq_msg_recv (&parts[i], p->socket, ZMQ_DONTWAIT) < 0) {
            if (i > 0 || zmq_errno () != EAGAIN) {
                bench_die ("a peer cannot receive: %s", zmq_strerror (zmq_errno ()));
            }
            zmq_msg_close (&parts[0]);
            return false;
        }
    }
    struct weir_bytes bytes = weir_bytes (zmq_msg_data (&parts[1]), zmq_msg_size (&parts[1]));
    weir_arena_reset (arena);
    if (zmq_msg_more (&parts[2])
        || weir_envelope_get (&e, weir_bytes (zmq_msg_data (&parts[0]), zmq_msg_size (&parts[0])))
               != WEIR_OK
        || weir_kind (e.kind) == NULL
        || weir_meta_get (&meta, arena, weir_kind (e.kind), false, bytes) != WEIR_OK
        || meta == NULL) {
        bench_die ("the node said what does not decode");
    }
    dispatch (p, e.kind, meta, bytes, arena);
    for (size_t i = 0; i < PARTS; i++) {
        zmq_msg_close (&parts[i]);
    }
    return true;
}

void
bench_peer_take (struct bench_peer *p, struct weir_arena *arena)
{
    for (unsigned i = 0; p->socket != NULL && i < TAKE_PER_TURN && take_one (p, arena); i++) {
        if (p->phase == BENCH_PEER_JOINED) {
            hang_up (p);
        }
    }
}
