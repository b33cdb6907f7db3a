/* Goal: whatever order runs arrive in, however often, with crashes that lose what was not synced,
 * restored backups, one key in two places, and members who come and go: in the end all replicas
 * that hold the same entries show the same heads, vectors, members and documents, and verify. */

#include "tests/support/repo.h"

#define NODES_MAX 4
#define SEEDS 60

struct world {
    struct weir_rand rand;
    struct node nodes[NODES_MAX];
    size_t count;
    struct weir_id db;
    bool members_change;
    bool rollbacks; /* of kv and tips file together: forks are allowed */
};

static struct node *
any_node (struct world *w)
{
    return &w->nodes[weir_rand_below (&w->rand, w->count)];
}

static void
step_set (struct world *w, struct node *n)
{
    char path[32];
    char text[32];
    struct weir_id entry;
    size_t commits = 1 + weir_rand_below (&w->rand, 5);
    for (size_t i = 0; i < commits; i++) {
        snprintf (path, sizeof path, "/m/k%u", (unsigned) weir_rand_below (&w->rand, 8));
        snprintf (text, sizeof text, "%u-%u", n->number, (unsigned) weir_rand_u64 (&w->rand));
        enum weir_status status = node_try_set (n, &w->db, path, text, &entry);
        assert_true (status == WEIR_OK || status == WEIR_NOT_FOUND || status == WEIR_REMOVED
                     || status == WEIR_NOT_MEMBER || status == WEIR_NOT_ALLOWED);
    }
    if (weir_rand_below (&w->rand, 2) == 0) {
        (void) weir_repo_flush (n->repo, n->now_ms);
    }
}

/* Some of the runs the other has, in any order, some twice. */
static void
step_scatter (struct world *w, struct node *to, struct node *from)
{
    struct weir_buf runs = { 0 };
    size_t at[512];
    size_t n = 0;
    node_lacking (from, to, &w->db, &runs);
    for (size_t pos = 0; pos < runs.len && n < 512;) {
        size_t used = 0;
        assert_int_equal (weir_run_length (weir_bytes (runs.data + pos, runs.len - pos), &used),
                          WEIR_OK);
        at[n++] = pos;
        pos += used;
    }
    size_t tries = n == 0 ? 0 : weir_rand_below (&w->rand, 2 * n + 1);
    for (size_t i = 0; i < tries; i++) {
        size_t pos = at[weir_rand_below (&w->rand, n)];
        size_t used = 0;
        assert_int_equal (weir_run_length (weir_bytes (runs.data + pos, runs.len - pos), &used),
                          WEIR_OK);
        struct node *source = weir_rand_below (&w->rand, 4) == 0 ? NULL : from;
        (void) node_import (to, &w->db, weir_bytes (runs.data + pos, used), source);
    }
    weir_buf_fini (&runs);
}

static struct weir_tips *
copy_tips (struct weir_tips *tips)
{
    struct weir_tips *copy = weir_tips_memory_new ();
    struct weir_buf content = { 0 };
    if (weir_tips_load (tips, &content) == WEIR_OK) {
        assert_int_equal (weir_tips_save (copy, weir_buf_bytes (&content)), WEIR_OK);
    }
    weir_buf_fini (&content);
    return copy;
}

/* The node lives on for a while, then finds itself back where it was. */
static void
step_restore (struct world *w, struct node *n)
{
    node_sync (n);
    struct weir_kv *backup = weir_kv_memory_copy (n->kv);
    struct weir_tips *tips = w->rollbacks ? copy_tips (n->tips) : NULL;
    step_set (w, n);
    node_pull (any_node (w), n, &w->db);
    weir_repo_close (&n->repo);
    weir_kv_close (&n->kv);
    n->kv = backup;
    if (tips != NULL) {
        weir_tips_destroy (&n->tips);
        n->tips = tips;
    }
    node_start (n);
}

static void
step_member (struct world *w, struct node *n)
{
    static const enum weir_right rights[] = { WEIR_RIGHT_NONE, WEIR_RIGHT_READ, WEIR_RIGHT_WRITE,
                                              WEIR_RIGHT_ADMIN };
    struct weir_id entry;
    enum weir_right right = rights[weir_rand_below (&w->rand, 4)];
    enum weir_status status = node_try_grant (n, &w->db, any_node (w), right, &entry);
    assert_true (status == WEIR_OK || status == WEIR_NOT_FOUND || status == WEIR_REMOVED
                 || status == WEIR_NOT_MEMBER || status == WEIR_NOT_ALLOWED);
}

