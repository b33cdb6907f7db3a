/* Goal: what is committed here is there at once, durable after flush and sync, sealed in as few
 * runs as the rules allow, and in lanes no other copy of the data uses. */

#include "tests/support/repo.h"

static void
test_create_and_commit (void **state)
{
    (void) state;
    struct node a;
    node_init (&a, 1);
    struct weir_id db = node_create (&a, "notes");
    struct weir_db_info info = node_info (&a, &db);
    assert_string_equal (info.name, "notes");
    assert_int_equal (info.right, WEIR_RIGHT_ADMIN);
    assert_int_equal (info.entries, 1);
    struct weir_id first = node_set (&a, &db, "/m/a", "1");
    struct weir_id second = node_set (&a, &db, "/m/b", "2");
    assert_false (weir_id_equal (&first, &second));
    size_t n = 0;
    const struct weir_id *heads = weir_repo_heads (a.repo, &db, &n);
    assert_int_equal (n, 1);
    assert_true (weir_id_equal (heads, &second));
    assert_string_equal (node_get (&a, &db, "/m/a"), "1");
    node_sync (&a);
    info = node_info (&a, &db);
    assert_int_equal (info.entries, 3);
    assert_int_equal (info.n_chains, 1);
    assert_int_equal (weir_repo_position (a.repo), 2); /* genesis, and one run of two */
    struct weir_entry_facts facts;
    assert_int_equal (weir_repo_entry (a.repo, &db, &second, &facts, NULL), WEIR_OK);
    assert_true (weir_id_equal (&facts.prev, &first));
    assert_int_equal (facts.seq, 2);
    node_restart (&a);
    assert_string_equal (node_get (&a, &db, "/m/b"), "2");
    node_set (&a, &db, "/m/c", "3");
    node_sync (&a);
    assert_int_equal (node_info (&a, &db).n_chains, 1); /* the lane goes on */
    node_fini (&a);
}

int
main (void)
{
    weir_crypto_init ();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_create_and_commit),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
