/* A peer that means harm; see hostile.h. */

#include "tests/integration/hostile.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zmq.h>

#include "tests/integration/node.h"

#define PART_MAX 8

void
hostile_id_make (struct hostile_id *out, unsigned device, unsigned link)
{
    uint8_t seed[32] = { 'h', (uint8_t) device, (uint8_t) (device >> 8) };
    weir_identity_init (&out->device, seed);
    memset (out->link.secret, 0x40 + (int) link % 64, sizeof out->link.secret);
    out->link.secret[1] = (uint8_t) link;
    weir_link_key_public (&out->link.public_key, out->link.secret);
}

static void
set (void *socket, int option, const void *value, size_t len)
{
    if (zmq_setsockopt (socket, option, value, len) != 0) {
        node_die ("zmq option %d: %s", option, zmq_strerror (zmq_errno ()));
    }
}

static void
set_int (void *socket, int option, int value)
{
    set (socket, option, &value, sizeof value);
}

static void
begin (struct hostile *h, void *zmq, const struct hostile_id *id, int type)
{
    memset (h, 0, sizeof *h);
    h->zmq = zmq;
    h->id = *id;
    h->arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    h->socket = zmq_socket (zmq, type);
    set_int (h->socket, ZMQ_LINGER, 0);
    h->hello = (struct weir_hello){ .protocol_min = WEIR_PROTOCOL_MIN,
                                    .protocol_max = WEIR_PROTOCOL_MAX,
                                    .role = 0,
                                    .device = id->device.device,
                                    .epoch = 77 };
    weir_random (h->hello.challenge.b, sizeof h->hello.challenge.b);
    weir_random (h->hello.exchange_key.b, sizeof h->hello.exchange_key.b);
}

/* Reads the monitor; false when nothing was there. */
static bool
look (struct hostile *h)
{
    zmq_msg_t part;
    uint16_t event = 0;
    if (h->monitor == NULL) {
        return false;
    }
    zmq_msg_init (&part);
    if (zmq_msg_recv (&part, h->monitor, ZMQ_DONTWAIT) < 0) {
        zmq_msg_close (&part);
        return false;
    }
    memcpy (&event, zmq_msg_data (&part), sizeof event);
    zmq_msg_recv (&part, h->monitor, 0);
    zmq_msg_close (&part);
    h->up = h->up || event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED;
    h->gone = h->gone || event != ZMQ_EVENT_HANDSHAKE_SUCCEEDED;
    return true;
}

void
hostile_dial (struct hostile *h, void *zmq, const struct hostile_id *id, const char *address,
              const struct weir_id *server_key, const char *routing_id)
{
    static unsigned number;
    char name[64];
    begin (h, zmq, id, ZMQ_DEALER);
    h->dialled = true;
    set_int (h->socket, ZMQ_RECONNECT_IVL, -1);
    set (h->socket, ZMQ_CURVE_SERVERKEY, server_key->b, WEIR_ID_BYTES);
    set (h->socket, ZMQ_CURVE_PUBLICKEY, id->link.public_key.b, WEIR_ID_BYTES);
    set (h->socket, ZMQ_CURVE_SECRETKEY, id->link.secret, sizeof id->link.secret);
    if (routing_id != NULL) {
        set (h->socket, ZMQ_ROUTING_ID, routing_id, strlen (routing_id));
    }
    snprintf (name, sizeof name, "inproc://hostile-%u", ++number);
    int events = ZMQ_EVENT_CLOSED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED
                 | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL
                 | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH;
    h->monitor = zmq_socket (zmq, ZMQ_PAIR);
    set_int (h->monitor, ZMQ_LINGER, 0);
    if (zmq_socket_monitor (h->socket, name, events) != 0 || zmq_connect (h->monitor, name) != 0
        || zmq_connect (h->socket, address) != 0) {
        node_die ("cannot dial %s: %s", address, zmq_strerror (zmq_errno ()));
    }
    uint64_t until = node_now_ms () + HOSTILE_MS;
    while (!h->up && !h->gone && node_now_ms () < until) {
        zmq_pollitem_t item = { h->monitor, 0, ZMQ_POLLIN, 0 };
        zmq_poll (&item, 1, 100);
        look (h);
    }
    weir_session_init (&h->session, WEIR_INITIATOR, &h->hello, &id->link.public_key, server_key,
                       &weir_id_zero, 0);
}

void
hostile_listen (struct hostile *h, void *zmq, const struct hostile_id *id, uint16_t *port)
{
    char address[64];
    size_t len = sizeof address;
    begin (h, zmq, id, ZMQ_ROUTER);
    set_int (h->socket, ZMQ_CURVE_SERVER, 1);
    set (h->socket, ZMQ_CURVE_SECRETKEY, id->link.secret, sizeof id->link.secret);
    if (zmq_bind (h->socket, "tcp://127.0.0.1:*") != 0
        || zmq_getsockopt (h->socket, ZMQ_LAST_ENDPOINT, address, &len) != 0) {
        node_die ("cannot listen: %s", zmq_strerror (zmq_errno ()));
    }
    *port = (uint16_t) strtoul (strrchr (address, ':') + 1, NULL, 10);
    h->up = true;
}

