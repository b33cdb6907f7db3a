/* What sync and people ask of a database: its vector, how it compares with another's, runs of a
 * range for sending, single entries. Reading changes nothing; it flushes first when something
 * is not written yet, so that the rows show all that was done. */

#include "store/dag/run_scan.h"
#include "store/repo/parts.h"

#include <string.h>

const struct weir_vector *
weir_repo_vector (struct weir_repo *self, const struct weir_id *id)
{
    struct weir_repo_db *db = NULL;
    if (weir_repo_db_get (self, id, &db) != WEIR_OK) {
        return NULL;
    }
    weir_repo_settle (self);
    return &db->vector;
}

/* ---- comparing ---- */

struct compare {
    struct weir_repo *self;
    struct weir_repo_db *db;
    enum weir_status failed; /* of the kv: the comparison is worth nothing then */
};

static bool
found (struct compare *c, enum weir_status status)
{
    if (status != WEIR_OK && status != WEIR_NOT_FOUND) {
        c->failed = status;
    }
    return status == WEIR_OK;
}

static bool
compare_find (void *context, const struct weir_id *entry, struct weir_chain *chain, uint64_t *seq)
{
    struct compare *c = context;
    struct weir_repo_spot spot;
    if (!found (c, weir_repo_find (c->self, c->db, entry, &spot))) {
        return false;
    }
    *chain = c->db->branches[spot.branch].chain;
    *seq = spot.seq;
    return true;
}

enum weir_status
weir_repo_id_at (struct weir_repo *self, struct weir_repo_db *db, uint32_t branch, uint64_t seq,
                 struct weir_id *id)
{
    while (branch != WEIR_REPO_NONE && seq < db->branches[branch].first_seq) {
        branch = db->branches[branch].parent;
    }
    if (branch == WEIR_REPO_NONE || seq >= db->branches[branch].count) {
        return WEIR_NOT_FOUND;
    }
    const struct weir_repo_branch *b = &db->branches[branch];
    if (seq == b->first_seq || seq + 1 == b->count) {
        *id = seq == b->first_seq ? b->first : b->tip;
        return WEIR_OK;
    }
    struct weir_repo_record record;
    struct weir_run run;
    uint64_t run_seq = 0;
    weir_repo_settle (self);
    enum weir_status status =
        weir_repo_record_at (self, db, branch, seq, &self->record, &record, &run_seq);
    if (status == WEIR_OK) {
        status = weir_repo_run_decode (self, db, &record, &run);
    }
    if (status == WEIR_OK && seq - run_seq >= run.count) {
        status = WEIR_CORRUPT;
    }
    if (status == WEIR_OK) {
        *id = run.entries[seq - run_seq].id;
    }
    return status;
}

static bool
compare_id_at (void *context, const struct weir_row *tip, uint64_t seq, struct weir_id *id)
{
    struct compare *c = context;
    struct weir_repo_spot spot;
    return found (c, weir_repo_find (c->self, c->db, &tip->tip, &spot)) && seq <= spot.seq
           && found (c, weir_repo_id_at (c->self, c->db, spot.branch, seq, id));
}

enum weir_status
weir_repo_compare_rows (struct weir_repo *self, struct weir_repo_db *db,
                        const struct weir_vector *ours, const struct weir_told_row *told,
                        size_t n_told, struct weir_ranges *lacks, bool *more,
                        struct weir_vector *unknown)
{
    struct compare c = { .self = self, .db = db, .failed = WEIR_OK };
    weir_repo_settle (self);
    struct weir_compare_store store = { &c, compare_find, compare_id_at };
    weir_vector_compare (ours, told, n_told, &store, lacks, more, unknown);
    return c.failed;
}

enum weir_status
weir_repo_compare (struct weir_repo *self, const struct weir_id *id,
                   const struct weir_told_row *told, size_t n_told, struct weir_ranges *lacks,
                   bool *more, struct weir_vector *unknown)
{
    struct weir_repo_db *db = NULL;
    enum weir_status status = weir_repo_db_get (self, id, &db);
    if (status == WEIR_OK) {
        status = weir_repo_compare_rows (self, db, &db->vector, told, n_told, lacks, more, unknown);
    }
    return status;
}

enum weir_status
weir_repo_reconcile (struct weir_repo *self, struct weir_repo_db *db, const struct weir_id *key,
                     struct weir_bytes told, struct weir_buf *say, struct weir_reconciled *result)
{
    struct compare c = { .self = self, .db = db, .failed = WEIR_OK };
    weir_repo_settle (self);
    struct weir_compare_store store = { &c, compare_find, compare_id_at };
    struct weir_reconcile r = { &db->vector, &store, *key, WEIR_LADDER_BYTES_MAX };
    if (told.len == 0) {
        weir_reconcile_begin (&r, say);
        return WEIR_OK;
    }
    enum weir_status status = weir_reconcile_step (&r, told, say, result);
    return c.failed != WEIR_OK ? c.failed : status;
}

