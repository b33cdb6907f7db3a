/* Owns edits: the cells and shadows through which one sees its own operations, the ops that JSON
 * set at a path stands for, and the payload they become. It never changes the document. JSON
 * Patch (patch.c) stands on it; the store's callers come by doc.h. */

#include "store/crdt/edit.h"

#include "store/base/map.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS_MIN 16u

/* ---- cells and shadows ---- */

static struct weir_bytes
cell_key (const struct weir_edit *self, const struct weir_edit_cell *c)
{
    return c->key_len == 0 ? weir_bytes ("", 0)
                           : weir_bytes (self->keys.data + c->key_at, c->key_len);
}

static void
slots_put (struct weir_edit *self, uint32_t cell)
{
    size_t at = self->cells[cell].hash & (self->slots_cap - 1);
    while (self->slots[at] != 0) {
        at = (at + 1) & (self->slots_cap - 1);
    }
    self->slots[at] = cell + 1;
}

/* In order of the cells: so the youngest cell stands in nobody's way, and can be taken out by
 * freeing its slot. */
static void
slots_build (struct weir_edit *self, size_t cap)
{
    free (self->slots);
    self->slots = weir_alloc (cap * sizeof *self->slots);
    self->slots_cap = cap;
    for (uint32_t i = 0; i < self->n_cells; i++) {
        slots_put (self, i);
    }
}

static uint32_t
cell_hash (uint32_t shadow, struct weir_bytes key)
{
    return (uint32_t) weir_hash64 (key) ^ shadow * 0x9e3779b1u;
}

static uint32_t
cell_find (const struct weir_edit *self, uint32_t shadow, struct weir_bytes key, uint32_t hash)
{
    size_t at = hash & (self->slots_cap - 1);
    while (self->slots[at] != 0) {
        uint32_t cell = self->slots[at] - 1;
        const struct weir_edit_cell *c = &self->cells[cell];
        if (c->hash == hash && c->shadow == shadow && weir_bytes_equal (cell_key (self, c), key)) {
            return cell;
        }
        at = (at + 1) & (self->slots_cap - 1);
    }
    return WEIR_EDIT_NONE;
}

static uint32_t
cell_make (struct weir_edit *self, uint32_t shadow, struct weir_bytes key)
{
    uint32_t hash = cell_hash (shadow, key);
    uint32_t cell = cell_find (self, shadow, key, hash);
    if (cell != WEIR_EDIT_NONE) {
        return cell;
    }
    if ((self->n_cells + 1) * 2 > self->slots_cap) {
        slots_build (self, self->slots_cap * 2);
    }
    cell = (uint32_t) self->n_cells;
    weir_grow (&self->cells, &self->cells_cap, self->n_cells + 1, sizeof *self->cells);
    self->n_cells++;
    struct weir_edit_shadow *s = &self->shadows[shadow];
    struct weir_edit_cell *c = &self->cells[cell];
    *c = (struct weir_edit_cell){ .shadow = shadow,
                                  .key_at = (uint32_t) self->keys.len,
                                  .key_len = (uint32_t) key.len,
                                  .hash = hash,
                                  .op = WEIR_EDIT_NONE,
                                  .child = WEIR_EDIT_NONE,
                                  .next = s->cells };
    c->has_base = s->base != NULL && s->base->type->find (s->base, key, &c->base);
    s->cells = cell;
    weir_buf_put_bytes (&self->keys, key);
    slots_put (self, cell);
    return cell;
}

static uint32_t
shadow_add (struct weir_edit *self, const struct weir_container *base, uint32_t cell,
            uint32_t depth)
{
    weir_grow (&self->shadows, &self->shadows_cap, self->n_shadows + 1, sizeof *self->shadows);
    self->shadows[self->n_shadows] = (struct weir_edit_shadow){
        .base = base, .cell = cell, .row = WEIR_EDIT_NONE, .cells = WEIR_EDIT_NONE, .depth = depth
    };
    return (uint32_t) self->n_shadows++;
}

