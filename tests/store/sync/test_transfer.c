/* Goal: what the sender is fed reaches the receiver as the same bytes, in order, within the
 * limit, whatever the frames; acknowledgements count entries exactly once; hostile, repeated and
 * late frames and acknowledgements change nothing but their status. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "store/sync/transfer.h"
#include "store/base/limits.h"
#include "store/base/rand.h"

static const struct weir_id digest_one = { { 1 } };
static const struct weir_id digest_two = { { 2 } };

static struct weir_ranges
ranges_of (uint64_t from, uint64_t to)
{
    struct weir_ranges r = { 0 };
    struct weir_range one = { .from_seq = from, .to_seq = to };
    weir_ranges_add (&r, &one, &weir_id_zero);
    return r;
}

static void
feed (struct weir_out *out, uint64_t from, uint64_t to, const struct weir_id *digest)
{
    struct weir_ranges r = ranges_of (from, to);
    weir_out_feed (out, &r, digest);
    weir_ranges_fini (&r);
}

/* Reads what is wanted: each entry is `size` bytes with its seq in the first eight. */
static void
read_all (struct weir_out *out, size_t size)
{
    struct weir_range range;
    uint64_t seq;
    size_t max;
    while (weir_out_wants (out, WEIR_FRAME_BYTES_MAX / 2, &range, &seq, &max)) {
        struct weir_buf b = { 0 };
        do {
            weir_buf_put_u64 (&b, seq++);
            for (size_t i = 8; i < size; i++) {
                weir_buf_put_u8 (&b, (uint8_t) i);
            }
        } while (seq < range.to_seq && b.len + size <= max);
        weir_out_bytes (out, weir_buf_bytes (&b), seq);
        weir_buf_fini (&b);
    }
}

static void
test_all_arrives_in_order (void **state)
{
    (void) state;
    struct weir_out *out = weir_out_new (0);
    struct weir_in *in = weir_in_new (0);
    weir_out_limit (out, weir_in_limit (in));
    feed (out, 0, 30000, &digest_one);
    feed (out, 30000, 40000, &digest_two);
    uint64_t now = 0;
    uint64_t next = 0;
    uint64_t acked = 0;
    bool told = false;
    while (!weir_out_idle (out)) {
        read_all (out, 100);
        uint64_t offset;
        struct weir_bytes bytes;
        struct weir_id digest;
        assert_true (weir_out_frame (out, now, WEIR_FRAME_BYTES_FIRST, &offset, &bytes, &digest));
        assert_true (bytes.len <= WEIR_FRAME_BYTES_FIRST);
        assert_int_equal (weir_in_frame (in, offset, bytes, &digest), WEIR_OK);
        assert_int_equal (weir_in_frame (in, offset, bytes, &digest), WEIR_EXISTS);
        while (weir_in_bytes (in).len >= 100) {
            assert_int_equal (weir_load_u64 (weir_in_bytes (in).data), next);
            next++;
            weir_in_consume (in, 100);
        }
        struct weir_id theirs = weir_in_digest (in);
        if (!weir_id_is_zero (&theirs)) {
            assert_true (weir_id_equal (&theirs, &digest_two));
            told = true;
        }
        uint64_t limit;
        now += 10;
        if (weir_in_durable (in, weir_in_consumed (in), now, &limit)) {
            uint64_t entries;
            weir_out_limit (out, limit);
            assert_int_equal (weir_out_ack (out, weir_in_consumed (in), now, &entries), WEIR_OK);
            acked += entries;
            assert_int_equal (weir_out_ack (out, weir_in_consumed (in), now, &entries), WEIR_OK);
            assert_int_equal (entries, 0);
        }
    }
    assert_int_equal (next, 40000);
    assert_int_equal (acked, 40000);
    assert_int_equal (weir_out_take_received (out), 4000000);
    assert_int_equal (weir_out_take_received (out), 0);
    assert_true (told);
    struct weir_id none = weir_in_digest (in);
    assert_true (weir_id_is_zero (&none));
    weir_out_destroy (&out);
    weir_in_destroy (&in);
    weir_out_destroy (&out);
    weir_in_destroy (&in);
}

