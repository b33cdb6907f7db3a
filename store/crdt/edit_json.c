/* Owns what JSON at a path means in an edit: assigning, inserting, clearing, and the JSON that
 * shows through. Lists of what is still to do stand in for recursion. */

#include "store/crdt/edit.h"
#include "store/crdt/text_diff.h"

#include <stdlib.h>
#include <string.h>

/* What is still to do: to assign to a cell, or to fill the new container in it. */
struct todo {
    struct item {
        const json_t *value;
        uint32_t cell;
        bool fill;
    } * items;
    size_t count;
    size_t cap;
};

static void
todo_add (struct todo *t, uint32_t cell, const json_t *value, bool fill)
{
    weir_grow (&t->items, &t->cap, t->count + 1, sizeof *t->items);
    t->items[t->count++] = (struct item){ .value = value, .cell = cell, .fill = fill };
}

static bool
is_container (const struct weir_value *value)
{
    return value->type == WEIR_VALUE_CONTAINER || value->type == WEIR_VALUE_UNIQUE;
}

static const struct weir_container_type *
type_in (struct weir_edit *self, uint32_t cell)
{
    struct weir_value value;
    return weir_edit_visible (self, cell, &value) && is_container (&value)
               ? weir_container_type (value.container)
               : NULL;
}

/* ---- clearing ---- */

/* Every visible key of a map that `keep` does not name; the containers among them go to *todo. */
static enum weir_status
clear_map (struct weir_edit *self, uint32_t shadow, const json_t *keep, struct todo *todo,
           struct weir_error *e)
{
    enum weir_status status = WEIR_OK;
    weir_edit_load_map (self, shadow, keep);
    uint32_t at = self->shadows[shadow].cells;
    for (; at != WEIR_EDIT_NONE && status == WEIR_OK; at = self->cells[at].next) {
        struct weir_value value;
        struct weir_bytes key = weir_edit_cell_key (self, at);
        if (!weir_edit_visible (self, at, &value)
            || (keep != NULL
                && json_object_getn (keep, (const char *) key.data, key.len) != NULL)) {
            continue;
        }
        if (value.type == WEIR_VALUE_CONTAINER) {
            todo_add (todo, weir_edit_shadow_in (self, at), NULL, false);
        }
        status = weir_edit_put_key (self, at, NULL, e);
    }
    return status;
}

static enum weir_status
clear_tree (struct weir_edit *self, uint32_t shadow, struct weir_error *e)
{
    struct weir_numbers roots = { 0 };
    enum weir_status status = WEIR_OK;
    const struct weir_container *base = self->shadows[shadow].base;
    if (base != NULL) {
        weir_tree_children (base, WEIR_GRAPH_NONE, &roots);
    }
    for (size_t i = 0; i < roots.count && status == WEIR_OK; i++) {
        struct weir_tree_node node;
        weir_tree_node (base, roots.items[i], &node);
        struct weir_edit_put put = { .cell = WEIR_EDIT_NONE };
        put.op = (struct weir_op){ .code = WEIR_TREE_DELETE,
                                   .atoms = 1,
                                   .target_ref = weir_edit_ref (self, &node.id) };
        status = weir_edit_put (self, shadow, &put, e);
    }
    weir_numbers_fini (&roots);
    return status;
}

static enum weir_status
clear_counter (struct weir_edit *self, uint32_t shadow, struct weir_error *e)
{
    json_t *zero = json_integer (0);
    enum weir_status status = weir_edit_set_number (self, shadow, zero, e);
    json_decref (zero);
    return status;
}

/* Takes out what is visible in a container and below, but for keys of a map that `keep` names: who
 * removes something removes what was seen of it. */
