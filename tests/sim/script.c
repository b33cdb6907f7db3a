/* What people, disks and power do in a history. */

#include "tests/sim/sim.h"

#include <stdio.h>

/* ---- processes ---- */

enum { STORE_CHILD, PEERS_CHILD };

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

/* What the disk had not synced yet is lost, or some of it. */
static void
stop_store (struct sim *sim, struct sim_node *node)
{
    if (!node->repo) {
        return;
    }
    unsigned keep = sim_below (sim, 4);
    sim_store_stop (sim, node);
    struct weir_kv *after = weir_kv_memory_crash (node->kv, keep);
    weir_kv_close (&node->kv);
    node->kv = after;
    size_t kept = 0;
    for (size_t i = 0; i < node->n_acked; i++) {
        if (node->acked[i].durable) {
            node->acked[kept++] = node->acked[i];
        }
    }
    sim_count (sim, keep == 0 ? SIM_N_UNSYNCED_LOST : SIM_N_UNSYNCED_KEPT);
    node->n_acked = kept;
}

/* The supervisor's own code decides who is started again, and when. */
static void
obey (struct sim *sim, struct sim_node *node, const struct weir_supervise_actions *actions)
{
    for (size_t i = 0; i < actions->count; i++) {
        size_t child = actions->items[i].child;
        switch (actions->items[i].what) {
        case WEIR_DO_SPAWN:
            if (child == STORE_CHILD && !node->repo) {
                sim_store_start (sim, node);
                sim_check_durable (sim, node);
            } else if (child == PEERS_CHILD && !node->sync) {
                sim_peers_start (sim, node);
            }
            break;
        case WEIR_DO_STOP:
        case WEIR_DO_KILL:
            if (child == STORE_CHILD) {
                stop_store (sim, node);
            } else {
                stop_peers (sim, node);
            }
            break;
        case WEIR_DO_END: /* the service manager starts the bundle again */
            stop_peers (sim, node);
            stop_store (sim, node);
            node->powered = false;
            weir_supervisor_fini (&node->boss);
            sim_count (sim, SIM_N_GIVEN_UP);
            sim_script (sim, SIM_RESTART, node->index, sim->now_ms + 1000);
            return;
        case WEIR_DO_UP:
        case WEIR_DO_DOWN:
        case WEIR_DO_FAILED:
        case WEIR_DO_READY:
            break;
        }
    }
}

/* Whoever was spawned says so, and the supervisor's next deadline is minded. */
static void
attend (struct sim *sim, struct sim_node *node, struct weir_supervise_actions *actions)
{
    obey (sim, node, actions);
    for (size_t c = 0; node->powered && c < node->boss.count; c++) {
        if (node->boss.children[c].state == WEIR_CHILD_STARTING) {
            actions->count = 0;
            weir_supervisor_event (&node->boss, c, WEIR_CHILD_SAYS_READY, 0, sim->now_ms, actions);
            obey (sim, node, actions);
            c = SIZE_MAX; /* another stage may have begun */
        }
    }
    if (!node->powered) {
        return;
    }
    uint64_t due = UINT64_MAX;
    for (size_t c = 0; c < node->boss.count; c++) {
        const struct weir_child *child = &node->boss.children[c];
        bool waits = child->state == WEIR_CHILD_BACKING_OFF;
        due = waits && child->due_ms < due ? child->due_ms : due;
    }
    node->boss_ms = due;
    if (due != UINT64_MAX) {
        node->boss_ms = due > sim->now_ms ? due : sim->now_ms;
        sim_post (sim, sim_event_new (SIM_BOSS, node->index), node->boss_ms);
    }
}

void
sim_on_boss (struct sim *sim, struct sim_node *node)
{
    struct weir_supervise_actions actions = { 0 };
    if (node->powered) {
        for (size_t c = 0; c < node->boss.count; c++) {
            weir_supervisor_heard (&node->boss, c, sim->now_ms);
        }
        weir_supervisor_tick (&node->boss, sim->now_ms, &actions);
        attend (sim, node, &actions);
    }
}

