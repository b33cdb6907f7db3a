/* Goal: tickets and cards as bytes, each refusal by its own row, and both ends of a ticket at the
 * store: who may share, who owns a ticket, what the same device gets again. */

#include "tests/actors/store/fake.h"

#define NONE weir_bytes (NULL, 0)

static void
identity (struct weir_identity *out, uint8_t number)
{
    uint8_t seed[32] = { number, 50 };
    weir_identity_init (out, seed);
}

static void
make_card (struct weir_card *card, const struct weir_identity *k, const char *address)
{
    memset (card, 0, sizeof *card);
    card->device = k->device;
    card->counter = 3;
    card->n_link_keys = 1;
    card->link_keys[0].b[0] = 1;
    card->n_addresses = address != NULL ? 1 : 0;
    strcpy (card->addresses[0], address != NULL ? address : "");
    strcpy (card->name, "laptop");
}

static void
make_ticket (struct weir_buf *text, const struct weir_card *card, const struct weir_identity *k,
             uint32_t right)
{
    struct weir_ticket t = { .right = right, .expires_ms = 77 };
    t.db.b[0] = 9;
    t.secret[31] = 4;
    strcpy (t.db_name, "notes");
    weir_card_put (&t.card, card, k);
    weir_ticket_put (text, &t);
    weir_ticket_fini (&t);
}

static void
test_round_trip (void **state)
{
    (void) state;
    struct weir_identity k;
    struct weir_card card;
    struct weir_card read;
    struct weir_buf text = { 0 };
    struct weir_buf spaced = { 0 };
    struct weir_ticket t = { 0 };
    identity (&k, 1);
    make_card (&card, &k, "tcp://host:1");
    make_ticket (&text, &card, &k, WEIR_RIGHT_WRITE);
    weir_buf_printf (&spaced, " \t\n%s\r\n ", weir_buf_str (&text));
    assert_int_equal (weir_ticket_get (&t, weir_buf_bytes (&spaced), NULL), WEIR_OK);
    assert_string_equal (t.db_name, "notes");
    assert_int_equal (t.db.b[0], 9);
    assert_int_equal (t.secret[31], 4);
    assert_int_equal (t.right, WEIR_RIGHT_WRITE);
    assert_int_equal (t.expires_ms, 77);
    assert_true (weir_id_equal (&t.device, &k.device));
    assert_int_equal (weir_card_get (&read, weir_buf_bytes (&t.card)), WEIR_OK);
    assert_memory_equal (&read, &card, sizeof card);
    weir_ticket_fini (&t);
    weir_buf_fini (&text);
    weir_buf_fini (&spaced);
    weir_identity_fini (&k);
}

/* Cut anywhere, or one letter changed anywhere: a bad ticket, never a crash. */
static void
test_cut_and_mistyped (void **state)
{
    (void) state;
    struct weir_identity k;
    struct weir_card card;
    struct weir_buf text = { 0 };
    struct weir_ticket t = { 0 };
    struct weir_error e = { 0 };
    identity (&k, 1);
    make_card (&card, &k, "tcp://host:1");
    make_ticket (&text, &card, &k, WEIR_RIGHT_WRITE);
    for (size_t n = 0; n < text.len; n++) {
        assert_int_equal (weir_ticket_get (&t, weir_bytes (text.data, n), &e), WEIR_BAD_TICKET);
        assert_string_not_equal (e.what, "");
    }
    for (size_t i = 0; i < text.len; i++) {
        uint8_t was = text.data[i];
        text.data[i] = was == 'a' ? 'b' : 'a';
        enum weir_status status = weir_ticket_get (&t, weir_buf_bytes (&text), &e);
        assert_int_equal (status, WEIR_BAD_TICKET);
        text.data[i] = was;
    }
    static const char *const bad[] = {
        "", " ", "hello", "weir", "weir1", "weiraaaaaaaaaaaaaaaa", "WEIRABC", "weir:::::::::::"
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal (weir_ticket_get (&t, weir_bytes_str (bad[i]), &e), WEIR_BAD_TICKET);
    }
    weir_buf_clear (&text);
    weir_buf_put_bytes (&text, weir_bytes_str ("weir"));
    for (size_t i = 0; i < 2 * WEIR_TICKET_BYTES_MAX; i++) {
        weir_buf_put_u8 (&text, 'a');
    }
    assert_int_equal (weir_ticket_get (&t, weir_buf_bytes (&text), &e), WEIR_BAD_TICKET);
    weir_buf_fini (&text);
    weir_identity_fini (&k);
}

