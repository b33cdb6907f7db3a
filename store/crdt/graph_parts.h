#ifndef WEIR_STORE_CRDT_GRAPH_PARTS_H
#define WEIR_STORE_CRDT_GRAPH_PARTS_H

/* The inside of the event graph: nodes (graph.c), walks between versions (graph_walk.c). Nobody
 * else includes this. A *run* is a stretch of numbers each of which has the one before as its
 * only parent. */

#include "store/crdt/graph.h"

#define GRAPH_PAGE 64u

struct graph_page {
    struct weir_graph_node nodes[GRAPH_PAGE];
    uint32_t starts[GRAPH_PAGE]; /* the first number of the run a node is in */
    uint32_t parent[GRAPH_PAGE]; /* of those with just one */
};

/* Parents of merges, in blocks that never move. */
struct graph_block {
    struct graph_block *next;
    size_t used;
    size_t cap;
    uint32_t items[];
};

/* What waits in a walk: number << 2 | flags, the greatest first. */
struct graph_walk {
    uint64_t *items;
    size_t count;
    size_t cap;
    bool is_heap; /* else they are in order */
};

struct weir_graph {
    struct graph_page **pages;
    size_t pages_cap;
    uint32_t count;
    uint64_t *index; /* upper half of the id's hash, number + 1; 0: free */
    size_t index_size;
    struct graph_block *blocks;
    size_t block_bytes;
    struct weir_numbers heads;
    struct weir_numbers parents; /* scratch of add */
    struct graph_walk *walk;     /* scratch of the walks */
};

static inline struct weir_graph_node *
graph_node (const struct weir_graph *self, uint32_t number)
{
    return &self->pages[number / GRAPH_PAGE]->nodes[number % GRAPH_PAGE];
}

static inline uint32_t
graph_run (const struct weir_graph *self, uint32_t number)
{
    return self->pages[number / GRAPH_PAGE]->starts[number % GRAPH_PAGE];
}

/* Where `number` is, or would be, in an ascending list. */
static inline size_t
graph_place (const uint32_t *items, size_t count, uint32_t number)
{
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (items[middle] < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

#endif
