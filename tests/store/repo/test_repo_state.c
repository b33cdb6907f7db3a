/* Goal: a client's request is answered once, whenever it is asked again; `_node` rows come back
 * as they were put, in order; the log gives what is synced, in order, and its positions are
 * never used twice. */

#include "store/repo/keys.h"
#include "tests/support/repo.h"

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
put_request (struct node *n, const uint8_t client[16], uint64_t number, const char *answer)
{
    weir_repo_request_put (n->repo, client, number, weir_bytes_str (answer), n->now_ms);
}

static void
assert_request (struct node *n, const uint8_t client[16], uint64_t number, enum weir_status status,
                const char *answer)
{
    struct weir_buf out = { 0 };
    assert_int_equal (weir_repo_request_get (n->repo, client, number, &out), status);
    if (status == WEIR_OK) {
        assert_string_equal (weir_buf_str (&out), answer);
    }
    weir_buf_fini (&out);
}

static void
work (struct node *n)
{
    while (weir_repo_work (n->repo, n->now_ms)) {
    }
    node_sync (n);
}

static void
test_requests (void **state)
{
    (void) state;
    static const uint8_t one[16] = { 1 };
    static const uint8_t two[16] = { 2 };
    struct node a;
    node_init (&a, 1);
    assert_request (&a, one, 1, WEIR_NOT_FOUND, NULL);
    put_request (&a, one, 1, "first");
    assert_request (&a, one, 1, WEIR_OK, "first"); /* before the flush */
    assert_request (&a, two, 1, WEIR_NOT_FOUND, NULL);
    put_request (&a, one, 3, "third");
    put_request (&a, one, 2, "second"); /* late */
    put_request (&a, one, 2, "second again");
    node_sync (&a);
    assert_request (&a, one, 1, WEIR_OK, "first");
    assert_request (&a, one, 2, WEIR_OK, "second again");
    assert_request (&a, one, 4, WEIR_NOT_FOUND, NULL);
    node_crash (&a, 0);
    assert_request (&a, one, 3, WEIR_OK, "third");
    put_request (&a, one, 4, "lost");
    node_crash (&a, 0);
    assert_request (&a, one, 4, WEIR_NOT_FOUND, NULL);
    node_fini (&a);
}

/* The window moves with the greatest number: each put costs a row, whatever is kept. */
static void
test_requests_are_bounded (void **state)
{
    (void) state;
    static const uint8_t one[16] = { 1 };
    struct node a;
    node_init (&a, 1);
    for (uint64_t i = 1; i <= WEIR_REQUESTS_KEPT + 100; i++) {
        put_request (&a, one, i, "x");
        if (i % 256 == 0) {
            node_sync (&a);
        }
    }
    node_sync (&a);
    assert_int_equal (count_rows (&a, WEIR_REPO_TABLE_ANSWER), WEIR_REQUESTS_KEPT);
    assert_request (&a, one, 100, WEIR_GAP, NULL);
    assert_request (&a, one, 101, WEIR_OK, "x");
    put_request (&a, one, UINT64_MAX, "far"); /* a hostile number costs one window */
    node_sync (&a);
    assert_int_equal (count_rows (&a, WEIR_REPO_TABLE_ANSWER), 1);
    assert_request (&a, one, 4000, WEIR_GAP, NULL);
    assert_request (&a, one, UINT64_MAX, WEIR_OK, "far");
    assert_request (&a, one, UINT64_MAX - 1, WEIR_NOT_FOUND, NULL);
    node_restart (&a);
    assert_request (&a, one, 4000, WEIR_GAP, NULL);
    node_fini (&a);
}

static void
test_clients_expire (void **state)
{
    (void) state;
    struct node a;
    uint8_t client[16] = { 0 };
    node_init (&a, 1);
    for (uint8_t i = 0; i < 40; i++) {
        client[0] = i;
        a.now_ms += 1000;
        put_request (&a, client, 1, "old");
        put_request (&a, client, 2, "old");
    }
    work (&a);
    assert_int_equal (count_rows (&a, WEIR_REPO_TABLE_CLIENT), 40);
    a.now_ms += WEIR_CLIENT_TTL_MS - 20000; /* the first half is too old now */
    put_request (&a, client, 3, "new");
    work (&a);
    assert_int_equal (count_rows (&a, WEIR_REPO_TABLE_CLIENT), 21);
    assert_int_equal (count_rows (&a, WEIR_REPO_TABLE_ANSWER), 43);
    client[0] = 0;
    assert_request (&a, client, 1, WEIR_NOT_FOUND, NULL);
    put_request (&a, client, 9, "back");
    work (&a);
    node_restart (&a);
    assert_request (&a, client, 9, WEIR_OK, "back");
    a.now_ms += 3 * WEIR_CLIENT_TTL_MS;
    work (&a);
    assert_int_equal (count_rows (&a, WEIR_REPO_TABLE_CLIENT), 0);
    assert_int_equal (count_rows (&a, WEIR_REPO_TABLE_ANSWER), 0);
    node_fini (&a);
}

