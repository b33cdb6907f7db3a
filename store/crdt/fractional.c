/* Owns the choice of a key between two others. At the ends a key is a counter: as many bytes 0xff
 * (behind) or 0x00 (in front) as the counter was widened, then a number of 1, 2, 4 or 8 bytes;
 * in between it is the shortest fraction near the middle. Trees call it. */

#include "store/crdt/fractional.h"

#include <string.h>

#define WIDTH_MAX 8u
#define FIRST 0x80u

static unsigned
digit (struct weir_bytes s, size_t at)
{
    return at < s.len ? s.data[at] : 0;
}

/* The number behind the `level` bytes that say how wide it is. */
static size_t
width_at (size_t level)
{
    return level < 3 ? (size_t) 1 << level : WIDTH_MAX;
}

static size_t
level_of (struct weir_bytes s, uint8_t end)
{
    size_t level = 0;
    while (level < s.len && s.data[level] == end) {
        level++;
    }
    return level;
}

/* Steps the number by one, away from what it is; a last byte of zero is stepped over. False: it
 * is at its end. */
static bool
step (uint8_t *number, size_t width, bool up)
{
    do {
        size_t i = width;
        bool carries = true;
        while (carries && i > 0) {
            i--;
            number[i] = (uint8_t) (up ? number[i] + 1 : number[i] - 1);
            carries = number[i] == (up ? 0x00 : 0xff);
        }
        if (carries) {
            return false;
        }
    } while (number[width - 1] == 0);
    return number[0] != (up ? 0xff : 0x00);
}

static void
at_end (struct weir_bytes s, bool up, struct weir_buf *out)
{
    uint8_t end = up ? 0xff : 0x00;
    size_t level = level_of (s, end);
    uint8_t number[WIDTH_MAX];
    size_t width = width_at (level);
    for (size_t i = 0; i < width; i++) {
        number[i] = (uint8_t) digit (s, level + i);
    }
    if (!step (number, width, up)) {
        level++;
        width = width_at (level);
        memset (number, up ? 0x00 : 0xff, sizeof number);
        number[width - 1] = up ? 0x01 : 0xff;
    }
    for (size_t i = 0; i < level; i++) {
        weir_buf_put_u8 (out, end);
    }
    weir_buf_put (out, number, width);
}

/* The shortest that is greater than what s has from `at` on. */
static void
half_above (struct weir_bytes s, size_t at, struct weir_buf *out)
{
    while (digit (s, at) == 0xff) {
        weir_buf_put_u8 (out, 0xff);
        at++;
    }
    weir_buf_put_u8 (out, (uint8_t) ((digit (s, at) + 0x101u) / 2));
}

static void
in_between (struct weir_bytes a, struct weir_bytes b, struct weir_buf *out)
{
    size_t at = 0;
    while (at < b.len && digit (a, at) == b.data[at]) {
        weir_buf_put_u8 (out, b.data[at++]);
    }
    unsigned low = digit (a, at);
    unsigned high = digit (b, at);
    if (high > low + 1) {
        weir_buf_put_u8 (out, (uint8_t) ((low + high) / 2));
    } else if (b.len > at + 1) {
        weir_buf_put_u8 (out, (uint8_t) high);
    } else {
        weir_buf_put_u8 (out, (uint8_t) low);
        half_above (a, at + 1, out);
    }
}

void
weir_fractional_between (const struct weir_bytes *before, const struct weir_bytes *after,
                         struct weir_buf *out)
{
    size_t start = out->len;
    if (before != NULL && after != NULL) {
        if (weir_bytes_compare (*before, *after) < 0) {
            in_between (*before, *after, out);
        }
    } else if (before != NULL || after != NULL) {
        at_end (before != NULL ? *before : *after, before != NULL, out);
    } else {
        weir_buf_put_u8 (out, FIRST);
    }
    struct weir_bytes made = weir_bytes (out->data + start, out->len - start);
    if (made.len == 0 || made.len > WEIR_FRACTIONAL_BYTES_MAX
        || (before != NULL && weir_bytes_compare (*before, made) >= 0)
        || (after != NULL && weir_bytes_compare (made, *after) >= 0)) {
        out->len = start;
        weir_buf_put_bytes (out, before != NULL ? *before : *after);
    }
}
