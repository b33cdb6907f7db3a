/* Temporary nodes for the benches, and what all benches ask of them. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bins/bench/bench.h"
#include "store/base/rand.h"
#include "store/dag/run.h"

#define START_MS 20000
#define NODES_MAX 64u
#define CHUNK_BYTES (128u << 10)
#define IN_FLIGHT 8u
#define IMPORT_BYTES (32u << 10)

extern char **environ;

/* What must not outlive the bench, however it ends. */
static pid_t running[NODES_MAX];

void
bench_die (const char *format, ...)
{
    va_list args;
    fputs ("weir-bench: ", stderr);
    va_start (args, format);
    vfprintf (stderr, format, args);
    va_end (args);
    fputc ('\n', stderr);
    for (size_t i = 0; i < NODES_MAX; i++) {
        if (running[i] > 0) {
            kill (running[i], SIGTERM);
            waitpid (running[i], NULL, 0);
        }
    }
    exit (1);
}

uint64_t
bench_now_us (void)
{
    struct timespec t;
    clock_gettime (CLOCK_MONOTONIC, &t);
    return (uint64_t) t.tv_sec * 1000000u + (uint64_t) t.tv_nsec / 1000u;
}

/* ---- processes ---- */

static pid_t
spawn (const struct bench *b, const char *name, char *const argv[], const char *log, int keep_fd)
{
    char program[512];
    pid_t pid = -1;
    posix_spawn_file_actions_t actions;
    snprintf (program, sizeof program, "%s/%s", b->programs, name);
    posix_spawn_file_actions_init (&actions);
    posix_spawn_file_actions_addopen (&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen (&actions, STDOUT_FILENO, log, O_WRONLY | O_CREAT | O_APPEND,
                                      0600);
    posix_spawn_file_actions_adddup2 (&actions, STDOUT_FILENO, STDERR_FILENO);
    if (keep_fd >= 0) {
        posix_spawn_file_actions_adddup2 (&actions, keep_fd, 3);
    }
    int failed = posix_spawn (&pid, program, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy (&actions);
    if (failed != 0) {
        bench_die ("cannot start %s: %s", program, strerror (failed));
    }
    return pid;
}

void
bench_node_init (struct bench *b, struct bench_node *n, const char *name, const char *role,
                 const char *listen)
{
    char log[512];
    struct weir_error e = { 0 };
    struct weir_settings_values v;
    *n = (struct bench_node){ 0 };
    snprintf (n->data, sizeof n->data, "%s/%s", b->root, name);
    snprintf (log, sizeof log, "%s/%s.log", b->root, name);
    char *argv[] = { "weir-store",
                     "init",
                     "--data",
                     n->data,
                     "--name",
                     (char *) (uintptr_t) name,
                     "--role",
                     (char *) (uintptr_t) role,
                     listen != NULL ? "--listen" : NULL,
                     (char *) (uintptr_t) listen,
                     NULL };
    pid_t pid = spawn (b, "weir-store", argv, log, -1);
    int status = 0;
    if (waitpid (pid, &status, 0) != pid || status != 0) {
        bench_die ("weir-store init failed: see %s", log);
    }
    if (weir_settings_load (&v, NULL, false, &e) != WEIR_OK
        || weir_paths_find (&n->paths, n->data, &v, &e) != WEIR_OK) {
        bench_die ("%s", e.what);
    }
}

void
bench_node_start (struct bench *b, struct bench_node *n)
{
    char log[512];
    int ends[2];
    char ready[16];
    struct weir_error e = { 0 };
    snprintf (log, sizeof log, "%s.log", n->data);
    if (pipe2 (ends, O_CLOEXEC) != 0) {
        bench_die ("pipe: %s", strerror (errno));
    }
    char *argv[] = { "weir-broker", "--data", n->data, "--ready-fd", "3", NULL };
    n->pid = spawn (b, "weir-broker", argv, log, ends[1]);
    for (size_t i = 0; i < NODES_MAX; i++) {
        if (running[i] == 0) {
            running[i] = n->pid;
            break;
        }
    }
    close (ends[1]);
    ssize_t got = read (ends[0], ready, sizeof ready);
    close (ends[0]);
    if (got <= 0) {
        bench_die ("the node did not become ready: see %s", log);
    }
    if (weir_client_open (&n->client, n->paths.control, START_MS, &e) != WEIR_OK) {
        bench_die ("%s", e.what);
    }
}

void
bench_node_stop (struct bench_node *n)
{
    weir_client_close (&n->client);
    if (n->pid > 0) {
        kill (n->pid, SIGTERM);
        waitpid (n->pid, NULL, 0);
        for (size_t i = 0; i < NODES_MAX; i++) {
            running[i] = running[i] == n->pid ? 0 : running[i];
        }
        n->pid = 0;
    }
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
bench_remove (struct bench *b)
{
    if (!b->keep) {
        nftw (b->root, remove_one, 32, FTW_DEPTH | FTW_PHYS);
    } else {
        fprintf (stderr, "kept: %s\n", b->root);
    }
}

/* ---- asking ---- */

void
bench_call (struct bench_node *n, uint16_t kind, const ProtobufCMessage *meta,
            struct weir_bytes body, uint32_t ms, struct weir_client_answer *answer)
{
    struct weir_error e = { 0 };
    enum weir_status status = weir_client_call (n->client, kind, meta, body, ms, answer, &e);
    if (status != WEIR_OK) {
        bench_die ("%s: %s (%s)", weir_kind (kind)->name, e.what, weir_status_code (status));
    }
}

void
bench_create_db (struct bench_node *n, const char *name, char id[WEIR_ID_TEXT + 1])
{
    Weir__DbCreate ask = WEIR__DB_CREATE__INIT;
    struct weir_client_answer answer;
    struct weir_id db;
    ask.has_name = true;
    ask.name = weir_field_str (name);
    bench_call (n, WEIR_KIND_DB_CREATE, &ask.base, weir_bytes (NULL, 0), 10000, &answer);
    const Weir__DbId *m = (const Weir__DbId *) answer.meta;
    if (weir_field_get_id (&db, m->has_id, m->id) != WEIR_OK) {
        bench_die ("db create gave no id");
    }
    memcpy (id, weir_id_text (&db).s, WEIR_ID_TEXT + 1);
    weir_client_answer_fini (&answer);
}

static bool
joined (struct bench_node *n, const char *db)
{
    Weir__DbName ask = WEIR__DB_NAME__INIT;
    struct weir_client_answer answer;
    ask.has_db = true;
    ask.db = weir_field_str (db);
    bench_call (n, WEIR_KIND_DB_SHOW, &ask.base, weir_bytes (NULL, 0), 10000, &answer);
    const Weir__DbInfos *m = (const Weir__DbInfos *) answer.meta;
    bool is = m->n_items == 1 && !m->items[0]->joining && m->items[0]->right > 0;
    weir_client_answer_fini (&answer);
    return is;
}

void
bench_pause_us (long us)
{
    struct timespec t = { .tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000 };
    nanosleep (&t, NULL);
}

void
bench_join (struct bench_node *from, struct bench_node *to, const char *db)
{
    bench_join_as (from, to, db, 3);
}

void
bench_join_as (struct bench_node *from, struct bench_node *to, const char *db, uint32_t right)
{
    Weir__DbShare share = WEIR__DB_SHARE__INIT;
    Weir__Ticket ticket = WEIR__TICKET__INIT;
    struct weir_client_answer shared;
    struct weir_client_answer answer;
    share.has_db = share.has_right = true;
    share.db = weir_field_str (db);
    share.right = right;
    bench_call (from, WEIR_KIND_DB_SHARE, &share.base, weir_bytes (NULL, 0), 10000, &shared);
    ticket.has_text = true;
    ticket.text = ((const Weir__Ticket *) shared.meta)->text;
    bench_call (to, WEIR_KIND_DB_JOIN, &ticket.base, weir_bytes (NULL, 0), 10000, &answer);
    weir_client_answer_fini (&shared);
    weir_client_answer_fini (&answer);
    uint64_t until = bench_now_us () + 30000000u;
    while (!joined (to, db)) {
        if (bench_now_us () > until) {
            bench_die ("the join did not come through");
        }
        bench_pause_us (5000);
    }
}

uint64_t
bench_entries (struct bench_node *n, const char *db)
{
    Weir__DbName ask = WEIR__DB_NAME__INIT;
    struct weir_client_answer answer;
    ask.has_db = true;
    ask.db = weir_field_str (db);
    bench_call (n, WEIR_KIND_DB_SHOW, &ask.base, weir_bytes (NULL, 0), 30000, &answer);
    const Weir__DbInfos *m = (const Weir__DbInfos *) answer.meta;
    uint64_t entries = m->n_items == 1 ? m->items[0]->entries : 0;
    weir_client_answer_fini (&answer);
    return entries;
}

void
bench_wait_entries (struct bench_node *n, const char *db, uint64_t entries, uint32_t ms)
{
    uint64_t until = bench_now_us () + (uint64_t) ms * 1000u;
    uint64_t held = 0;
    while ((held = bench_entries (n, db)) < entries) {
        if (bench_now_us () > until) {
            bench_die ("%llu of %llu entries after %u ms", (unsigned long long) held,
                       (unsigned long long) entries, ms);
        }
        bench_pause_us (2000);
    }
}

void
bench_wait_synced (struct bench_node *n, const char *db, uint32_t ms)
{
    Weir__SyncWait ask = WEIR__SYNC_WAIT__INIT;
    struct weir_client_answer answer;
    ask.has_db = ask.has_ms = true;
    ask.db = weir_field_str (db);
    ask.ms = ms;
    bench_call (n, WEIR_KIND_SYNC_WAIT, &ask.base, weir_bytes (NULL, 0), ms + 2000, &answer);
    bool synced = ((const Weir__SyncWaited *) answer.meta)->synced;
    weir_client_answer_fini (&answer);
    if (!synced) {
        bench_die ("not in step after %u ms", ms);
    }
}

uint64_t
bench_wire_bytes (struct bench_node *n)
{
    struct weir_client_answer answer;
    uint64_t bytes = 0;
    bench_call (n, WEIR_KIND_TRANSPORT_LIST, NULL, weir_bytes (NULL, 0), 10000, &answer);
    const Weir__Transports *m = (const Weir__Transports *) answer.meta;
    for (size_t i = 0; i < m->n_items; i++) {
        bytes += m->items[i]->bytes_in + m->items[i]->bytes_out;
    }
    weir_client_answer_fini (&answer);
    return bytes;
}

void
bench_transport (struct bench_node *n, bool running_now)
{
    struct weir_client_answer answer;
    struct weir_client_answer ignored;
    bench_call (n, WEIR_KIND_TRANSPORT_LIST, NULL, weir_bytes (NULL, 0), 10000, &answer);
    const Weir__Transports *m = (const Weir__Transports *) answer.meta;
    for (size_t i = 0; i < m->n_items; i++) {
        Weir__TransportSet ask = WEIR__TRANSPORT_SET__INIT;
        ask.has_name = ask.has_running = true;
        ask.name = m->items[i]->name;
        ask.running = running_now;
        bench_call (n, WEIR_KIND_TRANSPORT_SET, &ask.base, weir_bytes (NULL, 0), 10000, &ignored);
        weir_client_answer_fini (&ignored);
    }
    weir_client_answer_fini (&answer);
}

/* ---- writing ---- */

static void
take_applied (struct bench_node *n)
{
    struct weir_client_answer answer;
    struct weir_error e = { 0 };
    enum weir_status status = weir_client_receive (n->client, 120000, &answer, &e);
    if (status == WEIR_OK && answer.status != WEIR_OK) {
        status = answer.status;
        e = answer.problem;
    }
    if (status != WEIR_OK || ((const Weir__DocApplied *) answer.meta)->failed_line != 0) {
        bench_die ("doc apply: %s (%s)", e.what, weir_status_code (status));
    }
    weir_client_answer_fini (&answer);
}

void
bench_random_text (struct weir_rand *random, char *out, size_t len)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-";
    uint64_t bits = 0;
    for (size_t i = 0; i < len; i++) {
        bits = i % 10 == 0 ? weir_rand_u64 (random) : bits >> 6;
        out[i] = letters[bits & 63];
    }
}

double
bench_apply (struct bench_node *n, const char *db, uint64_t first, uint64_t count, uint64_t payload)
{
    struct weir_buf body = { 0 };
    char *value = weir_alloc (payload + 1);
    size_t in_flight = 0;
    struct weir_rand random;
    uint64_t started = bench_now_us ();
    weir_rand_init (&random, first + 1);
    value[payload] = '\0';
    for (uint64_t i = 0; i < count;) {
        weir_buf_clear (&body);
        for (; i < count && body.len < CHUNK_BYTES; i++) {
            bench_random_text (&random, value, payload);
            weir_buf_printf (&body,
                             "[{\"op\":\"add\",\"path\":\"/bench/%08llu\",\"value\":\"%s\"}]\n",
                             (unsigned long long) (first + i), value);
        }
        if (in_flight == IN_FLIGHT) {
            take_applied (n);
            in_flight--;
        }
        Weir__DocApply ask = WEIR__DOC_APPLY__INIT;
        struct weir_error e = { 0 };
        uint64_t request = 0;
        ask.has_db = ask.has_client = ask.has_number = true;
        ask.db = weir_field_str (db);
        ask.client = weir_field_of (weir_client_id (n->client));
        ask.number = weir_client_number (n->client);
        if (weir_client_send (n->client, WEIR_KIND_DOC_APPLY, &ask.base, weir_buf_bytes (&body),
                              120000, &request, &e)
            != WEIR_OK) {
            bench_die ("%s", e.what);
        }
        in_flight++;
    }
    while (in_flight-- > 0) {
        take_applied (n);
    }
    double seconds = (double) (bench_now_us () - started) / 1e6;
    free (value);
    weir_buf_fini (&body);
    return seconds;
}

static void
take_imported (struct bench_node *n)
{
    struct weir_client_answer answer;
    struct weir_error e = { 0 };
    enum weir_status status = weir_client_receive (n->client, 120000, &answer, &e);
    status = status == WEIR_OK ? answer.status : status;
    const Weir__DbImported *m = status == WEIR_OK ? (const Weir__DbImported *) answer.meta : NULL;
    if (m == NULL || m->refused > 0 || m->pending > 0) {
        bench_die ("db import: %s, %u runs refused (%s), %u wait", weir_status_code (status),
                   m != NULL ? m->refused : 0,
                   weir_status_code (weir_status_from_number (m != NULL ? m->status : 0)),
                   m != NULL ? m->pending : 0);
    }
    weir_client_answer_fini (&answer);
}

void
bench_import (struct bench_node *n, const char *db, struct weir_bytes runs)
{
    struct weir_id id;
    size_t in_flight = 0;
    weir_ignore (weir_id_parse (&id, db));
    for (size_t at = 0; at < runs.len;) {
        size_t len = 0;
        size_t used = 0;
        while (at + len < runs.len && len < IMPORT_BYTES
               && weir_run_length (weir_bytes (runs.data + at + len, runs.len - at - len), &used)
                      == WEIR_OK) {
            len += used;
        }
        if (in_flight == IN_FLIGHT) {
            take_imported (n);
            in_flight--;
        }
        Weir__DbImport ask = WEIR__DB_IMPORT__INIT;
        struct weir_error e = { 0 };
        uint64_t request = 0;
        ask.has_db = true;
        ask.db = weir_field_id (&id);
        if (len == 0
            || weir_client_send (n->client, WEIR_KIND_DB_IMPORT, &ask.base,
                                 weir_bytes (runs.data + at, len), 120000, &request, &e)
                   != WEIR_OK) {
            bench_die ("db import: %s", e.what);
        }
        at += len;
        in_flight++;
    }
    while (in_flight-- > 0) {
        take_imported (n);
    }
}

/* ---- memory ---- */

static uint64_t
pss_of (long pid)
{
    char path[64];
    char line[256];
    uint64_t kb = 0;
    snprintf (path, sizeof path, "/proc/%ld/smaps_rollup", pid);
    FILE *f = fopen (path, "re");
    while (f != NULL && fgets (line, sizeof line, f) != NULL) {
        unsigned long long value;
        if (sscanf (line, "Pss: %llu kB", &value) == 1) {
            kb = value;
        }
    }
    if (f != NULL) {
        fclose (f);
    }
    return kb;
}

uint64_t
bench_pss_kb (const struct bench_node *n, json_t *each)
{
    struct weir_client_answer answer;
    struct weir_error e = { 0 };
    uint64_t kb = pss_of (n->pid);
    if (weir_client_call (n->client, WEIR_KIND_NODE_STATUS, NULL, weir_bytes (NULL, 0), 5000,
                          &answer, &e)
        != WEIR_OK) {
        bench_die ("%s", e.what);
    }
    const Weir__NodeStatus *m = (const Weir__NodeStatus *) answer.meta;
    if (each != NULL) {
        json_object_set_new (each, "broker", json_integer ((json_int_t) kb));
    }
    for (size_t i = 0; i < m->n_actors; i++) {
        uint64_t one = pss_of ((long) m->actors[i]->pid);
        kb += one;
        if (each != NULL) {
            char name[65];
            weir_ignore (weir_field_get_text (name, 64, true, m->actors[i]->name));
            json_object_set_new (each, name, json_integer ((json_int_t) one));
        }
    }
    weir_client_answer_fini (&answer);
    return kb;
}
