#ifndef WEIR_TESTS_INTEGRATION_HOSTILE_WORLD_H
#define WEIR_TESTS_INTEGRATION_HOSTILE_WORLD_H

/* The honest side of the refusal matrix: a hub with two databases, an honest peer in step with
 * it, the hostile peers' identities, and what is counted where. */

#include "tests/integration/hostile.h"
#include "tests/integration/node.h"

enum who { STRANGER, TICKET, READER, WRITER, CARRIER, REMOVED, IMPOSTOR, WHOS };

struct counts {
    uint64_t refused;        /* transport: handshakes */
    uint64_t bad;            /* transport: messages */
    uint64_t runs_refused;   /* store */
    uint64_t frames_dropped; /* store */
};

struct world {
    void *zmq;
    struct node hub, honest, cold;
    struct node_actor actors[NODE_ACTORS_MAX];
    size_t n_actors;
    struct weir_client *ctl; /* of the hub */
    struct weir_id device;   /* the hub's */
    struct weir_id link_key;
    char address[128];
    struct weir_id db;     /* "matrix": where the hostile ones are members */
    struct weir_id secret; /* "secret": where they are not */
    struct hostile_id who[WHOS];
    struct weir_id early_heads[WEIR_ENTRY_DEPS_MAX]; /* of before the removal */
    size_t n_early_heads;
    uint64_t last_event;
};

const char *who_name (enum who who);
void world_init (struct world *w);
void world_fini (struct world *w);
/* Device, address and link key of the node behind w->ctl; the port of that address. */
void world_learn_self (struct world *w);
unsigned world_port (const struct world *w);
void world_counts (struct world *w, struct counts *out);
/* The code of the first event of this name (NULL: any) behind *after that has this status
 * (WEIR_STATUS_COUNT: any); WEIR_OK when there is none. */
enum weir_status world_event (struct world *w, uint64_t after, const char *name,
                              enum weir_status status);
uint64_t world_newest_event (struct world *w);
size_t world_heads (struct world *w, const char *db, struct weir_id heads[WEIR_ENTRY_DEPS_MAX]);
/* A ticket of the hub for "matrix"; its key becomes *link. */
void world_ticket (struct world *w, uint32_t right, uint32_t seconds, struct weir_link_key *link);
/* Joins "matrix" as the protocol wants it, with a fresh ticket. */
void world_join (struct world *w, const struct hostile_id *id, const char *name, uint32_t right);
/* The reason `peer show` gives; "" while there is none. */
void world_reason (struct world *w, const struct weir_id *device, char out[64]);
void world_dials (struct world *w, const struct weir_id *device, uint16_t port,
                  const struct weir_id *link_key);
/* The same processes as at the start, none restarted, and the honest peer still in step. */
void world_check_alive (struct world *w);
void world_check_in_step (struct world *w);

#endif
