/* Goal: an open change shows at once what it does, makes no op for what is there already, and its
 * payload, applied elsewhere under the sealed entry, gives the same bytes: with unique children,
 * ids in the table, adopted edits, and a document that warms up in between. What does not fit is
 * refused before anything is changed. */

#include "tests/store/crdt/fixture.h"

#include "store/crdt/change.h"

#include <stdio.h>

static const struct weir_chain me = { .lane = 7 };

static struct weir_value
number (int64_t i)
{
    return (struct weir_value){ .type = WEIR_VALUE_INT, .number.i = i };
}

static struct weir_value
text (const char *s)
{
    return (struct weir_value){ .type = WEIR_VALUE_TEXT, .bytes = fixture_text (s) };
}

static struct weir_container *
root (struct weir_change *change, const char *name)
{
    struct weir_error e = { 0 };
    struct weir_container *out = NULL;
    assert_status (weir_change_root (change, name, &weir_container_map, &out, &e), WEIR_OK, &e);
    return out;
}

static void
set (struct weir_change *change, struct weir_container *map, const char *key,
     struct weir_value value)
{
    struct weir_error e = { 0 };
    assert_status (weir_change_map_set (change, map, fixture_text (key), &value, &e), WEIR_OK, &e);
}

/* Seals as entry `n` on top of the heads, and keeps what was sealed. */
static struct fixture_entry
seal (struct weir_change **change, uint32_t n)
{
    static struct weir_id parents[WEIR_ENTRY_DEPS_MAX + 1];
    struct weir_doc *doc = weir_change_doc (*change);
    struct weir_error e = { 0 };
    struct fixture_entry out = { .entry = fixture_head (1, n, n, weir_doc_lamport (doc)) };
    size_t count = 0;
    const struct weir_id *heads = weir_doc_heads (doc, &count);
    out.entry.chain = me;
    out.entry.n_parents = (uint32_t) count;
    for (size_t i = 0; i < count; i++) {
        parents[i] = heads[i];
    }
    out.entry.parents = parents;
    assert_status (
        weir_change_payload (*change, fixture_text ("why"), &out.payload, &out.entry.ops, &e),
        WEIR_OK, &e);
    assert_int_equal (out.entry.ops, weir_change_atoms (*change));
    weir_change_seal (*change, &out.entry);
    weir_change_destroy (change);
    assert_null (*change);
    return out;
}

static void
test_maps (void **state)
{
    (void) state;
    struct weir_doc *doc = weir_doc_new ();
    struct weir_doc *other = weir_doc_new ();
    struct weir_error e = { 0 };
    struct weir_change *change = weir_change_open (doc, &me, 0);
    struct weir_container *m = root (change, "m");
    assert_ptr_equal (m, root (change, "m"));
    assert_doc (doc, "", "{}"); /* asked for is not written */
    set (change, m, "a", number (1));
    set (change, m, "a", number (1));
    set (change, m, "t", text ("x"));
    assert_int_equal (weir_change_atoms (change), 2);
    assert_doc (doc, "", "{\"m\":{\"a\":1,\"t\":\"x\"}}");
    struct weir_container *child = NULL;
    assert_status (
        weir_change_child (change, m, fixture_text ("c"), &weir_container_map, &child, &e), WEIR_OK,
        &e);
    set (change, child, "k", number (2));
    assert_status (
        weir_change_child (change, m, fixture_text ("c"), &weir_container_map, &child, &e), WEIR_OK,
        &e);
    assert_int_equal (weir_change_atoms (change), 4);
    assert_status (weir_change_map_delete (change, m, fixture_text ("a"), &e), WEIR_OK, &e);
    assert_status (weir_change_map_delete (change, m, fixture_text ("a"), &e), WEIR_OK, &e);
    assert_status (weir_change_map_delete (change, m, fixture_text ("none"), &e), WEIR_OK, &e);
    assert_int_equal (weir_change_atoms (change), 5);
    assert_true (weir_change_bytes (change) > 0);
    struct fixture_entry one = seal (&change, 1);
    assert_doc (doc, "", "{\"m\":{\"c\":{\"k\":2},\"t\":\"x\"}}");
    fixture_apply (other, &one);
    assert_docs_equal (doc, other);
    assert_int_equal (weir_doc_lamport (doc), 5);
    fixture_drop (&one);
    weir_doc_destroy (&doc);
    weir_doc_destroy (&other);
}

