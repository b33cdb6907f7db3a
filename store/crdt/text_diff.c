/* Owns the difference of two texts; see the header. A text is cut into tokens, lines or
 * characters, which Myers' algorithm compares by their bytes. */

#include "store/crdt/text_diff.h"

#include "store/base/map.h"

#include <stdlib.h>
#include <string.h>

/* Differences looked for before a stretch is replaced: D * D numbers of memory, N * D steps. */
#define LINE_STEPS_MAX 1000u
#define SCALAR_STEPS_MAX 400u

struct token {
    uint32_t at; /* byte */
    uint32_t len;
    uint64_t hash;
};

struct tokens {
    struct weir_bytes text;
    struct token *items;
    size_t count;
    size_t cap;
};

static void
token_add (struct tokens *t, size_t at, size_t len)
{
    weir_grow (&t->items, &t->cap, t->count + 1, sizeof *t->items);
    t->items[t->count++] = (struct token){
        .at = (uint32_t) at,
        .len = (uint32_t) len,
        .hash = weir_hash64 (weir_bytes (t->text.data + at, len)),
    };
}

static void
cut_lines (struct tokens *t)
{
    size_t at = 0;
    while (at < t->text.len) {
        const uint8_t *end = memchr (t->text.data + at, '\n', t->text.len - at);
        size_t len = end != NULL ? (size_t) (end - t->text.data) + 1 - at : t->text.len - at;
        token_add (t, at, len);
        at += len;
    }
}

static size_t
scalar_bytes (struct weir_bytes text, size_t at)
{
    size_t len = 1;
    while (at + len < text.len && (text.data[at + len] & 0xc0u) == 0x80u) {
        len++;
    }
    return len;
}

static void
cut_scalars (struct tokens *t)
{
    size_t at = 0;
    while (at < t->text.len) {
        size_t len = scalar_bytes (t->text, at);
        token_add (t, at, len);
        at += len;
    }
}

static bool
same (const struct tokens *a, size_t i, const struct tokens *b, size_t k)
{
    const struct token *x = &a->items[i];
    const struct token *y = &b->items[k];
    return x->hash == y->hash && x->len == y->len
           && memcmp (a->text.data + x->at, b->text.data + y->at, x->len) == 0;
}

static uint32_t
scalars (struct weir_bytes text)
{
    uint32_t count = 0;
    for (size_t i = 0; i < text.len; i++) {
        count += (text.data[i] & 0xc0u) != 0x80u ? 1 : 0;
    }
    return count;
}

/* ---- Myers ---- */

/* A stretch of tokens that differs. */
struct hunk {
    size_t a, a_count;
    size_t b, b_count;
};

struct hunks {
    struct hunk *items;
    size_t count;
    size_t cap;
};

static void
hunk_add (struct hunks *h, size_t a, size_t a_count, size_t b, size_t b_count)
{
    weir_grow (&h->items, &h->cap, h->count + 1, sizeof *h->items);
    h->items[h->count++] = (struct hunk){ .a = a, .a_count = a_count, .b = b, .b_count = b_count };
}

/* Walks the recorded furthest points back from the end; hunks come last first. `trace` holds for
 * each d its 2d + 1 points, of diagonals -d .. d. */
static void
walk_back (const int64_t *trace, int64_t d, int64_t n, int64_t m, size_t from, struct hunks *out)
{
    int64_t x = n;
    int64_t y = m;
    struct hunk open = { 0 };
    bool is_open = false;
    while (d > 0) {
        const int64_t *v = trace + (d - 1) * (d - 1); /* 1 + 3 + .. + 2 (d - 1) - 1 */
        int64_t k = x - y;
        bool down = k == -d || (k != d && v[k - 1 + d - 1] < v[k + 1 + d - 1]);
        int64_t before_k = down ? k + 1 : k - 1;
        int64_t before_x = v[before_k + d - 1];
        int64_t before_y = before_x - before_k;
        int64_t start_x = down ? before_x : before_x + 1; /* behind the step */
        if (is_open && start_x < x) {
            hunk_add (out, open.a, open.a_count, open.b, open.b_count);
            is_open = false;
        }
        if (!is_open) {
            open =
                (struct hunk){ .a = from + (size_t) start_x, .b = from + (size_t) (start_x - k) };
            is_open = true;
        }
        open.a = from + (size_t) before_x;
        open.b = from + (size_t) before_y;
        open.a_count += down ? 0 : 1;
        open.b_count += down ? 1 : 0;
        x = before_x;
        y = before_y;
        d--;
    }
    if (is_open) {
        hunk_add (out, open.a, open.a_count, open.b, open.b_count);
    }
}

