/* Owns the styles of a text: the table of marks, where text and anchors go among the anchors that
 * stand at a place, and which style each character has: for every key the mark with the greatest
 * order key among those around it. The rules are Loro's, after Peritext (Litt, Lim, Kleppmann and
 * van Hardenberg, 2022). */

#include "store/crdt/text_parts.h"

#include "store/base/map.h"

#include <stdlib.h>
#include <string.h>

static bool
expands_before (uint8_t expand)
{
    return expand == WEIR_EXPAND_BEFORE || expand == WEIR_EXPAND_BOTH;
}

static bool
expands_after (uint8_t expand)
{
    return expand == WEIR_EXPAND_AFTER || expand == WEIR_EXPAND_BOTH;
}

enum weir_expand
weir_text_expand (enum weir_expand expand, const struct weir_value *value)
{
    if (value->type != WEIR_VALUE_NULL) {
        return expand;
    }
    return expand == WEIR_EXPAND_BOTH   ? WEIR_EXPAND_NONE
           : expand == WEIR_EXPAND_NONE ? WEIR_EXPAND_BOTH
                                        : expand;
}

/* ---- the table ---- */

void
weir_marks_fini (struct text *t)
{
    for (size_t i = 0; i < t->n_marks; i++) {
        free (t->marks[i].bytes);
    }
    free (t->marks);
}

static struct weir_bytes
mark_key (const struct mark *m)
{
    return weir_bytes (m->bytes, m->key_len);
}

uint32_t
weir_marks_add (struct text *t, struct weir_bytes key, uint8_t expand,
                const struct weir_value *value, const struct weir_stamp *stamp)
{
    size_t cap = t->marks_cap;
    size_t len = key.len + value->bytes.len;
    weir_grow (&t->marks, &t->marks_cap, t->n_marks + 1, sizeof *t->marks);
    struct mark *m = &t->marks[t->n_marks];
    *m = (struct mark){ .bytes = weir_realloc (NULL, len),
                        .entry = *stamp->entry,
                        .lamport = stamp->lamport,
                        .value = *value,
                        .chain = stamp->chain,
                        .offset = stamp->offset,
                        .key_len = (uint32_t) key.len,
                        .expand = expand };
    if (key.len > 0) {
        memcpy (m->bytes, key.data, key.len);
    }
    if (value->bytes.len > 0) {
        memcpy (m->bytes + key.len, value->bytes.data, value->bytes.len);
    }
    m->value.bytes = weir_bytes (m->bytes + key.len, value->bytes.len);
    weir_doc_count_bytes (t->head.doc,
                          (ptrdiff_t) ((t->marks_cap - cap) * sizeof *t->marks + len + 16));
    return (uint32_t) t->n_marks++;
}

static struct weir_stamp
mark_stamp (const struct mark *m)
{
    return (struct weir_stamp){
        .lamport = m->lamport, .entry = &m->entry, .chain = m->chain, .offset = m->offset
    };
}

static void
mark_tell (struct text *t, struct weir_bytes key, uint32_t from, uint32_t to)
{
    struct weir_notice notice = { .kind = WEIR_NOTICE_MARK, .container = &t->head, .key = key };
    notice.at = from;
    notice.inserted = to - from;
    weir_doc_notify (t->head.doc, &notice);
}

void
weir_marks_apply (struct text *t, const struct weir_op *op, const struct weir_stamp *stamp)
{
    uint32_t number = weir_marks_add (t, op->key, op->flags, &op->value, stamp);
    t->marks[number].anchors = MARK_BOTH;
    weir_seq_insert (t->seq, op->at, 1, 2 * number, true, stamp->offset);
    uint32_t start = t->last_anchor;
    weir_seq_insert (t->seq, op->to, 1, 2 * number + 1, true, stamp->offset + 1);
    uint32_t end = t->last_anchor;
    if (weir_doc_is_heard (t->head.doc)) {
        mark_tell (t, mark_key (&t->marks[number]), weir_seq_user_at (t->seq, start),
                   weir_seq_user_at (t->seq, end));
    }
}

void
weir_marks_seal (struct text *t, const struct weir_op *op, const struct weir_stamp *stamp)
{
    (void) op;
    for (size_t i = t->n_sealed; i < t->n_marks; i++) {
        if (t->marks[i].offset == stamp->offset && weir_id_is_zero (&t->marks[i].entry)) {
            t->marks[i].entry = *stamp->entry;
            break;
        }
    }
    while (t->n_sealed < t->n_marks && !weir_id_is_zero (&t->marks[t->n_sealed].entry)) {
        t->n_sealed++;
    }
}