static void
test_state_rows (void **state)
{
    (void) state;
    static const char *const keys[] = { "cards/a", "peers/a", "peers/b",
                                        "peers/c", "peersx",  "retry/a/b" };
    struct node a;
    struct weir_buf key = { 0 };
    struct weir_buf value = { 0 };
    node_init (&a, 1);
    assert_int_equal (weir_repo_state_get (a.repo, "peers/a", &value), WEIR_NOT_FOUND);
    assert_int_equal (weir_repo_state_get (a.repo, "", &value), WEIR_NOT_FOUND);
    for (size_t i = 0; i < 6; i++) {
        weir_repo_state_put (a.repo, keys[i], weir_bytes_str (keys[i]));
    }
    assert_int_equal (weir_repo_state_get (a.repo, "peers/b", &value), WEIR_OK);
    assert_string_equal (weir_buf_str (&value), "peers/b"); /* before the flush */
    node_crash (&a, 100);
    const char *after = "";
    for (size_t i = 1; i < 4; i++) {
        assert_int_equal (weir_repo_state_next (a.repo, "peers/", after, &key, &value), WEIR_OK);
        assert_string_equal (weir_buf_str (&key), keys[i]);
        assert_string_equal (weir_buf_str (&value), keys[i]);
        after = weir_buf_str (&key);
    }
    assert_int_equal (weir_repo_state_next (a.repo, "peers/", after, &key, &value), WEIR_NOT_FOUND);
    size_t n = 0;
    for (after = ""; weir_repo_state_next (a.repo, "", after, &key, &value) == WEIR_OK; n++) {
        assert_string_equal (weir_buf_str (&key), keys[n]);
        after = weir_buf_str (&key);
    }
    assert_int_equal (n, 6);
    weir_repo_state_put (a.repo, "peers/b", weir_bytes (NULL, 0)); /* deletes */
    weir_repo_state_put (a.repo, "peers/a", weir_bytes_str ("changed"));
    weir_buf_clear (&value);
    assert_int_equal (weir_repo_state_get (a.repo, "peers/b", &value), WEIR_NOT_FOUND);
    assert_int_equal (weir_repo_state_next (a.repo, "peers/", "peers/a", &key, &value), WEIR_OK);
    assert_string_equal (weir_buf_str (&key), "peers/c");
    weir_buf_clear (&value);
    assert_int_equal (weir_repo_state_get (a.repo, "peers/a", &value), WEIR_OK);
    assert_string_equal (weir_buf_str (&value), "changed");
    weir_buf_fini (&key);
    weir_buf_fini (&value);
    node_fini (&a);
}

/* ---- the log ---- */

static void
test_log (void **state)
{
    (void) state;
    struct node a;
    struct weir_log_row row;
    node_init (&a, 1);
    uint64_t epoch = weir_repo_epoch (a.repo);
    assert_true (epoch != 0);
    assert_int_equal (weir_repo_log_next (a.repo, 0, NULL, &row), WEIR_NOT_FOUND);
    assert_int_equal (weir_repo_log_prev (a.repo, 9, NULL, &row), WEIR_NOT_FOUND);
    struct weir_id one = node_create (&a, "one");
    struct weir_id two = node_create (&a, "two");
    node_sync (&a);
    for (unsigned i = 0; i < 4; i++) {
        node_set (&a, i % 2 == 0 ? &one : &two, "/m/a", i < 2 ? "x" : "y");
        node_sync (&a);
    }
    assert_int_equal (weir_repo_position (a.repo), 6);
    uint64_t at = 0;
    for (uint64_t want = 1; want <= 6; want++) {
        assert_int_equal (weir_repo_log_next (a.repo, at, NULL, &row), WEIR_OK);
        assert_int_equal (row.position, want);
        assert_true (weir_id_equal (&row.db, want % 2 == 1 ? &one : &two));
        at = row.position;
    }
    assert_int_equal (weir_repo_log_next (a.repo, at, NULL, &row), WEIR_NOT_FOUND);
    at = 0;
    for (uint64_t want = 2; want <= 6; want += 2) {
        assert_int_equal (weir_repo_log_next (a.repo, at, &two, &row), WEIR_OK);
        assert_int_equal (row.position, want);
        at = row.position;
    }
    assert_int_equal (weir_repo_log_next (a.repo, at, &two, &row), WEIR_NOT_FOUND);
    assert_int_equal (weir_repo_log_prev (a.repo, UINT64_MAX, &one, &row), WEIR_OK);
    assert_int_equal (row.position, 5);
    assert_int_equal (weir_repo_log_prev (a.repo, 5, &one, &row), WEIR_OK);
    assert_int_equal (row.position, 3);
    assert_int_equal (weir_repo_log_prev (a.repo, 1, NULL, &row), WEIR_NOT_FOUND);
    assert_int_equal (weir_repo_log_prev (a.repo, 6, NULL, &row), WEIR_OK);
    assert_int_equal (row.position, 5);
    struct weir_id nowhere = { { 1 } };
    assert_int_equal (weir_repo_log_next (a.repo, 0, &nowhere, &row), WEIR_NOT_FOUND);
    assert_int_equal (weir_repo_log_prev (a.repo, 9, &nowhere, &row), WEIR_NOT_FOUND);
    node_restart (&a);
    assert_int_equal (weir_repo_epoch (a.repo), epoch);
    assert_int_equal (weir_repo_position (a.repo), 6);
    node_fini (&a);
}

