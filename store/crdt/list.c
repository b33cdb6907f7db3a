/* Owns the list container: values in a sequence. An element's content is its number in a table of
 * all that came while the document was in memory; its value stands in one buffer, encoded as in
 * states. Elements that are containers are unique children: no path could name them alike on two
 * sides. The verbs here serve movable lists, too: movable.c takes those. */

#include "store/crdt/change.h"
#include "store/crdt/movable.h"
#include "store/crdt/types.h"

#include <stdlib.h>
#include <string.h>

#define ENTITIES_MAX (1u << 30)
#define WASTE_ITEMS_MIN 4096u

struct list {
    struct weir_container head;
    struct weir_seq *seq; /* here in every type that has one */
    uint64_t *places;     /* by number: where the value begins */
    size_t count;
    size_t cap;
    struct weir_buf values;
    /* Unique children that the open change made: number and offset of each. */
    struct unsealed {
        uint32_t number;
        uint32_t offset;
    } * unsealed;
    size_t n_unsealed;
    size_t unsealed_cap;
    size_t counted; /* bytes told to the document */
    bool is_written;
};

struct weir_seq *
weir_container_seq (const struct weir_container *self)
{
    if (self->type->number != WEIR_CONTAINER_LIST && self->type->number != WEIR_CONTAINER_TEXT
        && self->type->number != WEIR_CONTAINER_MOVABLE) {
        return NULL;
    }
    return ((const struct list *) self)->seq;
}

enum weir_status
weir_container_seq_prepare (struct weir_container *self, uint64_t *budget)
{
    return weir_seq_prepare (weir_container_seq (self), budget);
}

/* ---- the table ---- */

static void
bytes_count (struct list *l)
{
    size_t bytes = l->cap * sizeof *l->places + l->values.cap;
    if (bytes != l->counted) {
        weir_doc_count_bytes (l->head.doc, (ptrdiff_t) bytes - (ptrdiff_t) l->counted);
        l->counted = bytes;
    }
}

static uint32_t
value_add (struct list *l, const struct weir_value *value)
{
    weir_grow (&l->places, &l->cap, l->count + 1, sizeof *l->places);
    l->places[l->count] = l->values.len;
    weir_value_put (&l->values, value);
    return (uint32_t) l->count++;
}

static struct weir_value
value_at (const struct list *l, uint32_t number)
{
    struct weir_value value = { .type = WEIR_VALUE_NULL };
    struct weir_reader r = weir_reader (weir_buf_bytes (&l->values));
    r.pos = l->places[number];
    weir_ignore (weir_value_read_kept (&r, &value));
    return value;
}

/* ---- what the sequence tells ---- */

static void
splice_tell (struct weir_container *owner, uint32_t at, uint32_t removed, uint32_t inserted)
{
    struct weir_notice notice = { .kind = WEIR_NOTICE_SPLICE,
                                  .container = owner,
                                  .at = at,
                                  .removed = removed,
                                  .inserted = inserted };
    if (weir_doc_is_heard (owner->doc)) {
        weir_doc_notify (owner->doc, &notice);
    }
}

static void
list_inserted (struct weir_container *owner, uint32_t at, uint32_t count, uint32_t content)
{
    (void) content;
    splice_tell (owner, at, 0, count);
}

static void
list_removed (struct weir_container *owner, uint32_t at, uint32_t count, uint32_t content)
{
    (void) content;
    splice_tell (owner, at, count, 0);
}

static const struct weir_seq_owner listener = { list_inserted, list_removed };

/* ---- the vtable ---- */

static void
list_init (struct weir_container *self)
{
    struct list *l = (struct list *) self;
    l->seq = weir_seq_new (self, &listener, false);
}

static void
list_fini (struct weir_container *self)
{
    struct list *l = (struct list *) self;
    weir_seq_destroy (&l->seq);
    free (l->places);
    free (l->unsealed);
    weir_buf_fini (&l->values);
}

