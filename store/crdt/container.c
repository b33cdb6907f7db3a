/* Owns the table of container types, and the tree they hang in: who is whose child under which
 * key, made by path, with an id that both sides derive alike. doc.c and state.c walk it. */

#include "store/crdt/container.h"

#include <stdlib.h>
#include <string.h>

const struct weir_container_type *
weir_container_type (uint8_t number)
{
    return number == WEIR_CONTAINER_MAP ? &weir_container_map : NULL;
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
    *at = child;
    weir_doc_count_bytes (self->doc, (ptrdiff_t) (type->size + key.len + 1 + 32));
    return child;
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
