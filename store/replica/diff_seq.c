/* Owns differences of sequences. Elements that both sides hold stand in the same order in both
 * (Fugue's order is one for all versions), so that one pass over both tells what came and went;
 * ids go by stretches, not one by one. A movable list's elements may change places: those that
 * keep their order stay, the others are told as moves. */

#include "store/replica/diff.h"

#include "store/base/map.h"
#include "store/crdt/tracker.h"

#include <stdlib.h>
#include <string.h>

/* ---- deltas ---- */

static void
flush_text (struct weir_delta *d)
{
    if (d->text.len > 0) {
        json_t *op = json_object ();
        json_object_set_new (op, "insert",
                             json_stringn_nocheck ((const char *) d->text.data, d->text.len));
        if (d->styles != NULL) {
            json_object_set (op, "attributes", d->styles);
        }
        json_array_append_new (d->ops, op);
    }
    json_decref (d->styles);
    d->styles = NULL;
    weir_buf_clear (&d->text);
}

/* What comes between two retains stands before what goes there. */
static void
flush_gap (struct weir_delta *d)
{
    flush_text (d);
    if (d->deleted > 0) {
        json_t *op = json_object ();
        json_object_set_new (op, "delete", json_integer ((json_int_t) d->deleted));
        json_array_append_new (d->ops, op);
        d->deleted = 0;
    }
}

static void
flush_retain (struct weir_delta *d)
{
    if (d->retain > 0) {
        json_t *op = json_object ();
        json_object_set_new (op, "retain", json_integer ((json_int_t) d->retain));
        if (d->attributes != NULL) {
            json_object_set (op, "attributes", d->attributes);
        }
        json_array_append_new (d->ops, op);
    }
    json_decref (d->attributes);
    d->attributes = NULL;
    d->retain = 0;
}

static bool
same_attributes (const json_t *a, const json_t *b)
{
    return a == NULL || b == NULL ? a == b : json_equal (a, b) != 0;
}

void
weir_delta_retain (struct weir_delta *d, uint64_t count, json_t *attributes)
{
    if (count == 0) {
        json_decref (attributes);
        return;
    }
    flush_gap (d);
    if (d->retain > 0 && !same_attributes (attributes, d->attributes)) {
        flush_retain (d);
    }
    if (d->retain > 0) {
        json_decref (attributes);
    } else {
        d->attributes = attributes;
    }
    d->retain += count;
}

void
weir_delta_delete (struct weir_delta *d, uint64_t count)
{
    if (count > 0) {
        flush_retain (d);
        d->deleted += count;
    }
}

void
weir_delta_text (struct weir_delta *d, struct weir_bytes text, json_t *attributes)
{
    flush_retain (d);
    if (d->text.len > 0 && same_attributes (attributes, d->styles)) {
        json_decref (attributes);
    } else {
        flush_text (d);
        d->styles = attributes;
    }
    weir_buf_put_bytes (&d->text, text);
}

/* `deleted` waits. */
static void
put_insert (struct weir_delta *d, json_t *op)
{
    flush_retain (d);
    json_array_append_new (d->ops, op);
}

static json_t *
last_insert (const struct weir_delta *d)
{
    json_t *op = json_array_get (d->ops, json_array_size (d->ops) - 1);
    json_t *inserted = json_object_get (op, "insert");
    return d->retain == 0 && inserted != NULL && json_object_get (op, "move") == NULL ? op : NULL;
}

void
weir_delta_value (struct weir_delta *d, json_t *value)
{
    json_t *last = last_insert (d);
    if (last != NULL) {
        json_array_append_new (json_object_get (last, "insert"), value);
        return;
    }
    json_t *op = json_object ();
    json_t *values = json_array ();
    json_array_append_new (values, value);
    json_object_set_new (op, "insert", values);
    put_insert (d, op);
}

void
weir_delta_set (struct weir_delta *d, json_t *value)
{
    json_t *op = json_object ();
    json_object_set_new (op, "set", value);
    flush_gap (d);
    flush_retain (d);
    json_array_append_new (d->ops, op);
}

