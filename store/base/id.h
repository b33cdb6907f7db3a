#ifndef WEIR_STORE_BASE_ID_H
#define WEIR_STORE_BASE_ID_H

/* 32-byte names: entries, databases (their genesis), devices (their Ed25519 public key), link
 * keys, digests. They compare as bytes and print as lowercase base32 (RFC 4648, no padding). */

#include "store/base/bytes.h"

#include <string.h>

#define WEIR_ID_BYTES 32
#define WEIR_ID_TEXT 52      /* characters, without NUL */
#define WEIR_ID_PREFIX_MIN 8 /* what people may type of it */

struct weir_id {
    uint8_t b[WEIR_ID_BYTES];
};

extern const struct weir_id weir_id_zero;

int weir_id_compare (const struct weir_id *a, const struct weir_id *b);
/* Inline: who looks ids up does little else. */
static inline bool
weir_id_equal (const struct weir_id *a, const struct weir_id *b)
{
    uint64_t x[WEIR_ID_BYTES / 8];
    uint64_t y[WEIR_ID_BYTES / 8];
    memcpy (x, a->b, WEIR_ID_BYTES);
    memcpy (y, b->b, WEIR_ID_BYTES);
    return ((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3])) == 0;
}
bool weir_id_is_zero (const struct weir_id *a);
struct weir_bytes weir_id_bytes (const struct weir_id *a);
/* `data` must hold exactly 32 bytes, else WEIR_INVALID_ARGUMENT. */
WEIR_MUST enum weir_status weir_id_from_bytes (struct weir_id *id, struct weir_bytes data);

struct weir_id_text {
    char s[WEIR_ID_TEXT + 1];
};
/* By value, so that it can stand in a printf: weir_id_text (&id).s */
struct weir_id_text weir_id_text (const struct weir_id *id);
/* Exactly 52 characters with the unused trailing bits zero. Upper case is accepted. */
WEIR_MUST enum weir_status weir_id_parse (struct weir_id *id, const char *text);
/* Does the text form begin with `prefix` (8 or more valid characters, any case)? */
bool weir_id_has_prefix (const struct weir_id *id, const char *prefix);

/* General base32, lowercase, no padding (tickets, keys). Decoding appends to *out; it refuses
 * foreign characters, impossible lengths and non-zero trailing bits with
 * WEIR_INVALID_ARGUMENT. */
void weir_base32_put (struct weir_buf *out, struct weir_bytes data);
WEIR_MUST enum weir_status weir_base32_get (struct weir_buf *out, struct weir_bytes text);

#endif
