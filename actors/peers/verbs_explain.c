/* `weir sync explain` and `weir sync history`: facts are gathered here, from what peers knows and
 * from what the store, the retry queue and, of blobs, the peer answer within EXPLAIN_MS; explain.c
 * judges. */

#include "actors/peers/explain.h"
#include "actors/peers/history.h"

#include <stdlib.h>
#include <string.h>

#define EXPLAIN_MS 2000u
#define HISTORY_LIMIT 100u
#define HISTORY_LIMIT_MAX 1000u

/* ---- explaining ---- */

struct subject { /* a peer, or nobody */
    struct explaining *of;
    struct weir_id device;
    bool nobody;
    bool lag_known;
    uint64_t lag, oldest_ms;
    bool retried, parked;
    uint32_t tries;
    uint64_t next_ms;
    enum weir_status retry_why;
};

struct explaining {
    struct explaining *next; /* while it waits for peers */
    uint64_t until_ms;
    uint64_t timer;
    struct peers *peers;
    struct weir_envelope request;
    struct weir_id db;
    size_t waiting;
    size_t n;
    struct subject *subjects;
    bool store_answered;
    bool disk_full;
    bool needs_upgrade;
    uint64_t pending;
    enum weir_status deferred;
};

static enum weir_status
join_why (const struct peers *p, const struct weir_id *db)
{
    for (size_t i = 0; i < p->n_joins; i++) {
        if (weir_id_equal (&p->joins[i]->db, db) && p->joins[i]->attempts > 0
            && p->joins[i]->link == NULL) {
            return WEIR_NOT_REACHABLE_OR_NOT_ADMITTED;
        }
    }
    return WEIR_PENDING;
}

static bool
transport_is_up (const struct peers *p)
{
    for (size_t i = 0; i < p->n_transports; i++) {
        if (p->transports[i].up && !p->transports[i].stopped) {
            return true;
        }
    }
    return false;
}

static void
database_facts (struct explaining *x, const struct database *db, struct explain_facts *f)
{
    const struct weir_settings_values *v = weir_actor_settings (x->peers->actor);
    memset (f, 0, sizeof *f);
    f->peer = "";
    f->link_why = "";
    f->db = db != NULL ? db->name : "";
    f->joining = db != NULL && db->joining;
    f->join_why = join_why (x->peers, &x->db);
    f->is_member_here = db != NULL && db->right > 0;
    f->store_away = !x->store_answered;
    f->disk_full = x->disk_full;
    f->needs_upgrade = x->needs_upgrade;
    f->pending = x->pending;
    f->deferred = x->deferred;
    f->enabled = v->enabled;
    f->leaf = strcmp (v->role, "hub") != 0;
    f->transport_up = transport_is_up (x->peers);
}

static void
link_facts (struct peers *p, const struct device *d, struct explain_facts *f)
{
    uint64_t wall = weir_actor_wall_ms (p->actor);
    f->blocked = d->blocked;
    f->linked = d->link != NULL;
    f->connecting = d->dial != NULL && d->dial->up;
    f->dialable = d->typed || (d->card != NULL && d->card->n_addresses > 0);
    f->ever_seen = d->first_seen_ms != 0;
    f->absent_ms = wall > d->last_seen_ms ? wall - d->last_seen_ms : 0;
    f->link_error = d->last_error;
    f->link_why = device_why (d);
}

