#ifndef WEIR_STORE_BASE_BYTES_H
#define WEIR_STORE_BASE_BYTES_H

/* Bytes: borrowed slices, growing buffers, and bounded readers. Numbers are big-endian, as in
 * every canonical form of weir; varints are unsigned LEB128, shortest form only, at most 10
 * bytes. Out of memory aborts. */

#include <stddef.h>
#include <stdint.h>

#include "store/base/status.h"

/* A borrowed slice: never owns. data may be NULL when len is 0. */
struct weir_bytes {
    const uint8_t *data;
    size_t len;
};

struct weir_bytes weir_bytes (const void *data, size_t len);
struct weir_bytes weir_bytes_str (const char *text); /* without the NUL; NULL gives empty */
bool weir_bytes_equal (struct weir_bytes a, struct weir_bytes b);
/* memcmp order, a shorter prefix first: <0, 0, >0. */
int weir_bytes_compare (struct weir_bytes a, struct weir_bytes b);
/* Valid UTF-8 without surrogates and within U+10FFFF. */
bool weir_bytes_is_utf8 (struct weir_bytes text);
/* The first character: how many bytes it has, and its code point; 0 when the text is empty or
 * does not begin with valid UTF-8 (*point is then untouched). */
size_t weir_utf8_next (struct weir_bytes text, uint32_t *point);

/* malloc family that aborts when memory is out; size 0 gives a unique pointer. */
void *weir_alloc (size_t size); /* zeroed */
void *weir_realloc (void *p, size_t size);
char *weir_strdup (const char *text);
char *weir_strndup (const char *text, size_t len);
/* Grows *p (count items of `size` bytes, capacity *cap) to hold at least `want` items,
 * doubling; new items are not zeroed. */
void weir_grow (void *p, size_t *cap, size_t want, size_t size);

/* A growing buffer; zero-initialised is empty and ready. Owns data. */
struct weir_buf {
    uint8_t *data;
    size_t len;
    size_t cap;
};

void weir_buf_fini (struct weir_buf *b);  /* frees, leaves it empty and ready */
void weir_buf_clear (struct weir_buf *b); /* len 0, keeps memory */
void weir_buf_reserve (struct weir_buf *b, size_t more);
void weir_buf_put (struct weir_buf *b, const void *data, size_t len);
void weir_buf_put_bytes (struct weir_buf *b, struct weir_bytes s);
void weir_buf_put_u8 (struct weir_buf *b, uint8_t v);
void weir_buf_put_u16 (struct weir_buf *b, uint16_t v);
void weir_buf_put_u32 (struct weir_buf *b, uint32_t v);
void weir_buf_put_u64 (struct weir_buf *b, uint64_t v);
void weir_buf_put_varint (struct weir_buf *b, uint64_t v);
void weir_buf_put_zigzag (struct weir_buf *b, int64_t v);         /* signed, zigzag varint */
void weir_buf_put_blob (struct weir_buf *b, struct weir_bytes s); /* varint length, bytes */
void weir_buf_printf (struct weir_buf *b, const char *format, ...) WEIR_PRINTF (2, 3);
/* The content as a NUL-terminated string (the NUL is not counted in len). */
const char *weir_buf_str (struct weir_buf *b);
struct weir_bytes weir_buf_bytes (const struct weir_buf *b);

/* A reader over borrowed bytes. Reads past the end, or a varint that is not shortest, set `bad`
 * and give 0 / empty from then on: check once at the end with weir_reader_done. */
struct weir_reader {
    const uint8_t *data;
    size_t len;
    size_t pos;
    bool bad;
};

struct weir_reader weir_reader (struct weir_bytes s);
uint8_t weir_read_u8 (struct weir_reader *r);
uint16_t weir_read_u16 (struct weir_reader *r);
uint32_t weir_read_u32 (struct weir_reader *r);
uint64_t weir_read_u64 (struct weir_reader *r);
/* Of any length; most are one byte, and imports read very many: those are read inline. */
uint64_t weir_read_varint_long (struct weir_reader *r);
static inline uint64_t
weir_read_varint (struct weir_reader *r)
{
    if (!r->bad && r->pos < r->len && r->data[r->pos] < 0x80) {
        return r->data[r->pos++];
    }
    return weir_read_varint_long (r);
}
int64_t weir_read_zigzag (struct weir_reader *r);
struct weir_bytes weir_read_bytes (struct weir_reader *r, size_t len); /* borrowed */
/* varint length, at most `max` (else bad), then bytes, borrowed. */
struct weir_bytes weir_read_blob (struct weir_reader *r, size_t max);
size_t weir_reader_left (const struct weir_reader *r);
/* Nothing bad and nothing left over. */
bool weir_reader_done (const struct weir_reader *r);

/* Fixed-place big-endian numbers. */
void weir_store_u16 (uint8_t *p, uint16_t v);
void weir_store_u32 (uint8_t *p, uint32_t v);
void weir_store_u64 (uint8_t *p, uint64_t v);
uint16_t weir_load_u16 (const uint8_t *p);
uint32_t weir_load_u32 (const uint8_t *p);
uint64_t weir_load_u64 (const uint8_t *p);

#endif
