/* Goal: edits of lists, movable lists, texts and counters, by patches of several operations at
 * once, against plain JSON that is edited alike: what shows through the edit, and what the
 * document is once the payload is applied. A patch that fails leaves no trace. */

#include "tests/store/crdt/fixture.h"

#include "store/base/rand.h"
#include "store/crdt/edit.h"

struct world {
    struct weir_rand rand;
    struct weir_doc *doc;
    json_t *model;
    uint32_t entries;
    uint64_t lamport;
    struct weir_id last;
};

static uint32_t
below (struct world *w, size_t n)
{
    return n == 0 ? 0 : (uint32_t) weir_rand_below (&w->rand, n);
}

/* ---- plain JSON ---- */

static json_t *
some_value (struct world *w, int depth)
{
    static const char *const texts[] = { "", "a", "weir", "Stauwehr \xc3\xbc", "\xf0\x9f\x90\x9f" };
    uint32_t kind = below (w, depth > 1 ? 4 : 6);
    json_t *out = NULL;
    switch (kind) {
    case 0:
        return json_integer (below (w, 5));
    case 1:
        return json_string (texts[below (w, 5)]);
    case 2:
        return json_real (0.5);
    case 3:
        return below (w, 2) == 0 ? json_null () : json_true ();
    case 4:
        out = json_array ();
        for (uint32_t i = below (w, 4); i > 0; i--) {
            json_array_append_new (out, some_value (w, depth + 1));
        }
        return out;
    default:
        out = json_object ();
        for (uint32_t i = below (w, 3); i > 0; i--) {
            char key[] = { (char) ('a' + below (w, 3)), '\0' };
            json_object_set_new (out, key, some_value (w, depth + 1));
        }
        return out;
    }
}

static void
text_splice (json_t *model, uint32_t at, uint32_t count, const char *insert)
{
    const char *text = json_string_value (json_object_get (model, "t"));
    struct weir_buf out = { 0 };
    uint32_t scalar = 0;
    const char *p = text;
    while (*p != '\0' && scalar < at) {
        p++;
        while ((*p & 0xc0) == 0x80) {
            p++;
        }
        scalar++;
    }
    weir_buf_put (&out, text, (size_t) (p - text));
    weir_buf_put_bytes (&out, weir_bytes_str (insert));
    for (uint32_t i = 0; i < count; i++) {
        p++;
        while ((*p & 0xc0) == 0x80) {
            p++;
        }
    }
    weir_buf_put_bytes (&out, weir_bytes_str (p));
    json_object_set_new (model, "t", json_string (weir_buf_str (&out)));
    weir_buf_fini (&out);
}

static uint32_t
text_length (const json_t *model)
{
    uint32_t n = 0;
    for (const char *p = json_string_value (json_object_get (model, "t")); *p != '\0'; p++) {
        n += (*p & 0xc0) != 0x80 ? 1 : 0;
    }
    return n;
}

/* ---- one operation on both ---- */

static json_t *
list_op (struct world *w, json_t *model, const char *root)
{
    char path[64];
    char from[64];
    json_t *list = json_object_get (model, root);
    size_t n = json_array_size (list);
    uint32_t at = below (w, n + 1);
    uint32_t kind = n == 0 ? below (w, 2) : below (w, 6);
    uint32_t to = below (w, n);
    json_t *value = some_value (w, 0);
    json_t *op = NULL;
    at = kind > 1 ? below (w, n) : at;
    snprintf (path, sizeof path, "/%s/%u", root, at);
    switch (kind) {
    case 0:
        op = json_pack ("{s:s, s:s, s:O}", "op", "add", "path", path, "value", value);
        json_array_insert (list, at, value);
        break;
    case 1:
        snprintf (path, sizeof path, "/%s", root);
        op = json_pack ("{s:s, s:s, s:O, s:i}", "op", "list_insert", "path", path, "value", value,
                        "at", (int) at);
        json_array_insert (list, at, value);
        break;
    case 2:
        op = json_pack ("{s:s, s:s}", "op", "remove", "path", path);
        json_array_remove (list, at);
        break;
    case 3:
        op = json_pack ("{s:s, s:s, s:O}", "op", "replace", "path", path, "value", value);
        json_array_set (list, at, value);
        break;
    case 4:
        snprintf (from, sizeof from, "/%s/%u", root, to);
        op = json_pack ("{s:s, s:s, s:s}", "op", "move", "from", from, "path", path);
        json_decref (value);
        value = json_incref (json_array_get (list, to));
        json_array_remove (list, to);
        json_array_insert (list, at, value);
        break;
    default:
        if (root[0] != 'v') {
            op = json_pack ("{s:s, s:s, s:O}", "op", "test", "path", path, "value",
                            json_array_get (list, at));
            break;
        }
        snprintf (path, sizeof path, "/%s", root);
        op = json_pack ("{s:s, s:s, s:i, s:i}", "op", "list_move", "path", path, "at", (int) at,
                        "to", (int) to);
        json_decref (value);
        value = json_incref (json_array_get (list, at));
        json_array_remove (list, at);
        json_array_insert (list, to, value);
        break;
    }
    json_decref (value);
    return op;
}

