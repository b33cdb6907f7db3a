/* Verifies databases: computes everything again from the runs, in order of arrival, and compares
 * it with the rows and the state in memory. Changes nothing. `weir db verify` calls it, and so
 * do the tests after every random history. */

#include "store/repo/blob.h"
#include "store/repo/parts.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROGRESS_RUNS 256u

/* What the runs of one branch say. */
struct shadow {
    uint64_t next_seq;
    struct weir_id tip;
    uint64_t lamport;
};

struct check {
    struct weir_repo *self;
    struct weir_repo_db *db;
    struct weir_check_report *report;
    struct shadow *shadows;
    struct weir_map *heads;
    struct weir_buf row;
    struct weir_arena *arena; /* for looking at the past of the run in the other one */
    uint64_t runs;
    uint64_t entries;
    uint64_t bytes;
    uint64_t settings;
    void (*progress) (void *, uint64_t runs);
    void *context;
};

static void WEIR_PRINTF (3, 4) problem (struct check *c, uint64_t *counter, const char *format, ...)
{
    (*counter)++;
    if (c->report->first_problem[0] != '\0') {
        return;
    }
    char text[160];
    va_list arguments;
    va_start (arguments, format);
    vsnprintf (text, sizeof text, format, arguments);
    va_end (arguments);
    snprintf (c->report->first_problem, sizeof c->report->first_problem, "%.8s: %s",
              weir_id_text (&c->db->id).s, text);
}

/* ---- one run ---- */

struct checked {
    struct weir_repo_log_place place;
    struct weir_repo_record record;
    struct weir_run run;
    uint64_t lamport;
    uint32_t view;
};

/* Reads and decodes; false when there is nothing to go on with. */
static bool
read_run (struct check *c, uint64_t position, struct checked *x)
{
    struct weir_repo *self = c->self;
    unsigned long long n = position;
    if (weir_repo_log_read (self, position, &x->place) != WEIR_OK || x->place.db != c->db->number) {
        problem (c, &c->report->wrong_indexes, "the log's row %llu cannot be read", n);
        return false;
    }
    const struct weir_range *range = &x->place.row.range;
    if (weir_repo_record_get (self, c->db, x->place.branch, range->from_seq, &c->row, &x->record)
            != WEIR_OK
        || weir_repo_run_decode (self, c->db, &x->record, &x->run) != WEIR_OK) {
        problem (c, &c->report->bad_runs, "the run at %llu cannot be read", n);
        return false;
    }
    if (weir_run_verify (&x->run) != WEIR_OK) {
        problem (c, &c->report->bad_runs, "the run at %llu has a bad signature", n);
        return false;
    }
    if (x->record.position != position || range->to_seq != range->from_seq + x->run.count
        || x->run.seq != range->from_seq || x->place.row.kind != x->run.kind
        || x->place.row.bytes != x->run.bytes.len
        || !weir_id_equal (&range->tip, weir_run_tip (&x->run))) {
        problem (c, &c->report->wrong_indexes, "the log's row %llu differs from its run", n);
    }
    return true;
}

