/* Owns the search for blobs: those that a payload sets, and those that are visible in a document,
 * which are the ones whose content a node keeps and asks for. Nothing is changed. */

#include "store/crdt/doc_parts.h"
#include "store/crdt/types.h"

#include <stdlib.h>

struct found {
    weir_blob_fn *fn;
    void *context;
};

static void
tell (const struct found *f, const struct weir_value *value)
{
    struct weir_id id;
    uint64_t bytes = 0;
    if (weir_value_get_blob (value, &id, &bytes)) {
        f->fn (f->context, &id, bytes);
    }
}

/* The values that a sequence op inserts were checked when it was decoded. */
static void
tell_op (const struct found *f, const struct weir_payload *p, const struct weir_op *op)
{
    tell (f, &op->value);
    if (!weir_op_has_blobs (p->rows[op->row].type, op)) {
        return;
    }
    struct weir_reader r = weir_reader (op->bytes);
    struct weir_value value;
    while (weir_reader_left (&r) > 0 && weir_value_read (&r, &value) == WEIR_OK && !r.bad) {
        tell (f, &value);
    }
}

void
weir_doc_payload_blobs (struct weir_bytes payload, weir_blob_fn *fn, void *context)
{
    struct weir_payload p = { .n_ops = 0 };
    struct found f = { fn, context };
    if (payload.len > 0 && payload.data[0] == WEIR_CODEC_BLOBS
        && weir_payload_decode (&p, payload) == WEIR_OK && p.has_blobs) {
        for (size_t i = 0; i < p.n_ops; i++) {
            tell_op (&f, &p, &p.ops[i]);
        }
    }
    weir_payload_fini (&p);
}

static void
put_child (struct weir_containers *list, struct weir_container *child)
{
    if (child != NULL && weir_container_level (child) <= WEIR_CONTAINER_DEPTH_MAX) {
        weir_containers_put (list, child);
    }
}

/* What is visible in one container: its blobs are told, its children listed. */
static void
look (const struct found *f, const struct weir_container *c, struct weir_containers *list)
{
    struct weir_item item;
    if (c->type->number == WEIR_CONTAINER_TREE) {
        struct weir_tree_node node;
        for (uint32_t i = 0; i < weir_tree_nodes (c); i++) {
            weir_tree_node (c, i, &node);
            put_child (list, node.is_alive ? node.meta : NULL);
        }
    }
    for (size_t i = 0; c->type->next != NULL && c->type->next (c, &i, &item);) {
        tell (f, &item.value);
        bool has_child =
            item.value.type == WEIR_VALUE_CONTAINER || item.value.type == WEIR_VALUE_UNIQUE;
        put_child (list, has_child ? item.child : NULL);
    }
}

void
weir_doc_blobs (const struct weir_doc *self, weir_blob_fn *fn, void *context)
{
    struct weir_containers list = { .count = 0 };
    struct found f = { fn, context };
    look (&f, self->top, &list);
    for (size_t i = 0; i < list.count; i++) {
        look (&f, list.items[i], &list);
    }
    free (list.items);
}
