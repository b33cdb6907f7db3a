/* Sessions: Hello and Proof over a link (store/sync/session.h decides), what may be said when,
 * one session a device, and cards, which travel on any session to whom they concern. */

#include "actors/peers/state.h"

#include <stdlib.h>
#include <string.h>

#define CARDS_PER_MESSAGE 64u
#define CARDS_READ_MAX 256u
#define FLOOD_TOLD_MS 10000u

/* ---- the handshake ---- */

static uint32_t
own_role (const struct peers *p)
{
    const char *role = weir_actor_settings (p->actor)->role;
    return strcmp (role, "hub") == 0 ? WEIR_ROLE_HUB : WEIR_ROLE_LEAF;
}

void
session_begin (struct peers *p, struct link *l)
{
    struct weir_hello ours = { .protocol_min = WEIR_PROTOCOL_MIN,
                               .protocol_max = WEIR_PROTOCOL_MAX,
                               .role = own_role (p),
                               .device = p->device };
    if (!weir_actor_settings (p->actor)->forward) {
        ours.features = WEIR_FEATURE_KEEPS;
    }
    struct weir_link_key fresh;
    struct weir_id expected = weir_id_zero;
    weir_random (ours.challenge.b, sizeof ours.challenge.b);
    weir_link_key_make (&fresh); /* CURVE seals the link: only the public half is of use */
    ours.exchange_key = fresh.public_key;
    weir_wipe (&fresh, sizeof fresh);
    do {
        weir_random (&ours.epoch, sizeof ours.epoch);
    } while (ours.epoch == 0);
    if (l->join != NULL) {
        expected = l->join->card->device;
    } else if (l->device != NULL) {
        expected = l->device->id;
    }
    weir_session_init (&l->session, l->dialled ? WEIR_INITIATOR : WEIR_RESPONDER, &ours,
                       l->dialled ? &l->our_key : &l->their_key,
                       l->dialled ? &l->their_key : &l->our_key, &expected,
                       weir_actor_now_ms (p->actor));
    l->begun = true;
    if (l->dialled) {
        session_say_hello (p, l);
    }
}

void
session_say_hello (struct peers *p, struct link *l)
{
    const struct weir_hello *ours = &l->session.ours;
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    struct weir_buf packed = { 0 };
    Weir__Hello m = WEIR__HELLO__INIT;
    m.has_protocol_min = m.has_protocol_max = m.has_features = m.has_role = true;
    m.has_device = m.has_challenge = m.has_exchange_key = m.has_epoch = true;
    m.protocol_min = ours->protocol_min;
    m.protocol_max = ours->protocol_max;
    m.features = ours->features;
    m.role = ours->role;
    m.device = weir_field_id (&ours->device);
    m.challenge = weir_field_id (&ours->challenge);
    m.exchange_key = weir_field_id (&ours->exchange_key);
    m.epoch = ours->epoch;
    m.card = p->card != NULL ? peers_card_message (p->card, arena) : NULL;
    if (l->device != NULL && l->device->card != NULL) {
        m.has_card_seen = true;
        m.card_seen = l->device->card->counter;
    }
    weir_meta_put (&packed, &m.base);
    weir_session_sent (&l->session, weir_buf_bytes (&packed));
    link_say_bytes (p, l, WEIR_KIND_W_HELLO, weir_buf_bytes (&packed));
    weir_buf_fini (&packed);
    weir_arena_destroy (&arena);
}

static void opened (struct peers *p, struct link *l);

