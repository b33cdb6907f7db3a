/* Walks over the event graph, between versions and through a zone. They go run by run, so that a
 * linear history costs next to nothing however long it is, and never the same way twice. */

#include "store/crdt/graph_parts.h"

#include <stdlib.h>

/* ---- lists ---- */

/* Pushes from `from` down to `to`. */
static void
push_down (struct weir_numbers *list, uint32_t from, uint32_t to)
{
    size_t count = (size_t) (from - to) + 1;
    if (list->count + count > list->cap) {
        weir_grow (&list->items, &list->cap, list->count + count, sizeof *list->items);
    }
    uint32_t *out = list->items + list->count;
    for (size_t i = 0; i < count; i++) {
        out[i] = from - (uint32_t) i;
    }
    list->count += count;
}

static void
reverse (struct weir_numbers *list)
{
    for (size_t i = 0, j = list->count; i + 1 < j; i++) {
        j--;
        uint32_t item = list->items[i];
        list->items[i] = list->items[j];
        list->items[j] = item;
    }
}

/* ---- the heap of a walk ---- */

/* In the heap of a walk from two versions: whose past it is; both bits: shared. */
#define OF_A 1u
#define OF_B 2u
#define OF_BOTH 3u

static inline uint32_t
number_of (uint64_t item)
{
    return (uint32_t) (item >> 2);
}

static inline unsigned
flags_of (uint64_t item)
{
    return (unsigned) (item & 3);
}

/* So many items are kept in descending order, which is a heap as well: most walks never have more,
 * and meet the same numbers again and again. */
#define WALK_SORTED_MAX 24u

/* Below that, a number that is there is not put in twice, but its flags are joined: gives those
 * that it had; else 0. */
static unsigned
walk_push (struct graph_walk *w, uint32_t number, unsigned flags)
{
    if (w->count == w->cap) {
        weir_grow (&w->items, &w->cap, w->count + 1, sizeof *w->items);
    }
    uint64_t item = (uint64_t) number << 2 | flags;
    size_t i = w->count;
    if (w->is_heap || i == WALK_SORTED_MAX) {
        w->is_heap = true;
        w->count++;
        for (; i > 0 && w->items[(i - 1) / 2] < item; i = (i - 1) / 2) {
            w->items[i] = w->items[(i - 1) / 2];
        }
        w->items[i] = item;
        return 0;
    }
    while (i > 0 && number_of (w->items[i - 1]) < number) {
        i--;
    }
    if (i > 0 && number_of (w->items[i - 1]) == number) {
        unsigned before = flags_of (w->items[i - 1]);
        w->items[i - 1] |= flags;
        return before;
    }
    for (size_t k = w->count++; k > i; k--) {
        w->items[k] = w->items[k - 1];
    }
    w->items[i] = item;
    return 0;
}

static void
walk_begin (struct graph_walk *w)
{
    w->count = 0;
    w->is_heap = false;
}

static uint64_t
walk_pop (struct graph_walk *w)
{
    uint64_t top = w->items[0];
    size_t count = --w->count;
    size_t i = 0;
    if (!w->is_heap) {
        for (; i < count; i++) {
            w->items[i] = w->items[i + 1];
        }
        return top;
    }
    uint64_t last = w->items[count];
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= count) {
            break;
        }
        if (child + 1 < count && w->items[child + 1] > w->items[child]) {
            child++;
        }
        if (w->items[child] <= last) {
            break;
        }
        w->items[i] = w->items[child];
        i = child;
    }
    w->items[i] = last;
    w->is_heap = count > 0;
    return top;
}

/* Is the next one `number` or above? */
static inline bool
walk_reaches (const struct graph_walk *w, uint32_t number)
{
    return w->count > 0 && number_of (w->items[0]) >= number;
}

/* Pushes the parents of the start of a run. */
static void
walk_parents (const struct weir_graph *self, uint32_t start, unsigned flags)
{
    const struct weir_graph_node *node = graph_node (self, start);
    for (uint32_t i = 0; i < node->n_parents; i++) {
        (void) walk_push (self->walk, node->parents[i], flags);
    }
}

