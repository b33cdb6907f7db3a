/* Slices, growing buffers and bounded readers: the one place that turns numbers into bytes and
 * back. Everything above reads outside bytes through a weir_reader, so no length is trusted
 * twice. */

#include "store/base/bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VARINT_BYTES_MAX 10

struct weir_bytes
weir_bytes (const void *data, size_t len)
{
    return (struct weir_bytes){ .data = data, .len = len };
}

struct weir_bytes
weir_bytes_str (const char *text)
{
    return weir_bytes (text, text == NULL ? 0 : strlen (text));
}

int
weir_bytes_compare (struct weir_bytes a, struct weir_bytes b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    /* memcmp wants real pointers even for no bytes at all. */
    int order = len == 0 ? 0 : memcmp (a.data, b.data, len);
    if (order != 0) {
        return order;
    }
    return (a.len > b.len) - (a.len < b.len);
}

bool
weir_bytes_equal (struct weir_bytes a, struct weir_bytes b)
{
    return a.len == b.len && weir_bytes_compare (a, b) == 0;
}

size_t
weir_utf8_next (struct weir_bytes text, uint32_t *point)
{
    static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
    if (text.len == 0) {
        return 0;
    }
    uint8_t first = text.data[0];
    if (first < 0x80) {
        *point = first;
        return 1;
    }
    size_t len = first >= 0xf8 ? 0 : first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 0;
    if (len == 0 || len > text.len) {
        return 0;
    }
    uint32_t value = first & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        if ((text.data[i] & 0xc0) != 0x80) {
            return 0;
        }
        value = value << 6 | (text.data[i] & 0x3fu);
    }
    if (value < smallest[len] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff)) {
        return 0;
    }
    *point = value;
    return len;
}

bool
weir_bytes_is_utf8 (struct weir_bytes text)
{
    while (text.len > 0) {
        uint64_t eight = 0;
        uint32_t point = 0;
        size_t n = 0;
        /* Most text is ASCII: eight bytes at a time while it is. */
        if (text.len >= sizeof eight) {
            memcpy (&eight, text.data, sizeof eight);
            n = (eight & 0x8080808080808080u) == 0 ? sizeof eight : 0;
        }
        n = n > 0 ? n : weir_utf8_next (text, &point);
        if (n == 0) {
            return false;
        }
        text.data += n;
        text.len -= n;
    }
    return true;
}

/* ---- memory ---- */

static void *
or_abort (void *p)
{
    if (p == NULL) {
        weir_bug (__FILE__, __LINE__, "out of memory");
    }
    return p;
}

void *
weir_alloc (size_t size)
{
    return or_abort (calloc (1, size == 0 ? 1 : size));
}

void *
weir_realloc (void *p, size_t size)
{
    return or_abort (realloc (p, size == 0 ? 1 : size));
}

char *
weir_strdup (const char *text)
{
    return or_abort (strdup (text));
}

char *
weir_strndup (const char *text, size_t len)
{
    return or_abort (strndup (text, len));
}

void
weir_grow (void *p, size_t *cap, size_t want, size_t size)
{
    if (want <= *cap) {
        return;
    }
    size_t more = *cap < SIZE_MAX / 2 ? *cap * 2 : SIZE_MAX;
    more = more < 8 ? 8 : more;
    more = more < want ? want : more;
    size_t bytes = 0;
    if (__builtin_mul_overflow (more, size, &bytes)) {
        weir_bug (__FILE__, __LINE__, "out of memory");
    }
    /* Copied, since a T ** may not be read through a void **. */
    void *items = NULL;
    memcpy (&items, p, sizeof items);
    items = weir_realloc (items, bytes);
    memcpy (p, &items, sizeof items);
    *cap = more;
}

/* ---- buffers ---- */

void
weir_buf_fini (struct weir_buf *b)
{
    free (b->data);
    *b = (struct weir_buf){ 0 };
}

void
weir_buf_clear (struct weir_buf *b)
{
    b->len = 0;
}

void
weir_buf_reserve (struct weir_buf *b, size_t more)
{
    size_t want = 0;
    if (more <= b->cap - b->len) {
        return;
    }
    if (__builtin_add_overflow (b->len, more, &want)) {
        weir_bug (__FILE__, __LINE__, "out of memory");
    }
    weir_grow (&b->data, &b->cap, want, 1);
}

void
weir_buf_put (struct weir_buf *b, const void *data, size_t len)
{
    if (len == 0) {
        return;
    }
    weir_buf_reserve (b, len);
    memcpy (b->data + b->len, data, len);
    b->len += len;
}

void
weir_buf_put_bytes (struct weir_buf *b, struct weir_bytes s)
{
    weir_buf_put (b, s.data, s.len);
}

void
weir_buf_put_u8 (struct weir_buf *b, uint8_t v)
{
    weir_buf_reserve (b, 1);
    b->data[b->len++] = v;
}

void
weir_buf_put_u16 (struct weir_buf *b, uint16_t v)
{
    uint8_t bytes[2];
    weir_store_u16 (bytes, v);
    weir_buf_put (b, bytes, sizeof bytes);
}

void
weir_buf_put_u32 (struct weir_buf *b, uint32_t v)
{
    uint8_t bytes[4];
    weir_store_u32 (bytes, v);
    weir_buf_put (b, bytes, sizeof bytes);
}

