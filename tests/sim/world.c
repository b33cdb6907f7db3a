/* The world of one history: virtual time, nodes, and the links between them with their faults.
 * Everything is drawn from one seed. */

#include "tests/sim/sim.h"
#include "store/sync/sync_state.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEPS_MAX 400000u
#define RECOVERY_MS 3000u
#define SETTLED_MS (3u * WEIR_TRANSFER_STALL_MS) /* what was lost has timed out by then */

enum topology { PAIR, TRIANGLE, CHAIN, HUB, MESH, TOPOLOGIES };

/* ---- events ---- */

struct sim_event *
sim_event_new (enum sim_event_type type, unsigned node)
{
    struct sim_event *e = weir_alloc (sizeof *e);
    e->type = type;
    e->node = node;
    return e;
}

void
sim_event_free (struct sim_event *e)
{
    if (!e) {
        return;
    }
    weir_buf_fini (&e->body);
    weir_sync_message_fini (&e->message);
    weir_sync_message_fini (&e->action.message);
    free (e->action.rows);
    weir_ranges_fini (&e->action.ranges);
    weir_ranges_fini (&e->ranges);
    weir_vector_fini (&e->unknown);
    free (e->rows);
    free (e);
}

/* Of what travels over links. */
static struct sim_event *
copy_event (const struct sim_event *e)
{
    struct sim_event *copy = weir_alloc (sizeof *copy);
    *copy = *e;
    memset (&copy->body, 0, sizeof copy->body);
    weir_buf_put_bytes (&copy->body, weir_buf_bytes (&e->body));
    weir_sync_message_copy (&copy->message, &e->message);
    return copy;
}

static int
event_order (const void *a, const void *b)
{
    const struct sim_event *x = a;
    const struct sim_event *y = b;
    if (x->at_ms != y->at_ms) {
        return x->at_ms < y->at_ms ? -1 : 1;
    }
    return x->order < y->order ? -1 : 1;
}

void
sim_post (struct sim *sim, struct sim_event *e, uint64_t at_ms)
{
    e->at_ms = at_ms;
    e->order = ++sim->order;
    weir_heap_push (&sim->events, e);
}

void
sim_script (struct sim *sim, enum sim_script what, unsigned node, uint64_t at_ms)
{
    struct sim_event *e = sim_event_new (SIM_SCRIPT, node);
    e->script = what;
    sim_post (sim, e, at_ms);
}

void
sim_fail (struct sim *sim, const char *format, ...)
{
    if (sim->failure[0] == 0) {
        va_list args;
        va_start (args, format);
        (void) vsnprintf (sim->failure, sizeof sim->failure, format, args);
        va_end (args);
    }
}

void
sim_log (const struct sim *sim, const char *format, ...)
{
    if (sim->verbose) {
        va_list args;
        va_start (args, format);
        printf ("%8llu ", (unsigned long long) sim->now_ms);
        (void) vprintf (format, args);
        printf ("\n");
        va_end (args);
    }
}

/* ---- links ---- */

static struct weir_bytes
ends_key (uint8_t key[16], unsigned a, unsigned b)
{
    weir_store_u64 (key, a < b ? a : b);
    weir_store_u64 (key + 8, a < b ? b : a);
    return weir_bytes (key, 16);
}

struct sim_link *
sim_link_between (const struct sim *sim, unsigned a, unsigned b)
{
    uint8_t key[16];
    return weir_map_get (sim->by_ends, ends_key (key, a, b));
}

struct sim_node *
sim_peer (const struct sim *sim, const struct weir_id *device)
{
    return weir_map_get (sim->by_device, weir_id_bytes (device));
}

unsigned
sim_below (struct sim *sim, unsigned n)
{
    return (unsigned) weir_rand_below (&sim->rand, n);
}

bool
sim_chance (struct sim *sim, unsigned percent)
{
    return sim_below (sim, 100) < percent;
}

void
sim_send (struct sim *sim, struct sim_event *e)
{
    struct sim_link *link = sim_link_between (sim, e->from, e->node);
    unsigned way = link && link->a == e->from ? 0 : 1;
    if (!link || link->session != e->session || link->blocked[way]) {
        sim->stats->lost++;
        sim_event_free (e);
        return;
    }
    uint64_t at = sim->now_ms + link->latency_ms + sim_below (sim, 3);
    bool harsh = !sim->quiet && sim->loss_percent > 0;
    if (harsh && sim_chance (sim, sim->loss_percent)) {
        sim->stats->lost++;
        sim_event_free (e);
        return;
    }
    if (harsh && sim_chance (sim, sim->loss_percent)) {
        sim_post (sim, copy_event (e), at + sim_below (sim, 200));
    }
    if (harsh && sim_chance (sim, sim->loss_percent)) {
        at += sim_below (sim, 200); /* overtaken by what comes behind it */
    } else {
        at = at > link->last_ms[way] ? at : link->last_ms[way];
        link->last_ms[way] = at;
    }
    sim_post (sim, e, at);
}