/* The map under the cell, visible or not. */
static uint32_t
cell_shadow (struct weir_edit *self, uint32_t cell)
{
    struct weir_edit_cell *c = &self->cells[cell];
    if (c->child == WEIR_EDIT_NONE) {
        const struct weir_edit_shadow *s = &self->shadows[c->shadow];
        const struct weir_container *base = NULL;
        if (s->base != NULL) {
            /* Looks only: nothing is made. */
            base = weir_container_child ((struct weir_container *) (uintptr_t) s->base,
                                         cell_key (self, c), &weir_container_map, false);
        }
        c->child = shadow_add (self, base, cell, s->depth + 1);
    }
    return c->child;
}

bool
weir_edit_visible (struct weir_edit *self, uint32_t cell, struct weir_value *value)
{
    const struct weir_edit_cell *c = &self->cells[cell];
    if (c->op != WEIR_EDIT_NONE) {
        size_t at = self->ops[c->op].at;
        struct weir_op_reader r = { .r = weir_reader (
                                        weir_bytes (self->code.data + at, self->code.len - at)) };
        struct weir_op op = { .code = weir_read_varint (&r.r) & 15u };
        enum weir_status status = weir_container_map.decode (&r, &op);
        weir_assert (status == WEIR_OK && !r.r.bad);
        *value = op.value;
        return op.value.type != WEIR_VALUE_DELETED;
    }
    *value = c->base.value;
    if (!c->has_base && c->shadow == 0 && c->child != WEIR_EDIT_NONE
        && self->shadows[c->child].row != WEIR_EDIT_NONE) {
        *value =
            (struct weir_value){ .type = WEIR_VALUE_CONTAINER, .container = WEIR_CONTAINER_MAP };
        return true;
    }
    return c->has_base;
}

static bool
is_map (const struct weir_value *value)
{
    return value->type == WEIR_VALUE_CONTAINER && value->container == WEIR_CONTAINER_MAP;
}

/* ---- ops ---- */

/* A shadow's row in the payload, given on its first op, after its parents'. */
static uint32_t
shadow_row (struct weir_edit *self, uint32_t shadow)
{
    uint32_t way[WEIR_CONTAINER_DEPTH_MAX];
    size_t n = 0;
    while (shadow != 0 && self->shadows[shadow].row == WEIR_EDIT_NONE) {
        way[n++] = shadow;
        shadow = self->cells[self->shadows[shadow].cell].shadow;
    }
    while (n > 0) {
        shadow = way[--n];
        weir_grow (&self->rows, &self->rows_cap, self->n_rows + 1, sizeof *self->rows);
        self->shadows[shadow].row = (uint32_t) self->n_rows;
        self->rows[self->n_rows++] = shadow;
    }
    return self->shadows[shadow].row;
}

/* `value` NULL deletes. */
static enum weir_status
op_put (struct weir_edit *self, uint32_t cell, const struct weir_value *value, struct weir_error *e)
{
    struct weir_edit_cell *c = &self->cells[cell];
    struct weir_op op = { .row = shadow_row (self, c->shadow),
                          .code = value != NULL ? WEIR_MAP_SET : WEIR_MAP_DELETE,
                          .key = cell_key (self, c) };
    size_t value_len = value != NULL ? value->bytes.len : 0;
    if (self->code.len + op.key.len + value_len > WEIR_PAYLOAD_BYTES_MAX
        || self->n_rows > WEIR_CONTAINERS_PER_PAYLOAD_MAX) {
        return weir_error_set (e, WEIR_TOO_LARGE, "write it in several commits",
                               "the edit would pass %u bytes or %u maps", WEIR_PAYLOAD_BYTES_MAX,
                               WEIR_CONTAINERS_PER_PAYLOAD_MAX);
    }
    if (value != NULL) {
        op.value = *value;
    }
    weir_grow (&self->ops, &self->ops_cap, self->n_ops + 1, sizeof *self->ops);
    self->ops[self->n_ops] =
        (struct weir_edit_op){ .cell = cell, .before = c->op, .at = (uint32_t) self->code.len };
    c->op = (uint32_t) self->n_ops++;
    struct weir_op_writer w = { .out = &self->code };
    weir_payload_put_op (&w, &weir_container_map, &op);
    return WEIR_OK;
}

