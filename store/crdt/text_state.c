/* Owns a text's part of a document's state:
 *
 *     marks varint | per mark, by its first anchor: anchors << 2 | expand u8, key blob, write |
 *     per anchor, in order: characters since the one before varint, number << 1 | is end varint |
 *     text blob
 *
 * A mark that lost an anchor keeps the other's place, as positions in ops count it. */

#include "store/crdt/text_parts.h"

#include <stdlib.h>
#include <string.h>

/* ---- saving ---- */

static struct weir_stamp
stamp_of (const struct mark *m)
{
    return (struct weir_stamp){
        .lamport = m->lamport, .entry = &m->entry, .chain = m->chain, .offset = m->offset
    };
}

/* Marks numbered by their first anchor; gives how many. */
static uint32_t
marks_number (const struct text *t, uint32_t *order, uint32_t *numbers)
{
    struct weir_seq_span span;
    uint32_t count = 0;
    memset (numbers, 0xff, t->n_marks * sizeof *numbers);
    if (!weir_text_is_styled (t)) {
        return 0;
    }
    for (uint32_t at = 0; weir_seq_span (t->seq, at, &span); at += span.count) {
        for (uint32_t i = 0; span.hidden && i < span.count; i++) {
            uint32_t mark = (span.content + i) / 2;
            if (numbers[mark] == UINT32_MAX) {
                numbers[mark] = count;
                order[count++] = mark;
            }
        }
    }
    return count;
}

static void
anchors_save (const struct text *t, const uint32_t *numbers, struct weir_buf *out)
{
    struct weir_seq_span span;
    uint32_t before = 0;
    if (!weir_text_is_styled (t)) {
        return;
    }
    for (uint32_t at = 0; weir_seq_span (t->seq, at, &span); at += span.count) {
        for (uint32_t i = 0; span.hidden && i < span.count; i++) {
            uint32_t content = span.content + i;
            weir_buf_put_varint (out, span.user_at - before);
            weir_buf_put_varint (out, (uint64_t) numbers[content / 2] << 1 | content % 2);
            before = span.user_at;
        }
    }
}

void
weir_text_save (struct weir_container *self, struct weir_save *save)
{
    struct text *t = (struct text *) self;
    uint32_t *order = weir_alloc ((t->n_marks + 1) * sizeof *order);
    uint32_t *numbers = weir_alloc ((t->n_marks + 1) * sizeof *numbers);
    uint32_t count = marks_number (t, order, numbers);
    if (save->out != NULL) {
        weir_buf_put_varint (save->out, count);
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct mark *m = &t->marks[order[i]];
        struct weir_stamp stamp = stamp_of (m);
        if (save->out != NULL) {
            weir_buf_put_u8 (save->out, (uint8_t) (m->anchors << 2 | m->expand));
            weir_buf_put_blob (save->out, weir_bytes (m->bytes, m->key_len));
        }
        weir_save_write (save, &stamp, &m->value);
    }
    if (save->out != NULL) {
        anchors_save (t, numbers, save->out);
        weir_buf_put_varint (save->out, weir_seq_text_length (t->seq, WEIR_TEXT_UTF8));
        weir_seq_text (t->seq, 0, weir_seq_length (t->seq), save->out);
    }
    free (order);
    free (numbers);
}

/* ---- loading ---- */

static enum weir_status
mark_load (struct text *t, struct weir_load *load, uint64_t *n_anchors)
{
    struct weir_stamp stamp;
    struct weir_value value;
    uint8_t head = weir_read_u8 (&load->r);
    struct weir_bytes key = weir_read_blob (&load->r, WEIR_KEY_BYTES_MAX);
    if (load->r.bad || head >> 2 == 0 || head >> 2 > MARK_BOTH || !weir_value_is_key (key)) {
        return WEIR_BAD_PAYLOAD;
    }
    enum weir_status status = weir_load_write (load, &stamp, &value);
    if (status != WEIR_OK) {
        return status;
    }
    if (value.type == WEIR_VALUE_CONTAINER || value.type == WEIR_VALUE_UNIQUE
        || value.type == WEIR_VALUE_BLOB || value.type == WEIR_VALUE_DELETED
        || weir_id_is_zero (stamp.entry)) {
        return WEIR_BAD_PAYLOAD;
    }
    uint32_t number = weir_marks_add (t, key, head & 3u, &value, &stamp);
    t->marks[number].anchors = head >> 2;
    *n_anchors += head >> 2 == MARK_BOTH ? 2 : 1;
    return WEIR_OK;
}

