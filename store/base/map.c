/* A hash map that iterates in order of insertion: items lie in one array in the order they came,
 * and a table of twice its size, by linear probing, holds their numbers. Removed items stay as
 * holes in the array until it is full; the table never has holes (backward shift, Knuth vol. 3,
 * 6.4 R). SipHash-1-3 (Aumasson and Bernstein 2012), since keys come from peers. */

#include "store/base/map.h"

#include <stdlib.h>
#include <string.h>

#define ITEMS_MIN 8u
#define ITEMS_MAX (1u << 30)

struct item {
    uint8_t *key;
    size_t len;
    uint64_t hash;
    void *value; /* NULL: a hole */
};

struct weir_map {
    struct item *items;
    size_t cap;      /* a power of two, or 0 */
    size_t used;     /* items and holes */
    size_t first;    /* no item stands before: a map used as a queue stays quick */
    size_t count;    /* items */
    uint32_t *table; /* 2 * cap; number of the item + 1, 0 when free */
};

static uint64_t process_key[2];

/* SipHash is defined on little-endian words; gcc makes one load of it. */
static uint64_t
load_little (const uint8_t *p)
{
    return __builtin_bswap64 (weir_load_u64 (p));
}

void
weir_map_seed (const uint8_t key[16])
{
    process_key[0] = load_little (key);
    process_key[1] = load_little (key + 8);
}

static uint64_t
rotate (uint64_t x, unsigned n)
{
    return x << n | x >> (64 - n);
}

