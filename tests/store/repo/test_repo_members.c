/* Goal: what must not happen when members come and go (issue 2): back-dated grants, late data,
 * two admins who remove each other, a removed device's honest edits, authors by turns. Every
 * replica ends equal, in any order of arrival, and says what happened. Beside it the questions
 * about the past that all of this leans on. */

#include "tests/support/repo.h"

#define NODES 4

struct world {
    struct node n[NODES];
    struct weir_id db;
};

/* Node 0 makes the database; the others get these rights and all hold it. */
static void
world_init (struct world *w, const enum weir_right rights[NODES])
{
    for (size_t i = 0; i < NODES; i++) {
        node_init (&w->n[i], (uint8_t) (i + 1));
    }
    w->db = node_create (&w->n[0], "members");
    for (size_t i = 1; i < NODES; i++) {
        if (rights[i] != WEIR_RIGHT_NONE) {
            node_grant (&w->n[0], &w->db, &w->n[i], rights[i]);
        }
    }
    for (size_t i = 1; i < NODES; i++) {
        node_pull (&w->n[i], &w->n[0], &w->db);
    }
}

static void
world_fini (struct world *w)
{
    for (size_t i = 0; i < NODES; i++) {
        node_fini (&w->n[i]);
    }
}

/* All exchange with all, and with replicas that get every run in other orders. */
static void
assert_all_equal (struct world *w)
{
    for (size_t round = 0; round < 2; round++) {
        for (size_t i = 0; i < NODES; i++) {
            for (size_t j = 0; j < NODES; j++) {
                if (i != j) {
                    node_pull (&w->n[i], &w->n[j], &w->db);
                }
            }
        }
    }
    for (size_t i = 1; i < NODES; i++) {
        assert_nodes_equal (&w->n[0], &w->n[i], &w->db);
    }
    struct weir_rand rand;
    weir_rand_init (&rand, 7);
    for (size_t order = 0; order < 4; order++) {
        struct node fresh;
        struct weir_buf runs = { 0 };
        size_t at[512];
        size_t n = 0;
        node_init (&fresh, (uint8_t) (90 + order));
        assert_int_equal (weir_repo_expect (fresh.repo, &w->db), WEIR_OK);
        node_lacking (&w->n[0], &fresh, &w->db, &runs);
        for (size_t pos = 0; pos < runs.len && n < 511; n++) {
            size_t used = 0;
            assert_int_equal (weir_run_length (weir_bytes (runs.data + pos, runs.len - pos), &used),
                              WEIR_OK);
            at[n] = pos;
            pos += used;
        }
        at[n] = runs.len;
        size_t left[512];
        for (size_t i = 0; i < n; i++) {
            left[i] = i;
        }
        for (size_t k = n; k > 0; k--) {
            size_t pick = weir_rand_below (&rand, k);
            size_t i = left[pick];
            left[pick] = left[k - 1];
            (void) node_import (&fresh, &w->db, weir_bytes (runs.data + at[i], at[i + 1] - at[i]),
                                &w->n[0]);
        }
        assert_int_equal (node_info (&fresh, &w->db).pending_runs, 0);
        assert_nodes_equal (&w->n[0], &fresh, &w->db);
        weir_buf_fini (&runs);
        node_fini (&fresh);
    }
}

