#ifndef WEIR_STORE_REPO_BLOB_H
#define WEIR_STORE_REPO_BLOB_H

/* The content of blobs, by database: chunks and manifests (store/dag/blob.h) under their hash. What
 * an entry names is noticed when the entry is stored; what is *visible* in the document, or was
 * named since the document was looked at last, is wanted until it is here. Content that nothing
 * visible names is kept for a while and then collected; what it was stays known, so that it can be
 * wanted again. Nothing is stored that does not have the hash it was asked for by, and nothing is
 * given out that does not. Like all of the repository: one thread, written with the next flush. */

#include "store/dag/blob.h"
#include "store/repo/repo.h"

#define WEIR_BLOBS_ACTIVE_MAX 16u /* of a database, whose missing pieces are listed in memory */

struct weir_blob_totals {
    uint64_t blobs; /* visible */
    uint64_t bytes;
    uint64_t missing_blobs; /* of these: not whole here */
    uint64_t missing_bytes; /* what is to come, at most */
    uint64_t kept_bytes;    /* held though nothing visible names it, until it is collected */
};
/* Zeros for a database without blobs. WEIR_NOT_FOUND. */
WEIR_MUST enum weir_status weir_repo_blob_totals (struct weir_repo *self, const struct weir_id *db,
                                                  struct weir_blob_totals *out);
/* A database whose totals may have changed since it was given last; false: none. */
bool weir_repo_blob_changed (struct weir_repo *self, struct weir_id *db);

/* ---- written here ---- */

/* Stores chunks: whole ones end to end, only a blob's last is shorter. Appends their ids. Held ones
 * cost nothing and are kept as if they were new. WEIR_INVALID_ARGUMENT: empty, or more than
 * WEIR_BLOB_PART_BYTES. */
WEIR_MUST enum weir_status weir_repo_blob_part (struct weir_repo *self, const struct weir_id *db,
                                                struct weir_bytes chunks, struct weir_buf *ids);
/* Is it here? Then it stays for a while, as if it had been written now. */
bool weir_repo_blob_holds (struct weir_repo *self, const struct weir_id *db,
                           const struct weir_id *chunk);
/* Stores a manifest whose chunks are all here, so that an entry may name it. WEIR_BLOB_MISSING;
 * weir_manifest_read's. */
WEIR_MUST enum weir_status weir_repo_blob_put (struct weir_repo *self, const struct weir_id *db,
                                               struct weir_bytes manifest, struct weir_id *blob,
                                               uint64_t *size, struct weir_error *e);

/* ---- read here ---- */

/* Appends content from `offset` on, up to `max` bytes (whole chunks but for the first and the
 * last); nothing at or behind the end. WEIR_NOT_FOUND: no entry named it; WEIR_BLOB_MISSING: what
 * stands at `offset` is not here. *bytes (the whole) is written in both. */
WEIR_MUST enum weir_status weir_repo_blob_read (struct weir_repo *self, const struct weir_id *db,
                                                const struct weir_id *blob, uint64_t offset,
                                                size_t max, struct weir_buf *out, uint64_t *bytes,
                                                struct weir_error *e);

/* ---- between nodes ---- */

/* Appends one that is named in this database. WEIR_NOT_FOUND; WEIR_CORRUPT: it was here and is
 * damaged, so it is missing now. */
WEIR_MUST enum weir_status weir_repo_piece_read (struct weir_repo *self, const struct weir_id *db,
                                                 const struct weir_id *piece, bool is_manifest,
                                                 struct weir_buf *out);
/* What is missing, as far as it is looked at now (a bounded number of blobs at a time), until `fn`
 * returns false. WEIR_NOT_FOUND. */
typedef bool (weir_piece_fn) (void *context, const struct weir_piece *piece);
WEIR_MUST enum weir_status weir_repo_blob_wants (struct weir_repo *self, const struct weir_id *db,
                                                 weir_piece_fn *fn, void *context);
/* Nobody has what is missing as far as it is looked at now: the next blobs have their turn. */
void weir_repo_blobs_rotate (struct weir_repo *self, const struct weir_id *db);
/* Stores one that is missing. WEIR_EXISTS: it is not missing (any more); WEIR_BAD_PAYLOAD: these
 * are other bytes. */
WEIR_MUST enum weir_status weir_repo_piece_take (struct weir_repo *self, const struct weir_id *db,
                                                 const struct weir_id *piece, bool is_manifest,
                                                 struct weir_bytes bytes);

/* What of a blob is here: a bit for each chunk, the first one highest; nothing when not even the
 * manifest is. */
WEIR_MUST enum weir_status weir_repo_blob_here (struct weir_repo *self, const struct weir_id *db,
                                                const struct weir_id *blob, struct weir_buf *bits);
/* The chunk at a place of the manifest. WEIR_NOT_FOUND. */
WEIR_MUST enum weir_status weir_repo_blob_chunk (struct weir_repo *self, const struct weir_id *db,
                                                 const struct weir_id *blob, uint32_t index,
                                                 struct weir_id *chunk);

/* ---- what is kept ---- */

/* Looks at documents whose blobs may have changed, at most one each WEIR_BLOB_MARK_MS; true when it
 * did something. To be called after commits and imports. */
bool weir_repo_blobs_look (struct weir_repo *self, uint64_t now_ms);
/* Reads all content of a database and compares it with its hashes. What is damaged or lost is
 * counted, and missing from now on when `forget`. */
struct weir_blob_check {
    uint64_t pieces;
    uint64_t bytes;
    uint64_t bad;
};
WEIR_MUST enum weir_status weir_repo_blob_check (struct weir_repo *self, const struct weir_id *db,
                                                 bool forget, struct weir_blob_check *out);

#endif
