/* Figures of one peer; see figures.h. */

#include "actors/peers/figures.h"

#include <string.h>

#define BUCKET_US_MIN 500u

void
figures_init (struct figures *f, uint64_t now_us)
{
    memset (f, 0, sizeof *f);
    f->began_us = now_us;
    f->slot = now_us / FIGURES_SLOT_US;
}

/* ---- rates ---- */

static void
turn (struct figures *f, uint64_t now_us)
{
    uint64_t slot = now_us / FIGURES_SLOT_US;
    uint64_t passed = slot > f->slot ? slot - f->slot : 0;
    for (uint64_t i = 1; i <= passed && i <= FIGURES_SLOTS; i++) {
        memset (f->slots[(f->slot + i) % FIGURES_SLOTS], 0, sizeof f->slots[0]);
    }
    f->slot += passed;
}

void
figures_count (struct figures *f, enum figures_what what, uint64_t n, uint64_t now_us)
{
    turn (f, now_us);
    f->slots[f->slot % FIGURES_SLOTS][what] += n;
    f->totals[what] += n;
}

double
figures_per_s (struct figures *f, enum figures_what what, uint64_t now_us)
{
    uint64_t sum = 0;
    turn (f, now_us);
    for (size_t i = 0; i < FIGURES_SLOTS; i++) {
        sum += f->slots[i][what];
    }
    uint64_t since = (f->slot - (FIGURES_SLOTS - 1)) * FIGURES_SLOT_US;
    uint64_t from = f->slot < FIGURES_SLOTS || f->began_us > since ? f->began_us : since;
    double seconds = (double) (now_us - from) / 1e6;
    return (double) sum / (seconds < 1.0 ? 1.0 : seconds);
}

/* ---- acknowledgements ---- */

void
figures_sent (struct figures *f, uint64_t session, uint64_t transfer, uint64_t entries,
              uint64_t now_us)
{
    if (entries == 0) {
        return;
    }
    for (size_t i = f->n_flights; f->n_flights == FIGURES_FLIGHTS_MAX && i-- > 0;) {
        if (f->flights[i].session == session && f->flights[i].transfer == transfer) {
            f->flights[i].left += entries;
            return;
        }
    }
    if (f->n_flights < FIGURES_FLIGHTS_MAX) {
        f->flights[f->n_flights++] = (struct figures_flight){ session, transfer, entries, now_us };
    }
}

static void
took (struct figures *f, uint64_t us)
{
    size_t i = 0;
    for (uint64_t bound = BUCKET_US_MIN; i + 1 < FIGURES_BUCKETS && us > bound; bound *= 2) {
        i++;
    }
    f->buckets[i]++;
    f->acks++;
}

static void
land (struct figures *f, size_t i)
{
    f->n_flights--;
    memmove (&f->flights[i], &f->flights[i + 1], (f->n_flights - i) * sizeof f->flights[0]);
}

void
figures_acked (struct figures *f, uint64_t session, uint64_t transfer, uint64_t entries, bool idle,
               uint64_t now_us)
{
    figures_count (f, FIGURES_OUT, entries, now_us);
    for (size_t i = 0; i < f->n_flights && (entries > 0 || idle);) {
        struct figures_flight *flight = &f->flights[i];
        if (flight->session != session || flight->transfer != transfer) {
            i++;
        } else if (!idle && entries < flight->left) {
            flight->left -= entries;
            return;
        } else {
            if (entries > 0) { /* else it went by another way */
                took (f, now_us - flight->at_us);
            }
            entries -= entries < flight->left ? entries : flight->left;
            land (f, i);
        }
    }
}

void
figures_session_down (struct figures *f, uint64_t session)
{
    for (size_t i = 0; i < f->n_flights;) {
        if (f->flights[i].session == session) {
            land (f, i);
        } else {
            i++;
        }
    }
}

uint64_t
figures_ack_us (const struct figures *f, unsigned percent)
{
    uint64_t rank = (f->acks * percent + 99) / 100;
    uint64_t below = 0;
    uint64_t low = 0;
    uint64_t high = BUCKET_US_MIN;
    for (size_t i = 0; i < FIGURES_BUCKETS && f->acks > 0; i++) {
        if (below + f->buckets[i] >= rank) { /* evenly within its bucket */
            return low + (high - low) * (rank - below) / f->buckets[i];
        }
        below += f->buckets[i];
        low = high;
        high *= 2;
    }
    return 0;
}
