/* The tracker's operations: where an insertion goes among its concurrent siblings, what a
 * deletion hits, and moving the version at hand. The tree of spans is tracker_tree.c. */

#include "store/crdt/tracker_parts.h"

#include <stdlib.h>

struct weir_tracker *
weir_tracker_new (uint32_t base_length, weir_tracker_compare_fn *compare, void *context)
{
    weir_assert (base_length < WEIR_TRACKER_BASE);
    struct weir_tracker *self = weir_alloc (sizeof *self);
    self->compare = compare;
    self->context = context;
    weir_tracker_tree_init (self, base_length);
    return self;
}

void
weir_tracker_destroy (struct weir_tracker **self_p)
{
    struct weir_tracker *self = *self_p;
    *self_p = NULL;
    if (self == NULL) {
        return;
    }
    weir_tracker_index_fini (&self->index);
    free (self->leaves);
    free (self->nodes);
    free (self);
}

size_t
weir_tracker_memory_bytes (const struct weir_tracker *self)
{
    return sizeof *self + self->leaf_cap * sizeof *self->leaves
           + self->node_cap * sizeof *self->nodes + weir_tracker_index_bytes (&self->index);
}

uint64_t
weir_tracker_steps (const struct weir_tracker *self)
{
    return self->steps;
}

uint32_t
weir_tracker_length (const struct weir_tracker *self)
{
    return self->total.hand;
}

uint32_t
weir_tracker_end_length (const struct weir_tracker *self)
{
    return self->total.end;
}

/* ---- insert ---- */

/* A place between two spans: before a slot, which may be one past a leaf's last. `end` elements
 * of the end are before it. */
struct gap {
    uint32_t leaf;
    uint32_t slot;
    uint32_t end;
};

/* The span behind a gap; false: there is none. */
static bool
gap_next (const struct weir_tracker *self, const struct gap *gap, struct gap *next)
{
    *next = *gap;
    if (gap->slot == self->leaves[gap->leaf].count) {
        next->leaf = self->leaves[gap->leaf].next;
        next->slot = 0;
    }
    return next->leaf != TRACKER_NONE && self->leaves[next->leaf].count > 0;
}

/* Is right parent a to the left of b? None is to the right of all. */
static bool
is_left_of (const struct weir_tracker *self, uint32_t a, uint32_t b)
{
    struct tracker_spot spot_a;
    struct tracker_spot spot_b;
    if (a == TRACKER_NONE || b == TRACKER_NONE) {
        return a != TRACKER_NONE;
    }
    weir_tracker_locate (self, a, &spot_a);
    weir_tracker_locate (self, b, &spot_b);
    return weir_tracker_is_before (self, &spot_a, &spot_b);
}

/* Does an element with left origin `other` belong further up than what has left origin `left`,
 * the last element before `gap`? */
static bool
leaves_siblings (const struct weir_tracker *self, uint32_t other, uint32_t left,
                 const struct gap *gap)
{
    struct tracker_spot spot_other;
    struct tracker_spot spot_left = { gap->leaf, gap->slot - 1, TRACKER_NONE, 0 };
    if (left == TRACKER_NONE || other == TRACKER_NONE) {
        return left != TRACKER_NONE;
    }
    weir_tracker_locate (self, other, &spot_other);
    return weir_tracker_is_before (self, &spot_other, &spot_left);
}

/* The right parent of what is inserted at a gap behind `left`: the first element from there on
 * that is inserted at hand, deleted or not, if it has the same left origin. */
static uint32_t
right_parent (const struct weir_tracker *self, struct gap gap, uint32_t left)
{
    struct gap next;
    while (gap_next (self, &gap, &next)) {
        const struct tracker_leaf *leaf = &self->leaves[next.leaf];
        if (leaf->state[next.slot] > STATE_ABSENT_MAX) {
            return leaf->left[next.slot] == left ? leaf->id[next.slot] : TRACKER_NONE;
        }
        gap = next;
        gap.slot++;
    }
    return TRACKER_NONE;
}

/* Moves a gap to where an event goes among the concurrent siblings that stand there: Fugue's
 * order, by the scan of Eg-walker's integrate. */
