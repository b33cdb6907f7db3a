/* Goal: texts against a tree of characters that is read anew for every version (fugue.h), with
 * styles looked up character by character. Before an entry is sealed, an array of what is visible
 * says where local edits go and which marks change nothing; after it, positions in its ops are
 * only read at the version that they were made at. Ids and places of elements agree, too. */

#include "tests/models/fugue.h"
#include "tests/models/play.h"

#include "store/crdt/types.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    enum weir_expand expand;
} keys[] = { { "bold", WEIR_EXPAND_AFTER },
             { "link", WEIR_EXPAND_NONE },
             { "note", WEIR_EXPAND_BOTH },
             { "lead", WEIR_EXPAND_BEFORE } };
#define KEYS (sizeof keys / sizeof *keys)

static const char *const alphabet[] = {
    "a", "b", "c", "d", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x8e\xb5"
};

/* A character, or one end of a mark. */
struct symbol {
    char text[8];
    uint32_t mark; /* when text is empty */
    bool is_end;
};

struct style {
    char key[8];
    json_t *value;
    uint8_t expand;
    struct weir_order_key order;
};

static struct model {
    struct fugue tree;
    struct symbol *symbols;
    size_t n_symbols;
    size_t symbols_cap;
    struct style *styles;
    size_t n_styles;
    size_t styles_cap;
    size_t n_entries; /* in the tree */
} model;

/* What is visible at a moment: symbols. */
struct view {
    uint32_t *items;
    size_t count;
    size_t cap;
};

static uint32_t
symbol_add (const char *text, size_t len, uint32_t mark, bool is_end)
{
    weir_grow (&model.symbols, &model.symbols_cap, model.n_symbols + 1, sizeof *model.symbols);
    struct symbol *s = &model.symbols[model.n_symbols];
    *s = (struct symbol){ .mark = mark, .is_end = is_end };
    memcpy (s->text, text, len);
    return (uint32_t) model.n_symbols++;
}

static uint32_t
symbols_add (struct weir_bytes text)
{
    uint32_t first = (uint32_t) model.n_symbols;
    while (text.len > 0) {
        uint32_t point = 0;
        size_t n = weir_utf8_next (text, &point);
        (void) symbol_add ((const char *) text.data, n, 0, false);
        text = weir_bytes (text.data + n, text.len - n);
    }
    return first;
}

static uint32_t
style_add (struct weir_bytes key, const struct weir_value *value, uint8_t expand,
           const struct weir_order_key *order)
{
    weir_grow (&model.styles, &model.styles_cap, model.n_styles + 1, sizeof *model.styles);
    struct style *s = &model.styles[model.n_styles];
    *s = (struct style){ .value = weir_value_json (value), .expand = expand, .order = *order };
    memcpy (s->key, key.data, key.len);
    return (uint32_t) model.n_styles++;
}

/* ---- the tree of all entries ---- */

static void
entry_add (const struct play *play, uint32_t number)
{
    const struct play_entry *e = &play->entries[number];
    uint64_t version = e->past | (uint64_t) 1 << number;
    uint32_t offset = 0;
    for (size_t i = 0; i < e->decoded.n_ops; i++) {
        const struct weir_op *op = &e->decoded.ops[i];
        if (op->code == WEIR_TEXT_INSERT) {
            fugue_insert (&model.tree, version, op->at, op->count, number, &e->head, offset,
                          symbols_add (op->bytes));
        } else if (op->code == WEIR_TEXT_DELETE) {
            fugue_delete (&model.tree, version, op->at, op->count, number);
        } else {
            struct weir_order_key order = { .lamport = e->head.lamport + offset,
                                            .chain = e->head.chain,
                                            .entry = e->head.id };
            uint32_t mark = style_add (op->key, &op->value, op->flags, &order);
            fugue_insert (&model.tree, version, op->at, 1, number, &e->head, offset,
                          symbol_add ("", 0, mark, false));
            fugue_insert (&model.tree, version, op->to, 1, number, &e->head, offset + 1,
                          symbol_add ("", 0, mark, true));
        }
        offset += op->atoms;
    }
}

