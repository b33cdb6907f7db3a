/* The newer ladder as the store climbs it: heads and a hint first, ranges when these say too
 * little. Each step is made of what was told and of what is held now; nothing is kept between
 * steps. What travels is bytes whose first says which rung they are of. Peers carries them
 * (store/sync/sync_ladder.c). */

#include "store/dag/outline.h"
#include "store/repo/parts.h"

#include <stdlib.h>
#include <string.h>

enum { RUNG_HEADS = 1, RUNG_RANGES = 3 };
#define HEADS_BESIDE_HINT 8u

void
weir_repo_rung_fini (struct weir_repo_rung *r)
{
    weir_buf_fini (&r->say);
    weir_ranges_fini (&r->lacks);
    memset (r, 0, sizeof *r);
}

/* ---- what we say ---- */

static void
say_heads (const struct weir_outline *h, struct weir_repo_rung *rung)
{
    weir_buf_put_u8 (&rung->say, RUNG_HEADS);
    weir_outline_put (h, &rung->say);
}

static void
fill_heads (const struct weir_repo_db *db, struct weir_outline *h)
{
    h->digest = weir_vector_digest (&db->vector);
    h->chains = db->vector.count;
    h->n_heads = db->n_heads <= WEIR_HEADS_MAX ? db->n_heads : 0;
    h->heads = weir_alloc (h->n_heads * sizeof h->heads[0]);
    if (h->n_heads > 0) {
        memcpy (h->heads, db->heads, h->n_heads * sizeof h->heads[0]);
    }
}

/* Our vector as it was at the hint, when the hint is true. */
static bool
vector_then (struct weir_repo *self, const struct weir_repo_db *db,
             const struct weir_repo_hint *hint, struct weir_vector *then)
{
    if (weir_repo_vector_at (self, &db->id, hint->position, WEIR_WALK_RUNS_MAX, then) != WEIR_OK) {
        return false;
    }
    struct weir_id digest = weir_vector_digest (then);
    return weir_id_equal (&digest, &hint->digest);
}

/* What changed here since `then`, when it is little. */
static bool
fill_hint (const struct weir_repo_db *db, const struct weir_id *digest,
           const struct weir_vector *then, struct weir_outline *h)
{
    struct weir_vector was = { 0 };
    weir_vector_differing (&db->vector, then, &h->rows, &was);
    weir_vector_fini (&was);
    if (h->rows.count > WEIR_HINT_ROWS_MAX) {
        weir_vector_clear (&h->rows);
        return false;
    }
    h->hint = *digest;
    return true;
}

static void
say_ranges (struct weir_repo *self, struct weir_repo_db *db, const struct weir_id *key,
            struct weir_repo_rung *rung)
{
    struct weir_reconciled none = { 0 };
    weir_buf_clear (&rung->say);
    weir_buf_put_u8 (&rung->say, RUNG_RANGES);
    enum weir_status status =
        weir_repo_reconcile (self, db, key, weir_bytes (NULL, 0), &rung->say, &none);
    weir_assert (status == WEIR_OK); /* nothing was told that could be wrong */
    rung->answer = true;
}

/* ---- heads that were told ---- */

/* Their vector, by the hint they gave; false when it cannot be had. */
static bool
vector_by_hint (struct weir_repo *self, const struct weir_repo_db *db,
                const struct weir_repo_ladder *ask, const struct weir_outline *told,
                struct weir_vector *then, struct weir_vector *theirs)
{
    for (size_t i = 0; i < ask->n_hints && !weir_id_is_zero (&told->hint); i++) {
        if (weir_id_equal (&ask->hints[i].digest, &told->hint)) {
            return vector_then (self, db, &ask->hints[i], then)
                   && weir_outline_vector (told, then, theirs) == WEIR_OK;
        }
    }
    return false;
}