/* Lamport and view from what it builds on, which must have arrived before. */
static bool
check_past (struct check *c, struct checked *x)
{
    struct weir_id ids[WEIR_ENTRY_DEPS_MAX + 1];
    uint32_t views[WEIR_ENTRY_DEPS_MAX + 1];
    const struct weir_run *run = &x->run;
    size_t n = run->n_deps;
    memcpy (ids, run->deps, n * sizeof ids[0]);
    if (run->seq > 0) {
        ids[n++] = run->prev;
    }
    x->lamport = 0;
    for (size_t i = 0; i < n; i++) {
        struct weir_repo_spot spot;
        struct weir_repo_facts facts;
        if (weir_repo_find (c->self, c->db, &ids[i], &spot) != WEIR_OK
            || weir_repo_facts_behind (c->self, c->db, &spot, &facts) != WEIR_OK
            || facts.position > x->record.position) {
            problem (c, &c->report->missing, "%.8s is referred to and not held",
                     weir_id_text (&ids[i]).s);
            return false;
        }
        views[i] = facts.view;
        x->lamport = facts.lamport > x->lamport ? facts.lamport : x->lamport;
    }
    x->view = n == 0 ? 0 : weir_members_join (c->db->members, views, n);
    if (x->lamport != x->record.lamport || x->view != x->record.view) {
        problem (c, &c->report->wrong_indexes, "the facts of the run at %llu are wrong",
                 (unsigned long long) x->record.position);
    }
    if (weir_members_may_store (c->db->members, x->view, &run->chain.author, run->kind,
                                run->entries[0].payload)
        != WEIR_OK) {
        problem (c, &c->report->bad_runs, "the run at %llu was not allowed",
                 (unsigned long long) x->record.position);
    }
    return true;
}

/* Its place in its branch, and the rows that lead to its entries. */
static void
check_place (struct check *c, const struct checked *x)
{
    struct weir_repo *self = c->self;
    const struct weir_repo_branch *b = &c->db->branches[x->place.branch];
    struct shadow *s = &c->shadows[x->place.branch];
    const struct weir_run *run = &x->run;
    bool first = s->next_seq == 0;
    bool follows = first
                       ? run->seq == b->first_seq && weir_id_equal (&run->entries[0].id, &b->first)
                       : run->seq == s->next_seq && weir_id_equal (&run->prev, &s->tip);
    if (!follows || weir_chain_compare (&run->chain, &b->chain) != 0) {
        problem (c, &c->report->wrong_indexes, "the run at %llu does not fit its branch",
                 (unsigned long long) x->record.position);
    }
    struct weir_buf value = { 0 };
    struct weir_buf want = { 0 };
    s->lamport = x->lamport;
    for (uint32_t i = 0; i < run->count; i++) {
        struct weir_repo_key key =
            weir_repo_key_db_id (WEIR_REPO_TABLE_ENTRY, c->db->number, &run->entries[i].id);
        weir_buf_clear (&value);
        weir_buf_clear (&want);
        weir_buf_put_varint (&want, x->place.branch);
        weir_buf_put_varint (&want, run->seq);
        weir_buf_put_varint (&want, i);
        if (weir_kv_get (self->kv, weir_repo_key_bytes (&key), &value) != WEIR_OK
            || !weir_bytes_equal (weir_buf_bytes (&value), weir_buf_bytes (&want))) {
            problem (c, &c->report->wrong_indexes, "the index of %.8s is wrong",
                     weir_id_text (&run->entries[i].id).s);
        }
        s->lamport += run->entries[i].ops;
    }
    s->next_seq = run->seq + run->count;
    s->tip = *weir_run_tip (run);
    weir_buf_fini (&value);
    weir_buf_fini (&want);
}

static void
count_run (struct check *c, const struct checked *x)
{
    const struct weir_run *run = &x->run;
    if (run->seq > 0) {
        (void) weir_map_remove (c->heads, weir_id_bytes (&run->prev));
    }
    for (uint16_t i = 0; i < run->n_deps; i++) {
        (void) weir_map_remove (c->heads, weir_id_bytes (&run->deps[i]));
    }
    (void) weir_map_put (c->heads, weir_id_bytes (weir_run_tip (run)), c);
    c->runs++;
    c->entries += run->count;
    c->bytes += run->bytes.len;
    c->settings += run->kind == WEIR_ENTRY_SETTINGS || run->kind == WEIR_ENTRY_GENESIS ? 1 : 0;
    if (c->progress != NULL && (c->report->runs + c->runs) % PROGRESS_RUNS == 0) {
        c->progress (c->context, c->report->runs + c->runs);
    }
}

