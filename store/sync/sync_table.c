/* The synchronizer's tables: peers, databases and the pairs of them that are shared, and the
 * events that change these: sharing, its end, a store that came back, a check by hand. Called
 * by sync.c. */

#include "store/sync/sync_state.h"

#include <stdlib.h>
#include <string.h>

void
weir_sync_free_pair (struct weir_sync_pair *pair)
{
    weir_ranges_fini (&pair->queue);
    weir_ranges_fini (&pair->flying);
    weir_sync_tree_free_edge (pair);
    if (pair->held) {
        weir_sync_message_fini (pair->held);
        free (pair->held);
    }
    free (pair->where);
    free (pair);
}

struct weir_sync_peer *
weir_sync_need_peer (struct weir_sync *self, const struct weir_id *device)
{
    struct weir_sync_peer *peer = weir_map_get (self->peers, weir_id_bytes (device));
    if (!peer) {
        peer = weir_alloc (sizeof *peer);
        peer->device = *device;
        weir_map_put (self->peers, weir_id_bytes (device), peer);
    }
    return peer;
}

void
weir_sync_drop_peer (struct weir_sync *self, struct weir_sync_peer *peer)
{
    if (!peer->sessions && !peer->pairs && peer->n_removed == 0) {
        weir_map_remove (self->peers, weir_id_bytes (&peer->device));
        free (peer);
    }
}

static struct weir_bytes
pair_key (uint8_t key[2 * WEIR_ID_BYTES], const struct weir_id *device, const struct weir_id *db)
{
    memcpy (key, device->b, WEIR_ID_BYTES);
    memcpy (key + WEIR_ID_BYTES, db->b, WEIR_ID_BYTES);
    return weir_bytes (key, 2 * WEIR_ID_BYTES);
}

struct weir_sync_pair *
weir_sync_find_pair (const struct weir_sync *self, const struct weir_id *device,
                     const struct weir_id *db)
{
    uint8_t key[2 * WEIR_ID_BYTES];
    return weir_map_get (self->by_pair, pair_key (key, device, db));
}

void
weir_sync_put_tag (struct weir_sync_session *session, struct weir_sync_pair *pair)
{
    uint8_t key[8];
    uint64_t tag = weir_sync_tag (session, &pair->db->id);
    weir_map_put (session->tags, weir_sync_key64 (key, tag), pair);
}

static struct weir_sync_pair *
add_pair (struct weir_sync *self, const struct weir_id *device, const struct weir_id *db_id)
{
    struct weir_sync_db *db = weir_map_get (self->dbs, weir_id_bytes (db_id));
    if (!db) {
        db = weir_alloc (sizeof *db);
        db->id = *db_id;
        weir_map_put (self->dbs, weir_id_bytes (db_id), db);
    }
    struct weir_sync_pair *pair = weir_alloc (sizeof *pair);
    pair->peer = weir_sync_need_peer (self, device);
    pair->db = db;
    pair->next_of_peer = pair->peer->pairs;
    pair->peer->pairs = pair;
    pair->peer->n_pairs++;
    pair->next_of_db = db->pairs;
    db->pairs = pair;
    pair->timer.pair = pair;
    pair->session = pair->peer->sessions;
    pair->recheck_ms = WEIR_SYNC_NEVER;
    pair->burst_ms = WEIR_SYNC_NEVER;
    pair->out_ms = WEIR_SYNC_NEVER;
    pair->at = self->n_pairs;
    weir_grow (&self->pairs, &self->pairs_cap, self->n_pairs + 1, sizeof self->pairs[0]);
    self->pairs[self->n_pairs++] = pair;
    uint8_t key[2 * WEIR_ID_BYTES];
    weir_map_put (self->by_pair, pair_key (key, device, db_id), pair);
    struct weir_sync_session *session = pair->peer->sessions;
    for (; session; session = session->next) {
        weir_sync_put_tag (session, pair);
    }
    return pair;
}

static void
unlink_pair (struct weir_sync *self, struct weir_sync_pair *pair)
{
    uint8_t key[2 * WEIR_ID_BYTES];
    weir_map_remove (self->by_pair, pair_key (key, &pair->peer->device, &pair->db->id));
    struct weir_sync_pair **at = &pair->peer->pairs;
    while (*at != pair) {
        at = &(*at)->next_of_peer;
    }
    *at = pair->next_of_peer;
    pair->peer->n_pairs--;
    at = &pair->db->pairs;
    while (*at != pair) {
        at = &(*at)->next_of_db;
    }
    *at = pair->next_of_db;
    if (!pair->db->pairs) {
        weir_map_remove (self->dbs, weir_id_bytes (&pair->db->id));
        weir_sync_tree_free_db (pair->db);
    }
    struct weir_sync_pair *last = self->pairs[--self->n_pairs];
    self->pairs[pair->at] = last;
    last->at = pair->at;
}

static void
remove_pair (struct weir_sync *self, struct weir_sync_pair *pair, uint64_t now_ms)
{
    weir_sync_end_stage (self, pair);
    weir_sync_wait_no_more (self, pair);
    weir_sync_drop_out (self, pair, true, WEIR_CANCELLED);
    weir_sync_drop_in (self, pair, true, WEIR_CANCELLED);
    weir_sync_timer_set (self, &pair->timer, WEIR_SYNC_NEVER);
    struct weir_sync_session *session = pair->peer->sessions;
    for (; session; session = session->next) {
        uint8_t key[8];
        uint64_t tag = weir_sync_tag (session, &pair->db->id);
        weir_map_remove (session->tags, weir_sync_key64 (key, tag));
        if (session->pages.pair == pair) {
            weir_sync_pages_clear (&session->pages);
        }
    }
    if (pair->session) {
        weir_sync_tree_cut (self, pair, pair->session, now_ms);
    }
    unlink_pair (self, pair);
    weir_sync_free_pair (pair);
}

