/* What a seed means: nodes, links, troubles, and what people and faults do when. All of it is
 * drawn at once, as a list of items each with its own luck, so that any of them can be left out
 * (--drop, shrink.c) while the rest goes on as it was. */

#include "tests/sim/sim.h"

#include <stdlib.h>

#define LARGE 20u

enum topology { PAIR, TRIANGLE, CHAIN, HUB, MESH, RING, TWO_HUBS, RANDOM, TOPOLOGIES };

static const char *const names[TOPOLOGIES] = { "pair", "triangle", "chain",    "hub",
                                               "mesh", "ring",     "two hubs", "random" };

static unsigned
draw (struct sim *sim, unsigned n)
{
    return (unsigned) weir_rand_below (&sim->rand, n);
}

static bool
drawn (struct sim *sim, unsigned percent)
{
    return draw (sim, 100) < percent;
}

/* Adds an item; false when it is left out. */
static bool
add_item (struct sim *sim, struct sim_item item)
{
    size_t at = sim->n_items;
    item.dice = weir_rand_u64 (&sim->rand);
    item.dropped = sim->setup.drop && at < sim->setup.n_drop && sim->setup.drop[at];
    weir_grow (&sim->items, &sim->items_cap, at + 1, sizeof sim->items[0]);
    sim->items[sim->n_items++] = item;
    return !item.dropped;
}

static void
script (struct sim *sim, enum sim_script what, unsigned node, uint64_t at_ms)
{
    if (add_item (sim, (struct sim_item){ .trouble = -1, .absent = -1 })) {
        struct sim_event *e = sim_event_new (SIM_SCRIPT, node);
        e->script = what;
        e->dice = sim->items[sim->n_items - 1].dice;
        sim_post (sim, e, at_ms);
    }
}

/* ---- nodes and links ---- */

void
sim_add_nodes (struct sim *sim, unsigned n)
{
    sim->n_nodes = n;
    sim->nodes = weir_alloc (n * sizeof sim->nodes[0]);
    for (unsigned i = 0; i < n; i++) {
        sim_node_init (sim, i, WEIR_ROLE_LEAF);
    }
}

static bool
is_hub (struct sim *sim, unsigned n)
{
    bool inside = (sim->topology == HUB && n == 0) || (sim->topology == TWO_HUBS && n < 2)
                  || (sim->topology == CHAIN && n > 0 && n + 1 < sim->n_nodes);
    return drawn (sim, 50) || inside;
}

static bool
has_link (struct sim *sim, unsigned a, unsigned b)
{
    unsigned n = sim->n_nodes;
    bool some = drawn (sim, n < LARGE ? 60 : 25);
    switch ((enum topology) sim->topology) {
    case PAIR:
    case TRIANGLE:
        return true;
    case CHAIN:
        return b == a + 1;
    case HUB:
        return a == 0;
    case MESH:
        return b == a + 1 || some;
    case RING:
        return b == a + 1 || (a == 0 && b == n - 1);
    case TWO_HUBS:
        return a < 2;
    case RANDOM:
    case TOPOLOGIES:
        break;
    }
    return b == a + 1 + draw (sim, 3) || b == a + 1 || draw (sim, n) == 0;
}

bool
sim_connected (const struct sim *sim, unsigned without)
{
    bool *seen = weir_alloc (sim->n_nodes * sizeof seen[0]);
    bool again = true;
    bool whole = true;
    seen[0] = true;
    while (again) {
        again = false;
        for (unsigned i = 0; i < sim->n_links; i++) {
            const struct sim_link *l = sim->links[i];
            const struct sim_node *ends[2] = { &sim->nodes[l->a], &sim->nodes[l->b] };
            bool gone = l->a == without || l->b == without || ends[0]->removed || ends[1]->removed
                        || ends[0]->liar || ends[1]->liar;
            bool flows = sim_flows (sim, l, l->a) && sim_flows (sim, l, l->b);
            if (flows && !gone && seen[l->a] != seen[l->b]) {
                seen[l->a] = true;
                seen[l->b] = true;
                again = true;
            }
        }
    }
    for (unsigned n = 0; n < sim->n_nodes; n++) {
        const struct sim_node *node = &sim->nodes[n];
        whole = whole && (seen[n] || n == without || node->removed || node->liar || node->absent);
    }
    free (seen);
    return whole;
}

