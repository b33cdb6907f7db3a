/* Owns what a sequence is now: the rope, the bytes of text, and the verbs of seq.h that change and
 * read them. Where an op's positions are not those of now, seq_merge.c turns them; seq_log.c
 * keeps what was done. text.c, list.c and movable.c call it. */

#include "store/crdt/seq_parts.h"

#include <stdlib.h>
#include <string.h>

/* Text of deleted characters is let go when it is so many times what is there, and so much. */
#define WASTE_TIMES 4u
#define WASTE_BYTES_MIN (256u << 10)

static struct rope *
rope_of (const struct weir_seq *self)
{
    return (struct rope *) (uintptr_t) &self->rope; /* finding remembers where it was */
}

static void
bytes_count (struct weir_seq *self)
{
    size_t bytes = weir_rope_memory_bytes (&self->rope) + self->text.cap
                   + self->log.cap * sizeof *self->log.runs + weir_seq_merge_bytes (&self->merge);
    if (bytes != self->counted) {
        weir_doc_count_bytes (self->owner->doc, (ptrdiff_t) bytes - (ptrdiff_t) self->counted);
        self->counted = bytes;
    }
}

struct weir_seq *
weir_seq_new (struct weir_container *owner, const struct weir_seq_owner *listener, bool is_text)
{
    struct weir_seq *self = weir_alloc (sizeof *self);
    self->owner = owner;
    self->listener = listener;
    self->is_text = is_text;
    self->is_resolved = true;
    return self;
}

void
weir_seq_destroy (struct weir_seq **self_p)
{
    struct weir_seq *self = *self_p;
    *self_p = NULL;
    if (self == NULL) {
        return;
    }
    weir_seq_merge_fini (&self->merge);
    weir_seq_log_fini (&self->log);
    weir_rope_fini (&self->rope);
    weir_buf_fini (&self->text);
    free (self);
}

/* ---- now ---- */

uint32_t
weir_seq_entities (const struct weir_seq *self)
{
    return self->rope.total.entities;
}

uint32_t
weir_seq_length (const struct weir_seq *self)
{
    return self->rope.total.visible;
}

static enum rope_unit
unit_of (enum weir_text_unit unit)
{
    return unit == WEIR_TEXT_UTF8    ? ROPE_BYTES
           : unit == WEIR_TEXT_UTF16 ? ROPE_UTF16
                                     : ROPE_VISIBLE;
}

uint64_t
weir_seq_text_length (const struct weir_seq *self, enum weir_text_unit unit)
{
    return weir_rope_measure (&self->rope.total, unit_of (unit));
}

void
weir_seq_text (const struct weir_seq *self, uint32_t from, uint32_t to, struct weir_buf *out)
{
    struct rope_spot spot;
    bool more = from < to && weir_rope_find (rope_of (self), ROPE_VISIBLE, from, &spot);
    for (; more; more = weir_rope_next (&self->rope, &spot)) {
        const struct rope_span *s = weir_rope_at (&self->rope, &spot);
        const uint8_t *text = self->text.data + s->content;
        uint32_t skip = 0;
        uint32_t bytes = s->bytes;
        if (spot.before.visible >= to) {
            break;
        }
        if (s->bytes == 0) {
            continue;
        }
        if (to - spot.before.visible < s->count) {
            bytes = weir_rope_text_bytes (text, to - spot.before.visible);
        }
        if (spot.offset > 0) {
            skip = weir_rope_text_bytes (text, spot.offset);
        }
        weir_buf_put (out, text + skip, bytes - skip);
    }
}

/* How many scalars of a span's text fill `at` units; false: that cuts one. */
static bool
scalars_in (const uint8_t *text, enum rope_unit unit, uint32_t at, uint32_t *scalars)
{
    uint32_t filled = 0;
    *scalars = 0;
    while (filled < at) {
        uint32_t bytes = weir_rope_text_bytes (text, 1);
        filled += unit == ROPE_BYTES ? bytes : bytes == 4 ? 2 : 1;
        text += bytes;
        ++*scalars;
    }
    return filled == at;
}

