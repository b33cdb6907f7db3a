/* Goal: the twin loses on power loss what a disk would lose: any number of unsynced batches from
 * the end, whole ones only, and never a synced one; copies, failures and healing keep their
 * word; and a long history does not grow what is small. */

#include "tests/store/kv/fixture.h"

#include <malloc.h>

/* What is left when `keep` unsynced batches reached the disk. */
static void
assert_crash (const struct weir_kv *kv, size_t keep, const char *expected)
{
    struct weir_kv *after = weir_kv_memory_crash (kv, keep);
    assert_content (after, expected);
    assert_int_equal (weir_kv_synced (after), 0);
    assert_int_equal (weir_kv_status (after), WEIR_OK);
    /* It goes on as a store that was just opened. */
    assert_int_equal (write_text (after, "z=1"), 1);
    weir_kv_memory_sync (after);
    assert_int_equal (weir_kv_get (after, text ("z"), NULL), WEIR_OK);
    weir_kv_close (&after);
}

static void
test_power_loss (void **state)
{
    (void) state;
    struct weir_kv *kv = weir_kv_memory_new ();
    write_text (kv, "a=1 b=1");
    assert_crash (kv, 0, "");
    assert_crash (kv, 1, "a=1 b=1");
    weir_kv_memory_sync (kv);
    assert_int_equal (weir_kv_synced (kv), 1);
    write_text (kv, "a=2 -b c=2");
    write_text (kv, "");
    write_text (kv, "b=4 -a");
    assert_int_equal (weir_kv_synced (kv), 1);
    assert_crash (kv, 0, "a=1 b=1");
    assert_crash (kv, 1, "a=2 c=2");
    assert_crash (kv, 2, "a=2 c=2");
    assert_crash (kv, 3, "b=4 c=2");
    assert_crash (kv, 99, "b=4 c=2");
    assert_content (kv, "b=4 c=2");
    /* The first goes on, and does not hear of what its copies did. */
    weir_kv_memory_sync (kv);
    assert_crash (kv, 0, "b=4 c=2");
    weir_kv_close (&kv);
}

static void
test_copy (void **state)
{
    (void) state;
    struct weir_kv *kv = weir_kv_memory_new ();
    write_text (kv, "a=1 b=1");
    weir_kv_memory_sync (kv);
    write_text (kv, "-a c=2");
    struct weir_kv *copy = weir_kv_memory_copy (kv);
    write_text (kv, "d=3");
    assert_content (copy, "b=1 c=2");
    assert_crash (copy, 0, "b=1 c=2");
    write_text (copy, "e=4");
    assert_content (copy, "b=1 c=2 e=4");
    weir_kv_close (&copy);
    assert_content (kv, "b=1 c=2 d=3");
    weir_kv_close (&kv);
}

static void
test_failure (void **state)
{
    (void) state;
    struct weir_kv *kv = weir_kv_memory_new ();
    assert_int_equal (weir_kv_wait (kv, write_text (kv, "a=1")), WEIR_OK);
    weir_kv_memory_fail (kv, WEIR_DISK_FULL);
    assert_int_equal (weir_kv_status (kv), WEIR_DISK_FULL);
    assert_int_equal (write_text (kv, "b=2"), 2);
    assert_int_equal (write_text (kv, ""), 3);
    weir_kv_memory_sync (kv);
    assert_int_equal (weir_kv_synced (kv), 1);
    assert_int_equal (weir_kv_wait (kv, 2), WEIR_DISK_FULL);
    assert_int_equal (weir_kv_wait (kv, 1), WEIR_OK);
    assert_content (kv, "a=1 b=2");
    assert_crash (kv, 0, "a=1");
    weir_kv_memory_fail (kv, WEIR_OK);
    assert_int_equal (weir_kv_status (kv), WEIR_OK);
    assert_int_equal (weir_kv_synced (kv), 1);
    weir_kv_memory_sync (kv);
    assert_int_equal (weir_kv_synced (kv), 3);
    assert_crash (kv, 0, "a=1 b=2");
    weir_kv_close (&kv);
}

/* The same few keys, 40 MiB of values in turn, of which 10 KiB are alive: the old ones are not
 * kept (the C library counts; a sanitizer's own allocator counts 0). Views stay good over
 * rebuilds. */
static void
test_long_history (void **state)
{
    (void) state;
    struct weir_kv *kv = weir_kv_memory_new ();
    static const uint8_t value[1024];
    struct weir_kv_iter *view = NULL;
    size_t before = mallinfo2 ().uordblks;
    for (unsigned i = 0; i < 40000; i++) {
        uint8_t key = (uint8_t) ('a' + i % 10);
        struct weir_kv_batch *b = weir_kv_batch_new ();
        weir_kv_put (b, weir_bytes (&key, 1), weir_bytes (value, sizeof value));
        (void) weir_kv_write (kv, &b);
        if (i % 3 == 0) {
            weir_kv_memory_sync (kv);
        }
        if (i == 20000) {
            view = weir_kv_iter_new (kv, text (""), text (""), false);
        }
    }
    weir_kv_memory_sync (kv);
    assert_true (mallinfo2 ().uordblks < before + (4u << 20));
    struct weir_bytes key;
    struct weir_bytes got;
    for (unsigned i = 0; i < 10; i++) {
        assert_true (weir_kv_iter_next (view, &key, &got));
        assert_int_equal (key.data[0], 'a' + i);
        assert_int_equal (got.len, sizeof value);
    }
    assert_false (weir_kv_iter_next (view, &key, &got));
    weir_kv_iter_destroy (&view);
    weir_kv_close (&kv);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_power_loss),
        cmocka_unit_test (test_copy),
        cmocka_unit_test (test_failure),
        cmocka_unit_test (test_long_history),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
