/* What people, disks and power do in a history. */

#include "tests/sim/sim.h"

#include <stdio.h>

/* ---- processes ---- */

static void
stop_peers (struct sim *sim, struct sim_node *node)
{
    if (!node->sync) {
        return;
    }
    sim_peers_stop (sim, node);
    for (unsigned i = 0; i < node->n_links; i++) {
        sim_end_session (sim, node->links[i]);
    }
}

static void
stop_store (struct sim *sim, struct sim_node *node)
{
    if (!node->repo) {
        return;
    }
    sim_store_stop (sim, node);
    struct weir_kv *after = weir_kv_memory_crash (node->kv, sim_below (sim, 4));
    weir_kv_close (&node->kv);
    node->kv = after;
    size_t kept = 0;
    for (size_t i = 0; i < node->n_acked; i++) {
        if (node->acked[i].durable) {
            node->acked[kept++] = node->acked[i];
        }
    }
    node->n_acked = kept;
    sim->stats->crashes++;
}

static void
restart (struct sim *sim, struct sim_node *node)
{
    if (!node->repo) {
        sim_store_start (sim, node);
        sim_check_durable (sim, node);
    }
    if (!node->sync) {
        sim_peers_start (sim, node);
    }
}

static void
back_up (struct sim *sim, struct sim_node *node)
{
    (void) sim;
    if (node->backup_kv) {
        weir_kv_close (&node->backup_kv);
    }
    node->backup_kv = weir_kv_memory_crash (node->kv, 0);
    weir_buf_clear (&node->backup_tips);
    (void) !weir_tips_load (node->tips, &node->backup_tips);
    node->backup_acked = node->n_acked;
    for (size_t i = 0; i < node->n_acked; i++) {
        if (!node->acked[i].durable) {
            node->backup_acked = i;
            break;
        }
    }
}

/* The directory comes back from a backup; half the time the tips file too (a virtual machine
 * rolled back), and then nothing shows that this key wrote more since. */
static void
roll_back (struct sim *sim, struct sim_node *node)
{
    if (!node->backup_kv) {
        return;
    }
    stop_peers (sim, node);
    stop_store (sim, node);
    weir_kv_close (&node->kv);
    node->kv = weir_kv_memory_copy (node->backup_kv);
    node->n_acked = node->backup_acked < node->n_acked ? node->backup_acked : node->n_acked;
    if (sim_chance (sim, 50)) {
        node->rolled_back = true;
        weir_tips_destroy (&node->tips);
        node->tips = weir_tips_memory_new ();
        if (node->backup_tips.len > 0) {
            (void) !weir_tips_save (node->tips, weir_buf_bytes (&node->backup_tips));
        }
    }
    sim_script (sim, SIM_RESTART, node->index, sim->now_ms + sim_below (sim, 3000));
}

/* ---- people ---- */

/* Is the rest connected without `without` and those removed already? */
static bool
connected_without (struct sim *sim, unsigned without)
{
    bool *seen = weir_alloc (sim->n_nodes * sizeof seen[0]);
    bool again = true;
    bool whole = true;
    seen[0] = true;
    while (again) {
        again = false;
        for (unsigned i = 0; i < sim->n_links; i++) {
            struct sim_link *l = &sim->links[i];
            bool gone = l->a == without || l->b == without || sim->nodes[l->a].removed
                        || sim->nodes[l->b].removed;
            if (l->wanted && !gone && seen[l->a] != seen[l->b]) {
                seen[l->a] = true;
                seen[l->b] = true;
                again = true;
            }
        }
    }
    for (unsigned n = 0; n < sim->n_nodes; n++) {
        whole = whole && (seen[n] || n == without || sim->nodes[n].removed);
    }
    free (seen);
    return whole;
}

