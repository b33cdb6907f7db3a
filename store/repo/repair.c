/* Repairs what weir_kv_salvage left: every run that decodes, verifies and is closed is imported
 * anew, in its old order, under a new database number; then all old rows are deleted. The store
 * epoch and the lanes are new, since nobody can say what was lost. Peers bring back the rest. */

#include "store/dag/run_scan.h"
#include "store/repo/blob_parts.h"
#include "store/repo/parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A stored run of the old rows. */
struct old_run {
    uint64_t position; /* as its record says; UINT64_MAX when that cannot be read */
    uint32_t branch;
    uint64_t seq;
};

struct old_db {
    uint32_t number;
    struct weir_id id;
    bool named; /* the id is known */
    bool forgotten;
    struct old_run *runs;
    size_t count;
    size_t cap;
};

struct repair {
    struct weir_repo *self; /* a repository made anew in the same kv */
    struct weir_check_report *report;
    struct old_db *dbs;
    size_t count;
    size_t cap;
    uint32_t next_db; /* greater than every number seen */
    uint64_t position;
};

static void
note (struct repair *p, const char *text)
{
    if (p->report->first_problem[0] == '\0') {
        snprintf (p->report->first_problem, sizeof p->report->first_problem, "%s", text);
    }
}

/* ---- what is there ---- */

static struct old_db *
old_db (struct repair *p, uint32_t number)
{
    for (size_t i = 0; i < p->count; i++) {
        if (p->dbs[i].number == number) {
            return &p->dbs[i];
        }
    }
    weir_grow (&p->dbs, &p->cap, p->count + 1, sizeof p->dbs[0]);
    p->dbs[p->count] = (struct old_db){ .number = number };
    if (number >= p->next_db) {
        p->next_db = number + 1;
    }
    return &p->dbs[p->count++];
}

/* Reads one old row into the lists. */
static void
take_row (struct repair *p, struct weir_bytes key, struct weir_bytes value)
{
    if (key.data[0] == WEIR_REPO_TABLE_DATABASE && key.len == 5) {
        struct old_db *db = old_db (p, weir_load_u32 (key.data + 1));
        if (value.len == WEIR_ID_BYTES + 1) {
            memcpy (db->id.b, value.data, WEIR_ID_BYTES);
            db->named = true;
            db->forgotten = value.data[WEIR_ID_BYTES] == WEIR_REPO_DB_FORGOTTEN;
        }
    } else if (key.data[0] == WEIR_REPO_TABLE_RUN && key.len == 17) {
        struct old_db *db = old_db (p, weir_load_u32 (key.data + 1));
        struct weir_repo_record record;
        struct old_run run = { .position = UINT64_MAX,
                               .branch = weir_load_u32 (key.data + 5),
                               .seq = weir_load_u64 (key.data + 9) };
        if (weir_repo_record_salvage (&record, value) == WEIR_OK) {
            run.position = record.position;
            p->position = record.position > p->position ? record.position : p->position;
        }
        weir_grow (&db->runs, &db->cap, db->count + 1, sizeof db->runs[0]);
        db->runs[db->count++] = run;
    } else if (key.data[0] == WEIR_REPO_TABLE_LOG && key.len == 9) {
        uint64_t position = weir_load_u64 (key.data + 1);
        p->position = position > p->position ? position : p->position;
    }
}

static enum weir_status
scan (struct repair *p)
{
    struct weir_kv_iter *iter =
        weir_kv_iter_new (p->self->kv, weir_bytes (NULL, 0), weir_bytes (NULL, 0), false);
    struct weir_bytes key;
    struct weir_bytes value;
    while (weir_kv_iter_next (iter, &key, &value)) {
        if (key.len > 0) {
            take_row (p, key, value);
        }
    }
    enum weir_status status = weir_kv_iter_status (iter);
    weir_kv_iter_destroy (&iter);
    return status;
}

/* ---- making it anew ---- */

