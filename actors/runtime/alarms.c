/* Owns an actor's timers by id, and what it watches besides its mailbox. */

#include "actors/runtime/actor_parts.h"

#include <string.h>

/* An id is slot + 1 in the low half and a generation in the high, so that a late cancel never
 * hits a timer that took the slot since. */
uint64_t
weir_actor_timer (struct weir_actor *self, uint64_t at_ms, weir_actor_fn *fn, void *context)
{
    struct weir_alarm *alarm = self->free_alarms;
    if (alarm != NULL) {
        self->free_alarms = alarm->next_free;
        alarm->id += UINT64_C (1) << 32;
    } else {
        weir_grow (&self->alarms, &self->alarms_cap, self->n_alarms + 1, sizeof self->alarms[0]);
        alarm = weir_alloc (sizeof *alarm);
        self->alarms[self->n_alarms++] = alarm;
        alarm->id = self->n_alarms;
    }
    alarm->fn = fn;
    alarm->context = context;
    weir_timers_set (&self->timers, &alarm->timer, at_ms);
    return alarm->id;
}

void
weir_actor_timer_cancel (struct weir_actor *self, uint64_t id)
{
    uint64_t slot = id & UINT32_MAX;
    if (slot == 0 || slot > self->n_alarms) {
        return;
    }
    struct weir_alarm *alarm = self->alarms[slot - 1];
    if (alarm->id == id && alarm->timer.place != 0) {
        weir_timers_remove (&self->timers, &alarm->timer);
        alarm->next_free = self->free_alarms;
        self->free_alarms = alarm;
    }
}

static void
watch (struct weir_actor *self, void *socket, int fd, weir_actor_fn *fn, void *context)
{
    size_t i = 0;
    while (i < self->n_watches
           && (self->watches[i].socket != socket || self->watches[i].fd != fd)) {
        i++;
    }
    if (fn == NULL) {
        if (i < self->n_watches) {
            self->n_watches--;
            memmove (&self->watches[i], &self->watches[i + 1],
                     (self->n_watches - i) * sizeof self->watches[0]);
        }
        return;
    }
    if (i == self->n_watches) {
        weir_grow (&self->watches, &self->watches_cap, i + 1, sizeof self->watches[0]);
        self->n_watches++;
    }
    self->watches[i] = (struct weir_watch){ socket, fd, fn, context };
}

void
weir_actor_watch_fd (struct weir_actor *self, int fd, weir_actor_fn *fn, void *context)
{
    watch (self, NULL, fd, fn, context);
}

void
weir_actor_watch_socket (struct weir_actor *self, void *zmq_socket, weir_actor_fn *fn,
                         void *context)
{
    watch (self, zmq_socket, -1, fn, context);
}
