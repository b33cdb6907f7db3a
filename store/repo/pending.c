/* Runs that wait for what they build on: verified, bounded by number and bytes, found by the id
 * they wait for. What came from a file is kept across restarts. Never acknowledged, never among
 * the heads. Beside them the notes of what membership refused. */

#include "store/repo/gap.h"
#include "store/repo/parts.h"

#include <stdlib.h>
#include <string.h>

#define PENDING_MS_MAX (7u * 86400u * 1000u)
#define EXPIRE_PER_SLICE 64u
#define CHASE_MAX 64u
#define MISSING_LOOKED_AT 1024u
#define KEY_BYTES (4u + WEIR_ID_BYTES)

struct item {
    uint32_t db;
    struct weir_id tip;
    uint64_t seq;           /* of its first entry */
    struct weir_id missing; /* or, when `late`, its author, whose budget it waits for */
    bool late;
    struct weir_chain chain;
    bool continues; /* what it waits for is the entry before it, in its own chain */
    struct weir_id source;
    uint64_t since_ms;
    struct weir_buf bytes;
    struct item *next_waiting; /* for the same id */
    struct item *older;
    struct item *newer;
};

struct note {
    uint8_t key[KEY_BYTES];
    uint32_t view; /* of the heads then */
    enum weir_status status;
    bool used;
};

struct weir_repo_pending {
    struct weir_map *by_tip;
    struct weir_map *by_missing; /* the first of a list */
    struct item *oldest;
    struct item *newest;
    size_t count;
    size_t bytes;
    struct weir_map *notes_by_tip;
    struct note *notes; /* a ring */
    size_t next_note;
};

struct pending_key {
    uint8_t b[KEY_BYTES];
};

static struct pending_key
make_key (uint32_t db, const struct weir_id *id)
{
    struct pending_key key;
    weir_store_u32 (key.b, db);
    memcpy (key.b + 4, id->b, WEIR_ID_BYTES);
    return key;
}

static void *
lookup (const struct weir_map *map, uint32_t db, const struct weir_id *id)
{
    struct pending_key key = make_key (db, id);
    return weir_map_get (map, weir_bytes (key.b, sizeof key.b));
}

static void
item_destroy (struct item *item)
{
    weir_buf_fini (&item->bytes);
    free (item);
}

struct weir_repo_pending *
weir_repo_pending_new (void)
{
    struct weir_repo_pending *self = weir_alloc (sizeof *self);
    self->by_tip = weir_map_new ();
    self->by_missing = weir_map_new ();
    self->notes_by_tip = weir_map_new ();
    self->notes = weir_alloc (WEIR_REFUSED_NOTES_MAX * sizeof self->notes[0]);
    return self;
}

void
weir_repo_pending_destroy (struct weir_repo_pending **self_p)
{
    struct weir_repo_pending *self = *self_p;
    if (self == NULL) {
        return;
    }
    while (self->oldest != NULL) {
        struct item *item = self->oldest;
        self->oldest = item->newer;
        item_destroy (item);
    }
    weir_map_destroy (&self->by_tip, NULL);
    weir_map_destroy (&self->by_missing, NULL);
    weir_map_destroy (&self->notes_by_tip, NULL);
    free (self->notes);
    free (self);
    *self_p = NULL;
}

/* ---- in and out ---- */

/* Takes an item out of everything but the list of those that wait for the same id. */
static void
unlist (struct weir_repo *repo, struct item *item)
{
    struct weir_repo_pending *self = repo->pending;
    struct pending_key key = make_key (item->db, &item->tip);
    (void) weir_map_remove (self->by_tip, weir_bytes (key.b, sizeof key.b));
    *(item->older == NULL ? &self->oldest : &item->older->newer) = item->newer;
    *(item->newer == NULL ? &self->newest : &item->newer->older) = item->older;
    item->older = NULL;
    item->newer = NULL;
    self->count--;
    self->bytes -= item->bytes.len;
    struct weir_repo_db *db = weir_repo_db_by_number (repo, item->db);
    if (db != NULL) {
        db->pending_runs--;
    }
    if (item->late) {
        weir_repo_budget_left (repo, item->db, &item->missing);
    }
    if (weir_id_is_zero (&item->source)) {
        struct weir_repo_key row =
            weir_repo_key_db_id (WEIR_REPO_TABLE_PENDING, item->db, &item->tip);
        weir_repo_delete (repo, &row);
    }
}

