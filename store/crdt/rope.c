/* Owns the B-tree of a sequence's entities (see rope.h): seeking, inserting, deleting, and the
 * counts of every node. It never looks at documents or events; seq_*.c call it. */

#include "store/crdt/rope.h"

#include <stdlib.h>
#include <string.h>

/* A leaf with fewer spans joins a neighbour when both together fill no more than JOIN_MAX. */
#define JOIN_BELOW (ROPE_SPANS / 4)
#define JOIN_MAX (ROPE_SPANS / 4 * 3)

/* ---- spans ---- */

static inline bool
span_is_ascii (const struct rope_span *s)
{
    return s->bytes == s->count;
}

static inline struct rope_counts
span_counts (const struct rope_span *s)
{
    return (struct rope_counts){ s->count, s->hidden ? 0 : s->count, s->bytes, s->astral };
}

static inline void
counts_add (struct rope_counts *to, const struct rope_counts *more)
{
    to->entities += more->entities;
    to->visible += more->visible;
    to->bytes += more->bytes;
    to->astral += more->astral;
}

/* Unsigned, so that adding it takes away. */
static inline struct rope_counts
counts_negative (const struct rope_counts *c)
{
    return (struct rope_counts){ 0u - c->entities, 0u - c->visible, 0u - c->bytes, 0u - c->astral };
}

static inline uint32_t
measure (const struct rope_counts *c, enum rope_unit unit)
{
    switch (unit) {
    case ROPE_ENTITIES:
        return c->entities;
    case ROPE_VISIBLE:
        return c->visible;
    case ROPE_BYTES:
        return c->bytes;
    case ROPE_UTF16:
        break;
    }
    return c->visible + c->astral;
}

uint32_t
weir_rope_measure (const struct rope_counts *counts, enum rope_unit unit)
{
    return measure (counts, unit);
}

static inline bool
span_joins (const struct rope_span *a, const struct rope_span *b)
{
    bool is_text = a->bytes > 0;
    if (a->hidden != b->hidden || is_text != (b->bytes > 0)
        || b->content != a->content + (is_text ? a->bytes : a->count)) {
        return false;
    }
    if (a->event == ROPE_NONE ? b->event != ROPE_NONE : b->event != a->event + a->count) {
        return false;
    }
    return !is_text || (span_is_ascii (a) && span_is_ascii (b))
           || a->count + b->count <= ROPE_MIXED_MAX;
}

static inline void
span_extend (struct rope_span *a, const struct rope_span *b)
{
    a->count += b->count;
    a->bytes += b->bytes;
    a->astral = (uint16_t) (a->astral + b->astral);
}

/* Cuts a span before `offset` (not 0, below its count); *right is the second part. */
static void
span_split (struct rope_span *s, const uint8_t *text, uint32_t offset, struct rope_span *right)
{
    uint32_t bytes = s->bytes > 0 ? offset : 0;
    uint32_t astral = 0;
    if (s->bytes > 0 && !span_is_ascii (s)) {
        bytes = weir_rope_text_bytes (text + s->content, offset);
        (void) weir_rope_text_scalars (text + s->content, bytes, &astral);
    }
    *right = *s;
    right->event = s->event == ROPE_NONE ? ROPE_NONE : s->event + offset;
    right->count = s->count - offset;
    right->content = s->content + (s->bytes > 0 ? bytes : offset);
    right->bytes = s->bytes - bytes;
    right->astral = (uint16_t) (s->astral - astral);
    s->count = offset;
    s->bytes = bytes;
    s->astral = (uint16_t) astral;
}

/* ---- nodes ---- */

void
weir_rope_fini (struct rope *self)
{
    free (self->leaves);
    free (self->nodes);
    *self = (struct rope){ 0 };
}

size_t
weir_rope_memory_bytes (const struct rope *self)
{
    return self->leaf_cap * sizeof *self->leaves + self->node_cap * sizeof *self->nodes;
}

