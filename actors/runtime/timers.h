#ifndef WEIR_ACTORS_RUNTIME_TIMERS_H
#define WEIR_ACTORS_RUNTIME_TIMERS_H

/* Timers of one process: a binary heap that knows where each timer stands, so that the many that
 * are cancelled (every answered request) cost O(log n). */

#include "store/base/bytes.h"

struct weir_timer {
    uint64_t at_ms;
    size_t place; /* in the heap + 1; 0: not in it */
};

struct weir_timers {
    struct weir_timer **items;
    size_t count;
    size_t cap;
};

void weir_timers_fini (struct weir_timers *t); /* the timers are the caller's */
/* Adds, or moves one that is there already. The timer must stay where it is in memory. */
void weir_timers_set (struct weir_timers *t, struct weir_timer *timer, uint64_t at_ms);
void weir_timers_remove (struct weir_timers *t, struct weir_timer *timer); /* absent is fine */
/* The earliest when it is due, taken out; NULL when none is. */
struct weir_timer *weir_timers_due (struct weir_timers *t, uint64_t now_ms);
/* Milliseconds to the earliest, 0 when due, at most `max`. */
uint64_t weir_timers_wait (const struct weir_timers *t, uint64_t now_ms, uint64_t max);

#endif
