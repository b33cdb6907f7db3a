#ifndef WEIR_BINS_BENCH_PEER_H
#define WEIR_BINS_BENCH_PEER_H

/* A peer that is one socket and two keys: it joins with a ticket, connects with its own link
 * key, proves its device, says it is in step, and acknowledges what it is sent. It stores
 * nothing, so many of them fit into the bench's process; to the node they are whole nodes. */

#include "actors/store/ticket.h"
#include "store/sync/session.h"

enum bench_peer_phase {
    BENCH_PEER_NEW,
    BENCH_PEER_JOINING,  /* on a link with the ticket's key */
    BENCH_PEER_JOINED,   /* a member; the link is closed */
    BENCH_PEER_OPENING,  /* on a link with its own key */
    BENCH_PEER_IN_STEP,  /* digests were told and answered */
    BENCH_PEER_RECEIVED, /* a live change came whole and is acknowledged */
    BENCH_PEER_ANSWERED, /* and a ping after that was answered */
};

struct bench_peer {
    enum bench_peer_phase phase;
    struct weir_identity device;
    struct weir_link_key link;
    struct weir_ticket ticket;
    struct weir_card inviter;
    struct weir_session session;
    void *zmq;
    void *socket;
    bool greeted; /* on this link */
};

/* Takes the ticket's text; dies when it is none. */
void bench_peer_init (struct bench_peer *p, void *zmq, struct weir_bytes ticket);
void bench_peer_fini (struct bench_peer *p);
void bench_peer_join (struct bench_peer *p);
void bench_peer_connect (struct bench_peer *p);
void bench_peer_ping (struct bench_peer *p);
/* Takes what has come, without waiting; dies on a goodbye. */
void bench_peer_take (struct bench_peer *p, struct weir_arena *arena);

#endif