static void
make_topology (struct sim *sim)
{
    unsigned wish = sim->setup.nodes;
    sim->topology = draw (sim, TOPOLOGIES);
    unsigned n = 3 + draw (sim, 3);
    if (wish > 5) {
        sim->topology = CHAIN + sim->topology % (TOPOLOGIES - CHAIN);
        n = wish;
    } else if (wish > 0) {
        n = wish;
        sim->topology = n == 2 ? PAIR : sim->topology == PAIR ? MESH : sim->topology;
    } else if (sim->topology <= TRIANGLE) {
        n = sim->topology == PAIR ? 2 : 3;
    }
    sim->topology = sim->topology == TWO_HUBS && n < 4 ? RING : sim->topology;
    sim_add_nodes (sim, n);
    for (unsigned i = 0; i < n; i++) {
        sim->nodes[i].role = is_hub (sim, i) ? WEIR_ROLE_HUB : WEIR_ROLE_LEAF;
    }
    for (unsigned a = 0; a < n; a++) {
        for (unsigned b = a + 1; b < n; b++) {
            if (has_link (sim, a, b)) {
                (void) sim_add_link (sim, a, b);
            }
        }
    }
}

/* A node that is left out has no links and never runs. Where that would part the others, the
 * history means nothing. */
static void
leave_out (struct sim *sim)
{
    for (unsigned n = 1; n < sim->n_nodes; n++) {
        struct sim_item item = { .trouble = -1, .absent = (int) n };
        if (add_item (sim, item)) {
            continue;
        }
        sim->nodes[n].absent = true;
        for (unsigned i = 0; i < sim->nodes[n].n_links; i++) {
            sim->nodes[n].links[i]->wanted = false;
        }
    }
    if (!sim_connected (sim, SIM_NO_NODE)) {
        sim_fail (sim, "%s", SIM_MEANINGLESS);
    }
}

/* ---- troubles ---- */

/* Percent of messages, links or nodes it befalls, in `often` percent of the histories. */
static const struct {
    unsigned often;
    unsigned least;
    unsigned range;
} troubles[SIM_TROUBLES] = {
    [SIM_LOSES] = { 25, 1, 20 },      [SIM_REPEATS] = { 25, 1, 20 },
    [SIM_REORDERS] = { 25, 1, 20 },   [SIM_DELAYS] = { 20, 1, 10 },
    [SIM_THROTTLES] = { 15, 20, 80 }, [SIM_FLIPS] = { 15, 1, 10 },
    [SIM_SPOILS] = { 15, 1, 30 },     [SIM_SKEWS] = { 30, 30, 70 },
    [SIM_LIES] = { 15, 10, 90 },      [SIM_ONE_WAY] = { 15, 10, 40 },
    [SIM_DISABLED] = { 10, 20, 60 },  [SIM_OLD] = { 15, 20, 60 },
};

static void
trouble_links (struct sim *sim)
{
    for (unsigned i = 0; i < sim->n_links; i++) {
        struct sim_link *link = sim->links[i];
        bool slow = drawn (sim, sim->trouble[SIM_THROTTLES]);
        uint64_t rate = 8000u << draw (sim, 6); /* 64 kbit/s and more */
        link->rate = slow ? rate : 0;
        bool one_way = drawn (sim, sim->trouble[SIM_ONE_WAY]);
        unsigned end = draw (sim, 2);
        link->direction[end] = one_way ? WEIR_SYNC_PUSH + draw (sim, 2) : WEIR_SYNC_BOTH;
        sim->one_way = sim->one_way || one_way;
        if (one_way) {
            sim_count (sim, SIM_N_ONE_WAY);
        }
    }
}

