/* The store actor's verbs about versions of documents: values at older heads, the difference of
 * two versions, and going back to one by a new commit. An older version is replayed from the log
 * and let go of again: views belong to who asks, the store's own document is always the newest. */

#include <stdlib.h>
#include <string.h>

#include "actors/store/state.h"
#include "store/base/json.h"
#include "store/replica/diff_apply.h"

#define HEADS_MAX 1024u

enum weir_status
store_heads_get (struct store *s, const struct weir_id *db, const ProtobufCBinaryData *names,
                 size_t n_names, struct weir_id **heads, struct weir_error *e)
{
    enum weir_status status = WEIR_OK;
    char name[WEIR_ID_TEXT + 1];
    if (n_names > HEADS_MAX) {
        return weir_error_set (e, WEIR_TOO_LARGE, NULL, "a version has at most %u heads here",
                               HEADS_MAX);
    }
    struct weir_id *ids = weir_alloc ((n_names + 1) * sizeof *ids);
    for (size_t i = 0; i < n_names && status == WEIR_OK; i++) {
        status = weir_field_get_text (name, WEIR_ID_TEXT, true, names[i]);
        if (status != WEIR_OK || name[0] == '\0') {
            status = weir_error_set (e, WEIR_INVALID_ARGUMENT, "weir doc heads DB shows some",
                                     "heads are ids of entries, or the beginnings of some");
        } else {
            status = weir_repo_find_entry (s->repo, db, name, &ids[i], e);
        }
    }
    if (status != WEIR_OK) {
        free (ids);
        return status;
    }
    *heads = ids;
    return WEIR_OK;
}

enum weir_status
store_version_get (struct store *s, const struct weir_id *db, const ProtobufCBinaryData *names,
                   size_t n_names, struct store_version *out, struct weir_error *e)
{
    struct weir_id *heads = NULL;
    *out = (struct store_version){ .is_owned = n_names > 0 };
    if (n_names == 0) {
        return weir_repo_document (s->repo, db, &out->doc, e);
    }
    enum weir_status status = store_heads_get (s, db, names, n_names, &heads, e);
    if (status == WEIR_OK) {
        status = weir_repo_document_at (s->repo, db, heads, n_names, &out->doc, e);
    }
    free (heads);
    return status;
}

void
store_version_fini (struct store_version *v)
{
    if (v->is_owned) {
        weir_doc_destroy (&v->doc);
    }
    v->doc = NULL;
}

/* The difference of two versions. The newest one keeps no history in memory that it did not. */
static enum weir_status
diff (struct store_version *a, struct store_version *b, json_t **out, struct weir_error *e)
{
    bool was_warm[] = { weir_doc_is_warm (a->doc), weir_doc_is_warm (b->doc) };
    enum weir_status status = weir_doc_diff (a->doc, b->doc, out, e);
    if (!a->is_owned && !was_warm[0]) {
        weir_doc_cool (a->doc);
    }
    if (!b->is_owned && !was_warm[1]) {
        weir_doc_cool (b->doc);
    }
    return status;
}

void
store_doc_diff (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct store *s = state;
    const Weir__DocDiffAsk *ask = (const Weir__DocDiffAsk *) message->meta;
    struct store_version from = { 0 };
    struct store_version to = { 0 };
    struct weir_buf text = { 0 };
    struct weir_error e = { 0 };
    struct weir_id db;
    json_t *json = NULL;
    (void) actor;
    if (!store_resolve (s, &message->envelope, ask->has_db, ask->db, &db)) {
        return;
    }
    enum weir_status status = store_version_get (s, &db, ask->from, ask->n_from, &from, &e);
    if (status == WEIR_OK) {
        status = store_version_get (s, &db, ask->to, ask->n_to, &to, &e);
    }
    if (status == WEIR_OK && from.doc == to.doc) {
        json = json_array (); /* the newest and itself */
    } else if (status == WEIR_OK) {
        status = diff (&from, &to, &json, &e);
    }
    if (status == WEIR_OK) {
        weir_json_put (&text, json);
        Weir__DocValue answer = WEIR__DOC_VALUE__INIT;
        answer.has_bytes = true;
        answer.bytes = text.len;
        store_answer_body (s, &message->envelope, &answer.base, weir_buf_bytes (&text));
    } else {
        store_fail (s, &message->envelope, status, &e);
    }
    store_version_fini (&from);
    store_version_fini (&to);
    json_decref (json);
    weir_buf_fini (&text);
}