static void
pair_facts (struct peers *p, struct relation *r, const struct subject *s, struct explain_facts *f)
{
    struct weir_sync_state state;
    uint64_t now = weir_actor_now_ms (p->actor);
    const struct figures *figures = history_figures (p, &r->device->id, false);
    f->related = true;
    f->taken_off = r->direction == 0;
    f->removed = r->removed;
    f->direction = r->direction;
    f->rate_limit = r->rate;
    f->shared = r->shared && weir_sync_find (p->sync, &r->device->id, &r->db, &state);
    if (f->shared) {
        f->phase = state.phase;
        f->phase_ms = now > state.since_ms ? now - state.since_ms : 0;
        f->sync_error = state.last_error;
        f->waits_to_compare = state.waits;
    }
    const char *blobs = "";
    bool has_blobs = f->phase != WEIR_SYNC_EQUAL || blobs_in_step (p, r, &blobs);
    f->blobs = has_blobs ? NULL : blobs;
    f->done = history_out_now (p, r);
    if (figures != NULL) {
        struct figures now_so = *figures; /* rates turn its slots */
        uint64_t us = history_now_us ();
        double bytes = figures_per_s (&now_so, FIGURES_OUT_BYTES, us);
        f->out_per_s = figures_per_s (&now_so, FIGURES_OUT, us);
        f->in_per_s = figures_per_s (&now_so, FIGURES_IN, us);
        f->bytes_per_entry = f->out_per_s > 0 ? bytes / f->out_per_s : 0;
    }
    f->lag_known = s->lag_known;
    f->lag = s->lag;
}

static void
subject_facts (struct explaining *x, const struct subject *s, struct explain_facts *f)
{
    struct peers *p = x->peers;
    const struct database *db = database_find (p, &x->db);
    struct device *d = device_find (p, &s->device);
    struct relation *r = d != NULL ? relation_find (d, &x->db) : NULL;
    const struct member *m = db != NULL ? database_member (db, &s->device) : NULL;
    database_facts (x, db, f);
    f->alone = s->nobody;
    f->member = (m != NULL && m->right > 0) || (r != NULL && relation_valid (p, r));
    f->removed = m != NULL && m->right == 0;
    f->peer = d != NULL && device_name (p, d)[0] != '\0' ? device_name (p, d)
              : m != NULL && m->name[0] != '\0'          ? m->name
                                                         : "it";
    if (d != NULL) {
        link_facts (p, d, f);
    }
    if (r != NULL) {
        pair_facts (p, r, s, f);
    }
    f->retried = s->retried;
    f->parked = s->parked;
    f->tries = s->tries;
    f->next_ms = s->next_ms;
    f->retry_why = s->retry_why;
}

static Weir__Explained *
explained (struct explaining *x, const struct subject *s, struct weir_arena *arena)
{
    struct explain_facts f;
    char sentence[400];
    char hint[240];
    Weir__Explained *m = weir_arena_alloc (arena, sizeof *m);
    if (m == NULL) {
        return NULL;
    }
    subject_facts (x, s, &f);
    enum explain_reason reason = explain_judge (&f);
    explain_words (reason, &f, sentence, sizeof sentence, hint, sizeof hint);
    *m = (Weir__Explained) WEIR__EXPLAINED__INIT;
    m->has_device = !s->nobody;
    m->has_peer_name = m->has_db = m->has_db_name = m->has_in_sync = m->has_code = true;
    m->has_sentence = m->has_hint = m->has_lag_known = m->has_error = true;
    m->device = wire_copy_id (arena, &s->device);
    m->peer_name = wire_copy_str (arena, f.peer);
    m->db = wire_copy_id (arena, &x->db);
    m->db_name = wire_copy_str (arena, f.db);
    m->in_sync = reason == EXPLAIN_IN_STEP;
    m->code = wire_copy_str (arena, explain_code (reason));
    m->sentence = wire_copy_str (arena, sentence);
    m->hint = wire_copy_str (arena, hint);
    m->lag_known = f.lag_known;
    m->has_lag_entries = m->has_lag_oldest_ms = f.lag_known;
    m->lag_entries = s->lag;
    m->lag_oldest_ms = s->oldest_ms;
    m->has_done_entries = m->has_entries_per_s = f.linked;
    m->done_entries = f.done;
    m->entries_per_s = f.phase == WEIR_SYNC_RECEIVING ? f.in_per_s : f.out_per_s;
    m->has_next_ms = f.retried && !f.parked;
    m->next_ms = f.next_ms;
    m->has_attempts = f.retried;
    m->attempts = f.tries;
    m->has_since_ms = f.linked || f.ever_seen;
    m->since_ms = f.linked ? f.phase_ms : f.absent_ms;
    m->error = (uint32_t) (f.linked ? f.sync_error : f.link_error);
    return m;
}

