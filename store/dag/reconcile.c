/* Reconciles two entry vectors by ranges: reads a message, compares it with the vector, writes
 * the answer. The repository calls it for a database; what chains lack is left to compare.c. */

#include "store/dag/reconcile.h"

#include <stdlib.h>
#include <string.h>

#define VERSION 1u
#define FANOUT 16u
#define FANOUT_FIRST_MAX 4096u
#define LIST_ROWS 32u /* a range with so few rows is listed */
#define HASH_BYTES 16u
#define CHAIN_BYTES (WEIR_ID_BYTES + 8u)
#define NO_END 255u

enum item { ITEM_SKIP = 0, ITEM_HASH = 1, ITEM_LIST = 2, ITEM_CHAINS = 3 };
enum {
    ROW_SAME_AUTHOR = 1,
    ROW_SAMPLES = 2,
    ROW_WANTED = 4,
    ROW_ABSENT = 8,
    ROW_AGAIN = 16,
    ROW_FLAGS = 31
};

struct bound {
    bool end; /* behind everything */
    uint8_t len;
    uint8_t bytes[CHAIN_BYTES];
};

/* Rows as they were told, in one item. */
struct told {
    struct weir_told_row *rows;
    uint8_t *flags;
    size_t count;
    size_t cap;
    size_t flags_cap;
    struct weir_sample *samples;
    size_t n_samples;
    size_t samples_cap;
};

void
weir_reconciled_fini (struct weir_reconciled *r)
{
    weir_ranges_fini (&r->lacks);
    memset (r, 0, sizeof *r);
}

/* ---- bounds ---- */

static void
chain_bytes (const struct weir_chain *chain, uint8_t bytes[CHAIN_BYTES])
{
    memcpy (bytes, chain->author.b, WEIR_ID_BYTES);
    weir_store_u64 (bytes + WEIR_ID_BYTES, chain->lane);
}

/* Does the chain lie before the bound? */
static bool
before (const struct weir_chain *chain, const struct bound *bound)
{
    uint8_t bytes[CHAIN_BYTES];
    chain_bytes (chain, bytes);
    return bound->end || memcmp (bytes, bound->bytes, CHAIN_BYTES) < 0;
}

