/* Goal: two peers actors, each with the test for a store and a transport, find each other, prove
 * who they are and keep one session; whatever a hostile or unlucky other side says is refused
 * with a code and leaves nothing behind; what clients are told is true; kill -9 loses nothing. */

#include "tests/actors/peers/world.h"

#define BOTH_CONNECTED(w)                                                                          \
    do {                                                                                           \
        assert_true (is_connected (w, 0));                                                         \
        assert_true (is_connected (w, 1));                                                         \
    } while (0)

static void
meet (struct world *w)
{
    world_init (w);
    world_relate (w);
    side_start (w, 0);
    side_start (w, 1);
    world_pass (w, 2000);
    BOTH_CONNECTED (w);
}

static void
one_session (void **state)
{
    struct world w;
    (void) state;
    meet (&w);
    unsigned dials = w.s[0].dials + w.s[1].dials;
    world_pass (&w, 10000);
    BOTH_CONNECTED (&w);
    assert_int_equal (w.s[0].dials + w.s[1].dials, dials); /* both dialled, and it is quiet now */
    for (unsigned i = 0; i < 2; i++) {
        struct peers *p = w.s[i].a->state;
        assert_int_equal (weir_map_count (p->links), 1);
        struct weir_sync_state s;
        struct weir_id other = world_device (&w, 1 - i);
        assert_true (weir_sync_find (p->sync, &other, &w.db, &s));
        assert_int_equal (s.phase, WEIR_SYNC_EQUAL);
        assert_int_equal (p->ignored, 0);
        assert_true (w.s[i].in_step > 0);
        assert_true (w.s[i].heard > 0);
        assert_true (is_admitted (&w.s[i], &w.s[1 - i].link_key.public_key));
        assert_int_equal (w.s[i].n_admitted, 1);
    }
    world_fini (&w);
}

/* ---- words that are changed on their way ---- */

struct tamper {
    uint16_t kind;
    void (*change) (struct world *w, struct weir_buf *meta);
};

static void
flip_last (struct world *w, struct weir_buf *meta)
{
    (void) w;
    meta->data[meta->len - 1] ^= 1;
}

static void
cut_off (struct world *w, struct weir_buf *meta)
{
    (void) w;
    meta->len = meta->len > 3 ? meta->len - 3 : 0;
}

static void
empty (struct world *w, struct weir_buf *meta)
{
    (void) w;
    meta->len = 0;
}

static uint16_t tampered_kind;
static unsigned tampered_from;
static void (*tampering) (struct world *w, struct weir_buf *meta);

static bool
tamper_once (struct world *w, unsigned from, uint16_t kind, struct weir_buf *meta)
{
    if (from == tampered_from && kind == tampered_kind && w->hooked == 0) {
        w->hooked++;
        tampering (w, meta);
    }
    return true;
}

/* A Hello with other versions, another device, a field of another length. */
static void
change_hello (struct weir_buf *meta, int how, const struct weir_id *device)
{
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    ProtobufCMessage *message = NULL;
    assert_int_equal (
        weir_meta_unpack (&message, arena, &weir__hello__descriptor, weir_buf_bytes (meta)),
        WEIR_OK);
    Weir__Hello *m = (Weir__Hello *) message;
    if (how == 0) {
        m->protocol_min = m->protocol_max = 1000;
    } else if (how == 1) {
        m->protocol_min = 5;
        m->protocol_max = 1;
    } else if (how == 2) {
        m->device = weir_field_id (device);
    } else if (how == 3) {
        m->challenge.len = 31;
    } else {
        m->has_device = false;
    }
    struct weir_buf packed = { 0 };
    weir_meta_put (&packed, message);
    weir_buf_clear (meta);
    weir_buf_put_bytes (meta, weir_buf_bytes (&packed));
    weir_buf_fini (&packed);
    weir_arena_destroy (&arena);
}

static void
newer_protocol (struct world *w, struct weir_buf *meta)
{
    (void) w;
    change_hello (meta, 0, NULL);
}

static void
absurd_protocol (struct world *w, struct weir_buf *meta)
{
    (void) w;
    change_hello (meta, 1, NULL);
}

static void
their_own_device (struct world *w, struct weir_buf *meta)
{
    struct weir_id device = world_device (w, 1 - tampered_from);
    change_hello (meta, 2, &device);
}

static void
third_device (struct world *w, struct weir_buf *meta)
{
    (void) w;
    struct weir_id device = { { 9 } };
    change_hello (meta, 2, &device);
}

static void
zero_device (struct world *w, struct weir_buf *meta)
{
    (void) w;
    change_hello (meta, 2, &weir_id_zero);
}

static void
short_challenge (struct world *w, struct weir_buf *meta)
{
    (void) w;
    change_hello (meta, 3, NULL);
}

static void
no_device (struct world *w, struct weir_buf *meta)
{
    (void) w;
    change_hello (meta, 4, NULL);
}

