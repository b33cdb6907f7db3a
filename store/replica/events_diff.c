/* Owns the rows that records come to, when an event ends: the values are read from the document
 * as it is then. A container that came with a value is told as a whole, and its own record is
 * passed over. */

#include "store/replica/events.h"

#include <stdlib.h>
#include <string.h>

struct telling {
    json_t *rows;
    struct weir_map *came; /* ids of containers that came in this event */
    struct weir_map *shapes;
};

/* It came with the value at `path` + `part`: all of it is told, behind the row that says so. */
static void
tell_child (struct telling *t, struct weir_container *child, const struct weir_buf *path,
            struct weir_bytes part, json_t *later)
{
    struct weir_buf to = { 0 };
    if (child == NULL) {
        return;
    }
    weir_buf_put_bytes (&to, weir_buf_bytes (path));
    weir_diff_path_key (&to, part);
    (void) weir_map_put (t->came, weir_id_bytes (&child->id), child);
    weir_diff_new_child (child, weir_buf_bytes (&to), later);
    weir_buf_fini (&to);
}

static void
tell_child_at (struct telling *t, struct weir_container *child, const struct weir_buf *path,
               uint64_t index, json_t *later)
{
    struct weir_buf part = { 0 };
    weir_buf_printf (&part, "%llu", (unsigned long long) index);
    tell_child (t, child, path, weir_buf_bytes (&part), later);
    weir_buf_fini (&part);
}

/* ---- maps, counters ---- */

static json_t *
tell_map (struct telling *t, const struct weir_record *r, const struct weir_buf *path,
          json_t *later)
{
    const struct weir_container *map = r->container;
    json_t *set = json_object ();
    json_t *gone = json_array ();
    json_t *diff = json_object ();
    struct weir_bytes key;
    void *value;
    for (size_t i = 0; r->keys != NULL && weir_map_next (r->keys, &i, &key, &value);) {
        struct weir_item item;
        if (map->type->find (map, key, &item)) {
            json_object_setn_new_nocheck (set, (const char *) key.data, key.len,
                                          weir_diff_value (&map->id, &item));
            tell_child (t, weir_diff_is_child (&item) ? item.child : NULL, path, key, later);
        } else {
            json_array_append_new (gone, json_stringn_nocheck ((const char *) key.data, key.len));
        }
    }
    if (json_object_size (set) > 0) {
        json_object_set (diff, "set", set);
    }
    if (json_array_size (gone) > 0) {
        json_object_set (diff, "delete", gone);
    }
    json_decref (set);
    json_decref (gone);
    return diff;
}

static json_t *
tell_counter (const struct weir_record *r)
{
    if (r->is_real) {
        return json_real (r->by_real + (double) r->by);
    }
    return r->by != 0 ? json_integer (r->by) : NULL;
}

/* ---- sequences ---- */

/* Of what was there and has other styles now: what stands at the keys that were set. */
static json_t *
styles_told (const struct weir_record *r, const json_t *here)
{
    json_t *told = json_object ();
    struct weir_bytes key;
    void *value;
    for (size_t i = 0; r->keys != NULL && weir_map_next (r->keys, &i, &key, &value);) {
        json_t *is = json_object_getn (here, (const char *) key.data, key.len);
        json_object_setn_new_nocheck (told, (const char *) key.data, key.len,
                                      is != NULL ? json_incref (is) : json_null ());
    }
    return told;
}

static void
tell_text (const struct weir_record *r, const struct weir_splice *s, uint32_t at,
           struct weir_styles *styles, struct weir_delta *d)
{
    struct weir_seq *seq = weir_container_seq (r->container);
    struct weir_buf text = { 0 };
    for (uint32_t done = 0; done < s->count;) {
        uint64_t n;
        const json_t *here = weir_styles_here (styles, s->count - done, &n);
        if (s->is_new) {
            weir_buf_clear (&text);
            weir_seq_text (seq, at + done, at + done + (uint32_t) n, &text);
            weir_delta_text (d, weir_buf_bytes (&text), json_incref ((json_t *) (uintptr_t) here));
        } else {
            weir_delta_retain (d, n, s->is_marked ? styles_told (r, here) : NULL);
        }
        weir_styles_skip (styles, n);
        done += (uint32_t) n;
    }
    weir_buf_fini (&text);
}

static void
tell_element (struct telling *t, const struct weir_record *r, const struct weir_splice *s,
              uint32_t at, const struct weir_buf *path, json_t *later, struct weir_delta *d)
{
    const struct weir_container *list = r->container;
    struct weir_item item;
    struct weir_op_id id;
    uint8_t key[WEIR_ID_BYTES + 4];
    uintptr_t from = 0;
    bool valued = false;
    if (!weir_list_item (list, at, &item)) {
        return;
    }
    if (list->type == &weir_container_movable && weir_movable_element (list, at, &id)) {
        memcpy (key, id.entry.b, WEIR_ID_BYTES);
        weir_store_u32 (key + WEIR_ID_BYTES, id.offset);
        struct weir_bytes k = weir_bytes (key, sizeof key);
        from = s->is_new && r->moved != NULL ? (uintptr_t) weir_map_get (r->moved, k) : 0;
        valued = r->valued != NULL && weir_map_get (r->valued, k) != NULL;
    }
    json_t *value = weir_diff_value (&list->id, &item);
    if (!s->is_new) {
        weir_delta_set (d, value);
    } else if (from != 0) {
        weir_delta_move (d, (uint32_t) (from - 1), value);
    } else {
        weir_delta_value (d, value);
    }
    if (from == 0 || valued) {
        tell_child_at (t, weir_diff_is_child (&item) ? item.child : NULL, path, at, later);
    }
}

