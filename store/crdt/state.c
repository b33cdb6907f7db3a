/* Owns the bytes of a whole document's state: canonical, so that equal sets of applied entries
 * give equal bytes whatever the order they came in, and a loader that takes nothing else.
 *
 *     version u8 | chains varint | author 32, lane u64 ... (sorted, those in use) |
 *     containers varint | row, state of its type ...
 *
 * Containers stand level by level, each level in the order of its parents, then key, then type;
 * a row is as in a payload, its parent a container before it. A write is
 *
 *     (chain << 1 | is of the same entry as the write before) varint | entry 32 unless so |
 *     lamport varint | value */

#include "store/crdt/payload.h"

#include <stdlib.h>
#include <string.h>

#define STATE_VERSION 1u
#define CHAIN_BYTES (WEIR_ID_BYTES + 8u)
#define ROW_BYTES_MIN 3u /* head, empty name, no registers */

/* ---- writes ---- */

void
weir_save_write (struct weir_save *save, const struct weir_stamp *stamp,
                 const struct weir_value *value)
{
    if (save->out == NULL) {
        save->chains[stamp->chain] = 1;
        return;
    }
    bool same = weir_id_equal (&save->entry, stamp->entry);
    weir_buf_put_varint (save->out, (uint64_t) save->chains[stamp->chain] << 1 | same);
    if (!same) {
        weir_buf_put (save->out, stamp->entry->b, WEIR_ID_BYTES);
        save->entry = *stamp->entry;
    }
    weir_buf_put_varint (save->out, stamp->lamport);
    weir_value_put (save->out, value);
}

enum weir_status
weir_load_write (struct weir_load *load, struct weir_stamp *stamp, struct weir_value *value)
{
    uint64_t head = weir_read_varint (&load->r);
    if (load->r.bad || head >> 1 >= load->n_chains) {
        return WEIR_BAD_PAYLOAD;
    }
    if ((head & 1u) == 0) {
        struct weir_bytes id = weir_read_bytes (&load->r, WEIR_ID_BYTES);
        if (load->r.bad || memcmp (id.data, load->entry.b, WEIR_ID_BYTES) == 0) {
            return WEIR_BAD_PAYLOAD;
        }
        memcpy (load->entry.b, id.data, WEIR_ID_BYTES);
    }
    *stamp = (struct weir_stamp){ .lamport = weir_read_varint (&load->r),
                                  .entry = &load->entry,
                                  .chain = (uint32_t) (head >> 1) };
    load->chains_seen[stamp->chain] = 1;
    enum weir_status status = weir_value_read (&load->r, value);
    if (status == WEIR_OK && value->type == WEIR_VALUE_CONTAINER
        && weir_container_type (value->container) == NULL) {
        status = WEIR_BAD_PAYLOAD;
    }
    if (status != WEIR_OK || load->r.bad) {
        return WEIR_BAD_PAYLOAD;
    }
    return weir_value_check (value);
}

/* ---- saving ---- */

struct walk {
    struct weir_container **items;
    size_t count;
    size_t cap;
};

static int
containers_by_key (const void *a, const void *b)
{
    const struct weir_container *x = *(struct weir_container *const *) a;
    const struct weir_container *y = *(struct weir_container *const *) b;
    int order = weir_bytes_compare (weir_container_key (x), weir_container_key (y));
    return order != 0 ? order : (int) x->type->number - (int) y->type->number;
}

static void
walk_children (struct walk *w, struct weir_container *parent)
{
    size_t first = w->count;
    size_t i = 0;
    struct weir_container *c;
    while (parent->type->next_children != NULL
           && (c = parent->type->next_children (parent, &i)) != NULL) {
        for (; c != NULL; c = c->sibling) {
            weir_grow (&w->items, &w->cap, w->count + 1, sizeof (struct weir_container *));
            w->items[w->count++] = c;
        }
    }
    if (w->count > first) {
        qsort (w->items + first, w->count - first, sizeof *w->items, containers_by_key);
    }
}

/* All containers, level by level, numbered in `mark`. */
static struct walk
walk_all (const struct weir_doc *doc)
{
    struct walk w = { 0 };
    walk_children (&w, weir_doc_top (doc));
    for (size_t i = 0; i < w.count; i++) {
        w.items[i]->mark = (uint32_t) i;
        walk_children (&w, w.items[i]);
    }
    return w;
}

struct numbered_chain {
    struct weir_chain chain;
    uint32_t number;
};

static int
chains_compare (const void *a, const void *b)
{
    return weir_chain_compare (&((const struct numbered_chain *) a)->chain,
                               &((const struct numbered_chain *) b)->chain);
}

/* Writes those in use, and turns save->chains from marks into their new numbers. */
static void
chains_save (struct weir_save *save)
{
    uint32_t all = weir_doc_chains (save->doc);
    struct numbered_chain *used = weir_alloc ((all + 1) * sizeof *used);
    uint32_t n = 0;
    for (uint32_t i = 0; i < all; i++) {
        if (save->chains[i] != 0) {
            used[n++] = (struct numbered_chain){ *weir_doc_chain (save->doc, i), i };
        }
    }
    qsort (used, n, sizeof *used, chains_compare);
    weir_buf_put_varint (save->out, n);
    for (uint32_t i = 0; i < n; i++) {
        weir_buf_put (save->out, used[i].chain.author.b, WEIR_ID_BYTES);
        weir_buf_put_u64 (save->out, used[i].chain.lane);
        save->chains[used[i].number] = i;
    }
    free (used);
}

