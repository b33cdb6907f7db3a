/* weir doc: reading and writing documents. `apply` and `import-json` pipeline: several bodies of
 * whole lines are in flight at once, each answered when its commits are durable. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bins/cli/cli.h"
#include "store/base/json.h"

#define CHUNK_BYTES (128u << 10)
#define IN_FLIGHT_MAX 8u
#define FILE_BYTES_MAX (1u << 30)
#define APPLY_TIMEOUT_MS 120000u

/* ---- reading ---- */

static int
show_reply (struct cli_reply *reply)
{
    fwrite (reply->body.data, 1, reply->body.len, stdout);
    putchar ('\n');
    cli_reply_fini (reply);
    return 0;
}

static Weir__DocPath
path_ask (const struct cli *c)
{
    Weir__DocPath ask = WEIR__DOC_PATH__INIT;
    ask.has_db = ask.has_path = true;
    ask.db = weir_field_str (c->args[0]);
    ask.path = weir_field_str (c->n_args > 1 ? c->args[1] : "");
    return ask;
}

int
cli_doc_get (struct cli *c)
{
    Weir__DocPath ask = path_ask (c);
    struct cli_reply reply;
    const char *at = cli_option (c, "at");
    ask.n_heads = cli_heads (at, &ask.heads);
    if (at != NULL && ask.n_heads == 0) {
        return cli_fail_status (c, WEIR_USAGE, "--at names no entry");
    }
    int code = cli_call (c, WEIR_KIND_DOC_GET, &ask.base, weir_bytes (NULL, 0), &reply);
    free (ask.heads);
    if (code != 0) {
        return code;
    }
    if (c->json) {
        return show_reply (&reply);
    }
    json_t *value =
        json_loadb ((const char *) reply.body.data, reply.body.len, JSON_DECODE_ANY, NULL);
    if (value == NULL) {
        return show_reply (&reply);
    }
    json_dumpf (value, stdout, JSON_INDENT (2) | JSON_ENCODE_ANY);
    putchar ('\n');
    json_decref (value);
    cli_reply_fini (&reply);
    return 0;
}

int
cli_doc_heads (struct cli *c)
{
    Weir__DbName ask = WEIR__DB_NAME__INIT;
    struct cli_reply reply;
    ask.has_db = true;
    ask.db = weir_field_str (c->args[0]);
    int code = cli_call (c, WEIR_KIND_DOC_HEADS, &ask.base, weir_bytes (NULL, 0), &reply);
    if (code != 0) {
        return code;
    }
    const Weir__DocHeads *m = (const Weir__DocHeads *) reply.answer.meta;
    json_t *list = json_array ();
    for (size_t i = 0; i < m->n_heads; i++) {
        json_t *id = cli_id (true, m->heads[i]);
        if (!c->json) {
            puts (json_string_value (id));
        }
        json_array_append_new (list, id);
    }
    if (c->json) {
        cli_json (json_pack ("{s:O}", "heads", list));
    }
    json_decref (list);
    cli_reply_fini (&reply);
    return 0;
}

int
cli_doc_conflicts (struct cli *c)
{
    Weir__DocPath ask = path_ask (c);
    struct cli_reply reply;
    int code = cli_call (c, WEIR_KIND_DOC_CONFLICTS, &ask.base, weir_bytes (NULL, 0), &reply);
    if (code != 0) {
        return code;
    }
    const Weir__DocConflicts *m = (const Weir__DocConflicts *) reply.answer.meta;
    json_t *list = json_array ();
    for (size_t i = 0; i < m->n_items; i++) {
        const Weir__ConflictValue *x = m->items[i];
        json_t *value = x->has_json ? json_loadb ((const char *) x->json.data, x->json.len,
                                                  JSON_DECODE_ANY, NULL)
                                    : NULL;
        value = value != NULL ? value : json_null ();
        if (!c->json) {
            char *text = json_dumps (value, JSON_COMPACT | JSON_ENCODE_ANY);
            json_t *author = cli_id (x->has_author, x->author);
            printf ("%s %s  by %.13s  lamport %llu\n", i == 0 ? "wins" : "    ",
                    x->deleted ? "(deleted)" : text, json_string_value (author),
                    (unsigned long long) x->lamport);
            json_decref (author);
            free (text);
        }
        json_array_append_new (
            list, json_pack ("{s:b, s:o, s:o, s:o, s:o, s:o, s:b}", "wins", i == 0, "value", value,
                             "author", cli_id (x->has_author, x->author), "lane",
                             cli_hex64 (x->lane), "lamport", cli_u64 (x->lamport), "entry",
                             cli_id (x->has_entry, x->entry), "deleted", (int) x->deleted));
    }
    if (c->json) {
        cli_json (json_pack ("{s:O}", "values", list));
    }
    json_decref (list);
    cli_reply_fini (&reply);
    return 0;
}

