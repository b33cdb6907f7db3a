/* Goal: what JSON set and removed at paths makes of a document, op by op; that an edit sees its
 * own operations, changes nothing until its payload is applied, and takes back a call that
 * failed; and that what cannot be is refused with the right code. */

#include "tests/store/crdt/fixture.h"

#include <stdio.h>

static const struct {
    const char *start; /* set at /m first; NULL: nothing */
    const char *path;
    const char *value; /* NULL: remove */
    size_t ops;
    const char *after; /* of "" */
} cases[] = {
    { NULL, "/m/a", "1", 1, "{\"m\":{\"a\":1}}" },
    { NULL, "/m/a", "null", 1, "{\"m\":{\"a\":null}}" },
    { NULL, "/m/a", "true", 1, "{\"m\":{\"a\":true}}" },
    { NULL, "/m/a", "false", 1, "{\"m\":{\"a\":false}}" },
    { NULL, "/m/a", "-9223372036854775808", 1, "{\"m\":{\"a\":-9223372036854775808}}" },
    { NULL, "/m/a", "1.5", 1, "{\"m\":{\"a\":1.5}}" },
    { NULL, "/m/a", "\"\"", 1, "{\"m\":{\"a\":\"\"}}" },
    { NULL, "/m/a", "\"\\u00e9\"", 1, "{\"m\":{\"a\":\"\xc3\xa9\"}}" },
    { NULL, "/m/a", "{\"$bytes\":\"nbswy3dp\"}", 1, "{\"m\":{\"a\":{\"$bytes\":\"nbswy3dp\"}}}" },
    { NULL, "/m/a", "{\"$bytes\":\"!\"}", 2, "{\"m\":{\"a\":{\"$bytes\":\"!\"}}}" },
    { NULL, "/m/a", "{\"$bytes\":\"NBSWY3DP\"}", 2,
      "{\"m\":{\"a\":{\"$bytes\":\"NBSWY3DP\"}}}" }, /* not as we write it: an object */
    { NULL, "/m/", "1", 1, "{\"m\":{\"\":1}}" },
    { NULL, "//", "1", 1, "{\"\":{\"\":1}}" },
    { NULL, "//", "{\"\":{\"\":1}}", 3, "{\"\":{\"\":{\"\":{\"\":1}}}}" },
    { NULL, "/m/a~1b~0", "1", 1, "{\"m\":{\"a/b~\":1}}" },
    /* Maps on the way, and whole objects: a marker each. */
    { NULL, "/m/a/b/c", "1", 3, "{\"m\":{\"a\":{\"b\":{\"c\":1}}}}" },
    { NULL, "/m/a", "{}", 1, "{\"m\":{\"a\":{}}}" },
    { NULL, "/m/a", "{\"b\":{\"c\":1},\"d\":2}", 4, "{\"m\":{\"a\":{\"b\":{\"c\":1},\"d\":2}}}" },
    { NULL, "/m", "{\"a\":1,\"b\":{}}", 2, "{\"m\":{\"a\":1,\"b\":{}}}" },
    { NULL, "/m", "{}", 0, "{}" },
    /* Setting what is there makes no op; what is there not, one. */
    { "{\"a\":1}", "/m/a", "1", 0, "{\"m\":{\"a\":1}}" },
    { "{\"a\":1}", "/m/a", "1.0", 1, "{\"m\":{\"a\":1.0}}" },
    { "{\"a\":1.5}", "/m/a", "1.5", 0, "{\"m\":{\"a\":1.5}}" },
    { "{\"a\":0.0}", "/m/a", "-0.0", 1, "{\"m\":{\"a\":-0.0}}" },
    { "{\"a\":null}", "/m/a", "null", 0, "{\"m\":{\"a\":null}}" },
    { "{\"a\":{\"$bytes\":\"ge\"}}", "/m/a", "{\"$bytes\":\"ge\"}", 0,
      "{\"m\":{\"a\":{\"$bytes\":\"ge\"}}}" },
    { "{\"a\":1}", "/m/a", "\"1\"", 1, "{\"m\":{\"a\":\"1\"}}" },
    { "{\"a\":{\"b\":1,\"c\":2}}", "/m/a", "{\"b\":1,\"c\":2}", 0,
      "{\"m\":{\"a\":{\"b\":1,\"c\":2}}}" },
    { "{\"a\":{\"b\":1,\"c\":2}}", "/m/a", "{\"b\":1,\"d\":2}", 2,
      "{\"m\":{\"a\":{\"b\":1,\"d\":2}}}" },
    { "{\"a\":{\"b\":1}}", "/m/a/c", "2", 1, "{\"m\":{\"a\":{\"b\":1,\"c\":2}}}" },
    /* A scalar in place of a map deletes all below; a map in place of a scalar is marked. */
    { "{\"a\":{\"b\":{\"c\":1},\"d\":2}}", "/m/a", "7", 4, "{\"m\":{\"a\":7}}" },
    { "{\"a\":7}", "/m/a", "{\"b\":1}", 2, "{\"m\":{\"a\":{\"b\":1}}}" },
    { "{\"a\":{\"b\":{\"c\":1}}}", "/m/a", "{\"b\":5}", 2, "{\"m\":{\"a\":{\"b\":5}}}" },
    { "{\"a\":1,\"b\":{\"c\":2}}", "/m", "{\"x\":1}", 4, "{\"m\":{\"x\":1}}" },
    /* Removing: every key seen below is an op. */
    { "{\"a\":1}", "/m/a", NULL, 1, "{\"m\":{}}" },
    { "{\"a\":{\"b\":{\"c\":1},\"d\":2}}", "/m/a", NULL, 4, "{\"m\":{}}" },
    { "{\"a\":{\"b\":{\"c\":1},\"d\":2}}", "/m/a/b", NULL, 2, "{\"m\":{\"a\":{\"d\":2}}}" },
    { "{\"a\":1,\"b\":{\"c\":2}}", "/m", NULL, 3, "{\"m\":{}}" },
};

