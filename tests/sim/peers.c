/* One node's peers: the glue that actors/peers has, as thin as possible. Events of its sessions and
 * of its store go into the synchronizer; what comes out is said, asked of the store, or given
 * to the retry queue. */

#include "tests/sim/sim.h"
#include "store/sync/session.h"

#include <string.h>

static void
perform (struct sim *sim, struct sim_node *node, struct weir_sync_action *a)
{
    struct sim_event *e;
    if (a->type == WEIR_SYNC_SAY) {
        unsigned to = sim_peer (sim, &a->device)->index;
        e = sim_event_new (SIM_MESSAGE, to);
        e->from = node->index;
        e->session = a->session;
        e->message = a->message;
        memset (&a->message, 0, sizeof a->message);
        if (e->message.type == WEIR_SYNC_DIGESTS || e->message.type == WEIR_SYNC_SUMMARY) {
            node->digests++;
        } else {
            node->messages++;
        }
        sim_log (sim, "  %u says %d to %u (answer %d round %u rows %zu status %s)", node->index,
                 (int) e->message.type, to, e->message.answer, e->message.round, e->message.n_rows,
                 weir_status_code (e->message.status));
        sim_send (sim, e);
        return;
    }
    if (a->type == WEIR_SYNC_BEHIND) {
        sim_log (sim, "  %u: behind: %s", node->index, weir_status_code (a->status));
        (void) weir_retry_failed (node->retry, &a->device, &a->db, a->status, sim->now_ms);
        return;
    }
    if (a->type == WEIR_SYNC_IN_STEP) {
        sim_note_equal (sim, node, a);
        (void) weir_retry_done (node->retry, &a->device, &a->db);
        return;
    }
    if (a->type == WEIR_SYNC_DIFFERS || a->type == WEIR_SYNC_STRIKE) {
        sim_log (sim, "  %u: %s", node->index,
                 a->type == WEIR_SYNC_STRIKE ? "broken promises" : "differs");
        return;
    }
    e = sim_event_new (SIM_ASK, node->index);
    e->epoch = node->epochs[SIM_STORE];
    e->action = *a;
    memset (&a->ranges, 0, sizeof a->ranges);
    memset (&a->message, 0, sizeof a->message);
    a->rows = NULL;
    sim_post (sim, e, sim->now_ms);
}

static void
wake (struct sim *sim, struct sim_node *node)
{
    uint64_t next = weir_sync_next_ms (node->sync);
    uint64_t retry = weir_retry_next_ms (node->retry);
    next = retry < next ? retry : next;
    next = next > sim->now_ms ? next : sim->now_ms;
    if (next >= node->tick_ms) {
        return;
    }
    node->tick_ms = next;
    struct sim_event *e = sim_event_new (SIM_TICK, node->index);
    e->epoch = node->epochs[SIM_PEERS];
    sim_post (sim, e, next);
}

void
sim_step (struct sim *sim, struct sim_node *node, const struct weir_sync_event *event)
{
    struct weir_sync_actions actions = { 0 };
    weir_sync_step (node->sync, event, sim->now_ms, &actions);
    for (size_t i = 0; i < actions.count; i++) {
        perform (sim, node, &actions.items[i]);
    }
    weir_sync_actions_fini (&actions);
    wake (sim, node);
}

/* As sim_step, and then nobody may claim what is not so. */
static void
step_and_look (struct sim *sim, struct sim_node *node, const struct weir_sync_event *event,
               const struct weir_id *device)
{
    sim_step (sim, node, event);
    sim_watch_status (sim, node, device, &event->db);
}

