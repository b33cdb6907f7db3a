/* Named topologies, measured: no faults, a few authors who write one entry after another, and how
 * often each body and how many messages reach each node, and when the last has it. The table of
 * docs/topologies.md is this program's output (make topologies). */

#include "tests/sim/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WARM_ENTRIES 240u /* for trees to form */
#define PACE_MS 25u
#define AUTHORS 4u
#define MEMBERS_AT_ONCE 100u
#define STEPS_MAX 80000000u

struct shape {
    const char *name;
    unsigned nodes;
    unsigned entries;
    unsigned excess_percent; /* bodies that may come again, of the measured ones */
    bool (*link) (struct sim *sim, unsigned a, unsigned b);
    void (*more) (struct sim *sim);
    unsigned hubs; /* so many of the first nodes; 0: all */
};

/* ---- who is linked with whom ---- */

static bool
all (struct sim *sim, unsigned a, unsigned b)
{
    (void) sim;
    return a < b;
}

static bool
next (struct sim *sim, unsigned a, unsigned b)
{
    (void) sim;
    return b == a + 1;
}

static bool
around (struct sim *sim, unsigned a, unsigned b)
{
    return b == a + 1 || (a == 0 && b == sim->n_nodes - 1);
}

static bool
star (struct sim *sim, unsigned a, unsigned b)
{
    (void) sim;
    (void) b;
    return a == 0;
}

static bool
two_stars (struct sim *sim, unsigned a, unsigned b)
{
    (void) sim;
    (void) b;
    return a < 2;
}

/* A ring with chords: about six links a node, any two nodes a few hops apart. */
static bool
chords (struct sim *sim, unsigned a, unsigned b)
{
    return around (sim, a, b) || weir_rand_below (&sim->rand, sim->n_nodes) < 4;
}

/* One hub, hubs below it, leaves below these. */
static bool
tiers (struct sim *sim, unsigned a, unsigned b)
{
    unsigned hubs = 30;
    (void) sim;
    return (a == 0 && b <= hubs) || (a > 0 && a <= hubs && b > hubs && b % hubs + 1 == a);
}

/* ---- what happens besides ---- */

static void
cut_halves (struct sim *sim, bool cut)
{
    for (unsigned i = 0; i < sim->n_links; i++) {
        struct sim_link *link = sim->links[i];
        if ((link->a < sim->n_nodes / 2) != (link->b < sim->n_nodes / 2)) {
            link->cut = cut;
            if (cut) {
                sim_end_session (sim, link);
            }
        }
    }
}

static void
part (struct sim *sim)
{
    cut_halves (sim, true);
}

static void
come_late (struct sim *sim)
{
    sim->late = sim->n_nodes - 1;
}

static const struct shape shapes[] = {
    { "pair", 2, 400, 5, all, NULL, 0 },
    { "triangle", 3, 400, 5, all, NULL, 0 },
    { "chain of 16", 16, 400, 5, next, NULL, 0 },
    { "ring of 16", 16, 400, 5, around, NULL, 0 },
    { "hub, 100 leaves", 101, 200, 5, star, NULL, 1 },
    { "two hubs, 20 leaves", 22, 400, 5, two_stars, NULL, 2 },
    { "mesh of 20", 20, 400, 5, all, NULL, 0 },
    { "random graph of 200", 200, 200, 5, chords, NULL, 0 },
    { "partition and rejoin, mesh of 8", 8, 400, 50, all, part, 0 },
    { "late joiner, hub and 20 leaves", 22, 400, 5, star, come_late, 1 },
    { "1,000 nodes, random graph", 1000, 60, 5, chords, NULL, 0 },
    { "1,000 nodes, hubs in two tiers", 1000, 100, 5, tiers, NULL, 31 },
};

/* ---- setting up ---- */

static void
make_members (struct sim *sim)
{
    struct sim_node *first = &sim->nodes[0];
    struct weir_member_change *changes = weir_alloc (MEMBERS_AT_ONCE * sizeof changes[0]);
    size_t n = 0;
    for (unsigned i = 1; i < sim->n_nodes; i++) {
        changes[n] = (struct weir_member_change){ .device = sim->nodes[i].identity.device,
                                                  .right = WEIR_RIGHT_WRITE };
        (void) snprintf (changes[n++].name, sizeof changes[0].name, "node %u", i);
        if (n < MEMBERS_AT_ONCE && i + 1 < sim->n_nodes) {
            continue;
        }
        struct weir_id entry;
        struct weir_error error = { 0 };
        if (weir_repo_change_members (first->repo, &sim->dbs[0], changes, n, sim_wall (sim, first),
                                      &entry, &error)
            != WEIR_OK) {
            sim_fail (sim, "members: %s", error.what);
        }
        n = 0;
    }
    free (changes);
}

