#ifndef WEIR_BROKER_RESTART_H
#define WEIR_BROKER_RESTART_H

/* When a dead child is started again, and when that is given up: Erlang/OTP's restart intensity
 * with an exponential back-off. Pure; one of these for each child. */

#include "store/base/bytes.h"
#include "store/base/rand.h"

struct weir_restart_config {
    uint64_t limit; /* early deaths within window_ms; one more gives up */
    uint64_t window_ms;
    uint64_t backoff_ms_min;
    uint64_t backoff_ms_max;
    uint64_t reset_ms; /* ready for so long: that life was no early death */
};

struct weir_restart {
    struct weir_restart_config config;
    uint64_t *deaths; /* times of the early ones within the window, oldest first */
    size_t head, count, cap;
    uint64_t backoff_ms; /* of the last wait, before jitter; 0: none yet */
};

void weir_restart_init (struct weir_restart *r, const struct weir_restart_config *config);
void weir_restart_fini (struct weir_restart *r);

/* A child died that had been ready for `ready_ms` (0: it never was). Returns true with the time
 * to wait in *wait_ms: doubling from the least to the most, +-20 % within these, from the least
 * again after a life that was no early death. false: give up. */
bool weir_restart_died (struct weir_restart *r, uint64_t now_ms, uint64_t ready_ms,
                        struct weir_rand *rand, uint64_t *wait_ms);
/* Somebody started it by hand: forget the past. */
void weir_restart_reset (struct weir_restart *r);

#endif
