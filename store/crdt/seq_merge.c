/* Owns what a sequence does while its document has concurrent entries: it keeps a tracker at the
 * version that the entry at hand was written at (Eg-walker, section 3), begun at a version that
 * nothing is concurrent with, fed with what has happened since. seq.c asks it for positions.
 *
 * The tracker's end is the sequence as it stands; its base is so old that all that comes builds
 * on it, or it is made anew. Nodes that are above the base's number are all descendants of it:
 * so was it when the tracker was made, and a newcomer without a parent there ends the tracker. */

#include "store/crdt/seq_parts.h"

#include <stdlib.h>
#include <string.h>

/* So many entries may have passed before a newer base is looked for instead of feeding them. */
#define MISSED_MAX 256u
/* Fast entries in a line after which a tracker is dropped, and the size from which on at once. */
#define IDLE_ENTRIES 512u
#define IDLE_ENTRIES_LARGE 16u
#define LARGE_BYTES (4u << 20)
/* A tracker looks for a later base when it has seen twice what it was made of, and so many. */
#define LOOK_NODES 4096u

/* ---- versions ---- */

static int
numbers_compare (const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *) a;
    uint32_t y = *(const uint32_t *) b;
    return x < y ? -1 : x > y;
}

static void
numbers_set (struct weir_numbers *to, const uint32_t *items, size_t count)
{
    weir_numbers_clear (to);
    for (size_t i = 0; i < count; i++) {
        weir_numbers_push (to, items[i]);
    }
    if (count > 1) {
        qsort (to->items, count, sizeof *to->items, numbers_compare);
    }
}

static bool
hand_is (const struct seq_merge *m, const uint32_t *items, size_t count)
{
    return m->hand.count == count
           && (count == 0 || memcmp (m->hand.items, items, count * sizeof *items) == 0);
}

/* The events of some nodes (ascending), stretch by stretch, as neighbours are often together. */
static void
nodes_turn (struct weir_seq *self, const struct weir_numbers *nodes,
            void (*turn) (struct weir_tracker *tracker, uint32_t event, uint32_t count))
{
    const struct seq_log *log = &self->log;
    uint32_t event = 0;
    uint32_t end = 0;
    size_t run = 0;
    size_t i = 0;
    while (i < nodes->count) {
        if (run == log->count || log->runs[run].node != nodes->items[i]) {
            run = weir_seq_log_of_node (log, nodes->items[i]);
        }
        while (run < log->count && i < nodes->count && nodes->items[i] < log->runs[run].node) {
            i++;
        }
        if (run == log->count || i == nodes->count) {
            break;
        }
        if (log->runs[run].node != nodes->items[i]) {
            continue;
        }
        if (log->runs[run].event != end) {
            if (end > event) {
                turn (self->merge.tracker, event, end - event);
            }
            event = log->runs[run].event;
        }
        while (run < log->count && log->runs[run].node == nodes->items[i]) {
            run++;
        }
        end = run < log->count ? log->runs[run].event : log->next_event;
        i++;
    }
    if (end > event) {
        turn (self->merge.tracker, event, end - event);
    }
}

/* Moves the version at hand. */
static void
hand_move (struct weir_seq *self, const uint32_t *version, size_t count)
{
    struct seq_merge *m = &self->merge;
    numbers_set (&m->version, version, count);
    if (hand_is (m, m->version.items, m->version.count)) {
        return;
    }
    weir_graph_diff (weir_doc_graph (self->owner->doc), m->hand.items, m->hand.count,
                     m->version.items, m->version.count, &m->retreat, &m->advance);
    m->work += m->retreat.count + m->advance.count;
    nodes_turn (self, &m->retreat, weir_tracker_retreat);
    nodes_turn (self, &m->advance, weir_tracker_advance);
    struct weir_numbers old = m->hand;
    m->hand = m->version;
    m->version = old;
}

static void
hand_set (struct seq_merge *m, uint32_t node)
{
    weir_numbers_clear (&m->hand);
    weir_numbers_push (&m->hand, node);
}

/* ---- feeding ---- */

/* Does again what a node did, at the version at hand. */
static void
runs_feed (struct weir_seq *self, size_t run, uint32_t node)
{
    const struct seq_log *log = &self->log;
    for (; run < log->count && log->runs[run].node == node; run++) {
        const struct seq_run *r = &log->runs[run];
        uint32_t unused;
        uint64_t before = weir_tracker_steps (self->merge.tracker);
        if (r->deletes) {
            weir_tracker_delete (self->merge.tracker, r->event, r->count, r->at, NULL, NULL);
        } else {
            weir_tracker_insert (self->merge.tracker, r->event, r->count, r->at, &unused);
        }
        self->merge.work += 1 + weir_tracker_steps (self->merge.tracker) - before;
    }
}

