/* Who sends what is new, and who only announces it: the eager tree of a database (page 3; after
 * Plumtree: Leitao, Pereira, Rodrigues, "Epidemic Broadcast Trees", 2007). A session begins
 * eager both ways. What came twice prunes one of the two ways it came by; what was announced and
 * is not here in time is grafted. Between two that forward, an edge is eager or lazy both ways at
 * once; where one of them sends only its own, each direction is its receiver's choice. All of it
 * only decides who sends: wrong state costs a delay or a body too much, and the check interval
 * lies under it. It is forgotten with the session. Called by the other files of the
 * synchronizer. */

#include "store/sync/sync_state.h"
#include "store/crypto/hash.h"

#include <stdlib.h>
#include <string.h>

#define AGAIN_MIN 16u   /* entries: a burst that was new in part proves little */
#define LATELY_MAX 512u /* entries that the shares are taken of */
#define BUSY_MS_MAX 1000u

/* ---- what is held, and who supplied it ---- */

static uint64_t
tag_of (const struct weir_sync_db *db, const struct weir_chain *chain)
{
    uint8_t name[WEIR_ID_BYTES + 8];
    memcpy (name, chain->author.b, WEIR_ID_BYTES);
    weir_store_u64 (name + WEIR_ID_BYTES, chain->lane);
    return weir_hash_tag (&db->id, weir_bytes (name, sizeof name));
}

static struct weir_sync_chain *
find_chain (const struct weir_sync_db *db, uint64_t tag)
{
    uint8_t key[8];
    return db->chains ? weir_map_get (db->chains, weir_sync_key64 (key, tag)) : NULL;
}

static void
unlist (struct weir_sync_db *db, struct weir_sync_chain *chain)
{
    *(chain->older ? &chain->older->newer : &db->oldest) = chain->newer;
    *(chain->newer ? &chain->newer->older : &db->newest) = chain->older;
    chain->older = NULL;
    chain->newer = NULL;
}

static void
list_newest (struct weir_sync_db *db, struct weir_sync_chain *chain)
{
    chain->older = db->newest;
    *(db->newest ? &db->newest->newer : &db->oldest) = chain;
    db->newest = chain;
}

static struct weir_sync_chain *
need_chain (struct weir_sync_db *db, uint64_t tag)
{
    uint8_t key[8];
    struct weir_sync_chain *chain = find_chain (db, tag);
    if (chain) {
        unlist (db, chain);
        list_newest (db, chain);
        return chain;
    }
    if (!db->chains) {
        db->chains = weir_map_new ();
    }
    if (weir_map_count (db->chains) < WEIR_TREE_CHAINS_MAX) {
        chain = weir_alloc (sizeof *chain);
    } else {
        chain = db->oldest;
        unlist (db, chain);
        weir_map_remove (db->chains, weir_sync_key64 (key, chain->tag));
        memset (chain, 0, sizeof *chain);
    }
    chain->tag = tag;
    weir_map_put (db->chains, weir_sync_key64 (key, tag), chain);
    list_newest (db, chain);
    return chain;
}

void
weir_sync_tree_novel (struct weir_sync *self, struct weir_sync_db *db,
                      const struct weir_ranges *ranges, const struct weir_id *source)
{
    size_t sessions = 0;
    (void) self;
    for (struct weir_sync_pair *pair = db->pairs; pair; pair = pair->next_of_db) {
        sessions += pair->session != NULL;
    }
    for (size_t i = 0; sessions > 1 && i < ranges->count; i++) {
        const struct weir_range *range = &ranges->items[i];
        struct weir_sync_chain *chain = need_chain (db, tag_of (db, &range->chain));
        bool goes_on = chain->to_seq > 0 && range->from_seq <= chain->to_seq
                       && weir_id_equal (&chain->source, source);
        if (goes_on) {
            chain->to_seq = range->to_seq > chain->to_seq ? range->to_seq : chain->to_seq;
        } else if (range->to_seq > chain->to_seq) {
            chain->from_seq = range->from_seq;
            chain->to_seq = range->to_seq;
            chain->source = *source;
        }
    }
}

