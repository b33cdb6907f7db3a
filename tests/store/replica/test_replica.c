/* Goal: what a replica does alone: edits and commits, when a change is sealed by itself, merge
 * entries for many heads, checkout, detach and attach, edits while detached, forks, loading a
 * snapshot, and what it refuses. */

#include "tests/store/replica/replica_fixture.h"

#include "store/replica/export.h"

#include <stdio.h>

static void
test_nothing_yet (void **state)
{
    struct lab lab;
    lab_init (&lab);
    struct weir_replica_options options = lab_options (&lab, 1);
    struct weir_replica *r = NULL;
    struct weir_change *change = NULL;
    struct weir_heads heads = { 0 };
    options.genesis = weir_bytes (NULL, 0);
    lab_ok (weir_replica_new (&r, &options, &e));
    assert_true (weir_id_is_zero (weir_replica_database (r)));
    assert_int_equal (weir_replica_change (r, &change, NULL), WEIR_PENDING);
    weir_replica_log_heads (r, &heads);
    assert_int_equal (heads.count, 0);
    struct weir_buf blob = lab_snapshot (r);
    lab_import (r, &blob);
    weir_buf_fini (&blob);
    assert_shown (r, "{}");
    weir_replica_destroy (&r);
    weir_heads_fini (&heads);
    lab_fini (&lab);
    (void) state;
}

static void
test_bad_genesis (void **state)
{
    struct lab lab;
    lab_init (&lab);
    struct weir_replica *r = NULL;
    for (size_t i = 0; i < lab.genesis.len; i++) {
        struct weir_buf bytes = { 0 };
        weir_buf_put_bytes (&bytes, weir_buf_bytes (&lab.genesis));
        bytes.data[i] ^= 0x41;
        struct weir_replica_options options = lab_options (&lab, 1);
        options.genesis = weir_buf_bytes (&bytes);
        assert_int_not_equal (weir_replica_new (&r, &options, NULL), WEIR_OK);
        options.genesis = weir_bytes (lab.genesis.data, i);
        if (i > 0) {
            assert_int_equal (weir_replica_new (&r, &options, NULL), WEIR_BAD_RUN);
        }
        weir_buf_fini (&bytes);
    }
    weir_replica_destroy (&r);
    lab_fini (&lab);
    (void) state;
}

static void
test_commit (void **state)
{
    struct lab lab;
    lab_init (&lab);
    struct weir_replica *r = lab_replica (&lab, 0);
    struct weir_heads heads = { 0 };
    struct weir_id none = lab_commit (r, "nothing is open", 5);
    assert_true (weir_id_is_zero (&none));
    (void) lab_change (r);
    none = lab_commit (r, "nothing was done", 5);
    assert_true (weir_id_is_zero (&none));
    lab_set (r, "a", 1);
    assert_shown (r, "{\"m\": {\"a\": 1}}");
    weir_replica_doc_heads (r, &heads);
    assert_int_equal (heads.count, 1); /* the genesis: what is open is in no version */
    struct weir_id first = lab_commit (r, "first", 5);
    assert_false (weir_id_is_zero (&first));
    weir_replica_log_heads (r, &heads);
    assert_int_equal (heads.count, 1);
    assert_true (weir_id_equal (&heads.items[0], &first));
    lab_set (r, "a", 1); /* makes no op */
    none = lab_commit (r, "", 6);
    assert_true (weir_id_is_zero (&none));
    lab_set (r, "b", 2);
    weir_replica_destroy (&r); /* with an open change */
    weir_heads_fini (&heads);
    lab_fini (&lab);
    (void) state;
}

static void
test_reads_only (void **state)
{
    struct lab lab;
    lab_init (&lab);
    struct weir_replica_options options = lab_options (&lab, 0);
    struct weir_replica *r = NULL;
    struct weir_change *change = NULL;
    options.identity = NULL;
    lab_ok (weir_replica_new (&r, &options, &e));
    assert_int_equal (weir_replica_change (r, &change, NULL), WEIR_READ_ONLY);
    struct weir_replica *writer = lab_replica (&lab, 0);
    lab_set (writer, "a", 1);
    lab_sync (writer, r);
    assert_shown (r, "{\"m\": {\"a\": 1}}");
    assert_same_replicas (writer, r);
    weir_replica_destroy (&r);
    weir_replica_destroy (&writer);
    lab_fini (&lab);
    (void) state;
}

