#ifndef WEIR_STORE_CRDT_ROPE_H
#define WEIR_STORE_CRDT_ROPE_H

/* The entities of a sequence that are there now: an order-statistic B-tree of spans, each node
 * holding what lies below it in every unit that positions come in. Only seq_*.c includes this;
 * what events and content mean, they know. Positions are entities and must be in range. Pure code.
 *
 * Leaves and inner nodes lie in two pools and name each other by number. The leaf of the last
 * edit is remembered with what lies before it, so that edits in one place cost no search. */

#include "store/base/bytes.h"

#define ROPE_NONE UINT32_MAX
#define ROPE_SPANS 32u /* in a leaf */
#define ROPE_FAN 32u   /* children of a node */
/* Scalars in a span that are not all ASCII: to cut one, its bytes are read. */
#define ROPE_MIXED_MAX 1024u

/* A stretch of entities: events and content of all follow from the first's. */
struct rope_span {
    uint32_t event; /* UINT32_MAX: unknown, of all */
    uint32_t count;
    uint32_t content; /* of text: where its bytes begin */
    uint32_t bytes;   /* of text that shows; else 0 */
    uint16_t astral;  /* of it beyond U+FFFF: two units of UTF-16 */
    bool hidden;
};

struct rope_counts {
    uint32_t entities;
    uint32_t visible;
    uint32_t bytes;
    uint32_t astral;
};
enum rope_unit { ROPE_ENTITIES, ROPE_VISIBLE, ROPE_BYTES, ROPE_UTF16 };

struct rope_leaf {
    struct rope_span spans[ROPE_SPANS];
    uint32_t parent;
    uint32_t next;
    uint32_t prev;
    uint16_t slot; /* in parent */
    uint16_t count;
};

struct rope_node {
    struct rope_counts counts[ROPE_FAN];
    uint32_t child[ROPE_FAN];
    uint32_t parent;
    uint16_t slot;
    uint16_t count;
};

/* Zero-initialised is empty. */
struct rope {
    struct rope_leaf *leaves;
    size_t leaf_count;
    size_t leaf_cap;
    struct rope_node *nodes;
    size_t node_count;
    size_t node_cap;
    uint32_t free_leaf; /* number + 1 of the first free one; they are linked by `next` */
    uint32_t free_node; /* by `parent` */
    uint32_t root;      /* a leaf when height is 0 */
    uint32_t height;    /* levels of inner nodes */
    uint32_t last;      /* leaf */
    struct rope_counts total;
    uint32_t near; /* the leaf at hand, when leaf_count > 0 */
    struct rope_counts before_near;
};

/* Where an entity is. */
struct rope_spot {
    uint32_t leaf;
    uint32_t slot;
    uint32_t offset;           /* in the span */
    struct rope_counts before; /* the span */
};

void weir_rope_fini (struct rope *self); /* leaves it empty and ready */
size_t weir_rope_memory_bytes (const struct rope *self);
/* `text`: where the bytes of text lie; NULL: it is none. A span of text that does not hold ASCII
 * only must be within ROPE_MIXED_MAX (see weir_rope_text_chunk). */
void weir_rope_insert (struct rope *self, const uint8_t *text, uint32_t at,
                       const struct rope_span *span);
void weir_rope_delete (struct rope *self, const uint8_t *text, uint32_t at, uint32_t count);
/* Hides or shows one entity, which is no text. */
void weir_rope_hide (struct rope *self, uint32_t at, bool hidden);
/* Finds the entity at `at`, or in another unit the visible one that holds it; false: at the end,
 * then before is everything. In visible units hidden ones are passed. */
bool weir_rope_find (struct rope *self, enum rope_unit unit, uint32_t at, struct rope_spot *spot);
uint32_t weir_rope_measure (const struct rope_counts *counts, enum rope_unit unit);
const struct rope_span *weir_rope_at (const struct rope *self, const struct rope_spot *spot);
/* On to the next span; false: there is none. */
bool weir_rope_next (const struct rope *self, struct rope_spot *spot);
/* Gives the entities from `at` on consecutive events, as far as those of one span go, and gives
 * how many. */
uint32_t weir_rope_assign (struct rope *self, const uint8_t *text, uint32_t at, uint32_t event,
                           uint32_t count);

/* ---- text ---- */

/* How many bytes the first `scalars` of valid UTF-8 are. */
uint32_t weir_rope_text_bytes (const uint8_t *text, uint32_t scalars);
/* Counts scalars and what is beyond U+FFFF in valid UTF-8. */
uint32_t weir_rope_text_scalars (const uint8_t *text, size_t len, uint32_t *astral);
/* The longest beginning of valid UTF-8 that makes a span: its count, bytes, astral. */
void weir_rope_text_chunk (const uint8_t *text, size_t len, struct rope_span *span);

#endif