/* Only a payload of somebody else's making does that: then the mark is none any more. */
void
weir_marks_remove (struct text *t, uint32_t at, uint32_t count, uint32_t content)
{
    for (uint32_t i = 0; i < count; i++) {
        struct mark *m = &t->marks[(content + i) / 2];
        bool was_whole = m->anchors == MARK_BOTH;
        m->anchors &= (content + i) % 2 == 0 ? (uint8_t) ~MARK_START : (uint8_t) ~MARK_END;
        if (was_whole && weir_doc_is_heard (t->head.doc)) {
            uint32_t user_at = weir_seq_user_at (t->seq, at);
            bool is_start = (content + i) % 2 == 0;
            mark_tell (t, mark_key (m), is_start ? user_at : 0,
                       is_start ? weir_seq_length (t->seq) : user_at);
        }
    }
}

/* ---- where things go ---- */

/* Does new text stay in front of this anchor? The end of what expands takes it in, and it does
 * not become part of what begins, except where that expands; in front of an unmark it keeps the
 * style. */
static bool
stays_before (const struct text *t, uint32_t content)
{
    const struct mark *m = &t->marks[content / 2];
    if (content % 2 == 1) {
        return expands_after (m->expand);
    }
    return !expands_before (m->expand) || m->value.type == WEIR_VALUE_NULL
           || m->value.type == WEIR_VALUE_FALSE;
}

uint32_t
weir_text_place (const struct weir_container *text, uint32_t at)
{
    const struct text *t = (const struct text *) text;
    struct weir_seq_span span;
    uint32_t entity = weir_seq_entity_at (t->seq, at);
    while (weir_text_is_styled (t) && weir_seq_span (t->seq, entity, &span) && span.hidden) {
        for (uint32_t i = 0; i < span.count; i++) {
            if (stays_before (t, span.content + i)) {
                return entity + i;
            }
        }
        entity += span.count;
    }
    return entity;
}

/* ---- styles, character by character ---- */

/* The marks of one key that are around, the one that counts first: a heap by order key, from
 * which what has ended is dropped when it comes first. */
struct style {
    struct weir_bytes key;
    uint32_t *heap;
    size_t count;
    size_t cap;
};

struct styles {
    const struct text *text;
    struct weir_map *numbers; /* key -> number + 1 */
    struct style *items;      /* by first coming */
    size_t count;
    size_t cap;
    uint8_t *ended; /* by mark */
};

static void
styles_init (struct styles *s, const struct text *t)
{
    *s = (struct styles){ .text = t, .numbers = weir_map_new () };
    s->ended = weir_alloc (t->n_marks + 1);
}

static void
styles_fini (struct styles *s)
{
    for (size_t i = 0; i < s->count; i++) {
        free (s->items[i].heap);
    }
    free (s->items);
    free (s->ended);
    weir_map_destroy (&s->numbers, NULL);
}

static struct style *
style_of (struct styles *s, struct weir_bytes key)
{
    uintptr_t number = (uintptr_t) weir_map_get (s->numbers, key);
    if (number == 0) {
        weir_grow (&s->items, &s->cap, s->count + 1, sizeof *s->items);
        s->items[s->count++] = (struct style){ .key = key };
        number = s->count;
        (void) weir_map_put (s->numbers, key, (void *) number); // NOLINT
    }
    return &s->items[number - 1];
}

static bool
counts_before (const struct styles *s, uint32_t a, uint32_t b)
{
    struct weir_stamp x = mark_stamp (&s->text->marks[a]);
    struct weir_stamp y = mark_stamp (&s->text->marks[b]);
    int order = weir_doc_compare_stamps (s->text->head.doc, &x, &y);
    return order != 0 ? order > 0 : x.offset > y.offset;
}

static void
heap_put (const struct styles *s, struct style *style, uint32_t mark)
{
    weir_grow (&style->heap, &style->cap, style->count + 1, sizeof *style->heap);
    size_t i = style->count++;
    for (; i > 0 && counts_before (s, mark, style->heap[(i - 1) / 2]); i = (i - 1) / 2) {
        style->heap[i] = style->heap[(i - 1) / 2];
    }
    style->heap[i] = mark;
}

static void
heap_drop (const struct styles *s, struct style *style)
{
    uint32_t last = style->heap[--style->count];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child + 1 < style->count
            && counts_before (s, style->heap[child + 1], style->heap[child])) {
            child++;
        }
        if (child >= style->count || !counts_before (s, style->heap[child], last)) {
            break;
        }
        style->heap[i] = style->heap[child];
        i = child;
    }
    if (style->count > 0) {
        style->heap[i] = last;
    }
}

/* An anchor is passed. */
static void
styles_pass (struct styles *s, uint32_t content)
{
    uint32_t number = content / 2;
    const struct mark *m = &s->text->marks[number];
    if (m->anchors != MARK_BOTH) {
        return;
    }
    if (content % 2 == 0) {
        heap_put (s, style_of (s, mark_key (m)), number);
    } else {
        s->ended[number] = 1;
    }
}

/* The mark that counts; NULL: none. */
static const struct mark *
style_winner (const struct styles *s, struct style *style)
{
    while (style->count > 0 && s->ended[style->heap[0]]) {
        heap_drop (s, style);
    }
    return style->count > 0 ? &s->text->marks[style->heap[0]] : NULL;
}

