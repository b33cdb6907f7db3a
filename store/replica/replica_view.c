/* Owns what is shown when it is not the newest: documents at older versions, made by replay, and
 * a replica's second document while it is detached; and forks, which are a version with a life of
 * its own. */

#include "store/replica/replica_parts.h"

#include <stdlib.h>
#include <string.h>

/* ---- documents at a version ---- */

enum weir_status
weir_replica_base (struct weir_replica *self, struct weir_doc **out, struct weir_error *e)
{
    struct weir_doc *doc = NULL;
    size_t n = 0;
    if (self->root == NULL) {
        *out = weir_doc_new ();
        return WEIR_OK;
    }
    if (weir_doc_load (&doc, weir_buf_bytes (&self->root->state)) != WEIR_OK) {
        return weir_error_set (e, WEIR_BAD_EXPORT, NULL, "the state at the root does not load");
    }
    const struct weir_id *heads = weir_doc_heads (doc, &n);
    if (n != 1 || !weir_id_equal (&heads[0], &self->root->told.entry)) {
        weir_doc_destroy (&doc);
        return weir_error_set (e, WEIR_BAD_EXPORT, NULL, "the state is not that of the root");
    }
    *out = doc;
    return WEIR_OK;
}

/* Whether the version holds all that a shallow replica has cut away. */
static bool
is_behind_root (const struct weir_replica *self, const struct weir_numbers *version)
{
    return self->root == NULL
           || weir_graph_contains (self->log.graph, version->items, version->count,
                                   self->root->number);
}

/* What a document that is being made has been given so far: a shallow root's state is cold, and
 * what is concurrent behind it has to be walked. */
struct replay {
    const struct weir_log *log;
    const struct weir_numbers *order;
    size_t n;
};

static enum weir_status
replay_read (void *context, weir_history_fn *fn, void *fn_context)
{
    const struct replay *r = context;
    for (size_t i = 0; i < r->n; i++) {
        if (!weir_log_give (r->log, r->order->items[i], fn, fn_context)) {
            break;
        }
    }
    return WEIR_OK;
}

static enum weir_status
replay (const struct weir_log *log, const struct weir_numbers *order, struct weir_doc *doc,
        struct weir_error *e)
{
    struct replay r = { .log = log, .order = order };
    struct weir_history history = { .context = &r, .read = replay_read };
    enum weir_status status = WEIR_OK;
    bool deferred = false;
    weir_doc_set_history (doc, &history);
    for (; r.n < order->count && !deferred; r.n++) {
        /* The base's state has the cut ones already. */
        if (log->rows[order->items[r.n]].run != WEIR_LOG_NONE) {
            status = weir_log_apply (log, order->items[r.n], doc, &deferred);
        }
    }
    weir_doc_set_history (doc, NULL);
    return deferred ? weir_error_set (e, status, NULL, "the version cannot be replayed") : WEIR_OK;
}

enum weir_status
weir_replica_view_of (struct weir_replica *self, const struct weir_numbers *version,
                      struct weir_doc **out, struct weir_numbers *order, struct weir_error *e)
{
    const struct weir_log *log = &self->log;
    struct weir_numbers all = { 0 };
    struct weir_numbers none = { 0 };
    struct weir_doc *doc = NULL;
    enum weir_status status = WEIR_OK;
    if (!is_behind_root (self, version)) {
        status = weir_error_set (e, WEIR_STALE_ROOT, NULL, "the version lies before the root");
        goto done;
    }
    status = weir_replica_base (self, &doc, e);
    if (status != WEIR_OK) {
        goto done;
    }
    weir_graph_diff (log->graph, version->items, version->count, NULL, 0, &all, &none);
    weir_graph_order (log->graph, &all, order);
    status = replay (log, order, doc, e);
    if (status == WEIR_OK) {
        *out = doc;
        doc = NULL;
    }
done:
    weir_doc_destroy (&doc);
    weir_numbers_fini (&all);
    weir_numbers_fini (&none);
    return status;
}

/* The empty version shows what the genesis shows: nothing. */
enum weir_status
weir_replica_version (struct weir_replica *self, const struct weir_heads *heads,
                      struct weir_numbers *out, struct weir_error *e)
{
    enum weir_status status = weir_replica_numbers (self, heads, out, e);
    if (status == WEIR_OK && out->count == 0 && self->root != NULL) {
        status = weir_error_set (e, WEIR_STALE_ROOT, NULL, "the version lies before the root");
    } else if (status == WEIR_OK && out->count == 0 && weir_graph_count (self->log.graph) > 0) {
        weir_numbers_push (out, 0);
    }
    return status;
}

enum weir_status
weir_replica_view_at (struct weir_replica *self, const struct weir_heads *heads,
                      struct weir_doc **out, struct weir_error *e)
{
    struct weir_numbers version = { 0 };
    struct weir_numbers order = { 0 };
    enum weir_status status = weir_replica_version (self, heads, &version, e);
    if (status == WEIR_OK) {
        status = weir_replica_view_of (self, &version, out, &order, e);
    }
    weir_numbers_fini (&version);
    weir_numbers_fini (&order);
    return status;
}

