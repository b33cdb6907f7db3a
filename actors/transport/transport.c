/* The transport actor, kind curve: starts with a leased link key, lets in whom peers names, and
 * carries three-part messages between nodes. It owns connections and nothing else; sessions,
 * members and data are for peers and the store. See state.h for its files. */

#include "actors/transport/transport.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "actors/transport/state.h"

#define LEASE_AGAIN_MS 200u
#define DATA_BYTES_MAX (1ull << 30) /* libzmq bounds messages, not memory (page 7): die alone */
#define STATE_ROW "transports/"

/* ---- start: lease, port, listen ---- */

static void ask_lease (void *state, struct weir_actor *actor, void *context);

static void
lease_again (struct transport *t, enum weir_status status)
{
    weir_actor_log (t->actor, WEIR_LOG_WARN, "no_lease", "code=%s", weir_status_code (status));
    t->lease_timer =
        weir_actor_timer (t->actor, weir_actor_now_ms (t->actor) + LEASE_AGAIN_MS, ask_lease, NULL);
}

static void
port_known (void *state, struct weir_actor *actor, void *context, enum weir_status status,
            const struct weir_error *problem, const struct weir_message *answer)
{
    struct transport *t = state;
    char key[128];
    (void) context;
    (void) problem;
    if (status == WEIR_OK && answer != NULL && answer->meta != NULL) {
        const Weir__StateRows *m = (const Weir__StateRows *) answer->meta;
        snprintf (key, sizeof key, STATE_ROW "%s", weir_actor_name (actor));
        for (size_t i = 0; i < m->n_rows; i++) {
            char value[sizeof t->endpoint];
            if (weir_bytes_equal (weir_field (m->rows[i]->key), weir_bytes_str (key))
                && weir_field_get_text (value, WEIR_ADDRESS_BYTES_MAX, m->rows[i]->has_value,
                                        m->rows[i]->value)
                       == WEIR_OK
                && transport_address_ok (value)) {
                memcpy (t->endpoint, value, sizeof t->endpoint);
            }
        }
    }
    listener_start (t);
}

static void
ask_port (struct transport *t)
{
    char prefix[128];
    Weir__StateScan m = WEIR__STATE_SCAN__INIT;
    snprintf (prefix, sizeof prefix, STATE_ROW "%s", weir_actor_name (t->actor));
    m.has_prefix = true;
    m.prefix = weir_field_str (prefix);
    (void) weir_actor_ask (t->actor, WEIR_KIND_STATE_GET, NULL, &m.base, weir_bytes (NULL, 0),
                           WEIR_HANDSHAKE_MS, port_known, NULL);
}

/* Shows another of the leased keys: whoever knows only the old one must dial anew. */
static void
use_key (struct transport *t, size_t i)
{
    if (i == t->active) {
        return;
    }
    t->active = i;
    links_close_all (t, WEIR_UNAVAILABLE, "the link key changed");
    listener_stop (t);
    listener_start (t);
}

static void
use_wanted_key (struct transport *t)
{
    for (size_t i = 0; i < t->n_leased; i++) {
        if (weir_id_equal (&t->leased[i].public_key, &t->wanted_key)) {
            t->wanted_key = weir_id_zero;
            use_key (t, i);
            return;
        }
    }
}

static bool
take_lease (struct transport *t, const Weir__Lease *lease)
{
    struct weir_id shown = weir_id_zero;
    if (t->n_leased > 0) {
        shown = t->leased[t->active].public_key;
    }
    struct weir_link_key keys[TRANSPORT_LEASED_MAX];
    size_t n = 0;
    for (size_t i = 0; i < lease->n_keys && n < TRANSPORT_LEASED_MAX; i++) {
        const Weir__LinkKey *key = lease->keys[i];
        if (weir_field_get_id (&keys[n].public_key, key->has_public_key, key->public_key) == WEIR_OK
            && key->has_secret_key && key->secret_key.len == sizeof keys[n].secret) {
            memcpy (keys[n].secret, key->secret_key.data, sizeof keys[n].secret);
            n++;
        }
    }
    if (n == 0) {
        return false;
    }
    memcpy (t->leased, keys, sizeof keys);
    weir_wipe (keys, sizeof keys);
    t->n_leased = n;
    bool kept = false;
    for (size_t i = 0; i < n && !kept; i++) {
        if (weir_id_equal (&t->leased[i].public_key, &shown)) {
            t->active = i;
            kept = true;
        }
    }
    if (!kept) {
        t->active = 0;
    }
    if (!kept && !weir_id_is_zero (&shown)) { /* what is shown was revoked */
        links_close_all (t, WEIR_UNAVAILABLE, "the link key changed");
        listener_stop (t);
        listener_start (t);
    }
    return true;
}

static void
leased (void *state, struct weir_actor *actor, void *context, enum weir_status status,
        const struct weir_error *problem, const struct weir_message *answer)
{
    struct transport *t = state;
    bool first = t->n_leased == 0;
    (void) actor;
    (void) context;
    (void) problem;
    if (status != WEIR_OK || answer == NULL || answer->meta == NULL
        || !take_lease (t, (const Weir__Lease *) answer->meta)) {
        lease_again (t, status);
        return;
    }
    if (first) {
        ask_port (t);
    } else {
        use_wanted_key (t);
    }
}