static enum weir_status
value_check (const struct weir_value *value)
{
    if (value->type == WEIR_VALUE_DELETED || value->type == WEIR_VALUE_CONTAINER) {
        return WEIR_BAD_PAYLOAD;
    }
    if (value->type == WEIR_VALUE_UNIQUE && weir_container_type (value->container) == NULL) {
        return WEIR_NEEDS_UPGRADE;
    }
    return weir_value_check (value);
}

static enum weir_status
list_decode (struct weir_op_reader *r, struct weir_op *op)
{
    if (op->code > WEIR_LIST_DELETE) {
        return WEIR_NEEDS_UPGRADE;
    }
    op->at = weir_op_read_at (r);
    uint64_t count = weir_read_varint (&r->r);
    if (r->r.bad || count == 0 || count > WEIR_ENTRY_OPS_MAX || op->at > ENTITIES_MAX) {
        return WEIR_BAD_PAYLOAD;
    }
    op->count = op->atoms = (uint32_t) count;
    if (op->code == WEIR_LIST_DELETE) {
        return WEIR_OK;
    }
    size_t start = r->r.pos;
    for (uint32_t i = 0; i < op->count; i++) {
        struct weir_value value;
        enum weir_status status = weir_value_read (&r->r, &value);
        if (r->r.bad) {
            return WEIR_BAD_PAYLOAD;
        }
        status = status == WEIR_OK ? value_check (&value) : status;
        if (status != WEIR_OK) {
            return status;
        }
    }
    op->bytes = weir_bytes (r->r.data + start, r->r.pos - start);
    r->cursor += op->count;
    return WEIR_OK;
}

static void
list_encode (struct weir_op_writer *w, const struct weir_op *op)
{
    weir_op_put_at (w, op->at);
    weir_buf_put_varint (w->out, op->count);
    if (op->code == WEIR_LIST_INSERT) {
        weir_buf_put_bytes (w->out, op->bytes);
        w->cursor += op->count;
    }
}

static enum weir_status
list_validate (struct weir_container *self, const struct weir_op *op, struct weir_op_check *check)
{
    struct list *l = (struct list *) self;
    if (!check->begun && l != NULL) {
        enum weir_status status = weir_seq_length_at_parents (l->seq, &check->length);
        if (status != WEIR_OK) {
            return status;
        }
    }
    check->begun = true;
    uint64_t end = (uint64_t) op->at + (op->code == WEIR_LIST_DELETE ? op->count : 0);
    if (end > check->length) {
        return WEIR_OUT_OF_RANGE;
    }
    check->length += op->code == WEIR_LIST_DELETE ? 0u - (uint64_t) op->count : op->count;
    return check->length <= ENTITIES_MAX ? WEIR_OK : WEIR_OUT_OF_RANGE;
}

static void
unsealed_put (struct list *l, uint32_t number, uint32_t offset)
{
    weir_grow (&l->unsealed, &l->unsealed_cap, l->n_unsealed + 1, sizeof *l->unsealed);
    l->unsealed[l->n_unsealed++] = (struct unsealed){ number, offset };
}

/* A value as it is kept: of a unique child with its id. */
static void
element_add (struct list *l, struct weir_value *value, uint32_t offset,
             const struct weir_stamp *stamp)
{
    if (value->type != WEIR_VALUE_UNIQUE) {
        (void) value_add (l, value);
        return;
    }
    struct weir_op_id made = { .entry = *stamp->entry, .offset = offset };
    const struct weir_container_type *type = weir_container_type (value->container);
    struct weir_container *child = weir_doc_unique_make (l->head.doc, &made, type);
    weir_container_adopt (&l->head, child);
    value->bytes = weir_bytes (child->id.b, WEIR_ID_BYTES);
    uint32_t number = value_add (l, value);
    if (weir_id_is_zero (stamp->entry)) {
        unsealed_put (l, number, offset);
    }
}

