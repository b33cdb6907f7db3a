/* Checks on the way. The oracle sees every node, so it knows what each could know: who sent
 * which body to whom and whether that one was known to hold it, whether what is pushed on was
 * new here, whether anybody claims to be in step who is not, and what is kept in memory. */

#include "tests/sim/sim.h"
#include "store/sync/sync_state.h"

#include <stdlib.h>
#include <string.h>

#define CROSSING_MS 1000u /* what was on its way explains a body sent to one who has it */
#define GRACE_MS 500u     /* of a removal, until what was decided before has been sent */
#define STALE_LIVE_MS 5000u
#define ANSWERS_A_MESSAGE 8u /* of an honest node to a liar */
#define ANSWERS_FREE 400u
#define LOOK_BACK 256u /* of the newest that were stored */

/* What is seen of one chain between two nodes. */
struct sim_chain {
    uint64_t known;     /* the other holds it up to here: it sent or acknowledged it */
    uint64_t known_ms;  /* since when, at the latest */
    uint64_t sent_from; /* from here .. */
    uint64_t sent;      /* .. up to here, in `session` */
    uint64_t session;
};

static struct weir_bytes
chain_key (uint8_t key[40], const struct weir_chain *chain)
{
    memcpy (key, chain->author.b, 32);
    weir_store_u64 (key + 32, chain->lane);
    return weir_bytes (key, 40);
}

static struct sim_chain *
chain_of (struct sim_view *view, const struct weir_chain *chain)
{
    uint8_t key[40];
    struct weir_bytes bytes = chain_key (key, chain);
    if (!view->chains) {
        view->chains = weir_map_new ();
    }
    struct sim_chain *c = weir_map_get (view->chains, bytes);
    if (!c) {
        c = weir_alloc (sizeof *c);
        (void) weir_map_put (view->chains, bytes, c);
    }
    return c;
}

unsigned
sim_db_of (const struct sim *sim, const struct weir_id *db)
{
    unsigned d = 0;
    while (d < sim->n_dbs && !weir_id_equal (&sim->dbs[d], db)) {
        d++;
    }
    return d < sim->n_dbs ? d : SIM_DBS_MAX;
}

struct sim_view *
sim_view_of (const struct sim *sim, const struct sim_node *node, unsigned peer,
             const struct weir_id *db)
{
    struct sim_link *link = sim_link_between (sim, node->index, peer);
    unsigned d = sim_db_of (sim, db);
    if (!link || d == SIM_DBS_MAX) {
        return NULL;
    }
    return &link->views[link->a == node->index ? 0 : 1][d];
}

void
sim_view_fini (struct sim_view *view)
{
    weir_map_destroy (&view->chains, free);
    weir_ranges_fini (&view->allowed);
}

static const struct sim_node *
author_of (const struct sim *sim, const struct weir_range *range)
{
    return sim_peer (sim, &range->chain.author);
}

/* Numbers say where a chain is only while nobody writes one twice, and no hold is lost. */
static bool
is_plain (const struct sim *sim, unsigned a, unsigned b)
{
    return !sim->rolled_back && !sim->nodes[a].liar && !sim->nodes[b].liar;
}

/* ---- bodies ---- */

void
sim_watch_allow (struct sim *sim, struct sim_node *node, unsigned peer, const struct weir_id *db,
                 const struct weir_ranges *ranges)
{
    struct sim_view *view = sim_view_of (sim, node, peer, db);
    for (size_t i = 0; view && i < ranges->count; i++) {
        weir_ranges_add (&view->allowed, &ranges->items[i], &weir_id_zero);
    }
}

static bool
is_allowed (const struct sim_view *view, const struct weir_range *range)
{
    for (size_t i = 0; i < view->allowed.count; i++) {
        const struct weir_range *item = &view->allowed.items[i];
        if (weir_chain_compare (&item->chain, &range->chain) == 0
            && item->from_seq <= range->from_seq && item->to_seq >= range->to_seq) {
            return true;
        }
    }
    return false;
}

