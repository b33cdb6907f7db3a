/* weir doc diff, revert, watch, and what says which version is meant: ids of entries, or the
 * beginnings of some, with commas between them. */

#include <stdlib.h>
#include <string.h>

#include "bins/cli/cli.h"

#define WATCH_POLL_MS 20000u

/* ---- versions ---- */

size_t
cli_heads (const char *text, ProtobufCBinaryData **out)
{
    size_t n = 0;
    size_t cap = 0;
    *out = NULL;
    for (const char *p = text; p != NULL && *p != '\0';) {
        size_t len = strcspn (p, ", ");
        if (len > 0) {
            weir_grow (out, &cap, n + 1, sizeof **out);
            (*out)[n++] = weir_field_of (weir_bytes (p, len));
        }
        p += len + strspn (p + len, ", ");
    }
    return n;
}

/* For requests where no heads would mean the newest version, which was not meant. */
static int
named_heads (struct cli *c, const char *text, ProtobufCBinaryData **out, size_t *n)
{
    *n = cli_heads (text, out);
    return *n > 0 ? 0
                  : cli_fail_status (c, WEIR_USAGE,
                                     "a version is ids of entries, with commas between them");
}

/* ---- diff ---- */

static int
ask_diff (struct cli *c, const Weir__DocDiffAsk *ask, json_t **out)
{
    struct cli_reply reply;
    int code = cli_call (c, WEIR_KIND_DOC_DIFF, &ask->base, weir_bytes (NULL, 0), &reply);
    if (code != 0) {
        return code;
    }
    *out = json_loadb ((const char *) reply.body.data, reply.body.len, JSON_DECODE_ANY, NULL);
    cli_reply_fini (&reply);
    return *out != NULL ? 0 : cli_fail_status (c, WEIR_BAD_MESSAGE, "the answer is no JSON");
}

int
cli_doc_diff (struct cli *c)
{
    Weir__DocDiffAsk ask = WEIR__DOC_DIFF_ASK__INIT;
    json_t *diff = NULL;
    ask.has_db = true;
    ask.db = weir_field_str (c->args[0]);
    int code = named_heads (c, c->args[1], &ask.from, &ask.n_from);
    if (code == 0 && c->n_args > 2) {
        code = named_heads (c, c->args[2], &ask.to, &ask.n_to);
    }
    if (code == 0) {
        code = ask_diff (c, &ask, &diff);
    }
    if (code == 0 && c->json) {
        cli_json (json_pack ("{s:O}", "diff", diff));
    } else if (code == 0) {
        json_dumpf (diff, stdout, JSON_INDENT (2));
        putchar ('\n');
    }
    json_decref (diff);
    free (ask.from);
    free (ask.to);
    return code;
}

/* ---- revert ---- */

int
cli_doc_revert (struct cli *c)
{
    Weir__DocRevert ask = WEIR__DOC_REVERT__INIT;
    struct cli_reply reply;
    const char *text = cli_option (c, "message");
    ask.has_db = ask.has_client = ask.has_number = true;
    ask.db = weir_field_str (c->args[0]);
    ask.has_message = text != NULL;
    ask.message = weir_field_str (text);
    ask.client = weir_field_of (weir_client_id (c->client));
    ask.number = weir_client_number (c->client);
    int code = named_heads (c, c->args[1], &ask.heads, &ask.n_heads);
    if (code == 0) {
        code = cli_call (c, WEIR_KIND_DOC_REVERT, &ask.base, weir_bytes (NULL, 0), &reply);
    }
    free (ask.heads);
    if (code == 0) {
        const Weir__EntryId *m = (const Weir__EntryId *) reply.answer.meta;
        json_t *id = cli_id (m->has_id, m->id);
        if (c->json) {
            cli_json (json_pack ("{s:O, s:b}", "entry", id, "changed", !m->unchanged));
        } else if (!c->quiet && m->has_id) {
            puts (json_string_value (id));
        }
        json_decref (id);
        cli_reply_fini (&reply);
    }
    return code;
}

/* ---- watch ---- */

static int
read_heads (struct cli *c, json_t **heads)
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
    *heads = json_array ();
    for (size_t i = 0; i < m->n_heads; i++) {
        json_array_append_new (*heads, cli_id (true, m->heads[i]));
    }
    cli_reply_fini (&reply);
    return 0;
}

static ProtobufCBinaryData *
heads_fields (const json_t *heads, size_t *n)
{
    ProtobufCBinaryData *fields = weir_alloc ((json_array_size (heads) + 1) * sizeof *fields);
    *n = json_array_size (heads);
    for (size_t i = 0; i < *n; i++) {
        fields[i] = weir_field_str (json_string_value (json_array_get (heads, i)));
    }
    return fields;
}