static uint32_t
leaf_new (struct rope *self)
{
    uint32_t number;
    if (self->free_leaf != 0) {
        number = self->free_leaf - 1;
        self->free_leaf = self->leaves[number].next;
    } else {
        weir_grow (&self->leaves, &self->leaf_cap, self->leaf_count + 1, sizeof *self->leaves);
        number = (uint32_t) self->leaf_count++;
    }
    struct rope_leaf *leaf = &self->leaves[number];
    leaf->parent = leaf->next = leaf->prev = ROPE_NONE;
    leaf->slot = leaf->count = 0;
    return number;
}

static uint32_t
node_new (struct rope *self)
{
    uint32_t number;
    if (self->free_node != 0) {
        number = self->free_node - 1;
        self->free_node = self->nodes[number].parent;
    } else {
        weir_grow (&self->nodes, &self->node_cap, self->node_count + 1, sizeof *self->nodes);
        number = (uint32_t) self->node_count++;
    }
    struct rope_node *node = &self->nodes[number];
    node->parent = ROPE_NONE;
    node->slot = node->count = 0;
    return number;
}

static inline const struct rope_counts *
leaf_counts (const struct rope *self, uint32_t leaf)
{
    const struct rope_leaf *l = &self->leaves[leaf];
    return self->height == 0 ? &self->total : &self->nodes[l->parent].counts[l->slot];
}

/* Adds to the counts of a leaf. */
static inline void
leaf_add (struct rope *self, uint32_t leaf, const struct rope_counts *more)
{
    uint32_t parent = self->leaves[leaf].parent;
    uint32_t slot = self->leaves[leaf].slot;
    counts_add (&self->total, more);
    for (uint32_t level = self->height; level > 0; level--) {
        struct rope_node *node = &self->nodes[parent];
        counts_add (&node->counts[slot], more);
        parent = node->parent;
        slot = node->slot;
    }
}

/* `level` 0: the child is a leaf. */
static void
child_set (struct rope *self, uint32_t level, uint32_t parent, uint32_t slot)
{
    uint32_t child = self->nodes[parent].child[slot];
    if (level == 0) {
        self->leaves[child].parent = parent;
        self->leaves[child].slot = (uint16_t) slot;
    } else {
        self->nodes[child].parent = parent;
        self->nodes[child].slot = (uint16_t) slot;
    }
}

static void
child_insert (struct rope *self, uint32_t level, uint32_t parent, uint32_t slot, uint32_t child,
              const struct rope_counts *counts)
{
    struct rope_node *node = &self->nodes[parent];
    memmove (&node->counts[slot + 1], &node->counts[slot],
             (node->count - slot) * sizeof *node->counts);
    memmove (&node->child[slot + 1], &node->child[slot],
             (node->count - slot) * sizeof *node->child);
    node->counts[slot] = *counts;
    node->child[slot] = child;
    node->count++;
    for (uint32_t i = slot; i < node->count; i++) {
        child_set (self, level, parent, i);
    }
}

static void
root_grow (struct rope *self, uint32_t right, const struct rope_counts *moved)
{
    uint32_t number = node_new (self);
    struct rope_node *node = &self->nodes[number];
    struct rope_counts negative = counts_negative (moved);
    node->child[0] = self->root;
    node->child[1] = right;
    node->counts[0] = self->total;
    counts_add (&node->counts[0], &negative);
    node->counts[1] = *moved;
    node->count = 2;
    child_set (self, self->height, number, 0);
    child_set (self, self->height, number, 1);
    self->root = number;
    self->height++;
}

/* Moves the upper part of a full node into a new one, beside which `right` then finds room
 * behind `slot`; *moved becomes what the new one counts. */
