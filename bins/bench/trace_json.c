/* One recorded history from its JSON: the three formats become transactions with parents, cut
 * wherever another one's parent points into the middle. */

#include "bins/bench/trace.h"

#include <stdlib.h>
#include <string.h>

#define HINT "see the formats in weir bench --help"

struct load {
    struct bench_trace *t;
    const json_t *txns;
    const char *ops; /* the name of a transaction's patches */
    size_t at;       /* which one is being read */
    uint64_t length; /* sequential: of the text; else what was ever inserted */
    uint64_t event;  /* the next one's number */
    /* Raw graphs: where transactions begin, ascending, after their parents' ends. */
    uint64_t *starts;
    size_t n_starts;
    size_t next_start;
    /* Concurrent: what each transaction of the file stands for as a parent. */
    struct stand_in {
        size_t first; /* in t->parents, or, with count NONE, a transaction */
        size_t count;
    } * stand_ins;
    uint64_t *seqs; /* concurrent: events by agent */
    struct weir_error *e;
};

static enum weir_status
bad (const struct load *l, const char *why)
{
    return weir_error_set (l->e, WEIR_BAD_MESSAGE, HINT, "transaction %zu: %s", l->at, why);
}

static bool
get_number (const json_t *value, uint64_t max, uint64_t *out)
{
    if (!json_is_integer (value) || json_integer_value (value) < 0
        || (uint64_t) json_integer_value (value) > max) {
        return false;
    }
    *out = (uint64_t) json_integer_value (value);
    return true;
}

static uint32_t
count_scalars (const char *text, size_t bytes)
{
    uint32_t n = 0;
    for (size_t i = 0; i < bytes; i++) {
        n += ((uint8_t) text[i] & 0xc0) != 0x80;
    }
    return n;
}

/* How many bytes the first `count` scalars take. */
static uint32_t
scalar_bytes (const uint8_t *text, uint32_t bytes, uint32_t count)
{
    uint32_t i = 0;
    while (i < bytes && (count > 0 || (text[i] & 0xc0) == 0x80)) {
        count -= (text[i] & 0xc0) != 0x80;
        i++;
    }
    return i;
}

/* ---- agents ---- */

static int
compare_agents (const void *a, const void *b)
{
    const json_t *x = *(json_t *const *) a;
    const json_t *y = *(json_t *const *) b;
    if (json_is_integer (x) && json_is_integer (y)) {
        json_int_t i = json_integer_value (x);
        json_int_t j = json_integer_value (y);
        return i < j ? -1 : i > j;
    }
    if (json_is_integer (x) || json_is_integer (y)) {
        return json_is_integer (x) ? -1 : 1;
    }
    return strcmp (json_string_value (x), json_string_value (y)); /* as unsigned bytes */
}

/* The distinct agents in order; the caller frees. NULL: one has no name. */
static const json_t **
sort_agents (struct load *l, size_t *count)
{
    size_t n = json_array_size (l->txns);
    const json_t **agents = weir_alloc (n * sizeof *agents);
    *count = 0;
    for (l->at = 0; l->at < n; l->at++) {
        agents[l->at] = json_object_get (json_array_get (l->txns, l->at), "agent");
        if (!json_is_string (agents[l->at]) && !json_is_integer (agents[l->at])) {
            free (agents);
            return NULL;
        }
    }
    qsort (agents, n, sizeof *agents, compare_agents);
    for (size_t i = 0; i < n; i++) {
        if (*count == 0 || compare_agents (&agents[*count - 1], &agents[i]) != 0) {
            agents[(*count)++] = agents[i];
        }
    }
    return agents;
}

static uint32_t
rank_of (const json_t **agents, size_t count, const json_t *agent)
{
    const json_t **found = bsearch (&agent, agents, count, sizeof *agents, compare_agents);
    weir_assert (found != NULL);
    return (uint32_t) (found - agents);
}

static void
keep_agent (struct bench_trace *t, const json_t *agent)
{
    struct weir_buf name = { 0 };
    if (json_is_integer (agent)) {
        weir_buf_printf (&name, "%lld", (long long) json_integer_value (agent));
    } else {
        weir_buf_printf (&name, "%s", agent != NULL ? json_string_value (agent) : "author");
    }
    weir_grow (&t->agents, &t->cap_agents, t->n_agents + 1, sizeof *t->agents);
    t->agents[t->n_agents++] = weir_strdup (weir_buf_str (&name));
    weir_buf_fini (&name);
}