void
weir_sync_tree_free_db (struct weir_sync_db *db)
{
    weir_map_destroy (&db->chains, free);
    free (db);
}

/* ---- edges ---- */

static struct weir_sync_edge *
need_edge (struct weir_sync_pair *pair)
{
    if (!pair->edge) {
        pair->edge = weir_alloc (sizeof *pair->edge);
        pair->edge->announce_ms = WEIR_SYNC_NEVER;
        pair->edge->missing_ms = WEIR_SYNC_NEVER;
    }
    return pair->edge;
}

void
weir_sync_tree_free_edge (struct weir_sync_pair *pair)
{
    if (pair->edge) {
        free (pair->edge->owed);
        free (pair->edge->missing);
        free (pair->edge);
        pair->edge = NULL;
    }
}

bool
weir_sync_is_lazy (const struct weir_sync_pair *pair)
{
    return pair->edge && pair->edge->lazy_out;
}

static bool
is_eager_in (const struct weir_sync_pair *pair)
{
    return !pair->edge || !pair->edge->lazy_in;
}

static bool
speaks (const struct weir_sync_pair *pair)
{
    return pair->session && pair->session->protocol >= WEIR_PROTOCOL_TREE;
}

static bool
is_hub (const struct weir_sync_pair *pair)
{
    return pair->session && pair->session->role == WEIR_ROLE_HUB;
}

/* Both forward: they agree on the edge as a whole. */
static bool
is_mutual (const struct weir_sync *self, const struct weir_sync_pair *pair)
{
    return weir_sync_forwards (self) && is_hub (pair);
}

static bool
supplies (const struct weir_sync_pair *pair)
{
    return is_hub (pair) && pair->met && is_eager_in (pair)
           && (pair->direction & WEIR_SYNC_PULL) != 0;
}

static struct weir_sync_pair *
other_supplier (const struct weir_sync_pair *but)
{
    struct weir_sync_pair *pair = but->db->pairs;
    while (pair && (pair == but || !supplies (pair))) {
        pair = pair->next_of_db;
    }
    return pair;
}

static bool
takes (const struct weir_sync_pair *pair)
{
    return is_hub (pair) && pair->met && !weir_sync_is_lazy (pair) && weir_sync_may_push (pair);
}

static struct weir_sync_pair *
other_taker (const struct weir_sync_pair *but)
{
    struct weir_sync_pair *pair = but->db->pairs;
    while (pair && (pair == but || !takes (pair))) {
        pair = pair->next_of_db;
    }
    return pair;
}

/* ---- announcing ---- */

static void
forget_owed (struct weir_sync_edge *edge, size_t i)
{
    edge->n_owed--;
    memmove (edge->owed + i, edge->owed + i + 1, (edge->n_owed - i) * sizeof edge->owed[0]);
}

static void
owe (struct weir_sync_pair *pair, const struct weir_range *range)
{
    struct weir_sync_edge *edge = pair->edge;
    uint64_t tag = tag_of (pair->db, &range->chain);
    for (size_t i = 0; i < edge->n_owed; i++) {
        struct weir_sync_owed *owed = &edge->owed[i];
        if (owed->tag == tag && owed->range.to_seq == range->from_seq) {
            owed->range.to_seq = range->to_seq;
            owed->range.tip = range->tip;
            owed->said = false;
            return;
        }
    }
    if (edge->n_owed == WEIR_TREE_OWED_MAX) {
        forget_owed (edge, 0); /* the digests still tell that something is missing */
    }
    weir_grow (&edge->owed, &edge->owed_cap, edge->n_owed + 1, sizeof edge->owed[0]);
    edge->owed[edge->n_owed++] = (struct weir_sync_owed){ .range = *range, .tag = tag };
}