static void
signed_proof (void *state, struct weir_actor *actor, void *context, enum weir_status status,
              const struct weir_error *problem, const struct weir_message *answer)
{
    struct peers *p = state;
    uint64_t *number = context;
    struct link *l = link_find (p, *number);
    (void) actor;
    (void) problem;
    free (number);
    if (l == NULL || l->ended) {
        return;
    }
    const Weir__Signature *m =
        status == WEIR_OK && answer != NULL ? (const Weir__Signature *) answer->meta : NULL;
    if (m == NULL || !m->has_signature || m->signature.len != WEIR_SIGNATURE_BYTES) {
        link_end (p, l, WEIR_UNAVAILABLE, "the store did not sign", false);
        return;
    }
    Weir__Proof proof = WEIR__PROOF__INIT;
    proof.has_signature = true;
    proof.signature = m->signature;
    link_say (p, l, WEIR_KIND_W_PROOF, &proof.base);
    weir_session_proof_sent (&l->session);
    if (weir_session_open (&l->session)) {
        opened (p, l);
    }
}

static void
ask_signature (struct peers *p, struct link *l)
{
    struct weir_buf claim = { 0 };
    uint64_t *number = weir_alloc (sizeof *number);
    Weir__SignAsk m = WEIR__SIGN_ASK__INIT;
    *number = l->number;
    weir_session_claim (&l->session, l->session.role, &claim);
    m.has_claim = true;
    m.claim = weir_field_of (weir_buf_bytes (&claim));
    (void) weir_actor_ask (p->actor, WEIR_KIND_SIGN_PROOF, NULL, &m.base, weir_bytes (NULL, 0),
                           WEIR_HANDSHAKE_MS, signed_proof, number);
    weir_buf_fini (&claim);
}

static void
on_hello (struct peers *p, struct link *l, const Weir__Hello *m, struct weir_bytes bytes)
{
    struct weir_hello theirs = { .protocol_min = m->protocol_min,
                                 .protocol_max = m->protocol_max,
                                 .features = m->features,
                                 .role = m->role,
                                 .epoch = m->epoch };
    enum weir_status status = weir_field_get_id (&theirs.device, m->has_device, m->device);
    if (status == WEIR_OK) {
        status = weir_field_get_id (&theirs.challenge, m->has_challenge, m->challenge);
    }
    if (status == WEIR_OK) {
        status = weir_field_get_id (&theirs.exchange_key, m->has_exchange_key, m->exchange_key);
    }
    if (status == WEIR_OK) {
        status = weir_session_hello (&l->session, &theirs, bytes);
    }
    if (status != WEIR_OK) {
        link_ignored (p, l);
        weir_actor_event (p->actor, "bad_hello", NULL, NULL, status, "address=%s", l->address);
        link_end (p, l, status, "the Hello was refused", false);
        return;
    }
    if (!l->dialled) {
        session_say_hello (p, l);
    }
    ask_signature (p, l);
}

static void
on_proof (struct peers *p, struct link *l, const Weir__Proof *m)
{
    struct weir_signature signature;
    enum weir_status status = WEIR_BAD_PROOF;
    if (m->has_signature && m->signature.len == sizeof signature.b) {
        memcpy (signature.b, m->signature.data, sizeof signature.b);
        status = weir_session_proof (&l->session, &signature);
    }
    if (status != WEIR_OK) {
        weir_actor_event (p->actor, "bad_proof", &l->session.theirs.device, NULL, status,
                          "address=%s", l->address);
        link_end (p, l, status, "the Proof was refused", false);
    } else if (weir_session_open (&l->session)) {
        opened (p, l);
    }
}

/* ---- one session a device ---- */

/* Both may have dialled: the link dialled by the smaller id stays. Of two dialled by the same
 * side the older is stale. */
static bool
newer_stays (const struct peers *p, const struct link *older, const struct link *newer)
{
    if (older->dialled == newer->dialled) {
        return true;
    }
    bool ours_smaller = weir_id_compare (&p->device, &newer->session.theirs.device) < 0;
    return newer->dialled == ours_smaller;
}

