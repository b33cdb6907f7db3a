#ifndef WEIR_TESTS_SUPPORT_REPO_H
#define WEIR_TESTS_SUPPORT_REPO_H

/* Nodes for tests: a repository on the memory kv with a memory tips file and a key from a number,
 * and the few steps tests take with them: commit, exchange, crash, restore, compare. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/repo/repo.h"

struct node {
    struct weir_kv *kv;
    struct weir_tips *tips;
    struct weir_identity key;
    struct weir_repo *repo;
    uint8_t number;
    uint8_t starts; /* each start has a seed of its own */
    uint64_t now_ms;
    uint64_t document_steps; /* of its options; at the next start */
};

static inline enum weir_status
node_try_start (struct node *n)
{
    struct weir_repo_options options = { .kv = n->kv, .tips = n->tips, .identity = &n->key };
    options.document_steps = n->document_steps;
    options.seed[0] = n->number;
    options.seed[1] = ++n->starts;
    struct weir_error e = { 0 };
    return weir_repo_open (&n->repo, &options, &e);
}

static inline void
node_start (struct node *n)
{
    assert_int_equal (node_try_start (n), WEIR_OK);
}

static inline void
node_init (struct node *n, uint8_t number)
{
    uint8_t seed[32] = { number, 7 };
    memset (n, 0, sizeof *n);
    n->number = number;
    n->now_ms = 1000000;
    n->kv = weir_kv_memory_new ();
    n->tips = weir_tips_memory_new ();
    weir_identity_init (&n->key, seed);
    node_start (n);
}

static inline void
node_fini (struct node *n)
{
    weir_repo_close (&n->repo);
    weir_kv_close (&n->kv);
    weir_tips_destroy (&n->tips);
    weir_identity_fini (&n->key);
}

/* Flushes and syncs: all that was done is durable. */
static inline void
node_sync (struct node *n)
{
    (void) weir_repo_flush (n->repo, n->now_ms);
    weir_kv_memory_sync (n->kv);
    weir_repo_on_synced (n->repo);
}

/* Starts again with what is synced and the first `keep` batches that are not. */
static inline void
node_crash (struct node *n, size_t keep)
{
    struct weir_kv *after = weir_kv_memory_crash (n->kv, keep);
    weir_repo_close (&n->repo);
    weir_kv_close (&n->kv);
    n->kv = after;
    node_start (n);
}

/* Stop and start with nothing lost. */
static inline void
node_restart (struct node *n)
{
    node_sync (n);
    weir_repo_close (&n->repo);
    node_start (n);
}

static inline struct weir_id
node_create (struct node *n, const char *name)
{
    struct weir_id db;
    assert_int_equal (weir_repo_create (n->repo, name, n->now_ms, &db, NULL), WEIR_OK);
    return db;
}

/* Sets /root/key to a string by an edit of the document. */
static inline enum weir_status
node_try_set (struct node *n, const struct weir_id *db, const char *path, const char *text,
              struct weir_id *entry)
{
    struct weir_doc *doc = NULL;
    struct weir_error e = { 0 };
    enum weir_status status = weir_repo_document (n->repo, db, &doc, &e);
    if (status != WEIR_OK) {
        return status;
    }
    struct weir_buf payload = { 0 };
    uint32_t ops = 0;
    struct weir_edit *edit = weir_edit_new (doc);
    json_t *value = json_string (text);
    status = weir_edit_set (edit, path, value, &e);
    if (status == WEIR_OK) {
        status = weir_edit_seal (edit, weir_bytes (NULL, 0), &payload, &ops, &e);
    }
    weir_edit_destroy (&edit);
    json_decref (value);
    if (status == WEIR_OK) {
        status =
            weir_repo_commit (n->repo, db, weir_buf_bytes (&payload), ops, n->now_ms++, entry, &e);
    }
    weir_buf_fini (&payload);
    return status;
}

static inline struct weir_id
node_set (struct node *n, const struct weir_id *db, const char *path, const char *text)
{
    struct weir_id entry;
    assert_int_equal (node_try_set (n, db, path, text, &entry), WEIR_OK);
    return entry;
}

static inline enum weir_status
node_try_grant (struct node *n, const struct weir_id *db, const struct node *to,
                enum weir_right right, struct weir_id *entry)
{
    struct weir_member_change change = { .device = to->key.device, .right = right };
    snprintf (change.name, sizeof change.name, "node %d", to->number);
    return weir_repo_change_members (n->repo, db, &change, 1, n->now_ms++, entry, NULL);
}

static inline struct weir_id
node_grant (struct node *n, const struct weir_id *db, const struct node *to, enum weir_right right)
{
    struct weir_id entry;
    assert_int_equal (node_try_grant (n, db, to, right, &entry), WEIR_OK);
    return entry;
}

/* ---- exchange ---- */

