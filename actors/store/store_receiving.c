/* The receiving end of transfers: frames are kept as they come, under credit, and imported by fair
 * shares of verification work when the turn ends, so that a peer that floods delays no other; what
 * became durable is acknowledged. */

#include "actors/store/transfers.h"

#define REFUSED_TOLD_MS 1000u
#define REFUSED_FACTOR 8u /* work that came to nothing costs its sender so many times more */

/* ---- frames ---- */

void
store_frame_in (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct store *s = state;
    const Weir__Frame *m = (const Weir__Frame *) message->meta;
    struct store_transfer *t =
        store_transfer_on_link (s, &message->envelope.from, m->link, m->transfer, false);
    struct weir_id digest = { 0 };
    if (t == NULL) {
        s->frames_dropped++;
        return;
    }
    weir_ignore (weir_field_get_id (&digest, m->has_digest, m->digest));
    enum weir_status status = weir_in_frame (t->in, m->offset, message->body, &digest);
    if (status == WEIR_EXISTS) {
        return;
    }
    if (status == WEIR_OK && !store_writable (s, NULL)) {
        status = WEIR_DISK_FULL;
    }
    if (status == WEIR_OK) {
        weir_pace_load (s->importing, t->flow, message->body.len, weir_actor_now_ms (actor));
        if (weir_pace_peer_load (t->flow) > WEIR_PEER_BUFFER_BYTES_MAX) {
            status = WEIR_LIMIT;
        }
    }
    if (status != WEIR_OK) {
        store_transfer_lose (s, t, status);
        return;
    }
    weir_pace_ready (s->importing, t->flow);
    store_transfer_busy (s, t);
}

/* ---- importing ---- */

static void
tell_refused (struct store *s, const struct store_transfer *t, enum weir_status why)
{
    uint64_t now = weir_actor_now_ms (s->actor);
    if (s->refused_told_ms == 0 || now >= s->refused_told_ms + REFUSED_TOLD_MS) {
        s->refused_told_ms = now;
        weir_actor_event (s->actor, "run_refused", &t->device, &t->db, why,
                          "code=%s refused_since_start=%llu", weir_status_code (why),
                          (unsigned long long) s->refused);
    }
}

/* A key in two places, or chains begun in a flood: the author is named, whoever sent it. */
static void
tell_author (struct store *s, const struct store_transfer *t, const char *event,
             const struct weir_chain *chain, enum weir_status why, const char *words)
{
    uint64_t now = weir_actor_now_ms (s->actor);
    if (s->author_told_ms == 0 || now >= s->author_told_ms + REFUSED_TOLD_MS) {
        s->author_told_ms = now;
        weir_actor_event (s->actor, event, &chain->author, &t->db, why, "%s; lane=%016llx", words,
                          (unsigned long long) chain->lane);
    }
}

/* Of a run that brings something new, what was held comes before it. */
static void
note_again (struct store_transfer *t, const struct weir_import_result *result)
{
    struct weir_range range = result->range;
    t->again += result->held;
    if (result->outcome == WEIR_IMPORT_NEW) {
        range.to_seq = range.from_seq;
        range.from_seq -= result->held;
    }
    if (result->held > 0 && range.to_seq > range.from_seq
        && t->held.count < WEIR_MARKS_PER_MESSAGE) {
        weir_ranges_add (&t->held, &range, &weir_id_zero);
    }
}

/* What one run became; how much work that was. */
static uint64_t
take_result (struct store *s, struct store_transfer *t, const struct weir_import_result *result,
             uint64_t units)
{
    note_again (t, result);
    switch (result->outcome) {
    case WEIR_IMPORT_NEW:
        s->imports++;
        t->new_entries += result->range.to_seq - result->range.from_seq;
        if (result->fork) {
            tell_author (s, t, "fork_seen", &result->range.chain, WEIR_OK,
                         "one key wrote from two places");
        }
        break;
    case WEIR_IMPORT_PENDING:
        if (result->status == WEIR_TOO_OFTEN) { /* nothing is missing: time is */
            tell_author (s, t, "too_often", &result->range.chain, WEIR_TOO_OFTEN,
                         "chains begun or split faster than anybody does: they wait");
        } else {
            t->gap = true;
        }
        break;
    case WEIR_IMPORT_REFUSED:
        s->refused++;
        if (result->status == WEIR_TOO_OFTEN) {
            tell_author (s, t, "too_often", &result->range.chain, WEIR_TOO_OFTEN,
                         "chains begun or split in a flood: not taken now");
        } else {
            tell_refused (s, t, result->status);
        }
        return units * REFUSED_FACTOR;
    case WEIR_IMPORT_HELD:
        break;
    }
    return units;
}

