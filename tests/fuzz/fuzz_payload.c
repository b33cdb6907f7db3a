/* Goal: no bytes in a payload crash, hang or allocate out of proportion; a payload that decodes
 * applies, whatever was there before, and leaves a document that shows as JSON our own parser
 * takes, that edits understand, and whose state saves and loads to the same bytes. */

#include "store/crdt/doc.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static void
check_state (const struct weir_doc *doc)
{
    struct weir_buf once = { 0 };
    struct weir_buf twice = { 0 };
    struct weir_doc *loaded = NULL;
    weir_doc_save (doc, &once);
    weir_assert (weir_doc_load (&loaded, weir_buf_bytes (&once)) == WEIR_OK);
    weir_doc_save (loaded, &twice);
    weir_assert (weir_bytes_equal (weir_buf_bytes (&once), weir_buf_bytes (&twice)));
    weir_doc_destroy (&loaded);
    weir_buf_fini (&once);
    weir_buf_fini (&twice);
}

static void
check_json (const struct weir_doc *doc)
{
    struct weir_error e = { 0 };
    struct weir_buf text = { 0 };
    json_t *json = NULL;
    json_t *again = NULL;
    weir_assert (weir_doc_get (doc, "", &json, &e) == WEIR_OK);
    weir_json_put (&text, json);
    weir_assert (weir_json_parse (&again, weir_buf_bytes (&text), WEIR_JSON_BYTES_MAX, &e)
                 == WEIR_OK);
    weir_assert (json_equal (json, again));
    json_decref (json);
    json_decref (again);
    weir_buf_fini (&text);
}

/* Removes every root by an edit: what comes out must apply. */
static void
check_edit (struct weir_doc *doc, struct weir_doc_entry *entry)
{
    struct weir_error e = { 0 };
    struct weir_buf payload = { 0 };
    struct weir_buf path = { 0 };
    struct weir_edit *edit = weir_edit_new (doc);
    json_t *json = NULL;
    const char *root;
    json_t *value;
    weir_assert (weir_doc_get (doc, "", &json, &e) == WEIR_OK);
    json_object_foreach (json, root, value)
    {
        if (strpbrk (root, "~/") == NULL) {
            weir_buf_clear (&path);
            weir_buf_printf (&path, "/%s", root);
            enum weir_status status = weir_edit_remove (edit, weir_buf_str (&path), &e);
            weir_assert (status == WEIR_OK || status == WEIR_TOO_LARGE);
        }
    }
    enum weir_status status =
        weir_edit_seal (edit, weir_bytes (NULL, 0), &payload, &entry->ops, &e);
    entry->lamport += 1000;
    weir_assert (status == WEIR_TOO_LARGE
                 || weir_doc_apply (doc, entry, weir_buf_bytes (&payload), NULL) == WEIR_OK);
    json_decref (json);
    weir_edit_destroy (&edit);
    weir_buf_fini (&path);
    weir_buf_fini (&payload);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    struct weir_bytes payload = weir_bytes (data, size);
    struct weir_bytes message;
    struct weir_doc_entry entry = { .lamport = 7, .chain = { .lane = 1 } };
    struct weir_doc *doc = weir_doc_new ();
    json_t *json = NULL;
    uint32_t ops = 0;
    enum weir_status status = weir_doc_payload_info (payload, &message, &ops);
    weir_assert (weir_doc_payload_json (payload, &json) == status);
    entry.ops = ops;
    entry.id.b[0] = 1;
    weir_assert (weir_doc_apply (doc, &entry, payload, NULL) == status);
    if (status == WEIR_OK) {
        weir_assert (message.len <= WEIR_MESSAGE_TEXT_BYTES_MAX);
        /* The same ops concurrently by another author, and one op too many. */
        entry.chain.lane = 2;
        entry.id.b[0] = 2;
        weir_assert (weir_doc_apply (doc, &entry, payload, NULL) == WEIR_OK);
        entry.ops++;
        entry.id.b[0] = 4;
        weir_assert (weir_doc_apply (doc, &entry, payload, NULL) == WEIR_BAD_PAYLOAD);
        check_state (doc);
        check_json (doc);
        entry.id.b[0] = 3;
        check_edit (doc, &entry);
        check_state (doc);
        json_decref (json);
    }
    weir_doc_destroy (&doc);
    return 0;
}
