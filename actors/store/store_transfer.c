/* Transfers at the store: bodies move here and nowhere else. Peers opens one (which session,
 * link, device, database and direction), feeds it ranges and stops it; frames go straight
 * between this actor and the transport that holds the link. What a frame names that was not
 * opened is dropped and counted. */

#include <stdlib.h>
#include <string.h>

#include "actors/store/state.h"

#define FRAMES_PER_TURN 64u
#define REFUSED_TOLD_MS 1000u

struct store_transfer {
    struct store_transfer *next;
    uint64_t session;
    uint64_t number;
    uint64_t link;
    struct weir_mailbox_id mailbox;
    struct weir_id device;
    struct weir_id db;
    bool is_out;
    bool started;
    bool stands;       /* fed here with what is novel */
    uint32_t priority; /* 0 high, 1 normal, 2 low */
    uint64_t rate;     /* bytes a second; 0: no limit */
    struct weir_out *out;
    struct weir_in *in;
    struct weir_buf stuck; /* a frame the transport's mailbox had no room for */
    uint64_t stuck_offset;
    struct weir_id stuck_digest;
    bool is_stuck;
    struct weir_id their_digest; /* told with the byte at digest_offset */
    uint64_t digest_offset;
    /* In: consumed in the turn at hand; flushed since the batch that is waited for; waited for.
     * Only the last may be acknowledged, and only once its batch is synced. */
    uint64_t open_offset;
    bool is_open;
    uint64_t flushed_offset;
    uint64_t flushed_batch;
    bool is_flushed;
    uint64_t batch_offset;
    uint64_t batch;
    bool waits;
    /* In: to be said, again when a mailbox was full. */
    uint64_t ack_offset;
    uint64_t ack_limit;
    bool owes_ack;
    bool owes_arrived;
    uint64_t new_entries;
    bool gap;
    /* Out: peers fed it and waits to hear that all is acknowledged; what it was not told yet. */
    bool fed;
    bool owes_acked;
    uint64_t acked_entries;
    struct weir_id acked_digest;
};

/* ---- finding and ending ---- */

static struct store_transfer *
find (struct store *s, uint64_t session, uint64_t number, bool is_out)
{
    for (struct store_transfer *t = s->transfers; t != NULL; t = t->next) {
        if (t->session == session && t->number == number && t->is_out == is_out) {
            return t;
        }
    }
    return NULL;
}

/* By what the wire names; the mailbox is the broker's stamp, the link the transport's. */
static struct store_transfer *
find_on_link (struct store *s, const struct weir_mailbox_id *mailbox, uint64_t link,
              uint64_t number, bool is_out)
{
    for (struct store_transfer *t = s->transfers; t != NULL; t = t->next) {
        if (t->number == number && t->is_out == is_out && t->link == link
            && weir_mailbox_equal (&t->mailbox, mailbox)) {
            return t;
        }
    }
    return NULL;
}

static void
drop (struct store *s, struct store_transfer *t)
{
    for (struct store_transfer **at = &s->transfers; *at != NULL; at = &(*at)->next) {
        if (*at == t) {
            *at = t->next;
            break;
        }
    }
    weir_out_destroy (&t->out);
    weir_in_destroy (&t->in);
    weir_buf_fini (&t->stuck);
    s->n_standing -= t->stands ? 1u : 0u;
    free (t);
    s->n_transfers--;
}

/* Gives up and tells peers, whose ladder finds out what is missing. */
static void
lose (struct store *s, struct store_transfer *t, enum weir_status why)
{
    Weir__TransferLost m = WEIR__TRANSFER_LOST__INIT;
    s->frames_dropped += why != WEIR_TIMED_OUT; /* the one it was given up for */
    m.has_transfer = m.has_session = m.has_out = m.has_status = true;
    m.transfer = t->number;
    m.session = t->session;
    m.out = t->is_out;
    m.status = (uint32_t) why;
    (void) weir_actor_send_about (s->actor, WEIR_KIND_TRANSFER_LOST, NULL, &t->device, &t->db, 0,
                                  &m.base, weir_bytes (NULL, 0));
    weir_actor_log (s->actor, WEIR_LOG_WARN, "transfer_lost", "peer=%s out=%d code=%s",
                    weir_id_text (&t->device).s, t->is_out, weir_status_code (why));
    drop (s, t);
}

