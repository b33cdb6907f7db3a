/* Goal: an import stores what is new, closed, signed and allowed, and nothing else; what is held
 * changes nothing; what came early waits, bounded, and is stored when its past comes; what is
 * refused is counted and not looked at twice. */

#include "tests/support/repo.h"

/* A run of n entries by `key`, with whatever place and payload. */
static void
make_run (struct weir_buf *out, const struct weir_id *db, const struct weir_identity *key,
          uint8_t kind, uint64_t lane, uint64_t seq, const struct weir_id *prev,
          const struct weir_id *dep, size_t n, struct weir_id *tip)
{
    struct weir_run_builder b;
    struct weir_chain chain = { .author = key->device, .lane = lane };
    weir_run_builder_init (&b);
    weir_run_begin (&b, db, kind, &chain, seq, prev, dep, dep == NULL ? 0 : 1);
    for (size_t i = 0; i < n; i++) {
        uint8_t payload[4] = { 1, (uint8_t) i, (uint8_t) lane, (uint8_t) seq };
        weir_run_add (&b, kind == WEIR_ENTRY_DATA ? 1 : 0, 5, weir_bytes (payload, 4), tip);
    }
    weir_run_close (&b, key, out);
    weir_run_builder_fini (&b);
}

/* a has made a database that b may write to, and both hold it. */
static struct weir_id
make_pair (struct node *a, struct node *b)
{
    node_init (a, 1);
    node_init (b, 2);
    struct weir_id db = node_create (a, "pair");
    node_grant (a, &db, b, WEIR_RIGHT_WRITE);
    node_pull (b, a, &db);
    return db;
}

static struct weir_id
head_of (struct node *n, const struct weir_id *db)
{
    size_t count = 0;
    const struct weir_id *heads = weir_repo_heads (n->repo, db, &count);
    assert_int_equal (count, 1);
    return heads[0];
}

static void
test_new_and_held (void **state)
{
    (void) state;
    struct node a;
    struct node b;
    struct weir_buf runs = { 0 };
    struct weir_id db = make_pair (&a, &b);
    node_set (&a, &db, "/m/a", "1");
    node_set (&a, &db, "/m/b", "2");
    node_lacking (&a, &b, &db, &runs);
    struct weir_import_result r = node_import (&b, &db, weir_buf_bytes (&runs), &a);
    assert_int_equal (r.outcome, WEIR_IMPORT_NEW);
    assert_int_equal (r.range.to_seq - r.range.from_seq, 2);
    assert_false (r.fork);
    assert_string_equal (node_get (&b, &db, "/m/b"), "2");
    node_sync (&b);
    uint64_t position = weir_repo_position (b.repo);
    struct weir_log_row row;
    assert_int_equal (weir_repo_log_prev (b.repo, UINT64_MAX, &db, &row), WEIR_OK);
    assert_true (weir_id_equal (&row.source, &a.key.device));
    uint64_t batch = weir_repo_flush (b.repo, b.now_ms);
    r = node_import (&b, &db, weir_buf_bytes (&runs), &a);
    assert_int_equal (r.outcome, WEIR_IMPORT_HELD);
    assert_int_equal (weir_repo_flush (b.repo, b.now_ms), batch); /* writes nothing */
    assert_int_equal (weir_repo_position (b.repo), position);
    weir_buf_fini (&runs);
    node_fini (&a);
    node_fini (&b);
}

