/* Owns what sequences look like through an edit: their pieces, the elements' cells, and the ops
 * that insert, delete, move and set. Positions here count what is visible; ops count entities,
 * of which the document's hidden ones (anchors, losing slots) stay where they are. */

#include "store/crdt/edit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_BYTES 32u

bool
weir_edit_is_list (const struct weir_edit_shadow *s)
{
    return s->type == &weir_container_list || s->type == &weir_container_movable;
}

static const struct weir_seq *
base_seq (const struct weir_edit_shadow *s)
{
    return s->base != NULL ? weir_container_seq (s->base) : NULL;
}

/* ---- pieces ---- */

static void
piece_insert (struct weir_edit_shadow *s, size_t at, const struct weir_edit_piece *piece)
{
    weir_grow (&s->pieces, &s->pieces_cap, s->n_pieces + 1, sizeof *s->pieces);
    memmove (&s->pieces[at + 1], &s->pieces[at], (s->n_pieces - at) * sizeof *s->pieces);
    s->pieces[at] = *piece;
    s->n_pieces++;
}

static uint32_t
text_bytes (const struct weir_edit *self, uint32_t from, uint32_t count)
{
    const uint8_t *text = self->text.data + from;
    size_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        at++;
        while (from + at < self->text.len && (text[at] & 0xc0u) == 0x80u) {
            at++;
        }
    }
    return (uint32_t) at;
}

/* The tail of a piece, from its k-th element on. */
static struct weir_edit_piece
piece_from (const struct weir_edit *self, const struct weir_edit_shadow *s,
            const struct weir_edit_piece *p, uint32_t k)
{
    struct weir_edit_piece tail = *p;
    tail.count -= k;
    if (p->base != WEIR_EDIT_NONE) {
        tail.base += k;
    } else if (s->type == &weir_container_text) {
        uint32_t bytes = text_bytes (self, p->from, k);
        tail.from += bytes;
        tail.bytes -= bytes;
    } else {
        tail.nth += k;
    }
    return tail;
}

/* The index of the piece that begins at visible position `at`, splitting one when needed; of
 * several, the first (anchors have no width). */
static size_t
piece_split (const struct weir_edit *self, struct weir_edit_shadow *s, uint32_t at)
{
    size_t i = 0;
    while (i < s->n_pieces && at >= s->pieces[i].count && (at > 0 || s->pieces[i].count == 0)) {
        if (at == 0) {
            break;
        }
        at -= s->pieces[i].count;
        i++;
    }
    if (i < s->n_pieces && at > 0) {
        struct weir_edit_piece tail = piece_from (self, s, &s->pieces[i], at);
        uint32_t bytes = s->pieces[i].bytes;
        s->pieces[i].count = at;
        s->pieces[i].bytes = bytes - tail.bytes;
        piece_insert (s, i + 1, &tail);
        i++;
    }
    return i;
}

static bool
piece_joins (const struct weir_edit_shadow *s, const struct weir_edit_piece *a,
             const struct weir_edit_piece *b)
{
    return s->type == &weir_container_text && a->base == WEIR_EDIT_NONE && !a->is_anchor
           && !b->is_anchor && a->from + a->bytes == b->from && a->hidden == b->hidden;
}

static void
pieces_remove (const struct weir_edit *self, struct weir_edit_shadow *s, uint32_t at, uint32_t left)
{
    size_t i = left > 0 ? piece_split (self, s, at) : 0;
    while (left > 0) {
        struct weir_edit_piece *p = &s->pieces[i];
        if (p->is_anchor) {
            i++;
            continue;
        }
        uint32_t gone = p->count < left ? p->count : left;
        left -= gone;
        if (gone < p->count) {
            *p = piece_from (self, s, p, gone);
            continue;
        }
        s->n_pieces--;
        memmove (p, p + 1, (s->n_pieces - i) * sizeof *p);
    }
}

static void
splice (struct weir_edit *self, struct weir_edit_shadow *s, const struct weir_edit_splice *p)
{
    if (p->moved > 0) {
        pieces_remove (self, s, p->moved - 1, 1);
    }
    pieces_remove (self, s, p->at, p->removed);
    if (p->inserted == 0 && !p->piece.is_anchor) {
        return;
    }
    if (p->mark > 0) {
        piece_insert (s, piece_split (self, s, p->mark - 1), &p->piece);
    }
    size_t i = piece_split (self, s, p->at);
    if (i > 0 && piece_joins (s, &s->pieces[i - 1], &p->piece)) {
        s->pieces[i - 1].count += p->piece.count;
        s->pieces[i - 1].bytes += p->piece.bytes;
    } else {
        piece_insert (s, i, &p->piece);
    }
}