void
sim_boot (struct sim *sim, struct sim_node *node)
{
    static const struct weir_supervisor_config config = {
        .start_ms = WEIR_START_MS,
        .stop_ms = WEIR_STOP_MS,
        .stopped_kill_ms = WEIR_STOPPED_KILL_MS,
        .late_ms = WEIR_HANG_MS,
        .restart = { .limit = WEIR_RESTART_LIMIT,
                     .window_ms = WEIR_RESTART_WINDOW_S * 1000u,
                     .backoff_ms_min = WEIR_BACKOFF_MS_MIN,
                     .backoff_ms_max = WEIR_BACKOFF_MS_MAX,
                     .reset_ms = WEIR_READY_RESET_MS },
    };
    struct weir_supervise_actions actions = { 0 };
    if (node->powered || node->absent) {
        return;
    }
    sim->dice = &node->rand;
    weir_supervisor_init (&node->boss, &config, weir_rand_u64 (&node->rand));
    (void) weir_supervisor_add (&node->boss, 0, true, WEIR_HANG_STORE_MS);
    (void) weir_supervisor_add (&node->boss, 1, true, WEIR_HANG_MS);
    node->powered = true;
    weir_supervisor_start (&node->boss, sim->now_ms, &actions);
    attend (sim, node, &actions);
}

static void
power_off (struct sim *sim, struct sim_node *node)
{
    stop_peers (sim, node);
    stop_store (sim, node);
    if (node->powered) {
        weir_supervisor_fini (&node->boss);
        node->powered = false;
    }
}

static void
died (struct sim *sim, struct sim_node *node, size_t child)
{
    struct weir_supervise_actions actions = { 0 };
    weir_supervisor_event (&node->boss, child, WEIR_CHILD_EXITED, 128 + 9, sim->now_ms, &actions);
    attend (sim, node, &actions);
}

/* Whatever is down comes up: by hand, where the supervisor waits. */
static void
restart (struct sim *sim, struct sim_node *node)
{
    sim_boot (sim, node);
    for (size_t c = 0; node->powered && c < node->boss.count; c++) {
        enum weir_child_state state = node->boss.children[c].state;
        if (state == WEIR_CHILD_BACKING_OFF || state == WEIR_CHILD_FAILED) {
            struct weir_supervise_actions actions = { 0 };
            weir_supervisor_event (&node->boss, c, WEIR_CHILD_RESTART, 0, sim->now_ms, &actions);
            attend (sim, node, &actions);
        }
    }
}

static void
back_up (struct sim_node *node)
{
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
    power_off (sim, node);
    weir_kv_close (&node->kv);
    node->kv = weir_kv_memory_copy (node->backup_kv);
    node->n_acked = node->backup_acked < node->n_acked ? node->backup_acked : node->n_acked;
    sim->rolled_back = true;
    if (sim_chance (sim, 50)) {
        sim_count (sim, SIM_N_ROLL_BACKS);
        node->rolled_back = true;
        weir_tips_destroy (&node->tips);
        node->tips = weir_tips_memory_new ();
        if (node->backup_tips.len > 0) {
            (void) !weir_tips_save (node->tips, weir_buf_bytes (&node->backup_tips));
        }
    } else {
        sim_count (sim, SIM_N_RESTORES);
    }
    sim_script (sim, SIM_RESTART, node->index, sim->now_ms + sim_below (sim, 3000));
}

/* ---- people ---- */

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
                                                            sim_wall (sim, by), &entry, &error);
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
        if (!node->joined && !node->absent) {
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
            sim_count (sim, SIM_N_RIGHTS);
            (void) sim_change_member (sim, node, who,
                                      sim_chance (sim, 50) ? WEIR_RIGHT_ADMIN : WEIR_RIGHT_WRITE);
        }
        return;
    }
    who = 1 + sim_below (sim, sim->n_nodes - 1);
    if (who != node->index && sim->n_nodes > 2 && sim->nodes[who].joined
        && !sim->nodes[node->index].removed && !node->liar && sim_connected (sim, who)) {
        sim_count (sim, SIM_N_REMOVALS);
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
        sim->links[i]->cut = false;
        sim->links[i]->blocked[0] = false;
        sim->links[i]->blocked[1] = false;
        if (sim->links[i]->rate > 0) { /* with minutes of data on their way, maybe */
            sim_end_session (sim, sim->links[i]);
        }
        sim->links[i]->rate = 0;
    }
    for (unsigned n = 0; n < sim->n_nodes; n++) {
        restart (sim, &sim->nodes[n]);
        sim->dice = &sim->script_rand;
    }
    if (sim->late != 0) {
        join (sim, sim->late);
    }
    sim_script (sim, SIM_POLL, 0, sim->now_ms + SIM_POLL_MS);
}

