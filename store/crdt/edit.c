/* Owns edits: the cells and shadows through which one sees its own operations, and the payload
 * they become. It never changes the document. What sequences look like through an edit is
 * edit_seq.c's, what JSON at a path stands for edit_json.c's, JSON Patch (patch.c) stands on
 * them; the store's callers come by doc.h. */

#include "store/crdt/edit.h"

#include "store/base/map.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS_MIN 16u

/* ---- cells and shadows ---- */

struct weir_bytes
weir_edit_cell_key (const struct weir_edit *self, uint32_t cell)
{
    const struct weir_edit_cell *c = &self->cells[cell];
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
        if (c->hash == hash && c->shadow == shadow
            && weir_bytes_equal (weir_edit_cell_key (self, cell), key)) {
            return cell;
        }
        at = (at + 1) & (self->slots_cap - 1);
    }
    return WEIR_EDIT_NONE;
}

uint32_t
weir_edit_cell (struct weir_edit *self, uint32_t shadow, struct weir_bytes key)
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
    s->cells = cell;
    if (weir_edit_is_list (s)) {
        c->has_base = weir_edit_element_base (self, shadow, key, &c->base, &c->offset);
    } else {
        c->has_base = s->base != NULL && s->base->type->find (s->base, key, &c->base);
    }
    weir_buf_put_bytes (&self->keys, key);
    slots_put (self, cell);
    return cell;
}

static uint32_t
shadow_add (struct weir_edit *self, const struct weir_container_type *type,
            const struct weir_container *base, uint32_t cell, uint32_t depth)
{
    weir_grow (&self->shadows, &self->shadows_cap, self->n_shadows + 1, sizeof *self->shadows);
    uint32_t shadow = (uint32_t) self->n_shadows++;
    self->shadows[shadow] = (struct weir_edit_shadow){
        .type = type,
        .base = base,
        .cell = cell,
        .sibling = WEIR_EDIT_NONE,
        .row = WEIR_EDIT_NONE,
        .cells = WEIR_EDIT_NONE,
        .depth = depth,
    };
    if (cell != WEIR_EDIT_NONE) {
        self->shadows[shadow].sibling = self->cells[cell].child;
        self->cells[cell].child = shadow;
    }
    return shadow;
}

static uint32_t
shadow_find (const struct weir_edit *self, uint32_t cell, const struct weir_container_type *type,
             bool is_unique)
{
    uint32_t at = self->cells[cell].child;
    while (at != WEIR_EDIT_NONE
           && (self->shadows[at].type != type || self->shadows[at].is_unique != is_unique)) {
        at = self->shadows[at].sibling;
    }
    return at;
}

uint32_t
weir_edit_shadow_under (struct weir_edit *self, uint32_t cell,
                        const struct weir_container_type *type)
{
    uint32_t shadow = shadow_find (self, cell, type, false);
    if (shadow == WEIR_EDIT_NONE) {
        const struct weir_edit_shadow *s = &self->shadows[self->cells[cell].shadow];
        const struct weir_container *base = NULL;
        if (s->base != NULL) {
            /* Looks only: nothing is made. */
            base = weir_container_child ((struct weir_container *) (uintptr_t) s->base,
                                         weir_edit_cell_key (self, cell), type, false);
        }
        shadow = shadow_add (self, type, base, cell, s->depth + 1);
    }
    return shadow;
}

/* A unique child: one of the document, or one that this edit's op in the cell makes. */
static uint32_t
shadow_unique (struct weir_edit *self, uint32_t cell, const struct weir_value *value)
{
    const struct weir_container_type *type = weir_container_type (value->container);
    uint32_t shadow = shadow_find (self, cell, type, true);
    if (shadow == WEIR_EDIT_NONE) {
        const struct weir_edit_cell *c = &self->cells[cell];
        const struct weir_container *base = NULL;
        struct weir_op_id made = { .offset = c->offset };
        if (value->bytes.len > 0) {
            base = weir_doc_value_child (self->doc, value);
            made = base != NULL ? base->made : made;
        } else if (c->op != WEIR_EDIT_NONE) {
            made.offset = self->ops[c->op].offset;
        }
        uint32_t depth = self->shadows[c->shadow].depth + 1;
        shadow = shadow_add (self, type, base, cell, depth);
        self->shadows[shadow].is_unique = true;
        self->shadows[shadow].made = made;
    }
    return shadow;
}

