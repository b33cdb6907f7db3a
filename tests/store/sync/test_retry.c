/* Goal: one item for a pair, tried at 2^attempts seconds with jitter up to a bound, at once when
 * the peer is heard from, parked when it is pointless, and never lost: every line and every
 * boundary of the schedule. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "store/sync/retry.h"
#include "store/base/limits.h"

static const struct weir_retry_options options = {
    .max_attempts = 3,
    .check_interval_ms = 1000,
    .max_queue_age_ms = 300000,
    .max_queue_size = 1000,
    .parked_ms = 1000000,
    .seed = 7,
};

static struct weir_id
id (unsigned n)
{
    struct weir_id i = { { 0 } };
    i.b[0] = (uint8_t) (n >> 8);
    i.b[1] = (uint8_t) n;
    i.b[2] = 1;
    return i;
}

static void
test_back_off (void **state)
{
    (void) state;
    struct weir_retry *r = weir_retry_new (&options);
    struct weir_id p = id (1), d = id (2);
    for (unsigned n = 1; n < 40; n++) {
        const struct weir_retry_item *item = weir_retry_failed (r, &p, &d, WEIR_TIMED_OUT, 5000);
        uint64_t delay = item->next_ms - 5000;
        uint64_t want = n < 6 ? 1000u << n : 64000;
        assert_int_equal (item->attempts, n);
        assert_false (item->parked);
        assert_true (delay >= want * 3 / 4 && delay <= want * 5 / 4 && delay <= 64000);
        assert_int_equal (item->since_ms, 5000);
    }
    assert_int_equal (weir_retry_count (r, NULL), 1);
    assert_true (weir_retry_done (r, &p, &d));
    assert_false (weir_retry_done (r, &p, &d));
    assert_int_equal (weir_retry_next_ms (r), UINT64_MAX);
    assert_null (weir_retry_at (r, 0));
    weir_retry_destroy (&r);
    weir_retry_destroy (&r);
}

static void
test_due_in_order (void **state)
{
    (void) state;
    struct weir_retry *r = weir_retry_new (&options);
    assert_null (weir_retry_due (r, 0)); /* looked: not again before 1000 */
    for (unsigned n = 0; n < 100; n++) {
        struct weir_id p = id (n % 10), d = id (n / 10);
        weir_retry_failed (r, &p, &d, WEIR_TIMED_OUT, n);
    }
    uint64_t next = weir_retry_next_ms (r);
    assert_true (next >= 1500 && next < 2600);
    assert_null (weir_retry_due (r, next - 1));
    size_t tried = 0;
    uint64_t last = 0;
    const struct weir_retry_item *item;
    uint64_t seen[100] = { 0 };
    for (size_t i = 0; i < 100; i++) {
        seen[i] = weir_retry_at (r, i)->next_ms;
        last = seen[i] > last ? seen[i] : last;
    }
    weir_retry_configure (r, &options); /* looks at once */
    while ((item = weir_retry_due (r, last))) {
        assert_true (item->next_ms > last);
        tried++;
        assert_true (tried <= 100);
    }
    assert_int_equal (tried, 100);
    /* The timer has looked: nothing sooner than the check interval, whatever is due. */
    struct weir_id p = id (1), d = id (1);
    struct weir_retry_options hasty = options;
    hasty.max_queue_age_ms = 10;
    weir_retry_configure (r, &hasty);
    assert_null (weir_retry_due (r, last));
    item = weir_retry_failed (r, &p, &d, WEIR_TIMED_OUT, last);
    assert_int_equal (item->next_ms, last + 10); /* held no longer than max_queue_age */
    assert_int_equal (weir_retry_next_ms (r), last + 1000);
    assert_null (weir_retry_due (r, last + 999));
    assert_non_null (weir_retry_due (r, last + 1000));
    weir_retry_destroy (&r);
}

static void
test_ties (void **state)
{
    (void) state;
    struct weir_retry *r = weir_retry_new (&options);
    struct weir_retry_item item = { .attempts = 1, .next_ms = 50 };
    const struct {
        unsigned device, db;
        uint64_t since;
    } rows[] = {
        { 2, 2, 9 },
        { 2, 1, 9 },
        { 1, 5, 9 },
        { 9, 9, 1 },
    };
    for (size_t i = 0; i < 4; i++) {
        item.device = id (rows[i].device);
        item.db = id (rows[i].db);
        item.since_ms = rows[i].since;
        weir_retry_load (r, &item);
        weir_retry_load (r, &item); /* a row seen twice is one item */
    }
    assert_int_equal (weir_retry_count (r, NULL), 4);
    for (size_t i = 4; i > 0; i--) {
        const struct weir_retry_item *due = weir_retry_due (r, 50);
        struct weir_id device = id (rows[i - 1].device), db = id (rows[i - 1].db);
        assert_true (weir_id_equal (&due->device, &device));
        assert_true (weir_id_equal (&due->db, &db));
    }
    assert_null (weir_retry_due (r, 50));
    weir_retry_destroy (&r);
}