/* True when it was done in any database. */
bool
sim_change_member (struct sim *sim, struct sim_node *by, unsigned who, enum weir_right right)
{
    bool done = false;
    struct weir_member_change change = { .device = sim->nodes[who].identity.device,
                                         .right = right };
    (void) snprintf (change.name, sizeof change.name, "node %u", who);
    for (unsigned d = 0; d < sim->n_dbs; d++) {
        struct weir_id entry;
        struct weir_error error = { 0 };
        enum weir_status status = weir_repo_change_members (by->repo, &sim->dbs[d], &change, 1,
                                                            sim->now_ms, &entry, &error);
        sim_log (sim, "node %u makes node %u %s: %s", by->index, who, weir_right_name (right),
                 weir_status_code (status));
        if (status == WEIR_OK) {
            sim_note_acked (by, &sim->dbs[d], &entry, false);
            done = true;
        }
    }
    sim_store_dirty (sim, by);
    return done;
}

static void
join (struct sim *sim, unsigned who)
{
    struct sim_node *node = &sim->nodes[who];
    struct sim_node *by = &sim->nodes[0];
    if (node->joined || !by->repo || !node->repo) {
        if (!node->joined) {
            sim_script (sim, SIM_JOIN, who, sim->now_ms + 500);
        }
        return;
    }
    (void) sim_change_member (sim, by, who, WEIR_RIGHT_WRITE);
    node->joined = true;
    for (unsigned d = 0; d < sim->n_dbs; d++) {
        if (weir_repo_expect (node->repo, &sim->dbs[d]) != WEIR_OK) {
            sim_fail (sim, "expect fails");
        }
    }
    sim_store_dirty (sim, node);
    sim_share_all (sim, node);
}

static void
settings (struct sim *sim, struct sim_node *node, bool removal)
{
    if (!node->repo) {
        return;
    }
    unsigned who = sim_below (sim, sim->n_nodes);
    if (!removal) {
        if (who != 0 && sim->nodes[who].joined && !sim->nodes[who].removed) {
            (void) sim_change_member (sim, node, who,
                                      sim_chance (sim, 50) ? WEIR_RIGHT_ADMIN : WEIR_RIGHT_WRITE);
        }
        return;
    }
    who = 1 + sim_below (sim, sim->n_nodes - 1);
    if (who != node->index && sim->n_nodes > 2 && sim->nodes[who].joined
        && !sim->nodes[node->index].removed && connected_without (sim, who)) {
        /* It may come to have no effect: the oracle looks. */
        sim->nodes[who].removed =
            sim_change_member (sim, node, who, WEIR_RIGHT_NONE) || sim->nodes[who].removed;
    }
}

/* ---- the script ---- */

static void
end_of_faults (struct sim *sim)
{
    sim->quiet = true;
    sim->end_of_faults_ms = sim->now_ms;
    sim_log (sim, "---- faults end");
    for (unsigned i = 0; i < sim->n_links; i++) {
        sim->links[i].cut = false;
        sim->links[i].blocked[0] = false;
        sim->links[i].blocked[1] = false;
    }
    for (unsigned n = 0; n < sim->n_nodes; n++) {
        restart (sim, &sim->nodes[n]);
    }
    if (sim->late != 0) {
        join (sim, sim->late);
    }
    sim_script (sim, SIM_POLL, 0, sim->now_ms + SIM_POLL_MS);
}

static void
edit (struct sim *sim, struct sim_node *node, unsigned count)
{
    for (unsigned i = 0; node->repo && i < count; i++) {
        /* To look an entry up costs its run: of many, some are followed. */
        bool large = count > 100;
        if (sim_commit (sim, node, sim_below (sim, sim->n_dbs), large, !large || i % 100 == 0)) {
            sim->stats->commits++;
        }
    }
}