static void
tell_session (struct sim *sim, struct sim_link *link, uint64_t session, bool up, unsigned node,
              uint64_t at_ms)
{
    struct sim_event *e = sim_event_new (SIM_SESSION, node);
    e->from = link->a == node ? link->b : link->a;
    e->session = session;
    e->up = up;
    e->epoch = sim->nodes[node].epochs[SIM_PEERS];
    sim_post (sim, e, at_ms);
}

static void
connect_later (struct sim *sim, struct sim_link *link)
{
    sim_script (sim, SIM_CONNECT, (unsigned) (link - sim->links),
                sim->now_ms + WEIR_RECONNECT_MS_MIN + sim_below (sim, WEIR_RECONNECT_MS_MAX));
}

void
sim_end_session (struct sim *sim, struct sim_link *link)
{
    if (link->session != 0) {
        bool first = sim_chance (sim, 50);
        uint64_t late = sim->now_ms + sim_below (sim, WEIR_HEARTBEAT_TIMEOUT_MS);
        tell_session (sim, link, link->session, false, link->a, first ? sim->now_ms : late);
        tell_session (sim, link, link->session, false, link->b, first ? late : sim->now_ms);
        link->session = 0;
        connect_later (sim, link);
    }
}

void
sim_connect (struct sim *sim, struct sim_link *link)
{
    bool both = sim->nodes[link->a].sync && sim->nodes[link->b].sync;
    if (!link->wanted || link->session != 0) {
        return;
    }
    if (!both || link->cut || link->blocked[0] || link->blocked[1]) {
        connect_later (sim, link);
        return;
    }
    link->session = ++sim->next_session;
    link->last_ms[0] = sim->now_ms + link->latency_ms;
    link->last_ms[1] = sim->now_ms + link->latency_ms;
    tell_session (sim, link, link->session, true, link->a, sim->now_ms);
    tell_session (sim, link, link->session, true, link->b, sim->now_ms);
    sim_log (sim, "session %u between %u and %u", (unsigned) link->session, link->a, link->b);
}

/* ---- one history ---- */

static void
add_end (struct sim_node *node, struct sim_link *link)
{
    size_t cap = node->n_links;
    weir_grow (&node->links, &cap, node->n_links + 1u, sizeof (struct sim_link *));
    node->links[node->n_links++] = link;
}

static void
add_link (struct sim *sim, unsigned a, unsigned b)
{
    uint8_t key[16];
    struct sim_link *link = &sim->links[sim->n_links++];
    *link =
        (struct sim_link){ .a = a, .b = b, .wanted = true, .latency_ms = 1 + sim_below (sim, 40) };
    (void) weir_map_put (sim->by_ends, ends_key (key, a, b), link);
    add_end (&sim->nodes[a], link);
    add_end (&sim->nodes[b], link);
}

static void
make_topology (struct sim *sim)
{
    sim->topology = sim_below (sim, TOPOLOGIES);
    sim->n_nodes = sim->topology == PAIR       ? 2
                   : sim->topology == TRIANGLE ? 3
                                               : 3 + sim_below (sim, 3);
    sim->nodes = weir_alloc (sim->n_nodes * sizeof sim->nodes[0]);
    sim->links = weir_alloc (sim->n_nodes * sim->n_nodes * sizeof sim->links[0]);
    for (unsigned n = 0; n < sim->n_nodes; n++) {
        bool hub = (sim->topology == HUB && n == 0)
                   || (sim->topology == CHAIN && n > 0 && n + 1 < sim->n_nodes)
                   || sim_chance (sim, 50);
        sim_node_init (sim, n, hub ? WEIR_ROLE_HUB : WEIR_ROLE_LEAF);
    }
    for (unsigned a = 0; a < sim->n_nodes; a++) {
        for (unsigned b = a + 1; b < sim->n_nodes; b++) {
            bool wanted = sim->topology <= TRIANGLE || (sim->topology == CHAIN && b == a + 1)
                          || (sim->topology == HUB && a == 0)
                          || (sim->topology == MESH && (b == a + 1 || sim_chance (sim, 60)));
            if (wanted) {
                add_link (sim, a, b);
            }
        }
    }
}