/* ---- transactions and patches ---- */

static struct bench_txn *
push_txn (struct load *l, uint32_t agent, uint64_t seq)
{
    struct bench_trace *t = l->t;
    weir_grow (&t->txns, &t->cap_txns, t->n_txns + 1, sizeof *t->txns);
    struct bench_txn *txn = &t->txns[t->n_txns++];
    *txn = (struct bench_txn){ .agent = agent,
                               .seq = seq,
                               .number = l->event,
                               .patches = t->n_patches,
                               .parents = t->n_parents };
    return txn;
}

/* Parents of the newest transaction; one that is there already is passed over. */
static void
push_parent (struct bench_trace *t, uint32_t parent)
{
    struct bench_txn *txn = &t->txns[t->n_txns - 1];
    for (size_t i = 0; i < txn->n_parents; i++) {
        if (t->parents[txn->parents + i] == parent) {
            return;
        }
    }
    weir_grow (&t->parents, &t->cap_parents, t->n_parents + 1, sizeof *t->parents);
    t->parents[t->n_parents++] = parent;
    txn->n_parents++;
}

/* Begins the next part of the newest transaction where another one's parent points into it. */
static void
cut_txn (struct load *l)
{
    struct bench_txn last = l->t->txns[l->t->n_txns - 1];
    if (last.events > 0 && l->next_start < l->n_starts && l->event == l->starts[l->next_start]) {
        push_txn (l, last.agent, last.seq + last.events);
        push_parent (l->t, (uint32_t) l->t->n_txns - 2);
    }
    while (l->next_start < l->n_starts && l->starts[l->next_start] <= l->event) {
        l->next_start++;
    }
}

/* Adds a patch to the newest transaction, in pieces where it is cut. */
static void
put_patch (struct load *l, struct bench_patch patch)
{
    struct bench_trace *t = l->t;
    while (patch.deleted + patch.inserted > 0) {
        cut_txn (l);
        uint64_t room =
            l->next_start < l->n_starts ? l->starts[l->next_start] - l->event : UINT64_MAX;
        struct bench_patch piece = patch;
        if (piece.deleted > room) {
            piece.deleted = (uint32_t) room;
        }
        if (piece.inserted > room - piece.deleted) {
            piece.inserted = (uint32_t) (room - piece.deleted);
            piece.bytes = scalar_bytes (t->text.data + piece.text, piece.bytes, piece.inserted);
        }
        weir_grow (&t->patches, &t->cap_patches, t->n_patches + 1, sizeof *t->patches);
        t->patches[t->n_patches++] = piece;
        struct bench_txn *txn = &t->txns[t->n_txns - 1];
        txn->n_patches++;
        txn->events += piece.deleted + piece.inserted;
        l->event += piece.deleted + piece.inserted;
        patch.deleted -= piece.deleted;
        patch.inserted -= piece.inserted;
        patch.bytes -= piece.bytes;
        patch.text += piece.bytes;
        patch.at += piece.inserted;
    }
}

static enum weir_status
read_patch (struct load *l, const json_t *row)
{
    struct bench_trace *t = l->t;
    uint64_t at;
    uint64_t deleted;
    const json_t *text = json_array_get (row, 2);
    if (json_array_size (row) != 3 || !get_number (json_array_get (row, 0), UINT32_MAX, &at)
        || !get_number (json_array_get (row, 1), UINT32_MAX, &deleted) || !json_is_string (text)) {
        return bad (l, "a patch is [position, deleted, inserted text]");
    }
    if (at + deleted > l->length) {
        return bad (l, "a position is beyond the end of the text");
    }
    size_t bytes = json_string_length (text);
    uint32_t inserted = count_scalars (json_string_value (text), bytes);
    t->events += deleted + inserted;
    if (t->events > BENCH_TRACE_EVENTS_MAX) {
        return weir_error_set (l->e, WEIR_TOO_LARGE, NULL, "more than %u events",
                               BENCH_TRACE_EVENTS_MAX);
    }
    struct bench_patch patch = { .at = (uint32_t) at,
                                 .deleted = (uint32_t) deleted,
                                 .inserted = inserted,
                                 .bytes = (uint32_t) bytes,
                                 .text = t->text.len };
    weir_buf_put (&t->text, json_string_value (text), bytes);
    put_patch (l, patch);
    l->length += inserted - (t->format == BENCH_SEQUENTIAL ? deleted : 0);
    return WEIR_OK;
}

