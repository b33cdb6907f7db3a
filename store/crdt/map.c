/* Owns the map container: a register a key, whose winner is the write with the greatest order
 * key; a delete is a write. Beside the winner a register keeps losers: of every other chain that
 * wrote the key only the greatest write, and of those the greatest WEIR_LOSERS_MAX. As those
 * maxima only ever grow, what is kept is a function of the set of writes, not of their order.
 *
 * A register is one block of memory: head, key, value. Small maps are searched through, larger
 * ones through a table of (hash, index). Nothing is ever taken out of a map. */

#include "store/crdt/container.h"

#include "store/base/map.h"

#include <stdlib.h>
#include <string.h>

#define LINEAR_MAX 8u
#define BLOCK_ROUND 16u
#define MALLOC_BYTES 16u /* what an allocation costs beside its bytes, about */

/* A register that was never written: children hang there. */
#define UNWRITTEN 0xffu

struct loser {
    struct weir_id entry;
    uint64_t lamport;
    uint32_t chain;
    uint32_t value_len;
    uint8_t *value; /* owned */
    uint8_t type;
    uint8_t container;
};

struct extra {
    struct weir_container *children; /* by type, ascending */
    struct loser *losers;            /* by order key, descending */
    uint32_t n_losers;
    uint32_t losers_cap;
};

struct cell {
    struct extra *extra; /* NULL: neither children nor losers */
    struct weir_id entry;
    uint64_t lamport;
    uint32_t chain;
    uint32_t value_len;
    uint32_t room; /* bytes behind the head */
    uint16_t key_len;
    uint8_t type;
    uint8_t container;
    uint8_t bytes[]; /* key, then value: 8 bytes of a number, the bytes of text and bytes */
};

struct slot {
    uint32_t hash;
    uint32_t place; /* index + 1; 0: free */
};

struct map {
    struct weir_container head;
    struct cell **cells; /* in order of arrival */
    struct slot *slots;  /* NULL up to LINEAR_MAX */
    uint32_t count;
    uint32_t cells_cap;
    uint32_t slots_cap; /* a power of 2 */
};

/* ---- values in registers ---- */

static struct weir_bytes
value_pack (const struct weir_value *v, uint8_t number[8])
{
    if (v->type == WEIR_VALUE_INT || v->type == WEIR_VALUE_DOUBLE) {
        memcpy (number, &v->number, 8);
        return weir_bytes (number, 8);
    }
    bool has_bytes =
        v->type == WEIR_VALUE_TEXT || v->type == WEIR_VALUE_BYTES || v->type == WEIR_VALUE_UNIQUE;
    return has_bytes ? v->bytes : weir_bytes (NULL, 0);
}

static struct weir_value
value_unpack (uint8_t type, uint8_t container, const uint8_t *bytes, size_t len)
{
    struct weir_value v = { .type = type, .container = container };
    if (type == WEIR_VALUE_INT || type == WEIR_VALUE_DOUBLE) {
        memcpy (&v.number, bytes, 8);
    } else {
        v.bytes = weir_bytes (bytes, len);
    }
    return v;
}

static struct weir_value
cell_value (const struct cell *c)
{
    return value_unpack (c->type, c->container, c->bytes + c->key_len, c->value_len);
}

static struct weir_stamp
cell_stamp (const struct cell *c)
{
    return (struct weir_stamp){ .lamport = c->lamport, .entry = &c->entry, .chain = c->chain };
}

static struct weir_value
loser_value (const struct loser *l)
{
    return value_unpack (l->type, l->container, l->value, l->value_len);
}

static struct weir_stamp
loser_stamp (const struct loser *l)
{
    return (struct weir_stamp){ .lamport = l->lamport, .entry = &l->entry, .chain = l->chain };
}

/* ---- the table ---- */

