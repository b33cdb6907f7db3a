/* The roots of shallow exports: which entry it is, what was known there, and our word on it. What
 * lies up to it is left out of the history, but for its settings. */

#include "store/replica/export_pick.h"

#include <stdlib.h>

/* The last entry, at `limit` or before, that nothing here is concurrent with: all before it are
 * in its past (it alone has no child among them), all behind it have it in theirs (each hangs on
 * something that is not before it). */
static uint32_t
find_root (const struct weir_log *log, uint32_t limit)
{
    uint32_t n = weir_graph_count (log->graph);
    uint32_t best = WEIR_GRAPH_NONE;
    uint32_t ends = 0; /* entries so far without a child */
    uint8_t *has_child = weir_alloc ((size_t) n + 1);
    uint32_t *reach = weir_alloc (((size_t) n + 1) * sizeof *reach);
    reach[n] = UINT32_MAX; /* of what is behind: the least of each one's greatest parent */
    for (uint32_t i = n; i-- > 0;) {
        const struct weir_graph_node *node = weir_graph_node (log->graph, i);
        uint32_t greatest = 0;
        for (uint32_t k = 0; k < node->n_parents; k++) {
            greatest = node->parents[k] > greatest ? node->parents[k] : greatest;
        }
        reach[i] = greatest < reach[i + 1] ? greatest : reach[i + 1];
    }
    for (uint32_t i = 0; i < n && i <= limit; i++) {
        const struct weir_graph_node *node = weir_graph_node (log->graph, i);
        ends++;
        for (uint32_t k = 0; k < node->n_parents; k++) {
            ends -= has_child[node->parents[k]] == 0;
            has_child[node->parents[k]] = 1;
        }
        if (ends == 1 && reach[i + 1] >= i) {
            best = i;
        }
    }
    free (has_child);
    free (reach);
    return best;
}

/* The rows of everything up to the root: entries, ops, the last of each branch. */
static void
root_vectors (struct weir_picker *p, uint32_t root)
{
    const struct weir_log *log = &p->replica->log;
    uint8_t *followed = weir_alloc ((size_t) root + 1);
    for (uint32_t i = root + 1; i-- > 0;) {
        const struct weir_graph_node *node = weir_graph_node (log->graph, i);
        const struct weir_log_row *row = &log->rows[i];
        if (followed[i] == 0) {
            struct weir_op_row ops = { node->chain, node->id, row->counter + node->ops };
            weir_pick_push (&p->root.ops_vector, &ops);
        }
        if (row->prev != WEIR_LOG_NONE) {
            followed[row->prev] = 1;
        }
    }
    weir_pick_sort (&p->root.ops_vector);
    struct weir_vector *v = &p->root.vector;
    weir_grow (&v->rows, &v->cap, p->root.ops_vector.count, sizeof *v->rows);
    for (size_t i = 0; i < p->root.ops_vector.count; i++) {
        const struct weir_op_row *row = &p->root.ops_vector.rows[i];
        uint32_t number = weir_graph_find (log->graph, &row->tip);
        v->rows[v->count++] = (struct weir_row){
            .chain = row->chain,
            .count = weir_graph_node (log->graph, number)->seq + 1,
            .tip = row->tip,
        };
    }
    free (followed);
}

/* The settings runs up to the root: those that a root of our own brought, then ours. */
static void
take_settings (struct weir_picker *p, uint32_t root)
{
    const struct weir_log *log = &p->replica->log;
    const struct weir_replica_root *own = p->replica->root;
    struct weir_numbers runs = { 0 };
    size_t n = own == NULL ? 0 : own->n_runs;
    for (uint32_t i = 0; i <= root; i++) {
        bool is_alone =
            log->rows[i].kind == WEIR_ENTRY_GENESIS || log->rows[i].kind == WEIR_ENTRY_SETTINGS;
        if (is_alone && log->rows[i].run != WEIR_LOG_NONE) {
            weir_numbers_push (&runs, log->rows[i].run);
        }
    }
    weir_log_runs_order (log, runs.items, runs.count);
    p->settings = weir_alloc ((n + runs.count + 1) * sizeof *p->settings);
    for (size_t i = 0; i < n; i++) {
        p->settings[i] = own->runs[i].bytes;
    }
    for (size_t i = 0; i < runs.count; i++) {
        p->settings[n + i] = log->runs[runs.items[i]].bytes;
    }
    p->n_settings = n + runs.count;
    weir_numbers_fini (&runs);
}

