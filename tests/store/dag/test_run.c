/* Goal: what the builder seals, the decoder reads back with the same ids, whole, cut anywhere or
 * joined; the beginning of a run is PENDING and costs nothing; every altered byte is refused or
 * fails the one signature; and no bound can be passed, not even by cutting a run at the limit. */

#include "tests/store/dag/fixture.h"

struct sealed {
    struct weir_identity identity;
    struct weir_id database;
    struct weir_id ids[2 * WEIR_RUN_ENTRIES_MAX];
    struct weir_buf bytes;
};

static struct weir_arena *arena;

static int
setup (void **state)
{
    struct sealed *s = calloc (1, sizeof *s);
    s->identity = fixture_identity (1);
    s->database = fixture_id (77);
    *state = s;
    arena = weir_arena_new (8u << 20);
    return 0;
}

static int
teardown (void **state)
{
    struct sealed *s = *state;
    weir_buf_fini (&s->bytes);
    free (s);
    weir_arena_destroy (&arena);
    return 0;
}

static enum weir_status
decode_bytes (struct weir_run *run, const struct sealed *s, struct weir_bytes bytes, size_t *used)
{
    struct weir_error e = { 0 };
    weir_arena_reset (arena);
    enum weir_status status = weir_run_decode (run, arena, &s->database, bytes, used, &e);
    assert_int_equal (status, e.status);
    size_t length = 0;
    enum weir_status measured = weir_run_length (bytes, &length);
    if (status == WEIR_OK || status == WEIR_PENDING) {
        assert_int_equal (measured, status); /* the measure sees shape alone: it may be milder */
        assert_int_equal (length, status == WEIR_OK ? *used : 0);
    }
    return status;
}

static enum weir_status
decode (struct weir_run *run, const struct sealed *s)
{
    size_t used = 0;
    enum weir_status status = decode_bytes (run, s, weir_buf_bytes (&s->bytes), &used);
    assert_true (status != WEIR_OK || used == s->bytes.len);
    return status;
}

/* Seals `count` entries of `size` payload bytes with uneven clocks, from `seq` on. */
static void
seal (struct sealed *s, uint64_t seq, uint32_t count, size_t size, size_t n_deps)
{
    struct weir_run_builder b;
    weir_run_builder_init (&b);
    struct weir_chain chain = { s->identity.device, 42 };
    struct weir_id prev = fixture_id (5);
    struct weir_id deps[WEIR_ENTRY_DEPS_MAX];
    for (size_t i = 0; i < n_deps; i++) {
        deps[i] = fixture_id ((uint32_t) (900 - i));
    }
    weir_buf_clear (&s->bytes);
    weir_run_begin (&b, &s->database, WEIR_ENTRY_DATA, &chain, seq, &prev, deps, n_deps);
    uint8_t *payload = weir_alloc (size + 1);
    for (uint32_t i = 0; i < count; i++) {
        memset (payload, (int) (i & 0xff), size);
        assert_true (weir_run_has_room (&b, size));
        weir_run_add (&b, i % 3, 1000 + (i % 5) * 7, weir_bytes (payload, size), &s->ids[i]);
        assert_ids_equal (&b.tip, &s->ids[i]);
    }
    assert_int_equal (b.next_seq, seq + count);
    weir_run_close (&b, &s->identity, &s->bytes);
    weir_run_builder_fini (&b);
    free (payload);
}

static void
test_round_trip (void **state)
{
    struct sealed *s = *state;
    const struct {
        uint64_t seq;
        uint32_t count;
        size_t size;
        size_t n_deps;
    } rows[] = {
        { 0, 1, 0, 1 },        { 0, 1, 100, 16 },    { 7, 1, 1, 0 },
        { 7, 2, 0, 3 },        { 0, 300, 100, 2 },   { 1, 4096, 9, 0 },
        { 1, 1, 1u << 20, 0 }, { 127, 128, 127, 1 }, { UINT64_MAX - 9, 8, 3, 0 },
    };
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        seal (s, rows[r].seq, rows[r].count, rows[r].size, rows[r].n_deps);
        struct weir_run run;
        assert_int_equal (decode (&run, s), WEIR_OK);
        assert_int_equal (run.count, rows[r].count);
        assert_int_equal (run.seq, rows[r].seq);
        assert_int_equal (run.n_deps, rows[r].n_deps);
        assert_int_equal (run.kind, WEIR_ENTRY_DATA);
        for (uint32_t i = 0; i < run.count; i++) {
            assert_ids_equal (&run.entries[i].id, &s->ids[i]);
            assert_int_equal (run.entries[i].ops, i % 3);
            assert_int_equal (run.entries[i].clock_ms, 1000 + (i % 5) * 7);
            assert_int_equal (run.entries[i].payload.len, rows[r].size);
        }
        for (size_t i = 1; i < run.n_deps; i++) {
            assert_true (weir_id_compare (&run.deps[i - 1], &run.deps[i]) < 0);
        }
        assert_int_equal (weir_run_verify (&run), WEIR_OK);
        assert_ids_equal (weir_run_tip (&run), &s->ids[run.count - 1]);
    }
}

