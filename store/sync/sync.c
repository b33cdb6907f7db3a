/* The synchronizer's door: sessions, messages, time, and the dispatch of events. What is shared
 * with whom is kept in sync_table.c; what a difference leads to is decided in sync_ladder.c,
 * what moves in sync_live.c. Called by the peers actor and the simulator, one thread. */

#include "store/sync/sync_state.h"

#include <stdlib.h>
#include <string.h>

struct weir_sync *
weir_sync_new (const struct weir_sync_options *options)
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

static void
free_session (void *value)
{
    struct weir_sync_session *session = value;
    weir_map_destroy (&session->tags, NULL);
    weir_sync_pages_clear (&session->pages);
    free (session);
}

static void
free_db (void *value)
{
    weir_sync_tree_free_db (value);
}

void
weir_sync_destroy (struct weir_sync **self_p)
{
    struct weir_sync *self = *self_p;
    if (!self) {
        return;
    }
    weir_map_destroy (&self->sessions, free_session);
    weir_map_destroy (&self->peers, free);
    weir_map_destroy (&self->dbs, free_db);
    weir_map_destroy (&self->by_pair, NULL);
    weir_map_destroy (&self->tickets, NULL);
    weir_map_destroy (&self->transfers, NULL);
    for (size_t i = 0; i < self->n_pairs; i++) {
        weir_sync_free_pair (self->pairs[i]);
    }
    free (self->pairs);
    free (self->timers);
    free (self);
    *self_p = NULL;
}

void
weir_sync_configure (struct weir_sync *self, const struct weir_sync_options *options)
{
    struct weir_id device = self->options.device;
    self->options = *options;
    self->options.device = device;
}

/* ---- tables ---- */

static struct weir_sync_session *
find_session (const struct weir_sync *self, uint64_t id)
{
    uint8_t key[8];
    return weir_map_get (self->sessions, weir_sync_key64 (key, id));
}

/* ---- sessions ---- */

static void
start_over (struct weir_sync_pair *pair)
{
    pair->theirs = weir_id_zero;
    pair->in_step = false;
    pair->met = false;
    pair->refused = false;
    pair->turn = false;
    pair->hesitated = false;
    pair->differs_ms = 0;
    pair->attempts = 0;
    pair->unanswered = 0;
    pair->ladder_ms = 0;
    pair->recheck_ms = WEIR_SYNC_NEVER;
}

static void
on_session_up (struct weir_sync *self, const struct weir_sync_event *e, uint64_t now_ms)
{
    if (find_session (self, e->session) || weir_id_equal (&e->device, &self->options.device)) {
        return;
    }
    struct weir_sync_session *session = weir_alloc (sizeof *session);
    session->id = e->session;
    session->key = e->key;
    session->role = e->role;
    session->protocol = e->protocol > 0 ? e->protocol : WEIR_PROTOCOL_MIN;
    session->peer = weir_sync_need_peer (self, &e->device);
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
        weir_sync_put_tag (session, pair);
        if (!pair->session) {
            start_over (pair);
            if (self->options.enabled) {
                pair->recheck_ms = now_ms + WEIR_CONNECT_MS; /* when nothing was told by then */
            }
        }
        if (pair->session) {
            /* Mostly the old one is dead and nobody has noticed yet: what is on its way there
             * must not hide what the peer lacks. */
            weir_sync_end_stage (self, pair);
            weir_sync_drop_out (self, pair, true, WEIR_CANCELLED);
        }
        weir_sync_tree_free_edge (pair);
        pair->live = false;
        pair->session = session;
        weir_sync_settle (self, pair, now_ms);
    }
    if (self->options.enabled) {
        weir_sync_say_digests (self, session, WEIR_SAY_ALL, NULL, false);
    }
    weir_sync_session_timer (self, session, now_ms);
}

