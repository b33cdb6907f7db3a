#ifndef WEIR_STORE_DAG_BLOB_H
#define WEIR_STORE_DAG_BLOB_H

/* Blobs: bytes too large for an entry, as chunks of WEIR_CHUNK_BYTES (the last may be shorter, none
 * is empty) and one manifest that names them in order. Both go by the hash of their bytes; the id
 * of the manifest is the blob's. Equal content has equal chunks and an equal id. Pure code.
 *
 *     manifest:  format u8 (1) | bytes u64 | chunk id 32 ...
 *     chunk id = BLAKE2b-256, personalised "weir-chunk-v1", over the chunk
 *     blob id  = BLAKE2b-256, personalised "weir-blob-v1", over the manifest */

#include "store/base/id.h"

struct weir_id weir_chunk_id (struct weir_bytes chunk);
struct weir_id weir_blob_id (struct weir_bytes manifest);
/* How many chunks so many bytes have, and how long the i-th is. */
uint32_t weir_blob_chunks (uint64_t bytes);
uint32_t weir_blob_chunk_bytes (uint64_t bytes, uint32_t i);

/* A decoded manifest; the ids are borrowed. */
struct weir_manifest {
    uint64_t bytes;
    uint32_t n_chunks;
    const uint8_t *ids;
};
/* WEIR_BAD_PAYLOAD: it is none, or its size and its ids do not fit together; WEIR_NEEDS_UPGRADE: of
 * another format; WEIR_TOO_LARGE: of more than WEIR_BLOB_BYTES_MAX. */
WEIR_MUST enum weir_status weir_manifest_read (struct weir_manifest *out, struct weir_bytes bytes);
struct weir_id weir_manifest_chunk (const struct weir_manifest *m, uint32_t i);
/* Appends a manifest: begin, then all ids in order. */
void weir_manifest_begin (struct weir_buf *out, uint64_t bytes);

/* A part of a blob as it travels: a chunk, or the manifest. */
struct weir_piece {
    struct weir_id id;
    struct weir_id blob; /* one that it belongs to */
    uint32_t index;      /* in the manifest; of the manifest itself 0 */
    uint32_t bytes;      /* as it must be; of a manifest: at most */
    bool is_manifest;
};

#endif
