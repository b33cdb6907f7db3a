/* The store actor: owns the LevelDB files, the device's signing key, commits, verification and
 * documents. Opens no network socket. Every turn of the loop ends in one group commit: what was
 * committed and imported in it is sealed, signed and handed to the committer thread; answers,
 * acknowledgements and what is told to peers wait until that batch is on disk. */

#include "actors/store/store.h"

#include <errno.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "actors/store/state.h"
#include "store/crypto/keyfile.h"

#define DISK_CHECK_MS 250u
#define WORK_IDLE_MS 1000u
#define BODY_PART_BYTES (1u << 20)

static void turn_ended (void *state, struct weir_actor *actor);
static void batch_synced (void *state, struct weir_actor *actor, void *context);
static void work (void *state, struct weir_actor *actor, void *context);

static const struct weir_actor_handler handlers[] = {
    { WEIR_KIND_DB_CREATE, store_db_create },
    { WEIR_KIND_DB_LIST, store_db_list },
    { WEIR_KIND_DB_SHOW, store_db_show },
    { WEIR_KIND_DB_SHARE, store_db_share },
    { WEIR_KIND_DB_JOIN, store_db_join },
    { WEIR_KIND_DB_MEMBERS, store_db_members },
    { WEIR_KIND_DB_GRANT, store_db_grant },
    { WEIR_KIND_DB_FORGET, store_db_forget },
    { WEIR_KIND_DB_VERIFY, store_db_verify },
    { WEIR_KIND_DB_WATCH, store_db_watch },
    { WEIR_KIND_DB_LEAVE, store_db_leave },
    { WEIR_KIND_DB_EXPORT, store_db_export },
    { WEIR_KIND_DB_IMPORT, store_db_import },
    { WEIR_KIND_DOC_GET, store_doc_get },
    { WEIR_KIND_DOC_SET, store_doc_set },
    { WEIR_KIND_DOC_REMOVE, store_doc_remove },
    { WEIR_KIND_DOC_APPLY, store_doc_apply },
    { WEIR_KIND_DOC_LOG, store_doc_log },
    { WEIR_KIND_DOC_HEADS, store_doc_heads },
    { WEIR_KIND_DOC_CONFLICTS, store_doc_conflicts },
    { WEIR_KIND_DOC_DIFF, store_doc_diff },
    { WEIR_KIND_DOC_REVERT, store_doc_revert },
    { WEIR_KIND_ENTRY_SHOW, store_entry_show },
    { WEIR_KIND_STORE_STATUS, store_status },
    { WEIR_KIND_KEY_SHOW, store_key_show },
    { WEIR_KIND_STORE_OPEN, store_open },
    { WEIR_KIND_STATE_GET, store_state_get },
    { WEIR_KIND_STATE_PUT, store_state_put },
    { WEIR_KIND_SIGN_PROOF, store_sign_proof },
    { WEIR_KIND_CARD_SIGN, store_card_sign },
    { WEIR_KIND_DB_RIGHTS, store_db_rights },
    { WEIR_KIND_COMPARE, store_compare },
    { WEIR_KIND_LADDER, store_ladder },
    { WEIR_KIND_ENTRIES_FIND, store_entries_find },
    { WEIR_KIND_TRANSFER_OPEN, store_transfer_open },
    { WEIR_KIND_TRANSFER_SET, store_transfer_set },
    { WEIR_KIND_TRANSFER_START, store_transfer_start },
    { WEIR_KIND_TRANSFER_SEND, store_transfer_send },
    { WEIR_KIND_TRANSFER_STOP, store_transfer_stop },
    { WEIR_KIND_TICKET_REDEEM, store_ticket_redeem },
    { WEIR_KIND_LAG, store_lag },
    { WEIR_KIND_DB_JOINED, store_db_joined },
    { WEIR_KIND_BLOB_PART, store_blob_part },
    { WEIR_KIND_BLOB_PUT, store_blob_put },
    { WEIR_KIND_BLOB_GET, store_blob_get },
    { WEIR_KIND_BLOB_PEER, store_blob_peer },
    { WEIR_KIND_BLOB_HEAR, store_blob_hear },
    { WEIR_KIND_BLOB_PIECE_IN, store_blob_piece_in },
    { WEIR_KIND_LEASE, store_lease },
    { WEIR_KIND_FRAME_IN, store_frame_in },
    { WEIR_KIND_ACK_IN, store_ack_in },
    { 0, NULL },
};