static void
test_what_set_and_remove_make (void **state)
{
    (void) state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct weir_error e = { 0 };
        struct fixture_entry entry;
        struct weir_doc *doc = weir_doc_new ();
        if (cases[i].start != NULL) {
            entry = fixture_commit (doc, fixture_head (1, 1, 0, 0), "/m", cases[i].start);
            fixture_drop (&entry);
        }
        struct weir_edit *edit = weir_edit_new (doc);
        assert_status (cases[i].value != NULL
                           ? fixture_set (edit, cases[i].path, cases[i].value, &e)
                           : weir_edit_remove (edit, cases[i].path, &e),
                       WEIR_OK, &e);
        if (weir_edit_ops (edit) != cases[i].ops) {
            fail_msg ("case %zu makes %zu ops", i, weir_edit_ops (edit));
        }
        fixture_seal (edit, fixture_head (1, 2, 1, 100), &entry);
        assert_int_equal (entry.entry.ops, cases[i].ops);
        assert_int_equal (weir_edit_ops (edit), 0);
        fixture_apply (doc, &entry);
        assert_doc (doc, "", cases[i].after);
        weir_edit_destroy (&edit);
        weir_doc_destroy (&doc);
        fixture_drop (&entry);
    }
}

static const struct {
    const char *path;
    const char *value;
    enum weir_status status;
} refused[] = {
    { "", "{}", WEIR_INVALID_PATH },
    { "m/a", "1", WEIR_INVALID_PATH },
    { "/m/~2", "1", WEIR_INVALID_PATH },
    { "/_settings/a", "1", WEIR_INVALID_PATH },
    { "/m", "1", WEIR_INVALID_ARGUMENT },
    { "/m", "{\"$bytes\":\"nbswy3dp\"}", WEIR_INVALID_ARGUMENT },
    { "/m", "[]", WEIR_CONFLICT },
    { "/m/scalar/b", "1", WEIR_CONFLICT },
    { "/m/map/deep/b/c", "1", WEIR_CONFLICT },
    /* NULL: remove. */
    { "/m/none", NULL, WEIR_NOT_FOUND },
    { "/m/none/below", NULL, WEIR_NOT_FOUND },
    { "/other", NULL, WEIR_NOT_FOUND },
    { "/m/scalar/b", NULL, WEIR_CONFLICT },
    { "", NULL, WEIR_INVALID_PATH },
    { "x", NULL, WEIR_INVALID_PATH },
};

