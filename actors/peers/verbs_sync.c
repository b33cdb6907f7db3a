/* What clients ask about sync. The promise is truth (P9): in step is said only when the digest
 * that the other side told last equals ours as the store has it now. */

#include "actors/peers/history.h"

#include <stdlib.h>
#include <string.h>

#include "store/sync/retry.h"

#define WAIT_MS_DEFAULT 10000u
#define LOOK_AGAIN_MS 200u

static const char *const phases[] = {
    [WEIR_SYNC_ABSENT] = "absent",           [WEIR_SYNC_IDLE] = "idle",
    [WEIR_SYNC_COMPARING] = "comparing",     [WEIR_SYNC_SENDING] = "sending",
    [WEIR_SYNC_RECEIVING] = "receiving",     [WEIR_SYNC_EQUAL] = "equal",
    [WEIR_SYNC_BACKING_OFF] = "backing_off",
};

/* ---- a pair, for people ---- */

static enum weir_status
pair_reason (struct peers *p, struct relation *r, const struct weir_sync_state *s,
             const char **text)
{
    const struct device *d = r->device;
    *text = "";
    if (r->removed) {
        *text = "it is no longer a member";
        return WEIR_NOT_MEMBER;
    }
    if (d->blocked) {
        *text = "it is blocked here";
        return WEIR_BLOCKED;
    }
    if (s != NULL && s->phase == WEIR_SYNC_EQUAL) {
        return blobs_in_step (p, r, text) ? WEIR_OK : WEIR_BLOB_MISSING;
    }
    if (d->link == NULL) {
        bool dialable = d->typed || (d->card != NULL && d->card->n_addresses > 0);
        *text = d->last_why != NULL ? d->last_why
                : dialable          ? "not connected yet"
                                    : "no address of it is known: it must dial us";
        return d->last_error != WEIR_OK ? d->last_error : WEIR_NOT_REACHABLE_OR_NOT_ADMITTED;
    }
    if (s != NULL && s->last_error != WEIR_OK) {
        *text = weir_status_code (s->last_error);
        return s->last_error;
    }
    if (s != NULL && s->phase == WEIR_SYNC_IDLE) {
        *text = "it has not said what it holds";
        return WEIR_PENDING;
    }
    *text = "in progress";
    (void) p;
    return WEIR_PENDING;
}

Weir__Pair *
verb_pair (struct peers *p, struct relation *r, struct weir_arena *arena)
{
    struct weir_sync_state s;
    bool found = weir_sync_find (p->sync, &r->device->id, &r->db, &s);
    const struct database *db = database_find (p, &r->db);
    const char *text = "";
    Weir__Pair *m = weir_arena_alloc (arena, sizeof *m);
    if (m == NULL) {
        return NULL;
    }
    *m = (Weir__Pair) WEIR__PAIR__INIT;
    m->has_device = m->has_db = m->has_db_name = m->has_peer_name = true;
    m->device = wire_copy_id (arena, &r->device->id);
    m->peer_name = wire_copy_str (arena, device_name (p, r->device));
    m->db = wire_copy_id (arena, &r->db);
    m->db_name = wire_copy_str (arena, db != NULL ? db->name : "");
    m->has_direction = m->has_phase = m->has_priority = m->has_rate = true;
    m->direction = weir_field_str (direction_name (r->direction));
    m->phase = weir_field_str (phases[found ? s.phase : WEIR_SYNC_ABSENT]);
    m->priority = weir_field_str (priority_name (r->priority));
    m->rate = r->rate;
    m->has_in_step = m->has_acked_entries = m->has_reason = m->has_reason_text = true;
    m->in_step = found && s.phase == WEIR_SYNC_EQUAL && blobs_in_step (p, r, &text);
    m->has_blobs_missing = m->has_blob_bytes_missing = true;
    m->blobs_missing = r->blobs.missing;
    m->blob_bytes_missing = r->blobs.missing_bytes;
    m->acked_entries = r->acked;
    m->reason = (uint32_t) pair_reason (p, r, found ? &s : NULL, &text);
    m->reason_text = wire_copy_str (arena, text);
    return m;
}