/* Everything that can be wrong with the bytes: refused with a code, counted, nothing stored. */
static void
test_hostile_bytes (void **state)
{
    (void) state;
    struct node a;
    struct node b;
    struct node c;
    struct weir_buf run = { 0 };
    struct weir_buf bad = { 0 };
    struct weir_id db = make_pair (&a, &b);
    node_init (&c, 3);
    node_set (&a, &db, "/m/a", "1");
    node_lacking (&a, &b, &db, &run);
    struct weir_db_info before = node_info (&b, &db);
    uint64_t refused = 0;
    for (size_t i = 0; i < run.len; i++) { /* one altered byte, anywhere */
        weir_buf_clear (&bad);
        weir_buf_put_bytes (&bad, weir_buf_bytes (&run));
        bad.data[i] ^= 0x40;
        struct weir_import_result r = node_import (&b, &db, weir_buf_bytes (&bad), &a);
        assert_int_equal (r.outcome, WEIR_IMPORT_REFUSED);
        assert_true (r.status == WEIR_BAD_SIGNATURE || r.status == WEIR_BAD_RUN
                     || r.status == WEIR_NEEDS_UPGRADE);
        refused++;
    }
    for (size_t len = 0; len < run.len; len += 7) { /* cut short */
        struct weir_import_result r = node_import (&b, &db, weir_bytes (run.data, len), &a);
        assert_int_equal (r.outcome, WEIR_IMPORT_REFUSED);
        assert_int_equal (r.status, WEIR_BAD_RUN);
        refused++;
    }
    weir_buf_clear (&bad);
    weir_buf_put_bytes (&bad, weir_buf_bytes (&run));
    weir_buf_put_u8 (&bad, 0); /* something behind */
    struct weir_import_result r = node_import (&b, &db, weir_buf_bytes (&bad), &a);
    assert_int_equal (r.status, WEIR_BAD_RUN);
    refused++;
    struct weir_db_info after = node_info (&b, &db);
    assert_int_equal (after.refused_runs, before.refused_runs + refused);
    assert_int_equal (after.entries, before.entries);
    assert_int_equal (after.pending_runs, 0);
    assert_int_equal (node_import (&b, &db, weir_buf_bytes (&run), &a).outcome,
                      WEIR_IMPORT_NEW); /* none of it stands in the good one's way */
    struct weir_import_result none;
    assert_int_equal (
        weir_repo_import (c.repo, &db, weir_buf_bytes (&run), &a.key.device, 1, &none),
        WEIR_NOT_FOUND);
    struct weir_id other = node_create (&c, "another database");
    r = node_import (&c, &other, weir_buf_bytes (&run), &a);
    assert_int_equal (r.outcome, WEIR_IMPORT_REFUSED); /* the ids differ, so the signature */
    weir_buf_fini (&run);
    weir_buf_fini (&bad);
    node_fini (&a);
    node_fini (&b);
    node_fini (&c);
}

/* Well signed, but not where it says it is, or not by whom it may be. */
static void
test_hostile_places (void **state)
{
    (void) state;
    struct node a;
    struct node b;
    struct node c;
    struct weir_buf run = { 0 };
    struct weir_id db = make_pair (&a, &b);
    struct weir_id tip;
    struct weir_id head = head_of (&b, &db);
    node_init (&c, 3);
    const struct {
        const struct weir_identity *key;
        uint8_t kind;
        uint64_t seq;
        enum weir_status status;
    } cases[] = {
        { &b.key, WEIR_ENTRY_DATA, 2, WEIR_BAD_RUN }, /* prev is of another chain */
        { &c.key, WEIR_ENTRY_DATA, 2, WEIR_BAD_RUN },
        { &c.key, WEIR_ENTRY_DATA, 0, WEIR_NOT_MEMBER },
        { &c.key, WEIR_ENTRY_MERGE, 0, WEIR_NOT_MEMBER },
        { &c.key, WEIR_ENTRY_SETTINGS, 0, WEIR_NOT_MEMBER },
        { &b.key, WEIR_ENTRY_SETTINGS, 0, WEIR_NOT_ALLOWED },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        weir_buf_clear (&run);
        make_run (&run, &db, cases[i].key, cases[i].kind, i, cases[i].seq, &head,
                  cases[i].seq == 0 ? &head : NULL, 1, &tip);
        uint64_t refused = node_info (&a, &db).refused_runs;
        for (size_t round = 0; round < 2; round++) { /* the second from the note */
            struct weir_import_result r = node_import (&a, &db, weir_buf_bytes (&run), &b);
            assert_int_equal (r.outcome, WEIR_IMPORT_REFUSED);
            assert_int_equal (r.status, cases[i].status);
        }
        assert_int_equal (node_info (&a, &db).refused_runs, refused + 2);
    }
    assert_int_equal (node_info (&a, &db).entries, 2);
    weir_buf_clear (&run);
    make_run (&run, &db, &b.key, WEIR_ENTRY_DATA, 77, 0, NULL, &head, 1, &tip);
    struct weir_import_result r = node_import (&a, &db, weir_buf_bytes (&run), &b);
    assert_int_equal (r.outcome, WEIR_IMPORT_NEW);
    weir_buf_clear (&run); /* a seq that skips one: its prev is held, but not there */
    make_run (&run, &db, &b.key, WEIR_ENTRY_DATA, 77, 5, &tip, NULL, 1, &head);
    r = node_import (&a, &db, weir_buf_bytes (&run), &b);
    assert_int_equal (r.status, WEIR_BAD_RUN);
    weir_buf_fini (&run);
    node_fini (&a);
    node_fini (&b);
    node_fini (&c);
}