static void
tampered_handshakes (void **state)
{
    static const struct {
        uint16_t kind;
        unsigned from; /* 0 dials (side 1 does not listen) */
        void (*change) (struct world *w, struct weir_buf *meta);
        enum weir_status bye; /* what the other side says */
    } rows[] = {
        { WEIR_KIND_W_PROOF, 1, flip_last, WEIR_BAD_PROOF },
        { WEIR_KIND_W_PROOF, 0, flip_last, WEIR_BAD_PROOF },
        { WEIR_KIND_W_PROOF, 1, empty, WEIR_BAD_PROOF },
        { WEIR_KIND_W_PROOF, 0, cut_off, WEIR_BAD_MESSAGE },
        { WEIR_KIND_W_HELLO, 1, flip_last, WEIR_BAD_PROOF }, /* the transcripts differ */
        { WEIR_KIND_W_HELLO, 1, cut_off, WEIR_BAD_MESSAGE },
        { WEIR_KIND_W_HELLO, 0, newer_protocol, WEIR_INCOMPATIBLE },
        { WEIR_KIND_W_HELLO, 1, newer_protocol, WEIR_INCOMPATIBLE },
        { WEIR_KIND_W_HELLO, 1, absurd_protocol, WEIR_BAD_MESSAGE },
        { WEIR_KIND_W_HELLO, 1, their_own_device, WEIR_OWN_DEVICE },
        { WEIR_KIND_W_HELLO, 0, their_own_device, WEIR_OWN_DEVICE },
        { WEIR_KIND_W_HELLO, 0, third_device, WEIR_WRONG_DEVICE }, /* another was dialled */
        { WEIR_KIND_W_HELLO, 1, zero_device, WEIR_BAD_MESSAGE },
        { WEIR_KIND_W_HELLO, 1, no_device, WEIR_BAD_MESSAGE },
        { WEIR_KIND_W_HELLO, 1, short_challenge, WEIR_BAD_MESSAGE },
    };
    (void) state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct world w;
        world_init (&w);
        w.s[1].listens = false; /* side 1 dials, so `from` 1 is the initiator */
        world_relate (&w);
        tampered_kind = rows[i].kind;
        tampered_from = rows[i].from;
        tampering = rows[i].change;
        w.hook = tamper_once;
        side_start (&w, 0);
        side_start (&w, 1);
        world_pass (&w, 300);
        if (w.hooked != 1 || w.s[1 - rows[i].from].bye != rows[i].bye) {
            fail_msg ("row %zu: hooked %u, bye %s", i, w.hooked,
                      weir_status_code (w.s[1 - rows[i].from].bye));
        }
        /* The next attempt is honest again, and nothing stands in its way. */
        world_pass (&w, 25000);
        BOTH_CONNECTED (&w);
        world_fini (&w);
    }
}

/* A Proof that was said before, on another link; and our own, said back to us. */
static bool
keep_proof (struct world *w, unsigned from, uint16_t kind, struct weir_buf *meta)
{
    if (kind == WEIR_KIND_W_PROOF && from == 1 && w->hooked == 0) {
        weir_buf_clear (&w->kept);
        weir_buf_put_bytes (&w->kept, weir_buf_bytes (meta));
    } else if (kind == WEIR_KIND_W_PROOF && from == 1 && w->hooked == 1) {
        weir_buf_clear (meta);
        weir_buf_put_bytes (meta, weir_buf_bytes (&w->kept));
        w->hooked++;
    } else if (kind == WEIR_KIND_W_PROOF && from == 0 && w->hooked == 10) {
        weir_buf_clear (&w->kept);
        weir_buf_put_bytes (&w->kept, weir_buf_bytes (meta));
    } else if (kind == WEIR_KIND_W_PROOF && from == 1 && w->hooked == 10) {
        if (w->kept.len > 0) {
            weir_buf_clear (meta);
            weir_buf_put_bytes (meta, weir_buf_bytes (&w->kept));
            w->hooked++;
        }
    }
    return true;
}

static void
replayed_and_reflected (void **state)
{
    struct world w;
    (void) state;
    world_init (&w);
    w.s[1].listens = false;
    world_relate (&w);
    w.hook = keep_proof;
    side_start (&w, 0);
    side_start (&w, 1);
    world_pass (&w, 1000);
    BOTH_CONNECTED (&w);
    side_kill (&w, 1); /* a new link, a new negotiation: the old proof is worth nothing */
    w.hooked = 1;
    w.s[0].bye = WEIR_OK;
    side_start (&w, 1);
    world_pass (&w, 300);
    assert_int_equal (w.hooked, 2);
    assert_int_equal (w.s[0].bye, WEIR_BAD_PROOF);
    world_pass (&w, 15000);
    BOTH_CONNECTED (&w);
    side_kill (&w, 1);
    w.hooked = 10;
    weir_buf_clear (&w.kept);
    w.s[0].bye = WEIR_OK;
    side_start (&w, 1);
    world_pass (&w, 300);
    if (w.hooked == 11) { /* the responder's proof came first: said back, it is refused */
        assert_int_equal (w.s[0].bye, WEIR_BAD_PROOF);
    }
    world_fini (&w);
}

/* ---- words at the wrong time, and nonsense ---- */

static uint64_t
link_number (struct world *w, unsigned i)
{
    for (size_t k = w->n_links; k-- > 0;) {
        if (w->links[k].number[i] != 0) {
            return w->links[k].number[i];
        }
    }
    return 0;
}

static void
inject (struct world *w, unsigned i, uint16_t kind, const ProtobufCMessage *meta)
{
    Weir__LinkMessage m = WEIR__LINK_MESSAGE__INIT;
    struct weir_buf packed = { 0 };
    weir_meta_put (&packed, meta);
    m.has_link = m.has_kind = true;
    m.link = link_number (w, i);
    m.kind = kind;
    side_deliver (&w->s[i], WEIR_KIND_WIRE_IN, TRANSPORT, &m.base, weir_buf_bytes (&packed));
    weir_buf_fini (&packed);
    world_settle (w);
}

static bool
drop_all (struct world *w, unsigned from, uint16_t kind, struct weir_buf *meta)
{
    (void) w;
    (void) from;
    (void) kind;
    (void) meta;
    return false;
}

