/* The content of blobs: stores chunks and manifests, and reads them. Every piece is compared with
 * its hash when it comes and when it is given out. */

#include "store/repo/blob_parts.h"

static void
put_content (struct weir_repo *self, struct weir_repo_db *db, const struct weir_id *id,
             struct weir_bytes bytes)
{
    struct weir_repo_key key = weir_repo_key_db_id (WEIR_REPO_TABLE_CONTENT, db->number, id);
    weir_repo_put (self, &key, bytes);
}

static void
store_chunk (struct weir_repo *self, struct weir_repo_db *db, const struct weir_id *id,
             struct weir_bytes bytes, const struct weir_repo_chunk *before)
{
    struct weir_repo_chunk row = *before;
    row.bytes = (uint32_t) bytes.len;
    row.since_ms = self->now_ms;
    put_content (self, db, id, bytes);
    weir_repo_chunk_put (self, db, id, &row);
    weir_repo_chunk_found (self, db, id, bytes.len);
}

/* The rows of its chunks count it, each once. */
static enum weir_status
count_chunks (struct weir_repo *self, struct weir_repo_db *db, const struct weir_manifest *m)
{
    struct weir_map *seen = weir_map_new ();
    enum weir_status status = WEIR_OK;
    for (uint32_t i = 0; status == WEIR_OK && i < m->n_chunks; i++) {
        struct weir_id id = weir_manifest_chunk (m, i);
        struct weir_repo_chunk row = { .refs = 0 };
        if (weir_map_put (seen, weir_id_bytes (&id), seen) != NULL) {
            continue;
        }
        status = weir_repo_chunk_get (self, db, &id, &row);
        status = status == WEIR_NOT_FOUND ? WEIR_OK : status;
        row.refs++;
        if (status == WEIR_OK) {
            weir_repo_chunk_put (self, db, &id, &row);
        }
    }
    weir_map_destroy (&seen, NULL);
    return status;
}

static enum weir_status
store_manifest (struct weir_repo *self, struct weir_repo_db *db, struct weir_repo_blob *blob,
                struct weir_bytes bytes, const struct weir_manifest *m)
{
    enum weir_status status = WEIR_OK;
    if (!(blob->flags & WEIR_BLOB_IS_COUNTED)) {
        status = count_chunks (self, db, m);
    }
    if (status == WEIR_OK) {
        put_content (self, db, &blob->id, bytes);
        blob->bytes = m->bytes; /* what the entry said was hearsay */
        blob->flags |= WEIR_BLOB_HAS_MANIFEST | WEIR_BLOB_IS_COUNTED;
        weir_repo_blob_row (self, db, blob);
    }
    return status;
}

enum weir_status
weir_repo_blob_part (struct weir_repo *self, const struct weir_id *id, struct weir_bytes chunks,
                     struct weir_buf *ids)
{
    struct weir_repo_db *db = NULL;
    enum weir_status status = weir_repo_db_get (self, id, &db);
    if (status == WEIR_OK && (chunks.len == 0 || chunks.len > WEIR_BLOB_PART_BYTES)) {
        status = WEIR_INVALID_ARGUMENT;
    }
    for (size_t at = 0; status == WEIR_OK && at < chunks.len; at += WEIR_CHUNK_BYTES) {
        size_t len = chunks.len - at < WEIR_CHUNK_BYTES ? chunks.len - at : WEIR_CHUNK_BYTES;
        struct weir_bytes bytes = weir_bytes (chunks.data + at, len);
        struct weir_id chunk = weir_chunk_id (bytes);
        struct weir_repo_chunk row = { .refs = 0 };
        status = weir_repo_chunk_get (self, db, &chunk, &row);
        if (status == WEIR_NOT_FOUND || (status == WEIR_OK && row.bytes == 0)) {
            store_chunk (self, db, &chunk, bytes, &row);
            status = WEIR_OK;
        } else if (status == WEIR_OK) {
            row.since_ms = self->now_ms;
            weir_repo_chunk_put (self, db, &chunk, &row);
        }
        weir_buf_put_bytes (ids, weir_id_bytes (&chunk));
    }
    return status;
}

