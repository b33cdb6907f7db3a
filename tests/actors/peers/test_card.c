/* Goal: a card is believed only when every byte of it was signed by its device, and addresses
 * that people paste are read exactly or refused with what is wrong. */

#include "tests/actors/peers/world.h"

static struct side
some_side (void)
{
    static const uint8_t seed[32] = { 5 };
    struct side s;
    memset (&s, 0, sizeof s);
    weir_crypto_init ();
    weir_identity_init (&s.key, seed);
    weir_link_key_make (&s.link_key);
    return s;
}

static void
every_byte_counts (void **state)
{
    struct side s = some_side ();
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    Weir__Card *m = make_card (&s, 9, "tcp://127.0.0.1:9", arena);
    struct peers_card *card = NULL;
    struct weir_buf packed = { 0 };
    (void) state;
    assert_int_equal (peers_card_read (&card, m), WEIR_OK);
    assert_int_equal (card->counter, 9);
    assert_int_equal (card->n_keys, 1);
    assert_int_equal (card->n_addresses, 1);
    assert_true (weir_id_equal (&card->device, &s.key.device));
    weir_buf_put_bytes (&packed, weir_buf_bytes (&card->packed));
    assert_non_null (peers_card_message (card, arena));
    peers_card_destroy (&card);
    peers_card_destroy (&card);
    for (size_t i = 0; i < packed.len; i++) { /* one bit of it, anywhere */
        packed.data[i] ^= 0x10;
        enum weir_status status = peers_card_read_bytes (&card, weir_buf_bytes (&packed));
        if (status == WEIR_OK) { /* a field that means nothing: what was signed is unchanged */
            assert_int_equal (card->counter, 9);
            assert_true (weir_id_equal (&card->device, &s.key.device));
            peers_card_destroy (&card);
        }
        packed.data[i] ^= 0x10;
    }
    for (size_t len = 0; len < packed.len; len++) { /* truncated */
        assert_int_equal (peers_card_read_bytes (&card, weir_bytes (packed.data, len)),
                          WEIR_BAD_CARD);
    }
    assert_int_equal (peers_card_read (&card, NULL), WEIR_BAD_CARD);
    weir_buf_fini (&packed);
    weir_arena_destroy (&arena);
}

/* Signed by its device, and still not a card: too many keys, another length, no device. */
static void
signed_nonsense (void **state)
{
    struct side s = some_side ();
    (void) state;
    for (int how = 0; how < 6; how++) {
        Weir__CardBody body = WEIR__CARD_BODY__INIT;
        Weir__Card m = WEIR__CARD__INIT;
        ProtobufCBinaryData fields[24];
        struct weir_buf bytes = { 0 };
        struct weir_signature signature;
        struct peers_card *card = NULL;
        static char text[WEIR_ADDRESS_BYTES_MAX + 2];
        memset (text, 'a', sizeof text - 1);
        for (size_t i = 0; i < 24; i++) {
            fields[i] = weir_field_id (&s.link_key.public_key);
        }
        body.has_device = how != 0;
        body.device = weir_field_id (&s.key.device);
        body.link_keys = fields;
        body.n_link_keys = how == 1 ? PEERS_CARD_KEYS_MAX + 1 : 1;
        fields[0].len = how == 2 ? 31 : 32;
        body.addresses = fields + 8;
        body.n_addresses = how == 3 ? WEIR_CARD_ADDRESSES_MAX + 1 : how == 4 ? 1 : 0;
        fields[8] = how == 4 ? weir_field_str (text) : fields[8];
        body.has_name = how == 5;
        body.name = weir_field_str ("\xff\xfe");
        weir_meta_put (&bytes, &body.base);
        weir_sign (&signature, &s.key, WEIR_SIGN_CARD, weir_buf_bytes (&bytes));
        m.has_signed_bytes = m.has_signature = true;
        m.signed_bytes = weir_field_of (weir_buf_bytes (&bytes));
        m.signature = weir_field_of (weir_bytes (signature.b, sizeof signature.b));
        assert_int_equal (peers_card_read (&card, &m), WEIR_BAD_CARD);
        weir_buf_fini (&bytes);
    }
}

