/* Goal: two histories of issue 2 whose order of arrival matters most, told whole: two authors by
 * turns for 10,000 entries, each on top of the other's last, and one key that writes from two
 * places. Fresh replicas get every run in reverse and shuffled; they end equal to the writers, with
 * nothing waiting, and say what happened. (Members who come and go: test_repo_members.c.) */

#include "tests/support/repo.h"

#define TURNS 10000u
#define RUNS_MAX 16000u

struct runs {
    struct weir_buf bytes;
    size_t at[RUNS_MAX + 1];
    size_t n;
};

/* Everything a replica that has nothing lacks, cut into runs. */
static void
runs_of (struct runs *r, struct node *from, const struct weir_id *db)
{
    struct node fresh;
    r->n = 0;
    r->bytes = (struct weir_buf){ 0 };
    node_init (&fresh, 200);
    assert_int_equal (weir_repo_expect (fresh.repo, db), WEIR_OK);
    node_lacking (from, &fresh, db, &r->bytes);
    for (size_t pos = 0; pos < r->bytes.len; r->n++) {
        size_t used = 0;
        assert_true (r->n < RUNS_MAX);
        assert_int_equal (
            weir_run_length (weir_bytes (r->bytes.data + pos, r->bytes.len - pos), &used), WEIR_OK);
        r->at[r->n] = pos;
        pos += used;
    }
    r->at[r->n] = r->bytes.len;
    node_fini (&fresh);
}

/* Order 0: the last first. Others: shuffled by that seed. */
static void
assert_any_order (struct node *from, const struct weir_id *db, size_t orders)
{
    static struct runs r;
    static size_t order_of[RUNS_MAX];
    runs_of (&r, from, db);
    for (size_t order = 0; order < orders; order++) {
        struct node fresh;
        struct weir_rand rand;
        weir_rand_init (&rand, order);
        node_init (&fresh, (uint8_t) (100 + order));
        assert_int_equal (weir_repo_expect (fresh.repo, db), WEIR_OK);
        for (size_t i = 0; i < r.n; i++) {
            order_of[i] = r.n - 1 - i;
        }
        for (size_t i = r.n; order > 0 && i > 1; i--) {
            size_t k = weir_rand_below (&rand, i);
            size_t held = order_of[i - 1];
            order_of[i - 1] = order_of[k];
            order_of[k] = held;
        }
        for (size_t i = 0; i < r.n; i++) {
            size_t at = r.at[order_of[i]];
            size_t len = r.at[order_of[i] + 1] - at;
            struct weir_import_result result =
                node_import (&fresh, db, weir_bytes (r.bytes.data + at, len), from);
            assert_true (result.outcome != WEIR_IMPORT_REFUSED);
            if (i % 512 == 511) {
                node_sync (&fresh);
            }
        }
        node_sync (&fresh);
        assert_int_equal (node_info (&fresh, db).pending_runs, 0);
        assert_int_equal (node_info (&fresh, db).entries, node_info (from, db).entries);
        assert_nodes_equal (from, &fresh, db);
        node_fini (&fresh);
    }
    weir_buf_fini (&r.bytes);
}

/* ---- by turns ---- */

