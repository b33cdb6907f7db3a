/* The benches of one node and of two: commit, sync, live, idle. */

#include "bins/bench/bench.h"

#include <stdlib.h>
#include <string.h>

#include "bins/bench/turns.h"

void
bench_print (struct bench *b, json_t *result)
{
    json_dumpf (result, stdout,
                (b->json ? JSON_COMPACT : JSON_INDENT (2)) | JSON_REAL_PRECISION (9));
    putchar ('\n');
    json_decref (result);
}

static int
compare_u64 (const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *) a;
    uint64_t y = *(const uint64_t *) b;
    return x < y ? -1 : x > y;
}

double
bench_percentile_ms (uint64_t *us, size_t n, double p)
{
    qsort (us, n, sizeof *us, compare_u64);
    size_t i = (size_t) (p * (double) (n - 1));
    return (double) us[i] / 1000.0;
}

void
bench_set_one (struct bench_node *n, const char *db, uint64_t i, const char *value)
{
    Weir__DocWrite ask = WEIR__DOC_WRITE__INIT;
    struct weir_client_answer answer;
    char path[64];
    snprintf (path, sizeof path, "/single/%08llu", (unsigned long long) i);
    ask.has_db = ask.has_path = ask.has_client = ask.has_number = true;
    ask.db = weir_field_str (db);
    ask.path = weir_field_str (path);
    ask.client = weir_field_of (weir_client_id (n->client));
    ask.number = weir_client_number (n->client);
    bench_call (n, WEIR_KIND_DOC_SET, &ask.base, weir_bytes_str (value), 60000, &answer);
    weir_client_answer_fini (&answer);
}

/* ---- commit ---- */

void
bench_commit (struct bench *b)
{
    struct bench_node n;
    char db[WEIR_ID_TEXT + 1];
    uint64_t entries = b->entries > 0 ? b->entries : 200000;
    uint64_t singles = b->samples > 0 ? b->samples : 1000;
    bench_node_init (b, &n, "node", "leaf", NULL);
    bench_node_start (b, &n);
    bench_create_db (&n, "bench", db);
    double seconds = bench_apply (&n, db, 0, entries, b->payload);
    uint64_t *us = weir_alloc (singles * sizeof *us);
    uint64_t started = bench_now_us ();
    for (uint64_t i = 0; i < singles; i++) {
        uint64_t t = bench_now_us ();
        bench_set_one (&n, db, i, "\"value\"");
        us[i] = bench_now_us () - t;
    }
    double single_seconds = (double) (bench_now_us () - started) / 1e6;
    uint64_t held = bench_entries (&n, db);
    if (held < entries + singles) {
        bench_die ("%llu entries are held, not %llu", (unsigned long long) held,
                   (unsigned long long) (entries + singles));
    }
    bench_node_stop (&n);
    bench_print (b, json_pack ("{s:I, s:I, s:f, s:f, s:f, s:f, s:f}", "entries",
                               (json_int_t) entries, "payload", (json_int_t) b->payload, "seconds",
                               seconds, "commits_per_second", (double) entries / seconds,
                               "single_commits_per_second", (double) singles / single_seconds,
                               "single_p50_ms", bench_percentile_ms (us, singles, 0.50),
                               "single_p99_ms", bench_percentile_ms (us, singles, 0.99)));
    free (us);
}

/* ---- sync ---- */

/* Two nodes in step; one's transport is stopped, the other writes, then the clock runs from the
 * transport's start (dialling and handshake included) until all is durable on both. */
static void
sync_catch_up (struct bench *b, uint64_t entries)
{
    struct bench_node a;
    struct bench_node c;
    char db[WEIR_ID_TEXT + 1];
    bench_node_init (b, &a, "writer", "hub", "tcp://127.0.0.1:0");
    bench_node_init (b, &c, "reader", "leaf", NULL);
    bench_node_start (b, &a);
    bench_node_start (b, &c);
    bench_create_db (&a, "bench", db);
    bench_join (&a, &c, db);
    bench_wait_synced (&a, db, 20000);
    bench_transport (&c, false);
    double write_seconds = bench_apply (&a, db, 0, entries, b->payload);
    uint64_t before = bench_entries (&c, db);
    uint64_t want = bench_entries (&a, db);
    uint64_t wire = bench_wire_bytes (&c);
    uint64_t started = bench_now_us ();
    bench_transport (&c, true);
    bench_wait_entries (&c, db, want, 120000);
    bench_wait_synced (&a, db, 60000); /* the durable acknowledgement is back at the writer */
    double seconds = (double) (bench_now_us () - started) / 1e6;
    uint64_t moved = bench_wire_bytes (&c) - wire;
    uint64_t got = bench_entries (&c, db) - before;
    bench_node_stop (&c);
    bench_node_stop (&a);
    bench_print (b, json_pack ("{s:I, s:I, s:f, s:f, s:f, s:f}", "entries", (json_int_t) got,
                               "payload", (json_int_t) b->payload, "seconds", seconds,
                               "entries_per_second", (double) got / seconds, "wire_bytes_per_entry",
                               (double) moved / (double) got, "write_seconds", write_seconds));
}

void
bench_sync (struct bench *b)
{
    if (b->turns) {
        bench_clone (b);
    } else {
        sync_catch_up (b, b->entries > 0 ? b->entries : 100000);
    }
}

/* ---- live ---- */

