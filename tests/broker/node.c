/* The fixture of node.h: starts and ends bundles, speaks as a client. */

#include "tests/broker/node.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define ANSWER_MS 10000

int
pause_ms (int ms)
{
    return poll (NULL, 0, ms);
}

/* ---- directories and settings ---- */

static const char *set[16];
static size_t n_set;

void
node_setting (const char *env, const char *value)
{
    assert_int_equal (setenv (env, value, 1), 0);
    assert_true (n_set < sizeof set / sizeof set[0]);
    set[n_set++] = env;
}

static void
link_program (struct node *n, const char *name)
{
    char self[512];
    char path[256];
    ssize_t len = readlink ("/proc/self/exe", self, sizeof self - 1);
    assert_true (len > 0);
    self[len] = '\0';
    (void) snprintf (path, sizeof path, "%s/%s", n->base, name);
    assert_int_equal (symlink (self, path), 0);
}

void
node_init (struct node *n)
{
    memset (n, 0, sizeof *n);
    n->ready_fd = -1;
    (void) snprintf (n->base, sizeof n->base, "/tmp/weir-node-XXXXXX");
    assert_non_null (mkdtemp (n->base));
    (void) snprintf (n->data, sizeof n->data, "%s/data", n->base);
    assert_int_equal (mkdir (n->data, 0700), 0);
    static const char *const programs[] = { "weir-broker", "weir-store", "weir-peers", "weir-retry",
                                            "weir-transport" };
    for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++) {
        link_program (n, programs[i]);
    }
    node_setting ("WEIR_LIBEXEC", n->base);
    n->zmq = zmq_ctx_new ();
}

void
node_mode (struct node *n, const char *actor, const char *mode)
{
    char path[256];
    (void) snprintf (path, sizeof path, "%s/%s.mode", n->data, actor);
    if (mode == NULL) {
        (void) unlink (path);
        return;
    }
    FILE *f = fopen (path, "w");
    assert_non_null (f);
    (void) fputs (mode, f);
    (void) fclose (f);
}

size_t
node_journal (struct node *n, char *out, size_t size)
{
    char path[256];
    (void) snprintf (path, sizeof path, "%s/journal", n->data);
    int fd = open (path, O_RDONLY);
    ssize_t len = fd < 0 ? 0 : read (fd, out, size - 1);
    assert_true (len >= 0);
    out[len] = '\0';
    if (fd >= 0) {
        (void) close (fd);
    }
    return (size_t) len;
}

/* ---- the process ---- */

void
node_launch (struct node *n)
{
    int ready[2];
    char path[256];
    char fd[16];
    assert_int_equal (pipe (ready), 0);
    (void) fcntl (ready[0], F_SETFD, FD_CLOEXEC);
    (void) snprintf (path, sizeof path, "%s/weir-broker", n->base);
    (void) snprintf (fd, sizeof fd, "%d", ready[1]);
    char *argv[] = { path, (char *) "--data", n->data, (char *) "--ready-fd", fd, NULL };
    posix_spawnattr_t attributes;
    (void) posix_spawnattr_init (&attributes);
    (void) posix_spawnattr_setpgroup (&attributes, 0);
    (void) posix_spawnattr_setflags (&attributes, POSIX_SPAWN_SETPGROUP);
    assert_int_equal (posix_spawn (&n->pid, path, NULL, &attributes, argv, environ), 0);
    (void) posix_spawnattr_destroy (&attributes);
    (void) close (ready[1]);
    n->ready_fd = ready[0];
}

static void *
connect_client (struct node *n)
{
    char address[128];
    (void) snprintf (address, sizeof address, "ipc://%s/run/control", n->data);
    void *client = zmq_socket (n->zmq, ZMQ_DEALER);
    weir_post_option (client, ZMQ_LINGER, 0);
    weir_post_option (client, ZMQ_SNDHWM, 100000);
    weir_post_option (client, ZMQ_RCVHWM, 100000);
    assert_int_equal (zmq_connect (client, address), 0);
    return client;
}

void *
node_connect (struct node *n)
{
    return connect_client (n);
}

void
node_start (struct node *n)
{
    node_launch (n);
    struct pollfd p = { .fd = n->ready_fd, .events = POLLIN };
    char text[16] = "";
    assert_int_equal (poll (&p, 1, 20000), 1);
    assert_int_equal (read (n->ready_fd, text, sizeof text), 6);
    assert_string_equal (text, "ready\n");
}

int
node_wait_exit (struct node *n, int ms)
{
    int status = 0;
    uint64_t until = weir_now_ms () + (uint64_t) ms;
    while (waitpid (n->pid, &status, WNOHANG) == 0) {
        assert_true (weir_now_ms () < until);
        (void) pause_ms (2);
    }
    n->pid = 0;
    return WIFEXITED (status) ? WEXITSTATUS (status) : 128 + WTERMSIG (status);
}

static int
remove_one (const char *path, const struct stat *info, int flag, struct FTW *ftw)
{
    (void) info;
    (void) flag;
    (void) ftw;
    return remove (path);
}

/* In order, so that what it counted (coverage) is written; by force when that takes long. */
static void
end_broker (pid_t pid)
{
    (void) kill (pid, SIGTERM);
    for (int i = 0; i < 2000 && waitpid (pid, NULL, WNOHANG) == 0; i++) {
        if (i == 1000) {
            (void) kill (pid, SIGKILL);
        }
        (void) pause_ms (1);
    }
}

