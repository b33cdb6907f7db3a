/* Owns records: what the notices of one event come to. A sequence's splices are put together as
 * they come; keys, nodes and values are only named, and read when the event ends. */

#include "store/replica/events.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- records ---- */

static void
record_destroy (struct weir_record *r)
{
    weir_map_destroy (&r->keys, NULL);
    weir_map_destroy (&r->moved, NULL);
    weir_map_destroy (&r->valued, NULL);
    weir_numbers_fini (&r->nodes);
    free (r->splices);
    free (r);
}

void
weir_records_clear (struct weir_records *self)
{
    for (size_t i = 0; i < self->count; i++) {
        record_destroy (self->items[i]);
    }
    free (self->items);
    weir_map_destroy (&self->by_container, NULL);
    *self = (struct weir_records){ .items = NULL };
}

static struct weir_bytes
pointer_key (struct weir_container *const *c)
{
    return weir_bytes (c, sizeof (struct weir_container *));
}

/* A child's id may change while it is open: it goes by its place in memory. */
static struct weir_record *
record_of (struct weir_records *self, struct weir_container *c)
{
    if (self->by_container == NULL) {
        self->by_container = weir_map_new ();
    }
    struct weir_record *r = weir_map_get (self->by_container, pointer_key (&c));
    if (r == NULL) {
        r = weir_alloc (sizeof *r);
        r->container = c;
        weir_grow (&self->items, &self->cap, self->count + 1, sizeof (struct weir_record *));
        self->items[self->count++] = r;
        (void) weir_map_put (self->by_container, pointer_key (&c), r);
        weir_grow (&r->splices, &r->splices_cap, 1, sizeof *r->splices);
        r->splices[r->n_splices++] = (struct weir_splice){ .count = UINT32_MAX };
    }
    return r;
}

static struct weir_bytes
element_key (const struct weir_op_id *id, uint8_t key[WEIR_ID_BYTES + 4])
{
    memcpy (key, id->entry.b, WEIR_ID_BYTES);
    weir_store_u32 (key + WEIR_ID_BYTES, id->offset);
    return weir_bytes (key, WEIR_ID_BYTES + 4);
}

static void
named (struct weir_map **names, struct weir_bytes name)
{
    *names = *names != NULL ? *names : weir_map_new ();
    if (weir_map_get (*names, name) == NULL) {
        (void) weir_map_put (*names, name, *names);
    }
}

/* ---- splices ---- */

static void
splice_insert (struct weir_record *r, size_t i, struct weir_splice s)
{
    weir_grow (&r->splices, &r->splices_cap, r->n_splices + 1, sizeof *r->splices);
    memmove (&r->splices[i + 1], &r->splices[i], (r->n_splices - i) * sizeof *r->splices);
    r->splices[i] = s;
    r->n_splices++;
}

static void
splice_remove (struct weir_record *r, size_t i)
{
    r->n_splices--;
    memmove (&r->splices[i], &r->splices[i + 1], (r->n_splices - i) * sizeof *r->splices);
}

/* The splice that begins at `at`: one is cut there when none does. The last never ends. */
static size_t
splice_at (struct weir_record *r, uint32_t at)
{
    if (at < r->at_from || r->at >= r->n_splices) {
        r->at = 0;
        r->at_from = 0;
    }
    while (at - r->at_from >= r->splices[r->at].count) {
        r->at_from += r->splices[r->at++].count;
    }
    uint32_t head = at - r->at_from;
    if (head > 0) {
        struct weir_splice *s = &r->splices[r->at];
        struct weir_splice tail = *s;
        tail.was += s->is_new ? 0 : head;
        tail.count -= s->count == UINT32_MAX ? 0 : head;
        s->count = head;
        splice_insert (r, r->at + 1, tail);
        r->at++;
        r->at_from = at;
    }
    return r->at;
}

static void
note_removed (struct weir_record *r, const struct weir_notice *n)
{
    uint32_t left = n->removed;
    while (left > 0) {
        size_t i = splice_at (r, n->at);
        struct weir_splice *s = &r->splices[i];
        if (n->is_move && !s->is_new) {
            uint8_t key[WEIR_ID_BYTES + 4];
            r->moved = r->moved != NULL ? r->moved : weir_map_new ();
            (void) weir_map_put (r->moved, element_key (&n->target, key),
                                 (void *) ((uintptr_t) s->was + 1));
        }
        uint32_t count = s->count < left ? s->count : left;
        s->was += s->is_new ? 0 : count;
        s->count -= s->count == UINT32_MAX ? 0 : count;
        if (s->count == 0) {
            splice_remove (r, i);
        }
        left -= count;
    }
}

static void
note_inserted (struct weir_record *r, const struct weir_notice *n)
{
    size_t i = splice_at (r, n->at);
    if (i > 0 && r->splices[i - 1].is_new) {
        r->splices[i - 1].count += n->inserted;
        r->at_from += n->inserted;
    } else {
        splice_insert (r, i, (struct weir_splice){ .count = n->inserted, .is_new = true });
    }
}

static void
note_marked (struct weir_record *r, uint32_t at, uint32_t count)
{
    size_t i = splice_at (r, at);
    (void) splice_at (r, at + count);
    r->at = 0;
    r->at_from = 0;
    for (uint32_t done = 0; done < count; i++) {
        r->splices[i].is_marked = true;
        done += r->splices[i].count;
    }
}

