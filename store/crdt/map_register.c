/* Owns the registers of maps: a key's winner is the write with the greatest order key; a delete is
 * a write. Beside the winner a register keeps losers: of every other chain that wrote the key only
 * the greatest write, and of those the greatest WEIR_LOSERS_MAX. As those maxima only ever grow,
 * what is kept is a function of the set of writes, not of their order.
 *
 * Small maps are searched through, larger ones through a table of (hash, index). */

#include "store/crdt/map_register.h"

#include "store/base/map.h"

#include <stdlib.h>
#include <string.h>

#define LINEAR_MAX 8u
#define BLOCK_ROUND 16u
#define MALLOC_BYTES 16u /* what an allocation costs beside its bytes, about */

/* ---- values in registers ---- */

struct weir_bytes
weir_register_pack (const struct weir_value *v, uint8_t number[8])
{
    if (v->type == WEIR_VALUE_INT || v->type == WEIR_VALUE_DOUBLE) {
        memcpy (number, &v->number, 8);
        return weir_bytes (number, 8);
    }
    bool has_bytes = v->type == WEIR_VALUE_TEXT || v->type == WEIR_VALUE_BYTES
                     || v->type == WEIR_VALUE_UNIQUE || v->type == WEIR_VALUE_BLOB;
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

struct weir_value
weir_register_value (const struct weir_register *c)
{
    return value_unpack (c->type, c->container, c->bytes + c->key_len, c->value_len);
}

struct weir_stamp
weir_register_stamp (const struct weir_register *c)
{
    return (struct weir_stamp){ .lamport = c->lamport, .entry = &c->entry, .chain = c->chain };
}

struct weir_value
weir_register_loser_value (const struct weir_register_loser *l)
{
    return value_unpack (l->type, l->container, l->value, l->value_len);
}

struct weir_stamp
weir_register_loser_stamp (const struct weir_register_loser *l)
{
    return (struct weir_stamp){ .lamport = l->lamport, .entry = &l->entry, .chain = l->chain };
}

/* ---- the table ---- */

static void
slots_put (struct weir_register_slot *slots, uint32_t cap, uint32_t hash, uint32_t index)
{
    uint32_t at = hash & (cap - 1);
    while (slots[at].place != 0) {
        at = (at + 1) & (cap - 1);
    }
    slots[at] = (struct weir_register_slot){ .hash = hash, .place = index + 1 };
}

static void
slots_grow (struct weir_register_map *m)
{
    uint32_t cap = m->slots == NULL ? 4 * LINEAR_MAX : 2 * m->slots_cap;
    struct weir_register_slot *slots = weir_alloc ((size_t) cap * sizeof *slots);
    for (uint32_t i = 0; m->slots == NULL && i < m->count; i++) {
        const struct weir_register *c = m->cells[i];
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
cell_has_key (const struct weir_register *c, struct weir_bytes key)
{
    return c->key_len == key.len && (key.len == 0 || memcmp (c->bytes, key.data, key.len) == 0);
}

uint32_t
weir_register_find (const struct weir_register_map *m, struct weir_bytes key, uint32_t *hash)
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
    size_t whole = sizeof (struct weir_register) + key_len + value_len;
    return (whole + BLOCK_ROUND - 1) / BLOCK_ROUND * BLOCK_ROUND - sizeof (struct weir_register);
}

static void
cell_add (struct weir_register_map *m, struct weir_bytes key, uint32_t hash, size_t value_len)
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
    struct weir_register *c = weir_realloc (NULL, sizeof *c + room);
    memset (c, 0, sizeof *c);
    c->room = (uint32_t) room;
    c->key_len = (uint16_t) key.len;
    c->type = WEIR_REGISTER_UNWRITTEN;
    if (key.len > 0) {
        memcpy (c->bytes, key.data, key.len);
    }
    weir_doc_count_bytes (m->head.doc, (ptrdiff_t) (sizeof *c + room + MALLOC_BYTES));
    if (m->slots != NULL) {
        slots_put (m->slots, m->slots_cap, hash, m->count);
    }
    m->cells[m->count++] = c;
}

uint32_t
weir_register_make (struct weir_register_map *m, struct weir_bytes key, size_t value_len)
{
    uint32_t hash = 0;
    uint32_t index = weir_register_find (m, key, &hash);
    if (index == UINT32_MAX) {
        cell_add (m, key, hash, value_len);
        index = m->count - 1;
    }
    return index;
}

struct weir_register_extra *
weir_register_extra (struct weir_register_map *m, struct weir_register *c)
{
    if (c->extra == NULL) {
        c->extra = weir_alloc (sizeof *c->extra);
        weir_doc_count_bytes (m->head.doc, (ptrdiff_t) (sizeof *c->extra + MALLOC_BYTES));
    }
    return c->extra;
}

/* ---- writes ---- */

static void
loser_remove (struct weir_register_map *m, struct weir_register_extra *x, uint32_t at)
{
    weir_doc_count_bytes (m->head.doc, -(ptrdiff_t) (x->losers[at].value_len + MALLOC_BYTES));
    free (x->losers[at].value);
    x->n_losers--;
    memmove (&x->losers[at], &x->losers[at + 1], (x->n_losers - at) * sizeof *x->losers);
}

void
weir_register_lose (struct weir_register_map *m, struct weir_register *c,
                    const struct weir_stamp *stamp, const struct weir_value *value)
{
    struct weir_register_extra *x = weir_register_extra (m, c);
    uint8_t number[8];
    struct weir_bytes bytes = weir_register_pack (value, number);
    uint32_t at = 0;
    for (; at < x->n_losers; at++) {
        struct weir_stamp other = weir_register_loser_stamp (&x->losers[at]);
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
    struct weir_register_loser *l = &x->losers[at];
    *l = (struct weir_register_loser){
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
losers_make_way (struct weir_register_map *m, struct weir_register_extra *x,
                 const struct weir_stamp *stamp)
{
    for (uint32_t i = 0; x != NULL && i < x->n_losers; i++) {
        if (x->losers[i].chain == stamp->chain) {
            struct weir_stamp other = weir_register_loser_stamp (&x->losers[i]);
            if (weir_doc_compare_stamps (m->head.doc, stamp, &other) <= 0) {
                return false;
            }
            loser_remove (m, x, i);
            return true;
        }
    }
    return true;
}

void
weir_register_store (struct weir_register_map *m, uint32_t index, const struct weir_stamp *stamp,
                     const struct weir_value *value)
{
    struct weir_register *c = m->cells[index];
    uint8_t number[8];
    struct weir_bytes bytes = weir_register_pack (value, number);
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

bool
weir_register_write (struct weir_register_map *m, uint32_t index, const struct weir_stamp *stamp,
                     const struct weir_value *value)
{
    struct weir_register *c = m->cells[index];
    if (c->type == WEIR_REGISTER_UNWRITTEN) {
        weir_register_store (m, index, stamp, value);
        return true;
    }
    struct weir_stamp old = weir_register_stamp (c);
    int order = weir_doc_compare_stamps (m->head.doc, stamp, &old);
    if (order == 0 || (order < 0 && old.chain == stamp->chain)
        || !losers_make_way (m, c->extra, stamp)) {
        return false;
    }
    if (order < 0) {
        weir_register_lose (m, c, stamp, value);
        return false;
    }
    if (old.chain != stamp->chain) {
        struct weir_value old_value = weir_register_value (c);
        weir_register_lose (m, c, &old, &old_value);
    }
    weir_register_store (m, index, stamp, value);
    return true;
}
