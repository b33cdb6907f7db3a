/* Goal: signatures are Ed25519 over tag || message (key vector of RFC 8032), one use's is worth
 * nothing for another, and keys or signatures that a strict verifier must refuse are refused. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/crypto/sign.h"

#include <sodium.h>
#include <string.h>

static const uint8_t seed[32] = {
    0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4,
    0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
};
static const uint8_t public_key[32] = {
    0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64, 0x07, 0x3a,
    0x0e, 0xe1, 0x72, 0xf3, 0xda, 0xa6, 0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a,
};

static void
test_identity (void **state)
{
    (void) state;
    struct weir_identity k;
    struct weir_identity none;
    memset (&none, 0, sizeof none);
    weir_identity_init (&k, seed);
    assert_memory_equal (k.device.b, public_key, sizeof public_key);
    weir_identity_fini (&k);
    assert_memory_equal (&k, &none, sizeof k);
}

static void
test_uses (void **state)
{
    (void) state;
    static const char *const tags[WEIR_SIGN_USE_COUNT] = { "weir-sign-entry", "weir-sign-proof",
                                                           "weir-sign-card", "weir-sign-ticket",
                                                           "weir-sign-export" };
    static uint8_t message[5000];
    static const size_t lens[] = { 0, 1, 32, 240, 241, 242, 243, 5000 };
    struct weir_identity k;
    weir_identity_init (&k, seed);
    for (unsigned use = 0; use < WEIR_SIGN_USE_COUNT; use++) {
        for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
            struct weir_signature s;
            struct weir_bytes m = weir_bytes (lens[i] == 0 ? NULL : message, lens[i]);
            weir_sign (&s, &k, (enum weir_sign_use) use, m);
            struct weir_buf text = { 0 };
            weir_buf_put_bytes (&text, weir_bytes_str (tags[use]));
            weir_buf_put_bytes (&text, m);
            assert_int_equal (crypto_sign_verify_detached (s.b, text.data, text.len, public_key),
                              0);
            weir_buf_fini (&text);
            for (unsigned other = 0; other < WEIR_SIGN_USE_COUNT; other++) {
                assert_int_equal (weir_verify (&k.device, (enum weir_sign_use) other, m, &s),
                                  other == use ? WEIR_OK : WEIR_BAD_SIGNATURE);
            }
        }
    }
    weir_identity_fini (&k);
}

static void
test_every_bit_counts (void **state)
{
    (void) state;
    uint8_t message[32] = { 5 };
    struct weir_bytes m = weir_bytes (message, sizeof message);
    struct weir_identity k;
    struct weir_signature s;
    weir_identity_init (&k, seed);
    weir_sign (&s, &k, WEIR_SIGN_ENTRY, m);
    for (size_t bit = 0; bit < 8 * sizeof s.b; bit++) {
        s.b[bit / 8] ^= (uint8_t) (1u << bit % 8);
        assert_int_equal (weir_verify (&k.device, WEIR_SIGN_ENTRY, m, &s), WEIR_BAD_SIGNATURE);
        s.b[bit / 8] ^= (uint8_t) (1u << bit % 8);
    }
    for (size_t bit = 0; bit < 8 * sizeof message; bit++) {
        message[bit / 8] ^= (uint8_t) (1u << bit % 8);
        assert_int_equal (weir_verify (&k.device, WEIR_SIGN_ENTRY, m, &s), WEIR_BAD_SIGNATURE);
        message[bit / 8] ^= (uint8_t) (1u << bit % 8);
    }
    assert_int_equal (weir_verify (&k.device, WEIR_SIGN_ENTRY, m, &s), WEIR_OK);
    weir_identity_fini (&k);
}

/* With such a key and R of small order, S = 0 satisfies the bare equation for many messages. */
static void
test_small_order_keys (void **state)
{
    (void) state;
    static const uint8_t keys[][32] = {
        { 0 }, /* order 4 */
        { 1 }, /* the neutral element */
        { 0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4,
          0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6,
          0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05 }, /* order 8 */
        { 0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
          0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
          0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f }, /* order 2 */
        { 0xee, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
          0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
          0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f }, /* p + 1 */
    };
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
        struct weir_id device;
        memcpy (device.b, keys[k], sizeof device.b);
        for (size_t r = 0; r < sizeof keys / sizeof *keys; r++) {
            struct weir_signature s = { { 0 } };
            memcpy (s.b, keys[r], 32);
            for (uint8_t n = 0; n < 32; n++) {
                assert_int_equal (weir_verify (&device, WEIR_SIGN_PROOF, weir_bytes (&n, 1), &s),
                                  WEIR_BAD_SIGNATURE);
            }
        }
    }
}