static void
view_make (struct play *play, uint64_t seen, struct view *view)
{
    for (; model.n_entries < play->n_entries; model.n_entries++) {
        entry_add (play, (uint32_t) model.n_entries);
    }
    fugue_list (&model.tree, seen, false);
    view->count = 0;
    for (size_t i = 0; i < model.tree.n_order; i++) {
        weir_grow (&view->items, &view->cap, view->count + 1, sizeof *view->items);
        view->items[view->count++] = model.tree.nodes[model.tree.order[i]].value;
    }
}

static void
view_insert (struct view *view, size_t at, uint32_t symbol)
{
    weir_grow (&view->items, &view->cap, view->count + 1, sizeof *view->items);
    memmove (&view->items[at + 1], &view->items[at], (view->count - at) * sizeof *view->items);
    view->items[at] = symbol;
    view->count++;
}

static const struct symbol *
symbol_at (const struct view *view, size_t at)
{
    return &model.symbols[view->items[at]];
}

static bool
is_char (const struct view *view, size_t at)
{
    return symbol_at (view, at)->text[0] != 0;
}

/* ---- styles ---- */

static size_t
place_of_anchor (const struct view *view, uint32_t mark, bool is_end)
{
    for (size_t i = 0; i < view->count; i++) {
        const struct symbol *s = symbol_at (view, i);
        if (s->text[0] == 0 && s->mark == mark && s->is_end == is_end) {
            return i;
        }
    }
    return SIZE_MAX;
}

/* Marks cover what is between their anchors, and those. */
static bool
covers (const struct view *view, uint32_t mark, size_t at)
{
    size_t start = place_of_anchor (view, mark, false);
    size_t end = place_of_anchor (view, mark, true);
    return start != SIZE_MAX && end != SIZE_MAX && start <= at && at <= end;
}

static const struct style *
winner (const struct view *view, const char *key, size_t at)
{
    const struct style *best = NULL;
    for (uint32_t m = 0; m < model.n_styles; m++) {
        const struct style *s = &model.styles[m];
        if (strcmp (s->key, key) == 0
            && (best == NULL || weir_order_key_compare (&s->order, &best->order) > 0)
            && covers (view, m, at)) {
            best = s;
        }
    }
    return best;
}

static json_t *
view_delta (const struct view *view)
{
    json_t *delta = json_array ();
    char *text = weir_alloc (view->count * 4 + 1);
    json_t *before = NULL;
    for (size_t i = 0; i < view->count; i++) {
        if (!is_char (view, i)) {
            continue;
        }
        json_t *now = json_object ();
        for (size_t k = 0; k < KEYS; k++) {
            const struct style *s = winner (view, keys[k].name, i);
            if (s != NULL && !json_is_null (s->value)) {
                json_object_set (now, keys[k].name, s->value);
            }
        }
        json_t *last = json_array_get (delta, json_array_size (delta) - 1);
        if (last == NULL || !json_equal (now, before)) {
            last = json_object ();
            text[0] = 0;
            if (json_object_size (now) > 0) {
                json_object_set (last, "attributes", now);
            }
            json_array_append_new (delta, last);
        }
        strcat (text, symbol_at (view, i)->text);
        json_object_set_new (last, "insert", json_string (text));
        json_decref (before);
        before = now;
    }
    json_decref (before);
    free (text);
    return delta;
}

static void
check_delta (const struct weir_container *text, const struct view *view)
{
    json_t *got = weir_text_delta (text);
    json_t *wanted = view_delta (view);
    if (!json_equal (got, wanted)) {
        weir_model_fail (__FILE__, __LINE__, "text is\n    %s\n  model:\n    %s",
                         json_dumps (got, JSON_SORT_KEYS), json_dumps (wanted, JSON_SORT_KEYS));
    }
    json_decref (got);
    json_decref (wanted);
}

/* ---- local edits ---- */

/* In entities: behind the character before, behind anchors as long as text goes behind them. */
static size_t
place (const struct view *view, size_t user_at)
{
    size_t at = 0;
    for (size_t seen = 0; seen < user_at; at++) {
        seen += is_char (view, at);
    }
    for (; at < view->count && !is_char (view, at); at++) {
        const struct symbol *s = symbol_at (view, at);
        const struct style *style = &model.styles[s->mark];
        bool after = style->expand == WEIR_EXPAND_AFTER || style->expand == WEIR_EXPAND_BOTH;
        bool before = style->expand == WEIR_EXPAND_BEFORE || style->expand == WEIR_EXPAND_BOTH;
        if (s->is_end ? after : !before || json_is_null (style->value)) {
            break;
        }
    }
    return at;
}