static void
before_the_session (void **state)
{
    struct world w;
    Weir__Digests digests = WEIR__DIGESTS__INIT;
    Weir__Cards cards = WEIR__CARDS__INIT;
    Weir__Join join = WEIR__JOIN__INIT;
    Weir__PingPong ping = WEIR__PING_PONG__INIT;
    Weir__Offer offer = WEIR__OFFER__INIT;
    (void) state;
    world_init (&w);
    w.s[1].listens = false;
    world_relate (&w);
    w.hook = drop_all; /* no Hello arrives */
    side_start (&w, 0);
    side_start (&w, 1);
    world_pass (&w, 300);
    struct peers *p = w.s[0].a->state;
    assert_true (link_number (&w, 0) != 0);
    inject (&w, 0, WEIR_KIND_W_DIGESTS, &digests.base);
    inject (&w, 0, WEIR_KIND_W_CARDS, &cards.base);
    inject (&w, 0, WEIR_KIND_W_JOIN, &join.base);
    inject (&w, 0, WEIR_KIND_W_PING, &ping.base);
    inject (&w, 0, WEIR_KIND_W_OFFER, &offer.base);
    inject (&w, 0, WEIR_KIND_COMPARE, &digests.base); /* not of the kinds between nodes */
    inject (&w, 0, 4000, NULL);
    assert_int_equal (p->ignored, 7);
    assert_int_equal (w.s[0].redeemed + w.s[0].opens + w.s[0].compares, 0);
    Weir__Proof proof = WEIR__PROOF__INIT; /* before any Hello */
    inject (&w, 0, WEIR_KIND_W_PROOF, &proof.base);
    assert_int_equal (w.s[0].bye, WEIR_BAD_PROOF);
    /* Whoever says nothing is hung up on. */
    world_pass (&w, 2000);
    assert_true (weir_map_count (p->links) > 0);
    world_pass (&w, 12000);
    assert_false (is_connected (&w, 0));
    w.hook = NULL;
    world_pass (&w, 25000);
    BOTH_CONNECTED (&w);
    world_fini (&w);
}

static void
nonsense_in_a_session (void **state)
{
    struct world w;
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    (void) state;
    for (int i = 0; i < 5; i++) {
        Weir__Digests digests = WEIR__DIGESTS__INIT;
        Weir__Vector vector = WEIR__VECTOR__INIT;
        Weir__Row row = WEIR__ROW__INIT;
        Weir__Row **rows = weir_arena_array (arena, 2000, sizeof *rows);
        Weir__Digest **items = weir_arena_array (arena, 2000, sizeof *items);
        Weir__Digest item = WEIR__DIGEST__INIT;
        Weir__Hello hello = WEIR__HELLO__INIT;
        meet (&w);
        struct peers *p = w.s[0].a->state;
        for (size_t k = 0; k < 2000; k++) {
            rows[k] = &row;
            items[k] = &item;
        }
        if (i == 0) { /* too many */
            digests.items = items;
            digests.n_items = WEIR_DIGESTS_PER_MESSAGE + 1;
            inject (&w, 0, WEIR_KIND_W_DIGESTS, &digests.base);
        } else if (i == 1) { /* a digest without bytes */
            digests.items = items;
            digests.n_items = 1;
            inject (&w, 0, WEIR_KIND_W_DIGESTS, &digests.base);
        } else if (i == 2) {
            vector.rows = rows;
            vector.n_rows = WEIR_VECTOR_ROWS_PER_MESSAGE + 1;
            inject (&w, 0, WEIR_KIND_W_VECTOR, &vector.base);
        } else if (i == 3) { /* a row without an author */
            vector.rows = rows;
            vector.n_rows = 1;
            inject (&w, 0, WEIR_KIND_W_VECTOR, &vector.base);
        } else { /* a second Hello is no more than ignored */
            inject (&w, 0, WEIR_KIND_W_HELLO, &hello.base);
            inject (&w, 0, WEIR_KIND_W_JOINED, &hello.base);
            assert_true (is_connected (&w, 0));
        }
        assert_true (p->ignored > 0);
        if (i < 4) {
            assert_int_equal (w.s[0].bye, WEIR_BAD_MESSAGE);
            assert_false (is_connected (&w, 0));
        }
        world_pass (&w, 3000);
        BOTH_CONNECTED (&w);
        world_fini (&w);
    }
    weir_arena_destroy (&arena);
}

/* ---- cards ---- */

static void
cards_newest_and_true (void **state)
{
    struct world w;
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    Weir__Cards m = WEIR__CARDS__INIT;
    Weir__Card *list[1];
    struct side stranger;
    static const uint8_t seed[32] = { 77 };
    (void) state;
    meet (&w);
    struct peers *p = w.s[0].a->state;
    struct device *d = side_other (&w, 0);
    m.cards = list;
    m.n_cards = 1;
    assert_int_equal (d->card->counter, 1);
    list[0] = make_card (&w.s[1], 5, "tcp://127.0.0.1:55", arena);
    list[0]->signature.data[3] ^= 4; /* altered */
    inject (&w, 0, WEIR_KIND_W_CARDS, &m.base);
    assert_int_equal (d->card->counter, 1);
    list[0] = make_card (&w.s[1], 5, "tcp://127.0.0.1:55", arena);
    list[0]->signed_bytes.data[list[0]->signed_bytes.len - 1] ^= 1;
    inject (&w, 0, WEIR_KIND_W_CARDS, &m.base);
    assert_int_equal (d->card->counter, 1);
    assert_int_equal (p->ignored, 2);
    list[0] = make_card (&w.s[1], 5, "tcp://127.0.0.1:55", arena);
    inject (&w, 0, WEIR_KIND_W_CARDS, &m.base);
    assert_int_equal (d->card->counter, 5);
    list[0] = make_card (&w.s[1], 4, "tcp://127.0.0.1:44", arena); /* older, late */
    inject (&w, 0, WEIR_KIND_W_CARDS, &m.base);
    assert_int_equal (d->card->counter, 5);
    assert_string_equal (d->card->addresses[0], "tcp://127.0.0.1:55");
    /* Of nobody we know: not kept, not admitted. */
    memset (&stranger, 0, sizeof stranger);
    weir_identity_init (&stranger.key, seed);
    weir_link_key_make (&stranger.link_key);
    list[0] = make_card (&stranger, 1, "tcp://127.0.0.1:66", arena);
    inject (&w, 0, WEIR_KIND_W_CARDS, &m.base);
    assert_null (device_find (p, &stranger.key.device));
    assert_false (is_admitted (&w.s[0], &stranger.link_key.public_key));
    /* A newer card of ours, from before a restore: we sign one above it. */
    list[0] = make_card (&w.s[0], 40, "tcp://127.0.0.1:9", arena);
    inject (&w, 0, WEIR_KIND_W_CARDS, &m.base);
    assert_int_equal (p->card->counter, 41);
    world_pass (&w, 100);
    assert_int_equal (side_other (&w, 1)->card->counter, 41);
    assert_int_equal (d->card_acked, 41);
    weir_arena_destroy (&arena);
    world_fini (&w);
}

