#ifndef WEIR_TESTS_ACTORS_PEERS_WORLD_H
#define WEIR_TESTS_ACTORS_PEERS_WORLD_H

/* Two peers actors in one process, with the test as their stores, transports and retry queues:
 * rows in a map, signatures by real keys, links that carry words from one to the other through a
 * hook that may change or drop them. Virtual time. */

#include "tests/actors/fake.h"

#include "actors/peers/state.h"

#define STORE 1 /* mailboxes */
#define TRANSPORT 2
#define RETRY 3
#define CLIENT 4

struct side {
    struct weir_actor *a;
    struct weir_identity key;
    struct weir_link_key link_key;
    struct weir_map *rows; /* what the store keeps of it: struct weir_buf */
    uint64_t card_counter;
    bool listens;
    /* the one database */
    bool has_db;
    bool joining;
    struct weir_id digest;
    uint32_t rights[2]; /* of side 0 and 1; 99: never a member */
    bool has_creator;   /* who made it is neither of the two */
    uint64_t lag;
    /* what its store and its retry queue say when asked why */
    bool disk_full, store_away, parked;
    uint64_t pending;
    enum weir_status deferred;
    uint32_t tries;
    /* what was seen */
    struct weir_id admitted[16];
    size_t n_admitted;
    enum weir_status redeem; /* what the store says to a ticket */
    unsigned redeemed, joined, behind, in_step, heard, dials, compares, opens;
    enum weir_status joined_status, behind_status, bye;
    struct weir_id shown;
};

struct wlink {
    uint64_t number[2]; /* as side 0 and side 1 name it; 0: not there */
    unsigned dialler;
    bool up;
};

struct world {
    struct side s[2];
    struct weir_id db;
    struct wlink links[256];
    size_t n_links;
    bool cut; /* the network */
    struct weir_link_key ticket;
    bool ticket_out; /* side 0 has it live */
    /* Changes a word on its way (from side i); false drops it. */
    bool (*hook) (struct world *w, unsigned from, uint16_t kind, struct weir_buf *meta);
    unsigned hooked;
    struct weir_buf kept;
};

static inline struct weir_id
world_device (const struct world *w, unsigned i)
{
    return w->s[i].key.device;
}

static inline void
side_deliver (struct side *s, uint16_t kind, uint8_t from, const ProtobufCMessage *meta,
              struct weir_bytes body)
{
    struct weir_mailbox_id id = fake_mailbox (from);
    fake_deliver (s->a, kind, &id, 0, meta, body);
}

static inline void
link_told (struct world *w, unsigned i, struct wlink *l)
{
    Weir__LinkUp m = WEIR__LINK_UP__INIT;
    const struct weir_id *keys[2] = { &w->s[0].link_key.public_key, &w->s[1].link_key.public_key };
    m.has_link = m.has_dialled = m.has_address = m.has_our_key = m.has_their_key = true;
    m.link = l->number[i];
    m.dialled = l->dialler == i;
    m.address = weir_field_str ("tcp://127.0.0.1:9");
    m.our_key = weir_field_id (keys[i]);
    m.their_key = weir_field_id (keys[1 - i]);
    side_deliver (&w->s[i], WEIR_KIND_LINK_UP, TRANSPORT, &m.base, weir_bytes (NULL, 0));
}

static inline void
link_lost (struct world *w, unsigned i, struct wlink *l, enum weir_status status)
{
    Weir__LinkDown m = WEIR__LINK_DOWN__INIT;
    if (l->number[i] == 0) {
        return;
    }
    m.has_link = m.has_status = m.has_why = true;
    m.link = l->number[i];
    m.status = (uint32_t) status;
    m.why = weir_field_str ("the test cut it");
    l->number[i] = 0;
    side_deliver (&w->s[i], WEIR_KIND_LINK_DOWN, TRANSPORT, &m.base, weir_bytes (NULL, 0));
}

static inline bool
is_admitted (const struct side *s, const struct weir_id *key)
{
    for (size_t i = 0; i < s->n_admitted; i++) {
        if (weir_id_equal (&s->admitted[i], key)) {
            return true;
        }
    }
    return false;
}

/* ---- the store ---- */

