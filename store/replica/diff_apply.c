/* Owns what makes ops of a difference that was checked (diff_check.c). Containers that come get
 * new ids, unless they are made by path; nodes of a tree that were there before come back as
 * themselves. Sequences are diff_apply_seq.c's. */

#include "store/replica/diff_apply.h"

#include <stdlib.h>
#include <string.h>

static void
place_free (void *place)
{
    free (place);
}

void
weir_diff_apply_fini (struct weir_diff_apply *self)
{
    weir_map_destroy (&self->places, place_free);
    weir_map_destroy (&self->index, NULL);
    weir_map_destroy (&self->nodes, NULL);
    weir_buf_fini (&self->scratch);
    free (self->made);
    self->made = NULL;
    self->n_made = 0;
}

enum weir_status
weir_diff_change (struct weir_diff_apply *self, struct weir_change **change)
{
    return self->change (self->context, change, self->e);
}

struct weir_bytes
weir_diff_text_of (const json_t *json)
{
    return weir_bytes (json_string_value (json), json_string_length (json));
}

/* ---- children that come ---- */

static enum weir_status container_clear (struct weir_diff_apply *self, struct weir_container *c,
                                         const json_t *keep);

/* It stands for `ref` from now on; what was in it (of a child by path, of a node's map) goes. */
static enum weir_status
place_fill (struct weir_diff_apply *self, struct weir_diff_place *place, const struct weir_id *old,
            struct weir_container *now)
{
    place->container = now;
    weir_grow (&self->made, &self->made_cap, self->n_made + 1, sizeof *self->made);
    self->made[self->n_made++] = (struct weir_diff_made){ .old = *old, .now = now };
    return container_clear (self, now, json_object_get (place->row, "set"));
}

enum weir_status
weir_diff_child_came (struct weir_diff_apply *self, const json_t *ref, struct weir_container *now)
{
    struct weir_id id;
    struct weir_diff_place *place = weir_diff_place (self, json_object_get (ref, "$container"));
    enum weir_status status =
        weir_id_parse (&id, json_string_value (json_object_get (ref, "$container")));
    return status == WEIR_OK && place != NULL ? place_fill (self, place, &id, now) : status;
}

/* The value as ops take it. */
enum weir_status
weir_diff_value_of (struct weir_diff_apply *self, const json_t *json, struct weir_value *value,
                    struct weir_buf *scratch)
{
    bool is_scalar = false;
    if (weir_diff_is_ref (json)) {
        *value = (struct weir_value){ .type = WEIR_VALUE_UNIQUE };
        value->container = weir_diff_type (json_object_get (json, "type"))->number;
        return WEIR_OK;
    }
    enum weir_status status = weir_value_from_json (value, json, scratch, &is_scalar, self->e);
    weir_assert (status != WEIR_OK || is_scalar);
    return status;
}

/* ---- maps ---- */

static enum weir_status
map_put (struct weir_diff_apply *self, struct weir_container *map, struct weir_bytes key,
         const json_t *json)
{
    struct weir_change *change = NULL;
    struct weir_container *child = NULL;
    struct weir_value value;
    enum weir_status status = weir_diff_change (self, &change);
    if (status != WEIR_OK) {
        return status;
    }
    if (!weir_diff_is_ref (json)) {
        status = weir_diff_value_of (self, json, &value, &self->scratch);
        return status == WEIR_OK ? weir_change_map_set (change, map, key, &value, self->e) : status;
    }
    const struct weir_container_type *type = weir_diff_type (json_object_get (json, "type"));
    status = json_is_true (json_object_get (json, "unique"))
                 ? weir_change_map_make (change, map, key, type, &child, self->e)
                 : weir_change_child (change, map, key, type, &child, self->e);
    return status == WEIR_OK ? weir_diff_child_came (self, json, child) : status;
}

static enum weir_status
map_remove (struct weir_diff_apply *self, struct weir_container *map, struct weir_bytes key)
{
    struct weir_change *change = NULL;
    enum weir_status status = weir_diff_change (self, &change);
    return status == WEIR_OK ? weir_change_map_delete (change, map, key, self->e) : status;
}

static enum weir_status
map_apply (struct weir_diff_apply *self, struct weir_container *map, const json_t *diff)
{
    const json_t *gone = json_object_get (diff, "delete");
    enum weir_status status = WEIR_OK;
    const char *key;
    size_t len;
    json_t *value;
    for (size_t i = 0; i < json_array_size (gone) && status == WEIR_OK; i++) {
        status = map_remove (self, map, weir_diff_text_of (json_array_get (gone, i)));
    }
    json_object_keylen_foreach (json_object_get (diff, "set"), key, len, value)
    {
        if (status == WEIR_OK) {
            status = map_put (self, map, weir_bytes (key, len), value);
        }
    }
    return status;
}

