/* Owns versions of a replica: heads as ids and as numbers, op vectors, how versions compare, and
 * the history as a list of changes. It changes nothing but what its callers hand in. */

#include "store/replica/replica_parts.h"

#include <stdlib.h>
#include <string.h>

void
weir_heads_fini (struct weir_heads *h)
{
    free (h->items);
    *h = (struct weir_heads){ 0 };
}

void
weir_heads_put (struct weir_heads *h, const struct weir_id *id)
{
    size_t at = 0;
    while (at < h->count && weir_id_compare (&h->items[at], id) < 0) {
        at++;
    }
    if (at < h->count && weir_id_equal (&h->items[at], id)) {
        return;
    }
    weir_grow (&h->items, &h->cap, h->count + 1, sizeof *h->items);
    memmove (h->items + at + 1, h->items + at, (h->count - at) * sizeof *h->items);
    h->items[at] = *id;
    h->count++;
}

void
weir_op_vector_fini (struct weir_op_vector *v)
{
    free (v->rows);
    *v = (struct weir_op_vector){ 0 };
}

/* ---- heads and numbers ---- */

enum weir_status
weir_replica_numbers (struct weir_replica *self, const struct weir_heads *heads,
                      struct weir_numbers *out, struct weir_error *e)
{
    enum weir_status status = weir_replica_wake (self, e);
    if (status != WEIR_OK) {
        return status;
    }
    const struct weir_log *log = &self->log;
    weir_numbers_clear (out);
    for (size_t i = 0; i < heads->count; i++) {
        uint32_t number = weir_graph_find (log->graph, &heads->items[i]);
        if (number == WEIR_GRAPH_NONE) {
            return weir_error_set (e, WEIR_NOT_FOUND, NULL, "entry %s is not here",
                                   weir_id_text (&heads->items[i]).s);
        }
        if (log->rows[number].run == WEIR_LOG_NONE && number != self->root->number) {
            return weir_error_set (e, WEIR_STALE_ROOT, NULL, "entry %s lies before the root",
                                   weir_id_text (&heads->items[i]).s);
        }
        weir_numbers_push (out, number);
    }
    weir_graph_minimize (log->graph, out);
    return WEIR_OK;
}

void
weir_replica_heads_of (const struct weir_replica *self, const uint32_t *version, size_t count,
                       struct weir_heads *out)
{
    out->count = 0;
    for (size_t i = 0; i < count; i++) {
        weir_heads_put (out, &weir_graph_node (self->log.graph, version[i])->id);
    }
}

static void
heads_copy (struct weir_heads *out, const struct weir_id *ids, size_t count)
{
    out->count = 0;
    weir_grow (&out->items, &out->cap, count, sizeof *out->items);
    if (count > 0) {
        memcpy (out->items, ids, count * sizeof *ids);
    }
    out->count = count;
}

void
weir_replica_log_heads (struct weir_replica *self, struct weir_heads *out)
{
    size_t count = 0;
    const struct weir_id *ids = weir_doc_heads (self->doc, &count);
    heads_copy (out, ids, count);
}

void
weir_replica_doc_heads (struct weir_replica *self, struct weir_heads *out)
{
    size_t count = 0;
    const struct weir_id *ids = weir_doc_heads (weir_replica_shown (self), &count);
    heads_copy (out, ids, count);
}

enum weir_status
weir_replica_compare (struct weir_replica *self, const struct weir_heads *a,
                      const struct weir_heads *b, enum weir_graph_relation *out,
                      struct weir_error *e)
{
    struct weir_numbers x = { 0 };
    struct weir_numbers y = { 0 };
    enum weir_status status = weir_replica_numbers (self, a, &x, e);
    if (status == WEIR_OK) {
        status = weir_replica_numbers (self, b, &y, e);
    }
    if (status == WEIR_OK) {
        *out = weir_graph_compare (self->log.graph, x.items, x.count, y.items, y.count);
    }
    weir_numbers_fini (&x);
    weir_numbers_fini (&y);
    return status;
}

