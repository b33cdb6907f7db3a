/* Owns imports: blobs are read, planned (import_plan.c) and verified before anything changes;
 * then the log takes what is new, and the document shows it. What cannot link yet waits. */

#include "store/replica/replica_parts.h"

#include <stdlib.h>
#include <string.h>

void
weir_import_fini (struct weir_import *self)
{
    free (self->success);
    free (self->pending);
    *self = (struct weir_import){ 0 };
}

/* A batch holds many small blobs: they are copied into one arena, so that what reads them can be
 * had again while it is warm. */
#define SMALL_BYTES 4096u

/* One blob of an import. */
struct source {
    struct weir_export_reader *reader; /* NULL: it is out, or copied */
    struct weir_export_runs runs;
    const struct weir_export_root *root;
    struct weir_id database;
    bool is_in;
};

static void
source_drop (struct source *source)
{
    weir_export_close (&source->reader);
    source->is_in = false;
}

static void
sources_close (struct source *sources, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        source_drop (&sources[i]);
    }
    free (sources);
}

static const struct weir_run *
copy_runs (struct weir_arena *arena, const struct weir_run *runs, size_t count)
{
    struct weir_run *out = weir_arena_array (arena, count, sizeof *out);
    for (size_t i = 0; i < count; i++) {
        out[i] = runs[i];
        out[i].bytes.data = weir_arena_copy (arena, runs[i].bytes);
        out[i].entries = weir_arena_array (arena, runs[i].count, sizeof *out[i].entries);
        for (uint32_t k = 0; k < runs[i].count; k++) {
            out[i].entries[k] = runs[i].entries[k];
            out[i].entries[k].payload.data =
                out[i].bytes.data + (runs[i].entries[k].payload.data - runs[i].bytes.data);
        }
    }
    return out;
}

static void
source_copy (struct source *source, struct weir_arena *arena)
{
    source->runs.runs = copy_runs (arena, source->runs.runs, source->runs.n_runs);
    source->runs.pending = copy_runs (arena, source->runs.pending, source->runs.n_pending);
    weir_export_close (&source->reader);
}

static enum weir_status
source_open (const struct weir_replica *self, struct source *source, struct weir_bytes blob,
             struct weir_error *e)
{
    enum weir_status status = weir_export_open (&source->reader, blob, 0, e);
    if (status != WEIR_OK) {
        return status;
    }
    source->database = weir_export_info (source->reader)->database;
    const struct weir_id *database = &source->database;
    if (!weir_id_is_zero (&self->log.database) && !weir_id_equal (&self->log.database, database)) {
        status = weir_error_set (e, WEIR_WRONG_DATABASE, NULL, "the export is of database %s",
                                 weir_id_text (database).s);
    }
    if (status == WEIR_OK) {
        status = weir_export_read_runs (source->reader, &source->runs, e);
    }
    if (status == WEIR_OK) {
        status = weir_export_read_root (source->reader, &source->root, e);
    }
    source->is_in = status == WEIR_OK;
    if (status != WEIR_OK) {
        weir_export_close (&source->reader);
    }
    return status;
}

/* ---- what came of it ---- */

/* The spans of the entries behind `first`, and how many of them are inert. */
static void
result_success (const struct weir_replica *self, uint32_t first, struct weir_import *result)
{
    const struct weir_log *log = &self->log;
    size_t cap = 0;
    for (uint32_t i = first; i < weir_graph_count (log->graph); i++) {
        const struct weir_graph_node *node = weir_graph_node (log->graph, i);
        const struct weir_log_row *row = &log->rows[i];
        if (row->run == WEIR_LOG_NONE) {
            continue; /* cut away: in the root's state, but not here */
        }
        struct weir_op_span span = {
            .chain = node->chain,
            .from = row->counter,
            .to = row->counter + node->ops,
        };
        weir_op_spans_add (&result->success, &result->n_success, &cap, &span);
        result->inert += row->inert != 0 ? 1 : 0;
    }
}

/* Where a waiting run begins in its chain, as far as that is known; else 0. */
static uint64_t
waiting_counter (const struct weir_replica *self, const struct weir_run *run)
{
    uint32_t prev = run->seq == 0 ? WEIR_GRAPH_NONE : weir_graph_find (self->log.graph, &run->prev);
    return prev == WEIR_GRAPH_NONE
               ? 0
               : self->log.rows[prev].counter + weir_graph_node (self->log.graph, prev)->ops;
}

