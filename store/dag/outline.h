#ifndef WEIR_STORE_DAG_OUTLINE_H
#define WEIR_STORE_DAG_OUTLINE_H

/* The ladder's first rung as bytes: what a node holds, in few words. Heads say all to whom knows
 * them all (their past is held with them); the hint says it to whom can tell what both held at
 * the digest it names. Pure. */

#include "store/dag/vector.h"

/* Zero-initialised is empty. Owns heads and rows. */
struct weir_outline {
    bool known;            /* all that you told is held here, and what you lack comes */
    bool answer;           /* to heads that were told */
    struct weir_id digest; /* of the teller's vector */
    uint64_t chains;       /* rows of it; 0: it holds nothing */
    size_t n_heads;        /* 0, though there are chains: too many */
    struct weir_id *heads;
    struct weir_id hint;     /* a digest both had; zero: no hint */
    struct weir_vector rows; /* of the chains that changed since then, all their rows */
};
void weir_outline_fini (struct weir_outline *h);
void weir_outline_put (const struct weir_outline *h, struct weir_buf *out);
/* WEIR_BAD_MESSAGE, and *h is empty. Counts are bounded by the bytes and by limits.h. */
WEIR_MUST enum weir_status weir_outline_read (struct weir_outline *h, struct weir_bytes bytes);
/* The teller's vector, from ours as it was at `hint`. WEIR_GAP when its digest is not the one
 * told: then the hint is worth nothing. */
WEIR_MUST enum weir_status weir_outline_vector (const struct weir_outline *h,
                                                const struct weir_vector *then,
                                                struct weir_vector *theirs);
/* Rows of chains in which two vectors differ, of either. */
void weir_vector_differing (const struct weir_vector *a, const struct weir_vector *b,
                            struct weir_vector *of_a, struct weir_vector *of_b);

#endif
