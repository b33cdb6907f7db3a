/* Owns a document's entries: how they are applied, whole or not at all, and which of them are its
 * heads. What ops mean, the container types know; doc_tree.c has what types ask for, doc_read.c
 * the values, doc_history.c what is needed for concurrent entries. One thread. */

#include "store/crdt/doc_parts.h"

#include <stdlib.h>
#include <string.h>

/* A decoded payload's arrays are kept for the next one, up to this many items. */
#define SCRATCH_ITEMS_MAX 4096u

static void
destroy_unique (void *value)
{
    struct weir_container *c = value;
    weir_container_destroy (&c);
}

struct weir_doc *
weir_doc_new (void)
{
    struct weir_doc *self = weir_alloc (sizeof *self);
    self->top = weir_alloc (weir_container_map.size);
    self->top->type = &weir_container_map;
    self->top->doc = self;
    self->chain_numbers = weir_map_new ();
    self->uniques = weir_map_new ();
    self->graph = weir_graph_new ();
    self->now.node = WEIR_GRAPH_NONE;
    self->bytes = sizeof *self + weir_container_map.size;
    return self;
}

void
weir_doc_destroy (struct weir_doc **self_p)
{
    struct weir_doc *self = *self_p;
    if (self == NULL) {
        return;
    }
    *self_p = NULL;
    weir_container_destroy (&self->top);
    weir_map_destroy (&self->uniques, destroy_unique);
    weir_map_destroy (&self->chain_numbers, NULL);
    weir_graph_destroy (&self->graph);
    weir_numbers_fini (&self->now.parents);
    weir_payload_fini (&self->scratch);
    free (self->chains);
    free (self->heads);
    free (self);
}

size_t
weir_doc_memory_bytes (const struct weir_doc *self)
{
    return self->bytes + self->heads_cap * sizeof *self->heads
           + (self->graph != NULL ? weir_graph_memory_bytes (self->graph) : 0);
}

void
weir_doc_set_budget (struct weir_doc *self, uint64_t *budget)
{
    self->budget = budget;
}

void
weir_doc_count_bytes (struct weir_doc *doc, ptrdiff_t bytes)
{
    doc->bytes += (size_t) bytes;
}

struct weir_container *
weir_doc_top (const struct weir_doc *doc)
{
    return doc->top;
}

/* ---- heads ---- */

const struct weir_id *
weir_doc_heads (const struct weir_doc *self, size_t *count)
{
    *count = self->n_heads;
    return self->heads;
}

uint64_t
weir_doc_lamport (const struct weir_doc *self)
{
    return self->lamport;
}

/* Where the id stands, or would. */
static size_t
head_place (const struct weir_doc *self, const struct weir_id *id)
{
    size_t from = 0;
    size_t to = self->n_heads;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (weir_id_compare (&self->heads[middle], id) < 0) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    return from;
}

static bool
is_head (const struct weir_doc *self, size_t place, const struct weir_id *id)
{
    return place < self->n_heads && weir_id_equal (&self->heads[place], id);
}

/* All that was applied is in the past of the heads, so an entry that has them all for parents has
 * seen everything, whatever else it names. */
static bool
is_on_top (const struct weir_doc *self, const struct weir_doc_entry *entry)
{
    size_t found = 0;
    for (uint32_t i = 0; i < entry->n_parents; i++) {
        bool again = i > 0 && weir_id_equal (&entry->parents[i], &entry->parents[0]);
        if (!again && is_head (self, head_place (self, &entry->parents[i]), &entry->parents[i])) {
            found++;
        }
    }
    return found >= self->n_heads;
}

static void
heads_advance (struct weir_doc *self, const struct weir_doc_entry *entry)
{
    /* The parents may be the heads, as weir_doc_heads gave them. */
    bool is_ours = entry->n_parents > 0 && entry->parents == self->heads;
    if (is_ours) {
        weir_assert (entry->n_parents == self->n_heads);
        self->n_heads = 0;
    }
    size_t place = 0;
    for (uint32_t i = 0; !is_ours && i < entry->n_parents; i++) {
        place = head_place (self, &entry->parents[i]);
        if (is_head (self, place, &entry->parents[i])) {
            self->n_heads--;
            memmove (&self->heads[place], &self->heads[place + 1],
                     (self->n_heads - place) * sizeof *self->heads);
        }
    }
    place = head_place (self, &entry->id);
    weir_assert (!is_head (self, place, &entry->id));
    weir_grow (&self->heads, &self->heads_cap, self->n_heads + 1, sizeof *self->heads);
    memmove (&self->heads[place + 1], &self->heads[place],
             (self->n_heads - place) * sizeof *self->heads);
    self->heads[place] = entry->id;
    self->n_heads++;
    if (self->lamport < entry->lamport + entry->ops) {
        self->lamport = entry->lamport + entry->ops;
    }
}

void
weir_doc_advance (struct weir_doc *self, const struct weir_doc_entry *entry)
{
    if (self->graph != NULL && self->now.entry != entry) {
        (void) weir_doc_graph_add (self, entry); /* a deferred one is there already */
    }
    heads_advance (self, entry);
}

