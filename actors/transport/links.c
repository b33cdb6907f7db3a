/* Links: dialling, carrying messages both ways, closing. A link is one connection and is never
 * made again: when it ends it is forgotten, and peers dials anew. All outside bytes are checked
 * in wire.c before they are handed on. */

#include "actors/transport/state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FLUSH_MS 250u    /* what a closing link may still send */
#define FRAME_COST 4096u /* of any frame, beside its bytes */
#define LINK_EVENTS                                                                                \
    (ZMQ_EVENT_CLOSED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED                     \
     | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL                  \
     | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)

/* ---- receiving from libzmq ---- */

void
link_parts_close (zmq_msg_t *parts, int n)
{
    for (int i = 0; i < n; i++) {
        zmq_msg_close (&parts[i]);
    }
}

int
link_receive (void *socket, zmq_msg_t *parts, int max)
{
    zmq_msg_t spare = { { 0 } };
    int n = 0;
    for (;;) {
        zmq_msg_t *part = n < max ? &parts[n] : &spare;
        zmq_msg_init (part);
        if (zmq_msg_recv (part, socket, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close (part);
            return n; /* nothing there: libzmq gives whole messages only */
        }
        bool more = zmq_msg_more (part) != 0;
        if (n < max) {
            n++;
        } else {
            zmq_msg_close (part);
        }
        if (!more) {
            return n;
        }
    }
}

bool
link_event (void *monitor, uint16_t *event, int *value)
{
    zmq_msg_t parts[2];
    int n = link_receive (monitor, parts, 2);
    bool good = n == 2 && zmq_msg_size (&parts[0]) == 6;
    if (good) {
        int32_t number = 0;
        memcpy (event, zmq_msg_data (&parts[0]), sizeof *event);
        memcpy (&number, (const uint8_t *) zmq_msg_data (&parts[0]) + 2, sizeof number);
        *value = number;
    }
    link_parts_close (parts, n);
    return good;
}

static struct weir_bytes
part_bytes (zmq_msg_t *part)
{
    return weir_bytes (zmq_msg_data (part), zmq_msg_size (part));
}

/* ---- the table ---- */

static struct weir_bytes
number_key (const uint64_t *number)
{
    return weir_bytes (number, sizeof *number);
}

struct link *
link_find (struct transport *t, uint64_t number)
{
    return weir_map_get (t->by_number, number_key (&number));
}

struct link *
link_new (struct transport *t, uint64_t number)
{
    struct link *l = weir_alloc (sizeof *l);
    l->transport = t;
    l->number = number;
    l->fd = -1;
    l->next = t->links;
    t->links = l;
    t->n_links++;
    (void) weir_map_put (t->by_number, number_key (&number), l);
    return l;
}

static void
close_dealer (struct link *l, bool linger)
{
    struct transport *t = l->transport;
    if (l->monitor != NULL) {
        weir_actor_watch_socket (t->actor, l->monitor, NULL, NULL);
        (void) zmq_socket_monitor (l->dealer, NULL, 0);
        zmq_close (l->monitor);
        l->monitor = NULL;
    }
    if (l->dealer != NULL) {
        int ms = linger ? (int) FLUSH_MS : 0;
        weir_actor_watch_socket (t->actor, l->dealer, NULL, NULL);
        (void) zmq_setsockopt (l->dealer, ZMQ_LINGER, &ms, sizeof ms);
        zmq_close (l->dealer);
        l->dealer = NULL;
    }
}

/* Out of the tables now; freed at the end of the turn, since callers may still hold it. */
static void
forget (struct link *l)
{
    struct transport *t = l->transport;
    if (l->free) {
        return;
    }
    l->free = true;
    t->sweep = true;
    weir_actor_timer_cancel (t->actor, l->timer);
    (void) weir_map_remove (t->by_number, number_key (&l->number));
    struct weir_bytes id = weir_bytes (l->routing_id, sizeof l->routing_id);
    if (weir_map_get (t->by_routing_id, id) == l) {
        (void) weir_map_remove (t->by_routing_id, id);
    }
}

void
links_sweep (struct transport *t)
{
    if (!t->sweep) {
        return;
    }
    t->sweep = false;
    for (struct link **at = &t->links; *at != NULL;) {
        struct link *l = *at;
        if (l->free) {
            *at = l->next;
            t->n_links--;
            free (l);
        } else {
            at = &l->next;
        }
    }
}

/* ---- telling peers ---- */

void
link_up (struct link *l, bool dialled)
{
    struct transport *t = l->transport;
    Weir__LinkUp m = WEIR__LINK_UP__INIT;
    m.has_link = m.has_dialled = m.has_address = m.has_our_key = m.has_their_key = true;
    m.link = l->number;
    m.dialled = dialled;
    m.address = weir_field_str (l->address);
    m.our_key = weir_field_id (&l->our_key);
    m.their_key = weir_field_id (&l->their_key);
    l->up = true;
    if (weir_actor_send (t->actor, WEIR_KIND_LINK_UP, NULL, &m.base, weir_bytes (NULL, 0))
        != WEIR_OK) {
        l->up = false;
        link_close (l, WEIR_UNAVAILABLE, "peers is not there", false);
    }
}

static void
tell_down (struct link *l, enum weir_status status, const char *why)
{
    struct transport *t = l->transport;
    if (l->closing || !t->peers_up) {
        return;
    }
    Weir__LinkDown m = WEIR__LINK_DOWN__INIT;
    m.has_link = m.has_status = m.has_why = true;
    m.link = l->number;
    m.status = (uint32_t) status;
    m.why = weir_field_str (why);
    weir_actor_log (t->actor, WEIR_LOG_DEBUG, "link_down", "address=%s code=%s why=\"%s\"",
                    l->address, weir_status_code (status), why);
    (void) weir_actor_send (t->actor, WEIR_KIND_LINK_DOWN, NULL, &m.base, weir_bytes (NULL, 0));
}

void
link_gone (struct link *l, enum weir_status status, const char *why)
{
    if (l->free) {
        return;
    }
    tell_down (l, status, why);
    l->closing = true;
    close_dealer (l, false);
    forget (l);
}

static void
forget_late (void *state, struct weir_actor *actor, void *context)
{
    (void) state;
    (void) actor;
    forget (context);
}

/* The listener's monitor says when it is gone; until then what it says is ignored. */
static void
cut (void *state, struct weir_actor *actor, void *context)
{
    struct link *l = context;
    (void) state;
    listener_cut (l);
    l->timer = weir_actor_timer (actor, weir_actor_now_ms (actor) + WEIR_HEARTBEAT_TIMEOUT_MS,
                                 forget_late, l);
}

void
link_close (struct link *l, enum weir_status status, const char *why, bool linger)
{
    struct transport *t = l->transport;
    if (l->closing) {
        return;
    }
    tell_down (l, status, why);
    l->closing = true;
    if (l->dealer != NULL) {
        close_dealer (l, linger);
        forget (l);
    } else if (linger) {
        l->timer = weir_actor_timer (t->actor, weir_actor_now_ms (t->actor) + FLUSH_MS, cut, l);
    } else {
        cut (t, t->actor, l);
    }
}

void
links_close_all (struct transport *t, enum weir_status status, const char *why)
{
    for (struct link *l = t->links; l != NULL; l = l->next) {
        if (!l->free) {
            link_close (l, status, why, false);
        }
    }
}

void
links_close_refused (struct transport *t)
{
    for (struct link *l = t->links; l != NULL; l = l->next) {
        if (!l->free && l->dealer == NULL && !l->closing && !zap_admits (&t->zap, &l->their_key)) {
            t->zap.refused++;
            link_close (l, WEIR_REMOVED, "its key is no longer admitted", true);
        }
    }
}

/* ---- dialling ---- */

static void
late (void *state, struct weir_actor *actor, void *context)
{
    struct link *l = context;
    (void) state;
    (void) actor;
    l->timer = 0;
    if (!l->up) {
        link_gone (l, WEIR_NOT_REACHABLE_OR_NOT_ADMITTED, "no handshake in time");
    }
}

static void dealer_readable (void *state, struct weir_actor *actor, void *context);

static void
monitored (void *state, struct weir_actor *actor, void *context)
{
    struct link *l = context;
    uint16_t event = 0;
    int value = 0;
    (void) state;
    (void) actor;
    while (!l->free && !l->closing && link_event (l->monitor, &event, &value)) {
        if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
            weir_actor_timer_cancel (actor, l->timer);
            l->timer = 0;
            link_up (l, true);
        } else if (event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH) {
            link_gone (l, WEIR_NOT_REACHABLE_OR_NOT_ADMITTED, "the handshake was refused");
        } else if (event == ZMQ_EVENT_CLOSED) {
            link_gone (l, WEIR_NOT_REACHABLE_OR_NOT_ADMITTED, "nothing answers there");
        } else if (event == ZMQ_EVENT_DISCONNECTED) {
            if (l->up) {
                dealer_readable (state, actor, l); /* its last words */
            }
            link_gone (l, WEIR_NOT_REACHABLE_OR_NOT_ADMITTED,
                       l->up ? "the connection ended" : "closed in the handshake");
        } else if (event == ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL
                   || event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL) {
            link_gone (l, WEIR_NOT_REACHABLE_OR_NOT_ADMITTED, "the handshake failed");
        }
    }
}