static void
test_limit_is_never_passed (void **state)
{
    (void) state;
    struct weir_out *out = weir_out_new (0);
    feed (out, 0, 1000, &digest_one);
    read_all (out, 100);
    uint64_t offset;
    struct weir_bytes bytes;
    struct weir_id digest;
    uint64_t entries;
    assert_false (weir_out_frame (out, 0, WEIR_FRAME_BYTES_FIRST, &offset, &bytes, &digest));
    weir_out_limit (out, 1000);
    assert_true (weir_out_frame (out, 0, WEIR_FRAME_BYTES_FIRST, &offset, &bytes, &digest));
    assert_int_equal (bytes.len, 1000);
    assert_true (weir_id_is_zero (&digest));
    assert_false (weir_out_frame (out, 0, WEIR_FRAME_BYTES_FIRST, &offset, &bytes, &digest));
    /* A crumb waits for the acknowledgement, and limits only grow. */
    weir_out_limit (out, 1010);
    weir_out_limit (out, 5);
    assert_false (weir_out_frame (out, 0, WEIR_FRAME_BYTES_FIRST, &offset, &bytes, &digest));
    assert_int_equal (weir_out_ack (out, 1000, 1, &entries), WEIR_OK);
    assert_int_equal (entries, 0); /* the read was larger: not all of it is durable */
    assert_true (weir_out_frame (out, 1, WEIR_FRAME_BYTES_FIRST, &offset, &bytes, &digest));
    assert_int_equal (bytes.len, 10);
    assert_int_equal (weir_out_ack (out, 1011, 1, &entries), WEIR_BAD_FRAME);
    weir_out_destroy (&out);
}

/* What was received and is not durable yet makes nothing safe, but says that the other lives. */
static void
test_receipts (void **state)
{
    (void) state;
    struct weir_out *out = weir_out_new (0);
    uint64_t offset;
    struct weir_bytes bytes;
    struct weir_id digest;
    uint64_t entries;
    weir_out_limit (out, UINT64_MAX);
    feed (out, 0, 100, &digest_one);
    read_all (out, 100);
    assert_true (weir_out_frame (out, 0, 6000, &offset, &bytes, &digest));
    assert_int_equal (bytes.len, 6000);
    assert_true (weir_out_frame (out, 0, 6000, &offset, &bytes, &digest));
    assert_int_equal (bytes.len, 4000);
    assert_int_equal (weir_out_received (out, 10001, 5), WEIR_BAD_FRAME);
    assert_int_equal (weir_out_received (out, 4000, WEIR_TRANSFER_STALL_MS - 1), WEIR_OK);
    assert_int_equal (weir_out_received (out, 3000, WEIR_TRANSFER_STALL_MS), WEIR_OK); /* late */
    assert_false (weir_out_stalled (out, WEIR_TRANSFER_STALL_MS));
    assert_true (weir_out_stalled (out, 2 * WEIR_TRANSFER_STALL_MS));
    assert_int_equal (weir_out_take_received (out), 4000);
    struct weir_ranges acked = weir_out_take_acked (out);
    assert_int_equal (acked.count, 0);
    assert_int_equal (weir_out_ack (out, 10000, 5, &entries), WEIR_OK);
    assert_int_equal (entries, 100);
    assert_int_equal (weir_out_take_received (out), 6000);
    weir_out_destroy (&out);
    /* The other end: told once, whatever of it is consumed. */
    struct weir_in *in = weir_in_new (0);
    uint8_t junk[100] = { 0 };
    assert_int_equal (weir_in_received (in), 0);
    assert_int_equal (weir_in_frame (in, 0, weir_bytes (junk, 100), &weir_id_zero), WEIR_OK);
    weir_in_consume (in, 60);
    assert_int_equal (weir_in_received (in), 100);
    assert_int_equal (weir_in_consumed (in), 60);
    weir_in_destroy (&in);
}

