/* Owns the bytes of a whole document's state: canonical, so that equal sets of applied entries
 * give equal bytes whatever the order they came in, and a loader that takes nothing else.
 *
 *     version u8 | lamport varint | heads varint, 32 each (sorted) |
 *     chains varint | author 32, lane u64 ... (sorted, those in use) |
 *     containers varint | row, state of its type ...
 *
 * First the roots, by name, then type; then the unique children, by id; then what hangs below
 * those, in the order of the parents, then key, then type. A row is as in a payload, but of a
 * unique child: head u8 | made by: entry 32, offset varint | 1 + number of the parent, varint (0:
 * not known yet). A stamp is
 *
 *     (chain << 1 | is of the same entry as the stamp before) varint | entry 32 unless so |
 *     lamport varint | offset varint
 *
 * and a write of a register the same without the offset, and a value. */

#include "store/crdt/doc_parts.h"

#include <stdlib.h>
#include <string.h>

#define STATE_VERSION 2u
#define CHAIN_BYTES (WEIR_ID_BYTES + 8u)
#define ROW_BYTES_MIN 3u /* head, empty name, no registers */

/* ---- stamps and writes ---- */

static void
write_head_save (struct weir_save *save, const struct weir_stamp *stamp)
{
    bool same = weir_id_equal (&save->entry, stamp->entry);
    weir_buf_put_varint (save->out, (uint64_t) save->chains[stamp->chain] << 1 | same);
    if (!same) {
        weir_buf_put (save->out, stamp->entry->b, WEIR_ID_BYTES);
        save->entry = *stamp->entry;
    }
    weir_buf_put_varint (save->out, stamp->lamport);
}

void
weir_save_stamp (struct weir_save *save, const struct weir_stamp *stamp)
{
    if (save->out == NULL) {
        save->chains[stamp->chain] = 1;
        return;
    }
    write_head_save (save, stamp);
    weir_buf_put_varint (save->out, stamp->offset);
}

void
weir_save_write (struct weir_save *save, const struct weir_stamp *stamp,
                 const struct weir_value *value)
{
    if (save->out == NULL) {
        save->chains[stamp->chain] = 1;
        return;
    }
    write_head_save (save, stamp);
    weir_value_put (save->out, value);
}

static enum weir_status
write_head_load (struct weir_load *load, struct weir_stamp *stamp)
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
    return load->r.bad ? WEIR_BAD_PAYLOAD : WEIR_OK;
}

enum weir_status
weir_load_stamp (struct weir_load *load, struct weir_stamp *stamp)
{
    enum weir_status status = write_head_load (load, stamp);
    uint64_t offset = weir_read_varint (&load->r);
    if (status != WEIR_OK || load->r.bad || offset >= WEIR_ENTRY_OPS_MAX
        || offset > stamp->lamport) {
        return WEIR_BAD_PAYLOAD;
    }
    stamp->offset = (uint32_t) offset;
    return WEIR_OK;
}

enum weir_status
weir_load_write (struct weir_load *load, struct weir_stamp *stamp, struct weir_value *value)
{
    enum weir_status status = write_head_load (load, stamp);
    return status == WEIR_OK ? weir_value_read_kept (&load->r, value) : status;
}

/* ---- saving ---- */

static int
containers_by_key (const void *a, const void *b)
{
    const struct weir_container *x = *(struct weir_container *const *) a;
    const struct weir_container *y = *(struct weir_container *const *) b;
    int order = weir_bytes_compare (weir_container_key (x), weir_container_key (y));
    return order != 0 ? order : (int) x->type->number - (int) y->type->number;
}

static int
containers_by_id (const void *a, const void *b)
{
    return weir_id_compare (&(*(struct weir_container *const *) a)->id,
                            &(*(struct weir_container *const *) b)->id);
}

/* A container is there because it was written, or something below it; a unique child because it
 * was made, but a tree makes those of its nodes when it loads. */
static bool
is_saved (const struct weir_container *c)
{
    bool is_made =
        c->is_unique && c->parent != NULL && c->parent->type->number != WEIR_CONTAINER_TREE;
    return is_made || !weir_container_is_hollow (c);
}

/* Sorts what was added behind `first`, and drops the hollow. */
static void
settle (struct weir_containers *w, size_t first, int (*compare) (const void *, const void *))
{
    size_t n = first;
    for (size_t i = first; i < w->count; i++) {
        struct weir_container *c = w->items[i];
        if (is_saved (c)) {
            w->items[n++] = c;
        }
    }
    w->count = n;
    if (n > first) {
        qsort (w->items + first, n - first, sizeof *w->items, compare);
    }
}