static void
dealer_readable (void *state, struct weir_actor *actor, void *context)
{
    struct link *l = context;
    struct transport *t = state;
    (void) actor;
    for (unsigned i = 0; i < WEIR_DRAIN_PER_TURN && !l->free && !l->closing; i++) {
        zmq_msg_t parts[TRANSPORT_PARTS];
        int n = link_receive (l->dealer, parts, TRANSPORT_PARTS);
        if (n == 0) {
            return;
        }
        if (!l->up) {
            monitored (t, actor, l); /* its word comes first */
        }
        if (n != 3) {
            t->bad++;
            link_close (l, WEIR_BAD_MESSAGE, "not a message of three parts", false);
        } else if (!l->free && !l->closing) {
            link_take (l, parts);
        }
        link_parts_close (parts, n);
    }
}

static void
set_int (void *socket, int option, int value)
{
    int rc = zmq_setsockopt (socket, option, &value, sizeof value);
    weir_assert (rc == 0);
}

/* The key a dialled link shows: the one-time key of a ticket, or the leased one. */
static bool
client_key (const struct transport *t, const Weir__Dial *dial, struct weir_link_key *key)
{
    if (dial->has_client_secret && dial->client_secret.len > 0) {
        if (dial->client_secret.len != sizeof key->secret) {
            return false;
        }
        memcpy (key->secret, dial->client_secret.data, sizeof key->secret);
        weir_link_key_public (&key->public_key, key->secret);
        return true;
    }
    if (t->n_leased == 0) {
        return false;
    }
    *key = t->leased[t->active];
    return true;
}

