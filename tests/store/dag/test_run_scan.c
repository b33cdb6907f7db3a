/* Goal: scanning sees what decoding sees, but for the ids; joining several runs in one go gives
 * what joining them one by one gives, and refuses where that refuses; bytes a disk made worse
 * are told. */

#include "tests/store/dag/fixture.h"

#include "store/dag/run_scan.h"

struct chain {
    struct weir_identity key;
    struct weir_id db;
    struct weir_buf runs[8];
    struct weir_run decoded[8];
    size_t count;
    struct weir_arena *arena;
};

/* Runs that follow each other, of random lengths; `dep_at` has a dep, so nothing joins there. */
static void
make_chain (struct chain *c, uint64_t seed, size_t dep_at)
{
    struct weir_rand rand;
    struct weir_run_builder b;
    struct weir_id prev = weir_id_zero;
    struct weir_id dep = fixture_id (7);
    uint64_t seq = 0;
    weir_rand_init (&rand, seed);
    memset (c, 0, sizeof *c);
    c->key = fixture_identity (1);
    c->db = fixture_id (1);
    c->count = 8;
    c->arena = weir_arena_new (8u << 20);
    weir_run_builder_init (&b);
    struct weir_chain chain = { .author = c->key.device, .lane = 3 };
    for (size_t i = 0; i < c->count; i++) {
        size_t n = 1 + weir_rand_below (&rand, 20);
        weir_run_begin (&b, &c->db, WEIR_ENTRY_DATA, &chain, seq, &prev, &dep,
                        i == 0 || i == dep_at ? 1 : 0);
        for (size_t k = 0; k < n; k++) {
            uint8_t payload[40] = { 1 };
            weir_run_add (&b, (uint32_t) weir_rand_below (&rand, 300), weir_rand_u64 (&rand),
                          weir_bytes (payload, weir_rand_below (&rand, 41)), &prev);
        }
        seq += n;
        weir_run_close (&b, &c->key, &c->runs[i]);
        size_t used = 0;
        assert_int_equal (weir_run_decode (&c->decoded[i], c->arena, &c->db,
                                           weir_buf_bytes (&c->runs[i]), &used, NULL),
                          WEIR_OK);
    }
    weir_run_builder_fini (&b);
}

static void
free_chain (struct chain *c)
{
    for (size_t i = 0; i < c->count; i++) {
        weir_buf_fini (&c->runs[i]);
    }
    weir_arena_destroy (&c->arena);
}

static void
test_scan (void **state)
{
    (void) state;
    struct chain c;
    struct weir_arena *spare = weir_arena_new (1u << 20);
    make_chain (&c, 1, 4);
    for (size_t i = 0; i < c.count; i++) {
        struct weir_run run;
        const struct weir_run *want = &c.decoded[i];
        assert_int_equal (weir_run_scan (&run, c.arena, weir_buf_bytes (&c.runs[i])), WEIR_OK);
        assert_int_equal (run.kind, want->kind);
        assert_int_equal (run.seq, want->seq);
        assert_int_equal (run.count, want->count);
        assert_int_equal (run.n_deps, want->n_deps);
        assert_ids_equal (&run.prev, &want->prev);
        assert_int_equal (weir_chain_compare (&run.chain, &want->chain), 0);
        for (uint32_t k = 0; k < run.count; k++) {
            assert_true (weir_id_is_zero (&run.entries[k].id));
            assert_int_equal (run.entries[k].ops, want->entries[k].ops);
            assert_int_equal (run.entries[k].clock_ms, want->entries[k].clock_ms);
            assert_ptr_equal (run.entries[k].payload.data, want->entries[k].payload.data);
            assert_int_equal (run.entries[k].payload.len, want->entries[k].payload.len);
        }
        for (size_t len = 0; len < c.runs[i].len; len++) {
            assert_int_equal (weir_run_scan (&run, spare, weir_bytes (c.runs[i].data, len)),
                              WEIR_BAD_RUN);
            weir_arena_reset (spare);
        }
    }
    struct weir_arena *small = weir_arena_new (8);
    struct weir_run run;
    assert_int_equal (weir_run_scan (&run, small, weir_buf_bytes (&c.runs[0])), WEIR_LIMIT);
    c.runs[0].data[0] = 9; /* another format */
    assert_int_equal (weir_run_scan (&run, c.arena, weir_buf_bytes (&c.runs[0])), WEIR_BAD_RUN);
    c.runs[0].data[0] = 1;
    c.runs[0].data[2 + 32 + 8 + 1] = WEIR_ENTRY_DEPS_MAX + 1;
    assert_int_equal (weir_run_scan (&run, c.arena, weir_buf_bytes (&c.runs[0])), WEIR_BAD_RUN);
    weir_arena_destroy (&small);
    weir_arena_destroy (&spare);
    free_chain (&c);
}

