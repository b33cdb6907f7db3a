#ifndef WEIR_STORE_REPLICA_EVENTS_H
#define WEIR_STORE_REPLICA_EVENTS_H

/* The inside of events. While a replica's shown document changes, its types say what they do
 * (struct weir_notice); a *record* keeps of each container as much as is needed to tell the
 * difference at the end without a look at how it was before. Nothing is kept when nobody
 * listens. */

#include "store/base/map.h"
#include "store/replica/diff.h"
#include "store/crdt/doc_parts.h"
#include "store/replica/replica_parts.h"

/* A sequence between before and now: stretches of what was there, in order, and of what came.
 * What is missing between two of the former is gone. */
struct weir_splice {
    uint32_t was; /* old index of the first; of what came: nothing */
    uint32_t count;
    bool is_new;
    bool is_marked; /* styles or value may be others */
};

struct weir_record {
    struct weir_container *container;
    struct weir_map *keys; /* of a map that may differ; of a text the styles that were set */
    struct weir_splice *splices;
    size_t n_splices;
    size_t splices_cap;
    size_t at;                 /* the splice looked at last, .. */
    uint32_t at_from;          /* .. and how many elements now stand before it */
    struct weir_map *moved;    /* element id -> old index + 1 */
    struct weir_map *valued;   /* element ids whose value is another */
    struct weir_numbers nodes; /* of a tree, as often as they were told */
    int64_t by;
    double by_real;
    bool is_real;
    uint32_t level;
};

/* More splices in one sequence than this, and both versions are compared as a whole. */
#define WEIR_SPLICES_MAX 4096u

struct weir_records {
    struct weir_record **items;
    size_t count;
    size_t cap;
    struct weir_map *by_container; /* id's pointer -> record */
    bool is_too_much;
};
void weir_records_clear (struct weir_records *self);
void weir_records_note (struct weir_records *self, const struct weir_notice *notice);
/* What they come to, as rows. `shapes` (id of a tree -> struct weir_shape, how it was at the
 * event before) is brought up to date. */
json_t *weir_records_diff (struct weir_records *self, struct weir_map *shapes);
/* How all visible trees of a document are. */
struct weir_map *weir_shapes_of (const struct weir_doc *doc);
void weir_shapes_destroy (struct weir_map **self_p);

/* Where a container stands, as a path; false: nowhere (it, or one above it, is not visible). */
bool weir_container_path (const struct weir_container *c, struct weir_buf *path);

/* ---- listeners (events.c) ---- */

/* Those of the library; the application's is the one that subscribes. Each is called once for
 * each event, in order. */
void weir_replica_listen (struct weir_replica *self, weir_replica_event_fn *fn, void *context);
void weir_replica_unlisten (struct weir_replica *self, weir_replica_event_fn *fn, void *context);

#endif
