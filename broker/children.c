/* Does what the supervisor says and tells it what happened: processes, lifelines, UP and DOWN.
 * It decides nothing about who lives. Called by the loop and by router.c. */

#include "broker/parts.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#define SPAWN_FAILED 127 /* as a shell says it */

static void
add (struct weir_broker *b, unsigned stage, unsigned role, unsigned number, uint64_t hang_ms)
{
    bool critical = role == WEIR_ROLE_S || role == WEIR_ROLE_P;
    size_t i = weir_supervisor_add (&b->supervisor, stage, critical, hang_ms);
    struct weir_slot *slot = &b->slots[i];
    slot->role = role;
    (void) snprintf (slot->program, sizeof slot->program, "weir-%s", weir_role_name (role));
    if (number == 0) {
        (void) snprintf (slot->name, sizeof slot->name, "%s", weir_role_name (role));
    } else {
        (void) snprintf (slot->name, sizeof slot->name, "%s-%u", weir_role_name (role), number);
    }
}

void
weir_children_init (struct weir_broker *b)
{
    const struct weir_settings_values *v = &b->settings;
    add (b, 0, WEIR_ROLE_S, 0, v->hang_store_ms);
    add (b, 1, WEIR_ROLE_R, 0, v->hang_ms);
    add (b, 1, WEIR_ROLE_P, 0, v->hang_ms);
    for (unsigned i = 1; i <= v->transports; i++) {
        add (b, 2, WEIR_ROLE_T, i, v->hang_ms);
    }
    uint64_t shortest = v->hang_ms < v->hang_store_ms ? v->hang_ms : v->hang_store_ms;
    b->ping_ms = shortest / 4u < WEIR_PING_MS ? shortest / 4u : WEIR_PING_MS;
}

size_t
weir_children_named (const struct weir_broker *b, const char *name)
{
    for (size_t i = 0; i < b->supervisor.count; i++) {
        if (strcmp (b->slots[i].name, name) == 0) {
            return i;
        }
    }
    return WEIR_NOBODY;
}

/* The only one of its role: of several an address says which. */
size_t
weir_children_of_role (const struct weir_broker *b, unsigned role)
{
    size_t found = WEIR_NOBODY;
    for (size_t i = 0; i < b->supervisor.count; i++) {
        if (b->slots[i].role == role) {
            if (found != WEIR_NOBODY) {
                return WEIR_NOBODY;
            }
            found = i;
        }
    }
    return found;
}

/* ---- UP and DOWN ---- */

static void
notice (struct weir_broker *b, struct weir_slot *to, const struct weir_slot *about, uint16_t kind,
        bool failed)
{
    Weir__ActorNotice n = WEIR__ACTOR_NOTICE__INIT;
    n.has_role = n.has_name = n.has_mailbox = n.has_epoch = 1;
    n.role = weir_field_str (weir_role_name (about->role));
    n.name = weir_field_str (about->name);
    n.mailbox = weir_field_of (weir_bytes (about->mailbox.b, sizeof about->mailbox.b));
    n.epoch = about->epoch;
    n.has_failed = failed;
    n.failed = failed;
    if (to->running && to->life_heard && weir_router_tell (b, to, kind, &n.base) != WEIR_OK) {
        b->dropped++; /* it has just ended: its next incarnation is told anew */
    }
}

static void
tell_others (struct weir_broker *b, size_t about, uint16_t kind, bool failed)
{
    for (size_t i = 0; i < b->supervisor.count; i++) {
        if (i != about) {
            notice (b, &b->slots[i], &b->slots[about], kind, failed);
        }
    }
}

/* Ready is who says so and whom the broker can reach: the two come by different ways. */
static void
maybe_ready (struct weir_broker *b, size_t child)
{
    const struct weir_slot *slot = &b->slots[child];
    if (slot->said_ready && slot->life_heard && slot->mailbox_heard) {
        weir_children_event (b, child, WEIR_CHILD_SAYS_READY, 0);
    }
}

