/* Documents in memory: loaded from a snapshot and the log behind it, kept in step with what is
 * stored, saved again when enough came since, and let go when memory is short. What they hold
 * can always be computed again from the log. */

#include "store/repo/parts.h"

#include <string.h>

#define SNAPSHOT_ENTRIES_MIN 4096u
#define SNAPSHOT_BYTES_MIN (1u << 20)
#define PART_BYTES (256u << 10)

/* ---- inert entries ---- */

void
weir_repo_mark_inert (struct weir_repo *self, struct weir_repo_db *db, uint32_t branch,
                      uint64_t seq, enum weir_status why)
{
    uint8_t value = (uint8_t) why;
    struct weir_repo_key key =
        weir_repo_key_db_place (WEIR_REPO_TABLE_INERT, db->number, branch, seq);
    weir_repo_put (self, &key, weir_bytes (&value, 1));
    db->inert++;
    db->inert_newer += why == WEIR_NEEDS_UPGRADE ? 1 : 0;
    weir_repo_db_mark (self, db);
}

/* ---- keeping in step ---- */

static void
count_since (struct weir_repo_db *db, uint64_t entries, uint64_t bytes)
{
    db->since_entries += entries;
    db->since_bytes += bytes;
}

/* An entry could not be applied and is not passed: the document is read anew when it is wanted,
 * and until that works it is nobody's to see: what it would show is not what the log says. */
static void
let_go (struct weir_repo *self, struct weir_repo_db *db, enum weir_status why)
{
    db->deferred = why;
    db->deferred_position = 0;
    db->behind.is_behind = false;
    self->docs_bytes -= db->doc_bytes;
    db->doc_bytes = 0;
    weir_buf_clear (&db->open_inert);
    weir_doc_destroy (&db->doc);
}

void
weir_repo_doc_commit (struct weir_repo *self, struct weir_repo_db *db,
                      const struct weir_doc_entry *entry, const struct weir_id *before,
                      struct weir_bytes payload)
{
    struct weir_id parents[WEIR_ENTRY_DEPS_MAX + 1];
    struct weir_doc_entry e = *entry;
    bool deferred = false;
    if (db->doc == NULL || db->behind.is_behind) {
        return;
    }
    const struct weir_run *head = &db->builder.head;
    e.parents = parents;
    e.n_parents = weir_repo_entry_parents (head, head->count - 1, before, parents);
    enum weir_status status = weir_doc_apply (db->doc, &e, payload, &deferred);
    if (deferred) {
        let_go (self, db, status);
        return;
    }
    if (status != WEIR_OK) {
        weir_buf_put_u32 (&db->open_inert, head->count - 1);
        weir_buf_put_u8 (&db->open_inert, (uint8_t) status);
    }
    count_since (db, 1, payload.len);
}

/* Applies the entries of a data run, passes those of others, from entry *done on; those that do
 * nothing are marked when `mark`. WEIR_DEFERRED: entry *done could not be applied (db->why). */
static enum weir_status
apply_run (struct weir_repo *self, struct weir_repo_db *db, struct weir_doc *doc,
           const struct weir_run *run, uint64_t lamport, uint32_t branch, bool mark, uint32_t *done)
{
    struct weir_id parents[WEIR_ENTRY_DEPS_MAX + 1];
    struct weir_doc_entry entry = {
        .chain = run->chain, .seq = run->seq, .lamport = lamport, .parents = parents
    };
    for (uint32_t i = 0; i < run->count; i++) {
        bool deferred = false;
        enum weir_status status = WEIR_OK;
        entry.n_parents = weir_repo_entry_parents (run, i, &entry.id, parents);
        entry.id = run->entries[i].id;
        entry.ops = run->entries[i].ops;
        if (i < *done) {
            status = WEIR_OK; /* it was applied before */
        } else if (db->steps != NULL && *db->steps == 0) {
            status = WEIR_BUSY;
            deferred = true;
        } else if (run->kind == WEIR_ENTRY_DATA) {
            status = weir_doc_apply (doc, &entry, run->entries[i].payload, &deferred);
        } else {
            weir_doc_pass (doc, &entry);
        }
        if (deferred) {
            db->why = status;
            *done = i;
            return WEIR_DEFERRED;
        }
        if (status != WEIR_OK && mark) {
            weir_repo_mark_inert (self, db, branch, entry.seq, status);
        }
        entry.lamport += entry.ops;
        entry.seq++;
    }
    return WEIR_OK;
}

