/* What moves: novel ranges pushed live, what a ladder found lacking, and the transfers that
 * carry both. Bodies never pass through here, only ranges and numbers. */

#include "store/sync/sync_state.h"

#include <string.h>

#define ENTRY_BYTES 128u /* of an entry whose size nobody told */

bool
weir_sync_may_push (const struct weir_sync_pair *pair)
{
    return (pair->direction & WEIR_SYNC_PUSH) != 0 && !pair->refused;
}

static uint64_t
range_entries (const struct weir_range *range)
{
    return range->to_seq > range->from_seq ? range->to_seq - range->from_seq : 0;
}

static bool
covers (const struct weir_ranges *list, const struct weir_range *range)
{
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i].from_seq <= range->from_seq
            && weir_id_equal (&list->items[i].tip, &range->tip)
            && weir_chain_compare (&list->items[i].chain, &range->chain) == 0) {
            return true;
        }
    }
    return false;
}

/* Without what is in flight already: false when that is all of it. Where a chain has branches
 * this may cut too much; the next comparison, with nothing in flight, finds it. */
static bool
trim (const struct weir_ranges *flying, struct weir_range *range)
{
    if (covers (flying, range)) {
        return false;
    }
    for (size_t i = 0; i < flying->count; i++) {
        const struct weir_range *item = &flying->items[i];
        if (item->from_seq <= range->from_seq && item->to_seq > range->from_seq
            && item->to_seq < range->to_seq
            && weir_chain_compare (&item->chain, &range->chain) == 0) {
            range->from_seq = item->to_seq;
        }
    }
    return true;
}

/* Remembers a range as sent. Neighbours become one: this only serves to not send twice. */
static void
add_flying (struct weir_sync_pair *pair, const struct weir_range *range)
{
    struct weir_range *last =
        pair->flying.count > 0 ? &pair->flying.items[pair->flying.count - 1] : NULL;
    if (last && last->to_seq == range->from_seq
        && weir_chain_compare (&last->chain, &range->chain) == 0) {
        last->to_seq = range->to_seq;
        last->tip = range->tip;
        return;
    }
    weir_ranges_add (&pair->flying, range, &weir_id_zero);
}

void
weir_sync_clear_queue (struct weir_sync_pair *pair)
{
    weir_ranges_clear (&pair->queue);
    pair->queue_entries = 0;
    pair->burst_ms = WEIR_SYNC_NEVER;
}

static void
forget_transfer (struct weir_sync *self, const struct weir_sync_session *session, uint64_t number)
{
    uint8_t key[16];
    weir_map_remove (self->transfers, weir_sync_transfer_key (key, session->id, number));
}

static void
stop (struct weir_sync *self, const struct weir_sync_pair *pair,
      const struct weir_sync_session *session, uint64_t number, bool out)
{
    struct weir_sync_action *action = weir_sync_act (self, WEIR_SYNC_STOP, pair);
    action->session = session->id;
    action->transfer = number;
    action->out = out;
}

void
weir_sync_drop_out (struct weir_sync *self, struct weir_sync_pair *pair, bool stop_it,
                    enum weir_status tell)
{
    weir_sync_clear_queue (pair);
    weir_ranges_clear (&pair->flying);
    pair->sending = false;
    pair->bulk = false;
    pair->standing = false;
    /* What was on its way is found by comparing, unless there was nothing. */
    pair->met = weir_sync_known (pair) && weir_sync_equal (pair);
    if (pair->out_state == WEIR_OUT_NONE) {
        return;
    }
    if (stop_it) {
        stop (self, pair, pair->out_session, pair->out, true);
    }
    if (tell != WEIR_OK && pair->out_state != WEIR_OUT_OPENING) {
        weir_sync_say_close (self, pair->out_session, pair->out, tell);
    }
    forget_transfer (self, pair->out_session, pair->out);
    pair->out_state = WEIR_OUT_NONE;
    pair->out_session = NULL;
    pair->out = 0;
}

