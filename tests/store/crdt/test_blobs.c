/* Goal: blobs as values of maps, lists and movable lists: set, shown, found again, saved, loaded
 * and seen to be gone; their payloads have a codec of their own, without which they are inert; a
 * style takes none. */

#include "tests/store/crdt/fixture.h"

#include "store/dag/blob.h"

#define MAP_ROW "\x00\x00\x01\x04\x01m\x00" /* no message, no ids, a root map "m", no text */

static char text_a[160];
static char text_b[160];
static struct weir_id id_a;
static struct weir_id id_b;

static int
setup (void **state)
{
    (void) state;
    id_a = weir_blob_id (weir_bytes ("a", 1));
    id_b = weir_blob_id (weir_bytes ("b", 1));
    snprintf (text_a, sizeof text_a, "{\"$blob\":\"%s\",\"bytes\":7}", weir_id_text (&id_a).s);
    snprintf (text_b, sizeof text_b, "{\"$blob\":\"%s\",\"bytes\":900000000}",
              weir_id_text (&id_b).s);
    return 0;
}

struct seen {
    size_t count;
    size_t a;
    size_t b;
};

static void
see (void *context, const struct weir_id *id, uint64_t bytes)
{
    struct seen *s = context;
    s->count++;
    s->a += weir_id_equal (id, &id_a) && bytes == 7;
    s->b += weir_id_equal (id, &id_b) && bytes == 900000000;
}

static void
assert_seen (const struct weir_doc *doc, size_t a, size_t b)
{
    struct seen s = { 0 };
    weir_doc_blobs (doc, see, &s);
    assert_int_equal (s.a, a);
    assert_int_equal (s.b, b);
    assert_int_equal (s.count, a + b);
}

static void
assert_payload (const struct fixture_entry *entry, size_t a, size_t b)
{
    struct seen s = { 0 };
    weir_doc_payload_blobs (weir_buf_bytes (&entry->payload), see, &s);
    assert_int_equal (s.a, a);
    assert_int_equal (s.b, b);
    assert_int_equal (entry->payload.data[0], a + b > 0 ? WEIR_CODEC_BLOBS : WEIR_CODEC_DOC);
}

static void
assert_reloads (const struct weir_doc *doc)
{
    struct weir_buf state = { 0 };
    struct weir_buf again = { 0 };
    struct weir_doc *loaded = NULL;
    struct seen before = { 0 };
    struct seen after = { 0 };
    weir_doc_save (doc, &state);
    assert_int_equal (weir_doc_load (&loaded, weir_buf_bytes (&state)), WEIR_OK);
    weir_doc_save (loaded, &again);
    assert_int_equal (state.len, again.len);
    assert_memory_equal (state.data, again.data, state.len);
    weir_doc_blobs (doc, see, &before);
    weir_doc_blobs (loaded, see, &after);
    assert_int_equal (before.a, after.a);
    assert_int_equal (before.b, after.b);
    weir_doc_destroy (&loaded);
    weir_buf_fini (&state);
    weir_buf_fini (&again);
}

/* The next entry of the one author, on top of all. */
static struct weir_doc_entry
next (const struct weir_doc *doc, uint32_t number)
{
    static struct weir_id parent;
    struct weir_doc_entry e = fixture_head (1, number, number - 1, weir_doc_lamport (doc));
    size_t n = 0;
    const struct weir_id *heads = weir_doc_heads (doc, &n);
    if (n > 0) {
        parent = heads[0];
        e.parents = &parent;
        e.n_parents = 1;
    }
    return e;
}

static void
test_maps_and_lists (void **state)
{
    struct weir_doc *doc = weir_doc_new ();
    char both[600];
    (void) state;
    struct fixture_entry set = fixture_commit (doc, next (doc, 1), "/m/k", text_a);
    assert_payload (&set, 1, 0);
    assert_doc (doc, "/m/k", text_a);
    assert_seen (doc, 1, 0);
    struct fixture_entry other = fixture_commit (doc, next (doc, 2), "/m/n", "1");
    assert_payload (&other, 0, 0);
    snprintf (both, sizeof both, "[%s,1,{\"x\":%s},%s]", text_a, text_b, text_a);
    struct fixture_entry list = fixture_commit (doc, next (doc, 3), "/m/l", both);
    assert_payload (&list, 2, 1);
    assert_doc (doc, "/m/l", both);
    assert_seen (doc, 3, 1);
    assert_reloads (doc);
    struct fixture_entry over = fixture_commit (doc, next (doc, 4), "/m/k", text_b);
    assert_seen (doc, 2, 2);
    struct fixture_entry gone = fixture_commit (doc, next (doc, 5), "/m/l", NULL);
    assert_seen (doc, 0, 1);
    assert_payload (&gone, 0, 0);
    assert_reloads (doc);
    fixture_drop (&set);
    fixture_drop (&other);
    fixture_drop (&list);
    fixture_drop (&over);
    fixture_drop (&gone);
    weir_doc_destroy (&doc);
}

