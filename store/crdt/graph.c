/* The event graph: entries by number, and the walks between versions. Nodes lie in pages, so
 * that they stay where they are; ids are found by an open-addressing table of numbers under a
 * keyed hash, since ids can be ground by those who write them. A *run* is a stretch of numbers
 * each of which has the one before as its only parent: walks go run by run, so that a linear
 * history costs next to nothing however long it is. Called by doc.c, seq.c and replica.c. */

#include "store/crdt/graph.h"

#include "store/base/map.h"

#include <stdlib.h>
#include <string.h>

#define PAGE_NODES 64u
#define BLOCK_NUMBERS 256u
#define INDEX_MIN 16u

struct page {
    struct weir_graph_node nodes[PAGE_NODES];
    uint32_t starts[PAGE_NODES]; /* the first number of the run a node is in */
    uint32_t parent[PAGE_NODES]; /* of those with just one */
};

/* Parents of merges, in blocks that never move. */
struct block {
    struct block *next;
    size_t used;
    size_t cap;
    uint32_t items[];
};

/* What waits in a walk: number << 2 | flags, the greatest first. */
struct walk {
    uint64_t *items;
    size_t count;
    size_t cap;
};

struct weir_graph {
    struct page **pages;
    size_t pages_cap;
    uint32_t count;
    uint32_t *index; /* number + 1; 0: free */
    size_t index_size;
    struct block *blocks;
    size_t block_bytes;
    struct weir_numbers heads;
    struct weir_numbers parents; /* scratch of add */
    struct walk *walk;           /* scratch of the walks */
};

/* ---- numbers ---- */

void
weir_numbers_fini (struct weir_numbers *self)
{
    free (self->items);
    *self = (struct weir_numbers){ 0 };
}

void
weir_numbers_clear (struct weir_numbers *self)
{
    self->count = 0;
}

void
weir_numbers_push (struct weir_numbers *self, uint32_t number)
{
    if (self->count == self->cap) {
        weir_grow (&self->items, &self->cap, self->count + 1, sizeof *self->items);
    }
    self->items[self->count++] = number;
}

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

/* ---- nodes ---- */

struct weir_graph *
weir_graph_new (void)
{
    struct weir_graph *self = weir_alloc (sizeof *self);
    self->walk = weir_alloc (sizeof *self->walk);
    self->index_size = INDEX_MIN;
    self->index = weir_alloc (self->index_size * sizeof *self->index);
    return self;
}

static size_t
page_count (const struct weir_graph *self)
{
    return ((size_t) self->count + PAGE_NODES - 1) / PAGE_NODES;
}

void
weir_graph_destroy (struct weir_graph **self_p)
{
    struct weir_graph *self = *self_p;
    *self_p = NULL;
    if (self == NULL) {
        return;
    }
    for (size_t i = 0; i < page_count (self); i++) {
        free (self->pages[i]);
    }
    while (self->blocks != NULL) {
        struct block *next = self->blocks->next;
        free (self->blocks);
        self->blocks = next;
    }
    weir_numbers_fini (&self->heads);
    weir_numbers_fini (&self->parents);
    free (self->walk->items);
    free (self->walk);
    free (self->pages);
    free (self->index);
    free (self);
}

static inline struct weir_graph_node *
node_at (const struct weir_graph *self, uint32_t number)
{
    return &self->pages[number / PAGE_NODES]->nodes[number % PAGE_NODES];
}

static inline uint32_t
run_start (const struct weir_graph *self, uint32_t number)
{
    return self->pages[number / PAGE_NODES]->starts[number % PAGE_NODES];
}

uint32_t
weir_graph_count (const struct weir_graph *self)
{
    return self->count;
}

const struct weir_graph_node *
weir_graph_node (const struct weir_graph *self, uint32_t number)
{
    weir_assert (number < self->count);
    return node_at (self, number);
}

const uint32_t *
weir_graph_heads (const struct weir_graph *self, size_t *count)
{
    *count = self->heads.count;
    return self->heads.items;
}

