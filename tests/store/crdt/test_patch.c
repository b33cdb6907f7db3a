/* Goal: JSON Patch as RFC 6902 states it, on a document of nested maps; a patch that fails at
 * any operation leaves the edit as it was. */

#include "tests/store/crdt/fixture.h"

#define START "{\"a\":1,\"b\":{\"c\":2,\"d\":{\"e\":\"x\"}},\"n\":null,\"f\":1.5}"
#define START_SORTED "{\"a\":1,\"b\":{\"c\":2,\"d\":{\"e\":\"x\"}},\"f\":1.5,\"n\":null}"

static const struct {
    const char *patch;
    enum weir_status status;
    const char *after; /* of /m; NULL: as before */
} cases[] = {
    { "[]", WEIR_OK, NULL },
    { "[{\"op\":\"add\",\"path\":\"/m/x\",\"value\":2}]", WEIR_OK,
      "{\"a\":1,\"b\":{\"c\":2,\"d\":{\"e\":\"x\"}},\"f\":1.5,\"n\":null,\"x\":2}" },
    { "[{\"op\":\"add\",\"path\":\"/m/a\",\"value\":{\"k\":1}}]", WEIR_OK,
      "{\"a\":{\"k\":1},\"b\":{\"c\":2,\"d\":{\"e\":\"x\"}},\"f\":1.5,\"n\":null}" },
    { "[{\"op\":\"add\",\"path\":\"/m\",\"value\":{\"k\":1}}]", WEIR_OK, "{\"k\":1}" },
    { "[{\"op\":\"add\",\"path\":\"/m/no/x\",\"value\":2}]", WEIR_NOT_FOUND, NULL },
    { "[{\"op\":\"add\",\"path\":\"/m/a/x\",\"value\":2}]", WEIR_CONFLICT, NULL },
    { "[{\"op\":\"add\",\"path\":\"/m/a\",\"value\":[1,{\"x\":[]}]},"
      "{\"op\":\"add\",\"path\":\"/m/a/1/x/-\",\"value\":2}]",
      WEIR_OK, "{\"a\":[1,{\"x\":[2]}],\"b\":{\"c\":2,\"d\":{\"e\":\"x\"}},\"f\":1.5,\"n\":null}" },
    { "[{\"op\":\"add\",\"path\":\"\",\"value\":{}}]", WEIR_INVALID_PATH, NULL },
    { "[{\"op\":\"add\",\"path\":\"m\",\"value\":{}}]", WEIR_INVALID_PATH, NULL },
    { "[{\"op\":\"add\",\"path\":\"/m/x\"}]", WEIR_INVALID_ARGUMENT, NULL },
    { "[{\"op\":\"remove\",\"path\":\"/m/b\"}]", WEIR_OK, "{\"a\":1,\"f\":1.5,\"n\":null}" },
    { "[{\"op\":\"remove\",\"path\":\"/m\"}]", WEIR_OK, "{}" },
    { "[{\"op\":\"remove\",\"path\":\"/m/no\"}]", WEIR_NOT_FOUND, NULL },
    { "[{\"op\":\"remove\",\"path\":\"/none\"}]", WEIR_NOT_FOUND, NULL },
    { "[{\"op\":\"replace\",\"path\":\"/m/b\",\"value\":3}]", WEIR_OK,
      "{\"a\":1,\"b\":3,\"f\":1.5,\"n\":null}" },
    { "[{\"op\":\"replace\",\"path\":\"/m/no\",\"value\":3}]", WEIR_NOT_FOUND, NULL },
    { "[{\"op\":\"replace\",\"path\":\"/m/a\"}]", WEIR_INVALID_ARGUMENT, NULL },
    { "[{\"op\":\"move\",\"from\":\"/m/b/d\",\"path\":\"/m/a\"}]", WEIR_OK,
      "{\"a\":{\"e\":\"x\"},\"b\":{\"c\":2},\"f\":1.5,\"n\":null}" },
    { "[{\"op\":\"move\",\"from\":\"/m/b\",\"path\":\"/m/b\"}]", WEIR_OK, NULL },
    { "[{\"op\":\"move\",\"from\":\"/m/b\",\"path\":\"/m/b/c\"}]", WEIR_INVALID_ARGUMENT, NULL },
    { "[{\"op\":\"move\",\"from\":\"/m/no\",\"path\":\"/m/b\"}]", WEIR_NOT_FOUND, NULL },
    { "[{\"op\":\"move\",\"path\":\"/m/b\"}]", WEIR_INVALID_ARGUMENT, NULL },
    { "[{\"op\":\"copy\",\"from\":\"/m/b\",\"path\":\"/m/b/c\"}]", WEIR_OK,
      "{\"a\":1,\"b\":{\"c\":{\"c\":2,\"d\":{\"e\":\"x\"}},\"d\":{\"e\":\"x\"}},\"f\":1.5,"
      "\"n\":null}" },
    { "[{\"op\":\"copy\",\"from\":\"\",\"path\":\"/m/a\"},{\"op\":\"remove\",\"path\":\"/m/b\"}]",
      WEIR_OK, "{\"a\":{\"m\":" START_SORTED "},\"f\":1.5,\"n\":null}" },
    { "[{\"op\":\"test\",\"path\":\"/m/a\",\"value\":1.0}]", WEIR_OK, NULL },
    { "[{\"op\":\"test\",\"path\":\"/m/a\",\"value\":2}]", WEIR_CONFLICT, NULL },
    { "[{\"op\":\"test\",\"path\":\"/m/a\",\"value\":\"1\"}]", WEIR_CONFLICT, NULL },
    { "[{\"op\":\"test\",\"path\":\"/m/a\",\"value\":[1]}]", WEIR_CONFLICT, NULL },
    { "[{\"op\":\"test\",\"path\":\"/m/n\",\"value\":null}]", WEIR_OK, NULL },
    { "[{\"op\":\"test\",\"path\":\"/m/f\",\"value\":1.5}]", WEIR_OK, NULL },
    { "[{\"op\":\"test\",\"path\":\"/m/b\",\"value\":{\"d\":{\"e\":\"x\"},\"c\":2}}]", WEIR_OK,
      NULL },
    { "[{\"op\":\"test\",\"path\":\"/m/b\",\"value\":{\"d\":{\"e\":\"y\"},\"c\":2}}]",
      WEIR_CONFLICT, NULL },
    { "[{\"op\":\"test\",\"path\":\"/m/b\",\"value\":{\"d\":{\"z\":\"x\"},\"c\":2}}]",
      WEIR_CONFLICT, NULL },
    { "[{\"op\":\"test\",\"path\":\"/m/b\",\"value\":{\"c\":2}}]", WEIR_CONFLICT, NULL },
    { "[{\"op\":\"test\",\"path\":\"/m/no\",\"value\":1}]", WEIR_CONFLICT, NULL },
    { "[{\"op\":\"test\",\"path\":\"/m/a/b\",\"value\":1}]", WEIR_CONFLICT, NULL },
    { "[{\"op\":\"test\",\"path\":\"\",\"value\":{\"m\":" START "}}]", WEIR_OK, NULL },
    { "[{\"op\":\"test\",\"path\":\"x\",\"value\":1}]", WEIR_INVALID_PATH, NULL },
    { "[{\"op\":\"test\",\"path\":\"/m/a\"}]", WEIR_INVALID_ARGUMENT, NULL },
    /* Later operations see earlier ones; the first that fails takes all back. */
    { "[{\"op\":\"add\",\"path\":\"/m/x\",\"value\":{}},"
      "{\"op\":\"add\",\"path\":\"/m/x/y\",\"value\":1},"
      "{\"op\":\"test\",\"path\":\"/m/x\",\"value\":{\"y\":1}},"
      "{\"op\":\"remove\",\"path\":\"/m/b\"},{\"op\":\"remove\",\"path\":\"/m/n\"}]",
      WEIR_OK, "{\"a\":1,\"f\":1.5,\"x\":{\"y\":1}}" },
    { "[{\"op\":\"add\",\"path\":\"/new/x\",\"value\":1},"
      "{\"op\":\"test\",\"path\":\"\",\"value\":{\"m\":" START ",\"new\":{\"x\":1}}},"
      "{\"op\":\"test\",\"path\":\"/new\",\"value\":{\"x\":1}},"
      "{\"op\":\"remove\",\"path\":\"/new\"}]",
      WEIR_OK, NULL },
    { "[{\"op\":\"remove\",\"path\":\"/m/b\"},{\"op\":\"add\",\"path\":\"/m/z\",\"value\":{}},"
      "{\"op\":\"remove\",\"path\":\"/m/b\"}]",
      WEIR_NOT_FOUND, NULL },
    /* Not a patch. */
    { "{}", WEIR_INVALID_ARGUMENT, NULL },
    { "[1]", WEIR_INVALID_ARGUMENT, NULL },
    { "[{}]", WEIR_INVALID_ARGUMENT, NULL },
    { "[{\"op\":\"ad\",\"path\":\"/m/x\",\"value\":2}]", WEIR_INVALID_ARGUMENT, NULL },
    { "[{\"op\":1,\"path\":\"/m/x\",\"value\":2}]", WEIR_INVALID_ARGUMENT, NULL },
    { "[{\"op\":\"add\",\"value\":2}]", WEIR_INVALID_ARGUMENT, NULL },
};

