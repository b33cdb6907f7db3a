/* Transfers at the store: bodies move here and nowhere else. Peers opens one (which session,
 * link, device, database and direction), feeds it ranges and stops it; frames go straight
 * between this actor and the transport that holds the link. What a frame names that was not
 * opened is dropped and counted. This file owns the table and when each is looked at;
 * store_sending.c and store_receiving.c do the work. */

#include "actors/store/transfers.h"

#include <stdlib.h>
#include <string.h>

#define WATCH_MS 1000u

/* ---- finding and ending ---- */

#define SESSION_KEY 17
#define LINK_KEY 33

static struct weir_bytes
session_key (uint8_t key[SESSION_KEY], uint64_t session, uint64_t number, bool is_out)
{
    weir_store_u64 (key, session);
    weir_store_u64 (key + 8, number);
    key[16] = is_out;
    return weir_bytes (key, SESSION_KEY);
}

static struct weir_bytes
link_key (uint8_t key[LINK_KEY], const struct weir_mailbox_id *mailbox, uint64_t link,
          uint64_t number, bool is_out)
{
    memcpy (key, mailbox->b, 16);
    weir_store_u64 (key + 16, link);
    weir_store_u64 (key + 24, number);
    key[32] = is_out;
    return weir_bytes (key, LINK_KEY);
}

struct store_transfer *
store_transfer_find (struct store *s, uint64_t session, uint64_t number, bool is_out)
{
    uint8_t key[SESSION_KEY];
    return s->by_session == NULL
               ? NULL
               : weir_map_get (s->by_session, session_key (key, session, number, is_out));
}

struct store_transfer *
store_transfer_on_link (struct store *s, const struct weir_mailbox_id *mailbox, uint64_t link,
                        uint64_t number, bool is_out)
{
    uint8_t key[LINK_KEY];
    return s->by_link == NULL
               ? NULL
               : weir_map_get (s->by_link, link_key (key, mailbox, link, number, is_out));
}

void
store_transfer_busy (struct store *s, struct store_transfer *t)
{
    if (!t->is_busy) {
        t->is_busy = true;
        t->next_busy = s->busy;
        s->busy = t;
    }
}

/* Out of the list of busy ones. */
static void
rest (struct store *s, struct store_transfer *t)
{
    for (struct store_transfer **at = &s->busy; t->is_busy && *at != NULL; at = &(*at)->next_busy) {
        if (*at == t) {
            *at = t->next_busy;
            break;
        }
    }
    t->is_busy = false;
}

static void
drop (struct store *s, struct store_transfer *t)
{
    uint8_t session[SESSION_KEY];
    uint8_t link[LINK_KEY];
    for (struct store_transfer **at = &s->transfers; *at != NULL; at = &(*at)->next) {
        if (*at == t) {
            *at = t->next;
            break;
        }
    }
    rest (s, t);
    (void) weir_map_remove (s->by_session, session_key (session, t->session, t->number, t->is_out));
    (void) weir_map_remove (s->by_link,
                            link_key (link, &t->mailbox, t->link, t->number, t->is_out));
    weir_pace_flow_destroy (t->is_out ? s->sending : s->importing, &t->flow);
    weir_out_destroy (&t->out);
    weir_in_destroy (&t->in);
    weir_buf_fini (&t->stuck);
    weir_ranges_fini (&t->held);
    s->n_standing -= t->stands ? 1u : 0u;
    free (t);
    s->n_transfers--;
}

void
store_transfer_lose (struct store *s, struct store_transfer *t, enum weir_status why)
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

void
store_transfers_fini (struct store *s)
{
    store_transfer_drop_all (s, NULL);
    weir_map_destroy (&s->by_session, NULL);
    weir_map_destroy (&s->by_link, NULL);
    weir_pace_destroy (&s->sending);
    weir_pace_destroy (&s->importing);
}

/* ---- opened, changed and stopped by peers ---- */

static void
need_tables (struct store *s)
{
    if (s->by_session == NULL) {
        s->by_session = weir_map_new ();
        s->by_link = weir_map_new ();
        s->sending = weir_pace_new (true);
        s->importing = weir_pace_new (false);
    }
}

static void
keep (struct store *s, const struct store_transfer *made, uint32_t priority, uint64_t rate)
{
    uint8_t session[SESSION_KEY];
    uint8_t link[LINK_KEY];
    struct weir_pace *pace = made->is_out ? s->sending : s->importing;
    struct store_transfer *t = weir_alloc (sizeof *t);
    *t = *made;
    t->flow = weir_pace_flow_new (pace, &t->device, t);
    weir_pace_flow_set (pace, t->flow, priority, t->is_out ? rate : 0);
    if (t->is_out) {
        t->out = weir_out_new (weir_actor_now_ms (s->actor));
        if (!t->receipts) {
            weir_pace_deaf (t->flow);
        }
    } else {
        t->in = weir_in_new (WEIR_CREDIT_BYTES);
        t->ack_limit = weir_in_limit (t->in);
    }
    (void) weir_map_put (s->by_session, session_key (session, t->session, t->number, t->is_out), t);
    (void) weir_map_put (s->by_link, link_key (link, &t->mailbox, t->link, t->number, t->is_out),
                         t);
    t->next = s->transfers;
    s->transfers = t;
    s->n_transfers++;
}