void
sim_watch_novel (struct sim *sim, struct sim_node *node, const struct weir_id *db,
                 const struct weir_ranges *ranges)
{
    unsigned d = sim_db_of (sim, db);
    if (d == SIM_DBS_MAX) {
        return;
    }
    if (!node->novel[d]) {
        node->novel[d] = weir_map_new ();
    }
    for (size_t i = 0; i < ranges->count; i++) {
        uint8_t key[40];
        struct weir_bytes bytes = chain_key (key, &ranges->items[i].chain);
        uint64_t *upto = weir_map_get (node->novel[d], bytes);
        if (!upto) {
            upto = weir_alloc (sizeof *upto);
            (void) weir_map_put (node->novel[d], bytes, upto);
        }
        *upto = ranges->items[i].to_seq > *upto ? ranges->items[i].to_seq : *upto;
    }
}

/* Only what was new here is pushed, and by a leaf only what is its own; the rest was asked for. */
static void
check_pushed (struct sim *sim, struct sim_node *node, const struct sim_transfer *t,
              const struct sim_view *view, const struct weir_range *range)
{
    uint8_t key[40];
    unsigned d = sim_db_of (sim, &t->db);
    if (is_allowed (view, range)) {
        return;
    }
    const uint64_t *upto =
        node->novel[d] ? weir_map_get (node->novel[d], chain_key (key, &range->chain)) : NULL;
    if (!upto || range->to_seq > *upto) {
        sim_fail (sim, "P6: node %u pushes to %u what was not new to it", node->index, t->peer);
    } else if (node->role == WEIR_ROLE_LEAF && author_of (sim, range) != node) {
        sim_fail (sim, "P6: leaf %u pushes the entries of another to %u", node->index, t->peer);
    } else if (!node->enabled) {
        sim_fail (sim, "P6: node %u pushes to %u though sync is not enabled", node->index, t->peer);
    }
}

static void
check_direction (struct sim *sim, struct sim_node *node, const struct sim_transfer *t)
{
    const struct sim_link *link = sim_link_between (sim, node->index, t->peer);
    unsigned way = link->a == node->index ? 0 : 1;
    if ((link->direction[way] & WEIR_SYNC_PUSH) == 0) {
        sim_fail (sim, "P6: node %u sends to %u, from whom it only pulls", node->index, t->peer);
    }
}

void
sim_watch_send (struct sim *sim, struct sim_node *node, const struct sim_transfer *t,
                const struct weir_range *range)
{
    struct sim_view *view = sim_view_of (sim, node, t->peer, &t->db);
    if (!view || node->liar) {
        return;
    }
    check_direction (sim, node, t);
    if (view->unshared_ms != 0 && sim->now_ms > view->unshared_ms + GRACE_MS) {
        sim_fail (sim, "P4: node %u sends to %u, with whom it does not share", node->index,
                  t->peer);
    }
    struct sim_chain *c = chain_of (view, &range->chain);
    if (is_plain (sim, node->index, t->peer)) {
        check_pushed (sim, node, t, view, range);
        if (range->from_seq < c->known) {
            uint64_t upto = range->to_seq < c->known ? range->to_seq : c->known;
            node->to_holder += upto - range->from_seq;
            if (!sim->faults && !sim->shape && sim->now_ms > c->known_ms + CROSSING_MS) {
                sim_fail (sim, "P6: node %u sends to %u what that one is known to hold",
                          node->index, t->peer);
            }
        }
        if (c->session == t->session) {
            uint64_t from = range->from_seq > c->sent_from ? range->from_seq : c->sent_from;
            uint64_t upto = range->to_seq < c->sent ? range->to_seq : c->sent;
            node->resent += upto > from ? upto - from : 0;
        }
    }
    bool apart = range->from_seq > c->sent || range->to_seq < c->sent_from;
    if (c->session != t->session || apart) {
        c->sent_from = range->from_seq;
        c->sent = range->to_seq;
    }
    c->sent_from = range->from_seq < c->sent_from ? range->from_seq : c->sent_from;
    c->sent = range->to_seq > c->sent ? range->to_seq : c->sent;
    c->session = t->session;
}

static void
note_known (struct sim *sim, struct sim_view *view, const struct weir_chain *chain, uint64_t upto)
{
    struct sim_chain *c = chain_of (view, chain);
    if (upto > c->known) {
        c->known = upto;
        c->known_ms = sim->now_ms;
    }
}