/* The removed admin, who has not seen it, lets somebody in: stored, and void. */
static void
test_back_dated_grant (void **state)
{
    (void) state;
    static const enum weir_right rights[NODES] = { WEIR_RIGHT_ADMIN, WEIR_RIGHT_ADMIN,
                                                   WEIR_RIGHT_WRITE, WEIR_RIGHT_NONE };
    struct world w;
    struct weir_id entry;
    world_init (&w, rights);
    node_grant (&w.n[0], &w.db, &w.n[1], WEIR_RIGHT_NONE);
    struct weir_id grant = /* concurrent with it */
        node_grant (&w.n[1], &w.db, &w.n[3], WEIR_RIGHT_WRITE);
    assert_false (weir_repo_void (w.n[1].repo, &w.db, 0, &entry)); /* believed there so far */
    node_pull (&w.n[3], &w.n[1], &w.db);
    assert_int_equal (weir_repo_right (w.n[3].repo, &w.db, &w.n[3].key.device), WEIR_RIGHT_WRITE);
    node_set (&w.n[3], &w.db, "/m/a", "by grace of a removed admin");
    assert_all_equal (&w);
    for (size_t i = 0; i < NODES; i++) {
        assert_int_equal (weir_repo_right (w.n[i].repo, &w.db, &w.n[1].key.device),
                          WEIR_RIGHT_NONE);
        assert_int_equal (weir_repo_right (w.n[i].repo, &w.db, &w.n[3].key.device),
                          WEIR_RIGHT_NONE);
        assert_true (weir_repo_void (w.n[i].repo, &w.db, 0, &entry)); /* and it is told */
        assert_true (weir_id_equal (&entry, &grant));
        assert_false (weir_repo_void (w.n[i].repo, &w.db, 1, &entry));
    }
    assert_true (node_try_set (&w.n[3], &w.db, "/m/b", "no", &entry) != WEIR_OK);
    assert_int_equal (node_try_set (&w.n[1], &w.db, "/m/b", "no", &entry), WEIR_REMOVED);
    world_fini (&w);
}

/* Honest offline edits of a removed device reach the others, stay, and are listed as late. */
static void
test_late_data (void **state)
{
    (void) state;
    static const enum weir_right rights[NODES] = { WEIR_RIGHT_ADMIN, WEIR_RIGHT_WRITE,
                                                   WEIR_RIGHT_WRITE, WEIR_RIGHT_WRITE };
    struct world w;
    struct weir_ranges late = { 0 };
    struct weir_id entry;
    world_init (&w, rights);
    node_set (&w.n[1], &w.db, "/m/a", "seen");
    node_set (&w.n[1], &w.db, "/m/b", "seen too");
    node_sync (&w.n[1]);
    node_pull (&w.n[0], &w.n[1], &w.db);
    node_grant (&w.n[0], &w.db, &w.n[1], WEIR_RIGHT_NONE);
    for (unsigned i = 0; i < 5; i++) {
        node_set (&w.n[1], &w.db, "/m/c", i % 2 == 0 ? "late" : "later");
    }
    assert_int_equal (weir_repo_late (w.n[0].repo, &w.db, &w.n[1].key.device, &late), WEIR_OK);
    assert_int_equal (late.count, 0);    /* nobody has them yet */
    node_pull (&w.n[2], &w.n[1], &w.db); /* a member who does not know */
    assert_all_equal (&w);
    for (size_t i = 0; i < NODES; i++) {
        weir_ranges_clear (&late);
        assert_int_equal (weir_repo_late (w.n[i].repo, &w.db, &w.n[1].key.device, &late), WEIR_OK);
        assert_int_equal (late.count, 1);
        assert_int_equal (late.items[0].to_seq - late.items[0].from_seq, 5);
        weir_ranges_clear (&late);
        assert_int_equal (weir_repo_late (w.n[i].repo, &w.db, &w.n[2].key.device, &late), WEIR_OK);
        assert_int_equal (late.count, 0); /* not removed */
        assert_string_equal (node_get (&w.n[i], &w.db, "/m/c"), "late");
    }
    assert_int_equal (node_try_set (&w.n[1], &w.db, "/m/d", "no", &entry), WEIR_REMOVED);
    struct weir_id nowhere = { { 1 } };
    assert_int_equal (weir_repo_late (w.n[0].repo, &nowhere, &nowhere, &late), WEIR_NOT_FOUND);
    weir_ranges_fini (&late);
    world_fini (&w);
}