static inline Weir__Card *
make_card (const struct side *s, uint64_t counter, const char *address, struct weir_arena *arena)
{
    Weir__CardBody body = WEIR__CARD_BODY__INIT;
    Weir__Card *card = weir_arena_alloc (arena, sizeof *card);
    ProtobufCBinaryData keys[1] = { weir_field_id (&s->link_key.public_key) };
    ProtobufCBinaryData addresses[1] = { weir_field_str (address) };
    struct weir_buf bytes = { 0 };
    struct weir_signature signature;
    body.has_device = body.has_counter = body.has_name = true;
    body.device = weir_field_id (&s->key.device);
    body.counter = counter;
    body.name = weir_field_str (s->key.device.b[0] & 1 ? "odd" : "even");
    body.link_keys = keys;
    body.n_link_keys = 1;
    body.addresses = addresses;
    body.n_addresses = address != NULL ? 1 : 0;
    weir_meta_put (&bytes, &body.base);
    weir_sign (&signature, &s->key, WEIR_SIGN_CARD, weir_buf_bytes (&bytes));
    *card = (Weir__Card) WEIR__CARD__INIT;
    card->has_signed_bytes = card->has_signature = true;
    card->signed_bytes = wire_copy (arena, weir_buf_bytes (&bytes));
    card->signature = wire_copy (arena, weir_bytes (signature.b, sizeof signature.b));
    weir_buf_fini (&bytes);
    return card;
}

static inline void
answer_rights (struct world *w, struct side *s, struct fake_sent *ask)
{
    Weir__DbRights m = WEIR__DB_RIGHTS__INIT;
    Weir__DbRight item = WEIR__DB_RIGHT__INIT;
    Weir__DbRight *items[1] = { &item };
    Weir__Member members[3] = { WEIR__MEMBER__INIT, WEIR__MEMBER__INIT, WEIR__MEMBER__INIT };
    Weir__Member *pointers[3];
    struct weir_id creator = { .b = { 9 } };
    unsigned own = (unsigned) (s - w->s);
    item.has_db = item.has_name = item.has_right = item.has_digest = item.has_joining = true;
    item.db = weir_field_id (&w->db);
    item.name = weir_field_str ("notes");
    item.right = s->rights[own];
    item.digest = weir_field_id (&s->digest);
    item.joining = s->joining;
    item.members = pointers;
    for (unsigned i = 0; i < 2 && !s->joining; i++) {
        if (s->rights[i] == 99) {
            continue; /* never was one */
        }
        members[i].has_device = members[i].has_right = true;
        members[i].device = weir_field_id (&w->s[i].key.device);
        members[i].right = s->rights[i];
        pointers[item.n_members++] = &members[i];
    }
    if (s->has_creator) {
        members[2].has_device = members[2].has_right = true;
        members[2].device = weir_field_id (&creator);
        members[2].right = 4;
        pointers[item.n_members++] = &members[2];
    }
    m.items = items;
    m.n_items = s->has_db ? 1 : 0;
    fake_answer (s->a, ask, WEIR_OK, &m.base);
}

static inline void
answer_rows (struct side *s, struct fake_sent *ask)
{
    const Weir__StateScan *scan = (const Weir__StateScan *) ask->decoded;
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    Weir__StateRow *rows[64];
    Weir__StateRows m = WEIR__STATE_ROWS__INIT;
    struct weir_bytes key;
    void *value = NULL;
    m.rows = rows;
    for (size_t i = 0; weir_map_next (s->rows, &i, &key, &value);) {
        if (key.len < scan->prefix.len || memcmp (key.data, scan->prefix.data, scan->prefix.len)) {
            continue;
        }
        assert_true (m.n_rows < 64);
        rows[m.n_rows] = weir_arena_alloc (arena, sizeof **rows);
        *rows[m.n_rows] = (Weir__StateRow) WEIR__STATE_ROW__INIT;
        rows[m.n_rows]->has_key = rows[m.n_rows]->has_value = true;
        rows[m.n_rows]->key = wire_copy (arena, key);
        rows[m.n_rows++]->value = wire_copy (arena, weir_buf_bytes (value));
    }
    fake_answer (s->a, ask, WEIR_OK, &m.base);
    weir_arena_destroy (&arena);
}

static inline void
free_row (void *value)
{
    weir_buf_fini (value);
    free (value);
}

static inline void
keep_rows (struct side *s, struct fake_sent *ask)
{
    const Weir__StateRows *m = (const Weir__StateRows *) ask->decoded;
    for (size_t i = 0; i < m->n_rows; i++) {
        void *old = weir_map_remove (s->rows, weir_field (m->rows[i]->key));
        if (old != NULL) {
            free_row (old);
        }
        if (m->rows[i]->value.len > 0) {
            struct weir_buf *b = weir_alloc (sizeof *b);
            weir_buf_put_bytes (b, weir_field (m->rows[i]->value));
            (void) weir_map_put (s->rows, weir_field (m->rows[i]->key), b);
        }
    }
    fake_answer (s->a, ask, WEIR_OK, NULL);
}

