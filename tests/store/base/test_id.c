/* Goal: names have one text each; what is not that text is refused. */

#include "tests/store/base/unit.h"

#include "store/base/id.h"
#include "store/base/rand.h"

#include <ctype.h>

static void
test_base32 (void **state)
{
    (void) state;
    static const char *const rows[][2] = {
        { "", "" },
        { "f", "my" },
        { "fo", "mzxq" },
        { "foo", "mzxw6" },
        { "foob", "mzxw6yq" },
        { "fooba", "mzxw6ytb" },
        { "foobar", "mzxw6ytboi" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct weir_buf text = { 0 };
        struct weir_buf data = { 0 };
        weir_buf_put_u8 (&data, '!'); /* decoding appends */
        weir_base32_put (&text, weir_bytes_str (rows[i][0]));
        assert_string_equal (weir_buf_str (&text), rows[i][1]);
        assert_int_equal (weir_base32_get (&data, weir_buf_bytes (&text)), WEIR_OK);
        assert_string_equal (weir_buf_str (&data) + 1, rows[i][0]);
        weir_buf_fini (&text);
        weir_buf_fini (&data);
    }
}

static void
test_base32_refuses (void **state)
{
    (void) state;
    static const char *const rows[] = {
        "m",        "mzx",  "mzxw6y", /* no bytes have this length */
        "mz",       "mzxr", "mzxw7",  /* trailing bits that are not zero */
        "m1",       "m0",   "m8",     "m9", "m=", "m ", "m\xc3\xa9",
        "mzxw6===", "m-",   "@y",     "[y", "`y", "{y",
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct weir_buf data = { 0 };
        weir_buf_put_u8 (&data, '!');
        assert_int_equal (weir_base32_get (&data, weir_bytes_str (rows[i])), WEIR_INVALID_ARGUMENT);
        assert_int_equal (data.len, 1);
        weir_buf_fini (&data);
    }
}

static void
test_ids (void **state)
{
    (void) state;
    struct weir_rand rand;
    weir_rand_init (&rand, 1);
    for (unsigned round = 0; round < 200; round++) {
        struct weir_id a;
        struct weir_id b = weir_id_zero;
        weir_rand_bytes (&rand, a.b, sizeof a.b);
        struct weir_id_text text = weir_id_text (&a);
        assert_int_equal (strlen (text.s), WEIR_ID_TEXT);
        assert_int_equal (weir_id_parse (&b, text.s), WEIR_OK);
        assert_true (weir_id_equal (&a, &b));
        assert_int_equal (weir_id_compare (&a, &b), 0);
        for (char *c = text.s; *c != 0; c++) {
            *c = (char) toupper ((unsigned char) *c);
        }
        b = weir_id_zero;
        assert_int_equal (weir_id_parse (&b, text.s), WEIR_OK);
        assert_true (weir_id_equal (&a, &b));
    }
}

static void
test_ids_refuse (void **state)
{
    (void) state;
    struct weir_id id = { { 7 } };
    struct weir_id before = id;
    char text[WEIR_ID_TEXT + 2];
    memset (text, 'a', sizeof text);
    text[WEIR_ID_TEXT + 1] = 0;
    assert_int_equal (weir_id_parse (&id, text), WEIR_INVALID_ARGUMENT); /* one too many */
    text[WEIR_ID_TEXT - 1] = 0;
    assert_int_equal (weir_id_parse (&id, text), WEIR_INVALID_ARGUMENT);
    text[WEIR_ID_TEXT - 1] = 'b'; /* 1 in the trailing bits */
    text[WEIR_ID_TEXT] = 0;
    assert_int_equal (weir_id_parse (&id, text), WEIR_INVALID_ARGUMENT);
    text[WEIR_ID_TEXT - 1] = '1';
    assert_int_equal (weir_id_parse (&id, text), WEIR_INVALID_ARGUMENT);
    assert_int_equal (weir_id_parse (&id, ""), WEIR_INVALID_ARGUMENT);
    assert_int_equal (weir_id_from_bytes (&id, weir_bytes ("short", 5)), WEIR_INVALID_ARGUMENT);
    assert_int_equal (weir_id_from_bytes (&id, weir_bytes (text, 33)), WEIR_INVALID_ARGUMENT);
    assert_true (weir_id_equal (&id, &before)); /* written only on success */
    text[WEIR_ID_TEXT - 1] = 'a';
    assert_int_equal (weir_id_parse (&id, text), WEIR_OK);
    assert_true (weir_id_is_zero (&id));
}

static void
test_order_and_bytes (void **state)
{
    (void) state;
    struct weir_id low = { { 1 } };
    struct weir_id high = { { 2 } };
    struct weir_id copy;
    assert_true (weir_id_compare (&low, &high) < 0);
    assert_true (weir_id_compare (&high, &low) > 0);
    assert_false (weir_id_equal (&low, &high));
    assert_false (weir_id_is_zero (&low));
    assert_true (weir_id_is_zero (&weir_id_zero));
    assert_int_equal (weir_id_from_bytes (&copy, weir_id_bytes (&high)), WEIR_OK);
    assert_true (weir_id_equal (&copy, &high));
}

static void
test_prefixes (void **state)
{
    (void) state;
    struct weir_id id = weir_id_zero;
    memcpy (id.b, "foobar", 6);
    static const struct {
        const char *prefix;
        bool is;
    } rows[] = {
        { "mzxw6ytb", true },     { "MZXW6YTB", true },     { "mzxw6ytboiaa", true },
        { "mzxw6ytboib", false }, { "mzxw6yt", false },     { "", false },
        { "mzxw6yt1", false },    { "mzxw6yt\xff", false }, { "nzxw6ytb", false },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal (weir_id_has_prefix (&id, rows[i].prefix), rows[i].is);
    }
    struct weir_id_text whole = weir_id_text (&id);
    assert_true (weir_id_has_prefix (&id, whole.s));
    char more[WEIR_ID_TEXT + 2];
    memcpy (more, whole.s, WEIR_ID_TEXT);
    memcpy (more + WEIR_ID_TEXT, "a", 2);
    assert_false (weir_id_has_prefix (&id, more));
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_base32),
        cmocka_unit_test (test_base32_refuses),
        cmocka_unit_test (test_ids),
        cmocka_unit_test (test_ids_refuse),
        cmocka_unit_test (test_order_and_bytes),
        cmocka_unit_test (test_prefixes),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
