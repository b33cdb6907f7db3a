/* Owns shadows and sketches (shadow.h). */

#include "tests/models/shadow.h"

#include "tests/models/models.h"

#include "store/crdt/change.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- sketches ---- */

static json_t *sketch_container (const struct weir_container *c, uint8_t type);

static json_t *
sketch_item (const struct weir_item *item)
{
    if (item->value.type == WEIR_VALUE_CONTAINER || item->value.type == WEIR_VALUE_UNIQUE) {
        return sketch_container (item->child, item->value.container);
    }
    return weir_value_json (&item->value);
}

static json_t *
sketch_nodes (const struct weir_container *tree, uint32_t parent)
{
    struct weir_numbers children = { .items = NULL };
    json_t *out = json_array ();
    weir_tree_children (tree, parent, &children);
    for (size_t i = 0; i < children.count; i++) {
        struct weir_tree_node node;
        weir_tree_node (tree, children.items[i], &node);
        json_array_append_new (out, json_pack ("{s:o, s:o}", "meta",
                                               sketch_container (node.meta, WEIR_CONTAINER_MAP),
                                               "children", sketch_nodes (tree, children.items[i])));
    }
    weir_numbers_fini (&children);
    return out;
}

/* As a real number: a counter that was ever moved by one stays one. */
static json_t *
sketch_counter (const struct weir_container *c)
{
    json_t *value = c != NULL ? c->type->json (c) : json_integer (0);
    json_t *out = json_real (json_number_value (value));
    json_decref (value);
    return out;
}

static json_t *
sketch_container (const struct weir_container *c, uint8_t type)
{
    json_t *out = type == WEIR_CONTAINER_MAP ? json_object () : json_array ();
    struct weir_item item;
    size_t i = 0;
    if (type == WEIR_CONTAINER_TEXT || type == WEIR_CONTAINER_COUNTER
        || (type == WEIR_CONTAINER_TREE && c != NULL)) {
        json_decref (out);
        return type == WEIR_CONTAINER_TREE ? sketch_nodes (c, WEIR_GRAPH_NONE)
               : type == WEIR_CONTAINER_TEXT
                   ? json_pack ("{s:o}", "$text", c != NULL ? weir_text_delta (c) : json_array ())
                   : sketch_counter (c);
    }
    while (c != NULL && type != WEIR_CONTAINER_TREE && c->type->next (c, &i, &item)) {
        if (type == WEIR_CONTAINER_MAP) {
            json_object_setn_new (out, (const char *) item.key.data, item.key.len,
                                  sketch_item (&item));
        } else {
            json_array_append_new (out, sketch_item (&item));
        }
    }
    return out;
}

static bool
is_nothing (const json_t *value)
{
    const json_t *text = json_object_get (value, "$text");
    return text != NULL             ? json_array_size (text) == 0
           : json_is_number (value) ? json_number_value (value) == 0.0
                                    : json_object_size (value) + json_array_size (value) == 0;
}

json_t *
sketch (const struct weir_doc *doc)
{
    struct weir_container *top = weir_doc_top (doc);
    struct weir_item item;
    json_t *out = json_object ();
    size_t i = 0;
    while (top->type->next (top, &i, &item)) {
        json_t *value = sketch_item (&item);
        if (is_nothing (value)) {
            json_decref (value);
        } else {
            json_object_setn_new (out, (const char *) item.key.data, item.key.len, value);
        }
    }
    return out;
}

void
sketch_check (const char *what, json_t *got, json_t *wanted)
{
    if (!json_equal (got, wanted)) {
        char *a = json_dumps (got, JSON_SORT_KEYS | JSON_ENCODE_ANY);
        char *b = json_dumps (wanted, JSON_SORT_KEYS | JSON_ENCODE_ANY);
        weir_model_fail (__FILE__, __LINE__, "%s\n  got:\n    %s\n  wanted:\n    %s", what, a, b);
    }
    json_decref (got);
    json_decref (wanted);
}

/* ---- shadows ---- */

void
shadow_init (struct shadow *s)
{
    *s = (struct shadow){ .containers = json_object (), .roots = json_object () };
}

void
shadow_fini (struct shadow *s)
{
    json_decref (s->containers);
    json_decref (s->roots);
}

static json_t *
empty_of (const char *type)
{
    return strcmp (type, "map") == 0       ? json_object ()
           : strcmp (type, "counter") == 0 ? json_integer (0)
                                           : json_array ();
}

static void
come (struct shadow *s, const json_t *ref)
{
    const char *id = json_string_value (json_object_get (ref, "$container"));
    const char *type = json_string_value (json_object_get (ref, "type"));
    if (id != NULL) {
        json_object_set_new (s->containers, id,
                             json_pack ("{s:s, s:o}", "type", type, "value", empty_of (type)));
    }
}