static void
trouble_nodes (struct sim *sim)
{
    for (unsigned n = 0; n < sim->n_nodes; n++) {
        struct sim_node *node = &sim->nodes[n];
        bool skewed = drawn (sim, sim->trouble[SIM_SKEWS]);
        node->skew_ms = (int64_t) draw (sim, 2000000) - 1000000;
        node->skew_ms = skewed ? node->skew_ms * 100 : 0; /* a day and more */
        node->enabled = !drawn (sim, sim->trouble[SIM_DISABLED]) || n == 0;
        node->protocol = drawn (sim, sim->trouble[SIM_OLD]) ? 1 : 0;
        node->spoiler = sim->trouble[SIM_SPOILS] > 0 && drawn (sim, 40);
        if (!node->enabled) {
            sim_count (sim, SIM_N_DISABLED);
        }
        if (node->protocol == 1) {
            sim_count (sim, SIM_N_OLD);
        }
    }
    for (unsigned i = 0; i < sim->n_links; i++) {
        const struct sim_link *l = sim->links[i]; /* where neither begins, nothing flows */
        sim->one_way = sim->one_way || !(sim->nodes[l->a].enabled || sim->nodes[l->b].enabled);
    }
    unsigned liar = 1 + draw (sim, sim->n_nodes);
    unsigned habit = draw (sim, 1000);
    if (sim->trouble[SIM_LIES] > 0 && liar < sim->n_nodes && sim->n_nodes > 2
        && !sim->nodes[liar].absent && sim_connected (sim, liar)) {
        sim->nodes[liar].liar = true;
        sim->nodes[liar].habit = (enum sim_habit) (habit % SIM_HABITS);
    }
}

static void
make_troubles (struct sim *sim)
{
    sim->faults = drawn (sim, 75);
    for (int t = 0; t < SIM_TROUBLES; t++) {
        bool have = drawn (sim, troubles[t].often);
        unsigned percent = troubles[t].least + draw (sim, troubles[t].range);
        bool kept = add_item (sim, (struct sim_item){ .trouble = t, .absent = -1 });
        sim->trouble[t] = sim->faults && have && kept ? percent : 0;
    }
    trouble_links (sim);
    trouble_nodes (sim);
    static const enum sim_trouble hides[] = {
        SIM_LOSES,   SIM_REORDERS, SIM_SPOILS, SIM_LIES,
        SIM_ONE_WAY, SIM_DISABLED, SIM_DELAYS, SIM_THROTTLES
    };
    for (size_t i = 0; i < sizeof hides / sizeof hides[0]; i++) {
        sim->silent = sim->silent || sim->trouble[hides[i]] > 0;
    }
}

/* ---- databases and the script ---- */

/* Whoever invites has been a member for longer: from node 0 outwards. */
static unsigned *
order_of_joining (const struct sim *sim)
{
    unsigned *order = weir_alloc (sim->n_nodes * sizeof order[0]);
    bool *seen = weir_alloc (sim->n_nodes * sizeof seen[0]);
    unsigned n = 0;
    seen[0] = true;
    order[n++] = 0;
    for (unsigned at = 0; n < sim->n_nodes; at++) {
        const struct sim_node *node = at < n ? &sim->nodes[order[at]] : NULL;
        for (unsigned i = 0; node && i < node->n_links; i++) {
            unsigned other = node->links[i]->a + node->links[i]->b - node->index;
            if (!seen[other] && node->links[i]->wanted) {
                seen[other] = true;
                order[n++] = other;
            }
        }
        for (unsigned i = 0; !node && i < sim->n_nodes; i++) {
            if (!seen[i]) {
                seen[i] = true;
                order[n++] = i;
                break;
            }
        }
    }
    free (seen);
    return order;
}

void
sim_make_databases (struct sim *sim, unsigned n_dbs)
{
    struct sim_node *first = &sim->nodes[0];
    sim->n_dbs = n_dbs;
    sim->dice = &first->rand;
    for (unsigned d = 0; d < sim->n_dbs; d++) {
        struct weir_error error = { 0 };
        if (weir_repo_create (first->repo, "notes", sim_wall (sim, first), &sim->dbs[d], &error)
            != WEIR_OK) {
            sim_fail (sim, "create: %s", error.what);
            return;
        }
    }
    first->joined = true;
    unsigned *order = order_of_joining (sim);
    for (unsigned i = 1; i < sim->n_nodes; i++) {
        unsigned n = order[i];
        struct sim_node *node = &sim->nodes[n];
        enum weir_right right = drawn (sim, 40) ? WEIR_RIGHT_ADMIN : WEIR_RIGHT_WRITE;
        if (n != sim->late && !node->absent) {
            (void) sim_change_member (sim, first, n, right);
            node->joined = true;
            for (unsigned d = 0; d < sim->n_dbs; d++) {
                if (weir_repo_expect (node->repo, &sim->dbs[d]) != WEIR_OK) {
                    sim_fail (sim, "expect");
                }
            }
            sim_store_dirty (sim, node);
        }
    }
    free (order);
    sim_store_dirty (sim, first);
    for (unsigned n = 0; n < sim->n_nodes; n++) {
        if (!sim->nodes[n].absent) {
            sim_share_all (sim, &sim->nodes[n]);
        }
    }
}

