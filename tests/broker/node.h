#ifndef WEIR_TESTS_BROKER_NODE_H
#define WEIR_TESTS_BROKER_NODE_H

/* A whole bundle for tests: the real broker over tiny actors, all of them this same test program
 * under other names. The actors do as the requests say ("hang", "exit 65", ...) and as the file
 * DATA/<name>.mode says at their start. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cmocka.h>

#include "actors/runtime/post.h"

/* In main (), before anything else: true when this process is a broker or an actor, and has
 * ended; *code is its exit code. */
bool node_program (int argc, char **argv, int *code);

struct node {
    char base[64]; /* the temporary directory: data and programs are in it */
    char data[96];
    pid_t pid;
    int ready_fd;
    void *zmq;
    void *client;
    uint64_t request;
};

struct node_answer {
    enum weir_status status;
    uint8_t flags;
    uint16_t kind;
    uint64_t request;
    struct weir_error problem;
    ProtobufCMessage *meta; /* in the arena */
    struct weir_arena *arena;
    uint64_t bytes; /* of the body */
};

void node_init (struct node *n);
void node_mode (struct node *n, const char *actor, const char *mode); /* NULL: as usual */
void node_setting (const char *env, const char *value);               /* until node_fini */
void node_launch (struct node *n);                                    /* does not wait */
void node_start (struct node *n);                                     /* until all are ready */
int node_wait_exit (struct node *n, int ms); /* exit code, or 128 + signal */
void node_fini (struct node *n);             /* kills what is left, removes the directory */

void *node_connect (struct node *n); /* another client; zmq_close it */
uint64_t node_send (struct node *n, uint16_t kind, const ProtobufCMessage *meta, uint32_t ms);
uint64_t node_send_doc (struct node *n, const char *command, uint32_t ms); /* DOC_GET */
/* The next answer; fails the test after `ms`. node_answer_fini it. */
void node_receive (struct node *n, struct node_answer *answer, int ms);
bool node_try_receive (struct node *n, struct node_answer *answer, int ms);
void node_answer_fini (struct node_answer *answer);
enum weir_status node_call (struct node *n, uint16_t kind, const ProtobufCMessage *meta);
enum weir_status node_doc (struct node *n, const char *command, uint32_t ms);

struct node_actor {
    pid_t pid;
    char state[32];
    uint64_t epoch;
    uint32_t restarts;
    uint32_t last_exit;
    uint64_t queue;
};
bool node_actor (struct node *n, const char *name, struct node_actor *out);
/* Waits until the actor is in this state with other than `not_pid`. */
void node_wait_state (struct node *n, const char *name, const char *state, pid_t not_pid,
                      struct node_actor *out);
bool pid_is_gone (pid_t pid); /* or a zombie */
void wait_gone (pid_t pid, int ms);
size_t node_journal (struct node *n, char *out, size_t size); /* what actors did, in order */
int pause_ms (int ms);                                        /* between two looks at a condition */

#endif
