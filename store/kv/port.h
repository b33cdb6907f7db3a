#ifndef WEIR_STORE_KV_PORT_H
#define WEIR_STORE_KV_PORT_H

/* What the two implementations of the kv share: the vtable behind kv.h, and the iterator that
 * merges tables in memory with what lies on disk. Only store/kv includes this. */

#include "store/kv/kv.h"
#include "store/kv/overlay.h"

/* The contract of each is that of its namesake in kv.h. */
struct weir_kv_vtable {
    void (*close) (struct weir_kv *self); /* frees it */
    uint64_t (*write) (struct weir_kv *self, struct weir_kv_batch **batch_p);
    uint64_t (*synced) (const struct weir_kv *self);
    int (*event_fd) (const struct weir_kv *self);
    void (*clear_event) (struct weir_kv *self);
    enum weir_status (*wait) (struct weir_kv *self, uint64_t number);
    enum weir_status (*status) (const struct weir_kv *self);
    enum weir_status (*get) (struct weir_kv *self, struct weir_bytes key, struct weir_buf *out);
    struct weir_kv_iter *(*iter_new) (struct weir_kv *self, struct weir_bytes from,
                                      struct weir_bytes to, bool backward);
    uint64_t (*disk_bytes) (struct weir_kv *self);
};

/* The first member of each implementation. */
struct weir_kv {
    const struct weir_kv_vtable *vtable;
    size_t iterators; /* open ones */
};

/* A place in what is on disk, for the merging iterator: it was put at the first (last) key of
 * the range when made, and steps one way. Slices are valid until step. `current` is false past
 * the end, and from the first error on. */
struct weir_kv_disk_vtable {
    bool (*current) (void *disk, struct weir_bytes *key, struct weir_bytes *value);
    void (*step) (void *disk);
    enum weir_status (*status) (const void *disk);
    void (*destroy) (void *disk);
};

struct weir_kv_iter_options {
    struct weir_bytes from; /* copied */
    struct weir_bytes to;   /* copied; empty: to the end */
    bool backward;
    uint64_t number;                    /* the view: batches up to here */
    struct weir_overlay_table **tables; /* oldest first; held by the iterator */
    size_t n_tables;
    void *disk; /* may be NULL; taken */
    const struct weir_kv_disk_vtable *disk_vtable;
};

struct weir_kv_iter *weir_kv_iter_merge (struct weir_kv *kv,
                                         const struct weir_kv_iter_options *options);

#endif
