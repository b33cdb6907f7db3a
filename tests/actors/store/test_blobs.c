/* Goal: blobs in the store actor: what of the disk is reserved is not used by parts and pieces that
 * come faster than it is looked at, and a path that takes no blob is refused before its content. */

#include "tests/actors/store/fake.h"

#include "store/dag/blob.h"

#define NONE weir_bytes (NULL, 0)

static const struct weir_mailbox_id link_box = { { 'T' } };

static enum weir_status
blob_part (struct fake *f, const char *path, struct weir_bytes body)
{
    Weir__BlobPart ask = WEIR__BLOB_PART__INIT;
    ask.has_db = true;
    ask.db = weir_field_str ("notes");
    ask.has_ids = body.len == 0;
    ask.has_path = path != NULL;
    ask.path = weir_field_str (path);
    return fake_call (f, WEIR_KIND_BLOB_PART, &ask.base, body, NULL);
}

/* Parts of blobs come faster than the disk is looked at: they count until it is, and once more. */
static void
test_blob_reserve (void **state)
{
    (void) state;
    struct fake *f = calloc (1, sizeof *f);
    uint8_t *part = calloc (1, WEIR_BLOB_PART_BYTES);
    fake_init (f, 12);
    fake_create (f, "notes");
    uint64_t reserve = weir_actor_settings (f->store->actor)->disk_reserve_mb << 20;
    fake_wait (f, 1000);
    assert_true (f->store->disk_free_bytes > reserve);
    f->store->disk_free_bytes = reserve + 2 * WEIR_BLOB_PART_BYTES;
    f->store->disk_checked_ms = f->now_ms;
    for (uint8_t i = 0; i < 4; i++) {
        part[0] = i;
        assert_int_equal (blob_part (f, NULL, weir_bytes (part, WEIR_BLOB_PART_BYTES)),
                          i < 3 ? WEIR_OK : WEIR_DISK_FULL);
    }
    assert_true (f->store->disk_full);
    assert_int_equal (fake_set (f, "notes", "/m/b", "1"), WEIR_DISK_FULL);
    fake_wait (f, 1000);
    assert_int_equal (fake_set (f, "notes", "/m/b", "1"), WEIR_OK);
    assert_int_equal (f->store->disk_coming_bytes, 3 * WEIR_BLOB_PART_BYTES);
    f->store->disk_free_bytes = reserve + 3 * WEIR_BLOB_PART_BYTES - 1;
    assert_int_equal (fake_set (f, "notes", "/m/b", "2"), WEIR_DISK_FULL);
    fake_wait (f, 1000);
    assert_int_equal (fake_set (f, "notes", "/m/b", "2"), WEIR_OK);
    assert_int_equal (f->store->disk_coming_bytes + f->store->disk_used_bytes, 0);
    free (part);
    fake_fini (f);
    free (f);
}

static void
piece_in (struct fake *f, const struct weir_id *id, bool is_manifest, struct weir_bytes body)
{
    Weir__BlobPiece m = WEIR__BLOB_PIECE__INIT;
    m.has_link = m.has_tag = m.has_id = m.has_manifest = true;
    m.link = 9;
    m.tag = 77;
    m.id = weir_field_id (id);
    m.manifest = is_manifest;
    fake_tell (f, WEIR_KIND_BLOB_PIECE_IN, &link_box, &m.base, body);
    fake_turn (f);
    fake_sync (f);
}

