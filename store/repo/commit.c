/* Local commits, and group commit: entries collect in one open run a database; a flush seals it
 * with one signature and hands the batch to the kv. A commit itself hashes, appends and updates
 * memory, and nothing else. */

#include "store/repo/parts.h"

#include <stdlib.h>
#include <string.h>

#define BATCH_BYTES_MAX (8u << 20)
#define CODEC_MAX (WEIR_CODEC_DOC > WEIR_CODEC_SETTINGS ? WEIR_CODEC_DOC : WEIR_CODEC_SETTINGS)

/* ---- the open run ---- */

/* Where our next entry stands in its chain. */
struct own_place {
    struct weir_chain chain;
    uint64_t seq;
    struct weir_id prev;
};

static struct own_place
own_place (struct weir_repo *self, const struct weir_repo_db *db)
{
    struct own_place own = { .seq = 0 };
    if (db->own_branch != WEIR_REPO_NONE) {
        const struct weir_repo_branch *b = &db->branches[db->own_branch];
        own.chain = b->chain;
        own.seq = b->count;
        own.prev = b->tip;
        return own;
    }
    struct weir_id random = weir_repo_draw (self);
    own.chain.author = self->identity->device;
    own.chain.lane = weir_load_u64 (random.b);
    return own;
}

/* Begins a run on top of at most 16 heads beyond our own last entry. */
static void
begin_run (struct weir_repo *self, struct weir_repo_db *db, uint8_t kind)
{
    struct own_place own = own_place (self, db);
    struct weir_id deps[WEIR_ENTRY_DEPS_MAX];
    size_t n_deps = 0;
    for (size_t i = 0; i < db->n_heads && n_deps < WEIR_ENTRY_DEPS_MAX; i++) {
        if (own.seq == 0 || !weir_id_equal (&db->heads[i], &own.prev)) {
            deps[n_deps++] = db->heads[i];
        }
    }
    weir_run_begin (&db->builder, &db->id, kind, &own.chain, own.seq, &own.prev, deps, n_deps);
    db->open = true;
    weir_buf_clear (&db->open_inert);
    db->open_lamport = db->lamport;
    db->open_view = db->view;
}

/* Adds an entry to the open run; it is the one head now, or one of several when there are more
 * than a run can name. */
static void
add_entry (struct weir_repo *self, struct weir_repo_db *db, uint32_t ops, uint64_t now_ms,
           struct weir_bytes payload, struct weir_id *id)
{
    struct weir_run *head = &db->builder.head;
    size_t at = head->count;
    struct weir_id before = db->builder.tip;
    weir_run_add (&db->builder, ops, now_ms, payload, id);
    weir_grow (&db->open_entries, &db->cap_open, at + 1, sizeof db->open_entries[0]);
    db->open_entries[at] =
        (struct weir_run_entry){ .id = *id, .ops = ops, .clock_ms = now_ms, .payload = payload };
    if (at > 0) {
        weir_repo_heads_advance (db, &before, NULL, 0, id);
    } else {
        weir_repo_heads_advance (db, head->seq == 0 ? NULL : &before, head->deps, head->n_deps, id);
    }
    db->lamport += ops;
    weir_repo_db_mark (self, db);
}

void
weir_repo_seal (struct weir_repo *self, struct weir_repo_db *db)
{
    if (!db->open) {
        return;
    }
    struct weir_run run = db->builder.head;
    weir_buf_clear (&self->sealed);
    weir_run_close (&db->builder, self->identity, &self->sealed);
    run.entries = db->open_entries;
    run.bytes = weir_buf_bytes (&self->sealed);
    struct weir_repo_place place = {
        .branch = run.seq == 0 ? WEIR_REPO_NONE : db->own_branch,
        .parent = WEIR_REPO_NONE,
        .lamport = db->open_lamport,
        .view = db->open_view,
    };
    db->open = false;
    db->own_branch = weir_repo_run_store (self, db, &run, &place, &weir_id_zero);
    weir_repo_tips_note (self, db, &run);
    weir_repo_doc_sealed (self, db, &run, &place, db->own_branch);
}

