/* Goal: no bytes in a payload crash, hang or allocate out of proportion; a payload that decodes
 * applies or is out of range, alike wherever its past is the same, and leaves a document that
 * shows as JSON our own parser takes, that edits understand, and whose state saves and loads to
 * the same bytes. On a document with something in every type of container it has the same effect
 * before and after what is concurrent with it, and without effect it changes nothing. */

#include "tests/support/document.h"

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
    weir_assert (status == WEIR_TOO_LARGE
                 || weir_doc_apply (doc, entry, weir_buf_bytes (&payload), NULL) == WEIR_OK);
    json_decref (json);
    weir_edit_destroy (&edit);
    weir_buf_fini (&path);
    weir_buf_fini (&payload);
}

/* Whatever it says, it is judged alike wherever its past is the same. */
static void
check_payload (struct weir_doc *doc, struct weir_doc_entry *entry, struct weir_bytes payload)
{
    enum weir_status status = weir_doc_apply (doc, entry, payload, NULL);
    weir_assert (status == WEIR_OK || status == WEIR_OUT_OF_RANGE || status == WEIR_BAD_PAYLOAD);
    /* The same ops concurrently by another author, and one op too many. */
    entry->chain.lane = 2;
    entry->id.b[0] = 2;
    weir_assert (weir_doc_apply (doc, entry, payload, NULL) == status);
    entry->ops++;
    entry->id.b[0] = 4;
    weir_assert (weir_doc_apply (doc, entry, payload, NULL) == WEIR_BAD_PAYLOAD);
    check_state (doc);
    check_json (doc);
    size_t n = 0;
    entry->parents = weir_doc_heads (doc, &n);
    entry->n_parents = (uint32_t) n;
    entry->lamport = weir_doc_lamport (doc);
    entry->id.b[0] = 3;
    check_edit (doc, entry);
    check_state (doc);
}

/* ---- on a document with everything in it ---- */

static const struct sample *
everything (void)
{
    static struct sample sample;
    if (sample.payload.len == 0) {
        sample_init (&sample, 15);
    }
    return &sample;
}

static struct weir_doc *
doc_of_sample (void)
{
    const struct sample *base = everything ();
    struct weir_doc *doc = weir_doc_new ();
    weir_assert (weir_doc_apply (doc, &base->entry, weir_buf_bytes (&base->payload), NULL)
                 == WEIR_OK);
    return doc;
}

/* An entry behind the sample. */
static struct weir_doc_entry
entry_behind (uint8_t number, uint32_t ops)
{
    const struct sample *base = everything ();
    struct weir_doc_entry entry = {
        .chain = { .lane = number },
        .lamport = base->entry.ops,
        .ops = ops,
        .n_parents = 1,
        .parents = &base->entry.id,
    };
    entry.id.b[0] = number;
    return entry;
}

static void
check_same (const struct weir_doc *a, const struct weir_doc *b)
{
    struct weir_buf x = { 0 };
    struct weir_buf y = { 0 };
    weir_doc_save (a, &x);
    weir_doc_save (b, &y);
    weir_assert (weir_bytes_equal (weir_buf_bytes (&x), weir_buf_bytes (&y)));
    weir_buf_fini (&x);
    weir_buf_fini (&y);
}

static void
check_everything (struct weir_bytes payload, uint32_t ops)
{
    const struct sample *base = everything ();
    struct weir_doc_entry x = entry_behind (3, ops);
    struct weir_doc_entry y = entry_behind (4, base->entry.ops);
    struct weir_bytes again = weir_buf_bytes (&base->payload);
    struct weir_doc *first = doc_of_sample ();
    struct weir_doc *last = doc_of_sample ();
    enum weir_status status = weir_doc_apply (first, &x, payload, NULL);
    if (status != WEIR_OK) {
        struct weir_doc *passed = doc_of_sample ();
        weir_doc_pass (passed, &x);
        check_same (first, passed);
        weir_doc_destroy (&passed);
    }
    check_state (first);
    enum weir_status other = weir_doc_apply (first, &y, again, NULL);
    weir_assert (weir_doc_apply (last, &y, again, NULL) == other);
    weir_assert (weir_doc_apply (last, &x, payload, NULL) == status);
    check_same (first, last);
    check_state (last);
    check_json (last);
    weir_doc_destroy (&first);
    weir_doc_destroy (&last);
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
    if (status == WEIR_OK) {
        weir_assert (message.len <= WEIR_MESSAGE_TEXT_BYTES_MAX);
        check_payload (doc, &entry, payload);
        json_decref (json);
    } else {
        weir_assert (weir_doc_apply (doc, &entry, payload, NULL) == status);
    }
    weir_doc_destroy (&doc);
    check_everything (payload, ops);
    return 0;
}
