/* Owns the table from op ids to local numbers that trees and movable lists keep, and the text
 * form of an op id. Open addressing with SipHash, since ids come from peers. */

#include "store/crdt/op_names.h"

#include "store/base/map.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS_MIN 16u

void
weir_op_names_fini (struct weir_op_names *self)
{
    free (self->entries);
    free (self->names);
    free (self->slots);
    *self = (struct weir_op_names){ 0 };
}

size_t
weir_op_names_bytes (const struct weir_op_names *self)
{
    return self->entries_cap * sizeof *self->entries + self->names_cap * sizeof *self->names
           + self->slots_cap * sizeof *self->slots;
}

uint32_t
weir_op_names_entry (struct weir_op_names *self, const struct weir_id *entry)
{
    if (self->n_entries > 0 && weir_id_equal (&self->entries[self->n_entries - 1], entry)) {
        return (uint32_t) (self->n_entries - 1);
    }
    if (weir_id_is_zero (entry)) {
        if (self->open != 0) {
            return self->open - 1;
        }
        self->open = (uint32_t) self->n_entries + 1;
    }
    weir_grow (&self->entries, &self->entries_cap, self->n_entries + 1, sizeof *self->entries);
    self->entries[self->n_entries++] = *entry;
    return (uint32_t) (self->n_entries - 1);
}

static uint64_t
hash_of (const struct weir_id *entry, uint32_t offset)
{
    uint8_t key[WEIR_ID_BYTES + 4];
    memcpy (key, entry->b, WEIR_ID_BYTES);
    weir_store_u32 (key + WEIR_ID_BYTES, offset);
    return weir_hash64 (weir_bytes (key, sizeof key));
}

static uint64_t
hash_of_number (const struct weir_op_names *self, uint32_t number)
{
    const struct weir_op_name *name = &self->names[number];
    return hash_of (&self->entries[name->entry], name->offset);
}

static void
slots_put (struct weir_op_names *self, uint32_t number)
{
    size_t at = hash_of_number (self, number) & (self->slots_cap - 1);
    while (self->slots[at] != 0) {
        at = (at + 1) & (self->slots_cap - 1);
    }
    self->slots[at] = number + 1;
}

/* Closes the gap by moving back what was pushed on by it. */
static void
slots_remove (struct weir_op_names *self, uint32_t number)
{
    size_t mask = self->slots_cap - 1;
    size_t at = hash_of_number (self, number) & mask;
    while (self->slots[at] != number + 1) {
        at = (at + 1) & mask;
    }
    for (size_t next = (at + 1) & mask; self->slots[next] != 0; next = (next + 1) & mask) {
        size_t home = hash_of_number (self, self->slots[next] - 1) & mask;
        if (((next - home) & mask) >= ((next - at) & mask)) {
            self->slots[at] = self->slots[next];
            at = next;
        }
    }
    self->slots[at] = 0;
}

static void
slots_grow (struct weir_op_names *self)
{
    free (self->slots);
    self->slots_cap = self->slots_cap == 0 ? SLOTS_MIN : 2 * self->slots_cap;
    self->slots = weir_alloc (self->slots_cap * sizeof *self->slots);
    for (uint32_t i = 0; i < self->count; i++) {
        slots_put (self, i);
    }
}

uint32_t
weir_op_names_find (const struct weir_op_names *self, const struct weir_id *entry, uint32_t offset)
{
    if (self->count == 0) {
        return WEIR_OP_NAME_NONE;
    }
    size_t mask = self->slots_cap - 1;
    for (size_t at = hash_of (entry, offset) & mask; self->slots[at] != 0; at = (at + 1) & mask) {
        const struct weir_op_name *name = &self->names[self->slots[at] - 1];
        if (name->offset == offset && weir_id_equal (&self->entries[name->entry], entry)) {
            return self->slots[at] - 1;
        }
    }
    return WEIR_OP_NAME_NONE;
}

uint32_t
weir_op_names_add (struct weir_op_names *self, const struct weir_id *entry, uint32_t offset)
{
    if (4 * (self->count + 1) > 3 * self->slots_cap) {
        slots_grow (self);
    }
    uint32_t number = (uint32_t) self->count;
    weir_grow (&self->names, &self->names_cap, self->count + 1, sizeof *self->names);
    self->names[self->count++] =
        (struct weir_op_name){ .entry = weir_op_names_entry (self, entry), .offset = offset };
    slots_put (self, number);
    return number;
}

struct weir_op_id
weir_op_names_id (const struct weir_op_names *self, uint32_t number)
{
    const struct weir_op_name *name = &self->names[number];
    return (struct weir_op_id){ .entry = self->entries[name->entry], .offset = name->offset };
}

bool
weir_op_names_seal (struct weir_op_names *self, const struct weir_id *entry)
{
    if (self->open == 0) {
        return false;
    }
    /* What is open came last: only the change could add. */
    uint32_t open = self->open - 1;
    size_t first = self->count;
    while (first > 0 && self->names[first - 1].entry == open) {
        slots_remove (self, (uint32_t) --first);
    }
    self->entries[open] = *entry;
    self->open = 0;
    for (size_t i = first; i < self->count; i++) {
        slots_put (self, (uint32_t) i);
    }
    return true;
}

bool
weir_load_is_canonical (struct weir_container *self, const struct weir_load *load, size_t start,
                        const struct weir_id *entry)
{
    struct weir_buf again = { 0 };
    struct weir_save save = { .out = &again, .doc = load->doc, .entry = *entry };
    /* A document that is being loaded has the chains of its state, in their order. */
    save.chains = weir_alloc ((load->n_chains + 1u) * sizeof *save.chains);
    for (uint32_t i = 0; i < load->n_chains; i++) {
        save.chains[i] = i;
    }
    self->type->save (self, &save);
    bool same = weir_bytes_equal (weir_buf_bytes (&again),
                                  weir_bytes (load->r.data + start, load->r.pos - start));
    free (save.chains);
    weir_buf_fini (&again);
    return same;
}

/* ---- text ---- */

struct weir_op_id_text
weir_op_id_text (const struct weir_op_id *id)
{
    struct weir_op_id_text text;
    snprintf (text.s, sizeof text.s, "%s@%" PRIu32, weir_id_text (&id->entry).s, id->offset);
    return text;
}

enum weir_status
weir_op_id_parse (struct weir_op_id *id, struct weir_bytes text)
{
    char entry[WEIR_ID_TEXT + 1] = { 0 };
    uint64_t offset = 0;
    size_t digits = text.len - (WEIR_ID_TEXT + 1);
    if (text.len < WEIR_ID_TEXT + 2 || digits > 10 || text.data[WEIR_ID_TEXT] != '@'
        || (text.data[WEIR_ID_TEXT + 1] == '0' && digits > 1)) {
        return WEIR_INVALID_ARGUMENT;
    }
    for (size_t i = WEIR_ID_TEXT + 1; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return WEIR_INVALID_ARGUMENT;
        }
        offset = 10 * offset + (uint64_t) (text.data[i] - '0');
    }
    memcpy (entry, text.data, WEIR_ID_TEXT);
    if (offset > UINT32_MAX || weir_id_parse (&id->entry, entry) != WEIR_OK) {
        return WEIR_INVALID_ARGUMENT;
    }
    id->offset = (uint32_t) offset;
    return WEIR_OK;
}