/* All, or those over one transport that went. Peers knows why by itself. */
void
store_transfer_drop_all (struct store *s, const struct weir_mailbox_id *mailbox)
{
    struct store_transfer *next;
    for (struct store_transfer *t = s->transfers; t != NULL; t = next) {
        next = t->next;
        if (mailbox == NULL || weir_mailbox_equal (&t->mailbox, mailbox)) {
            drop (s, t);
        }
    }
}

/* ---- opened, fed and stopped by peers ---- */

void
store_transfer_open (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct store *s = state;
    const Weir__TransferOpen *ask = (const Weir__TransferOpen *) message->meta;
    struct weir_db_info info;
    struct store_transfer t = { .session = ask->session,
                                .number = ask->transfer,
                                .link = ask->link,
                                .is_out = ask->has_out && ask->out,
                                .priority = ask->has_priority ? ask->priority : 1,
                                .rate = ask->rate };
    enum weir_status status = WEIR_OK;
    if (!ask->has_mailbox || ask->mailbox.len != sizeof t.mailbox.b
        || weir_field_get_id (&t.device, ask->has_device, ask->device) != WEIR_OK
        || weir_field_get_id (&t.db, ask->has_db, ask->db) != WEIR_OK) {
        status = WEIR_BAD_MESSAGE;
    } else if (find (s, t.session, t.number, t.is_out) != NULL) {
        store_answer (s, &message->envelope, NULL); /* a resend */
        return;
    } else if (s->n_transfers >= WEIR_TRANSFERS_MAX) {
        status = WEIR_BUSY;
    } else if (!t.is_out && !store_writable (s, NULL)) {
        status = WEIR_DISK_FULL; /* no credit: what cannot be stored is not asked for */
    } else {
        status = weir_repo_info (s->repo, &t.db, &info);
    }
    if (status != WEIR_OK) {
        store_fail (s, &message->envelope, status, NULL);
        return;
    }
    memcpy (t.mailbox.b, ask->mailbox.data, sizeof t.mailbox.b);
    struct store_transfer *kept = weir_alloc (sizeof *kept);
    *kept = t;
    if (t.is_out) {
        kept->out = weir_out_new (weir_actor_now_ms (actor));
    } else {
        kept->in = weir_in_new (WEIR_CREDIT_BYTES);
    }
    kept->next = s->transfers;
    s->transfers = kept;
    s->n_transfers++;
    store_answer (s, &message->envelope, NULL);
}

static void
stand (struct store *s, struct store_transfer *t, bool stands)
{
    stands = stands && t->is_out && t->started;
    s->n_standing += (stands ? 1u : 0u) - (t->stands ? 1u : 0u);
    t->stands = stands;
}

void
store_transfer_set (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct store *s = state;
    const Weir__TransferSet *ask = (const Weir__TransferSet *) message->meta;
    struct store_transfer *t = find (s, ask->session, ask->transfer, ask->has_out && ask->out);
    (void) actor;
    if (t != NULL) {
        t->priority = ask->has_priority ? ask->priority : t->priority;
        t->rate = ask->has_rate ? ask->rate : t->rate;
        stand (s, t, ask->has_stand ? ask->stand : t->stands);
    }
}

void
store_transfer_start (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct store *s = state;
    const Weir__TransferStart *ask = (const Weir__TransferStart *) message->meta;
    struct store_transfer *t = find (s, ask->session, ask->transfer, true);
    (void) actor;
    if (t != NULL) {
        t->started = true;
        weir_out_limit (t->out, ask->limit);
    }
}

void
store_transfer_send (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct store *s = state;
    const Weir__TransferSend *ask = (const Weir__TransferSend *) message->meta;
    struct store_transfer *t = find (s, ask->session, ask->transfer, true);
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
    weir_ranges_fini (&ranges);
}

