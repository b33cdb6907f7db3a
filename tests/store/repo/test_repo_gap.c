/* Goal: what runs wait for that came too early is known by name, with the seq from which on it is
 * missing where it is their own chain's; and who has it finds the ranges that lead there. */

#include "tests/support/repo.h"

#include "store/repo/gap.h"

#define N 5

struct pair {
    struct node a;
    struct node b;
    struct weir_id db;
    struct weir_buf runs[N]; /* of b, one entry each, of one chain */
    struct weir_id tips[N];
};

/* a has a database that b may write to, and both hold it; b commits, and a is shown the runs. */
static void
start (struct pair *p)
{
    memset (p, 0, sizeof *p);
    node_init (&p->a, 1);
    node_init (&p->b, 2);
    p->db = node_create (&p->a, "pair");
    node_grant (&p->a, &p->db, &p->b, WEIR_RIGHT_WRITE);
    node_pull (&p->b, &p->a, &p->db);
    size_t count = 0;
    struct weir_id dep = weir_repo_heads (p->b.repo, &p->db, &count)[0];
    struct weir_id prev = weir_id_zero;
    for (size_t i = 0; i < N; i++) {
        struct weir_run_builder b;
        struct weir_chain chain = { .author = p->b.key.device, .lane = 5 };
        uint8_t payload[2] = { 1, (uint8_t) i };
        weir_run_builder_init (&b);
        weir_run_begin (&b, &p->db, WEIR_ENTRY_DATA, &chain, i, &prev, &dep, i == 0);
        weir_run_add (&b, 1, 5, weir_bytes (payload, 2), &p->tips[i]);
        weir_run_close (&b, &p->b.key, &p->runs[i]);
        weir_run_builder_fini (&b);
        prev = p->tips[i];
    }
}

static void
end (struct pair *p)
{
    for (size_t i = 0; i < N; i++) {
        weir_buf_fini (&p->runs[i]);
    }
    node_fini (&p->a);
    node_fini (&p->b);
}

static enum weir_import_outcome
show (struct pair *p, struct node *to, size_t i)
{
    return node_import (to, &p->db, weir_buf_bytes (&p->runs[i]), &p->b).outcome;
}

static void
test_missing (void **state)
{
    (void) state;
    struct pair p;
    struct weir_repo_missing missing[4];
    start (&p);
    struct weir_id b = p.b.key.device;
    struct weir_id nobody = { { 9 } };
    assert_int_equal (weir_repo_missing (p.a.repo, &p.db, &b, missing, 4), 0);
    assert_int_equal (weir_repo_missing (p.a.repo, &nobody, &b, missing, 4), 0);
    assert_int_equal (show (&p, &p.a, 2), WEIR_IMPORT_PENDING);
    assert_int_equal (show (&p, &p.a, 3), WEIR_IMPORT_PENDING); /* for what waits itself */
    assert_int_equal (weir_repo_missing (p.a.repo, &p.db, &b, missing, 4), 1);
    assert_true (weir_id_equal (&missing[0].id, &p.tips[1]));
    assert_true (missing[0].has_from && missing[0].from_seq == 0); /* nothing of it is here */
    assert_int_equal (weir_repo_missing (p.a.repo, &p.db, &nobody, missing, 4), 0);
    assert_int_equal (show (&p, &p.a, 0), WEIR_IMPORT_NEW);
    assert_int_equal (weir_repo_missing (p.a.repo, &p.db, &b, missing, 4), 1);
    assert_true (missing[0].has_from && missing[0].from_seq == 1);
    assert_int_equal (weir_repo_missing (p.a.repo, &p.db, &b, missing, 0), 0);
    assert_int_equal (show (&p, &p.a, 1), WEIR_IMPORT_NEW);
    assert_int_equal (weir_repo_missing (p.a.repo, &p.db, &b, missing, 4), 0);
    /* Held: all of it, or what came before what is new. */
    struct weir_import_result r = node_import (&p.a, &p.db, weir_buf_bytes (&p.runs[1]), &p.b);
    assert_int_equal (r.outcome, WEIR_IMPORT_HELD);
    assert_int_equal (r.held, 1);
    assert_true (r.range.from_seq == 1 && r.range.to_seq == 2);
    end (&p);
}

/* Waits for an entry of another chain: where that begins to be missing is not known. */
static void
test_missing_elsewhere (void **state)
{
    (void) state;
    struct pair p;
    struct weir_repo_missing missing[4];
    struct weir_run_builder b;
    struct weir_buf run = { 0 };
    struct weir_id tip;
    start (&p);
    struct weir_chain chain = { .author = p.b.key.device, .lane = 6 };
    uint8_t payload[2] = { 1, 9 };
    weir_run_builder_init (&b);
    weir_run_begin (&b, &p.db, WEIR_ENTRY_DATA, &chain, 0, &weir_id_zero, &p.tips[2], 1);
    weir_run_add (&b, 1, 5, weir_bytes (payload, 2), &tip);
    weir_run_close (&b, &p.b.key, &run);
    weir_run_builder_fini (&b);
    struct weir_import_result r = node_import (&p.a, &p.db, weir_buf_bytes (&run), &p.b);
    assert_int_equal (r.outcome, WEIR_IMPORT_PENDING);
    struct weir_id from = p.b.key.device;
    assert_int_equal (weir_repo_missing (p.a.repo, &p.db, &from, missing, 4), 1);
    assert_true (weir_id_equal (&missing[0].id, &p.tips[2]));
    assert_false (missing[0].has_from);
    weir_buf_fini (&run);
    end (&p);
}

static void
test_way_to (void **state)
{
    (void) state;
    struct pair p;
    struct weir_range range;
    start (&p);
    for (size_t i = 0; i < N; i++) {
        assert_int_equal (show (&p, &p.b, i), WEIR_IMPORT_NEW);
    }
    node_sync (&p.b);
    assert_int_equal (weir_repo_way_to (p.b.repo, &p.db, &p.tips[3], true, 1, &range), WEIR_OK);
    assert_true (range.from_seq == 1 && range.to_seq == 4);
    assert_true (weir_id_equal (&range.tip, &p.tips[3]));
    assert_int_equal (weir_repo_way_to (p.b.repo, &p.db, &p.tips[3], false, 0, &range), WEIR_OK);
    assert_true (range.from_seq <= 3 && range.to_seq == 4); /* as it came */
    assert_int_equal (weir_repo_way_to (p.b.repo, &p.db, &p.tips[3], true, 99, &range), WEIR_OK);
    assert_true (range.from_seq <= 3); /* nonsense: as it came */
    /* What it names can be read. */
    struct weir_buf out = { 0 };
    uint64_t next = 0;
    assert_int_equal (
        weir_repo_read (p.b.repo, &p.db, &range, range.from_seq, 1u << 20, &out, &next), WEIR_OK);
    assert_int_equal (next, 4);
    weir_buf_fini (&out);
    struct weir_id nothing = { { 77 } };
    assert_int_equal (weir_repo_way_to (p.b.repo, &p.db, &nothing, false, 0, &range),
                      WEIR_NOT_FOUND);
    end (&p);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_missing),
        cmocka_unit_test (test_missing_elsewhere),
        cmocka_unit_test (test_way_to),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