static void
test_bad_arguments (void **state)
{
    (void) state;
    struct weir_doc *doc = weir_doc_new ();
    struct weir_error e = { 0 };
    struct weir_change *change = weir_change_open (doc, &me, 0);
    struct weir_container *m = root (change, "m");
    struct weir_container *out = NULL;
    char *key = weir_alloc (WEIR_KEY_BYTES_MAX + 2);
    memset (key, 'k', WEIR_KEY_BYTES_MAX + 1);
    struct weir_value good = number (1);
    struct weir_value bad[] = { { .type = WEIR_VALUE_CONTAINER, .container = WEIR_CONTAINER_MAP },
                                { .type = WEIR_VALUE_UNIQUE, .container = WEIR_CONTAINER_MAP },
                                { .type = WEIR_VALUE_DELETED },
                                text ("\xff"),
                                { .type = WEIR_VALUE_DOUBLE, .number.d = 1.0 / 0.0 } };
    assert_status (weir_change_root (change, "_m", &weir_container_map, &out, &e),
                   WEIR_INVALID_ARGUMENT, &e);
    assert_status (weir_change_root (change, key, &weir_container_map, &out, &e),
                   WEIR_INVALID_ARGUMENT, &e);
    assert_status (weir_change_child (change, m, fixture_text (key), &weir_container_map, &out, &e),
                   WEIR_INVALID_ARGUMENT, &e);
    assert_status (
        weir_change_map_make (change, m, fixture_text (key), &weir_container_map, &out, &e),
        WEIR_INVALID_ARGUMENT, &e);
    assert_status (weir_change_map_set (change, m, fixture_text (key), &good, &e),
                   WEIR_INVALID_ARGUMENT, &e);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_status (weir_change_map_set (change, m, fixture_text ("k"), &bad[i], &e),
                       WEIR_INVALID_ARGUMENT, &e);
    }
    assert_null (out);
    assert_int_equal (weir_change_atoms (change), 0);
    struct weir_buf payload = { 0 };
    uint32_t ops = 7;
    assert_status (weir_change_payload (change, fixture_text ("\xff"), &payload, &ops, &e),
                   WEIR_INVALID_ARGUMENT, &e);
    assert_int_equal (ops, 7);
    weir_change_destroy (&change);
    weir_change_destroy (&change);
    weir_doc_destroy (&doc);
    free (key);
}

/* Two made at once are two; one is seen, and both are there. */
static void
test_unique_children (void **state)
{
    (void) state;
    struct weir_doc *docs[2];
    struct fixture_entry entries[3];
    struct weir_container *made[2];
    struct weir_error e = { 0 };
    for (uint32_t i = 0; i < 2; i++) {
        docs[i] = weir_doc_new ();
        struct weir_change *change = weir_change_open (docs[i], &me, 0);
        struct weir_container *m = root (change, "m");
        struct weir_container *below = NULL;
        set (change, m, "n", number (i));
        assert_status (
            weir_change_map_make (change, m, fixture_text ("u"), &weir_container_map, &made[i], &e),
            WEIR_OK, &e);
        assert_true (made[i]->is_unique);
        set (change, made[i], "k", number (i));
        assert_status (weir_change_child (change, made[i], fixture_text ("c"), &weir_container_map,
                                          &below, &e),
                       WEIR_OK, &e);
        set (change, below, "x", number (i));
        /* One more, that is replaced before it is sealed. */
        assert_status (weir_change_map_make (change, below, fixture_text ("y"), &weir_container_map,
                                             &below, &e),
                       WEIR_OK, &e);
        set (change, below->parent, "y", number (5));
        struct weir_id before = below->parent->id;
        entries[i] = seal (&change, i + 1);
        assert_false (weir_id_equal (&before, &below->parent->id));
        assert_true (weir_id_equal (&below->made.entry, &entries[i].entry.id));
        assert_ptr_equal (weir_doc_unique (docs[i], &made[i]->id), made[i]);
    }
    assert_false (weir_id_equal (&made[0]->id, &made[1]->id));
    entries[0].entry.n_parents = entries[1].entry.n_parents = 0;
    fixture_apply (docs[0], &entries[1]);
    fixture_apply (docs[1], &entries[0]);
    assert_docs_equal (docs[0], docs[1]);
    assert_doc (docs[0], "/m", "{\"n\":1,\"u\":{\"c\":{\"x\":1,\"y\":5},\"k\":1}}");
    /* A later entry names it through the table of ids; a document loaded from a state goes on. */
    struct weir_buf bytes = { 0 };
    struct weir_doc *loaded = NULL;
    weir_doc_save (docs[0], &bytes);
    assert_status (weir_doc_load (&loaded, weir_buf_bytes (&bytes)), WEIR_OK, NULL);
    struct weir_change *change = weir_change_open (docs[0], &me, 1);
    set (change, made[0], "k", number (7)); /* hidden, and written all the same */
    struct weir_container *seen = weir_doc_unique (docs[0], &made[1]->id);
    set (change, seen, "k", number (8));
    entries[2] = seal (&change, 3);
    assert_doc (docs[0], "/m/u/k", "8");
    fixture_apply (docs[1], &entries[2]);
    fixture_apply (loaded, &entries[2]);
    assert_docs_equal (docs[0], docs[1]);
    assert_docs_equal (docs[0], loaded);
    weir_buf_fini (&bytes);
    weir_doc_destroy (&loaded);
    for (size_t i = 0; i < 3; i++) {
        fixture_drop (&entries[i]);
    }
    for (size_t i = 0; i < 2; i++) {
        weir_doc_destroy (&docs[i]);
    }
}

