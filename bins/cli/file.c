/* weir db export, import: a database as a file. The node makes an export; an import is opened
 * and checked here, and its runs are sent to the node, which judges each of them as if a peer had
 * sent it. A shallow snapshot cannot go into a node: its history begins at its root. */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bins/cli/cli.h"
#include "store/replica/export.h"

#define FILE_TIMEOUT_MS 600000u
#define BODY_BYTES (1u << 20)
#define SPANS_MAX 64u

/* ---- export ---- */

static const struct {
    const char *name;
    enum weir_export_mode mode;
} modes[] = { { "snapshot", WEIR_EXPORT_SNAPSHOT },
              { "update", WEIR_EXPORT_UPDATE },
              { "spans", WEIR_EXPORT_SPANS },
              { "shallow", WEIR_EXPORT_SHALLOW } };
#define MODES (sizeof modes / sizeof *modes)

static const char *
mode_name (enum weir_export_mode mode)
{
    for (size_t i = 0; i < MODES; i++) {
        if (modes[i].mode == mode) {
            return modes[i].name;
        }
    }
    return "unknown";
}

/* The spans asked for. */
struct spans {
    struct weir_id authors[SPANS_MAX];
    Weir__OpSpan items[SPANS_MAX];
    Weir__OpSpan *pointers[SPANS_MAX];
    size_t count;
};

/* AUTHOR/LANE:FROM-TO, as doc log and db import --info name chains. */
static enum weir_status
read_span (const char *text, struct weir_id *author, Weir__OpSpan *span, struct weir_error *e)
{
    char id[WEIR_ID_TEXT + 1] = "";
    unsigned long long lane = 0;
    unsigned long long from = 0;
    unsigned long long to = 0;
    int used = 0;
    _Static_assert(WEIR_ID_TEXT == 52, "the format below says how long an id is");
    if (sscanf (text, "%52[a-z2-7]/%16llx:%20llu-%20llu%n", id, &lane, &from, &to, &used) != 4
        || text[used] != '\0' || weir_id_parse (author, id) != WEIR_OK || from >= to) {
        return weir_error_set (e, WEIR_USAGE, "AUTHOR/LANE:FROM-TO, FROM before TO",
                               "%s is no span", text);
    }
    *span = (Weir__OpSpan) WEIR__OP_SPAN__INIT;
    span->has_author = span->has_lane = span->has_from = span->has_to = true;
    span->author = weir_field_id (author);
    span->lane = lane;
    span->from = from;
    span->to = to;
    return WEIR_OK;
}

/* With commas between them. */
static enum weir_status
read_spans (const char *text, struct spans *out, struct weir_error *e)
{
    enum weir_status status = WEIR_OK;
    while (status == WEIR_OK && *text != '\0') {
        char one[128];
        size_t len = strcspn (text, ",");
        if (out->count == SPANS_MAX || len >= sizeof one) {
            return weir_error_set (e, WEIR_USAGE, NULL, "at most %u spans of AUTHOR/LANE:FROM-TO",
                                   SPANS_MAX);
        }
        memcpy (one, text, len);
        one[len] = '\0';
        out->pointers[out->count] = &out->items[out->count];
        status = read_span (one, &out->authors[out->count], &out->items[out->count], e);
        out->count++;
        text += len + (text[len] == ',' ? 1 : 0);
    }
    return status;
}

