/* The synchronizer's hands and ears: its actions become messages to the store, to transports and
 * to retry; what those say becomes its events. It decides nothing itself. */

#include "actors/peers/history.h"
#include "store/crypto/hash.h"

#include <stdlib.h>
#include <string.h>

/* ---- running it ---- */

static void
options (const struct peers *p, struct weir_sync_options *o)
{
    const struct weir_settings_values *v = weir_actor_settings (p->actor);
    memset (o, 0, sizeof *o);
    o->device = p->device;
    o->role = strcmp (v->role, "hub") == 0 ? WEIR_ROLE_HUB : WEIR_ROLE_LEAF;
    o->forward = v->forward;
    o->enabled = v->enabled;
    o->check_interval_ms = v->check_interval_secs * 1000u;
    o->batch_size = (uint32_t) v->batch_size;
    weir_random (&o->seed, sizeof o->seed);
}

void
sync_start (struct peers *p)
{
    struct weir_sync_options o;
    options (p, &o);
    p->enabled = o.enabled;
    p->sync = weir_sync_new (&o);
}

void
sync_reload (struct peers *p)
{
    struct weir_sync_options o;
    bool was = p->enabled;
    if (p->sync != NULL) {
        options (p, &o);
        p->enabled = o.enabled;
        weir_sync_configure (p->sync, &o);
        presence_configure (p);
        if (o.enabled && !was) {
            sync_check (p, NULL, NULL); /* what waited goes now */
        }
    }
}

static void act (struct peers *p, struct weir_sync_action *a);

static void
tick (void *state, struct weir_actor *actor, void *context)
{
    struct peers *p = state;
    struct weir_sync_event e = { .type = WEIR_SYNC_TICK };
    (void) actor;
    (void) context;
    p->sync_timer = 0;
    sync_step (p, &e);
}

static void
rearm (struct peers *p)
{
    uint64_t due = weir_sync_next_ms (p->sync);
    if (p->sync_timer != 0 && due == p->sync_due_ms) {
        return;
    }
    weir_actor_timer_cancel (p->actor, p->sync_timer);
    p->sync_timer = 0;
    p->sync_due_ms = due;
    if (due != UINT64_MAX) {
        p->sync_timer = weir_actor_timer (p->actor, due, tick, NULL);
    }
}

/* Acting may step again: those actions go behind, and are done by the outermost call. */
void
sync_step (struct peers *p, const struct weir_sync_event *event)
{
    weir_sync_step (p->sync, event, weir_actor_now_ms (p->actor), &p->actions);
    if (p->acting) {
        return;
    }
    p->acting = true;
    for (size_t i = 0; i < p->actions.count; i++) {
        struct weir_sync_action a = p->actions.items[i]; /* the list may move */
        act (p, &a);
    }
    weir_sync_actions_clear (&p->actions);
    p->acting = false;
    rearm (p);
}

/* ---- sessions ---- */

void
sync_session_up (struct peers *p, struct link *l)
{
    struct weir_sync_event e = { .type = WEIR_SYNC_SESSION_UP,
                                 .session = l->session.ours.epoch,
                                 .device = l->device->id,
                                 .key = l->key,
                                 .role = (enum weir_role) l->session.theirs.role,
                                 .protocol = l->session.protocol };
    Weir__PeerId heard = WEIR__PEER_ID__INIT;
    if (l->session.theirs.features & WEIR_FEATURE_KEEPS) {
        e.role = WEIR_ROLE_LEAF;
    }
    l->in_sync = true;
    (void) weir_map_put (p->sessions, weir_bytes (&e.session, sizeof e.session), l);
    sync_step (p, &e);
    heard.has_device = true;
    heard.device = weir_field_id (&l->device->id);
    (void) weir_actor_send_about (p->actor, WEIR_KIND_HEARD, NULL, &l->device->id, NULL, 0,
                                  &heard.base, weir_bytes (NULL, 0));
}