/* The first row behind the bound. */
static size_t
place (const struct weir_vector *v, const struct bound *bound)
{
    size_t low = 0;
    size_t high = v->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (before (&v->rows[middle].chain, bound)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The shortest bound between two rows. */
static struct bound
bound_between (const struct weir_row *left, const struct weir_row *right)
{
    struct bound bound = { .end = false };
    uint8_t before_it[CHAIN_BYTES];
    uint8_t behind_it[CHAIN_BYTES];
    chain_bytes (&left->chain, before_it);
    chain_bytes (&right->chain, behind_it);
    uint8_t at = 0;
    while (at + 1u < CHAIN_BYTES && before_it[at] == behind_it[at]) {
        at++;
    }
    bound.len = (uint8_t) (at + 1u);
    memcpy (bound.bytes, behind_it, bound.len);
    return bound;
}

static void
put_bound (struct weir_buf *out, const struct bound *bound)
{
    weir_buf_put_u8 (out, bound->end ? NO_END : bound->len);
    weir_buf_put (out, bound->bytes, bound->end ? 0 : bound->len);
}

static bool
read_bound (struct weir_reader *in, const struct bound *last, struct bound *bound)
{
    uint8_t len = weir_read_u8 (in);
    *bound = (struct bound){ .end = len == NO_END };
    if (last->end || (!bound->end && (len == 0 || len > CHAIN_BYTES))) {
        return false;
    }
    if (!bound->end) {
        struct weir_bytes bytes = weir_read_bytes (in, len);
        bound->len = len;
        if (bytes.len == 0) {
            return false;
        }
        memcpy (bound->bytes, bytes.data, bytes.len);
        return memcmp (last->bytes, bound->bytes, CHAIN_BYTES) < 0;
    }
    return !in->bad;
}

/* ---- ranges out ---- */

static void
hash_rows (const struct weir_reconcile *r, size_t from, size_t to, uint8_t hash[HASH_BYTES])
{
    struct weir_hash h;
    weir_hash_init (&h, WEIR_DOMAIN_RANGE);
    weir_hash_add (&h, weir_id_bytes (&r->key));
    for (size_t i = from; i < to; i++) {
        const struct weir_row *row = &r->ours->rows[i];
        uint8_t bytes[CHAIN_BYTES + 8 + WEIR_ID_BYTES];
        chain_bytes (&row->chain, bytes);
        weir_store_u64 (bytes + CHAIN_BYTES, row->count);
        memcpy (bytes + CHAIN_BYTES + 8, row->tip.b, WEIR_ID_BYTES);
        weir_hash_add (&h, weir_bytes (bytes, sizeof bytes));
    }
    struct weir_id id = weir_hash_end (&h);
    memcpy (hash, id.b, HASH_BYTES);
}

static void
put_row (struct weir_buf *out, const struct weir_row *row, const struct weir_row *last,
         unsigned flags)
{
    bool same = last != NULL && weir_id_equal (&row->chain.author, &last->chain.author);
    weir_buf_put_u8 (out, (uint8_t) (flags | (same ? ROW_SAME_AUTHOR : 0)));
    weir_buf_put (out, row->chain.author.b, same ? 0 : WEIR_ID_BYTES);
    weir_buf_put_u64 (out, row->chain.lane);
    if ((flags & ROW_ABSENT) == 0) {
        weir_buf_put_varint (out, row->count);
        weir_buf_put (out, row->tip.b, WEIR_ID_BYTES);
    }
}

static void
put_list (const struct weir_reconcile *r, size_t from, size_t to, const struct bound *bound,
          struct weir_buf *out)
{
    weir_buf_put_u8 (out, ITEM_LIST);
    put_bound (out, bound);
    weir_buf_put_varint (out, to - from);
    for (size_t i = from; i < to; i++) {
        put_row (out, &r->ours->rows[i], i > from ? &r->ours->rows[i - 1] : NULL, 0);
    }
}

/* Where the chain ends that the row before `at` is of, at `to` at the latest. */
static size_t
chain_end (const struct weir_reconcile *r, size_t at, size_t to)
{
    while (at < to
           && weir_chain_compare (&r->ours->rows[at - 1].chain, &r->ours->rows[at].chain) == 0) {
        at++;
    }
    return at;
}

/* Where the chain begins that the row before `at` is of, at `from` at the earliest. */
static size_t
chain_begin (const struct weir_reconcile *r, size_t from, size_t at)
{
    while (--at > from
           && weir_chain_compare (&r->ours->rows[at - 1].chain, &r->ours->rows[at].chain) == 0) {
    }
    return at;
}

static bool
is_one_chain (const struct weir_reconcile *r, size_t from, size_t to)
{
    return to > from
           && weir_chain_compare (&r->ours->rows[from].chain, &r->ours->rows[to - 1].chain) == 0;
}

/* `bound`: the end of the range that the part is of, which ends at `whole`. */
static bool
put_part (const struct weir_reconcile *r, size_t from, size_t to, size_t whole,
          const struct bound *bound, struct weir_buf *out)
{
    uint8_t hash[HASH_BYTES];
    if (from == to) {
        return true;
    }
    if (out->len + CHAIN_BYTES + HASH_BYTES + 2u > r->bytes_max) {
        return false;
    }
    struct bound part =
        to == whole ? *bound : bound_between (&r->ours->rows[to - 1], &r->ours->rows[to]);
    hash_rows (r, from, to, hash);
    weir_buf_put_u8 (out, ITEM_HASH);
    put_bound (out, &part);
    weir_buf_put (out, hash, HASH_BYTES);
    return true;
}

/* One range: its few rows, or hashes of its parts. A chain is never cut in two; one of many tips is
 * a part of its own, so that each part is less than the whole and the next answer gets further.
 * False: no room. */
static bool
put_range (const struct weir_reconcile *r, size_t from, size_t to, const struct bound *bound,
           size_t fanout, struct weir_buf *out)
{
    size_t n = to - from;
    if (n <= LIST_ROWS || is_one_chain (r, from, to)) {
        if (out->len + n * (CHAIN_BYTES + WEIR_ID_BYTES + 12u) + 64u > r->bytes_max) {
            return false;
        }
        put_list (r, from, to, bound, out);
        return true;
    }
    bool fits = out->len + fanout * (CHAIN_BYTES + HASH_BYTES + 2u) <= r->bytes_max;
    size_t at = from;
    for (size_t i = 1; fits && i <= fanout && at < to; i++) {
        size_t want = from + n * i / fanout;
        if (want <= at) {
            continue;
        }
        size_t end = chain_end (r, want, to);
        size_t begin = end > want ? chain_begin (r, at, want) : at;
        if (begin > at && (end - begin > LIST_ROWS || (at == from && end == to))) {
            fits = put_part (r, at, begin, to, bound, out);
            at = begin;
        }
        fits = fits && put_part (r, at, end, to, bound, out);
        at = end;
    }
    return fits;
}

void
weir_reconcile_begin (const struct weir_reconcile *r, struct weir_buf *out)
{
    struct bound end = { .end = true };
    size_t fanout = FANOUT;
    /* So that the next but one is a list, though the parts are not quite even. */
    while (fanout < FANOUT_FIRST_MAX && fanout * FANOUT * LIST_ROWS / 2 < r->ours->count) {
        fanout *= 2;
    }
    weir_buf_put_u8 (out, VERSION);
    size_t mark = out->len;
    bool fits = put_range (r, 0, r->ours->count, &end, fanout, out);
    if (!fits) {
        out->len = mark;
        fits = put_range (r, 0, r->ours->count, &end, FANOUT, out);
    }
    if (!fits) { /* one chain, of too many tips to be told: maybe they hold few of them */
        out->len = mark;
        (void) put_part (r, 0, r->ours->count, r->ours->count, &end, out);
    }
}

/* ---- rows in ---- */

static void
told_fini (struct told *t)
{
    free (t->rows);
    free (t->flags);
    free (t->samples);
}

static bool
read_samples (struct weir_reader *in, struct told *t, struct weir_told_row *row)
{
    uint64_t n = weir_read_varint (in);
    if (n > WEIR_VECTOR_SAMPLES_MAX) {
        return false;
    }
    weir_grow (&t->samples, &t->samples_cap, t->n_samples + n, sizeof t->samples[0]);
    for (uint64_t i = 0; i < n; i++) {
        struct weir_sample *sample = &t->samples[t->n_samples++];
        sample->seq = weir_read_varint (in);
        if (weir_id_from_bytes (&sample->id, weir_read_bytes (in, WEIR_ID_BYTES)) != WEIR_OK) {
            return false;
        }
    }
    row->n_samples = (size_t) n;
    return true;
}

static bool
read_row (struct weir_reader *in, struct told *t)
{
    const struct weir_told_row *last = t->count > 0 ? &t->rows[t->count - 1] : NULL;
    struct weir_told_row row = { .n_samples = 0 };
    unsigned flags = weir_read_u8 (in);
    bool same = (flags & ROW_SAME_AUTHOR) != 0;
    if (in->bad || flags > ROW_FLAGS || (same && last == NULL)) {
        return false;
    }
    if (same) {
        row.row.chain.author = last->row.chain.author;
    } else if (weir_id_from_bytes (&row.row.chain.author, weir_read_bytes (in, WEIR_ID_BYTES))
               != WEIR_OK) {
        return false;
    }
    row.row.chain.lane = weir_read_u64 (in);
    if ((flags & ROW_ABSENT) == 0) {
        row.row.count = weir_read_varint (in);
        if (row.row.count == 0
            || weir_id_from_bytes (&row.row.tip, weir_read_bytes (in, WEIR_ID_BYTES)) != WEIR_OK) {
            return false;
        }
    }
    if ((flags & ROW_SAMPLES) != 0 && !read_samples (in, t, &row)) {
        return false;
    }
    if (last != NULL && weir_chain_compare (&last->row.chain, &row.row.chain) > 0) {
        return false;
    }
    weir_grow (&t->rows, &t->cap, t->count + 1, sizeof t->rows[0]);
    weir_grow (&t->flags, &t->flags_cap, t->count + 1, sizeof t->flags[0]);
    t->rows[t->count] = row;
    t->flags[t->count++] = (uint8_t) flags;
    return true;
}

/* Reads the rows of an item: the number is believed no further than there are bytes. */
static bool
read_rows (struct weir_reader *in, struct told *t)
{
    uint64_t n = weir_read_varint (in);
    t->count = 0;
    t->n_samples = 0;
    for (uint64_t i = 0; i < n; i++) {
        if (in->bad || !read_row (in, t)) {
            return false;
        }
    }
    struct weir_sample *at = t->samples;
    for (size_t i = 0; i < t->count; i++) {
        t->rows[i].samples = t->rows[i].n_samples > 0 ? at : NULL;
        at = t->rows[i].n_samples > 0 ? at + t->rows[i].n_samples : at;
    }
    return !in->bad;
}

/* ---- what was told of a chain ---- */

static size_t
end_of_chain (const struct told *t, size_t at)
{
    size_t end = at;
    while (end < t->count
           && weir_chain_compare (&t->rows[at].row.chain, &t->rows[end].row.chain) == 0) {
        end++;
    }
    return end;
}

/* Is one of these tips not held here? Only then does the other side need to know what is. */
static bool
tells_news (const struct weir_reconcile *r, const struct told *t, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        struct weir_chain chain;
        uint64_t seq;
        const struct weir_row *row = &t->rows[i].row;
        if (row->count > 0 && !weir_vector_find (r->ours, &row->chain, &row->tip)
            && !r->store->find (r->store->context, &row->tip, &chain, &seq)) {
            return true;
        }
    }
    return false;
}

/* Did a tip of more than one entry come without samples? */
static bool
lacks_samples (const struct told *t, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        if (t->rows[i].row.count > 1 && t->rows[i].n_samples == 0) {
            return true;
        }
    }
    return false;
}

