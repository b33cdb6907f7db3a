#ifndef WEIR_BROKER_PARTS_H
#define WEIR_BROKER_PARTS_H

/* What the files of the broker's process share: its state. Nobody else includes this. */

#include <zmq.h>

#include "actors/runtime/log.h"
#include "actors/runtime/settings.h"
#include "actors/runtime/trim.h"
#include "broker/events.h"
#include "broker/held.h"
#include "broker/notify.h"
#include "broker/spawn.h"
#include "broker/supervisor.h"
#include "broker/tap.h"

#define WEIR_FOLLOWERS_MAX 64u
#define WEIR_CLIENT_TAG_BYTES 11u /* a client's address: our tag, then libzmq's 5-byte id */
#define WEIR_CLIENT_ID_BYTES 5u
#define WEIR_NOBODY SIZE_MAX

/* A child's place in the star; same number as in the supervisor. */
struct weir_slot {
    char name[64];
    char program[64];
    unsigned role;
    struct weir_process process;
    bool running;                   /* `process` is one */
    struct weir_mailbox_id mailbox; /* of this incarnation */
    bool life_heard, mailbox_heard; /* libzmq has a way to it */
    bool said_ready;
    bool up; /* the others were told */
    uint64_t epoch;
    uint64_t vitals_turns, vitals_received, vitals_sent, vitals_busy, vitals_bad, vitals_rss;
    uint64_t delivered; /* messages put into its mailbox, */
    uint64_t pinged;    /* until the last ping, */
    uint64_t queue;     /* and not taken out by its pong */
};

struct weir_follower { /* of the events */
    struct weir_envelope request;
    uint64_t after;
    bool follow;
};

struct weir_broker {
    struct weir_settings_values settings;
    struct weir_paths paths;
    struct weir_log log;
    struct weir_spawner spawner;
    struct weir_notify notify;
    char folder[1024];
    uint64_t epoch;
    uint64_t started_ms;
    int lock_fd, life_fd[2], signal_fd, epoll_fd, ready_fd;

    void *zmq;
    void *actors, *life, *control;
    uint8_t client_tag[WEIR_CLIENT_TAG_BYTES];

    struct weir_supervisor supervisor;
    struct weir_supervise_actions actions;
    struct weir_slot slots[WEIR_CHILDREN_MAX];
    uint64_t now_ms;
    uint64_t ping_ms; /* several fit into the shortest hang_ms */
    uint64_t pinged_ms, watchdog_ms;
    unsigned signals;
    bool ended;

    struct weir_held held;
    uint64_t swept_ms;
    struct weir_taps taps;
    struct weir_events events;
    struct weir_follower followers[WEIR_FOLLOWERS_MAX];
    size_t n_followers;
    struct weir_arena *arena;
    struct weir_buf scratch;
    uint64_t routed, dropped, busy;
    struct weir_trim trim;
};

/* A message on its way through the broker. */
struct weir_letter {
    zmq_msg_t id, head, meta, body;
    struct weir_envelope envelope;
    const struct weir_kind *kind;
    unsigned from_role;
    size_t from; /* child, or WEIR_NOBODY */
};

/* router.c */
enum weir_status weir_router_open (struct weir_broker *b, struct weir_error *e);
void weir_router_close (struct weir_broker *b);
bool weir_router_drain_actors (struct weir_broker *b);
bool weir_router_drain_control (struct weir_broker *b);
bool weir_router_drain_life (struct weir_broker *b);
void weir_router_answer (struct weir_broker *b, const struct weir_envelope *request,
                         const ProtobufCMessage *meta);
enum weir_status weir_router_answer_more (struct weir_broker *b,
                                          const struct weir_envelope *request,
                                          const ProtobufCMessage *meta, bool more);
void weir_router_fail (struct weir_broker *b, const struct weir_envelope *request,
                       enum weir_status status, const struct weir_error *e);
enum weir_status weir_router_tell (struct weir_broker *b, struct weir_slot *slot, uint16_t kind,
                                   const ProtobufCMessage *meta); /* on its lifeline */

/* clients.c: requests of clients on their way to a child and back */
void weir_clients_request (struct weir_broker *b, struct weir_letter *letter, size_t child);
/* Does this client wait for that answer? */
bool weir_clients_answered (struct weir_broker *b, const struct weir_envelope *answer);
void weir_clients_up (struct weir_broker *b, size_t child);
void weir_clients_down (struct weir_broker *b, size_t child, bool failed);
void weir_clients_sweep (struct weir_broker *b);
enum weir_status weir_router_deliver (struct weir_broker *b, size_t child,
                                      const struct weir_envelope *envelope, zmq_msg_t *meta,
                                      zmq_msg_t *body);

/* children.c */
void weir_children_init (struct weir_broker *b);
void weir_children_act (struct weir_broker *b); /* does what the supervisor said */
void weir_children_event (struct weir_broker *b, size_t child, enum weir_child_event event,
                          int detail);
void weir_children_watch (struct weir_broker *b); /* ready fds, ends, stops */
void weir_children_ping (struct weir_broker *b);
void weir_children_letter (struct weir_broker *b, struct weir_letter *letter, bool on_life);
size_t weir_children_named (const struct weir_broker *b, const char *name);
size_t weir_children_of_role (const struct weir_broker *b, unsigned role);

/* control.c */
void weir_control_take (struct weir_broker *b, struct weir_letter *letter);
void weir_control_tick (struct weir_broker *b);
void weir_control_note (struct weir_broker *b, const char *event, enum weir_status status,
                        const char *format, ...) WEIR_PRINTF (4, 5);
void weir_control_end (struct weir_broker *b); /* last answers of all streams */
uint64_t weir_unix_ms (void);

/* reload.c: *m lies in the arena */
enum weir_status weir_reload (struct weir_broker *b, struct weir_arena *arena,
                              Weir__ConfigReloaded *m, struct weir_error *e);

/* status.c */
void weir_status_answer (struct weir_broker *b, const struct weir_envelope *request);

#endif