static bool
connect_dealer (struct link *l, const struct weir_link_key *key)
{
    struct transport *t = l->transport;
    void *zmq = weir_actor_zmq (t->actor);
    char name[64];
    l->dealer = zmq_socket (zmq, ZMQ_DEALER);
    if (l->dealer == NULL) {
        return false; /* too many sockets */
    }
    listener_set_common (l->dealer);
    listener_set_family (l->dealer, l->address);
    set_int (l->dealer, ZMQ_CONNECT_TIMEOUT, WEIR_CONNECT_MS);
    set_int (l->dealer, ZMQ_RECONNECT_IVL, -1);
    set_int (l->dealer, ZMQ_IMMEDIATE, 1);
    if (zmq_setsockopt (l->dealer, ZMQ_CURVE_SERVERKEY, l->their_key.b, WEIR_ID_BYTES) != 0
        || zmq_setsockopt (l->dealer, ZMQ_CURVE_PUBLICKEY, key->public_key.b, WEIR_ID_BYTES) != 0
        || zmq_setsockopt (l->dealer, ZMQ_CURVE_SECRETKEY, key->secret, sizeof key->secret) != 0) {
        return false;
    }
    snprintf (name, sizeof name, "inproc://link-%016llx", (unsigned long long) l->number);
    l->monitor = zmq_socket (zmq, ZMQ_PAIR);
    if (l->monitor == NULL || zmq_socket_monitor (l->dealer, name, LINK_EVENTS) != 0
        || zmq_connect (l->monitor, name) != 0) {
        return false;
    }
    set_int (l->monitor, ZMQ_LINGER, 0);
    weir_actor_watch_socket (t->actor, l->monitor, monitored, l);
    weir_actor_watch_socket (t->actor, l->dealer, dealer_readable, l);
    l->timer =
        weir_actor_timer (t->actor, weir_actor_now_ms (t->actor) + WEIR_HANDSHAKE_MS, late, l);
    return zmq_connect (l->dealer, l->address) == 0;
}

