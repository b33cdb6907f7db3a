/* One node's store: the glue that actors/store has, as thin as possible. What is durable goes
 * out as novel ranges, arrivals and acknowledgements, in that order; nothing leaves before it is
 * synced. Its transfers are in transfer.c. */

#include "tests/sim/sim.h"
#include "store/sync/sync_state.h"

#include <stdlib.h>
#include <string.h>

void
sim_node_init (struct sim *sim, unsigned index, enum weir_role role)
{
    struct sim_node *node = &sim->nodes[index];
    uint8_t seed[32] = { 0 };
    weir_store_u64 (seed, sim->setup.seed);
    weir_store_u64 (seed + 8, index + 1);
    weir_identity_init (&node->identity, seed);
    node->index = index;
    node->role = role;
    (void) weir_map_put (sim->by_device, weir_id_bytes (&node->identity.device), node);
    node->kv = weir_kv_memory_new ();
    node->tips = weir_tips_memory_new ();
    node->tick_ms = UINT64_MAX;
    node->enabled = true;
    weir_rand_init (&node->rand, weir_rand_u64 (&sim->rand));
}

/* What its clock says; a morning in 2023, more or less. */
uint64_t
sim_wall (const struct sim *sim, const struct sim_node *node)
{
    return (uint64_t) ((int64_t) sim->now_ms + node->skew_ms) + 1700000000000u;
}

void
sim_drop_transfer (struct sim_node *node, struct sim_transfer *t)
{
    struct sim_transfer **at = &node->transfers;
    while (*at != t) {
        at = &(*at)->next;
    }
    *at = t->next;
    weir_out_destroy (&t->out);
    weir_in_destroy (&t->in);
    weir_ranges_fini (&t->held_already);
    for (size_t i = 0; i < t->n_held; i++) {
        sim_event_free (t->held[i]);
    }
    free (t->held);
    free (t);
}

void
sim_store_stop (struct sim *sim, struct sim_node *node)
{
    (void) sim;
    node->epochs[SIM_STORE]++;
    while (node->transfers) {
        sim_drop_transfer (node, node->transfers);
    }
    for (size_t i = 0; i < node->n_compares; i++) {
        sim_event_free (node->compares[i]);
    }
    node->n_compares = 0;
    weir_repo_close (&node->repo);
    node->turn = false;
    node->disk = false;
}

void
sim_node_fini (struct sim_node *node)
{
    sim_store_stop (NULL, node);
    sim_peers_stop (NULL, node);
    weir_kv_close (&node->kv);
    if (node->backup_kv) {
        weir_kv_close (&node->backup_kv);
    }
    if (node->powered) {
        weir_supervisor_fini (&node->boss);
    }
    for (unsigned d = 0; d < SIM_DBS_MAX; d++) {
        weir_map_destroy (&node->novel[d], free);
    }
    weir_buf_fini (&node->backup_tips);
    weir_tips_destroy (&node->tips);
    weir_identity_fini (&node->identity);
    weir_map_destroy (&node->hints, free);
    free (node->acked);
    free (node->compares);
    free (node->links);
}

/* ---- to peers ---- */

struct sim_event *
sim_tell_new (struct sim_node *node, enum weir_sync_event_type type)
{
    struct sim_event *e = sim_event_new (SIM_TELL, node->index);
    e->epoch = node->epochs[SIM_PEERS];
    e->event.type = type;
    return e;
}

void
sim_tell (struct sim *sim, struct sim_event *e)
{
    sim_post (sim, e, sim->now_ms);
}

struct weir_id
sim_digest (struct sim_node *node, const struct weir_id *db)
{
    struct weir_vector empty = { 0 };
    const struct weir_vector *v = weir_repo_vector (node->repo, db);
    return weir_vector_digest (v ? v : &empty);
}

bool
sim_ever_member (struct sim_node *node, const struct weir_id *db, const struct weir_id *device)
{
    size_t count = 0;
    const struct weir_member *members = weir_repo_members (node->repo, db, &count);
    for (size_t i = 0; i < count; i++) {
        if (weir_id_equal (&members[i].device, device)) {
            return true;
        }
    }
    return false;
}