static json_t *
text_op (struct world *w, json_t *model)
{
    static const char *const texts[] = { "a", "bcd", "\xc3\xbc\xc3\xb6", "\xf0\x9f\x90\x9f", "\n" };
    uint32_t n = text_length (model);
    uint32_t at = below (w, n + 1);
    uint32_t kind = below (w, 4);
    const char *text = texts[below (w, 5)];
    uint32_t count = below (w, n - at + 1);
    if (kind < 2) {
        text_splice (model, at, 0, text);
        return json_pack ("{s:s, s:s, s:i, s:s}", "op", "text_insert", "path", "/t", "at", (int) at,
                          "text", text);
    }
    text_splice (model, at, count, kind == 2 ? "" : text);
    return kind == 2 ? json_pack ("{s:s, s:s, s:i, s:i}", "op", "text_delete", "path", "/t", "at",
                                  (int) at, "count", (int) count)
                     : json_pack ("{s:s, s:s, s:O}", "op", "text_update", "path", "/t", "text",
                                  json_object_get (model, "t"));
}

static json_t *
count_op (struct world *w, json_t *model)
{
    json_t *now = json_object_get (model, "c");
    json_int_t by = (json_int_t) below (w, 10) - 5;
    json_object_set_new (model, "c", json_integer (json_integer_value (now) + by));
    return by % 2 == 0 ? json_pack ("{s:s, s:s, s:I}", "op", "increment", "path", "/c", "by", by)
                       : json_pack ("{s:s, s:s, s:O}", "op", "replace", "path", "/c", "value",
                                    json_object_get (model, "c"));
}

static json_t *
some_op (struct world *w, json_t *model)
{
    switch (below (w, 4)) {
    case 0:
        return list_op (w, model, "l");
    case 1:
        return list_op (w, model, "v");
    case 2:
        return text_op (w, model);
    default:
        return count_op (w, model);
    }
}

/* ---- the document ---- */

static void
assert_json (const json_t *got, const json_t *wanted, const json_t *patch)
{
    if (!json_equal (got, wanted)) {
        char *a = json_dumps (got, JSON_COMPACT | JSON_SORT_KEYS);
        char *b = json_dumps (wanted, JSON_COMPACT | JSON_SORT_KEYS);
        char *p = json_dumps (patch, JSON_COMPACT);
        fail_msg ("%s\ninstead of\n%s\nafter\n%s", a, b, p);
    }
}

static void
commit (struct world *w, json_t *patch, const json_t *model)
{
    struct weir_error e = { 0 };
    struct fixture_entry entry;
    struct weir_edit *edit = weir_edit_new (w->doc);
    json_t *bad = json_deep_copy (patch);
    json_array_append_new (bad, json_pack ("{s:s, s:s}", "op", "remove", "path", "/l/9999"));
    assert_status (weir_edit_patch (edit, bad, &e), WEIR_NOT_FOUND, &e);
    assert_int_equal (weir_edit_ops (edit), 0);
    json_decref (bad);
    assert_status (weir_edit_patch (edit, patch, &e), WEIR_OK, &e);
    json_t *shown = json_pack ("[{s:s, s:s, s:O}]", "op", "test", "path", "", "value", model);
    if (weir_edit_patch (edit, shown, &e) != WEIR_OK) {
        char *p = json_dumps (patch, JSON_COMPACT);
        char *m = json_dumps (model, JSON_COMPACT);
        char *s = json_dumps (weir_edit_json (edit), JSON_COMPACT);
        fail_msg ("through the edit, after\n%s\n%s\nnot\n%s", p, s, m);
    }
    json_decref (shown);
    if (weir_edit_ops (edit) > 0) {
        struct weir_doc_entry head = fixture_head (1, w->entries + 1, w->entries, w->lamport);
        head.parents = &w->last;
        head.n_parents = w->entries > 0 ? 1 : 0;
        w->entries++;
        fixture_seal (edit, head, &entry);
        fixture_apply (w->doc, &entry);
        w->lamport += entry.entry.ops;
        w->last = entry.entry.id;
        fixture_drop (&entry);
    }
    weir_edit_destroy (&edit);
    json_t *got = NULL;
    assert_status (weir_doc_get (w->doc, "", &got, &e), WEIR_OK, &e);
    assert_json (got, model, patch);
    json_decref (got);
}

