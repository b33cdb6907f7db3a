/* Owns how a replica comes to its history at once: a snapshot of one's own, whose state is shown
 * before any of its history is decoded; the root of a shallow one; and replay of what is in the
 * log. */

#include "store/replica/replica_parts.h"

#include <stdlib.h>
#include <string.h>

/* ---- replay ---- */

/* Each of them has the one before as its only parent: no other order is possible. */
static bool
is_line (const struct weir_log *log, uint32_t first)
{
    for (uint32_t i = first + 1; i < weir_graph_count (log->graph); i++) {
        const struct weir_graph_node *node = weir_graph_node (log->graph, i);
        if (node->n_parents != 1 || node->parents[0] != i - 1) {
            return false;
        }
    }
    return true;
}

static void
apply_all (struct weir_replica *self, uint32_t first)
{
    const struct weir_log *log = &self->log;
    uint32_t n = weir_graph_count (log->graph);
    struct weir_numbers zone = { 0 };
    struct weir_numbers order = { 0 };
    if (is_line (log, first)) {
        for (uint32_t i = first; i < n; i++) {
            weir_replica_apply (self, i);
        }
        return;
    }
    for (uint32_t i = first; i < n; i++) {
        weir_numbers_push (&zone, i);
    }
    weir_graph_order (log->graph, &zone, &order);
    for (size_t i = 0; i < order.count; i++) {
        weir_replica_apply (self, order.items[i]);
    }
    weir_numbers_fini (&zone);
    weir_numbers_fini (&order);
}

void
weir_replica_apply_from (struct weir_replica *self, uint32_t first)
{
    apply_all (self, first);
    if (self->astray != WEIR_OK && self->astray != WEIR_LIMIT) {
        self->astray = WEIR_OK;
        weir_ignore (weir_replica_show_all (self, NULL));
    }
}

enum weir_status
weir_replica_show_all (struct weir_replica *self, struct weir_error *e)
{
    struct weir_log *log = &self->log;
    struct weir_doc *doc = NULL;
    uint32_t first = 0;
    enum weir_status status = weir_replica_base (self, &doc, e);
    if (status != WEIR_OK) {
        return status;
    }
    if (self->root != NULL) {
        first = self->root->number + 1;
    }
    for (uint32_t i = 0; i < weir_graph_count (log->graph); i++) {
        log->rows[i].is_applied = i < first;
        if (log->rows[i].inert != 0) {
            log->rows[i].inert = 0;
            log->ops += weir_graph_node (log->graph, i)->ops;
        }
    }
    self->inert = 0;
    weir_doc_destroy (&self->doc);
    self->doc = doc;
    weir_doc_set_history (doc, &self->history);
    self->is_replaying = true;
    self->gave_up = false;
    apply_all (self, first);
    self->is_replaying = false;
    return self->gave_up ? weir_error_set (e, WEIR_LIMIT, NULL,
                                           "to show it would take more memory than there may be")
                         : WEIR_OK;
}

/* ---- shallow roots ---- */

static void
settings_copy (struct weir_replica_root *root, const struct weir_run *settings, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        weir_buf_put_bytes (&root->settings, settings[i].bytes);
    }
    root->runs = weir_alloc ((n + 1) * sizeof *root->runs);
    root->entries = weir_alloc ((n + 1) * sizeof *root->entries);
    root->n_runs = n;
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        root->runs[i] = settings[i];
        root->runs[i].bytes = weir_bytes (root->settings.data + at, settings[i].bytes.len);
        root->entries[i] = settings[i].entries[0];
        root->entries[i].payload.data =
            root->runs[i].bytes.data
            + (settings[i].entries[0].payload.data - settings[i].bytes.data);
        root->runs[i].entries = &root->entries[i];
        at += settings[i].bytes.len;
    }
}

void
weir_replica_root_take (struct weir_replica *self, const struct weir_export_root *told,
                        const struct weir_run *settings, size_t n_settings)
{
    struct weir_replica_root *root = weir_alloc (sizeof *root);
    struct weir_id *tips = weir_alloc ((told->vector.count + 1) * sizeof *tips);
    const struct weir_op_vector *ops = &told->ops_vector;
    struct weir_graph_node last = { .id = told->entry, .lamport = told->lamport, .ops = told->ops };
    size_t n = 0;
    root->told = *told;
    root->told.vector = (struct weir_vector){ 0 };
    weir_vector_copy (&root->told.vector, &told->vector);
    root->told.ops_vector = (struct weir_op_vector){ 0 };
    weir_grow (&root->told.ops_vector.rows, &root->told.ops_vector.cap, ops->count,
               sizeof *ops->rows);
    if (ops->count > 0) {
        memcpy (root->told.ops_vector.rows, ops->rows, ops->count * sizeof *ops->rows);
    }
    root->told.ops_vector.count = ops->count;
    weir_buf_put_bytes (&root->state, told->state);
    root->told.state = weir_buf_bytes (&root->state);
    settings_copy (root, settings, n_settings);
    for (size_t i = 0; i < told->vector.count; i++) {
        const struct weir_row *row = &told->vector.rows[i];
        struct weir_graph_node node = {
            .id = row->tip, .chain = row->chain, .seq = row->count - 1, .lamport = told->lamport
        };
        for (size_t o = 0; o < ops->count; o++) {
            if (weir_id_equal (&ops->rows[o].tip, &row->tip)) {
                node.counter = ops->rows[o].ops;
            }
        }
        if (weir_id_equal (&row->tip, &told->entry)) {
            last.chain = node.chain;
            last.seq = node.seq;
            last.counter = node.counter - told->ops;
        } else {
            (void) weir_log_add_cut (&self->log, &node, NULL, 0);
            tips[n++] = node.id;
        }
    }
    root->number = weir_log_add_cut (&self->log, &last, tips, n);
    self->root = root;
    free (tips);
}

