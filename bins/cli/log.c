/* weir doc log, weir trace: entries as they were committed, with every field that a Change of Loro
 * has. */

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bins/cli/cli.h"

static json_t *
log_json (const Weir__LogEntry *m)
{
    static const char *const kinds[] = { "genesis", "data", "settings", "merge" };
    json_t *deps = json_array ();
    for (size_t i = 0; i < m->n_deps; i++) {
        json_array_append_new (deps, cli_id (true, m->deps[i]));
    }
    json_t *out = json_pack (
        "{s:o, s:o, s:o, s:o, s:o, s:i, s:o, s:s, s:o, s:o, s:o, s:i}", "id",
        cli_id (m->has_id, m->id), "author", cli_id (m->has_author, m->author), "lane",
        cli_hex64 (m->lane), "seq", cli_u64 (m->seq), "lamport", cli_u64 (m->lamport), "ops",
        (int) m->ops, "clock_ms", cli_u64 (m->clock_ms), "kind",
        m->kind < 4 ? kinds[m->kind] : "unknown", "prev", cli_id (m->has_prev, m->prev), "deps",
        deps, "message", cli_text (m->has_message, m->message), "bytes", (int) m->bytes);
    /* As a Loro Change has them: (author and lane, counter) is its id, seconds are its time. */
    json_object_set_new (out, "counter", m->has_counter ? cli_u64 (m->counter) : json_null ());
    json_object_set_new (out, "length", json_integer ((json_int_t) m->ops));
    json_object_set_new (out, "timestamp", cli_u64 (m->clock_ms / 1000u));
    json_object_set_new (out, "inert",
                         m->inert == 0
                             ? json_null ()
                             : json_string (weir_status_code (weir_status_from_number (m->inert))));
    if (m->has_ops_json) {
        json_t *ops = json_loadb ((const char *) m->ops_json.data, m->ops_json.len, 0, NULL);
        json_object_set_new (out, "change", ops != NULL ? ops : json_null ());
    }
    return out;
}

static void
show_log_entry (const Weir__LogEntry *m)
{
    json_t *row = log_json (m);
    char when[32] = "-";
    time_t seconds = (time_t) (m->clock_ms / 1000u);
    struct tm tm;
    if (m->clock_ms > 0 && gmtime_r (&seconds, &tm) != NULL) {
        strftime (when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm);
    }
    printf ("%.13s  %s  %-8s by %.13s  seq %llu  ops %u  ",
            json_string_value (json_object_get (row, "id")), when,
            json_string_value (json_object_get (row, "kind")),
            json_string_value (json_object_get (row, "author")), (unsigned long long) m->seq,
            m->ops);
    cli_put (stdout, json_string_value (json_object_get (row, "message")));
    if (m->inert != 0) {
        printf ("  inert: %s", weir_status_code (weir_status_from_number (m->inert)));
    }
    putchar ('\n');
    json_decref (row);
}

int
cli_doc_log (struct cli *c)
{
    struct weir_error e = { 0 };
    const char *limit_text = cli_option (c, "limit");
    uint64_t left = limit_text == NULL && !c->json ? 20 : UINT64_MAX;
    uint64_t before = 0;
    if (limit_text != NULL && cli_number (limit_text, UINT64_MAX, &left, &e) != WEIR_OK) {
        return cli_fail (c, &e);
    }
    while (left > 0) {
        Weir__DocLogAsk ask = WEIR__DOC_LOG_ASK__INIT;
        struct cli_reply reply;
        ask.has_db = ask.has_limit = true;
        ask.db = weir_field_str (c->args[0]);
        ask.limit = left < 256 ? (uint32_t) left : 256;
        ask.has_before = before > 0;
        ask.before = before;
        int code = cli_call (c, WEIR_KIND_DOC_LOG, &ask.base, weir_bytes (NULL, 0), &reply);
        if (code != 0) {
            return code;
        }
        const Weir__DocLog *m = (const Weir__DocLog *) reply.answer.meta;
        for (size_t i = 0; i < m->n_items; i++) {
            if (c->json) {
                cli_json (log_json (m->items[i])); /* NDJSON */
            } else {
                show_log_entry (m->items[i]);
            }
        }
        left -= m->n_items < left ? m->n_items : left;
        before = m->before;
        bool more = before > 0 && m->n_items > 0;
        cli_reply_fini (&reply);
        if (!more) {
            break;
        }
    }
    return 0;
}

int
cli_trace (struct cli *c)
{
    Weir__EntryAsk ask = WEIR__ENTRY_ASK__INIT;
    struct cli_reply reply;
    const char *db = cli_option (c, "db");
    ask.has_entry = true;
    ask.entry = weir_field_str (c->args[0]);
    ask.has_db = db != NULL;
    ask.db = weir_field_str (db);
    int code = cli_call (c, WEIR_KIND_ENTRY_SHOW, &ask.base, weir_bytes (NULL, 0), &reply);
    if (code != 0) {
        return code;
    }
    const Weir__DocLog *m = (const Weir__DocLog *) reply.answer.meta;
    if (m->n_items == 1) {
        json_t *row = log_json (m->items[0]);
        json_dumpf (row, stdout, c->json ? JSON_COMPACT : JSON_INDENT (2));
        putchar ('\n');
        json_decref (row);
    }
    cli_reply_fini (&reply);
    return 0;
}
