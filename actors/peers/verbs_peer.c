/* What clients ask about peers and transports. Reads answer from memory, but for lag, which the
 * store counts; writes answer once they are on disk. */

#include "actors/peers/history.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store/sync/retry.h"

#define PING_MS 5000u

void
verb_answer (struct peers *p, const struct weir_envelope *request, const ProtobufCMessage *meta)
{
    if (protobuf_c_message_get_packed_size (meta) > WEIR_MESSAGE_META_BYTES_MAX) {
        struct weir_error e = { 0 };
        weir_error_set (&e, WEIR_TOO_LARGE, "name one peer or one database",
                        "the answer does not fit into one message");
        weir_actor_fail (p->actor, request, WEIR_TOO_LARGE, &e);
        return;
    }
    weir_actor_answer (p->actor, request, meta, weir_bytes (NULL, 0), false);
}

bool
verb_not_ready (struct peers *p, const struct weir_message *message)
{
    if (!p->ready) {
        struct weir_error e = { 0 };
        weir_error_set (&e, WEIR_UNAVAILABLE, "try again shortly", "peers is still starting");
        weir_actor_fail (p->actor, &message->envelope, WEIR_UNAVAILABLE, &e);
    }
    return !p->ready;
}

/* ---- answered once it is on disk ---- */

struct later {
    struct weir_envelope request;
    struct weir_id device;
    bool says_device;
};

static void
flushed (void *state, struct weir_actor *actor, void *context, enum weir_status status,
         const struct weir_error *problem, const struct weir_message *answer)
{
    struct later *later = context;
    Weir__PeerId m = WEIR__PEER_ID__INIT;
    (void) state;
    (void) answer;
    m.has_device = true;
    m.device = weir_field_id (&later->device);
    if (status != WEIR_OK) {
        weir_actor_fail (actor, &later->request, status, problem);
    } else {
        weir_actor_answer (actor, &later->request, later->says_device ? &m.base : NULL,
                           weir_bytes (NULL, 0), false);
    }
    free (later);
}

void
verb_answer_flushed (struct peers *p, const struct weir_envelope *request,
                     const struct weir_id *device)
{
    struct later *later = weir_alloc (sizeof *later);
    later->request = *request;
    if (device != NULL) {
        later->device = *device;
        later->says_device = true;
    }
    rows_flush (p, flushed, later);
}

/* ---- listing ---- */

struct slot {
    struct listing *listing;
    struct weir_id device;
    struct weir_id db;
    bool known;
    uint64_t entries;
    uint64_t oldest_ms;
};

struct listing {
    struct weir_envelope request;
    bool one;
    struct weir_id device; /* the one */
    size_t waiting;
    size_t n;
    struct slot *slots; /* one for each pair whose lag was asked */
};

static const char *
device_state (const struct device *d)
{
    if (d->blocked) {
        return "blocked";
    }
    if (d->link != NULL) {
        return "connected";
    }
    if (weir_retry_is_persistent (d->last_error)) {
        return "parked";
    }
    return d->dial != NULL && d->dial->up ? "connecting" : "absent";
}

static bool
is_listed (const struct device *d)
{
    for (const struct relation *r = d->relations; r != NULL; r = r->next) {
        if (r->direction != 0) {
            return true;
        }
    }
    return d->added || d->blocked || d->link != NULL;
}

static void
put_reason (struct peers *p, const struct device *d, struct weir_arena *arena, Weir__Peer *m)
{
    enum weir_status status = d->link != NULL ? WEIR_OK : d->last_error;
    const char *text = d->link != NULL ? "" : device_why (d);
    for (const struct relation *r = d->relations; r != NULL && status == WEIR_OK; r = r->next) {
        struct weir_sync_state s;
        if (r->shared && weir_sync_find (p->sync, &d->id, &r->db, &s)) {
            status = s.last_error;
            text = weir_status_code (s.last_error);
        } else if (r->removed) {
            status = WEIR_NOT_MEMBER;
            text = "it was removed from a database";
        }
    }
    if (status == WEIR_OK && d->link == NULL) {
        bool dialable = d->typed || (d->card != NULL && d->card->n_addresses > 0);
        status = WEIR_NOT_REACHABLE_OR_NOT_ADMITTED;
        text = dialable ? "not connected yet" : "no address of it is known: it must dial us";
    }
    m->has_reason = m->has_reason_text = true;
    m->reason = (uint32_t) status;
    m->reason_text = wire_copy_str (arena, status == WEIR_OK ? "" : text);
}