/* Well-formed text around contents that cannot be. */
static void
test_what_a_ticket_must_say (void **state)
{
    (void) state;
    struct weir_identity k;
    struct weir_identity other;
    struct weir_error e = { 0 };
    struct weir_ticket t = { 0 };
    identity (&k, 1);
    identity (&other, 2);
    for (int i = 0; i < 6; i++) {
        struct weir_card card;
        struct weir_buf text = { 0 };
        make_card (&card, &k, i == 1 ? NULL : "tcp://host:1");
        if (i == 2) {
            card.n_link_keys = 0;
        }
        if (i == 5) {
            memset (&card.device, 0, sizeof card.device);
        }
        make_ticket (&text, &card, i == 3 ? &other : &k,
                     i == 4 ? WEIR_RIGHT_COUNT : WEIR_RIGHT_READ);
        assert_int_equal (weir_ticket_get (&t, weir_buf_bytes (&text), &e),
                          i == 0 ? WEIR_OK : WEIR_BAD_TICKET);
        if (i == 0) {
            weir_ticket_fini (&t);
        }
        if (i == 1) {
            assert_non_null (strstr (e.what, "no address"));
        }
        if (i == 3) {
            assert_non_null (strstr (e.what, "does not verify"));
        }
        weir_buf_fini (&text);
    }
    weir_identity_fini (&k);
    weir_identity_fini (&other);
}

static void
test_cards (void **state)
{
    (void) state;
    struct weir_identity k;
    struct weir_card card;
    struct weir_card read;
    struct weir_buf packed = { 0 };
    identity (&k, 1);
    make_card (&card, &k, "tcp://host:1");
    weir_card_put (&packed, &card, &k);
    for (size_t n = 0; n < packed.len; n++) {
        assert_int_equal (weir_card_get (&read, weir_bytes (packed.data, n)), WEIR_BAD_CARD);
    }
    for (size_t i = 0; i < packed.len; i++) {
        packed.data[i] ^= 1;
        enum weir_status status = weir_card_get (&read, weir_buf_bytes (&packed));
        assert_true (status == WEIR_BAD_CARD);
        packed.data[i] ^= 1;
    }
    assert_int_equal (weir_card_get (&read, weir_buf_bytes (&packed)), WEIR_OK);
    weir_buf_clear (&packed);
    strcpy (card.name, "\xff");
    weir_card_put (&packed, &card, &k);
    assert_int_equal (weir_card_get (&read, weir_buf_bytes (&packed)), WEIR_BAD_CARD);
    weir_buf_fini (&packed);
    weir_identity_fini (&k);
}

/* ---- at the store ---- */

static void
listen (struct fake *f, const char *address)
{
    Weir__CardSign ask = WEIR__CARD_SIGN__INIT;
    ProtobufCBinaryData addresses[1] = { weir_field_str (address) };
    ask.n_addresses = 1;
    ask.addresses = addresses;
    assert_int_equal (fake_call (f, WEIR_KIND_CARD_SIGN, &ask.base, NONE, NULL), WEIR_OK);
}

static enum weir_status
share (struct fake *f, uint32_t right, uint32_t seconds, struct weir_ticket *t,
       struct weir_buf *text)
{
    Weir__DbShare ask = WEIR__DB_SHARE__INIT;
    const struct fake_sent *answer = NULL;
    ask.has_db = ask.has_right = ask.has_seconds = true;
    ask.db = weir_field_str ("notes");
    ask.right = right;
    ask.seconds = seconds;
    enum weir_status status = fake_call (f, WEIR_KIND_DB_SHARE, &ask.base, NONE, &answer);
    if (status == WEIR_OK) {
        const Weir__Ticket *m = (const Weir__Ticket *) fake_meta (answer);
        weir_buf_clear (text);
        weir_buf_put_bytes (text, weir_field (m->text));
        assert_int_equal (weir_ticket_get (t, weir_buf_bytes (text), NULL), WEIR_OK);
    }
    return status;
}

