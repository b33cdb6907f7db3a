/* weir init, run, stop, status, health, actor, config, key protect, paths, version. */

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bins/cli/cli.h"

#ifndef WEIR_VERSION
#define WEIR_VERSION "0.1.0"
#endif
#define NO_BODY weir_bytes (NULL, 0)
#define HEALTH_POLL_MS 50

/* ---- making and running ---- */

#define INIT_ARGS 12
#define INIT_FLAGS 3
static const char *const init_flags[INIT_FLAGS] = { "name", "role", "listen" };

/* Keys are made where they are used: by the store's program. The flags' texts live in `flags`. */
static void
init_arguments (struct cli *c, char *argv[INIT_ARGS], char flags[INIT_FLAGS][16])
{
    size_t n = 0;
    argv[n++] = (char *) (uintptr_t) "weir-store";
    argv[n++] = (char *) (uintptr_t) "init";
    argv[n++] = (char *) (uintptr_t) "--data";
    argv[n++] = c->paths.data;
    for (size_t i = 0; i < INIT_FLAGS; i++) {
        const char *value = cli_option (c, init_flags[i]);
        if (value != NULL) {
            snprintf (flags[i], 16, "--%s", init_flags[i]);
            argv[n++] = flags[i];
            argv[n++] = (char *) (uintptr_t) value;
        }
    }
    argv[n] = NULL;
}

int
cli_init (struct cli *c)
{
    char *argv[INIT_ARGS];
    char flags[INIT_FLAGS][16];
    init_arguments (c, argv, flags);
    return cli_exec (c, "weir-store", argv);
}

/* run --init: what a container without a shell starts with. Returns init's exit code. */
static int
make_first (struct cli *c)
{
    char *argv[INIT_ARGS];
    char flags[INIT_FLAGS][16];
    char path[WEIR_SETTING_TEXT_MAX + 32];
    struct weir_error e = { 0 };
    pid_t pid = 0;
    int ended = 0;
    init_arguments (c, argv, flags);
    cli_program (c, "weir-store", path, sizeof path);
    int failed = posix_spawn (&pid, path, NULL, NULL, argv, environ);
    if (failed == 0 && waitpid (pid, &ended, 0) == pid && WIFEXITED (ended)) {
        return WEXITSTATUS (ended);
    }
    weir_error_set (&e, WEIR_FAILED, "make builds it; WEIR_LIBEXEC names its folder",
                    "cannot run %s: %s", path, failed != 0 ? strerror (failed) : "it was killed");
    return cli_fail (c, &e);
}

int
cli_run (struct cli *c)
{
    const char *fd = cli_option (c, "ready-fd");
    bool init = cli_option (c, "init") != NULL;
    char *argv[8] = { "weir-broker", "--data", c->paths.data, NULL };
    struct weir_error e = { 0 };
    for (size_t i = 0; i < INIT_FLAGS && !init; i++) {
        if (cli_option (c, init_flags[i]) != NULL) {
            weir_error_set (&e, WEIR_USAGE, "weir.conf holds it once the node is made",
                            "--%s goes with --init", init_flags[i]);
            return cli_fail (c, &e);
        }
    }
    if (fd != NULL) {
        argv[3] = "--ready-fd";
        argv[4] = (char *) (uintptr_t) fd;
    }
    if (access (c->paths.key, F_OK) != 0) {
        if (!init) {
            weir_error_set (&e, WEIR_BAD_CONFIG, "weir init makes one", "there is no node in %s",
                            c->paths.data);
            return cli_fail (c, &e);
        }
        int code = make_first (c);
        if (code != 0) {
            return code;
        }
    }
    return cli_exec (c, "weir-broker", argv);
}

