/* Whole nodes as real processes; see node.h. */

#include "tests/integration/node.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NODES_MAX 32u

extern char **environ;

static char root[200];
static pid_t groups[NODES_MAX];

uint64_t
node_now_ms (void)
{
    struct timespec t;
    clock_gettime (CLOCK_MONOTONIC, &t);
    return (uint64_t) t.tv_sec * 1000u + (uint64_t) t.tv_nsec / 1000000u;
}

void
node_pause_ms (long ms)
{
    poll (NULL, 0, (int) ms);
}

static void
kill_all (void)
{
    for (size_t i = 0; i < NODES_MAX; i++) {
        if (groups[i] > 0) {
            kill (-groups[i], SIGCONT);
            kill (-groups[i], SIGKILL);
            waitpid (groups[i], NULL, 0);
            groups[i] = 0;
        }
    }
}

void
node_die (const char *format, ...)
{
    va_list args;
    fputs ("FAILED: ", stderr);
    va_start (args, format);
    vfprintf (stderr, format, args);
    va_end (args);
    fprintf (stderr, "\n(data and logs are kept in %s)\n", root);
    kill_all ();
    exit (1);
}

const char *
node_root (void)
{
    if (root[0] == '\0') {
        const char *dir = getenv ("TMPDIR");
        snprintf (root, sizeof root, "%.150s/weir-test-XXXXXX", dir != NULL ? dir : "/tmp");
        if (mkdtemp (root) == NULL) {
            node_die ("cannot make %s: %s", root, strerror (errno));
        }
    }
    return root;
}

static int
remove_one (const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void) st;
    (void) flag;
    (void) ftw;
    return remove (path);
}

void
node_end (void)
{
    kill_all ();
    nftw (node_root (), remove_one, 32, FTW_DEPTH | FTW_PHYS);
    root[0] = '\0';
}

/* ---- processes ---- */

static const char *
program (const char *name, char out[512])
{
    const char *bin = getenv ("WEIR_BIN");
    snprintf (out, 512, "%s/%s", bin != NULL ? bin : "build/bin", name);
    return out;
}

int
node_free_port (void)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
    socklen_t len = sizeof a;
    int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind (fd, (struct sockaddr *) &a, sizeof a) != 0
        || getsockname (fd, (struct sockaddr *) &a, &len) != 0) {
        node_die ("no free port: %s", strerror (errno));
    }
    close (fd);
    return ntohs (a.sin_port);
}

