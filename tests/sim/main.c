/* weir-sim: runs seeds, prints what failed with the command that repeats it, and one line at the
 * end. Exit code 1 when any failed. */

#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAILURES_SHOWN 20u

static bool
number_of (const char *text, uint64_t *out)
{
    char *end = NULL;
    unsigned long long v = text ? strtoull (text, &end, 10) : 0;
    if (!end || *end != 0 || end == text) {
        return false;
    }
    *out = v;
    return true;
}

static int
usage (const char *program)
{
    fprintf (stderr, "usage: %s [--first SEED] [--seeds N] [--verbose]\n", program);
    return 2;
}

int
main (int argc, char **argv)
{
    uint64_t first = 1;
    uint64_t seeds = 1000;
    bool verbose = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp (argv[i], "--verbose") == 0) {
            verbose = true;
        } else if (strcmp (argv[i], "--first") == 0 && number_of (argv[i + 1], &first)) {
            i++;
        } else if (strcmp (argv[i], "--seeds") == 0 && number_of (argv[i + 1], &seeds)) {
            i++;
        } else {
            return usage (argv[0]);
        }
    }
    weir_crypto_init ();
    struct sim_stats stats = { 0 };
    uint64_t failed = 0;
    for (uint64_t seed = first; seed < first + seeds; seed++) {
        char failure[512];
        if (!sim_run (seed, verbose, &stats, failure) && failed++ < FAILURES_SHOWN) {
            printf ("seed %" PRIu64 ": %s\n    %s --first %" PRIu64 " --seeds 1 --verbose\n", seed,
                    failure, argv[0], seed);
        }
    }
    printf ("%" PRIu64 " histories, %" PRIu64 " failed; %" PRIu64 " events, %" PRIu64
            " commits, %" PRIu64 " entries taken, %" PRIu64 " runs again, %" PRIu64
            " waited, %" PRIu64 " refused, %" PRIu64 " forks, %" PRIu64 " messages, %" PRIu64
            " ladders, %" PRIu64 " lost, %" PRIu64 " crashes; slowest convergence %" PRIu64
            " ms after the faults\n",
            stats.histories, failed, stats.events, stats.commits, stats.entries_new,
            stats.entries_again, stats.pending, stats.refused, stats.forks, stats.messages,
            stats.ladders, stats.lost, stats.crashes, stats.slowest_ms);
    return failed > 0 ? 1 : 0;
}
