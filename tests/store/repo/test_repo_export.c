/* Goal: what leaves a database in a file, and how ops are counted: runs come parents first, joined
 * or as they were stored, and make the same database elsewhere; what is not synced stays; what
 * waits goes along; counters are right in a chain that its key wrote from several places, whether
 * they are asked for before or behind what came. */

#include "tests/support/repo.h"

static void
make_run (struct weir_buf *out, const struct weir_id *db, const struct weir_identity *key,
          uint64_t seq, const struct weir_id *prev, const struct weir_id *dep, size_t n,
          struct weir_id *ids)
{
    struct weir_run_builder b;
    struct weir_chain chain = { .author = key->device, .lane = 5 };
    weir_run_builder_init (&b);
    weir_run_begin (&b, db, WEIR_ENTRY_DATA, &chain, seq, prev, dep, dep == NULL ? 0 : 1);
    for (size_t i = 0; i < n; i++) {
        uint8_t payload[4] = { 1, (uint8_t) i, (uint8_t) n, (uint8_t) seq };
        weir_run_add (&b, 10, 5, weir_bytes (payload, 4), &ids[i]);
    }
    weir_run_close (&b, key, out);
    weir_run_builder_fini (&b);
}

static size_t
count_runs (const struct weir_buf *runs)
{
    size_t n = 0;
    size_t used = 0;
    for (size_t at = 0; at < runs->len; at += used) {
        assert_int_equal (weir_run_length (weir_bytes (runs->data + at, runs->len - at), &used),
                          WEIR_OK);
        n++;
    }
    return n;
}

static void
test_runs (void **state)
{
    (void) state;
    struct node a;
    struct node b;
    struct node c;
    struct weir_buf runs[2] = { 0 };
    struct weir_buf pending = { 0 };
    node_init (&a, 1);
    node_init (&b, 2);
    struct weir_id db = node_create (&a, "runs");
    node_grant (&a, &db, &b, WEIR_RIGHT_WRITE);
    node_pull (&b, &a, &db);
    for (int i = 0; i < 6; i++) {
        char path[16];
        snprintf (path, sizeof path, "/m/k%d", i);
        node_set (i < 3 ? &a : &b, &db, path, "x");
        node_sync (i < 3 ? &a : &b);
        if (i == 3) {
            node_exchange (&a, &b, &db);
        }
    }
    node_exchange (&a, &b, &db);
    (void) weir_repo_flush (a.repo, a.now_ms);
    node_sync (&a);
    for (int join = 0; join < 2; join++) {
        assert_int_equal (weir_repo_runs (a.repo, &db, join, &runs[join], &pending), WEIR_OK);
        assert_int_equal (pending.len, 0);
        node_init (&c, (uint8_t) (3 + join));
        assert_int_equal (weir_repo_expect (c.repo, &db), WEIR_OK);
        /* Parents first: nothing waits. */
        size_t used = 0;
        for (size_t at = 0; at < runs[join].len; at += used) {
            assert_int_equal (
                weir_run_length (weir_bytes (runs[join].data + at, runs[join].len - at), &used),
                WEIR_OK);
            assert_int_equal (
                node_import (&c, &db, weir_bytes (runs[join].data + at, used), &a).outcome,
                WEIR_IMPORT_NEW);
        }
        assert_nodes_equal (&a, &c, &db);
        node_fini (&c);
    }
    assert_true (count_runs (&runs[1]) < count_runs (&runs[0]));
    /* What is not synced does not leave. */
    node_set (&a, &db, "/m/late", "x");
    (void) weir_repo_flush (a.repo, a.now_ms);
    assert_int_equal (weir_repo_runs (a.repo, &db, false, &runs[0], &pending), WEIR_BUSY);
    assert_int_equal (weir_repo_runs (a.repo, &db, true, &runs[0], &pending), WEIR_BUSY);
    struct weir_id nowhere = { { 1 } };
    assert_int_equal (weir_repo_runs (a.repo, &nowhere, true, &runs[0], &pending), WEIR_NOT_FOUND);
    assert_int_equal (weir_repo_waiting (a.repo, &nowhere, &pending), WEIR_NOT_FOUND);
    weir_buf_fini (&runs[0]);
    weir_buf_fini (&runs[1]);
    weir_buf_fini (&pending);
    node_fini (&a);
    node_fini (&b);
}

static uint64_t
counter_of (struct node *n, const struct weir_id *db, const struct weir_id *entry)
{
    struct weir_entry_facts facts;
    uint64_t counter = UINT64_MAX;
    assert_int_equal (weir_repo_entry (n->repo, db, entry, &facts, NULL), WEIR_OK);
    assert_int_equal (weir_repo_counter (n->repo, db, facts.position, facts.lamport, &counter),
                      WEIR_OK);
    return counter;
}

static void
add_ops (void *context, const struct weir_range *range, uint64_t from, uint64_t to)
{
    uint64_t *ops = context;
    assert_true (range->to_seq > range->from_seq);
    *ops += to - from;
}