/* An id in a run is the id of the header it implies. */
static void
test_ids_are_of_the_headers (void **state)
{
    struct sealed *s = *state;
    seal (s, 3, 2, 10, 2);
    struct weir_run run;
    assert_int_equal (decode (&run, s), WEIR_OK);
    struct weir_entry e = {
        .version = 1,
        .kind = WEIR_ENTRY_DATA,
        .database = s->database,
        .author = s->identity.device,
        .lane = 42,
        .seq = 3,
        .prev = fixture_id (5),
        .n_deps = 2,
        .deps = { fixture_id (899), fixture_id (900) },
        .ops = 0,
        .clock_ms = 1000,
        .payload_bytes = 10,
        .payload_hash = weir_payload_hash (run.entries[0].payload),
    };
    struct weir_id id = weir_entry_id (&e);
    assert_ids_equal (&id, &run.entries[0].id);
    e.seq = 4;
    e.prev = id;
    e.n_deps = 0;
    e.ops = 1;
    e.clock_ms = 1007;
    e.payload_hash = weir_payload_hash (run.entries[1].payload);
    id = weir_entry_id (&e);
    assert_ids_equal (&id, &run.entries[1].id);
}

static void
test_clock_runs_anywhere (void **state)
{
    struct sealed *s = *state;
    const uint64_t clocks[] = { 0, UINT64_MAX, 1, 0, 1ull << 63, (1ull << 63) - 1, 0 };
    struct weir_run_builder b;
    weir_run_builder_init (&b);
    struct weir_chain chain = { s->identity.device, 0 };
    struct weir_id prev = fixture_id (5);
    weir_run_begin (&b, &s->database, WEIR_ENTRY_DATA, &chain, 1, &prev, NULL, 0);
    for (size_t i = 0; i < 7; i++) {
        weir_run_add (&b, 0, clocks[i], fixture_text ("x"), &s->ids[i]);
    }
    weir_run_close (&b, &s->identity, &s->bytes);
    weir_run_builder_fini (&b);
    struct weir_run run;
    assert_int_equal (decode (&run, s), WEIR_OK);
    for (size_t i = 0; i < 7; i++) {
        assert_int_equal (run.entries[i].clock_ms, clocks[i]);
    }
}

static void
test_deps_become_canonical (void **state)
{
    struct sealed *s = *state;
    struct weir_id prev = fixture_id (5);
    struct weir_id deps[] = { fixture_id (9), fixture_id (5), fixture_id (1), fixture_id (9) };
    struct weir_chain chain = { s->identity.device, 0 };
    struct weir_run_builder b;
    weir_run_builder_init (&b);
    weir_run_begin (&b, &s->database, WEIR_ENTRY_MERGE, &chain, 4, &prev, deps, 4);
    weir_run_add (&b, 0, 0, weir_bytes (NULL, 0), &s->ids[0]);
    weir_run_close (&b, &s->identity, &s->bytes);
    weir_run_builder_fini (&b);
    struct weir_run run;
    assert_int_equal (decode (&run, s), WEIR_OK);
    assert_int_equal (run.kind, WEIR_ENTRY_MERGE);
    assert_int_equal (run.n_deps, 2);
    assert_ids_equal (&run.deps[0], &deps[2]);
    assert_ids_equal (&run.deps[1], &deps[0]);
}