void
weir_sync_drop_in (struct weir_sync *self, struct weir_sync_pair *pair, bool stop_it,
                   enum weir_status tell)
{
    pair->in_busy = false;
    if (pair->in_state == WEIR_IN_NONE) {
        return;
    }
    if (stop_it) {
        stop (self, pair, pair->in_session, pair->in, false);
    }
    if (tell != WEIR_OK) {
        weir_sync_say_close (self, pair->in_session, pair->in, tell);
    }
    forget_transfer (self, pair->in_session, pair->in);
    pair->in_state = WEIR_IN_NONE;
    pair->in_session = NULL;
    pair->in = 0;
}

static void
open_out (struct weir_sync *self, struct weir_sync_pair *pair, uint64_t now_ms)
{
    uint8_t key[16];
    do {
        pair->out = weir_rand_u64 (&self->rand);
    } while (pair->out == 0
             || weir_map_get (self->transfers,
                              weir_sync_transfer_key (key, pair->session->id, pair->out)));
    pair->out_session = pair->session;
    pair->out_state = WEIR_OUT_OPENING;
    pair->out_ms = now_ms + WEIR_TRANSFER_STALL_MS;
    weir_map_put (self->transfers, weir_sync_transfer_key (key, pair->session->id, pair->out),
                  pair);
    struct weir_sync_action *action = weir_sync_act (self, WEIR_SYNC_OPEN_OUT, pair);
    action->session = pair->session->id;
    action->transfer = pair->out;
}

void
weir_sync_enqueue (struct weir_sync_pair *pair, const struct weir_range *range)
{
    struct weir_range rest = *range;
    if (trim (&pair->flying, &rest)) {
        weir_ranges_add (&pair->queue, &rest, &weir_id_zero);
        pair->queue_entries += range_entries (&rest);
    }
}

/* A transfer that rests between two that are in step. */
void
weir_sync_stand (struct weir_sync *self, struct weir_sync_pair *pair)
{
    bool may = self->options.enabled && pair->out_state == WEIR_OUT_OPEN
               && pair->out_session == pair->session && pair->met && !pair->bulk
               && pair->stage == WEIR_STAGE_REST && weir_sync_may_push (pair)
               && !weir_sync_is_lazy (pair);
    bool rests = !pair->sending && pair->queue.count == 0;
    if (pair->standing ? may : !(may && rests)) {
        return;
    }
    pair->standing = may;
    struct weir_sync_action *action = weir_sync_act (self, WEIR_SYNC_STAND, pair);
    action->session = pair->out_session->id;
    action->transfer = pair->out;
    action->stand = may;
}

static void
begin_sending (struct weir_sync *self, struct weir_sync_pair *pair, uint64_t entries,
               uint64_t now_ms)
{
    if (!pair->sending) {
        pair->sent_ms = now_ms;
    }
    pair->sending = true;
    pair->entries_sent += entries;
    pair->out_ms = now_ms + 2 * WEIR_TRANSFER_STALL_MS;
    if (pair->edge) {
        pair->edge->told = pair->db->digest;
    }
    self->counters.bursts++;
}

/* One SEND of the first ranges that wait, within the batch. */
static void
send_batch (struct weir_sync *self, struct weir_sync_pair *pair, uint64_t now_ms)
{
    struct weir_sync_action *action = weir_sync_act (self, WEIR_SYNC_SEND, pair);
    action->session = pair->out_session->id;
    action->transfer = pair->out;
    size_t n = 0;
    uint64_t entries = 0;
    while (n < pair->queue.count && n < WEIR_RANGES_PER_MESSAGE) {
        const struct weir_range *range = &pair->queue.items[n];
        uint64_t add = range_entries (range);
        if (n > 0 && !pair->bulk && entries + add > self->options.batch_size) {
            break;
        }
        weir_ranges_add (&action->ranges, range, &weir_id_zero);
        add_flying (pair, range);
        entries += add;
        n++;
    }
    action->entries = entries;
    pair->queue.count -= n;
    memmove (pair->queue.items, pair->queue.items + n,
             pair->queue.count * sizeof pair->queue.items[0]);
    pair->queue_entries -= entries < pair->queue_entries ? entries : pair->queue_entries;
    begin_sending (self, pair, entries, now_ms);
}

