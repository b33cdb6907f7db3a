/* Owns the verbs of roots, children by path and maps on an open change: what they check, and when
 * they make no op. */

#include "store/crdt/change.h"

static enum weir_status
key_check (struct weir_bytes key, struct weir_error *e)
{
    if (!weir_value_is_key (key)) {
        return weir_error_set (e, WEIR_INVALID_ARGUMENT, NULL,
                               "a key is UTF-8 without NUL, of at most %u bytes",
                               WEIR_KEY_BYTES_MAX);
    }
    return WEIR_OK;
}

/* Whether a child of the container would still be shown. */
static enum weir_status
level_check (const struct weir_container *c, struct weir_error *e)
{
    if (weir_container_level (c) >= WEIR_CONTAINER_DEPTH_MAX) {
        return weir_error_set (e, WEIR_LIMIT, NULL, "containers nest at most %u deep",
                               WEIR_CONTAINER_DEPTH_MAX);
    }
    return WEIR_OK;
}

enum weir_status
weir_change_root (struct weir_change *self, const char *name,
                  const struct weir_container_type *type, struct weir_container **out,
                  struct weir_error *e)
{
    struct weir_bytes key = weir_bytes_str (name);
    enum weir_status status = key_check (key, e);
    if (status == WEIR_OK && name[0] == '_') {
        status =
            weir_error_set (e, WEIR_INVALID_ARGUMENT, NULL, "names of roots with _ are reserved");
    }
    if (status == WEIR_OK) {
        *out = weir_container_child (weir_doc_top (weir_change_doc (self)), key, type, true);
    }
    return status;
}

/* Sets the key to what the value says. */
static enum weir_status
put_set (struct weir_change *self, struct weir_container *map, struct weir_bytes key,
         const struct weir_value *value, uint32_t *offset, struct weir_error *e)
{
    struct weir_op op = { .atoms = 1, .code = WEIR_MAP_SET, .key = key, .value = *value };
    weir_assert (map->type == &weir_container_map);
    return weir_change_put (self, map, &op, offset, e);
}

enum weir_status
weir_change_child (struct weir_change *self, struct weir_container *map, struct weir_bytes key,
                   const struct weir_container_type *type, struct weir_container **out,
                   struct weir_error *e)
{
    struct weir_value marker = { .type = WEIR_VALUE_CONTAINER, .container = type->number };
    struct weir_item item;
    uint32_t offset = 0;
    enum weir_status status = key_check (key, e);
    if (status == WEIR_OK) {
        status = level_check (map, e);
    }
    if (status == WEIR_OK
        && !(map->type->find (map, key, &item) && weir_value_equal (&item.value, &marker))) {
        status = put_set (self, map, key, &marker, &offset, e);
    }
    if (status == WEIR_OK) {
        *out = weir_container_child (map, key, type, true);
    }
    return status;
}

enum weir_status
weir_change_map_set (struct weir_change *self, struct weir_container *map, struct weir_bytes key,
                     const struct weir_value *value, struct weir_error *e)
{
    struct weir_item item;
    uint32_t offset = 0;
    enum weir_status status = key_check (key, e);
    if (status == WEIR_OK
        && ((value->type > WEIR_VALUE_BYTES && value->type != WEIR_VALUE_BLOB)
            || weir_value_check (value) != WEIR_OK)) {
        status = weir_error_set (e, WEIR_INVALID_ARGUMENT, NULL,
                                 "a value is null, true, false, a finite number, UTF-8 without "
                                 "NUL, bytes, or a blob");
    }
    if (status != WEIR_OK
        || (map->type->find (map, key, &item) && weir_value_equal (&item.value, value))) {
        return status;
    }
    return put_set (self, map, key, value, &offset, e);
}

enum weir_status
weir_change_map_delete (struct weir_change *self, struct weir_container *map, struct weir_bytes key,
                        struct weir_error *e)
{
    struct weir_op op = {
        .atoms = 1, .code = WEIR_MAP_DELETE, .key = key, .value = { .type = WEIR_VALUE_DELETED }
    };
    struct weir_item item;
    uint32_t offset = 0;
    weir_assert (map->type == &weir_container_map);
    return map->type->find (map, key, &item) ? weir_change_put (self, map, &op, &offset, e)
                                             : WEIR_OK;
}

enum weir_status
weir_change_map_make (struct weir_change *self, struct weir_container *map, struct weir_bytes key,
                      const struct weir_container_type *type, struct weir_container **out,
                      struct weir_error *e)
{
    struct weir_value value = { .type = WEIR_VALUE_UNIQUE, .container = type->number };
    struct weir_op_id made = { .offset = 0 };
    enum weir_status status = key_check (key, e);
    if (status == WEIR_OK) {
        status = level_check (map, e);
    }
    if (status == WEIR_OK) {
        status = put_set (self, map, key, &value, &made.offset, e);
    }
    if (status == WEIR_OK) {
        *out = weir_doc_unique_make (map->doc, &made, type); /* the op has made it */
    }
    return status;
}