/* All containers in their order, numbered in `mark`. */
static void
walk_all (const struct weir_doc *doc, struct weir_containers *w)
{
    struct weir_bytes key;
    void *value;
    weir_containers_put_below (w, doc->top);
    settle (w, 0, containers_by_key);
    size_t first = w->count;
    for (size_t i = 0; weir_map_next (doc->uniques, &i, &key, &value);) {
        weir_containers_put (w, value);
    }
    settle (w, first, containers_by_id);
    for (size_t i = 0; i < w->count; i++) {
        w->items[i]->mark = (uint32_t) i;
        first = w->count;
        weir_containers_put_below (w, w->items[i]);
        settle (w, first, containers_by_key);
    }
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

static void
row_save (const struct weir_container *c, struct weir_buf *out)
{
    if (c->is_unique) {
        weir_buf_put_u8 (out, (uint8_t) ((unsigned) c->type->number << 2 | WEIR_ROW_UNIQUE));
        weir_buf_put (out, c->made.entry.b, WEIR_ID_BYTES);
        weir_buf_put_varint (out, c->made.offset);
        weir_buf_put_varint (out, c->parent != NULL ? (uint64_t) c->parent->mark + 1 : 0);
    } else {
        bool is_root = c->parent == weir_doc_top (c->doc);
        struct weir_payload_row row = { .type = c->type,
                                        .kind = is_root ? WEIR_ROW_ROOT : WEIR_ROW_PATH,
                                        .parent = is_root ? 0 : c->parent->mark,
                                        .key = weir_container_key (c) };
        weir_payload_put_row (out, &row);
    }
}

void
weir_doc_save (const struct weir_doc *self, struct weir_buf *out)
{
    struct weir_containers w = { 0 };
    struct weir_save save = { .doc = self };
    weir_assert (self->change == NULL); /* what is open has no entry yet */
    walk_all (self, &w);
    save.chains = weir_alloc ((weir_doc_chains (self) + 1) * sizeof *save.chains);
    for (size_t i = 0; i < w.count; i++) {
        w.items[i]->type->save (w.items[i], &save);
    }
    save.out = out;
    weir_buf_put_u8 (out, STATE_VERSION);
    weir_buf_put_varint (out, self->lamport);
    weir_buf_put_varint (out, self->n_heads);
    for (size_t i = 0; i < self->n_heads; i++) {
        weir_buf_put (out, self->heads[i].b, WEIR_ID_BYTES);
    }
    chains_save (&save);
    weir_buf_put_varint (out, w.count);
    for (size_t i = 0; i < w.count; i++) {
        row_save (w.items[i], out);
        w.items[i]->type->save (w.items[i], &save);
    }
    free (save.chains);
    free (w.items);
}

/* ---- loading ---- */

/* The containers so far, and for each unique one the number of its parent, plus 1. */
struct loading {
    struct weir_load load;
    struct weir_containers all;
    uint64_t *parents;
    size_t parents_cap;
    size_t n_parents;
    size_t first_unique;
};

static enum weir_status
heads_load (struct weir_load *load)
{
    struct weir_doc *doc = load->doc;
    doc->lamport = weir_read_varint (&load->r);
    uint64_t count = weir_read_varint (&load->r);
    if (load->r.bad || count > weir_reader_left (&load->r) / WEIR_ID_BYTES) {
        return WEIR_BAD_PAYLOAD;
    }
    weir_grow (&doc->heads, &doc->heads_cap, (size_t) count, sizeof *doc->heads);
    for (; doc->n_heads < count; doc->n_heads++) {
        struct weir_id *id = &doc->heads[doc->n_heads];
        memcpy (id->b, weir_read_bytes (&load->r, WEIR_ID_BYTES).data, WEIR_ID_BYTES);
        if (doc->n_heads > 0 && weir_id_compare (id - 1, id) >= 0) {
            return WEIR_BAD_PAYLOAD;
        }
    }
    return WEIR_OK;
}

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

/* The order of rows: roots, unique children, the rest by parents; then key and type, or id. */
static bool
stands_behind (const struct weir_container *c, const struct weir_container *last)
{
    const struct weir_container *top = weir_doc_top (c->doc);
    uint64_t place = c->is_unique ? 1 : c->parent == top ? 0 : 2u + c->parent->mark;
    uint64_t before = last->is_unique ? 1 : last->parent == top ? 0 : 2u + last->parent->mark;
    if (place != before) {
        return place > before;
    }
    return c->is_unique ? weir_id_compare (&last->id, &c->id) < 0
                        : containers_by_key (&last, &c) < 0;
}

static struct weir_container *
unique_load (struct loading *l, const struct weir_container_type *type)
{
    struct weir_load *load = &l->load;
    struct weir_op_id made;
    struct weir_bytes entry = weir_read_bytes (&load->r, WEIR_ID_BYTES);
    uint64_t offset = weir_read_varint (&load->r);
    uint64_t parent = weir_read_varint (&load->r);
    if (load->r.bad || offset >= WEIR_ENTRY_OPS_MAX
        || (l->n_parents > 0 && !l->all.items[l->all.count - 1]->is_unique)) {
        return NULL;
    }
    memcpy (made.entry.b, entry.data, WEIR_ID_BYTES);
    made.offset = (uint32_t) offset;
    if (l->n_parents == 0) {
        l->first_unique = l->all.count;
    }
    weir_grow (&l->parents, &l->parents_cap, l->n_parents + 1, sizeof *l->parents);
    l->parents[l->n_parents++] = parent;
    return weir_doc_unique_make (load->doc, &made, type);
}

static struct weir_container *
path_load (struct loading *l, uint8_t kind, const struct weir_container_type *type)
{
    struct weir_load *load = &l->load;
    struct weir_container *parent = weir_doc_top (load->doc);
    if (kind == WEIR_ROW_PATH) {
        uint64_t number = weir_read_varint (&load->r);
        if (load->r.bad || number >= l->all.count || l->all.items[number]->type->children == NULL
            || l->all.items[number]->depth >= WEIR_CONTAINER_DEPTH_MAX) {
            return NULL;
        }
        parent = l->all.items[number];
    }
    struct weir_bytes key = weir_read_blob (&load->r, WEIR_KEY_BYTES_MAX);
    if (load->r.bad || !weir_value_is_key (key)
        || (kind == WEIR_ROW_ROOT && key.len > 0 && key.data[0] == '_')) {
        return NULL;
    }
    return weir_container_child (parent, key, type, true);
}

/* Reads a row and makes its container; it must stand behind all before it. */
static enum weir_status
row_load (struct loading *l)
{
    struct weir_load *load = &l->load;
    uint8_t head = weir_read_u8 (&load->r);
    const struct weir_container_type *type = weir_container_type ((uint8_t) (head >> 2));
    struct weir_container *c = NULL;
    if (load->r.bad || type == NULL || (head & 3u) > WEIR_ROW_UNIQUE) {
        return WEIR_BAD_PAYLOAD;
    }
    c = (head & 3u) == WEIR_ROW_UNIQUE ? unique_load (l, type) : path_load (l, head & 3u, type);
    if (c == NULL || (l->all.count > 0 && !stands_behind (c, l->all.items[l->all.count - 1]))) {
        return WEIR_BAD_PAYLOAD;
    }
    c->mark = (uint32_t) l->all.count;
    weir_containers_put (&l->all, c);
    return c->type->load (c, load);
}

static enum weir_status
parents_load (struct loading *l)
{
    for (size_t i = 0; i < l->n_parents; i++) {
        struct weir_container *c = l->all.items[l->first_unique + i];
        if (l->parents[i] > l->all.count) {
            return WEIR_BAD_PAYLOAD;
        }
        struct weir_container *parent = l->parents[i] > 0 ? l->all.items[l->parents[i] - 1] : NULL;
        if (c->parent != NULL && c->parent != parent) { /* a tree adopts its nodes' itself */
            return WEIR_BAD_PAYLOAD;
        }
        if (parent != NULL) {
            weir_container_adopt (parent, c);
        }
        c->mark = 0;
    }
    return WEIR_OK;
}

/* Each unique child is shown once at most, and by its parent. */
static enum weir_status
children_check (struct loading *l)
{
    for (size_t i = 0; i < l->all.count; i++) {
        struct weir_container *c = l->all.items[i];
        struct weir_item item;
        size_t at = 0;
        while (c->type->next != NULL && c->type->next (c, &at, &item)) {
            if (item.value.type != WEIR_VALUE_UNIQUE || item.child == NULL) {
                continue;
            }
            if (item.child->parent != c || item.child->mark != 0
                || item.child->type->number != item.value.container) {
                return WEIR_BAD_PAYLOAD;
            }
            item.child->mark = 1;
        }
    }
    return WEIR_OK;
}

static enum weir_status
hollow_check (const struct loading *l)
{
    for (size_t i = 0; i < l->all.count; i++) {
        if (!is_saved (l->all.items[i])) {
            return WEIR_BAD_PAYLOAD;
        }
    }
    return WEIR_OK;
}

static enum weir_status
all_load (struct loading *l)
{
    struct weir_load *load = &l->load;
    if (weir_read_u8 (&load->r) != STATE_VERSION || heads_load (load) != WEIR_OK
        || chains_load (load) != WEIR_OK) {
        return WEIR_BAD_PAYLOAD;
    }
    uint64_t count = weir_read_varint (&load->r);
    if (load->r.bad || count > weir_reader_left (&load->r) / ROW_BYTES_MIN) {
        return WEIR_BAD_PAYLOAD;
    }
    for (uint64_t i = 0; i < count; i++) {
        if (row_load (l) != WEIR_OK) {
            return WEIR_BAD_PAYLOAD;
        }
    }
    if (!weir_reader_done (&load->r)
        || (load->n_chains > 0 && memchr (load->chains_seen, 0, load->n_chains) != NULL)) {
        return WEIR_BAD_PAYLOAD;
    }
    return parents_load (l) == WEIR_OK && hollow_check (l) == WEIR_OK ? children_check (l)
                                                                      : WEIR_BAD_PAYLOAD;
}

enum weir_status
weir_doc_load (struct weir_doc **out, struct weir_bytes state)
{
    struct loading l = { .load = { .r = weir_reader (state), .doc = weir_doc_new () } };
    enum weir_status status = all_load (&l);
    if (status == WEIR_OK) {
        *out = l.load.doc;
        l.load.doc = NULL;
        weir_doc_cool (*out);
    }
    weir_doc_destroy (&l.load.doc);
    free (l.load.chains_seen);
    free (l.parents);
    free (l.all.items);
    return status;
}