/* Does this transfer get the row by itself? Not to where it came from, and a leaf pushes only its
 * own. */
static bool
stands_for (const struct store *s, const struct store_transfer *t, const struct weir_log_row *row)
{
    const struct weir_settings_values *v = weir_actor_settings (s->actor);
    bool forwards = v->forward && strcmp (v->role, "leaf") != 0;
    return t->stands && weir_id_equal (&t->db, &row->db)
           && !weir_id_equal (&t->device, &row->source)
           && (forwards || weir_id_is_zero (&row->source));
}

void
store_transfer_name (struct store *s, const struct weir_log_row *row, struct weir_arena *arena,
                     Weir__Novel *m)
{
    m->fed = weir_arena_array (arena, s->n_standing + 1, sizeof *m->fed);
    for (struct store_transfer *t = s->transfers; t != NULL && m->fed != NULL; t = t->next) {
        Weir__Fed *fed = stands_for (s, t, row) ? weir_arena_alloc (arena, sizeof *fed) : NULL;
        if (fed != NULL) {
            *fed = (Weir__Fed) WEIR__FED__INIT;
            fed->has_session = fed->has_transfer = true;
            fed->session = t->session;
            fed->transfer = t->number;
            m->fed[m->n_fed++] = fed;
        }
    }
}

void
store_transfer_feed (struct store *s, const struct weir_log_row *row,
                     const struct weir_ranges *ranges, const struct weir_id *digest)
{
    for (struct store_transfer *t = s->n_standing > 0 ? s->transfers : NULL; t != NULL;
         t = t->next) {
        if (stands_for (s, t, row)) {
            weir_out_feed (t->out, ranges, digest);
            t->fed = true;
        }
    }
}

void
store_transfer_stop (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct store *s = state;
    const Weir__TransferStop *ask = (const Weir__TransferStop *) message->meta;
    struct store_transfer *t = find (s, ask->session, ask->transfer, ask->has_out && ask->out);
    (void) actor;
    if (t != NULL) {
        drop (s, t);
    }
}

/* ---- sending ---- */

static bool say_owed (struct store *s, struct store_transfer *t);

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
read_ahead (struct store *s, struct store_transfer *t)
{
    struct weir_buf runs = { 0 };
    struct weir_range range;
    uint64_t from_seq;
    size_t bytes_max;
    while (weir_out_wants (t->out, &range, &from_seq, &bytes_max)) {
        uint64_t next_seq = range.to_seq;
        weir_buf_clear (&runs);
        enum weir_status status =
            weir_repo_read (s->repo, &t->db, &range, from_seq, bytes_max, &runs, &next_seq);
        if (status == WEIR_BUSY) {
            break; /* compared when readable, sent when synced: a turn after that */
        }
        if (status != WEIR_OK) {
            weir_buf_clear (&runs);
            next_seq = range.to_seq;
        }
        weir_out_bytes (t->out, weir_buf_bytes (&runs), next_seq);
    }
    weir_buf_fini (&runs);
}

/* A bounded number of frames a turn; true when there is more to do at once. */
static bool
pump (struct store *s, struct store_transfer *t)
{
    uint64_t offset;
    struct weir_bytes bytes;
    struct weir_id digest;
    if (t->is_stuck) {
        if (!send_frame (s, t, t->stuck_offset, weir_buf_bytes (&t->stuck), &t->stuck_digest)) {
            return true;
        }
        t->is_stuck = false;
    }
    for (size_t n = 0; n < FRAMES_PER_TURN; n++) {
        read_ahead (s, t);
        if (!weir_out_frame (t->out, weir_actor_now_ms (s->actor), &offset, &bytes, &digest)) {
            return false;
        }
        if (!send_frame (s, t, offset, bytes, &digest)) {
            weir_buf_clear (&t->stuck);
            weir_buf_put_bytes (&t->stuck, bytes);
            t->stuck_offset = offset;
            t->stuck_digest = digest;
            t->is_stuck = true;
            return true;
        }
    }
    return true;
}

