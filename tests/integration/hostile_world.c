/* The honest side of the refusal matrix; see hostile_world.h. */

#include "tests/integration/hostile_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zmq.h>

#include "store/dag/members.h"

static const char *const names[WHOS] = { "stranger", "ticket",  "reader",  "writer",
                                         "carrier",  "removed", "impostor" };

const char *
who_name (enum who who)
{
    return names[who];
}

/* ---- asking the hub ---- */

static void
call (struct world *w, uint16_t kind, const ProtobufCMessage *meta,
      struct weir_client_answer *answer)
{
    struct weir_error e = { 0 };
    enum weir_status status =
        weir_client_call (w->ctl, kind, meta, weir_bytes (NULL, 0), 10000, answer, &e);
    if (status != WEIR_OK) {
        node_die ("%s: %s (%s)", weir_kind (kind)->name, e.what, weir_status_code (status));
    }
}

void
world_counts (struct world *w, struct counts *out)
{
    struct weir_client_answer answer;
    memset (out, 0, sizeof *out);
    call (w, WEIR_KIND_TRANSPORT_LIST, NULL, &answer);
    const Weir__Transports *t = (const Weir__Transports *) answer.meta;
    for (size_t i = 0; i < t->n_items; i++) {
        out->refused += t->items[i]->refused;
        out->bad += t->items[i]->bad;
    }
    weir_client_answer_fini (&answer);
    call (w, WEIR_KIND_STORE_STATUS, NULL, &answer);
    const Weir__StoreStatus *s = (const Weir__StoreStatus *) answer.meta;
    out->runs_refused = s->refused;
    out->frames_dropped = s->frames_dropped;
    weir_client_answer_fini (&answer);
}

enum weir_status
world_event (struct world *w, uint64_t after, const char *name, enum weir_status wanted)
{
    Weir__EventsAsk ask = WEIR__EVENTS_ASK__INIT;
    struct weir_client_answer answer;
    struct weir_error e = { 0 };
    enum weir_status found = WEIR_OK;
    uint64_t request = 0;
    bool more = true;
    ask.has_after = true;
    ask.after = after;
    if (weir_client_send (w->ctl, WEIR_KIND_EVENTS, &ask.base, weir_bytes (NULL, 0), 10000,
                          &request, &e)
        != WEIR_OK) {
        node_die ("events: %s", e.what);
    }
    while (more) {
        if (weir_client_receive (w->ctl, 10000, &answer, &e) != WEIR_OK
            || answer.status != WEIR_OK) {
            node_die ("events: %s", e.what);
        }
        const Weir__Event *m = (const Weir__Event *) answer.meta;
        more = answer.more;
        w->last_event = !more && m != NULL ? m->number : w->last_event;
        enum weir_status status = m != NULL ? weir_status_from_number (m->status) : WEIR_OK;
        if (more && m != NULL && found == WEIR_OK && status != WEIR_OK
            && (wanted == WEIR_STATUS_COUNT || wanted == status)
            && (name == NULL || weir_bytes_equal (weir_field (m->name), weir_bytes_str (name)))) {
            found = status;
        }
        weir_client_answer_fini (&answer);
    }
    return found;
}

uint64_t
world_newest_event (struct world *w)
{
    (void) world_event (w, w->last_event, NULL, WEIR_STATUS_COUNT);
    return w->last_event;
}

size_t
world_heads (struct world *w, const char *db, struct weir_id heads[WEIR_ENTRY_DEPS_MAX])
{
    Weir__DbName ask = WEIR__DB_NAME__INIT;
    struct weir_client_answer answer;
    size_t n = 0;
    ask.has_db = true;
    ask.db = weir_field_str (db);
    call (w, WEIR_KIND_DOC_HEADS, &ask.base, &answer);
    const Weir__DocHeads *m = (const Weir__DocHeads *) answer.meta;
    for (; n < m->n_heads && n < WEIR_ENTRY_DEPS_MAX; n++) {
        weir_ignore (weir_field_get_id (&heads[n], true, m->heads[n]));
    }
    weir_client_answer_fini (&answer);
    return n;
}

void
world_ticket (struct world *w, uint32_t right, uint32_t seconds, struct weir_link_key *link)
{
    Weir__DbShare ask = WEIR__DB_SHARE__INIT;
    struct weir_client_answer answer;
    struct weir_ticket ticket = { 0 };
    ask.has_db = ask.has_right = ask.has_seconds = true;
    ask.db = weir_field_str ("matrix");
    ask.right = right;
    ask.seconds = seconds;
    call (w, WEIR_KIND_DB_SHARE, &ask.base, &answer);
    if (weir_ticket_get (&ticket, weir_field (((const Weir__Ticket *) answer.meta)->text), NULL)
        != WEIR_OK) {
        node_die ("a ticket that does not read");
    }
    memcpy (link->secret, ticket.secret, sizeof link->secret);
    weir_link_key_public (&link->public_key, link->secret);
    weir_ticket_fini (&ticket);
    weir_client_answer_fini (&answer);
}

