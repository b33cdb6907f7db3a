/* Owns differences of trees: shapes (who stands below whom), and the moves that make one of the
 * other when they are done one after the other. Parents come before what is below them, so that
 * no step stands on one that is still to come; what goes, goes last, when all that lives on has
 * been taken out of it. */

#include "store/replica/diff.h"

#include <stdlib.h>
#include <string.h>

void
weir_shape_grow (struct weir_shape *s, size_t count)
{
    weir_grow (&s->nodes, &s->cap, count + 1, sizeof *s->nodes);
    if (!s->has_top) {
        s->nodes[0] = (struct weir_shape_node){ .parent = WEIR_GRAPH_NONE, .is_alive = true };
        s->has_top = true;
    }
    for (; s->count < count; s->count++) {
        s->nodes[s->count + 1] = (struct weir_shape_node){ .parent = WEIR_GRAPH_NONE };
    }
}

void
weir_shape_fini (struct weir_shape *s)
{
    for (size_t i = 0; s->has_top && i <= s->count; i++) {
        weir_numbers_fini (&s->nodes[i].children);
    }
    free (s->nodes);
    *s = (struct weir_shape){ .nodes = NULL };
}

static uint32_t
renamed (const uint32_t *numbers, uint32_t n)
{
    return numbers == NULL || n == WEIR_GRAPH_NONE ? n : numbers[n];
}

void
weir_shape_children (struct weir_shape *s, const struct weir_container *tree, uint32_t parent,
                     const uint32_t *numbers)
{
    struct weir_numbers *children = &s->nodes[renamed (numbers, parent) + 1].children;
    weir_numbers_clear (children);
    weir_tree_children (tree, parent, children);
    for (size_t i = 0; i < children->count; i++) {
        children->items[i] = renamed (numbers, children->items[i]);
    }
}

void
weir_shape_fill (struct weir_shape *s, const struct weir_container *tree, const uint32_t *numbers)
{
    uint32_t count = tree != NULL ? weir_tree_nodes (tree) : 0;
    weir_shape_grow (s, count);
    for (uint32_t n = 0; n < count; n++) {
        struct weir_tree_node node;
        weir_tree_node (tree, n, &node);
        if (node.is_alive) {
            struct weir_shape_node *to = &s->nodes[renamed (numbers, n) + 1];
            to->is_alive = true;
            to->parent = renamed (numbers, node.parent);
            weir_shape_children (s, tree, n, numbers);
        }
    }
    if (tree != NULL) {
        weir_shape_children (s, tree, WEIR_GRAPH_NONE, numbers);
    }
}

/* ---- the steps ---- */

struct steps {
    const struct weir_shape *a;
    const struct weir_shape *b;
    const struct weir_shape_names *names;
    json_t *out;
    bool *gone;      /* from where it stood in a */
    uint32_t *place; /* among its siblings in a */
};

static json_t *
name_of (const struct weir_shape_names *names, uint32_t n)
{
    struct weir_tree_node node;
    uint32_t known = names->tree != NULL ? weir_tree_nodes (names->tree) : 0;
    if (n < known) {
        weir_tree_node (names->tree, n, &node);
    } else {
        weir_tree_node (names->other, names->others[n - known], &node);
    }
    struct weir_op_id_text text = weir_op_id_text (&node.id);
    return json_string (text.s);
}

static void
put_step (struct steps *s, const char *what, uint32_t n, uint32_t parent, size_t index)
{
    json_t *step = json_object ();
    json_object_set_new (step, what, name_of (s->names, n));
    json_object_set_new (step, "parent",
                         parent == WEIR_GRAPH_NONE ? json_null () : name_of (s->names, parent));
    json_object_set_new (step, "index", json_integer ((json_int_t) index));
    json_array_append_new (s->out, step);
}

static const struct weir_shape_node *
shape_node (const struct weir_shape *s, uint32_t n)
{
    return n == WEIR_GRAPH_NONE ? &s->nodes[0] : &s->nodes[n + 1];
}

/* Marks those of b's children that were a's and may stay where they are. */
static bool *
stays_of (struct steps *s, uint32_t parent, const struct weir_numbers *were,
          const struct weir_numbers *now)
{
    bool *stays = weir_alloc (now->count + 1);
    bool *keep = weir_alloc (now->count + 1);
    uint32_t *order = weir_alloc ((now->count + 1) * sizeof *order);
    size_t n = 0;
    for (size_t i = 0; i < were->count; i++) {
        s->place[were->items[i]] = (uint32_t) i;
    }
    for (size_t i = 0; i < now->count; i++) {
        const struct weir_shape_node *was = shape_node (s->a, now->items[i]);
        stays[i] = was->is_alive && was->parent == parent;
        if (stays[i]) {
            order[n++] = s->place[now->items[i]];
        }
    }
    weir_diff_rising (order, n, keep);
    n = 0;
    for (size_t i = 0; i < now->count; i++) {
        stays[i] = stays[i] && keep[n++];
    }
    free (keep);
    free (order);
    return stays;
}

