/* Goal: a network of whole nodes in which all write at once ends with every acknowledged entry on
 * every node and the same document everywhere; each entry's body comes to each node once, plus at
 * most 5 %, after the first 100 entries of a link; and when nobody writes, nothing but heartbeats
 * and digests is sent. Chain, ring, triangle, mesh of six, and a hub with twenty leaves.
 *
 * WEIR_TOPOLOGY=NAME runs one of them, WEIR_TOPOLOGY_ENTRIES=N has each node write N more. */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/limits.h"
#include "tests/integration/net.h"

#define EQUAL_WITHIN_MS 10000u /* less than an interval: the tree alone brings it */
#define BODIES_MAX 1.05

/* A hundred processes on two cores may be late; whether they hang is not the question here. */
static const char *const env[] = { "WEIR_HANG_MS=60000", "WEIR_HANG_STORE_MS=60000", NULL };

static const struct {
    const char *name;
    enum net_shape shape;
    size_t nodes;
    uint64_t first; /* values of each node until its links have carried a hundred */
    uint64_t then;  /* values of each that are counted */
    uint32_t quiet_s;
} rows[] = {
    { "chain", NET_CHAIN, 4, 100, 200, 5 },   { "ring", NET_RING, 5, 60, 150, 5 },
    { "triangle", NET_MESH, 3, 100, 200, 5 }, { "mesh", NET_MESH, 6, 60, 150, 10 },
    { "hub", NET_HUB, 21, 100, 50, 5 },
};

/* What may be on the wire when nothing happens. Between two nodes: one digest an interval and its
 * answer; the interval is jittered by a quarter, and both may ask at first. */
static void
check_quiet (struct net *net, uint32_t seconds)
{
    struct net_wire wire;
    uint64_t looks = seconds / (WEIR_CHECK_INTERVAL_SECS * 3u / 4u) + 2;
    uint64_t allowed = net->n_edges * 2u * looks;
    net_tap (net, seconds, &wire);
    printf ("  quiet: %llu messages in %u s over %zu links", (unsigned long long) wire.total,
            seconds, net->n_edges);
    for (uint16_t kind = 0; kind < 1024; kind++) {
        if (wire.kinds[kind] > 0) {
            printf (", %s %llu", weir_kind (kind)->name, (unsigned long long) wire.kinds[kind]);
        }
    }
    puts ("");
    uint64_t digests = wire.kinds[WEIR_KIND_W_DIGESTS];
    if (wire.missed > 0 || wire.total != digests || digests > allowed) {
        node_die ("%llu messages (%llu digests, %llu allowed) when there was nothing to say",
                  (unsigned long long) wire.total, (unsigned long long) digests,
                  (unsigned long long) allowed);
    }
}

static void
run (size_t row, uint64_t then)
{
    static struct net net;
    static struct net_counts before;
    static struct net_counts after;
    double worst;
    uint64_t began = node_now_ms ();
    net_open (&net, rows[row].shape, rows[row].nodes, env);
    uint64_t opened = node_now_ms ();
    net_write_all (&net, rows[row].first);
    (void) net_wait_equal (&net, EQUAL_WITHIN_MS);
    net_count (&net, &before);
    uint64_t started = node_now_ms ();
    net_write_all (&net, then);
    uint64_t written = node_now_ms ();
    uint64_t equal = net_wait_equal (&net, EQUAL_WITHIN_MS);
    net_count (&net, &after);
    double bodies = net_bodies (&net, &before, &after, &worst);
    uint64_t entries = after.entries - before.entries;
    printf ("%s of %zu: open in %llu ms, %llu entries written in %llu ms, equal %llu ms later; "
            "%.3f bodies an entry and node (worst node %.3f), %.2f messages, %llu bytes\n",
            rows[row].name, net.n, (unsigned long long) (opened - began),
            (unsigned long long) entries, (unsigned long long) (written - started),
            (unsigned long long) equal, bodies, worst,
            (double) (after.messages - before.messages) / (double) (entries * net.n),
            (unsigned long long) ((after.bytes - before.bytes) / (entries * net.n)));
    net_check (&net);
    if (worst > BODIES_MAX) {
        for (size_t i = 0; i < net.n; i++) {
            for (size_t k = 0; k < net.n; k++) {
                fprintf (stderr, "%7llu",
                         (unsigned long long) (after.sent[i][k] - before.sent[i][k]));
            }
            fprintf (stderr, "   sent by %s\n", net.nodes[i].name);
        }
        node_die ("%.3f bodies an entry on one node, not %.2f", worst, BODIES_MAX);
    }
    check_quiet (&net, rows[row].quiet_s);
    net_close (&net);
    node_end ();
}

int
main (void)
{
    const char *only = getenv ("WEIR_TOPOLOGY");
    const char *entries = getenv ("WEIR_TOPOLOGY_ENTRIES");
    size_t ran = 0;
    signal (SIGPIPE, SIG_IGN);
    setvbuf (stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (only == NULL || strcmp (only, rows[i].name) == 0) {
            run (i, entries != NULL ? strtoull (entries, NULL, 10) : rows[i].then);
            ran++;
        }
    }
    if (ran == 0) {
        node_die ("there is no topology %s", only);
    }
    return 0;
}