/* ---- what is shared ---- */

/* At the next turn, so that many databases become one message. */
static void
greet (struct weir_sync *self, struct weir_sync_pair *pair, uint64_t now_ms)
{
    if (pair->session && self->options.enabled) {
        pair->greet = true;
        pair->session->greet = true;
        weir_sync_session_timer (self, pair->session, now_ms);
    }
}

static void
forget_removed (struct weir_sync_peer *peer, const struct weir_id *db)
{
    for (size_t i = 0; i < peer->n_removed; i++) {
        if (weir_id_equal (&peer->removed[i], db)) {
            peer->removed[i] = peer->removed[--peer->n_removed];
            return;
        }
    }
}

void
weir_sync_on_share (struct weir_sync *self, const struct weir_sync_event *e, uint64_t now_ms)
{
    if (weir_id_equal (&e->device, &self->options.device)) {
        return;
    }
    struct weir_sync_pair *pair = weir_sync_find_pair (self, &e->device, &e->db);
    bool changed = !pair || pair->direction != e->direction;
    if (!pair) {
        pair = add_pair (self, &e->device, &e->db);
        forget_removed (pair->peer, &e->db);
        pair->phase_ms = now_ms;
    }
    pair->direction = e->direction;
    pair->priority = e->priority;
    if (weir_id_is_zero (&pair->agreed)) {
        pair->agreed = e->their_digest;
    }
    if (changed) {
        pair->refused = false;
        greet (self, pair, now_ms);
    }
    if ((e->direction & WEIR_SYNC_PULL) == 0) {
        weir_sync_drop_in (self, pair, true, WEIR_REFUSED);
    }
    if (!weir_id_is_zero (&e->digest) && !weir_id_equal (&e->digest, &pair->db->digest)) {
        bool first = weir_id_is_zero (&pair->db->digest);
        pair->db->digest = e->digest;
        struct weir_sync_pair *other = pair->db->pairs;
        for (; other; other = other->next_of_db) {
            if (first) {
                greet (self, other, now_ms);
            } else {
                other->activity_ms = now_ms;
                weir_sync_judge (self, other, false, now_ms);
            }
            weir_sync_settle (self, other, now_ms);
        }
    }
    weir_sync_settle (self, pair, now_ms);
}

void
weir_sync_on_unshare (struct weir_sync *self, const struct weir_sync_event *e, uint64_t now_ms)
{
    struct weir_sync_pair *pair = weir_sync_find_pair (self, &e->device, &e->db);
    if (pair) {
        remove_pair (self, pair, now_ms);
    }
    struct weir_sync_peer *peer = weir_sync_need_peer (self, &e->device);
    forget_removed (peer, &e->db);
    if (e->status == WEIR_REMOVED) {
        if (peer->n_removed == WEIR_SYNC_REMOVED_MAX) {
            forget_removed (peer, &peer->removed[0]);
        }
        peer->removed[peer->n_removed++] = e->db;
        if (peer->sessions) {
            weir_sync_unknown_tag (self, peer->sessions, weir_sync_tag (peer->sessions, &e->db));
        }
    }
    weir_sync_drop_peer (self, peer);
}

/* The store came (back): whatever it was doing for us is gone. */
void
weir_sync_on_store_up (struct weir_sync *self, uint64_t now_ms)
{
    for (size_t i = 0; i < self->n_pairs; i++) {
        struct weir_sync_pair *pair = self->pairs[i];
        weir_sync_end_stage (self, pair);
        /* Stopped all the same: the new one may have been asked before we heard of it. */
        weir_sync_drop_out (self, pair, true, WEIR_UNAVAILABLE);
        weir_sync_drop_in (self, pair, true, WEIR_UNAVAILABLE);
        pair->db->digest = weir_id_zero;
        pair->in_step = false;
        pair->finding = false;
        pair->recheck_ms = WEIR_SYNC_NEVER;
        weir_sync_settle (self, pair, now_ms);
    }
}

static void
check_pair (struct weir_sync *self, struct weir_sync_pair *pair, uint64_t now_ms)
{
    if (!pair->session) {
        pair->behind = true;
        weir_sync_act (self, WEIR_SYNC_BEHIND, pair)->status = WEIR_UNAVAILABLE;
        return;
    }
    pair->manual = !(weir_sync_known (pair) && weir_sync_equal (pair));
    pair->refused = false;
    pair->attempts = 0;
    pair->ladder_ms = 0;
    pair->greet = true;
    if (pair->recheck_ms == WEIR_SYNC_NEVER || pair->recheck_ms > now_ms + WEIR_CONNECT_MS) {
        pair->recheck_ms = now_ms + WEIR_CONNECT_MS; /* should the answer be lost */
    }
    weir_sync_settle (self, pair, now_ms);
}

void
weir_sync_on_check (struct weir_sync *self, const struct weir_sync_event *e, uint64_t now_ms)
{
    for (size_t i = 0; i < self->n_pairs; i++) {
        struct weir_sync_pair *pair = self->pairs[i];
        bool device =
            weir_id_is_zero (&e->device) || weir_id_equal (&e->device, &pair->peer->device);
        bool db = weir_id_is_zero (&e->db) || weir_id_equal (&e->db, &pair->db->id);
        if (device && db) {
            check_pair (self, pair, now_ms);
        }
    }
    for (size_t i = 0; i < self->n_pairs; i++) {
        struct weir_sync_pair *pair = self->pairs[i];
        if (pair->greet && pair->session) {
            weir_sync_say_digests (self, pair->session, WEIR_SAY_GREETED, NULL, true);
        }
    }
}
