/* What a peer is known to hold: rows it told or acknowledged. A hint that saves work and can be
 * wrong at no risk; whether it is the truth shows by its digest, which the peer told. Lag is
 * asked of the store against it: the real difference of sets, or "not known" (P9). */

#include "actors/peers/state.h"

#include <stdlib.h>

#define ROW_VERSION 2u /* 1: without hints */
#define MEMORY_ROWS_MAX 4096u

void
known_clear (struct relation *r)
{
    weir_vector_fini (&r->known);
    r->known_any = false;
}

static void
limit (struct relation *r)
{
    if (r->known.count > MEMORY_ROWS_MAX) {
        known_clear (r);
    }
}

void
known_add (struct relation *r, const struct weir_range *range)
{
    struct weir_row row = { range->chain, range->to_seq, range->tip };
    size_t n = 0;
    const struct weir_row *rows = weir_vector_chain (&r->known, &range->chain, &n);
    /* The tip before the range is not told: with several, one that fits by its length. */
    const struct weir_row *from = NULL;
    for (size_t i = 0; i < n; i++) {
        if (rows[i].count >= range->to_seq && weir_id_equal (&rows[i].tip, &range->tip)) {
            return;
        }
        if (rows[i].count < range->to_seq && rows[i].count >= range->from_seq
            && (from == NULL || rows[i].count > from->count)) {
            from = &rows[i];
        }
    }
    if (from != NULL) {
        struct weir_id tip = from->tip;
        weir_vector_advance (&r->known, &tip, &row);
    } else {
        weir_vector_put (&r->known, &row);
    }
    r->known_any = true;
    r->cursor_dirty = true;
    limit (r);
}

void
known_set (struct relation *r, const struct weir_told_row *rows, size_t n)
{
    known_clear (r);
    for (size_t i = 0; i < n && i < MEMORY_ROWS_MAX; i++) {
        weir_vector_put (&r->known, &rows[i].row);
    }
    r->known_any = n < MEMORY_ROWS_MAX;
    r->cursor_dirty = true;
    limit (r);
}

bool
known_exact (const struct relation *r)
{
    if (!r->known_any || weir_id_is_zero (&r->told)) {
        return false;
    }
    struct weir_id digest = weir_vector_digest (&r->known);
    return weir_id_equal (&digest, &r->told);
}

/* ---- from our own rows, when both are equal ---- */

struct refresh {
    struct weir_id device;
    struct weir_id db;
};

static void
rows_told (void *state, struct weir_actor *actor, void *context, enum weir_status status,
           const struct weir_error *problem, const struct weir_message *answer)
{
    struct peers *p = state;
    struct refresh *ask = context;
    struct device *d = device_find (p, &ask->device);
    struct relation *r = d != NULL ? relation_find (d, &ask->db) : NULL;
    (void) actor;
    (void) problem;
    if (r != NULL) {
        r->refreshing = false;
    }
    if (r != NULL && status == WEIR_OK && answer != NULL && answer->meta != NULL) {
        const Weir__Compared *m = (const Weir__Compared *) answer->meta;
        struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
        struct weir_told_row *rows = NULL;
        struct weir_id digest;
        if (weir_field_get_id (&digest, m->has_digest, m->digest) == WEIR_OK
            && weir_id_equal (&digest, &r->told)
            && wire_rows_read (m->ours, m->n_ours, arena, &rows) == WEIR_OK) {
            known_set (r, rows, m->n_ours);
            rows_flush_later (p);
        }
        weir_arena_destroy (&arena);
    }
    free (ask);
}

void
known_equal (struct peers *p, struct relation *r, const struct weir_id *digest)
{
    if (!weir_id_equal (&r->told, digest)) {
        r->told = *digest;
        r->cursor_dirty = true;
        rows_flush_later (p);
    }
    ladder_mark (p, r, digest);
    if (r->refreshing || known_exact (r)) {
        return;
    }
    struct refresh *ask = weir_alloc (sizeof *ask);
    Weir__Compare m = WEIR__COMPARE__INIT;
    ask->device = r->device->id;
    ask->db = r->db;
    r->refreshing = true;
    m.has_db = m.has_ask = m.ask = true;
    m.db = weir_field_id (&r->db);
    (void) weir_actor_ask (p->actor, WEIR_KIND_COMPARE, NULL, &m.base, weir_bytes (NULL, 0),
                           PEERS_ASK_MS, rows_told, ask);
}

/* ---- persistent ---- */

