#ifndef WEIR_STORE_REPLICA_DIFF_H
#define WEIR_STORE_REPLICA_DIFF_H

/* The inside of differences, for diff*.c, events.c and undo.c: the parts that their JSON
 * (replica.h) is put together from. Pure code. */

#include "store/replica/replica.h"
#include "store/crdt/types.h"

/* ---- rows and values ---- */

/* {"container", "type", "path", "diff"}; `diff` is moved in. */
json_t *weir_diff_row (const struct weir_id *id, const struct weir_container_type *type,
                       struct weir_bytes path, json_t *diff);
/* The id of a child by path. */
struct weir_id weir_diff_path_id (const struct weir_id *parent, struct weir_bytes key,
                                  const struct weir_container_type *type);
/* The id of the child that an item of `parent` is; its value must be a container. */
struct weir_id weir_diff_item_id (const struct weir_id *parent, const struct weir_item *item);
bool weir_diff_is_child (const struct weir_item *item);
/* A scalar's JSON, or {"$container": id, "type", "unique"}. */
json_t *weir_diff_value (const struct weir_id *parent, const struct weir_item *item);
/* Same scalar, or same child. */
bool weir_diff_same (const struct weir_item *a, const struct weir_item *b);
/* Appends "/" and the key, escaped. */
void weir_diff_path_key (struct weir_buf *path, struct weir_bytes key);
/* From counter to counter; NULL: nothing. */
json_t *weir_diff_number (const json_t *a, const json_t *b);
/* Appends rows for all that is in a child that came, and below. */
void weir_diff_new_child (const struct weir_container *child, struct weir_bytes path, json_t *rows);

/* What differs between two sets of attributes (NULL: none): null for what is gone. NULL when
 * nothing does. */
json_t *weir_diff_attributes (const json_t *a, const json_t *b);

/* ---- deltas ---- */

/* Puts a delta together: neighbours are joined, and between two retains what comes stands before
 * what goes. Zero-initialised but for `ops`. */
struct weir_delta {
    json_t *ops; /* an array, the caller's */
    uint64_t retain;
    json_t *attributes;   /* of that retain; NULL: none */
    struct weir_buf text; /* that comes */
    json_t *styles;       /* of it; NULL: none */
    uint64_t deleted;
};
/* `attributes` are moved in; NULL: none. */
void weir_delta_retain (struct weir_delta *d, uint64_t count, json_t *attributes);
void weir_delta_delete (struct weir_delta *d, uint64_t count);
void weir_delta_text (struct weir_delta *d, struct weir_bytes text, json_t *attributes);
void weir_delta_value (struct weir_delta *d, json_t *value);
/* Of movable lists. */
void weir_delta_set (struct weir_delta *d, json_t *value);
void weir_delta_move (struct weir_delta *d, uint32_t from, json_t *value);
/* Ends it; what is retained at the end is left out. */
void weir_delta_close (struct weir_delta *d);

/* The attributes of a text, read from left to right. */
struct weir_styles {
    json_t *delta; /* of weir_text_delta; NULL: of an empty text */
    size_t i;
    uint64_t left; /* of segment i */
};
struct weir_styles weir_styles_of (const struct weir_container *text); /* NULL: empty */
void weir_styles_fini (struct weir_styles *s);
/* The attributes here (NULL: none) and for how many more scalars they hold, at most `max`. */
const json_t *weir_styles_here (struct weir_styles *s, uint64_t max, uint64_t *count);
void weir_styles_skip (struct weir_styles *s, uint64_t count);

/* Text, list, movable list: a's elements to b's; either may be NULL (empty). */
void weir_diff_seq (const struct weir_id *id, struct weir_container *a, struct weir_container *b,
                    struct weir_delta *d);
void weir_diff_movable (const struct weir_id *id, const struct weir_container *a,
                        const struct weir_container *b, struct weir_delta *d);
/* Marks one of the longest strictly rising subsequences. */
void weir_diff_rising (const uint32_t *values, size_t count, bool *keep);

/* ---- trees ---- */

/* Who stands below whom: nodes by number, in one numbering for all shapes that are compared. */
struct weir_shape_node {
    uint32_t parent; /* WEIR_GRAPH_NONE: a root */
    bool is_alive;
    struct weir_numbers children; /* alive, in order */
};
struct weir_shape {
    struct weir_shape_node *nodes; /* the first is above the roots: node n is nodes[n + 1] */
    size_t count;                  /* of nodes, that one not counted */
    size_t cap;
    bool has_top;
};
void weir_shape_fini (struct weir_shape *s);
void weir_shape_grow (struct weir_shape *s, size_t count); /* at least; new ones are dead */
/* As the tree (NULL: empty) is; numbers[n] is what its node n is called (NULL: n). */
void weir_shape_fill (struct weir_shape *s, const struct weir_container *tree,
                      const uint32_t *numbers);
/* The children of one node (WEIR_GRAPH_NONE: the roots) anew. */
void weir_shape_children (struct weir_shape *s, const struct weir_container *tree, uint32_t parent,
                          const uint32_t *numbers);
/* Appends what makes b of a, both of one size. Looked at are the children of `parents`
 * (WEIR_GRAPH_NONE: the roots; alive in b, the nearer to the roots in b the earlier) and, for
 * what is deleted, `nodes`; both without doubles. */
struct weir_shape_names {
    const struct weir_container *tree;
    const struct weir_container *other; /* names those from tree's number of nodes on .. */
    const uint32_t *others;             /* .. by its own numbers */
};
void weir_shape_diff (const struct weir_shape *a, const struct weir_shape *b,
                      const struct weir_numbers *parents, const struct weir_numbers *nodes,
                      const struct weir_shape_names *names, json_t *out);
/* All of a tree. */
json_t *weir_diff_tree (const struct weir_container *a, const struct weir_container *b);

#endif
