#ifndef WEIR_ACTORS_TRANSPORT_STATE_H
#define WEIR_ACTORS_TRANSPORT_STATE_H

/* The transport actor's state, shared by its files: transport.c (start, lease, what peers asks),
 * zap.c (whom to let in), listener.c (the server's side), links.c (dialling, carrying, closing).
 * Nothing here is for other actors. */

#include <zmq.h>

#include "actors/runtime/actor.h"
#include "actors/transport/wire.h"
#include "store/base/map.h"
#include "store/crypto/sign.h"

#define TRANSPORT_LEASED_MAX 4u
#define TRANSPORT_ROUTING_ID_BYTES 5u    /* as our ROUTER makes them: 0, then a number */
#define TRANSPORT_LINK_OURS (1ull << 63) /* links that were not dialled */
#define TRANSPORT_PARTS 5                /* one more than any message of ours has */

struct link {
    struct transport *transport;
    struct link *next;
    uint64_t number;
    char address[WEIR_ADDRESS_BYTES_MAX + 1];
    struct weir_id our_key;
    struct weir_id their_key;
    bool up;      /* peers was told */
    bool closing; /* peers was told it is down; what comes is ignored */
    bool free;    /* to be swept */
    /* dialled */
    void *dealer; /* NULL: a link of the listener */
    void *monitor;
    uint64_t timer;
    /* of the listener */
    uint8_t routing_id[TRANSPORT_ROUTING_ID_BYTES];
    int fd;    /* libzmq's, to cut it by */
    bool gone; /* disconnected; what it said before is still read */
    uint64_t in;
    uint64_t out;
    uint64_t messages_full_us; /* its budgets: of messages, of receipts, of frames' bytes */
    uint64_t small_full_us;
    uint64_t frames_full_us;
    uint64_t flooded; /* not handed on, since peers were told */
};

/* Whom the ZAP handler lets in. */
struct zap {
    void *socket;
    struct weir_map *admitted; /* CURVE public keys */
    struct weir_map *incoming; /* the list being received */
    uint64_t accepted;
    uint64_t refused;
};

struct transport {
    struct weir_actor *actor;
    struct zap zap;
    struct transport_codec *codec;

    struct weir_link_key leased[TRANSPORT_LEASED_MAX];
    size_t n_leased;
    size_t active;             /* the leased key that is shown */
    struct weir_id wanted_key; /* told by peers, not leased yet */
    uint64_t lease_timer;

    void *listener;
    void *listener_monitor;
    char endpoint[WEIR_ADDRESS_BYTES_MAX + 1]; /* as bound, with the port */
    uint64_t bind_timer;
    uint64_t bind_since_ms;
    bool stopped; /* by the operator */
    bool ready;   /* told the broker */
    bool peers_up;

    struct link *links;
    size_t n_links;
    bool sweep;
    bool some_gone;
    struct weir_map *by_number;
    struct weir_map *by_routing_id;

    uint64_t bad;     /* messages that were refused */
    uint64_t unknown; /* of newer nodes, skipped */
    uint64_t dropped; /* could not be handed on */
    uint64_t bytes_in;
    uint64_t bytes_out;
    uint64_t messages_in;
    uint64_t messages_out;
};

extern const struct weir_actor_def transport_def; /* for the tests */

/* zap.c: one REP on inproc://zeromq.zap.01, bound before any other socket. */
WEIR_MUST enum weir_status zap_open (struct transport *t, struct weir_error *e);
void zap_close (struct transport *t);
/* A page of the whole list of keys; true when it was the last. */
bool zap_admit (struct zap *zap, const Weir__Admit *page);
bool zap_admits (const struct zap *zap, const struct weir_id *key);

/* listener.c */
/* Binds when there is something to bind; says TRANSPORT_READY when all is done. */
void listener_start (struct transport *t);
void listener_stop (struct transport *t);
void listener_tell_ready (struct transport *t);
/* Options of every socket between nodes. */
void listener_set_common (void *socket);
void listener_set_family (void *socket, const char *address);
/* Ends the connection of a listener's link (libzmq has no call for it). */
void listener_cut (struct link *l);

/* links.c */
struct link *link_find (struct transport *t, uint64_t number);
struct link *link_new (struct transport *t, uint64_t number);
void link_dial (struct transport *t, const Weir__Dial *dial);
void link_up (struct link *l, bool dialled);
/* Tells peers once, ignores what comes from now on, and ends the connection: at once, or after
 * what was said has had time to leave. */
void link_close (struct link *l, enum weir_status status, const char *why, bool linger);
void link_gone (struct link *l, enum weir_status status, const char *why); /* it is closed */
void links_close_all (struct transport *t, enum weir_status status, const char *why);
void links_close_refused (struct transport *t); /* whose key is no longer admitted */
void links_sweep (struct transport *t);
/* Sends; closes the link when it cannot take more. */
void link_say (struct link *l, uint16_t kind, uint64_t trace, const ProtobufCMessage *meta,
               struct weir_bytes meta_bytes, struct weir_bytes body);
/* Takes the three parts behind the routing id. */
void link_take (struct link *l, zmq_msg_t *parts);
/* Reads one message into parts[]; how many parts (0: nothing there; what is beyond `max` is thrown
 * away). */
int link_receive (void *socket, zmq_msg_t *parts, int max);
void link_parts_close (zmq_msg_t *parts, int n);
/* A monitor's event; false when none. `value` is the fd or a reason's number. */
bool link_event (void *monitor, uint16_t *event, int *value);

#endif