static void
test_every_beginning_is_pending (void **state)
{
    struct sealed *s = *state;
    seal (s, 9, 5, 40, 2);
    for (size_t len = 0; len < s->bytes.len; len++) {
        uint8_t *exact = malloc (len + 1);
        memcpy (exact, s->bytes.data, len);
        struct weir_run run;
        size_t used = 12345;
        assert_int_equal (decode_bytes (&run, s, weir_bytes (exact, len), &used), WEIR_PENDING);
        assert_int_equal (used, 12345);
        assert_int_equal (weir_arena_used (arena), 0);
        free (exact);
    }
    /* What follows belongs to somebody else. */
    weir_buf_put (&s->bytes, "more", 4);
    struct weir_run run;
    size_t used = 0;
    assert_int_equal (decode_bytes (&run, s, weir_buf_bytes (&s->bytes), &used), WEIR_OK);
    assert_int_equal (used, s->bytes.len - 4);
    assert_int_equal (run.bytes.len, used);
}

/* Every bit of every byte: refused, incomplete, or the signature does not hold. */
static void
test_altered_bits_are_caught (void **state)
{
    struct sealed *s = *state;
    seal (s, 9, 3, 6, 1);
    unsigned verified = 0;
    for (size_t bit = 0; bit < s->bytes.len * 8; bit++) {
        s->bytes.data[bit / 8] ^= (uint8_t) (1u << (bit % 8));
        struct weir_run run;
        size_t used = 0;
        if (decode_bytes (&run, s, weir_buf_bytes (&s->bytes), &used) == WEIR_OK) {
            assert_int_equal (weir_run_verify (&run), WEIR_BAD_SIGNATURE);
            verified++;
        }
        s->bytes.data[bit / 8] ^= (uint8_t) (1u << (bit % 8));
    }
    assert_true (verified > 0);
}

/* In another database, or with a record taken from another run, the signature fails. */
static void
test_spliced_runs_are_caught (void **state)
{
    struct sealed *s = *state;
    seal (s, 9, 3, 6, 1);
    struct weir_run run;
    s->database = fixture_id (78);
    assert_int_equal (decode (&run, s), WEIR_OK);
    assert_int_equal (weir_run_verify (&run), WEIR_BAD_SIGNATURE);
    struct weir_buf first = { 0 };
    weir_buf_put_bytes (&first, weir_buf_bytes (&s->bytes));
    seal (s, 9, 3, 7, 1);
    memcpy (s->bytes.data + s->bytes.len - WEIR_SIGNATURE_BYTES,
            first.data + first.len - WEIR_SIGNATURE_BYTES, WEIR_SIGNATURE_BYTES);
    assert_int_equal (decode (&run, s), WEIR_OK);
    assert_int_equal (weir_run_verify (&run), WEIR_BAD_SIGNATURE);
    weir_buf_fini (&first);
}

static void
check_cuts (struct sealed *s, uint64_t step)
{
    struct weir_run run;
    assert_int_equal (decode (&run, s), WEIR_OK);
    struct weir_arena *other = weir_arena_new (8u << 20);
    struct weir_buf out = { 0 };
    for (uint64_t seq = run.seq; seq < run.seq + run.count; seq += step) {
        weir_buf_clear (&out);
        weir_run_cut (&run, seq, &out);
        struct weir_run part;
        size_t used;
        weir_arena_reset (other);
        assert_int_equal (
            weir_run_decode (&part, other, &s->database, weir_buf_bytes (&out), &used, NULL),
            WEIR_OK);
        assert_int_equal (used, out.len);
        assert_int_equal (part.seq, seq);
        assert_int_equal (part.count, run.count - (seq - run.seq));
        assert_int_equal (part.n_deps, seq == run.seq ? run.n_deps : 0);
        for (uint32_t i = 0; i < part.count; i++) {
            const struct weir_run_entry *e = &run.entries[seq - run.seq + i];
            assert_ids_equal (&part.entries[i].id, &e->id);
            assert_int_equal (part.entries[i].clock_ms, e->clock_ms);
            assert_int_equal (part.entries[i].ops, e->ops);
        }
        assert_int_equal (weir_run_verify (&part), WEIR_OK);
    }
    weir_buf_fini (&out);
    weir_arena_destroy (&other);
}

static void
test_cuts (void **state)
{
    struct sealed *s = *state;
    seal (s, 0, 20, 30, 4);
    check_cuts (s, 1);
    seal (s, 126, 3, 0, 0);
    check_cuts (s, 1);
    seal (s, 5, 1, 70000, 0);
    check_cuts (s, 1);
}