void
weir_sync_flush (struct weir_sync *self, struct weir_sync_pair *pair, uint64_t now_ms)
{
    if (pair->queue.count == 0) {
        pair->burst_ms = WEIR_SYNC_NEVER;
        return;
    }
    if (!weir_sync_may_push (pair) || !pair->session) {
        weir_sync_clear_queue (pair);
        return;
    }
    if (pair->out_state == WEIR_OUT_NONE) {
        open_out (self, pair, now_ms);
    }
    if (pair->out_state != WEIR_OUT_OPEN) {
        return; /* when it is open */
    }
    pair->burst_ms = WEIR_SYNC_NEVER;
    do {
        send_batch (self, pair, now_ms);
    } while (pair->bulk && pair->queue.count > 0);
    if (pair->queue.count > 0) {
        pair->burst_ms = now_ms + WEIR_BURST_DELAY_MS;
    }
}

void
weir_sync_send_lacks (struct weir_sync *self, struct weir_sync_pair *pair,
                      const struct weir_ranges *lacks, uint64_t now_ms)
{
    if (!weir_sync_may_push (pair) || (weir_sync_known (pair) && weir_sync_equal (pair))) {
        return; /* what was compared is older than that */
    }
    struct weir_ranges novel = pair->queue;
    memset (&pair->queue, 0, sizeof pair->queue);
    weir_sync_clear_queue (pair);
    for (size_t i = 0; i < lacks->count; i++) {
        struct weir_range range = lacks->items[i];
        if (trim (&pair->flying, &range) && !weir_sync_is_owed (pair, &range, now_ms)) {
            weir_ranges_add (&pair->queue, &range, &weir_id_zero);
            pair->queue_entries += range_entries (&range);
            pair->bulk = true;
        }
    }
    for (size_t i = 0; i < novel.count; i++) {
        if (!covers (lacks, &novel.items[i])) {
            weir_ranges_add (&pair->queue, &novel.items[i], &weir_id_zero);
            pair->queue_entries += range_entries (&novel.items[i]);
        }
    }
    weir_ranges_fini (&novel);
    weir_sync_flush (self, pair, now_ms);
}

/* ---- novel ranges ---- */

bool
weir_sync_forwards (const struct weir_sync *self)
{
    return self->options.role != WEIR_ROLE_LEAF && self->options.forward;
}

/* Is this pair to have what came from `source`? A leaf pushes only its own. */
static bool
concerns (const struct weir_sync *self, const struct weir_sync_pair *pair,
          const struct weir_id *source)
{
    bool own = weir_id_is_zero (source);
    return self->options.enabled && weir_sync_may_push (pair) && (own || weir_sync_forwards (self))
           && !weir_id_equal (source, &pair->peer->device);
}

/* Who wrote it has it; after a restore, comparisons bring it back. */
bool
weir_sync_is_theirs (const struct weir_sync_pair *pair, const struct weir_range *range)
{
    return weir_id_equal (&range->chain.author, &pair->peer->device);
}

static void
push (struct weir_sync *self, struct weir_sync_pair *pair, const struct weir_ranges *ranges,
      uint64_t now_ms)
{
    if (!pair->met && pair->stage != WEIR_STAGE_STORE) {
        weir_sync_judge (self, pair, false, now_ms);
        return; /* the comparison to come will find them */
    }
    for (size_t i = 0; i < ranges->count; i++) {
        if (weir_sync_is_theirs (pair, &ranges->items[i])
            || ((pair->bulk || !pair->met) && covers (&pair->flying, &ranges->items[i]))) {
            continue; /* or compared when readable, novel when synced */
        }
        weir_ranges_add (&pair->queue, &ranges->items[i], &weir_id_zero);
        pair->queue_entries += range_entries (&ranges->items[i]);
    }
    if (pair->queue.count > WEIR_SYNC_QUEUE_RANGES_MAX) {
        weir_sync_clear_queue (pair);
        pair->met = false;
        weir_sync_judge (self, pair, false, now_ms);
        return;
    }
    if (pair->queue.count == 0 || pair->stage != WEIR_STAGE_REST || pair->bulk
        || pair->flying.count > WEIR_SYNC_QUEUE_RANGES_MAX) {
        return;
    }
    if (!pair->sending || pair->queue_entries * ENTRY_BYTES >= WEIR_BURST_BYTES
        || pair->queue_entries >= self->options.batch_size) {
        weir_sync_flush (self, pair, now_ms);
    } else if (pair->burst_ms == WEIR_SYNC_NEVER) {
        pair->burst_ms = now_ms + WEIR_BURST_DELAY_MS;
    }
}