/* ---- walks ---- */

bool
weir_graph_contains (const struct weir_graph *self, const uint32_t *version, size_t count,
                     uint32_t node)
{
    struct graph_walk *w = self->walk;
    walk_begin (w);
    for (size_t i = 0; i < count; i++) {
        if (version[i] == node) {
            return true;
        }
        if (version[i] > node) {
            (void) walk_push (w, version[i], 0);
        }
    }
    while (w->count > 0) {
        uint32_t start = graph_run (self, number_of (walk_pop (w)));
        if (start <= node) {
            return true; /* all that is left in the heap is above the node: it is in this run */
        }
        while (walk_reaches (w, start)) {
            (void) walk_pop (w);
        }
        const struct weir_graph_node *first = graph_node (self, start);
        for (uint32_t i = 0; i < first->n_parents; i++) {
            if (first->parents[i] >= node) {
                (void) walk_push (w, first->parents[i], 0);
            }
        }
    }
    return false;
}

/* Counts how many in the heap are not shared. */
static void
apart_push (struct graph_walk *w, uint32_t number, unsigned flags, size_t *apart)
{
    unsigned before = walk_push (w, number, flags);
    *apart += before == 0 && flags != OF_BOTH;
    *apart -= before != 0 && before != OF_BOTH && (before | flags) == OF_BOTH;
}

/* The walk behind diff and compare: NULL lists are not filled. Ends early when `quick` and both
 * sides have something. Gives OF_A and OF_B for what was found; the lists come descending. */
static unsigned
walk_apart (const struct weir_graph *self, const uint32_t *a, size_t n_a, const uint32_t *b,
            size_t n_b, struct weir_numbers *only_a, struct weir_numbers *only_b, bool quick)
{
    struct graph_walk *w = self->walk;
    unsigned found = 0;
    size_t apart = 0; /* in the heap, and not shared */
    walk_begin (w);
    for (size_t i = 0; i < n_a; i++) {
        apart_push (w, a[i], OF_A, &apart);
    }
    for (size_t i = 0; i < n_b; i++) {
        apart_push (w, b[i], OF_B, &apart);
    }
    while (apart > 0 && !(quick && found == OF_BOTH)) {
        uint64_t item = walk_pop (w);
        uint32_t number = number_of (item);
        unsigned flags = flags_of (item);
        apart -= flags != OF_BOTH;
        uint32_t start = graph_run (self, number);
        for (;;) {
            /* Down to the next in the heap, or to the start of the run. */
            bool meets = walk_reaches (w, start);
            uint32_t stop = meets ? number_of (w->items[0]) + 1 : start;
            if (flags != OF_BOTH && stop <= number) {
                found |= flags;
                struct weir_numbers *list = flags == OF_A ? only_a : only_b;
                if (list != NULL) {
                    push_down (list, number, stop);
                }
            }
            if (!meets) {
                break;
            }
            item = walk_pop (w);
            apart -= flags_of (item) != OF_BOTH;
            number = number_of (item);
            flags |= flags_of (item);
        }
        const struct weir_graph_node *first = graph_node (self, start);
        for (uint32_t i = 0; i < first->n_parents; i++) {
            apart_push (w, first->parents[i], flags, &apart);
        }
    }
    return found;
}

static bool
is_subset (const uint32_t *a, size_t n_a, const uint32_t *b, size_t n_b)
{
    for (size_t i = 0; i < n_a; i++) {
        size_t j = 0;
        while (j < n_b && b[j] != a[i]) {
            j++;
        }
        if (j == n_b) {
            return false;
        }
    }
    return true;
}

void
weir_graph_diff (const struct weir_graph *self, const uint32_t *a, size_t n_a, const uint32_t *b,
                 size_t n_b, struct weir_numbers *only_a, struct weir_numbers *only_b)
{
    weir_numbers_clear (only_a);
    weir_numbers_clear (only_b);
    if (n_a <= 2 && n_b <= 2 && is_subset (a, n_a, b, n_b) && is_subset (b, n_b, a, n_a)) {
        return;
    }
    (void) walk_apart (self, a, n_a, b, n_b, only_a, only_b, false);
    reverse (only_a);
    reverse (only_b);
}

