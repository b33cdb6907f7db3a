/* Goal: a hub and its leaves, then a mesh, all written to, while every 200 ms a random process of a
 * random node is killed with -9, brokers too: afterwards every acknowledged entry is on every
 * node, none is doubled, and all are equal within seconds.
 *
 * A broker that was killed is started again, as systemd would; actors come back by themselves.
 * WEIR_KILL_SEED and WEIR_KILL_SECONDS repeat or lengthen a run. tests/integration/test_kill.c
 * has two nodes and processes that hang, too. */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/base/rand.h"
#include "tests/integration/net.h"

#define FAULT_EVERY_MS 200
#define EQUAL_WITHIN_MS 10000u
#define BROKER_PERCENT 10u

static const char *const env[] = { "WEIR_RESTART_LIMIT=1000000", "WEIR_BACKOFF_MS_MAX=500",
                                   "WEIR_CHECK_INTERVAL_SECS=2", NULL };

/* What was killed: actors by their role's first letter, and brokers. */
static void
kill_one (struct net *net, struct weir_rand *rand, unsigned counts[256])
{
    struct node_actor actors[NODE_ACTORS_MAX];
    struct node *n = &net->nodes[weir_rand_below (rand, net->n)];
    if (weir_rand_below (rand, 100) < BROKER_PERCENT) {
        node_kill_broker (n);
        node_start (n, env);
        counts['b']++;
        return;
    }
    size_t count = node_actors (n, actors, 1000);
    const struct node_actor *a = count > 0 ? &actors[weir_rand_below (rand, count)] : NULL;
    if (a != NULL && a->pid > 0 && kill (a->pid, SIGKILL) == 0) {
        counts[(unsigned char) a->name[0]]++;
    }
}

static void
run (const char *name, enum net_shape shape, size_t nodes, uint64_t seed, uint64_t seconds)
{
    static struct net net;
    uint64_t acknowledged = 0;
    unsigned counts[256] = { 0 };
    struct weir_rand rand;
    weir_rand_init (&rand, seed);
    net_open (&net, shape, nodes, env);
    for (size_t i = 0; i < net.n; i++) {
        net_write_begin (&net, i, 0);
    }
    uint64_t until = node_now_ms () + seconds * 1000u;
    for (uint64_t next = node_now_ms (); next < until; next += FAULT_EVERY_MS) {
        uint64_t now = node_now_ms ();
        node_pause_ms (next > now ? (long) (next - now) : 0);
        kill_one (&net, &rand, counts);
    }
    for (size_t i = 0; i < net.n; i++) {
        acknowledged += net_write_end (&net, i, true);
    }
    printf ("%s of %zu, seed %llu: killed %u stores, %u peers, %u transports, %u retries, %u "
            "brokers; %llu "
            "commits acknowledged\n",
            name, nodes, (unsigned long long) seed, counts['s'], counts['p'], counts['t'],
            counts['r'], counts['b'], (unsigned long long) acknowledged);
    if (acknowledged < 50 || counts['s'] == 0 || counts['p'] == 0 || counts['t'] == 0
        || counts['b'] == 0) {
        node_die ("not everything was tried");
    }
    uint64_t took = net_wait_equal (&net, EQUAL_WITHIN_MS);
    printf ("equal after %llu ms\n", (unsigned long long) took);
    net_check (&net);
    net_close (&net);
    node_end ();
    puts ("no acknowledged commit lost, none doubled");
}

int
main (void)
{
    const char *seed_text = getenv ("WEIR_KILL_SEED");
    const char *seconds_text = getenv ("WEIR_KILL_SECONDS");
    uint64_t seed = seed_text != NULL ? strtoull (seed_text, NULL, 10) : 1;
    uint64_t seconds = seconds_text != NULL ? strtoull (seconds_text, NULL, 10) : 10;
    signal (SIGPIPE, SIG_IGN);
    setvbuf (stdout, NULL, _IOLBF, 0);
    run ("hub", NET_HUB, 5, seed, seconds);
    run ("mesh", NET_MESH, 4, seed, seconds);
    return 0;
}
