/* Owns the log of a replica: every entry by number, the runs they came in, the one that is open,
 * and the runs that wait for something. It never judges what it is given (import.c does), knows
 * no document, and drops nothing: a run stays as it came, so that equal logs export equal bytes.
 * The files of the replica call it. */

#include "store/replica/replica_parts.h"
#include "store/dag/run_scan.h"

#include <stdlib.h>
#include <string.h>

#define SEGMENT_BYTES_MIN 4096u
#define SEGMENT_BYTES_MAX (1u << 20)

void
weir_log_init (struct weir_log *log)
{
    *log = (struct weir_log){ .open_run = WEIR_LOG_NONE };
    log->graph = weir_graph_new ();
    log->missing = weir_map_new ();
    log->waiting = weir_map_new ();
    weir_run_builder_init (&log->builder);
}

void
weir_log_fini (struct weir_log *log)
{
    struct weir_bytes key;
    void *value = NULL;
    for (size_t i = 0; weir_map_next (log->waiting, &i, &key, &value);) {
        struct weir_log_wait *wait = value;
        free (wait->run.entries);
        weir_buf_fini (&wait->bytes);
        free (wait);
    }
    weir_map_destroy (&log->waiting, NULL);
    weir_map_destroy (&log->missing, NULL);
    weir_graph_destroy (&log->graph);
    weir_run_builder_fini (&log->builder);
    for (size_t i = 0; i < log->n_segments; i++) {
        weir_buf_fini (&log->segments[i]);
    }
    free (log->segments);
    free (log->rows);
    free (log->runs);
    free (log->deps);
}

size_t
weir_log_memory_bytes (const struct weir_log *log)
{
    return weir_graph_memory_bytes (log->graph) + log->rows_cap * sizeof *log->rows
           + log->runs_cap * sizeof *log->runs + log->deps_cap * sizeof *log->deps
           + log->segments_cap * sizeof *log->segments + log->segment_bytes
           + log->builder.records.cap + log->waiting_bytes;
}

/* A copy that stays as long as the log. */
static struct weir_bytes
keep (struct weir_log *log, struct weir_bytes bytes)
{
    struct weir_buf *last = log->n_segments > 0 ? &log->segments[log->n_segments - 1] : NULL;
    if (last == NULL || last->cap - last->len < bytes.len) {
        if (log->n_segments == log->segments_cap) {
            weir_grow (&log->segments, &log->segments_cap, log->n_segments + 1,
                       sizeof *log->segments);
        }
        size_t want =
            log->segment_bytes < SEGMENT_BYTES_MIN ? SEGMENT_BYTES_MIN : log->segment_bytes / 4;
        want = want > SEGMENT_BYTES_MAX ? SEGMENT_BYTES_MAX : want;
        last = &log->segments[log->n_segments++];
        *last = (struct weir_buf){ 0 };
        weir_buf_reserve (last, bytes.len > want ? bytes.len : want);
        log->segment_bytes += last->cap;
    }
    uint8_t *to = last->data + last->len;
    weir_buf_put_bytes (last, bytes);
    return weir_bytes (to, bytes.len);
}

/* ---- entries ---- */

/* Of an entry that is in the graph by now: what the row takes from its parents. */
static void
row_place (struct weir_log *log, uint32_t number, struct weir_log_row *row)
{
    const struct weir_graph_node *node = weir_graph_node (log->graph, number);
    row->lamport = node->lamport;
    row->counter = 0;
    if (row->prev != WEIR_LOG_NONE) {
        /* The graph forgets a prev that the deps have in their past. */
        row->counter = log->rows[row->prev].counter + weir_graph_node (log->graph, row->prev)->ops;
    }
    for (uint32_t i = 0; i < node->n_parents; i++) {
        uint32_t depth = log->rows[node->parents[i]].depth + 1;
        row->depth = depth > row->depth ? depth : row->depth;
    }
}

