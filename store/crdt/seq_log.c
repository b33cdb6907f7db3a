/* Owns the op log of a sequence: what was inserted and deleted by which op, as the author said
 * it, in order of arrival. seq.c writes it, seq_merge.c replays it. Ops of an entry that continue
 * each other are kept as one, also backspaces: which of an entry's events deletes which entity
 * matters to nobody, as entries are replayed as a whole. */

#include "store/crdt/seq_parts.h"

#include <stdlib.h>

static bool
run_joins (struct seq_run *run, uint32_t node, uint32_t offset, uint32_t at, uint32_t count,
           bool deletes)
{
    if (run->node != node || run->deletes != deletes || run->offset + run->count != offset) {
        return false;
    }
    if (!deletes) {
        return at == run->at + run->count;
    }
    if (at > run->at || run->at - at > count) {
        return false;
    }
    run->at = at;
    return true;
}

uint32_t
weir_seq_log_add (struct seq_log *self, uint32_t node, uint32_t offset, uint32_t at, uint32_t count,
                  bool deletes)
{
    uint32_t event = self->next_event;
    if (self->is_full || event > SEQ_EVENTS_MAX) {
        self->is_full = true;
        return WEIR_SEQ_UNKNOWN;
    }
    self->next_event += count;
    if (self->count > 0
        && run_joins (&self->runs[self->count - 1], node, offset, at, count, deletes)) {
        self->runs[self->count - 1].count += count;
        return event;
    }
    weir_grow (&self->runs, &self->cap, self->count + 1, sizeof *self->runs);
    self->runs[self->count++] = (struct seq_run){
        .event = event, .node = node, .offset = offset, .at = at, .count = count, .deletes = deletes
    };
    return event;
}

static bool
begins_before (const struct seq_run *run, uint32_t node, uint64_t offset)
{
    return run->node < node || (run->node == node && run->offset < offset);
}

/* The first run that begins at this op or behind it. */
static size_t
place_of (const struct seq_log *self, uint32_t node, uint64_t offset)
{
    size_t low = 0;
    size_t high = self->count;
    /* Mostly it is near the end: the steps back from there are doubled. */
    for (size_t step = 1; step <= high; step *= 2) {
        if (begins_before (&self->runs[self->count - step], node, offset)) {
            low = self->count - step + 1;
            break;
        }
        high = self->count - step;
    }
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (begins_before (&self->runs[middle], node, offset)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

size_t
weir_seq_log_of_node (const struct seq_log *self, uint32_t node)
{
    return place_of (self, node, 0);
}

const struct seq_run *
weir_seq_log_of_event (const struct seq_log *self, uint32_t event)
{
    size_t low = 0;
    size_t high = self->count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (self->runs[middle].event <= event) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return &self->runs[low];
}

void
weir_seq_log_fini (struct seq_log *self)
{
    free (self->runs);
    *self = (struct seq_log){ 0 };
}

/* ---- ids ---- */

struct weir_op_id
weir_seq_event_id (const struct weir_seq *self, uint32_t event)
{
    const struct weir_graph *graph = weir_doc_graph (self->owner->doc);
    struct weir_op_id id = { .offset = 0 };
    if (graph == NULL || event >= self->log.next_event) {
        return id;
    }
    const struct seq_run *run = weir_seq_log_of_event (&self->log, event);
    id.offset = run->offset + (event - run->event);
    if (run->node < weir_graph_count (graph)) { /* else it is of the open change */
        id.entry = weir_graph_node (graph, run->node)->id;
    }
    return id;
}

uint32_t
weir_seq_event_of (const struct weir_seq *self, const struct weir_op_id *id)
{
    const struct weir_graph *graph = weir_doc_graph (self->owner->doc);
    if (graph == NULL) {
        return WEIR_SEQ_UNKNOWN;
    }
    uint32_t node = weir_id_is_zero (&id->entry) ? weir_graph_count (graph)
                                                 : weir_graph_find (graph, &id->entry);
    if (node == WEIR_GRAPH_NONE) {
        return WEIR_SEQ_UNKNOWN;
    }
    size_t behind = place_of (&self->log, node, (uint64_t) id->offset + 1);
    const struct seq_run *run = behind > 0 ? &self->log.runs[behind - 1] : NULL;
    if (run == NULL || run->node != node || run->deletes
        || id->offset - run->offset >= run->count) {
        return WEIR_SEQ_UNKNOWN;
    }
    return run->event + (id->offset - run->offset);
}

uint32_t
weir_seq_event_run (const struct weir_seq *self, uint32_t event, uint32_t max,
                    struct weir_op_id *id)
{
    *id = weir_seq_event_id (self, event);
    if (event >= self->log.next_event) {
        return 0;
    }
    const struct seq_run *run = weir_seq_log_of_event (&self->log, event);
    const struct seq_run *end = self->log.runs + self->log.count;
    uint64_t count = run->event + run->count - event;
    while (count < max && run + 1 < end && run[1].node == run->node && !run[1].deletes
           && run[1].offset == run->offset + run->count) {
        run++;
        count += run->count;
    }
    return count < max ? (uint32_t) count : max;
}
