/* What does the other lack? The ladder that follows when digests differ and nothing that moves
 * explains it (page 3). It decides when to compare, and how many at once; the stores find what to
 * say and what is lacked; sync_live.c sends that. */

#include "store/sync/sync_state.h"
#include "store/crypto/hash.h"

#include <stdlib.h>
#include <string.h>

/* While another peer sends of a database, or may soon, others are not asked for the same. */
#define ELSEWHERE_MS 1000u
#define ELSEWHERE_STAGE_MS 300u
#define LOOK_AGAIN_MS 30u
#define HOLD_MS 900u /* longer, and what it told is too old to go by; and its pushes wait as long */

bool
weir_sync_known (const struct weir_sync_pair *pair)
{
    return pair->session && !weir_id_is_zero (&pair->db->digest)
           && !weir_id_is_zero (&pair->theirs);
}

bool
weir_sync_equal (const struct weir_sync_pair *pair)
{
    return weir_id_equal (&pair->db->digest, &pair->theirs);
}

static bool
active (const struct weir_sync *self, const struct weir_sync_pair *pair)
{
    return self->options.enabled || pair->manual;
}

/* Nothing is under way that may explain a difference. Live bursts in an endless stream are no
 * excuse for ever. */
static bool
is_quiet (const struct weir_sync_pair *pair, uint64_t now_ms)
{
    if (pair->stage != WEIR_STAGE_REST || pair->bulk || pair->in_state == WEIR_IN_OPENING
        || (pair->out_state != WEIR_OUT_NONE && pair->out_state != WEIR_OUT_OPEN)) {
        return false;
    }
    uint64_t patience_ms =
        weir_sync_tree_flows (pair, now_ms) ? WEIR_SYNC_FLOW_PATIENCE_MS : WEIR_SYNC_PATIENCE_MS;
    if (pair->differs_ms != 0 && now_ms - pair->differs_ms >= patience_ms
        && !(pair->in_busy && now_ms - pair->in_ms < WEIR_SYNC_PATIENCE_MS)) {
        return true;
    }
    /* Before the first comparison of a session nothing can have moved yet. */
    return !pair->sending && pair->queue.count == 0 && !pair->in_busy
           && (!pair->met || now_ms - pair->activity_ms >= WEIR_SYNC_SETTLE_MS);
}

void
weir_sync_end_stage (struct weir_sync *self, struct weir_sync_pair *pair)
{
    if (pair->ticket != 0) {
        uint8_t key[8];
        weir_map_remove (self->tickets, weir_sync_key64 (key, pair->ticket));
    }
    pair->ticket = 0;
    pair->stage = WEIR_STAGE_REST;
    pair->stage_session = NULL;
}

struct weir_sync_action *
weir_sync_ask_store (struct weir_sync *self, struct weir_sync_pair *pair,
                     struct weir_sync_session *session, enum weir_sync_stage stage, uint64_t now_ms)
{
    weir_sync_end_stage (self, pair);
    pair->live = false;
    pair->stage = stage;
    pair->stage_session = session;
    pair->stage_ms = now_ms + WEIR_TRANSFER_STALL_MS;
    pair->ticket = ++self->next_ticket;
    if (!pair->admitted) {
        pair->admitted = true;
        pair->admitted_ms = now_ms;
        self->n_admitted++;
    }
    uint8_t key[8];
    weir_map_put (self->tickets, weir_sync_key64 (key, pair->ticket), pair);
    struct weir_sync_action *action = weir_sync_act (self, WEIR_SYNC_COMPARE, pair);
    action->session = session->id;
    action->ticket = pair->ticket;
    action->ask = stage == WEIR_STAGE_ROWS;
    return action;
}

static uint64_t
backoff (struct weir_sync *self, unsigned attempts)
{
    uint64_t delay = WEIR_SYNC_BACKOFF_MS_MIN;
    for (unsigned i = 1; i < attempts && delay < WEIR_SYNC_BACKOFF_MS_MAX; i++) {
        delay *= 2;
    }
    if (delay > WEIR_SYNC_BACKOFF_MS_MAX) {
        delay = WEIR_SYNC_BACKOFF_MS_MAX;
    }
    return weir_rand_jitter (&self->rand, delay, 25);
}