static void
slots_put (struct slot *slots, uint32_t cap, uint32_t hash, uint32_t index)
{
    uint32_t at = hash & (cap - 1);
    while (slots[at].place != 0) {
        at = (at + 1) & (cap - 1);
    }
    slots[at] = (struct slot){ .hash = hash, .place = index + 1 };
}

static void
slots_grow (struct map *m)
{
    uint32_t cap = m->slots == NULL ? 4 * LINEAR_MAX : 2 * m->slots_cap;
    struct slot *slots = weir_alloc ((size_t) cap * sizeof *slots);
    for (uint32_t i = 0; m->slots == NULL && i < m->count; i++) {
        const struct cell *c = m->cells[i];
        slots_put (slots, cap, (uint32_t) weir_hash64 (weir_bytes (c->bytes, c->key_len)), i);
    }
    for (uint32_t i = 0; i < m->slots_cap; i++) {
        if (m->slots[i].place != 0) {
            slots_put (slots, cap, m->slots[i].hash, m->slots[i].place - 1);
        }
    }
    weir_doc_count_bytes (m->head.doc, (ptrdiff_t) ((cap - m->slots_cap) * sizeof *slots));
    free (m->slots);
    m->slots = slots;
    m->slots_cap = cap;
}

static bool
cell_has_key (const struct cell *c, struct weir_bytes key)
{
    return c->key_len == key.len && (key.len == 0 || memcmp (c->bytes, key.data, key.len) == 0);
}

/* The index of the key, or UINT32_MAX; *hash is written when the map has a table. */
static uint32_t
cell_find (const struct map *m, struct weir_bytes key, uint32_t *hash)
{
    if (m->slots == NULL) {
        for (uint32_t i = 0; i < m->count; i++) {
            if (cell_has_key (m->cells[i], key)) {
                return i;
            }
        }
        return UINT32_MAX;
    }
    *hash = (uint32_t) weir_hash64 (key);
    uint32_t at = *hash & (m->slots_cap - 1);
    while (m->slots[at].place != 0) {
        uint32_t index = m->slots[at].place - 1;
        if (m->slots[at].hash == *hash && cell_has_key (m->cells[index], key)) {
            return index;
        }
        at = (at + 1) & (m->slots_cap - 1);
    }
    return UINT32_MAX;
}

static size_t
room_for (size_t key_len, size_t value_len)
{
    size_t whole = sizeof (struct cell) + key_len + value_len;
    return (whole + BLOCK_ROUND - 1) / BLOCK_ROUND * BLOCK_ROUND - sizeof (struct cell);
}

static void
cell_add (struct map *m, struct weir_bytes key, uint32_t hash, size_t value_len)
{
    if (m->count == m->cells_cap) {
        uint32_t cap = m->cells_cap == 0 ? 4 : 2 * m->cells_cap;
        m->cells = weir_realloc (m->cells, cap * sizeof *m->cells);
        weir_doc_count_bytes (m->head.doc, (ptrdiff_t) ((cap - m->cells_cap) * sizeof *m->cells));
        m->cells_cap = cap;
    }
    if (m->slots == NULL && m->count == LINEAR_MAX) {
        slots_grow (m);
        hash = (uint32_t) weir_hash64 (key);
    } else if (m->slots != NULL && m->count >= m->slots_cap / 4 * 3) {
        slots_grow (m);
    }
    size_t room = room_for (key.len, value_len);
    struct cell *c = weir_realloc (NULL, sizeof *c + room);
    memset (c, 0, sizeof *c);
    c->room = (uint32_t) room;
    c->key_len = (uint16_t) key.len;
    c->type = UNWRITTEN;
    if (key.len > 0) {
        memcpy (c->bytes, key.data, key.len);
    }
    weir_doc_count_bytes (m->head.doc, (ptrdiff_t) (sizeof *c + room + MALLOC_BYTES));
    if (m->slots != NULL) {
        slots_put (m->slots, m->slots_cap, hash, m->count);
    }
    m->cells[m->count++] = c;
}

