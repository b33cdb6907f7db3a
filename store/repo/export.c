/* What leaves a database in a file, and how its entries are counted there: its runs in causal
 * order, those that wait, and for each run how many ops of its chain stand before it. The counts
 * are kept in memory and grow with the log. */

#include "store/dag/run_scan.h"
#include "store/repo/parts.h"

#include <stdlib.h>
#include <string.h>

/* ---- counters ---- */

/* One row of the log. */
struct mark {
    uint64_t position;
    uint64_t counter; /* ops of its chain before it */
    uint64_t lamport; /* of its first entry */
    uint64_t ops;     /* in it */
};

struct weir_repo_counters {
    struct mark *marks; /* by position */
    size_t count;
    size_t cap;
    uint64_t *behind; /* by branch: ops on the way to its last row counted */
    size_t n_branches;
    size_t cap_branches;
};

void
weir_repo_counters_destroy (struct weir_repo_counters **self_p)
{
    struct weir_repo_counters *self = *self_p;
    if (self != NULL) {
        free (self->marks);
        free (self->behind);
        free (self);
        *self_p = NULL;
    }
}

static const struct mark *
mark_at (const struct weir_repo_counters *self, uint64_t position)
{
    size_t low = 0;
    size_t high = self->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (self->marks[mid].position < position) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low < self->count && self->marks[low].position == position ? &self->marks[low] : NULL;
}

/* How many ops the chain has on the way to `seq` of a branch whose rows are counted. */
static enum weir_status
ops_before (struct weir_repo *self, struct weir_repo_db *db, uint32_t branch, uint64_t seq,
            uint64_t *ops)
{
    struct weir_repo_record record;
    struct weir_run run;
    uint64_t run_seq = 0;
    if (branch == WEIR_REPO_NONE || seq == 0) {
        *ops = 0;
        return WEIR_OK;
    }
    while (seq - 1 < db->branches[branch].first_seq) {
        branch = db->branches[branch].parent;
        if (branch == WEIR_REPO_NONE) {
            return WEIR_CORRUPT;
        }
    }
    enum weir_status status =
        weir_repo_record_at (self, db, branch, seq - 1, &self->record, &record, &run_seq);
    if (status == WEIR_OK) {
        weir_arena_reset (self->arena_read);
        status = weir_run_scan (&run, self->arena_read, record.bytes);
    }
    const struct mark *mark = status == WEIR_OK ? mark_at (db->counters, record.position) : NULL;
    if (mark == NULL || seq - run.seq > run.count) {
        return status != WEIR_OK ? status : WEIR_CORRUPT;
    }
    *ops = mark->counter;
    for (uint64_t i = 0; i < seq - run.seq; i++) {
        *ops += run.entries[i].ops;
    }
    return WEIR_OK;
}

static enum weir_status
count_row (struct weir_repo *self, struct weir_repo_db *db, uint64_t position)
{
    struct weir_repo_counters *c = db->counters;
    struct weir_repo_log_place place;
    struct weir_repo_record record;
    struct weir_run run;
    struct mark mark = { .position = position };
    enum weir_status status = weir_repo_log_read (self, position, &place);
    while (status == WEIR_OK && c->n_branches <= place.branch) {
        uint32_t branch = (uint32_t) c->n_branches;
        uint64_t ops = 0;
        /* Branches are numbered as they come: one whose rows come later is counted then. */
        if (branch == place.branch) {
            status = ops_before (self, db, db->branches[branch].parent,
                                 db->branches[branch].first_seq, &ops);
        }
        weir_grow (&c->behind, &c->cap_branches, c->n_branches + 1, sizeof *c->behind);
        c->behind[c->n_branches++] = ops;
    }
    if (status == WEIR_OK) {
        status = weir_repo_record_get (self, db, place.branch, place.row.range.from_seq,
                                       &self->record, &record);
    }
    if (status == WEIR_OK) {
        weir_arena_reset (self->arena_read);
        status = weir_run_scan (&run, self->arena_read, record.bytes);
    }
    if (status != WEIR_OK) {
        return status == WEIR_NOT_FOUND ? WEIR_CORRUPT : status;
    }
    for (uint32_t i = 0; i < run.count; i++) {
        mark.ops += run.entries[i].ops;
    }
    mark.lamport = record.lamport;
    mark.counter = c->behind[place.branch];
    c->behind[place.branch] += mark.ops;
    weir_grow (&c->marks, &c->cap, c->count + 1, sizeof *c->marks);
    c->marks[c->count++] = mark;
    return WEIR_OK;
}

