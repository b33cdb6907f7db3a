/* When to give memory back; see trim.h. */

#include "actors/runtime/trim.h"

#include <malloc.h>

#include "store/base/limits.h"

#define BUSY_MESSAGES 64u /* in one look: more than heartbeats and digests make */

bool
weir_trim_turn (struct weir_trim *t, uint64_t work, uint64_t now_ms)
{
    if (now_ms - t->looked_ms < WEIR_TRIM_MS) {
        return false;
    }
    bool busy = work - t->work > BUSY_MESSAGES;
    bool trim = t->owed && !busy;
    t->looked_ms = now_ms;
    t->work = work;
    t->owed = busy || (t->owed && !trim);
    if (trim) {
        (void) malloc_trim (0);
    }
    return trim;
}