/* Waits for commits behind *token, which moves on. *any: some came. */
static int
wait_commits (struct cli *c, char *token, size_t size, uint32_t ms, bool *any)
{
    Weir__DbWatch ask = WEIR__DB_WATCH__INIT;
    struct cli_reply reply;
    ask.has_db = ask.has_since = ask.has_now = ask.has_ms = true;
    ask.db = weir_field_str (c->args[0]);
    ask.since = weir_field_str (token);
    ask.now = token[0] == '\0';
    ask.ms = ms;
    int code = cli_call (c, WEIR_KIND_DB_WATCH, &ask.base, weir_bytes (NULL, 0), &reply);
    if (code != 0) {
        return code;
    }
    const Weir__CommitEvents *m = (const Weir__CommitEvents *) reply.answer.meta;
    *any = m->n_items > 0 || m->gap; /* a gap is none here: what is told goes from heads to heads */
    weir_ignore (weir_field_get_text (token, size - 1, m->has_token, m->token));
    cli_reply_fini (&reply);
    return 0;
}

static bool
is_below (const char *path, const char *above)
{
    size_t len = strlen (above);
    return strncmp (path, above, len) == 0 && (path[len] == '\0' || path[len] == '/');
}

/* Of a diff what is at or below a path, or has it inside. */
static json_t *
rows_at (const json_t *diff, const char *path)
{
    json_t *rows = json_array ();
    size_t i;
    json_t *row;
    json_array_foreach (diff, i, row)
    {
        const char *at = json_string_value (json_object_get (row, "path"));
        if (at == NULL || is_below (at, path)) {
            json_array_append (rows, row);
            continue;
        }
        /* Of a container above, only what it says of the key on the way. */
        const json_t *map = json_object_get (row, "diff");
        if (!is_below (path, at) || !json_is_object (map)) {
            if (is_below (path, at)) {
                json_array_append (rows, row);
            }
            continue;
        }
        const char *key = path + strlen (at) + 1;
        size_t len = strcspn (key, "/");
        char *text = json_dumps (map, JSON_COMPACT);
        char *want = weir_alloc (len + 3);
        memcpy (want + 1, key, len);
        want[0] = want[len + 1] = '"';
        if (text != NULL && strstr (text, want) != NULL) {
            json_array_append (rows, row);
        }
        free (want);
        free (text);
    }
    return rows;
}

/* Tells what lies between two versions; *told: there was something. */
static int
tell (struct cli *c, const json_t *from, const json_t *to, bool *told)
{
    Weir__DocDiffAsk ask = WEIR__DOC_DIFF_ASK__INIT;
    json_t *diff = NULL;
    ask.has_db = true;
    ask.db = weir_field_str (c->args[0]);
    ask.from = heads_fields (from, &ask.n_from);
    ask.to = heads_fields (to, &ask.n_to);
    int code = ask_diff (c, &ask, &diff);
    if (code == 0 && c->n_args > 1 && c->args[1][0] != '\0') {
        json_t *rows = rows_at (diff, c->args[1]);
        json_decref (diff);
        diff = rows;
    }
    *told = code == 0 && json_array_size (diff) > 0;
    if (*told) {
        cli_json (json_pack ("{s:O, s:O, s:O}", "from", from, "to", to, "diff", diff));
        fflush (stdout);
    }
    json_decref (diff);
    free (ask.from);
    free (ask.to);
    return code;
}

int
cli_doc_watch (struct cli *c)
{
    const char *count_text = cli_option (c, "count");
    struct weir_error e = { 0 };
    uint64_t count = UINT64_MAX;
    json_t *heads = NULL;
    char token[64] = "";
    bool any = false;
    if (count_text != NULL && cli_number (count_text, UINT64_MAX, &count, &e) != WEIR_OK) {
        return cli_fail (c, &e);
    }
    if (c->n_args > 1 && c->args[1][0] != '\0' && c->args[1][0] != '/') {
        weir_error_set (&e, WEIR_INVALID_PATH, NULL, "the path %s does not begin with /",
                        c->args[1]);
        return cli_fail (c, &e);
    }
    c->timeout_ms = WATCH_POLL_MS + 10000u;
    int code = wait_commits (c, token, sizeof token, 0, &any);
    if (code == 0) {
        code = read_heads (c, &heads);
    }
    while (code == 0 && count > 0) {
        json_t *now = NULL;
        bool told = false;
        code = wait_commits (c, token, sizeof token, WATCH_POLL_MS, &any);
        if (code == 0 && any) {
            code = read_heads (c, &now);
        }
        if (code == 0 && now != NULL && !json_equal (now, heads)) {
            code = tell (c, heads, now, &told);
            json_decref (heads);
            heads = json_incref (now);
        }
        count -= told ? 1 : 0;
        json_decref (now);
    }
    json_decref (heads);
    return code;
}