void
weir_repo_doc_sealed (struct weir_repo *self, struct weir_repo_db *db, const struct weir_run *run,
                      const struct weir_repo_place *place, uint32_t branch)
{
    struct weir_reader r = weir_reader (weir_buf_bytes (&db->open_inert));
    while (weir_reader_left (&r) > 0) {
        uint32_t index = weir_read_u32 (&r);
        weir_repo_mark_inert (self, db, branch, run->seq + index,
                              weir_status_from_number (weir_read_u8 (&r)));
    }
    weir_buf_clear (&db->open_inert);
    if (db->doc != NULL && !db->behind.is_behind) {
        uint32_t done = 0;
        if (run->kind != WEIR_ENTRY_DATA) {
            (void) apply_run (self, db, db->doc, run, place->lamport, branch, false, &done);
        }
        db->inert_position = db->position;
    }
}

/* The budget is used up at entry `done` of the row just stored: the rest is done in slices, and
 * until then the document is nobody's to see. */
static void
fall_behind (struct weir_repo *self, struct weir_repo_db *db, uint32_t done)
{
    uint64_t row = db->position;
    uint64_t applied = 0;
    if (db->open) {
        weir_repo_seal (self, db); /* what it holds is in the document already */
        applied = db->position;
    }
    db->behind = (struct weir_repo_behind){
        .is_behind = true, .after = row - 1, .done = done, .applied = applied
    };
    db->deferred = WEIR_BUSY;
}

void
weir_repo_doc_run (struct weir_repo *self, struct weir_repo_db *db, const struct weir_run *run,
                   const struct weir_repo_place *place, uint32_t branch)
{
    uint64_t budget = self->document_steps;
    uint32_t done = 0;
    if (db->doc == NULL || db->behind.is_behind) {
        return;
    }
    db->history.upto = UINT64_MAX; /* our own open run may be sealed behind this row */
    db->history.without = db->position;
    db->steps = &budget;
    weir_doc_set_budget (db->doc, &budget);
    enum weir_status status =
        apply_run (self, db, db->doc, run, place->lamport, branch, true, &done);
    weir_doc_set_budget (db->doc, NULL);
    db->steps = NULL;
    db->history.without = 0;
    if (status != WEIR_OK && db->why == WEIR_BUSY) {
        fall_behind (self, db, done);
        return;
    }
    if (status != WEIR_OK) {
        let_go (self, db, db->why);
        return;
    }
    if (run->kind == WEIR_ENTRY_DATA) {
        count_since (db, run->count, run->bytes.len);
    }
    db->inert_position = db->position;
}

/* ---- loading ---- */

/* `behind->done` entries of the row are applied already; with WEIR_DEFERRED it says how many are
 * then. */
static enum weir_status
replay_row (struct weir_repo *self, struct weir_repo_db *db, struct weir_doc *doc,
            uint64_t position, bool mark, struct weir_repo_behind *behind, struct weir_buf *buf)
{
    struct weir_repo_log_place place;
    enum weir_status status = weir_repo_log_read (self, position, &place);
    if (status != WEIR_OK) {
        return status == WEIR_NOT_FOUND ? WEIR_CORRUPT : status;
    }
    struct weir_repo_record record;
    struct weir_run run;
    status = weir_repo_record_get (self, db, place.branch, place.row.range.from_seq, buf, &record);
    if (status == WEIR_OK) {
        status = weir_repo_run_decode (self, db, &record, &run);
    }
    if (status != WEIR_OK) {
        return status;
    }
    db->history.upto = position - 1;
    status = apply_run (self, db, doc, &run, record.lamport, place.branch,
                        mark && position > db->inert_position, &behind->done);
    if (status == WEIR_OK) {
        behind->after = position;
        behind->done = 0;
    }
    if (status == WEIR_OK && mark && run.kind == WEIR_ENTRY_DATA) {
        count_since (db, run.count, run.bytes.len);
    }
    return status;
}

