#ifndef WEIR_STORE_DAG_RUN_PARTS_H
#define WEIR_STORE_DAG_RUN_PARTS_H

/* What run.c and run_build.c share, and nobody else includes. */

#include "store/dag/run.h"

#define WEIR_RUN_FORMAT 1u

/* A run of two or more entries is at most WEIR_RUN_BYTES_MAX, counted with the largest head,
 * the signature, and ten bytes for the first clock: format, kind, author, lane, seq, prev, deps,
 * count. So counted, no cut of a run is larger than the run. */
#define WEIR_RUN_COUNTED_HEAD                                                                      \
    (1u + 1u + 32u + 8u + 10u + 32u + 1u + WEIR_ENTRY_DEPS_MAX * 32u + 2u + WEIR_SIGNATURE_BYTES   \
     + 10u)

size_t weir_run_varint_bytes (uint64_t value);
/* The zigzag form of to - from. */
uint64_t weir_run_clock_delta (uint64_t from_ms, uint64_t to_ms);
/* How many bytes weir_run_put_head appends. */
size_t weir_run_head_bytes (const struct weir_run *run);
void weir_run_put_head (struct weir_buf *out, const struct weir_run *run);
/* Genesis and settings entries are runs of one. */
bool weir_run_kind_is_alone (uint8_t kind);

#endif
