#ifndef WEIR_STORE_DAG_VECTOR_H
#define WEIR_STORE_DAG_VECTOR_H

/* Entry vectors: what is held, a row for each tip of each chain; what sync compares. Pure. */

#include "store/dag/entry.h"

/* One tip of one chain: entries 0..count-1 on the way to `tip` are held. */
struct weir_row {
    struct weir_chain chain;
    uint64_t count;
    struct weir_id tip;
};

/* Rows sorted by (author, lane, tip). Zero-initialised is empty. Owns rows. */
struct weir_vector {
    struct weir_row *rows;
    size_t count;
    size_t cap;
};

void weir_vector_fini (struct weir_vector *v);
void weir_vector_clear (struct weir_vector *v);
void weir_vector_copy (struct weir_vector *to, const struct weir_vector *from);
bool weir_vector_equal (const struct weir_vector *a, const struct weir_vector *b);
/* Adds a row, or grows the count of the row with that tip. */
void weir_vector_put (struct weir_vector *v, const struct weir_row *row);
/* The tip `from` of the chain became `row` (a chain grew); a new row when `from` is not there. */
void weir_vector_advance (struct weir_vector *v, const struct weir_id *from,
                          const struct weir_row *row);
/* Takes the row with that tip out; false: there is none. */
bool weir_vector_drop (struct weir_vector *v, const struct weir_chain *chain,
                       const struct weir_id *tip);
/* The row with that tip, or NULL. */
const struct weir_row *weir_vector_find (const struct weir_vector *v,
                                         const struct weir_chain *chain, const struct weir_id *tip);
/* The rows of one chain: *count of them from the result on (NULL when none). */
const struct weir_row *weir_vector_chain (const struct weir_vector *v,
                                          const struct weir_chain *chain, size_t *count);
/* BLAKE2b over the sorted rows: equal digests mean equal sets of entries. */
struct weir_id weir_vector_digest (const struct weir_vector *v);

/* Consecutive entries from_seq .. to_seq-1 of a chain, ending in the entry `tip`. */
struct weir_range {
    struct weir_chain chain;
    uint64_t from_seq;
    uint64_t to_seq;
    struct weir_id tip;
};

struct weir_ranges {
    struct weir_range *items;
    size_t count;
    size_t cap;
};
void weir_ranges_fini (struct weir_ranges *r);
void weir_ranges_clear (struct weir_ranges *r);
/* Appends, growing the last when it continues it (`prev_tip` is the id before from_seq, zero
 * when unknown: then never joined). */
void weir_ranges_add (struct weir_ranges *r, const struct weir_range *range,
                      const struct weir_id *prev_tip);

/* A row as it is told to another node. Samples are (seq, id) pairs along the way to the tip,
 * sent only where the other side's tip of this chain was unknown here, so that it finds where
 * the branches part: tip-1, tip-2, tip-4, ... then the first; greatest seq first. */
struct weir_sample {
    uint64_t seq;
    struct weir_id id;
};
struct weir_told_row {
    struct weir_row row;
    size_t n_samples;
    struct weir_sample *samples; /* borrowed or in an arena */
};

/* What comparison asks of a store. Both return false when it does not hold that. */
struct weir_compare_store {
    void *context;
    /* Where is this entry? */
    bool (*find) (void *context, const struct weir_id *entry, struct weir_chain *chain,
                  uint64_t *seq);
    /* The id at `seq` on the way to `tip`. */
    bool (*id_at) (void *context, const struct weir_row *tip, uint64_t seq, struct weir_id *id);
};

/* Compares what is held here with what another node told of the same chains. Appends to *lacks
 * the ranges they lack (never overlapping): from behind what they are known to hold, else from
 * 0. They hold the way to every told tip that is held here, and to the first of its samples that
 * is, where the tip is unknown here. *more is set when they hold something we do not.
 * *unknown lists our rows that need samples in our answer: rows of chains in which they told a
 * tip that is unknown here and that is not a plain extension (by the look of it: the only one,
 * and longer than the only row of ours that they do not hold). An unknown tip that came
 * *without* samples (and has entries before it) does not say where it parts from ours: then
 * nothing of its chain is in *lacks, only in *unknown; tell our rows with samples, and theirs
 * will come with samples. Samples for a row are worth telling once an exchange.
 * `told` may come from anywhere: absurd rows only cost their sender. */
void weir_vector_compare (const struct weir_vector *ours, const struct weir_told_row *told,
                          size_t n_told, const struct weir_compare_store *store,
                          struct weir_ranges *lacks, bool *more, struct weir_vector *unknown);
/* Fills samples[] (at most `max`) for a row; returns how many. */
size_t weir_vector_samples (const struct weir_row *row, const struct weir_compare_store *store,
                            struct weir_sample *samples, size_t max);

#endif