static inline void
answer_compare (struct side *s, struct fake_sent *ask)
{
    Weir__Compared m = WEIR__COMPARED__INIT;
    s->compares++;
    m.has_digest = m.has_more = true;
    m.digest = weir_field_id (&s->digest);
    fake_answer (s->a, ask, WEIR_OK, &m.base);
}

/* What is asked of store and retry queue when a client asks why. */
static inline bool
serve_facts (struct world *w, struct side *s, struct fake_sent *m)
{
    if (m->kind == WEIR_KIND_STORE_STATUS) {
        Weir__StoreStatus answer = WEIR__STORE_STATUS__INIT;
        answer.has_disk_full = true;
        answer.disk_full = s->disk_full;
        fake_answer (s->a, m, s->store_away ? WEIR_TIMED_OUT : WEIR_OK, &answer.base);
    } else if (m->kind == WEIR_KIND_DB_SHOW) {
        Weir__DbInfo info = WEIR__DB_INFO__INIT;
        Weir__DbInfo *infos[1] = { &info };
        Weir__DbInfos answer = WEIR__DB_INFOS__INIT;
        info.has_pending = info.has_deferred = true;
        info.pending = s->pending;
        info.deferred = (uint32_t) s->deferred;
        answer.items = infos;
        answer.n_items = 1;
        fake_answer (s->a, m, s->store_away ? WEIR_TIMED_OUT : WEIR_OK, &answer.base);
    } else if (m->kind == WEIR_KIND_RETRY_LIST) {
        Weir__RetryItem item = WEIR__RETRY_ITEM__INIT;
        Weir__RetryItem *items[1] = { &item };
        Weir__RetryItems answer = WEIR__RETRY_ITEMS__INIT;
        item.has_device = item.has_db = item.has_attempts = item.has_next_ms = true;
        item.has_why = item.has_parked = true;
        item.device = weir_field_id (&w->s[1 - (s - w->s)].key.device);
        item.db = weir_field_id (&w->db);
        item.attempts = s->tries;
        item.next_ms = 8000;
        item.why = WEIR_TIMED_OUT;
        item.parked = s->parked;
        answer.items = items;
        answer.n_items = s->tries > 0 ? 1 : 0;
        fake_answer (s->a, m, WEIR_OK, &answer.base);
    } else {
        return false;
    }
    return true;
}

/* A mark, or a step: heads that say that all is held. */
static inline void
answer_ladder (struct side *s, struct fake_sent *ask)
{
    Weir__LadderAnswer m = WEIR__LADDER_ANSWER__INIT;
    s->compares += !((const Weir__LadderAsk *) ask->decoded)->mark;
    m.has_digest = m.has_position = m.has_settled = m.settled = true;
    m.digest = weir_field_id (&s->digest);
    m.position = 7;
    fake_answer (s->a, ask, WEIR_OK, &m.base);
}

