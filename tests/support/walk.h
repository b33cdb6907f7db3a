#ifndef WEIR_TESTS_SUPPORT_WALK_H
#define WEIR_TESTS_SUPPORT_WALK_H

/* A history of plain text replayed through graph and tracker, as seq.c does it but with nothing
 * around: entries of inserts and deletes, read from a file of raw graphs or made up by a test. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>

#include "store/crdt/graph.h"
#include "store/crdt/tracker.h"

struct walk_op {
    uint32_t at;
    uint32_t deleted;
    uint32_t inserted;
    uint32_t text; /* of what is inserted, in the history's text */
    uint32_t event;
};

struct walk_entry {
    uint32_t agent; /* authors in the order of their names */
    uint64_t seq;   /* (agent, seq) is the place key */
    uint32_t first_op;
    uint32_t n_ops;
    uint32_t event; /* of the first op */
    uint32_t events;
    uint32_t n_parents;
    uint32_t *parents; /* numbers of entries, owned */
};

struct walk_history {
    struct walk_entry *entries;
    size_t count;
    size_t entries_cap;
    struct walk_op *ops;
    size_t n_ops;
    size_t ops_cap;
    uint32_t *text; /* scalars */
    size_t text_len;
    size_t text_cap;
    uint32_t events;
    uint32_t *of_event; /* entry of an event; made by walk_index */
    uint32_t *end;      /* the text that comes of it: endContent, or what a model says */
    size_t end_len;
    size_t end_cap;
};

static inline void
walk_history_fini (struct walk_history *h)
{
    for (size_t i = 0; i < h->count; i++) {
        free (h->entries[i].parents);
    }
    free (h->entries);
    free (h->ops);
    free (h->text);
    free (h->of_event);
    free (h->end);
    *h = (struct walk_history){ 0 };
}

static inline struct walk_entry *
walk_add_entry (struct walk_history *h, uint32_t agent, uint64_t seq, const uint32_t *parents,
                size_t n_parents)
{
    weir_grow (&h->entries, &h->entries_cap, h->count + 1, sizeof *h->entries);
    struct walk_entry *e = &h->entries[h->count++];
    *e = (struct walk_entry){ .agent = agent,
                              .seq = seq,
                              .first_op = (uint32_t) h->n_ops,
                              .event = h->events,
                              .n_parents = (uint32_t) n_parents };
    e->parents = weir_alloc (n_parents * sizeof *parents);
    if (n_parents > 0) {
        memcpy (e->parents, parents, n_parents * sizeof *parents);
    }
    return e;
}

/* To the last entry: a delete, or an insert of UTF-8. */
static inline void
walk_add_delete (struct walk_history *h, uint32_t at, uint32_t count)
{
    struct walk_entry *e = &h->entries[h->count - 1];
    weir_grow (&h->ops, &h->ops_cap, h->n_ops + 1, sizeof *h->ops);
    h->ops[h->n_ops++] = (struct walk_op){ .at = at, .deleted = count, .event = h->events };
    e->n_ops++;
    e->events += count;
    h->events += count;
}

static inline void
walk_add_insert (struct walk_history *h, uint32_t at, struct weir_bytes text)
{
    struct walk_entry *e = &h->entries[h->count - 1];
    uint32_t from = (uint32_t) h->text_len;
    uint32_t point = 0;
    for (size_t n = weir_utf8_next (text, &point); n > 0; n = weir_utf8_next (text, &point)) {
        weir_grow (&h->text, &h->text_cap, h->text_len + 1, sizeof *h->text);
        h->text[h->text_len++] = point;
        text = weir_bytes (text.data + n, text.len - n);
    }
    uint32_t count = (uint32_t) h->text_len - from;
    weir_grow (&h->ops, &h->ops_cap, h->n_ops + 1, sizeof *h->ops);
    h->ops[h->n_ops++] =
        (struct walk_op){ .at = at, .inserted = count, .text = from, .event = h->events };
    e->n_ops++;
    e->events += count;
    h->events += count;
}

