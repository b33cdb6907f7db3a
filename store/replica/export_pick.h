#ifndef WEIR_STORE_REPLICA_EXPORT_PICK_H
#define WEIR_STORE_REPLICA_EXPORT_PICK_H

/* What export_replica.c and export_root.c share, and nobody else includes. */

#include "store/replica/replica_parts.h"

/* What an export is put together in. */
struct weir_picker {
    struct weir_replica *replica;
    struct weir_numbers runs;    /* of the log, in order */
    struct weir_numbers entries; /* in them and known here, ascending */
    struct weir_bytes *bytes;    /* of the runs */
    uint32_t *cut_entries;       /* how many of each run's first ones are left out */
    struct weir_arena *arena;    /* of runs that were cut */
    struct weir_bytes *pending;
    size_t n_pending;
    struct weir_bytes *settings;
    size_t n_settings;
    struct weir_export_inert *inert;
    size_t n_inert;
    struct weir_op_vector asked;
    struct weir_op_vector asked_to;
    struct weir_op_vector start;
    struct weir_op_vector end;
    struct weir_export_root root;
    struct weir_buf root_state;
    struct weir_buf state;
    struct weir_export_parts parts;
};

/* ---- export_replica.c ---- */

/* The runs that hold what the version lacks. */
void weir_pick_lacking (struct weir_picker *p, const uint32_t *version, size_t count);
void weir_pick_bytes (struct weir_picker *p);
void weir_pick_push (struct weir_op_vector *v, const struct weir_op_row *row);
void weir_pick_sort (struct weir_op_vector *v);

/* ---- export_root.c ---- */

/* Picks a root at `heads` (NULL: at the newest), or before where something is concurrent with
 * that, and what comes behind it. WEIR_PENDING, WEIR_READ_ONLY, WEIR_NOT_FOUND, WEIR_STALE_ROOT. */
WEIR_MUST enum weir_status weir_pick_root (struct weir_picker *p, const struct weir_heads *heads,
                                           struct weir_error *e);

#endif
