/* Which blobs a database has, and what of them is missing: rows of blobs and chunks, and the list
 * of missing pieces. repo_blob_content.c stores and reads them; what is kept and what is collected,
 * repo_blob_keep.c decides. */

#include "store/repo/blob_parts.h"

#include <stdlib.h>
#include <string.h>

/* ---- rows ---- */

enum weir_status
weir_repo_chunk_get (struct weir_repo *self, struct weir_repo_db *db, const struct weir_id *id,
                     struct weir_repo_chunk *out)
{
    struct weir_repo_key key = weir_repo_key_db_id (WEIR_REPO_TABLE_CHUNK, db->number, id);
    weir_repo_settle (self);
    weir_buf_clear (&self->record);
    enum weir_status status = weir_kv_get (self->kv, weir_repo_key_bytes (&key), &self->record);
    if (status != WEIR_OK) {
        return status;
    }
    struct weir_reader r = weir_reader (weir_buf_bytes (&self->record));
    struct weir_repo_chunk row = { .refs = weir_read_u32 (&r), .bytes = weir_read_u32 (&r) };
    row.since_ms = weir_read_u64 (&r);
    if (!weir_reader_done (&r)) {
        return WEIR_CORRUPT;
    }
    *out = row;
    return WEIR_OK;
}

void
weir_repo_chunk_put (struct weir_repo *self, struct weir_repo_db *db, const struct weir_id *id,
                     const struct weir_repo_chunk *row)
{
    struct weir_repo_key key = weir_repo_key_db_id (WEIR_REPO_TABLE_CHUNK, db->number, id);
    uint8_t bytes[16];
    weir_store_u32 (bytes, row->refs);
    weir_store_u32 (bytes + 4, row->bytes);
    weir_store_u64 (bytes + 8, row->since_ms);
    weir_repo_put (self, &key, weir_bytes (bytes, sizeof bytes));
}

void
weir_repo_blobs_changed (struct weir_repo *self, struct weir_repo_db *db)
{
    if (db->blobs != NULL) {
        db->blobs->is_changed = true;
        self->blobs_changed = true;
    }
}

void
weir_repo_blob_row (struct weir_repo *self, struct weir_repo_db *db,
                    const struct weir_repo_blob *blob)
{
    struct weir_repo_key key = weir_repo_key_db_id (WEIR_REPO_TABLE_BLOB, db->number, &blob->id);
    uint8_t bytes[17];
    weir_store_u64 (bytes, blob->bytes);
    weir_store_u64 (bytes + 8, blob->since_ms);
    bytes[16] = blob->flags;
    weir_repo_put (self, &key, weir_bytes (bytes, sizeof bytes));
    weir_repo_blobs_changed (self, db);
}

enum weir_status
weir_repo_content_get (struct weir_repo *self, struct weir_repo_db *db, const struct weir_id *id,
                       bool is_manifest, struct weir_buf *out)
{
    struct weir_repo_key key = weir_repo_key_db_id (WEIR_REPO_TABLE_CONTENT, db->number, id);
    size_t start = out->len;
    weir_repo_settle (self);
    enum weir_status status = weir_kv_get (self->kv, weir_repo_key_bytes (&key), out);
    if (status != WEIR_OK) {
        return status == WEIR_NOT_FOUND ? WEIR_CORRUPT : status;
    }
    struct weir_bytes bytes = weir_bytes (out->data + start, out->len - start);
    struct weir_id is = is_manifest ? weir_blob_id (bytes) : weir_chunk_id (bytes);
    if (!weir_id_equal (&is, id)) {
        out->len = start;
        return WEIR_CORRUPT;
    }
    return WEIR_OK;
}

/* ---- in memory ---- */

static void
missing_free (void *value)
{
    struct weir_repo_missing *m = value;
    free (m->of);
    free (m);
}

void
weir_repo_blobs_destroy (struct weir_repo_blobs **self_p)
{
    struct weir_repo_blobs *self = *self_p;
    if (self == NULL) {
        return;
    }
    weir_map_destroy (&self->by_id, free);
    weir_map_destroy (&self->missing, missing_free);
    weir_buf_fini (&self->manifest);
    free (self);
    *self_p = NULL;
}

struct weir_repo_blob *
weir_repo_blob_find (struct weir_repo_db *db, const struct weir_id *id)
{
    return db->blobs != NULL ? weir_map_get (db->blobs->by_id, weir_id_bytes (id)) : NULL;
}

struct weir_repo_blob *
weir_repo_blob_add (struct weir_repo_db *db, const struct weir_id *id, uint64_t bytes)
{
    if (db->blobs == NULL) {
        db->blobs = weir_alloc (sizeof *db->blobs);
        db->blobs->by_id = weir_map_new ();
        db->blobs->missing = weir_map_new ();
    }
    struct weir_repo_blob *blob = weir_alloc (sizeof *blob);
    blob->id = *id;
    blob->bytes = bytes;
    (void) weir_map_put (db->blobs->by_id, weir_id_bytes (id), blob);
    return blob;
}

