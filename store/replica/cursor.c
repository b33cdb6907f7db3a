/* Owns cursors: places in a text or list that go by the id of an element, so that they follow
 * edits. An element that is gone has a place still: where it would stand. */

#include "store/replica/diff_replica.h"
#include "store/crdt/doc_parts.h"
#include "store/crdt/tracker.h"

#include <stdlib.h>

#define CURSOR_FORMAT 1u

enum weir_status
weir_replica_cursor (struct weir_replica *self, struct weir_container *container, uint32_t at,
                     int8_t side, struct weir_cursor *out, struct weir_error *e)
{
    struct weir_cursor cursor = { .side = side };
    struct weir_seq_span span;
    /* Elements of the open change have no ids yet. */
    enum weir_status status = weir_replica_settle (self, e);
    if (status == WEIR_OK) {
        status = weir_doc_warm (container->doc);
    }
    if (status != WEIR_OK) {
        return weir_error_set (e, status, NULL, "the history of the document cannot be read");
    }
    struct weir_seq *seq = weir_container_seq (container);
    if (seq == NULL || side < -1 || side > 1) {
        return weir_error_set (e, WEIR_INVALID_ARGUMENT, NULL,
                               "a cursor stands in a text or list, at side -1, 0 or 1");
    }
    uint32_t length = weir_seq_length (seq);
    if (at > length) {
        return weir_error_set (e, WEIR_OUT_OF_RANGE, NULL, "a cursor at %u of %u", at, length);
    }
    cursor.container = container->id;
    if (at == length) {
        /* Behind all: the end itself; before the first of nothing: the beginning. */
        cursor.side = length == 0 ? -1 : 1;
        *out = cursor;
        return WEIR_OK;
    }
    if (container->type == &weir_container_movable) {
        bool found = weir_movable_element (container, at, &cursor.element);
        weir_assert (found);
    } else {
        weir_seq_resolve (seq);
        bool found = weir_seq_span (seq, weir_seq_entity_of (seq, at), &span);
        weir_assert (found && !span.hidden);
        if (span.event >= WEIR_TRACKER_BASE) {
            return weir_error_set (e, WEIR_STALE_ROOT, NULL,
                                   "the element came before the root: it has no id here");
        }
        cursor.element = weir_seq_event_id (seq, span.event);
    }
    *out = cursor;
    return WEIR_OK;
}

/* ---- where it is now ---- */

static struct weir_container *
container_of (const struct weir_doc *doc, const struct weir_id *id)
{
    struct weir_containers all = { 0 };
    struct weir_container *found = weir_doc_unique (doc, id);
    if (found != NULL) {
        return found;
    }
    weir_doc_walk (doc, &all);
    for (size_t i = 0; found == NULL && i < all.count; i++) {
        found = weir_id_equal (&all.items[i]->id, id) ? all.items[i] : NULL;
    }
    free (all.items);
    return found;
}

/* An element of a movable list has its own name, wherever it stands. */
static bool
element_find (const struct weir_container *list, const struct weir_op_id *id, uint32_t *at)
{
    struct weir_op_id here;
    for (uint32_t i = 0; weir_movable_element (list, i, &here); i++) {
        if (weir_op_id_compare (&here, id) == 0) {
            *at = i;
            return true;
        }
    }
    return false;
}

/* *alive: the element is there, at *at; else *at is where it would be. */
static enum weir_status
place_find (struct weir_container *c, const struct weir_op_id *id, uint32_t *at, bool *alive)
{
    struct weir_seq *seq = weir_container_seq (c);
    uint32_t entity = 0;
    *alive = c->type == &weir_container_movable && element_find (c, id, at);
    if (*alive) {
        return WEIR_OK;
    }
    weir_seq_resolve (seq);
    uint32_t event = weir_seq_event_of (seq, id);
    if (event == WEIR_SEQ_UNKNOWN) {
        return WEIR_NOT_FOUND;
    }
    *alive = weir_seq_position (seq, event, &entity) && c->type != &weir_container_movable;
    *at = weir_seq_user_at (seq, entity);
    return WEIR_OK;
}

