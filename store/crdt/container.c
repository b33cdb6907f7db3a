/* Owns the table of container types, and the tree they hang in: who is whose child under which
 * key, made by path, with an id that both sides derive alike. Unique children are doc_tree.c's. */

#include "store/crdt/doc_parts.h"

#include <stdlib.h>
#include <string.h>

/* By number; each type is one line. */
static const struct weir_container_type *const types[] = {
    [WEIR_CONTAINER_MAP] = &weir_container_map,
    [WEIR_CONTAINER_LIST] = &weir_container_list,
    [WEIR_CONTAINER_TEXT] = &weir_container_text,
    [WEIR_CONTAINER_MOVABLE] = &weir_container_movable,
    [WEIR_CONTAINER_TREE] = &weir_container_tree,
    [WEIR_CONTAINER_COUNTER] = &weir_container_counter,
};

const struct weir_container_type *
weir_container_type (uint8_t number)
{
    return number < sizeof types / sizeof *types ? types[number] : NULL;
}

struct weir_bytes
weir_container_key (const struct weir_container *self)
{
    return weir_bytes (self->key, self->key_len);
}

/* parent id (zero for roots), type, key: the key last, so that no two read alike. */
static struct weir_id
container_id (const struct weir_container *parent, struct weir_bytes key,
              const struct weir_container_type *type)
{
    uint8_t head[WEIR_ID_BYTES + 1];
    memcpy (head, parent->id.b, WEIR_ID_BYTES);
    head[WEIR_ID_BYTES] = type->number;
    return weir_hash (WEIR_DOMAIN_CONTAINER, weir_bytes (head, sizeof head), key);
}

struct weir_container *
weir_container_child (struct weir_container *self, struct weir_bytes key,
                      const struct weir_container_type *type, bool make)
{
    struct weir_container **at = self->type->children (self, key, make);
    while (at != NULL && *at != NULL && (*at)->type->number < type->number) {
        at = &(*at)->sibling;
    }
    if (at != NULL && *at != NULL && (*at)->type == type) {
        return *at;
    }
    if (!make) {
        return NULL;
    }
    struct weir_container *child = weir_alloc (type->size);
    child->type = type;
    child->doc = self->doc;
    child->parent = self;
    child->sibling = *at;
    child->id = container_id (self, key, type);
    child->key = weir_realloc (NULL, key.len + 1);
    child->key_len = (uint32_t) key.len;
    child->depth = self->depth + 1;
    if (key.len > 0) {
        memcpy (child->key, key.data, key.len);
    }
    if (type->init != NULL) {
        type->init (child);
    }
    *at = child;
    weir_doc_count_bytes (self->doc, (ptrdiff_t) (type->size + key.len + 1 + 32));
    return child;
}

void
weir_container_rename (struct weir_container *self, const struct weir_id *id)
{
    struct weir_containers todo = { 0 };
    self->id = *id;
    weir_containers_put_below (&todo, self);
    for (size_t i = 0; i < todo.count; i++) {
        struct weir_container *c = todo.items[i];
        c->id = container_id (c->parent, weir_container_key (c), c->type);
        weir_containers_put_below (&todo, c);
    }
    free (todo.items);
}

uint32_t
weir_container_level (const struct weir_container *self)
{
    uint32_t level = 0;
    const struct weir_container *top = weir_doc_top (self->doc);
    while (self != NULL && self != top && level <= WEIR_CONTAINER_DEPTH_MAX) {
        self = self->parent;
        /* A node of a tree is an object in an array. */
        level += self != NULL && self->type->number == WEIR_CONTAINER_TREE ? 2 : 1;
    }
    return self == top && level <= WEIR_CONTAINER_DEPTH_MAX ? level : WEIR_CONTAINER_DEPTH_MAX + 1;
}

/* ---- walking ---- */

void
weir_containers_put (struct weir_containers *list, struct weir_container *c)
{
    weir_grow (&list->items, &list->cap, list->count + 1, sizeof (struct weir_container *));
    list->items[list->count++] = c;
}

void
weir_containers_put_below (struct weir_containers *list, struct weir_container *parent)
{
    size_t i = 0;
    struct weir_container *c;
    while (parent->type->next_children != NULL
           && (c = parent->type->next_children (parent, &i)) != NULL) {
        for (; c != NULL; c = c->sibling) {
            weir_containers_put (list, c);
        }
    }
}

bool
weir_container_is_hollow (const struct weir_container *self)
{
    struct weir_containers todo = { 0 };
    bool hollow = self->type->is_empty (self);
    if (hollow && self->type->next_children != NULL) {
        weir_containers_put_below (&todo, (struct weir_container *) (uintptr_t) self);
    }
    for (size_t i = 0; i < todo.count && hollow; i++) {
        hollow = todo.items[i]->type->is_empty (todo.items[i]);
        weir_containers_put_below (&todo, todo.items[i]);
    }
    free (todo.items);
    return hollow;
}

/* Without recursion: a state may be as deep as the depth's bound, but the stack need not know.
 * The way down is kept in the parents' links, and the place in each by taking children off. */
void
weir_container_destroy (struct weir_container **self_p)
{
    struct weir_container *c = *self_p;
    struct weir_container *todo = c;
    *self_p = NULL;
    while (todo != NULL) {
        c = todo;
        todo = c->sibling;
        size_t i = 0;
        struct weir_container *child;
        while (c->type->next_children != NULL && (child = c->type->next_children (c, &i)) != NULL) {
            struct weir_container *last = child;
            while (last->sibling != NULL) {
                last = last->sibling;
            }
            last->sibling = todo;
            todo = child;
        }
        c->type->fini (c);
        free (c->key);
        free (c);
    }
}
