#ifndef WEIR_STORE_REPLICA_UNDO_PARTS_H
#define WEIR_STORE_REPLICA_UNDO_PARTS_H

/* Footprints: what a difference touched, without the values; enough to carry other differences
 * over it. Operational transformation, in the one place where it is needed: what undo takes
 * back was right at a version that nobody sees any more. */

#include "store/base/map.h"
#include "store/replica/diff_replica.h"

enum weir_stride_kind { WEIR_STRIDE_KEEP, WEIR_STRIDE_COME, WEIR_STRIDE_GO };

/* A stretch of a sequence's difference. */
struct weir_stride {
    enum weir_stride_kind kind;
    uint64_t count;
    json_t *touched;  /* of KEEP: an object, its keys the styles that change ("": the value) */
    const json_t *op; /* that it comes from, when the values are needed */
};
struct weir_strides {
    struct weir_stride *items;
    size_t count;
    size_t cap;
};
void weir_strides_fini (struct weir_strides *s);

/* Of one container. */
struct weir_foot {
    const struct weir_container_type *type;
    json_t *names;               /* a map's keys, a tree's nodes */
    struct weir_strides strides; /* of a sequence */
};
/* Zero-initialised is empty. */
struct weir_footprint {
    struct weir_map *feet; /* container id -> struct weir_foot */
};
void weir_footprint_fini (struct weir_footprint *f);
/* f, and then `diff`. */
void weir_footprint_add (struct weir_footprint *f, const json_t *diff);
/* f, and then `g`; empties g. */
void weir_footprint_join (struct weir_footprint *f, struct weir_footprint *g);
/* f as it is behind `diff`, which was made at the version where f begins. */
void weir_footprint_carry (struct weir_footprint *f, const json_t *diff,
                           const struct weir_map *stands_for);
/* The container, or a tree's node, goes by another name now. */
void weir_footprint_rename (struct weir_footprint *f, const struct weir_id *old,
                            const struct weir_id *now);
void weir_footprint_rename_node (struct weir_footprint *f, const char *old, const char *now);
/* `diff` as it is behind f, which began at the version where diff was made; what f has touched,
 * it leaves alone. A new reference. */
json_t *weir_footprint_over (const struct weir_footprint *f, const json_t *diff,
                             const struct weir_map *stands_for, const json_t *nodes_for);

#endif