/* What their Hello said beside the handshake, now that it is proven to be theirs. */
static void
take_hello (struct peers *p, struct link *l, struct device *d)
{
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    ProtobufCMessage *message = NULL;
    struct peers_card *card = NULL;
    if (weir_meta_unpack (&message, arena, &weir__hello__descriptor,
                          weir_buf_bytes (&l->session.their_hello))
        == WEIR_OK) {
        const Weir__Hello *m = (const Weir__Hello *) message;
        if (p->card != NULL && m->has_card_seen && m->card_seen <= p->card->counter) {
            d->card_acked = m->card_seen;
        } else if (m->has_card_seen && p->card != NULL) {
            p->card_seen = m->card_seen; /* from before a restore: sign one above it */
            cards_sign (p);
        }
        if (m->card != NULL && peers_card_read (&card, m->card) == WEIR_OK
            && weir_id_equal (&card->device, &d->id)) {
            if (device_take_card (p, d, &card)) {
                cards_forward (p, l, d);
            }
        }
        peers_card_destroy (&card);
    }
    weir_arena_destroy (&arena);
}

static void
opened (struct peers *p, struct link *l)
{
    const struct weir_id *id = &l->session.theirs.device;
    weir_actor_timer_cancel (p->actor, l->timer);
    l->timer = 0;
    l->opened = true;
    l->key = weir_session_key (&l->session);
    if (l->guest) {
        if (l->join != NULL) {
            join_opened (p, l);
        }
        return;
    }
    struct device *d = device_find (p, id);
    if (d == NULL || !device_allowed (p, d)) {
        enum weir_status status = d != NULL && d->blocked ? WEIR_BLOCKED : WEIR_REFUSED;
        link_ignored (p, l);
        weir_actor_event (p->actor, "peer_refused", id, NULL, status, "address=%s", l->address);
        link_end (p, l, status, "nothing is shared with this device", false);
        return;
    }
    if (d->dial == l) {
        d->dial = NULL;
    }
    l->device = d;
    if (d->link != NULL && !newer_stays (p, d->link, l)) {
        link_end (p, l, WEIR_EXISTS, "another link serves", false);
        return;
    }
    struct link *older = d->link;
    d->link = l;
    if (older != NULL) {
        link_end (p, older, WEIR_EXISTS, "another link serves", false);
    }
    uint64_t wall = weir_actor_wall_ms (p->actor);
    d->attempts = 0;
    d->role = l->session.theirs.role;
    d->first_seen_ms = d->first_seen_ms != 0 ? d->first_seen_ms : wall;
    d->last_seen_ms = wall;
    device_error (d, WEIR_OK, "");
    d->dirty = true;
    rows_flush_later (p);
    take_hello (p, l, d);
    weir_actor_event (p->actor, "peer_connected", &d->id, NULL, WEIR_OK, "address=%s", l->address);
    sync_session_up (p, l);
    session_say_cards (p, l, NULL);
    members_apply (p);
    p->look_at_waits = true;
}

/* ---- cards ---- */

/* Are both members of a database that is here? */
static bool
concerns (const struct peers *p, const struct device *about, const struct device *whom)
{
    struct weir_bytes key;
    void *value = NULL;
    for (size_t i = 0; weir_map_next (p->databases, &i, &key, &value);) {
        const struct member *a = database_member (value, &about->id);
        const struct member *b = database_member (value, &whom->id);
        if (a != NULL && b != NULL && a->right > 0 && b->right > 0) {
            return true;
        }
    }
    return false;
}

static void
send_cards (struct peers *p, struct link *l, Weir__Card **cards, size_t n)
{
    Weir__Cards m = WEIR__CARDS__INIT;
    m.cards = cards;
    m.n_cards = n;
    if (l->device->card != NULL) {
        m.has_seen = true;
        m.seen = l->device->card->counter;
    }
    link_say (p, l, WEIR_KIND_W_CARDS, &m.base);
}

