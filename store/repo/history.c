/* Owns the way back from a document to its log: the history port that a document asks when
 * something concurrent arrives, and documents as they were at older heads. Both read the arrival
 * log, in which an entry stands behind its past. */

#include "store/repo/parts.h"

#include "store/crdt/graph.h"

#include <stdlib.h>
#include <string.h>

/* What showing an older version may walk, in one go. */
#define VIEW_STEPS_MAX (256u << 20)

uint32_t
weir_repo_entry_parents (const struct weir_run *run, uint32_t i, const struct weir_id *before,
                         struct weir_id *parents)
{
    uint32_t n = 0;
    if (i > 0) {
        parents[n++] = *before;
        return n;
    }
    if (run->seq > 0) {
        parents[n++] = run->prev;
    }
    for (uint16_t k = 0; k < run->n_deps; k++) {
        parents[n++] = run->deps[k];
    }
    return n;
}

static bool
is_inert (struct weir_repo *self, const struct weir_repo_db *db, uint32_t branch, uint64_t seq)
{
    struct weir_repo_key key =
        weir_repo_key_db_place (WEIR_REPO_TABLE_INERT, db->number, branch, seq);
    struct weir_buf value = { 0 };
    bool inert =
        db->inert > 0 && weir_kv_get (self->kv, weir_repo_key_bytes (&key), &value) == WEIR_OK;
    weir_buf_fini (&value);
    return inert;
}

/* The entries of one row; *more is false when fn has had enough. */
static enum weir_status
read_row (struct weir_repo *self, struct weir_repo_db *db, uint64_t position, struct weir_buf *buf,
          weir_history_fn *fn, void *fn_context, bool *more)
{
    struct weir_id parents[WEIR_ENTRY_DEPS_MAX + 1];
    struct weir_repo_log_place place;
    struct weir_repo_record record;
    struct weir_run run;
    enum weir_status status = weir_repo_log_read (self, position, &place);
    if (status == WEIR_OK) {
        status =
            weir_repo_record_get (self, db, place.branch, place.row.range.from_seq, buf, &record);
    }
    if (status == WEIR_OK) {
        status = weir_repo_run_decode (self, db, &record, &run);
    }
    if (status != WEIR_OK) {
        return status == WEIR_NOT_FOUND ? WEIR_CORRUPT : status;
    }
    struct weir_doc_entry entry = {
        .chain = run.chain, .seq = run.seq, .lamport = record.lamport, .parents = parents
    };
    for (uint32_t i = 0; i < run.count && *more; i++) {
        entry.n_parents = weir_repo_entry_parents (&run, i, &entry.id, parents);
        entry.id = run.entries[i].id;
        entry.ops = run.entries[i].ops;
        bool passed = run.kind != WEIR_ENTRY_DATA || is_inert (self, db, place.branch, entry.seq);
        *more = fn (fn_context, &entry, passed ? weir_bytes (NULL, 0) : run.entries[i].payload);
        entry.lamport += entry.ops;
        entry.seq++;
    }
    return WEIR_OK;
}

static enum weir_status
read_all (struct weir_repo *self, struct weir_repo_db *db, const struct weir_repo_history *which,
          weir_history_fn *fn, void *fn_context)
{
    /* A run that is being applied lies in the repository's own arena. */
    struct weir_arena *held = self->arena_read;
    self->arena_read = weir_arena_new (WEIR_REPO_ARENA_BYTES_MAX);
    weir_repo_settle (self);
    struct weir_repo_key from = weir_repo_key_db (WEIR_REPO_TABLE_ARRIVAL, db->number);
    struct weir_repo_key to = weir_repo_key_after (&from);
    struct weir_kv_iter *iter =
        weir_kv_iter_new (self->kv, weir_repo_key_bytes (&from), weir_repo_key_bytes (&to), false);
    struct weir_buf buf = { 0 };
    struct weir_bytes key;
    struct weir_bytes value;
    enum weir_status status = WEIR_OK;
    bool more = true;
    while (status == WEIR_OK && more && weir_kv_iter_next (iter, &key, &value)) {
        uint64_t position = weir_load_u64 (key.data + key.len - 8);
        if ((position > which->upto && position != which->also) || position == which->without) {
            continue;
        }
        status = read_row (self, db, position, &buf, fn, fn_context, &more);
    }
    if (status == WEIR_OK) {
        status = weir_kv_iter_status (iter);
    }
    weir_kv_iter_destroy (&iter);
    weir_buf_fini (&buf);
    weir_arena_destroy (&self->arena_read);
    self->arena_read = held;
    return status;
}

static enum weir_status
history_read (void *context, weir_history_fn *fn, void *fn_context)
{
    struct weir_repo_history *h = context;
    return read_all (h->repo, h->db, h, fn, fn_context);
}

void
weir_repo_history_init (struct weir_repo_history *h, struct weir_repo *repo,
                        struct weir_repo_db *db)
{
    *h = (struct weir_repo_history){
        .port = { .context = h, .read = history_read }, .repo = repo, .db = db, .upto = UINT64_MAX
    };
}