static Weir__Peer *
peer_message (struct peers *p, struct device *d, const struct listing *listing,
              struct weir_arena *arena)
{
    static const char *const roles[] = { "leaf", "hub", "relay" };
    Weir__Peer *m = weir_arena_alloc (arena, sizeof *m);
    if (m == NULL) {
        return NULL;
    }
    *m = (Weir__Peer) WEIR__PEER__INIT;
    m->has_device = m->has_name = m->has_state = m->has_role = m->has_blocked = true;
    m->device = wire_copy_id (arena, &d->id);
    m->name = wire_copy_str (arena, device_name (p, d));
    m->state = weir_field_str (device_state (d));
    m->role = weir_field_str (roles[d->role <= WEIR_ROLE_RELAY ? d->role : 0]);
    m->blocked = d->blocked;
    m->has_first_seen_ms = m->has_last_seen_ms = true;
    m->first_seen_ms = d->first_seen_ms;
    m->last_seen_ms = d->link != NULL ? weir_actor_wall_ms (p->actor) : d->last_seen_ms;
    m->has_sent_entries = m->has_received_entries = true;
    m->sent_entries = d->sent;
    m->received_entries = d->received;
    put_reason (p, d, arena, m);
    m->figures = history_figures_make (p, &d->id, arena);
    m->addresses = weir_arena_array (arena, WEIR_CARD_ADDRESSES_MAX + 1, sizeof *m->addresses);
    for (size_t i = 0; d->card != NULL && m->addresses != NULL && i < d->card->n_addresses; i++) {
        m->addresses[m->n_addresses++] = wire_copy_str (arena, d->card->addresses[i]);
    }
    if (d->typed && m->addresses != NULL) {
        m->addresses[m->n_addresses++] = wire_copy_str (arena, d->typed_address);
    }
    m->has_lag_known = m->has_lag_entries = m->has_lag_oldest_ms = m->lag_known = true;
    for (size_t i = 0; i < listing->n; i++) {
        const struct slot *s = &listing->slots[i];
        if (weir_id_equal (&s->device, &d->id)) {
            m->lag_known = m->lag_known && s->known;
            m->lag_entries += s->entries;
            m->lag_oldest_ms = s->oldest_ms > m->lag_oldest_ms ? s->oldest_ms : m->lag_oldest_ms;
        }
    }
    return m;
}

static void
put_pairs (struct peers *p, struct device *d, const struct listing *listing,
           struct weir_arena *arena, Weir__Peer *m)
{
    size_t n = 0;
    for (struct relation *r = d->relations; r != NULL; r = r->next) {
        n++;
    }
    m->pairs = weir_arena_array (arena, n + 1, sizeof *m->pairs);
    for (struct relation *r = d->relations; r != NULL && m->pairs != NULL; r = r->next) {
        Weir__Pair *pair = verb_pair (p, r, arena);
        for (size_t i = 0; pair != NULL && i < listing->n; i++) {
            const struct slot *s = &listing->slots[i];
            if (weir_id_equal (&s->device, &d->id) && weir_id_equal (&s->db, &r->db)) {
                pair->has_lag_known = pair->has_lag_entries = pair->has_lag_oldest_ms = true;
                pair->lag_known = s->known;
                pair->lag_entries = s->entries;
                pair->lag_oldest_ms = s->oldest_ms;
            }
        }
        if (pair != NULL) {
            m->pairs[m->n_pairs++] = pair;
        }
    }
}