/* ---- members come and go ---- */

static void
removed (void **state)
{
    struct world w;
    Weir__RightsChanged changed = WEIR__RIGHTS_CHANGED__INIT;
    (void) state;
    meet (&w);
    w.s[0].rights[1] = 0;
    side_deliver (&w.s[0], WEIR_KIND_RIGHTS_CHANGED, STORE, &changed.base, weir_bytes (NULL, 0));
    world_settle (&w);
    assert_false (is_connected (&w, 0));
    assert_int_equal (w.s[0].bye, WEIR_REMOVED); /* told, and not let in again */
    assert_int_equal (w.s[0].n_admitted, 0);
    assert_int_equal (side_other (&w, 1)->last_error, WEIR_REMOVED);
    unsigned dials = w.s[1].dials;
    world_pass (&w, 30000);
    assert_false (is_connected (&w, 1));
    assert_int_equal (side_other (&w, 1)->last_error, WEIR_REMOVED); /* the reason stays */
    assert_true (w.s[1].dials - dials < 10);                         /* and the pace is slow */
    assert_int_equal (w.s[0].dials, w.s[0].dials);
    w.s[0].rights[1] = 2; /* signed in again */
    side_deliver (&w.s[0], WEIR_KIND_RIGHTS_CHANGED, STORE, &changed.base, weir_bytes (NULL, 0));
    world_pass (&w, 15000);
    BOTH_CONNECTED (&w);
    world_fini (&w);
}

/* A device that comes and goes a thousand times leaves the rows that it left once. */
static void
comes_and_goes (void **state)
{
    struct world w;
    Weir__RightsChanged changed = WEIR__RIGHTS_CHANGED__INIT;
    size_t rows = 0;
    (void) state;
    meet (&w);
    for (unsigned i = 0; i < 1000; i++) {
        w.s[0].rights[1] = 0;
        side_deliver (&w.s[0], WEIR_KIND_RIGHTS_CHANGED, STORE, &changed.base,
                      weir_bytes (NULL, 0));
        world_settle (&w);
        w.s[0].rights[1] = 2;
        side_deliver (&w.s[0], WEIR_KIND_RIGHTS_CHANGED, STORE, &changed.base,
                      weir_bytes (NULL, 0));
        world_settle (&w);
        if (i == 0) {
            world_pass (&w, 2000); /* rows are written within a second */
            rows = weir_map_count (w.s[0].rows);
        }
    }
    world_pass (&w, 2000);
    assert_true (weir_map_count (w.s[0].rows) <= rows + 1);
    world_fini (&w);
}

/* A device that was never a member is not even told that. */
static void
stranger_with_a_key (void **state)
{
    struct world w;
    (void) state;
    world_init (&w);
    world_relate (&w);
    w.s[0].rights[1] = 99;
    w.s[1].listens = false;
    side_start (&w, 0);
    side_start (&w, 1);
    world_pass (&w, 3000);
    assert_false (is_connected (&w, 0));
    assert_int_equal (w.s[0].n_admitted, 0);
    assert_int_equal (side_other (&w, 1)->last_error, WEIR_NOT_REACHABLE_OR_NOT_ADMITTED);
    /* Even one that got through the door (a key that serves two devices). */
    w.s[0].admitted[w.s[0].n_admitted++] = w.s[1].link_key.public_key;
    world_pass (&w, 3000);
    assert_false (is_connected (&w, 0));
    assert_int_equal (w.s[0].bye, WEIR_REFUSED);
    world_fini (&w);
}

/* Of a database joined through one who is not its creator only the beginning came: neither of the
 * two is a member by that, and the inviter stays who it is asked of. */
static void
half_joined (void **state)
{
    struct world w;
    (void) state;
    world_init (&w);
    world_relate (&w);
    w.s[1].rights[0] = 99;
    w.s[1].rights[1] = 99;
    w.s[1].has_creator = true;
    side_start (&w, 0);
    side_start (&w, 1);
    world_pass (&w, 3000);
    BOTH_CONNECTED (&w);
    assert_true (side_other (&w, 1)->relations->shared);
    world_fini (&w);
}

static void
blocked (void **state)
{
    struct world w;
    Weir__PeerBlock ask = WEIR__PEER_BLOCK__INIT;
    (void) state;
    meet (&w);
    struct weir_id other = world_device (&w, 1);
    struct weir_id_text text = weir_id_text (&other);
    ask.has_peer = true;
    ask.peer = weir_field_str (text.s);
    struct fake_sent *s = side_call (&w, 0, WEIR_KIND_PEER_BLOCK, &ask.base);
    assert_int_equal (s->status, WEIR_OK);
    fake_sent_free (s);
    assert_false (is_connected (&w, 0));
    assert_int_equal (w.s[0].n_admitted, 0);
    world_pass (&w, 5000);
    assert_false (is_connected (&w, 0));
    assert_int_equal (side_other (&w, 0)->last_error, WEIR_OK); /* ours, and no refusal of theirs */
    side_kill (&w, 0);                                          /* it is remembered */
    side_start (&w, 0);
    world_pass (&w, 3000);
    assert_false (is_connected (&w, 0));
    ask.has_off = ask.off = true;
    s = side_call (&w, 0, WEIR_KIND_PEER_BLOCK, &ask.base);
    assert_int_equal (s->status, WEIR_OK);
    fake_sent_free (s);
    world_pass (&w, 3000);
    BOTH_CONNECTED (&w);
    world_fini (&w);
}

