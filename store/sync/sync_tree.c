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

/* ---- what is held, and who supplied it ---- */

uint64_t
weir_sync_chain_tag (const struct weir_sync_db *db, const struct weir_chain *chain)
{
    uint8_t name[WEIR_ID_BYTES + 8];
    memcpy (name, chain->author.b, WEIR_ID_BYTES);
    weir_store_u64 (name + WEIR_ID_BYTES, chain->lane);
    return weir_hash_tag (&db->id, weir_bytes (name, sizeof name));
}

struct weir_sync_chain *
weir_sync_find_chain (const struct weir_sync_db *db, uint64_t tag)
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
    struct weir_sync_chain *chain = weir_sync_find_chain (db, tag);
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

/* Two entries that are on their way at once, from two places, would prune a ring of hubs in two
 * places. So only one chain guides at a time, the same everywhere: of those that live, the one
 * with the smallest tag. What it prunes by is the tree of the fastest ways from its author. */
static void
find_guide (struct weir_sync_db *db, uint64_t tag, uint64_t now_ms)
{
    if (db->guide_ms == 0 || tag < db->guide || now_ms > db->guide_ms + WEIR_GUIDE_MS) {
        db->guide = tag;
        db->guide_since_ms = now_ms;
    }
    if (tag == db->guide) {
        db->guide_ms = now_ms;
    }
}

static bool
guides (const struct weir_sync_db *db, uint64_t tag, uint64_t now_ms)
{
    return tag == db->guide && now_ms >= db->guide_since_ms + WEIR_GUIDE_SETTLE_MS;
}

void
weir_sync_tree_novel (struct weir_sync_db *db, const struct weir_ranges *ranges,
                      const struct weir_id *source, uint64_t now_ms)
{
    size_t sessions = 0;
    for (struct weir_sync_pair *pair = db->pairs; pair; pair = pair->next_of_db) {
        sessions += pair->session != NULL;
    }
    for (size_t i = 0; sessions > 1 && i < ranges->count; i++) {
        const struct weir_range *range = &ranges->items[i];
        struct weir_sync_chain *chain = need_chain (db, weir_sync_chain_tag (db, &range->chain));
        find_guide (db, chain->tag, now_ms);
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

struct weir_sync_edge *
weir_sync_need_edge (struct weir_sync_pair *pair)
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

struct weir_sync_pair *
weir_sync_other_supplier (const struct weir_sync_pair *but)
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

/* ---- eager and lazy ---- */

static void
make_lazy_out (struct weir_sync *self, struct weir_sync_pair *pair, uint64_t now_ms)
{
    struct weir_ranges waiting = { 0 };
    weir_sync_need_edge (pair)->lazy_out = true;
    for (size_t i = pair->edge->n_owed; i-- > 0;) {
        if (pair->edge->owed[i].said) {
            weir_sync_forget_owed (pair->edge, i); /* of an older time */
        }
    }
    if (pair->queue.count > 0 && !pair->bulk) {
        waiting = pair->queue;
        memset (&pair->queue, 0, sizeof pair->queue);
        weir_sync_clear_queue (pair);
        weir_sync_tree_owe (self, pair, &waiting, now_ms);
        weir_ranges_fini (&waiting);
    }
    weir_sync_tree_changed (self, pair, false, now_ms);
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
            weir_sync_forget_owed (edge, i);
        } else {
            i++;
        }
    }
    if (pair->stage == WEIR_STAGE_REST) {
        weir_sync_flush (self, pair, now_ms);
    }
}

void
weir_sync_prune (struct weir_sync *self, struct weir_sync_pair *pair, uint64_t now_ms)
{
    struct weir_sync_edge *edge = weir_sync_need_edge (pair);
    if (edge->pruned_ms != 0 && now_ms < edge->pruned_ms + WEIR_PRUNE_AGAIN_MS) {
        return; /* what was on its way still comes */
    }
    edge->pruned_ms = now_ms;
    edge->lazy_in = true;
    weir_sync_tree_overhasty (pair, now_ms);
    edge->again = 0;
    edge->fresh = 0;
    pair->figures.prunes++;
    weir_sync_say (self, pair->session, WEIR_SYNC_PRUNE, pair);
    if (is_mutual (self, pair)) {
        make_lazy_out (self, pair, now_ms);
    }
    weir_sync_settle (self, pair, now_ms);
}

void
weir_sync_graft (struct weir_sync *self, struct weir_sync_pair *pair, uint64_t now_ms)
{
    struct weir_sync_edge *edge = weir_sync_need_edge (pair);
    struct weir_sync_message *m = weir_sync_say (self, pair->session, WEIR_SYNC_GRAFT, pair);
    weir_sync_put_missing (pair, m, now_ms);
    edge->lazy_in = false;
    edge->pruned_ms = 0;
    pair->figures.grafts++;
    if (is_mutual (self, pair)) {
        make_eager_out (self, pair, false, now_ms);
    }
    weir_sync_settle (self, pair, now_ms);
}

