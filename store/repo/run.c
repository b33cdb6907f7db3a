/* Stored runs: the record that lies beside a run's bytes, reading it back, and the one place that
 * writes a run with all its rows, for runs committed here and imported ones alike. */

#include "store/repo/parts.h"
#include "store/dag/run_scan.h"

#include <string.h>

/* ---- records ---- */

void
weir_repo_record_put (struct weir_buf *out, const struct weir_repo_db *db,
                      const struct weir_repo_record *record)
{
    bool sourced = !weir_id_is_zero (&record->source);
    weir_buf_put_u8 (out, sourced ? 1 : 0);
    weir_buf_put_varint (out, record->position);
    weir_buf_put_varint (out, record->lamport);
    if (sourced) {
        weir_buf_put (out, record->source.b, WEIR_ID_BYTES);
    }
    weir_buf_put (out, record->tip.b, WEIR_ID_BYTES);
    weir_buf_put_u32 (out, 0); /* the view's length, once it is known */
    size_t at = out->len;
    weir_members_view_put (db->members, record->view, out);
    weir_store_u32 (out->data + at - 4, (uint32_t) (out->len - at));
    weir_buf_put_bytes (out, record->bytes);
}

/* All but the view, whose bytes are given. */
static enum weir_status
read_record (struct weir_repo_record *record, struct weir_bytes row, struct weir_bytes *view)
{
    struct weir_reader r = weir_reader (row);
    struct weir_repo_record x = { .view = 0 };
    uint8_t sourced = weir_read_u8 (&r);
    x.position = weir_read_varint (&r);
    x.lamport = weir_read_varint (&r);
    struct weir_bytes source = weir_read_bytes (&r, sourced == 1 ? WEIR_ID_BYTES : 0);
    struct weir_bytes tip = weir_read_bytes (&r, WEIR_ID_BYTES);
    *view = weir_read_bytes (&r, weir_read_u32 (&r));
    if (r.bad || sourced > 1) {
        return WEIR_CORRUPT;
    }
    if (sourced == 1) {
        memcpy (x.source.b, source.data, WEIR_ID_BYTES);
    }
    memcpy (x.tip.b, tip.data, WEIR_ID_BYTES);
    x.bytes = weir_read_bytes (&r, weir_reader_left (&r));
    *record = x;
    return WEIR_OK;
}

enum weir_status
weir_repo_record_salvage (struct weir_repo_record *record, struct weir_bytes row)
{
    struct weir_bytes view;
    return read_record (record, row, &view);
}

enum weir_status
weir_repo_record_read (struct weir_repo_record *record, struct weir_repo_db *db,
                       struct weir_bytes row)
{
    struct weir_repo_record x;
    struct weir_bytes view;
    enum weir_status status = read_record (&x, row, &view);
    if (status == WEIR_OK) {
        struct weir_reader r = weir_reader (view);
        status = weir_members_view_get (db->members, &x.view, &r);
        status = status == WEIR_OK && !weir_reader_done (&r) ? WEIR_CORRUPT : status;
    }
    if (status == WEIR_OK) {
        *record = x;
    }
    return status;
}

enum weir_status
weir_repo_record_get (struct weir_repo *self, struct weir_repo_db *db, uint32_t branch,
                      uint64_t seq, struct weir_buf *row, struct weir_repo_record *record)
{
    struct weir_repo_key key =
        weir_repo_key_db_place (WEIR_REPO_TABLE_RUN, db->number, branch, seq);
    weir_buf_clear (row);
    enum weir_status status = weir_kv_get (self->kv, weir_repo_key_bytes (&key), row);
    if (status == WEIR_OK) {
        status = weir_repo_record_read (record, db, weir_buf_bytes (row));
    } else if (status == WEIR_NOT_FOUND) {
        status = WEIR_CORRUPT; /* an index said it is there */
    }
    return status;
}

enum weir_status
weir_repo_record_at (struct weir_repo *self, struct weir_repo_db *db, uint32_t branch, uint64_t seq,
                     struct weir_buf *row, struct weir_repo_record *record, uint64_t *run_seq)
{
    struct weir_repo_key from = weir_repo_key_db_place (WEIR_REPO_TABLE_RUN, db->number, branch, 0);
    struct weir_repo_key to =
        weir_repo_key_db_place (WEIR_REPO_TABLE_RUN, db->number, branch, seq + 1);
    struct weir_kv_iter *iter =
        weir_kv_iter_new (self->kv, weir_repo_key_bytes (&from), weir_repo_key_bytes (&to), true);
    struct weir_bytes key;
    struct weir_bytes value;
    enum weir_status status = WEIR_CORRUPT;
    if (weir_kv_iter_next (iter, &key, &value)) {
        weir_buf_clear (row);
        weir_buf_put_bytes (row, value);
        *run_seq = weir_load_u64 (key.data + key.len - 8);
        status = weir_repo_record_read (record, db, weir_buf_bytes (row));
    } else if (weir_kv_iter_status (iter) != WEIR_OK) {
        status = weir_kv_iter_status (iter);
    }
    weir_kv_iter_destroy (&iter);
    return status;
}