enum weir_graph_relation
weir_graph_compare (const struct weir_graph *self, const uint32_t *a, size_t n_a, const uint32_t *b,
                    size_t n_b)
{
    static const enum weir_graph_relation relations[] = {
        [0] = WEIR_GRAPH_EQUAL,
        [OF_A] = WEIR_GRAPH_AFTER,
        [OF_B] = WEIR_GRAPH_BEFORE,
        [OF_BOTH] = WEIR_GRAPH_CONCURRENT,
    };
    return relations[walk_apart (self, a, n_a, b, n_b, NULL, NULL, true)];
}

/* In the heap of minimize. */
#define LISTED 1u
#define REACHED 2u

/* Of two, as most entries have that have more than one parent. */
static void
minimize_two (const struct weir_graph *self, struct weir_numbers *version)
{
    uint32_t *items = version->items;
    uint32_t low = items[0] < items[1] ? items[0] : items[1];
    uint32_t high = items[0] < items[1] ? items[1] : items[0];
    bool one = low == high || weir_graph_contains (self, &high, 1, low);
    version->count = one ? 1 : 2;
    items[0] = one ? high : low;
    items[1] = high;
}

void
weir_graph_minimize (const struct weir_graph *self, struct weir_numbers *version)
{
    if (version->count == 2) {
        minimize_two (self, version);
    }
    if (version->count <= 2) {
        return;
    }
    struct graph_walk *w = self->walk;
    size_t left = version->count; /* listed ones that the walk has not come to */
    walk_begin (w);
    for (size_t i = 0; i < version->count; i++) {
        left -= walk_push (w, version->items[i], LISTED) != 0;
    }
    weir_numbers_clear (version);
    while (left > 0) {
        /* Equal numbers may come one by one: look at all before judging. */
        uint64_t item = walk_pop (w);
        uint32_t number = number_of (item);
        bool listed = (flags_of (item) & LISTED) != 0;
        bool reached = (flags_of (item) & REACHED) != 0;
        left -= listed;
        uint32_t start = graph_run (self, number);
        while (walk_reaches (w, start)) {
            item = walk_pop (w);
            left -= (flags_of (item) & LISTED) != 0;
            reached = reached || (number_of (item) == number && (flags_of (item) & REACHED) != 0);
        }
        if (listed && !reached) {
            weir_numbers_push (version, number);
        }
        walk_parents (self, start, REACHED);
    }
    reverse (version);
}

uint32_t
weir_graph_base (const struct weir_graph *self, const uint32_t *version, size_t count,
                 struct weir_numbers *zone)
{
    struct graph_walk *w = self->walk;
    uint32_t base = WEIR_GRAPH_NONE;
    bool rooted = false; /* came to a root beside others: nothing below is critical */
    weir_numbers_clear (zone);
    walk_begin (w);
    for (size_t i = 0; i < count; i++) {
        (void) walk_push (w, version[i], 0);
    }
    while (w->count > 0 && base == WEIR_GRAPH_NONE) {
        uint32_t number = number_of (walk_pop (w));
        uint32_t start = graph_run (self, number);
        for (;;) {
            while (walk_reaches (w, number)) {
                (void) walk_pop (w);
            }
            if (w->count == 0 && !rooted) {
                base = number;
                break;
            }
            if (!walk_reaches (w, start)) {
                push_down (zone, number, start);
                rooted = rooted || graph_node (self, start)->n_parents == 0;
                walk_parents (self, start, 0);
                break;
            }
            uint32_t next = number_of (walk_pop (w));
            push_down (zone, number, next + 1);
            number = next;
        }
    }
    reverse (zone);
    return base;
}

/* ---- order ---- */

/* A zone as a graph of its own: nodes by their place in it. Of two branches the one whose way to
 * the end is longer comes last: what leads on is then not left and come back to. Counting what
 * hangs on a branch instead costs three to eight times the moves on a file's history in git. */
