#ifndef WEIR_STORE_DAG_RUN_SCAN_H
#define WEIR_STORE_DAG_RUN_SCAN_H

/* Reading and joining runs that were decoded and verified before, and lie in a store of our own:
 * without hashing, so that reading costs what the bytes cost. Never for bytes from outside.
 * Pure code. */

#include "store/dag/run.h"

/* As weir_run_decode for one whole run, but the entries' ids are zero. WEIR_BAD_RUN for bytes
 * that are no run (a store that is corrupt), WEIR_LIMIT (arena). */
WEIR_MUST enum weir_status weir_run_scan (struct weir_run *run, struct weir_arena *arena,
                                          struct weir_bytes bytes);

/* Collects runs that follow each other in one chain, and joins them in one go. */
struct weir_run_joiner {
    struct weir_run head; /* the first, `count` summed; entries unused */
    size_t counted;       /* bytes as the bounds of a run count them */
    uint64_t clock_ms;    /* of the last entry */
    struct weir_buf records;
};
void weir_run_joiner_fini (struct weir_run_joiner *j);
/* Adds a scanned run: false when it cannot follow what is there (kind, deps, bounds; that it is
 * the next of the chain is the caller's word). An empty joiner takes any. */
bool weir_run_joiner_add (struct weir_run_joiner *j, const struct weir_run *run);
bool weir_run_joiner_is_empty (const struct weir_run_joiner *j);
/* Appends what was collected as one run, under the last one's signature, and empties it. */
void weir_run_joiner_close (struct weir_run_joiner *j, struct weir_buf *out);

#endif