/* To a file beside it first, so that what has the name is whole. */
static enum weir_status
write_file (const char *name, struct weir_bytes bytes, struct weir_error *e)
{
    size_t len = strlen (name) + 32;
    char *temporary = weir_alloc (len);
    enum weir_status status = WEIR_OK;
    snprintf (temporary, len, "%s.part-%ld", name, (long) getpid ());
    int fd = open (temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        status = weir_error_set (e, WEIR_CANNOT_CREATE, NULL, "cannot write %s: %s", temporary,
                                 strerror (errno));
        free (temporary);
        return status;
    }
    size_t at = 0;
    while (status == WEIR_OK && at < bytes.len) {
        ssize_t n = write (fd, bytes.data + at, bytes.len - at);
        if (n < 0 && errno != EINTR) {
            status = weir_error_set (e, WEIR_IO_ERROR, NULL, "cannot write %s: %s", temporary,
                                     strerror (errno));
        }
        at += n > 0 ? (size_t) n : 0;
    }
    if (status == WEIR_OK && fsync (fd) != 0) {
        status = weir_error_set (e, WEIR_IO_ERROR, NULL, "cannot write %s: %s", temporary,
                                 strerror (errno));
    }
    close (fd);
    if (status == WEIR_OK && rename (temporary, name) != 0) {
        status = weir_error_set (e, WEIR_CANNOT_CREATE, NULL, "cannot make %s: %s", name,
                                 strerror (errno));
    }
    if (status != WEIR_OK) {
        (void) unlink (temporary);
    }
    free (temporary);
    return status;
}

static int
put_export (struct cli *c, const char *mode, struct weir_bytes blob)
{
    struct weir_error e = { 0 };
    const char *name = cli_option (c, "output");
    if (name == NULL || strcmp (name, "-") == 0) {
        return fwrite (blob.data, 1, blob.len, stdout) == blob.len && fflush (stdout) == 0
                   ? 0
                   : cli_fail_status (c, WEIR_IO_ERROR, "cannot write the export");
    }
    if (write_file (name, blob, &e) != WEIR_OK) {
        return cli_fail (c, &e);
    }
    if (c->json) {
        cli_json (
            json_pack ("{s:s, s:s, s:o}", "file", name, "mode", mode, "bytes", cli_u64 (blob.len)));
    } else {
        char bytes[32];
        cli_note (c, "%s: %s, %s", name, mode, cli_bytes_text (blob.len, bytes));
    }
    return 0;
}

static enum weir_status
export_ask (struct cli *c, Weir__DbExport *ask, struct spans *wanted, struct weir_error *e)
{
    const char *mode = cli_option (c, "mode");
    const char *from = cli_option (c, "from");
    const char *root = cli_option (c, "root");
    const char *spans = cli_option (c, "span");
    mode = mode != NULL ? mode : "snapshot";
    ask->has_db = true;
    ask->db = weir_field_str (c->args[0]);
    for (size_t i = 0; i < MODES; i++) {
        if (strcmp (mode, modes[i].name) == 0) {
            ask->has_mode = true;
            ask->mode = (uint32_t) modes[i].mode;
        }
    }
    if (!ask->has_mode) {
        return weir_error_set (e, WEIR_USAGE, "snapshot, update, spans or shallow",
                               "--mode %s is unknown", mode);
    }
    if ((from != NULL && ask->mode != WEIR_EXPORT_UPDATE)
        || (root != NULL && ask->mode != WEIR_EXPORT_SHALLOW)
        || (spans != NULL) != (ask->mode == WEIR_EXPORT_SPANS)) {
        return weir_error_set (e, WEIR_USAGE, "weir help db export",
                               "--from goes with update, --root with shallow, --span with spans");
    }
    ask->n_heads = cli_heads (from != NULL ? from : root, &ask->heads);
    enum weir_status status = spans != NULL ? read_spans (spans, wanted, e) : WEIR_OK;
    ask->spans = wanted->pointers;
    ask->n_spans = wanted->count;
    return status;
}

int
cli_db_export (struct cli *c)
{
    Weir__DbExport ask = WEIR__DB_EXPORT__INIT;
    struct spans spans = { .count = 0 };
    struct cli_reply reply;
    struct weir_error e = { 0 };
    if (cli_option (c, "output") == NULL && (c->json || isatty (STDOUT_FILENO) != 0)) {
        return cli_fail_status (c, WEIR_USAGE, "an export is bytes: -o FILE says where they go");
    }
    enum weir_status status = export_ask (c, &ask, &spans, &e);
    if (cli_option (c, "timeout") == NULL) {
        c->timeout_ms = FILE_TIMEOUT_MS;
    }
    int code = status != WEIR_OK
                   ? cli_fail (c, &e)
                   : cli_call (c, WEIR_KIND_DB_EXPORT, &ask.base, weir_bytes (NULL, 0), &reply);
    free (ask.heads);
    if (code == 0) {
        code = put_export (c, mode_name ((enum weir_export_mode) ask.mode),
                           weir_buf_bytes (&reply.body));
        cli_reply_fini (&reply);
    }
    return code;
}