static void
check_run (struct check *c, uint64_t position)
{
    struct checked x;
    if (!read_run (c, position, &x)) {
        return;
    }
    struct weir_arena *held = c->self->arena_read;
    c->self->arena_read = c->arena; /* looking at its past must not end it */
    if (check_past (c, &x)) {
        check_place (c, &x);
    }
    count_run (c, &x);
    c->self->arena_read = held;
}

/* ---- one database ---- */

static uint64_t
count_rows (struct check *c, enum weir_repo_table table)
{
    struct weir_repo_key from = weir_repo_key_db (table, c->db->number);
    struct weir_repo_key to = weir_repo_key_after (&from);
    struct weir_kv_iter *iter = weir_kv_iter_new (c->self->kv, weir_repo_key_bytes (&from),
                                                  weir_repo_key_bytes (&to), false);
    struct weir_bytes key;
    struct weir_bytes value;
    uint64_t count = 0;
    while (weir_kv_iter_next (iter, &key, &value)) {
        count++;
    }
    if (weir_kv_iter_status (iter) != WEIR_OK) {
        problem (c, &c->report->wrong_indexes, "a table cannot be read to its end");
    }
    weir_kv_iter_destroy (&iter);
    return count;
}

static void
check_runs (struct check *c)
{
    struct weir_repo_key from = weir_repo_key_db (WEIR_REPO_TABLE_ARRIVAL, c->db->number);
    struct weir_repo_key to = weir_repo_key_after (&from);
    struct weir_kv_iter *iter = weir_kv_iter_new (c->self->kv, weir_repo_key_bytes (&from),
                                                  weir_repo_key_bytes (&to), false);
    struct weir_bytes key;
    struct weir_bytes value;
    while (weir_kv_iter_next (iter, &key, &value)) {
        if (key.len == 13) {
            check_run (c, weir_load_u64 (key.data + 5));
        } else {
            problem (c, &c->report->wrong_indexes, "the log has a key that is none");
        }
    }
    if (weir_kv_iter_status (iter) != WEIR_OK) {
        problem (c, &c->report->wrong_indexes, "the log cannot be read to its end");
    }
    weir_kv_iter_destroy (&iter);
}

static void
check_heads (struct check *c)
{
    const struct weir_repo_db *db = c->db;
    bool same = weir_map_count (c->heads) == db->n_heads;
    for (size_t i = 0; i < db->n_heads && same; i++) {
        same = weir_map_get (c->heads, weir_id_bytes (&db->heads[i])) != NULL
               && (i == 0 || weir_id_compare (&db->heads[i - 1], &db->heads[i]) < 0);
    }
    if (!same) {
        problem (c, &c->report->wrong_indexes, "the heads are wrong");
    }
}

static void
check_summary (struct check *c)
{
    const struct weir_repo_db *db = c->db;
    struct weir_vector vector = { 0 };
    for (size_t i = 0; i < db->n_branches; i++) {
        const struct weir_repo_branch *b = &db->branches[i];
        const struct shadow *s = &c->shadows[i];
        struct weir_row row = { .chain = b->chain, .count = s->next_seq, .tip = s->tip };
        weir_vector_put (&vector, &row);
        if (b->count != s->next_seq || !weir_id_equal (&b->tip, &s->tip)
            || b->lamport != s->lamport) {
            problem (c, &c->report->wrong_indexes, "branch %zu ends elsewhere", i);
        }
    }
    if (!weir_vector_equal (&vector, &db->vector)) {
        problem (c, &c->report->wrong_indexes, "the entry vector is wrong");
    }
    weir_vector_fini (&vector);
    if (c->entries != db->entries || c->bytes != db->bytes || c->settings != db->n_settings
        || c->runs != count_rows (c, WEIR_REPO_TABLE_RUN)
        || c->entries != count_rows (c, WEIR_REPO_TABLE_ENTRY)) {
        problem (c, &c->report->wrong_indexes, "the counts are wrong");
    }
    check_heads (c);
}