/* ---- what came twice ---- */

/* `pair` sent a range that another had supplied. Whom to prune: of two that forward, the one that
 * was late; of one that forwards and one that does not, the one that sends only its own (two hubs
 * of one leaf would else part from each other for it). */
static struct weir_sync_pair *
choose (const struct weir_sync *self, struct weir_sync_pair *pair, const struct weir_range *range,
        uint64_t now_ms)
{
    const struct weir_sync_chain *chain =
        weir_sync_find_chain (pair->db, weir_sync_chain_tag (pair->db, &range->chain));
    if (!chain || range->to_seq <= chain->from_seq || range->to_seq > chain->to_seq) {
        return NULL; /* nobody remembers */
    }
    struct weir_sync_pair *first = weir_sync_find_pair (self, &chain->source, &pair->db->id);
    if (!first || first == pair || !first->session) {
        return NULL; /* ours, which the other end has twice too; or of one that is gone */
    }
    if (!is_hub (first)) {
        return supplies (pair) ? first : NULL;
    }
    if (!supplies (first) || (is_mutual (self, pair) && !guides (pair->db, chain->tag, now_ms))) {
        return NULL;
    }
    return speaks (pair) || !is_hub (pair) ? pair : first;
}

static void
came_again (struct weir_sync *self, struct weir_sync_pair *pair, const struct weir_sync_event *e,
            uint64_t now_ms)
{
    struct weir_sync_edge *edge = weir_sync_need_edge (pair);
    edge->again += e->again;
    edge->fresh += e->entries;
    if (edge->again + edge->fresh > LATELY_MAX) {
        edge->again /= 2;
        edge->fresh /= 2;
    }
    if (e->entries > 0 && (edge->again < AGAIN_MIN || edge->again * 4 < edge->fresh)) {
        return;
    }
    struct weir_sync_pair *victim = NULL;
    for (size_t i = e->ranges ? e->ranges->count : 0; !victim && i-- > 0;) {
        victim = choose (self, pair, &e->ranges->items[i], now_ms);
    }
    if (victim && speaks (victim)) {
        weir_sync_prune (self, victim, now_ms);
    }
}

void
weir_sync_tree_arrived (struct weir_sync *self, struct weir_sync_pair *pair,
                        const struct weir_sync_event *e, uint64_t now_ms)
{
    pair->figures.again += e->again;
    if (pair->edge) {
        if (e->entries > 0 && now_ms > pair->edge->pruned_ms + WEIR_PRUNE_AGAIN_MS) {
            pair->edge->lazy_in = false; /* it sends: it did not hear us, or nobody else takes it */
        }
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

/* ---- messages ---- */

/* Of several hubs one is enough for what we commit ourselves: the others hear of it, and ask if it
 * does not come to them. */
void
weir_sync_tree_begin (struct weir_sync *self, struct weir_sync_pair *pair, uint64_t now_ms)
{
    if (weir_sync_forwards (self) || !speaks (pair) || !takes (pair)
        || (pair->edge && pair->edge->begun)) {
        return;
    }
    weir_sync_need_edge (pair)->begun = true;
    if (other_taker (pair)) {
        make_lazy_out (self, pair, now_ms);
    }
}

static void
on_prune (struct weir_sync *self, struct weir_sync_pair *pair, uint64_t now_ms)
{
    struct weir_sync_edge *edge = weir_sync_need_edge (pair);
    if (is_mutual (self, pair) && !weir_sync_other_supplier (pair)) {
        /* Nothing else would bring us what is new: the edge stays. */
        if (edge->refused_ms == 0 || now_ms >= edge->refused_ms + WEIR_PRUNE_AGAIN_MS) {
            edge->refused_ms = now_ms;
            weir_sync_graft (self, pair, now_ms);
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
    struct weir_sync_edge *edge = weir_sync_need_edge (pair);
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
            weir_sync_forget_owed (edge, k);
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
        weir_sync_on_announce (self, pair, m, now_ms);
    } else if (m->type == WEIR_SYNC_PRUNE) {
        on_prune (self, pair, now_ms);
    } else {
        on_graft (self, pair, m, now_ms);
    }
    weir_sync_settle (self, pair, now_ms);
}

/* ---- who goes ---- */

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
        weir_sync_graft (self, best, now_ms);
        return;
    }
    struct weir_sync_pair *pair = weir_sync_other_supplier (gone) ? NULL : gone->db->pairs;
    for (; pair; pair = pair->next_of_db) {
        if (pair != gone && pair->edge && pair->edge->lazy_in && speaks (pair)) {
            weir_sync_graft (self, pair, now_ms); /* each sends its own, and nobody else would */
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
