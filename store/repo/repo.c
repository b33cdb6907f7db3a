/* Opens and closes the repository, and keeps the registry of databases: what is held, expected or
 * being forgotten. The state of each is in repo_db.c, loaded when first asked for. */

#include "store/repo/parts.h"

#include <stdlib.h>
#include <string.h>

#define DOCUMENTS_BYTES_DEFAULT ((size_t) 256 << 20)
/* Some tens of milliseconds. */
#define DOCUMENT_STEPS_DEFAULT (4u << 20)

/* ---- randomness, rows of the registry ---- */

struct weir_id
weir_repo_draw (struct weir_repo *self)
{
    uint8_t counter[8];
    weir_store_u64 (counter, self->draws++);
    return weir_hash (WEIR_DOMAIN_CHECK, weir_bytes (self->seed, sizeof self->seed),
                      weir_bytes (counter, sizeof counter));
}

void
weir_repo_put_layout (struct weir_repo *self)
{
    struct weir_buf *row = &self->row;
    weir_buf_clear (row);
    weir_buf_put_u32 (row, WEIR_LAYOUT_VERSION);
    weir_buf_put_u64 (row, self->epoch);
    weir_buf_put (row, self->identity->device.b, WEIR_ID_BYTES);
    weir_buf_put_u32 (row, self->next_db);
    weir_buf_put_u64 (row, self->position);
    struct weir_repo_key key = weir_repo_key (WEIR_REPO_TABLE_LAYOUT);
    weir_repo_put (self, &key, weir_buf_bytes (row));
}

void
weir_repo_put_database (struct weir_repo *self, const struct weir_repo_db *db)
{
    struct weir_buf *row = &self->row;
    weir_buf_clear (row);
    weir_buf_put (row, db->id.b, WEIR_ID_BYTES);
    weir_buf_put_u8 (row, (uint8_t) db->state);
    struct weir_repo_key key = weir_repo_key_db (WEIR_REPO_TABLE_DATABASE, db->number);
    weir_repo_put (self, &key, weir_buf_bytes (row));
}

/* ---- opening ---- */

enum weir_status
weir_repo_layout_load (struct weir_repo *self, struct weir_error *e)
{
    struct weir_repo_key key = weir_repo_key (WEIR_REPO_TABLE_LAYOUT);
    weir_buf_clear (&self->record);
    enum weir_status status = weir_kv_get (self->kv, weir_repo_key_bytes (&key), &self->record);
    if (status == WEIR_NOT_FOUND) {
        struct weir_kv_iter *iter =
            weir_kv_iter_new (self->kv, weir_bytes (NULL, 0), weir_bytes (NULL, 0), false);
        struct weir_bytes any_key;
        struct weir_bytes any_value;
        bool any = weir_kv_iter_next (iter, &any_key, &any_value);
        enum weir_status read = weir_kv_iter_status (iter);
        weir_kv_iter_destroy (&iter);
        if (read != WEIR_OK) {
            return weir_error_set (e, read, NULL, "cannot read the data");
        }
        return any ? weir_error_set (e, WEIR_CORRUPT, NULL, "the data have no layout row")
                   : WEIR_NOT_FOUND;
    }
    if (status != WEIR_OK) {
        return weir_error_set (e, status, NULL, "cannot read the layout of the data");
    }
    struct weir_reader r = weir_reader (weir_buf_bytes (&self->record));
    uint32_t version = weir_read_u32 (&r);
    if (!r.bad && version > WEIR_LAYOUT_VERSION) {
        return weir_error_set (e, WEIR_NEWER_LAYOUT, NULL,
                               "the data have layout %u, this weir knows %u", (unsigned) version,
                               (unsigned) WEIR_LAYOUT_VERSION);
    }
    self->epoch = weir_read_u64 (&r);
    struct weir_id device = weir_id_zero;
    struct weir_bytes id = weir_read_bytes (&r, WEIR_ID_BYTES);
    self->next_db = weir_read_u32 (&r);
    self->position = weir_read_u64 (&r);
    if (!weir_reader_done (&r) || version == 0 || weir_id_from_bytes (&device, id) != WEIR_OK) {
        return weir_error_set (e, WEIR_CORRUPT, NULL, "the layout of the data cannot be read");
    }
    if (!weir_id_equal (&device, &self->identity->device)) {
        return weir_error_set (e, WEIR_WRONG_DEVICE,
                               "use the key these data were made with, or another --data",
                               "the data belong to the device %s", weir_id_text (&device).s);
    }
    return WEIR_OK;
}

