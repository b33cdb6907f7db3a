/* The kv's iterator: merges the tables of the overlay with what is on disk, the newest version of
 * each key, deletions left out. It holds its tables, and sees only batches up to its number, so
 * it shows the state at its creation although pairs move to disk and new ones are written
 * meanwhile. kv.c's callers drive it; leveldb.c and memory.c make it. */

#include "store/kv/port.h"

#include <stdlib.h>

struct source {
    struct weir_overlay_table *table;
    const struct weir_overlay_pair *pair; /* NULL: at the end */
};

struct weir_kv_iter {
    struct weir_kv *kv;
    struct weir_buf from;
    struct weir_buf to;
    bool backward;
    uint64_t number;
    void *disk;
    const struct weir_kv_disk_vtable *disk_vtable;
    struct weir_bytes given; /* the key that next gave last; its sources step at the next call */
    bool gave;
    size_t n_sources;
    struct source sources[]; /* oldest first */
};

/* A pair outside the range is an end. */
static const struct weir_overlay_pair *
within (const struct weir_kv_iter *self, const struct weir_overlay_pair *pair)
{
    if (pair == NULL) {
        return NULL;
    }
    struct weir_bytes key = weir_overlay_key (pair);
    if (self->backward) {
        return weir_bytes_compare (key, weir_buf_bytes (&self->from)) < 0 ? NULL : pair;
    }
    return self->to.len > 0 && weir_bytes_compare (key, weir_buf_bytes (&self->to)) >= 0 ? NULL
                                                                                         : pair;
}

static const struct weir_overlay_pair *
first_pair (const struct weir_kv_iter *self, const struct weir_overlay_table *table)
{
    if (!self->backward) {
        return weir_overlay_table_from (table, weir_buf_bytes (&self->from), self->number);
    }
    return self->to.len > 0
               ? weir_overlay_table_before (table, weir_buf_bytes (&self->to), self->number)
               : weir_overlay_table_end (table, self->number);
}

struct weir_kv_iter *
weir_kv_iter_merge (struct weir_kv *kv, const struct weir_kv_iter_options *options)
{
    struct weir_kv_iter *self =
        weir_alloc (sizeof *self + options->n_tables * sizeof self->sources[0]);
    self->kv = kv;
    kv->iterators++;
    weir_buf_put_bytes (&self->from, options->from);
    weir_buf_put_bytes (&self->to, options->to);
    self->backward = options->backward;
    self->number = options->number;
    self->disk = options->disk;
    self->disk_vtable = options->disk_vtable;
    self->n_sources = options->n_tables;
    for (size_t i = 0; i < options->n_tables; i++) {
        struct source *s = &self->sources[i];
        s->table = weir_overlay_table_hold (options->tables[i]);
        s->pair = within (self, first_pair (self, s->table));
    }
    return self;
}

void
weir_kv_iter_destroy (struct weir_kv_iter **self_p)
{
    struct weir_kv_iter *self = *self_p;
    if (self == NULL) {
        return;
    }
    for (size_t i = 0; i < self->n_sources; i++) {
        weir_overlay_table_release (&self->sources[i].table);
    }
    if (self->disk != NULL) {
        self->disk_vtable->destroy (self->disk);
    }
    weir_buf_fini (&self->from);
    weir_buf_fini (&self->to);
    self->kv->iterators--;
    free (self);
    *self_p = NULL;
}

/* Moves every source that stands at `key`; the slice may die with the last of them. */
static void
step_past (struct weir_kv_iter *self, struct weir_bytes key)
{
    struct weir_bytes at;
    bool disk = self->disk != NULL && self->disk_vtable->current (self->disk, &at, NULL)
                && weir_bytes_equal (at, key);
    for (size_t i = 0; i < self->n_sources; i++) {
        struct source *s = &self->sources[i];
        if (s->pair == NULL || !weir_bytes_equal (weir_overlay_key (s->pair), key)) {
            continue;
        }
        s->pair =
            within (self, self->backward ? weir_overlay_table_before (s->table, key, self->number)
                                         : weir_overlay_table_after (s->pair, self->number));
    }
    if (disk) {
        self->disk_vtable->step (self->disk);
    }
}

bool
weir_kv_iter_next (struct weir_kv_iter *self, struct weir_bytes *key, struct weir_bytes *value)
{
    if (self->gave) {
        self->gave = false;
        step_past (self, self->given);
    }
    for (;;) {
        struct weir_bytes best = { NULL, 0 };
        struct weir_bytes content = { NULL, 0 };
        bool found = self->disk != NULL && self->disk_vtable->current (self->disk, &best, &content);
        bool deleted = false;
        if (weir_kv_iter_status (self) != WEIR_OK) {
            return false;
        }
        /* From the oldest source to the newest, so that the newest wins where keys are equal. */
        for (size_t i = 0; i < self->n_sources; i++) {
            const struct weir_overlay_pair *pair = self->sources[i].pair;
            if (pair == NULL) {
                continue;
            }
            int order = found ? weir_bytes_compare (weir_overlay_key (pair), best) : 0;
            if (!found || (self->backward ? order >= 0 : order <= 0)) {
                found = true;
                best = weir_overlay_key (pair);
                content = weir_overlay_value (pair);
                deleted = pair->deleted;
            }
        }
        if (!found) {
            return false;
        }
        if (!deleted) {
            self->given = best;
            self->gave = true;
            if (key != NULL) {
                *key = best;
            }
            if (value != NULL) {
                *value = content;
            }
            return true;
        }
        step_past (self, best);
    }
}

enum weir_status
weir_kv_iter_status (const struct weir_kv_iter *self)
{
    return self->disk == NULL ? WEIR_OK : self->disk_vtable->status (self->disk);
}
