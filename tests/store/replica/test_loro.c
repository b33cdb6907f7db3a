/* Goal: the examples of Loro's own documentation come out here as they do there: the changes of
 * two peers and their lamports, the two versions of a detached document, the four exports, what
 * waits for what, and a shallow snapshot that is older than an edit. Where an id there is (peer,
 * counter), here it is an entry; a version inside an entry is an op vector only, so what is
 * checked out there by counter is committed apart here. */

#include "tests/store/replica/replica_fixture.h"

/* ---- operations and changes ---- */

struct seen {
    struct weir_replica_change_row rows[8];
    struct weir_id deps[8];
    size_t count;
};

static bool
see (void *context, const struct weir_replica_change_row *row)
{
    struct seen *seen = context;
    assert_true (seen->count < 8);
    assert_true (row->n_deps <= 1);
    seen->rows[seen->count] = *row;
    seen->deps[seen->count] = row->n_deps == 1 ? row->deps[0] : weir_id_zero;
    seen->count++;
    return true;
}

/* The changes of one author. */
static struct seen
changes_of (struct weir_replica *r, const struct weir_id *author)
{
    struct seen all = { .count = 0 };
    struct seen own = { .count = 0 };
    lab_ok (weir_replica_changes (r, 1000, see, &all, &e));
    for (size_t i = 0; i < all.count; i++) {
        if (weir_id_equal (&all.rows[i].chain.author, author)) {
            own.rows[own.count] = all.rows[i];
            own.deps[own.count++] = all.deps[i];
        }
    }
    return own;
}

static void
assert_change (const struct seen *seen, size_t i, uint64_t counter, uint64_t lamport, uint64_t ops,
               const struct weir_id *dep)
{
    assert_true (i < seen->count);
    assert_int_equal (seen->rows[i].counter, counter);
    assert_int_equal (seen->rows[i].lamport, lamport);
    assert_int_equal (seen->rows[i].ops, ops);
    assert_true (weir_id_equal (&seen->deps[i], dep));
}

static void
test_changes (void **state)
{
    (void) state;
    struct lab lab;
    lab_init (&lab);
    struct weir_replica *a = lab_replica (&lab, 0);
    struct weir_replica *b = lab_replica (&lab, 1);
    const struct weir_id *author_a = &lab.devices[0].device;
    const struct weir_id *author_b = &lab.devices[1].device;
    lab_type (a, 0, "Hello");
    struct weir_id hello = lab_commit (a, "", 0);
    struct seen seen = changes_of (a, author_a);
    assert_int_equal (seen.count, 1);
    assert_change (&seen, 0, 0, 0, 5, &weir_id_zero);

    /* Another peer goes on: its second commit merges with its first. */
    lab_sync (a, b);
    lab_type (b, 0, "w");
    (void) lab_commit (b, "", 0);
    lab_type (b, 1, "b");
    struct weir_id second = lab_commit (b, "", 0);
    seen = changes_of (b, author_b);
    assert_int_equal (seen.count, 1);
    assert_change (&seen, 0, 0, 5, 2, &hello);
    assert_true (weir_id_equal (&seen.rows[0].last, &second));

    /* After importing, an edit depends on what came, and begins a change. */
    lab_sync (b, a);
    lab_type (a, 0, "e");
    (void) lab_commit (a, "", 0);
    seen = changes_of (a, author_a);
    assert_int_equal (seen.count, 2);
    assert_change (&seen, 0, 0, 0, 5, &weir_id_zero);
    assert_change (&seen, 1, 5, 7, 1, &second);

    /* And so does another message. */
    lab_type (a, 0, "!");
    (void) lab_commit (a, "said", 0);
    seen = changes_of (a, author_a);
    assert_int_equal (seen.count, 3);
    assert_int_equal (seen.rows[2].lamport, 8);
    assert_shown (a, "{\"t\": \"!ewbHello\"}");
    weir_replica_destroy (&a);
    weir_replica_destroy (&b);
    lab_fini (&lab);
}