/* The same of pieces that come from a peer; they are asked for again when there is room. */
static void
test_fetch_reserve (void **state)
{
    (void) state;
    struct fake *f = calloc (1, sizeof *f);
    uint8_t *chunk = calloc (1, WEIR_CHUNK_BYTES);
    struct weir_buf manifest = { 0 };
    struct weir_id ids[3];
    char value[160];
    fake_init (f, 14);
    fake_peers_up (f);
    struct weir_id db = fake_create (f, "notes");
    uint64_t reserve = weir_actor_settings (f->store->actor)->disk_reserve_mb << 20;
    weir_manifest_begin (&manifest, 3 * WEIR_CHUNK_BYTES);
    for (uint8_t i = 0; i < 3; i++) {
        chunk[0] = i;
        ids[i] = weir_chunk_id (weir_bytes (chunk, WEIR_CHUNK_BYTES));
        weir_buf_put_bytes (&manifest, weir_id_bytes (&ids[i]));
    }
    struct weir_id blob = weir_blob_id (weir_buf_bytes (&manifest));
    snprintf (value, sizeof value, "{\"$blob\":\"%s\",\"bytes\":%u}", weir_id_text (&blob).s,
              3 * WEIR_CHUNK_BYTES);
    assert_int_equal (fake_set (f, "notes", "/m/b", value), WEIR_OK);
    Weir__BlobPeer peer = WEIR__BLOB_PEER__INIT;
    peer.has_session = peer.has_link = peer.has_mailbox = peer.has_device = true;
    peer.has_db = peer.has_tag = true;
    peer.session = 5;
    peer.link = 9;
    peer.tag = 77;
    peer.mailbox = weir_field_of (weir_bytes (link_box.b, sizeof link_box.b));
    peer.device = weir_field_id (&blob);
    peer.db = weir_field_id (&db);
    fake_tell (f, WEIR_KIND_BLOB_PEER, &link_box, &peer.base, NONE);
    fake_wait (f, 1000);
    piece_in (f, &blob, true, weir_buf_bytes (&manifest));
    fake_wait (f, 1000);
    fake_wait (f, 1000);
    f->store->disk_free_bytes = reserve + 2 * WEIR_CHUNK_BYTES - 1;
    f->store->disk_checked_ms = f->now_ms;
    uint64_t dropped = f->store->frames_dropped;
    for (uint8_t i = 0; i < 3; i++) {
        chunk[0] = i;
        piece_in (f, &ids[i], false, weir_bytes (chunk, WEIR_CHUNK_BYTES));
        assert_int_equal (f->store->frames_dropped - dropped, i < 2 ? 0 : 1);
    }
    struct weir_settings_values *v = (void *) (uintptr_t) weir_actor_settings (f->store->actor);
    v->disk_reserve_mb = 1u << 30;
    for (size_t i = 0; i < 30; i++) {
        fake_wait (f, 1000);
    }
    assert_true (f->store->disk_full);
    v->disk_reserve_mb = 1;
    fake_clear (f);
    for (size_t i = 0; i < 100 && fake_last (f, WEIR_KIND_BLOB_SAY) == NULL; i++) {
        fake_wait (f, 1000);
    }
    assert_false (f->store->disk_full);
    assert_non_null (fake_last (f, WEIR_KIND_BLOB_SAY));
    piece_in (f, &ids[2], false, weir_bytes (chunk, WEIR_CHUNK_BYTES));
    assert_int_equal (f->store->frames_dropped - dropped, 1);
    weir_buf_fini (&manifest);
    free (chunk);
    fake_fini (f);
    free (f);
}

/* A path that takes no blob is refused before any of it is there. */
static void
test_blob_path (void **state)
{
    static const struct {
        const char *path;
        enum weir_status status;
    } rows[] = {
        { "/m/new", WEIR_OK },      { "/m/deep/new", WEIR_OK },  { "/e", WEIR_INVALID_ARGUMENT },
        { "e", WEIR_INVALID_PATH }, { "/m/a/b", WEIR_CONFLICT }, { "\xff", WEIR_INVALID_PATH },
    };
    (void) state;
    struct fake *f = calloc (1, sizeof *f);
    fake_init (f, 13);
    fake_create (f, "notes");
    assert_int_equal (fake_set (f, "notes", "/m/a", "1"), WEIR_OK);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal (blob_part (f, rows[i].path, NONE), rows[i].status);
        assert_int_equal (blob_part (f, rows[i].path, weir_bytes_str ("content")), rows[i].status);
    }
    fake_fini (f);
    free (f);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_blob_reserve),
        cmocka_unit_test (test_fetch_reserve),
        cmocka_unit_test (test_blob_path),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
