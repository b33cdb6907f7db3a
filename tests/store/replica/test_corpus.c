/* Goal: the seeds of fuzz_payload, fuzz_state and fuzz_export decode today, so that a change of a
 * format cannot leave the fuzzers with seeds that no longer do. With WEIR_WRITE_CORPUS=1 in the
 * environment this writes them. Runs from the root of the repository. */

#include "store/replica/export_parts.h"
#include "tests/store/replica/replica_fixture.h"
#include "tests/support/document.h"

#include <stdio.h>

#define CORPUS "tests/fuzz/corpus/"

static void
write_seed (const char *path, struct weir_bytes seed)
{
    if (getenv ("WEIR_WRITE_CORPUS") != NULL) {
        FILE *f = fopen (path, "wb");
        assert_non_null (f);
        assert_int_equal (fwrite (seed.data, 1, seed.len, f), seed.len);
        assert_int_equal (fclose (f), 0);
    }
}

static void
read_seed (const char *path, struct weir_buf *out)
{
    FILE *f = fopen (path, "rb");
    if (f == NULL) {
        fail_msg ("%s is missing: run with WEIR_WRITE_CORPUS=1", path);
    }
    weir_buf_reserve (out, 1u << 16);
    out->len = fread (out->data, 1, 1u << 16, f);
    (void) fclose (f);
}

static const char *const parts[] = { "map", "sequences", "tree", "counter", "all" };

static unsigned
part_bits (size_t i)
{
    return i < SAMPLE_PARTS ? 1u << i : 15u;
}

static void
test_payloads (void **state)
{
    (void) state;
    for (size_t i = 0; i < 5; i++) {
        struct sample sample;
        struct weir_buf path = { 0 };
        struct weir_buf seed = { 0 };
        struct weir_bytes message;
        uint32_t ops = 0;
        sample_init (&sample, part_bits (i));
        weir_buf_printf (&path, CORPUS "fuzz_payload/types-%s", parts[i]);
        write_seed (weir_buf_str (&path), weir_buf_bytes (&sample.payload));
        read_seed (weir_buf_str (&path), &seed);
        assert_int_equal (weir_doc_payload_info (weir_buf_bytes (&seed), &message, &ops), WEIR_OK);
        assert_int_equal (ops, sample.entry.ops);
        weir_buf_fini (&path);
        weir_buf_fini (&seed);
        sample_fini (&sample);
    }
}

static void
test_states (void **state)
{
    (void) state;
    for (size_t i = 0; i < 5; i++) {
        struct sample sample;
        struct weir_buf path = { 0 };
        struct weir_buf seed = { 0 };
        struct weir_doc *doc = weir_doc_new ();
        struct weir_doc *loaded = NULL;
        sample_init (&sample, part_bits (i));
        assert_int_equal (
            weir_doc_apply (doc, &sample.entry, weir_buf_bytes (&sample.payload), NULL), WEIR_OK);
        weir_doc_save (doc, &seed);
        weir_buf_printf (&path, CORPUS "fuzz_state/%s", parts[i]);
        write_seed (weir_buf_str (&path), weir_buf_bytes (&seed));
        weir_buf_clear (&seed);
        read_seed (weir_buf_str (&path), &seed);
        assert_int_equal (weir_doc_load (&loaded, weir_buf_bytes (&seed)), WEIR_OK);
        weir_doc_destroy (&loaded);
        weir_doc_destroy (&doc);
        weir_buf_fini (&path);
        weir_buf_fini (&seed);
        sample_fini (&sample);
    }
}

/* Without what stands before the header: the fuzzer makes it. */
static void
check_export (const char *path, struct weir_buf *blob)
{
    struct weir_buf whole = { 0 };
    struct weir_export_info info;
    write_seed (path, weir_bytes (blob->data + WEIR_EXPORT_BEGIN, blob->len - WEIR_EXPORT_BEGIN));
    weir_buf_clear (blob);
    read_seed (path, blob);
    weir_buf_put (&whole, WEIR_EXPORT_MAGIC, WEIR_EXPORT_MAGIC_BYTES);
    weir_buf_reserve (&whole, WEIR_EXPORT_CHECK_BYTES);
    whole.len += WEIR_EXPORT_CHECK_BYTES;
    weir_buf_put_bytes (&whole, weir_buf_bytes (blob));
    weir_export_check (weir_buf_bytes (&whole), whole.data + WEIR_EXPORT_MAGIC_BYTES);
    lab_ok (weir_export_read_info (weir_buf_bytes (&whole), &info, &e));
    weir_export_info_fini (&info);
    weir_buf_fini (&whole);
    weir_buf_fini (blob);
}