void
weir_doc_save (const struct weir_doc *self, struct weir_buf *out)
{
    struct walk w = walk_all (self);
    struct weir_save save = { .doc = self };
    save.chains = weir_alloc ((weir_doc_chains (self) + 1) * sizeof *save.chains);
    for (size_t i = 0; i < w.count; i++) {
        w.items[i]->type->save (w.items[i], &save);
    }
    save.out = out;
    weir_buf_put_u8 (out, STATE_VERSION);
    chains_save (&save);
    weir_buf_put_varint (out, w.count);
    for (size_t i = 0; i < w.count; i++) {
        struct weir_container *c = w.items[i];
        bool is_root = c->depth == 1;
        weir_payload_put_row (out, is_root ? WEIR_ROW_ROOT : WEIR_ROW_PATH, c->type,
                              is_root ? 0 : c->parent->mark, weir_container_key (c));
        c->type->save (c, &save);
    }
    free (save.chains);
    free (w.items);
}

/* ---- loading ---- */

static enum weir_status
chains_load (struct weir_load *load)
{
    uint64_t count = weir_read_varint (&load->r);
    struct weir_chain before = { .lane = 0 };
    if (load->r.bad || count > weir_reader_left (&load->r) / CHAIN_BYTES) {
        return WEIR_BAD_PAYLOAD;
    }
    for (uint64_t i = 0; i < count; i++) {
        struct weir_chain chain;
        struct weir_bytes author = weir_read_bytes (&load->r, WEIR_ID_BYTES);
        memcpy (chain.author.b, author.data, WEIR_ID_BYTES);
        chain.lane = weir_read_u64 (&load->r);
        if (i > 0 && weir_chain_compare (&before, &chain) >= 0) {
            return WEIR_BAD_PAYLOAD;
        }
        (void) weir_doc_chain_number (load->doc, &chain);
        before = chain;
    }
    load->n_chains = (uint32_t) count;
    load->chains_seen = weir_alloc (count + 1);
    return WEIR_OK;
}

/* Reads a row and makes its container; it must stand behind all before it. */
static enum weir_status
row_load (struct weir_load *load, struct walk *w)
{
    uint8_t head = weir_read_u8 (&load->r);
    const struct weir_container_type *type = weir_container_type ((uint8_t) (head >> 2));
    struct weir_container *parent = weir_doc_top (load->doc);
    if (load->r.bad || type == NULL || (head & 3u) > WEIR_ROW_PATH) {
        return WEIR_BAD_PAYLOAD;
    }
    if ((head & 3u) == WEIR_ROW_PATH) {
        uint64_t number = weir_read_varint (&load->r);
        if (load->r.bad || number >= w->count || w->items[number]->type->children == NULL
            || w->items[number]->depth >= WEIR_CONTAINER_DEPTH_MAX) {
            return WEIR_BAD_PAYLOAD;
        }
        parent = w->items[number];
    }
    struct weir_bytes key = weir_read_blob (&load->r, WEIR_KEY_BYTES_MAX);
    if (load->r.bad || !weir_value_is_key (key)
        || (parent->depth == 0 && key.len > 0 && key.data[0] == '_')) {
        return WEIR_BAD_PAYLOAD;
    }
    const struct weir_container *last = w->count > 0 ? w->items[w->count - 1] : NULL;
    if (last != NULL && last->parent != parent) {
        bool forward = last->depth < parent->depth + 1
                       || (last->depth == parent->depth + 1 && last->parent->mark < parent->mark);
        if (!forward) {
            return WEIR_BAD_PAYLOAD;
        }
    } else if (last != NULL) {
        int order = weir_bytes_compare (weir_container_key (last), key);
        if (order > 0 || (order == 0 && last->type->number >= type->number)) {
            return WEIR_BAD_PAYLOAD;
        }
    }
    weir_grow (&w->items, &w->cap, w->count + 1, sizeof (struct weir_container *));
    struct weir_container *c = weir_container_child (parent, key, type, true);
    c->mark = (uint32_t) w->count;
    w->items[w->count++] = c;
    return c->type->load (c, load);
}

/* A container is there because it was written, or something below it. */
static bool
is_hollow (struct weir_container *c)
{
    size_t i = 0;
    return c->type->is_empty (c)
           && (c->type->next_children == NULL || c->type->next_children (c, &i) == NULL);
}

enum weir_status
weir_doc_load (struct weir_doc **out, struct weir_bytes state)
{
    struct walk w = { 0 };
    struct weir_load load = { .r = weir_reader (state), .doc = weir_doc_new () };
    enum weir_status status = WEIR_BAD_PAYLOAD;
    if (weir_read_u8 (&load.r) != STATE_VERSION || chains_load (&load) != WEIR_OK) {
        goto done;
    }
    uint64_t count = weir_read_varint (&load.r);
    if (load.r.bad || count > weir_reader_left (&load.r) / ROW_BYTES_MIN) {
        goto done;
    }
    for (uint64_t i = 0; i < count; i++) {
        if (row_load (&load, &w) != WEIR_OK) {
            goto done;
        }
    }
    for (size_t i = 0; i < w.count; i++) {
        if (is_hollow (w.items[i])) {
            goto done;
        }
    }
    if (!weir_reader_done (&load.r)
        || (load.n_chains > 0 && memchr (load.chains_seen, 0, load.n_chains) != NULL)) {
        goto done;
    }
    *out = load.doc;
    load.doc = NULL;
    status = WEIR_OK;
done:
    weir_doc_destroy (&load.doc);
    free (load.chains_seen);
    free (w.items);
    return status;
}