static enum weir_status
clear_shadow (struct weir_edit *self, uint32_t shadow, const json_t *keep, struct weir_error *e)
{
    struct todo todo = { 0 };
    enum weir_status status = WEIR_OK;
    todo_add (&todo, shadow, keep, false);
    for (size_t i = 0; i < todo.count && status == WEIR_OK; i++) {
        uint32_t at = todo.items[i].cell;
        const struct weir_container_type *type = self->shadows[at].type;
        if (type == &weir_container_map) {
            status = clear_map (self, at, todo.items[i].value, &todo, e);
        } else if (type == &weir_container_tree) {
            status = clear_tree (self, at, e);
        } else if (type == &weir_container_counter) {
            status = clear_counter (self, at, e);
        } else {
            status = weir_edit_delete (self, at, 0, weir_edit_length (self, at), e);
        }
    }
    free (todo.items);
    return status;
}

enum weir_status
weir_edit_clear_at (struct weir_edit *self, const struct weir_edit_place *place,
                    struct weir_error *e)
{
    if (place->index != WEIR_EDIT_NONE) {
        return weir_edit_delete (self, place->shadow, place->index, 1, e);
    }
    struct weir_value value;
    enum weir_status status = WEIR_OK;
    if (weir_edit_visible (self, place->cell, &value) && value.type == WEIR_VALUE_CONTAINER) {
        status = clear_shadow (self, weir_edit_shadow_in (self, place->cell), NULL, e);
    }
    if (status == WEIR_OK && self->cells[place->cell].shadow != 0) {
        status = weir_edit_put_key (self, place->cell, NULL, e);
    }
    return status;
}

/* ---- inserting into lists ---- */

/* One op for all of them; containers among them go to *todo. */
static enum weir_status
insert_values (struct weir_edit *self, uint32_t shadow, uint32_t at, json_t *const *values,
               size_t count, struct todo *todo, struct weir_error *e)
{
    struct weir_buf encoded = { 0 };
    struct weir_buf scalars = { 0 }; /* is it one? */
    enum weir_status status = WEIR_OK;
    for (size_t i = 0; i < count && status == WEIR_OK; i++) {
        struct weir_value value;
        bool is_scalar = false;
        status = weir_value_from_json (&value, values[i], &self->scratch, &is_scalar, e);
        if (status == WEIR_OK && !is_scalar) {
            value = (struct weir_value){ .type = WEIR_VALUE_UNIQUE };
            value.container = json_is_array (values[i]) ? (uint8_t) WEIR_CONTAINER_LIST
                                                        : (uint8_t) WEIR_CONTAINER_MAP;
        }
        if (status == WEIR_OK) {
            weir_value_put (&encoded, &value);
        }
        weir_buf_put_u8 (&scalars, is_scalar);
    }
    if (status == WEIR_OK && count > 0) {
        status =
            weir_edit_insert (self, shadow, at, weir_buf_bytes (&encoded), (uint32_t) count, e);
    }
    for (size_t i = 0; i < count && status == WEIR_OK; i++) {
        if (scalars.data[i] == 0) {
            todo_add (todo, weir_edit_element (self, shadow, at + (uint32_t) i), values[i], true);
        }
    }
    weir_buf_fini (&encoded);
    weir_buf_fini (&scalars);
    return status;
}

static enum weir_status
insert_array (struct weir_edit *self, uint32_t shadow, const json_t *array, struct todo *todo,
              struct weir_error *e)
{
    size_t count = json_array_size (array);
    json_t **values = weir_alloc ((count + 1) * sizeof *values);
    for (size_t i = 0; i < count; i++) {
        values[i] = json_array_get (array, i);
    }
    enum weir_status status = insert_values (self, shadow, 0, values, count, todo, e);
    free (values);
    return status;
}

/* ---- assigning ---- */

/* Gives the cell a scalar, or the mark of a container. */
static enum weir_status
put_value (struct weir_edit *self, uint32_t cell, const struct weir_value *value,
           struct weir_error *e)
{
    return self->shadows[self->cells[cell].shadow].type == &weir_container_movable
               ? weir_edit_set_element (self, cell, value, e)
               : weir_edit_put_key (self, cell, value, e);
}