static void
test_exports (void **state)
{
    (void) state;
    struct lab lab;
    lab_init (&lab);
    struct weir_replica *a = lab_replica (&lab, 0);
    struct weir_replica *b = lab_replica (&lab, 1);
    struct weir_op_vector v = { 0 };
    lab_type (a, 0, "hello world");
    lab_set (a, "k", 1);
    struct weir_id first = lab_commit (a, "", 1700000000000u);
    lab_type (a, 0, "more ");
    (void) lab_commit (a, "said", 1700000000300u);
    lab_sync (a, b);
    lab_vector (a, &v);
    lab_type (b, 3, "B");
    lab_type (a, 5, "A");
    lab_sync (b, a);
    struct weir_heads heads = { 0 };
    weir_heads_put (&heads, &first);
    struct weir_export shallow = { .mode = WEIR_EXPORT_SHALLOW, .root = &heads };
    struct weir_buf blob = lab_snapshot (a);
    check_export (CORPUS "fuzz_export/snapshot", &blob);
    blob = lab_update (a, &v);
    check_export (CORPUS "fuzz_export/update", &blob);
    lab_ok (weir_replica_export (a, &shallow, &blob, &e));
    check_export (CORPUS "fuzz_export/shallow", &blob);
    lab_vector (a, &v);
    blob = lab_update (a, &v);
    check_export (CORPUS "fuzz_export/empty", &blob);
    /* What waits. */
    struct weir_replica *c = lab_replica (&lab, 2);
    v.count = 1;
    blob = lab_update (a, &v);
    lab_import (c, &blob);
    weir_buf_fini (&blob);
    blob = lab_update (c, NULL);
    check_export (CORPUS "fuzz_export/pending", &blob);
    weir_heads_fini (&heads);
    weir_op_vector_fini (&v);
    weir_replica_destroy (&a);
    weir_replica_destroy (&b);
    weir_replica_destroy (&c);
    lab_fini (&lab);
}

/* From nothing to all, back, and by one step. */
static void
test_diffs (void **state)
{
    (void) state;
    static const char *const names[3] = { "all", "back", "step" };
    struct weir_replica *r = sample_replica ();
    struct weir_heads versions[3] = { { 0 } };
    struct weir_heads all = { 0 };
    weir_replica_log_heads (r, &all);
    weir_heads_put (&versions[0], weir_replica_database (r));
    weir_heads_put (&versions[1], &all.items[0]);
    struct weir_change *change = NULL;
    sample_must (weir_replica_change (r, &change, NULL));
    sample_write (change, 15);
    lab_ok (weir_replica_commit (r, weir_bytes (NULL, 0), 0, NULL, &e));
    weir_replica_log_heads (r, &versions[2]);
    static const size_t ways[3][2] = { { 0, 1 }, { 1, 0 }, { 1, 2 } };
    for (size_t i = 0; i < 3; i++) {
        struct weir_buf path = { 0 };
        struct weir_buf seed = { 0 };
        json_t *diff = NULL;
        lab_ok (weir_replica_diff (r, &versions[ways[i][0]], &versions[ways[i][1]], &diff, &e));
        weir_json_put (&seed, diff);
        json_decref (diff);
        weir_buf_printf (&path, CORPUS "fuzz_diff/%s", names[i]);
        write_seed (weir_buf_str (&path), weir_buf_bytes (&seed));
        weir_buf_clear (&seed);
        read_seed (weir_buf_str (&path), &seed);
        lab_ok (weir_json_parse (&diff, weir_buf_bytes (&seed), WEIR_JSON_BYTES_MAX, &e));
        struct weir_replica *other = sample_replica ();
        /* Nodes that come must not be there. */
        assert_int_equal (weir_replica_apply_diff (other, diff, NULL),
                          i == 0 ? WEIR_OUT_OF_RANGE : WEIR_OK);
        weir_replica_destroy (&other);
        json_decref (diff);
        weir_buf_fini (&path);
        weir_buf_fini (&seed);
    }
    for (size_t i = 0; i < 3; i++) {
        weir_heads_fini (&versions[i]);
    }
    weir_heads_fini (&all);
    weir_replica_destroy (&r);
}

int
main (void)
{
    weir_crypto_init ();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_payloads),
        cmocka_unit_test (test_states),
        cmocka_unit_test (test_exports),
        cmocka_unit_test (test_diffs),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
