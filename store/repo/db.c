/* The state in memory of one database: branches, heads, vector, settings, counters; read from its
 * rows when first asked for, and put back when a flush finds it changed. Everything here can be
 * computed again from the runs (repo_check.c does). */

#include "store/repo/parts.h"

#include <stdlib.h>
#include <string.h>

#define CHAIN_KEY_BYTES (WEIR_ID_BYTES + 8u)

/* ---- rows ---- */

void
weir_repo_put (struct weir_repo *self, const struct weir_repo_key *key, struct weir_bytes value)
{
    weir_kv_put (self->batch, weir_repo_key_bytes (key), value);
    self->batch_used = true;
}

void
weir_repo_delete (struct weir_repo *self, const struct weir_repo_key *key)
{
    weir_kv_delete (self->batch, weir_repo_key_bytes (key));
    self->batch_used = true;
}

void
weir_repo_settle (struct weir_repo *self)
{
    if (self->batch_used || self->n_dirty > 0) {
        (void) weir_repo_flush (self, self->now_ms);
    }
}

void
weir_repo_db_mark (struct weir_repo *self, struct weir_repo_db *db)
{
    if (db->dirty) {
        return;
    }
    weir_grow (&self->dirty, &self->cap_dirty, self->n_dirty + 1, sizeof self->dirty[0]);
    self->dirty[self->n_dirty++] = db;
    db->dirty = true;
}

static void
put_view (struct weir_buf *out, const struct weir_repo_db *db, uint32_t view)
{
    weir_members_view_put (db->members, view, out);
}

static void
put_branch (struct weir_repo *self, const struct weir_repo_db *db, uint32_t number)
{
    const struct weir_repo_branch *b = &db->branches[number];
    struct weir_buf *row = &self->row;
    weir_buf_clear (row);
    weir_buf_put (row, b->chain.author.b, WEIR_ID_BYTES);
    weir_buf_put_u64 (row, b->chain.lane);
    weir_buf_put_u32 (row, b->parent);
    weir_buf_put_varint (row, b->first_seq);
    weir_buf_put_varint (row, b->count);
    weir_buf_put (row, b->first.b, WEIR_ID_BYTES);
    weir_buf_put (row, b->tip.b, WEIR_ID_BYTES);
    weir_buf_put_varint (row, b->lamport);
    weir_buf_put_varint (row, b->run_seq);
    weir_buf_put_varint (row, b->position);
    put_view (row, db, b->view);
    struct weir_repo_key key = weir_repo_key_db_u32 (WEIR_REPO_TABLE_BRANCH, db->number, number);
    weir_repo_put (self, &key, weir_buf_bytes (row));
}

void
weir_repo_db_put (struct weir_repo *self, struct weir_repo_db *db)
{
    for (uint32_t i = 0; i < db->n_branches; i++) {
        if (db->branches[i].dirty) {
            put_branch (self, db, i);
            db->branches[i].dirty = false;
        }
    }
    struct weir_buf *row = &self->row;
    weir_buf_clear (row);
    weir_buf_put_varint (row, db->entries);
    weir_buf_put_varint (row, db->bytes);
    weir_buf_put_varint (row, db->refused);
    weir_buf_put_varint (row, db->inert);
    weir_buf_put_varint (row, db->inert_newer);
    weir_buf_put_varint (row, db->inert_position);
    weir_buf_put_varint (row, db->position);
    weir_buf_put_u32 (row, db->own_branch);
    weir_buf_put_varint (row, db->n_heads);
    for (size_t i = 0; i < db->n_heads; i++) {
        weir_buf_put (row, db->heads[i].b, WEIR_ID_BYTES);
    }
    struct weir_repo_key key = weir_repo_key_db (WEIR_REPO_TABLE_SUMMARY, db->number);
    weir_repo_put (self, &key, weir_buf_bytes (row));
    db->dirty = false;
}

/* ---- loading ---- */

static void
chain_key (uint8_t key[CHAIN_KEY_BYTES], const struct weir_chain *chain)
{
    memcpy (key, chain->author.b, WEIR_ID_BYTES);
    weir_store_u64 (key + WEIR_ID_BYTES, chain->lane);
}

