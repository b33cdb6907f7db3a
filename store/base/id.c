/* 32-byte names and their text. Base32 is written here once, for ids, tickets and keys: one
 * text for one value, so decoding refuses whatever encoding would not have produced (but for
 * upper case, which people type). */

#include "store/base/id.h"

#include <string.h>

static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";

const struct weir_id weir_id_zero = { { 0 } };

int
weir_id_compare (const struct weir_id *a, const struct weir_id *b)
{
    return memcmp (a->b, b->b, WEIR_ID_BYTES);
}

bool
weir_id_is_zero (const struct weir_id *a)
{
    return weir_id_equal (a, &weir_id_zero);
}

struct weir_bytes
weir_id_bytes (const struct weir_id *a)
{
    return weir_bytes (a->b, WEIR_ID_BYTES);
}

enum weir_status
weir_id_from_bytes (struct weir_id *id, struct weir_bytes data)
{
    if (data.len != WEIR_ID_BYTES) {
        return WEIR_INVALID_ARGUMENT;
    }
    memcpy (id->b, data.data, WEIR_ID_BYTES);
    return WEIR_OK;
}

/* Writes (len * 8 + 4) / 5 characters. */
static void
encode (char *out, struct weir_bytes data)
{
    unsigned bits = 0;
    unsigned held = 0;
    for (size_t i = 0; i < data.len; i++) {
        held = (held << 8 | data.data[i]) & 0xfff;
        bits += 8;
        while (bits >= 5) {
            bits -= 5;
            *out++ = alphabet[held >> bits & 31];
        }
    }
    if (bits > 0) {
        *out = alphabet[held << (5 - bits) & 31];
    }
}

/* 0..31, or -1. */
static int
digit_of (char c)
{
    if (c >= 'a' && c <= 'z') {
        return c - 'a';
    }
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    return c >= '2' && c <= '7' ? c - '2' + 26 : -1;
}

/* Writes len * 5 / 8 bytes; false for foreign characters, lengths that no bytes have, and
 * trailing bits that are not zero. */
static bool
decode (uint8_t *out, const char *text, size_t len)
{
    unsigned bits = 0;
    unsigned held = 0;
    for (size_t i = 0; i < len; i++) {
        int digit = digit_of (text[i]);
        if (digit < 0) {
            return false;
        }
        held = (held << 5 | (unsigned) digit) & 0xfff;
        bits += 5;
        if (bits >= 8) {
            bits -= 8;
            *out++ = (uint8_t) (held >> bits);
        }
    }
    return bits < 5 && (held & ((1u << bits) - 1)) == 0;
}

struct weir_id_text
weir_id_text (const struct weir_id *id)
{
    struct weir_id_text text = { { 0 } };
    encode (text.s, weir_id_bytes (id));
    return text;
}

enum weir_status
weir_id_parse (struct weir_id *id, const char *text)
{
    struct weir_id made = weir_id_zero;
    if (strlen (text) != WEIR_ID_TEXT || !decode (made.b, text, WEIR_ID_TEXT)) {
        return WEIR_INVALID_ARGUMENT;
    }
    *id = made;
    return WEIR_OK;
}

bool
weir_id_has_prefix (const struct weir_id *id, const char *prefix)
{
    size_t len = strlen (prefix);
    if (len < WEIR_ID_PREFIX_MIN || len > WEIR_ID_TEXT) {
        return false;
    }
    struct weir_id_text text = weir_id_text (id);
    for (size_t i = 0; i < len; i++) {
        if (digit_of (prefix[i]) != digit_of (text.s[i])) {
            return false;
        }
    }
    return true;
}

void
weir_base32_put (struct weir_buf *out, struct weir_bytes data)
{
    size_t len = data.len / 5 * 8 + (data.len % 5 * 8 + 4) / 5;
    weir_buf_reserve (out, len + 1); /* even for nothing there is a place */
    encode ((char *) out->data + out->len, data);
    out->len += len;
}

enum weir_status
weir_base32_get (struct weir_buf *out, struct weir_bytes text)
{
    size_t len = text.len / 8 * 5 + text.len % 8 * 5 / 8;
    weir_buf_reserve (out, len + 1); /* even for nothing there is a place */
    if (!decode (out->data + out->len, (const char *) text.data, text.len)) {
        return WEIR_INVALID_ARGUMENT;
    }
    out->len += len;
    return WEIR_OK;
}
