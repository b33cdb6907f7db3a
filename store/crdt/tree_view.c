/* Owns how a tree container is looked at and edited: its nodes as JSON, the numbers and indexes
 * that edits and differences go by, and the verbs of a change. */

#include "store/crdt/tree_parts.h"

#include "store/crdt/fractional.h"

#include <stdlib.h>
#include <string.h>

/* ---- JSON: [{"id", "index", "meta": {...}, "children": [...]}] ---- */

/* Is the value at most `depth` levels of arrays and objects? */
static bool
is_within (json_t *json, size_t depth)
{
    struct {
        json_t *json;
        void *key;
        size_t index;
    } way[WEIR_JSON_DEPTH_MAX];
    size_t n = 0;
    json_t *next = json;
    do {
        if (json_is_object (next) || json_is_array (next)) {
            if (n == depth) {
                return false;
            }
            way[n].json = next;
            way[n].key = json_object_iter (next);
            way[n++].index = 0;
        }
        next = NULL;
        while (n > 0 && next == NULL) {
            if (way[n - 1].key != NULL) {
                next = json_object_iter_value (way[n - 1].key);
                way[n - 1].key = json_object_iter_next (way[n - 1].json, way[n - 1].key);
            } else {
                next = json_array_get (way[n - 1].json, way[n - 1].index++);
            }
            n -= next == NULL;
        }
    } while (next != NULL);
    return true;
}

static json_t *
node_json (const struct weir_tree *t, uint32_t node, uint32_t index, size_t depth)
{
    struct weir_op_id id = weir_op_names_id (&t->names, node);
    struct weir_item item = { .child = t->nodes[node].meta };
    item.value.type = WEIR_VALUE_UNIQUE;
    item.value.container = WEIR_CONTAINER_MAP;
    json_t *meta = weir_doc_item_json (&item);
    json_t *out = json_object ();
    json_object_set_new (out, "id", json_string (weir_op_id_text (&id).s));
    json_object_set_new (out, "index", json_integer (index));
    if (is_within (meta, depth - 1)) {
        json_object_set (out, "meta", meta);
    } else {
        json_object_set_new (out, "omitted", json_true ());
    }
    json_decref (meta);
    return out;
}

struct level {
    json_t *nodes;
    uint32_t next;
    uint32_t index;
};

json_t *
weir_tree_json (const struct weir_container *self)
{
    struct level levels[WEIR_JSON_DEPTH_MAX];
    json_t *out = json_array ();
    if (self == NULL) {
        return out;
    }
    const struct weir_tree *t = weir_tree_settled (self);
    uint32_t level = weir_container_level (self);
    /* The document and the containers on the way take a level each. */
    size_t depth = level < WEIR_JSON_DEPTH_MAX - 1 ? WEIR_JSON_DEPTH_MAX - level - 1 : 0;
    size_t n = 0;
    if (depth > 0) {
        levels[n++] = (struct level){ .nodes = out, .next = weir_tree_first (t, WEIR_TREE_ROOT) };
    }
    while (n > 0) {
        struct level *l = &levels[n - 1];
        uint32_t node = l->next;
        if (node == WEIR_TREE_NONE) {
            n--;
            continue;
        }
        /* Below the array of level n are depth - 2n + 1 levels. */
        size_t left = depth - (2 * n - 1);
        json_t *json = node_json (t, node, l->index++, left);
        l->next = weir_tree_next (t, node);
        json_array_append_new (l->nodes, json);
        if (left >= 3) {
            json_t *children = json_array ();
            json_object_set_new (json, "children", children);
            levels[n++] = (struct level){ .nodes = children, .next = weir_tree_first (t, node) };
        } else if (weir_tree_count (t, node) > 0) {
            json_object_set_new (json, "omitted", json_true ());
        } else if (left == 2) {
            json_object_set_new (json, "children", json_array ());
        }
    }
    return out;
}

/* ---- for edits and differences ---- */

uint32_t
weir_tree_nodes (const struct weir_container *tree)
{
    return (uint32_t) ((const struct weir_tree *) tree)->names.count;
}