void
weir_sync_tree_owe (struct weir_sync *self, struct weir_sync_pair *pair,
                    const struct weir_ranges *ranges, uint64_t now_ms)
{
    struct weir_sync_edge *edge = pair->edge;
    if (!pair->met) {
        weir_sync_judge (self, pair, false, now_ms);
        return; /* the comparison to come will find them */
    }
    for (size_t i = 0; i < ranges->count; i++) {
        owe (pair, &ranges->items[i]);
    }
    if (edge->announce_ms > now_ms + WEIR_ANNOUNCE_DELAY_MS) {
        edge->announce_ms = now_ms + WEIR_ANNOUNCE_DELAY_MS;
    }
}

static bool
has_news (const struct weir_sync_edge *edge)
{
    size_t i = 0;
    while (i < edge->n_owed && edge->owed[i].said) {
        i++;
    }
    return i < edge->n_owed;
}

void
weir_sync_tree_changed (struct weir_sync_pair *pair, uint64_t now_ms)
{
    struct weir_sync_edge *edge = pair->edge;
    if (edge && (edge->lazy_in || edge->lazy_out) && speaks (pair) && !has_news (edge)
        && !weir_id_equal (&edge->told, &pair->db->digest)) {
        edge->announce_ms = now_ms + WEIR_TELL_DIGEST_MS;
    }
}

static void
announce (struct weir_sync *self, struct weir_sync_pair *pair)
{
    struct weir_sync_edge *edge = pair->edge;
    edge->announce_ms = WEIR_SYNC_NEVER;
    if (weir_id_is_zero (&pair->db->digest)
        || (!has_news (edge) && weir_id_equal (&edge->told, &pair->db->digest))) {
        return; /* told by a burst since */
    }
    size_t i = 0;
    do {
        struct weir_sync_message *m =
            weir_sync_say (self, pair->session, WEIR_SYNC_ANNOUNCE, pair);
        m->digest = pair->db->digest;
        m->marks = weir_alloc (WEIR_MARKS_PER_MESSAGE * sizeof m->marks[0]);
        for (; i < edge->n_owed && m->n_marks < WEIR_MARKS_PER_MESSAGE; i++) {
            struct weir_sync_owed *owed = &edge->owed[i];
            if (!owed->said) {
                m->marks[m->n_marks++] = (struct weir_sync_mark){ owed->tag, owed->range.to_seq };
                owed->said = true;
            }
        }
        pair->figures.announced++;
    } while (has_news (edge));
    edge->told = pair->db->digest;
}

/* ---- eager and lazy ---- */

static void
make_lazy_out (struct weir_sync *self, struct weir_sync_pair *pair, uint64_t now_ms)
{
    struct weir_ranges waiting = { 0 };
    need_edge (pair)->lazy_out = true;
    for (size_t i = pair->edge->n_owed; i-- > 0;) {
        if (pair->edge->owed[i].said) {
            forget_owed (pair->edge, i); /* of an older time */
        }
    }
    if (pair->queue.count > 0 && !pair->bulk) {
        waiting = pair->queue;
        memset (&pair->queue, 0, sizeof pair->queue);
        weir_sync_clear_queue (pair);
        weir_sync_tree_owe (self, pair, &waiting, now_ms);
        weir_ranges_fini (&waiting);
    }
    weir_sync_tree_changed (pair, now_ms);
}

/* What it was not told of goes as bodies; what it was told of it asks for. */
static void
make_eager_out (struct weir_sync *self, struct weir_sync_pair *pair, bool all, uint64_t now_ms)
{
    struct weir_sync_edge *edge = pair->edge;
    edge->lazy_out = false;
    for (size_t i = 0; i < edge->n_owed;) {
        if (all || !edge->owed[i].said) {
            weir_sync_enqueue (pair, &edge->owed[i].range);
            forget_owed (edge, i);
        } else {
            i++;
        }
    }
    if (pair->stage == WEIR_STAGE_REST) {
        weir_sync_flush (self, pair, now_ms);
    }
}

