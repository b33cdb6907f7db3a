/* The tracker's tree of spans: finding by widths, splitting leaves and nodes, cutting and joining
 * spans. Widths are kept in the parents; a leaf's own are what its spans add up to. */

#include "store/crdt/tracker_parts.h"

#include <stdlib.h>
#include <string.h>

static uint32_t
new_leaf (struct weir_tracker *self)
{
    if (self->leaf_count == self->leaf_cap) {
        self->leaf_cap += self->leaf_cap / 2 + 1;
        self->leaves = weir_realloc (self->leaves, self->leaf_cap * sizeof *self->leaves);
    }
    struct tracker_leaf *leaf = &self->leaves[self->leaf_count];
    leaf->parent = leaf->next = leaf->prev = TRACKER_NONE;
    leaf->slot = leaf->count = 0;
    return (uint32_t) self->leaf_count++;
}

static uint32_t
new_node (struct weir_tracker *self)
{
    if (self->node_count == self->node_cap) {
        self->node_cap += self->node_cap / 2 + 1;
        self->nodes = weir_realloc (self->nodes, self->node_cap * sizeof *self->nodes);
    }
    struct tracker_node *node = &self->nodes[self->node_count];
    node->parent = TRACKER_NONE;
    node->slot = node->count = 0;
    return (uint32_t) self->node_count++;
}

void
weir_tracker_tree_init (struct weir_tracker *self, uint32_t base_length)
{
    self->root = self->first_leaf = new_leaf (self);
    self->near = TRACKER_NONE;
    if (base_length > 0) {
        struct tracker_leaf *leaf = &self->leaves[self->root];
        leaf->id[0] = WEIR_TRACKER_BASE;
        leaf->len[0] = base_length;
        leaf->state[0] = STATE_THERE;
        leaf->left[0] = leaf->right[0] = TRACKER_NONE;
        leaf->count = 1;
    }
    self->total = (struct tracker_widths){ base_length, base_length, base_length };
}

/* ---- finding ---- */

void
weir_tracker_seek_hand (struct weir_tracker *self, uint32_t at, struct tracker_spot *spot)
{
    uint32_t place = self->near;
    uint32_t hand = self->near_hand;
    uint32_t end = self->near_end;
    uint32_t width = 0;
    if (place != TRACKER_NONE) {
        const struct tracker_leaf *leaf = &self->leaves[place];
        width = leaf->parent == TRACKER_NONE ? self->total.hand
                                             : self->nodes[leaf->parent].hand[leaf->slot];
    }
    if (place == TRACKER_NONE || at - hand >= width) {
        weir_assert (at < self->total.hand);
        place = self->root;
        hand = end = 0;
        for (uint32_t level = self->height; level > 0; level--) {
            const struct tracker_node *node = &self->nodes[place];
            uint32_t i = 0;
            while (at - hand >= node->hand[i]) {
                hand += node->hand[i];
                end += node->end[i];
                i++;
            }
            place = node->child[i];
        }
        self->near = place;
        self->near_hand = hand;
        self->near_end = end;
    }
    const struct tracker_leaf *leaf = &self->leaves[place];
    uint32_t left = at - hand;
    uint32_t i = 0;
    for (;;) {
        uint32_t here = tracker_hand_width (leaf->state[i], leaf->len[i]);
        if (left < here) {
            break;
        }
        left -= here;
        end += tracker_end_width (leaf->state[i], leaf->len[i]);
        i++;
    }
    *spot = (struct tracker_spot){ place, i, left, end };
}