static struct weir_edit_shadow *
pieces (struct weir_edit *self, uint32_t shadow)
{
    struct weir_edit_shadow *s = &self->shadows[shadow];
    if (s->has_pieces) {
        return s;
    }
    const struct weir_seq *seq = base_seq (s);
    uint32_t length = seq != NULL ? weir_seq_length (seq) : 0;
    s->n_pieces = 0;
    s->has_pieces = true;
    if (length > 0) {
        struct weir_edit_piece all = { .base = 0, .count = length };
        piece_insert (s, 0, &all);
    }
    for (size_t i = 0; s->row != WEIR_EDIT_NONE && i < self->n_ops; i++) {
        if (self->ops[i].shadow == shadow) {
            splice (self, s, &self->ops[i].splice);
        }
    }
    return s;
}

void
weir_edit_pieces_splice (struct weir_edit *self, uint32_t shadow, const struct weir_edit_splice *p)
{
    if (p->removed > 0 || p->inserted > 0 || p->piece.is_anchor) {
        struct weir_edit_shadow *s = &self->shadows[shadow];
        weir_assert (s->has_pieces);
        splice (self, s, p);
    }
}

uint32_t
weir_edit_length (struct weir_edit *self, uint32_t shadow)
{
    const struct weir_edit_shadow *s = pieces (self, shadow);
    uint32_t length = 0;
    for (size_t i = 0; i < s->n_pieces; i++) {
        length += s->pieces[i].count;
    }
    return length;
}

/* ---- entities ---- */

/* How many entities stand before an insertion at visible position `at`, and how many of those
 * are hidden ones of the document (*hidden). */
static uint32_t
entities_before (struct weir_edit *self, uint32_t shadow, uint32_t at, uint32_t *hidden)
{
    const struct weir_edit_shadow *s = pieces (self, shadow);
    const struct weir_seq *seq = base_seq (s);
    uint32_t left = at;
    uint32_t anchors = 0;
    const struct weir_edit_piece *before = NULL;
    uint32_t k = 0;
    for (size_t i = 0; i < s->n_pieces; i++) {
        const struct weir_edit_piece *p = &s->pieces[i];
        if (left == 0 && (before != NULL || !p->is_anchor)) {
            break;
        }
        if (p->is_anchor) {
            anchors++;
            continue;
        }
        before = p;
        k = left < p->count ? left : p->count;
        left -= k;
    }
    uint32_t base = before == NULL ? 0 : before->base != WEIR_EDIT_NONE ? before->base + k : 0;
    *hidden = 0;
    if (before != NULL && before->base == WEIR_EDIT_NONE) {
        *hidden = before->hidden;
    } else if (seq != NULL) {
        *hidden = (s->type == &weir_container_text ? weir_text_place (s->base, base)
                                                   : weir_seq_entity_at (seq, base))
                  - base;
    }
    return at + *hidden + anchors;
}

/* The entity of the visible element at `at`, and how many from there on follow each other without
 * anything hidden in between. */
static uint32_t
entity_of (struct weir_edit *self, uint32_t shadow, uint32_t at, uint32_t *run)
{
    const struct weir_edit_shadow *s = pieces (self, shadow);
    const struct weir_seq *seq = base_seq (s);
    uint32_t anchors = 0;
    uint32_t left = at;
    size_t i = 0;
    while (s->pieces[i].count <= left) {
        anchors += s->pieces[i].is_anchor ? 1 : 0;
        left -= s->pieces[i].count;
        i++;
    }
    const struct weir_edit_piece *p = &s->pieces[i];
    *run = p->count - left;
    if (p->base == WEIR_EDIT_NONE) {
        return at + p->hidden + anchors;
    }
    uint32_t entity = weir_seq_entity_of (seq, p->base + left);
    uint32_t clear = 0;
    struct weir_seq_span span;
    while (clear < *run && weir_seq_span (seq, entity + clear, &span) && !span.hidden) {
        clear += span.count;
    }
    *run = clear < *run ? clear : *run;
    return entity - (p->base + left) + at + anchors;
}

/* ---- elements' cells ---- */