/* Numbers the events anew, in the order of the entries. */
static inline void
walk_index (struct walk_history *h)
{
    uint32_t event = 0;
    free (h->of_event);
    h->of_event = weir_alloc ((size_t) h->events * sizeof *h->of_event);
    for (size_t i = 0; i < h->count; i++) {
        struct walk_entry *e = &h->entries[i];
        e->event = event;
        for (uint32_t k = 0; k < e->n_ops; k++) {
            struct walk_op *op = &h->ops[e->first_op + k];
            op->event = event;
            for (uint32_t n = op->inserted + op->deleted; n > 0; n--) {
                h->of_event[event++] = (uint32_t) i;
            }
        }
    }
}

static inline int
walk_compare (void *context, uint32_t a, uint32_t b)
{
    const struct walk_history *h = context;
    const struct walk_entry *x = &h->entries[h->of_event[a]];
    const struct walk_entry *y = &h->entries[h->of_event[b]];
    if (x->agent != y->agent) {
        return x->agent < y->agent ? -1 : 1;
    }
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

/* The same history with its entries renumbered: `order[i]` becomes entry i. */
static inline void
walk_renumber (const struct walk_history *from, const uint32_t *order, struct walk_history *to)
{
    uint32_t *place = weir_alloc (from->count * sizeof *place);
    *to = (struct walk_history){ 0 };
    for (size_t i = 0; i < from->count; i++) {
        place[order[i]] = (uint32_t) i;
    }
    weir_grow (&to->ops, &to->ops_cap, from->n_ops + 1, sizeof *to->ops);
    for (size_t i = 0; i < from->n_ops; i++) {
        to->ops[i] = from->ops[i];
    }
    to->n_ops = from->n_ops;
    weir_grow (&to->text, &to->text_cap, from->text_len + 1, sizeof *to->text);
    for (size_t i = 0; i < from->text_len; i++) {
        to->text[i] = from->text[i];
    }
    to->text_len = from->text_len;
    to->events = from->events;
    for (size_t i = 0; i < from->count; i++) {
        const struct walk_entry *e = &from->entries[order[i]];
        struct walk_entry *made = walk_add_entry (to, e->agent, e->seq, e->parents, e->n_parents);
        made->first_op = e->first_op;
        made->n_ops = e->n_ops;
        made->events = e->events;
        for (uint32_t p = 0; p < made->n_parents; p++) {
            made->parents[p] = place[made->parents[p]];
        }
    }
    weir_grow (&to->end, &to->end_cap, from->end_len + 1, sizeof *to->end);
    for (size_t i = 0; i < from->end_len; i++) {
        to->end[i] = from->end[i];
    }
    to->end_len = from->end_len;
    walk_index (to);
    free (place);
}

/* Entry numbers as ids. */
static inline struct weir_id
walk_id (uint32_t number)
{
    struct weir_id id = { { 0 } };
    weir_store_u32 (id.b, number);
    return id;
}

static inline struct weir_graph *
walk_graph (const struct walk_history *h)
{
    struct weir_graph *graph = weir_graph_new ();
    for (uint32_t i = 0; i < h->count; i++) {
        const struct walk_entry *e = &h->entries[i];
        struct weir_graph_node node = { .id = walk_id (i), .seq = e->seq, .ops = e->events };
        struct weir_id parents[64];
        uint32_t number = 0;
        weir_assert (e->n_parents <= 64);
        weir_store_u32 (node.chain.author.b, e->agent);
        for (uint32_t p = 0; p < e->n_parents; p++) {
            parents[p] = walk_id (e->parents[p]);
        }
        enum weir_status status = weir_graph_add (graph, &node, parents, e->n_parents, &number);
        weir_assert (status == WEIR_OK && number == i);
    }
    return graph;
}

/* ---- a document that entries are merged into ---- */

struct walk_doc {
    const struct walk_history *history;
    struct weir_graph *graph; /* the history's */
    bool quiet;               /* keep no text, only its length */
    uint32_t *text;
    size_t len;
    size_t cap;
    struct weir_numbers version; /* what the text is */
    struct weir_tracker *tracker;
    uint32_t base; /* the tracker's; the entries behind it that it has: */
    struct weir_numbers seen;
    struct weir_numbers hand; /* the version the tracker is at */
    struct weir_numbers back; /* scratch */
    struct weir_numbers forth;
    bool silent;     /* rebuilding: what comes out is known */
    uint64_t steps;  /* events that retreat and advance moved */
    uint64_t walked; /* events applied through the tracker */
    size_t memory_max;
};

static inline void
walk_doc_fini (struct walk_doc *d)
{
    weir_tracker_destroy (&d->tracker);
    free (d->text);
    weir_numbers_fini (&d->version);
    weir_numbers_fini (&d->seen);
    weir_numbers_fini (&d->hand);
    weir_numbers_fini (&d->back);
    weir_numbers_fini (&d->forth);
}

static inline void
walk_set_version (struct weir_numbers *version, uint32_t number)
{
    weir_numbers_clear (version);
    if (number != WEIR_GRAPH_NONE) {
        weir_numbers_push (version, number);
    }
}

static inline void
walk_put_text (struct walk_doc *d, uint32_t at, uint32_t count, const uint32_t *text)
{
    if (d->silent) {
        return;
    }
    weir_assert (at <= d->len);
    if (!d->quiet) {
        weir_grow (&d->text, &d->cap, d->len + count, sizeof *d->text);
        memmove (d->text + at + count, d->text + at, (d->len - at) * sizeof *d->text);
        memcpy (d->text + at, text, count * sizeof *text);
    }
    d->len += count;
}

static inline void
walk_cut_text (void *context, uint32_t at, uint32_t count)
{
    struct walk_doc *d = context;
    if (d->silent) {
        return;
    }
    weir_assert (at + count <= d->len);
    d->len -= count;
    if (!d->quiet) {
        memmove (d->text + at, d->text + at + count, (d->len - at) * sizeof *d->text);
    }
}

/* Nothing concurrent: positions hold. */
static inline void
walk_apply_plain (struct walk_doc *d, uint32_t number)
{
    const struct walk_history *h = d->history;
    const struct walk_entry *e = &h->entries[number];
    for (uint32_t k = 0; k < e->n_ops; k++) {
        const struct walk_op *op = &h->ops[e->first_op + k];
        if (op->deleted > 0) {
            walk_cut_text (d, op->at, op->deleted);
        } else {
            walk_put_text (d, op->at, op->inserted, h->text + op->text);
        }
    }
}

/* Through the tracker, which goes to the entry's parents first. */
static inline void
walk_apply_tracked (struct walk_doc *d, uint32_t number)
{
    const struct walk_history *h = d->history;
    const struct walk_entry *e = &h->entries[number];
    const struct weir_graph_node *node = weir_graph_node (d->graph, number);
    uint32_t none = 0;
    weir_graph_diff (d->graph, d->hand.items != NULL ? d->hand.items : &none, d->hand.count,
                     node->parents, node->n_parents, &d->back, &d->forth);
    for (size_t i = d->back.count; i-- > 0;) {
        const struct walk_entry *b = &h->entries[d->back.items[i]];
        weir_tracker_retreat (d->tracker, b->event, b->events);
        d->steps += b->events;
    }
    for (size_t i = 0; i < d->forth.count; i++) {
        const struct walk_entry *b = &h->entries[d->forth.items[i]];
        weir_tracker_advance (d->tracker, b->event, b->events);
        d->steps += b->events;
    }
    for (uint32_t k = 0; k < e->n_ops; k++) {
        const struct walk_op *op = &h->ops[e->first_op + k];
        uint32_t end_at = 0;
        if (op->deleted > 0) {
            weir_tracker_delete (d->tracker, op->event, op->deleted, op->at, walk_cut_text, d);
        } else {
            weir_tracker_insert (d->tracker, op->event, op->inserted, op->at, &end_at);
            walk_put_text (d, end_at, op->inserted, h->text + op->text);
        }
    }
    d->walked += e->events;
    walk_set_version (&d->hand, number);
    weir_numbers_push (&d->seen, number);
}

static inline void
walk_drop_tracker (struct walk_doc *d)
{
    if (d->tracker != NULL) {
        size_t bytes = weir_tracker_memory_bytes (d->tracker);
        d->memory_max = bytes > d->memory_max ? bytes : d->memory_max;
    }
    weir_tracker_destroy (&d->tracker);
}

static inline void
walk_start_tracker (struct walk_doc *d, uint32_t base, uint32_t base_length)
{
    walk_drop_tracker (d);
    d->tracker = weir_tracker_new (base_length, walk_compare, (void *) (uintptr_t) d->history);
    d->base = base;
    walk_set_version (&d->hand, base);
    weir_numbers_clear (&d->seen);
}

/* Everything at once, into an empty document: the tracker only where there is concurrency. */
static inline void
walk_all (struct walk_doc *d)
{
    size_t n_heads = 0;
    const uint32_t *heads = weir_graph_heads (d->graph, &n_heads);
    struct weir_numbers zone = { 0 };
    struct weir_numbers order = { 0 };
    size_t count = d->history->count;
    bool *critical = weir_alloc (count);
    uint32_t lowest = WEIR_GRAPH_NONE; /* parent of a later one, counting none as -1 */
    uint32_t open = 0;                 /* nodes without children so far */
    bool *has_child = weir_alloc (count);
    bool rooted = false;
    for (uint32_t i = 0; i < count; i++) {
        const struct weir_graph_node *node = weir_graph_node (d->graph, i);
        open++;
        for (uint32_t p = 0; p < node->n_parents; p++) {
            open -= !has_child[node->parents[p]];
            has_child[node->parents[p]] = true;
        }
        critical[i] = open == 1;
    }
    for (uint32_t i = (uint32_t) count; i-- > 0;) {
        const struct weir_graph_node *node = weir_graph_node (d->graph, i);
        critical[i] = critical[i] && !rooted && (lowest == WEIR_GRAPH_NONE || lowest >= i);
        rooted = rooted || node->n_parents == 0;
        for (uint32_t p = 0; p < node->n_parents; p++) {
            lowest = node->parents[p] < lowest ? node->parents[p] : lowest;
        }
        weir_numbers_push (&zone, (uint32_t) count - 1 - i);
    }
    weir_graph_order (d->graph, &zone, &order);
    bool clean = true;
    uint32_t last = WEIR_GRAPH_NONE;
    for (size_t i = 0; i < count; i++) {
        uint32_t number = order.items[i];
        if (clean && critical[number]) {
            walk_apply_plain (d, number);
        } else {
            if (clean) {
                walk_start_tracker (d, last, (uint32_t) d->len);
            }
            walk_apply_tracked (d, number);
            clean = critical[number];
        }
        last = number;
    }
    walk_drop_tracker (d);
    weir_numbers_clear (&d->version);
    for (size_t i = 0; i < n_heads; i++) {
        weir_numbers_push (&d->version, heads[i]);
    }
    weir_numbers_fini (&zone);
    weir_numbers_fini (&order);
    free (critical);
    free (has_child);
}

/* One entry into a document that has its parents. `keep`: go on with the tracker at hand where
 * it reaches far enough, else it is rebuilt from the last critical entry. The placeholder is as
 * long as can be: what is behind the text is never touched. */
static inline void
walk_merge (struct walk_doc *d, uint32_t number, bool keep)
{
    const struct weir_graph_node *node = weir_graph_node (d->graph, number);
    struct weir_numbers zone = { 0 };
    struct weir_numbers order = { 0 };
    uint32_t none = 0;
    const uint32_t *version = d->version.items != NULL ? d->version.items : &none;
    if (weir_graph_compare (d->graph, version, d->version.count, node->parents, node->n_parents)
        == WEIR_GRAPH_EQUAL) {
        walk_apply_plain (d, number);
        walk_drop_tracker (d);
        walk_set_version (&d->version, number);
        return;
    }
    weir_numbers_push (&d->version, number);
    /* The tracker will do when its base is in the past of the entry. */
    bool reaches = d->tracker != NULL
                   && (d->base == WEIR_GRAPH_NONE
                       || weir_graph_contains (d->graph, node->parents, node->n_parents, d->base));
    if (!keep || !reaches) {
        uint32_t base = weir_graph_base (d->graph, d->version.items, d->version.count, &zone);
        walk_start_tracker (d, base, base == WEIR_GRAPH_NONE ? 0 : WEIR_TRACKER_BASE - 1);
        weir_graph_order (d->graph, &zone, &order);
        d->silent = true;
        for (size_t i = 0; i < order.count; i++) {
            if (order.items[i] != number) {
                walk_apply_tracked (d, order.items[i]);
            }
        }
        d->silent = false;
    }
    walk_apply_tracked (d, number);
    weir_graph_minimize (d->graph, &d->version);
    weir_numbers_fini (&zone);
    weir_numbers_fini (&order);
}

/* ---- files ---- */

/* The JSON in a gzipped file; NULL: it cannot be read. */
static inline json_t *
walk_load (const char *name)
{
    char path[1200];
    int ends[2];
    int status = 0;
    const char *dir = getenv ("WEIR_TRACES");
    (void) snprintf (path, sizeof path, "%s/%s", dir != NULL ? dir : "../shared/traces", name);
    if (access (path, R_OK) != 0 || pipe (ends) != 0) {
        return NULL;
    }
    pid_t child = fork ();
    weir_assert (child >= 0);
    if (child == 0) {
        (void) dup2 (ends[1], STDOUT_FILENO);
        (void) close (ends[0]);
        (void) close (ends[1]);
        (void) execlp ("gzip", "gzip", "-dc", path, (char *) NULL);
        _exit (127);
    }
    (void) close (ends[1]);
    json_t *json = json_loadfd (ends[0], 0, NULL);
    (void) close (ends[0]);
    (void) waitpid (child, &status, 0);
    return json;
}

static inline uint32_t
walk_number (const json_t *json)
{
    return (uint32_t) json_integer_value (json);
}

static inline void
walk_read_ops (struct walk_history *h, const json_t *ops, uint32_t from, uint32_t to)
{
    /* Events from .. to - 1 of the transaction, whose ops may be cut. */
    uint32_t event = 0;
    size_t i;
    json_t *op;
    json_array_foreach (ops, i, op)
    {
        uint32_t at = walk_number (json_array_get (op, 0));
        uint32_t deleted = walk_number (json_array_get (op, 1));
        const json_t *text = json_array_get (op, 2);
        struct weir_bytes rest = weir_bytes (json_string_value (text), json_string_length (text));
        uint32_t low = from > event ? from - event : 0;
        uint32_t n = to > event ? to - event : 0;
        n = n < deleted ? n : deleted;
        if (low < n) {
            walk_add_delete (h, at, n - low);
        }
        event += deleted;
        /* The scalars of it that are in the range. */
        struct weir_bytes part = { 0 };
        uint32_t skipped = 0;
        uint32_t point;
        for (size_t k; (k = weir_utf8_next (rest, &point)) > 0; event++) {
            if (event >= from && event < to) {
                part.data = part.data != NULL ? part.data : rest.data;
                part.len += k;
            } else if (event < from) {
                skipped++;
            }
            rest = weir_bytes (rest.data + k, rest.len - k);
        }
        if (part.len > 0) {
            walk_add_insert (h, at + skipped, part);
        }
    }
}

static inline int
walk_compare_numbers (const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *) a;
    uint32_t y = *(const uint32_t *) b;
    return x < y ? -1 : x > y;
}

