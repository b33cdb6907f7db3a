/* Blobs for clients: content put in parts and read in parts. What is put is answered once it is on
 * disk, so that whoever then writes an entry that names it can be sure; a part that is here already
 * costs nothing, so a put that was interrupted goes on where it was. */

#include <stdlib.h>
#include <string.h>

#include "actors/store/state.h"
#include "store/repo/blob.h"

#define PATH_BYTES_MAX (WEIR_PATH_PARTS_MAX * 256u)

/* *path is the caller's to free, in every case. */
static enum weir_status
read_path (bool has, ProtobufCBinaryData field, char **path, struct weir_error *e)
{
    *path = weir_alloc (PATH_BYTES_MAX + 1);
    if (weir_field_get_text (*path, PATH_BYTES_MAX, has, field) != WEIR_OK) {
        return weir_error_set (e, WEIR_INVALID_PATH, NULL,
                               "the path is not UTF-8, or is longer than %u bytes", PATH_BYTES_MAX);
    }
    return WEIR_OK;
}

/* Would an edit take a blob there? Asked before the content is sent, and not only by the commit
 * behind it. */
static enum weir_status
try_path (struct store *s, const struct weir_id *db, ProtobufCBinaryData field,
          struct weir_error *e)
{
    struct weir_doc *doc = NULL;
    char *path = NULL;
    enum weir_status status = read_path (true, field, &path, e);
    if (status == WEIR_OK) {
        status = weir_repo_document (s->repo, db, &doc, e);
    }
    if (status == WEIR_OK) {
        struct weir_edit *edit = weir_edit_new (doc);
        json_t *value = json_pack ("{s:s, s:i}", "$blob", weir_id_text (db).s, "bytes", 0);
        status = weir_edit_set (edit, path, value, e);
        json_decref (value);
        weir_edit_destroy (&edit);
    }
    free (path);
    return status;
}

void
store_blob_part (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct store *s = state;
    const Weir__BlobPart *ask = (const Weir__BlobPart *) message->meta;
    Weir__BlobParted answer = WEIR__BLOB_PARTED__INIT;
    struct weir_error e = { 0 };
    struct weir_buf out = { 0 };
    struct weir_id db;
    enum weir_status status = WEIR_OK;
    (void) actor;
    if (!store_resolve (s, &message->envelope, ask->has_db, ask->db, &db)
        || !store_writable (s, &message->envelope)) {
        return;
    }
    if (ask->has_path) {
        status = try_path (s, &db, ask->path, &e);
    }
    if (status == WEIR_OK && message->body.len > 0) {
        status = weir_repo_blob_part (s->repo, &db, message->body, &out);
        answer.has_ids = true;
        answer.ids = weir_field_of (weir_buf_bytes (&out));
        store_disk_uses (s, message->body.len);
    } else if (status != WEIR_OK) {
        /* refused as it is */
    } else if (!ask->has_ids || ask->ids.len % WEIR_ID_BYTES != 0
               || ask->ids.len / WEIR_ID_BYTES > WEIR_BLOB_PART_CHUNKS) {
        status = WEIR_BAD_MESSAGE;
    } else {
        for (size_t at = 0; at < ask->ids.len; at += WEIR_ID_BYTES) {
            struct weir_id chunk;
            memcpy (chunk.b, ask->ids.data + at, WEIR_ID_BYTES);
            weir_buf_put_u8 (&out, weir_repo_blob_holds (s->repo, &db, &chunk));
        }
        answer.has_held = true;
        answer.held = weir_field_of (weir_buf_bytes (&out));
    }
    if (status == WEIR_OK) {
        store_answer_synced (s, &message->envelope, &answer.base, weir_bytes (NULL, 0), 0);
    } else {
        store_fail (s, &message->envelope, status, e.status != WEIR_OK ? &e : NULL);
    }
    weir_buf_fini (&out);
}

void
store_blob_put (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct store *s = state;
    const Weir__BlobPut *ask = (const Weir__BlobPut *) message->meta;
    struct weir_error e = { 0 };
    struct weir_id db;
    struct weir_id blob;
    uint64_t bytes = 0;
    (void) actor;
    if (!store_resolve (s, &message->envelope, ask->has_db, ask->db, &db)
        || !store_writable (s, &message->envelope)) {
        return;
    }
    enum weir_status status = weir_repo_blob_put (s->repo, &db, message->body, &blob, &bytes, &e);
    if (status != WEIR_OK) {
        store_fail (s, &message->envelope, status, &e);
        return;
    }
    store_disk_uses (s, message->body.len);
    Weir__BlobPutDone answer = WEIR__BLOB_PUT_DONE__INIT;
    answer.has_blob = answer.has_bytes = true;
    answer.blob = weir_field_id (&blob);
    answer.bytes = bytes;
    store_answer_synced (s, &message->envelope, &answer.base, weir_bytes (NULL, 0), 0);
}

/* The blob that is asked for: by its id, or by a path at some version. */
static enum weir_status
find (struct store *s, const struct weir_id *db, const Weir__BlobGet *ask, struct weir_id *blob,
      struct weir_error *e)
{
    struct store_version version = { 0 };
    uint64_t bytes = 0;
    if (ask->has_blob) {
        return weir_field_get_id (blob, true, ask->blob);
    }
    char *path = NULL;
    enum weir_status status = read_path (ask->has_path, ask->path, &path, e);
    if (status == WEIR_OK) {
        status = store_version_get (s, db, ask->heads, ask->n_heads, &version, e);
    }
    if (status == WEIR_OK) {
        status = weir_doc_blob_at (version.doc, path, blob, &bytes, e);
    }
    store_version_fini (&version);
    free (path);
    return status;
}

void
store_blob_get (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct store *s = state;
    const Weir__BlobGet *ask = (const Weir__BlobGet *) message->meta;
    struct weir_error e = { 0 };
    struct weir_buf out = { 0 };
    struct weir_id db;
    struct weir_id blob;
    uint64_t bytes = 0;
    if (!store_resolve (s, &message->envelope, ask->has_db, ask->db, &db)) {
        return;
    }
    size_t max = ask->has_bytes && ask->bytes < WEIR_BLOB_PART_BYTES ? (size_t) ask->bytes
                                                                     : WEIR_BLOB_PART_BYTES;
    enum weir_status status = find (s, &db, ask, &blob, &e);
    if (status == WEIR_OK) {
        status = weir_repo_blob_read (s->repo, &db, &blob, ask->offset, max, &out, &bytes, &e);
        if (status == WEIR_BLOB_MISSING) {
            store_fetch_explain (s, &db, &e);
        }
    }
    if (status == WEIR_OK) {
        Weir__BlobGot answer = WEIR__BLOB_GOT__INIT;
        answer.has_blob = answer.has_bytes = true;
        answer.blob = weir_field_id (&blob);
        answer.bytes = bytes;
        weir_actor_answer (actor, &message->envelope, &answer.base, weir_buf_bytes (&out), false);
    } else {
        store_fail (s, &message->envelope, status, &e);
    }
    weir_buf_fini (&out);
}