/* A note of what was refused is worth something until the settings change. */
static void
test_refused_then_allowed (void **state)
{
    (void) state;
    struct node a;
    struct node b;
    struct node c;
    struct weir_buf run = { 0 };
    struct weir_id db = make_pair (&a, &b);
    struct weir_id tip;
    node_init (&c, 3);
    struct weir_id head = head_of (&a, &db);
    make_run (&run, &db, &c.key, WEIR_ENTRY_DATA, 5, 0, NULL, &head, 1, &tip);
    assert_int_equal (node_import (&a, &db, weir_buf_bytes (&run), &c).status, WEIR_NOT_MEMBER);
    node_grant (&a, &db, &c, WEIR_RIGHT_WRITE);
    /* Its own past has not changed, so neither has the verdict. */
    assert_int_equal (node_import (&a, &db, weir_buf_bytes (&run), &c).status, WEIR_NOT_MEMBER);
    head = head_of (&a, &db);
    weir_buf_clear (&run);
    make_run (&run, &db, &c.key, WEIR_ENTRY_DATA, 5, 0, NULL, &head, 1, &tip);
    assert_int_equal (node_import (&a, &db, weir_buf_bytes (&run), &c).outcome, WEIR_IMPORT_NEW);
    for (unsigned i = 0; i < WEIR_REFUSED_NOTES_MAX + 10; i++) { /* notes are bounded */
        struct weir_identity stranger;
        uint8_t seed[32] = { 99, (uint8_t) i, (uint8_t) (i >> 8) };
        weir_identity_init (&stranger, seed);
        weir_buf_clear (&run);
        make_run (&run, &db, &stranger, WEIR_ENTRY_DATA, i, 0, NULL, &head, 1, &tip);
        assert_int_equal (node_import (&a, &db, weir_buf_bytes (&run), &c).status, WEIR_NOT_MEMBER);
    }
    weir_buf_fini (&run);
    node_fini (&a);
    node_fini (&b);
    node_fini (&c);
}

/* ---- what comes early ---- */

#define EARLY 6

/* Runs of one entry each, of one chain, by b; in order. */
static void
make_chain (struct weir_buf runs[EARLY], struct node *b, const struct weir_id *db,
            const struct weir_id *dep)
{
    struct weir_id prev = weir_id_zero;
    for (size_t i = 0; i < EARLY; i++) {
        struct weir_id tip;
        weir_buf_clear (&runs[i]);
        make_run (&runs[i], db, &b->key, WEIR_ENTRY_DATA, 5, i, &prev, i == 0 ? dep : NULL, 1,
                  &tip);
        prev = tip;
    }
}

static void
test_early (void **state)
{
    (void) state;
    struct node a;
    struct node b;
    struct weir_buf runs[EARLY] = { 0 };
    struct weir_id db = make_pair (&a, &b);
    struct weir_id head = head_of (&a, &db);
    make_chain (runs, &b, &db, &head);
    struct weir_id missing = weir_id_zero;
    for (size_t i = EARLY; i-- > 1;) { /* backward: each waits for the one before */
        struct weir_import_result r = node_import (&a, &db, weir_buf_bytes (&runs[i]), &b);
        assert_int_equal (r.outcome, WEIR_IMPORT_PENDING);
        assert_int_equal (r.status, WEIR_PENDING);
        missing = r.missing;
    }
    /* The last one waits, in the end, for the very first. */
    struct weir_import_result r = node_import (&a, &db, weir_buf_bytes (&runs[EARLY - 1]), &b);
    assert_int_equal (r.outcome, WEIR_IMPORT_PENDING);
    assert_true (weir_id_equal (&r.missing, &missing));
    assert_int_equal (node_info (&a, &db).pending_runs, EARLY - 1);
    r = node_import (&a, &db, weir_buf_bytes (&runs[0]), &b);
    assert_int_equal (r.outcome, WEIR_IMPORT_NEW);
    assert_int_equal (r.unlocked, EARLY - 1);
    assert_int_equal (node_info (&a, &db).pending_runs, 0);
    assert_int_equal (node_info (&a, &db).entries, 2 + EARLY);
    for (size_t i = 0; i < EARLY; i++) {
        weir_buf_fini (&runs[i]);
    }
    node_fini (&a);
    node_fini (&b);
}