/* The runs `from` has and `to` lacks, end to end. */
static inline void
node_lacking (struct node *from, struct node *to, const struct weir_id *db, struct weir_buf *out)
{
    const struct weir_vector *theirs = weir_repo_vector (to->repo, db);
    size_t n = theirs == NULL ? 0 : theirs->count;
    struct weir_told_row *told = calloc (n + 1, sizeof *told);
    struct weir_sample *samples = calloc ((n + 1) * WEIR_VECTOR_SAMPLES_MAX, sizeof *samples);
    for (size_t i = 0; i < n; i++) {
        told[i].row = theirs->rows[i];
        told[i].samples = samples + i * WEIR_VECTOR_SAMPLES_MAX;
        told[i].n_samples = weir_repo_samples (to->repo, db, &told[i].row, told[i].samples,
                                               WEIR_VECTOR_SAMPLES_MAX);
    }
    struct weir_ranges lacks = { 0 };
    struct weir_vector unknown = { 0 };
    bool more = false;
    node_sync (from);
    assert_int_equal (weir_repo_compare (from->repo, db, told, n, &lacks, &more, &unknown),
                      WEIR_OK);
    for (size_t i = 0; i < lacks.count; i++) {
        uint64_t at = lacks.items[i].from_seq;
        while (at < lacks.items[i].to_seq) {
            uint64_t next = at;
            assert_int_equal (
                weir_repo_read (from->repo, db, &lacks.items[i], at, 4096, out, &next), WEIR_OK);
            assert_true (next > at);
            at = next;
        }
    }
    weir_ranges_fini (&lacks);
    weir_vector_fini (&unknown);
    free (told);
    free (samples);
}

static inline struct weir_import_result
node_import (struct node *n, const struct weir_id *db, struct weir_bytes run,
             const struct node *source)
{
    struct weir_import_result result;
    assert_int_equal (weir_repo_import (n->repo, db, run,
                                        source == NULL ? &weir_id_zero : &source->key.device,
                                        n->now_ms, &result),
                      WEIR_OK);
    return result;
}

/* Imports runs that lie end to end; how many were new. */
static inline size_t
node_import_all (struct node *n, const struct weir_id *db, struct weir_bytes runs,
                 const struct node *source)
{
    size_t fresh = 0;
    while (runs.len > 0) {
        size_t used = 0;
        assert_int_equal (weir_run_length (runs, &used), WEIR_OK);
        struct weir_import_result r = node_import (n, db, weir_bytes (runs.data, used), source);
        fresh += r.outcome == WEIR_IMPORT_NEW ? 1u + r.unlocked : 0;
        runs.data += used;
        runs.len -= used;
    }
    return fresh;
}

/* Brings `to` up to `from`. */
static inline void
node_pull (struct node *to, struct node *from, const struct weir_id *db)
{
    struct weir_buf runs = { 0 };
    assert_int_equal (weir_repo_expect (to->repo, db), WEIR_OK);
    node_lacking (from, to, db, &runs);
    (void) node_import_all (to, db, weir_buf_bytes (&runs), from);
    weir_buf_fini (&runs);
}

static inline void
node_exchange (struct node *a, struct node *b, const struct weir_id *db)
{
    node_pull (a, b, db);
    node_pull (b, a, db);
}

/* ---- looking ---- */

static inline struct weir_db_info
node_info (struct node *n, const struct weir_id *db)
{
    struct weir_db_info info;
    assert_int_equal (weir_repo_info (n->repo, db, &info), WEIR_OK);
    return info;
}

static inline void
node_doc_bytes (struct node *n, const struct weir_id *db, struct weir_buf *out)
{
    struct weir_doc *doc = NULL;
    assert_int_equal (weir_repo_document (n->repo, db, &doc, NULL), WEIR_OK);
    weir_doc_save (doc, out);
}

/* Same heads, vector, members and document. */
static inline void
assert_nodes_equal (struct node *a, struct node *b, const struct weir_id *db)
{
    size_t n_a = 0;
    size_t n_b = 0;
    const struct weir_id *heads_a = weir_repo_heads (a->repo, db, &n_a);
    const struct weir_id *heads_b = weir_repo_heads (b->repo, db, &n_b);
    assert_int_equal (n_a, n_b);
    assert_memory_equal (heads_a, heads_b, n_a * sizeof *heads_a);
    assert_true (
        weir_vector_equal (weir_repo_vector (a->repo, db), weir_repo_vector (b->repo, db)));
    const struct weir_member *members_a = weir_repo_members (a->repo, db, &n_a);
    const struct weir_member *members_b = weir_repo_members (b->repo, db, &n_b);
    assert_int_equal (n_a, n_b);
    for (size_t i = 0; i < n_a; i++) {
        assert_true (weir_id_equal (&members_a[i].device, &members_b[i].device));
        assert_true (weir_id_equal (&members_a[i].entry, &members_b[i].entry));
        assert_int_equal (members_a[i].right, members_b[i].right);
        assert_int_equal (members_a[i].rank, members_b[i].rank);
    }
    struct weir_buf doc_a = { 0 };
    struct weir_buf doc_b = { 0 };
    node_doc_bytes (a, db, &doc_a);
    node_doc_bytes (b, db, &doc_b);
    assert_int_equal (doc_a.len, doc_b.len);
    assert_memory_equal (doc_a.data, doc_b.data, doc_a.len);
    weir_buf_fini (&doc_a);
    weir_buf_fini (&doc_b);
}

/* The string at a path, "" when there is none. */
static inline const char *
node_get (struct node *n, const struct weir_id *db, const char *path)
{
    static char text[256];
    struct weir_doc *doc = NULL;
    json_t *value = NULL;
    text[0] = '\0';
    assert_int_equal (weir_repo_document (n->repo, db, &doc, NULL), WEIR_OK);
    if (weir_doc_get (doc, path, &value, NULL) == WEIR_OK) {
        if (json_is_string (value)) {
            snprintf (text, sizeof text, "%s", json_string_value (value));
        }
        json_decref (value);
    }
    return text;
}

#endif
