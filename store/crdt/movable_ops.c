/* Owns the ops of movable lists as bytes, and what they say before they are applied: whether they
 * fit the list, which of them join, and how people read them. */

#include "store/crdt/movable.h"

/* What an op may carry. */
static enum weir_status
value_decode (struct weir_reader *r, struct weir_value *value)
{
    enum weir_status status = weir_value_read (r, value);
    if (status != WEIR_OK) {
        return status;
    }
    if (value->type == WEIR_VALUE_DELETED || value->type == WEIR_VALUE_CONTAINER) {
        return WEIR_BAD_PAYLOAD;
    }
    if (value->type == WEIR_VALUE_UNIQUE && weir_container_type (value->container) == NULL) {
        return WEIR_NEEDS_UPGRADE;
    }
    return weir_value_check (value);
}

static enum weir_status
count_decode (struct weir_op_reader *r, struct weir_op *op)
{
    op->at = weir_op_read_at (r);
    uint64_t count = weir_read_varint (&r->r);
    if (r->r.bad || count == 0 || count > WEIR_ENTRY_OPS_MAX) {
        return WEIR_BAD_PAYLOAD;
    }
    op->count = (uint32_t) count;
    op->atoms = op->count;
    return WEIR_OK;
}

static enum weir_status
insert_decode (struct weir_op_reader *r, struct weir_op *op)
{
    enum weir_status status = count_decode (r, op);
    size_t start = r->r.pos;
    for (uint32_t i = 0; i < op->count && status == WEIR_OK; i++) {
        struct weir_value value;
        status = r->r.bad ? WEIR_BAD_PAYLOAD : value_decode (&r->r, &value);
    }
    op->bytes = weir_bytes (r->r.data + start, r->r.pos - start);
    r->cursor = op->at + op->count;
    return status;
}

enum weir_status
weir_movable_decode (struct weir_op_reader *r, struct weir_op *op)
{
    op->atoms = 1;
    op->target_ref.row = WEIR_OP_REF_NONE;
    op->parent_ref.row = WEIR_OP_REF_NONE;
    if (op->code == WEIR_MOVABLE_INSERT) {
        return insert_decode (r, op);
    }
    if (op->code == WEIR_MOVABLE_DELETE) {
        return count_decode (r, op);
    }
    if (op->code > WEIR_MOVABLE_SET) {
        return WEIR_NEEDS_UPGRADE;
    }
    if (op->code == WEIR_MOVABLE_MOVE) {
        op->at = weir_op_read_at (r);
        op->to = weir_op_read_at (r);
        r->cursor = op->to + 1;
    }
    op->target_ref = weir_op_read_ref (r);
    if (op->target_ref.row == WEIR_OP_REF_NONE) {
        return WEIR_BAD_PAYLOAD;
    }
    return op->code == WEIR_MOVABLE_SET ? value_decode (&r->r, &op->value) : WEIR_OK;
}

void
weir_movable_encode (struct weir_op_writer *w, const struct weir_op *op)
{
    if (op->code <= WEIR_MOVABLE_DELETE) {
        weir_op_put_at (w, op->at);
        weir_buf_put_varint (w->out, op->count);
        if (op->code == WEIR_MOVABLE_INSERT) {
            weir_buf_put_bytes (w->out, op->bytes);
            w->cursor = op->at + op->count;
        }
        return;
    }
    if (op->code == WEIR_MOVABLE_MOVE) {
        weir_op_put_at (w, op->at);
        weir_op_put_at (w, op->to);
        w->cursor = op->to + 1;
    }
    weir_op_put_ref (w, &op->target_ref);
    if (op->code == WEIR_MOVABLE_SET) {
        weir_value_put (w->out, &op->value);
    }
}

enum weir_status
weir_movable_validate (struct weir_container *self, const struct weir_op *op,
                       struct weir_op_check *check)
{
    if (op->code == WEIR_MOVABLE_SET) {
        return WEIR_OK;
    }
    if (!check->begun) {
        check->begun = true;
        if (self != NULL) {
            enum weir_status status =
                weir_seq_length_at_parents (((struct weir_movable *) self)->seq, &check->length);
            if (status != WEIR_OK) {
                return status;
            }
        }
    }
    if (op->code == WEIR_MOVABLE_INSERT) {
        check->length += op->count;
        return op->at <= check->length - op->count ? WEIR_OK : WEIR_OUT_OF_RANGE;
    }
    if (op->code == WEIR_MOVABLE_DELETE) {
        bool fits = (uint64_t) op->at + op->count <= check->length;
        check->length -= fits ? op->count : 0;
        return fits ? WEIR_OK : WEIR_OUT_OF_RANGE;
    }
    return op->at < check->length && op->to < check->length ? WEIR_OK : WEIR_OUT_OF_RANGE;
}

void
weir_movable_describe (const struct weir_op *op, json_t *out)
{
    static const char *const names[] = { "insert", "remove", "move", "set" };
    json_object_set_new (out, "op", json_string (names[op->code]));
    if (op->code != WEIR_MOVABLE_SET) {
        json_object_set_new (out, "at", json_integer (op->at));
    }
    if (op->code <= WEIR_MOVABLE_DELETE) {
        json_object_set_new (out, "count", json_integer (op->count));
    } else {
        struct weir_op_id_text id = weir_op_id_text (&op->target);
        /* Of the same entry, where it is not known: "@offset". */
        bool is_own = weir_id_is_zero (&op->target.entry);
        json_object_set_new (out, "target", json_string (is_own ? id.s + WEIR_ID_TEXT : id.s));
    }
    if (op->code == WEIR_MOVABLE_MOVE) {
        json_object_set_new (out, "to", json_integer (op->to));
    } else if (op->code == WEIR_MOVABLE_SET) {
        bool makes = op->value.type == WEIR_VALUE_UNIQUE;
        json_object_set_new (out, makes ? "type" : "value",
                             makes ? json_string (weir_container_type (op->value.container)->name)
                                   : weir_value_json (&op->value));
    }
}

bool
weir_movable_join (struct weir_op *last, const struct weir_op *next)
{
    if (last->code != next->code || last->code > WEIR_MOVABLE_DELETE) {
        return false;
    }
    if (last->code == WEIR_MOVABLE_INSERT) {
        if (next->at != last->at + last->count) {
            return false;
        }
    } else if (next->at == last->at - next->count && last->at >= next->count) {
        last->at = next->at;
    } else if (next->at != last->at) {
        return false;
    }
    last->count += next->count;
    return true;
}