/* ---- single writes ---- */

static int
write_one (struct cli *c, uint16_t kind, struct weir_bytes body)
{
    Weir__DocWrite ask = WEIR__DOC_WRITE__INIT;
    struct cli_reply reply;
    const char *text = cli_option (c, "message");
    ask.has_db = ask.has_path = ask.has_client = ask.has_number = true;
    ask.db = weir_field_str (c->args[0]);
    ask.path = weir_field_str (c->args[1]);
    ask.has_message = text != NULL;
    ask.message = weir_field_str (text);
    ask.client = weir_field_of (weir_client_id (c->client));
    ask.number = weir_client_number (c->client);
    if (cli_option (c, "no-wait") != NULL) {
        uint64_t request = 0;
        struct weir_error e = { 0 };
        enum weir_status status =
            weir_client_send (c->client, kind, &ask.base, body, c->timeout_ms, &request, &e);
        return status == WEIR_OK ? 0 : cli_fail (c, &e);
    }
    int code = cli_call (c, kind, &ask.base, body, &reply);
    if (code == 0) {
        const Weir__EntryId *m = (const Weir__EntryId *) reply.answer.meta;
        if (c->json) {
            cli_json (json_pack ("{s:o, s:b}", "entry", cli_id (m->has_id, m->id), "changed",
                                 !m->unchanged));
        } else if (!c->quiet && m->has_id) {
            json_t *id = cli_id (true, m->id);
            puts (json_string_value (id));
            json_decref (id);
        }
        cli_reply_fini (&reply);
    }
    return code;
}

int
cli_doc_set (struct cli *c)
{
    struct weir_error e = { 0 };
    json_t *value = NULL;
    enum weir_status status =
        weir_json_parse (&value, weir_bytes_str (c->args[2]), WEIR_JSON_BYTES_MAX, &e);
    if (status != WEIR_OK) {
        if (e.hint[0] == '\0') {
            snprintf (e.hint, sizeof e.hint,
                      "the value is JSON; a text wants its quotes: '\"text\"'");
        }
        return cli_fail (c, &e);
    }
    json_decref (value);
    return write_one (c, WEIR_KIND_DOC_SET, weir_bytes_str (c->args[2]));
}

int
cli_doc_rm (struct cli *c)
{
    return write_one (c, WEIR_KIND_DOC_REMOVE, weir_bytes (NULL, 0));
}

/* ---- many writes ---- */

struct apply {
    struct cli *c;
    struct weir_buf chunk; /* whole lines, to be sent */
    uint64_t chunk_lines;
    uint64_t first_line; /* of the chunk, in the file */
    struct {
        uint64_t request;
        uint64_t first_line;
    } sent[IN_FLIGHT_MAX];
    size_t n_sent;
    uint64_t commits;
    uint64_t unchanged;
    struct weir_error error;
    uint64_t started_ms;
    uint64_t shown_ms;
    uint64_t bytes;
};

/* A line on a terminal each 200 ms, a plain one every 10 s elsewhere. */
static void
progress (struct apply *a)
{
    uint64_t now = cli_now_ms ();
    bool tty = isatty (STDERR_FILENO) != 0;
    if (a->c->quiet || now - a->shown_ms < (tty ? 200u : 10000u)) {
        return;
    }
    char bytes[32];
    double seconds = (double) (now - a->started_ms) / 1000.0;
    fprintf (stderr, "%s%llu commits durable, %s read, %.0f/s%s", tty ? "\r" : "",
             (unsigned long long) a->commits, cli_bytes_text (a->bytes, bytes),
             seconds > 0 ? (double) a->commits / seconds : 0.0, tty ? "  " : "\n");
    a->shown_ms = now;
}