/* Finds the key's register, or adds an unwritten one with room for a value. */
static uint32_t
cell_make (struct map *m, struct weir_bytes key, size_t value_len)
{
    uint32_t hash = 0;
    uint32_t index = cell_find (m, key, &hash);
    if (index == UINT32_MAX) {
        cell_add (m, key, hash, value_len);
        index = m->count - 1;
    }
    return index;
}

static struct extra *
cell_extra (struct map *m, struct cell *c)
{
    if (c->extra == NULL) {
        c->extra = weir_alloc (sizeof *c->extra);
        weir_doc_count_bytes (m->head.doc, (ptrdiff_t) (sizeof *c->extra + MALLOC_BYTES));
    }
    return c->extra;
}

/* ---- writes ---- */

static void
loser_remove (struct map *m, struct extra *x, uint32_t at)
{
    weir_doc_count_bytes (m->head.doc, -(ptrdiff_t) (x->losers[at].value_len + MALLOC_BYTES));
    free (x->losers[at].value);
    x->n_losers--;
    memmove (&x->losers[at], &x->losers[at + 1], (x->n_losers - at) * sizeof *x->losers);
}

static void
loser_insert (struct map *m, struct cell *c, const struct weir_stamp *stamp,
              const struct weir_value *value)
{
    struct extra *x = cell_extra (m, c);
    uint8_t number[8];
    struct weir_bytes bytes = value_pack (value, number);
    uint32_t at = 0;
    for (; at < x->n_losers; at++) {
        struct weir_stamp other = loser_stamp (&x->losers[at]);
        if (weir_doc_compare_stamps (m->head.doc, stamp, &other) > 0) {
            break;
        }
    }
    if (at == WEIR_LOSERS_MAX) {
        return;
    }
    if (x->n_losers == x->losers_cap) {
        uint32_t cap = x->losers_cap == 0 ? 1 : 2 * x->losers_cap;
        x->losers = weir_realloc (x->losers, cap * sizeof *x->losers);
        weir_doc_count_bytes (m->head.doc, (ptrdiff_t) ((cap - x->losers_cap) * sizeof *x->losers));
        x->losers_cap = cap;
    }
    memmove (&x->losers[at + 1], &x->losers[at], (x->n_losers - at) * sizeof *x->losers);
    x->n_losers++;
    struct loser *l = &x->losers[at];
    *l = (struct loser){
        .entry = *stamp->entry,
        .lamport = stamp->lamport,
        .chain = stamp->chain,
        .value_len = (uint32_t) bytes.len,
        .value = weir_realloc (NULL, bytes.len + 1),
        .type = value->type,
        .container = value->container,
    };
    if (bytes.len > 0) {
        memcpy (l->value, bytes.data, bytes.len);
    }
    weir_doc_count_bytes (m->head.doc, (ptrdiff_t) (bytes.len + MALLOC_BYTES));
    if (x->n_losers > WEIR_LOSERS_MAX) {
        loser_remove (m, x, WEIR_LOSERS_MAX);
    }
}

/* Drops what the chain's new write supersedes. False: there is a later one, ignore the new. */
static bool
losers_make_way (struct map *m, struct extra *x, const struct weir_stamp *stamp)
{
    for (uint32_t i = 0; x != NULL && i < x->n_losers; i++) {
        if (x->losers[i].chain == stamp->chain) {
            struct weir_stamp other = loser_stamp (&x->losers[i]);
            if (weir_doc_compare_stamps (m->head.doc, stamp, &other) <= 0) {
                return false;
            }
            loser_remove (m, x, i);
            return true;
        }
    }
    return true;
}

