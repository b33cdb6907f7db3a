/* Owns what the rope asks of UTF-8 that is known to be valid: how long, how wide, and how much of
 * it makes a span. */

#include "store/crdt/rope.h"

#include <string.h>

#define HIGH_BITS 0x8080808080808080u

static inline uint32_t
scalar_bytes (uint8_t first)
{
    return first < 0x80u ? 1 : first < 0xe0u ? 2 : first < 0xf0u ? 3 : 4;
}

uint32_t
weir_rope_text_bytes (const uint8_t *text, uint32_t scalars)
{
    uint32_t bytes = 0;
    while (scalars-- > 0) {
        bytes += scalar_bytes (text[bytes]);
    }
    return bytes;
}

static inline bool
is_ascii_word (const uint8_t *text)
{
    uint64_t word;
    memcpy (&word, text, sizeof word);
    return (word & HIGH_BITS) == 0;
}

uint32_t
weir_rope_text_scalars (const uint8_t *text, size_t len, uint32_t *astral)
{
    uint32_t scalars = 0;
    size_t i = 0;
    *astral = 0;
    while (i < len) {
        if (len - i >= 8 && is_ascii_word (text + i)) {
            i += 8;
            scalars += 8;
            continue;
        }
        uint32_t bytes = scalar_bytes (text[i]);
        *astral += bytes == 4;
        i += bytes;
        scalars++;
    }
    return scalars;
}

void
weir_rope_text_chunk (const uint8_t *text, size_t len, struct rope_span *span)
{
    size_t i = 0;
    while (len - i >= 8 && is_ascii_word (text + i)) {
        i += 8;
    }
    while (i < len && text[i] < 0x80u) {
        i++;
    }
    span->count = (uint32_t) i;
    span->bytes = (uint32_t) i;
    span->astral = 0;
    if (i == len || i >= ROPE_MIXED_MAX) {
        return;
    }
    while (i < len && span->count < ROPE_MIXED_MAX) {
        uint32_t bytes = scalar_bytes (text[i]);
        span->astral = (uint16_t) (span->astral + (bytes == 4));
        span->count++;
        i += bytes;
    }
    span->bytes = (uint32_t) i;
}