void
known_put (const struct relation *r, struct weir_buf *out)
{
    size_t n = r->known_any && r->known.count <= PEERS_KNOWN_ROWS_MAX ? r->known.count : 0;
    weir_buf_put_u8 (out, ROW_VERSION);
    weir_buf_put_bytes (out, weir_id_bytes (&r->told));
    weir_buf_put_u64 (out, r->acked);
    weir_buf_put_u8 (out, r->known_any && n == r->known.count);
    weir_buf_put_u32 (out, (uint32_t) n);
    for (size_t i = 0; i < n; i++) {
        const struct weir_row *row = &r->known.rows[i];
        weir_buf_put_bytes (out, weir_id_bytes (&row->chain.author));
        weir_buf_put_u64 (out, row->chain.lane);
        weir_buf_put_u64 (out, row->count);
        weir_buf_put_bytes (out, weir_id_bytes (&row->tip));
    }
    ladder_put_hints (r, out);
}

enum weir_status
known_get (struct relation *r, struct weir_bytes bytes)
{
    struct weir_reader reader = weir_reader (bytes);
    struct weir_vector known = { 0 };
    struct weir_id told = weir_id_zero;
    uint8_t version = weir_read_u8 (&reader);
    bool good = version >= 1 && version <= ROW_VERSION
                && weir_id_from_bytes (&told, weir_read_bytes (&reader, WEIR_ID_BYTES)) == WEIR_OK;
    uint64_t acked = weir_read_u64 (&reader);
    bool any = weir_read_u8 (&reader) == 1;
    uint32_t n = weir_read_u32 (&reader);
    good = good && n <= PEERS_KNOWN_ROWS_MAX;
    for (uint32_t i = 0; good && i < n; i++) {
        struct weir_row row;
        good = weir_id_from_bytes (&row.chain.author, weir_read_bytes (&reader, WEIR_ID_BYTES))
               == WEIR_OK;
        row.chain.lane = weir_read_u64 (&reader);
        row.count = weir_read_u64 (&reader);
        good = weir_id_from_bytes (&row.tip, weir_read_bytes (&reader, WEIR_ID_BYTES)) == WEIR_OK
               && good;
        if (good) {
            weir_vector_put (&known, &row);
        }
    }
    good = good && (version == 1 || ladder_get_hints (r, &reader));
    if (!good || !weir_reader_done (&reader)) {
        weir_vector_fini (&known);
        return WEIR_CORRUPT;
    }
    known_clear (r);
    r->known = known;
    r->known_any = any;
    r->told = told;
    r->acked = acked;
    return WEIR_OK;
}

/* ---- lag ---- */

struct lag {
    known_lag_fn *done;
    void *context;
};

static void
lag_told (void *state, struct weir_actor *actor, void *context, enum weir_status status,
          const struct weir_error *problem, const struct weir_message *answer)
{
    struct lag *lag = context;
    (void) actor;
    (void) problem;
    if (status == WEIR_OK && answer != NULL && answer->meta != NULL) {
        const Weir__LagAnswer *m = (const Weir__LagAnswer *) answer->meta;
        lag->done (state, lag->context, true, m->entries, m->oldest_ms);
    } else {
        lag->done (state, lag->context, false, 0, 0);
    }
    free (lag);
}

void
known_lag (struct peers *p, struct relation *r, known_lag_fn *done, void *context)
{
    const struct database *db = database_find (p, &r->db);
    if (db == NULL || (r->direction & WEIR_SYNC_PUSH) == 0) {
        done (p, context, true, 0, 0); /* nothing here that it could lack, or is to have */
        return;
    }
    struct weir_sync_state s;
    bool found = weir_sync_find (p->sync, &r->device->id, &r->db, &s);
    if (found && !weir_id_is_zero (&s.their_digest) && !weir_id_equal (&s.their_digest, &r->told)) {
        r->told = s.their_digest;
        r->cursor_dirty = true;
        rows_flush_later (p);
    }
    if ((found && s.phase == WEIR_SYNC_EQUAL)
        || (!weir_id_is_zero (&r->told) && weir_id_equal (&r->told, &db->digest))) {
        done (p, context, true, 0, 0);
        return;
    }
    if (!r->known_any) {
        done (p, context, false, 0, 0);
        return;
    }
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    struct weir_told_row *rows = weir_arena_array (arena, r->known.count + 1, sizeof *rows);
    struct lag *lag = weir_alloc (sizeof *lag);
    Weir__Lag m = WEIR__LAG__INIT;
    *lag = (struct lag){ done, context };
    for (size_t i = 0; rows != NULL && i < r->known.count; i++) {
        rows[i].row = r->known.rows[i];
    }
    m.has_db = true;
    m.db = weir_field_id (&r->db);
    m.known = rows != NULL ? wire_rows_make (rows, r->known.count, arena) : NULL;
    m.n_known = m.known != NULL ? r->known.count : 0;
    if (m.known == NULL
        || protobuf_c_message_get_packed_size (&m.base) > WEIR_MESSAGE_META_BYTES_MAX) {
        done (p, context, false, 0, 0);
        free (lag);
    } else {
        (void) weir_actor_ask (p->actor, WEIR_KIND_LAG, NULL, &m.base, weir_bytes (NULL, 0),
                               PEERS_ASK_MS, lag_told, lag);
    }
    weir_arena_destroy (&arena);
}