static void
note_value (struct weir_record *r, const struct weir_notice *n)
{
    struct weir_op_id id;
    uint8_t key[WEIR_ID_BYTES + 4];
    note_marked (r, n->at, 1);
    if (weir_movable_element (r->container, n->at, &id)) {
        named (&r->valued, element_key (&id, key));
    }
}

void
weir_records_note (struct weir_records *self, const struct weir_notice *notice)
{
    struct weir_record *r = record_of (self, notice->container);
    uint32_t node;
    if (self->is_too_much) {
        return;
    }
    switch (notice->kind) {
    case WEIR_NOTICE_KEY:
        named (&r->keys, notice->key);
        break;
    case WEIR_NOTICE_SPLICE:
        note_removed (r, notice);
        if (notice->inserted > 0) {
            note_inserted (r, notice);
        }
        break;
    case WEIR_NOTICE_VALUE:
        note_value (r, notice);
        break;
    case WEIR_NOTICE_MARK:
        named (&r->keys, notice->key);
        note_marked (r, notice->at, notice->inserted);
        break;
    case WEIR_NOTICE_NODE:
        node = weir_tree_find (notice->container, &notice->target);
        weir_assert (node != WEIR_GRAPH_NONE);
        weir_numbers_push (&r->nodes, node);
        break;
    case WEIR_NOTICE_NUMBER:
        r->is_real = r->is_real || notice->by.type == WEIR_VALUE_DOUBLE;
        if (notice->by.type == WEIR_VALUE_DOUBLE) {
            r->by_real += notice->by.number.d;
        } else {
            r->by = (int64_t) ((uint64_t) r->by + (uint64_t) notice->by.number.i);
        }
        break;
    default:
        weir_assert (false);
    }
    self->is_too_much = self->is_too_much || r->n_splices > WEIR_SPLICES_MAX;
}

/* ---- where containers stand ---- */

/* The part of the path that leads from the parent to the child; false: it is not visible. */
static bool
part_of (const struct weir_container *c, struct weir_buf *part)
{
    const struct weir_container *parent = c->parent;
    struct weir_item item;
    size_t i = 0;
    if (parent->type == &weir_container_tree) {
        struct weir_tree_node node = { .is_alive = false };
        uint32_t n = weir_tree_find (parent, &c->made);
        if (n != WEIR_GRAPH_NONE) {
            weir_tree_node (parent, n, &node);
        }
        struct weir_op_id_text name = weir_op_id_text (&c->made);
        weir_diff_path_key (part, weir_bytes_str (name.s));
        return node.is_alive;
    }
    if (!c->is_unique) {
        weir_diff_path_key (part, weir_container_key (c));
        return parent == weir_doc_top (c->doc)
               || (parent->type->find (parent, weir_container_key (c), &item)
                   && item.value.type == WEIR_VALUE_CONTAINER
                   && item.value.container == c->type->number);
    }
    for (uint32_t at = 0; parent->type->next (parent, &i, &item); at++) {
        if (item.child == c) {
            struct weir_buf index = { 0 };
            weir_buf_printf (&index, "%u", at);
            weir_diff_path_key (
                part, parent->type == &weir_container_map ? item.key : weir_buf_bytes (&index));
            weir_buf_fini (&index);
            return true;
        }
    }
    return false;
}

bool
weir_container_path (const struct weir_container *c, struct weir_buf *path)
{
    struct weir_buf parts = { 0 };
    size_t starts[2 * WEIR_CONTAINER_DEPTH_MAX + 2];
    size_t n = 0;
    bool visible = weir_container_level (c) <= WEIR_CONTAINER_DEPTH_MAX;
    for (; visible && c != weir_doc_top (c->doc); c = c->parent) {
        starts[n++] = parts.len;
        visible = part_of (c, &parts);
    }
    size_t end = parts.len;
    while (visible && n > 0) {
        size_t from = starts[--n];
        weir_buf_put (path, parts.data + from, end - from);
        end = from;
    }
    weir_buf_fini (&parts);
    return visible;
}

/* ---- shapes of trees ---- */

static void
shape_destroy (void *shape)
{
    weir_shape_fini (shape);
    free (shape);
}

void
weir_shapes_destroy (struct weir_map **self_p)
{
    weir_map_destroy (self_p, shape_destroy);
}

static struct weir_shape *
shape_of (struct weir_map *shapes, const struct weir_container *tree, bool fill)
{
    struct weir_shape *shape = weir_map_get (shapes, weir_id_bytes (&tree->id));
    if (shape == NULL) {
        shape = weir_alloc (sizeof *shape);
        weir_shape_grow (shape, 0);
        (void) weir_map_put (shapes, weir_id_bytes (&tree->id), shape);
        if (fill) {
            weir_shape_fill (shape, tree, NULL);
        }
    }
    return shape;
}

struct weir_map *
weir_shapes_of (const struct weir_doc *doc)
{
    struct weir_map *shapes = weir_map_new ();
    struct weir_containers all = { 0 };
    weir_doc_walk (doc, &all);
    for (size_t i = 0; i < all.count; i++) {
        if (all.items[i]->type == &weir_container_tree) {
            (void) shape_of (shapes, all.items[i], true);
        }
    }
    free (all.items);
    return shapes;
}