/* ---- op vectors ---- */

static int
rows_compare (const void *a, const void *b)
{
    const struct weir_op_row *x = a;
    const struct weir_op_row *y = b;
    int order = weir_chain_compare (&x->chain, &y->chain);
    return order != 0 ? order : weir_id_compare (&x->tip, &y->tip);
}

static void
row_push (struct weir_op_vector *v, const struct weir_op_row *row)
{
    if (v->count == v->cap) {
        weir_grow (&v->rows, &v->cap, v->count + 1, sizeof *v->rows);
    }
    v->rows[v->count++] = *row;
}

void
weir_replica_vector_of (const struct weir_replica *self, const uint32_t *version, size_t count,
                        struct weir_op_vector *out)
{
    const struct weir_log *log = &self->log;
    struct weir_numbers in = { 0 };
    struct weir_numbers none = { 0 };
    uint32_t n = weir_graph_count (log->graph);
    /* 1: in the version; 2: and something with ops behind it in its chain is. */
    uint8_t *marks = weir_alloc ((size_t) n + 1);
    out->count = 0;
    weir_graph_diff (log->graph, version, count, NULL, 0, &in, &none);
    for (size_t i = in.count; i-- > 0;) {
        uint32_t number = in.items[i];
        const struct weir_graph_node *node = weir_graph_node (log->graph, number);
        const struct weir_log_row *row = &log->rows[number];
        bool cut = row->run == WEIR_LOG_NONE;
        bool has_ops = node->ops > 0 || (cut && row->counter > 0);
        if (marks[number] == 0 && has_ops) {
            struct weir_op_row r = {
                .chain = node->chain,
                .tip = node->id,
                .ops = row->counter + node->ops,
            };
            row_push (out, &r);
        }
        if (row->prev != WEIR_LOG_NONE && (has_ops || marks[number] != 0)) {
            marks[row->prev] = 1;
        }
    }
    if (out->count > 1) {
        qsort (out->rows, out->count, sizeof *out->rows, rows_compare);
    }
    free (marks);
    weir_numbers_fini (&in);
    weir_numbers_fini (&none);
}

enum weir_status
weir_replica_vector (struct weir_replica *self, const struct weir_heads *heads,
                     struct weir_op_vector *out, struct weir_error *e)
{
    struct weir_numbers version = { 0 };
    enum weir_status status = weir_replica_numbers (self, heads, &version, e);
    if (status == WEIR_OK) {
        weir_replica_vector_of (self, version.items, version.count, out);
    }
    weir_numbers_fini (&version);
    return status;
}

/* The last entries of chains, for rows that name no tip. */
struct ends {
    struct weir_numbers tips; /* entries that nothing in their chain follows here */
    bool ready;
};

static void
ends_find (const struct weir_log *log, struct ends *ends)
{
    uint32_t n = weir_graph_count (log->graph);
    uint8_t *followed = weir_alloc ((size_t) n + 1);
    for (uint32_t i = 0; i < n; i++) {
        if (log->rows[i].prev != WEIR_LOG_NONE) {
            followed[log->rows[i].prev] = 1;
        }
    }
    for (uint32_t i = 0; i < n; i++) {
        if (followed[i] == 0) {
            weir_numbers_push (&ends->tips, i);
        }
    }
    free (followed);
    ends->ready = true;
}

/* Goes back from `number` to the last entry that ends at or before `ops`. WEIR_LOG_NONE: none. */
static uint32_t
back_to (const struct weir_log *log, uint32_t number, uint64_t ops)
{
    while (number != WEIR_LOG_NONE
           && log->rows[number].counter + weir_graph_node (log->graph, number)->ops > ops) {
        number = log->rows[number].prev;
    }
    return number;
}

/* Pushes where the row ends (`exactly`: only an entry that ends just there). A tip that is not
 * here says nothing: it may end another branch. A row without a tip goes by its chain, when that
 * has no branches so far. */