static void
put_samples (const struct weir_reconcile *r, const struct weir_row *row, struct weir_buf *out)
{
    struct weir_sample samples[WEIR_VECTOR_SAMPLES_MAX];
    size_t n = weir_vector_samples (row, r->store, samples, WEIR_VECTOR_SAMPLES_MAX);
    weir_buf_put_varint (out, n);
    for (size_t i = 0; i < n; i++) {
        weir_buf_put_varint (out, samples[i].seq);
        weir_buf_put_bytes (out, weir_id_bytes (&samples[i].id));
    }
}

/* ---- answers ---- */

/* What goes behind the ranges of the answer. */
struct answer {
    struct weir_buf rows;
    size_t n_rows;
};

/* False: the chain has more tips than there is room for; nothing of it is said then. */
static bool
put_chain (const struct weir_reconcile *r, const struct weir_chain *chain, unsigned flags,
           struct answer *a)
{
    size_t n = 0;
    size_t mark = a->rows.len;
    size_t n_before = a->n_rows;
    const struct weir_row *ours = weir_vector_chain (r->ours, chain, &n);
    if (n == 0) {
        struct weir_row absent = { .chain = *chain };
        put_row (&a->rows, &absent, NULL, ROW_ABSENT | (flags & ROW_AGAIN));
        a->n_rows++;
    }
    for (size_t i = 0; i < n; i++) {
        put_row (&a->rows, &ours[i], i > 0 ? &ours[i - 1] : NULL, flags);
        if ((flags & ROW_SAMPLES) != 0) {
            put_samples (r, &ours[i], &a->rows);
        }
        a->n_rows++;
        if (a->rows.len - mark > r->bytes_max / 2) {
            a->rows.len = mark;
            a->n_rows = n_before;
            return false;
        }
    }
    return true;
}

