/* weir db: databases, tickets, members, and the feed of commits. */

#include <errno.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bins/cli/cli.h"

#define WATCH_POLL_MS 20000u

static const char *const right_names[] = { "none", "carry", "read", "write", "admin" };
#define RIGHTS (sizeof right_names / sizeof *right_names)

static const char *
right_name (uint32_t right)
{
    return right < RIGHTS ? right_names[right] : "unknown";
}

static void
put_numbers (ProtobufCBinaryData *client, protobuf_c_boolean *has_client, uint64_t *number,
             protobuf_c_boolean *has_number, struct cli *c)
{
    *has_client = *has_number = true;
    *client = weir_field_of (weir_client_id (c->client));
    *number = weir_client_number (c->client);
}

/* ---- making and showing ---- */

int
cli_db_create (struct cli *c)
{
    Weir__DbCreate ask = WEIR__DB_CREATE__INIT;
    struct cli_reply reply;
    ask.has_name = true;
    ask.name = weir_field_str (c->args[0]);
    put_numbers (&ask.client, &ask.has_client, &ask.number, &ask.has_number, c);
    int code = cli_call (c, WEIR_KIND_DB_CREATE, &ask.base, weir_bytes (NULL, 0), &reply);
    if (code == 0) {
        const Weir__DbId *m = (const Weir__DbId *) reply.answer.meta;
        json_t *id = cli_id (m->has_id, m->id);
        if (c->json) {
            cli_json (json_pack ("{s:o, s:s}", "id", id, "name", c->args[0]));
        } else {
            printf ("%s\n", json_string_value (id));
            json_decref (id);
        }
        cli_reply_fini (&reply);
    }
    return code;
}

static json_t *
info_json (const Weir__DbInfo *m)
{
    json_t *heads = json_array ();
    json_t *forks = json_array ();
    for (size_t i = 0; i < m->n_heads; i++) {
        json_array_append_new (heads, cli_id (true, m->heads[i]));
    }
    for (size_t i = 0; i < m->n_fork; i++) {
        const Weir__Fork *f = m->fork[i];
        json_array_append_new (forks,
                               json_pack ("{s:o, s:o, s:o, s:o, s:o}", "author",
                                          cli_id (f->has_author, f->author), "lane",
                                          cli_hex64 (f->lane), "seq", cli_u64 (f->seq), "a",
                                          cli_id (f->has_a, f->a), "b", cli_id (f->has_b, f->b)));
    }
    json_t *out = json_pack (
        "{s:o, s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:i, s:i, s:b, s:b, s:o, s:i}", "id",
        cli_id (m->has_id, m->id), "name", cli_text (m->has_name, m->name), "right",
        right_name (m->right), "entries", cli_u64 (m->entries), "bytes", cli_u64 (m->bytes),
        "pending", cli_u64 (m->pending), "refused", cli_u64 (m->refused), "inert",
        cli_u64 (m->inert), "chains", (int) m->chains, "members", (int) m->members, "joining",
        (int) m->joining, "needs_upgrade", (int) m->needs_upgrade, "digest",
        cli_id (m->has_digest, m->digest), "forks", (int) m->forks);
    json_object_set_new (
        out, "deferred",
        m->deferred == 0 ? json_null ()
                         : json_string (weir_status_code (weir_status_from_number (m->deferred))));
    json_object_set_new (out, "blobs", cli_u64 (m->blobs));
    json_object_set_new (out, "blob_bytes", cli_u64 (m->blob_bytes));
    json_object_set_new (out, "blobs_missing", cli_u64 (m->blobs_missing));
    json_object_set_new (out, "blob_bytes_missing", cli_u64 (m->blob_bytes_missing));
    json_object_set_new (out, "blob_bytes_kept", cli_u64 (m->blob_bytes_kept));
    json_object_set_new (out, "heads", heads);
    json_object_set_new (out, "fork", forks);
    return out;
}

struct rows {
    struct cli *c;
    json_t *list;
    json_t *without; /* members: settings entries that have no effect */
};