static void
up (struct weir_broker *b, size_t child)
{
    struct weir_slot *slot = &b->slots[child];
    slot->up = true;
    weir_control_note (b, "actor_up", WEIR_OK, "%s pid=%d epoch=%016llx", slot->name,
                       (int) slot->process.pid, (unsigned long long) slot->epoch);
    tell_others (b, child, WEIR_KIND_UP, false);
    weir_clients_up (b, child);
}

static void
down (struct weir_broker *b, size_t child, bool failed)
{
    struct weir_slot *slot = &b->slots[child];
    bool was_up = slot->up;
    slot->up = false;
    if (was_up || failed) {
        tell_others (b, child, WEIR_KIND_DOWN, failed);
    }
    weir_clients_down (b, child, failed);
}

/* ---- actions ---- */

static void
draw_identity (struct weir_mailbox_id *id)
{
    do {
        ssize_t n = getrandom (id->b, sizeof id->b, 0);
        weir_assert (n == (ssize_t) sizeof id->b);
    } while (id->b[0] == 0);
}

static void
watch_fd (struct weir_broker *b, int fd)
{
    struct epoll_event event = { .events = EPOLLIN };
    int rc = epoll_ctl (b->epoll_fd, EPOLL_CTL_ADD, fd, &event);
    weir_assert (rc == 0);
}

static void
spawn (struct weir_broker *b, size_t child)
{
    struct weir_slot *slot = &b->slots[child];
    struct weir_error e = { 0 };
    weir_assert (!slot->running);
    slot->life_heard = slot->mailbox_heard = slot->said_ready = slot->up = false;
    slot->epoch = 0;
    slot->delivered = slot->pinged = slot->queue = 0;
    slot->vitals_turns = slot->vitals_received = slot->vitals_sent = slot->vitals_busy = 0;
    slot->vitals_bad = slot->vitals_rss = 0;
    draw_identity (&slot->mailbox);
    if (weir_spawn (&slot->process, &b->spawner, slot->program, slot->name, &slot->mailbox, &e)
        != WEIR_OK) {
        weir_log_put (&b->log, WEIR_LOG_ERROR, "spawn_failed", "name=%s what=\"%s\"", slot->name,
                      e.what);
        weir_children_event (b, child, WEIR_CHILD_EXITED, SPAWN_FAILED);
        return;
    }
    slot->running = true;
    watch_fd (b, slot->process.pid_fd);
    watch_fd (b, slot->process.ready_fd);
    weir_log_put (&b->log, WEIR_LOG_INFO, "actor_started", "name=%s pid=%d", slot->name,
                  (int) slot->process.pid);
}

static void
ask_to_stop (struct weir_broker *b, size_t child)
{
    struct weir_slot *slot = &b->slots[child];
    if (weir_router_tell (b, slot, WEIR_KIND_STOP, NULL) != WEIR_OK) {
        weir_process_signal (&slot->process, SIGTERM); /* it has not said hello yet */
    }
}

static void
kill_child (struct weir_broker *b, size_t child)
{
    struct weir_slot *slot = &b->slots[child];
    const struct weir_child *c = &b->supervisor.children[child];
    weir_control_note (b, "actor_killed", WEIR_TIMED_OUT, "%s pid=%d%s", slot->name,
                       (int) slot->process.pid, c->stopped_ms != 0 ? " was stopped" : "");
    weir_process_signal (&slot->process, SIGKILL);
}

static void
bundle_ready (struct weir_broker *b)
{
    weir_log_put (&b->log, WEIR_LOG_INFO, "node_ready", "run=%s", b->paths.run);
    weir_notify_say (&b->notify, "READY=1");
    if (b->ready_fd >= 0) {
        ssize_t n = write (b->ready_fd, "ready\n", 6);
        (void) n; /* who asked for it has gone: no reason to end */
        (void) close (b->ready_fd);
        b->ready_fd = -1;
    }
}

