/* Owns the broker's process: arguments, directories, the loop and its end. Processes are
 * children.c's, messages router.c's, decisions supervisor.c's. It never opens the database. */

#include "broker/broker.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "actors/runtime/post.h"
#include "broker/lock.h"
#include "broker/parts.h"
#include "store/base/map.h"

#define TURN_MS_MAX 200u /* the supervisor looks at its clock at least so often */
#define LATE_MS 1000u    /* a turn later than this is forgiven to the children */

/* ---- start ---- */

static bool
parse_arguments (struct weir_broker *b, const char **data, int argc, char **argv)
{
    static const struct option options[] = {
        { "data", required_argument, NULL, 'd' },
        { "ready-fd", required_argument, NULL, 'y' },
        { NULL, 0, NULL, 0 },
    };
    optind = 1;
    opterr = 0;
    for (int c = 0; (c = getopt_long (argc, argv, "", options, NULL)) != -1;) {
        char *end = NULL;
        if (c == 'd') {
            *data = optarg;
        } else if (c == 'y') {
            long fd = strtol (optarg, &end, 10);
            if (*end != '\0' || end == optarg || fd < 0 || fd > 65535) {
                return false;
            }
            b->ready_fd = (int) fd;
            (void) fcntl (b->ready_fd, F_SETFD, FD_CLOEXEC); /* not for our children */
        } else {
            return false;
        }
    }
    return optind == argc;
}

static enum weir_status
find_folder (struct weir_broker *b, struct weir_error *e)
{
    const char *set = getenv ("WEIR_LIBEXEC");
    if (set != NULL && set[0] != '\0') {
        (void) snprintf (b->folder, sizeof b->folder, "%s", set);
        return WEIR_OK;
    }
    ssize_t n = readlink ("/proc/self/exe", b->folder, sizeof b->folder - 1);
    if (n <= 0) {
        return weir_error_set (e, WEIR_FAILED, NULL, "cannot tell where this program is: %s",
                               strerror (errno));
    }
    b->folder[n] = '\0';
    *strrchr (b->folder, '/') = '\0';
    return WEIR_OK;
}

static enum weir_status
configure (struct weir_broker *b, const char *data, struct weir_error *e)
{
    struct weir_paths before;
    enum weir_status status = weir_paths_find (&before, data, NULL, e);
    if (status == WEIR_OK) {
        status = weir_settings_load (&b->settings, before.config, false, e);
    }
    if (status == WEIR_OK) {
        status = weir_paths_find (&b->paths, data, &b->settings, e);
    }
    weir_log_begin (&b->log, "broker", b->epoch, status == WEIR_OK ? b->settings.log_level : "info",
                    status == WEIR_OK ? b->settings.log_format : "auto");
    return status;
}

static void
take_signals (struct weir_broker *b)
{
    static const int ours[] = { SIGTERM, SIGINT, SIGHUP, SIGCHLD };
    sigset_t set;
    (void) sigemptyset (&set);
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++) {
        /* An inherited SIG_IGN would keep them (and our children's ends) from us. */
        (void) signal (ours[i], SIG_DFL);
        (void) sigaddset (&set, ours[i]);
    }
    (void) sigprocmask (SIG_BLOCK, &set, NULL);
    (void) signal (SIGPIPE, SIG_IGN);
    b->signal_fd = signalfd (-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    b->epoll_fd = epoll_create1 (EPOLL_CLOEXEC);
    weir_assert (b->signal_fd >= 0 && b->epoll_fd >= 0);
    struct epoll_event event = { .events = EPOLLIN };
    int rc = epoll_ctl (b->epoll_fd, EPOLL_CTL_ADD, b->signal_fd, &event);
    weir_assert (rc == 0);
}

static void
draw_randomness (struct weir_broker *b, uint64_t *seed)
{
    struct {
        uint64_t seed;
        uint64_t epoch;
        uint8_t map_key[16];
        uint8_t tag[WEIR_CLIENT_TAG_BYTES];
    } random;
    ssize_t n = getrandom (&random, sizeof random, 0);
    weir_assert (n == (ssize_t) sizeof random);
    *seed = random.seed;
    b->epoch = random.epoch == 0 ? 1 : random.epoch;
    weir_map_seed (random.map_key);
    memcpy (b->client_tag, random.tag, sizeof b->client_tag);
    b->client_tag[0] |= 1; /* never 0: no address is all zero */
}