void
weir_tracker_seek_end (const struct weir_tracker *self, uint32_t at, struct tracker_spot *spot)
{
    weir_assert (at < self->total.end);
    uint32_t left = at;
    uint32_t place = self->root;
    for (uint32_t level = self->height; level > 0; level--) {
        const struct tracker_node *node = &self->nodes[place];
        uint32_t i = 0;
        while (left >= node->end[i]) {
            left -= node->end[i++];
        }
        place = node->child[i];
    }
    const struct tracker_leaf *leaf = &self->leaves[place];
    uint32_t i = 0;
    for (;;) {
        uint32_t here = tracker_end_width (leaf->state[i], leaf->len[i]);
        if (left < here) {
            break;
        }
        left -= here;
        i++;
    }
    *spot = (struct tracker_spot){ place, i, left, at - left };
}

/* The span of a leaf that has this element. */
static uint32_t
slot_of (const struct tracker_leaf *leaf, uint32_t id)
{
    uint32_t i = 0;
    while (i < leaf->count && id - leaf->id[i] >= leaf->len[i]) {
        i++;
    }
    weir_assert (i < leaf->count);
    return i;
}

void
weir_tracker_locate (const struct weir_tracker *self, uint32_t id, struct tracker_spot *spot)
{
    uint32_t place = self->root;
    if (id < WEIR_TRACKER_BASE) {
        uint32_t count = 1;
        bool deletes = weir_tracker_index_get (&self->index, id, &count, &place);
        weir_assert (!deletes);
    } else {
        /* The placeholder's elements stand in their order. */
        uint32_t left = id - WEIR_TRACKER_BASE;
        weir_assert (left < self->total.base);
        for (uint32_t level = self->height; level > 0; level--) {
            const struct tracker_node *node = &self->nodes[place];
            uint32_t i = 0;
            while (left >= node->base[i]) {
                left -= node->base[i++];
            }
            place = node->child[i];
        }
    }
    const struct tracker_leaf *leaf = &self->leaves[place];
    uint32_t slot = slot_of (leaf, id);
    *spot = (struct tracker_spot){ place, slot, id - leaf->id[slot], 0 };
}

uint32_t
weir_tracker_leaf_end (const struct weir_tracker *self, uint32_t leaf)
{
    uint32_t end = 0;
    uint32_t slot = self->leaves[leaf].slot;
    for (uint32_t at = self->leaves[leaf].parent; at != TRACKER_NONE;) {
        const struct tracker_node *node = &self->nodes[at];
        for (uint32_t i = 0; i < slot; i++) {
            end += node->end[i];
        }
        slot = node->slot;
        at = node->parent;
    }
    return end;
}

bool
weir_tracker_is_before (const struct weir_tracker *self, const struct tracker_spot *a,
                        const struct tracker_spot *b)
{
    if (a->leaf == b->leaf) {
        return a->slot < b->slot || (a->slot == b->slot && a->offset < b->offset);
    }
    const struct tracker_leaf *leaf_a = &self->leaves[a->leaf];
    const struct tracker_leaf *leaf_b = &self->leaves[b->leaf];
    uint32_t slot_a = leaf_a->slot;
    uint32_t slot_b = leaf_b->slot;
    uint32_t up_a = leaf_a->parent;
    uint32_t up_b = leaf_b->parent;
    while (up_a != up_b) {
        slot_a = self->nodes[up_a].slot;
        slot_b = self->nodes[up_b].slot;
        up_a = self->nodes[up_a].parent;
        up_b = self->nodes[up_b].parent;
    }
    return slot_a < slot_b;
}

void
weir_tracker_add (struct weir_tracker *self, uint32_t leaf, uint32_t hand, uint32_t end)
{
    if (leaf != self->near) {
        self->near = TRACKER_NONE;
    }
    uint32_t slot = self->leaves[leaf].slot;
    for (uint32_t at = self->leaves[leaf].parent; at != TRACKER_NONE;) {
        struct tracker_node *node = &self->nodes[at];
        node->hand[slot] += hand;
        node->end[slot] += end;
        slot = node->slot;
        at = node->parent;
    }
    self->total.hand += hand;
    self->total.end += end;
}

/* ---- growing ---- */