/* From a file it waits across restarts, and for a week; from a peer it does neither. */
static void
test_early_from_file (void **state)
{
    (void) state;
    struct node a;
    struct node b;
    struct weir_buf runs[EARLY] = { 0 };
    struct weir_id db = make_pair (&a, &b);
    struct weir_id head = head_of (&a, &db);
    make_chain (runs, &b, &db, &head);
    for (size_t i = 1; i < EARLY; i++) {
        (void) node_import (&a, &db, weir_buf_bytes (&runs[i]), i % 2 == 1 ? NULL : &b);
    }
    assert_int_equal (node_info (&a, &db).pending_runs, EARLY - 1);
    node_restart (&a);
    assert_int_equal (node_info (&a, &db).pending_runs, 3);
    a.now_ms += 6u * 86400u * 1000u;
    while (weir_repo_work (a.repo, a.now_ms)) {
    }
    assert_int_equal (node_info (&a, &db).pending_runs, 3);
    struct weir_import_result r = node_import (&a, &db, weir_buf_bytes (&runs[0]), &b);
    assert_int_equal (r.outcome, WEIR_IMPORT_NEW);
    assert_int_equal (r.unlocked, 1); /* the second; the third was a peer's and is gone */
    node_restart (&a);
    assert_int_equal (node_info (&a, &db).pending_runs, 2);
    a.now_ms += 8u * 86400u * 1000u;
    while (weir_repo_work (a.repo, a.now_ms)) {
    }
    assert_int_equal (node_info (&a, &db).pending_runs, 0);
    node_restart (&a);
    assert_int_equal (node_info (&a, &db).pending_runs, 0);
    for (size_t i = 0; i < EARLY; i++) {
        weir_buf_fini (&runs[i]);
    }
    node_fini (&a);
    node_fini (&b);
}

/* A whole database whose genesis comes last; strangers' runs wait and are then refused. */
static void
test_genesis_last (void **state)
{
    (void) state;
    struct node a;
    struct node b;
    struct node c;
    struct weir_buf runs = { 0 };
    struct weir_buf strange = { 0 };
    struct weir_id db = make_pair (&a, &b);
    struct weir_id tip;
    node_init (&c, 3);
    node_set (&a, &db, "/m/a", "1");
    node_set (&b, &db, "/m/b", "2");
    node_pull (&a, &b, &db);
    struct weir_id head = db;
    make_run (&strange, &db, &c.key, WEIR_ENTRY_DATA, 9, 0, NULL, &head, 1, &tip);
    assert_int_equal (weir_repo_expect (c.repo, &db), WEIR_OK);
    assert_int_equal (weir_repo_expect (c.repo, &db), WEIR_OK); /* idempotent */
    node_lacking (&a, &c, &db, &runs);
    assert_int_equal (node_import (&c, &db, weir_buf_bytes (&strange), &a).outcome,
                      WEIR_IMPORT_PENDING);
    size_t at[16];
    size_t n = 0;
    for (size_t pos = 0; pos < runs.len && n < 16;) {
        size_t used = 0;
        assert_int_equal (weir_run_length (weir_bytes (runs.data + pos, runs.len - pos), &used),
                          WEIR_OK);
        at[n++] = pos;
        pos += used;
    }
    for (size_t i = n; i-- > 0;) {
        size_t end = i + 1 == n ? runs.len : at[i + 1];
        (void) node_import (&c, &db, weir_bytes (runs.data + at[i], end - at[i]), &a);
    }
    node_pull (&c, &a, &db);
    assert_nodes_equal (&a, &c, &db);
    assert_int_equal (node_info (&c, &db).pending_runs, 0);
    assert_int_equal (node_info (&c, &db).refused_runs, 1);
    weir_buf_fini (&runs);
    weir_buf_fini (&strange);
    node_fini (&a);
    node_fini (&b);
    node_fini (&c);
}