/* ---- which pairs ---- */

struct scope {
    bool one_db;
    bool one_device;
    struct weir_id db;
    struct weir_id device;
};

static bool
read_scope (struct peers *p, const struct weir_message *message, bool has_db,
            ProtobufCBinaryData db, bool has_peer, ProtobufCBinaryData peer, struct scope *out)
{
    struct weir_error e = { 0 };
    struct database *database = NULL;
    struct device *device = NULL;
    enum weir_status status = WEIR_OK;
    memset (out, 0, sizeof *out);
    if (has_db && db.len > 0) {
        status = database_resolve (p, true, db, &database, &e);
    }
    if (status == WEIR_OK && has_peer && peer.len > 0) {
        status = device_resolve (p, true, peer, &device, &e);
    }
    if (status != WEIR_OK) {
        weir_actor_fail (p->actor, &message->envelope, status, &e);
        return false;
    }
    if (database != NULL) {
        out->one_db = true;
        out->db = database->id;
    }
    if (device != NULL) {
        out->one_device = true;
        out->device = device->id;
    }
    return true;
}

static bool
in_scope (const struct scope *s, const struct relation *r)
{
    return r->direction != 0 && (!s->one_db || weir_id_equal (&s->db, &r->db))
           && (!s->one_device || weir_id_equal (&s->device, &r->device->id));
}

/* All relationships in scope, in a new array. */
static struct relation **
collect (struct peers *p, const struct scope *s, size_t *n)
{
    struct relation **out = NULL;
    size_t cap = 0;
    struct weir_bytes key;
    void *value = NULL;
    *n = 0;
    for (size_t i = 0; weir_map_next (p->devices, &i, &key, &value);) {
        for (struct relation *r = ((struct device *) value)->relations; r != NULL; r = r->next) {
            if (in_scope (s, r)) {
                weir_grow (&out, &cap, *n + 1, sizeof (struct relation *));
                out[(*n)++] = r;
            }
        }
    }
    return out;
}

/* ---- status ---- */

struct row {
    struct table *table;
    struct weir_id device;
    struct weir_id db;
    bool known;
    uint64_t entries;
    uint64_t oldest_ms;
};

struct table {
    struct weir_envelope request;
    bool waited; /* answers SYNC_WAIT, at its deadline */
    size_t waiting;
    size_t n;
    struct row *rows;
};

static void
put_counters (struct peers *p, Weir__SyncStatus *m)
{
    struct weir_sync_counters counters;
    weir_sync_counters (p->sync, &counters);
    m->has_messages_in = m->has_messages_out = m->has_ladders = m->has_bursts = true;
    m->messages_in = counters.messages_in;
    m->messages_out = counters.messages_out;
    m->ladders = counters.ladders;
    m->bursts = counters.bursts;
}

/* Of each peer in the table, once. */
static void
put_figures (struct peers *p, const struct table *table, struct weir_arena *arena,
             Weir__SyncStatus *m)
{
    m->figures = weir_arena_array (arena, table->n + 1, sizeof *m->figures);
    for (size_t i = 0; m->figures != NULL && i < table->n; i++) {
        bool seen = i > 0 /* pairs of one device stand together */
                    && weir_id_equal (&table->rows[i - 1].device, &table->rows[i].device);
        Weir__Figures *figures =
            seen ? NULL : history_figures_make (p, &table->rows[i].device, arena);
        if (figures != NULL) {
            m->figures[m->n_figures++] = figures;
        }
    }
}

