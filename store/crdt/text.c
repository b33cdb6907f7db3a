/* Owns the text container: characters in a sequence, with styles as anchors among them (marks.c).
 * Ops count entities, users the characters they see. Here are its table, its op bytes and its
 * verbs; state in text_state.c. */

#include "store/crdt/text_parts.h"

#include <stdlib.h>
#include <string.h>

/* So long a text needs more memory than there is: positions stay far from overflowing. */
#define ENTITIES_MAX (1u << 30)

bool
weir_text_is_styled (const struct text *t)
{
    return weir_seq_length (t->seq) != weir_seq_entities (t->seq);
}

/* ---- what the sequence tells ---- */

static void
splice_tell (struct text *t, uint32_t at, uint32_t removed, uint32_t inserted)
{
    struct weir_notice notice = { .kind = WEIR_NOTICE_SPLICE, .container = &t->head };
    if (!weir_doc_is_heard (t->head.doc)) {
        return;
    }
    notice.at = weir_seq_user_at (t->seq, at);
    notice.removed = removed;
    notice.inserted = inserted;
    weir_doc_notify (t->head.doc, &notice);
}

static bool
is_hidden (const struct text *t, uint32_t at)
{
    struct weir_seq_span span;
    return weir_text_is_styled (t) && weir_seq_span (t->seq, at, &span) && span.hidden;
}

static void
text_inserted (struct weir_container *owner, uint32_t at, uint32_t count, uint32_t content)
{
    struct text *t = (struct text *) owner;
    (void) content;
    if (is_hidden (t, at)) {
        t->last_anchor = at;
    } else {
        splice_tell (t, at, 0, count);
    }
}

static void
text_removed (struct weir_container *owner, uint32_t at, uint32_t count, uint32_t content)
{
    struct text *t = (struct text *) owner;
    if (is_hidden (t, at)) {
        weir_marks_remove (t, at, count, content);
    } else {
        splice_tell (t, at, count, 0);
    }
}

static const struct weir_seq_owner listener = { text_inserted, text_removed };

/* ---- the vtable ---- */

static void
text_init (struct weir_container *self)
{
    struct text *t = (struct text *) self;
    t->seq = weir_seq_new (self, &listener, true);
}

static void
text_fini (struct weir_container *self)
{
    struct text *t = (struct text *) self;
    weir_marks_fini (t);
    weir_seq_destroy (&t->seq);
}

/* The next `count` characters of the payload's text; NUL could never be shown. */
static enum weir_status
scalars_read (struct weir_reader *r, uint32_t count, struct weir_bytes *text)
{
    size_t start = r->pos;
    for (uint32_t i = 0; i < count; i++) {
        struct weir_bytes rest = weir_bytes (r->data + r->pos, r->len - r->pos);
        uint32_t point = 0;
        size_t n = weir_utf8_next (rest, &point);
        if (n == 0 || point == 0) {
            return WEIR_BAD_PAYLOAD;
        }
        r->pos += n;
    }
    *text = weir_bytes (r->data + start, r->pos - start);
    return WEIR_OK;
}

static enum weir_status
mark_decode (struct weir_op_reader *r, struct weir_op *op)
{
    uint64_t more = weir_read_varint (&r->r);
    op->atoms = 2;
    op->flags = weir_read_u8 (&r->r);
    op->key = weir_read_blob (&r->r, WEIR_KEY_BYTES_MAX);
    enum weir_status status = weir_value_read (&r->r, &op->value);
    if (r->r.bad || more >= UINT32_MAX - op->at) {
        return WEIR_BAD_PAYLOAD;
    }
    op->to = op->at + 1 + (uint32_t) more;
    if (status != WEIR_OK) {
        return status;
    }
    if (op->flags > WEIR_EXPAND_NONE || op->value.type == WEIR_VALUE_DELETED
        || op->value.type == WEIR_VALUE_CONTAINER || op->value.type == WEIR_VALUE_UNIQUE
        || op->value.type == WEIR_VALUE_BLOB || !weir_value_is_key (op->key)) {
        return WEIR_BAD_PAYLOAD;
    }
    return weir_value_check (&op->value);
}

static enum weir_status
text_decode (struct weir_op_reader *r, struct weir_op *op)
{
    if (op->code > WEIR_TEXT_MARK) {
        return WEIR_NEEDS_UPGRADE;
    }
    op->at = weir_op_read_at (r);
    if (op->code == WEIR_TEXT_MARK) {
        return mark_decode (r, op);
    }
    uint64_t count = weir_read_varint (&r->r);
    if (r->r.bad || count == 0 || count > WEIR_ENTRY_OPS_MAX || op->at > ENTITIES_MAX) {
        return WEIR_BAD_PAYLOAD;
    }
    op->count = op->atoms = (uint32_t) count;
    if (op->code == WEIR_TEXT_DELETE) {
        return WEIR_OK;
    }
    r->cursor += op->count;
    return scalars_read (&r->text, op->count, &op->bytes);
}