static enum weir_status
assign_scalar (struct weir_edit *self, uint32_t cell, const struct weir_value *value,
               struct weir_error *e)
{
    struct weir_value now;
    bool visible = weir_edit_visible (self, cell, &now);
    enum weir_status status = WEIR_OK;
    if (visible && weir_value_equal (&now, value)) {
        return WEIR_OK;
    }
    if (visible && now.type == WEIR_VALUE_CONTAINER) {
        status = clear_shadow (self, weir_edit_shadow_in (self, cell), NULL, e);
    }
    return status == WEIR_OK ? put_value (self, cell, value, e) : status;
}

static enum weir_status
fill (struct weir_edit *self, uint32_t shadow, const json_t *value, struct todo *todo,
      struct weir_error *e)
{
    if (json_is_array (value)) {
        return insert_array (self, shadow, value, todo, e);
    }
    enum weir_status status = WEIR_OK;
    for (void *at = json_object_iter ((json_t *) (uintptr_t) value);
         at != NULL && status == WEIR_OK;
         at = json_object_iter_next ((json_t *) (uintptr_t) value, at)) {
        struct weir_bytes key =
            weir_bytes (json_object_iter_key (at), json_object_iter_key_len (at));
        if (!weir_value_is_key (key)) {
            status = weir_error_set (e, WEIR_INVALID_PATH, NULL,
                                     "a key is UTF-8 without NUL, of at most %u bytes",
                                     WEIR_KEY_BYTES_MAX);
        } else {
            todo_add (todo, weir_edit_cell (self, shadow, key), json_object_iter_value (at), false);
        }
    }
    return status;
}

/* The shadow that shall hold the object or array: the one that is visible when it is of that
 * kind, else a new one. What lies in a container that is not visible now, but would be, goes: who
 * sets a value reads that value. */
static enum weir_status
assign_container (struct weir_edit *self, uint32_t cell, const json_t *value, struct todo *todo,
                  struct weir_error *e)
{
    bool is_root = self->cells[cell].shadow == 0;
    bool in_list = weir_edit_is_list (&self->shadows[self->cells[cell].shadow]);
    const struct weir_container_type *want =
        json_is_array (value) ? &weir_container_list : &weir_container_map;
    const struct weir_container_type *now = type_in (self, cell);
    enum weir_status status = WEIR_OK;
    uint32_t shadow = now != NULL ? weir_edit_shadow_in (self, cell) : WEIR_EDIT_NONE;
    bool keeps = now == want || (json_is_array (value) && now == &weir_container_movable);
    if (is_root && now != NULL && !keeps) {
        return weir_error_set (e, WEIR_CONFLICT, "choose another root, or remove its content",
                               "the root is a %s", now->name);
    }
    if (!keeps) {
        if (now != NULL && !self->shadows[shadow].is_unique) {
            status = clear_shadow (self, shadow, NULL, e);
        }
        struct weir_value marker = { .type = in_list ? WEIR_VALUE_UNIQUE : WEIR_VALUE_CONTAINER,
                                     .container = want->number };
        if (status == WEIR_OK && !is_root) {
            status = put_value (self, cell, &marker, e);
        }
        shadow =
            in_list ? weir_edit_shadow_in (self, cell) : weir_edit_shadow_under (self, cell, want);
    }
    if (status == WEIR_OK && self->shadows[shadow].depth > WEIR_CONTAINER_DEPTH_MAX) {
        status = weir_error_set (e, WEIR_LIMIT, NULL, "containers nest at most %u deep",
                                 WEIR_CONTAINER_DEPTH_MAX);
    }
    if (status == WEIR_OK) {
        status = clear_shadow (self, shadow, json_is_object (value) ? value : NULL, e);
    }
    return status == WEIR_OK ? fill (self, shadow, value, todo, e) : status;
}

/* Is the array what the cell shows already? */
static bool
shows_array (struct weir_edit *self, uint32_t cell, const json_t *value)
{
    const struct weir_container_type *now = type_in (self, cell);
    if (!json_is_array (value) || (now != &weir_container_list && now != &weir_container_movable)) {
        return false;
    }
    json_t *json = weir_edit_cell_json (self, cell);
    bool same = json_equal (json, value) != 0;
    json_decref (json);
    return same;
}

