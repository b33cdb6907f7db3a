/* The supervisor of a bundle's children: pure, one table of state x event, one handler a cell.
 * It never touches a process: broker.c does what it says and tells it what happened. */

#include "broker/supervisor.h"

#include <string.h>

struct turn {
    struct weir_supervisor *s;
    struct weir_child *child;
    size_t number;
    int detail;
    uint64_t now_ms;
    struct weir_supervise_actions *out;
};

static void
act (struct turn *t, enum weir_supervise_what what)
{
    weir_assert (t->out->count < sizeof t->out->items / sizeof t->out->items[0]);
    t->out->items[t->out->count++] = (struct weir_supervise_action){ what, t->number };
}

static void
enter (struct turn *t, enum weir_child_state state)
{
    t->child->state = state;
    t->child->since_ms = t->now_ms;
    t->child->due_ms = 0;
}

/* ---- what a cell of the table does ---- */

static void
ignore (struct turn *t)
{
    (void) t;
}

static void
spawn (struct turn *t)
{
    enter (t, WEIR_CHILD_STARTING);
    t->child->due_ms = t->now_ms + t->s->config.start_ms;
    t->child->ready_ms = 0;
    t->child->stopped_ms = 0;
    t->child->again = false;
    act (t, WEIR_DO_SPAWN);
}

/* By hand: the past does not count against it. */
static void
spawn_anew (struct turn *t)
{
    weir_restart_reset (&t->child->restart);
    t->child->restarts++;
    spawn (t);
}

static void
become_ready (struct turn *t)
{
    enter (t, WEIR_CHILD_READY);
    t->child->ready_ms = t->now_ms;
    t->child->heard_ms = t->now_ms;
    t->child->was_ready = true;
    act (t, WEIR_DO_UP);
}

static void
ask_to_stop (struct turn *t)
{
    enter (t, WEIR_CHILD_STOPPING);
    t->child->due_ms = t->now_ms + t->s->config.stop_ms;
    t->child->again = false;
    act (t, WEIR_DO_STOP);
}

static void
ask_to_restart (struct turn *t)
{
    ask_to_stop (t);
    t->child->again = true;
}

static void
stay_down (struct turn *t)
{
    t->child->again = false;
}

static void
rise_again (struct turn *t)
{
    t->child->again = !t->s->stopping;
}

static void
kill_child (struct turn *t)
{
    enter (t, WEIR_CHILD_KILLING);
    act (t, WEIR_DO_KILL);
}

static void
rest (struct turn *t)
{
    enter (t, WEIR_CHILD_STOPPED);
}

static void
give_up (struct turn *t)
{
    int code = t->child->last_exit;
    enter (t, WEIR_CHILD_FAILED);
    act (t, WEIR_DO_FAILED);
    if (t->child->critical) {
        bool speaks = code >= weir_status_exit (WEIR_CANNOT_CREATE)
                      && code <= weir_status_exit (WEIR_NEWER_LAYOUT);
        weir_supervisor_stop (t->s, speaks ? code : weir_status_exit (WEIR_ESCALATED), t->now_ms,
                              t->out);
    }
}

/* What no restart can mend: corrupt data, data of a newer weir, bad configuration. */
static bool
is_final (int code)
{
    return code == weir_status_exit (WEIR_CORRUPT) || code == weir_status_exit (WEIR_NEWER_LAYOUT)
           || code == weir_status_exit (WEIR_BAD_CONFIG);
}

static void
note_end (struct turn *t)
{
    t->child->last_exit = t->detail;
    t->child->stopped_ms = 0;
    if (t->child->ready_ms != 0) {
        act (t, WEIR_DO_DOWN);
    }
}

