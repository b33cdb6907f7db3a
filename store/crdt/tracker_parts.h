#ifndef WEIR_STORE_CRDT_TRACKER_PARTS_H
#define WEIR_STORE_CRDT_TRACKER_PARTS_H

/* The tracker's parts: its tree of spans (tracker_tree.c), the index from events to places in it
 * (tracker_index.c), and what they lend tracker.c. Nobody else includes this.
 *
 * Leaves and inner nodes lie in two pools and name each other by number, so that pools may move.
 * A leaf is a column each of what spans hold: a search touches two of them. Spans only ever
 * leave a leaf by joining a neighbour in it, so leaves never run empty and are never freed. */

#include "store/crdt/tracker.h"

#define TRACKER_NONE UINT32_MAX
#define TRACKER_SPANS 32u /* in a leaf */
#define TRACKER_FAN 16u   /* children of a node */

/* A span's state: how often it was inserted and deleted at hand, and whether it was ever deleted
 * at the end. 0: not yet inserted, 1: there, n: deleted n - 1 times. */
#define STATE_EVER 1u
#define STATE_STEP 2u
#define STATE_ABSENT_MAX STATE_EVER /* up to here: not yet inserted */
#define STATE_THERE STATE_STEP      /* there at hand and at the end */

struct tracker_leaf {
    uint32_t id[TRACKER_SPANS]; /* of the first element; the others follow */
    uint32_t len[TRACKER_SPANS];
    uint32_t state[TRACKER_SPANS];
    /* Of the first element; the others' left origin is the one before, and they have no right
     * parent. The right parent is Fugue's: the right origin if it has the same left origin. */
    uint32_t left[TRACKER_SPANS];
    uint32_t right[TRACKER_SPANS];
    uint32_t parent;
    uint32_t next;
    uint32_t prev;
    uint16_t slot; /* in parent */
    uint16_t count;
};

/* The widths of a part of the tree. */
struct tracker_widths {
    uint32_t hand;
    uint32_t end;
    uint32_t base; /* elements of the placeholder */
};

struct tracker_node {
    uint32_t hand[TRACKER_FAN];
    uint32_t end[TRACKER_FAN];
    uint32_t base[TRACKER_FAN];
    uint32_t child[TRACKER_FAN];
    uint32_t parent;
    uint16_t slot;
    uint16_t count;
};

/* 256 events: where an insertion is (leaf), or what a deletion deletes (element). */
#define INDEX_PAGE 256u
struct tracker_page {
    uint32_t value[INDEX_PAGE];
    uint8_t deletes[INDEX_PAGE / 8];
};

struct tracker_index {
    struct tracker_page *pages;
    size_t page_count;
    size_t page_cap;
    /* By event / INDEX_PAGE, from `first` on: a page + 1; 0: no events yet; or a deletion of
     * consecutive elements that fills a page and costs no page: INDEX_WHOLE | the first. */
    uint64_t *directory;
    size_t first;
    size_t count;
    size_t cap;
};
#define INDEX_WHOLE ((uint64_t) 1 << 32)

struct tracker_spot {
    uint32_t leaf;
    uint32_t slot;
    uint32_t offset;
    uint32_t end_before; /* elements of the end before the span */
};

struct weir_tracker {
    struct tracker_leaf *leaves;
    size_t leaf_count;
    size_t leaf_cap;
    struct tracker_node *nodes;
    size_t node_count;
    size_t node_cap;
    uint32_t root; /* a leaf when height is 0 */
    uint32_t height;
    uint32_t first_leaf;
    struct tracker_widths total;
    uint64_t steps; /* siblings passed */
    /* The leaf of the last edit, and what of the version at hand and the end is before it. */
    uint32_t near;
    uint32_t near_hand;
    uint32_t near_end;
    struct tracker_index index;
    weir_tracker_compare_fn *compare;
    void *context;
};

static inline uint32_t
tracker_hand_width (uint32_t state, uint32_t len)
{
    return (state & ~STATE_EVER) == STATE_THERE ? len : 0;
}

static inline uint32_t
tracker_end_width (uint32_t state, uint32_t len)
{
    return (state & STATE_EVER) == 0 ? len : 0;
}

/* ---- tracker_tree.c ---- */

void weir_tracker_tree_init (struct weir_tracker *self, uint32_t base_length);
/* Finds the `at`-th element at hand (below the length). */
void weir_tracker_seek_hand (struct weir_tracker *self, uint32_t at, struct tracker_spot *spot);
void weir_tracker_seek_end (const struct weir_tracker *self, uint32_t at,
                            struct tracker_spot *spot);
void tracker_seek_base (const struct weir_tracker *self, uint32_t at, struct tracker_spot *spot);
/* Finds a known element: an inserted event, or one of the placeholder. end_before is not given. */
void weir_tracker_locate (const struct weir_tracker *self, uint32_t id, struct tracker_spot *spot);
/* Elements of the end before a leaf. */
uint32_t weir_tracker_leaf_end (const struct weir_tracker *self, uint32_t leaf);
/* Does a span stand before another? */
bool weir_tracker_is_before (const struct weir_tracker *self, const struct tracker_spot *a,
                             const struct tracker_spot *b);
/* Adds to the widths of a leaf; unsigned, so that adding -n takes away. */
void weir_tracker_add (struct weir_tracker *self, uint32_t leaf, uint32_t hand, uint32_t end);
/* Opens a slot before slot *at of a leaf, splitting it when it is full; *leaf and *at become
 * where the new slot is, empty. */
void weir_tracker_open (struct weir_tracker *self, uint32_t *leaf, uint32_t *at);
/* Gives `count` elements from `offset` on of a span another state. */
void weir_tracker_flip (struct weir_tracker *self, uint32_t leaf, uint32_t slot, uint32_t offset,
                        uint32_t count, uint32_t state);
/* Cuts a span in two before `offset` (not 0); *leaf and *slot become those of the second part. */
void weir_tracker_cut (struct weir_tracker *self, uint32_t *leaf, uint32_t *slot, uint32_t offset);

/* ---- tracker_index.c ---- */

void weir_tracker_index_fini (struct tracker_index *self);
size_t weir_tracker_index_bytes (const struct tracker_index *self);
/* Says that inserted events are in a leaf. */
void weir_tracker_index_insert (struct tracker_index *self, uint32_t event, uint32_t count,
                                uint32_t leaf);
/* Says what events delete. */
void weir_tracker_index_delete (struct tracker_index *self, uint32_t event, uint32_t count,
                                uint32_t target);
/* What an event does. An insertion: the leaf it is in. A deletion: the element; *count becomes
 * how many events from it on, at most as many as it was, delete the elements that follow. */
bool weir_tracker_index_get (const struct tracker_index *self, uint32_t event, uint32_t *count,
                             uint32_t *value);

#endif
