#ifndef WEIR_STORE_REPO_GAP_H
#define WEIR_STORE_REPO_GAP_H

/* Gaps (page 3): what runs wait for that came before it, and where an entry is that another node
 * waits for. Part of the repository's facade (repo.h). */

#include "store/repo/repo.h"

struct weir_repo_missing {
    struct weir_id id;
    bool has_from;     /* it is of the waiting run's own chain, */
    uint64_t from_seq; /* of which so many are held */
};

/* What runs from `source` wait for, the newest first; neither held nor waiting itself. A bounded
 * number of runs is looked at. Returns how many, at most `max`. */
size_t weir_repo_missing (struct weir_repo *self, const struct weir_id *db,
                          const struct weir_id *source, struct weir_repo_missing *out, size_t max);
/* The range that ends in `entry`: from `from_seq` on when that is given and before it, else the
 * part of its run. WEIR_NOT_FOUND. */
WEIR_MUST enum weir_status weir_repo_way_to (struct weir_repo *self, const struct weir_id *db,
                                             const struct weir_id *entry, bool has_from,
                                             uint64_t from_seq, struct weir_range *range);

#endif