static void
check_disk (struct store *s, bool force)
{
    uint64_t now = weir_actor_now_ms (s->actor);
    if (force || now >= s->disk_checked_ms + DISK_CHECK_MS) {
        struct statvfs fs;
        s->disk_checked_ms = now;
        if (statvfs (s->paths.db, &fs) != 0) {
            return; /* the committer will say what is wrong */
        }
        s->disk_free_bytes = (uint64_t) fs.f_bavail * fs.f_frsize;
        s->disk_coming_bytes = s->disk_used_bytes;
        s->disk_used_bytes = 0;
    }
    uint64_t reserve = weir_actor_settings (s->actor)->disk_reserve_mb << 20;
    bool full = s->disk_free_bytes < reserve + s->disk_coming_bytes + s->disk_used_bytes;
    if (full != s->disk_full) {
        s->disk_full = full;
        weir_actor_event (s->actor, full ? "disk_full" : "disk_freed", NULL, NULL,
                          full ? WEIR_DISK_FULL : WEIR_OK, "%llu MB free of a reserve of %llu MB",
                          (unsigned long long) (s->disk_free_bytes >> 20),
                          (unsigned long long) (reserve >> 20));
    }
}

void
store_disk_uses (struct store *s, size_t bytes)
{
    s->disk_used_bytes += bytes;
}

bool
store_writable (struct store *s, const struct weir_envelope *request)
{
    check_disk (s, false);
    enum weir_status status = s->disk_full ? WEIR_DISK_FULL : weir_kv_status (s->kv);
    if (status == WEIR_OK) {
        return true;
    }
    if (request != NULL) {
        struct weir_error e = { 0 };
        weir_error_set (&e, status, NULL, "nothing can be written in %s", s->paths.db);
        store_fail (s, request, status, &e);
    }
    return false;
}

static enum weir_status
load_identity (struct store *s, struct weir_error *e)
{
    const struct weir_settings_values *v = weir_actor_settings (s->actor);
    char passphrase[512] = "";
    if (v->passphrase_file[0] != '\0') {
        FILE *f = fopen (v->passphrase_file, "re");
        if (f == NULL) {
            return weir_error_set (e, WEIR_BAD_CONFIG, NULL, "cannot read passphrase_file %s: %s",
                                   v->passphrase_file, strerror (errno));
        }
        if (fgets (passphrase, sizeof passphrase, f) == NULL) {
            passphrase[0] = '\0';
        }
        fclose (f);
        passphrase[strcspn (passphrase, "\r\n")] = '\0';
    }
    enum weir_status status = weir_keyfile_load (
        s->paths.key, passphrase[0] != '\0' ? passphrase : NULL, &s->identity, e);
    weir_wipe (passphrase, sizeof passphrase);
    if (status == WEIR_NOT_FOUND) {
        return weir_error_set (e, WEIR_BAD_CONFIG, "weir init makes one",
                               "there is no node in %s: no identity file", s->paths.data);
    }
    return status == WEIR_BAD_PASSPHRASE ? WEIR_BAD_CONFIG : status;
}

