/* The sending end of transfers: what peers fed, and what is novel where a transfer stands, is read
 * and leaves in frames, by fair shares (store/sync/pace.h) and within what each link carries. */

#include <string.h>

#include "actors/store/transfers.h"

#define BYTES_PER_TURN (4u << 20)
#define FRAME_UNITS 256u /* what a frame costs beside its bytes */
#define ALIVE_MS 1000u

/* ---- fed ---- */

void
store_transfer_start (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct store *s = state;
    const Weir__TransferStart *ask = (const Weir__TransferStart *) message->meta;
    struct store_transfer *t = store_transfer_find (s, ask->session, ask->transfer, true);
    (void) actor;
    if (t != NULL) {
        t->started = true;
        weir_out_limit (t->out, ask->limit);
        weir_pace_ready (s->sending, t->flow);
    }
}

void
store_transfer_send (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct store *s = state;
    const Weir__TransferSend *ask = (const Weir__TransferSend *) message->meta;
    struct store_transfer *t = store_transfer_find (s, ask->session, ask->transfer, true);
    struct weir_ranges ranges = { 0 };
    struct weir_ranges ordered = { 0 };
    struct weir_id digest = { 0 };
    (void) actor;
    if (t == NULL) {
        return; /* it was lost, and peers was told */
    }
    for (size_t i = 0; i < ask->n_ranges; i++) {
        const Weir__Range *m = ask->ranges[i];
        struct weir_range range = { .chain.lane = m->lane,
                                    .from_seq = m->from_seq,
                                    .to_seq = m->to_seq };
        if (weir_field_get_id (&range.chain.author, m->has_author, m->author) == WEIR_OK
            && weir_field_get_id (&range.tip, m->has_tip, m->tip) == WEIR_OK) {
            weir_ranges_add (&ranges, &range, &weir_id_zero);
        }
    }
    weir_ignore (weir_field_get_id (&digest, ask->has_digest, ask->digest));
    store_order (s, &t->db, &ranges, &ordered);
    weir_out_feed (t->out, &ordered, &digest);
    weir_ranges_fini (&ordered);
    t->fed = true;
    if (t->started) {
        weir_pace_ready (s->sending, t->flow);
    }
    weir_ranges_fini (&ranges);
}

/* Which of the ranges a standing transfer gets by itself: what is not the peer's own. None where
 * they came from, and a leaf pushes only its own. */
static bool
stands_for (const struct store *s, const struct store_transfer *t, const struct weir_log_row *row,
            const struct weir_ranges *ranges, struct weir_ranges *out)
{
    const struct weir_settings_values *v = weir_actor_settings (s->actor);
    bool forwards = v->forward && strcmp (v->role, "leaf") != 0;
    weir_ranges_clear (out);
    if (!t->stands || !weir_id_equal (&t->db, &row->db) || weir_id_equal (&t->device, &row->source)
        || (!forwards && !weir_id_is_zero (&row->source))) {
        return false;
    }
    for (size_t i = 0; i < ranges->count; i++) {
        if (!weir_id_equal (&ranges->items[i].chain.author, &t->device)) {
            weir_ranges_add (out, &ranges->items[i], &weir_id_zero);
        }
    }
    return out->count > 0;
}

void
store_transfer_name (struct store *s, const struct weir_log_row *row,
                     const struct weir_ranges *ranges, struct weir_arena *arena, Weir__Novel *m)
{
    struct weir_ranges fits = { 0 };
    m->fed = weir_arena_array (arena, s->n_standing + 1, sizeof *m->fed);
    for (struct store_transfer *t = s->n_standing > 0 ? s->transfers : NULL;
         t != NULL && m->fed != NULL; t = t->next) {
        if (!stands_for (s, t, row, ranges, &fits)) {
            continue;
        }
        Weir__Fed *fed = weir_arena_alloc (arena, sizeof *fed);
        if (fed == NULL) {
            break;
        }
        *fed = (Weir__Fed) WEIR__FED__INIT;
        fed->has_session = fed->has_transfer = true;
        fed->session = t->session;
        fed->transfer = t->number;
        m->fed[m->n_fed++] = fed;
    }
    weir_ranges_fini (&fits);
}