void
link_dial (struct transport *t, const Weir__Dial *dial)
{
    struct weir_link_key key;
    if (!dial->has_link || dial->link == 0 || (dial->link & TRANSPORT_LINK_OURS) != 0
        || link_find (t, dial->link) != NULL) {
        t->dropped++;
        return;
    }
    struct link *l = link_new (t, dial->link);
    if (weir_field_get_text (l->address, WEIR_ADDRESS_BYTES_MAX, dial->has_address, dial->address)
            != WEIR_OK
        || !transport_address_ok (l->address)
        || weir_field_get_id (&l->their_key, dial->has_server_key, dial->server_key) != WEIR_OK) {
        link_gone (l, WEIR_BAD_ADDRESS, "not an address that can be dialled");
    } else if (t->stopped || t->n_links > WEIR_LINKS_MAX || !client_key (t, dial, &key)) {
        link_gone (l, WEIR_UNAVAILABLE, t->stopped ? "the transport is stopped" : "no link key");
    } else {
        l->our_key = key.public_key;
        if (!connect_dealer (l, &key)) {
            link_gone (l, WEIR_BAD_ADDRESS, "cannot dial");
        }
    }
    weir_wipe (&key, sizeof key);
}

/* ---- carrying ---- */

void
link_say (struct link *l, uint16_t kind, uint64_t trace, const ProtobufCMessage *meta,
          struct weir_bytes meta_bytes, struct weir_bytes body)
{
    struct transport *t = l->transport;
    struct weir_envelope e = { .kind = kind, .trace = trace };
    uint8_t envelope[WEIR_ENVELOPE_BYTES];
    struct weir_buf packed = { 0 };
    void *socket = l->dealer != NULL ? l->dealer : t->listener;
    if (l->closing || !l->up || socket == NULL) {
        t->dropped++;
        return;
    }
    if (meta != NULL) {
        weir_meta_put (&packed, meta);
        meta_bytes = weir_buf_bytes (&packed);
    }
    weir_envelope_put (&e, envelope);
    bool sent =
        (l->dealer != NULL
         || zmq_send (socket, l->routing_id, sizeof l->routing_id, ZMQ_SNDMORE | ZMQ_DONTWAIT) >= 0)
        && zmq_send (socket, envelope, sizeof envelope, ZMQ_SNDMORE | ZMQ_DONTWAIT) >= 0
        && zmq_send (socket, meta_bytes.data, meta_bytes.len, ZMQ_SNDMORE | ZMQ_DONTWAIT) >= 0
        && zmq_send (socket, body.data, body.len, ZMQ_DONTWAIT) >= 0;
    int why = sent ? 0 : zmq_errno ();
    if (sent) {
        uint64_t bytes = sizeof envelope + meta_bytes.len + body.len;
        l->out += bytes;
        t->bytes_out += bytes;
        t->messages_out++;
    } else if (why == EHOSTUNREACH) {
        link_gone (l, WEIR_NOT_REACHABLE_OR_NOT_ADMITTED, "the connection ended");
    } else {
        /* Its queue is full: it does not read. A hole in the stream would only be found later. */
        t->dropped++;
        link_close (l, WEIR_BUSY, "the other side does not read", false);
    }
    weir_buf_fini (&packed);
}

static void
hand_frame (struct link *l, const struct weir_envelope *e, struct weir_bytes meta,
            struct weir_bytes wire)
{
    struct transport *t = l->transport;
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    ProtobufCMessage *message = NULL;
    struct weir_bytes body = weir_bytes (NULL, 0);
    bool frame = e->kind == WEIR_KIND_W_FRAME;
    enum weir_status status = weir_meta_unpack (
        &message, arena, frame ? &weir__frame__descriptor : &weir__ack__descriptor, meta);
    if (status == WEIR_OK && frame) {
        Weir__Frame *m = (Weir__Frame *) message;
        status = transport_frame_unpack (t->codec, m, wire, &body);
        m->has_link = true;
        m->link = l->number;
        m->has_session = m->has_codec = m->has_bytes = false;
    } else if (status == WEIR_OK) {
        Weir__Ack *m = (Weir__Ack *) message;
        if (!m->has_transfer || (m->has_digest && m->digest.len != WEIR_ID_BYTES)) {
            status = WEIR_BAD_FRAME;
        }
        m->has_link = true;
        m->link = l->number;
        m->has_session = false;
    }
    if (status != WEIR_OK) {
        t->bad++;
        link_close (l, WEIR_BAD_FRAME, "a frame that cannot be read", false);
    } else if (weir_actor_send_about (t->actor, frame ? WEIR_KIND_FRAME_IN : WEIR_KIND_ACK_IN, NULL,
                                      NULL, NULL, e->trace, message, body)
               != WEIR_OK) {
        t->dropped++; /* the store finds the hole and gives the transfer up */
    }
    weir_arena_destroy (&arena);
}