/* The front of a run: its chain, first seq and count (store/dag/run.h). */
static bool
read_head (struct weir_bytes run, struct weir_chain *chain, uint64_t *seq, uint64_t *count)
{
    struct weir_reader r = weir_reader (run);
    (void) weir_read_bytes (&r, 2);
    struct weir_bytes author = weir_read_bytes (&r, WEIR_ID_BYTES);
    chain->lane = weir_read_u64 (&r);
    *seq = weir_read_varint (&r);
    (void) weir_read_bytes (&r, *seq == 0 ? 0 : WEIR_ID_BYTES);
    (void) weir_read_bytes (&r, weir_read_u8 (&r) * (size_t) WEIR_ID_BYTES);
    *count = weir_read_varint (&r);
    if (r.bad) {
        return false;
    }
    memcpy (chain->author.b, author.data, WEIR_ID_BYTES);
    return true;
}

void
sim_watch_body (struct sim *sim, struct sim_node *node, const struct sim_transfer *t,
                struct weir_bytes run, const struct weir_import_result *result)
{
    struct sim_view *view = sim_view_of (sim, node, t->peer, &t->db);
    struct weir_chain chain = { 0 };
    uint64_t seq = 0;
    uint64_t count = 0;
    node->waited = node->waited || result->outcome == WEIR_IMPORT_PENDING;
    if (!view || result->outcome == WEIR_IMPORT_REFUSED || !read_head (run, &chain, &seq, &count)) {
        return;
    }
    bool held = result->outcome == WEIR_IMPORT_HELD;
    uint64_t fresh = held ? 0 : count;
    if (result->outcome == WEIR_IMPORT_NEW) {
        fresh = result->range.to_seq - result->range.from_seq;
        fresh = fresh < count ? fresh : count; /* with what it unlocked */
    }
    node->entries_new += fresh;
    node->entries_again += count - fresh;
    view->bodies += count;
    view->again += count - fresh;
    const struct sim_link *link = sim_link_between (sim, node->index, t->peer);
    unsigned way = link->a == node->index ? 0 : 1;
    if ((link->direction[way] & WEIR_SYNC_PULL) == 0) {
        sim_fail (sim, "P6: node %u takes from %u, to whom it only pushes", node->index, t->peer);
    }
    note_known (sim, view, &chain, seq + count);
    if (sim->meter && result->outcome == WEIR_IMPORT_NEW) {
        sim_meter_arrival (sim, &chain, seq, seq + count);
    }
}

/* P2: what is acknowledged is durable already, not only soon. */
static void
check_acked (struct sim *sim, const struct sim_node *peer, const struct weir_id *entry)
{
    for (size_t i = peer->n_acked; i > 0 && i + LOOK_BACK > peer->n_acked; i--) {
        const struct sim_acked *acked = &peer->acked[i - 1];
        if (weir_id_equal (&acked->entry, entry)) {
            if (!acked->durable) {
                sim_fail (sim, "P2: node %u acknowledges what its disk does not have yet",
                          peer->index);
            }
            return;
        }
    }
}

void
sim_watch_acked (struct sim *sim, struct sim_node *node, const struct sim_transfer *t,
                 const struct weir_ranges *ranges)
{
    struct sim_view *view = sim_view_of (sim, node, t->peer, &t->db);
    struct sim_node *peer = &sim->nodes[t->peer];
    for (size_t i = 0; view && i < ranges->count && !peer->liar; i++) {
        const struct weir_range *range = &ranges->items[i];
        struct weir_entry_facts facts;
        /* Bytes of a run that was refused, or that waits, are acknowledged, too. */
        if (!node->spoiler && !peer->waited) {
            check_acked (sim, peer, &range->tip);
        }
        /* What waits there for what it builds on is acknowledged, and not held. */
        if (peer->repo && !node->spoiler
            && weir_repo_entry (peer->repo, &t->db, &range->tip, &facts, NULL) == WEIR_OK) {
            note_known (sim, view, &range->chain, range->to_seq);
            /* From now on it must be there, whatever happens to that node. */
            sim_note_acked (peer, &t->db, &range->tip, true);
            peer->acked[peer->n_acked - 1].batch = UINT64_MAX;
            peer->acked[peer->n_acked - 1].durable = true;
        }
    }
}

void
sim_watch_share (struct sim *sim, struct sim_node *node, unsigned peer, const struct weir_id *db,
                 bool shared)
{
    struct sim_view *view = sim_view_of (sim, node, peer, db);
    if (view && shared) {
        view->unshared_ms = 0;
    } else if (view && view->unshared_ms == 0) {
        view->unshared_ms = sim->now_ms;
    }
}