static void *
number_value (uint32_t number)
{
    return (void *) ((uintptr_t) number + 1);
}

static uint32_t
value_number (const void *value)
{
    return value == NULL ? WEIR_REPO_NONE : (uint32_t) ((uintptr_t) value - 1);
}

static void
read_id (struct weir_reader *r, struct weir_id *id)
{
    struct weir_bytes b = weir_read_bytes (r, WEIR_ID_BYTES);
    if (b.len == WEIR_ID_BYTES) {
        memcpy (id->b, b.data, WEIR_ID_BYTES);
    }
}

/* Appends a branch that begins where it ends; the vector gets its row when it advances. */
static uint32_t
branch_add (struct weir_repo_db *db, const struct weir_repo_branch *branch)
{
    weir_assert (db->n_branches < WEIR_REPO_NONE);
    uint32_t number = (uint32_t) db->n_branches;
    weir_grow (&db->branches, &db->cap_branches, db->n_branches + 1, sizeof db->branches[0]);
    db->branches[number] = *branch;
    db->branches[number].next = WEIR_REPO_NONE;
    db->n_branches++;
    uint32_t first = weir_repo_chain (db, &branch->chain);
    if (first == WEIR_REPO_NONE) {
        uint8_t key[CHAIN_KEY_BYTES];
        chain_key (key, &branch->chain);
        (void) weir_map_put (db->chains, weir_bytes (key, sizeof key), number_value (number));
    } else {
        while (db->branches[first].next != WEIR_REPO_NONE) {
            first = db->branches[first].next;
        }
        db->branches[first].next = number;
    }
    return number;
}

static enum weir_status
load_branch (struct weir_repo_db *db, struct weir_bytes key, struct weir_bytes value)
{
    struct weir_reader r = weir_reader (value);
    struct weir_repo_branch b = { .dirty = false };
    read_id (&r, &b.chain.author);
    b.chain.lane = weir_read_u64 (&r);
    b.parent = weir_read_u32 (&r);
    b.first_seq = weir_read_varint (&r);
    b.count = weir_read_varint (&r);
    read_id (&r, &b.first);
    read_id (&r, &b.tip);
    b.lamport = weir_read_varint (&r);
    b.run_seq = weir_read_varint (&r);
    b.position = weir_read_varint (&r);
    if (weir_members_view_get (db->members, &b.view, &r) != WEIR_OK || !weir_reader_done (&r)
        || key.len != 9 || weir_load_u32 (key.data + 5) != db->n_branches
        || (b.parent != WEIR_REPO_NONE && b.parent >= db->n_branches) || b.count <= b.first_seq) {
        return WEIR_CORRUPT;
    }
    uint32_t number = branch_add (db, &b);
    (void) weir_map_put (db->tips, weir_id_bytes (&b.tip), number_value (number));
    struct weir_row row = { .chain = b.chain, .count = b.count, .tip = b.tip };
    weir_vector_put (&db->vector, &row);
    db->lamport = b.lamport > db->lamport ? b.lamport : db->lamport;
    return WEIR_OK;
}

static enum weir_status
load_settings (struct weir_repo *self, struct weir_repo_db *db, struct weir_bytes key,
               struct weir_bytes value)
{
    struct weir_reader r = weir_reader (value);
    struct weir_id entry = weir_id_zero;
    struct weir_chain chain = { .lane = 0 };
    uint32_t view = 0;
    read_id (&r, &entry);
    read_id (&r, &chain.author);
    chain.lane = weir_read_u64 (&r);
    bool genesis = weir_read_u8 (&r) == 1;
    struct weir_bytes payload = weir_read_blob (&r, WEIR_PAYLOAD_BYTES_MAX);
    if (weir_members_view_get (db->members, &view, &r) != WEIR_OK || !weir_reader_done (&r)
        || key.len != 9 || weir_load_u32 (key.data + 5) != db->n_settings) {
        return WEIR_CORRUPT;
    }
    uint32_t behind =
        weir_repo_settings_add (self, db, &entry, &chain, view, genesis, payload, false);
    db->view = weir_members_join (db->members, (uint32_t[]){ db->view, behind }, 2);
    return WEIR_OK;
}

