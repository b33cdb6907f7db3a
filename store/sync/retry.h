#ifndef WEIR_STORE_SYNC_RETRY_H
#define WEIR_STORE_SYNC_RETRY_H

/* The queue of facts "peer P lacks database D since T, because X", and their retry schedule
 * (page 3). Pure; at most one item for a pair, so it cannot grow with load. 2^attempts seconds,
 * at most WEIR_RETRY_DELAY_S_MAX, +-25 % jitter. Transient failures are tried for ever;
 * persistent ones are parked after max_attempts: visible, counted, revived by the peer's next
 * contact or by hand, and cleaned up by age. */

#include "store/base/rand.h"
#include "store/base/id.h"

struct weir_retry;

struct weir_retry_options {
    uint32_t max_attempts;
    uint64_t check_interval_ms; /* due items are looked at this often, and when heard from */
    uint64_t max_queue_age_ms;  /* longest an item is held when nothing else makes it due */
    uint32_t max_queue_size;    /* items that force an exchange at once */
    uint64_t parked_ms;         /* parked items older than this are dropped */
    uint64_t seed;
};

struct weir_retry_item {
    struct weir_id device;
    struct weir_id db;
    uint32_t attempts;
    uint64_t since_ms;
    uint64_t next_ms; /* UINT64_MAX when parked */
    enum weir_status why;
    bool parked;
};

struct weir_retry *weir_retry_new (const struct weir_retry_options *options);
void weir_retry_destroy (struct weir_retry **self_p);
void weir_retry_configure (struct weir_retry *self, const struct weir_retry_options *options);
/* Is this reason persistent (bad address, refused, incompatible, blocked, removed ...)? */
bool weir_retry_is_persistent (enum weir_status why);

/* An exchange with the pair failed: makes or updates the item. Returns it (borrowed), to be
 * persisted. */
const struct weir_retry_item *weir_retry_failed (struct weir_retry *self,
                                                 const struct weir_id *device,
                                                 const struct weir_id *db, enum weir_status why,
                                                 uint64_t now_ms);
/* The pair is in step: forgets the item. True when there was one. */
bool weir_retry_done (struct weir_retry *self, const struct weir_id *device,
                      const struct weir_id *db);
/* The device was heard from: its items, parked ones too, are due now. Returns how many. */
size_t weir_retry_heard (struct weir_retry *self, const struct weir_id *device, uint64_t now_ms);
/* By hand: of one device, or all (NULL). */
size_t weir_retry_revive (struct weir_retry *self, const struct weir_id *device, uint64_t now_ms);
/* Drops one (db NULL: all of the device). Returns how many. */
size_t weir_retry_drop (struct weir_retry *self, const struct weir_id *device,
                        const struct weir_id *db);
/* The next item that is due at `now`, oldest first, and moves it behind its next delay (so that
 * one that is never answered is tried again); NULL when none. Borrowed. */
const struct weir_retry_item *weir_retry_due (struct weir_retry *self, uint64_t now_ms);
/* Items dropped by age since the last call are reported one by one; false when none. */
bool weir_retry_expire (struct weir_retry *self, uint64_t now_ms, struct weir_retry_item *item);
uint64_t weir_retry_next_ms (const struct weir_retry *self);
size_t weir_retry_count (const struct weir_retry *self, size_t *parked);
const struct weir_retry_item *weir_retry_at (const struct weir_retry *self, size_t i);
/* The pair's item, borrowed; NULL when it has none. */
const struct weir_retry_item *weir_retry_find (const struct weir_retry *self,
                                               const struct weir_id *device,
                                               const struct weir_id *db);

/* A row of `_node` "retry/<device>/<db>", and back (WEIR_CORRUPT for bytes that are none). */
void weir_retry_item_put (const struct weir_retry_item *item, struct weir_buf *out);
WEIR_MUST enum weir_status weir_retry_item_get (struct weir_retry_item *item,
                                                struct weir_bytes row);
void weir_retry_load (struct weir_retry *self, const struct weir_retry_item *item);

#endif
