/* What is kept of blobs. An entry that names one is noticed as it is stored; looking at the
 * document tells which are visible. Those are kept and wanted; the content of others is collected
 * when nothing visible named it for WEIR_BLOB_KEEP_SECS (or as the options say), and so are
 * chunks of a put that never ended. All in bounded slices. */

#include "store/repo/blob_parts.h"

#define SWEEP_MS_MAX 60000u
#define CONTENT_ROWS_PER_SLICE 64u

/* ---- noticing ---- */

struct notice {
    struct weir_repo *self;
    struct weir_repo_db *db;
};

/* Named by an entry or visible now: wanted, until a look says otherwise. */
static void
want (void *context, const struct weir_id *id, uint64_t bytes)
{
    struct notice *n = context;
    struct weir_repo_blob *blob = weir_repo_blob_find (n->db, id);
    bool is_new = blob == NULL;
    if (is_new) {
        blob = weir_repo_blob_add (n->db, id, bytes);
    }
    blob->is_seen = true;
    if (is_new || blob->since_ms != 0) {
        blob->since_ms = 0;
        n->db->blobs->is_searched = false;
        weir_repo_blob_row (n->self, n->db, blob);
    }
}

void
weir_repo_blobs_notice (struct weir_repo *self, struct weir_repo_db *db, struct weir_bytes payload)
{
    struct notice n = { self, db };
    if (payload.len == 0 || payload.data[0] != WEIR_CODEC_BLOBS) {
        return;
    }
    weir_doc_payload_blobs (payload, want, &n);
    if (db->blobs != NULL) {
        db->blobs->is_noticed = true;
        self->blobs_noticed = true;
    }
}

/* ---- looking ---- */

/* WEIR_DEFERRED: the document is behind; what is wanted stays so. */
static enum weir_status
look (struct weir_repo *self, struct weir_repo_db *db)
{
    struct notice n = { self, db };
    struct weir_doc *doc = NULL;
    struct weir_error e = { 0 };
    struct weir_bytes key;
    void *value = NULL;
    bool left = false;
    enum weir_status status = weir_repo_document (self, &db->id, &doc, &e);
    if (status != WEIR_OK) {
        return status;
    }
    for (size_t i = 0; weir_map_next (db->blobs->by_id, &i, &key, &value);) {
        struct weir_repo_blob *blob = value;
        blob->is_seen = false;
    }
    weir_doc_blobs (doc, want, &n);
    for (size_t i = 0; weir_map_next (db->blobs->by_id, &i, &key, &value);) {
        struct weir_repo_blob *blob = value;
        if (!blob->is_seen && blob->since_ms == 0) {
            blob->since_ms = self->now_ms > 0 ? self->now_ms : 1;
            left = left || blob->is_active;
            weir_repo_blob_row (self, db, blob);
        }
    }
    if (left) {
        weir_repo_blobs_reset (self, db);
    }
    return WEIR_OK;
}

bool
weir_repo_blobs_look (struct weir_repo *self, uint64_t now_ms)
{
    bool again = false;
    bool did = false;
    self->now_ms = now_ms > self->now_ms ? now_ms : self->now_ms;
    if (!self->blobs_noticed) {
        return false;
    }
    for (size_t i = 0; i < self->n_dbs; i++) {
        struct weir_repo_blobs *b = self->dbs[i]->blobs;
        if (b == NULL || !b->is_noticed) {
            continue;
        }
        if (b->looked_ms != 0 && self->now_ms < b->looked_ms + WEIR_BLOB_MARK_MS) {
            again = true;
            continue;
        }
        b->looked_ms = self->now_ms;
        b->looked_position = self->dbs[i]->position;
        b->is_noticed = look (self, self->dbs[i]) == WEIR_DEFERRED;
        again = again || b->is_noticed;
        did = true;
    }
    self->blobs_noticed = again;
    return did;
}

/* ---- collecting ---- */

/* Its chunks' rows count it no more; content nobody counts goes. */
static enum weir_status
collect_chunks (struct weir_repo *self, struct weir_repo_db *db, const struct weir_manifest *m)
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
        if (status == WEIR_NOT_FOUND) {
            status = WEIR_OK;
        } else if (status == WEIR_OK && row.refs > 1) {
            row.refs--;
            weir_repo_chunk_put (self, db, &id, &row);
        } else if (status == WEIR_OK) {
            struct weir_repo_key key =
                weir_repo_key_db_id (WEIR_REPO_TABLE_CONTENT, db->number, &id);
            if (row.bytes > 0) { /* else what is there is not its chunk: another blob's manifest */
                weir_repo_delete (self, &key);
            }
            key = weir_repo_key_db_id (WEIR_REPO_TABLE_CHUNK, db->number, &id);
            weir_repo_delete (self, &key);
        }
    }
    weir_map_destroy (&seen, NULL);
    return status;
}

static void
collect (struct weir_repo *self, struct weir_repo_db *db, struct weir_repo_blob *blob)
{
    struct weir_manifest m;
    if (weir_repo_manifest_get (self, db, blob, &m) == WEIR_OK
        && (blob->flags & WEIR_BLOB_IS_COUNTED) && collect_chunks (self, db, &m) != WEIR_OK) {
        return; /* again the next time */
    }
    struct weir_repo_key key = weir_repo_key_db_id (WEIR_REPO_TABLE_CONTENT, db->number, &blob->id);
    weir_repo_delete (self, &key);
    weir_buf_clear (&db->blobs->manifest);
    blob->flags = 0;
    blob->missing_bytes = 0; /* not known any more */
    weir_repo_blob_row (self, db, blob);
}

