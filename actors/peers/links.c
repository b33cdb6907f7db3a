/* Transports and links: whom to dial, when, at which address; what becomes of a link. One dial is
 * one attempt (protos/link.proto); the pace is kept here: 100 ms to 1 s, at most 64 at a time, the
 * longest waiting first. */

#include "actors/peers/history.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIAL_LOOK_MS 50u
#define DIAL_PATIENCE_MS 12000u    /* the transport says sooner how it ended */
#define PERSISTENT_DELAY_MS 10000u /* what another attempt a second later would not change */

/* ---- transports ---- */

struct transport *
transport_find (struct peers *p, const struct weir_mailbox_id *mailbox)
{
    for (size_t i = 0; i < p->n_transports; i++) {
        if (p->transports[i].up && weir_mailbox_equal (&p->transports[i].mailbox, mailbox)) {
            return &p->transports[i];
        }
    }
    return NULL;
}

static struct transport *
transport_named (struct peers *p, const char *name)
{
    for (size_t i = 0; i < p->n_transports; i++) {
        if (strcmp (p->transports[i].name, name) == 0) {
            return &p->transports[i];
        }
    }
    if (p->n_transports == sizeof p->transports / sizeof *p->transports) {
        return NULL;
    }
    struct transport *t = &p->transports[p->n_transports++];
    memset (t, 0, sizeof *t);
    memcpy (t->name, name, strlen (name) + 1);
    return t;
}

static void
links_gone (struct peers *p, const struct transport *t)
{
    struct weir_bytes key;
    void *value = NULL;
    for (size_t i = 0; weir_map_next (p->links, &i, &key, &value);) {
        struct link *l = value;
        if (l->transport == t) {
            link_end (p, l, WEIR_UNAVAILABLE, "the transport went down", true);
        }
    }
}

void
transport_ready (struct peers *p, const struct weir_envelope *from, const Weir__TransportReady *m)
{
    char name[sizeof p->transports[0].name];
    if (weir_field_get_text (name, sizeof name - 1, m->has_name, m->name) != WEIR_OK) {
        return;
    }
    struct transport *t = transport_named (p, name);
    if (t == NULL) {
        return;
    }
    bool same = t->up && weir_mailbox_equal (&t->mailbox, &from->from);
    if (!same) {
        links_gone (p, t);
    }
    t->mailbox = from->from;
    t->up = true;
    t->n_addresses = 0;
    if (weir_field_get_text (t->kind, sizeof t->kind - 1, m->has_kind, m->kind) != WEIR_OK) {
        t->kind[0] = '\0';
    }
    for (size_t i = 0; i < m->n_addresses && t->n_addresses < WEIR_CARD_ADDRESSES_MAX; i++) {
        if (weir_field_get_text (t->addresses[t->n_addresses], WEIR_ADDRESS_BYTES_MAX, true,
                                 m->addresses[i])
            == WEIR_OK) {
            t->n_addresses++;
        }
    }
    if (!same && t->stopped && !m->stopped) { /* it began anew: it stays as it was set */
        Weir__TransportSet set = WEIR__TRANSPORT_SET__INIT;
        set.has_running = true;
        (void) weir_actor_send (p->actor, WEIR_KIND_TRANSPORT_RUN, &t->mailbox, &set.base,
                                weir_bytes (NULL, 0));
    } else {
        t->stopped = m->stopped;
    }
    members_admit (p, t, true);
    cards_sign (p);
    links_dial_soon (p);
}

void
transport_down (struct peers *p, const struct weir_mailbox_id *mailbox)
{
    struct transport *t = transport_find (p, mailbox);
    if (t != NULL) {
        t->up = false;
        t->admitted = weir_id_zero;
        links_gone (p, t);
    }
}

/* ---- links ---- */

struct link *
link_find (struct peers *p, uint64_t number)
{
    return weir_map_get (p->links, weir_bytes (&number, sizeof number));
}

static struct link *
link_new (struct peers *p, uint64_t number, struct transport *t)
{
    struct link *l = weir_alloc (sizeof *l);
    l->number = number;
    l->transport = t;
    (void) weir_map_put (p->links, weir_bytes (&number, sizeof number), l);
    return l;
}

void
link_say_bytes (struct peers *p, struct link *l, uint16_t kind, struct weir_bytes meta)
{
    Weir__LinkMessage m = WEIR__LINK_MESSAGE__INIT;
    if (l->ended || meta.len > WEIR_MESSAGE_META_BYTES_MAX) {
        return;
    }
    m.has_link = m.has_kind = true;
    m.link = l->number;
    m.kind = kind;
    (void) weir_actor_send_about (p->actor, WEIR_KIND_WIRE_OUT, &l->transport->mailbox,
                                  l->device != NULL ? &l->device->id : NULL, NULL, 0, &m.base,
                                  meta);
}

