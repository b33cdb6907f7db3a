/* Owns the movable list: elements with two registers, value and place, over a sequence of slots.
 * Inserting or moving an element makes a slot; the one that was made last, by order key, is where
 * the element is. It shows when that slot is alive, so a move beats a concurrent deletion of the
 * slot it left, and of several moves one place is left; the losers' slots stay in the sequence,
 * hidden. What is written to elements that are unknown waits for them. */

#include "store/crdt/movable.h"

#include <stdlib.h>
#include <string.h>

/* ---- elements ---- */

struct weir_value
weir_movable_value (const struct weir_movable_element *e)
{
    const struct weir_movable_value *kept = &e->value;
    struct weir_value v = { .type = kept->type, .container = kept->container };
    const uint8_t *bytes = kept->len > sizeof kept->bytes.few ? kept->bytes.many : kept->bytes.few;
    if (v.type == WEIR_VALUE_INT || v.type == WEIR_VALUE_DOUBLE) {
        memcpy (&v.number, bytes, sizeof v.number);
    } else {
        v.bytes = weir_bytes (bytes, kept->len);
    }
    return v;
}

void
weir_movable_keep (struct weir_movable *m, struct weir_movable_element *e,
                   const struct weir_value *value)
{
    struct weir_movable_value *kept = &e->value;
    struct weir_bytes bytes = { 0 };
    size_t few = sizeof kept->bytes.few;
    if (value->type == WEIR_VALUE_INT || value->type == WEIR_VALUE_DOUBLE) {
        bytes = weir_bytes (&value->number, sizeof value->number);
    } else if (value->type == WEIR_VALUE_TEXT || value->type == WEIR_VALUE_BYTES
               || value->type == WEIR_VALUE_UNIQUE || value->type == WEIR_VALUE_BLOB) {
        bytes = value->bytes;
    }
    if (kept->len > few) {
        weir_doc_count_bytes (m->head.doc, -(ptrdiff_t) kept->len);
        free (kept->bytes.many);
    }
    *kept = (struct weir_movable_value){ .len = (uint32_t) bytes.len,
                                         .type = value->type,
                                         .container = value->container };
    if (bytes.len > few) {
        weir_doc_count_bytes (m->head.doc, (ptrdiff_t) bytes.len);
        kept->bytes.many = weir_realloc (NULL, bytes.len);
        memcpy (kept->bytes.many, bytes.data, bytes.len);
    } else if (bytes.len > 0) {
        memcpy (kept->bytes.few, bytes.data, bytes.len);
    }
}

uint32_t
weir_movable_element_of (struct weir_movable *m, const struct weir_id *entry, uint32_t offset)
{
    uint32_t element = weir_op_names_find (&m->names, entry, offset);
    if (element == WEIR_OP_NAME_NONE) {
        element = weir_op_names_add (&m->names, entry, offset);
        weir_grow (&m->elements, &m->elements_cap, (size_t) element + 1, sizeof *m->elements);
        m->elements[element] = (struct weir_movable_element){ .slot = WEIR_MOVABLE_NONE };
    }
    return element;
}

uint32_t
weir_movable_slot_add (struct weir_movable *m, uint32_t element)
{
    weir_grow (&m->slots, &m->slots_cap, m->n_slots + 1, sizeof *m->slots);
    m->slots[m->n_slots] = element;
    return (uint32_t) m->n_slots++;
}

struct weir_stamp
weir_movable_stamp (const struct weir_movable *m, const struct weir_movable_when *when)
{
    return (struct weir_stamp){ .lamport = when->lamport,
                                .entry = &m->names.entries[when->entry],
                                .chain = when->chain,
                                .offset = when->offset };
}

struct weir_movable_when
weir_movable_when (struct weir_movable *m, const struct weir_stamp *stamp)
{
    return (struct weir_movable_when){ .lamport = stamp->lamport,
                                       .entry = weir_op_names_entry (&m->names, stamp->entry),
                                       .chain = stamp->chain,
                                       .offset = stamp->offset,
                                       .is_set = true };
}

