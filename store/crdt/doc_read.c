/* Owns how a document is looked at: values as JSON, and the values that concur. It changes nothing;
 * every walk is bounded by how deep documents may be. */

#include "store/crdt/doc_parts.h"

#include <stdlib.h>
#include <string.h>

/* One container on the way down; `json` is what its items go to. */
struct frame {
    const struct weir_container *container;
    json_t *json;
    size_t next;
};

static void
json_put (json_t *to, struct weir_bytes key, json_t *value)
{
    const char *name = key.len > 0 ? (const char *) key.data : "";
    if (json_is_array (to)) {
        json_array_append_new (to, value);
    } else {
        json_object_setn_new_nocheck (to, name, key.len, value);
    }
}

static bool
is_container (const struct weir_value *value)
{
    return value->type == WEIR_VALUE_CONTAINER || value->type == WEIR_VALUE_UNIQUE;
}

/* The value as JSON, with all below: a walk with a stack as high as documents may be deep. What
 * lies deeper shows as empty. */
json_t *
weir_doc_item_json (const struct weir_item *item)
{
    struct frame frames[WEIR_CONTAINER_DEPTH_MAX + 1];
    if (!is_container (&item->value)) {
        return weir_value_json (&item->value);
    }
    uint32_t level = item->child != NULL ? weir_container_level (item->child) : 0;
    if (item->child == NULL || level > WEIR_CONTAINER_DEPTH_MAX) {
        return weir_container_type (item->value.container)->json (NULL);
    }
    json_t *out = item->child->type->json (item->child);
    size_t depth = 0;
    frames[depth++] = (struct frame){ .container = item->child, .json = out };
    while (depth > 0) {
        struct frame *f = &frames[depth - 1];
        struct weir_item below;
        if (f->container->type->next == NULL
            || !f->container->type->next (f->container, &f->next, &below)) {
            depth--;
        } else if (!is_container (&below.value)) {
            json_put (f->json, below.key, weir_value_json (&below.value));
        } else {
            const struct weir_container_type *type = weir_container_type (below.value.container);
            struct weir_container *child =
                level + depth <= WEIR_CONTAINER_DEPTH_MAX ? below.child : NULL;
            json_t *json = type->json (child);
            json_put (f->json, below.key, json);
            if (child != NULL) {
                frames[depth++] = (struct frame){ .container = child, .json = json };
            }
        }
    }
    return out;
}

/* What is visible at the first `count` parts of the path; false: nothing. */
static bool
resolve (const struct weir_doc *self, const struct weir_path *path, size_t count,
         struct weir_item *item)
{
    *item = (struct weir_item){ .value = { .type = WEIR_VALUE_CONTAINER,
                                           .container = WEIR_CONTAINER_MAP },
                                .child = self->top };
    for (size_t i = 0; i < count; i++) {
        const struct weir_container *c = item->child;
        if (c == NULL || c->type->find == NULL
            || !c->type->find (c, weir_bytes_str (path->parts[i]), item)) {
            return false;
        }
    }
    return true;
}

enum weir_status
weir_doc_get (const struct weir_doc *self, const char *path, json_t **out, struct weir_error *e)
{
    struct weir_path parts = { 0 };
    struct weir_item item;
    enum weir_status status = weir_path_parse (&parts, path, e);
    if (status == WEIR_OK && !resolve (self, &parts, parts.count, &item)) {
        status = weir_error_set (e, WEIR_NOT_FOUND, NULL, "there is nothing at %s", path);
    }
    if (status == WEIR_OK) {
        *out = weir_doc_item_json (&item);
    }
    weir_path_fini (&parts);
    return status;
}

enum weir_status
weir_doc_blob_at (const struct weir_doc *self, const char *path, struct weir_id *blob,
                  uint64_t *bytes, struct weir_error *e)
{
    struct weir_path parts = { 0 };
    struct weir_item item;
    enum weir_status status = weir_path_parse (&parts, path, e);
    if (status == WEIR_OK && !resolve (self, &parts, parts.count, &item)) {
        status = weir_error_set (e, WEIR_NOT_FOUND, NULL, "there is nothing at %s", path);
    }
    if (status == WEIR_OK && !weir_value_get_blob (&item.value, blob, bytes)) {
        status = weir_error_set (e, WEIR_CONFLICT, "weir doc get shows it",
                                 "there is no blob at %s", path);
    }
    weir_path_fini (&parts);
    return status;
}

static json_t *
concurrent_json (const struct weir_container *c, struct weir_bytes key,
                 const struct weir_value *value)
{
    struct weir_item item = { .key = key, .value = *value };
    if (value->type == WEIR_VALUE_DELETED) {
        return NULL;
    }
    if (value->type == WEIR_VALUE_CONTAINER) {
        /* Looks only: nothing is made. */
        item.child = weir_container_child ((struct weir_container *) (uintptr_t) c, key,
                                           weir_container_type (value->container), false);
    } else if (value->type == WEIR_VALUE_UNIQUE) {
        item.child = weir_doc_value_child (c->doc, value);
    }
    return weir_doc_item_json (&item);
}

enum weir_status
weir_doc_conflicts (const struct weir_doc *self, const char *path, struct weir_doc_value *values,
                    size_t max, size_t *count, struct weir_error *e)
{
    struct weir_path parts = { 0 };
    struct weir_item item;
    struct weir_concurrent found[WEIR_LOSERS_MAX + 1];
    size_t n = 0;
    size_t wanted = max < WEIR_LOSERS_MAX + 1 ? max : WEIR_LOSERS_MAX + 1;
    enum weir_status status = weir_path_parse (&parts, path, e);
    if (status == WEIR_OK && parts.count < 2) {
        status = weir_error_set (e, WEIR_INVALID_PATH, NULL,
                                 "values concur at the key of a map, and %s names none", path);
    }
    if (status != WEIR_OK) {
        goto done;
    }
    struct weir_bytes key = weir_bytes_str (parts.parts[parts.count - 1]);
    if (resolve (self, &parts, parts.count - 1, &item) && item.child != NULL
        && item.child->type->concurrent != NULL) {
        n = item.child->type->concurrent (item.child, key, found, wanted);
    }
    if (n == 0) {
        status = weir_error_set (e, WEIR_NOT_FOUND, NULL, "nothing was ever written at %s", path);
        goto done;
    }
    for (size_t i = 0; i < n; i++) {
        values[i].key = (struct weir_order_key){ .lamport = found[i].stamp.lamport,
                                                 .chain = self->chains[found[i].stamp.chain],
                                                 .entry = *found[i].stamp.entry };
        values[i].value = concurrent_json (item.child, key, &found[i].value);
    }
    *count = n;
done:
    weir_path_fini (&parts);
    return status;
}