/* What lies too deep is refused, and changes nothing. */
static void
test_depth (void **state)
{
    (void) state;
    struct weir_doc *doc = weir_doc_new ();
    struct weir_error e = { 0 };
    struct weir_change *change = weir_change_open (doc, &me, 0);
    struct weir_container *at = root (change, "m");
    for (uint32_t i = 1; i < WEIR_CONTAINER_DEPTH_MAX; i++) {
        assert_int_equal (weir_container_level (at), i);
        assert_status (i % 2 == 0 ? weir_change_map_make (change, at, fixture_text ("k"),
                                                          &weir_container_map, &at, &e)
                                  : weir_change_child (change, at, fixture_text ("k"),
                                                       &weir_container_map, &at, &e),
                       WEIR_OK, &e);
    }
    uint64_t atoms = weir_change_atoms (change);
    assert_status (
        weir_change_map_make (change, at, fixture_text ("k"), &weir_container_map, &at, &e),
        WEIR_LIMIT, &e);
    assert_status (weir_change_child (change, at, fixture_text ("k"), &weir_container_map, &at, &e),
                   WEIR_LIMIT, &e);
    assert_int_equal (weir_change_atoms (change), atoms);
    set (change, at, "k", number (1));
    struct fixture_entry one = seal (&change, 1);
    struct weir_doc *other = weir_doc_new ();
    fixture_apply (other, &one);
    assert_docs_equal (doc, other);
    fixture_drop (&one);
    weir_doc_destroy (&doc);
    weir_doc_destroy (&other);
}

/* An edit's payload becomes part of the change, behind what was there. */
static void
test_adopt (void **state)
{
    (void) state;
    struct weir_doc *doc = weir_doc_new ();
    struct weir_doc *other = weir_doc_new ();
    struct weir_error e = { 0 };
    struct weir_buf payload = { 0 };
    uint32_t ops = 0;
    struct weir_change *change = weir_change_open (doc, &me, 0);
    set (change, root (change, "m"), "a", number (1));
    struct weir_edit *edit = weir_edit_new (doc);
    assert_status (fixture_set (edit, "/m/n/b", "2", &e), WEIR_OK, &e);
    assert_status (fixture_set (edit, "/r/s", "\"x\"", &e), WEIR_OK, &e);
    assert_status (weir_edit_seal (edit, fixture_text (""), &payload, &ops, &e), WEIR_OK, &e);
    assert_status (weir_change_adopt (change, weir_buf_bytes (&payload), &e), WEIR_OK, &e);
    assert_int_equal (weir_change_atoms (change), 4);
    assert_doc (doc, "", "{\"m\":{\"a\":1,\"n\":{\"b\":2}},\"r\":{\"s\":\"x\"}}");
    /* A payload that makes a unique child and writes in it: its own ids begin where we stand. */
    weir_buf_clear (&payload);
    weir_buf_put (&payload,
                  "\x01\x00\x00\x02\x04\x01m\x06\x01\x00\x00\x00\x01u\x09\x01\x10\x01x\x00", 20);
    assert_status (weir_change_adopt (change, weir_buf_bytes (&payload), &e), WEIR_OK, &e);
    assert_doc (doc, "/m/u", "{\"x\":null}");
    assert_status (weir_change_adopt (change, weir_bytes ("\x01", 1), &e), WEIR_BAD_PAYLOAD, &e);
    assert_status (weir_change_adopt (change, weir_bytes ("\x02", 1), &e), WEIR_NEEDS_UPGRADE, &e);
    struct fixture_entry one = seal (&change, 1);
    fixture_apply (other, &one);
    assert_docs_equal (doc, other);
    fixture_drop (&one);
    weir_edit_destroy (&edit);
    weir_buf_fini (&payload);
    weir_doc_destroy (&doc);
    weir_doc_destroy (&other);
}