enum weir_status
weir_repo_blobs_load (struct weir_repo *self, struct weir_repo_db *db)
{
    struct weir_repo_key from = weir_repo_key_db (WEIR_REPO_TABLE_BLOB, db->number);
    struct weir_repo_key to = weir_repo_key_after (&from);
    struct weir_kv_iter *iter =
        weir_kv_iter_new (self->kv, weir_repo_key_bytes (&from), weir_repo_key_bytes (&to), false);
    struct weir_bytes key;
    struct weir_bytes value;
    enum weir_status status = WEIR_OK;
    while (status == WEIR_OK && weir_kv_iter_next (iter, &key, &value)) {
        struct weir_reader r = weir_reader (value);
        struct weir_id id = weir_id_zero;
        uint64_t bytes = weir_read_u64 (&r);
        uint64_t since_ms = weir_read_u64 (&r);
        uint8_t flags = weir_read_u8 (&r);
        if (key.len != 5 + WEIR_ID_BYTES || !weir_reader_done (&r)) {
            status = WEIR_CORRUPT;
            break;
        }
        memcpy (id.b, key.data + 5, WEIR_ID_BYTES);
        struct weir_repo_blob *blob = weir_repo_blob_add (db, &id, bytes);
        blob->since_ms = since_ms;
        blob->flags = flags;
        if (since_ms == 0 && !(flags & WEIR_BLOB_IS_WHOLE)) {
            db->blobs->is_noticed =
                true; /* the end may have come before the document was looked at */
            self->blobs_noticed = true;
        }
    }
    if (status == WEIR_OK) {
        status = weir_kv_iter_status (iter);
    }
    if (status == WEIR_OK && db->blobs != NULL) {
        db->blobs->looked_position = db->position; /* as the rows say */
        weir_repo_blobs_changed (self, db);
    }
    weir_kv_iter_destroy (&iter);
    return status;
}

enum weir_status
weir_repo_manifest_get (struct weir_repo *self, struct weir_repo_db *db,
                        const struct weir_repo_blob *blob, struct weir_manifest *out)
{
    struct weir_repo_blobs *b = db->blobs;
    if (!(blob->flags & WEIR_BLOB_HAS_MANIFEST)) {
        return WEIR_NOT_FOUND;
    }
    if (b->manifest.len == 0 || !weir_id_equal (&b->manifest_of, &blob->id)) {
        weir_buf_clear (&b->manifest);
        enum weir_status status = weir_repo_content_get (self, db, &blob->id, true, &b->manifest);
        if (status != WEIR_OK) {
            weir_buf_clear (&b->manifest);
            return status;
        }
        b->manifest_of = blob->id;
    }
    return weir_manifest_read (out, weir_buf_bytes (&b->manifest)) == WEIR_OK ? WEIR_OK
                                                                              : WEIR_CORRUPT;
}

/* ---- what is missing ---- */

/* A hostile manifest may name another blob as its chunk: the two are not one piece. */
struct missing_key {
    uint8_t b[1 + WEIR_ID_BYTES];
};

static struct missing_key
missing_key (const struct weir_id *id, bool is_manifest)
{
    struct missing_key key = { .b = { is_manifest } };
    memcpy (key.b + 1, id->b, WEIR_ID_BYTES);
    return key;
}

struct weir_repo_missing *
weir_repo_missing_find (struct weir_repo_db *db, const struct weir_id *id, bool is_manifest)
{
    struct missing_key key = missing_key (id, is_manifest);
    return db->blobs != NULL ? weir_map_get (db->blobs->missing, weir_bytes (key.b, sizeof key.b))
                             : NULL;
}

static void
miss (struct weir_repo_db *db, struct weir_repo_blob *blob, const struct weir_piece *piece)
{
    struct missing_key key = missing_key (&piece->id, piece->is_manifest);
    struct weir_repo_missing *m = weir_repo_missing_find (db, &piece->id, piece->is_manifest);
    uint64_t bytes = piece->is_manifest ? blob->bytes : piece->bytes;
    if (m == NULL) {
        m = weir_alloc (sizeof *m);
        m->piece = *piece;
        (void) weir_map_put (db->blobs->missing, weir_bytes (key.b, sizeof key.b), m);
    }
    if (m->n_of > 0 && m->of[m->n_of - 1].blob == blob) { /* the same chunk twice in one blob */
        blob->flags |= m->of[m->n_of - 1].bytes != bytes ? WEIR_BLOB_IS_BROKEN : 0;
        return;
    }
    weir_grow (&m->of, &m->cap_of, m->n_of + 1, sizeof *m->of);
    m->of[m->n_of++] = (struct weir_repo_lack){ blob, bytes };
    blob->n_missing++;
    blob->missing_bytes += bytes;
}