static void watch (void *state, struct weir_actor *actor, void *context);

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
                                .receipts = ask->has_receipts && ask->receipts };
    enum weir_status status = WEIR_OK;
    need_tables (s);
    if (!ask->has_mailbox || ask->mailbox.len != sizeof t.mailbox.b
        || weir_field_get_id (&t.device, ask->has_device, ask->device) != WEIR_OK
        || weir_field_get_id (&t.db, ask->has_db, ask->db) != WEIR_OK) {
        status = WEIR_BAD_MESSAGE;
    } else if (store_transfer_find (s, t.session, t.number, t.is_out) != NULL) {
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
    keep (s, &t, ask->has_priority ? ask->priority : WEIR_PRIORITY_NORMAL, ask->rate);
    if (s->watch_transfers == 0) {
        s->watch_transfers =
            weir_actor_timer (actor, weir_actor_now_ms (actor) + WATCH_MS, watch, NULL);
    }
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
    struct store_transfer *t =
        store_transfer_find (s, ask->session, ask->transfer, ask->has_out && ask->out);
    (void) actor;
    if (t != NULL) {
        if (ask->has_priority || ask->has_rate) { /* one goes with the other */
            weir_pace_flow_set (t->is_out ? s->sending : s->importing, t->flow,
                                ask->has_priority ? ask->priority : WEIR_PRIORITY_NORMAL,
                                t->is_out ? ask->rate : 0);
        }
        stand (s, t, ask->has_stand ? ask->stand : t->stands);
    }
}

void
store_transfer_stop (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct store *s = state;
    const Weir__TransferStop *ask = (const Weir__TransferStop *) message->meta;
    struct store_transfer *t =
        store_transfer_find (s, ask->session, ask->transfer, ask->has_out && ask->out);
    (void) actor;
    if (t != NULL) {
        drop (s, t);
    }
}

/* ---- turns ---- */

static bool
needs (const struct store_transfer *t)
{
    return t->is_open || t->is_flushed || t->waits || t->owes_ack || t->owes_receipt
           || t->owes_arrived || t->owes_acked || t->is_stuck || t->is_early;
}

/* Says what is owed and forgets who owes nothing; true when a mailbox was full. */
static bool
look_at_busy (struct store *s)
{
    bool again = false;
    for (struct store_transfer **at = &s->busy; *at != NULL;) {
        struct store_transfer *t = *at;
        again = !(t->is_out ? store_send_owed (s, t) : store_receive_owed (s, t)) || again;
        if (needs (t)) {
            at = &t->next_busy;
        } else {
            *at = t->next_busy;
            t->is_busy = false;
        }
    }
    return again;
}

static void
pump_later (void *state, struct weir_actor *actor, void *context)
{
    struct store *s = state;
    (void) actor;
    (void) context;
    s->pump_timer = 0; /* the end of the turn does it */
}

static void
pump_at (struct store *s, uint64_t at_ms)
{
    if (at_ms == UINT64_MAX || (s->pump_timer != 0 && s->pump_ms <= at_ms)) {
        return;
    }
    weir_actor_timer_cancel (s->actor, s->pump_timer);
    s->pump_ms = at_ms;
    s->pump_timer = weir_actor_timer (s->actor, at_ms, pump_later, NULL);
}

void
store_transfer_pump (struct store *s)
{
    const struct weir_settings_values *v = weir_actor_settings (s->actor);
    if (s->by_session == NULL) {
        return;
    }
    weir_pace_limit (s->sending, v->rate_per_peer, v->rate_in_all);
    weir_pace_limit (s->importing, v->verify_kb_per_peer << 10, 0);
    s->pump_due_ms = UINT64_MAX;
    store_receive_turn (s);
    store_send_turn (s);
    if (look_at_busy (s)) {
        uint64_t soon = weir_actor_now_ms (s->actor) + 1;
        s->pump_due_ms = soon < s->pump_due_ms ? soon : s->pump_due_ms;
    }
    pump_at (s, s->pump_due_ms);
}

/* Gives up those to whom nothing gets through. */
static void
watch (void *state, struct weir_actor *actor, void *context)
{
    struct store *s = state;
    struct store_transfer *next;
    uint64_t now = weir_actor_now_ms (actor);
    (void) context;
    for (struct store_transfer *t = s->transfers; t != NULL; t = next) {
        next = t->next;
        if (t->is_out && weir_out_stalled (t->out, now)) {
            store_transfer_lose (s, t, WEIR_TIMED_OUT);
        }
    }
    s->watch_transfers =
        s->transfers != NULL ? weir_actor_timer (actor, now + WATCH_MS, watch, NULL) : 0;
}

/* The turn's group was handed to the disk as `batch`: what was consumed in it waits for that. */
void
store_transfer_flushed (struct store *s, uint64_t batch)
{
    for (struct store_transfer *t = s->busy; t != NULL; t = t->next_busy) {
        store_receive_flushed (t, batch);
    }
}

/* Acknowledges, cumulatively, what is durable now; tells peers at the end of a burst. */
void
store_transfer_synced (struct store *s, uint64_t synced)
{
    for (struct store_transfer *t = s->busy; t != NULL; t = t->next_busy) {
        store_receive_synced (s, t, synced);
        if (t->is_early) {
            t->is_early = false;
            weir_pace_ready (s->sending, t->flow);
        }
    }
    /* What stands was fed just now, and the turn may be over already: none other need come. */
    if (s->by_session != NULL) {
        s->pump_due_ms = UINT64_MAX;
        store_send_turn (s);
        pump_at (s, s->pump_due_ms);
    }
    if (look_at_busy (s)) {
        pump_at (s, weir_actor_now_ms (s->actor) + 1);
    }
}