static void
add_infos (void *context, const ProtobufCMessage *meta)
{
    struct rows *rows = context;
    const Weir__DbInfos *m = (const Weir__DbInfos *) meta;
    if (!rows->c->json && m->n_items > 0 && json_array_size (rows->list) == 0) {
        printf ("%-20s %-6s %10s %10s %8s  %s\n", "NAME", "RIGHT", "ENTRIES", "BYTES", "PENDING",
                "ID");
    }
    for (size_t i = 0; i < m->n_items; i++) {
        json_t *info = info_json (m->items[i]);
        if (!rows->c->json) {
            char bytes[32];
            printf ("%-20s %-6s %10llu %10s %8llu  %s%s%s\n",
                    json_string_value (json_object_get (info, "name")),
                    right_name (m->items[i]->right), (unsigned long long) m->items[i]->entries,
                    cli_bytes_text (m->items[i]->bytes, bytes),
                    (unsigned long long) m->items[i]->pending,
                    json_string_value (json_object_get (info, "id")),
                    m->items[i]->joining ? "  (joining)" : "",
                    m->items[i]->deferred != 0 ? "  (document deferred)" : "");
        }
        json_array_append_new (rows->list, info);
    }
}

int
cli_db_ls (struct cli *c)
{
    struct rows rows = { .c = c, .list = json_array () };
    int code = cli_call_parts (c, WEIR_KIND_DB_LIST, NULL, add_infos, &rows);
    if (code == 0 && c->json) {
        cli_json (json_pack ("{s:O}", "databases", rows.list));
    }
    json_decref (rows.list);
    return code;
}

int
cli_db_show (struct cli *c)
{
    Weir__DbName ask = WEIR__DB_NAME__INIT;
    struct cli_reply reply;
    ask.has_db = true;
    ask.db = weir_field_str (c->args[0]);
    int code = cli_call (c, WEIR_KIND_DB_SHOW, &ask.base, weir_bytes (NULL, 0), &reply);
    if (code != 0) {
        return code;
    }
    const Weir__DbInfos *m = (const Weir__DbInfos *) reply.answer.meta;
    if (m->n_items == 1) {
        json_t *info = info_json (m->items[0]);
        if (c->json) {
            cli_json (info);
        } else {
            char *text = json_dumps (info, JSON_INDENT (2));
            puts (text);
            free (text);
            json_decref (info);
        }
    }
    cli_reply_fini (&reply);
    return 0;
}

int
cli_db_rm (struct cli *c)
{
    Weir__DbForget ask = WEIR__DB_FORGET__INIT;
    struct cli_reply reply;
    if (cli_option (c, "yes") == NULL) {
        struct weir_error e = { 0 };
        weir_error_set (&e, WEIR_USAGE, "say --yes",
                        "this forgets %s and all that this node holds "
                        "of it",
                        c->args[0]);
        return cli_fail (c, &e);
    }
    ask.has_db = true;
    ask.db = weir_field_str (c->args[0]);
    int code = cli_call (c, WEIR_KIND_DB_FORGET, &ask.base, weir_bytes (NULL, 0), &reply);
    if (code == 0) {
        if (c->json) {
            cli_json (json_pack ("{s:b}", "removed", 1));
        }
        cli_reply_fini (&reply);
    }
    return code;
}

/* ---- tickets ---- */

int
cli_db_share (struct cli *c)
{
    Weir__DbShare ask = WEIR__DB_SHARE__INIT;
    struct cli_reply reply;
    struct weir_error e = { 0 };
    uint64_t ms = 0;
    ask.has_db = ask.has_right = true;
    ask.db = weir_field_str (c->args[0]);
    ask.right = 3; /* write, unless said otherwise */
    size_t said = 0;
    for (uint32_t i = 1; i < RIGHTS; i++) {
        if (cli_option (c, right_names[i]) != NULL) {
            ask.right = i;
            said++;
        }
    }
    const char *ttl = cli_option (c, "ttl");
    if (said > 1) {
        return cli_fail_status (c, WEIR_USAGE, "one right only");
    }
    if (ttl != NULL) {
        if (cli_duration_ms (ttl, &ms, &e) != WEIR_OK) {
            return cli_fail (c, &e);
        }
        if (ms == 0) { /* which would mean the setting */
            return cli_fail_status (c, WEIR_USAGE, "a ticket lives longer than nothing");
        }
        ask.has_seconds = true;
        ask.seconds = (uint32_t) (ms / 1000u) + (ms % 1000u != 0);
    }
    int code = cli_call (c, WEIR_KIND_DB_SHARE, &ask.base, weir_bytes (NULL, 0), &reply);
    if (code == 0) {
        const Weir__Ticket *m = (const Weir__Ticket *) reply.answer.meta;
        if (c->json) {
            cli_json (json_pack ("{s:o, s:s}", "ticket", cli_text (m->has_text, m->text), "right",
                                 right_name (ask.right)));
        } else {
            printf ("%.*s\n", (int) m->text.len, (const char *) m->text.data);
            cli_note (c, "on the other device: weir db join TICKET   (for one device; keep it "
                         "secret)");
        }
        cli_reply_fini (&reply);
    }
    return code;
}