static void
list_apply (struct weir_container *self, const struct weir_op *op, const struct weir_stamp *stamp)
{
    struct list *l = (struct list *) self;
    l->is_written = true;
    if (op->code == WEIR_LIST_DELETE) {
        weir_seq_delete (l->seq, op->at, op->count, stamp->offset);
        return;
    }
    struct weir_reader r = weir_reader (op->bytes);
    uint32_t first = (uint32_t) l->count;
    for (uint32_t i = 0; i < op->count; i++) {
        struct weir_value value = { .type = WEIR_VALUE_NULL };
        weir_ignore (weir_value_read (&r, &value));
        element_add (l, &value, stamp->offset + i, stamp);
    }
    bytes_count (l);
    weir_seq_insert (l->seq, op->at, op->count, first, false, stamp->offset);
}

static void
list_record (struct weir_container *self, const struct weir_op *op, const struct weir_stamp *stamp)
{
    struct list *l = (struct list *) self;
    if (op->code == WEIR_LIST_DELETE) {
        weir_seq_record_delete (l->seq, op->at, op->count, stamp->offset);
    } else {
        weir_seq_record (l->seq, op->at, op->count, 0, false, stamp->offset);
    }
}

static void
list_seal (struct weir_container *self, const struct weir_op *op, const struct weir_stamp *stamp)
{
    struct list *l = (struct list *) self;
    if (op->code != WEIR_LIST_INSERT || l->n_unsealed == 0) {
        return;
    }
    /* The first op of the change that is sealed settles all: they have one entry. */
    for (size_t i = 0; i < l->n_unsealed; i++) {
        uint8_t *kept = l->values.data + l->places[l->unsealed[i].number];
        struct weir_container *child =
            weir_doc_unique_sealed (l->head.doc, l->unsealed[i].offset, kept[1], stamp->entry);
        if (child != NULL) {
            memcpy (kept + 2, child->id.b, WEIR_ID_BYTES);
        }
    }
    l->n_unsealed = 0;
}

/* Lets go what no element has any more. */
static void
values_renew (struct list *l)
{
    struct weir_seq_span span;
    uint64_t *places = l->places;
    struct weir_buf values = l->values;
    struct weir_seq *seq = weir_seq_new (&l->head, &listener, false);
    l->places = NULL;
    l->values = (struct weir_buf){ 0 };
    l->count = l->cap = 0;
    for (uint32_t at = 0; weir_seq_span (l->seq, at, &span); at += span.count) {
        for (uint32_t i = 0; i < span.count; i++) {
            struct weir_value value = { .type = WEIR_VALUE_NULL };
            struct weir_reader r = weir_reader (weir_buf_bytes (&values));
            r.pos = places[span.content + i];
            weir_ignore (weir_value_read_kept (&r, &value));
            weir_seq_load (seq, 1, value_add (l, &value), false);
        }
    }
    weir_seq_destroy (&l->seq);
    l->seq = seq;
    free (places);
    weir_buf_fini (&values);
    bytes_count (l);
}

static void
list_cool (struct weir_container *self)
{
    struct list *l = (struct list *) self;
    weir_seq_cool (l->seq);
    if (l->n_unsealed == 0 && l->count > WASTE_ITEMS_MIN
        && l->count / 2 > weir_seq_length (l->seq)) {
        values_renew (l);
    }
}

static bool
list_join (struct weir_op *last, const struct weir_op *next)
{
    if (last->code != next->code) {
        return false;
    }
    if (next->code == WEIR_LIST_INSERT) {
        if (next->at != last->at + last->count) {
            return false;
        }
    } else if (next->at > last->at || last->at - next->at > next->count) {
        return false;
    } else {
        last->at = next->at;
    }
    last->count += next->count;
    return true;
}