/* The last that they told is kept: it is what lag is measured against while they are away. */
static void
keep_told (struct peers *p, struct relation *r)
{
    struct weir_sync_state s;
    if (weir_sync_find (p->sync, &r->device->id, &r->db, &s) && !weir_id_is_zero (&s.their_digest)
        && !weir_id_equal (&s.their_digest, &r->told)) {
        r->told = s.their_digest;
        r->cursor_dirty = true;
        rows_flush_later (p);
    }
}

void
sync_session_down (struct peers *p, struct link *l)
{
    struct weir_sync_event e = { .type = WEIR_SYNC_SESSION_DOWN, .session = l->session.ours.epoch };
    l->in_sync = false;
    (void) weir_map_remove (p->sessions, weir_bytes (&e.session, sizeof e.session));
    sync_look_at_steps (p);
    for (struct relation *r = l->device->relations; r != NULL; r = r->next) {
        keep_told (p, r);
    }
    sync_step (p, &e);
}

static struct link *
link_of_session (struct peers *p, uint64_t session)
{
    return weir_map_get (p->sessions, weir_bytes (&session, sizeof session));
}

static struct relation *
relation_of (struct peers *p, const struct weir_id *device, const struct weir_id *db)
{
    struct device *d = device_find (p, device);
    return d != NULL ? relation_find (d, db) : NULL;
}

/* ---- actions: words ---- */

static void
say (struct peers *p, const struct weir_sync_action *a)
{
    struct link *l = link_of_session (p, a->session);
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    ProtobufCMessage *m = NULL;
    uint16_t kind = wire_from_sync (&a->message, arena, &m);
    if (l != NULL && m != NULL) {
        link_say (p, l, kind, m);
    }
    weir_arena_destroy (&arena);
}

/* ---- actions: the store ---- */

static void
compared (void *state, struct weir_actor *actor, void *context, enum weir_status status,
          const struct weir_error *problem, const struct weir_message *answer)
{
    uint64_t *ticket = context;
    struct weir_sync_event e = { .type = WEIR_SYNC_COMPARED, .ticket = *ticket };
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    struct weir_ranges lacks = { 0 };
    struct weir_vector unknown = { 0 };
    struct weir_told_row *ours = NULL;
    struct weir_told_row *open = NULL;
    (void) actor;
    (void) problem;
    free (ticket);
    const Weir__Compared *m =
        status == WEIR_OK && answer != NULL ? (const Weir__Compared *) answer->meta : NULL;
    e.status = status == WEIR_OK && m == NULL ? WEIR_FAILED : status;
    if (m != NULL) {
        e.status = wire_ranges_read (m->lacks, m->n_lacks, &lacks);
        if (e.status == WEIR_OK) {
            e.status = wire_rows_read (m->ours, m->n_ours, arena, &ours);
        }
        if (e.status == WEIR_OK) {
            e.status = wire_rows_read (m->unknown, m->n_unknown, arena, &open);
        }
        for (size_t i = 0; e.status == WEIR_OK && i < m->n_unknown; i++) {
            weir_vector_put (&unknown, &open[i].row);
        }
        e.more = m->more;
        e.ranges = &lacks;
        e.unknown = &unknown;
        e.rows = ours;
        e.n_rows = m->n_ours;
    }
    sync_step (state, &e);
    weir_ranges_fini (&lacks);
    weir_vector_fini (&unknown);
    weir_arena_destroy (&arena);
}