static enum weir_status
assign_one (struct weir_edit *self, const struct item *item, struct todo *todo,
            struct weir_error *e)
{
    struct weir_value scalar;
    bool is_scalar = false;
    const struct weir_container_type *now = type_in (self, item->cell);
    if (item->fill) {
        uint32_t shadow = weir_edit_shadow_in (self, item->cell);
        if (self->shadows[shadow].depth > WEIR_CONTAINER_DEPTH_MAX) {
            return weir_error_set (e, WEIR_LIMIT, NULL, "containers nest at most %u deep",
                                   WEIR_CONTAINER_DEPTH_MAX);
        }
        return fill (self, shadow, item->value, todo, e);
    }
    if (json_is_string (item->value) && now == &weir_container_text) {
        return weir_edit_update_text (
            self, weir_edit_shadow_in (self, item->cell),
            weir_bytes (json_string_value (item->value), json_string_length (item->value)), e);
    }
    if (json_is_number (item->value) && now == &weir_container_counter) {
        return weir_edit_set_number (self, weir_edit_shadow_in (self, item->cell), item->value, e);
    }
    if (shows_array (self, item->cell, item->value)) {
        return WEIR_OK;
    }
    enum weir_status status =
        weir_value_from_json (&scalar, item->value, &self->scratch, &is_scalar, e);
    if (status != WEIR_OK) {
        return status;
    }
    if (is_scalar && self->cells[item->cell].shadow == 0) {
        return weir_error_set (e, WEIR_INVALID_ARGUMENT, "name a key in it: /root/key",
                               "a root holds an object or array");
    }
    return is_scalar ? assign_scalar (self, item->cell, &scalar, e)
                     : assign_container (self, item->cell, item->value, todo, e);
}

static enum weir_status
assign_all (struct weir_edit *self, struct todo *todo, struct weir_error *e)
{
    enum weir_status status = WEIR_OK;
    for (size_t i = 0; i < todo->count && status == WEIR_OK; i++) {
        struct item item = todo->items[i];
        status = assign_one (self, &item, todo, e);
    }
    free (todo->items);
    return status;
}

enum weir_status
weir_edit_assign (struct weir_edit *self, uint32_t cell, const json_t *value, struct weir_error *e)
{
    struct todo todo = { 0 };
    todo_add (&todo, cell, value, false);
    return assign_all (self, &todo, e);
}

enum weir_status
weir_edit_insert_at (struct weir_edit *self, const struct weir_edit_place *place,
                     const json_t *value, struct weir_error *e)
{
    struct todo todo = { 0 };
    json_t *one = (json_t *) (uintptr_t) value;
    enum weir_status status = insert_values (self, place->shadow, place->index, &one, 1, &todo, e);
    if (status != WEIR_OK) {
        free (todo.items);
        return status;
    }
    return assign_all (self, &todo, e);
}

enum weir_status
weir_edit_assign_at (struct weir_edit *self, const struct weir_edit_place *place,
                     const json_t *value, struct weir_error *e)
{
    bool is_list =
        place->index != WEIR_EDIT_NONE && self->shadows[place->shadow].type == &weir_container_list;
    if (!is_list) {
        return weir_edit_assign (self, place->cell, value, e);
    }
    const struct weir_container_type *now = type_in (self, place->cell);
    if (now != NULL
        && (json_is_object (value) ? now == &weir_container_map
                                   : !json_is_null (value) && now->next == NULL)) {
        return weir_edit_assign (self, place->cell, value, e); /* goes on inside of it */
    }
    json_t *json = weir_edit_cell_json (self, place->cell);
    bool same = json_equal (json, value) != 0;
    json_decref (json);
    if (same) {
        return WEIR_OK;
    }
    enum weir_status status = weir_edit_delete (self, place->shadow, place->index, 1, e);
    return status == WEIR_OK ? weir_edit_insert_at (self, place, value, e) : status;
}

/* ---- texts and counters ---- */

struct update {
    struct weir_edit *edit;
    uint32_t shadow;
    enum weir_status status;
    struct weir_error *e;
};

