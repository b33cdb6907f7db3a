/* weir bench text: recorded editing histories through the library, one line a file. The steps
 * are those of trace_plan.c, which tests/bench/rivals takes in other engines:
 *
 *   apply_ms   the steps: local edits, commits, copies of documents (by snapshot) for new lanes,
 *              imports of what a document lacks; what somebody imports is exported once, by who
 *              made it
 *   merge_ms   the exported history as bytes in memory, into an empty replica, to the text
 *   verify_ms  what the signatures take beside it: merge once more with them, less merge_ms
 *   load_ms    a saved snapshot, to the text
 *   bytes      of that export; snapshot_bytes of that snapshot
 *   peak_bytes growth of the resident memory of a process that does the merge and nothing else
 *   memory_bytes  what the replica counts for itself after load
 *
 * The best of --runs (5). An array of histories counts as one: sums, the greatest peak. */

#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bins/bench/text.h"
#include "bins/bench/trace.h"

struct result {
    double apply_ms;
    double merge_ms;
    double verify_ms;
    double load_ms;
    uint64_t bytes;
    uint64_t snapshot_bytes;
    uint64_t entries;
    uint64_t peak_bytes;
    uint64_t memory_bytes;
    bool ok;
};

struct text_bench {
    const struct bench_trace *trace;
    struct bench_plan plan;
    struct bench_keys keys;
    uint64_t *ops;              /* by lane: how many its chain has */
    struct weir_op_row *rows;   /* by step: where it ends */
    struct weir_replica **docs; /* by lane */
    struct weir_buf *updates;   /* by step */
};

/* ---- apply ---- */

static struct weir_replica_options
lane_options (const struct text_bench *b, uint32_t lane)
{
    const struct bench_lane *l = &b->trace->lanes[lane];
    return bench_keys_options (&b->keys, l->agent, l->number);
}

static void
type_txn (struct text_bench *b, struct weir_replica *doc, const struct bench_txn *txn)
{
    struct weir_error e = { 0 };
    for (size_t i = 0; i < txn->n_patches; i++) {
        const struct bench_patch *p = &b->trace->patches[txn->patches + i];
        struct weir_bytes utf8 = weir_bytes (b->trace->text.data + p->text, p->bytes);
        struct weir_change *change = NULL;
        struct weir_container *text = NULL;
        enum weir_status status = weir_replica_change (doc, &change, &e);
        if (status == WEIR_OK) {
            status = weir_change_root (change, "t", &weir_container_text, &text, &e);
        }
        if (status == WEIR_OK && p->deleted > 0) {
            status = weir_change_text_delete (change, text, p->at, p->deleted, &e);
        }
        if (status == WEIR_OK && p->inserted > 0) {
            status = weir_change_text_insert (change, text, p->at, utf8, &e);
        }
        if (status != WEIR_OK) {
            bench_die ("event %llu: patch at %u: %s (%s)", (unsigned long long) txn->number, p->at,
                       e.what, weir_status_code (status));
        }
    }
}

static struct weir_replica *
open_document (struct text_bench *b, const struct bench_step *step)
{
    struct weir_replica_options options = lane_options (b, step->lane);
    struct weir_replica *doc = NULL;
    struct weir_buf snapshot = { 0 };
    struct weir_error e = { 0 };
    struct weir_export what = { .mode = WEIR_EXPORT_SNAPSHOT, .fast = true };
    if (step->copy_of == BENCH_TRACE_NONE) {
        bench_need (weir_replica_new (&doc, &options, &e), &e, "new replica");
        return doc;
    }
    bench_need (weir_replica_export (b->docs[step->copy_of], &what, &snapshot, &e), &e,
                "export of a snapshot");
    bench_need (weir_replica_load (&doc, &options, weir_buf_bytes (&snapshot), &e), &e, "load");
    weir_buf_fini (&snapshot);
    return doc;
}

static void
receive (struct weir_replica *doc, const struct weir_bytes *blobs, size_t count)
{
    struct weir_import result = { 0 };
    struct weir_error e = { 0 };
    bench_need (count == 1 ? weir_replica_import (doc, blobs[0], &result, &e)
                           : weir_replica_import_batch (doc, blobs, count, &result, &e),
                &e, "import");
    if (result.n_pending > 0) {
        bench_die ("an import waits for what should be there");
    }
    weir_import_fini (&result);
}

