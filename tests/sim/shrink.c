/* Makes a failing history small: leaves out ever smaller parts of its plan (Zeller's delta
 * debugging) as long as what remains fails in the same way, by the first word of the failure.
 * Every item has its own luck, so what is kept goes on much as it did. */

#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUNS_MAX 400u

void
sim_print_command (const struct sim_setup *setup, const char *program)
{
    printf ("    %s --first %" PRIu64 " --seeds 1 --verbose", program, setup->seed);
    if (setup->nodes > 0) {
        printf (" --nodes %u", setup->nodes);
    }
    const char *sign = " --drop ";
    for (size_t i = 0; i < setup->n_drop; i++) {
        size_t to = i;
        if (!setup->drop[i]) {
            continue;
        }
        while (to + 1 < setup->n_drop && setup->drop[to + 1]) {
            to++;
        }
        if (to > i) {
            printf ("%s%zu-%zu", sign, i, to);
        } else {
            printf ("%s%zu", sign, i);
        }
        sign = ",";
        i = to;
    }
    printf ("\n");
}

/* "P5" of "P5: not converged ...". */
static bool
same_kind (const char *a, const char *b)
{
    size_t n = strcspn (a, ":0123456789 ");
    n = a[0] == 'P' ? 2 : n;
    return strncmp (a, b, n) == 0;
}

static bool
still_fails (struct sim_setup *setup, const bool *drop, const char *failure)
{
    struct sim_stats stats = { 0 };
    char now[512];
    setup->drop = drop;
    return !sim_run (setup, &stats, now) && same_kind (failure, now);
}

void
sim_shrink (const struct sim_setup *asked, const char *program, const char *failure)
{
    struct sim_setup setup = *asked;
    setup.verbose = false;
    setup.n_drop = sim_plan_items (asked);
    bool *kept = weir_alloc (setup.n_drop + 1);
    bool *trial = weir_alloc (setup.n_drop + 1);
    unsigned runs = 0;
    for (size_t i = 0; i < asked->n_drop && i < setup.n_drop; i++) {
        kept[i] = asked->drop[i];
    }
    for (size_t size = setup.n_drop / 2; size > 0; size /= 2) {
        for (size_t at = 0; at < setup.n_drop && runs < RUNS_MAX; at += size) {
            memcpy (trial, kept, setup.n_drop);
            bool more = false;
            for (size_t i = at; i < at + size && i < setup.n_drop; i++) {
                more = more || !trial[i];
                trial[i] = true;
            }
            if (more && ++runs && still_fails (&setup, trial, failure)) {
                memcpy (kept, trial, setup.n_drop);
            }
        }
    }
    size_t left = 0;
    for (size_t i = 0; i < setup.n_drop; i++) {
        left += !kept[i];
    }
    struct sim_stats stats = { 0 };
    char now[512] = "";
    setup.drop = kept;
    (void) sim_run (&setup, &stats, now);
    printf ("  in %u runs from %zu items to %zu: %s\n", runs, setup.n_drop, left, now);
    sim_print_command (&setup, program);
    free (kept);
    free (trial);
}