static void
update_hunk (void *context, uint32_t at, uint32_t removed, struct weir_bytes inserted)
{
    struct update *u = context;
    if (u->status == WEIR_OK && removed > 0) {
        u->status = weir_edit_delete (u->edit, u->shadow, at, removed, u->e);
    }
    if (u->status == WEIR_OK && inserted.len > 0) {
        u->status = weir_edit_insert_text (u->edit, u->shadow, at, inserted, u->e);
    }
}

enum weir_status
weir_edit_update_text (struct weir_edit *self, uint32_t shadow, struct weir_bytes text,
                       struct weir_error *e)
{
    struct update u = { .edit = self, .shadow = shadow, .e = e };
    struct weir_value value = { .type = WEIR_VALUE_TEXT, .bytes = text };
    struct weir_buf now = { 0 };
    if (weir_value_check (&value) != WEIR_OK) {
        return weir_error_set (e, WEIR_INVALID_ARGUMENT, NULL, "text is UTF-8 without NUL");
    }
    weir_edit_text_now (self, shadow, &now);
    weir_text_diff (weir_buf_bytes (&now), text, update_hunk, &u);
    weir_buf_fini (&now);
    return u.status;
}

/* What a counter shows: an integer while nothing real was added. */
static json_t *
number (struct weir_edit *self, uint32_t shadow)
{
    const struct weir_edit_shadow *s = &self->shadows[shadow];
    uint64_t sum = 0;
    double real = 0;
    bool has_real = false;
    json_t *base = weir_container_counter.json (s->base);
    sum = json_is_integer (base) ? (uint64_t) json_integer_value (base) : 0;
    real = json_number_value (base);
    has_real = json_is_real (base);
    json_decref (base);
    for (size_t i = 0; s->row != WEIR_EDIT_NONE && i < self->n_ops; i++) {
        if (self->ops[i].shadow == shadow) {
            size_t at = self->ops[i].value_at;
            struct weir_value by;
            struct weir_reader r =
                weir_reader (weir_bytes (self->values.data + at, self->values.len - at));
            enum weir_status status = weir_value_read (&r, &by);
            weir_assert (status == WEIR_OK && !r.bad);
            bool is_int = by.type == WEIR_VALUE_INT;
            has_real = has_real || !is_int;
            sum += is_int ? (uint64_t) by.number.i : 0;
            real += is_int ? (double) by.number.i : by.number.d;
        }
    }
    return has_real ? json_real (real) : json_integer ((json_int_t) sum);
}

enum weir_status
weir_edit_put_increment (struct weir_edit *self, uint32_t shadow, const json_t *by,
                         struct weir_error *e)
{
    struct weir_edit_put put = { .cell = WEIR_EDIT_NONE };
    struct weir_buf kept = { 0 };
    struct weir_value value;
    bool is_scalar = false;
    if (!json_is_number (by)) {
        return weir_error_set (e, WEIR_INVALID_ARGUMENT, NULL, "a counter counts by a number");
    }
    enum weir_status status = weir_value_from_json (&value, by, &self->scratch, &is_scalar, e);
    if (status != WEIR_OK) {
        return status;
    }
    bool is_int = value.type == WEIR_VALUE_INT;
    put.op = (struct weir_op){ .code = is_int ? (uint8_t) WEIR_COUNTER_INT
                                              : (uint8_t) WEIR_COUNTER_DOUBLE,
                               .atoms = 1,
                               .value = value };
    weir_value_put (&kept, &value);
    put.kept = weir_buf_bytes (&kept);
    status = weir_edit_put (self, shadow, &put, e);
    weir_buf_fini (&kept);
    return status;
}

enum weir_status
weir_edit_set_number (struct weir_edit *self, uint32_t shadow, const json_t *value,
                      struct weir_error *e)
{
    json_t *now = number (self, shadow);
    json_t *by = NULL;
    if (json_is_integer (now) && json_is_integer (value)) {
        uint64_t difference =
            (uint64_t) json_integer_value (value) - (uint64_t) json_integer_value (now);
        by = json_integer ((json_int_t) difference);
    } else {
        by = json_real (json_number_value (value) - json_number_value (now));
    }
    enum weir_status status = WEIR_OK;
    if (json_number_value (by) != 0) {
        status = weir_edit_put_increment (self, shadow, by, e);
    }
    json_decref (by);
    json_decref (now);
    return status;
}