/* About the database here, whoever the peer is. */
static void
put_remarks (struct explaining *x, struct weir_arena *arena, Weir__SyncExplained *answer)
{
    struct explain_facts f;
    database_facts (x, database_find (x->peers, &x->db), &f);
    const struct {
        enum explain_reason reason;
        bool holds;
    } rows[] = {
        { EXPLAIN_DISK_FULL, f.disk_full },      { EXPLAIN_NEEDS_UPGRADE, f.needs_upgrade },
        { EXPLAIN_PENDING_HERE, f.pending > 0 }, { EXPLAIN_DEFERRED, f.deferred != WEIR_OK },
        { EXPLAIN_DISABLED, !f.enabled },        { EXPLAIN_NO_TRANSPORT, !f.transport_up },
        { EXPLAIN_STORE_AWAY, f.store_away },
    };
    f.peer = "a peer";
    answer->remarks = weir_arena_array (arena, sizeof rows / sizeof *rows, sizeof *answer->remarks);
    for (size_t i = 0; answer->remarks != NULL && i < sizeof rows / sizeof *rows; i++) {
        Weir__Remark *m = rows[i].holds ? weir_arena_alloc (arena, sizeof *m) : NULL;
        if (m != NULL) {
            char sentence[400];
            char hint[240];
            explain_words (rows[i].reason, &f, sentence, sizeof sentence, hint, sizeof hint);
            *m = (Weir__Remark) WEIR__REMARK__INIT;
            m->has_code = m->has_sentence = m->has_hint = true;
            m->code = wire_copy_str (arena, explain_code (rows[i].reason));
            m->sentence = wire_copy_str (arena, sentence);
            m->hint = wire_copy_str (arena, hint);
            answer->remarks[answer->n_remarks++] = m;
        }
    }
}

static void
explaining_free (struct explaining *x)
{
    free (x->subjects);
    free (x);
}

static void
explain_answer (struct explaining *x)
{
    struct weir_arena *arena = weir_arena_new (4u * WEIR_UNPACK_BYTES_MAX);
    Weir__SyncExplained answer = WEIR__SYNC_EXPLAINED__INIT;
    answer.items = weir_arena_array (arena, x->n + 1, sizeof *answer.items);
    answer.has_in_sync = true;
    answer.in_sync = x->n > 0;
    for (size_t i = 0; answer.items != NULL && i < x->n; i++) {
        Weir__Explained *m = explained (x, &x->subjects[i], arena);
        if (m != NULL) {
            answer.items[answer.n_items++] = m;
            answer.in_sync = answer.in_sync && m->in_sync;
        }
    }
    put_remarks (x, arena, &answer);
    verb_answer (x->peers, &x->request, &answer.base);
    weir_arena_destroy (&arena);
    explaining_free (x);
}

/* Is a peer in step but for its word on the content of blobs? It was asked for that now. */
static bool
waits_for_peers (struct explaining *x)
{
    bool waits = false;
    for (size_t i = 0; i < x->n; i++) {
        struct weir_sync_state state;
        struct device *d = device_find (x->peers, &x->subjects[i].device);
        struct relation *r = d != NULL ? relation_find (d, &x->db) : NULL;
        if (r != NULL && r->shared && d->link != NULL
            && weir_sync_find (x->peers->sync, &d->id, &x->db, &state)
            && state.phase == WEIR_SYNC_EQUAL && blobs_unsaid (x->peers, r)) {
            waits = true; /* and on: each is asked */
        }
    }
    return waits;
}

static void
no_longer (struct explaining *x)
{
    struct explaining **at = &x->peers->explains;
    while (*at != x) {
        at = &(*at)->next;
    }
    *at = x->next;
    weir_actor_timer_cancel (x->peers->actor, x->timer);
    explain_answer (x);
}

static void
peers_late (void *state, struct weir_actor *actor, void *context)
{
    struct explaining *x = context;
    (void) state;
    (void) actor;
    x->timer = 0;
    no_longer (x);
}