static json_t *
values_describe (const struct weir_op *op)
{
    json_t *out = json_array ();
    struct weir_reader r = weir_reader (op->bytes);
    for (uint32_t i = 0; i < op->count; i++) {
        struct weir_value value = { .type = WEIR_VALUE_NULL };
        weir_ignore (weir_value_read (&r, &value));
        if (value.type == WEIR_VALUE_UNIQUE) {
            const char *name = weir_container_type (value.container)->name;
            json_array_append_new (out, json_pack ("{s:s}", "type", name));
        } else {
            json_array_append_new (out, weir_value_json (&value));
        }
    }
    return out;
}

static void
list_describe (const struct weir_op *op, json_t *out)
{
    bool inserts = op->code == WEIR_LIST_INSERT;
    json_object_set_new (out, "op", json_string (inserts ? "insert" : "delete"));
    json_object_set_new (out, "at", json_integer (op->at));
    if (inserts) {
        json_object_set_new (out, "values", values_describe (op));
    } else {
        json_object_set_new (out, "count", json_integer (op->count));
    }
}

static json_t *
list_json (const struct weir_container *self)
{
    (void) self;
    return json_array ();
}

static void
item_fill (const struct list *l, uint32_t number, struct weir_item *item)
{
    *item = (struct weir_item){ .value = value_at (l, number) };
    if (item->value.type == WEIR_VALUE_UNIQUE) {
        item->child = weir_doc_value_child (l->head.doc, &item->value);
    }
}

bool
weir_list_item (const struct weir_container *list, uint32_t index, struct weir_item *item)
{
    const struct list *l = (const struct list *) list;
    struct weir_seq_span span;
    if (list->type->number == WEIR_CONTAINER_MOVABLE) {
        return weir_movable_item (list, index, item);
    }
    if (!weir_seq_span (l->seq, index, &span)) {
        return false;
    }
    item_fill (l, span.content, item);
    return true;
}

static bool
list_next (const struct weir_container *self, size_t *i, struct weir_item *item)
{
    if (*i >= UINT32_MAX || !weir_list_item (self, (uint32_t) *i, item)) {
        return false;
    }
    ++*i;
    return true;
}

/* A decimal number without leading zeros. */
static bool
list_find (const struct weir_container *self, struct weir_bytes part, struct weir_item *item)
{
    uint32_t index = 0;
    if (part.len == 0 || part.len > 9 || (part.len > 1 && part.data[0] == '0')) {
        return false;
    }
    for (size_t i = 0; i < part.len; i++) {
        if (part.data[i] < '0' || part.data[i] > '9') {
            return false;
        }
        index = index * 10 + (part.data[i] - (uint32_t) '0');
    }
    return weir_list_item (self, index, item);
}

static bool
list_is_empty (const struct weir_container *self)
{
    return !((const struct list *) self)->is_written;
}

/* ---- state: count varint | values ---- */

static void
list_save (struct weir_container *self, struct weir_save *save)
{
    struct list *l = (struct list *) self;
    struct weir_seq_span span;
    if (save->out == NULL) {
        return;
    }
    weir_buf_put_varint (save->out, weir_seq_length (l->seq));
    for (uint32_t at = 0; weir_seq_span (l->seq, at, &span); at += span.count) {
        uint64_t from = l->places[span.content];
        uint64_t to = span.content + span.count < l->count ? l->places[span.content + span.count]
                                                           : l->values.len;
        weir_buf_put (save->out, l->values.data + from, to - from);
    }
}

static enum weir_status
list_load (struct weir_container *self, struct weir_load *load)
{
    struct list *l = (struct list *) self;
    l->is_written = true;
    uint64_t count = weir_read_varint (&load->r);
    if (load->r.bad || count > weir_reader_left (&load->r)) {
        return WEIR_BAD_PAYLOAD;
    }
    for (uint64_t i = 0; i < count; i++) {
        struct weir_value value;
        enum weir_status status = weir_value_read_kept (&load->r, &value);
        if (status != WEIR_OK || load->r.bad || value_check (&value) != WEIR_OK) {
            return WEIR_BAD_PAYLOAD;
        }
        (void) value_add (l, &value);
    }
    bytes_count (l);
    if (count > 0) {
        weir_seq_load (l->seq, (uint32_t) count, 0, false);
    }
    return WEIR_OK;
}