void
store_transfer_feed (struct store *s, const struct weir_log_row *row,
                     const struct weir_ranges *ranges, const struct weir_id *digest)
{
    struct weir_ranges fits = { 0 };
    for (struct store_transfer *t = s->n_standing > 0 ? s->transfers : NULL; t != NULL;
         t = t->next) {
        if (stands_for (s, t, row, ranges, &fits)) {
            weir_out_feed (t->out, &fits, digest);
            t->fed = true;
            weir_pace_ready (s->sending, t->flow);
        }
    }
    weir_ranges_fini (&fits);
}

/* ---- frames ---- */

static bool
send_frame (struct store *s, struct store_transfer *t, uint64_t offset, struct weir_bytes bytes,
            const struct weir_id *digest)
{
    Weir__Frame m = WEIR__FRAME__INIT;
    m.has_link = m.has_transfer = m.has_offset = m.has_bytes = true;
    m.link = t->link;
    m.transfer = t->number;
    m.offset = offset;
    m.bytes = (uint32_t) bytes.len;
    m.has_digest = !weir_id_is_zero (digest);
    m.digest = weir_field_id (digest);
    return weir_actor_send_about (s->actor, WEIR_KIND_FRAME_OUT, &t->mailbox, &t->device, &t->db, 0,
                                  &m.base, bytes)
           == WEIR_OK;
}

/* Reads runs for the ranges at hand until enough is buffered. */
static void
read_ahead (struct store *s, struct store_transfer *t, size_t ahead)
{
    struct weir_buf runs = { 0 };
    struct weir_range range;
    uint64_t from_seq;
    size_t bytes_max;
    while (weir_out_wants (t->out, ahead, &range, &from_seq, &bytes_max)) {
        uint64_t next_seq = range.to_seq;
        weir_buf_clear (&runs);
        enum weir_status status =
            weir_repo_read (s->repo, &t->db, &range, from_seq, bytes_max, &runs, &next_seq);
        if (status == WEIR_BUSY) {
            t->is_early = true; /* compared when readable, sent when synced */
            store_transfer_busy (s, t);
            break;
        }
        if (status != WEIR_OK) {
            weir_actor_log (s->actor, WEIR_LOG_WARN, "range_not_read", "code=%s entries=%llu",
                            weir_status_code (status),
                            (unsigned long long) (range.to_seq - from_seq));
            weir_buf_clear (&runs);
            next_seq = range.to_seq;
        }
        weir_out_bytes (t->out, weir_buf_bytes (&runs), next_seq);
    }
    weir_buf_fini (&runs);
}

static void
keep_stuck (struct store *s, struct store_transfer *t, uint64_t offset, struct weir_bytes bytes,
            const struct weir_id *digest)
{
    weir_buf_clear (&t->stuck);
    weir_buf_put_bytes (&t->stuck, bytes);
    t->stuck_offset = offset;
    t->stuck_digest = *digest;
    t->is_stuck = true;
    store_transfer_busy (s, t);
}

/* One frame of at most so many bytes; how many they were. */
static uint64_t
send_one (struct store *s, struct store_transfer *t, size_t bytes_max)
{
    uint64_t now = weir_actor_now_ms (s->actor);
    uint64_t offset;
    struct weir_bytes bytes;
    struct weir_id digest;
    read_ahead (s, t, bytes_max);
    if (!weir_out_frame (t->out, now, bytes_max, &offset, &bytes, &digest)) {
        weir_pace_used (s->sending, t->flow, 0, false); /* until it is fed, or acknowledged */
        if (t->fed && weir_out_idle (t->out)) {
            t->owes_acked = true; /* there was nothing to send */
            store_transfer_busy (s, t);
        }
        return 0;
    }
    weir_pace_load (s->sending, t->flow, bytes.len, now);
    if (!send_frame (s, t, offset, bytes, &digest)) {
        keep_stuck (s, t, offset, bytes, &digest);
    }
    weir_pace_used (s->sending, t->flow, bytes.len + FRAME_UNITS, !t->is_stuck);
    return bytes.len + FRAME_UNITS;
}