static void
test_random (void **state)
{
    (void) state;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct world w = { .doc = weir_doc_new () };
        struct weir_buf saved = { 0 };
        weir_rand_init (&w.rand, seed);
        w.model = json_pack ("{s:[i], s:[i], s:s, s:i}", "l", 1, "v", 1, "t", "x", "c", 2);
        json_t *first =
            fixture_json ("[{\"op\":\"list_insert\",\"path\":\"/l\",\"value\":1},"
                          "{\"op\":\"list_insert\",\"path\":\"/v\",\"value\":1,\"movable\":true},"
                          "{\"op\":\"text_insert\",\"path\":\"/t\",\"at\":0,\"text\":\"x\"},"
                          "{\"op\":\"increment\",\"path\":\"/c\",\"by\":2}]");
        commit (&w, first, w.model);
        json_decref (first);
        for (int i = 0; i < 25; i++) {
            json_t *patch = json_array ();
            json_t *model = json_deep_copy (w.model);
            for (uint32_t k = below (&w, 6); k < 6; k++) {
                json_array_append_new (patch, some_op (&w, model));
            }
            commit (&w, patch, model);
            json_decref (w.model);
            json_decref (patch);
            w.model = model;
        }
        assert_docs_equal (w.doc, w.doc);
        weir_buf_fini (&saved);
        json_decref (w.model);
        weir_doc_destroy (&w.doc);
    }
}

