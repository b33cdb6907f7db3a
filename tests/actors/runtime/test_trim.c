/* Goal: memory is given back once after each busy time, when it is over, and at no other time. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "actors/runtime/trim.h"
#include "store/base/limits.h"

static void
trims_once_after_each_busy_time (void **state)
{
    static const struct {
        uint64_t ms;   /* since the last turn */
        uint64_t work; /* done since then */
        bool trims;
    } turns[] = {
        { WEIR_TRIM_MS, 0, false },  /* nothing yet */
        { WEIR_TRIM_MS, 60, false }, /* quiet, as always */
        { WEIR_TRIM_MS / 2, 500, false },
        { WEIR_TRIM_MS / 2, 500, false }, /* busy */
        { WEIR_TRIM_MS, 1000, false },    /* still */
        { WEIR_TRIM_MS - 1, 0, false },   /* too early to tell */
        { 1, 0, true },                   /* over */
        { WEIR_TRIM_MS, 0, false },       /* nothing new */
        { 10 * WEIR_TRIM_MS, 65, false },
        { WEIR_TRIM_MS, 64, true },
    };
    struct weir_trim t = { 0 };
    uint64_t now = 0;
    uint64_t work = 0;
    (void) state;
    for (size_t i = 0; i < sizeof turns / sizeof *turns; i++) {
        now += turns[i].ms;
        work += turns[i].work;
        if (weir_trim_turn (&t, work, now) != turns[i].trims) {
            fail_msg ("turn %zu", i);
        }
    }
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (trims_once_after_each_busy_time),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
