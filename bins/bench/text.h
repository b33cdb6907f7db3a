#ifndef WEIR_BINS_BENCH_TEXT_H
#define WEIR_BINS_BENCH_TEXT_H

/* What the benches of the library share: replicas with keys whose order is known, and a text in
 * them. A failure ends the bench with its sentence: the bench made what it works on. */

#include "bins/bench/bench.h"
#include "store/replica/replica.h"

/* Keys by number: the i-th is the i-th smallest. */
struct bench_keys {
    struct weir_identity *items;
    size_t count;
    struct weir_buf genesis; /* by the first */
};
void bench_keys_init (struct bench_keys *self, size_t count);
void bench_keys_fini (struct bench_keys *self);
/* Options for a replica that writes with key number `key` in `lane`; its own files are trusted. */
struct weir_replica_options bench_keys_options (const struct bench_keys *self, size_t key,
                                                uint64_t lane);

void bench_need (enum weir_status status, const struct weir_error *e, const char *what);
/* The text "t" of what is shown; appended. */
void bench_replica_text (const struct weir_replica *replica, struct weir_buf *out);
double bench_now_ms (void);
/* Three decimals, for results. */
json_t *bench_ms (double ms);

#endif
