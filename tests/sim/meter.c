/* When an entry reaches the last node: from its commit, or from when the way to the last was open
 * again, to the last arrival that was new there. */

#include "tests/sim/sim.h"

#include <string.h>

struct flight {
    uint64_t committed_ms;
    uint64_t last_ms; /* 0: nowhere yet */
};

static struct weir_bytes
entry_key (uint8_t key[48], const struct weir_chain *chain, uint64_t seq)
{
    memcpy (key, chain->author.b, 32);
    weir_store_u64 (key + 32, chain->lane);
    weir_store_u64 (key + 40, seq);
    return weir_bytes (key, 48);
}

void
sim_meter_commit (struct sim *sim, const struct weir_chain *chain, uint64_t seq)
{
    uint8_t key[48];
    struct flight *flight = weir_alloc (sizeof *flight);
    flight->committed_ms = sim->now_ms;
    (void) weir_map_put (sim->meter->by_entry, entry_key (key, chain, seq), flight);
}

void
sim_meter_arrival (struct sim *sim, const struct weir_chain *chain, uint64_t from_seq,
                   uint64_t to_seq)
{
    for (uint64_t seq = from_seq; seq < to_seq; seq++) {
        uint8_t key[48];
        struct flight *flight = weir_map_get (sim->meter->by_entry, entry_key (key, chain, seq));
        if (flight) {
            flight->last_ms = sim->now_ms;
        }
    }
}

void
sim_meter_end (struct sim_meter *meter)
{
    size_t i = 0;
    struct weir_bytes key;
    void *value;
    while (weir_map_next (meter->by_entry, &i, &key, &value)) {
        const struct flight *flight = value;
        uint64_t from = flight->committed_ms;
        if (flight->last_ms > meter->late_ms && from < meter->late_ms) {
            from = meter->late_ms;
        }
        if (flight->last_ms > 0) {
            weir_grow (&meter->last_ms, &meter->last_cap, meter->n_last + 1,
                       sizeof meter->last_ms[0]);
            meter->last_ms[meter->n_last++] = flight->last_ms - from;
        }
    }
}
