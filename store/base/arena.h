#ifndef WEIR_STORE_BASE_ARENA_H
#define WEIR_STORE_BASE_ARENA_H

/* A capped arena: everything sized by input is allocated from one of these, so a hostile length
 * ends in WEIR_LIMIT and not in swap. Freed as a whole. */

#include "store/base/bytes.h"

struct weir_arena;

struct weir_arena *weir_arena_new (size_t bytes_max);
void weir_arena_destroy (struct weir_arena **self_p);
/* Zeroed, aligned for any type; NULL when the cap would be passed. */
void *weir_arena_alloc (struct weir_arena *self, size_t size);
void *weir_arena_array (struct weir_arena *self, size_t count, size_t size); /* overflow-safe */
/* A copy of the bytes with a NUL behind; NULL when the cap would be passed. */
uint8_t *weir_arena_copy (struct weir_arena *self, struct weir_bytes s);
void weir_arena_reset (struct weir_arena *self); /* frees all, keeps the first block */
size_t weir_arena_used (const struct weir_arena *self);

#endif