/* `sync add` on one side is enough when the other is a member; `sync rm` is respected. */
static void
related_by_one_side (void **state)
{
    struct world w;
    char key[200];
    (void) state;
    world_init (&w);
    world_relate (&w);
    struct weir_id one = world_device (&w, 1);
    snprintf (key, sizeof key, "relationships/%s/%s", weir_id_text (&one).s,
              weir_id_text (&w.db).s);
    free_row (weir_map_remove (w.s[0].rows, weir_bytes_str (key)));
    side_start (&w, 0);
    side_start (&w, 1);
    world_pass (&w, 3000);
    BOTH_CONNECTED (&w);
    struct relation *r = relation_find (side_other (&w, 0), &w.db);
    assert_non_null (r);
    assert_int_equal (r->direction, WEIR_SYNC_BOTH);
    Weir__Relationship ask = WEIR__RELATIONSHIP__INIT;
    struct weir_id_text text = weir_id_text (&one);
    ask.has_db = ask.has_peer = true;
    ask.db = weir_field_str ("notes");
    ask.peer = weir_field_str (text.s);
    struct fake_sent *s = side_call (&w, 0, WEIR_KIND_SYNC_UNRELATE, &ask.base);
    assert_int_equal (s->status, WEIR_OK);
    fake_sent_free (s);
    world_pass (&w, 60000); /* the other side asks on */
    assert_int_equal (relation_find (side_other (&w, 0), &w.db)->direction, 0);
    ask.has_direction = ask.has_priority = ask.has_rate = true;
    ask.direction = weir_field_str ("push");
    ask.priority = weir_field_str ("low");
    ask.rate = 2000;
    s = side_call (&w, 0, WEIR_KIND_SYNC_RELATE, &ask.base);
    assert_int_equal (s->status, WEIR_OK);
    fake_sent_free (s);
    r = relation_find (side_other (&w, 0), &w.db);
    assert_int_equal (r->direction, WEIR_SYNC_PUSH);
    assert_int_equal (r->priority, 2);
    assert_int_equal (r->rate, 2000);
    world_fini (&w);
}

/* ---- joining ---- */

static void
give_ticket (struct world *w)
{
    Weir__Tickets tickets = WEIR__TICKETS__INIT;
    Weir__LiveTicket live = WEIR__LIVE_TICKET__INIT;
    Weir__LiveTicket *items[1] = { &live };
    live.has_id = live.has_link_key = live.has_expires_ms = true;
    live.id = live.link_key = weir_field_id (&w->ticket.public_key);
    live.expires_ms = 1800000000000u;
    tickets.items = items;
    tickets.n_items = 1;
    side_deliver (&w->s[0], WEIR_KIND_TICKETS, STORE, &tickets.base, weir_bytes (NULL, 0));
}

static void
want_join (struct world *w)
{
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    Weir__JoinWanted m = WEIR__JOIN_WANTED__INIT;
    m.has_db = m.has_ticket = m.has_secret = true;
    m.db = weir_field_id (&w->db);
    m.ticket = weir_field_id (&w->ticket.public_key);
    m.secret = weir_field_of (weir_bytes (w->ticket.secret, 32));
    m.card = make_card (&w->s[0], 1, "tcp://127.0.0.1:9", arena);
    side_deliver (&w->s[1], WEIR_KIND_JOIN_WANTED, STORE, &m.base, weir_bytes (NULL, 0));
    weir_arena_destroy (&arena);
}

static void
before_join (struct world *w)
{
    world_init (w);
    w->s[0].rights[1] = 99;
    w->s[1].joining = true;
    side_start (w, 0);
    side_start (w, 1);
    give_ticket (w);
    want_join (w);
}

static void
joins (void **state)
{
    struct world w;
    (void) state;
    before_join (&w);
    want_join (&w); /* said twice */
    world_pass (&w, 3000);
    assert_int_equal (w.s[0].redeemed, 1);
    assert_int_equal (w.s[1].joined, 1);
    assert_int_equal (w.s[1].joined_status, WEIR_OK);
    BOTH_CONNECTED (&w); /* with its own key now */
    assert_true (is_admitted (&w.s[0], &w.s[1].link_key.public_key));
    assert_non_null (relation_find (side_other (&w, 0), &w.db));
    assert_non_null (relation_find (side_other (&w, 1), &w.db));
    assert_int_equal (((struct peers *) w.s[1].a->state)->n_joins, 0);
    side_kill (&w, 0);
    side_kill (&w, 1);
    side_start (&w, 0);
    side_start (&w, 1);
    world_pass (&w, 3000);
    BOTH_CONNECTED (&w); /* both wrote it down before they said so */
    world_fini (&w);
}

/* Whoever dies, at whatever moment: the join ends in both being in step, once. */
static void
join_survives_kills (void **state)
{
    (void) state;
    for (unsigned victim = 0; victim < 2; victim++) {
        for (uint64_t ms = 0; ms <= 120; ms += 10) {
            struct world w;
            before_join (&w);
            world_pass (&w, ms);
            side_kill (&w, victim);
            side_start (&w, victim);
            if (victim == 0) {
                give_ticket (&w);
            } else if (w.s[1].joined == 0) {
                want_join (&w); /* as its store repeats until it has heard the end */
            }
            world_pass (&w, 8000);
            assert_int_equal (w.s[1].joined_status, WEIR_OK);
            assert_int_equal (w.s[1].joined, 1);
            BOTH_CONNECTED (&w);
            world_fini (&w);
        }
    }
}

