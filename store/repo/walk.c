/* Bounded walks for the ladder: what lies beyond another node's heads, and the entry vector as it
 * was at an earlier position of the arrival log. Both go backward in order of arrival, in which
 * what builds on a run comes after it. */

#include "store/base/heap.h"
#include "store/dag/run_scan.h"
#include "store/repo/parts.h"

#include <stdlib.h>
#include <string.h>

/* A run that was reached, up to one of its entries. */
struct visit {
    struct weir_repo_spot spot;
    uint64_t position;
    bool theirs; /* from their heads: it and its past are held there */
};

/* What lies beyond, newest first. */
struct piece {
    struct weir_range range;
    struct weir_id prev; /* the entry before; zero: not known */
};

struct walk {
    struct weir_repo *self;
    struct weir_repo_db *db;
    struct weir_heap heap;
    size_t open; /* visits in the heap that are not theirs */
    struct piece *pieces;
    size_t n_pieces;
    size_t cap;
};

static int
later_first (const void *a, const void *b)
{
    const struct visit *x = a;
    const struct visit *y = b;
    return x->position > y->position ? -1 : x->position < y->position;
}

static enum weir_status
reach (struct walk *w, const struct weir_id *id, bool theirs)
{
    struct visit visit = { .theirs = theirs };
    struct weir_repo_facts facts;
    enum weir_status status = weir_repo_find (w->self, w->db, id, &visit.spot);
    if (status == WEIR_OK) {
        status = weir_repo_facts_behind (w->self, w->db, &visit.spot, &facts);
    }
    if (status == WEIR_OK) {
        struct visit *copy = weir_alloc (sizeof *copy);
        visit.position = facts.position;
        *copy = visit;
        weir_heap_push (&w->heap, copy);
        w->open += theirs ? 0 : 1;
    }
    return status;
}

/* All visits of the latest run: how far each side's go. */
static void
next_run (struct walk *w, struct visit *ours, bool *has_ours, struct visit *theirs,
          bool *has_theirs)
{
    const struct visit *first = weir_heap_peek (&w->heap);
    uint64_t position = first->position;
    *has_ours = *has_theirs = false;
    for (; first != NULL && first->position == position; first = weir_heap_peek (&w->heap)) {
        struct visit *visit = weir_heap_pop (&w->heap);
        bool *has = visit->theirs ? has_theirs : has_ours;
        struct visit *most = visit->theirs ? theirs : ours;
        w->open -= visit->theirs ? 0 : 1;
        if (!*has || visit->spot.seq > most->spot.seq) {
            *most = *visit;
        }
        *has = true;
        free (visit);
    }
}

static enum weir_status
add_piece (struct walk *w, const struct visit *ours, uint64_t from, const struct weir_run *run)
{
    struct piece piece = {
        .range = { .chain = run->chain, .from_seq = from, .to_seq = ours->spot.seq + 1 },
        .prev = from == run->seq ? run->prev : weir_id_zero
    };
    enum weir_status status =
        weir_repo_id_at (w->self, w->db, ours->spot.branch, ours->spot.seq, &piece.range.tip);
    if (status == WEIR_OK) {
        weir_grow (&w->pieces, &w->cap, w->n_pieces + 1, sizeof w->pieces[0]);
        w->pieces[w->n_pieces++] = piece;
    }
    return status;
}

static enum weir_status
visit_run (struct walk *w)
{
    struct visit ours;
    struct visit theirs;
    bool has_ours;
    bool has_theirs;
    struct weir_repo_record record;
    struct weir_run run;
    struct weir_id ids[WEIR_ENTRY_DEPS_MAX + 1];
    next_run (w, &ours, &has_ours, &theirs, &has_theirs);
    const struct visit *any = has_ours ? &ours : &theirs;
    enum weir_status status = weir_repo_record_get (w->self, w->db, any->spot.branch,
                                                    any->spot.run_seq, &w->self->record, &record);
    if (status != WEIR_OK) {
        return status;
    }
    weir_arena_reset (w->self->arena_read);
    if (weir_run_scan (&run, w->self->arena_read, record.bytes) != WEIR_OK) {
        return WEIR_CORRUPT;
    }
    size_t n = run.n_deps;
    memcpy (ids, run.deps, n * sizeof ids[0]);
    if (run.seq > 0) {
        ids[n++] = run.prev;
    }
    uint64_t from = has_theirs ? theirs.spot.seq + 1 : run.seq;
    if (has_ours && from <= ours.spot.seq) {
        status = add_piece (w, &ours, from, &run);
    }
    for (size_t i = 0; i < n && status == WEIR_OK; i++) {
        status = reach (w, &ids[i], has_theirs);
        status = status == WEIR_NOT_FOUND ? WEIR_CORRUPT : status;
    }
    return status;
}