static void
test_patches (void **state)
{
    (void) state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct weir_error e = { 0 };
        struct weir_doc *doc = weir_doc_new ();
        struct fixture_entry first = fixture_commit (doc, fixture_head (1, 1, 0, 0), "/m", START);
        struct fixture_entry second;
        struct weir_edit *edit = weir_edit_new (doc);
        json_t *patch = fixture_json (cases[i].patch);
        enum weir_status status = weir_edit_patch (edit, patch, &e);
        if (status != cases[i].status) {
            fail_msg ("%s: %s (%s)", cases[i].patch, weir_status_code (status), e.what);
        }
        if (status != WEIR_OK) {
            assert_int_equal (weir_edit_ops (edit), 0);
            assert_int_equal (e.status, status);
        }
        fixture_seal (edit, fixture_head (1, 2, 1, 100), &second);
        fixture_apply (doc, &second);
        assert_doc (doc, "/m", cases[i].after != NULL ? cases[i].after : START_SORTED);
        json_decref (patch);
        fixture_drop (&first);
        fixture_drop (&second);
        weir_edit_destroy (&edit);
        weir_doc_destroy (&doc);
    }
}

static void
test_errors_name_the_operation (void **state)
{
    (void) state;
    struct weir_error e = { 0 };
    struct weir_doc *doc = weir_doc_new ();
    struct weir_edit *edit = weir_edit_new (doc);
    json_t *patch = fixture_json ("[{\"op\":\"add\",\"path\":\"/m/a\",\"value\":1},"
                                  "{\"op\":\"remove\",\"path\":\"/m/b\"}]");
    assert_status (weir_edit_patch (edit, patch, &e), WEIR_NOT_FOUND, &e);
    assert_string_equal (e.what, "operation 1: there is nothing at /m/b");
    assert_int_equal (weir_edit_patch (edit, patch, NULL), WEIR_NOT_FOUND);
    json_decref (patch);
    patch = json_array ();
    for (size_t i = 0; i <= WEIR_PATCH_OPS_MAX; i++) {
        json_array_append_new (patch, json_null ());
    }
    assert_status (weir_edit_patch (edit, patch, &e), WEIR_TOO_LARGE, &e);
    json_decref (patch);
    weir_edit_destroy (&edit);
    weir_doc_destroy (&doc);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_patches),
        cmocka_unit_test (test_errors_name_the_operation),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
