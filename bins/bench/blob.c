/* A blob put on one node, fetched by another, and read there: MB/s of each. `--megabytes` is its
 * size (64). Random bytes, so that compression cannot make it look small; what is put is on
 * disk when its clock stops, and so is what is fetched. */

#include <string.h>

#include "bins/bench/bench.h"
#include "bins/bench/main.h"
#include "store/dag/blob.h"

#define BYTES_DEFAULT (64ull << 20)
#define PATIENCE_MS 600000u

static void
put (struct bench_node *n, const char *db, struct weir_rand *random, uint64_t bytes)
{
    struct weir_client_answer answer;
    struct weir_buf manifest = { 0 };
    struct weir_buf value = { 0 };
    uint8_t *part = weir_alloc (WEIR_BLOB_PART_BYTES);
    weir_manifest_begin (&manifest, bytes);
    for (uint64_t at = 0; at < bytes; at += WEIR_BLOB_PART_BYTES) {
        size_t len = bytes - at < WEIR_BLOB_PART_BYTES ? (size_t) (bytes - at)
                                                       : (size_t) WEIR_BLOB_PART_BYTES;
        Weir__BlobPart ask = WEIR__BLOB_PART__INIT;
        weir_rand_bytes (random, part, len);
        ask.has_db = true;
        ask.db = weir_field_str (db);
        bench_call (n, WEIR_KIND_BLOB_PART, &ask.base, weir_bytes (part, len), PATIENCE_MS,
                    &answer);
        const Weir__BlobParted *m = (const Weir__BlobParted *) answer.meta;
        weir_buf_put (&manifest, m->ids.data, m->ids.len);
        weir_client_answer_fini (&answer);
    }
    Weir__BlobPut ask = WEIR__BLOB_PUT__INIT;
    ask.has_db = true;
    ask.db = weir_field_str (db);
    bench_call (n, WEIR_KIND_BLOB_PUT, &ask.base, weir_buf_bytes (&manifest), PATIENCE_MS, &answer);
    weir_client_answer_fini (&answer);
    struct weir_id blob = weir_blob_id (weir_buf_bytes (&manifest));
    weir_buf_printf (&value, "{\"$blob\":\"%s\",\"bytes\":%llu}", weir_id_text (&blob).s,
                     (unsigned long long) bytes);
    bench_set_one (n, db, 0, weir_buf_str (&value));
    weir_buf_fini (&manifest);
    weir_buf_fini (&value);
    free (part);
}

static void
get (struct bench_node *n, const char *db, uint64_t bytes)
{
    struct weir_client_answer answer;
    uint64_t at = 0;
    while (at < bytes) {
        Weir__BlobGet ask = WEIR__BLOB_GET__INIT;
        ask.has_db = ask.has_path = ask.has_offset = true;
        ask.db = weir_field_str (db);
        ask.path = weir_field_str ("/single/00000000");
        ask.offset = at;
        bench_call (n, WEIR_KIND_BLOB_GET, &ask.base, weir_bytes (NULL, 0), PATIENCE_MS, &answer);
        if (answer.body.len == 0) {
            bench_die ("the blob ends at %llu", (unsigned long long) at);
        }
        at += answer.body.len;
        weir_client_answer_fini (&answer);
    }
}

void
bench_blob (struct bench *b)
{
    struct bench_node a;
    struct bench_node c;
    struct weir_rand random;
    char db[WEIR_ID_TEXT + 1];
    uint64_t bytes = b->megabytes > 0 ? b->megabytes << 20 : BYTES_DEFAULT;
    weir_rand_init (&random, 1);
    bench_node_init (b, &a, "writer", "hub", "tcp://127.0.0.1:0");
    bench_node_init (b, &c, "reader", "leaf", NULL);
    bench_node_start (b, &a);
    bench_node_start (b, &c);
    bench_create_db (&a, "bench", db);
    uint64_t started = bench_now_us ();
    put (&a, db, &random, bytes);
    double put_s = (double) (bench_now_us () - started) / 1e6;
    uint64_t wire = bench_wire_bytes (&c);
    started = bench_now_us ();
    bench_join (&a, &c, db);
    bench_wait_synced (&c, db, PATIENCE_MS);
    double sync_s = (double) (bench_now_us () - started) / 1e6;
    uint64_t moved = bench_wire_bytes (&c) - wire;
    started = bench_now_us ();
    get (&c, db, bytes);
    double get_s = (double) (bench_now_us () - started) / 1e6;
    bench_node_stop (&c);
    bench_node_stop (&a);
    double mb = (double) bytes / 1e6;
    bench_print (b, json_pack ("{s:I, s:f, s:f, s:f, s:f}", "bytes", (json_int_t) bytes,
                               "put_mb_per_s", mb / put_s, "sync_mb_per_s", mb / sync_s,
                               "get_mb_per_s", mb / get_s, "wire_bytes_per_byte",
                               (double) moved / (double) bytes));
}