bool
weir_repo_blob_holds (struct weir_repo *self, const struct weir_id *id, const struct weir_id *chunk)
{
    struct weir_repo_db *db = NULL;
    struct weir_repo_chunk row = { .bytes = 0 };
    if (weir_repo_db_get (self, id, &db) != WEIR_OK
        || weir_repo_chunk_get (self, db, chunk, &row) != WEIR_OK || row.bytes == 0) {
        return false;
    }
    row.since_ms = self->now_ms;
    weir_repo_chunk_put (self, db, chunk, &row);
    return true;
}

enum weir_status
weir_repo_blob_put (struct weir_repo *self, const struct weir_id *id, struct weir_bytes bytes,
                    struct weir_id *blob_id, uint64_t *size, struct weir_error *e)
{
    struct weir_repo_db *db = NULL;
    struct weir_manifest m;
    uint32_t absent = 0;
    enum weir_status status = weir_repo_db_get (self, id, &db);
    if (status == WEIR_OK) {
        status = weir_manifest_read (&m, bytes);
    }
    for (uint32_t i = 0; status == WEIR_OK && i < m.n_chunks; i++) {
        struct weir_id chunk = weir_manifest_chunk (&m, i);
        struct weir_repo_chunk row = { .bytes = 0 };
        enum weir_status got = weir_repo_chunk_get (self, db, &chunk, &row);
        absent += row.bytes != weir_blob_chunk_bytes (m.bytes, i);
        status = got == WEIR_NOT_FOUND ? WEIR_OK : got;
    }
    if (status != WEIR_OK) {
        return weir_error_set (e, status, NULL, "that is no list of chunks");
    }
    if (absent > 0) {
        return weir_error_set (e, WEIR_BLOB_MISSING, "put it again: what is here is not sent twice",
                               "%u of its %u chunks are not here", (unsigned) absent,
                               (unsigned) m.n_chunks);
    }
    struct weir_id name = weir_blob_id (bytes);
    struct weir_repo_blob *blob = weir_repo_blob_find (db, &name);
    if (blob == NULL) {
        blob = weir_repo_blob_add (db, &name, m.bytes);
        blob->since_ms = self->now_ms; /* until an entry names it */
    } else if (blob->since_ms != 0) {
        blob->since_ms = self->now_ms;
    }
    status = store_manifest (self, db, blob, bytes, &m);
    if (status == WEIR_OK && !(blob->flags & WEIR_BLOB_IS_WHOLE)) {
        weir_repo_blob_whole (self, db, blob);
        weir_repo_blobs_reset (self, db);
    }
    *blob_id = name;
    *size = m.bytes;
    return status;
}

/* These bytes have the hash and are no such piece, whoever names them: no peer has better ones.
 * There is nothing more to come. */
static void
give_up (struct weir_repo *self, struct weir_repo_db *db, const struct weir_repo_missing *missing)
{
    for (size_t i = 0; i < missing->n_of; i++) {
        missing->of[i].blob->flags |= WEIR_BLOB_IS_BROKEN;
        weir_repo_blob_whole (self, db, missing->of[i].blob);
    }
    weir_repo_blobs_reset (self, db);
}

enum weir_status
weir_repo_piece_take (struct weir_repo *self, const struct weir_id *id, const struct weir_id *piece,
                      bool is_manifest, struct weir_bytes bytes)
{
    struct weir_repo_db *db = NULL;
    struct weir_manifest m;
    enum weir_status status = weir_repo_db_get (self, id, &db);
    if (status == WEIR_OK && db->blobs != NULL) {
        status = weir_repo_blobs_activate (self, db);
    }
    if (status != WEIR_OK) {
        return status;
    }
    const struct weir_repo_missing *missing = weir_repo_missing_find (db, piece, is_manifest);
    if (missing == NULL) {
        return WEIR_EXISTS;
    }
    struct weir_id is = is_manifest ? weir_blob_id (bytes) : weir_chunk_id (bytes);
    if (!weir_id_equal (&is, piece)) {
        return WEIR_BAD_PAYLOAD;
    }
    if (!is_manifest) {
        struct weir_repo_chunk row = { .refs = 0 };
        if (bytes.len == 0 || bytes.len > WEIR_CHUNK_BYTES) {
            give_up (self, db, missing);
            return WEIR_EXISTS;
        }
        status = weir_repo_chunk_get (self, db, piece, &row);
        if (status == WEIR_OK || status == WEIR_NOT_FOUND) {
            store_chunk (self, db, piece, bytes, &row);
            status = WEIR_OK;
        }
        return status;
    }
    struct weir_repo_blob *blob = weir_repo_blob_find (db, piece);
    weir_assert (blob != NULL); /* it is listed as missing */
    if (weir_manifest_read (&m, bytes) != WEIR_OK) {
        give_up (self, db, missing);
        return WEIR_EXISTS;
    }
    status = store_manifest (self, db, blob, bytes, &m);
    weir_repo_blobs_reset (self, db); /* now its chunks are missing */
    return status;
}