void
link_say (struct peers *p, struct link *l, uint16_t kind, const ProtobufCMessage *meta)
{
    struct weir_buf packed = { 0 };
    weir_meta_put (&packed, meta);
    link_say_bytes (p, l, kind, weir_buf_bytes (&packed));
    weir_buf_fini (&packed);
}

static void
hang_up (struct peers *p, const struct weir_mailbox_id *to, uint64_t number,
         enum weir_status status)
{
    Weir__HangUp m = WEIR__HANG_UP__INIT;
    m.has_link = m.has_status = true;
    m.link = number;
    m.status = (uint32_t) status;
    (void) weir_actor_send (p->actor, WEIR_KIND_HANG_UP, to, &m.base, weir_bytes (NULL, 0));
}

static void
say_bye (struct peers *p, struct link *l, enum weir_status status, const char *why)
{
    Weir__Bye m = WEIR__BYE__INIT;
    m.has_status = m.has_what = true;
    m.status = (uint32_t) status;
    m.what = weir_field_str (why);
    link_say (p, l, WEIR_KIND_W_BYE, &m.base);
}

uint64_t
link_backoff (struct peers *p, uint32_t attempts)
{
    uint64_t delay = attempts < 4 ? WEIR_RECONNECT_MS_MIN << attempts : WEIR_RECONNECT_MS_MAX;
    return weir_rand_jitter (weir_actor_rand (p->actor), delay, 25);
}

/* Would another attempt a second later make sense? */
static bool
is_persistent (enum weir_status status)
{
    return status == WEIR_INCOMPATIBLE || status == WEIR_WRONG_DEVICE || status == WEIR_OWN_DEVICE
           || status == WEIR_BAD_PROOF || status == WEIR_BLOCKED || status == WEIR_REMOVED
           || status == WEIR_REFUSED || status == WEIR_BAD_ADDRESS;
}

static void
dial_failed (struct peers *p, struct device *d, enum weir_status status, const char *why)
{
    uint64_t now = weir_actor_now_ms (p->actor);
    if (status == WEIR_EXISTS || d->link != NULL) {
        return; /* another link serves */
    }
    /* After a goodbye with a reason, a closed door says nothing new. */
    bool known = status == WEIR_NOT_REACHABLE_OR_NOT_ADMITTED && is_persistent (d->last_error);
    uint64_t delay = known || is_persistent (status)
                         ? weir_rand_jitter (weir_actor_rand (p->actor), PERSISTENT_DELAY_MS, 25)
                         : link_backoff (p, d->attempts);
    d->attempts++;
    d->due_ms = now + delay;
    if (!known) {
        device_error (d, status, why);
    }
    if (d->dirty) {
        rows_flush_later (p);
    }
    for (struct relation *r = d->relations; r != NULL; r = r->next) {
        if (r->due) {
            r->due = false;
            sync_behind (p, r, status);
        }
    }
    links_dial_soon (p);
}

static void
session_ended (struct peers *p, struct link *l, enum weir_status status, const char *why, bool gone)
{
    struct device *d = l->device;
    /* What this node decided is no error of theirs: rights and blocks tell it. */
    bool ours = !gone && !l->told_bye && (status == WEIR_REFUSED || status == WEIR_REMOVED);
    d->link = NULL;
    d->last_seen_ms = weir_actor_wall_ms (p->actor);
    d->dirty = true;
    d->attempts = 0;
    d->due_ms = weir_actor_now_ms (p->actor) + link_backoff (p, 0);
    if (status != WEIR_EXISTS) {
        device_error (d, ours ? WEIR_OK : status, ours ? "" : why);
        if (is_persistent (status) && !ours) {
            d->due_ms = weir_actor_now_ms (p->actor) + PERSISTENT_DELAY_MS;
        }
        weir_actor_event (p->actor, "peer_disconnected", &d->id, NULL, status, "%s", why);
    }
    rows_flush_later (p);
    links_dial_soon (p);
}

