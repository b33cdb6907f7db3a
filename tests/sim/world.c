/* The world of one history: virtual time, the queue of what happens, and the run from the plan
 * to the last check. */

#include "tests/sim/sim.h"
#include "store/sync/sync_state.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEPS_A_NODE 100000u
#define RECOVERY_MS 3000u
#define SETTLED_MS (3u * WEIR_TRANSFER_STALL_MS) /* what was lost has timed out by then */
/* A session's digests in two intervals, asked for and answered, each side's timer jittered. */
#define DIGESTS_A_LINK 12u
/* Where both can never be equal they compare, ever more seldom. */
#define MESSAGES_A_DIFFERENCE 60u

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
    free (e->fed);
    free (e);
}

struct sim_event *
sim_event_copy (const struct sim_event *e)
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
    e->at_ms = at_ms > sim->now_ms ? at_ms : sim->now_ms;
    e->order = ++sim->order;
    weir_heap_push (&sim->events, e);
}

void
sim_script (struct sim *sim, enum sim_script what, unsigned node, uint64_t at_ms)
{
    struct sim_event *e = sim_event_new (SIM_SCRIPT, node);
    e->script = what;
    e->dice = sim->setup.seed ^ (at_ms << 20) ^ ((uint64_t) what << 8) ^ node;
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
        sim_log (sim, "FAILED: %s", sim->failure);
    }
}

void
sim_log (const struct sim *sim, const char *format, ...)
{
    if (sim->setup.verbose) {
        va_list args;
        va_start (args, format);
        printf ("%8llu ", (unsigned long long) sim->now_ms);
        (void) vprintf (format, args);
        printf ("\n");
        va_end (args);
    }
}

/* ---- luck ---- */

unsigned
sim_below (struct sim *sim, unsigned n)
{
    return (unsigned) weir_rand_below (sim->dice, n);
}

bool
sim_chance (struct sim *sim, unsigned percent)
{
    return percent > 0 && sim_below (sim, 100) < percent;
}

void
sim_count (struct sim *sim, enum sim_count what)
{
    sim->stats->counts[what]++;
}

/* ---- one history ---- */