enum weir_status
weir_repo_beyond (struct weir_repo *self, const struct weir_id *id, const struct weir_id *heads,
                  size_t n_heads, size_t runs_max, struct weir_ranges *beyond)
{
    struct walk w = { .self = self };
    enum weir_status status = weir_repo_db_get (self, id, &w.db);
    if (status != WEIR_OK) {
        return status;
    }
    weir_repo_settle (self);
    weir_heap_init (&w.heap, later_first);
    for (size_t i = 0; i < n_heads && status == WEIR_OK; i++) {
        status = reach (&w, &heads[i], true);
    }
    for (size_t i = 0; i < w.db->n_heads && status == WEIR_OK; i++) {
        status = reach (&w, &w.db->heads[i], false);
    }
    for (size_t runs = 0; status == WEIR_OK && w.open > 0; runs++) {
        status = runs < runs_max ? visit_run (&w) : WEIR_LIMIT;
    }
    for (size_t i = w.n_pieces; i-- > 0 && status == WEIR_OK;) {
        weir_ranges_add (beyond, &w.pieces[i].range, &w.pieces[i].prev);
    }
    for (struct visit *v = weir_heap_pop (&w.heap); v != NULL; v = weir_heap_pop (&w.heap)) {
        free (v);
    }
    weir_heap_fini (&w.heap);
    free (w.pieces);
    return status;
}

/* ---- an earlier vector ---- */

/* As it was before this row of the log. */
static enum weir_status
unwind (struct weir_repo *self, struct weir_repo_db *db, const struct weir_repo_log_place *place,
        struct weir_vector *v)
{
    const struct weir_range *range = &place->row.range;
    const struct weir_row *row = weir_vector_find (v, &range->chain, &range->tip);
    if (row == NULL || row->count != range->to_seq) {
        return WEIR_CORRUPT;
    }
    if (range->from_seq == db->branches[place->branch].first_seq) {
        (void) weir_vector_drop (v, &range->chain, &range->tip);
        return WEIR_OK;
    }
    struct weir_row before = { .chain = range->chain, .count = range->from_seq };
    struct weir_id tip = range->tip;
    enum weir_status status =
        weir_repo_id_at (self, db, place->branch, range->from_seq - 1, &before.tip);
    if (status == WEIR_OK) {
        weir_vector_advance (v, &tip, &before);
    }
    return status;
}

enum weir_status
weir_repo_vector_at (struct weir_repo *self, const struct weir_id *id, uint64_t position,
                     size_t runs_max, struct weir_vector *v)
{
    struct weir_repo_db *db = NULL;
    enum weir_status status = weir_repo_db_get (self, id, &db);
    if (status != WEIR_OK) {
        return status;
    }
    weir_repo_settle (self);
    weir_vector_copy (v, &db->vector);
    struct weir_repo_key from =
        weir_repo_key_db_u64 (WEIR_REPO_TABLE_ARRIVAL, db->number, position + 1);
    struct weir_repo_key to =
        weir_repo_key_db_u64 (WEIR_REPO_TABLE_ARRIVAL, db->number, UINT64_MAX);
    struct weir_kv_iter *iter =
        weir_kv_iter_new (self->kv, weir_repo_key_bytes (&from), weir_repo_key_bytes (&to), true);
    struct weir_bytes key;
    struct weir_bytes value;
    for (size_t runs = 0; status == WEIR_OK && weir_kv_iter_next (iter, &key, &value); runs++) {
        struct weir_repo_log_place place;
        status = runs < runs_max
                     ? weir_repo_log_read (self, weir_load_u64 (key.data + key.len - 8), &place)
                     : WEIR_LIMIT;
        status = status == WEIR_OK ? unwind (self, db, &place, v) : status;
    }
    if (status == WEIR_OK) {
        status = weir_kv_iter_status (iter);
    }
    weir_kv_iter_destroy (&iter);
    return status;
}