/* S + L satisfies the equation too: a second signature anybody could make. */
static void
test_signatures_are_canonical (void **state)
{
    (void) state;
    static const uint8_t order[32] = { 0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58,
                                       0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
                                       0,    0,    0,    0,    0,    0,    0,    0,
                                       0,    0,    0,    0,    0,    0,    0,    0x10 };
    struct weir_bytes m = weir_bytes_str ("message");
    struct weir_identity k;
    struct weir_signature s;
    weir_identity_init (&k, seed);
    weir_sign (&s, &k, WEIR_SIGN_CARD, m);
    assert_int_equal (weir_verify (&k.device, WEIR_SIGN_CARD, m, &s), WEIR_OK);
    sodium_add (s.b + 32, order, sizeof order);
    assert_int_equal (weir_verify (&k.device, WEIR_SIGN_CARD, m, &s), WEIR_BAD_SIGNATURE);
    weir_identity_fini (&k);
}

static void
test_random_and_wipe (void **state)
{
    (void) state;
    uint8_t a[32] = { 0 };
    uint8_t b[32] = { 0 };
    uint8_t none[32] = { 0 };
    weir_random (a, sizeof a);
    weir_random (b, sizeof b);
    assert_memory_not_equal (a, b, sizeof a);
    weir_wipe (a, sizeof a);
    assert_memory_equal (a, none, sizeof a);
}

static void
test_link_keys (void **state)
{
    (void) state;
    /* RFC 7748, 6.1. */
    static const uint8_t secret[32] = { 0x77, 0x07, 0x6d, 0x0a, 0x73, 0x18, 0xa5, 0x7d,
                                        0x3c, 0x16, 0xc1, 0x72, 0x51, 0xb2, 0x66, 0x45,
                                        0xdf, 0x4c, 0x2f, 0x87, 0xeb, 0xc0, 0x99, 0x2a,
                                        0xb1, 0x77, 0xfb, 0xa5, 0x1d, 0xb9, 0x2c, 0x2a };
    static const uint8_t expected[32] = { 0x85, 0x20, 0xf0, 0x09, 0x89, 0x30, 0xa7, 0x54,
                                          0x74, 0x8b, 0x7d, 0xdc, 0xb4, 0x3e, 0xf7, 0x5a,
                                          0x0d, 0xbf, 0x3a, 0x0d, 0x26, 0x38, 0x1a, 0xf4,
                                          0xeb, 0xa4, 0xa9, 0x8e, 0xaa, 0x9b, 0x4e, 0x6a };
    struct weir_id id;
    struct weir_link_key a;
    struct weir_link_key b;
    weir_link_key_public (&id, secret);
    assert_memory_equal (id.b, expected, sizeof expected);
    weir_link_key_make (&a);
    weir_link_key_make (&b);
    assert_false (weir_id_equal (&a.public_key, &b.public_key));
    weir_link_key_public (&id, a.secret);
    assert_true (weir_id_equal (&id, &a.public_key));
}

int
main (void)
{
    weir_crypto_init ();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_identity),
        cmocka_unit_test (test_uses),
        cmocka_unit_test (test_every_bit_counts),
        cmocka_unit_test (test_small_order_keys),
        cmocka_unit_test (test_signatures_are_canonical),
        cmocka_unit_test (test_random_and_wipe),
        cmocka_unit_test (test_link_keys),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