/* ---- what a file holds ---- */

static enum weir_status
read_file (const char *name, struct weir_buf *out, struct weir_error *e)
{
    bool is_stdin = strcmp (name, "-") == 0;
    FILE *file = is_stdin ? stdin : fopen (name, "re");
    uint8_t part[65536];
    size_t n = 0;
    enum weir_status status = WEIR_OK;
    if (file == NULL) {
        return weir_error_set (e, errno == ENOENT ? WEIR_NOT_FOUND : WEIR_IO_ERROR, NULL,
                               "cannot read %s: %s", name, strerror (errno));
    }
    while (out->len <= WEIR_EXPORT_BYTES_MAX && (n = fread (part, 1, sizeof part, file)) > 0) {
        weir_buf_put (out, part, n);
    }
    if (ferror (file)) {
        status = weir_error_set (e, WEIR_IO_ERROR, NULL, "cannot read %s", name);
    } else if (out->len > WEIR_EXPORT_BYTES_MAX) {
        status = weir_error_set (e, WEIR_TOO_LARGE, NULL, "%s has more than 1 GiB", name);
    }
    if (!is_stdin) {
        fclose (file);
    }
    return status;
}

static json_t *
id_json (const struct weir_id *id)
{
    return json_string (weir_id_text (id).s);
}

static json_t *
vector_json (const struct weir_op_vector *v)
{
    json_t *rows = json_array ();
    for (size_t i = 0; i < v->count; i++) {
        const struct weir_op_row *row = &v->rows[i];
        json_array_append_new (rows, json_pack ("{s:o, s:o, s:o, s:o}", "author",
                                                id_json (&row->chain.author), "lane",
                                                cli_hex64 (row->chain.lane), "tip",
                                                id_json (&row->tip), "ops", cli_u64 (row->ops)));
    }
    return rows;
}

static json_t *
info_json (const char *name, const struct weir_export_info *info)
{
    json_t *root = json_array ();
    for (size_t i = 0; i < info->root.count; i++) {
        json_array_append_new (root, id_json (&info->root.items[i]));
    }
    json_t *out =
        json_pack ("{s:s, s:s, s:o, s:o, s:o, s:o, s:o}", "file", name, "mode",
                   mode_name (info->mode), "database", id_json (&info->database), "entries",
                   cli_u64 (info->entries), "ops", cli_u64 (info->ops), "clock_ms_min",
                   cli_u64 (info->clock_ms_min), "clock_ms_max", cli_u64 (info->clock_ms_max));
    json_object_set_new (out, "asked", vector_json (&info->asked));
    json_object_set_new (out, "asked_to", vector_json (&info->asked_to));
    json_object_set_new (out, "start", vector_json (&info->start));
    json_object_set_new (out, "end", vector_json (&info->end));
    json_object_set_new (out, "root", root);
    return out;
}

/* ---- import ---- */

struct import {
    struct cli *c;
    const char *name;
    struct weir_id database;
    struct weir_buf body;
    uint64_t new_runs, held, refused, unlocked, entries;
    enum weir_status why; /* of the first refused */
    bool created;
    json_t *success; /* {author, lane, from, to} */
    json_t *waiting; /* as the node last said */
};

