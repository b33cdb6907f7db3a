/* Goal: the content of blobs in a repository: written in parts and named once it is all here;
 * noticed as missing where an entry came from elsewhere, over crashes and restarts; nothing taken
 * that has another hash; damage found, and missing again; what nothing visible names collected, and
 * what a put has just written not. */

#include "tests/support/repo.h"

#include "store/dag/blob.h"
#include "store/repo/blob.h"
#include "store/repo/keys.h"

#define SIZE (3u * WEIR_CHUNK_BYTES + 77u)

/* Bytes that differ from chunk to chunk. */
static uint8_t *
content (size_t len, uint8_t salt)
{
    uint8_t *bytes = weir_alloc (len + 1);
    for (size_t i = 0; i < len; i++) {
        bytes[i] = (uint8_t) (i * 31 + i / WEIR_CHUNK_BYTES + salt);
    }
    return bytes;
}

static struct weir_id
put (struct node *n, const struct weir_id *db, const uint8_t *bytes, size_t len)
{
    struct weir_buf manifest = { 0 };
    struct weir_error e = { 0 };
    struct weir_id blob;
    uint64_t size = 0;
    weir_manifest_begin (&manifest, len);
    for (size_t at = 0; at < len; at += WEIR_BLOB_PART_BYTES) {
        size_t part = len - at < WEIR_BLOB_PART_BYTES ? len - at : WEIR_BLOB_PART_BYTES;
        assert_int_equal (
            weir_repo_blob_part (n->repo, db, weir_bytes (bytes + at, part), &manifest), WEIR_OK);
    }
    assert_int_equal (
        weir_repo_blob_put (n->repo, db, weir_buf_bytes (&manifest), &blob, &size, &e), WEIR_OK);
    assert_int_equal (size, len);
    weir_buf_fini (&manifest);
    return blob;
}

/* Sets a path to a blob, or to null. */
static void
name (struct node *n, const struct weir_id *db, const char *path, const struct weir_id *blob,
      uint64_t bytes)
{
    struct weir_doc *doc = NULL;
    struct weir_buf payload = { 0 };
    struct weir_error e = { 0 };
    struct weir_id entry;
    uint32_t ops = 0;
    json_t *value = blob != NULL ? json_pack ("{s:s, s:I}", "$blob", weir_id_text (blob).s, "bytes",
                                              (json_int_t) bytes)
                                 : json_null ();
    assert_int_equal (weir_repo_document (n->repo, db, &doc, &e), WEIR_OK);
    struct weir_edit *edit = weir_edit_new (doc);
    assert_int_equal (weir_edit_set (edit, path, value, &e), WEIR_OK);
    assert_int_equal (weir_edit_seal (edit, weir_bytes (NULL, 0), &payload, &ops, &e), WEIR_OK);
    assert_int_equal (
        weir_repo_commit (n->repo, db, weir_buf_bytes (&payload), ops, n->now_ms++, &entry, &e),
        WEIR_OK);
    weir_edit_destroy (&edit);
    json_decref (value);
    weir_buf_fini (&payload);
    node_sync (n);
}

static struct weir_blob_totals
totals (struct node *n, const struct weir_id *db)
{
    struct weir_blob_totals t;
    n->now_ms += 2 * WEIR_BLOB_MARK_MS;
    (void) weir_repo_blobs_look (n->repo, n->now_ms);
    assert_int_equal (weir_repo_blob_totals (n->repo, db, &t), WEIR_OK);
    return t;
}

static void
assert_reads (struct node *n, const struct weir_id *db, const struct weir_id *blob,
              const uint8_t *bytes, size_t len)
{
    struct weir_buf out = { 0 };
    struct weir_error e = { 0 };
    uint64_t size = 0;
    while (out.len < len) {
        assert_int_equal (weir_repo_blob_read (n->repo, db, blob, out.len, 100000, &out, &size, &e),
                          WEIR_OK);
    }
    assert_int_equal (size, len);
    assert_memory_equal (out.data, bytes, len);
    assert_int_equal (weir_repo_blob_read (n->repo, db, blob, len, 10, &out, &size, &e), WEIR_OK);
    assert_int_equal (out.len, len);
    weir_buf_fini (&out);
}

struct wants {
    struct weir_piece pieces[64];
    size_t count;
    size_t max;
};

