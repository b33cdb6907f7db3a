/* The event graph: entries by number. Nodes lie in pages, so that they stay where they are; ids
 * are found by an open-addressing table of numbers under a keyed hash, since ids can be ground by
 * those who write them. Called by doc.c, seq.c and log.c; the walks are graph_walk.c. */

#include "store/crdt/graph_parts.h"

#include "store/base/map.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK_NUMBERS 256u
#define INDEX_MIN 16u

/* ---- numbers ---- */

void
weir_numbers_fini (struct weir_numbers *self)
{
    free (self->items);
    *self = (struct weir_numbers){ 0 };
}

void
weir_numbers_clear (struct weir_numbers *self)
{
    self->count = 0;
}

void
weir_numbers_push (struct weir_numbers *self, uint32_t number)
{
    if (self->count == self->cap) {
        weir_grow (&self->items, &self->cap, self->count + 1, sizeof *self->items);
    }
    self->items[self->count++] = number;
}

/* ---- nodes ---- */

struct weir_graph *
weir_graph_new (void)
{
    struct weir_graph *self = weir_alloc (sizeof *self);
    self->walk = weir_alloc (sizeof *self->walk);
    self->index_size = INDEX_MIN;
    self->index = weir_alloc (self->index_size * sizeof *self->index);
    return self;
}

static size_t
page_count (const struct weir_graph *self)
{
    return ((size_t) self->count + GRAPH_PAGE - 1) / GRAPH_PAGE;
}

void
weir_graph_destroy (struct weir_graph **self_p)
{
    struct weir_graph *self = *self_p;
    *self_p = NULL;
    if (self == NULL) {
        return;
    }
    for (size_t i = 0; i < page_count (self); i++) {
        free (self->pages[i]);
    }
    while (self->blocks != NULL) {
        struct graph_block *next = self->blocks->next;
        free (self->blocks);
        self->blocks = next;
    }
    weir_numbers_fini (&self->heads);
    weir_numbers_fini (&self->parents);
    free (self->walk->items);
    free (self->walk);
    free (self->pages);
    free (self->index);
    free (self);
}

uint32_t
weir_graph_count (const struct weir_graph *self)
{
    return self->count;
}

const struct weir_graph_node *
weir_graph_node (const struct weir_graph *self, uint32_t number)
{
    weir_assert (number < self->count);
    return graph_node (self, number);
}

const uint32_t *
weir_graph_heads (const struct weir_graph *self, size_t *count)
{
    *count = self->heads.count;
    return self->heads.items;
}

size_t
weir_graph_memory_bytes (const struct weir_graph *self)
{
    return sizeof *self + sizeof *self->walk + page_count (self) * sizeof (struct graph_page)
           + self->pages_cap * sizeof *self->pages + self->index_size * sizeof *self->index
           + self->block_bytes + (self->heads.cap + self->parents.cap) * sizeof (uint32_t)
           + self->walk->cap * sizeof *self->walk->items;
}

static size_t
first_slot (const struct weir_graph *self, uint64_t item)
{
    return (size_t) (item >> 32) & (self->index_size - 1);
}

/* The place of the id, or where it would go; *tag is what marks it there. */
static size_t
slot_of (const struct weir_graph *self, const struct weir_id *id, uint64_t *tag)
{
    *tag = weir_hash64_id (id->b) & ~(uint64_t) UINT32_MAX;
    size_t i = first_slot (self, *tag);
    while (self->index[i] != 0
           && ((self->index[i] & ~(uint64_t) UINT32_MAX) != *tag
               || !weir_id_equal (&graph_node (self, (uint32_t) self->index[i] - 1)->id, id))) {
        i = (i + 1) & (self->index_size - 1);
    }
    return i;
}

uint32_t
weir_graph_find (const struct weir_graph *self, const struct weir_id *entry)
{
    uint64_t tag = 0;
    uint32_t found = (uint32_t) self->index[slot_of (self, entry, &tag)];
    return found == 0 ? WEIR_GRAPH_NONE : found - 1;
}

/* Room for one more: at most three quarters are taken. */
static void
index_reserve (struct weir_graph *self)
{
    if ((size_t) self->count + 1 <= self->index_size / 4 * 3) {
        return;
    }
    uint64_t *old = self->index;
    size_t old_size = self->index_size;
    self->index_size *= 2;
    self->index = weir_alloc (self->index_size * sizeof *self->index);
    for (size_t k = 0; k < old_size; k++) {
        size_t i = first_slot (self, old[k]);
        while (old[k] != 0 && self->index[i] != 0) {
            i = (i + 1) & (self->index_size - 1);
        }
        if (old[k] != 0) {
            self->index[i] = old[k];
        }
    }
    free (old);
}