void
weir_delta_move (struct weir_delta *d, uint32_t from, json_t *value)
{
    json_t *op = json_object ();
    json_t *values = json_array ();
    json_array_append_new (values, value);
    json_object_set_new (op, "insert", values);
    json_object_set_new (op, "move", json_integer (from));
    put_insert (d, op);
}

void
weir_delta_close (struct weir_delta *d)
{
    flush_gap (d);
    if (d->attributes != NULL) {
        flush_retain (d);
    }
    d->retain = 0;
    weir_buf_fini (&d->text);
}

/* ---- attributes ---- */

static uint64_t
scalars (const json_t *text)
{
    const char *s = json_string_value (text);
    size_t len = json_string_length (text);
    uint64_t n = 0;
    for (size_t i = 0; i < len; i++) {
        n += ((unsigned char) s[i] & 0xc0u) != 0x80u;
    }
    return n;
}

struct weir_styles
weir_styles_of (const struct weir_container *text)
{
    struct weir_styles s = { .delta = text != NULL ? weir_text_delta (text) : NULL };
    s.left = scalars (json_object_get (json_array_get (s.delta, 0), "insert"));
    return s;
}

void
weir_styles_fini (struct weir_styles *s)
{
    json_decref (s->delta);
    s->delta = NULL;
}

const json_t *
weir_styles_here (struct weir_styles *s, uint64_t max, uint64_t *count)
{
    while (s->left == 0 && s->i < json_array_size (s->delta)) {
        s->i++;
        s->left = scalars (json_object_get (json_array_get (s->delta, s->i), "insert"));
    }
    *count = s->left < max && s->left > 0 ? s->left : max;
    const json_t *here = json_object_get (json_array_get (s->delta, s->i), "attributes");
    return json_object_size (here) > 0 ? here : NULL;
}

void
weir_styles_skip (struct weir_styles *s, uint64_t count)
{
    while (count > 0) {
        uint64_t n;
        (void) weir_styles_here (s, count, &n);
        s->left -= s->left < n ? s->left : n;
        count -= n;
    }
}

/* ---- elements by id ---- */

/* Visible elements that stand together and were inserted together. */
struct piece {
    struct weir_op_id id; /* of the first */
    uint32_t count;
    uint32_t at; /* visible ones before it */
    bool is_common;
};
struct pieces {
    struct piece *items;
    size_t count;
    size_t cap;
};

static void
pieces_add (struct pieces *p, struct piece piece)
{
    weir_grow (&p->items, &p->cap, p->count + 1, sizeof *p->items);
    p->items[p->count++] = piece;
}

/* Elements that a shallow root had have no op any more: they go by their place in it. */
static uint32_t
piece_run (const struct weir_seq *seq, uint32_t event, uint32_t max, struct weir_op_id *id)
{
    if (event < WEIR_TRACKER_BASE) {
        return weir_seq_event_run (seq, event, max, id);
    }
    memset (id->entry.b, 0xff, sizeof id->entry.b);
    id->offset = event - WEIR_TRACKER_BASE;
    return max;
}

static struct pieces
pieces_of (const struct weir_container *c)
{
    struct pieces all = { 0 };
    struct weir_seq_span span;
    struct weir_seq *seq = c != NULL ? weir_container_seq (c) : NULL;
    if (seq == NULL) {
        return all;
    }
    weir_seq_resolve (seq);
    for (uint32_t at = 0; weir_seq_span (seq, at, &span); at += span.count) {
        for (uint32_t k = 0; k < span.count && !span.hidden;) {
            struct piece piece = { .at = span.user_at + k };
            piece.count = piece_run (seq, span.event + k, span.count - k, &piece.id);
            weir_assert (piece.count > 0);
            pieces_add (&all, piece);
            k += piece.count;
        }
    }
    return all;
}

static int
pieces_by_id (const void *a, const void *b)
{
    const struct piece *x = a;
    const struct piece *y = b;
    return weir_op_id_compare (&x->id, &y->id);
}

