#ifndef WEIR_STORE_DAG_RECONCILE_H
#define WEIR_STORE_DAG_RECONCILE_H

/* Range-based reconciliation of two entry vectors (the ladder's third rung; after Meyer,
 * "Range-Based Set Reconciliation", 2023). Pure, and without state between messages: each is
 * answered from the vector as it is then. The chains, sorted, are cut into ranges; of each a
 * keyed hash is told; where they differ the other side cuts again, and where it holds few rows
 * it lists them. A range is a matter between bounds, so both sides may hold quite different
 * numbers of chains in it.
 *
 * A message is a byte for its version and then items, ranges in ascending order first:
 *   0 SKIP    bound                  up to it there is nothing to say
 *   1 HASH    bound, 16 bytes        hash of the teller's rows up to the bound
 *   2 LIST    bound, number, rows    all rows of the teller up to the bound
 *   3 CHAINS  number, rows           rows of some chains, about which the other has told rows
 * A bound is the beginning of the first chain behind the range (author, lane): its length, its
 * bytes; 255: no end. Numbers are varints. A row: flags (1 the author is the last row's, 2 it
 * has samples, 4 samples of this chain are wanted, 8 none is held of this chain, 16 it answers
 * CHAINS), author, lane, count, tip, samples.
 *
 * Lists are answered by CHAINS: of those chains of which a tip is unknown to who answers, with
 * samples where branches part. Two more such answers can follow, where a branch looked like an
 * extension. With up to a million chains that is at most six messages. */

#include "store/dag/vector.h"

#define WEIR_RECONCILE_MESSAGES_MAX 6u

/* Borrowed for a call. */
struct weir_reconcile {
    const struct weir_vector *ours;
    const struct weir_compare_store *store;
    struct weir_id key; /* of the session: nobody can prepare rows for it */
    size_t bytes_max;   /* of a message to say; what does not fit is left for another time, and a
                         * chain of more tips than fit is passed over */
};

/* What a message led to; zero-initialised is empty. Owns lacks. */
struct weir_reconciled {
    struct weir_ranges lacks; /* what they lack, of what was settled; appended to */
    bool more;                /* they hold something that is not here */
    bool answer;              /* what is to be said needs an answer; without, there may be one */
    bool cut;                 /* not all that is to be said was */
    size_t chains;            /* listed or told ones that differ */
};
void weir_reconciled_fini (struct weir_reconciled *r);

/* The first message; appended. */
void weir_reconcile_begin (const struct weir_reconcile *r, struct weir_buf *out);
/* Takes a message and appends the answer. WEIR_BAD_MESSAGE: it is none; nothing of *result and
 * *out is worth anything then. A message may say anything else: it costs work in proportion to
 * its length and to the vector's. */
WEIR_MUST enum weir_status weir_reconcile_step (const struct weir_reconcile *r,
                                                struct weir_bytes in, struct weir_buf *out,
                                                struct weir_reconciled *result);

#endif
