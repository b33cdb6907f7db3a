/* weir doc insert, text, incr, move, mark: edits of lists, texts and counters. Each is one
 * operation of a JSON Patch (docs/format.md names those that documents have beside RFC 6902), so
 * that the node has one door for writes. `text ... edit` is a session: edits come as lines, and
 * are committed at each pause. */

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bins/cli/cli.h"
#include "store/base/json.h"

#define PAUSE_MS 200u
#define COMMIT_MS 1000u
#define FILE_BYTES_MAX (1u << 20)
#define SESSION_BYTES_MAX (512u << 10) /* of operations in one commit */

/* ---- one patch, one answer ---- */

static const char *
conflict_hint (const struct cli *c)
{
    return strcmp (c->verb->verb, "move") == 0 && c->n_args == 4
               ? "only lists made by doc insert --movable have elements that move"
               : "remove it first, or choose another path";
}

/* What the node said of a patch that it refused. */
struct refusal {
    struct weir_error e; /* status WEIR_OK: it did not */
    size_t operation;    /* which of them */
};

/* Sends the operations as one commit. The exit code when the command has failed and said so;
 * else *refused is filled, or *entry: base32, or null when nothing changed; the caller's. */
static int
send_patch (struct cli *c, json_t *patch, json_t **entry, struct refusal *refused)
{
    Weir__DocApply ask = WEIR__DOC_APPLY__INIT;
    struct cli_reply reply;
    struct weir_buf line = { 0 };
    const char *text = cli_option (c, "message");
    ask.has_db = ask.has_client = ask.has_number = true;
    ask.db = weir_field_str (c->args[0]);
    ask.has_message = text != NULL;
    ask.message = weir_field_str (text);
    ask.client = weir_field_of (weir_client_id (c->client));
    ask.number = weir_client_number (c->client);
    weir_json_put (&line, patch);
    *entry = NULL;
    *refused = (struct refusal){ .operation = 0 };
    int code = cli_call (c, WEIR_KIND_DOC_APPLY, &ask.base, weir_buf_bytes (&line), &reply);
    weir_buf_fini (&line);
    if (code != 0) {
        return code;
    }
    const Weir__DocApplied *m = (const Weir__DocApplied *) reply.answer.meta;
    if (m->failed_line > 0) {
        char what[sizeof refused->e.what];
        unsigned long operation = 0;
        int skip = 0;
        snprintf (what, sizeof what, "%.*s", (int) m->what.len, (const char *) m->what.data);
        (void) sscanf (what, "operation %lu: %n", &operation, &skip);
        refused->operation = operation;
        enum weir_status status = weir_status_from_number (m->status);
        weir_error_set (&refused->e, status, status == WEIR_CONFLICT ? conflict_hint (c) : NULL,
                        "%s", what + skip);
    } else {
        *entry = cli_id (m->has_last_entry && m->commits > 0, m->last_entry);
    }
    cli_reply_fini (&reply);
    return 0;
}

/* One operation, then what the other writes print, too. Takes `op`. */
static int
run_op (struct cli *c, json_t *op)
{
    json_t *entry = NULL;
    if (op == NULL) {
        return cli_fail_status (c, WEIR_INVALID_ARGUMENT, "an argument is not UTF-8");
    }
    struct refusal refused;
    json_t *patch = json_pack ("[o]", op);
    int code = send_patch (c, patch, &entry, &refused);
    if (code == 0 && refused.e.status != WEIR_OK) {
        code = cli_fail (c, &refused.e);
    }
    json_decref (patch);
    if (code == 0 && c->json) {
        cli_json (json_pack ("{s:O, s:b}", "entry", entry, "changed", json_is_string (entry)));
    } else if (code == 0 && !c->quiet && json_is_string (entry)) {
        puts (json_string_value (entry));
    }
    json_decref (entry);
    return code;
}

/* ---- arguments ---- */

/* A place: a number, or "-" or "end" for behind the last (*at is then negative). */
static enum weir_status
read_place (const char *text, json_int_t *at, struct weir_error *e)
{
    uint64_t n = 0;
    if (strcmp (text, "-") == 0 || strcmp (text, "end") == 0) {
        *at = -1;
        return WEIR_OK;
    }
    enum weir_status status = cli_number (text, UINT32_MAX - 1u, &n, e);
    *at = (json_int_t) n;
    return status;
}

static void
put_place (json_t *op, json_int_t at)
{
    if (op != NULL && at >= 0) {
        json_object_set_new (op, "at", json_integer (at));
    }
}