static enum weir_status
start (void **state, struct weir_actor *actor, struct weir_error *e)
{
    weir_crypto_init ();
    struct store *s = weir_alloc (sizeof *s);
    s->actor = actor;
    const struct weir_settings_values *v = weir_actor_settings (actor);
    s->paths = *weir_actor_paths (actor);
    enum weir_status status = load_identity (s, e);
    if (status == WEIR_OK) {
        status = weir_kv_open (&s->kv, s->paths.db, true, e);
    }
    if (status == WEIR_OK) {
        s->tips = weir_tips_file_new (s->paths.tips);
        struct weir_repo_options options = { .kv = s->kv,
                                             .tips = s->tips,
                                             .identity = &s->identity,
                                             .documents_bytes_max = v->documents_mb << 20,
                                             .blob_keep_ms = v->blob_keep_secs * 1000ull };
        weir_random (options.seed, sizeof options.seed);
        status = weir_repo_open (&s->repo, &options, e);
        weir_wipe (options.seed, sizeof options.seed);
    }
    if (status != WEIR_OK) {
        if (s->kv != NULL) {
            weir_kv_close (&s->kv);
        }
        weir_tips_destroy (&s->tips);
        weir_identity_fini (&s->identity);
        free (s);
        return status;
    }
    if (v->name[0] != '\0') {
        snprintf (s->name, sizeof s->name, "%.*s", (int) WEIR_NAME_BYTES_MAX, v->name);
    } else if (gethostname (s->name, sizeof s->name - 1) != 0) {
        s->name[0] = '\0';
    }
    s->fetch = store_fetch_new ();
    s->members_epoch = weir_repo_members_epoch (s->repo);
    weir_actor_watch_fd (actor, weir_kv_event_fd (s->kv), batch_synced, NULL);
    check_disk (s, true);
    *state = s;
    /* Opening may have written (a first store's rows): those must be synced like all else. */
    s->batch_last = weir_repo_flush (s->repo, weir_actor_wall_ms (actor));
    enum weir_status synced = weir_kv_wait (s->kv, s->batch_last);
    if (synced != WEIR_OK) {
        return weir_error_set (e, synced, NULL, "cannot write to %s", s->paths.db);
    }
    weir_repo_on_synced (s->repo);
    s->told_position = weir_repo_position (s->repo);
    s->work_timer = weir_actor_timer (actor, weir_actor_now_ms (actor) + WORK_IDLE_MS, work, NULL);
    weir_actor_log (actor, WEIR_LOG_INFO, "store_open", "device=%s databases_epoch=%016llx",
                    weir_id_text (&s->identity.device).s,
                    (unsigned long long) weir_repo_epoch (s->repo));
    weir_actor_ready (actor);
    return WEIR_OK;
}

static void
stop (void **state, struct weir_actor *actor)
{
    struct store *s = *state;
    (void) actor;
    store_transfers_fini (s);
    (void) weir_repo_flush (s->repo, weir_actor_wall_ms (s->actor));
    store_fetch_destroy (&s->fetch);
    weir_repo_close (&s->repo);
    weir_kv_close (&s->kv);
    weir_tips_destroy (&s->tips);
    weir_identity_fini (&s->identity);
    for (size_t i = 0; i < s->n_pending; i++) {
        weir_buf_fini (&s->pending[i].meta);
        weir_buf_fini (&s->pending[i].body);
    }
    free (s->pending);
    store_watches_drop (s);
    free (s);
    *state = NULL;
}

static void
up (void *state, struct weir_actor *actor, const char *role, const char *name,
    const struct weir_mailbox_id *mailbox, uint64_t epoch)
{
    struct store *s = state;
    (void) actor;
    (void) name;
    (void) mailbox;
    (void) epoch;
    if (strcmp (role, "peers") == 0) {
        /* It asks for rights and digests itself; what it must be told unasked comes here. */
        s->peers_up = true;
        s->told_position = weir_repo_position (s->repo);
        store_transfer_drop_all (s, NULL);
        store_fetch_peers_up (s);
        store_tickets_tell (s);
        store_joins_tell (s);
    }
}

static void
down (void *state, struct weir_actor *actor, const char *role, const char *name,
      const struct weir_mailbox_id *mailbox)
{
    struct store *s = state;
    (void) actor;
    (void) name;
    if (strcmp (role, "peers") == 0) {
        s->peers_up = false;
        store_transfer_drop_all (s, NULL);
        store_fetch_drop_all (s, NULL);
    } else if (strcmp (role, "transport") == 0) {
        store_transfer_drop_all (s, mailbox);
        store_fetch_drop_all (s, mailbox);
    }
}