static void
init (struct node *n, const char *name, const char *role, const char *listen)
{
    char path[512];
    struct weir_error e = { 0 };
    struct weir_settings_values v;
    pid_t pid;
    int status = 0;
    *n = (struct node){ 0 };
    snprintf (n->name, sizeof n->name, "%s", name);
    snprintf (n->data, sizeof n->data, "%s/%s", node_root (), name);
    char *argv[] = { "weir-store",
                     "init",
                     "--data",
                     n->data,
                     "--name",
                     n->name,
                     "--role",
                     (char *) (uintptr_t) role,
                     listen != NULL ? "--listen" : NULL,
                     (char *) (uintptr_t) listen,
                     NULL };
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init (&actions);
    posix_spawn_file_actions_addopen (&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    int failed = posix_spawn (&pid, program ("weir-store", path), &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy (&actions);
    if (failed != 0 || waitpid (pid, &status, 0) != pid || status != 0) {
        node_die ("weir-store init: %s, status %d", strerror (failed), status);
    }
    if (weir_settings_load (&v, NULL, false, &e) != WEIR_OK
        || weir_paths_find (&n->paths, n->data, &v, &e) != WEIR_OK) {
        node_die ("%s", e.what);
    }
}

void
node_init (struct node *n, const char *name, const char *role)
{
    char listen[64];
    int port = node_free_port ();
    snprintf (listen, sizeof listen, "tcp://127.0.0.1:%d", port);
    init (n, name, role, listen);
    n->port = (uint16_t) port;
}

void
node_init_dialling (struct node *n, const char *name, const char *role)
{
    init (n, name, role, NULL);
}

void
node_start (struct node *n, const char *const *env)
{
    char path[512];
    char log[300];
    char ready[16];
    int ends[2];
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    char *argv[] = { "weir-broker", "--data", n->data, "--ready-fd", "3", NULL };
    for (size_t i = 0; env != NULL && env[i] != NULL; i++) {
        putenv ((char *) (uintptr_t) env[i]);
    }
    snprintf (log, sizeof log, "%s.log", n->data);
    if (pipe2 (ends, O_CLOEXEC) != 0) {
        node_die ("pipe: %s", strerror (errno));
    }
    posix_spawn_file_actions_init (&actions);
    posix_spawn_file_actions_addopen (&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen (&actions, STDERR_FILENO, log, O_WRONLY | O_CREAT | O_APPEND,
                                      0600);
    posix_spawn_file_actions_adddup2 (&actions, ends[1], 3);
    posix_spawnattr_init (&attributes);
    posix_spawnattr_setflags (&attributes, POSIX_SPAWN_SETPGROUP);
    posix_spawnattr_setpgroup (&attributes, 0);
    int failed =
        posix_spawn (&n->pid, program ("weir-broker", path), &actions, &attributes, argv, environ);
    posix_spawn_file_actions_destroy (&actions);
    posix_spawnattr_destroy (&attributes);
    close (ends[1]);
    if (failed != 0) {
        node_die ("cannot start %s: %s", path, strerror (failed));
    }
    for (size_t i = 0; i < NODES_MAX; i++) {
        if (groups[i] == 0) {
            groups[i] = n->pid;
            break;
        }
    }
    struct pollfd item = { .fd = ends[0], .events = POLLIN };
    if (poll (&item, 1, 30000) != 1 || read (ends[0], ready, sizeof ready) <= 0) {
        node_die ("%s did not become ready: see %s", n->name, log);
    }
    close (ends[0]);
}

/* Forgets the group; the caller has waited for its leader. */
static void
forget (struct node *n)
{
    for (size_t i = 0; i < NODES_MAX; i++) {
        groups[i] = groups[i] == n->pid ? 0 : groups[i];
    }
    n->pid = 0;
}

/* Zombies do not count: a killed leader that nobody waited for is not alive. */
bool
node_group_alive (const struct node *n)
{
    return n->pid > 0 && kill (-n->pid, 0) == 0;
}

static void
wait_gone (struct node *n, uint64_t ms, const char *when)
{
    uint64_t until = node_now_ms () + ms;
    while (node_group_alive (n)) {
        if (node_now_ms () > until) {
            node_die ("something of %s is alive %llu ms after %s", n->name, (unsigned long long) ms,
                      when);
        }
        node_pause_ms (10);
    }
}

int
node_stop (struct node *n)
{
    int status = 0;
    kill (n->pid, SIGTERM);
    uint64_t until = node_now_ms () + 30000;
    while (waitpid (n->pid, &status, WNOHANG) == 0) {
        if (node_now_ms () > until) {
            node_die ("%s does not stop", n->name);
        }
        node_pause_ms (10);
    }
    wait_gone (n, 3000, "its stop");
    forget (n);
    return WIFEXITED (status) ? WEXITSTATUS (status) : 128 + WTERMSIG (status);
}

void
node_kill_broker (struct node *n)
{
    kill (n->pid, SIGKILL);
    waitpid (n->pid, NULL, 0);
    wait_gone (n, 3000, "the death of its broker");
    forget (n);
}

/* ---- asking ---- */

size_t
node_actors (struct node *n, struct node_actor actors[NODE_ACTORS_MAX], uint32_t ms)
{
    struct weir_client *client = NULL;
    struct weir_client_answer answer;
    size_t count = 0;
    if (weir_client_open (&client, n->paths.control, ms, NULL) != WEIR_OK) {
        return 0;
    }
    if (weir_client_call (client, WEIR_KIND_NODE_STATUS, NULL, weir_bytes (NULL, 0), ms, &answer,
                          NULL)
        == WEIR_OK) {
        const Weir__NodeStatus *m = (const Weir__NodeStatus *) answer.meta;
        for (size_t i = 0; i < m->n_actors && count < NODE_ACTORS_MAX; i++) {
            struct node_actor *a = &actors[count++];
            weir_ignore (
                weir_field_get_text (a->name, sizeof a->name - 1, true, m->actors[i]->name));
            a->pid = (pid_t) m->actors[i]->pid;
            a->ready =
                m->actors[i]->state.len == 5 && memcmp (m->actors[i]->state.data, "ready", 5) == 0;
        }
        weir_client_answer_fini (&answer);
    }
    weir_client_close (&client);
    return count;
}

static bool
again (enum weir_status status)
{
    return status == WEIR_NO_NODE || status == WEIR_UNAVAILABLE || status == WEIR_BUSY
           || status == WEIR_TIMED_OUT;
}

enum weir_status
node_call (struct node *n, uint16_t kind, const ProtobufCMessage *meta, struct weir_bytes body,
           uint32_t ms, struct weir_client_answer *answer, struct weir_error *e)
{
    uint64_t until = node_now_ms () + ms;
    for (;;) {
        struct weir_client *client = NULL;
        enum weir_status status = weir_client_open (&client, n->paths.control, 1000, e);
        if (status == WEIR_OK) {
            uint64_t left = until > node_now_ms () ? until - node_now_ms () : 1;
            status = weir_client_call (client, kind, meta, body, (uint32_t) left, answer, e);
            weir_client_close (&client);
        }
        if (!again (status) || node_now_ms () >= until) {
            return status;
        }
        node_pause_ms (10);
    }
}

void
node_create_db (struct node *n, const char *name)
{
    Weir__DbCreate ask = WEIR__DB_CREATE__INIT;
    struct weir_client_answer answer;
    struct weir_error e = { 0 };
    ask.has_name = true;
    ask.name = weir_field_str (name);
    if (node_call (n, WEIR_KIND_DB_CREATE, &ask.base, weir_bytes (NULL, 0), 10000, &answer, &e)
        != WEIR_OK) {
        node_die ("db create: %s", e.what);
    }
    weir_client_answer_fini (&answer);
}

void
node_join (struct node *from, struct node *to, const char *db)
{
    node_join_as (from, to, db, WEIR_RIGHT_WRITE);
}

void
node_join_begin (struct node *from, struct node *to, const char *db, enum weir_right right)
{
    Weir__DbShare share = WEIR__DB_SHARE__INIT;
    Weir__Ticket ticket = WEIR__TICKET__INIT;
    struct weir_client_answer shared;
    struct weir_client_answer answer;
    struct weir_error e = { 0 };
    share.has_db = share.has_right = true;
    share.db = weir_field_str (db);
    share.right = (uint32_t) right;
    if (node_call (from, WEIR_KIND_DB_SHARE, &share.base, weir_bytes (NULL, 0), 10000, &shared, &e)
        != WEIR_OK) {
        node_die ("db share: %s", e.what);
    }
    ticket.has_text = true;
    ticket.text = ((const Weir__Ticket *) shared.meta)->text;
    if (node_call (to, WEIR_KIND_DB_JOIN, &ticket.base, weir_bytes (NULL, 0), 10000, &answer, &e)
        != WEIR_OK) {
        node_die ("db join: %s", e.what);
    }
    weir_client_answer_fini (&shared);
    weir_client_answer_fini (&answer);
}

void
node_join_as (struct node *from, struct node *to, const char *db, enum weir_right right)
{
    node_join_begin (from, to, db, right);
    uint64_t until = node_now_ms () + 20000;
    uint64_t entries;
    struct weir_id ours = node_digest (from, db, &entries);
    struct weir_id theirs = node_digest (to, db, &entries);
    while (!weir_id_equal (&ours, &theirs)) {
        if (node_now_ms () > until) {
            node_die ("%s did not come to hold what %s holds", to->name, from->name);
        }
        node_pause_ms (20);
        ours = node_digest (from, db, &entries);
        theirs = node_digest (to, db, &entries);
    }
}

struct weir_id
node_digest (struct node *n, const char *db, uint64_t *entries)
{
    Weir__DbName ask = WEIR__DB_NAME__INIT;
    struct weir_client_answer answer;
    struct weir_error e = { 0 };
    struct weir_id digest = { 0 };
    ask.has_db = true;
    ask.db = weir_field_str (db);
    *entries = 0;
    enum weir_status status =
        node_call (n, WEIR_KIND_DB_SHOW, &ask.base, weir_bytes (NULL, 0), 10000, &answer, &e);
    if (status == WEIR_NOT_FOUND) {
        return digest; /* joined by id, and its name is not known yet */
    }
    if (status != WEIR_OK) {
        node_die ("db show on %s: %s (%s)", n->name, e.what, weir_status_code (status));
    }
    const Weir__DbInfos *m = (const Weir__DbInfos *) answer.meta;
    if (m->n_items == 1) {
        *entries = m->items[0]->entries;
        weir_ignore (weir_field_get_id (&digest, m->items[0]->has_digest, m->items[0]->digest));
    }
    weir_client_answer_fini (&answer);
    return digest;
}