void
weir_tree_node (const struct weir_container *tree, uint32_t number, struct weir_tree_node *out)
{
    const struct weir_tree *t = weir_tree_settled (tree);
    uint32_t parent = weir_tree_parent (t, number);
    *out = (struct weir_tree_node){
        .id = weir_op_names_id (&t->names, number),
        .parent = parent < WEIR_TREE_NONE ? parent : WEIR_GRAPH_NONE,
        .is_alive = weir_tree_is_alive (t, number),
    };
    if (parent != WEIR_TREE_NONE) {
        out->position = weir_tree_key (t, &t->records[t->nodes[number].linked]);
    }
    struct weir_container *meta = t->nodes[number].meta;
    if (meta != NULL && !weir_container_is_hollow (meta)) {
        out->meta = meta;
    }
}

uint32_t
weir_tree_find (const struct weir_container *tree, const struct weir_op_id *id)
{
    uint32_t node =
        weir_op_names_find (&((const struct weir_tree *) tree)->names, &id->entry, id->offset);
    return node == WEIR_OP_NAME_NONE ? WEIR_GRAPH_NONE : node;
}

void
weir_tree_children (const struct weir_container *tree, uint32_t parent, struct weir_numbers *out)
{
    const struct weir_tree *t = weir_tree_settled (tree);
    uint32_t node = weir_tree_first (t, parent == WEIR_GRAPH_NONE ? WEIR_TREE_ROOT : parent);
    for (; node != WEIR_TREE_NONE; node = weir_tree_next (t, node)) {
        weir_numbers_push (out, node);
    }
}

/* ---- editing ---- */

static enum weir_status
parent_check (const struct weir_tree *t, uint32_t parent, struct weir_error *e)
{
    if (parent != WEIR_TREE_ROOT && (parent >= t->names.count || !weir_tree_is_alive (t, parent))) {
        return weir_error_set (e, WEIR_NOT_FOUND, NULL, "the parent is not in the tree");
    }
    return WEIR_OK;
}

/* The op's parent, and the key for the `index`-th place among its children, `moved` (or none)
 * being out. The bytes are the caller's. */
static enum weir_status
op_place (struct weir_change *self, const struct weir_tree *t, uint32_t parent, uint32_t index,
          uint32_t moved, struct weir_op *op, struct weir_buf *key, struct weir_error *e)
{
    uint32_t count = weir_tree_count (t, parent);
    bool is_child = moved != WEIR_TREE_NONE && weir_tree_parent (t, moved) == parent;
    if (index > count - (is_child ? 1 : 0)) {
        return weir_error_set (e, WEIR_OUT_OF_RANGE, NULL,
                               "there are %u nodes, and index %u is behind them",
                               count - (is_child ? 1 : 0), index);
    }
    /* The neighbours' places while the moved one is still in. */
    uint32_t after = index + (is_child && weir_tree_index (t, moved) < index ? 1 : 0);
    uint32_t before = after;
    if (before > 0 && is_child && weir_tree_at (t, parent, before - 1) == moved) {
        before--;
    }
    if (after < count && is_child && weir_tree_at (t, parent, after) == moved) {
        after++;
    }
    struct weir_bytes low = { 0 };
    struct weir_bytes high = { 0 };
    if (before > 0) {
        uint32_t node = weir_tree_at (t, parent, before - 1);
        low = weir_tree_key (t, &t->records[t->nodes[node].linked]);
    }
    if (after < count) {
        uint32_t node = weir_tree_at (t, parent, after);
        high = weir_tree_key (t, &t->records[t->nodes[node].linked]);
    }
    weir_fractional_between (before > 0 ? &low : NULL, after < count ? &high : NULL, key);
    op->key = weir_buf_bytes (key);
    op->atoms = 1;
    op->target_ref.row = WEIR_OP_REF_NONE;
    op->parent_ref.row = WEIR_OP_REF_NONE;
    memset (op->parent.entry.b, 0xff, WEIR_ID_BYTES);
    if (parent != WEIR_TREE_ROOT) {
        op->parent = weir_op_names_id (&t->names, parent);
        op->parent_ref = weir_change_ref (self, &op->parent);
    }
    return WEIR_OK;
}