static bool
want (void *context, const struct weir_piece *piece)
{
    struct wants *w = context;
    w->pieces[w->count++] = *piece;
    return w->count < w->max;
}

/* Moves up to `max` missing pieces; how many. */
static size_t
fetch (struct node *to, struct node *from, const struct weir_id *db, size_t max)
{
    struct wants w = { .max = max };
    struct weir_buf bytes = { 0 };
    assert_int_equal (weir_repo_blob_wants (to->repo, db, want, &w), WEIR_OK);
    for (size_t i = 0; i < w.count; i++) {
        weir_buf_clear (&bytes);
        assert_int_equal (
            weir_repo_piece_read (from->repo, db, &w.pieces[i].id, w.pieces[i].is_manifest, &bytes),
            WEIR_OK);
        assert_true (bytes.len <= w.pieces[i].bytes);
        assert_int_equal (weir_repo_piece_take (to->repo, db, &w.pieces[i].id,
                                                w.pieces[i].is_manifest, weir_buf_bytes (&bytes)),
                          WEIR_OK);
        assert_int_equal (weir_repo_piece_take (to->repo, db, &w.pieces[i].id,
                                                w.pieces[i].is_manifest, weir_buf_bytes (&bytes)),
                          WEIR_EXISTS);
    }
    weir_buf_fini (&bytes);
    return w.count;
}

static void
test_put_and_read (void **state)
{
    struct node a;
    uint8_t *bytes = content (SIZE, 1);
    struct weir_error e = { 0 };
    struct weir_buf manifest = { 0 };
    struct weir_id blob;
    uint64_t size = 0;
    (void) state;
    node_init (&a, 1);
    struct weir_id db = node_create (&a, "a");
    struct weir_id chunk = weir_chunk_id (weir_bytes (bytes, WEIR_CHUNK_BYTES));
    /* Not before all chunks are here. */
    weir_manifest_begin (&manifest, WEIR_CHUNK_BYTES);
    weir_buf_put_bytes (&manifest, weir_id_bytes (&chunk));
    assert_int_equal (
        weir_repo_blob_put (a.repo, &db, weir_buf_bytes (&manifest), &blob, &size, &e),
        WEIR_BLOB_MISSING);
    assert_int_equal (weir_repo_blob_put (a.repo, &db, weir_bytes ("x", 1), &blob, &size, &e),
                      WEIR_NEEDS_UPGRADE);
    assert_false (weir_repo_blob_holds (a.repo, &db, &chunk));
    assert_int_equal (weir_repo_blob_part (a.repo, &db, weir_bytes (NULL, 0), &manifest),
                      WEIR_INVALID_ARGUMENT);
    blob = put (&a, &db, bytes, SIZE);
    assert_true (weir_repo_blob_holds (a.repo, &db, &chunk));
    struct weir_id again = put (&a, &db, bytes, SIZE);
    assert_true (weir_id_equal (&blob, &again));
    name (&a, &db, "/m/k", &blob, SIZE);
    struct weir_blob_totals t = totals (&a, &db);
    assert_int_equal (t.blobs, 1);
    assert_int_equal (t.bytes, SIZE);
    assert_int_equal (t.missing_blobs + t.missing_bytes + t.kept_bytes, 0);
    assert_reads (&a, &db, &blob, bytes, SIZE);
    node_restart (&a);
    assert_reads (&a, &db, &blob, bytes, SIZE);
    assert_int_equal (weir_repo_blob_read (a.repo, &db, &chunk, 0, 10, &manifest, &size, &e),
                      WEIR_NOT_FOUND);
    /* An empty one is whole at once. */
    struct weir_id empty = put (&a, &db, bytes, 0);
    name (&a, &db, "/m/e", &empty, 0);
    assert_int_equal (totals (&a, &db).missing_blobs, 0);
    weir_buf_fini (&manifest);
    node_fini (&a);
    free (bytes);
}

