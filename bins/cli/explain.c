/* weir sync explain and sync history, and what the figures of a peer look like. */

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bins/cli/cli.h"

/* ---- figures ---- */

json_t *
cli_figures_json (const Weir__Figures *m)
{
    if (m == NULL) {
        return json_null ();
    }
    json_t *buckets = json_array ();
    for (size_t i = 0; i < m->n_ack_buckets; i++) {
        json_array_append_new (buckets, cli_u64 (m->ack_buckets[i]));
    }
    return json_pack ("{s:o, s:f, s:f, s:f, s:f, s:o, s:o, s:o, s:o, s:o, s:o, s:f, s:f, s:o}",
                      "peer", cli_id (m->has_device, m->device), "out_entries_per_s", m->out_per_s,
                      "in_entries_per_s", m->in_per_s, "out_bytes_per_s", m->out_bytes_per_s,
                      "in_bytes_per_s", m->in_bytes_per_s, "out_entries", cli_u64 (m->out_entries),
                      "in_entries", cli_u64 (m->in_entries), "out_bytes", cli_u64 (m->out_bytes),
                      "in_bytes", cli_u64 (m->in_bytes), "again_entries", cli_u64 (m->again),
                      "acks", cli_u64 (m->acks), "ack_p50_ms", (double) m->ack_p50_us / 1000.0,
                      "ack_p99_ms", (double) m->ack_p99_us / 1000.0, "ack_buckets", buckets);
}

/* ---- explain ---- */

static json_t *
explained_json (const Weir__Explained *m)
{
    json_t *out = json_pack (
        "{s:o, s:o, s:o, s:o, s:b, s:o, s:o, s:o, s:o, s:o, s:s}", "peer",
        cli_id (m->has_device, m->device), "peer_name", cli_text (m->has_peer_name, m->peer_name),
        "db", cli_id (m->has_db, m->db), "db_name", cli_text (m->has_db_name, m->db_name),
        "in_sync", (int) m->in_sync, "code", cli_text (m->has_code, m->code), "sentence",
        cli_text (m->has_sentence, m->sentence), "hint", cli_text (m->has_hint, m->hint),
        "lag_entries", m->lag_known ? cli_u64 (m->lag_entries) : json_null (), "lag_oldest_ms",
        m->lag_known ? cli_u64 (m->lag_oldest_ms) : json_null (), "error",
        m->error == 0 ? "" : weir_status_code (weir_status_from_number (m->error)));
    if (m->has_since_ms) {
        json_object_set_new (out, "since_ms", cli_u64 (m->since_ms));
    }
    if (m->has_done_entries) {
        json_object_set_new (out, "done_entries", cli_u64 (m->done_entries));
        json_object_set_new (out, "entries_per_s", json_real (m->entries_per_s));
    }
    if (m->has_attempts) {
        json_object_set_new (out, "attempts", cli_u64 (m->attempts));
        json_object_set_new (out, "next_ms", m->has_next_ms ? cli_u64 (m->next_ms) : json_null ());
    }
    return out;
}

static void
show_words (const json_t *object)
{
    const char *hint = cli_text_of (object, "hint");
    cli_put (stdout, cli_text_of (object, "sentence"));
    putchar ('\n');
    if (hint[0] != '\0') {
        fputs ("    hint: ", stdout);
        cli_put (stdout, hint);
        putchar ('\n');
    }
}

static void
show_peer (const json_t *peer)
{
    const json_t *lag = json_object_get (peer, "lag_entries");
    show_words (peer);
    if (!json_is_true (json_object_get (peer, "in_sync")) && json_is_integer (lag)
        && json_integer_value (lag) > 0) {
        char age[32];
        long long n = (long long) json_integer_value (lag);
        json_int_t oldest = json_integer_value (json_object_get (peer, "lag_oldest_ms"));
        printf ("    it lacks %lld %s of what is here, the oldest for %s\n", n,
                n == 1 ? "entry" : "entries", cli_ms_text ((uint64_t) oldest, age));
    }
}

static json_t *
remark_json (const Weir__Remark *m)
{
    return json_pack ("{s:o, s:o, s:o}", "code", cli_text (m->has_code, m->code), "sentence",
                      cli_text (m->has_sentence, m->sentence), "hint",
                      cli_text (m->has_hint, m->hint));
}

