#ifndef WEIR_BROKER_SUPERVISOR_H
#define WEIR_BROKER_SUPERVISOR_H

/* Who is to be started, watched, killed and started again: one table of state x event for a
 * child, and the order of a bundle's start and stop. Pure: events and the time come in, actions
 * go out. Models: Erlang/OTP's one_for_one, s6's supervise. */

#include "broker/restart.h"
#include "store/base/limits.h"

#define WEIR_CHILDREN_MAX 20u
#define WEIR_STAGES_MAX 4u

enum weir_child_state {
    WEIR_CHILD_WAITING, /* its stage has not come yet */
    WEIR_CHILD_STARTING,
    WEIR_CHILD_READY,
    WEIR_CHILD_STOPPING, /* asked to */
    WEIR_CHILD_KILLING,  /* SIGKILL sent, its end not seen yet */
    WEIR_CHILD_BACKING_OFF,
    WEIR_CHILD_FAILED,  /* not started again by itself */
    WEIR_CHILD_STOPPED, /* the bundle is stopping */
    WEIR_CHILD_STATES
};

enum weir_child_event {
    WEIR_CHILD_START, /* its stage has come, or its back-off is over */
    WEIR_CHILD_SAYS_READY,
    WEIR_CHILD_EXITED,  /* or could not be spawned; detail: exit code, 128 + signal */
    WEIR_CHILD_OVERDUE, /* ready, stop, a turn, or to be continued: too late */
    WEIR_CHILD_STOP,    /* the bundle stops */
    WEIR_CHILD_RESTART, /* somebody asked for it */
    WEIR_CHILD_EVENTS
};

enum weir_supervise_what {
    WEIR_DO_SPAWN,
    WEIR_DO_STOP, /* ask it to */
    WEIR_DO_KILL,
    WEIR_DO_UP, /* tell the others */
    WEIR_DO_DOWN,
    WEIR_DO_FAILED, /* it will not come back */
    WEIR_DO_READY,  /* the whole bundle is, for the first time; no child */
    WEIR_DO_END     /* all are gone: end with `exit_code` */
};

struct weir_supervise_action {
    enum weir_supervise_what what;
    size_t child;
};

struct weir_supervise_actions {
    size_t count;
    struct weir_supervise_action items[8 * WEIR_CHILDREN_MAX];
};

struct weir_supervisor_config {
    uint64_t start_ms;        /* from spawn to ready */
    uint64_t stop_ms;         /* from stop to kill */
    uint64_t stopped_kill_ms; /* from SIGSTOP to kill */
    uint64_t late_ms;         /* own turns further apart than this are forgiven to the children */
    struct weir_restart_config restart;
};

struct weir_child {
    enum weir_child_state state;
    unsigned stage;
    bool critical; /* its giving up ends the bundle */
    uint64_t hang_ms;
    uint64_t since_ms;   /* in this state */
    uint64_t due_ms;     /* of STARTING, STOPPING: overdue; of BACKING_OFF: start */
    uint64_t heard_ms;   /* last sign of a loop turn, while READY */
    uint64_t ready_ms;   /* when it became ready; 0: not in this life */
    uint64_t stopped_ms; /* when SIGSTOP was seen; 0: it runs */
    bool again;          /* STOPPING or KILLING by hand: start it when it has ended */
    bool was_ready;      /* once, for the bundle's readiness */
    uint32_t restarts;
    int last_exit;
    struct weir_restart restart;
};

struct weir_supervisor {
    struct weir_supervisor_config config;
    struct weir_child children[WEIR_CHILDREN_MAX];
    size_t count;
    unsigned stage; /* reached in starting, or left to stop */
    bool ready;
    bool stopping;
    bool ended;
    int exit_code;
    uint64_t ticked_ms;
    struct weir_rand rand;
};

void weir_supervisor_init (struct weir_supervisor *s, const struct weir_supervisor_config *config,
                           uint64_t seed);
void weir_supervisor_fini (struct weir_supervisor *s);
/* Before the first start; returns its number. */
size_t weir_supervisor_add (struct weir_supervisor *s, unsigned stage, bool critical,
                            uint64_t hang_ms);

/* Each appends to *out what is to be done, in order. Times are monotonic and never go back. */
void weir_supervisor_start (struct weir_supervisor *s, uint64_t now_ms,
                            struct weir_supervise_actions *out);
void weir_supervisor_event (struct weir_supervisor *s, size_t child, enum weir_child_event event,
                            int detail, uint64_t now_ms, struct weir_supervise_actions *out);
void weir_supervisor_heard (struct weir_supervisor *s, size_t child, uint64_t now_ms);
void weir_supervisor_stopped (struct weir_supervisor *s, size_t child, bool stopped,
                              uint64_t now_ms); /* SIGSTOP, SIGCONT */
void weir_supervisor_tick (struct weir_supervisor *s, uint64_t now_ms,
                           struct weir_supervise_actions *out);
/* Ordered, ends with this code; the first call decides the code. */
void weir_supervisor_stop (struct weir_supervisor *s, int exit_code, uint64_t now_ms,
                           struct weir_supervise_actions *out);
/* At once. */
void weir_supervisor_kill (struct weir_supervisor *s, uint64_t now_ms,
                           struct weir_supervise_actions *out);
/* The next time something falls due; `now_ms` + 1 h at most. */
uint64_t weir_supervisor_due (const struct weir_supervisor *s, uint64_t now_ms);

const char *weir_child_state_name (enum weir_child_state state);
bool weir_child_alive (enum weir_child_state state); /* a process exists */

#endif
