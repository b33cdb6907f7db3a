/* Goal: the synchronizer's words come out of protobuf as they went in, and whatever another node
 * makes of these messages (absurd counts, missing or short fields, unknown kinds, random bytes)
 * is refused with a status, within bounds. */

#include "tests/actors/fake.h"

#include "actors/peers/state.h"

static struct weir_arena *arena;

static int
set_up (void **state)
{
    (void) state;
    arena = weir_arena_new (16u << 20);
    return 0;
}

static int
tear_down (void **state)
{
    (void) state;
    weir_arena_destroy (&arena);
    return 0;
}

/* Through bytes, as it would travel. */
static enum weir_status
travel (const struct weir_sync_message *m, struct weir_sync_message *back)
{
    ProtobufCMessage *message = NULL;
    ProtobufCMessage *got = NULL;
    struct weir_buf bytes = { 0 };
    uint16_t kind = wire_from_sync (m, arena, &message);
    assert_non_null (message);
    weir_meta_put (&bytes, message);
    assert_int_equal (weir_meta_get (&got, arena, weir_kind (kind), false, weir_buf_bytes (&bytes)),
                      WEIR_OK);
    weir_buf_fini (&bytes);
    return wire_to_sync (kind, got, arena, back);
}

static void
round_trips (void **state)
{
    struct weir_sync_message back;
    struct weir_sync_digest digests[3];
    struct weir_told_row rows[2];
    struct weir_sample samples[3];
    (void) state;
    memset (digests, 7, sizeof digests);
    memset (rows, 0, sizeof rows);
    memset (samples, 9, sizeof samples);
    struct weir_sync_message m = {
        .type = WEIR_SYNC_DIGESTS, .answer = true, .n_digests = 3, .digests = digests
    };
    assert_int_equal (travel (&m, &back), WEIR_OK);
    assert_int_equal (back.type, WEIR_SYNC_DIGESTS);
    assert_true (back.answer);
    assert_int_equal (back.n_digests, 3);
    assert_memory_equal (back.digests, digests, sizeof digests);

    memset (rows[0].row.tip.b, 3, 32);
    rows[0].row.chain.lane = UINT64_MAX;
    rows[0].row.count = 1ull << 60;
    rows[1].n_samples = 3;
    rows[1].samples = samples;
    m = (struct weir_sync_message){ .type = WEIR_SYNC_VECTOR,
                                    .tag = 5,
                                    .round = 3,
                                    .page = 2,
                                    .more = true,
                                    .only = true,
                                    .n_rows = 2,
                                    .rows = rows };
    assert_int_equal (travel (&m, &back), WEIR_OK);
    assert_int_equal (back.tag, 5);
    assert_int_equal (back.round, 3);
    assert_int_equal (back.page, 2);
    assert_true (back.more && back.only && !back.answer);
    assert_int_equal (back.n_rows, 2);
    assert_memory_equal (&back.rows[0].row, &rows[0].row, sizeof rows[0].row);
    assert_int_equal (back.rows[1].n_samples, 3);
    assert_memory_equal (back.rows[1].samples, samples, sizeof samples);

    static const enum weir_sync_message_type small[] = { WEIR_SYNC_OFFER, WEIR_SYNC_ACCEPT,
                                                         WEIR_SYNC_CLOSE, WEIR_SYNC_NOT_SHARED };
    for (size_t i = 0; i < sizeof small / sizeof *small; i++) {
        m = (struct weir_sync_message){
            .type = small[i], .tag = 11, .transfer = 12, .credit = 13, .status = WEIR_REMOVED
        };
        assert_int_equal (travel (&m, &back), WEIR_OK);
        assert_int_equal (back.type, small[i]);
        bool tagged = small[i] == WEIR_SYNC_OFFER || small[i] == WEIR_SYNC_NOT_SHARED;
        assert_int_equal (back.tag, tagged ? 11 : 0);
        assert_int_equal (back.transfer, small[i] == WEIR_SYNC_NOT_SHARED ? 0 : 12);
        assert_int_equal (back.credit, small[i] == WEIR_SYNC_ACCEPT ? 13 : 0);
        bool says = small[i] == WEIR_SYNC_CLOSE || small[i] == WEIR_SYNC_NOT_SHARED;
        assert_int_equal (back.status, says ? WEIR_REMOVED : WEIR_OK);
    }
}