/* By paths: an edit of what is shown becomes the change; not while another one is open. */
static void
test_adopt (void **state)
{
    struct lab lab;
    lab_init (&lab);
    struct weir_replica *r = lab_replica (&lab, 0);
    struct weir_error problem = { 0 };
    for (unsigned turn = 0; turn < 2; turn++) {
        struct weir_edit *edit = weir_edit_new (weir_replica_doc (r));
        json_t *list = json_pack ("[i, i]", 1 + (int) turn, 7);
        lab_ok (weir_edit_set (edit, "/m/list", list, &e));
        json_decref (list);
        lab_ok (weir_replica_adopt (r, edit, &e));
        weir_edit_destroy (&edit);
        struct weir_id entry = lab_commit (r, "by path", 5);
        assert_false (weir_id_is_zero (&entry));
    }
    assert_shown (r, "{\"m\": {\"list\": [2, 7]}}");
    lab_set (r, "a", 1);
    struct weir_edit *edit = weir_edit_new (weir_replica_doc (r));
    lab_ok (weir_edit_remove (edit, "/m/a", &e));
    assert_int_equal (weir_replica_adopt (r, edit, &problem), WEIR_CONFLICT);
    weir_edit_destroy (&edit);
    assert_shown (r, "{\"m\": {\"a\": 1, \"list\": [2, 7]}}");
    weir_replica_destroy (&r);
    lab_fini (&lab);
    (void) state;
}

