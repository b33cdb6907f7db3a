/* Owns the check of a tree's difference: its steps are done on paper, a shape of the tree as it
 * is, where known nodes go by their numbers and those that come behind them. */

#include "store/replica/diff_apply.h"

#include <string.h>

struct paper {
    struct weir_diff_apply *self;
    const struct weir_container *tree; /* NULL: it comes */
    const struct weir_diff_place *place;
    struct weir_shape shape;
    struct weir_map *fresh; /* name -> number + 1 */
};

uint32_t
weir_diff_tree_number (const struct weir_diff_apply *self, const struct weir_container *tree,
                       const json_t *name)
{
    struct weir_op_id id;
    const char *text = json_string_value (name);
    const char *next;
    while (text != NULL && self->nodes_for != NULL
           && (next = json_string_value (json_object_get (self->nodes_for, text))) != NULL) {
        text = next;
    }
    if (tree == NULL || text == NULL || weir_op_id_parse (&id, weir_bytes_str (text)) != WEIR_OK) {
        return WEIR_GRAPH_NONE;
    }
    return weir_tree_find (tree, &id);
}

static uint32_t
paper_find (const struct paper *p, const json_t *name)
{
    uint32_t n = weir_diff_tree_number (p->self, p->tree, name);
    if (n != WEIR_GRAPH_NONE || !json_is_string (name)) {
        return n;
    }
    uintptr_t fresh =
        (uintptr_t) weir_map_get (p->fresh, weir_bytes_str (json_string_value (name)));
    return fresh != 0 ? (uint32_t) (fresh - 1) : WEIR_GRAPH_NONE;
}

static void
paper_unlink (struct paper *p, uint32_t n)
{
    struct weir_numbers *from = &p->shape.nodes[p->shape.nodes[n + 1].parent + 1].children;
    size_t i = 0;
    while (from->items[i] != n) {
        i++;
    }
    from->count--;
    memmove (&from->items[i], &from->items[i + 1], (from->count - i) * sizeof *from->items);
}

static void
paper_link (struct paper *p, uint32_t n, uint32_t parent, size_t index)
{
    struct weir_numbers *to = &p->shape.nodes[parent + 1].children;
    weir_numbers_push (to, n);
    memmove (&to->items[index + 1], &to->items[index], (to->count - 1 - index) * sizeof *to->items);
    to->items[index] = n;
    p->shape.nodes[n + 1].parent = parent;
}

/* And all below it. */
static void
paper_kill (struct paper *p, uint32_t n)
{
    struct weir_numbers todo = { .items = NULL };
    paper_unlink (p, n);
    weir_numbers_push (&todo, n);
    while (todo.count > 0) {
        struct weir_shape_node *node = &p->shape.nodes[todo.items[--todo.count] + 1];
        for (size_t i = 0; i < node->children.count; i++) {
            weir_numbers_push (&todo, node->children.items[i]);
        }
        weir_numbers_clear (&node->children);
        node->is_alive = false;
    }
    weir_numbers_fini (&todo);
}

static bool
paper_is_below (const struct paper *p, uint32_t n, uint32_t above)
{
    while (n != WEIR_GRAPH_NONE && n != above) {
        n = p->shape.nodes[n + 1].parent;
    }
    return n == above;
}

/* The map of a node that comes. */
static enum weir_status
paper_meta (struct paper *p, const json_t *name)
{
    struct weir_diff_place place = { .type = &weir_container_map, .comes = true };
    struct weir_op_id id;
    place.level = p->place->level + 2;
    if (place.level > WEIR_CONTAINER_DEPTH_MAX) {
        return weir_error_set (p->self->e, WEIR_LIMIT, NULL, "containers nest at most %u deep",
                               WEIR_CONTAINER_DEPTH_MAX);
    }
    if (weir_op_id_parse (&id, weir_bytes_str (json_string_value (name))) != WEIR_OK) {
        return weir_diff_malformed (p->self, "a node is named ENTRY@OFFSET");
    }
    struct weir_id meta = weir_container_unique_id (&id, WEIR_CONTAINER_MAP);
    if (weir_map_get (p->self->places, weir_id_bytes (&meta)) != NULL) {
        return weir_diff_malformed (p->self, "a node comes once, and before its own row");
    }
    (void) weir_diff_place_add (p->self, &meta, &place);
    return WEIR_OK;
}

