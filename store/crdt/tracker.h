#ifndef WEIR_STORE_CRDT_TRACKER_H
#define WEIR_STORE_CRDT_TRACKER_H

/* The tracker of Eg-walker (Gentle and Kleppmann, EuroSys 2025): the part of a sequence that
 * concurrent events touch, seen at two versions at once: the one *at hand*, which retreat and
 * advance move, and the *end*, where everything applied so far has happened. It turns positions
 * of the first into positions of the second. Siblings stand in Fugue's order: equal positions by
 * place, the smaller to the left; right parents are compared only among items with the same
 * left origin. Pure code; knows neither content nor graph: the caller (seq.c) walks versions.
 *
 * Events are numbered by the caller, one for each element inserted or deleted, below
 * WEIR_TRACKER_BASE; those applied together have consecutive numbers. What was there before, at
 * the base version, is one placeholder, whose elements count from WEIR_TRACKER_BASE on. It is
 * below WEIR_TRACKER_BASE long; longer than what was there does no harm but to the lengths.
 *
 * Shape: an order-statistic B-tree of spans {event, length, left and right origin, state: not
 * yet inserted / inserted / deleted n times, ever deleted}; each node holds the widths of both
 * versions and of the placeholder below it; an index leads from an event to its span. */

#include "store/base/bytes.h"

#define WEIR_TRACKER_BASE 0x80000000u

struct weir_tracker;

/* Where concurrent siblings stand: <0 when event a goes to the left of b (different entries). */
typedef int (weir_tracker_compare_fn) (void *context, uint32_t a, uint32_t b);

struct weir_tracker *weir_tracker_new (uint32_t base_length, weir_tracker_compare_fn *compare,
                                       void *context);
void weir_tracker_destroy (struct weir_tracker **self_p);
size_t weir_tracker_memory_bytes (const struct weir_tracker *self);

/* How many concurrent siblings insertions have passed so far: their cost beyond their number. */
uint64_t weir_tracker_steps (const struct weir_tracker *self);

/* Elements at hand, and at the end. */
uint32_t weir_tracker_length (const struct weir_tracker *self);
uint32_t weir_tracker_end_length (const struct weir_tracker *self);

/* Inserts events event .. event + count - 1 at position `at` of the version at hand (at most its
 * length: the caller has checked); they are at hand then. Gives the position at the end. The
 * events must be new. */
void weir_tracker_insert (struct weir_tracker *self, uint32_t event, uint32_t count, uint32_t at,
                          uint32_t *end_at);
/* Deletes `count` elements from `at` on of the version at hand (within its length): event + i
 * deletes the i-th. What was still there at the end is told piece by piece, as deletions to be
 * done one after the other: `fn` may be NULL. */
typedef void (weir_tracker_delete_fn) (void *context, uint32_t end_at, uint32_t count);
void weir_tracker_delete (struct weir_tracker *self, uint32_t event, uint32_t count, uint32_t at,
                          weir_tracker_delete_fn *fn, void *context);
/* Takes applied events back from the version at hand, or brings them again; the end stays.
 * Events of an entry are taken back as a whole, in any order. */
void weir_tracker_retreat (struct weir_tracker *self, uint32_t event, uint32_t count);
void weir_tracker_advance (struct weir_tracker *self, uint32_t event, uint32_t count);

/* What stands at a position of the end: its event (or placeholder element); `at` within the
 * length. */
uint32_t weir_tracker_at (const struct weir_tracker *self, uint32_t end_at);
/* Where an inserted event (or placeholder element) stands at the end, or, when it is deleted
 * there, where it would. False: it is deleted. The event must be known. */
bool weir_tracker_find (const struct weir_tracker *self, uint32_t event, uint32_t *end_at);
/* The spans of the end in order: *i starts at 0. Consecutive events as long as they go. */
bool weir_tracker_next (const struct weir_tracker *self, uint64_t *i, uint32_t *event,
                        uint32_t *count);

#endif