/* Makes the open run one that takes an entry of this kind and size on top of all heads. */
static void
open_run (struct weir_repo *self, struct weir_repo_db *db, uint8_t kind, size_t payload_bytes)
{
    if (db->open && db->builder.head.kind == kind && db->n_heads == 1
        && weir_run_has_room (&db->builder, payload_bytes)) {
        return;
    }
    weir_repo_seal (self, db);
    for (;;) {
        size_t beyond = db->n_heads;
        if (db->own_branch != WEIR_REPO_NONE) {
            const struct weir_id *tip = &db->branches[db->own_branch].tip;
            for (size_t i = 0; i < db->n_heads; i++) {
                beyond -= weir_id_equal (&db->heads[i], tip) ? 1 : 0;
            }
        }
        if (beyond <= WEIR_ENTRY_DEPS_MAX) {
            break;
        }
        struct weir_id merge;
        begin_run (self, db, WEIR_ENTRY_MERGE);
        add_entry (self, db, 0, 0, weir_bytes (NULL, 0), &merge);
        weir_repo_seal (self, db);
    }
    begin_run (self, db, kind);
}

/* ---- making a database ---- */

static void
put_genesis (struct weir_buf *out, const struct weir_id *random, const struct weir_id *device,
             const char *name)
{
    struct weir_member_change self_admin = { .device = *device, .right = WEIR_RIGHT_ADMIN };
    struct weir_settings settings = {
        .entry_version_max = WEIR_ENTRY_VERSION,
        .codec_max = CODEC_MAX,
        .n_changes = 1,
        .changes = &self_admin,
    };
    memcpy (settings.random, random->b, sizeof settings.random);
    memcpy (settings.database_name, name, strlen (name));
    weir_settings_put (out, &settings, true);
}

/* Signs the genesis into self->sealed. */
static void
make_genesis (struct weir_repo *self, struct weir_bytes payload, uint64_t now_ms,
              struct weir_run *run, struct weir_run_entry *entry)
{
    struct weir_id random = weir_repo_draw (self);
    struct weir_chain chain = { .author = self->identity->device,
                                .lane = weir_load_u64 (random.b) };
    struct weir_run_builder builder;
    weir_run_builder_init (&builder);
    weir_run_begin (&builder, &weir_id_zero, WEIR_ENTRY_GENESIS, &chain, 0, NULL, NULL, 0);
    weir_run_add (&builder, 0, now_ms, payload, &entry->id);
    entry->ops = 0;
    entry->clock_ms = now_ms;
    entry->payload = payload;
    *run = builder.head;
    weir_buf_clear (&self->sealed);
    weir_run_close (&builder, self->identity, &self->sealed);
    run->entries = entry;
    run->bytes = weir_buf_bytes (&self->sealed);
    weir_run_builder_fini (&builder);
}

enum weir_status
weir_repo_create (struct weir_repo *self, const char *name, uint64_t now_ms, struct weir_id *id,
                  struct weir_error *e)
{
    size_t len = strlen (name);
    if (len == 0 || !weir_settings_name_is_good (name)) {
        return weir_error_set (e, WEIR_INVALID_ARGUMENT, NULL,
                               "a database's name is 1 to %u bytes of UTF-8, without controls",
                               (unsigned) WEIR_NAME_BYTES_MAX);
    }
    enum weir_status status = weir_kv_status (self->kv);
    if (status != WEIR_OK) {
        return weir_error_set (e, status, NULL, "the disk cannot be written");
    }
    struct weir_id random = weir_repo_draw (self);
    struct weir_buf payload = { 0 };
    put_genesis (&payload, &random, &self->identity->device, name);
    struct weir_run run;
    struct weir_run_entry entry;
    make_genesis (self, weir_buf_bytes (&payload), now_ms, &run, &entry);
    struct weir_repo_db *db = NULL;
    status = weir_repo_db_new (self, &entry.id, WEIR_REPO_DB_LIVE, &db);
    if (status == WEIR_OK) {
        struct weir_repo_place place = { .branch = WEIR_REPO_NONE, .parent = WEIR_REPO_NONE };
        db->own_branch = weir_repo_run_store (self, db, &run, &place, &weir_id_zero);
        weir_repo_heads_advance (db, NULL, NULL, 0, &entry.id);
        weir_repo_tips_note (self, db, &run);
        *id = entry.id;
    } else {
        (void) weir_error_set (e, status, NULL, "cannot make another database");
    }
    weir_buf_fini (&payload);
    return status;
}