static void
apply_map (struct shadow *s, json_t *map, const json_t *diff)
{
    const char *key;
    json_t *value;
    const json_t *gone = json_object_get (diff, "delete");
    for (size_t i = 0; i < json_array_size (gone); i++) {
        int was = json_object_del (map, json_string_value (json_array_get (gone, i)));
        (void) was; /* an event may tell of a key that was not there */
    }
    json_object_foreach (json_object_get (diff, "set"), key, value)
    {
        json_object_set (map, key, value);
        come (s, value);
    }
}

/* Into an array of single elements: of texts {"c", "a"}. */
static void
insert (struct shadow *s, json_t *out, const json_t *op, const json_t *was)
{
    const json_t *inserted = json_object_get (op, "insert");
    const json_t *move = json_object_get (op, "move");
    if (json_is_string (inserted)) {
        const uint8_t *text = (const uint8_t *) json_string_value (inserted);
        const json_t *a = json_object_get (op, "attributes");
        struct weir_bytes left = weir_bytes (text, json_string_length (inserted));
        uint32_t point;
        size_t n;
        while ((n = weir_utf8_next (left, &point)) > 0) {
            json_array_append_new (
                out, json_pack ("{s:s#, s:o}", "c", left.data, (int) n, "a",
                                a != NULL ? json_copy ((json_t *) (uintptr_t) a) : json_object ()));
            left = weir_bytes (left.data + n, left.len - n);
        }
        return;
    }
    for (size_t i = 0; i < json_array_size (inserted); i++) {
        json_t *value = json_array_get (inserted, i);
        json_t *before =
            move != NULL ? json_array_get (was, (size_t) json_integer_value (move)) : NULL;
        model_check (move == NULL || before != NULL, "a move from nowhere");
        if (before == NULL || !json_equal (before, value)) {
            come (s, value);
        }
        json_array_append (out, value);
    }
}

static json_t *
apply_sequence (struct shadow *s, const json_t *was, const json_t *diff)
{
    json_t *out = json_array ();
    size_t at = 0;
    for (size_t i = 0; i < json_array_size (diff); i++) {
        const json_t *op = json_array_get (diff, i);
        json_int_t kept = json_integer_value (json_object_get (op, "retain"));
        const json_t *set = json_object_get (op, "set");
        if (json_object_get (op, "insert") != NULL) {
            insert (s, out, op, was);
        } else if (set != NULL) {
            come (s, set);
            json_array_append (out, (json_t *) (uintptr_t) set);
            at++;
        }
        for (json_int_t k = 0; k < kept; k++) {
            json_t *element = json_deep_copy (json_array_get (was, at++));
            const char *key;
            json_t *value;
            model_check (element != NULL, "more is kept than there is");
            json_object_foreach (json_object_get (op, "attributes"), key, value)
            {
                json_t *a = json_object_get (element, "a");
                if (json_is_null (value)) {
                    json_object_del (a, key);
                } else {
                    json_object_set (a, key, value);
                }
            }
            json_array_append_new (out, element);
        }
        at += (size_t) json_integer_value (json_object_get (op, "delete"));
        model_check (at <= json_array_size (was), "more goes than there is");
    }
    for (; at < json_array_size (was); at++) {
        json_array_append (out, json_array_get (was, at));
    }
    return out;
}

/* The array that holds the node; NULL: it is not there. */
static json_t *
find_node (json_t *nodes, const char *name, size_t *index)
{
    for (size_t i = 0; i < json_array_size (nodes); i++) {
        json_t *node = json_array_get (nodes, i);
        if (strcmp (json_string_value (json_object_get (node, "id")), name) == 0) {
            *index = i;
            return nodes;
        }
        json_t *below = find_node (json_object_get (node, "children"), name, index);
        if (below != NULL) {
            return below;
        }
    }
    return NULL;
}

static void
apply_step (struct shadow *s, json_t *tree, const json_t *step)
{
    const char *made = json_string_value (json_object_get (step, "create"));
    const char *moved = json_string_value (json_object_get (step, "move"));
    const char *gone = json_string_value (json_object_get (step, "delete"));
    const char *above = json_string_value (json_object_get (step, "parent"));
    const char *name = made != NULL ? made : moved != NULL ? moved : gone;
    size_t at = 0;
    json_t *from = find_node (tree, name, &at);
    model_check ((made != NULL) == (from == NULL), "a node comes that is there, or another");
    json_t *node = json_incref (json_array_get (from, at));
    if (made != NULL) {
        struct weir_op_id id;
        enum weir_status status = weir_op_id_parse (&id, weir_bytes_str (made));
        model_check (status == WEIR_OK, "a node's name");
        struct weir_id meta = weir_container_unique_id (&id, WEIR_CONTAINER_MAP);
        json_t *ref = json_pack ("{s:s, s:s}", "$container", weir_id_text (&meta).s, "type", "map");
        come (s, ref);
        json_decref (ref);
        node =
            json_pack ("{s:s, s:s, s:[]}", "id", made, "meta", weir_id_text (&meta).s, "children");
    } else {
        json_array_remove (from, at);
    }
    if (gone == NULL) {
        json_t *to = tree;
        json_t *list = above != NULL ? find_node (tree, above, &at) : NULL;
        model_check (above == NULL || list != NULL, "a parent that is not there");
        if (above != NULL) {
            to = json_object_get (json_array_get (list, at), "children");
        }
        size_t index = (size_t) json_integer_value (json_object_get (step, "index"));
        model_check (index <= json_array_size (to), "an index beyond the siblings");
        json_array_insert (to, index, node);
    }
    json_decref (node);
}