/* Says to the children of a node from slot `from` on where they are. */
static void
node_settle (struct weir_tracker *self, uint32_t at, uint32_t from, uint32_t level)
{
    const struct tracker_node *node = &self->nodes[at];
    for (uint32_t i = from; i < node->count; i++) {
        if (level == 1) {
            self->leaves[node->child[i]].parent = at;
            self->leaves[node->child[i]].slot = (uint16_t) i;
        } else {
            self->nodes[node->child[i]].parent = at;
            self->nodes[node->child[i]].slot = (uint16_t) i;
        }
    }
}

static void
node_put (struct weir_tracker *self, uint32_t at, uint32_t slot, uint32_t child,
          struct tracker_widths widths, uint32_t level)
{
    struct tracker_node *node = &self->nodes[at];
    size_t bytes = (node->count - slot) * sizeof (uint32_t);
    memmove (node->hand + slot + 1, node->hand + slot, bytes);
    memmove (node->end + slot + 1, node->end + slot, bytes);
    memmove (node->base + slot + 1, node->base + slot, bytes);
    memmove (node->child + slot + 1, node->child + slot, bytes);
    node->hand[slot] = widths.hand;
    node->end[slot] = widths.end;
    node->base[slot] = widths.base;
    node->child[slot] = child;
    node->count++;
    node_settle (self, at, slot, level);
}

/* A root above the root, whose only child that is. */
static void
grow_up (struct weir_tracker *self)
{
    uint32_t root = new_node (self);
    self->height++;
    node_put (self, root, 0, self->root, self->total, self->height);
    self->root = root;
}

/* Halves a node at a level; its parent has room. */
static void
node_split (struct weir_tracker *self, uint32_t at, uint32_t level)
{
    uint32_t fresh = new_node (self);
    struct tracker_node *node = &self->nodes[at];
    struct tracker_node *other = &self->nodes[fresh];
    uint32_t keep = node->count / 2;
    uint32_t moved = node->count - keep;
    struct tracker_widths widths = { 0 };
    memcpy (other->hand, node->hand + keep, moved * sizeof *node->hand);
    memcpy (other->end, node->end + keep, moved * sizeof *node->end);
    memcpy (other->base, node->base + keep, moved * sizeof *node->base);
    memcpy (other->child, node->child + keep, moved * sizeof *node->child);
    for (uint32_t i = 0; i < moved; i++) {
        widths.hand += other->hand[i];
        widths.end += other->end[i];
        widths.base += other->base[i];
    }
    node->count = (uint16_t) keep;
    other->count = (uint16_t) moved;
    node_settle (self, fresh, 0, level);
    struct tracker_node *parent = &self->nodes[node->parent];
    parent->hand[node->slot] -= widths.hand;
    parent->end[node->slot] -= widths.end;
    parent->base[node->slot] -= widths.base;
    node_put (self, node->parent, node->slot + 1u, fresh, widths, level + 1);
}

/* Sees to it that the parent of a leaf has room for one more. */
static void
make_room (struct weir_tracker *self, uint32_t leaf)
{
    if (self->height == 0) {
        grow_up (self);
    }
    while (self->nodes[self->leaves[leaf].parent].count == TRACKER_FAN) {
        /* Split the highest of the full ones first. */
        uint32_t level = 1;
        uint32_t at = self->leaves[leaf].parent;
        while (self->nodes[at].parent != TRACKER_NONE
               && self->nodes[self->nodes[at].parent].count == TRACKER_FAN) {
            at = self->nodes[at].parent;
            level++;
        }
        if (self->nodes[at].parent == TRACKER_NONE) {
            grow_up (self);
        }
        node_split (self, at, level);
    }
}

/* Events, of those inserted, in some spans of a leaf. */
static uint64_t
weight (const struct tracker_leaf *leaf, uint32_t from, uint32_t to)
{
    uint64_t n = 0;
    for (uint32_t i = from; i < to; i++) {
        n += leaf->id[i] < WEIR_TRACKER_BASE ? leaf->len[i] : 0;
    }
    return n;
}