void
world_reason (struct world *w, const struct weir_id *device, char out[64])
{
    Weir__PeerName ask = WEIR__PEER_NAME__INIT;
    struct weir_client_answer answer;
    struct weir_id_text text = weir_id_text (device);
    out[0] = '\0';
    ask.has_peer = true;
    ask.peer = weir_field_str (text.s);
    call (w, WEIR_KIND_PEER_LIST, &ask.base, &answer);
    const Weir__Peers *m = (const Weir__Peers *) answer.meta;
    if (m->n_items == 1 && m->items[0]->reason != 0) {
        snprintf (out, 64, "%s", weir_status_code (weir_status_from_number (m->items[0]->reason)));
    }
    weir_client_answer_fini (&answer);
}

void
world_dials (struct world *w, const struct weir_id *device, uint16_t port,
             const struct weir_id *link_key)
{
    Weir__PeerAdd ask = WEIR__PEER_ADD__INIT;
    struct weir_client_answer answer;
    char text[256];
    snprintf (text, sizeof text, "weir://%s@127.0.0.1:%u?k=%s", weir_id_text (device).s, port,
              weir_id_text (link_key).s);
    ask.has_address = true;
    ask.address = weir_field_str (text);
    call (w, WEIR_KIND_PEER_ADD, &ask.base, &answer);
    weir_client_answer_fini (&answer);
}

/* ---- making it ---- */

static void
learn_hub (struct world *w, const char *db, struct weir_id *id)
{
    Weir__DbName ask = WEIR__DB_NAME__INIT;
    struct weir_client_answer answer;
    ask.has_db = true;
    ask.db = weir_field_str (db);
    call (w, WEIR_KIND_DB_SHOW, &ask.base, &answer);
    const Weir__DbInfos *m = (const Weir__DbInfos *) answer.meta;
    weir_ignore (weir_field_get_id (id, m->items[0]->has_id, m->items[0]->id));
    weir_client_answer_fini (&answer);
}

void
world_learn_self (struct world *w)
{
    struct weir_client_answer answer;
    uint64_t until = node_now_ms () + HOSTILE_MS;
    while (w->address[0] == '\0') {
        call (w, WEIR_KIND_PEER_SELF, NULL, &answer);
        const Weir__PeerSelf *m = (const Weir__PeerSelf *) answer.meta;
        weir_ignore (weir_field_get_id (&w->device, m->has_device, m->device));
        if (m->n_addresses > 0 && m->n_link_keys > 0) {
            snprintf (w->address, sizeof w->address, "%.*s", (int) m->addresses[0].len,
                      (const char *) m->addresses[0].data);
            weir_ignore (weir_field_get_id (&w->link_key, true, m->link_keys[0]));
        }
        weir_client_answer_fini (&answer);
        if (node_now_ms () > until) {
            node_die ("the hub has no address");
        }
    }
    const char *scheme = strstr (w->address, "://");
    const char *at = strchr (w->address, '@');
    if (scheme != NULL && at != NULL) { /* weir://DEVICE@host:port?k=.. */
        char address[128];
        snprintf (address, sizeof address, "tcp://%.*s", (int) strcspn (at + 1, "?"), at + 1);
        memcpy (w->address, address, sizeof address);
    }
}

unsigned
world_port (const struct world *w)
{
    return (unsigned) strtoul (strrchr (w->address, ':') + 1, NULL, 10);
}

/* Joins as the protocol wants it, with a fresh ticket: the proof that the harness can be good. */
void
world_join (struct world *w, const struct hostile_id *id, const char *name, uint32_t right)
{
    struct hostile h;
    struct hostile_id guest = *id;
    world_ticket (w, right, 3600, &guest.link);
    hostile_dial (&h, w->zmq, &guest, w->address, &w->link_key, NULL);
    if (!h.up || !hostile_open (&h)) {
        node_die ("%s cannot use its ticket: %s", name, hostile_end (&h));
    }
    Weir__Join m = WEIR__JOIN__INIT;
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    m.has_ticket = m.has_name = true;
    m.ticket = weir_field_id (&guest.link.public_key);
    m.name = weir_field_str (name);
    m.card = hostile_card (id, arena);
    hostile_say (&h, WEIR_KIND_W_JOIN, &m.base, weir_bytes (NULL, 0));
    if (!hostile_hear (&h, WEIR_KIND_W_JOINED, HOSTILE_MS)
        || ((const Weir__Joined *) h.heard)->status != WEIR_OK) {
        node_die ("%s was not let in", name);
    }
    weir_arena_destroy (&arena);
    hostile_close (&h);
}

