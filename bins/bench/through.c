/* From one device through a server to another: the work that tests/bench/rivals/sync.mjs gives to
 * other systems, in nodes of this one. Every update is a commit of its own: sealed and durable on
 * the writer, verified and durable on the server and on the reader before it counts. */

#include <stdlib.h>
#include <string.h>

#include "bins/bench/bench.h"

#define WAIT_MS 600000u

struct through {
    struct bench_node server;
    struct bench_node a;
    struct bench_node b;
    char db[WEIR_ID_TEXT + 1];
};

static void
start (struct bench *b, struct through *t)
{
    bench_node_init (b, &t->server, "server", "hub", "tcp://127.0.0.1:0");
    bench_node_init (b, &t->a, "a", "leaf", NULL);
    bench_node_init (b, &t->b, "b", "leaf", NULL);
    bench_node_start (b, &t->server);
    bench_node_start (b, &t->a);
    bench_node_start (b, &t->b);
}

static void
start_shared (struct bench *b, struct through *t)
{
    start (b, t);
    bench_create_db (&t->server, "bench", t->db);
    bench_join (&t->server, &t->a, t->db);
    bench_join (&t->server, &t->b, t->db);
    bench_wait_synced (&t->server, t->db, 20000);
}

static void
stop (struct through *t)
{
    bench_node_stop (&t->a);
    bench_node_stop (&t->b);
    bench_node_stop (&t->server);
}

/* One by one: the next when the reader's feed has shown the last. */
static void
live (struct bench *b, uint64_t updates)
{
    struct through t;
    char token[64] = "";
    uint64_t *us = weir_alloc (updates * sizeof *us);
    start_shared (b, &t);
    (void) bench_one_way (&t.a, &t.b, t.db, updates, token); /* opens the transfers */
    uint64_t began = bench_now_us ();
    for (uint64_t i = 0; i < updates; i++) {
        us[i] = bench_one_way (&t.a, &t.b, t.db, i, token);
    }
    double seconds = (double) (bench_now_us () - began) / 1e6;
    stop (&t);
    bench_print (b, json_pack ("{s:s, s:s, s:I, s:b, s:f, s:f, s:f}", "system", "weir", "case",
                               "live", "updates", (json_int_t) updates, "finished", 1, "p50_ms",
                               bench_percentile_ms (us, updates, 0.50), "p99_ms",
                               bench_percentile_ms (us, updates, 0.99), "updates_per_second",
                               (double) updates / seconds));
    free (us);
}

/* As fast as the writer commits them; and how long until the server has acknowledged them. */
static void
burst (struct bench *b, uint64_t updates)
{
    struct through t;
    start_shared (b, &t);
    uint64_t want = bench_entries (&t.b, t.db) + updates;
    uint64_t began = bench_now_us ();
    double written = bench_apply (&t.a, t.db, 0, updates, b->payload);
    bench_wait_entries (&t.b, t.db, want, WAIT_MS);
    double seconds = (double) (bench_now_us () - began) / 1e6;
    bench_wait_synced (&t.a, t.db, WAIT_MS);
    double acknowledged = (double) (bench_now_us () - began) / 1e6;
    double mb = (double) bench_pss_kb (&t.server, NULL) / 1024.0;
    stop (&t);
    bench_print (b, json_pack ("{s:s, s:s, s:I, s:b, s:f, s:f, s:f, s:f, s:f}", "system", "weir",
                               "case", "burst", "updates", (json_int_t) updates, "finished", 1,
                               "seconds", seconds, "updates_per_second", (double) updates / seconds,
                               "written_seconds", written, "acknowledged_seconds", acknowledged,
                               "server_mb", mb));
}

/* Many databases that did not change: the link ends and is made again. */
static void
reconnect (struct bench *b, uint64_t databases)
{
    struct through t;
    char db[WEIR_ID_TEXT + 1];
    char name[32];
    start (b, &t);
    for (uint64_t i = 0; i < databases; i++) {
        snprintf (name, sizeof name, "document-%llu", (unsigned long long) i);
        bench_create_db (&t.server, name, db);
        (void) bench_apply (&t.server, db, 0, 1, 8);
        bench_join (&t.server, &t.a, db);
    }
    bench_wait_synced (&t.a, "", WAIT_MS);
    bench_transport (&t.a, false);
    uint64_t wire = bench_wire_bytes (&t.a);
    uint64_t began = bench_now_us ();
    bench_transport (&t.a, true);
    bench_wait_synced (&t.a, "", WAIT_MS);
    double seconds = (double) (bench_now_us () - began) / 1e6;
    uint64_t bytes = bench_wire_bytes (&t.a) - wire;
    stop (&t);
    bench_print (b, json_pack ("{s:s, s:s, s:I, s:b, s:f, s:I}", "system", "weir", "case",
                               "reconnect", "documents", (json_int_t) databases, "finished", 1,
                               "seconds", seconds, "bytes", (json_int_t) bytes));
}