static void
set_up (struct sim *sim, const struct shape *shape)
{
    struct weir_error error = { 0 };
    sim->now_ms = 1000;
    sim->shape = true;
    sim_add_nodes (sim, shape->nodes);
    for (unsigned a = 0; a < shape->nodes; a++) {
        bool hub = shape->hubs == 0 || a < shape->hubs;
        sim->nodes[a].role = hub ? WEIR_ROLE_HUB : WEIR_ROLE_LEAF;
        for (unsigned b = a + 1; b < shape->nodes; b++) {
            if (shape->link (sim, a, b)) {
                (void) sim_add_link (sim, a, b);
            }
        }
    }
    for (unsigned n = 0; n < shape->nodes; n++) {
        sim_boot (sim, &sim->nodes[n]);
    }
    sim->n_dbs = 1;
    sim->dice = &sim->rand;
    if (weir_repo_create (sim->nodes[0].repo, "notes", sim_wall (sim, &sim->nodes[0]), &sim->dbs[0],
                          &error)
        != WEIR_OK) {
        sim_fail (sim, "create: %s", error.what);
    }
    make_members (sim);
    for (unsigned n = 0; n < shape->nodes; n++) {
        sim->nodes[n].joined = true;
        if (n > 0 && weir_repo_expect (sim->nodes[n].repo, &sim->dbs[0]) != WEIR_OK) {
            sim_fail (sim, "expect");
        }
        sim_store_dirty (sim, &sim->nodes[n]);
        sim_share_all (sim, &sim->nodes[n]);
    }
    if (shape->more == come_late) {
        come_late (sim);
        for (unsigned i = 0; i < sim->nodes[sim->late].n_links; i++) {
            sim->nodes[sim->late].links[i]->cut = true;
            sim->nodes[sim->late].joined = false;
        }
    }
    for (unsigned i = 0; i < sim->n_links; i++) {
        sim_connect_later (sim, sim->links[i]);
    }
}

/* ---- running ---- */

static void
run_until (struct sim *sim, uint64_t at_ms)
{
    uint64_t before = sim->stats->events;
    sim_script (sim, SIM_SEEN, SIM_NO_NODE, at_ms); /* so that there is an event then */
    while (sim->now_ms < at_ms && sim->failure[0] == 0) {
        sim_next (sim);
        if (sim->stats->events - before > STEPS_MAX) {
            sim_fail (sim, "P6: more than %u events", STEPS_MAX);
        }
    }
}

/* False when it does not within `ms`. */
static bool
converge (struct sim *sim, uint64_t ms)
{
    uint64_t until = sim->now_ms + ms;
    while (!sim_converged (sim) && sim->failure[0] == 0) {
        if (sim->now_ms > until) {
            return false;
        }
        run_until (sim, sim->now_ms + 20);
    }
    return sim->failure[0] == 0;
}

static void
write_entries (struct sim *sim, unsigned n)
{
    unsigned authors = sim->n_nodes < AUTHORS ? sim->n_nodes : AUTHORS;
    for (unsigned i = 0; i < n && sim->failure[0] == 0; i++) {
        unsigned author = (i % authors) * sim->n_nodes / authors;
        sim->dice = &sim->rand;
        struct sim_meter *meter = sim->meter;
        if (sim_commit (sim, &sim->nodes[author], 0, false, false) && meter) {
            meter->committed++;
        }
        if (sim->late != 0 && meter && i == n / 2) {
            struct sim_node *late = &sim->nodes[sim->late];
            late->joined = true;
            late->links[0]->cut = false;
            meter->late_ms = sim->now_ms;
        }
        run_until (sim, sim->now_ms + PACE_MS);
    }
}

/* ---- measuring ---- */

struct totals {
    uint64_t bodies;
    uint64_t fresh;
    uint64_t messages;
    uint64_t bytes;
};

static struct totals
add_up (const struct sim *sim)
{
    struct totals t = { 0 };
    for (unsigned n = 0; n < sim->n_nodes; n++) {
        const struct sim_node *node = &sim->nodes[n];
        t.fresh += node->entries_new;
        t.bodies += node->entries_new + node->entries_again;
        t.messages += node->messages + node->digests + node->frames + node->acks;
        t.bytes += node->bytes;
    }
    return t;
}

