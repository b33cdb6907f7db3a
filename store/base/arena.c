/* A capped arena: a chain of blocks, each twice the one before, freed as a whole. What counts
 * against the cap is what was asked for, rounded up to the alignment, so that the cap means the
 * same on every machine. Decoders of outside bytes allocate here and nowhere else. */

#include "store/base/arena.h"

#include <stdlib.h>
#include <string.h>

#define ALIGNMENT (_Alignof(max_align_t))
#define BLOCK_BYTES_MIN 1024u
#define BLOCK_BYTES_MAX (1u << 20)

struct block {
    struct block *next;
    size_t size;
    size_t used;
    _Alignas(max_align_t) uint8_t data[];
};

struct weir_arena {
    size_t bytes_max;
    size_t used;
    struct block *first;
    struct block *last; /* the one that is filled */
};

struct weir_arena *
weir_arena_new (size_t bytes_max)
{
    struct weir_arena *self = weir_alloc (sizeof *self);
    self->bytes_max = bytes_max;
    return self;
}

static void
free_blocks (struct block *b)
{
    while (b != NULL) {
        struct block *next = b->next;
        free (b);
        b = next;
    }
}

void
weir_arena_destroy (struct weir_arena **self_p)
{
    if (*self_p != NULL) {
        free_blocks ((*self_p)->first);
        free (*self_p);
        *self_p = NULL;
    }
}

static struct block *
block_new (const struct block *before, size_t size)
{
    size_t want = before == NULL ? BLOCK_BYTES_MIN : before->size * 2;
    want = want > BLOCK_BYTES_MAX ? BLOCK_BYTES_MAX : want;
    want = want < size ? size : want;
    struct block *b = weir_realloc (NULL, sizeof *b + want);
    *b = (struct block){ .size = want };
    return b;
}

void *
weir_arena_alloc (struct weir_arena *self, size_t size)
{
    size_t left = self->bytes_max - self->used;
    if (size > left) {
        return NULL;
    }
    /* No overflow: size is at most the cap, and a cap near SIZE_MAX cannot be met. */
    size_t rounded = size == 0 ? ALIGNMENT : (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (rounded > left || rounded < size) {
        return NULL;
    }
    struct block *b = self->last;
    if (b == NULL || rounded > b->size - b->used) {
        b = block_new (self->last, rounded);
        if (self->last == NULL) {
            self->first = b;
        } else {
            self->last->next = b;
        }
        self->last = b;
    }
    void *p = b->data + b->used;
    b->used += rounded;
    self->used += rounded;
    return memset (p, 0, rounded);
}

void *
weir_arena_array (struct weir_arena *self, size_t count, size_t size)
{
    size_t bytes = 0;
    return __builtin_mul_overflow (count, size, &bytes) ? NULL : weir_arena_alloc (self, bytes);
}

uint8_t *
weir_arena_copy (struct weir_arena *self, struct weir_bytes s)
{
    uint8_t *p = s.len == SIZE_MAX ? NULL : weir_arena_alloc (self, s.len + 1);
    if (p != NULL && s.len > 0) {
        memcpy (p, s.data, s.len);
    }
    return p;
}

void
weir_arena_reset (struct weir_arena *self)
{
    if (self->first != NULL) {
        free_blocks (self->first->next);
        self->first->next = NULL;
        self->first->used = 0;
    }
    self->last = self->first;
    self->used = 0;
}

size_t
weir_arena_used (const struct weir_arena *self)
{
    return self->used;
}