static char *
read_ticket (const char *arg)
{
    if (strcmp (arg, "-") != 0) {
        return weir_strdup (arg);
    }
    char *text = weir_alloc (WEIR_TICKET_BYTES_MAX + 64);
    size_t n = fread (text, 1, WEIR_TICKET_BYTES_MAX + 63, stdin);
    text[n] = '\0';
    return text;
}

/* Waits until this node is a member, so that the next command can read and write. */
static int
wait_joined (struct cli *c, ProtobufCBinaryData id)
{
    struct weir_id db;
    char since[64] = "";
    uint64_t waited = 0;
    if (weir_field_get_id (&db, true, id) != WEIR_OK) {
        return weir_status_exit (WEIR_FAILED);
    }
    for (;;) {
        Weir__DbName ask = WEIR__DB_NAME__INIT;
        Weir__DbWatch watch = WEIR__DB_WATCH__INIT;
        struct cli_reply reply;
        struct weir_id_text text = weir_id_text (&db);
        ask.has_db = true;
        ask.db = weir_field_str (text.s);
        int code = cli_call (c, WEIR_KIND_DB_SHOW, &ask.base, weir_bytes (NULL, 0), &reply);
        if (code != 0) {
            return code;
        }
        const Weir__DbInfos *m = (const Weir__DbInfos *) reply.answer.meta;
        bool joined = m->n_items == 1 && !m->items[0]->joining && m->items[0]->right > 0;
        cli_reply_fini (&reply);
        if (joined) {
            return 0;
        }
        if (waited >= c->timeout_ms) {
            struct weir_error e = { 0 };
            weir_error_set (&e, WEIR_TIMED_OUT,
                            "it goes on trying; if the ticket was used or ran out, a new one",
                            "the inviting node did not answer yet");
            return cli_fail (c, &e);
        }
        watch.has_db = watch.has_ms = watch.has_now = true;
        watch.db = ask.db;
        watch.ms = 200;
        watch.now = true;
        watch.has_since = since[0] != '\0';
        watch.since = weir_field_str (since);
        code = cli_call (c, WEIR_KIND_DB_WATCH, &watch.base, weir_bytes (NULL, 0), &reply);
        if (code != 0) {
            return code;
        }
        const Weir__CommitEvents *events = (const Weir__CommitEvents *) reply.answer.meta;
        weir_ignore (
            weir_field_get_text (since, sizeof since - 1, events->has_token, events->token));
        waited += events->n_items > 0 ? 5 : watch.ms;
        cli_reply_fini (&reply);
    }
}

int
cli_db_join (struct cli *c)
{
    Weir__Ticket ask = WEIR__TICKET__INIT;
    struct cli_reply reply;
    char *text = read_ticket (c->args[0]);
    ask.has_text = true;
    ask.text = weir_field_str (text);
    int code = cli_call (c, WEIR_KIND_DB_JOIN, &ask.base, weir_bytes (NULL, 0), &reply);
    free (text);
    if (code != 0) {
        return code;
    }
    const Weir__DbId *m = (const Weir__DbId *) reply.answer.meta;
    bool wait = cli_option (c, "no-wait") == NULL;
    code = wait ? wait_joined (c, m->id) : 0;
    if (code == 0) {
        json_t *id = cli_id (m->has_id, m->id);
        json_t *name = cli_text (m->has_name, m->name);
        if (c->json) {
            cli_json (json_pack ("{s:O, s:O, s:b}", "id", id, "name", name, "joined", (int) wait));
        } else {
            printf ("%s %s\n", json_string_value (id), json_string_value (name));
        }
        json_decref (id);
        json_decref (name);
    }
    cli_reply_fini (&reply);
    return code;
}

