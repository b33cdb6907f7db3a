/* Owns the verbs of edits by path: set and remove, and those of lists, texts and counters. Each is
 * all or nothing. */

#include "store/crdt/edit.h"

#include <string.h>

enum weir_status
weir_edit_set (struct weir_edit *self, const char *path, const json_t *value, struct weir_error *e)
{
    struct weir_path parts = { 0 };
    struct weir_edit_mark mark = weir_edit_mark (self);
    struct weir_edit_place place;
    enum weir_status status = weir_path_parse (&parts, path, e);
    if (status == WEIR_OK) {
        status = weir_edit_walk (self, &parts, true, false, &place, e);
    }
    if (status == WEIR_OK) {
        status = weir_edit_assign_at (self, &place, value, e);
    }
    if (status != WEIR_OK) {
        weir_edit_rollback (self, &mark);
    }
    weir_path_fini (&parts);
    return status;
}

enum weir_status
weir_edit_remove (struct weir_edit *self, const char *path, struct weir_error *e)
{
    struct weir_path parts = { 0 };
    struct weir_edit_mark mark = weir_edit_mark (self);
    struct weir_edit_place place;
    struct weir_value value;
    enum weir_status status = weir_path_parse (&parts, path, e);
    if (status == WEIR_OK) {
        status = weir_edit_walk (self, &parts, false, false, &place, e);
    }
    if (status == WEIR_OK && !weir_edit_visible (self, place.cell, &value)) {
        status = weir_error_set (e, WEIR_NOT_FOUND, NULL, "there is nothing at %s", path);
    }
    if (status == WEIR_OK) {
        status = weir_edit_clear_at (self, &place, e);
    }
    if (status != WEIR_OK) {
        weir_edit_rollback (self, &mark);
    }
    weir_path_fini (&parts);
    return status;
}

/* The container of one of the types (the second may be NULL) at the path; made as the first where
 * nothing is. */
static enum weir_status
container (struct weir_edit *self, const char *path, const struct weir_container_type *type,
           const struct weir_container_type *other, uint32_t *shadow, struct weir_error *e)
{
    struct weir_path parts = { 0 };
    struct weir_edit_place place;
    struct weir_value value;
    enum weir_status status = weir_path_parse (&parts, path, e);
    if (status == WEIR_OK) {
        status = weir_edit_walk (self, &parts, true, false, &place, e);
    }
    if (status != WEIR_OK) {
        goto done;
    }
    *shadow = weir_edit_shadow_in (self, place.cell);
    const struct weir_container_type *now =
        *shadow != WEIR_EDIT_NONE ? self->shadows[*shadow].type : NULL;
    if (now != NULL && (now == type || now == other)) {
        goto done;
    }
    if (weir_edit_visible (self, place.cell, &value)) {
        status = weir_error_set (e, WEIR_CONFLICT, "remove it first, or choose another path",
                                 "what stands at %s is %s %s", path, now != NULL ? "a" : "not a",
                                 now != NULL ? now->name : type->name);
        goto done;
    }
    *shadow = weir_edit_shadow_under (self, place.cell, type);
    if (self->shadows[*shadow].depth > WEIR_CONTAINER_DEPTH_MAX) {
        status = weir_error_set (e, WEIR_LIMIT, NULL, "containers nest at most %u deep",
                                 WEIR_CONTAINER_DEPTH_MAX);
    } else if (self->cells[place.cell].shadow != 0) {
        const struct weir_value marker = { .type = WEIR_VALUE_CONTAINER,
                                           .container = type->number };
        status = weir_edit_put_key (self, place.cell, &marker, e);
    }
done:
    weir_path_fini (&parts);
    return status;
}

static enum weir_status
beyond (uint64_t at, uint64_t length, struct weir_error *e)
{
    return weir_error_set (e, WEIR_OUT_OF_RANGE, NULL, "position %llu is beyond the end, %llu",
                           (unsigned long long) at, (unsigned long long) length);
}

/* ---- lists ---- */

