/* The store actor's verbs about documents: reading a value, and sealing edits as commits. Every
 * write is one entry, answered when its group is on disk. */

#include <stdlib.h>
#include <string.h>

#include "actors/store/state.h"
#include "store/base/json.h"
#include "store/crdt/types.h"

#define PATH_BYTES_MAX (WEIR_PATH_PARTS_MAX * 256u)
#define CONFLICTS_SHOWN (WEIR_LOSERS_MAX + 1u)
#define CONFLICT_STEPS_MAX 100000u

/* ---- reading ---- */

static bool
read_path (struct store *s, const struct weir_envelope *request, bool has,
           ProtobufCBinaryData field, char **path)
{
    char *text = weir_alloc (PATH_BYTES_MAX + 1);
    if (weir_field_get_text (text, PATH_BYTES_MAX, has, field) != WEIR_OK) {
        struct weir_error e = { 0 };
        enum weir_status status =
            weir_error_set (&e, WEIR_INVALID_PATH, NULL,
                            "the path is not UTF-8, or is longer than %u bytes", PATH_BYTES_MAX);
        store_fail (s, request, status, &e);
        free (text);
        return false;
    }
    *path = text;
    return true;
}

void
store_doc_get (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct store *s = state;
    const Weir__DocPath *ask = (const Weir__DocPath *) message->meta;
    struct weir_error e = { 0 };
    struct weir_id db;
    struct store_version version = { 0 };
    struct weir_buf text = { 0 };
    json_t *value = NULL;
    char *path = NULL;
    (void) actor;
    if (!store_resolve (s, &message->envelope, ask->has_db, ask->db, &db)
        || !read_path (s, &message->envelope, ask->has_path, ask->path, &path)) {
        return;
    }
    enum weir_status status = store_version_get (s, &db, ask->heads, ask->n_heads, &version, &e);
    if (status == WEIR_OK) {
        status = ask->delta ? weir_doc_delta (version.doc, path, &value, &e)
                            : weir_doc_get (version.doc, path, &value, &e);
    }
    if (status != WEIR_OK) {
        store_fail (s, &message->envelope, status, &e);
    } else {
        weir_json_put (&text, value);
        Weir__DocValue answer = WEIR__DOC_VALUE__INIT;
        answer.has_bytes = true;
        answer.bytes = text.len;
        store_answer_body (s, &message->envelope, &answer.base, weir_buf_bytes (&text));
    }
    store_version_fini (&version);
    json_decref (value);
    weir_buf_fini (&text);
    free (path);
}

void
store_doc_heads (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct store *s = state;
    const Weir__DbName *ask = (const Weir__DbName *) message->meta;
    struct weir_id db;
    (void) actor;
    if (!store_resolve (s, &message->envelope, ask->has_db, ask->db, &db)) {
        return;
    }
    size_t n = 0;
    const struct weir_id *heads = weir_repo_heads (s->repo, &db, &n);
    Weir__DocHeads answer = WEIR__DOC_HEADS__INIT;
    answer.heads = weir_alloc ((n + 1) * sizeof *answer.heads);
    for (size_t i = 0; i < n; i++) {
        answer.heads[answer.n_heads++] = weir_field_id (&heads[i]);
    }
    /* What names a version is told once that version is durable. */
    store_answer_synced (s, &message->envelope, &answer.base, weir_bytes (NULL, 0), 0);
    free (answer.heads);
}

/* The document keeps, per key, values it has not seen superseded; true causality is the log's. */
static bool
superseded (struct store *s, const struct weir_id *db, const struct weir_doc_value *values,
            size_t n, size_t i)
{
    for (size_t j = 0; j < n; j++) {
        bool before = false;
        if (j != i
            && weir_repo_is_before (s->repo, db, &values[i].key.entry, &values[j].key.entry,
                                    CONFLICT_STEPS_MAX, &before)
                   == WEIR_OK
            && before) {
            return true;
        }
    }
    return false;
}