enum weir_status
weir_replica_cursor_at (struct weir_replica *self, const struct weir_cursor *cursor, uint32_t *at,
                        bool *moved, struct weir_cursor *update, struct weir_error *e)
{
    struct weir_cursor now = *cursor;
    uint32_t index = 0;
    bool alive = true;
    enum weir_status status = weir_replica_settle (self, e);
    if (status != WEIR_OK) {
        return status;
    }
    struct weir_doc *doc = weir_replica_shown (self);
    struct weir_container *c = container_of (doc, &cursor->container);
    struct weir_seq *seq = c != NULL ? weir_container_seq (c) : NULL;
    if (seq == NULL) {
        return weir_error_set (e, WEIR_NOT_FOUND, NULL, "the cursor's container is not here");
    }
    if (weir_id_is_zero (&cursor->element.entry)) {
        *at = cursor->side > 0 ? weir_seq_length (seq) : 0;
        if (moved != NULL) {
            *moved = false;
        }
        return WEIR_OK;
    }
    status = weir_doc_warm (doc);
    if (status == WEIR_OK) {
        status = place_find (c, &cursor->element, &index, &alive);
    }
    if (status == WEIR_NOT_FOUND && self->root != NULL) {
        status = WEIR_STALE_ROOT;
    }
    if (status != WEIR_OK) {
        return weir_error_set (e, status, NULL, "the cursor's element is not known here");
    }
    if (!alive && update != NULL) {
        status = weir_replica_cursor (self, c, index, -1, &now, e);
        if (status != WEIR_OK) {
            return status;
        }
        *update = now;
    }
    *at = index + (alive && cursor->side > 0);
    if (moved != NULL) {
        *moved = !alive;
    }
    return WEIR_OK;
}

/* ---- bytes: format u8 | container 32 | side + 1 u8 | entry 32, offset varint; the last two not
 * of an end ---- */

void
weir_cursor_put (struct weir_buf *out, const struct weir_cursor *cursor)
{
    weir_buf_put_u8 (out, CURSOR_FORMAT);
    weir_buf_put_bytes (out, weir_id_bytes (&cursor->container));
    weir_buf_put_u8 (out, (uint8_t) (cursor->side + 1));
    if (!weir_id_is_zero (&cursor->element.entry)) {
        weir_buf_put_bytes (out, weir_id_bytes (&cursor->element.entry));
        weir_buf_put_varint (out, cursor->element.offset);
    }
}

enum weir_status
weir_cursor_read (struct weir_bytes bytes, struct weir_cursor *out)
{
    struct weir_cursor cursor = { .side = 0 };
    struct weir_reader r = weir_reader (bytes);
    uint8_t format = weir_read_u8 (&r);
    struct weir_bytes container = weir_read_bytes (&r, WEIR_ID_BYTES);
    uint8_t side = weir_read_u8 (&r);
    if (r.bad || format != CURSOR_FORMAT || side > 2) {
        return format > CURSOR_FORMAT && !r.bad ? WEIR_NEEDS_UPGRADE : WEIR_INVALID_ARGUMENT;
    }
    weir_ignore (weir_id_from_bytes (&cursor.container, container));
    cursor.side = (int8_t) (side - 1);
    if (weir_reader_left (&r) > 0) {
        struct weir_bytes entry = weir_read_bytes (&r, WEIR_ID_BYTES);
        uint64_t offset = weir_read_varint (&r);
        if (!weir_reader_done (&r) || offset >= WEIR_ENTRY_OPS_MAX) {
            return WEIR_INVALID_ARGUMENT;
        }
        weir_ignore (weir_id_from_bytes (&cursor.element.entry, entry));
        cursor.element.offset = (uint32_t) offset;
        if (weir_id_is_zero (&cursor.element.entry)) {
            return WEIR_INVALID_ARGUMENT;
        }
    }
    *out = cursor;
    return WEIR_OK;
}