/* ---- members ---- */

static json_t *
late_json (const Weir__Member *m)
{
    json_t *list = json_array ();
    for (size_t i = 0; i < m->n_late; i++) {
        const Weir__Range *r = m->late[i];
        json_array_append_new (list,
                               json_pack ("{s:o, s:o, s:o, s:o}", "lane", cli_hex64 (r->lane),
                                          "from_seq", cli_u64 (r->from_seq), "to_seq",
                                          cli_u64 (r->to_seq), "tip", cli_id (r->has_tip, r->tip)));
    }
    return list;
}

static void
add_members (void *context, const ProtobufCMessage *meta)
{
    struct rows *rows = context;
    const Weir__DbMembers *m = (const Weir__DbMembers *) meta;
    for (size_t i = 0; i < m->n_items; i++) {
        const Weir__Member *x = m->items[i];
        json_t *row = json_pack (
            "{s:o, s:o, s:s, s:i, s:o, s:o, s:b, s:o}", "device", cli_id (x->has_device, x->device),
            "name", cli_text (x->has_name, x->name), "right", right_name (x->right), "rank",
            (int) x->rank, "by", cli_id (x->has_by, x->by), "entry",
            cli_id (x->has_entry, x->entry), "own", (int) x->own, "late", late_json (x));
        if (!rows->c->json) {
            printf ("%-7s rank %-3u %-20s %s%s\n",
                    x->right == 0 ? "removed" : right_name (x->right), x->rank,
                    json_string_value (json_object_get (row, "name")),
                    json_string_value (json_object_get (row, "device")),
                    x->own ? "  (this device)" : "");
            for (size_t k = 0; cli_option (rows->c, "since") != NULL && k < x->n_late; k++) {
                printf ("        late: lane %016llx, entries %llu to %llu\n",
                        (unsigned long long) x->late[k]->lane,
                        (unsigned long long) x->late[k]->from_seq,
                        (unsigned long long) x->late[k]->to_seq - 1);
            }
        }
        json_array_append_new (rows->list, row);
    }
    for (size_t i = 0; i < m->n_void_entries; i++) {
        json_t *id = cli_id (true, m->void_entries[i]);
        if (!rows->c->json) {
            printf ("void    settings entry %s: stored, without effect\n", json_string_value (id));
        }
        json_array_append_new (rows->without, id);
    }
}

int
cli_db_members (struct cli *c)
{
    Weir__DbMembersAsk ask = WEIR__DB_MEMBERS_ASK__INIT;
    struct rows rows = { .c = c, .list = json_array (), .without = json_array () };
    ask.has_db = true;
    ask.db = weir_field_str (c->args[0]);
    int code = cli_call_parts (c, WEIR_KIND_DB_MEMBERS, &ask.base, add_members, &rows);
    if (code == 0 && c->json) {
        cli_json (json_pack ("{s:O, s:O}", "members", rows.list, "void", rows.without));
    }
    json_decref (rows.without);
    json_decref (rows.list);
    return code;
}

static int
set_right (struct cli *c, const char *device, uint32_t right)
{
    Weir__DbGrant ask = WEIR__DB_GRANT__INIT;
    struct cli_reply reply;
    const char *name = cli_option (c, "name");
    ask.has_db = ask.has_device = ask.has_right = true;
    ask.db = weir_field_str (c->args[0]);
    ask.device = weir_field_str (device);
    ask.right = right;
    ask.has_name = name != NULL;
    ask.name = weir_field_str (name);
    put_numbers (&ask.client, &ask.has_client, &ask.number, &ask.has_number, c);
    int code = cli_call (c, WEIR_KIND_DB_GRANT, &ask.base, weir_bytes (NULL, 0), &reply);
    if (code == 0) {
        const Weir__EntryId *m = (const Weir__EntryId *) reply.answer.meta;
        if (c->json) {
            cli_json (json_pack ("{s:o, s:s}", "entry", cli_id (m->has_id, m->id), "right",
                                 right_name (right)));
        }
        cli_reply_fini (&reply);
    }
    return code;
}