enum weir_status
weir_seq_text_convert (const struct weir_seq *self, enum weir_text_unit from, uint64_t at,
                       enum weir_text_unit to, uint64_t *out)
{
    struct rope_spot spot;
    enum rope_unit unit = unit_of (from);
    if (at > weir_rope_measure (&self->rope.total, unit)) {
        return WEIR_OUT_OF_RANGE;
    }
    if (!weir_rope_find (rope_of (self), unit, (uint32_t) at, &spot)) {
        *out = weir_rope_measure (&spot.before, unit_of (to));
        return WEIR_OK;
    }
    const struct rope_span *s = weir_rope_at (&self->rope, &spot);
    const uint8_t *text = self->text.data + s->content;
    struct rope_counts c = { .visible = spot.offset, .bytes = spot.offset };
    if (s->bytes != s->count) {
        if (unit != ROPE_VISIBLE && !scalars_in (text, unit, spot.offset, &c.visible)) {
            return WEIR_INVALID_ARGUMENT;
        }
        c.bytes = weir_rope_text_bytes (text, c.visible);
        (void) weir_rope_text_scalars (text, c.bytes, &c.astral);
    }
    *out = (uint64_t) weir_rope_measure (&spot.before, unit_of (to))
           + weir_rope_measure (&c, unit_of (to));
    return WEIR_OK;
}

static uint32_t
content_of (const struct weir_seq *self, const struct rope_span *s, uint32_t offset)
{
    if (s->bytes == 0 || s->bytes == s->count) {
        return s->content + offset;
    }
    return s->content + weir_rope_text_bytes (self->text.data + s->content, offset);
}

bool
weir_seq_span (const struct weir_seq *self, uint32_t at, struct weir_seq_span *span)
{
    struct rope_spot spot;
    if (!weir_rope_find (rope_of (self), ROPE_ENTITIES, at, &spot)) {
        return false;
    }
    const struct rope_span *s = weir_rope_at (&self->rope, &spot);
    *span = (struct weir_seq_span){
        .event = s->event == WEIR_SEQ_UNKNOWN ? WEIR_SEQ_UNKNOWN : s->event + spot.offset,
        .count = s->count - spot.offset,
        .content = content_of (self, s, spot.offset),
        .hidden = s->hidden,
        .at = at,
        .user_at = spot.before.visible + (s->hidden ? 0 : spot.offset),
    };
    return true;
}

uint32_t
weir_seq_entity_of (const struct weir_seq *self, uint32_t user_at)
{
    struct rope_spot spot;
    if (self->rope.total.visible == self->rope.total.entities) {
        return user_at;
    }
    bool found = weir_rope_find (rope_of (self), ROPE_VISIBLE, user_at, &spot);
    return spot.before.entities + (found ? spot.offset : 0);
}

uint32_t
weir_seq_entity_at (const struct weir_seq *self, uint32_t user_at)
{
    return user_at == 0 ? 0 : weir_seq_entity_of (self, user_at - 1) + 1;
}

uint32_t
weir_seq_user_at (const struct weir_seq *self, uint32_t entity_at)
{
    struct rope_spot spot;
    if (self->rope.total.visible == self->rope.total.entities) {
        return entity_at;
    }
    bool found = weir_rope_find (rope_of (self), ROPE_ENTITIES, entity_at, &spot);
    bool counts = found && !weir_rope_at (&self->rope, &spot)->hidden;
    return spot.before.visible + (counts ? spot.offset : 0);
}

void
weir_seq_hide (struct weir_seq *self, uint32_t at, bool hidden)
{
    weir_rope_hide (&self->rope, at, hidden);
    bytes_count (self);
}