static void
rows_reserve (struct weir_log *log, size_t more)
{
    size_t want = (size_t) weir_graph_count (log->graph) + more;
    if (want > log->rows_cap) {
        weir_grow (&log->rows, &log->rows_cap, want, sizeof *log->rows);
    }
}

static uint32_t
add_entry (struct weir_log *log, const struct weir_graph_node *node, const struct weir_id *parents,
           size_t n_parents, struct weir_log_row *row)
{
    uint32_t number = 0;
    enum weir_status status = weir_graph_add (log->graph, node, parents, n_parents, &number);
    weir_assert (status == WEIR_OK);
    row_place (log, number, row);
    log->rows[number] = *row;
    log->ops += row->run == WEIR_LOG_NONE ? 0 : node->ops;
    return number;
}

uint32_t
weir_log_add_cut (struct weir_log *log, const struct weir_graph_node *node,
                  const struct weir_id *parents, size_t n_parents)
{
    struct weir_log_row row = {
        .run = WEIR_LOG_NONE,
        .kind = WEIR_ENTRY_DATA,
        .prev = WEIR_LOG_NONE,
    };
    rows_reserve (log, 1);
    uint32_t number = add_entry (log, node, parents, n_parents, &row);
    log->rows[number].counter = node->counter;
    log->rows[number].lamport = node->lamport;
    return number;
}

static uint32_t
new_run (struct weir_log *log)
{
    if (log->n_runs == log->runs_cap) {
        weir_grow (&log->runs, &log->runs_cap, log->n_runs + 1, sizeof *log->runs);
    }
    log->runs[log->n_runs] = (struct weir_log_run){ .count = 0 };
    return (uint32_t) log->n_runs++;
}

static size_t
keep_deps (struct weir_log *log, const struct weir_id *deps, size_t n_deps)
{
    size_t at = log->n_deps;
    if (at + n_deps > log->deps_cap) {
        weir_grow (&log->deps, &log->deps_cap, at + n_deps, sizeof *log->deps);
    }
    if (n_deps > 0) {
        memcpy (log->deps + at, deps, n_deps * sizeof *deps);
    }
    log->n_deps += n_deps;
    return at;
}

/* Runs that `run` holds all of are exported no more: what is known of each entry of its first
 * `skip` says which they are. */
static void
cover (struct weir_log *log, const struct weir_run *run, uint32_t skip)
{
    for (uint32_t i = 0; i < skip; i++) {
        uint32_t number = weir_graph_find (log->graph, &run->entries[i].id);
        if (number == WEIR_GRAPH_NONE || log->rows[number].run == WEIR_LOG_NONE) {
            continue;
        }
        struct weir_log_run *other = &log->runs[log->rows[number].run];
        if (log->rows[number].run == log->open_run || other->seq < run->seq) {
            continue;
        }
        uint64_t end = other->seq - run->seq + other->count - 1;
        if (end < run->count && weir_id_equal (&other->tip, &run->entries[end].id)) {
            other->is_covered = true;
        }
    }
}