static const struct {
    const char *op;
    enum weir_status status;
} refusals[] = {
    { "{\"op\":\"text_insert\",\"path\":\"/t\",\"at\":4,\"text\":\"x\"}", WEIR_OUT_OF_RANGE },
    { "{\"op\":\"text_insert\",\"path\":\"/t\",\"at\":-1,\"text\":\"x\"}", WEIR_INVALID_ARGUMENT },
    { "{\"op\":\"text_insert\",\"path\":\"/t\",\"at\":1}", WEIR_INVALID_ARGUMENT },
    { "{\"op\":\"text_insert\",\"path\":\"/t\",\"at\":2,\"unit\":\"utf8\",\"text\":\"x\"}",
      WEIR_OK },
    { "{\"op\":\"text_insert\",\"path\":\"/t\",\"at\":1,\"unit\":\"utf8\",\"text\":\"x\"}",
      WEIR_INVALID_ARGUMENT },
    { "{\"op\":\"text_insert\",\"path\":\"/t\",\"at\":2,\"unit\":\"utf16\",\"text\":\"x\"}",
      WEIR_INVALID_ARGUMENT },
    { "{\"op\":\"text_insert\",\"path\":\"/t\",\"at\":4,\"unit\":\"utf16\",\"text\":\"x\"}",
      WEIR_OK },
    { "{\"op\":\"text_insert\",\"path\":\"/t\",\"at\":1,\"unit\":\"x\",\"text\":\"x\"}",
      WEIR_INVALID_ARGUMENT },
    { "{\"op\":\"text_insert\",\"path\":\"/l\",\"at\":0,\"text\":\"x\"}", WEIR_CONFLICT },
    { "{\"op\":\"text_delete\",\"path\":\"/t\",\"at\":2,\"count\":2}", WEIR_OUT_OF_RANGE },
    { "{\"op\":\"mark\",\"path\":\"/t\",\"start\":0,\"end\":4,\"key\":\"b\",\"value\":true}",
      WEIR_OUT_OF_RANGE },
    { "{\"op\":\"mark\",\"path\":\"/t\",\"start\":1,\"end\":1,\"key\":\"b\",\"value\":true}",
      WEIR_INVALID_ARGUMENT },
    { "{\"op\":\"mark\",\"path\":\"/t\",\"start\":0,\"end\":2,\"key\":\"b\",\"value\":[]}",
      WEIR_INVALID_ARGUMENT },
    { "{\"op\":\"mark\",\"path\":\"/t\",\"start\":0,\"end\":2,\"key\":\"b\",\"value\":true,"
      "\"expand\":\"x\"}",
      WEIR_INVALID_ARGUMENT },
    { "{\"op\":\"mark\",\"path\":\"/t\",\"start\":0,\"end\":2,\"key\":\"b\",\"value\":true}",
      WEIR_OK },
    { "{\"op\":\"list_insert\",\"path\":\"/l\",\"at\":3,\"value\":1}", WEIR_OUT_OF_RANGE },
    { "{\"op\":\"list_insert\",\"path\":\"/t\",\"at\":0,\"value\":1}", WEIR_CONFLICT },
    { "{\"op\":\"list_insert\",\"path\":\"/l\"}", WEIR_INVALID_ARGUMENT },
    { "{\"op\":\"list_move\",\"path\":\"/l\",\"at\":0,\"to\":1}", WEIR_CONFLICT },
    { "{\"op\":\"add\",\"path\":\"/l/3\",\"value\":1}", WEIR_OUT_OF_RANGE },
    { "{\"op\":\"add\",\"path\":\"/l/-\",\"value\":1}", WEIR_OK },
    { "{\"op\":\"add\",\"path\":\"/l/01\",\"value\":1}", WEIR_INVALID_PATH },
    { "{\"op\":\"add\",\"path\":\"/l/x\",\"value\":1}", WEIR_INVALID_PATH },
    { "{\"op\":\"remove\",\"path\":\"/l/-\"}", WEIR_INVALID_PATH },
    { "{\"op\":\"replace\",\"path\":\"/l/2\",\"value\":1}", WEIR_NOT_FOUND },
    { "{\"op\":\"add\",\"path\":\"/l/1/a/b\",\"value\":1}", WEIR_NOT_FOUND },
    { "{\"op\":\"add\",\"path\":\"/l/1/a\",\"value\":1}", WEIR_OK },
    { "{\"op\":\"add\",\"path\":\"/l/0/a\",\"value\":1}", WEIR_CONFLICT },
    { "{\"op\":\"add\",\"path\":\"/t/0\",\"value\":1}", WEIR_CONFLICT },
    { "{\"op\":\"increment\",\"path\":\"/l\",\"by\":1}", WEIR_CONFLICT },
    { "{\"op\":\"increment\",\"path\":\"/c\",\"by\":\"1\"}", WEIR_INVALID_ARGUMENT },
    { "{\"op\":\"replace\",\"path\":\"/t\",\"value\":{}}", WEIR_CONFLICT },
    { "{\"op\":\"remove\",\"path\":\"/t\"}", WEIR_OK },
};

/* What stands in the way, and where an edit ends. */
static void
test_refusals (void **state)
{
    struct weir_error e = { 0 };
    struct world w = { .doc = weir_doc_new () };
    (void) state;
    w.model = fixture_json ("{\"l\":[1,{}],\"t\":\"\xc3\xbc\xf0\x9f\x90\x9f"
                            "b\",\"c\":1}");
    json_t *first = fixture_json ("[{\"op\":\"add\",\"path\":\"/l\",\"value\":[1,{}]},"
                                  "{\"op\":\"text_insert\",\"path\":\"/t\",\"text\":"
                                  "\"\xc3\xbc\xf0\x9f\x90\x9f"
                                  "b\"},"
                                  "{\"op\":\"increment\",\"path\":\"/c\",\"by\":1}]");
    commit (&w, first, w.model);
    json_decref (first);
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        struct weir_edit *edit = weir_edit_new (w.doc);
        json_t *op = fixture_json (refusals[i].op);
        json_t *patch = json_pack ("[o]", op);
        enum weir_status status = weir_edit_patch (edit, patch, &e);
        if (status != refusals[i].status) {
            fail_msg ("%s: %s (%s)", refusals[i].op, weir_status_code (status), e.what);
        }
        assert_int_equal (weir_edit_ops (edit) > 0, status == WEIR_OK);
        json_decref (patch);
        weir_edit_destroy (&edit);
    }
    json_decref (w.model);
    weir_doc_destroy (&w.doc);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_random),
        cmocka_unit_test (test_refusals),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
