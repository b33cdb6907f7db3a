/* Goal: a key between any two neighbours, made here, sorts between them, however many were put at
 * one place; keys at the ends stay short; neighbours that leave no room give a tie. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/crdt/fractional.h"

#include "store/base/rand.h"

static struct weir_bytes
between (const struct weir_buf *before, const struct weir_buf *after, struct weir_buf *out)
{
    struct weir_bytes a = { 0 };
    struct weir_bytes b = { 0 };
    if (before != NULL) {
        a = weir_buf_bytes (before);
    }
    if (after != NULL) {
        b = weir_buf_bytes (after);
    }
    weir_buf_clear (out);
    weir_fractional_between (before != NULL ? &a : NULL, after != NULL ? &b : NULL, out);
    return weir_buf_bytes (out);
}

static void
test_many_at_an_end_stay_short (void **state)
{
    (void) state;
    for (int up = 0; up < 2; up++) {
        struct weir_buf last = { 0 };
        struct weir_buf next = { 0 };
        (void) between (NULL, NULL, &last);
        assert_int_equal (last.len, 1);
        for (int i = 0; i < 200000; i++) {
            struct weir_bytes key = between (up ? &last : NULL, up ? NULL : &last, &next);
            int order = weir_bytes_compare (weir_buf_bytes (&last), key);
            assert_true (up ? order < 0 : order > 0);
            assert_in_range (key.len, 1, 6);
            assert_int_not_equal (key.data[key.len - 1], 0);
            struct weir_buf swap = last;
            last = next;
            next = swap;
        }
        weir_buf_fini (&last);
        weir_buf_fini (&next);
    }
}

/* A sorted array, put into anywhere. */
static void
test_random_places (void **state)
{
    (void) state;
    enum { KEYS = 3000 };
    static struct weir_buf keys[KEYS];
    struct weir_rand rand;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        weir_rand_init (&rand, seed);
        for (size_t n = 0; n < KEYS; n++) {
            /* Everywhere; or mostly at the ends; or mostly around one place. */
            size_t at = (size_t) weir_rand_below (&rand, n + 1);
            if (seed == 2) {
                at = weir_rand_below (&rand, 2) ? n : 0;
            } else if (seed > 2 && weir_rand_below (&rand, 10) > 0) {
                at = seed == 3 ? n / 2 : n / 2 + (n & 1);
            }
            struct weir_buf key = { 0 };
            struct weir_bytes made =
                between (at > 0 ? &keys[at - 1] : NULL, at < n ? &keys[at] : NULL, &key);
            assert_in_range (made.len, 1, 500);
            if (at > 0) {
                assert_true (weir_bytes_compare (weir_buf_bytes (&keys[at - 1]), made) < 0);
            }
            if (at < n) {
                assert_true (weir_bytes_compare (made, weir_buf_bytes (&keys[at])) < 0);
            }
            memmove (&keys[at + 1 < KEYS ? at + 1 : at], &keys[at],
                     (at + 1 < KEYS ? n - at : 0) * sizeof *keys);
            keys[at] = key;
        }
        for (size_t i = 0; i < KEYS; i++) {
            weir_buf_fini (&keys[i]);
        }
    }
}

static void
test_what_others_made (void **state)
{
    (void) state;
    static const struct {
        const char *before;
        size_t before_len;
        const char *after;
        size_t after_len;
        bool is_tie;
    } rows[] = {
        { "a", 1, "a", 1, true },
        { "b", 1, "a", 1, true },
        { "a", 1, "a\0", 2, true },
        { "a", 1, "a\0\0", 3, true },
        { "", 0, "\0", 1, true },
        { "", 0, "\1", 1, false },
        { "a", 1, "b", 1, false },
        { "a\xff\xff", 3, "b", 1, false },
        { "a", 1, "a\0\1", 3, false },
        { "a\x7f", 2, "a\x80", 2, false },
        { "\xff\xff", 2, NULL, 0, false },
        { NULL, 0, "\0", 1, true },
        { NULL, 0, "\0\0\0", 3, true },
        { NULL, 0, "", 0, true },
        { "", 0, NULL, 0, false },
        { NULL, 0, "\0\1", 2, false },
        { "\xfe\xff", 2, NULL, 0, false },
        { NULL, 0, "\1", 1, false },
        { "a\x80", 2, "a\x80\x01", 3, false },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct weir_bytes a = weir_bytes (rows[i].before, rows[i].before_len);
        struct weir_bytes b = weir_bytes (rows[i].after, rows[i].after_len);
        struct weir_bytes *before = rows[i].before != NULL ? &a : NULL;
        struct weir_bytes *after = rows[i].after != NULL ? &b : NULL;
        struct weir_buf out = { 0 };
        weir_fractional_between (before, after, &out);
        struct weir_bytes made = weir_buf_bytes (&out);
        bool fits = (before == NULL || weir_bytes_compare (a, made) < 0)
                    && (after == NULL || weir_bytes_compare (made, b) < 0);
        if (fits == rows[i].is_tie || (!fits && !weir_bytes_equal (made, before != NULL ? a : b))) {
            fail_msg ("row %zu", i);
        }
        weir_buf_fini (&out);
    }
}

static void
test_length_is_bounded (void **state)
{
    (void) state;
    static uint8_t high[WEIR_FRACTIONAL_BYTES_MAX];
    memset (high, 0xff, sizeof high);
    struct weir_bytes a = weir_bytes (high, sizeof high);
    struct weir_buf out = { 0 };
    weir_fractional_between (&a, NULL, &out);
    assert_true (weir_bytes_equal (weir_buf_bytes (&out), a));
    weir_buf_fini (&out);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_many_at_an_end_stay_short),
        cmocka_unit_test (test_random_places),
        cmocka_unit_test (test_what_others_made),
        cmocka_unit_test (test_length_is_bounded),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