static void
text_encode (struct weir_op_writer *w, const struct weir_op *op)
{
    weir_op_put_at (w, op->at);
    if (op->code == WEIR_TEXT_MARK) {
        weir_buf_put_varint (w->out, op->to - op->at - 1);
        weir_buf_put_u8 (w->out, op->flags);
        weir_buf_put_blob (w->out, op->key);
        weir_value_put (w->out, &op->value);
        return;
    }
    weir_buf_put_varint (w->out, op->count);
    if (op->code == WEIR_TEXT_INSERT) {
        weir_buf_put_bytes (w->text, op->bytes);
        w->cursor += op->count;
    }
}

static enum weir_status
text_validate (struct weir_container *self, const struct weir_op *op, struct weir_op_check *check)
{
    struct text *t = (struct text *) self;
    if (!check->begun && t != NULL) {
        enum weir_status status = weir_seq_length_at_parents (t->seq, &check->length);
        if (status != WEIR_OK) {
            return status;
        }
    }
    check->begun = true;
    uint64_t end = op->code == WEIR_TEXT_MARK     ? (uint64_t) op->to - 1
                   : op->code == WEIR_TEXT_DELETE ? (uint64_t) op->at + op->count
                                                  : op->at;
    if (op->at > check->length || end > check->length) {
        return WEIR_OUT_OF_RANGE;
    }
    check->length += op->code == WEIR_TEXT_DELETE ? 0u - (uint64_t) op->count : op->atoms;
    return check->length <= ENTITIES_MAX ? WEIR_OK : WEIR_OUT_OF_RANGE;
}

static void
text_apply (struct weir_container *self, const struct weir_op *op, const struct weir_stamp *stamp)
{
    struct text *t = (struct text *) self;
    t->is_written = true;
    if (op->code == WEIR_TEXT_INSERT) {
        weir_seq_insert_text (t->seq, op->at, op->count, op->bytes, stamp->offset);
    } else if (op->code == WEIR_TEXT_DELETE) {
        weir_seq_delete (t->seq, op->at, op->count, stamp->offset);
    } else {
        weir_marks_apply (t, op, stamp);
    }
}

static void
text_record (struct weir_container *self, const struct weir_op *op, const struct weir_stamp *stamp)
{
    struct text *t = (struct text *) self;
    if (op->code == WEIR_TEXT_INSERT) {
        weir_seq_record_text (t->seq, op->at, op->count, op->bytes, stamp->offset);
    } else if (op->code == WEIR_TEXT_DELETE) {
        weir_seq_record_delete (t->seq, op->at, op->count, stamp->offset);
    } else {
        weir_seq_record (t->seq, op->at, 1, 0, true, stamp->offset);
        weir_seq_record (t->seq, op->to, 1, 0, true, stamp->offset + 1);
    }
}

static void
text_seal (struct weir_container *self, const struct weir_op *op, const struct weir_stamp *stamp)
{
    if (op->code == WEIR_TEXT_MARK) {
        weir_marks_seal ((struct text *) self, op, stamp);
    }
}

static void
text_cool (struct weir_container *self)
{
    weir_seq_cool (((struct text *) self)->seq);
}

static bool
text_join (struct weir_op *last, const struct weir_op *next)
{
    if (last->code != next->code || next->code == WEIR_TEXT_MARK) {
        return false;
    }
    if (next->code == WEIR_TEXT_INSERT) {
        if (next->at != last->at + last->count) {
            return false;
        }
    } else if (next->at > last->at || last->at - next->at > next->count) {
        return false;
    } else {
        last->at = next->at;
    }
    last->count += next->count;
    return true;
}

static void
text_describe (const struct weir_op *op, json_t *out)
{
    static const char *const names[] = { "insert", "delete", "mark" };
    bool unmarks = op->code == WEIR_TEXT_MARK && op->value.type == WEIR_VALUE_NULL;
    json_object_set_new (out, "op", json_string (unmarks ? "unmark" : names[op->code]));
    json_object_set_new (out, "at", json_integer (op->at));
    if (op->code == WEIR_TEXT_INSERT) {
        json_object_set_new (out, "text",
                             json_stringn_nocheck ((const char *) op->bytes.data, op->bytes.len));
    } else if (op->code == WEIR_TEXT_DELETE) {
        json_object_set_new (out, "count", json_integer (op->count));
    } else {
        struct weir_value key = { .type = WEIR_VALUE_TEXT, .bytes = op->key };
        json_object_set_new (out, "to", json_integer ((json_int_t) op->to - 1));
        json_object_set_new (out, "key", weir_value_json (&key));
        if (!unmarks) {
            json_object_set_new (out, "value", weir_value_json (&op->value));
        }
    }
}

static json_t *
text_json (const struct weir_container *self)
{
    const struct text *t = (const struct text *) self;
    struct weir_buf text = { 0 };
    if (t != NULL) {
        weir_seq_text (t->seq, 0, weir_seq_length (t->seq), &text);
    }
    json_t *out = json_stringn_nocheck (text.len > 0 ? (const char *) text.data : "", text.len);
    weir_buf_fini (&text);
    return out;
}