static void
move_spans (struct tracker_leaf *to, uint32_t at, const struct tracker_leaf *from, uint32_t slot,
            uint32_t count)
{
    size_t bytes = count * sizeof (uint32_t);
    memmove (to->id + at, from->id + slot, bytes);
    memmove (to->len + at, from->len + slot, bytes);
    memmove (to->state + at, from->state + slot, bytes);
    memmove (to->left + at, from->left + slot, bytes);
    memmove (to->right + at, from->right + slot, bytes);
}

/* Moves the spans of a leaf from slot `from` to `to` (its first or its last) to a fresh leaf
 * beside it. */
static uint32_t
leaf_split (struct weir_tracker *self, uint32_t at, uint32_t from, uint32_t to)
{
    uint32_t fresh = new_leaf (self);
    make_room (self, at);
    struct tracker_leaf *leaf = &self->leaves[at];
    struct tracker_leaf *other = &self->leaves[fresh];
    struct tracker_widths widths = { 0 };
    move_spans (other, 0, leaf, from, to - from);
    other->count = (uint16_t) (to - from);
    for (uint32_t i = 0; i < other->count; i++) {
        widths.hand += tracker_hand_width (other->state[i], other->len[i]);
        widths.end += tracker_end_width (other->state[i], other->len[i]);
        if (other->id[i] >= WEIR_TRACKER_BASE) {
            widths.base += other->len[i];
        } else {
            weir_tracker_index_insert (&self->index, other->id[i], other->len[i], fresh);
        }
    }
    bool before = from == 0 && to < leaf->count;
    if (before) {
        move_spans (leaf, 0, leaf, to, leaf->count - to);
    }
    leaf->count = (uint16_t) (leaf->count - other->count);
    other->prev = before ? leaf->prev : at;
    other->next = before ? at : leaf->next;
    *(other->prev == TRACKER_NONE ? &self->first_leaf : &self->leaves[other->prev].next) = fresh;
    if (other->next != TRACKER_NONE) {
        self->leaves[other->next].prev = fresh;
    }
    struct tracker_node *parent = &self->nodes[leaf->parent];
    parent->hand[leaf->slot] -= widths.hand;
    parent->end[leaf->slot] -= widths.end;
    parent->base[leaf->slot] -= widths.base;
    node_put (self, leaf->parent, before ? leaf->slot : leaf->slot + 1u, fresh, widths, 1);
    self->near = TRACKER_NONE;
    return fresh;
}

/* Splits a full leaf around slot *at: the lighter side moves, so that a long span which much is
 * put beside does not move again and again. */
static void
leaf_divide (struct weir_tracker *self, uint32_t *leaf, uint32_t *at)
{
    const struct tracker_leaf *full = &self->leaves[*leaf];
    uint32_t count = full->count;
    if (*at == count) {
        /* At the end, where typing goes on: leave the leaf nearly full. */
        *leaf = leaf_split (self, *leaf, count - 1, count);
        *at = 1;
        return;
    }
    uint32_t half = count / 2;
    bool before = weight (full, 0, half) < weight (full, half, count);
    uint32_t fresh =
        before ? leaf_split (self, *leaf, 0, half) : leaf_split (self, *leaf, half, count);
    uint32_t left = before ? fresh : *leaf;
    uint32_t right = before ? *leaf : fresh;
    *leaf = *at <= half ? left : right;
    *at -= *at <= half ? 0 : half;
}

void
weir_tracker_open (struct weir_tracker *self, uint32_t *leaf, uint32_t *at)
{
    if (self->leaves[*leaf].count == TRACKER_SPANS) {
        leaf_divide (self, leaf, at);
    }
    struct tracker_leaf *to = &self->leaves[*leaf];
    move_spans (to, *at + 1, to, *at, to->count - *at);
    to->len[*at] = 0;
    to->count++;
}

/* ---- spans ---- */