static void
ask_lease (void *state, struct weir_actor *actor, void *context)
{
    struct transport *t = state;
    Weir__LeaseAsk m = WEIR__LEASE_ASK__INIT;
    (void) context;
    t->lease_timer = 0;
    m.has_name = true;
    m.name = weir_field_str (weir_actor_name (actor));
    (void) weir_actor_ask (actor, WEIR_KIND_LEASE, NULL, &m.base, weir_bytes (NULL, 0),
                           WEIR_HANDSHAKE_MS, leased, t);
}

static void
limit_memory (struct weir_actor *actor)
{
#if !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__
    struct rlimit limit = { DATA_BYTES_MAX, DATA_BYTES_MAX };
    if (setrlimit (RLIMIT_DATA, &limit) != 0) {
        weir_actor_log (actor, WEIR_LOG_WARN, "no_memory_limit", "bytes=%llu", DATA_BYTES_MAX);
    }
#else
    (void) actor; /* the sanitizers' shadow alone is larger */
#endif
}

static enum weir_status
start (void **state, struct weir_actor *actor, struct weir_error *e)
{
    struct transport *t = weir_alloc (sizeof *t);
    *state = t;
    weir_crypto_init ();
    limit_memory (actor);
    t->actor = actor;
    t->codec = transport_codec_new ();
    t->by_number = weir_map_new ();
    t->by_routing_id = weir_map_new ();
    enum weir_status status = zap_open (t, e);
    if (status == WEIR_OK) {
        ask_lease (t, actor, NULL);
    }
    return status;
}

static void
stop (void **state, struct weir_actor *actor)
{
    struct transport *t = *state;
    (void) actor;
    t->peers_up = false;
    links_close_all (t, WEIR_UNAVAILABLE, "stopping");
    listener_stop (t);
    for (struct link *l = t->links; l != NULL; l = l->next) {
        link_gone (l, WEIR_UNAVAILABLE, "stopping");
    }
    links_sweep (t);
    zap_close (t);
    weir_map_destroy (&t->by_number, NULL);
    weir_map_destroy (&t->by_routing_id, NULL);
    transport_codec_destroy (&t->codec);
    weir_wipe (t->leased, sizeof t->leased);
    free (t);
    *state = NULL;
}

/* ---- partners ---- */

/* Links belong to one life of peers: another begins without any. */
static void
up (void *state, struct weir_actor *actor, const char *role, const char *name,
    const struct weir_mailbox_id *mailbox, uint64_t epoch)
{
    struct transport *t = state;
    (void) actor;
    (void) name;
    (void) mailbox;
    (void) epoch;
    if (strcmp (role, "peers") == 0) {
        t->peers_up = false;
        links_close_all (t, WEIR_UNAVAILABLE, "peers started anew");
        t->peers_up = true;
        if (t->ready) {
            listener_tell_ready (t);
        }
    }
}

static void
down (void *state, struct weir_actor *actor, const char *role, const char *name,
      const struct weir_mailbox_id *mailbox)
{
    struct transport *t = state;
    (void) actor;
    (void) name;
    (void) mailbox;
    if (strcmp (role, "peers") == 0) {
        t->peers_up = false;
        links_close_all (t, WEIR_UNAVAILABLE, "peers is down");
    }
}

static void
after_turn (void *state, struct weir_actor *actor)
{
    (void) actor;
    links_sweep (state);
}

/* ---- what peers asks ---- */

static void
on_admit (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct transport *t = state;
    const Weir__Admit *m = (const Weir__Admit *) message->meta;
    struct weir_id key;
    if (zap_admit (&t->zap, m)) {
        links_close_refused (t);
    }
    if (m->last && weir_field_get_id (&key, m->has_use_key, m->use_key) == WEIR_OK) {
        t->wanted_key = key;
        use_wanted_key (t);
        if (!weir_id_is_zero (&t->wanted_key) && t->n_leased > 0 && t->lease_timer == 0) {
            ask_lease (t, actor, NULL);
        }
    }
}

static void
on_dial (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    (void) actor;
    link_dial (state, (const Weir__Dial *) message->meta);
}

static void
on_hang_up (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct transport *t = state;
    const Weir__HangUp *m = (const Weir__HangUp *) message->meta;
    struct link *l = link_find (t, m->link);
    (void) actor;
    if (l != NULL) {
        link_close (l, weir_status_from_number (m->status), "hung up", true);
    }
}

static void
on_wire_out (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct transport *t = state;
    const Weir__LinkMessage *m = (const Weir__LinkMessage *) message->meta;
    struct link *l = link_find (t, m->link);
    const struct weir_kind *kind = weir_kind ((uint16_t) m->kind);
    (void) actor;
    if (l == NULL || kind == NULL || (kind->from & WEIR_ROLE_N) == 0 || kind->body_max != 0
        || message->body.len > WEIR_MESSAGE_META_BYTES_MAX) {
        t->dropped++;
        return;
    }
    link_say (l, kind->number, message->envelope.trace, NULL, message->body, weir_bytes (NULL, 0));
}