/* Without an operation the option is looked at only. */
static enum weir_status
put_unit (struct cli *c, json_t *op, struct weir_error *e)
{
    const char *unit = cli_option (c, "unit");
    if (unit != NULL && strcmp (unit, "scalars") != 0 && strcmp (unit, "utf8") != 0
        && strcmp (unit, "utf16") != 0) {
        return weir_error_set (e, WEIR_USAGE, "scalars, utf8 or utf16", "--unit %s is unknown",
                               unit);
    }
    if (unit != NULL && op != NULL) {
        json_object_set_new (op, "unit", json_string (unit));
    }
    return WEIR_OK;
}

static enum weir_status
read_json (const char *text, json_t **value, struct weir_error *e)
{
    enum weir_status status =
        weir_json_parse (value, weir_bytes_str (text), WEIR_JSON_BYTES_MAX, e);
    if (status != WEIR_OK && e->hint[0] == '\0') {
        snprintf (e->hint, sizeof e->hint,
                  "the value is JSON; a text wants its quotes: '\"text\"'");
    }
    return status;
}

int
cli_doc_insert (struct cli *c)
{
    struct weir_error e = { 0 };
    json_int_t at = 0;
    json_t *value = NULL;
    enum weir_status status = read_place (c->args[2], &at, &e);
    if (status == WEIR_OK) {
        status = read_json (c->args[3], &value, &e);
    }
    if (status != WEIR_OK) {
        return cli_fail (c, &e);
    }
    json_t *op =
        json_pack ("{s:s, s:s, s:o}", "op", "list_insert", "path", c->args[1], "value", value);
    put_place (op, at);
    if (op != NULL && cli_option (c, "movable") != NULL) {
        json_object_set_new (op, "movable", json_true ());
    }
    return run_op (c, op);
}

int
cli_doc_move (struct cli *c)
{
    struct weir_error e = { 0 };
    if (c->n_args == 3) {
        return run_op (
            c, json_pack ("{s:s, s:s, s:s}", "op", "move", "from", c->args[1], "path", c->args[2]));
    }
    uint64_t from = 0;
    uint64_t to = 0;
    enum weir_status status = cli_number (c->args[2], UINT32_MAX - 1u, &from, &e);
    if (status == WEIR_OK) {
        status = cli_number (c->args[3], UINT32_MAX - 1u, &to, &e);
    }
    return status != WEIR_OK
               ? cli_fail (c, &e)
               : run_op (c, json_pack ("{s:s, s:s, s:I, s:I}", "op", "list_move", "path",
                                       c->args[1], "at", (json_int_t) from, "to", (json_int_t) to));
}

int
cli_doc_incr (struct cli *c)
{
    struct weir_error e = { 0 };
    json_t *by = NULL;
    enum weir_status status = read_json (c->n_args > 2 ? c->args[2] : "1", &by, &e);
    if (status == WEIR_OK && !json_is_number (by)) {
        status = weir_error_set (&e, WEIR_USAGE, NULL, "%s is not a number", c->args[2]);
        json_decref (by);
    }
    return status != WEIR_OK ? cli_fail (c, &e)
                             : run_op (c, json_pack ("{s:s, s:s, s:o}", "op", "increment", "path",
                                                     c->args[1], "by", by));
}

int
cli_doc_mark (struct cli *c)
{
    struct weir_error e = { 0 };
    const char *expand = cli_option (c, "expand");
    uint64_t start = 0;
    uint64_t end = 0;
    json_t *value = NULL;
    enum weir_status status = cli_number (c->args[2], UINT32_MAX - 1u, &start, &e);
    if (expand != NULL && strcmp (expand, "after") != 0 && strcmp (expand, "before") != 0
        && strcmp (expand, "both") != 0 && strcmp (expand, "none") != 0) {
        status = weir_error_set (&e, WEIR_USAGE, "after, before, both or none",
                                 "--expand %s is unknown", expand);
    }
    if (status == WEIR_OK) {
        status = cli_number (c->args[3], UINT32_MAX - 1u, &end, &e);
    }
    if (status == WEIR_OK) {
        status = read_json (c->args[5], &value, &e);
    }
    if (status != WEIR_OK) {
        return cli_fail (c, &e);
    }
    return run_op (c, json_pack ("{s:s, s:s, s:I, s:I, s:s, s:o, s:s}", "op", "mark", "path",
                                 c->args[1], "start", (json_int_t) start, "end", (json_int_t) end,
                                 "key", c->args[4], "value", value, "expand",
                                 expand != NULL ? expand : "after"));
}

