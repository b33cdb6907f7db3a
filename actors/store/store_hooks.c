/* Every commit and import is considered for sync here, with no call by the application: peers are
 * told of what became durable, in the order in which it arrived. A commit never waits for it. */

#include "actors/store/state.h"

#define NOVEL_ROWS_PER_SLICE 256u

/* One message: consecutive log rows of one database and source. */
static enum weir_status
send_novel (struct store *s, const struct weir_log_row *first, const struct weir_ranges *ranges,
            uint64_t position)
{
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    Weir__Novel m = WEIR__NOVEL__INIT;
    struct weir_id digest = store_digest (s, &first->db);
    m.has_db = m.has_digest = m.has_position = true;
    m.db = weir_field_id (&first->db);
    m.digest = weir_field_id (&digest);
    m.position = position;
    m.has_source = !weir_id_is_zero (&first->source);
    m.source = weir_field_id (&first->source);
    (void) store_put_ranges (arena, ranges, &m.ranges, &m.n_ranges);
    store_transfer_name (s, first, ranges, arena, &m);
    enum weir_status status = weir_actor_send_about (s->actor, WEIR_KIND_NOVEL, NULL, NULL,
                                                     &first->db, 0, &m.base, weir_bytes (NULL, 0));
    weir_arena_destroy (&arena);
    if (status == WEIR_OK) {
        store_transfer_feed (s, first, ranges, &digest); /* only once peers knows that it is */
    }
    return status;
}

/* Tells peers of the log rows behind the last told one. A refusal (its mailbox is full) is tried
 * again: a NOVEL that never came would leave its digest stale. */
void
store_tell_novel (struct store *s)
{
    struct weir_ranges ranges = { 0 };
    struct weir_log_row first;
    struct weir_log_row row;
    uint64_t at = s->told_position;
    size_t rows = 0;
    s->tell_again = false;
    if (!s->peers_up) {
        s->told_position = weir_repo_position (s->repo); /* it asks when it comes */
        return;
    }
    while (!s->tell_again) {
        bool have =
            rows < NOVEL_ROWS_PER_SLICE && weir_repo_log_next (s->repo, at, NULL, &row) == WEIR_OK;
        bool same = have && ranges.count > 0 && weir_id_equal (&row.db, &first.db)
                    && weir_id_equal (&row.source, &first.source)
                    && ranges.count < WEIR_RANGES_PER_MESSAGE;
        if (ranges.count > 0 && !same) {
            if (send_novel (s, &first, &ranges, at) != WEIR_OK) {
                s->tell_again = true;
                break;
            }
            s->told_position = at;
            weir_ranges_clear (&ranges);
            rows = 0;
            continue;
        }
        if (!have) {
            break;
        }
        if (ranges.count == 0) {
            first = row;
        }
        weir_ranges_add (&ranges, &row.range, &weir_id_zero);
        at = row.position;
        rows++;
    }
    weir_ranges_fini (&ranges);
}
