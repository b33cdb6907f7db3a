/* Where an entry is that another node waits for. What waits here is in repo_pending.c. */

#include "store/repo/gap.h"
#include "store/repo/parts.h"

enum weir_status
weir_repo_way_to (struct weir_repo *self, const struct weir_id *db, const struct weir_id *entry,
                  bool has_from, uint64_t from_seq, struct weir_range *range)
{
    struct weir_entry_facts facts;
    struct weir_log_row row;
    enum weir_status status = weir_repo_entry (self, db, entry, &facts, NULL);
    if (status != WEIR_OK) {
        return status;
    }
    range->chain = facts.chain;
    range->from_seq = facts.seq;
    range->to_seq = facts.seq + 1;
    range->tip = *entry;
    if (has_from && from_seq <= facts.seq) {
        range->from_seq = from_seq;
    } else if (facts.position > 0
               && weir_repo_log_next (self, facts.position - 1, db, &row) == WEIR_OK
               && weir_chain_compare (&row.range.chain, &facts.chain) == 0
               && row.range.from_seq <= facts.seq && facts.seq < row.range.to_seq) {
        range->from_seq = row.range.from_seq;
    }
    return WEIR_OK;
}