static void
test_missing_and_fetched (void **state)
{
    struct node a;
    struct node b;
    uint8_t *bytes = content (SIZE, 2);
    struct weir_error e = { 0 };
    struct weir_buf out = { 0 };
    uint64_t size = 0;
    (void) state;
    node_init (&a, 1);
    node_init (&b, 2);
    struct weir_id db = node_create (&a, "a");
    (void) node_grant (&a, &db, &b, WEIR_RIGHT_WRITE);
    struct weir_id blob = put (&a, &db, bytes, SIZE);
    name (&a, &db, "/m/k", &blob, SIZE);
    node_pull (&b, &a, &db);
    /* Named and not here, before the document was ever looked at, and after a crash. */
    struct weir_blob_totals t;
    assert_int_equal (weir_repo_blob_totals (b.repo, &db, &t), WEIR_OK);
    assert_int_equal (t.missing_blobs, 1);
    assert_int_equal (t.missing_bytes, SIZE);
    node_sync (&b);
    node_crash (&b, 0);
    assert_int_equal (totals (&b, &db).missing_bytes, SIZE);
    assert_int_equal (weir_repo_blob_read (b.repo, &db, &blob, 0, 10, &out, &size, &e),
                      WEIR_BLOB_MISSING);
    assert_int_equal (size, SIZE);
    /* Wrong bytes are not taken. */
    struct wants w = { .max = 64 };
    assert_int_equal (weir_repo_blob_wants (b.repo, &db, want, &w), WEIR_OK);
    assert_int_equal (w.count, 1);
    assert_true (w.pieces[0].is_manifest);
    assert_int_equal (weir_repo_piece_take (b.repo, &db, &blob, true, weir_bytes ("x", 1)),
                      WEIR_BAD_PAYLOAD);
    assert_int_equal (weir_repo_piece_take (b.repo, &db, &blob, false, weir_bytes ("x", 1)),
                      WEIR_EXISTS);
    assert_int_equal (weir_repo_piece_read (b.repo, &db, &blob, true, &out), WEIR_NOT_FOUND);
    /* The manifest, then two of four chunks, then a crash: two are left. */
    assert_int_equal (fetch (&b, &a, &db, 64), 1);
    assert_int_equal (fetch (&b, &a, &db, 2), 2);
    node_sync (&b);
    node_crash (&b, 0);
    t = totals (&b, &db);
    assert_int_equal (t.missing_blobs, 1);
    assert_int_equal (t.missing_bytes, WEIR_CHUNK_BYTES + 77u);
    assert_int_equal (weir_repo_blob_read (b.repo, &db, &blob, SIZE - 1, 10, &out, &size, &e),
                      WEIR_BLOB_MISSING);
    assert_int_equal (weir_repo_blob_read (b.repo, &db, &blob, 5, 10, &out, &size, &e), WEIR_OK);
    assert_int_equal (fetch (&b, &a, &db, 64), 2);
    assert_int_equal (fetch (&b, &a, &db, 64), 0);
    assert_int_equal (totals (&b, &db).missing_blobs, 0);
    assert_reads (&b, &db, &blob, bytes, SIZE);
    /* And on from here. */
    weir_buf_clear (&out);
    assert_int_equal (weir_repo_piece_read (b.repo, &db, &blob, true, &out), WEIR_OK);
    weir_buf_fini (&out);
    node_fini (&a);
    node_fini (&b);
    free (bytes);
}

/* A member's manifest that lies about its chunks: no other peer can mend that. */
static void
test_lying_manifest (void **state)
{
    struct node a;
    struct node b;
    struct weir_buf manifest = { 0 };
    struct weir_error e = { 0 };
    uint64_t size = 0;
    (void) state;
    node_init (&a, 1);
    node_init (&b, 2);
    struct weir_id db = node_create (&a, "a");
    (void) node_grant (&a, &db, &b, WEIR_RIGHT_WRITE);
    struct weir_id chunk = weir_chunk_id (weir_bytes ("abc", 3));
    weir_manifest_begin (&manifest, 4);
    weir_buf_put_bytes (&manifest, weir_id_bytes (&chunk));
    struct weir_id blob = weir_blob_id (weir_buf_bytes (&manifest));
    struct weir_id none = weir_blob_id (weir_bytes ("no", 2));
    name (&a, &db, "/m/k", &blob, 4);
    name (&a, &db, "/m/l", &none, 9);
    node_pull (&b, &a, &db);
    assert_int_equal (totals (&b, &db).missing_blobs, 2);
    assert_int_equal (weir_repo_piece_take (b.repo, &db, &blob, true, weir_buf_bytes (&manifest)),
                      WEIR_OK);
    struct wants w = { .max = 64 };
    assert_int_equal (weir_repo_blob_wants (b.repo, &db, want, &w), WEIR_OK);
    assert_int_equal (w.count, 2);
    assert_int_equal (weir_repo_piece_take (b.repo, &db, &chunk, false, weir_bytes ("abc", 3)),
                      WEIR_OK);
    assert_int_equal (weir_repo_piece_take (b.repo, &db, &none, true, weir_bytes ("no", 2)),
                      WEIR_EXISTS);
    assert_int_equal (totals (&b, &db).missing_blobs, 0); /* nothing to wait for */
    weir_buf_clear (&manifest);
    assert_int_equal (weir_repo_blob_read (b.repo, &db, &blob, 0, 4, &manifest, &size, &e),
                      WEIR_BAD_PAYLOAD);
    weir_buf_fini (&manifest);
    node_fini (&a);
    node_fini (&b);
}

