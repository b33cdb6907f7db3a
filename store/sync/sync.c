/* The synchronizer's door: sessions, what is shared with whom, and the dispatch of events. It
 * keeps the tables; what a difference leads to is decided in sync_ladder.c, what moves in
 * sync_live.c. Called by the peers actor and the simulator, one thread. */

#include "store/sync/sync_state.h"

#include <stdlib.h>
#include <string.h>

struct weir_sync *weir_sync_new (const struct weir_sync_options *options)
{
    struct weir_sync *self = weir_alloc (sizeof *self);
    self->options = *options;
    weir_rand_init (&self->rand, options->seed);
    self->sessions = weir_map_new ();
    self->peers = weir_map_new ();
    self->dbs = weir_map_new ();
    self->by_pair = weir_map_new ();
    self->tickets = weir_map_new ();
    self->transfers = weir_map_new ();
    return self;
}

static void free_session (void *value)
{
    struct weir_sync_session *session = value;
    weir_map_destroy (&session->tags, NULL);
    weir_sync_pages_clear (&session->pages);
    free (session);
}

static void free_pair (struct weir_sync_pair *pair)
{
    weir_ranges_fini (&pair->queue);
    weir_ranges_fini (&pair->flying);
    free (pair);
}

void weir_sync_destroy (struct weir_sync **self_p)
{
    struct weir_sync *self = *self_p;
    if (!self) {
        return;
    }
    weir_map_destroy (&self->sessions, free_session);
    weir_map_destroy (&self->peers, free);
    weir_map_destroy (&self->dbs, free);
    weir_map_destroy (&self->by_pair, NULL);
    weir_map_destroy (&self->tickets, NULL);
    weir_map_destroy (&self->transfers, NULL);
    for (size_t i = 0; i < self->n_pairs; i++) {
        free_pair (self->pairs[i]);
    }
    free (self->pairs);
    free (self->timers);
    free (self);
    *self_p = NULL;
}

void weir_sync_configure (struct weir_sync *self, const struct weir_sync_options *options)
{
    struct weir_id device = self->options.device;
    self->options = *options;
    self->options.device = device;
}

/* ---- tables ---- */

static struct weir_sync_session *find_session (const struct weir_sync *self, uint64_t id)
{
    uint8_t key[8];
    return weir_map_get (self->sessions, weir_sync_key64 (key, id));
}

static struct weir_sync_peer *need_peer (struct weir_sync *self, const struct weir_id *device)
{
    struct weir_sync_peer *peer = weir_map_get (self->peers, weir_id_bytes (device));
    if (!peer) {
        peer = weir_alloc (sizeof *peer);
        peer->device = *device;
        weir_map_put (self->peers, weir_id_bytes (device), peer);
    }
    return peer;
}

static void drop_peer_if_unused (struct weir_sync *self, struct weir_sync_peer *peer)
{
    if (!peer->sessions && !peer->pairs && peer->n_removed == 0) {
        weir_map_remove (self->peers, weir_id_bytes (&peer->device));
        free (peer);
    }
}

static struct weir_bytes pair_key (uint8_t key[2 * WEIR_ID_BYTES], const struct weir_id *device,
                                   const struct weir_id *db)
{
    memcpy (key, device->b, WEIR_ID_BYTES);
    memcpy (key + WEIR_ID_BYTES, db->b, WEIR_ID_BYTES);
    return weir_bytes (key, 2 * WEIR_ID_BYTES);
}

static struct weir_sync_pair *find_pair (const struct weir_sync *self,
                                         const struct weir_id *device, const struct weir_id *db)
{
    uint8_t key[2 * WEIR_ID_BYTES];
    return weir_map_get (self->by_pair, pair_key (key, device, db));
}

static void put_tag (struct weir_sync_session *session, struct weir_sync_pair *pair)
{
    uint8_t key[8];
    uint64_t tag = weir_sync_tag (session, &pair->db->id);
    weir_map_put (session->tags, weir_sync_key64 (key, tag), pair);
}

static struct weir_sync_pair *add_pair (struct weir_sync *self, const struct weir_id *device,
                                        const struct weir_id *db_id)
{
    struct weir_sync_db *db = weir_map_get (self->dbs, weir_id_bytes (db_id));
    if (!db) {
        db = weir_alloc (sizeof *db);
        db->id = *db_id;
        weir_map_put (self->dbs, weir_id_bytes (db_id), db);
    }
    struct weir_sync_pair *pair = weir_alloc (sizeof *pair);
    pair->peer = need_peer (self, device);
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
        put_tag (session, pair);
    }
    return pair;
}

static void unlink_pair (struct weir_sync *self, struct weir_sync_pair *pair)
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
        free (pair->db);
    }
    struct weir_sync_pair *last = self->pairs[--self->n_pairs];
    self->pairs[pair->at] = last;
    last->at = pair->at;
}