/* Waits until the control socket has nobody behind it: then the node has let go of everything. */
int
cli_stop (struct cli *c)
{
    struct cli_reply reply;
    int code = cli_call (c, WEIR_KIND_NODE_STOP, NULL, NO_BODY, &reply);
    if (code != 0) {
        return code;
    }
    cli_reply_fini (&reply);
    struct weir_client_answer answer;
    struct weir_error e = { 0 };
    enum weir_status status = WEIR_OK;
    uint64_t waited = 0;
    while (waited < c->timeout_ms) {
        status = weir_client_receive (c->client, 50, &answer, &e);
        if (status == WEIR_OK) {
            weir_client_answer_fini (&answer);
        } else if (status == WEIR_UNAVAILABLE) {
            break;
        }
        waited += 50;
    }
    if (status != WEIR_UNAVAILABLE) {
        return cli_fail_status (c, WEIR_TIMED_OUT, "the node is still stopping");
    }
    if (c->json) {
        cli_json (json_pack ("{s:b}", "stopped", 1));
    }
    return 0;
}

/* ---- status ---- */

static json_t *
actor_json (const Weir__ActorState *m)
{
    const Weir__ActorVitals *v = m->vitals;
    json_t *out = json_pack ("{s:o, s:o, s:i, s:o, s:o, s:i, s:o, s:i, s:o}", "name",
                             cli_text (m->has_name, m->name), "role",
                             cli_text (m->has_role, m->role), "pid", (int) m->pid, "state",
                             cli_text (m->has_state, m->state), "epoch", cli_hex64 (m->epoch),
                             "restarts", (int) m->restarts, "since_ms", cli_u64 (m->since_ms),
                             "last_exit", (int) m->last_exit, "queue", cli_u64 (m->queue));
    if (v != NULL) {
        json_object_set_new (out, "rss_bytes", cli_u64 (v->rss_bytes));
        json_object_set_new (out, "received", cli_u64 (v->received));
        json_object_set_new (out, "sent", cli_u64 (v->sent));
        json_object_set_new (out, "busy", cli_u64 (v->busy));
        json_object_set_new (out, "bad", cli_u64 (v->bad));
    }
    return out;
}

/* Adds what one actor says; an actor that is away leaves its part null, and says why. */
static void
ask_part (struct cli *c, uint16_t kind, const ProtobufCMessage *meta, json_t *out, const char *key,
          json_t *(*show) (const ProtobufCMessage *) )
{
    struct weir_client_answer answer;
    struct weir_error e = { 0 };
    uint32_t ms = c->timeout_ms < 2000 ? c->timeout_ms : 2000;
    enum weir_status status = weir_client_call (c->client, kind, meta, NO_BODY, ms, &answer, &e);
    if (status == WEIR_OK) {
        json_object_set_new (out, key, show (answer.meta));
        weir_client_answer_fini (&answer);
    } else {
        json_object_set_new (out, key, json_null ());
        json_t *away = json_object_get (out, "unavailable");
        if (away == NULL) {
            away = json_object ();
            json_object_set_new (out, "unavailable", away);
        }
        json_object_set_new (away, key, json_string (weir_status_code (status)));
    }
}

static json_t *
show_store (const ProtobufCMessage *meta)
{
    const Weir__StoreStatus *m = (const Weir__StoreStatus *) meta;
    json_t *out = json_pack (
        "{s:o, s:o, s:o, s:o, s:i, s:o, s:o, s:o, s:b, s:o, s:o, s:o, s:o, s:i, s:o}", "id",
        cli_id (m->has_device, m->device), "name", cli_text (m->has_name, m->name), "role",
        cli_text (m->has_role, m->role), "epoch", cli_hex64 (m->epoch), "databases",
        (int) m->databases, "entries", cli_u64 (m->entries), "disk_bytes", cli_u64 (m->disk_bytes),
        "disk_free_bytes", cli_u64 (m->disk_free_bytes), "disk_full", (int) m->disk_full, "commits",
        cli_u64 (m->commits), "imports", cli_u64 (m->imports), "refused", cli_u64 (m->refused),
        "pending", cli_u64 (m->pending), "transfers", (int) m->transfers, "frames_dropped",
        cli_u64 (m->frames_dropped));
    json_t *deferred = json_array ();
    for (size_t i = 0; i < m->n_deferred; i++) {
        const Weir__DbDeferred *d = m->deferred[i];
        json_array_append_new (deferred,
                               json_pack ("{s:o, s:o, s:s}", "db", cli_id (d->has_db, d->db),
                                          "name", cli_text (d->has_name, d->name), "reason",
                                          weir_status_code (weir_status_from_number (d->status))));
    }
    json_object_set_new (out, "deferred", deferred);
    return out;
}

