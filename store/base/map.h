#ifndef WEIR_STORE_BASE_MAP_H
#define WEIR_STORE_BASE_MAP_H

/* A hash map from byte strings to pointers: open addressing, SipHash-1-3 under a key that the
 * process draws once (weir_map_seed), since keys come from peers. Keys are copied; values are
 * the caller's. Not thread-safe. */

#include "store/base/bytes.h"

struct weir_map;

/* The process-wide hash key, set once at start before any map is made; all zero in tests and
 * the simulator, where order of iteration must not depend on it (and never does: iteration
 * goes in order of insertion, deletions leave no holes that show). */
void weir_map_seed (const uint8_t key[16]);

struct weir_map *weir_map_new (void);
/* Calls destroy (value) for each, when destroy is not NULL. */
void weir_map_destroy (struct weir_map **self_p, void (*destroy) (void *value));
void *weir_map_get (const struct weir_map *self, struct weir_bytes key); /* NULL: absent */
/* Sets; the value must not be NULL. Returns the value that was there, or NULL. */
void *weir_map_put (struct weir_map *self, struct weir_bytes key, void *value);
void *weir_map_remove (struct weir_map *self, struct weir_bytes key); /* the value, or NULL */
size_t weir_map_count (const struct weir_map *self);
/* for (size_t i = 0; weir_map_next (m, &i, &key, &value);): insertion order. Removing the item
 * just given is allowed while iterating; putting new keys is not. */
bool weir_map_next (const struct weir_map *self, size_t *i, struct weir_bytes *key, void **value);

/* SipHash-1-3 under the same process key, for tables of other shapes. */
uint64_t weir_hash64 (struct weir_bytes s);
/* The same service for keys that are cryptographic hashes already (entry ids): one
 * multiplication. Of `hash` the first 8 bytes are looked at. */
uint64_t weir_hash64_id (const uint8_t *hash);

#endif
