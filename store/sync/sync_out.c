/* What leaves the synchronizer: the list of actions, and the heap of timers that says when it
 * wants to be called again. Called by the other files of the synchronizer only. */

#include "store/sync/sync_state.h"
#include "store/crypto/hash.h"

#include <stdlib.h>
#include <string.h>

void
weir_sync_actions_clear (struct weir_sync_actions *a)
{
    for (size_t i = 0; i < a->count; i++) {
        weir_sync_message_fini (&a->items[i].message);
        free (a->items[i].rows);
        weir_ranges_fini (&a->items[i].ranges);
    }
    a->count = 0;
}

void
weir_sync_actions_fini (struct weir_sync_actions *a)
{
    weir_sync_actions_clear (a);
    free (a->items);
    memset (a, 0, sizeof *a);
}

struct weir_sync_action *
weir_sync_act (struct weir_sync *self, enum weir_sync_action_type type,
               const struct weir_sync_pair *pair)
{
    struct weir_sync_actions *list = self->actions;
    weir_grow (&list->items, &list->cap, list->count + 1, sizeof list->items[0]);
    struct weir_sync_action *action = &list->items[list->count++];
    memset (action, 0, sizeof *action);
    action->type = type;
    if (pair) {
        action->device = pair->peer->device;
        action->db = pair->db->id;
        action->digest = pair->db->digest;
    }
    return action;
}

struct weir_sync_message *
weir_sync_say (struct weir_sync *self, struct weir_sync_session *session,
               enum weir_sync_message_type type, const struct weir_sync_pair *pair)
{
    struct weir_sync_action *action = weir_sync_act (self, WEIR_SYNC_SAY, pair);
    action->session = session->id;
    action->device = session->peer->device;
    action->message.type = type;
    if (pair) {
        action->message.tag = weir_sync_tag (session, &pair->db->id);
    }
    self->counters.messages_out++;
    return &action->message;
}

void
weir_sync_say_close (struct weir_sync *self, struct weir_sync_session *session, uint64_t transfer,
                     enum weir_status status)
{
    struct weir_sync_message *m = weir_sync_say (self, session, WEIR_SYNC_CLOSE, NULL);
    m->transfer = transfer;
    m->status = status;
}

struct weir_told_row *
weir_sync_copy_rows (const struct weir_told_row *rows, size_t n)
{
    size_t n_samples = 0;
    for (size_t i = 0; i < n; i++) {
        n_samples += rows[i].n_samples;
    }
    if (n == 0) {
        return NULL;
    }
    struct weir_told_row *copy =
        weir_alloc (n * sizeof rows[0] + n_samples * sizeof rows[0].samples[0]);
    struct weir_sample *samples = (struct weir_sample *) (void *) (copy + n);
    for (size_t i = 0; i < n; i++) {
        copy[i] = rows[i];
        copy[i].samples = copy[i].n_samples > 0 ? samples : NULL;
        if (copy[i].n_samples > 0) {
            memcpy (samples, rows[i].samples, rows[i].n_samples * sizeof samples[0]);
            samples += rows[i].n_samples;
        }
    }
    return copy;
}

static void *
copy_block (const void *items, size_t n, size_t size)
{
    void *copy = n > 0 ? weir_alloc (n * size) : NULL;
    if (copy) {
        memcpy (copy, items, n * size);
    }
    return copy;
}

void
weir_sync_message_copy (struct weir_sync_message *to, const struct weir_sync_message *from)
{
    *to = *from;
    to->digests = copy_block (from->digests, from->n_digests, sizeof from->digests[0]);
    to->rows = weir_sync_copy_rows (from->rows, from->n_rows);
    to->bytes = copy_block (from->bytes, from->n_bytes, 1);
    to->marks = copy_block (from->marks, from->n_marks, sizeof from->marks[0]);
    to->wants = copy_block (from->wants, from->n_wants, sizeof from->wants[0]);
}

void
weir_sync_message_fini (struct weir_sync_message *m)
{
    free (m->digests);
    free (m->rows);
    free (m->bytes);
    free (m->marks);
    free (m->wants);
    memset (m, 0, sizeof *m);
}

struct weir_bytes
weir_sync_key64 (uint8_t key[8], uint64_t v)
{
    weir_store_u64 (key, v);
    return weir_bytes (key, 8);
}

struct weir_bytes
weir_sync_transfer_key (uint8_t key[16], uint64_t session, uint64_t transfer)
{
    weir_store_u64 (key, session);
    weir_store_u64 (key + 8, transfer);
    return weir_bytes (key, 16);
}

