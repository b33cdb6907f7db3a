#ifndef WEIR_STORE_REPO_KEYS_H
#define WEIR_STORE_REPO_KEYS_H

/* Where each row of the repository lies: one byte names the table, numbers follow big-endian so
 * that keys sort as numbers do. Databases and branches go by small local numbers, so that a key
 * costs little and causal order is key order. Nobody outside store/repo* includes this. */

#include "store/base/id.h"

enum weir_repo_table {
    WEIR_REPO_TABLE_LAYOUT = 0x01,   /* () -> layout, epoch, device, next db#, position */
    WEIR_REPO_TABLE_DATABASE = 0x02, /* (db#) -> id, state */
    WEIR_REPO_TABLE_SUMMARY = 0x03,  /* (db#) -> counters, own branch, heads */
    WEIR_REPO_TABLE_BRANCH = 0x04,   /* (db#, branch#) -> chain, parent, tip and its facts */
    WEIR_REPO_TABLE_RUN = 0x05,      /* (db#, branch#, first seq) -> facts, the run's bytes */
    WEIR_REPO_TABLE_ENTRY = 0x06,    /* (db#, entry id) -> branch#, first seq, offset */
    WEIR_REPO_TABLE_SETTINGS = 0x07, /* (db#, ordinal) -> entry, chain, view, payload */
    WEIR_REPO_TABLE_INERT = 0x08,    /* (db#, branch#, seq) -> status */
    WEIR_REPO_TABLE_ARRIVAL = 0x09,  /* (db#, position) -> nothing: the log of one database */
    WEIR_REPO_TABLE_SNAPSHOT = 0x0a, /* (db#) -> position, generation, parts, bytes */
    WEIR_REPO_TABLE_PART = 0x0b,     /* (db#, generation, part) -> bytes of a document */
    WEIR_REPO_TABLE_PENDING = 0x0c,  /* (db#, tip id) -> since, the run's bytes */
    WEIR_REPO_TABLE_LOG = 0x0d,      /* (position) -> the arrival log's row */
    WEIR_REPO_TABLE_CLIENT = 0x0e,   /* (client) -> greatest number, last seen */
    WEIR_REPO_TABLE_ANSWER = 0x0f,   /* (client, number) -> answer */
    WEIR_REPO_TABLE_STATE = 0x10,    /* (text) -> value */
    WEIR_REPO_TABLE_BLOB = 0x11,     /* (db#, blob id) -> bytes, unseen since, flags */
    WEIR_REPO_TABLE_CHUNK = 0x12,    /* (db#, chunk id) -> manifests, bytes, since */
    WEIR_REPO_TABLE_CONTENT = 0x13,  /* (db#, chunk or blob id) -> its bytes */
    WEIR_REPO_TABLE_END = 0x14
};

/* The tables whose keys begin with (table, db#) and nothing else of the database. */
#define WEIR_REPO_TABLE_OF_DB_FIRST WEIR_REPO_TABLE_SUMMARY
#define WEIR_REPO_TABLE_OF_DB_LAST WEIR_REPO_TABLE_PENDING
/* And those of blobs. */
#define WEIR_REPO_TABLE_OF_BLOBS_FIRST WEIR_REPO_TABLE_BLOB
#define WEIR_REPO_TABLE_OF_BLOBS_LAST WEIR_REPO_TABLE_CONTENT

#define WEIR_REPO_STATE_KEY_BYTES_MAX 512u

struct weir_repo_key {
    uint8_t data[48];
    size_t len;
};

struct weir_bytes weir_repo_key_bytes (const struct weir_repo_key *key);
struct weir_repo_key weir_repo_key (enum weir_repo_table table);
struct weir_repo_key weir_repo_key_db (enum weir_repo_table table, uint32_t db);
/* (db#, u32): branches, settings. */
struct weir_repo_key weir_repo_key_db_u32 (enum weir_repo_table table, uint32_t db, uint32_t n);
/* (db#, u64): arrivals. */
struct weir_repo_key weir_repo_key_db_u64 (enum weir_repo_table table, uint32_t db, uint64_t n);
/* (db#, branch#, seq): runs, inert marks; and (db#, generation, part). */
struct weir_repo_key weir_repo_key_db_place (enum weir_repo_table table, uint32_t db, uint32_t a,
                                             uint64_t b);
/* (db#, id): entries, pending runs. */
struct weir_repo_key weir_repo_key_db_id (enum weir_repo_table table, uint32_t db,
                                          const struct weir_id *id);
struct weir_repo_key weir_repo_key_log (uint64_t position);
struct weir_repo_key weir_repo_key_client (const uint8_t client[16]);
struct weir_repo_key weir_repo_key_answer (const uint8_t client[16], uint64_t number);
/* The smallest key behind all that start with `key`. */
struct weir_repo_key weir_repo_key_after (const struct weir_repo_key *key);

#endif