static void
join (struct world *w, enum who who, uint32_t right)
{
    world_join (w, &w->who[who], who_name (who), right);
}

static void
remove_member (struct world *w, enum who who)
{
    Weir__DbGrant ask = WEIR__DB_GRANT__INIT;
    struct weir_client_answer answer;
    struct weir_id_text text = weir_id_text (&w->who[who].device.device);
    ask.has_db = ask.has_device = ask.has_right = true;
    ask.db = weir_field_str ("matrix");
    ask.device = weir_field_str (text.s);
    ask.right = WEIR_RIGHT_NONE;
    call (w, WEIR_KIND_DB_GRANT, &ask.base, &answer);
    weir_client_answer_fini (&answer);
}

void
world_init (struct world *w)
{
    static const char *const env[] = { "WEIR_CHECK_INTERVAL_SECS=2", NULL };
    struct weir_error e = { 0 };
    memset (w, 0, sizeof *w);
    weir_crypto_init ();
    w->zmq = zmq_ctx_new ();
    node_init (&w->hub, "hub", "hub");
    node_init (&w->honest, "honest", "leaf");
    node_init (&w->cold, "cold", "leaf");
    node_start (&w->hub, env);
    node_start (&w->honest, env);
    node_start (&w->cold, env);
    node_create_db (&w->hub, "matrix");
    node_create_db (&w->hub, "secret");
    node_join (&w->hub, &w->honest, "matrix");
    if (weir_client_open (&w->ctl, w->hub.paths.control, 5000, &e) != WEIR_OK) {
        node_die ("%s", e.what);
    }
    learn_hub (w, "matrix", &w->db);
    learn_hub (w, "secret", &w->secret);
    world_learn_self (w);
    for (unsigned i = 0; i < WHOS; i++) {
        hostile_id_make (&w->who[i], i + 1, i + 1);
    }
    join (w, READER, WEIR_RIGHT_READ);
    join (w, WRITER, WEIR_RIGHT_WRITE);
    join (w, CARRIER, WEIR_RIGHT_CARRY);
    join (w, REMOVED, WEIR_RIGHT_WRITE);
    w->n_early_heads = world_heads (w, "matrix", w->early_heads);
    remove_member (w, REMOVED);
    w->who[IMPOSTOR].link = w->who[WRITER].link;
    world_ticket (w, WEIR_RIGHT_WRITE, 3600, &w->who[TICKET].link);
    w->n_actors = node_actors (&w->hub, w->actors, 5000);
    (void) world_newest_event (w);
}

void
world_fini (struct world *w)
{
    weir_client_close (&w->ctl);
    if (node_stop (&w->hub) != 0 || node_stop (&w->honest) != 0 || node_stop (&w->cold) != 0) {
        node_die ("a node did not stop in order");
    }
    zmq_ctx_term (w->zmq);
    node_end ();
}

/* ---- afterwards ---- */

void
world_check_alive (struct world *w)
{
    struct node_actor now[NODE_ACTORS_MAX];
    size_t n = node_actors (&w->hub, now, 5000);
    if (n != w->n_actors || n == 0) {
        node_die ("%zu actors of %zu", n, w->n_actors);
    }
    for (size_t i = 0; i < n; i++) {
        if (now[i].pid != w->actors[i].pid || !now[i].ready) {
            node_die ("%s is not the process it was", now[i].name);
        }
    }
}

void
world_check_in_step (struct world *w)
{
    Weir__DocWrite ask = WEIR__DOC_WRITE__INIT;
    struct weir_client_answer answer;
    struct weir_error e = { 0 };
    static unsigned number;
    char path[32];
    uint64_t n;
    snprintf (path, sizeof path, "/after/%u", ++number);
    ask.has_db = ask.has_path = true;
    ask.db = weir_field_str ("matrix");
    ask.path = weir_field_str (path);
    if (node_call (&w->hub, WEIR_KIND_DOC_SET, &ask.base, weir_bytes_str ("1"), 10000, &answer, &e)
        != WEIR_OK) {
        node_die ("the hub cannot write: %s", e.what);
    }
    weir_client_answer_fini (&answer);
    uint64_t until = node_now_ms () + 10000;
    for (;;) {
        struct weir_id a = node_digest (&w->hub, "matrix", &n);
        struct weir_id b = node_digest (&w->honest, "matrix", &n);
        if (weir_id_equal (&a, &b)) {
            return;
        }
        if (node_now_ms () > until) {
            node_die ("the honest peer is no longer in step");
        }
        node_pause_ms (10);
    }
}