void
sim_share_all (struct sim *sim, struct sim_node *node)
{
    if (!node->repo) {
        return;
    }
    node->members_epoch = weir_repo_members_epoch (node->repo);
    for (unsigned d = 0; d < sim->n_dbs; d++) {
        struct weir_db_info info;
        if (weir_repo_info (node->repo, &sim->dbs[d], &info) != WEIR_OK) {
            continue;
        }
        for (unsigned i = 0; i < node->n_links; i++) {
            const struct sim_link *link = node->links[i];
            if (!link->wanted) {
                continue;
            }
            unsigned n = link->a == node->index ? link->b : link->a;
            const struct weir_id *device = &sim->nodes[n].identity.device;
            /* Who does not know yet how it became a member itself cannot judge others. */
            bool share = info.joining
                         || !sim_ever_member (node, &sim->dbs[d], &node->identity.device)
                         || weir_repo_right (node->repo, &sim->dbs[d], device) != WEIR_RIGHT_NONE;
            struct sim_event *e = sim_tell_new (node, share ? WEIR_SYNC_SHARE : WEIR_SYNC_UNSHARE);
            e->event.device = *device;
            e->event.db = sim->dbs[d];
            e->event.direction = link->direction[link->a == node->index ? 0 : 1];
            e->event.their_digest = sim_last_equal (node, device, &sim->dbs[d]);
            sim_watch_share (sim, node, n, &sim->dbs[d], share);
            e->event.digest = sim_digest (node, &sim->dbs[d]);
            if (!share) {
                e->event.status =
                    sim_ever_member (node, &sim->dbs[d], device) ? WEIR_REMOVED : WEIR_NOT_MEMBER;
            }
            sim_tell (sim, e);
        }
    }
}

void
sim_store_start (struct sim *sim, struct sim_node *node)
{
    struct weir_repo_options options = { .kv = node->kv,
                                         .tips = node->tips,
                                         .identity = &node->identity };
    weir_rand_bytes (&node->rand, options.seed, sizeof options.seed);
    struct weir_error error = { 0 };
    if (weir_repo_open (&node->repo, &options, &error) != WEIR_OK) {
        sim_fail (sim, "node %u: repo does not open: %s", node->index, error.what);
        return;
    }
    node->told_position = weir_repo_position (node->repo);
    node->flushed = 0;
    if (node->joined) {
        for (unsigned d = 0; d < sim->n_dbs; d++) {
            if (weir_repo_expect (node->repo, &sim->dbs[d]) != WEIR_OK) {
                sim_fail (sim, "node %u: expect fails", node->index);
            }
        }
    }
    sim_tell (sim, sim_tell_new (node, WEIR_SYNC_STORE_UP));
    sim_share_all (sim, node);
    sim_store_dirty (sim, node);
    struct sim_event *e = sim_event_new (SIM_WATCH, node->index);
    e->epoch = node->epochs[SIM_STORE];
    sim_post (sim, e, sim->now_ms + 1000);
}

/* ---- the disk ---- */

void
sim_store_dirty (struct sim *sim, struct sim_node *node)
{
    if (!node->turn) {
        node->turn = true;
        struct sim_event *e = sim_event_new (SIM_TURN, node->index);
        e->epoch = node->epochs[SIM_STORE];
        sim_post (sim, e, sim->now_ms + weir_rand_below (&node->rand, 2));
    }
}

void
sim_flush (struct sim *sim, struct sim_node *node)
{
    node->flushed = weir_repo_flush (node->repo, sim_wall (sim, node));
    for (size_t i = node->n_acked; i > 0; i--) {
        struct sim_acked *acked = &node->acked[i - 1];
        if (acked->batch == 0) {
            acked->batch = node->flushed;
        } else if (acked->batch != UINT64_MAX) { /* those are noted when a peer was told so */
            break;
        }
    }
    for (struct sim_transfer *t = node->transfers; t; t = t->next) {
        if (t->in && t->batch == 0 && weir_in_consumed (t->in) > t->batch_offset) {
            t->batch = node->flushed;
            t->batch_offset = weir_in_consumed (t->in);
        }
    }
    if (!node->disk) {
        node->disk = true;
        struct sim_event *e = sim_event_new (SIM_DISK, node->index);
        e->epoch = node->epochs[SIM_STORE];
        sim_post (sim, e, sim->now_ms + 1 + weir_rand_below (&node->rand, 4));
    }
}

static void
tell_novel (struct sim *sim, struct sim_node *node)
{
    struct weir_log_row row;
    struct sim_event *e = NULL;
    while (weir_repo_log_next (node->repo, node->told_position, NULL, &row) == WEIR_OK) {
        node->told_position = row.position;
        if (e
            && (!weir_id_equal (&e->event.db, &row.db)
                || !weir_id_equal (&e->event.source, &row.source))) {
            sim_watch_novel (sim, node, &e->event.db, &e->ranges);
            sim_tell_novel (sim, node, e);
            e = NULL;
        }
        if (!e) {
            e = sim_tell_new (node, WEIR_SYNC_NOVEL);
            e->event.db = row.db;
            e->event.source = row.source;
            e->event.digest = sim_digest (node, &row.db);
        }
        weir_ranges_add (&e->ranges, &row.range, &weir_id_zero);
    }
    if (e) {
        sim_watch_novel (sim, node, &e->event.db, &e->ranges);
        sim_tell_novel (sim, node, e);
    }
}

