#ifndef WEIR_STORE_CRDT_GRAPH_H
#define WEIR_STORE_CRDT_GRAPH_H

/* The event graph of a document: its entries by local numbers, parents before children, so that
 * a number is a topological order. Numbers differ from replica to replica and mean nothing
 * outside this process. Pure code.
 *
 * A version is a set of numbers, none in the past of another (its heads), ascending. The walks
 * are those of Eg-walker (Gentle and Kleppmann, EuroSys 2025, section 3): a heap of numbers,
 * the greatest first, which stops where both sides have met; their cost is what lies between
 * the versions, not the whole graph. */

#include "store/dag/entry.h"

#define WEIR_GRAPH_NONE UINT32_MAX

struct weir_graph;

struct weir_graph_node {
    struct weir_id id;
    struct weir_chain chain;
    uint64_t seq;
    uint64_t counter; /* ops of its chain, on the way to it, before it */
    uint64_t lamport; /* of its first op */
    uint32_t ops;
    uint32_t n_parents;
    const uint32_t *parents; /* prev first when there is one; borrowed until the next add */
};

/* A growing list of numbers; zero-initialised is empty. Owns items. */
struct weir_numbers {
    uint32_t *items;
    size_t count;
    size_t cap;
};
void weir_numbers_fini (struct weir_numbers *self);
void weir_numbers_clear (struct weir_numbers *self);
void weir_numbers_push (struct weir_numbers *self, uint32_t number);

struct weir_graph *weir_graph_new (void);
void weir_graph_destroy (struct weir_graph **self_p);
/* Adds an entry behind its parents (prev, when it has one, is the first of them; redundant ones
 * are dropped) and gives its number: the count before. counter and lamport are computed, but taken
 * as told of one without parents (before it something may be cut away). `node` needs id, chain,
 * seq, ops. WEIR_NOT_FOUND when a parent is unknown, WEIR_CONFLICT when the
 * entry is there: nothing is changed then. */
WEIR_MUST enum weir_status weir_graph_add (struct weir_graph *self,
                                           const struct weir_graph_node *node,
                                           const struct weir_id *parents, size_t n_parents,
                                           uint32_t *number);
uint32_t weir_graph_count (const struct weir_graph *self);
/* WEIR_GRAPH_NONE: unknown. */
uint32_t weir_graph_find (const struct weir_graph *self, const struct weir_id *entry);
const struct weir_graph_node *weir_graph_node (const struct weir_graph *self, uint32_t number);
/* Of everything in it; ascending, borrowed until the next add. */
const uint32_t *weir_graph_heads (const struct weir_graph *self, size_t *count);
size_t weir_graph_memory_bytes (const struct weir_graph *self);

/* Is `node` in the version (in the past of one of its heads, or one of them)? */
bool weir_graph_contains (const struct weir_graph *self, const uint32_t *version, size_t count,
                          uint32_t node);
/* What is in one version only; both ascending. The lists are cleared first. */
void weir_graph_diff (const struct weir_graph *self, const uint32_t *a, size_t n_a,
                      const uint32_t *b, size_t n_b, struct weir_numbers *only_a,
                      struct weir_numbers *only_b);
/* Drops from a list of numbers those in the past of others, and doubles; sorts it. */
void weir_graph_minimize (const struct weir_graph *self, struct weir_numbers *version);
/* The last critical node of a version: nothing in the version is concurrent with it.
 * WEIR_GRAPH_NONE when that is only the empty version. *zone: all of the version that is not it
 * nor in its past, ascending. Given the union of the heads of two versions (not minimized), a
 * walker that starts at the result and replays the zone has seen all that it needs to merge them:
 * the result is one of the numbers given or in the past of each. It goes on serving every entry
 * that has the result in its past (weir_graph_contains). */
uint32_t weir_graph_base (const struct weir_graph *self, const uint32_t *version, size_t count,
                          struct weir_numbers *zone);
/* The nodes of `zone` (ascending) in an order that is cheap to replay: parents first, a branch
 * is finished before another begins, the one with the shorter way to the end first. */
void weir_graph_order (const struct weir_graph *self, const struct weir_numbers *zone,
                       struct weir_numbers *order);
/* before (a < b), after, equal, concurrent. */
enum weir_graph_relation {
    WEIR_GRAPH_EQUAL,
    WEIR_GRAPH_BEFORE,
    WEIR_GRAPH_AFTER,
    WEIR_GRAPH_CONCURRENT
};
enum weir_graph_relation weir_graph_compare (const struct weir_graph *self, const uint32_t *a,
                                             size_t n_a, const uint32_t *b, size_t n_b);

#endif
