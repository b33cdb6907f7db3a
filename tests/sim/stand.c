/* Transfers that stand: a node's store feeds them what is novel by itself, as actors/store does,
 * and tells its peers which. */

#include "tests/sim/sim.h"

#include <stdlib.h>

/* What of the novel ranges a transfer gets by itself: what its peer neither sent nor wrote. */
static bool
fits (const struct sim *sim, const struct sim_node *node, const struct sim_transfer *t,
      const struct sim_event *novel, struct weir_ranges *out)
{
    const struct weir_id *device = &sim->nodes[t->peer].identity.device;
    weir_ranges_clear (out);
    if (!t->stands || !weir_id_equal (&t->db, &novel->event.db)
        || weir_id_equal (&novel->event.source, device)
        || (node->role == WEIR_ROLE_LEAF && !weir_id_is_zero (&novel->event.source))) {
        return false;
    }
    for (size_t i = 0; i < novel->ranges.count; i++) {
        if (!weir_id_equal (&novel->ranges.items[i].chain.author, device)) {
            weir_ranges_add (out, &novel->ranges.items[i], &weir_id_zero);
        }
    }
    return out->count > 0;
}

void
sim_on_stand (struct sim_transfer *t, bool stand)
{
    t->stands = stand && t->started;
}

void
sim_tell_novel (struct sim *sim, struct sim_node *node, struct sim_event *novel)
{
    struct weir_ranges ranges = { 0 };
    struct sim_transfer *fed[SIM_STANDING_MAX];
    size_t n = 0;
    novel->fed = weir_alloc (SIM_STANDING_MAX * sizeof novel->fed[0]);
    for (struct sim_transfer *t = node->transfers; t && n < SIM_STANDING_MAX; t = t->next) {
        if (fits (sim, node, t, novel, &ranges)) {
            weir_out_feed (t->out, &ranges, &novel->event.digest);
            t->fed = true;
            novel->fed[n].session = t->session;
            novel->fed[n].transfer = t->number;
            fed[n++] = t;
        }
    }
    weir_ranges_fini (&ranges);
    novel->event.fed = novel->fed;
    novel->event.n_fed = n;
    sim_tell (sim, novel);
    for (size_t i = 0; i < n; i++) {
        sim_pump (sim, node, fed[i]);
    }
}