static enum weir_status
load_summary (struct weir_repo *self, struct weir_repo_db *db)
{
    struct weir_repo_key key = weir_repo_key_db (WEIR_REPO_TABLE_SUMMARY, db->number);
    weir_buf_clear (&self->record);
    enum weir_status status = weir_kv_get (self->kv, weir_repo_key_bytes (&key), &self->record);
    if (status == WEIR_NOT_FOUND) {
        return db->n_branches == 0 ? WEIR_OK : WEIR_CORRUPT;
    }
    if (status != WEIR_OK) {
        return status;
    }
    struct weir_reader r = weir_reader (weir_buf_bytes (&self->record));
    db->entries = weir_read_varint (&r);
    db->bytes = weir_read_varint (&r);
    db->refused = weir_read_varint (&r);
    db->inert = weir_read_varint (&r);
    db->inert_newer = weir_read_varint (&r);
    db->inert_position = weir_read_varint (&r);
    db->position = weir_read_varint (&r);
    db->own_branch = weir_read_u32 (&r);
    uint64_t n_heads = weir_read_varint (&r);
    if (r.bad || n_heads != weir_reader_left (&r) / WEIR_ID_BYTES
        || (db->own_branch != WEIR_REPO_NONE && db->own_branch >= db->n_branches)) {
        return WEIR_CORRUPT;
    }
    db->n_heads = (size_t) n_heads;
    weir_grow (&db->heads, &db->cap_heads, db->n_heads, sizeof db->heads[0]);
    for (size_t i = 0; i < db->n_heads; i++) {
        read_id (&r, &db->heads[i]);
    }
    return weir_reader_done (&r) ? WEIR_OK : WEIR_CORRUPT;
}

static enum weir_status
load_table (struct weir_repo *self, struct weir_repo_db *db, enum weir_repo_table table)
{
    struct weir_repo_key from = weir_repo_key_db (table, db->number);
    struct weir_repo_key to = weir_repo_key_after (&from);
    struct weir_kv_iter *iter =
        weir_kv_iter_new (self->kv, weir_repo_key_bytes (&from), weir_repo_key_bytes (&to), false);
    struct weir_bytes key;
    struct weir_bytes value;
    enum weir_status status = WEIR_OK;
    while (status == WEIR_OK && weir_kv_iter_next (iter, &key, &value)) {
        status = table == WEIR_REPO_TABLE_BRANCH ? load_branch (db, key, value)
                                                 : load_settings (self, db, key, value);
    }
    if (status == WEIR_OK) {
        status = weir_kv_iter_status (iter);
    }
    weir_kv_iter_destroy (&iter);
    return status;
}

/* Where the document's snapshot stands; the document itself is loaded when asked for. */
static enum weir_status
load_snapshot (struct weir_repo *self, struct weir_repo_db *db)
{
    struct weir_repo_key key = weir_repo_key_db (WEIR_REPO_TABLE_SNAPSHOT, db->number);
    weir_buf_clear (&self->record);
    enum weir_status status = weir_kv_get (self->kv, weir_repo_key_bytes (&key), &self->record);
    if (status != WEIR_OK) {
        return status == WEIR_NOT_FOUND ? WEIR_OK : status;
    }
    struct weir_reader r = weir_reader (weir_buf_bytes (&self->record));
    db->snapshot_position = weir_read_u64 (&r);
    db->snapshot_generation = weir_read_u32 (&r);
    (void) weir_read_u32 (&r);
    db->snapshot_bytes = weir_read_u64 (&r);
    return weir_reader_done (&r) ? WEIR_OK : WEIR_CORRUPT;
}

static void
init_state (struct weir_repo_db *db)
{
    db->chains = weir_map_new ();
    db->tips = weir_map_new ();
    db->members = weir_members_new ();
    db->own_branch = WEIR_REPO_NONE;
    db->right_view = WEIR_REPO_NONE;
    weir_run_builder_init (&db->builder);
}