/* The credit is what becomes durable in a second, between one run and what was told at first. */
static void
test_credit_follows_what_is_durable (void **state)
{
    (void) state;
    static const struct {
        uint64_t bytes_per_s;
        uint64_t credit;
        uint64_t ms;
    } table[] = {
        { 32000, WEIR_CREDIT_BYTES_MIN, 200000 },
        { 2000000, 2000000, 10000 },
        { 50000000, WEIR_CREDIT_BYTES, 2000 },
    };
    static uint8_t junk[WEIR_FRAME_BYTES_MAX];
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct weir_in *in = weir_in_new (WEIR_CREDIT_BYTES);
        uint64_t limit = weir_in_limit (in);
        uint64_t before = limit;
        uint64_t at = 0;
        for (uint64_t now = 1; now < table[i].ms; now += 50) {
            uint64_t left = table[i].bytes_per_s / 20;
            while (left > 0) {
                uint64_t n = left < sizeof junk ? left : sizeof junk;
                assert_int_equal (
                    weir_in_frame (in, at, weir_bytes (junk, (size_t) n), &weir_id_zero), WEIR_OK);
                weir_in_consume (in, (size_t) n);
                at += n;
                left -= n;
                assert_true (weir_in_durable (in, at, now, &limit));
                assert_true (limit >= before); /* what was given is not taken back */
                before = limit;
            }
        }
        assert_in_range (limit - at, table[i].credit * 9 / 10, table[i].credit * 11 / 10);
        weir_in_destroy (&in);
    }
}

static void
test_nothing_to_read_tells_the_digest (void **state)
{
    (void) state;
    struct weir_out *out = weir_out_new (0);
    weir_out_limit (out, 1 << 20);
    struct weir_ranges none = { 0 };
    assert_true (weir_out_idle (out));
    weir_out_feed (out, &none, &digest_one);
    assert_false (weir_out_idle (out));
    uint64_t offset;
    struct weir_bytes bytes;
    struct weir_id digest;
    assert_true (weir_out_frame (out, 0, WEIR_FRAME_BYTES_FIRST, &offset, &bytes, &digest));
    assert_int_equal (bytes.len, 0);
    assert_true (weir_id_equal (&digest, &digest_one));
    assert_true (weir_out_idle (out));
    /* The same at the other end. */
    struct weir_in *in = weir_in_new (WEIR_CREDIT_BYTES);
    assert_int_equal (weir_in_frame (in, 0, bytes, &digest), WEIR_OK);
    assert_int_equal (weir_in_frame (in, 0, bytes, &weir_id_zero), WEIR_OK);
    struct weir_id theirs = weir_in_digest (in);
    assert_true (weir_id_equal (&theirs, &digest_one));
    uint64_t limit;
    assert_false (weir_in_durable (in, 0, 1, &limit));
    weir_in_destroy (&in);
    /* A range the store could not read is skipped. */
    feed (out, 7, 19, &digest_two);
    struct weir_range range;
    uint64_t seq;
    size_t max;
    assert_true (weir_out_wants (out, WEIR_FRAME_BYTES_MAX / 2, &range, &seq, &max));
    assert_int_equal (seq, 7);
    weir_out_bytes (out, weir_bytes (NULL, 0), range.to_seq);
    assert_false (weir_out_wants (out, WEIR_FRAME_BYTES_MAX / 2, &range, &seq, &max));
    assert_true (weir_out_frame (out, 0, WEIR_FRAME_BYTES_FIRST, &offset, &bytes, &digest));
    assert_false (weir_out_frame (out, 0, WEIR_FRAME_BYTES_FIRST, &offset, &bytes, &digest));
    /* An empty range is not even queued. */
    feed (out, 9, 9, &digest_two);
    assert_false (weir_out_wants (out, WEIR_FRAME_BYTES_MAX / 2, &range, &seq, &max));
    weir_out_destroy (&out);
}