static bool
wins (const struct weir_movable *m, const struct weir_movable_when *old,
      const struct weir_stamp *stamp)
{
    struct weir_stamp was = weir_movable_stamp (m, old);
    return !old->is_set || weir_doc_compare_stamps (m->head.doc, stamp, &was) > 0;
}

void
weir_movable_count_bytes (struct weir_movable *m)
{
    size_t now = m->elements_cap * sizeof *m->elements + m->slots_cap * sizeof *m->slots
                 + weir_op_names_bytes (&m->names);
    weir_doc_count_bytes (m->head.doc, (ptrdiff_t) now - (ptrdiff_t) m->counted_bytes);
    m->counted_bytes = now;
}

/* ---- notices ---- */

static void
splice_add (struct weir_movable *m, uint32_t at, uint32_t removed, uint32_t inserted)
{
    if (removed > 0 || inserted > 0) {
        weir_grow (&m->splices, &m->splices_cap, m->n_splices + 1, sizeof *m->splices);
        m->splices[m->n_splices++] = (struct weir_movable_splice){ at, removed, inserted };
    }
}

/* Tells what the sequence said; `moved` NULL: not of a move. */
static void
splices_tell (struct weir_movable *m, const struct weir_op_id *moved)
{
    for (size_t i = 0; i < m->n_splices; i++) {
        struct weir_notice notice = { .kind = WEIR_NOTICE_SPLICE,
                                      .container = &m->head,
                                      .at = m->splices[i].at,
                                      .removed = m->splices[i].removed,
                                      .inserted = m->splices[i].inserted,
                                      .is_move = moved != NULL };
        if (moved != NULL) {
            notice.target = *moved;
        }
        weir_doc_notify (m->head.doc, &notice);
    }
    m->n_splices = 0;
}

static void
inserted (struct weir_container *owner, uint32_t at, uint32_t count, uint32_t content)
{
    struct weir_movable *m = (struct weir_movable *) owner;
    (void) content;
    if (weir_doc_is_heard (owner->doc)) {
        uint32_t from = weir_seq_user_at (m->seq, at);
        splice_add (m, from, 0, weir_seq_user_at (m->seq, at + count) - from);
    }
}

static void
removed (struct weir_container *owner, uint32_t at, uint32_t count, uint32_t content)
{
    struct weir_movable *m = (struct weir_movable *) owner;
    for (uint32_t slot = content; slot < content + count; slot++) {
        struct weir_movable_element *e = &m->elements[m->slots[slot]];
        if (e->slot == slot) {
            e->slot = WEIR_MOVABLE_NONE;
        }
    }
    if (weir_doc_is_heard (owner->doc)) {
        uint32_t from = weir_seq_user_at (m->seq, at);
        splice_add (m, from, weir_seq_user_at (m->seq, at + count) - from, 0);
    }
}

/* Hides or shows an element's slot. */
static void
slot_show (struct weir_movable *m, uint32_t slot, bool shown)
{
    uint32_t at = 0;
    struct weir_seq_span span = { .count = 0 };
    if (slot != WEIR_MOVABLE_NONE && weir_seq_find_content (m->seq, slot, &at)
        && weir_seq_span (m->seq, at, &span) && span.hidden == shown) {
        weir_seq_hide (m->seq, at, !shown);
        if (weir_doc_is_heard (m->head.doc)) {
            splice_add (m, weir_seq_user_at (m->seq, at), !shown, shown);
        }
    }
}

/* ---- ops ---- */

/* Registers a new slot of the element; returns whether it shows. */
static bool
element_place (struct weir_movable *m, uint32_t element, uint32_t slot,
               const struct weir_stamp *stamp)
{
    struct weir_movable_element *e = &m->elements[element];
    if (!wins (m, &e->placed, stamp)) {
        return false;
    }
    if (e->is_created) {
        slot_show (m, e->slot, false);
    }
    e->placed = weir_movable_when (m, stamp);
    e->slot = slot;
    return e->is_created;
}