static void remove_pair (struct weir_sync *self, struct weir_sync_pair *pair)
{
    weir_sync_end_stage (self, pair);
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
    unlink_pair (self, pair);
    free_pair (pair);
}

/* ---- sessions ---- */

static void start_over (struct weir_sync_pair *pair)
{
    pair->theirs = weir_id_zero;
    pair->in_step = false;
    pair->met = false;
    pair->refused = false;
    pair->turn = false;
    pair->differs_ms = 0;
    pair->attempts = 0;
    pair->ladder_ms = 0;
    pair->recheck_ms = WEIR_SYNC_NEVER;
}

static void on_session_up (struct weir_sync *self, const struct weir_sync_event *e,
                           uint64_t now_ms)
{
    if (find_session (self, e->session)
        || weir_id_equal (&e->device, &self->options.device)) {
        return;
    }
    struct weir_sync_session *session = weir_alloc (sizeof *session);
    session->id = e->session;
    session->key = e->key;
    session->peer = need_peer (self, &e->device);
    session->next = session->peer->sessions;
    session->peer->sessions = session;
    session->tags = weir_map_new ();
    session->timer.session = session;
    session->check_ms =
        now_ms + weir_rand_jitter (&self->rand, self->options.check_interval_ms, 25);
    uint8_t key[8];
    weir_map_put (self->sessions, weir_sync_key64 (key, session->id), session);
    struct weir_sync_pair *pair = session->peer->pairs;
    for (; pair; pair = pair->next_of_peer) {
        put_tag (session, pair);
        if (!pair->session) {
            start_over (pair);
            if (self->options.enabled) {
                pair->recheck_ms = now_ms + WEIR_CONNECT_MS; /* when nothing was told by then */
            }
        }
        pair->session = session;
        weir_sync_settle (self, pair, now_ms);
    }
    if (self->options.enabled) {
        weir_sync_say_digests (self, session, WEIR_SAY_ALL, NULL, false);
    }
    weir_sync_session_timer (self, session, now_ms);
}

static void leave_session (struct weir_sync *self, struct weir_sync_pair *pair,
                           struct weir_sync_session *session, uint64_t now_ms)
{
    bool lost = false;
    if (pair->stage_session == session) {
        weir_sync_end_stage (self, pair);
        lost = true;
    }
    if (pair->out_session == session) {
        lost = lost || pair->sending || pair->queue.count > 0;
        weir_sync_drop_out (self, pair, true, WEIR_OK);
    }
    if (pair->in_session == session) {
        weir_sync_drop_in (self, pair, true, WEIR_OK);
        lost = true;
    }
    if (pair->session == session) {
        bool equal = weir_sync_known (pair) && weir_sync_equal (pair);
        pair->session = pair->peer->sessions;
        if (!pair->session) {
            start_over (pair);
            if (!equal) {
                pair->behind = true;
                weir_sync_act (self, WEIR_SYNC_BEHIND, pair)->status = WEIR_UNAVAILABLE;
            }
        }
    }
    if (pair->session && lost) {
        pair->recheck_ms = now_ms;
        weir_sync_say_digests (self, pair->session, WEIR_SAY_ONE, pair, true);
    }
    weir_sync_settle (self, pair, now_ms);
}

static void on_session_down (struct weir_sync *self, const struct weir_sync_event *e,
                             uint64_t now_ms)
{
    struct weir_sync_session *session = find_session (self, e->session);
    if (!session) {
        return;
    }
    struct weir_sync_session **at = &session->peer->sessions;
    while (*at != session) {
        at = &(*at)->next;
    }
    *at = session->next;
    struct weir_sync_pair *pair = session->peer->pairs;
    for (; pair; pair = pair->next_of_peer) {
        leave_session (self, pair, session, now_ms);
    }
    weir_sync_timer_set (self, &session->timer, WEIR_SYNC_NEVER);
    uint8_t key[8];
    weir_map_remove (self->sessions, weir_sync_key64 (key, session->id));
    drop_peer_if_unused (self, session->peer);
    free_session (session);
}

/* ---- what is shared ---- */

/* At the next turn, so that many databases become one message. */
static void greet (struct weir_sync *self, struct weir_sync_pair *pair, uint64_t now_ms)
{
    if (pair->session && self->options.enabled) {
        pair->greet = true;
        pair->session->greet = true;
        weir_sync_session_timer (self, pair->session, now_ms);
    }
}

static void forget_removed (struct weir_sync_peer *peer, const struct weir_id *db)
{
    for (size_t i = 0; i < peer->n_removed; i++) {
        if (weir_id_equal (&peer->removed[i], db)) {
            peer->removed[i] = peer->removed[--peer->n_removed];
            return;
        }
    }
}

