#ifndef WEIR_ACTORS_RUNTIME_ACTOR_PARTS_H
#define WEIR_ACTORS_RUNTIME_ACTOR_PARTS_H

/* What the files of the runtime share: the actor's state. Nobody else includes this. */

#include "actors/runtime/actor.h"
#include "actors/runtime/post.h"
#include "actors/runtime/timers.h"
#include "actors/runtime/trim.h"

#define WEIR_PARTNERS_MAX 64u
#define WEIR_KIND_NUMBERS 1024u
#define WEIR_ASK_BUCKETS 1024u

/* Another actor of the node; by name, so that it stays the same over its incarnations. */
struct weir_partner {
    unsigned role;
    char role_name[32];
    char name[64];
    struct weir_mailbox_id mailbox;
    uint64_t epoch;
    bool up;
    bool failed; /* it will not come back by itself */
};

struct weir_ask;
struct weir_asks {
    struct weir_ask *buckets[WEIR_ASK_BUCKETS];
    struct weir_ask *first, *last; /* in the order they were asked */
    size_t count;
    uint64_t next;
};

struct weir_watch {
    void *socket; /* or NULL, and */
    int fd;
    weir_actor_fn *fn;
    void *context;
};

/* A timer of the actor; `fn` NULL: it belongs to an ask. */
struct weir_alarm {
    struct weir_timer timer; /* first */
    struct weir_ask *ask;
    weir_actor_fn *fn;
    void *context;
    uint64_t id;
    struct weir_alarm *next_free;
};

struct weir_actor {
    const struct weir_actor_def *def;
    void *state;
    unsigned role;
    char name[64];
    uint64_t epoch;
    struct weir_mailbox_id id;
    struct weir_settings_values settings;
    struct weir_paths paths;
    struct weir_log log;

    void *zmq;
    void *mailbox;
    void *life;
    int life_fd;
    int ready_fd;
    int signal_fd;

    uint64_t now_ms;
    struct weir_rand rand;
    struct weir_arena *arena;
    void (*handlers[WEIR_KIND_NUMBERS]) (void *state, struct weir_actor *actor,
                                         const struct weir_message *message);
    struct weir_partner partners[WEIR_PARTNERS_MAX];
    size_t n_partners;
    struct weir_asks asks;
    struct weir_timers timers;
    struct weir_alarm **alarms; /* by slot */
    size_t n_alarms, alarms_cap;
    struct weir_alarm *free_alarms;
    struct weir_alarm log_alarm; /* back to the configured level */
    struct weir_watch *watches;
    size_t n_watches, watches_cap;

    struct {
        uint64_t turns, received, sent, busy, bad;
    } vitals;
    struct weir_trim trim;
    bool stopping;
    bool ended;
    int exit_code;
};

/* asks.c */
void weir_asks_fini (struct weir_actor *self);
void weir_asks_answer (struct weir_actor *self, struct weir_post *post);
void weir_asks_down (struct weir_actor *self, const struct weir_partner *partner);
void weir_asks_up (struct weir_actor *self, const struct weir_partner *partner);
void weir_asks_due (struct weir_actor *self, struct weir_ask *ask);

/* partners.c */
struct weir_partner *weir_partner_at (struct weir_actor *self,
                                      const struct weir_mailbox_id *mailbox);
struct weir_partner *weir_partner_of_role (struct weir_actor *self, unsigned role);
void weir_partner_notice (struct weir_actor *self, bool up, const Weir__ActorNotice *notice);

/* mailbox.c: sends, counts; WEIR_BUSY leaves the parts with the caller. */
enum weir_status weir_mailbox_send (struct weir_actor *self, struct weir_post *post);
void weir_mailbox_take (struct weir_actor *self, struct weir_post *post);

/* actor.c, lifeline.c */
void weir_lifeline_hello (struct weir_actor *self);
void weir_lifeline_take (struct weir_actor *self, struct weir_post *post);

#endif
