/* Heads and hints, to and from bytes, and what follows from a hint. The repository fills and reads
 * them (repo_ladder.c). */

#include "store/dag/outline.h"

#include "store/base/limits.h"

#include <stdlib.h>
#include <string.h>

enum { FLAG_KNOWN = 1, FLAG_HINT = 2, FLAG_ANSWER = 4, FLAGS = 7 };

void
weir_outline_fini (struct weir_outline *h)
{
    free (h->heads);
    weir_vector_fini (&h->rows);
    memset (h, 0, sizeof *h);
}

void
weir_outline_put (const struct weir_outline *h, struct weir_buf *out)
{
    bool hint = !weir_id_is_zero (&h->hint);
    weir_buf_put_u8 (out, (uint8_t) ((h->known ? FLAG_KNOWN : 0) | (hint ? FLAG_HINT : 0)
                                     | (h->answer ? FLAG_ANSWER : 0)));
    weir_buf_put_bytes (out, weir_id_bytes (&h->digest));
    weir_buf_put_varint (out, h->chains);
    weir_buf_put_varint (out, h->n_heads);
    for (size_t i = 0; i < h->n_heads; i++) {
        weir_buf_put_bytes (out, weir_id_bytes (&h->heads[i]));
    }
    if (!hint) {
        return;
    }
    weir_buf_put_bytes (out, weir_id_bytes (&h->hint));
    weir_buf_put_varint (out, h->rows.count);
    for (size_t i = 0; i < h->rows.count; i++) {
        const struct weir_row *row = &h->rows.rows[i];
        weir_buf_put_bytes (out, weir_id_bytes (&row->chain.author));
        weir_buf_put_u64 (out, row->chain.lane);
        weir_buf_put_varint (out, row->count);
        weir_buf_put_bytes (out, weir_id_bytes (&row->tip));
    }
}

static bool
read_id (struct weir_reader *r, struct weir_id *id)
{
    return weir_id_from_bytes (id, weir_read_bytes (r, WEIR_ID_BYTES)) == WEIR_OK;
}

static bool
read_hint (struct weir_reader *r, struct weir_outline *h)
{
    bool good = read_id (r, &h->hint) && !weir_id_is_zero (&h->hint);
    uint64_t n = weir_read_varint (r);
    good = good && n <= WEIR_HINT_ROWS_MAX;
    for (uint64_t i = 0; good && i < n; i++) {
        struct weir_row row;
        good = read_id (r, &row.chain.author);
        row.chain.lane = weir_read_u64 (r);
        row.count = weir_read_varint (r);
        good = good && read_id (r, &row.tip) && row.count > 0;
        if (good) {
            weir_vector_put (&h->rows, &row);
        }
    }
    return good;
}

enum weir_status
weir_outline_read (struct weir_outline *h, struct weir_bytes bytes)
{
    struct weir_reader r = weir_reader (bytes);
    memset (h, 0, sizeof *h);
    uint8_t flags = weir_read_u8 (&r);
    bool good = flags <= FLAGS && read_id (&r, &h->digest);
    h->known = (flags & FLAG_KNOWN) != 0;
    h->answer = (flags & FLAG_ANSWER) != 0;
    h->chains = weir_read_varint (&r);
    uint64_t n = weir_read_varint (&r);
    good = good && n <= WEIR_HEADS_MAX;
    if (good) {
        h->heads = weir_alloc ((size_t) n * sizeof h->heads[0]);
    }
    for (; good && h->n_heads < n; h->n_heads++) {
        good = read_id (&r, &h->heads[h->n_heads]);
        if (!good) {
            break;
        }
    }
    if (good && (flags & FLAG_HINT) != 0) {
        good = read_hint (&r, h);
    }
    if (!good || !weir_reader_done (&r)) {
        weir_outline_fini (h);
        return WEIR_BAD_MESSAGE;
    }
    return WEIR_OK;
}

enum weir_status
weir_outline_vector (const struct weir_outline *h, const struct weir_vector *then,
                     struct weir_vector *theirs)
{
    size_t changed = 0;
    weir_vector_clear (theirs);
    weir_grow (&theirs->rows, &theirs->cap, then->count + h->rows.count, sizeof theirs->rows[0]);
    for (size_t i = 0; i < then->count || changed < h->rows.count;) {
        int order = i == then->count ? 1
                    : changed == h->rows.count
                        ? -1
                        : weir_chain_compare (&then->rows[i].chain, &h->rows.rows[changed].chain);
        if (order < 0) {
            theirs->rows[theirs->count++] = then->rows[i++];
            continue;
        }
        const struct weir_chain *chain = &h->rows.rows[changed].chain;
        while (i < then->count && weir_chain_compare (&then->rows[i].chain, chain) == 0) {
            i++;
        }
        for (; changed < h->rows.count
               && weir_chain_compare (&h->rows.rows[changed].chain, chain) == 0;
             changed++) {
            theirs->rows[theirs->count++] = h->rows.rows[changed];
        }
    }
    struct weir_id digest = weir_vector_digest (theirs);
    return weir_id_equal (&digest, &h->digest) ? WEIR_OK : WEIR_GAP;
}

static size_t
chain_end (const struct weir_vector *v, size_t at)
{
    size_t end = at;
    while (end < v->count && weir_chain_compare (&v->rows[at].chain, &v->rows[end].chain) == 0) {
        end++;
    }
    return end;
}

static bool
same_rows (const struct weir_row *a, const struct weir_row *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (a[i].count != b[i].count || !weir_id_equal (&a[i].tip, &b[i].tip)) {
            return false;
        }
    }
    return true;
}

static void
add_rows (struct weir_vector *to, const struct weir_row *rows, size_t n)
{
    weir_grow (&to->rows, &to->cap, to->count + n, sizeof to->rows[0]);
    if (n > 0) {
        memcpy (to->rows + to->count, rows, n * sizeof rows[0]);
        to->count += n;
    }
}

void
weir_vector_differing (const struct weir_vector *a, const struct weir_vector *b,
                       struct weir_vector *of_a, struct weir_vector *of_b)
{
    size_t i = 0;
    size_t k = 0;
    while (i < a->count || k < b->count) {
        int order = i == a->count   ? 1
                    : k == b->count ? -1
                                    : weir_chain_compare (&a->rows[i].chain, &b->rows[k].chain);
        size_t end_a = order <= 0 ? chain_end (a, i) : i;
        size_t end_b = order >= 0 ? chain_end (b, k) : k;
        if (order != 0 || end_a - i != end_b - k
            || !same_rows (&a->rows[i], &b->rows[k], end_a - i)) {
            add_rows (of_a, a->rows + i, end_a - i);
            add_rows (of_b, b->rows + k, end_b - k);
        }
        i = end_a;
        k = end_b;
    }
}
