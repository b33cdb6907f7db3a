/* Goal: a document whose merge costs too much for one go falls behind its log, says so, and
 * catches up in slices, while commits and imports go on; in the end it is what a node that did it
 * all at once has. */

#include "tests/support/repo.h"

#define WRITERS 6
#define EACH 700

/* Inserts at the front of one text, without having seen the others: all concurrent. */
static void
write_text (struct node *n, const struct weir_id *db, const char *text)
{
    struct weir_doc *doc = NULL;
    struct weir_error e = { 0 };
    struct weir_buf payload = { 0 };
    struct weir_id entry;
    uint32_t ops = 0;
    assert_int_equal (weir_repo_document (n->repo, db, &doc, &e), WEIR_OK);
    struct weir_edit *edit = weir_edit_new (doc);
    assert_int_equal (
        weir_edit_text_insert (edit, "/t", 0, WEIR_TEXT_SCALARS, weir_bytes_str (text), &e),
        WEIR_OK);
    assert_int_equal (weir_edit_seal (edit, weir_bytes (NULL, 0), &payload, &ops, &e), WEIR_OK);
    assert_int_equal (
        weir_repo_commit (n->repo, db, weir_buf_bytes (&payload), ops, n->now_ms++, &entry, &e),
        WEIR_OK);
    weir_edit_destroy (&edit);
    weir_buf_fini (&payload);
}

static char *
text_of (struct node *n, const struct weir_id *db, uint32_t *slices)
{
    struct weir_doc *doc = NULL;
    struct weir_error e = { 0 };
    json_t *json = NULL;
    enum weir_status status;
    while ((status = weir_repo_document (n->repo, db, &doc, &e)) == WEIR_DEFERRED) {
        assert_true (++*slices < 100000);
    }
    assert_int_equal (status, WEIR_OK);
    assert_int_equal (weir_doc_get (doc, "/t", &json, &e), WEIR_OK);
    char *out = strdup (json_string_value (json));
    json_decref (json);
    return out;
}

static void
test_catching_up (void **state)
{
    struct node nodes[WRITERS + 1];
    struct node late;
    uint32_t slices = 0;
    (void) state;
    for (uint8_t i = 0; i <= WRITERS; i++) {
        node_init (&nodes[i], (uint8_t) (i + 1));
    }
    struct weir_id db = node_create (&nodes[0], "texts");
    nodes[0].document_steps = 40;
    node_restart (&nodes[0]);
    for (int i = 1; i <= WRITERS; i++) {
        node_grant (&nodes[0], &db, &nodes[i], WEIR_RIGHT_WRITE);
    }
    node_sync (&nodes[0]);
    for (int i = 1; i <= WRITERS; i++) {
        assert_int_equal (weir_repo_expect (nodes[i].repo, &db), WEIR_OK);
        node_pull (&nodes[i], &nodes[0], &db);
        node_sync (&nodes[i]);
        for (int k = 0; k < EACH; k++) {
            char text[] = { (char) ('a' + i), (char) ('A' + k % 26), '\0' };
            write_text (&nodes[i], &db, text);
            if (k % 50 == 0) {
                (void) weir_repo_flush (nodes[i].repo, nodes[i].now_ms);
            }
        }
        node_sync (&nodes[i]);
    }
    /* The first looks at its document all the time, so each import is merged at once. */
    write_text (&nodes[0], &db, "root");
    for (int i = 1; i <= WRITERS; i++) {
        node_pull (&nodes[0], &nodes[i], &db);
    }
    struct weir_db_info info;
    assert_int_equal (weir_repo_info (nodes[0].repo, &db, &info), WEIR_OK);
    assert_int_equal (info.entries, 1 + WRITERS + 1 + WRITERS * EACH);
    struct weir_id entry;
    assert_int_equal (info.deferred, WEIR_BUSY);
    assert_int_equal (node_try_set (&nodes[0], &db, "/m/k", "v", &entry), WEIR_DEFERRED);
    assert_true (weir_repo_work (nodes[0].repo, nodes[0].now_ms));
    char *first = text_of (&nodes[0], &db, &slices);
    assert_int_equal (strlen (first), 4 + WRITERS * EACH * 2);
    assert_int_equal (weir_repo_info (nodes[0].repo, &db, &info), WEIR_OK);
    assert_int_equal (info.deferred, WEIR_OK);
    node_sync (&nodes[0]);
    /* Who takes it all and looks only then has the same. */
    node_init (&late, WRITERS + 2);
    late.document_steps = 300;
    node_restart (&late);
    assert_int_equal (weir_repo_expect (late.repo, &db), WEIR_OK);
    node_pull (&late, &nodes[0], &db);
    node_sync (&late);
    char *second = text_of (&late, &db, &slices);
    assert_string_equal (first, second);
    struct weir_check_report report;
    assert_int_equal (weir_repo_verify (nodes[0].repo, &db, NULL, NULL, &report), WEIR_OK);
    assert_true (slices > 10);
    free (first);
    free (second);
    node_fini (&late);
    for (int i = 0; i <= WRITERS; i++) {
        node_fini (&nodes[i]);
    }
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_catching_up),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
