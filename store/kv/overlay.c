/* The ordered map of pairs that were written and may not be on disk yet: batches, and the skip
 * lists that they are linked into. No locks and no I/O: leveldb.c and memory.c are its callers. */

#include "store/kv/overlay.h"

#include "store/base/map.h"

#include <stdlib.h>
#include <string.h>

#define HASHED_VALUE_BYTES 64u
#define CHUNK_BYTES_MIN 512u
#define CHUNK_BYTES_MAX (256u << 10)

/* Where the pairs of a batch live: they are linked by address, so chunks never move. */
struct weir_overlay_chunk {
    struct weir_overlay_chunk *next;
    size_t cap;
    size_t used;
    uint8_t data[];
};

struct weir_overlay_table {
    size_t holds; /* of one thread: a plain count */
    struct weir_kv_batch *batches;
    uint64_t last;
    size_t bytes;
    size_t pairs;
    size_t stale;
    struct weir_overlay_pair *head[WEIR_OVERLAY_HEIGHT_MAX];
};

/* The links to rewrite at each level: those before a place in the list. */
struct place {
    struct weir_overlay_pair **links[WEIR_OVERLAY_HEIGHT_MAX];
};

struct weir_bytes
weir_overlay_key (const struct weir_overlay_pair *pair)
{
    return weir_bytes (pair->next + pair->height, pair->key_bytes);
}

struct weir_bytes
weir_overlay_value (const struct weir_overlay_pair *pair)
{
    const uint8_t *key = (const uint8_t *) (pair->next + pair->height);
    return weir_bytes (key + pair->key_bytes, pair->value_bytes);
}

/* Each level holds a quarter of the one below. The level comes from the pair under the process's
 * hash key: the same in every run of a simulation, and not for a peer to choose. The value has a
 * say, or thousands of versions of a hot key would lie side by side on one level. */
static uint8_t
height_of (struct weir_bytes key, struct weir_bytes value)
{
    value.len = value.len < HASHED_VALUE_BYTES ? value.len : HASHED_VALUE_BYTES;
    uint64_t h = weir_hash64 (key) ^ weir_hash64 (value);
    uint8_t height = 1;
    while (height < WEIR_OVERLAY_HEIGHT_MAX && (h & 3) == 0) {
        height++;
        h >>= 2;
    }
    return height;
}

static void *
take (struct weir_kv_batch *b, size_t size)
{
    struct weir_overlay_chunk *c = b->chunks;
    size = (size + 7) & ~(size_t) 7;
    if (c == NULL || c->cap - c->used < size) {
        size_t cap = c == NULL ? CHUNK_BYTES_MIN : 2 * c->cap;
        cap = cap > CHUNK_BYTES_MAX ? CHUNK_BYTES_MAX : cap;
        cap = cap < size ? size : cap;
        c = weir_realloc (NULL, sizeof *c + cap);
        c->next = b->chunks;
        c->cap = cap;
        c->used = 0;
        b->chunks = c;
    }
    void *p = c->data + c->used;
    c->used += size;
    return p;
}

void
weir_overlay_batch_put (struct weir_kv_batch *b, struct weir_bytes key, struct weir_bytes value,
                        bool deleted)
{
    weir_assert (key.len <= UINT32_MAX && value.len <= UINT32_MAX);
    uint8_t height = height_of (key, value);
    struct weir_overlay_pair *pair =
        take (b, sizeof *pair + height * sizeof pair->next[0] + key.len + value.len);
    pair->batch_next = NULL;
    pair->number = 0;
    pair->key_bytes = (uint32_t) key.len;
    pair->value_bytes = (uint32_t) value.len;
    pair->height = height;
    pair->deleted = deleted;
    uint8_t *at = (uint8_t *) (pair->next + height);
    if (key.len > 0) {
        memcpy (at, key.data, key.len);
    }
    if (value.len > 0) {
        memcpy (at + key.len, value.data, value.len);
    }
    if (b->last == NULL) {
        b->first = pair;
    } else {
        b->last->batch_next = pair;
    }
    b->last = pair;
    b->bytes += key.len + value.len + WEIR_OVERLAY_PAIR_BYTES;
}

void
weir_overlay_batch_fini (struct weir_kv_batch *b)
{
    while (b->chunks != NULL) {
        struct weir_overlay_chunk *c = b->chunks;
        b->chunks = c->next;
        free (c);
    }
    b->first = b->last = NULL;
    b->bytes = 0;
}

struct weir_overlay_table *
weir_overlay_table_new (void)
{
    struct weir_overlay_table *self = weir_alloc (sizeof *self);
    self->holds = 1;
    return self;
}

struct weir_overlay_table *
weir_overlay_table_hold (struct weir_overlay_table *self)
{
    self->holds++;
    return self;
}

void
weir_overlay_table_release (struct weir_overlay_table **self_p)
{
    struct weir_overlay_table *self = *self_p;
    *self_p = NULL;
    if (self == NULL || --self->holds > 0) {
        return;
    }
    while (self->batches != NULL) {
        struct weir_kv_batch *b = self->batches;
        self->batches = b->table_next;
        weir_overlay_batch_fini (b);
        free (b);
    }
    free (self);
}

/* Order in a table: by key, then the newest version first. */
static int
compare (const struct weir_overlay_pair *pair, struct weir_bytes key, uint64_t number)
{
    int order = weir_bytes_compare (weir_overlay_key (pair), key);
    if (order != 0) {
        return order;
    }
    return pair->number > number ? -1 : pair->number < number ? 1 : 0;
}