struct order {
    const struct weir_graph *graph;
    const struct weir_numbers *zone;
    uint32_t *first; /* where in `children` those of node i begin: first[i + 1] */
    uint32_t *children;
    uint32_t *waiting; /* parents in the zone that are not out yet */
    uint64_t *length;  /* ops on the longest way from a node to the end */
    uint32_t *stack;
    size_t depth;
};

static uint32_t
zone_place (const struct order *o, uint32_t number)
{
    const struct weir_numbers *zone = o->zone;
    if (number < zone->items[0]) {
        return WEIR_GRAPH_NONE;
    }
    size_t guess = number - zone->items[0]; /* a zone mostly has no holes */
    if (guess < zone->count && zone->items[guess] == number) {
        return (uint32_t) guess;
    }
    size_t at = graph_place (zone->items, zone->count, number);
    return at < zone->count && zone->items[at] == number ? (uint32_t) at : WEIR_GRAPH_NONE;
}

static void
order_prepare (struct order *o)
{
    size_t count = o->zone->count;
    for (size_t i = 0; i < count; i++) {
        const struct weir_graph_node *node = graph_node (o->graph, o->zone->items[i]);
        for (uint32_t p = 0; p < node->n_parents; p++) {
            uint32_t at = zone_place (o, node->parents[p]);
            if (at != WEIR_GRAPH_NONE) {
                o->first[at + 1]++;
                o->waiting[i]++;
            }
        }
    }
    for (size_t i = 0; i < count; i++) {
        o->first[i + 1] += o->first[i];
    }
    o->first[count + 1] = o->first[count];
    o->children = weir_alloc ((size_t) o->first[count] * sizeof *o->children);
    for (size_t i = count; i-- > 0;) {
        const struct weir_graph_node *node = graph_node (o->graph, o->zone->items[i]);
        o->length[i] += (uint64_t) node->ops + 1;
        for (uint32_t p = 0; p < node->n_parents; p++) {
            uint32_t at = zone_place (o, node->parents[p]);
            if (at != WEIR_GRAPH_NONE) {
                o->children[--o->first[at + 1]] = (uint32_t) i;
                o->length[at] = o->length[i] > o->length[at] ? o->length[i] : o->length[at];
            }
        }
    }
}

static int
order_compare (const void *a, const void *b, void *context)
{
    const struct order *o = context;
    uint32_t i = *(const uint32_t *) a;
    uint32_t j = *(const uint32_t *) b;
    if (o->length[i] != o->length[j]) {
        return o->length[i] > o->length[j] ? -1 : 1;
    }
    return i > j ? -1 : 1;
}

/* Sorts what was pushed since `from` so that the shortest is on top. */
static void
order_sort (struct order *o, size_t from)
{
    if (o->depth > from + 1) {
        qsort_r (o->stack + from, o->depth - from, sizeof *o->stack, order_compare, o);
    }
}

void
weir_graph_order (const struct weir_graph *self, const struct weir_numbers *zone,
                  struct weir_numbers *order)
{
    size_t count = zone->count;
    struct order o = { .graph = self, .zone = zone };
    weir_numbers_clear (order);
    if (count == 0) {
        return;
    }
    o.first = weir_alloc ((count + 2) * sizeof *o.first);
    o.waiting = weir_alloc (count * sizeof *o.waiting);
    o.length = weir_alloc (count * sizeof *o.length);
    o.stack = weir_alloc (count * sizeof *o.stack);
    order_prepare (&o);
    for (size_t i = 0; i < count; i++) {
        if (o.waiting[i] == 0) {
            o.stack[o.depth++] = (uint32_t) i;
        }
    }
    order_sort (&o, 0);
    while (o.depth > 0) {
        uint32_t at = o.stack[--o.depth];
        size_t from = o.depth;
        weir_numbers_push (order, zone->items[at]);
        for (uint32_t c = o.first[at + 1]; c < o.first[at + 2]; c++) {
            if (--o.waiting[o.children[c]] == 0) {
                o.stack[o.depth++] = o.children[c];
            }
        }
        order_sort (&o, from);
    }
    free (o.first);
    free (o.children);
    free (o.waiting);
    free (o.length);
    free (o.stack);
}