static enum weir_status
send_tap (void *context, const struct weir_envelope *request, const Weir__TapEvent *event,
          bool more)
{
    return weir_router_answer_more (context, request, &event->base, more);
}

static void
init_supervisor (struct weir_broker *b, uint64_t seed)
{
    const struct weir_settings_values *v = &b->settings;
    const struct weir_supervisor_config config = {
        .start_ms = v->start_ms,
        .stop_ms = v->stop_ms,
        .stopped_kill_ms = WEIR_STOPPED_KILL_MS,
        .late_ms = LATE_MS,
        .restart = { .limit = v->restart_limit,
                     .window_ms = v->restart_window_s * 1000u,
                     .backoff_ms_min = WEIR_BACKOFF_MS_MIN,
                     .backoff_ms_max = v->backoff_ms_max,
                     .reset_ms = WEIR_READY_RESET_MS },
    };
    weir_supervisor_init (&b->supervisor, &config, seed);
    weir_children_init (b);
}

static enum weir_status
begin (struct weir_broker *b, const char *data, struct weir_error *e)
{
    uint64_t seed = 0;
    draw_randomness (b, &seed);
    enum weir_status status = configure (b, data, e);
    if (status == WEIR_OK) {
        status = find_folder (b, e);
    }
    if (status == WEIR_OK) {
        status = weir_lock_take (&b->lock_fd, b->paths.run, e);
    }
    if (status != WEIR_OK) {
        return status;
    }
    weir_notify_init (&b->notify);
    take_signals (b); /* before ZeroMQ's threads: they inherit the mask */
    status = weir_router_open (b, e);
    if (status != WEIR_OK) {
        return status;
    }
    if (pipe2 (b->life_fd, O_CLOEXEC) != 0) {
        return weir_error_set (e, WEIR_CANNOT_CREATE, NULL, "no pipe: %s", strerror (errno));
    }
    b->spawner = (struct weir_spawner){ b->folder, b->paths.data, b->paths.run, b->life_fd[0] };
    b->arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    b->taps.send = send_tap;
    b->taps.context = b;
    weir_events_init (&b->events);
    init_supervisor (b, seed);
    b->now_ms = b->started_ms = weir_now_ms ();
    weir_log_put (&b->log, WEIR_LOG_INFO, "node_starting", "pid=%d data=%s programs=%s",
                  (int) getpid (), b->paths.data, b->folder);
    weir_supervisor_start (&b->supervisor, b->now_ms, &b->actions);
    weir_children_act (b);
    return WEIR_OK;
}

/* ---- the loop ---- */

/* SIGHUP by kill, to a node without a terminal; its terminal's end is a stop. */
static void
reload (struct weir_broker *b)
{
    struct weir_error e = { 0 };
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    Weir__ConfigReloaded m = WEIR__CONFIG_RELOADED__INIT;
    weir_ignore (weir_reload (b, arena, &m, &e)); /* it said so in the events */
    weir_arena_destroy (&arena);
}

static void
read_signals (struct weir_broker *b)
{
    struct signalfd_siginfo info;
    while (read (b->signal_fd, &info, sizeof info) == (ssize_t) sizeof info) {
        if (info.ssi_signo == SIGCHLD) {
            continue; /* children.c looks at each */
        }
        if (info.ssi_signo == SIGHUP && info.ssi_code != SI_KERNEL && !isatty (STDERR_FILENO)) {
            reload (b);
            continue;
        }
        b->signals++;
        weir_notify_say (&b->notify, "STOPPING=1");
        weir_control_note (b, "node_stop", WEIR_OK, "signal %u", info.ssi_signo);
        if (b->signals == 1) {
            weir_supervisor_stop (&b->supervisor, 0, b->now_ms, &b->actions);
        } else {
            weir_supervisor_kill (&b->supervisor, b->now_ms, &b->actions);
        }
        weir_children_act (b);
    }
}