uint32_t
weir_edit_element (struct weir_edit *self, uint32_t shadow, uint32_t index)
{
    const struct weir_edit_shadow *s = pieces (self, shadow);
    char key[KEY_BYTES];
    size_t i = 0;
    while (i < s->n_pieces && s->pieces[i].count <= index) {
        index -= s->pieces[i].count;
        i++;
    }
    if (i == s->n_pieces) {
        return WEIR_EDIT_NONE;
    }
    const struct weir_edit_piece *p = &s->pieces[i];
    if (p->is_cell) {
        return p->from;
    }
    int len = p->base != WEIR_EDIT_NONE
                  ? snprintf (key, sizeof key, "b%u", p->base + index)
                  : snprintf (key, sizeof key, "n%u:%u", p->from, p->nth + index);
    return weir_edit_cell (self, shadow, weir_bytes (key, (size_t) len));
}

/* A cell's key as numbers: true when the edit inserted the element. */
static bool
key_read (struct weir_bytes key, uint32_t *a, uint32_t *b)
{
    char text[KEY_BYTES];
    char *end = NULL;
    weir_assert (key.len > 1 && key.len < sizeof text);
    memcpy (text, key.data, key.len);
    text[key.len] = '\0';
    *a = (uint32_t) strtoul (text + 1, &end, 10);
    *b = *end == ':' ? (uint32_t) strtoul (end + 1, NULL, 10) : 0;
    return text[0] == 'n';
}

bool
weir_edit_element_base (struct weir_edit *self, uint32_t shadow, struct weir_bytes key,
                        struct weir_item *item, uint32_t *offset)
{
    uint32_t a = 0;
    uint32_t b = 0;
    if (!key_read (key, &a, &b)) {
        return weir_list_item (self->shadows[shadow].base, a, item);
    }
    const struct weir_edit_op *op = &self->ops[a];
    struct weir_reader r = weir_reader (
        weir_bytes (self->values.data + op->value_at, self->values.len - op->value_at));
    *item = (struct weir_item){ .child = NULL };
    for (uint32_t i = 0; i <= b; i++) {
        enum weir_status status = weir_value_read (&r, &item->value);
        weir_assert (status == WEIR_OK && !r.bad);
    }
    *offset = op->offset + b;
    return true;
}

static struct weir_op_ref
element_ref (struct weir_edit *self, uint32_t cell)
{
    uint32_t a = 0;
    uint32_t b = 0;
    struct weir_op_id id = { .offset = 0 };
    const struct weir_edit_cell *c = &self->cells[cell];
    if (key_read (weir_edit_cell_key (self, cell), &a, &b)) {
        id.offset = self->ops[a].offset + b;
    } else {
        bool known = weir_movable_element (self->shadows[c->shadow].base, a, &id);
        weir_assert (known);
    }
    return weir_edit_ref (self, &id);
}

/* ---- ops ---- */

enum weir_status
weir_edit_insert (struct weir_edit *self, uint32_t shadow, uint32_t at, struct weir_bytes values,
                  uint32_t count, struct weir_error *e)
{
    uint32_t hidden = 0;
    struct weir_edit_put put = { .cell = WEIR_EDIT_NONE, .kept = values };
    if (count == 0) {
        return WEIR_OK;
    }
    put.op = (struct weir_op){ .code = WEIR_LIST_INSERT,
                               .atoms = count,
                               .at = entities_before (self, shadow, at, &hidden),
                               .count = count,
                               .bytes = values };
    put.splice = (struct weir_edit_splice){ .at = at, .inserted = count };
    put.splice.piece = (struct weir_edit_piece){
        .base = WEIR_EDIT_NONE, .count = count, .from = (uint32_t) self->n_ops, .hidden = hidden
    };
    return weir_edit_put (self, shadow, &put, e);
}

enum weir_status
weir_edit_insert_text (struct weir_edit *self, uint32_t shadow, uint32_t at, struct weir_bytes text,
                       struct weir_error *e)
{
    uint32_t hidden = 0;
    uint32_t count = 0;
    struct weir_value value = { .type = WEIR_VALUE_TEXT, .bytes = text };
    if (weir_value_check (&value) != WEIR_OK) {
        return weir_error_set (e, WEIR_INVALID_ARGUMENT, NULL, "text is UTF-8 without NUL");
    }
    for (size_t i = 0; i < text.len; i++) {
        count += (text.data[i] & 0xc0u) != 0x80u ? 1 : 0;
    }
    if (count == 0) {
        return WEIR_OK;
    }
    struct weir_edit_put put = { .cell = WEIR_EDIT_NONE };
    put.op = (struct weir_op){ .code = WEIR_TEXT_INSERT,
                               .atoms = count,
                               .at = entities_before (self, shadow, at, &hidden),
                               .count = count,
                               .bytes = text };
    put.splice = (struct weir_edit_splice){ .at = at, .inserted = count };
    put.splice.piece = (struct weir_edit_piece){ .base = WEIR_EDIT_NONE,
                                                 .count = count,
                                                 .from = (uint32_t) self->text.len,
                                                 .bytes = (uint32_t) text.len,
                                                 .hidden = hidden };
    return weir_edit_put (self, shadow, &put, e);
}