static json_t *
show_peers (const ProtobufCMessage *meta)
{
    const Weir__Peers *m = (const Weir__Peers *) meta;
    json_t *list = json_array ();
    for (size_t i = 0; i < m->n_items; i++) {
        json_array_append_new (list, cli_peer_json (m->items[i]));
    }
    return list;
}

static json_t *
show_sync (const ProtobufCMessage *meta)
{
    const Weir__SyncStatus *m = (const Weir__SyncStatus *) meta;
    return json_pack ("{s:b, s:i, s:o, s:o}", "enabled", (int) m->enabled, "pairs",
                      (int) m->n_pairs, "waiting", cli_u64 (m->waiting), "parked",
                      cli_u64 (m->parked));
}

static json_t *
status_json (struct cli *c, const Weir__NodeStatus *m)
{
    json_t *out = json_object ();
    json_t *actors = json_array ();
    Weir__PeerName all = WEIR__PEER_NAME__INIT;
    Weir__SyncAsk every = WEIR__SYNC_ASK__INIT;
    for (size_t i = 0; i < m->n_actors; i++) {
        json_array_append_new (actors, actor_json (m->actors[i]));
    }
    json_object_set_new (out, "actors", actors);
    json_object_set_new (out, "broker",
                         json_pack ("{s:o, s:o, s:i, s:o, s:o, s:b, s:o}", "version",
                                    cli_text (m->has_version, m->version), "up_ms",
                                    cli_u64 (m->up_ms), "taps", (int) m->taps, "routed",
                                    cli_u64 (m->routed), "dropped", cli_u64 (m->dropped),
                                    "stopping", (int) m->stopping, "epoch", cli_hex64 (m->epoch)));
    ask_part (c, WEIR_KIND_STORE_STATUS, NULL, out, "store", show_store);
    ask_part (c, WEIR_KIND_PEER_LIST, &all.base, out, "peers", show_peers);
    ask_part (c, WEIR_KIND_SYNC_STATUS, &every.base, out, "sync", show_sync);
    json_t *store = json_object_get (out, "store");
    json_t *node = json_object ();
    static const char *const keys[] = { "id", "name", "role" };
    for (size_t i = 0; i < 3; i++) {
        json_t *value = json_object_get (store, keys[i]);
        json_object_set (node, keys[i], value != NULL ? value : json_null ());
    }
    json_object_set_new (out, "node", node);
    if (json_is_null (json_object_get (out, "peers"))) {
        json_object_set_new (out, "peers", json_array ());
    }
    return out;
}

