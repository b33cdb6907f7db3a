/* Compares what is held here with what another node told: the rung of the ladder that always
 * ends it (page 3). It never sends, never trusts a count, and asks the store only for entries
 * that it holds; a chain of one tip, which is nearly every chain, costs one look-up.
 *
 * For each chain, in five steps:
 *   1. Every told tip that is held here is a *point*: they hold the way up to it. A told tip
 *      that is unknown here gives a point by its first sample that is held here.
 *   2. Our tips are put in the order of a walk through the tree they form. Then what two tips
 *      have in common is the least of what neighbours between them have in common.
 *   3. A point covers the tip it lies under up to its own seq, and the other tips up to where
 *      they part from it: two sweeps along the order.
 *   4. An unknown tip without samples says that they hold more, but not where it parts from
 *      ours. When it can be a plain extension (the only one, longer than the only tip of ours
 *      that is not covered) it is taken for one: if that is wrong, the other side sees a tip
 *      that is shorter and unknown, which is no extension, and asks. Otherwise the chain waits
 *      for samples, and only `unknown` names it.
 *   5. The rest of every tip, behind what is covered and what a tip before it already gave, is
 *      what they lack. */

#include "store/dag/vector.h"

#include <stdlib.h>

/* One of our tips while its chain is compared. */
struct tip {
    struct weir_row row;
    uint64_t shared;  /* with the tip before it in the order: this many entries */
    uint64_t covered; /* they hold this many on the way to it */
};

struct compare {
    const struct weir_compare_store *store;
    struct tip *tips;
    size_t n_tips;
    size_t cap;
    size_t waiting;         /* told tips that are unknown here and have no samples */
    uint64_t waiting_count; /* the count told of the last of them */
    size_t unknown;         /* told tips that are unknown here */
};

/* The id, or zero when the store cannot say: then it differs from every id there is. */
static struct weir_id
id_at (const struct compare *c, const struct weir_row *row, uint64_t seq)
{
    struct weir_id id = weir_id_zero;
    if (!c->store->id_at (c->store->context, row, seq, &id)) {
        id = weir_id_zero;
    }
    return id;
}

