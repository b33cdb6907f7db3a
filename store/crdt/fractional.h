#ifndef WEIR_STORE_CRDT_FRACTIONAL_H
#define WEIR_STORE_CRDT_FRACTIONAL_H

/* Fractional indexes: byte strings that sort (as bytes, a prefix first) where one wants to be
 * among siblings. There is always room in front, behind and between, as none that is made here
 * ends in a zero byte. Keys at either end grow with the logarithm of how many were put there;
 * between two they grow by a byte for every eight put at one place. Pure code, no randomness:
 * two that choose between the same neighbours choose alike. */

#include "store/base/bytes.h"
#include "store/base/limits.h"

#define WEIR_FRACTIONAL_BYTES_MAX WEIR_KEY_BYTES_MAX

/* Appends a key greater than `before` and less than `after` (NULL: no such neighbour). Where
 * there is none (neighbours that are equal, in the wrong order, or made by somebody else without
 * room between; or too long), the key of `before` again, or of `after` when that is all there
 * is. */
void weir_fractional_between (const struct weir_bytes *before, const struct weir_bytes *after,
                              struct weir_buf *out);

#endif