/* The bound holds, and drops the oldest. */
static void
test_pending_is_bounded (void **state)
{
    (void) state;
    struct node a;
    struct node b;
    struct weir_buf run = { 0 };
    struct weir_id db = make_pair (&a, &b);
    struct weir_id first = { { 0 } };
    for (uint32_t i = 0; i < WEIR_PENDING_RUNS_MAX + 5; i++) {
        struct weir_id tip;
        struct weir_id dep = { { 1, 2, 3 } };
        weir_store_u32 (dep.b + 8, i);
        weir_buf_clear (&run);
        make_run (&run, &db, &b.key, WEIR_ENTRY_DATA, i, 0, NULL, &dep, 1, &tip);
        struct weir_import_result r = node_import (&a, &db, weir_buf_bytes (&run), &b);
        assert_int_equal (r.outcome, WEIR_IMPORT_PENDING);
        assert_true (weir_id_equal (&r.missing, &dep));
        first = i == 0 ? tip : first;
    }
    assert_int_equal (node_info (&a, &db).pending_runs, WEIR_PENDING_RUNS_MAX);
    assert_int_equal (weir_repo_forget (a.repo, &db), WEIR_OK);
    assert_int_equal (weir_repo_forget (a.repo, &db), WEIR_NOT_FOUND);
    weir_buf_fini (&run);
    node_fini (&a);
    node_fini (&b);
}

/* ---- parts, forks, inert entries ---- */

/* The same chain in runs that are cut elsewhere: only what is new is stored. */
static void
test_overlap (void **state)
{
    (void) state;
    struct node a;
    struct node b;
    struct weir_buf few = { 0 };
    struct weir_buf many = { 0 };
    struct weir_id db = make_pair (&a, &b);
    struct weir_id head = head_of (&a, &db);
    struct weir_id tip;
    make_run (&few, &db, &b.key, WEIR_ENTRY_DATA, 5, 0, NULL, &head, 3, &tip);
    make_run (&many, &db, &b.key, WEIR_ENTRY_DATA, 5, 0, NULL, &head, 8, &tip);
    assert_int_equal (node_import (&a, &db, weir_buf_bytes (&few), &b).outcome, WEIR_IMPORT_NEW);
    struct weir_import_result r = node_import (&a, &db, weir_buf_bytes (&many), &b);
    assert_int_equal (r.outcome, WEIR_IMPORT_NEW);
    assert_int_equal (r.range.from_seq, 3);
    assert_int_equal (r.range.to_seq, 8);
    assert_false (r.fork);
    assert_int_equal (node_import (&a, &db, weir_buf_bytes (&few), &b).outcome, WEIR_IMPORT_HELD);
    assert_int_equal (node_import (&b, &db, weir_buf_bytes (&many), &a).outcome,
                      WEIR_IMPORT_NEW); /* b's own key, from elsewhere */
    assert_int_equal (node_import (&b, &db, weir_buf_bytes (&few), &a).outcome, WEIR_IMPORT_HELD);
    assert_nodes_equal (&a, &b, &db);
    assert_int_equal (node_info (&a, &db).entries, 2 + 8);
    weir_buf_fini (&few);
    weir_buf_fini (&many);
    node_fini (&a);
    node_fini (&b);
}

