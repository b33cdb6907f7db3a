/* Goal: what is committed here is there at once, durable after flush and sync, sealed in as few
 * runs as the rules allow, in lanes no other copy of the data uses, and only by who may. */

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

static void
test_names (void **state)
{
    (void) state;
    struct node a;
    struct weir_id db;
    struct weir_error e;
    char long_name[WEIR_NAME_BYTES_MAX + 2];
    memset (long_name, 'x', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    node_init (&a, 1);
    static const char *const bad[] = { "", "a\nb", "\xff\xfe" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal (weir_repo_create (a.repo, bad[i], 1, &db, &e), WEIR_INVALID_ARGUMENT);
    }
    assert_int_equal (weir_repo_create (a.repo, long_name, 1, &db, &e), WEIR_INVALID_ARGUMENT);
    struct weir_id one = node_create (&a, "one");
    struct weir_id two = node_create (&a, "two");
    struct weir_id twin = node_create (&a, "two");
    assert_false (weir_id_equal (&two, &twin));
    assert_int_equal (weir_repo_resolve (a.repo, "one", &db, &e), WEIR_OK);
    assert_true (weir_id_equal (&db, &one));
    assert_int_equal (weir_repo_resolve (a.repo, "two", &db, &e), WEIR_AMBIGUOUS);
    assert_int_equal (weir_repo_resolve (a.repo, "three", &db, &e), WEIR_NOT_FOUND);
    assert_int_equal (weir_repo_resolve (a.repo, weir_id_text (&two).s, &db, &e), WEIR_OK);
    assert_true (weir_id_equal (&db, &two));
    char prefix[13];
    snprintf (prefix, sizeof prefix, "%.12s", weir_id_text (&twin).s);
    assert_int_equal (weir_repo_resolve (a.repo, prefix, &db, &e), WEIR_OK);
    assert_true (weir_id_equal (&db, &twin));
    struct weir_db_info info;
    struct weir_id before = { { 0 } };
    size_t count = 0;
    for (; weir_repo_database (a.repo, count, &info); count++) {
        assert_true (weir_id_compare (&before, &info.id) < 0);
        before = info.id;
    }
    assert_int_equal (count, 3);
    node_fini (&a);
}

/* A group is one run, however many commits; bounds of a run end one and begin the next. */
static void
test_group (void **state)
{
    (void) state;
    struct node a;
    node_init (&a, 1);
    struct weir_id db = node_create (&a, "group");
    node_sync (&a);
    uint64_t at = weir_repo_position (a.repo);
    for (unsigned i = 0; i < 300; i++) {
        node_set (&a, &db, "/m/a", i % 2 == 0 ? "x" : "y");
    }
    uint64_t batch = weir_repo_flush (a.repo, a.now_ms);
    assert_int_equal (weir_repo_flush (a.repo, a.now_ms), batch); /* nothing is open */
    assert_int_equal (weir_repo_position (a.repo), at);           /* not synced */
    node_sync (&a);
    struct weir_log_row row;
    assert_int_equal (weir_repo_log_next (a.repo, at, NULL, &row), WEIR_OK);
    assert_int_equal (row.range.from_seq, 1);
    assert_int_equal (row.range.to_seq, 301);
    assert_true (weir_id_is_zero (&row.source));
    assert_int_equal (weir_repo_position (a.repo), at + 1);
    struct weir_buf payload = { 0 };
    struct weir_id entry;
    weir_buf_reserve (&payload, WEIR_RUN_BYTES_MAX);
    payload.len = WEIR_RUN_BYTES_MAX;
    memset (payload.data, 7, payload.len);
    for (unsigned i = 0; i < 3; i++) { /* each larger than a run may be with another */
        assert_int_equal (
            weir_repo_commit (a.repo, &db, weir_buf_bytes (&payload), 0, 0, &entry, NULL), WEIR_OK);
    }
    node_sync (&a);
    assert_int_equal (weir_repo_position (a.repo), at + 4);
    weir_buf_reserve (&payload, WEIR_PAYLOAD_BYTES_MAX);
    payload.len = WEIR_PAYLOAD_BYTES_MAX + 1;
    memset (payload.data, 7, payload.len);
    assert_int_equal (weir_repo_commit (a.repo, &db, weir_buf_bytes (&payload), 0, 0, &entry, NULL),
                      WEIR_TOO_LARGE);
    assert_int_equal (weir_repo_commit (a.repo, &db, weir_bytes (NULL, 0), WEIR_ENTRY_OPS_MAX + 1,
                                        0, &entry, NULL),
                      WEIR_TOO_LARGE);
    assert_int_equal (node_info (&a, &db).inert_entries, 3);
    weir_buf_fini (&payload);
    node_fini (&a);
}

static void
test_who_may (void **state)
{
    (void) state;
    struct node a;
    struct node b;
    struct weir_id entry;
    node_init (&a, 1);
    node_init (&b, 2);
    struct weir_id db = node_create (&a, "rights");
    struct weir_id nowhere = { { 9 } };
    assert_int_equal (node_try_set (&b, &nowhere, "/m/a", "1", &entry), WEIR_NOT_FOUND);
    assert_int_equal (weir_repo_commit (b.repo, &nowhere, weir_bytes (NULL, 0), 0, 0, &entry, NULL),
                      WEIR_NOT_FOUND);
    assert_int_equal (weir_repo_expect (b.repo, &db), WEIR_OK);
    assert_int_equal (weir_repo_commit (b.repo, &db, weir_bytes (NULL, 0), 0, 0, &entry, NULL),
                      WEIR_NOT_FOUND); /* joining: nothing to write to */
    assert_true (node_info (&b, &db).joining);
    node_pull (&b, &a, &db);
    assert_false (node_info (&b, &db).joining);
    assert_int_equal (node_try_set (&b, &db, "/m/a", "1", &entry), WEIR_NOT_MEMBER);
    static const struct {
        enum weir_right right;
        enum weir_status status;
    } cases[] = {
        { WEIR_RIGHT_CARRY, WEIR_NOT_ALLOWED }, { WEIR_RIGHT_READ, WEIR_NOT_ALLOWED },
        { WEIR_RIGHT_WRITE, WEIR_OK },          { WEIR_RIGHT_ADMIN, WEIR_OK },
        { WEIR_RIGHT_NONE, WEIR_REMOVED },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        node_grant (&a, &db, &b, cases[i].right);
        node_exchange (&b, &a, &db);
        assert_int_equal (weir_repo_right (b.repo, &db, &b.key.device), cases[i].right);
        assert_int_equal (node_try_set (&b, &db, "/m/a", i % 2 == 0 ? "1" : "2", &entry),
                          cases[i].status);
        enum weir_status want = cases[i].right == WEIR_RIGHT_ADMIN  ? WEIR_OK
                                : cases[i].right == WEIR_RIGHT_NONE ? WEIR_REMOVED
                                                                    : WEIR_NOT_ALLOWED;
        assert_int_equal (node_try_grant (&b, &db, &b, cases[i].right, &entry), want);
    }
    node_exchange (&b, &a, &db);
    node_pull (&a, &b, &db);
    assert_nodes_equal (&a, &b, &db);
    node_fini (&a);
    node_fini (&b);
}

static void
test_bad_changes (void **state)
{
    (void) state;
    struct node a;
    struct weir_id entry;
    node_init (&a, 1);
    struct weir_id db = node_create (&a, "changes");
    struct weir_member_change twice[2] = { { .device = { { 1 } }, .right = WEIR_RIGHT_READ },
                                           { .device = { { 1 } }, .right = WEIR_RIGHT_WRITE } };
    assert_int_equal (weir_repo_change_members (a.repo, &db, twice, 0, 1, &entry, NULL),
                      WEIR_INVALID_ARGUMENT);
    assert_int_equal (weir_repo_change_members (a.repo, &db, twice, 2, 1, &entry, NULL),
                      WEIR_INVALID_ARGUMENT);
    twice[0].device = weir_id_zero;
    assert_int_equal (weir_repo_change_members (a.repo, &db, twice, 1, 1, &entry, NULL),
                      WEIR_INVALID_ARGUMENT);
    twice[1].name[0] = '\n';
    assert_int_equal (weir_repo_change_members (a.repo, &db, twice + 1, 1, 1, &entry, NULL),
                      WEIR_INVALID_ARGUMENT);
    uint64_t epoch = weir_repo_members_epoch (a.repo);
    twice[1].name[0] = 'n';
    assert_int_equal (weir_repo_change_members (a.repo, &db, twice + 1, 1, 1, &entry, NULL),
                      WEIR_OK);
    assert_true (weir_repo_members_epoch (a.repo) > epoch);
    struct weir_entry_facts facts;
    assert_int_equal (weir_repo_entry (a.repo, &db, &entry, &facts, NULL), WEIR_OK);
    assert_int_equal (facts.kind, WEIR_ENTRY_SETTINGS);
    node_fini (&a);
}

/* ---- lanes ---- */

static size_t
lanes_after_write (struct node *n, const struct weir_id *db)
{
    static unsigned round;
    char text[16];
    snprintf (text, sizeof text, "%u", round++);
    node_set (n, db, "/m/lane", text);
    node_sync (n);
    return node_info (n, db).n_chains;
}

static void
test_tips_missing (void **state)
{
    (void) state;
    struct node a;
    node_init (&a, 1);
    struct weir_id db = node_create (&a, "tips");
    assert_int_equal (lanes_after_write (&a, &db), 1);
    weir_repo_close (&a.repo);
    weir_tips_destroy (&a.tips);
    a.tips = weir_tips_memory_new ();
    node_start (&a);
    assert_int_equal (lanes_after_write (&a, &db), 2);
    node_restart (&a);
    assert_int_equal (lanes_after_write (&a, &db), 2);
    weir_repo_close (&a.repo);
    assert_int_equal (weir_tips_save (a.tips, weir_bytes ("\1garbage", 8)), WEIR_OK);
    node_start (&a);
    assert_int_equal (lanes_after_write (&a, &db), 3);
    node_fini (&a);
}

static void
test_tips_ahead_and_behind (void **state)
{
    (void) state;
    struct node a;
    struct weir_buf tips = { 0 };
    node_init (&a, 1);
    struct weir_id db = node_create (&a, "tips");
    assert_int_equal (lanes_after_write (&a, &db), 1);
    struct weir_kv *backup = weir_kv_memory_copy (a.kv);
    assert_int_equal (weir_tips_load (a.tips, &tips), WEIR_OK);
    assert_int_equal (lanes_after_write (&a, &db), 1);
    weir_repo_close (&a.repo);
    weir_kv_close (&a.kv);
    a.kv = backup; /* the data are from before what the file says */
    node_start (&a);
    assert_int_equal (lanes_after_write (&a, &db), 2);
    node_fini (&a);

    node_init (&a, 1);
    db = node_create (&a, "behind");
    assert_int_equal (lanes_after_write (&a, &db), 1);
    weir_buf_clear (&tips);
    assert_int_equal (weir_tips_load (a.tips, &tips), WEIR_OK);
    assert_int_equal (lanes_after_write (&a, &db), 1);
    weir_repo_close (&a.repo);
    assert_int_equal (weir_tips_save (a.tips, weir_buf_bytes (&tips)), WEIR_OK);
    node_start (&a); /* the file was not written before the power went */
    assert_int_equal (lanes_after_write (&a, &db), 1);
    weir_buf_fini (&tips);
    node_fini (&a);
}

/* What was never synced never left: its seq may be used again. */
static void
test_crash_unsynced (void **state)
{
    (void) state;
    struct node a;
    node_init (&a, 1);
    struct weir_id db = node_create (&a, "crash");
    node_set (&a, &db, "/m/a", "kept");
    node_sync (&a);
    uint64_t position = weir_repo_position (a.repo);
    node_set (&a, &db, "/m/a", "lost");
    (void) weir_repo_flush (a.repo, a.now_ms);
    weir_repo_on_synced (a.repo); /* nothing was */
    assert_string_equal (node_get (&a, &db, "/m/a"), "lost");
    struct weir_range range = weir_repo_vector (a.repo, &db)->count == 1
                                  ? (struct weir_range){ .from_seq = 2, .to_seq = 3 }
                                  : (struct weir_range){ .from_seq = 0 };
    range.chain = weir_repo_vector (a.repo, &db)->rows[0].chain;
    range.tip = weir_repo_vector (a.repo, &db)->rows[0].tip;
    struct weir_buf out = { 0 };
    uint64_t next = 0;
    assert_int_equal (weir_repo_read (a.repo, &db, &range, 2, 4096, &out, &next), WEIR_BUSY);
    assert_int_equal (weir_repo_read (a.repo, &db, &range, 1, 4096, &out, &next),
                      WEIR_NOT_FOUND); /* before the range */
    range.from_seq = 0;
    assert_int_equal (weir_repo_read (a.repo, &db, &range, 0, 4096, &out, &next), WEIR_OK);
    assert_int_equal (next, 2); /* up to what is synced */
    assert_int_equal (weir_repo_position (a.repo), position);
    node_crash (&a, 0);
    assert_string_equal (node_get (&a, &db, "/m/a"), "kept");
    node_set (&a, &db, "/m/a", "again");
    node_sync (&a);
    assert_int_equal (node_info (&a, &db).n_chains, 1);
    weir_buf_fini (&out);
    node_fini (&a);
}

/* A peer shows entries of our chain that we do not have. */
static void
test_peer_shows_our_chain (void **state)
{
    (void) state;
    struct node a;
    struct node b;
    struct weir_fork fork;
    node_init (&a, 1);
    node_init (&b, 2);
    struct weir_id db = node_create (&a, "twins");
    node_grant (&a, &db, &b, WEIR_RIGHT_WRITE);
    node_sync (&a);
    struct weir_kv *backup = weir_kv_memory_copy (a.kv);
    struct weir_buf tips = { 0 };
    assert_int_equal (weir_tips_load (a.tips, &tips), WEIR_OK);
    node_set (&a, &db, "/m/a", "seen by b");
    node_pull (&b, &a, &db);
    weir_repo_close (&a.repo);
    weir_kv_close (&a.kv);
    a.kv = backup; /* rolled back, with its tips file: nothing to notice it by */
    assert_int_equal (weir_tips_save (a.tips, weir_buf_bytes (&tips)), WEIR_OK);
    node_start (&a);
    node_pull (&a, &b, &db);
    assert_string_equal (node_get (&a, &db, "/m/a"), "seen by b");
    node_set (&a, &db, "/m/a", "after"); /* not in the lane the peer has shown */
    node_sync (&a);
    node_exchange (&a, &b, &db);
    assert_nodes_equal (&a, &b, &db);
    assert_int_equal (node_info (&a, &db).n_chains, 2);
    assert_int_equal (weir_repo_fork (a.repo, &db, 0, &fork), WEIR_NOT_FOUND);
    weir_buf_fini (&tips);
    node_fini (&a);
    node_fini (&b);
}

/* The same, but what the peer shows waits for something between. */
static void
test_peer_shows_later_part (void **state)
{
    (void) state;
    struct node a;
    struct node b;
    struct weir_fork fork;
    struct weir_buf tips = { 0 };
    struct weir_buf runs = { 0 };
    node_init (&a, 1);
    node_init (&b, 2);
    struct weir_id db = node_create (&a, "twins");
    node_sync (&a);
    struct weir_kv *backup = weir_kv_memory_copy (a.kv);
    assert_int_equal (weir_tips_load (a.tips, &tips), WEIR_OK);
    for (unsigned i = 0; i < 3; i++) {
        node_set (&a, &db, "/m/a", i % 2 == 0 ? "x" : "y");
    }
    node_pull (&b, &a, &db);
    struct weir_row row = weir_repo_vector (b.repo, &db)->rows[0];
    struct weir_range range = { row.chain, 2, row.count, row.tip };
    uint64_t next = 0;
    node_sync (&b);
    assert_int_equal (weir_repo_read (b.repo, &db, &range, 2, 4096, &runs, &next), WEIR_OK);
    weir_repo_close (&a.repo);
    weir_kv_close (&a.kv);
    a.kv = backup;
    assert_int_equal (weir_tips_save (a.tips, weir_buf_bytes (&tips)), WEIR_OK);
    node_start (&a);
    assert_int_equal (node_import (&a, &db, weir_buf_bytes (&runs), &b).outcome,
                      WEIR_IMPORT_PENDING);
    node_set (&a, &db, "/m/b", "1");
    node_exchange (&a, &b, &db);
    assert_nodes_equal (&a, &b, &db);
    assert_int_equal (weir_repo_fork (a.repo, &db, 0, &fork), WEIR_NOT_FOUND);
    weir_buf_fini (&tips);
    weir_buf_fini (&runs);
    node_fini (&a);
    node_fini (&b);
}

/* More heads than a run can name: merges come first. */
static void
test_many_heads (void **state)
{
    (void) state;
    enum { WRITERS = 40 };
    struct node a;
    static struct node writers[WRITERS];
    node_init (&a, 1);
    struct weir_id db = node_create (&a, "heads");
    for (uint8_t i = 0; i < WRITERS; i++) {
        node_init (&writers[i], (uint8_t) (i + 10));
        node_grant (&a, &db, &writers[i], WEIR_RIGHT_WRITE);
    }
    for (size_t i = 0; i < WRITERS; i++) {
        node_pull (&writers[i], &a, &db);
        node_set (&writers[i], &db, "/m/a", "mine");
    }
    for (size_t i = 0; i < WRITERS; i++) {
        node_pull (&a, &writers[i], &db);
    }
    assert_int_equal (node_info (&a, &db).n_heads, WRITERS);
    struct weir_id entry = node_set (&a, &db, "/m/b", "one head");
    assert_int_equal (node_info (&a, &db).n_heads, 1);
    struct weir_entry_facts facts;
    assert_int_equal (weir_repo_entry (a.repo, &db, &entry, &facts, NULL), WEIR_OK);
    assert_true (facts.n_deps > 0 && facts.n_deps <= WEIR_ENTRY_DEPS_MAX);
    assert_int_equal (weir_repo_entry (a.repo, &db, &facts.prev, &facts, NULL), WEIR_OK);
    assert_int_equal (facts.kind, WEIR_ENTRY_MERGE);
    node_pull (&writers[7], &a, &db);
    assert_nodes_equal (&a, &writers[7], &db);
    struct weir_id lane = node_set (&writers[7], &db, "/m/c", "on top");
    assert_int_equal (weir_repo_entry (writers[7].repo, &db, &lane, &facts, NULL), WEIR_OK);
    assert_int_equal (facts.n_deps, 1);
    node_fini (&a);
    for (size_t i = 0; i < WRITERS; i++) {
        node_fini (&writers[i]);
    }
}

static void
test_disk_fails (void **state)
{
    (void) state;
    struct node a;
    struct weir_id entry;
    struct weir_id other;
    struct weir_import_result result;
    node_init (&a, 1);
    struct weir_id db = node_create (&a, "disk");
    node_set (&a, &db, "/m/a", "before");
    node_sync (&a);
    weir_kv_memory_fail (a.kv, WEIR_DISK_FULL);
    assert_int_equal (weir_kv_status (a.kv), WEIR_DISK_FULL);
    assert_int_equal (node_try_set (&a, &db, "/m/a", "after", &entry), WEIR_DISK_FULL);
    assert_int_equal (weir_repo_create (a.repo, "x", 1, &other, NULL), WEIR_DISK_FULL);
    assert_int_equal (node_try_grant (&a, &db, &a, WEIR_RIGHT_ADMIN, &entry), WEIR_DISK_FULL);
    assert_int_equal (weir_repo_expect (a.repo, &(struct weir_id){ { 1 } }), WEIR_DISK_FULL);
    assert_int_equal (
        weir_repo_import (a.repo, &db, weir_bytes (NULL, 0), &weir_id_zero, 1, &result),
        WEIR_DISK_FULL);
    assert_false (weir_repo_work (a.repo, 1));
    assert_string_equal (node_get (&a, &db, "/m/a"), "before"); /* reading goes on */
    node_fini (&a);
}

int
main (void)
{
    weir_crypto_init ();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_create_and_commit),
        cmocka_unit_test (test_names),
        cmocka_unit_test (test_group),
        cmocka_unit_test (test_who_may),
        cmocka_unit_test (test_bad_changes),
        cmocka_unit_test (test_tips_missing),
        cmocka_unit_test (test_tips_ahead_and_behind),
        cmocka_unit_test (test_crash_unsynced),
        cmocka_unit_test (test_peer_shows_our_chain),
        cmocka_unit_test (test_peer_shows_later_part),
        cmocka_unit_test (test_many_heads),
        cmocka_unit_test (test_disk_fails),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
