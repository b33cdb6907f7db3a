#ifndef WEIR_ACTORS_PEERS_FIGURES_H
#define WEIR_ACTORS_PEERS_FIGURES_H

/* What one peer does, in figures: rates over the last minute, totals, and a histogram of the time
 * from sending entries to their durable acknowledgement. Pure: time comes in. Of what is in
 * flight at most FIGURES_FLIGHTS_MAX are timed; more are timed with the last of them. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FIGURES_SLOTS 7u /* of 10 s: the last six and the one that goes on */
#define FIGURES_SLOT_US 10000000u
#define FIGURES_BUCKETS 17u
#define FIGURES_FLIGHTS_MAX 16u

enum figures_what { FIGURES_OUT, FIGURES_IN, FIGURES_OUT_BYTES, FIGURES_IN_BYTES, FIGURES_WHATS };

struct figures_flight {
    uint64_t session, transfer;
    uint64_t left; /* entries */
    uint64_t at_us;
};

struct figures {
    uint64_t began_us;
    uint64_t slot; /* number of the one that goes on */
    uint64_t slots[FIGURES_SLOTS][FIGURES_WHATS];
    uint64_t totals[FIGURES_WHATS];
    uint64_t again;
    uint64_t acks;
    uint64_t buckets[FIGURES_BUCKETS];
    struct figures_flight flights[FIGURES_FLIGHTS_MAX]; /* oldest first */
    size_t n_flights;
};

void figures_init (struct figures *f, uint64_t now_us);
/* Entries went into a transfer. */
void figures_sent (struct figures *f, uint64_t session, uint64_t transfer, uint64_t entries,
                   uint64_t now_us);
/* So many more of it are durable there; `idle`: nothing of it is in flight any more. */
void figures_acked (struct figures *f, uint64_t session, uint64_t transfer, uint64_t entries,
                    bool idle, uint64_t now_us);
void figures_session_down (struct figures *f, uint64_t session);
void figures_count (struct figures *f, enum figures_what what, uint64_t n, uint64_t now_us);
double figures_per_s (struct figures *f, enum figures_what what, uint64_t now_us);
/* The time that `percent` of the acknowledgements took at most; 0 when none was timed. */
uint64_t figures_ack_us (const struct figures *f, unsigned percent);

#endif