size_t
weir_repo_samples (struct weir_repo *self, const struct weir_id *id, const struct weir_row *row,
                   struct weir_sample *samples, size_t max)
{
    struct compare c = { .self = self, .failed = WEIR_OK };
    if (weir_repo_db_get (self, id, &c.db) != WEIR_OK) {
        return 0;
    }
    weir_repo_settle (self);
    struct weir_compare_store store = { &c, compare_find, compare_id_at };
    return weir_vector_samples (row, &store, samples, max);
}

/* ---- runs for sending ---- */

/* The branch on the way to `tip` in which `seq` lies, and where that branch's part ends. */
static uint32_t
branch_of (const struct weir_repo_db *db, uint32_t tip, uint64_t seq, uint64_t *end)
{
    while (tip != WEIR_REPO_NONE && seq < db->branches[tip].first_seq) {
        *end = db->branches[tip].first_seq;
        tip = db->branches[tip].parent;
    }
    return tip;
}

struct sending {
    struct weir_run_joiner joiner;
    struct weir_buf *out;
    size_t bytes_max;
    size_t bytes; /* about what is in out and joiner since the call */
};

static void
send_run (struct sending *s, const struct weir_run *run)
{
    if (!weir_run_joiner_add (&s->joiner, run)) {
        weir_run_joiner_close (&s->joiner, s->out);
        (void) weir_run_joiner_add (&s->joiner, run);
    }
    s->bytes += run->bytes.len;
}

/* The run at *at from its middle on: only this one needs its ids. */
static enum weir_status
send_cut (struct weir_repo *self, struct weir_repo_db *db, const struct weir_repo_record *record,
          uint64_t from_seq, struct sending *s)
{
    struct weir_run run;
    enum weir_status status = weir_repo_run_decode (self, db, record, &run);
    if (status != WEIR_OK || from_seq < run.seq || from_seq - run.seq >= run.count) {
        return status == WEIR_OK ? WEIR_CORRUPT : status;
    }
    struct weir_buf cut = { 0 };
    weir_run_cut (&run, from_seq, &cut);
    weir_arena_reset (self->arena_read);
    status = weir_run_scan (&run, self->arena_read, weir_buf_bytes (&cut));
    if (status == WEIR_OK) {
        send_run (s, &run);
    }
    weir_buf_fini (&cut);
    return status;
}

/* Sends runs of one branch from *at on, up to `end`. *at moves behind what was sent. WEIR_BUSY:
 * the next is not synced yet. */
static enum weir_status
send_branch (struct weir_repo *self, struct weir_repo_db *db, uint32_t branch, uint64_t *at,
             uint64_t end, struct sending *s)
{
    struct weir_repo_record record;
    uint64_t run_seq = 0;
    enum weir_status status =
        weir_repo_record_at (self, db, branch, *at, &self->record, &record, &run_seq);
    if (status != WEIR_OK) {
        return status;
    }
    struct weir_repo_key from =
        weir_repo_key_db_place (WEIR_REPO_TABLE_RUN, db->number, branch, run_seq);
    struct weir_repo_key to = weir_repo_key_db_place (WEIR_REPO_TABLE_RUN, db->number, branch, end);
    struct weir_kv_iter *iter =
        weir_kv_iter_new (self->kv, weir_repo_key_bytes (&from), weir_repo_key_bytes (&to), false);
    struct weir_bytes key;
    struct weir_bytes value;
    while (status == WEIR_OK && *at < end && (s->bytes == 0 || s->bytes < s->bytes_max)
           && weir_kv_iter_next (iter, &key, &value)) {
        struct weir_run run = { .count = 0 };
        weir_arena_reset (self->arena_read);
        status = weir_repo_record_read (&record, db, value);
        if (status == WEIR_OK && record.position > self->synced_position) {
            status = WEIR_BUSY;
        }
        if (status == WEIR_OK && weir_run_scan (&run, self->arena_read, record.bytes) != WEIR_OK) {
            status = WEIR_CORRUPT;
        }
        if (status != WEIR_OK) {
            break;
        }
        uint64_t behind = run.seq + run.count;
        if (run.seq < *at && behind > *at) {
            status = send_cut (self, db, &record, *at, s);
        } else if (run.seq == *at) {
            send_run (s, &run);
        } else {
            status = WEIR_CORRUPT;
        }
        if (status == WEIR_OK) {
            *at = behind;
        }
    }
    if (status == WEIR_OK) {
        status = weir_kv_iter_status (iter);
    }
    weir_kv_iter_destroy (&iter);
    return status;
}