void
weir_repo_blob_whole (struct weir_repo *self, struct weir_repo_db *db, struct weir_repo_blob *blob)
{
    blob->flags |= WEIR_BLOB_IS_WHOLE;
    if (blob->is_active) {
        blob->is_active = false;
        db->blobs->n_active--;
    }
    db->blobs->is_searched = false;
    weir_repo_blob_row (self, db, blob);
}

/* Lists what an active blob lacks; one that lacks nothing is whole. */
static enum weir_status
list_missing (struct weir_repo *self, struct weir_repo_db *db, struct weir_repo_blob *blob)
{
    struct weir_manifest m;
    blob->n_missing = 0;
    blob->missing_bytes = 0;
    enum weir_status status = weir_repo_manifest_get (self, db, blob, &m);
    if (status == WEIR_CORRUPT) {
        blob->flags &= (uint8_t) ~(WEIR_BLOB_HAS_MANIFEST | WEIR_BLOB_IS_WHOLE);
        weir_repo_blob_row (self, db, blob);
        status = WEIR_NOT_FOUND;
    }
    if (status == WEIR_NOT_FOUND) {
        struct weir_piece piece = {
            .id = blob->id, .blob = blob->id, .is_manifest = true, .bytes = WEIR_MANIFEST_BYTES_MAX
        };
        miss (db, blob, &piece);
        return WEIR_OK;
    }
    for (uint32_t i = 0; status == WEIR_OK && i < m.n_chunks; i++) {
        struct weir_piece piece = { .id = weir_manifest_chunk (&m, i),
                                    .blob = blob->id,
                                    .index = i,
                                    .bytes = weir_blob_chunk_bytes (m.bytes, i) };
        struct weir_repo_chunk row = { .bytes = 0 };
        enum weir_status got = weir_repo_chunk_get (self, db, &piece.id, &row);
        if (got == WEIR_NOT_FOUND || (got == WEIR_OK && row.bytes == 0)) {
            miss (db, blob, &piece);
        } else if (got != WEIR_OK) {
            status = got;
        } else if (row.bytes != piece.bytes) {
            blob->flags |= WEIR_BLOB_IS_BROKEN;
        }
    }
    if (status == WEIR_OK && blob->n_missing == 0) {
        weir_repo_blob_whole (self, db, blob);
    }
    return status;
}

static bool
is_wanted (const struct weir_repo_blob *blob)
{
    return blob->since_ms == 0 && !(blob->flags & WEIR_BLOB_IS_WHOLE);
}

enum weir_status
weir_repo_blobs_activate (struct weir_repo *self, struct weir_repo_db *db)
{
    struct weir_repo_blobs *b = db->blobs;
    enum weir_status status = WEIR_OK;
    struct weir_bytes key;
    void *value = NULL;
    size_t passes = 0;
    while (status == WEIR_OK && b->n_active < WEIR_BLOBS_ACTIVE_MAX && !b->is_searched) {
        if (!weir_map_next (b->by_id, &b->scanned, &key, &value)) {
            b->scanned = 0;
            b->is_searched = ++passes == 2;
            continue;
        }
        struct weir_repo_blob *blob = value;
        if (is_wanted (blob) && !blob->is_active) {
            blob->is_active = true;
            b->n_active++;
            passes = 0;
            status = list_missing (self, db, blob);
        }
    }
    return status;
}

static void
deactivate (struct weir_repo_db *db)
{
    struct weir_bytes key;
    void *value = NULL;
    weir_map_destroy (&db->blobs->missing, missing_free);
    db->blobs->missing = weir_map_new ();
    db->blobs->n_active = 0;
    db->blobs->is_searched = false;
    for (size_t i = 0; weir_map_next (db->blobs->by_id, &i, &key, &value);) {
        struct weir_repo_blob *blob = value;
        blob->is_active = false;
    }
}

void
weir_repo_blobs_reset (struct weir_repo *self, struct weir_repo_db *db)
{
    deactivate (db);
    db->blobs->scanned = db->blobs->active_from;
    weir_repo_blobs_changed (self, db);
}

void
weir_repo_blobs_rotate (struct weir_repo *self, const struct weir_id *id)
{
    struct weir_repo_db *db = NULL;
    if (weir_repo_db_get (self, id, &db) == WEIR_OK && db->blobs != NULL) {
        deactivate (db);
        db->blobs->active_from = db->blobs->scanned;
    }
}