static void
test_parking (void **state)
{
    (void) state;
    struct weir_retry *r = weir_retry_new (&options);
    struct weir_id p = id (1), q = id (2), d = id (3);
    const struct weir_retry_item *item = NULL;
    for (int i = 0; i < 3; i++) {
        assert_true (!item || !item->parked);
        item = weir_retry_failed (r, &p, &d, WEIR_REMOVED, 100);
    }
    assert_true (item->parked);
    assert_int_equal (item->next_ms, UINT64_MAX);
    assert_int_equal (item->why, WEIR_REMOVED);
    item = weir_retry_failed (r, &p, &d, WEIR_REMOVED, 100);
    assert_true (item->parked);
    item = weir_retry_failed (r, &p, &d, WEIR_TIMED_OUT, 100);
    assert_true (item->parked); /* until heard or revived */
    size_t parked;
    weir_retry_failed (r, &q, &d, WEIR_TIMED_OUT, 100);
    assert_int_equal (weir_retry_count (r, &parked), 2);
    assert_int_equal (parked, 1);
    /* Heard: one more try, then parked again; by hand: all tries anew. */
    struct weir_id stranger = id (9);
    assert_int_equal (weir_retry_heard (r, &stranger, 200), 0);
    assert_int_equal (weir_retry_heard (r, &p, 200), 1);
    assert_int_equal (weir_retry_next_ms (r), 200);
    item = weir_retry_due (r, 200);
    assert_true (weir_id_equal (&item->device, &p));
    assert_null (weir_retry_due (r, 200));
    assert_true (weir_retry_failed (r, &p, &d, WEIR_BLOCKED, 300)->parked);
    assert_int_equal (weir_retry_revive (r, &p, 400), 1);
    assert_false (weir_retry_failed (r, &p, &d, WEIR_BLOCKED, 500)->parked);
    assert_int_equal (weir_retry_revive (r, NULL, 600), 2);
    assert_int_equal (weir_retry_revive (r, &stranger, 600), 0);
    assert_int_equal (weir_retry_count (r, &parked), 2);
    assert_int_equal (parked, 0);
    weir_retry_destroy (&r);
}

static void
test_expiry (void **state)
{
    (void) state;
    struct weir_retry *r = weir_retry_new (&options);
    struct weir_retry_item item = { .parked = true, .next_ms = UINT64_MAX, .attempts = 3 };
    for (unsigned n = 0; n < 10; n++) {
        item.device = id (n);
        item.db = id (n);
        item.since_ms = 1000 + n;
        item.parked = n % 2 == 0;
        item.next_ms = item.parked ? UINT64_MAX : 1;
        weir_retry_load (r, &item);
    }
    struct weir_retry_item gone;
    assert_false (weir_retry_expire (r, 1000, &gone));
    assert_false (weir_retry_expire (r, 1000 + 1000000, &gone));
    size_t count = 0;
    while (weir_retry_expire (r, 1000 + 1000000 + 5, &gone)) {
        assert_true (gone.parked && gone.since_ms < 1005);
        count++;
    }
    assert_int_equal (count, 3); /* of 1000, 1002 and 1004 */
    size_t parked;
    assert_int_equal (weir_retry_count (r, &parked), 7);
    assert_int_equal (parked, 2);
    weir_retry_destroy (&r);
}

static void
test_full_queue_hurries (void **state)
{
    (void) state;
    struct weir_retry_options small = options;
    small.max_queue_size = 4;
    struct weir_retry *r = weir_retry_new (&small);
    struct weir_id p = id (1);
    assert_null (weir_retry_due (r, 100));
    for (unsigned n = 0; n < 3; n++) {
        struct weir_id d = id (n);
        weir_retry_failed (r, &p, &d, WEIR_TIMED_OUT, 100);
    }
    assert_null (weir_retry_due (r, 101));
    struct weir_id d = id (3);
    weir_retry_failed (r, &p, &d, WEIR_TIMED_OUT, 101);
    for (int i = 0; i < 4; i++) {
        assert_non_null (weir_retry_due (r, 101));
    }
    assert_null (weir_retry_due (r, 101)); /* once, not for ever */
    weir_retry_failed (r, &p, &d, WEIR_TIMED_OUT, 102);
    assert_null (weir_retry_due (r, 102));
    weir_retry_destroy (&r);
}