static void
node_feed (struct weir_seq *self, uint32_t number)
{
    struct seq_merge *m = &self->merge;
    const struct weir_graph_node *node =
        weir_graph_node (weir_doc_graph (self->owner->doc), number);
    size_t run = weir_seq_log_of_node (&self->log, number);
    bool acts = run < self->log.count && self->log.runs[run].node == number;
    if (!acts && !hand_is (m, node->parents, node->n_parents)) {
        return; /* it changes nothing: the version at hand may stay where it is */
    }
    if (acts) {
        hand_move (self, node->parents, node->n_parents);
        runs_feed (self, run, number);
    }
    hand_set (m, number);
}

/* ---- making and keeping a tracker ---- */

static int
place_compare (void *context, uint32_t a, uint32_t b)
{
    const struct weir_seq *self = context;
    const struct weir_graph *graph = weir_doc_graph (self->owner->doc);
    const struct seq_run *x = weir_seq_log_of_event (&self->log, a);
    const struct seq_run *y = weir_seq_log_of_event (&self->log, b);
    uint32_t count = weir_graph_count (graph);
    if (x->node >= count || y->node >= count) { /* an open change comes last */
        return x->node < y->node ? -1 : x->node > y->node;
    }
    const struct weir_graph_node *n = weir_graph_node (graph, x->node);
    const struct weir_graph_node *o = weir_graph_node (graph, y->node);
    int order = weir_chain_compare (&n->chain, &o->chain);
    return order != 0 ? order : weir_id_compare (&n->id, &o->id);
}

static void
tracker_begin (struct weir_seq *self, uint32_t base)
{
    struct seq_merge *m = &self->merge;
    weir_tracker_destroy (&m->tracker);
    m->tracker = weir_tracker_new (SEQ_BASE_LENGTH, place_compare, self);
    m->base = base;
    weir_numbers_clear (&m->hand);
    if (base != WEIR_GRAPH_NONE) {
        weir_numbers_push (&m->hand, base);
    }
}

static void
zone_all (struct seq_merge *m, uint32_t end)
{
    weir_numbers_clear (&m->zone);
    for (uint32_t i = 0; i < end; i++) {
        weir_numbers_push (&m->zone, i);
    }
}

/* A base that the heads and the version build on, and a node of that number; fills the zone. */
static uint32_t
base_find (struct weir_seq *self, const uint32_t *version, size_t count, uint32_t other)
{
    struct seq_merge *m = &self->merge;
    const struct weir_graph *graph = weir_doc_graph (self->owner->doc);
    size_t n_heads = 0;
    const uint32_t *heads = weir_graph_heads (graph, &n_heads);
    if (count == 0) { /* nothing was seen: all is concurrent */
        zone_all (m, weir_graph_count (graph));
        return WEIR_GRAPH_NONE;
    }
    numbers_set (&m->version, heads, n_heads);
    for (size_t i = 0; i < count; i++) {
        weir_numbers_push (&m->version, version[i]);
    }
    if (other != WEIR_GRAPH_NONE) {
        weir_numbers_push (&m->version, other);
    }
    return weir_graph_base (graph, m->version.items, m->version.count, &m->zone);
}

/* Begins a tracker of the zone, as far as it is before `end`. */
static void
tracker_build (struct weir_seq *self, uint32_t base, uint32_t end)
{
    struct seq_merge *m = &self->merge;
    tracker_begin (self, base);
    weir_graph_order (weir_doc_graph (self->owner->doc), &m->zone, &m->order);
    m->fed = 0;
    m->covered = end;
    m->looked = end + LOOK_NODES + 2 * (uint32_t) m->zone.count;
}

/* Feeds what is left of the zone, and then of the nodes before `end`, until so much is done. */
static bool
tracker_feed (struct weir_seq *self, uint32_t end, uint64_t work)
{
    struct seq_merge *m = &self->merge;
    uint64_t until = work < UINT64_MAX - m->work ? m->work + work : UINT64_MAX;
    for (; m->fed < m->order.count && m->work < until; m->fed++, m->work++) {
        if (m->order.items[m->fed] < m->covered) {
            node_feed (self, m->order.items[m->fed]);
        }
    }
    if (m->fed < m->order.count) {
        return false;
    }
    for (; m->covered < end && m->work < until; m->covered++, m->work++) {
        node_feed (self, m->covered);
    }
    return m->covered >= end;
}

static bool
builds_on (const uint32_t *parents, size_t count, uint32_t base)
{
    bool builds = base == WEIR_GRAPH_NONE;
    for (size_t i = 0; i < count && !builds; i++) {
        builds = parents[i] >= base;
    }
    return builds;
}

/* Is the tracker one for what has come since, and for the version? */
static bool
tracker_fits (const struct weir_seq *self, const uint32_t *version, size_t count, uint32_t end)
{
    const struct seq_merge *m = &self->merge;
    const struct weir_graph *graph = weir_doc_graph (self->owner->doc);
    bool fits = m->tracker != NULL && builds_on (version, count, m->base);
    for (uint32_t i = m->covered; i < end && fits; i++) {
        const struct weir_graph_node *node = weir_graph_node (graph, i);
        fits = builds_on (node->parents, node->n_parents, m->base);
    }
    return fits;
}