/* How many entries two rows have in common; one id in common means all before it. */
static uint64_t
common (const struct compare *c, const struct weir_row *a, const struct weir_row *b)
{
    uint64_t low = 0;
    uint64_t high = a->count < b->count ? a->count : b->count;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        struct weir_id x = id_at (c, a, middle);
        struct weir_id y = id_at (c, b, middle);
        if (weir_id_equal (&x, &y) && !weir_id_is_zero (&x)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static int
tip_order (const void *a, const void *b, void *context)
{
    const struct compare *c = context;
    const struct weir_row *x = &((const struct tip *) a)->row;
    const struct weir_row *y = &((const struct tip *) b)->row;
    uint64_t shared = common (c, x, y);
    if (shared == x->count || shared == y->count) {
        return (x->count > y->count) - (x->count < y->count);
    }
    struct weir_id at_x = id_at (c, x, shared);
    struct weir_id at_y = id_at (c, y, shared);
    return weir_id_compare (&at_x, &at_y);
}

static void
load_tips (struct compare *c, const struct weir_vector *ours, size_t first, size_t n_rows)
{
    weir_grow (&c->tips, &c->cap, n_rows, sizeof c->tips[0]);
    c->n_tips = n_rows;
    c->waiting = 0;
    c->unknown = 0;
    for (size_t i = 0; i < n_rows; i++) {
        c->tips[i] = (struct tip){ .row = ours->rows[first + i] };
    }
    if (n_rows > 1) {
        qsort_r (c->tips, n_rows, sizeof c->tips[0], tip_order, c);
    }
    for (size_t i = 1; i < n_rows; i++) {
        c->tips[i].shared = common (c, &c->tips[i - 1].row, &c->tips[i].row);
    }
}

/* They hold this entry of the chain; the first of our tips above it remembers. */
static void
cover_point (struct compare *c, const struct weir_id *id, uint64_t seq)
{
    for (size_t i = 0; i < c->n_tips; i++) {
        struct tip *tip = &c->tips[i];
        if (seq >= tip->row.count) {
            continue;
        }
        bool under = seq + 1 == tip->row.count && weir_id_equal (id, &tip->row.tip);
        if (!under) {
            struct weir_id there = id_at (c, &tip->row, seq);
            under = weir_id_equal (id, &there);
        }
        if (under) {
            tip->covered = seq + 1 > tip->covered ? seq + 1 : tip->covered;
            return;
        }
    }
}

static bool
find_in_chain (const struct compare *c, const struct weir_id *id, const struct weir_chain *chain,
               uint64_t *seq, bool *held)
{
    struct weir_chain found;
    *held = c->store->find (c->store->context, id, &found, seq);
    return *held && weir_chain_compare (&found, chain) == 0;
}

static void
load_told (struct compare *c, const struct weir_told_row *told)
{
    const struct weir_row *row = &told->row;
    uint64_t seq;
    bool held;
    if (row->count == 0) {
        return; /* no chain is empty */
    }
    if (find_in_chain (c, &row->tip, &row->chain, &seq, &held)) {
        cover_point (c, &row->tip, seq);
        return;
    }
    if (held) {
        return; /* an entry of another chain: nonsense */
    }
    c->unknown++;
    if (told->n_samples == 0 && row->count > 1) {
        c->waiting++;
        c->waiting_count = row->count;
    }
    size_t n =
        told->n_samples < WEIR_VECTOR_SAMPLES_MAX ? told->n_samples : WEIR_VECTOR_SAMPLES_MAX;
    for (size_t i = 0; i < n; i++) {
        if (find_in_chain (c, &told->samples[i].id, &row->chain, &seq, &held)) {
            cover_point (c, &told->samples[i].id, seq);
            return;
        }
    }
}

/* What covers one tip covers its neighbours as far as they share it. */
static void
spread (struct compare *c)
{
    for (size_t i = 1; i < c->n_tips; i++) {
        uint64_t from_left = c->tips[i - 1].covered;
        from_left = from_left < c->tips[i].shared ? from_left : c->tips[i].shared;
        c->tips[i].covered = from_left > c->tips[i].covered ? from_left : c->tips[i].covered;
    }
    for (size_t i = c->n_tips; i > 1; i--) {
        struct tip *left = &c->tips[i - 2];
        uint64_t from_right = c->tips[i - 1].covered;
        from_right = from_right < c->tips[i - 1].shared ? from_right : c->tips[i - 1].shared;
        left->covered = from_right > left->covered ? from_right : left->covered;
    }
}

static bool
is_plain_extension (const struct compare *c)
{
    size_t open = 0;
    uint64_t count = 0;
    for (size_t i = 0; i < c->n_tips; i++) {
        if (c->tips[i].covered < c->tips[i].row.count) {
            open++;
            count = c->tips[i].row.count;
        }
    }
    return c->waiting == 1 && open == 1 && c->waiting_count > count;
}

static void
finish_chain (struct compare *c, struct weir_ranges *lacks, struct weir_vector *unknown)
{
    spread (c);
    if (is_plain_extension (c)) {
        return;
    }
    for (size_t i = 0; i < c->n_tips; i++) {
        const struct tip *tip = &c->tips[i];
        if (tip->covered >= tip->row.count) {
            continue;
        }
        if (c->unknown > 0) {
            weir_vector_put (unknown, &tip->row);
        }
        uint64_t from = tip->covered > tip->shared ? tip->covered : tip->shared;
        if (c->waiting == 0 && from < tip->row.count) {
            struct weir_range range = {
                .chain = tip->row.chain,
                .from_seq = from,
                .to_seq = tip->row.count,
                .tip = tip->row.tip,
            };
            weir_ranges_add (lacks, &range, &weir_id_zero);
        }
    }
}

static int
told_order (const void *a, const void *b)
{
    const struct weir_told_row *const *x = a;
    const struct weir_told_row *const *y = b;
    return weir_chain_compare (&(*x)->row.chain, &(*y)->row.chain);
}

void
weir_vector_compare (const struct weir_vector *ours, const struct weir_told_row *told,
                     size_t n_told, const struct weir_compare_store *store,
                     struct weir_ranges *lacks, bool *more, struct weir_vector *unknown)
{
    struct compare c = { .store = store };
    const struct weir_told_row **sorted = weir_alloc (n_told * sizeof sorted[0]);
    for (size_t i = 0; i < n_told; i++) {
        sorted[i] = &told[i];
    }
    if (n_told > 1) {
        qsort (sorted, n_told, sizeof sorted[0], told_order);
    }
    *more = false;
    size_t at = 0;
    size_t t = 0;
    while (at < ours->count || t < n_told) {
        int order = at == ours->count ? 1
                    : t == n_told
                        ? -1
                        : weir_chain_compare (&ours->rows[at].chain, &sorted[t]->row.chain);
        const struct weir_chain *chain = order <= 0 ? &ours->rows[at].chain : &sorted[t]->row.chain;
        size_t end = at;
        while (end < ours->count && weir_chain_compare (&ours->rows[end].chain, chain) == 0) {
            end++;
        }
        load_tips (&c, ours, at, end - at);
        at = end;
        while (t < n_told && weir_chain_compare (&sorted[t]->row.chain, chain) == 0) {
            load_told (&c, sorted[t]);
            t++;
        }
        finish_chain (&c, lacks, unknown);
        *more = *more || c.unknown > 0;
    }
    free (c.tips);
    free (sorted);
}

size_t
weir_vector_samples (const struct weir_row *row, const struct weir_compare_store *store,
                     struct weir_sample *samples, size_t max)
{
    size_t n = 0;
    if (row->count < 2) {
        return 0; /* the tip is the first */
    }
    uint64_t tip_seq = row->count - 1;
    uint64_t back = 1;
    while (n < max) {
        /* The last place is the first entry's. */
        uint64_t seq = back > tip_seq || n + 1 == max ? 0 : tip_seq - back;
        samples[n].seq = seq;
        if (store->id_at (store->context, row, seq, &samples[n].id)) {
            n++;
        }
        if (seq == 0) {
            break;
        }
        back = back > tip_seq / 2 ? tip_seq : back * 2;
    }
    return n;
}