static void
discard (struct weir_repo *repo, struct item *item)
{
    struct weir_repo_pending *self = repo->pending;
    struct pending_key key = make_key (item->db, &item->missing);
    struct weir_bytes k = weir_bytes (key.b, sizeof key.b);
    struct item *first = weir_map_get (self->by_missing, k);
    if (first == item && item->next_waiting == NULL) {
        (void) weir_map_remove (self->by_missing, k);
    } else if (first == item) {
        (void) weir_map_put (self->by_missing, k, item->next_waiting);
    } else {
        while (first->next_waiting != item) {
            first = first->next_waiting;
        }
        first->next_waiting = item->next_waiting;
    }
    unlist (repo, item);
    item_destroy (item);
}

static void
list (struct weir_repo *repo, struct weir_repo_db *db, struct item *item)
{
    struct weir_repo_pending *self = repo->pending;
    while (self->oldest != NULL
           && (self->count >= WEIR_PENDING_RUNS_MAX
               || self->bytes + item->bytes.len > WEIR_PENDING_BYTES_MAX)) {
        discard (repo, self->oldest); /* who sent it still has it */
    }
    struct pending_key tip = make_key (item->db, &item->tip);
    struct pending_key missing = make_key (item->db, &item->missing);
    (void) weir_map_put (self->by_tip, weir_bytes (tip.b, sizeof tip.b), item);
    item->next_waiting =
        weir_map_put (self->by_missing, weir_bytes (missing.b, sizeof missing.b), item);
    item->older = self->newest;
    *(self->newest == NULL ? &self->oldest : &self->newest->newer) = item;
    self->newest = item;
    self->count++;
    self->bytes += item->bytes.len;
    db->pending_runs++;
    if (item->late) {
        weir_repo_budget_waits (repo, item->db, &item->missing);
    }
}

bool
weir_repo_pending_find (struct weir_repo *repo, const struct weir_repo_db *db,
                        const struct weir_id *tip, uint64_t seq, struct weir_id *missing)
{
    const struct item *item = lookup (repo->pending->by_tip, db->number, tip);
    if (item == NULL || item->seq > seq) {
        return false;
    }
    for (size_t i = 0; i < CHASE_MAX; i++) {
        const struct item *next = lookup (repo->pending->by_tip, db->number, &item->missing);
        if (next == NULL) {
            break;
        }
        item = next;
    }
    *missing = item->late ? weir_id_zero : item->missing;
    return true;
}

bool
weir_repo_pending_next (struct weir_repo *repo, const struct weir_repo_db *db, const void **cursor,
                        struct weir_bytes *run)
{
    const struct item *item = *cursor;
    item = item == NULL ? repo->pending->oldest : item->newer;
    while (item != NULL && item->db != db->number) {
        item = item->newer;
    }
    *cursor = item;
    if (item != NULL) {
        *run = weir_buf_bytes (&item->bytes);
    }
    return item != NULL;
}

static bool
is_listed (const struct weir_repo_missing *list, size_t n, const struct weir_id *id)
{
    size_t i = 0;
    while (i < n && !weir_id_equal (&list[i].id, id)) {
        i++;
    }
    return i < n;
}

size_t
weir_repo_missing (struct weir_repo *repo, const struct weir_id *id, const struct weir_id *source,
                   struct weir_repo_missing *out, size_t max)
{
    struct weir_repo_db *db = NULL;
    size_t n = 0;
    if (weir_repo_db_get (repo, id, &db) != WEIR_OK) {
        return 0;
    }
    const struct item *item = repo->pending->newest;
    for (size_t i = 0; item != NULL && i < MISSING_LOOKED_AT && n < max; item = item->older, i++) {
        if (item->db != db->number || !weir_id_equal (&item->source, source) || item->late
            || is_listed (out, n, &item->missing)
            || lookup (repo->pending->by_tip, db->number, &item->missing) != NULL) {
            continue;
        }
        out[n] = (struct weir_repo_missing){ .id = item->missing };
        uint32_t branch = weir_repo_chain (db, &item->chain);
        if (item->continues && branch == WEIR_REPO_NONE) {
            out[n].has_from = true; /* nothing of it is here */
        } else if (item->continues && db->branches[branch].next == WEIR_REPO_NONE) {
            out[n].has_from = true;
            out[n].from_seq = db->branches[branch].count;
        }
        n++;
    }
    return n;
}