static inline void
walk_read_end (struct walk_history *h, const json_t *end)
{
    struct weir_bytes rest = weir_bytes (json_string_value (end), json_string_length (end));
    uint32_t point;
    for (size_t n; (n = weir_utf8_next (rest, &point)) > 0;) {
        weir_grow (&h->end, &h->end_cap, h->end_len + 1, sizeof *h->end);
        h->end[h->end_len++] = point;
        rest = weir_bytes (rest.data + n, rest.len - n);
    }
}

/* Authors become their place among all authors' names. */
static inline uint32_t
walk_agent (const json_t *txns, const json_t *agent)
{
    /* How many distinct names are smaller: quadratic, and cached by the caller. */
    const char *name = json_string_value (agent);
    uint32_t smaller = 0;
    size_t i;
    json_t *txn;
    json_t *seen = json_object ();
    json_array_foreach (txns, i, txn)
    {
        const char *other = json_string_value (json_object_get (txn, "agent"));
        if (strcmp (other, name) < 0 && json_object_get (seen, other) == NULL) {
            (void) json_object_set_new (seen, other, json_true ());
            smaller++;
        }
    }
    json_decref (seen);
    return smaller;
}

/* A raw graph: an entry a transaction, split where others name an event inside. */
static inline void
walk_read_raw (struct walk_history *h, const json_t *raw)
{
    const json_t *txns = json_object_get (raw, "txns");
    const json_t *end = json_object_get (raw, "endContent");
    json_t *agents = json_object ();
    struct weir_numbers cuts = { 0 }; /* events that others go on from */
    struct weir_numbers entry_of = { 0 };
    size_t i;
    size_t p;
    json_t *txn;
    json_t *parent;
    *h = (struct walk_history){ 0 };
    json_array_foreach (txns, i, txn)
    {
        json_array_foreach (json_object_get (txn, "parents"), p, parent)
        {
            weir_numbers_push (&cuts, walk_number (parent));
        }
    }
    qsort (cuts.items, cuts.count, sizeof *cuts.items, walk_compare_numbers);
    json_array_foreach (txns, i, txn)
    {
        const json_t *span = json_object_get (txn, "span");
        uint32_t from = walk_number (json_array_get (span, 0));
        uint32_t to = walk_number (json_array_get (span, 1));
        const char *name = json_string_value (json_object_get (txn, "agent"));
        if (json_object_get (agents, name) == NULL) {
            uint32_t agent = walk_agent (txns, json_object_get (txn, "agent"));
            (void) json_object_set_new (agents, name, json_integer (agent));
        }
        uint32_t agent = walk_number (json_object_get (agents, name));
        uint64_t seq = (uint64_t) json_integer_value (json_object_get (txn, "seqStart"));
        uint32_t parents[64];
        uint32_t n_parents = 0;
        json_array_foreach (json_object_get (txn, "parents"), p, parent)
        {
            weir_assert (n_parents < 64);
            parents[n_parents++] = entry_of.items[walk_number (parent)];
        }
        for (uint32_t start = from; start < to;) {
            size_t c = 0;
            size_t high = cuts.count; /* the first cut at or behind start */
            while (c < high) {
                size_t middle = (c + high) / 2;
                if (cuts.items[middle] < start) {
                    c = middle + 1;
                } else {
                    high = middle;
                }
            }
            uint32_t stop = c < cuts.count && cuts.items[c] + 1 < to ? cuts.items[c] + 1 : to;
            uint32_t number = (uint32_t) h->count;
            (void) walk_add_entry (h, agent, seq + (start - from), parents, n_parents);
            walk_read_ops (h, json_object_get (txn, "ops"), start - from, stop - from);
            for (uint32_t e = start; e < stop; e++) {
                weir_numbers_push (&entry_of, number);
            }
            parents[0] = number;
            n_parents = 1;
            start = stop;
        }
    }
    walk_read_end (h, end);
    walk_index (h);
    weir_numbers_fini (&cuts);
    weir_numbers_fini (&entry_of);
    json_decref (agents);
}

