#ifndef WEIR_ACTORS_RUNTIME_POST_H
#define WEIR_ACTORS_RUNTIME_POST_H

/* Messages of three parts over a ZeroMQ DEALER, without blocking: what is between an actor and
 * its broker. Also the two settings every socket of weir has. */

#include <zmq.h>

#include "protos/codec.h"

struct weir_post {
    struct weir_envelope envelope;
    zmq_msg_t meta;
    zmq_msg_t body;
};

void weir_post_init (struct weir_post *post); /* empty parts */
void weir_post_fini (struct weir_post *post);
/* Moves meta and body out on WEIR_OK; WEIR_BUSY when the queue is full, nothing moved then. */
WEIR_MUST enum weir_status weir_post_send (void *socket, struct weir_post *post);
/* WEIR_NOT_FOUND when nothing waits; WEIR_BAD_MESSAGE for one that is not three parts with a
 * valid envelope in front: it is gone, ask again. */
WEIR_MUST enum weir_status weir_post_receive (void *socket, struct weir_post *post);
struct weir_bytes weir_post_bytes (zmq_msg_t *part); /* borrowed */
/* Packs into a message; the part must be initialised, its content is replaced. */
void weir_post_pack (zmq_msg_t *part, const ProtobufCMessage *meta);
void weir_post_copy (zmq_msg_t *part, struct weir_bytes bytes);

/* zmq_setsockopt that cannot fail but by a bug. */
void weir_post_option (void *socket, int option, int value);
uint64_t weir_now_ms (void); /* monotonic */

#endif