/* Is a mark's value there already, from one and the same set of marks, or nothing to unmark? */
static bool
is_idle (const struct view *view, size_t from, size_t end, const char *key, const json_t *value)
{
    const struct style *s = winner (view, key, from);
    bool is_even = true;
    bool is_known = false;
    for (uint32_t m = 0; m < model.n_styles; m++) {
        for (size_t at = from; at < end; at++) {
            bool here = covers (view, m, at);
            is_even = is_even && here == covers (view, m, from);
            is_known = is_known || (here && strcmp (model.styles[m].key, key) == 0);
        }
    }
    if (s != NULL && json_equal (s->value, value)) {
        return is_even;
    }
    return json_is_null (value) && !is_known;
}

static size_t
view_chars (const struct view *view)
{
    size_t chars = 0;
    for (size_t i = 0; i < view->count; i++) {
        chars += is_char (view, i);
    }
    return chars;
}

static void
play_insert (struct play *play, struct weir_change *change, struct weir_container *text,
             struct view *view)
{
    struct weir_error e = { 0 };
    struct weir_buf bytes = { 0 };
    size_t user_at = play_below (play, view_chars (view) + 1);
    size_t at = place (view, user_at);
    for (uint64_t n = 1 + play_below (play, 5); n > 0; n--) {
        const char *c = alphabet[play_below (play, sizeof alphabet / sizeof *alphabet)];
        weir_buf_put (&bytes, c, strlen (c));
        view_insert (view, at++, symbol_add (c, strlen (c), 0, false));
    }
    enum weir_status status =
        weir_change_text_insert (change, text, (uint32_t) user_at, weir_buf_bytes (&bytes), &e);
    model_check (status == WEIR_OK, "insert: %s", e.what);
    weir_buf_fini (&bytes);
}

static void
play_delete (struct play *play, struct weir_change *change, struct weir_container *text,
             struct view *view)
{
    struct weir_error e = { 0 };
    size_t chars = view_chars (view);
    size_t from = play_below (play, chars + 1);
    size_t left = chars - from;
    size_t count = left > 0 ? 1 + play_below (play, left < 6 ? left : 6) : 0;
    size_t seen = 0;
    size_t kept = 0;
    enum weir_status status =
        weir_change_text_delete (change, text, (uint32_t) from, (uint32_t) count, &e);
    model_check (status == WEIR_OK, "delete: %s", e.what);
    for (size_t i = 0; i < view->count; i++) {
        bool goes = is_char (view, i) && seen >= from && seen < from + count;
        seen += is_char (view, i);
        if (!goes) {
            view->items[kept++] = view->items[i];
        }
    }
    view->count = kept;
}

static void
play_mark (struct play *play, struct weir_change *change, struct weir_container *text,
           struct view *view, uint64_t lamport)
{
    struct weir_error e = { 0 };
    static const uint8_t values[] = { WEIR_VALUE_TRUE, WEIR_VALUE_INT, WEIR_VALUE_NULL };
    size_t k = play_below (play, KEYS);
    struct weir_value value = { .type = values[play_below (play, 3)] };
    struct weir_bytes key = weir_bytes_str (keys[k].name);
    struct weir_order_key order = { .lamport = lamport + weir_change_atoms (change) };
    size_t chars = view_chars (view);
    if (chars == 0) {
        return;
    }
    size_t from = play_below (play, chars);
    size_t to = from + 1 + play_below (play, chars - from);
    size_t start = place (view, from);
    size_t end = place (view, to);
    json_t *json = weir_value_json (&value);
    bool idle = is_idle (view, start, end, keys[k].name, json);
    uint64_t atoms = weir_change_atoms (change);
    enum weir_status status = weir_change_text_mark (change, text, (uint32_t) from, (uint32_t) to,
                                                     key, &value, keys[k].expand, &e);
    model_check (status == WEIR_OK, "mark: %s", e.what);
    model_check (weir_change_atoms (change) - atoms == (idle ? 0 : 2), "a mark is %s",
                 idle ? "idle" : "not idle");
    if (!idle) {
        uint8_t expand = (uint8_t) weir_text_expand (keys[k].expand, &value);
        uint32_t mark = style_add (key, &value, expand, &order);
        view_insert (view, start, symbol_add ("", 0, mark, false));
        view_insert (view, end + 1, symbol_add ("", 0, mark, true));
    }
    json_decref (json);
}