void
store_doc_conflicts (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct store *s = state;
    const Weir__DocPath *ask = (const Weir__DocPath *) message->meta;
    struct weir_error e = { 0 };
    struct weir_id db;
    struct weir_doc *doc = NULL;
    struct weir_doc_value values[CONFLICTS_SHOWN];
    Weir__ConflictValue items[CONFLICTS_SHOWN];
    Weir__ConflictValue *pointers[CONFLICTS_SHOWN];
    struct weir_buf texts[CONFLICTS_SHOWN];
    size_t n = 0;
    char *path = NULL;
    (void) actor;
    if (!store_resolve (s, &message->envelope, ask->has_db, ask->db, &db)
        || !read_path (s, &message->envelope, ask->has_path, ask->path, &path)) {
        return;
    }
    enum weir_status status = weir_repo_document (s->repo, &db, &doc, &e);
    if (status == WEIR_OK) {
        status = weir_doc_conflicts (doc, path, values, CONFLICTS_SHOWN, &n, &e);
    }
    free (path);
    if (status != WEIR_OK) {
        store_fail (s, &message->envelope, status, &e);
        return;
    }
    memset (texts, 0, sizeof texts);
    Weir__DocConflicts answer = WEIR__DOC_CONFLICTS__INIT;
    answer.items = pointers;
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && superseded (s, &db, values, n, i)) {
            continue;
        }
        Weir__ConflictValue *m = &items[answer.n_items];
        *m = (Weir__ConflictValue) WEIR__CONFLICT_VALUE__INIT;
        m->has_author = m->has_lane = m->has_lamport = m->has_entry = m->has_deleted = true;
        m->author = weir_field_id (&values[i].key.chain.author);
        m->lane = values[i].key.chain.lane;
        m->lamport = values[i].key.lamport;
        m->entry = weir_field_id (&values[i].key.entry);
        m->deleted = values[i].value == NULL;
        if (values[i].value != NULL) {
            weir_json_put (&texts[i], values[i].value);
            m->has_json = true;
            m->json = weir_field_of (weir_buf_bytes (&texts[i]));
        }
        pointers[answer.n_items++] = m;
    }
    store_answer (s, &message->envelope, &answer.base);
    for (size_t i = 0; i < n; i++) {
        json_decref (values[i].value);
        weir_buf_fini (&texts[i]);
    }
}

/* ---- writing ---- */

enum weir_status
store_seal (struct store *s, const struct weir_id *db, struct weir_edit *edit,
            struct weir_bytes text, struct weir_buf *payload, struct weir_id *entry,
            bool *unchanged, struct weir_error *e)
{
    uint32_t ops = 0;
    *unchanged = weir_edit_ops (edit) == 0;
    if (*unchanged) {
        return WEIR_OK;
    }
    weir_buf_clear (payload);
    enum weir_status status = weir_edit_seal (edit, text, payload, &ops, e);
    if (status == WEIR_OK) {
        status = weir_repo_commit (s->repo, db, weir_buf_bytes (payload), ops,
                                   weir_actor_wall_ms (s->actor), entry, e);
    }
    if (status == WEIR_OK) {
        s->commits++;
    }
    return status;
}

enum weir_status
store_commit_text (bool has, ProtobufCBinaryData field, struct weir_bytes *out,
                   struct weir_error *e)
{
    *out = has ? weir_field (field) : weir_bytes (NULL, 0);
    if (out->len > WEIR_MESSAGE_TEXT_BYTES_MAX || !weir_bytes_is_utf8 (*out)) {
        return weir_error_set (e, WEIR_INVALID_ARGUMENT, NULL,
                               "a commit message is UTF-8 of at most %u bytes",
                               WEIR_MESSAGE_TEXT_BYTES_MAX);
    }
    return WEIR_OK;
}

/* A single write: `value` NULL removes. */
static void
write_one (struct store *s, const struct weir_message *message, const Weir__DocWrite *ask,
           const json_t *value)
{
    struct weir_error e = { 0 };
    struct weir_id db;
    struct weir_id entry = { 0 };
    struct weir_doc *doc = NULL;
    struct weir_edit *edit = NULL;
    struct weir_buf payload = { 0 };
    struct weir_bytes text;
    char *path = NULL;
    bool unchanged = false;
    if (!store_resolve (s, &message->envelope, ask->has_db, ask->db, &db)
        || !read_path (s, &message->envelope, ask->has_path, ask->path, &path)) {
        return;
    }
    enum weir_status status = store_commit_text (ask->has_message, ask->message, &text, &e);
    if (status == WEIR_OK) {
        status = weir_repo_document (s->repo, &db, &doc, &e);
    }
    if (status == WEIR_OK) {
        edit = weir_edit_new (doc);
        status = value != NULL ? weir_edit_set (edit, path, value, &e)
                               : weir_edit_remove (edit, path, &e);
    }
    if (status == WEIR_OK) {
        status = store_seal (s, &db, edit, text, &payload, &entry, &unchanged, &e);
    }
    if (status == WEIR_OK) {
        Weir__EntryId answer = WEIR__ENTRY_ID__INIT;
        answer.has_id = !unchanged;
        answer.id = weir_field_id (&entry);
        answer.has_unchanged = true;
        answer.unchanged = unchanged;
        store_answer_synced (s, &message->envelope, &answer.base, weir_field (ask->client),
                             ask->number);
    } else {
        store_fail (s, &message->envelope, status, &e);
    }
    weir_edit_destroy (&edit);
    weir_buf_fini (&payload);
    free (path);
}