/* Frees what init_state and loading made; `id`, `number`, `state`, `told` stay. */
static void
fini_state (struct weir_repo_db *db)
{
    free (db->branches);
    weir_map_destroy (&db->chains, NULL);
    weir_map_destroy (&db->tips, NULL);
    weir_vector_fini (&db->vector);
    free (db->heads);
    weir_members_destroy (&db->members);
    free (db->settings);
    weir_run_builder_fini (&db->builder);
    free (db->open_entries);
    weir_buf_fini (&db->open_inert);
    weir_doc_destroy (&db->doc);
    weir_repo_counters_destroy (&db->counters);
    weir_repo_blobs_destroy (&db->blobs);
    *db = (struct weir_repo_db){
        .id = db->id, .number = db->number, .state = db->state, .told = db->told
    };
}

enum weir_status
weir_repo_db_load (struct weir_repo *self, struct weir_repo_db *db)
{
    if (db->loaded) {
        return WEIR_OK;
    }
    init_state (db);
    enum weir_status status = load_table (self, db, WEIR_REPO_TABLE_SETTINGS);
    if (status == WEIR_OK) {
        status = load_table (self, db, WEIR_REPO_TABLE_BRANCH);
    }
    if (status == WEIR_OK) {
        status = load_summary (self, db);
    }
    if (status == WEIR_OK) {
        status = load_snapshot (self, db);
    }
    if (status == WEIR_OK) {
        status = weir_repo_blobs_load (self, db);
    }
    if (status == WEIR_OK) {
        status = weir_repo_tips_check (self, db);
    }
    if (status == WEIR_OK) {
        status = weir_repo_pending_load (self, db);
    }
    if (status != WEIR_OK) {
        weir_repo_pending_drop (self, db);
        fini_state (db);
        return status;
    }
    db->loaded = true;
    return WEIR_OK;
}

void
weir_repo_db_destroy (struct weir_repo_db **db_p)
{
    struct weir_repo_db *db = *db_p;
    if (db == NULL) {
        return;
    }
    fini_state (db);
    free (db);
    *db_p = NULL;
}

/* ---- branches and heads ---- */

uint32_t
weir_repo_chain (const struct weir_repo_db *db, const struct weir_chain *chain)
{
    uint8_t key[CHAIN_KEY_BYTES];
    chain_key (key, chain);
    return value_number (weir_map_get (db->chains, weir_bytes (key, sizeof key)));
}

uint32_t
weir_repo_branch_new (struct weir_repo_db *db, const struct weir_chain *chain, uint32_t parent,
                      uint64_t first_seq, const struct weir_id *first)
{
    struct weir_repo_branch branch = {
        .chain = *chain,
        .parent = parent,
        .first_seq = first_seq,
        .count = first_seq,
        .first = *first,
    };
    return branch_add (db, &branch);
}

void
weir_repo_branch_advance (struct weir_repo_db *db, uint32_t branch, uint64_t count,
                          const struct weir_id *tip)
{
    struct weir_repo_branch *b = &db->branches[branch];
    struct weir_row row = { .chain = b->chain, .count = count, .tip = *tip };
    if (b->count == b->first_seq) {
        weir_vector_put (&db->vector, &row);
    } else {
        weir_vector_advance (&db->vector, &b->tip, &row);
        (void) weir_map_remove (db->tips, weir_id_bytes (&b->tip));
    }
    (void) weir_map_put (db->tips, weir_id_bytes (tip), number_value (branch));
    b->count = count;
    b->tip = *tip;
    b->dirty = true;
}