static struct pieces
pieces_sorted (const struct pieces *p)
{
    struct pieces sorted = { .count = p->count, .cap = p->count };
    sorted.items = weir_alloc ((p->count + 1) * sizeof *sorted.items);
    if (p->count > 0) {
        memcpy (sorted.items, p->items, p->count * sizeof *sorted.items);
        qsort (sorted.items, sorted.count, sizeof *sorted.items, pieces_by_id);
    }
    return sorted;
}

/* The first piece, by id, that ends behind the element. */
static size_t
pieces_search (const struct pieces *sorted, const struct weir_op_id *id)
{
    size_t low = 0;
    size_t high = sorted->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const struct piece *p = &sorted->items[mid];
        int order = weir_id_compare (&p->id.entry, &id->entry);
        if (order < 0 || (order == 0 && p->id.offset + p->count <= id->offset)) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

/* Cuts the pieces where the other side begins or ends to have the same elements. */
static struct pieces
pieces_cut (const struct pieces *p, const struct pieces *other)
{
    struct pieces out = { 0 };
    for (size_t i = 0; i < p->count; i++) {
        struct piece rest = p->items[i];
        size_t k = pieces_search (other, &rest.id);
        while (rest.count > 0) {
            const struct piece *o = k < other->count ? &other->items[k] : NULL;
            struct piece piece = rest;
            if (o != NULL && weir_id_equal (&o->id.entry, &rest.id.entry)
                && o->id.offset < rest.id.offset + rest.count) {
                piece.is_common = o->id.offset <= rest.id.offset;
                uint32_t end = piece.is_common ? o->id.offset + o->count : o->id.offset;
                uint32_t count = end - rest.id.offset;
                piece.count = count < rest.count ? count : rest.count;
                k += piece.is_common;
            }
            pieces_add (&out, piece);
            rest.id.offset += piece.count;
            rest.at += piece.count;
            rest.count -= piece.count;
        }
    }
    return out;
}

/* Takes off what both begin with; gives how many elements. *a and *b are slices. */
static uint32_t
pieces_skip_equal (struct pieces *a, struct pieces *b)
{
    uint32_t all = 0;
    while (a->count > 0 && b->count > 0
           && weir_op_id_compare (&a->items[0].id, &b->items[0].id) == 0) {
        struct pieces *const sides[2] = { a, b };
        uint32_t n = a->items[0].count < b->items[0].count ? a->items[0].count : b->items[0].count;
        for (size_t i = 0; i < 2; i++) {
            struct piece *first = &sides[i]->items[0];
            first->id.offset += n;
            first->at += n;
            first->count -= n;
            if (first->count == 0) {
                sides[i]->items++;
                sides[i]->count--;
            }
        }
        all += n;
    }
    return all;
}

/* The same of what both end with. */
static uint32_t
pieces_drop_equal (struct pieces *a, struct pieces *b)
{
    uint32_t all = 0;
    while (a->count > 0 && b->count > 0) {
        struct piece *x = &a->items[a->count - 1];
        struct piece *y = &b->items[b->count - 1];
        uint32_t n = x->count < y->count ? x->count : y->count;
        if (!weir_id_equal (&x->id.entry, &y->id.entry)
            || x->id.offset + x->count != y->id.offset + y->count) {
            break;
        }
        x->count -= n;
        y->count -= n;
        a->count -= x->count == 0;
        b->count -= y->count == 0;
        all += n;
    }
    return all;
}

/* ---- text and list ---- */

struct sides {
    const struct weir_id *id;
    struct weir_container *a;
    struct weir_container *b;
    struct weir_styles style_a;
    struct weir_styles style_b;
    struct weir_delta *delta;
};

static void
put_retain (struct sides *s, uint32_t count)
{
    while (count > 0 && s->style_b.delta != NULL) {
        uint64_t n;
        const json_t *a = weir_styles_here (&s->style_a, count, &n);
        const json_t *b = weir_styles_here (&s->style_b, n, &n);
        weir_delta_retain (s->delta, n, weir_diff_attributes (a, b));
        weir_styles_skip (&s->style_a, n);
        weir_styles_skip (&s->style_b, n);
        count -= (uint32_t) n;
    }
    weir_delta_retain (s->delta, count, NULL);
}

static void
put_text (struct sides *s, const struct piece *piece)
{
    struct weir_buf text = { 0 };
    for (uint32_t k = 0; k < piece->count;) {
        uint64_t n;
        const json_t *b = weir_styles_here (&s->style_b, piece->count - k, &n);
        uint32_t from = piece->at + k;
        weir_buf_clear (&text);
        weir_seq_text (weir_container_seq (s->b), from, from + (uint32_t) n, &text);
        weir_delta_text (s->delta, weir_buf_bytes (&text), json_incref ((json_t *) (uintptr_t) b));
        weir_styles_skip (&s->style_b, n);
        k += (uint32_t) n;
    }
    weir_buf_fini (&text);
}

static void
put_piece (struct sides *s, const struct piece *piece, bool came)
{
    if (!came) {
        weir_styles_skip (&s->style_a, piece->count);
        weir_delta_delete (s->delta, piece->count);
        return;
    }
    if (s->b->type == &weir_container_text) {
        put_text (s, piece);
        return;
    }
    for (uint32_t k = 0; k < piece->count; k++) {
        struct weir_item item;
        if (weir_list_item (s->b, piece->at + k, &item)) {
            weir_delta_value (s->delta, weir_diff_value (s->id, &item));
        }
    }
}

void
weir_diff_seq (const struct weir_id *id, struct weir_container *a, struct weir_container *b,
               struct weir_delta *d)
{
    struct sides s = { .id = id, .a = a, .b = b, .delta = d };
    struct pieces all_a = pieces_of (a);
    struct pieces all_b = pieces_of (b);
    /* Most often little differs: only what lies between is looked up by id. */
    struct pieces mid_a = all_a;
    struct pieces mid_b = all_b;
    uint32_t before = pieces_skip_equal (&mid_a, &mid_b);
    uint32_t behind = pieces_drop_equal (&mid_a, &mid_b);
    struct pieces sorted_a = pieces_sorted (&mid_a);
    struct pieces sorted_b = pieces_sorted (&mid_b);
    struct pieces of_a = pieces_cut (&mid_a, &sorted_b);
    struct pieces of_b = pieces_cut (&mid_b, &sorted_a);
    if ((b != NULL ? b : a)->type == &weir_container_text) {
        s.style_a = weir_styles_of (a);
        s.style_b = weir_styles_of (b);
    }
    put_retain (&s, before);
    for (size_t i = 0, k = 0; i < of_a.count || k < of_b.count;) {
        if (i < of_a.count && !of_a.items[i].is_common) {
            put_piece (&s, &of_a.items[i++], false);
        } else if (k < of_b.count && !of_b.items[k].is_common) {
            put_piece (&s, &of_b.items[k++], true);
        } else {
            /* Both common: the same elements, cut alike, for both were cut at the ends of both. */
            weir_assert (i < of_a.count && k < of_b.count
                         && of_a.items[i].count == of_b.items[k].count);
            put_retain (&s, of_a.items[i].count);
            i++;
            k++;
        }
    }
    put_retain (&s, behind);
    weir_styles_fini (&s.style_a);
    weir_styles_fini (&s.style_b);
    free (all_a.items);
    free (all_b.items);
    free (sorted_a.items);
    free (sorted_b.items);
    free (of_a.items);
    free (of_b.items);
}

/* ---- movable lists ---- */

/* Patience: for each length, the smallest end of a rising subsequence of that length. */
void
weir_diff_rising (const uint32_t *values, size_t count, bool *keep)
{
    size_t *ends = weir_alloc ((count + 1) * sizeof *ends);
    size_t *before = weir_alloc ((count + 1) * sizeof *before);
    size_t longest = 0;
    for (size_t i = 0; i < count; i++) {
        size_t low = 0;
        size_t high = longest;
        while (low < high) {
            size_t mid = low + (high - low) / 2;
            if (values[ends[mid]] < values[i]) {
                low = mid + 1;
            } else {
                high = mid;
            }
        }
        before[i] = low > 0 ? ends[low - 1] : SIZE_MAX;
        ends[low] = i;
        longest = low == longest ? longest + 1 : longest;
        keep[i] = false;
    }
    for (size_t i = longest > 0 ? ends[longest - 1] : SIZE_MAX; i != SIZE_MAX; i = before[i]) {
        keep[i] = true;
    }
    free (ends);
    free (before);
}

struct element {
    struct weir_op_id id;
    uint32_t was; /* index in a; UINT32_MAX: it came */
    bool stays;
};

static struct element *
elements_of (const struct weir_container *list, uint32_t *count)
{
    *count = list != NULL ? weir_seq_length (weir_container_seq (list)) : 0;
    struct element *all = weir_alloc ((*count + 1) * sizeof *all);
    for (uint32_t i = 0; i < *count; i++) {
        all[i].was = UINT32_MAX;
        bool found = weir_movable_element (list, i, &all[i].id);
        weir_assert (found);
    }
    return all;
}

static struct weir_bytes
element_key (const struct weir_op_id *id, uint8_t key[WEIR_ID_BYTES + 4])
{
    memcpy (key, id->entry.b, WEIR_ID_BYTES);
    weir_store_u32 (key + WEIR_ID_BYTES, id->offset);
    return weir_bytes (key, WEIR_ID_BYTES + 4);
}

/* Fills in where b's elements were, where a's are, and which of both stay. */
static void
elements_match (struct element *a, uint32_t n_a, struct element *b, uint32_t n_b)
{
    struct weir_map *by_id = weir_map_new ();
    uint32_t *order = weir_alloc (((size_t) n_b + 1) * sizeof *order);
    uint32_t *places = weir_alloc (((size_t) n_b + 1) * sizeof *places);
    bool *keep = weir_alloc ((size_t) n_b + 1);
    uint8_t key[WEIR_ID_BYTES + 4];
    uint32_t n = 0;
    for (uint32_t i = 0; i < n_a; i++) {
        (void) weir_map_put (by_id, element_key (&a[i].id, key), &a[i]);
    }
    for (uint32_t k = 0; k < n_b; k++) {
        struct element *was = weir_map_get (by_id, element_key (&b[k].id, key));
        if (was != NULL) {
            b[k].was = (uint32_t) (was - a);
            was->was = k;
            order[n] = b[k].was;
            places[n++] = k;
        }
    }
    weir_diff_rising (order, n, keep);
    for (uint32_t i = 0; i < n; i++) {
        b[places[i]].stays = keep[i];
        a[order[i]].stays = keep[i];
    }
    weir_map_destroy (&by_id, NULL);
    free (order);
    free (places);
    free (keep);
}

static void
put_element (const struct weir_id *id, const struct weir_container *a,
             const struct weir_container *b, const struct element *el, uint32_t at,
             struct weir_delta *d)
{
    struct weir_item now;
    struct weir_item was;
    if (!weir_list_item (b, at, &now)) {
        return;
    }
    if (el->was == UINT32_MAX) {
        weir_delta_value (d, weir_diff_value (id, &now));
    } else if (!el->stays) {
        weir_delta_move (d, el->was, weir_diff_value (id, &now));
    } else if (weir_list_item (a, el->was, &was) && weir_diff_same (&was, &now)) {
        weir_delta_retain (d, 1, NULL);
    } else {
        weir_delta_set (d, weir_diff_value (id, &now));
    }
}

void
weir_diff_movable (const struct weir_id *id, const struct weir_container *a,
                   const struct weir_container *b, struct weir_delta *d)
{
    uint32_t n_a, n_b;
    struct element *of_a = elements_of (a, &n_a);
    struct element *of_b = elements_of (b, &n_b);
    elements_match (of_a, n_a, of_b, n_b);
    for (uint32_t i = 0, k = 0; i < n_a || k < n_b;) {
        if (i < n_a && !of_a[i].stays) {
            weir_delta_delete (d, 1);
            i++;
        } else {
            weir_assert (k < n_b);
            put_element (id, a, b, &of_b[k], k, d);
            i += of_b[k++].stays;
        }
    }
    free (of_a);
    free (of_b);
}
