/* Owns what is asked of a difference before anything is done: whether it is one (shape, values,
 * keys) and whether it fits the document (containers, positions, nodes). It changes nothing that
 * shows; at most it makes an empty struct for a container that is there without one. */

#include "store/replica/diff_apply.h"

#include <stdlib.h>
#include <string.h>

enum weir_status
weir_diff_malformed (struct weir_diff_apply *self, const char *why)
{
    return weir_error_set (self->e, WEIR_INVALID_JSON, "see store/replica/replica.h for its shape",
                           "this is not a difference: %s", why);
}

enum weir_status
weir_diff_misfit (struct weir_diff_apply *self, const char *why)
{
    return weir_error_set (self->e, WEIR_OUT_OF_RANGE, "it was made for another version",
                           "the difference does not fit: %s", why);
}

/* ---- parts ---- */

bool
weir_diff_is_ref (const json_t *value)
{
    return json_is_object (value) && json_object_get (value, "$container") != NULL;
}

const struct weir_container_type *
weir_diff_type (const json_t *name)
{
    for (uint8_t n = WEIR_CONTAINER_MAP; json_is_string (name) && n <= WEIR_CONTAINER_COUNTER;
         n++) {
        const struct weir_container_type *type = weir_container_type (n);
        if (strcmp (type->name, json_string_value (name)) == 0) {
            return type;
        }
    }
    return NULL;
}

static bool
id_of (const json_t *json, struct weir_id *id)
{
    return json_is_string (json) && json_string_length (json) == WEIR_ID_TEXT
           && weir_id_parse (id, json_string_value (json)) == WEIR_OK;
}

/* Who stands for it now. */
static struct weir_id
id_now (const struct weir_diff_apply *self, struct weir_id id)
{
    const struct weir_id *next;
    while (self->stands_for != NULL
           && (next = weir_map_get (self->stands_for, weir_id_bytes (&id))) != NULL) {
        id = *next;
    }
    return id;
}

struct weir_diff_place *
weir_diff_place (const struct weir_diff_apply *self, const json_t *container)
{
    struct weir_id id;
    return id_of (container, &id) ? weir_map_get (self->places, weir_id_bytes (&id)) : NULL;
}

struct weir_diff_place *
weir_diff_place_add (struct weir_diff_apply *self, const struct weir_id *id,
                     const struct weir_diff_place *place)
{
    struct weir_diff_place *p = weir_alloc (sizeof *p);
    *p = *place;
    struct weir_diff_place *before = weir_map_put (self->places, weir_id_bytes (id), p);
    weir_assert (before == NULL);
    return p;
}

static enum weir_status
value_check (struct weir_diff_apply *self, const json_t *value)
{
    struct weir_value v;
    bool is_scalar = false;
    if (json_is_array (value)) {
        return weir_diff_malformed (self, "a value is a scalar, or names a container");
    }
    enum weir_status status = weir_value_from_json (&v, value, &self->scratch, &is_scalar, self->e);
    if (status == WEIR_OK && (!is_scalar || weir_value_check (&v) != WEIR_OK)) {
        status = weir_diff_malformed (self, "a value is a scalar, or names a container");
    }
    return status;
}

/* A child that comes with a value; `in` a map it may be one by path. */
static enum weir_status
child_check (struct weir_diff_apply *self, const json_t *ref, const struct weir_diff_place *parent)
{
    struct weir_diff_place place = { .comes = true };
    struct weir_id id;
    place.type = weir_diff_type (json_object_get (ref, "type"));
    bool unique = json_is_true (json_object_get (ref, "unique"));
    if (place.type == NULL || !id_of (json_object_get (ref, "$container"), &id)
        || (!unique && parent->type != &weir_container_map)) {
        return weir_diff_malformed (self, "a child is {\"$container\": id, \"type\"}");
    }
    if (weir_map_get (self->places, weir_id_bytes (&id)) != NULL) {
        return weir_diff_malformed (self, "a container comes once, and before its own row");
    }
    place.level = parent->level + 1;
    if (place.level > WEIR_CONTAINER_DEPTH_MAX) {
        return weir_error_set (self->e, WEIR_LIMIT, NULL, "containers nest at most %u deep",
                               WEIR_CONTAINER_DEPTH_MAX);
    }
    (void) weir_diff_place_add (self, &id, &place);
    return WEIR_OK;
}

static enum weir_status
item_check (struct weir_diff_apply *self, const json_t *value, const struct weir_diff_place *parent)
{
    return weir_diff_is_ref (value) ? child_check (self, value, parent) : value_check (self, value);
}