/* One key in several places, and one branch of a branch; the same counts in any order of asking. */
static void
test_counters_of_forks (void **state)
{
    (void) state;
    struct weir_buf runs[4] = { 0 };
    struct weir_id ids[4][4];
    for (int eager = 0; eager < 2; eager++) {
        struct node a;
        struct node b;
        uint64_t ops = 0;
        size_t n = 0;
        node_init (&a, 1);
        node_init (&b, 2);
        struct weir_id db = node_create (&a, "forks");
        node_grant (&a, &db, &b, WEIR_RIGHT_WRITE);
        struct weir_id head = weir_repo_heads (a.repo, &db, &n)[0];
        uint64_t before = weir_repo_position_last (a.repo);
        make_run (&runs[0], &db, &b.key, 0, NULL, &head, 4, ids[0]);
        make_run (&runs[1], &db, &b.key, 2, &ids[0][1], NULL, 3, ids[1]); /* from the middle */
        make_run (&runs[2], &db, &b.key, 4, &ids[0][3], NULL, 1, ids[2]); /* from the end */
        make_run (&runs[3], &db, &b.key, 4, &ids[1][1], NULL, 2, ids[3]); /* of the branch */
        for (size_t i = 0; i < 4; i++) {
            assert_int_equal (node_import (&a, &db, weir_buf_bytes (&runs[i]), &b).outcome,
                              WEIR_IMPORT_NEW);
            if (eager) {
                assert_int_equal (counter_of (&a, &db, &ids[i][0]), i == 0 ? 0 : i == 1 ? 20 : 40);
            }
        }
        assert_int_equal (counter_of (&a, &db, &ids[0][3]), 30);
        assert_int_equal (counter_of (&a, &db, &ids[1][0]), 20);
        assert_int_equal (counter_of (&a, &db, &ids[1][2]), 40);
        assert_int_equal (counter_of (&a, &db, &ids[2][0]), 40);
        assert_int_equal (counter_of (&a, &db, &ids[3][1]), 50);
        assert_int_equal (weir_repo_op_spans (a.repo, &db, before, add_ops, &ops), WEIR_OK);
        assert_int_equal (ops, 100);
        uint64_t counter = 0;
        assert_int_equal (weir_repo_counter (a.repo, &db, 12345, 0, &counter), WEIR_NOT_FOUND);
        assert_int_equal (weir_repo_counter (a.repo, &head, 1, 0, &counter), WEIR_NOT_FOUND);
        assert_int_equal (weir_repo_op_spans (a.repo, &head, 0, add_ops, &ops), WEIR_NOT_FOUND);
        /* Branches leave in files, too. */
        struct weir_buf all = { 0 };
        struct weir_buf pending = { 0 };
        node_sync (&a);
        assert_int_equal (weir_repo_runs (a.repo, &db, true, &all, &pending), WEIR_OK);
        assert_int_equal (weir_repo_expect (b.repo, &db), WEIR_OK);
        (void) node_import_all (&b, &db, weir_buf_bytes (&all), &a);
        assert_nodes_equal (&a, &b, &db);
        for (size_t i = 0; i < 4; i++) {
            weir_buf_clear (&runs[i]);
        }
        weir_buf_fini (&all);
        weir_buf_fini (&pending);
        node_fini (&a);
        node_fini (&b);
    }
    for (size_t i = 0; i < 4; i++) {
        weir_buf_fini (&runs[i]);
    }
}

static void
test_what_waits (void **state)
{
    (void) state;
    struct node a;
    struct node b;
    struct weir_buf first = { 0 };
    struct weir_buf second = { 0 };
    struct weir_buf pending = { 0 };
    struct weir_buf runs = { 0 };
    struct weir_id ids[4];
    size_t n = 0;
    node_init (&a, 1);
    node_init (&b, 2);
    struct weir_id db = node_create (&a, "waits");
    node_grant (&a, &db, &b, WEIR_RIGHT_WRITE);
    struct weir_id other = node_create (&a, "other");
    struct weir_id head = weir_repo_heads (a.repo, &db, &n)[0];
    make_run (&first, &db, &b.key, 0, NULL, &head, 2, ids);
    struct weir_id tip = ids[1];
    make_run (&second, &db, &b.key, 2, &tip, NULL, 2, ids);
    assert_int_equal (node_import (&a, &db, weir_buf_bytes (&second), &b).outcome,
                      WEIR_IMPORT_PENDING);
    node_sync (&a);
    assert_int_equal (weir_repo_runs (a.repo, &db, true, &runs, &pending), WEIR_OK);
    assert_true (weir_bytes_equal (weir_buf_bytes (&pending), weir_buf_bytes (&second)));
    weir_buf_clear (&pending);
    assert_int_equal (weir_repo_waiting (a.repo, &other, &pending), WEIR_OK);
    assert_int_equal (pending.len, 0);
    assert_int_equal (node_import (&a, &db, weir_buf_bytes (&first), &b).unlocked, 1);
    assert_int_equal (weir_repo_waiting (a.repo, &db, &pending), WEIR_OK);
    assert_int_equal (pending.len, 0);
    assert_int_equal (counter_of (&a, &db, &ids[1]), 30);
    weir_buf_fini (&first);
    weir_buf_fini (&second);
    weir_buf_fini (&pending);
    weir_buf_fini (&runs);
    node_fini (&a);
    node_fini (&b);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_runs),
        cmocka_unit_test (test_counters_of_forks),
        cmocka_unit_test (test_what_waits),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
