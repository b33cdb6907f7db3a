/* Owns whether a document is warm: the event graph and what types keep for merges, read again
 * from the history when it is needed, and dropped when it is not. */

#include "store/crdt/doc_parts.h"

#include <stdlib.h>

/* While the history is read. */
struct reading {
    struct weir_doc *doc;
    struct weir_payload payload;
    enum weir_status status;
};

void
weir_doc_set_history (struct weir_doc *self, const struct weir_history *history)
{
    self->history = history;
}

bool
weir_doc_is_warm (const struct weir_doc *self)
{
    return self->graph != NULL;
}

void
weir_doc_cool (struct weir_doc *self)
{
    struct weir_containers all = { 0 };
    if (self->graph == NULL) {
        return;
    }
    weir_doc_walk (self, &all);
    for (size_t i = 0; i < all.count; i++) {
        if (all.items[i]->type->cool != NULL) {
            all.items[i]->type->cool (all.items[i]);
        }
    }
    free (all.items);
    weir_graph_destroy (&self->graph);
    self->now.node = WEIR_GRAPH_NONE;
    weir_numbers_clear (&self->now.parents);
}

/* Adds the node and sets `now` to it, whatever the heads of the document are. */
static enum weir_status
node_add (struct weir_doc *self, const struct weir_doc_entry *entry)
{
    self->now.node = weir_doc_graph_add (self, entry);
    if (self->now.node == WEIR_GRAPH_NONE) {
        return WEIR_CORRUPT;
    }
    const struct weir_graph_node *added = weir_graph_node (self->graph, self->now.node);
    weir_numbers_clear (&self->now.parents);
    for (uint32_t i = 0; i < added->n_parents; i++) {
        weir_numbers_push (&self->now.parents, added->parents[i]);
    }
    return WEIR_OK;
}

static enum weir_status
record (struct weir_doc *self, struct weir_payload *p, const struct weir_doc_entry *entry,
        struct weir_bytes payload)
{
    struct weir_stamp stamp = { .lamport = entry->lamport, .entry = &entry->id, .seq = entry->seq };
    if (weir_payload_decode (p, payload) != WEIR_OK || p->atoms != entry->ops) {
        return WEIR_CORRUPT; /* it was applied once */
    }
    stamp.chain = weir_doc_chain_number (self, &entry->chain);
    for (size_t i = 0; i < p->n_ops; i++) {
        struct weir_op *op = &p->ops[i];
        const struct weir_container_type *type = p->rows[op->row].type;
        if (type->record != NULL) {
            struct weir_container *c = weir_doc_row_container (self, p, op->row, &entry->id, false);
            if (c == NULL) {
                return WEIR_CORRUPT;
            }
            weir_payload_resolve (p, op, &entry->id);
            type->record (c, op, &stamp);
        }
        stamp.lamport += op->atoms;
        stamp.offset += op->atoms;
    }
    return WEIR_OK;
}

static bool
read_one (void *context, const struct weir_doc_entry *entry, struct weir_bytes payload)
{
    struct reading *r = context;
    r->status = node_add (r->doc, entry);
    if (r->status == WEIR_OK && payload.len > 0) {
        r->status = record (r->doc, &r->payload, entry, payload);
    }
    return r->status == WEIR_OK;
}

static int
compare_ids (const void *a, const void *b)
{
    return weir_id_compare (a, b);
}

static bool
has_same_heads (const struct weir_doc *self)
{
    size_t n = 0;
    const uint32_t *heads = weir_graph_heads (self->graph, &n);
    bool same = n == self->n_heads;
    for (size_t i = 0; same && i < n; i++) {
        const struct weir_id *id = &weir_graph_node (self->graph, heads[i])->id;
        same = bsearch (id, self->heads, n, sizeof *id, compare_ids) != NULL;
    }
    return same;
}

enum weir_status
weir_doc_warm (struct weir_doc *self)
{
    struct reading r = { .doc = self };
    struct weir_doc_now now = self->now;
    if (self->graph != NULL) {
        return WEIR_OK;
    }
    weir_assert (!now.is_applied); /* the history does not have it yet */
    if (self->history == NULL && self->n_heads > 0) {
        return WEIR_UNSUPPORTED;
    }
    self->graph = weir_graph_new ();
    self->now = (struct weir_doc_now){ .node = WEIR_GRAPH_NONE };
    if (self->n_heads > 0) {
        enum weir_status status = self->history->read (self->history->context, read_one, &r);
        r.status = status != WEIR_OK ? status : r.status;
    }
    if (r.status == WEIR_OK && !has_same_heads (self)) {
        r.status = WEIR_CORRUPT;
    }
    weir_numbers_fini (&self->now.parents);
    weir_payload_fini (&r.payload);
    self->now = now;
    if (r.status != WEIR_OK) {
        weir_doc_cool (self);
    } else if (self->change != NULL) {
        weir_doc_begin (self, NULL);
        weir_change_record (self->change);
    } else if (now.entry != NULL) {
        weir_doc_begin (self, now.entry);
    }
    return r.status;
}