/* The first pair at or behind (key, number). */
static struct weir_overlay_pair *
seek (const struct weir_overlay_table *self, struct weir_bytes key, uint64_t number)
{
    struct weir_overlay_pair *const *links = self->head;
    struct weir_overlay_pair *known = NULL; /* already found to be at or behind */
    for (size_t level = WEIR_OVERLAY_HEIGHT_MAX; level-- > 0;) {
        while (links[level] != NULL && links[level] != known
               && compare (links[level], key, number) < 0) {
            links = links[level]->next;
        }
        known = links[level];
    }
    return known;
}

static void
find_place (struct weir_overlay_table *self, struct weir_bytes key, uint64_t number,
            struct place *place)
{
    struct weir_overlay_pair **links = self->head;
    struct weir_overlay_pair *known = NULL;
    for (size_t level = WEIR_OVERLAY_HEIGHT_MAX; level-- > 0;) {
        while (links[level] != NULL && links[level] != known
               && compare (links[level], key, number) < 0) {
            links = links[level]->next;
        }
        known = links[level];
        place->links[level] = &links[level];
    }
}

static void
link_pair (struct weir_overlay_table *self, struct weir_overlay_pair *pair)
{
    struct place place;
    struct weir_bytes key = weir_overlay_key (pair);
    find_place (self, key, pair->number, &place);
    struct weir_overlay_pair *there = *place.links[0];
    bool same_key = there != NULL && weir_bytes_equal (weir_overlay_key (there), key);
    if (same_key && there->number == pair->number) {
        /* Twice in one batch: the later takes the place of the earlier. Nobody has seen that one:
         * batches are added at once. */
        for (size_t level = 0; level < there->height; level++) {
            *place.links[level] = there->next[level];
        }
        self->stale += (size_t) pair->deleted - (size_t) there->deleted;
    }
    for (size_t level = 0; level < pair->height; level++) {
        pair->next[level] = *place.links[level];
        *place.links[level] = pair;
    }
    if (same_key && there->number == pair->number) {
        return;
    }
    self->pairs++;
    self->stale += (same_key && !there->deleted ? 1u : 0u) + (pair->deleted ? 1u : 0u);
}

void
weir_overlay_table_add (struct weir_overlay_table *self, struct weir_kv_batch **batch_p,
                        uint64_t number)
{
    struct weir_kv_batch *b = *batch_p;
    *batch_p = NULL;
    weir_assert (number > self->last || self->batches == NULL);
    b->number = number;
    for (struct weir_overlay_pair *pair = b->first; pair != NULL; pair = pair->batch_next) {
        pair->number = number;
        link_pair (self, pair);
    }
    b->table_next = self->batches;
    self->batches = b;
    self->last = number;
    self->bytes += b->bytes;
}

size_t
weir_overlay_table_bytes (const struct weir_overlay_table *self)
{
    return self->bytes;
}

size_t
weir_overlay_table_pairs (const struct weir_overlay_table *self)
{
    return self->pairs;
}

size_t
weir_overlay_table_stale (const struct weir_overlay_table *self)
{
    return self->stale;
}

uint64_t
weir_overlay_table_last (const struct weir_overlay_table *self)
{
    return self->last;
}

const struct weir_overlay_pair *
weir_overlay_table_get (const struct weir_overlay_table *self, struct weir_bytes key,
                        uint64_t number)
{
    const struct weir_overlay_pair *pair = seek (self, key, number);
    return pair != NULL && weir_bytes_equal (weir_overlay_key (pair), key) ? pair : NULL;
}

/* The first pair at or behind `pair` that a reader at `number` sees: versions that are too new
 * stand before it. */
static const struct weir_overlay_pair *
visible (const struct weir_overlay_pair *pair, uint64_t number)
{
    while (pair != NULL && pair->number > number) {
        pair = pair->next[0];
    }
    return pair;
}

const struct weir_overlay_pair *
weir_overlay_table_from (const struct weir_overlay_table *self, struct weir_bytes from,
                         uint64_t number)
{
    return visible (seek (self, from, number), number);
}

const struct weir_overlay_pair *
weir_overlay_table_after (const struct weir_overlay_pair *pair, uint64_t number)
{
    struct weir_bytes key = weir_overlay_key (pair);
    do {
        pair = pair->next[0];
    } while (pair != NULL && weir_bytes_equal (weir_overlay_key (pair), key));
    return visible (pair, number);
}

const struct weir_overlay_pair *
weir_overlay_table_before (const struct weir_overlay_table *self, struct weir_bytes to,
                           uint64_t number)
{
    for (;;) {
        struct weir_overlay_pair *const *links = self->head;
        const struct weir_overlay_pair *before = NULL;
        for (size_t level = WEIR_OVERLAY_HEIGHT_MAX; level-- > 0;) {
            while (links[level] != NULL && compare (links[level], to, UINT64_MAX) < 0) {
                before = links[level];
                links = links[level]->next;
            }
        }
        if (before == NULL) {
            return NULL;
        }
        /* That is the oldest version of the key before; the one to show may be newer. */
        to = weir_overlay_key (before);
        const struct weir_overlay_pair *pair = weir_overlay_table_get (self, to, number);
        if (pair != NULL) {
            return pair;
        }
    }
}

const struct weir_overlay_pair *
weir_overlay_table_end (const struct weir_overlay_table *self, uint64_t number)
{
    struct weir_overlay_pair *const *links = self->head;
    const struct weir_overlay_pair *last = NULL;
    for (size_t level = WEIR_OVERLAY_HEIGHT_MAX; level-- > 0;) {
        while (links[level] != NULL) {
            last = links[level];
            links = links[level]->next;
        }
    }
    if (last == NULL) {
        return NULL;
    }
    struct weir_bytes key = weir_overlay_key (last);
    const struct weir_overlay_pair *pair = weir_overlay_table_get (self, key, number);
    return pair != NULL ? pair : weir_overlay_table_before (self, key, number);
}