/* A manifest of so many bytes, as its author likes it, named at a path. */
static struct weir_id
lie (struct node *n, const struct weir_id *db, const char *path, uint64_t bytes,
     const struct weir_id *chunks, size_t n_chunks, struct weir_buf *manifest)
{
    weir_buf_clear (manifest);
    weir_manifest_begin (manifest, bytes);
    for (size_t i = 0; i < n_chunks; i++) {
        weir_buf_put_bytes (manifest, weir_id_bytes (&chunks[i]));
    }
    struct weir_id blob = weir_blob_id (weir_buf_bytes (manifest));
    name (n, db, path, &blob, bytes);
    return blob;
}

/* Empty, and longer than a chunk can be: whoever names these has no honest content. */
static void
test_no_chunks (void **state)
{
    struct node a;
    struct weir_buf manifest = { 0 };
    uint8_t *bytes = content (WEIR_CHUNK_BYTES + 1, 1);
    (void) state;
    node_init (&a, 1);
    struct weir_id db = node_create (&a, "a");
    for (size_t i = 0; i < 2; i++) {
        struct weir_bytes piece = weir_bytes (bytes, i == 0 ? 0 : WEIR_CHUNK_BYTES + 1);
        struct weir_id chunk = weir_chunk_id (piece);
        struct weir_id blob = lie (&a, &db, "/m/k", 1, &chunk, 1, &manifest);
        assert_int_equal (
            weir_repo_piece_take (a.repo, &db, &blob, true, weir_buf_bytes (&manifest)), WEIR_OK);
        assert_int_equal (totals (&a, &db).missing_blobs, 1);
        assert_int_equal (weir_repo_piece_take (a.repo, &db, &chunk, false, piece), WEIR_EXISTS);
        assert_int_equal (totals (&a, &db).missing_blobs, 0);
        assert_false (weir_repo_blob_holds (a.repo, &db, &chunk));
    }
    weir_buf_fini (&manifest);
    node_fini (&a);
    free (bytes);
}

#define VICTIMS 6u
#define VICTIM_BYTES (WEIR_CHUNK_BYTES + 77u)

/* An honest blob on `a`, and a manifest that names its chunks the other way round; `b` has both
 * manifests and no chunk. Which one stands first is the other one the next time. */
static struct weir_id
victim (struct node *a, struct node *b, const struct weir_id *db, const uint8_t *bytes, size_t i,
        struct weir_id *hostile)
{
    struct weir_buf manifest = { 0 };
    struct weir_buf out = { 0 };
    struct weir_id chunks[] = {
        weir_chunk_id (weir_bytes (bytes + WEIR_CHUNK_BYTES, VICTIM_BYTES - WEIR_CHUNK_BYTES)),
        weir_chunk_id (weir_bytes (bytes, WEIR_CHUNK_BYTES)),
    };
    struct weir_id honest = put (a, db, bytes, VICTIM_BYTES);
    for (size_t k = 0; k < 2; k++) {
        char path[32];
        snprintf (path, sizeof path, "/%s/%zu", k == i % 2 ? "f" : "e", i);
        if (k == i % 2) {
            name (a, db, path, &honest, VICTIM_BYTES);
        } else {
            *hostile = lie (a, db, path, WEIR_CHUNK_BYTES + 1, chunks, 2, &manifest);
        }
    }
    node_pull (b, a, db);
    assert_int_equal (weir_repo_piece_take (b->repo, db, hostile, true, weir_buf_bytes (&manifest)),
                      WEIR_OK);
    assert_int_equal (weir_repo_piece_read (a->repo, db, &honest, true, &out), WEIR_OK);
    assert_int_equal (weir_repo_piece_take (b->repo, db, &honest, true, weir_buf_bytes (&out)),
                      WEIR_OK);
    weir_buf_fini (&manifest);
    weir_buf_fini (&out);
    return honest;
}