uint32_t
weir_log_add_run (struct weir_log *log, const struct weir_run *run, uint32_t skip, uint32_t take)
{
    uint32_t r = new_run (log);
    struct weir_log_run *kept = &log->runs[r];
    *kept = (struct weir_log_run){
        .bytes = keep (log, run->bytes),
        .chain = run->chain,
        .seq = run->seq,
        .prev = run->prev,
        .tip = *weir_run_tip (run),
        .deps_at = keep_deps (log, run->deps, run->n_deps),
        .count = run->count,
        .skip = skip,
        .take = take,
        .first = weir_graph_count (log->graph),
        .n_deps = run->n_deps,
        .kind = run->kind,
    };
    cover (log, run, skip);
    rows_reserve (log, take - skip);
    struct weir_id parents[WEIR_ENTRY_DEPS_MAX + 1];
    for (uint32_t i = skip; i < take; i++) {
        const struct weir_run_entry *entry = &run->entries[i];
        struct weir_log_row row = {
            .run = r,
            .index = i,
            .at = (uint32_t) (entry->payload.data - run->bytes.data),
            .len = (uint32_t) entry->payload.len,
            .kind = run->kind,
            .clock_ms = entry->clock_ms,
            .prev = WEIR_LOG_NONE,
        };
        size_t n = 0;
        if (run->seq + i > 0) {
            parents[n] = i > 0 ? run->entries[i - 1].id : run->prev;
            row.prev = i > skip ? weir_graph_count (log->graph) - 1
                                : weir_graph_find (log->graph, &parents[n]);
            n++;
        }
        for (uint16_t d = 0; i == 0 && d < run->n_deps; d++) {
            parents[n++] = run->deps[d];
        }
        struct weir_graph_node node = {
            .id = entry->id,
            .chain = run->chain,
            .seq = run->seq + i,
            .ops = entry->ops,
        };
        (void) add_entry (log, &node, parents, n, &row);
    }
    return r;
}

/* ---- the open run ---- */

void
weir_log_close_run (struct weir_log *log, const struct weir_identity *identity)
{
    if (log->open_run == WEIR_LOG_NONE) {
        return;
    }
    struct weir_log_run *run = &log->runs[log->open_run];
    struct weir_buf bytes = { 0 };
    size_t records = log->builder.records.len;
    run->tip = log->builder.tip;
    run->take = run->count;
    weir_run_close (&log->builder, identity, &bytes);
    uint32_t head = (uint32_t) (bytes.len - records - WEIR_SIGNATURE_BYTES);
    for (uint32_t i = 0; i < run->count; i++) {
        log->rows[run->first + i].at += head;
    }
    run->bytes = keep (log, weir_buf_bytes (&bytes));
    weir_buf_fini (&bytes);
    log->open_run = WEIR_LOG_NONE;
}

void
weir_log_open_run (struct weir_log *log, const struct weir_identity *identity, uint8_t kind,
                   const struct weir_chain *chain, uint32_t prev, const struct weir_id *deps,
                   size_t n_deps, size_t payload_bytes)
{
    if (log->open_run != WEIR_LOG_NONE) {
        const struct weir_log_run *run = &log->runs[log->open_run];
        /* Its entries have consecutive numbers, so nothing may have come between. */
        if (run->kind == kind && n_deps == 0 && prev != WEIR_LOG_NONE
            && weir_chain_compare (&run->chain, chain) == 0 && prev == run->first + run->count - 1
            && prev + 1 == weir_graph_count (log->graph)
            && weir_run_has_room (&log->builder, payload_bytes)) {
            return;
        }
        weir_log_close_run (log, identity);
    }
    log->open_run = new_run (log);
    struct weir_log_run *run = &log->runs[log->open_run];
    run->chain = *chain;
    run->kind = kind;
    run->first = weir_graph_count (log->graph);
    if (prev != WEIR_LOG_NONE) {
        const struct weir_graph_node *node = weir_graph_node (log->graph, prev);
        run->seq = node->seq + 1;
        run->prev = node->id;
    }
    weir_run_begin (&log->builder, &log->database, kind, chain, run->seq, &run->prev, deps, n_deps);
    run->deps_at = keep_deps (log, log->builder.head.deps, log->builder.head.n_deps);
    run->n_deps = log->builder.head.n_deps;
}