enum weir_status
weir_repo_read (struct weir_repo *self, const struct weir_id *id, const struct weir_range *range,
                uint64_t from_seq, size_t bytes_max, struct weir_buf *out, uint64_t *next_seq)
{
    struct weir_repo_db *db = NULL;
    struct weir_repo_spot spot;
    enum weir_status status = weir_repo_db_get (self, id, &db);
    if (status == WEIR_OK) {
        weir_repo_settle (self);
        status = weir_repo_find (self, db, &range->tip, &spot);
    }
    if (status == WEIR_OK
        && (weir_chain_compare (&db->branches[spot.branch].chain, &range->chain) != 0
            || spot.seq + 1 != range->to_seq || from_seq < range->from_seq)) {
        status = WEIR_NOT_FOUND;
    }
    if (status != WEIR_OK) {
        return status;
    }
    struct sending s = { .out = out, .bytes_max = bytes_max };
    uint64_t at = from_seq;
    while (status == WEIR_OK && at < range->to_seq && (s.bytes == 0 || s.bytes < bytes_max)) {
        uint64_t end = range->to_seq;
        uint32_t branch = branch_of (db, spot.branch, at, &end);
        status =
            branch == WEIR_REPO_NONE ? WEIR_CORRUPT : send_branch (self, db, branch, &at, end, &s);
        at = at > end ? end : at; /* a run that goes on beyond a fork was sent whole */
    }
    if (!weir_run_joiner_is_empty (&s.joiner)) {
        weir_run_joiner_close (&s.joiner, out);
    }
    weir_run_joiner_fini (&s.joiner);
    if (status == WEIR_BUSY && at > from_seq) {
        status = WEIR_OK;
    }
    if (status == WEIR_OK) {
        *next_seq = at;
    }
    return status;
}

/* ---- entries ---- */

static enum weir_status
inert_of (struct weir_repo *self, const struct weir_repo_db *db, const struct weir_repo_spot *spot,
          struct weir_entry_facts *facts)
{
    struct weir_repo_key key =
        weir_repo_key_db_place (WEIR_REPO_TABLE_INERT, db->number, spot->branch, spot->seq);
    struct weir_buf value = { 0 };
    enum weir_status status = weir_kv_get (self->kv, weir_repo_key_bytes (&key), &value);
    facts->inert = status == WEIR_OK;
    facts->inert_why =
        facts->inert && value.len == 1 ? weir_status_from_number (value.data[0]) : WEIR_OK;
    weir_buf_fini (&value);
    return status == WEIR_NOT_FOUND ? WEIR_OK : status;
}

static void
fill_facts (struct weir_entry_facts *f, const struct weir_run *run, uint64_t index,
            const struct weir_repo_record *record, uint64_t lamport)
{
    const struct weir_run_entry *entry = &run->entries[index];
    *f = (struct weir_entry_facts){
        .id = entry->id,
        .chain = run->chain,
        .seq = run->seq + index,
        .lamport = lamport,
        .ops = entry->ops,
        .clock_ms = entry->clock_ms,
        .kind = run->kind,
        .position = record->position,
        .prev = index == 0 ? run->prev : run->entries[index - 1].id,
        .view = record->view,
    };
    if (index == 0) {
        f->n_deps = run->n_deps;
        memcpy (f->deps, run->deps, sizeof f->deps[0] * run->n_deps);
    }
}

enum weir_status
weir_repo_entry (struct weir_repo *self, const struct weir_id *id, const struct weir_id *entry,
                 struct weir_entry_facts *facts, struct weir_buf *payload)
{
    struct weir_repo_db *db = NULL;
    struct weir_repo_spot spot;
    struct weir_repo_record record;
    struct weir_run run;
    struct weir_entry_facts f;
    enum weir_status status = weir_repo_db_get (self, id, &db);
    if (status == WEIR_OK) {
        weir_repo_settle (self);
        status = weir_repo_find (self, db, entry, &spot);
    }
    if (status == WEIR_OK) {
        status = weir_repo_record_get (self, db, spot.branch, spot.run_seq, &self->record, &record);
        status = status != WEIR_OK ? status : weir_repo_run_decode (self, db, &record, &run);
        if (status == WEIR_OK && spot.seq - run.seq >= run.count) {
            status = WEIR_CORRUPT;
        }
    }
    if (status == WEIR_OK) {
        uint64_t lamport = record.lamport;
        for (uint64_t i = 0; i < spot.seq - run.seq; i++) {
            lamport += run.entries[i].ops;
        }
        fill_facts (&f, &run, spot.seq - run.seq, &record, lamport);
        status = inert_of (self, db, &spot, &f);
    }
    if (status == WEIR_OK) {
        *facts = f;
        if (payload != NULL) {
            weir_buf_put_bytes (payload, run.entries[spot.seq - run.seq].payload);
        }
    }
    return status;
}

