/* Goal: a seed gives the same numbers everywhere and for ever (simulator seeds are kept), and the
 * ranges are what they say. */

#include "tests/store/base/unit.h"

#include "store/base/rand.h"

static void
test_vector (void **state)
{
    (void) state;
    /* From the authors' reference program, state 1 2 3 4. */
    static const uint64_t expected[] = {
        11520u,
        0u,
        1509978240u,
        1215971899390074240u,
        1216172134540287360u,
        607988272756665600u,
        16172922978634559625u,
        8476171486693032832u,
    };
    struct weir_rand r = { { 1, 2, 3, 4 } };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        assert_true (weir_rand_u64 (&r) == expected[i]);
    }
    /* splitmix64 of 1234567, from its reference program. */
    weir_rand_init (&r, 1234567);
    assert_true (r.s[0] == 6457827717110365317u);
    assert_true (r.s[1] == 3203168211198807973u);
}

static void
test_below (void **state)
{
    (void) state;
    struct weir_rand r;
    unsigned seen[7] = { 0 };
    weir_rand_init (&r, 1);
    assert_int_equal (weir_rand_below (&r, 0), 0);
    assert_int_equal (weir_rand_below (&r, 1), 0);
    for (unsigned i = 0; i < 70000; i++) {
        uint64_t v = weir_rand_below (&r, 7);
        assert_true (v < 7);
        seen[v]++;
    }
    for (unsigned i = 0; i < 7; i++) {
        assert_in_range (seen[i], 9500, 10500);
    }
    /* Where a third of all draws has to be thrown away. */
    for (unsigned i = 0; i < 100; i++) {
        assert_true (weir_rand_below (&r, 3ull << 62) < 3ull << 62);
    }
}

static void
test_bytes (void **state)
{
    (void) state;
    struct weir_rand a;
    struct weir_rand b;
    uint8_t some[21] = { 0 };
    uint8_t same[21] = { 0 };
    weir_rand_init (&a, 9);
    weir_rand_init (&b, 9);
    weir_rand_bytes (&a, some, 0);
    weir_rand_bytes (&a, some, 20);
    weir_rand_bytes (&b, same, 20);
    assert_memory_equal (some, same, sizeof some);
    assert_int_equal (some[20], 0);
}

static void
test_jitter (void **state)
{
    (void) state;
    static const struct {
        uint64_t value;
        unsigned percent;
        uint64_t low;
        uint64_t high;
    } rows[] = {
        { 1000, 25, 750, 1250 },
        { 1000, 0, 1000, 1000 },
        { 0, 50, 0, 0 },
        { 10, 300, 0, 40 },
        { 99, 50, 50, 148 },
        { UINT64_MAX, 10, UINT64_MAX / 10 * 9, UINT64_MAX },
        { UINT64_MAX, 200, 0, UINT64_MAX },
        { UINT64_MAX / 2, 100, 0, UINT64_MAX },
    };
    struct weir_rand r;
    weir_rand_init (&r, 2);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (unsigned n = 0; n < 500; n++) {
            uint64_t v = weir_rand_jitter (&r, rows[i].value, rows[i].percent);
            assert_true (v >= rows[i].low && v <= rows[i].high);
        }
    }
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_vector),
        cmocka_unit_test (test_below),
        cmocka_unit_test (test_bytes),
        cmocka_unit_test (test_jitter),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