void
hostile_close (struct hostile *h)
{
    if (h->monitor != NULL) {
        zmq_socket_monitor (h->socket, NULL, 0);
        zmq_close (h->monitor);
    }
    zmq_close (h->socket);
    weir_session_fini (&h->session);
    weir_buf_fini (&h->meta);
    weir_buf_fini (&h->body);
    weir_arena_destroy (&h->arena);
    memset (h, 0, sizeof *h);
}

/* ---- saying ---- */

/* What cannot be sent is the end of the connection, which hostile_end tells. */
void
hostile_say_parts (struct hostile *h, const struct weir_bytes *parts, size_t n, bool more)
{
    if (!h->dialled) {
        zmq_send (h->socket, h->routing_id, sizeof h->routing_id, ZMQ_SNDMORE | ZMQ_DONTWAIT);
    }
    for (size_t i = 0; i < n; i++) {
        int flags = ZMQ_DONTWAIT | (more || i + 1 < n ? ZMQ_SNDMORE : 0);
        zmq_send (h->socket, parts[i].data, parts[i].len, flags);
    }
}

void
hostile_say (struct hostile *h, uint16_t kind, const ProtobufCMessage *meta, struct weir_bytes body)
{
    struct weir_envelope e = { .kind = kind };
    uint8_t envelope[WEIR_ENVELOPE_BYTES];
    struct weir_buf packed = { 0 };
    weir_meta_put (&packed, meta);
    weir_envelope_put (&e, envelope);
    struct weir_bytes parts[3] = { weir_bytes (envelope, sizeof envelope), weir_buf_bytes (&packed),
                                   body };
    hostile_say_parts (h, parts, 3, false);
    weir_buf_fini (&packed);
}

void
hostile_say_hello (struct hostile *h)
{
    struct weir_buf packed = { 0 };
    Weir__Hello m = WEIR__HELLO__INIT;
    m.has_protocol_min = m.has_protocol_max = m.has_role = m.has_epoch = true;
    m.has_device = m.has_challenge = m.has_exchange_key = true;
    m.protocol_min = h->hello.protocol_min;
    m.protocol_max = h->hello.protocol_max;
    m.role = h->hello.role;
    m.device = weir_field_id (&h->hello.device);
    m.challenge = weir_field_id (&h->hello.challenge);
    m.exchange_key = weir_field_id (&h->hello.exchange_key);
    m.epoch = h->hello.epoch;
    weir_meta_put (&packed, &m.base);
    if (h->session.our_hello.len == 0) {
        weir_session_sent (&h->session, weir_buf_bytes (&packed));
    }
    hostile_say (h, WEIR_KIND_W_HELLO, &m.base, weir_bytes (NULL, 0));
    weir_buf_fini (&packed);
}

void
hostile_sign (const struct hostile *h, struct weir_signature *out)
{
    struct weir_buf claim = { 0 };
    weir_session_claim (&h->session, h->session.role, &claim);
    weir_sign (out, &h->id.device, WEIR_SIGN_PROOF, weir_buf_bytes (&claim));
    weir_buf_fini (&claim);
}

void
hostile_say_proof (struct hostile *h, const struct weir_signature *signature)
{
    Weir__Proof m = WEIR__PROOF__INIT;
    m.has_signature = true;
    m.signature = weir_field_of (weir_bytes (signature->b, sizeof signature->b));
    h->session.proof_sent = true;
    hostile_say (h, WEIR_KIND_W_PROOF, &m.base, weir_bytes (NULL, 0));
}

/* ---- hearing ---- */

static void
take_hello (struct hostile *h)
{
    const Weir__Hello *m = (const Weir__Hello *) h->heard;
    struct weir_hello theirs = { .protocol_min = m->protocol_min,
                                 .protocol_max = m->protocol_max,
                                 .role = m->role,
                                 .epoch = m->epoch };
    weir_ignore (weir_field_get_id (&theirs.device, m->has_device, m->device));
    weir_ignore (weir_session_hello (&h->session, &theirs, weir_buf_bytes (&h->meta)));
}

/* Decodes one message; its kind, 0 when it is none. */
static uint16_t
decode (struct hostile *h, zmq_msg_t *parts, int n)
{
    struct weir_envelope e;
    int first = h->dialled ? 0 : 1;
    if (n != first + 3
        || weir_envelope_get (
               &e, weir_bytes (zmq_msg_data (&parts[first]), zmq_msg_size (&parts[first])))
               != WEIR_OK) {
        node_die ("an honest node said something of %d parts", n);
    }
    if (!h->dialled && zmq_msg_size (&parts[0]) == sizeof h->routing_id) {
        memcpy (h->routing_id, zmq_msg_data (&parts[0]), sizeof h->routing_id);
    }
    weir_buf_clear (&h->meta);
    weir_buf_put (&h->meta, zmq_msg_data (&parts[first + 1]), zmq_msg_size (&parts[first + 1]));
    weir_buf_clear (&h->body);
    weir_buf_put (&h->body, zmq_msg_data (&parts[first + 2]), zmq_msg_size (&parts[first + 2]));
    weir_arena_reset (h->arena);
    h->heard = NULL;
    if (weir_meta_get (&h->heard, h->arena, weir_kind (e.kind), false, weir_buf_bytes (&h->meta))
        != WEIR_OK) {
        node_die ("an honest node said what does not decode: kind %u", e.kind);
    }
    if (h->on != NULL) {
        h->on (h, e.kind);
    }
    return e.kind;
}