size_t
weir_graph_memory_bytes (const struct weir_graph *self)
{
    return sizeof *self + sizeof *self->walk + page_count (self) * sizeof (struct page)
           + self->pages_cap * sizeof *self->pages + self->index_size * sizeof *self->index
           + self->block_bytes + (self->heads.cap + self->parents.cap) * sizeof (uint32_t)
           + self->walk->cap * sizeof *self->walk->items;
}

static size_t
slot_of (const struct weir_graph *self, const struct weir_id *id)
{
    uint64_t hash = weir_hash64 (weir_bytes (id->b, 8));
    size_t i = (size_t) hash & (self->index_size - 1);
    while (self->index[i] != 0 && !weir_id_equal (&node_at (self, self->index[i] - 1)->id, id)) {
        i = (i + 1) & (self->index_size - 1);
    }
    return i;
}

uint32_t
weir_graph_find (const struct weir_graph *self, const struct weir_id *entry)
{
    uint32_t found = self->index[slot_of (self, entry)];
    return found == 0 ? WEIR_GRAPH_NONE : found - 1;
}

/* Room for one more: at most three quarters are taken. */
static void
index_reserve (struct weir_graph *self)
{
    if ((size_t) self->count + 1 <= self->index_size / 4 * 3) {
        return;
    }
    free (self->index);
    self->index_size *= 2;
    self->index = weir_alloc (self->index_size * sizeof *self->index);
    for (uint32_t i = 0; i < self->count; i++) {
        self->index[slot_of (self, &node_at (self, i)->id)] = i + 1;
    }
}

static uint32_t *
keep_numbers (struct weir_graph *self, size_t count)
{
    if (self->blocks == NULL || self->blocks->cap - self->blocks->used < count) {
        size_t cap = count > BLOCK_NUMBERS ? count : BLOCK_NUMBERS;
        size_t bytes = sizeof *self->blocks + cap * sizeof (uint32_t);
        struct block *block = weir_alloc (bytes);
        block->cap = cap;
        block->next = self->blocks;
        self->blocks = block;
        self->block_bytes += bytes;
    }
    uint32_t *out = self->blocks->items + self->blocks->used;
    self->blocks->used += count;
    return out;
}