/* Forgetting takes every row of the database, in slices, also across a restart; what others have
 * in the log stays, and the positions that went do not come again. */
static void
test_forget (void **state)
{
    (void) state;
    struct node a;
    struct weir_log_row row;
    struct weir_db_info info;
    node_init (&a, 1);
    struct weir_id kept = node_create (&a, "kept");
    struct weir_id gone = node_create (&a, "gone");
    for (unsigned i = 0; i < 3000; i++) {
        node_set (&a, &gone, "/m/a", i % 2 == 0 ? "x" : "y");
    }
    node_sync (&a);
    uint64_t position = weir_repo_position (a.repo);
    assert_int_equal (weir_repo_forget (a.repo, &gone), WEIR_OK);
    assert_int_equal (weir_repo_info (a.repo, &gone, &info), WEIR_NOT_FOUND);
    assert_null (weir_repo_vector (a.repo, &gone));
    size_t n = 1;
    assert_null (weir_repo_heads (a.repo, &gone, &n));
    assert_int_equal (n, 0);
    assert_int_equal (weir_repo_log_next (a.repo, 1, NULL, &row), WEIR_NOT_FOUND);
    assert_true (weir_repo_work (a.repo, a.now_ms));
    node_restart (&a);
    assert_int_equal (weir_repo_info (a.repo, &gone, &info), WEIR_NOT_FOUND);
    work (&a);
    assert_int_equal (count_rows (&a, WEIR_REPO_TABLE_ENTRY), 1);
    assert_int_equal (count_rows (&a, WEIR_REPO_TABLE_DATABASE), 1);
    assert_int_equal (count_rows (&a, WEIR_REPO_TABLE_LOG), 1);
    assert_int_equal (count_rows (&a, WEIR_REPO_TABLE_ARRIVAL), 1);
    assert_int_equal (count_rows (&a, WEIR_REPO_TABLE_BRANCH), 1);
    node_restart (&a);
    node_set (&a, &kept, "/m/a", "1");
    node_sync (&a);
    assert_int_equal (weir_repo_position (a.repo), position + 1);
    assert_int_equal (weir_repo_log_next (a.repo, 1, NULL, &row), WEIR_OK);
    assert_int_equal (row.position, position + 1);
    node_fini (&a);
}

static void
test_open (void **state)
{
    (void) state;
    struct node a;
    struct weir_error e = { 0 };
    node_init (&a, 1);
    struct weir_id db = node_create (&a, "open");
    node_sync (&a);
    weir_repo_close (&a.repo);
    uint8_t seed[32] = { 200 };
    struct weir_identity other;
    weir_identity_init (&other, seed);
    struct weir_repo_options options = { .kv = a.kv, .tips = a.tips, .identity = &other };
    assert_int_equal (weir_repo_open (&a.repo, &options, &e), WEIR_WRONG_DEVICE);
    assert_int_equal (e.status, WEIR_WRONG_DEVICE);
    struct weir_repo_key key = weir_repo_key (WEIR_REPO_TABLE_LAYOUT);
    struct weir_buf row = { 0 };
    assert_int_equal (weir_kv_get (a.kv, weir_repo_key_bytes (&key), &row), WEIR_OK);
    weir_store_u32 (row.data, WEIR_LAYOUT_VERSION + 1);
    struct weir_kv_batch *batch = weir_kv_batch_new ();
    weir_kv_put (batch, weir_repo_key_bytes (&key), weir_buf_bytes (&row));
    (void) weir_kv_write (a.kv, &batch);
    assert_int_equal (node_try_start (&a), WEIR_NEWER_LAYOUT);
    batch = weir_kv_batch_new ();
    weir_kv_put (batch, weir_repo_key_bytes (&key), weir_bytes (row.data, 3));
    (void) weir_kv_write (a.kv, &batch);
    assert_int_equal (node_try_start (&a), WEIR_CORRUPT);
    batch = weir_kv_batch_new ();
    weir_kv_delete (batch, weir_repo_key_bytes (&key));
    (void) weir_kv_write (a.kv, &batch);
    assert_int_equal (node_try_start (&a), WEIR_CORRUPT); /* data, and nothing that owns them */
    batch = weir_kv_batch_new ();
    weir_store_u32 (row.data, WEIR_LAYOUT_VERSION);
    weir_kv_put (batch, weir_repo_key_bytes (&key), weir_buf_bytes (&row));
    (void) weir_kv_write (a.kv, &batch);
    node_start (&a);
    assert_string_equal (node_info (&a, &db).name, "open");
    weir_buf_fini (&row);
    node_fini (&a);
}

int
main (void)
{
    weir_crypto_init ();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_requests),
        cmocka_unit_test (test_requests_are_bounded),
        cmocka_unit_test (test_clients_expire),
        cmocka_unit_test (test_state_rows),
        cmocka_unit_test (test_log),
        cmocka_unit_test (test_forget),
        cmocka_unit_test (test_open),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