static void
row_find (const struct weir_log *log, struct ends *ends, const struct weir_op_row *row,
          bool exactly, struct weir_numbers *out)
{
    uint32_t tip = weir_graph_find (log->graph, &row->tip);
    if (tip != WEIR_GRAPH_NONE) {
        uint32_t end = back_to (log, tip, row->ops);
        bool good =
            end != WEIR_LOG_NONE
            && weir_chain_compare (&weir_graph_node (log->graph, tip)->chain, &row->chain) == 0
            && (!exactly
                || log->rows[end].counter + weir_graph_node (log->graph, end)->ops == row->ops);
        if (good) {
            weir_numbers_push (out, end);
        }
        return;
    }
    if (!weir_id_is_zero (&row->tip)) {
        return;
    }
    if (!ends->ready) {
        ends_find (log, ends);
    }
    size_t before = out->count;
    for (size_t i = 0; i < ends->tips.count; i++) {
        uint32_t number = ends->tips.items[i];
        if (weir_chain_compare (&weir_graph_node (log->graph, number)->chain, &row->chain) != 0) {
            continue;
        }
        uint32_t end = back_to (log, number, row->ops);
        if (end != WEIR_LOG_NONE
            && (!exactly
                || log->rows[end].counter + weir_graph_node (log->graph, end)->ops == row->ops)) {
            weir_numbers_push (out, end);
        }
    }
    for (size_t i = before + 1; i < out->count; i++) {
        if (out->items[i] != out->items[before]) {
            out->count = before;
        }
    }
}

void
weir_replica_known_of (const struct weir_replica *self, const struct weir_op_vector *vector,
                       struct weir_numbers *out)
{
    struct ends ends = { .ready = false };
    weir_numbers_clear (out);
    for (size_t i = 0; vector != NULL && i < vector->count; i++) {
        row_find (&self->log, &ends, &vector->rows[i], false, out);
    }
    weir_graph_minimize (self->log.graph, out);
    weir_numbers_fini (&ends.tips);
}

enum weir_status
weir_replica_heads (struct weir_replica *self, const struct weir_op_vector *vector,
                    struct weir_heads *out, struct weir_error *e)
{
    struct ends ends = { .ready = false };
    struct weir_numbers version = { 0 };
    enum weir_status status = weir_replica_wake (self, e);
    for (size_t i = 0; status == WEIR_OK && i < vector->count; i++) {
        const struct weir_op_row *row = &vector->rows[i];
        size_t before = version.count;
        if (row->ops == 0) {
            continue;
        }
        row_find (&self->log, &ends, row, true, &version);
        if (version.count == before) {
            struct weir_op_row any = *row;
            row_find (&self->log, &ends, &any, false, &version);
            status =
                version.count == before
                    ? weir_error_set (e, WEIR_NOT_FOUND, NULL, "a chain of the vector is not here")
                    : weir_error_set (e, WEIR_INVALID_ARGUMENT, NULL,
                                      "the vector ends inside an entry, or beyond the last");
        }
    }
    if (status == WEIR_OK) {
        weir_graph_minimize (self->log.graph, &version);
        weir_replica_heads_of (self, version.items, version.count, out);
    }
    weir_numbers_fini (&version);
    weir_numbers_fini (&ends.tips);
    return status;
}

void
weir_op_spans_add (struct weir_op_span **spans, size_t *count, size_t *cap,
                   const struct weir_op_span *span)
{
    for (size_t i = *count; i-- > 0 && span->to > span->from;) {
        struct weir_op_span *s = &(*spans)[i];
        if (weir_chain_compare (&s->chain, &span->chain) != 0 || span->to < s->from
            || span->from > s->to) {
            continue;
        }
        s->from = span->from < s->from ? span->from : s->from;
        s->to = span->to > s->to ? span->to : s->to;
        return;
    }
    if (span->to > span->from) {
        weir_grow (spans, cap, *count + 1, sizeof **spans);
        (*spans)[(*count)++] = *span;
    }
}
