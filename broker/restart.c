/* The restart policy of one child. Pure: time and randomness come in. Called by supervisor.c. */

#include "broker/restart.h"

#include <stdlib.h>
#include <string.h>

#define JITTER_PERCENT 20u

void
weir_restart_init (struct weir_restart *r, const struct weir_restart_config *config)
{
    *r = (struct weir_restart){ .config = *config };
}

void
weir_restart_fini (struct weir_restart *r)
{
    free (r->deaths);
    *r = (struct weir_restart){ .config = r->config };
}

void
weir_restart_reset (struct weir_restart *r)
{
    r->head = 0;
    r->count = 0;
    r->backoff_ms = 0;
}

static void
note_death (struct weir_restart *r, uint64_t now_ms)
{
    while (r->count > 0 && now_ms - r->deaths[r->head] > r->config.window_ms) {
        r->head++;
        r->count--;
    }
    if (r->head > 0 && r->head + r->count == r->cap) {
        memmove (r->deaths, r->deaths + r->head, r->count * sizeof r->deaths[0]);
        r->head = 0;
    }
    weir_grow (&r->deaths, &r->cap, r->head + r->count + 1, sizeof r->deaths[0]);
    r->deaths[r->head + r->count] = now_ms;
    r->count++;
}

bool
weir_restart_died (struct weir_restart *r, uint64_t now_ms, uint64_t ready_ms,
                   struct weir_rand *rand, uint64_t *wait_ms)
{
    if (ready_ms >= r->config.reset_ms) {
        r->backoff_ms = 0;
    } else {
        note_death (r, now_ms);
        if (r->count > r->config.limit) {
            return false;
        }
    }
    uint64_t next = r->backoff_ms == 0 ? r->config.backoff_ms_min : r->backoff_ms * 2;
    r->backoff_ms = next < r->config.backoff_ms_max ? next : r->config.backoff_ms_max;
    uint64_t wait = weir_rand_jitter (rand, r->backoff_ms, JITTER_PERCENT);
    wait = wait > r->config.backoff_ms_min ? wait : r->config.backoff_ms_min;
    *wait_ms = wait < r->config.backoff_ms_max ? wait : r->config.backoff_ms_max;
    return true;
}