/* A change that nears the bound of a payload is sealed by the next call. */
static void
test_full_change (void **state)
{
    struct lab lab;
    lab_init (&lab);
    struct weir_replica *r = lab_replica (&lab, 0);
    struct weir_replica *other = lab_replica (&lab, 1);
    struct weir_op_vector v = { 0 };
    char text[4001];
    memset (text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    for (uint32_t i = 0; i < 600; i++) {
        lab_type (r, i * 4000, text);
    }
    (void) lab_commit (r, "", 0);
    lab_vector (r, &v);
    assert_int_equal (v.count, 1);
    assert_int_equal (v.rows[0].ops, 600u * 4000u);
    lab_sync (r, other);
    assert_same_replicas (r, other);
    weir_op_vector_fini (&v);
    weir_replica_destroy (&r);
    weir_replica_destroy (&other);
    lab_fini (&lab);
    (void) state;
}

/* More heads than an entry has room for are drawn together first. */
static void
test_many_heads (void **state)
{
    struct lab lab;
    lab_init (&lab);
    struct weir_replica *r = lab_replica (&lab, 0);
    struct weir_replica *others[50];
    struct weir_heads heads = { 0 };
    struct weir_op_vector before = { 0 };
    struct weir_op_vector after = { 0 };
    for (unsigned i = 0; i < 50; i++) {
        char key[16];
        snprintf (key, sizeof key, "k%u", i);
        others[i] = lab_replica (&lab, 1 + i % 3);
        lab_set (others[i], key, (int64_t) i);
        lab_sync (others[i], r);
    }
    weir_replica_log_heads (r, &heads);
    assert_int_equal (heads.count, 50);
    lab_vector (r, &before);
    assert_int_equal (before.count, 50);
    lab_set (r, "mine", 1);
    (void) lab_commit (r, "", 0);
    weir_replica_log_heads (r, &heads);
    assert_int_equal (heads.count, 1);
    lab_vector (r, &after);
    assert_int_equal (after.count, 51);
    for (unsigned i = 0; i < 50; i++) {
        lab_sync (r, others[i]);
        if (i % 10 == 0) {
            assert_same_replicas (r, others[i]);
        }
        weir_replica_destroy (&others[i]);
    }
    weir_op_vector_fini (&before);
    weir_op_vector_fini (&after);
    weir_heads_fini (&heads);
    weir_replica_destroy (&r);
    lab_fini (&lab);
    (void) state;
}

static void
test_checkout (void **state)
{
    struct lab lab;
    lab_init (&lab);
    struct weir_replica *r = lab_replica (&lab, 0);
    struct weir_heads at[5] = { { 0 } };
    struct weir_heads shown = { 0 };
    struct weir_heads unknown = { 0 };
    struct weir_change *change = NULL;
    static const char *const values[] = {
        "{}",
        "{\"t\": \"one\"}",
        "{\"t\": \"one two\"}",
        "{\"t\": \"one two\", \"m\": {\"a\": 1}}",
        "{\"t\": \"one two\", \"m\": {\"a\": 2}}",
    };
    weir_replica_log_heads (r, &at[0]);
    lab_type (r, 0, "one");
    (void) lab_commit (r, "", 0);
    weir_replica_log_heads (r, &at[1]);
    lab_type (r, 3, " two");
    (void) lab_commit (r, "", 0);
    weir_replica_log_heads (r, &at[2]);
    lab_set (r, "a", 1);
    (void) lab_commit (r, "", 0);
    weir_replica_log_heads (r, &at[3]);
    lab_set (r, "a", 2);
    (void) lab_commit (r, "", 0);
    weir_replica_log_heads (r, &at[4]);
    for (size_t i = 5; i-- > 0;) {
        lab_ok (weir_replica_checkout (r, &at[i], &e));
        assert_false (weir_replica_is_attached (r));
        assert_shown (r, values[i]);
        weir_replica_doc_heads (r, &shown);
        assert_same_heads (&shown, &at[i]);
        weir_replica_log_heads (r, &shown);
        assert_same_heads (&shown, &at[4]);
        assert_int_equal (weir_replica_change (r, &change, NULL), WEIR_DETACHED);
    }
    weir_heads_put (&unknown, &(struct weir_id){ { 1 } });
    assert_int_equal (weir_replica_checkout (r, &unknown, NULL), WEIR_NOT_FOUND);
    assert_shown (r, values[0]);
    unknown.count = 0; /* the empty version */
    lab_ok (weir_replica_checkout (r, &at[3], &e));
    lab_ok (weir_replica_checkout (r, &unknown, &e));
    assert_shown (r, values[0]);
    lab_ok (weir_replica_attach (r, &e));
    assert_true (weir_replica_is_attached (r));
    assert_shown (r, values[4]);
    lab_set (r, "a", 3);
    assert_shown (r, "{\"t\": \"one two\", \"m\": {\"a\": 3}}");
    for (size_t i = 0; i < 5; i++) {
        weir_heads_fini (&at[i]);
    }
    weir_heads_fini (&shown);
    weir_heads_fini (&unknown);
    weir_replica_destroy (&r);
    lab_fini (&lab);
    (void) state;
}

/* Detached, the log goes on and what is shown does not. */
static void
test_detach (void **state)
{
    struct lab lab;
    lab_init (&lab);
    struct weir_replica *a = lab_replica (&lab, 0);
    struct weir_replica *b = lab_replica (&lab, 1);
    struct weir_heads heads = { 0 };
    lab_set (a, "x", 1);
    lab_ok (weir_replica_detach (a, &e));
    lab_ok (weir_replica_detach (a, &e));
    lab_set (b, "y", 2);
    lab_sync (b, a);
    assert_shown (a, "{\"m\": {\"x\": 1}}");
    weir_replica_log_heads (a, &heads);
    assert_int_equal (heads.count, 2);
    weir_replica_doc_heads (a, &heads);
    assert_int_equal (heads.count, 1);
    lab_ok (weir_replica_attach (a, &e));
    assert_shown (a, "{\"m\": {\"x\": 1, \"y\": 2}}");
    lab_sync (a, b);
    assert_same_replicas (a, b);
    weir_heads_fini (&heads);
    weir_replica_destroy (&a);
    weir_replica_destroy (&b);
    lab_fini (&lab);
    (void) state;
}

/* Edits on an older version go to a lane of their own, and meet the others on attach. */
static void
test_detached_edits (void **state)
{
    struct lab lab;
    lab_init (&lab);
    struct weir_replica_options options = lab_options (&lab, 0);
    struct weir_replica *a = NULL;
    struct weir_replica *b = lab_replica (&lab, 1);
    struct weir_heads first = { 0 };
    struct weir_heads second = { 0 };
    struct weir_heads heads = { 0 };
    struct weir_op_vector v = { 0 };
    options.keeps_detached_edits = true;
    lab_ok (weir_replica_new (&a, &options, &e));
    lab_type (a, 0, "base");
    (void) lab_commit (a, "", 0);
    weir_replica_log_heads (a, &first);
    lab_type (a, 4, " end");
    (void) lab_commit (a, "", 0);
    lab_ok (weir_replica_checkout (a, &first, &e));
    lab_type (a, 0, "fore ");
    assert_shown (a, "{\"t\": \"fore base\"}");
    (void) lab_commit (a, "", 0);
    lab_type (a, 0, "be");
    (void) lab_commit (a, "", 0);
    weir_replica_doc_heads (a, &second);
    assert_shown (a, "{\"t\": \"before base\"}");
    lab_sync (a, b);
    assert_shown (b, "{\"t\": \"before base end\"}");
    lab_ok (weir_replica_checkout (a, &second, &e));
    assert_shown (a, "{\"t\": \"before base\"}");
    lab_ok (weir_replica_attach (a, &e));
    assert_shown (a, "{\"t\": \"before base end\"}");
    weir_replica_log_heads (a, &heads);
    assert_int_equal (heads.count, 2);
    lab_vector (a, &v);
    assert_int_equal (v.count, 2);
    lab_type (a, 15, ".");
    (void) lab_commit (a, "", 0);
    weir_replica_log_heads (a, &heads);
    assert_int_equal (heads.count, 1);
    lab_sync (a, b);
    assert_same_replicas (a, b);
    weir_op_vector_fini (&v);
    weir_heads_fini (&first);
    weir_heads_fini (&second);
    weir_heads_fini (&heads);
    weir_replica_destroy (&a);
    weir_replica_destroy (&b);
    lab_fini (&lab);
    (void) state;
}

static void
test_fork (void **state)
{
    struct lab lab;
    lab_init (&lab);
    struct weir_replica *a = lab_replica (&lab, 0);
    struct weir_replica *now = NULL;
    struct weir_replica *then = NULL;
    struct weir_heads first = { 0 };
    struct weir_heads heads = { 0 };
    lab_type (a, 0, "one");
    (void) lab_commit (a, "", 0);
    weir_replica_log_heads (a, &first);
    lab_type (a, 3, " two");
    (void) lab_commit (a, "", 0);
    lab_ok (weir_replica_fork (a, NULL, &now, &e));
    lab_ok (weir_replica_fork (a, &first, &then, &e)); /* in the middle of a run */
    assert_shown (now, "{\"t\": \"one two\"}");
    assert_shown (then, "{\"t\": \"one\"}");
    weir_replica_log_heads (then, &heads);
    assert_same_heads (&heads, &first);
    lab_type (now, 7, "!");
    lab_type (then, 0, "zero ");
    (void) lab_commit (then, "", 0);
    lab_sync (now, a);
    lab_sync (then, a);
    assert_shown (a, "{\"t\": \"zero one two!\"}");
    lab_sync (a, then);
    lab_sync (a, now);
    assert_same_replicas (a, now);
    assert_same_replicas (a, then);
    weir_heads_fini (&first);
    weir_heads_fini (&heads);
    weir_replica_destroy (&a);
    weir_replica_destroy (&now);
    weir_replica_destroy (&then);
    lab_fini (&lab);
    (void) state;
}

/* A snapshot of one's own shows its state at once and knows its history when asked. */
static void
test_load (void **state)
{
    struct lab lab;
    lab_init (&lab);
    struct weir_replica *a = lab_replica (&lab, 0);
    struct weir_replica *b = lab_replica (&lab, 1);
    struct weir_replica *loaded = NULL;
    struct weir_replica_options options = lab_options (&lab, 2);
    struct weir_heads first = { 0 };
    struct weir_op_vector v = { 0 };
    lab_type (a, 0, "one");
    (void) lab_commit (a, "", 0);
    weir_replica_log_heads (a, &first);
    lab_sync (a, b);
    lab_type (a, 3, " two");
    lab_type (b, 0, "zero ");
    lab_sync (b, a);
    struct weir_buf blob = lab_snapshot (a);
    lab_ok (weir_replica_load (&loaded, &options, weir_buf_bytes (&blob), &e));
    assert_shown (loaded, "{\"t\": \"zero one two\"}");
    assert_true (weir_id_equal (weir_replica_database (loaded), weir_replica_database (a)));
    assert_same_replicas (a, loaded);
    lab_ok (weir_replica_checkout (loaded, &first, &e));
    assert_shown (loaded, "{\"t\": \"one\"}");
    weir_replica_destroy (&loaded);
    lab_ok (weir_replica_load (&loaded, &options, weir_buf_bytes (&blob), &e));
    lab_type (b, 0, "minus "); /* concurrent with what the state has: history is needed */
    lab_sync (b, loaded);
    assert_shown (loaded, "{\"t\": \"minus zero one two\"}");
    lab_type (loaded, 0, ".");
    lab_sync (loaded, a);
    lab_sync (a, b);
    assert_same_replicas (a, loaded);
    assert_same_replicas (b, loaded);
    lab_vector (a, &v);
    assert_int_equal (v.count, 3);
    weir_replica_destroy (&loaded);
    for (size_t len = 0; len < blob.len; len += 7) {
        assert_int_not_equal (
            weir_replica_load (&loaded, &options, weir_bytes (blob.data, len), NULL), WEIR_OK);
    }
    weir_buf_fini (&blob);
    weir_op_vector_fini (&v);
    weir_heads_fini (&first);
    weir_replica_destroy (&a);
    weir_replica_destroy (&b);
    lab_fini (&lab);
    (void) state;
}

/* A snapshot whose state is not of its history: seen when the history is needed, and then what
 * the history says is shown. */
static void
test_lying_state (void **state)
{
    struct lab lab;
    lab_init (&lab);
    struct weir_replica *a = lab_replica (&lab, 0);
    struct weir_replica *b = lab_replica (&lab, 1);
    struct weir_replica_options options = lab_options (&lab, 2);
    struct weir_export_reader *reader = NULL;
    struct weir_export_runs runs;
    lab_type (a, 0, "true");
    (void) lab_commit (a, "", 0);
    lab_type (b, 0, "late ");
    struct weir_buf blob = lab_snapshot (a);
    lab_ok (weir_export_open (&reader, weir_buf_bytes (&blob), 0, &e));
    lab_ok (weir_export_read_runs (reader, &runs, &e));
    for (unsigned with_heads = 0; with_heads < 2; with_heads++) {
        struct weir_doc *doc = weir_doc_new ();
        struct weir_buf saved = { 0 };
        struct weir_buf lie = { 0 };
        struct weir_bytes bytes[2];
        struct weir_replica *loaded = NULL;
        struct weir_op_vector none = { 0 };
        assert_int_equal (runs.n_runs, 2);
        for (size_t i = 0; i < 2; i++) {
            const struct weir_run *run = &runs.runs[i];
            struct weir_doc_entry entry = { .id = run->entries[0].id,
                                            .chain = run->chain,
                                            .seq = run->seq,
                                            .ops = run->entries[0].ops,
                                            .n_parents = run->n_deps,
                                            .parents = run->deps };
            if (with_heads != 0) {
                weir_doc_pass (doc, &entry);
            }
            bytes[i] = run->bytes;
        }
        weir_doc_save (doc, &saved);
        weir_doc_destroy (&doc);
        struct weir_export_parts parts = {
            .mode = WEIR_EXPORT_SNAPSHOT,
            .database = *weir_replica_database (a),
            .asked = &none,
            .end = &none,
            .runs = bytes,
            .n_runs = 2,
            .state = weir_buf_bytes (&saved),
        };
        lab_ok (weir_export_write (&parts, true, &lie, &e));
        lab_ok (weir_replica_load (&loaded, &options, weir_buf_bytes (&lie), &e));
        assert_shown (loaded, "{}");
        lab_sync (b, loaded);
        lab_sync (a, b);
        assert_same_replicas (b, loaded);
        weir_replica_destroy (&loaded);
        weir_buf_fini (&saved);
        weir_buf_fini (&lie);
    }
    weir_export_close (&reader);
    weir_buf_fini (&blob);
    weir_replica_destroy (&a);
    weir_replica_destroy (&b);
    lab_fini (&lab);
    (void) state;
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_nothing_yet), cmocka_unit_test (test_bad_genesis),
        cmocka_unit_test (test_commit),      cmocka_unit_test (test_reads_only),
        cmocka_unit_test (test_adopt),       cmocka_unit_test (test_full_change),
        cmocka_unit_test (test_many_heads),  cmocka_unit_test (test_checkout),
        cmocka_unit_test (test_detach),      cmocka_unit_test (test_detached_edits),
        cmocka_unit_test (test_fork),        cmocka_unit_test (test_load),
        cmocka_unit_test (test_lying_state),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