/* Exports what the step's parents do not have: what it made. */
static void
send (struct text_bench *b, struct weir_replica *doc, size_t number)
{
    const struct bench_step *step = &b->plan.steps[number];
    struct weir_op_vector from = { 0 };
    struct weir_export what = { .mode = WEIR_EXPORT_UPDATE, .from = &from, .fast = true };
    struct weir_error e = { 0 };
    weir_grow (&from.rows, &from.cap, step->n_parents, sizeof *from.rows);
    for (size_t i = 0; i < step->n_parents; i++) {
        from.rows[from.count++] = b->rows[b->plan.numbers[step->parents + i]];
    }
    bench_need (weir_replica_export (doc, &what, &b->updates[number], &e), &e, "export");
    weir_op_vector_fini (&from);
}

static void
take_step (struct text_bench *b, size_t number, struct weir_bytes *blobs)
{
    const struct bench_step *step = &b->plan.steps[number];
    const struct bench_lane *lane = &b->trace->lanes[step->lane];
    struct weir_replica **doc = &b->docs[step->lane];
    struct weir_heads heads = { 0 };
    struct weir_error e = { 0 };
    if (step->is_first) {
        *doc = open_document (b, step);
    }
    for (size_t i = 0; i < step->n_imports; i++) {
        blobs[i] = weir_buf_bytes (&b->updates[b->plan.numbers[step->imports + i]]);
    }
    if (step->n_imports > 0) {
        receive (*doc, blobs, step->n_imports);
    }
    for (size_t i = 0; i < step->n_txns; i++) {
        type_txn (b, *doc, &b->trace->txns[b->plan.txns[step->txns + i]]);
    }
    bench_need (weir_replica_commit (*doc, weir_bytes (NULL, 0), 0, NULL, &e), &e, "commit");
    weir_replica_doc_heads (*doc, &heads);
    b->ops[step->lane] += step->events;
    b->rows[number] = (struct weir_op_row){
        .chain = { b->keys.items[lane->agent].device, lane->number },
        .tip = heads.items[0],
        .ops = b->ops[step->lane],
    };
    weir_heads_fini (&heads);
    if (step->is_sent) {
        send (b, *doc, number);
    }
}

/* Puts the documents that nobody's stretch builds on into one, which holds everything then. */
static void
gather (struct weir_replica **all, struct weir_replica **doc)
{
    struct weir_export what = { .mode = WEIR_EXPORT_UPDATE };
    struct weir_buf update = { 0 };
    struct weir_error e = { 0 };
    if (*all == NULL) {
        *all = *doc;
        *doc = NULL;
        return;
    }
    bench_need (weir_replica_export (*doc, &what, &update, &e), &e, "export");
    struct weir_bytes blob = weir_buf_bytes (&update);
    receive (*all, &blob, 1);
    weir_buf_fini (&update);
    weir_replica_destroy (doc);
}

/* By lane: is its last step nobody's parent? */
static bool *
find_ends (const struct text_bench *b)
{
    const struct bench_plan *plan = &b->plan;
    bool *is_end = weir_alloc (b->trace->n_lanes * sizeof *is_end);
    bool *is_parent = weir_alloc (plan->n_steps * sizeof *is_parent);
    for (size_t i = 0; i < plan->n_steps; i++) {
        for (size_t k = 0; k < plan->steps[i].n_parents; k++) {
            is_parent[plan->numbers[plan->steps[i].parents + k]] = true;
        }
    }
    for (size_t i = 0; i < plan->n_steps; i++) {
        is_end[plan->steps[i].lane] = !is_parent[i];
    }
    free (is_parent);
    return is_end;
}

/* Takes all steps; *all (may be NULL) gets the replica that holds everything. */
static double
apply (struct text_bench *b, struct weir_replica **all)
{
    const struct bench_plan *plan = &b->plan;
    bool *is_end = find_ends (b);
    struct weir_bytes *blobs = weir_alloc (plan->n_steps * sizeof *blobs);
    struct weir_replica **ends = weir_alloc (b->trace->n_lanes * sizeof *ends);
    b->docs = weir_alloc (b->trace->n_lanes * sizeof *b->docs);
    b->rows = weir_alloc (plan->n_steps * sizeof *b->rows);
    b->ops = weir_alloc (b->trace->n_lanes * sizeof *b->ops);
    b->updates = weir_alloc (plan->n_steps * sizeof *b->updates);
    double began = bench_now_ms ();
    for (size_t i = 0; i < plan->n_steps; i++) {
        take_step (b, i, blobs);
        for (size_t k = 0; k < plan->steps[i].n_drops; k++) {
            uint32_t lane = plan->numbers[plan->steps[i].drops + k];
            if (is_end[lane]) {
                ends[lane] = b->docs[lane];
                b->docs[lane] = NULL;
            }
            weir_replica_destroy (&b->docs[lane]);
        }
    }
    double ms = bench_now_ms () - began;
    for (size_t i = 0; i < b->trace->n_lanes; i++) {
        if (all != NULL && ends[i] != NULL) {
            gather (all, &ends[i]);
        }
        weir_replica_destroy (&ends[i]);
    }
    for (size_t i = 0; i < plan->n_steps; i++) {
        weir_buf_fini (&b->updates[i]);
    }
    free (b->updates);
    free (b->docs);
    free (b->ops);
    free (b->rows);
    free (ends);
    free (blobs);
    free (is_end);
    return ms;
}