/* From left to right: what is left of `at` is done, or goes later. */
static void
put_children (struct steps *s, uint32_t parent)
{
    static const struct weir_numbers none = { .items = NULL };
    const struct weir_shape_node *before = shape_node (s->a, parent);
    const struct weir_numbers *were = before->is_alive ? &before->children : &none;
    const struct weir_numbers *now = &shape_node (s->b, parent)->children;
    bool *stays = stays_of (s, parent, were, now);
    size_t at = 0;
    size_t i = 0;
    for (size_t k = 0; k < now->count; k++) {
        uint32_t n = now->items[k];
        const struct weir_shape_node *was = shape_node (s->a, n);
        if (stays[k]) {
            for (; were->items[i] != n; i++) {
                at += !s->gone[were->items[i]];
            }
            i++;
            at++;
        } else if (!was->is_alive) {
            put_step (s, "create", n, parent, at++);
        } else {
            bool is_left = was->parent == parent && s->place[n] < i;
            put_step (s, "move", n, parent, is_left ? at - 1 : at);
            at += !is_left;
            s->gone[n] = true;
        }
    }
    free (stays);
}

void
weir_shape_diff (const struct weir_shape *a, const struct weir_shape *b,
                 const struct weir_numbers *parents, const struct weir_numbers *nodes,
                 const struct weir_shape_names *names, json_t *out)
{
    struct steps s = { .a = a, .b = b, .names = names, .out = out };
    s.gone = weir_alloc (a->count + 1);
    s.place = weir_alloc ((a->count + 1) * sizeof *s.place);
    for (size_t i = 0; i < parents->count; i++) {
        put_children (&s, parents->items[i]);
    }
    for (size_t i = 0; i < nodes->count; i++) {
        uint32_t n = nodes->items[i];
        const struct weir_shape_node *was = shape_node (a, n);
        if (was->is_alive && !shape_node (b, n)->is_alive
            && shape_node (b, was->parent)->is_alive) {
            json_t *step = json_object ();
            json_object_set_new (step, "delete", name_of (names, n));
            json_array_append_new (out, step);
        }
    }
    free (s.gone);
    free (s.place);
}

json_t *
weir_diff_tree (const struct weir_container *a, const struct weir_container *b)
{
    struct weir_shape of_a = { .nodes = NULL };
    struct weir_shape of_b = { .nodes = NULL };
    struct weir_numbers others = { .items = NULL };
    struct weir_numbers parents = { .items = NULL };
    struct weir_numbers nodes = { .items = NULL };
    uint32_t n_a = a != NULL ? weir_tree_nodes (a) : 0;
    uint32_t n_b = b != NULL ? weir_tree_nodes (b) : 0;
    uint32_t *numbers = weir_alloc (((size_t) n_a + 1) * sizeof *numbers);
    for (uint32_t n = 0; n < n_a; n++) {
        struct weir_tree_node node;
        weir_tree_node (a, n, &node);
        numbers[n] = b != NULL ? weir_tree_find (b, &node.id) : WEIR_GRAPH_NONE;
        if (numbers[n] == WEIR_GRAPH_NONE) {
            numbers[n] = n_b + (uint32_t) others.count;
            weir_numbers_push (&others, n);
        }
        weir_numbers_push (&nodes, numbers[n]);
    }
    weir_shape_grow (&of_a, n_b + others.count);
    weir_shape_grow (&of_b, n_b + others.count);
    weir_shape_fill (&of_a, a, numbers);
    weir_shape_fill (&of_b, b, NULL);
    weir_numbers_push (&parents, WEIR_GRAPH_NONE);
    for (size_t i = 0; i < parents.count; i++) {
        const struct weir_numbers *children = &shape_node (&of_b, parents.items[i])->children;
        for (size_t k = 0; k < children->count; k++) {
            weir_numbers_push (&parents, children->items[k]);
        }
    }
    json_t *out = json_array ();
    struct weir_shape_names names = { .tree = b, .other = a, .others = others.items };
    weir_shape_diff (&of_a, &of_b, &parents, &nodes, &names, out);
    weir_shape_fini (&of_a);
    weir_shape_fini (&of_b);
    weir_numbers_fini (&others);
    weir_numbers_fini (&parents);
    weir_numbers_fini (&nodes);
    free (numbers);
    if (json_array_size (out) == 0) {
        json_decref (out);
        return NULL;
    }
    return out;
}