static enum weir_status
read_patches (struct load *l, const json_t *txn)
{
    const json_t *rows = json_object_get (txn, l->ops);
    enum weir_status status = WEIR_OK;
    if (!json_is_array (rows)) {
        return bad (l, l->t->format == BENCH_GRAPH ? "there is no array \"ops\""
                                                   : "there is no array \"patches\"");
    }
    for (size_t i = 0; status == WEIR_OK && i < json_array_size (rows); i++) {
        status = read_patch (l, json_array_get (rows, i));
    }
    return status;
}

/* ---- the formats ---- */

static enum weir_status
read_sequential (struct load *l, const json_t *txn)
{
    struct bench_trace *t = l->t;
    size_t before = t->n_txns;
    push_txn (l, 0, l->event);
    if (before > 0) {
        push_parent (t, (uint32_t) before - 1);
    }
    enum weir_status status = read_patches (l, txn);
    if (t->txns[before].events == 0) {
        t->n_txns = before;
        t->n_parents = t->txns[before].parents;
    }
    return status;
}

/* A transaction without events stands for its parents. */
static enum weir_status
read_concurrent (struct load *l, const json_t *txn, uint32_t agent)
{
    struct bench_trace *t = l->t;
    const json_t *parents = json_object_get (txn, "parents");
    uint32_t number = (uint32_t) t->n_txns;
    if (!json_is_array (parents)) {
        return bad (l, "there is no array \"parents\"");
    }
    push_txn (l, agent, l->seqs[agent]);
    for (size_t i = 0; i < json_array_size (parents); i++) {
        uint64_t parent;
        if (!get_number (json_array_get (parents, i), UINT32_MAX, &parent) || parent >= l->at) {
            return bad (l, "a parent is no earlier transaction");
        }
        struct stand_in s = l->stand_ins[parent];
        if (s.count == SIZE_MAX) {
            push_parent (t, (uint32_t) s.first);
        }
        for (size_t k = 0; s.count != SIZE_MAX && k < s.count; k++) {
            push_parent (t, t->parents[s.first + k]);
        }
    }
    enum weir_status status = read_patches (l, txn);
    struct bench_txn *own = &t->txns[number];
    l->stand_ins[l->at] = (struct stand_in){ number, SIZE_MAX };
    if (own->events == 0) { /* its parents stay where they are */
        l->stand_ins[l->at] = (struct stand_in){ own->parents, own->n_parents };
        t->n_txns = number;
    }
    l->seqs[agent] += t->n_txns > number ? own->events : 0;
    return status;
}

static enum weir_status
push_event_parent (struct load *l, uint64_t event)
{
    struct bench_trace *t = l->t;
    size_t from = 0;
    size_t to = t->n_txns - 1; /* without itself */
    while (from < to) {
        size_t mid = from + (to - from) / 2;
        const struct bench_txn *txn = &t->txns[mid];
        if (event < txn->number) {
            to = mid;
        } else if (event >= txn->number + txn->events) {
            from = mid + 1;
        } else {
            push_parent (t, (uint32_t) mid);
            return WEIR_OK;
        }
    }
    return bad (l, "a parent is no earlier event");
}

static enum weir_status
read_graph (struct load *l, const json_t *txn, uint32_t agent)
{
    struct bench_trace *t = l->t;
    const json_t *span = json_object_get (txn, "span");
    const json_t *parents = json_object_get (txn, "parents");
    uint64_t from;
    uint64_t to;
    uint64_t seq;
    uint64_t parent = 0;
    if (json_array_size (span) != 2 || !get_number (json_array_get (span, 0), UINT32_MAX, &from)
        || !get_number (json_array_get (span, 1), UINT32_MAX, &to) || from > to) {
        return bad (l, "\"span\" is not [first event, event behind the last]");
    }
    if (from < l->event) {
        return bad (l, "its events are there already");
    }
    if (!get_number (json_object_get (txn, "seqStart"), INT64_MAX, &seq)) {
        return bad (l, "\"seqStart\" is no number");
    }
    if (!json_is_array (parents)) {
        return bad (l, "there is no array \"parents\"");
    }
    size_t before = t->n_txns;
    size_t parents_before = t->n_parents;
    l->event = from;
    push_txn (l, agent, seq);
    enum weir_status status = WEIR_OK;
    for (size_t i = 0; status == WEIR_OK && i < json_array_size (parents); i++) {
        status = get_number (json_array_get (parents, i), UINT32_MAX, &parent)
                     ? push_event_parent (l, parent)
                     : bad (l, "a parent is no number");
    }
    if (status == WEIR_OK) {
        status = read_patches (l, txn);
    }
    if (status == WEIR_OK && l->event != to) {
        status = bad (l, "its patches have another number of events than its span");
    }
    if (t->txns[before].events == 0) {
        t->n_txns = before;
        t->n_parents = parents_before;
    }
    return status;
}