static void
prune (struct weir_sync *self, struct weir_sync_pair *pair, uint64_t now_ms)
{
    struct weir_sync_edge *edge = need_edge (pair);
    if (edge->pruned_ms != 0 && now_ms < edge->pruned_ms + WEIR_PRUNE_AGAIN_MS) {
        return; /* what was on its way still comes */
    }
    edge->pruned_ms = now_ms;
    edge->lazy_in = true;
    edge->again = 0;
    edge->fresh = 0;
    pair->figures.prunes++;
    weir_sync_say (self, pair->session, WEIR_SYNC_PRUNE, pair);
    if (is_mutual (self, pair)) {
        make_lazy_out (self, pair, now_ms);
    }
    weir_sync_settle (self, pair, now_ms);
}

static void
graft (struct weir_sync *self, struct weir_sync_pair *pair, uint64_t now_ms)
{
    struct weir_sync_edge *edge = need_edge (pair);
    struct weir_sync_message *m = weir_sync_say (self, pair->session, WEIR_SYNC_GRAFT, pair);
    m->marks = weir_alloc ((edge->n_missing + 1) * sizeof m->marks[0]);
    for (size_t i = 0; i < edge->n_missing; i++) {
        const struct weir_sync_chain *chain = find_chain (pair->db, edge->missing[i].chain);
        m->marks[m->n_marks++] =
            (struct weir_sync_mark){ edge->missing[i].chain, chain ? chain->to_seq : 0 };
    }
    edge->lazy_in = false;
    edge->pruned_ms = 0;
    edge->n_asked = edge->n_missing;
    edge->missing_ms = WEIR_SYNC_NEVER;
    pair->figures.grafts++;
    if (edge->n_missing > 0) {
        edge->asked_ms = now_ms;
        pair->db->graft_ms = now_ms;
        edge->missing_ms = now_ms + WEIR_GRAFT_PATIENCE_MS;
    }
    if (is_mutual (self, pair)) {
        make_eager_out (self, pair, false, now_ms);
    }
    weir_sync_settle (self, pair, now_ms);
}

/* ---- what came twice ---- */

/* Who supplied what is held of these; false when it is not known any more. */
static bool
find_source (const struct weir_sync_db *db, const struct weir_ranges *ranges,
             struct weir_id *source)
{
    for (size_t i = ranges ? ranges->count : 0; i-- > 0;) {
        const struct weir_range *range = &ranges->items[i];
        const struct weir_sync_chain *chain = find_chain (db, tag_of (db, &range->chain));
        if (chain && range->to_seq > chain->from_seq && range->to_seq <= chain->to_seq) {
            *source = chain->source;
            return true;
        }
    }
    return false;
}

/* `pair` sent what another had supplied. Whom to prune: of two that forward, the one that was
 * late; of one that forwards and one that does not, the one that sends only its own (two hubs of
 * one leaf would else part from each other for it). */
static struct weir_sync_pair *
choose (const struct weir_sync *self, struct weir_sync_pair *pair, const struct weir_ranges *held)
{
    struct weir_id source;
    if (!find_source (pair->db, held, &source) || weir_id_equal (&source, &pair->peer->device)) {
        return NULL;
    }
    struct weir_sync_pair *first = weir_sync_find_pair (self, &source, &pair->db->id);
    if (first && first->session && !is_hub (first)) {
        return supplies (pair) ? first : NULL;
    }
    if (first && !supplies (first)) {
        first = NULL;
    }
    if (!first && !other_supplier (pair)) {
        return NULL;
    }
    return speaks (pair) || !is_hub (pair) ? pair : first;
}

static void
came_again (struct weir_sync *self, struct weir_sync_pair *pair, const struct weir_sync_event *e,
            uint64_t now_ms)
{
    struct weir_sync_edge *edge = need_edge (pair);
    edge->again += e->again;
    edge->fresh += e->entries;
    if (edge->again + edge->fresh > LATELY_MAX) {
        edge->again /= 2;
        edge->fresh /= 2;
    }
    if (e->entries > 0 && (edge->again < AGAIN_MIN || edge->again * 4 < edge->fresh)) {
        return;
    }
    struct weir_sync_pair *victim = choose (self, pair, e->ranges);
    if (victim && speaks (victim)) {
        prune (self, victim, now_ms);
    }
}

