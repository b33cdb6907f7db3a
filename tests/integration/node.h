#ifndef WEIR_TESTS_INTEGRATION_NODE_H
#define WEIR_TESTS_INTEGRATION_NODE_H

/* Whole nodes as real processes, for tests that kill them. Every function ends the test with a
 * sentence when what it waits for does not come within its time. */

#include <sys/types.h>

#include "actors/client/client.h"
#include "actors/runtime/settings.h"
#include "store/dag/members.h"

#define NODE_ACTORS_MAX 16u

struct node {
    char name[32];
    char data[256];
    uint16_t port; /* of loopback; 0: it only dials */
    struct weir_paths paths;
    pid_t pid; /* the broker's, and its process group's */
};

_Noreturn void node_die (const char *format, ...) WEIR_PRINTF (1, 2);
uint64_t node_now_ms (void);
void node_pause_ms (long ms); /* between two looks at a condition, or two faults: never to wait
                               * for something to have happened */
const char *node_root (void); /* the test's temporary folder; removed by node_end */
void node_end (void);         /* kills what is left, removes the folder */

/* A node that listens on a free port of loopback, which it keeps. */
void node_init (struct node *n, const char *name, const char *role);
/* One that listens nowhere. */
void node_init_dialling (struct node *n, const char *name, const char *role);
int node_free_port (void);
/* Starts it in a process group of its own, ready when this returns. `env` is NULL-ended. */
void node_start (struct node *n, const char *const *env);
/* SIGTERM; the exit code. */
int node_stop (struct node *n);
/* kill -9 of the broker alone; nothing of the group may live 3 s later. */
void node_kill_broker (struct node *n);
bool node_group_alive (const struct node *n);

struct node_actor {
    char name[32];
    pid_t pid;
    bool ready;
};
/* The actors as the broker tells; 0 when it does not answer within `ms`. */
size_t node_actors (struct node *n, struct node_actor actors[NODE_ACTORS_MAX], uint32_t ms);

/* A call that is repeated, over new connections, until it is answered with anything but a
 * missing or busy node, for at most `ms`. The answer is the caller's; its status is returned. */
enum weir_status node_call (struct node *n, uint16_t kind, const ProtobufCMessage *meta,
                            struct weir_bytes body, uint32_t ms, struct weir_client_answer *answer,
                            struct weir_error *e);
void node_create_db (struct node *n, const char *name);
void node_join (struct node *from, struct node *to, const char *db); /* who may write */
void node_join_as (struct node *from, struct node *to, const char *db, enum weir_right right);
/* Without waiting for what comes of it. */
void node_join_begin (struct node *from, struct node *to, const char *db, enum weir_right right);
/* The digest of the entry vector and the number of entries. */
struct weir_id node_digest (struct node *n, const char *db, uint64_t *entries);

#endif