static enum weir_status
redeem (struct fake *f, const struct weir_ticket *t, uint8_t device)
{
    Weir__TicketRedeem ask = WEIR__TICKET_REDEEM__INIT;
    struct weir_id public_key;
    struct weir_id id = weir_id_zero;
    id.b[0] = device;
    weir_link_key_public (&public_key, t->secret);
    ask.has_device = ask.has_ticket = ask.has_name = true;
    ask.device = weir_field_id (&id);
    ask.ticket = weir_field_id (&public_key);
    ask.name = weir_field_str ("guest");
    return fake_call (f, WEIR_KIND_TICKET_REDEEM, &ask.base, NONE, NULL);
}

static void
test_inviter (void **state)
{
    (void) state;
    struct fake *f = calloc (1, sizeof *f);
    struct weir_ticket t = { 0 };
    struct weir_buf text = { 0 };
    fake_init (f, 31);
    fake_peers_up (f);
    struct weir_id db = fake_create (f, "notes");
    assert_int_equal (share (f, WEIR_RIGHT_WRITE, 60, &t, &text), WEIR_REFUSED); /* no address */
    listen (f, "tcp://host:1");
    assert_int_equal (share (f, 0, 60, &t, &text), WEIR_INVALID_ARGUMENT);
    assert_int_equal (share (f, WEIR_RIGHT_COUNT, 60, &t, &text), WEIR_INVALID_ARGUMENT);
    fake_clear (f);
    assert_int_equal (share (f, WEIR_RIGHT_WRITE, 60, &t, &text), WEIR_OK);
    const Weir__Tickets *m = (const Weir__Tickets *) fake_meta (fake_last (f, WEIR_KIND_TICKETS));
    assert_int_equal (m->n_items, 1);
    uint64_t commits = f->store->commits;
    assert_int_equal (redeem (f, &t, 1), WEIR_OK);
    assert_int_equal (f->store->commits, commits + 1);
    assert_int_equal (redeem (f, &t, 1), WEIR_OK); /* the same device again */
    assert_int_equal (redeem (f, &t, 2), WEIR_TICKET_USED);
    fake_restart (f, 0);
    assert_int_equal (redeem (f, &t, 1), WEIR_OK);
    assert_int_equal (f->store->commits, 0);
    assert_int_equal (redeem (f, &t, 2), WEIR_TICKET_USED);
    struct weir_id guest = weir_id_zero;
    guest.b[0] = 1;
    assert_int_equal (weir_repo_right (f->store->repo, &db, &guest), WEIR_RIGHT_WRITE);
    weir_ticket_fini (&t);
    /* Run out before anybody came; and one that was never made. */
    assert_int_equal (share (f, WEIR_RIGHT_READ, 60, &t, &text), WEIR_OK);
    f->wall_ms += 61000;
    assert_int_equal (redeem (f, &t, 3), WEIR_TICKET_EXPIRED);
    t.secret[0] ^= 1;
    assert_int_equal (redeem (f, &t, 3), WEIR_TICKET_EXPIRED);
    weir_ticket_fini (&t);
    weir_buf_fini (&text);
    fake_fini (f);
    free (f);
}

