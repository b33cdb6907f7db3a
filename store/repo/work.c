/* Deferred work in bounded slices: rows of forgotten databases, clients and pending runs that are
 * too old, snapshots of documents. The store actor calls it between turns. */

#include "store/repo/parts.h"

#include <string.h>

#define FORGET_ROWS_PER_SLICE 2048u
#define FORGET_CONTENT_PER_SLICE 64u /* their values are large */

/* Deletes rows whose keys start with (table, db#), and for arrivals their row in the log too.
 * Returns how many of `budget` are left. */
static size_t
forget_table (struct weir_repo *self, enum weir_repo_table table, uint32_t db, size_t budget)
{
    struct weir_repo_key from = weir_repo_key_db (table, db);
    struct weir_repo_key to = weir_repo_key_after (&from);
    struct weir_kv_iter *iter =
        weir_kv_iter_new (self->kv, weir_repo_key_bytes (&from), weir_repo_key_bytes (&to), false);
    struct weir_bytes key;
    struct weir_bytes value;
    while (budget > 0 && weir_kv_iter_next (iter, &key, &value)) {
        if (table == WEIR_REPO_TABLE_ARRIVAL && key.len == 13) {
            struct weir_repo_key log = weir_repo_key_log (weir_load_u64 (key.data + 5));
            weir_repo_delete (self, &log);
        }
        weir_kv_delete (self->batch, key);
        self->batch_used = true;
        budget--;
    }
    weir_kv_iter_destroy (&iter);
    return budget;
}

/* True when more is left. That positions are not used again is the layout row's work. */
static bool
forget_some (struct weir_repo *self)
{
    uint32_t db = self->forgotten[self->n_forgotten - 1];
    size_t budget = FORGET_ROWS_PER_SLICE;
    weir_repo_settle (self);
    for (unsigned table = WEIR_REPO_TABLE_OF_DB_FIRST;
         table <= WEIR_REPO_TABLE_OF_DB_LAST && budget > 0; table++) {
        budget = forget_table (self, (enum weir_repo_table) table, db, budget);
    }
    for (unsigned table = WEIR_REPO_TABLE_OF_BLOBS_FIRST;
         table <= WEIR_REPO_TABLE_OF_BLOBS_LAST && budget > 0; table++) {
        if (table == WEIR_REPO_TABLE_CONTENT && budget > FORGET_CONTENT_PER_SLICE) {
            budget = FORGET_CONTENT_PER_SLICE;
        }
        budget = forget_table (self, (enum weir_repo_table) table, db, budget);
    }
    if (budget > 0) {
        struct weir_repo_key key = weir_repo_key_db (WEIR_REPO_TABLE_DATABASE, db);
        weir_repo_delete (self, &key);
        self->n_forgotten--;
    }
    return self->n_forgotten > 0;
}

bool
weir_repo_work (struct weir_repo *self, uint64_t now_ms)
{
    self->now_ms = now_ms > self->now_ms ? now_ms : self->now_ms;
    if (weir_kv_status (self->kv) != WEIR_OK) {
        return false;
    }
    bool more = self->n_forgotten > 0 && forget_some (self);
    more = weir_repo_clients_work (self) || more;
    weir_repo_pending_expire (self);
    more = weir_repo_budget_work (self) || more;
    more = weir_repo_docs_work (self) || more;
    more = weir_repo_blobs_work (self) || more;
    weir_repo_flush_if_large (self);
    return more;
}