static void
compare (struct peers *p, const struct weir_sync_action *a)
{
    struct weir_arena *arena = weir_arena_new (4u * WEIR_UNPACK_BYTES_MAX);
    Weir__Compare m = WEIR__COMPARE__INIT;
    m.has_db = m.has_only = m.has_ask = true;
    m.db = weir_field_id (&a->db);
    m.only = a->only;
    m.ask = a->ask;
    m.rows = wire_rows_make (a->rows, a->n_rows, arena);
    m.n_rows = m.rows != NULL ? a->n_rows : 0;
    struct relation *r = relation_of (p, &a->device, &a->db);
    if (r != NULL && !a->ask && !a->only && m.rows != NULL) {
        known_set (r, a->rows, a->n_rows); /* all their rows */
        rows_flush_later (p);
    }
    if (m.rows == NULL
        || protobuf_c_message_get_packed_size (&m.base) > WEIR_MESSAGE_META_BYTES_MAX) {
        struct weir_sync_event e = { .type = WEIR_SYNC_COMPARED,
                                     .ticket = a->ticket,
                                     .status = WEIR_LIMIT };
        sync_step (p, &e);
    } else {
        uint64_t *ticket = weir_alloc (sizeof *ticket);
        *ticket = a->ticket;
        (void) weir_actor_ask (p->actor, WEIR_KIND_COMPARE, NULL, &m.base, weir_bytes (NULL, 0),
                               PEERS_ASK_MS, compared, ticket);
    }
    weir_arena_destroy (&arena);
}

struct opening {
    uint64_t session;
    uint64_t transfer;
};

static void
transfer_opened (void *state, struct weir_actor *actor, void *context, enum weir_status status,
                 const struct weir_error *problem, const struct weir_message *answer)
{
    struct opening *o = context;
    struct weir_sync_event e = {
        .type = WEIR_SYNC_OPENED, .session = o->session, .transfer = o->transfer, .status = status
    };
    (void) actor;
    (void) problem;
    (void) answer;
    free (o);
    sync_step (state, &e);
}

static void
open_transfer (struct peers *p, const struct weir_sync_action *a, bool out)
{
    struct link *l = link_of_session (p, a->session);
    struct relation *r = relation_of (p, &a->device, &a->db);
    if (l == NULL) {
        return; /* its SESSION_DOWN is on the way */
    }
    struct opening *o = weir_alloc (sizeof *o);
    Weir__TransferOpen m = WEIR__TRANSFER_OPEN__INIT;
    *o = (struct opening){ a->session, a->transfer };
    m.has_transfer = m.has_session = m.has_link = m.has_mailbox = true;
    m.has_device = m.has_db = m.has_out = true;
    m.transfer = a->transfer;
    m.session = a->session;
    m.link = l->number;
    m.mailbox = weir_field_of (weir_bytes (l->transport->mailbox.b, WEIR_ADDRESS_BYTES));
    m.device = weir_field_id (&a->device);
    m.db = weir_field_id (&a->db);
    m.out = out;
    if (r != NULL) {
        *(out ? &r->out_session : &r->in_session) = a->session;
        *(out ? &r->out_transfer : &r->in_transfer) = a->transfer;
        r->stands = r->stands && !out;
    }
    pacing_open (l, r, &m);
    (void) weir_actor_ask (p->actor, WEIR_KIND_TRANSFER_OPEN, NULL, &m.base, weir_bytes (NULL, 0),
                           PEERS_ASK_MS, transfer_opened, o);
}

static void
start_transfer (struct peers *p, const struct weir_sync_action *a)
{
    Weir__TransferStart m = WEIR__TRANSFER_START__INIT;
    m.has_transfer = m.has_session = m.has_limit = true;
    m.transfer = a->transfer;
    m.session = a->session;
    m.limit = a->credit;
    (void) weir_actor_send_about (p->actor, WEIR_KIND_TRANSFER_START, NULL, &a->device, &a->db, 0,
                                  &m.base, weir_bytes (NULL, 0));
}

static void
feed_transfer (struct peers *p, const struct weir_sync_action *a)
{
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    Weir__TransferSend m = WEIR__TRANSFER_SEND__INIT;
    m.has_transfer = m.has_session = m.has_digest = true;
    m.transfer = a->transfer;
    m.session = a->session;
    m.digest = weir_field_id (&a->digest);
    m.ranges = wire_ranges_make (&a->ranges, arena);
    m.n_ranges = m.ranges != NULL ? a->ranges.count : 0;
    struct relation *r = relation_of (p, &a->device, &a->db);
    if (r != NULL) {
        history_sent (p, r, a->session, a->transfer, &a->ranges);
    }
    (void) weir_actor_send_about (p->actor, WEIR_KIND_TRANSFER_SEND, NULL, &a->device, &a->db, 0,
                                  &m.base, weir_bytes (NULL, 0));
    weir_arena_destroy (&arena);
}