/* Where `id` is in self->dbs, or should be. */
static size_t
db_place (const struct weir_repo *self, const struct weir_id *id)
{
    size_t low = 0;
    size_t high = self->n_dbs;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (weir_id_compare (&self->dbs[middle]->id, id) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct weir_repo_db *
weir_repo_db_find (const struct weir_repo *self, const struct weir_id *id)
{
    size_t i = db_place (self, id);
    return i < self->n_dbs && weir_id_equal (&self->dbs[i]->id, id) ? self->dbs[i] : NULL;
}

static struct weir_repo_db *
db_insert (struct weir_repo *self, const struct weir_id *id, uint32_t number,
           enum weir_repo_db_state state)
{
    struct weir_repo_db *db = weir_alloc (sizeof *db);
    db->id = *id;
    db->number = number;
    db->state = state;
    size_t i = db_place (self, id);
    weir_grow (&self->dbs, &self->cap_dbs, self->n_dbs + 1, sizeof self->dbs[0]);
    memmove (&self->dbs[i + 1], &self->dbs[i], (self->n_dbs - i) * sizeof self->dbs[0]);
    self->dbs[i] = db;
    self->n_dbs++;
    weir_grow (&self->by_number, &self->cap_numbers, (size_t) number + 1,
               sizeof self->by_number[0]);
    while (self->n_numbers <= number) {
        self->by_number[self->n_numbers++] = NULL;
    }
    self->by_number[number] = db;
    return db;
}

static void
forgotten_add (struct weir_repo *self, uint32_t number)
{
    weir_grow (&self->forgotten, &self->cap_forgotten, self->n_forgotten + 1,
               sizeof self->forgotten[0]);
    self->forgotten[self->n_forgotten++] = number;
}

static enum weir_status
load_database (struct weir_repo *self, struct weir_bytes key, struct weir_bytes value)
{
    struct weir_reader r = weir_reader (value);
    struct weir_id id = weir_id_zero;
    struct weir_bytes b = weir_read_bytes (&r, WEIR_ID_BYTES);
    uint8_t state = weir_read_u8 (&r);
    if (key.len != 5 || !weir_reader_done (&r) || weir_id_from_bytes (&id, b) != WEIR_OK
        || state < WEIR_REPO_DB_LIVE || state > WEIR_REPO_DB_FORGOTTEN) {
        return WEIR_CORRUPT;
    }
    uint32_t number = weir_load_u32 (key.data + 1);
    if (number >= self->next_db) {
        return WEIR_CORRUPT;
    }
    if (state == WEIR_REPO_DB_FORGOTTEN) {
        forgotten_add (self, number);
    } else if (weir_repo_db_find (self, &id) != NULL) {
        return WEIR_CORRUPT;
    } else {
        (void) db_insert (self, &id, number, (enum weir_repo_db_state) state);
    }
    return WEIR_OK;
}

static enum weir_status
load_registry (struct weir_repo *self)
{
    struct weir_repo_key from = weir_repo_key (WEIR_REPO_TABLE_DATABASE);
    struct weir_repo_key to = weir_repo_key_after (&from);
    struct weir_kv_iter *iter =
        weir_kv_iter_new (self->kv, weir_repo_key_bytes (&from), weir_repo_key_bytes (&to), false);
    struct weir_bytes key;
    struct weir_bytes value;
    enum weir_status status = WEIR_OK;
    while (status == WEIR_OK && weir_kv_iter_next (iter, &key, &value)) {
        status = load_database (self, key, value);
    }
    if (status == WEIR_OK) {
        status = weir_kv_iter_status (iter);
    }
    weir_kv_iter_destroy (&iter);
    return status;
}

/* The last position given out; all that is there at the start counts as synced. */
static enum weir_status
load_position (struct weir_repo *self)
{
    struct weir_repo_key from = weir_repo_key (WEIR_REPO_TABLE_LOG);
    struct weir_repo_key to = weir_repo_key_after (&from);
    struct weir_kv_iter *iter =
        weir_kv_iter_new (self->kv, weir_repo_key_bytes (&from), weir_repo_key_bytes (&to), true);
    struct weir_bytes key;
    struct weir_bytes value;
    enum weir_status status = WEIR_OK;
    if (weir_kv_iter_next (iter, &key, &value)) {
        uint64_t last = key.len == 9 ? weir_load_u64 (key.data + 1) : 0;
        self->position = last > self->position ? last : self->position;
        status = key.len == 9 ? WEIR_OK : WEIR_CORRUPT;
    }
    if (status == WEIR_OK) {
        status = weir_kv_iter_status (iter);
    }
    weir_kv_iter_destroy (&iter);
    self->synced_position = self->position;
    return status;
}

void
weir_repo_begin_anew (struct weir_repo *self, uint32_t next_db, uint64_t position)
{
    struct weir_id random = weir_repo_draw (self);
    self->epoch = weir_load_u64 (random.b) | 1u;
    self->next_db = next_db;
    self->position = position;
    self->synced_position = position;
    weir_repo_put_layout (self);
}

static enum weir_status
load_all (struct weir_repo *self, struct weir_error *e)
{
    enum weir_status status = weir_repo_layout_load (self, e);
    if (status == WEIR_NOT_FOUND) {
        weir_repo_begin_anew (self, 1, 0);
        (void) weir_repo_flush (self, 0);
        return WEIR_OK;
    }
    if (status != WEIR_OK) {
        return status;
    }
    status = load_registry (self);
    if (status == WEIR_OK) {
        status = load_position (self);
    }
    if (status == WEIR_OK) {
        status = weir_repo_clients_load (self);
    }
    if (status == WEIR_OK) {
        status = weir_repo_tips_load (self);
    }
    if (status != WEIR_OK) {
        return weir_error_set (e, status, NULL, "the repository cannot be read");
    }
    return WEIR_OK;
}

struct weir_repo *
weir_repo_blank (const struct weir_repo_options *options)
{
    struct weir_repo *self = weir_alloc (sizeof *self);
    self->kv = options->kv;
    self->tips = options->tips;
    self->identity = options->identity;
    memcpy (self->seed, options->seed, sizeof self->seed);
    self->documents_bytes_max =
        options->documents_bytes_max == 0 ? DOCUMENTS_BYTES_DEFAULT : options->documents_bytes_max;
    self->document_steps =
        options->document_steps == 0 ? DOCUMENT_STEPS_DEFAULT : options->document_steps;
    self->blob_keep_ms =
        options->blob_keep_ms == 0 ? WEIR_BLOB_KEEP_SECS * 1000ull : options->blob_keep_ms;
    self->blob_upload_keep_ms =
        options->blob_upload_keep_ms == 0 ? WEIR_BLOB_UPLOAD_KEEP_MS : options->blob_upload_keep_ms;
    self->members_epoch = 1;
    self->batch = weir_kv_batch_new ();
    self->arena = weir_arena_new (WEIR_REPO_ARENA_BYTES_MAX);
    self->arena_read = weir_arena_new (WEIR_REPO_ARENA_BYTES_MAX);
    self->pending = weir_repo_pending_new ();
    self->budget = weir_repo_budget_new ();
    self->clients = weir_repo_clients_new ();
    return self;
}

enum weir_status
weir_repo_open (struct weir_repo **out, const struct weir_repo_options *options,
                struct weir_error *e)
{
    struct weir_repo *self = weir_repo_blank (options);
    enum weir_status status = load_all (self, e);
    if (status != WEIR_OK) {
        weir_repo_close (&self);
        return status;
    }
    *out = self;
    return WEIR_OK;
}

void
weir_repo_close (struct weir_repo **self_p)
{
    struct weir_repo *self = *self_p;
    if (self == NULL) {
        return;
    }
    for (size_t i = 0; i < self->n_dbs; i++) {
        weir_repo_db_destroy (&self->dbs[i]);
    }
    free (self->dbs);
    free (self->by_number);
    free (self->forgotten);
    weir_kv_batch_destroy (&self->batch);
    free (self->dirty);
    free (self->markers);
    free (self->told);
    weir_repo_pending_destroy (&self->pending);
    weir_repo_budget_destroy (&self->budget);
    weir_repo_clients_destroy (&self->clients);
    weir_arena_destroy (&self->arena);
    weir_arena_destroy (&self->arena_read);
    weir_buf_fini (&self->imported_cut);
    weir_buf_fini (&self->row);
    weir_buf_fini (&self->record);
    weir_buf_fini (&self->sealed);
    weir_wipe (self->seed, sizeof self->seed);
    free (self);
    *self_p = NULL;
}

uint64_t
weir_repo_epoch (const struct weir_repo *self)
{
    return self->epoch;
}

/* ---- databases ---- */

enum weir_status
weir_repo_db_get (struct weir_repo *self, const struct weir_id *id, struct weir_repo_db **out)
{
    struct weir_repo_db *db = self->last_db;
    if (db == NULL || !weir_id_equal (&db->id, id)) {
        db = weir_repo_db_find (self, id);
        if (db == NULL) {
            return WEIR_NOT_FOUND;
        }
    }
    enum weir_status status = weir_repo_db_load (self, db);
    if (status != WEIR_OK) {
        return status;
    }
    self->last_db = db;
    *out = db;
    return WEIR_OK;
}

struct weir_repo_db *
weir_repo_db_by_number (struct weir_repo *self, uint32_t number)
{
    return number < self->n_numbers ? self->by_number[number] : NULL;
}

enum weir_status
weir_repo_db_new (struct weir_repo *self, const struct weir_id *id, enum weir_repo_db_state state,
                  struct weir_repo_db **out)
{
    if (self->n_dbs >= WEIR_DATABASES_MAX) {
        return WEIR_LIMIT;
    }
    struct weir_repo_db *db = db_insert (self, id, self->next_db++, state);
    weir_repo_put_layout (self);
    weir_repo_put_database (self, db);
    enum weir_status status = weir_repo_db_load (self, db);
    if (status == WEIR_OK) {
        *out = db;
    }
    return status;
}

enum weir_status
weir_repo_expect (struct weir_repo *self, const struct weir_id *id)
{
    if (weir_repo_db_find (self, id) != NULL) {
        return WEIR_OK;
    }
    enum weir_status status = weir_kv_status (self->kv);
    struct weir_repo_db *db = NULL;
    return status != WEIR_OK ? status : weir_repo_db_new (self, id, WEIR_REPO_DB_JOINING, &db);
}

enum weir_status
weir_repo_forget (struct weir_repo *self, const struct weir_id *id)
{
    size_t i = db_place (self, id);
    struct weir_repo_db *db = weir_repo_db_find (self, id);
    if (db == NULL) {
        return WEIR_NOT_FOUND;
    }
    weir_repo_settle (self);
    weir_repo_pending_drop (self, db);
    weir_repo_doc_drop (self, db);
    db->state = WEIR_REPO_DB_FORGOTTEN;
    weir_repo_put_database (self, db);
    weir_repo_put_layout (self); /* with the position, since the log's last row may go now */
    forgotten_add (self, db->number);
    self->tips_dirty = self->tips_dirty || db->told.known;
    self->last_db = NULL;
    self->members_epoch++;
    memmove (&self->dbs[i], &self->dbs[i + 1], (self->n_dbs - i - 1) * sizeof self->dbs[0]);
    self->n_dbs--;
    self->by_number[db->number] = NULL;
    weir_repo_db_destroy (&db);
    return WEIR_OK;
}

const struct weir_id *
weir_repo_heads (struct weir_repo *self, const struct weir_id *id, size_t *count)
{
    struct weir_repo_db *db = NULL;
    if (weir_repo_db_get (self, id, &db) != WEIR_OK) {
        *count = 0;
        return NULL;
    }
    *count = db->n_heads;
    return db->heads;
}

static void
fill_info (struct weir_repo *self, struct weir_repo_db *db, struct weir_db_info *info)
{
    memset (info, 0, sizeof *info);
    info->id = db->id;
    info->joining = db->state == WEIR_REPO_DB_JOINING;
    if (!info->joining) {
        const char *name = weir_members_database_name (db->members, db->view);
        size_t len = strnlen (name, WEIR_NAME_BYTES_MAX);
        memcpy (info->name, name, len);
    }
    weir_repo_rights_refresh (self, db);
    info->right = weir_members_right (db->members, db->view, &self->identity->device);
    info->entries = db->entries;
    info->bytes = db->bytes;
    info->pending_runs = db->pending_runs;
    info->refused_runs = db->refused;
    info->deferred = db->deferred;
    info->inert_entries = db->inert;
    info->n_heads = db->n_heads;
    info->n_chains = db->vector.count;
    info->needs_upgrade = db->needs_upgrade || db->inert_newer > 0;
    info->position = db->position;
}

bool
weir_repo_database (struct weir_repo *self, size_t i, struct weir_db_info *info)
{
    if (i >= self->n_dbs) {
        return false;
    }
    struct weir_repo_db *db = NULL;
    struct weir_id id = self->dbs[i]->id;
    if (weir_repo_db_get (self, &id, &db) != WEIR_OK) {
        memset (info, 0, sizeof *info);
        info->id = id;
        return true;
    }
    fill_info (self, db, info);
    return true;
}

enum weir_status
weir_repo_info (struct weir_repo *self, const struct weir_id *id, struct weir_db_info *info)
{
    struct weir_repo_db *db = NULL;
    enum weir_status status = weir_repo_db_get (self, id, &db);
    if (status == WEIR_OK) {
        fill_info (self, db, info);
    }
    return status;
}

enum weir_status
weir_repo_resolve (struct weir_repo *self, const char *text, struct weir_id *id,
                   struct weir_error *e)
{
    struct weir_id whole;
    if (weir_id_parse (&whole, text) == WEIR_OK && weir_repo_db_find (self, &whole) != NULL) {
        *id = whole;
        return WEIR_OK;
    }
    size_t found = 0;
    bool by_name = false;
    struct weir_db_info info;
    for (size_t i = 0; weir_repo_database (self, i, &info); i++) {
        bool named = info.name[0] != '\0' && strcmp (info.name, text) == 0;
        if (!named && (by_name || !weir_id_has_prefix (&info.id, text))) {
            continue;
        }
        if (named && !by_name) { /* a name goes before a prefix that looks like it */
            by_name = true;
            found = 0;
        }
        *id = info.id;
        found++;
    }
    if (found == 0) {
        return weir_error_set (e, WEIR_NOT_FOUND, "weir db ls shows all", "no database %s", text);
    }
    if (found > 1) {
        return weir_error_set (e, WEIR_AMBIGUOUS, by_name ? "name it by its id" : NULL,
                               "%zu databases are called %s", found, text);
    }
    return WEIR_OK;
}