static void
pump_later (void *state, struct weir_actor *actor, void *context)
{
    struct store *s = state;
    (void) actor;
    (void) context;
    s->pump_timer = 0;
    store_transfer_pump (s);
}

void
store_transfer_pump (struct store *s)
{
    struct store_transfer *next;
    uint64_t now = weir_actor_now_ms (s->actor);
    bool again = false;
    for (struct store_transfer *t = s->transfers; t != NULL; t = next) {
        next = t->next;
        if (t->is_out && t->started) {
            if (weir_out_stalled (t->out, now)) {
                lose (s, t, WEIR_TIMED_OUT);
                continue;
            }
            again = pump (s, t) || again;
            if (t->fed && weir_out_idle (t->out)) {
                t->owes_acked = true; /* there was nothing to send */
            }
        }
        again = !say_owed (s, t) || again;
    }
    if (again && s->pump_timer == 0) {
        s->pump_timer = weir_actor_timer (s->actor, now + 1, pump_later, NULL);
    }
}

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
    t->acked_digest = weir_id_zero;
    t->owes_acked = false;
    return true;
}

void
store_ack_in (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct store *s = state;
    const Weir__Ack *m = (const Weir__Ack *) message->meta;
    struct store_transfer *t =
        find_on_link (s, &message->envelope.from, m->link, m->transfer, true);
    struct weir_id digest;
    uint64_t entries = 0;
    if (t == NULL) {
        s->frames_dropped++;
        return;
    }
    enum weir_status status = weir_out_ack (t->out, m->offset, weir_actor_now_ms (actor), &entries);
    if (status != WEIR_OK) {
        lose (s, t, status);
        return;
    }
    weir_out_limit (t->out, m->limit);
    t->acked_entries += entries;
    if (weir_field_get_id (&digest, m->has_digest, m->digest) == WEIR_OK) {
        t->acked_digest = digest;
    }
    t->owes_acked = true;
    (void) say_acked (s, t); /* else the pump says it */
}

/* ---- receiving ---- */

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

/* Imports the whole runs at the front of what came. A run that is refused or waits for another
 * does not end the transfer: the rest may be good, and the digests tell that they differ. */
static enum weir_status
import_runs (struct store *s, struct store_transfer *t)
{
    struct weir_bytes bytes = weir_in_bytes (t->in);
    uint64_t now = weir_actor_wall_ms (s->actor);
    size_t at = 0;
    enum weir_status status = WEIR_OK;
    while (status == WEIR_OK && at < bytes.len) {
        struct weir_bytes rest = weir_bytes (bytes.data + at, bytes.len - at);
        struct weir_import_result result = { 0 };
        size_t used = 0;
        status = weir_run_length (rest, &used);
        if (status != WEIR_OK) {
            break;
        }
        status = weir_repo_import (s->repo, &t->db, weir_bytes (rest.data, used), &t->device, now,
                                   &result);
        if (status != WEIR_OK) {
            break;
        }
        at += used;
        if (result.outcome == WEIR_IMPORT_NEW) {
            s->imports++;
            t->new_entries += result.range.to_seq - result.range.from_seq;
            if (result.fork) {
                weir_actor_event (s->actor, "fork_seen", &result.range.chain.author, &t->db,
                                  WEIR_OK, "one key wrote from two places; lane=%016llx",
                                  (unsigned long long) result.range.chain.lane);
            }
        } else if (result.outcome == WEIR_IMPORT_PENDING) {
            t->gap = true;
        } else if (result.outcome == WEIR_IMPORT_REFUSED) {
            s->refused++;
            tell_refused (s, t, result.status);
        }
    }
    weir_in_consume (t->in, at);
    return status == WEIR_PENDING ? WEIR_OK : status;
}

void
store_frame_in (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct store *s = state;
    const Weir__Frame *m = (const Weir__Frame *) message->meta;
    struct store_transfer *t =
        find_on_link (s, &message->envelope.from, m->link, m->transfer, false);
    struct weir_id digest = { 0 };
    (void) actor;
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
        status = import_runs (s, t);
    }
    if (status != WEIR_OK) {
        lose (s, t, status);
        return;
    }
    t->open_offset = weir_in_consumed (t->in);
    t->is_open = true; /* even a frame of nothing but a digest has an end to tell */
    struct weir_id told = weir_in_digest (t->in);
    if (!weir_id_is_zero (&told)) {
        t->their_digest = told;
        t->digest_offset = t->open_offset;
    }
}

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