static uint32_t
node_split (struct rope *self, uint32_t level, uint32_t number, uint32_t slot, uint32_t right,
            struct rope_counts *moved)
{
    uint32_t upper = node_new (self);
    struct rope_node *from = &self->nodes[number];
    struct rope_node *to = &self->nodes[upper];
    uint32_t half = slot == ROPE_FAN - 1 ? ROPE_FAN - 1 : ROPE_FAN / 2;
    to->count = (uint16_t) (ROPE_FAN - half);
    from->count = (uint16_t) half;
    memcpy (to->counts, from->counts + half, to->count * sizeof *to->counts);
    memcpy (to->child, from->child + half, to->count * sizeof *to->child);
    for (uint32_t i = 0; i < to->count; i++) {
        child_set (self, level, upper, i);
    }
    if (slot + 1 > half) {
        child_insert (self, level, upper, slot + 1 - half, right, moved);
    } else {
        child_insert (self, level, number, slot + 1, right, moved);
    }
    *moved = (struct rope_counts){ 0 };
    for (uint32_t i = 0; i < to->count; i++) {
        counts_add (moved, &to->counts[i]);
    }
    return upper;
}

/* Hangs `right` behind its neighbour `left`, a leaf, from which it has taken `moved`. */
static void
leaf_hang (struct rope *self, uint32_t left, uint32_t right, struct rope_counts moved)
{
    for (uint32_t level = 0; level < self->height; level++) {
        uint32_t parent = level == 0 ? self->leaves[left].parent : self->nodes[left].parent;
        uint32_t slot = level == 0 ? self->leaves[left].slot : self->nodes[left].slot;
        struct rope_counts negative = counts_negative (&moved);
        counts_add (&self->nodes[parent].counts[slot], &negative);
        if (self->nodes[parent].count < ROPE_FAN) {
            child_insert (self, level, parent, slot + 1, right, &moved);
            return;
        }
        right = node_split (self, level, parent, slot, right, &moved);
        left = parent;
    }
    root_grow (self, right, &moved);
}

/* Takes an empty leaf out, with the nodes that it leaves empty. The rope has others. */
static void
leaf_drop (struct rope *self, uint32_t number)
{
    struct rope_leaf *leaf = &self->leaves[number];
    uint32_t parent = leaf->parent;
    uint32_t slot = leaf->slot;
    if (leaf->next != ROPE_NONE) {
        self->leaves[leaf->next].prev = leaf->prev;
    } else {
        self->last = leaf->prev;
    }
    if (leaf->prev != ROPE_NONE) {
        self->leaves[leaf->prev].next = leaf->next;
    }
    leaf->next = self->free_leaf;
    self->free_leaf = number + 1;
    for (uint32_t level = 0; level < self->height; level++) {
        struct rope_node *node = &self->nodes[parent];
        node->count--;
        memmove (&node->counts[slot], &node->counts[slot + 1],
                 (node->count - slot) * sizeof *node->counts);
        memmove (&node->child[slot], &node->child[slot + 1],
                 (node->count - slot) * sizeof *node->child);
        for (uint32_t i = slot; i < node->count; i++) {
            child_set (self, level, parent, i);
        }
        if (node->count > 0) {
            break;
        }
        uint32_t empty = parent;
        parent = node->parent;
        slot = node->slot;
        node->parent = self->free_node;
        self->free_node = empty + 1;
    }
    while (self->height > 0 && self->nodes[self->root].count == 1) {
        uint32_t old = self->root;
        self->root = self->nodes[old].child[0];
        self->height--;
        self->nodes[old].parent = self->free_node;
        self->free_node = old + 1;
    }
}

/* ---- seeking ---- */

/* Makes the leaf near that holds the `at`-th of the unit, or, when `inclusive`, ends there. */
static inline void
descend (struct rope *self, enum rope_unit unit, uint32_t at, bool inclusive)
{
    uint32_t number = self->root;
    struct rope_counts before = { 0 };
    for (uint32_t level = self->height; level > 0; level--) {
        const struct rope_node *node = &self->nodes[number];
        uint32_t i = 0;
        for (; i + 1u < node->count; i++) {
            uint32_t width = measure (&node->counts[i], unit);
            if (at < width || (inclusive && at == width)) {
                break;
            }
            at -= width;
            counts_add (&before, &node->counts[i]);
        }
        number = node->child[i];
    }
    self->near = number;
    self->before_near = before;
}