/* True: it has the value now. Gives unique children their parent and name. */
static bool
element_set (struct weir_movable *m, uint32_t element, const struct weir_value *value,
             const struct weir_stamp *stamp)
{
    struct weir_movable_element *e = &m->elements[element];
    struct weir_value kept = *value;
    if (value->type == WEIR_VALUE_UNIQUE) {
        struct weir_op_id made = { .entry = *stamp->entry, .offset = stamp->offset };
        struct weir_container *child =
            weir_doc_unique_make (m->head.doc, &made, weir_container_type (value->container));
        weir_container_adopt (&m->head, child);
        kept.bytes = weir_id_bytes (&child->id);
    }
    if (!wins (m, &e->valued, stamp)) {
        return false;
    }
    e->valued = weir_movable_when (m, stamp);
    weir_movable_keep (m, e, &kept);
    return true;
}

static void
insert_apply (struct weir_movable *m, const struct weir_op *op, const struct weir_stamp *stamp)
{
    struct weir_reader r = weir_reader (op->bytes);
    struct weir_stamp one = *stamp;
    uint32_t first = (uint32_t) m->n_slots;
    uint32_t begun = 0; /* of the stretch that is not in the sequence yet */
    for (uint32_t i = 0; i < op->count; i++) {
        struct weir_value value;
        weir_assert (weir_value_read (&r, &value) == WEIR_OK);
        one.offset = stamp->offset + i;
        one.lamport = stamp->lamport + i;
        uint32_t element = weir_movable_element_of (m, one.entry, one.offset);
        uint32_t slot = weir_movable_slot_add (m, element);
        struct weir_movable_element *e = &m->elements[element];
        /* Known before its insertion: a slot of it waits. */
        bool waits = e->placed.is_set;
        if (waits && i > begun) {
            weir_seq_insert (m->seq, op->at + begun, i - begun, first + begun, false,
                             stamp->offset + begun);
        }
        begun = waits ? i + 1 : begun;
        e->is_created = true;
        (void) element_set (m, element, &value, &one);
        bool shows = element_place (m, element, slot, &one);
        if (waits) {
            weir_seq_insert (m->seq, op->at + i, 1, slot, !shows, one.offset);
            if (!shows) {
                slot_show (m, e->slot, true);
            }
        }
    }
    if (op->count > begun) {
        weir_seq_insert (m->seq, op->at + begun, op->count - begun, first + begun, false,
                         stamp->offset + begun);
    }
    splices_tell (m, NULL);
}

static void
move_apply (struct weir_movable *m, const struct weir_op *op, const struct weir_stamp *stamp)
{
    uint32_t element = weir_movable_element_of (m, &op->target.entry, op->target.offset);
    uint32_t slot = weir_movable_slot_add (m, element);
    weir_seq_delete (m->seq, op->at, 1, stamp->offset);
    bool shows = element_place (m, element, slot, stamp);
    weir_seq_insert (m->seq, op->to, 1, slot, !shows, stamp->offset);
    splices_tell (m, &op->target);
}

static void
set_apply (struct weir_movable *m, const struct weir_op *op, const struct weir_stamp *stamp)
{
    uint32_t element = weir_movable_element_of (m, &op->target.entry, op->target.offset);
    const struct weir_movable_element *e = &m->elements[element];
    uint32_t at = 0;
    if (element_set (m, element, &op->value, stamp) && e->is_created && e->slot != WEIR_MOVABLE_NONE
        && weir_doc_is_heard (m->head.doc) && weir_seq_find_content (m->seq, e->slot, &at)) {
        struct weir_notice notice = { .kind = WEIR_NOTICE_VALUE,
                                      .container = &m->head,
                                      .at = weir_seq_user_at (m->seq, at),
                                      .target = op->target };
        weir_doc_notify (m->head.doc, &notice);
    }
}

static void
movable_apply (struct weir_container *self, const struct weir_op *op,
               const struct weir_stamp *stamp)
{
    struct weir_movable *m = (struct weir_movable *) self;
    switch ((enum weir_movable_code) op->code) {
    case WEIR_MOVABLE_INSERT:
        insert_apply (m, op, stamp);
        break;
    case WEIR_MOVABLE_DELETE:
        weir_seq_delete (m->seq, op->at, op->count, stamp->offset);
        splices_tell (m, NULL);
        break;
    case WEIR_MOVABLE_MOVE:
        move_apply (m, op, stamp);
        break;
    case WEIR_MOVABLE_SET:
        set_apply (m, op, stamp);
        break;
    }
    weir_movable_count_bytes (m);
}

