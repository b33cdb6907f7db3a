/* Links: sessions that begin and end, and messages that are late, lost, repeated, overtaken,
 * throttled or flipped on their way. What a link does is drawn from its own luck, so that a
 * history with something left out goes on alike. */

#include "tests/sim/sim.h"

#include <string.h>

#define MESSAGE_BYTES 48u /* an envelope, encrypted */
#define LATE_MS 2000u

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

static void
add_end (struct sim_node *node, struct sim_link *link)
{
    size_t cap = node->n_links;
    weir_grow (&node->links, &cap, node->n_links + 1u, sizeof (struct sim_link *));
    node->links[node->n_links++] = link;
}

struct sim_link *
sim_add_link (struct sim *sim, unsigned a, unsigned b)
{
    uint8_t key[16];
    struct sim_link *link = weir_alloc (sizeof *link);
    *link = (struct sim_link){ .a = a,
                               .b = b,
                               .at = sim->n_links,
                               .wanted = true,
                               .latency_ms = 1 + weir_rand_below (&sim->rand, 40),
                               .direction = { WEIR_SYNC_BOTH, WEIR_SYNC_BOTH } };
    weir_rand_init (&link->rand, weir_rand_u64 (&sim->rand));
    weir_grow (&sim->links, &sim->links_cap, sim->n_links + 1u, sizeof (struct sim_link *));
    sim->links[sim->n_links++] = link;
    (void) weir_map_put (sim->by_ends, ends_key (key, a, b), link);
    add_end (&sim->nodes[a], link);
    add_end (&sim->nodes[b], link);
    return link;
}

bool
sim_flows (const struct sim *sim, const struct sim_link *link, unsigned from)
{
    unsigned way = link->a == from ? 0 : 1;
    bool one_is_enabled = sim->nodes[link->a].enabled || sim->nodes[link->b].enabled;
    return link->wanted && one_is_enabled && (link->direction[way] & WEIR_SYNC_PUSH) != 0
           && (link->direction[1 - way] & WEIR_SYNC_PULL) != 0;
}

/* ---- messages ---- */

size_t
sim_bytes (const struct sim_event *e)
{
    size_t bytes = MESSAGE_BYTES + e->body.len;
    if (e->type == SIM_MESSAGE) {
        bytes += e->message.n_digests * 44 + e->message.n_rows * 76 + e->message.n_bytes;
        bytes += e->message.n_marks * 16 + e->message.n_wants * 40;
        for (size_t i = 0; i < e->message.n_rows; i++) {
            bytes += e->message.rows[i].n_samples * 44;
        }
    }
    return bytes;
}

static void
lose (struct sim *sim, struct sim_event *e)
{
    sim_count (sim, SIM_N_LOST);
    sim_event_free (e);
}

/* When the last byte has left, behind what was sent before it. */
static uint64_t
leave (struct sim *sim, struct sim_link *link, unsigned way, size_t bytes)
{
    uint64_t now_us = sim->now_ms * 1000;
    if (link->rate == 0) {
        return sim->now_ms;
    }
    if (link->free_us[way] > now_us) {
        sim_count (sim, SIM_N_THROTTLED);
    } else {
        link->free_us[way] = now_us;
    }
    link->free_us[way] += bytes * 1000000 / link->rate;
    return link->free_us[way] / 1000;
}

/* CURVE authenticates: a flipped bit ends the session. */
static bool
flips (struct sim *sim, struct sim_link *link)
{
    if (!sim_chance (sim, sim->trouble[SIM_FLIPS]) || sim_below (sim, 10) > 0) {
        return false;
    }
    sim_count (sim, SIM_N_FLIPPED);
    sim_end_session (sim, link);
    return true;
}

static void
carry (struct sim *sim, struct sim_link *link, unsigned way, struct sim_event *e)
{
    uint64_t at = leave (sim, link, way, sim_bytes (e)) + link->latency_ms + sim_below (sim, 3);
    if (!sim->quiet && sim->faults) {
        if (sim_chance (sim, sim->trouble[SIM_LOSES]) || flips (sim, link)) {
            lose (sim, e);
            return;
        }
        if (sim_chance (sim, sim->trouble[SIM_REPEATS])) {
            sim_count (sim, SIM_N_REPEATED);
            sim_post (sim, sim_event_copy (e), at + sim_below (sim, 200));
        }
        if (sim_chance (sim, sim->trouble[SIM_DELAYS])) {
            sim_count (sim, SIM_N_DELAYED);
            at += sim_below (sim, LATE_MS); /* and what is behind it waits */
        } else if (sim_chance (sim, sim->trouble[SIM_REORDERS])) {
            sim_count (sim, SIM_N_REORDERED);
            sim_post (sim, e, at + sim_below (sim, 200)); /* overtaken by what comes behind it */
            return;
        }
    }
    at = at > link->last_ms[way] ? at : link->last_ms[way];
    link->last_ms[way] = at;
    sim_post (sim, e, at);
}

void
sim_send (struct sim *sim, struct sim_event *e)
{
    struct sim_link *link = sim_link_between (sim, e->from, e->node);
    unsigned way = link && link->a == e->from ? 0 : 1;
    struct sim_node *sender = &sim->nodes[e->from];
    struct weir_rand *dice = sim->dice;
    sender->bytes += sim_bytes (e);
    sender->acks += e->type == SIM_ACK;
    if (!link || link->session != e->session || link->blocked[way]) {
        lose (sim, e);
        return;
    }
    link->said[way]++;
    sim->dice = &link->rand;
    bool harm = sim->faults && !sim->quiet;
    if (harm && sender->spoiler && e->body.len > 0 && sim_chance (sim, sim->trouble[SIM_SPOILS])) {
        sim_spoil (sim, e);
    }
    if (sender->liar && !sim_lie (sim, e)) {
        lose (sim, e);
    } else {
        carry (sim, link, way, e);
    }
    sim->dice = dice;
}

/* ---- sessions ---- */

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

void
sim_connect_later (struct sim *sim, struct sim_link *link)
{
    uint64_t wait = WEIR_RECONNECT_MS_MIN + weir_rand_below (&link->rand, WEIR_RECONNECT_MS_MAX);
    sim_script (sim, SIM_CONNECT, link->at, sim->now_ms + wait);
}

void
sim_end_session (struct sim *sim, struct sim_link *link)
{
    if (link->session != 0) {
        bool first = weir_rand_below (&link->rand, 2) == 0;
        uint64_t late = sim->now_ms + weir_rand_below (&link->rand, WEIR_HEARTBEAT_TIMEOUT_MS);
        tell_session (sim, link, link->session, false, link->a, first ? sim->now_ms : late);
        tell_session (sim, link, link->session, false, link->b, first ? late : sim->now_ms);
        link->session = 0;
        sim_connect_later (sim, link);
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
        sim_connect_later (sim, link);
        return;
    }
    link->session = ++sim->next_session;
    link->up_ms = sim->now_ms;
    for (unsigned way = 0; way < 2; way++) {
        link->last_ms[way] = sim->now_ms + link->latency_ms;
        link->free_us[way] = 0;
        for (unsigned d = 0; d < sim->n_dbs; d++) {
            weir_ranges_clear (&link->views[way][d].allowed);
        }
    }
    tell_session (sim, link, link->session, true, link->a, sim->now_ms);
    tell_session (sim, link, link->session, true, link->b, sim->now_ms);
    sim_log (sim, "session %u between %u and %u", (unsigned) link->session, link->a, link->b);
}