/* The hunks of the middle, first to last; one hunk when more than `steps_max` differ. */
static void
compare (const struct tokens *a, const struct tokens *b, size_t steps_max, struct hunks *out)
{
    size_t head = 0;
    size_t tail = 0;
    while (head < a->count && head < b->count && same (a, head, b, head)) {
        head++;
    }
    while (tail + head < a->count && tail + head < b->count
           && same (a, a->count - 1 - tail, b, b->count - 1 - tail)) {
        tail++;
    }
    int64_t n = (int64_t) (a->count - head - tail);
    int64_t m = (int64_t) (b->count - head - tail);
    if (n == 0 && m == 0) {
        return;
    }
    int64_t most = n + m < (int64_t) steps_max ? n + m : (int64_t) steps_max;
    int64_t *trace = NULL;
    size_t cap = 0;
    bool found = n == 0 || m == 0;
    for (int64_t d = 0; d <= most && !found; d++) {
        weir_grow (&trace, &cap, (size_t) ((d + 1) * (d + 1)), sizeof *trace);
        int64_t *v = trace + d * d;
        const int64_t *before = d > 0 ? trace + (d - 1) * (d - 1) : NULL;
        for (int64_t k = -d; k <= d; k += 2) {
            int64_t x = 0;
            if (d > 0) {
                bool down = k == -d || (k != d && before[k - 1 + d - 1] < before[k + 1 + d - 1]);
                x = down ? before[k + 1 + d - 1] : before[k - 1 + d - 1] + 1;
            }
            int64_t y = x - k;
            while (x < n && y < m && y >= 0 && same (a, head + (size_t) x, b, head + (size_t) y)) {
                x++;
                y++;
            }
            v[k + d] = x;
            if (x >= n && y >= m) {
                walk_back (trace, d, n, m, head, out);
                found = true;
                break;
            }
        }
    }
    if (out->count == 0) {
        hunk_add (out, head, (size_t) n, head, (size_t) m);
    }
    free (trace);
}

/* ---- two levels ---- */

static struct weir_bytes
part (const struct tokens *t, size_t from, size_t count)
{
    if (count == 0) {
        return weir_bytes (t->text.data, 0);
    }
    const struct token *last = &t->items[from + count - 1];
    return weir_bytes (t->text.data + t->items[from].at, last->at + last->len - t->items[from].at);
}

/* Tells the differences of two stretches; *at moves on by what of b has been made, the rest of
 * the common text being counted by the caller. */
static void
tell_scalars (struct weir_bytes a, struct weir_bytes b, uint32_t at, weir_text_diff_fn *fn,
              void *context)
{
    struct tokens x = { .text = a };
    struct tokens y = { .text = b };
    struct hunks hunks = { 0 };
    cut_scalars (&x);
    cut_scalars (&y);
    compare (&x, &y, SCALAR_STEPS_MAX, &hunks);
    for (size_t i = hunks.count; i-- > 0;) {
        const struct hunk *h = &hunks.items[i];
        fn (context, at + (uint32_t) h->b, (uint32_t) h->a_count, part (&y, h->b, h->b_count));
    }
    free (x.items);
    free (y.items);
    free (hunks.items);
}

void
weir_text_diff (struct weir_bytes a, struct weir_bytes b, weir_text_diff_fn *fn, void *context)
{
    struct tokens x = { .text = a };
    struct tokens y = { .text = b };
    struct hunks hunks = { 0 };
    cut_lines (&x);
    cut_lines (&y);
    compare (&x, &y, LINE_STEPS_MAX, &hunks);
    size_t done = 0; /* lines of b */
    uint32_t at = 0;
    for (size_t i = hunks.count; i-- > 0;) {
        const struct hunk *h = &hunks.items[i];
        at += scalars (part (&y, done, h->b - done));
        tell_scalars (part (&x, h->a, h->a_count), part (&y, h->b, h->b_count), at, fn, context);
        done = h->b;
    }
    free (x.items);
    free (y.items);
    free (hunks.items);
}
