#ifndef WEIR_STORE_BASE_HEAP_H
#define WEIR_STORE_BASE_HEAP_H

/* A binary heap of pointers, smallest first by a caller's order; for timers and schedules. */

#include "store/base/bytes.h"

struct weir_heap {
    void **items;
    size_t count;
    size_t cap;
    int (*compare) (const void *a, const void *b);
};

void weir_heap_init (struct weir_heap *h, int (*compare) (const void *a, const void *b));
void weir_heap_fini (struct weir_heap *h); /* items are the caller's */
void weir_heap_push (struct weir_heap *h, void *item);
void *weir_heap_peek (const struct weir_heap *h);        /* NULL when empty */
void *weir_heap_pop (struct weir_heap *h);               /* NULL when empty */
void weir_heap_remove (struct weir_heap *h, void *item); /* O(n); absent is fine */

#endif