/* Manifests that name the chunks of honest blobs with other sizes, looked at before the honest ones
 * and behind them: only the liars are broken. */
static void
test_other_size (void **state)
{
    struct node a;
    struct node b;
    struct weir_buf out = { 0 };
    struct weir_error e = { 0 };
    struct weir_id honest[VICTIMS];
    struct weir_id hostile[VICTIMS];
    uint8_t *bytes[VICTIMS];
    size_t n_first[2] = { 0 };
    uint64_t size = 0;
    (void) state;
    node_init (&a, 1);
    node_init (&b, 2);
    struct weir_id db = node_create (&a, "a");
    (void) node_grant (&a, &db, &b, WEIR_RIGHT_WRITE);
    for (size_t i = 0; i < VICTIMS; i++) {
        bytes[i] = content (VICTIM_BYTES, (uint8_t) (i + 1));
        honest[i] = victim (&a, &b, &db, bytes[i], i, &hostile[i]);
    }
    struct wants w = { .max = 64 };
    assert_int_equal (totals (&b, &db).missing_blobs, 2 * VICTIMS);
    assert_int_equal (weir_repo_blob_wants (b.repo, &db, want, &w), WEIR_OK);
    assert_int_equal (w.count, 2 * VICTIMS);
    for (size_t i = 0; i < w.count; i++) {
        bool is_hostile = false;
        for (size_t k = 0; k < VICTIMS; k++) {
            is_hostile = is_hostile || weir_id_equal (&w.pieces[i].blob, &hostile[k]);
        }
        n_first[is_hostile]++;
        weir_buf_clear (&out);
        assert_int_equal (weir_repo_piece_read (a.repo, &db, &w.pieces[i].id, false, &out),
                          WEIR_OK);
        assert_int_equal (
            weir_repo_piece_take (b.repo, &db, &w.pieces[i].id, false, weir_buf_bytes (&out)),
            WEIR_OK);
        assert_true (totals (&b, &db).missing_bytes <= 2 * VICTIMS * VICTIM_BYTES);
    }
    assert_true (n_first[0] > 0 && n_first[1] > 0);
    for (int again = 0; again < 2; again++) {
        assert_int_equal (totals (&b, &db).missing_blobs, 0);
        assert_int_equal (totals (&b, &db).missing_bytes, 0);
        for (size_t i = 0; i < VICTIMS; i++) {
            assert_reads (&b, &db, &honest[i], bytes[i], VICTIM_BYTES);
            assert_int_equal (weir_repo_blob_read (b.repo, &db, &hostile[i], 0, 4, &out, &size, &e),
                              WEIR_BAD_PAYLOAD);
        }
        node_restart (&b);
    }
    for (size_t i = 0; i < VICTIMS; i++) {
        free (bytes[i]);
    }
    weir_buf_fini (&out);
    node_fini (&a);
    node_fini (&b);
}

static void
work (struct node *n, uint64_t ms)
{
    n->now_ms += ms;
    for (size_t i = 0; i < 64 && weir_repo_work (n->repo, n->now_ms); i++) {
    }
    node_sync (n);
}

static size_t
rows (struct node *n, enum weir_repo_table table)
{
    uint8_t from = (uint8_t) table;
    uint8_t to = (uint8_t) (table + 1);
    struct weir_kv_iter *iter =
        weir_kv_iter_new (n->kv, weir_bytes (&from, 1), weir_bytes (&to, 1), false);
    size_t count = 0;
    while (weir_kv_iter_next (iter, NULL, NULL)) {
        count++;
    }
    weir_kv_iter_destroy (&iter);
    return count;
}