static void
test_stall (void **state)
{
    (void) state;
    struct weir_out *out = weir_out_new (0);
    weir_out_limit (out, 1 << 20);
    assert_false (weir_out_stalled (out, 1000000));
    feed (out, 0, 2, &digest_one);
    read_all (out, 100);
    uint64_t offset;
    struct weir_bytes bytes;
    struct weir_id digest;
    assert_true (weir_out_frame (out, 1000000, WEIR_FRAME_BYTES_FIRST, &offset, &bytes, &digest));
    assert_false (weir_out_stalled (out, 999999));
    assert_false (weir_out_stalled (out, 1000000 + WEIR_TRANSFER_STALL_MS - 1));
    assert_true (weir_out_stalled (out, 1000000 + WEIR_TRANSFER_STALL_MS));
    uint64_t entries;
    assert_int_equal (weir_out_ack (out, 200, 1000001, &entries), WEIR_OK);
    assert_int_equal (entries, 2);
    assert_false (weir_out_stalled (out, 2000000));
    weir_out_destroy (&out);
}

static void
test_hostile_frames (void **state)
{
    (void) state;
    uint8_t *junk = weir_alloc (WEIR_FRAME_BYTES_MAX + 1);
    static const struct {
        uint64_t offset;
        size_t len;
        enum weir_status want;
    } table[] = {
        { 0, WEIR_FRAME_BYTES_MAX + 1, WEIR_BAD_FRAME },
        { 1, 10, WEIR_GAP },
        { UINT64_MAX, WEIR_FRAME_BYTES_MAX, WEIR_GAP },
        { 0, WEIR_FRAME_BYTES_MAX, WEIR_OK },
        { 0, 10, WEIR_EXISTS },
        { WEIR_FRAME_BYTES_MAX - 1, 10, WEIR_EXISTS },
        { WEIR_FRAME_BYTES_MAX + 1, 0, WEIR_GAP },
    };
    struct weir_in *in = weir_in_new (0);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        assert_int_equal (
            weir_in_frame (in, table[i].offset, weir_bytes (junk, table[i].len), &weir_id_zero),
            table[i].want);
    }
    assert_int_equal (weir_in_bytes (in).len, WEIR_FRAME_BYTES_MAX);
    /* Up to the credit, and not a byte more. */
    uint64_t at = WEIR_FRAME_BYTES_MAX;
    assert_int_equal (weir_in_limit (in), WEIR_CREDIT_BYTES_MIN);
    while (at < weir_in_limit (in)) {
        uint64_t len = weir_in_limit (in) - at;
        len = len < 100000 ? len : 100000;
        assert_int_equal (weir_in_frame (in, at, weir_bytes (junk, (size_t) len), &digest_one),
                          WEIR_OK);
        at += len;
    }
    assert_int_equal (weir_in_frame (in, at, weir_bytes (junk, 1), &digest_one), WEIR_BAD_FRAME);
    /* A digest is not told before what it ends is consumed. */
    struct weir_id none = weir_in_digest (in);
    assert_true (weir_id_is_zero (&none));
    weir_in_consume (in, (size_t) at - 5);
    uint64_t limit;
    assert_true (weir_in_durable (in, at - 5, 1, &limit));
    assert_int_equal (limit, at - 5 + WEIR_CREDIT_BYTES_MIN);
    assert_false (weir_in_durable (in, at - 6, 1, &limit));
    assert_int_equal (weir_in_frame (in, at, weir_bytes (junk, 1), &weir_id_zero), WEIR_OK);
    weir_in_consume (in, 6);
    none = weir_in_digest (in);
    assert_true (weir_id_is_zero (&none)); /* more came behind it */
    weir_in_destroy (&in);
    free (junk);
}

