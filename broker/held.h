#ifndef WEIR_BROKER_HELD_H
#define WEIR_BROKER_HELD_H

/* Requests of clients that are not answered yet. A client knows nothing of UP and DOWN, so the
 * broker does for it what the runtime does for actors: what an actor's death left unanswered is
 * sent to its next incarnation if it may be, or refused. Bounded in number and bytes. */

#include <zmq.h>

#include "protos/codec.h"

#define WEIR_HELD_MAX 16384u
#define WEIR_HELD_BYTES_MAX (64u << 20)
#define WEIR_HELD_BUCKETS 4096u
/* A request that is there whenever its actor dies may be why: before the restart limit ends the
 * node, it is refused. */
#define WEIR_HELD_DELIVERIES_MAX 4u

struct weir_held_item {
    struct weir_held_item *chain;
    struct weir_held_item *before, *after;
    struct weir_envelope envelope; /* from: the client */
    size_t child;                  /* whose it is */
    zmq_msg_t meta, body;          /* shares the bytes on their way; empty unless `kept` */
    size_t bytes;
    bool kept;   /* may be sent again */
    bool parked; /* waits for the child */
    bool begun;  /* has answered with MORE */
    unsigned deliveries;
    uint64_t until_ms;
};

struct weir_held {
    struct weir_held_item *buckets[WEIR_HELD_BUCKETS];
    struct weir_held_item *first, *last; /* in order of arrival */
    struct weir_held_item *free;
    size_t count;
    size_t bytes;
};

void weir_held_fini (struct weir_held *h);
/* Shares the parts when the request may be sent again (`again`) and there is room. NULL when
 * the table is full, or this client waits for an answer under this number already. */
struct weir_held_item *weir_held_add (struct weir_held *h, const struct weir_envelope *envelope,
                                      zmq_msg_t *meta, zmq_msg_t *body, bool again, size_t child,
                                      uint64_t until_ms);
struct weir_held_item *weir_held_find (const struct weir_held *h,
                                       const struct weir_mailbox_id *client, uint64_t request);
void weir_held_drop (struct weir_held *h, struct weir_held_item *item);

#endif