/* The leaf where an insertion at `at` goes: that of the entity before. */
static inline void
seek_end (struct rope *self, uint32_t at)
{
    uint32_t before = self->before_near.entities;
    if ((at > before || before == 0) && at - before <= leaf_counts (self, self->near)->entities) {
        return;
    }
    descend (self, ROPE_ENTITIES, at, true);
}

/* The leaf that holds the `at`-th of the unit (below the total). */
static inline void
seek (struct rope *self, enum rope_unit unit, uint32_t at)
{
    uint32_t before = measure (&self->before_near, unit);
    const struct rope_counts *near = leaf_counts (self, self->near);
    uint32_t width = measure (near, unit);
    uint32_t next = self->leaves[self->near].next;
    if (at >= before && at - before < width) {
        return;
    }
    if (at >= before && next != ROPE_NONE
        && at - before - width < measure (leaf_counts (self, next), unit)) {
        counts_add (&self->before_near, near);
        self->near = next;
        return;
    }
    descend (self, unit, at, false);
}

static inline uint32_t
span_measure (const struct rope_span *s, enum rope_unit unit)
{
    struct rope_counts c = span_counts (s);
    return measure (&c, unit);
}

bool
weir_rope_find (struct rope *self, enum rope_unit unit, uint32_t at, struct rope_spot *spot)
{
    *spot = (struct rope_spot){ .leaf = ROPE_NONE, .before = self->total };
    if (at >= measure (&self->total, unit)) {
        return false;
    }
    seek (self, unit, at);
    const struct rope_leaf *leaf = &self->leaves[self->near];
    *spot = (struct rope_spot){ .leaf = self->near, .before = self->before_near };
    at -= measure (&self->before_near, unit);
    for (; at >= span_measure (&leaf->spans[spot->slot], unit); spot->slot++) {
        struct rope_counts c = span_counts (&leaf->spans[spot->slot]);
        at -= measure (&c, unit);
        counts_add (&spot->before, &c);
    }
    spot->offset = at;
    return true;
}

const struct rope_span *
weir_rope_at (const struct rope *self, const struct rope_spot *spot)
{
    return &self->leaves[spot->leaf].spans[spot->slot];
}

bool
weir_rope_next (const struct rope *self, struct rope_spot *spot)
{
    const struct rope_leaf *leaf = &self->leaves[spot->leaf];
    struct rope_counts c = span_counts (&leaf->spans[spot->slot]);
    counts_add (&spot->before, &c);
    spot->offset = 0;
    if (++spot->slot < leaf->count) {
        return true;
    }
    spot->slot = 0;
    spot->leaf = leaf->next;
    return spot->leaf != ROPE_NONE;
}

/* ---- changing: all at the leaf that is near ---- */

/* Opens a slot before *slot of the near leaf, splitting it when it is full. */
static void
open_slot (struct rope *self, uint32_t *slot)
{
    uint32_t number = self->near;
    struct rope_leaf *leaf = &self->leaves[number];
    if (leaf->count == ROPE_SPANS) {
        uint32_t right = leaf_new (self);
        struct rope_leaf *to = &self->leaves[right];
        struct rope_counts moved = { 0 };
        leaf = &self->leaves[number];
        uint32_t half =
            *slot == ROPE_SPANS && leaf->next == ROPE_NONE ? ROPE_SPANS : ROPE_SPANS / 2;
        to->count = (uint16_t) (ROPE_SPANS - half);
        leaf->count = (uint16_t) half;
        memcpy (to->spans, leaf->spans + half, to->count * sizeof *to->spans);
        for (uint32_t i = 0; i < to->count; i++) {
            struct rope_counts c = span_counts (&to->spans[i]);
            counts_add (&moved, &c);
        }
        to->next = leaf->next;
        to->prev = number;
        leaf->next = right;
        if (to->next != ROPE_NONE) {
            self->leaves[to->next].prev = right;
        } else {
            self->last = right;
        }
        leaf_hang (self, number, right, moved);
        if (*slot > half || half == ROPE_SPANS) {
            counts_add (&self->before_near, leaf_counts (self, number));
            self->near = right;
            *slot -= half;
            leaf = to;
        }
    }
    memmove (&leaf->spans[*slot + 1], &leaf->spans[*slot],
             (leaf->count - *slot) * sizeof *leaf->spans);
    leaf->count++;
}

