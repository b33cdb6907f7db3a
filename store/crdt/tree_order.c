/* Owns the order of siblings in a tree container: a treap for each parent, threaded through the
 * nodes, so that a child is found by its index and an index by its child in logarithmic time,
 * however many siblings there are. tree.c links and unlinks. */

#include "store/crdt/tree_parts.h"

static uint32_t *
root_of (struct weir_tree *t, uint32_t parent)
{
    return parent == WEIR_TREE_ROOT ? &t->roots : &t->nodes[parent].children;
}

static uint32_t
root_at (const struct weir_tree *t, uint32_t parent)
{
    return parent == WEIR_TREE_ROOT ? t->roots : t->nodes[parent].children;
}

static uint32_t
linked_parent (const struct weir_tree *t, uint32_t node)
{
    return t->records[t->nodes[node].linked].parent;
}

static int
siblings_compare (const struct weir_tree *t, uint32_t a, uint32_t b)
{
    uint32_t x = t->nodes[a].linked;
    uint32_t y = t->nodes[b].linked;
    int order =
        weir_bytes_compare (weir_tree_key (t, &t->records[x]), weir_tree_key (t, &t->records[y]));
    return order != 0 ? order : weir_tree_compare (t, x, y);
}

static uint32_t
size_of (const struct weir_tree *t, uint32_t node)
{
    return node == WEIR_TREE_NONE ? 0 : t->nodes[node].size;
}

static void
size_update (struct weir_tree *t, uint32_t node)
{
    struct weir_tree_place *n = &t->nodes[node];
    n->size = 1 + size_of (t, n->left) + size_of (t, n->right);
}

/* What hung at `old` below `up` is now `new`. */
static void
replace (struct weir_tree *t, uint32_t *root, uint32_t up, uint32_t old, uint32_t new)
{
    if (up == WEIR_TREE_NONE) {
        *root = new;
    } else if (t->nodes[up].left == old) {
        t->nodes[up].left = new;
    } else {
        t->nodes[up].right = new;
    }
    if (new != WEIR_TREE_NONE) {
        t->nodes[new].up = up;
    }
}

/* Turns the node above its parent in the treap. */
static void
rotate_up (struct weir_tree *t, uint32_t *root, uint32_t node)
{
    struct weir_tree_place *n = &t->nodes[node];
    uint32_t above = n->up;
    struct weir_tree_place *a = &t->nodes[above];
    uint32_t moved;
    replace (t, root, a->up, above, node);
    if (a->left == node) {
        moved = n->right;
        a->left = moved;
        n->right = above;
    } else {
        moved = n->left;
        a->right = moved;
        n->left = above;
    }
    if (moved != WEIR_TREE_NONE) {
        t->nodes[moved].up = above;
    }
    a->up = node;
    size_update (t, above);
    size_update (t, node);
}

void
weir_tree_link (struct weir_tree *t, uint32_t node)
{
    uint32_t *root = root_of (t, linked_parent (t, node));
    struct weir_tree_place *n = &t->nodes[node];
    uint32_t up = WEIR_TREE_NONE;
    uint32_t at = *root;
    bool left = false;
    while (at != WEIR_TREE_NONE) {
        up = at;
        t->nodes[at].size++;
        left = siblings_compare (t, node, at) < 0;
        at = left ? t->nodes[at].left : t->nodes[at].right;
    }
    n->left = WEIR_TREE_NONE;
    n->right = WEIR_TREE_NONE;
    n->up = up;
    n->size = 1;
    if (up == WEIR_TREE_NONE) {
        *root = node;
    } else if (left) {
        t->nodes[up].left = node;
    } else {
        t->nodes[up].right = node;
    }
    while (n->up != WEIR_TREE_NONE && t->nodes[n->up].rank < n->rank) {
        rotate_up (t, root, node);
    }
}

void
weir_tree_unlink (struct weir_tree *t, uint32_t node)
{
    uint32_t *root = root_of (t, linked_parent (t, node));
    struct weir_tree_place *n = &t->nodes[node];
    while (n->left != WEIR_TREE_NONE && n->right != WEIR_TREE_NONE) {
        bool left = t->nodes[n->left].rank > t->nodes[n->right].rank;
        rotate_up (t, root, left ? n->left : n->right);
    }
    uint32_t up = n->up;
    replace (t, root, up, node, n->left != WEIR_TREE_NONE ? n->left : n->right);
    for (; up != WEIR_TREE_NONE; up = t->nodes[up].up) {
        t->nodes[up].size--;
    }
}

uint32_t
weir_tree_count (const struct weir_tree *t, uint32_t parent)
{
    return size_of (t, root_at (t, parent));
}

uint32_t
weir_tree_at (const struct weir_tree *t, uint32_t parent, uint32_t index)
{
    uint32_t at = root_at (t, parent);
    while (true) {
        uint32_t before = size_of (t, t->nodes[at].left);
        if (index == before) {
            return at;
        }
        if (index < before) {
            at = t->nodes[at].left;
        } else {
            index -= before + 1;
            at = t->nodes[at].right;
        }
    }
}

uint32_t
weir_tree_index (const struct weir_tree *t, uint32_t node)
{
    uint32_t index = size_of (t, t->nodes[node].left);
    for (uint32_t up = t->nodes[node].up; up != WEIR_TREE_NONE; up = t->nodes[up].up) {
        if (t->nodes[up].right == node) {
            index += 1 + size_of (t, t->nodes[up].left);
        }
        node = up;
    }
    return index;
}

static uint32_t
leftmost (const struct weir_tree *t, uint32_t at)
{
    while (at != WEIR_TREE_NONE && t->nodes[at].left != WEIR_TREE_NONE) {
        at = t->nodes[at].left;
    }
    return at;
}

uint32_t
weir_tree_first (const struct weir_tree *t, uint32_t parent)
{
    return leftmost (t, root_at (t, parent));
}

uint32_t
weir_tree_next (const struct weir_tree *t, uint32_t node)
{
    if (t->nodes[node].right != WEIR_TREE_NONE) {
        return leftmost (t, t->nodes[node].right);
    }
    uint32_t up = t->nodes[node].up;
    while (up != WEIR_TREE_NONE && t->nodes[up].right == node) {
        node = up;
        up = t->nodes[up].up;
    }
    return up;
}