bool
weir_seq_find_content (const struct weir_seq *self, uint32_t content, uint32_t *at)
{
    struct rope_spot spot;
    bool more = weir_rope_find (rope_of (self), ROPE_ENTITIES, 0, &spot);
    for (; more; more = weir_rope_next (&self->rope, &spot)) {
        const struct rope_span *s = weir_rope_at (&self->rope, &spot);
        if (s->bytes == 0 && content >= s->content && content - s->content < s->count) {
            *at = spot.before.entities + (content - s->content);
            return true;
        }
    }
    return false;
}

/* ---- text ---- */

/* Makes the rope anew, with the text that is there alone; without events, when told so. */
static void
rope_renew (struct weir_seq *self, bool keeps_events)
{
    struct rope old = self->rope;
    struct weir_buf text = self->text;
    struct rope_spot spot;
    self->rope = (struct rope){ 0 };
    self->text = (struct weir_buf){ 0 };
    weir_buf_reserve (&self->text, old.total.bytes);
    bool more = weir_rope_find (&old, ROPE_ENTITIES, 0, &spot);
    for (; more; more = weir_rope_next (&old, &spot)) {
        struct rope_span span = *weir_rope_at (&old, &spot);
        if (span.bytes > 0) {
            uint32_t content = (uint32_t) self->text.len;
            weir_buf_put (&self->text, text.data + span.content, span.bytes);
            span.content = content;
        }
        if (!keeps_events) {
            span.event = WEIR_SEQ_UNKNOWN;
        }
        weir_rope_insert (&self->rope, self->text.data, self->rope.total.entities, &span);
    }
    weir_rope_fini (&old);
    weir_buf_fini (&text);
}

/* Keeps text; gives where. */
static uint32_t
text_keep (struct weir_seq *self, struct weir_bytes text)
{
    if (self->text.len > WASTE_BYTES_MIN && self->text.len / WASTE_TIMES > self->rope.total.bytes) {
        rope_renew (self, true);
    }
    uint32_t content = (uint32_t) self->text.len;
    weir_buf_put_bytes (&self->text, text);
    return content;
}

static void
text_insert (struct weir_seq *self, uint32_t at, uint32_t event, uint32_t count, uint32_t content,
             size_t bytes)
{
    struct rope_span span = {
        .event = event, .count = count, .content = content, .bytes = (uint32_t) bytes
    };
    if (bytes == count) {
        weir_rope_insert (&self->rope, self->text.data, at, &span);
        return;
    }
    while (bytes > 0) {
        weir_rope_text_chunk (self->text.data + span.content, bytes, &span);
        weir_rope_insert (&self->rope, self->text.data, at, &span);
        at += span.count;
        bytes -= span.bytes;
        span.content += span.bytes;
        span.event += span.event == WEIR_SEQ_UNKNOWN ? 0 : span.count;
    }
}

/* ---- ops ---- */

enum weir_status
weir_seq_length_at_parents (struct weir_seq *self, uint64_t *length)
{
    if (self->log.next_event > SEQ_EVENTS_MAX || self->log.is_full) {
        return WEIR_LIMIT;
    }
    *length = self->rope.total.entities;
    if (!weir_doc_is_fast (self->owner->doc)) {
        size_t count = 0;
        const uint32_t *parents = weir_doc_node_parents (self->owner->doc, &count);
        (void) weir_seq_merge_parents (self, weir_doc_node (self->owner->doc), parents, count,
                                       UINT64_MAX);
        *length = weir_tracker_length (self->merge.tracker) - self->merge.slack;
        bytes_count (self);
    }
    return WEIR_OK;
}