static inline bool
serve_store (struct world *w, struct side *s, struct fake_sent *m)
{
    struct weir_arena *arena = NULL;
    if (m->kind == WEIR_KIND_STORE_OPEN) {
        Weir__StoreOpened answer = WEIR__STORE_OPENED__INIT;
        answer.has_device = answer.has_name = true;
        answer.device = weir_field_id (&s->key.device);
        answer.name = weir_field_str ("test");
        fake_answer (s->a, m, WEIR_OK, &answer.base);
    } else if (m->kind == WEIR_KIND_STATE_GET) {
        answer_rows (s, m);
    } else if (m->kind == WEIR_KIND_STATE_PUT) {
        keep_rows (s, m);
    } else if (m->kind == WEIR_KIND_DB_RIGHTS) {
        answer_rights (w, s, m);
    } else if (m->kind == WEIR_KIND_SIGN_PROOF) {
        Weir__Signature answer = WEIR__SIGNATURE__INIT;
        struct weir_signature signature;
        weir_sign (&signature, &s->key, WEIR_SIGN_PROOF,
                   weir_field (((const Weir__SignAsk *) m->decoded)->claim));
        answer.has_signature = true;
        answer.signature = weir_field_of (weir_bytes (signature.b, sizeof signature.b));
        fake_answer (s->a, m, WEIR_OK, &answer.base);
    } else if (m->kind == WEIR_KIND_CARD_SIGN) {
        const Weir__CardSign *ask = (const Weir__CardSign *) m->decoded;
        arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
        s->card_counter = ask->at_least > s->card_counter ? ask->at_least + 1 : s->card_counter;
        fake_answer (
            s->a, m, WEIR_OK,
            &make_card (s, s->card_counter, s->listens ? "tcp://127.0.0.1:9" : NULL, arena)->base);
        weir_arena_destroy (&arena);
    } else if (m->kind == WEIR_KIND_COMPARE) {
        answer_compare (s, m);
    } else if (m->kind == WEIR_KIND_LADDER) {
        answer_ladder (s, m);
    } else if (m->kind == WEIR_KIND_TRANSFER_OPEN) {
        s->opens++;
        fake_answer (s->a, m, WEIR_OK, NULL);
    } else if (m->kind == WEIR_KIND_LAG) {
        Weir__LagAnswer answer = WEIR__LAG_ANSWER__INIT;
        answer.has_entries = answer.has_oldest_ms = true;
        answer.entries = s->lag;
        answer.oldest_ms = s->lag * 10;
        fake_answer (s->a, m, WEIR_OK, &answer.base);
    } else if (m->kind == WEIR_KIND_TICKET_REDEEM) {
        Weir__TicketRedeemed answer = WEIR__TICKET_REDEEMED__INIT;
        s->redeemed++;
        s->rights[1] = s->redeem == WEIR_OK ? 3 : s->rights[1];
        answer.has_db = answer.has_right = true;
        answer.db = weir_field_id (&w->db);
        answer.right = 3;
        fake_answer (s->a, m, s->redeem, s->redeem == WEIR_OK ? &answer.base : NULL);
    } else if (m->kind == WEIR_KIND_DB_JOINED) {
        s->joined++;
        s->joined_status = weir_status_from_number (((const Weir__DbJoined *) m->decoded)->status);
        fake_answer (s->a, m, WEIR_OK, NULL);
    } else {
        return serve_facts (w, s, m);
    }
    return true;
}

/* ---- transports and retry ---- */

static inline void
on_dial (struct world *w, unsigned i, const Weir__Dial *m)
{
    struct side *other = &w->s[1 - i];
    struct weir_id server = weir_id_zero;
    struct weir_id shows = w->s[i].link_key.public_key;
    if (m->client_secret.len == 32) {
        weir_link_key_public (&shows, m->client_secret.data);
    }
    assert_int_equal (weir_field_get_id (&server, m->has_server_key, m->server_key), WEIR_OK);
    assert_true (w->n_links < 256);
    struct wlink *l = &w->links[w->n_links++];
    memset (l, 0, sizeof *l);
    l->dialler = i;
    l->number[i] = m->link;
    w->s[i].dials++;
    if (w->cut || !other->listens || !weir_id_equal (&server, &other->link_key.public_key)
        || !is_admitted (other, &shows)) {
        link_lost (w, i, l, WEIR_NOT_REACHABLE_OR_NOT_ADMITTED);
        return;
    }
    l->number[1 - i] = m->link | 1ull << 63;
    l->up = true;
    struct weir_id own = w->s[i].link_key.public_key;
    w->s[i].link_key.public_key = shows; /* a ticket's key, for this link */
    link_told (w, i, l);
    link_told (w, 1 - i, l);
    w->s[i].link_key.public_key = own;
}

static inline void
on_wire (struct world *w, unsigned i, const struct fake_sent *s)
{
    const Weir__LinkMessage *m = (const Weir__LinkMessage *) s->decoded;
    struct weir_buf body = { 0 };
    for (size_t k = 0; k < w->n_links; k++) {
        struct wlink *l = &w->links[k];
        if (l->number[i] != m->link || l->number[1 - i] == 0 || m->link == 0) {
            continue;
        }
        if (m->kind == WEIR_KIND_W_BYE) {
            struct weir_arena *arena = weir_arena_new (1u << 16);
            ProtobufCMessage *bye = NULL;
            assert_int_equal (
                weir_meta_unpack (&bye, arena, &weir__bye__descriptor, weir_buf_bytes (&s->body)),
                WEIR_OK);
            w->s[i].bye = weir_status_from_number (((Weir__Bye *) bye)->status);
            weir_arena_destroy (&arena);
        }
        weir_buf_put_bytes (&body, weir_buf_bytes (&s->body));
        if (w->hook == NULL || w->hook (w, i, (uint16_t) m->kind, &body)) {
            Weir__LinkMessage in = WEIR__LINK_MESSAGE__INIT;
            in.has_link = in.has_kind = true;
            in.link = l->number[1 - i];
            in.kind = m->kind;
            side_deliver (&w->s[1 - i], WEIR_KIND_WIRE_IN, TRANSPORT, &in.base,
                          weir_buf_bytes (&body));
        }
        break;
    }
    weir_buf_fini (&body);
}