static void
edit (struct play *play, struct play_replica *r, struct weir_change *change)
{
    struct weir_error e = { 0 };
    struct weir_container *text = NULL;
    struct view view = { 0 };
    uint64_t lamport = weir_doc_lamport (r->doc);
    view_make (play, r->seen, &view);
    size_t n_symbols = model.n_symbols;
    size_t n_styles = model.n_styles;
    enum weir_status status = weir_change_root (change, "t", &weir_container_text, &text, &e);
    model_check (status == WEIR_OK, "%s", e.what);
    for (uint64_t n = 1 + play_below (play, 4); n > 0; n--) {
        uint64_t what = play_below (play, 10);
        if (what < 5) {
            play_insert (play, change, text, &view);
        } else if (what < 7) {
            play_delete (play, change, text, &view);
        } else {
            play_mark (play, change, text, &view, lamport);
        }
        check_delta (text, &view);
    }
    /* They come again as the entry's. */
    while (model.n_styles > n_styles) {
        json_decref (model.styles[--model.n_styles].value);
    }
    model.n_symbols = n_symbols;
    free (view.items);
}

/* ---- checks ---- */

/* Elements have the ids of the tree's, and stand where it has them. */
static void
check_ids (struct play *play, struct weir_doc *doc, struct weir_container *text, uint64_t seen)
{
    struct weir_seq *seq = weir_container_seq (text);
    struct weir_seq_span span;
    model_check (weir_doc_warm (doc) == WEIR_OK, "no history");
    weir_seq_resolve (seq);
    fugue_list (&model.tree, seen, false);
    model_check (weir_seq_entities (seq) == model.tree.n_order, "entities");
    for (uint32_t at = 0; weir_seq_span (seq, at, &span); at += span.count) {
        for (uint32_t i = 0; i < span.count; i++) {
            const struct fugue_node *node = &model.tree.nodes[model.tree.order[at + i]];
            struct weir_op_id id = weir_seq_event_id (seq, span.event + i);
            model_check (span.event != WEIR_SEQ_UNKNOWN && weir_id_equal (&id.entry, &node->id)
                             && id.offset == node->offset
                             && weir_seq_event_of (seq, &id) == span.event + i,
                         "the element at %u has another id", at + i);
        }
    }
    fugue_list (&model.tree, seen, true);
    if (model.tree.n_order == 0) {
        return;
    }
    uint64_t which = play_below (play, model.tree.n_order);
    uint32_t wanted = 0;
    uint32_t got = 0;
    for (uint64_t i = 0; i < which; i++) {
        wanted += (model.tree.nodes[model.tree.order[i]].deleted & seen) == 0;
    }
    const struct fugue_node *node = &model.tree.nodes[model.tree.order[which]];
    struct weir_op_id id = { .entry = node->id, .offset = node->offset };
    uint32_t event = weir_seq_event_of (seq, &id);
    bool there = weir_seq_position (seq, event, &got);
    model_check (there == ((node->deleted & seen) == 0) && got == wanted,
                 "an element is at %u instead of %u", got, wanted);
}

static void
check (struct play *play, struct weir_doc *doc, uint64_t seen)
{
    struct view view = { 0 };
    struct weir_container *text = weir_container_child (weir_doc_top (doc), weir_bytes_str ("t"),
                                                        &weir_container_text, false);
    view_make (play, seen, &view);
    if (text == NULL) {
        model_check (view.count == 0, "there is no text");
    } else {
        check_delta (text, &view);
        if (play_below (play, 8) == 0) {
            check_ids (play, doc, text, seen);
        }
    }
    free (view.items);
}

void
weir_model_text (uint64_t seed)
{
    static const struct play_model texts = { .edit = edit, .check = check };
    model = (struct model){ 0 };
    fugue_init (&model.tree);
    play_history (seed, &texts);
    for (size_t i = 0; i < model.n_styles; i++) {
        json_decref (model.styles[i].value);
    }
    fugue_fini (&model.tree);
    free (model.symbols);
    free (model.styles);
}