void
weir_sync_tree_arrived (struct weir_sync *self, struct weir_sync_pair *pair,
                        const struct weir_sync_event *e, uint64_t now_ms)
{
    pair->figures.again += e->again;
    if (pair->edge) {
        pair->edge->arrived_ms = now_ms;
        pair->edge->fresh += e->again == 0 ? e->entries : 0;
    }
    if (pair->live && e->again > 0) {
        came_again (self, pair, e, now_ms);
    }
    if (pair->stage == WEIR_STAGE_REST && !weir_id_is_zero (&e->their_digest)) {
        pair->live = true; /* what the comparison sent has come */
    }
}

/* ---- what was announced ---- */

static bool
is_held (const struct weir_sync_db *db, const struct weir_sync_mark *mark)
{
    const struct weir_sync_chain *chain = find_chain (db, mark->chain);
    return chain && chain->to_seq >= mark->seq;
}

static void
miss (struct weir_sync *self, struct weir_sync_pair *pair, const struct weir_sync_mark *mark,
      uint64_t now_ms)
{
    struct weir_sync_edge *edge = pair->edge;
    size_t i = edge->n_asked;
    while (i < edge->n_missing && edge->missing[i].chain != mark->chain) {
        i++;
    }
    if (is_held (pair->db, mark) || i == WEIR_MARKS_PER_MESSAGE) {
        return;
    }
    if (i == edge->n_missing) {
        weir_grow (&edge->missing, &edge->missing_cap, i + 1, sizeof edge->missing[0]);
        edge->missing[edge->n_missing++] = *mark;
    } else if (edge->missing[i].seq < mark->seq) {
        edge->missing[i].seq = mark->seq;
    }
    uint64_t due_ms = now_ms + weir_rand_jitter (&self->rand, WEIR_GRAFT_MS, 25);
    if (edge->n_missing == edge->n_asked + 1 && edge->missing_ms > due_ms) {
        edge->missing_ms = due_ms;
        edge->since_ms = now_ms;
    }
}

static void
forget_missing (struct weir_sync_edge *edge)
{
    edge->n_missing = 0;
    edge->n_asked = 0;
    edge->missing_ms = WEIR_SYNC_NEVER;
}

static void
drop_held (struct weir_sync_pair *pair)
{
    struct weir_sync_edge *edge = pair->edge;
    size_t kept = 0;
    size_t asked = 0;
    for (size_t i = 0; i < edge->n_missing; i++) {
        if (!is_held (pair->db, &edge->missing[i])) {
            asked += i < edge->n_asked;
            edge->missing[kept++] = edge->missing[i];
        }
    }
    edge->n_missing = kept;
    edge->n_asked = asked;
}

/* Another peer is sending at this moment. */
static bool
comes_anyway (const struct weir_sync_pair *but, uint64_t now_ms)
{
    struct weir_sync_pair *pair = but->db->pairs;
    while (pair && (pair == but || !pair->in_busy || now_ms - pair->in_ms >= WEIR_GRAFT_MS)) {
        pair = pair->next_of_db;
    }
    return pair != NULL;
}

/* It was asked for what it had announced, and that is still not here. Something that came and
 * was not stored is no lie. */
static void
judge_promise (struct weir_sync *self, struct weir_sync_pair *pair, uint64_t now_ms)
{
    struct weir_sync_edge *edge = pair->edge;
    bool lied = edge->arrived_ms < edge->asked_ms;
    forget_missing (edge);
    if (!lied) {
        edge->strikes = 0;
        return;
    }
    pair->figures.strikes++;
    if (++edge->strikes >= WEIR_STRIKES_MAX) {
        edge->strikes = 0;
        edge->ignored_ms = now_ms + WEIR_STRIKE_MS;
        weir_sync_act (self, WEIR_SYNC_STRIKE, pair);
    }
    prune (self, pair, now_ms); /* nobody is to rely on it */
}