/* ---- snapshots of one's own ---- */

/* What did nothing when it was applied: the document's state does not tell. */
static void
inert_take (struct weir_replica *self, const struct weir_export_runs *runs)
{
    size_t entry = 0;
    size_t next = 0;
    for (size_t r = 0; r < runs->n_runs && next < runs->n_inert; r++) {
        for (; next < runs->n_inert && runs->inert[next].entry < entry + runs->runs[r].count;
             next++) {
            const struct weir_run *run = &runs->runs[r];
            size_t at = runs->inert[next].entry - entry;
            uint32_t number = weir_graph_find (self->log.graph, &run->entries[at].id);
            if (number != WEIR_GRAPH_NONE && self->log.rows[number].inert == 0
                && runs->inert[next].status != WEIR_OK) {
                weir_replica_set_inert (self, number, runs->inert[next].status);
            }
        }
        entry += runs->runs[r].count;
    }
}

/* Puts the runs of a reader into the log, which is empty, and marks what the state has. */
static enum weir_status
history_take (struct weir_replica *self, struct weir_export_reader *reader, struct weir_error *e)
{
    struct weir_export_runs runs;
    struct weir_plan plan;
    enum weir_status status = weir_export_read_runs (reader, &runs, e);
    if (status != WEIR_OK) {
        return status;
    }
    weir_plan_init (&plan, self);
    for (size_t i = 0; i < runs.n_runs; i++) {
        weir_plan_add (&plan, &runs.runs[i], 0);
    }
    for (size_t i = 0; i < runs.n_pending; i++) {
        weir_plan_add (&plan, &runs.pending[i], 0);
    }
    status = weir_plan_make (&plan, e);
    if (status == WEIR_OK) {
        (void) weir_plan_commit (&plan);
        inert_take (self, &runs);
    }
    weir_plan_fini (&plan);
    return status;
}

/* Whether the document is where the log ends. */
static bool
is_level (const struct weir_replica *self)
{
    size_t count = 0;
    size_t n = 0;
    const struct weir_id *heads = weir_doc_heads (self->doc, &count);
    const uint32_t *numbers = weir_graph_heads (self->log.graph, &n);
    for (size_t i = 0; i < count && count == n; i++) {
        uint32_t number = weir_graph_find (self->log.graph, &heads[i]);
        bool found = false;
        for (size_t j = 0; j < n; j++) {
            found = found || numbers[j] == number;
        }
        if (!found) {
            return false;
        }
    }
    return count == n;
}

static enum weir_status
root_read (struct weir_replica *self, struct weir_export_reader *reader, struct weir_error *e)
{
    const struct weir_export_root *root = NULL;
    struct weir_export_runs runs;
    enum weir_status status = weir_export_read_root (reader, &root, e);
    if (status == WEIR_OK && root != NULL) {
        status = weir_export_read_runs (reader, &runs, e);
        if (status == WEIR_OK) {
            weir_replica_root_take (self, root, runs.settings, runs.n_settings);
        }
    }
    return status;
}

enum weir_status
weir_replica_wake (struct weir_replica *self, struct weir_error *e)
{
    struct weir_export_reader *reader = NULL;
    if (self->asleep.len == 0) {
        return WEIR_OK;
    }
    struct weir_buf asleep = self->asleep;
    self->asleep = (struct weir_buf){ 0 };
    enum weir_status status = weir_export_open (&reader, weir_buf_bytes (&asleep), 0, e);
    if (status == WEIR_OK) {
        status = root_read (self, reader, e);
    }
    if (status == WEIR_OK) {
        status = history_take (self, reader, e);
    }
    weir_export_close (&reader);
    if (status != WEIR_OK) {
        weir_replica_root_destroy (&self->root);
        weir_log_fini (&self->log);
        struct weir_id database = self->log.database;
        weir_log_init (&self->log);
        self->log.database = database;
        self->asleep = asleep;
        return status;
    }
    weir_buf_fini (&asleep);
    if (!is_level (self)) {
        return weir_replica_show_all (self, e); /* the state is not of this history */
    }
    for (uint32_t i = 0; i < weir_graph_count (self->log.graph); i++) {
        self->log.rows[i].is_applied = true;
    }
    return WEIR_OK;
}

enum weir_status
weir_replica_load (struct weir_replica **out, const struct weir_replica_options *options,
                   struct weir_bytes snapshot, struct weir_error *e)
{
    struct weir_export_reader *reader = NULL;
    struct weir_replica *self = weir_replica_make (options);
    struct weir_bytes state = { 0 };
    enum weir_status status = weir_export_open (&reader, snapshot, 0, e);
    if (status == WEIR_OK) {
        status = weir_export_read_state (reader, &state, e);
    }
    if (status != WEIR_OK) {
        goto done;
    }
    self->log.database = weir_export_info (reader)->database;
    if (state.len == 0 || weir_doc_load (&self->doc, state) != WEIR_OK) {
        status = weir_error_set (e, WEIR_BAD_EXPORT, "import it into a new replica",
                                 "there is no state inside that loads");
        goto done;
    }
    weir_doc_set_history (self->doc, &self->history);
    weir_buf_put_bytes (&self->asleep, snapshot);
    *out = self;
    self = NULL;
done:
    weir_export_close (&reader);
    weir_replica_destroy (&self);
    return status;
}