static void
show_status (const json_t *s)
{
    const json_t *node = json_object_get (s, "node");
    const json_t *store = json_object_get (s, "store");
    char bytes[32];
    char free_bytes[32];
    char since[32];
    size_t i;
    json_t *item;
    printf ("%s  %s  (%s)\n", cli_text_of (node, "name"), cli_text_of (node, "id"),
            cli_text_of (node, "role"));
    if (json_is_object (store)) {
        printf (
            "%lld database%s, %lld entries, %s on disk, %s free%s\n",
            (long long) json_integer_value (json_object_get (store, "databases")),
            json_integer_value (json_object_get (store, "databases")) == 1 ? "" : "s",
            (long long) json_integer_value (json_object_get (store, "entries")),
            cli_bytes_text ((uint64_t) json_integer_value (json_object_get (store, "disk_bytes")),
                            bytes),
            cli_bytes_text (
                (uint64_t) json_integer_value (json_object_get (store, "disk_free_bytes")),
                free_bytes),
            json_is_true (json_object_get (store, "disk_full")) ? "  DISK FULL: read only" : "");
    }
    json_array_foreach (json_object_get (store, "deferred"), i, item)
    {
        printf ("DEFERRED: the document %s is behind its log: %s\n", cli_text_of (item, "name"),
                cli_text_of (item, "reason"));
    }
    printf ("\n%-14s %-11s %8s %9s %8s\n", "ACTOR", "STATE", "PID", "RESTARTS", "SINCE");
    json_array_foreach (json_object_get (s, "actors"), i, item)
    {
        printf ("%-14s %-11s %8lld %9lld %8s\n", cli_text_of (item, "name"),
                cli_text_of (item, "state"),
                (long long) json_integer_value (json_object_get (item, "pid")),
                (long long) json_integer_value (json_object_get (item, "restarts")),
                cli_ms_text ((uint64_t) json_integer_value (json_object_get (item, "since_ms")),
                             since));
    }
    printf ("\n%-14s %-16s %-11s %10s  %s\n", "PEER", "NAME", "STATE", "LAG", "REASON");
    json_array_foreach (json_object_get (s, "peers"), i, item)
    {
        const json_t *lag = json_object_get (item, "lag_entries");
        char text[32] = "unknown";
        if (json_is_integer (lag)) {
            snprintf (text, sizeof text, "%lld", (long long) json_integer_value (lag));
        }
        printf ("%-14.13s %-16s %-11s %10s  %s\n", cli_text_of (item, "id"),
                cli_text_of (item, "name"), cli_text_of (item, "state"), text,
                cli_text_of (item, "reason"));
    }
    const json_t *away = json_object_get (s, "unavailable");
    const char *key;
    json_object_foreach ((json_t *) (uintptr_t) away, key, item)
    {
        printf ("\n%s does not answer: %s\n", key, json_string_value (item));
    }
}

static int
status_once (struct cli *c)
{
    struct cli_reply reply;
    int code = cli_call (c, WEIR_KIND_NODE_STATUS, NULL, NO_BODY, &reply);
    if (code != 0) {
        return code;
    }
    json_t *out = status_json (c, (const Weir__NodeStatus *) reply.answer.meta);
    cli_reply_fini (&reply);
    if (c->json) {
        cli_json (out);
    } else {
        show_status (out);
        json_decref (out);
    }
    fflush (stdout);
    return 0;
}

int
cli_status (struct cli *c)
{
    int code = status_once (c);
    while (code == 0 && cli_option (c, "watch") != NULL) {
        if (poll (NULL, 0, 1000) != 0) {
            return weir_status_exit (WEIR_INTERRUPTED);
        }
        if (!c->json && isatty (STDOUT_FILENO)) {
            fputs ("\033[H\033[J", stdout);
        }
        code = status_once (c);
    }
    return code;
}

/* ---- health ---- */

static const char *
health_problem (struct cli *c, bool live_only)
{
    static char text[128];
    struct cli_reply reply;
    struct weir_error e = { 0 };
    const char *socket = c->socket != NULL ? c->socket : c->paths.control;
    uint32_t ms = c->timeout_ms < 3000 ? c->timeout_ms : 3000;
    if (weir_client_open (&c->client, socket, ms, &e) != WEIR_OK) {
        return "no node answers";
    }
    c->timeout_ms = ms;
    if (weir_client_call (c->client, WEIR_KIND_NODE_STATUS, NULL, NO_BODY, ms, &reply.answer, &e)
        != WEIR_OK) {
        return "the broker does not answer";
    }
    reply.body = (struct weir_buf){ 0 };
    const Weir__NodeStatus *m = (const Weir__NodeStatus *) reply.answer.meta;
    const char *problem = NULL;
    for (size_t i = 0; !live_only && i < m->n_actors && problem == NULL; i++) {
        const Weir__ActorState *a = m->actors[i];
        if (a->state.len != 5 || memcmp (a->state.data, "ready", 5) != 0) {
            snprintf (text, sizeof text, "%.*s is %.*s", (int) a->name.len,
                      (const char *) a->name.data, (int) a->state.len,
                      (const char *) a->state.data);
            problem = text;
        }
    }
    if (!live_only && problem == NULL && m->n_actors == 0) {
        problem = "nothing runs yet";
    }
    cli_reply_fini (&reply);
    return problem;
}