static void
serve (struct sim *sim, struct sim_event *e)
{
    struct sim_link *link;
    switch (e->type) {
    case SIM_SCRIPT:
        weir_rand_init (&sim->script_rand, e->dice);
        sim->dice = &sim->script_rand;
        sim_run_script (sim, e);
        sim_event_free (e);
        return;
    case SIM_MESSAGE:
    case SIM_FRAME:
    case SIM_ACK:
        link = sim_link_between (sim, e->from, e->node);
        if (!link || link->session != e->session) {
            sim_count (sim, SIM_N_LOST);
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
    case SIM_BOSS:
        sim->dice = &sim->nodes[e->node].rand;
        if (e->at_ms == sim->nodes[e->node].boss_ms) {
            sim_on_boss (sim, &sim->nodes[e->node]);
        }
        sim_event_free (e);
        return;
    case SIM_ASK:
    case SIM_TELL:
    case SIM_DISK:
    case SIM_TURN:
    case SIM_TICK:
    case SIM_WATCH:
        break;
    }
    sim->dice = &sim->nodes[e->node].rand;
    sim_node_event (sim, &sim->nodes[e->node], e);
}

void
sim_next (struct sim *sim)
{
    struct sim_event *e = weir_heap_pop (&sim->events);
    sim->now_ms = e->at_ms;
    sim->stats->events++;
    serve (sim, e);
}

struct sim *
sim_new (const struct sim_setup *setup, struct sim_stats *stats)
{
    struct sim *sim = weir_alloc (sizeof *sim);
    sim->setup = *setup;
    sim->stats = stats;
    weir_rand_init (&sim->rand, setup->seed);
    sim->dice = &sim->rand;
    weir_heap_init (&sim->events, event_order);
    sim->written = weir_map_new ();
    sim->by_device = weir_map_new ();
    sim->by_ends = weir_map_new ();
    return sim;
}

void
sim_free (struct sim *sim)
{
    struct sim_event *e;
    for (unsigned n = 0; n < sim->n_nodes; n++) {
        struct sim_node *node = &sim->nodes[n];
        sim->stats->entries_new += node->entries_new;
        sim->stats->entries_again += node->entries_again;
        sim->stats->messages += node->messages + node->digests;
        sim_peers_stop (sim, node);
        sim_node_fini (node);
    }
    while ((e = weir_heap_pop (&sim->events)) != NULL) {
        sim_event_free (e);
    }
    for (unsigned i = 0; i < sim->n_links; i++) {
        for (unsigned d = 0; d < SIM_DBS_MAX; d++) {
            sim_view_fini (&sim->links[i]->views[0][d]);
            sim_view_fini (&sim->links[i]->views[1][d]);
        }
        free (sim->links[i]);
    }
    weir_heap_fini (&sim->events);
    weir_map_destroy (&sim->written, free);
    weir_map_destroy (&sim->by_device, NULL);
    weir_map_destroy (&sim->by_ends, NULL);
    free (sim->items);
    free (sim->nodes);
    free (sim->links);
    free (sim);
}

/* ---- its end ---- */

/* What was said by now that says more than "so I am": and digests, and what may be said where
 * two can never be equal. */
struct said {
    uint64_t data;
    uint64_t digests;
    uint64_t allowed;
    uint64_t digests_allowed;
};

static struct said
count_said (const struct sim *sim)
{
    struct said said = { 0 };
    for (unsigned n = 0; n < sim->n_nodes; n++) {
        said.data += sim->nodes[n].messages + sim->nodes[n].frames;
        said.digests += sim->nodes[n].digests;
    }
    for (unsigned i = 0; i < sim->n_links; i++) {
        const struct sim_link *link = sim->links[i];
        bool differ = !sim_flows (sim, link, link->a) || !sim_flows (sim, link, link->b);
        bool odd = sim->nodes[link->a].removed || sim->nodes[link->b].removed;
        said.digests_allowed += link->wanted ? DIGESTS_A_LINK : 0;
        said.allowed += link->wanted && differ ? MESSAGES_A_DIFFERENCE * sim->n_dbs : 0;
        if (odd) {
            said.allowed = UINT64_MAX / 2; /* watch.c has a bound for these */
        }
    }
    if (said.allowed > 0) {
        said.digests_allowed += said.allowed;
    }
    return said;
}

static void
check_silence (struct sim *sim, const struct said *before)
{
    struct said now = count_said (sim);
    if (now.data > before->data + now.allowed) {
        sim_log_states (sim);
        sim_fail (sim, "P6: %llu messages though all are in step",
                  (unsigned long long) (now.data - before->data));
    }
    if (now.digests > before->digests + now.digests_allowed) {
        sim_fail (sim, "P6: %llu digests said in two intervals over %u links",
                  (unsigned long long) (now.digests - before->digests), sim->n_links);
    }
}

/* Two intervals a hop; seconds, where nothing was lost in silence and hubs forward. */
static uint64_t
patience (struct sim *sim)
{
    unsigned hops = sim->n_nodes - 1;
    if (!sim->silent && sim_hubs_inside (sim) && sim_is_tree (sim)) {
        return RECOVERY_MS * hops;
    }
    return 2u * SIM_INTERVAL_MS * hops + WEIR_SYNC_BACKOFF_MS_MAX;
}

/* A liar has no say in whether the others come to rest: once they agree, it goes. False when
 * there is none any more. */
static bool
send_away (struct sim *sim)
{
    bool any = false;
    for (unsigned i = 0; i < sim->n_links; i++) {
        struct sim_link *link = sim->links[i];
        if (link->wanted && (sim->nodes[link->a].liar || sim->nodes[link->b].liar)) {
            link->wanted = false;
            sim_end_session (sim, link);
            any = true;
        }
    }
    return any;
}

struct ending {
    uint64_t converged_ms;
    bool settled;
    struct said said;
};

/* After the faults: converge in time, stay silent for two intervals, then the last checks. */
static bool
is_over (struct sim *sim, struct ending *ending)
{
    if (!sim->quiet) {
        return false;
    }
    if (ending->converged_ms == 0) {
        uint64_t took = sim->now_ms - sim->end_of_faults_ms;
        if (sim_converged (sim) && send_away (sim)) {
            sim_log (sim, "---- converged, with the liar there");
        } else if (sim_converged (sim)) {
            ending->converged_ms = sim->now_ms;
            sim->stats->slowest_ms = took > sim->stats->slowest_ms ? took : sim->stats->slowest_ms;
            sim_log (sim, "---- converged after %llu ms", (unsigned long long) took);
        } else if (took > patience (sim)) {
            sim_log_states (sim);
            sim_fail (sim, "P5: not converged within %llu ms", (unsigned long long) patience (sim));
        }
        return false;
    }
    uint64_t since = sim->now_ms - ending->converged_ms;
    if (since >= SETTLED_MS && !ending->settled) {
        ending->settled = true;
        ending->said = count_said (sim);
    }
    if (since < SETTLED_MS + 2 * SIM_INTERVAL_MS) {
        return false;
    }
    check_silence (sim, &ending->said);
    sim_check_end (sim);
    return true;
}

bool
sim_run (const struct sim_setup *setup, struct sim_stats *stats, char failure[512])
{
    struct sim *sim = sim_new (setup, stats);
    struct ending ending = { 0 };
    uint64_t before = stats->events;
    sim_plan (sim, setup);
    while (sim->failure[0] == 0) {
        const struct sim_event *e = weir_heap_peek (&sim->events);
        bool poll = e->type == SIM_SCRIPT && e->script == SIM_POLL;
        sim_next (sim);
        if (stats->events - before > STEPS_A_NODE * sim->n_nodes) {
            sim_fail (sim, "P6: more than %u events a node", STEPS_A_NODE);
        }
        for (unsigned n = 0; poll && n < sim->n_nodes; n++) {
            sim_watch_bounds (sim, &sim->nodes[n]);
        }
        if (poll && is_over (sim, &ending)) {
            break;
        }
    }
    stats->histories++;
    memcpy (failure, sim->failure, sizeof sim->failure);
    bool good = sim->failure[0] == 0;
    if (strcmp (failure, SIM_MEANINGLESS) == 0) {
        stats->meaningless++;
        good = true;
    }
    sim_free (sim);
    return good;
}