static void
stop_transfer (struct peers *p, const struct weir_sync_action *a)
{
    struct relation *r = relation_of (p, &a->device, &a->db);
    bool out = r != NULL && r->out_session == a->session && r->out_transfer == a->transfer;
    Weir__TransferStop m = WEIR__TRANSFER_STOP__INIT;
    m.has_transfer = m.has_session = m.has_out = true;
    m.transfer = a->transfer;
    m.session = a->session;
    m.out = out;
    if (out) {
        r->out_session = r->out_transfer = 0;
        r->stands = false;
    }
    (void) weir_actor_send_about (p->actor, WEIR_KIND_TRANSFER_STOP, NULL, &a->device, &a->db, 0,
                                  &m.base, weir_bytes (NULL, 0));
}

/* ---- actions: what others should know ---- */

void
sync_tell_retry (struct peers *p, const struct relation *r, uint16_t kind, enum weir_status status)
{
    Weir__Behind m = WEIR__BEHIND__INIT;
    m.has_device = m.has_db = m.has_status = true;
    m.device = weir_field_id (&r->device->id);
    m.db = weir_field_id (&r->db);
    m.status = (uint32_t) status;
    (void) weir_actor_send_about (p->actor, kind, NULL, &r->device->id, &r->db, 0, &m.base,
                                  weir_bytes (NULL, 0));
}

void
sync_behind (struct peers *p, struct relation *r, enum weir_status status)
{
    r->behind = true;
    r->due = false;
    r->last_error = status;
    history_failed (p, r, status);
    sync_tell_retry (p, r, WEIR_KIND_BEHIND, status);
}

static void
in_step (struct peers *p, const struct weir_sync_action *a)
{
    struct relation *r = relation_of (p, &a->device, &a->db);
    if (r == NULL) {
        return;
    }
    if (r->behind) {
        r->behind = false;
        sync_tell_retry (p, r, WEIR_KIND_IN_STEP, WEIR_OK);
    }
    r->due = false;
    r->last_error = WEIR_OK;
    r->stepped = true; /* the rest can wait: it is off the live path */
    p->look_at_waits = true;
    rows_flush_later (p);
}

void
sync_look_at_steps (struct peers *p)
{
    struct weir_bytes key;
    void *value = NULL;
    for (size_t i = 0; weir_map_next (p->devices, &i, &key, &value);) {
        struct device *d = value;
        for (struct relation *r = d->relations; r != NULL; r = r->next) {
            struct weir_sync_state s;
            if (!r->stepped) {
                continue;
            }
            r->stepped = false;
            if (weir_sync_find (p->sync, &d->id, &r->db, &s) && s.phase == WEIR_SYNC_EQUAL) {
                known_equal (p, r, &s.their_digest);
            }
        }
    }
}