static inline __attribute__ ((always_inline)) void
sip_round (uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate (v[1], 13) ^ v[0];
    v[0] = rotate (v[0], 32);
    v[2] += v[3];
    v[3] = rotate (v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate (v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate (v[1], 17) ^ v[2];
    v[2] = rotate (v[2], 32);
}

uint64_t
weir_hash64 (struct weir_bytes s)
{
    uint64_t v[4] = { process_key[0] ^ 0x736f6d6570736575u, process_key[1] ^ 0x646f72616e646f6du,
                      process_key[0] ^ 0x6c7967656e657261u, process_key[1] ^ 0x7465646279746573u };
    size_t i = 0;
    for (; i + 8 <= s.len; i += 8) {
        uint64_t word = load_little (s.data + i);
        v[3] ^= word;
        sip_round (v);
        v[0] ^= word;
    }
    uint64_t last = (uint64_t) s.len << 56;
    for (unsigned shift = 0; i < s.len; i++, shift += 8) {
        last |= (uint64_t) s.data[i] << shift;
    }
    v[3] ^= last;
    sip_round (v);
    v[0] ^= last;
    v[2] ^= 0xff;
    sip_round (v);
    sip_round (v);
    sip_round (v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* Multiply and fold, by a key that who makes ids does not know: ids that would meet in all of
 * their first 64 bits cannot be made in numbers. */
uint64_t
weir_hash64_id (const uint8_t *hash)
{
    uint64_t x =
        (load_little (hash) ^ process_key[0]) * ((process_key[1] ^ 0x9e3779b97f4a7c15u) | 1u);
    return x ^ x >> 32;
}

struct weir_map *
weir_map_new (void)
{
    return weir_alloc (sizeof (struct weir_map));
}

void
weir_map_destroy (struct weir_map **self_p, void (*destroy) (void *value))
{
    struct weir_map *self = *self_p;
    if (self == NULL) {
        return;
    }
    for (size_t i = self->first; i < self->used; i++) {
        if (self->items[i].value != NULL) {
            free (self->items[i].key);
            if (destroy != NULL) {
                destroy (self->items[i].value);
            }
        }
    }
    free (self->items);
    free (self->table);
    free (self);
    *self_p = NULL;
}

static size_t
table_mask (const struct weir_map *self)
{
    return 2 * self->cap - 1;
}

/* The place in the table that holds the key, or the free one where it would go. The table is at
 * most half full, so there is one. */
static size_t
place_of (const struct weir_map *self, struct weir_bytes key, uint64_t hash)
{
    size_t place = (size_t) hash & table_mask (self);
    while (self->table[place] != 0) {
        const struct item *item = &self->items[self->table[place] - 1];
        if (item->hash == hash && weir_bytes_equal (weir_bytes (item->key, item->len), key)) {
            break;
        }
        place = (place + 1) & table_mask (self);
    }
    return place;
}

/* Closes the holes, doubles the room when more than half of it holds items, and builds the table
 * anew. */
static void
make_room (struct weir_map *self)
{
    size_t kept = 0;
    for (size_t i = self->first; i < self->used; i++) {
        if (self->items[i].value != NULL) {
            self->items[kept++] = self->items[i];
        }
    }
    self->first = 0;
    self->used = kept;
    size_t cap = self->cap < ITEMS_MIN ? ITEMS_MIN : self->cap;
    cap = kept > cap / 2 ? cap * 2 : cap;
    weir_assert (cap <= ITEMS_MAX);
    if (cap != self->cap) {
        self->items = weir_realloc (self->items, cap * sizeof *self->items);
        self->table = weir_realloc (self->table, 2 * cap * sizeof *self->table);
        self->cap = cap;
    }
    memset (self->table, 0, 2 * cap * sizeof *self->table);
    for (size_t i = 0; i < kept; i++) {
        size_t place = (size_t) self->items[i].hash & table_mask (self);
        while (self->table[place] != 0) {
            place = (place + 1) & table_mask (self);
        }
        self->table[place] = (uint32_t) (i + 1);
    }
}

void *
weir_map_get (const struct weir_map *self, struct weir_bytes key)
{
    if (self->count == 0) {
        return NULL;
    }
    uint32_t number = self->table[place_of (self, key, weir_hash64 (key))];
    return number == 0 ? NULL : self->items[number - 1].value;
}

void *
weir_map_put (struct weir_map *self, struct weir_bytes key, void *value)
{
    weir_assert (value != NULL);
    uint64_t hash = weir_hash64 (key);
    size_t place = 0;
    if (self->count > 0) {
        place = place_of (self, key, hash);
        if (self->table[place] != 0) {
            struct item *item = &self->items[self->table[place] - 1];
            void *before = item->value;
            item->value = value;
            return before;
        }
    }
    if (self->used == self->cap) {
        make_room (self);
    }
    place = place_of (self, key, hash);
    struct item *item = &self->items[self->used];
    *item = (struct item){ .len = key.len, .hash = hash, .value = value };
    item->key = weir_realloc (NULL, key.len);
    if (key.len > 0) {
        memcpy (item->key, key.data, key.len);
    }
    self->used++;
    self->count++;
    self->table[place] = (uint32_t) self->used;
    return NULL;
}

/* Frees a place in the table, and moves up those behind it that were pushed past it. */
static void
close_place (struct weir_map *self, size_t place)
{
    size_t mask = table_mask (self);
    size_t at = place;
    for (;;) {
        at = (at + 1) & mask;
        if (self->table[at] == 0) {
            break;
        }
        size_t home = (size_t) self->items[self->table[at] - 1].hash & mask;
        if (((at - home) & mask) >= ((at - place) & mask)) {
            self->table[place] = self->table[at];
            place = at;
        }
    }
    self->table[place] = 0;
}

void *
weir_map_remove (struct weir_map *self, struct weir_bytes key)
{
    if (self->count == 0) {
        return NULL;
    }
    size_t place = place_of (self, key, weir_hash64 (key));
    if (self->table[place] == 0) {
        return NULL;
    }
    struct item *item = &self->items[self->table[place] - 1];
    void *value = item->value;
    close_place (self, place);
    free (item->key);
    *item = (struct item){ 0 };
    self->count--;
    while (self->first < self->used && self->items[self->first].value == NULL) {
        self->first++;
    }
    return value;
}

size_t
weir_map_count (const struct weir_map *self)
{
    return self->count;
}

bool
weir_map_next (const struct weir_map *self, size_t *i, struct weir_bytes *key, void **value)
{
    if (*i < self->first) {
        *i = self->first;
    }
    while (*i < self->used && self->items[*i].value == NULL) {
        ++*i;
    }
    if (*i >= self->used) {
        return false;
    }
    const struct item *item = &self->items[(*i)++];
    if (key != NULL) {
        *key = weir_bytes (item->key, item->len);
    }
    if (value != NULL) {
        *value = item->value;
    }
    return true;
}