static bool
text_is_empty (const struct weir_container *self)
{
    return !((const struct text *) self)->is_written;
}

const struct weir_container_type weir_container_text = {
    .number = WEIR_CONTAINER_TEXT,
    .name = "text",
    .size = sizeof (struct text),
    .init = text_init,
    .fini = text_fini,
    .decode = text_decode,
    .encode = text_encode,
    .prepare = weir_container_seq_prepare,
    .validate = text_validate,
    .apply = text_apply,
    .join = text_join,
    .record = text_record,
    .seal = text_seal,
    .cool = text_cool,
    .describe = text_describe,
    .json = text_json,
    .is_empty = text_is_empty,
    .save = weir_text_save,
    .load = weir_text_load,
};

/* ---- editing ---- */

static enum weir_status
beyond (const struct text *t, uint64_t at, struct weir_error *e)
{
    return weir_error_set (e, WEIR_OUT_OF_RANGE, NULL,
                           "position %llu is beyond the text, which has %u characters",
                           (unsigned long long) at, weir_seq_length (t->seq));
}

enum weir_status
weir_change_text_insert (struct weir_change *self, struct weir_container *text, uint32_t at,
                         struct weir_bytes utf8, struct weir_error *e)
{
    struct text *t = (struct text *) text;
    struct weir_op op = { .code = WEIR_TEXT_INSERT, .bytes = utf8 };
    uint32_t offset = 0;
    uint32_t astral = 0;
    if (at > weir_seq_length (t->seq)) {
        return beyond (t, at, e);
    }
    if (!weir_bytes_is_utf8 (utf8) || (utf8.len > 0 && memchr (utf8.data, 0, utf8.len) != NULL)) {
        return weir_error_set (e, WEIR_INVALID_ARGUMENT, NULL,
                               "a text takes UTF-8 without NUL characters");
    }
    if (utf8.len == 0) {
        return WEIR_OK;
    }
    if (utf8.len > WEIR_PAYLOAD_BYTES_MAX) {
        return weir_error_set (e, WEIR_TOO_LARGE, NULL, "%zu bytes are too much for one insertion",
                               utf8.len);
    }
    op.count = op.atoms = weir_rope_text_scalars (utf8.data, utf8.len, &astral);
    op.at = weir_text_place (text, at);
    return weir_change_put (self, text, &op, &offset, e);
}

/* How many of `count` characters from entity `at` on have no anchor between them. */
static uint32_t
stretch (const struct text *t, uint32_t at, uint32_t count)
{
    struct weir_seq_span span;
    uint32_t seen = 0;
    while (seen < count && weir_seq_span (t->seq, at + seen, &span) && !span.hidden) {
        seen += span.count;
    }
    return seen < count ? seen : count;
}

enum weir_status
weir_change_text_delete (struct weir_change *self, struct weir_container *text, uint32_t at,
                         uint32_t count, struct weir_error *e)
{
    struct text *t = (struct text *) text;
    enum weir_status status = WEIR_OK;
    if ((uint64_t) at + count > weir_seq_length (t->seq)) {
        return beyond (t, (uint64_t) at + count, e);
    }
    while (count > 0 && status == WEIR_OK) {
        struct weir_op op = { .code = WEIR_TEXT_DELETE };
        uint32_t offset = 0;
        op.at = weir_seq_entity_of (t->seq, at);
        op.count = op.atoms = weir_text_is_styled (t) ? stretch (t, op.at, count) : count;
        count -= op.count;
        status = weir_change_put (self, text, &op, &offset, e);
    }
    return status;
}

enum weir_status
weir_change_text_mark (struct weir_change *self, struct weir_container *text, uint32_t from,
                       uint32_t to, struct weir_bytes key, const struct weir_value *value,
                       enum weir_expand expand, struct weir_error *e)
{
    struct text *t = (struct text *) text;
    struct weir_op op = { .code = WEIR_TEXT_MARK, .atoms = 2, .key = key, .value = *value };
    uint32_t offset = 0;
    if (to > weir_seq_length (t->seq)) {
        return beyond (t, to, e);
    }
    if (from >= to) {
        return weir_error_set (e, WEIR_INVALID_ARGUMENT, NULL, "a style needs characters");
    }
    if (!weir_value_is_key (key) || (unsigned) expand > WEIR_EXPAND_NONE) {
        return weir_error_set (e, WEIR_INVALID_ARGUMENT, NULL, "that is no name of a style");
    }
    if (value->type == WEIR_VALUE_CONTAINER || value->type == WEIR_VALUE_UNIQUE
        || value->type == WEIR_VALUE_BLOB || value->type == WEIR_VALUE_DELETED
        || weir_value_check (value) != WEIR_OK) {
        return weir_error_set (e, WEIR_INVALID_ARGUMENT, NULL, "that is no value of a style");
    }
    if (!weir_text_mark_place (text, from, to, key, value, &op.at, &op.to)) {
        return WEIR_OK;
    }
    op.flags = (uint8_t) weir_text_expand (expand, value);
    return weir_change_put (self, text, &op, &offset, e);
}