/* What a removed device writes on top of its removal is refused everywhere. */
static void
test_writing_after_removal (void **state)
{
    (void) state;
    static const enum weir_right rights[NODES] = { WEIR_RIGHT_ADMIN, WEIR_RIGHT_WRITE,
                                                   WEIR_RIGHT_WRITE, WEIR_RIGHT_WRITE };
    struct world w;
    struct weir_run_builder b;
    struct weir_buf run = { 0 };
    struct weir_id tip;
    world_init (&w, rights);
    struct weir_id removal = node_grant (&w.n[0], &w.db, &w.n[1], WEIR_RIGHT_NONE);
    struct weir_chain chain = { .author = w.n[1].key.device, .lane = 1 };
    weir_run_builder_init (&b);
    weir_run_begin (&b, &w.db, WEIR_ENTRY_DATA, &chain, 0, NULL, &removal, 1);
    weir_run_add (&b, 0, 0, weir_bytes ("x", 1), &tip);
    weir_run_close (&b, &w.n[1].key, &run);
    for (size_t i = 0; i < NODES; i++) {
        node_pull (&w.n[i], &w.n[0], &w.db);
        struct weir_import_result r = node_import (&w.n[i], &w.db, weir_buf_bytes (&run), &w.n[1]);
        assert_int_equal (r.outcome, WEIR_IMPORT_REFUSED);
        assert_int_equal (r.status, WEIR_NOT_MEMBER);
        assert_int_equal (node_info (&w.n[i], &w.db).refused_runs, 1);
    }
    assert_all_equal (&w);
    weir_run_builder_fini (&b);
    weir_buf_fini (&run);
    world_fini (&w);
}

/* Ranks keep removals from crossing: of two admins who remove each other the inviter stays; of
 * two of one rank neither can. */
static void
test_admins_remove_each_other (void **state)
{
    (void) state;
    static const enum weir_right rights[NODES] = { WEIR_RIGHT_ADMIN, WEIR_RIGHT_ADMIN,
                                                   WEIR_RIGHT_ADMIN, WEIR_RIGHT_WRITE };
    struct world w;
    struct weir_id entry;
    world_init (&w, rights);
    assert_int_equal (node_try_grant (&w.n[1], &w.db, &w.n[2], WEIR_RIGHT_NONE, &entry),
                      WEIR_NOT_ALLOWED);
    assert_int_equal (node_try_grant (&w.n[1], &w.db, &w.n[0], WEIR_RIGHT_NONE, &entry),
                      WEIR_NOT_ALLOWED);
    node_grant (&w.n[1], &w.db, &w.n[3], WEIR_RIGHT_ADMIN);
    node_grant (&w.n[0], &w.db, &w.n[1], WEIR_RIGHT_NONE); /* concurrently */
    node_grant (&w.n[2], &w.db, &w.n[2], WEIR_RIGHT_NONE); /* oneself one may */
    assert_all_equal (&w);
    for (size_t i = 0; i < NODES; i++) {
        struct weir_repo *repo = w.n[i].repo;
        assert_int_equal (weir_repo_right (repo, &w.db, &w.n[0].key.device), WEIR_RIGHT_ADMIN);
        assert_int_equal (weir_repo_right (repo, &w.db, &w.n[1].key.device), WEIR_RIGHT_NONE);
        assert_int_equal (weir_repo_right (repo, &w.db, &w.n[2].key.device), WEIR_RIGHT_NONE);
    }
    world_fini (&w);
}