/* The document that is shown, or would be, against one replayed from the first entry. */
static void
check_document (struct check *c)
{
    struct weir_repo_db *db = c->db;
    struct weir_doc *doc = NULL;
    struct weir_doc *whole = weir_doc_new ();
    struct weir_buf shown = { 0 };
    struct weir_buf want = { 0 };
    enum weir_status status = weir_repo_doc_replay (c->self, db, 0, false, whole);
    if (status == WEIR_OK && db->doc != NULL && !db->behind.is_behind) {
        weir_doc_save (db->doc, &shown);
    } else if (status == WEIR_OK && db->snapshot_position != 0) {
        status = weir_repo_doc_snapshot (c->self, db, &doc);
        status = status != WEIR_OK
                     ? status
                     : weir_repo_doc_replay (c->self, db, db->snapshot_position, false, doc);
        if (status == WEIR_OK) {
            weir_doc_save (doc, &shown);
        }
    } else {
        goto done; /* nothing is kept that could be wrong */
    }
    weir_doc_save (whole, &want);
    if (status != WEIR_OK || !weir_bytes_equal (weir_buf_bytes (&shown), weir_buf_bytes (&want))) {
        problem (c, &c->report->wrong_indexes, "the document differs from its log");
    }
done:
    weir_doc_destroy (&doc);
    weir_doc_destroy (&whole);
    weir_buf_fini (&shown);
    weir_buf_fini (&want);
}

/* Content that is damaged comes again from peers, unlike anything above. */
static void
check_blobs (struct check *c)
{
    struct weir_blob_check blobs = { 0 };
    if (weir_repo_blob_check (c->self, &c->db->id, false, &blobs) != WEIR_OK) {
        problem (c, &c->report->wrong_indexes, "its rows of blobs cannot be read");
    }
    c->report->pieces += blobs.pieces;
    if (blobs.bad > 0) {
        problem (c, &c->report->bad_pieces, "%llu pieces of blobs are damaged or lost",
                 (unsigned long long) blobs.bad);
        c->report->bad_pieces += blobs.bad - 1;
    }
}

static void
check_database (struct check *c)
{
    c->runs = c->entries = c->bytes = c->settings = 0;
    c->report->databases++;
    if (weir_repo_db_load (c->self, c->db) != WEIR_OK) {
        problem (c, &c->report->wrong_indexes, "its rows cannot be read");
        return;
    }
    c->shadows = weir_alloc ((c->db->n_branches + 1) * sizeof *c->shadows);
    c->heads = weir_map_new ();
    check_runs (c);
    check_summary (c);
    check_document (c);
    check_blobs (c);
    c->report->runs += c->runs;
    c->report->entries += c->entries;
    c->report->bytes += c->bytes;
    weir_map_destroy (&c->heads, NULL);
    free (c->shadows);
    c->shadows = NULL;
}

enum weir_status
weir_repo_verify (struct weir_repo *self, const struct weir_id *id,
                  void (*progress) (void *, uint64_t runs), void *context,
                  struct weir_check_report *report)
{
    struct check c = { .self = self, .report = report, .progress = progress, .context = context };
    memset (report, 0, sizeof *report);
    c.arena = weir_arena_new (WEIR_REPO_ARENA_BYTES_MAX);
    weir_repo_settle (self);
    bool found = false;
    for (size_t i = 0; i < self->n_dbs; i++) {
        if (id == NULL || weir_id_equal (&self->dbs[i]->id, id)) {
            found = true;
            c.db = self->dbs[i];
            check_database (&c);
        }
    }
    weir_buf_fini (&c.row);
    weir_arena_destroy (&c.arena);
    if (id != NULL && !found) {
        return WEIR_NOT_FOUND;
    }
    uint64_t wrong =
        report->bad_runs + report->missing + report->wrong_indexes + report->bad_pieces;
    return wrong == 0 ? WEIR_OK : WEIR_CORRUPT;
}