static void
join_refused (void **state)
{
    static const enum weir_status rows[] = { WEIR_TICKET_USED, WEIR_TICKET_EXPIRED,
                                             WEIR_NOT_ALLOWED, WEIR_BAD_TICKET };
    (void) state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct world w;
        before_join (&w);
        w.s[0].redeem = rows[i];
        world_pass (&w, 3000);
        assert_int_equal (w.s[0].redeemed, 1);
        assert_int_equal (w.s[1].joined, 1); /* it ended, and the store knows how */
        assert_int_equal (w.s[1].joined_status, rows[i]);
        world_pass (&w, 10000);
        assert_int_equal (w.s[0].redeemed, 1);
        assert_null (device_find (w.s[0].a->state, &w.s[1].key.device));
        assert_false (is_admitted (&w.s[0], &w.s[1].link_key.public_key));
        world_fini (&w);
    }
    struct world w; /* for now: tried again */
    before_join (&w);
    w.s[0].redeem = WEIR_DISK_FULL;
    world_pass (&w, 1000);
    assert_int_equal (w.s[1].joined, 0);
    w.s[0].redeem = WEIR_OK;
    world_pass (&w, 5000);
    assert_int_equal (w.s[1].joined, 1);
    world_fini (&w);
}

/* The link shows one ticket and the words name another; a guest asks for anything else. */
static bool
other_ticket (struct world *w, unsigned from, uint16_t kind, struct weir_buf *meta)
{
    (void) from;
    if (kind == WEIR_KIND_W_JOIN && w->hooked == 0) {
        Weir__Digests digests = WEIR__DIGESTS__INIT;
        w->hooked++;
        for (size_t i = 0; i + 32 <= meta->len; i++) {
            if (memcmp (meta->data + i, w->ticket.public_key.b, 32) == 0) {
                meta->data[i] ^= 1;
                break;
            }
        }
        inject (w, 0, WEIR_KIND_W_DIGESTS, &digests.base);
    }
    return true;
}

static void
guests_are_kept_short (void **state)
{
    struct world w;
    (void) state;
    before_join (&w);
    w.hook = other_ticket;
    world_pass (&w, 2000);
    assert_int_equal (w.hooked, 1);
    assert_int_equal (w.s[0].redeemed, 0);
    assert_int_equal (w.s[1].joined_status, WEIR_BAD_TICKET);
    assert_true (((struct peers *) w.s[0].a->state)->ignored > 0);
    assert_false (is_connected (&w, 0));
    world_fini (&w);
}

static void
ticket_runs_out (void **state)
{
    struct world w;
    Weir__Tickets none = WEIR__TICKETS__INIT;
    (void) state;
    world_init (&w);
    w.s[0].rights[1] = 99;
    w.s[1].joining = true;
    side_start (&w, 0);
    side_start (&w, 1);
    give_ticket (&w);
    world_settle (&w);
    assert_true (is_admitted (&w.s[0], &w.ticket.public_key));
    side_deliver (&w.s[0], WEIR_KIND_TICKETS, STORE, &none.base, weir_bytes (NULL, 0));
    world_settle (&w);
    assert_false (is_admitted (&w.s[0], &w.ticket.public_key));
    want_join (&w);
    world_pass (&w, 3000);
    assert_int_equal (w.s[0].redeemed, 0);
    world_fini (&w);
}

/* ---- truth ---- */

static struct fake_sent *
wait_for (struct world *w, unsigned i, uint32_t ms)
{
    Weir__SyncWait ask = WEIR__SYNC_WAIT__INIT;
    ask.has_db = ask.has_ms = true;
    ask.db = weir_field_str ("notes");
    ask.ms = ms;
    return side_call (w, i, WEIR_KIND_SYNC_WAIT, &ask.base);
}

static void
waiting_tells_the_truth (void **state)
{
    struct world w;
    (void) state;
    meet (&w);
    struct fake_sent *s = wait_for (&w, 0, 1000);
    assert_non_null (s);
    assert_true (((const Weir__SyncWaited *) s->decoded)->synced);
    fake_sent_free (s);
    /* Written, and not told yet: the store's word counts, not ours. */
    memset (w.s[0].digest.b, 0xd2, sizeof w.s[0].digest.b);
    w.s[0].lag = 3;
    s = wait_for (&w, 0, 1000);
    assert_null (s);
    world_pass (&w, 1500);
    s = fake_find (w.s[0].a, WEIR_KIND_SYNC_WAIT, true);
    assert_non_null (s);
    assert_false (((const Weir__SyncWaited *) s->decoded)->synced);
    fake_sent_free (s);
    Weir__Novel novel = WEIR__NOVEL__INIT;
    novel.has_db = novel.has_digest = true;
    novel.db = weir_field_id (&w.db);
    novel.digest = weir_field_id (&w.s[0].digest);
    side_deliver (&w.s[0], WEIR_KIND_NOVEL, STORE, &novel.base, weir_bytes (NULL, 0));
    s = wait_for (&w, 0, 500);
    assert_null (s);
    world_pass (&w, 600);
    s = fake_find (w.s[0].a, WEIR_KIND_SYNC_WAIT, true);
    const Weir__SyncWaited *m = (const Weir__SyncWaited *) s->decoded;
    assert_false (m->synced);
    assert_int_equal (m->n_waiting_for, 1); /* who, and why */
    assert_true (m->waiting_for[0]->reason != 0);
    fake_sent_free (s);
    /* The other side has it now, and says so. */
    w.s[1].digest = w.s[0].digest;
    side_deliver (&w.s[1], WEIR_KIND_NOVEL, STORE, &novel.base, weir_bytes (NULL, 0));
    s = wait_for (&w, 0, 20000);
    for (int i = 0; i < 100 && s == NULL; i++) {
        world_pass (&w, 200);
        s = fake_find (w.s[0].a, WEIR_KIND_SYNC_WAIT, true);
    }
    assert_non_null (s);
    assert_true (((const Weir__SyncWaited *) s->decoded)->synced);
    fake_sent_free (s);
    world_fini (&w);
}

