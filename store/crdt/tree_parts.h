#ifndef WEIR_STORE_CRDT_TREE_PARTS_H
#define WEIR_STORE_CRDT_TREE_PARTS_H

/* What the files of the tree container share: tree.c (the log of moves, state), tree_order.c
 * (siblings in order), tree_view.c (JSON, what types.h lends, editing). */

#include "store/crdt/change.h"
#include "store/crdt/op_names.h"
#include "store/crdt/types.h"

/* Parents beside numbers of nodes; WEIR_TREE_ROOT is the third. */
#define WEIR_TREE_TRASH (UINT32_MAX - 1)
#define WEIR_TREE_NONE (UINT32_MAX - 2) /* no node, no record */

/* One op of the log. */
struct weir_tree_record {
    uint64_t lamport;
    uint32_t entry; /* index in names */
    uint32_t chain;
    uint32_t offset;
    uint32_t target;
    uint32_t parent;
    uint32_t key_at; /* in keys */
    uint32_t before; /* the target's placing that this one took the place of */
    uint16_t key_len;
    uint8_t code;
    bool is_effective;
};

struct weir_tree_place {
    uint32_t placing;  /* the record that put it where it is */
    uint32_t linked;   /* the record under which it stands among its siblings; settled: placing,
                         or none when it is not created or in the trash */
    uint32_t n_below;  /* nodes whose placing names it as parent */
    uint32_t children; /* of the treap of its children, the root */
    uint32_t left, right, up;
    uint32_t size; /* of its part of the treap, itself included */
    uint32_t rank; /* random; a treap is a heap of them */
    bool is_created;
    bool is_dirty;
    struct weir_container *meta;
};

struct weir_tree {
    struct weir_container head;
    struct weir_op_names names;    /* of nodes */
    struct weir_tree_place *nodes; /* by number */
    size_t nodes_cap;
    struct weir_tree_record *records; /* in order of arrival */
    size_t n_records;
    size_t records_cap;
    uint32_t *log; /* records by order key */
    size_t n_log;
    size_t log_cap;
    struct weir_numbers late;  /* records that belong between those of the log */
    size_t applied;            /* how many of the log are in the places */
    struct weir_numbers dirty; /* nodes whose place may have changed since */
    struct weir_buf keys;
    uint32_t roots; /* of the treap of roots, the root */
    size_t counted_bytes;
};

static inline struct weir_bytes
weir_tree_key (const struct weir_tree *t, const struct weir_tree_record *r)
{
    return r->key_len == 0 ? weir_bytes (NULL, 0)
                           : weir_bytes (t->keys.data + r->key_at, r->key_len);
}
/* By order key. */
int weir_tree_compare (const struct weir_tree *t, uint32_t a, uint32_t b);
/* The tree, its places up to date with the log: whoever looks settles it. */
struct weir_tree *weir_tree_settled (const struct weir_container *self);
/* Settled: the parent that it has; WEIR_TREE_NONE when it stands nowhere. */
uint32_t weir_tree_parent (const struct weir_tree *t, uint32_t node);
bool weir_tree_is_alive (const struct weir_tree *t, uint32_t node);
/* Is `above` the node or one of its ancestors? */
bool weir_tree_is_below (const struct weir_tree *t, uint32_t node, uint32_t above);

/* tree_order.c: siblings by (key, order key of the placing), each set a treap. The node's `linked`
 * is set. */
void weir_tree_link (struct weir_tree *t, uint32_t node);
void weir_tree_unlink (struct weir_tree *t, uint32_t node);
uint32_t weir_tree_count (const struct weir_tree *t, uint32_t parent);
/* The child at an index below the count. */
uint32_t weir_tree_at (const struct weir_tree *t, uint32_t parent, uint32_t index);
uint32_t weir_tree_index (const struct weir_tree *t, uint32_t node);
/* The first child, and the next sibling; WEIR_TREE_NONE at the end. */
uint32_t weir_tree_first (const struct weir_tree *t, uint32_t parent);
uint32_t weir_tree_next (const struct weir_tree *t, uint32_t node);

/* tree_view.c. */
json_t *weir_tree_json (const struct weir_container *self);

#endif
