#ifndef WEIR_BINS_BENCH_TURNS_H
#define WEIR_BINS_BENCH_TURNS_H

#include "bins/bench/bench.h"

/* Fills the store of a node that is not running with `entries` entries of two authors (the
 * node's and a second device, a member), each building on the other's last: the worst case for
 * runs, one signature an entry. Gives the database's id. */
void bench_turns_make (struct bench_node *n, uint64_t entries, uint64_t payload,
                       char db[WEIR_ID_TEXT + 1]);

/* `count` databases, members of which are both nodes (that are not running), in both stores. */
void bench_databases_make (struct bench_node *a, struct bench_node *c, uint64_t count,
                           char (*dbs)[WEIR_ID_TEXT + 1]);

/* Prepares the same with `authors` members, and gives `entries` entries of theirs, by turns, as
 * runs of one entry each; the node does not hold them. */
void bench_authors_make (struct bench_node *n, uint64_t authors, uint64_t entries, uint64_t payload,
                         char db[WEIR_ID_TEXT + 1], struct weir_buf *runs);

#endif