void
weir_tracker_cut (struct weir_tracker *self, uint32_t *leaf, uint32_t *slot, uint32_t offset)
{
    uint32_t id = self->leaves[*leaf].id[*slot];
    uint32_t len = self->leaves[*leaf].len[*slot];
    uint32_t state = self->leaves[*leaf].state[*slot];
    ++*slot;
    weir_tracker_open (self, leaf, slot);
    struct tracker_leaf *l = &self->leaves[*leaf];
    l->id[*slot] = id + offset;
    l->len[*slot] = len - offset;
    l->state[*slot] = state;
    l->left[*slot] = id + offset - 1;
    l->right[*slot] = TRACKER_NONE;
    if (*slot > 0) {
        l->len[*slot - 1] = offset;
    }
}

/* Would the elements from `id` on, in this state, go on span `i`? */
static bool
goes_on (const struct tracker_leaf *leaf, uint32_t i, uint32_t id, uint32_t state)
{
    return leaf->id[i] + leaf->len[i] == id && leaf->state[i] == state;
}

/* Is the first element of a span as if it were inside the span before? */
static bool
is_inner (const struct tracker_leaf *leaf, uint32_t i)
{
    return leaf->right[i] == TRACKER_NONE && leaf->left[i] == leaf->id[i] - 1;
}

/* Is a span, in this state, one with the span before it in the leaf? */
static bool
follows (const struct tracker_leaf *leaf, uint32_t i, uint32_t state)
{
    return i != 0 && is_inner (leaf, i) && goes_on (leaf, i - 1, leaf->id[i], state);
}

static void
drop_slot (struct tracker_leaf *leaf, uint32_t i)
{
    move_spans (leaf, i, leaf, i + 1, leaf->count - i - 1u);
    leaf->count--;
}

/* Joins a span with its neighbours in the leaf where they may be one. */
static void
join (struct tracker_leaf *leaf, uint32_t i)
{
    if (i + 1 < leaf->count && follows (leaf, i + 1, leaf->state[i + 1])) {
        leaf->len[i] += leaf->len[i + 1];
        drop_slot (leaf, i + 1);
    }
    if (follows (leaf, i, leaf->state[i])) {
        leaf->len[i - 1] += leaf->len[i];
        drop_slot (leaf, i);
    }
}

void
weir_tracker_flip (struct weir_tracker *self, uint32_t at, uint32_t slot, uint32_t offset,
                   uint32_t count, uint32_t state)
{
    struct tracker_leaf *leaf = &self->leaves[at];
    uint32_t id = leaf->id[slot];
    uint32_t len = leaf->len[slot];
    uint32_t old = leaf->state[slot];
    bool to_end = offset + count == len;
    if (offset == 0 && to_end) {
        leaf->state[slot] = state;
        join (leaf, slot);
    } else if (offset == 0 && follows (leaf, slot, state)) {
        /* The border moves to the right. */
        leaf->len[slot - 1] += count;
        leaf->id[slot] += count;
        leaf->left[slot] += count;
        leaf->len[slot] -= count;
    } else if (to_end && slot + 1u < leaf->count && is_inner (leaf, slot + 1)
               && leaf->id[slot + 1] == id + len && leaf->state[slot + 1] == state) {
        /* The border moves to the left. */
        leaf->len[slot] -= count;
        leaf->id[slot + 1] -= count;
        leaf->left[slot + 1] -= count;
        leaf->len[slot + 1] += count;
    } else {
        if (!to_end) {
            uint32_t second = slot;
            weir_tracker_cut (self, &at, &second, offset + count);
            slot = second - 1;
        }
        if (offset > 0) {
            weir_tracker_cut (self, &at, &slot, offset);
        }
        self->leaves[at].state[slot] = state;
    }
    weir_tracker_add (self, at, tracker_hand_width (state, count) - tracker_hand_width (old, count),
                      tracker_end_width (state, count) - tracker_end_width (old, count));
}
