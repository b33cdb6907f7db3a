/* Goal: what is not plain, bounded JSON is refused with its place; what is, is written the same
 * way by everyone and reads back the same; JSON Pointers mean what RFC 6901 says. */

#include "tests/store/base/unit.h"

#include "store/base/json.h"
#include "store/base/limits.h"
#include "store/base/rand.h"

#include <stdio.h>

#define BYTES_MAX (1u << 20)

/* Reads and writes again. The caller frees. */
static char *
again (const char *text)
{
    json_t *value = NULL;
    struct weir_buf out = { 0 };
    struct weir_error e = { 0 };
    if (weir_json_parse (&value, weir_bytes_str (text), BYTES_MAX, &e) != WEIR_OK) {
        fail_msg ("%s: %s", text, e.what);
    }
    weir_json_put (&out, value);
    json_decref (value);
    char *copy = weir_strdup (weir_buf_str (&out));
    weir_buf_fini (&out);
    return copy;
}

static void
test_round_trips (void **state)
{
    (void) state;
    static const char *const rows[][2] = {
        { "null", "null" },
        { " true ", "true" },
        { "false", "false" },
        { "[]", "[]" },
        { "{}", "{}" },
        { "[[],{},[[]]]", "[[],{},[[]]]" },
        { "{\"b\":1,\"a\":{\"d\":[1,2],\"c\":null}}", "{\"a\":{\"c\":null,\"d\":[1,2]},\"b\":1}" },
        { "\"plain\"", "\"plain\"" },
        { "\"\\u00e9\\ud83d\\ude00\\/\"", "\"\xc3\xa9\xf0\x9f\x98\x80/\"" },
        { "\"\\b\\t\\n\\f\\r\\u000b\\u0001\\u007f\\\"\\\\\"",
          "\"\\b\\t\\n\\f\\r\\u000b\\u0001\\u007f\\\"\\\\\"" },
        { "0", "0" },
        { "-0", "0" },
        { "9223372036854775807", "9223372036854775807" },
        { "-9223372036854775808", "-9223372036854775808" },
        { "9223372036854775808", "9.223372036854776e+18" },
        { "-9223372036854775809", "-9.223372036854776e+18" },
        { "[18446744073709551616,1,99999999999999999999 , \"99999999999999999999\"]",
          "[1.8446744073709552e+19,1,1e+20,\"99999999999999999999\"]" },
        { "1.0", "1.0" },
        { "1e2", "100.0" },
        { "0.1", "0.1" },
        { "-2.5E-3", "-0.0025" },
        { "1e300", "1e+300" },
        { "123456789012345678901.5", "1.2345678901234568e+20" },
        { "0.30000000000000004", "0.30000000000000004" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *text = again (rows[i][0]);
        assert_string_equal (text, rows[i][1]);
        char *twice = again (text);
        assert_string_equal (twice, text);
        free (twice);
        free (text);
    }
}

static void
test_kinds_of_numbers (void **state)
{
    (void) state;
    static const struct {
        const char *text;
        bool integer;
    } rows[] = {
        { "12", true },
        { "-12", true },
        { "12.0", false },
        { "12e0", false },
        { "12E0", false },
        { "9223372036854775807", true },
        { "9223372036854775808", false },
        { "-9223372036854775808", true },
        { "-9223372036854775809", false },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        json_t *value = NULL;
        assert_int_equal (weir_json_parse (&value, weir_bytes_str (rows[i].text), 100, NULL),
                          WEIR_OK);
        assert_int_equal (json_is_integer (value), rows[i].integer);
        json_decref (value);
    }
}

static void
test_doubles_read_back (void **state)
{
    (void) state;
    struct weir_rand rand;
    weir_rand_init (&rand, 11);
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t bits = weir_rand_u64 (&rand);
        double given = 0;
        memcpy (&given, &bits, sizeof given);
        json_t *value = json_real (given);
        if (value == NULL) {
            continue; /* neither infinity nor NaN is JSON */
        }
        struct weir_buf out = { 0 };
        json_t *back = NULL;
        weir_json_put (&out, value);
        assert_int_equal (weir_json_parse (&back, weir_buf_bytes (&out), 100, NULL), WEIR_OK);
        assert_true (json_is_real (back));
        double got = json_real_value (back);
        assert_memory_equal (&got, &given, sizeof got);
        weir_buf_fini (&out);
        json_decref (value);
        json_decref (back);
    }
}