/* ---- detached ---- */

static void
view_set (struct weir_replica *self, struct weir_doc **view, struct weir_numbers *order)
{
    weir_doc_destroy (&self->view);
    weir_numbers_fini (&self->view_order);
    self->view = *view;
    self->view_order = *order;
    *view = NULL;
    *order = (struct weir_numbers){ 0 };
    weir_doc_set_history (self->view, &self->view_history);
}

enum weir_status
weir_replica_checkout (struct weir_replica *self, const struct weir_heads *heads,
                       struct weir_error *e)
{
    struct weir_numbers version = { 0 };
    struct weir_numbers order = { 0 };
    struct weir_doc *view = NULL;
    enum weir_status status = WEIR_OK;
    if (self->options.keeps_detached_edits && self->options.next_lane == NULL) {
        return weir_error_set (e, WEIR_INVALID_ARGUMENT, NULL,
                               "edits while detached need new lanes");
    }
    status = weir_replica_settle (self, e);
    if (status == WEIR_OK) {
        status = weir_replica_version (self, heads, &version, e);
    }
    if (status == WEIR_OK) {
        status = weir_replica_view_of (self, &version, &view, &order, e);
    }
    if (status == WEIR_OK) {
        weir_replica_event_begin (self, WEIR_BY_CHECKOUT);
        view_set (self, &view, &order);
        if (self->options.keeps_detached_edits) {
            weir_replica_set_lane (self, self->options.next_lane (self->options.context));
        }
        weir_replica_event_end (self, WEIR_BY_CHECKOUT);
    }
    weir_doc_destroy (&view);
    weir_numbers_fini (&version);
    weir_numbers_fini (&order);
    return status;
}

enum weir_status
weir_replica_detach (struct weir_replica *self, struct weir_error *e)
{
    struct weir_buf state = { 0 };
    struct weir_numbers order = { 0 };
    struct weir_doc *view = NULL;
    enum weir_status status = weir_replica_settle (self, e);
    if (status != WEIR_OK || self->view != NULL) {
        return status;
    }
    weir_replica_find_tip (self); /* while all that the log has is shown */
    weir_doc_save (self->doc, &state);
    status = weir_doc_load (&view, weir_buf_bytes (&state));
    weir_assert (status == WEIR_OK);
    for (uint32_t i = 0; i < weir_graph_count (self->log.graph); i++) {
        weir_numbers_push (&order, i);
    }
    view_set (self, &view, &order);
    weir_buf_fini (&state);
    return WEIR_OK;
}

enum weir_status
weir_replica_attach (struct weir_replica *self, struct weir_error *e)
{
    enum weir_status status = weir_replica_settle (self, e);
    if (status == WEIR_OK && self->view != NULL) {
        weir_replica_event_begin (self, WEIR_BY_CHECKOUT);
        weir_doc_destroy (&self->view);
        weir_numbers_fini (&self->view_order);
        weir_replica_event_end (self, WEIR_BY_CHECKOUT);
    }
    return status;
}

/* ---- forks ---- */

/* Copies the runs that hold entries of the version, and of them the entries that are in it: what
 * lies behind in the same run stays unknown there until it comes. */
static void
fork_runs (const struct weir_replica *self, struct weir_replica *fork, const uint8_t *in)
{
    const struct weir_log *from = &self->log;
    struct weir_run run;
    struct weir_run_entry *entries = NULL;
    size_t cap = 0;
    for (size_t r = 0; r < from->n_runs; r++) {
        const struct weir_log_run *had = &from->runs[r];
        uint32_t take = had->skip;
        while (take < had->take && in[had->first + (take - had->skip)] != 0) {
            take++;
        }
        if (take == had->skip) {
            continue;
        }
        run = (struct weir_run){ .kind = had->kind,
                                 .chain = had->chain,
                                 .seq = had->seq,
                                 .prev = had->prev,
                                 .n_deps = had->n_deps,
                                 .count = had->count };
        for (uint16_t d = 0; d < had->n_deps; d++) {
            run.deps[d] = from->deps[had->deps_at + d];
        }
        run.bytes = had->bytes;
        if (had->count > cap) {
            weir_grow (&entries, &cap, had->count, sizeof *entries);
        }
        run.entries = entries;
        memset (entries, 0, had->count * sizeof *entries);
        uint32_t *numbers = weir_log_run_numbers (from, had);
        for (uint32_t i = 0; i < take; i++) {
            if (numbers[i] == WEIR_LOG_NONE) {
                continue;
            }
            const struct weir_graph_node *node = weir_graph_node (from->graph, numbers[i]);
            entries[i].id = node->id;
            entries[i].ops = node->ops;
            entries[i].clock_ms = from->rows[numbers[i]].clock_ms;
            if (i >= had->skip) {
                entries[i].payload = weir_bytes (run.bytes.data + from->rows[numbers[i]].at,
                                                 from->rows[numbers[i]].len);
            }
        }
        free (numbers);
        entries[had->count - 1].id = had->tip;
        (void) weir_log_add_run (&fork->log, &run, had->skip, take);
    }
    free (entries);
}