static int
by_position (const void *a, const void *b)
{
    const struct old_run *x = a;
    const struct old_run *y = b;
    if (x->position != y->position) {
        return x->position < y->position ? -1 : 1;
    }
    if (x->branch != y->branch) {
        return x->branch < y->branch ? -1 : 1;
    }
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static enum weir_status
read_old (struct repair *p, const struct old_db *db, const struct old_run *run,
          struct weir_buf *row, struct weir_repo_record *record)
{
    struct weir_repo_key key =
        weir_repo_key_db_place (WEIR_REPO_TABLE_RUN, db->number, run->branch, run->seq);
    weir_buf_clear (row);
    enum weir_status status = weir_kv_get (p->self->kv, weir_repo_key_bytes (&key), row);
    return status == WEIR_OK ? weir_repo_record_salvage (record, weir_buf_bytes (row)) : status;
}

/* The id of a genesis run is the name of its database. */
static bool
genesis_id (struct repair *p, struct weir_bytes bytes, struct weir_id *id)
{
    struct weir_run run;
    weir_arena_reset (p->self->arena_read);
    if (weir_run_scan (&run, p->self->arena_read, bytes) != WEIR_OK
        || run.kind != WEIR_ENTRY_GENESIS) {
        return false;
    }
    struct weir_entry entry = {
        .version = WEIR_ENTRY_VERSION,
        .kind = run.kind,
        .author = run.chain.author,
        .lane = run.chain.lane,
        .clock_ms = run.entries[0].clock_ms,
        .payload_bytes = (uint32_t) run.entries[0].payload.len,
        .payload_hash = weir_payload_hash (run.entries[0].payload),
    };
    *id = weir_entry_id (&entry);
    return true;
}

/* For a database whose registry row is lost. */
static void
find_name (struct repair *p, struct old_db *db, struct weir_buf *row)
{
    struct weir_repo_record record;
    for (size_t i = 0; i < db->count && !db->named; i++) {
        db->named = db->runs[i].seq == 0 && read_old (p, db, &db->runs[i], row, &record) == WEIR_OK
                    && genesis_id (p, record.bytes, &db->id);
    }
}

static enum weir_status
import_old (struct repair *p, struct old_db *old, struct weir_repo_db *db, struct weir_buf *row)
{
    enum weir_status status = WEIR_OK;
    qsort (old->runs, old->count, sizeof old->runs[0], by_position);
    for (size_t i = 0; i < old->count && status == WEIR_OK; i++) {
        struct weir_repo_record record;
        struct weir_import_result result = { .outcome = WEIR_IMPORT_REFUSED };
        uint32_t unlocked = 0;
        status = read_old (p, old, &old->runs[i], row, &record);
        if (status == WEIR_OK) {
            status =
                weir_repo_import_one (p->self, db, record.bytes, &record.source, false, &result);
        } else if (status == WEIR_CORRUPT) {
            status = WEIR_OK; /* dropped, as below */
        }
        if (status == WEIR_OK && result.outcome == WEIR_IMPORT_REFUSED) {
            p->report->bad_runs++;
            note (p, "some runs did not decode, verify or fit, and were dropped");
        }
        if (status == WEIR_OK && result.outcome == WEIR_IMPORT_NEW) {
            status = weir_repo_pending_unlock (p->self, db, &unlocked);
        }
        weir_repo_flush_if_large (p->self);
    }
    if (status == WEIR_OK && db->pending_runs > 0) {
        p->report->missing += db->pending_runs;
        note (p, "some runs build on what is lost, and were dropped: peers bring them back");
        weir_repo_pending_drop (p->self, db);
    }
    db->refused = 0;
    p->report->databases++;
    p->report->entries += db->entries;
    p->report->bytes += db->bytes;
    return status;
}

/* The content of blobs goes by its hash: what has it is kept. */
static enum weir_status
salvage_blobs (struct repair *p, const struct old_db *old, struct weir_repo_db *db)
{
    struct weir_repo *self = p->self;
    struct weir_repo_key from = weir_repo_key_db (WEIR_REPO_TABLE_CONTENT, old->number);
    struct weir_repo_key to = weir_repo_key_after (&from);
    struct weir_kv_iter *iter =
        weir_kv_iter_new (self->kv, weir_repo_key_bytes (&from), weir_repo_key_bytes (&to), false);
    struct weir_bytes key;
    struct weir_bytes value;
    enum weir_status status = WEIR_OK;
    while (status == WEIR_OK && weir_kv_iter_next (iter, &key, &value)) {
        struct weir_id id;
        if (key.len != 5 + WEIR_ID_BYTES) {
            continue;
        }
        memcpy (id.b, key.data + 5, WEIR_ID_BYTES);
        status = weir_repo_piece_salvage (self, db, &id, value);
        if (status == WEIR_CORRUPT) {
            status = WEIR_OK;
            note (p, "some content of blobs was damaged, and was dropped: peers bring it back");
        }
        weir_repo_flush_if_large (self);
    }
    if (status == WEIR_OK) {
        status = weir_kv_iter_status (iter);
    }
    weir_kv_iter_destroy (&iter);
    return status;
}

static enum weir_status
rebuild (struct repair *p)
{
    struct weir_buf row = { 0 };
    enum weir_status status = WEIR_OK;
    for (size_t i = 0; i < p->count && status == WEIR_OK; i++) {
        struct old_db *old = &p->dbs[i];
        struct weir_repo_db *db = NULL;
        p->report->runs += old->count;
        find_name (p, old, &row);
        if (old->forgotten) {
            continue;
        }
        if (!old->named) {
            p->report->bad_runs += old->count;
            note (p, "a database has lost its first entry and its name: join it again");
            continue;
        }
        status = weir_repo_db_new (p->self, &old->id, WEIR_REPO_DB_JOINING, &db);
        if (status == WEIR_OK) {
            status = import_old (p, old, db, &row);
        }
        if (status == WEIR_OK) {
            status = salvage_blobs (p, old, db);
        }
    }
    weir_buf_fini (&row);
    return status;
}

/* Deletes every row that is not of the databases made anew, nor a client's, nor `_node`'s. */
static enum weir_status
clear_old (struct repair *p)
{
    struct weir_repo *self = p->self;
    weir_repo_settle (self);
    struct weir_kv_iter *iter =
        weir_kv_iter_new (self->kv, weir_bytes (NULL, 0), weir_bytes (NULL, 0), false);
    struct weir_bytes key;
    struct weir_bytes value;
    while (weir_kv_iter_next (iter, &key, &value)) {
        uint8_t table = key.len > 0 ? key.data[0] : 0;
        bool of_db =
            (table >= WEIR_REPO_TABLE_DATABASE && table <= WEIR_REPO_TABLE_OF_DB_LAST)
            || (table >= WEIR_REPO_TABLE_OF_BLOBS_FIRST && table <= WEIR_REPO_TABLE_OF_BLOBS_LAST);
        bool keep = table == WEIR_REPO_TABLE_LAYOUT
                    || (of_db && key.len >= 5 && weir_load_u32 (key.data + 1) >= p->next_db)
                    || (table == WEIR_REPO_TABLE_LOG && key.len == 9
                        && weir_load_u64 (key.data + 1) > p->position)
                    || table == WEIR_REPO_TABLE_CLIENT || table == WEIR_REPO_TABLE_ANSWER
                    || table == WEIR_REPO_TABLE_STATE;
        if (!keep) {
            weir_kv_delete (self->batch, key);
            self->batch_used = true;
            weir_repo_flush_if_large (self);
        }
    }
    enum weir_status status = weir_kv_iter_status (iter);
    weir_kv_iter_destroy (&iter);
    return status;
}

enum weir_status
weir_repo_repair (const struct weir_repo_options *options, struct weir_check_report *report,
                  struct weir_error *e)
{
    struct repair p = { .report = report, .next_db = 1 };
    memset (report, 0, sizeof *report);
    p.self = weir_repo_blank (options);
    enum weir_status status = weir_repo_layout_load (p.self, e);
    if (status == WEIR_NEWER_LAYOUT || status == WEIR_WRONG_DEVICE) {
        goto done; /* these are good data, though not ours to touch */
    }
    p.next_db = p.self->next_db > p.next_db ? p.self->next_db : p.next_db;
    p.position = p.self->position;
    status = scan (&p);
    if (status == WEIR_OK) {
        weir_repo_begin_anew (p.self, p.next_db, p.position);
        status = rebuild (&p);
    }
    if (status == WEIR_OK) {
        status = clear_old (&p);
    }
    if (status == WEIR_OK) {
        status = weir_kv_wait (options->kv, weir_repo_flush (p.self, 0));
    }
    if (status != WEIR_OK) {
        (void) weir_error_set (e, status, NULL, "the data cannot be repaired");
    }
done:
    weir_repo_close (&p.self);
    for (size_t i = 0; i < p.count; i++) {
        free (p.dbs[i].runs);
    }
    free (p.dbs);
    return status;
}