/* The most that a run can hold, its clocks chosen so that every cut has a longer first clock:
 * all cuts are good runs. One entry more is no run at all. */
static void
test_cuts_of_a_full_run (void **state)
{
    struct sealed *s = *state;
    struct weir_run_builder b;
    weir_run_builder_init (&b);
    struct weir_chain chain = { s->identity.device, 1 };
    struct weir_id prev = fixture_id (1);
    weir_run_begin (&b, &s->database, WEIR_ENTRY_DATA, &chain, 5, &prev, NULL, 0);
    uint32_t n = 0;
    while (weir_run_has_room (&b, 20)) {
        weir_run_add (&b, 0, n == 0 ? 0 : 1ull << 62, weir_bytes ("01234567890123456789", 20),
                      &s->ids[n]);
        n++;
    }
    weir_run_close (&b, &s->identity, &s->bytes);
    weir_run_builder_fini (&b);
    assert_true (s->bytes.len <= WEIR_RUN_BYTES_MAX);
    assert_true (s->bytes.len > WEIR_RUN_BYTES_MAX - 800);
    check_cuts (s, 97);
}

static void
test_room (void **state)
{
    struct sealed *s = *state;
    struct weir_run_builder b;
    weir_run_builder_init (&b);
    struct weir_chain chain = { s->identity.device, 1 };
    struct weir_id prev = fixture_id (1);
    struct weir_id id;
    weir_run_begin (&b, &s->database, WEIR_ENTRY_DATA, &chain, 5, &prev, NULL, 0);
    assert_true (weir_run_has_room (&b, WEIR_PAYLOAD_BYTES_MAX));
    weir_run_add (&b, 0, 0, fixture_text ("a"), &id);
    assert_true (weir_run_has_room (&b, 60000));
    assert_false (weir_run_has_room (&b, WEIR_RUN_BYTES_MAX));
    weir_run_begin (&b, &s->database, WEIR_ENTRY_SETTINGS, &chain, 5, &prev, NULL, 0);
    weir_run_add (&b, 0, 0, fixture_text ("a"), &id);
    assert_false (weir_run_has_room (&b, 0));
    weir_run_begin (&b, &s->database, WEIR_ENTRY_DATA, &chain, 5, &prev, NULL, 0);
    for (uint32_t i = 0; i < WEIR_RUN_ENTRIES_MAX; i++) {
        assert_true (weir_run_has_room (&b, 0));
        weir_run_add (&b, 0, 0, weir_bytes (NULL, 0), &id);
    }
    assert_false (weir_run_has_room (&b, 0));
    weir_run_builder_fini (&b);
}

/* Two runs, one behind the other, as `a` and `b` of a join. */
static void
seal_pair (struct sealed *s, struct weir_buf out[2], uint32_t na, uint32_t nb, size_t size,
           size_t b_deps)
{
    struct weir_run_builder b;
    weir_run_builder_init (&b);
    struct weir_chain chain = { s->identity.device, 1 };
    struct weir_id prev = fixture_id (1);
    struct weir_id dep = fixture_id (2);
    uint8_t *payload = weir_alloc (size);
    uint32_t n = 0;
    for (int half = 0; half < 2; half++) {
        weir_run_begin (&b, &s->database, WEIR_ENTRY_DATA, &chain, 5 + n, &prev, &dep,
                        half == 0 ? 1 : b_deps);
        for (uint32_t i = 0; i < (half == 0 ? na : nb); i++) {
            weir_run_add (&b, 1, 1000000 + n, weir_bytes (payload, size), &s->ids[n]);
            n++;
        }
        weir_buf_clear (&out[half]);
        weir_run_close (&b, &s->identity, &out[half]);
        prev = b.tip;
    }
    weir_run_builder_fini (&b);
    free (payload);
}