/* Here and elsewhere all is told; what a peer has of blobs is asked only now. */
static void
one_less (struct explaining *x)
{
    if (--x->waiting > 0) {
        return;
    }
    if (!waits_for_peers (x)) {
        explain_answer (x);
        return;
    }
    x->next = x->peers->explains;
    x->peers->explains = x;
    x->timer = weir_actor_timer (x->peers->actor, x->until_ms, peers_late, x);
}

void
verb_explains_look (struct peers *p)
{
    struct explaining *next = NULL;
    for (struct explaining *x = p->explains; x != NULL; x = next) {
        next = x->next;
        if (!waits_for_peers (x)) {
            no_longer (x);
        }
    }
}

void
verb_explains_free (struct peers *p)
{
    while (p->explains != NULL) {
        struct explaining *x = p->explains;
        p->explains = x->next;
        weir_actor_timer_cancel (p->actor, x->timer);
        explaining_free (x);
    }
}

static void
lag_told (struct peers *p, void *context, bool known, uint64_t entries, uint64_t oldest_ms)
{
    struct subject *s = context;
    (void) p;
    s->lag_known = known;
    s->lag = entries;
    s->oldest_ms = oldest_ms;
    one_less (s->of);
}

static void
retry_told (void *state, struct weir_actor *actor, void *context, enum weir_status status,
            const struct weir_error *problem, const struct weir_message *answer)
{
    struct explaining *x = context;
    const Weir__RetryItems *m =
        status == WEIR_OK && answer != NULL ? (const Weir__RetryItems *) answer->meta : NULL;
    (void) state;
    (void) actor;
    (void) problem;
    for (size_t i = 0; m != NULL && i < m->n_items; i++) {
        const Weir__RetryItem *item = m->items[i];
        struct weir_id device;
        struct weir_id db;
        if (weir_field_get_id (&device, item->has_device, item->device) != WEIR_OK
            || weir_field_get_id (&db, item->has_db, item->db) != WEIR_OK
            || !weir_id_equal (&db, &x->db)) {
            continue;
        }
        for (size_t k = 0; k < x->n; k++) {
            struct subject *s = &x->subjects[k];
            if (weir_id_equal (&device, &s->device)) {
                s->retried = true;
                s->parked = item->parked;
                s->tries = item->attempts;
                s->next_ms = item->next_ms;
                s->retry_why = weir_status_from_number (item->why);
            }
        }
    }
    one_less (x);
}

static void
store_told (void *state, struct weir_actor *actor, void *context, enum weir_status status,
            const struct weir_error *problem, const struct weir_message *answer)
{
    struct explaining *x = context;
    const Weir__StoreStatus *m =
        status == WEIR_OK && answer != NULL ? (const Weir__StoreStatus *) answer->meta : NULL;
    (void) state;
    (void) actor;
    (void) problem;
    x->store_answered = m != NULL;
    x->disk_full = m != NULL && m->disk_full;
    one_less (x);
}

static void
show_told (void *state, struct weir_actor *actor, void *context, enum weir_status status,
           const struct weir_error *problem, const struct weir_message *answer)
{
    struct explaining *x = context;
    const Weir__DbInfos *m =
        status == WEIR_OK && answer != NULL ? (const Weir__DbInfos *) answer->meta : NULL;
    (void) state;
    (void) actor;
    (void) problem;
    if (m != NULL && m->n_items > 0) {
        x->needs_upgrade = m->items[0]->needs_upgrade;
        x->pending = m->items[0]->pending;
        x->deferred = weir_status_from_number (m->items[0]->deferred);
    }
    one_less (x);
}

static void
add_subject (struct explaining *x, size_t *cap, const struct weir_id *device)
{
    for (size_t i = 0; i < x->n; i++) {
        if (weir_id_equal (&x->subjects[i].device, device)) {
            return;
        }
    }
    if (!weir_id_equal (device, &x->peers->device)) {
        weir_grow (&x->subjects, cap, x->n + 1, sizeof *x->subjects);
        x->subjects[x->n++] = (struct subject){ .of = x, .device = *device };
    }
}