static void
test_refusals (void **state)
{
    (void) state;
    static const struct {
        const char *text;
        const char *where;
    } rows[] = {
        { "", "line 1, column 1" },
        { "  ", "line 1, column 3" },
        { "{\"a\":1,\"a\":2}", "duplicate" },
        { "{\"a\":{\"b\":1,\"\\u0062\":2}}", "duplicate" },
        { "1 2", "line 1" },
        { "{} x", "line 1" },
        { "[1,\n2,\n oops]", "line 3, column 6" },
        { "[99999999999999999999,99999999999999999999,\nx]", "line 2, column 2" },
        { "[1,2", "line 1" },
        { "[1,]", "line 1" },
        { "{\"a\"}", "line 1" },
        { "{a:1}", "line 1" },
        { "'a'", "line 1" },
        { "\"\xff\"", "line 1" },
        { "\"\xed\xa0\x80\"", "line 1" },
        { "\"\\ud800\"", "line 1" },
        { "\"a\\u0000b\"", "line 1" },
        { "\"\n\"", "line 1" },
        { "\"open", "line 1" },
        { "\"open\\", "line 1" },
        { "01", "line 1" },
        { "-", "line 1" },
        { "1.", "line 1" },
        { "1e", "line 1" },
        { "1e999", "line 1" },
        { "NaN", "line 1" },
        { "]", "line 1" },
        { "nul", "line 1" },
        { "99999999999999999999x", "line 1" },
        { "\xef\xbb\xbf{}", "line 1" }, /* a byte order mark */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        json_t *value = NULL;
        struct weir_error e = { 0 };
        assert_int_equal (weir_json_parse (&value, weir_bytes_str (rows[i].text), BYTES_MAX, &e),
                          WEIR_INVALID_JSON);
        assert_null (value);
        if (strstr (e.what, rows[i].where) == NULL || strstr (e.what, "column") == NULL) {
            fail_msg ("%s: %s", rows[i].text, e.what);
        }
    }
    json_t *value = NULL;
    assert_int_equal (weir_json_parse (&value, weir_bytes ("[1\0]", 4), BYTES_MAX, NULL),
                      WEIR_INVALID_JSON);
    assert_int_equal (weir_json_parse (&value, weir_bytes ("1\0", 2), BYTES_MAX, NULL),
                      WEIR_INVALID_JSON);
    assert_int_equal (weir_json_parse (&value, weir_bytes ("{}\0more", 7), BYTES_MAX, NULL),
                      WEIR_INVALID_JSON);
    assert_int_equal (weir_json_parse (&value, weir_bytes (NULL, 0), BYTES_MAX, NULL),
                      WEIR_INVALID_JSON);
    assert_null (value);
}

static void
test_limits (void **state)
{
    (void) state;
    json_t *value = NULL;
    struct weir_error e = { 0 };
    struct weir_buf text = { 0 };
    for (unsigned i = 0; i < WEIR_JSON_DEPTH_MAX; i++) {
        weir_buf_put_u8 (&text, '[');
    }
    weir_buf_put (&text, "\"[[[[\\\"[\"", 9); /* brackets in a string do not count */
    for (unsigned i = 0; i < WEIR_JSON_DEPTH_MAX; i++) {
        weir_buf_put_u8 (&text, ']');
    }
    assert_int_equal (weir_json_parse (&value, weir_buf_bytes (&text), BYTES_MAX, &e), WEIR_OK);
    json_decref (value);
    value = NULL;
    assert_int_equal (weir_json_parse (&value, weir_buf_bytes (&text), text.len, &e), WEIR_OK);
    json_decref (value);
    value = NULL;
    assert_int_equal (weir_json_parse (&value, weir_buf_bytes (&text), text.len - 1, &e),
                      WEIR_TOO_LARGE);
    weir_buf_clear (&text);
    for (unsigned i = 0; i < 1000000; i++) {
        weir_buf_put (&text, i % 2 == 0 ? "[" : "{", 1);
    }
    assert_int_equal (weir_json_parse (&value, weir_buf_bytes (&text), BYTES_MAX, &e), WEIR_LIMIT);
    assert_non_null (strstr (e.what, "line 1, column 65"));
    assert_null (value);
    weir_buf_fini (&text);
}

