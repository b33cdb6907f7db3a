/* Owns the bytes of a movable list in states:
 *
 *     entities varint | entity ... in order | others varint | element ... by id
 *     entity:  (k << 1 | is where its element was placed last) varint; k 0: an element follows,
 *              else it is the k-th that came
 *     element: flags u8 | id | value, place as the flags say
 *
 * A register that the insertion wrote has its stamp, which is the id then; one that was written
 * later has its own. Others are elements without a slot in the sequence. */

#include "store/crdt/movable.h"

#include <stdlib.h>
#include <string.h>

#define CREATED 1u
#define VALUE_OWN 2u
#define VALUE_OTHER 4u
#define PLACE_OWN 8u
#define PLACE_OTHER 16u
#define FLAGS_ALL 31u

static bool
is_own (const struct weir_movable *m, uint32_t element, const struct weir_movable_when *when)
{
    const struct weir_op_name *name = &m->names.names[element];
    return when->is_set && when->offset == name->offset
           && weir_id_equal (&m->names.entries[when->entry], &m->names.entries[name->entry]);
}

static uint8_t
flags_of (const struct weir_movable *m, uint32_t element)
{
    const struct weir_movable_element *e = &m->elements[element];
    unsigned flags = e->is_created ? CREATED : 0;
    if (e->valued.is_set) {
        flags |= is_own (m, element, &e->valued) ? VALUE_OWN : VALUE_OTHER;
    }
    if (e->placed.is_set) {
        flags |= is_own (m, element, &e->placed) ? PLACE_OWN : PLACE_OTHER;
    }
    return (uint8_t) flags;
}

/* ---- saving ---- */

static void
element_save (const struct weir_movable *m, uint32_t element, struct weir_save *save)
{
    const struct weir_movable_element *e = &m->elements[element];
    uint8_t flags = flags_of (m, element);
    struct weir_stamp valued = weir_movable_stamp (m, &e->valued);
    struct weir_stamp placed = weir_movable_stamp (m, &e->placed);
    if (save->out != NULL) {
        weir_buf_put_u8 (save->out, flags);
    }
    if ((flags & (VALUE_OWN | PLACE_OWN)) != 0) {
        weir_save_stamp (save, (flags & VALUE_OWN) != 0 ? &valued : &placed);
    } else if (save->out != NULL) {
        struct weir_op_id id = weir_op_names_id (&m->names, element);
        weir_buf_put (save->out, id.entry.b, WEIR_ID_BYTES);
        weir_buf_put_varint (save->out, id.offset);
    }
    if ((flags & VALUE_OTHER) != 0) {
        weir_save_stamp (save, &valued);
    }
    if ((flags & (VALUE_OWN | VALUE_OTHER)) != 0 && save->out != NULL) {
        struct weir_value value = weir_movable_value (e);
        weir_value_put (save->out, &value);
    }
    if ((flags & PLACE_OTHER) != 0) {
        weir_save_stamp (save, &placed);
    }
}

static void
entities_save (const struct weir_movable *m, uint32_t *numbers, uint32_t *numbered,
               struct weir_save *save)
{
    struct weir_seq_span span = { .count = 0 };
    for (uint32_t at = 0; weir_seq_span (m->seq, at, &span); at += span.count) {
        for (uint32_t i = 0; i < span.count; i++) {
            uint32_t slot = span.content + i;
            uint32_t element = m->slots[slot];
            bool is_last = m->elements[element].slot == slot;
            if (save->out != NULL) {
                weir_buf_put_varint (save->out, (uint64_t) numbers[element] << 1 | is_last);
            }
            if (numbers[element] == 0) {
                numbers[element] = ++*numbered;
                element_save (m, element, save);
            }
        }
    }
}

struct other {
    struct weir_op_id id;
    uint32_t element;
};

static int
others_compare (const void *a, const void *b)
{
    return weir_op_id_compare (&((const struct other *) a)->id, &((const struct other *) b)->id);
}

void
weir_movable_save (struct weir_container *self, struct weir_save *save)
{
    const struct weir_movable *m = (const struct weir_movable *) self;
    size_t count = m->names.count;
    uint32_t *numbers = weir_alloc ((count + 1) * sizeof *numbers);
    uint32_t numbered = 0;
    if (save->out != NULL) {
        weir_buf_put_varint (save->out, weir_seq_entities (m->seq));
    }
    entities_save (m, numbers, &numbered, save);
    struct other *others = weir_alloc ((count - numbered + 1) * sizeof *others);
    size_t n = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (numbers[i] == 0) {
            others[n++] = (struct other){ weir_op_names_id (&m->names, i), i };
        }
    }
    qsort (others, n, sizeof *others, others_compare);
    if (save->out != NULL) {
        weir_buf_put_varint (save->out, n);
    }
    for (size_t i = 0; i < n; i++) {
        element_save (m, others[i].element, save);
    }
    free (others);
    free (numbers);
}

/* ---- loading ---- */

