#ifndef WEIR_ACTORS_RUNTIME_ACTOR_H
#define WEIR_ACTORS_RUNTIME_ACTOR_H

/* The skeleton every actor runs in: one loop, one mailbox (a DEALER to the broker's ROUTER), a
 * lifeline DEALER polled first (ping, stop, UP, DOWN), timers, fds, requests with answers and
 * time-outs, configuration, logs. An actor is a state, a dispatch table and handlers. One
 * thread; handlers run to their end and must not block. */

#include "protos/codec.h"
#include "actors/runtime/log.h"
#include "actors/runtime/settings.h"
#include "store/base/rand.h"

struct weir_actor;

/* What the broker gives to each child as arguments; nobody else starts an actor.
 *   --name transport-1 --data DIR --run DIR
 *   --life-fd N      a pipe's end: readable or hung up when the broker is gone
 *   --ready-fd N     "\n" is written there when the actor is ready
 *   --identity-fd N  holds the 16 bytes of the mailbox's identity */

struct weir_message {
    struct weir_envelope envelope;
    const struct weir_kind *kind;
    const ProtobufCMessage *meta; /* decoded; NULL when the kind has none. For the call only */
    struct weir_bytes meta_bytes; /* as received */
    struct weir_bytes body;       /* borrowed for the call */
};

struct weir_actor_handler {
    uint16_t kind;
    void (*handle) (void *state, struct weir_actor *actor, const struct weir_message *message);
};

struct weir_actor_def {
    const char *role;                          /* "store" */
    const struct weir_actor_handler *handlers; /* ends with kind 0 */
    /* Makes the state; the mailbox is connected, nothing received yet. On a failure the process
     * ends with weir_status_exit (status) after logging *e. */
    enum weir_status (*start) (void **state, struct weir_actor *actor, struct weir_error *e);
    /* Ordered stop; optional work only, but ZeroMQ sockets the actor made must be closed. Not
     * called after weir_actor_exit. May be NULL. */
    void (*stop) (void **state, struct weir_actor *actor);
    /* A partner came (back) with a new epoch, or went. May be NULL. */
    void (*up) (void *state, struct weir_actor *actor, const char *role, const char *name,
                const struct weir_mailbox_id *mailbox, uint64_t epoch);
    void (*down) (void *state, struct weir_actor *actor, const char *role, const char *name,
                  const struct weir_mailbox_id *mailbox);
    /* After each turn of the loop in which anything was handled (group commit lives here). May
     * be NULL. */
    void (*after_turn) (void *state, struct weir_actor *actor);
    /* Settings changed while running: weir_actor_settings gives the new ones. May be NULL. */
    void (*reloaded) (void *state, struct weir_actor *actor);
};

/* main () of an actor's program: parses the arguments the broker gives (above), connects, runs
 * until stop or the broker's death, returns the exit code. */
int weir_actor_run (const struct weir_actor_def *def, int argc, char **argv);

/* ---- sending; never blocks: a full mailbox or an absent partner is a status ---- */

/* One-way. `to` NULL: whom kinds.def says. WEIR_BUSY when the mailbox is full (counted). */
enum weir_status weir_actor_send (struct weir_actor *self, uint16_t kind,
                                  const struct weir_mailbox_id *to, const ProtobufCMessage *meta,
                                  struct weir_bytes body);
/* As above with peer, database and trace shown in the envelope (any may be NULL / 0). */
enum weir_status weir_actor_send_about (struct weir_actor *self, uint16_t kind,
                                        const struct weir_mailbox_id *to,
                                        const struct weir_id *peer, const struct weir_id *db,
                                        uint64_t trace, const ProtobufCMessage *meta,
                                        struct weir_bytes body);

/* Called once with the answer, or with status WEIR_TIMED_OUT / WEIR_UNAVAILABLE and no message;
 * for streams several times, the last without WEIR_ENV_MORE. */
typedef void (weir_actor_answer_fn) (void *state, struct weir_actor *actor, void *context,
                                     enum weir_status status, const struct weir_error *problem,
                                     const struct weir_message *answer);
/* A request with a time left; resent when the partner came back with a new epoch and the kind
 * is IDEM. A partner that is not there yet is waited for. WEIR_BUSY when a mailbox on the way is
 * full. `done` is never called from inside this call. `ms` 0: no limit. `context` is the
 * caller's; it is not freed. Returns the request id. */
uint64_t weir_actor_ask (struct weir_actor *self, uint16_t kind, const struct weir_mailbox_id *to,
                         const ProtobufCMessage *meta, struct weir_bytes body, uint32_t ms,
                         weir_actor_answer_fn *done, void *context);

/* Answers a request later or at once; keep a copy of its envelope. A request id of 0 wants no
 * answer: both do nothing then. */
void weir_actor_answer (struct weir_actor *self, const struct weir_envelope *request,
                        const ProtobufCMessage *meta, struct weir_bytes body, bool more);
void weir_actor_fail (struct weir_actor *self, const struct weir_envelope *request,
                      enum weir_status status, const struct weir_error *e);

/* ---- time, timers, fds ---- */

uint64_t weir_actor_now_ms (const struct weir_actor *self);  /* monotonic, of this turn */
uint64_t weir_actor_wall_ms (const struct weir_actor *self); /* unix milliseconds */
struct weir_rand *weir_actor_rand (struct weir_actor *self);
typedef void (weir_actor_fn) (void *state, struct weir_actor *actor, void *context);
/* Once, at `at_ms` monotonic. Returns an id > 0; cancel of a done one is harmless. */
uint64_t weir_actor_timer (struct weir_actor *self, uint64_t at_ms, weir_actor_fn *fn,
                           void *context);
void weir_actor_timer_cancel (struct weir_actor *self, uint64_t id);
/* Calls fn whenever fd (or zmq socket) is readable; remove with fn NULL. */
void weir_actor_watch_fd (struct weir_actor *self, int fd, weir_actor_fn *fn, void *context);
void weir_actor_watch_socket (struct weir_actor *self, void *zmq_socket, weir_actor_fn *fn,
                              void *context);
/* The process's zmq context, for sockets of its own (transport). */
void *weir_actor_zmq (struct weir_actor *self);

/* ---- who, configuration, words ---- */

const char *weir_actor_name (const struct weir_actor *self);
uint64_t weir_actor_epoch (const struct weir_actor *self);
const struct weir_settings_values *weir_actor_settings (const struct weir_actor *self);
const struct weir_paths *weir_actor_paths (const struct weir_actor *self); /* data, key, ... */
void weir_actor_ready (struct weir_actor *self); /* tells the broker; call once, when it is true */
/* Ends the process with this code after the present turn (environment failures). */
void weir_actor_exit (struct weir_actor *self, enum weir_status status, const struct weir_error *e);

/* `event` is a constant; the rest is "key=value key=value" by printf. Warnings (input errors): at
 * most one line a second for each event, the rest counted. */
void weir_actor_log (struct weir_actor *self, enum weir_log_level level, const char *event,
                     const char *format, ...) WEIR_PRINTF (4, 5);
/* Something people should see: logged, and sent to the broker's event ring (weir events). Ids
 * may be NULL. */
void weir_actor_event (struct weir_actor *self, const char *event, const struct weir_id *device,
                       const struct weir_id *db, enum weir_status status, const char *format, ...)
    WEIR_PRINTF (6, 7);

#endif