struct weir_edit_mark
weir_edit_mark (const struct weir_edit *self)
{
    return (struct weir_edit_mark){ .n_cells = self->n_cells,
                                    .n_shadows = self->n_shadows,
                                    .n_ops = self->n_ops,
                                    .n_rows = self->n_rows,
                                    .keys_len = self->keys.len,
                                    .code_len = self->code.len };
}

void
weir_edit_rollback (struct weir_edit *self, const struct weir_edit_mark *mark)
{
    while (self->n_ops > mark->n_ops) {
        const struct weir_edit_op *op = &self->ops[--self->n_ops];
        self->cells[op->cell].op = op->before;
    }
    while (self->n_rows > mark->n_rows) {
        self->shadows[self->rows[--self->n_rows]].row = WEIR_EDIT_NONE;
    }
    while (self->n_shadows > mark->n_shadows) {
        self->cells[self->shadows[--self->n_shadows].cell].child = WEIR_EDIT_NONE;
    }
    while (self->n_cells > mark->n_cells) {
        uint32_t cell = (uint32_t) --self->n_cells;
        const struct weir_edit_cell *c = &self->cells[cell];
        size_t at = c->hash & (self->slots_cap - 1);
        while (self->slots[at] != cell + 1) {
            at = (at + 1) & (self->slots_cap - 1);
        }
        self->slots[at] = 0;
        self->shadows[c->shadow].cells = c->next;
    }
    self->keys.len = mark->keys_len;
    self->code.len = mark->code_len;
}

/* ---- paths ---- */

static enum weir_status
key_check (struct weir_bytes key, struct weir_error *e)
{
    if (!weir_value_is_key (key)) {
        return weir_error_set (e, WEIR_INVALID_PATH, NULL,
                               "a key is UTF-8 without NUL, of at most %u bytes",
                               WEIR_KEY_BYTES_MAX);
    }
    return WEIR_OK;
}

/* Steps from the cell into the map under it. */
static enum weir_status
step_into (struct weir_edit *self, uint32_t cell, bool make, uint32_t *shadow, struct weir_error *e)
{
    struct weir_value value;
    bool is_root = self->cells[cell].shadow == 0;
    bool visible = weir_edit_visible (self, cell, &value);
    struct weir_bytes key = cell_key (self, &self->cells[cell]);
    if (!visible && !is_root && !make) {
        return weir_error_set (e, WEIR_NOT_FOUND, NULL, "there is no map at key \"%.*s\"",
                               (int) key.len, (const char *) key.data);
    }
    if (visible && !is_map (&value)) {
        return weir_error_set (e, WEIR_CONFLICT, "remove it first, or choose another path",
                               "what stands at key \"%.*s\" is not a map", (int) key.len,
                               (const char *) key.data);
    }
    *shadow = cell_shadow (self, cell);
    if (self->shadows[*shadow].depth > WEIR_CONTAINER_DEPTH_MAX) {
        return weir_error_set (e, WEIR_LIMIT, NULL, "maps nest at most %u deep",
                               WEIR_CONTAINER_DEPTH_MAX);
    }
    if (!visible && !is_root) {
        const struct weir_value marker = { .type = WEIR_VALUE_CONTAINER,
                                           .container = WEIR_CONTAINER_MAP };
        return op_put (self, cell, &marker, e);
    }
    return WEIR_OK;
}

enum weir_status
weir_edit_walk (struct weir_edit *self, const struct weir_path *path, bool make, uint32_t *cell,
                struct weir_error *e)
{
    uint32_t at = WEIR_EDIT_NONE;
    uint32_t shadow = 0;
    if (path->count == 0 || path->parts[0][0] == '_') {
        return weir_error_set (e, WEIR_INVALID_PATH, NULL,
                               path->count == 0 ? "the path must name a root container"
                                                : "names of roots with _ are reserved");
    }
    for (size_t i = 0; i < path->count; i++) {
        struct weir_bytes key = weir_bytes_str (path->parts[i]);
        enum weir_status status = key_check (key, e);
        if (status == WEIR_OK && i > 0) {
            status = step_into (self, at, make, &shadow, e);
        }
        if (status != WEIR_OK) {
            return status;
        }
        at = cell_make (self, shadow, key);
    }
    *cell = at;
    return WEIR_OK;
}