enum weir_status
weir_seq_prepare (struct weir_seq *self, uint64_t *budget)
{
    const struct weir_doc *doc = self->owner->doc;
    uint64_t before = self->merge.work;
    size_t count = 0;
    const uint32_t *parents = weir_doc_node_parents (doc, &count);
    bool ready = weir_seq_merge_parents (self, weir_doc_node (doc), parents, count, *budget);
    uint64_t spent = self->merge.work - before;
    *budget -= spent < *budget ? spent : *budget;
    if (weir_seq_merge_bytes (&self->merge) > WEIR_TRACKER_BYTES_MAX) {
        weir_tracker_destroy (&self->merge.tracker);
        bytes_count (self);
        return WEIR_LIMIT;
    }
    bytes_count (self);
    return ready ? WEIR_OK : WEIR_BUSY;
}

/* The event of an op of the entry at hand; WEIR_SEQ_UNKNOWN while the document is cold. */
static uint32_t
op_log (struct weir_seq *self, uint32_t at, uint32_t count, uint32_t offset, bool deletes)
{
    const struct weir_doc *doc = self->owner->doc;
    if (weir_doc_graph (doc) == NULL) {
        return WEIR_SEQ_UNKNOWN;
    }
    return weir_seq_log_add (&self->log, weir_doc_node (doc), offset, at, count, deletes);
}

/* Where an insertion goes, now. */
static uint32_t
op_place (struct weir_seq *self, uint32_t at, uint32_t count, uint32_t event)
{
    if (weir_doc_is_fast (self->owner->doc)) {
        if (self->merge.tracker != NULL) {
            weir_seq_merge_idle (self);
        }
        return at;
    }
    weir_seq_merge_enter (self);
    uint64_t before = weir_tracker_steps (self->merge.tracker);
    weir_tracker_insert (self->merge.tracker, event, count, at, &at);
    weir_doc_spend (self->owner->doc, weir_tracker_steps (self->merge.tracker) - before);
    return at;
}

static void
tell_inserted (struct weir_seq *self, uint32_t at, uint32_t count, uint32_t content)
{
    if (self->listener != NULL && self->listener->inserted != NULL) {
        self->listener->inserted (self->owner, at, count, content);
    }
}

void
weir_seq_insert_text (struct weir_seq *self, uint32_t at, uint32_t count, struct weir_bytes text,
                      uint32_t offset)
{
    uint32_t event = op_log (self, at, count, offset, false);
    at = op_place (self, at, count, event);
    uint32_t content = text_keep (self, text);
    text_insert (self, at, event, count, content, text.len);
    bytes_count (self);
    tell_inserted (self, at, count, content);
}

void
weir_seq_insert (struct weir_seq *self, uint32_t at, uint32_t count, uint32_t content, bool hidden,
                 uint32_t offset)
{
    struct rope_span span = { .count = count, .content = content, .hidden = hidden };
    span.event = op_log (self, at, count, offset, false);
    at = op_place (self, at, count, span.event);
    weir_rope_insert (&self->rope, self->text.data, at, &span);
    bytes_count (self);
    tell_inserted (self, at, count, content);
}

static void
entities_delete (void *context, uint32_t at, uint32_t count)
{
    struct weir_seq *self = context;
    bool is_heard = self->listener != NULL && self->listener->removed != NULL;
    if (self->is_text && self->rope.total.visible == self->rope.total.entities) {
        is_heard = is_heard && weir_doc_is_heard (self->owner->doc);
    }
    while (count > 0) {
        struct weir_seq_span span = { .count = count };
        if (is_heard && weir_seq_span (self, at, &span)) {
            span.count = span.count < count ? span.count : count;
            self->listener->removed (self->owner, at, span.count, span.content);
        }
        weir_rope_delete (&self->rope, self->text.data, at, span.count);
        count -= span.count;
    }
}

void
weir_seq_delete (struct weir_seq *self, uint32_t at, uint32_t count, uint32_t offset)
{
    uint32_t event = op_log (self, at, count, offset, true);
    if (weir_doc_is_fast (self->owner->doc)) {
        if (self->merge.tracker != NULL) {
            weir_seq_merge_idle (self);
        }
        entities_delete (self, at, count);
    } else {
        weir_seq_merge_enter (self);
        weir_tracker_delete (self->merge.tracker, event, count, at, entities_delete, self);
    }
    bytes_count (self);
}