static void
put_row (struct weir_repo *repo, const struct item *item)
{
    struct weir_buf *row = &repo->row;
    weir_buf_clear (row);
    weir_buf_put_u64 (row, item->since_ms);
    weir_buf_put_u64 (row, item->seq);
    weir_buf_put (row, item->missing.b, WEIR_ID_BYTES);
    weir_buf_put_bytes (row, weir_buf_bytes (&item->bytes));
    struct weir_repo_key key = weir_repo_key_db_id (WEIR_REPO_TABLE_PENDING, item->db, &item->tip);
    weir_repo_put (repo, &key, weir_buf_bytes (row));
}

static void
add (struct weir_repo *repo, struct weir_repo_db *db, const struct weir_run *run,
     const struct weir_id *source, const struct weir_id *missing, bool late)
{
    struct item *shorter = lookup (repo->pending->by_tip, db->number, weir_run_tip (run));
    if (shorter != NULL) {
        discard (repo, shorter);
    }
    struct item *item = weir_alloc (sizeof *item);
    item->db = db->number;
    item->tip = *weir_run_tip (run);
    item->seq = run->seq;
    item->missing = *missing;
    item->late = late;
    item->chain = run->chain;
    item->continues = !late && run->seq > 0 && weir_id_equal (missing, &run->prev);
    item->source = *source;
    item->since_ms = repo->now_ms;
    weir_buf_put_bytes (&item->bytes, run->bytes);
    list (repo, db, item);
    if (weir_id_is_zero (source)) {
        put_row (repo, item);
    }
}

void
weir_repo_pending_add (struct weir_repo *repo, struct weir_repo_db *db, const struct weir_run *run,
                       const struct weir_id *source, const struct weir_id *missing)
{
    add (repo, db, run, source, missing, false);
}

void
weir_repo_pending_add_late (struct weir_repo *repo, struct weir_repo_db *db,
                            const struct weir_run *run, const struct weir_id *source)
{
    add (repo, db, run, source, &run->chain.author, true);
}

enum weir_status
weir_repo_pending_load (struct weir_repo *repo, struct weir_repo_db *db)
{
    struct weir_repo_key from = weir_repo_key_db (WEIR_REPO_TABLE_PENDING, db->number);
    struct weir_repo_key to = weir_repo_key_after (&from);
    struct weir_kv_iter *iter =
        weir_kv_iter_new (repo->kv, weir_repo_key_bytes (&from), weir_repo_key_bytes (&to), false);
    struct weir_bytes key;
    struct weir_bytes value;
    enum weir_status status = WEIR_OK;
    while (status == WEIR_OK && weir_kv_iter_next (iter, &key, &value)) {
        if (key.len != 5 + WEIR_ID_BYTES || value.len <= 16 + WEIR_ID_BYTES) {
            status = WEIR_CORRUPT;
            break;
        }
        struct item *item = weir_alloc (sizeof *item);
        item->db = db->number;
        memcpy (item->tip.b, key.data + 5, WEIR_ID_BYTES);
        item->since_ms = weir_load_u64 (value.data);
        item->seq = weir_load_u64 (value.data + 8);
        memcpy (item->missing.b, value.data + 16, WEIR_ID_BYTES);
        weir_buf_put (&item->bytes, value.data + 16 + WEIR_ID_BYTES,
                      value.len - 16 - WEIR_ID_BYTES);
        list (repo, db, item);
    }
    if (status == WEIR_OK) {
        status = weir_kv_iter_status (iter);
    }
    weir_kv_iter_destroy (&iter);
    return status;
}

void
weir_repo_pending_drop (struct weir_repo *repo, struct weir_repo_db *db)
{
    struct item *next;
    for (struct item *item = repo->pending->oldest; item != NULL; item = next) {
        next = item->newer;
        if (item->db == db->number) {
            discard (repo, item);
        }
    }
}

void
weir_repo_pending_expire (struct weir_repo *repo)
{
    struct weir_repo_pending *self = repo->pending;
    for (size_t i = 0; i < EXPIRE_PER_SLICE && self->oldest != NULL; i++) {
        uint64_t since_ms = self->oldest->since_ms;
        if (repo->now_ms < since_ms || repo->now_ms - since_ms <= PENDING_MS_MAX) {
            return;
        }
        discard (repo, self->oldest);
    }
}