/* ---- text ---- */

static int
text_insert (struct cli *c)
{
    struct weir_error e = { 0 };
    json_int_t at = 0;
    enum weir_status status = read_place (c->args[3], &at, &e);
    json_t *op =
        json_pack ("{s:s, s:s, s:s}", "op", "text_insert", "path", c->args[1], "text", c->args[4]);
    put_place (op, at);
    if (status == WEIR_OK && op != NULL) {
        status = put_unit (c, op, &e);
    }
    if (status != WEIR_OK) {
        json_decref (op);
        return cli_fail (c, &e);
    }
    return run_op (c, op);
}

static int
text_delete (struct cli *c)
{
    struct weir_error e = { 0 };
    uint64_t at = 0;
    uint64_t count = 0;
    json_t *op = NULL;
    enum weir_status status = cli_number (c->args[3], UINT32_MAX - 1u, &at, &e);
    if (status == WEIR_OK) {
        status = cli_number (c->args[4], UINT32_MAX - 1u, &count, &e);
    }
    if (status == WEIR_OK) {
        op = json_pack ("{s:s, s:s, s:I, s:I}", "op", "text_delete", "path", c->args[1], "at",
                        (json_int_t) at, "count", (json_int_t) count);
        status = op != NULL ? put_unit (c, op, &e) : WEIR_OK;
    }
    if (status != WEIR_OK) {
        json_decref (op);
        return cli_fail (c, &e);
    }
    return run_op (c, op);
}

static int
text_update (struct cli *c)
{
    struct weir_error e = { 0 };
    struct weir_buf text = { 0 };
    const char *name = c->args[3];
    bool is_stdin = strcmp (name, "-") == 0;
    FILE *file = is_stdin ? stdin : fopen (name, "re");
    uint8_t part[65536];
    size_t n = 0;
    enum weir_status status = WEIR_OK;
    if (file == NULL) {
        weir_error_set (&e, errno == ENOENT ? WEIR_NOT_FOUND : WEIR_IO_ERROR, NULL,
                        "cannot read %s: %s", name, strerror (errno));
        return cli_fail (c, &e);
    }
    while (text.len <= FILE_BYTES_MAX && (n = fread (part, 1, sizeof part, file)) > 0) {
        weir_buf_put (&text, part, n);
    }
    if (ferror (file)) {
        status = weir_error_set (&e, WEIR_IO_ERROR, NULL, "cannot read %s", name);
    } else if (text.len > FILE_BYTES_MAX) {
        status = weir_error_set (&e, WEIR_TOO_LARGE, NULL, "%s has more than 1 MiB", name);
    } else if (!weir_bytes_is_utf8 (weir_buf_bytes (&text))) {
        status = weir_error_set (&e, WEIR_INVALID_ARGUMENT, NULL, "%s is not UTF-8", name);
    } else if (text.len > 0 && memchr (text.data, '\0', text.len) != NULL) {
        status = weir_error_set (&e, WEIR_INVALID_ARGUMENT, "a text holds no NUL",
                                 "%s holds a NUL byte", name);
    }
    if (!is_stdin) {
        fclose (file);
    }
    int code = status != WEIR_OK
                   ? cli_fail (c, &e)
                   : run_op (c, json_pack ("{s:s, s:s, s:s%}", "op", "text_update", "path",
                                           c->args[1], "text", weir_buf_str (&text), text.len));
    weir_buf_fini (&text);
    return code;
}

static int
text_show (struct cli *c)
{
    Weir__DocPath ask = WEIR__DOC_PATH__INIT;
    struct cli_reply reply;
    const char *at = cli_option (c, "at");
    bool is_delta = cli_option (c, "delta") != NULL;
    ask.has_db = ask.has_path = ask.has_delta = true;
    ask.db = weir_field_str (c->args[0]);
    ask.path = weir_field_str (c->args[1]);
    ask.delta = is_delta;
    ask.n_heads = cli_heads (at, &ask.heads);
    if (at != NULL && ask.n_heads == 0) {
        return cli_fail_status (c, WEIR_USAGE, "--at names no entry");
    }
    int code = cli_call (c, WEIR_KIND_DOC_GET, &ask.base, weir_bytes (NULL, 0), &reply);
    free (ask.heads);
    if (code != 0) {
        return code;
    }
    json_t *value =
        json_loadb ((const char *) reply.body.data, reply.body.len, JSON_DECODE_ANY, NULL);
    if (!is_delta && !json_is_string (value)) {
        struct weir_error e = { 0 };
        weir_error_set (&e, WEIR_CONFLICT, "weir doc get shows it", "what stands at %s is no text",
                        c->args[1]);
        code = cli_fail (c, &e);
    } else if (c->json) {
        cli_json (json_pack ("{s:O}", is_delta ? "delta" : "text", value));
    } else if (is_delta) {
        json_dumpf (value, stdout, JSON_INDENT (2));
        putchar ('\n');
    } else {
        fwrite (json_string_value (value), 1, json_string_length (value), stdout);
    }
    json_decref (value);
    cli_reply_fini (&reply);
    return code;
}

