/* weir-sim: runs seeds, over several processes when asked, prints what failed with the command
 * that repeats it, and at the end what was run and injected. Exit code 1 when any failed. */

#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define FAILURES_SHOWN 20u
#define JOBS_MAX 64u

struct options {
    const char *program;
    struct sim_setup setup;
    uint64_t first;
    uint64_t seeds;
    uint64_t jobs;
    uint64_t seconds; /* 0: until all are run */
    bool shrink;
    const char *shape;
};

/* Shared with the children. */
struct share {
    uint64_t seed; /* at hand */
    uint64_t failed;
    bool done;
    struct sim_stats stats;
};

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
    fprintf (stderr,
             "usage: %s [--first SEED] [--seeds N] [--jobs N] [--seconds N] [--nodes N]\n"
             "       [--drop ITEMS] [--shrink] [--verbose]\n"
             "       %s --shape NAME|all [--verbose]\n",
             program, program);
    return 2;
}

/* "3-7,9": true for these. */
static bool
read_drop (const char *text, struct sim_setup *setup)
{
    bool *drop = NULL;
    size_t cap = 0;
    while (text && *text) {
        char *end = NULL;
        unsigned long from = strtoul (text, &end, 10);
        unsigned long to = *end == '-' ? strtoul (end + 1, &end, 10) : from;
        if (end == text || to < from || to > 100000 || (*end != 0 && *end != ',')) {
            free (drop);
            return false;
        }
        size_t before = cap;
        weir_grow (&drop, &cap, to + 1, 1);
        memset (drop + before, 0, cap - before);
        for (unsigned long i = from; i <= to; i++) {
            drop[i] = true;
        }
        text = *end == ',' ? end + 1 : end;
    }
    setup->drop = drop;
    setup->n_drop = cap;
    return cap > 0;
}

static bool
read_options (int argc, char **argv, struct options *o)
{
    uint64_t nodes = 0;
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i];
        const char *value = argv[i + 1];
        if (strcmp (name, "--verbose") == 0) {
            o->setup.verbose = true;
            continue;
        }
        if (strcmp (name, "--shrink") == 0) {
            o->shrink = true;
            continue;
        }
        i++;
        bool good = (strcmp (name, "--first") == 0 && number_of (value, &o->first))
                    || (strcmp (name, "--seeds") == 0 && number_of (value, &o->seeds))
                    || (strcmp (name, "--jobs") == 0 && number_of (value, &o->jobs))
                    || (strcmp (name, "--seconds") == 0 && number_of (value, &o->seconds))
                    || (strcmp (name, "--nodes") == 0 && number_of (value, &nodes))
                    || (strcmp (name, "--drop") == 0 && read_drop (value, &o->setup))
                    || (strcmp (name, "--shape") == 0 && (o->shape = value) != NULL);
        if (!good || nodes == 1 || nodes > 10000 || o->jobs == 0 || o->jobs > JOBS_MAX) {
            return false;
        }
        o->setup.nodes = (unsigned) nodes;
    }
    return true;
}

static void
run_seeds (const struct options *o, uint64_t job, struct share *share)
{
    struct sim_setup setup = o->setup;
    uint64_t shown = FAILURES_SHOWN / o->jobs + 1;
    if (o->seconds > 0) {
        (void) alarm ((unsigned) o->seconds); /* parent and children end alike */
    }
    for (uint64_t i = job; i < o->seeds; i += o->jobs) {
        char failure[512];
        setup.seed = o->first + i;
        share->seed = setup.seed;
        if (sim_run (&setup, &share->stats, failure) || share->failed++ >= shown) {
            continue;
        }
        printf ("seed %" PRIu64 ": %s\n", setup.seed, failure);
        sim_print_command (&setup, o->program);
        if (o->shrink) {
            sim_shrink (&setup, o->program, failure);
        }
        (void) fflush (stdout);
    }
    share->done = true;
}

/* A child that died takes its other seeds along: that is a failure, and the seed is known. */
static void
run_jobs (const struct options *o, struct share *shares)
{
    pid_t children[JOBS_MAX];
    for (uint64_t job = 0; job < o->jobs; job++) {
        children[job] = fork ();
        if (children[job] == 0) {
            run_seeds (o, job, &shares[job]);
            (void) fflush (stdout);
            _exit (0);
        }
    }
    for (uint64_t job = 0; job < o->jobs; job++) {
        int status = 0;
        if (children[job] > 0 && waitpid (children[job], &status, 0) > 0 && shares[job].done) {
            continue;
        }
        if (WIFSIGNALED (status) && WTERMSIG (status) == SIGALRM) {
            continue;
        }
        struct sim_setup setup = o->setup;
        setup.seed = shares[job].seed;
        shares[job].failed++;
        printf ("seed %" PRIu64 ": the simulator died (status %d)\n", setup.seed, status);
        sim_print_command (&setup, o->program);
    }
}