/* By turns, each on top of the other's last, for 10,000 entries: one head, equal everywhere. */
static void
test_turns (void **state)
{
    (void) state;
    static const enum weir_right rights[NODES] = { WEIR_RIGHT_ADMIN, WEIR_RIGHT_WRITE,
                                                   WEIR_RIGHT_NONE, WEIR_RIGHT_NONE };
    enum { TURNS = 10000 };
    struct world w;
    struct weir_buf runs = { 0 };
    world_init (&w, rights);
    for (unsigned i = 0; i < TURNS; i++) {
        struct node *from = &w.n[i % 2];
        struct node *to = &w.n[1 - i % 2];
        size_t n = 0;
        struct weir_id entry = node_set (from, &w.db, "/m/a", i % 4 < 2 ? "x" : "y");
        (void) weir_repo_flush (from->repo, from->now_ms);
        struct weir_entry_facts facts;
        assert_int_equal (weir_repo_entry (from->repo, &w.db, &entry, &facts, NULL), WEIR_OK);
        struct weir_range range = { facts.chain, facts.seq, facts.seq + 1, entry };
        uint64_t next = 0;
        if (i % 64 == 63) { /* the memory twin's writes cost what was written before */
            node_sync (&w.n[0]);
            node_sync (&w.n[1]);
        }
        weir_buf_clear (&runs);
        weir_kv_memory_sync (from->kv);
        weir_repo_on_synced (from->repo);
        assert_int_equal (weir_repo_read (from->repo, &w.db, &range, facts.seq, 1, &runs, &next),
                          WEIR_OK);
        assert_int_equal (node_import (to, &w.db, weir_buf_bytes (&runs), from).outcome,
                          WEIR_IMPORT_NEW);
        (void) weir_repo_heads (to->repo, &w.db, &n);
        assert_int_equal (n, 1);
    }
    weir_buf_clear (&runs);
    node_pull (&w.n[2], &w.n[0], &w.db);
    assert_nodes_equal (&w.n[0], &w.n[1], &w.db);
    assert_nodes_equal (&w.n[0], &w.n[2], &w.db);
    assert_true (node_info (&w.n[2], &w.db).entries >= TURNS);
    weir_buf_fini (&runs);
    world_fini (&w);
}

/* ---- questions about the past ---- */

static bool
is_before (struct node *n, const struct weir_id *db, const struct weir_id *a,
           const struct weir_id *b)
{
    bool before = false;
    assert_int_equal (weir_repo_is_before (n->repo, db, a, b, 1000, &before), WEIR_OK);
    return before;
}

static void
test_is_before (void **state)
{
    (void) state;
    static const enum weir_right rights[NODES] = { WEIR_RIGHT_ADMIN, WEIR_RIGHT_WRITE,
                                                   WEIR_RIGHT_WRITE, WEIR_RIGHT_NONE };
    struct world w;
    bool before = false;
    world_init (&w, rights);
    struct weir_id a1 = node_set (&w.n[1], &w.db, "/m/a", "1");
    struct weir_id a2 = node_set (&w.n[1], &w.db, "/m/a", "2"); /* one run with a1 */
    struct weir_id b1 = node_set (&w.n[2], &w.db, "/m/b", "1");
    struct weir_id a3 = node_set (&w.n[1], &w.db, "/m/a", "3");
    node_pull (&w.n[0], &w.n[1], &w.db);
    node_pull (&w.n[0], &w.n[2], &w.db);
    struct weir_id both = node_set (&w.n[0], &w.db, "/m/c", "1");
    struct node *n = &w.n[0];
    assert_true (is_before (n, &w.db, &w.db, &both));
    assert_true (is_before (n, &w.db, &a1, &a2));
    assert_true (is_before (n, &w.db, &a1, &a3));
    assert_true (is_before (n, &w.db, &a2, &both));
    assert_true (is_before (n, &w.db, &b1, &both));
    assert_false (is_before (n, &w.db, &a2, &a1));
    assert_false (is_before (n, &w.db, &a1, &a1));
    assert_false (is_before (n, &w.db, &a1, &b1));
    assert_false (is_before (n, &w.db, &b1, &a3));
    assert_false (is_before (n, &w.db, &both, &a1));
    assert_int_equal (weir_repo_is_before (n->repo, &w.db, &w.db, &both, 0, &before), WEIR_LIMIT);
    struct weir_id nowhere = { { 1 } };
    assert_int_equal (weir_repo_is_before (n->repo, &w.db, &nowhere, &both, 9, &before),
                      WEIR_NOT_FOUND);
    assert_int_equal (weir_repo_is_before (n->repo, &w.db, &both, &nowhere, 9, &before),
                      WEIR_NOT_FOUND);
    assert_int_equal (weir_repo_is_before (n->repo, &nowhere, &both, &both, 9, &before),
                      WEIR_NOT_FOUND);
    world_fini (&w);
}

