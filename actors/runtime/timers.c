/* An indexed binary heap of timers (Williams 1964). Owns the array, never the timers. The
 * actors' loop and the table of asks use it. */

#include "actors/runtime/timers.h"

#include <stdlib.h>

void
weir_timers_fini (struct weir_timers *t)
{
    free (t->items);
    *t = (struct weir_timers){ 0 };
}

static void
put (struct weir_timers *t, size_t at, struct weir_timer *timer)
{
    t->items[at] = timer;
    timer->place = at + 1;
}

static void
rise (struct weir_timers *t, size_t at)
{
    struct weir_timer *timer = t->items[at];
    while (at > 0 && t->items[(at - 1) / 2]->at_ms > timer->at_ms) {
        put (t, at, t->items[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    put (t, at, timer);
}

static void
sink (struct weir_timers *t, size_t at)
{
    struct weir_timer *timer = t->items[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= t->count) {
            break;
        }
        if (child + 1 < t->count && t->items[child + 1]->at_ms < t->items[child]->at_ms) {
            child++;
        }
        if (t->items[child]->at_ms >= timer->at_ms) {
            break;
        }
        put (t, at, t->items[child]);
        at = child;
    }
    put (t, at, timer);
}

void
weir_timers_set (struct weir_timers *t, struct weir_timer *timer, uint64_t at_ms)
{
    weir_timers_remove (t, timer);
    weir_grow (&t->items, &t->cap, t->count + 1, sizeof t->items[0]);
    timer->at_ms = at_ms;
    t->items[t->count++] = timer;
    rise (t, t->count - 1);
}

void
weir_timers_remove (struct weir_timers *t, struct weir_timer *timer)
{
    if (timer->place == 0) {
        return;
    }
    size_t at = timer->place - 1;
    struct weir_timer *last = t->items[--t->count];
    timer->place = 0;
    if (last != timer) {
        put (t, at, last);
        rise (t, at);
        sink (t, last->place - 1);
    }
}

struct weir_timer *
weir_timers_due (struct weir_timers *t, uint64_t now_ms)
{
    if (t->count == 0 || t->items[0]->at_ms > now_ms) {
        return NULL;
    }
    struct weir_timer *timer = t->items[0];
    weir_timers_remove (t, timer);
    return timer;
}

uint64_t
weir_timers_wait (const struct weir_timers *t, uint64_t now_ms, uint64_t max)
{
    if (t->count == 0) {
        return max;
    }
    uint64_t at = t->items[0]->at_ms;
    uint64_t wait = at > now_ms ? at - now_ms : 0;
    return wait < max ? wait : max;
}