void
store_send_turn (struct store *s)
{
    uint64_t now = weir_actor_now_ms (s->actor);
    uint64_t sent = 0;
    size_t bytes_max;
    while (sent < BYTES_PER_TURN) {
        struct store_transfer *t = weir_pace_next (s->sending, now, &bytes_max);
        if (t == NULL) {
            uint64_t due = weir_pace_due_ms (s->sending);
            s->pump_due_ms = due < s->pump_due_ms ? due : s->pump_due_ms;
            return;
        }
        sent += send_one (s, t, bytes_max);
    }
    s->pump_due_ms = now;
}

/* ---- acknowledgements ---- */

/* Tells peers what was acknowledged since it was told last; false when its mailbox is full. */
static bool
say_acked (struct store *s, struct store_transfer *t)
{
    Weir__TransferAcked m = WEIR__TRANSFER_ACKED__INIT;
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    struct weir_ranges acked = weir_out_take_acked (t->out);
    m.has_transfer = m.has_session = m.has_entries = m.has_idle = true;
    m.transfer = t->number;
    m.session = t->session;
    m.entries = t->acked_entries;
    m.idle = weir_out_idle (t->out);
    m.has_bytes = true;
    m.bytes = t->acked_offset - t->told_offset;
    m.has_digest = !weir_id_is_zero (&t->acked_digest);
    m.digest = weir_field_id (&t->acked_digest);
    (void) store_put_ranges (arena, &acked, &m.ranges, &m.n_ranges);
    /* What a full mailbox takes from the ranges, the next digest mends. */
    enum weir_status status =
        weir_actor_send_about (s->actor, WEIR_KIND_TRANSFER_ACKED, NULL, &t->device, &t->db, 0,
                               &m.base, weir_bytes (NULL, 0));
    weir_ranges_fini (&acked);
    weir_arena_destroy (&arena);
    if (status != WEIR_OK) {
        return false;
    }
    t->fed = t->fed && !m.idle;
    t->acked_entries = 0;
    t->told_offset = t->acked_offset;
    t->acked_digest = weir_id_zero;
    t->owes_acked = false;
    t->told_ms = weir_actor_now_ms (s->actor);
    return true;
}

bool
store_send_owed (struct store *s, struct store_transfer *t)
{
    if (t->is_stuck) {
        if (!send_frame (s, t, t->stuck_offset, weir_buf_bytes (&t->stuck), &t->stuck_digest)) {
            return false;
        }
        t->is_stuck = false;
        weir_pace_ready (s->sending, t->flow);
        s->pump_due_ms = weir_actor_now_ms (s->actor);
    }
    return !t->owes_acked || say_acked (s, t);
}

void
store_ack_in (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct store *s = state;
    const Weir__Ack *m = (const Weir__Ack *) message->meta;
    struct store_transfer *t =
        store_transfer_on_link (s, &message->envelope.from, m->link, m->transfer, true);
    uint64_t now = weir_actor_now_ms (actor);
    struct weir_id digest;
    uint64_t entries = 0;
    if (t == NULL) {
        s->frames_dropped++;
        return;
    }
    enum weir_status status = weir_out_ack (t->out, m->offset, now, &entries);
    if (status == WEIR_OK && m->has_received) {
        status = weir_out_received (t->out, m->received, now);
    }
    if (status != WEIR_OK) {
        store_transfer_lose (s, t, status);
        return;
    }
    uint64_t through = weir_out_take_received (t->out);
    weir_pace_unload (s->sending, t->flow, through, now);
    weir_out_limit (t->out, m->limit);
    if (t->started && !t->is_stuck) {
        weir_pace_ready (s->sending, t->flow);
    }
    t->acked_entries += entries;
    t->acked_offset = m->offset > t->acked_offset ? m->offset : t->acked_offset;
    bool told = weir_field_get_id (&digest, m->has_digest, m->digest) == WEIR_OK;
    if (told) {
        t->acked_digest = digest;
    }
    /* A receipt is told now and then: peers is to know that it goes on. */
    if (told || entries > 0 || !m->has_received || weir_out_idle (t->out)
        || now >= t->told_ms + ALIVE_MS) {
        t->owes_acked = true;
        if (!say_acked (s, t)) {
            store_transfer_busy (s, t); /* said again when the turn ends */
        }
    }
}