/* The store has fed it already. */
static void
note_fed (struct weir_sync *self, struct weir_sync_pair *pair, const struct weir_ranges *ranges,
          uint64_t now_ms)
{
    uint64_t entries = 0;
    for (size_t i = 0; i < ranges->count; i++) {
        add_flying (pair, &ranges->items[i]);
        entries += range_entries (&ranges->items[i]);
    }
    begin_sending (self, pair, entries, now_ms);
}

static struct weir_sync_pair *find_transfer (const struct weir_sync *self, uint64_t session,
                                             uint64_t number);

static void
mark_fed (struct weir_sync *self, const struct weir_sync_db *db, const struct weir_sync_event *e)
{
    for (size_t i = 0; i < e->n_fed; i++) {
        struct weir_sync_pair *pair = find_transfer (self, e->fed[i].session, e->fed[i].transfer);
        if (pair && pair->db == db && pair->out_state == WEIR_OUT_OPEN
            && pair->out == e->fed[i].transfer && pair->out_session->id == e->fed[i].session) {
            pair->fed = true;
        }
    }
}

/* Novel ranges, to a peer that is to have them. */
static void
hand_on (struct weir_sync *self, struct weir_sync_pair *pair, const struct weir_ranges *ranges,
         uint64_t now_ms)
{
    weir_sync_tree_begin (self, pair, now_ms);
    if (!pair->session) {
        if (!pair->behind) {
            pair->behind = true;
            weir_sync_act (self, WEIR_SYNC_BEHIND, pair)->status = WEIR_UNAVAILABLE;
        }
    } else if (weir_sync_is_lazy (pair)) {
        weir_sync_tree_owe (self, pair, ranges, now_ms);
    } else {
        push (self, pair, ranges, now_ms);
    }
}

void
weir_sync_on_novel (struct weir_sync *self, const struct weir_sync_event *e, uint64_t now_ms)
{
    struct weir_sync_db *db = weir_map_get (self->dbs, weir_id_bytes (&e->db));
    if (!db) {
        return;
    }
    if (!weir_id_is_zero (&e->digest)) {
        db->digest = e->digest;
    }
    bool any = e->ranges && e->ranges->count > 0;
    if (any) {
        weir_sync_tree_novel (db, e->ranges, &e->source, now_ms);
        mark_fed (self, db, e);
    }
    for (struct weir_sync_pair *pair = db->pairs; pair; pair = pair->next_of_db) {
        pair->activity_ms = now_ms;
        if (pair->in_state == WEIR_IN_OPEN && weir_id_equal (&e->source, &pair->peer->device)) {
            pair->in_busy = true; /* until ARRIVED tells the digest that ends it */
            pair->in_ms = now_ms;
        }
        if (weir_sync_known (pair) && weir_sync_equal (pair)) {
            weir_sync_judge (self, pair, false, now_ms);
        } else {
            pair->in_step = false;
        }
        bool goes = any && concerns (self, pair, &e->source);
        if (pair->fed) {
            pair->fed = false;
            note_fed (self, pair, e->ranges, now_ms);
        } else if (goes) {
            hand_on (self, pair, e->ranges, now_ms);
        }
        bool apart = any && !goes && !weir_id_equal (&e->source, &pair->peer->device);
        weir_sync_tree_changed (self, pair, apart, now_ms);
        weir_sync_settle (self, pair, now_ms);
    }
}

/* ---- the peer's messages about transfers ---- */

static struct weir_sync_pair *
find_transfer (const struct weir_sync *self, uint64_t session, uint64_t number)
{
    uint8_t key[16];
    return weir_map_get (self->transfers, weir_sync_transfer_key (key, session, number));
}

static void
say_accept (struct weir_sync *self, struct weir_sync_pair *pair)
{
    struct weir_sync_message *m = weir_sync_say (self, pair->in_session, WEIR_SYNC_ACCEPT, pair);
    m->transfer = pair->in;
    m->credit = WEIR_CREDIT_BYTES;
}