static void
table_done (struct peers *p, struct table *table)
{
    struct weir_arena *arena = weir_arena_new (4u * WEIR_UNPACK_BYTES_MAX);
    Weir__SyncStatus m = WEIR__SYNC_STATUS__INIT;
    Weir__SyncWaited waited = WEIR__SYNC_WAITED__INIT;
    m.pairs = weir_arena_array (arena, table->n + 1, sizeof *m.pairs);
    m.has_enabled = m.has_waiting = m.has_parked = true;
    m.enabled = weir_actor_settings (p->actor)->enabled;
    for (size_t i = 0; m.pairs != NULL && i < table->n; i++) {
        const struct row *row = &table->rows[i];
        struct device *d = device_find (p, &row->device);
        struct relation *r = d != NULL ? relation_find (d, &row->db) : NULL;
        Weir__Pair *pair = r != NULL ? verb_pair (p, r, arena) : NULL;
        if (pair != NULL) {
            pair->has_lag_known = pair->has_lag_entries = pair->has_lag_oldest_ms = true;
            pair->lag_known = row->known;
            pair->lag_entries = row->entries;
            pair->lag_oldest_ms = row->oldest_ms;
            m.waiting += !pair->in_step;
            m.parked += weir_retry_is_persistent (weir_status_from_number (pair->reason));
            m.pairs[m.n_pairs++] = pair;
        }
    }
    if (table->waited) {
        waited.has_synced = true;
        waited.waiting_for = m.pairs;
        waited.n_waiting_for = m.n_pairs;
        verb_answer (p, &table->request, &waited.base);
    } else {
        put_counters (p, &m);
        put_figures (p, table, arena, &m);
        verb_answer (p, &table->request, &m.base);
    }
    weir_arena_destroy (&arena);
    free (table->rows);
    free (table);
}

static void
row_known (struct peers *p, void *context, bool known, uint64_t entries, uint64_t oldest_ms)
{
    struct row *row = context;
    row->known = known;
    row->entries = entries;
    row->oldest_ms = oldest_ms;
    if (--row->table->waiting == 0) {
        table_done (p, row->table);
    }
}

/* Answers with these relationships, once their lag is known. */
static void
answer_table (struct peers *p, const struct weir_envelope *request, struct relation **relations,
              size_t n, bool waited)
{
    struct table *table = weir_alloc (sizeof *table);
    table->request = *request;
    table->waited = waited;
    table->rows = weir_alloc ((n + 1) * sizeof *table->rows);
    table->n = n;
    table->waiting = n + 1;
    for (size_t i = 0; i < n; i++) {
        table->rows[i] = (struct row){ .table = table,
                                       .device = relations[i]->device->id,
                                       .db = relations[i]->db };
        known_lag (p, relations[i], row_known, &table->rows[i]);
    }
    if (--table->waiting == 0) {
        table_done (p, table);
    }
}

void
verb_sync_status (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct peers *p = state;
    const Weir__SyncAsk *ask = (const Weir__SyncAsk *) message->meta;
    struct scope scope;
    size_t n = 0;
    (void) actor;
    if (verb_not_ready (p, message)
        || !read_scope (p, message, ask->has_db, ask->db, ask->has_peer, ask->peer, &scope)) {
        return;
    }
    struct relation **relations = collect (p, &scope, &n);
    answer_table (p, &message->envelope, relations, n, false);
    free (relations);
}

/* ---- now ---- */

static void
dial_absent (struct peers *p, const struct scope *scope)
{
    struct weir_bytes key;
    void *value = NULL;
    for (size_t i = 0; weir_map_next (p->devices, &i, &key, &value);) {
        struct device *d = value;
        if (d->link == NULL && (!scope->one_device || weir_id_equal (&scope->device, &d->id))) {
            d->due_ms = 0;
            d->attempts = 0;
        }
    }
    links_dial_soon (p);
}

void
verb_sync_now (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct peers *p = state;
    const Weir__SyncAsk *ask = (const Weir__SyncAsk *) message->meta;
    struct scope scope;
    if (verb_not_ready (p, message)
        || !read_scope (p, message, ask->has_db, ask->db, ask->has_peer, ask->peer, &scope)) {
        return;
    }
    sync_check (p, scope.one_device ? &scope.device : NULL, scope.one_db ? &scope.db : NULL);
    dial_absent (p, &scope);
    weir_actor_answer (actor, &message->envelope, NULL, weir_bytes (NULL, 0), false);
}