static bool
value_load (struct weir_movable *m, struct weir_movable_element *e, struct weir_load *load)
{
    struct weir_value value;
    if (weir_value_read_kept (&load->r, &value) != WEIR_OK || load->r.bad
        || value.type == WEIR_VALUE_DELETED || value.type == WEIR_VALUE_CONTAINER
        || (value.type == WEIR_VALUE_UNIQUE && weir_container_type (value.container) == NULL)) {
        return false;
    }
    weir_movable_keep (m, e, &value);
    return true;
}

/* Reads an element that is new. */
static bool
element_load (struct weir_movable *m, struct weir_load *load, uint32_t *element)
{
    uint8_t flags = weir_read_u8 (&load->r);
    struct weir_stamp stamp = { .entry = NULL };
    struct weir_op_id id = { .offset = 0 };
    bool is_owned = (flags & (VALUE_OWN | PLACE_OWN)) != 0;
    if (load->r.bad || flags > FLAGS_ALL) {
        return false;
    }
    if (is_owned) {
        if (weir_load_stamp (load, &stamp) != WEIR_OK) {
            return false;
        }
        id = (struct weir_op_id){ *stamp.entry, stamp.offset };
    } else {
        struct weir_bytes entry = weir_read_bytes (&load->r, WEIR_ID_BYTES);
        uint64_t offset = weir_read_varint (&load->r);
        if (load->r.bad || offset >= WEIR_ENTRY_OPS_MAX) {
            return false;
        }
        memcpy (id.entry.b, entry.data, WEIR_ID_BYTES);
        id.offset = (uint32_t) offset;
    }
    if (weir_id_is_zero (&id.entry)
        || weir_op_names_find (&m->names, &id.entry, id.offset) != WEIR_OP_NAME_NONE) {
        return false;
    }
    *element = weir_movable_element_of (m, &id.entry, id.offset);
    struct weir_movable_element *e = &m->elements[*element];
    struct weir_movable_when own = { .is_set = false };
    if (is_owned) {
        own = weir_movable_when (m, &stamp);
    }
    e->is_created = (flags & CREATED) != 0;
    e->valued = (flags & VALUE_OWN) != 0 ? own : e->valued;
    e->placed = (flags & PLACE_OWN) != 0 ? own : e->placed;
    if ((flags & VALUE_OTHER) != 0) {
        if (weir_load_stamp (load, &stamp) != WEIR_OK || weir_id_is_zero (stamp.entry)) {
            return false;
        }
        e->valued = weir_movable_when (m, &stamp);
    }
    if (e->valued.is_set && !value_load (m, e, load)) {
        return false;
    }
    if ((flags & PLACE_OTHER) != 0) {
        if (weir_load_stamp (load, &stamp) != WEIR_OK || weir_id_is_zero (stamp.entry)) {
            return false;
        }
        e->placed = weir_movable_when (m, &stamp);
    }
    /* An insertion writes both registers. */
    return e->valued.is_set == e->placed.is_set || !e->is_created;
}

static bool
entities_load (struct weir_movable *m, struct weir_load *load)
{
    uint64_t count = weir_read_varint (&load->r);
    uint32_t begun = (uint32_t) m->n_slots; /* of the stretch that is read, the first slot */
    bool was_hidden = false;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t head = weir_read_varint (&load->r);
        uint32_t element = (uint32_t) (head >> 1) - 1;
        if (load->r.bad || head >> 1 > m->names.count
            || (head >> 1 == 0 && !element_load (m, load, &element))) {
            return false;
        }
        struct weir_movable_element *e = &m->elements[element];
        bool is_last = (head & 1u) != 0;
        bool hidden = !is_last || !e->is_created;
        uint32_t slot = weir_movable_slot_add (m, element);
        if (is_last) {
            if (!e->placed.is_set || e->slot != WEIR_MOVABLE_NONE) {
                return false;
            }
            e->slot = slot;
        }
        if (hidden != was_hidden && slot > begun) {
            weir_seq_load (m->seq, slot - begun, begun, was_hidden);
            begun = slot;
        }
        was_hidden = hidden;
    }
    if (m->n_slots > begun) {
        weir_seq_load (m->seq, (uint32_t) m->n_slots - begun, begun, was_hidden);
    }
    return true;
}

enum weir_status
weir_movable_load (struct weir_container *self, struct weir_load *load)
{
    struct weir_movable *m = (struct weir_movable *) self;
    size_t start = load->r.pos;
    struct weir_id entry = load->entry;
    if (!entities_load (m, load)) {
        return WEIR_BAD_PAYLOAD;
    }
    uint64_t count = weir_read_varint (&load->r);
    for (uint64_t i = 0; i < count; i++) {
        uint32_t element;
        if (!element_load (m, load, &element)) {
            return WEIR_BAD_PAYLOAD;
        }
    }
    weir_movable_count_bytes (m);
    return !load->r.bad && weir_load_is_canonical (self, load, start, &entry) ? WEIR_OK
                                                                              : WEIR_BAD_PAYLOAD;
}