/* `mine`: our rows of the range, or of the chains, that the item is about. */
static void
settle (const struct weir_reconcile *r, const struct weir_vector *mine, const struct told *t,
        bool list, struct answer *a, struct weir_reconciled *result)
{
    struct weir_vector unknown = { 0 };
    bool more = false;
    weir_vector_compare (mine, t->rows, t->count, r->store, &result->lacks, &more, &unknown);
    result->more = result->more || more;
    for (size_t at = 0; at < t->count;) {
        size_t end = end_of_chain (t, at);
        const struct weir_chain *chain = &t->rows[at].row.chain;
        size_t n = 0;
        bool open = weir_vector_chain (&unknown, chain, &n) != NULL;
        bool wanted = open && lacks_samples (t, at, end);
        bool asked = (t->flags[at] & ROW_WANTED) != 0;
        bool again = (t->flags[at] & ROW_AGAIN) != 0;
        unsigned flags = (open || asked ? ROW_SAMPLES : 0u) | (wanted ? ROW_WANTED : 0u)
                         | (list ? 0u : ROW_AGAIN);
        /* Open, and not yet said: they may have taken our tip for an extension of theirs. */
        if (list ? tells_news (r, t, at, end) : wanted || asked || (open && !again)) {
            result->chains++;
            if (a->rows.len > r->bytes_max / 2 || !put_chain (r, chain, flags, a)) {
                result->cut = true;
            } else {
                result->answer = result->answer || wanted;
            }
        }
        at = end;
    }
    weir_vector_fini (&unknown);
}

static bool
take_list (const struct weir_reconcile *r, struct weir_reader *in, const struct bound *last,
           const struct bound *bound, struct told *t, struct answer *a,
           struct weir_reconciled *result)
{
    if (!read_rows (in, t)) {
        return false;
    }
    size_t from = place (r->ours, last);
    size_t to = place (r->ours, bound);
    if (t->count > 0
        && (before (&t->rows[0].row.chain, last)
            || !before (&t->rows[t->count - 1].row.chain, bound))) {
        return false;
    }
    struct weir_vector mine = { .count = to - from };
    mine.rows = to > from ? r->ours->rows + from : NULL;
    settle (r, &mine, t, true, a, result);
    return true;
}