static void
add_up (struct sim_stats *to, const struct sim_stats *from)
{
    uint64_t slowest = to->slowest_ms > from->slowest_ms ? to->slowest_ms : from->slowest_ms;
    uint64_t *sums = (uint64_t *) to;
    const uint64_t *add = (const uint64_t *) from;
    for (size_t i = 0; i < sizeof *to / sizeof *sums; i++) {
        sums[i] += add[i];
    }
    to->slowest_ms = slowest;
}

static void
print_counts (const struct sim_stats *s, uint64_t failed)
{
    static const char *const names[SIM_COUNTS] = {
        [SIM_N_LOST] = "messages lost",
        [SIM_N_REPEATED] = "repeated",
        [SIM_N_REORDERED] = "overtaken",
        [SIM_N_DELAYED] = "delayed",
        [SIM_N_THROTTLED] = "held up by a slow link",
        [SIM_N_FLIPPED] = "flipped on a link",
        [SIM_N_SPOILED] = "spoiled by bad memory",
        [SIM_N_CUTS] = "links cut",
        [SIM_N_BLOCKS_ONE_WAY] = "blocked one way",
        [SIM_N_BLOCKS] = "blocked both ways",
        [SIM_N_POWER] = "power failures",
        [SIM_N_STORE_KILLS] = "stores killed",
        [SIM_N_PEERS_KILLS] = "peers killed",
        [SIM_N_UNSYNCED_LOST] = "restarts without the unsynced writes",
        [SIM_N_UNSYNCED_KEPT] = "restarts with some of them",
        [SIM_N_GIVEN_UP] = "bundles given up by their supervisor",
        [SIM_N_RESTORES] = "backups restored",
        [SIM_N_ROLL_BACKS] = "virtual machines rolled back",
        [SIM_N_CLOCK_JUMPS] = "clock jumps",
        [SIM_N_LIES] = "lies",
        [SIM_N_RIGHTS] = "rights changed",
        [SIM_N_REMOVALS] = "removals",
        [SIM_N_LATE] = "late joins",
        [SIM_N_ONE_WAY] = "one-way relationships",
        [SIM_N_DISABLED] = "nodes with enabled = no",
        [SIM_N_OLD] = "nodes of protocol 1",
        [SIM_N_LARGE] = "histories of 20 or more nodes",
    };
    printf ("%" PRIu64 " histories, %" PRIu64 " failed", s->histories - s->meaningless, failed);
    printf ("; %" PRIu64 " events, %" PRIu64 " commits, %" PRIu64 " entries taken, %" PRIu64
            " again, %" PRIu64 " waited, %" PRIu64 " runs refused, %" PRIu64 " forks, %" PRIu64
            " messages, %" PRIu64 " ladders; slowest convergence %" PRIu64
            " ms after the faults\ninjected:",
            s->events, s->commits, s->entries_new, s->entries_again, s->pending, s->refused,
            s->forks, s->messages, s->ladders, s->slowest_ms);
    for (size_t i = 0; i < SIM_COUNTS; i++) {
        printf ("%s %" PRIu64 " %s", i > 0 ? "," : "", s->counts[i], names[i]);
    }
    printf ("\n");
}

int
main (int argc, char **argv)
{
    struct options o = { .program = argv[0], .first = 1, .seeds = 1000, .jobs = 1 };
    if (!read_options (argc, argv, &o)) {
        return usage (argv[0]);
    }
    weir_crypto_init ();
    if (o.shape) {
        return sim_shapes (o.shape, o.setup.verbose);
    }
    size_t size = o.jobs * sizeof (struct share);
    struct share *shares =
        mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shares == MAP_FAILED) {
        return 1;
    }
    if (o.jobs > 1 || o.seconds > 0) {
        run_jobs (&o, shares);
    } else {
        run_seeds (&o, 0, shares);
    }
    struct sim_stats stats = { 0 };
    uint64_t failed = 0;
    for (uint64_t job = 0; job < o.jobs; job++) {
        add_up (&stats, &shares[job].stats);
        failed += shares[job].failed;
    }
    print_counts (&stats, failed);
    free ((void *) (uintptr_t) o.setup.drop);
    (void) munmap (shares, size);
    return failed > 0 ? 1 : 0;
}
