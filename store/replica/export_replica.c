/* Exports a replica: picks the runs, and says what they hold. Runs go whole, as they came, in one
 * order on all replicas, so that equal logs give equal bytes; only the run that a shallow root
 * lies in is cut behind it. */

#include "store/replica/export_pick.h"

#include <stdlib.h>
#include <string.h>

static void
picker_fini (struct weir_picker *p)
{
    weir_numbers_fini (&p->runs);
    weir_numbers_fini (&p->entries);
    free (p->bytes);
    free (p->cut_entries);
    weir_arena_destroy (&p->arena);
    free (p->pending);
    free (p->settings);
    free (p->inert);
    weir_op_vector_fini (&p->asked);
    weir_op_vector_fini (&p->asked_to);
    weir_op_vector_fini (&p->start);
    weir_op_vector_fini (&p->end);
    weir_export_root_fini (&p->root);
    weir_buf_fini (&p->root_state);
    weir_buf_fini (&p->state);
}

static int
number_compare (const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *) a;
    uint32_t y = *(const uint32_t *) b;
    return x < y ? -1 : x > y;
}

static void
numbers_unique (struct weir_numbers *n)
{
    size_t kept = 0;
    if (n->count > 1) {
        qsort (n->items, n->count, sizeof *n->items, number_compare);
    }
    for (size_t i = 0; i < n->count; i++) {
        if (kept == 0 || n->items[kept - 1] != n->items[i]) {
            n->items[kept++] = n->items[i];
        }
    }
    n->count = kept;
}

/* ---- runs ---- */

/* The runs that hold these entries: p->runs in order, p->entries all that is in them. What a run
 * that is covered holds, the one that covers it brings: it goes on behind it, so whoever lacks
 * an entry of the one lacks the end of the other. */
static void
pick_runs_of (struct weir_picker *p, const struct weir_numbers *entries)
{
    const struct weir_log *log = &p->replica->log;
    for (size_t i = 0; i < entries->count; i++) {
        uint32_t run = log->rows[entries->items[i]].run;
        bool is_last = p->runs.count > 0 && p->runs.items[p->runs.count - 1] == run;
        if (run != WEIR_LOG_NONE && !is_last && !log->runs[run].is_covered) {
            weir_numbers_push (&p->runs, run);
        }
    }
    numbers_unique (&p->runs);
    weir_log_runs_order (log, p->runs.items, p->runs.count);
    for (size_t i = 0; i < p->runs.count; i++) {
        const struct weir_log_run *run = &log->runs[p->runs.items[i]];
        uint32_t number = log->rows[run->first].prev;
        for (uint32_t k = 0; k < run->skip && number != WEIR_LOG_NONE; k++) {
            weir_numbers_push (&p->entries, number);
            number = log->rows[number].prev;
        }
        for (uint32_t k = 0; k < run->take - run->skip; k++) {
            weir_numbers_push (&p->entries, run->first + k);
        }
    }
    numbers_unique (&p->entries);
}

/* The same for any entries: where one lies in a run that is covered, the run that covers it is
 * looked for. */
static void
pick_covering (struct weir_picker *p, struct weir_numbers *entries)
{
    const struct weir_log *log = &p->replica->log;
    size_t n = entries->count;
    for (size_t r = 0; r < log->n_runs; r++) {
        const struct weir_log_run *run = &log->runs[r];
        uint32_t number = run->skip == 0 ? WEIR_LOG_NONE : log->rows[run->first].prev;
        for (uint32_t k = 0; k < run->skip && number != WEIR_LOG_NONE && !run->is_covered; k++) {
            uint32_t other = log->rows[number].run;
            if (other != WEIR_LOG_NONE && log->runs[other].is_covered
                && bsearch (&number, entries->items, n, sizeof number, number_compare) != NULL) {
                weir_numbers_push (entries, run->first);
                break;
            }
            number = log->rows[number].prev;
        }
    }
    pick_runs_of (p, entries);
}

