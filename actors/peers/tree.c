/* The glue of the tree and of gaps: asks the store where entries are that a peer wants, and names
 * the peer that announces what it does not send. It decides nothing. */

#include "actors/peers/state.h"

#include <stdlib.h>
#include <string.h>

struct search {
    uint64_t session;
    struct weir_id device;
    struct weir_id db;
};

static void
found (void *state, struct weir_actor *actor, void *context, enum weir_status status,
       const struct weir_error *problem, const struct weir_message *answer)
{
    struct search *search = context;
    struct weir_ranges ranges = { 0 };
    struct weir_sync_event e = { .type = WEIR_SYNC_FOUND,
                                 .session = search->session,
                                 .device = search->device,
                                 .db = search->db,
                                 .status = status,
                                 .ranges = &ranges };
    (void) actor;
    (void) problem;
    if (status == WEIR_OK && answer != NULL && answer->meta != NULL) {
        const Weir__EntriesFound *m = (const Weir__EntriesFound *) answer->meta;
        e.status = wire_ranges_read (m->ranges, m->n_ranges, &ranges);
    }
    free (search);
    sync_step (state, &e);
    weir_ranges_fini (&ranges);
}

void
tree_find (struct peers *p, const struct weir_sync_action *a)
{
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    struct search *search = weir_alloc (sizeof *search);
    Weir__EntriesFind m = WEIR__ENTRIES_FIND__INIT;
    *search = (struct search){ a->session, a->device, a->db };
    m.has_db = true;
    m.db = weir_field_id (&a->db);
    m.items = wire_wants_make (a->message.wants, a->message.n_wants, arena);
    m.n_items = m.items != NULL ? a->message.n_wants : 0;
    (void) weir_actor_ask (p->actor, WEIR_KIND_ENTRIES_FIND, NULL, &m.base, weir_bytes (NULL, 0),
                           PEERS_ASK_MS, found, search);
    weir_arena_destroy (&arena);
}

void
tree_strike (struct peers *p, const struct weir_sync_action *a)
{
    weir_actor_event (p->actor, "peer_breaks_promises", &a->device, &a->db, WEIR_OK,
                      "it announces what it does not send; ignored for %u s",
                      WEIR_STRIKE_MS / 1000u);
}

bool
tree_arrived (const Weir__TransferArrived *m, struct weir_arena *arena, struct weir_ranges *held,
              struct weir_sync_event *e)
{
    struct weir_sync_want *wants = NULL;
    if (wire_ranges_read (m->held, m->n_held, held) != WEIR_OK
        || wire_wants_read (m->missing, m->n_missing, arena, &wants) != WEIR_OK) {
        return false;
    }
    e->again = m->again;
    e->ranges = held;
    e->wants = wants;
    e->n_wants = m->n_missing;
    return true;
}
