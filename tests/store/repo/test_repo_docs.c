/* Goal: a document is what its log says, whether kept in step, replayed, loaded from a snapshot,
 * let go and loaded again, or loaded when its snapshot cannot be read. */

#include "store/repo/keys.h"
#include "tests/support/repo.h"

#define MANY 5000u

/* Commits enough that a snapshot is due. */
static void
write_many (struct node *n, const struct weir_id *db)
{
    char path[32];
    char text[256];
    memset (text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    for (unsigned i = 0; i < MANY; i++) {
        snprintf (path, sizeof path, "/m/%u", i % 1000);
        text[i % 200] = (char) ('a' + i % 26);
        node_set (n, db, path, text);
    }
    node_sync (n);
}

static size_t
count_rows (struct node *n, enum weir_repo_table table)
{
    struct weir_repo_key from = weir_repo_key (table);
    struct weir_repo_key to = weir_repo_key_after (&from);
    struct weir_kv_iter *iter =
        weir_kv_iter_new (n->kv, weir_repo_key_bytes (&from), weir_repo_key_bytes (&to), false);
    struct weir_bytes key;
    struct weir_bytes value;
    size_t count = 0;
    while (weir_kv_iter_next (iter, &key, &value)) {
        count++;
    }
    weir_kv_iter_destroy (&iter);
    return count;
}

static void
delete_rows (struct node *n, enum weir_repo_table table)
{
    struct weir_kv_batch *batch = weir_kv_batch_new ();
    struct weir_repo_key from = weir_repo_key (table);
    struct weir_repo_key to = weir_repo_key_after (&from);
    struct weir_kv_iter *iter =
        weir_kv_iter_new (n->kv, weir_repo_key_bytes (&from), weir_repo_key_bytes (&to), false);
    struct weir_bytes key;
    struct weir_bytes value;
    while (weir_kv_iter_next (iter, &key, &value)) {
        weir_kv_delete (batch, key);
    }
    weir_kv_iter_destroy (&iter);
    (void) weir_kv_write (n->kv, &batch);
    weir_kv_memory_sync (n->kv);
}

static void
assert_doc_is (struct node *n, const struct weir_id *db, const struct weir_buf *want)
{
    struct weir_buf have = { 0 };
    struct weir_check_report report;
    node_doc_bytes (n, db, &have);
    assert_int_equal (have.len, want->len);
    assert_memory_equal (have.data, want->data, want->len);
    assert_int_equal (weir_repo_verify (n->repo, db, NULL, NULL, &report), WEIR_OK);
    weir_buf_fini (&have);
}

static void
test_snapshot (void **state)
{
    (void) state;
    struct node a;
    struct weir_buf want = { 0 };
    struct weir_check_report report;
    node_init (&a, 1);
    struct weir_id db = node_create (&a, "snapshots");
    node_set (&a, &db, "/m/small", "1");
    while (weir_repo_work (a.repo, a.now_ms)) {
    }
    node_sync (&a);
    assert_int_equal (count_rows (&a, WEIR_REPO_TABLE_PART), 0); /* not worth it yet */
    for (unsigned round = 0; round < 3; round++) {
        write_many (&a, &db);
        assert_true (weir_repo_work (a.repo, a.now_ms));
        while (weir_repo_work (a.repo, a.now_ms)) {
        }
        node_sync (&a);
        assert_int_equal (count_rows (&a, WEIR_REPO_TABLE_SNAPSHOT), 1);
        assert_true (count_rows (&a, WEIR_REPO_TABLE_PART) <= 3); /* the old ones are gone */
        node_set (&a, &db, "/m/behind", round % 2 == 0 ? "even" : "odd");
        weir_buf_clear (&want);
        node_doc_bytes (&a, &db, &want);
        node_restart (&a);
        assert_int_equal (weir_repo_verify (a.repo, &db, NULL, NULL, &report), WEIR_OK);
        assert_doc_is (&a, &db, &want);
    }
    delete_rows (&a, WEIR_REPO_TABLE_PART);
    node_restart (&a);
    assert_int_equal (weir_repo_verify (a.repo, &db, NULL, NULL, &report), WEIR_CORRUPT);
    assert_int_equal (report.wrong_indexes, 1);
    assert_doc_is (&a, &db, &want); /* the log has it all */
    weir_buf_fini (&want);
    node_fini (&a);
}

/* A crash between a snapshot and its sync leaves the one before. */
static void
test_snapshot_lost (void **state)
{
    (void) state;
    struct node a;
    struct weir_buf want = { 0 };
    node_init (&a, 1);
    struct weir_id db = node_create (&a, "lost");
    write_many (&a, &db);
    node_doc_bytes (&a, &db, &want);
    while (weir_repo_work (a.repo, a.now_ms)) {
    }
    (void) weir_repo_flush (a.repo, a.now_ms);
    node_crash (&a, 0);
    assert_int_equal (count_rows (&a, WEIR_REPO_TABLE_SNAPSHOT), 0);
    assert_doc_is (&a, &db, &want);
    weir_buf_fini (&want);
    node_fini (&a);
}

static void
test_eviction (void **state)
{
    (void) state;
    enum { DATABASES = 6 };
    struct node a;
    struct weir_id dbs[DATABASES];
    struct weir_buf want[DATABASES] = { 0 };
    node_init (&a, 1);
    weir_repo_close (&a.repo);
    struct weir_repo_options options = { .kv = a.kv, .tips = a.tips, .identity = &a.key };
    options.seed[0] = 77;
    options.documents_bytes_max = 1; /* never more than the one in use */
    assert_int_equal (weir_repo_open (&a.repo, &options, NULL), WEIR_OK);
    for (size_t i = 0; i < DATABASES; i++) {
        dbs[i] = node_create (&a, "evicted");
        for (unsigned j = 0; j < (i == 2 ? MANY : 5); j++) {
            char text[16];
            snprintf (text, sizeof text, "%zu %u", i, j);
            node_set (&a, &dbs[i], "/m/a", text);
        }
        node_doc_bytes (&a, &dbs[i], &want[i]);
        node_set (&a, &dbs[0], "/m/open", i % 2 == 0 ? "yes" : "no"); /* open when let go */
        weir_buf_clear (&want[0]);
        node_doc_bytes (&a, &dbs[0], &want[0]);
    }
    assert_int_equal (count_rows (&a, WEIR_REPO_TABLE_SNAPSHOT), 1); /* the large one's */
    for (size_t i = 0; i < DATABASES; i++) {
        assert_doc_is (&a, &dbs[i], &want[i]);
        weir_buf_fini (&want[i]);
    }
    node_fini (&a);
}

/* Inert entries of our own, committed while the document is shown. */
static void
test_own_inert (void **state)
{
    (void) state;
    struct node a;
    struct weir_id entry;
    struct weir_entry_facts facts;
    uint8_t codec[] = { 0x77 };
    node_init (&a, 1);
    struct weir_id db = node_create (&a, "inert");
    node_set (&a, &db, "/m/a", "1");
    assert_int_equal (weir_repo_commit (a.repo, &db, weir_bytes (codec, 1), 1, 1, &entry, NULL),
                      WEIR_OK);
    node_set (&a, &db, "/m/b", "2");
    node_sync (&a);
    assert_int_equal (node_info (&a, &db).inert_entries, 1);
    assert_int_equal (weir_repo_entry (a.repo, &db, &entry, &facts, NULL), WEIR_OK);
    assert_true (facts.inert);
    assert_int_equal (facts.inert_why, WEIR_NEEDS_UPGRADE);
    assert_true (node_info (&a, &db).needs_upgrade); /* and written to all the same */
    node_restart (&a);
    assert_string_equal (node_get (&a, &db, "/m/b"), "2");
    assert_int_equal (node_info (&a, &db).inert_entries, 1);
    node_fini (&a);
}

static void
test_no_document (void **state)
{
    (void) state;
    struct node a;
    struct weir_doc *doc = NULL;
    struct weir_error e;
    node_init (&a, 1);
    struct weir_id db = { { 5 } };
    assert_int_equal (weir_repo_document (a.repo, &db, &doc, &e), WEIR_NOT_FOUND);
    assert_int_equal (weir_repo_expect (a.repo, &db), WEIR_OK);
    assert_int_equal (weir_repo_document (a.repo, &db, &doc, &e), WEIR_NOT_FOUND);
    assert_null (doc);
    node_fini (&a);
}

int
main (void)
{
    weir_crypto_init ();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_snapshot),    cmocka_unit_test (test_snapshot_lost),
        cmocka_unit_test (test_eviction),    cmocka_unit_test (test_own_inert),
        cmocka_unit_test (test_no_document),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