enum weir_status
weir_repo_piece_salvage (struct weir_repo *self, struct weir_repo_db *db, const struct weir_id *id,
                         struct weir_bytes bytes)
{
    struct weir_id chunk = weir_chunk_id (bytes);
    struct weir_id manifest = weir_blob_id (bytes);
    struct weir_manifest m;
    if (weir_id_equal (&chunk, id) && bytes.len <= WEIR_CHUNK_BYTES) {
        struct weir_repo_chunk row = { .refs = 0 };
        enum weir_status status = weir_repo_chunk_get (self, db, id, &row);
        if (status == WEIR_OK || status == WEIR_NOT_FOUND) {
            store_chunk (self, db, id, bytes, &row);
            status = WEIR_OK;
        }
        return status;
    }
    if (!weir_id_equal (&manifest, id) || weir_manifest_read (&m, bytes) != WEIR_OK) {
        return WEIR_CORRUPT;
    }
    struct weir_repo_blob *blob = weir_repo_blob_find (db, id);
    if (blob == NULL) {
        blob = weir_repo_blob_add (db, id, m.bytes);
        blob->since_ms = self->now_ms > 0 ? self->now_ms : 1;
    }
    return store_manifest (self, db, blob, bytes, &m);
}

/* ---- reading ---- */

enum weir_status
weir_repo_piece_read (struct weir_repo *self, const struct weir_id *id, const struct weir_id *piece,
                      bool is_manifest, struct weir_buf *out)
{
    struct weir_repo_db *db = NULL;
    struct weir_repo_chunk row = { .refs = 0 };
    enum weir_status status = weir_repo_db_get (self, id, &db);
    if (status != WEIR_OK) {
        return status;
    }
    if (is_manifest) {
        const struct weir_repo_blob *blob = weir_repo_blob_find (db, piece);
        if (blob == NULL || !(blob->flags & WEIR_BLOB_HAS_MANIFEST)) {
            return WEIR_NOT_FOUND;
        }
    } else {
        status = weir_repo_chunk_get (self, db, piece, &row);
        if (status != WEIR_OK || row.refs == 0 || row.bytes == 0 || db->blobs == NULL) {
            return status == WEIR_OK ? WEIR_NOT_FOUND : status;
        }
    }
    status = weir_repo_content_get (self, db, piece, is_manifest, out);
    if (status == WEIR_CORRUPT) {
        weir_repo_piece_lose (self, db, piece, is_manifest);
    }
    return status;
}

enum weir_status
weir_repo_blob_here (struct weir_repo *self, const struct weir_id *id, const struct weir_id *name,
                     struct weir_buf *bits)
{
    struct weir_repo_db *db = NULL;
    struct weir_manifest m;
    enum weir_status status = weir_repo_db_get (self, id, &db);
    struct weir_repo_blob *blob = status == WEIR_OK ? weir_repo_blob_find (db, name) : NULL;
    if (blob == NULL || weir_repo_manifest_get (self, db, blob, &m) != WEIR_OK) {
        return status;
    }
    for (uint32_t i = 0; i < m.n_chunks; i++) {
        struct weir_id chunk = weir_manifest_chunk (&m, i);
        struct weir_repo_chunk row = { .bytes = 0 };
        if (i % 8 == 0) {
            weir_buf_put_u8 (bits, 0);
        }
        if (weir_repo_chunk_get (self, db, &chunk, &row) == WEIR_OK && row.bytes > 0) {
            bits->data[bits->len - 1] |= (uint8_t) (0x80u >> (i % 8));
        }
    }
    return WEIR_OK;
}