bool
weir_edit_visible (struct weir_edit *self, uint32_t cell, struct weir_value *value)
{
    const struct weir_edit_cell *c = &self->cells[cell];
    if (c->op != WEIR_EDIT_NONE) {
        size_t at = self->ops[c->op].value_at;
        struct weir_reader r =
            weir_reader (weir_bytes (self->values.data + at, self->values.len - at));
        enum weir_status status = weir_value_read (&r, value);
        weir_assert (status == WEIR_OK && !r.bad);
        return value->type != WEIR_VALUE_DELETED;
    }
    if (c->has_base && weir_edit_is_list (&self->shadows[c->shadow])) {
        /* What the edit inserted lies in `values`, which may have moved. */
        struct weir_item item;
        uint32_t offset = 0;
        (void) weir_edit_element_base (self, c->shadow, weir_edit_cell_key (self, cell), &item,
                                       &offset);
        *value = item.value;
        return true;
    }
    *value = c->base.value;
    uint32_t child = c->child;
    while (!c->has_base && c->shadow == 0 && child != WEIR_EDIT_NONE) {
        if (self->shadows[child].row != WEIR_EDIT_NONE) {
            *value = (struct weir_value){ .type = WEIR_VALUE_CONTAINER,
                                          .container = self->shadows[child].type->number };
            return true;
        }
        child = self->shadows[child].sibling;
    }
    return c->has_base;
}

uint32_t
weir_edit_shadow_in (struct weir_edit *self, uint32_t cell)
{
    struct weir_value value;
    if (!weir_edit_visible (self, cell, &value)) {
        return WEIR_EDIT_NONE;
    }
    if (value.type == WEIR_VALUE_CONTAINER) {
        return weir_edit_shadow_under (self, cell, weir_container_type (value.container));
    }
    return value.type == WEIR_VALUE_UNIQUE ? shadow_unique (self, cell, &value) : WEIR_EDIT_NONE;
}

void
weir_edit_load_map (struct weir_edit *self, uint32_t shadow, const json_t *keep)
{
    const struct weir_container *base = self->shadows[shadow].base;
    struct weir_item item;
    size_t i = 0;
    while (base != NULL && base->type->next (base, &i, &item)) {
        if (keep == NULL
            || json_object_getn (keep, (const char *) item.key.data, item.key.len) == NULL) {
            (void) weir_edit_cell (self, shadow, item.key);
        }
    }
}

/* ---- ops ---- */

struct weir_op_ref
weir_edit_ref (struct weir_edit *self, const struct weir_op_id *id)
{
    if (weir_id_is_zero (&id->entry)) {
        return (struct weir_op_ref){ .row = 0, .offset = id->offset };
    }
    size_t i = 0;
    while (i < self->n_ids && !weir_id_equal (&self->ids[i], &id->entry)) {
        i++;
    }
    if (i == self->n_ids) {
        weir_grow (&self->ids, &self->ids_cap, self->n_ids + 1, sizeof *self->ids);
        self->ids[self->n_ids++] = id->entry;
    }
    return (struct weir_op_ref){ .row = (uint32_t) i + 1, .offset = id->offset };
}

/* A shadow's row in the payload, given on its first op, after its parents'. */
static uint32_t
shadow_row (struct weir_edit *self, uint32_t shadow)
{
    uint32_t way[WEIR_CONTAINER_DEPTH_MAX + 1];
    size_t n = 0;
    uint32_t at = shadow;
    while (at != 0 && self->shadows[at].row == WEIR_EDIT_NONE) {
        way[n++] = at;
        at = self->shadows[at].is_unique ? 0 : self->cells[self->shadows[at].cell].shadow;
    }
    while (n > 0) {
        at = way[--n];
        weir_grow (&self->rows, &self->rows_cap, self->n_rows + 1, sizeof *self->rows);
        self->shadows[at].row = (uint32_t) self->n_rows;
        self->rows[self->n_rows++] = at;
        if (self->shadows[at].is_unique) {
            (void) weir_edit_ref (self, &self->shadows[at].made);
        }
    }
    return self->shadows[shadow].row;
}