/* Everything that the version does not hold. */
void
weir_pick_lacking (struct weir_picker *p, const uint32_t *version, size_t count)
{
    const struct weir_graph *graph = p->replica->log.graph;
    struct weir_numbers lacking = { 0 };
    struct weir_numbers none = { 0 };
    size_t n_heads = 0;
    const uint32_t *heads = weir_graph_heads (graph, &n_heads);
    weir_graph_diff (graph, heads, n_heads, version, count, &lacking, &none);
    pick_runs_of (p, &lacking);
    weir_numbers_fini (&lacking);
    weir_numbers_fini (&none);
}

void
weir_pick_bytes (struct weir_picker *p)
{
    const struct weir_log *log = &p->replica->log;
    p->bytes = weir_alloc ((p->runs.count + 1) * sizeof *p->bytes);
    p->cut_entries = weir_alloc ((p->runs.count + 1) * sizeof *p->cut_entries);
    for (size_t i = 0; i < p->runs.count; i++) {
        p->bytes[i] = log->runs[p->runs.items[i]].bytes;
    }
}

/* The entries without effect, counted as they lie in the runs. */
static void
find_inert (struct weir_picker *p)
{
    const struct weir_log *log = &p->replica->log;
    uint64_t before = 0;
    size_t cap = 0;
    for (size_t i = 0; i < p->runs.count && p->replica->inert > 0; i++) {
        const struct weir_log_run *run = &log->runs[p->runs.items[i]];
        uint32_t cut = p->cut_entries[i];
        uint32_t *numbers = weir_log_run_numbers (log, run);
        for (uint32_t k = cut; k < run->take; k++) {
            uint8_t status = numbers[k] == WEIR_LOG_NONE ? 0 : log->rows[numbers[k]].inert;
            if (status != 0) {
                weir_grow (&p->inert, &cap, p->n_inert + 1, sizeof *p->inert);
                p->inert[p->n_inert++] = (struct weir_export_inert){
                    .entry = before + k - cut,
                    .status = (enum weir_status) status,
                };
            }
        }
        free (numbers);
        before += run->count - cut;
    }
}

static int
wait_compare (const void *a, const void *b)
{
    const struct weir_run *x = &(*(struct weir_log_wait *const *) a)->run;
    const struct weir_run *y = &(*(struct weir_log_wait *const *) b)->run;
    int order = weir_chain_compare (&x->chain, &y->chain);
    if (order != 0 || x->seq != y->seq) {
        return order != 0 ? order : x->seq < y->seq ? -1 : 1;
    }
    return weir_id_compare (weir_run_tip (x), weir_run_tip (y));
}

static void
take_pending (struct weir_picker *p)
{
    const struct weir_log *log = &p->replica->log;
    size_t count = weir_map_count (log->waiting);
    struct weir_log_wait **waits = weir_alloc ((count + 1) * sizeof *waits);
    struct weir_bytes key;
    void *value = NULL;
    size_t n = 0;
    for (size_t i = 0; weir_map_next (log->waiting, &i, &key, &value);) {
        waits[n++] = value;
    }
    if (n > 1) {
        qsort (waits, n, sizeof *waits, wait_compare);
    }
    p->pending = weir_alloc ((n + 1) * sizeof *p->pending);
    for (size_t i = 0; i < n; i++) {
        p->pending[i] = waits[i]->run.bytes;
    }
    p->n_pending = n;
    free (waits);
}

/* ---- what is inside, as vectors ---- */

void
weir_pick_push (struct weir_op_vector *v, const struct weir_op_row *row)
{
    weir_grow (&v->rows, &v->cap, v->count + 1, sizeof *v->rows);
    v->rows[v->count++] = *row;
}