void
session_say_cards (struct peers *p, struct link *l, const struct device *only)
{
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    Weir__Card *cards[CARDS_PER_MESSAGE];
    size_t n = 0;
    struct weir_bytes key;
    void *value = NULL;
    if ((only == NULL || only == l->device) && p->card != NULL) {
        cards[n] = peers_card_message (p->card, arena);
        n += cards[n] != NULL;
    }
    for (size_t i = 0; weir_map_next (p->devices, &i, &key, &value);) {
        const struct device *d = value;
        if (d->card == NULL || d == l->device || (only != NULL && d != only)
            || !concerns (p, d, l->device)) {
            continue;
        }
        cards[n] = peers_card_message (d->card, arena);
        n += cards[n] != NULL;
        if (n == CARDS_PER_MESSAGE) {
            send_cards (p, l, cards, n);
            weir_arena_reset (arena);
            n = 0;
        }
    }
    if (n > 0) {
        send_cards (p, l, cards, n);
    }
    weir_arena_destroy (&arena);
}

void
cards_forward (struct peers *p, const struct link *from, const struct device *about)
{
    struct weir_bytes key;
    void *value = NULL;
    for (size_t i = 0; weir_map_next (p->links, &i, &key, &value);) {
        struct link *l = value;
        if (l != from && l->in_sync && !l->ended && l->device != about) {
            session_say_cards (p, l, about);
        }
    }
}

/* A member that we do not know as one yet: the settings that let it in are still on their way.
 * What is kept is bounded; the next session tells the rest again. */
static void
keep_stranger (struct peers *p, struct link *l, struct peers_card **card_p)
{
    if (l->n_strangers < PEERS_STRANGERS_MAX) {
        l->strangers[l->n_strangers++] = *card_p;
        *card_p = NULL;
    } else {
        link_ignored (p, l);
        peers_card_destroy (card_p);
    }
}

/* True when it changed what we know. */
static bool
learn_card (struct peers *p, struct link *l, struct peers_card **card_p)
{
    struct weir_id device = (*card_p)->device;
    struct device *d = device_find (p, &device);
    if (d == NULL && device_is_member (p, &device)) {
        d = device_need (p, &device);
    }
    if (d == NULL) {
        keep_stranger (p, l, card_p);
        return false;
    }
    bool newer = device_take_card (p, d, card_p);
    if (newer) {
        cards_forward (p, l, d);
    }
    return newer;
}

void
sessions_take_strangers (struct peers *p)
{
    struct weir_bytes key;
    void *value = NULL;
    for (size_t i = 0; weir_map_next (p->links, &i, &key, &value);) {
        struct link *l = value;
        size_t n = l->ended ? 0 : l->n_strangers;
        l->n_strangers -= n;
        for (size_t k = 0; k < n; k++) { /* each is kept again, or taken */
            struct peers_card *card = l->strangers[k];
            l->strangers[k] = NULL;
            (void) learn_card (p, l, &card);
        }
    }
}

static bool
take_card (struct peers *p, struct link *l, const Weir__Card *m)
{
    struct peers_card *card = NULL;
    if (peers_card_read (&card, m) != WEIR_OK) {
        link_ignored (p, l);
        weir_actor_log (p->actor, WEIR_LOG_WARN, "bad_card", "from=%s",
                        weir_id_text (&l->device->id).s);
        return false;
    }
    if (weir_id_equal (&card->device, &p->device)) {
        if (p->card != NULL && card->counter > p->card->counter) {
            p->card_seen = card->counter; /* ours of before a restore */
            cards_sign (p);
        }
        peers_card_destroy (&card);
        return false;
    }
    return learn_card (p, l, &card);
}

static void
on_cards (struct peers *p, struct link *l, const Weir__Cards *m)
{
    uint64_t before = l->device->card != NULL ? l->device->card->counter : 0;
    bool changed = false;
    for (size_t i = 0; i < m->n_cards && i < CARDS_READ_MAX; i++) {
        changed = take_card (p, l, m->cards[i]) || changed;
    }
    if (m->has_seen && p->card != NULL && m->seen <= p->card->counter
        && m->seen > l->device->card_acked) {
        l->device->card_acked = m->seen;
        l->device->dirty = true;
        rows_flush_later (p);
        changed = true;
    }
    if (l->device->card != NULL && l->device->card->counter > before) {
        send_cards (p, l, NULL, 0); /* acknowledged */
    }
    if (changed) {
        members_apply (p);
    }
}