enum weir_status
weir_edit_put (struct weir_edit *self, uint32_t shadow, struct weir_edit_put *put,
               struct weir_error *e)
{
    struct weir_op *op = &put->op;
    op->row = shadow_row (self, shadow);
    struct weir_edit_shadow *s = &self->shadows[shadow];
    size_t more = op->key.len + op->bytes.len + op->value.bytes.len;
    if (self->code.len + self->text.len + self->n_ids * WEIR_ID_BYTES + more
            > WEIR_PAYLOAD_BYTES_MAX
        || self->n_rows > WEIR_CONTAINERS_PER_PAYLOAD_MAX
        || self->atoms + op->atoms > WEIR_ENTRY_OPS_MAX) {
        return weir_error_set (e, WEIR_TOO_LARGE, "write it in several commits",
                               "the edit would pass %u bytes or %u containers",
                               WEIR_PAYLOAD_BYTES_MAX, WEIR_CONTAINERS_PER_PAYLOAD_MAX);
    }
    weir_grow (&self->ops, &self->ops_cap, self->n_ops + 1, sizeof *self->ops);
    self->ops[self->n_ops] = (struct weir_edit_op){
        .shadow = shadow,
        .cell = put->cell,
        .before = put->cell != WEIR_EDIT_NONE ? self->cells[put->cell].op : WEIR_EDIT_NONE,
        .cursor = s->cursor,
        .value_at = (uint32_t) self->values.len,
        .offset = (uint32_t) self->atoms,
        .splice = put->splice,
    };
    weir_buf_put_bytes (&self->values, put->kept);
    struct weir_op_writer w = { .out = &self->code, .text = &self->text, .cursor = s->cursor };
    weir_payload_put_op (&w, s->type, op);
    self->has_blobs = self->has_blobs || weir_op_has_blobs (s->type, op);
    s->cursor = w.cursor;
    if (put->cell != WEIR_EDIT_NONE) {
        self->cells[put->cell].op = (uint32_t) self->n_ops;
    }
    self->n_ops++;
    self->atoms += op->atoms;
    weir_edit_pieces_splice (self, shadow, &put->splice);
    return WEIR_OK;
}

enum weir_status
weir_edit_put_key (struct weir_edit *self, uint32_t cell, const struct weir_value *value,
                   struct weir_error *e)
{
    const struct weir_value deleted = { .type = WEIR_VALUE_DELETED };
    struct weir_edit_put put = { .cell = cell };
    struct weir_buf kept = { 0 };
    put.op = (struct weir_op){ .code = value != NULL ? WEIR_MAP_SET : WEIR_MAP_DELETE,
                               .atoms = 1,
                               .key = weir_edit_cell_key (self, cell),
                               .value = value != NULL ? *value : deleted };
    weir_value_put (&kept, &put.op.value);
    put.kept = weir_buf_bytes (&kept);
    enum weir_status status = weir_edit_put (self, self->cells[cell].shadow, &put, e);
    weir_buf_fini (&kept);
    return status;
}

/* ---- marks ---- */

struct weir_edit_mark
weir_edit_mark (const struct weir_edit *self)
{
    return (struct weir_edit_mark){ .n_cells = self->n_cells,
                                    .n_shadows = self->n_shadows,
                                    .n_ops = self->n_ops,
                                    .n_rows = self->n_rows,
                                    .n_ids = self->n_ids,
                                    .keys_len = self->keys.len,
                                    .values_len = self->values.len,
                                    .code_len = self->code.len,
                                    .text_len = self->text.len,
                                    .atoms = self->atoms };
}

static void
shadow_drop (struct weir_edit *self)
{
    struct weir_edit_shadow *s = &self->shadows[--self->n_shadows];
    if (s->cell != WEIR_EDIT_NONE) {
        self->cells[s->cell].child = s->sibling;
    }
    free (s->pieces);
}

static void
ops_drop (struct weir_edit *self, size_t n_ops)
{
    while (self->n_ops > n_ops) {
        const struct weir_edit_op *op = &self->ops[--self->n_ops];
        struct weir_edit_shadow *s = &self->shadows[op->shadow];
        s->cursor = op->cursor;
        s->has_pieces = false; /* built again when looked at */
        if (op->cell != WEIR_EDIT_NONE) {
            self->cells[op->cell].op = op->before;
        }
    }
}