static void
test_many_marks (void **state)
{
    (void) state;
    struct weir_out *out = weir_out_new (0);
    weir_out_limit (out, UINT64_MAX);
    uint64_t total = 0;
    for (uint64_t i = 0; i < 1000; i++) {
        feed (out, i, i + 1, &digest_one);
        read_all (out, 50);
        uint64_t offset;
        struct weir_bytes bytes;
        struct weir_id digest;
        assert_true (weir_out_frame (out, i, WEIR_FRAME_BYTES_FIRST, &offset, &bytes, &digest));
        assert_true (weir_id_equal (&digest, &digest_one));
        if (i >= 3) { /* always three behind */
            uint64_t entries;
            assert_int_equal (weir_out_ack (out, (i - 2) * 50, i, &entries), WEIR_OK);
            total += entries;
        }
    }
    assert_int_equal (total, 997);
    weir_out_destroy (&out);
}

/* What the peer holds is told by ranges, once each, and only when all of one is there. */
static void
test_acked_ranges (void **state)
{
    (void) state;
    struct weir_out *out = weir_out_new (0);
    uint64_t offset = 0;
    struct weir_bytes bytes;
    struct weir_id digest;
    uint64_t entries;
    weir_out_limit (out, UINT64_MAX);
    feed (out, 0, 4, &digest_one);
    feed (out, 9, 10, &digest_one);
    read_all (out, 50);
    assert_true (weir_out_frame (out, 0, WEIR_FRAME_BYTES_FIRST, &offset, &bytes, &digest));
    assert_int_equal (bytes.len, 250);
    assert_int_equal (weir_out_ack (out, 199, 1, &entries), WEIR_OK);
    struct weir_ranges acked = weir_out_take_acked (out);
    assert_int_equal (acked.count, 0); /* a part of it may be missing */
    assert_int_equal (weir_out_ack (out, 250, 2, &entries), WEIR_OK);
    assert_int_equal (weir_out_ack (out, 200, 2, &entries), WEIR_OK); /* late */
    acked = weir_out_take_acked (out);
    assert_int_equal (acked.count, 2);
    assert_int_equal (acked.items[0].to_seq, 4);
    assert_int_equal (acked.items[1].from_seq, 9);
    weir_ranges_fini (&acked);
    acked = weir_out_take_acked (out);
    assert_int_equal (acked.count, 0);
    /* Skipped as unreadable: the peer was never sent it. */
    feed (out, 10, 12, &digest_two);
    weir_out_bytes (out, weir_bytes (NULL, 0), 12);
    assert_true (weir_out_frame (out, 3, WEIR_FRAME_BYTES_FIRST, &offset, &bytes, &digest));
    assert_int_equal (weir_out_ack (out, 250, 3, &entries), WEIR_OK);
    acked = weir_out_take_acked (out);
    assert_int_equal (acked.count, 0);
    weir_out_destroy (&out);
}

/* Nobody takes them: they stay bounded. */
static void
test_acked_ranges_are_bounded (void **state)
{
    (void) state;
    struct weir_out *out = weir_out_new (0);
    weir_out_limit (out, UINT64_MAX);
    for (uint64_t i = 0; i < WEIR_RANGES_PER_MESSAGE + 10; i++) {
        uint64_t offset;
        uint64_t entries;
        struct weir_bytes bytes;
        struct weir_id digest;
        feed (out, i, i + 1, &digest_one);
        read_all (out, 50);
        assert_true (weir_out_frame (out, i, WEIR_FRAME_BYTES_FIRST, &offset, &bytes, &digest));
        assert_int_equal (weir_out_ack (out, (i + 1) * 50, i, &entries), WEIR_OK);
    }
    struct weir_ranges acked = weir_out_take_acked (out);
    assert_int_equal (acked.count, WEIR_RANGES_PER_MESSAGE);
    weir_ranges_fini (&acked);
    weir_out_destroy (&out);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_all_arrives_in_order),
        cmocka_unit_test (test_limit_is_never_passed),
        cmocka_unit_test (test_receipts),
        cmocka_unit_test (test_credit_follows_what_is_durable),
        cmocka_unit_test (test_nothing_to_read_tells_the_digest),
        cmocka_unit_test (test_stall),
        cmocka_unit_test (test_hostile_frames),
        cmocka_unit_test (test_many_marks),
        cmocka_unit_test (test_acked_ranges),
        cmocka_unit_test (test_acked_ranges_are_bounded),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