static void
acknowledge (struct sim *sim, struct sim_node *node, struct sim_transfer *t)
{
    uint64_t limit = 0;
    t->batch = 0;
    if (!weir_in_durable (t->in, t->batch_offset, sim->now_ms, &limit)) {
        return;
    }
    struct weir_id digest = sim_digest (node, &t->db);
    struct sim_event *e = sim_tell_new (node, WEIR_SYNC_ARRIVED);
    e->event.session = t->session;
    e->event.transfer = t->number;
    e->event.entries = t->entries;
    e->event.digest = digest;
    e->event.their_digest = t->told;
    e->event.gap = t->gap;
    e->event.again = t->again;
    e->ranges = t->held_already;
    memset (&t->held_already, 0, sizeof t->held_already);
    sim_put_missing (sim, node, t, e);
    t->told = weir_id_zero;
    t->entries = 0;
    t->again = 0;
    t->gap = false;
    sim_tell (sim, e);
    e = sim_event_new (SIM_ACK, t->peer);
    e->from = node->index;
    e->session = t->session;
    e->transfer = t->number;
    e->offset = t->batch_offset;
    e->limit = limit;
    e->digest = digest;
    sim_send (sim, e);
}

static void
on_disk (struct sim *sim, struct sim_node *node)
{
    node->disk = false;
    weir_kv_memory_sync (node->kv);
    weir_repo_on_synced (node->repo);
    uint64_t synced = weir_kv_synced (node->kv);
    for (size_t i = 0; i < node->n_acked; i++) {
        struct sim_acked *acked = &node->acked[i];
        if (!acked->durable && acked->batch != 0 && acked->batch <= synced) {
            acked->durable = true;
            sim_check_written (sim, node, acked);
        }
    }
    tell_novel (sim, node);
    if (weir_repo_members_epoch (node->repo) != node->members_epoch) {
        sim_share_all (sim, node);
    }
    for (struct sim_transfer *t = node->transfers; t; t = t->next) {
        if (t->in && t->batch != 0 && t->batch <= synced) {
            acknowledge (sim, node, t);
        }
        for (size_t i = 0; i < t->n_held; i++) {
            sim_do_send (sim, node, t, t->held[i]);
            sim_event_free (t->held[i]);
        }
        t->n_held = 0;
    }
    for (size_t i = 0; i < node->n_compares; i++) {
        sim_do_compare (sim, node, node->compares[i]);
        sim_event_free (node->compares[i]);
    }
    node->n_compares = 0;
    for (struct sim_transfer *t = node->transfers; t; t = t->next) {
        if (t->waits) {
            t->waits = false;
            sim_pump (sim, node, t);
        }
        if (t->in && weir_in_consumed (t->in) > t->batch_offset) {
            sim_store_dirty (sim, node);
        }
    }
    (void) weir_repo_work (node->repo, sim_wall (sim, node));
}

/* Takes the event. */
void
sim_store_event (struct sim *sim, struct sim_node *node, struct sim_event *e)
{
    bool kept = false;
    if (!node->repo) {
        sim_event_free (e);
        return;
    }
    switch (e->type) {
    case SIM_FRAME:
        sim_on_frame (sim, node, e);
        break;
    case SIM_ACK:
        sim_on_ack (sim, node, e);
        break;
    case SIM_ASK:
        kept = sim_on_ask (sim, node, e);
        break;
    case SIM_DISK:
        on_disk (sim, node);
        break;
    case SIM_TURN:
        node->turn = false;
        sim_flush (sim, node);
        break;
    case SIM_WATCH:
        sim_on_watch (sim, node);
        break;
    case SIM_MESSAGE:
    case SIM_TELL:
    case SIM_SESSION:
    case SIM_TICK:
    case SIM_BOSS:
    case SIM_SCRIPT:
        break;
    }
    for (unsigned d = 0; d < sim->n_dbs; d++) {
        sim_watch_digest (sim, node, &sim->dbs[d]);
    }
    if (!kept) {
        sim_event_free (e);
    }
}

void
sim_node_event (struct sim *sim, struct sim_node *node, struct sim_event *e)
{
    switch (e->type) {
    case SIM_TELL:
    case SIM_TICK:
        if (e->epoch == node->epochs[SIM_PEERS]) {
            sim_peers_event (sim, node, e);
        } else {
            sim_event_free (e);
        }
        return;
    case SIM_SESSION:
    case SIM_MESSAGE:
        sim_peers_event (sim, node, e);
        return;
    case SIM_FRAME:
    case SIM_ACK:
        sim_store_event (sim, node, e);
        return;
    case SIM_ASK:
    case SIM_DISK:
    case SIM_TURN:
    case SIM_WATCH:
        if (e->epoch == node->epochs[SIM_STORE]) {
            sim_store_event (sim, node, e);
        } else {
            sim_event_free (e);
        }
        return;
    case SIM_BOSS:
    case SIM_SCRIPT:
        break;
    }
    sim_event_free (e);
}