static enum weir_status
map_clear (struct weir_diff_apply *self, struct weir_container *map, const json_t *keep)
{
    json_t *keys = json_array ();
    struct weir_item item;
    enum weir_status status = WEIR_OK;
    size_t i = 0;
    while (map->type->next (map, &i, &item)) {
        if (json_object_getn (keep, (const char *) item.key.data, item.key.len) == NULL) {
            json_array_append_new (
                keys, json_stringn_nocheck ((const char *) item.key.data, item.key.len));
        }
    }
    for (i = 0; i < json_array_size (keys) && status == WEIR_OK; i++) {
        status = map_remove (self, map, weir_diff_text_of (json_array_get (keys, i)));
    }
    json_decref (keys);
    return status;
}

/* ---- counters ---- */

static enum weir_status
counter_add (struct weir_diff_apply *self, struct weir_container *counter, const json_t *by)
{
    struct weir_change *change = NULL;
    struct weir_value value = { .type = WEIR_VALUE_INT };
    value.number.i = json_integer_value (by);
    if (json_is_real (by)) {
        value.type = WEIR_VALUE_DOUBLE;
        value.number.d = json_real_value (by);
    }
    enum weir_status status = weir_diff_change (self, &change);
    return status == WEIR_OK ? weir_change_increment (change, counter, &value, self->e) : status;
}

static enum weir_status
counter_clear (struct weir_diff_apply *self, struct weir_container *counter)
{
    json_t *zero = json_integer (0);
    json_t *value = counter->type->json (counter);
    json_t *by = weir_diff_number (value, zero);
    enum weir_status status = by != NULL ? counter_add (self, counter, by) : WEIR_OK;
    json_decref (zero);
    json_decref (value);
    json_decref (by);
    return status;
}

/* ---- trees ---- */

static uint32_t
tree_find (const struct weir_diff_apply *self, const struct weir_container *tree,
           const json_t *name)
{
    uint32_t n = weir_diff_tree_number (self, tree, name);
    if (n == WEIR_GRAPH_NONE && json_is_string (name)) {
        uintptr_t made = (uintptr_t) weir_map_get (self->nodes, weir_diff_text_of (name));
        n = made != 0 ? (uint32_t) (made - 1) : WEIR_GRAPH_NONE;
    }
    return n;
}

/* Below a node that comes back there may be others: they stay where they are until they are
 * placed; those that are not meant go again. */
static enum weir_status
tree_prune (struct weir_diff_apply *self, struct weir_container *tree, uint32_t node)
{
    struct weir_numbers children = { .items = NULL };
    enum weir_status status = WEIR_OK;
    weir_tree_children (tree, node, &children);
    for (size_t i = 0; i < children.count && status == WEIR_OK; i++) {
        struct weir_tree_node child;
        struct weir_change *change = NULL;
        weir_tree_node (tree, children.items[i], &child);
        struct weir_id meta = weir_container_unique_id (&child.id, WEIR_CONTAINER_MAP);
        if (weir_map_get (self->places, weir_id_bytes (&meta)) != NULL) {
            continue;
        }
        status = weir_diff_change (self, &change);
        if (status == WEIR_OK) {
            status = weir_change_tree_delete (change, tree, children.items[i], self->e);
        }
    }
    weir_numbers_fini (&children);
    return status;
}

static enum weir_status
tree_create (struct weir_diff_apply *self, struct weir_container *tree, const json_t *name,
             uint32_t parent, uint32_t index)
{
    struct weir_change *change = NULL;
    struct weir_op_id id;
    uint32_t node = weir_diff_tree_number (self, tree, name);
    bool is_new = node == WEIR_GRAPH_NONE;
    size_t map_at = self->n_made; /* place_fill puts it there */
    enum weir_status status = weir_op_id_parse (&id, weir_diff_text_of (name));
    if (status == WEIR_OK) {
        status = weir_diff_change (self, &change);
    }
    if (status == WEIR_OK && !is_new) {
        status = weir_change_tree_move (change, tree, node, parent, index, self->e);
        if (status == WEIR_OK) {
            status = tree_prune (self, tree, node);
        }
    } else if (status == WEIR_OK) {
        status = weir_change_tree_create (change, tree, parent, index, &node, self->e);
        if (status == WEIR_OK) {
            (void) weir_map_put (self->nodes, weir_diff_text_of (name),
                                 (void *) ((uintptr_t) node + 1));
        }
    }
    if (status == WEIR_OK) {
        status = weir_diff_change (self, &change);
    }
    if (status != WEIR_OK) {
        return status;
    }
    struct weir_id meta = weir_container_unique_id (&id, WEIR_CONTAINER_MAP);
    struct weir_diff_place *place = weir_map_get (self->places, weir_id_bytes (&meta));
    status = place_fill (self, place, &meta, weir_change_tree_meta (change, tree, node));
    if (is_new) {
        struct weir_diff_made *made = &self->made[map_at];
        made->node = id;
        made->is_node = true;
    }
    return status;
}