/* ---- the document and its log ---- */

static void
assert_vector (struct weir_replica *r, bool of_log, uint64_t ops_a, uint64_t ops_b, struct lab *lab)
{
    struct weir_heads heads = { 0 };
    struct weir_op_vector v = { 0 };
    uint64_t a = 0;
    uint64_t b = 0;
    if (of_log) {
        weir_replica_log_heads (r, &heads);
    } else {
        weir_replica_doc_heads (r, &heads);
    }
    lab_ok (weir_replica_vector (r, &heads, &v, &e));
    for (size_t i = 0; i < v.count; i++) {
        bool is_a = weir_id_equal (&v.rows[i].chain.author, &lab->devices[0].device);
        *(is_a ? &a : &b) += v.rows[i].ops;
    }
    assert_int_equal (a, ops_a);
    assert_int_equal (b, ops_b);
    weir_heads_fini (&heads);
    weir_op_vector_fini (&v);
}

static void
test_detached (void **state)
{
    (void) state;
    struct lab lab;
    lab_init (&lab);
    struct weir_replica *doc = lab_replica (&lab, 0);
    struct weir_replica *doc2 = lab_replica (&lab, 1);
    struct weir_heads heads = { 0 };
    lab_type (doc, 0, "He");
    struct weir_id two = lab_commit (doc, "", 0);
    lab_type (doc, 2, "llo");
    (void) lab_commit (doc, "", 0);
    lab_sync (doc, doc2);
    assert_vector (doc, false, 5, 0, &lab);
    assert_vector (doc, true, 5, 0, &lab);

    weir_heads_put (&heads, &two);
    lab_ok (weir_replica_checkout (doc, &heads, &e));
    assert_vector (doc, false, 2, 0, &lab);
    assert_vector (doc, true, 5, 0, &lab);
    assert_shown (doc, "{\"t\": \"He\"}");

    lab_type (doc2, 5, "!");
    lab_sync (doc2, doc);
    assert_vector (doc, false, 2, 0, &lab);
    assert_vector (doc, true, 5, 1, &lab);
    assert_false (weir_replica_is_attached (doc));
    struct weir_change *change = NULL;
    assert_int_equal (weir_replica_change (doc, &change, NULL), WEIR_DETACHED);

    lab_ok (weir_replica_attach (doc, &e));
    assert_true (weir_replica_is_attached (doc));
    assert_vector (doc, false, 5, 1, &lab);
    assert_vector (doc, true, 5, 1, &lab);
    assert_shown (doc, "{\"t\": \"Hello!\"}");
    weir_heads_fini (&heads);
    weir_replica_destroy (&doc);
    weir_replica_destroy (&doc2);
    lab_fini (&lab);
}

/* ---- the four exports ---- */

static struct weir_buf export(struct weir_replica *r, const struct weir_export *what)
{
    struct weir_buf out = { 0 };
    lab_ok (weir_replica_export (r, what, &out, &e));
    return out;
}

/* Into a new replica of another device. */
static void
assert_imports (struct lab *lab, const struct weir_buf *blob, const char *json)
{
    struct weir_replica *r = lab_replica (lab, 2);
    lab_import (r, blob);
    assert_shown (r, json);
    weir_replica_destroy (&r);
}

