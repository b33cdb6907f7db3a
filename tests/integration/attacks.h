#ifndef WEIR_TESTS_INTEGRATION_ATTACKS_H
#define WEIR_TESTS_INTEGRATION_ATTACKS_H

/* What a member that means harm does to a hub, each until it is told to stop: for a thread of its
 * own, with a socket of its own. */

#include <stdatomic.h>

#include "tests/integration/hostile_world.h"

struct attack {
    struct world *w;
    struct hostile h;
    struct hostile_id id;
    uint64_t tag;
    struct weir_id heads[WEIR_ENTRY_DEPS_MAX]; /* behind its admission */
    size_t n_heads;
    atomic_bool stop;
    atomic_uint done; /* rounds of it */
    uint64_t said;
};

void attack_connect (struct attack *a);
void attack_promises (struct attack *a);    /* sends nothing that it promised */
void attack_announces (struct attack *a);   /* what it does not have */
void attack_prunes (struct attack *a);      /* and grafts what it never needs */
void attack_floods (struct attack *a);      /* words, offers, frames of no transfer */
void attack_drowns (struct attack *a);      /* frames beyond any credit */
void attack_absurdities (struct attack *a); /* in every field of every message */
void attack_equivocates (struct attack *a); /* thousands of chains, and of tips of one */

#endif