static void
test_movable_and_path (void **state)
{
    struct weir_doc *doc = weir_doc_new ();
    struct weir_error e = { 0 };
    struct fixture_entry out;
    struct weir_id id;
    uint64_t bytes = 0;
    (void) state;
    struct weir_edit *edit = weir_edit_new (doc);
    json_t *value = fixture_json (text_b);
    assert_status (weir_edit_list_insert (edit, "/m/v", 0, true, value, &e), WEIR_OK, &e);
    assert_status (fixture_set (edit, "/m/k", "3", &e), WEIR_OK, &e);
    fixture_seal (edit, next (doc, 1), &out);
    fixture_apply (doc, &out);
    assert_payload (&out, 0, 1);
    assert_seen (doc, 0, 1);
    assert_reloads (doc);
    assert_status (weir_doc_blob_at (doc, "/m/v/0", &id, &bytes, &e), WEIR_OK, &e);
    assert_true (weir_id_equal (&id, &id_b));
    assert_int_equal (bytes, 900000000);
    assert_status (weir_doc_blob_at (doc, "/m/k", &id, &bytes, &e), WEIR_CONFLICT, &e);
    assert_status (weir_doc_blob_at (doc, "/m/no", &id, &bytes, &e), WEIR_NOT_FOUND, &e);
    assert_status (weir_doc_blob_at (doc, "m", &id, &bytes, &e), WEIR_INVALID_PATH, &e);
    fixture_drop (&out);
    /* What was rolled back or sealed before leaves nothing behind. */
    assert_status (fixture_set (edit, "/m/k", "4", &e), WEIR_OK, &e);
    fixture_seal (edit, next (doc, 2), &out);
    assert_payload (&out, 0, 0);
    fixture_drop (&out);
    /* A style is no place for a blob. */
    assert_status (
        weir_edit_text_insert (edit, "/m/t", 0, WEIR_TEXT_SCALARS, fixture_text ("abc"), &e),
        WEIR_OK, &e);
    assert_status (weir_edit_text_mark (edit, "/m/t", 0, 2, "k", value, WEIR_EXPAND_NONE, &e),
                   WEIR_INVALID_ARGUMENT, &e);
    json_decref (value);
    weir_edit_destroy (&edit);
    weir_doc_destroy (&doc);
}

/* Payloads as another writer might make them; `at` is where the blob's size ends. */
static void
test_hostile (void **state)
{
    static const struct {
        const char *head;
        size_t head_len;
        uint64_t bytes;
        size_t cut;
        enum weir_status status;
    } cases[] = {
        { "\x03" MAP_ROW "\x00\x01k\x0a", 12, 7, 0, WEIR_OK },
        { "\x03" MAP_ROW "\x00\x01k\x0a", 12, WEIR_BLOB_BYTES_MAX, 0, WEIR_OK },
        { "\x03" MAP_ROW "\x00\x01k\x0a", 12, WEIR_BLOB_BYTES_MAX + 1ull, 0, WEIR_BAD_PAYLOAD },
        { "\x03" MAP_ROW "\x00\x01k\x0a", 12, 7, 1, WEIR_BAD_PAYLOAD },
        { "\x03" MAP_ROW "\x00\x01k\x0a", 12, 7, 40, WEIR_BAD_PAYLOAD },
        /* Under the codec of those who know no blobs. */
        { "\x01" MAP_ROW "\x00\x01k\x0a", 12, 7, 0, WEIR_BAD_PAYLOAD },
    };
    (void) state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct weir_doc *doc = weir_doc_new ();
        struct weir_buf payload = { 0 };
        struct weir_doc_entry entry = fixture_head (1, 1, 0, 0);
        struct seen s = { 0 };
        weir_buf_put (&payload, cases[i].head, cases[i].head_len);
        weir_buf_put_bytes (&payload, weir_id_bytes (&id_a));
        weir_buf_put_u64 (&payload, cases[i].bytes);
        payload.len -= cases[i].cut;
        entry.ops = 1;
        assert_int_equal (weir_doc_apply (doc, &entry, weir_buf_bytes (&payload), NULL),
                          cases[i].status);
        weir_doc_payload_blobs (weir_buf_bytes (&payload), see, &s);
        assert_int_equal (s.count, cases[i].status == WEIR_OK ? 1 : 0);
        weir_buf_fini (&payload);
        weir_doc_destroy (&doc);
    }
}

static void
test_json_that_is_no_blob (void **state)
{
    static const char *const values[] = {
        "{\"$blob\":\"x\",\"bytes\":1}",
        "{\"$blob\":1,\"bytes\":1}",
        "{\"bytes\":1}",
        "{\"$blob\":\"%s\",\"bytes\":-1}",
        "{\"$blob\":\"%s\",\"bytes\":1.5}",
        "{\"$blob\":\"%s\",\"bytes\":1073741825}",
        "{\"$blob\":\"%s\",\"bytes\":1,\"more\":1}",
        "{\"$blob\":\"%s\"}",
    };
    (void) state;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        struct weir_doc *doc = weir_doc_new ();
        struct weir_buf text = { 0 };
        const char *slot = strstr (values[i], "%s");
        if (slot != NULL) {
            weir_buf_printf (&text, "%.*s%s%s", (int) (slot - values[i]), values[i],
                             weir_id_text (&id_a).s, slot + 2);
        } else {
            weir_buf_printf (&text, "%s", values[i]);
        }
        struct fixture_entry set =
            fixture_commit (doc, next (doc, 1), "/m/k", weir_buf_str (&text));
        assert_seen (doc, 0, 0); /* an ordinary object */
        fixture_drop (&set);
        weir_buf_fini (&text);
        weir_doc_destroy (&doc);
    }
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_maps_and_lists),
        cmocka_unit_test (test_movable_and_path),
        cmocka_unit_test (test_hostile),
        cmocka_unit_test (test_json_that_is_no_blob),
    };
    return cmocka_run_group_tests (tests, setup, NULL);
}