static void
act (struct peers *p, struct weir_sync_action *a)
{
    struct relation *r = NULL;
    switch (a->type) {
    case WEIR_SYNC_SAY:
        say (p, a);
        break;
    case WEIR_SYNC_COMPARE:
        if (a->ladder) {
            ladder_step (p, relation_of (p, &a->device, &a->db), a);
        } else {
            compare (p, a);
        }
        break;
    case WEIR_SYNC_OPEN_OUT:
    case WEIR_SYNC_OPEN_IN:
        open_transfer (p, a, a->type == WEIR_SYNC_OPEN_OUT);
        break;
    case WEIR_SYNC_START:
        start_transfer (p, a);
        break;
    case WEIR_SYNC_SEND:
        feed_transfer (p, a);
        break;
    case WEIR_SYNC_STOP:
        stop_transfer (p, a);
        break;
    case WEIR_SYNC_STAND:
        pacing_stand (p, relation_of (p, &a->device, &a->db), a);
        break;
    case WEIR_SYNC_BEHIND:
        r = relation_of (p, &a->device, &a->db);
        if (r != NULL) {
            sync_behind (p, r, a->status);
        }
        break;
    case WEIR_SYNC_IN_STEP:
        in_step (p, a);
        break;
    case WEIR_SYNC_FIND:
        tree_find (p, a);
        break;
    case WEIR_SYNC_STRIKE:
        tree_strike (p, a);
        break;
    case WEIR_SYNC_DIFFERS:
        ladder_differs (p, a);
        break;
    }
}

/* ---- events: the other node ---- */

/* A member that asks after a database it may have becomes related, unless an operator took that
 * off: so `sync add` on one side is enough. */
static void
relate_asker (struct peers *p, struct link *l, const struct weir_sync_message *m)
{
    struct weir_bytes key;
    void *value = NULL;
    bool changed = false;
    for (size_t i = 0; weir_map_next (p->databases, &i, &key, &value);) {
        const struct database *db = value;
        const struct member *member = database_member (db, &l->device->id);
        if (member == NULL || member->right == 0 || relation_find (l->device, &db->id) != NULL) {
            continue;
        }
        uint64_t tag = weir_hash_tag (&l->key, weir_id_bytes (&db->id));
        for (size_t k = 0; k < m->n_digests; k++) {
            if (m->digests[k].tag == tag) {
                relation_need (l->device, &db->id)->dirty = true;
                changed = true;
                break;
            }
        }
    }
    if (changed) {
        rows_flush_later (p);
        members_apply (p);
    }
}

void
sync_take (struct peers *p, struct link *l, uint16_t kind, const ProtobufCMessage *meta)
{
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    struct weir_sync_message m;
    enum weir_status status = wire_to_sync (kind, meta, arena, &m);
    if (status != WEIR_OK) {
        link_ignored (p, l);
        link_end (p, l, WEIR_BAD_MESSAGE, "a message that makes no sense", false);
    } else {
        struct weir_sync_event e = { .type = WEIR_SYNC_MESSAGE,
                                     .session = l->session.ours.epoch,
                                     .device = l->device->id,
                                     .message = &m };
        if (m.type == WEIR_SYNC_DIGESTS) {
            relate_asker (p, l, &m);
        }
        if (!l->ended) {
            sync_step (p, &e);
        }
        p->look_at_waits = true;
    }
    weir_arena_destroy (&arena);
}

/* ---- events: the store ---- */

static void
digest_is (struct peers *p, const struct weir_id *id, const struct weir_id *digest)
{
    struct database *db = database_find (p, id);
    if (db != NULL && !weir_id_is_zero (digest)) {
        db->digest = *digest;
    }
}

static struct relation *
sender (struct peers *p, uint64_t session, uint64_t transfer)
{
    struct link *l = link_of_session (p, session);
    for (struct relation *r = l != NULL ? l->device->relations : NULL; r != NULL; r = r->next) {
        if (r->out_session == session && r->out_transfer == transfer) {
            return r;
        }
    }
    return NULL;
}