void
weir_buf_put_u64 (struct weir_buf *b, uint64_t v)
{
    uint8_t bytes[8];
    weir_store_u64 (bytes, v);
    weir_buf_put (b, bytes, sizeof bytes);
}

void
weir_buf_put_varint (struct weir_buf *b, uint64_t v)
{
    weir_buf_reserve (b, VARINT_BYTES_MAX);
    while (v >= 0x80) {
        b->data[b->len++] = (uint8_t) (v | 0x80);
        v >>= 7;
    }
    b->data[b->len++] = (uint8_t) v;
}

void
weir_buf_put_zigzag (struct weir_buf *b, int64_t v)
{
    uint64_t sign = v < 0 ? UINT64_MAX : 0;
    weir_buf_put_varint (b, (uint64_t) v << 1 ^ sign);
}

void
weir_buf_put_blob (struct weir_buf *b, struct weir_bytes s)
{
    weir_buf_put_varint (b, s.len);
    weir_buf_put_bytes (b, s);
}

void
weir_buf_printf (struct weir_buf *b, const char *format, ...)
{
    va_list args;
    va_list again;
    va_start (args, format);
    va_copy (again, args);
    int len = vsnprintf (NULL, 0, format, args);
    if (len > 0) {
        weir_buf_reserve (b, (size_t) len + 1);
        (void) vsnprintf ((char *) b->data + b->len, (size_t) len + 1, format, again);
        b->len += (size_t) len;
    }
    va_end (again);
    va_end (args);
}

const char *
weir_buf_str (struct weir_buf *b)
{
    weir_buf_reserve (b, 1);
    b->data[b->len] = 0;
    return (const char *) b->data;
}

struct weir_bytes
weir_buf_bytes (const struct weir_buf *b)
{
    return weir_bytes (b->data, b->len);
}

/* ---- readers ---- */

struct weir_reader
weir_reader (struct weir_bytes s)
{
    return (struct weir_reader){ .data = s.data, .len = s.len };
}

/* The next len bytes, or NULL, and bad from then on. */
static const uint8_t *
take (struct weir_reader *r, size_t len)
{
    if (r->bad || len > r->len - r->pos) {
        r->bad = true;
        return NULL;
    }
    const uint8_t *p = r->data == NULL ? NULL : r->data + r->pos;
    r->pos += len;
    return p;
}

uint8_t
weir_read_u8 (struct weir_reader *r)
{
    const uint8_t *p = take (r, 1);
    return p == NULL ? 0 : *p;
}

uint16_t
weir_read_u16 (struct weir_reader *r)
{
    const uint8_t *p = take (r, 2);
    return p == NULL ? 0 : weir_load_u16 (p);
}

uint32_t
weir_read_u32 (struct weir_reader *r)
{
    const uint8_t *p = take (r, 4);
    return p == NULL ? 0 : weir_load_u32 (p);
}

uint64_t
weir_read_u64 (struct weir_reader *r)
{
    const uint8_t *p = take (r, 8);
    return p == NULL ? 0 : weir_load_u64 (p);
}

uint64_t
weir_read_varint_long (struct weir_reader *r)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < VARINT_BYTES_MAX; i++) {
        uint8_t byte = weir_read_u8 (r);
        bool too_big = i == VARINT_BYTES_MAX - 1 && byte > 1;
        bool not_shortest = i > 0 && byte == 0;
        if (r->bad || too_big || not_shortest) {
            break;
        }
        value |= (uint64_t) (byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            return value;
        }
    }
    r->bad = true;
    return 0;
}

int64_t
weir_read_zigzag (struct weir_reader *r)
{
    uint64_t v = weir_read_varint (r);
    return (int64_t) (v >> 1 ^ (0 - (v & 1)));
}

struct weir_bytes
weir_read_bytes (struct weir_reader *r, size_t len)
{
    const uint8_t *p = take (r, len);
    return weir_bytes (p, p == NULL ? 0 : len);
}

struct weir_bytes
weir_read_blob (struct weir_reader *r, size_t max)
{
    uint64_t len = weir_read_varint (r);
    if (len > max) {
        r->bad = true;
    }
    return weir_read_bytes (r, r->bad ? 0 : (size_t) len);
}

size_t
weir_reader_left (const struct weir_reader *r)
{
    return r->bad ? 0 : r->len - r->pos;
}

bool
weir_reader_done (const struct weir_reader *r)
{
    return !r->bad && r->pos == r->len;
}

/* ---- numbers ---- */

void
weir_store_u16 (uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t) (v >> 8);
    p[1] = (uint8_t) v;
}

void
weir_store_u32 (uint8_t *p, uint32_t v)
{
    weir_store_u16 (p, (uint16_t) (v >> 16));
    weir_store_u16 (p + 2, (uint16_t) v);
}

void
weir_store_u64 (uint8_t *p, uint64_t v)
{
    weir_store_u32 (p, (uint32_t) (v >> 32));
    weir_store_u32 (p + 4, (uint32_t) v);
}

uint16_t
weir_load_u16 (const uint8_t *p)
{
    return (uint16_t) (p[0] << 8 | p[1]);
}

uint32_t
weir_load_u32 (const uint8_t *p)
{
    return (uint32_t) weir_load_u16 (p) << 16 | weir_load_u16 (p + 2);
}

uint64_t
weir_load_u64 (const uint8_t *p)
{
    return (uint64_t) weir_load_u32 (p) << 32 | weir_load_u32 (p + 4);
}