static void
say_differs (struct weir_sync *self, struct weir_sync_pair *pair, enum weir_status status)
{
    struct weir_sync_action *action = weir_sync_act (self, WEIR_SYNC_DIFFERS, pair);
    action->status = status;
    for (size_t i = 0; pair->where && i < pair->where->n_ranges; i++) {
        weir_ranges_add (&action->ranges, &pair->where->ranges[i], &weir_id_zero);
    }
    if (pair->where) {
        action->entries = pair->where->entries;
        action->chains = pair->where->chains;
        action->more = pair->where->more;
    }
    pair->differs_ours = pair->db->digest;
    pair->differs_theirs = pair->theirs;
    self->counters.ladders_stopped++;
}

/* The operator hears of a difference that outlived a ladder, once for each pair of digests. */
static void
tell_difference (struct weir_sync *self, struct weir_sync_pair *pair)
{
    bool same = weir_id_equal (&pair->ladder_ours, &pair->db->digest)
                && weir_id_equal (&pair->ladder_theirs, &pair->theirs);
    bool told = weir_id_equal (&pair->differs_ours, &pair->db->digest)
                && weir_id_equal (&pair->differs_theirs, &pair->theirs);
    if (same && !told) {
        say_differs (self, pair, pair->last_error != WEIR_OK ? pair->last_error : WEIR_CONFLICT);
    }
    pair->ladder_ours = pair->db->digest;
    pair->ladder_theirs = pair->theirs;
}

/* Bytes of the newer ladder, from the peer or (none) to begin with. */
static void
climb (struct weir_sync *self, struct weir_sync_pair *pair, struct weir_sync_session *session,
       enum weir_sync_stage stage, const struct weir_sync_message *m, uint64_t now_ms)
{
    static const struct weir_sync_message none = { .n_bytes = 0 };
    struct weir_sync_action *action = weir_sync_ask_store (self, pair, session, stage, now_ms);
    action->ladder = true;
    action->key =
        weir_hash (WEIR_DOMAIN_RANGE, weir_id_bytes (&session->key), weir_id_bytes (&pair->db->id));
    weir_sync_message_copy (&action->message, m ? m : &none);
    if (!m && pair->attempts <= 1) {
        action->theirs = pair->theirs; /* what both had once tells all, when it is that */
    }
    pair->newer = true;
    pair->round = m ? m->round : 0;
    pair->answer_due = m && m->answer;
    pair->turn = false;
    pair->recheck_ms = WEIR_SYNC_NEVER;
    if (pair->round < 2) {
        free (pair->where);
        pair->where = NULL;
    }
}

/* Does another peer send of this database, or find out what to send? Then what it sends is not
 * to come twice. */
static bool
is_busy_elsewhere (const struct weir_sync_pair *pair, uint64_t now_ms)
{
    if (pair->session->protocol < 2) {
        return false;
    }
    const struct weir_sync_pair *other = pair->db->pairs;
    for (; other; other = other->next_of_db) {
        if (other == pair || !other->session) {
            continue;
        }
        if ((other->in_busy && now_ms - other->in_ms < ELSEWHERE_MS)
            || (other->stage != WEIR_STAGE_REST
                && now_ms - other->admitted_ms < ELSEWHERE_STAGE_MS)) {
            return true;
        }
    }
    return false;
}

static void
enlist (struct weir_sync *self, struct weir_sync_pair *pair)
{
    if (pair->waits) {
        return;
    }
    unsigned priority =
        pair->priority < WEIR_SYNC_PRIORITIES ? pair->priority : WEIR_SYNC_PRIORITIES - 1;
    struct weir_sync_pair **ends = self->waiting[priority];
    pair->waits = true;
    pair->wait_list = priority;
    pair->wait_next = NULL;
    pair->wait_prev = ends[1];
    *(ends[1] ? &ends[1]->wait_next : &ends[0]) = pair;
    ends[1] = pair;
}

static void
delist (struct weir_sync *self, struct weir_sync_pair *pair)
{
    if (pair->waits) {
        struct weir_sync_pair **ends = self->waiting[pair->wait_list];
        *(pair->wait_prev ? &pair->wait_prev->wait_next : &ends[0]) = pair->wait_next;
        *(pair->wait_next ? &pair->wait_next->wait_prev : &ends[1]) = pair->wait_prev;
        pair->waits = false;
    }
}