enum weir_status
weir_edit_delete (struct weir_edit *self, uint32_t shadow, uint32_t at, uint32_t count,
                  struct weir_error *e)
{
    bool is_text = self->shadows[shadow].type == &weir_container_text;
    enum weir_status status = WEIR_OK;
    while (count > 0 && status == WEIR_OK) {
        uint32_t run = 0;
        uint32_t entity = entity_of (self, shadow, at, &run);
        run = run < count ? run : count;
        struct weir_edit_put put = { .cell = WEIR_EDIT_NONE };
        put.op = (struct weir_op){ .code = is_text ? (uint8_t) WEIR_TEXT_DELETE
                                                   : (uint8_t) WEIR_LIST_DELETE,
                                   .atoms = run,
                                   .at = entity,
                                   .count = run };
        put.splice = (struct weir_edit_splice){ .at = at, .removed = run };
        status = weir_edit_put (self, shadow, &put, e);
        count -= run;
    }
    return status;
}

enum weir_status
weir_edit_set_element (struct weir_edit *self, uint32_t cell, const struct weir_value *value,
                       struct weir_error *e)
{
    struct weir_edit_put put = { .cell = cell };
    struct weir_buf kept = { 0 };
    uint32_t shadow = self->cells[cell].shadow;
    put.op = (struct weir_op){ .code = WEIR_MOVABLE_SET,
                               .atoms = 1,
                               .value = *value,
                               .target_ref = element_ref (self, cell) };
    weir_value_put (&kept, value);
    put.kept = weir_buf_bytes (&kept);
    enum weir_status status = weir_edit_put (self, shadow, &put, e);
    weir_buf_fini (&kept);
    return status;
}

enum weir_status
weir_edit_move (struct weir_edit *self, uint32_t shadow, uint32_t from, uint32_t to,
                struct weir_error *e)
{
    uint32_t run = 0;
    uint32_t hidden = 0;
    uint32_t cell = weir_edit_element (self, shadow, from);
    struct weir_edit_put put = { .cell = WEIR_EDIT_NONE };
    /* The old slot is out when the new one comes. */
    uint32_t place = to > from ? entities_before (self, shadow, to + 1, &hidden) - 1
                               : entities_before (self, shadow, to, &hidden);
    put.op = (struct weir_op){ .code = WEIR_MOVABLE_MOVE,
                               .atoms = 1,
                               .at = entity_of (self, shadow, from, &run),
                               .to = place,
                               .target_ref = element_ref (self, cell) };
    put.splice = (struct weir_edit_splice){ .at = to, .inserted = 1, .moved = from + 1 };
    put.splice.piece = (struct weir_edit_piece){
        .base = WEIR_EDIT_NONE, .count = 1, .from = cell, .hidden = hidden, .is_cell = true
    };
    return weir_edit_put (self, shadow, &put, e);
}

enum weir_status
weir_edit_mark_text (struct weir_edit *self, uint32_t shadow, uint32_t from, uint32_t to,
                     struct weir_bytes key, const struct weir_value *value, enum weir_expand expand,
                     struct weir_error *e)
{
    uint32_t run = 0;
    struct weir_edit_put put = { .cell = WEIR_EDIT_NONE };
    put.op = (struct weir_op){ .code = WEIR_TEXT_MARK,
                               .atoms = 2,
                               .flags = (uint8_t) expand,
                               .at = entity_of (self, shadow, from, &run),
                               .to = entity_of (self, shadow, to - 1, &run) + 2,
                               .key = key,
                               .value = *value };
    put.splice = (struct weir_edit_splice){ .at = to };
    put.splice.piece = (struct weir_edit_piece){ .base = WEIR_EDIT_NONE, .is_anchor = true };
    put.splice.mark = from + 1;
    return weir_edit_put (self, shadow, &put, e);
}

/* ---- text ---- */

void
weir_edit_text_now (struct weir_edit *self, uint32_t shadow, struct weir_buf *out)
{
    const struct weir_edit_shadow *s = pieces (self, shadow);
    const struct weir_seq *seq = base_seq (s);
    for (size_t i = 0; i < s->n_pieces; i++) {
        const struct weir_edit_piece *p = &s->pieces[i];
        if (p->base != WEIR_EDIT_NONE) {
            weir_seq_text (seq, p->base, p->base + p->count, out);
        } else {
            weir_buf_put (out, self->text.data + p->from, p->bytes);
        }
    }
}
