/* Owns the map container: what its ops mean, what of its registers (map_register.c) is visible, and
 * its state. */

#include "store/crdt/map_register.h"

#include <stdlib.h>
#include <string.h>

static void
map_fini (struct weir_container *self)
{
    struct weir_register_map *m = (struct weir_register_map *) self;
    for (uint32_t i = 0; i < m->count; i++) {
        struct weir_register_extra *x = m->cells[i]->extra;
        for (uint32_t k = 0; x != NULL && k < x->n_losers; k++) {
            free (x->losers[k].value);
        }
        if (x != NULL) {
            free (x->losers);
        }
        free (x);
        free (m->cells[i]);
    }
    free (m->cells);
    free (m->slots);
}

static enum weir_status
map_decode (struct weir_op_reader *in, struct weir_op *op)
{
    struct weir_reader *r = &in->r;
    if (op->code > WEIR_MAP_DELETE) {
        return WEIR_NEEDS_UPGRADE;
    }
    op->atoms = 1;
    op->key = weir_read_blob (r, WEIR_KEY_BYTES_MAX);
    op->value = (struct weir_value){ .type = WEIR_VALUE_DELETED };
    if (op->code == WEIR_MAP_SET) {
        enum weir_status status = weir_value_read (r, &op->value);
        if (status != WEIR_OK) {
            return status;
        }
        if (op->value.type == WEIR_VALUE_DELETED) {
            return WEIR_BAD_PAYLOAD;
        }
    }
    if (r->bad || !weir_value_is_key (op->key)) {
        return WEIR_BAD_PAYLOAD;
    }
    if ((op->value.type == WEIR_VALUE_CONTAINER || op->value.type == WEIR_VALUE_UNIQUE)
        && weir_container_type (op->value.container) == NULL) {
        return WEIR_NEEDS_UPGRADE;
    }
    return weir_value_check (&op->value);
}

static void
map_encode (struct weir_op_writer *w, const struct weir_op *op)
{
    weir_buf_put_blob (w->out, op->key);
    if (op->code == WEIR_MAP_SET) {
        struct weir_value value = op->value;
        if (value.type == WEIR_VALUE_UNIQUE) {
            value.bytes = weir_bytes (NULL, 0); /* the op's own id says which */
        }
        weir_value_put (w->out, &value);
    }
}

/* What a write leaves in the register: of a unique child, its id. */
static struct weir_value
op_value (struct weir_register_map *m, const struct weir_op *op, const struct weir_stamp *stamp)
{
    struct weir_value value = op->value;
    if (value.type == WEIR_VALUE_UNIQUE) {
        struct weir_op_id made = { .entry = *stamp->entry, .offset = stamp->offset };
        struct weir_container *child =
            weir_doc_unique_make (m->head.doc, &made, weir_container_type (value.container));
        weir_container_adopt (&m->head, child);
        value.bytes = weir_id_bytes (&child->id);
    }
    return value;
}

static void
map_apply (struct weir_container *self, const struct weir_op *op, const struct weir_stamp *stamp)
{
    struct weir_register_map *m = (struct weir_register_map *) self;
    uint8_t number[8];
    struct weir_value value = op_value (m, op, stamp);
    uint32_t index = weir_register_make (m, op->key, weir_register_pack (&value, number).len);
    if (weir_register_write (m, index, stamp, &value) && weir_doc_is_heard (self->doc)) {
        struct weir_notice notice = { .kind = WEIR_NOTICE_KEY, .container = self, .key = op->key };
        weir_doc_notify (self->doc, &notice);
    }
}

/* What the open change wrote last won, and stands alone with a zero entry. */
static void
map_seal (struct weir_container *self, const struct weir_op *op, const struct weir_stamp *stamp)
{
    struct weir_register_map *m = (struct weir_register_map *) self;
    struct weir_container *child = NULL;
    uint32_t hash = 0;
    if (op->value.type == WEIR_VALUE_UNIQUE) {
        child =
            weir_doc_unique_sealed (self->doc, stamp->offset, op->value.container, stamp->entry);
    }
    uint32_t index = weir_register_find (m, op->key, &hash);
    weir_assert (index != UINT32_MAX);
    struct weir_register *c = m->cells[index];
    if (c->lamport == stamp->lamport && c->chain == stamp->chain && weir_id_is_zero (&c->entry)) {
        c->entry = *stamp->entry;
        if (child != NULL) {
            memcpy (c->bytes + c->key_len, child->id.b, WEIR_ID_BYTES);
        }
    }
}