static json_t *
tell_sequence (struct telling *t, const struct weir_record *r, const struct weir_buf *path,
               json_t *later)
{
    struct weir_seq *seq = weir_container_seq (r->container);
    struct weir_delta d = { .ops = json_array () };
    struct weir_styles styles = { .delta = NULL };
    bool is_text = r->container->type == &weir_container_text;
    uint32_t was = 0;
    uint32_t at = 0;
    if (is_text && weir_seq_entities (seq) != weir_seq_length (seq)) {
        styles = weir_styles_of (r->container);
    }
    for (size_t i = 0; i < r->n_splices; i++) {
        struct weir_splice s = r->splices[i];
        if (!s.is_new) {
            weir_delta_delete (&d, s.was - was);
            was = s.was + s.count;
        }
        if (s.count == UINT32_MAX) {
            break;
        }
        if (is_text && styles.delta != NULL) {
            tell_text (r, &s, at, &styles, &d);
        } else if (is_text && s.is_new) {
            tell_text (r, &s, at, &styles, &d);
        } else if (s.is_new || (s.is_marked && !is_text)) {
            for (uint32_t k = 0; k < s.count; k++) {
                tell_element (t, r, &s, at + k, path, later, &d);
            }
        } else {
            weir_delta_retain (&d, s.count, s.is_marked ? styles_told (r, NULL) : NULL);
        }
        at += s.count;
    }
    weir_styles_fini (&styles);
    weir_delta_close (&d);
    return d.ops;
}

/* ---- trees ---- */

struct near {
    uint32_t node;
    uint32_t depth;
};

static int
near_first (const void *a, const void *b)
{
    const struct near *x = a;
    const struct near *y = b;
    return x->depth != y->depth ? (x->depth < y->depth ? -1 : 1)
                                : (x->node > y->node) - (x->node < y->node);
}

/* Drops doubles and puts those that are nearer to the roots first. */
static void
sort_by_depth (const struct weir_shape *shape, struct weir_numbers *nodes)
{
    struct near *all = weir_alloc ((nodes->count + 1) * sizeof *all);
    size_t n = nodes->count;
    for (size_t i = 0; i < n; i++) {
        all[i].node = nodes->items[i];
        for (uint32_t at = all[i].node; at != WEIR_GRAPH_NONE; at = shape->nodes[at + 1].parent) {
            all[i].depth++;
        }
    }
    qsort (all, n, sizeof *all, near_first);
    weir_numbers_clear (nodes);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || all[i].node != all[i - 1].node) {
            weir_numbers_push (nodes, all[i].node);
        }
    }
    free (all);
}

/* As it was: both share their lists of children, until one is read anew. */
static struct weir_shape
shape_share (const struct weir_shape *shape)
{
    struct weir_shape copy = *shape;
    copy.cap = shape->count + 1;
    copy.nodes = weir_alloc (copy.cap * sizeof *copy.nodes);
    memcpy (copy.nodes, shape->nodes, copy.cap * sizeof *copy.nodes);
    return copy;
}

static void
shape_unshare (struct weir_shape *before, const struct weir_shape *shape)
{
    for (size_t i = 0; i <= before->count; i++) {
        if (before->nodes[i].children.items != shape->nodes[i].children.items) {
            weir_numbers_fini (&before->nodes[i].children);
        }
    }
    free (before->nodes);
}

static void
children_renew (struct weir_shape *shape, const struct weir_shape *before,
                const struct weir_container *tree, uint32_t n)
{
    struct weir_numbers *children = &shape->nodes[n + 1].children;
    if (children->items == before->nodes[n + 1].children.items) {
        *children = (struct weir_numbers){ .items = NULL };
    }
    if (shape->nodes[n + 1].is_alive) {
        weir_shape_children (shape, tree, n, NULL);
    } else {
        weir_numbers_clear (children);
    }
}

/* Brings the shape up to date at the nodes that were touched, and appends to them who lives or
 * died with them. */
static void
shape_update (struct weir_shape *shape, const struct weir_shape *before,
              const struct weir_container *tree, struct weir_numbers *nodes)
{
    for (size_t i = 0; i < nodes->count; i++) {
        uint32_t n = nodes->items[i];
        struct weir_shape_node *at = &shape->nodes[n + 1];
        struct weir_tree_node node;
        weir_tree_node (tree, n, &node);
        at->parent = node.is_alive ? node.parent : at->parent;
        at->is_alive = node.is_alive;
        children_renew (shape, before, tree, n);
        const struct weir_shape_node *was = &before->nodes[n + 1];
        const struct weir_numbers *below = node.is_alive ? &at->children : &was->children;
        for (size_t k = 0; was->is_alive != node.is_alive && k < below->count; k++) {
            const struct weir_shape_node *child = &shape->nodes[below->items[k] + 1];
            if (child->is_alive != node.is_alive) {
                weir_numbers_push (nodes, below->items[k]);
            }
        }
    }
}