/* Counts the rows that came since. */
static enum weir_status
counters_grow (struct weir_repo *self, struct weir_repo_db *db)
{
    if (db->counters == NULL) {
        db->counters = weir_alloc (sizeof *db->counters);
    }
    struct weir_repo_counters *c = db->counters;
    uint64_t after = c->count > 0 ? c->marks[c->count - 1].position : 0;
    weir_repo_settle (self);
    if (after >= db->position) {
        return WEIR_OK;
    }
    struct weir_repo_key from =
        weir_repo_key_db_u64 (WEIR_REPO_TABLE_ARRIVAL, db->number, after + 1);
    struct weir_repo_key all = weir_repo_key_db (WEIR_REPO_TABLE_ARRIVAL, db->number);
    struct weir_repo_key to = weir_repo_key_after (&all);
    struct weir_kv_iter *iter =
        weir_kv_iter_new (self->kv, weir_repo_key_bytes (&from), weir_repo_key_bytes (&to), false);
    struct weir_bytes key;
    struct weir_bytes value;
    enum weir_status status = WEIR_OK;
    while (status == WEIR_OK && weir_kv_iter_next (iter, &key, &value)) {
        status = count_row (self, db, weir_load_u64 (key.data + key.len - 8));
    }
    if (status == WEIR_OK) {
        status = weir_kv_iter_status (iter);
    }
    weir_kv_iter_destroy (&iter);
    return status;
}

enum weir_status
weir_repo_counter (struct weir_repo *self, const struct weir_id *id, uint64_t position,
                   uint64_t lamport, uint64_t *counter)
{
    struct weir_repo_db *db = NULL;
    enum weir_status status = weir_repo_db_get (self, id, &db);
    if (status == WEIR_OK) {
        status = counters_grow (self, db);
    }
    const struct mark *mark = status == WEIR_OK ? mark_at (db->counters, position) : NULL;
    if (status == WEIR_OK && (mark == NULL || lamport < mark->lamport)) {
        status = WEIR_NOT_FOUND;
    }
    if (status == WEIR_OK) {
        /* Inside a run an entry's lamport is that of the one before it and its ops. */
        *counter = mark->counter + (lamport - mark->lamport);
    }
    return status;
}

enum weir_status
weir_repo_op_spans (struct weir_repo *self, const struct weir_id *id, uint64_t after,
                    weir_repo_span_fn *fn, void *context)
{
    struct weir_repo_db *db = NULL;
    struct weir_repo_log_place place;
    enum weir_status status = weir_repo_db_get (self, id, &db);
    if (status == WEIR_OK) {
        status = counters_grow (self, db);
    }
    for (size_t i = 0; status == WEIR_OK && i < db->counters->count; i++) {
        const struct mark *mark = &db->counters->marks[i];
        if (mark->position > after) {
            status = weir_repo_log_read (self, mark->position, &place);
            if (status == WEIR_OK) {
                fn (context, &place.row.range, mark->counter, mark->counter + mark->ops);
            }
        }
    }
    return status;
}

uint64_t
weir_repo_position_last (const struct weir_repo *self)
{
    return self->position;
}

/* ---- runs ---- */

struct piece {
    uint64_t position; /* of the first run in it */
    size_t at;
    size_t len;
};

static int
piece_compare (const void *a, const void *b)
{
    uint64_t x = ((const struct piece *) a)->position;
    uint64_t y = ((const struct piece *) b)->position;
    return x < y ? -1 : x > y;
}

struct pieces {
    struct piece *items;
    size_t count;
    size_t cap;
    struct weir_buf bytes;
};

/* All runs of one branch. A run that was joined can stand where its first one did: only an
 * entry that begins a run has deps. */