static void
movable_record (struct weir_container *self, const struct weir_op *op,
                const struct weir_stamp *stamp)
{
    struct weir_movable *m = (struct weir_movable *) self;
    /* The elements are all here; what was in the slots is asked for no more. */
    if (op->code == WEIR_MOVABLE_INSERT) {
        weir_seq_record (m->seq, op->at, op->count, 0, false, stamp->offset);
    } else if (op->code == WEIR_MOVABLE_DELETE) {
        weir_seq_record_delete (m->seq, op->at, op->count, stamp->offset);
    } else if (op->code == WEIR_MOVABLE_MOVE) {
        weir_seq_record_delete (m->seq, op->at, 1, stamp->offset);
        weir_seq_record (m->seq, op->to, 1, 0, false, stamp->offset);
    }
}

/* The child that the op at `offset` made, if the element still shows it, by its new id. */
static void
child_seal (struct weir_movable *m, uint32_t element, uint8_t type, uint32_t offset,
            const struct weir_id *entry)
{
    struct weir_movable_element *e = &m->elements[element];
    struct weir_container *child = weir_doc_unique_sealed (m->head.doc, offset, type, entry);
    if (child != NULL && e->valued.offset == offset
        && weir_id_equal (&m->names.entries[e->valued.entry], entry)) {
        struct weir_value value = { .type = WEIR_VALUE_UNIQUE, .container = type };
        value.bytes = weir_id_bytes (&child->id);
        weir_movable_keep (m, e, &value);
    }
}

/* The first op of the change that is sealed names all elements and registers. */
static void
movable_seal (struct weir_container *self, const struct weir_op *op, const struct weir_stamp *stamp)
{
    struct weir_movable *m = (struct weir_movable *) self;
    (void) weir_op_names_seal (&m->names, stamp->entry);
    if (op->code == WEIR_MOVABLE_SET && op->value.type == WEIR_VALUE_UNIQUE) {
        bool is_own = weir_id_is_zero (&op->target.entry);
        uint32_t element = weir_op_names_find (&m->names, is_own ? stamp->entry : &op->target.entry,
                                               op->target.offset);
        child_seal (m, element, op->value.container, stamp->offset, stamp->entry);
    } else if (op->code == WEIR_MOVABLE_INSERT) {
        struct weir_reader r = weir_reader (op->bytes);
        for (uint32_t i = 0; i < op->count; i++) {
            struct weir_value value;
            weir_assert (weir_value_read (&r, &value) == WEIR_OK);
            if (value.type == WEIR_VALUE_UNIQUE) {
                uint32_t offset = stamp->offset + i;
                child_seal (m, weir_op_names_find (&m->names, stamp->entry, offset),
                            value.container, offset, stamp->entry);
            }
        }
    }
}

static void
movable_cool (struct weir_container *self)
{
    weir_seq_cool (((struct weir_movable *) self)->seq);
}

/* ---- looking ---- */

/* The element at a position in entities. */
static uint32_t
element_at (const struct weir_movable *m, uint32_t at)
{
    struct weir_seq_span span = { .count = 0 };
    return weir_seq_span (m->seq, at, &span) ? m->slots[span.content] : WEIR_MOVABLE_NONE;
}

static void
element_item (const struct weir_movable *m, uint32_t element, struct weir_item *item)
{
    *item = (struct weir_item){ .value = weir_movable_value (&m->elements[element]) };
    item->child = weir_doc_value_child (m->head.doc, &item->value);
}

bool
weir_movable_item (const struct weir_container *list, uint32_t index, struct weir_item *item)
{
    const struct weir_movable *m = (const struct weir_movable *) list;
    if (index >= weir_seq_length (m->seq)) {
        return false;
    }
    element_item (m, element_at (m, weir_seq_entity_of (m->seq, index)), item);
    return true;
}