static enum weir_status
take_answer (struct apply *a)
{
    struct weir_client_answer answer;
    enum weir_status status =
        weir_client_receive (a->c->client, APPLY_TIMEOUT_MS, &answer, &a->error);
    if (status != WEIR_OK) {
        return status;
    }
    for (size_t i = 0; i < a->n_sent; i++) {
        if (a->sent[i].request != answer.request) {
            continue;
        }
        uint64_t first = a->sent[i].first_line;
        a->sent[i] = a->sent[--a->n_sent];
        const Weir__DocApplied *m = (const Weir__DocApplied *) answer.meta;
        if (answer.status != WEIR_OK) {
            a->error = answer.problem;
            status = answer.status;
            if (a->error.what[0] == '\0') {
                weir_error_set (&a->error, status, NULL, "behind line %llu: refused",
                                (unsigned long long) first);
            }
        } else {
            a->commits += m->commits;
            a->unchanged += m->unchanged;
            if (m->failed_line > 0) {
                status = weir_status_from_number (m->status);
                weir_error_set (&a->error, status, NULL, "line %llu: %.*s",
                                (unsigned long long) (first + m->failed_line - 1),
                                (int) m->what.len, (const char *) m->what.data);
            }
        }
        break;
    }
    weir_client_answer_fini (&answer);
    progress (a);
    return status;
}

static enum weir_status
send_chunk (struct apply *a)
{
    enum weir_status status = WEIR_OK;
    if (a->chunk.len == 0) {
        return WEIR_OK;
    }
    while (status == WEIR_OK && a->n_sent == IN_FLIGHT_MAX) {
        status = take_answer (a);
    }
    if (status == WEIR_OK) {
        Weir__DocApply ask = WEIR__DOC_APPLY__INIT;
        const char *text = cli_option (a->c, "message");
        uint64_t request = 0;
        ask.has_db = ask.has_client = ask.has_number = true;
        ask.db = weir_field_str (a->c->args[0]);
        ask.has_message = text != NULL;
        ask.message = weir_field_str (text);
        ask.client = weir_field_of (weir_client_id (a->c->client));
        ask.number = weir_client_number (a->c->client);
        status =
            weir_client_send (a->c->client, WEIR_KIND_DOC_APPLY, &ask.base,
                              weir_buf_bytes (&a->chunk), APPLY_TIMEOUT_MS, &request, &a->error);
        if (status == WEIR_OK) {
            a->sent[a->n_sent].request = request;
            a->sent[a->n_sent++].first_line = a->first_line;
        }
    }
    a->first_line += a->chunk_lines;
    a->chunk_lines = 0;
    weir_buf_clear (&a->chunk);
    return status;
}

static enum weir_status
add_line (struct apply *a, struct weir_bytes line)
{
    enum weir_status status = WEIR_OK;
    if (a->chunk.len + line.len + 1 > CHUNK_BYTES) {
        status = send_chunk (a);
    }
    if (status == WEIR_OK && line.len + 1 > WEIR_MESSAGE_BODY_BYTES_MAX) {
        status = weir_error_set (&a->error, WEIR_TOO_LARGE, "split it into several commits",
                                 "line %llu has more than %u bytes",
                                 (unsigned long long) (a->first_line + a->chunk_lines),
                                 WEIR_MESSAGE_BODY_BYTES_MAX);
    }
    if (status == WEIR_OK) {
        weir_buf_put_bytes (&a->chunk, line);
        weir_buf_put_u8 (&a->chunk, '\n');
        a->chunk_lines++;
        a->bytes += line.len + 1;
    }
    return status;
}

static int
finish (struct apply *a, enum weir_status status)
{
    if (status == WEIR_OK) {
        status = send_chunk (a);
    }
    while (a->n_sent > 0 && status != WEIR_TIMED_OUT && status != WEIR_UNAVAILABLE
           && status != WEIR_INTERRUPTED) {
        struct weir_error first = a->error;
        enum weir_status next = take_answer (a);
        if (status != WEIR_OK) {
            a->error = first; /* the first failure is the one to tell */
        } else {
            status = next;
        }
    }
    double seconds = (double) (cli_now_ms () - a->started_ms) / 1000.0;
    if (a->shown_ms != a->started_ms && isatty (STDERR_FILENO)) {
        fputc ('\n', stderr);
    }
    if (a->c->json) {
        cli_json (json_pack ("{s:o, s:f, s:o}", "commits", cli_u64 (a->commits), "seconds", seconds,
                             "unchanged", cli_u64 (a->unchanged)));
    } else {
        printf ("%llu commits in %.2f s (%.0f/s), %llu changed nothing\n",
                (unsigned long long) a->commits, seconds,
                seconds > 0 ? (double) a->commits / seconds : 0.0,
                (unsigned long long) a->unchanged);
    }
    weir_buf_fini (&a->chunk);
    return status == WEIR_OK ? 0 : cli_fail (a->c, &a->error);
}