static void
step (struct world *w)
{
    struct node *n = any_node (w);
    switch (weir_rand_below (&w->rand, 16)) {
    case 0:
        node_crash (n, weir_rand_below (&w->rand, 4));
        assert_int_equal (weir_repo_expect (n->repo, &w->db), WEIR_OK);
        break;
    case 1:
        node_restart (n);
        break;
    case 2:
        if (weir_rand_below (&w->rand, 3) == 0) {
            step_restore (w, n);
        }
        break;
    case 3:
    case 4:
        node_pull (n, any_node (w), &w->db);
        break;
    case 5:
    case 6:
    case 7:
        step_scatter (w, n, any_node (w));
        break;
    case 8:
        if (w->members_change) {
            step_member (w, n);
        }
        break;
    case 9:
        while (weir_repo_work (n->repo, n->now_ms)) {
        }
        break;
    default:
        step_set (w, n);
        break;
    }
}

static void
settle (struct world *w)
{
    for (size_t round = 0; round < 3; round++) {
        for (size_t i = 0; i < w->count; i++) {
            for (size_t j = 0; j < w->count; j++) {
                if (i != j) {
                    node_pull (&w->nodes[i], &w->nodes[j], &w->db);
                }
            }
        }
    }
}

static void
check (struct world *w)
{
    for (size_t i = 0; i < w->count; i++) {
        struct node *n = &w->nodes[i];
        struct weir_fork fork;
        struct weir_check_report report;
        assert_nodes_equal (&w->nodes[0], n, &w->db);
        if (!w->rollbacks) {
            assert_int_equal (weir_repo_fork (n->repo, &w->db, 0, &fork), WEIR_NOT_FOUND);
        }
        enum weir_status status = weir_repo_verify (n->repo, NULL, NULL, NULL, &report);
        if (status != WEIR_OK) {
            print_error ("%s\n", report.first_problem);
        }
        assert_int_equal (status, WEIR_OK);
        struct weir_buf before = { 0 };
        struct weir_buf after = { 0 };
        node_doc_bytes (n, &w->db, &before);
        node_restart (n);
        node_doc_bytes (n, &w->db, &after);
        assert_int_equal (before.len, after.len);
        assert_memory_equal (before.data, after.data, before.len);
        weir_buf_fini (&before);
        weir_buf_fini (&after);
    }
}

static void
run_world (uint64_t seed, bool members_change, bool rollbacks)
{
    struct world w = { .members_change = members_change, .rollbacks = rollbacks };
    weir_rand_init (&w.rand, seed);
    w.count = 2 + weir_rand_below (&w.rand, NODES_MAX - 1);
    for (size_t i = 0; i < w.count; i++) {
        node_init (&w.nodes[i], (uint8_t) (i + 1));
    }
    w.db = node_create (&w.nodes[0], "random");
    for (size_t i = 1; i < w.count; i++) {
        node_grant (&w.nodes[0], &w.db, &w.nodes[i],
                    members_change && i == 1 ? WEIR_RIGHT_ADMIN : WEIR_RIGHT_WRITE);
    }
    for (size_t i = 1; i < w.count; i++) {
        node_pull (&w.nodes[i], &w.nodes[0], &w.db);
        node_sync (&w.nodes[i]);
    }
    size_t steps = 20 + weir_rand_below (&w.rand, 60);
    for (size_t i = 0; i < steps; i++) {
        step (&w);
    }
    settle (&w);
    check (&w);
    for (size_t i = 0; i < w.count; i++) {
        node_fini (&w.nodes[i]);
    }
}

static uint64_t current_seed; /* told when a check fails: WEIR_TEST_SEED runs it alone */

static int
tell_seed (void **state)
{
    (void) state;
    if (current_seed != 0) {
        print_message ("the seed was %llu\n", (unsigned long long) current_seed);
    }
    return 0;
}

static void
run_seeds (bool members_change, bool rollbacks)
{
    const char *one = getenv ("WEIR_TEST_SEED");
    uint64_t first = one == NULL ? 1 : strtoull (one, NULL, 10);
    uint64_t count = one == NULL ? SEEDS : 1;
    for (uint64_t seed = first; seed < first + count; seed++) {
        current_seed = seed;
        run_world (seed, members_change, rollbacks);
    }
    current_seed = 0;
}

static void
test_crashes_and_restores (void **state)
{
    (void) state;
    run_seeds (false, false);
}

static void
test_members_change (void **state)
{
    (void) state;
    run_seeds (true, false);
}

static void
test_one_key_in_two_places (void **state)
{
    (void) state;
    run_seeds (true, true);
}

int
main (void)
{
    weir_crypto_init ();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown (test_crashes_and_restores, tell_seed),
        cmocka_unit_test_teardown (test_members_change, tell_seed),
        cmocka_unit_test_teardown (test_one_key_in_two_places, tell_seed),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