static bool
is_key (const json_t *key)
{
    return json_is_string (key)
           && weir_value_is_key (weir_bytes (json_string_value (key), json_string_length (key)));
}

/* ---- maps and counters ---- */

static enum weir_status
map_check (struct weir_diff_apply *self, const json_t *diff, const struct weir_diff_place *place)
{
    const json_t *set = json_object_get (diff, "set");
    const json_t *gone = json_object_get (diff, "delete");
    enum weir_status status = WEIR_OK;
    const char *key;
    size_t len;
    json_t *value;
    if (!json_is_object (diff) || (set != NULL && !json_is_object (set))
        || (gone != NULL && !json_is_array (gone))) {
        return weir_diff_malformed (self, "a map's is {\"set\": {..}, \"delete\": [..]}");
    }
    for (size_t i = 0; i < json_array_size (gone); i++) {
        if (!is_key (json_array_get (gone, i))) {
            return weir_diff_malformed (self, "a key is text");
        }
    }
    json_object_keylen_foreach ((json_t *) (uintptr_t) set, key, len, value)
    {
        if (status == WEIR_OK && !weir_value_is_key (weir_bytes (key, len))) {
            status = weir_diff_malformed (self, "a key is too long");
        }
        if (status == WEIR_OK) {
            status = item_check (self, value, place);
        }
    }
    return status;
}

/* ---- sequences ---- */

/* A count of 1 or more. */
static bool
count_of (const json_t *json, uint64_t *count)
{
    *count = json_is_integer (json) ? (uint64_t) json_integer_value (json) : 0;
    return json_is_integer (json) && json_integer_value (json) > 0
           && json_integer_value (json) <= UINT32_MAX;
}

static enum weir_status
attributes_check (struct weir_diff_apply *self, const json_t *op, bool allowed)
{
    const json_t *attributes = json_object_get (op, "attributes");
    enum weir_status status = WEIR_OK;
    const char *key;
    size_t len;
    json_t *value;
    if (attributes != NULL && (!allowed || !json_is_object (attributes))) {
        return weir_diff_malformed (self, "attributes are an object, of text");
    }
    json_object_keylen_foreach ((json_t *) (uintptr_t) attributes, key, len, value)
    {
        if (status == WEIR_OK && !weir_value_is_key (weir_bytes (key, len))) {
            status = weir_diff_malformed (self, "an attribute's key is too long");
        }
        if (status == WEIR_OK) {
            status = value_check (self, value);
        }
    }
    return status;
}

bool
weir_diff_is_child_of (const struct weir_diff_apply *self, const struct weir_container *list,
                       uint32_t at, const json_t *ref)
{
    struct weir_item item;
    struct weir_id id;
    if (list == NULL || !weir_list_item (list, at, &item) || item.value.type != WEIR_VALUE_UNIQUE
        || !id_of (json_object_get (ref, "$container"), &id)) {
        return false;
    }
    struct weir_id has = weir_diff_item_id (&list->id, &item);
    id = id_now (self, id);
    return weir_id_equal (&has, &id);
}

static enum weir_status
insert_check (struct weir_diff_apply *self, const json_t *op, const struct weir_diff_place *place,
              uint64_t length, uint8_t *moved)
{
    const json_t *inserted = json_object_get (op, "insert");
    const json_t *move = json_object_get (op, "move");
    enum weir_status status = WEIR_OK;
    if (place->type == &weir_container_text) {
        const char *text = json_string_value (inserted);
        return text == NULL || *text == '\0' || strlen (text) != json_string_length (inserted)
                   ? weir_diff_malformed (self, "what is inserted in a text is text, without NUL")
                   : attributes_check (self, op, true);
    }
    if (!json_is_array (inserted) || (json_array_size (inserted) == 0 && move == NULL)) {
        return weir_diff_malformed (self, "what is inserted in a list is an array");
    }
    const json_t *first = json_array_get (inserted, 0);
    if (move != NULL) {
        json_int_t from = json_is_integer (move) ? json_integer_value (move) : -1;
        if (place->type != &weir_container_movable || json_array_size (inserted) > 1 || from < 0) {
            return weir_diff_malformed (self, "a move is of one element of a movable list");
        }
        if ((uint64_t) from >= length || (moved[from] & 1) != 0) {
            return weir_diff_misfit (self, "a move from where nothing is");
        }
        moved[from] |= 1;
        if (weir_diff_is_ref (first)
            && weir_diff_is_child_of (self, place->container, (uint32_t) from, first)) {
            return WEIR_OK;
        }
    }
    for (size_t i = 0; i < json_array_size (inserted) && status == WEIR_OK; i++) {
        status = item_check (self, json_array_get (inserted, i), place);
    }
    return status;
}