/* A concurrent trace: an entry a transaction. */
static inline void
walk_read_concurrent (struct walk_history *h, const json_t *trace)
{
    const json_t *end = json_object_get (trace, "endContent");
    size_t i;
    size_t p;
    json_t *txn;
    json_t *item;
    *h = (struct walk_history){ 0 };
    json_array_foreach (json_object_get (trace, "txns"), i, txn)
    {
        uint32_t parents[64];
        uint32_t n_parents = 0;
        json_array_foreach (json_object_get (txn, "parents"), p, item)
        {
            weir_assert (n_parents < 64);
            parents[n_parents++] = walk_number (item);
        }
        uint32_t agent = walk_number (json_object_get (txn, "agent"));
        (void) walk_add_entry (h, agent, i, parents, n_parents);
        walk_read_ops (h, json_object_get (txn, "patches"), 0, UINT32_MAX);
    }
    walk_read_end (h, end);
    walk_index (h);
}

/* Is the text of the document the one that the history ends in? */
static inline bool
walk_text_is_end (const struct walk_doc *d)
{
    const struct walk_history *h = d->history;
    bool same = d->len == h->end_len;
    for (size_t i = 0; same && i < d->len; i++) {
        same = d->text[i] == h->end[i];
    }
    return same;
}

#endif