static void
map_describe (const struct weir_op *op, json_t *out)
{
    if (op->code == WEIR_MAP_DELETE) {
        json_object_set_new (out, "op", json_string ("delete"));
    } else if (op->value.type == WEIR_VALUE_CONTAINER || op->value.type == WEIR_VALUE_UNIQUE) {
        const struct weir_container_type *type = weir_container_type (op->value.container);
        json_object_set_new (out, "op", json_string ("make"));
        json_object_set_new (out, "type", json_string (type->name));
    } else {
        json_object_set_new (out, "op", json_string ("set"));
        json_object_set_new (out, "value", weir_value_json (&op->value));
    }
}

static json_t *
map_json (const struct weir_container *self)
{
    (void) self;
    return json_object ();
}

/* What is visible in a register. A root is visible as soon as it is there: nothing marks it. */
static bool
cell_item (const struct weir_register_map *m, const struct weir_register *c, struct weir_item *item)
{
    struct weir_container *child = c->extra != NULL ? c->extra->children : NULL;
    item->key = weir_bytes (c->bytes, c->key_len);
    item->child = NULL;
    if (&m->head == weir_doc_top (m->head.doc)) {
        while (child != NULL && weir_container_is_hollow (child)) {
            child = child->sibling;
        }
        item->value = (struct weir_value){ .type = WEIR_VALUE_CONTAINER };
        item->value.container = child != NULL ? child->type->number : 0;
        item->child = child;
        return child != NULL;
    }
    if (c->type == WEIR_REGISTER_UNWRITTEN || c->type == WEIR_VALUE_DELETED) {
        return false;
    }
    item->value = weir_register_value (c);
    if (c->type == WEIR_VALUE_UNIQUE) {
        item->child = weir_doc_value_child (m->head.doc, &item->value);
    }
    while (child != NULL && c->type == WEIR_VALUE_CONTAINER && item->child == NULL) {
        item->child = child->type->number == c->container ? child : NULL;
        child = child->sibling;
    }
    return true;
}

static bool
map_next (const struct weir_container *self, size_t *i, struct weir_item *item)
{
    const struct weir_register_map *m = (const struct weir_register_map *) self;
    while (*i < m->count) {
        const struct weir_register *c = m->cells[(*i)++];
        if (cell_item (m, c, item)) {
            return true;
        }
    }
    return false;
}

static bool
map_find (const struct weir_container *self, struct weir_bytes part, struct weir_item *item)
{
    const struct weir_register_map *m = (const struct weir_register_map *) self;
    uint32_t hash = 0;
    uint32_t index = weir_register_find (m, part, &hash);
    return index != UINT32_MAX && cell_item (m, m->cells[index], item);
}

static size_t
map_concurrent (const struct weir_container *self, struct weir_bytes part,
                struct weir_concurrent *values, size_t max)
{
    const struct weir_register_map *m = (const struct weir_register_map *) self;
    uint32_t hash = 0;
    uint32_t index = weir_register_find (m, part, &hash);
    if (index == UINT32_MAX || m->cells[index]->type == WEIR_REGISTER_UNWRITTEN || max == 0) {
        return 0;
    }
    const struct weir_register *c = m->cells[index];
    size_t n = 0;
    values[n++] = (struct weir_concurrent){ .stamp = weir_register_stamp (c),
                                            .value = weir_register_value (c) };
    for (uint32_t k = 0; c->extra != NULL && k < c->extra->n_losers && n < max; k++) {
        const struct weir_register_loser *l = &c->extra->losers[k];
        values[n++] = (struct weir_concurrent){ .stamp = weir_register_loser_stamp (l),
                                                .value = weir_register_loser_value (l) };
    }
    return n;
}

static struct weir_container **
map_children (struct weir_container *self, struct weir_bytes key, bool make)
{
    struct weir_register_map *m = (struct weir_register_map *) self;
    uint32_t hash = 0;
    uint32_t index = make ? weir_register_make (m, key, 0) : weir_register_find (m, key, &hash);
    if (index == UINT32_MAX) {
        return NULL;
    }
    struct weir_register *c = m->cells[index];
    if (make) {
        return &weir_register_extra (m, c)->children;
    }
    return c->extra != NULL ? &c->extra->children : NULL;
}

static struct weir_container *
map_next_children (const struct weir_container *self, size_t *i)
{
    const struct weir_register_map *m = (const struct weir_register_map *) self;
    while (*i < m->count) {
        const struct weir_register *c = m->cells[(*i)++];
        if (c->extra != NULL && c->extra->children != NULL) {
            return c->extra->children;
        }
    }
    return NULL;
}

static bool
map_is_empty (const struct weir_container *self)
{
    const struct weir_register_map *m = (const struct weir_register_map *) self;
    uint32_t i = 0;
    while (i < m->count && m->cells[i]->type == WEIR_REGISTER_UNWRITTEN) {
        i++;
    }
    return i == m->count;
}

/* ---- state: varint count | per written register, by key: key blob | write | losers varint |
 * write ... ---- */