uint64_t
bench_one_way (struct bench_node *a, struct bench_node *c, const char *db, uint64_t i,
               char token[64])
{
    Weir__DbWatch watch = WEIR__DB_WATCH__INIT;
    struct weir_client_answer answer;
    struct weir_error e = { 0 };
    uint64_t request = 0;
    watch.has_db = watch.has_since = watch.has_now = watch.has_ms = true;
    watch.db = weir_field_str (db);
    watch.since = weir_field_str (token);
    watch.now = token[0] == '\0';
    watch.ms = 10000;
    if (weir_client_send (c->client, WEIR_KIND_DB_WATCH, &watch.base, weir_bytes (NULL, 0), 12000,
                          &request, &e)
        != WEIR_OK) {
        bench_die ("%s", e.what);
    }
    uint64_t started = bench_now_us ();
    bench_set_one (a, db, i, "\"live\"");
    if (weir_client_receive (c->client, 12000, &answer, &e) != WEIR_OK
        || answer.status != WEIR_OK) {
        bench_die ("db watch: %s", e.what);
    }
    uint64_t us = bench_now_us () - started;
    const Weir__CommitEvents *m = (const Weir__CommitEvents *) answer.meta;
    if (m->n_items == 0 || weir_field_get_text (token, 63, m->has_token, m->token) != WEIR_OK) {
        bench_die ("the entry did not come within 10 s");
    }
    weir_client_answer_fini (&answer);
    return us;
}

/* What so many authors made by turns, in advance, comes to one node and goes to the other as a hub
 * pushes it: both verify each entry's signature. */
static void
live_authors (struct bench *b, uint64_t entries)
{
    struct bench_node a;
    struct bench_node c;
    char db[WEIR_ID_TEXT + 1];
    struct weir_buf runs = { 0 };
    bench_node_init (b, &a, "writer", "hub", "tcp://127.0.0.1:0");
    bench_node_init (b, &c, "reader", "leaf", NULL);
    bench_authors_make (&a, b->authors, entries, b->payload, db, &runs);
    bench_node_start (b, &a);
    bench_node_start (b, &c);
    bench_join (&a, &c, db);
    bench_wait_synced (&a, db, 20000);
    uint64_t want = bench_entries (&a, db) + entries;
    uint64_t started = bench_now_us ();
    bench_import (&a, db, weir_buf_bytes (&runs));
    bench_wait_entries (&c, db, want, 120000);
    bench_wait_synced (&a, db, 60000);
    double seconds = (double) (bench_now_us () - started) / 1e6;
    bench_node_stop (&c);
    bench_node_stop (&a);
    bench_print (b, json_pack ("{s:I, s:I, s:f, s:f}", "authors", (json_int_t) b->authors,
                               "entries", (json_int_t) entries, "seconds", seconds,
                               "entries_per_second", (double) entries / seconds));
    weir_buf_fini (&runs);
}

static void
live_one (struct bench *b, uint64_t entries)
{
    struct bench_node a;
    struct bench_node c;
    char db[WEIR_ID_TEXT + 1];
    char token[64] = "";
    uint64_t samples = b->samples > 0 ? b->samples : 1000;
    bench_node_init (b, &a, "writer", "hub", "tcp://127.0.0.1:0");
    bench_node_init (b, &c, "reader", "leaf", NULL);
    bench_node_start (b, &a);
    bench_node_start (b, &c);
    bench_create_db (&a, "bench", db);
    bench_join (&a, &c, db);
    bench_wait_synced (&a, db, 20000);
    uint64_t *us = weir_alloc (samples * sizeof *us);
    (void) bench_one_way (&a, &c, db, 0, token); /* opens the transfer */
    for (uint64_t i = 0; i < samples; i++) {
        us[i] = bench_one_way (&a, &c, db, i + 1, token);
    }
    uint64_t want = bench_entries (&a, db) + entries;
    uint64_t started = bench_now_us ();
    (void) bench_apply (&a, db, 0, entries, b->payload);
    bench_wait_entries (&c, db, want, 120000);
    double seconds = (double) (bench_now_us () - started) / 1e6;
    bench_wait_synced (&a, db, 60000);
    bench_node_stop (&c);
    bench_node_stop (&a);
    double p50_ms = bench_percentile_ms (us, samples, 0.50); /* sorts */
    bench_print (b, json_pack ("{s:I, s:f, s:f, s:f, s:f}", "samples", (json_int_t) samples,
                               "p50_ms", p50_ms, "p99_ms", bench_percentile_ms (us, samples, 0.99),
                               "max_ms", (double) us[samples - 1] / 1000.0, "entries_per_second",
                               (double) entries / seconds));
    free (us);
}

void
bench_live (struct bench *b)
{
    if (b->authors > 0) {
        live_authors (b, b->entries > 0 ? b->entries : 20000);
    } else {
        live_one (b, b->entries > 0 ? b->entries : 100000);
    }
}

/* ---- idle ---- */

void
bench_idle (struct bench *b)
{
    struct bench_node n;
    char db[WEIR_ID_TEXT + 1];
    bench_node_init (b, &n, "node", "hub", "tcp://127.0.0.1:0");
    bench_node_start (b, &n);
    bench_create_db (&n, "bench", db);
    uint64_t kb = bench_pss_kb (&n, NULL);
    bench_node_stop (&n);
    bench_print (b, json_pack ("{s:f}", "pss_mb", (double) kb / 1024.0));
}