/* ---- documents at older heads ---- */

struct graph_reader {
    struct weir_graph *graph;
    enum weir_status status;
};

static bool
graph_take (void *context, const struct weir_doc_entry *entry, struct weir_bytes payload)
{
    struct graph_reader *r = context;
    uint32_t number = 0;
    struct weir_graph_node node = { .id = entry->id,
                                    .chain = entry->chain,
                                    .seq = entry->seq,
                                    .lamport = entry->lamport,
                                    .ops = entry->ops };
    (void) payload;
    r->status = weir_graph_add (r->graph, &node, entry->parents, entry->n_parents, &number);
    return r->status == WEIR_OK;
}

struct doc_reader {
    struct weir_doc *doc;
    const bool *wanted;
    uint32_t number;
    enum weir_status status;
};

static bool
doc_take (void *context, const struct weir_doc_entry *entry, struct weir_bytes payload)
{
    struct doc_reader *r = context;
    bool deferred = false;
    if (!r->wanted[r->number++]) {
        return true;
    }
    if (payload.len == 0) {
        weir_doc_pass (r->doc, entry);
        return true;
    }
    enum weir_status status = weir_doc_apply (r->doc, entry, payload, &deferred);
    r->status = deferred ? status : WEIR_OK; /* else inert, and passed */
    return !deferred;
}

/* Which entries, by number, are in the version. */
static enum weir_status
wanted_at (const struct weir_graph *graph, const struct weir_id *heads, size_t n_heads,
           bool *wanted, struct weir_error *e)
{
    struct weir_numbers version = { 0 };
    struct weir_numbers inside = { 0 };
    struct weir_numbers none = { 0 };
    enum weir_status status = WEIR_OK;
    for (size_t i = 0; i < n_heads && status == WEIR_OK; i++) {
        uint32_t number = weir_graph_find (graph, &heads[i]);
        if (number == WEIR_GRAPH_NONE) {
            status = weir_error_set (e, WEIR_NOT_FOUND, "weir doc log shows what is there",
                                     "there is no entry %s", weir_id_text (&heads[i]).s);
        } else {
            weir_numbers_push (&version, number);
        }
    }
    if (status == WEIR_OK) {
        weir_graph_minimize (graph, &version);
        weir_graph_diff (graph, version.items, version.count, NULL, 0, &inside, &none);
        for (size_t i = 0; i < inside.count; i++) {
            wanted[inside.items[i]] = true;
        }
    }
    weir_numbers_fini (&version);
    weir_numbers_fini (&inside);
    weir_numbers_fini (&none);
    return status;
}

enum weir_status
weir_repo_document_at (struct weir_repo *self, const struct weir_id *id,
                       const struct weir_id *heads, size_t n_heads, struct weir_doc **doc,
                       struct weir_error *e)
{
    struct weir_repo_db *db = NULL;
    struct weir_repo_history all;
    struct graph_reader graph = { .status = WEIR_OK };
    struct doc_reader reader = { .status = WEIR_OK };
    bool *wanted = NULL;
    uint64_t budget = VIEW_STEPS_MAX;
    enum weir_status status = weir_repo_db_get (self, id, &db);
    if (status == WEIR_OK && db->state != WEIR_REPO_DB_LIVE) {
        status = WEIR_NOT_FOUND;
    }
    if (status != WEIR_OK) {
        return weir_error_set (e, status, NULL, "the document of %s cannot be read",
                               weir_id_text (id).s);
    }
    weir_repo_history_init (&all, self, db);
    graph.graph = weir_graph_new ();
    status = read_all (self, db, &all, graph_take, &graph);
    status = status == WEIR_OK ? graph.status : status;
    if (status != WEIR_OK) {
        (void) weir_error_set (e, status, NULL, "the log of %s cannot be read",
                               weir_id_text (id).s);
        goto done;
    }
    wanted = weir_alloc ((weir_graph_count (graph.graph) + 1u) * sizeof *wanted);
    status = wanted_at (graph.graph, heads, n_heads, wanted, e);
    if (status != WEIR_OK) {
        goto done;
    }
    reader.doc = weir_doc_new ();
    weir_doc_set_budget (reader.doc, &budget);
    reader.wanted = wanted;
    status = read_all (self, db, &all, doc_take, &reader);
    status = status == WEIR_OK ? reader.status : status;
    if (status != WEIR_OK) {
        status = status == WEIR_BUSY ? WEIR_LIMIT : status;
        (void) weir_error_set (e, status, NULL, "the log of %s cannot be replayed",
                               weir_id_text (id).s);
        weir_doc_destroy (&reader.doc);
        goto done;
    }
    weir_doc_set_budget (reader.doc, NULL);
    *doc = reader.doc;
done:
    weir_graph_destroy (&graph.graph);
    free (wanted);
    return status;
}
