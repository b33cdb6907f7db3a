/* Owns the verbs of movable lists: what people count is what shows, what ops count is slots. */

#include "store/crdt/movable.h"

#include <stdlib.h>

static enum weir_status
range_check (const struct weir_movable *m, uint64_t from, uint64_t end, struct weir_error *e)
{
    uint32_t length = weir_seq_length (m->seq);
    if (from > length || end > length) {
        return weir_error_set (e, WEIR_OUT_OF_RANGE, NULL, "the list has %u elements", length);
    }
    return WEIR_OK;
}

static enum weir_status
value_check (const struct weir_value *value, struct weir_error *e)
{
    bool fits = value->type != WEIR_VALUE_DELETED && value->type != WEIR_VALUE_CONTAINER
                && weir_value_check (value) == WEIR_OK;
    if (fits && value->type == WEIR_VALUE_UNIQUE) {
        fits = weir_container_type (value->container) != NULL && value->container != 0;
    }
    if (!fits) {
        return weir_error_set (e, WEIR_INVALID_ARGUMENT, NULL, "a list cannot hold such a value");
    }
    return WEIR_OK;
}

/* Without the id that a container has in memory. */
static void
value_put (struct weir_buf *out, const struct weir_value *value)
{
    struct weir_value plain = *value;
    if (plain.type == WEIR_VALUE_UNIQUE) {
        plain.bytes = weir_bytes (NULL, 0);
    }
    weir_value_put (out, &plain);
}

static struct weir_container *
child_of (const struct weir_movable *m, const struct weir_id *entry, uint32_t offset)
{
    uint32_t element = weir_op_names_find (&m->names, entry, offset);
    struct weir_value value = weir_movable_value (&m->elements[element]);
    return weir_doc_value_child (m->head.doc, &value);
}

static struct weir_op
op_begin (uint8_t code)
{
    struct weir_op op = { .code = code, .atoms = 1 };
    op.target_ref.row = WEIR_OP_REF_NONE;
    op.parent_ref.row = WEIR_OP_REF_NONE;
    return op;
}

enum weir_status
weir_movable_change_insert (struct weir_change *self, struct weir_container *list, uint32_t at,
                            const struct weir_value *values, uint32_t count,
                            struct weir_container **children, struct weir_error *e)
{
    const struct weir_movable *m = (const struct weir_movable *) list;
    struct weir_op op = op_begin (WEIR_MOVABLE_INSERT);
    struct weir_buf bytes = { 0 };
    uint32_t offset = 0;
    enum weir_status status = range_check (m, at, at, e);
    for (uint32_t i = 0; i < count && status == WEIR_OK; i++) {
        status = value_check (&values[i], e);
        if (status == WEIR_OK) {
            value_put (&bytes, &values[i]);
        }
    }
    if (status == WEIR_OK && count > 0) {
        op.at = weir_seq_entity_at (m->seq, at);
        op.count = count;
        op.atoms = count;
        op.bytes = weir_buf_bytes (&bytes);
        status = weir_change_put (self, list, &op, &offset, e);
    }
    for (uint32_t i = 0; i < count && status == WEIR_OK && children != NULL; i++) {
        children[i] = child_of (m, &weir_id_zero, offset + i);
    }
    weir_buf_fini (&bytes);
    return status;
}

/* How many visible slots follow each other there, at most `max`. */
static uint32_t
run_at (const struct weir_movable *m, uint32_t at, uint32_t max)
{
    struct weir_seq_span span = { .count = 0 };
    uint32_t count = 0;
    while (count < max && weir_seq_span (m->seq, at + count, &span) && !span.hidden) {
        count += span.count;
    }
    return count < max ? count : max;
}

enum weir_status
weir_movable_change_delete (struct weir_change *self, struct weir_container *list, uint32_t at,
                            uint32_t count, struct weir_error *e)
{
    const struct weir_movable *m = (const struct weir_movable *) list;
    enum weir_status status = range_check (m, at, (uint64_t) at + count, e);
    while (count > 0 && status == WEIR_OK) {
        struct weir_op op = op_begin (WEIR_MOVABLE_DELETE);
        uint32_t offset = 0;
        op.at = weir_seq_entity_of (m->seq, at);
        op.count = run_at (m, op.at, count);
        op.atoms = op.count;
        count -= op.count;
        status = weir_change_put (self, list, &op, &offset, e);
    }
    return status;
}

void
weir_movable_place (const struct weir_container *list, uint32_t from, uint32_t to, uint32_t *at,
                    uint32_t *end)
{
    const struct weir_movable *m = (const struct weir_movable *) list;
    *at = weir_seq_entity_of (m->seq, from);
    *end = to > from ? weir_seq_entity_at (m->seq, to + 1) - 1 : weir_seq_entity_at (m->seq, to);
}

static enum weir_status
movable_check (const struct weir_container *list, struct weir_error *e)
{
    if (list->type->number != WEIR_CONTAINER_MOVABLE) {
        return weir_error_set (e, WEIR_INVALID_ARGUMENT, NULL,
                               "only elements of movable lists can be moved or set");
    }
    return WEIR_OK;
}

enum weir_status
weir_change_list_move (struct weir_change *self, struct weir_container *list, uint32_t from,
                       uint32_t to, struct weir_error *e)
{
    const struct weir_movable *m = (const struct weir_movable *) list;
    struct weir_op op = op_begin (WEIR_MOVABLE_MOVE);
    uint32_t offset = 0;
    enum weir_status status = movable_check (list, e);
    if (status == WEIR_OK) {
        status = range_check (m, from + (uint64_t) 1, to + (uint64_t) 1, e);
    }
    if (status != WEIR_OK || from == to) {
        return status;
    }
    weir_movable_place (list, from, to, &op.at, &op.to);
    weir_assert (weir_movable_element (list, from, &op.target));
    op.target_ref = weir_change_ref (self, &op.target);
    return weir_change_put (self, list, &op, &offset, e);
}

enum weir_status
weir_change_list_set (struct weir_change *self, struct weir_container *list, uint32_t at,
                      const struct weir_value *value, struct weir_container **child,
                      struct weir_error *e)
{
    const struct weir_movable *m = (const struct weir_movable *) list;
    struct weir_op op = op_begin (WEIR_MOVABLE_SET);
    struct weir_item item;
    uint32_t offset = 0;
    enum weir_status status = movable_check (list, e);
    if (status == WEIR_OK) {
        status = range_check (m, at + (uint64_t) 1, 0, e);
    }
    if (status == WEIR_OK) {
        status = value_check (value, e);
    }
    if (status != WEIR_OK) {
        return status;
    }
    weir_assert (weir_movable_item (list, at, &item));
    if (value->type != WEIR_VALUE_UNIQUE && weir_value_equal (&item.value, value)) {
        return WEIR_OK;
    }
    op.value = *value;
    if (value->type == WEIR_VALUE_UNIQUE) {
        op.value.bytes = weir_bytes (NULL, 0);
    }
    weir_assert (weir_movable_element (list, at, &op.target));
    op.target_ref = weir_change_ref (self, &op.target);
    status = weir_change_put (self, list, &op, &offset, e);
    if (status == WEIR_OK && child != NULL) {
        *child = child_of (m, &op.target.entry, op.target.offset);
    }
    return status;
}
