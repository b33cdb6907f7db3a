/* Goal: whatever bytes come as a message of a reconciliation, reading stays within them, nothing
 * is asked of the store that is not held, what is answered is a message again, and its length
 * keeps the bound. The vector has chains of one entry and of many, and one with two tips. */

#include "store/dag/reconcile.h"

#include <string.h>

#define CHAINS 600u
#define BYTES_MAX 8192u

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static struct weir_vector vector;

static struct weir_id
name (uint64_t chain, uint64_t seq)
{
    struct weir_id id = { { 1 } };
    weir_store_u64 (id.b + 1, chain);
    weir_store_u64 (id.b + 9, seq);
    return id;
}

static struct weir_row
row_of (uint64_t n)
{
    struct weir_row row = { .count = n % 7 == 0 ? 1 : 1 + n % 90 };
    row.chain.author.b[0] = (uint8_t) (n / 3);
    row.chain.author.b[31] = (uint8_t) n;
    row.chain.lane = n == 5 ? 4 : n;
    row.tip = name (n, row.count - 1);
    return row;
}

static bool
find (void *context, const struct weir_id *id, struct weir_chain *chain, uint64_t *seq)
{
    uint64_t n = weir_load_u64 (id->b + 1);
    (void) context;
    if (n >= CHAINS || id->b[0] != 1) {
        return false;
    }
    struct weir_row row = row_of (n);
    *chain = row.chain;
    *seq = weir_load_u64 (id->b + 9);
    struct weir_id same = name (n, *seq);
    return *seq < row.count && weir_id_equal (&same, id);
}

static bool
id_at (void *context, const struct weir_row *tip, uint64_t seq, struct weir_id *id)
{
    struct weir_chain chain;
    uint64_t at;
    weir_assert (find (context, &tip->tip, &chain, &at));
    *id = name (weir_load_u64 (tip->tip.b + 1), seq);
    return seq <= at;
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    struct weir_compare_store store = { NULL, find, id_at };
    struct weir_reconcile r = { &vector, &store, { { 3 } }, BYTES_MAX };
    struct weir_buf out = { 0 };
    struct weir_buf again = { 0 };
    struct weir_reconciled first = { 0 };
    struct weir_reconciled second = { 0 };
    for (uint64_t n = 0; vector.count < CHAINS; n++) {
        struct weir_row row = row_of (n);
        weir_vector_put (&vector, &row);
    }
    if (weir_reconcile_step (&r, weir_bytes (data, size), &out, &first) == WEIR_OK) {
        weir_assert (out.len <= 3 * BYTES_MAX);
        weir_assert (weir_reconcile_step (&r, weir_buf_bytes (&out), &again, &second) == WEIR_OK);
    }
    weir_reconciled_fini (&first);
    weir_reconciled_fini (&second);
    weir_buf_fini (&out);
    weir_buf_fini (&again);
    return 0;
}