/* The rows behind behind->after, as far as the document's budget goes; WEIR_DEFERRED: not all. */
static enum weir_status
replay (struct weir_repo *self, struct weir_repo_db *db, struct weir_doc *doc, bool mark,
        struct weir_repo_behind *behind)
{
    weir_repo_settle (self);
    struct weir_repo_key from =
        weir_repo_key_db_u64 (WEIR_REPO_TABLE_ARRIVAL, db->number, behind->after + 1);
    struct weir_repo_key all = weir_repo_key_db (WEIR_REPO_TABLE_ARRIVAL, db->number);
    struct weir_repo_key to = weir_repo_key_after (&all);
    struct weir_kv_iter *iter =
        weir_kv_iter_new (self->kv, weir_repo_key_bytes (&from), weir_repo_key_bytes (&to), false);
    struct weir_buf buf = { 0 };
    struct weir_bytes key;
    struct weir_bytes value;
    enum weir_status status = WEIR_OK;
    db->history.also = behind->applied;
    while (status == WEIR_OK && weir_kv_iter_next (iter, &key, &value)) {
        uint64_t position = weir_load_u64 (key.data + key.len - 8);
        if (position != behind->applied) {
            status = replay_row (self, db, doc, position, mark, behind, &buf);
        }
    }
    if (status == WEIR_OK) {
        status = weir_kv_iter_status (iter);
    }
    if (status == WEIR_OK && mark && db->inert_position < db->position) {
        db->inert_position = db->position;
        weir_repo_db_mark (self, db);
    }
    db->history.upto = UINT64_MAX;
    db->history.also = 0;
    weir_kv_iter_destroy (&iter);
    weir_buf_fini (&buf);
    return status;
}

static void
begin_replay (struct weir_repo *self, struct weir_repo_db *db, struct weir_doc *doc)
{
    weir_repo_history_init (&db->history, self, db);
    weir_doc_set_history (doc, &db->history.port);
    weir_doc_cool (doc); /* the log is here: what concurrency needs can be read again */
}

enum weir_status
weir_repo_doc_replay (struct weir_repo *self, struct weir_repo_db *db, uint64_t after, bool mark,
                      struct weir_doc *doc)
{
    struct weir_repo_behind behind = { .after = after };
    begin_replay (self, db, doc);
    return replay (self, db, doc, mark, &behind);
}

/* One slice. WEIR_DEFERRED: there is more to do, or there is no document any more. */
static enum weir_status
catch_up (struct weir_repo *self, struct weir_repo_db *db)
{
    uint64_t budget = self->document_steps;
    db->steps = &budget;
    weir_doc_set_budget (db->doc, &budget);
    enum weir_status status = replay (self, db, db->doc, true, &db->behind);
    weir_doc_set_budget (db->doc, NULL);
    db->steps = NULL;
    if (status == WEIR_OK) {
        db->behind.is_behind = false;
        db->deferred = WEIR_OK;
    } else if (status != WEIR_DEFERRED || db->why != WEIR_BUSY) {
        let_go (self, db, status == WEIR_DEFERRED ? db->why : status);
        db->deferred_position = db->position;
    }
    return status;
}