static void
listing_done (struct peers *p, struct listing *listing)
{
    struct weir_arena *arena = weir_arena_new (4u * WEIR_UNPACK_BYTES_MAX);
    Weir__Peers answer = WEIR__PEERS__INIT;
    struct weir_bytes key;
    void *value = NULL;
    answer.items = weir_arena_array (arena, weir_map_count (p->devices) + 1, sizeof *answer.items);
    for (size_t i = 0; answer.items != NULL && weir_map_next (p->devices, &i, &key, &value);) {
        struct device *d = value;
        if (listing->one ? !weir_id_equal (&d->id, &listing->device) : !is_listed (d)) {
            continue;
        }
        Weir__Peer *m = peer_message (p, d, listing, arena);
        if (m == NULL) {
            break;
        }
        if (listing->one) {
            put_pairs (p, d, listing, arena, m);
        }
        answer.items[answer.n_items++] = m;
    }
    verb_answer (p, &listing->request, &answer.base);
    weir_arena_destroy (&arena);
    free (listing->slots);
    free (listing);
}

static void
lag_known (struct peers *p, void *context, bool known, uint64_t entries, uint64_t oldest_ms)
{
    struct slot *s = context;
    s->known = known;
    s->entries = entries;
    s->oldest_ms = oldest_ms;
    if (--s->listing->waiting == 0) {
        listing_done (p, s->listing);
    }
}

void
verb_peer_list (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct peers *p = state;
    const Weir__PeerName *ask = (const Weir__PeerName *) message->meta;
    struct weir_error e = { 0 };
    struct device *only = NULL;
    struct weir_bytes key;
    void *value = NULL;
    if (verb_not_ready (p, message)) {
        return;
    }
    if (ask->has_peer && ask->peer.len > 0) {
        enum weir_status status = device_resolve (p, true, ask->peer, &only, &e);
        if (status != WEIR_OK) {
            weir_actor_fail (actor, &message->envelope, status, &e);
            return;
        }
    }
    struct listing *listing = weir_alloc (sizeof *listing);
    listing->request = message->envelope;
    listing->one = only != NULL;
    listing->device = only != NULL ? only->id : weir_id_zero;
    struct relation **relations = NULL;
    size_t cap = 0;
    for (size_t i = 0; weir_map_next (p->devices, &i, &key, &value);) {
        struct device *d = value;
        for (struct relation *r = d->relations; r != NULL; r = r->next) {
            if (r->direction != 0 && relation_valid (p, r) && (only == NULL || only == d)) {
                weir_grow (&relations, &cap, listing->n + 1, sizeof *relations);
                relations[listing->n++] = r;
            }
        }
    }
    listing->slots = weir_alloc ((listing->n + 1) * sizeof *listing->slots);
    listing->waiting = listing->n + 1;
    for (size_t i = 0; i < listing->n; i++) {
        listing->slots[i] = (struct slot){ .listing = listing,
                                           .device = relations[i]->device->id,
                                           .db = relations[i]->db };
        known_lag (p, relations[i], lag_known, &listing->slots[i]);
    }
    free (relations);
    if (--listing->waiting == 0) {
        listing_done (p, listing);
    }
}

/* ---- ourselves ---- */

void
verb_answer_self (struct peers *p, const struct weir_envelope *request)
{
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    ProtobufCBinaryData addresses[WEIR_CARD_ADDRESSES_MAX];
    ProtobufCBinaryData keys[PEERS_CARD_KEYS_MAX];
    const struct weir_id *shown = members_shown_key (p);
    Weir__PeerSelf m = WEIR__PEER_SELF__INIT;
    m.has_device = m.has_name = true;
    m.device = weir_field_id (&p->device);
    m.name = weir_field_str (p->name);
    m.addresses = addresses;
    m.link_keys = keys;
    if (p->card != NULL) {
        m.has_counter = true;
        m.counter = p->card->counter;
        m.card = peers_card_message (p->card, arena);
        for (size_t i = 0; i < p->card->n_addresses; i++) {
            addresses[m.n_addresses++] = weir_field_str (p->card->addresses[i]);
        }
        keys[m.n_link_keys++] = weir_field_id (shown); /* the one to dial with comes first */
        for (size_t i = 0; i < p->card->n_keys; i++) {
            if (!weir_id_equal (&p->card->keys[i], shown)) {
                keys[m.n_link_keys++] = weir_field_id (&p->card->keys[i]);
            }
        }
    }
    verb_answer (p, request, &m.base);
    weir_arena_destroy (&arena);
}

