/* The kv's memory twin, for tests and the simulator: one table that keeps each version which a
 * power loss could still bring back. Nothing is synced until weir_kv_memory_sync says so. */

#include "store/kv/port.h"

#include <stdlib.h>

/* Smaller tables are not worth a rebuild. */
#define REBUILD_PAIRS_MIN 256u

struct memory {
    struct weir_kv kv;
    struct weir_overlay_table *table;
    uint64_t written;
    uint64_t synced;
    enum weir_status status;
};

static const struct weir_kv_vtable memory_vtable;

static struct memory *
memory_of (struct weir_kv *kv)
{
    weir_assert (kv->vtable == &memory_vtable);
    return (struct memory *) kv;
}

static const struct memory *
memory_of_const (const struct weir_kv *kv)
{
    weir_assert (kv->vtable == &memory_vtable);
    return (const struct memory *) kv;
}

struct weir_kv *
weir_kv_memory_new (void)
{
    struct memory *self = weir_alloc (sizeof *self);
    self->kv.vtable = &memory_vtable;
    self->table = weir_overlay_table_new ();
    return &self->kv;
}

/* The state after batch `number` as a table of one batch, numbered `as`. */
static struct weir_overlay_table *
state_at (const struct weir_overlay_table *table, uint64_t number, uint64_t as)
{
    struct weir_kv_batch *b = weir_kv_batch_new ();
    const struct weir_overlay_pair *pair =
        weir_overlay_table_from (table, weir_bytes (NULL, 0), number);
    for (; pair != NULL; pair = weir_overlay_table_after (pair, number)) {
        if (!pair->deleted) {
            weir_kv_put (b, weir_overlay_key (pair), weir_overlay_value (pair));
        }
    }
    struct weir_overlay_table *out = weir_overlay_table_new ();
    weir_overlay_table_add (out, &b, as);
    return out;
}

static struct weir_kv *
new_at (const struct memory *self, uint64_t number)
{
    struct weir_kv *kv = weir_kv_memory_new ();
    struct memory *out = memory_of (kv);
    weir_overlay_table_release (&out->table);
    out->table = state_at (self->table, number, 0);
    return kv;
}

void
weir_kv_memory_sync (struct weir_kv *kv)
{
    struct memory *self = memory_of (kv);
    if (self->status != WEIR_OK) {
        return;
    }
    self->synced = self->written;
    /* Nothing before `synced` can come back: drop it when it is most of the table. Iterators
     * hold the table that they began with, so they are not in the way. */
    size_t pairs = weir_overlay_table_pairs (self->table);
    if (pairs >= REBUILD_PAIRS_MIN && 2 * weir_overlay_table_stale (self->table) > pairs) {
        struct weir_overlay_table *table = state_at (self->table, self->synced, self->synced);
        weir_overlay_table_release (&self->table);
        self->table = table;
    }
}

struct weir_kv *
weir_kv_memory_crash (const struct weir_kv *kv, size_t keep)
{
    const struct memory *self = memory_of_const (kv);
    uint64_t unsynced = self->written - self->synced;
    return new_at (self, self->synced + (keep < unsynced ? keep : unsynced));
}

struct weir_kv *
weir_kv_memory_copy (const struct weir_kv *kv)
{
    const struct memory *self = memory_of_const (kv);
    return new_at (self, self->written);
}

void
weir_kv_memory_fail (struct weir_kv *kv, enum weir_status status)
{
    memory_of (kv)->status = status;
}

static void
memory_close (struct weir_kv *kv)
{
    struct memory *self = memory_of (kv);
    weir_overlay_table_release (&self->table);
    free (self);
}

static uint64_t
memory_write (struct weir_kv *kv, struct weir_kv_batch **batch_p)
{
    struct memory *self = memory_of (kv);
    uint64_t number = ++self->written;
    if ((*batch_p)->first != NULL) {
        weir_overlay_table_add (self->table, batch_p, number);
        return number;
    }
    weir_kv_batch_destroy (batch_p);
    if (self->synced + 1 == number && self->status == WEIR_OK) {
        self->synced = number;
    }
    return number;
}

static uint64_t
memory_synced (const struct weir_kv *kv)
{
    return memory_of_const (kv)->synced;
}

static int
memory_event_fd (const struct weir_kv *kv)
{
    (void) kv;
    return -1;
}

static void
memory_clear_event (struct weir_kv *kv)
{
    (void) kv;
}

/* Who waits for the disk has it write. */
static enum weir_status
memory_wait (struct weir_kv *kv, uint64_t number)
{
    struct memory *self = memory_of (kv);
    weir_assert (number <= self->written);
    if (self->synced < number) {
        weir_kv_memory_sync (kv);
    }
    return self->synced >= number ? WEIR_OK : self->status;
}

static enum weir_status
memory_status (const struct weir_kv *kv)
{
    return memory_of_const (kv)->status;
}

static enum weir_status
memory_get (struct weir_kv *kv, struct weir_bytes key, struct weir_buf *out)
{
    struct memory *self = memory_of (kv);
    const struct weir_overlay_pair *pair = weir_overlay_table_get (self->table, key, self->written);
    if (pair == NULL || pair->deleted) {
        return WEIR_NOT_FOUND;
    }
    if (out != NULL) {
        weir_buf_put_bytes (out, weir_overlay_value (pair));
    }
    return WEIR_OK;
}

static struct weir_kv_iter *
memory_iter_new (struct weir_kv *kv, struct weir_bytes from, struct weir_bytes to, bool backward)
{
    struct memory *self = memory_of (kv);
    struct weir_kv_iter_options options = { .from = from,
                                            .to = to,
                                            .backward = backward,
                                            .number = self->written,
                                            .tables = &self->table,
                                            .n_tables = 1 };
    return weir_kv_iter_merge (kv, &options);
}

static uint64_t
memory_disk_bytes (struct weir_kv *kv)
{
    (void) kv;
    return 0;
}

static const struct weir_kv_vtable memory_vtable = {
    .close = memory_close,
    .write = memory_write,
    .synced = memory_synced,
    .event_fd = memory_event_fd,
    .clear_event = memory_clear_event,
    .wait = memory_wait,
    .status = memory_status,
    .get = memory_get,
    .iter_new = memory_iter_new,
    .disk_bytes = memory_disk_bytes,
};
