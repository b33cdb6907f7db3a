#ifndef WEIR_ACTORS_RUNTIME_TRIM_H
#define WEIR_ACTORS_RUNTIME_TRIM_H

/* Gives memory back to the system when a process has become quiet. malloc keeps what a burst
 * needed (a hundred peers that join, a clone) in pages between those still in use, for ever. */

#include "store/base/bytes.h"

struct weir_trim {
    uint64_t looked_ms; /* when, */
    uint64_t work;      /* and how much had been done by then */
    bool owed;          /* busy since the last trim */
};

/* Once a turn; `work` counts messages, ever. Looks once in WEIR_TRIM_MS; returns true when it
 * trimmed (some milliseconds): the first quiet look after a busy one. */
bool weir_trim_turn (struct weir_trim *t, uint64_t work, uint64_t now_ms);

#endif