/* ---- merge and load ---- */

static bool
is_end_text (const struct text_bench *b, const struct weir_buf *text)
{
    return weir_bytes_equal (weir_buf_bytes (text), weir_buf_bytes (&b->trace->end));
}

static double
merge (const struct text_bench *b, struct weir_bytes update, bool verifies, bool *ok)
{
    struct weir_replica_options options = { .trusts_signatures = !verifies };
    struct weir_replica *doc = NULL;
    struct weir_buf text = { 0 };
    struct weir_error e = { 0 };
    double began = bench_now_ms ();
    bench_need (weir_replica_new (&doc, &options, &e), &e, "new replica");
    receive (doc, &update, 1);
    bench_replica_text (doc, &text);
    double ms = bench_now_ms () - began;
    *ok = *ok && is_end_text (b, &text);
    weir_replica_destroy (&doc);
    weir_buf_fini (&text);
    return ms;
}

static double
load (const struct text_bench *b, struct weir_bytes snapshot, uint64_t *memory_bytes, bool *ok)
{
    struct weir_replica_options options = { .trusts_signatures = true };
    struct weir_replica *doc = NULL;
    struct weir_buf text = { 0 };
    struct weir_error e = { 0 };
    double began = bench_now_ms ();
    bench_need (weir_replica_load (&doc, &options, snapshot, &e), &e, "load");
    bench_replica_text (doc, &text);
    double ms = bench_now_ms () - began;
    *ok = *ok && is_end_text (b, &text);
    *memory_bytes = weir_replica_memory_bytes (doc);
    weir_replica_destroy (&doc);
    weir_buf_fini (&text);
    return ms;
}

/* A line of /proc/self/status in bytes. */
static uint64_t
status_bytes (const char *name)
{
    char line[256];
    uint64_t kb = 0;
    FILE *in = fopen ("/proc/self/status", "r");
    while (in != NULL && fgets (line, sizeof line, in) != NULL) {
        if (strncmp (line, name, strlen (name)) == 0) {
            kb = strtoull (line + strlen (name), NULL, 10);
        }
    }
    if (in != NULL) {
        fclose (in);
    }
    return kb * 1024;
}

/* In a child, so that nothing else counts: gives the heap's free pages back, resets the high water
 * mark, merges. 0: the kernel does not tell. */
static uint64_t
measure_peak (const struct text_bench *b, struct weir_bytes update)
{
    uint64_t peak = 0;
    int fds[2];
    if (pipe (fds) != 0) {
        return 0;
    }
    pid_t pid = fork ();
    if (pid == 0) {
        bool ok = true;
        malloc_trim (0);
        FILE *reset = fopen ("/proc/self/clear_refs", "w");
        if (reset != NULL && fputs ("5", reset) >= 0 && fclose (reset) == 0) {
            uint64_t before = status_bytes ("VmRSS:");
            (void) merge (b, update, false, &ok);
            peak = status_bytes ("VmHWM:") - before;
        }
        _exit (write (fds[1], &peak, sizeof peak) == sizeof peak ? 0 : 1);
    }
    close (fds[1]);
    if (pid < 0 || read (fds[0], &peak, sizeof peak) != sizeof peak) {
        peak = 0;
    }
    close (fds[0]);
    if (pid > 0) {
        waitpid (pid, NULL, 0);
    }
    return peak;
}

/* ---- one history, one file ---- */

static double
least (double a, double b)
{
    return a < b ? a : b;
}