/* Live: would a restart help? Ready: send me work? No peer online is never a failure. */
int
cli_health (struct cli *c)
{
    bool live = cli_option (c, "live") != NULL;
    bool wait = cli_option (c, "wait") != NULL;
    uint32_t patience_ms = c->timeout_ms; /* one question waits less */
    const char *problem = health_problem (c, live);
    /* Whoever has just said `weir run &` has nothing else to wait with. */
    for (uint32_t ms = 0; wait && problem != NULL && ms < patience_ms; ms += HEALTH_POLL_MS) {
        (void) poll (NULL, 0, HEALTH_POLL_MS);
        weir_client_close (&c->client);
        problem = health_problem (c, live);
    }
    if (c->json) {
        cli_json (json_pack ("{s:b, s:s}", "healthy", problem == NULL, "problem",
                             problem != NULL ? problem : ""));
    } else if (problem != NULL) {
        fprintf (stderr, "weir: %s\n", problem);
    } else if (!c->quiet) {
        puts ("ok");
    }
    return problem == NULL ? 0 : 1;
}

/* ---- actors ---- */

int
cli_actor_ls (struct cli *c)
{
    struct cli_reply reply;
    int code = cli_call (c, WEIR_KIND_NODE_STATUS, NULL, NO_BODY, &reply);
    if (code != 0) {
        return code;
    }
    const Weir__NodeStatus *m = (const Weir__NodeStatus *) reply.answer.meta;
    json_t *list = json_array ();
    for (size_t i = 0; i < m->n_actors; i++) {
        json_t *actor = actor_json (m->actors[i]);
        if (!c->json) {
            char rss[32];
            printf ("%-14s %-11s pid %-7u restarts %-4u last exit %-4u %s\n",
                    cli_text_of (actor, "name"), cli_text_of (actor, "state"), m->actors[i]->pid,
                    m->actors[i]->restarts, m->actors[i]->last_exit,
                    m->actors[i]->vitals != NULL
                        ? cli_bytes_text (m->actors[i]->vitals->rss_bytes, rss)
                        : "");
        }
        json_array_append_new (list, actor);
    }
    if (c->json) {
        cli_json (json_pack ("{s:O}", "actors", list));
    }
    json_decref (list);
    cli_reply_fini (&reply);
    return 0;
}

int
cli_actor_restart (struct cli *c)
{
    Weir__ActorName ask = WEIR__ACTOR_NAME__INIT;
    ask.has_name = true;
    ask.name = weir_field_str (c->args[0]);
    return cli_call_quietly (c, WEIR_KIND_ACTOR_RESTART, &ask.base);
}

int
cli_actor_log_level (struct cli *c)
{
    Weir__LogLevel ask = WEIR__LOG_LEVEL__INIT;
    struct weir_error e = { 0 };
    const char *span = cli_option (c, "for");
    uint64_t ms = 600000;
    if (span != NULL && cli_duration_ms (span, &ms, &e) != WEIR_OK) {
        return cli_fail (c, &e);
    }
    ask.has_actor = ask.has_level = ask.has_seconds = true;
    ask.actor = weir_field_str (c->args[0]);
    ask.level = weir_field_str (c->args[1]);
    ask.seconds = (uint32_t) (ms / 1000u);
    return cli_call_quietly (c, WEIR_KIND_ACTOR_LOG_LEVEL, &ask.base);
}

/* ---- configuration ---- */