static void
ranges_and_rows (void **state)
{
    struct weir_ranges ranges = { 0 };
    struct weir_ranges back = { 0 };
    struct weir_range range = { .from_seq = 3, .to_seq = 9 };
    Weir__Range bad = WEIR__RANGE__INIT;
    Weir__Range *bads[1] = { &bad };
    Weir__Row row = WEIR__ROW__INIT;
    Weir__Row *rows[1] = { &row };
    struct weir_told_row *told = NULL;
    struct weir_id id = { { 1 } };
    (void) state;
    memset (range.tip.b, 8, 32);
    weir_ranges_add (&ranges, &range, &weir_id_zero);
    range.chain.lane = 6;
    weir_ranges_add (&ranges, &range, &weir_id_zero);
    Weir__Range **made = wire_ranges_make (&ranges, arena);
    assert_non_null (made);
    assert_int_equal (wire_ranges_read (made, ranges.count, &back), WEIR_OK);
    assert_int_equal (back.count, 2);
    assert_memory_equal (back.items, ranges.items, 2 * sizeof *back.items);
    assert_int_equal (wire_ranges_read (bads, 1, &back), WEIR_BAD_MESSAGE);
    assert_int_equal (wire_rows_read (rows, 1, arena, &told), WEIR_BAD_MESSAGE);
    row.has_author = row.has_tip = true;
    row.author = row.tip = weir_field_id (&id);
    assert_int_equal (wire_rows_read (rows, 1, arena, &told), WEIR_OK);
    Weir__Sample sample = WEIR__SAMPLE__INIT;
    Weir__Sample *samples[WEIR_VECTOR_SAMPLES_MAX + 1];
    for (size_t i = 0; i <= WEIR_VECTOR_SAMPLES_MAX; i++) {
        samples[i] = &sample;
    }
    row.samples = samples;
    row.n_samples = 1; /* without an id */
    assert_int_equal (wire_rows_read (rows, 1, arena, &told), WEIR_BAD_MESSAGE);
    sample.has_id = true;
    sample.id = weir_field_id (&id);
    row.n_samples = WEIR_VECTOR_SAMPLES_MAX;
    assert_int_equal (wire_rows_read (rows, 1, arena, &told), WEIR_OK);
    row.n_samples++;
    assert_int_equal (wire_rows_read (rows, 1, arena, &told), WEIR_BAD_MESSAGE);
    weir_ranges_fini (&ranges);
    weir_ranges_fini (&back);
    /* An arena that is too small ends in a status, not in memory that is not there. */
    struct weir_arena *tiny = weir_arena_new (64);
    struct weir_told_row many[8];
    memset (many, 0, sizeof many);
    assert_null (wire_rows_make (many, 8, tiny));
    Weir__Row *eight[8] = { &row, &row, &row, &row, &row, &row, &row, &row };
    assert_int_equal (wire_rows_read (eight, 8, tiny, &told), WEIR_TOO_LARGE);
    weir_arena_destroy (&tiny);
}