static void
test_collected (void **state)
{
    const uint64_t week = WEIR_BLOB_KEEP_SECS * 1000ull;
    struct node a;
    uint8_t *bytes = content (SIZE, 3);
    struct weir_buf ids = { 0 };
    (void) state;
    node_init (&a, 1);
    struct weir_id db = node_create (&a, "a");
    struct weir_id blob = put (&a, &db, bytes, SIZE);
    /* Shares all but its first chunk with the other. */
    bytes[0]++;
    struct weir_id like = put (&a, &db, bytes, SIZE);
    name (&a, &db, "/m/k", &blob, SIZE);
    name (&a, &db, "/m/l", &like, SIZE);
    work (&a, 2 * week); /* visible: kept, however old */
    assert_int_equal (rows (&a, WEIR_REPO_TABLE_CONTENT), 7);
    name (&a, &db, "/m/k", NULL, 0);
    work (&a, 70000);
    struct weir_blob_totals t = totals (&a, &db);
    assert_int_equal (t.blobs, 1);
    assert_int_equal (t.kept_bytes, SIZE);
    work (&a, week - 200000);
    assert_int_equal (rows (&a, WEIR_REPO_TABLE_CONTENT), 7);
    work (&a, 400000);
    work (&a, 70000);
    assert_int_equal (rows (&a, WEIR_REPO_TABLE_CONTENT), 5);
    assert_int_equal (rows (&a, WEIR_REPO_TABLE_CHUNK), 4);
    assert_reads (&a, &db, &like, bytes, SIZE);
    /* Named again, it is wanted again. */
    name (&a, &db, "/m/k", &blob, SIZE);
    assert_int_equal (totals (&a, &db).missing_blobs, 1);
    /* What a put has written stays for a day, and for another when it is asked for. */
    bytes[0]++;
    assert_int_equal (weir_repo_blob_part (a.repo, &db, weir_bytes (bytes, 100), &ids), WEIR_OK);
    struct weir_id chunk;
    memcpy (chunk.b, ids.data, WEIR_ID_BYTES);
    work (&a, WEIR_BLOB_UPLOAD_KEEP_MS - 70000);
    assert_true (weir_repo_blob_holds (a.repo, &db, &chunk));
    work (&a, WEIR_BLOB_UPLOAD_KEEP_MS - 70000);
    assert_true (weir_repo_blob_holds (a.repo, &db, &chunk));
    work (&a, WEIR_BLOB_UPLOAD_KEEP_MS + 1);
    work (&a, 70000);
    assert_false (weir_repo_blob_holds (a.repo, &db, &chunk));
    weir_buf_fini (&ids);
    node_fini (&a);
    free (bytes);
}

/* A manifest that names another blob as its chunk: that one comes all the same, and stays when the
 * liar is collected. */
static void
test_blob_as_chunk (void **state)
{
    const uint64_t week = WEIR_BLOB_KEEP_SECS * 1000ull;
    struct node a;
    struct node b;
    uint8_t *bytes = content (SIZE, 6);
    struct weir_buf manifest = { 0 };
    struct weir_buf out = { 0 };
    (void) state;
    node_init (&a, 1);
    node_init (&b, 2);
    struct weir_id db = node_create (&a, "a");
    (void) node_grant (&a, &db, &b, WEIR_RIGHT_WRITE);
    struct weir_id blob = put (&a, &db, bytes, SIZE);
    name (&a, &db, "/m/k", &blob, SIZE);
    struct weir_id liar = lie (&a, &db, "/m/l", 100, &blob, 1, &manifest);
    node_pull (&b, &a, &db);
    assert_int_equal (weir_repo_piece_take (b.repo, &db, &liar, true, weir_buf_bytes (&manifest)),
                      WEIR_OK);
    assert_int_equal (totals (&b, &db).missing_blobs, 2);
    struct wants w = { .max = 64 };
    assert_int_equal (weir_repo_blob_wants (b.repo, &db, want, &w), WEIR_OK);
    assert_int_equal (w.count, 2);
    assert_int_equal (weir_repo_piece_read (a.repo, &db, &blob, true, &out), WEIR_OK);
    assert_int_equal (weir_repo_piece_take (b.repo, &db, &blob, false, weir_buf_bytes (&out)),
                      WEIR_BAD_PAYLOAD);
    assert_int_equal (weir_repo_piece_take (b.repo, &db, &blob, true, weir_buf_bytes (&out)),
                      WEIR_OK);
    name (&a, &db, "/m/l", NULL, 0);
    node_pull (&b, &a, &db);
    work (&b, 70000); /* seen by a sweep, and then by a look */
    (void) totals (&b, &db);
    while (fetch (&b, &a, &db, 64) > 0) {
    }
    assert_reads (&b, &db, &blob, bytes, SIZE);
    work (&b, 70000);
    size_t before = rows (&b, WEIR_REPO_TABLE_CONTENT);
    work (&b, week + 400000);
    work (&b, 70000);
    assert_int_equal (rows (&b, WEIR_REPO_TABLE_CONTENT), before - 1); /* the liar's manifest */
    node_restart (&b);
    assert_reads (&b, &db, &blob, bytes, SIZE);
    weir_buf_fini (&manifest);
    weir_buf_fini (&out);
    node_fini (&a);
    node_fini (&b);
    free (bytes);
}