static void
hand_piece (struct link *l, const struct weir_envelope *e, struct weir_bytes meta,
            struct weir_bytes wire)
{
    struct transport *t = l->transport;
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    ProtobufCMessage *message = NULL;
    struct weir_bytes body = weir_bytes (NULL, 0);
    enum weir_status status =
        weir_meta_unpack (&message, arena, &weir__blob_piece__descriptor, meta);
    if (status == WEIR_OK) {
        Weir__BlobPiece *m = (Weir__BlobPiece *) message;
        status = transport_piece_unpack (t->codec, m, wire, &body);
        m->has_link = true;
        m->link = l->number;
        m->has_codec = m->has_bytes = false;
    }
    if (status != WEIR_OK) {
        t->bad++;
        link_close (l, WEIR_BAD_FRAME, "a piece that cannot be read", false);
    } else if (weir_actor_send_about (t->actor, WEIR_KIND_BLOB_PIECE_IN, NULL, NULL, NULL, e->trace,
                                      message, body)
               != WEIR_OK) {
        t->dropped++; /* the store asks for it again */
    }
    weir_arena_destroy (&arena);
}

/* What a link may say has a bound, or one that floods would fill the mailboxes that all links
 * share; the rest is not handed on, and peers are told how much it was. No honest node comes near:
 * of frames, nobody sends more than the store lets it before it has receipts; of the rest there
 * are token buckets, kept as the time at which they will be full. */
static bool
within_rate (struct link *l, uint16_t kind, size_t bytes)
{
    bool small = kind == WEIR_KIND_W_ACK || kind == WEIR_KIND_W_BLOB_PIECE;
    uint64_t *full_us = small ? &l->small_full_us : &l->messages_full_us;
    uint64_t cost_us = 1000000u / (small ? WEIR_LINK_SMALL_PER_S : WEIR_LINK_MESSAGES_PER_S);
    uint64_t burst_us = WEIR_LINK_BURST_S * 1000000u;
    uint64_t now_us = weir_actor_now_ms (l->transport->actor) * 1000u;
    if (kind == WEIR_KIND_W_FRAME) {
        full_us = &l->frames_full_us; /* a receipt empties it */
        cost_us = (bytes + FRAME_COST) / (WEIR_LINK_FRAME_BYTES_PER_S / 1000000u);
        burst_us = WEIR_PEER_BUFFER_BYTES_MAX / (WEIR_LINK_FRAME_BYTES_PER_S / 1000000u);
    }
    if (*full_us > now_us + burst_us) {
        l->flooded++;
        return false;
    }
    *full_us = (*full_us > now_us ? *full_us : now_us) + cost_us;
    return true;
}

void
link_take (struct link *l, zmq_msg_t *parts)
{
    struct transport *t = l->transport;
    struct weir_envelope e;
    const struct weir_kind *kind = NULL;
    struct weir_bytes meta = part_bytes (&parts[1]);
    struct weir_bytes body = part_bytes (&parts[2]);
    uint64_t bytes = zmq_msg_size (&parts[0]) + meta.len + body.len;
    l->in += bytes;
    t->bytes_in += bytes;
    t->messages_in++;
    enum weir_status status = transport_wire_check (part_bytes (&parts[0]), meta, body, &e, &kind);
    if (status == WEIR_UNKNOWN_KIND) {
        t->unknown++;
        return;
    }
    if (status != WEIR_OK) {
        t->bad++;
        weir_actor_log (t->actor, WEIR_LOG_WARN, "bad_message", "from=%s code=%s", l->address,
                        weir_status_code (status));
        link_close (l, status, "a message that is not allowed", false);
        return;
    }
    if (!within_rate (l, kind->number, body.len)) {
        t->dropped++;
        return;
    }
    if (kind->number == WEIR_KIND_W_FRAME || kind->number == WEIR_KIND_W_ACK) {
        hand_frame (l, &e, meta, body);
        return;
    }
    if (kind->number == WEIR_KIND_W_BLOB_PIECE) {
        hand_piece (l, &e, meta, body);
        return;
    }
    Weir__LinkMessage m = WEIR__LINK_MESSAGE__INIT;
    m.has_link = m.has_kind = true;
    m.link = l->number;
    m.kind = kind->number;
    m.has_dropped = l->flooded > 0;
    m.dropped = l->flooded;
    l->flooded = 0;
    uint16_t to = kind->to == WEIR_ROLE_S ? WEIR_KIND_BLOB_HEAR : WEIR_KIND_WIRE_IN;
    if (weir_actor_send_about (t->actor, to, NULL, NULL, NULL, e.trace, &m.base, meta) != WEIR_OK) {
        t->dropped++;
    }
}