uint32_t
weir_log_append (struct weir_log *log, uint32_t ops, uint64_t clock_ms, struct weir_bytes payload)
{
    weir_assert (log->open_run != WEIR_LOG_NONE);
    struct weir_log_run *run = &log->runs[log->open_run];
    struct weir_graph_node node = {
        .chain = run->chain,
        .seq = run->seq + run->count,
        .ops = ops,
    };
    struct weir_id parents[WEIR_ENTRY_DEPS_MAX + 1];
    size_t n = 0;
    struct weir_log_row row = {
        .run = log->open_run,
        .index = run->count,
        .len = (uint32_t) payload.len,
        .kind = run->kind,
        .clock_ms = clock_ms,
        .prev = WEIR_LOG_NONE,
    };
    if (node.seq > 0) {
        parents[n++] = log->builder.tip;
        row.prev = weir_graph_find (log->graph, &log->builder.tip);
    }
    for (uint16_t d = 0; run->count == 0 && d < run->n_deps; d++) {
        parents[n++] = log->deps[run->deps_at + d];
    }
    weir_run_add (&log->builder, ops, clock_ms, payload, &node.id);
    row.at = (uint32_t) (log->builder.records.len - payload.len);
    run->tip = node.id;
    run->count++;
    run->take = run->count;
    rows_reserve (log, 1);
    return add_entry (log, &node, parents, n, &row);
}

/* ---- reading ---- */

struct weir_bytes
weir_log_payload (const struct weir_log *log, uint32_t number)
{
    const struct weir_log_row *row = &log->rows[number];
    if (row->run == WEIR_LOG_NONE) {
        return weir_bytes (NULL, 0);
    }
    const uint8_t *base =
        row->run == log->open_run ? log->builder.records.data : log->runs[row->run].bytes.data;
    return weir_bytes (base + row->at, row->len);
}

bool
weir_log_is_before_root (const struct weir_log *log, uint32_t number)
{
    return log->rows[number].run == WEIR_LOG_NONE && number + 1 < weir_graph_count (log->graph)
           && log->rows[number + 1].run == WEIR_LOG_NONE;
}

struct weir_doc_entry
weir_log_entry (const struct weir_log *log, uint32_t number, struct weir_id *parents)
{
    const struct weir_log_row *row = &log->rows[number];
    const struct weir_graph_node *node = weir_graph_node (log->graph, number);
    struct weir_doc_entry entry = {
        .id = node->id,
        .chain = node->chain,
        .seq = node->seq,
        .lamport = row->lamport,
        .ops = node->ops,
        .parents = parents,
    };
    if (row->prev != WEIR_LOG_NONE && !weir_log_is_before_root (log, row->prev)) {
        parents[entry.n_parents++] = weir_graph_node (log->graph, row->prev)->id;
    }
    if (row->index == 0 && row->run != WEIR_LOG_NONE) {
        const struct weir_log_run *run = &log->runs[row->run];
        bool is_shallow = log->rows[0].run == WEIR_LOG_NONE;
        for (uint16_t d = 0; d < run->n_deps; d++) {
            const struct weir_id *dep = &log->deps[run->deps_at + d];
            if (!is_shallow || !weir_log_is_before_root (log, weir_graph_find (log->graph, dep))) {
                parents[entry.n_parents++] = *dep;
            }
        }
    }
    return entry;
}

bool
weir_log_is_passed (const struct weir_log_row *row)
{
    return row->kind != WEIR_ENTRY_DATA || row->inert != 0 || row->run == WEIR_LOG_NONE;
}

enum weir_status
weir_log_apply (const struct weir_log *log, uint32_t number, struct weir_doc *doc, bool *deferred)
{
    struct weir_id parents[WEIR_ENTRY_DEPS_MAX + 1];
    struct weir_doc_entry entry = weir_log_entry (log, number, parents);
    if (weir_log_is_passed (&log->rows[number])) {
        weir_doc_pass (doc, &entry);
        return WEIR_OK;
    }
    return weir_doc_apply (doc, &entry, weir_log_payload (log, number), deferred);
}

/* ---- what exports want ---- */

/* A run that is equal to another up to its tip is equal, so this orders runs; parents come
 * first, since an entry is deeper than those that it stands on. */
struct run_key {
    const struct weir_log_run *run;
    uint32_t depth; /* of its first entry */
    uint32_t number;
};

