/* A pair is to be looked at now: an operator says so, or the retry queue. */

#include "actors/peers/state.h"

void
sync_check (struct peers *p, const struct weir_id *device, const struct weir_id *db)
{
    struct weir_sync_event e = { .type = WEIR_SYNC_CHECK };
    e.device = device != NULL ? *device : weir_id_zero;
    e.db = db != NULL ? *db : weir_id_zero;
    sync_step (p, &e);
}

/* A session has just begun, or something moves: asking for the digest once more, and of each of a
 * thousand databases, tells nothing. */
static bool
is_looked_after (struct peers *p, const struct relation *r)
{
    struct weir_sync_state s;
    if (!weir_sync_find (p->sync, &r->device->id, &r->db, &s)) {
        return false;
    }
    if (s.phase == WEIR_SYNC_EQUAL) {
        sync_tell_retry (p, r, WEIR_KIND_IN_STEP, WEIR_OK);
        return true;
    }
    bool moves = s.phase == WEIR_SYNC_COMPARING || s.phase == WEIR_SYNC_SENDING
                 || s.phase == WEIR_SYNC_RECEIVING;
    bool young = weir_actor_now_ms (p->actor) - s.since_ms < WEIR_CONNECT_MS;
    return moves || (s.phase == WEIR_SYNC_IDLE && young);
}

void
sync_due (struct peers *p, const struct weir_id *device, const struct weir_id *db)
{
    struct device *d = device_find (p, device);
    struct relation *r = d != NULL ? relation_find (d, db) : NULL;
    if (r == NULL || !r->shared) {
        return; /* nothing to be behind with: retry drops it by age */
    }
    if (d->link != NULL) {
        if (!is_looked_after (p, r)) {
            sync_check (p, device, db);
        }
        return;
    }
    r->due = true;
    d->due_ms = 0;
    d->attempts = 0;
    links_dial_soon (p);
}