/* ---- waiting ---- */

struct wait {
    struct wait *next;
    struct peers *peers;
    struct weir_envelope request;
    struct scope scope;
    uint64_t number;
    uint64_t timer;      /* the deadline */
    uint64_t look_timer; /* looks again, should an event have been missed */
    bool confirming;     /* the store was asked for its digests of now */
    bool confirmed;
};

static void
wait_drop (struct peers *p, struct wait *w)
{
    for (struct wait **at = &p->waits; *at != NULL; at = &(*at)->next) {
        if (*at == w) {
            *at = w->next;
            break;
        }
    }
    weir_actor_timer_cancel (p->actor, w->timer);
    weir_actor_timer_cancel (p->actor, w->look_timer);
    free (w);
}

void
verb_waits_free (struct peers *p)
{
    while (p->waits != NULL) {
        wait_drop (p, p->waits);
    }
    verb_explains_free (p);
    verb_pings_free (p);
}

static bool
is_equal (struct peers *p, struct relation *r, const struct weir_id *digest)
{
    struct weir_sync_state s;
    const char *why = NULL;
    return weir_sync_find (p->sync, &r->device->id, &r->db, &s) && s.phase == WEIR_SYNC_EQUAL
           && (digest == NULL || weir_id_equal (digest, &s.digest)) && blobs_in_step (p, r, &why);
}

/* Is a join of a database in scope still under way? */
static bool
is_joining (const struct peers *p, const struct scope *scope)
{
    struct weir_bytes key;
    void *value = NULL;
    for (size_t i = 0; weir_map_next (p->databases, &i, &key, &value);) {
        const struct database *db = value;
        if (db->joining && (!scope->one_db || weir_id_equal (&db->id, &scope->db))) {
            return true;
        }
    }
    return false;
}

/* Removed members are nobody to wait for; nobody at all is nobody to be in step with. */
static bool
all_equal (struct peers *p, const struct scope *scope)
{
    size_t n = 0;
    size_t counted = 0;
    bool equal = !is_joining (p, scope);
    struct relation **relations = collect (p, scope, &n);
    for (size_t i = 0; i < n && equal; i++) {
        if (relations[i]->shared) {
            counted++;
            equal = is_equal (p, relations[i], NULL);
        }
    }
    free (relations);
    return equal && counted > 0;
}

static void
wait_answer (struct peers *p, struct wait *w, bool synced)
{
    size_t n = 0;
    size_t late = 0;
    struct relation **relations = collect (p, &w->scope, &n);
    for (size_t i = 0; i < n; i++) {
        if (!is_equal (p, relations[i], NULL)) {
            relations[late++] = relations[i];
        }
    }
    if (synced) {
        Weir__SyncWaited m = WEIR__SYNC_WAITED__INIT;
        m.has_synced = m.synced = true;
        verb_answer (p, &w->request, &m.base);
    } else {
        answer_table (p, &w->request, relations, late, true);
    }
    free (relations);
    wait_drop (p, w);
}

static void
wait_late (void *state, struct weir_actor *actor, void *context)
{
    struct wait *w = context;
    (void) actor;
    w->timer = 0;
    wait_answer (state, w, false);
}

static void
look_again (void *state, struct weir_actor *actor, void *context)
{
    struct peers *p = state;
    struct wait *w = context;
    w->look_timer =
        weir_actor_timer (actor, weir_actor_now_ms (actor) + LOOK_AGAIN_MS, look_again, w);
    p->look_at_waits = true;
}

static struct wait *
wait_find (const struct peers *p, uint64_t number)
{
    for (struct wait *w = p->waits; w != NULL; w = w->next) {
        if (w->number == number) {
            return w;
        }
    }
    return NULL;
}