static void
test_deep_values_are_written (void **state)
{
    (void) state;
    json_t *value = json_integer (1);
    for (unsigned i = 0; i < 500; i++) {
        json_t *outer = json_array ();
        assert_int_equal (json_array_append_new (outer, value), 0);
        value = outer;
    }
    struct weir_buf out = { 0 };
    weir_json_put (&out, value);
    assert_int_equal (out.len, 1001);
    weir_buf_fini (&out);
    json_decref (value);
}

static void
test_pointers (void **state)
{
    (void) state;
    static const struct {
        const char *pointer;
        size_t count;
        const char *parts[3];
    } rows[] = {
        { "", 0, { NULL } },
        { "/", 1, { "" } },
        { "/a/b~1c", 2, { "a", "b/c" } },
        { "/m~0n/~01/~10", 3, { "m~n", "~1", "/0" } },
        { "//", 2, { "", "" } },
        { "/\xc3\xa9/ /-", 3, { "\xc3\xa9", " ", "-" } },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct weir_path path = { 0 };
        struct weir_buf text = { 0 };
        assert_int_equal (weir_path_parse (&path, rows[i].pointer, NULL), WEIR_OK);
        assert_int_equal (path.count, rows[i].count);
        for (size_t j = 0; j < path.count; j++) {
            assert_string_equal (path.parts[j], rows[i].parts[j]);
        }
        weir_path_put (&text, &path);
        assert_string_equal (weir_buf_str (&text), rows[i].pointer);
        weir_buf_fini (&text);
        weir_path_fini (&path);
        weir_path_fini (&path);
    }
}

static void
test_pointers_refused (void **state)
{
    (void) state;
    static const char *const rows[] = { "a", "a/b", "/~", "/a~2", "/ok/~x/b", "/~/0", "/\xff" };
    struct weir_path path = { 0 };
    struct weir_error e = { 0 };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal (weir_path_parse (&path, rows[i], &e), WEIR_INVALID_PATH);
        assert_int_equal (path.count, 0);
    }
    struct weir_buf text = { 0 };
    for (unsigned i = 0; i < WEIR_PATH_PARTS_MAX; i++) {
        weir_buf_put (&text, "/x", 2);
    }
    assert_int_equal (weir_path_parse (&path, weir_buf_str (&text), &e), WEIR_OK);
    weir_path_fini (&path);
    weir_buf_put (&text, "/x", 2);
    assert_int_equal (weir_path_parse (&path, weir_buf_str (&text), &e), WEIR_LIMIT);
    weir_buf_clear (&text);
    weir_buf_put_u8 (&text, '/');
    for (unsigned i = 0; i < WEIR_KEY_BYTES_MAX; i++) {
        weir_buf_put_u8 (&text, 'k');
    }
    assert_int_equal (weir_path_parse (&path, weir_buf_str (&text), &e), WEIR_OK);
    weir_path_fini (&path);
    weir_buf_put_u8 (&text, 'k');
    assert_int_equal (weir_path_parse (&path, weir_buf_str (&text), &e), WEIR_LIMIT);
    weir_buf_fini (&text);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_round_trips),
        cmocka_unit_test (test_kinds_of_numbers),
        cmocka_unit_test (test_doubles_read_back),
        cmocka_unit_test (test_refusals),
        cmocka_unit_test (test_limits),
        cmocka_unit_test (test_deep_values_are_written),
        cmocka_unit_test (test_pointers),
        cmocka_unit_test (test_pointers_refused),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