void
weir_repo_piece_lose (struct weir_repo *self, struct weir_repo_db *db, const struct weir_id *id,
                      bool is_manifest)
{
    struct weir_repo_key content = weir_repo_key_db_id (WEIR_REPO_TABLE_CONTENT, db->number, id);
    struct weir_repo_chunk row;
    struct weir_bytes key;
    void *value = NULL;
    weir_repo_delete (self, &content);
    if (!is_manifest && weir_repo_chunk_get (self, db, id, &row) == WEIR_OK) {
        row.bytes = 0;
        weir_repo_chunk_put (self, db, id, &row);
    }
    db->blobs->manifest.len = 0;
    for (size_t i = 0; weir_map_next (db->blobs->by_id, &i, &key, &value);) {
        struct weir_repo_blob *blob = value;
        struct weir_manifest m = { .n_chunks = 0 };
        bool names = is_manifest && weir_id_equal (&blob->id, id);
        if (!is_manifest && weir_repo_manifest_get (self, db, blob, &m) == WEIR_OK) {
            for (uint32_t k = 0; k < m.n_chunks && !names; k++) {
                struct weir_id chunk = weir_manifest_chunk (&m, k);
                names = weir_id_equal (&chunk, id);
            }
        }
        if (names) {
            blob->flags &= (uint8_t) ~(is_manifest ? WEIR_BLOB_HAS_MANIFEST | WEIR_BLOB_IS_WHOLE
                                                   : WEIR_BLOB_IS_WHOLE);
            weir_repo_blob_row (self, db, blob);
        }
    }
    weir_repo_blobs_reset (self, db);
}

enum weir_status
weir_repo_blob_wants (struct weir_repo *self, const struct weir_id *id, weir_piece_fn *fn,
                      void *context)
{
    struct weir_repo_db *db = NULL;
    struct weir_bytes key;
    void *value = NULL;
    enum weir_status status = weir_repo_db_get (self, id, &db);
    if (status == WEIR_OK && db->blobs != NULL) {
        status = weir_repo_blobs_activate (self, db);
    }
    if (status != WEIR_OK || db->blobs == NULL) {
        return status;
    }
    for (size_t i = 0; weir_map_next (db->blobs->missing, &i, &key, &value);) {
        const struct weir_repo_missing *m = value;
        if (!fn (context, &m->piece)) {
            break;
        }
    }
    return WEIR_OK;
}

void
weir_repo_chunk_found (struct weir_repo *self, struct weir_repo_db *db, const struct weir_id *id,
                       size_t bytes)
{
    struct missing_key key = missing_key (id, false);
    struct weir_repo_missing *m =
        db->blobs != NULL ? weir_map_remove (db->blobs->missing, weir_bytes (key.b, sizeof key.b))
                          : NULL;
    for (size_t i = 0; m != NULL && i < m->n_of; i++) {
        struct weir_repo_blob *blob = m->of[i].blob;
        uint64_t lacked = m->of[i].bytes;
        blob->n_missing--;
        blob->missing_bytes -= lacked < blob->missing_bytes ? lacked : blob->missing_bytes;
        blob->flags |= lacked != bytes ? WEIR_BLOB_IS_BROKEN : 0;
        if (blob->n_missing == 0) {
            weir_repo_blob_whole (self, db, blob);
        }
    }
    weir_repo_blobs_changed (self, db);
    if (m != NULL) {
        missing_free (m);
    }
}

enum weir_status
weir_repo_blob_totals (struct weir_repo *self, const struct weir_id *id,
                       struct weir_blob_totals *out)
{
    struct weir_repo_db *db = NULL;
    struct weir_blob_totals t = { .blobs = 0 };
    struct weir_bytes key;
    void *value = NULL;
    enum weir_status status = weir_repo_db_get (self, id, &db);
    if (status == WEIR_OK && db->blobs != NULL) {
        status = weir_repo_blobs_activate (self, db);
    }
    if (status != WEIR_OK) {
        return status;
    }
    for (size_t i = 0; db->blobs != NULL && weir_map_next (db->blobs->by_id, &i, &key, &value);) {
        const struct weir_repo_blob *blob = value;
        bool whole = (blob->flags & WEIR_BLOB_IS_WHOLE) != 0;
        if (blob->since_ms != 0) {
            t.kept_bytes += whole ? blob->bytes : 0;
            continue;
        }
        t.blobs++;
        t.bytes += blob->bytes;
        t.missing_blobs += !whole;
        t.missing_bytes += whole ? 0 : blob->missing_bytes > 0 ? blob->missing_bytes : blob->bytes;
    }
    *out = t;
    return WEIR_OK;
}

bool
weir_repo_blob_changed (struct weir_repo *self, struct weir_id *id)
{
    for (size_t i = 0; self->blobs_changed && i < self->n_dbs; i++) {
        struct weir_repo_blobs *b = self->dbs[i]->blobs;
        if (b != NULL && b->is_changed) {
            b->is_changed = false;
            *id = self->dbs[i]->id;
            return true;
        }
    }
    self->blobs_changed = false;
    return false;
}