bool
weir_movable_element (const struct weir_container *list, uint32_t index, struct weir_op_id *id)
{
    const struct weir_movable *m = (const struct weir_movable *) list;
    if (index >= weir_seq_length (m->seq)) {
        return false;
    }
    *id = weir_op_names_id (&m->names, element_at (m, weir_seq_entity_of (m->seq, index)));
    return true;
}

static json_t *
movable_json (const struct weir_container *self)
{
    (void) self;
    return json_array ();
}

static bool
movable_next (const struct weir_container *self, size_t *i, struct weir_item *item)
{
    const struct weir_movable *m = (const struct weir_movable *) self;
    struct weir_seq_span span = { .count = 0 };
    while (*i <= UINT32_MAX && weir_seq_span (m->seq, (uint32_t) *i, &span)) {
        if (!span.hidden) {
            *i += 1;
            element_item (m, m->slots[span.content], item);
            return true;
        }
        *i += span.count;
    }
    return false;
}

static bool
index_parse (struct weir_bytes part, uint32_t *index)
{
    uint64_t number = 0;
    if (part.len == 0 || part.len > 10 || (part.data[0] == '0' && part.len > 1)) {
        return false;
    }
    for (size_t i = 0; i < part.len; i++) {
        if (part.data[i] < '0' || part.data[i] > '9') {
            return false;
        }
        number = 10 * number + (uint64_t) (part.data[i] - '0');
    }
    *index = (uint32_t) number;
    return number < UINT32_MAX;
}

static bool
movable_find (const struct weir_container *self, struct weir_bytes part, struct weir_item *item)
{
    uint32_t index = 0;
    if (!index_parse (part, &index) || !weir_movable_item (self, index, item)) {
        return false;
    }
    item->key = part;
    return true;
}

/* Only who wrote last is kept. */
static size_t
movable_concurrent (const struct weir_container *self, struct weir_bytes part,
                    struct weir_concurrent *values, size_t max)
{
    const struct weir_movable *m = (const struct weir_movable *) self;
    uint32_t index = 0;
    if (max == 0 || !index_parse (part, &index) || index >= weir_seq_length (m->seq)) {
        return 0;
    }
    uint32_t element = element_at (m, weir_seq_entity_of (m->seq, index));
    const struct weir_movable_element *e = &m->elements[element];
    values[0] = (struct weir_concurrent){ .stamp = weir_movable_stamp (m, &e->valued),
                                          .value = weir_movable_value (e) };
    return 1;
}

static bool
movable_is_empty (const struct weir_container *self)
{
    return ((const struct weir_movable *) self)->names.count == 0;
}

static void
movable_init (struct weir_container *self)
{
    static const struct weir_seq_owner listener = { .inserted = inserted, .removed = removed };
    struct weir_movable *m = (struct weir_movable *) self;
    m->seq = weir_seq_new (self, &listener, false);
    (void) weir_movable_slot_add (m, WEIR_MOVABLE_NONE);
}

static void
movable_fini (struct weir_container *self)
{
    struct weir_movable *m = (struct weir_movable *) self;
    for (size_t i = 0; i < m->names.count; i++) {
        if (m->elements[i].value.len > sizeof m->elements[i].value.bytes.few) {
            free (m->elements[i].value.bytes.many);
        }
    }
    weir_seq_destroy (&m->seq);
    weir_op_names_fini (&m->names);
    free (m->elements);
    free (m->slots);
    free (m->splices);
}

const struct weir_container_type weir_container_movable = {
    .number = WEIR_CONTAINER_MOVABLE,
    .name = "movable",
    .size = sizeof (struct weir_movable),
    .init = movable_init,
    .fini = movable_fini,
    .decode = weir_movable_decode,
    .encode = weir_movable_encode,
    .prepare = weir_container_seq_prepare,
    .validate = weir_movable_validate,
    .apply = movable_apply,
    .join = weir_movable_join,
    .record = movable_record,
    .seal = movable_seal,
    .cool = movable_cool,
    .describe = weir_movable_describe,
    .json = movable_json,
    .next = movable_next,
    .find = movable_find,
    .concurrent = movable_concurrent,
    .is_empty = movable_is_empty,
    .save = weir_movable_save,
    .load = weir_movable_load,
};