static void
integrate (struct weir_tracker *self, struct gap *gap, uint32_t event, uint32_t left,
           uint32_t right)
{
    const struct gap start = *gap;
    struct gap at = *gap;
    struct gap next;
    bool scanning = false;
    while (gap_next (self, &at, &next)) {
        const struct tracker_leaf *leaf = &self->leaves[next.leaf];
        uint32_t slot = next.slot;
        if (leaf->state[slot] > STATE_ABSENT_MAX) {
            break;
        }
        if (leaf->left[slot] == left) {
            if (leaf->right[slot] == right) {
                if (self->compare (self->context, event, leaf->id[slot]) < 0) {
                    break;
                }
                scanning = false;
            } else {
                scanning = is_left_of (self, leaf->right[slot], right);
            }
        } else if (leaves_siblings (self, leaf->left[slot], left, &start)) {
            break;
        }
        self->steps++;
        at = next;
        at.slot++;
        at.end += tracker_end_width (leaf->state[slot], leaf->len[slot]);
        if (!scanning) {
            *gap = at;
        }
    }
}

static void
put_span (struct weir_tracker *self, struct gap gap, uint32_t event, uint32_t count, uint32_t left,
          uint32_t right)
{
    struct tracker_leaf *leaf = &self->leaves[gap.leaf];
    uint32_t before = gap.slot - 1;
    if (gap.slot > 0 && right == TRACKER_NONE && left == event - 1
        && leaf->state[before] == STATE_THERE && leaf->id[before] + leaf->len[before] == event) {
        leaf->len[before] += count;
    } else {
        weir_tracker_open (self, &gap.leaf, &gap.slot);
        leaf = &self->leaves[gap.leaf];
        leaf->id[gap.slot] = event;
        leaf->len[gap.slot] = count;
        leaf->state[gap.slot] = STATE_THERE;
        leaf->left[gap.slot] = left;
        leaf->right[gap.slot] = right;
    }
    weir_tracker_index_insert (&self->index, event, count, gap.leaf);
    weir_tracker_add (self, gap.leaf, count, count);
}

void
weir_tracker_insert (struct weir_tracker *self, uint32_t event, uint32_t count, uint32_t at,
                     uint32_t *end_at)
{
    struct gap gap = { self->first_leaf, 0, 0 };
    struct gap next;
    uint32_t left = TRACKER_NONE;
    uint32_t right = TRACKER_NONE;
    weir_assert (at <= self->total.hand && count <= WEIR_TRACKER_BASE - event);
    if (at > 0) {
        struct tracker_spot spot;
        weir_tracker_seek_hand (self, at - 1, &spot);
        const struct tracker_leaf *leaf = &self->leaves[spot.leaf];
        uint32_t slot = spot.slot;
        uint32_t offset = spot.offset + 1;
        left = leaf->id[slot] + spot.offset;
        gap.end = spot.end_before + tracker_end_width (leaf->state[slot], offset);
        gap.leaf = spot.leaf;
        gap.slot = slot + 1;
        if (offset < leaf->len[slot]) {
            gap.slot = slot;
            weir_tracker_cut (self, &gap.leaf, &gap.slot, offset);
        }
    }
    if (gap_next (self, &gap, &next)) {
        const struct tracker_leaf *leaf = &self->leaves[next.leaf];
        if (leaf->state[next.slot] > STATE_ABSENT_MAX) {
            right = leaf->left[next.slot] == left ? leaf->id[next.slot] : TRACKER_NONE;
        } else {
            right = right_parent (self, gap, left);
            integrate (self, &gap, event, left, right);
        }
    }
    *end_at = gap.end;
    if (count > 0) {
        put_span (self, gap, event, count, left, right);
    }
}

/* ---- delete, retreat, advance ---- */