enum weir_status
weir_repo_blob_chunk (struct weir_repo *self, const struct weir_id *id, const struct weir_id *name,
                      uint32_t index, struct weir_id *chunk)
{
    struct weir_repo_db *db = NULL;
    struct weir_manifest m;
    enum weir_status status = weir_repo_db_get (self, id, &db);
    struct weir_repo_blob *blob = status == WEIR_OK ? weir_repo_blob_find (db, name) : NULL;
    if (blob == NULL || weir_repo_manifest_get (self, db, blob, &m) != WEIR_OK
        || index >= m.n_chunks) {
        return WEIR_NOT_FOUND;
    }
    *chunk = weir_manifest_chunk (&m, index);
    return WEIR_OK;
}

static enum weir_status
not_here (struct weir_repo_blob *blob, uint64_t offset, struct weir_error *e)
{
    if (blob->flags & WEIR_BLOB_IS_BROKEN) {
        return weir_error_set (e, WEIR_BAD_PAYLOAD, "put it again",
                               "the blob %.8s is not what its author said it was",
                               weir_id_text (&blob->id).s);
    }
    return weir_error_set (
        e, WEIR_BLOB_MISSING, NULL, "the blob %.8s is not here from byte %llu of %llu on",
        weir_id_text (&blob->id).s, (unsigned long long) offset, (unsigned long long) blob->bytes);
}

enum weir_status
weir_repo_blob_read (struct weir_repo *self, const struct weir_id *id, const struct weir_id *name,
                     uint64_t offset, size_t max, struct weir_buf *out, uint64_t *bytes,
                     struct weir_error *e)
{
    struct weir_repo_db *db = NULL;
    struct weir_manifest m;
    struct weir_buf chunk = { 0 };
    size_t start = out->len;
    enum weir_status status = weir_repo_db_get (self, id, &db);
    struct weir_repo_blob *blob = status == WEIR_OK ? weir_repo_blob_find (db, name) : NULL;
    if (blob == NULL) {
        return weir_error_set (e, WEIR_NOT_FOUND, NULL, "no entry names the blob %.8s",
                               weir_id_text (name).s);
    }
    *bytes = blob->bytes;
    status = weir_repo_manifest_get (self, db, blob, &m);
    if (status == WEIR_CORRUPT) {
        weir_repo_piece_lose (self, db, name, true);
    }
    if (status != WEIR_OK) {
        return status == WEIR_NOT_FOUND || status == WEIR_CORRUPT ? not_here (blob, 0, e) : status;
    }
    *bytes = m.bytes;
    uint64_t total = m.bytes;
    while (status == WEIR_OK && offset < total && out->len - start < max) {
        uint32_t i = (uint32_t) (offset / WEIR_CHUNK_BYTES);
        size_t from = (size_t) (offset % WEIR_CHUNK_BYTES);
        size_t room = max - (out->len - start);
        struct weir_id piece = weir_manifest_chunk (&m, i);
        struct weir_repo_chunk row = { .bytes = 0 };
        weir_buf_clear (&chunk);
        status = weir_repo_chunk_get (self, db, &piece, &row);
        if (status == WEIR_OK && row.bytes > 0) {
            status = weir_repo_content_get (self, db, &piece, false, &chunk);
            if (status == WEIR_CORRUPT) {
                weir_repo_piece_lose (self, db, &piece, false);
            }
        }
        if (status != WEIR_OK || chunk.len != weir_blob_chunk_bytes (total, i)) {
            status = not_here (blob, offset, e);
            break;
        }
        size_t len = chunk.len - from < room ? chunk.len - from : room;
        weir_buf_put (out, chunk.data + from, len);
        offset += len;
    }
    weir_buf_fini (&chunk);
    return out->len > start ? WEIR_OK : status;
}
