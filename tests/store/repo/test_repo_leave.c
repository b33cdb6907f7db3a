/* Goal: any member leaves by itself, whatever its right, and every replica stores that; nothing
 * else slips through beside it. And the rows of the log, entry by entry, as people read them. */

#include "tests/support/repo.h"

#define NODES 4u

struct world {
    struct node n[NODES];
    struct weir_id db;
};

static void
world_init (struct world *w, const enum weir_right rights[NODES])
{
    for (uint8_t i = 0; i < NODES; i++) {
        node_init (&w->n[i], i);
    }
    w->db = node_create (&w->n[0], "notes");
    for (size_t i = 1; i < NODES; i++) {
        assert_int_equal (weir_repo_expect (w->n[i].repo, &w->db), WEIR_OK);
        if (rights[i] > WEIR_RIGHT_NONE) {
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

static void
assert_right (struct world *w, size_t at, size_t of, enum weir_right right)
{
    assert_int_equal (weir_repo_right (w->n[at].repo, &w->db, &w->n[of].key.device), right);
}

static void
test_members_leave (void **state)
{
    (void) state;
    static const enum weir_right rights[NODES] = { WEIR_RIGHT_ADMIN, WEIR_RIGHT_WRITE,
                                                   WEIR_RIGHT_READ, WEIR_RIGHT_CARRY };
    struct world w;
    struct weir_id entry;
    world_init (&w, rights);
    node_set (&w.n[1], &w.db, "/m/a", "stays");
    for (size_t i = 1; i < NODES; i++) {
        size_t other = i == 1 ? 2 : 1;
        /* Nobody but an admin changes another, or its own right but to nothing. */
        assert_int_equal (node_try_grant (&w.n[i], &w.db, &w.n[other], WEIR_RIGHT_NONE, &entry),
                          WEIR_NOT_ALLOWED);
        assert_int_equal (node_try_grant (&w.n[i], &w.db, &w.n[i], WEIR_RIGHT_ADMIN, &entry),
                          WEIR_NOT_ALLOWED);
        node_grant (&w.n[i], &w.db, &w.n[i], WEIR_RIGHT_NONE);
        assert_right (&w, i, i, WEIR_RIGHT_NONE);
        assert_int_equal (node_try_grant (&w.n[i], &w.db, &w.n[i], WEIR_RIGHT_NONE, &entry),
                          WEIR_REMOVED);
        node_pull (&w.n[0], &w.n[i], &w.db);
        assert_right (&w, 0, i, WEIR_RIGHT_NONE);
    }
    for (size_t i = 1; i < NODES; i++) {
        node_exchange (&w.n[0], &w.n[i], &w.db);
    }
    for (size_t i = 1; i < NODES; i++) {
        node_exchange (&w.n[0], &w.n[i], &w.db);
        assert_nodes_equal (&w.n[0], &w.n[i], &w.db);
    }
    assert_string_equal (node_get (&w.n[0], &w.db, "/m/a"), "stays");
    struct weir_check_report report = { 0 };
    node_sync (&w.n[0]);
    assert_int_equal (weir_repo_verify (w.n[0].repo, NULL, NULL, NULL, &report), WEIR_OK);
    world_fini (&w);
}

/* A settings entry forged by a writer's own key that says "I leave" and one thing more is refused
 * where it is imported. */
static void
test_more_than_a_leave (void **state)
{
    (void) state;
    static const enum weir_right rights[NODES] = { WEIR_RIGHT_ADMIN, WEIR_RIGHT_WRITE,
                                                   WEIR_RIGHT_NONE, WEIR_RIGHT_NONE };
    for (int more = 0; more < 4; more++) {
        struct world w;
        world_init (&w, rights);
        size_t n_heads = 0;
        const struct weir_id *heads = weir_repo_heads (w.n[0].repo, &w.db, &n_heads);
        struct weir_member_change changes[2] = {
            { .device = w.n[1].key.device, .right = WEIR_RIGHT_NONE },
            { .device = w.n[2].key.device, .right = WEIR_RIGHT_ADMIN },
        };
        struct weir_settings s = { .n_changes = more == 1 ? 2 : 1, .changes = changes };
        s.entry_version_max = more == 2 ? 200 : 0;
        strcpy (s.database_name, more == 3 ? "mine" : "");
        struct weir_buf payload = { 0 };
        struct weir_buf run = { 0 };
        struct weir_run_builder b;
        struct weir_id id;
        struct weir_chain chain = { w.n[1].key.device, 77 };
        weir_settings_put (&payload, &s, false);
        weir_run_builder_init (&b);
        weir_run_begin (&b, &w.db, WEIR_ENTRY_SETTINGS, &chain, 0, NULL, heads, n_heads);
        weir_run_add (&b, 0, 1, weir_buf_bytes (&payload), &id);
        weir_run_close (&b, &w.n[1].key, &run);
        weir_run_builder_fini (&b);
        struct weir_import_result r = node_import (&w.n[0], &w.db, weir_buf_bytes (&run), &w.n[1]);
        assert_int_equal (r.outcome, more == 0 ? WEIR_IMPORT_NEW : WEIR_IMPORT_REFUSED);
        assert_right (&w, 0, 1, more == 0 ? WEIR_RIGHT_NONE : WEIR_RIGHT_WRITE);
        assert_right (&w, 0, 2, WEIR_RIGHT_NONE);
        weir_buf_fini (&payload);
        weir_buf_fini (&run);
        world_fini (&w);
    }
}

/* ---- rows of the log ---- */

struct seen {
    struct node *n;
    const struct weir_id *db;
    struct weir_entry_facts facts[64];
    size_t bytes[64];
    size_t count;
    size_t stop;
};

static bool
see (void *context, const struct weir_entry_facts *facts, struct weir_bytes payload)
{
    struct seen *s = context;
    s->facts[s->count] = *facts;
    s->bytes[s->count++] = payload.len;
    return s->count < s->stop;
}

static void
test_row_entries (void **state)
{
    (void) state;
    struct node n;
    node_init (&n, 1);
    struct weir_id db = node_create (&n, "notes");
    node_sync (&n);
    for (int i = 0; i < 40; i++) {
        char path[16];
        snprintf (path, sizeof path, "/m/k%d", i % 7);
        node_set (&n, &db, path, i % 2 == 0 ? "x" : "yy");
    }
    node_sync (&n);
    struct weir_log_row row;
    assert_int_equal (weir_repo_log_prev (n.repo, UINT64_MAX, &db, &row), WEIR_OK);
    assert_int_equal (row.range.to_seq - row.range.from_seq, 40);
    for (size_t skip = 0; skip <= 41; skip += skip == 0 ? 1 : 13) {
        struct seen s = { .n = &n, .db = &db, .stop = 64 };
        assert_int_equal (weir_repo_row_entries (n.repo, &row, skip, see, &s), WEIR_OK);
        assert_int_equal (s.count, skip < 40 ? 40 - skip : 0);
        for (size_t i = 0; i < s.count; i++) {
            struct weir_entry_facts one;
            struct weir_buf payload = { 0 };
            assert_int_equal (weir_repo_entry (n.repo, &db, &s.facts[i].id, &one, &payload),
                              WEIR_OK);
            assert_int_equal (one.seq, row.range.to_seq - 1 - skip - i);
            assert_int_equal (one.seq, s.facts[i].seq);
            assert_int_equal (one.lamport, s.facts[i].lamport);
            assert_int_equal (one.n_deps, s.facts[i].n_deps);
            assert_true (weir_id_equal (&one.prev, &s.facts[i].prev));
            assert_int_equal (payload.len, s.bytes[i]);
            weir_buf_fini (&payload);
        }
    }
    struct seen few = { .n = &n, .db = &db, .stop = 3 };
    assert_int_equal (weir_repo_row_entries (n.repo, &row, 0, see, &few), WEIR_OK);
    assert_int_equal (few.count, 3);
    row.range.tip.b[0] ^= 1;
    assert_int_equal (weir_repo_row_entries (n.repo, &row, 0, see, &few), WEIR_NOT_FOUND);
    node_fini (&n);
}

int
main (void)
{
    weir_crypto_init ();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_members_leave),
        cmocka_unit_test (test_more_than_a_leave),
        cmocka_unit_test (test_row_entries),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