/* Makes sure of a tracker that is one, or can become one, of all nodes before `end`, for something
 * with these parents. */
static void
tracker_ensure (struct weir_seq *self, const uint32_t *version, size_t count, uint32_t end)
{
    struct seq_merge *m = &self->merge;
    bool fits = tracker_fits (self, version, count, end);
    if (fits && (m->fed < m->order.count || (end - m->covered <= MISSED_MAX && end < m->looked))) {
        return;
    }
    uint32_t base = base_find (self, version, count, WEIR_GRAPH_NONE);
    size_t replay = m->zone.count;
    if (fits && replay >= end - m->covered
        && (m->base == WEIR_GRAPH_NONE || replay > (end - m->base) / 2)) {
        m->looked = end + LOOK_NODES + 2 * (uint32_t) replay;
        return;
    }
    if (!fits && m->tracker != NULL && replay > 0 && m->zone.items[0] > 0) {
        /* One that reached not far enough: the next may reach further still. */
        uint32_t first = m->zone.items[0];
        base = base_find (self, version, count, first > replay ? first - (uint32_t) replay : 0);
    }
    tracker_build (self, base, end);
}

bool
weir_seq_merge_parents (struct weir_seq *self, uint32_t node, const uint32_t *parents, size_t count,
                        uint64_t work)
{
    struct seq_merge *m = &self->merge;
    if (m->tracker == NULL || m->covered != node || m->fed < m->order.count
        || !builds_on (parents, count, m->base)) {
        tracker_ensure (self, parents, count, node);
        if (!tracker_feed (self, node, work)) {
            return false;
        }
    }
    hand_move (self, parents, count);
    m->slack = weir_tracker_end_length (m->tracker) - self->rope.total.entities;
    return true;
}

void
weir_seq_merge_enter (struct weir_seq *self)
{
    struct seq_merge *m = &self->merge;
    uint32_t node = weir_doc_node (self->owner->doc);
    if (m->tracker != NULL && m->covered == node + 1) {
        return; /* by an op before */
    }
    size_t count = 0;
    const uint32_t *parents = weir_doc_node_parents (self->owner->doc, &count);
    (void) weir_seq_merge_parents (self, node, parents, count, UINT64_MAX);
    hand_set (m, node);
    m->covered = node + 1;
}

void
weir_seq_merge_idle (struct weir_seq *self)
{
    struct seq_merge *m = &self->merge;
    uint32_t node = weir_doc_node (self->owner->doc);
    size_t count = 0;
    (void) weir_doc_node_parents (self->owner->doc, &count);
    if (count > 1 || node < m->covered) {
        return;
    }
    uint32_t idle =
        weir_tracker_memory_bytes (m->tracker) > LARGE_BYTES ? IDLE_ENTRIES_LARGE : IDLE_ENTRIES;
    if (node - m->covered >= idle) {
        weir_tracker_destroy (&m->tracker);
    }
}

void
weir_seq_merge_all (struct weir_seq *self)
{
    struct seq_merge *m = &self->merge;
    const struct weir_graph *graph = weir_doc_graph (self->owner->doc);
    uint32_t end = weir_graph_count (graph);
    size_t n_heads = 0;
    if (m->tracker == NULL || m->base != WEIR_GRAPH_NONE) {
        zone_all (m, end);
        tracker_build (self, WEIR_GRAPH_NONE, end);
    }
    (void) tracker_feed (self, end, UINT64_MAX);
    const uint32_t *heads = weir_graph_heads (graph, &n_heads);
    size_t run = weir_seq_log_of_node (&self->log, end);
    if (run < self->log.count && m->covered == end) { /* of the open change */
        hand_move (self, heads, n_heads);
        runs_feed (self, run, end);
        m->covered = end + 1;
    }
    m->slack = weir_tracker_end_length (m->tracker) - self->rope.total.entities;
}

void
weir_seq_merge_release (struct weir_seq *self, bool keep)
{
    struct seq_merge *m = &self->merge;
    const struct weir_graph *graph = weir_doc_graph (self->owner->doc);
    if (m->tracker != NULL && (!keep || m->covered > weir_graph_count (graph))) {
        weir_tracker_destroy (&m->tracker);
    }
}

void
weir_seq_merge_fini (struct seq_merge *self)
{
    weir_tracker_destroy (&self->tracker);
    weir_numbers_fini (&self->hand);
    weir_numbers_fini (&self->version);
    weir_numbers_fini (&self->zone);
    weir_numbers_fini (&self->order);
    weir_numbers_fini (&self->retreat);
    weir_numbers_fini (&self->advance);
    *self = (struct seq_merge){ 0 };
}

size_t
weir_seq_merge_bytes (const struct seq_merge *self)
{
    return self->tracker != NULL ? weir_tracker_memory_bytes (self->tracker) : 0;
}