/* ---- JSON into ops ---- */

/* Lists of what is still to do, instead of recursion. */
struct todo {
    struct item {
        const json_t *value;
        uint32_t cell;
    } * items;
    size_t count;
    size_t cap;
};

static void
todo_add (struct todo *t, uint32_t cell, const json_t *value)
{
    weir_grow (&t->items, &t->cap, t->count + 1, sizeof *t->items);
    t->items[t->count++] = (struct item){ .value = value, .cell = cell };
}

/* A cell for each visible key of the shadow that `keep` (NULL: nothing) does not name. */
static void
shadow_load (struct weir_edit *self, uint32_t shadow, const json_t *keep)
{
    const struct weir_container *base = self->shadows[shadow].base;
    struct weir_item item;
    size_t i = 0;
    while (base != NULL && base->type->next (base, &i, &item)) {
        if (keep == NULL
            || json_object_getn (keep, (const char *) item.key.data, item.key.len) == NULL) {
            (void) cell_make (self, shadow, item.key);
        }
    }
}

/* Deletes every visible key of the map under the cell that `keep` does not name, and all below
 * those. */
static enum weir_status
clear_below (struct weir_edit *self, uint32_t cell, const json_t *keep, struct weir_error *e)
{
    struct todo todo = { 0 };
    enum weir_status status = WEIR_OK;
    todo_add (&todo, cell, keep);
    for (size_t i = 0; i < todo.count && status == WEIR_OK; i++) {
        uint32_t shadow = cell_shadow (self, todo.items[i].cell);
        const json_t *names = todo.items[i].value;
        shadow_load (self, shadow, names);
        uint32_t at = self->shadows[shadow].cells;
        for (; at != WEIR_EDIT_NONE && status == WEIR_OK; at = self->cells[at].next) {
            struct weir_value value;
            struct weir_bytes key = cell_key (self, &self->cells[at]);
            if (!weir_edit_visible (self, at, &value)
                || (names != NULL
                    && json_object_getn (names, (const char *) key.data, key.len) != NULL)) {
                continue;
            }
            if (is_map (&value)) {
                todo_add (&todo, at, NULL);
            }
            status = op_put (self, at, NULL, e);
        }
    }
    free (todo.items);
    return status;
}

enum weir_status
weir_edit_clear (struct weir_edit *self, uint32_t cell, struct weir_error *e)
{
    struct weir_value value;
    enum weir_status status = WEIR_OK;
    if (weir_edit_visible (self, cell, &value) && is_map (&value)) {
        status = clear_below (self, cell, NULL, e);
    }
    if (status == WEIR_OK && self->cells[cell].shadow != 0) {
        status = op_put (self, cell, NULL, e);
    }
    return status;
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
    if (visible && is_map (&now)) {
        status = clear_below (self, cell, NULL, e);
    }
    return status == WEIR_OK ? op_put (self, cell, value, e) : status;
}

/* The map itself and what it must lose; its keys go to *todo. What lies in a map that is not
 * visible now, but would be, goes too: who sets a value reads that value. */
static enum weir_status
assign_object (struct weir_edit *self, uint32_t cell, const json_t *object, struct todo *todo,
               struct weir_error *e)
{
    struct weir_value now;
    bool visible = weir_edit_visible (self, cell, &now);
    uint32_t shadow = 0;
    enum weir_status status = WEIR_OK;
    if (visible && !is_map (&now)) {
        const struct weir_value marker = { .type = WEIR_VALUE_CONTAINER,
                                           .container = WEIR_CONTAINER_MAP };
        status = op_put (self, cell, &marker, e);
    }
    if (status == WEIR_OK) {
        status = step_into (self, cell, true, &shadow, e);
    }
    if (status == WEIR_OK) {
        status = clear_below (self, cell, object, e);
    }
    for (void *at = json_object_iter ((json_t *) (uintptr_t) object);
         at != NULL && status == WEIR_OK;
         at = json_object_iter_next ((json_t *) (uintptr_t) object, at)) {
        struct weir_bytes key =
            weir_bytes (json_object_iter_key (at), json_object_iter_key_len (at));
        status = key_check (key, e);
        if (status == WEIR_OK) {
            todo_add (todo, cell_make (self, shadow, key), json_object_iter_value (at));
        }
    }
    return status;
}