static void
on_offer (struct weir_sync *self, struct weir_sync_session *session,
          const struct weir_sync_message *m, uint64_t now_ms)
{
    struct weir_sync_pair *pair = weir_sync_by_tag (session, m->tag);
    if (!pair) {
        weir_sync_unknown_tag (self, session, m->tag);
        return;
    }
    struct weir_sync_pair *other = find_transfer (self, session->id, m->transfer);
    if (other == pair && pair->in == m->transfer && pair->in_session == session) {
        if (pair->in_state == WEIR_IN_OPEN) {
            say_accept (self, pair); /* said twice, or ours was lost */
        }
        return;
    }
    if (other || m->transfer == 0) {
        self->counters.messages_bad++;
        weir_sync_say_close (self, session, m->transfer, WEIR_EXISTS);
        return;
    }
    if ((pair->direction & WEIR_SYNC_PULL) == 0) {
        weir_sync_say_close (self, session, m->transfer, WEIR_REFUSED);
        return;
    }
    weir_sync_drop_in (self, pair, true, WEIR_OK);
    uint8_t key[16];
    weir_map_put (self->transfers, weir_sync_transfer_key (key, session->id, m->transfer), pair);
    pair->in = m->transfer;
    pair->in_session = session;
    pair->in_state = WEIR_IN_OPENING;
    pair->in_ms = now_ms;
    struct weir_sync_action *action = weir_sync_act (self, WEIR_SYNC_OPEN_IN, pair);
    action->session = session->id;
    action->transfer = m->transfer;
    action->credit = WEIR_CREDIT_BYTES;
    weir_sync_settle (self, pair, now_ms);
}

static void
on_accept (struct weir_sync *self, struct weir_sync_session *session,
           const struct weir_sync_message *m, uint64_t now_ms)
{
    struct weir_sync_pair *pair = find_transfer (self, session->id, m->transfer);
    if (!pair || pair->out != m->transfer || pair->out_state != WEIR_OUT_OFFERED) {
        return; /* late or said twice */
    }
    struct weir_sync_action *action = weir_sync_act (self, WEIR_SYNC_START, pair);
    action->session = session->id;
    action->transfer = m->transfer;
    action->credit = m->credit < WEIR_CREDIT_BYTES ? m->credit : WEIR_CREDIT_BYTES;
    pair->out_state = WEIR_OUT_OPEN;
    pair->out_ms = WEIR_SYNC_NEVER;
    weir_sync_flush (self, pair, now_ms);
    weir_sync_settle (self, pair, now_ms);
}

static void
on_close (struct weir_sync *self, struct weir_sync_session *session,
          const struct weir_sync_message *m, uint64_t now_ms)
{
    struct weir_sync_pair *pair = find_transfer (self, session->id, m->transfer);
    if (!pair) {
        return;
    }
    if (pair->out == m->transfer && pair->out_session == session) {
        weir_sync_drop_out (self, pair, true, WEIR_OK);
        pair->refused = pair->refused || m->status == WEIR_REFUSED;
        weir_sync_failed (self, pair, m->status != WEIR_OK ? m->status : WEIR_CANCELLED, now_ms);
    } else {
        weir_sync_drop_in (self, pair, true, WEIR_OK);
        pair->activity_ms = now_ms;
        weir_sync_judge (self, pair, false, now_ms);
    }
    weir_sync_settle (self, pair, now_ms);
}

void
weir_sync_on_transfer_message (struct weir_sync *self, struct weir_sync_session *session,
                               const struct weir_sync_message *m, uint64_t now_ms)
{
    if (m->type == WEIR_SYNC_OFFER) {
        on_offer (self, session, m, now_ms);
    } else if (m->type == WEIR_SYNC_ACCEPT) {
        on_accept (self, session, m, now_ms);
    } else {
        on_close (self, session, m, now_ms);
    }
}

/* ---- our store's events about transfers ---- */

