/* Questions about the past of an entry: walks backward over runs in order of arrival, greatest
 * position first. What builds on a run arrived after it, so each run is met once, and a walk
 * may stop at the position of what it looks for. */

#include "store/base/heap.h"
#include "store/dag/run_scan.h"
#include "store/repo/parts.h"

#include <stdlib.h>
#include <string.h>

#define LATE_STEPS_MAX (1u << 18)

struct step {
    struct weir_repo_spot spot; /* up to this entry of its run */
    uint64_t position;
};

static int
later_first (const void *a, const void *b)
{
    const struct step *x = a;
    const struct step *y = b;
    return x->position > y->position ? -1 : x->position < y->position;
}

struct walk {
    struct weir_repo *self;
    struct weir_repo_db *db;
    struct weir_heap heap;
    uint64_t floor; /* runs that arrived before this are of no interest */
};

static void
walk_fini (struct walk *w)
{
    for (struct step *s = weir_heap_pop (&w->heap); s != NULL; s = weir_heap_pop (&w->heap)) {
        free (s);
    }
    weir_heap_fini (&w->heap);
}

static enum weir_status
walk_add (struct walk *w, const struct weir_id *id)
{
    struct step step;
    struct weir_repo_facts facts;
    enum weir_status status = weir_repo_find (w->self, w->db, id, &step.spot);
    if (status == WEIR_OK) {
        status = weir_repo_facts_behind (w->self, w->db, &step.spot, &facts);
    }
    if (status != WEIR_OK) {
        return status == WEIR_NOT_FOUND ? WEIR_CORRUPT : status;
    }
    if (facts.position >= w->floor) {
        struct step *copy = weir_alloc (sizeof *copy);
        step.position = facts.position;
        *copy = step;
        weir_heap_push (&w->heap, copy);
    }
    return WEIR_OK;
}

/* The next run, with the last of its entries that was reached; false at the end. */
static bool
walk_next (struct walk *w, struct step *step)
{
    struct step *first = weir_heap_pop (&w->heap);
    if (first == NULL) {
        return false;
    }
    *step = *first;
    free (first);
    for (struct step *same = weir_heap_peek (&w->heap);
         same != NULL && same->position == step->position; same = weir_heap_peek (&w->heap)) {
        if (same->spot.seq > step->spot.seq) {
            step->spot.seq = same->spot.seq;
        }
        free (weir_heap_pop (&w->heap));
    }
    return true;
}

/* Adds what the run builds on. */
static enum weir_status
walk_past (struct walk *w, const struct step *step)
{
    struct weir_repo_record record;
    struct weir_run run;
    enum weir_status status = weir_repo_record_get (w->self, w->db, step->spot.branch,
                                                    step->spot.run_seq, &w->self->record, &record);
    if (status != WEIR_OK) {
        return status;
    }
    weir_arena_reset (w->self->arena_read);
    if (weir_run_scan (&run, w->self->arena_read, record.bytes) != WEIR_OK) {
        return WEIR_CORRUPT;
    }
    struct weir_id ids[WEIR_ENTRY_DEPS_MAX + 1];
    size_t n = run.n_deps;
    memcpy (ids, run.deps, n * sizeof ids[0]);
    if (run.seq > 0) {
        ids[n++] = run.prev;
    }
    for (size_t i = 0; i < n && status == WEIR_OK; i++) {
        status = walk_add (w, &ids[i]);
    }
    return status;
}

enum weir_status
weir_repo_is_before (struct weir_repo *self, const struct weir_id *id, const struct weir_id *a,
                     const struct weir_id *b, size_t steps_max, bool *before)
{
    struct walk w = { .self = self };
    struct weir_repo_spot spot;
    struct weir_repo_facts facts;
    struct step step;
    enum weir_status status = weir_repo_db_get (self, id, &w.db);
    if (status == WEIR_OK) {
        status = weir_repo_find (self, w.db, a, &spot);
    }
    if (status == WEIR_OK) {
        status = weir_repo_facts_behind (self, w.db, &spot, &facts);
    }
    if (status == WEIR_OK) {
        struct weir_repo_spot other;
        status = weir_repo_find (self, w.db, b, &other);
    }
    if (status != WEIR_OK) {
        return status;
    }
    if (weir_id_equal (a, b)) {
        *before = false;
        return WEIR_OK;
    }
    weir_heap_init (&w.heap, later_first);
    w.floor = facts.position;
    bool found = false;
    size_t steps = 0;
    status = walk_add (&w, b);
    while (status == WEIR_OK && !found && walk_next (&w, &step)) {
        if (step.position == facts.position) {
            found = step.spot.seq >= spot.seq;
        } else if (steps++ >= steps_max) {
            status = WEIR_LIMIT;
        } else {
            status = walk_past (&w, &step);
        }
    }
    walk_fini (&w);
    if (status == WEIR_OK) {
        *before = found;
    }
    return status;
}