static void
test_find_entry (void **state)
{
    (void) state;
    struct node a;
    struct weir_error e;
    struct weir_id found;
    struct weir_entry_facts facts;
    node_init (&a, 1);
    struct weir_id db = node_create (&a, "find");
    for (unsigned i = 0; i < 50; i++) {
        struct weir_id entry = node_set (&a, &db, "/m/a", i % 2 == 0 ? "x" : "y");
        char prefix[WEIR_ID_TEXT + 1];
        for (int len = 8; len <= (int) WEIR_ID_TEXT; len += 11) {
            snprintf (prefix, sizeof prefix, "%.*s", len, weir_id_text (&entry).s);
            assert_int_equal (weir_repo_find_entry (a.repo, &db, prefix, &found, &e), WEIR_OK);
            assert_true (weir_id_equal (&found, &entry));
        }
    }
    static const char *const bad[] = { "", "abc", "aaaaaaaa", "!!!!!!!!", "aaaaaaaaaaaa" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal (weir_repo_find_entry (a.repo, &db, bad[i], &found, &e), WEIR_NOT_FOUND);
    }
    struct weir_id nowhere = { { 1 } };
    assert_int_equal (weir_repo_find_entry (a.repo, &nowhere, "aaaaaaaa", &found, &e),
                      WEIR_NOT_FOUND);
    assert_int_equal (weir_repo_entry (a.repo, &db, &nowhere, &facts, NULL), WEIR_NOT_FOUND);
    assert_int_equal (weir_repo_entry (a.repo, &nowhere, &db, &facts, NULL), WEIR_NOT_FOUND);
    assert_int_equal (weir_repo_right (a.repo, &nowhere, &nowhere), WEIR_RIGHT_NONE);
    size_t n = 1;
    assert_null (weir_repo_members (a.repo, &nowhere, &n));
    assert_int_equal (n, 0);
    node_fini (&a);
}

/* Settings from the future: what this weir cannot read it carries, and does not write beside. */
static void
test_needs_upgrade (void **state)
{
    (void) state;
    struct node a;
    struct node b;
    struct weir_buf run = { 0 };
    struct weir_buf payload = { 0 };
    struct weir_id tip;
    struct weir_run_builder builder;
    node_init (&a, 1);
    node_init (&b, 2);
    struct weir_id db = node_create (&a, "future");
    node_grant (&a, &db, &b, WEIR_RIGHT_ADMIN);
    node_pull (&b, &a, &db);
    struct weir_settings settings = { .entry_version_max = WEIR_ENTRY_VERSION + 1,
                                      .codec_max = 0x7f };
    weir_settings_put (&payload, &settings, false);
    struct weir_chain chain = { .author = b.key.device, .lane = 8 };
    size_t n = 0;
    const struct weir_id *heads = weir_repo_heads (b.repo, &db, &n);
    weir_run_builder_init (&builder);
    weir_run_begin (&builder, &db, WEIR_ENTRY_SETTINGS, &chain, 0, NULL, heads, n);
    weir_run_add (&builder, 0, 0, weir_buf_bytes (&payload), &tip);
    weir_run_close (&builder, &b.key, &run);
    assert_false (node_info (&a, &db).needs_upgrade);
    assert_int_equal (node_import (&a, &db, weir_buf_bytes (&run), &b).outcome, WEIR_IMPORT_NEW);
    assert_true (node_info (&a, &db).needs_upgrade);
    assert_int_equal (node_try_set (&a, &db, "/m/a", "1", &tip), WEIR_NEEDS_UPGRADE);
    node_restart (&a);
    assert_int_equal (node_try_set (&a, &db, "/m/a", "1", &tip), WEIR_NEEDS_UPGRADE);
    weir_run_builder_fini (&builder);
    weir_buf_fini (&run);
    weir_buf_fini (&payload);
    node_fini (&a);
    node_fini (&b);
}

int
main (void)
{
    weir_crypto_init ();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_back_dated_grant),
        cmocka_unit_test (test_late_data),
        cmocka_unit_test (test_writing_after_removal),
        cmocka_unit_test (test_admins_remove_each_other),
        cmocka_unit_test (test_turns),
        cmocka_unit_test (test_is_before),
        cmocka_unit_test (test_find_entry),
        cmocka_unit_test (test_needs_upgrade),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