/* Parts of one span that came in several bodies are told as one. */
static void
add_success (struct import *i, const Weir__OpSpan *m)
{
    json_t *author = cli_id (m->has_author, m->author);
    json_t *lane = cli_hex64 (m->lane);
    json_t *from = cli_u64 (m->from);
    size_t k;
    json_t *row;
    bool joined = false;
    json_array_foreach (i->success, k, row)
    {
        if (!joined && json_equal (json_object_get (row, "author"), author)
            && json_equal (json_object_get (row, "lane"), lane)
            && json_equal (json_object_get (row, "to"), from)) {
            json_object_set_new (row, "to", cli_u64 (m->to));
            joined = true;
        }
    }
    if (!joined) {
        json_array_append_new (i->success,
                               json_pack ("{s:O, s:O, s:O, s:o}", "author", author, "lane", lane,
                                          "from", from, "to", cli_u64 (m->to)));
    }
    json_decref (author);
    json_decref (lane);
    json_decref (from);
}

static void
take_answer (struct import *i, const Weir__DbImported *m)
{
    i->new_runs += m->new_runs;
    i->held += m->held;
    i->unlocked += m->unlocked;
    i->entries += m->new_entries;
    i->why = i->refused == 0 && m->refused > 0 ? weir_status_from_number (m->status) : i->why;
    i->refused += m->refused;
    i->created = i->created || m->created;
    for (size_t k = 0; k < m->n_success; k++) {
        add_success (i, m->success[k]);
    }
    json_array_clear (i->waiting);
    for (size_t k = 0; k < m->n_waiting; k++) {
        const Weir__Range *r = m->waiting[k];
        json_array_append_new (i->waiting,
                               json_pack ("{s:o, s:o, s:o, s:o}", "author",
                                          cli_id (r->has_author, r->author), "lane",
                                          cli_hex64 (r->lane), "from_seq", cli_u64 (r->from_seq),
                                          "to_seq", cli_u64 (r->to_seq)));
    }
}

static int
send_body (struct import *i)
{
    Weir__DbImport ask = WEIR__DB_IMPORT__INIT;
    struct cli_reply reply;
    ask.has_db = ask.has_create = ask.create = true;
    ask.db = weir_field_id (&i->database);
    int code = i->body.len == 0 ? 0
                                : cli_call (i->c, WEIR_KIND_DB_IMPORT, &ask.base,
                                            weir_buf_bytes (&i->body), &reply);
    if (code == 0 && i->body.len > 0) {
        take_answer (i, (const Weir__DbImported *) reply.answer.meta);
        cli_reply_fini (&reply);
    }
    weir_buf_clear (&i->body);
    return code;
}

static int
send_runs (struct import *i, const struct weir_run *runs, size_t n)
{
    int code = 0;
    for (size_t k = 0; k < n && code == 0; k++) {
        if (i->body.len > 0 && i->body.len + runs[k].bytes.len > BODY_BYTES) {
            code = send_body (i);
        }
        weir_buf_put_bytes (&i->body, runs[k].bytes);
    }
    return code;
}

/* A file with a signature that is wrong is refused whole, before anything is sent. */
static enum weir_status
check_runs (const struct import *i, const struct weir_run *runs, size_t n, struct weir_error *e)
{
    for (size_t k = 0; k < n; k++) {
        if (weir_run_verify (&runs[k]) != WEIR_OK) {
            return weir_error_set (e, WEIR_BAD_SIGNATURE, NULL,
                                   "%s holds entries that their author did not sign", i->name);
        }
    }
    return WEIR_OK;
}

static int
show_import (struct import *i)
{
    struct weir_error e = { 0 };
    if (i->c->json) {
        cli_json (json_pack ("{s:s, s:o, s:b, s:o, s:o, s:o, s:o, s:o, s:O, s:O}", "file", i->name,
                             "database", id_json (&i->database), "created", (int) i->created,
                             "runs", cli_u64 (i->new_runs), "entries", cli_u64 (i->entries), "held",
                             cli_u64 (i->held), "unlocked", cli_u64 (i->unlocked), "refused",
                             cli_u64 (i->refused), "success", i->success, "pending", i->waiting));
    } else {
        size_t k;
        json_t *row;
        printf ("%s: %llu new entries in %s%s\n", i->name, (unsigned long long) i->entries,
                weir_id_text (&i->database).s, i->created ? " (new here)" : "");
        json_array_foreach (i->success, k, row)
        {
            printf ("  took   %s/%s:%lld-%lld\n",
                    json_string_value (json_object_get (row, "author")),
                    json_string_value (json_object_get (row, "lane")),
                    (long long) json_integer_value (json_object_get (row, "from")),
                    (long long) json_integer_value (json_object_get (row, "to")));
        }
        json_array_foreach (i->waiting, k, row)
        {
            printf ("  waits  %s/%s, entries %lld to %lld\n",
                    json_string_value (json_object_get (row, "author")),
                    json_string_value (json_object_get (row, "lane")),
                    (long long) json_integer_value (json_object_get (row, "from_seq")),
                    (long long) json_integer_value (json_object_get (row, "to_seq")) - 1);
        }
    }
    if (i->refused > 0) {
        weir_error_set (&e, i->why, NULL, "%s: %llu runs were refused: %s", i->name,
                        (unsigned long long) i->refused, weir_status_code (i->why));
        return cli_fail (i->c, &e);
    }
    return 0;
}