/* Cuts a span of the near leaf before `offset`; *slot becomes that of the second part. */
static void
cut (struct rope *self, const uint8_t *text, uint32_t *slot, uint32_t offset)
{
    struct rope_span right;
    struct rope_span *s = &self->leaves[self->near].spans[*slot];
    struct rope_span whole = *s;
    span_split (&whole, text, offset, &right);
    struct rope_counts c = span_counts (&right);
    struct rope_counts negative = counts_negative (&c);
    *s = whole;
    leaf_add (self, self->near, &negative);
    ++*slot;
    open_slot (self, slot);
    self->leaves[self->near].spans[*slot] = right;
    leaf_add (self, self->near, &c);
}

/* Joins the near leaf's spans slot - 1 and slot where they may be one. */
static void
join (struct rope *self, uint32_t slot)
{
    struct rope_leaf *leaf = &self->leaves[self->near];
    if (slot == 0 || slot >= leaf->count
        || !span_joins (&leaf->spans[slot - 1], &leaf->spans[slot])) {
        return;
    }
    span_extend (&leaf->spans[slot - 1], &leaf->spans[slot]);
    leaf->count--;
    memmove (&leaf->spans[slot], &leaf->spans[slot + 1],
             (leaf->count - slot) * sizeof *leaf->spans);
}

void
weir_rope_insert (struct rope *self, const uint8_t *text, uint32_t at, const struct rope_span *span)
{
    struct rope_counts counts = span_counts (span);
    if (self->leaf_count == 0) {
        self->root = self->near = self->last = leaf_new (self);
    }
    seek_end (self, at);
    struct rope_leaf *leaf = &self->leaves[self->near];
    uint32_t slot = 0;
    at -= self->before_near.entities;
    while (slot < leaf->count && at > leaf->spans[slot].count) {
        at -= leaf->spans[slot++].count;
    }
    if (at > 0 && at == leaf->spans[slot].count) {
        if (span_joins (&leaf->spans[slot], span)) {
            span_extend (&leaf->spans[slot], span);
            leaf_add (self, self->near, &counts);
            return;
        }
        slot++;
    } else if (at > 0) {
        cut (self, text, &slot, at);
    }
    open_slot (self, &slot);
    self->leaves[self->near].spans[slot] = *span;
    leaf_add (self, self->near, &counts);
}

/* After a deletion: an empty leaf goes, a small one joins a neighbour below the same node. */
static void
shrink (struct rope *self)
{
    uint32_t number = self->near;
    struct rope_leaf *leaf = &self->leaves[number];
    if (self->height == 0 || leaf->count >= JOIN_BELOW) {
        return;
    }
    const struct rope_node *node = &self->nodes[leaf->parent];
    uint32_t left = number;
    uint32_t right = leaf->slot + 1u < node->count ? node->child[leaf->slot + 1] : ROPE_NONE;
    if (leaf->slot > 0 && (leaf->count == 0 || right == ROPE_NONE)) {
        right = number;
        left = node->child[leaf->slot - 1];
    }
    if (right == ROPE_NONE && leaf->count > 0) {
        return;
    }
    if (right == ROPE_NONE) {
        leaf_drop (self, number);
    } else {
        struct rope_leaf *l = &self->leaves[left];
        struct rope_leaf *r = &self->leaves[right];
        if (l->count > 0 && r->count > 0 && l->count + r->count > (int) JOIN_MAX) {
            return;
        }
        struct rope_counts moved = *leaf_counts (self, right);
        struct rope_counts negative = counts_negative (&moved);
        leaf_add (self, right, &negative);
        memcpy (l->spans + l->count, r->spans, r->count * sizeof *r->spans);
        l->count = (uint16_t) (l->count + r->count);
        leaf_add (self, left, &moved);
        leaf_drop (self, right);
    }
    descend (self, ROPE_ENTITIES, self->before_near.entities, false);
}