void
store_doc_set (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct store *s = state;
    const Weir__DocWrite *ask = (const Weir__DocWrite *) message->meta;
    struct weir_error e = { 0 };
    json_t *value = NULL;
    (void) actor;
    if (store_answered_before (s, &message->envelope, ask->has_client, ask->client, ask->number)
        || !store_writable (s, &message->envelope)) {
        return;
    }
    enum weir_status status = weir_json_parse (&value, message->body, WEIR_JSON_BYTES_MAX, &e);
    if (status != WEIR_OK) {
        store_fail (s, &message->envelope, status, &e);
        return;
    }
    write_one (s, message, ask, value);
    json_decref (value);
}

void
store_doc_remove (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct store *s = state;
    const Weir__DocWrite *ask = (const Weir__DocWrite *) message->meta;
    (void) actor;
    if (!store_answered_before (s, &message->envelope, ask->has_client, ask->client, ask->number)
        && store_writable (s, &message->envelope)) {
        write_one (s, message, ask, NULL);
    }
}

struct apply {
    struct store *s;
    struct weir_id db;
    struct weir_bytes text;
    struct weir_buf payload;
    struct weir_edit *edit;
    struct weir_id last;
    uint64_t commits;
    uint64_t unchanged;
};

static enum weir_status
apply_line (struct apply *a, struct weir_bytes line, struct weir_error *e)
{
    struct weir_doc *doc = NULL;
    json_t *json = NULL;
    bool unchanged = false;
    enum weir_status status = weir_repo_document (a->s->repo, &a->db, &doc, e);
    if (status == WEIR_OK) {
        status = weir_json_parse (&json, line, WEIR_JSON_BYTES_MAX, e);
    }
    if (status == WEIR_OK) {
        a->edit = weir_edit_new (doc);
        status = weir_edit_patch (a->edit, json, e);
    }
    if (status == WEIR_OK) {
        status = store_seal (a->s, &a->db, a->edit, a->text, &a->payload, &a->last, &unchanged, e);
    }
    if (status == WEIR_OK) {
        a->commits += unchanged ? 0 : 1;
        a->unchanged += unchanged ? 1 : 0;
    }
    weir_edit_destroy (&a->edit);
    json_decref (json);
    return status;
}

static bool
is_blank (struct weir_bytes line)
{
    for (size_t i = 0; i < line.len; i++) {
        if (line.data[i] != ' ' && line.data[i] != '\t' && line.data[i] != '\r') {
            return false;
        }
    }
    return true;
}

/* One commit a line; lines before a bad one are kept, and the answer says which one it was. */
static enum weir_status
apply_body (struct apply *a, struct weir_bytes body, uint64_t *line_number, struct weir_error *e)
{
    enum weir_status status = WEIR_OK;
    size_t at = 0;
    while (at < body.len && status == WEIR_OK) {
        const uint8_t *end = memchr (body.data + at, '\n', body.len - at);
        size_t stop = end != NULL ? (size_t) (end - body.data) : body.len;
        struct weir_bytes line = weir_bytes (body.data + at, stop - at);
        at = stop + 1;
        (*line_number)++;
        if (!is_blank (line)) {
            status = apply_line (a, line, e);
        }
    }
    return status;
}

void
store_doc_apply (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct store *s = state;
    const Weir__DocApply *ask = (const Weir__DocApply *) message->meta;
    struct weir_error e = { 0 };
    struct apply a = { .s = s };
    uint64_t line = 0;
    (void) actor;
    if (store_answered_before (s, &message->envelope, ask->has_client, ask->client, ask->number)
        || !store_writable (s, &message->envelope)
        || !store_resolve (s, &message->envelope, ask->has_db, ask->db, &a.db)) {
        return;
    }
    enum weir_status status = store_commit_text (ask->has_message, ask->message, &a.text, &e);
    if (status == WEIR_OK) {
        status = apply_body (&a, message->body, &line, &e);
    }
    Weir__DocApplied answer = WEIR__DOC_APPLIED__INIT;
    answer.has_commits = answer.has_unchanged = answer.has_failed_line = true;
    answer.commits = a.commits;
    answer.unchanged = a.unchanged;
    answer.failed_line = status == WEIR_OK ? 0 : line;
    answer.has_status = answer.has_what = status != WEIR_OK;
    answer.status = (uint32_t) status;
    answer.what = weir_field_str (e.what);
    answer.has_last_entry = a.commits > 0;
    answer.last_entry = weir_field_id (&a.last);
    if (status != WEIR_OK && line == 0) {
        store_fail (s, &message->envelope, status, &e);
    } else {
        /* Where nothing was done there is nothing to remember: a resend may fare better. */
        bool nothing = status != WEIR_OK && a.commits == 0;
        store_answer_synced (s, &message->envelope, &answer.base,
                             nothing ? weir_bytes (NULL, 0) : weir_field (ask->client),
                             ask->number);
    }
    weir_buf_fini (&a.payload);
}
