/* Goal: manifests: pinned bytes and ids, sizes and ids that must fit together, and nothing believed
 * of one that is cut, too long, or of another format. */

#include "tests/store/dag/fixture.h"

#include "store/base/limits.h"
#include "store/dag/blob.h"

static void
test_sizes (void **state)
{
    static const struct {
        uint64_t bytes;
        uint32_t chunks;
        uint32_t last;
    } cases[] = {
        { 0, 0, 0 },
        { 1, 1, 1 },
        { WEIR_CHUNK_BYTES, 1, WEIR_CHUNK_BYTES },
        { WEIR_CHUNK_BYTES + 1u, 2, 1 },
        { WEIR_BLOB_BYTES_MAX, WEIR_BLOB_CHUNKS_MAX, WEIR_CHUNK_BYTES },
    };
    (void) state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal (weir_blob_chunks (cases[i].bytes), cases[i].chunks);
        if (cases[i].chunks > 0) {
            assert_int_equal (weir_blob_chunk_bytes (cases[i].bytes, cases[i].chunks - 1),
                              cases[i].last);
        }
    }
}

static void
test_manifest (void **state)
{
    struct weir_buf bytes = { 0 };
    struct weir_manifest m;
    struct weir_id a = weir_chunk_id (weir_bytes ("a", 1));
    (void) state;
    weir_manifest_begin (&bytes, WEIR_CHUNK_BYTES + 7u);
    weir_buf_put_bytes (&bytes, weir_id_bytes (&a));
    weir_buf_put_bytes (&bytes, weir_id_bytes (&a));
    assert_int_equal (bytes.len, 9 + 2 * WEIR_ID_BYTES);
    assert_memory_equal (bytes.data, "\x01\0\0\0\0\0\x01\0\x07", 9);
    assert_int_equal (weir_manifest_read (&m, weir_buf_bytes (&bytes)), WEIR_OK);
    assert_int_equal (m.n_chunks, 2);
    assert_int_equal (m.bytes, WEIR_CHUNK_BYTES + 7u);
    struct weir_id b = weir_manifest_chunk (&m, 1);
    assert_true (weir_id_equal (&a, &b));
    /* One name cannot stand for a chunk and for a manifest. */
    struct weir_id as_chunk = weir_chunk_id (weir_buf_bytes (&bytes));
    struct weir_id as_blob = weir_blob_id (weir_buf_bytes (&bytes));
    assert_false (weir_id_equal (&as_chunk, &as_blob));
    for (size_t len = 0; len < bytes.len; len++) {
        assert_int_not_equal (weir_manifest_read (&m, weir_bytes (bytes.data, len)), WEIR_OK);
    }
    weir_buf_put_u8 (&bytes, 0);
    assert_int_equal (weir_manifest_read (&m, weir_buf_bytes (&bytes)), WEIR_BAD_PAYLOAD);
    bytes.len--;
    bytes.data[0] = 2;
    assert_int_equal (weir_manifest_read (&m, weir_buf_bytes (&bytes)), WEIR_NEEDS_UPGRADE);
    bytes.data[0] = 1;
    memset (bytes.data + 1, 0xff, 8);
    assert_int_equal (weir_manifest_read (&m, weir_buf_bytes (&bytes)), WEIR_TOO_LARGE);
    weir_buf_fini (&bytes);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_sizes),
        cmocka_unit_test (test_manifest),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