/* ---- answers ---- */

void
store_answer (struct store *s, const struct weir_envelope *request, const ProtobufCMessage *meta)
{
    if (meta != NULL && protobuf_c_message_get_packed_size (meta) > WEIR_MESSAGE_META_BYTES_MAX) {
        store_fail (s, request, WEIR_TOO_LARGE, NULL); /* the broker would drop it */
    } else {
        weir_actor_answer (s->actor, request, meta, weir_bytes (NULL, 0), false);
    }
}

void
store_answer_body (struct store *s, const struct weir_envelope *request,
                   const ProtobufCMessage *meta, struct weir_bytes body)
{
    size_t at = 0;
    do {
        size_t part = body.len - at > BODY_PART_BYTES ? BODY_PART_BYTES : body.len - at;
        weir_actor_answer (s->actor, request, meta, weir_bytes (body.data + at, part),
                           at + part < body.len);
        at += part;
    } while (at < body.len);
}

void
store_fail (struct store *s, const struct weir_envelope *request, enum weir_status status,
            const struct weir_error *e)
{
    weir_actor_fail (s->actor, request, status, e);
}

static struct store_pending *
pend (struct store *s, const struct weir_envelope *request)
{
    weir_grow (&s->pending, &s->cap_pending, s->n_pending + 1, sizeof *s->pending);
    struct store_pending *p = &s->pending[s->n_pending++];
    *p = (struct store_pending){ .request = *request };
    return p;
}

void
store_answer_synced (struct store *s, const struct weir_envelope *request,
                     const ProtobufCMessage *meta, struct weir_bytes client, uint64_t number)
{
    struct store_pending *p = pend (s, request);
    weir_meta_put (&p->meta, meta);
    if (client.len == 16) {
        weir_repo_request_put (s->repo, client.data, number, weir_buf_bytes (&p->meta),
                               weir_actor_wall_ms (s->actor));
    }
}

void
store_answer_synced_body (struct store *s, const struct weir_envelope *request,
                          const ProtobufCMessage *meta, struct weir_buf *body)
{
    struct store_pending *p = pend (s, request);
    weir_meta_put (&p->meta, meta);
    p->body = *body;
    *body = (struct weir_buf){ .data = NULL };
}

bool
store_answered_before (struct store *s, const struct weir_envelope *request, bool has_client,
                       ProtobufCBinaryData client, uint64_t number)
{
    if (!has_client) {
        return false;
    }
    if (client.len != 16) {
        store_fail (s, request, WEIR_BAD_MESSAGE, NULL);
        return true;
    }
    struct weir_buf answer = { 0 };
    enum weir_status status = weir_repo_request_get (s->repo, client.data, number, &answer);
    if (status == WEIR_NOT_FOUND) {
        weir_buf_fini (&answer);
        return false;
    }
    if (status != WEIR_OK) {
        store_fail (s, request, status, NULL);
        weir_buf_fini (&answer);
        return true;
    }
    struct store_pending *p = pend (s, request);
    p->meta = answer;
    return true;
}

/* The packed answer goes out as it is: it was packed for this kind. */
static void
answer_packed (struct store *s, struct store_pending *p)
{
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    const struct weir_kind *kind = weir_kind (p->request.kind);
    ProtobufCMessage *meta = NULL;
    if (kind != NULL
        && weir_meta_get (&meta, arena, kind, true, weir_buf_bytes (&p->meta)) == WEIR_OK) {
        weir_actor_answer (s->actor, &p->request, meta, weir_buf_bytes (&p->body), false);
    } else {
        store_fail (s, &p->request, WEIR_FAILED, NULL);
    }
    weir_arena_destroy (&arena);
}