/* `moved` has a byte for each element: 1 moved, 2 deleted, 3 both. */
static enum weir_status
delta_check (struct weir_diff_apply *self, const json_t *diff, const struct weir_diff_place *place,
             uint64_t length, uint8_t *moved)
{
    enum weir_status status = WEIR_OK;
    uint64_t at = 0;
    for (size_t i = 0; i < json_array_size (diff) && status == WEIR_OK; i++) {
        const json_t *op = json_array_get (diff, i);
        const json_t *kept = json_object_get (op, "retain");
        const json_t *gone = json_object_get (op, "delete");
        const json_t *set = json_object_get (op, "set");
        uint64_t count = 1;
        if (json_object_get (op, "insert") != NULL) {
            status = insert_check (self, op, place, length, moved);
            continue;
        }
        bool is_set = set != NULL && place->type == &weir_container_movable;
        if (!is_set && !count_of (kept != NULL ? kept : gone, &count)) {
            return weir_diff_malformed (self, "a step is a retain, an insert or a delete");
        }
        if (count > length - at) {
            return weir_diff_misfit (self, "it speaks of more than is there");
        }
        for (uint64_t k = 0; moved != NULL && gone != NULL && k < count; k++) {
            moved[at + k] |= 2;
        }
        if (is_set
            && !(weir_diff_is_ref (set)
                 && weir_diff_is_child_of (self, place->container, (uint32_t) at, set))) {
            status = item_check (self, set, place);
        } else {
            status =
                attributes_check (self, op, kept != NULL && place->type == &weir_container_text);
        }
        at += count;
    }
    for (uint64_t k = 0; moved != NULL && status == WEIR_OK && k < length; k++) {
        if (moved[k] == 1) {
            status = weir_diff_misfit (self, "what is moved is deleted where it was");
        }
    }
    return status;
}

static enum weir_status
sequence_check (struct weir_diff_apply *self, const json_t *diff,
                const struct weir_diff_place *place)
{
    uint64_t length = place->container != NULL && !place->comes
                          ? weir_seq_length (weir_container_seq (place->container))
                          : 0;
    if (!json_is_array (diff)) {
        return weir_diff_malformed (self, "a sequence's is an array of steps");
    }
    uint8_t *moved = place->type == &weir_container_movable ? weir_alloc (length + 1) : NULL;
    enum weir_status status = delta_check (self, diff, place, length, moved);
    free (moved);
    return status;
}

/* ---- finding containers ---- */

struct lost {
    struct weir_container **items;
    size_t count;
    size_t cap;
};

/* All that is visible, once: for what is not where its path says. */
static void
index_build (struct weir_diff_apply *self)
{
    struct lost todo = { .items = NULL };
    struct weir_container *top = weir_doc_top (self->doc);
    weir_grow (&todo.items, &todo.cap, 1, sizeof *todo.items);
    todo.items[todo.count++] = top;
    self->index = weir_map_new ();
    while (todo.count > 0) {
        struct weir_container *c = todo.items[--todo.count];
        struct weir_item item;
        size_t i = 0;
        (void) weir_map_put (self->index, weir_id_bytes (&c->id), c);
        while (c->type->next != NULL && c->type->next (c, &i, &item)) {
            if (item.value.type == WEIR_VALUE_CONTAINER && item.child == NULL && c != top) {
                item.child = weir_container_child (
                    c, item.key, weir_container_type (item.value.container), true);
            }
            if (item.child != NULL) {
                weir_grow (&todo.items, &todo.cap, todo.count + 1, sizeof *todo.items);
                todo.items[todo.count++] = item.child;
            }
        }
        for (uint32_t n = 0; c->type == &weir_container_tree && n < weir_tree_nodes (c); n++) {
            struct weir_tree_node node;
            weir_tree_node (c, n, &node);
            if (node.is_alive && node.meta != NULL) {
                weir_grow (&todo.items, &todo.cap, todo.count + 1, sizeof *todo.items);
                todo.items[todo.count++] = node.meta;
            }
        }
    }
    free (todo.items);
}

/* A step down a path; of the top, whatever root with that name has something to step into. */
static struct weir_container *
step_down (struct weir_container *c, struct weir_bytes part)
{
    struct weir_item item;
    struct weir_op_id id;
    struct weir_tree_node node;
    if (c->type == &weir_container_tree) {
        uint32_t n =
            weir_op_id_parse (&id, part) == WEIR_OK ? weir_tree_find (c, &id) : WEIR_GRAPH_NONE;
        if (n == WEIR_GRAPH_NONE) {
            return NULL;
        }
        weir_tree_node (c, n, &node);
        return node.meta;
    }
    return c->type->find != NULL && c->type->find (c, part, &item) ? item.child : NULL;
}