/* The turn's group was handed to the disk as `batch`: what was consumed in it waits for that. */
void
store_transfer_flushed (struct store *s, uint64_t batch)
{
    for (struct store_transfer *t = s->transfers; t != NULL; t = t->next) {
        if (t->is_open) {
            t->flushed_offset = t->open_offset;
            t->flushed_batch = batch;
            t->is_flushed = true;
            t->is_open = false;
            wait_next (t);
        }
    }
}

static bool
say_ack (struct store *s, struct store_transfer *t)
{
    struct weir_id digest = store_digest (s, &t->db);
    Weir__Ack m = WEIR__ACK__INIT;
    m.has_link = m.has_transfer = m.has_offset = m.has_limit = true;
    m.link = t->link;
    m.transfer = t->number;
    m.offset = t->ack_offset;
    m.limit = t->ack_limit;
    /* The digest says what is readable here: it is told when all of it that came is durable. */
    m.has_digest = t->open_offset == t->ack_offset;
    m.digest = weir_field_id (&digest);
    if (weir_actor_send_about (s->actor, WEIR_KIND_ACK_OUT, &t->mailbox, &t->device, &t->db, 0,
                               &m.base, weir_bytes (NULL, 0))
        != WEIR_OK) {
        return false;
    }
    t->owes_ack = false;
    return true;
}

static bool
say_arrived (struct store *s, struct store_transfer *t)
{
    struct weir_id digest = store_digest (s, &t->db);
    Weir__TransferArrived m = WEIR__TRANSFER_ARRIVED__INIT;
    m.has_transfer = m.has_session = m.has_digest = m.has_gap = true;
    m.transfer = t->number;
    m.session = t->session;
    m.digest = weir_field_id (&digest);
    m.gap = t->gap;
    m.has_entries = true;
    m.entries = t->new_entries;
    m.has_their_digest = !weir_id_is_zero (&t->their_digest);
    m.their_digest = weir_field_id (&t->their_digest);
    if (weir_actor_send_about (s->actor, WEIR_KIND_TRANSFER_ARRIVED, NULL, &t->device, &t->db, 0,
                               &m.base, weir_bytes (NULL, 0))
        != WEIR_OK) {
        return false;
    }
    t->gap = false;
    t->new_entries = 0;
    t->their_digest = weir_id_zero;
    t->owes_arrived = false;
    return true;
}

/* Says what waits to be said; false when a mailbox is full: to be tried again. */
static bool
say_owed (struct store *s, struct store_transfer *t)
{
    bool said = !t->owes_acked || say_acked (s, t);
    said = (!t->owes_ack || say_ack (s, t)) && said;
    return (!t->owes_arrived || say_arrived (s, t)) && said;
}

/* Acknowledges, cumulatively, what is durable now; tells peers at the end of a burst. */
void
store_transfer_synced (struct store *s, uint64_t synced)
{
    bool again = false;
    for (struct store_transfer *t = s->transfers; t != NULL; t = t->next) {
        while (t->waits && t->batch <= synced) {
            uint64_t limit = 0;
            if (weir_in_durable (t->in, t->batch_offset, &limit)) {
                t->ack_offset = t->batch_offset;
                t->ack_limit = limit;
                t->owes_ack = true;
            }
            bool ended = !weir_id_is_zero (&t->their_digest) && t->digest_offset <= t->batch_offset;
            t->owes_arrived = t->owes_arrived || ended || t->gap;
            t->waits = false;
            wait_next (t);
        }
        again = !say_owed (s, t) || again;
    }
    if (again && s->pump_timer == 0) {
        s->pump_timer =
            weir_actor_timer (s->actor, weir_actor_now_ms (s->actor) + 1, pump_later, NULL);
    }
}