static int
order_u64 (const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *) a;
    uint64_t y = *(const uint64_t *) b;
    return (x > y) - (x < y);
}

static void
print_row (struct sim *sim, const struct shape *shape, const struct totals *from,
           uint64_t first_again, double seconds)
{
    struct totals to = add_up (sim);
    struct sim_meter *m = sim->meter;
    double deliveries = (double) (to.fresh > from->fresh ? to.fresh - from->fresh : 1);
    double bodies = (double) (to.bodies - from->bodies) / deliveries;
    double all_nodes = (double) m->committed * sim->n_nodes;
    qsort (m->last_ms, m->n_last, sizeof m->last_ms[0], order_u64);
    printf ("| %s | %u | %u | %u | %llu | %.3f | %.2f | %.0f | %llu | %llu |\n", shape->name,
            sim->n_nodes, sim->n_links, (unsigned) m->committed, (unsigned long long) first_again,
            bodies, (double) (to.messages - from->messages) / all_nodes,
            (double) (to.bytes - from->bytes) / all_nodes,
            (unsigned long long) (m->n_last > 0 ? m->last_ms[m->n_last / 2] : 0),
            (unsigned long long) (m->n_last > 0 ? m->last_ms[m->n_last - 1] : 0));
    fprintf (stderr, "%s: %.1f s, %llu events\n", shape->name, seconds,
             (unsigned long long) sim->stats->events);
    if (bodies > 1.0 + shape->excess_percent / 100.0) {
        sim_fail (sim, "P6: %.3f bodies per entry per node", bodies);
    }
    (void) fflush (stdout);
}

static void
measure (struct sim *sim, const struct shape *shape)
{
    struct sim_meter meter = { 0 };
    clock_t began = clock ();
    uint64_t hops = shape->nodes < 20 ? shape->nodes : 20;
    set_up (sim, shape);
    if (!converge (sim, hops * SIM_INTERVAL_MS)) {
        sim_fail (sim, "P5: the members are not everywhere");
        return;
    }
    struct totals joined = add_up (sim);
    write_entries (sim, WARM_ENTRIES);
    (void) converge (sim, 4000);
    struct totals from = add_up (sim);
    uint64_t again = (from.bodies - from.fresh) - (joined.bodies - joined.fresh);
    sim->meter = &meter;
    meter.by_entry = weir_map_new ();
    if (shape->more == part) {
        part (sim);
    }
    write_entries (sim, shape->entries);
    if (shape->more == part) {
        meter.late_ms = sim->now_ms;
        cut_halves (sim, false);
    }
    if (!converge (sim, hops * 4000)) {
        sim_fail (sim, "P5: not everywhere in %llu ms", (unsigned long long) hops * 4000);
    }
    sim_meter_end (&meter);
    print_row (sim, shape, &from, again, (double) (clock () - began) / CLOCKS_PER_SEC);
    sim->meter = NULL;
    weir_map_destroy (&meter.by_entry, free);
    free (meter.last_ms);
}

int
sim_shapes (const char *only, bool verbose)
{
    bool failed = false;
    bool any = false;
    printf ("| topology | nodes | links | entries | bodies again in the first %u | bodies per "
            "entry per node | messages per entry per node | bytes per entry per node | to the "
            "last node, median ms | worst ms |\n|---|---|---|---|---|---|---|---|---|---|\n",
            WARM_ENTRIES);
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        if (strcmp (only, "all") != 0 && strcmp (only, shapes[i].name) != 0) {
            continue;
        }
        struct sim_setup setup = { .seed = 1, .verbose = verbose };
        struct sim_stats stats = { 0 };
        struct sim *sim = sim_new (&setup, &stats);
        any = true;
        measure (sim, &shapes[i]);
        if (sim->failure[0] != 0) {
            printf ("%s: %s\n", shapes[i].name, sim->failure);
            failed = true;
        }
        sim_free (sim);
    }
    for (size_t i = 0; !any && i < sizeof shapes / sizeof shapes[0]; i++) {
        fprintf (stderr, "%s%s", i == 0 ? "there is no such shape; there are: " : "; ",
                 shapes[i].name);
    }
    if (!any) {
        fprintf (stderr, "\n");
    }
    return failed || !any ? 1 : 0;
}