/* Compares with their vector. False where branches part: samples must say where. */
static enum weir_status
compare_vectors (struct weir_repo *self, struct weir_repo_db *db, const struct weir_vector *theirs,
                 struct weir_repo_rung *rung, bool *settled)
{
    struct weir_vector ours = { 0 };
    struct weir_vector told = { 0 };
    struct weir_vector unknown = { 0 };
    weir_vector_differing (&db->vector, theirs, &ours, &told);
    struct weir_told_row *rows = weir_alloc (told.count * sizeof rows[0]);
    for (size_t i = 0; i < told.count; i++) {
        rows[i].row = told.rows[i];
    }
    enum weir_status status = weir_repo_compare_rows (self, db, &ours, rows, told.count,
                                                      &rung->lacks, &rung->more, &unknown);
    rung->chains = ours.count > told.count ? ours.count : told.count;
    *settled = unknown.count == 0;
    if (!*settled) {
        weir_ranges_clear (&rung->lacks);
    }
    free (rows);
    weir_vector_fini (&ours);
    weir_vector_fini (&told);
    weir_vector_fini (&unknown);
    return status;
}

/* They hold what both had once: all that is new here is what they lack. */
static enum weir_status
settle_unasked (struct weir_repo *self, struct weir_repo_db *db, const struct weir_repo_ladder *ask,
                struct weir_repo_rung *rung)
{
    struct weir_vector then = { 0 };
    enum weir_status status = WEIR_OK;
    for (size_t i = 0; i < ask->n_hints && status == WEIR_OK && !rung->settled; i++) {
        if (weir_id_equal (&ask->hints[i].digest, &ask->theirs)
            && vector_then (self, db, &ask->hints[i], &then)) {
            status = compare_vectors (self, db, &then, rung, &rung->settled);
        }
    }
    weir_vector_fini (&then);
    return status;
}

static enum weir_status
begin (struct weir_repo *self, struct weir_repo_db *db, const struct weir_repo_ladder *ask,
       struct weir_repo_rung *rung)
{
    struct weir_outline h = { 0 };
    struct weir_vector then = { 0 };
    enum weir_status status =
        weir_id_is_zero (&ask->theirs) ? WEIR_OK : settle_unasked (self, db, ask, rung);
    if (status != WEIR_OK || rung->settled) {
        return status;
    }
    fill_heads (db, &h);
    for (size_t i = 0; i < ask->n_hints && weir_id_is_zero (&h.hint); i++) {
        if (vector_then (self, db, &ask->hints[i], &then)) {
            (void) fill_hint (db, &ask->hints[i].digest, &then, &h);
        }
    }
    if (!weir_id_is_zero (&h.hint) && h.n_heads > HEADS_BESIDE_HINT) {
        h.n_heads = 0; /* few bytes say the same */
    }
    say_heads (&h, rung);
    rung->answer = true;
    weir_vector_fini (&then);
    weir_outline_fini (&h);
    return WEIR_OK;
}

/* By the heads alone: WEIR_NOT_FOUND or WEIR_LIMIT when they do not say it. */
static enum weir_status
settle_by_heads (struct weir_repo *self, struct weir_repo_db *db, const struct weir_outline *told,
                 struct weir_repo_rung *rung)
{
    if (told->chains == 0) {
        struct weir_reconciled result = { 0 };
        struct weir_buf unsaid = { 0 };
        uint8_t nothing[] = { 1, 2, 255, 0 }; /* a list of no rows */
        enum weir_status status = weir_repo_reconcile (
            self, db, &weir_id_zero, weir_bytes (nothing, sizeof nothing), &unsaid, &result);
        struct weir_ranges swap = rung->lacks;
        rung->lacks = result.lacks;
        result.lacks = swap;
        weir_reconciled_fini (&result);
        weir_buf_fini (&unsaid);
        return status;
    }
    if (told->n_heads == 0) {
        return WEIR_NOT_FOUND;
    }
    return weir_repo_beyond (self, &db->id, told->heads, told->n_heads, WEIR_WALK_RUNS_MAX,
                             &rung->lacks);
}