static void
measure (const struct bench_trace *trace, uint64_t runs, struct result *sum)
{
    struct text_bench b = { .trace = trace };
    struct weir_replica *all = NULL;
    struct weir_buf update = { 0 };
    struct weir_buf snapshot = { 0 };
    struct weir_buf text = { 0 };
    struct weir_export what = { .mode = WEIR_EXPORT_UPDATE };
    struct weir_export_info info = { 0 };
    struct weir_error e = { 0 };
    uint64_t memory = 0;
    bench_plan_make (&b.plan, trace);
    bench_keys_init (&b.keys, trace->n_agents);
    double apply_ms = apply (&b, &all);
    for (uint64_t i = 1; i < runs; i++) {
        apply_ms = least (apply_ms, apply (&b, NULL));
    }
    if (all == NULL) {
        struct weir_replica_options options = bench_keys_options (&b.keys, 0, 1);
        bench_need (weir_replica_new (&all, &options, &e), &e, "new replica");
    }
    bench_replica_text (all, &text);
    sum->ok = sum->ok && is_end_text (&b, &text);
    bench_need (weir_replica_export (all, &what, &update, &e), &e, "export");
    what.mode = WEIR_EXPORT_SNAPSHOT;
    bench_need (weir_replica_export (all, &what, &snapshot, &e), &e, "export of a snapshot");
    weir_replica_destroy (&all);
    bench_need (weir_export_read_info (weir_buf_bytes (&update), &info, &e), &e, "header");
    double merge_ms = 1e12;
    double verify_ms = 1e12;
    double load_ms = 1e12;
    for (uint64_t i = 0; i < runs; i++) {
        merge_ms = least (merge_ms, merge (&b, weir_buf_bytes (&update), false, &sum->ok));
    }
    for (uint64_t i = 0; i < runs; i++) {
        verify_ms = least (verify_ms, merge (&b, weir_buf_bytes (&update), true, &sum->ok));
    }
    for (uint64_t i = 0; i < runs; i++) {
        load_ms = least (load_ms, load (&b, weir_buf_bytes (&snapshot), &memory, &sum->ok));
    }
    uint64_t peak = measure_peak (&b, weir_buf_bytes (&update));
    sum->apply_ms += apply_ms;
    sum->merge_ms += merge_ms;
    sum->verify_ms += verify_ms > merge_ms ? verify_ms - merge_ms : 0;
    sum->load_ms += load_ms;
    sum->bytes += update.len;
    sum->snapshot_bytes += snapshot.len;
    sum->entries += info.entries;
    sum->memory_bytes += memory;
    sum->peak_bytes = peak > sum->peak_bytes ? peak : sum->peak_bytes;
    weir_export_info_fini (&info);
    weir_buf_fini (&text);
    weir_buf_fini (&update);
    weir_buf_fini (&snapshot);
    bench_keys_fini (&b.keys);
    bench_plan_fini (&b.plan);
}

/* The file's name without folder and endings. */
static void
trace_name (const char *path, char out[128])
{
    const char *slash = strrchr (path, '/');
    snprintf (out, 128, "%s", slash != NULL ? slash + 1 : path);
    char *end = strstr (out, ".json");
    if (end != NULL && end != out) {
        *end = '\0';
    }
}

static bool
bench_file (struct bench *b, const char *path)
{
    struct bench_trace_file file = { 0 };
    struct weir_error e = { 0 };
    struct result sum = { .ok = true };
    uint64_t events = 0;
    uint64_t right = 0;
    char name[128];
    enum weir_status status = bench_trace_load (&file, path, &e);
    if (status != WEIR_OK) {
        fprintf (stderr, "weir-bench: %s: %s (%s)\nhint: %s\n", path, e.what,
                 weir_status_code (status), weir_error_hint (&e));
        return false;
    }
    for (size_t i = 0; i < file.count; i++) {
        bool before = sum.ok;
        sum.ok = true;
        measure (&file.items[i], b->runs > 0 ? b->runs : 5, &sum);
        right += sum.ok;
        sum.ok = sum.ok && before;
        events += file.items[i].events;
    }
    trace_name (path, name);
    json_t *line = json_pack (
        "{s:s, s:s, s:I, s:o, s:o, s:o, s:o, s:I, s:I, s:b, s:I, s:I, s:I}", "trace", name,
        "format", bench_trace_format_name (file.format), "events", (json_int_t) events, "apply_ms",
        bench_ms (sum.apply_ms), "merge_ms", bench_ms (sum.merge_ms), "verify_ms",
        bench_ms (sum.verify_ms), "load_ms", bench_ms (sum.load_ms), "bytes",
        (json_int_t) sum.bytes, "peak_bytes", (json_int_t) sum.peak_bytes, "ok", sum.ok,
        "memory_bytes", (json_int_t) sum.memory_bytes, "snapshot_bytes",
        (json_int_t) sum.snapshot_bytes, "entries", (json_int_t) sum.entries);
    if (file.is_array) {
        json_object_set_new (line, "cases", json_integer ((json_int_t) file.count));
        json_object_set_new (line, "right", json_integer ((json_int_t) right));
    }
    bench_print (b, line);
    fflush (stdout);
    bench_trace_file_fini (&file);
    return sum.ok;
}

bool
bench_text (struct bench *b)
{
    bool ok = true;
    for (size_t i = 0; i < b->n_files; i++) {
        ok = bench_file (b, b->files[i]) && ok;
    }
    return ok;
}
