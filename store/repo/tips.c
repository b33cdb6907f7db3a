/* The tips file: which of our entries were synced and may have left. Compared when a database is
 * loaded; one that lacks what the file names was restored from a backup, or its file is missing,
 * and the next write begins a lane (page 2, "A key in two places"). A file that is behind is
 * normal after a crash. */

#include "store/repo/parts.h"

#include <string.h>

#define TIPS_FORMAT 1u

static void
take_row (struct weir_repo *self, struct weir_reader *r)
{
    struct weir_id id = weir_id_zero;
    struct weir_repo_tip tip = { .known = true };
    struct weir_bytes b = weir_read_bytes (r, WEIR_ID_BYTES);
    tip.lane = weir_read_u64 (r);
    tip.count = weir_read_varint (r);
    struct weir_bytes t = weir_read_bytes (r, WEIR_ID_BYTES);
    if (r->bad || weir_id_from_bytes (&id, b) != WEIR_OK
        || weir_id_from_bytes (&tip.tip, t) != WEIR_OK) {
        return;
    }
    struct weir_repo_db *db = weir_repo_db_find (self, &id);
    if (db != NULL) {
        db->told = tip;
    }
}

enum weir_status
weir_repo_tips_load (struct weir_repo *self)
{
    struct weir_buf content = { 0 };
    enum weir_status status = weir_tips_load (self->tips, &content);
    if (status == WEIR_OK) {
        struct weir_reader r = weir_reader (weir_buf_bytes (&content));
        uint8_t format = weir_read_u8 (&r);
        while (!r.bad && format == TIPS_FORMAT && weir_reader_left (&r) > 0) {
            take_row (self, &r);
        }
    }
    weir_buf_fini (&content);
    return status == WEIR_NOT_FOUND || status == WEIR_CORRUPT ? WEIR_OK : status;
}

enum weir_status
weir_repo_tips_check (struct weir_repo *self, struct weir_repo_db *db)
{
    if (db->own_branch == WEIR_REPO_NONE) {
        return WEIR_OK;
    }
    const struct weir_repo_branch *b = &db->branches[db->own_branch];
    bool good = db->told.known && db->told.lane == b->chain.lane && db->told.count <= b->count;
    if (good) {
        struct weir_repo_spot spot;
        enum weir_status status = weir_repo_find (self, db, &db->told.tip, &spot);
        if (status != WEIR_OK && status != WEIR_NOT_FOUND) {
            return status;
        }
        good = status == WEIR_OK;
    }
    if (!good) {
        db->own_branch = WEIR_REPO_NONE;
    }
    return WEIR_OK;
}

void
weir_repo_tips_note (struct weir_repo *self, const struct weir_repo_db *db,
                     const struct weir_run *run)
{
    struct weir_repo_told told = {
        .batch = 0,
        .db = db->number,
        .lane = run->chain.lane,
        .count = run->seq + run->count,
        .tip = *weir_run_tip (run),
    };
    for (size_t i = self->n_told; i-- > 0 && self->told[i].batch == 0;) {
        if (self->told[i].db == told.db) {
            self->told[i] = told;
            return;
        }
    }
    weir_grow (&self->told, &self->cap_told, self->n_told + 1, sizeof self->told[0]);
    self->told[self->n_told++] = told;
}

void
weir_repo_tips_flushed (struct weir_repo *self, uint64_t batch)
{
    for (size_t i = self->n_told; i-- > 0 && self->told[i].batch == 0;) {
        self->told[i].batch = batch;
    }
}

static enum weir_status
save (struct weir_repo *self)
{
    struct weir_buf content = { 0 };
    weir_buf_put_u8 (&content, TIPS_FORMAT);
    for (size_t i = 0; i < self->n_dbs; i++) {
        const struct weir_repo_tip *told = &self->dbs[i]->told;
        if (told->known) {
            weir_buf_put (&content, self->dbs[i]->id.b, WEIR_ID_BYTES);
            weir_buf_put_u64 (&content, told->lane);
            weir_buf_put_varint (&content, told->count);
            weir_buf_put (&content, told->tip.b, WEIR_ID_BYTES);
        }
    }
    enum weir_status status = weir_tips_save (self->tips, weir_buf_bytes (&content));
    weir_buf_fini (&content);
    return status;
}

void
weir_repo_tips_synced (struct weir_repo *self, uint64_t batch)
{
    size_t done = 0;
    while (done < self->n_told && self->told[done].batch != 0 && self->told[done].batch <= batch) {
        const struct weir_repo_told *told = &self->told[done++];
        struct weir_repo_db *db = weir_repo_db_by_number (self, told->db);
        if (db != NULL) {
            db->told = (struct weir_repo_tip){
                .known = true, .lane = told->lane, .count = told->count, .tip = told->tip
            };
            self->tips_dirty = true;
        }
    }
    self->n_told -= done;
    if (self->n_told > 0 && done > 0) {
        memmove (self->told, self->told + done, self->n_told * sizeof self->told[0]);
    }
    if (self->tips_dirty && save (self) == WEIR_OK) {
        self->tips_dirty = false; /* else again with the next sync */
    }
}