static uint16_t
receive (struct hostile *h)
{
    zmq_msg_t parts[PART_MAX];
    int n = 0;
    uint16_t kind = 0;
    do {
        zmq_msg_init (&parts[n]);
        if (zmq_msg_recv (&parts[n], h->socket, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close (&parts[n]);
            break;
        }
        n++;
    } while (n < PART_MAX && zmq_msg_more (&parts[n - 1]));
    if (n > 0) {
        kind = decode (h, parts, n);
    }
    for (int i = 0; i < n; i++) {
        zmq_msg_close (&parts[i]);
    }
    return kind;
}

/* What every message means to us, wanted or not. */
static void
note (struct hostile *h, uint16_t kind)
{
    if (kind == WEIR_KIND_W_HELLO) {
        take_hello (h);
    } else if (kind == WEIR_KIND_W_PROOF) {
        const Weir__Proof *m = (const Weir__Proof *) h->heard;
        if (m->signature.len == sizeof h->their_proof.b) {
            memcpy (h->their_proof.b, m->signature.data, sizeof h->their_proof.b);
        }
    } else if (kind == WEIR_KIND_W_BYE) {
        h->bye = true;
        h->why = weir_status_from_number (((const Weir__Bye *) h->heard)->status);
    } else if (kind == WEIR_KIND_W_CLOSE || kind == WEIR_KIND_W_NOT_SHARED
               || kind == WEIR_KIND_W_ACCEPT) {
        h->words++;
    }
}

bool
hostile_hear (struct hostile *h, uint16_t kind, uint32_t ms)
{
    uint64_t until = node_now_ms () + ms;
    for (;;) {
        uint16_t heard = receive (h);
        if (heard != 0) {
            note (h, heard);
            if (heard == kind) {
                return true;
            }
            continue;
        }
        if (h->bye || h->gone || node_now_ms () >= until) {
            return false;
        }
        zmq_pollitem_t items[2] = { { h->socket, 0, ZMQ_POLLIN, 0 },
                                    { h->monitor, 0, ZMQ_POLLIN, 0 } };
        zmq_poll (items, h->monitor != NULL ? 2 : 1, 50);
        if (!(items[0].revents & ZMQ_POLLIN)) {
            look (h); /* its last words come first */
        }
    }
}

bool
hostile_greet (struct hostile *h)
{
    hostile_say_hello (h);
    return hostile_hear (h, WEIR_KIND_W_PROOF, HOSTILE_MS);
}

bool
hostile_open (struct hostile *h)
{
    struct weir_signature signature;
    if (!hostile_greet (h)) {
        return false;
    }
    hostile_sign (h, &signature);
    hostile_say_proof (h, &signature);
    return true;
}

bool
hostile_alive (struct hostile *h)
{
    Weir__PingPong m = WEIR__PING_PONG__INIT;
    if (h->guest) {
        Weir__Join join = WEIR__JOIN__INIT;
        hostile_say (h, WEIR_KIND_W_JOIN, &join.base, weir_bytes (NULL, 0));
        bool heard = hostile_hear (h, WEIR_KIND_W_JOINED, HOSTILE_MS);
        h->pings += heard;
        return heard;
    }
    m.has_number = true;
    m.number = ++h->pings;
    hostile_say (h, WEIR_KIND_W_PING, &m.base, weir_bytes (NULL, 0));
    return hostile_hear (h, WEIR_KIND_W_PING, HOSTILE_MS);
}

const char *
hostile_end (struct hostile *h)
{
    static char text[64];
    if (!h->gone && !h->bye && hostile_alive (h)) {
        return "alive";
    }
    if (h->bye) {
        snprintf (text, sizeof text, "bye %s", weir_status_code (h->why));
        return text;
    }
    return h->gone ? "closed" : "silent";
}

/* ---- parts ---- */

uint64_t
hostile_tag (const struct hostile *h, const struct weir_id *db)
{
    struct weir_id key = weir_session_key (&h->session);
    return weir_hash_tag (&key, weir_id_bytes (db));
}

Weir__Card *
hostile_card (const struct hostile_id *id, struct weir_arena *arena)
{
    struct weir_card card = { .device = id->device.device, .counter = 1, .n_link_keys = 1 };
    struct weir_buf packed = { 0 };
    ProtobufCMessage *m = NULL;
    card.link_keys[0] = id->link.public_key;
    snprintf (card.name, sizeof card.name, "hostile");
    weir_card_put (&packed, &card, &id->device);
    if (weir_meta_unpack (&m, arena, &weir__card__descriptor, weir_buf_bytes (&packed))
        != WEIR_OK) {
        node_die ("our own card does not decode");
    }
    weir_buf_fini (&packed);
    return (Weir__Card *) m;
}