void
weir_edit_rollback (struct weir_edit *self, const struct weir_edit_mark *mark)
{
    ops_drop (self, mark->n_ops);
    while (self->n_rows > mark->n_rows) {
        self->shadows[self->rows[--self->n_rows]].row = WEIR_EDIT_NONE;
    }
    while (self->n_shadows > mark->n_shadows) {
        shadow_drop (self);
    }
    while (self->n_cells > mark->n_cells) {
        uint32_t cell = (uint32_t) --self->n_cells;
        const struct weir_edit_cell *c = &self->cells[cell];
        size_t at = c->hash & (self->slots_cap - 1);
        while (self->slots[at] != cell + 1) {
            at = (at + 1) & (self->slots_cap - 1);
        }
        self->slots[at] = 0;
        if (c->shadow < self->n_shadows) {
            self->shadows[c->shadow].cells = c->next;
        }
    }
    self->n_ids = mark->n_ids;
    self->keys.len = mark->keys_len;
    self->values.len = mark->values_len;
    self->code.len = mark->code_len;
    self->text.len = mark->text_len;
    self->atoms = mark->atoms;
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

/* Steps from the cell into the container that holds the next part: a map or a list. */
static enum weir_status
step_into (struct weir_edit *self, uint32_t cell, bool make, uint32_t *shadow, struct weir_error *e)
{
    struct weir_value value;
    bool is_root = self->cells[cell].shadow == 0;
    bool visible = weir_edit_visible (self, cell, &value);
    struct weir_bytes key = weir_edit_cell_key (self, cell);
    if (!visible && !is_root && !make) {
        return weir_error_set (e, WEIR_NOT_FOUND, NULL, "there is no map at key \"%.*s\"",
                               (int) key.len, (const char *) key.data);
    }
    *shadow = visible ? weir_edit_shadow_in (self, cell)
                      : weir_edit_shadow_under (self, cell, &weir_container_map);
    if (*shadow == WEIR_EDIT_NONE
        || (self->shadows[*shadow].type != &weir_container_map
            && !weir_edit_is_list (&self->shadows[*shadow]))) {
        return weir_error_set (e, WEIR_CONFLICT, "remove it first, or choose another path",
                               "what stands at key \"%.*s\" is not a map or list", (int) key.len,
                               (const char *) key.data);
    }
    if (self->shadows[*shadow].depth > WEIR_CONTAINER_DEPTH_MAX) {
        return weir_error_set (e, WEIR_LIMIT, NULL, "containers nest at most %u deep",
                               WEIR_CONTAINER_DEPTH_MAX);
    }
    if (!visible && !is_root) {
        const struct weir_value marker = { .type = WEIR_VALUE_CONTAINER,
                                           .container = WEIR_CONTAINER_MAP };
        return weir_edit_put_key (self, cell, &marker, e);
    }
    return WEIR_OK;
}

static enum weir_status
index_read (const char *part, uint32_t length, bool end, uint32_t *index, struct weir_error *e)
{
    uint64_t n = 0;
    size_t len = strlen (part);
    if (end && strcmp (part, "-") == 0) {
        *index = length;
        return WEIR_OK;
    }
    bool good = len > 0 && len < 11 && (part[0] != '0' || len == 1);
    for (size_t i = 0; i < len && good; i++) {
        good = part[i] >= '0' && part[i] <= '9';
        n = n * 10 + (uint64_t) (part[i] - '0');
    }
    if (!good) {
        return weir_error_set (e, WEIR_INVALID_PATH, "an element goes by its index, from 0",
                               "\"%s\" is not an index", part);
    }
    if (n > length || (n == length && !end)) {
        return weir_error_set (e, end ? WEIR_OUT_OF_RANGE : WEIR_NOT_FOUND, NULL,
                               "there is no element %llu: the list has %u", (unsigned long long) n,
                               length);
    }
    *index = (uint32_t) n;
    return WEIR_OK;
}

enum weir_status
weir_edit_walk (struct weir_edit *self, const struct weir_path *path, bool make, bool end,
                struct weir_edit_place *place, struct weir_error *e)
{
    struct weir_edit_place at = { .cell = WEIR_EDIT_NONE };
    if (path->count == 0 || path->parts[0][0] == '_') {
        return weir_error_set (e, WEIR_INVALID_PATH, NULL,
                               path->count == 0 ? "the path must name a root container"
                                                : "names of roots with _ are reserved");
    }
    for (size_t i = 0; i < path->count; i++) {
        struct weir_bytes key = weir_bytes_str (path->parts[i]);
        bool last = i + 1 == path->count;
        enum weir_status status = key_check (key, e);
        if (status == WEIR_OK && i > 0) {
            status = step_into (self, at.cell, make, &at.shadow, e);
        }
        at.index = WEIR_EDIT_NONE;
        if (status == WEIR_OK && weir_edit_is_list (&self->shadows[at.shadow])) {
            status = index_read (path->parts[i], weir_edit_length (self, at.shadow), end && last,
                                 &at.index, e);
        }
        if (status != WEIR_OK) {
            return status;
        }
        at.cell = at.index != WEIR_EDIT_NONE ? weir_edit_element (self, at.shadow, at.index)
                                             : weir_edit_cell (self, at.shadow, key);
    }
    *place = at;
    return WEIR_OK;
}

/* ---- the door ---- */

static void
edit_empty (struct weir_edit *self)
{
    while (self->n_shadows > 0) {
        self->shadows[self->n_shadows - 1].cell = WEIR_EDIT_NONE;
        shadow_drop (self);
    }
    self->n_cells = 0;
    self->n_ops = 0;
    self->n_rows = 0;
    self->n_ids = 0;
    self->atoms = 0;
    self->has_blobs = false;
    self->keys.len = 0;
    self->values.len = 0;
    self->code.len = 0;
    self->text.len = 0;
    slots_build (self, SLOTS_MIN);
    (void) shadow_add (self, &weir_container_map, weir_doc_top (self->doc), WEIR_EDIT_NONE, 0);
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
    while (self->n_shadows > 0) {
        self->shadows[self->n_shadows - 1].cell = WEIR_EDIT_NONE;
        shadow_drop (self);
    }
    free (self->cells);
    free (self->shadows);
    free (self->ops);
    free (self->rows);
    free (self->ids);
    free (self->slots);
    weir_buf_fini (&self->keys);
    weir_buf_fini (&self->values);
    weir_buf_fini (&self->code);
    weir_buf_fini (&self->text);
    weir_buf_fini (&self->scratch);
    free (self);
}

size_t
weir_edit_ops (const struct weir_edit *self)
{
    return self->n_ops;
}

static void
row_put (const struct weir_edit *self, uint32_t shadow, struct weir_buf *payload)
{
    struct weir_edit *edit = (struct weir_edit *) (uintptr_t) self; /* looks ids up only */
    const struct weir_edit_shadow *s = &self->shadows[shadow];
    struct weir_payload_row row = { .type = s->type };
    if (s->is_unique) {
        row.kind = WEIR_ROW_UNIQUE;
        row.made_ref = weir_edit_ref (edit, &s->made);
    } else {
        uint32_t parent = self->cells[s->cell].shadow;
        row.kind = parent == 0 ? WEIR_ROW_ROOT : WEIR_ROW_PATH;
        row.parent = parent == 0 ? 0 : self->shadows[parent].row;
        row.key = weir_edit_cell_key (self, s->cell);
    }
    weir_payload_put_row (payload, &row);
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
    weir_payload_begin (payload, message, self->ids, self->n_ids, self->n_rows);
    for (size_t i = 0; i < self->n_rows; i++) {
        row_put (self, self->rows[i], payload);
    }
    weir_buf_put_blob (payload, weir_buf_bytes (&self->text));
    weir_buf_put_bytes (payload, weir_buf_bytes (&self->code));
    if (payload->len - start > WEIR_PAYLOAD_BYTES_MAX) {
        payload->len = start;
        return weir_error_set (e, WEIR_TOO_LARGE, "write it in several commits",
                               "the commit would pass %u bytes", WEIR_PAYLOAD_BYTES_MAX);
    }
    weir_payload_name_codec (payload, start, self->has_blobs);
    *ops = (uint32_t) self->atoms;
    edit_empty (self);
    return WEIR_OK;
}