/* ---- commits ---- */

/* Each device once, names that may be: a settings entry that says otherwise changes nothing. */
static bool
changes_are_good (const struct weir_member_change *changes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (weir_id_is_zero (&changes[i].device) || (unsigned) changes[i].right >= WEIR_RIGHT_COUNT
            || !weir_settings_name_is_good (changes[i].name)) {
            return false;
        }
        for (size_t j = 0; j < i; j++) {
            if (weir_id_equal (&changes[i].device, &changes[j].device)) {
                return false;
            }
        }
    }
    return count > 0 && count <= WEIR_SETTINGS_CHANGES_MAX;
}

/* The database, when this device may write to it; or leave it, which readers may, too. */
static enum weir_status
writable (struct weir_repo *self, const struct weir_id *id, bool leaves, struct weir_repo_db **out,
          struct weir_error *e)
{
    struct weir_repo_db *db = NULL;
    enum weir_status status = weir_kv_status (self->kv);
    if (status != WEIR_OK) {
        return weir_error_set (e, status, NULL, "the disk cannot be written");
    }
    status = weir_repo_db_get (self, id, &db);
    if (status == WEIR_OK && db->state != WEIR_REPO_DB_LIVE) {
        status = WEIR_NOT_FOUND;
    }
    if (status != WEIR_OK) {
        return weir_error_set (e, status, NULL, "the database %s cannot be written",
                               weir_id_text (id).s);
    }
    weir_repo_rights_refresh (self, db);
    if (db->write_status != WEIR_OK && !(leaves && db->write_status == WEIR_NOT_ALLOWED)) {
        return weir_error_set (e, db->write_status, NULL,
                               "this device may not write to the database %s", weir_id_text (id).s);
    }
    if (db->write_status != WEIR_OK && db->n_heads > WEIR_ENTRY_DEPS_MAX) {
        /* One entry cannot name them all, and entries that merge them are for writers. */
        return weir_error_set (e, WEIR_LIMIT, "try again when a writer has merged them",
                               "the database %s has too many heads", weir_id_text (id).s);
    }
    *out = db;
    return WEIR_OK;
}

enum weir_status
weir_repo_commit (struct weir_repo *self, const struct weir_id *id, struct weir_bytes payload,
                  uint32_t ops, uint64_t now_ms, struct weir_id *entry, struct weir_error *e)
{
    struct weir_repo_db *db = NULL;
    enum weir_status status = writable (self, id, false, &db, e);
    if (status != WEIR_OK) {
        return status;
    }
    if (payload.len > WEIR_PAYLOAD_BYTES_MAX || ops > WEIR_ENTRY_OPS_MAX) {
        return weir_error_set (e, WEIR_TOO_LARGE, NULL, "a commit is at most %u bytes",
                               (unsigned) WEIR_PAYLOAD_BYTES_MAX);
    }
    open_run (self, db, WEIR_ENTRY_DATA, payload.len);
    struct weir_doc_entry facts = {
        .chain = db->builder.head.chain,
        .seq = db->builder.next_seq,
        .lamport = db->lamport,
        .ops = ops,
    };
    struct weir_id before = db->builder.tip;
    add_entry (self, db, ops, now_ms, payload, &facts.id);
    weir_repo_doc_commit (self, db, &facts, &before, payload);
    weir_repo_blobs_notice (self, db, payload);
    *entry = facts.id;
    weir_repo_flush_if_large (self);
    return WEIR_OK;
}

