/* Goal: hashes are BLAKE2b-256 with the personalisation of their use (vectors from Python's
 * hashlib), and the ways of computing one agree. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/crypto/hash.h"
#include "store/crypto/sign.h"

#include <stdio.h>
#include <string.h>

static void
assert_hex (const struct weir_id *id, const char *expected)
{
    char text[2 * WEIR_ID_BYTES + 1];
    for (size_t i = 0; i < WEIR_ID_BYTES; i++) {
        (void) snprintf (text + 2 * i, 3, "%02x", id->b[i]);
    }
    assert_string_equal (text, expected);
}

static void
test_domains (void **state)
{
    (void) state;
    static const char *const expected[WEIR_DOMAIN_COUNT] = {
        [WEIR_DOMAIN_ENTRY] = "52ac741d5143e77d0122841a0a7fa94f24594a185d2997acef31f31937640523",
        [WEIR_DOMAIN_PAYLOAD] = "8ebcfd46cb40f5599c6303f94a18a632ad17444337ee93927a0bbaf77c74b6cb",
        [WEIR_DOMAIN_VECTOR] = "99c7beaea27a719bb66537e2ab538a09d93ae92f4a4b7440a2bca5a9521edbe4",
        [WEIR_DOMAIN_CONTAINER] =
            "4eae52be0055be2e9847202e3a4ff7c66c6acda016c4075f1b6bc8ba2ead939c",
        [WEIR_DOMAIN_HELLO] = "6c32684fdc9fd869bccdefe3753997c716034ec1849c13e2de279e8f76af8209",
        [WEIR_DOMAIN_TAG] = "b7684a0c0725d93c87d96033015f137f73a52c12b7b0b3f58e19ee2e86c2b485",
        [WEIR_DOMAIN_CHECK] = "ed70651cfce4ecde8e009b45a19ae2e298cd50a7425d52ca0cf6c8f4d34b9a26",
        [WEIR_DOMAIN_EXPORT] = "0dbdc385b825c244a8f28dc1c67787d2dc529582c1a35c25aef23bdec2bdfdde",
        [WEIR_DOMAIN_CHUNK] = "0458f5001acb627f797a10e477d32f28020c123127bf4cf3aa889d2f15cc9054",
        [WEIR_DOMAIN_BLOB] = "5b4d841c649c071d32b283fd42cdb1954cc5cd448527fd5af6bf19fa7534f2a4",
        [WEIR_DOMAIN_RANGE] = "f279cb1d4e1ebc147bffc3d9c61001acc2fe68b7e80d69af7de0f23debb115cc",
    };
    for (unsigned d = 0; d < WEIR_DOMAIN_COUNT; d++) {
        struct weir_id id =
            weir_hash ((enum weir_domain) d, weir_bytes_str ("hello "), weir_bytes_str ("weir"));
        assert_hex (&id, expected[d]);
        id = weir_hash ((enum weir_domain) d, weir_bytes_str ("hello weir"), weir_bytes (NULL, 0));
        assert_hex (&id, expected[d]);
    }
}

static void
test_streaming (void **state)
{
    (void) state;
    uint8_t data[1000];
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (uint8_t) (i * 7);
    }
    struct weir_id whole =
        weir_hash (WEIR_DOMAIN_ENTRY, weir_bytes (data, sizeof data), weir_bytes (NULL, 0));
    for (size_t step = 1; step < 300; step += 37) {
        struct weir_hash h;
        weir_hash_init (&h, WEIR_DOMAIN_ENTRY);
        for (size_t at = 0; at < sizeof data; at += step) {
            size_t left = sizeof data - at;
            weir_hash_add (&h, weir_bytes (data + at, left < step ? left : step));
        }
        struct weir_id id = weir_hash_end (&h);
        assert_true (weir_id_equal (&id, &whole));
    }
}

static void
test_tag (void **state)
{
    (void) state;
    struct weir_id key;
    for (size_t i = 0; i < WEIR_ID_BYTES; i++) {
        key.b[i] = (uint8_t) i;
    }
    assert_true (weir_hash_tag (&key, weir_bytes_str ("db")) == 0xa529152408813852u);
    key.b[31] ^= 1;
    assert_false (weir_hash_tag (&key, weir_bytes_str ("db")) == 0xa529152408813852u);
}

int
main (void)
{
    weir_crypto_init ();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_domains),
        cmocka_unit_test (test_streaming),
        cmocka_unit_test (test_tag),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