/* A refused call leaves the edit as it was: same ops, same payload. */
static void
test_refusals_leave_no_trace (void **state)
{
    (void) state;
    struct weir_doc *doc = weir_doc_new ();
    struct fixture_entry first = fixture_commit (doc, fixture_head (1, 1, 0, 0), "/m",
                                                 "{\"scalar\":1,\"map\":{\"deep\":{\"b\":2}}}");
    struct weir_edit *edit = weir_edit_new (doc);
    struct weir_edit *clean = weir_edit_new (doc);
    struct weir_error e = { 0 };
    assert_status (fixture_set (edit, "/m/map/x", "1", &e), WEIR_OK, &e);
    assert_status (fixture_set (clean, "/m/map/x", "1", &e), WEIR_OK, &e);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        enum weir_status status = refused[i].value != NULL
                                      ? fixture_set (edit, refused[i].path, refused[i].value, &e)
                                      : weir_edit_remove (edit, refused[i].path, &e);
        if (status != refused[i].status) {
            fail_msg ("%s %s: %s", refused[i].path, refused[i].value, weir_status_code (status));
        }
        assert_int_equal (weir_edit_ops (edit), 1);
    }
    assert_status (fixture_set (edit, "/m/map/y", "2", &e), WEIR_OK, &e);
    assert_status (fixture_set (clean, "/m/map/y", "2", &e), WEIR_OK, &e);
    struct fixture_entry a;
    struct fixture_entry b;
    fixture_seal (edit, fixture_head (1, 2, 1, 100), &a);
    fixture_seal (clean, fixture_head (1, 2, 1, 100), &b);
    assert_true (weir_bytes_equal (weir_buf_bytes (&a.payload), weir_buf_bytes (&b.payload)));
    assert_doc (doc, "/m/map", "{\"deep\":{\"b\":2}}");
    fixture_drop (&a);
    fixture_drop (&b);
    fixture_drop (&first);
    weir_edit_destroy (&edit);
    weir_edit_destroy (&clean);
    weir_edit_destroy (&edit);
    weir_doc_destroy (&doc);
}

/* What a patch that failed had begun below a key is forgotten with it. */
static void
test_a_failed_patch_is_forgotten (void **state)
{
    (void) state;
    struct weir_doc *doc = weir_doc_new ();
    struct weir_edit *edit = weir_edit_new (doc);
    struct weir_error e = { 0 };
    struct fixture_entry entry;
    json_t *patch = fixture_json ("[{\"op\":\"add\",\"path\":\"/m/a\",\"value\":{\"x\":1}},"
                                  "{\"op\":\"remove\",\"path\":\"/m/none\"}]");
    assert_status (fixture_set (edit, "/m/a", "1", &e), WEIR_OK, &e);
    assert_status (weir_edit_patch (edit, patch, &e), WEIR_NOT_FOUND, &e);
    assert_status (fixture_set (edit, "/m/b", "{\"y\":2}", &e), WEIR_OK, &e);
    assert_status (fixture_set (edit, "/m/a", "{\"z\":3}", &e), WEIR_OK, &e);
    fixture_seal (edit, fixture_head (1, 1, 0, 0), &entry);
    fixture_apply (doc, &entry);
    assert_doc (doc, "", "{\"m\":{\"a\":{\"z\":3},\"b\":{\"y\":2}}}");
    json_decref (patch);
    fixture_drop (&entry);
    weir_edit_destroy (&edit);
    weir_doc_destroy (&doc);
}