enum weir_status
weir_repo_doc_snapshot (struct weir_repo *self, struct weir_repo_db *db, struct weir_doc **doc)
{
    if (db->snapshot_position == 0) {
        return WEIR_NOT_FOUND;
    }
    weir_repo_settle (self);
    struct weir_repo_key from =
        weir_repo_key_db_u32 (WEIR_REPO_TABLE_PART, db->number, db->snapshot_generation);
    struct weir_repo_key to = weir_repo_key_after (&from);
    struct weir_kv_iter *iter =
        weir_kv_iter_new (self->kv, weir_repo_key_bytes (&from), weir_repo_key_bytes (&to), false);
    struct weir_buf state = { 0 };
    struct weir_bytes key;
    struct weir_bytes value;
    while (weir_kv_iter_next (iter, &key, &value)) {
        weir_buf_put_bytes (&state, value);
    }
    enum weir_status status = weir_kv_iter_status (iter);
    weir_kv_iter_destroy (&iter);
    if (status == WEIR_OK
        && (state.len != db->snapshot_bytes
            || weir_doc_load (doc, weir_buf_bytes (&state)) != WEIR_OK)) {
        status = WEIR_NOT_FOUND; /* the log has it all */
    }
    weir_buf_fini (&state);
    return status;
}

static enum weir_status
load (struct weir_repo *self, struct weir_repo_db *db)
{
    struct weir_doc *doc = NULL;
    uint64_t after = db->snapshot_position;
    enum weir_status status = weir_repo_doc_snapshot (self, db, &doc);
    if (status == WEIR_NOT_FOUND) {
        doc = weir_doc_new ();
        after = 0;
        status = WEIR_OK;
    }
    if (status != WEIR_OK) {
        return status;
    }
    begin_replay (self, db, doc);
    db->doc = doc;
    db->doc_bytes = weir_doc_memory_bytes (doc);
    self->docs_bytes += db->doc_bytes;
    db->since_entries = 0;
    db->since_bytes = 0;
    db->behind = (struct weir_repo_behind){ .is_behind = true, .after = after };
    db->deferred = WEIR_BUSY;
    status = catch_up (self, db);
    if (db->doc != NULL) {
        self->docs_bytes -= db->doc_bytes;
        db->doc_bytes = weir_doc_memory_bytes (doc);
        self->docs_bytes += db->doc_bytes;
    }
    return status;
}

/* ---- saving and letting go ---- */

static void
save (struct weir_repo *self, struct weir_repo_db *db)
{
    weir_repo_settle (self); /* the snapshot covers what has a position */
    struct weir_buf state = { 0 };
    weir_doc_save (db->doc, &state);
    uint32_t old_parts = (uint32_t) ((db->snapshot_bytes + PART_BYTES - 1) / PART_BYTES);
    for (uint32_t i = 0; db->snapshot_position != 0 && i < old_parts; i++) {
        struct weir_repo_key key =
            weir_repo_key_db_place (WEIR_REPO_TABLE_PART, db->number, db->snapshot_generation, i);
        weir_repo_delete (self, &key);
    }
    db->snapshot_generation++;
    db->snapshot_position = db->position;
    db->snapshot_bytes = state.len;
    uint32_t parts = 0;
    for (size_t at = 0; at < state.len; at += PART_BYTES) {
        size_t len = state.len - at < PART_BYTES ? state.len - at : PART_BYTES;
        struct weir_repo_key key = weir_repo_key_db_place (WEIR_REPO_TABLE_PART, db->number,
                                                           db->snapshot_generation, parts++);
        weir_repo_put (self, &key, weir_bytes (state.data + at, len));
    }
    weir_buf_clear (&self->row);
    weir_buf_put_u64 (&self->row, db->snapshot_position);
    weir_buf_put_u32 (&self->row, db->snapshot_generation);
    weir_buf_put_u32 (&self->row, parts);
    weir_buf_put_u64 (&self->row, db->snapshot_bytes);
    struct weir_repo_key key = weir_repo_key_db (WEIR_REPO_TABLE_SNAPSHOT, db->number);
    weir_repo_put (self, &key, weir_buf_bytes (&self->row));
    db->since_entries = 0;
    db->since_bytes = 0;
    weir_buf_fini (&state);
}

