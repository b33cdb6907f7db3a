#ifndef WEIR_STORE_CRDT_TEXT_DIFF_H
#define WEIR_STORE_CRDT_TEXT_DIFF_H

/* The difference of two texts, for edits that say only what a text shall become. Myers' greedy
 * algorithm ("An O(ND) difference algorithm and its variations", 1986), first over lines, then
 * over the characters of lines that changed; where more than a bounded number of differences
 * stands between, the stretch is replaced as a whole. Pure code. */

#include "store/base/bytes.h"

/* Calls fn for each stretch that differs, from the front; `at` counts scalars of the text as it
 * is after the stretches told before: deleting `removed` there and inserting `inserted` (a part
 * of `b`) one after the other makes a into b. Both are UTF-8. */
typedef void (weir_text_diff_fn) (void *context, uint32_t at, uint32_t removed,
                                  struct weir_bytes inserted);
void weir_text_diff (struct weir_bytes a, struct weir_bytes b, weir_text_diff_fn *fn,
                     void *context);

#endif