static int
row_compare (const void *a, const void *b)
{
    const struct weir_op_row *x = a;
    const struct weir_op_row *y = b;
    int order = weir_chain_compare (&x->chain, &y->chain);
    order = order != 0 ? order : weir_id_compare (&x->tip, &y->tip);
    return order != 0 ? order : x->ops < y->ops ? -1 : x->ops > y->ops;
}

void
weir_pick_sort (struct weir_op_vector *v)
{
    if (v->count > 1) {
        qsort (v->rows, v->count, sizeof *v->rows, row_compare);
    }
}

static size_t
index_of (const struct weir_numbers *n, uint32_t number)
{
    const uint32_t *found =
        n->count == 0 ? NULL : bsearch (&number, n->items, n->count, sizeof number, number_compare);
    return found == NULL ? SIZE_MAX : (size_t) (found - n->items);
}

/* Where each chain begins and ends inside; as in the vector of a version, a row names the last
 * entry that has ops. */
static void
find_vectors (struct weir_picker *p)
{
    const struct weir_log *log = &p->replica->log;
    const struct weir_numbers *in = &p->entries;
    uint8_t *followed = weir_alloc (in->count + 1);
    for (size_t i = in->count; i-- > 0;) {
        uint32_t number = in->items[i];
        const struct weir_graph_node *node = weir_graph_node (log->graph, number);
        const struct weir_log_row *row = &log->rows[number];
        size_t prev = row->prev == WEIR_LOG_NONE ? SIZE_MAX : index_of (in, row->prev);
        if (node->ops > 0 && followed[i] == 0) {
            struct weir_op_row end = { node->chain, node->id, row->counter + node->ops };
            weir_pick_push (&p->end, &end);
        }
        if (prev != SIZE_MAX) {
            followed[prev] |= node->ops > 0 || followed[i] != 0;
        } else if (row->counter > 0) {
            struct weir_op_row start = { node->chain, weir_id_zero, row->counter };
            if (row->prev != WEIR_LOG_NONE) {
                start.tip = weir_graph_node (log->graph, row->prev)->id;
            }
            weir_pick_push (&p->start, &start);
        }
    }
    weir_pick_sort (&p->start);
    weir_pick_sort (&p->end);
    free (followed);
}

/* ---- spans ---- */

static int
span_compare (const void *a, const void *b)
{
    const struct weir_op_span *x = a;
    const struct weir_op_span *y = b;
    int order = weir_chain_compare (&x->chain, &y->chain);
    return order != 0 ? order : x->from < y->from ? -1 : x->from > y->from;
}