enum weir_status
weir_edit_list_insert (struct weir_edit *self, const char *path, uint32_t at, bool movable,
                       const json_t *value, struct weir_error *e)
{
    struct weir_edit_mark mark = weir_edit_mark (self);
    struct weir_edit_place place = { .cell = WEIR_EDIT_NONE, .index = at };
    enum weir_status status =
        movable ? container (self, path, &weir_container_movable, NULL, &place.shadow, e)
                : container (self, path, &weir_container_list, &weir_container_movable,
                             &place.shadow, e);
    if (status == WEIR_OK) {
        uint32_t length = weir_edit_length (self, place.shadow);
        place.index = at == UINT32_MAX ? length : at;
        status = place.index > length ? beyond (at, length, e)
                                      : weir_edit_insert_at (self, &place, value, e);
    }
    if (status != WEIR_OK) {
        weir_edit_rollback (self, &mark);
    }
    return status;
}

enum weir_status
weir_edit_list_move (struct weir_edit *self, const char *path, uint32_t from, uint32_t to,
                     struct weir_error *e)
{
    struct weir_edit_mark mark = weir_edit_mark (self);
    uint32_t shadow = 0;
    enum weir_status status = container (self, path, &weir_container_movable, NULL, &shadow, e);
    if (status == WEIR_OK) {
        uint32_t length = weir_edit_length (self, shadow);
        if (from >= length || to >= length) {
            status = beyond (from >= length ? from : to, length, e);
        } else if (from != to) {
            status = weir_edit_move (self, shadow, from, to, e);
        }
    }
    if (status != WEIR_OK) {
        weir_edit_rollback (self, &mark);
    }
    return status;
}

/* ---- texts ---- */

/* A position in a unit as scalars. */
static enum weir_status
scalar_at (struct weir_edit *self, uint32_t shadow, uint32_t at, enum weir_text_unit unit,
           uint32_t *out, struct weir_error *e)
{
    uint32_t length = weir_edit_length (self, shadow);
    enum weir_status status = WEIR_OK;
    if (unit == WEIR_TEXT_SCALARS) {
        *out = at;
        return at <= length ? WEIR_OK : beyond (at, length, e);
    }
    struct weir_buf text = { 0 };
    weir_edit_text_now (self, shadow, &text);
    uint64_t units = 0;
    uint32_t scalar = 0;
    size_t i = 0;
    while (i < text.len && units < at) {
        uint32_t point = 0;
        size_t bytes = weir_utf8_next (weir_bytes (text.data + i, text.len - i), &point);
        units += unit == WEIR_TEXT_UTF8 ? (uint64_t) bytes : point > 0xffffu ? 2u : 1u;
        i += bytes;
        scalar++;
    }
    if (units < at) {
        status = beyond (at, units, e);
    } else if (units > at) {
        status = weir_error_set (e, WEIR_INVALID_ARGUMENT, NULL,
                                 "position %u lies inside of a character", at);
    }
    *out = scalar;
    weir_buf_fini (&text);
    return status;
}

static enum weir_status
text_range (struct weir_edit *self, uint32_t shadow, uint32_t at, uint32_t count,
            enum weir_text_unit unit, uint32_t *from, uint32_t *to, struct weir_error *e)
{
    if (count > UINT32_MAX - at) {
        return beyond ((uint64_t) at + count, weir_edit_length (self, shadow), e);
    }
    enum weir_status status = scalar_at (self, shadow, at, unit, from, e);
    return status == WEIR_OK ? scalar_at (self, shadow, at + count, unit, to, e) : status;
}