/* Joined from `first` on as far as it goes; gives how many runs went in. */
static size_t
join (struct chain *c, size_t first, struct weir_buf *out)
{
    struct weir_run_joiner j = { .counted = 0 };
    size_t i = first;
    assert_true (weir_run_joiner_is_empty (&j));
    for (; i < c->count; i++) {
        struct weir_run run;
        assert_int_equal (weir_run_scan (&run, c->arena, weir_buf_bytes (&c->runs[i])), WEIR_OK);
        if (!weir_run_joiner_add (&j, &run)) {
            break;
        }
    }
    assert_false (weir_run_joiner_is_empty (&j));
    weir_run_joiner_close (&j, out);
    assert_true (weir_run_joiner_is_empty (&j));
    weir_run_joiner_fini (&j);
    return i - first;
}

static void
test_join (void **state)
{
    (void) state;
    for (uint64_t seed = 1; seed < 40; seed++) {
        struct chain c;
        struct weir_buf whole = { 0 };
        make_chain (&c, seed, 5);
        size_t n = join (&c, 0, &whole);
        assert_int_equal (n, 5); /* up to the one with a dep */
        struct weir_buf steps[2] = { 0 };
        struct weir_run so_far = c.decoded[0];
        for (size_t i = 1; i < n; i++) {
            size_t used = 0;
            assert_true (weir_run_can_join (&so_far, &c.decoded[i]));
            weir_buf_clear (&steps[i % 2]);
            weir_run_join (&so_far, &c.decoded[i], &steps[i % 2]);
            assert_int_equal (weir_run_decode (&so_far, c.arena, &c.db,
                                               weir_buf_bytes (&steps[i % 2]), &used, NULL),
                              WEIR_OK);
        }
        assert_true (weir_bytes_equal (weir_buf_bytes (&whole), so_far.bytes));
        assert_int_equal (weir_run_verify (&so_far), WEIR_OK);
        weir_buf_clear (&whole);
        assert_int_equal (join (&c, 5, &whole), 3);
        weir_buf_fini (&whole);
        weir_buf_fini (&steps[0]);
        weir_buf_fini (&steps[1]);
        free_chain (&c);
    }
}

/* The bounds of a run hold for joined ones too. */
static void
test_join_bounds (void **state)
{
    (void) state;
    struct weir_identity key = fixture_identity (2);
    struct weir_id db = fixture_id (1);
    struct weir_id dep = fixture_id (2);
    struct weir_id tip = weir_id_zero;
    struct weir_chain chain = { .author = key.device, .lane = 1 };
    struct weir_run_builder b;
    struct weir_run_joiner j = { .counted = 0 };
    struct weir_arena *arena = weir_arena_new (4u << 20);
    struct weir_buf payload = { 0 };
    struct weir_buf out = { 0 };
    size_t taken = 0;
    weir_buf_reserve (&payload, 10000);
    payload.len = 10000;
    memset (payload.data, 1, payload.len);
    weir_run_builder_init (&b);
    for (uint64_t seq = 0; seq < 10; seq++) {
        struct weir_buf bytes = { 0 };
        struct weir_run run;
        weir_run_begin (&b, &db, WEIR_ENTRY_DATA, &chain, seq, &tip, &dep, seq == 0 ? 1 : 0);
        weir_run_add (&b, 1, 5, weir_buf_bytes (&payload), &tip);
        weir_run_close (&b, &key, &bytes);
        assert_int_equal (weir_run_scan (&run, arena, weir_buf_bytes (&bytes)), WEIR_OK);
        bool more = weir_run_joiner_add (&j, &run);
        taken += more ? 1 : 0;
        weir_buf_fini (&bytes);
        if (!more) {
            break;
        }
    }
    assert_int_equal (taken, 6);
    weir_run_joiner_close (&j, &out);
    assert_true (out.len <= WEIR_RUN_BYTES_MAX);
    struct weir_run run;
    size_t used = 0;
    assert_int_equal (weir_run_decode (&run, arena, &db, weir_buf_bytes (&out), &used, NULL),
                      WEIR_OK);
    assert_int_equal (run.count, 6);
    weir_run_joiner_fini (&j);
    weir_run_builder_fini (&b);
    weir_buf_fini (&payload);
    weir_buf_fini (&out);
    weir_arena_destroy (&arena);
}

int
main (void)
{
    weir_crypto_init ();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_scan),
        cmocka_unit_test (test_join),
        cmocka_unit_test (test_join_bounds),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