static void
result_pending (const struct weir_replica *self, struct weir_import *result)
{
    struct weir_bytes key;
    void *value = NULL;
    size_t cap = 0;
    for (size_t i = 0; weir_map_next (self->log.waiting, &i, &key, &value);) {
        const struct weir_log_wait *wait = value;
        struct weir_op_span span = {
            .chain = wait->run.chain,
            .from = waiting_counter (self, &wait->run),
        };
        span.to = span.from;
        for (uint32_t j = 0; j < wait->run.count; j++) {
            span.to += wait->run.entries[j].ops;
        }
        weir_op_spans_add (&result->pending, &result->n_pending, &cap, &span);
    }
}

/* ---- doing it ---- */

/* Plans until every blob that is left is good. A blob that turns out bad is closed; `alone`: that
 * ends it. *bad is then the status of the last. */
static enum weir_status
plan_sources (struct weir_replica *self, struct source *sources, size_t count,
              struct weir_plan *plan, enum weir_status *bad, struct weir_error *e)
{
    for (;;) {
        weir_plan_init (plan, self);
        for (size_t s = 0; s < count; s++) {
            if (!sources[s].is_in) {
                continue;
            }
            const struct weir_export_runs *runs = &sources[s].runs;
            for (size_t i = 0; i < runs->n_settings; i++) {
                weir_plan_add (plan, &runs->settings[i], (uint32_t) s);
            }
            for (size_t i = 0; i < runs->n_runs; i++) {
                weir_plan_add (plan, &runs->runs[i], (uint32_t) s);
            }
            for (size_t i = 0; i < runs->n_pending; i++) {
                weir_plan_add (plan, &runs->pending[i], (uint32_t) s);
            }
        }
        enum weir_status status = weir_plan_make (plan, e);
        if (status == WEIR_OK) {
            status = weir_plan_verify (plan, count > 1, e);
        }
        if (status == WEIR_OK) {
            return weir_plan_check (plan, e);
        }
        weir_assert (plan->bad_source < count);
        source_drop (&sources[plan->bad_source]);
        *bad = status;
        if (count == 1) {
            return status;
        }
        weir_plan_fini (plan);
    }
}

/* The first that this replica sees is a shallow snapshot: it begins at its root, on the word of
 * its signer. Everything is made beside, so that nothing is left when it fails. */
static enum weir_status
import_root (struct weir_replica *self, struct source *source, struct weir_import *result,
             struct weir_error *e)
{
    struct weir_replica *fresh = weir_replica_make (&self->options);
    struct weir_plan plan = { 0 };
    enum weir_status bad = WEIR_OK;
    enum weir_status status = WEIR_OK;
    struct weir_id signer = source->root->signer;
    if (!self->options.trusts_signatures) {
        status = weir_export_verify_root (source->reader, e);
    }
    for (size_t i = 0; i < source->runs.n_settings && status == WEIR_OK; i++) {
        if (!self->options.trusts_signatures
            && weir_run_verify (&source->runs.settings[i]) != WEIR_OK) {
            status = weir_error_set (e, WEIR_BAD_SIGNATURE, NULL,
                                     "settings are not signed by their author");
        }
    }
    if (status != WEIR_OK) {
        goto done;
    }
    fresh->log.database = source->database;
    weir_replica_root_take (fresh, source->root, source->runs.settings, source->runs.n_settings);
    source->runs.n_settings = 0;
    status = plan_sources (fresh, source, 1, &plan, &bad, e);
    if (status == WEIR_OK) {
        (void) weir_plan_commit (&plan);
        status = weir_replica_show_all (fresh, e);
    }
    weir_plan_fini (&plan);
    if (status == WEIR_OK) {
        weir_replica_event_begin (self, WEIR_BY_IMPORT);
        weir_replica_swap (self, fresh);
        self->knows_tip = false;
        result_success (self, 0, result);
        result_pending (self, result);
        result->root_signer = signer;
        weir_replica_event_end (self, WEIR_BY_IMPORT);
    }
done:
    weir_replica_destroy (&fresh);
    return status;
}

static enum weir_status
import_sources (struct weir_replica *self, struct source *sources, size_t count,
                enum weir_status *bad, struct weir_import *result, struct weir_error *e)
{
    struct weir_plan plan = { 0 };
    struct weir_id database = weir_id_zero;
    for (size_t i = 0; i < count; i++) {
        if (sources[i].is_in) {
            database = sources[i].database;
        }
    }
    enum weir_status status = plan_sources (self, sources, count, &plan, bad, e);
    if (status == WEIR_OK) {
        if (weir_id_is_zero (&self->log.database)) {
            self->log.database = database;
        }
        uint32_t first = weir_plan_commit (&plan);
        bool is_shown = self->view == NULL && first < weir_graph_count (self->log.graph);
        if (is_shown) {
            weir_replica_event_begin (self, WEIR_BY_IMPORT);
        }
        weir_replica_apply_from (self, first);
        if (self->astray != WEIR_OK) {
            status = weir_error_set (e, self->astray, NULL,
                                     "to show it would take more memory than there may be");
            weir_replica_roll_back (self, first, &plan);
        } else {
            result_success (self, first, result);
            result_pending (self, result);
        }
        if (is_shown) {
            weir_replica_event_end (self, WEIR_BY_IMPORT);
        }
    }
    weir_plan_fini (&plan);
    return status;
}

