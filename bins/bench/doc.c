/* weir bench doc: the library's containers in large, without any node. Times are the best of
 * --runs (3):
 *
 *   map_s, counter_s, list_s  --entries (1,000,000) operations through the library, committed:
 *       sets of as many keys, increments, insertions of one number at random places
 *   map_import_s, ..          the same history as bytes, into an empty replica
 *   import_batch_ratio        --samples (1,000) updates in one batch, as a part of the time that
 *       they take one by one: each is a word typed somewhere by a device of its own, all at the
 *       same version of a text; somebody listens to events
 *   import_batch_line_ratio   the same, but each typed on top of the one before
 *   edit_ratio                a character typed at a random place and committed in a text with so
 *       many operations, as a multiple of that in one of 1,000; edit_us, edit_small_us: the times
 *   edit_map_ratio            the same of a key set in a map */

#include <stdlib.h>
#include <string.h>

#include "bins/bench/text.h"

#define SMALL_OPS 1000u
#define EDITS 2000u

struct doc_bench {
    struct bench_keys keys;
    struct weir_rand random;
    uint64_t ops;
    uint64_t updates;
    uint64_t runs;
};

typedef void (edit_fn) (struct doc_bench *b, struct weir_change *change, uint64_t i);

static struct weir_container *
root (struct weir_change *change, const char *name, const struct weir_container_type *type)
{
    struct weir_container *out = NULL;
    struct weir_error e = { 0 };
    bench_need (weir_change_root (change, name, type, &out, &e), &e, name);
    return out;
}

static void
edit_map (struct doc_bench *b, struct weir_change *change, uint64_t i)
{
    struct weir_value value = { .type = WEIR_VALUE_INT, .number.i = (int64_t) i };
    struct weir_error e = { 0 };
    char key[24];
    (void) b;
    snprintf (key, sizeof key, "key%08llu", (unsigned long long) i);
    bench_need (weir_change_map_set (change, root (change, "m", &weir_container_map),
                                     weir_bytes_str (key), &value, &e),
                &e, "set");
}

static void
edit_counter (struct doc_bench *b, struct weir_change *change, uint64_t i)
{
    struct weir_value value = { .type = WEIR_VALUE_INT, .number.i = (int64_t) (i % 7) - 3 };
    struct weir_error e = { 0 };
    (void) b;
    bench_need (
        weir_change_increment (change, root (change, "c", &weir_container_counter), &value, &e), &e,
        "increment");
}

static void
edit_list (struct doc_bench *b, struct weir_change *change, uint64_t i)
{
    struct weir_value value = { .type = WEIR_VALUE_INT, .number.i = (int64_t) i };
    struct weir_error e = { 0 };
    bench_need (weir_change_list_insert (change, root (change, "l", &weir_container_list),
                                         (uint32_t) weir_rand_below (&b->random, i + 1), &value, 1,
                                         NULL, &e),
                &e, "insert");
}

static void
edit_text (struct doc_bench *b, struct weir_change *change, uint64_t i)
{
    struct weir_error e = { 0 };
    bench_need (weir_change_text_insert (change, root (change, "t", &weir_container_text),
                                         (uint32_t) weir_rand_below (&b->random, i + 1),
                                         weir_bytes_str ("x"), &e),
                &e, "insert");
}

static struct weir_replica *
new_replica (struct doc_bench *b, size_t key, uint64_t lane)
{
    struct weir_replica_options options = bench_keys_options (&b->keys, key, lane);
    struct weir_replica *out = NULL;
    struct weir_error e = { 0 };
    bench_need (weir_replica_new (&out, &options, &e), &e, "new replica");
    return out;
}

static void
commit (struct weir_replica *replica)
{
    struct weir_error e = { 0 };
    bench_need (weir_replica_commit (replica, weir_bytes (NULL, 0), 0, NULL, &e), &e, "commit");
}

static void
edit (struct doc_bench *b, struct weir_replica *replica, edit_fn *fn, uint64_t from, uint64_t to)
{
    struct weir_error e = { 0 };
    for (uint64_t i = from; i < to; i++) {
        struct weir_change *change = NULL;
        bench_need (weir_replica_change (replica, &change, &e), &e, "change");
        fn (b, change, i);
    }
}

