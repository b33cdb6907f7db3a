#ifndef WEIR_TESTS_STORE_CRDT_FIXTURE_H
#define WEIR_TESTS_STORE_CRDT_FIXTURE_H

/* What the crdt tests share: a history of sealed edits, made by documents that stand for
 * replicas, applied to each other by hand; and values written as JSON text. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/crdt/payload.h"

/* One entry of a history. */
struct fixture_entry {
    struct weir_doc_entry entry;
    struct weir_buf payload;
};

static inline struct weir_bytes
fixture_text (const char *text)
{
    return weir_bytes (text, strlen (text));
}

static inline json_t *
fixture_json (const char *text)
{
    struct weir_error e = { 0 };
    json_t *json = NULL;
    enum weir_status status = weir_json_parse (&json, fixture_text (text), WEIR_JSON_BYTES_MAX, &e);
    if (status != WEIR_OK) {
        fail_msg ("%s: %s", text, e.what);
    }
    return json;
}

/* Entry ids are numbers; so are authors. */
static inline struct weir_doc_entry
fixture_head (uint8_t author, uint32_t number, uint64_t seq, uint64_t lamport)
{
    struct weir_doc_entry e = { .seq = seq, .lamport = lamport };
    e.chain.author.b[0] = author;
    e.chain.lane = 1;
    weir_store_u32 (e.id.b, number);
    e.id.b[31] = author;
    return e;
}

static inline void
assert_status (enum weir_status got, enum weir_status wanted, const struct weir_error *e)
{
    if (got != wanted) {
        fail_msg ("%s instead of %s: %s", weir_status_code (got), weir_status_code (wanted),
                  e != NULL ? e->what : "");
    }
}

static inline enum weir_status
fixture_set (struct weir_edit *edit, const char *path, const char *value, struct weir_error *e)
{
    json_t *json = fixture_json (value);
    enum weir_status status = weir_edit_set (edit, path, json, e);
    json_decref (json);
    return status;
}

/* Seals the edit into *out (its payload is the caller's) under the given head. */
static inline void
fixture_seal (struct weir_edit *edit, struct weir_doc_entry head, struct fixture_entry *out)
{
    struct weir_error e = { 0 };
    *out = (struct fixture_entry){ .entry = head };
    assert_status (weir_edit_seal (edit, weir_bytes (NULL, 0), &out->payload, &out->entry.ops, &e),
                   WEIR_OK, &e);
}

static inline void
fixture_apply (struct weir_doc *doc, const struct fixture_entry *entry)
{
    assert_status (weir_doc_apply (doc, &entry->entry, weir_buf_bytes (&entry->payload), NULL),
                   WEIR_OK, NULL);
}

/* Sets (or removes, when value is NULL) in one commit of `author`, and applies it. */
static inline struct fixture_entry
fixture_commit (struct weir_doc *doc, struct weir_doc_entry head, const char *path,
                const char *value)
{
    struct weir_error e = { 0 };
    struct fixture_entry out;
    struct weir_edit *edit = weir_edit_new (doc);
    assert_status (value != NULL ? fixture_set (edit, path, value, &e)
                                 : weir_edit_remove (edit, path, &e),
                   WEIR_OK, &e);
    fixture_seal (edit, head, &out);
    fixture_apply (doc, &out);
    weir_edit_destroy (&edit);
    return out;
}

static inline void
fixture_drop (struct fixture_entry *entry)
{
    weir_buf_fini (&entry->payload);
}

/* What stands at the path, as compact JSON; NULL means: nothing. */
static inline void
assert_doc (const struct weir_doc *doc, const char *path, const char *wanted)
{
    struct weir_error e = { 0 };
    struct weir_buf got = { 0 };
    json_t *json = NULL;
    enum weir_status status = weir_doc_get (doc, path, &json, &e);
    if (wanted == NULL) {
        assert_status (status, WEIR_NOT_FOUND, &e);
        return;
    }
    assert_status (status, WEIR_OK, &e);
    weir_json_put (&got, json);
    assert_string_equal (weir_buf_str (&got), wanted);
    weir_buf_fini (&got);
    json_decref (json);
}

/* Equal bytes, and a load that gives them again. */
static inline void
assert_docs_equal (const struct weir_doc *a, const struct weir_doc *b)
{
    struct weir_buf x = { 0 };
    struct weir_buf y = { 0 };
    struct weir_buf z = { 0 };
    struct weir_doc *loaded = NULL;
    weir_doc_save (a, &x);
    weir_doc_save (b, &y);
    assert_int_equal (x.len, y.len);
    assert_memory_equal (x.data, y.data, x.len);
    assert_status (weir_doc_load (&loaded, weir_buf_bytes (&x)), WEIR_OK, NULL);
    weir_doc_save (loaded, &z);
    assert_int_equal (x.len, z.len);
    assert_memory_equal (x.data, z.data, x.len);
    weir_doc_destroy (&loaded);
    weir_buf_fini (&x);
    weir_buf_fini (&y);
    weir_buf_fini (&z);
}

#endif
