/* Goal: the doors people's bytes come in by. The first byte chooses: 'j' JSON, set and read
 * back; 'p' a path; 'a' a JSON Patch; 's' a saved state. What a door takes must come out again
 * the same, and whatever an edit makes must apply. */

#include "store/crdt/doc.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

/* What edits stand on; the first seal gives entry 1. */
static void
commit (struct weir_doc *doc, struct weir_edit *edit, uint8_t number)
{
    struct weir_error e = { 0 };
    struct weir_buf payload = { 0 };
    struct weir_doc_entry entry = { .lamport = (uint64_t) number << 32 };
    entry.id.b[0] = number;
    entry.seq = number;
    enum weir_status status = weir_edit_seal (edit, weir_bytes (NULL, 0), &payload, &entry.ops, &e);
    weir_assert (status == WEIR_TOO_LARGE
                 || weir_doc_apply (doc, &entry, weir_buf_bytes (&payload), NULL) == WEIR_OK);
    weir_buf_fini (&payload);
}

static struct weir_doc *
start (void)
{
    static const char text[] = "{\"a\":1,\"b\":{\"c\":{\"d\":\"x\"},\"e\":null},\"f\":1.5}";
    struct weir_error e = { 0 };
    struct weir_doc *doc = weir_doc_new ();
    struct weir_edit *edit = weir_edit_new (doc);
    json_t *json = NULL;
    weir_assert (weir_json_parse (&json, weir_bytes_str (text), sizeof text, &e) == WEIR_OK);
    weir_assert (weir_edit_set (edit, "/m", json, &e) == WEIR_OK);
    commit (doc, edit, 1);
    json_decref (json);
    weir_edit_destroy (&edit);
    return doc;
}

static void
fuzz_value (struct weir_bytes text)
{
    struct weir_error e = { 0 };
    struct weir_buf put = { 0 };
    json_t *json = NULL;
    json_t *again = NULL;
    if (weir_json_parse (&json, text, WEIR_JSON_BYTES_MAX, &e) != WEIR_OK) {
        return;
    }
    weir_json_put (&put, json);
    weir_assert (weir_json_parse (&again, weir_buf_bytes (&put), WEIR_JSON_BYTES_MAX, &e)
                 == WEIR_OK);
    weir_assert (json_equal (json, again));
    json_decref (again);
    struct weir_doc *doc = start ();
    struct weir_edit *edit = weir_edit_new (doc);
    if (weir_edit_set (edit, "/m/b", json, &e) == WEIR_OK) {
        commit (doc, edit, 2);
        weir_assert (weir_doc_get (doc, "/m/b", &again, &e) == WEIR_OK);
        weir_assert (json_equal (json, again));
        json_decref (again);
        weir_assert (weir_edit_set (edit, "/m/b", json, &e) == WEIR_OK);
    }
    weir_assert (weir_edit_ops (edit) == 0);
    json_decref (json);
    weir_edit_destroy (&edit);
    weir_doc_destroy (&doc);
    weir_buf_fini (&put);
}

static void
fuzz_path (struct weir_bytes text)
{
    struct weir_error e = { 0 };
    struct weir_path path = { 0 };
    struct weir_buf put = { 0 };
    char *pointer = weir_strndup ((const char *) text.data, text.len);
    struct weir_doc *doc = start ();
    struct weir_edit *edit = weir_edit_new (doc);
    json_t *value = json_integer (5);
    json_t *got = NULL;
    if (weir_path_parse (&path, pointer, &e) == WEIR_OK) {
        weir_path_put (&put, &path);
        weir_assert (strcmp (weir_buf_str (&put), pointer) == 0);
    }
    if (weir_edit_set (edit, pointer, value, &e) == WEIR_OK) {
        commit (doc, edit, 2);
        weir_assert (weir_doc_get (doc, pointer, &got, &e) == WEIR_OK);
        weir_assert (json_equal (got, value));
        weir_assert (weir_edit_remove (edit, pointer, &e) == WEIR_OK);
    } else {
        (void) weir_edit_remove (edit, pointer, &e);
    }
    commit (doc, edit, 3);
    json_decref (got);
    json_decref (value);
    weir_path_fini (&path);
    weir_buf_fini (&put);
    weir_edit_destroy (&edit);
    weir_doc_destroy (&doc);
    free (pointer);
}

static void
fuzz_patch (struct weir_bytes text)
{
    struct weir_error e = { 0 };
    json_t *patch = NULL;
    if (weir_json_parse (&patch, text, WEIR_JSON_BYTES_MAX, &e) != WEIR_OK) {
        return;
    }
    struct weir_doc *doc = start ();
    struct weir_edit *edit = weir_edit_new (doc);
    if (weir_edit_patch (edit, patch, &e) != WEIR_OK) {
        weir_assert (weir_edit_ops (edit) == 0);
    }
    commit (doc, edit, 2);
    json_decref (patch);
    weir_edit_destroy (&edit);
    weir_doc_destroy (&doc);
}

static void
fuzz_state (struct weir_bytes state)
{
    struct weir_error e = { 0 };
    struct weir_doc *doc = NULL;
    struct weir_buf again = { 0 };
    json_t *json = NULL;
    if (weir_doc_load (&doc, state) != WEIR_OK) {
        return;
    }
    weir_doc_save (doc, &again);
    weir_assert (weir_bytes_equal (weir_buf_bytes (&again), state));
    weir_assert (weir_doc_get (doc, "", &json, &e) == WEIR_OK);
    json_decref (json);
    weir_doc_destroy (&doc);
    weir_buf_fini (&again);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct weir_bytes rest = weir_bytes (data + 1, size - 1);
    if (data[0] == 'j') {
        fuzz_value (rest);
    } else if (data[0] == 'p') {
        fuzz_path (rest);
    } else if (data[0] == 'a') {
        fuzz_patch (rest);
    } else if (data[0] == 's') {
        fuzz_state (rest);
    }
    return 0;
}