enum weir_status
weir_edit_assign (struct weir_edit *self, uint32_t cell, const json_t *value, struct weir_error *e)
{
    struct todo todo = { 0 };
    enum weir_status status = WEIR_OK;
    todo_add (&todo, cell, value);
    for (size_t i = 0; i < todo.count && status == WEIR_OK; i++) {
        struct item item = todo.items[i];
        struct weir_value scalar;
        bool is_scalar = false;
        status = weir_value_from_json (&scalar, item.value, &self->scratch, &is_scalar, e);
        if (status == WEIR_OK && json_is_array (item.value)) {
            status = weir_error_set (e, WEIR_UNSUPPORTED, "an object with keys can hold the items",
                                     "arrays are not supported yet");
        }
        if (status != WEIR_OK) {
            break;
        }
        if (is_scalar && self->cells[item.cell].shadow == 0) {
            status = weir_error_set (e, WEIR_INVALID_ARGUMENT, "name a key in it: /root/key",
                                     "a root holds an object");
        } else if (is_scalar) {
            status = assign_scalar (self, item.cell, &scalar, e);
        } else {
            status = assign_object (self, item.cell, item.value, &todo, e);
        }
    }
    free (todo.items);
    return status;
}

/* ---- JSON out of cells ---- */

struct frame {
    json_t *json;
    uint32_t shadow;
    uint32_t cell; /* the next of the shadow's list */
};

static struct frame
frame_open (struct weir_edit *self, uint32_t shadow)
{
    shadow_load (self, shadow, NULL);
    return (struct frame){ .json = json_object (),
                           .shadow = shadow,
                           .cell = self->shadows[shadow].cells };
}

static json_t *
shadow_json (struct weir_edit *self, uint32_t shadow)
{
    struct frame frames[WEIR_CONTAINER_DEPTH_MAX + 2];
    size_t depth = 0;
    frames[depth++] = frame_open (self, shadow);
    json_t *out = frames[0].json;
    while (depth > 0) {
        struct frame *f = &frames[depth - 1];
        uint32_t at = f->cell;
        if (at == WEIR_EDIT_NONE) {
            depth--;
            continue;
        }
        f->cell = self->cells[at].next;
        struct weir_value value;
        if (!weir_edit_visible (self, at, &value)) {
            continue;
        }
        json_t *json = NULL;
        if (is_map (&value)) {
            frames[depth] = frame_open (self, cell_shadow (self, at));
            json = frames[depth++].json;
        } else {
            json = weir_value_json (&value);
        }
        struct weir_bytes key = cell_key (self, &self->cells[at]);
        json_object_setn_new_nocheck (f->json, (const char *) key.data, key.len, json);
    }
    return out;
}

json_t *
weir_edit_cell_json (struct weir_edit *self, uint32_t cell)
{
    struct weir_value value;
    bool visible = weir_edit_visible (self, cell, &value);
    weir_assert (visible);
    return is_map (&value) ? shadow_json (self, cell_shadow (self, cell))
                           : weir_value_json (&value);
}

json_t *
weir_edit_json (struct weir_edit *self)
{
    return shadow_json (self, 0);
}

/* ---- the door ---- */

static void
edit_empty (struct weir_edit *self)
{
    self->n_cells = 0;
    self->n_shadows = 0;
    self->n_ops = 0;
    self->n_rows = 0;
    self->keys.len = 0;
    self->code.len = 0;
    slots_build (self, SLOTS_MIN);
    (void) shadow_add (self, weir_doc_top (self->doc), WEIR_EDIT_NONE, 0);
}

struct weir_edit *
weir_edit_new (const struct weir_doc *doc)
{
    struct weir_edit *self = weir_alloc (sizeof *self);
    self->doc = doc;
    edit_empty (self);
    return self;
}