/* Where `number` is, or would be, in an ascending list. */
static size_t
place_in (const uint32_t *items, size_t count, uint32_t number)
{
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (items[middle] < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void
heads_follow (struct weir_graph *self, const uint32_t *parents, size_t n_parents)
{
    struct weir_numbers *heads = &self->heads;
    for (size_t i = 0; i < n_parents; i++) {
        size_t at = place_in (heads->items, heads->count, parents[i]);
        if (at < heads->count && heads->items[at] == parents[i]) {
            heads->count--;
            memmove (heads->items + at, heads->items + at + 1,
                     (heads->count - at) * sizeof *heads->items);
        }
    }
    weir_numbers_push (heads, self->count);
}

/* Makes the node of the number that comes next; `parents` has no redundant ones. */
static void
append (struct weir_graph *self, const struct weir_graph_node *like,
        const struct weir_numbers *parents, uint32_t first)
{
    uint32_t number = self->count;
    size_t in_page = number % PAGE_NODES;
    if (in_page == 0) {
        size_t pages = page_count (self);
        if (pages == self->pages_cap) {
            weir_grow (&self->pages, &self->pages_cap, pages + 1, sizeof *self->pages);
        }
        self->pages[pages] = weir_alloc (sizeof **self->pages);
    }
    struct page *page = self->pages[number / PAGE_NODES];
    uint32_t *kept =
        parents->count == 1 ? &page->parent[in_page] : keep_numbers (self, parents->count);
    size_t n = 0;
    size_t at = place_in (parents->items, parents->count, first);
    if (at < parents->count && parents->items[at] == first) {
        kept[n++] = first;
    }
    for (size_t i = 0; i < parents->count; i++) {
        if (parents->items[i] != first) {
            kept[n++] = parents->items[i];
        }
    }
    bool goes_on = n == 1 && kept[0] + 1 == number;
    page->starts[in_page] = goes_on ? run_start (self, number - 1) : number;
    struct weir_graph_node *node = &page->nodes[in_page];
    *node = *like;
    node->parents = kept;
    node->n_parents = (uint32_t) n;
    heads_follow (self, kept, n);
    self->count++;
}

/* As weir_graph_find; most parents are heads. */
static uint32_t
find_parent (const struct weir_graph *self, const struct weir_id *id)
{
    for (size_t i = self->heads.count; i > 0 && self->heads.count - i < 2; i--) {
        uint32_t head = self->heads.items[i - 1];
        if (weir_id_equal (&node_at (self, head)->id, id)) {
            return head;
        }
    }
    return weir_graph_find (self, id);
}

enum weir_status
weir_graph_add (struct weir_graph *self, const struct weir_graph_node *node,
                const struct weir_id *parents, size_t n_parents, uint32_t *number)
{
    struct weir_numbers *known = &self->parents;
    struct weir_graph_node made = *node;
    uint32_t first = WEIR_GRAPH_NONE;
    weir_assert (self->count < WEIR_GRAPH_NONE - 1);
    index_reserve (self);
    size_t slot = slot_of (self, &node->id);
    if (self->index[slot] != 0) {
        return WEIR_CONFLICT;
    }
    made.counter = 0;
    made.lamport = 0;
    weir_numbers_clear (known);
    for (size_t i = 0; i < n_parents; i++) {
        uint32_t parent = find_parent (self, &parents[i]);
        if (parent == WEIR_GRAPH_NONE) {
            return WEIR_NOT_FOUND;
        }
        const struct weir_graph_node *p = node_at (self, parent);
        if (p->lamport + p->ops > made.lamport) {
            made.lamport = p->lamport + p->ops;
        }
        if (i == 0 && node->seq > 0 && weir_chain_compare (&p->chain, &node->chain) == 0) {
            first = parent;
            made.counter = p->counter + p->ops;
        }
        weir_numbers_push (known, parent);
    }
    weir_graph_minimize (self, known);
    append (self, &made, known, first);
    *number = self->count - 1;
    self->index[slot] = self->count;
    return WEIR_OK;
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

static void
walk_push (struct walk *w, uint32_t number, unsigned flags)
{
    if (w->count == w->cap) {
        weir_grow (&w->items, &w->cap, w->count + 1, sizeof *w->items);
    }
    uint64_t item = (uint64_t) number << 2 | flags;
    size_t i = w->count++;
    while (i > 0 && w->items[(i - 1) / 2] < item) {
        w->items[i] = w->items[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    w->items[i] = item;
}

static uint64_t
walk_pop (struct walk *w)
{
    uint64_t top = w->items[0];
    uint64_t last = w->items[--w->count];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= w->count) {
            break;
        }
        if (child + 1 < w->count && w->items[child + 1] > w->items[child]) {
            child++;
        }
        if (w->items[child] <= last) {
            break;
        }
        w->items[i] = w->items[child];
        i = child;
    }
    w->items[i] = last;
    return top;
}

/* Is the next one `number` or above? */
static inline bool
walk_reaches (const struct walk *w, uint32_t number)
{
    return w->count > 0 && number_of (w->items[0]) >= number;
}

/* Pushes the parents of the start of a run. */
static void
walk_parents (const struct weir_graph *self, uint32_t start, unsigned flags)
{
    const struct weir_graph_node *node = node_at (self, start);
    for (uint32_t i = 0; i < node->n_parents; i++) {
        walk_push (self->walk, node->parents[i], flags);
    }
}

/* ---- walks ---- */

bool
weir_graph_contains (const struct weir_graph *self, const uint32_t *version, size_t count,
                     uint32_t node)
{
    struct walk *w = self->walk;
    w->count = 0;
    for (size_t i = 0; i < count; i++) {
        if (version[i] == node) {
            return true;
        }
        if (version[i] > node) {
            walk_push (w, version[i], 0);
        }
    }
    while (w->count > 0) {
        uint32_t start = run_start (self, number_of (walk_pop (w)));
        if (start <= node) {
            return true; /* all that is left in the heap is above the node: it is in this run */
        }
        while (walk_reaches (w, start)) {
            (void) walk_pop (w);
        }
        const struct weir_graph_node *first = node_at (self, start);
        for (uint32_t i = 0; i < first->n_parents; i++) {
            if (first->parents[i] >= node) {
                walk_push (w, first->parents[i], 0);
            }
        }
    }
    return false;
}

/* The walk behind diff and compare: NULL lists are not filled. Ends early when `quick` and both
 * sides have something. Gives OF_A and OF_B for what was found; the lists come descending. */
static unsigned
walk_apart (const struct weir_graph *self, const uint32_t *a, size_t n_a, const uint32_t *b,
            size_t n_b, struct weir_numbers *only_a, struct weir_numbers *only_b, bool quick)
{
    struct walk *w = self->walk;
    unsigned found = 0;
    size_t apart = n_a + n_b; /* in the heap, and not shared */
    w->count = 0;
    for (size_t i = 0; i < n_a; i++) {
        walk_push (w, a[i], OF_A);
    }
    for (size_t i = 0; i < n_b; i++) {
        walk_push (w, b[i], OF_B);
    }
    while (apart > 0 && !(quick && found == OF_BOTH)) {
        uint64_t item = walk_pop (w);
        uint32_t number = number_of (item);
        unsigned flags = flags_of (item);
        apart -= flags != OF_BOTH;
        uint32_t start = run_start (self, number);
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
        apart += flags != OF_BOTH ? node_at (self, start)->n_parents : 0;
        walk_parents (self, start, flags);
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

#define LISTED 1u

void
weir_graph_minimize (const struct weir_graph *self, struct weir_numbers *version)
{
    if (version->count < 2) {
        return;
    }
    struct walk *w = self->walk;
    size_t left = version->count; /* listed ones that the walk has not come to */
    w->count = 0;
    for (size_t i = 0; i < version->count; i++) {
        walk_push (w, version->items[i], LISTED);
    }
    weir_numbers_clear (version);
    while (left > 0) {
        /* Of equal numbers the listed ones come first: look at all before judging. */
        uint64_t item = walk_pop (w);
        uint32_t number = number_of (item);
        bool listed = flags_of (item) == LISTED;
        bool reached = !listed;
        left -= listed;
        uint32_t start = run_start (self, number);
        while (walk_reaches (w, start)) {
            item = walk_pop (w);
            left -= flags_of (item) == LISTED;
            reached = reached || (number_of (item) == number && flags_of (item) != LISTED);
        }
        if (listed && !reached) {
            weir_numbers_push (version, number);
        }
        walk_parents (self, start, 0);
    }
    reverse (version);
}

uint32_t
weir_graph_base (const struct weir_graph *self, const uint32_t *version, size_t count,
                 struct weir_numbers *zone)
{
    struct walk *w = self->walk;
    uint32_t base = WEIR_GRAPH_NONE;
    bool rooted = false; /* came to a root beside others: nothing below is critical */
    weir_numbers_clear (zone);
    w->count = 0;
    for (size_t i = 0; i < count; i++) {
        walk_push (w, version[i], 0);
    }
    while (w->count > 0 && base == WEIR_GRAPH_NONE) {
        uint32_t number = number_of (walk_pop (w));
        uint32_t start = run_start (self, number);
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
                rooted = rooted || node_at (self, start)->n_parents == 0;
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
    size_t at = place_in (zone->items, zone->count, number);
    return at < zone->count && zone->items[at] == number ? (uint32_t) at : WEIR_GRAPH_NONE;
}

static void
order_prepare (struct order *o)
{
    size_t count = o->zone->count;
    for (size_t i = 0; i < count; i++) {
        const struct weir_graph_node *node = node_at (o->graph, o->zone->items[i]);
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
        const struct weir_graph_node *node = node_at (o->graph, o->zone->items[i]);
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
