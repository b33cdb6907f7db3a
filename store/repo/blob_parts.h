#ifndef WEIR_STORE_REPO_BLOB_PARTS_H
#define WEIR_STORE_REPO_BLOB_PARTS_H

/* The inside of repo_blob.c (what is missing), repo_blob_content.c (storing and reading) and
 * repo_blob_keep.c (what is kept), and nobody else's. */

#include "store/dag/blob.h"
#include "store/repo/blob.h"
#include "store/repo/parts.h"

#define WEIR_BLOB_HAS_MANIFEST 1u
#define WEIR_BLOB_IS_WHOLE 2u
#define WEIR_BLOB_IS_COUNTED 4u /* its chunks' rows count it */

#define WEIR_BLOB_IS_BROKEN 8u /* its pieces are as they are named, and do not fit */

/* A blob that some entry of the database named, ever. */
struct weir_repo_blob {
    struct weir_id id;
    uint64_t bytes;
    uint64_t since_ms; /* nothing visible names it since then; 0: something does */
    uint8_t flags;
    bool is_active; /* what it lacks is in `missing` */
    bool is_seen;   /* by the look at hand */
    uint32_t n_missing;
    uint64_t missing_bytes; /* 0: it was not looked at yet */
};

/* A blob that lacks a piece. What size its manifest gives it is its author's word: another's may
 * give the same piece another. */
struct weir_repo_lack {
    struct weir_repo_blob *blob;
    uint64_t bytes;
};

/* A piece that is not here. */
struct weir_repo_missing {
    struct weir_piece piece;
    struct weir_repo_lack *of;
    size_t n_of;
    size_t cap_of;
};

struct weir_repo_blobs {
    struct weir_map *by_id;   /* id -> weir_repo_blob */
    struct weir_map *missing; /* kind, id -> weir_repo_missing, of the active ones */
    size_t n_active;
    size_t scanned;     /* where the search for the next to be active goes on */
    size_t active_from; /* and where it began */
    bool is_searched;   /* it found nothing more */
    bool is_changed;    /* since the outside was told */
    bool is_noticed;    /* an entry named one since the document was looked at */
    uint64_t looked_position;
    uint64_t looked_ms;
    uint64_t swept_ms;
    struct weir_buf manifest; /* the one read last */
    struct weir_id manifest_of;
};

/* A chunk's row. */
struct weir_repo_chunk {
    uint32_t refs;  /* manifests of this database that name it */
    uint32_t bytes; /* 0: not here */
    uint64_t since_ms;
};
WEIR_MUST enum weir_status weir_repo_chunk_get (struct weir_repo *self, struct weir_repo_db *db,
                                                const struct weir_id *id,
                                                struct weir_repo_chunk *out);
void weir_repo_chunk_put (struct weir_repo *self, struct weir_repo_db *db, const struct weir_id *id,
                          const struct weir_repo_chunk *row);
void weir_repo_blob_row (struct weir_repo *self, struct weir_repo_db *db,
                         const struct weir_repo_blob *blob);
void weir_repo_blobs_changed (struct weir_repo *self, struct weir_repo_db *db);
struct weir_repo_blob *weir_repo_blob_find (struct weir_repo_db *db, const struct weir_id *id);
struct weir_repo_blob *weir_repo_blob_add (struct weir_repo_db *db, const struct weir_id *id,
                                           uint64_t bytes);
/* The manifest, decoded; borrowed until the next call. WEIR_NOT_FOUND, WEIR_CORRUPT. */
WEIR_MUST enum weir_status weir_repo_manifest_get (struct weir_repo *self, struct weir_repo_db *db,
                                                   const struct weir_repo_blob *blob,
                                                   struct weir_manifest *out);
/* The bytes, appended, when they have the hash they go by; else WEIR_CORRUPT. */
WEIR_MUST enum weir_status weir_repo_content_get (struct weir_repo *self, struct weir_repo_db *db,
                                                  const struct weir_id *id, bool is_manifest,
                                                  struct weir_buf *out);
/* The chunk is here now; nothing of the blob is missing any more. */
void weir_repo_chunk_found (struct weir_repo *self, struct weir_repo_db *db,
                            const struct weir_id *id, size_t bytes);
/* NULL: it is not missing, as far as it is looked at. */
struct weir_repo_missing *weir_repo_missing_find (struct weir_repo_db *db, const struct weir_id *id,
                                                  bool is_manifest);
void weir_repo_blob_whole (struct weir_repo *self, struct weir_repo_db *db,
                           struct weir_repo_blob *blob);
/* Some more blobs become active, when there is room. */
WEIR_MUST enum weir_status weir_repo_blobs_activate (struct weir_repo *self,
                                                     struct weir_repo_db *db);
/* All that is missing is found anew. */
void weir_repo_blobs_reset (struct weir_repo *self, struct weir_repo_db *db);
/* It was here and is not, or is not what it says: missing from now on. */
void weir_repo_piece_lose (struct weir_repo *self, struct weir_repo_db *db,
                           const struct weir_id *id, bool is_manifest);
/* Stores a piece of the old rows under this database, when it has its hash (repair). */
WEIR_MUST enum weir_status weir_repo_piece_salvage (struct weir_repo *self, struct weir_repo_db *db,
                                                    const struct weir_id *id,
                                                    struct weir_bytes bytes);

#endif