/* ---- sessions ---- */

struct session {
    struct cli *c;
    struct weir_buf input; /* not a whole line yet */
    json_t *ops;           /* read, not sent */
    json_t *numbers;       /* the line of each */
    size_t ops_bytes;
    uint64_t first_ms; /* when the oldest of them came */
    uint64_t last_ms;
    uint64_t lines;     /* read */
    uint64_t committed; /* and durable */
    uint64_t commits;
};

/* {"insert": POS, "text": T}, {"delete": POS, "count": N}, or an operation of a patch without its
 * path. Takes nothing; NULL: none of these. */
static json_t *
session_op (struct session *s, json_t *line)
{
    json_t *op = NULL;
    if (json_object_get (line, "insert") != NULL) {
        op = json_pack ("{s:s, s:O, s:O*}", "op", "text_insert", "at",
                        json_object_get (line, "insert"), "text", json_object_get (line, "text"));
    } else if (json_object_get (line, "delete") != NULL) {
        op = json_pack ("{s:s, s:O, s:O*}", "op", "text_delete", "at",
                        json_object_get (line, "delete"), "count", json_object_get (line, "count"));
    } else if (json_object_get (line, "op") != NULL) {
        op = json_copy (line);
    }
    if (op != NULL) {
        const char *unit = cli_option (s->c, "unit");
        json_object_set_new (op, "path", json_string (s->c->args[1]));
        if (unit != NULL && json_object_get (op, "unit") == NULL) {
            json_object_set_new (op, "unit", json_string (unit));
        }
    }
    return op;
}

static int session_commit (struct session *s);

static int
session_line (struct session *s, const char *text, size_t len)
{
    struct weir_error e = { 0 };
    json_t *line = NULL;
    json_t *op = NULL;
    s->lines++;
    if (len == 0 || strspn (text, " \t\r") >= len) {
        return 0;
    }
    enum weir_status status =
        weir_json_parse (&line, weir_bytes (text, len), WEIR_JSON_BYTES_MAX, &e);
    if (status == WEIR_OK) {
        op = session_op (s, line);
    }
    json_decref (line);
    if (op == NULL) {
        struct weir_error why = { 0 };
        weir_error_set (&why, status != WEIR_OK ? status : WEIR_INVALID_ARGUMENT,
                        "{\"insert\": POS, \"text\": TEXT} or {\"delete\": POS, \"count\": N}",
                        "line %llu is no edit%s%s", (unsigned long long) s->lines,
                        e.what[0] != '\0' ? ": " : "", e.what);
        s->lines--;
        int code = session_commit (s); /* what came before is kept */
        s->lines++;
        return code != 0 ? code : cli_fail (s->c, &why);
    }
    s->last_ms = cli_now_ms ();
    s->first_ms = json_array_size (s->ops) == 0 ? s->last_ms : s->first_ms;
    s->ops_bytes += len;
    json_array_append_new (s->ops, op);
    json_array_append_new (s->numbers, json_integer ((json_int_t) s->lines));
    return 0;
}

/* The acknowledgement is the seal: what is printed is durable. */
static void
session_told (struct session *s, uint64_t lines, const json_t *entry)
{
    s->committed = lines;
    s->commits += json_is_string (entry) ? 1 : 0;
    cli_json (json_pack ("{s:o, s:O?}", "lines", cli_u64 (lines), "entry", entry));
    fflush (stdout);
}

/* A line that the node refuses ends the session; those before it are kept. */
static int
session_refused (struct session *s, const struct refusal *refused)
{
    struct weir_error e = { 0 };
    struct refusal again = { .operation = 0 };
    json_t *entry = NULL;
    int code = 0;
    uint64_t line = (uint64_t) json_integer_value (json_array_get (s->numbers, refused->operation));
    while (json_array_size (s->ops) > refused->operation) {
        json_array_remove (s->ops, json_array_size (s->ops) - 1);
    }
    if (json_array_size (s->ops) > 0) {
        code = send_patch (s->c, s->ops, &entry, &again);
    }
    if (code == 0 && entry != NULL) {
        session_told (s, line - 1, entry);
    }
    json_decref (entry);
    weir_error_set (&e, refused->e.status, weir_error_hint (&refused->e), "line %llu: %s",
                    (unsigned long long) line, refused->e.what);
    return code != 0 ? code : cli_fail (s->c, &e);
}

