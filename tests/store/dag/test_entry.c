/* Goal: the canonical header and the ids made of it never change by accident (a vector computed
 * elsewhere pins them), every malformed shape is refused with the right code, and the orders of
 * chains and order keys are what page 2 says. */

#include "tests/store/dag/fixture.h"

static struct weir_entry
sample_entry (void)
{
    struct weir_entry e = {
        .version = 1,
        .kind = WEIR_ENTRY_DATA,
        .database = fixture_id (1),
        .author = fixture_id (2),
        .lane = 0x0102030405060708u,
        .seq = 9,
        .prev = fixture_id (3),
        .n_deps = 2,
        .deps = { fixture_id (4), fixture_id (5) },
        .ops = 7,
        .clock_ms = 1700000000000u,
        .payload_bytes = 5,
    };
    e.payload_hash = weir_payload_hash (fixture_text ("hello"));
    return e;
}

static void
test_header_is_canonical (void **state)
{
    (void) state;
    struct weir_entry e = sample_entry ();
    struct weir_buf expected = { 0 };
    struct weir_buf header = { 0 };
    weir_buf_put_u8 (&expected, 1);
    weir_buf_put_u8 (&expected, 1);
    weir_buf_put (&expected, e.database.b, 32);
    weir_buf_put (&expected, e.author.b, 32);
    weir_buf_put_u64 (&expected, e.lane);
    weir_buf_put_u64 (&expected, 9);
    weir_buf_put (&expected, e.prev.b, 32);
    weir_buf_put_u16 (&expected, 2);
    weir_buf_put (&expected, e.deps[0].b, 32);
    weir_buf_put (&expected, e.deps[1].b, 32);
    weir_buf_put_u32 (&expected, 7);
    weir_buf_put_u64 (&expected, e.clock_ms);
    weir_buf_put_u32 (&expected, 5);
    weir_buf_put (&expected, e.payload_hash.b, 32);
    weir_entry_put (&header, &e);
    assert_int_equal (header.len, expected.len);
    assert_memory_equal (header.data, expected.data, expected.len);
    struct weir_id id = weir_entry_id (&e);
    struct weir_id direct =
        weir_hash (WEIR_DOMAIN_ENTRY, weir_buf_bytes (&header), weir_bytes (NULL, 0));
    assert_ids_equal (&id, &direct);
    weir_buf_fini (&header);
    weir_buf_fini (&expected);
}

/* Computed with another implementation of BLAKE2b (Python's hashlib). */
static void
test_ids_are_pinned (void **state)
{
    (void) state;
    struct weir_entry e = sample_entry ();
    struct weir_id_text payload = weir_id_text (&e.payload_hash);
    assert_string_equal (payload.s, "rohcy5g7iaqlczilw2relzgfkebaobhmyndvh3womdjnibwtegmq");
    struct weir_id id = weir_entry_id (&e);
    struct weir_id_text text = weir_id_text (&id);
    assert_string_equal (text.s, "lp2ep3dzxupcdpmtrmxnwbx3u64qineyrp5wusdbfpj2tkujqmaa");
}

/* Any field that changes changes the id. */
static void
test_every_field_is_in_the_id (void **state)
{
    (void) state;
    struct weir_entry e = sample_entry ();
    struct weir_id id = weir_entry_id (&e);
    struct weir_entry v[12];
    for (size_t i = 0; i < 12; i++) {
        v[i] = e;
    }
    v[0].version = 2;
    v[1].kind = WEIR_ENTRY_MERGE;
    v[2].database.b[0] ^= 1;
    v[3].author.b[31] ^= 1;
    v[4].lane++;
    v[5].seq++;
    v[6].prev.b[3] ^= 1;
    v[7].n_deps = 1;
    v[8].ops++;
    v[9].clock_ms++;
    v[10].payload_bytes++;
    v[11].payload_hash.b[1] ^= 1;
    for (size_t i = 0; i < 12; i++) {
        struct weir_id other = weir_entry_id (&v[i]);
        assert_false (weir_id_equal (&id, &other));
    }
}

static struct weir_entry
genesis_entry (void)
{
    struct weir_entry e = sample_entry ();
    e.kind = WEIR_ENTRY_GENESIS;
    e.database = weir_id_zero;
    e.prev = weir_id_zero;
    e.seq = 0;
    e.n_deps = 0;
    e.ops = 0;
    return e;
}