void
weir_edit_destroy (struct weir_edit **self_p)
{
    struct weir_edit *self = *self_p;
    if (self == NULL) {
        return;
    }
    *self_p = NULL;
    free (self->cells);
    free (self->shadows);
    free (self->ops);
    free (self->rows);
    free (self->slots);
    weir_buf_fini (&self->keys);
    weir_buf_fini (&self->code);
    weir_buf_fini (&self->scratch);
    free (self);
}

size_t
weir_edit_ops (const struct weir_edit *self)
{
    return self->n_ops;
}

enum weir_status
weir_edit_set (struct weir_edit *self, const char *path, const json_t *value, struct weir_error *e)
{
    struct weir_path parts = { 0 };
    struct weir_edit_mark mark = weir_edit_mark (self);
    uint32_t cell = WEIR_EDIT_NONE;
    enum weir_status status = weir_path_parse (&parts, path, e);
    if (status == WEIR_OK) {
        status = weir_edit_walk (self, &parts, true, &cell, e);
    }
    if (status == WEIR_OK) {
        status = weir_edit_assign (self, cell, value, e);
    }
    if (status != WEIR_OK) {
        weir_edit_rollback (self, &mark);
    }
    weir_path_fini (&parts);
    return status;
}

enum weir_status
weir_edit_remove (struct weir_edit *self, const char *path, struct weir_error *e)
{
    struct weir_path parts = { 0 };
    struct weir_edit_mark mark = weir_edit_mark (self);
    struct weir_value value;
    uint32_t cell = WEIR_EDIT_NONE;
    enum weir_status status = weir_path_parse (&parts, path, e);
    if (status == WEIR_OK) {
        status = weir_edit_walk (self, &parts, false, &cell, e);
    }
    if (status == WEIR_OK && !weir_edit_visible (self, cell, &value)) {
        status = weir_error_set (e, WEIR_NOT_FOUND, NULL, "there is nothing at %s", path);
    }
    if (status == WEIR_OK) {
        status = weir_edit_clear (self, cell, e);
    }
    if (status != WEIR_OK) {
        weir_edit_rollback (self, &mark);
    }
    weir_path_fini (&parts);
    return status;
}

enum weir_status
weir_edit_seal (struct weir_edit *self, struct weir_bytes message, struct weir_buf *payload,
                uint32_t *ops, struct weir_error *e)
{
    size_t start = payload->len;
    struct weir_value text = { .type = WEIR_VALUE_TEXT, .bytes = message };
    if (message.len > WEIR_MESSAGE_TEXT_BYTES_MAX || weir_value_check (&text) != WEIR_OK) {
        return weir_error_set (e, WEIR_INVALID_ARGUMENT, NULL,
                               "a commit message is UTF-8 without NUL, of at most %u bytes",
                               WEIR_MESSAGE_TEXT_BYTES_MAX);
    }
    weir_payload_begin (payload, message, NULL, 0, self->n_rows);
    for (size_t i = 0; i < self->n_rows; i++) {
        const struct weir_edit_shadow *s = &self->shadows[self->rows[i]];
        const struct weir_edit_cell *c = &self->cells[s->cell];
        bool is_root = c->shadow == 0;
        struct weir_payload_row row = { .type = &weir_container_map,
                                        .kind = is_root ? WEIR_ROW_ROOT : WEIR_ROW_PATH,
                                        .parent = is_root ? 0 : self->shadows[c->shadow].row,
                                        .key = cell_key (self, c) };
        weir_payload_put_row (payload, &row);
    }
    weir_buf_put_varint (payload, 0); /* no text */
    weir_buf_put (payload, self->code.data, self->code.len);
    if (payload->len - start > WEIR_PAYLOAD_BYTES_MAX) {
        payload->len = start;
        return weir_error_set (e, WEIR_TOO_LARGE, "write it in several commits",
                               "the commit would pass %u bytes", WEIR_PAYLOAD_BYTES_MAX);
    }
    *ops = (uint32_t) self->n_ops;
    edit_empty (self);
    return WEIR_OK;
}