/* Overwrites the stored bytes of a piece behind the repository's back. */
static void
damage (struct node *n, const struct weir_id *piece)
{
    struct weir_repo_key key = weir_repo_key_db_id (WEIR_REPO_TABLE_CONTENT, 1, piece);
    struct weir_kv_batch *batch = weir_kv_batch_new ();
    weir_kv_put (batch, weir_repo_key_bytes (&key), weir_bytes ("damaged", 7));
    (void) weir_kv_write (n->kv, &batch);
    weir_kv_memory_sync (n->kv);
}

static void
test_damage (void **state)
{
    struct node a;
    struct node b;
    uint8_t *bytes = content (SIZE, 4);
    struct weir_buf out = { 0 };
    struct weir_error e = { 0 };
    uint64_t size = 0;
    (void) state;
    node_init (&a, 1);
    node_init (&b, 2);
    struct weir_id db = node_create (&a, "a");
    (void) node_grant (&a, &db, &b, WEIR_RIGHT_WRITE);
    struct weir_id blob = put (&a, &db, bytes, SIZE);
    struct weir_id chunk = weir_chunk_id (weir_bytes (bytes, WEIR_CHUNK_BYTES));
    name (&a, &db, "/m/k", &blob, SIZE);
    node_pull (&b, &a, &db);
    while (fetch (&b, &a, &db, 64) > 0) {
    }
    struct weir_blob_check check = { 0 };
    assert_int_equal (weir_repo_blob_check (b.repo, &db, true, &check), WEIR_OK);
    assert_int_equal (check.pieces, 5);
    assert_int_equal (check.bad, 0);
    node_sync (&b);
    damage (&b, &chunk);
    struct weir_check_report report;
    assert_int_equal (weir_repo_verify (b.repo, &db, NULL, NULL, &report), WEIR_CORRUPT);
    assert_int_equal (report.bad_pieces, 1);
    assert_int_equal (report.pieces, 5);
    memset (&check, 0, sizeof check);
    assert_int_equal (weir_repo_blob_check (b.repo, &db, false, &check), WEIR_OK);
    assert_int_equal (check.bad, 1);
    assert_int_equal (totals (&b, &db).missing_blobs, 0);
    assert_int_equal (weir_repo_blob_check (b.repo, &db, true, &check), WEIR_OK);
    assert_int_equal (totals (&b, &db).missing_bytes, WEIR_CHUNK_BYTES);
    assert_int_equal (fetch (&b, &a, &db, 64), 1);
    assert_reads (&b, &db, &blob, bytes, SIZE);
    /* Seen as it is read: by a client, and for a peer. */
    damage (&b, &chunk);
    assert_int_equal (weir_repo_blob_read (b.repo, &db, &blob, 0, 10, &out, &size, &e),
                      WEIR_BLOB_MISSING);
    assert_int_equal (fetch (&b, &a, &db, 64), 1);
    node_sync (&b);
    damage (&b, &blob);
    node_restart (&b);
    assert_int_equal (weir_repo_piece_read (b.repo, &db, &blob, true, &out), WEIR_CORRUPT);
    assert_int_equal (totals (&b, &db).missing_blobs, 1);
    assert_int_equal (fetch (&b, &a, &db, 64), 1);
    assert_int_equal (totals (&b, &db).missing_blobs, 0);
    assert_reads (&b, &db, &blob, bytes, SIZE);
    weir_buf_fini (&out);
    node_fini (&a);
    node_fini (&b);
    free (bytes);
}