void
weir_tracker_delete (struct weir_tracker *self, uint32_t event, uint32_t count, uint32_t at,
                     weir_tracker_delete_fn *fn, void *context)
{
    uint32_t told_at = 0; /* a deletion that the next piece may lengthen */
    uint32_t told = 0;
    weir_assert (count <= self->total.hand && at <= self->total.hand - count
                 && count <= WEIR_TRACKER_BASE - event);
    while (count > 0) {
        struct tracker_spot spot;
        weir_tracker_seek_hand (self, at, &spot);
        const struct tracker_leaf *leaf = &self->leaves[spot.leaf];
        uint32_t state = leaf->state[spot.slot];
        uint32_t n = leaf->len[spot.slot] - spot.offset;
        n = n < count ? n : count;
        if ((state & STATE_EVER) == 0) {
            uint32_t end_at = spot.end_before + spot.offset;
            if (told > 0 && end_at != told_at) {
                if (fn != NULL) {
                    fn (context, told_at, told);
                }
                told = 0;
            }
            told_at = end_at;
            told += n;
        }
        weir_tracker_index_delete (&self->index, event, n, leaf->id[spot.slot] + spot.offset);
        weir_tracker_flip (self, spot.leaf, spot.slot, spot.offset, n,
                           (state + STATE_STEP) | STATE_EVER);
        event += n;
        count -= n;
    }
    if (told > 0 && fn != NULL) {
        fn (context, told_at, told);
    }
}

/* Adds a step to the state of consecutive elements, or takes one away; at most as many as stand
 * in one span. Gives how many. */
static uint32_t
step_some (struct weir_tracker *self, const struct tracker_spot *spot, uint32_t count,
           uint32_t step)
{
    const struct tracker_leaf *leaf = &self->leaves[spot->leaf];
    uint32_t n = leaf->len[spot->slot] - spot->offset;
    n = n < count ? n : count;
    weir_tracker_flip (self, spot->leaf, spot->slot, spot->offset, n,
                       leaf->state[spot->slot] + step);
    return n;
}

static void
step_events (struct weir_tracker *self, uint32_t event, uint32_t count, uint32_t step)
{
    while (count > 0) {
        uint32_t n = count;
        uint32_t id = 0;
        struct tracker_spot spot;
        if (weir_tracker_index_get (&self->index, event, &n, &id)) {
            weir_tracker_locate (self, id, &spot);
        } else {
            weir_tracker_locate (self, event, &spot);
        }
        n = step_some (self, &spot, n, step);
        event += n;
        count -= n;
    }
}

void
weir_tracker_retreat (struct weir_tracker *self, uint32_t event, uint32_t count)
{
    step_events (self, event, count, (uint32_t) -STATE_STEP);
}

void
weir_tracker_advance (struct weir_tracker *self, uint32_t event, uint32_t count)
{
    step_events (self, event, count, STATE_STEP);
}

/* ---- the end ---- */

uint32_t
weir_tracker_at (const struct weir_tracker *self, uint32_t end_at)
{
    struct tracker_spot spot;
    weir_tracker_seek_end (self, end_at, &spot);
    return self->leaves[spot.leaf].id[spot.slot] + spot.offset;
}

bool
weir_tracker_find (const struct weir_tracker *self, uint32_t event, uint32_t *end_at)
{
    struct tracker_spot spot;
    weir_tracker_locate (self, event, &spot);
    const struct tracker_leaf *leaf = &self->leaves[spot.leaf];
    uint32_t end = weir_tracker_leaf_end (self, spot.leaf);
    for (uint32_t i = 0; i < spot.slot; i++) {
        end += tracker_end_width (leaf->state[i], leaf->len[i]);
    }
    uint32_t width = tracker_end_width (leaf->state[spot.slot], leaf->len[spot.slot]);
    *end_at = end + (width > 0 ? spot.offset : 0);
    return width > 0;
}

bool
weir_tracker_next (const struct weir_tracker *self, uint64_t *i, uint32_t *event, uint32_t *count)
{
    uint32_t at = *i == 0 ? self->first_leaf : (uint32_t) (*i >> 8) - 1;
    uint32_t slot = (uint32_t) *i & 0xff;
    uint32_t n = 0;
    for (; at != TRACKER_NONE; at = self->leaves[at].next, slot = 0) {
        const struct tracker_leaf *leaf = &self->leaves[at];
        for (; slot < leaf->count; slot++) {
            uint32_t width = tracker_end_width (leaf->state[slot], leaf->len[slot]);
            if (width == 0) {
                continue;
            }
            if (n > 0 && (leaf->id[slot] != *event + n || *event + n == WEIR_TRACKER_BASE)) {
                goto done;
            }
            if (n == 0) {
                *event = leaf->id[slot];
            }
            n += width;
        }
    }
done:
    *i = ((uint64_t) at + 1) << 8 | slot;
    *count = n;
    return n > 0;
}
