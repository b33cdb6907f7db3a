#ifndef WEIR_STORE_DAG_ENTRY_H
#define WEIR_STORE_DAG_ENTRY_H

/* Entries: immutable commits named by the hash of a canonical big-endian header (page 2).
 * Pure code. */

#include "store/base/id.h"
#include "store/base/limits.h"
#include "store/crypto/hash.h"

enum weir_entry_kind {
    WEIR_ENTRY_GENESIS = 0,
    WEIR_ENTRY_DATA = 1,
    WEIR_ENTRY_SETTINGS = 2,
    WEIR_ENTRY_MERGE = 3,
    WEIR_ENTRY_KIND_COUNT
};

struct weir_entry {
    uint8_t version;
    uint8_t kind;
    struct weir_id database; /* zero for genesis */
    struct weir_id author;
    uint64_t lane;
    uint64_t seq;
    struct weir_id prev; /* zero when seq is 0 */
    uint16_t n_deps;
    struct weir_id deps[WEIR_ENTRY_DEPS_MAX]; /* sorted, distinct */
    uint32_t ops;
    uint64_t clock_ms; /* 0: not recorded; decides nothing */
    uint32_t payload_bytes;
    struct weir_id payload_hash;
};

/* Appends the canonical header. */
void weir_entry_put (struct weir_buf *out, const struct weir_entry *e);
struct weir_id weir_entry_id (const struct weir_entry *e);
struct weir_id weir_payload_hash (struct weir_bytes payload);
/* Shape only: version known (else WEIR_NEEDS_UPGRADE), kind, genesis and first-of-lane rules,
 * deps sorted, distinct and within bounds, ops 0 unless data, sizes. Else WEIR_BAD_ENTRY. */
WEIR_MUST enum weir_status weir_entry_check (const struct weir_entry *e, struct weir_error *error);

/* A chain is (author, lane). */
struct weir_chain {
    struct weir_id author;
    uint64_t lane;
};
int weir_chain_compare (const struct weir_chain *a, const struct weir_chain *b);

/* Who wins (map, move, tree, mark): the greatest, by (lamport, author, lane, entry id). */
struct weir_order_key {
    uint64_t lamport; /* of the op: its entry's + offset */
    struct weir_chain chain;
    struct weir_id entry;
};
int weir_order_key_compare (const struct weir_order_key *a, const struct weir_order_key *b);

#endif