void
weir_replica_swap (struct weir_replica *self, struct weir_replica *fresh)
{
    struct weir_log log = self->log;
    struct weir_doc *doc = self->doc;
    struct weir_replica_root *root = self->root;
    self->log = fresh->log;
    self->doc = fresh->doc;
    self->root = fresh->root;
    self->inert = fresh->inert;
    fresh->log = log;
    fresh->doc = doc;
    fresh->root = root;
    weir_doc_set_history (self->doc, &self->history);
}

/* What waited before the plan waits again, and nothing that came with it. */
static void
restore_waiting (const struct weir_replica *self, struct weir_replica *fresh,
                 const struct weir_plan *plan)
{
    struct weir_map *came = weir_map_new ();
    struct weir_bytes key;
    void *value = NULL;
    for (size_t i = 0; i < plan->n_items; i++) {
        if (plan->items[i]->is_new) {
            (void) weir_map_put (came, weir_id_bytes (&plan->items[i]->tip), fresh);
        }
    }
    for (size_t i = 0; weir_map_next (self->log.waiting, &i, &key, &value);) {
        const struct weir_log_wait *wait = value;
        if (weir_map_get (came, key) == NULL) {
            weir_log_wait (&fresh->log, &wait->run, &wait->missing);
        }
    }
    for (size_t i = 0; i < plan->n_ended; i++) {
        weir_log_wait (&fresh->log, &plan->ended[i]->run, &plan->ended[i]->missing);
    }
    weir_map_destroy (&came, NULL);
}

void
weir_replica_roll_back (struct weir_replica *self, uint32_t first, const struct weir_plan *plan)
{
    struct weir_replica *fresh = weir_replica_make (&self->options);
    uint8_t *in = weir_alloc ((size_t) weir_graph_count (self->log.graph) + 1);
    memset (in, 1, first);
    weir_log_close_run (&self->log, self->options.identity);
    weir_log_check_vouched (&self->log);
    fresh->log.database = self->log.database;
    if (self->root != NULL) {
        weir_replica_root_take (fresh, &self->root->told, self->root->runs, self->root->n_runs);
    }
    fork_runs (self, fresh, in);
    restore_waiting (self, fresh, plan);
    weir_ignore (weir_replica_show_all (fresh, NULL));
    if (first == 0 && fresh->log.n_waiting == 0) {
        fresh->log.database = weir_id_zero;
    }
    weir_replica_swap (self, fresh);
    self->astray = WEIR_OK;
    weir_replica_destroy (&fresh);
    free (in);
}

enum weir_status
weir_replica_fork (struct weir_replica *self, const struct weir_heads *heads,
                   struct weir_replica **out, struct weir_error *e)
{
    struct weir_replica_options options = self->options;
    struct weir_heads shown = { 0 };
    struct weir_numbers version = { 0 };
    struct weir_numbers all = { 0 };
    struct weir_numbers none = { 0 };
    struct weir_replica *fork = NULL;
    uint8_t *in = NULL;
    if (options.next_lane == NULL && options.identity != NULL) {
        return weir_error_set (e, WEIR_INVALID_ARGUMENT, NULL, "a fork needs a lane of its own");
    }
    enum weir_status status = weir_replica_settle (self, e);
    if (status != WEIR_OK) {
        return status;
    }
    if (heads == NULL) {
        weir_replica_doc_heads (self, &shown);
        heads = &shown;
    }
    status = weir_replica_version (self, heads, &version, e);
    if (status == WEIR_OK && !is_behind_root (self, &version)) {
        status = weir_error_set (e, WEIR_STALE_ROOT, NULL, "the version lies before the root");
    }
    if (status != WEIR_OK) {
        goto done;
    }
    weir_log_close_run (&self->log, self->options.identity);
    weir_log_check_vouched (&self->log);
    options.lane = options.next_lane == NULL ? 0 : options.next_lane (options.context);
    fork = weir_replica_make (&options);
    fork->log.database = self->log.database;
    if (self->root != NULL) {
        weir_replica_root_take (fork, &self->root->told, self->root->runs, self->root->n_runs);
    }
    in = weir_alloc ((size_t) weir_graph_count (self->log.graph) + 1);
    weir_graph_diff (self->log.graph, version.items, version.count, NULL, 0, &all, &none);
    for (size_t i = 0; i < all.count; i++) {
        in[all.items[i]] = 1;
    }
    fork_runs (self, fork, in);
    status = weir_replica_show_all (fork, e);
    if (status == WEIR_OK) {
        *out = fork;
        fork = NULL;
    }
done:
    weir_replica_destroy (&fork);
    free (in);
    weir_heads_fini (&shown);
    weir_numbers_fini (&version);
    weir_numbers_fini (&all);
    weir_numbers_fini (&none);
    return status;
}