void
sim_edit (struct sim *sim, struct sim_node *node, unsigned count)
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
block (struct sim *sim, struct sim_link *link, uint64_t until_ms)
{
    /* Silently, one way or both; the heartbeat ends long ones. */
    sim->silent = true;
    link->blocked[0] = sim_chance (sim, 70);
    link->blocked[1] = !link->blocked[0] || sim_chance (sim, 50);
    sim_log (sim, "block between %u and %u", link->a, link->b);
    sim_count (sim, link->blocked[0] && link->blocked[1] ? SIM_N_BLOCKS : SIM_N_BLOCKS_ONE_WAY);
    sim_script (sim, SIM_HEAL, link->at, until_ms);
    if (until_ms > sim->now_ms + WEIR_HEARTBEAT_TIMEOUT_MS) {
        sim_end_session (sim, link);
    }
}

static void
fault (struct sim *sim, enum sim_script what, struct sim_node *node, struct sim_link *link)
{
    uint64_t later = sim->now_ms + 100 + sim_below (sim, 8000);
    if (what == SIM_CUT) {
        sim_log (sim, "cut between %u and %u", link->a, link->b);
        sim_count (sim, SIM_N_CUTS);
        link->cut = true;
        sim_end_session (sim, link);
        sim_script (sim, SIM_HEAL, link->at, later);
    } else if (what == SIM_BLOCK) {
        block (sim, link, later);
    } else if (what == SIM_CRASH) {
        sim_log (sim, "power fails at %u", node->index);
        sim_count (sim, SIM_N_POWER);
        power_off (sim, node);
        sim_script (sim, SIM_RESTART, node->index, later);
    } else if (what == SIM_KILL_STORE && node->repo) {
        sim_log (sim, "store of %u is killed", node->index);
        sim_count (sim, SIM_N_STORE_KILLS);
        stop_store (sim, node);
        died (sim, node, STORE_CHILD);
    } else if (what == SIM_KILL_PEERS && node->sync) {
        sim_log (sim, "peers of %u is killed", node->index);
        sim_count (sim, SIM_N_PEERS_KILLS);
        stop_peers (sim, node);
        died (sim, node, PEERS_CHILD);
    } else if (what == SIM_BACKUP) {
        back_up (node);
    } else if (what == SIM_ROLL_BACK) {
        sim_log (sim, "node %u is rolled back", node->index);
        roll_back (sim, node);
    } else if (what == SIM_CLOCK) {
        sim_count (sim, SIM_N_CLOCK_JUMPS);
        node->skew_ms += ((int64_t) sim_below (sim, 2000000) - 1000000) * 1000;
    }
}

/* Nodes and links are drawn before it is known how many there are. */
static void
befall (struct sim *sim, const struct sim_event *e)
{
    struct sim_node *node = &sim->nodes[e->node % sim->n_nodes];
    struct sim_link *link = sim->links[e->node % sim->n_links];
    if (e->script == SIM_SETTINGS || e->script == SIM_REMOVE) {
        settings (sim, node, e->script == SIM_REMOVE);
    } else if (!node->absent || e->script == SIM_CUT || e->script == SIM_BLOCK) {
        fault (sim, (enum sim_script) e->script, node, link);
    }
}

void
sim_run_script (struct sim *sim, const struct sim_event *e)
{
    switch ((enum sim_script) e->script) {
    case SIM_EDIT:
        sim_edit (sim, &sim->nodes[e->node], 1);
        break;
    case SIM_BURST:
        /* Now and then so many that credit and frames matter. */
        sim_edit (sim, &sim->nodes[e->node], sim_chance (sim, 1) ? 1000 : 2 + sim_below (sim, 12));
        break;
    case SIM_HEAL:
        sim->links[e->node]->cut = false;
        sim->links[e->node]->blocked[0] = false;
        sim->links[e->node]->blocked[1] = false;
        break;
    case SIM_CONNECT:
        sim_connect (sim, sim->links[e->node]);
        break;
    case SIM_RESTART:
        restart (sim, &sim->nodes[e->node]);
        break;
    case SIM_JOIN:
        join (sim, e->node);
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
    case SIM_REMOVE:
    case SIM_SETTINGS:
    case SIM_CUT:
    case SIM_BLOCK:
    case SIM_CRASH:
    case SIM_KILL_STORE:
    case SIM_KILL_PEERS:
    case SIM_BACKUP:
    case SIM_ROLL_BACK:
    case SIM_CLOCK:
        befall (sim, e);
        break;
    }
}