static void
died (struct turn *t)
{
    note_end (t);
    if (t->s->stopping) {
        rest (t);
        return;
    }
    if (is_final (t->detail)) {
        enter (t, WEIR_CHILD_FAILED);
        act (t, WEIR_DO_FAILED);
        weir_supervisor_stop (t->s, t->detail, t->now_ms, t->out);
        return;
    }
    uint64_t ready_ms = t->child->ready_ms == 0 ? 0 : t->now_ms - t->child->ready_ms;
    uint64_t wait_ms = 0;
    if (!weir_restart_died (&t->child->restart, t->now_ms, ready_ms, &t->s->rand, &wait_ms)) {
        give_up (t);
        return;
    }
    t->child->restarts++;
    enter (t, WEIR_CHILD_BACKING_OFF);
    t->child->due_ms = t->now_ms + wait_ms;
}

static void
ended_by_hand (struct turn *t)
{
    note_end (t);
    if (t->child->again) {
        spawn_anew (t);
    } else {
        rest (t);
    }
}

static void
ended_by_kill (struct turn *t)
{
    if (t->child->again) {
        ended_by_hand (t);
    } else {
        died (t);
    }
}

typedef void (cell_fn) (struct turn *t);

/* clang-format off */
static cell_fn *const table[WEIR_CHILD_STATES][WEIR_CHILD_EVENTS] = {
    /*                            START    SAYS_READY    EXITED         OVERDUE     STOP         RESTART */
    [WEIR_CHILD_WAITING]      = { spawn,   ignore,       ignore,        ignore,     rest,        ignore },
    [WEIR_CHILD_STARTING]     = { ignore,  become_ready, died,          kill_child, ask_to_stop, ask_to_restart },
    [WEIR_CHILD_READY]        = { ignore,  ignore,       died,          kill_child, ask_to_stop, ask_to_restart },
    [WEIR_CHILD_STOPPING]     = { ignore,  ignore,       ended_by_hand, kill_child, stay_down,   rise_again },
    [WEIR_CHILD_KILLING]      = { ignore,  ignore,       ended_by_kill, ignore,     stay_down,   rise_again },
    [WEIR_CHILD_BACKING_OFF]  = { spawn,   ignore,       ignore,        ignore,     rest,        spawn_anew },
    [WEIR_CHILD_FAILED]       = { ignore,  ignore,       ignore,        ignore,     rest,        spawn_anew },
    [WEIR_CHILD_STOPPED]      = { ignore,  ignore,       ignore,        ignore,     ignore,      ignore },
};
/* clang-format on */

/* ---- the bundle ---- */

static void
fire (struct weir_supervisor *s, size_t number, enum weir_child_event event, int detail,
      uint64_t now_ms, struct weir_supervise_actions *out)
{
    struct turn t = { s, &s->children[number], number, detail, now_ms, out };
    table[t.child->state][event](&t);
}

/* Has this stage come as far as it will? A failed child that is not critical holds nobody up. */
static bool
stage_is_up (const struct weir_supervisor *s, unsigned stage)
{
    for (size_t i = 0; i < s->count; i++) {
        const struct weir_child *c = &s->children[i];
        if (c->stage == stage && !c->was_ready && c->state != WEIR_CHILD_FAILED) {
            return false;
        }
    }
    return true;
}

static bool
stage_is_down (const struct weir_supervisor *s, unsigned stage)
{
    for (size_t i = 0; i < s->count; i++) {
        if (s->children[i].stage == stage && s->children[i].state != WEIR_CHILD_STOPPED) {
            return false;
        }
    }
    return true;
}

static void
for_stage (struct weir_supervisor *s, unsigned stage, enum weir_child_event event, uint64_t now_ms,
           struct weir_supervise_actions *out)
{
    for (size_t i = 0; i < s->count; i++) {
        if (s->children[i].stage == stage) {
            fire (s, i, event, 0, now_ms, out);
        }
    }
}

static void
bundle_act (struct weir_supervise_actions *out, enum weir_supervise_what what)
{
    weir_assert (out->count < sizeof out->items / sizeof out->items[0]);
    out->items[out->count++] = (struct weir_supervise_action){ what, SIZE_MAX };
}

