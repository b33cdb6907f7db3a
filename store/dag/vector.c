/* Owns entry vectors and lists of ranges: sorted rows, and nothing about where they came from.
 * Comparing two vectors is in compare.c. The repository keeps one vector a database; sync tells
 * it and keeps one a peer as a hint. */

#include "store/dag/vector.h"

#include <stdlib.h>
#include <string.h>

static int
row_compare (const struct weir_row *row, const struct weir_chain *chain, const struct weir_id *tip)
{
    int order = weir_chain_compare (&row->chain, chain);
    return order != 0 ? order : weir_id_compare (&row->tip, tip);
}

/* Where (chain, tip) lies or would lie. */
static size_t
row_place (const struct weir_vector *v, const struct weir_chain *chain, const struct weir_id *tip)
{
    size_t low = 0;
    size_t high = v->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (row_compare (&v->rows[middle], chain, tip) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

void
weir_vector_fini (struct weir_vector *v)
{
    free (v->rows);
    *v = (struct weir_vector){ .rows = NULL };
}

void
weir_vector_clear (struct weir_vector *v)
{
    v->count = 0;
}

void
weir_vector_copy (struct weir_vector *to, const struct weir_vector *from)
{
    weir_grow (&to->rows, &to->cap, from->count, sizeof to->rows[0]);
    if (from->count > 0) {
        memcpy (to->rows, from->rows, from->count * sizeof to->rows[0]);
    }
    to->count = from->count;
}

bool
weir_vector_equal (const struct weir_vector *a, const struct weir_vector *b)
{
    if (a->count != b->count) {
        return false;
    }
    for (size_t i = 0; i < a->count; i++) {
        if (row_compare (&a->rows[i], &b->rows[i].chain, &b->rows[i].tip) != 0
            || a->rows[i].count != b->rows[i].count) {
            return false;
        }
    }
    return true;
}

void
weir_vector_put (struct weir_vector *v, const struct weir_row *row)
{
    size_t at = row_place (v, &row->chain, &row->tip);
    if (at < v->count && row_compare (&v->rows[at], &row->chain, &row->tip) == 0) {
        if (row->count > v->rows[at].count) {
            v->rows[at].count = row->count;
        }
        return;
    }
    struct weir_row copy = *row; /* it may lie in v itself */
    weir_grow (&v->rows, &v->cap, v->count + 1, sizeof v->rows[0]);
    memmove (&v->rows[at + 1], &v->rows[at], (v->count - at) * sizeof v->rows[0]);
    v->rows[at] = copy;
    v->count++;
}

void
weir_vector_advance (struct weir_vector *v, const struct weir_id *from, const struct weir_row *row)
{
    size_t at = row_place (v, &row->chain, from);
    if (at == v->count || row_compare (&v->rows[at], &row->chain, from) != 0) {
        weir_vector_put (v, row);
        return;
    }
    /* A chain of one tip stays where it is, which is what a busy writer does all day. */
    bool after = at == 0 || row_compare (&v->rows[at - 1], &row->chain, &row->tip) < 0;
    bool before = at + 1 == v->count || row_compare (&v->rows[at + 1], &row->chain, &row->tip) > 0;
    if (after && before) {
        v->rows[at] = *row;
        return;
    }
    struct weir_row copy = *row;
    v->count--;
    memmove (&v->rows[at], &v->rows[at + 1], (v->count - at) * sizeof v->rows[0]);
    weir_vector_put (v, &copy);
}

bool
weir_vector_drop (struct weir_vector *v, const struct weir_chain *chain, const struct weir_id *tip)
{
    size_t at = row_place (v, chain, tip);
    if (at == v->count || row_compare (&v->rows[at], chain, tip) != 0) {
        return false;
    }
    v->count--;
    memmove (&v->rows[at], &v->rows[at + 1], (v->count - at) * sizeof v->rows[0]);
    return true;
}

const struct weir_row *
weir_vector_find (const struct weir_vector *v, const struct weir_chain *chain,
                  const struct weir_id *tip)
{
    size_t at = row_place (v, chain, tip);
    if (at == v->count || row_compare (&v->rows[at], chain, tip) != 0) {
        return NULL;
    }
    return &v->rows[at];
}

const struct weir_row *
weir_vector_chain (const struct weir_vector *v, const struct weir_chain *chain, size_t *count)
{
    size_t at = row_place (v, chain, &weir_id_zero);
    size_t end = at;
    while (end < v->count && weir_chain_compare (&v->rows[end].chain, chain) == 0) {
        end++;
    }
    *count = end - at;
    return end > at ? &v->rows[at] : NULL;
}

struct weir_id
weir_vector_digest (const struct weir_vector *v)
{
    struct weir_hash h;
    weir_hash_init (&h, WEIR_DOMAIN_VECTOR);
    for (size_t i = 0; i < v->count; i++) {
        const struct weir_row *row = &v->rows[i];
        uint8_t bytes[2 * WEIR_ID_BYTES + 16];
        memcpy (bytes, row->chain.author.b, WEIR_ID_BYTES);
        weir_store_u64 (bytes + 32, row->chain.lane);
        weir_store_u64 (bytes + 40, row->count);
        memcpy (bytes + 48, row->tip.b, WEIR_ID_BYTES);
        weir_hash_add (&h, weir_bytes (bytes, sizeof bytes));
    }
    return weir_hash_end (&h);
}

void
weir_ranges_fini (struct weir_ranges *r)
{
    free (r->items);
    *r = (struct weir_ranges){ .items = NULL };
}

void
weir_ranges_clear (struct weir_ranges *r)
{
    r->count = 0;
}

void
weir_ranges_add (struct weir_ranges *r, const struct weir_range *range,
                 const struct weir_id *prev_tip)
{
    struct weir_range *last = r->count > 0 ? &r->items[r->count - 1] : NULL;
    if (last != NULL && last->to_seq == range->from_seq && !weir_id_is_zero (prev_tip)
        && weir_id_equal (&last->tip, prev_tip)
        && weir_chain_compare (&last->chain, &range->chain) == 0) {
        last->to_seq = range->to_seq;
        last->tip = range->tip;
        return;
    }
    weir_grow (&r->items, &r->cap, r->count + 1, sizeof r->items[0]);
    r->items[r->count++] = *range;
}