void
sim_peers_start (struct sim *sim, struct sim_node *node)
{
    struct weir_sync_options options = {
        .device = node->identity.device,
        .role = node->role,
        .forward = true,
        .enabled = node->enabled,
        .check_interval_ms = SIM_INTERVAL_MS,
        .batch_size = WEIR_BATCH_SIZE,
        .seed = weir_rand_u64 (&node->rand),
    };
    node->sync = weir_sync_new (&options);
    struct weir_retry_options retry = {
        .max_attempts = WEIR_MAX_ATTEMPTS,
        .check_interval_ms = SIM_INTERVAL_MS,
        .max_queue_age_ms = WEIR_MAX_QUEUE_AGE_SECS * 1000u,
        .max_queue_size = WEIR_MAX_QUEUE_SIZE,
        .parked_ms = WEIR_PARKED_DAYS * 86400000ull,
        .seed = options.seed,
    };
    node->retry = weir_retry_new (&retry);
    node->tick_ms = UINT64_MAX;
    sim_share_all (sim, node);
}

void
sim_peers_stop (struct sim *sim, struct sim_node *node)
{
    node->epochs[SIM_PEERS]++;
    if (sim) {
        while (node->transfers) { /* its store hears that peers went */
            sim_drop_transfer (node, node->transfers);
        }
    }
    if (sim && node->sync) {
        struct weir_sync_counters c;
        weir_sync_counters (node->sync, &c);
        sim->stats->ladders += c.ladders;
    }
    weir_sync_destroy (&node->sync);
    weir_retry_destroy (&node->retry);
    node->tick_ms = UINT64_MAX;
}

void
sim_session (struct sim *sim, struct sim_node *node, unsigned peer, uint64_t session, bool up)
{
    if (!node->sync) {
        return;
    }
    uint8_t number[8];
    weir_store_u64 (number, session);
    struct weir_sync_event e = {
        .type = up ? WEIR_SYNC_SESSION_UP : WEIR_SYNC_SESSION_DOWN,
        .session = session,
        .device = sim->nodes[peer].identity.device,
        .key = weir_hash (WEIR_DOMAIN_TAG, weir_bytes (number, 8), weir_bytes (NULL, 0)),
        .role = sim->nodes[peer].role,
        .protocol = node->protocol == 1 || sim->nodes[peer].protocol == 1 ? 1 : WEIR_PROTOCOL_MAX,
    };
    if (up) {
        (void) weir_retry_heard (node->retry, &e.device, sim->now_ms);
    }
    sim_step (sim, node, &e);
}

static void
on_tick (struct sim *sim, struct sim_node *node, const struct sim_event *e)
{
    if (e->at_ms != node->tick_ms) {
        return; /* a sooner one was served since */
    }
    node->tick_ms = UINT64_MAX;
    const struct weir_retry_item *item;
    while ((item = weir_retry_due (node->retry, sim->now_ms)) != NULL) {
        struct weir_sync_event check = { .type = WEIR_SYNC_CHECK,
                                         .device = item->device,
                                         .db = item->db };
        sim_step (sim, node, &check);
    }
    struct weir_sync_event tick = { .type = WEIR_SYNC_TICK };
    sim_step (sim, node, &tick);
}

void
sim_peers_event (struct sim *sim, struct sim_node *node, struct sim_event *e)
{
    if (node->sync && e->type == SIM_TICK) {
        on_tick (sim, node, e);
    } else if (node->sync && e->type == SIM_SESSION) {
        sim_session (sim, node, e->from, e->session, e->up);
    } else if (node->sync && e->type == SIM_MESSAGE) {
        struct weir_sync_event event = { .type = WEIR_SYNC_MESSAGE,
                                         .session = e->session,
                                         .message = &e->message };
        step_and_look (sim, node, &event, &sim->nodes[e->from].identity.device);
    } else if (node->sync) {
        e->event.ranges = &e->ranges;
        e->event.unknown = &e->unknown;
        e->event.rows = e->rows;
        e->event.say = weir_buf_bytes (&e->body);
        e->event.wants = e->message.wants;
        e->event.n_wants = e->message.n_wants;
        step_and_look (sim, node, &e->event, &e->event.device);
    }
    sim_event_free (e);
}
