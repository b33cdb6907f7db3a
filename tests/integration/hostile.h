#ifndef WEIR_TESTS_INTEGRATION_HOSTILE_H
#define WEIR_TESTS_INTEGRATION_HOSTILE_H

/* A peer that means harm: a raw CURVE client (or server) with keys of the test's choosing that
 * speaks the wire protocol through the project's own codec, says what it likes, when it likes,
 * and remembers what it was told. It never waits longer than it is told to. */

#include "actors/store/ticket.h"
#include "store/sync/session.h"

#define HOSTILE_MS 5000u /* patience: only ever spent when a test fails */

/* Who: a device's key, and the link key it shows. */
struct hostile_id {
    struct weir_identity device;
    struct weir_link_key link;
};

struct hostile {
    void *zmq;
    void *socket;
    void *monitor; /* NULL: a server */
    bool dialled;
    bool guest; /* by a ticket: what proves that the session lives is a refused join */
    bool up;    /* the CURVE handshake succeeded */
    bool gone;  /* the connection ended, or never came to be */
    bool bye;   /* they said goodbye: */
    enum weir_status why;
    uint8_t routing_id[5]; /* a server's one client */
    struct hostile_id id;
    struct weir_session session;
    struct weir_hello hello; /* ours; change it before hostile_say_hello */
    struct weir_signature their_proof;
    /* Called with all that is heard, before anything else is made of it; may be NULL. */
    void (*on) (struct hostile *h, uint16_t kind);
    void *context;        /* of `on` */
    struct weir_buf body; /* of what was heard last */
    struct weir_buf meta; /* decoded into: */
    struct weir_arena *arena;
    ProtobufCMessage *heard;
    uint64_t pings;
    unsigned words; /* heard in open session that are answers of sync */
};

/* The key pair of this number, always the same. */
void hostile_id_make (struct hostile_id *out, unsigned device, unsigned link);

/* Dials and waits for how the handshake ends; `routing_id` (may be NULL) is the client's own. */
void hostile_dial (struct hostile *h, void *zmq, const struct hostile_id *id, const char *address,
                   const struct weir_id *server_key, const char *routing_id);
/* Listens on a free port of loopback, lets everybody in. */
void hostile_listen (struct hostile *h, void *zmq, const struct hostile_id *id, uint16_t *port);
void hostile_close (struct hostile *h);

/* ---- saying ---- */

void hostile_say (struct hostile *h, uint16_t kind, const ProtobufCMessage *meta,
                  struct weir_bytes body);
/* Any number of parts; `more` leaves the message unfinished. */
void hostile_say_parts (struct hostile *h, const struct weir_bytes *parts, size_t n, bool more);
void hostile_say_hello (struct hostile *h);
/* Our proof as the protocol wants it, by this device's key. */
void hostile_sign (const struct hostile *h, struct weir_signature *out);
void hostile_say_proof (struct hostile *h, const struct weir_signature *signature);

/* ---- hearing ---- */

/* Waits for this kind; false when the connection ends, a goodbye comes, or time is up. The
 * message is h->heard until the next call. Sync's questions on the way are counted, not kept. */
bool hostile_hear (struct hostile *h, uint16_t kind, uint32_t ms);
/* Their Hello and Proof, and ours: false when that did not end in a session. */
bool hostile_greet (struct hostile *h); /* up to their proof */
bool hostile_open (struct hostile *h);
/* Is the session alive? A ping, and its answer. */
bool hostile_alive (struct hostile *h);
/* How it ended: "alive", "bye CODE", "closed"; waits for it. */
const char *hostile_end (struct hostile *h);

/* The tag of a database on this session. */
uint64_t hostile_tag (const struct hostile *h, const struct weir_id *db);
/* Our card, signed, as a message in the arena. */
Weir__Card *hostile_card (const struct hostile_id *id, struct weir_arena *arena);

#endif