void
cards_tell_own (struct peers *p)
{
    struct weir_bytes key;
    void *value = NULL;
    for (size_t i = 0; weir_map_next (p->links, &i, &key, &value);) {
        struct link *l = value;
        if (l->in_sync && !l->ended) {
            session_say_cards (p, l, l->device); /* ours alone: nobody else's fits */
        }
    }
}

static void
card_signed (void *state, struct weir_actor *actor, void *context, enum weir_status status,
             const struct weir_error *problem, const struct weir_message *answer)
{
    struct peers *p = state;
    struct peers_card *card = NULL;
    (void) context;
    p->signing_card = false;
    if (status == WEIR_OK && answer != NULL && answer->meta != NULL
        && peers_card_read (&card, (const Weir__Card *) answer->meta) == WEIR_OK
        && weir_id_equal (&card->device, &p->device)) {
        bool changed = p->card == NULL || p->card->counter != card->counter;
        peers_card_destroy (&p->card);
        p->card = card;
        card = NULL;
        if (changed) {
            cards_tell_own (p);
            members_apply (p);
        }
    } else {
        weir_actor_log (actor, WEIR_LOG_WARN, "card_not_signed", "code=%s",
                        weir_status_code (status));
    }
    peers_card_destroy (&card);
    if (p->sign_again) {
        p->sign_again = false;
        cards_sign (p);
    } else if (p->rotate_asked) {
        p->rotate_asked = false;
        if (status == WEIR_OK) {
            verb_answer_self (p, &p->rotate_request);
        } else {
            weir_actor_fail (actor, &p->rotate_request, status, problem);
        }
    }
}

void
cards_sign (struct peers *p)
{
    ProtobufCBinaryData addresses[WEIR_CARD_ADDRESSES_MAX];
    Weir__CardSign m = WEIR__CARD_SIGN__INIT;
    if (p->signing_card) {
        p->sign_again = true;
        return;
    }
    p->signing_card = true;
    m.addresses = addresses;
    for (size_t i = 0; i < p->n_transports; i++) {
        const struct transport *t = &p->transports[i];
        for (size_t k = 0; k < t->n_addresses && m.n_addresses < WEIR_CARD_ADDRESSES_MAX; k++) {
            addresses[m.n_addresses++] = weir_field_str (t->addresses[k]);
        }
    }
    m.has_at_least = p->card_seen != 0;
    m.at_least = p->card_seen;
    m.has_rotate = m.has_retire = true;
    m.rotate = p->rotate;
    m.retire = p->retire;
    p->rotate = p->retire = false;
    (void) weir_actor_ask (p->actor, WEIR_KIND_CARD_SIGN, NULL, &m.base, weir_bytes (NULL, 0),
                           PEERS_ASK_MS, card_signed, NULL);
}

void
cards_retire (struct peers *p)
{
    if (!p->retire && !p->signing_card && p->card != NULL && p->card->n_keys > 1) {
        p->retire = true;
        cards_sign (p);
    }
}

/* ---- dispatch ---- */

static void
on_bye (struct peers *p, struct link *l, const Weir__Bye *m)
{
    char why[PEERS_WHY_MAX];
    enum weir_status status = weir_status_from_number (m->status);
    if (weir_field_get_text (why, sizeof why - 1, m->has_what, m->what) != WEIR_OK) {
        why[0] = '\0';
    }
    l->told_bye = true;
    if (l->opened && !l->guest) {
        weir_actor_event (p->actor, "peer_said_bye", &l->device->id, NULL, status, "%s", why);
    }
    link_end (p, l, status, why[0] != '\0' ? why : "the other side ended the session", false);
}