static int
run_keys_compare (const void *a, const void *b)
{
    const struct run_key *x = a;
    const struct run_key *y = b;
    if (x->depth != y->depth) {
        return x->depth < y->depth ? -1 : 1;
    }
    int order = weir_chain_compare (&x->run->chain, &y->run->chain);
    if (order == 0 && x->run->seq != y->run->seq) {
        order = x->run->seq < y->run->seq ? -1 : 1;
    }
    return order != 0 ? order : weir_id_compare (&x->run->tip, &y->run->tip);
}

void
weir_log_runs_order (const struct weir_log *log, uint32_t *runs, size_t count)
{
    struct run_key *keys = weir_alloc ((count + 1) * sizeof *keys);
    for (size_t i = 0; i < count; i++) {
        const struct weir_log_run *run = &log->runs[runs[i]];
        keys[i] = (struct run_key){ .run = run, .number = runs[i] };
        uint32_t depth = log->rows[run->first].depth;
        keys[i].depth = depth > run->skip ? depth - run->skip : 0;
    }
    if (count > 1) {
        qsort (keys, count, sizeof *keys, run_keys_compare);
    }
    for (size_t i = 0; i < count; i++) {
        runs[i] = keys[i].number;
    }
    free (keys);
}

uint32_t *
weir_log_run_numbers (const struct weir_log *log, const struct weir_log_run *run)
{
    uint32_t *numbers = weir_alloc (((size_t) run->take + 1) * sizeof *numbers);
    uint32_t before = log->rows[run->first].prev;
    for (uint32_t i = run->skip; i < run->take; i++) {
        numbers[i] = run->first + (i - run->skip);
    }
    for (uint32_t i = run->skip; i-- > 0;) {
        numbers[i] = before;
        before = before == WEIR_LOG_NONE ? before : log->rows[before].prev;
    }
    return numbers;
}

/* The run that goes on behind `run` in one with it. */
static struct weir_log_run *
follower_of (struct weir_log *log, const struct weir_log_run *run)
{
    for (size_t i = 0; i < log->n_runs; i++) {
        struct weir_log_run *next = &log->runs[i];
        if (!next->is_covered && next->n_deps == 0 && next->seq == run->seq + run->count
            && weir_id_equal (&next->prev, &run->tip)) {
            return next;
        }
    }
    return NULL;
}

/* Its own signature is bad, though its author stands for what it holds: it is exported within
 * the run behind it from now on. */
static void
join_behind (struct weir_log *log, struct weir_log_run *run)
{
    struct weir_log_run *next = follower_of (log, run);
    struct weir_arena *arena = weir_arena_new (SIZE_MAX);
    struct weir_run_joiner joiner = { .counted = 0 };
    struct weir_buf bytes = { 0 };
    struct weir_run part;
    weir_assert (next != NULL);
    bool good = weir_run_scan (&part, arena, run->bytes) == WEIR_OK
                && weir_run_joiner_add (&joiner, &part)
                && weir_run_scan (&part, arena, next->bytes) == WEIR_OK
                && weir_run_joiner_add (&joiner, &part);
    weir_assert (good); /* both were decoded, and found to fit, when they were vouched for */
    weir_run_joiner_close (&joiner, &bytes);
    next->bytes = keep (log, weir_buf_bytes (&bytes));
    good = weir_run_scan (&part, arena, next->bytes) == WEIR_OK;
    weir_assert (good);
    next->seq = run->seq;
    next->prev = run->prev;
    next->deps_at = run->deps_at;
    next->n_deps = run->n_deps;
    next->skip += run->count;
    next->count += run->count;
    next->take += run->count;
    for (uint32_t i = next->skip; i < next->take; i++) {
        struct weir_log_row *row = &log->rows[next->first + (i - next->skip)];
        row->index = i;
        row->at = (uint32_t) (part.entries[i].payload.data - next->bytes.data);
    }
    run->is_covered = true;
    weir_run_joiner_fini (&joiner);
    weir_buf_fini (&bytes);
    weir_arena_destroy (&arena);
}