/* Imports whole runs at the front of what came, for at most so much work (and one run at least).
 * A run that is refused or waits for another does not end the transfer: the rest may be good, and
 * the digests tell that they differ. WEIR_PENDING: no whole run is left. */
static enum weir_status
import_runs (struct store *s, struct store_transfer *t, uint64_t units_max, uint64_t *units)
{
    struct weir_bytes bytes = weir_in_bytes (t->in);
    uint64_t wall = weir_actor_wall_ms (s->actor);
    size_t at = 0;
    enum weir_status status = WEIR_OK;
    while (status == WEIR_OK && *units < units_max) {
        struct weir_bytes rest = weir_bytes (bytes.data + at, bytes.len - at);
        struct weir_import_result result = { 0 };
        size_t used = 0;
        status = rest.len > 0 ? weir_run_length (rest, &used) : WEIR_PENDING;
        if (status == WEIR_OK) {
            status = weir_repo_import (s->repo, &t->db, weir_bytes (rest.data, used), &t->device,
                                       wall, &result);
        }
        if (status == WEIR_OK) {
            at += used;
            *units += take_result (s, t, &result, used + WEIR_IMPORT_RUN_UNITS);
        }
    }
    weir_in_consume (t->in, at);
    weir_pace_unload (s->importing, t->flow, at, weir_actor_now_ms (s->actor));
    return status;
}

/* One transfer's share. */
static uint64_t
import_some (struct store *s, struct store_transfer *t, size_t units_max)
{
    uint64_t units = 0;
    enum weir_status status = import_runs (s, t, units_max, &units);
    weir_pace_used (s->importing, t->flow, units, status == WEIR_OK);
    if (status != WEIR_OK && status != WEIR_PENDING) {
        store_transfer_lose (s, t, status);
        return units;
    }
    t->open_offset = weir_in_consumed (t->in);
    t->is_open = true; /* even a frame of nothing but a digest has an end to tell */
    struct weir_id told = weir_in_digest (t->in);
    if (!weir_id_is_zero (&told)) {
        t->their_digest = told;
        t->digest_offset = t->open_offset;
    }
    t->owes_receipt = t->receipts;
    store_transfer_busy (s, t);
    return units;
}

void
store_receive_turn (struct store *s)
{
    uint64_t now = weir_actor_now_ms (s->actor);
    uint64_t units = 0;
    size_t units_max;
    while (units < WEIR_IMPORT_TURN_UNITS) {
        struct store_transfer *t = weir_pace_next (s->importing, now, &units_max);
        if (t == NULL) {
            uint64_t due = weir_pace_due_ms (s->importing);
            s->pump_due_ms = due < s->pump_due_ms ? due : s->pump_due_ms;
            return;
        }
        units += import_some (s, t, units_max);
    }
    s->pump_due_ms = now; /* the rest at once, but others may speak before */
}

/* ---- acknowledging ---- */

/* One batch at a time is waited for; what came in the meantime waits for the newest of them. */
static void
wait_next (struct store_transfer *t)
{
    if (!t->waits && t->is_flushed) {
        t->batch = t->flushed_batch;
        t->batch_offset = t->flushed_offset;
        t->waits = true;
        t->is_flushed = false;
    }
}

void
store_receive_flushed (struct store_transfer *t, uint64_t batch)
{
    if (t->is_open) {
        t->flushed_offset = t->open_offset;
        t->flushed_batch = batch;
        t->is_flushed = true;
        t->is_open = false;
        wait_next (t);
    }
}

