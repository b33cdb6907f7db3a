/* Owns an actor's process from main () to its exit code: arguments, sockets, the loop. What comes
 * through the sockets is lifeline.c's and mailbox.c's. It never decides whether the process
 * should live: the broker does, and its death ends this at once. */

#include "actors/runtime/actor_parts.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "store/base/map.h"

#define LINGER_MS 200
#define LIFELINE_PER_TURN 64u
#define TIMERS_PER_TURN 1024u
#define WAIT_MS_MAX 60000u

/* ---- arguments ---- */

struct arguments {
    const char *name, *data, *run;
    int life_fd, ready_fd, identity_fd;
};

/* What is no fd beyond the standard three is -1. */
static int
fd_of (const char *text)
{
    char *end = NULL;
    long fd = strtol (text, &end, 10);
    return end != text && *end == '\0' && fd > 2 && fd <= INT_MAX ? (int) fd : -1;
}

static bool
parse_arguments (struct arguments *a, int argc, char **argv)
{
    static const struct option options[] = {
        { "name", required_argument, NULL, 'n' },
        { "data", required_argument, NULL, 'd' },
        { "run", required_argument, NULL, 'r' },
        { "life-fd", required_argument, NULL, 'l' },
        { "ready-fd", required_argument, NULL, 'y' },
        { "identity-fd", required_argument, NULL, 'i' },
        { NULL, 0, NULL, 0 },
    };
    *a = (struct arguments){ .life_fd = -1, .ready_fd = -1, .identity_fd = -1 };
    optind = 1;
    opterr = 0;
    for (int c = 0; (c = getopt_long (argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case 'n':
            a->name = optarg;
            break;
        case 'd':
            a->data = optarg;
            break;
        case 'r':
            a->run = optarg;
            break;
        case 'l':
            a->life_fd = fd_of (optarg);
            break;
        case 'y':
            a->ready_fd = fd_of (optarg);
            break;
        case 'i':
            a->identity_fd = fd_of (optarg);
            break;
        default:
            return false;
        }
    }
    return a->name != NULL && a->data != NULL && a->run != NULL && a->life_fd > 2 && a->ready_fd > 2
           && a->identity_fd > 2;
}

static enum weir_status
read_identity (struct weir_actor *self, int fd, struct weir_error *e)
{
    size_t have = 0;
    ssize_t n = 1;
    while (have < sizeof self->id.b && n > 0) {
        n = read (fd, self->id.b + have, sizeof self->id.b - have);
        have += n > 0 ? (size_t) n : 0;
    }
    (void) close (fd);
    if (have != sizeof self->id.b || self->id.b[0] == 0) {
        return weir_error_set (e, WEIR_USAGE, NULL, "no mailbox identity on the inherited fd");
    }
    return WEIR_OK;
}

/* ---- start ---- */

/* The kernel kills this process with the broker: that also ends one that is stopped, or stuck in
 * a handler. The life pipe covers the moment before. */
static bool
bind_to_broker (struct weir_actor *self, int life_fd)
{
    self->life_fd = life_fd;
    (void) prctl (PR_SET_PDEATHSIG, SIGKILL);
    struct pollfd life = { .fd = life_fd, .events = POLLIN };
    return poll (&life, 1, 0) == 0;
}

static void
take_signals (struct weir_actor *self)
{
    sigset_t set;
    (void) sigemptyset (&set);
    (void) sigaddset (&set, SIGTERM);
    (void) sigprocmask (SIG_BLOCK, &set, NULL);
    self->signal_fd = signalfd (-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    weir_assert (self->signal_fd >= 0);
    /* Ctrl-C reaches the whole process group; the broker stops us in order. */
    (void) signal (SIGINT, SIG_IGN);
    (void) signal (SIGPIPE, SIG_IGN);
}

static void *
open_socket (struct weir_actor *self, const char *name, int queue, struct weir_error *e)
{
    char address[WEIR_SETTING_TEXT_MAX + 16];
    (void) snprintf (address, sizeof address, "ipc://%s/%s", self->paths.run, name);
    void *socket = zmq_socket (self->zmq, ZMQ_DEALER);
    weir_assert (socket != NULL);
    int rc = zmq_setsockopt (socket, ZMQ_ROUTING_ID, self->id.b, sizeof self->id.b);
    weir_assert (rc == 0);
    weir_post_option (socket, ZMQ_SNDHWM, queue);
    weir_post_option (socket, ZMQ_RCVHWM, queue);
    weir_post_option (socket, ZMQ_LINGER, LINGER_MS);
    if (zmq_connect (socket, address) != 0) {
        (void) weir_error_set (e, WEIR_UNAVAILABLE, NULL, "cannot connect %s: %s", address,
                               zmq_strerror (errno));
        (void) zmq_close (socket);
        return NULL;
    }
    return socket;
}

static enum weir_status
connect_broker (struct weir_actor *self, struct weir_error *e)
{
    self->zmq = zmq_ctx_new ();
    weir_assert (self->zmq != NULL);
    self->mailbox = open_socket (self, "actors", (int) WEIR_MAILBOX_MESSAGES_MAX, e);
    self->life = self->mailbox == NULL ? NULL : open_socket (self, "life", 0, e);
    if (self->life == NULL) {
        return WEIR_UNAVAILABLE;
    }
    weir_lifeline_hello (self);
    return WEIR_OK;
}

static void
draw_randomness (struct weir_actor *self)
{
    struct {
        uint64_t seed;
        uint64_t epoch;
        uint8_t map_key[16];
    } random;
    ssize_t n = getrandom (&random, sizeof random, 0);
    weir_assert (n == (ssize_t) sizeof random);
    weir_rand_init (&self->rand, random.seed);
    weir_map_seed (random.map_key);
    self->epoch = random.epoch == 0 ? 1 : random.epoch;
}

static enum weir_status
configure (struct weir_actor *self, const struct arguments *a, struct weir_error *e)
{
    struct weir_paths before;
    enum weir_status status = weir_paths_find (&before, a->data, NULL, e);
    if (status == WEIR_OK) {
        status = weir_settings_load (&self->settings, before.config, false, e);
    }
    if (status == WEIR_OK) {
        (void) snprintf (self->settings.run_dir, sizeof self->settings.run_dir, "%s", a->run);
        status = weir_paths_find (&self->paths, a->data, &self->settings, e);
    }
    (void) snprintf (self->name, sizeof self->name, "%s", a->name);
    weir_log_begin (&self->log, self->name, self->epoch,
                    status == WEIR_OK ? self->settings.log_level : "info",
                    status == WEIR_OK ? self->settings.log_format : "auto");
    return status;
}

/* ---- the loop ---- */

static bool
drain (struct weir_actor *self, void *socket, size_t max,
       void (*take) (struct weir_actor *self, struct weir_post *post))
{
    struct weir_post post;
    weir_post_init (&post);
    size_t n = 0;
    for (; n < max && !self->ended; n++) {
        enum weir_status status = weir_post_receive (socket, &post);
        if (status == WEIR_NOT_FOUND) {
            break;
        }
        if (status == WEIR_OK) {
            take (self, &post);
        } else {
            self->vitals.bad++;
        }
    }
    weir_post_fini (&post);
    return n > 0;
}

static bool
fire_timers (struct weir_actor *self)
{
    bool any = false;
    for (size_t n = 0; n < TIMERS_PER_TURN && !self->ended; n++) {
        struct weir_alarm *alarm =
            (struct weir_alarm *) weir_timers_due (&self->timers, self->now_ms);
        if (alarm == NULL) {
            break;
        }
        any = true;
        if (alarm->ask != NULL) {
            weir_asks_due (self, alarm->ask);
            continue;
        }
        weir_actor_fn *fn = alarm->fn;
        void *context = alarm->context;
        if (alarm != &self->log_alarm) {
            alarm->next_free = self->free_alarms;
            self->free_alarms = alarm;
        }
        fn (self->state, self, context);
    }
    return any;
}

/* A callback may add and remove watches: each is looked up anew before it is called. */
static bool
call_watches (struct weir_actor *self, const zmq_pollitem_t *items, size_t n)
{
    bool any = false;
    for (size_t i = 0; i < n && !self->ended; i++) {
        if (items[i].revents == 0) {
            continue;
        }
        for (size_t j = 0; j < self->n_watches; j++) {
            struct weir_watch *w = &self->watches[j];
            bool same = items[i].socket != NULL ? w->socket == items[i].socket
                                                : w->socket == NULL && w->fd == items[i].fd;
            if (same) {
                any = true;
                w->fn (self->state, self, w->context);
                break;
            }
        }
    }
    return any;
}

enum { ITEM_LIFE, ITEM_MAILBOX, ITEM_SIGNAL, ITEM_BROKER, ITEMS };

static size_t
fill_items (struct weir_actor *self, zmq_pollitem_t **items, size_t *cap)
{
    size_t n = ITEMS + self->n_watches;
    weir_grow (items, cap, n, sizeof **items);
    zmq_pollitem_t *p = *items;
    memset (p, 0, n * sizeof *p);
    p[ITEM_LIFE].socket = self->life;
    p[ITEM_MAILBOX].socket = self->mailbox;
    p[ITEM_SIGNAL].fd = self->signal_fd;
    p[ITEM_BROKER].fd = self->life_fd;
    for (size_t i = 0; i < self->n_watches; i++) {
        p[ITEMS + i].socket = self->watches[i].socket;
        p[ITEMS + i].fd = self->watches[i].fd;
    }
    for (size_t i = 0; i < n; i++) {
        p[i].events = ZMQ_POLLIN;
    }
    return n;
}

/* Returns when the actor is to stop, has ended itself, or has lost its broker. */
static void
loop (struct weir_actor *self)
{
    zmq_pollitem_t *items = NULL;
    size_t cap = 0;
    while (!self->ended && !self->stopping) {
        size_t n = fill_items (self, &items, &cap);
        self->now_ms = weir_now_ms ();
        uint64_t wait = weir_timers_wait (&self->timers, self->now_ms, WAIT_MS_MAX);
        if (zmq_poll (items, (int) n, (long) wait) < 0) {
            weir_assert (errno == EINTR);
            continue;
        }
        self->now_ms = weir_now_ms ();
        self->vitals.turns++;
        if (items[ITEM_BROKER].revents != 0) {
            weir_actor_log (self, WEIR_LOG_WARN, "broker_gone", "pid=%d", (int) getpid ());
            self->ended = true;
            self->exit_code = weir_status_exit (WEIR_UNAVAILABLE);
            break;
        }
        if (items[ITEM_SIGNAL].revents != 0) {
            self->stopping = true;
        }
        bool any = false;
        if (items[ITEM_LIFE].revents != 0) {
            any = drain (self, self->life, LIFELINE_PER_TURN, weir_lifeline_take);
        }
        if (items[ITEM_MAILBOX].revents != 0) {
            any = drain (self, self->mailbox, WEIR_DRAIN_PER_TURN, weir_mailbox_take) || any;
        }
        any = fire_timers (self) || any;
        any = call_watches (self, items + ITEMS, n - ITEMS) || any;
        if (any && !self->ended && self->def->after_turn != NULL) {
            self->def->after_turn (self->state, self);
        }
        weir_trim_turn (&self->trim, self->vitals.received + self->vitals.sent, self->now_ms);
    }
    free (items);
}

/* ---- the process ---- */

static void
release (struct weir_actor *self)
{
    if (self->mailbox != NULL) {
        (void) zmq_close (self->mailbox);
    }
    if (self->life != NULL) {
        (void) zmq_close (self->life);
    }
    if (self->zmq != NULL) {
        (void) zmq_ctx_term (self->zmq); /* waits for what lingers */
    }
    weir_asks_fini (self);
    weir_timers_fini (&self->timers);
    for (size_t i = 0; i < self->n_alarms; i++) {
        free (self->alarms[i]);
    }
    free (self->alarms);
    free (self->watches);
    weir_arena_destroy (&self->arena);
    free (self);
}

static enum weir_status
begin (struct weir_actor *self, const struct arguments *a, struct weir_error *e)
{
    draw_randomness (self);
    enum weir_status status = configure (self, a, e);
    if (status == WEIR_OK) {
        status = read_identity (self, a->identity_fd, e);
    }
    if (status != WEIR_OK) {
        return status;
    }
    take_signals (self);
    self->arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    for (const struct weir_actor_handler *h = self->def->handlers; h->kind != 0; h++) {
        weir_assert (h->kind < WEIR_KIND_NUMBERS && self->handlers[h->kind] == NULL);
        self->handlers[h->kind] = h->handle;
    }
    status = connect_broker (self, e);
    if (status != WEIR_OK) {
        return status;
    }
    self->now_ms = weir_now_ms ();
    return self->def->start (&self->state, self, e);
}

int
weir_actor_run (const struct weir_actor_def *def, int argc, char **argv)
{
    struct arguments a;
    if (!parse_arguments (&a, argc, argv)) {
        (void) fprintf (stderr,
                        "weir: %s is an actor, started by the broker only\n"
                        "hint: weir run\n",
                        argc > 0 ? argv[0] : def->role);
        return weir_status_exit (WEIR_USAGE);
    }
    struct weir_actor *self = weir_alloc (sizeof *self);
    struct weir_error e = { 0 };
    self->def = def;
    self->role = weir_role_by_name (def->role);
    self->ready_fd = a.ready_fd;
    if (!bind_to_broker (self, a.life_fd)) {
        free (self);
        return weir_status_exit (WEIR_UNAVAILABLE);
    }
    enum weir_status status = begin (self, &a, &e);
    if (status != WEIR_OK) {
        weir_actor_exit (self, status, &e);
    }
    loop (self);
    if (self->ended) {
        /* Stop is crash: the actor's state and sockets are as they are, and nothing is tidied. */
        _exit (self->exit_code);
    }
    if (def->stop != NULL) {
        def->stop (&self->state, self);
    }
    release (self);
    return 0;
}

/* ---- what an actor asks of its skeleton ---- */

uint64_t
weir_actor_now_ms (const struct weir_actor *self)
{
    return self->now_ms;
}

uint64_t
weir_actor_wall_ms (const struct weir_actor *self)
{
    (void) self;
    struct timespec now;
    (void) clock_gettime (CLOCK_REALTIME, &now);
    return (uint64_t) now.tv_sec * 1000u + (uint64_t) now.tv_nsec / 1000000u;
}

struct weir_rand *
weir_actor_rand (struct weir_actor *self)
{
    return &self->rand;
}

void *
weir_actor_zmq (struct weir_actor *self)
{
    return self->zmq;
}

const char *
weir_actor_name (const struct weir_actor *self)
{
    return self->name;
}

uint64_t
weir_actor_epoch (const struct weir_actor *self)
{
    return self->epoch;
}

const struct weir_settings_values *
weir_actor_settings (const struct weir_actor *self)
{
    return &self->settings;
}

const struct weir_paths *
weir_actor_paths (const struct weir_actor *self)
{
    return &self->paths;
}

void
weir_actor_ready (struct weir_actor *self)
{
    if (self->ready_fd >= 0) {
        ssize_t n = write (self->ready_fd, "\n", 1);
        (void) n; /* a broker that is gone is noticed on the life pipe */
        (void) close (self->ready_fd);
        self->ready_fd = -1;
    }
}

void
weir_actor_exit (struct weir_actor *self, enum weir_status status, const struct weir_error *e)
{
    const char *hint = e == NULL ? weir_status_hint (status) : weir_error_hint (e);
    weir_actor_log (self, WEIR_LOG_ERROR, "actor_ends", "code=%s what=\"%s\" hint=\"%s\"",
                    weir_status_code (status), e == NULL ? "" : e->what, hint);
    self->ended = true;
    self->exit_code = weir_status_exit (status);
}