/* Deletes what of `count` entities from `at` on is in the near leaf; gives how many. */
static uint32_t
delete_near (struct rope *self, const uint8_t *text, uint32_t at, uint32_t count)
{
    struct rope_span right;
    uint32_t slot = 0;
    uint32_t offset = at - self->before_near.entities;
    struct rope_leaf *leaf = &self->leaves[self->near];
    for (; offset >= leaf->spans[slot].count; slot++) {
        offset -= leaf->spans[slot].count;
    }
    if (offset > 0 && offset + count < leaf->spans[slot].count) {
        cut (self, text, &slot, offset);
        leaf = &self->leaves[self->near];
        offset = 0;
    }
    struct rope_span *s = &leaf->spans[slot];
    struct rope_counts gone = { 0 };
    if (offset > 0) {
        span_split (s, text, offset, &right);
        gone = span_counts (&right);
    } else if (count < s->count) {
        span_split (s, text, count, &right);
        gone = span_counts (s);
        *s = right;
    } else {
        uint32_t end = slot;
        while (end < leaf->count && count - gone.entities >= leaf->spans[end].count) {
            struct rope_counts c = span_counts (&leaf->spans[end++]);
            counts_add (&gone, &c);
        }
        memmove (&leaf->spans[slot], &leaf->spans[end], (leaf->count - end) * sizeof *leaf->spans);
        leaf->count = (uint16_t) (leaf->count - (end - slot));
        join (self, slot);
    }
    struct rope_counts negative = counts_negative (&gone);
    leaf_add (self, self->near, &negative);
    return gone.entities;
}

void
weir_rope_delete (struct rope *self, const uint8_t *text, uint32_t at, uint32_t count)
{
    while (count > 0) {
        seek (self, ROPE_ENTITIES, at);
        count -= delete_near (self, text, at, count);
        shrink (self);
    }
}

/* Makes `count` entities from `at` on (of one span) a span of their own; gives its slot. */
static uint32_t
isolate (struct rope *self, const uint8_t *text, uint32_t at, uint32_t count)
{
    struct rope_spot spot;
    (void) weir_rope_find (self, ROPE_ENTITIES, at, &spot);
    uint32_t slot = spot.slot;
    if (spot.offset > 0) {
        cut (self, text, &slot, spot.offset);
    }
    if (self->leaves[self->near].spans[slot].count > count) {
        cut (self, text, &slot, count);
        (void) weir_rope_find (self, ROPE_ENTITIES, at, &spot);
        slot = spot.slot;
    }
    return slot;
}

void
weir_rope_hide (struct rope *self, uint32_t at, bool hidden)
{
    struct rope_spot spot;
    if (!weir_rope_find (self, ROPE_ENTITIES, at, &spot)
        || weir_rope_at (self, &spot)->hidden == hidden) {
        return;
    }
    uint32_t slot = isolate (self, NULL, at, 1);
    struct rope_counts more = { .visible = hidden ? 0u - 1u : 1u };
    self->leaves[self->near].spans[slot].hidden = hidden;
    leaf_add (self, self->near, &more);
    join (self, slot + 1);
    join (self, slot);
}

uint32_t
weir_rope_assign (struct rope *self, const uint8_t *text, uint32_t at, uint32_t event,
                  uint32_t count)
{
    struct rope_spot spot;
    (void) weir_rope_find (self, ROPE_ENTITIES, at, &spot);
    const struct rope_span *s = weir_rope_at (self, &spot);
    uint32_t left = s->count - spot.offset;
    if (count > left) {
        count = left;
    }
    if (s->event != ROPE_NONE && s->event + spot.offset == event) {
        return count;
    }
    uint32_t slot = isolate (self, text, at, count);
    self->leaves[self->near].spans[slot].event = event;
    join (self, slot);
    return count;
}