static void
make_databases (struct sim *sim, unsigned late)
{
    struct sim_node *first = &sim->nodes[0];
    sim->n_dbs = 1 + (sim_chance (sim, 25) ? 1 : 0);
    for (unsigned d = 0; d < sim->n_dbs; d++) {
        struct weir_error error = { 0 };
        if (weir_repo_create (first->repo, "notes", sim->now_ms, &sim->dbs[d], &error) != WEIR_OK) {
            sim_fail (sim, "create: %s", error.what);
            return;
        }
    }
    first->joined = true;
    for (unsigned n = 1; n < sim->n_nodes; n++) {
        if (n != late) {
            (void) sim_change_member (sim, first, n,
                                      sim_chance (sim, 40) ? WEIR_RIGHT_ADMIN : WEIR_RIGHT_WRITE);
            sim->nodes[n].joined = true;
            for (unsigned d = 0; d < sim->n_dbs; d++) {
                if (weir_repo_expect (sim->nodes[n].repo, &sim->dbs[d]) != WEIR_OK) {
                    sim_fail (sim, "expect");
                }
            }
            sim_store_dirty (sim, &sim->nodes[n]);
        }
    }
    sim_store_dirty (sim, first);
    for (unsigned n = 0; n < sim->n_nodes; n++) {
        sim_share_all (sim, &sim->nodes[n]);
    }
}

static void
make_script (struct sim *sim, unsigned late)
{
    static const enum sim_script faults[] = { SIM_CUT,        SIM_CUT,        SIM_BLOCK,
                                              SIM_BLOCK,      SIM_CRASH,      SIM_KILL_STORE,
                                              SIM_KILL_STORE, SIM_KILL_PEERS, SIM_SETTINGS,
                                              SIM_REMOVE };
    uint64_t from = sim->now_ms + 500;
    /* Some histories are short and dense: much crosses on its way. */
    unsigned length =
        sim_chance (sim, 30) ? 300 + sim_below (sim, 3000) : 5000 + sim_below (sim, 30000);
    unsigned edits = 5 + sim_below (sim, 30);
    for (unsigned i = 0; i < edits; i++) {
        sim_script (sim, sim_chance (sim, 20) ? SIM_BURST : SIM_EDIT, sim_below (sim, sim->n_nodes),
                    from + sim_below (sim, length));
    }
    if (late != 0) {
        sim_script (sim, SIM_JOIN, late, from + sim_below (sim, length));
    }
    unsigned n = sim->faults ? 1 + sim_below (sim, 12) : 0;
    for (unsigned i = 0; i < n; i++) {
        enum sim_script what = faults[sim_below (sim, sizeof faults / sizeof faults[0])];
        unsigned where = sim_below (sim, 60);
        uint64_t at = from + sim_below (sim, length);
        /* Who joined late is a stranger to those whom only a removed one could have told. */
        if (what != SIM_REMOVE || late == 0) {
            sim_script (sim, what, where, at);
        }
    }
    if (sim->faults && sim_chance (sim, 20)) {
        unsigned who = sim_below (sim, sim->n_nodes);
        uint64_t at = from + sim_below (sim, length / 2);
        sim_script (sim, SIM_BACKUP, who, at);
        sim_script (sim, SIM_ROLL_BACK, who, at + sim_below (sim, length / 2));
    }
    sim_script (sim, SIM_END_OF_FAULTS, 0, from + length + 1);
}

static void
start (struct sim *sim)
{
    sim->now_ms = 1000;
    weir_heap_init (&sim->events, event_order);
    sim->written = weir_map_new ();
    sim->by_device = weir_map_new ();
    sim->by_ends = weir_map_new ();
    make_topology (sim);
    sim->faults = sim_chance (sim, 75);
    sim->loss_percent = sim->faults && sim_chance (sim, 30) ? 1 + sim_below (sim, 20) : 0;
    sim->silent = sim->loss_percent > 0;
    sim->late = sim->n_nodes > 2 && sim_chance (sim, 30) ? sim->n_nodes - 1 : 0;
    for (unsigned n = 0; n < sim->n_nodes; n++) {
        sim_store_start (sim, &sim->nodes[n]);
        sim_peers_start (sim, &sim->nodes[n]);
    }
    make_databases (sim, sim->late);
    for (unsigned i = 0; i < sim->n_links; i++) {
        connect_later (sim, &sim->links[i]);
    }
    make_script (sim, sim->late);
    sim_log (sim, "seed %llu: topology %u, %u nodes, %u links, loss %u %%",
             (unsigned long long) sim->seed, sim->topology, sim->n_nodes, sim->n_links,
             sim->loss_percent);
}