/* What they lack, by what they told of themselves. */
static enum weir_status
settle (struct weir_repo *self, struct weir_repo_db *db, const struct weir_repo_ladder *ask,
        const struct weir_outline *told, struct weir_outline *h, struct weir_repo_rung *rung)
{
    struct weir_vector then = { 0 };
    struct weir_vector theirs = { 0 };
    enum weir_status status = WEIR_OK;
    if (!told->known && !weir_id_equal (&told->digest, &h->digest)) {
        status = settle_by_heads (self, db, told, rung);
    }
    rung->settled = h->known = status == WEIR_OK;
    if (status != WEIR_NOT_FOUND && status != WEIR_LIMIT) {
        return status;
    }
    weir_ranges_clear (&rung->lacks);
    status = WEIR_OK;
    if (vector_by_hint (self, db, ask, told, &then, &theirs)) {
        status = compare_vectors (self, db, &theirs, rung, &rung->settled);
        rung->settled = status == WEIR_OK && rung->settled
                        && (told->answer || fill_hint (db, &told->hint, &then, h));
    }
    weir_vector_fini (&then);
    weir_vector_fini (&theirs);
    return status;
}

static enum weir_status
take_heads (struct weir_repo *self, struct weir_repo_db *db, const struct weir_repo_ladder *ask,
            struct weir_bytes bytes, struct weir_repo_rung *rung)
{
    struct weir_outline told;
    struct weir_outline h = { .answer = true };
    enum weir_status status = weir_outline_read (&told, bytes);
    if (status != WEIR_OK) {
        return status;
    }
    h.digest = weir_vector_digest (&db->vector);
    h.chains = db->vector.count;
    status = settle (self, db, ask, &told, &h, rung);
    if (status == WEIR_OK && !rung->settled) {
        weir_ranges_clear (&rung->lacks);
        if (told.answer) {
            say_ranges (self, db, &ask->key, rung);
        } else {
            fill_heads (db, &h);
        }
    }
    if (status == WEIR_OK && !told.answer && rung->say.len == 0) {
        say_heads (&h, rung); /* that is all, unless they go on with ranges */
    }
    weir_outline_fini (&h);
    weir_outline_fini (&told);
    return status;
}

static enum weir_status
take_ranges (struct weir_repo *self, struct weir_repo_db *db, const struct weir_repo_ladder *ask,
             struct weir_bytes bytes, struct weir_repo_rung *rung)
{
    struct weir_reconciled result = { 0 };
    weir_buf_put_u8 (&rung->say, RUNG_RANGES);
    enum weir_status status =
        bytes.len == 0 ? WEIR_BAD_MESSAGE
                       : weir_repo_reconcile (self, db, &ask->key, bytes, &rung->say, &result);
    if (status == WEIR_OK) {
        if (rung->say.len <= 2) {
            weir_buf_clear (&rung->say); /* a version, and nothing else */
        }
        rung->settled = !result.cut;
        rung->answer = result.answer;
        rung->more = result.more;
        rung->chains = result.chains;
        weir_ranges_fini (&rung->lacks);
        rung->lacks = result.lacks;
        memset (&result.lacks, 0, sizeof result.lacks);
    }
    weir_reconciled_fini (&result);
    return status;
}

static void
bound_lacks (struct weir_repo_rung *rung)
{
    if (rung->lacks.count > WEIR_LACKS_MAX) {
        rung->lacks.count = WEIR_LACKS_MAX;
        rung->settled = false;
    }
}

enum weir_status
weir_repo_ladder (struct weir_repo *self, const struct weir_repo_ladder *ask,
                  struct weir_repo_rung *rung)
{
    struct weir_repo_db *db = NULL;
    enum weir_status status = weir_repo_db_get (self, &ask->db, &db);
    if (status != WEIR_OK) {
        return status;
    }
    weir_repo_settle (self);
    if (ask->told.len == 0) {
        status = begin (self, db, ask, rung);
        bound_lacks (rung);
        return status;
    }
    struct weir_bytes rest = weir_bytes (ask->told.data + 1, ask->told.len - 1);
    if (ask->told.data[0] == RUNG_HEADS) {
        status = take_heads (self, db, ask, rest, rung);
    } else if (ask->told.data[0] == RUNG_RANGES) {
        status = take_ranges (self, db, ask, rest, rung);
    } else {
        status = WEIR_BAD_MESSAGE;
    }
    bound_lacks (rung);
    return status;
}
