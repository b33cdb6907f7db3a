/* Goal: items come out smallest first, whatever was pushed, popped and removed before. */

#include "tests/store/base/unit.h"

#include "store/base/heap.h"
#include "store/base/rand.h"

#define ITEMS 300

static int
compare (const void *a, const void *b)
{
    const uint64_t *x = a;
    const uint64_t *y = b;
    return (*x > *y) - (*x < *y);
}

static void
test_empty (void **state)
{
    (void) state;
    struct weir_heap h;
    uint64_t item = 1;
    weir_heap_init (&h, compare);
    assert_null (weir_heap_peek (&h));
    assert_null (weir_heap_pop (&h));
    weir_heap_remove (&h, &item);
    weir_heap_push (&h, &item);
    assert_ptr_equal (weir_heap_peek (&h), &item);
    assert_ptr_equal (weir_heap_pop (&h), &item);
    assert_null (weir_heap_pop (&h));
    weir_heap_fini (&h);
    assert_int_equal (h.count, 0);
}

static void
test_order (void **state)
{
    (void) state;
    uint64_t items[ITEMS];
    struct weir_rand rand;
    struct weir_heap h;
    weir_rand_init (&rand, 5);
    weir_heap_init (&h, compare);
    for (unsigned round = 0; round < 20; round++) {
        size_t removed = 0;
        for (size_t i = 0; i < ITEMS; i++) {
            items[i] = weir_rand_below (&rand, round % 2 == 0 ? 10 : 100000);
            weir_heap_push (&h, &items[i]);
        }
        for (size_t i = 0; i < ITEMS; i += 1 + (size_t) weir_rand_below (&rand, 6)) {
            weir_heap_remove (&h, &items[i]);
            weir_heap_remove (&h, &items[i]); /* absent is fine */
            removed++;
        }
        uint64_t last = 0;
        for (size_t i = 0; i < ITEMS - removed; i++) {
            const uint64_t *peeked = weir_heap_peek (&h);
            const uint64_t *popped = weir_heap_pop (&h);
            assert_ptr_equal (peeked, popped);
            assert_true (*popped >= last);
            last = *popped;
        }
        assert_null (weir_heap_pop (&h));
    }
    weir_heap_fini (&h);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_empty),
        cmocka_unit_test (test_order),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