static enum weir_status
open_file (const char *name, FILE **file, struct weir_error *e)
{
    *file = strcmp (name, "-") == 0 ? stdin : fopen (name, "re");
    if (*file == NULL) {
        return weir_error_set (e, errno == ENOENT ? WEIR_NOT_FOUND : WEIR_IO_ERROR, NULL,
                               "cannot read %s: %s", name, strerror (errno));
    }
    return WEIR_OK;
}

static enum weir_status
read_all (FILE *file, struct weir_buf *out, struct weir_error *e)
{
    uint8_t part[65536];
    size_t n;
    while ((n = fread (part, 1, sizeof part, file)) > 0) {
        if (out->len + n > FILE_BYTES_MAX) {
            return weir_error_set (e, WEIR_TOO_LARGE, "split it", "the file has more than 1 GiB");
        }
        weir_buf_put (out, part, n);
    }
    return ferror (file)
               ? weir_error_set (e, WEIR_IO_ERROR, NULL, "cannot read: %s", strerror (errno))
               : WEIR_OK;
}

/* One JSON Patch spread over lines is one commit; else each line is one. */
static bool
is_one_patch (struct weir_bytes text, json_t **patch)
{
    json_error_t error;
    *patch = json_loadb ((const char *) text.data, text.len, JSON_REJECT_DUPLICATES, &error);
    return json_is_array (*patch);
}

static bool
is_blank (const char *line, size_t n)
{
    size_t i = 0;
    while (i < n && strchr (" \t\r\n", line[i]) != NULL && line[i] != '\0') {
        i++;
    }
    return i == n;
}

int
cli_doc_apply (struct cli *c)
{
    struct apply a = { .c = c, .first_line = 1 };
    FILE *file = NULL;
    char *line = NULL;
    size_t cap = 0;
    ssize_t n = 0;
    enum weir_status status = open_file (c->args[1], &file, &a.error);
    if (status != WEIR_OK) {
        return cli_fail (c, &a.error);
    }
    a.started_ms = a.shown_ms = cli_now_ms ();
    n = getline (&line, &cap, file);
    while (status == WEIR_OK && n > 0 && is_blank (line, (size_t) n)) {
        status = add_line (&a, weir_bytes (NULL, 0)); /* it counts as a line, and does nothing */
        n = getline (&line, &cap, file);
    }
    json_t *whole = NULL;
    json_error_t ignored;
    json_t *first = status == WEIR_OK && n > 0 ? json_loadb (line, (size_t) n, 0, &ignored) : NULL;
    if (status == WEIR_OK && n > 0 && first == NULL) {
        /* The first line is no JSON by itself: one patch over several lines, or an error that
         * names its line. */
        struct weir_buf text = { 0 };
        weir_buf_put (&text, line, (size_t) n);
        status = read_all (file, &text, &a.error);
        if (status == WEIR_OK && is_one_patch (weir_buf_bytes (&text), &whole)) {
            struct weir_buf compact = { 0 };
            weir_json_put (&compact, whole);
            status = add_line (&a, weir_buf_bytes (&compact));
            weir_buf_fini (&compact);
        } else if (status == WEIR_OK) {
            status = add_line (&a, weir_bytes (line, (size_t) n - (line[n - 1] == '\n')));
        }
        json_decref (whole);
        weir_buf_fini (&text);
        n = -1;
    }
    json_decref (first);
    while (status == WEIR_OK && n >= 0) {
        status = add_line (&a, weir_bytes (line, (size_t) n - (n > 0 && line[n - 1] == '\n')));
        n = status == WEIR_OK ? getline (&line, &cap, file) : -1;
    }
    if (status == WEIR_OK && ferror (file)) {
        status = weir_error_set (&a.error, WEIR_IO_ERROR, NULL, "cannot read %s", c->args[1]);
    }
    free (line);
    if (file != stdin) {
        fclose (file);
    }
    return finish (&a, status);
}