uint32_t
weir_doc_graph_add (struct weir_doc *self, const struct weir_doc_entry *entry)
{
    struct weir_graph_node node = { .id = entry->id,
                                    .chain = entry->chain,
                                    .seq = entry->seq,
                                    .lamport = entry->lamport,
                                    .ops = entry->ops };
    uint32_t number = WEIR_GRAPH_NONE;
    enum weir_status status =
        weir_graph_add (self->graph, &node, entry->parents, entry->n_parents, &number);
    return status == WEIR_OK ? number : WEIR_GRAPH_NONE;
}

void
weir_doc_pass (struct weir_doc *self, const struct weir_doc_entry *entry)
{
    weir_assert (self->change == NULL);
    weir_doc_advance (self, entry);
}

/* ---- the entry at hand ---- */

uint32_t
weir_doc_node (const struct weir_doc *doc)
{
    return doc->now.node;
}

const uint32_t *
weir_doc_node_parents (const struct weir_doc *doc, size_t *count)
{
    *count = doc->now.parents.count;
    return doc->now.parents.items;
}

bool
weir_doc_is_fast (const struct weir_doc *doc)
{
    return doc->now.is_fast;
}

const struct weir_graph *
weir_doc_graph (const struct weir_doc *doc)
{
    return doc->graph;
}

void
weir_doc_begin (struct weir_doc *self, const struct weir_doc_entry *entry)
{
    struct weir_doc_now *now = &self->now;
    now->entry = entry;
    now->is_fast = entry == NULL || is_on_top (self, entry);
    now->node = WEIR_GRAPH_NONE;
    weir_numbers_clear (&now->parents);
    if (self->graph == NULL) {
        return;
    }
    if (entry == NULL) {
        now->node = weir_graph_count (self->graph);
        for (size_t i = 0; i < self->n_heads; i++) {
            weir_numbers_push (&now->parents, weir_graph_find (self->graph, &self->heads[i]));
        }
        weir_graph_minimize (self->graph, &now->parents); /* sorts them */
        return;
    }
    now->node = weir_doc_graph_add (self, entry);
    if (now->node == WEIR_GRAPH_NONE) {
        now->node = weir_graph_find (self->graph, &entry->id); /* it was deferred */
    }
    weir_assert (now->node != WEIR_GRAPH_NONE); /* its past is here, and it was not */
    const struct weir_graph_node *node = weir_graph_node (self->graph, now->node);
    for (uint32_t i = 0; i < node->n_parents; i++) {
        weir_numbers_push (&now->parents, node->parents[i]);
    }
}

void
weir_doc_end (struct weir_doc *self)
{
    self->now.entry = NULL;
    self->now.node = WEIR_GRAPH_NONE;
    self->now.is_fast = false;
    self->now.is_applied = false;
    weir_numbers_clear (&self->now.parents);
}

/* ---- applying ---- */

/* The root, or unique child, that the row hangs below. */
static struct weir_container *
row_origin (struct weir_doc *self, struct weir_payload *p, const struct weir_payload_row *row,
            const struct weir_id *entry, bool make)
{
    if (row->kind == WEIR_ROW_ROOT) {
        return weir_container_child (self->top, row->key, row->type, make);
    }
    struct weir_op_id made = { .entry = *entry, .offset = row->made_ref.offset };
    if (row->made_ref.row != 0) {
        memcpy (made.entry.b, p->ids.data + (row->made_ref.row - 1u) * WEIR_ID_BYTES,
                WEIR_ID_BYTES);
    }
    if (make) {
        return weir_doc_unique_make (self, &made, row->type);
    }
    struct weir_id id = weir_container_unique_id (&made, row->type->number);
    return weir_doc_unique (self, &id);
}

struct weir_container *
weir_doc_row_container (struct weir_doc *self, struct weir_payload *p, uint32_t row,
                        const struct weir_id *entry, bool make)
{
    uint32_t way[WEIR_CONTAINER_DEPTH_MAX];
    size_t n = 0;
    while (p->rows[row].container == NULL) {
        way[n++] = row;
        if (p->rows[row].kind != WEIR_ROW_PATH) {
            break;
        }
        row = p->rows[row].parent;
    }
    struct weir_container *c = p->rows[row].container;
    while (n > 0) {
        struct weir_payload_row *r = &p->rows[way[--n]];
        c = r->kind == WEIR_ROW_PATH ? weir_container_child (c, r->key, r->type, make)
                                     : row_origin (self, p, r, entry, make);
        r->container = c;
        if (c == NULL) {
            return NULL;
        }
    }
    return c;
}

enum weir_status
weir_doc_validate (struct weir_doc *self, struct weir_payload *p, const struct weir_id *entry)
{
    enum weir_status status = WEIR_OK;
    for (size_t i = 0; i < p->n_ops && status == WEIR_OK; i++) {
        struct weir_op *op = &p->ops[i];
        struct weir_payload_row *row = &p->rows[op->row];
        weir_payload_resolve (p, op, entry);
        if (row->type->validate != NULL) {
            struct weir_container *c = weir_doc_row_container (self, p, op->row, entry, false);
            status = row->type->validate (c, op, &row->check);
        }
    }
    return status;
}