int
cli_db_grant (struct cli *c)
{
    for (uint32_t i = 1; i < RIGHTS; i++) {
        if (strcmp (c->args[2], right_names[i]) == 0) {
            return set_right (c, c->args[1], i);
        }
    }
    return cli_fail_status (c, WEIR_USAGE, "a right is carry, read, write or admin");
}

int
cli_db_remove (struct cli *c)
{
    return set_right (c, c->args[1], 0);
}

int
cli_db_leave (struct cli *c)
{
    Weir__DbName ask = WEIR__DB_NAME__INIT;
    struct cli_reply reply;
    ask.has_db = true;
    ask.db = weir_field_str (c->args[0]);
    int code = cli_call (c, WEIR_KIND_DB_LEAVE, &ask.base, weir_bytes (NULL, 0), &reply);
    if (code == 0) {
        const Weir__EntryId *m = (const Weir__EntryId *) reply.answer.meta;
        if (c->json) {
            cli_json (json_pack ("{s:o}", "entry", cli_id (m->has_id, m->id)));
        }
        cli_reply_fini (&reply);
    }
    return code;
}

/* ---- verify and repair ---- */

/* On the running node when there is one, else on its files. */
int
cli_db_verify (struct cli *c)
{
    struct weir_error e = { 0 };
    const char *socket = c->socket != NULL ? c->socket : c->paths.control;
    enum weir_status status = weir_client_open (&c->client, socket, 500, &e);
    if (status == WEIR_NO_NODE) {
        char *argv[8] = { "weir-store", "verify", "--data", c->paths.data, NULL };
        if (c->n_args == 1) {
            argv[4] = "--db";
            argv[5] = (char *) (uintptr_t) c->args[0];
        }
        return cli_exec (c, "weir-store", argv);
    }
    if (status != WEIR_OK) {
        return cli_fail (c, &e);
    }
    Weir__DbName ask = WEIR__DB_NAME__INIT;
    struct cli_reply reply;
    ask.has_db = c->n_args == 1;
    ask.db = weir_field_str (c->n_args == 1 ? c->args[0] : NULL);
    if (cli_option (c, "timeout") == NULL) {
        c->timeout_ms = 3600000u;
    }
    int code = cli_call (c, WEIR_KIND_DB_VERIFY, &ask.base, weir_bytes (NULL, 0), &reply);
    if (code != 0) {
        return code;
    }
    const Weir__CheckReport *m = (const Weir__CheckReport *) reply.answer.meta;
    bool good = m->bad_runs == 0 && m->missing == 0 && m->wrong_indexes == 0 && m->bad_pieces == 0;
    json_t *out = json_pack ("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "result",
                             good ? "ok" : "corrupt", "databases", cli_u64 (m->databases), "runs",
                             cli_u64 (m->runs), "entries", cli_u64 (m->entries), "bytes",
                             cli_u64 (m->bytes), "bad_runs", cli_u64 (m->bad_runs), "missing",
                             cli_u64 (m->missing), "wrong_indexes", cli_u64 (m->wrong_indexes),
                             "first_problem", cli_text (m->has_first_problem, m->first_problem));
    json_object_set_new (out, "pieces", cli_u64 (m->pieces));
    json_object_set_new (out, "bad_pieces", cli_u64 (m->bad_pieces));
    cli_reply_fini (&reply);
    cli_json (out);
    return good ? 0 : weir_status_exit (WEIR_CORRUPT);
}

int
cli_db_repair (struct cli *c)
{
    char *argv[] = { "weir-store", "repair", "--data", c->paths.data, NULL };
    return cli_exec (c, "weir-store", argv);
}

/* ---- the feed ---- */

static json_t *
event_json (const Weir__CommitEvent *m)
{
    const Weir__Range *r = m->range;
    json_t *out =
        json_pack ("{s:o, s:o, s:o, s:o, s:i}", "token", cli_text (m->has_token, m->token), "db",
                   cli_id (m->has_db, m->db), "name", cli_text (m->has_db_name, m->db_name),
                   "source", cli_id (m->has_source, m->source), "kind", (int) m->kind);
    if (r != NULL) {
        json_object_set_new (out, "author", cli_id (r->has_author, r->author));
        json_object_set_new (out, "lane", cli_hex64 (r->lane));
        json_object_set_new (out, "from_seq", cli_u64 (r->from_seq));
        json_object_set_new (out, "to_seq", cli_u64 (r->to_seq));
        json_object_set_new (out, "tip", cli_id (r->has_tip, r->tip));
    }
    return out;
}