static void on_share (struct weir_sync *self, const struct weir_sync_event *e, uint64_t now_ms)
{
    if (weir_id_equal (&e->device, &self->options.device)) {
        return;
    }
    struct weir_sync_pair *pair = find_pair (self, &e->device, &e->db);
    bool changed = !pair || pair->direction != e->direction;
    if (!pair) {
        pair = add_pair (self, &e->device, &e->db);
        forget_removed (pair->peer, &e->db);
        pair->phase_ms = now_ms;
    }
    pair->direction = e->direction;
    if (changed) {
        pair->refused = false;
        greet (self, pair, now_ms);
    }
    if ((e->direction & WEIR_SYNC_PULL) == 0) {
        weir_sync_drop_in (self, pair, true, WEIR_REFUSED);
    }
    if (!weir_id_is_zero (&e->digest)
        && !weir_id_equal (&e->digest, &pair->db->digest)) {
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

static void on_unshare (struct weir_sync *self, const struct weir_sync_event *e)
{
    struct weir_sync_pair *pair = find_pair (self, &e->device, &e->db);
    if (pair) {
        remove_pair (self, pair);
    }
    struct weir_sync_peer *peer = need_peer (self, &e->device);
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
    drop_peer_if_unused (self, peer);
}

/* The store came (back): whatever it was doing for us is gone. */
static void on_store_up (struct weir_sync *self, uint64_t now_ms)
{
    for (size_t i = 0; i < self->n_pairs; i++) {
        struct weir_sync_pair *pair = self->pairs[i];
        weir_sync_end_stage (self, pair);
        weir_sync_drop_out (self, pair, false, WEIR_UNAVAILABLE);
        weir_sync_drop_in (self, pair, false, WEIR_UNAVAILABLE);
        pair->db->digest = weir_id_zero;
        pair->in_step = false;
        pair->recheck_ms = WEIR_SYNC_NEVER;
        weir_sync_settle (self, pair, now_ms);
    }
}

static void check_pair (struct weir_sync *self, struct weir_sync_pair *pair, uint64_t now_ms)
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

static void on_check (struct weir_sync *self, const struct weir_sync_event *e, uint64_t now_ms)
{
    for (size_t i = 0; i < self->n_pairs; i++) {
        struct weir_sync_pair *pair = self->pairs[i];
        bool device = weir_id_is_zero (&e->device)
                      || weir_id_equal (&e->device, &pair->peer->device);
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

/* ---- messages ---- */

static void on_not_shared (struct weir_sync *self, struct weir_sync_session *session,
                           const struct weir_sync_message *m, uint64_t now_ms)
{
    struct weir_sync_pair *pair = weir_sync_by_tag (session, m->tag);
    if (!pair) {
        return;
    }
    weir_sync_end_stage (self, pair);
    weir_sync_drop_out (self, pair, true, WEIR_OK);
    weir_sync_failed (self, pair, m->status != WEIR_OK ? m->status : WEIR_REFUSED, now_ms);
    pair->theirs = weir_id_zero;
    pair->in_step = false;
    pair->recheck_ms = WEIR_SYNC_NEVER; /* the check interval goes on asking */
    weir_sync_settle (self, pair, now_ms);
}

static void on_message (struct weir_sync *self, const struct weir_sync_event *e, uint64_t now_ms)
{
    struct weir_sync_session *session = find_session (self, e->session);
    const struct weir_sync_message *m = e->message;
    if (!session || !m) {
        return; /* late */
    }
    self->counters.messages_in++;
    switch (m->type) {
    case WEIR_SYNC_DIGESTS:
        weir_sync_on_digests (self, session, m, now_ms);
        return;
    case WEIR_SYNC_VECTOR:
        weir_sync_on_vector (self, session, m, now_ms);
        return;
    case WEIR_SYNC_OFFER:
    case WEIR_SYNC_ACCEPT:
    case WEIR_SYNC_CLOSE:
        weir_sync_on_transfer_message (self, session, m, now_ms);
        return;
    case WEIR_SYNC_NOT_SHARED:
        on_not_shared (self, session, m, now_ms);
        return;
    }
    self->counters.messages_bad++; /* a type from the future */
}

/* ---- time ---- */

static void pair_due (struct weir_sync *self, struct weir_sync_pair *pair, uint64_t now_ms)
{
    if (pair->stage != WEIR_STAGE_REST && pair->stage_ms <= now_ms) {
        weir_sync_end_stage (self, pair);
        self->counters.ladders_stopped++;
        weir_sync_failed (self, pair, WEIR_TIMED_OUT, now_ms);
    }
    if (pair->out_state != WEIR_OUT_NONE && pair->out_ms <= now_ms) {
        weir_sync_drop_out (self, pair, true, WEIR_TIMED_OUT);
        weir_sync_failed (self, pair, WEIR_TIMED_OUT, now_ms);
    }
    if (pair->in_state == WEIR_IN_OPENING && pair->in_ms + WEIR_TRANSFER_STALL_MS <= now_ms) {
        weir_sync_drop_in (self, pair, true, WEIR_TIMED_OUT);
    }
    if (pair->in_busy && pair->in_ms + WEIR_TRANSFER_STALL_MS <= now_ms) {
        pair->in_busy = false;
        weir_sync_judge (self, pair, false, now_ms);
    }
    if (pair->burst_ms <= now_ms) {
        pair->burst_ms = WEIR_SYNC_NEVER;
        if (pair->stage == WEIR_STAGE_REST && !pair->bulk) {
            weir_sync_flush (self, pair, now_ms);
        }
    }
    if (pair->recheck_ms <= now_ms) {
        weir_sync_recheck (self, pair, now_ms);
    }
    weir_sync_settle (self, pair, now_ms);
}

static void session_due (struct weir_sync *self, struct weir_sync_session *session,
                         uint64_t now_ms)
{
    if (session->greet) {
        session->greet = false;
        weir_sync_say_digests (self, session, WEIR_SAY_GREETED, NULL, true);
    }
    if (session->check_ms <= now_ms) {
        session->check_ms =
            now_ms + 1 + weir_rand_jitter (&self->rand, self->options.check_interval_ms, 25);
        if (self->options.enabled) {
            weir_sync_say_digests (self, session, WEIR_SAY_ALL, NULL, true);
        }
    }
    weir_sync_session_timer (self, session, now_ms);
}

static void on_tick (struct weir_sync *self, uint64_t now_ms)
{
    /* Each goes behind `now` when served; the bound is for a clock that stands still. */
    size_t most = self->n_timers * 2;
    while (self->n_timers > 0 && self->timers[1]->due_ms <= now_ms && most-- > 0) {
        struct weir_sync_timer *timer = self->timers[1];
        if (timer->pair) {
            pair_due (self, timer->pair, now_ms);
        } else {
            session_due (self, timer->session, now_ms);
        }
    }
}

void weir_sync_step (struct weir_sync *self, const struct weir_sync_event *event, uint64_t now_ms,
                     struct weir_sync_actions *actions)
{
    self->actions = actions;
    switch (event->type) {
    case WEIR_SYNC_SESSION_UP:
        on_session_up (self, event, now_ms);
        break;
    case WEIR_SYNC_SESSION_DOWN:
        on_session_down (self, event, now_ms);
        break;
    case WEIR_SYNC_SHARE:
        on_share (self, event, now_ms);
        break;
    case WEIR_SYNC_UNSHARE:
        on_unshare (self, event);
        break;
    case WEIR_SYNC_NOVEL:
        weir_sync_on_novel (self, event, now_ms);
        break;
    case WEIR_SYNC_MESSAGE:
        on_message (self, event, now_ms);
        break;
    case WEIR_SYNC_COMPARED:
        weir_sync_on_compared (self, event, now_ms);
        break;
    case WEIR_SYNC_OPENED:
    case WEIR_SYNC_ACKED:
    case WEIR_SYNC_ARRIVED:
    case WEIR_SYNC_TRANSFER_LOST:
        weir_sync_on_transfer_event (self, event, now_ms);
        break;
    case WEIR_SYNC_STORE_UP:
        on_store_up (self, now_ms);
        break;
    case WEIR_SYNC_CHECK:
        on_check (self, event, now_ms);
        break;
    case WEIR_SYNC_TICK:
        on_tick (self, now_ms);
        break;
    }
    self->actions = NULL;
}

/* ---- status ---- */

static void fill_state (const struct weir_sync_pair *pair, struct weir_sync_state *state)
{
    *state = (struct weir_sync_state){
        .device = pair->peer->device,
        .db = pair->db->id,
        .direction = pair->direction,
        .phase = pair->phase,
        .digest = pair->db->digest,
        .their_digest = pair->theirs,
        .entries_sent = pair->entries_sent,
        .entries_acked = pair->entries_acked,
        .since_ms = pair->phase_ms,
        .last_error = pair->last_error,
    };
}

bool weir_sync_state (const struct weir_sync *self, size_t i, struct weir_sync_state *state)
{
    if (i >= self->n_pairs) {
        return false;
    }
    fill_state (self->pairs[i], state);
    return true;
}

bool weir_sync_find (const struct weir_sync *self, const struct weir_id *device,
                     const struct weir_id *db, struct weir_sync_state *state)
{
    const struct weir_sync_pair *pair = find_pair (self, device, db);
    if (pair) {
        fill_state (pair, state);
    }
    return pair != NULL;
}

void weir_sync_counters (const struct weir_sync *self, struct weir_sync_counters *out)
{
    *out = self->counters;
}