static void
measure (struct weir_repo *self, struct weir_repo_db *db)
{
    self->docs_bytes -= db->doc_bytes;
    db->doc_bytes = weir_doc_memory_bytes (db->doc);
    self->docs_bytes += db->doc_bytes;
}

void
weir_repo_doc_drop (struct weir_repo *self, struct weir_repo_db *db)
{
    if (db->doc == NULL) {
        return;
    }
    weir_repo_settle (self); /* what is open was applied here and not by a replay */
    self->docs_bytes -= db->doc_bytes;
    db->doc_bytes = 0;
    db->behind.is_behind = false;
    weir_doc_destroy (&db->doc);
}

/* Lets go of the documents used longest ago until the rest fits; never of `keep`, but of the
 * history it has read, which the log can give again. */
static void
evict (struct weir_repo *self, struct weir_repo_db *keep)
{
    if (self->docs_bytes > self->documents_bytes_max && keep->doc != NULL && !keep->behind.is_behind
        && weir_doc_is_warm (keep->doc)) {
        weir_doc_cool (keep->doc);
        measure (self, keep);
    }
    while (self->docs_bytes > self->documents_bytes_max) {
        struct weir_repo_db *oldest = NULL;
        for (size_t i = 0; i < self->n_dbs; i++) {
            struct weir_repo_db *db = self->dbs[i];
            if (db->doc != NULL && db != keep
                && (oldest == NULL || db->doc_used < oldest->doc_used)) {
                oldest = db;
            }
        }
        if (oldest == NULL) {
            return;
        }
        if (oldest->since_entries >= SNAPSHOT_ENTRIES_MIN && !oldest->behind.is_behind) {
            save (self, oldest);
        }
        weir_repo_doc_drop (self, oldest);
    }
}

enum weir_status
weir_repo_document (struct weir_repo *self, const struct weir_id *id, struct weir_doc **doc,
                    struct weir_error *e)
{
    struct weir_repo_db *db = NULL;
    enum weir_status status = weir_repo_db_get (self, id, &db);
    if (status == WEIR_OK && db->state != WEIR_REPO_DB_LIVE) {
        status = WEIR_NOT_FOUND;
    }
    if (status == WEIR_OK && db->doc == NULL) {
        /* What was too much once is too much again, as long as the log stays as it is. */
        bool in_vain = db->deferred == WEIR_LIMIT && db->deferred_position == db->position;
        status = in_vain ? WEIR_DEFERRED : load (self, db);
        if (status == WEIR_OK) {
            evict (self, db);
        }
    } else if (status == WEIR_OK && db->behind.is_behind) {
        status = catch_up (self, db);
    }
    if (status == WEIR_DEFERRED) {
        return weir_error_set (e, status, NULL, "the document of %s is behind its log: %s",
                               weir_id_text (id).s, weir_status_code (db->deferred));
    }
    if (status != WEIR_OK) {
        return weir_error_set (e, status, NULL, "the document of %s cannot be read",
                               weir_id_text (id).s);
    }
    db->doc_used = ++self->uses;
    *doc = db->doc;
    return WEIR_OK;
}

bool
weir_repo_docs_work (struct weir_repo *self)
{
    for (size_t i = 0; i < self->n_dbs; i++) {
        struct weir_repo_db *db = self->dbs[i];
        if (db->doc != NULL && db->behind.is_behind) {
            (void) catch_up (self, db);
            return true;
        }
        if (db->doc != NULL && db->since_entries >= SNAPSHOT_ENTRIES_MIN
            && db->since_bytes >= SNAPSHOT_BYTES_MIN && db->since_bytes >= db->snapshot_bytes / 2) {
            measure (self, db);
            save (self, db);
            evict (self, db);
            return true;
        }
    }
    return false;
}