static void
test_repaired_and_forgotten (void **state)
{
    struct node a;
    uint8_t *bytes = content (SIZE, 5);
    struct weir_check_report report;
    struct weir_error e = { 0 };
    (void) state;
    node_init (&a, 1);
    struct weir_id db = node_create (&a, "a");
    struct weir_id blob = put (&a, &db, bytes, SIZE);
    struct weir_id chunk = weir_chunk_id (weir_bytes (bytes, WEIR_CHUNK_BYTES));
    name (&a, &db, "/m/k", &blob, SIZE);
    node_sync (&a);
    damage (&a, &chunk);
    weir_repo_close (&a.repo);
    struct weir_repo_options options = { .kv = a.kv, .tips = a.tips, .identity = &a.key };
    options.seed[0] = 99;
    assert_int_equal (weir_repo_repair (&options, &report, &e), WEIR_OK);
    node_start (&a);
    struct weir_blob_totals t = totals (&a, &db);
    assert_int_equal (t.missing_blobs, 1);
    assert_int_equal (t.missing_bytes, WEIR_CHUNK_BYTES);
    struct weir_buf ids = { 0 };
    assert_int_equal (weir_repo_blob_part (a.repo, &db, weir_bytes (bytes, WEIR_CHUNK_BYTES), &ids),
                      WEIR_OK);
    assert_int_equal (totals (&a, &db).missing_blobs, 0);
    assert_reads (&a, &db, &blob, bytes, SIZE);
    assert_int_equal (weir_repo_forget (a.repo, &db), WEIR_OK);
    work (&a, 1000);
    assert_int_equal (rows (&a, WEIR_REPO_TABLE_CONTENT), 0);
    assert_int_equal (rows (&a, WEIR_REPO_TABLE_CHUNK), 0);
    assert_int_equal (rows (&a, WEIR_REPO_TABLE_BLOB), 0);
    weir_buf_fini (&ids);
    node_fini (&a);
    free (bytes);
}

/* More blobs than are looked at, and those before them nobody has: theirs is the next turn. */
static void
test_rotated (void **state)
{
    struct node a;
    struct node b;
    struct weir_id db;
    struct wants w = { .max = 64 };
    (void) state;
    node_init (&a, 1);
    node_init (&b, 2);
    db = node_create (&a, "a");
    (void) node_grant (&a, &db, &b, WEIR_RIGHT_WRITE);
    for (uint32_t i = 0; i < WEIR_BLOBS_ACTIVE_MAX + 2; i++) {
        uint8_t *bytes = content (100, (uint8_t) i);
        char path[32];
        snprintf (path, sizeof path, "/f/%u", i);
        struct weir_id blob = put (&a, &db, bytes, 100);
        name (&a, &db, path, &blob, 100);
        free (bytes);
    }
    node_pull (&b, &a, &db);
    struct weir_blob_totals t = totals (&b, &db);
    assert_int_equal (t.missing_blobs, WEIR_BLOBS_ACTIVE_MAX + 2);
    assert_int_equal (weir_repo_blob_wants (b.repo, &db, want, &w), WEIR_OK);
    assert_int_equal (w.count, WEIR_BLOBS_ACTIVE_MAX);
    struct weir_id first = w.pieces[0].blob;
    weir_repo_blobs_rotate (b.repo, &db);
    w.count = 0;
    assert_int_equal (weir_repo_blob_wants (b.repo, &db, want, &w), WEIR_OK);
    assert_int_equal (w.count, WEIR_BLOBS_ACTIVE_MAX);
    assert_memory_equal (&w.pieces[2].blob, &first, sizeof first); /* the two others, then anew */
    struct weir_blob_totals after = totals (&b, &db);
    assert_memory_equal (&after, &t, sizeof t);
    while (fetch (&b, &a, &db, 1) > 0) { /* a manifest that comes does not turn it back */
    }
    assert_int_equal (totals (&b, &db).missing_blobs, 0);
    node_fini (&a);
    node_fini (&b);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_put_and_read),   cmocka_unit_test (test_missing_and_fetched),
        cmocka_unit_test (test_lying_manifest), cmocka_unit_test (test_collected),
        cmocka_unit_test (test_damage),         cmocka_unit_test (test_repaired_and_forgotten),
        cmocka_unit_test (test_rotated),        cmocka_unit_test (test_no_chunks),
        cmocka_unit_test (test_other_size),     cmocka_unit_test (test_blob_as_chunk),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