void
weir_log_check_vouched (struct weir_log *log)
{
    for (size_t i = log->n_runs; i-- > log->vouched_from;) {
        struct weir_log_run *run = &log->runs[i];
        struct weir_signature signature;
        if (!run->is_vouched) {
            continue;
        }
        run->is_vouched = false;
        memcpy (signature.b, run->bytes.data + run->bytes.len - WEIR_SIGNATURE_BYTES,
                WEIR_SIGNATURE_BYTES);
        if (weir_verify (&run->chain.author, WEIR_SIGN_ENTRY, weir_id_bytes (&run->tip), &signature)
            != WEIR_OK) {
            join_behind (log, run);
        }
    }
    log->vouched_from = log->n_runs;
}

/* ---- waiting ---- */

struct weir_log_wait *
weir_log_waits (const struct weir_log *log, const struct weir_id *missing)
{
    return weir_map_count (log->missing) == 0
               ? NULL
               : weir_map_get (log->missing, weir_id_bytes (missing));
}

bool
weir_log_is_waiting (const struct weir_log *log, const struct weir_id *tip)
{
    return log->n_waiting > 0 && weir_map_get (log->waiting, weir_id_bytes (tip)) != NULL;
}

void
weir_log_wait_for (struct weir_log *log, struct weir_log_wait *wait, const struct weir_id *missing)
{
    wait->missing = *missing;
    wait->next = weir_map_put (log->missing, weir_id_bytes (missing), wait);
}

void
weir_log_wait_unlink (struct weir_log *log, struct weir_log_wait *wait)
{
    struct weir_log_wait *first = weir_map_get (log->missing, weir_id_bytes (&wait->missing));
    if (first == wait) {
        (void) weir_map_remove (log->missing, weir_id_bytes (&wait->missing));
        if (wait->next != NULL) {
            (void) weir_map_put (log->missing, weir_id_bytes (&wait->missing), wait->next);
        }
    } else {
        while (first->next != wait) {
            first = first->next;
        }
        first->next = wait->next;
    }
    wait->next = NULL;
}

static size_t
wait_bytes (const struct weir_log_wait *wait)
{
    return sizeof *wait + wait->run.bytes.len + wait->run.count * sizeof *wait->run.entries;
}

void
weir_log_wait (struct weir_log *log, const struct weir_run *run, const struct weir_id *missing)
{
    struct weir_log_wait *wait = weir_alloc (sizeof *wait);
    weir_buf_put_bytes (&wait->bytes, run->bytes);
    wait->run = *run;
    wait->run.bytes = weir_buf_bytes (&wait->bytes);
    wait->run.entries = weir_alloc (run->count * sizeof *run->entries);
    memcpy (wait->run.entries, run->entries, run->count * sizeof *run->entries);
    for (uint32_t i = 0; i < run->count; i++) {
        ptrdiff_t at = run->entries[i].payload.data - run->bytes.data;
        wait->run.entries[i].payload.data = wait->bytes.data + at;
    }
    weir_log_wait_for (log, wait, missing);
    (void) weir_map_put (log->waiting, weir_id_bytes (weir_run_tip (run)), wait);
    log->n_waiting++;
    log->waiting_bytes += wait_bytes (wait);
}

void
weir_log_wait_out (struct weir_log *log, struct weir_log_wait *wait)
{
    (void) weir_map_remove (log->waiting, weir_id_bytes (weir_run_tip (&wait->run)));
    log->n_waiting--;
    log->waiting_bytes -= wait_bytes (wait);
}

void
weir_log_wait_destroy (struct weir_log_wait **wait_p)
{
    struct weir_log_wait *wait = *wait_p;
    *wait_p = NULL;
    free (wait->run.entries);
    weir_buf_fini (&wait->bytes);
    free (wait);
}