enum weir_status
weir_edit_text_insert (struct weir_edit *self, const char *path, uint32_t at,
                       enum weir_text_unit unit, struct weir_bytes text, struct weir_error *e)
{
    struct weir_edit_mark mark = weir_edit_mark (self);
    uint32_t shadow = 0;
    uint32_t scalar = 0;
    enum weir_status status = container (self, path, &weir_container_text, NULL, &shadow, e);
    if (status == WEIR_OK && at == UINT32_MAX) {
        scalar = weir_edit_length (self, shadow);
    } else if (status == WEIR_OK) {
        status = scalar_at (self, shadow, at, unit, &scalar, e);
    }
    if (status == WEIR_OK) {
        status = weir_edit_insert_text (self, shadow, scalar, text, e);
    }
    if (status != WEIR_OK) {
        weir_edit_rollback (self, &mark);
    }
    return status;
}

enum weir_status
weir_edit_text_delete (struct weir_edit *self, const char *path, uint32_t at, uint32_t count,
                       enum weir_text_unit unit, struct weir_error *e)
{
    struct weir_edit_mark mark = weir_edit_mark (self);
    uint32_t shadow = 0;
    uint32_t from = 0;
    uint32_t to = 0;
    enum weir_status status = container (self, path, &weir_container_text, NULL, &shadow, e);
    if (status == WEIR_OK) {
        status = text_range (self, shadow, at, count, unit, &from, &to, e);
    }
    if (status == WEIR_OK) {
        status = weir_edit_delete (self, shadow, from, to - from, e);
    }
    if (status != WEIR_OK) {
        weir_edit_rollback (self, &mark);
    }
    return status;
}

enum weir_status
weir_edit_text_update (struct weir_edit *self, const char *path, struct weir_bytes text,
                       struct weir_error *e)
{
    struct weir_edit_mark mark = weir_edit_mark (self);
    uint32_t shadow = 0;
    enum weir_status status = container (self, path, &weir_container_text, NULL, &shadow, e);
    if (status == WEIR_OK) {
        status = weir_edit_update_text (self, shadow, text, e);
    }
    if (status != WEIR_OK) {
        weir_edit_rollback (self, &mark);
    }
    return status;
}

enum weir_status
weir_edit_text_mark (struct weir_edit *self, const char *path, uint32_t from, uint32_t to,
                     const char *key, const json_t *json, enum weir_expand expand,
                     struct weir_error *e)
{
    struct weir_edit_mark mark = weir_edit_mark (self);
    struct weir_value value;
    bool is_scalar = false;
    uint32_t shadow = 0;
    struct weir_bytes name = weir_bytes_str (key);
    enum weir_status status = container (self, path, &weir_container_text, NULL, &shadow, e);
    if (status == WEIR_OK) {
        status = weir_value_from_json (&value, json, &self->scratch, &is_scalar, e);
    }
    if (status == WEIR_OK
        && (!is_scalar || value.type == WEIR_VALUE_BLOB || name.len == 0
            || !weir_value_is_key (name))) {
        status = weir_error_set (e, WEIR_INVALID_ARGUMENT, NULL,
                                 "a style is a key and a value that is no object, array or blob");
    }
    uint32_t length = status == WEIR_OK ? weir_edit_length (self, shadow) : 0;
    if (status == WEIR_OK && (from >= to || to > length)) {
        status = from < to ? beyond (to, length, e)
                           : weir_error_set (e, WEIR_INVALID_ARGUMENT, NULL,
                                             "a style covers at least one character");
    }
    if (status == WEIR_OK) {
        status = weir_edit_mark_text (self, shadow, from, to, name, &value,
                                      weir_text_expand (expand, &value), e);
    }
    if (status != WEIR_OK) {
        weir_edit_rollback (self, &mark);
    }
    return status;
}

/* ---- counters ---- */

enum weir_status
weir_edit_increment (struct weir_edit *self, const char *path, const json_t *by,
                     struct weir_error *e)
{
    struct weir_edit_mark mark = weir_edit_mark (self);
    uint32_t shadow = 0;
    enum weir_status status = container (self, path, &weir_container_counter, NULL, &shadow, e);
    if (status == WEIR_OK) {
        status = weir_edit_put_increment (self, shadow, by, e);
    }
    if (status != WEIR_OK) {
        weir_edit_rollback (self, &mark);
    }
    return status;
}