/* ---- truth ---- */

void
sim_watch_digest (struct sim *sim, struct sim_node *node, const struct weir_id *db)
{
    unsigned d = sim_db_of (sim, db);
    if (d == SIM_DBS_MAX || !node->repo) {
        return;
    }
    struct sim_past *past = &node->pasts[d];
    struct weir_id now = sim_digest (node, db);
    if (!weir_id_equal (&now, &past->digest)) {
        past->was[past->n_was++ % SIM_WAS_MAX] =
            (struct sim_was){ .digest = past->digest, .until_ms = sim->now_ms };
        past->digest = now;
    }
}

/* When this was last its state; UINT64_MAX: it is now; 0: never, or long ago. */
static uint64_t
was_until (const struct sim_past *past, const struct weir_id *digest)
{
    uint64_t until = 0;
    if (weir_id_equal (&past->digest, digest)) {
        return UINT64_MAX;
    }
    for (unsigned i = 0; i < past->n_was && i < SIM_WAS_MAX; i++) {
        if (weir_id_equal (&past->was[i].digest, digest) && past->was[i].until_ms > until) {
            until = past->was[i].until_ms;
        }
    }
    return until;
}

/* P9: who says EQUAL is, or was a moment ago; longer only where the network is at fault. */
static void
check_claim (struct sim *sim, struct sim_node *node, const struct weir_sync_state *s)
{
    const struct sim_node *peer = sim_peer (sim, &s->device);
    unsigned d = sim_db_of (sim, &s->db);
    if (s->phase != WEIR_SYNC_EQUAL || !peer || d == SIM_DBS_MAX || peer->liar || node->liar
        || !node->repo || !peer->repo) {
        return;
    }
    const struct sim_link *link = sim_link_between (sim, node->index, peer->index);
    if (!node->enabled && !peer->enabled) {
        return; /* what was told last, by hand or before; nobody asks again */
    }
    uint64_t theirs = was_until (&peer->pasts[d], &s->their_digest);
    uint64_t ours = was_until (&node->pasts[d], &s->digest);
    bool live = !sim->silent && sim_hubs_inside (sim);
    uint64_t stale = live ? STALE_LIVE_MS : 3u * SIM_INTERVAL_MS;
    if (theirs == 0 && peer->pasts[d].n_was < SIM_WAS_MAX) {
        sim_fail (sim, "P9: node %u claims to equal a state that %u never had", node->index,
                  peer->index);
    } else if (ours == 0 && node->pasts[d].n_was < SIM_WAS_MAX) {
        sim_fail (sim, "P9: node %u claims a state that it never had", node->index);
    } else if (link->session != 0 && sim->now_ms > link->up_ms + stale
               && ((theirs != UINT64_MAX && sim->now_ms > theirs + stale)
                   || (ours != UINT64_MAX && sim->now_ms > ours + CROSSING_MS))) {
        sim_fail (sim, "P9: node %u still claims to equal %u", node->index, peer->index);
    }
}

void
sim_watch_status (struct sim *sim, struct sim_node *node, const struct weir_id *device,
                  const struct weir_id *db)
{
    struct weir_sync_state s;
    bool peer = device && !weir_id_is_zero (device);
    for (unsigned d = 0; peer && d < sim->n_dbs; d++) {
        if (weir_sync_find (node->sync, device, &sim->dbs[d], &s)) {
            check_claim (sim, node, &s);
        }
    }
    if (peer || !db || weir_id_is_zero (db)) {
        return;
    }
    for (unsigned i = 0; i < node->n_links; i++) {
        const struct sim_link *link = node->links[i];
        const struct sim_node *other = &sim->nodes[link->a == node->index ? link->b : link->a];
        if (weir_sync_find (node->sync, &other->identity.device, db, &s)) {
            check_claim (sim, node, &s);
        }
    }
}

/* ---- bounds ---- */

