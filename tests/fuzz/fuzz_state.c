/* Goal: no bytes in a state crash, hang or allocate out of proportion. A state that loads is what
 * save would write, shows as JSON, and is a document like any other: entries apply to it, or are
 * out of range, and what came of it saves and loads. Seeds: tests/store/replica/test_corpus.c. */

#include "tests/support/document.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static const struct sample *
all_types (void)
{
    static struct sample sample;
    if (sample.payload.len == 0) {
        sample_init (&sample, 15);
    }
    return &sample;
}

static void
check_saved (const struct weir_doc *doc, struct weir_bytes wanted)
{
    struct weir_buf bytes = { 0 };
    weir_doc_save (doc, &bytes);
    weir_assert (weir_bytes_equal (weir_buf_bytes (&bytes), wanted));
    weir_buf_fini (&bytes);
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
    json_decref (json);
    json_decref (again);
    weir_buf_fini (&text);
}

/* On top of its heads: no history is asked for. The entry is new: its id is nowhere in there. */
static void
check_goes_on (struct weir_doc *doc, struct weir_bytes state)
{
    struct sample sample = *all_types ();
    struct weir_buf bytes = { 0 };
    struct weir_doc *again = NULL;
    size_t n = 0;
    sample.entry.parents = weir_doc_heads (doc, &n);
    sample.entry.n_parents = n > WEIR_ENTRY_DEPS_MAX ? 0 : (uint32_t) n;
    sample.entry.lamport = weir_doc_lamport (doc);
    memset (sample.entry.id.b, 'z', WEIR_ID_BYTES);
    if (memmem (state.data, state.len, sample.entry.id.b, WEIR_ID_BYTES) != NULL) {
        return;
    }
    if (n > WEIR_ENTRY_DEPS_MAX || sample.entry.lamport > UINT64_MAX / 2) {
        return;
    }
    bool deferred = false;
    enum weir_status status =
        weir_doc_apply (doc, &sample.entry, weir_buf_bytes (&sample.payload), &deferred);
    weir_assert (status == WEIR_OK || status == WEIR_OUT_OF_RANGE || status == WEIR_BAD_PAYLOAD
                 || (status == WEIR_UNSUPPORTED && deferred));
    check_json (doc);
    weir_doc_save (doc, &bytes);
    weir_assert (weir_doc_load (&again, weir_buf_bytes (&bytes)) == WEIR_OK);
    check_saved (again, weir_buf_bytes (&bytes));
    weir_doc_destroy (&again);
    weir_buf_fini (&bytes);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    struct weir_doc *doc = NULL;
    enum weir_status status = weir_doc_load (&doc, weir_bytes (data, size));
    weir_assert (status == WEIR_OK || status == WEIR_BAD_PAYLOAD);
    if (status == WEIR_OK) {
        check_saved (doc, weir_bytes (data, size));
        check_json (doc);
        check_goes_on (doc, weir_bytes (data, size));
        weir_doc_destroy (&doc);
    }
    return 0;
}