/* Chunks that no manifest names: of a put that did not end, or goes on. */
static void
collect_uploads (struct weir_repo *self, struct weir_repo_db *db)
{
    struct weir_repo_key from = weir_repo_key_db (WEIR_REPO_TABLE_CHUNK, db->number);
    struct weir_repo_key to = weir_repo_key_after (&from);
    struct weir_kv_iter *iter =
        weir_kv_iter_new (self->kv, weir_repo_key_bytes (&from), weir_repo_key_bytes (&to), false);
    struct weir_bytes key;
    struct weir_bytes value;
    size_t left = CONTENT_ROWS_PER_SLICE;
    while (left > 0 && weir_kv_iter_next (iter, &key, &value)) {
        struct weir_reader r = weir_reader (value);
        uint32_t refs = weir_read_u32 (&r);
        (void) weir_read_u32 (&r);
        uint64_t since_ms = weir_read_u64 (&r);
        struct weir_id id;
        if (key.len != 5 + WEIR_ID_BYTES || !weir_reader_done (&r) || refs > 0
            || since_ms + self->blob_upload_keep_ms > self->now_ms) {
            continue;
        }
        memcpy (id.b, key.data + 5, WEIR_ID_BYTES);
        struct weir_repo_key content =
            weir_repo_key_db_id (WEIR_REPO_TABLE_CONTENT, db->number, &id);
        weir_repo_delete (self, &content);
        weir_kv_delete (self->batch, key);
        self->batch_used = true;
        left--;
    }
    weir_kv_iter_destroy (&iter);
}

/* One database: what became invisible since, and what was so for long enough. */
static void
sweep (struct weir_repo *self, struct weir_repo_db *db)
{
    struct weir_bytes key;
    void *value = NULL;
    if (db->blobs->looked_position != db->position) {
        db->blobs->is_noticed = true;
        self->blobs_noticed = true;
        return; /* the next time: what is visible now must be known */
    }
    weir_repo_settle (self);
    for (size_t i = 0; weir_map_next (db->blobs->by_id, &i, &key, &value);) {
        struct weir_repo_blob *blob = value;
        bool holds = (blob->flags & (WEIR_BLOB_HAS_MANIFEST | WEIR_BLOB_IS_WHOLE)) != 0;
        if (blob->since_ms != 0 && holds && blob->since_ms + self->blob_keep_ms <= self->now_ms) {
            collect (self, db, blob);
            weir_repo_flush_if_large (self);
        }
    }
    collect_uploads (self, db);
}

bool
weir_repo_blobs_work (struct weir_repo *self)
{
    uint64_t every = self->blob_keep_ms / 4 + 1;
    every = every < SWEEP_MS_MAX ? every : SWEEP_MS_MAX;
    (void) weir_repo_blobs_look (self, self->now_ms);
    for (size_t i = 0; i < self->n_dbs; i++) {
        struct weir_repo_blobs *b = self->dbs[i]->blobs;
        if (b != NULL && !b->is_noticed && self->now_ms >= b->swept_ms + every) {
            sweep (self, self->dbs[i]);
            b->swept_ms = b->is_noticed ? b->swept_ms : self->now_ms;
            return true;
        }
    }
    return false;
}

/* ---- checking ---- */

enum weir_status
weir_repo_blob_check (struct weir_repo *self, const struct weir_id *id, bool forget,
                      struct weir_blob_check *out)
{
    struct weir_repo_db *db = NULL;
    struct weir_buf bytes = { 0 };
    struct weir_buf lost = { 0 };
    struct weir_bytes key;
    struct weir_bytes row;
    void *value = NULL;
    enum weir_status status = weir_repo_db_get (self, id, &db);
    if (status != WEIR_OK || db->blobs == NULL) {
        return status;
    }
    for (size_t i = 0; weir_map_next (db->blobs->by_id, &i, &key, &value);) {
        const struct weir_repo_blob *blob = value;
        if (blob->flags & WEIR_BLOB_HAS_MANIFEST) {
            weir_buf_clear (&bytes);
            out->pieces++;
            if (weir_repo_content_get (self, db, &blob->id, true, &bytes) != WEIR_OK) {
                weir_buf_put_u8 (&lost, 1);
                weir_buf_put_bytes (&lost, weir_id_bytes (&blob->id));
            }
            out->bytes += bytes.len;
        }
    }
    weir_repo_settle (self);
    struct weir_repo_key from = weir_repo_key_db (WEIR_REPO_TABLE_CHUNK, db->number);
    struct weir_repo_key to = weir_repo_key_after (&from);
    struct weir_kv_iter *iter =
        weir_kv_iter_new (self->kv, weir_repo_key_bytes (&from), weir_repo_key_bytes (&to), false);
    while (weir_kv_iter_next (iter, &key, &row)) {
        struct weir_id chunk;
        if (key.len != 5 + WEIR_ID_BYTES || row.len < 8 || weir_load_u32 (row.data + 4) == 0) {
            continue;
        }
        memcpy (chunk.b, key.data + 5, WEIR_ID_BYTES);
        weir_buf_clear (&bytes);
        out->pieces++;
        if (weir_repo_content_get (self, db, &chunk, false, &bytes) != WEIR_OK) {
            weir_buf_put_u8 (&lost, 0);
            weir_buf_put_bytes (&lost, weir_id_bytes (&chunk));
        }
        out->bytes += bytes.len;
    }
    status = weir_kv_iter_status (iter);
    weir_kv_iter_destroy (&iter);
    for (size_t at = 0; at < lost.len; at += 1 + WEIR_ID_BYTES) {
        struct weir_id piece;
        memcpy (piece.b, lost.data + at + 1, WEIR_ID_BYTES);
        out->bad++;
        if (forget) {
            weir_repo_piece_lose (self, db, &piece, lost.data[at] == 1);
        }
    }
    weir_buf_fini (&bytes);
    weir_buf_fini (&lost);
    return status;
}
