/* Goal: rates are of the last minute whatever the gaps, acknowledgements are timed for what they
 * acknowledge, and however much is in flight the memory is the same. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "actors/peers/figures.h"

#define S 1000000u

static void
rates (void **state)
{
    struct figures f;
    (void) state;
    figures_init (&f, 1000 * S);
    assert_true (figures_per_s (&f, FIGURES_OUT, 1000 * S) < 0.001);
    figures_count (&f, FIGURES_OUT, 50, 1000 * S);
    assert_true (figures_per_s (&f, FIGURES_OUT, 1005 * S) > 9.9); /* of what there is yet */
    for (uint64_t t = 1001; t < 1100; t++) {
        figures_count (&f, FIGURES_IN, 10, t * S);
    }
    double in = figures_per_s (&f, FIGURES_IN, 1100 * S);
    assert_true (in > 9.0 && in < 11.0);
    assert_true (figures_per_s (&f, FIGURES_OUT, 1100 * S)
                 < 0.001); /* it is more than a minute ago */
    assert_int_equal (f.totals[FIGURES_OUT], 50);
    assert_true (figures_per_s (&f, FIGURES_IN, 100000 * S) < 0.001); /* a long silence */
    assert_int_equal (f.totals[FIGURES_IN], 990);
}

static void
acknowledgements (void **state)
{
    struct figures f;
    (void) state;
    figures_init (&f, 0);
    assert_int_equal (figures_ack_us (&f, 50), 0);
    figures_sent (&f, 1, 2, 10, 1000);
    figures_sent (&f, 1, 2, 10, 2000);
    figures_sent (&f, 1, 3, 5, 2000); /* another transfer */
    figures_sent (&f, 1, 2, 0, 2000);
    figures_acked (&f, 1, 2, 4, false, 3000);
    assert_int_equal (f.acks, 0); /* a part */
    figures_acked (&f, 1, 2, 6, false, 1000 + 400);
    assert_int_equal (f.acks, 1);
    assert_int_equal (f.buckets[0], 1); /* up to half a millisecond */
    figures_acked (&f, 1, 2, 10, true, 2000 + 3000);
    assert_int_equal (f.buckets[3], 1);      /* 2 to 4 ms */
    figures_acked (&f, 9, 9, 3, true, 5000); /* never sent */
    figures_acked (&f, 1, 3, 0, true, 5000); /* it had it from elsewhere: not timed */
    assert_int_equal (f.n_flights, 0);
    assert_int_equal (f.acks, 2);
    assert_true (figures_ack_us (&f, 50) <= 500);
    assert_true (figures_ack_us (&f, 99) > 2000 && figures_ack_us (&f, 99) <= 4000);
    figures_sent (&f, 1, 2, 1, 0);
    figures_acked (&f, 1, 2, 1, true, 3600u * (uint64_t) S); /* longer than any bucket */
    assert_int_equal (f.buckets[FIGURES_BUCKETS - 1], 1);
    figures_sent (&f, 4, 2, 1, 0);
    figures_sent (&f, 5, 2, 1, 0);
    figures_session_down (&f, 4);
    assert_int_equal (f.n_flights, 1);
}

static void
many (void **state)
{
    struct figures f;
    (void) state;
    figures_init (&f, 0);
    for (unsigned i = 0; i < 10000; i++) {
        figures_sent (&f, 1, i % 2, 1, i);
    }
    assert_int_equal (f.n_flights, FIGURES_FLIGHTS_MAX);
    figures_sent (&f, 2, 7, 1, 0); /* no room: not timed */
    figures_acked (&f, 1, 0, 5000, true, 20000);
    figures_acked (&f, 1, 1, 5000, true, 20000);
    assert_int_equal (f.n_flights, 0);
    assert_int_equal (f.totals[FIGURES_OUT], 10000);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (rates),
        cmocka_unit_test (acknowledgements),
        cmocka_unit_test (many),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
