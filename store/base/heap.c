/* A binary heap of pointers (Williams 1964). Owns the array, never the items. */

#include "store/base/heap.h"

#include <stdlib.h>

void
weir_heap_init (struct weir_heap *h, int (*compare) (const void *a, const void *b))
{
    *h = (struct weir_heap){ .compare = compare };
}

void
weir_heap_fini (struct weir_heap *h)
{
    free (h->items);
    *h = (struct weir_heap){ .compare = h->compare };
}

static void
move_up (struct weir_heap *h, size_t i)
{
    void *item = h->items[i];
    while (i > 0 && h->compare (item, h->items[(i - 1) / 2]) < 0) {
        h->items[i] = h->items[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    h->items[i] = item;
}

static void
move_down (struct weir_heap *h, size_t i)
{
    void *item = h->items[i];
    for (size_t child = 2 * i + 1; child < h->count; child = 2 * i + 1) {
        if (child + 1 < h->count && h->compare (h->items[child + 1], h->items[child]) < 0) {
            child++;
        }
        if (h->compare (item, h->items[child]) <= 0) {
            break;
        }
        h->items[i] = h->items[child];
        i = child;
    }
    h->items[i] = item;
}

void
weir_heap_push (struct weir_heap *h, void *item)
{
    weir_grow (&h->items, &h->cap, h->count + 1, sizeof *h->items);
    h->items[h->count++] = item;
    move_up (h, h->count - 1);
}

void *
weir_heap_peek (const struct weir_heap *h)
{
    return h->count == 0 ? NULL : h->items[0];
}

static void
remove_at (struct weir_heap *h, size_t i)
{
    h->count--;
    if (i == h->count) {
        return;
    }
    h->items[i] = h->items[h->count];
    move_up (h, i);
    move_down (h, i);
}

void *
weir_heap_pop (struct weir_heap *h)
{
    void *item = weir_heap_peek (h);
    if (item != NULL) {
        remove_at (h, 0);
    }
    return item;
}

void
weir_heap_remove (struct weir_heap *h, void *item)
{
    for (size_t i = 0; i < h->count; i++) {
        if (h->items[i] == item) {
            remove_at (h, i);
            return;
        }
    }
}