static void
on_ping (struct peers *p, struct link *l, const Weir__PingPong *m)
{
    if (m->answer) {
        verb_pinged (p, l, m);
        return;
    }
    Weir__PingPong answer = WEIR__PING_PONG__INIT;
    answer.has_number = answer.has_answer = answer.answer = true;
    answer.number = m->number;
    link_say (p, l, WEIR_KIND_W_PING, &answer.base);
}

static void
dispatch (struct peers *p, struct link *l, uint16_t kind, const ProtobufCMessage *meta,
          struct weir_bytes bytes)
{
    if (kind == WEIR_KIND_W_BYE) {
        on_bye (p, l, (const Weir__Bye *) meta);
    } else if (!l->opened && kind == WEIR_KIND_W_HELLO) {
        on_hello (p, l, (const Weir__Hello *) meta, bytes);
    } else if (!l->opened && kind == WEIR_KIND_W_PROOF) {
        on_proof (p, l, (const Weir__Proof *) meta);
    } else if (l->opened && l->guest && l->dialled && kind == WEIR_KIND_W_JOINED) {
        join_answered (p, l, (const Weir__Joined *) meta);
    } else if (l->opened && l->guest && !l->dialled && kind == WEIR_KIND_W_JOIN) {
        join_asked (p, l, (const Weir__Join *) meta);
    } else if (l->in_sync && kind == WEIR_KIND_W_CARDS) {
        on_cards (p, l, (const Weir__Cards *) meta);
    } else if (l->in_sync && kind == WEIR_KIND_W_PING) {
        on_ping (p, l, (const Weir__PingPong *) meta);
    } else if (l->in_sync && kind == WEIR_KIND_W_PRESENCE) {
        presence_take (p, l, (const Weir__Presence *) meta);
    } else if (l->in_sync && kind == WEIR_KIND_W_BLOB_LACK) {
        blobs_lack (p, l, (const Weir__BlobLack *) meta);
    } else if (l->in_sync && kind >= WEIR_KIND_W_DIGESTS) {
        sync_take (p, l, kind, meta);
    } else {
        link_ignored (p, l); /* said where it means nothing: before the session, or by a guest */
        weir_actor_log (p->actor, WEIR_LOG_WARN, "message_ignored", "kind=%u address=%s",
                        (unsigned) kind, l->address);
    }
}

/* It said more than any node does: most of that was not read. Named once in a while. */
static void
note_flood (struct peers *p, struct link *l, uint64_t dropped)
{
    uint64_t now = weir_actor_now_ms (p->actor);
    if (dropped > 0 && l->device != NULL
        && (l->flood_told_ms == 0 || now >= l->flood_told_ms + FLOOD_TOLD_MS)) {
        l->flood_told_ms = now;
        weir_actor_event (p->actor, "peer_floods", &l->device->id, NULL, WEIR_LIMIT,
                          "more messages than a link may say: %llu were not read",
                          (unsigned long long) dropped);
    }
}

void
session_take (struct peers *p, const Weir__LinkMessage *m, const struct weir_message *message)
{
    struct link *l = link_find (p, m->link);
    const struct weir_kind *kind = m->kind <= UINT16_MAX ? weir_kind ((uint16_t) m->kind) : NULL;
    if (l == NULL || l->ended) {
        return; /* late: it was hung up meanwhile */
    }
    if (!l->begun || kind == NULL || (kind->from & WEIR_ROLE_N) == 0
        || !weir_mailbox_equal (&l->transport->mailbox, &message->envelope.from)) {
        link_ignored (p, l);
        return;
    }
    note_flood (p, l, m->dropped);
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    ProtobufCMessage *meta = NULL;
    enum weir_status status = weir_meta_get (&meta, arena, kind, false, message->body);
    if (status != WEIR_OK || meta == NULL) {
        link_ignored (p, l);
        link_end (p, l, WEIR_BAD_MESSAGE, "a message that does not decode", false);
    } else {
        dispatch (p, l, kind->number, meta, message->body);
    }
    weir_arena_destroy (&arena);
}