void
verb_peer_self (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    (void) actor;
    if (!verb_not_ready (state, message)) {
        verb_answer_self (state, &message->envelope);
    }
}

void
verb_rotate_link (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct peers *p = state;
    if (verb_not_ready (p, message)) {
        return;
    }
    if (p->rotate_asked) {
        weir_actor_fail (actor, &message->envelope, WEIR_BUSY, NULL);
        return;
    }
    p->rotate = true;
    p->rotate_asked = true;
    p->rotate_request = message->envelope;
    cards_sign (p);
}

/* ---- adding, removing, blocking ---- */

void
verb_peer_add (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct peers *p = state;
    const Weir__PeerAdd *ask = (const Weir__PeerAdd *) message->meta;
    char text[WEIR_ADDRESS_BYTES_MAX + 2 * WEIR_ID_TEXT + 32];
    struct peers_address address;
    struct weir_error e = { 0 };
    if (verb_not_ready (p, message)) {
        return;
    }
    enum weir_status status =
        weir_field_get_text (text, sizeof text - 1, ask->has_address, ask->address);
    if (status != WEIR_OK) {
        status = weir_error_set (&e, WEIR_BAD_ADDRESS, NULL, "the address is too long, or no text");
    } else {
        status = peers_address_parse (&address, text, &e);
    }
    if (status == WEIR_OK && weir_id_equal (&address.device, &p->device)) {
        status = weir_error_set (&e, WEIR_OWN_DEVICE, NULL, "this is the address of this node");
    }
    if (status != WEIR_OK) {
        weir_actor_fail (actor, &message->envelope, status, &e);
        return;
    }
    struct device *d = device_need (p, &address.device);
    d->added = d->typed = d->dirty = true;
    d->typed_key = address.key;
    device_text (&d->typed_address, weir_bytes_str (address.address), WEIR_ADDRESS_BYTES_MAX);
    d->due_ms = 0;
    d->attempts = 0;
    members_apply (p);
    verb_answer_flushed (p, &message->envelope, &d->id);
}

static struct device *
named (struct peers *p, const struct weir_message *message, bool has, ProtobufCBinaryData text)
{
    struct weir_error e = { 0 };
    struct device *d = NULL;
    if (verb_not_ready (p, message)) {
        return NULL;
    }
    enum weir_status status = device_resolve (p, has, text, &d, &e);
    if (status != WEIR_OK) {
        weir_actor_fail (p->actor, &message->envelope, status, &e);
        return NULL;
    }
    return d;
}

void
verb_peer_remove (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct peers *p = state;
    const Weir__PeerName *ask = (const Weir__PeerName *) message->meta;
    struct device *d = named (p, message, ask->has_peer, ask->peer);
    (void) actor;
    if (d == NULL) {
        return;
    }
    d->added = d->typed = false;
    d->dirty = true;
    while (d->relations != NULL) {
        struct relation *r = d->relations;
        struct weir_sync_event e = { .type = WEIR_SYNC_UNSHARE, .device = d->id, .db = r->db };
        sync_step (p, &e);
        rows_forget_relation (p, r);
        d->relations = r->next;
        relation_free (r);
    }
    if (d->dial != NULL) {
        link_end (p, d->dial, WEIR_CANCELLED, "the peer was removed", false);
    }
    if (d->link != NULL) {
        link_end (p, d->link, WEIR_REFUSED, "the peer was removed", false);
    }
    device_drop (p, d);
    members_apply (p);
    verb_answer_flushed (p, &message->envelope, NULL);
}