enum weir_status
weir_repo_change_members (struct weir_repo *self, const struct weir_id *id,
                          const struct weir_member_change *changes, size_t count, uint64_t now_ms,
                          struct weir_id *entry, struct weir_error *e)
{
    struct weir_repo_db *db = NULL;
    if (!changes_are_good (changes, count)) {
        return weir_error_set (e, WEIR_INVALID_ARGUMENT, NULL,
                               "1 to %u changes at a time, each of another device",
                               (unsigned) WEIR_SETTINGS_CHANGES_MAX);
    }
    const struct weir_id *me = &self->identity->device;
    bool leaves =
        count == 1 && changes[0].right == WEIR_RIGHT_NONE && weir_id_equal (&changes[0].device, me);
    enum weir_status status = writable (self, id, leaves, &db, e);
    for (size_t i = 0; status == WEIR_OK && i < count; i++) {
        status = weir_members_may_change (db->members, db->view, me, &changes[i], e);
    }
    if (status != WEIR_OK) {
        return status;
    }
    struct weir_member_change *copy = weir_alloc (count * sizeof *copy);
    memcpy (copy, changes, count * sizeof *copy);
    struct weir_settings settings = {
        /* Who leaves says nothing else: all members may store that. */
        .entry_version_max = leaves ? 0 : WEIR_ENTRY_VERSION,
        .codec_max = leaves ? 0 : CODEC_MAX,
        .n_changes = count,
        .changes = copy,
    };
    struct weir_buf payload = { 0 };
    weir_settings_put (&payload, &settings, false);
    open_run (self, db, WEIR_ENTRY_SETTINGS, payload.len);
    add_entry (self, db, 0, now_ms, weir_buf_bytes (&payload), entry);
    weir_repo_seal (self, db); /* the members change at once */
    weir_buf_fini (&payload);
    free (copy);
    return WEIR_OK;
}

/* ---- group commit ---- */

uint64_t
weir_repo_flush (struct weir_repo *self, uint64_t now_ms)
{
    self->now_ms = now_ms > self->now_ms ? now_ms : self->now_ms;
    for (size_t i = 0; i < self->n_dirty; i++) {
        weir_repo_seal (self, self->dirty[i]);
        weir_repo_db_put (self, self->dirty[i]);
    }
    self->n_dirty = 0;
    weir_repo_clients_put (self);
    if (!self->batch_used) {
        return self->last_batch;
    }
    self->last_batch = weir_kv_write (self->kv, &self->batch);
    self->batch = weir_kv_batch_new ();
    self->batch_used = false;
    self->state_dirty = false;
    weir_grow (&self->markers, &self->cap_markers, self->n_markers + 1, sizeof self->markers[0]);
    self->markers[self->n_markers++] =
        (struct weir_repo_marker){ .batch = self->last_batch, .position = self->position };
    weir_repo_tips_flushed (self, self->last_batch);
    return self->last_batch;
}

void
weir_repo_flush_if_large (struct weir_repo *self)
{
    if (weir_kv_batch_bytes (self->batch) > BATCH_BYTES_MAX) {
        (void) weir_repo_flush (self, self->now_ms);
    }
}

void
weir_repo_on_synced (struct weir_repo *self)
{
    uint64_t batch = weir_kv_synced (self->kv);
    weir_repo_tips_synced (self, batch);
    size_t done = 0;
    while (done < self->n_markers && self->markers[done].batch <= batch) {
        self->synced_position = self->markers[done].position;
        done++;
    }
    self->n_markers -= done;
    if (self->n_markers > 0 && done > 0) {
        memmove (self->markers, self->markers + done, self->n_markers * sizeof self->markers[0]);
    }
}