static void
test_exports (void **state)
{
    (void) state;
    struct lab lab;
    lab_init (&lab);
    struct weir_replica *doc1 = lab_replica (&lab, 0);
    struct weir_replica *doc2 = lab_replica (&lab, 1);
    struct weir_op_vector from = { 0 };
    struct weir_heads frontiers = { 0 };
    lab_vector (doc1, &from);
    lab_type (doc2, 0, "hello");

    struct weir_export what = { .mode = WEIR_EXPORT_UPDATE, .from = &from };
    struct weir_buf update = export(doc2, &what);
    assert_imports (&lab, &update, "{\"t\": \"hello\"}");

    /* One op of it was asked for; a signature is on five. */
    struct weir_op_vector v = { 0 };
    lab_vector (doc2, &v);
    struct weir_op_span span = { v.rows[0].chain, 0, 1 };
    what = (struct weir_export){ .mode = WEIR_EXPORT_SPANS, .spans = &span, .n_spans = 1 };
    struct weir_buf spans = export(doc2, &what);
    assert_imports (&lab, &spans, "{\"t\": \"hello\"}");
    struct weir_export_info info;
    lab_ok (weir_export_read_info (weir_buf_bytes (&spans), &info, &e));
    assert_int_equal (info.asked_to.rows[0].ops, 1);
    assert_int_equal (info.end.rows[0].ops, 5);
    weir_export_info_fini (&info);

    struct weir_buf snapshot = lab_snapshot (doc2);
    assert_imports (&lab, &snapshot, "{\"t\": \"hello\"}");

    weir_replica_doc_heads (doc2, &frontiers);
    static const char *const letters[] = { "w", "o", "r", "l", "d" };
    for (size_t i = 0; i < 5; i++) {
        lab_type (doc2, 0, letters[i]);
    }
    what = (struct weir_export){ .mode = WEIR_EXPORT_SHALLOW, .root = &frontiers };
    struct weir_buf shallow = export(doc2, &what);
    assert_imports (&lab, &shallow, "{\"t\": \"dlrowhello\"}");
    lab_import (doc1, &shallow);
    assert_shown (doc1, "{\"t\": \"dlrowhello\"}");

    weir_buf_fini (&update);
    weir_buf_fini (&spans);
    weir_buf_fini (&snapshot);
    weir_buf_fini (&shallow);
    weir_op_vector_fini (&from);
    weir_op_vector_fini (&v);
    weir_heads_fini (&frontiers);
    weir_replica_destroy (&doc1);
    weir_replica_destroy (&doc2);
    lab_fini (&lab);
}

/* Of a text that was typed and deleted again and again, a shallow snapshot is a fraction. (Of the
 * same words typed ten thousand times, as in the example, little is left anyway: the whole
 * snapshot is 700 bytes.) */
static void
test_shallow_size (void **state)
{
    (void) state;
    struct lab lab;
    lab_init (&lab);
    struct weir_replica *doc = lab_replica (&lab, 0);
    struct weir_heads heads = { 0 };
    for (int i = 0; i < 1000; i++) {
        char word[9] = { 0 };
        for (size_t k = 0; k < 8; k++) {
            word[k] = (char) ('a' + weir_rand_below (&lab.rand, 26));
        }
        struct weir_change *change = lab_change (doc);
        struct weir_container *text = NULL;
        lab_ok (weir_change_root (change, "t", &weir_container_text, &text, &e));
        if (i > 0) {
            lab_ok (weir_change_text_delete (change, text, 0, 8, &e));
        }
        lab_ok (weir_change_text_insert (change, text, 0, fixture_text (word), &e));
        (void) lab_commit (doc, "", 1700000000000u + (unsigned) i * 977);
    }
    struct weir_buf snapshot = lab_snapshot (doc);
    weir_replica_doc_heads (doc, &heads);
    struct weir_export what = { .mode = WEIR_EXPORT_SHALLOW, .root = &heads };
    struct weir_buf shallow = export(doc, &what);
    assert_true (shallow.len * 6 < snapshot.len);
    weir_buf_fini (&snapshot);
    weir_buf_fini (&shallow);
    weir_heads_fini (&heads);
    weir_replica_destroy (&doc);
    lab_fini (&lab);
}

/* ---- what waits ---- */

static void
assert_span (const struct weir_op_span *spans, size_t count, uint64_t from, uint64_t to)
{
    assert_int_equal (count, 1);
    assert_int_equal (spans[0].from, from);
    assert_int_equal (spans[0].to, to);
}