/* ---- unlocking ---- */

/* Moves those that wait for an entry of `run` to the end of the list *tail points to. */
static void
collect (struct weir_repo *repo, const struct weir_repo_db *db, const struct weir_run *run,
         struct item ***tail)
{
    struct weir_repo_pending *self = repo->pending;
    for (uint32_t i = 0; i < run->count && weir_map_count (self->by_missing) > 0; i++) {
        struct pending_key key = make_key (db->number, &run->entries[i].id);
        struct item *first = weir_map_remove (self->by_missing, weir_bytes (key.b, sizeof key.b));
        **tail = first;
        for (struct item *item = first; item != NULL; item = item->next_waiting) {
            unlist (repo, item);
            *tail = &item->next_waiting;
        }
    }
}

/* Imports the list, and what waits for that, and so on; it is unlisted already. */
static enum weir_status
import_list (struct weir_repo *repo, struct weir_repo_db *db, struct item *todo, struct item **tail,
             uint32_t *unlocked)
{
    enum weir_status status = WEIR_OK;
    while (todo != NULL) {
        struct item *item = todo;
        struct weir_import_result result;
        todo = item->next_waiting;
        if (todo == NULL) {
            tail = &todo;
        }
        if (status == WEIR_OK) {
            status = weir_repo_import_one (repo, db, weir_buf_bytes (&item->bytes), &item->source,
                                           true, &result);
        }
        if (status == WEIR_OK && result.outcome == WEIR_IMPORT_NEW) {
            (*unlocked)++;
            collect (repo, db, &repo->imported, &tail);
        }
        item_destroy (item);
    }
    return status;
}

enum weir_status
weir_repo_pending_unlock (struct weir_repo *repo, struct weir_repo_db *db, uint32_t *unlocked)
{
    struct item *todo = NULL;
    struct item **tail = &todo;
    *unlocked = 0;
    if (db->pending_runs == 0) {
        return WEIR_OK;
    }
    collect (repo, db, &repo->imported, &tail);
    return import_list (repo, db, todo, todo == NULL ? NULL : tail, unlocked);
}

enum weir_status
weir_repo_pending_release (struct weir_repo *repo, uint32_t number, const struct weir_id *author)
{
    struct weir_repo_db *db = weir_repo_db_by_number (repo, number);
    struct item *item = lookup (repo->pending->by_missing, number, author);
    struct item *before = NULL;
    uint32_t unlocked = 0;
    weir_assert (db != NULL && item != NULL && item->late);
    while (item->next_waiting != NULL) { /* the newest comes first */
        before = item;
        item = item->next_waiting;
    }
    if (before != NULL) {
        before->next_waiting = NULL;
    } else {
        struct pending_key key = make_key (number, author);
        (void) weir_map_remove (repo->pending->by_missing, weir_bytes (key.b, sizeof key.b));
    }
    unlist (repo, item);
    return import_list (repo, db, item, &item->next_waiting, &unlocked);
}

/* ---- notes of what was refused ---- */

bool
weir_repo_refused_find (struct weir_repo *repo, const struct weir_repo_db *db,
                        const struct weir_id *tip, enum weir_status *status)
{
    const struct note *note = lookup (repo->pending->notes_by_tip, db->number, tip);
    if (note == NULL || note->view != db->view) {
        return false;
    }
    *status = note->status;
    return true;
}

void
weir_repo_refused_add (struct weir_repo *repo, const struct weir_repo_db *db,
                       const struct weir_id *tip, enum weir_status status)
{
    struct weir_repo_pending *self = repo->pending;
    struct pending_key key = make_key (db->number, tip);
    struct weir_bytes k = weir_bytes (key.b, sizeof key.b);
    struct note *note = weir_map_get (self->notes_by_tip, k);
    if (note == NULL) {
        note = &self->notes[self->next_note];
        self->next_note = (self->next_note + 1) % WEIR_REFUSED_NOTES_MAX;
        if (note->used) {
            (void) weir_map_remove (self->notes_by_tip, weir_bytes (note->key, sizeof note->key));
        }
        memcpy (note->key, key.b, sizeof note->key);
        note->used = true;
        (void) weir_map_put (self->notes_by_tip, k, note);
    }
    note->view = db->view;
    note->status = status;
}