static void
expect (const struct weir_entry *e, enum weir_status status)
{
    struct weir_error error = { 0 };
    assert_int_equal (weir_entry_check (e, &error), status);
    assert_int_equal (weir_entry_check (e, NULL), status);
    assert_int_equal (error.status, status);
}

static void
test_good_shapes (void **state)
{
    (void) state;
    struct weir_entry e = sample_entry ();
    expect (&e, WEIR_OK);
    e.ops = WEIR_ENTRY_OPS_MAX;
    e.payload_bytes = WEIR_PAYLOAD_BYTES_MAX;
    e.clock_ms = UINT64_MAX;
    expect (&e, WEIR_OK);
    e.ops = 0;
    e.kind = WEIR_ENTRY_SETTINGS;
    expect (&e, WEIR_OK);
    e.kind = WEIR_ENTRY_MERGE;
    expect (&e, WEIR_OK);
    e.seq = 0; /* a lane begins */
    e.prev = weir_id_zero;
    expect (&e, WEIR_OK);
    e.n_deps = WEIR_ENTRY_DEPS_MAX;
    for (uint32_t i = 0; i < WEIR_ENTRY_DEPS_MAX; i++) {
        e.deps[i] = fixture_id (100 + i);
    }
    expect (&e, WEIR_OK);
    e = genesis_entry ();
    expect (&e, WEIR_OK);
}

static void
test_bad_shapes (void **state)
{
    (void) state;
    struct weir_entry v[20];
    for (size_t i = 0; i < 20; i++) {
        v[i] = i < 4 ? genesis_entry () : sample_entry ();
    }
    v[0].seq = 1;
    v[0].prev = fixture_id (3);
    v[1].n_deps = 1;
    v[2].database = fixture_id (1);
    v[3].ops = 1;
    v[4].version = 0;
    v[5].kind = WEIR_ENTRY_KIND_COUNT;
    v[6].kind = 255;
    v[7].author = weir_id_zero;
    v[8].seq = 0;             /* with a prev */
    v[9].prev = weir_id_zero; /* without */
    v[10].seq = UINT64_MAX;
    v[11].n_deps = WEIR_ENTRY_DEPS_MAX + 1;
    v[12].deps[0] = fixture_id (6); /* unsorted */
    v[13].deps[0] = v[13].deps[1];  /* twice */
    v[14].deps[0] = weir_id_zero;
    v[15].deps[0] = v[15].prev;
    v[16].database = weir_id_zero;
    v[17].seq = 0; /* a lane's first with nothing below */
    v[17].prev = weir_id_zero;
    v[17].n_deps = 0;
    v[18].ops = WEIR_ENTRY_OPS_MAX + 1;
    v[19].payload_bytes = WEIR_PAYLOAD_BYTES_MAX + 1;
    for (size_t i = 0; i < 20; i++) {
        expect (&v[i], WEIR_BAD_ENTRY);
    }
    struct weir_entry e = sample_entry ();
    e.kind = WEIR_ENTRY_MERGE; /* with ops */
    expect (&e, WEIR_BAD_ENTRY);
    e = sample_entry ();
    e.version = WEIR_ENTRY_VERSION + 1;
    e.kind = 77; /* the future may know it */
    expect (&e, WEIR_NEEDS_UPGRADE);
}

static void
test_orders (void **state)
{
    (void) state;
    struct weir_chain chains[] = {
        { fixture_id (1), 1 },
        { fixture_id (1), 2 },
        { fixture_id (2), 0 },
    };
    for (size_t i = 0; i < 3; i++) {
        for (size_t j = 0; j < 3; j++) {
            int order = weir_chain_compare (&chains[i], &chains[j]);
            assert_int_equal ((order > 0) - (order < 0), (i > j) - (i < j));
        }
    }
    struct weir_order_key keys[] = {
        { 1, chains[2], fixture_id (9) },
        { 2, chains[0], fixture_id (1) },
        { 2, chains[0], fixture_id (2) },
        { 2, chains[1], fixture_id (1) },
    };
    for (size_t i = 0; i < 4; i++) {
        for (size_t j = 0; j < 4; j++) {
            int order = weir_order_key_compare (&keys[i], &keys[j]);
            assert_int_equal ((order > 0) - (order < 0), (i > j) - (i < j));
        }
    }
}

int
main (void)
{
    weir_crypto_init ();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_header_is_canonical),
        cmocka_unit_test (test_ids_are_pinned),
        cmocka_unit_test (test_every_field_is_in_the_id),
        cmocka_unit_test (test_good_shapes),
        cmocka_unit_test (test_bad_shapes),
        cmocka_unit_test (test_orders),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