static int
compare_u64 (const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *) a;
    uint64_t y = *(const uint64_t *) b;
    return x < y ? -1 : x > y;
}

/* Where a transaction has to end because a parent is its last event. */
static void
find_starts (struct load *l)
{
    size_t cap = 0;
    for (size_t i = 0; i < json_array_size (l->txns); i++) {
        const json_t *parents = json_object_get (json_array_get (l->txns, i), "parents");
        for (size_t k = 0; k < json_array_size (parents); k++) {
            uint64_t parent;
            if (get_number (json_array_get (parents, k), UINT32_MAX, &parent)) {
                weir_grow (&l->starts, &cap, l->n_starts + 1, sizeof *l->starts);
                l->starts[l->n_starts++] = parent + 1;
            }
        }
    }
    if (l->n_starts > 0) {
        qsort (l->starts, l->n_starts, sizeof *l->starts, compare_u64);
    }
}

static enum weir_status
read_txns (struct load *l)
{
    enum weir_status status = WEIR_OK;
    size_t n = json_array_size (l->txns);
    size_t n_agents = 0;
    const json_t **agents = NULL;
    if (l->t->format != BENCH_SEQUENTIAL) {
        agents = sort_agents (l, &n_agents);
        if (agents == NULL) {
            return bad (l, "\"agent\" is neither text nor a whole number");
        }
    }
    for (size_t i = 0; i < n_agents; i++) {
        keep_agent (l->t, agents[i]);
    }
    l->seqs = weir_alloc (n_agents * sizeof *l->seqs);
    l->stand_ins = weir_alloc (n * sizeof *l->stand_ins);
    for (l->at = 0; status == WEIR_OK && l->at < n; l->at++) {
        const json_t *txn = json_array_get (l->txns, l->at);
        uint32_t agent =
            agents == NULL ? 0 : rank_of (agents, n_agents, json_object_get (txn, "agent"));
        status = l->t->format == BENCH_SEQUENTIAL   ? read_sequential (l, txn)
                 : l->t->format == BENCH_CONCURRENT ? read_concurrent (l, txn, agent)
                                                    : read_graph (l, txn, agent);
    }
    free (agents);
    return status;
}

enum weir_status
bench_trace_read (struct bench_trace *t, const json_t *root, struct weir_error *e)
{
    const json_t *end = json_object_get (root, "endContent");
    const json_t *start = json_object_get (root, "startContent");
    const json_t *txns = json_object_get (root, "txns");
    const char *kind = json_string_value (json_object_get (root, "kind"));
    if (!json_is_array (txns) || !json_is_string (end)) {
        return weir_error_set (e, WEIR_BAD_MESSAGE, HINT,
                               "there is no array \"txns\" and text \"endContent\"");
    }
    if (start != NULL && json_string_length (start) > 0) {
        return weir_error_set (e, WEIR_BAD_MESSAGE, HINT, "\"startContent\" is not empty");
    }
    const json_t *first = json_array_get (txns, 0);
    t->format = json_object_get (first, "span") != NULL                      ? BENCH_GRAPH
                : (kind != NULL && strcmp (kind, "concurrent") == 0)         ? BENCH_CONCURRENT
                : kind == NULL && json_object_get (first, "parents") != NULL ? BENCH_CONCURRENT
                                                                             : BENCH_SEQUENTIAL;
    weir_buf_put (&t->end, json_string_value (end), json_string_length (end));
    struct load l = {
        .t = t, .txns = txns, .e = e, .ops = t->format == BENCH_GRAPH ? "ops" : "patches"
    };
    if (t->format == BENCH_SEQUENTIAL) {
        keep_agent (t, NULL);
    }
    if (t->format == BENCH_GRAPH) {
        find_starts (&l);
    }
    enum weir_status status = read_txns (&l);
    free (l.starts);
    free (l.stand_ins);
    free (l.seqs);
    return status;
}