/* Whoever is a member, and whoever it is kept in step with; or the one that was named. */
static void
collect_subjects (struct explaining *x, const struct device *only)
{
    struct peers *p = x->peers;
    const struct database *db = database_find (p, &x->db);
    struct weir_bytes key;
    void *value = NULL;
    size_t cap = 0;
    if (only != NULL) {
        add_subject (x, &cap, &only->id);
        return;
    }
    for (size_t i = 0; db != NULL && i < db->n_members; i++) {
        if (db->members[i].right > 0) {
            add_subject (x, &cap, &db->members[i].device);
        }
    }
    for (size_t i = 0; weir_map_next (p->devices, &i, &key, &value);) {
        const struct relation *r = relation_find (value, &x->db);
        if (r != NULL && r->direction != 0) {
            add_subject (x, &cap, &r->device->id);
        }
    }
    if (x->n == 0) {
        weir_grow (&x->subjects, &cap, 1, sizeof *x->subjects);
        x->subjects[x->n++] = (struct subject){ .of = x, .nobody = true };
    }
}

static void
ask_all (struct explaining *x)
{
    struct peers *p = x->peers;
    Weir__DbName show = WEIR__DB_NAME__INIT;
    struct weir_id_text text = weir_id_text (&x->db);
    x->waiting = 4 + x->n;
    show.has_db = true;
    show.db = weir_field_str (text.s);
    (void) weir_actor_ask (p->actor, WEIR_KIND_RETRY_LIST, NULL, NULL, weir_bytes (NULL, 0),
                           EXPLAIN_MS, retry_told, x);
    (void) weir_actor_ask (p->actor, WEIR_KIND_STORE_STATUS, NULL, NULL, weir_bytes (NULL, 0),
                           EXPLAIN_MS, store_told, x);
    (void) weir_actor_ask (p->actor, WEIR_KIND_DB_SHOW, NULL, &show.base, weir_bytes (NULL, 0),
                           EXPLAIN_MS, show_told, x);
    for (size_t i = 0; i < x->n; i++) {
        struct device *d = device_find (p, &x->subjects[i].device);
        struct relation *r = d != NULL ? relation_find (d, &x->db) : NULL;
        if (r != NULL) {
            known_lag (p, r, lag_told, &x->subjects[i]);
        } else {
            one_less (x);
        }
    }
    one_less (x);
}

void
verb_sync_explain (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct peers *p = state;
    const Weir__SyncAsk *ask = (const Weir__SyncAsk *) message->meta;
    struct weir_error e = { 0 };
    struct database *db = NULL;
    struct device *only = NULL;
    if (verb_not_ready (p, message)) {
        return;
    }
    enum weir_status status = database_resolve (p, ask->has_db, ask->db, &db, &e);
    if (status == WEIR_OK && ask->has_peer && ask->peer.len > 0) {
        status = device_resolve (p, true, ask->peer, &only, &e);
    }
    if (status != WEIR_OK) {
        weir_actor_fail (actor, &message->envelope, status, &e);
        return;
    }
    struct explaining *x = weir_alloc (sizeof *x);
    x->peers = p;
    x->request = message->envelope;
    x->db = db->id;
    x->until_ms = weir_actor_now_ms (actor) + EXPLAIN_MS;
    collect_subjects (x, only);
    ask_all (x);
}

/* ---- history ---- */

struct past {
    struct weir_envelope request;
    bool one_db, one_device;
    struct weir_id db, device;
    size_t limit;
    size_t n, cap;
    struct history_row *rows;
};

static int
newest_first (const void *a, const void *b)
{
    const struct history_row *x = a;
    const struct history_row *y = b;
    if (x->number != y->number) {
        return x->number < y->number ? 1 : -1;
    }
    return x->started_ms < y->started_ms ? 1 : x->started_ms > y->started_ms ? -1 : 0;
}

