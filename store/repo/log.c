/* The arrival log: a row for each stored run, in order of arrival, and beside it the positions of
 * each database's rows. Nothing behind the synced position is ever given out. */

#include "store/repo/parts.h"

#include <string.h>

void
weir_repo_log_put (struct weir_repo *self, struct weir_repo_db *db, const struct weir_run *run,
                   uint32_t branch, const struct weir_id *source)
{
    bool sourced = !weir_id_is_zero (source);
    struct weir_buf *row = &self->row;
    weir_buf_clear (row);
    weir_buf_put_u32 (row, db->number);
    weir_buf_put_u32 (row, branch);
    weir_buf_put_u8 (row, run->kind);
    weir_buf_put_varint (row, run->seq);
    weir_buf_put_varint (row, run->count);
    weir_buf_put_varint (row, run->bytes.len);
    weir_buf_put (row, weir_run_tip (run)->b, WEIR_ID_BYTES);
    if (sourced) {
        weir_buf_put (row, source->b, WEIR_ID_BYTES);
    }
    struct weir_repo_key key = weir_repo_key_log (self->position);
    weir_repo_put (self, &key, weir_buf_bytes (row));
    struct weir_repo_key arrival =
        weir_repo_key_db_u64 (WEIR_REPO_TABLE_ARRIVAL, db->number, self->position);
    weir_repo_put (self, &arrival, weir_bytes (NULL, 0));
}

/* WEIR_NOT_FOUND for the row of a database that was forgotten. */
static enum weir_status
read_row (struct weir_repo *self, uint64_t position, struct weir_bytes value,
          struct weir_repo_log_place *place)
{
    struct weir_reader r = weir_reader (value);
    struct weir_repo_log_place p = { .row = { .position = position } };
    p.db = weir_read_u32 (&r);
    p.branch = weir_read_u32 (&r);
    p.row.kind = weir_read_u8 (&r);
    p.row.range.from_seq = weir_read_varint (&r);
    p.row.range.to_seq = p.row.range.from_seq + weir_read_varint (&r);
    p.row.bytes = (uint32_t) weir_read_varint (&r);
    struct weir_bytes tip = weir_read_bytes (&r, WEIR_ID_BYTES);
    bool sourced = weir_reader_left (&r) > 0;
    struct weir_bytes source = weir_read_bytes (&r, sourced ? WEIR_ID_BYTES : 0);
    if (!weir_reader_done (&r)) {
        return WEIR_CORRUPT;
    }
    memcpy (p.row.range.tip.b, tip.data, WEIR_ID_BYTES);
    if (sourced) {
        memcpy (p.row.source.b, source.data, WEIR_ID_BYTES);
    }
    struct weir_repo_db *db = weir_repo_db_by_number (self, p.db);
    if (db == NULL) {
        return WEIR_NOT_FOUND;
    }
    enum weir_status status = weir_repo_db_load (self, db);
    if (status == WEIR_OK && p.branch >= db->n_branches) {
        status = WEIR_CORRUPT;
    }
    if (status == WEIR_OK) {
        p.row.db = db->id;
        p.row.range.chain = db->branches[p.branch].chain;
        *place = p;
    }
    return status;
}

enum weir_status
weir_repo_log_read (struct weir_repo *self, uint64_t position, struct weir_repo_log_place *place)
{
    struct weir_repo_key key = weir_repo_key_log (position);
    struct weir_buf value = { 0 };
    enum weir_status status = weir_kv_get (self->kv, weir_repo_key_bytes (&key), &value);
    if (status == WEIR_OK) {
        status = read_row (self, position, weir_buf_bytes (&value), place);
    }
    weir_buf_fini (&value);
    return status;
}

uint64_t
weir_repo_position (const struct weir_repo *self)
{
    return self->synced_position;
}

/* The nearest row of one database, or of all (NULL), whose position is within from..to. */
static enum weir_status
nearest (struct weir_repo *self, const struct weir_repo_db *db, uint64_t from, uint64_t to,
         bool backward, struct weir_log_row *row)
{
    struct weir_repo_key low =
        db == NULL ? weir_repo_key_log (from)
                   : weir_repo_key_db_u64 (WEIR_REPO_TABLE_ARRIVAL, db->number, from);
    struct weir_repo_key high =
        db == NULL ? weir_repo_key_log (to + 1)
                   : weir_repo_key_db_u64 (WEIR_REPO_TABLE_ARRIVAL, db->number, to + 1);
    struct weir_kv_iter *iter = weir_kv_iter_new (self->kv, weir_repo_key_bytes (&low),
                                                  weir_repo_key_bytes (&high), backward);
    struct weir_bytes key;
    struct weir_bytes value;
    struct weir_repo_log_place place;
    enum weir_status status = WEIR_NOT_FOUND;
    while (status == WEIR_NOT_FOUND && weir_kv_iter_next (iter, &key, &value)) {
        uint64_t position = weir_load_u64 (key.data + key.len - 8);
        status = db == NULL ? read_row (self, position, value, &place)
                            : weir_repo_log_read (self, position, &place);
    }
    if (status == WEIR_NOT_FOUND && weir_kv_iter_status (iter) != WEIR_OK) {
        status = weir_kv_iter_status (iter);
    }
    weir_kv_iter_destroy (&iter);
    if (status == WEIR_OK) {
        *row = place.row;
    }
    return status;
}

enum weir_status
weir_repo_log_next (struct weir_repo *self, uint64_t after, const struct weir_id *id,
                    struct weir_log_row *row)
{
    if (after >= self->synced_position) {
        return WEIR_NOT_FOUND;
    }
    struct weir_repo_db *db = NULL;
    if (id != NULL) {
        enum weir_status status = weir_repo_db_get (self, id, &db);
        if (status != WEIR_OK) {
            return status;
        }
        if (after >= db->position) {
            return WEIR_NOT_FOUND;
        }
    } else {
        struct weir_repo_log_place place;
        enum weir_status status = weir_repo_log_read (self, after + 1, &place);
        if (status != WEIR_NOT_FOUND) {
            if (status == WEIR_OK) {
                *row = place.row;
            }
            return status;
        }
    }
    return nearest (self, db, after + 1, self->synced_position, false, row);
}

enum weir_status
weir_repo_log_prev (struct weir_repo *self, uint64_t before, const struct weir_id *id,
                    struct weir_log_row *row)
{
    if (before <= 1 || self->synced_position == 0) {
        return WEIR_NOT_FOUND;
    }
    uint64_t to = before - 1 < self->synced_position ? before - 1 : self->synced_position;
    struct weir_repo_db *db = NULL;
    if (id != NULL) {
        enum weir_status status = weir_repo_db_get (self, id, &db);
        if (status != WEIR_OK) {
            return status;
        }
    }
    return nearest (self, db, 1, to, true, row);
}