static void
advance_start (struct weir_supervisor *s, uint64_t now_ms, struct weir_supervise_actions *out)
{
    while (!s->ready && stage_is_up (s, s->stage)) {
        if (s->stage + 1 == WEIR_STAGES_MAX) {
            s->ready = true;
            bundle_act (out, WEIR_DO_READY);
            return;
        }
        s->stage++;
        for_stage (s, s->stage, WEIR_CHILD_START, now_ms, out);
    }
}

static void
advance_stop (struct weir_supervisor *s, uint64_t now_ms, struct weir_supervise_actions *out)
{
    while (!s->ended && stage_is_down (s, s->stage)) {
        if (s->stage == 0) {
            s->ended = true;
            bundle_act (out, WEIR_DO_END);
            return;
        }
        s->stage--;
        for_stage (s, s->stage, WEIR_CHILD_STOP, now_ms, out);
    }
}

static void
advance (struct weir_supervisor *s, uint64_t now_ms, struct weir_supervise_actions *out)
{
    if (s->stopping) {
        advance_stop (s, now_ms, out);
    } else {
        advance_start (s, now_ms, out);
    }
}

void
weir_supervisor_init (struct weir_supervisor *s, const struct weir_supervisor_config *config,
                      uint64_t seed)
{
    memset (s, 0, sizeof *s);
    s->config = *config;
    weir_rand_init (&s->rand, seed);
}

void
weir_supervisor_fini (struct weir_supervisor *s)
{
    for (size_t i = 0; i < s->count; i++) {
        weir_restart_fini (&s->children[i].restart);
    }
}

size_t
weir_supervisor_add (struct weir_supervisor *s, unsigned stage, bool critical, uint64_t hang_ms)
{
    weir_assert (s->count < WEIR_CHILDREN_MAX && stage < WEIR_STAGES_MAX);
    struct weir_child *c = &s->children[s->count];
    c->stage = stage;
    c->critical = critical;
    c->hang_ms = hang_ms;
    weir_restart_init (&c->restart, &s->config.restart);
    return s->count++;
}

void
weir_supervisor_start (struct weir_supervisor *s, uint64_t now_ms,
                       struct weir_supervise_actions *out)
{
    s->ticked_ms = now_ms;
    for_stage (s, 0, WEIR_CHILD_START, now_ms, out);
    advance (s, now_ms, out);
}

void
weir_supervisor_event (struct weir_supervisor *s, size_t child, enum weir_child_event event,
                       int detail, uint64_t now_ms, struct weir_supervise_actions *out)
{
    weir_assert (child < s->count);
    if (!s->ended && !(event == WEIR_CHILD_RESTART && s->stopping)) {
        fire (s, child, event, detail, now_ms, out);
        advance (s, now_ms, out);
    }
}

void
weir_supervisor_heard (struct weir_supervisor *s, size_t child, uint64_t now_ms)
{
    s->children[child].heard_ms = now_ms;
}

void
weir_supervisor_stopped (struct weir_supervisor *s, size_t child, bool stopped, uint64_t now_ms)
{
    struct weir_child *c = &s->children[child];
    if (!stopped) {
        c->stopped_ms = 0;
        c->heard_ms = now_ms;
    } else if (c->stopped_ms == 0) {
        c->stopped_ms = now_ms;
    }
}

/* When this child is late with something; UINT64_MAX: never. */
static uint64_t
overdue_at (const struct weir_supervisor *s, const struct weir_child *c)
{
    uint64_t at = UINT64_MAX;
    if (c->state == WEIR_CHILD_STARTING || c->state == WEIR_CHILD_STOPPING) {
        at = c->due_ms;
    } else if (c->state == WEIR_CHILD_READY) {
        at = c->heard_ms + c->hang_ms;
    } else {
        return at;
    }
    if (c->stopped_ms != 0 && c->stopped_ms + s->config.stopped_kill_ms < at) {
        at = c->stopped_ms + s->config.stopped_kill_ms;
    }
    return at;
}