static json_t *
styles_json (struct styles *s)
{
    json_t *out = json_object ();
    for (size_t i = 0; i < s->count; i++) {
        const struct mark *m = style_winner (s, &s->items[i]);
        if (m != NULL && m->value.type != WEIR_VALUE_NULL) {
            struct weir_bytes key = s->items[i].key;
            json_object_setn_new_nocheck (out, key.len > 0 ? (const char *) key.data : "", key.len,
                                          weir_value_json (&m->value));
        }
    }
    return out;
}

/* ---- the text as a delta ---- */

static void
delta_put (json_t *delta, struct weir_buf *text, json_t *attributes)
{
    if (text->len == 0) {
        return;
    }
    json_t *part = json_object ();
    json_object_set_new (part, "insert",
                         json_stringn_nocheck ((const char *) text->data, text->len));
    if (json_object_size (attributes) > 0) {
        json_object_set (part, "attributes", attributes);
    }
    json_array_append_new (delta, part);
    weir_buf_clear (text);
}

json_t *
weir_text_delta (const struct weir_container *text)
{
    const struct text *t = (const struct text *) text;
    json_t *delta = json_array ();
    if (t == NULL) {
        return delta;
    }
    json_t *attributes = json_object ();
    struct weir_buf run = { 0 };
    struct styles styles;
    struct weir_seq_span span;
    bool is_changed = false;
    styles_init (&styles, t);
    for (uint32_t at = 0; weir_seq_span (t->seq, at, &span); at += span.count) {
        for (uint32_t i = 0; span.hidden && i < span.count; i++) {
            styles_pass (&styles, span.content + i);
            is_changed = true;
        }
        if (span.hidden) {
            continue;
        }
        json_t *now = is_changed ? styles_json (&styles) : NULL;
        if (now != NULL && !json_equal (now, attributes)) {
            delta_put (delta, &run, attributes);
            json_decref (attributes);
            attributes = json_incref (now);
        }
        json_decref (now);
        is_changed = false;
        weir_seq_text (t->seq, span.user_at, span.user_at + span.count, &run);
    }
    delta_put (delta, &run, attributes);
    json_decref (attributes);
    weir_buf_fini (&run);
    styles_fini (&styles);
    return delta;
}

/* ---- marking ---- */

/* The mark that gives a key its value at an entity; NULL: none. Anchors are within their own. */
static const struct mark *
winner_at (struct styles *s, uint32_t entity, struct weir_bytes key)
{
    struct weir_seq_span span;
    uint32_t at = 0;
    for (; at <= entity && weir_seq_span (s->text->seq, at, &span); at += span.count) {
        for (uint32_t i = 0; span.hidden && i < span.count && at + i <= entity; i++) {
            bool is_end = (span.content + i) % 2 == 1;
            if (!is_end || at + i < entity) {
                styles_pass (s, span.content + i);
            }
        }
    }
    return style_winner (s, style_of (s, key));
}

/* Does a mark of the key begin among the entities? */
static bool
has_key (const struct text *t, uint32_t at, uint32_t end, struct weir_bytes key)
{
    struct weir_seq_span span;
    for (; at < end && weir_seq_span (t->seq, at, &span); at += span.count) {
        for (uint32_t i = 0; span.hidden && i < span.count && at + i < end; i++) {
            const struct mark *m = &t->marks[(span.content + i) / 2];
            if (m->anchors == MARK_BOTH && weir_bytes_equal (mark_key (m), key)) {
                return true;
            }
        }
    }
    return false;
}

/* Do the same marks cover all entities? Anchors are covered by their own. */
static bool
is_even (const struct text *t, uint32_t from, uint32_t end)
{
    struct weir_seq_span span;
    for (uint32_t at = from; at < end && weir_seq_span (t->seq, at, &span); at += span.count) {
        for (uint32_t i = 0; span.hidden && i < span.count && at + i < end; i++) {
            bool is_start = (span.content + i) % 2 == 0;
            if (is_start ? at + i > from : at + i + 1 < end) {
                return false;
            }
        }
    }
    return true;
}

bool
weir_text_mark_place (const struct weir_container *text, uint32_t from, uint32_t to,
                      struct weir_bytes key, const struct weir_value *value, uint32_t *at,
                      uint32_t *end)
{
    const struct text *t = (const struct text *) text;
    struct styles styles;
    *at = weir_text_place (text, from);
    *end = weir_text_place (text, to) + 1;
    if (!weir_text_is_styled (t)) {
        return value->type != WEIR_VALUE_NULL;
    }
    styles_init (&styles, t);
    const struct mark *m = winner_at (&styles, *at, key);
    bool changes = true;
    if (m != NULL && weir_value_equal (&m->value, value)) {
        changes = !is_even (t, *at, *end - 1);
    } else if (value->type == WEIR_VALUE_NULL) {
        changes = m != NULL || has_key (t, *at + 1, *end - 1, key);
    }
    styles_fini (&styles);
    return changes;
}