static void
test_drop (void **state)
{
    (void) state;
    struct weir_retry *r = weir_retry_new (&options);
    struct weir_id p = id (1), q = id (2);
    for (unsigned n = 0; n < 6; n++) {
        struct weir_id d = id (n);
        weir_retry_failed (r, n % 2 ? &p : &q, &d, WEIR_TIMED_OUT, n);
    }
    struct weir_id d1 = id (1);
    assert_null (weir_retry_find (r, &q, &d1));
    assert_int_equal (weir_retry_find (r, &p, &d1)->attempts, 1);
    assert_int_equal (weir_retry_drop (r, &q, &d1), 0);
    assert_int_equal (weir_retry_drop (r, &p, &d1), 1);
    assert_int_equal (weir_retry_drop (r, &p, NULL), 2);
    assert_int_equal (weir_retry_drop (r, &p, NULL), 0);
    assert_int_equal (weir_retry_count (r, NULL), 3);
    weir_retry_destroy (&r);
}

static void
test_clock_steps_back (void **state)
{
    (void) state;
    struct weir_retry *r = weir_retry_new (&options);
    struct weir_retry_item item = { .attempts = UINT32_MAX, .next_ms = 10000000 };
    weir_retry_load (r, &item);
    const struct weir_retry_item *due = weir_retry_due (r, 50);
    assert_non_null (due);
    assert_true (due->next_ms <= 50 + 64001);
    due = weir_retry_failed (r, &item.device, &item.db, WEIR_IO_ERROR, 60);
    assert_int_equal (due->attempts, UINT32_MAX);
    weir_retry_destroy (&r);

    /* The timer looked an hour from now, as the clock says since: it does not wait that hour. */
    r = weir_retry_new (&options);
    assert_null (weir_retry_due (r, 3600000));
    weir_retry_load (r, &item);
    assert_null (weir_retry_due (r, 3600500));
    assert_non_null (weir_retry_due (r, 50));
    weir_retry_destroy (&r);
}

static void
test_rows (void **state)
{
    (void) state;
    struct weir_retry_item item = { .device = id (5),
                                    .db = id (6),
                                    .attempts = 4,
                                    .since_ms = 1,
                                    .next_ms = 2,
                                    .why = WEIR_TIMED_OUT };
    struct weir_buf b = { 0 };
    weir_retry_item_put (&item, &b);
    struct weir_retry_item got;
    assert_int_equal (weir_retry_item_get (&got, weir_buf_bytes (&b)), WEIR_OK);
    assert_true (weir_id_equal (&got.device, &item.device));
    assert_true (weir_id_equal (&got.db, &item.db));
    assert_int_equal (got.attempts, 4);
    assert_int_equal (got.since_ms, 1);
    assert_int_equal (got.next_ms, 2);
    assert_int_equal (got.why, WEIR_TIMED_OUT);
    assert_false (got.parked);
    for (size_t len = 0; len < b.len; len++) {
        assert_int_equal (weir_retry_item_get (&got, weir_bytes (b.data, len)), WEIR_CORRUPT);
    }
    b.data[b.len - 1] = 2;
    assert_int_equal (weir_retry_item_get (&got, weir_buf_bytes (&b)), WEIR_CORRUPT);
    b.data[b.len - 1] = 1; /* parked, yet due */
    assert_int_equal (weir_retry_item_get (&got, weir_buf_bytes (&b)), WEIR_CORRUPT);
    b.data[b.len - 1] = 0;
    b.data[0] = 9;
    assert_int_equal (weir_retry_item_get (&got, weir_buf_bytes (&b)), WEIR_CORRUPT);
    weir_buf_clear (&b);
    item.parked = true;
    item.next_ms = UINT64_MAX;
    weir_retry_item_put (&item, &b);
    assert_int_equal (weir_retry_item_get (&got, weir_buf_bytes (&b)), WEIR_OK);
    assert_true (got.parked);
    weir_buf_fini (&b);
}

static void
test_reasons (void **state)
{
    (void) state;
    assert_true (weir_retry_is_persistent (WEIR_BAD_ADDRESS));
    assert_true (weir_retry_is_persistent (WEIR_INCOMPATIBLE));
    assert_true (weir_retry_is_persistent (WEIR_REMOVED));
    assert_false (weir_retry_is_persistent (WEIR_TIMED_OUT));
    assert_false (weir_retry_is_persistent (WEIR_BUSY));
    assert_false (weir_retry_is_persistent (WEIR_OK));
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_back_off), cmocka_unit_test (test_due_in_order),
        cmocka_unit_test (test_ties),     cmocka_unit_test (test_parking),
        cmocka_unit_test (test_expiry),   cmocka_unit_test (test_full_queue_hurries),
        cmocka_unit_test (test_drop),     cmocka_unit_test (test_clock_steps_back),
        cmocka_unit_test (test_rows),     cmocka_unit_test (test_reasons),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