static Weir__HistoryRow *
past_row (struct peers *p, const struct history_row *row, struct weir_arena *arena)
{
    const struct database *db = database_find (p, &row->db);
    const struct device *d = device_find (p, &row->device);
    Weir__HistoryRow *m = weir_arena_alloc (arena, sizeof *m);
    if (m == NULL) {
        return NULL;
    }
    *m = (Weir__HistoryRow) WEIR__HISTORY_ROW__INIT;
    m->has_number = m->has_open = m->has_started_ms = m->has_ms = m->has_status = true;
    m->has_device = m->has_peer_name = m->has_db = m->has_db_name = true;
    m->has_out_entries = m->has_in_entries = m->has_out_bytes = m->has_in_bytes = true;
    m->has_again = true;
    m->open = row->number == UINT64_MAX;
    m->number = m->open ? 0 : row->number;
    m->started_ms = row->started_ms;
    m->ms = row->ms;
    m->device = wire_copy_id (arena, &row->device);
    m->peer_name = wire_copy_str (arena, d != NULL ? device_name (p, d) : "");
    m->db = wire_copy_id (arena, &row->db);
    m->db_name = wire_copy_str (arena, db != NULL ? db->name : "");
    m->out_entries = row->out;
    m->in_entries = row->in;
    m->out_bytes = row->out_bytes;
    m->in_bytes = row->in_bytes;
    m->again = row->again;
    m->status = (uint32_t) row->status;
    return m;
}

static void
past_done (struct peers *p, struct past *past, enum weir_status status)
{
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    Weir__SyncHistory m = WEIR__SYNC_HISTORY__INIT;
    if (past->n > 1) {
        qsort (past->rows, past->n, sizeof *past->rows, newest_first);
    }
    m.rows = weir_arena_array (arena, past->limit + 1, sizeof *m.rows);
    for (size_t i = 0; m.rows != NULL && i < past->n && i < past->limit; i++) {
        Weir__HistoryRow *row = past_row (p, &past->rows[i], arena);
        if (row != NULL) {
            m.rows[m.n_rows++] = row;
        }
    }
    if (status == WEIR_OK) {
        verb_answer (p, &past->request, &m.base);
    } else {
        weir_actor_fail (p->actor, &past->request, status, NULL);
    }
    weir_arena_destroy (&arena);
    free (past->rows);
    free (past);
}

/* A ring of rows comes in the order of their places; what is kept is bounded by the ring. */
static void
past_take (struct peers *p, void *context, struct weir_bytes key, const struct history_row *row,
           enum weir_status status)
{
    struct past *past = context;
    if (row != NULL && (!past->one_db || weir_id_equal (&row->db, &past->db))
        && (!past->one_device || weir_id_equal (&row->device, &past->device))) {
        weir_grow (&past->rows, &past->cap, past->n + 1, sizeof *past->rows);
        past->rows[past->n++] = *row;
    } else if (row == NULL && key.len == 0) {
        past_done (p, past, status);
    }
}

void
verb_sync_history (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct peers *p = state;
    const Weir__HistoryAsk *ask = (const Weir__HistoryAsk *) message->meta;
    struct weir_error e = { 0 };
    struct database *db = NULL;
    struct device *device = NULL;
    enum weir_status status = WEIR_OK;
    if (verb_not_ready (p, message)) {
        return;
    }
    if (ask->has_db && ask->db.len > 0) {
        status = database_resolve (p, true, ask->db, &db, &e);
    }
    if (status == WEIR_OK && ask->has_peer && ask->peer.len > 0) {
        status = device_resolve (p, true, ask->peer, &device, &e);
    }
    if (status != WEIR_OK) {
        weir_actor_fail (actor, &message->envelope, status, &e);
        return;
    }
    struct past *past = weir_alloc (sizeof *past);
    past->request = message->envelope;
    past->one_db = db != NULL;
    past->db = db != NULL ? db->id : weir_id_zero;
    past->one_device = device != NULL;
    past->device = device != NULL ? device->id : weir_id_zero;
    past->limit = ask->has_limit && ask->limit > 0 ? ask->limit : HISTORY_LIMIT;
    past->limit = past->limit < HISTORY_LIMIT_MAX ? past->limit : HISTORY_LIMIT_MAX;
    history_open_rows (p, past_take, past);
    history_read (p, past_take, past);
}