/* An edit sees its own operations; each that changes something is an op. */
static void
test_an_edit_sees_itself (void **state)
{
    (void) state;
    struct weir_doc *doc = weir_doc_new ();
    struct weir_edit *edit = weir_edit_new (doc);
    struct weir_error e = { 0 };
    struct fixture_entry entry;
    assert_status (fixture_set (edit, "/m/a/b", "1", &e), WEIR_OK, &e); /* 2 ops */
    assert_status (fixture_set (edit, "/m/a/b", "1", &e), WEIR_OK, &e); /* 0 */
    assert_status (fixture_set (edit, "/m/a/b", "2", &e), WEIR_OK, &e); /* 1 */
    assert_status (fixture_set (edit, "/m/a/c", "3", &e), WEIR_OK, &e); /* 1 */
    assert_status (weir_edit_remove (edit, "/m/a", &e), WEIR_OK, &e);   /* 3 */
    assert_status (weir_edit_remove (edit, "/m/a", &e), WEIR_NOT_FOUND, &e);
    assert_status (fixture_set (edit, "/m/a/d", "4", &e), WEIR_OK, &e);     /* 2 */
    assert_status (fixture_set (edit, "/m", "{\"z\":5}", &e), WEIR_OK, &e); /* 3 */
    assert_int_equal (weir_edit_ops (edit), 12);
    assert_doc (doc, "", "{}");
    fixture_seal (edit, fixture_head (1, 1, 0, 0), &entry);
    fixture_apply (doc, &entry);
    assert_doc (doc, "", "{\"m\":{\"z\":5}}");
    /* Emptied: the next one starts from the document. */
    assert_status (fixture_set (edit, "/m/z", "5", &e), WEIR_OK, &e);
    assert_int_equal (weir_edit_ops (edit), 0);
    fixture_drop (&entry);
    weir_edit_destroy (&edit);
    weir_doc_destroy (&doc);
}

static char *
nested_text (size_t depth)
{
    struct weir_buf text = { 0 };
    for (size_t i = 0; i < depth; i++) {
        weir_buf_printf (&text, "{\"k\":");
    }
    weir_buf_printf (&text, "1");
    for (size_t i = 0; i < depth; i++) {
        weir_buf_printf (&text, "}");
    }
    char *copy = weir_strdup (weir_buf_str (&text));
    weir_buf_fini (&text);
    return copy;
}

/* What is set can be shown and parsed again: depth ends where JSON's ends. */
static void
test_depth_has_an_end (void **state)
{
    (void) state;
    struct weir_doc *doc = weir_doc_new ();
    struct weir_edit *edit = weir_edit_new (doc);
    struct weir_error e = { 0 };
    struct weir_buf text = { 0 };
    json_t *json = NULL;
    char *deepest = nested_text (WEIR_CONTAINER_DEPTH_MAX);
    char *deeper = nested_text (WEIR_CONTAINER_DEPTH_MAX + 1);
    assert_status (fixture_set (edit, "/m", deeper, &e), WEIR_LIMIT, &e);
    assert_int_equal (weir_edit_ops (edit), 0);
    assert_status (fixture_set (edit, "/m", deepest, &e), WEIR_OK, &e);
    struct fixture_entry entry;
    fixture_seal (edit, fixture_head (1, 1, 0, 0), &entry);
    fixture_apply (doc, &entry);
    assert_status (weir_doc_get (doc, "", &json, &e), WEIR_OK, &e);
    weir_json_put (&text, json);
    json_decref (json);
    assert_status (weir_json_parse (&json, weir_buf_bytes (&text), WEIR_JSON_BYTES_MAX, &e),
                   WEIR_OK, &e);
    json_decref (json);
    free (deepest);
    free (deeper);
    weir_buf_fini (&text);
    fixture_drop (&entry);
    weir_edit_destroy (&edit);
    weir_doc_destroy (&doc);
}

static void
test_size_has_an_end (void **state)
{
    (void) state;
    struct weir_doc *doc = weir_doc_new ();
    struct weir_edit *edit = weir_edit_new (doc);
    struct weir_error e = { 0 };
    struct weir_buf payload = { 0 };
    uint32_t ops = 0;
    size_t len = WEIR_PAYLOAD_BYTES_MAX - 16;
    char *text = weir_alloc (WEIR_PAYLOAD_BYTES_MAX + 1);
    memset (text, 'x', WEIR_PAYLOAD_BYTES_MAX);
    json_t *huge = json_stringn (text, WEIR_PAYLOAD_BYTES_MAX);
    json_t *large = json_stringn (text, len);
    assert_status (weir_edit_set (edit, "/m/a", huge, &e), WEIR_TOO_LARGE, &e);
    assert_int_equal (weir_edit_ops (edit), 0);
    assert_status (weir_edit_set (edit, "/m/a", large, &e), WEIR_OK, &e);
    assert_status (fixture_set (edit, "/m/b", "\"a second one that is too much\"", &e),
                   WEIR_TOO_LARGE, &e);
    /* Fits alone, but not with a message: refused, and still there. */
    weir_buf_put (&payload, "before", 6);
    assert_status (weir_edit_seal (edit, fixture_text ("hello"), &payload, &ops, &e),
                   WEIR_TOO_LARGE, &e);
    assert_int_equal (payload.len, 6);
    assert_int_equal (weir_edit_ops (edit), 1);
    /* Messages. */
    text[WEIR_MESSAGE_TEXT_BYTES_MAX + 1] = 0;
    assert_status (weir_edit_seal (edit, fixture_text (text), &payload, &ops, &e),
                   WEIR_INVALID_ARGUMENT, &e);
    assert_status (weir_edit_seal (edit, fixture_text ("\xff"), &payload, &ops, &e),
                   WEIR_INVALID_ARGUMENT, &e);
    free (text);
    json_decref (huge);
    json_decref (large);
    weir_buf_fini (&payload);
    weir_edit_destroy (&edit);
    weir_doc_destroy (&doc);
}