/* Nothing but a genesis was ever here, or waits. */
static bool
is_blank (const struct weir_replica *self)
{
    uint32_t n = weir_graph_count (self->log.graph);
    return (n == 0 || (n == 1 && self->log.rows[0].kind == WEIR_ENTRY_GENESIS))
           && self->log.n_waiting == 0 && self->view == NULL;
}

enum weir_status
weir_replica_import (struct weir_replica *self, struct weir_bytes blob, struct weir_import *result,
                     struct weir_error *e)
{
    struct weir_import got = { 0 };
    struct source *source = NULL;
    enum weir_status bad = WEIR_OK;
    enum weir_status status = weir_replica_settle (self, e);
    if (status != WEIR_OK) {
        return status;
    }
    source = weir_alloc (sizeof *source);
    status = source_open (self, source, blob, e);
    if (status == WEIR_OK && source->root != NULL && is_blank (self)) {
        status = import_root (self, source, &got, e);
    } else if (status == WEIR_OK) {
        status = import_sources (self, source, 1, &bad, &got, e);
    }
    sources_close (source, 1);
    if (status == WEIR_OK && result != NULL) {
        *result = got;
        got = (struct weir_import){ 0 };
    }
    weir_import_fini (&got);
    return status;
}

/* A blank replica takes the history whole where one of the blobs has it; only when all are
 * shallow it begins at a root. */
static size_t
shallow_only (const struct source *sources, size_t count)
{
    size_t shallow = count;
    for (size_t i = 0; i < count; i++) {
        if (!sources[i].is_in) {
            continue;
        }
        if (sources[i].root == NULL) {
            const struct weir_export_runs *runs = &sources[i].runs;
            if (runs->n_runs > 0 && runs->runs[0].kind == WEIR_ENTRY_GENESIS) {
                return count;
            }
        } else if (shallow == count) {
            shallow = i;
        }
    }
    return shallow;
}

/* Of several databases in one batch the first blob says which is meant. */
static enum weir_status
batch_open (struct weir_replica *self, struct source *sources, const struct weir_bytes *blobs,
            size_t count, struct weir_arena *arena, struct weir_error *e)
{
    enum weir_status bad = WEIR_OK;
    const struct weir_id *database = NULL;
    for (size_t i = 0; i < count; i++) {
        enum weir_status status = source_open (self, &sources[i], blobs[i], e);
        if (status == WEIR_OK) {
            const struct weir_id *its = &sources[i].database;
            if (database != NULL && !weir_id_equal (database, its)) {
                status = weir_error_set (e, WEIR_WRONG_DATABASE, NULL,
                                         "the exports are of several databases");
                source_drop (&sources[i]);
            } else {
                database = its;
            }
        }
        if (sources[i].is_in && sources[i].root == NULL && blobs[i].len <= SMALL_BYTES
            && sources[i].runs.n_settings == 0) {
            source_copy (&sources[i], arena);
        }
        bad = status != WEIR_OK ? status : bad;
    }
    return bad;
}

enum weir_status
weir_replica_import_batch (struct weir_replica *self, const struct weir_bytes *blobs, size_t count,
                           struct weir_import *result, struct weir_error *e)
{
    struct weir_import got = { 0 };
    struct weir_import later = { 0 };
    if (count == 1) {
        return weir_replica_import (self, blobs[0], result, e);
    }
    enum weir_status status = weir_replica_settle (self, e);
    if (status != WEIR_OK) {
        return status;
    }
    struct source *sources = weir_alloc ((count + 1) * sizeof *sources);
    struct weir_arena *arena = weir_arena_new (SIZE_MAX);
    enum weir_status bad = batch_open (self, sources, blobs, count, arena, e);
    size_t root = is_blank (self) ? shallow_only (sources, count) : count;
    if (root < count) {
        status = import_root (self, &sources[root], &got, e);
        bad = status != WEIR_OK ? status : bad;
        source_drop (&sources[root]);
    }
    status = import_sources (self, sources, count, &bad, root < count ? &later : &got, e);
    sources_close (sources, count);
    weir_arena_destroy (&arena);
    if (status == WEIR_OK && result != NULL) {
        *result = got;
        got = (struct weir_import){ 0 };
    }
    weir_import_fini (&got);
    weir_import_fini (&later);
    return status != WEIR_OK ? status : bad;
}