static void
drop_held (struct weir_sync_pair *pair)
{
    if (pair->held) {
        weir_sync_message_fini (pair->held);
        free (pair->held);
        pair->held = NULL;
        pair->held_session = NULL;
    }
}

void
weir_sync_wait_no_more (struct weir_sync *self, struct weir_sync_pair *pair)
{
    delist (self, pair);
    drop_held (pair);
    if (pair->admitted && pair->stage == WEIR_STAGE_REST) {
        pair->admitted = false;
        self->n_admitted--;
    }
}

static void
start_ladder (struct weir_sync *self, struct weir_sync_pair *pair, uint64_t now_ms)
{
    if (!pair->hesitated && weir_sync_other_supplier (pair)) {
        /* Of many that meet again at once, one is to begin: it may bring what the others lack. */
        pair->hesitated = true;
        pair->turn = true;
        pair->recheck_ms = now_ms + weir_rand_below (&self->rand, WEIR_SYNC_HESITATE_MS);
        return;
    }
    if (is_busy_elsewhere (pair, now_ms) && now_ms - pair->differs_ms < WEIR_SYNC_PATIENCE_MS) {
        pair->turn = true;
        pair->recheck_ms = now_ms + weir_rand_jitter (&self->rand, LOOK_AGAIN_MS, 50);
        return;
    }
    if (self->n_admitted >= WEIR_COMPARES_MAX) {
        pair->turn = true;
        pair->recheck_ms = WEIR_SYNC_NEVER;
        enlist (self, pair);
        return;
    }
    delist (self, pair);
    tell_difference (self, pair);
    self->counters.ladders++;
    pair->attempts++;
    pair->ladder_ms = now_ms + backoff (self, pair->attempts);
    pair->turn = false;
    pair->recheck_ms = WEIR_SYNC_NEVER;
    if (pair->session->protocol >= 2) {
        climb (self, pair, pair->session, WEIR_STAGE_ROWS, NULL, now_ms);
        return;
    }
    (void) weir_sync_ask_store (self, pair, pair->session, WEIR_STAGE_ROWS, now_ms);
    pair->newer = false;
    pair->round = 1;
}

static void
note_equal (struct weir_sync *self, struct weir_sync_pair *pair)
{
    pair->agreed = pair->theirs;
    pair->differs_ms = 0;
    pair->attempts = 0;
    pair->ladder_ms = 0;
    pair->recheck_ms = WEIR_SYNC_NEVER;
    pair->turn = false;
    pair->met = true;
    pair->live = true;
    pair->manual = false;
    pair->behind = false;
    pair->last_error = WEIR_OK;
    weir_ranges_clear (&pair->queue); /* it holds all that we have */
    pair->bulk = pair->bulk && pair->sending;
    pair->queue_entries = 0;
    pair->burst_ms = WEIR_SYNC_NEVER;
    if (!pair->in_step) {
        pair->in_step = true;
        struct weir_sync_action *action = weir_sync_act (self, WEIR_SYNC_IN_STEP, pair);
        action->entries = pair->entries_moved;
        pair->entries_moved = 0;
    }
}