static int
cells_by_key (const void *a, const void *b)
{
    const struct weir_register *x = *(struct weir_register *const *) a;
    const struct weir_register *y = *(struct weir_register *const *) b;
    return weir_bytes_compare (weir_bytes (x->bytes, x->key_len),
                               weir_bytes (y->bytes, y->key_len));
}

static void
cell_save (const struct weir_register *c, struct weir_save *save)
{
    struct weir_stamp stamp = weir_register_stamp (c);
    struct weir_value value = weir_register_value (c);
    uint32_t n_losers = c->extra != NULL ? c->extra->n_losers : 0;
    if (save->out != NULL) {
        weir_buf_put_blob (save->out, weir_bytes (c->bytes, c->key_len));
    }
    weir_save_write (save, &stamp, &value);
    if (save->out != NULL) {
        weir_buf_put_varint (save->out, n_losers);
    }
    for (uint32_t k = 0; k < n_losers; k++) {
        stamp = weir_register_loser_stamp (&c->extra->losers[k]);
        value = weir_register_loser_value (&c->extra->losers[k]);
        weir_save_write (save, &stamp, &value);
    }
}

static void
map_save (struct weir_container *self, struct weir_save *save)
{
    struct weir_register_map *m = (struct weir_register_map *) self;
    struct weir_register **sorted = weir_alloc ((m->count + 1) * sizeof *sorted);
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->count; i++) {
        if (m->cells[i]->type != WEIR_REGISTER_UNWRITTEN) {
            sorted[n++] = m->cells[i];
        }
    }
    if (save->out != NULL) {
        qsort (sorted, n, sizeof *sorted, cells_by_key);
        weir_buf_put_varint (save->out, n);
    }
    for (uint32_t i = 0; i < n; i++) {
        cell_save (sorted[i], save);
    }
    free (sorted);
}

/* Losers come greatest first, each below the one before, a chain once. */
static enum weir_status
losers_load (struct weir_register_map *m, struct weir_register *c, struct weir_load *load)
{
    uint64_t count = weir_read_varint (&load->r);
    struct weir_id before = c->entry;
    struct weir_stamp last = { .lamport = c->lamport, .entry = &before, .chain = c->chain };
    if (load->r.bad || count > WEIR_LOSERS_MAX) {
        return WEIR_BAD_PAYLOAD;
    }
    for (uint64_t k = 0; k < count; k++) {
        struct weir_stamp stamp;
        struct weir_value value;
        enum weir_status status = weir_load_write (load, &stamp, &value);
        if (status != WEIR_OK) {
            return status;
        }
        bool seen = stamp.chain == c->chain;
        for (uint32_t i = 0; c->extra != NULL && i < c->extra->n_losers; i++) {
            seen = seen || c->extra->losers[i].chain == stamp.chain;
        }
        if (seen || weir_doc_compare_stamps (m->head.doc, &stamp, &last) >= 0) {
            return WEIR_BAD_PAYLOAD;
        }
        weir_register_lose (m, c, &stamp, &value);
        before = *stamp.entry;
        last.lamport = stamp.lamport;
        last.chain = stamp.chain;
    }
    return WEIR_OK;
}

static enum weir_status
map_load (struct weir_container *self, struct weir_load *load)
{
    struct weir_register_map *m = (struct weir_register_map *) self;
    uint64_t count = weir_read_varint (&load->r);
    struct weir_bytes before = { 0 };
    for (uint64_t i = 0; i < count; i++) {
        struct weir_stamp stamp;
        struct weir_value value;
        struct weir_bytes key = weir_read_blob (&load->r, WEIR_KEY_BYTES_MAX);
        if (load->r.bad || !weir_value_is_key (key)
            || (i > 0 && weir_bytes_compare (before, key) >= 0)) {
            return WEIR_BAD_PAYLOAD;
        }
        enum weir_status status = weir_load_write (load, &stamp, &value);
        if (status != WEIR_OK) {
            return status;
        }
        uint8_t number[8];
        uint32_t index = weir_register_make (m, key, weir_register_pack (&value, number).len);
        weir_register_store (m, index, &stamp, &value);
        status = losers_load (m, m->cells[index], load);
        if (status != WEIR_OK) {
            return status;
        }
        before = key;
    }
    return WEIR_OK;
}

const struct weir_container_type weir_container_map = {
    .number = WEIR_CONTAINER_MAP,
    .name = "map",
    .size = sizeof (struct weir_register_map),
    .fini = map_fini,
    .decode = map_decode,
    .encode = map_encode,
    .validate = NULL, /* a key can always be written */
    .apply = map_apply,
    .record = NULL, /* a register needs no history */
    .seal = map_seal,
    .describe = map_describe,
    .json = map_json,
    .next = map_next,
    .find = map_find,
    .concurrent = map_concurrent,
    .children = map_children,
    .next_children = map_next_children,
    .is_empty = map_is_empty,
    .save = map_save,
    .load = map_load,
};