/* One key in two places: both tips are kept, each with its proof, alike in either order. */
static void
test_fork (void **state)
{
    (void) state;
    struct node a;
    struct node b;
    struct node c;
    struct weir_buf runs[4] = { 0 };
    struct weir_id tips[4];
    struct weir_id db = make_pair (&a, &b);
    struct weir_id head = head_of (&a, &db);
    node_init (&c, 3);
    make_run (&runs[0], &db, &b.key, WEIR_ENTRY_DATA, 5, 0, NULL, &head, 4, &tips[0]);
    struct weir_arena *arena = weir_arena_new (1u << 20);
    struct weir_run run;
    size_t used = 0;
    assert_int_equal (weir_run_decode (&run, arena, &db, weir_buf_bytes (&runs[0]), &used, NULL),
                      WEIR_OK);
    /* From the middle of that run, from its end, and a second first entry of the lane. */
    make_run (&runs[1], &db, &b.key, WEIR_ENTRY_MERGE, 5, 2, &run.entries[1].id, NULL, 2, &tips[1]);
    make_run (&runs[2], &db, &b.key, WEIR_ENTRY_DATA, 5, 4, &tips[0], NULL, 1, &tips[2]);
    make_run (&runs[3], &db, &b.key, WEIR_ENTRY_DATA, 5, 0, NULL, &db, 2, &tips[3]);
    node_pull (&c, &a, &db);
    assert_int_equal (node_import (&a, &db, weir_buf_bytes (&runs[3]), &b).status,
                      WEIR_NOT_MEMBER); /* on top of the genesis b was not a member */
    weir_buf_clear (&runs[3]);
    make_run (&runs[3], &db, &b.key, WEIR_ENTRY_MERGE, 5, 0, NULL, &head, 2, &tips[3]);
    static const bool forks[4] = { false, true, false, true };
    for (size_t i = 0; i < 4; i++) {
        struct weir_import_result r = node_import (&a, &db, weir_buf_bytes (&runs[i]), &b);
        assert_int_equal (r.outcome, WEIR_IMPORT_NEW);
        assert_int_equal (r.fork, forks[i]);
    }
    for (size_t i = 4; i-- > 0;) {
        (void) node_import (&c, &db, weir_buf_bytes (&runs[i]), &b);
    }
    assert_nodes_equal (&a, &c, &db);
    assert_int_equal (node_info (&a, &db).n_chains, 1 + 3);
    for (size_t i = 0; i < 2; i++) {
        struct weir_fork x;
        struct weir_entry_facts fa;
        struct weir_entry_facts fb;
        assert_int_equal (weir_repo_fork (a.repo, &db, i, &x), WEIR_OK);
        assert_false (weir_id_equal (&x.a, &x.b));
        assert_int_equal (weir_repo_entry (a.repo, &db, &x.a, &fa, NULL), WEIR_OK);
        assert_int_equal (weir_repo_entry (a.repo, &db, &x.b, &fb, NULL), WEIR_OK);
        assert_int_equal (fa.seq, x.seq);
        assert_int_equal (fb.seq, x.seq);
        assert_true (weir_id_equal (&fa.prev, &fb.prev));
    }
    struct weir_fork none;
    assert_int_equal (weir_repo_fork (a.repo, &db, 2, &none), WEIR_NOT_FOUND);
    assert_int_equal (weir_repo_fork (a.repo, &head, 0, &none), WEIR_NOT_FOUND);
    node_pull (&b, &a, &db); /* what b's own key wrote elsewhere */
    assert_nodes_equal (&a, &b, &db);
    node_restart (&a);
    assert_nodes_equal (&a, &b, &db);
    for (size_t i = 0; i < 4; i++) {
        weir_buf_fini (&runs[i]);
    }
    weir_arena_destroy (&arena);
    node_fini (&a);
    node_fini (&b);
    node_fini (&c);
}

/* An entry whose payload is nothing keeps its place, changes nothing, and is counted once, by
 * who shows the document and by who loads it later. */
static void
test_inert (void **state)
{
    (void) state;
    struct node a;
    struct node b;
    struct node c;
    struct weir_buf run = { 0 };
    struct weir_id db = make_pair (&a, &b);
    struct weir_id head = head_of (&a, &db);
    struct weir_id tip;
    struct weir_buf payload = { 0 };
    node_init (&c, 3);
    assert_string_equal (node_get (&a, &db, "/m/a"), ""); /* a shows its document */
    make_run (&run, &db, &b.key, WEIR_ENTRY_DATA, 5, 0, NULL, &head, 3, &tip);
    assert_int_equal (node_import (&a, &db, weir_buf_bytes (&run), &b).outcome, WEIR_IMPORT_NEW);
    assert_int_equal (node_info (&a, &db).inert_entries, 3);
    struct weir_entry_facts facts;
    assert_int_equal (weir_repo_entry (a.repo, &db, &tip, &facts, &payload), WEIR_OK);
    assert_true (facts.inert);
    assert_int_equal (facts.inert_why, WEIR_BAD_PAYLOAD);
    assert_int_equal (facts.lamport, 2);
    assert_int_equal (payload.len, 4);
    node_pull (&c, &a, &db);
    assert_int_equal (node_info (&c, &db).inert_entries, 0); /* not looked at yet */
    assert_nodes_equal (&a, &c, &db);
    assert_int_equal (node_info (&c, &db).inert_entries, 3);
    node_restart (&c);
    assert_nodes_equal (&a, &c, &db);
    assert_int_equal (node_info (&c, &db).inert_entries, 3);
    weir_buf_fini (&run);
    weir_buf_fini (&payload);
    node_fini (&a);
    node_fini (&b);
    node_fini (&c);
}

int
main (void)
{
    weir_crypto_init ();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_new_and_held),   cmocka_unit_test (test_hostile_bytes),
        cmocka_unit_test (test_hostile_places), cmocka_unit_test (test_refused_then_allowed),
        cmocka_unit_test (test_early),          cmocka_unit_test (test_early_from_file),
        cmocka_unit_test (test_genesis_last),   cmocka_unit_test (test_pending_is_bounded),
        cmocka_unit_test (test_overlap),        cmocka_unit_test (test_fork),
        cmocka_unit_test (test_inert),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