void
verb_peer_block (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct peers *p = state;
    const Weir__PeerBlock *ask = (const Weir__PeerBlock *) message->meta;
    struct device *d = named (p, message, ask->has_peer, ask->peer);
    (void) actor;
    if (d == NULL) {
        return;
    }
    d->blocked = !ask->off;
    d->dirty = true;
    d->due_ms = 0;
    if (d->blocked && d->dial != NULL) {
        link_end (p, d->dial, WEIR_BLOCKED, "the peer was blocked", false);
    }
    members_apply (p);
    verb_answer_flushed (p, &message->envelope, NULL);
}

/* ---- ping ---- */

struct ping {
    struct ping *next;
    uint64_t number;
    uint64_t link;
    uint64_t sent_us;
    uint64_t timer;
    struct weir_id device;
    struct weir_envelope request;
};

static uint64_t
now_us (void)
{
    struct timespec t;
    clock_gettime (CLOCK_MONOTONIC, &t);
    return (uint64_t) t.tv_sec * 1000000u + (uint64_t) t.tv_nsec / 1000u;
}

static void
ping_drop (struct peers *p, struct ping *ping)
{
    for (struct ping **at = &p->pings; *at != NULL; at = &(*at)->next) {
        if (*at == ping) {
            *at = ping->next;
            break;
        }
    }
    weir_actor_timer_cancel (p->actor, ping->timer);
    free (ping);
}

static void
ping_late (void *state, struct weir_actor *actor, void *context)
{
    struct ping *ping = context;
    ping->timer = 0;
    weir_actor_fail (actor, &ping->request, WEIR_TIMED_OUT, NULL);
    ping_drop (state, ping);
}

void
verb_peer_ping (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct peers *p = state;
    const Weir__PeerName *ask = (const Weir__PeerName *) message->meta;
    struct device *d = named (p, message, ask->has_peer, ask->peer);
    if (d == NULL) {
        return;
    }
    if (d->link == NULL) {
        struct weir_error e = { 0 };
        enum weir_status why =
            d->last_error != WEIR_OK ? d->last_error : WEIR_NOT_REACHABLE_OR_NOT_ADMITTED;
        weir_error_set (&e, why, NULL, "there is no session with %s%s%s", device_name (p, d),
                        d->last_why != NULL ? ": " : "", device_why (d));
        weir_actor_fail (actor, &message->envelope, why, &e);
        return;
    }
    struct ping *ping = weir_alloc (sizeof *ping);
    ping->number = weir_rand_u64 (weir_actor_rand (actor));
    ping->link = d->link->number;
    ping->device = d->id;
    ping->request = message->envelope;
    ping->sent_us = now_us ();
    ping->timer = weir_actor_timer (actor, weir_actor_now_ms (actor) + PING_MS, ping_late, ping);
    ping->next = p->pings;
    p->pings = ping;
    Weir__PingPong m = WEIR__PING_PONG__INIT;
    m.has_number = true;
    m.number = ping->number;
    link_say (p, d->link, WEIR_KIND_W_PING, &m.base);
}

void
verb_pinged (struct peers *p, const struct link *l, const Weir__PingPong *m)
{
    for (struct ping *ping = p->pings; ping != NULL; ping = ping->next) {
        if (ping->number == m->number && ping->link == l->number) {
            Weir__PeerPinged answer = WEIR__PEER_PINGED__INIT;
            answer.has_device = answer.has_rtt_us = true;
            answer.device = weir_field_id (&ping->device);
            answer.rtt_us = now_us () - ping->sent_us;
            verb_answer (p, &ping->request, &answer.base);
            ping_drop (p, ping);
            return;
        }
    }
    p->ignored++;
}

void
verb_pings_free (struct peers *p)
{
    while (p->pings != NULL) {
        ping_drop (p, p->pings);
    }
}
