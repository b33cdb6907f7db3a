/* What it costs a commit to be considered for sync when there is nobody to sync with: two nodes
 * that differ in `enabled`, by turns, so that a drift of the machine meets both. */

#include "bins/bench/bench.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAIRS 5u
#define LOOK_US 100000
#define QUIET_LOOKS 4u

/* User and system time of one process, in clock ticks. */
static uint64_t
ticks_of (long pid)
{
    char path[64];
    char line[1024];
    unsigned long long user = 0;
    unsigned long long system = 0;
    snprintf (path, sizeof path, "/proc/%ld/stat", pid);
    FILE *f = fopen (path, "re");
    if (f != NULL && fgets (line, sizeof line, f) != NULL) {
        const char *behind = strrchr (line, ')'); /* the name may hold anything */
        if (behind == NULL
            || sscanf (behind, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user,
                       &system)
                   != 2) {
            user = system = 0;
        }
    }
    if (f != NULL) {
        fclose (f);
    }
    return user + system;
}

static double
cpu_seconds (struct bench_node *n)
{
    struct weir_client_answer answer;
    uint64_t ticks = ticks_of (n->pid);
    bench_call (n, WEIR_KIND_NODE_STATUS, NULL, weir_bytes (NULL, 0), 5000, &answer);
    const Weir__NodeStatus *m = (const Weir__NodeStatus *) answer.meta;
    for (size_t i = 0; i < m->n_actors; i++) {
        ticks += ticks_of ((long) m->actors[i]->pid);
    }
    weir_client_answer_fini (&answer);
    return (double) ticks / (double) sysconf (_SC_CLK_TCK);
}

/* Until both have ended what a run leaves behind (LevelDB's compaction): it belongs to that run,
 * not to the next. What they used until then. */
static double
settled (struct bench_node n[2], size_t k)
{
    double last[2] = { -1, -1 };
    for (unsigned quiet = 0; quiet < QUIET_LOOKS;) {
        double now[2] = { cpu_seconds (&n[0]), cpu_seconds (&n[1]) };
        bool same = now[0] - last[0] < 0.015 && now[1] - last[1] < 0.015; /* pings: a tick */
        quiet = same ? quiet + 1 : 0;
        memcpy (last, now, sizeof last);
        bench_pause_us (LOOK_US);
    }
    return last[k];
}

static int
compare (const void *a, const void *b)
{
    double x = *(const double *) a;
    double y = *(const double *) b;
    return x < y ? -1 : x > y;
}

void
bench_hooks (struct bench *b)
{
    static const char *const enabled[2] = { "yes", "no" };
    struct bench_node n[2];
    char db[2][WEIR_ID_TEXT + 1];
    double time_ratio[PAIRS];
    double cpu_ratio[PAIRS];
    double best[2] = { 0, 0 };
    uint64_t entries = b->entries > 0 ? b->entries : 100000;
    for (size_t k = 0; k < 2; k++) {
        bench_node_init (b, &n[k], enabled[k], "hub", "tcp://127.0.0.1:0");
        setenv ("WEIR_ENABLED", enabled[k], 1); /* the environment goes before the file */
        bench_node_start (b, &n[k]);
        bench_create_db (&n[k], "bench", db[k]);
        (void) bench_apply (&n[k], db[k], 0, entries / 10, b->payload); /* warm */
    }
    unsetenv ("WEIR_ENABLED");
    for (size_t i = 0; i < PAIRS; i++) {
        double seconds[2];
        double cpu[2];
        for (size_t turn = 0; turn < 2; turn++) {
            size_t k = (i + turn) % 2;
            double before = settled (n, k);
            seconds[k] = bench_apply (&n[k], db[k], (i + 1) * entries, entries, b->payload);
            cpu[k] = settled (n, k) - before;
            double rate = (double) entries / seconds[k];
            best[k] = rate > best[k] ? rate : best[k];
        }
        time_ratio[i] = seconds[0] / seconds[1];
        cpu_ratio[i] = cpu[1] > 0 ? cpu[0] / cpu[1] : 1.0;
    }
    bench_node_stop (&n[0]);
    bench_node_stop (&n[1]);
    qsort (time_ratio, PAIRS, sizeof *time_ratio, compare);
    qsort (cpu_ratio, PAIRS, sizeof *cpu_ratio, compare);
    bench_print (b, json_pack ("{s:I, s:I, s:f, s:f, s:f, s:f}", "pairs", (json_int_t) PAIRS,
                               "entries", (json_int_t) entries, "time_ratio", time_ratio[PAIRS / 2],
                               "cpu_ratio", cpu_ratio[PAIRS / 2], "enabled_best_per_second",
                               best[0], "disabled_best_per_second", best[1]));
}