const struct weir_container_type weir_container_list = {
    .number = WEIR_CONTAINER_LIST,
    .name = "list",
    .size = sizeof (struct list),
    .init = list_init,
    .fini = list_fini,
    .decode = list_decode,
    .encode = list_encode,
    .prepare = weir_container_seq_prepare,
    .validate = list_validate,
    .apply = list_apply,
    .join = list_join,
    .record = list_record,
    .seal = list_seal,
    .cool = list_cool,
    .describe = list_describe,
    .json = list_json,
    .next = list_next,
    .find = list_find,
    .is_empty = list_is_empty,
    .save = list_save,
    .load = list_load,
};

/* ---- editing ---- */

static enum weir_status
beyond (const struct weir_container *list, uint64_t at, struct weir_error *e)
{
    return weir_error_set (e, WEIR_OUT_OF_RANGE, NULL,
                           "index %llu is beyond the list, which has %u elements",
                           (unsigned long long) at, weir_seq_length (weir_container_seq (list)));
}

static enum weir_status
values_encode (const struct weir_container *list, const struct weir_value *values, uint32_t count,
               struct weir_buf *out, struct weir_error *e)
{
    for (uint32_t i = 0; i < count; i++) {
        struct weir_value value = values[i];
        if (value_check (&value) != WEIR_OK) {
            return weir_error_set (e, WEIR_INVALID_ARGUMENT, NULL, "a list takes no such value");
        }
        if (value.type == WEIR_VALUE_UNIQUE) {
            if (weir_container_level (list) >= WEIR_CONTAINER_DEPTH_MAX) {
                return weir_error_set (e, WEIR_LIMIT, NULL, "containers are nested too deep");
            }
            value.bytes = weir_bytes (NULL, 0);
        }
        weir_value_put (out, &value);
    }
    return WEIR_OK;
}

enum weir_status
weir_change_list_insert (struct weir_change *self, struct weir_container *list, uint32_t at,
                         const struct weir_value *values, uint32_t count,
                         struct weir_container **children, struct weir_error *e)
{
    if (list->type->number == WEIR_CONTAINER_MOVABLE) {
        return weir_movable_change_insert (self, list, at, values, count, children, e);
    }
    struct weir_buf bytes = { 0 };
    struct weir_op op = { .code = WEIR_LIST_INSERT, .at = at, .count = count, .atoms = count };
    uint32_t offset = 0;
    if (at > weir_seq_length (weir_container_seq (list))) {
        return beyond (list, at, e);
    }
    enum weir_status status = values_encode (list, values, count, &bytes, e);
    op.bytes = weir_buf_bytes (&bytes);
    if (status == WEIR_OK && count > 0) {
        status = weir_change_put (self, list, &op, &offset, e);
    }
    for (uint32_t i = 0; i < count && children != NULL && status == WEIR_OK; i++) {
        struct weir_item item = { .child = NULL };
        (void) weir_list_item (list, at + i, &item);
        children[i] = item.child;
    }
    weir_buf_fini (&bytes);
    return status;
}

enum weir_status
weir_change_list_delete (struct weir_change *self, struct weir_container *list, uint32_t at,
                         uint32_t count, struct weir_error *e)
{
    if (list->type->number == WEIR_CONTAINER_MOVABLE) {
        return weir_movable_change_delete (self, list, at, count, e);
    }
    struct weir_op op = { .code = WEIR_LIST_DELETE, .at = at, .count = count, .atoms = count };
    uint32_t offset = 0;
    if ((uint64_t) at + count > weir_seq_length (weir_container_seq (list))) {
        return beyond (list, (uint64_t) at + count, e);
    }
    return count > 0 ? weir_change_put (self, list, &op, &offset, e) : WEIR_OK;
}
