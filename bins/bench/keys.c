/* Replicas for the benches of the library: keys in a known order, and a text in them. */

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bins/bench/text.h"
#include "store/crdt/types.h"

static int
compare_identities (const void *a, const void *b)
{
    const struct weir_identity *x = a;
    const struct weir_identity *y = b;
    return weir_id_compare (&x->device, &y->device);
}

void
bench_keys_init (struct bench_keys *self, size_t count)
{
    static const uint8_t zero[32];
    weir_crypto_init ();
    *self = (struct bench_keys){ .count = count > 0 ? count : 1 };
    self->items = weir_alloc (self->count * sizeof *self->items);
    for (size_t i = 0; i < self->count; i++) {
        uint8_t seed[32] = { 'b' };
        weir_store_u64 (seed + 8, i);
        weir_identity_init (&self->items[i], seed);
    }
    qsort (self->items, self->count, sizeof *self->items, compare_identities);
    weir_replica_genesis (&self->items[0], zero, "bench", &self->genesis);
}

void
bench_keys_fini (struct bench_keys *self)
{
    for (size_t i = 0; i < self->count; i++) {
        weir_identity_fini (&self->items[i]);
    }
    free (self->items);
    weir_buf_fini (&self->genesis);
    memset (self, 0, sizeof *self);
}

struct weir_replica_options
bench_keys_options (const struct bench_keys *self, size_t key, uint64_t lane)
{
    return (struct weir_replica_options){ .identity = &self->items[key],
                                          .lane = lane,
                                          .genesis = weir_buf_bytes (&self->genesis),
                                          .trusts_signatures = true };
}

void
bench_need (enum weir_status status, const struct weir_error *e, const char *what)
{
    if (status != WEIR_OK) {
        bench_die ("%s: %s (%s)", what, e->what[0] != '\0' ? e->what : "it failed",
                   weir_status_code (status));
    }
}

void
bench_replica_text (const struct weir_replica *replica, struct weir_buf *out)
{
    struct weir_container *text =
        weir_container_child (weir_doc_top (weir_replica_doc (replica)), weir_bytes_str ("t"),
                              &weir_container_text, false);
    if (text != NULL) {
        const struct weir_seq *seq = weir_container_seq (text);
        weir_seq_text (seq, 0, weir_seq_length (seq), out);
    }
}

double
bench_now_ms (void)
{
    struct timespec t;
    clock_gettime (CLOCK_MONOTONIC, &t);
    return (double) t.tv_sec * 1e3 + (double) t.tv_nsec / 1e6;
}

json_t *
bench_ms (double ms)
{
    return json_real ((double) (int64_t) (ms * 1000.0 + 0.5) / 1000.0);
}