static enum weir_status
paper_create (struct paper *p, const json_t *name, uint32_t *n)
{
    if (*n != WEIR_GRAPH_NONE && p->shape.nodes[*n + 1].is_alive) {
        return weir_diff_misfit (p->self, "a node that comes is there");
    }
    enum weir_status status = paper_meta (p, name);
    if (status == WEIR_OK && *n == WEIR_GRAPH_NONE) {
        *n = (uint32_t) p->shape.count;
        weir_shape_grow (&p->shape, p->shape.count + 1);
        (void) weir_map_put (p->fresh, weir_bytes_str (json_string_value (name)),
                             (void *) ((uintptr_t) *n + 1));
    }
    return status;
}

static enum weir_status
paper_place (struct paper *p, const json_t *step, const json_t *name, bool comes)
{
    const json_t *above = json_object_get (step, "parent");
    const json_t *index = json_object_get (step, "index");
    uint32_t n = paper_find (p, name);
    uint32_t parent = json_is_string (above) ? paper_find (p, above) : WEIR_GRAPH_NONE;
    if (!json_is_string (name) || (!json_is_string (above) && !json_is_null (above))
        || !json_is_integer (index)) {
        return weir_diff_malformed (p->self, "a step of a tree has a node, a parent and an index");
    }
    if (json_is_string (above)
        && (parent == WEIR_GRAPH_NONE || !p->shape.nodes[parent + 1].is_alive)) {
        return weir_diff_misfit (p->self, "a node's parent is not there");
    }
    enum weir_status status = WEIR_OK;
    if (comes) {
        status = paper_create (p, name, &n);
    } else if (n == WEIR_GRAPH_NONE || !p->shape.nodes[n + 1].is_alive) {
        status = weir_diff_misfit (p->self, "a node that moves is not there");
    } else if (paper_is_below (p, parent, n)) {
        status = weir_error_set (p->self->e, WEIR_CONFLICT, NULL,
                                 "the difference moves a node below itself");
    }
    if (status != WEIR_OK) {
        return status;
    }
    const struct weir_numbers *siblings = &p->shape.nodes[parent + 1].children;
    size_t there = siblings->count - (!comes && p->shape.nodes[n + 1].parent == parent);
    if (json_integer_value (index) < 0 || (uint64_t) json_integer_value (index) > there) {
        return weir_diff_misfit (p->self, "a node's index is beyond its siblings");
    }
    if (!comes) {
        paper_unlink (p, n);
    }
    paper_link (p, n, parent, (size_t) json_integer_value (index));
    p->shape.nodes[n + 1].is_alive = true;
    return WEIR_OK;
}

enum weir_status
weir_diff_check_tree (struct weir_diff_apply *self, const json_t *diff,
                      const struct weir_diff_place *place)
{
    struct paper p = { .self = self, .place = place, .fresh = weir_map_new () };
    enum weir_status status = json_is_array (diff)
                                  ? WEIR_OK
                                  : weir_diff_malformed (self, "a tree's is an array of steps");
    p.tree = place->comes ? NULL : place->container;
    weir_shape_grow (&p.shape, 0);
    weir_shape_fill (&p.shape, p.tree, NULL);
    for (size_t i = 0; i < json_array_size (diff) && status == WEIR_OK; i++) {
        const json_t *step = json_array_get (diff, i);
        const json_t *comes = json_object_get (step, "create");
        const json_t *moves = json_object_get (step, "move");
        if (self->is_lenient) {
            status = comes != NULL ? paper_meta (&p, comes) : WEIR_OK;
            continue;
        }
        if (comes != NULL || moves != NULL) {
            status = paper_place (&p, step, comes != NULL ? comes : moves, comes != NULL);
            continue;
        }
        uint32_t n = paper_find (&p, json_object_get (step, "delete"));
        if (n == WEIR_GRAPH_NONE || !p.shape.nodes[n + 1].is_alive) {
            status = json_is_string (json_object_get (step, "delete"))
                         ? weir_diff_misfit (self, "a node that goes is not there")
                         : weir_diff_malformed (self, "a step of a tree creates, moves or deletes");
        } else {
            paper_kill (&p, n);
        }
    }
    weir_shape_fini (&p.shape);
    weir_map_destroy (&p.fresh, NULL);
    return status;
}