static enum weir_status
open_change (void *context, struct weir_change **out, struct weir_error *e)
{
    (void) e;
    *out = context;
    return WEIR_OK;
}

/* The payload that leads from the newest version back to `then`. It is made on a copy, so that
 * nothing shows before its entry is in the log. */
static enum weir_status
way_back (struct store *s, const struct weir_id *db, struct weir_doc *then, struct weir_bytes text,
          struct weir_buf *payload, uint32_t *ops, struct weir_error *e)
{
    struct weir_chain chain = { .author = s->identity.device };
    struct weir_diff_apply apply = { .change = open_change, .e = e };
    struct weir_change *change = NULL;
    struct weir_doc *now = NULL;
    json_t *json = NULL;
    size_t n = 0;
    const struct weir_id *heads = weir_repo_heads (s->repo, db, &n);
    struct weir_id *copy = weir_alloc ((n + 1) * sizeof *copy);
    if (n > 0) {
        memcpy (copy, heads, n * sizeof *copy);
    }
    enum weir_status status = weir_repo_document_at (s->repo, db, copy, n, &now, e);
    if (status == WEIR_OK) {
        status = weir_doc_diff (now, then, &json, e);
    }
    if (status == WEIR_OK && json_array_size (json) > 0) {
        change = weir_change_open (now, &chain, 0);
        apply.doc = now;
        apply.context = change;
        status = weir_diff_apply (&apply, json);
        weir_diff_apply_fini (&apply);
    }
    if (status == WEIR_OK && change != NULL && weir_change_atoms (change) > 0) {
        status = weir_change_payload (change, text, payload, ops, e);
    }
    weir_change_destroy (&change);
    weir_doc_destroy (&now);
    json_decref (json);
    free (copy);
    return status;
}

static enum weir_status
revert (struct store *s, const struct weir_id *db, const Weir__DocRevert *ask,
        struct weir_id *entry, bool *unchanged, struct weir_error *e)
{
    struct store_version then = { 0 };
    struct weir_buf payload = { 0 };
    struct weir_bytes text;
    uint32_t ops = 0;
    enum weir_status status = store_commit_text (ask->has_message, ask->message, &text, e);
    if (status == WEIR_OK && ask->n_heads == 0) {
        status = weir_error_set (e, WEIR_INVALID_ARGUMENT, "weir doc log DB shows entries",
                                 "to which version?");
    }
    if (status == WEIR_OK) {
        status = store_version_get (s, db, ask->heads, ask->n_heads, &then, e);
    }
    if (status == WEIR_OK) {
        status = way_back (s, db, then.doc, text, &payload, &ops, e);
    }
    *unchanged = ops == 0;
    if (status == WEIR_OK && ops > 0) {
        status = weir_repo_commit (s->repo, db, weir_buf_bytes (&payload), ops,
                                   weir_actor_wall_ms (s->actor), entry, e);
        s->commits += status == WEIR_OK ? 1 : 0;
    }
    store_version_fini (&then);
    weir_buf_fini (&payload);
    return status;
}

void
store_doc_revert (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct store *s = state;
    const Weir__DocRevert *ask = (const Weir__DocRevert *) message->meta;
    struct weir_error e = { 0 };
    struct weir_id entry = { 0 };
    struct weir_id db;
    bool unchanged = false;
    (void) actor;
    if (store_answered_before (s, &message->envelope, ask->has_client, ask->client, ask->number)
        || !store_writable (s, &message->envelope)
        || !store_resolve (s, &message->envelope, ask->has_db, ask->db, &db)) {
        return;
    }
    enum weir_status status = revert (s, &db, ask, &entry, &unchanged, &e);
    if (status != WEIR_OK) {
        store_fail (s, &message->envelope, status, &e);
        return;
    }
    Weir__EntryId answer = WEIR__ENTRY_ID__INIT;
    answer.has_id = !unchanged;
    answer.id = weir_field_id (&entry);
    answer.has_unchanged = true;
    answer.unchanged = unchanged;
    store_answer_synced (s, &message->envelope, &answer.base, weir_field (ask->client),
                         ask->number);
}