static void
tree_round_trips (void **state)
{
    struct weir_sync_message back;
    struct weir_sync_mark marks[WEIR_MARKS_PER_MESSAGE + 1];
    struct weir_sync_want wants[WEIR_WANTS_PER_MESSAGE + 1];
    (void) state;
    memset (marks, 5, sizeof marks);
    memset (wants, 6, sizeof wants);
    wants[0].from_seq = WEIR_SYNC_FROM_UNKNOWN;
    wants[1].from_seq = 0;
    struct weir_sync_message m = {
        .type = WEIR_SYNC_ANNOUNCE, .tag = 7, .n_marks = 3, .marks = marks
    };
    memset (m.digest.b, 8, sizeof m.digest.b);
    assert_int_equal (travel (&m, &back), WEIR_OK);
    assert_true (back.type == WEIR_SYNC_ANNOUNCE && back.tag == 7 && back.n_marks == 3);
    assert_memory_equal (back.marks, marks, 3 * sizeof marks[0]);
    assert_true (weir_id_equal (&back.digest, &m.digest));
    m.n_marks = 0; /* the digest alone */
    assert_int_equal (travel (&m, &back), WEIR_OK);
    assert_int_equal (back.n_marks, 0);
    m.n_marks = WEIR_MARKS_PER_MESSAGE + 1;
    assert_int_equal (travel (&m, &back), WEIR_BAD_MESSAGE);
    m.type = WEIR_SYNC_GRAFT;
    assert_int_equal (travel (&m, &back), WEIR_BAD_MESSAGE);
    m.n_marks = WEIR_MARKS_PER_MESSAGE;
    assert_int_equal (travel (&m, &back), WEIR_OK);
    assert_true (back.type == WEIR_SYNC_GRAFT && back.n_marks == WEIR_MARKS_PER_MESSAGE);
    m = (struct weir_sync_message){ .type = WEIR_SYNC_PRUNE, .tag = 9 };
    assert_int_equal (travel (&m, &back), WEIR_OK);
    assert_true (back.type == WEIR_SYNC_PRUNE && back.tag == 9);
    m = (struct weir_sync_message){
        .type = WEIR_SYNC_WANT, .tag = 9, .n_wants = 2, .wants = wants
    };
    assert_int_equal (travel (&m, &back), WEIR_OK);
    assert_true (back.type == WEIR_SYNC_WANT && back.n_wants == 2);
    assert_memory_equal (back.wants, wants, 2 * sizeof wants[0]);
    m.n_wants = WEIR_WANTS_PER_MESSAGE + 1;
    assert_int_equal (travel (&m, &back), WEIR_BAD_MESSAGE);

    /* Lists of two lengths, no digest, an id that is none. */
    uint64_t numbers[2] = { 1, 2 };
    Weir__Announce announce = WEIR__ANNOUNCE__INIT;
    assert_int_equal (wire_to_sync (WEIR_KIND_W_ANNOUNCE, &announce.base, arena, &back),
                      WEIR_BAD_MESSAGE);
    Weir__Graft graft = WEIR__GRAFT__INIT;
    graft.n_chains = 2;
    graft.chains = numbers;
    assert_int_equal (wire_to_sync (WEIR_KIND_W_GRAFT, &graft.base, arena, &back),
                      WEIR_BAD_MESSAGE);
    Weir__Wanted wanted = WEIR__WANTED__INIT;
    Weir__Wanted *items[] = { &wanted };
    Weir__Want want = WEIR__WANT__INIT;
    want.n_items = 1;
    want.items = items;
    assert_int_equal (wire_to_sync (WEIR_KIND_W_WANT, &want.base, arena, &back), WEIR_BAD_MESSAGE);
}

static void
not_the_synchronizers (void **state)
{
    struct weir_sync_message out;
    Weir__Hello hello = WEIR__HELLO__INIT;
    (void) state;
    assert_int_equal (wire_to_sync (WEIR_KIND_W_HELLO, &hello.base, arena, &out),
                      WEIR_UNKNOWN_KIND);
    assert_int_equal (wire_to_sync (0, &hello.base, arena, &out), WEIR_UNKNOWN_KIND);
}

/* Statuses of the future, tags of nothing: no crash, no more than the arena. */
static void
random_bytes (void **state)
{
    struct weir_rand rand;
    (void) state;
    weir_rand_init (&rand, 11);
    for (int i = 0; i < 20000; i++) {
        uint8_t bytes[96];
        ProtobufCMessage *meta = NULL;
        struct weir_sync_message out;
        uint16_t kind = (uint16_t) (WEIR_KIND_W_DIGESTS + weir_rand_below (&rand, 10));
        size_t n = (size_t) weir_rand_below (&rand, sizeof bytes);
        weir_rand_bytes (&rand, bytes, n);
        if (n > 2) {
            bytes[0] =
                (uint8_t) (8 * (1 + weir_rand_below (&rand, 7)) + weir_rand_below (&rand, 6));
        }
        struct weir_arena *small = weir_arena_new (1u << 20);
        if (weir_meta_get (&meta, small, weir_kind (kind), false, weir_bytes (bytes, n))
            == WEIR_OK) {
            enum weir_status status = wire_to_sync (kind, meta, small, &out);
            assert_true (status == WEIR_OK || status == WEIR_BAD_MESSAGE
                         || status == WEIR_TOO_LARGE);
        }
        weir_arena_destroy (&small);
    }
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown (round_trips, set_up, tear_down),
        cmocka_unit_test_setup_teardown (tree_round_trips, set_up, tear_down),
        cmocka_unit_test_setup_teardown (ranges_and_rows, set_up, tear_down),
        cmocka_unit_test_setup_teardown (not_the_synchronizers, set_up, tear_down),
        cmocka_unit_test_setup_teardown (random_bytes, set_up, tear_down),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