static void
watchdog (struct weir_broker *b)
{
    if (b->notify.watchdog_ms > 0 && b->now_ms - b->watchdog_ms >= b->notify.watchdog_ms) {
        b->watchdog_ms = b->now_ms;
        weir_notify_say (&b->notify, "WATCHDOG=1");
    }
}

static long
wait_ms (const struct weir_broker *b, bool more)
{
    uint64_t due = weir_supervisor_due (&b->supervisor, b->now_ms);
    uint64_t wait = due > b->now_ms ? due - b->now_ms : 0;
    uint64_t most = b->ping_ms < TURN_MS_MAX ? b->ping_ms : TURN_MS_MAX;
    return more ? 0 : (long) (wait < most ? wait : most);
}

static void
loop (struct weir_broker *b)
{
    enum { LIFE, PROCESSES, ACTORS, CONTROL, ITEMS };
    bool more = false;
    while (!b->ended) {
        zmq_pollitem_t items[ITEMS] = {
            [LIFE] = { .socket = b->life, .events = ZMQ_POLLIN },
            [PROCESSES] = { .fd = b->epoll_fd, .events = ZMQ_POLLIN },
            [ACTORS] = { .socket = b->actors, .events = ZMQ_POLLIN },
            [CONTROL] = { .socket = b->control, .events = ZMQ_POLLIN },
        };
        int rc = zmq_poll (items, ITEMS, wait_ms (b, more));
        weir_assert (rc >= 0 || errno == EINTR);
        b->now_ms = weir_now_ms ();
        more = weir_router_drain_life (b);
        if (items[PROCESSES].revents != 0) {
            read_signals (b);
            weir_children_watch (b);
        }
        more = weir_router_drain_actors (b) || more;
        more = weir_router_drain_control (b) || more;
        weir_supervisor_tick (&b->supervisor, b->now_ms, &b->actions);
        weir_children_act (b);
        weir_children_ping (b);
        weir_clients_sweep (b);
        weir_control_tick (b);
        watchdog (b);
        weir_trim_turn (&b->trim, b->routed, b->now_ms);
    }
}

/* ---- end ---- */

static void
close_fd (int fd)
{
    if (fd >= 0) {
        (void) close (fd);
    }
}

static void
finish (struct weir_broker *b)
{
    if (b->events.ring != NULL) {
        weir_control_end (b);
    }
    weir_held_fini (&b->held);
    weir_router_close (b);
    weir_supervisor_fini (&b->supervisor);
    weir_events_fini (&b->events);
    weir_arena_destroy (&b->arena);
    weir_buf_fini (&b->scratch);
    close_fd (b->life_fd[0]);
    close_fd (b->life_fd[1]);
    close_fd (b->signal_fd);
    close_fd (b->epoll_fd);
    close_fd (b->ready_fd);
    close_fd (b->lock_fd); /* last: from here on another broker may start */
}

/* Why a child's code ends the node is in its own lines above; this names the outcome. */
static int
outcome (struct weir_broker *b)
{
    int code = b->supervisor.exit_code;
    weir_log_put (&b->log, code == 0 ? WEIR_LOG_INFO : WEIR_LOG_ERROR, "node_ended", "exit=%d",
                  code);
    return code;
}

int
weir_broker_run (int argc, char **argv)
{
    struct weir_broker *b = weir_alloc (sizeof *b);
    struct weir_error e = { 0 };
    const char *data = NULL;
    int code = 0;
    b->lock_fd = b->life_fd[0] = b->life_fd[1] = -1;
    b->signal_fd = b->epoll_fd = b->ready_fd = -1;
    if (!parse_arguments (b, &data, argc, argv)) {
        (void) fprintf (stderr, "usage: weir-broker [--data DIR] [--ready-fd N]\n");
        code = weir_status_exit (WEIR_USAGE);
        goto done;
    }
    enum weir_status status = begin (b, data, &e);
    if (status != WEIR_OK) {
        (void) fprintf (stderr, "weir: %s (%s)\n", e.what, weir_status_code (status));
        if (weir_error_hint (&e)[0] != '\0') {
            (void) fprintf (stderr, "hint: %s\n", weir_error_hint (&e));
        }
        code = weir_status_exit (status);
        goto done;
    }
    loop (b);
    code = outcome (b);
done:
    finish (b);
    free (b);
    return code;
}