static enum weir_status
move_one (struct weir_change *self, struct weir_container *tree, uint32_t node, uint32_t parent,
          uint32_t index, struct weir_error *e)
{
    struct weir_tree *t = weir_tree_settled (tree);
    struct weir_op op = { .code = WEIR_TREE_MOVE };
    struct weir_buf key = { 0 };
    uint32_t offset = 0;
    enum weir_status status = op_place (self, t, parent, index, node, &op, &key, e);
    if (status == WEIR_OK) {
        op.target = weir_op_names_id (&t->names, node);
        op.target_ref = weir_change_ref (self, &op.target);
        status = weir_change_put (self, tree, &op, &offset, e);
    }
    weir_buf_fini (&key);
    return status;
}

/* Between siblings with equal keys there is no key: a node that was put there stands behind all of
 * them. Those that shall follow it get new keys, as in Loro. */
static enum weir_status
untie (struct weir_change *self, struct weir_container *tree, uint32_t node, uint32_t parent,
       uint32_t index, struct weir_error *e)
{
    enum weir_status status = WEIR_OK;
    uint32_t at = weir_tree_index (weir_tree_settled (tree), node);
    for (uint32_t left = at > index ? at - index : 0; left > 0 && status == WEIR_OK; left--) {
        uint32_t next = weir_tree_at (weir_tree_settled (tree), parent, index);
        status = move_one (self, tree, next, parent, at, e);
    }
    return status;
}

enum weir_status
weir_change_tree_create (struct weir_change *self, struct weir_container *tree, uint32_t parent,
                         uint32_t index, uint32_t *node, struct weir_error *e)
{
    struct weir_tree *t = weir_tree_settled (tree);
    struct weir_op op = { .code = WEIR_TREE_CREATE };
    struct weir_buf key = { 0 };
    uint32_t offset = 0;
    enum weir_status status = parent_check (t, parent, e);
    if (status == WEIR_OK) {
        status = op_place (self, t, parent, index, WEIR_TREE_NONE, &op, &key, e);
    }
    if (status == WEIR_OK) {
        status = weir_change_put (self, tree, &op, &offset, e);
    }
    weir_buf_fini (&key);
    if (status != WEIR_OK) {
        return status;
    }
    uint32_t made = weir_op_names_find (&t->names, &weir_id_zero, offset);
    if (node != NULL) {
        *node = made;
    }
    return untie (self, tree, made, parent, index, e);
}

enum weir_status
weir_change_tree_move (struct weir_change *self, struct weir_container *tree, uint32_t node,
                       uint32_t parent, uint32_t index, struct weir_error *e)
{
    struct weir_tree *t = weir_tree_settled (tree);
    enum weir_status status = parent_check (t, parent, e);
    if (status != WEIR_OK) {
        return status;
    }
    if (node >= t->names.count || !t->nodes[node].is_created) {
        return weir_error_set (e, WEIR_NOT_FOUND, NULL, "there is no such node");
    }
    if (parent != WEIR_TREE_ROOT && weir_tree_is_below (t, parent, node)) {
        return weir_error_set (e, WEIR_CONFLICT, "move the node below it away first",
                               "a node cannot be moved below itself");
    }
    if (weir_tree_parent (t, node) == parent && weir_tree_index (t, node) == index) {
        return WEIR_OK;
    }
    status = move_one (self, tree, node, parent, index, e);
    return status == WEIR_OK ? untie (self, tree, node, parent, index, e) : status;
}

enum weir_status
weir_change_tree_delete (struct weir_change *self, struct weir_container *tree, uint32_t node,
                         struct weir_error *e)
{
    struct weir_tree *t = weir_tree_settled (tree);
    struct weir_op op = { .code = WEIR_TREE_DELETE, .atoms = 1 };
    uint32_t offset = 0;
    if (node >= t->names.count || !weir_tree_is_alive (t, node)) {
        return weir_error_set (e, WEIR_NOT_FOUND, NULL, "the node is not in the tree");
    }
    op.parent_ref.row = WEIR_OP_REF_NONE;
    op.target = weir_op_names_id (&t->names, node);
    op.target_ref = weir_change_ref (self, &op.target);
    return weir_change_put (self, tree, &op, &offset, e);
}

struct weir_container *
weir_change_tree_meta (struct weir_change *self, struct weir_container *tree, uint32_t node)
{
    const struct weir_tree *t = (const struct weir_tree *) tree;
    (void) self;
    return node < t->names.count ? t->nodes[node].meta : NULL;
}
