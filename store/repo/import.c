/* Imports runs: shape and ids, what is held already, one signature, the past, membership, and then
 * one atomic batch. What lacks something waits in repo_pending.c. A run is judged by its own
 * bytes and its past alone, so every replica judges alike; payloads never decide. */

#include "store/repo/parts.h"

#include <string.h>

/* ---- what is new of it ---- */

/* Entries are held in order: *index is the first that is not, run->count when all are. */
static enum weir_status
first_new (struct weir_repo *self, struct weir_repo_db *db, const struct weir_run *run,
           uint32_t *index)
{
    *index = 0;
    uint32_t branch = weir_repo_chain (db, &run->chain);
    if (branch == WEIR_REPO_NONE) {
        return WEIR_OK;
    }
    for (; branch != WEIR_REPO_NONE && run->seq > 0; branch = db->branches[branch].next) {
        if (weir_id_equal (&db->branches[branch].tip, &run->prev)) {
            return WEIR_OK; /* it begins where we end */
        }
    }
    struct weir_repo_spot spot;
    enum weir_status status = weir_repo_find (self, db, weir_run_tip (run), &spot);
    if (status != WEIR_NOT_FOUND) {
        *index = run->count;
        return status;
    }
    uint32_t low = 0;
    uint32_t high = run->count - 1;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        status = weir_repo_find (self, db, &run->entries[middle].id, &spot);
        if (status == WEIR_OK) {
            low = middle + 1;
        } else if (status == WEIR_NOT_FOUND) {
            high = middle;
        } else {
            return status;
        }
    }
    *index = low;
    return WEIR_OK;
}

/* Makes `run` its own part from `index` on. */
static void
keep_new (struct weir_repo *self, struct weir_run *run, uint32_t index)
{
    if (index == 0) {
        return;
    }
    weir_buf_clear (&self->imported_cut);
    weir_run_cut (run, run->seq + index, &self->imported_cut);
    run->bytes = weir_buf_bytes (&self->imported_cut);
    run->prev = run->entries[index - 1].id;
    run->n_deps = 0;
    run->seq += index;
    run->count -= index;
    run->entries += index;
}

/* ---- its past ---- */

struct past {
    struct weir_repo_place place;
    uint32_t views[WEIR_ENTRY_DEPS_MAX + 1];
    size_t n_views;
    struct weir_id missing;
};

/* Adds what one entry hands on. WEIR_PENDING when it is not held. */
static enum weir_status
add_past (struct weir_repo *self, struct weir_repo_db *db, const struct weir_id *id,
          struct weir_repo_spot *spot, struct past *past)
{
    enum weir_status status = weir_repo_find (self, db, id, spot);
    if (status == WEIR_NOT_FOUND) {
        past->missing = *id;
        return WEIR_PENDING;
    }
    struct weir_repo_facts facts = { 0 };
    if (status == WEIR_OK) {
        status = weir_repo_facts_behind (self, db, spot, &facts);
    }
    if (status == WEIR_OK) {
        past->views[past->n_views++] = facts.view;
        if (facts.lamport > past->place.lamport) {
            past->place.lamport = facts.lamport;
        }
    }
    return status;
}

static enum weir_status
find_past (struct weir_repo *self, struct weir_repo_db *db, const struct weir_run *run,
           struct past *past)
{
    struct weir_repo_spot spot;
    past->place.branch = WEIR_REPO_NONE;
    past->place.parent = WEIR_REPO_NONE;
    if (run->seq > 0) {
        enum weir_status status = add_past (self, db, &run->prev, &spot, past);
        if (status != WEIR_OK) {
            return status;
        }
        const struct weir_repo_branch *b = &db->branches[spot.branch];
        if (weir_chain_compare (&b->chain, &run->chain) != 0 || spot.seq + 1 != run->seq) {
            return WEIR_BAD_RUN;
        }
        if (b->count == run->seq) {
            past->place.branch = spot.branch;
        } else {
            past->place.parent = spot.branch;
        }
    }
    for (uint16_t i = 0; i < run->n_deps; i++) {
        enum weir_status status = add_past (self, db, &run->deps[i], &spot, past);
        if (status != WEIR_OK) {
            return status;
        }
    }
    past->place.view =
        past->n_views == 0 ? 0 : weir_members_join (db->members, past->views, past->n_views);
    return WEIR_OK;
}