/* JSON that did not come by our parser. */
static void
test_foreign_json (void **state)
{
    (void) state;
    struct weir_doc *doc = weir_doc_new ();
    struct weir_edit *edit = weir_edit_new (doc);
    struct weir_error e = { 0 };
    json_t *nul = json_stringn_nocheck ("a\0b", 3);
    json_t *object = json_object ();
    json_object_setn_new_nocheck (object, "a\0b", 3, json_true ());
    assert_status (weir_edit_set (edit, "/m/a", nul, &e), WEIR_INVALID_JSON, &e);
    assert_status (weir_edit_set (edit, "/m/a", object, &e), WEIR_INVALID_PATH, &e);
    assert_int_equal (weir_edit_ops (edit), 0);
    json_decref (nul);
    json_decref (object);
    weir_edit_destroy (&edit);
    weir_doc_destroy (&doc);
}

/* Many keys in one edit, and a failure after many: the tables grow and shrink back. */
static void
test_a_large_edit (void **state)
{
    (void) state;
    struct weir_doc *doc = weir_doc_new ();
    struct weir_edit *edit = weir_edit_new (doc);
    struct weir_error e = { 0 };
    struct fixture_entry entry;
    json_t *object = json_object ();
    char key[32];
    for (int i = 0; i < 3000; i++) {
        snprintf (key, sizeof key, "key-%d", i);
        json_object_set_new (object, key, json_pack ("{s:i,s:{s:i}}", "a", i, "b", "c", i));
    }
    assert_status (weir_edit_set (edit, "/m/all", object, &e), WEIR_OK, &e);
    assert_int_equal (weir_edit_ops (edit), 1 + 3000 * 4);
    json_object_set_new (object, "bad", json_pack ("[s#]", "a\0b", 3));
    assert_status (weir_edit_set (edit, "/other/all", object, &e), WEIR_INVALID_JSON, &e);
    assert_int_equal (weir_edit_ops (edit), 1 + 3000 * 4);
    json_object_del (object, "bad");
    assert_status (weir_edit_set (edit, "/m/all", object, &e), WEIR_OK, &e);
    assert_int_equal (weir_edit_ops (edit), 1 + 3000 * 4);
    fixture_seal (edit, fixture_head (1, 1, 0, 0), &entry);
    fixture_apply (doc, &entry);
    assert_doc (doc, "/m/all/key-2999", "{\"a\":2999,\"b\":{\"c\":2999}}");
    assert_doc (doc, "/other", NULL);
    assert_true (weir_doc_memory_bytes (doc) > 3000 * 100);
    assert_docs_equal (doc, doc);
    json_decref (object);
    fixture_drop (&entry);
    weir_edit_destroy (&edit);
    weir_doc_destroy (&doc);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_what_set_and_remove_make),
        cmocka_unit_test (test_refusals_leave_no_trace),
        cmocka_unit_test (test_a_failed_patch_is_forgotten),
        cmocka_unit_test (test_an_edit_sees_itself),
        cmocka_unit_test (test_depth_has_an_end),
        cmocka_unit_test (test_size_has_an_end),
        cmocka_unit_test (test_foreign_json),
        cmocka_unit_test (test_a_large_edit),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