static void
fault (struct sim *sim, const struct sim_event *e)
{
    struct sim_node *node = &sim->nodes[e->node % sim->n_nodes];
    struct sim_link *link = &sim->links[e->node % sim->n_links];
    uint64_t later = sim->now_ms + 100 + sim_below (sim, 8000);
    switch ((enum sim_script) e->script) {
    case SIM_CUT:
        sim_log (sim, "cut between %u and %u", link->a, link->b);
        link->cut = true;
        sim_end_session (sim, link);
        sim_script (sim, SIM_HEAL, e->node % sim->n_links, later);
        break;
    case SIM_BLOCK: /* silently, one way or both; the heartbeat ends long ones */
        sim->silent = true;
        link->blocked[0] = sim_chance (sim, 70);
        link->blocked[1] = !link->blocked[0] || sim_chance (sim, 50);
        sim_log (sim, "block between %u and %u", link->a, link->b);
        sim_script (sim, SIM_HEAL, e->node % sim->n_links, later);
        if (later > sim->now_ms + WEIR_HEARTBEAT_TIMEOUT_MS) {
            sim_end_session (sim, link);
        }
        break;
    case SIM_CRASH:
        sim_log (sim, "power fails at %u", node->index);
        stop_peers (sim, node);
        stop_store (sim, node);
        sim_script (sim, SIM_RESTART, node->index, later);
        break;
    case SIM_KILL_STORE:
        sim_log (sim, "store of %u is killed", node->index);
        stop_store (sim, node);
        sim_script (sim, SIM_RESTART, node->index, sim->now_ms + 50 + sim_below (sim, 1000));
        break;
    case SIM_KILL_PEERS:
        sim_log (sim, "peers of %u is killed", node->index);
        stop_peers (sim, node);
        sim_script (sim, SIM_RESTART, node->index, sim->now_ms + 50 + sim_below (sim, 1000));
        break;
    case SIM_BACKUP:
        back_up (sim, node);
        break;
    case SIM_ROLL_BACK:
        sim_log (sim, "node %u is rolled back", node->index);
        roll_back (sim, node);
        break;
    case SIM_EDIT:
    case SIM_BURST:
    case SIM_HEAL:
    case SIM_CONNECT:
    case SIM_RESTART:
    case SIM_JOIN:
    case SIM_REMOVE:
    case SIM_SETTINGS:
    case SIM_SEEN:
    case SIM_END_OF_FAULTS:
    case SIM_POLL:
        break;
    }
}

void
sim_run_script (struct sim *sim, const struct sim_event *e)
{
    switch ((enum sim_script) e->script) {
    case SIM_EDIT:
        edit (sim, &sim->nodes[e->node], 1);
        break;
    case SIM_BURST:
        /* Now and then so many that credit and frames matter. */
        edit (sim, &sim->nodes[e->node], sim_chance (sim, 1) ? 1000 : 2 + sim_below (sim, 12));
        break;
    case SIM_HEAL:
        sim->links[e->node].cut = false;
        sim->links[e->node].blocked[0] = false;
        sim->links[e->node].blocked[1] = false;
        break;
    case SIM_CONNECT:
        sim_connect (sim, &sim->links[e->node]);
        break;
    case SIM_RESTART:
        restart (sim, &sim->nodes[e->node]);
        break;
    case SIM_JOIN:
        join (sim, e->node);
        break;
    case SIM_REMOVE:
        settings (sim, &sim->nodes[e->node], true);
        break;
    case SIM_SETTINGS:
        settings (sim, &sim->nodes[e->node], false);
        break;
    case SIM_SEEN:
        sim_check_seen (sim, e);
        break;
    case SIM_END_OF_FAULTS:
        end_of_faults (sim);
        break;
    case SIM_POLL:
        sim_script (sim, SIM_POLL, 0, sim->now_ms + SIM_POLL_MS);
        break;
    case SIM_CUT:
    case SIM_BLOCK:
    case SIM_CRASH:
    case SIM_KILL_STORE:
    case SIM_KILL_PEERS:
    case SIM_BACKUP:
    case SIM_ROLL_BACK:
        fault (sim, e);
        break;
    }
}
