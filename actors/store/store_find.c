/* Gaps: what runs wait for that came too early, so that their sender can be asked for it; and where
 * entries are that a peer asks for so. */

#include <stdlib.h>
#include <string.h>

#include "actors/store/state.h"
#include "store/repo/gap.h"

void
store_put_missing (struct store *s, struct weir_arena *arena, const struct weir_id *db,
                   const struct weir_id *source, Weir__TransferArrived *m)
{
    struct weir_repo_missing missing[WEIR_WANTS_PER_MESSAGE];
    size_t n = weir_repo_missing (s->repo, db, source, missing, WEIR_WANTS_PER_MESSAGE);
    m->missing = weir_arena_array (arena, n + 1, sizeof *m->missing);
    for (size_t i = 0; m->missing != NULL && i < n; i++) {
        Weir__Wanted *wanted = weir_arena_alloc (arena, sizeof *wanted);
        if (wanted == NULL) {
            return;
        }
        *wanted = (Weir__Wanted) WEIR__WANTED__INIT;
        wanted->has_id = true;
        wanted->id.data = weir_arena_copy (arena, weir_id_bytes (&missing[i].id));
        wanted->id.len = wanted->id.data != NULL ? WEIR_ID_BYTES : 0;
        wanted->has_from_seq = missing[i].has_from;
        wanted->from_seq = missing[i].from_seq;
        m->missing[m->n_missing++] = wanted;
    }
}

/* The way to each entry that is here: from where the asker lacks it, else as it came. */
void
store_entries_find (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct store *s = state;
    const Weir__EntriesFind *ask = (const Weir__EntriesFind *) message->meta;
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    struct weir_ranges ranges = { 0 };
    struct weir_ranges ordered = { 0 };
    struct weir_id db;
    (void) actor;
    enum weir_status status = weir_field_get_id (&db, ask->has_db, ask->db);
    for (size_t i = 0; status == WEIR_OK && i < ask->n_items && i < WEIR_WANTS_PER_MESSAGE; i++) {
        const Weir__Wanted *wanted = ask->items[i];
        struct weir_range range;
        struct weir_id entry;
        if (weir_field_get_id (&entry, wanted->has_id, wanted->id) == WEIR_OK
            && weir_repo_way_to (s->repo, &db, &entry, wanted->has_from_seq, wanted->from_seq,
                                 &range)
                   == WEIR_OK) {
            weir_ranges_add (&ranges, &range, &weir_id_zero);
        }
    }
    if (status == WEIR_OK) {
        Weir__EntriesFound answer = WEIR__ENTRIES_FOUND__INIT;
        store_order (s, &db, &ranges, &ordered);
        (void) store_put_ranges (arena, &ordered, &answer.ranges, &answer.n_ranges);
        store_answer (s, &message->envelope, &answer.base);
    } else {
        store_fail (s, &message->envelope, status, NULL);
    }
    weir_ranges_fini (&ordered);
    weir_ranges_fini (&ranges);
    weir_arena_destroy (&arena);
}