int
cli_sync_explain (struct cli *c)
{
    Weir__SyncAsk ask = WEIR__SYNC_ASK__INIT;
    struct cli_reply reply;
    const char *peer = cli_option (c, "peer");
    ask.has_db = true;
    ask.db = weir_field_str (c->args[0]);
    ask.has_peer = peer != NULL;
    ask.peer = weir_field_str (peer);
    int code = cli_call (c, WEIR_KIND_SYNC_EXPLAIN, &ask.base, weir_bytes (NULL, 0), &reply);
    if (code != 0) {
        return code;
    }
    const Weir__SyncExplained *m = (const Weir__SyncExplained *) reply.answer.meta;
    json_t *peers = json_array ();
    json_t *remarks = json_array ();
    for (size_t i = 0; i < m->n_items; i++) {
        json_t *item = explained_json (m->items[i]);
        if (!c->json) {
            show_peer (item);
        }
        json_array_append_new (peers, item);
    }
    for (size_t i = 0; i < m->n_remarks; i++) {
        json_t *remark = remark_json (m->remarks[i]);
        bool said = false;
        for (size_t k = 0; k < m->n_items && !said; k++) {
            said =
                weir_bytes_equal (weir_field (m->items[k]->code), weir_field (m->remarks[i]->code));
        }
        if (!c->json && !said) {
            show_words (remark);
        }
        json_array_append_new (remarks, remark);
    }
    if (c->json) {
        cli_json (json_pack ("{s:O, s:b, s:O}", "peers", peers, "in_sync", (int) m->in_sync,
                             "remarks", remarks));
    }
    json_decref (peers);
    json_decref (remarks);
    cli_reply_fini (&reply);
    return 0;
}

/* ---- history ---- */

static json_t *
history_json (const Weir__HistoryRow *m)
{
    const char *result = m->open && m->status != 0 ? "running"
                         : m->status == 0          ? "ok"
                                          : weir_status_code (weir_status_from_number (m->status));
    return json_pack ("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:b}",
                      "started_ms", cli_u64 (m->started_ms), "ms", cli_u64 (m->ms), "peer",
                      cli_id (m->has_device, m->device), "peer_name",
                      cli_text (m->has_peer_name, m->peer_name), "db", cli_id (m->has_db, m->db),
                      "db_name", cli_text (m->has_db_name, m->db_name), "out_entries",
                      cli_u64 (m->out_entries), "in_entries", cli_u64 (m->in_entries), "out_bytes",
                      cli_u64 (m->out_bytes), "in_bytes", cli_u64 (m->in_bytes), "again_entries",
                      cli_u64 (m->again), "result", result, "open", (int) m->open);
}

static void
show_past (const Weir__HistoryRow *m, const json_t *row)
{
    char when[32] = "";
    char took[32];
    char out[32];
    char in[32];
    time_t seconds = (time_t) (m->started_ms / 1000u);
    struct tm tm;
    if (localtime_r (&seconds, &tm) != NULL) {
        strftime (when, sizeof when, "%Y-%m-%d %H:%M:%S", &tm);
    }
    printf ("%s %-10s ", when, cli_ms_text (m->ms, took));
    cli_put (stdout, cli_text_of (row, "db_name"));
    putchar (' ');
    cli_put (stdout, cli_text_of (row, "peer_name"));
    printf ("  out %llu (%s), in %llu (%s)  %s\n", (unsigned long long) m->out_entries,
            cli_bytes_text (m->out_bytes, out), (unsigned long long) m->in_entries,
            cli_bytes_text (m->in_bytes, in), cli_text_of (row, "result"));
}

int
cli_sync_history (struct cli *c)
{
    Weir__HistoryAsk ask = WEIR__HISTORY_ASK__INIT;
    struct cli_reply reply;
    struct weir_error e = { 0 };
    const char *peer = cli_option (c, "peer");
    const char *limit = cli_option (c, "limit");
    uint64_t n = 0;
    if (limit != NULL && cli_number (limit, UINT32_MAX, &n, &e) != WEIR_OK) {
        return cli_fail (c, &e);
    }
    ask.has_db = c->n_args > 0;
    ask.db = weir_field_str (c->n_args > 0 ? c->args[0] : NULL);
    ask.has_peer = peer != NULL;
    ask.peer = weir_field_str (peer);
    ask.has_limit = limit != NULL;
    ask.limit = (uint32_t) n;
    int code = cli_call (c, WEIR_KIND_SYNC_HISTORY, &ask.base, weir_bytes (NULL, 0), &reply);
    if (code != 0) {
        return code;
    }
    const Weir__SyncHistory *m = (const Weir__SyncHistory *) reply.answer.meta;
    json_t *rows = json_array ();
    for (size_t i = 0; i < m->n_rows; i++) {
        json_t *row = history_json (m->rows[i]);
        if (!c->json) {
            show_past (m->rows[i], row);
        }
        json_array_append_new (rows, row);
    }
    if (c->json) {
        cli_json (json_pack ("{s:O}", "rows", rows));
    }
    json_decref (rows);
    cli_reply_fini (&reply);
    return 0;
}