static void export(struct weir_replica *replica, enum weir_export_mode mode,
                   const struct weir_op_vector *from, struct weir_buf *out)
{
    struct weir_export what = { .mode = mode, .from = from };
    struct weir_error e = { 0 };
    bench_need (weir_replica_export (replica, &what, out, &e), &e, "export");
}

static void
import (struct weir_replica *replica, const struct weir_bytes *blobs, size_t count)
{
    struct weir_import result = { 0 };
    struct weir_error e = { 0 };
    bench_need (count == 1 ? weir_replica_import (replica, blobs[0], &result, &e)
                           : weir_replica_import_batch (replica, blobs, count, &result, &e),
                &e, "import");
    weir_import_fini (&result);
}

static double
least (double a, double b)
{
    return a < b ? a : b;
}

/* ---- many operations ---- */

static void
measure_ops (struct doc_bench *b, edit_fn *fn, const char *name, json_t *out)
{
    double local_ms = 1e12;
    double import_ms = 1e12;
    char key[32];
    for (uint64_t run = 0; run < b->runs; run++) {
        struct weir_buf update = { 0 };
        weir_rand_init (&b->random, 1);
        double began = bench_now_ms ();
        struct weir_replica *writer = new_replica (b, 0, 1);
        edit (b, writer, fn, 0, b->ops);
        commit (writer);
        local_ms = least (local_ms, bench_now_ms () - began);
        export(writer, WEIR_EXPORT_UPDATE, NULL, &update);
        struct weir_bytes blob = weir_buf_bytes (&update);
        began = bench_now_ms ();
        struct weir_replica *reader = new_replica (b, 1, 1);
        import (reader, &blob, 1);
        import_ms = least (import_ms, bench_now_ms () - began);
        weir_replica_destroy (&writer);
        weir_replica_destroy (&reader);
        weir_buf_fini (&update);
    }
    snprintf (key, sizeof key, "%s_s", name);
    json_object_set_new (out, key, bench_ms (local_ms / 1e3));
    snprintf (key, sizeof key, "%s_import_s", name);
    json_object_set_new (out, key, bench_ms (import_ms / 1e3));
}

/* ---- batches ---- */

static void
count_events (void *context, const struct weir_replica_event *event)
{
    (void) event;
    ++*(uint64_t *) context;
}

/* `verifies`: as a device does that takes what others wrote. */
static struct weir_replica *
load (struct doc_bench *b, size_t key, uint64_t lane, const struct weir_buf *snapshot,
      bool verifies)
{
    struct weir_replica_options options = bench_keys_options (&b->keys, key, lane);
    options.trusts_signatures = !verifies;
    struct weir_replica *out = NULL;
    struct weir_error e = { 0 };
    bench_need (weir_replica_load (&out, &options, weir_buf_bytes (snapshot), &e), &e, "load");
    return out;
}

static void
current_vector (struct weir_replica *replica, struct weir_op_vector *out)
{
    struct weir_heads heads = { 0 };
    struct weir_error e = { 0 };
    weir_replica_log_heads (replica, &heads);
    bench_need (weir_replica_vector (replica, &heads, out, &e), &e, "vector");
    weir_heads_fini (&heads);
}

/* A word typed somewhere, as an update. */
static void
type_word (struct doc_bench *b, struct weir_replica *replica, struct weir_buf *update)
{
    struct weir_op_vector before = { 0 };
    struct weir_change *change = NULL;
    struct weir_error e = { 0 };
    current_vector (replica, &before);
    bench_need (weir_replica_change (replica, &change, &e), &e, "change");
    bench_need (weir_change_text_insert (change, root (change, "t", &weir_container_text),
                                         (uint32_t) weir_rand_below (&b->random, 10000),
                                         weir_bytes_str ("word "), &e),
                &e, "insert");
    commit (replica);
    export(replica, WEIR_EXPORT_UPDATE, &before, update);
    weir_op_vector_fini (&before);
}

