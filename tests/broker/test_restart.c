/* Goal: the restart policy doubles within its bounds, forgets after a long life, and gives up
 * exactly when one more early death than the limit lies within the window. Pure. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "broker/restart.h"

static const struct weir_restart_config usual = {
    .limit = 5,
    .window_ms = 120000,
    .backoff_ms_min = 100,
    .backoff_ms_max = 10000,
    .reset_ms = 5000,
};

static void
test_doubles_within_bounds (void **state)
{
    (void) state;
    struct weir_restart_config config = usual;
    config.limit = 1000;
    struct weir_restart r;
    struct weir_rand rand;
    uint64_t expected = 100;
    weir_rand_init (&rand, 1);
    weir_restart_init (&r, &config);
    for (uint64_t i = 0; i < 20; i++) {
        uint64_t wait = 0;
        assert_true (weir_restart_died (&r, 1000 + i, 0, &rand, &wait));
        assert_in_range (wait, 100, 10000);
        assert_in_range (wait, expected * 8 / 10, expected * 12 / 10);
        expected = expected * 2 < 10000 ? expected * 2 : 10000;
    }
    weir_restart_fini (&r);
}

static void
test_gives_up_at_the_limit (void **state)
{
    (void) state;
    struct weir_restart r;
    struct weir_rand rand;
    uint64_t wait = 0;
    weir_rand_init (&rand, 2);
    weir_restart_init (&r, &usual);
    for (uint64_t i = 0; i < 5; i++) {
        assert_true (weir_restart_died (&r, 1000 * i, 4999, &rand, &wait));
    }
    assert_false (weir_restart_died (&r, 120000, 4999, &rand, &wait)); /* the sixth, in time */
    weir_restart_reset (&r);
    for (uint64_t i = 0; i < 5; i++) {
        assert_true (weir_restart_died (&r, 200000, 0, &rand, &wait));
    }
    assert_true (weir_restart_died (&r, 320001, 0, &rand, &wait)); /* the five are out of it */
    weir_restart_fini (&r);
}

static void
test_limit_zero (void **state)
{
    (void) state;
    struct weir_restart_config config = usual;
    config.limit = 0;
    struct weir_restart r;
    struct weir_rand rand;
    uint64_t wait = 0;
    weir_rand_init (&rand, 3);
    weir_restart_init (&r, &config);
    assert_true (weir_restart_died (&r, 10000, 5000, &rand, &wait)); /* not early */
    assert_false (weir_restart_died (&r, 10000, 0, &rand, &wait));
    weir_restart_fini (&r);
}

static void
test_long_lives_never_count (void **state)
{
    (void) state;
    struct weir_restart r;
    struct weir_rand rand;
    weir_rand_init (&rand, 4);
    weir_restart_init (&r, &usual);
    for (uint64_t i = 0; i < 100; i++) {
        uint64_t wait = 0;
        assert_true (weir_restart_died (&r, i * 10, 5000, &rand, &wait));
        assert_in_range (wait, 100, 120);
    }
    weir_restart_fini (&r);
}

/* Against a naive model: all death times kept, counted anew each time. */
static void
test_equals_the_model (void **state)
{
    (void) state;
    for (uint64_t seed = 0; seed < 300; seed++) {
        struct weir_rand rand;
        struct weir_rand own;
        weir_rand_init (&rand, seed);
        weir_rand_init (&own, seed);
        struct weir_restart_config config = usual;
        config.limit = weir_rand_below (&rand, 8);
        config.window_ms = 1000 + weir_rand_below (&rand, 5000);
        struct weir_restart r;
        weir_restart_init (&r, &config);
        uint64_t deaths[200];
        size_t n = 0;
        uint64_t now = 0;
        for (int i = 0; i < 200; i++) {
            now += weir_rand_below (&rand, 1500);
            bool early = weir_rand_below (&rand, 4) != 0;
            uint64_t wait = 0;
            if (early) {
                deaths[n++] = now;
            }
            uint64_t within = 0;
            for (size_t j = 0; j < n; j++) {
                within += now - deaths[j] <= config.window_ms ? 1 : 0;
            }
            bool expected = !early || within <= config.limit;
            assert_int_equal (weir_restart_died (&r, now, early ? 10 : 6000, &own, &wait),
                              expected);
        }
        weir_restart_fini (&r);
    }
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_doubles_within_bounds),
        cmocka_unit_test (test_gives_up_at_the_limit),
        cmocka_unit_test (test_limit_zero),
        cmocka_unit_test (test_long_lives_never_count),
        cmocka_unit_test (test_equals_the_model),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