static void
serve (struct sim *sim, struct sim_event *e)
{
    struct sim_link *link;
    switch (e->type) {
    case SIM_SCRIPT:
        /* Nodes and links are drawn before it is known how many there are. */
        if (e->script == SIM_SETTINGS || e->script == SIM_REMOVE) {
            e->node %= sim->n_nodes;
        }
        sim_run_script (sim, e);
        sim_event_free (e);
        return;
    case SIM_MESSAGE:
    case SIM_FRAME:
    case SIM_ACK:
        link = sim_link_between (sim, e->from, e->node);
        if (!link || link->session != e->session) {
            sim->stats->lost++;
            sim_event_free (e);
            return;
        }
        break;
    case SIM_SESSION:
        if (e->epoch != sim->nodes[e->node].epochs[SIM_PEERS]) {
            sim_event_free (e);
            return;
        }
        break;
    case SIM_ASK:
    case SIM_TELL:
    case SIM_DISK:
    case SIM_TURN:
    case SIM_TICK:
    case SIM_WATCH:
        break;
    }
    sim_node_event (sim, &sim->nodes[e->node], e);
}

/* After the faults: converge in time, stay silent for two intervals, then the last checks. */
static bool
is_over (struct sim *sim, uint64_t *converged_ms, uint64_t said[2])
{
    if (!sim->quiet) {
        return false;
    }
    if (*converged_ms == 0) {
        /* Two intervals a hop; seconds, where nothing was lost in silence and hubs forward. */
        uint64_t limit = 2u * SIM_INTERVAL_MS * (sim->n_nodes - 1);
        if (!sim->silent && sim_hubs_inside (sim)) {
            limit = RECOVERY_MS * (sim->n_nodes - 1);
        }
        if (sim_converged (sim)) {
            *converged_ms = sim->now_ms;
            uint64_t took = sim->now_ms - sim->end_of_faults_ms;
            sim->stats->slowest_ms = took > sim->stats->slowest_ms ? took : sim->stats->slowest_ms;
            sim_log (sim, "---- converged after %llu ms", (unsigned long long) took);
        } else if (sim->now_ms > sim->end_of_faults_ms + limit) {
            sim_log_states (sim);
            sim_fail (sim, "P5: not converged within %llu ms", (unsigned long long) limit);
        }
        return false;
    }
    uint64_t since = sim->now_ms - *converged_ms;
    if (since >= SETTLED_MS && said[0] == 0) {
        said[0] = 1;
        for (unsigned n = 0; n < sim->n_nodes; n++) {
            said[1] += sim->nodes[n].messages + sim->nodes[n].frames;
        }
    }
    if (since < SETTLED_MS + 2 * SIM_INTERVAL_MS) {
        return false;
    }
    uint64_t now = 0;
    bool removed = false;
    for (unsigned n = 0; n < sim->n_nodes; n++) {
        now += sim->nodes[n].messages + sim->nodes[n].frames;
        removed = removed || sim->nodes[n].removed;
    }
    if (now != said[1] && !removed) {
        sim_fail (sim, "P6: %llu messages though all are in step",
                  (unsigned long long) (now - said[1]));
    }
    sim_check_end (sim);
    return true;
}

bool
sim_run (uint64_t seed, bool verbose, struct sim_stats *stats, char failure[512])
{
    struct sim *sim = weir_alloc (sizeof *sim);
    uint64_t converged_ms = 0;
    uint64_t said[2] = { 0, 0 };
    sim->seed = seed;
    sim->verbose = verbose;
    sim->stats = stats;
    weir_rand_init (&sim->rand, seed);
    start (sim);
    size_t steps = 0;
    while (sim->failure[0] == 0) {
        struct sim_event *e = weir_heap_pop (&sim->events);
        bool poll = e->type == SIM_SCRIPT && e->script == SIM_POLL;
        sim->now_ms = e->at_ms;
        serve (sim, e);
        stats->events++;
        if (++steps > STEPS_MAX) {
            sim_fail (sim, "P6: more than %u events", STEPS_MAX);
        }
        if (poll && is_over (sim, &converged_ms, said)) {
            break;
        }
    }
    for (unsigned n = 0; n < sim->n_nodes; n++) {
        stats->entries_new += sim->nodes[n].entries_new;
        stats->entries_again += sim->nodes[n].entries_again;
        stats->messages += sim->nodes[n].messages + sim->nodes[n].digests;
        sim_peers_stop (sim, &sim->nodes[n]);
        sim_node_fini (&sim->nodes[n]);
    }
    struct sim_event *e;
    while ((e = weir_heap_pop (&sim->events)) != NULL) {
        sim_event_free (e);
    }
    weir_heap_fini (&sim->events);
    weir_map_destroy (&sim->written, free);
    weir_map_destroy (&sim->by_device, NULL);
    weir_map_destroy (&sim->by_ends, NULL);
    free (sim->nodes);
    free (sim->links);
    stats->histories++;
    memcpy (failure, sim->failure, sizeof sim->failure);
    bool good = sim->failure[0] == 0;
    free (sim);
    return good;
}