static uint32_t *
keep_numbers (struct weir_graph *self, size_t count)
{
    if (self->blocks == NULL || self->blocks->cap - self->blocks->used < count) {
        size_t cap = count > BLOCK_NUMBERS ? count : BLOCK_NUMBERS;
        size_t bytes = sizeof *self->blocks + cap * sizeof (uint32_t);
        struct graph_block *block = weir_alloc (bytes);
        block->cap = cap;
        block->next = self->blocks;
        self->blocks = block;
        self->block_bytes += bytes;
    }
    uint32_t *out = self->blocks->items + self->blocks->used;
    self->blocks->used += count;
    return out;
}

static void
heads_follow (struct weir_graph *self, const uint32_t *parents, size_t n_parents)
{
    struct weir_numbers *heads = &self->heads;
    for (size_t i = 0; i < n_parents; i++) {
        size_t at = graph_place (heads->items, heads->count, parents[i]);
        if (at < heads->count && heads->items[at] == parents[i]) {
            heads->count--;
            memmove (heads->items + at, heads->items + at + 1,
                     (heads->count - at) * sizeof *heads->items);
        }
    }
    weir_numbers_push (heads, self->count);
}

/* Makes the node of the number that comes next; `parents` has no redundant ones. */
static void
append (struct weir_graph *self, const struct weir_graph_node *like,
        const struct weir_numbers *parents, uint32_t first)
{
    uint32_t number = self->count;
    size_t in_page = number % GRAPH_PAGE;
    if (in_page == 0) {
        size_t pages = page_count (self);
        if (pages == self->pages_cap) {
            weir_grow (&self->pages, &self->pages_cap, pages + 1, sizeof *self->pages);
        }
        self->pages[pages] = weir_alloc (sizeof **self->pages);
    }
    struct graph_page *page = self->pages[number / GRAPH_PAGE];
    uint32_t *kept =
        parents->count == 1 ? &page->parent[in_page] : keep_numbers (self, parents->count);
    size_t n = 0;
    size_t at = graph_place (parents->items, parents->count, first);
    if (at < parents->count && parents->items[at] == first) {
        kept[n++] = first;
    }
    for (size_t i = 0; i < parents->count; i++) {
        if (parents->items[i] != first) {
            kept[n++] = parents->items[i];
        }
    }
    bool goes_on = n == 1 && kept[0] + 1 == number;
    page->starts[in_page] = goes_on ? graph_run (self, number - 1) : number;
    struct weir_graph_node *node = &page->nodes[in_page];
    *node = *like;
    node->parents = kept;
    node->n_parents = (uint32_t) n;
    heads_follow (self, kept, n);
    self->count++;
}

/* As weir_graph_find; most parents are heads. */
static uint32_t
find_parent (const struct weir_graph *self, const struct weir_id *id)
{
    for (size_t i = self->heads.count; i > 0 && self->heads.count - i < 2; i--) {
        uint32_t head = self->heads.items[i - 1];
        if (weir_id_equal (&graph_node (self, head)->id, id)) {
            return head;
        }
    }
    return weir_graph_find (self, id);
}

enum weir_status
weir_graph_add (struct weir_graph *self, const struct weir_graph_node *node,
                const struct weir_id *parents, size_t n_parents, uint32_t *number)
{
    struct weir_numbers *known = &self->parents;
    struct weir_graph_node made = *node;
    uint32_t first = WEIR_GRAPH_NONE;
    weir_assert (self->count < WEIR_GRAPH_NONE - 1);
    index_reserve (self);
    uint64_t tag = 0;
    size_t slot = slot_of (self, &node->id, &tag);
    if (self->index[slot] != 0) {
        return WEIR_CONFLICT;
    }
    if (n_parents > 0) { /* else it is the first, or what is before it was cut away */
        made.counter = 0;
        made.lamport = 0;
    }
    weir_numbers_clear (known);
    for (size_t i = 0; i < n_parents; i++) {
        uint32_t parent = find_parent (self, &parents[i]);
        if (parent == WEIR_GRAPH_NONE) {
            return WEIR_NOT_FOUND;
        }
        const struct weir_graph_node *p = graph_node (self, parent);
        if (p->lamport + p->ops > made.lamport) {
            made.lamport = p->lamport + p->ops;
        }
        if (i == 0 && node->seq > 0 && weir_chain_compare (&p->chain, &node->chain) == 0) {
            first = parent;
            made.counter = p->counter + p->ops;
        }
        weir_numbers_push (known, parent);
    }
    weir_graph_minimize (self, known);
    append (self, &made, known, first);
    *number = self->count - 1;
    self->index[slot] = tag | self->count;
    return WEIR_OK;
}