static void
look_for_missing (struct weir_sync *self, struct weir_sync_pair *pair, uint64_t now_ms)
{
    struct weir_sync_edge *edge = pair->edge;
    uint64_t graft_ms = pair->db->graft_ms;
    drop_held (pair);
    if (edge->n_missing == 0 || (weir_sync_known (pair) && weir_sync_equal (pair))) {
        forget_missing (edge);
    } else if (edge->n_asked == edge->n_missing) {
        judge_promise (self, pair, now_ms);
    } else if (now_ms < edge->since_ms + BUSY_MS_MAX && comes_anyway (pair, now_ms)) {
        edge->missing_ms = now_ms + weir_rand_jitter (&self->rand, WEIR_GRAFT_MS, 25);
    } else if (graft_ms != 0 && now_ms < graft_ms + WEIR_GRAFT_MS && edge->asked_ms != graft_ms) {
        /* Another was asked just now. */
        edge->missing_ms = graft_ms + WEIR_GRAFT_MS
                           + weir_rand_jitter (&self->rand, WEIR_GRAFT_MS / 2, 50);
    } else {
        graft (self, pair, now_ms);
    }
}

/* ---- messages ---- */

static void
on_announce (struct weir_sync *self, struct weir_sync_pair *pair,
             const struct weir_sync_message *m, uint64_t now_ms)
{
    struct weir_sync_edge *edge = need_edge (pair);
    pair->figures.heard++;
    pair->activity_ms = now_ms;
    if (!weir_id_is_zero (&m->digest)) {
        pair->theirs = m->digest;
    }
    bool equal = weir_sync_known (pair) && weir_sync_equal (pair);
    for (size_t i = 0; i < m->n_marks; i++) {
        for (size_t k = 0; k < edge->n_owed;) {
            if (edge->owed[k].tag == m->marks[i].chain
                && edge->owed[k].range.to_seq <= m->marks[i].seq && edge->owed[k].said) {
                forget_owed (edge, k); /* they have it */
            } else {
                k++;
            }
        }
        if (!equal && (pair->direction & WEIR_SYNC_PULL) != 0 && pair->met
            && now_ms >= edge->ignored_ms) {
            miss (self, pair, &m->marks[i], now_ms);
        }
    }
    if (equal) {
        forget_missing (edge);
    }
    weir_sync_judge (self, pair, false, now_ms);
}

static void
on_prune (struct weir_sync *self, struct weir_sync_pair *pair, uint64_t now_ms)
{
    struct weir_sync_edge *edge = need_edge (pair);
    if (is_mutual (self, pair) && !other_supplier (pair)) {
        /* Nothing else would bring us what is new: the edge stays. */
        if (edge->refused_ms == 0 || now_ms >= edge->refused_ms + WEIR_PRUNE_AGAIN_MS) {
            edge->refused_ms = now_ms;
            graft (self, pair, now_ms);
        }
        return;
    }
    if (!weir_sync_forwards (self) && is_hub (pair) && !other_taker (pair)) {
        return; /* nobody else would take what is ours */
    }
    edge->lazy_in = edge->lazy_in || is_mutual (self, pair);
    make_lazy_out (self, pair, now_ms);
}

static void
on_graft (struct weir_sync *self, struct weir_sync_pair *pair, const struct weir_sync_message *m,
          uint64_t now_ms)
{
    struct weir_sync_edge *edge = need_edge (pair);
    if (is_mutual (self, pair)) {
        edge->lazy_in = false;
        edge->pruned_ms = 0;
    }
    if (!weir_sync_may_push (pair)) {
        edge->lazy_out = false;
        return;
    }
    for (size_t i = 0; i < m->n_marks; i++) {
        for (size_t k = 0; k < edge->n_owed;) {
            struct weir_range range = edge->owed[k].range;
            if (edge->owed[k].tag != m->marks[i].chain) {
                k++;
                continue;
            }
            if (m->marks[i].seq > range.from_seq) {
                range.from_seq = m->marks[i].seq;
            }
            if (range.from_seq < range.to_seq) {
                weir_sync_enqueue (pair, &range);
            }
            forget_owed (edge, k);
        }
    }
    make_eager_out (self, pair, false, now_ms);
}

