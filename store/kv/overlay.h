#ifndef WEIR_STORE_KV_OVERLAY_H
#define WEIR_STORE_KV_OVERLAY_H

/* Written pairs in memory, in order: what a kv holds beside the disk. A pair is copied once, when
 * it is put in its batch; the batch then becomes part of a table, a skip list (Pugh 1990) that
 * only grows, in which every version of a key stays under the number of its batch. So a reader
 * with a number sees the state after that batch for as long as it holds the table, whatever is
 * written meanwhile. Tables belong to one thread; the pairs of an added batch never change and
 * may be read by another (the committer) until the table is released. */

#include "store/base/bytes.h"

#define WEIR_OVERLAY_HEIGHT_MAX 12
/* What a pair costs in memory beside its bytes, on average. */
#define WEIR_OVERLAY_PAIR_BYTES 48u

struct weir_overlay_pair {
    struct weir_overlay_pair *batch_next; /* in the order of puts and deletes */
    uint64_t number;                      /* of the batch; 0 while it is not in a table */
    uint32_t key_bytes;
    uint32_t value_bytes;
    uint8_t height;
    bool deleted;
    struct weir_overlay_pair *next[]; /* `height` of them, then key, then value */
};

struct weir_bytes weir_overlay_key (const struct weir_overlay_pair *pair);
struct weir_bytes weir_overlay_value (const struct weir_overlay_pair *pair);

struct weir_overlay_chunk;

/* The kv's batch. A key put twice holds its last value. */
struct weir_kv_batch {
    struct weir_kv_batch *table_next; /* batches of one table */
    struct weir_kv_batch *queue_next; /* batches that wait for the committer */
    struct weir_overlay_chunk *chunks;
    struct weir_overlay_pair *first;
    struct weir_overlay_pair *last;
    uint64_t number;
    size_t bytes; /* keys, values and WEIR_OVERLAY_PAIR_BYTES each */
};

/* Appends; the bytes are copied. `number` 0. */
void weir_overlay_batch_put (struct weir_kv_batch *b, struct weir_bytes key,
                             struct weir_bytes value, bool deleted);
void weir_overlay_batch_fini (struct weir_kv_batch *b);

struct weir_overlay_table;

/* Held once. */
struct weir_overlay_table *weir_overlay_table_new (void);
struct weir_overlay_table *weir_overlay_table_hold (struct weir_overlay_table *self);
/* The last one frees it with its batches. NULL-safe; nulls the pointer. */
void weir_overlay_table_release (struct weir_overlay_table **self_p);
/* Takes the batch; its number is greater than those before it (0 is fine for the first). */
void weir_overlay_table_add (struct weir_overlay_table *self, struct weir_kv_batch **batch_p,
                             uint64_t number);
size_t weir_overlay_table_bytes (const struct weir_overlay_table *self);
size_t weir_overlay_table_pairs (const struct weir_overlay_table *self);
/* How many pairs a rebuild would drop once all is synced: older versions, and deletions. */
size_t weir_overlay_table_stale (const struct weir_overlay_table *self);
uint64_t weir_overlay_table_last (const struct weir_overlay_table *self); /* number; 0: empty */

/* The pair that a reader at `number` sees of `key`: NULL when the table has none. */
const struct weir_overlay_pair *weir_overlay_table_get (const struct weir_overlay_table *self,
                                                        struct weir_bytes key, uint64_t number);
/* The first pair visible at `number` with key >= from; the one after `pair`; the last one with
 * key < to; the last one. Deletions are pairs too. NULL: none. */
const struct weir_overlay_pair *weir_overlay_table_from (const struct weir_overlay_table *self,
                                                         struct weir_bytes from, uint64_t number);
const struct weir_overlay_pair *weir_overlay_table_after (const struct weir_overlay_pair *pair,
                                                          uint64_t number);
const struct weir_overlay_pair *weir_overlay_table_before (const struct weir_overlay_table *self,
                                                           struct weir_bytes to, uint64_t number);
const struct weir_overlay_pair *weir_overlay_table_end (const struct weir_overlay_table *self,
                                                        uint64_t number);

#endif