static enum weir_status
add_branch (struct weir_repo *self, struct weir_repo_db *db, uint32_t branch, struct pieces *p)
{
    const struct weir_repo_branch *b = &db->branches[branch];
    struct weir_range range = {
        .chain = b->chain, .from_seq = b->first_seq, .to_seq = b->count, .tip = b->tip
    };
    struct weir_repo_record record;
    struct weir_run run;
    size_t at = p->bytes.len;
    uint64_t next = 0;
    enum weir_status status =
        weir_repo_read (self, &db->id, &range, range.from_seq, SIZE_MAX, &p->bytes, &next);
    if (status == WEIR_OK && next < range.to_seq) {
        status = WEIR_BUSY;
    }
    while (status == WEIR_OK && at < p->bytes.len) {
        struct weir_bytes rest = weir_bytes (p->bytes.data + at, p->bytes.len - at);
        struct piece piece = { .at = at };
        uint64_t run_seq = 0;
        status = weir_run_length (rest, &piece.len);
        if (status == WEIR_OK) {
            weir_arena_reset (self->arena_read);
            status = weir_run_scan (&run, self->arena_read, weir_bytes (rest.data, piece.len));
        }
        if (status == WEIR_OK) {
            status =
                weir_repo_record_at (self, db, branch, run.seq, &self->record, &record, &run_seq);
        }
        if (status == WEIR_OK) {
            piece.position = record.position;
            weir_grow (&p->items, &p->cap, p->count + 1, sizeof *p->items);
            p->items[p->count++] = piece;
            at += piece.len;
        }
    }
    return status;
}

static enum weir_status
runs_joined (struct weir_repo *self, struct weir_repo_db *db, struct weir_buf *runs)
{
    struct pieces p = { .count = 0 };
    enum weir_status status = WEIR_OK;
    for (uint32_t i = 0; status == WEIR_OK && i < db->n_branches; i++) {
        if (db->branches[i].count > db->branches[i].first_seq) {
            status = add_branch (self, db, i, &p);
        }
    }
    if (status == WEIR_OK && p.count > 0) {
        qsort (p.items, p.count, sizeof *p.items, piece_compare);
    }
    for (size_t i = 0; status == WEIR_OK && i < p.count; i++) {
        weir_buf_put (runs, p.bytes.data + p.items[i].at, p.items[i].len);
    }
    free (p.items);
    weir_buf_fini (&p.bytes);
    return status;
}

static enum weir_status
runs_stored (struct weir_repo *self, struct weir_repo_db *db, struct weir_buf *runs)
{
    struct weir_repo_key from = weir_repo_key_db (WEIR_REPO_TABLE_ARRIVAL, db->number);
    struct weir_repo_key to = weir_repo_key_after (&from);
    struct weir_kv_iter *iter =
        weir_kv_iter_new (self->kv, weir_repo_key_bytes (&from), weir_repo_key_bytes (&to), false);
    struct weir_repo_log_place place;
    struct weir_repo_record record;
    struct weir_bytes key;
    struct weir_bytes value;
    enum weir_status status = WEIR_OK;
    while (status == WEIR_OK && weir_kv_iter_next (iter, &key, &value)) {
        uint64_t position = weir_load_u64 (key.data + key.len - 8);
        status = position > self->synced_position ? WEIR_BUSY
                                                  : weir_repo_log_read (self, position, &place);
        if (status == WEIR_OK) {
            status = weir_repo_record_get (self, db, place.branch, place.row.range.from_seq,
                                           &self->record, &record);
        }
        if (status == WEIR_OK) {
            weir_buf_put_bytes (runs, record.bytes);
        }
    }
    if (status == WEIR_OK) {
        status = weir_kv_iter_status (iter);
    }
    weir_kv_iter_destroy (&iter);
    return status;
}

enum weir_status
weir_repo_runs (struct weir_repo *self, const struct weir_id *id, bool join, struct weir_buf *runs,
                struct weir_buf *pending)
{
    struct weir_repo_db *db = NULL;
    enum weir_status status = weir_repo_db_get (self, id, &db);
    if (status == WEIR_OK && db->state != WEIR_REPO_DB_LIVE) {
        status = WEIR_NOT_FOUND;
    }
    if (status == WEIR_OK) {
        weir_repo_settle (self);
        status = join ? runs_joined (self, db, runs) : runs_stored (self, db, runs);
    }
    return status == WEIR_OK ? weir_repo_waiting (self, id, pending) : status;
}

enum weir_status
weir_repo_waiting (struct weir_repo *self, const struct weir_id *id, struct weir_buf *pending)
{
    struct weir_repo_db *db = NULL;
    const void *cursor = NULL;
    struct weir_bytes run;
    enum weir_status status = weir_repo_db_get (self, id, &db);
    while (status == WEIR_OK && weir_repo_pending_next (self, db, &cursor, &run)) {
        weir_buf_put_bytes (pending, run);
    }
    return status;
}
