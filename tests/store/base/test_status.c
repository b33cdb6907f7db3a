/* Goal: the words, exit codes and hints of the table are what scripts lean on, numbers off the
 * wire never index outside it, and nothing harmful of a peer gets into a sentence. */

#include "tests/store/base/unit.h"

#include "store/base/bytes.h"
#include "store/base/status.h"

static void
test_table (void **state)
{
    (void) state;
    static const struct {
        enum weir_status status;
        const char *code;
        int exit;
    } rows[] = {
        { WEIR_OK, "ok", 0 },
        { WEIR_FAILED, "failed", 1 },
        { WEIR_USAGE, "usage", 2 },
        { WEIR_NO_NODE, "no_node", 3 },
        { WEIR_NOT_FOUND, "not_found", 4 },
        { WEIR_REFUSED, "refused", 5 },
        { WEIR_CONFLICT, "conflict", 6 },
        { WEIR_TIMED_OUT, "timed_out", 7 },
        { WEIR_INTERRUPTED, "interrupted", 130 },
        { WEIR_CORRUPT, "corrupt", 65 },
        { WEIR_ESCALATED, "escalated", 70 },
        { WEIR_CANNOT_CREATE, "cannot_create", 73 },
        { WEIR_DISK_FULL, "disk_full", 74 },
        { WEIR_ALREADY_RUNNING, "already_running", 75 },
        { WEIR_NEWER_LAYOUT, "newer_layout", 76 },
        { WEIR_BAD_CONFIG, "bad_config", 78 },
        { (enum weir_status) 9999, "failed", 1 },
        { (enum weir_status) - 1, "failed", 1 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_string_equal (weir_status_code (rows[i].status), rows[i].code);
        assert_int_equal (weir_status_exit (rows[i].status), rows[i].exit);
    }
    assert_string_equal (weir_status_hint (WEIR_OK), "");
    assert_string_equal (weir_status_hint (WEIR_NO_NODE), "is it running? weir run");
}

static void
test_codes_are_words_and_differ (void **state)
{
    (void) state;
    for (unsigned i = 0; i < WEIR_STATUS_COUNT; i++) {
        const char *code = weir_status_code ((enum weir_status) i);
        assert_true (code[0] != 0);
        assert_int_equal (strspn (code, "abcdefghijklmnopqrstuvwxyz_"), strlen (code));
        for (unsigned j = 0; j < i; j++) {
            assert_string_not_equal (code, weir_status_code ((enum weir_status) j));
        }
        assert_int_equal (weir_status_from_number (i), i);
    }
    assert_int_equal (weir_status_from_number (WEIR_STATUS_COUNT), WEIR_FAILED);
    assert_int_equal (weir_status_from_number (UINT32_MAX), WEIR_FAILED);
}

static void
test_error (void **state)
{
    (void) state;
    struct weir_error e = { 0 };
    assert_int_equal (weir_error_set (NULL, WEIR_BUSY, NULL, "nobody listens"), WEIR_BUSY);
    assert_int_equal (weir_error_set (&e, WEIR_NO_NODE, NULL, "no %s at %d", "node", 7),
                      WEIR_NO_NODE);
    assert_int_equal (e.status, WEIR_NO_NODE);
    assert_string_equal (e.what, "no node at 7");
    assert_string_equal (weir_error_hint (&e), "is it running? weir run");
    /* What is told may be made of what was told before. */
    assert_int_equal (weir_error_set (&e, WEIR_FAILED, "look", "again: %s", e.what), WEIR_FAILED);
    assert_string_equal (e.what, "again: no node at 7");
    assert_string_equal (weir_error_hint (&e), "look");
}

static void
test_harmless (void **state)
{
    (void) state;
    static const struct {
        const char *given;
        const char *told;
    } rows[] = {
        { "plain \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80",
          "plain \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80" },
        { "a\nb\tc\x1b[31m", "a?b?c?[31m" },
        { "del\x7f", "del?" },
        { "c1\xc2\x9b", "c1?" },
        { "line\xe2\x80\xa8"
          "end",
          "line?end" },
        { "bidi\xe2\x80\xae"
          "x\xe2\x81\xa6"
          "y\xd8\x9c",
          "bidi?x?y?" },
        { "bad\xff\xc0\x80", "bad???" },
        { "cut\xe2\x82", "cut??" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct weir_error e;
        (void) weir_error_set (&e, WEIR_FAILED, rows[i].given, "%s", rows[i].given);
        assert_string_equal (e.what, rows[i].told);
        assert_string_equal (e.hint, rows[i].told);
    }
}

static void
test_long_text_is_cut (void **state)
{
    (void) state;
    struct weir_error e;
    char text[1000];
    memset (text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    /* A character of three bytes that the end of `what` cuts in two. */
    memcpy (text + sizeof e.what - 3, "\xe2\x82\xac", 3);
    (void) weir_error_set (&e, WEIR_FAILED, text, "%s", text);
    assert_int_equal (strlen (e.what), sizeof e.what - 1);
    assert_int_equal (strlen (e.hint), sizeof e.hint - 1);
    assert_string_equal (e.what + sizeof e.what - 4, "x??");
}

static void
break_an_assert (void)
{
    int one = 1;
    weir_assert (one == 1);
    weir_assert (one == 2);
}

static void
test_bug_aborts (void **state)
{
    (void) state;
    assert_aborts (break_an_assert);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_table),
        cmocka_unit_test (test_codes_are_words_and_differ),
        cmocka_unit_test (test_error),
        cmocka_unit_test (test_harmless),
        cmocka_unit_test (test_long_text_is_cut),
        cmocka_unit_test (test_bug_aborts),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