static int
session_commit (struct session *s)
{
    struct refusal refused;
    json_t *entry = NULL;
    if (json_array_size (s->ops) == 0) {
        return 0;
    }
    int code = send_patch (s->c, s->ops, &entry, &refused);
    if (code == 0 && refused.e.status != WEIR_OK) {
        code = session_refused (s, &refused);
    } else if (code == 0) {
        session_told (s, s->lines, entry);
    }
    json_decref (entry);
    json_array_clear (s->ops);
    json_array_clear (s->numbers);
    s->ops_bytes = 0;
    return code;
}

static int
session_take (struct session *s, bool *ended)
{
    uint8_t part[16384];
    ssize_t n = read (STDIN_FILENO, part, sizeof part);
    int code = 0;
    if (n < 0 && errno != EINTR && errno != EAGAIN) {
        return cli_fail_status (s->c, WEIR_IO_ERROR, "cannot read the edits");
    }
    *ended = n == 0;
    if (n > 0) {
        weir_buf_put (&s->input, part, (size_t) n);
    }
    if (*ended && s->input.len > 0) {
        weir_buf_put_u8 (&s->input, '\n');
    }
    size_t at = 0;
    uint8_t *end;
    while (code == 0 && s->input.len > at
           && (end = memchr (s->input.data + at, '\n', s->input.len - at)) != NULL) {
        *end = '\0';
        code = session_line (s, (const char *) s->input.data + at,
                             (size_t) (end - s->input.data) - at);
        at = (size_t) (end - s->input.data) + 1;
        if (code == 0 && s->ops_bytes > SESSION_BYTES_MAX) {
            code = session_commit (s);
        }
    }
    memmove (s->input.data, s->input.data + at, s->input.len - at);
    s->input.len -= at;
    if (code == 0 && s->input.len > WEIR_JSON_BYTES_MAX) {
        code = cli_fail_status (s->c, WEIR_TOO_LARGE, "a line is too long");
    }
    return code;
}

/* How long to wait for more before what is there is committed; -1: nothing waits. */
static int
session_wait_ms (const struct session *s)
{
    if (json_array_size (s->ops) == 0) {
        return -1;
    }
    uint64_t now = cli_now_ms ();
    uint64_t pause = s->last_ms + PAUSE_MS;
    uint64_t due = s->first_ms + COMMIT_MS < pause ? s->first_ms + COMMIT_MS : pause;
    return due > now ? (int) (due - now) : 0;
}

static int
text_edit (struct cli *c)
{
    struct session s = { .c = c, .ops = json_array (), .numbers = json_array () };
    struct weir_error e = { 0 };
    bool ended = false;
    int code = put_unit (c, NULL, &e) == WEIR_OK ? 0 : cli_fail (c, &e);
    while (code == 0 && !ended) {
        struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
        int wait = session_wait_ms (&s);
        int ready = poll (&in, 1, wait);
        if (ready > 0 && wait != 0) {
            code = session_take (&s, &ended);
        }
        if (code == 0 && session_wait_ms (&s) == 0) {
            code = session_commit (&s);
        }
    }
    if (code == 0) {
        code = session_commit (&s);
    }
    cli_note (c, "%llu of %llu edits durable, in %llu commits", (unsigned long long) s.committed,
              (unsigned long long) s.lines, (unsigned long long) s.commits);
    json_decref (s.ops);
    json_decref (s.numbers);
    weir_buf_fini (&s.input);
    return code;
}

int
cli_doc_text (struct cli *c)
{
    static const struct {
        const char *name;
        size_t args;
        int (*run) (struct cli *c);
    } verbs[] = { { "show", 3, text_show },
                  { "insert", 5, text_insert },
                  { "delete", 5, text_delete },
                  { "update", 4, text_update },
                  { "edit", 3, text_edit } };
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        if (strcmp (c->args[2], verbs[i].name) == 0 && c->n_args == verbs[i].args) {
            return verbs[i].run (c);
        }
    }
    struct weir_error e = { 0 };
    weir_error_set (&e, WEIR_USAGE, "weir help doc text",
                    "show, insert POS TEXT, delete POS LEN, update FILE or edit");
    return cli_fail (c, &e);
}