struct anchor {
    uint32_t skip;
    uint32_t content;
};

/* Each anchor once, starts before ends, marks by their first. */
static enum weir_status
anchors_load (const struct text *t, struct weir_load *load, struct anchor *anchors, size_t count)
{
    uint8_t *seen = weir_alloc (t->n_marks + 1);
    enum weir_status status = WEIR_BAD_PAYLOAD;
    size_t next = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t skip = weir_read_varint (&load->r);
        uint64_t content = weir_read_varint (&load->r);
        uint64_t number = content >> 1;
        uint8_t bit = content % 2 == 0 ? MARK_START : MARK_END;
        if (load->r.bad || skip > UINT32_MAX || number >= t->n_marks || number > next
            || (seen[number] | bit) == seen[number] || (t->marks[number].anchors & bit) == 0
            || (bit == MARK_START && seen[number] != 0)) {
            goto done;
        }
        if (bit == MARK_END && seen[number] == 0 && t->marks[number].anchors == MARK_BOTH) {
            goto done;
        }
        next += number == next;
        seen[number] |= bit;
        anchors[i] = (struct anchor){ (uint32_t) skip, (uint32_t) content };
    }
    status = next == t->n_marks ? WEIR_OK : WEIR_BAD_PAYLOAD;
done:
    free (seen);
    return status;
}

/* Text and anchors, in order. */
static enum weir_status
entities_load (struct text *t, struct weir_bytes text, const struct anchor *anchors, size_t count)
{
    uint32_t astral = 0;
    uint32_t left = weir_rope_text_scalars (text.data, text.len, &astral);
    for (size_t i = 0; i < count; i++) {
        if (anchors[i].skip > left) {
            return WEIR_BAD_PAYLOAD;
        }
        if (anchors[i].skip > 0) {
            uint32_t bytes = weir_rope_text_bytes (text.data, anchors[i].skip);
            weir_seq_load_text (t->seq, anchors[i].skip, weir_bytes (text.data, bytes));
            text = weir_bytes (text.data + bytes, text.len - bytes);
            left -= anchors[i].skip;
        }
        weir_seq_load (t->seq, 1, anchors[i].content, true);
    }
    if (left > 0) {
        weir_seq_load_text (t->seq, left, text);
    }
    return WEIR_OK;
}

enum weir_status
weir_text_load (struct weir_container *self, struct weir_load *load)
{
    struct text *t = (struct text *) self;
    struct anchor *anchors = NULL;
    enum weir_status status = WEIR_OK;
    uint64_t n_anchors = 0;
    uint64_t n_marks = weir_read_varint (&load->r);
    t->is_written = true;
    for (uint64_t i = 0; i < n_marks && status == WEIR_OK; i++) {
        status = mark_load (t, load, &n_anchors);
    }
    t->n_sealed = t->n_marks;
    if (status == WEIR_OK) {
        anchors = weir_alloc ((n_anchors + 1) * sizeof *anchors);
        status = anchors_load (t, load, anchors, n_anchors);
    }
    if (status == WEIR_OK) {
        struct weir_bytes text = weir_read_blob (&load->r, weir_reader_left (&load->r));
        if (load->r.bad || text.len > UINT32_MAX / 4 || !weir_bytes_is_utf8 (text)
            || (text.len > 0 && memchr (text.data, 0, text.len) != NULL)) {
            status = WEIR_BAD_PAYLOAD;
        } else {
            status = entities_load (t, text, anchors, n_anchors);
        }
    }
    free (anchors);
    return status;
}