enum weir_status
weir_repo_run_decode (struct weir_repo *self, struct weir_repo_db *db,
                      const struct weir_repo_record *record, struct weir_run *run)
{
    size_t used = 0;
    weir_arena_reset (self->arena_read);
    enum weir_status status =
        weir_run_decode (run, self->arena_read, &db->id, record->bytes, &used, NULL);
    if (status != WEIR_OK || used != record->bytes.len
        || !weir_id_equal (weir_run_tip (run), &record->tip)) {
        return WEIR_CORRUPT;
    }
    return WEIR_OK;
}

/* The view behind a settings entry. */
static uint32_t
view_behind (struct weir_repo_db *db, const struct weir_id *entry, uint32_t view)
{
    for (size_t i = db->n_settings; i-- > 0;) {
        if (weir_id_equal (&db->settings[i].entry, entry)) {
            return weir_members_with (db->members, view, (uint32_t) i);
        }
    }
    return view;
}

enum weir_status
weir_repo_facts_behind (struct weir_repo *self, struct weir_repo_db *db,
                        const struct weir_repo_spot *spot, struct weir_repo_facts *facts)
{
    const struct weir_repo_branch *b = &db->branches[spot->branch];
    if (spot->seq + 1 == b->count) {
        *facts = (struct weir_repo_facts){ b->lamport, b->view, b->position };
        return WEIR_OK;
    }
    struct weir_repo_record record;
    enum weir_status status =
        weir_repo_record_get (self, db, spot->branch, spot->run_seq, &self->record, &record);
    if (status != WEIR_OK) {
        return status;
    }
    struct weir_run run;
    weir_arena_reset (self->arena_read);
    if (weir_run_scan (&run, self->arena_read, record.bytes) != WEIR_OK || spot->seq < run.seq
        || spot->seq - run.seq >= run.count) {
        return WEIR_CORRUPT;
    }
    *facts = (struct weir_repo_facts){ record.lamport, record.view, record.position };
    for (uint64_t i = 0; i <= spot->seq - run.seq; i++) {
        facts->lamport += run.entries[i].ops;
    }
    if (run.kind == WEIR_ENTRY_SETTINGS || run.kind == WEIR_ENTRY_GENESIS) {
        facts->view = view_behind (db, &record.tip, record.view);
    }
    return WEIR_OK;
}

/* ---- storing ---- */

static void
put_index (struct weir_repo *self, const struct weir_repo_db *db, const struct weir_run *run,
           uint32_t branch)
{
    struct weir_buf *row = &self->row;
    weir_buf_clear (row);
    weir_buf_put_varint (row, branch);
    weir_buf_put_varint (row, run->seq);
    size_t common = row->len;
    for (uint32_t i = 0; i < run->count; i++) {
        row->len = common;
        weir_buf_put_varint (row, i);
        struct weir_repo_key key =
            weir_repo_key_db_id (WEIR_REPO_TABLE_ENTRY, db->number, &run->entries[i].id);
        weir_repo_put (self, &key, weir_buf_bytes (row));
    }
}

uint32_t
weir_repo_run_store (struct weir_repo *self, struct weir_repo_db *db, const struct weir_run *run,
                     const struct weir_repo_place *place, const struct weir_id *source)
{
    uint32_t number = place->branch;
    if (number == WEIR_REPO_NONE) {
        number =
            weir_repo_branch_new (db, &run->chain, place->parent, run->seq, &run->entries[0].id);
    }
    self->position++;
    struct weir_repo_record record = {
        .position = self->position,
        .lamport = place->lamport,
        .view = place->view,
        .source = *source,
        .tip = *weir_run_tip (run),
        .bytes = run->bytes,
    };
    weir_buf_clear (&self->row);
    weir_repo_record_put (&self->row, db, &record);
    struct weir_repo_key key =
        weir_repo_key_db_place (WEIR_REPO_TABLE_RUN, db->number, number, run->seq);
    weir_repo_put (self, &key, weir_buf_bytes (&self->row));
    put_index (self, db, run, number);
    weir_repo_log_put (self, db, run, number, source);

    weir_repo_branch_advance (db, number, run->seq + run->count, &record.tip);
    struct weir_repo_branch *b = &db->branches[number];
    b->lamport = place->lamport;
    for (uint32_t i = 0; i < run->count; i++) {
        b->lamport += run->entries[i].ops;
    }
    b->view = place->view;
    b->run_seq = run->seq;
    b->position = self->position;
    if (run->kind == WEIR_ENTRY_SETTINGS || run->kind == WEIR_ENTRY_GENESIS) {
        b->view =
            weir_repo_settings_add (self, db, &record.tip, &run->chain, place->view,
                                    run->kind == WEIR_ENTRY_GENESIS, run->entries[0].payload, true);
        weir_repo_view_grow (self, db, b->view);
    }
    db->lamport = b->lamport > db->lamport ? b->lamport : db->lamport;
    db->entries += run->count;
    db->bytes += run->bytes.len;
    db->position = self->position;
    weir_repo_db_mark (self, db);
    return number;
}
