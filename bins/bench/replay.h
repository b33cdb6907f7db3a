#ifndef WEIR_BINS_BENCH_REPLAY_H
#define WEIR_BINS_BENCH_REPLAY_H

/* One document history, replayed on replicas of the library. */

#include "bins/bench/text.h"

#define BENCH_REPLICAS_MAX 64u

/* Plays a case {"replicas", "steps", "expect", "at"}; `keys` has at least as many as there are
 * replicas. False: it came to something else, or could not be played: *why says the first
 * difference. */
bool bench_replay_case (const struct bench_keys *keys, const json_t *root, struct weir_buf *why);

#endif
