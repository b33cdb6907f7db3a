#ifndef WEIR_STORE_BASE_RAND_H
#define WEIR_STORE_BASE_RAND_H

/* A seeded generator (xoshiro256**, Blackman and Vigna 2018) for jitter, simulators and tests:
 * pure code takes one as an argument and never asks the system. Not for secrets. */

#include "store/base/bytes.h"

struct weir_rand {
    uint64_t s[4];
};

void weir_rand_init (struct weir_rand *r, uint64_t seed);
uint64_t weir_rand_u64 (struct weir_rand *r);
/* 0 <= result < below; below 0 gives 0. Unbiased. */
uint64_t weir_rand_below (struct weir_rand *r, uint64_t below);
void weir_rand_bytes (struct weir_rand *r, void *out, size_t len);
/* value +- percent, uniformly; never below 0. */
uint64_t weir_rand_jitter (struct weir_rand *r, uint64_t value, unsigned percent);

#endif