static void confirm (struct peers *p, struct wait *w, const struct weir_id *after);

/* Our digests as the store has them now; what it told before this answer has arrived too. */
static void
confirmed (void *state, struct weir_actor *actor, void *context, enum weir_status status,
           const struct weir_error *problem, const struct weir_message *answer)
{
    struct peers *p = state;
    uint64_t *number = context;
    struct wait *w = wait_find (p, *number);
    struct weir_id last = weir_id_zero;
    size_t n = 0;
    (void) actor;
    (void) problem;
    free (number);
    if (w == NULL) {
        return;
    }
    const Weir__DbRights *m =
        status == WEIR_OK && answer != NULL ? (const Weir__DbRights *) answer->meta : NULL;
    if (m == NULL) {
        w->confirming = false;
        return; /* looked at again by its timer */
    }
    struct relation **relations = collect (p, &w->scope, &n);
    for (size_t i = 0; i < m->n_items; i++) {
        struct weir_id digest;
        if (weir_field_get_id (&last, m->items[i]->has_db, m->items[i]->db) != WEIR_OK
            || weir_field_get_id (&digest, m->items[i]->has_digest, m->items[i]->digest)
                   != WEIR_OK) {
            continue;
        }
        for (size_t k = 0; k < n; k++) {
            if (relations[k]->shared && weir_id_equal (&relations[k]->db, &last)) {
                w->confirmed = w->confirmed && is_equal (p, relations[k], &digest);
            }
        }
    }
    free (relations);
    if (m->more && m->n_items > 0 && w->confirmed) {
        confirm (p, w, &last);
        return;
    }
    w->confirming = false;
    if (w->confirmed && all_equal (p, &w->scope)) {
        wait_answer (p, w, true);
    }
}

static void
confirm (struct peers *p, struct wait *w, const struct weir_id *after)
{
    uint64_t *number = weir_alloc (sizeof *number);
    Weir__DbRightsAsk m = WEIR__DB_RIGHTS_ASK__INIT;
    *number = w->number;
    w->confirming = true;
    if (after != NULL) {
        m.has_after = true;
        m.after = weir_field_id (after);
    }
    if (w->scope.one_db) {
        m.has_db = true;
        m.db = weir_field_id (&w->scope.db);
    }
    (void) weir_actor_ask (p->actor, WEIR_KIND_DB_RIGHTS, NULL, &m.base, weir_bytes (NULL, 0),
                           PEERS_ASK_MS, confirmed, number);
}

void
verb_waits_look (struct peers *p)
{
    for (struct wait *w = p->waits; w != NULL; w = w->next) {
        if (!w->confirming && all_equal (p, &w->scope)) {
            w->confirmed = true;
            confirm (p, w, NULL);
        }
    }
    verb_explains_look (p);
}

void
verb_sync_wait (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    static uint64_t number;
    struct peers *p = state;
    const Weir__SyncWait *ask = (const Weir__SyncWait *) message->meta;
    struct scope scope;
    if (verb_not_ready (p, message)
        || !read_scope (p, message, ask->has_db, ask->db, ask->has_peer, ask->peer, &scope)) {
        return;
    }
    struct wait *w = weir_alloc (sizeof *w);
    uint64_t now = weir_actor_now_ms (actor);
    w->peers = p;
    w->request = message->envelope;
    w->scope = scope;
    w->number = ++number;
    w->next = p->waits;
    p->waits = w;
    w->timer =
        weir_actor_timer (actor, now + (ask->has_ms ? ask->ms : WAIT_MS_DEFAULT), wait_late, w);
    w->look_timer = weir_actor_timer (actor, now + LOOK_AGAIN_MS, look_again, w);
    if (!all_equal (p, &scope)) {
        sync_check (p, scope.one_device ? &scope.device : NULL, scope.one_db ? &scope.db : NULL);
        dial_absent (p, &scope);
    }
    p->look_at_waits = true;
}
