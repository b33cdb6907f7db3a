#ifndef WEIR_STORE_CRDT_SEQ_PARTS_H
#define WEIR_STORE_CRDT_SEQ_PARTS_H

/* The inside of a sequence, for seq.c (what is there now), seq_log.c (what was done) and
 * seq_merge.c (positions across versions). Nobody else includes it. */

#include "store/crdt/rope.h"
#include "store/crdt/seq.h"
#include "store/crdt/tracker.h"

/* What a tracker may know of the sequence at its base: more than is ever there, as how long that
 * was nobody knows. The elements too many stand at its end, where nothing ever reaches them. */
#define SEQ_BASE_LENGTH 0x60000000u
/* Events beyond these are not taken, so that numbers do not overflow within an entry. */
#define SEQ_EVENTS_MAX (WEIR_TRACKER_BASE - WEIR_ENTRY_OPS_MAX - 1u)

/* An op of the log: events event .. event + count - 1. Ops that continue each other are one. */
struct seq_run {
    uint32_t event;
    uint32_t node;
    uint32_t offset; /* of the first atom in its entry */
    uint32_t at;     /* at the entry's parents and after its earlier ops */
    uint32_t count;
    bool deletes;
};

struct seq_log {
    struct seq_run *runs; /* by event, and so by node */
    size_t count;
    size_t cap;
    uint32_t next_event;
    bool is_full; /* there were more events than can be numbered */
};

struct seq_merge {
    struct weir_tracker *tracker; /* NULL: none */
    uint32_t base;                /* the version it began at: a node, or WEIR_GRAPH_NONE */
    uint32_t covered;             /* the nodes below it are in the tracker, once it is fed */
    uint32_t looked;              /* when `covered` is here, look for a later base */
    uint32_t slack;               /* elements too many */
    size_t fed;                   /* nodes of `order` that the tracker was begun with */
    uint64_t work;                /* nodes and ops replayed, ever */
    struct weir_numbers hand;     /* the version at hand, ascending */
    struct weir_numbers version;  /* scratch, all of these */
    struct weir_numbers zone;
    struct weir_numbers order;
    struct weir_numbers retreat;
    struct weir_numbers advance;
};

struct weir_seq {
    struct weir_container *owner;
    const struct weir_seq_owner *listener;
    struct rope rope;
    struct weir_buf text;
    struct seq_log log;
    struct seq_merge merge;
    size_t counted; /* bytes told to the document */
    bool is_text;
    bool is_resolved; /* all entities have events, as far as the log goes back */
};

/* ---- seq_log.c ---- */

/* Adds an op; gives its first event. */
uint32_t weir_seq_log_add (struct seq_log *self, uint32_t node, uint32_t offset, uint32_t at,
                           uint32_t count, bool deletes);
/* The first run of a node or of one behind it; count when there is none. */
size_t weir_seq_log_of_node (const struct seq_log *self, uint32_t node);
/* The run of an event that is known. */
const struct seq_run *weir_seq_log_of_event (const struct seq_log *self, uint32_t event);
void weir_seq_log_fini (struct seq_log *self); /* leaves it empty and ready */

/* ---- seq_merge.c ---- */

/* Brings the tracker to the parents of a node that is not fast; false: so much work is done, and
 * there is more to do. */
bool weir_seq_merge_parents (struct weir_seq *self, uint32_t node, const uint32_t *parents,
                             size_t count, uint64_t work);
/* The entry at hand begins to act: its events are no longer before the version at hand. */
void weir_seq_merge_enter (struct weir_seq *self);
/* A fast entry came: drops a tracker that helps no more. */
void weir_seq_merge_idle (struct weir_seq *self);
/* Makes the tracker one of the whole history, with what an open change did, at its end. Then it
 * must be released: kept only where that may help, and never with a part of a change in it. */
void weir_seq_merge_all (struct weir_seq *self);
void weir_seq_merge_release (struct weir_seq *self, bool keep);
void weir_seq_merge_fini (struct seq_merge *self); /* leaves it empty and ready */
size_t weir_seq_merge_bytes (const struct seq_merge *self);

#endif
