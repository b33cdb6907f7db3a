/* Shows the history as Loro's Changes: consecutive entries of one chain without news from others
 * between them, as one. It only reads. */

#include "store/replica/replica_parts.h"

#include <stdlib.h>
#include <string.h>

struct listing {
    const struct weir_log *log;
    uint64_t interval_ms;
    uint32_t *order;
    size_t n_order;
    uint32_t *follower; /* of an entry: the next of its chain that nothing new came before */
    uint8_t *is_told;
    uint32_t *seen; /* by the search for the deps of number - 1 */
    struct weir_numbers stack;
    struct weir_numbers deps;
    struct weir_heads ids;
};

static int
order_compare (const void *a, const void *b, void *context)
{
    const struct listing *l = context;
    uint32_t i = *(const uint32_t *) a;
    uint32_t j = *(const uint32_t *) b;
    if (l->log->rows[i].depth != l->log->rows[j].depth) {
        return l->log->rows[i].depth < l->log->rows[j].depth ? -1 : 1;
    }
    return weir_id_compare (&weir_graph_node (l->log->graph, i)->id,
                            &weir_graph_node (l->log->graph, j)->id);
}

static bool
has_deps (const struct weir_log *log, uint32_t number)
{
    const struct weir_log_row *row = &log->rows[number];
    return row->index == 0 && log->runs[row->run].n_deps > 0;
}

static struct weir_bytes
message_of (const struct weir_log *log, uint32_t number)
{
    struct weir_reader r = weir_reader (weir_log_payload (log, number));
    uint8_t codec = weir_read_u8 (&r);
    struct weir_bytes message = weir_read_blob (&r, WEIR_MESSAGE_TEXT_BYTES_MAX);
    bool good = !r.bad && weir_codec_is_doc (codec) && weir_bytes_is_utf8 (message);
    return good ? message : weir_bytes (NULL, 0);
}

static void
listing_prepare (struct listing *l)
{
    const struct weir_log *log = l->log;
    uint32_t n = weir_graph_count (log->graph);
    l->order = weir_alloc (((size_t) n + 1) * sizeof *l->order);
    l->follower = weir_alloc (((size_t) n + 1) * sizeof *l->follower);
    l->is_told = weir_alloc ((size_t) n + 1);
    l->seen = weir_alloc (((size_t) n + 1) * sizeof *l->seen);
    for (uint32_t i = 0; i < n; i++) {
        const struct weir_log_row *row = &log->rows[i];
        const struct weir_graph_node *node = weir_graph_node (log->graph, i);
        l->follower[i] = WEIR_LOG_NONE;
        if (node->ops == 0 || row->run == WEIR_LOG_NONE) {
            continue;
        }
        l->order[l->n_order++] = i;
        if (row->prev == WEIR_LOG_NONE || has_deps (log, i)) {
            continue;
        }
        uint32_t *follower = &l->follower[row->prev];
        if (*follower == WEIR_LOG_NONE
            || weir_id_compare (&node->id, &weir_graph_node (log->graph, *follower)->id) < 0) {
            *follower = i;
        }
    }
    qsort_r (l->order, l->n_order, sizeof *l->order, order_compare, l);
}

/* The entries that one stands on, through those that hold no ops. */
static void
deps_find (struct listing *l, uint32_t number)
{
    const struct weir_log *log = l->log;
    weir_numbers_clear (&l->deps);
    weir_numbers_clear (&l->stack);
    weir_numbers_push (&l->stack, number);
    while (l->stack.count > 0) {
        uint32_t at = l->stack.items[--l->stack.count];
        const struct weir_graph_node *node = weir_graph_node (log->graph, at);
        for (uint32_t i = 0; i < node->n_parents; i++) {
            uint32_t parent = node->parents[i];
            if (l->seen[parent] == number + 1) {
                continue;
            }
            l->seen[parent] = number + 1;
            bool is_empty = weir_graph_node (log->graph, parent)->ops == 0
                            && log->rows[parent].run != WEIR_LOG_NONE;
            weir_numbers_push (is_empty ? &l->stack : &l->deps, parent);
        }
    }
    weir_graph_minimize (log->graph, &l->deps);
    l->ids.count = 0;
    for (size_t i = 0; i < l->deps.count; i++) {
        weir_heads_put (&l->ids, &weir_graph_node (log->graph, l->deps.items[i])->id);
    }
}

/* Takes the entries from `first` on that are one with it. */
static void
row_make (struct listing *l, uint32_t first, struct weir_replica_change_row *row)
{
    const struct weir_log *log = l->log;
    const struct weir_graph_node *node = weir_graph_node (log->graph, first);
    deps_find (l, first);
    *row = (struct weir_replica_change_row){
        .chain = node->chain,
        .counter = log->rows[first].counter,
        .lamport = log->rows[first].lamport,
        .ops = node->ops,
        .clock_ms = log->rows[first].clock_ms,
        .message = message_of (log, first),
        .first = node->id,
        .last = node->id,
        .n_deps = l->ids.count,
        .deps = l->ids.items,
    };
    l->is_told[first] = 1;
    for (uint32_t at = l->follower[first]; at != WEIR_LOG_NONE; at = l->follower[at]) {
        uint64_t clock_ms = log->rows[at].clock_ms;
        if ((clock_ms > row->clock_ms && clock_ms - row->clock_ms > l->interval_ms)
            || !weir_bytes_equal (message_of (log, at), row->message)) {
            break;
        }
        node = weir_graph_node (log->graph, at);
        row->ops += node->ops;
        row->last = node->id;
        l->is_told[at] = 1;
    }
}

enum weir_status
weir_replica_changes (struct weir_replica *self, uint64_t interval_s, weir_replica_change_fn *fn,
                      void *context, struct weir_error *e)
{
    enum weir_status status = weir_replica_settle (self, e);
    if (status != WEIR_OK) {
        return status;
    }
    struct listing l = { .log = &self->log };
    l.interval_ms = interval_s > UINT64_MAX / 1000 ? UINT64_MAX : interval_s * 1000;
    listing_prepare (&l);
    for (size_t i = 0; i < l.n_order; i++) {
        struct weir_replica_change_row row;
        if (l.is_told[l.order[i]] == 0) {
            row_make (&l, l.order[i], &row);
            if (!fn (context, &row)) {
                break;
            }
        }
    }
    free (l.order);
    free (l.follower);
    free (l.is_told);
    free (l.seen);
    weir_numbers_fini (&l.stack);
    weir_numbers_fini (&l.deps);
    weir_heads_fini (&l.ids);
    return WEIR_OK;
}