void
shadow_apply (struct shadow *s, const json_t *diff)
{
    for (size_t i = 0; i < json_array_size (diff); i++) {
        const json_t *row = json_array_get (diff, i);
        const char *id = json_string_value (json_object_get (row, "container"));
        const char *type = json_string_value (json_object_get (row, "type"));
        const char *path = json_string_value (json_object_get (row, "path"));
        const json_t *part = json_object_get (row, "diff");
        json_t *c = json_object_get (s->containers, id);
        if (strchr (path + 1, '/') == NULL) {
            json_object_set_new (s->roots, path + 1, json_string (id));
        }
        if (c == NULL) {
            model_check (strchr (path + 1, '/') == NULL, "a row of a container that never came");
            c = json_pack ("{s:s, s:o}", "type", type, "value", empty_of (type));
            json_object_set_new (s->containers, id, c);
        }
        json_t *value = json_object_get (c, "value");
        if (strcmp (type, "map") == 0) {
            apply_map (s, value, part);
        } else if (strcmp (type, "counter") == 0) {
            json_object_set_new (
                c, "value",
                json_is_integer (value) && json_is_integer (part)
                    ? json_integer (json_integer_value (value) + json_integer_value (part))
                    : json_real (json_number_value (value) + json_number_value (part)));
        } else if (strcmp (type, "tree") == 0) {
            for (size_t k = 0; k < json_array_size (part); k++) {
                apply_step (s, value, json_array_get (part, k));
            }
        } else {
            json_object_set_new (c, "value", apply_sequence (s, value, part));
        }
    }
}

static json_t *shadow_container (const struct shadow *s, const char *id);

static json_t *
shadow_value (const struct shadow *s, json_t *value)
{
    const char *id = json_string_value (json_object_get (value, "$container"));
    return id != NULL ? shadow_container (s, id) : json_incref (value);
}

static json_t *
shadow_nodes (const struct shadow *s, const json_t *nodes)
{
    json_t *out = json_array ();
    for (size_t i = 0; i < json_array_size (nodes); i++) {
        const json_t *node = json_array_get (nodes, i);
        json_array_append_new (
            out,
            json_pack ("{s:o, s:o}", "meta",
                       shadow_container (s, json_string_value (json_object_get (node, "meta"))),
                       "children", shadow_nodes (s, json_object_get (node, "children"))));
    }
    return out;
}

static json_t *
shadow_text (const json_t *chars)
{
    json_t *out = json_array ();
    for (size_t i = 0; i < json_array_size (chars); i++) {
        const json_t *one = json_array_get (chars, i);
        json_t *a = json_object_get (one, "a");
        json_t *last = json_array_get (out, json_array_size (out) - 1);
        json_t *b = json_object_get (last, "attributes");
        const char *c = json_string_value (json_object_get (one, "c"));
        if (last != NULL && (b != NULL ? json_equal (a, b) : json_object_size (a) == 0)) {
            json_object_set_new (
                last, "insert",
                json_sprintf ("%s%s", json_string_value (json_object_get (last, "insert")), c));
            continue;
        }
        last = json_pack ("{s:s}", "insert", c);
        if (json_object_size (a) > 0) {
            json_object_set (last, "attributes", a);
        }
        json_array_append_new (out, last);
    }
    return json_pack ("{s:o}", "$text", out);
}

static json_t *
shadow_container (const struct shadow *s, const char *id)
{
    const json_t *c = json_object_get (s->containers, id);
    const char *type = json_string_value (json_object_get (c, "type"));
    json_t *value = json_object_get (c, "value");
    json_t *out = NULL;
    const char *key;
    json_t *item;
    model_check (c != NULL, "a container that never came");
    if (strcmp (type, "text") == 0) {
        return shadow_text (value);
    }
    if (strcmp (type, "tree") == 0) {
        return shadow_nodes (s, value);
    }
    if (strcmp (type, "counter") == 0) {
        return json_real (json_number_value (value));
    }
    out = empty_of (type);
    json_object_foreach (value, key, item)
    {
        json_object_set_new (out, key, shadow_value (s, item));
    }
    for (size_t i = 0; i < json_array_size (value); i++) {
        json_array_append_new (out, shadow_value (s, json_array_get (value, i)));
    }
    return out;
}

json_t *
shadow_sketch (const struct shadow *s)
{
    json_t *out = json_object ();
    const char *name;
    json_t *id;
    json_object_foreach (s->roots, name, id)
    {
        json_t *value = shadow_container (s, json_string_value (id));
        if (is_nothing (value)) {
            json_decref (value);
        } else {
            json_object_set_new (out, name, value);
        }
    }
    return out;
}
