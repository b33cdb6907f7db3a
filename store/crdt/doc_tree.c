/* Owns what types ask a document for: the table of chains, the unique children, and who listens
 * to changes. It applies nothing. */

#include "store/crdt/doc_parts.h"

#include <stdlib.h>
#include <string.h>

#define CHAIN_ROUGH_BYTES 200u
#define CHAINS_COMPARED_MAX 4u /* before they are looked up */
#define UNIQUE_ROUGH_BYTES 120u

/* ---- chains ---- */

uint32_t
weir_doc_chain_number (struct weir_doc *doc, const struct weir_chain *chain)
{
    if (doc->n_chains > 0 && weir_chain_compare (&doc->chains[doc->last_chain], chain) == 0) {
        return doc->last_chain;
    }
    for (uint32_t i = 0; i < doc->n_chains && i < CHAINS_COMPARED_MAX; i++) {
        if (weir_chain_compare (&doc->chains[i], chain) == 0) {
            doc->last_chain = i;
            return i;
        }
    }
    uint8_t key[WEIR_ID_BYTES + 8];
    memcpy (key, chain->author.b, WEIR_ID_BYTES);
    weir_store_u64 (key + WEIR_ID_BYTES, chain->lane);
    uintptr_t number = (uintptr_t) weir_map_get (doc->chain_numbers, weir_bytes (key, sizeof key));
    if (number == 0) {
        weir_grow (&doc->chains, &doc->chains_cap, doc->n_chains + 1, sizeof *doc->chains);
        doc->chains[doc->n_chains++] = *chain;
        number = doc->n_chains;
        (void) weir_map_put (doc->chain_numbers, weir_bytes (key, sizeof key), (void *) number);
        weir_doc_count_bytes (doc, CHAIN_ROUGH_BYTES);
    }
    doc->last_chain = (uint32_t) (number - 1);
    return doc->last_chain;
}

uint32_t
weir_doc_chains (const struct weir_doc *doc)
{
    return (uint32_t) doc->n_chains;
}

const struct weir_chain *
weir_doc_chain (const struct weir_doc *doc, uint32_t number)
{
    return &doc->chains[number];
}

/* weir_order_key_compare, without building the keys. */
int
weir_doc_compare_stamps (const struct weir_doc *doc, const struct weir_stamp *a,
                         const struct weir_stamp *b)
{
    if (a->lamport != b->lamport) {
        return a->lamport < b->lamport ? -1 : 1;
    }
    if (a->chain != b->chain) {
        return weir_chain_compare (&doc->chains[a->chain], &doc->chains[b->chain]);
    }
    return weir_id_compare (a->entry, b->entry);
}

int
weir_op_id_compare (const struct weir_op_id *a, const struct weir_op_id *b)
{
    int order = weir_id_compare (&a->entry, &b->entry);
    return order != 0 ? order : a->offset < b->offset ? -1 : a->offset > b->offset;
}

/* ---- unique children ---- */

/* As of a child by path, with the op's offset for a key: no key begins with a zero byte. */
struct weir_id
weir_container_unique_id (const struct weir_op_id *made, uint8_t type)
{
    uint8_t head[WEIR_ID_BYTES + 1];
    uint8_t offset[4];
    weir_assert (made->offset < WEIR_ENTRY_OPS_MAX);
    memcpy (head, made->entry.b, WEIR_ID_BYTES);
    head[WEIR_ID_BYTES] = type;
    weir_store_u32 (offset, made->offset);
    return weir_hash (WEIR_DOMAIN_CONTAINER, weir_bytes (head, sizeof head),
                      weir_bytes (offset, sizeof offset));
}

struct weir_container *
weir_doc_unique (const struct weir_doc *doc, const struct weir_id *id)
{
    return weir_map_get (doc->uniques, weir_id_bytes (id));
}

struct weir_container *
weir_doc_unique_make (struct weir_doc *doc, const struct weir_op_id *made,
                      const struct weir_container_type *type)
{
    struct weir_id id = weir_container_unique_id (made, type->number);
    struct weir_container *c = weir_doc_unique (doc, &id);
    if (c != NULL) {
        return c;
    }
    c = weir_alloc (type->size);
    c->type = type;
    c->doc = doc;
    c->id = id;
    c->made = *made;
    c->depth = 1;
    c->is_unique = true;
    if (type->init != NULL) {
        type->init (c);
    }
    (void) weir_map_put (doc->uniques, weir_id_bytes (&id), c);
    weir_doc_count_bytes (doc, (ptrdiff_t) (type->size + UNIQUE_ROUGH_BYTES));
    return c;
}

void
weir_container_adopt (struct weir_container *self, struct weir_container *child)
{
    weir_assert (child->is_unique);
    child->parent = self;
}

struct weir_container *
weir_doc_value_child (const struct weir_doc *doc, const struct weir_value *value)
{
    if (value->type != WEIR_VALUE_UNIQUE || value->bytes.len != WEIR_ID_BYTES) {
        return NULL;
    }
    /* A state that lies may name one of another type. */
    struct weir_container *child = weir_map_get (doc->uniques, value->bytes);
    return child != NULL && child->type->number == value->container ? child : NULL;
}

struct weir_container *
weir_doc_unique_sealed (struct weir_doc *doc, uint32_t offset, uint8_t type,
                        const struct weir_id *entry)
{
    struct weir_op_id made = { .offset = offset };
    struct weir_id id = weir_container_unique_id (&made, type);
    struct weir_container *c = weir_map_remove (doc->uniques, weir_id_bytes (&id));
    if (c != NULL) {
        c->made.entry = *entry;
        id = weir_container_unique_id (&c->made, type);
        weir_container_rename (c, &id);
        (void) weir_map_put (doc->uniques, weir_id_bytes (&id), c);
    }
    return c;
}

/* ---- walking ---- */

void
weir_doc_walk (const struct weir_doc *self, struct weir_containers *out)
{
    struct weir_bytes key;
    void *value;
    weir_containers_put_below (out, self->top);
    for (size_t i = 0; weir_map_next (self->uniques, &i, &key, &value);) {
        weir_containers_put (out, value);
    }
    for (size_t i = 0; i < out->count; i++) {
        weir_containers_put_below (out, out->items[i]);
    }
}

/* ---- notices ---- */

void
weir_doc_listen (struct weir_doc *doc, weir_notice_fn *fn, void *context)
{
    doc->notice = fn;
    doc->notice_context = context;
}

bool
weir_doc_is_heard (const struct weir_doc *doc)
{
    return doc->notice != NULL;
}

void
weir_doc_notify (struct weir_doc *doc, const struct weir_notice *notice)
{
    if (doc->notice != NULL) {
        doc->notice (doc->notice_context, notice);
    }
}
