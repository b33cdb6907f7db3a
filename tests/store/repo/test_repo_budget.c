/* Goal: chains and tips of one author in one database are limited in rate and not in number: what
 * exceeds the budget waits, is told apart from what lacks something, and comes in as time passes;
 * what exceeds that is refused with a code, and taken when it is brought again; nobody else is
 * delayed, nor the author's own node, nor a file. */

#include "tests/support/repo.h"

#define BURST WEIR_TIPS_BURST
#define WAITING WEIR_TIPS_WAITING_MAX

struct pair {
    struct node a, b;
    struct weir_id db;
    struct weir_id dep; /* what b's chains begin on */
};

static void
pair_init (struct pair *p)
{
    size_t count = 0;
    node_init (&p->a, 1);
    node_init (&p->b, 2);
    p->db = node_create (&p->a, "budget");
    node_grant (&p->a, &p->db, &p->b, WEIR_RIGHT_WRITE);
    node_pull (&p->b, &p->a, &p->db);
    node_sync (&p->a);
    p->dep = weir_repo_heads (p->a.repo, &p->db, &count)[0];
}

static void
pair_fini (struct pair *p)
{
    node_fini (&p->a);
    node_fini (&p->b);
}

/* One entry of `key`: the first of a lane, or behind `prev`. */
static void
make_entry (struct weir_buf *out, const struct pair *p, const struct weir_identity *key,
            uint64_t lane, uint64_t seq, const struct weir_id *prev, uint32_t salt,
            struct weir_id *id)
{
    struct weir_run_builder b;
    struct weir_chain chain = { .author = key->device, .lane = lane };
    uint8_t payload[6] = { 1 };
    weir_buf_clear (out);
    weir_store_u32 (payload + 1, salt);
    weir_run_builder_init (&b);
    weir_run_begin (&b, &p->db, WEIR_ENTRY_DATA, &chain, seq, prev, &p->dep, seq == 0 ? 1 : 0);
    weir_run_add (&b, 0, 5, weir_bytes (payload, sizeof payload), id);
    weir_run_close (&b, key, out);
    weir_run_builder_fini (&b);
}

/* b's n-th lane, at a: what became of it. */
static struct weir_import_result
begin_lane (struct pair *p, uint64_t lane)
{
    struct weir_buf run = { 0 };
    struct weir_id id;
    make_entry (&run, p, &p->b.key, lane, 0, &weir_id_zero, 0, &id);
    struct weir_import_result r = node_import (&p->a, &p->db, weir_buf_bytes (&run), &p->b);
    weir_buf_fini (&run);
    return r;
}

static void
begin_lanes (struct pair *p, uint64_t from, uint64_t to)
{
    for (uint64_t lane = from; lane < to; lane++) {
        (void) begin_lane (p, lane);
    }
}

static size_t
work (struct pair *p, uint64_t ms)
{
    uint64_t before = node_info (&p->a, &p->db).entries;
    p->a.now_ms += ms;
    while (weir_repo_work (p->a.repo, p->a.now_ms)) {
    }
    return node_info (&p->a, &p->db).entries - before;
}

static void
test_rate (void **state)
{
    (void) state;
    struct pair p;
    pair_init (&p);
    for (uint64_t lane = 0; lane < BURST; lane++) {
        assert_int_equal (begin_lane (&p, lane).outcome, WEIR_IMPORT_NEW);
    }
    struct weir_import_result r = begin_lane (&p, BURST);
    assert_int_equal (r.outcome, WEIR_IMPORT_PENDING);
    assert_int_equal (r.status, WEIR_TOO_OFTEN);
    assert_true (weir_id_is_zero (&r.missing));
    r = begin_lane (&p, BURST); /* a duplicate waits once */
    assert_int_equal (r.status, WEIR_TOO_OFTEN);
    assert_true (weir_id_is_zero (&r.missing));
    assert_int_equal (node_info (&p.a, &p.db).pending_runs, 1);
    begin_lanes (&p, BURST + 1, BURST + 100);
    assert_int_equal (work (&p, 0), 0);
    assert_int_equal (work (&p, 1000), WEIR_TIPS_PER_S);
    assert_int_equal (work (&p, 60000), 100 - WEIR_TIPS_PER_S);
    assert_int_equal (node_info (&p.a, &p.db).pending_runs, 0);
    /* An hour later the bucket is full again. */
    (void) work (&p, 3600000);
    assert_int_equal (begin_lane (&p, 1u << 20).outcome, WEIR_IMPORT_NEW);
    node_sync (&p.a);
    struct weir_check_report report;
    assert_int_equal (weir_repo_verify (p.a.repo, &p.db, NULL, NULL, &report), WEIR_OK);
    pair_fini (&p);
}

static void
test_tips (void **state)
{
    (void) state;
    struct pair p;
    struct weir_buf run = { 0 };
    struct weir_id first;
    struct weir_id id;
    unsigned stored = 0;
    pair_init (&p);
    make_entry (&run, &p, &p.b.key, 7, 0, &weir_id_zero, 0, &first);
    (void) node_import (&p.a, &p.db, weir_buf_bytes (&run), &p.b);
    for (uint32_t salt = 1; salt <= BURST + 10; salt++) {
        make_entry (&run, &p, &p.b.key, 7, 1, &first, salt, &id);
        struct weir_import_result r = node_import (&p.a, &p.db, weir_buf_bytes (&run), &p.b);
        stored += r.outcome == WEIR_IMPORT_NEW;
    }
    /* The first goes on with the chain; each other is a tip more. */
    assert_int_equal (stored, BURST);
    assert_int_equal (node_info (&p.a, &p.db).pending_runs, 10);
    assert_int_equal (work (&p, 1000), 10);
    weir_buf_fini (&run);
    pair_fini (&p);
}

