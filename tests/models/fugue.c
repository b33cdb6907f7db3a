/* Goal: the slow and obvious sequence that text and list are held against. */

#include "tests/models/fugue.h"

#include <stdlib.h>

static uint32_t
node_add (struct fugue *f)
{
    weir_grow (&f->nodes, &f->cap, f->count + 1, sizeof *f->nodes);
    f->nodes[f->count] = (struct fugue_node){ .parent = FUGUE_NONE,
                                              .first = { FUGUE_NONE, FUGUE_NONE },
                                              .next = FUGUE_NONE };
    return (uint32_t) f->count++;
}

void
fugue_init (struct fugue *f)
{
    *f = (struct fugue){ 0 };
    (void) node_add (f);
}

void
fugue_fini (struct fugue *f)
{
    free (f->nodes);
    free (f->order);
}

static bool
is_in (const struct fugue *f, uint64_t version, uint32_t number)
{
    return number == 0 || (version >> f->nodes[number].entry & 1) != 0;
}

static bool
is_before (const struct fugue_node *a, const struct fugue_node *b)
{
    int order = weir_chain_compare (&a->chain, &b->chain);
    order = order != 0 ? order : weir_id_compare (&a->id, &b->id);
    return order != 0 ? order < 0 : a->offset < b->offset;
}

static void
hang (struct fugue *f, uint32_t number, uint32_t parent, int side)
{
    uint32_t *at = &f->nodes[parent].first[side];
    while (*at != FUGUE_NONE && is_before (&f->nodes[*at], &f->nodes[number])) {
        at = &f->nodes[*at].next;
    }
    f->nodes[number].parent = parent;
    f->nodes[number].next = *at;
    *at = number;
}

static void
walk (struct fugue *f, uint64_t version, bool with_deleted, uint32_t number)
{
    const struct fugue_node *node = &f->nodes[number];
    if (!is_in (f, version, number)) {
        return;
    }
    for (uint32_t c = node->first[0]; c != FUGUE_NONE; c = f->nodes[c].next) {
        walk (f, version, with_deleted, c);
    }
    if (number != 0 && (with_deleted || (node->deleted & version) == 0)) {
        weir_grow (&f->order, &f->order_cap, f->n_order + 1, sizeof *f->order);
        f->order[f->n_order++] = number;
    }
    for (uint32_t c = node->first[1]; c != FUGUE_NONE; c = f->nodes[c].next) {
        walk (f, version, with_deleted, c);
    }
}

void
fugue_list (struct fugue *f, uint64_t version, bool with_deleted)
{
    f->n_order = 0;
    walk (f, version, with_deleted, 0);
}

static bool
has_right (const struct fugue *f, uint64_t version, uint32_t number)
{
    for (uint32_t c = f->nodes[number].first[1]; c != FUGUE_NONE; c = f->nodes[c].next) {
        if (is_in (f, version, c)) {
            return true;
        }
    }
    return false;
}

void
fugue_insert (struct fugue *f, uint64_t version, uint32_t at, uint32_t count, uint32_t entry,
              const struct weir_doc_entry *head, uint32_t offset, uint32_t value)
{
    uint32_t left = 0;
    uint32_t right = FUGUE_NONE;
    if (at > 0) {
        fugue_list (f, version, false);
        left = f->order[at - 1];
    }
    fugue_list (f, version, true);
    for (size_t i = f->n_order; i > 0 && f->order[i - 1] != left; i--) {
        right = f->order[i - 1];
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t number = node_add (f);
        struct fugue_node *node = &f->nodes[number];
        node->chain = head->chain;
        node->id = head->id;
        node->offset = offset + i;
        node->entry = entry;
        node->value = value + i;
        if (has_right (f, version, left)) {
            hang (f, number, right, 0);
        } else {
            hang (f, number, left, 1);
        }
        left = number;
    }
}

void
fugue_delete (struct fugue *f, uint64_t version, uint32_t at, uint32_t count, uint32_t entry)
{
    fugue_list (f, version, false);
    for (uint32_t i = 0; i < count; i++) {
        f->nodes[f->order[at + i]].deleted |= (uint64_t) 1 << entry;
    }
}
