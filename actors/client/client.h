#ifndef WEIR_ACTORS_CLIENT_CLIENT_H
#define WEIR_ACTORS_CLIENT_CLIENT_H

/* libweir: what a program on this host says to a node, over its control socket. Blocking, one
 * thread, one connection. Requests may be pipelined: send several, then receive. */

#include "protos/codec.h"

struct weir_client;

/* `control` is "ipc://.../control". WEIR_NO_NODE when nobody answers within `ms`. */
WEIR_MUST enum weir_status weir_client_open (struct weir_client **out, const char *control,
                                             uint32_t ms, struct weir_error *e);
void weir_client_close (struct weir_client **self_p);
/* 16 random bytes, this client's name for idempotent requests; and its next number. */
struct weir_bytes weir_client_id (const struct weir_client *self);
uint64_t weir_client_number (struct weir_client *self);

/* One answer; owned by the caller, freed by weir_client_answer_fini. */
struct weir_client_answer {
    uint64_t request;
    enum weir_status status;
    bool more;
    const ProtobufCMessage *meta; /* decoded; NULL when the kind has none or on an error */
    struct weir_bytes body;
    struct weir_error problem; /* when status is not WEIR_OK */
    void *owned;
};
void weir_client_answer_fini (struct weir_client_answer *answer);

/* Sends; *request names it. WEIR_UNAVAILABLE when the node is gone. */
WEIR_MUST enum weir_status weir_client_send (struct weir_client *self, uint16_t kind,
                                             const ProtobufCMessage *meta, struct weir_bytes body,
                                             uint32_t ms, uint64_t *request, struct weir_error *e);
/* The next answer to anything sent. WEIR_TIMED_OUT, WEIR_INTERRUPTED (a signal), WEIR_UNAVAILABLE
 * (the node is gone: nothing was heard and the socket's end is closed). */
WEIR_MUST enum weir_status weir_client_receive (struct weir_client *self, uint32_t ms,
                                                struct weir_client_answer *answer,
                                                struct weir_error *e);
/* Send and wait for its (last) answer. The answer's own error status is returned. */
WEIR_MUST enum weir_status weir_client_call (struct weir_client *self, uint16_t kind,
                                             const ProtobufCMessage *meta, struct weir_bytes body,
                                             uint32_t ms, struct weir_client_answer *answer,
                                             struct weir_error *e);

#endif