static uint64_t
most (uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Since they were equal only one of two has changed, as their digests tell: it knows what the
 * other lacks, and nothing needs to be asked. When that did not mend it, they are compared. */
static bool
is_ahead (const struct weir_sync_pair *pair)
{
    return pair->attempts == 0 && pair->session->protocol >= 2 && weir_sync_may_push (pair)
           && weir_id_equal (&pair->theirs, &pair->agreed);
}

static bool
is_behind (const struct weir_sync_pair *pair)
{
    return pair->attempts == 0 && pair->session->protocol >= 2
           && (pair->direction & WEIR_SYNC_PULL) != 0
           && weir_id_equal (&pair->db->digest, &pair->agreed);
}

/* Are we the one to ask? Else it is our turn when the other does not in time. */
static bool
begins (const struct weir_sync *self, const struct weir_sync_pair *pair)
{
    if (is_ahead (pair)) {
        return true;
    }
    if (is_behind (pair)) {
        return pair->turn && pair->recheck_ms == WEIR_SYNC_NEVER;
    }
    return pair->turn || weir_id_compare (&self->options.device, &pair->peer->device) < 0;
}

void
weir_sync_judge (struct weir_sync *self, struct weir_sync_pair *pair, bool told, uint64_t now_ms)
{
    pair->unanswered = told ? 0 : pair->unanswered;
    if (!weir_sync_known (pair)) {
        return;
    }
    if (weir_sync_equal (pair)) {
        note_equal (self, pair);
        return;
    }
    /* What ended a long agreement is most likely still on its way here. */
    bool fresh = pair->in_step;
    pair->in_step = false;
    if (pair->differs_ms == 0) {
        pair->differs_ms = most (now_ms, 1);
    }
    if (!active (self, pair)) {
        pair->recheck_ms = WEIR_SYNC_NEVER;
        return;
    }
    if (told && !fresh && is_quiet (pair, now_ms) && now_ms >= pair->ladder_ms) {
        if (begins (self, pair)) {
            start_ladder (self, pair, now_ms);
        } else if (!pair->turn) {
            pair->turn = true;
            pair->recheck_ms = now_ms + WEIR_CONNECT_MS;
        }
        return;
    }
    uint64_t due = most (most (now_ms, pair->activity_ms) + WEIR_SYNC_SETTLE_MS, pair->ladder_ms);
    if (pair->recheck_ms == WEIR_SYNC_NEVER || pair->recheck_ms <= now_ms) {
        pair->recheck_ms = due;
    }
}

/* The recheck time has come: whatever it was set for, look again. */
void
weir_sync_recheck (struct weir_sync *self, struct weir_sync_pair *pair, uint64_t now_ms)
{
    pair->recheck_ms = WEIR_SYNC_NEVER;
    if (weir_sync_known (pair) && weir_sync_equal (pair)) {
        note_equal (self, pair);
        return;
    }
    if (!pair->session || weir_id_is_zero (&pair->db->digest) || !active (self, pair)) {
        return;
    }
    if (pair->held) {
        enlist (self, pair);
        return;
    }
    if (!weir_sync_known (pair)) {
        /* Not told yet: lost, or not shared there. The check interval goes on asking. */
        if (pair->peer->n_pairs > WEIR_SUMMARY_PAIRS_MIN) {
            pair->greet = pair->session->greet = true; /* with others in one message */
            weir_sync_session_timer (self, pair->session, now_ms);
        } else {
            weir_sync_say_digests (self, pair->session, WEIR_SAY_ONE, pair, true);
        }
        return;
    }
    if (!is_quiet (pair, now_ms)) {
        pair->recheck_ms = now_ms + WEIR_SYNC_SETTLE_MS;
        return;
    }
    if (now_ms < pair->ladder_ms) {
        pair->recheck_ms = pair->ladder_ms;
        return;
    }
    if (pair->turn) {
        start_ladder (self, pair, now_ms);
        return;
    }
    weir_sync_say_digests (self, pair->session, WEIR_SAY_ONE, pair, true);
    pair->unanswered++;
    pair->recheck_ms = now_ms + backoff (self, pair->attempts + 1 + pair->unanswered);
}

void
weir_sync_failed (struct weir_sync *self, struct weir_sync_pair *pair, enum weir_status status,
                  uint64_t now_ms)
{
    pair->last_error = status;
    pair->in_step = false; /* when it is again, or still, that is said: it ends the retry */
    pair->met = weir_sync_known (pair) && weir_sync_equal (pair);
    struct weir_sync_action *action = weir_sync_act (self, WEIR_SYNC_BEHIND, pair);
    action->status = status;
    if (active (self, pair)) {
        pair->attempts++;
        pair->ladder_ms = most (pair->ladder_ms, now_ms + backoff (self, pair->attempts));
        pair->recheck_ms = pair->ladder_ms;
    }
}

void
weir_sync_await (struct weir_sync *self, struct weir_sync_pair *pair, uint32_t round,
                 uint64_t now_ms)
{
    struct weir_sync_session *session = pair->stage_session;
    weir_sync_end_stage (self, pair);
    pair->stage = WEIR_STAGE_ASKED;
    pair->stage_session = session;
    pair->stage_ms = now_ms + WEIR_TRANSFER_STALL_MS;
    pair->round = round;
}

/* Both said what they lack: what is still different when all of it has moved is looked at
 * again. */
void
weir_sync_finish_ladder (struct weir_sync *self, struct weir_sync_pair *pair, uint64_t now_ms)
{
    weir_sync_end_stage (self, pair);
    pair->met = true;
    pair->activity_ms = now_ms;
    weir_sync_flush (self, pair, now_ms);
    weir_sync_judge (self, pair, false, now_ms);
}

static void
note_where (struct weir_sync_pair *pair, const struct weir_sync_event *e)
{
    if (!e->more && e->chains == 0 && !(e->ranges && e->ranges->count > 0)) {
        return;
    }
    pair->where = pair->where ? pair->where : weir_alloc (sizeof *pair->where);
    struct weir_sync_where *w = pair->where;
    w->more = w->more || e->more;
    w->chains = e->chains > w->chains ? e->chains : w->chains;
    for (size_t i = 0; e->ranges && i < e->ranges->count; i++) {
        w->entries += e->ranges->items[i].to_seq - e->ranges->items[i].from_seq;
        if (w->n_ranges < WEIR_SYNC_WHERE_RANGES) {
            w->ranges[w->n_ranges++] = e->ranges->items[i];
        }
    }
    w->chains = w->chains > w->n_ranges ? w->chains : w->n_ranges;
}

/* Our store has read what was told: sends what they lack, and says what it would have said. */
static void
on_climbed (struct weir_sync *self, struct weir_sync_pair *pair, const struct weir_sync_event *e,
            uint64_t now_ms)
{
    uint32_t round = pair->round + 1;
    bool last = round >= WEIR_LADDER_ROUNDS_MAX;
    bool answer = e->answer && !last;
    bool heads = round <= 2;
    note_where (pair, e);
    if (e->ranges && e->ranges->count > 0) {
        weir_sync_send_lacks (self, pair, e->ranges, now_ms);
    }
    if (round <= WEIR_LADDER_ROUNDS_MAX && (e->say.len > 0 || pair->answer_due)) {
        struct weir_sync_message *m =
            weir_sync_say (self, pair->stage_session, WEIR_SYNC_LADDER, pair);
        m->round = round;
        m->answer = answer;
        m->n_bytes = e->say.len; /* none: there is nothing more to say */
        m->bytes = weir_alloc (e->say.len);
        if (e->say.len > 0) {
            memcpy (m->bytes, e->say.data, e->say.len);
        }
    }
    if (answer) {
        weir_sync_await (self, pair, round, now_ms);
        return;
    }
    if (e->answer) {
        say_differs (self, pair, WEIR_LIMIT); /* as many messages as there may be */
    }
    pair->round = round;
    weir_sync_finish_ladder (self, pair, now_ms);
    pair->met = pair->met && (e->settled || !heads); /* else they go on */
}

void
weir_sync_on_compared (struct weir_sync *self, const struct weir_sync_event *e, uint64_t now_ms)
{
    uint8_t key[8];
    struct weir_sync_pair *pair = weir_map_get (self->tickets, weir_sync_key64 (key, e->ticket));
    if (!pair) {
        return; /* late: that comparison was given up */
    }
    if (e->status != WEIR_OK) {
        self->counters.messages_bad += e->status == WEIR_BAD_MESSAGE;
        weir_sync_end_stage (self, pair);
        weir_sync_failed (self, pair, e->status, now_ms);
    } else if (pair->newer) {
        on_climbed (self, pair, e, now_ms);
    } else {
        weir_sync_on_rows (self, pair, e, now_ms);
    }
    weir_sync_settle (self, pair, now_ms);
}

/* ---- the newer ladder, from the peer ---- */

/* An ask ends what we began ourselves, unless we asked first and our id is the smaller. */
bool
weir_sync_may_ask (const struct weir_sync *self, const struct weir_sync_pair *pair)
{
    if (weir_id_is_zero (&pair->db->digest) || pair->stage == WEIR_STAGE_STORE) {
        return false;
    }
    return pair->stage != WEIR_STAGE_ASKED
           || weir_id_compare (&self->options.device, &pair->peer->device) > 0;
}

/* Is this message the next? One that needed no answer may get one all the same. */
static bool
is_next (const struct weir_sync *self, const struct weir_sync_pair *pair,
         const struct weir_sync_session *session, uint32_t round)
{
    if (round == 1) {
        return weir_sync_may_ask (self, pair);
    }
    if (pair->stage == WEIR_STAGE_ASKED) {
        return pair->newer && pair->round + 1 == round && pair->stage_session == session;
    }
    return pair->stage == WEIR_STAGE_REST && pair->newer && pair->round + 1 == round
           && pair->session == session;
}

static void
hold (struct weir_sync *self, struct weir_sync_pair *pair, struct weir_sync_session *session,
      const struct weir_sync_message *m, uint64_t now_ms)
{
    drop_held (pair);
    weir_sync_end_stage (self, pair);
    pair->held = weir_alloc (sizeof *pair->held);
    weir_sync_message_copy (pair->held, m);
    pair->held_session = session;
    pair->held_ms = now_ms;
    if (self->n_admitted >= WEIR_COMPARES_MAX) {
        enlist (self, pair);
    } else {
        pair->recheck_ms = now_ms + weir_rand_jitter (&self->rand, LOOK_AGAIN_MS, 50);
    }
}

void
weir_sync_on_ladder (struct weir_sync *self, struct weir_sync_session *session,
                     const struct weir_sync_message *m, uint64_t now_ms)
{
    struct weir_sync_pair *pair = weir_sync_by_tag (session, m->tag);
    if (!pair) {
        weir_sync_unknown_tag (self, session, m->tag);
        return;
    }
    if ((m->n_bytes == 0 && m->round == 1)
        || m->n_bytes > WEIR_LADDER_BYTES_MAX + WEIR_LADDER_BYTES_MAX / 4 || m->round == 0
        || m->round > WEIR_LADDER_ROUNDS_MAX) {
        self->counters.messages_bad++;
        return;
    }
    if (is_next (self, pair, session, m->round)) {
        bool first = m->round == 1;
        if (m->n_bytes == 0) {
            pair->round = m->round;
            weir_sync_finish_ladder (self, pair, now_ms);
        } else if (first
                   && (self->n_admitted >= WEIR_COMPARES_MAX || is_busy_elsewhere (pair, now_ms))) {
            hold (self, pair, session, m, now_ms);
        } else {
            drop_held (pair);
            climb (self, pair, session, WEIR_STAGE_STORE, m, now_ms);
        }
    }
    weir_sync_settle (self, pair, now_ms);
}

/* One that waited. */
static void
let_in (struct weir_sync *self, struct weir_sync_pair *pair, uint64_t now_ms)
{
    delist (self, pair);
    if (!pair->held) {
        weir_sync_recheck (self, pair, now_ms);
    } else if (is_busy_elsewhere (pair, now_ms) && now_ms - pair->held_ms < HOLD_MS) {
        pair->recheck_ms = now_ms + weir_rand_jitter (&self->rand, LOOK_AGAIN_MS, 50);
    } else if (pair->stage == WEIR_STAGE_REST) {
        climb (self, pair, pair->held_session, WEIR_STAGE_STORE, pair->held, now_ms);
        drop_held (pair);
    } else {
        drop_held (pair);
    }
    weir_sync_settle (self, pair, now_ms);
}

uint64_t
weir_sync_held_due_ms (const struct weir_sync_pair *pair)
{
    return pair->held ? pair->held_ms + HOLD_MS : WEIR_SYNC_NEVER;
}

void
weir_sync_held_due (struct weir_sync *self, struct weir_sync_pair *pair, uint64_t now_ms)
{
    if (weir_sync_held_due_ms (pair) <= now_ms) {
        let_in (self, pair, now_ms);
    }
}

void
weir_sync_admit (struct weir_sync *self, uint64_t now_ms)
{
    for (size_t i = 0; i < WEIR_SYNC_PRIORITIES; i++) {
        while (self->waiting[i][0] && self->n_admitted < WEIR_COMPARES_MAX) {
            let_in (self, self->waiting[i][0], now_ms);
        }
    }
}