static bool
tree_is_alive (const struct weir_container *tree, uint32_t number)
{
    struct weir_tree_node node = { .is_alive = false };
    if (number != WEIR_GRAPH_NONE) {
        weir_tree_node (tree, number, &node);
    }
    return node.is_alive;
}

static enum weir_status
tree_step (struct weir_diff_apply *self, struct weir_container *tree, const json_t *step)
{
    const json_t *comes = json_object_get (step, "create");
    const json_t *moves = json_object_get (step, "move");
    const json_t *above = json_object_get (step, "parent");
    uint32_t parent = tree_find (self, tree, above);
    uint32_t index = (uint32_t) json_integer_value (json_object_get (step, "index"));
    struct weir_change *change = NULL;
    enum weir_status status = weir_diff_change (self, &change);
    if (status != WEIR_OK) {
        return status;
    }
    if (comes == NULL && moves == NULL) {
        uint32_t node = tree_find (self, tree, json_object_get (step, "delete"));
        return tree_is_alive (tree, node) ? weir_change_tree_delete (change, tree, node, self->e)
                                          : WEIR_OK;
    }
    if (json_is_string (above) && !tree_is_alive (tree, parent)) {
        return WEIR_OK; /* lenient: its parent is gone */
    }
    uint32_t node = tree_find (self, tree, comes != NULL ? comes : moves);
    struct weir_numbers siblings = { .items = NULL };
    if (self->is_lenient) {
        weir_tree_children (tree, parent, &siblings);
        size_t there = siblings.count;
        for (size_t i = 0; i < siblings.count; i++) {
            there -= siblings.items[i] == node;
        }
        index = index < there ? index : (uint32_t) there;
        weir_numbers_fini (&siblings);
    }
    if (comes != NULL) {
        return tree_create (self, tree, comes, parent, index);
    }
    status = tree_is_alive (tree, node)
                 ? weir_change_tree_move (change, tree, node, parent, index, self->e)
                 : WEIR_OK;
    return status == WEIR_CONFLICT && self->is_lenient ? WEIR_OK : status;
}

static enum weir_status
tree_apply (struct weir_diff_apply *self, struct weir_container *tree, const json_t *diff)
{
    enum weir_status status = WEIR_OK;
    weir_map_destroy (&self->nodes, NULL);
    self->nodes = weir_map_new ();
    for (size_t i = 0; i < json_array_size (diff) && status == WEIR_OK; i++) {
        status = tree_step (self, tree, json_array_get (diff, i));
    }
    return status;
}

static enum weir_status
tree_clear (struct weir_diff_apply *self, struct weir_container *tree)
{
    struct weir_numbers roots = { .items = NULL };
    enum weir_status status = WEIR_OK;
    weir_tree_children (tree, WEIR_GRAPH_NONE, &roots);
    for (size_t i = 0; i < roots.count && status == WEIR_OK; i++) {
        struct weir_change *change = NULL;
        status = weir_diff_change (self, &change);
        if (status == WEIR_OK) {
            status = weir_change_tree_delete (change, tree, roots.items[i], self->e);
        }
    }
    weir_numbers_fini (&roots);
    return status;
}

/* ---- all ---- */

static enum weir_status
container_clear (struct weir_diff_apply *self, struct weir_container *c, const json_t *keep)
{
    switch (c->type->number) {
    case WEIR_CONTAINER_MAP:
        return map_clear (self, c, keep);
    case WEIR_CONTAINER_TREE:
        return tree_clear (self, c);
    case WEIR_CONTAINER_COUNTER:
        return counter_clear (self, c);
    default:
        return weir_diff_delete (self, c, 0, weir_seq_length (weir_container_seq (c)));
    }
}

static enum weir_status
row_apply (struct weir_diff_apply *self, struct weir_container *c, const json_t *diff)
{
    switch (c->type->number) {
    case WEIR_CONTAINER_MAP:
        return map_apply (self, c, diff);
    case WEIR_CONTAINER_TEXT:
        return weir_diff_apply_text (self, c, diff);
    case WEIR_CONTAINER_MOVABLE:
        return weir_diff_apply_movable (self, c, diff);
    case WEIR_CONTAINER_TREE:
        return tree_apply (self, c, diff);
    case WEIR_CONTAINER_COUNTER:
        return counter_add (self, c, diff);
    default:
        return weir_diff_apply_list (self, c, diff);
    }
}

enum weir_status
weir_diff_apply (struct weir_diff_apply *self, const json_t *diff)
{
    enum weir_status status = weir_diff_check (self, diff);
    for (size_t i = 0; i < json_array_size (diff) && status == WEIR_OK; i++) {
        const json_t *row = json_array_get (diff, i);
        struct weir_diff_place *place = weir_diff_place (self, json_object_get (row, "container"));
        if (place != NULL && place->container != NULL) {
            status = row_apply (self, place->container, json_object_get (row, "diff"));
        }
    }
    return status;
}