/* ---- late data ---- */

/* How much of each branch of `device` lies in the past of `entry`: covered[branch] is the first
 * seq that does not. */
static enum weir_status
cover (struct weir_repo *self, struct weir_repo_db *db, const struct weir_id *device,
       const struct weir_id *entry, uint64_t *covered)
{
    struct walk w = { .self = self, .db = db, .floor = 0 };
    struct step step;
    size_t steps = 0;
    weir_heap_init (&w.heap, later_first);
    enum weir_status status = walk_add (&w, entry);
    while (status == WEIR_OK && walk_next (&w, &step)) {
        if (steps++ >= LATE_STEPS_MAX) {
            status = WEIR_LIMIT;
            break;
        }
        uint32_t n = step.spot.branch;
        if (weir_id_equal (&db->branches[n].chain.author, device)
            && step.spot.seq + 1 > covered[n]) {
            covered[n] = step.spot.seq + 1;
        }
        status = walk_past (&w, &step);
    }
    walk_fini (&w);
    return status;
}

/* Adds the data entries of a branch from `from` on. */
static enum weir_status
add_data (struct weir_repo *self, struct weir_repo_db *db, uint32_t branch, uint64_t from,
          struct weir_ranges *ranges)
{
    struct weir_repo_record record;
    struct weir_run run;
    uint64_t count = db->branches[branch].count;
    uint64_t run_seq = 0;
    enum weir_status status = WEIR_OK;
    while (status == WEIR_OK && from < count) {
        status = weir_repo_record_at (self, db, branch, from, &self->record, &record, &run_seq);
        if (status != WEIR_OK) {
            break;
        }
        weir_arena_reset (self->arena_read);
        if (weir_run_scan (&run, self->arena_read, record.bytes) != WEIR_OK
            || from - run.seq >= run.count) {
            status = WEIR_CORRUPT;
            break;
        }
        if (run.kind == WEIR_ENTRY_DATA) {
            struct weir_range range = {
                .chain = run.chain,
                .from_seq = from,
                .to_seq = run.seq + run.count,
                .tip = record.tip,
            };
            weir_ranges_add (ranges, &range, from == run.seq ? &run.prev : &weir_id_zero);
        }
        from = run.seq + run.count;
    }
    return status;
}

enum weir_status
weir_repo_late (struct weir_repo *self, const struct weir_id *id, const struct weir_id *device,
                struct weir_ranges *ranges)
{
    struct weir_repo_db *db = NULL;
    enum weir_status status = weir_repo_db_get (self, id, &db);
    if (status != WEIR_OK) {
        return status;
    }
    weir_repo_settle (self);
    size_t count = 0;
    const struct weir_member *list = weir_members_list (db->members, db->view, &count);
    const struct weir_member *removed = NULL;
    for (size_t i = 0; i < count; i++) {
        if (weir_id_equal (&list[i].device, device) && list[i].right == WEIR_RIGHT_NONE) {
            removed = &list[i];
        }
    }
    if (removed == NULL) {
        return WEIR_OK;
    }
    struct weir_id entry = removed->entry;
    uint64_t *covered = weir_alloc (db->n_branches * sizeof *covered);
    status = cover (self, db, device, &entry, covered);
    for (uint32_t n = 0; n < db->n_branches && status == WEIR_OK; n++) {
        const struct weir_repo_branch *b = &db->branches[n];
        if (weir_id_equal (&b->chain.author, device)) {
            uint64_t from = covered[n] > b->first_seq ? covered[n] : b->first_seq;
            status = add_data (self, db, n, from, ranges);
        }
    }
    free (covered);
    return status;
}