static void
act (struct weir_broker *b, enum weir_supervise_what what, size_t child)
{
    switch (what) {
    case WEIR_DO_SPAWN:
        spawn (b, child);
        break;
    case WEIR_DO_STOP:
        ask_to_stop (b, child);
        break;
    case WEIR_DO_KILL:
        kill_child (b, child);
        break;
    case WEIR_DO_UP:
        up (b, child);
        break;
    case WEIR_DO_DOWN:
        down (b, child, false);
        break;
    case WEIR_DO_FAILED:
        weir_control_note (b, "actor_failed", WEIR_ESCALATED, "%s exit=%d", b->slots[child].name,
                           b->supervisor.children[child].last_exit);
        down (b, child, true);
        break;
    case WEIR_DO_READY:
        bundle_ready (b);
        break;
    case WEIR_DO_END:
        b->ended = true;
        break;
    }
}

/* An action may cause events and so more actions: they queue up behind. */
void
weir_children_act (struct weir_broker *b)
{
    for (size_t i = 0; i < b->actions.count; i++) {
        struct weir_supervise_action action = b->actions.items[i];
        act (b, action.what, action.child);
    }
    b->actions.count = 0;
}

/* Appends only; weir_children_act is under way or comes at the end of the turn. */
void
weir_children_event (struct weir_broker *b, size_t child, enum weir_child_event event, int detail)
{
    weir_supervisor_event (&b->supervisor, child, event, detail, b->now_ms, &b->actions);
}

/* ---- processes ---- */

static void
read_ready (struct weir_broker *b, size_t child)
{
    struct weir_slot *slot = &b->slots[child];
    char byte = 0;
    ssize_t n = slot->process.ready_fd < 0 ? -1 : read (slot->process.ready_fd, &byte, 1);
    if (n < 0) {
        return; /* nothing yet */
    }
    slot->said_ready = n == 1 && byte == '\n';
    maybe_ready (b, child);
    (void) close (slot->process.ready_fd); /* also leaves the epoll set */
    slot->process.ready_fd = -1;
}

static void
ended (struct weir_broker *b, size_t child, int code)
{
    struct weir_slot *slot = &b->slots[child];
    weir_control_note (b, "actor_ended", b->supervisor.stopping ? WEIR_OK : WEIR_FAILED,
                       "%s pid=%d exit=%d", slot->name, (int) slot->process.pid, code);
    slot->running = false;
    weir_process_fini (&slot->process);
    weir_children_event (b, child, WEIR_CHILD_EXITED, code);
}

static void
watch_child (struct weir_broker *b, size_t child)
{
    struct weir_slot *slot = &b->slots[child];
    read_ready (b, child); /* before its end: it may have said it last */
    for (;;) {
        int code = 0;
        switch (weir_process_news (&slot->process, &code)) {
        case WEIR_PROCESS_NOTHING:
            return;
        case WEIR_PROCESS_ENDED:
            ended (b, child, code);
            return;
        case WEIR_PROCESS_STOPPED:
            weir_log_put (&b->log, WEIR_LOG_WARN, "actor_stopped", "name=%s", slot->name);
            weir_supervisor_stopped (&b->supervisor, child, true, b->now_ms);
            break;
        case WEIR_PROCESS_CONTINUED:
            weir_supervisor_stopped (&b->supervisor, child, false, b->now_ms);
            break;
        }
    }
}