void
link_end (struct peers *p, struct link *l, enum weir_status status, const char *why, bool gone)
{
    if (l->ended) {
        return;
    }
    if (l->in_sync) {
        history_session_down (p, l);
        sync_session_down (p, l);
        blobs_session_down (p, l);
        presence_session_down (p, l);
    }
    if (!gone) {
        if (l->up && status != WEIR_OK && status != WEIR_EXISTS && !l->told_bye) {
            say_bye (p, l, status, why);
        }
        hang_up (p, &l->transport->mailbox, l->number, status);
    }
    l->ended = true;
    weir_actor_timer_cancel (p->actor, l->timer);
    (void) weir_map_remove (p->links, weir_bytes (&l->number, sizeof l->number));
    l->next_ended = p->ended;
    p->ended = l;
    weir_actor_log (p->actor, WEIR_LOG_DEBUG, "link_ended", "address=%s code=%s why=\"%s\"",
                    l->address, weir_status_code (status), why);
    struct device *d = l->device;
    if (d != NULL && d->link == l) {
        session_ended (p, l, status, why, gone);
    }
    if (d != NULL && d->dial == l) {
        d->dial = NULL;
        dial_failed (p, d, status, why);
    }
    if (l->join != NULL) {
        join_link_ended (p, l->join, status);
        l->join = NULL;
    }
    p->look_at_waits = true;
}

void
link_free (struct link *l)
{
    if (l->begun) {
        weir_session_fini (&l->session);
    }
    while (l->n_strangers > 0) {
        peers_card_destroy (&l->strangers[--l->n_strangers]);
    }
    free (l);
}

void
links_free_ended (struct peers *p)
{
    while (p->ended != NULL) {
        struct link *l = p->ended;
        p->ended = l->next_ended;
        link_free (l);
    }
}

void
link_ignored (struct peers *p, struct link *l)
{
    p->ignored++;
    l->transport->ignored++;
}

static void
link_late (void *state, struct weir_actor *actor, void *context)
{
    struct link *l = context;
    (void) actor;
    l->timer = 0;
    link_end (state, l, WEIR_TIMED_OUT, l->up ? "no handshake in time" : "no answer in time",
              false);
}

static void
set_timer (struct peers *p, struct link *l, uint64_t ms)
{
    weir_actor_timer_cancel (p->actor, l->timer);
    l->timer = weir_actor_timer (p->actor, weir_actor_now_ms (p->actor) + ms, link_late, l);
}

static bool
is_known_key (struct peers *p, const struct weir_id *key)
{
    struct weir_bytes id;
    void *value = NULL;
    for (size_t i = 0; weir_map_next (p->devices, &i, &id, &value);) {
        const struct device *d = value;
        for (size_t k = 0; d->card != NULL && k < d->card->n_keys; k++) {
            if (weir_id_equal (&d->card->keys[k], key)) {
                return true;
            }
        }
    }
    return false;
}

void
link_on_up (struct peers *p, const struct weir_envelope *from, const Weir__LinkUp *m)
{
    struct transport *t = transport_find (p, &from->from);
    struct link *l = link_find (p, m->link);
    if (t == NULL || !p->ready || (m->dialled != (l != NULL)) || (l != NULL && l->transport != t)
        || weir_map_count (p->links) >= 2u * WEIR_LINKS_MAX) {
        hang_up (p, &from->from, m->link, WEIR_UNAVAILABLE); /* of before, or too early */
        return;
    }
    if (l == NULL) {
        l = link_new (p, m->link, t);
    }
    l->dialled = m->dialled;
    l->up = true;
    if (weir_field_get_id (&l->our_key, m->has_our_key, m->our_key) != WEIR_OK
        || weir_field_get_id (&l->their_key, m->has_their_key, m->their_key) != WEIR_OK
        || weir_field_get_text (l->address, WEIR_ADDRESS_BYTES_MAX, m->has_address, m->address)
               != WEIR_OK) {
        link_end (p, l, WEIR_BAD_MESSAGE, "a link without keys", false);
        return;
    }
    if (!l->dialled) {
        l->guest = ticket_live (p, &l->their_key) && !is_known_key (p, &l->their_key);
    }
    set_timer (p, l, WEIR_HANDSHAKE_MS);
    session_begin (p, l);
}

/* ---- dialling ---- */