static void
on_frame_out (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct transport *t = state;
    Weir__Frame m = *(const Weir__Frame *) message->meta;
    struct link *l = link_find (t, m.link);
    (void) actor;
    if (l == NULL || message->body.len > WEIR_FRAME_BYTES_MAX) {
        t->dropped++;
        return;
    }
    struct weir_bytes wire = transport_frame_pack (t->codec, message->body, &m);
    m.has_link = m.has_session = false; /* ours only */
    link_say (l, WEIR_KIND_W_FRAME, message->envelope.trace, &m.base, weir_bytes (NULL, 0), wire);
}

static void
on_blob_out (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct transport *t = state;
    Weir__BlobPiece m = *(const Weir__BlobPiece *) message->meta;
    Weir__Frame frame = WEIR__FRAME__INIT;
    struct link *l = link_find (t, m.link);
    (void) actor;
    if (l == NULL || message->body.len > WEIR_MANIFEST_BYTES_MAX) {
        t->dropped++;
        return;
    }
    struct weir_bytes wire = transport_frame_pack (t->codec, message->body, &frame);
    m.has_link = false; /* ours only */
    m.has_codec = m.has_bytes = true;
    m.codec = frame.codec;
    m.bytes = frame.bytes;
    link_say (l, WEIR_KIND_W_BLOB_PIECE, message->envelope.trace, &m.base, weir_bytes (NULL, 0),
              wire);
}

static void
on_ack_out (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct transport *t = state;
    Weir__Ack m = *(const Weir__Ack *) message->meta;
    struct link *l = link_find (t, m.link);
    (void) actor;
    if (l == NULL) {
        t->dropped++;
        return;
    }
    m.has_link = m.has_session = false;
    l->frames_full_us = 0; /* what it sent was taken */
    link_say (l, WEIR_KIND_W_ACK, message->envelope.trace, &m.base, weir_bytes (NULL, 0),
              weir_bytes (NULL, 0));
}

static void
on_run (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct transport *t = state;
    const Weir__TransportSet *m = (const Weir__TransportSet *) message->meta;
    (void) actor;
    if (m->has_running && m->running == t->stopped) {
        t->stopped = !m->running;
        if (t->stopped) {
            links_close_all (t, WEIR_UNAVAILABLE, "the transport was stopped");
            listener_stop (t);
            listener_tell_ready (t); /* with no address */
        } else {
            listener_start (t);
        }
    }
}

static void
on_status (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct transport *t = state;
    Weir__TransportStatus m = WEIR__TRANSPORT_STATUS__INIT;
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    m.links = weir_arena_array (arena, t->n_links + 1, sizeof *m.links);
    for (struct link *l = t->links; l != NULL && m.links != NULL; l = l->next) {
        Weir__LinkState *item = l->free ? NULL : weir_arena_alloc (arena, sizeof *item);
        if (item != NULL && m.n_links < WEIR_LINKS_MAX / 4u) { /* an answer has a bound */
            *item = (Weir__LinkState) WEIR__LINK_STATE__INIT;
            item->has_link = item->has_address = item->has_in = item->has_out = true;
            item->link = l->number;
            item->address = weir_field_str (l->address);
            item->in = l->in;
            item->out = l->out;
            item->has_up = true;
            item->up = l->up && !l->closing;
            m.links[m.n_links++] = item;
        }
    }
    m.has_refused = m.has_bad = m.has_bytes_in = m.has_bytes_out = true;
    m.refused = t->zap.refused;
    m.bad = t->bad + t->unknown;
    m.bytes_in = t->bytes_in;
    m.bytes_out = t->bytes_out;
    m.has_messages_in = m.has_messages_out = true;
    m.messages_in = t->messages_in;
    m.messages_out = t->messages_out;
    weir_actor_answer (actor, &message->envelope, &m.base, weir_bytes (NULL, 0), false);
    weir_arena_destroy (&arena);
}

static const struct weir_actor_handler handlers[] = {
    { WEIR_KIND_ADMIT, on_admit },
    { WEIR_KIND_DIAL, on_dial },
    { WEIR_KIND_HANG_UP, on_hang_up },
    { WEIR_KIND_WIRE_OUT, on_wire_out },
    { WEIR_KIND_FRAME_OUT, on_frame_out },
    { WEIR_KIND_ACK_OUT, on_ack_out },
    { WEIR_KIND_BLOB_SAY, on_wire_out },
    { WEIR_KIND_BLOB_PIECE_OUT, on_blob_out },
    { WEIR_KIND_LINK_STATUS, on_status },
    { WEIR_KIND_TRANSPORT_RUN, on_run },
    { 0, NULL },
};

const struct weir_actor_def transport_def = {
    .role = "transport",
    .handlers = handlers,
    .start = start,
    .stop = stop,
    .up = up,
    .down = down,
    .after_turn = after_turn,
};

int
weir_transport_run (int argc, char **argv)
{
    return weir_actor_run (&transport_def, argc, argv);
}
