/* What the store must know to be fair: a relationship's priority and rate, with each transfer and
 * when they change; which transfers stand, and what it fed those by itself. It decides nothing:
 * the synchronizer says what may stand, the operator what is limited. */

#include "actors/peers/state.h"

#define RECEIPTS_PROTOCOL 2u

void
pacing_open (const struct link *l, const struct relation *r, Weir__TransferOpen *m)
{
    m->has_receipts = true;
    m->receipts = l->session.protocol >= RECEIPTS_PROTOCOL;
    m->has_priority = m->has_rate = r != NULL;
    if (r != NULL) {
        m->priority = r->priority;
        m->rate = r->rate;
    }
}

static void
set (struct peers *p, const struct relation *r, bool out)
{
    Weir__TransferSet m = WEIR__TRANSFER_SET__INIT;
    m.has_transfer = m.has_session = m.has_out = m.has_priority = m.has_rate = true;
    m.transfer = out ? r->out_transfer : r->in_transfer;
    m.session = out ? r->out_session : r->in_session;
    m.out = out;
    m.priority = r->priority;
    m.rate = r->rate;
    m.has_stand = out;
    m.stand = r->stands && r->rate == 0; /* what is limited waits for its turn */
    if (m.transfer != 0) {
        (void) weir_actor_send_about (p->actor, WEIR_KIND_TRANSFER_SET, NULL, &r->device->id,
                                      &r->db, 0, &m.base, weir_bytes (NULL, 0));
    }
}

void
pacing_changed (struct peers *p, const struct relation *r)
{
    set (p, r, true);
    set (p, r, false);
}

void
pacing_stand (struct peers *p, struct relation *r, const struct weir_sync_action *a)
{
    if (r == NULL || r->out_session != a->session || r->out_transfer != a->transfer) {
        return; /* it ended meanwhile */
    }
    r->stands = a->stand;
    set (p, r, true);
}

bool
pacing_fed (const Weir__Novel *m, struct weir_arena *arena, struct weir_sync_event *e)
{
    struct weir_sync_fed *fed = weir_arena_array (arena, m->n_fed + 1, sizeof *fed);
    for (size_t i = 0; fed != NULL && i < m->n_fed; i++) {
        fed[i] = (struct weir_sync_fed){ m->fed[i]->session, m->fed[i]->transfer };
    }
    e->fed = fed;
    e->n_fed = fed != NULL ? m->n_fed : 0;
    return fed != NULL;
}