/* ---- JSON out of cells ---- */

struct frame {
    json_t *json;
    uint32_t shadow;
    uint32_t at; /* of maps the next cell, of lists the next index */
};

static json_t *
leaf_json (struct weir_edit *self, uint32_t shadow)
{
    const struct weir_edit_shadow *s = &self->shadows[shadow];
    if (s->type == &weir_container_counter) {
        return number (self, shadow);
    }
    if (s->type != &weir_container_text) {
        return s->type->json (s->base);
    }
    struct weir_buf text = { 0 };
    weir_edit_text_now (self, shadow, &text);
    json_t *json = json_stringn_nocheck (text.len > 0 ? (const char *) text.data : "", text.len);
    weir_buf_fini (&text);
    return json;
}

static bool
has_items (const struct weir_edit_shadow *s)
{
    return s->type == &weir_container_map || weir_edit_is_list (s);
}

static struct frame
frame_open (struct weir_edit *self, uint32_t shadow)
{
    struct frame f = { .shadow = shadow };
    if (self->shadows[shadow].type == &weir_container_map) {
        weir_edit_load_map (self, shadow, NULL);
        f.json = json_object ();
        f.at = self->shadows[shadow].cells;
    } else {
        f.json = json_array ();
    }
    return f;
}

/* The next visible cell of the frame; false: there is none. */
static bool
frame_next (struct weir_edit *self, struct frame *f, uint32_t *cell)
{
    struct weir_value value;
    if (self->shadows[f->shadow].type != &weir_container_map) {
        *cell = weir_edit_element (self, f->shadow, f->at++);
        return *cell != WEIR_EDIT_NONE;
    }
    do {
        *cell = f->at;
        if (*cell == WEIR_EDIT_NONE) {
            return false;
        }
        f->at = self->cells[*cell].next;
    } while (!weir_edit_visible (self, *cell, &value));
    return true;
}

static json_t *
shadow_json (struct weir_edit *self, uint32_t shadow)
{
    struct frame frames[WEIR_CONTAINER_DEPTH_MAX + 2];
    size_t depth = 0;
    if (!has_items (&self->shadows[shadow])) {
        return leaf_json (self, shadow);
    }
    frames[depth++] = frame_open (self, shadow);
    json_t *out = frames[0].json;
    while (depth > 0) {
        struct frame *f = &frames[depth - 1];
        struct weir_value value;
        uint32_t cell = WEIR_EDIT_NONE;
        if (!frame_next (self, f, &cell)) {
            depth--;
            continue;
        }
        json_t *json = NULL;
        uint32_t child = weir_edit_shadow_in (self, cell);
        json_t *to = f->json;
        if (child == WEIR_EDIT_NONE) {
            (void) weir_edit_visible (self, cell, &value);
            json = weir_value_json (&value);
        } else if (!has_items (&self->shadows[child]) || depth == WEIR_CONTAINER_DEPTH_MAX + 2) {
            json = leaf_json (self, child);
        } else {
            frames[depth] = frame_open (self, child);
            json = frames[depth++].json;
        }
        struct weir_bytes key = weir_edit_cell_key (self, cell);
        if (json_is_array (to)) {
            json_array_append_new (to, json);
        } else {
            json_object_setn_new_nocheck (to, (const char *) key.data, key.len, json);
        }
    }
    return out;
}

json_t *
weir_edit_cell_json (struct weir_edit *self, uint32_t cell)
{
    struct weir_value value;
    bool visible = weir_edit_visible (self, cell, &value);
    weir_assert (visible);
    uint32_t child = weir_edit_shadow_in (self, cell);
    return child != WEIR_EDIT_NONE ? shadow_json (self, child) : weir_value_json (&value);
}

json_t *
weir_edit_json (struct weir_edit *self)
{
    return shadow_json (self, 0);
}