static bool
take_chains (const struct weir_reconcile *r, struct weir_reader *in, struct told *t,
             struct answer *a, struct weir_reconciled *result)
{
    if (!read_rows (in, t)) {
        return false;
    }
    struct weir_vector mine = { 0 };
    for (size_t at = 0; at < t->count; at = end_of_chain (t, at)) {
        size_t n = 0;
        const struct weir_row *rows = weir_vector_chain (r->ours, &t->rows[at].row.chain, &n);
        weir_grow (&mine.rows, &mine.cap, mine.count + n, sizeof mine.rows[0]);
        if (n > 0) {
            memcpy (mine.rows + mine.count, rows, n * sizeof rows[0]);
            mine.count += n;
        }
    }
    settle (r, &mine, t, false, a, result);
    weir_vector_fini (&mine);
    return true;
}

/* The ranges of an answer. */
struct saying {
    struct bound to; /* up to it something was said */
    bool full;
};

/* A range whose hash was told: nothing when it is ours, else what ours is made of. A chain of more
 * tips than fit is skipped, and the ranges behind it are not: else who forks his chain often enough
 * would keep all that is behind it from being found, each time. */
static bool
take_hash (const struct weir_reconcile *r, struct weir_reader *in, const struct bound *last,
           const struct bound *bound, struct saying *said, struct weir_buf *out,
           struct weir_reconciled *result)
{
    struct weir_bytes told = weir_read_bytes (in, HASH_BYTES);
    uint8_t hash[HASH_BYTES];
    if (told.len != HASH_BYTES) {
        return false;
    }
    size_t from = place (r->ours, last);
    size_t to = place (r->ours, bound);
    hash_rows (r, from, to, hash);
    if (memcmp (hash, told.data, HASH_BYTES) == 0 || said->full) {
        return true;
    }
    size_t mark = out->len;
    if (memcmp (said->to.bytes, last->bytes, CHAIN_BYTES) != 0) {
        weir_buf_put_u8 (out, ITEM_SKIP);
        put_bound (out, last);
    }
    if (!put_range (r, from, to, bound, FANOUT, out)) {
        out->len = mark;
        result->cut = true;
        said->full = !is_one_chain (r, from, to);
        return true;
    }
    result->answer = result->answer || to > from; /* an empty list says it all */
    said->to = *bound;
    return true;
}

static void
put_answer (struct answer *a, struct weir_buf *out)
{
    if (a->n_rows > 0) {
        weir_buf_put_u8 (out, ITEM_CHAINS);
        weir_buf_put_varint (out, a->n_rows);
        weir_buf_put_bytes (out, weir_buf_bytes (&a->rows));
    }
    weir_buf_fini (&a->rows);
}

enum weir_status
weir_reconcile_step (const struct weir_reconcile *r, struct weir_bytes message,
                     struct weir_buf *out, struct weir_reconciled *result)
{
    struct weir_reader in = weir_reader (message);
    struct bound last = { .end = false };
    struct saying said = { .full = false };
    struct bound bound = { .end = false };
    struct told told = { 0 };
    struct answer listed = { .n_rows = 0 };
    struct answer named = { .n_rows = 0 };
    bool good = weir_read_u8 (&in) == VERSION;
    bool chains = false; /* no range comes behind them */
    weir_buf_put_u8 (out, VERSION);
    while (good && weir_reader_left (&in) > 0) {
        uint8_t item = weir_read_u8 (&in);
        good = item <= ITEM_CHAINS && (!chains || item == ITEM_CHAINS);
        chains = item == ITEM_CHAINS;
        if (good && !chains) {
            good = read_bound (&in, &last, &bound);
        }
        if (good && item == ITEM_HASH) {
            good = take_hash (r, &in, &last, &bound, &said, out, result);
        } else if (good && item == ITEM_LIST) {
            good = take_list (r, &in, &last, &bound, &told, &listed, result);
        } else if (good && chains) {
            good = take_chains (r, &in, &told, &named, result);
        }
        last = bound;
    }
    good = good && weir_reader_done (&in);
    put_answer (&listed, out);
    put_answer (&named, out);
    told_fini (&told);
    return good ? WEIR_OK : WEIR_BAD_MESSAGE;
}