/* Where the path leads, when the id says that it is meant; a root and a visible child by path
 * are made when they are there without a struct. */
static struct weir_container *
find_by_path (struct weir_diff_apply *self, const char *pointer, const struct weir_id *id,
              const struct weir_container_type *type)
{
    struct weir_path path = { 0 };
    struct weir_container *c = weir_doc_top (self->doc);
    struct weir_container *found = NULL;
    struct weir_item item;
    if (weir_path_parse (&path, pointer, NULL) != WEIR_OK || path.count == 0) {
        weir_path_fini (&path);
        return NULL;
    }
    for (size_t i = 0; c != NULL && i + 1 < path.count; i++) {
        c = step_down (c, weir_bytes_str (path.parts[i]));
    }
    struct weir_bytes key = weir_bytes_str (path.parts[path.count - 1]);
    if (c != NULL && c->type == &weir_container_map && weir_value_is_key (key)) {
        struct weir_id there = weir_diff_path_id (&c->id, key, type);
        bool is_root = c == weir_doc_top (self->doc) && key.len > 0 && key.data[0] != '_';
        if (weir_id_equal (&there, id)
            && (is_root
                || (c != weir_doc_top (self->doc) && c->type->find (c, key, &item)
                    && item.value.type == WEIR_VALUE_CONTAINER
                    && item.value.container == type->number))) {
            found = weir_container_child (c, key, type, true);
        }
    }
    weir_path_fini (&path);
    return found;
}

static struct weir_container *
container_find (struct weir_diff_apply *self, const json_t *row, struct weir_id id,
                const struct weir_container_type *type)
{
    id = id_now (self, id);
    struct weir_container *c = weir_doc_unique (self->doc, &id);
    const char *path = json_string_value (json_object_get (row, "path"));
    if (c == NULL && path != NULL) {
        c = find_by_path (self, path, &id, type);
    }
    if (c == NULL) {
        if (self->index == NULL) {
            index_build (self);
        }
        c = weir_map_get (self->index, weir_id_bytes (&id));
    }
    return c;
}

/* ---- rows ---- */

static enum weir_status
diff_check (struct weir_diff_apply *self, const json_t *diff, const struct weir_diff_place *place)
{
    switch (place->type->number) {
    case WEIR_CONTAINER_MAP:
        return map_check (self, diff, place);
    case WEIR_CONTAINER_TREE:
        return weir_diff_check_tree (self, diff, place);
    case WEIR_CONTAINER_COUNTER:
        return json_is_number (diff) ? WEIR_OK
                                     : weir_diff_malformed (self, "a counter's is a number");
    default:
        return sequence_check (self, diff, place);
    }
}

static enum weir_status
row_check (struct weir_diff_apply *self, const json_t *row)
{
    const struct weir_container_type *type = weir_diff_type (json_object_get (row, "type"));
    const json_t *diff = json_object_get (row, "diff");
    struct weir_id id;
    if (type == NULL || diff == NULL || !id_of (json_object_get (row, "container"), &id)) {
        return weir_diff_malformed (self, "a row has a container, a type and a diff");
    }
    struct weir_diff_place *place = weir_map_get (self->places, weir_id_bytes (&id));
    if (place != NULL && (!place->comes || place->row != NULL || place->type != type)) {
        return weir_diff_malformed (self, "a container has one row, of its type");
    }
    if (place == NULL) {
        struct weir_diff_place found = { .type = type };
        found.container = container_find (self, row, id, type);
        if (self->is_lenient && found.container == NULL) {
            return WEIR_OK;
        }
        if (found.container == NULL || found.container->type != type) {
            return weir_error_set (self->e, WEIR_NOT_FOUND, "it was made for another version",
                                   "the difference speaks of a %s that is not here", type->name);
        }
        found.level = weir_container_level (found.container);
        place = weir_diff_place_add (self, &id, &found);
    }
    place->row = diff;
    return diff_check (self, diff, place);
}

enum weir_status
weir_diff_check (struct weir_diff_apply *self, const json_t *diff)
{
    enum weir_status status =
        json_is_array (diff) ? WEIR_OK : weir_diff_malformed (self, "it is an array of rows");
    self->places = weir_map_new ();
    for (size_t i = 0; i < json_array_size (diff) && status == WEIR_OK; i++) {
        status = row_check (self, json_array_get (diff, i));
    }
    return status;
}