uint64_t
weir_sync_tag (const struct weir_sync_session *session, const struct weir_id *db)
{
    return weir_hash_tag (&session->key, weir_id_bytes (db));
}

struct weir_sync_pair *
weir_sync_by_tag (const struct weir_sync_session *session, uint64_t tag)
{
    uint8_t key[8];
    return weir_map_get (session->tags, weir_sync_key64 (key, tag));
}

/* ---- timers: a binary heap whose items know their place ---- */

static void
place (struct weir_sync *self, struct weir_sync_timer *timer, size_t at)
{
    self->timers[at] = timer;
    timer->at = at;
}

static void
sift_up (struct weir_sync *self, struct weir_sync_timer *timer, size_t at)
{
    while (at > 1 && self->timers[at / 2]->due_ms > timer->due_ms) {
        place (self, self->timers[at / 2], at);
        at /= 2;
    }
    place (self, timer, at);
}

static void
sift_down (struct weir_sync *self, struct weir_sync_timer *timer, size_t at)
{
    for (;;) {
        size_t child = at * 2;
        if (child > self->n_timers) {
            break;
        }
        if (child < self->n_timers
            && self->timers[child + 1]->due_ms < self->timers[child]->due_ms) {
            child++;
        }
        if (self->timers[child]->due_ms >= timer->due_ms) {
            break;
        }
        place (self, self->timers[child], at);
        at = child;
    }
    place (self, timer, at);
}

void
weir_sync_timer_set (struct weir_sync *self, struct weir_sync_timer *timer, uint64_t due_ms)
{
    if (timer->at > 0 && timer->due_ms == due_ms) {
        return;
    }
    if (timer->at > 0) {
        size_t at = timer->at;
        timer->at = 0;
        struct weir_sync_timer *last = self->timers[self->n_timers--];
        if (last != timer) {
            sift_up (self, last, at);
            sift_down (self, last, last->at);
        }
    }
    timer->due_ms = due_ms;
    if (due_ms != WEIR_SYNC_NEVER) {
        weir_grow (&self->timers, &self->timers_cap, self->n_timers + 2, sizeof *self->timers);
        self->n_timers++;
        sift_up (self, timer, self->n_timers);
    }
}

static enum weir_sync_phase
phase_of (const struct weir_sync_pair *pair)
{
    if (!pair->session) {
        return WEIR_SYNC_ABSENT;
    }
    if (weir_sync_known (pair) && weir_sync_equal (pair)) {
        return WEIR_SYNC_EQUAL;
    }
    if (pair->stage != WEIR_STAGE_REST) {
        return WEIR_SYNC_COMPARING;
    }
    if (pair->sending || pair->queue.count > 0) {
        return WEIR_SYNC_SENDING;
    }
    if (pair->in_busy) {
        return WEIR_SYNC_RECEIVING;
    }
    return weir_sync_known (pair) ? WEIR_SYNC_BACKING_OFF : WEIR_SYNC_IDLE;
}

static uint64_t
least (uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void
weir_sync_settle (struct weir_sync *self, struct weir_sync_pair *pair, uint64_t now_ms)
{
    weir_sync_stand (self, pair);
    if (pair->stage == WEIR_STAGE_REST && !pair->sending && !pair->held) {
        weir_ranges_clear (&pair->flying); /* not before: what is compared may be older than it */
    }
    if (pair->admitted && pair->stage == WEIR_STAGE_REST) {
        pair->admitted = false;
        self->n_admitted--;
    }
    uint64_t due = least (pair->recheck_ms, pair->burst_ms);
    if (pair->stage != WEIR_STAGE_REST) {
        due = least (due, pair->stage_ms);
    }
    if (pair->out_state != WEIR_OUT_NONE) {
        due = least (due, pair->out_ms);
    }
    if (pair->in_busy || pair->in_state == WEIR_IN_OPENING) {
        due = least (due, pair->in_ms + WEIR_TRANSFER_STALL_MS);
    }
    due = least (due, weir_sync_tree_due_ms (pair));
    due = least (due, weir_sync_held_due_ms (pair));
    weir_sync_timer_set (self, &pair->timer, due);
    enum weir_sync_phase phase = phase_of (pair);
    if (phase != pair->phase) {
        pair->phase = phase;
        pair->phase_ms = now_ms;
    }
}

void
weir_sync_session_timer (struct weir_sync *self, struct weir_sync_session *session, uint64_t now_ms)
{
    weir_sync_timer_set (self, &session->timer, session->greet ? now_ms : session->check_ms);
}

uint64_t
weir_sync_next_ms (const struct weir_sync *self)
{
    return self->n_timers > 0 ? self->timers[1]->due_ms : UINT64_MAX;
}