static void
measure_batch (struct doc_bench *b, bool is_line, json_t *out)
{
    struct weir_buf snapshot = { 0 };
    struct weir_buf *updates = weir_alloc (b->updates * sizeof *updates);
    struct weir_bytes *blobs = weir_alloc (b->updates * sizeof *blobs);
    double batch_ms = 1e12;
    double single_ms = 1e12;
    weir_rand_init (&b->random, 2);
    struct weir_replica *writer = new_replica (b, 0, 1);
    edit (b, writer, edit_text, 0, 10000);
    export(writer, WEIR_EXPORT_SNAPSHOT, NULL, &snapshot);
    for (uint64_t i = 0; i < b->updates; i++) {
        struct weir_replica *device = is_line ? writer : load (b, 1, i + 1, &snapshot, false);
        type_word (b, device, &updates[i]);
        blobs[i] = weir_buf_bytes (&updates[i]);
        if (!is_line) {
            weir_replica_destroy (&device);
        }
    }
    weir_replica_destroy (&writer);
    for (uint64_t run = 0; run < 2 * b->runs; run++) {
        uint64_t events = 0;
        bool is_batch = run % 2 == 0;
        struct weir_replica *reader = load (b, 2, 1, &snapshot, true);
        weir_replica_subscribe (reader, count_events, &events);
        double began = bench_now_ms ();
        for (uint64_t i = 0; !is_batch && i < b->updates; i++) {
            import (reader, &blobs[i], 1);
        }
        if (is_batch) {
            import (reader, blobs, b->updates);
        }
        double ms = bench_now_ms () - began;
        if (events != (is_batch ? 1 : b->updates)) {
            bench_die ("%llu events were heard", (unsigned long long) events);
        }
        batch_ms = is_batch ? least (batch_ms, ms) : batch_ms;
        single_ms = is_batch ? single_ms : least (single_ms, ms);
        weir_replica_destroy (&reader);
    }
    for (uint64_t i = 0; i < b->updates; i++) {
        weir_buf_fini (&updates[i]);
    }
    weir_buf_fini (&snapshot);
    free (updates);
    free (blobs);
    const char *name = is_line ? "import_batch_line" : "import_batch";
    char key[64];
    snprintf (key, sizeof key, "%s_ratio", name);
    json_object_set_new (out, key, bench_ms (batch_ms / single_ms));
    snprintf (key, sizeof key, "%s_ms", name);
    json_object_set_new (out, key, bench_ms (batch_ms));
}

/* ---- one edit ---- */

/* Microseconds for an edit and its commit in a document of so many operations. */
static double
edit_us (struct doc_bench *b, edit_fn *fn, uint64_t ops)
{
    double best = 1e12;
    weir_rand_init (&b->random, 3);
    struct weir_replica *writer = new_replica (b, 0, 1);
    edit (b, writer, fn, 0, ops);
    commit (writer);
    for (uint64_t run = 0; run < b->runs; run++) {
        double began = bench_now_ms ();
        for (uint64_t i = 0; i < EDITS; i++) {
            edit (b, writer, fn, ops + run * EDITS + i, ops + run * EDITS + i + 1);
            commit (writer);
        }
        best = least (best, (bench_now_ms () - began) * 1e3 / EDITS);
    }
    weir_replica_destroy (&writer);
    return best;
}

static void
measure_edits (struct doc_bench *b, json_t *out)
{
    double large = edit_us (b, edit_text, b->ops);
    double small = edit_us (b, edit_text, SMALL_OPS);
    json_object_set_new (out, "edit_ratio", bench_ms (large / small));
    json_object_set_new (out, "edit_us", bench_ms (large));
    json_object_set_new (out, "edit_small_us", bench_ms (small));
    large = edit_us (b, edit_map, b->ops);
    small = edit_us (b, edit_map, SMALL_OPS);
    json_object_set_new (out, "edit_map_ratio", bench_ms (large / small));
}

void
bench_doc (struct bench *bench)
{
    struct doc_bench b = { .ops = bench->entries > 0 ? bench->entries : 1000000,
                           .updates = bench->samples > 0 ? bench->samples : 1000,
                           .runs = bench->runs > 0 ? bench->runs : 3 };
    json_t *out =
        json_pack ("{s:I, s:I}", "ops", (json_int_t) b.ops, "updates", (json_int_t) b.updates);
    bench_keys_init (&b.keys, 3);
    measure_ops (&b, edit_map, "map", out);
    measure_ops (&b, edit_counter, "counter", out);
    measure_ops (&b, edit_list, "list", out);
    measure_batch (&b, false, out);
    measure_batch (&b, true, out);
    measure_edits (&b, out);
    bench_keys_fini (&b.keys);
    bench_print (bench, out);
}