static void
test_joins (void **state)
{
    struct sealed *s = *state;
    struct weir_buf out[2] = { { 0 }, { 0 } };
    const struct {
        uint32_t na, nb;
        size_t size;
        size_t deps;
        bool can;
    } rows[] = {
        { 1, 1, 10, 0, true },     { 50, 60, 100, 0, true },    { 4000, 96, 1, 0, true },
        { 4000, 97, 1, 0, false }, { 400, 400, 100, 0, false }, { 1, 1, 10, 1, false },
        { 1, 1, 40000, 0, false }, { 2, 2, 16000, 0, true },
    };
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        seal_pair (s, out, rows[r].na, rows[r].nb, rows[r].size, rows[r].deps);
        struct weir_run a, b, both;
        size_t used;
        weir_arena_reset (arena);
        assert_int_equal (
            weir_run_decode (&a, arena, &s->database, weir_buf_bytes (&out[0]), &used, NULL),
            WEIR_OK);
        assert_int_equal (
            weir_run_decode (&b, arena, &s->database, weir_buf_bytes (&out[1]), &used, NULL),
            WEIR_OK);
        assert_int_equal (weir_run_can_join (&a, &b), rows[r].can);
        assert_false (weir_run_can_join (&b, &a));
        if (!rows[r].can) {
            continue;
        }
        struct weir_buf joined = { 0 };
        weir_run_join (&a, &b, &joined);
        assert_int_equal (
            weir_run_decode (&both, arena, &s->database, weir_buf_bytes (&joined), &used, NULL),
            WEIR_OK);
        assert_int_equal (used, joined.len);
        assert_int_equal (both.count, a.count + b.count);
        assert_int_equal (weir_run_verify (&both), WEIR_OK);
        for (uint32_t i = 0; i < both.count; i++) {
            assert_ids_equal (&both.entries[i].id, &s->ids[i]);
        }
        /* Cut where they were joined, the second half is what it was. */
        struct weir_buf cut = { 0 };
        weir_run_cut (&both, b.seq, &cut);
        assert_int_equal (cut.len, out[1].len);
        assert_memory_equal (cut.data, out[1].data, cut.len);
        weir_buf_fini (&cut);
        weir_buf_fini (&joined);
    }
    weir_buf_fini (&out[0]);
    weir_buf_fini (&out[1]);
}

/* Two runs joined up to the last byte that fits, then one byte more. */
static void
test_join_at_the_bound (void **state)
{
    struct sealed *s = *state;
    struct weir_buf out[2] = { { 0 }, { 0 } };
    size_t most = 0;
    for (size_t size = 32300; size < 32600; size++) {
        struct weir_run a, b;
        size_t used;
        seal_pair (s, out, 1, 1, size, 0);
        weir_arena_reset (arena);
        assert_int_equal (
            weir_run_decode (&a, arena, &s->database, weir_buf_bytes (&out[0]), &used, NULL),
            WEIR_OK);
        assert_int_equal (
            weir_run_decode (&b, arena, &s->database, weir_buf_bytes (&out[1]), &used, NULL),
            WEIR_OK);
        if (!weir_run_can_join (&a, &b)) {
            continue;
        }
        most = size;
        struct weir_buf joined = { 0 };
        weir_run_join (&a, &b, &joined);
        struct weir_run both;
        assert_int_equal (
            weir_run_decode (&both, arena, &s->database, weir_buf_bytes (&joined), &used, NULL),
            WEIR_OK);
        weir_buf_fini (&joined);
    }
    assert_true (most > 32300 && most < 32599);
    weir_buf_fini (&out[0]);
    weir_buf_fini (&out[1]);
}

static void
test_genesis_names_itself (void **state)
{
    struct sealed *s = *state;
    struct weir_run_builder b;
    weir_run_builder_init (&b);
    struct weir_chain chain = { s->identity.device, 99 };
    weir_run_begin (&b, &weir_id_zero, WEIR_ENTRY_GENESIS, &chain, 0, &weir_id_zero, NULL, 0);
    weir_run_add (&b, 0, 5, fixture_text ("settings"), &s->ids[0]);
    assert_false (weir_run_has_room (&b, 1));
    weir_run_close (&b, &s->identity, &s->bytes);
    weir_run_builder_fini (&b);
    struct weir_run run;
    assert_int_equal (decode (&run, s), WEIR_BAD_RUN);
    s->database = s->ids[0];
    assert_int_equal (decode (&run, s), WEIR_OK);
    assert_int_equal (weir_run_verify (&run), WEIR_OK);
}

/* A run by hand: what no builder would seal. Each row changes up to three things of a good one. */
enum field {
    NOTHING,
    FORMAT,
    KIND,
    ZERO_AUTHOR,
    SEQ,
    ZERO_PREV,
    DEPS,
    BAD_DEPS,
    COUNT,
    RECORDS,
    OPS,
    PAYLOAD,
    CLOCK, /* raw bytes: an index into clocks[] */
    FIELD_COUNT
};