/* Does a span (sorted, apart) meet the entry's ops? */
static bool
spans_meet (const struct weir_op_span *spans, size_t count, const struct weir_chain *chain,
            uint64_t from, uint64_t to)
{
    size_t low = 0;
    size_t high = count;
    while (low < high) { /* the first that ends behind `from` */
        size_t mid = low + (high - low) / 2;
        int order = weir_chain_compare (&spans[mid].chain, chain);
        if (order < 0 || (order == 0 && spans[mid].to <= from)) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low < count && weir_chain_compare (&spans[low].chain, chain) == 0
           && spans[low].from < to;
}

/* A sorted copy, what touches joined; the caller frees it. */
static struct weir_op_span *
spans_sorted (const struct weir_op_span *spans, size_t *count)
{
    struct weir_op_span *copy = weir_alloc ((*count + 1) * sizeof *copy);
    size_t kept = 0;
    if (*count > 0) {
        memcpy (copy, spans, *count * sizeof *copy);
        qsort (copy, *count, sizeof *copy, span_compare);
    }
    for (size_t i = 0; i < *count; i++) {
        struct weir_op_span *last = kept == 0 ? NULL : &copy[kept - 1];
        if (copy[i].from >= copy[i].to) {
            continue;
        }
        if (last != NULL && weir_chain_compare (&last->chain, &copy[i].chain) == 0
            && copy[i].from <= last->to) {
            last->to = copy[i].to > last->to ? copy[i].to : last->to;
        } else {
            copy[kept++] = copy[i];
        }
    }
    *count = kept;
    return copy;
}

static void
pick_spans (struct weir_picker *p, const struct weir_export *what)
{
    const struct weir_log *log = &p->replica->log;
    struct weir_numbers met = { 0 };
    size_t count = what->n_spans;
    struct weir_op_span *spans = spans_sorted (what->spans, &count);
    for (uint32_t i = 0; i < weir_graph_count (log->graph); i++) {
        const struct weir_graph_node *node = weir_graph_node (log->graph, i);
        uint64_t from = log->rows[i].counter;
        if (node->ops > 0 && spans_meet (spans, count, &node->chain, from, from + node->ops)) {
            weir_numbers_push (&met, i);
        }
    }
    for (size_t i = 0; i < count; i++) {
        struct weir_op_row row = { spans[i].chain, weir_id_zero, spans[i].from };
        weir_pick_push (&p->asked, &row);
        row.ops = spans[i].to;
        weir_pick_push (&p->asked_to, &row);
    }
    pick_covering (p, &met);
    weir_numbers_fini (&met);
    free (spans);
}

/* ---- all together ---- */

static enum weir_status
pick (struct weir_picker *p, const struct weir_export *what, struct weir_error *e)
{
    struct weir_numbers known = { 0 };
    enum weir_status status = WEIR_OK;
    switch (what->mode) {
    case WEIR_EXPORT_SNAPSHOT:
        if (p->replica->root != NULL) {
            struct weir_heads root = { 0 };
            weir_heads_put (&root, &p->replica->root->told.entry);
            status = weir_pick_root (p, &root, e);
            weir_heads_fini (&root);
        } else {
            weir_pick_lacking (p, NULL, 0);
        }
        weir_doc_save (p->replica->doc, &p->state);
        take_pending (p);
        break;
    case WEIR_EXPORT_UPDATE:
        weir_replica_known_of (p->replica, what->from, &known);
        weir_pick_lacking (p, known.items, known.count);
        weir_numbers_fini (&known);
        take_pending (p);
        p->parts.asked = what->from;
        break;
    case WEIR_EXPORT_SPANS:
        pick_spans (p, what);
        p->parts.asked = &p->asked;
        p->parts.asked_to = &p->asked_to;
        break;
    case WEIR_EXPORT_SHALLOW:
        status = weir_pick_root (p, what->root, e);
        break;
    default:
        status = weir_error_set (e, WEIR_INVALID_ARGUMENT, NULL, "there is no such export mode");
    }
    return status;
}

enum weir_status
weir_replica_export (struct weir_replica *self, const struct weir_export *what,
                     struct weir_buf *out, struct weir_error *e)
{
    struct weir_picker p = { .replica = self };
    enum weir_status status = weir_replica_settle (self, e);
    if (status != WEIR_OK) {
        return status;
    }
    weir_log_close_run (&self->log, self->options.identity);
    weir_log_check_vouched (&self->log);
    status = pick (&p, what, e);
    if (status == WEIR_OK) {
        if (p.bytes == NULL) {
            weir_pick_bytes (&p);
        }
        find_inert (&p);
        if (p.parts.root == NULL) {
            find_vectors (&p);
        }
        p.parts.mode = p.parts.root == NULL ? what->mode : WEIR_EXPORT_SHALLOW;
        p.parts.database = self->log.database;
        p.parts.start = &p.start;
        p.parts.end = &p.end;
        p.parts.runs = p.bytes;
        p.parts.n_runs = p.runs.count;
        p.parts.pending = p.pending;
        p.parts.n_pending = p.n_pending;
        p.parts.settings = p.settings;
        p.parts.n_settings = p.n_settings;
        p.parts.state = weir_buf_bytes (&p.state);
        p.parts.inert = p.inert;
        p.parts.n_inert = p.n_inert;
        status = weir_export_write (&p.parts, what->fast, out, e);
    }
    picker_fini (&p);
    return status;
}
