#ifndef WEIR_TESTS_MODELS_FUGUE_H
#define WEIR_TESTS_MODELS_FUGUE_H

/* A sequence as the paper says it (Weidner and Kleppmann, The Art of the Fugue, 2023): a tree of
 * elements, where each is a left or right child of the one it was put beside; read in order. No
 * position is ever transformed: what a version shows is the tree without what it has not seen. A
 * version is a set of entries, a bit each. */

#include "store/crdt/container.h"

#define FUGUE_NONE UINT32_MAX
#define FUGUE_ENTRIES_MAX 64u

struct fugue_node {
    struct weir_chain chain; /* the place key */
    struct weir_id id;
    uint32_t offset;
    uint32_t entry;
    uint32_t parent;
    uint32_t first[2]; /* left and right children, by place key, linked by `next` */
    uint32_t next;
    uint32_t value;   /* the caller's */
    uint64_t deleted; /* by which entries */
};

struct fugue {
    struct fugue_node *nodes; /* 0: the root, before everything */
    size_t count;
    size_t cap;
    uint32_t *order; /* what fugue_list gave last */
    size_t n_order;
    size_t order_cap;
};

void fugue_init (struct fugue *f);
void fugue_fini (struct fugue *f);
/* The elements of a version in order: fills f->order. Deleted ones only when told so. */
void fugue_list (struct fugue *f, uint64_t version, bool with_deleted);
/* Puts `count` elements at a position of a version (which has the new entry in it, as far as it
 * went); their values count up. */
void fugue_insert (struct fugue *f, uint64_t version, uint32_t at, uint32_t count, uint32_t entry,
                   const struct weir_doc_entry *head, uint32_t offset, uint32_t value);
void fugue_delete (struct fugue *f, uint64_t version, uint32_t at, uint32_t count, uint32_t entry);

#endif