int
cli_config_show (struct cli *c)
{
    struct weir_error e = { 0 };
    struct weir_setting_row row;
    bool there = access (c->paths.config, F_OK) == 0;
    enum weir_status status =
        weir_settings_load (&c->settings, there ? c->paths.config : NULL, false, &e);
    if (status != WEIR_OK) {
        return cli_fail (c, &e);
    }
    json_t *out = json_object ();
    for (size_t i = 0; weir_settings_row (&c->settings, i, &row); i++) {
        if (c->json) {
            json_object_set_new (out, row.key,
                                 json_pack ("{s:s, s:s, s:s, s:s, s:s, s:s}", "value", row.value,
                                            "origin", row.origin, "default", row.default_value,
                                            "unit", row.unit, "env", row.env, "text", row.text));
        } else if (cli_option (c, "origin") != NULL) {
            printf ("%-22s = %-24s %-8s %s\n", row.key, row.value, row.origin, row.env);
        } else {
            printf ("%-22s = %-24s # %s%s%s%s\n", row.key, row.value, row.text,
                    row.unit[0] != '\0' ? " [" : "", row.unit, row.unit[0] != '\0' ? "]" : "");
        }
    }
    if (c->json) {
        cli_json (json_incref (out));
    }
    json_decref (out);
    return 0;
}

int
cli_config_check (struct cli *c)
{
    struct weir_error e = { 0 };
    struct weir_settings_values values;
    const char *file = c->n_args > 0 ? c->args[0] : c->paths.config;
    enum weir_status status = weir_settings_load (&values, file, true, &e);
    if (status != WEIR_OK) {
        return cli_fail (c, &e);
    }
    if (c->json) {
        cli_json (json_pack ("{s:b, s:s}", "ok", 1, "file", file));
    } else {
        printf ("%s: ok\n", file);
    }
    return 0;
}

int
cli_config_path (struct cli *c)
{
    if (c->json) {
        cli_json (json_pack ("{s:s}", "config", c->paths.config));
    } else {
        puts (c->paths.config);
    }
    return 0;
}

int
cli_config_sample (struct cli *c)
{
    struct weir_buf text = { 0 };
    weir_settings_sample (&text);
    if (c->json) {
        cli_json (json_pack ("{s:s}", "sample", weir_buf_str (&text)));
    } else {
        fputs (weir_buf_str (&text), stdout);
    }
    weir_buf_fini (&text);
    return 0;
}

int
cli_paths (struct cli *c)
{
    const struct weir_paths *p = &c->paths;
    json_t *out = json_pack ("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "data", p->data, "config",
                             p->config, "key", p->key, "store", p->db, "tips", p->tips, "run",
                             p->run, "control", p->control);
    json_dumpf (out, stdout, c->json ? JSON_COMPACT : JSON_INDENT (2));
    putchar ('\n');
    json_decref (out);
    return 0;
}

/* The key file is the store's; its program does it, on a stopped node. */
int
cli_key_protect (struct cli *c)
{
    const char *file = cli_option (c, "passphrase-file");
    char *argv[8] = { "weir-store", "protect", "--data", c->paths.data, NULL };
    if (file != NULL) {
        argv[4] = "--passphrase-file";
        argv[5] = (char *) (uintptr_t) file;
    } else if (cli_option (c, "off") != NULL) {
        argv[4] = "--off";
    }
    return cli_exec (c, "weir-store", argv);
}

int
cli_bench (struct cli *c)
{
    char *argv[CLI_ARGS_MAX + 4] = { "weir-bench" };
    size_t n = 1;
    for (size_t i = 0; i < c->n_args; i++) {
        argv[n++] = (char *) (uintptr_t) c->args[i];
    }
    if (c->json) {
        argv[n++] = "--json";
    }
    return cli_exec (c, "weir-bench", argv);
}

int
cli_version (struct cli *c)
{
    if (c->json) {
        cli_json (json_pack ("{s:s}", "version", WEIR_VERSION));
    } else {
        puts ("weir " WEIR_VERSION);
    }
    return 0;
}