/* Runs that the root lies in, without what is up to it. Nothing is concurrent with the root, so
 * there is one such run, or a few that begin alike. */
static enum weir_status
cut_bytes (struct weir_picker *p, const struct weir_graph_node *root, struct weir_error *e)
{
    const struct weir_log *log = &p->replica->log;
    enum weir_status status = WEIR_OK;
    struct weir_buf cut = { 0 };
    p->arena = weir_arena_new (SIZE_MAX);
    for (size_t i = 0; i < p->runs.count && status == WEIR_OK; i++) {
        const struct weir_log_run *in = &log->runs[p->runs.items[i]];
        struct weir_run run;
        size_t used = 0;
        if (weir_chain_compare (&in->chain, &root->chain) != 0 || in->seq > root->seq) {
            continue;
        }
        p->cut_entries[i] = (uint32_t) (root->seq - in->seq) + 1;
        status = weir_run_decode (&run, p->arena, &p->replica->log.database, p->bytes[i], &used, e);
        if (status == WEIR_OK) {
            weir_buf_clear (&cut);
            weir_run_cut (&run, run.seq + p->cut_entries[i], &cut);
            p->bytes[i] = weir_bytes (weir_arena_copy (p->arena, weir_buf_bytes (&cut)), cut.len);
        }
    }
    weir_buf_fini (&cut);
    return status;
}

/* A new root: its state by replay, under our own signature. */
static enum weir_status
make_root (struct weir_picker *p, uint32_t number, struct weir_error *e)
{
    struct weir_replica *self = p->replica;
    const struct weir_graph_node *node = weir_graph_node (self->log.graph, number);
    const struct weir_identity *identity = self->options.identity;
    struct weir_heads heads = { 0 };
    struct weir_doc *doc = NULL;
    if (identity == NULL) {
        return weir_error_set (e, WEIR_READ_ONLY, "export a snapshot",
                               "a shallow export is signed, and there is no identity here");
    }
    weir_heads_put (&heads, &node->id);
    enum weir_status status = weir_replica_view_at (self, &heads, &doc, e);
    weir_heads_fini (&heads);
    if (status != WEIR_OK) {
        return status;
    }
    weir_doc_save (doc, &p->root_state);
    weir_doc_destroy (&doc);
    p->root.entry = node->id;
    p->root.lamport = self->log.rows[number].lamport;
    p->root.ops = node->ops;
    p->root.state = weir_buf_bytes (&p->root_state);
    p->root.signer = identity->device;
    root_vectors (p, number);
    take_settings (p, number);
    struct weir_id hash =
        weir_export_root_hash (&self->log.database, &p->root, p->settings, p->n_settings);
    weir_sign (&p->root.signature, identity, WEIR_SIGN_EXPORT, weir_id_bytes (&hash));
    p->parts.root = &p->root;
    return WEIR_OK;
}

enum weir_status
weir_pick_root (struct weir_picker *p, const struct weir_heads *heads, struct weir_error *e)
{
    struct weir_replica *self = p->replica;
    struct weir_numbers version = { 0 };
    uint32_t limit = UINT32_MAX;
    enum weir_status status = WEIR_OK;
    if (weir_graph_count (self->log.graph) == 0) {
        return weir_error_set (e, WEIR_PENDING, NULL, "there is no history here yet");
    }
    if (heads != NULL) {
        status = weir_replica_numbers (self, heads, &version, e);
        limit = version.count == 0 ? 0 : version.items[0]; /* the least: see find_root */
    }
    weir_numbers_fini (&version);
    if (status != WEIR_OK) {
        return status;
    }
    uint32_t root = find_root (&self->log, limit);
    if (self->root != NULL && (root == WEIR_GRAPH_NONE || root <= self->root->number)) {
        root = self->root->number; /* never before the one that is here */
        p->parts.root = &self->root->told;
        take_settings (p, root);
    } else {
        status = make_root (p, root, e);
    }
    if (status == WEIR_OK) {
        size_t n_heads = 0;
        const uint32_t *all = weir_graph_heads (self->log.graph, &n_heads);
        weir_pick_lacking (p, &root, 1);
        weir_pick_bytes (p);
        weir_replica_vector_of (self, &root, 1, &p->start);
        weir_replica_vector_of (self, all, n_heads, &p->end);
        status = cut_bytes (p, weir_graph_node (self->log.graph, root), e);
    }
    return status;
}