static void
winner_store (struct map *m, uint32_t index, const struct weir_stamp *stamp,
              const struct weir_value *value)
{
    struct cell *c = m->cells[index];
    uint8_t number[8];
    struct weir_bytes bytes = value_pack (value, number);
    size_t room = room_for (c->key_len, bytes.len);
    if (room > c->room || room + BLOCK_ROUND * 16 < c->room) {
        weir_doc_count_bytes (m->head.doc, (ptrdiff_t) room - (ptrdiff_t) c->room);
        c = weir_realloc (c, sizeof *c + room);
        c->room = (uint32_t) room;
        m->cells[index] = c;
    }
    c->lamport = stamp->lamport;
    c->entry = *stamp->entry;
    c->chain = stamp->chain;
    c->type = value->type;
    c->container = value->container;
    c->value_len = (uint32_t) bytes.len;
    if (bytes.len > 0) {
        memcpy (c->bytes + c->key_len, bytes.data, bytes.len);
    }
}

/* Whether what is visible may have changed. */
static bool
cell_write (struct map *m, uint32_t index, const struct weir_stamp *stamp,
            const struct weir_value *value)
{
    struct cell *c = m->cells[index];
    if (c->type == UNWRITTEN) {
        winner_store (m, index, stamp, value);
        return true;
    }
    struct weir_stamp old = cell_stamp (c);
    int order = weir_doc_compare_stamps (m->head.doc, stamp, &old);
    if (order == 0 || (order < 0 && old.chain == stamp->chain)
        || !losers_make_way (m, c->extra, stamp)) {
        return false;
    }
    if (order < 0) {
        loser_insert (m, c, stamp, value);
        return false;
    }
    if (old.chain != stamp->chain) {
        struct weir_value old_value = cell_value (c);
        loser_insert (m, c, &old, &old_value);
    }
    winner_store (m, index, stamp, value);
    return true;
}

/* ---- the vtable ---- */