static void
apply_ops (struct weir_doc *self, struct weir_payload *p, const struct weir_doc_entry *entry)
{
    struct weir_stamp stamp = { .lamport = entry->lamport, .entry = &entry->id, .seq = entry->seq };
    stamp.chain = weir_doc_chain_number (self, &entry->chain);
    for (size_t i = 0; i < p->n_ops; i++) {
        const struct weir_op *op = &p->ops[i];
        struct weir_container *c = weir_doc_row_container (self, p, op->row, &entry->id, true);
        c->type->apply (c, op, &stamp);
        stamp.lamport += op->atoms;
        stamp.offset += op->atoms;
    }
}

static bool
needs_history (const struct weir_payload *p)
{
    for (size_t i = 0; i < p->n_rows; i++) {
        if (p->rows[i].type->record != NULL) {
            return true;
        }
    }
    return false;
}

static void
scratch_trim (struct weir_doc *self)
{
    if (self->scratch.rows_cap > SCRATCH_ITEMS_MAX || self->scratch.ops_cap > SCRATCH_ITEMS_MAX) {
        weir_payload_fini (&self->scratch);
    }
}

void
weir_doc_spend (struct weir_doc *self, uint64_t steps)
{
    if (self->budget != NULL) {
        *self->budget -= steps < *self->budget ? steps : *self->budget;
    }
}

/* Lets the containers of a concurrent entry walk to its parents, as far as the budget goes. */
static enum weir_status
prepare (struct weir_doc *self, struct weir_payload *p, const struct weir_id *entry)
{
    uint64_t unlimited = UINT64_MAX;
    uint64_t *budget = self->budget != NULL ? self->budget : &unlimited;
    enum weir_status status = WEIR_OK;
    for (uint32_t i = 0; i < p->n_rows && status == WEIR_OK; i++) {
        struct weir_container *c = p->rows[i].type->prepare != NULL
                                       ? weir_doc_row_container (self, p, i, entry, false)
                                       : NULL;
        if (c != NULL) {
            status = c->type->prepare (c, budget);
        }
    }
    return status;
}

/* What an entry can be called for good; anything else is about this replica, now. */
static bool
is_judgement (enum weir_status status)
{
    return status == WEIR_OK || status == WEIR_BAD_PAYLOAD || status == WEIR_NEEDS_UPGRADE
           || status == WEIR_OUT_OF_RANGE;
}

/* Decodes, walks, validates: everything that may still say no. */
static enum weir_status
judge (struct weir_doc *self, struct weir_payload *p, const struct weir_doc_entry *entry,
       struct weir_bytes payload)
{
    enum weir_status status = weir_payload_decode (p, payload);
    if (status == WEIR_OK && p->atoms != entry->ops) {
        status = WEIR_BAD_PAYLOAD;
    }
    if (status == WEIR_OK && self->graph == NULL && needs_history (p) && !is_on_top (self, entry)) {
        status = weir_doc_warm (self);
        if (status != WEIR_OK) {
            return is_judgement (status) ? WEIR_CORRUPT : status;
        }
    }
    weir_doc_begin (self, entry);
    if (status == WEIR_OK && !self->now.is_fast) {
        status = prepare (self, p, &entry->id);
    }
    return status == WEIR_OK ? weir_doc_validate (self, p, &entry->id) : status;
}

enum weir_status
weir_doc_apply (struct weir_doc *self, const struct weir_doc_entry *entry,
                struct weir_bytes payload, bool *deferred)
{
    struct weir_payload *p = &self->scratch;
    weir_assert (self->change == NULL);
    enum weir_status status = judge (self, p, entry, payload);
    bool later = !is_judgement (status);
    if (!later) {
        weir_doc_advance (self, entry);
        self->now.is_applied = true;
    }
    if (status == WEIR_OK) {
        apply_ops (self, p, entry);
        weir_doc_spend (self, p->n_ops);
    }
    weir_doc_end (self);
    scratch_trim (self);
    if (deferred != NULL) {
        *deferred = later;
    }
    return status;
}

enum weir_status
weir_doc_payload_info (struct weir_bytes payload, struct weir_bytes *message, uint32_t *ops)
{
    struct weir_payload p = { 0 };
    enum weir_status status = weir_payload_decode (&p, payload);
    if (status == WEIR_OK) {
        *message = p.message;
        *ops = (uint32_t) p.atoms;
    }
    weir_payload_fini (&p);
    return status;
}

enum weir_status
weir_doc_payload_json (struct weir_bytes payload, json_t **out)
{
    struct weir_payload p = { 0 };
    enum weir_status status = weir_payload_decode (&p, payload);
    if (status == WEIR_OK) {
        *out = weir_payload_json (&p);
    }
    weir_payload_fini (&p);
    return status;
}