/* Where `id` is among the sorted heads, or should be. */
static size_t
head_place (const struct weir_repo_db *db, const struct weir_id *id)
{
    size_t low = 0;
    size_t high = db->n_heads;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (weir_id_compare (&db->heads[middle], id) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void
head_remove (struct weir_repo_db *db, const struct weir_id *id)
{
    size_t i = head_place (db, id);
    if (i < db->n_heads && weir_id_equal (&db->heads[i], id)) {
        memmove (&db->heads[i], &db->heads[i + 1], (db->n_heads - i - 1) * sizeof db->heads[0]);
        db->n_heads--;
    }
}

void
weir_repo_heads_advance (struct weir_repo_db *db, const struct weir_id *prev,
                         const struct weir_id *deps, size_t n_deps, const struct weir_id *tip)
{
    if (prev != NULL) {
        head_remove (db, prev);
    }
    for (size_t i = 0; i < n_deps; i++) {
        head_remove (db, &deps[i]);
    }
    size_t i = head_place (db, tip);
    weir_grow (&db->heads, &db->cap_heads, db->n_heads + 1, sizeof db->heads[0]);
    memmove (&db->heads[i + 1], &db->heads[i], (db->n_heads - i) * sizeof db->heads[0]);
    db->heads[i] = *tip;
    db->n_heads++;
}

/* ---- settings ---- */

uint32_t
weir_repo_settings_add (struct weir_repo *self, struct weir_repo_db *db,
                        const struct weir_id *entry, const struct weir_chain *chain, uint32_t view,
                        bool genesis, struct weir_bytes payload, bool put)
{
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    struct weir_settings settings;
    bool good = weir_settings_get (&settings, arena, payload, genesis) == WEIR_OK;
    uint32_t ordinal = weir_members_add (db->members, entry, chain, view, good ? &settings : NULL);
    weir_assert (ordinal == db->n_settings);
    weir_grow (&db->settings, &db->cap_settings, db->n_settings + 1, sizeof db->settings[0]);
    db->settings[db->n_settings++] = (struct weir_repo_settings){
        .entry = *entry,
        .view = view,
        .entry_version_max = good ? settings.entry_version_max : 0,
        .codec_max = good ? settings.codec_max : 0,
    };
    weir_arena_destroy (&arena);
    if (put) {
        struct weir_buf *row = &self->row;
        weir_buf_clear (row);
        weir_buf_put (row, entry->b, WEIR_ID_BYTES);
        weir_buf_put (row, chain->author.b, WEIR_ID_BYTES);
        weir_buf_put_u64 (row, chain->lane);
        weir_buf_put_u8 (row, genesis ? 1 : 0);
        weir_buf_put_blob (row, payload);
        put_view (row, db, view);
        struct weir_repo_key key =
            weir_repo_key_db_u32 (WEIR_REPO_TABLE_SETTINGS, db->number, ordinal);
        weir_repo_put (self, &key, weir_buf_bytes (row));
    }
    return weir_members_with (db->members, view, ordinal);
}

void
weir_repo_view_grow (struct weir_repo *self, struct weir_repo_db *db, uint32_t view)
{
    uint32_t joined = weir_members_join (db->members, (uint32_t[]){ db->view, view }, 2);
    if (joined != db->view) {
        db->view = joined;
        self->members_epoch++;
    }
}

/* ---- where entries are ---- */

enum weir_status
weir_repo_find (struct weir_repo *self, struct weir_repo_db *db, const struct weir_id *id,
                struct weir_repo_spot *spot)
{
    uint32_t branch = value_number (weir_map_get (db->tips, weir_id_bytes (id)));
    if (branch != WEIR_REPO_NONE) {
        *spot = (struct weir_repo_spot){ .branch = branch,
                                         .run_seq = db->branches[branch].run_seq,
                                         .seq = db->branches[branch].count - 1 };
        return WEIR_OK;
    }
    weir_repo_settle (self);
    struct weir_repo_key key = weir_repo_key_db_id (WEIR_REPO_TABLE_ENTRY, db->number, id);
    weir_buf_clear (&self->record);
    enum weir_status status = weir_kv_get (self->kv, weir_repo_key_bytes (&key), &self->record);
    if (status != WEIR_OK) {
        return status;
    }
    struct weir_reader r = weir_reader (weir_buf_bytes (&self->record));
    uint64_t number = weir_read_varint (&r);
    spot->run_seq = weir_read_varint (&r);
    spot->seq = spot->run_seq + weir_read_varint (&r);
    if (!weir_reader_done (&r) || number >= db->n_branches) {
        return WEIR_CORRUPT;
    }
    spot->branch = (uint32_t) number;
    return WEIR_OK;
}