/* Whoever is not the author is not delayed, and neither are chains that are there. */
static void
test_others (void **state)
{
    (void) state;
    struct pair p;
    struct node c;
    struct weir_buf runs = { 0 };
    struct weir_id first;
    struct weir_id id;
    pair_init (&p);
    make_entry (&runs, &p, &p.b.key, 0, 0, &weir_id_zero, 0, &first);
    begin_lanes (&p, 0, BURST + 5);
    make_entry (&runs, &p, &p.b.key, 0, 1, &first, 1, &id);
    assert_int_equal (node_import (&p.a, &p.db, weir_buf_bytes (&runs), &p.b).outcome,
                      WEIR_IMPORT_NEW);
    /* What goes on behind one that waits, waits for no entry either. */
    make_entry (&runs, &p, &p.b.key, BURST, 0, &weir_id_zero, 0, &first);
    make_entry (&runs, &p, &p.b.key, BURST, 1, &first, 1, &id);
    struct weir_import_result r = node_import (&p.a, &p.db, weir_buf_bytes (&runs), &p.b);
    assert_int_equal (r.status, WEIR_TOO_OFTEN);
    assert_true (weir_id_is_zero (&r.missing));
    node_init (&c, 3);
    node_grant (&p.a, &p.db, &c, WEIR_RIGHT_WRITE);
    node_pull (&c, &p.a, &p.db);
    id = node_set (&c, &p.db, "/m/c", "not delayed");
    weir_buf_clear (&runs);
    node_lacking (&c, &p.a, &p.db, &runs);
    assert_int_equal (node_import_all (&p.a, &p.db, weir_buf_bytes (&runs), &c), 1);
    assert_string_equal (node_get (&p.a, &p.db, "/m/c"), "not delayed");
    /* And with what waits came in, all hold the same. */
    assert_int_equal (work (&p, 10000), 6);
    p.b.now_ms = c.now_ms = p.a.now_ms + 3600000;
    node_pull (&c, &p.a, &p.db);
    while (weir_repo_work (c.repo, c.now_ms += 1000) || node_info (&c, &p.db).pending_runs > 0) {
    }
    node_pull (&p.b, &p.a, &p.db);
    assert_nodes_equal (&p.a, &c, &p.db);
    assert_nodes_equal (&p.a, &p.b, &p.db);
    weir_buf_fini (&runs);
    node_fini (&c);
    pair_fini (&p);
}

/* The author's own node and a file take all at once. */
static void
test_exempt (void **state)
{
    (void) state;
    struct pair p;
    struct weir_buf run = { 0 };
    struct weir_id id;
    pair_init (&p);
    for (uint64_t lane = 0; lane < BURST + 20; lane++) {
        make_entry (&run, &p, &p.b.key, lane, 0, &weir_id_zero, 0, &id);
        assert_int_equal (node_import (&p.b, &p.db, weir_buf_bytes (&run), &p.a).outcome,
                          WEIR_IMPORT_NEW);
        assert_int_equal (node_import (&p.a, &p.db, weir_buf_bytes (&run), NULL).outcome,
                          WEIR_IMPORT_NEW);
    }
    weir_buf_fini (&run);
    pair_fini (&p);
}

/* Thousands: bounded in memory, refused with a code, in again when brought again, and gone with
 * the database. */
static void
test_flood (void **state)
{
    (void) state;
    struct pair p;
    pair_init (&p);
    begin_lanes (&p, 0, BURST + WAITING);
    struct weir_import_result r = begin_lane (&p, 99999);
    assert_int_equal (r.outcome, WEIR_IMPORT_REFUSED);
    assert_int_equal (r.status, WEIR_TOO_OFTEN);
    assert_int_equal (node_info (&p.a, &p.db).pending_runs, WAITING);
    uint64_t ms = 0;
    for (; node_info (&p.a, &p.db).pending_runs > 0; ms += 1000) {
        assert_true (work (&p, 1000) <= WEIR_TIPS_PER_S);
    }
    assert_int_equal (ms, 1000u * WAITING / WEIR_TIPS_PER_S);
    (void) work (&p, 1000);
    assert_int_equal (begin_lane (&p, 99999).outcome, WEIR_IMPORT_NEW);
    begin_lanes (&p, 100000, 100000 + BURST);
    assert_true (node_info (&p.a, &p.db).pending_runs > 0);
    assert_int_equal (weir_repo_forget (p.a.repo, &p.db), WEIR_OK);
    while (weir_repo_work (p.a.repo, p.a.now_ms += 60000)) {
    }
    pair_fini (&p);
}

/* A crash forgets what waited and what was spent; whoever has it brings it again. */
static void
test_crash (void **state)
{
    (void) state;
    struct pair p;
    pair_init (&p);
    begin_lanes (&p, 0, BURST + 50);
    node_sync (&p.a);
    node_crash (&p.a, 0);
    assert_int_equal (node_info (&p.a, &p.db).pending_runs, 0);
    begin_lanes (&p, 0, BURST + 50);
    assert_int_equal (node_info (&p.a, &p.db).entries, 2 + BURST + 50);
    pair_fini (&p);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_rate),   cmocka_unit_test (test_tips),
        cmocka_unit_test (test_others), cmocka_unit_test (test_exempt),
        cmocka_unit_test (test_flood),  cmocka_unit_test (test_crash),
    };
    weir_crypto_init ();
    return cmocka_run_group_tests (tests, NULL, NULL);
}