static void
on_opened (struct weir_sync *self, struct weir_sync_pair *pair, bool out,
           const struct weir_sync_event *e, uint64_t now_ms)
{
    if (out && pair->out_state == WEIR_OUT_OPENING) {
        if (e->status != WEIR_OK) {
            weir_sync_drop_out (self, pair, false, WEIR_OK);
            weir_sync_failed (self, pair, e->status, now_ms);
            return;
        }
        pair->out_state = WEIR_OUT_OFFERED;
        pair->out_ms = now_ms + WEIR_TRANSFER_STALL_MS;
        weir_sync_say (self, pair->out_session, WEIR_SYNC_OFFER, pair)->transfer = pair->out;
    } else if (!out && pair->in_state == WEIR_IN_OPENING) {
        if (e->status != WEIR_OK) {
            weir_sync_drop_in (self, pair, false, e->status);
            return;
        }
        pair->in_state = WEIR_IN_OPEN;
        say_accept (self, pair);
    }
}

/* How long it took until all that was sent was durable there. */
static void
note_latency (struct weir_sync_pair *pair, uint64_t now_ms)
{
    uint64_t ms = now_ms - pair->sent_ms;
    size_t bucket = 0;
    while (bucket + 1 < WEIR_SYNC_ACK_BUCKETS && ms >> bucket != 0) {
        bucket++;
    }
    pair->figures.acks_in[bucket]++;
    pair->figures.acks++;
    uint64_t us = ms * 1000u;
    pair->figures.ack_us = pair->figures.acks == 1 ? us : (pair->figures.ack_us * 7 + us) / 8;
}

static void
on_acked (struct weir_sync *self, struct weir_sync_pair *pair, const struct weir_sync_event *e,
          uint64_t now_ms)
{
    pair->entries_acked += e->entries;
    pair->entries_moved += e->entries;
    pair->activity_ms = now_ms;
    pair->out_ms = now_ms + 2 * WEIR_TRANSFER_STALL_MS;
    if (!weir_id_is_zero (&e->their_digest)) {
        pair->theirs = e->their_digest;
    }
    if (e->idle) {
        if (pair->sending) {
            note_latency (pair, now_ms);
        }
        pair->sending = false;
        pair->bulk = false;
        pair->out_ms = WEIR_SYNC_NEVER;
        if (pair->stage == WEIR_STAGE_REST) {
            weir_sync_flush (self, pair, now_ms);
        }
    }
    weir_sync_judge (self, pair, false, now_ms);
}

static void
on_arrived (struct weir_sync *self, struct weir_sync_pair *pair, const struct weir_sync_event *e,
            uint64_t now_ms)
{
    if (!weir_id_is_zero (&e->digest)) {
        pair->db->digest = e->digest;
    }
    if (e->status != WEIR_OK) {
        weir_sync_drop_in (self, pair, false, e->status);
        weir_sync_failed (self, pair, e->status, now_ms);
        return;
    }
    pair->entries_moved += e->entries;
    pair->activity_ms = now_ms;
    pair->in_ms = now_ms;
    pair->in_busy = weir_id_is_zero (&e->their_digest);
    if (!pair->in_busy) {
        pair->theirs = e->their_digest;
    }
    weir_sync_tree_arrived (self, pair, e, now_ms);
    weir_sync_ask_missing (self, pair, e);
    weir_sync_judge (self, pair, false, now_ms);
}

void
weir_sync_on_transfer_event (struct weir_sync *self, const struct weir_sync_event *e,
                             uint64_t now_ms)
{
    struct weir_sync_pair *pair = find_transfer (self, e->session, e->transfer);
    if (!pair) {
        return; /* late: given up since */
    }
    bool out = pair->out_state != WEIR_OUT_NONE && pair->out == e->transfer
               && pair->out_session->id == e->session;
    if (e->type == WEIR_SYNC_OPENED) {
        on_opened (self, pair, out, e, now_ms);
    } else if (e->type == WEIR_SYNC_ACKED && out) {
        on_acked (self, pair, e, now_ms);
    } else if (e->type == WEIR_SYNC_ARRIVED && !out) {
        on_arrived (self, pair, e, now_ms);
    } else if (e->type == WEIR_SYNC_TRANSFER_LOST) {
        enum weir_status status = e->status != WEIR_OK ? e->status : WEIR_FAILED;
        if (out) {
            weir_sync_drop_out (self, pair, false, status);
        } else {
            weir_sync_drop_in (self, pair, false, status);
        }
        weir_sync_failed (self, pair, status, now_ms);
    }
    weir_sync_settle (self, pair, now_ms);
}
