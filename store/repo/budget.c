/* The budget of lanes and tips (page 2: "limited in rate, not in number"): how many chains one
 * author may begin, or split, in one database. Honest authors begin one for each restore, fork or
 * detached edit and never meet it. What exceeds it waits among the pending runs and comes in as
 * time passes; what exceeds that too is refused, and not remembered: who has it may bring it
 * again. Its own author, and an import from a file, have no budget.
 *
 * A token bucket, kept as the time at which it will be full (the "theoretical arrival time" of
 * ATM's generic cell rate algorithm): one number an author, and none once it is full. */

#include "store/repo/parts.h"

#include <stdlib.h>
#include <string.h>

#define KEY_BYTES (4u + WEIR_ID_BYTES)
#define INTERVAL_US (1000000u / WEIR_TIPS_PER_S)
#define BURST_US ((uint64_t) (WEIR_TIPS_BURST - 1u) * INTERVAL_US)
#define ROWS_KEPT 4096u
#define RELEASED_PER_SLICE 64u

struct row {
    uint32_t db;
    struct weir_id author;
    uint64_t full_us;
    uint32_t waiting; /* runs that wait for it */
};

struct weir_repo_budget {
    struct weir_map *rows;
    uint32_t waiting; /* in all */
};

struct weir_repo_budget *
weir_repo_budget_new (void)
{
    struct weir_repo_budget *self = weir_alloc (sizeof *self);
    self->rows = weir_map_new ();
    return self;
}

void
weir_repo_budget_destroy (struct weir_repo_budget **self_p)
{
    struct weir_repo_budget *self = *self_p;
    if (self == NULL) {
        return;
    }
    weir_map_destroy (&self->rows, free);
    free (self);
    *self_p = NULL;
}

static struct weir_bytes
make_key (uint8_t key[KEY_BYTES], uint32_t db, const struct weir_id *author)
{
    weir_store_u32 (key, db);
    memcpy (key + 4, author->b, WEIR_ID_BYTES);
    return weir_bytes (key, KEY_BYTES);
}

static struct row *
find (const struct weir_repo_budget *self, uint32_t db, const struct weir_id *author)
{
    uint8_t key[KEY_BYTES];
    return weir_map_get (self->rows, make_key (key, db, author));
}

static bool
may_take (const struct row *row, uint64_t now_us)
{
    return row->full_us <= now_us + BURST_US;
}

/* A full bucket is as good as none. */
static void
forget_full (struct weir_repo_budget *self, uint64_t now_us)
{
    struct weir_bytes key;
    void *value = NULL;
    for (size_t i = 0; weir_map_next (self->rows, &i, &key, &value);) {
        struct row *row = value;
        if (row->waiting == 0 && row->full_us <= now_us) {
            (void) weir_map_remove (self->rows, key);
            free (row);
        }
    }
}

static struct row *
need (struct weir_repo_budget *self, uint32_t db, const struct weir_id *author, uint64_t now_us)
{
    uint8_t key[KEY_BYTES];
    struct row *row = find (self, db, author);
    if (row == NULL) {
        if (weir_map_count (self->rows) >= ROWS_KEPT) {
            forget_full (self, now_us);
        }
        row = weir_alloc (sizeof *row);
        row->db = db;
        row->author = *author;
        (void) weir_map_put (self->rows, make_key (key, db, author), row);
    }
    return row;
}

enum weir_status
weir_repo_budget_take (struct weir_repo *repo, const struct weir_repo_db *db,
                       const struct weir_id *author, const struct weir_id *source)
{
    if (weir_id_is_zero (source) || weir_id_equal (author, &repo->identity->device)) {
        return WEIR_OK;
    }
    uint64_t now_us = repo->now_ms * 1000u;
    struct row *row = need (repo->budget, db->number, author, now_us);
    if (!may_take (row, now_us)) {
        return row->waiting < WEIR_TIPS_WAITING_MAX ? WEIR_PENDING : WEIR_TOO_OFTEN;
    }
    row->full_us = (row->full_us > now_us ? row->full_us : now_us) + INTERVAL_US;
    return WEIR_OK;
}

void
weir_repo_budget_waits (struct weir_repo *repo, uint32_t db, const struct weir_id *author)
{
    need (repo->budget, db, author, repo->now_ms * 1000u)->waiting++;
    repo->budget->waiting++;
}

void
weir_repo_budget_left (struct weir_repo *repo, uint32_t db, const struct weir_id *author)
{
    struct row *row = find (repo->budget, db, author);
    weir_assert (row != NULL && row->waiting > 0);
    row->waiting--;
    repo->budget->waiting--;
}

/* One that has room for a run that waits, or NULL. */
static struct row *
next_due (const struct weir_repo_budget *self, uint64_t now_us)
{
    struct weir_bytes key;
    void *value = NULL;
    for (size_t i = 0; weir_map_next (self->rows, &i, &key, &value);) {
        struct row *row = value;
        if (row->waiting > 0 && may_take (row, now_us)) {
            return row;
        }
    }
    return NULL;
}

bool
weir_repo_budget_work (struct weir_repo *repo)
{
    struct weir_repo_budget *self = repo->budget;
    for (size_t n = 0; self->waiting > 0 && n < RELEASED_PER_SLICE; n++) {
        struct row *row = next_due (self, repo->now_ms * 1000u);
        if (row == NULL) {
            return false;
        }
        if (weir_repo_pending_release (repo, row->db, &row->author) != WEIR_OK) {
            return false; /* the store's own status says why */
        }
    }
    return self->waiting > 0 && next_due (self, repo->now_ms * 1000u) != NULL;
}