void
sync_novel (struct peers *p, const Weir__Novel *m)
{
    struct weir_sync_event e = { .type = WEIR_SYNC_NOVEL };
    struct weir_ranges ranges = { 0 };
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    if (weir_field_get_id (&e.db, m->has_db, m->db) != WEIR_OK
        || wire_ranges_read (m->ranges, m->n_ranges, &ranges) != WEIR_OK
        || !pacing_fed (m, arena, &e)) {
        goto done;
    }
    if (weir_field_get_id (&e.source, m->has_source, m->source) != WEIR_OK) {
        e.source = weir_id_zero; /* here */
    }
    if (weir_field_get_id (&e.digest, m->has_digest, m->digest) != WEIR_OK) {
        e.digest = weir_id_zero;
    }
    e.ranges = &ranges;
    digest_is (p, &e.db, &e.digest);
    struct relation *r = relation_of (p, &e.source, &e.db);
    for (size_t i = 0; r != NULL && i < ranges.count; i++) {
        known_add (r, &ranges.items[i]); /* who sent it has it */
    }
    for (size_t i = 0; i < e.n_fed; i++) {
        r = sender (p, e.fed[i].session, e.fed[i].transfer);
        if (r != NULL) {
            history_sent (p, r, e.fed[i].session, e.fed[i].transfer, &ranges);
        }
    }
    sync_step (p, &e);
    p->look_at_waits = true;
done:
    weir_ranges_fini (&ranges);
    weir_arena_destroy (&arena);
}

static struct relation *
receiver (struct peers *p, uint64_t session, uint64_t transfer)
{
    struct link *l = link_of_session (p, session);
    for (struct relation *r = l != NULL ? l->device->relations : NULL; r != NULL; r = r->next) {
        if (r->in_session == session && r->in_transfer == transfer) {
            return r;
        }
    }
    return NULL;
}

void
sync_acked (struct peers *p, const Weir__TransferAcked *m)
{
    struct weir_sync_event e = { .type = WEIR_SYNC_ACKED,
                                 .session = m->session,
                                 .transfer = m->transfer,
                                 .entries = m->entries,
                                 .idle = m->idle };
    struct weir_ranges ranges = { 0 };
    struct relation *r = sender (p, m->session, m->transfer);
    if (weir_field_get_id (&e.their_digest, m->has_digest, m->digest) != WEIR_OK) {
        e.their_digest = weir_id_zero;
    }
    if (r != NULL) {
        history_acked (p, r, m);
    }
    if (r != NULL && m->entries > 0) {
        r->acked += m->entries;
        r->device->sent += m->entries;
        r->device->dirty = r->cursor_dirty = true;
        if (wire_ranges_read (m->ranges, m->n_ranges, &ranges) == WEIR_OK) {
            for (size_t i = 0; i < ranges.count; i++) {
                known_add (r, &ranges.items[i]);
            }
        }
        rows_flush_later (p);
    }
    sync_step (p, &e);
    p->look_at_waits = true;
    weir_ranges_fini (&ranges);
}

void
sync_arrived (struct peers *p, const Weir__TransferArrived *m)
{
    struct weir_sync_event e = { .type = WEIR_SYNC_ARRIVED,
                                 .session = m->session,
                                 .transfer = m->transfer,
                                 .entries = m->entries,
                                 .gap = m->gap,
                                 .status = weir_status_from_number (m->status) };
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    struct weir_ranges held = { 0 };
    struct relation *r = receiver (p, m->session, m->transfer);
    if (weir_field_get_id (&e.their_digest, m->has_their_digest, m->their_digest) != WEIR_OK) {
        e.their_digest = weir_id_zero;
    }
    if (weir_field_get_id (&e.digest, m->has_digest, m->digest) != WEIR_OK) {
        e.digest = weir_id_zero;
    }
    if (r != NULL) {
        history_arrived (p, r, m);
        digest_is (p, &r->db, &e.digest);
        r->device->received += m->entries;
        r->device->dirty = r->device->dirty || m->entries > 0;
        rows_flush_later (p);
    }
    if (tree_arrived (m, arena, &held, &e)) {
        sync_step (p, &e);
    }
    p->look_at_waits = true;
    weir_ranges_fini (&held);
    weir_arena_destroy (&arena);
}

void
sync_lost (struct peers *p, const Weir__TransferLost *m)
{
    struct weir_sync_event e = { .type = WEIR_SYNC_TRANSFER_LOST,
                                 .session = m->session,
                                 .transfer = m->transfer,
                                 .status = weir_status_from_number (m->status) };
    sync_step (p, &e);
}