struct link *
link_dial (struct peers *p, const char *address, const struct weir_id *device,
           const struct weir_id *server_key, const uint8_t *client_secret)
{
    struct transport *t = NULL;
    size_t begin = (size_t) weir_rand_below (weir_actor_rand (p->actor), p->n_transports);
    for (size_t i = 0; i < p->n_transports && t == NULL; i++) {
        struct transport *candidate = &p->transports[(begin + i) % p->n_transports];
        if (candidate->up && !candidate->stopped && strcmp (candidate->kind, "curve") == 0) {
            t = candidate;
        }
    }
    if (t == NULL) {
        return NULL;
    }
    uint64_t number;
    do {
        number = weir_rand_u64 (weir_actor_rand (p->actor)) >> 1;
    } while (number == 0 || link_find (p, number) != NULL);
    Weir__Dial m = WEIR__DIAL__INIT;
    m.has_link = m.has_address = m.has_device = m.has_server_key = true;
    m.link = number;
    m.address = weir_field_str (address);
    m.device = weir_field_id (device);
    m.server_key = weir_field_id (server_key);
    if (client_secret != NULL) {
        m.has_client_secret = true;
        m.client_secret = weir_field_of (weir_bytes (client_secret, 32));
    }
    if (weir_actor_send (p->actor, WEIR_KIND_DIAL, &t->mailbox, &m.base, weir_bytes (NULL, 0))
        != WEIR_OK) {
        return NULL;
    }
    struct link *l = link_new (p, number, t);
    l->dialled = true;
    snprintf (l->address, sizeof l->address, "%.*s", (int) WEIR_ADDRESS_BYTES_MAX, address);
    set_timer (p, l, DIAL_PATIENCE_MS);
    return l;
}

static size_t
card_ways (const struct device *d)
{
    return d->card != NULL ? d->card->n_addresses * d->card->n_keys : 0;
}

/* The card's addresses under each of its keys, then what was typed: a way an attempt. */
static bool
pick_way (struct device *d, const char **address, const struct weir_id **key)
{
    size_t ways = card_ways (d);
    size_t all = ways + (d->typed ? 1 : 0);
    if (all == 0) {
        return false;
    }
    size_t way = d->dial_turns++ % all;
    if (way < ways) {
        *address = d->card->addresses[way % d->card->n_addresses];
        *key = &d->card->keys[way / d->card->n_addresses];
    } else {
        *address = d->typed_address;
        *key = &d->typed_key;
    }
    return true;
}

static bool
wants_dial (const struct peers *p, const struct device *d)
{
    if (d->blocked || d->link != NULL || d->dial != NULL || (card_ways (d) == 0 && !d->typed)) {
        return false;
    }
    if (d->added) {
        return true;
    }
    for (const struct relation *r = d->relations; r != NULL; r = r->next) {
        if (r->direction != 0 && relation_valid (p, r)) {
            return true;
        }
    }
    return false;
}

static int
compare_due (const void *a, const void *b)
{
    const struct device *x = *(struct device *const *) a;
    const struct device *y = *(struct device *const *) b;
    return x->due_ms < y->due_ms ? -1 : x->due_ms > y->due_ms;
}

static void
dial_device (struct peers *p, struct device *d)
{
    const char *address = NULL;
    const struct weir_id *key = NULL;
    if (!pick_way (d, &address, &key)) {
        return;
    }
    struct link *l = link_dial (p, address, &d->id, key, NULL);
    if (l != NULL) {
        l->device = d;
        d->dial = l;
    } else {
        d->due_ms = weir_actor_now_ms (p->actor) + WEIR_RECONNECT_MS_MIN;
    }
}

static void
dial_due (void *state, struct weir_actor *actor, void *context)
{
    struct peers *p = state;
    uint64_t now = weir_actor_now_ms (actor);
    struct device **due = NULL;
    size_t n = 0;
    size_t cap = 0;
    size_t busy = 0;
    bool waiting = false;
    struct weir_bytes key;
    void *value = NULL;
    (void) context;
    p->dial_timer = 0;
    for (size_t i = 0; weir_map_next (p->devices, &i, &key, &value);) {
        struct device *d = value;
        busy += d->dial != NULL;
        if (wants_dial (p, d)) {
            waiting = true;
            if (d->due_ms <= now) {
                weir_grow (&due, &cap, n + 1, sizeof *due);
                due[n++] = d;
            }
        }
    }
    if (n > 1) {
        qsort (due, n, sizeof *due, compare_due);
    }
    for (size_t i = 0; i < n && busy < WEIR_DIAL_FAST_MAX; i++, busy++) {
        dial_device (p, due[i]);
    }
    free (due);
    join_dial (p, now);
    for (size_t i = 0; i < p->n_transports; i++) {
        if (p->transports[i].up && weir_id_is_zero (&p->transports[i].admitted)) {
            members_admit (p, &p->transports[i], true); /* a full mailbox refused it */
        }
    }
    if (waiting || p->n_joins > 0) {
        links_dial_soon (p);
    }
}

void
links_dial_soon (struct peers *p)
{
    if (p->dial_timer == 0 && p->ready) {
        p->dial_timer = weir_actor_timer (p->actor, weir_actor_now_ms (p->actor) + DIAL_LOOK_MS,
                                          dial_due, NULL);
    }
}