static bool
say_ack (struct store *s, struct store_transfer *t)
{
    struct weir_id digest = weir_id_zero;
    Weir__Ack m = WEIR__ACK__INIT;
    m.has_link = m.has_transfer = m.has_offset = m.has_limit = true;
    m.link = t->link;
    m.transfer = t->number;
    m.offset = t->ack_offset;
    m.limit = t->ack_limit;
    if (t->receipts) {
        m.received = weir_in_received (t->in);
        m.has_received = m.received > t->ack_offset;
    }
    /* The digest says what is readable here: it is told when all of it that came is durable. */
    if (t->owes_ack && t->open_offset == t->ack_offset) {
        digest = store_digest (s, &t->db);
        m.has_digest = true;
        m.digest = weir_field_id (&digest);
    }
    if (weir_actor_send_about (s->actor, WEIR_KIND_ACK_OUT, &t->mailbox, &t->device, &t->db, 0,
                               &m.base, weir_bytes (NULL, 0))
        != WEIR_OK) {
        return false;
    }
    t->owes_ack = false;
    t->owes_receipt = false;
    t->told_received = weir_in_received (t->in);
    return true;
}

static bool
say_arrived (struct store *s, struct store_transfer *t)
{
    struct weir_id digest = store_digest (s, &t->db);
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    Weir__TransferArrived m = WEIR__TRANSFER_ARRIVED__INIT;
    m.has_transfer = m.has_session = m.has_digest = m.has_gap = true;
    m.transfer = t->number;
    m.session = t->session;
    m.digest = weir_field_id (&digest);
    m.gap = t->gap;
    m.has_entries = m.has_again = true;
    m.entries = t->new_entries;
    m.has_bytes = true;
    m.bytes = weir_in_consumed (t->in) - t->told_offset;
    m.again = t->again;
    m.has_their_digest = !weir_id_is_zero (&t->their_digest);
    m.their_digest = weir_field_id (&t->their_digest);
    (void) store_put_ranges (arena, &t->held, &m.held, &m.n_held);
    if (t->gap) {
        store_put_missing (s, arena, &t->db, &t->device, &m);
    }
    enum weir_status status =
        weir_actor_send_about (s->actor, WEIR_KIND_TRANSFER_ARRIVED, NULL, &t->device, &t->db, 0,
                               &m.base, weir_bytes (NULL, 0));
    weir_arena_destroy (&arena);
    if (status != WEIR_OK) {
        return false;
    }
    t->gap = false;
    t->new_entries = 0;
    t->told_offset += m.bytes;
    t->again = 0;
    weir_ranges_clear (&t->held);
    t->their_digest = weir_id_zero;
    t->owes_arrived = false;
    return true;
}

/* The sender may send on, though nothing more is durable: what waits here is not much. Where
 * nothing waits the acknowledgement says it. */
static bool
receipt_due (const struct store_transfer *t)
{
    return t->owes_receipt && weir_in_bytes (t->in).len > 0
           && weir_pace_peer_load (t->flow) <= WEIR_PEER_BUFFER_BYTES
           && weir_in_received (t->in) > t->told_received;
}

bool
store_receive_owed (struct store *s, struct store_transfer *t)
{
    t->owes_receipt = receipt_due (t);
    bool said = (!t->owes_ack && !t->owes_receipt) || say_ack (s, t);
    return (!t->owes_arrived || say_arrived (s, t)) && said;
}

void
store_receive_synced (struct store *s, struct store_transfer *t, uint64_t synced)
{
    while (t->waits && t->batch <= synced) {
        uint64_t limit = 0;
        if (weir_in_durable (t->in, t->batch_offset, weir_actor_now_ms (s->actor), &limit)) {
            t->ack_offset = t->batch_offset;
            t->ack_limit = limit;
            t->owes_ack = true;
        }
        bool ended = !weir_id_is_zero (&t->their_digest) && t->digest_offset <= t->batch_offset;
        t->owes_arrived = t->owes_arrived || ended || t->gap;
        t->waits = false;
        wait_next (t);
    }
}