static void
record (struct weir_seq *self, uint32_t at, uint32_t count, uint32_t offset, bool deletes)
{
    (void) op_log (self, at, count, offset, deletes);
    self->is_resolved = false;
    bytes_count (self);
}

void
weir_seq_record_text (struct weir_seq *self, uint32_t at, uint32_t count, struct weir_bytes text,
                      uint32_t offset)
{
    (void) text; /* what is there still, the rope has; what is not never comes back */
    record (self, at, count, offset, false);
}

void
weir_seq_record (struct weir_seq *self, uint32_t at, uint32_t count, uint32_t content, bool hidden,
                 uint32_t offset)
{
    (void) content;
    (void) hidden;
    record (self, at, count, offset, false);
}

void
weir_seq_record_delete (struct weir_seq *self, uint32_t at, uint32_t count, uint32_t offset)
{
    record (self, at, count, offset, true);
}

void
weir_seq_cool (struct weir_seq *self)
{
    weir_seq_merge_fini (&self->merge);
    weir_seq_log_fini (&self->log);
    rope_renew (self, false);
    self->is_resolved = self->rope.total.entities == 0;
    bytes_count (self);
}

void
weir_seq_load_text (struct weir_seq *self, uint32_t count, struct weir_bytes text)
{
    uint32_t content = text_keep (self, text);
    text_insert (self, self->rope.total.entities, WEIR_SEQ_UNKNOWN, count, content, text.len);
    self->is_resolved = false;
    bytes_count (self);
}

void
weir_seq_load (struct weir_seq *self, uint32_t count, uint32_t content, bool hidden)
{
    struct rope_span span = {
        .event = WEIR_SEQ_UNKNOWN, .count = count, .content = content, .hidden = hidden
    };
    weir_rope_insert (&self->rope, self->text.data, self->rope.total.entities, &span);
    self->is_resolved = false;
    bytes_count (self);
}

/* ---- ids ---- */

void
weir_seq_resolve (struct weir_seq *self)
{
    uint64_t i = 0;
    uint32_t at = 0;
    uint32_t event;
    uint32_t count;
    if (self->is_resolved || weir_doc_graph (self->owner->doc) == NULL) {
        return;
    }
    weir_seq_merge_all (self);
    while (at < self->rope.total.entities
           && weir_tracker_next (self->merge.tracker, &i, &event, &count)) {
        uint32_t left = self->rope.total.entities - at;
        count = count < left ? count : left;
        /* What a shallow root had is numbered from WEIR_TRACKER_BASE on. */
        for (uint32_t done = 0; done < count;) {
            done += weir_rope_assign (&self->rope, self->text.data, at + done, event + done,
                                      count - done);
        }
        at += count;
    }
    self->is_resolved = true;
    weir_seq_merge_release (self, false);
    bytes_count (self);
}

bool
weir_seq_position (struct weir_seq *self, uint32_t event, uint32_t *at)
{
    struct rope_spot spot;
    *at = 0;
    if (weir_doc_graph (self->owner->doc) == NULL || event >= self->log.next_event) {
        return false;
    }
    weir_seq_resolve (self);
    bool more = weir_rope_find (&self->rope, ROPE_ENTITIES, 0, &spot);
    for (; more; more = weir_rope_next (&self->rope, &spot)) {
        const struct rope_span *s = weir_rope_at (&self->rope, &spot);
        if (s->event != WEIR_SEQ_UNKNOWN && event >= s->event && event - s->event < s->count) {
            *at = spot.before.entities + (event - s->event);
            return true;
        }
    }
    weir_seq_merge_all (self);
    bool found = weir_tracker_find (self->merge.tracker, event, at);
    weir_seq_merge_release (self, true);
    bytes_count (self);
    return found;
}