static int
import_open (struct import *i, struct weir_export_reader *reader)
{
    const struct weir_export_info *info = weir_export_info (reader);
    struct weir_export_runs runs = { 0 };
    struct weir_error e = { 0 };
    i->database = info->database;
    enum weir_status status = WEIR_OK;
    if (info->mode == WEIR_EXPORT_SHALLOW) {
        status = weir_error_set (&e, WEIR_UNSUPPORTED,
                                 "a node holds whole histories: import a snapshot, or join; the "
                                 "library takes shallow ones",
                                 "%s is a shallow snapshot", i->name);
    }
    if (status == WEIR_OK) {
        status = weir_export_read_runs (reader, &runs, &e);
    }
    if (status == WEIR_OK) {
        status = check_runs (i, runs.runs, runs.n_runs, &e);
    }
    if (status == WEIR_OK) {
        status = check_runs (i, runs.pending, runs.n_pending, &e);
    }
    if (status != WEIR_OK) {
        return cli_fail (i->c, &e);
    }
    int code = send_runs (i, runs.runs, runs.n_runs);
    if (code == 0) {
        code = send_runs (i, runs.pending, runs.n_pending);
    }
    if (code == 0) {
        code = send_body (i);
    }
    return code == 0 ? show_import (i) : code;
}

static int
import_file (struct cli *c, const char *name)
{
    struct import i = { .c = c, .name = name };
    struct weir_export_reader *reader = NULL;
    struct weir_error e = { 0 };
    struct weir_buf blob = { 0 };
    int code = 0;
    i.success = json_array ();
    i.waiting = json_array ();
    enum weir_status status = read_file (name, &blob, &e);
    if (status == WEIR_OK) {
        status = weir_export_open (&reader, weir_buf_bytes (&blob), 0, &e);
    }
    if (status != WEIR_OK) {
        code = cli_fail (c, &e);
    } else if (cli_option (c, "info") != NULL) {
        json_t *info = info_json (name, weir_export_info (reader));
        json_dumpf (info, stdout, c->json ? JSON_COMPACT : JSON_INDENT (2));
        putchar ('\n');
        json_decref (info);
    } else {
        code = import_open (&i, reader);
    }
    weir_export_close (&reader);
    weir_buf_fini (&blob);
    weir_buf_fini (&i.body);
    json_decref (i.success);
    json_decref (i.waiting);
    return code;
}

/* Files one after the other: what is wrong with one is told, and the others are taken. */
int
cli_db_import (struct cli *c)
{
    struct weir_error e = { 0 };
    int code = 0;
    if (cli_option (c, "info") == NULL) {
        const char *socket = c->socket != NULL ? c->socket : c->paths.control;
        if (weir_client_open (&c->client, socket, c->timeout_ms, &e) != WEIR_OK) {
            return cli_fail (c, &e);
        }
    }
    if (cli_option (c, "timeout") == NULL) {
        c->timeout_ms = FILE_TIMEOUT_MS;
    }
    for (size_t i = 0; i < c->n_args; i++) {
        int one = import_file (c, c->args[i]);
        code = code == 0 ? one : code;
    }
    return code;
}