/* One event to the program's standard input; its exit code. A failing one is told and does not
 * stop the feed, nor the node. */
static void
exec_event (struct cli *c, const char *program, json_t *event)
{
    extern char **environ;
    int ends[2];
    pid_t pid = -1;
    posix_spawn_file_actions_t actions;
    char *text = json_dumps (event, JSON_COMPACT);
    char *argv[] = { (char *) (uintptr_t) program, NULL };
    if (text == NULL || pipe (ends) != 0) {
        free (text);
        return;
    }
    posix_spawn_file_actions_init (&actions);
    posix_spawn_file_actions_adddup2 (&actions, ends[0], STDIN_FILENO);
    posix_spawn_file_actions_addclose (&actions, ends[1]);
    int failed = posix_spawnp (&pid, program, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy (&actions);
    close (ends[0]);
    if (failed == 0) {
        size_t len = strlen (text);
        text[len] = '\n';
        if (write (ends[1], text, len + 1) < 0 && errno != EPIPE) {
            cli_note (c, "weir: cannot write to %s: %s", program, strerror (errno));
        }
    }
    close (ends[1]);
    int status = 0;
    if (failed != 0) {
        cli_note (c, "weir: cannot start %s: %s", program, strerror (failed));
    } else if (waitpid (pid, &status, 0) == pid && status != 0) {
        cli_note (c, "weir: %s ended with %d", program,
                  WIFEXITED (status) ? WEXITSTATUS (status) : 128 + WTERMSIG (status));
    }
    free (text);
}

static void
show_event (struct cli *c, const Weir__CommitEvent *m)
{
    json_t *event = event_json (m);
    const char *program = cli_option (c, "exec");
    if (program != NULL) {
        exec_event (c, program, event);
    }
    if (c->json) {
        cli_json (event);
    } else {
        if (program == NULL) {
            unsigned long long n = m->range != NULL ? m->range->to_seq - m->range->from_seq : 0;
            printf ("%s  %s  %llu entr%s %s\n",
                    json_string_value (json_object_get (event, "token")),
                    json_string_value (json_object_get (event, "name")), n, n == 1 ? "y" : "ies",
                    m->has_source ? "from a peer" : "here");
        }
        json_decref (event);
    }
    fflush (stdout);
}

int
cli_db_watch (struct cli *c)
{
    const char *since = cli_option (c, "since");
    const char *count_text = cli_option (c, "count");
    struct weir_error e = { 0 };
    uint64_t count = UINT64_MAX;
    char token[64] = "";
    if (count_text != NULL && cli_number (count_text, UINT64_MAX, &count, &e) != WEIR_OK) {
        return cli_fail (c, &e);
    }
    snprintf (token, sizeof token, "%s", since != NULL ? since : "");
    while (count > 0) {
        Weir__DbWatch ask = WEIR__DB_WATCH__INIT;
        struct cli_reply reply;
        ask.has_db = ask.has_since = ask.has_now = ask.has_ms = ask.has_limit = true;
        ask.db = weir_field_str (c->args[0]);
        ask.since = weir_field_str (token);
        ask.now = token[0] == '\0';
        ask.ms = WATCH_POLL_MS;
        ask.limit = count < 256 ? (uint32_t) count : 256;
        c->timeout_ms = WATCH_POLL_MS + 10000u;
        int code = cli_call (c, WEIR_KIND_DB_WATCH, &ask.base, weir_bytes (NULL, 0), &reply);
        if (code != 0) {
            return code;
        }
        const Weir__CommitEvents *m = (const Weir__CommitEvents *) reply.answer.meta;
        if (m->gap) {
            cli_reply_fini (&reply);
            return cli_fail_status (c, WEIR_GAP, "the token is from before a restore or repair");
        }
        for (size_t i = 0; i < m->n_items; i++) {
            show_event (c, m->items[i]);
            count--;
        }
        weir_ignore (weir_field_get_text (token, sizeof token - 1, m->has_token, m->token));
        cli_reply_fini (&reply);
    }
    return 0;
}