bool
store_resolve (struct store *s, const struct weir_envelope *request, bool has,
               ProtobufCBinaryData text, struct weir_id *db)
{
    struct weir_error e = { 0 };
    char name[WEIR_NAME_BYTES_MAX + 1];
    enum weir_status status = weir_field_get_text (name, WEIR_NAME_BYTES_MAX, has, text);
    if (status == WEIR_OK && name[0] == '\0') {
        status = weir_error_set (&e, WEIR_INVALID_ARGUMENT, NULL, "a database must be named");
    }
    if (status == WEIR_OK) {
        status = weir_repo_resolve (s->repo, name, db, &e);
    }
    if (status != WEIR_OK) {
        store_fail (s, request, status, &e);
    }
    return status == WEIR_OK;
}

struct weir_id
store_digest (struct store *s, const struct weir_id *db)
{
    static const struct weir_vector none = { 0 };
    const struct weir_vector *v = weir_repo_vector (s->repo, db);
    return weir_vector_digest (v != NULL ? v : &none);
}

/* ---- group commit ---- */

static void
turn_ended (void *state, struct weir_actor *actor)
{
    struct store *s = state;
    store_transfer_pump (s);
    store_fetch_turn (s);
    uint64_t batch = weir_repo_flush (s->repo, weir_actor_wall_ms (actor));
    s->batch_last = batch;
    for (size_t i = s->n_pending; i-- > 0 && !s->pending[i].is_flushed;) {
        s->pending[i].batch = batch;
        s->pending[i].is_flushed = true;
    }
    store_transfer_flushed (s, batch);
    store_fetch_flushed (s, batch);
    if (weir_repo_members_epoch (s->repo) != s->members_epoch) {
        s->members_epoch = weir_repo_members_epoch (s->repo);
        store_rights_changed (s, NULL);
    }
    /* An empty flush has no batch of its own and may be synced already: no event would come. */
    if (weir_kv_synced (s->kv) >= batch) {
        batch_synced (s, actor, NULL);
    }
}

static void
batch_synced (void *state, struct weir_actor *actor, void *context)
{
    struct store *s = state;
    (void) context;
    weir_kv_clear_event (s->kv);
    enum weir_status status = weir_kv_status (s->kv);
    if (status != WEIR_OK) {
        struct weir_error e = { 0 };
        weir_error_set (&e, status, NULL, "cannot write to %s", s->paths.db);
        weir_actor_exit (actor, status, &e); /* environment: the supervisor decides */
        return;
    }
    uint64_t synced = weir_kv_synced (s->kv);
    weir_repo_on_synced (s->repo);
    size_t done = 0;
    while (done < s->n_pending && s->pending[done].is_flushed && s->pending[done].batch <= synced) {
        answer_packed (s, &s->pending[done]);
        weir_buf_fini (&s->pending[done].meta);
        weir_buf_fini (&s->pending[done].body);
        done++;
    }
    if (done > 0) {
        memmove (s->pending, s->pending + done, (s->n_pending - done) * sizeof *s->pending);
        s->n_pending -= done;
    }
    store_fetch_synced (s, synced);
    store_tell_novel (s);
    store_watch_synced (s);
    store_transfer_synced (s, synced);
}

/* Deferred work in slices: forgetting, snapshots of documents; and the clock of the disk. */
static void
work (void *state, struct weir_actor *actor, void *context)
{
    struct store *s = state;
    (void) context;
    check_disk (s, true);
    bool more = !s->disk_full && weir_repo_work (s->repo, weir_actor_wall_ms (actor));
    if (s->tell_again) {
        store_tell_novel (s);
    }
    turn_ended (s, actor);
    s->work_timer = weir_actor_timer (
        actor, weir_actor_now_ms (actor) + (more || s->tell_again ? 1 : WORK_IDLE_MS), work, NULL);
}

int
weir_store_run (int argc, char **argv)
{
    static const struct weir_actor_def def = { .role = "store",
                                               .handlers = handlers,
                                               .start = start,
                                               .stop = stop,
                                               .up = up,
                                               .down = down,
                                               .after_turn = turn_ended };
    return weir_actor_run (&def, argc, argv);
}