static void
check_answers (struct sim *sim, struct sim_node *node)
{
    for (unsigned i = 0; i < node->n_links && !node->liar; i++) {
        const struct sim_link *link = node->links[i];
        unsigned way = link->a == node->index ? 0 : 1;
        const struct sim_node *other = &sim->nodes[way == 0 ? link->b : link->a];
        uint64_t most = ANSWERS_FREE + ANSWERS_A_MESSAGE * link->said[1 - way] + sim->now_ms / 100;
        if (other->liar && link->said[way] > most) {
            sim_fail (sim, "P8: node %u said %llu messages to the liar %u", node->index,
                      (unsigned long long) link->said[way], other->index);
        }
    }
}

void
sim_watch_bounds (struct sim *sim, struct sim_node *node)
{
    size_t most = (size_t) node->n_links * sim->n_dbs;
    size_t transfers = 0;
    for (const struct sim_transfer *t = node->transfers; t; t = t->next) {
        transfers++;
    }
    if (transfers > 4 * most) {
        sim_fail (sim, "P8: %zu transfers at node %u", transfers, node->index);
    }
    if (node->n_compares > 4 * most) {
        sim_fail (sim, "P8: %zu comparisons wait at node %u", node->n_compares, node->index);
    }
    check_answers (sim, node);
    if (!node->sync) {
        return;
    }
    if (weir_map_count (node->sync->tickets) > most
        || weir_map_count (node->sync->transfers) > 2 * most) {
        sim_fail (sim, "P8: %zu tickets and %zu transfers in the tables of node %u",
                  weir_map_count (node->sync->tickets), weir_map_count (node->sync->transfers),
                  node->index);
    }
    for (size_t i = 0; i < node->sync->n_pairs; i++) {
        const struct weir_sync_pair *pair = node->sync->pairs[i];
        if (pair->queue.count > 2 * WEIR_SYNC_QUEUE_RANGES_MAX
            || pair->flying.count > 2 * WEIR_SYNC_QUEUE_RANGES_MAX) {
            sim_fail (sim, "P8: %zu ranges wait and %zu fly at node %u", pair->queue.count,
                      pair->flying.count, node->index);
        }
    }
    if (weir_retry_count (node->retry, NULL) > most) {
        sim_fail (sim, "P8: node %u retries more pairs than there are", node->index);
    }
}

static bool
is_at_rest (const struct weir_sync_pair *pair)
{
    return pair->stage == WEIR_STAGE_REST && pair->queue.count == 0 && pair->flying.count == 0
           && !pair->sending && !pair->bulk && !pair->in_busy
           && (pair->out_state == WEIR_OUT_NONE || pair->out_state == WEIR_OUT_OPEN);
}

void
sim_watch_rest (struct sim *sim, struct sim_node *node)
{
    size_t sessions = 0;
    for (unsigned i = 0; i < node->n_links; i++) {
        sessions += node->links[i]->session != 0 ? 1u : 0u;
    }
    for (size_t i = 0; node->sync && i < node->sync->n_pairs; i++) {
        const struct weir_sync_pair *pair = node->sync->pairs[i];
        const struct sim_node *peer = sim_peer (sim, &pair->peer->device);
        bool same = weir_sync_known (pair) && weir_sync_equal (pair);
        if (!same || peer->liar || node->liar) {
            continue;
        }
        if (!is_at_rest (pair)) {
            sim_fail (sim,
                      "P8: node %u has not come to rest with %u (stage %d, %zu wait, %zu fly, "
                      "sending %d, bulk %d, busy %d, out %d)",
                      node->index, peer->index, (int) pair->stage, pair->queue.count,
                      pair->flying.count, pair->sending, pair->bulk, pair->in_busy,
                      (int) pair->out_state);
        }
        if (weir_retry_find (node->retry, &pair->peer->device, &pair->db->id)) {
            sim_fail (sim, "P9: node %u would try %u again, with whom it is in step", node->index,
                      peer->index);
        }
    }
    if (node->sync && weir_map_count (node->sync->sessions) != sessions) {
        sim_fail (sim, "P8: node %u keeps %zu sessions of %zu", node->index,
                  weir_map_count (node->sync->sessions), sessions);
    }
    for (const struct sim_transfer *t = node->transfers; t && !node->liar; t = t->next) {
        const struct sim_link *link = sim_link_between (sim, node->index, t->peer);
        if (link->session != t->session && !sim->nodes[t->peer].liar) {
            sim_fail (sim, "P8: node %u keeps a transfer of a session that is over", node->index);
        }
    }
}