/* Full is full: nothing is applied that could not be sealed. */
static void
test_bounds (void **state)
{
    (void) state;
    struct weir_doc *doc = weir_doc_new ();
    struct weir_error e = { 0 };
    struct weir_change *change = weir_change_open (doc, &me, 0);
    struct weir_container *m = root (change, "m");
    char *big = weir_alloc (100001);
    memset (big, 'x', 100000);
    struct weir_value value = text (big);
    enum weir_status status = WEIR_OK;
    uint32_t n = 0;
    while (status == WEIR_OK) {
        char key[16];
        snprintf (key, sizeof key, "%u", n++);
        status = weir_change_map_set (change, m, fixture_text (key), &value, &e);
    }
    assert_status (status, WEIR_TOO_LARGE, &e);
    assert_int_equal (weir_change_atoms (change), n - 1);
    assert_in_range (n, 10, 11);
    /* Neither does an edit of that size. */
    struct weir_edit *edit = weir_edit_new (doc);
    struct weir_buf payload = { 0 };
    uint32_t ops = 0;
    struct weir_error ignored = { 0 };
    json_t *json = json_string (big);
    assert_status (weir_edit_set (edit, "/other/k", json, &ignored), WEIR_OK, &ignored);
    assert_status (weir_edit_seal (edit, fixture_text (""), &payload, &ops, &e), WEIR_OK, &e);
    assert_status (weir_change_adopt (change, weir_buf_bytes (&payload), &e), WEIR_TOO_LARGE, &e);
    assert_doc (doc, "/other", NULL);
    json_decref (json);
    weir_edit_destroy (&edit);
    weir_buf_fini (&payload);
    struct fixture_entry one = seal (&change, 1);
    assert_true (one.payload.len <= WEIR_PAYLOAD_BYTES_MAX);
    fixture_drop (&one);
    weir_doc_destroy (&doc);
    free (big);
}

static void
count_keys (void *context, const struct weir_notice *notice)
{
    struct weir_buf *heard = context;
    assert_int_equal (notice->kind, WEIR_NOTICE_KEY);
    weir_buf_put_bytes (heard, notice->key);
}

static void
test_notices (void **state)
{
    (void) state;
    struct weir_doc *doc = weir_doc_new ();
    struct weir_doc *other = weir_doc_new ();
    struct weir_buf heard = { 0 };
    struct fixture_entry low = fixture_commit (other, fixture_head (9, 9, 0, 0), "/m/a", "0");
    weir_doc_listen (doc, count_keys, &heard);
    assert_true (weir_doc_is_heard (doc));
    struct weir_change *change = weir_change_open (doc, &me, 0);
    set (change, root (change, "m"), "b", number (1));
    set (change, root (change, "m"), "a", number (1));
    set (change, root (change, "m"), "a", number (2));
    struct fixture_entry one = seal (&change, 1);
    fixture_apply (doc, &low); /* loses: nothing is heard */
    fixture_apply (other, &one);
    assert_docs_equal (doc, other);
    assert_string_equal (weir_buf_str (&heard), "baa");
    weir_doc_listen (doc, NULL, NULL);
    assert_false (weir_doc_is_heard (doc));
    weir_buf_fini (&heard);
    fixture_drop (&low);
    fixture_drop (&one);
    weir_doc_destroy (&doc);
    weir_doc_destroy (&other);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_maps),
        cmocka_unit_test (test_bad_arguments),
        cmocka_unit_test (test_unique_children),
        cmocka_unit_test (test_depth),
        cmocka_unit_test (test_adopt),
        cmocka_unit_test (test_bounds),
        cmocka_unit_test (test_notices),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