static inline void
on_hang_up (struct world *w, unsigned i, const Weir__HangUp *m)
{
    for (size_t k = 0; k < w->n_links; k++) {
        struct wlink *l = &w->links[k];
        if (l->number[i] == m->link && m->link != 0) {
            l->number[i] = 0;
            link_lost (w, 1 - i, l, WEIR_NOT_REACHABLE_OR_NOT_ADMITTED);
        }
    }
}

static inline void
on_admit (struct side *s, const Weir__Admit *m)
{
    assert_true (m->first && m->last && m->n_link_keys <= 16);
    s->n_admitted = 0;
    for (size_t i = 0; i < m->n_link_keys; i++) {
        assert_int_equal (weir_field_get_id (&s->admitted[s->n_admitted++], true, m->link_keys[i]),
                          WEIR_OK);
    }
    if (weir_field_get_id (&s->shown, m->has_use_key, m->use_key) != WEIR_OK) {
        s->shown = weir_id_zero;
    }
}

/* Oneway messages; the caller frees. */
static inline void
serve_oneway (struct world *w, unsigned i, const struct fake_sent *m)
{
    struct side *s = &w->s[i];
    if (m->kind == WEIR_KIND_DIAL) {
        on_dial (w, i, (const Weir__Dial *) m->decoded);
    } else if (m->kind == WEIR_KIND_WIRE_OUT) {
        on_wire (w, i, m);
    } else if (m->kind == WEIR_KIND_HANG_UP) {
        on_hang_up (w, i, (const Weir__HangUp *) m->decoded);
    } else if (m->kind == WEIR_KIND_ADMIT) {
        on_admit (s, (const Weir__Admit *) m->decoded);
    } else if (m->kind == WEIR_KIND_BEHIND) {
        s->behind++;
        s->behind_status = weir_status_from_number (((const Weir__Behind *) m->decoded)->status);
    } else if (m->kind == WEIR_KIND_IN_STEP) {
        s->in_step++;
    } else if (m->kind == WEIR_KIND_HEARD) {
        s->heard++;
    }
}

/* The first thing sent that is not an answer to the test; decoded. */
static inline struct fake_sent *
next_sent (struct weir_actor *a)
{
    for (struct fake_sent *s = a->sent; s != NULL; s = s->next) {
        if (!s->answer && s->kind != WEIR_KIND_TRANSFER_START && s->kind != WEIR_KIND_TRANSFER_SEND
            && s->kind != WEIR_KIND_TRANSFER_STOP && s->kind != WEIR_KIND_TRANSPORT_RUN
            && s->kind != WEIR_KIND_LINK_STATUS) {
            return fake_try (a, s->kind);
        }
    }
    return NULL;
}

/* Everybody does what there is to do now. */
static inline void
world_settle (struct world *w)
{
    bool any = true;
    while (any) {
        any = false;
        for (unsigned i = 0; i < 2; i++) {
            struct fake_sent *m = w->s[i].a != NULL ? next_sent (w->s[i].a) : NULL;
            if (m == NULL) {
                continue;
            }
            any = true;
            if (!serve_store (w, &w->s[i], m)) {
                serve_oneway (w, i, m);
                fake_sent_free (m);
            }
        }
    }
}

/* Time passes in small steps, and everybody works. */
static inline void
world_pass (struct world *w, uint64_t ms)
{
    world_settle (w);
    for (uint64_t i = 0; i < ms; i += 10) {
        for (unsigned k = 0; k < 2; k++) {
            if (w->s[k].a != NULL) {
                fake_pass (w->s[k].a, 10);
            }
        }
        world_settle (w);
    }
}

static inline void
side_start (struct world *w, unsigned i)
{
    struct side *s = &w->s[i];
    Weir__TransportReady ready = WEIR__TRANSPORT_READY__INIT;
    ProtobufCBinaryData address = weir_field_str ("tcp://127.0.0.1:9");
    uint64_t now = w->s[1 - i].a != NULL ? w->s[1 - i].a->virtual_ms : 1000000;
    s->a = fake_new (&peers_def, "peers");
    s->a->virtual_ms = now;
    s->a->rand.s[0] += i + now;
    fake_start (s->a);
    world_settle (w);
    assert_true (s->a->ready);
    ready.has_name = ready.has_kind = true;
    ready.name = weir_field_str ("transport-1");
    ready.kind = weir_field_str ("curve");
    ready.addresses = &address;
    ready.n_addresses = s->listens ? 1 : 0;
    side_deliver (s, WEIR_KIND_TRANSPORT_READY, TRANSPORT, &ready.base, weir_bytes (NULL, 0));
    world_settle (w);
}