void
weir_sync_tree_message (struct weir_sync *self, struct weir_sync_session *session,
                        const struct weir_sync_message *m, uint64_t now_ms)
{
    struct weir_sync_pair *pair = weir_sync_by_tag (session, m->tag);
    if (!pair) {
        weir_sync_unknown_tag (self, session, m->tag);
        return;
    }
    if (m->n_marks > WEIR_MARKS_PER_MESSAGE || session->protocol < WEIR_PROTOCOL_TREE) {
        self->counters.messages_bad++;
        return;
    }
    if (pair->session != session) {
        return; /* of one that is being replaced */
    }
    if (m->type == WEIR_SYNC_ANNOUNCE) {
        on_announce (self, pair, m, now_ms);
    } else if (m->type == WEIR_SYNC_PRUNE) {
        on_prune (self, pair, now_ms);
    } else {
        on_graft (self, pair, m, now_ms);
    }
    weir_sync_settle (self, pair, now_ms);
}

/* ---- time, and who goes ---- */

uint64_t
weir_sync_tree_due_ms (const struct weir_sync_pair *pair)
{
    const struct weir_sync_edge *edge = pair->edge;
    if (!edge || !pair->session) {
        return WEIR_SYNC_NEVER;
    }
    return edge->announce_ms < edge->missing_ms ? edge->announce_ms : edge->missing_ms;
}

void
weir_sync_tree_due (struct weir_sync *self, struct weir_sync_pair *pair, uint64_t now_ms)
{
    if (pair->edge && pair->session && pair->edge->announce_ms <= now_ms) {
        announce (self, pair);
    }
    if (pair->edge && pair->session && pair->edge->missing_ms <= now_ms) {
        look_for_missing (self, pair, now_ms);
    }
}

/* Whom to graft in place of one that went: who has shown something that is missing here, else
 * who has kept its word. */
static struct weir_sync_pair *
best_lazy (const struct weir_sync_pair *but, uint64_t now_ms)
{
    struct weir_sync_pair *best = NULL;
    for (struct weir_sync_pair *pair = but->db->pairs; pair; pair = pair->next_of_db) {
        const struct weir_sync_edge *edge = pair->edge;
        if (pair == but || !edge || !edge->lazy_in || !is_hub (pair) || now_ms < edge->ignored_ms) {
            continue;
        }
        if (!best || edge->n_missing > best->edge->n_missing
            || (edge->n_missing == best->edge->n_missing && edge->strikes < best->edge->strikes)) {
            best = pair;
        }
    }
    return best;
}

static void
replace_supplier (struct weir_sync *self, const struct weir_sync_pair *gone, uint64_t now_ms)
{
    struct weir_sync_pair *best = best_lazy (gone, now_ms);
    if (best) {
        graft (self, best, now_ms);
        return;
    }
    struct weir_sync_pair *pair = other_supplier (gone) ? NULL : gone->db->pairs;
    for (; pair; pair = pair->next_of_db) {
        if (pair != gone && pair->edge && pair->edge->lazy_in && speaks (pair)) {
            graft (self, pair, now_ms); /* each sends its own, and nobody else would */
        }
    }
}

void
weir_sync_tree_cut (struct weir_sync *self, struct weir_sync_pair *gone,
                    const struct weir_sync_session *session, uint64_t now_ms)
{
    bool supplied = session->role == WEIR_ROLE_HUB && is_eager_in (gone)
                    && (gone->direction & WEIR_SYNC_PULL) != 0;
    bool took = session->role == WEIR_ROLE_HUB && !weir_sync_is_lazy (gone);
    weir_sync_tree_free_edge (gone);
    gone->live = false;
    if (supplied) {
        replace_supplier (self, gone, now_ms);
    }
    if (took && !weir_sync_forwards (self) && !other_taker (gone)) {
        struct weir_sync_pair *pair = gone->db->pairs;
        while (pair && (pair == gone || !is_hub (pair) || !weir_sync_is_lazy (pair))) {
            pair = pair->next_of_db;
        }
        if (pair) {
            make_eager_out (self, pair, true, now_ms);
            weir_sync_settle (self, pair, now_ms);
        }
    }
}
