/* A third node joins and clones: one author's history, or two by turns. The clock runs from before
 * the ticket is made until all of it is durable there and the writer has heard so. */

#include "bins/bench/bench.h"
#include "bins/bench/turns.h"

#define PATIENCE_MS 600000u

void
bench_clone (struct bench *b)
{
    struct bench_node a;
    struct bench_node c;
    char db[WEIR_ID_TEXT + 1];
    uint64_t entries = b->entries > 0 ? b->entries : b->turns ? 20000 : 200000;
    bench_node_init (b, &a, "writer", "hub", "tcp://127.0.0.1:0");
    bench_node_init (b, &c, "cloner", "leaf", NULL);
    if (b->turns) {
        bench_turns_make (&a, entries, b->payload, db);
    }
    bench_node_start (b, &a);
    bench_node_start (b, &c);
    if (!b->turns) {
        bench_create_db (&a, "bench", db);
        (void) bench_apply (&a, db, 0, entries, b->payload);
    }
    uint64_t want = bench_entries (&a, db) + 1; /* the join's own settings entry */
    uint64_t wire = bench_wire_bytes (&c);
    uint64_t started = bench_now_us ();
    bench_join (&a, &c, db);
    bench_wait_entries (&c, db, want, PATIENCE_MS);
    bench_wait_synced (&a, db, PATIENCE_MS);
    double seconds = (double) (bench_now_us () - started) / 1e6;
    uint64_t moved = bench_wire_bytes (&c) - wire;
    bench_node_stop (&c);
    bench_node_stop (&a);
    bench_print (b, json_pack ("{s:I, s:I, s:b, s:f, s:f, s:f}", "entries", (json_int_t) want,
                               "payload", (json_int_t) b->payload, "turns", (int) b->turns,
                               "seconds", seconds, "entries_per_second", (double) want / seconds,
                               "wire_bytes_per_entry", (double) moved / (double) want));
}
