#ifndef WEIR_STORE_DAG_RUN_H
#define WEIR_STORE_DAG_RUN_H

/* Runs: consecutive entries of one chain closed by the author's signature on the last. The unit
 * of storage, wire and verification. Pure code.
 *
 * Bytes: format u8 (1) | kind u8 | author 32 | lane u64 | seq varint | prev 32 (absent when seq
 * is 0) | n_deps u8, deps 32 each | count varint | for each entry: ops varint, clock zigzag
 * (milliseconds since the entry before; the first since 0), payload length varint, payload |
 * signature 64. The database is implied by where the run lies. */

#include "store/base/arena.h"
#include "store/crypto/sign.h"
#include "store/dag/entry.h"

struct weir_run_entry {
    struct weir_id id;
    uint32_t ops;
    uint64_t clock_ms;
    struct weir_bytes payload; /* borrowed from the run's bytes */
};

struct weir_run {
    uint8_t kind;
    struct weir_chain chain;
    uint64_t seq;        /* of the first entry */
    struct weir_id prev; /* of the first entry; zero when seq is 0 */
    uint16_t n_deps;     /* of the first entry */
    struct weir_id deps[WEIR_ENTRY_DEPS_MAX];
    uint32_t count;
    struct weir_run_entry *entries; /* in the arena */
    struct weir_signature signature;
    struct weir_bytes bytes; /* the whole run as it lay there, borrowed */
};

/* Decodes one run from the front of `bytes`, which must outlive it; checks shape and bounds
 * (64 KiB or one larger entry, 4,096 entries, settings and genesis alone, deps on the first
 * only) and computes every id. *used is the bytes taken. A genesis run names itself: then
 * `database` must equal its id. WEIR_PENDING when `bytes` is only the beginning of a run that
 * may be good; WEIR_BAD_RUN, WEIR_NEEDS_UPGRADE, WEIR_LIMIT (arena). No signature check. */
WEIR_MUST enum weir_status weir_run_decode (struct weir_run *run, struct weir_arena *arena,
                                            const struct weir_id *database, struct weir_bytes bytes,
                                            size_t *used, struct weir_error *e);
/* How many bytes the run at the front of `bytes` takes, by its shape alone: nothing is hashed.
 * WEIR_PENDING, WEIR_BAD_RUN and WEIR_NEEDS_UPGRADE as above. Cuts a stream into runs. */
WEIR_MUST enum weir_status weir_run_length (struct weir_bytes bytes, size_t *used);
/* The one signature. WEIR_OK or WEIR_BAD_SIGNATURE. */
WEIR_MUST enum weir_status weir_run_verify (const struct weir_run *run);
const struct weir_id *weir_run_tip (const struct weir_run *run); /* id of the last entry */

/* Builds a run: begin, add 1..n, close. Owns nothing but its buffers. */
struct weir_run_builder {
    struct weir_id database;
    struct weir_run head; /* entries unused */
    struct weir_buf records;
    struct weir_id tip; /* of the last entry added */
    uint64_t clock_ms;
    uint64_t next_seq;
};
void weir_run_builder_init (struct weir_run_builder *b);
void weir_run_builder_fini (struct weir_run_builder *b);
/* `database` is zero for a genesis. deps need not be sorted; duplicates are dropped. */
void weir_run_begin (struct weir_run_builder *b, const struct weir_id *database, uint8_t kind,
                     const struct weir_chain *chain, uint64_t seq, const struct weir_id *prev,
                     const struct weir_id *deps, size_t n_deps);
/* Does one more entry of this payload size still fit? An empty builder always has room. */
bool weir_run_has_room (const struct weir_run_builder *b, size_t payload_bytes);
/* Adds one and gives its id. The payload must be within WEIR_PAYLOAD_BYTES_MAX. */
void weir_run_add (struct weir_run_builder *b, uint32_t ops, uint64_t clock_ms,
                   struct weir_bytes payload, struct weir_id *id);
/* Appends the signed bytes to *out and empties the builder. At least one entry. */
void weir_run_close (struct weir_run_builder *b, const struct weir_identity *identity,
                     struct weir_buf *out);

/* Appends the part of `run` that starts at `seq` (within the run), with prev and no deps when
 * that is not its first. */
void weir_run_cut (const struct weir_run *run, uint64_t seq, struct weir_buf *out);
/* Can b follow a in one run (same chain and kind, b starts where a ends and has no deps, within
 * bounds)? Then weir_run_join appends both as one, under b's signature. */
bool weir_run_can_join (const struct weir_run *a, const struct weir_run *b);
void weir_run_join (const struct weir_run *a, const struct weir_run *b, struct weir_buf *out);

#endif