static void
lag_when_away (void **state)
{
    struct world w;
    Weir__SyncAsk ask = WEIR__SYNC_ASK__INIT;
    Weir__PeerName all = WEIR__PEER_NAME__INIT;
    (void) state;
    meet (&w);
    world_pass (&w, 3000); /* the cursor is written */
    side_kill (&w, 1);
    side_kill (&w, 0);
    side_start (&w, 0);
    struct fake_sent *s = side_call (&w, 0, WEIR_KIND_SYNC_STATUS, &ask.base);
    const Weir__SyncStatus *m = (const Weir__SyncStatus *) s->decoded;
    assert_int_equal (m->n_pairs, 1);
    assert_true (m->pairs[0]->lag_known); /* it was in step, and nothing came since */
    assert_int_equal (m->pairs[0]->lag_entries, 0);
    assert_false (m->pairs[0]->in_step);
    fake_sent_free (s);
    memset (w.s[0].digest.b, 0xd3, sizeof w.s[0].digest.b);
    w.s[0].lag = 5;
    Weir__Novel novel = WEIR__NOVEL__INIT;
    novel.has_db = novel.has_digest = true;
    novel.db = weir_field_id (&w.db);
    novel.digest = weir_field_id (&w.s[0].digest);
    side_deliver (&w.s[0], WEIR_KIND_NOVEL, STORE, &novel.base, weir_bytes (NULL, 0));
    s = side_call (&w, 0, WEIR_KIND_PEER_LIST, &all.base);
    const Weir__Peers *peers = (const Weir__Peers *) s->decoded;
    assert_int_equal (peers->n_items, 1);
    assert_int_equal (peers->items[0]->lag_entries, 5);
    assert_int_equal (peers->items[0]->lag_oldest_ms, 50);
    assert_true (peers->items[0]->reason != 0);
    fake_sent_free (s);
    world_fini (&w);
}

/* ---- clients ---- */

static void
verbs (void **state)
{
    struct world w;
    Weir__PeerName name = WEIR__PEER_NAME__INIT;
    Weir__PeerAdd add = WEIR__PEER_ADD__INIT;
    Weir__SyncAsk sync = WEIR__SYNC_ASK__INIT;
    (void) state;
    meet (&w);
    struct weir_id other = world_device (&w, 1);
    char prefix[9] = "";
    memcpy (prefix, weir_id_text (&other).s, 8);
    name.has_peer = true;
    name.peer = weir_field_str (prefix);
    struct fake_sent *s = side_call (&w, 0, WEIR_KIND_PEER_LIST, &name.base);
    const Weir__Peers *peers = (const Weir__Peers *) s->decoded;
    assert_int_equal (peers->n_items, 1);
    assert_int_equal (peers->items[0]->n_pairs, 1);
    assert_memory_equal (peers->items[0]->state.data, "connected", 9);
    fake_sent_free (s);
    s = side_call (&w, 0, WEIR_KIND_PEER_PING, &name.base);
    assert_int_equal (s->status, WEIR_OK);
    fake_sent_free (s);
    s = side_call (&w, 0, WEIR_KIND_PEER_SELF, NULL);
    const Weir__PeerSelf *self = (const Weir__PeerSelf *) s->decoded;
    assert_int_equal (self->n_addresses, 1);
    assert_int_equal (self->n_link_keys, 1);
    fake_sent_free (s);
    s = side_call (&w, 0, WEIR_KIND_KEY_ROTATE_LINK, NULL);
    assert_int_equal (s->status, WEIR_OK);
    fake_sent_free (s);
    s = side_call (&w, 0, WEIR_KIND_SYNC_NOW, &sync.base);
    assert_int_equal (s->status, WEIR_OK);
    fake_sent_free (s);
    name.peer = weir_field_str ("nobody");
    s = side_call (&w, 0, WEIR_KIND_PEER_LIST, &name.base);
    assert_int_equal (s->status, WEIR_NOT_FOUND);
    fake_sent_free (s);
    sync.has_db = true;
    sync.db = weir_field_str ("nothing");
    s = side_call (&w, 0, WEIR_KIND_SYNC_STATUS, &sync.base);
    assert_int_equal (s->status, WEIR_NOT_FOUND);
    fake_sent_free (s);
    add.has_address = true;
    add.address = weir_field_str ("weir://nonsense");
    s = side_call (&w, 0, WEIR_KIND_PEER_ADD, &add.base);
    assert_int_equal (s->status, WEIR_BAD_ADDRESS);
    fake_sent_free (s);
    name.peer = weir_field_str (prefix);
    s = side_call (&w, 0, WEIR_KIND_PEER_REMOVE, &name.base);
    assert_int_equal (s->status, WEIR_OK);
    fake_sent_free (s);
    world_settle (&w);
    assert_false (is_connected (&w, 0));
    world_fini (&w);
}

static void
verbs_of_transports (void **state)
{
    struct world w;
    struct fake_sent *s = NULL;
    Weir__TransportSet set = WEIR__TRANSPORT_SET__INIT;
    (void) state;
    meet (&w);
    set.has_name = set.has_running = true;
    set.name = weir_field_str ("transport-1");
    s = side_call (&w, 0, WEIR_KIND_TRANSPORT_SET, &set.base);
    assert_int_equal (s->status, WEIR_OK);
    fake_sent_free (s);
    fake_sent_free (fake_take (w.s[0].a, WEIR_KIND_TRANSPORT_RUN));
    set.name = weir_field_str ("transport-9");
    s = side_call (&w, 0, WEIR_KIND_TRANSPORT_SET, &set.base);
    assert_int_equal (s->status, WEIR_NOT_FOUND);
    fake_sent_free (s);
    assert_null (side_call (&w, 0, WEIR_KIND_TRANSPORT_LIST, NULL));
    Weir__TransportStatus status = WEIR__TRANSPORT_STATUS__INIT;
    status.has_refused = true;
    status.refused = 4;
    fake_answer (w.s[0].a, fake_take (w.s[0].a, WEIR_KIND_LINK_STATUS), WEIR_OK, &status.base);
    s = fake_find (w.s[0].a, WEIR_KIND_TRANSPORT_LIST, true);
    const Weir__Transports *list = (const Weir__Transports *) s->decoded;
    assert_int_equal (list->n_items, 1);
    assert_int_equal (list->items[0]->refused, 4);
    assert_false (list->items[0]->running);
    fake_sent_free (s);
    world_fini (&w);
}