static void
make_faults (struct sim *sim, uint64_t from, unsigned length)
{
    static const enum sim_script faults[] = { SIM_CUT,        SIM_CUT,        SIM_BLOCK,
                                              SIM_BLOCK,      SIM_CRASH,      SIM_KILL_STORE,
                                              SIM_KILL_STORE, SIM_KILL_PEERS, SIM_SETTINGS,
                                              SIM_REMOVE,     SIM_CLOCK };
    unsigned n = sim->faults ? 1 + draw (sim, 12 + sim->n_nodes / 2) : 0;
    for (unsigned i = 0; i < n; i++) {
        enum sim_script what = faults[draw (sim, sizeof faults / sizeof faults[0])];
        unsigned where = draw (sim, 60 * sim->n_nodes);
        uint64_t at = from + draw (sim, length);
        /* Who joined late is a stranger to those whom only a removed one could have told; and
         * where data flow one way only, a removal may never get back. */
        if (what != SIM_REMOVE || (sim->late == 0 && !sim->one_way)) {
            script (sim, what, where, at);
        }
    }
    if (sim->faults && drawn (sim, 20)) {
        unsigned who = draw (sim, sim->n_nodes);
        uint64_t at = from + draw (sim, length / 2);
        script (sim, SIM_BACKUP, who, at);
        script (sim, SIM_ROLL_BACK, who, at + draw (sim, length / 2));
    }
}

static void
make_script (struct sim *sim)
{
    uint64_t from = sim->now_ms + 500;
    /* Some histories are short and dense: much crosses on its way. */
    unsigned length = drawn (sim, 30) ? 300 + draw (sim, 3000) : 5000 + draw (sim, 30000);
    unsigned edits = 5 + draw (sim, 30);
    for (unsigned i = 0; i < edits; i++) {
        enum sim_script what = drawn (sim, 20) ? SIM_BURST : SIM_EDIT;
        unsigned node = draw (sim, sim->n_nodes);
        script (sim, what, node, from + draw (sim, length));
    }
    if (sim->late != 0) {
        script (sim, SIM_JOIN, sim->late, from + draw (sim, length));
        sim_count (sim, SIM_N_LATE);
    }
    make_faults (sim, from, length);
    sim_script (sim, SIM_END_OF_FAULTS, 0, from + length + 1);
}

void
sim_plan (struct sim *sim, const struct sim_setup *setup)
{
    sim->setup = *setup;
    sim->now_ms = 1000;
    make_topology (sim);
    leave_out (sim);
    make_troubles (sim);
    bool late = sim->n_nodes > 2 && drawn (sim, 30);
    sim->late = late && !sim->nodes[sim->n_nodes - 1].liar && !sim->one_way ? sim->n_nodes - 1 : 0;
    for (unsigned n = 0; n < sim->n_nodes && sim->failure[0] == 0; n++) {
        sim_boot (sim, &sim->nodes[n]);
    }
    if (sim->failure[0] != 0) {
        return;
    }
    unsigned dbs = 1 + (drawn (sim, 25) ? 1 : 0);
    bool many = drawn (sim, 2); /* enough for summaries of digests */
    sim_make_databases (sim, many && sim->n_nodes < LARGE ? SIM_DBS_MAX : dbs);
    for (unsigned i = 0; i < sim->n_links; i++) {
        sim_connect_later (sim, sim->links[i]);
    }
    make_script (sim);
    if (sim->n_nodes >= LARGE) {
        sim_count (sim, SIM_N_LARGE);
    }
    sim_log (sim, "seed %llu: %s, %u nodes, %u links", (unsigned long long) setup->seed,
             names[sim->topology], sim->n_nodes, sim->n_links);
}

size_t
sim_plan_items (const struct sim_setup *setup)
{
    struct sim_stats stats = { 0 };
    struct sim *sim = sim_new (setup, &stats);
    sim_plan (sim, setup);
    size_t n = sim->n_items;
    sim_free (sim);
    return n;
}