struct by_hand {
    enum weir_status status;
    struct {
        enum field field;
        uint64_t value;
    } change[3];
};

static const struct weir_bytes clocks[] = {
    { (const uint8_t *) "\x00", 1 },
    { (const uint8_t *) "\x80\x00", 2 },
    { (const uint8_t *) "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10 },
    { (const uint8_t *) "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81", 10 },
    { (const uint8_t *) "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10 },
};

static void
put_by_hand (struct weir_buf *out, const struct by_hand *h)
{
    uint64_t v[FIELD_COUNT] = {
        [FORMAT] = 1, [KIND] = 1, [SEQ] = 1, [COUNT] = 1, [RECORDS] = 1, [PAYLOAD] = 1,
    };
    for (size_t i = 0; i < 3; i++) {
        v[h->change[i].field] = h->change[i].value;
    }
    struct weir_id author = v[ZERO_AUTHOR] != 0 ? weir_id_zero : fixture_id (3);
    struct weir_id prev = v[ZERO_PREV] != 0 ? weir_id_zero : fixture_id (4);
    weir_buf_put_u8 (out, (uint8_t) v[FORMAT]);
    weir_buf_put_u8 (out, (uint8_t) v[KIND]);
    weir_buf_put (out, author.b, 32);
    weir_buf_put_u64 (out, 1);
    weir_buf_put_varint (out, v[SEQ]);
    weir_buf_put (out, prev.b, v[SEQ] > 0 ? 32 : 0);
    weir_buf_put_u8 (out, (uint8_t) v[DEPS]);
    for (uint32_t i = 0; i < v[DEPS]; i++) {
        struct weir_id dep = fixture_id (v[BAD_DEPS] != 0 ? 300 - i : 300 + i);
        weir_buf_put (out, dep.b, 32);
    }
    weir_buf_put_varint (out, v[COUNT]);
    uint8_t zeros[64] = { 0 };
    for (uint64_t i = 0; i < v[RECORDS]; i++) {
        weir_buf_put_varint (out, v[OPS]);
        weir_buf_put_bytes (out, clocks[v[CLOCK]]);
        weir_buf_put_varint (out, v[PAYLOAD]);
        weir_buf_put (out, zeros, v[PAYLOAD] < 64 ? v[PAYLOAD] : 64);
    }
    weir_buf_put (out, zeros, 64);
}

static void
test_hostile_runs (void **state)
{
    struct sealed *s = *state;
    const struct by_hand rows[] = {
        { WEIR_OK, { { NOTHING, 0 } } },
        { WEIR_BAD_RUN, { { FORMAT, 0 } } },
        { WEIR_NEEDS_UPGRADE, { { FORMAT, 2 } } },
        { WEIR_BAD_RUN, { { KIND, 4 } } },
        { WEIR_BAD_RUN, { { KIND, 0 } } },
        { WEIR_BAD_RUN, { { ZERO_AUTHOR, 1 } } },
        { WEIR_BAD_RUN, { { ZERO_PREV, 1 } } },
        { WEIR_BAD_RUN, { { SEQ, 0 } } },
        { WEIR_OK, { { SEQ, 0 }, { DEPS, 1 } } },
        { WEIR_BAD_RUN, { { SEQ, UINT64_MAX } } },
        { WEIR_OK, { { SEQ, UINT64_MAX - 1 } } },
        { WEIR_BAD_RUN, { { SEQ, UINT64_MAX - 1 }, { COUNT, 2 }, { RECORDS, 2 } } },
        { WEIR_BAD_RUN, { { DEPS, 17 } } },
        { WEIR_BAD_RUN, { { DEPS, 255 } } },
        { WEIR_BAD_RUN, { { DEPS, 2 }, { BAD_DEPS, 1 } } },
        { WEIR_BAD_RUN, { { COUNT, 0 }, { RECORDS, 0 } } },
        { WEIR_BAD_RUN, { { COUNT, 4097 } } },
        { WEIR_BAD_RUN, { { COUNT, UINT64_MAX } } },
        { WEIR_BAD_RUN, { { KIND, 2 }, { COUNT, 2 }, { RECORDS, 2 } } },
        { WEIR_OK, { { KIND, 2 } } },
        { WEIR_BAD_RUN, { { KIND, 2 }, { OPS, 1 } } },
        { WEIR_BAD_RUN, { { KIND, 3 }, { OPS, 1 } } },
        { WEIR_OK, { { OPS, WEIR_ENTRY_OPS_MAX } } },
        { WEIR_BAD_RUN, { { OPS, WEIR_ENTRY_OPS_MAX + 1 } } },
        { WEIR_BAD_RUN, { { OPS, (1ull << 32) + 1 } } },
        { WEIR_BAD_RUN, { { PAYLOAD, WEIR_PAYLOAD_BYTES_MAX + 1 } } },
        { WEIR_BAD_RUN, { { PAYLOAD, UINT64_MAX } } },
        { WEIR_PENDING, { { PAYLOAD, WEIR_PAYLOAD_BYTES_MAX } } },
        { WEIR_BAD_RUN, { { PAYLOAD, 70000 }, { COUNT, 2 } } },
        { WEIR_BAD_RUN, { { PAYLOAD, 20 }, { COUNT, 4096 }, { RECORDS, 4096 } } },
        { WEIR_BAD_RUN, { { CLOCK, 1 } } },
        { WEIR_BAD_RUN, { { CLOCK, 2 } } },
        { WEIR_BAD_RUN, { { CLOCK, 3 } } },
        { WEIR_OK, { { CLOCK, 4 } } },
    };
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        weir_buf_clear (&s->bytes);
        put_by_hand (&s->bytes, &rows[r]);
        struct weir_run run;
        enum weir_status status = decode (&run, s);
        if (status != rows[r].status) {
            fail_msg ("row %zu: %s", r, weir_status_code (status));
        }
        if (status == WEIR_OK) {
            assert_int_equal (weir_run_verify (&run), WEIR_BAD_SIGNATURE);
        }
    }
}

static void
test_arena_cap (void **state)
{
    struct sealed *s = *state;
    seal (s, 1, 1000, 1, 0);
    struct weir_arena *small = weir_arena_new (1000);
    struct weir_run run;
    size_t used;
    struct weir_error e = { 0 };
    assert_int_equal (
        weir_run_decode (&run, small, &s->database, weir_buf_bytes (&s->bytes), &used, &e),
        WEIR_LIMIT);
    assert_int_equal (e.status, WEIR_LIMIT);
    weir_arena_destroy (&small);
}

/* Random bytes, and random changes of good bytes: nothing crashes, nothing is read past the
 * end (the sanitizers watch), nothing forged is signed. */
static void
test_random_bytes (void **state)
{
    struct sealed *s = *state;
    struct weir_rand r;
    weir_rand_init (&r, 7);
    for (int round = 0; round < 20000; round++) {
        if (round % 1000 == 0) {
            seal (s, 1 + weir_rand_below (&r, 300), 1 + (uint32_t) weir_rand_below (&r, 6), 5,
                  weir_rand_below (&r, 3));
        }
        size_t len = weir_rand_below (&r, s->bytes.len + 1);
        uint8_t *copy = malloc (len + 1);
        memcpy (copy, s->bytes.data, len);
        if (len > 0) {
            for (uint64_t n = 1 + weir_rand_below (&r, 4); n > 0; n--) {
                copy[weir_rand_below (&r, len)] = (uint8_t) weir_rand_u64 (&r);
            }
        }
        struct weir_run run;
        size_t used;
        if (decode_bytes (&run, s, weir_bytes (copy, len), &used) == WEIR_OK) {
            assert_true (used <= len && run.count > 0);
            struct weir_buf cut = { 0 };
            weir_run_cut (&run, run.seq + run.count - 1, &cut);
            weir_buf_fini (&cut);
        }
        free (copy);
    }
}

int
main (void)
{
    weir_crypto_init ();
#define TEST(name) cmocka_unit_test_setup_teardown (name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST (test_round_trip),
        TEST (test_ids_are_of_the_headers),
        TEST (test_clock_runs_anywhere),
        TEST (test_deps_become_canonical),
        TEST (test_every_beginning_is_pending),
        TEST (test_altered_bits_are_caught),
        TEST (test_spliced_runs_are_caught),
        TEST (test_cuts),
        TEST (test_cuts_of_a_full_run),
        TEST (test_room),
        TEST (test_joins),
        TEST (test_join_at_the_bound),
        TEST (test_genesis_names_itself),
        TEST (test_hostile_runs),
        TEST (test_arena_cap),
        TEST (test_random_bytes),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