/* ---- outcomes ---- */

static enum weir_status
refuse (struct weir_repo *self, struct weir_repo_db *db, enum weir_status why,
        struct weir_import_result *result)
{
    result->outcome = WEIR_IMPORT_REFUSED;
    result->status = why;
    db->refused++;
    weir_repo_db_mark (self, db);
    return WEIR_OK;
}

static struct weir_range
range_of (const struct weir_run *run)
{
    return (struct weir_range){
        .chain = run->chain,
        .from_seq = run->seq,
        .to_seq = run->seq + run->count,
        .tip = *weir_run_tip (run),
    };
}

static void
store (struct weir_repo *self, struct weir_repo_db *db, const struct weir_run *run,
       const struct weir_repo_place *place, const struct weir_id *source,
       struct weir_import_result *result)
{
    bool known = weir_repo_chain (db, &run->chain) != WEIR_REPO_NONE;
    uint32_t branch = weir_repo_run_store (self, db, run, place, source);
    weir_repo_heads_advance (db, run->seq == 0 ? NULL : &run->prev, run->deps, run->n_deps,
                             weir_run_tip (run));
    if (db->state == WEIR_REPO_DB_JOINING) {
        db->state = WEIR_REPO_DB_LIVE;
        weir_repo_put_database (self, db);
    }
    weir_repo_doc_run (self, db, run, place, branch);
    for (uint32_t i = 0; run->kind == WEIR_ENTRY_DATA && i < run->count; i++) {
        weir_repo_blobs_notice (self, db, run->entries[i].payload);
    }
    result->outcome = WEIR_IMPORT_NEW;
    result->status = WEIR_OK;
    result->fork = known && place->branch == WEIR_REPO_NONE;
    result->range = range_of (run);
}

static void
wait_for (struct weir_repo *self, struct weir_repo_db *db, const struct weir_id *source,
          const struct weir_id *missing, struct weir_import_result *result)
{
    const struct weir_run *run = &self->imported;
    weir_repo_pending_add (self, db, run, source, missing);
    result->outcome = WEIR_IMPORT_PENDING;
    result->status = WEIR_PENDING;
    result->missing = *missing;
    (void) weir_repo_pending_find (self, db, weir_run_tip (run), run->seq, &result->missing);
    if (weir_id_is_zero (&result->missing)) {
        result->status = WEIR_TOO_OFTEN; /* what it builds on is here, and waits for its turn */
    }
}

/* A new chain, or a new tip of one: true when its author may begin it now. */
static bool
within_budget (struct weir_repo *self, struct weir_repo_db *db, const struct weir_id *source,
               struct weir_import_result *result)
{
    const struct weir_run *run = &self->imported;
    enum weir_status status = weir_repo_budget_take (self, db, &run->chain.author, source);
    if (status == WEIR_PENDING) {
        weir_repo_pending_add_late (self, db, run, source);
        result->outcome = WEIR_IMPORT_PENDING;
        result->status = WEIR_TOO_OFTEN;
    } else if (status != WEIR_OK) {
        (void) refuse (self, db, status, result);
    }
    return status == WEIR_OK;
}

/* Somebody shows, under our own signature, entries of the lane we write in that we do not have:
 * our next write begins another. */
static void
leave_lane (struct weir_repo *self, struct weir_repo_db *db, const struct weir_run *run)
{
    if (db->own_branch != WEIR_REPO_NONE
        && weir_chain_compare (&db->branches[db->own_branch].chain, &run->chain) == 0) {
        db->own_branch = WEIR_REPO_NONE;
        weir_repo_db_mark (self, db);
    }
}

