/* In which order ranges leave: as their runs arrived here. The arrival log is a topological order,
 * so little has to wait at the other side for what it builds on; chain after chain, two authors by
 * turns would wait with half of all they wrote, beyond what a pending set may hold. */

#include <stdlib.h>

#include "actors/store/state.h"

/* Fewer entries than this may come in any order: the pending set holds them with ease. */
#define ORDERED_ENTRIES_MIN 2048u

/* The only range of this chain, or NULL: a chain with branches is left as it was told. */
static const struct weir_range *
only_range (const struct weir_ranges *ranges, const struct weir_chain *chain)
{
    const struct weir_range *found = NULL;
    for (size_t i = 0; i < ranges->count; i++) {
        if (weir_chain_compare (&ranges->items[i].chain, chain) == 0) {
            if (found != NULL) {
                return NULL;
            }
            found = &ranges->items[i];
        }
    }
    return found;
}

/* Appends, growing the last range when this one goes on where it ends. */
static void
append (struct weir_ranges *out, const struct weir_range *range)
{
    struct weir_range *last = out->count > 0 ? &out->items[out->count - 1] : NULL;
    if (last != NULL && weir_chain_compare (&last->chain, &range->chain) == 0
        && last->to_seq == range->from_seq) {
        last->to_seq = range->to_seq;
        last->tip = range->tip;
        return;
    }
    weir_ranges_add (out, range, &weir_id_zero);
}

/* Is this one of several rows of a chain that has more than one tip here? */
static bool
is_forked (struct store *s, const struct weir_id *db, const struct weir_chain *chain)
{
    const struct weir_vector *v = weir_repo_vector (s->repo, db);
    size_t count = 0;
    return v != NULL && weir_vector_chain (v, chain, &count) != NULL && count > 1;
}

static bool
in_order (struct store *s, const struct weir_id *db, const struct weir_ranges *ranges,
          const struct weir_chain *chain)
{
    return only_range (ranges, chain) != NULL && !is_forked (s, db, chain);
}

void
store_order (struct store *s, const struct weir_id *db, const struct weir_ranges *ranges,
             struct weir_ranges *out)
{
    struct weir_log_row row;
    uint64_t after = 0;
    uint64_t left = 0;
    for (size_t i = 0; i < ranges->count; i++) {
        left += ranges->items[i].to_seq - ranges->items[i].from_seq;
    }
    bool any = ranges->count < 2 || left < ORDERED_ENTRIES_MIN;
    for (size_t i = 0; i < ranges->count; i++) {
        if (any || !in_order (s, db, ranges, &ranges->items[i].chain)) {
            weir_ranges_add (out, &ranges->items[i], &weir_id_zero);
            left -= ranges->items[i].to_seq - ranges->items[i].from_seq;
        }
    }
    while (left > 0 && weir_repo_log_next (s->repo, after, db, &row) == WEIR_OK) {
        struct weir_range part = row.range;
        after = row.position;
        const struct weir_range *whole = only_range (ranges, &part.chain);
        if (whole == NULL || part.to_seq <= whole->from_seq || part.from_seq >= whole->to_seq
            || is_forked (s, db, &part.chain)) {
            continue;
        }
        part.from_seq = part.from_seq < whole->from_seq ? whole->from_seq : part.from_seq;
        if (part.to_seq > whole->to_seq) {
            part.to_seq = whole->to_seq;
            part.tip = whole->tip;
        }
        left -= part.to_seq - part.from_seq < left ? part.to_seq - part.from_seq : left;
        append (out, &part);
    }
}