static void
map_fini (struct weir_container *self)
{
    struct map *m = (struct map *) self;
    for (uint32_t i = 0; i < m->count; i++) {
        struct extra *x = m->cells[i]->extra;
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
op_value (struct map *m, const struct weir_op *op, const struct weir_stamp *stamp)
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
    struct map *m = (struct map *) self;
    uint8_t number[8];
    struct weir_value value = op_value (m, op, stamp);
    uint32_t index = cell_make (m, op->key, value_pack (&value, number).len);
    if (cell_write (m, index, stamp, &value) && weir_doc_is_heard (self->doc)) {
        struct weir_notice notice = { .kind = WEIR_NOTICE_KEY, .container = self, .key = op->key };
        weir_doc_notify (self->doc, &notice);
    }
}

/* What the open change wrote last won, and stands alone with a zero entry. */
static void
map_seal (struct weir_container *self, const struct weir_op *op, const struct weir_stamp *stamp)
{
    struct map *m = (struct map *) self;
    struct weir_container *child = NULL;
    uint32_t hash = 0;
    if (op->value.type == WEIR_VALUE_UNIQUE) {
        child =
            weir_doc_unique_sealed (self->doc, stamp->offset, op->value.container, stamp->entry);
    }
    uint32_t index = cell_find (m, op->key, &hash);
    weir_assert (index != UINT32_MAX);
    struct cell *c = m->cells[index];
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
cell_item (const struct map *m, const struct cell *c, struct weir_item *item)
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
    if (c->type == UNWRITTEN || c->type == WEIR_VALUE_DELETED) {
        return false;
    }
    item->value = cell_value (c);
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
    const struct map *m = (const struct map *) self;
    while (*i < m->count) {
        const struct cell *c = m->cells[(*i)++];
        if (cell_item (m, c, item)) {
            return true;
        }
    }
    return false;
}

static bool
map_find (const struct weir_container *self, struct weir_bytes part, struct weir_item *item)
{
    const struct map *m = (const struct map *) self;
    uint32_t hash = 0;
    uint32_t index = cell_find (m, part, &hash);
    return index != UINT32_MAX && cell_item (m, m->cells[index], item);
}

static size_t
map_concurrent (const struct weir_container *self, struct weir_bytes part,
                struct weir_concurrent *values, size_t max)
{
    const struct map *m = (const struct map *) self;
    uint32_t hash = 0;
    uint32_t index = cell_find (m, part, &hash);
    if (index == UINT32_MAX || m->cells[index]->type == UNWRITTEN || max == 0) {
        return 0;
    }
    const struct cell *c = m->cells[index];
    size_t n = 0;
    values[n++] = (struct weir_concurrent){ .stamp = cell_stamp (c), .value = cell_value (c) };
    for (uint32_t k = 0; c->extra != NULL && k < c->extra->n_losers && n < max; k++) {
        const struct loser *l = &c->extra->losers[k];
        values[n++] =
            (struct weir_concurrent){ .stamp = loser_stamp (l), .value = loser_value (l) };
    }
    return n;
}

static struct weir_container **
map_children (struct weir_container *self, struct weir_bytes key, bool make)
{
    struct map *m = (struct map *) self;
    uint32_t hash = 0;
    uint32_t index = make ? cell_make (m, key, 0) : cell_find (m, key, &hash);
    if (index == UINT32_MAX) {
        return NULL;
    }
    struct cell *c = m->cells[index];
    if (make) {
        return &cell_extra (m, c)->children;
    }
    return c->extra != NULL ? &c->extra->children : NULL;
}

static struct weir_container *
map_next_children (const struct weir_container *self, size_t *i)
{
    const struct map *m = (const struct map *) self;
    while (*i < m->count) {
        const struct cell *c = m->cells[(*i)++];
        if (c->extra != NULL && c->extra->children != NULL) {
            return c->extra->children;
        }
    }
    return NULL;
}

static bool
map_is_empty (const struct weir_container *self)
{
    const struct map *m = (const struct map *) self;
    uint32_t i = 0;
    while (i < m->count && m->cells[i]->type == UNWRITTEN) {
        i++;
    }
    return i == m->count;
}

/* ---- state: varint count | per written register, by key: key blob | write | losers varint |
 * write ... ---- */

static int
cells_by_key (const void *a, const void *b)
{
    const struct cell *x = *(struct cell *const *) a;
    const struct cell *y = *(struct cell *const *) b;
    return weir_bytes_compare (weir_bytes (x->bytes, x->key_len),
                               weir_bytes (y->bytes, y->key_len));
}

static void
cell_save (const struct cell *c, struct weir_save *save)
{
    struct weir_stamp stamp = cell_stamp (c);
    struct weir_value value = cell_value (c);
    uint32_t n_losers = c->extra != NULL ? c->extra->n_losers : 0;
    if (save->out != NULL) {
        weir_buf_put_blob (save->out, weir_bytes (c->bytes, c->key_len));
    }
    weir_save_write (save, &stamp, &value);
    if (save->out != NULL) {
        weir_buf_put_varint (save->out, n_losers);
    }
    for (uint32_t k = 0; k < n_losers; k++) {
        stamp = loser_stamp (&c->extra->losers[k]);
        value = loser_value (&c->extra->losers[k]);
        weir_save_write (save, &stamp, &value);
    }
}

static void
map_save (struct weir_container *self, struct weir_save *save)
{
    struct map *m = (struct map *) self;
    struct cell **sorted = weir_alloc ((m->count + 1) * sizeof *sorted);
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->count; i++) {
        if (m->cells[i]->type != UNWRITTEN) {
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
losers_load (struct map *m, struct cell *c, struct weir_load *load)
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
        loser_insert (m, c, &stamp, &value);
        before = *stamp.entry;
        last.lamport = stamp.lamport;
        last.chain = stamp.chain;
    }
    return WEIR_OK;
}

static enum weir_status
map_load (struct weir_container *self, struct weir_load *load)
{
    struct map *m = (struct map *) self;
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
        uint32_t index = cell_make (m, key, value_pack (&value, number).len);
        winner_store (m, index, &stamp, &value);
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
    .size = sizeof (struct map),
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