void
node_fini (struct node *n)
{
    if (n->pid > 0) {
        end_broker (n->pid);
    }
    if (n->client != NULL) {
        (void) zmq_close (n->client);
    }
    (void) zmq_ctx_term (n->zmq);
    if (n->ready_fd >= 0) {
        (void) close (n->ready_fd);
    }
    (void) nftw (n->base, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    while (n_set > 0) {
        (void) unsetenv (set[--n_set]);
    }
}

bool
pid_is_gone (pid_t pid)
{
    char path[64];
    char line[512] = "";
    (void) snprintf (path, sizeof path, "/proc/%d/stat", (int) pid);
    FILE *f = fopen (path, "r");
    if (f == NULL) {
        return true;
    }
    bool zombie = fgets (line, sizeof line, f) != NULL && strstr (line, ") Z ") != NULL;
    (void) fclose (f);
    return zombie;
}

void
wait_gone (pid_t pid, int ms)
{
    uint64_t until = weir_now_ms () + (uint64_t) ms;
    while (!pid_is_gone (pid)) {
        assert_true (weir_now_ms () < until);
        (void) pause_ms (2);
    }
}

/* ---- a client ---- */

uint64_t
node_send (struct node *n, uint16_t kind, const ProtobufCMessage *meta, uint32_t ms)
{
    if (n->client == NULL) {
        n->client = connect_client (n);
    }
    struct weir_post post;
    weir_post_init (&post);
    post.envelope.kind = kind;
    post.envelope.request = ++n->request;
    post.envelope.ms_left = ms;
    weir_post_pack (&post.meta, meta);
    assert_int_equal (weir_post_send (n->client, &post), WEIR_OK);
    weir_post_fini (&post);
    return n->request;
}

uint64_t
node_send_doc (struct node *n, const char *command, uint32_t ms)
{
    Weir__DocPath path = WEIR__DOC_PATH__INIT;
    path.has_path = 1;
    path.path = weir_field_str (command);
    return node_send (n, WEIR_KIND_DOC_GET, &path.base, ms);
}

bool
node_try_receive (struct node *n, struct node_answer *a, int ms)
{
    memset (a, 0, sizeof *a);
    zmq_pollitem_t item = { .socket = n->client, .events = ZMQ_POLLIN };
    if (zmq_poll (&item, 1, ms) != 1) {
        return false;
    }
    struct weir_post post;
    weir_post_init (&post);
    assert_int_equal (weir_post_receive (n->client, &post), WEIR_OK);
    a->status = weir_status_from_number (post.envelope.status);
    a->flags = post.envelope.flags;
    a->kind = post.envelope.kind;
    a->request = post.envelope.request;
    a->bytes = zmq_msg_size (&post.body);
    a->arena = weir_arena_new (1u << 20);
    if (a->status != WEIR_OK) {
        weir_problem_get (&a->problem, a->status, weir_post_bytes (&post.meta));
    } else {
        const struct weir_kind *kind = weir_kind (a->kind);
        assert_non_null (kind);
        assert_int_equal (
            weir_meta_get (&a->meta, a->arena, kind, true, weir_post_bytes (&post.meta)), WEIR_OK);
    }
    weir_post_fini (&post);
    return true;
}

void
node_receive (struct node *n, struct node_answer *a, int ms)
{
    assert_true (node_try_receive (n, a, ms));
}

void
node_answer_fini (struct node_answer *a)
{
    weir_arena_destroy (&a->arena);
}

static enum weir_status
answer_to (struct node *n, uint64_t request)
{
    for (;;) {
        struct node_answer a;
        node_receive (n, &a, ANSWER_MS);
        bool last = (a.flags & WEIR_ENV_MORE) == 0;
        uint64_t got = a.request;
        enum weir_status status = a.status;
        node_answer_fini (&a);
        if (got == request && last) {
            return status;
        }
    }
}

enum weir_status
node_call (struct node *n, uint16_t kind, const ProtobufCMessage *meta)
{
    return answer_to (n, node_send (n, kind, meta, 5000));
}

enum weir_status
node_doc (struct node *n, const char *command, uint32_t ms)
{
    return answer_to (n, node_send_doc (n, command, ms));
}

/* A client of its own, so that answers a test waits for are not taken from it. */
bool
node_actor (struct node *n, const char *name, struct node_actor *out)
{
    struct node own = { .zmq = n->zmq };
    memcpy (own.data, n->data, sizeof own.data);
    (void) node_send (&own, WEIR_KIND_NODE_STATUS, NULL, 5000);
    struct node_answer a;
    bool found = false;
    if (node_try_receive (&own, &a, ANSWER_MS)) {
        assert_int_equal (a.status, WEIR_OK);
        const Weir__NodeStatus *status = (const Weir__NodeStatus *) a.meta;
        for (size_t i = 0; i < status->n_actors && !found; i++) {
            const Weir__ActorState *s = status->actors[i];
            if (weir_bytes_equal (weir_field (s->name), weir_bytes_str (name))) {
                found = true;
                out->pid = (pid_t) s->pid;
                out->epoch = s->epoch;
                out->restarts = s->restarts;
                out->last_exit = s->last_exit;
                out->queue = s->queue;
                assert_int_equal (
                    weir_field_get_text (out->state, sizeof out->state - 1, true, s->state),
                    WEIR_OK);
            }
        }
        node_answer_fini (&a);
    }
    (void) zmq_close (own.client);
    return found;
}

void
node_wait_state (struct node *n, const char *name, const char *state, pid_t not_pid,
                 struct node_actor *out)
{
    uint64_t until = weir_now_ms () + 15000;
    for (;;) {
        assert_true (node_actor (n, name, out));
        if (strcmp (out->state, state) == 0 && out->pid != not_pid) {
            return;
        }
        assert_true (weir_now_ms () < until);
        (void) pause_ms (5);
    }
}