static void
push_alive (const struct weir_shape *shape, struct weir_numbers *parents, uint32_t node)
{
    if (node == WEIR_GRAPH_NONE || shape->nodes[node + 1].is_alive) {
        weir_numbers_push (parents, node);
    }
}

static json_t *
tell_tree (struct telling *t, struct weir_record *r, const struct weir_buf *path, json_t *later)
{
    const struct weir_container *tree = r->container;
    struct weir_numbers parents = { .items = NULL };
    struct weir_shape_names names = { .tree = tree };
    json_t *steps = json_array ();
    struct weir_shape *shape = weir_map_get (t->shapes, weir_id_bytes (&tree->id));
    if (shape == NULL) {
        shape = weir_alloc (sizeof *shape);
        (void) weir_map_put (t->shapes, weir_id_bytes (&tree->id), shape);
    }
    weir_shape_grow (shape, weir_tree_nodes (tree));
    struct weir_shape before = shape_share (shape);
    shape_update (shape, &before, tree, &r->nodes);
    sort_by_depth (shape, &r->nodes);
    for (size_t i = 0; i < r->nodes.count; i++) {
        uint32_t n = r->nodes.items[i];
        const struct weir_shape_node *was = &before.nodes[n + 1];
        const struct weir_shape_node *now = &shape->nodes[n + 1];
        if (was->is_alive) {
            push_alive (shape, &parents, was->parent);
        }
        if (now->is_alive) {
            push_alive (shape, &parents, now->parent);
            push_alive (shape, &parents, n);
        }
    }
    sort_by_depth (shape, &parents);
    for (size_t i = 0; i < parents.count; i++) {
        children_renew (shape, &before, tree, parents.items[i]);
    }
    weir_shape_diff (&before, shape, &parents, &r->nodes, &names, steps);
    for (size_t i = 0; i < r->nodes.count; i++) {
        uint32_t n = r->nodes.items[i];
        if (shape->nodes[n + 1].is_alive && !before.nodes[n + 1].is_alive) {
            struct weir_tree_node node;
            weir_tree_node (tree, n, &node);
            struct weir_op_id_text name = weir_op_id_text (&node.id);
            tell_child (t, node.meta, path, weir_bytes_str (name.s), later);
        }
    }
    shape_unshare (&before, shape);
    weir_numbers_fini (&parents);
    return steps;
}

/* ---- all ---- */

static bool
is_empty (const json_t *diff)
{
    return diff == NULL
           || ((json_is_array (diff) || json_is_object (diff))
               && json_array_size (diff) + json_object_size (diff) == 0);
}

static bool
came_along (const struct telling *t, const struct weir_container *c)
{
    for (; c != NULL; c = c->parent) {
        if (weir_map_get (t->came, weir_id_bytes (&c->id)) != NULL) {
            return true;
        }
    }
    return false;
}

static void
tell (struct telling *t, struct weir_record *r)
{
    struct weir_container *c = r->container;
    struct weir_buf path = { 0 };
    json_t *later = json_array ();
    json_t *diff = NULL;
    bool visible = !came_along (t, c) && weir_container_path (c, &path);
    /* A tree's shape is kept up to date even where nobody sees it. */
    if (c->type == &weir_container_tree) {
        diff = tell_tree (t, r, &path, later);
    } else if (visible && c->type == &weir_container_map) {
        diff = tell_map (t, r, &path, later);
    } else if (visible && c->type == &weir_container_counter) {
        diff = tell_counter (r);
    } else if (visible) {
        diff = tell_sequence (t, r, &path, later);
    }
    if (visible && !is_empty (diff)) {
        json_array_append_new (
            t->rows, weir_diff_row (&c->id, c->type, weir_buf_bytes (&path), json_incref (diff)));
        json_array_extend (t->rows, later);
    }
    json_decref (diff);
    json_decref (later);
    weir_buf_fini (&path);
}

static int
upper_first (const void *a, const void *b)
{
    const struct weir_record *x = *(struct weir_record *const *) a;
    const struct weir_record *y = *(struct weir_record *const *) b;
    return x->level != y->level ? (x->level < y->level ? -1 : 1)
                                : weir_id_compare (&x->container->id, &y->container->id);
}

json_t *
weir_records_diff (struct weir_records *self, struct weir_map *shapes)
{
    struct telling t = { .rows = json_array (), .came = weir_map_new (), .shapes = shapes };
    for (size_t i = 0; i < self->count; i++) {
        self->items[i]->level = weir_container_level (self->items[i]->container);
    }
    if (self->count > 0) {
        qsort (self->items, self->count, sizeof (struct weir_record *), upper_first);
    }
    for (size_t i = 0; i < self->count; i++) {
        tell (&t, self->items[i]);
    }
    weir_map_destroy (&t.came, NULL);
    return t.rows;
}