/* Added by hand, on both sides, with nothing shared: a session, and no more. */
static void
added_by_hand (void **state)
{
    struct world w;
    (void) state;
    world_init (&w);
    w.s[0].has_db = w.s[1].has_db = false;
    side_start (&w, 0);
    side_start (&w, 1);
    for (unsigned i = 0; i < 2; i++) {
        Weir__PeerAdd add = WEIR__PEER_ADD__INIT;
        struct weir_buf text = { 0 };
        peers_address_print (&text, &w.s[1 - i].key.device, "tcp://127.0.0.1:9",
                             &w.s[1 - i].link_key.public_key);
        add.has_address = true;
        add.address = weir_field_of (weir_buf_bytes (&text));
        struct fake_sent *s = side_call (&w, i, WEIR_KIND_PEER_ADD, &add.base);
        assert_int_equal (s->status, WEIR_OK);
        assert_int_equal (((const Weir__PeerId *) s->decoded)->device.len, 32);
        fake_sent_free (s);
        weir_buf_fini (&text);
    }
    world_pass (&w, 3000);
    BOTH_CONNECTED (&w);
    assert_int_equal (side_other (&w, 0)->card->counter, 1); /* a signed card came */
    side_kill (&w, 0);
    side_start (&w, 0);
    world_pass (&w, 3000);
    BOTH_CONNECTED (&w);
    world_fini (&w);
}

/* ---- partners come back ---- */

static void
store_and_transport_restart (void **state)
{
    struct world w;
    (void) state;
    meet (&w);
    fake_up (w.s[0].a, "store", STORE);
    world_pass (&w, 3000);
    BOTH_CONNECTED (&w);
    struct weir_sync_state s;
    struct weir_id other = world_device (&w, 1);
    struct peers *p = w.s[0].a->state;
    assert_true (weir_sync_find (p->sync, &other, &w.db, &s));
    assert_int_equal (s.phase, WEIR_SYNC_EQUAL);
    fake_down (w.s[0].a, "transport", TRANSPORT);
    assert_false (is_connected (&w, 0));
    Weir__TransportReady ready = WEIR__TRANSPORT_READY__INIT;
    ready.has_name = ready.has_kind = true;
    ready.name = weir_field_str ("transport-1");
    ready.kind = weir_field_str ("curve");
    for (size_t k = 0; k < w.n_links; k++) {
        link_lost (&w, 1, &w.links[k], WEIR_NOT_REACHABLE_OR_NOT_ADMITTED);
    }
    side_deliver (&w.s[0], WEIR_KIND_TRANSPORT_READY, TRANSPORT, &ready.base, weir_bytes (NULL, 0));
    world_pass (&w, 3000);
    BOTH_CONNECTED (&w);
    unsigned told = w.s[0].in_step;
    fake_up (w.s[0].a, "retry", RETRY); /* what it was told last may be lost */
    Weir__Behind due = WEIR__BEHIND__INIT;
    due.has_device = due.has_db = true;
    due.device = weir_field_id (&other);
    due.db = weir_field_id (&w.db);
    side_deliver (&w.s[0], WEIR_KIND_DUE, RETRY, &due.base, weir_bytes (NULL, 0));
    world_pass (&w, 2000);
    assert_int_equal (w.s[0].in_step, told + 1);
    world_fini (&w);
}

/* The network is away for a minute: the pace stays below one dial a second, and it heals soon
 * after, whatever the retry queue's own delay. */
static void
outage (void **state)
{
    struct world w;
    (void) state;
    meet (&w);
    w.cut = true;
    for (size_t k = 0; k < w.n_links; k++) {
        link_lost (&w, 0, &w.links[k], WEIR_NOT_REACHABLE_OR_NOT_ADMITTED);
        link_lost (&w, 1, &w.links[k], WEIR_NOT_REACHABLE_OR_NOT_ADMITTED);
    }
    unsigned dials = w.s[0].dials;
    world_pass (&w, 60000);
    assert_in_range (w.s[0].dials - dials, 40, 90);
    Weir__Behind due = WEIR__BEHIND__INIT;
    struct weir_id other = world_device (&w, 1);
    due.has_device = due.has_db = true;
    due.device = weir_field_id (&other);
    due.db = weir_field_id (&w.db);
    unsigned behind = w.s[0].behind;
    side_deliver (&w.s[0], WEIR_KIND_DUE, RETRY, &due.base, weir_bytes (NULL, 0));
    world_pass (&w, 1000);
    assert_int_equal (w.s[0].behind, behind + 1); /* told how that attempt ended */
    assert_int_equal (w.s[0].behind_status, WEIR_NOT_REACHABLE_OR_NOT_ADMITTED);
    w.cut = false;
    world_pass (&w, 3000);
    BOTH_CONNECTED (&w);
    world_fini (&w);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (one_session),
        cmocka_unit_test (tampered_handshakes),
        cmocka_unit_test (replayed_and_reflected),
        cmocka_unit_test (before_the_session),
        cmocka_unit_test (nonsense_in_a_session),
        cmocka_unit_test (cards_newest_and_true),
        cmocka_unit_test (removed),
        cmocka_unit_test (comes_and_goes),
        cmocka_unit_test (stranger_with_a_key),
        cmocka_unit_test (half_joined),
        cmocka_unit_test (blocked),
        cmocka_unit_test (related_by_one_side),
        cmocka_unit_test (joins),
        cmocka_unit_test (join_survives_kills),
        cmocka_unit_test (join_refused),
        cmocka_unit_test (guests_are_kept_short),
        cmocka_unit_test (ticket_runs_out),
        cmocka_unit_test (waiting_tells_the_truth),
        cmocka_unit_test (lag_when_away),
        cmocka_unit_test (verbs),
        cmocka_unit_test (verbs_of_transports),
        cmocka_unit_test (added_by_hand),
        cmocka_unit_test (store_and_transport_restart),
        cmocka_unit_test (outage),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