static void
addresses (void **state)
{
    struct side s = some_side ();
    struct peers_address a;
    struct weir_error e = { 0 };
    struct weir_buf text = { 0 };
    (void) state;
    peers_address_print (&text, &s.key.device, "tcp://node.example:28470", &s.link_key.public_key);
    assert_int_equal (peers_address_parse (&a, weir_buf_str (&text), &e), WEIR_OK);
    assert_true (weir_id_equal (&a.device, &s.key.device));
    assert_true (weir_id_equal (&a.key, &s.link_key.public_key));
    assert_string_equal (a.address, "tcp://node.example:28470");
    for (size_t len = 0; len < text.len; len++) { /* cut off while copying */
        char *cut = weir_strndup ((const char *) text.data, len);
        assert_int_equal (peers_address_parse (&a, cut, &e), WEIR_BAD_ADDRESS);
        assert_true (e.what[0] != '\0');
        free (cut);
    }
    weir_buf_put_u8 (&text, 'x');
    assert_int_equal (peers_address_parse (&a, weir_buf_str (&text), &e), WEIR_BAD_ADDRESS);
    weir_buf_clear (&text);
    weir_buf_printf (&text, "weir://%s@nohost?k=%s", weir_id_text (&s.key.device).s,
                     weir_id_text (&s.link_key.public_key).s);
    assert_int_equal (peers_address_parse (&a, weir_buf_str (&text), &e), WEIR_BAD_ADDRESS);
    weir_buf_fini (&text);
}

/* A cursor that was cut, or is of another version, is no cursor. */
static void
cursors (void **state)
{
    struct relation r;
    struct relation back;
    struct weir_buf row = { 0 };
    struct weir_range range = { .from_seq = 0, .to_seq = 4 };
    (void) state;
    memset (&r, 0, sizeof r);
    memset (&back, 0, sizeof back);
    memset (range.tip.b, 4, 32);
    known_add (&r, &range);
    range.from_seq = 4;
    range.to_seq = 9;
    memset (range.tip.b, 9, 32);
    known_add (&r, &range); /* it goes on: one row */
    known_add (&r, &range); /* said again */
    assert_int_equal (r.known.count, 1);
    assert_int_equal (r.known.rows[0].count, 9);
    assert_false (known_exact (&r));
    r.told = weir_vector_digest (&r.known);
    assert_true (known_exact (&r));
    r.acked = 9;
    ladder_add_hint (&r, &range.tip, 5);
    ladder_add_hint (&r, &r.told, 7);
    ladder_add_hint (&r, &r.told, 8); /* the same */
    known_put (&r, &row);
    assert_int_equal (known_get (&back, weir_buf_bytes (&row)), WEIR_OK);
    assert_true (weir_vector_equal (&r.known, &back.known));
    assert_int_equal (back.acked, 9);
    assert_true (known_exact (&back));
    assert_int_equal (back.n_hints, 2);
    assert_true (ladder_has_hint (&back, &r.told));
    assert_int_equal (back.hints[0].position, 7);
    assert_int_equal (back.hints[1].position, 5);
    for (size_t len = 0; len < row.len; len++) {
        assert_int_equal (known_get (&back, weir_bytes (row.data, len)), WEIR_CORRUPT);
    }
    row.data[0] = 3;
    assert_int_equal (known_get (&back, weir_buf_bytes (&row)), WEIR_CORRUPT);
    /* Too many rows for a cursor: then nothing is known, rather than something wrong. */
    for (uint64_t i = 0; i <= PEERS_KNOWN_ROWS_MAX; i++) {
        range.chain.lane = 100 + i;
        range.from_seq = 0;
        known_add (&r, &range);
    }
    weir_buf_clear (&row);
    known_put (&r, &row);
    assert_int_equal (known_get (&back, weir_buf_bytes (&row)), WEIR_OK);
    assert_false (back.known_any);
    assert_false (known_exact (&back));
    /* A row of the first version has no hints: it ends before them. */
    row.data[0] = 1;
    row.len -= 1 + 2 * (WEIR_ID_BYTES + 8);
    assert_int_equal (known_get (&back, weir_buf_bytes (&row)), WEIR_OK);
    known_clear (&r);
    known_clear (&back);
    free (r.hints);
    free (back.hints);
    weir_buf_fini (&row);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (every_byte_counts),
        cmocka_unit_test (signed_nonsense),
        cmocka_unit_test (addresses),
        cmocka_unit_test (cursors),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