/* We ourselves were late (a suspended machine, a busy one, SIGSTOP): what the children may have
 * said meanwhile is not read yet. */
static void
forgive (struct weir_supervisor *s, uint64_t now_ms)
{
    uint64_t apart = now_ms - s->ticked_ms;
    if (apart <= s->config.late_ms) {
        return;
    }
    for (size_t i = 0; i < s->count; i++) {
        struct weir_child *c = &s->children[i];
        c->heard_ms += c->state == WEIR_CHILD_READY ? apart : 0;
        c->stopped_ms += c->stopped_ms != 0 ? apart : 0;
        if (c->state == WEIR_CHILD_STARTING || c->state == WEIR_CHILD_STOPPING) {
            c->due_ms += apart;
        }
    }
}

void
weir_supervisor_tick (struct weir_supervisor *s, uint64_t now_ms,
                      struct weir_supervise_actions *out)
{
    forgive (s, now_ms);
    s->ticked_ms = now_ms;
    for (size_t i = 0; i < s->count && !s->ended; i++) {
        const struct weir_child *c = &s->children[i];
        if (c->state == WEIR_CHILD_BACKING_OFF && now_ms >= c->due_ms) {
            fire (s, i, WEIR_CHILD_START, 0, now_ms, out);
        } else if (now_ms >= overdue_at (s, c)) {
            fire (s, i, WEIR_CHILD_OVERDUE, 0, now_ms, out);
        }
    }
}

void
weir_supervisor_stop (struct weir_supervisor *s, int exit_code, uint64_t now_ms,
                      struct weir_supervise_actions *out)
{
    if (s->stopping) {
        return;
    }
    s->stopping = true;
    s->exit_code = exit_code;
    s->stage = WEIR_STAGES_MAX - 1;
    for_stage (s, s->stage, WEIR_CHILD_STOP, now_ms, out);
    /* A child that waits for its back-off would otherwise start meanwhile. */
    for (size_t i = 0; i < s->count; i++) {
        enum weir_child_state state = s->children[i].state;
        if (!weir_child_alive (state) || state == WEIR_CHILD_KILLING) {
            fire (s, i, WEIR_CHILD_STOP, 0, now_ms, out);
        }
        s->children[i].again = false;
    }
    advance_stop (s, now_ms, out);
}

void
weir_supervisor_kill (struct weir_supervisor *s, uint64_t now_ms,
                      struct weir_supervise_actions *out)
{
    weir_supervisor_stop (s, 0, now_ms, out);
    for (size_t i = 0; i < s->count && !s->ended; i++) {
        struct turn t = { s, &s->children[i], i, 0, now_ms, out };
        if (weir_child_alive (t.child->state) && t.child->state != WEIR_CHILD_KILLING) {
            kill_child (&t);
        }
    }
}

uint64_t
weir_supervisor_due (const struct weir_supervisor *s, uint64_t now_ms)
{
    uint64_t due = now_ms + 3600u * 1000u;
    for (size_t i = 0; i < s->count; i++) {
        const struct weir_child *c = &s->children[i];
        uint64_t at = c->state == WEIR_CHILD_BACKING_OFF ? c->due_ms : overdue_at (s, c);
        due = at < due ? at : due;
    }
    return due;
}

const char *
weir_child_state_name (enum weir_child_state state)
{
    static const char *const names[WEIR_CHILD_STATES] = {
        "waiting", "starting", "ready", "stopping", "stopping", "backing_off", "failed", "stopped",
    };
    return names[state];
}

bool
weir_child_alive (enum weir_child_state state)
{
    return state == WEIR_CHILD_STARTING || state == WEIR_CHILD_READY || state == WEIR_CHILD_STOPPING
           || state == WEIR_CHILD_KILLING;
}