enum weir_status
weir_repo_row_entries (struct weir_repo *self, const struct weir_log_row *row, size_t skip,
                       weir_repo_entry_fn *fn, void *context)
{
    struct weir_repo_db *db = NULL;
    struct weir_repo_spot spot;
    struct weir_repo_record record;
    struct weir_run run;
    enum weir_status status = weir_repo_db_get (self, &row->db, &db);
    if (status == WEIR_OK) {
        weir_repo_settle (self);
        status = weir_repo_find (self, db, &row->range.tip, &spot);
    }
    if (status == WEIR_OK) {
        status = weir_repo_record_get (self, db, spot.branch, spot.run_seq, &self->record, &record);
        status = status != WEIR_OK ? status : weir_repo_run_decode (self, db, &record, &run);
        if (status == WEIR_OK && spot.seq - run.seq >= run.count) {
            status = WEIR_CORRUPT;
        }
    }
    if (status != WEIR_OK) {
        return status;
    }
    struct weir_entry_facts f;
    uint64_t behind = record.lamport; /* the lamport of what follows the entry at hand */
    uint64_t at = spot.seq - run.seq + 1;
    for (uint64_t i = 0; i < at; i++) {
        behind += run.entries[i].ops;
    }
    bool more = true;
    while (status == WEIR_OK && more && at-- > 0) {
        behind -= run.entries[at].ops;
        if (skip > 0) {
            skip--;
            continue;
        }
        fill_facts (&f, &run, at, &record, behind);
        spot.seq = run.seq + at;
        status = inert_of (self, db, &spot, &f);
        more = status == WEIR_OK && fn (context, &f, run.entries[at].payload);
    }
    return status;
}

/* The bytes that `prefix` (valid base32) settles for sure. */
static size_t
prefix_bytes (const char *prefix, uint8_t bytes[WEIR_ID_BYTES])
{
    struct weir_buf whole = { 0 };
    char text[WEIR_ID_TEXT + 1];
    size_t len = strlen (prefix);
    /* Eight characters are five bytes: shorter rests are left to the text comparison. */
    len = len > WEIR_ID_TEXT ? WEIR_ID_TEXT : len;
    len -= len % 8;
    memcpy (text, prefix, len);
    size_t n = 0;
    if (weir_base32_get (&whole, weir_bytes (text, len)) == WEIR_OK) {
        n = whole.len < WEIR_ID_BYTES ? whole.len : WEIR_ID_BYTES;
        memcpy (bytes, whole.data, n);
    }
    weir_buf_fini (&whole);
    return n;
}

enum weir_status
weir_repo_find_entry (struct weir_repo *self, const struct weir_id *id, const char *prefix,
                      struct weir_id *entry, struct weir_error *e)
{
    struct weir_repo_db *db = NULL;
    enum weir_status status = weir_repo_db_get (self, id, &db);
    uint8_t bytes[WEIR_ID_BYTES];
    size_t n = status == WEIR_OK ? prefix_bytes (prefix, bytes) : 0;
    if (status != WEIR_OK || n == 0) {
        return weir_error_set (e, status == WEIR_OK ? WEIR_NOT_FOUND : status,
                               "an entry goes by its id, or 8 or more characters of it",
                               "no entry %s", prefix);
    }
    weir_repo_settle (self);
    struct weir_repo_key from = weir_repo_key_db (WEIR_REPO_TABLE_ENTRY, db->number);
    memcpy (from.data + from.len, bytes, n);
    from.len += n;
    struct weir_repo_key to = weir_repo_key_after (&from);
    struct weir_kv_iter *iter =
        weir_kv_iter_new (self->kv, weir_repo_key_bytes (&from), weir_repo_key_bytes (&to), false);
    struct weir_bytes key;
    struct weir_bytes value;
    size_t count = 0;
    while (count < 2 && weir_kv_iter_next (iter, &key, &value)) {
        struct weir_id one;
        if (key.len == 5 + WEIR_ID_BYTES
            && weir_id_from_bytes (&one, weir_bytes (key.data + 5, WEIR_ID_BYTES)) == WEIR_OK
            && weir_id_has_prefix (&one, prefix)) {
            *entry = one;
            count++;
        }
    }
    status = weir_kv_iter_status (iter);
    weir_kv_iter_destroy (&iter);
    if (status == WEIR_OK && count != 1) {
        status = count == 0 ? WEIR_NOT_FOUND : WEIR_AMBIGUOUS;
    }
    return status == WEIR_OK ? WEIR_OK
                             : weir_error_set (e, status, NULL, "%s entry %s",
                                               count == 0 ? "no" : "more than one", prefix);
}