/* kill -9: what was not written is gone, links break. */
static inline void
side_kill (struct world *w, unsigned i)
{
    struct side *s = &w->s[i];
    for (size_t k = 0; k < w->n_links; k++) {
        w->links[k].number[i] = 0;
        link_lost (w, 1 - i, &w->links[k], WEIR_NOT_REACHABLE_OR_NOT_ADMITTED);
    }
    fake_forget_sent (s->a);
    fake_destroy (&s->a); /* its stop writes rows: nobody serves them */
    s->n_admitted = 0;
}

static inline void
world_init (struct world *w)
{
    static const uint8_t seeds[2][32] = { { 1 }, { 2 } };
    memset (w, 0, sizeof *w);
    weir_crypto_init ();
    memset (w->db.b, 0xdb, sizeof w->db.b);
    for (unsigned i = 0; i < 2; i++) {
        struct side *s = &w->s[i];
        weir_identity_init (&s->key, seeds[i]);
        weir_link_key_make (&s->link_key);
        s->rows = weir_map_new ();
        s->card_counter = 1;
        s->listens = s->has_db = true;
        s->rights[0] = 4;
        s->rights[1] = 3;
        memset (s->digest.b, 0xd1, sizeof s->digest.b);
    }
    weir_link_key_make (&w->ticket);
}

static inline void
world_fini (struct world *w)
{
    for (unsigned i = 0; i < 2; i++) {
        if (w->s[i].a != NULL) {
            world_settle (w);
            fake_destroy (&w->s[i].a);
        }
        weir_map_destroy (&w->s[i].rows, free_row);
    }
    weir_buf_fini (&w->kept);
}

/* A row as if it had been written before: the card of the other side. */
static inline void
side_put_row (struct side *s, const char *key, struct weir_bytes value)
{
    struct weir_buf *b = weir_alloc (sizeof *b);
    weir_buf_put_bytes (b, value);
    void *old = weir_map_put (s->rows, weir_bytes_str (key), b);
    if (old != NULL) {
        free_row (old);
    }
}

/* Both know each other and keep the database in step, from before. */
static inline void
world_relate (struct world *w)
{
    for (unsigned i = 0; i < 2; i++) {
        struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
        struct side *other = &w->s[1 - i];
        struct weir_buf row = { 0 };
        char key[200];
        weir_meta_put (&row, &make_card (other, other->card_counter,
                                         other->listens ? "tcp://127.0.0.1:9" : NULL, arena)
                                  ->base);
        snprintf (key, sizeof key, "cards/%s", weir_id_text (&other->key.device).s);
        side_put_row (&w->s[i], key, weir_buf_bytes (&row));
        weir_buf_clear (&row);
        weir_buf_put_u8 (&row, 1);
        weir_buf_put_u8 (&row, WEIR_SYNC_BOTH);
        weir_buf_put_u8 (&row, 1);
        weir_buf_put_u64 (&row, 0);
        snprintf (key, sizeof key, "relationships/%s/%s", weir_id_text (&other->key.device).s,
                  weir_id_text (&w->db).s);
        side_put_row (&w->s[i], key, weir_buf_bytes (&row));
        weir_buf_fini (&row);
        weir_arena_destroy (&arena);
    }
}

static inline struct device *
side_other (struct world *w, unsigned i)
{
    struct weir_id id = world_device (w, 1 - i);
    return device_find (w->s[i].a->state, &id);
}

static inline bool
is_connected (struct world *w, unsigned i)
{
    const struct device *d = side_other (w, i);
    return d != NULL && d->link != NULL;
}

/* A client's request: its answer, to be freed. */
static inline struct fake_sent *
side_call (struct world *w, unsigned i, uint16_t kind, const ProtobufCMessage *meta)
{
    struct weir_mailbox_id id = fake_mailbox (CLIENT);
    fake_deliver (w->s[i].a, kind, &id, 1, meta, weir_bytes (NULL, 0));
    world_settle (w);
    return fake_find (w->s[i].a, kind, true);
}

#endif