/* What is known of a run that was seen before: true when that settles it. */
static bool
seen_before (struct weir_repo *self, struct weir_repo_db *db, const struct weir_run *run,
             struct weir_import_result *result)
{
    enum weir_status why = WEIR_OK;
    if (weir_repo_pending_find (self, db, weir_run_tip (run), run->seq, &result->missing)) {
        result->outcome = WEIR_IMPORT_PENDING;
        result->status = weir_id_is_zero (&result->missing) ? WEIR_TOO_OFTEN : WEIR_PENDING;
        return true;
    }
    if (weir_repo_refused_find (self, db, weir_run_tip (run), &why)) {
        (void) refuse (self, db, why, result);
        return true;
    }
    return false;
}

enum weir_status
weir_repo_import_one (struct weir_repo *self, struct weir_repo_db *db, struct weir_bytes bytes,
                      const struct weir_id *source, bool verified,
                      struct weir_import_result *result)
{
    struct weir_run *run = &self->imported;
    size_t used = 0;
    uint32_t index = 0;
    *result = (struct weir_import_result){ .outcome = WEIR_IMPORT_REFUSED };
    weir_arena_reset (self->arena);
    enum weir_status status = weir_run_decode (run, self->arena, &db->id, bytes, &used, NULL);
    if (status == WEIR_OK && used != bytes.len) {
        status = WEIR_BAD_RUN;
    }
    if (status != WEIR_OK) {
        return refuse (self, db, status == WEIR_PENDING ? WEIR_BAD_RUN : status, result);
    }
    result->range.chain = run->chain;
    if (weir_id_equal (&run->chain.author, &self->identity->device)) {
        weir_repo_seal (self, db); /* our own chain is compared with what is stored of it */
    }
    status = first_new (self, db, run, &index);
    if (status != WEIR_OK) {
        return status;
    }
    result->held = index;
    if (index == run->count) {
        result->outcome = WEIR_IMPORT_HELD;
        result->range = range_of (run);
        return WEIR_OK;
    }
    keep_new (self, run, index);
    if (!verified && seen_before (self, db, run, result)) {
        return WEIR_OK;
    }
    if (!verified && weir_run_verify (run) != WEIR_OK) {
        return refuse (self, db, WEIR_BAD_SIGNATURE, result);
    }
    leave_lane (self, db, run);
    struct past past = { .n_views = 0 };
    status = find_past (self, db, run, &past);
    if (status == WEIR_PENDING) {
        wait_for (self, db, source, &past.missing, result);
        return WEIR_OK;
    }
    if (status == WEIR_BAD_RUN) {
        return refuse (self, db, status, result);
    }
    if (status != WEIR_OK) {
        return status;
    }
    status = weir_members_may_store (db->members, past.place.view, &run->chain.author, run->kind,
                                     run->entries[0].payload);
    if (status != WEIR_OK) {
        weir_repo_refused_add (self, db, weir_run_tip (run), status);
        return refuse (self, db, status, result);
    }
    if (past.place.branch == WEIR_REPO_NONE && run->kind != WEIR_ENTRY_GENESIS
        && !within_budget (self, db, source, result)) {
        return WEIR_OK;
    }
    store (self, db, run, &past.place, source, result);
    return WEIR_OK;
}

enum weir_status
weir_repo_import (struct weir_repo *self, const struct weir_id *id, struct weir_bytes bytes,
                  const struct weir_id *source, uint64_t now_ms, struct weir_import_result *result)
{
    struct weir_repo_db *db = NULL;
    struct weir_import_result r;
    enum weir_status status = weir_kv_status (self->kv);
    self->now_ms = now_ms > self->now_ms ? now_ms : self->now_ms;
    if (status == WEIR_OK) {
        status = weir_repo_db_get (self, id, &db);
    }
    if (status == WEIR_OK) {
        status = weir_repo_import_one (self, db, bytes, source, false, &r);
    }
    if (status == WEIR_OK && r.outcome == WEIR_IMPORT_NEW) {
        status = weir_repo_pending_unlock (self, db, &r.unlocked);
    }
    if (status == WEIR_OK) {
        *result = r;
        weir_repo_flush_if_large (self);
    }
    return status;
}