/* Until it has heard that the other is a member, and where it listens, it cannot. */
static void
relate (struct bench_node *from, const char *to, const char *db)
{
    Weir__Relationship ask = WEIR__RELATIONSHIP__INIT;
    struct weir_client_answer answer;
    struct weir_error e = { 0 };
    enum weir_status status = WEIR_NOT_FOUND;
    uint64_t until = bench_now_us () + 20000000u;
    ask.has_db = ask.has_peer = true;
    ask.db = weir_field_str (db);
    ask.peer = weir_field_str (to);
    while ((status = weir_client_call (from->client, WEIR_KIND_SYNC_RELATE, &ask.base,
                                       weir_bytes (NULL, 0), 10000, &answer, &e))
           != WEIR_OK) {
        if ((status != WEIR_NOT_FOUND && status != WEIR_NOT_MEMBER) || bench_now_us () > until) {
            bench_die ("sync add: %s", e.what);
        }
        bench_pause_us (10000);
    }
    weir_client_answer_fini (&answer);
}

/* Three hubs, each with the other two. */
static void
triangle (struct bench *b, uint64_t updates)
{
    struct through t;
    bench_node_init (b, &t.server, "server", "hub", "tcp://127.0.0.1:0");
    bench_node_init (b, &t.a, "a", "hub", "tcp://127.0.0.1:0");
    bench_node_init (b, &t.b, "b", "hub", "tcp://127.0.0.1:0");
    bench_node_start (b, &t.server);
    bench_node_start (b, &t.a);
    bench_node_start (b, &t.b);
    bench_create_db (&t.server, "bench", t.db);
    bench_join (&t.server, &t.a, t.db);
    bench_join (&t.server, &t.b, t.db);
    relate (&t.a, "b", t.db);
    relate (&t.b, "a", t.db);
    bench_wait_synced (&t.a, t.db, 20000);
    bench_wait_synced (&t.b, t.db, 20000);
    bench_wait_synced (&t.server, t.db, 20000);
    uint64_t want = bench_entries (&t.b, t.db) + updates;
    uint64_t wire =
        bench_wire_bytes (&t.a) + bench_wire_bytes (&t.b) + bench_wire_bytes (&t.server);
    uint64_t began = bench_now_us ();
    (void) bench_apply (&t.a, t.db, 0, updates, b->payload);
    bench_wait_entries (&t.b, t.db, want, WAIT_MS);
    bench_wait_entries (&t.server, t.db, want, WAIT_MS);
    double seconds = (double) (bench_now_us () - began) / 1e6;
    uint64_t moved =
        bench_wire_bytes (&t.a) + bench_wire_bytes (&t.b) + bench_wire_bytes (&t.server) - wire;
    stop (&t);
    /* Each byte was counted by who sent it and by who received it. */
    bench_print (b, json_pack ("{s:s, s:s, s:I, s:b, s:f, s:f, s:f}", "system", "weir", "case",
                               "triangle", "updates", (json_int_t) updates, "finished", 1,
                               "seconds", seconds, "updates_per_second", (double) updates / seconds,
                               "bytes_per_update", (double) moved / 2.0 / (double) updates));
}

void
bench_through (struct bench *b)
{
    const char *which = b->topology != NULL ? b->topology : "burst";
    uint64_t updates = b->entries > 0 ? b->entries : 10000;
    if (strcmp (which, "live") == 0) {
        live (b, updates);
    } else if (strcmp (which, "burst") == 0) {
        burst (b, updates);
    } else if (strcmp (which, "reconnect") == 0) {
        reconnect (b, b->databases > 0 ? b->databases : 1000);
    } else if (strcmp (which, "triangle") == 0) {
        triangle (b, updates);
    } else {
        bench_die ("--topology is live, burst, reconnect or triangle");
    }
}