static void
test_out_of_order (void **state)
{
    (void) state;
    struct lab lab;
    lab_init (&lab);
    struct weir_replica *doc = lab_replica (&lab, 0);
    struct weir_replica *peer = lab_replica (&lab, 1);
    struct weir_op_vector v = { 0 };
    struct weir_import result = { .inert = 0 };
    lab_type (peer, 0, "Hello");
    struct weir_buf update1 = lab_update (peer, NULL);
    lab_vector (peer, &v);
    lab_type (peer, 5, " World");
    struct weir_buf update2 = lab_update (peer, &v);

    lab_ok (weir_replica_import (doc, weir_buf_bytes (&update2), &result, &e));
    assert_int_equal (result.n_success, 0);
    /* Loro says 5..11; a run does not tell how many ops lie before it, so what waits counts from
     * where its chain is known. */
    assert_span (result.pending, result.n_pending, 0, 6);
    weir_import_fini (&result);
    assert_shown (doc, "{}");
    lab_ok (weir_replica_import (doc, weir_buf_bytes (&update1), &result, &e));
    assert_span (result.success, result.n_success, 0, 11);
    assert_int_equal (result.n_pending, 0);
    weir_import_fini (&result);
    assert_shown (doc, "{\"t\": \"Hello World\"}");
    lab_ok (weir_replica_import (doc, weir_buf_bytes (&update1), &result, &e));
    assert_int_equal (result.n_success + result.n_pending, 0);
    weir_import_fini (&result);
    weir_buf_fini (&update1);
    weir_buf_fini (&update2);
    weir_op_vector_fini (&v);
    weir_replica_destroy (&doc);
    weir_replica_destroy (&peer);
    lab_fini (&lab);
}

/* A wrote A1, A2, A3 and dropped what was before A2; B saw A1 only and wrote B1: A cannot take
 * it, and is as it was. */
static void
test_concurrent_with_root (void **state)
{
    (void) state;
    struct lab lab;
    lab_init (&lab);
    struct weir_replica *a = lab_replica (&lab, 0);
    struct weir_replica *b = lab_replica (&lab, 1);
    struct weir_replica *trimmed = lab_replica (&lab, 2);
    struct weir_heads root = { 0 };
    lab_type (a, 0, "A1");
    lab_sync (a, b);
    lab_type (a, 2, "A2");
    struct weir_id second = lab_commit (a, "", 0);
    lab_type (a, 4, "A3");
    weir_heads_put (&root, &second);
    struct weir_export what = { .mode = WEIR_EXPORT_SHALLOW, .root = &root };
    struct weir_buf shallow = export(a, &what);
    lab_import (trimmed, &shallow);
    assert_shown (trimmed, "{\"t\": \"A1A2A3\"}");

    lab_type (b, 0, "B1");
    struct weir_buf late = lab_update (b, NULL);
    struct weir_buf before = lab_snapshot (trimmed);
    struct weir_error e = { 0 };
    assert_status (weir_replica_import (trimmed, weir_buf_bytes (&late), NULL, &e), WEIR_STALE_ROOT,
                   &e);
    struct weir_buf after = lab_snapshot (trimmed);
    assert_true (weir_bytes_equal (weir_buf_bytes (&before), weir_buf_bytes (&after)));
    assert_shown (trimmed, "{\"t\": \"A1A2A3\"}");
    weir_buf_fini (&shallow);
    weir_buf_fini (&late);
    weir_buf_fini (&before);
    weir_buf_fini (&after);
    weir_heads_fini (&root);
    weir_replica_destroy (&a);
    weir_replica_destroy (&b);
    weir_replica_destroy (&trimmed);
    lab_fini (&lab);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_changes),      cmocka_unit_test (test_detached),
        cmocka_unit_test (test_exports),      cmocka_unit_test (test_shallow_size),
        cmocka_unit_test (test_out_of_order), cmocka_unit_test (test_concurrent_with_root),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