/* As PID 1 of a container we inherit orphans; nobody else will bury them. */
static void
reap_strangers (struct weir_broker *b)
{
    siginfo_t info = { 0 };
    while (getpid () == 1 && waitid (P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0
           && info.si_pid != 0) {
        for (size_t i = 0; i < b->supervisor.count; i++) {
            if (b->slots[i].running && b->slots[i].process.pid == info.si_pid) {
                return; /* its end is read in the next turn */
            }
        }
        (void) waitpid (info.si_pid, NULL, 0);
        info.si_pid = 0;
    }
}

void
weir_children_watch (struct weir_broker *b)
{
    for (size_t i = 0; i < b->supervisor.count; i++) {
        if (b->slots[i].running) {
            watch_child (b, i);
        }
    }
    reap_strangers (b);
    weir_children_act (b);
}

/* ---- lifelines ---- */

static void
ping (struct weir_broker *b, struct weir_slot *slot)
{
    slot->pinged = slot->delivered;
    if (weir_router_tell (b, slot, WEIR_KIND_PING, NULL) != WEIR_OK) {
        b->dropped++;
    }
}

void
weir_children_ping (struct weir_broker *b)
{
    if (b->now_ms - b->pinged_ms < b->ping_ms) {
        return;
    }
    b->pinged_ms = b->now_ms;
    for (size_t i = 0; i < b->supervisor.count; i++) {
        if (b->slots[i].running && b->slots[i].life_heard) {
            ping (b, &b->slots[i]);
        }
    }
}

static void
hello (struct weir_broker *b, size_t child, const Weir__ActorHello *said, bool on_life)
{
    struct weir_slot *slot = &b->slots[child];
    slot->epoch = said->epoch;
    if (!on_life) {
        slot->mailbox_heard = true;
    } else if (!slot->life_heard) {
        slot->life_heard = true;
        for (size_t i = 0; i < b->supervisor.count; i++) {
            if (i != child && b->slots[i].up) {
                notice (b, slot, &b->slots[i], WEIR_KIND_UP, false);
            } else if (i != child && b->supervisor.children[i].state == WEIR_CHILD_FAILED) {
                notice (b, slot, &b->slots[i], WEIR_KIND_DOWN, true);
            }
        }
    }
    if (on_life) {
        ping (b, slot); /* its vitals, before the first turn of pings */
    }
    maybe_ready (b, child);
}

static void
pong (struct weir_broker *b, size_t child, const Weir__ActorVitals *said)
{
    struct weir_slot *slot = &b->slots[child];
    slot->vitals_turns = said->turns;
    slot->vitals_received = said->received;
    slot->vitals_sent = said->sent;
    slot->vitals_busy = said->busy;
    slot->vitals_bad = said->bad;
    slot->vitals_rss = said->rss_bytes;
    /* Exact as of that ping: ZeroMQ itself does not tell how much it holds (page 7). */
    slot->queue = slot->pinged > said->received ? slot->pinged - said->received : 0;
    weir_supervisor_heard (&b->supervisor, child, b->now_ms);
}

/* What an actor says to the broker itself. A gateway also asks what clients ask. */
void
weir_children_letter (struct weir_broker *b, struct weir_letter *letter, bool on_life)
{
    ProtobufCMessage *meta = NULL;
    if ((letter->kind->flags & WEIR_KIND_ONEWAY) == 0) {
        weir_control_take (b, letter);
        return;
    }
    weir_arena_reset (b->arena);
    if (weir_meta_get (&meta, b->arena, letter->kind, false,
                       weir_bytes (zmq_msg_data (&letter->meta), zmq_msg_size (&letter->meta)))
        != WEIR_OK) {
        b->dropped++;
        return;
    }
    if (letter->kind->number == WEIR_KIND_HELLO_ACTOR) {
        hello (b, letter->from, (const Weir__ActorHello *) meta, on_life);
    } else if (letter->kind->number == WEIR_KIND_PONG) {
        pong (b, letter->from, (const Weir__ActorVitals *) meta);
    } else if (letter->kind->number == WEIR_KIND_EVENT) {
        (void) weir_events_add (&b->events, b->slots[letter->from].name, (const Weir__Event *) meta,
                                weir_unix_ms ());
    } else {
        b->dropped++;
    }
}
