/* The kv's port: batches, and the way from kv.h to the implementation at hand (leveldb.c or
 * memory.c). The iterator is in iter.c. */

#include "store/kv/port.h"

#include <stdlib.h>

struct weir_kv_batch *
weir_kv_batch_new (void)
{
    return weir_alloc (sizeof (struct weir_kv_batch));
}

void
weir_kv_put (struct weir_kv_batch *b, struct weir_bytes key, struct weir_bytes value)
{
    weir_overlay_batch_put (b, key, value, false);
}

void
weir_kv_delete (struct weir_kv_batch *b, struct weir_bytes key)
{
    weir_overlay_batch_put (b, key, weir_bytes (NULL, 0), true);
}

size_t
weir_kv_batch_bytes (const struct weir_kv_batch *b)
{
    return b->bytes;
}

void
weir_kv_batch_destroy (struct weir_kv_batch **self_p)
{
    if (*self_p != NULL) {
        weir_overlay_batch_fini (*self_p);
        free (*self_p);
        *self_p = NULL;
    }
}

void
weir_kv_close (struct weir_kv **self_p)
{
    struct weir_kv *self = *self_p;
    if (self != NULL) {
        weir_assert (self->iterators == 0);
        self->vtable->close (self);
        *self_p = NULL;
    }
}

uint64_t
weir_kv_write (struct weir_kv *self, struct weir_kv_batch **batch_p)
{
    return self->vtable->write (self, batch_p);
}

uint64_t
weir_kv_synced (const struct weir_kv *self)
{
    return self->vtable->synced (self);
}

int
weir_kv_event_fd (const struct weir_kv *self)
{
    return self->vtable->event_fd (self);
}

void
weir_kv_clear_event (struct weir_kv *self)
{
    self->vtable->clear_event (self);
}

enum weir_status
weir_kv_wait (struct weir_kv *self, uint64_t number)
{
    return self->vtable->wait (self, number);
}

enum weir_status
weir_kv_status (const struct weir_kv *self)
{
    return self->vtable->status (self);
}

enum weir_status
weir_kv_get (struct weir_kv *self, struct weir_bytes key, struct weir_buf *out)
{
    return self->vtable->get (self, key, out);
}

struct weir_kv_iter *
weir_kv_iter_new (struct weir_kv *self, struct weir_bytes from, struct weir_bytes to, bool backward)
{
    return self->vtable->iter_new (self, from, to, backward);
}

uint64_t
weir_kv_disk_bytes (struct weir_kv *self)
{
    return self->vtable->disk_bytes (self);
}