static void
leave_session (struct weir_sync *self, struct weir_sync_pair *pair,
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
    if (pair->held_session == session || (pair->waits && pair->session == session)) {
        weir_sync_wait_no_more (self, pair);
        lost = true;
    }
    if (pair->in_session == session) {
        weir_sync_drop_in (self, pair, true, WEIR_OK);
        lost = true;
    }
    if (lost) {
        pair->ladder_ours = weir_id_zero; /* a ladder that was cut short proves no difference */
    }
    if (pair->session == session) {
        bool equal = weir_sync_known (pair) && weir_sync_equal (pair);
        pair->session = pair->peer->sessions;
        weir_sync_tree_cut (self, pair, session, now_ms);
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

static void
on_session_down (struct weir_sync *self, const struct weir_sync_event *e, uint64_t now_ms)
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
    weir_sync_drop_peer (self, session->peer);
    free_session (session);
}

/* ---- messages ---- */

static void
on_not_shared (struct weir_sync *self, struct weir_sync_session *session,
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

static void
on_message (struct weir_sync *self, const struct weir_sync_event *e, uint64_t now_ms)
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
    case WEIR_SYNC_ANNOUNCE:
    case WEIR_SYNC_PRUNE:
    case WEIR_SYNC_GRAFT:
        weir_sync_tree_message (self, session, m, now_ms);
        return;
    case WEIR_SYNC_SUMMARY:
        weir_sync_on_summary (self, session, m, now_ms);
        return;
    case WEIR_SYNC_LADDER:
        weir_sync_on_ladder (self, session, m, now_ms);
        return;
    case WEIR_SYNC_WANT:
        weir_sync_on_want (self, session, m);
        return;
    }
    self->counters.messages_bad++; /* a type from the future */
}

/* ---- time ---- */

static void
pair_due (struct weir_sync *self, struct weir_sync_pair *pair, uint64_t now_ms)
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
    weir_sync_tree_due (self, pair, now_ms);
    weir_sync_held_due (self, pair, now_ms);
    if (pair->recheck_ms <= now_ms) {
        weir_sync_recheck (self, pair, now_ms);
    }
    weir_sync_settle (self, pair, now_ms);
}

static void
session_due (struct weir_sync *self, struct weir_sync_session *session, uint64_t now_ms)
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

static void
on_tick (struct weir_sync *self, uint64_t now_ms)
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

void
weir_sync_step (struct weir_sync *self, const struct weir_sync_event *event, uint64_t now_ms,
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
        weir_sync_on_share (self, event, now_ms);
        break;
    case WEIR_SYNC_UNSHARE:
        weir_sync_on_unshare (self, event, now_ms);
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
    case WEIR_SYNC_FOUND:
        weir_sync_on_found (self, event, now_ms);
        break;
    case WEIR_SYNC_STORE_UP:
        weir_sync_on_store_up (self, now_ms);
        break;
    case WEIR_SYNC_CHECK:
        weir_sync_on_check (self, event, now_ms);
        break;
    case WEIR_SYNC_TICK:
        on_tick (self, now_ms);
        break;
    }
    weir_sync_admit (self, now_ms);
    self->actions = NULL;
}

/* ---- status ---- */

static void
fill_state (const struct weir_sync_pair *pair, struct weir_sync_state *state)
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
        .waits = pair->waits,
        .entries_again = pair->figures.again,
        .announced = pair->figures.announced,
        .announcements_heard = pair->figures.heard,
        .grafts = pair->figures.grafts,
        .prunes = pair->figures.prunes,
        .strikes = pair->figures.strikes,
        .pruned = pair->edge && pair->edge->lazy_in,
        .pruned_by = weir_sync_is_lazy (pair),
        .stands = pair->standing,
        .acks = pair->figures.acks,
        .ack_us = pair->figures.ack_us,
    };
    memcpy (state->acks_in, pair->figures.acks_in, sizeof state->acks_in);
}

bool
weir_sync_state (const struct weir_sync *self, size_t i, struct weir_sync_state *state)
{
    if (i >= self->n_pairs) {
        return false;
    }
    fill_state (self->pairs[i], state);
    return true;
}

bool
weir_sync_find (const struct weir_sync *self, const struct weir_id *device,
                const struct weir_id *db, struct weir_sync_state *state)
{
    const struct weir_sync_pair *pair = weir_sync_find_pair (self, device, db);
    if (pair) {
        fill_state (pair, state);
    }
    return pair != NULL;
}

void
weir_sync_counters (const struct weir_sync *self, struct weir_sync_counters *out)
{
    *out = self->counters;
}