static void
test_turns_in_any_order (void **state)
{
    (void) state;
    struct node a;
    struct node b;
    struct weir_run_builder builder;
    struct weir_buf run = { 0 };
    struct weir_buf payload = { 0 };
    struct weir_id tip[2] = { { { 0 } } };
    node_init (&a, 1);
    node_init (&b, 2);
    struct weir_id db = node_create (&a, "turns");
    struct weir_id dep = node_grant (&a, &db, &b, WEIR_RIGHT_WRITE);
    weir_run_builder_init (&builder);
    weir_buf_put_bytes (&payload, weir_bytes_str ("!no payload that decodes: inert"));
    for (unsigned i = 0; i < TURNS; i++) {
        struct node *author = i % 2 == 0 ? &a : &b;
        struct weir_chain chain = { .author = author->key.device, .lane = 77 };
        weir_run_begin (&builder, &db, WEIR_ENTRY_DATA, &chain, i / 2, &tip[i % 2], &dep, 1);
        weir_run_add (&builder, 0, 0, weir_buf_bytes (&payload), &tip[i % 2]);
        weir_buf_clear (&run);
        weir_run_close (&builder, &author->key, &run);
        assert_int_equal (node_import (&a, &db, weir_buf_bytes (&run), &b).outcome,
                          WEIR_IMPORT_NEW);
        dep = tip[i % 2];
        if (i % 512 == 511) {
            node_sync (&a);
        }
    }
    size_t n = 0;
    (void) weir_repo_heads (a.repo, &db, &n);
    assert_int_equal (n, 1);
    assert_string_equal (node_get (&a, &db, "/m/a"), ""); /* reads them all */
    assert_int_equal (node_info (&a, &db).inert_entries, TURNS);
    assert_any_order (&a, &db, 3);
    weir_run_builder_fini (&builder);
    weir_buf_fini (&run);
    weir_buf_fini (&payload);
    node_fini (&a);
    node_fini (&b);
}

/* ---- one key in two places ---- */

/* A chain of `count` entries of this key on top of `prev`, one run each. */
static void
put_branch (struct node *to, struct node *author, const struct weir_id *db, uint64_t seq,
            struct weir_id prev, const struct weir_id *dep, const char *word, unsigned count)
{
    struct weir_run_builder builder;
    struct weir_buf run = { 0 };
    struct weir_chain chain = { .author = author->key.device, .lane = 5 };
    weir_run_builder_init (&builder);
    for (unsigned i = 0; i < count; i++) {
        weir_run_begin (&builder, db, WEIR_ENTRY_DATA, &chain, seq + i, &prev, dep,
                        seq + i == 0 ? 1 : 0);
        weir_run_add (&builder, 0, i, weir_bytes_str (word), &prev);
        weir_buf_clear (&run);
        weir_run_close (&builder, &author->key, &run);
        (void) node_import (to, db, weir_buf_bytes (&run), author);
    }
    weir_run_builder_fini (&builder);
    weir_buf_fini (&run);
}

static void
test_one_key_in_two_places (void **state)
{
    (void) state;
    struct node a;
    struct node twin;
    struct weir_id start;
    node_init (&a, 1);
    node_init (&twin, 2);
    struct weir_id db = node_create (&a, "twins");
    struct weir_id grant = node_grant (&a, &db, &twin, WEIR_RIGHT_WRITE);
    put_branch (&a, &twin, &db, 0, weir_id_zero, &grant, "!start", 3);
    const struct weir_vector *v = weir_repo_vector (a.repo, &db);
    size_t count = 0;
    struct weir_chain chain = { .author = twin.key.device, .lane = 5 };
    const struct weir_row *rows = weir_vector_chain (v, &chain, &count);
    assert_non_null (rows);
    assert_int_equal (count, 1);
    start = rows->tip;
    put_branch (&a, &twin, &db, 3, start, NULL, "!here", 20);
    put_branch (&a, &twin, &db, 3, start, NULL, "!there", 30);
    put_branch (&a, &twin, &db, 3, start, NULL, "!and a thief", 10);
    rows = weir_vector_chain (weir_repo_vector (a.repo, &db), &chain, &count);
    assert_int_equal (count, 3); /* every tip has its row, on every replica */
    size_t n = 0;
    (void) weir_repo_heads (a.repo, &db, &n);
    assert_int_equal (n, 3);
    assert_int_equal (node_info (&a, &db).entries, 2 + 3 + 20 + 30 + 10);
    assert_any_order (&a, &db, 8);
    node_grant (&a, &db, &twin, WEIR_RIGHT_NONE); /* an admin can end it: all stays, and is shown */
    assert_int_equal (weir_repo_right (a.repo, &db, &twin.key.device), WEIR_RIGHT_NONE);
    assert_any_order (&a, &db, 4);
    node_fini (&a);
    node_fini (&twin);
}

int
main (void)
{
    weir_crypto_init ();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_turns_in_any_order),
        cmocka_unit_test (test_one_key_in_two_places),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