static void
test_guest (void **state)
{
    (void) state;
    struct fake *f = calloc (1, sizeof *f);
    struct weir_ticket t = { 0 };
    struct weir_buf text = { 0 };
    struct weir_buf foreign = { 0 };
    struct weir_identity k;
    struct weir_card card;
    fake_init (f, 32);
    fake_peers_up (f);
    fake_create (f, "notes");
    listen (f, "tcp://host:1");
    assert_int_equal (share (f, WEIR_RIGHT_WRITE, 60, &t, &text), WEIR_OK);
    Weir__Ticket ask = WEIR__TICKET__INIT;
    ask.has_text = true;
    ask.text = weir_field_of (weir_buf_bytes (&text));
    assert_int_equal (fake_call (f, WEIR_KIND_DB_JOIN, &ask.base, NONE, NULL), WEIR_OWN_DEVICE);
    ask.text = weir_field_str ("weirabc");
    assert_int_equal (fake_call (f, WEIR_KIND_DB_JOIN, &ask.base, NONE, NULL), WEIR_BAD_TICKET);
    identity (&k, 9);
    make_card (&card, &k, "tcp://host:2");
    make_ticket (&foreign, &card, &k, WEIR_RIGHT_WRITE);
    ask.text = weir_field_of (weir_buf_bytes (&foreign));
    fake_clear (f);
    for (size_t i = 1; i <= 2; i++) {
        assert_int_equal (fake_call (f, WEIR_KIND_DB_JOIN, &ask.base, NONE, NULL), WEIR_OK);
        assert_int_equal (fake_count (f, WEIR_KIND_JOIN_WANTED), i);
    }
    /* Wanted until peers says how it ended, also after a restart. */
    fake_restart (f, 0);
    fake_clear (f);
    fake_peers_up (f);
    assert_int_equal (fake_count (f, WEIR_KIND_JOIN_WANTED), 1);
    Weir__DbJoined joined = WEIR__DB_JOINED__INIT;
    struct weir_id db = weir_id_zero;
    db.b[0] = 9;
    joined.has_db = true;
    joined.db = weir_field_id (&db);
    assert_int_equal (fake_call (f, WEIR_KIND_DB_JOINED, &joined.base, NONE, NULL), WEIR_OK);
    assert_int_equal (fake_call (f, WEIR_KIND_DB_JOINED, &joined.base, NONE, NULL), WEIR_OK);
    fake_clear (f);
    fake_peers_up (f);
    assert_int_equal (fake_count (f, WEIR_KIND_JOIN_WANTED), 0);
    weir_ticket_fini (&t);
    weir_identity_fini (&k);
    weir_buf_fini (&text);
    weir_buf_fini (&foreign);
    fake_fini (f);
    free (f);
}

/* A card changes its counter only when it says something new; a rotated key keeps the old one until
 * it is retired; leases give what the card shows. */
static void
test_card_and_lease (void **state)
{
    (void) state;
    static const struct {
        const char *address;
        bool rotate, retire;
        uint64_t at_least;
        uint64_t counter;
        size_t keys;
    } rows[] = {
        { "tcp://a:1", false, false, 0, 1, 1 },   { "tcp://a:1", false, false, 0, 1, 1 },
        { "tcp://b:1", false, false, 0, 2, 1 },   { "tcp://b:1", true, false, 0, 3, 2 },
        { "tcp://b:1", false, false, 0, 3, 2 },   { "tcp://b:1", false, true, 0, 4, 1 },
        { "tcp://b:1", false, true, 0, 4, 1 },    { "tcp://b:1", false, false, 9, 10, 1 },
        { "tcp://b:1", false, false, 10, 10, 1 },
    };
    struct fake *f = calloc (1, sizeof *f);
    const struct fake_sent *answer = NULL;
    fake_init (f, 33);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Weir__CardSign ask = WEIR__CARD_SIGN__INIT;
        ProtobufCBinaryData addresses[1] = { weir_field_str (rows[i].address) };
        struct weir_card card;
        ask.n_addresses = 1;
        ask.addresses = addresses;
        ask.has_rotate = ask.has_retire = ask.has_at_least = true;
        ask.rotate = rows[i].rotate;
        ask.retire = rows[i].retire;
        ask.at_least = rows[i].at_least;
        assert_int_equal (fake_call (f, WEIR_KIND_CARD_SIGN, &ask.base, NONE, &answer), WEIR_OK);
        assert_int_equal (weir_card_get (&card, weir_buf_bytes (&answer->meta)), WEIR_OK);
        if (card.counter != rows[i].counter || card.n_link_keys != rows[i].keys) {
            fail_msg ("row %zu: counter %u, %zu keys", i, (unsigned) card.counter,
                      card.n_link_keys);
        }
        Weir__LeaseAsk lease = WEIR__LEASE_ASK__INIT;
        assert_int_equal (fake_call (f, WEIR_KIND_LEASE, &lease.base, NONE, &answer), WEIR_OK);
        const Weir__Lease *m = (const Weir__Lease *) fake_meta (answer);
        assert_int_equal (m->n_keys, rows[i].keys);
        assert_memory_equal (m->keys[0]->public_key.data, card.link_keys[0].b, 32);
    }
    fake_fini (f);
    free (f);
}

int
main (void)
{
    weir_crypto_init ();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_round_trip),
        cmocka_unit_test (test_cut_and_mistyped),
        cmocka_unit_test (test_what_a_ticket_must_say),
        cmocka_unit_test (test_cards),
        cmocka_unit_test (test_inviter),
        cmocka_unit_test (test_guest),
        cmocka_unit_test (test_card_and_lease),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