/* ---- import-json ---- */

static void
put_pointer_part (struct weir_buf *out, const char *part)
{
    weir_buf_put_u8 (out, '/');
    for (const char *p = part; *p != '\0'; p++) {
        if (*p == '~' || *p == '/') {
            weir_buf_put_u8 (out, '~');
            weir_buf_put_u8 (out, *p == '~' ? '0' : '1');
        } else {
            weir_buf_put_u8 (out, (uint8_t) *p);
        }
    }
}

static enum weir_status
add_record (struct apply *a, const char *root, const char *key, json_t *record)
{
    struct weir_buf path = { 0 };
    struct weir_buf line = { 0 };
    put_pointer_part (&path, root);
    put_pointer_part (&path, key);
    json_t *patch =
        json_pack ("[{s:s, s:s, s:O}]", "op", "add", "path", weir_buf_str (&path), "value", record);
    enum weir_status status = WEIR_INVALID_JSON;
    if (patch != NULL) {
        weir_json_put (&line, patch);
        status = add_line (a, weir_buf_bytes (&line));
    } else {
        weir_error_set (&a->error, status, NULL, "the key %s cannot be written", key);
    }
    json_decref (patch);
    weir_buf_fini (&path);
    weir_buf_fini (&line);
    return status;
}

/* An array of records becomes a map keyed by one of their fields. */
static enum weir_status
add_array (struct apply *a, const char *root, json_t *list)
{
    const char *field = cli_option (a->c, "key");
    size_t i;
    json_t *record;
    if (field == NULL) {
        return weir_error_set (&a->error, WEIR_USAGE, "--key FIELD names it",
                               "%s holds an array: by which field are its records known?", root);
    }
    json_array_foreach (list, i, record)
    {
        json_t *key = json_object_get (record, field);
        if (!json_is_string (key)) {
            return weir_error_set (&a->error, WEIR_INVALID_JSON, NULL,
                                   "record %zu of %s has no text field \"%s\"", i, root, field);
        }
        enum weir_status status = add_record (a, root, json_string_value (key), record);
        if (status != WEIR_OK) {
            return status;
        }
    }
    return WEIR_OK;
}

static enum weir_status
add_root (struct apply *a, const char *root, json_t *value)
{
    const char *key;
    json_t *record;
    if (json_is_array (value)) {
        return add_array (a, root, value);
    }
    if (!json_is_object (value)) {
        return weir_error_set (&a->error, WEIR_INVALID_JSON, "--root NAME puts it into one",
                               "\"%s\" is neither an object nor an array of records", root);
    }
    json_object_foreach (value, key, record)
    {
        enum weir_status status = add_record (a, root, key, record);
        if (status != WEIR_OK) {
            return status;
        }
    }
    return WEIR_OK;
}

/* Without --root the file is an object of roots; with it, the whole file is that root. */
int
cli_doc_import_json (struct cli *c)
{
    struct apply a = { .c = c, .first_line = 1 };
    struct weir_buf text = { 0 };
    FILE *file = NULL;
    json_t *whole = NULL;
    const char *root = cli_option (c, "root");
    enum weir_status status = open_file (c->args[1], &file, &a.error);
    a.started_ms = a.shown_ms = cli_now_ms ();
    if (status == WEIR_OK) {
        status = read_all (file, &text, &a.error);
        if (file != stdin) {
            fclose (file);
        }
    }
    if (status == WEIR_OK) {
        status = weir_json_parse (&whole, weir_buf_bytes (&text), FILE_BYTES_MAX, &a.error);
    }
    if (status == WEIR_OK && root != NULL) {
        status = add_root (&a, root, whole);
    } else if (status == WEIR_OK && json_is_object (whole)) {
        const char *name;
        json_t *value;
        json_object_foreach (whole, name, value)
        {
            if (status == WEIR_OK) {
                status = add_root (&a, name, value);
            }
        }
    } else if (status == WEIR_OK) {
        status = weir_error_set (&a.error, WEIR_USAGE, "--root NAME says where it goes",
                                 "the file is not an object of roots");
    }
    json_decref (whole);
    weir_buf_fini (&text);
    return finish (&a, status);
}
