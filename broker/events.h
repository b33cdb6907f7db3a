#ifndef WEIR_BROKER_EVENTS_H
#define WEIR_BROKER_EVENTS_H

/* What people should see of a node, kept for a while: the last so many events, numbered. */

#include "protos/codec.h"

#define WEIR_EVENTS_KEPT 1000u

struct weir_event {
    uint64_t number;
    uint64_t ms; /* unix */
    char actor[64];
    char name[64];
    char text[512];
    uint8_t device[WEIR_ID_BYTES], db[WEIR_ID_BYTES];
    bool has_device, has_db;
    uint32_t status;
};

struct weir_events {
    struct weir_event *ring; /* number n is at n % WEIR_EVENTS_KEPT */
    uint64_t next;           /* number of the next one; the first is 1 */
};

void weir_events_init (struct weir_events *r);
void weir_events_fini (struct weir_events *r);
/* Takes a copy; returns the number. Text that is not clean UTF-8 or too long is cut out. */
uint64_t weir_events_add (struct weir_events *r, const char *actor, const Weir__Event *event,
                          uint64_t now_unix_ms);
uint64_t weir_events_note (struct weir_events *r, const char *name, uint32_t status,
                           const char *text, uint64_t now_unix_ms);
/* The first one behind `after` (the oldest when that is too old, or of another run); NULL when
 * there is none yet. */
const struct weir_event *weir_events_after (const struct weir_events *r, uint64_t after);
/* As a message; it borrows from the event. */
void weir_events_message (Weir__Event *out, const struct weir_event *event);

#endif
