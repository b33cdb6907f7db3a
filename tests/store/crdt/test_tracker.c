/* Goal: the tracker gives Fugue's order, exactly and whatever the order of arrival: on the cases
 * of the Eg-walker authors, on real histories, and against a plain tree that knows no versions;
 * from a placeholder as from the beginning; and its books stay right under hostile input. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/base/rand.h"
#include "tests/support/walk.h"

/* ---- orders ---- */

/* A random topological order of a history's entries. */
static uint32_t *
random_order (const struct walk_history *h, struct weir_rand *r)
{
    uint32_t *order = weir_alloc (h->count * sizeof *order);
    bool *out = weir_alloc (h->count);
    for (size_t n = 0; n < h->count;) {
        uint32_t i = (uint32_t) weir_rand_below (r, h->count);
        bool ready = !out[i];
        for (uint32_t p = 0; ready && p < h->entries[i].n_parents; p++) {
            ready = out[h->entries[i].parents[p]];
        }
        if (ready) {
            out[i] = true;
            order[n++] = i;
        }
    }
    free (out);
    return order;
}

enum way { WHOLE, KEEP, REBUILD };

static void
replay (const struct walk_history *h, enum way way, struct walk_doc *doc)
{
    *doc = (struct walk_doc){ .history = h, .graph = walk_graph (h) };
    if (way == WHOLE) {
        walk_all (doc);
    } else {
        for (uint32_t i = 0; i < h->count; i++) {
            walk_merge (doc, i, way == KEEP);
        }
    }
}

static void
assert_ends (const struct walk_history *h, const char *what, size_t number)
{
    for (enum way way = WHOLE; way <= REBUILD; way++) {
        struct walk_doc doc;
        replay (h, way, &doc);
        if (!walk_text_is_end (&doc)) {
            fail_msg ("%s %zu, way %d: another text", what, number, way);
        }
        weir_graph_destroy (&doc.graph);
        walk_doc_fini (&doc);
    }
}

static void
test_conformance (void **state)
{
    struct weir_rand r;
    json_t *cases = walk_load ("conformance-1.json.gz");
    (void) state;
    if (cases == NULL) {
        print_message ("skipped: no conformance-1.json.gz under WEIR_TRACES\n");
        skip ();
    }
    weir_rand_init (&r, 1);
    size_t i;
    json_t *raw;
    json_array_foreach (cases, i, raw)
    {
        struct walk_history h;
        walk_read_raw (&h, raw);
        assert_ends (&h, "case", i);
        for (size_t k = 0; k < 3; k++) {
            struct walk_history other;
            uint32_t *order = random_order (&h, &r);
            walk_renumber (&h, order, &other);
            assert_ends (&other, "renumbered case", i);
            walk_history_fini (&other);
            free (order);
        }
        walk_history_fini (&h);
    }
    assert_int_equal (i, 500);
    json_decref (cases);
}

/* ---- against a plain tree ---- */

/* Fugue as its paper draws it (Weidner and Kleppmann 2023, section 3): an element is a child of
 * another, on its left or on its right; siblings stand by author; a version is a set of entries
 * that is looked at anew each time. It shares nothing with the tracker. */

#define NO_ELEMENT UINT32_MAX
#define ELEMENTS_MAX 8192u
#define FIRST_POINT 0x4000u /* of the texts that name elements */
#define ENTRIES_MAX 48u

struct element {
    uint32_t text; /* names it */
    uint32_t entry;
    uint32_t child[2]; /* first on the left, first on the right */
    uint32_t sibling;
    uint64_t deleted_by; /* entries */
};

struct oracle {
    struct walk_history *history;
    struct element elements[ELEMENTS_MAX]; /* 0 is the root */
    uint32_t count;
    uint64_t past[ENTRIES_MAX]; /* of each entry, with itself */
    /* A version, as oracle_look saw it last: */
    uint32_t list[ELEMENTS_MAX]; /* with what is deleted */
    uint32_t n_list;
    uint32_t visible[ELEMENTS_MAX]; /* places in list */
    uint32_t n_visible;
};

static void
oracle_walk (struct oracle *o, uint64_t version, uint32_t at)
{
    const struct element *e = &o->elements[at];
    for (uint32_t c = e->child[0]; c != NO_ELEMENT; c = o->elements[c].sibling) {
        oracle_walk (o, version, c);
    }
    if (at != 0 && (version >> e->entry & 1) != 0) {
        if ((e->deleted_by & version) == 0) {
            o->visible[o->n_visible++] = o->n_list;
        }
        o->list[o->n_list++] = at;
    }
    for (uint32_t c = e->child[1]; c != NO_ELEMENT; c = o->elements[c].sibling) {
        oracle_walk (o, version, c);
    }
}

static void
oracle_look (struct oracle *o, uint64_t version)
{
    o->n_list = o->n_visible = 0;
    oracle_walk (o, version, 0);
}

static bool
oracle_is_smaller (const struct oracle *o, uint32_t a, uint32_t b)
{
    const struct walk_entry *x = &o->history->entries[o->elements[a].entry];
    const struct walk_entry *y = &o->history->entries[o->elements[b].entry];
    return x->agent < y->agent || (x->agent == y->agent && x->seq < y->seq);
}

static void
oracle_insert (struct oracle *o, uint64_t version, uint32_t entry, uint32_t at, uint32_t text)
{
    oracle_look (o, version);
    assert_true (o->count < ELEMENTS_MAX && at <= o->n_visible);
    uint32_t place = at == 0 ? 0 : o->visible[at - 1] + 1; /* in list, right behind */
    uint32_t left = at == 0 ? 0 : o->list[place - 1];
    bool has_right = false;
    for (uint32_t c = o->elements[left].child[1]; c != NO_ELEMENT; c = o->elements[c].sibling) {
        has_right = has_right || (version >> o->elements[c].entry & 1) != 0;
    }
    uint32_t fresh = o->count++;
    o->elements[fresh] =
        (struct element){ .text = text, .entry = entry, .child = { NO_ELEMENT, NO_ELEMENT } };
    uint32_t *link =
        has_right ? &o->elements[o->list[place]].child[0] : &o->elements[left].child[1];
    while (*link != NO_ELEMENT && oracle_is_smaller (o, *link, fresh)) {
        link = &o->elements[*link].sibling;
    }
    o->elements[fresh].sibling = *link;
    *link = fresh;
}

static uint64_t
maximal (const struct oracle *o, uint64_t set)
{
    uint64_t below = 0;
    for (uint32_t i = 0; i < ENTRIES_MAX; i++) {
        if ((set >> i & 1) != 0) {
            below |= o->past[i] & ~((uint64_t) 1 << i);
        }
    }
    return set & ~below;
}

/* An entry at a version with a few ops, of which many are deletions and many at one place. */
static void
add_random_entry (struct oracle *o, struct weir_rand *r, uint32_t agent, uint64_t version,
                  uint64_t ops_max)
{
    struct walk_history *h = o->history;
    uint32_t parents[ENTRIES_MAX];
    uint32_t n_parents = 0;
    uint32_t number = (uint32_t) h->count;
    uint64_t heads = maximal (o, version);
    for (uint32_t i = 0; i < number; i++) {
        if ((heads >> i & 1) != 0) {
            parents[n_parents++] = i;
        }
    }
    (void) walk_add_entry (h, agent, weir_rand_below (r, 1000) * 100 + number, parents, n_parents);
    o->past[number] = version | (uint64_t) 1 << number;
    for (uint64_t n = 1 + weir_rand_below (r, ops_max); n > 0; n--) {
        oracle_look (o, o->past[number]);
        uint32_t length = o->n_visible;
        uint32_t count = 1 + (uint32_t) weir_rand_below (r, 4);
        uint32_t at = (uint32_t) weir_rand_below (r, length + 1);
        if (weir_rand_below (r, 3) == 0) {
            at = length / 2;
        }
        if (weir_rand_below (r, 5) < 2 && at < length) {
            count = count < length - at ? count : length - at;
            for (uint32_t k = 0; k < count; k++) {
                uint32_t hit = o->list[o->visible[at + k]];
                o->elements[hit].deleted_by |= (uint64_t) 1 << number;
            }
            walk_add_delete (h, at, count);
        } else {
            struct weir_buf text = { 0 };
            for (uint32_t k = 0; k < count; k++) {
                uint32_t point = FIRST_POINT + (uint32_t) h->text_len + k;
                weir_buf_put_u8 (&text, (uint8_t) (0xe0 | point >> 12));
                weir_buf_put_u8 (&text, (uint8_t) (0x80 | (point >> 6 & 0x3f)));
                weir_buf_put_u8 (&text, (uint8_t) (0x80 | (point & 0x3f)));
                oracle_insert (o, o->past[number], number, at + k, point);
            }
            walk_add_insert (h, at, weir_buf_bytes (&text));
            weir_buf_fini (&text);
        }
    }
}

/* 2..4 authors who hear of each other now and then, and sometimes write from a copy that is
 * behind: then an author is concurrent with himself. */
static void
random_history (struct oracle *o, struct walk_history *h, uint64_t seed)
{
    struct weir_rand r;
    uint64_t known[4] = { 0 };
    weir_rand_init (&r, seed);
    *h = (struct walk_history){ 0 };
    o->history = h;
    o->count = 1;
    o->elements[0] = (struct element){ .child = { NO_ELEMENT, NO_ELEMENT }, .sibling = NO_ELEMENT };
    uint64_t authors = 2 + weir_rand_below (&r, 3);
    /* One in 25 has few entries, and so many ops in each that the tree grows high. */
    bool large = seed % 25 == 0;
    uint64_t count = 2 + weir_rand_below (&r, large ? 6 : ENTRIES_MAX - 2);
    uint64_t ops_max = large ? 400 : 3;
    uint64_t talk = 1 + weir_rand_below (&r, 4);
    while (h->count < count) {
        uint32_t author = (uint32_t) weir_rand_below (&r, authors);
        uint64_t version = known[author];
        if (weir_rand_below (&r, talk) == 0) {
            known[author] |= known[weir_rand_below (&r, authors)];
            version = known[author];
        }
        if (weir_rand_below (&r, 6) == 0 && h->count > 0) {
            version = o->past[weir_rand_below (&r, h->count)];
            version |= o->past[weir_rand_below (&r, h->count)];
        }
        add_random_entry (o, &r, author, version, ops_max);
        known[author] |= o->past[h->count - 1];
    }
    oracle_look (o, UINT64_MAX);
    for (uint32_t i = 0; i < o->n_visible; i++) {
        weir_grow (&h->end, &h->end_cap, h->end_len + 1, sizeof *h->end);
        h->end[h->end_len++] = o->elements[o->list[o->visible[i]]].text;
    }
    walk_index (h);
}

/* The text of an inserted event. */
static uint32_t
event_text (const struct walk_history *h, uint32_t event)
{
    const struct walk_entry *e = &h->entries[h->of_event[event]];
    for (uint32_t k = 0; k < e->n_ops; k++) {
        const struct walk_op *op = &h->ops[e->first_op + k];
        if (op->inserted > 0 && event - op->event < op->inserted) {
            return h->text[op->text + (event - op->event)];
        }
    }
    return 0;
}

/* What the tracker says about the end, element by element. */
static void
assert_answers (struct oracle *o)
{
    const struct walk_history *h = o->history;
    struct walk_doc doc = { .history = h, .graph = walk_graph (h) };
    uint32_t at[ELEMENTS_MAX];
    uint32_t at_hand = 0;
    walk_start_tracker (&doc, WEIR_GRAPH_NONE, 0);
    for (uint32_t i = 0; i < h->count; i++) {
        walk_apply_tracked (&doc, i);
        oracle_look (o, o->past[i]);
        at_hand = weir_tracker_length (doc.tracker);
        assert_int_equal (at_hand, o->n_visible);
    }
    oracle_look (o, UINT64_MAX);
    assert_int_equal (weir_tracker_end_length (doc.tracker), o->n_visible);
    for (uint32_t i = 0, k = 0; i < o->n_list; i++) {
        at[o->elements[o->list[i]].text - FIRST_POINT] = k;
        k += k < o->n_visible && o->visible[k] == i;
    }
    for (uint32_t event = 0; event < h->events; event++) {
        uint32_t text = event_text (h, event);
        uint32_t got = 0;
        if (text == 0) {
            continue;
        }
        bool there = weir_tracker_find (doc.tracker, event, &got);
        assert_int_equal (got, at[text - FIRST_POINT]);
        assert_true (!there || weir_tracker_at (doc.tracker, got) == event);
    }
    uint64_t i = 0;
    uint32_t event = 0;
    uint32_t count = 0;
    uint32_t n = 0;
    while (weir_tracker_next (doc.tracker, &i, &event, &count)) {
        for (uint32_t k = 0; k < count; k++) {
            assert_true (n < h->end_len && event_text (h, event + k) == h->end[n]);
            n++;
        }
    }
    assert_int_equal (n, h->end_len);
    assert_false (weir_tracker_next (doc.tracker, &i, &event, &count));
    weir_graph_destroy (&doc.graph);
    walk_doc_fini (&doc);
}

static void
test_random (void **state)
{
    (void) state;
    struct oracle *o = weir_alloc (sizeof *o);
    for (uint64_t n = 1; n <= 301; n++) {
        /* The last one of 20,000: a border between spans moves where they are siblings. */
        uint64_t seed = n <= 300 ? n : 2028;
        struct walk_history h;
        struct weir_rand r;
        random_history (o, &h, seed);
        assert_ends (&h, "seed", seed);
        assert_answers (o);
        weir_rand_init (&r, seed);
        for (size_t k = 0; k < 3; k++) {
            struct walk_history other;
            uint32_t *order = random_order (&h, &r);
            walk_renumber (&h, order, &other);
            assert_ends (&other, "renumbered seed", seed);
            walk_history_fini (&other);
            free (order);
        }
        walk_history_fini (&h);
    }
    free (o);
}

/* The plain tree agrees with the authors' cases too, so it is the same order. */
static void
test_tree_conforms (void **state)
{
    json_t *cases = walk_load ("conformance-1.json.gz");
    (void) state;
    if (cases == NULL) {
        print_message ("skipped: no conformance-1.json.gz under WEIR_TRACES\n");
        skip ();
    }
    struct oracle *o = weir_alloc (sizeof *o);
    size_t i;
    size_t fit = 0;
    json_t *raw;
    json_array_foreach (cases, i, raw)
    {
        struct walk_history h;
        walk_read_raw (&h, raw);
        o->history = &h;
        o->count = 1;
        o->elements[0] =
            (struct element){ .child = { NO_ELEMENT, NO_ELEMENT }, .sibling = NO_ELEMENT };
        bool fits = h.count <= ENTRIES_MAX;
        for (uint32_t k = 0; fits && k < h.count; k++) {
            const struct walk_entry *e = &h.entries[k];
            o->past[k] = (uint64_t) 1 << k;
            for (uint32_t p = 0; p < e->n_parents; p++) {
                o->past[k] |= o->past[e->parents[p]];
            }
            for (uint32_t n = 0; n < e->n_ops; n++) {
                const struct walk_op *op = &h.ops[e->first_op + n];
                oracle_look (o, o->past[k]);
                for (uint32_t d = 0; d < op->deleted; d++) {
                    uint32_t hit = o->list[o->visible[op->at + d]];
                    o->elements[hit].deleted_by |= (uint64_t) 1 << k;
                }
                for (uint32_t d = 0; d < op->inserted; d++) {
                    oracle_insert (o, o->past[k], k, op->at + d, h.text[op->text + d]);
                }
            }
        }
        oracle_look (o, UINT64_MAX);
        for (uint32_t k = 0; fits && k < o->n_visible; k++) {
            assert_int_equal (o->elements[o->list[o->visible[k]]].text, h.end[k]);
        }
        fit += fits && o->n_visible == h.end_len;
        walk_history_fini (&h);
    }
    assert_true (fit > 400);
    free (o);
    json_decref (cases);
}

/* ---- one version, large ---- */

struct deleted {
    uint32_t *items;
    size_t *count;
};

static void
delete_there (void *context, uint32_t at, uint32_t count)
{
    const struct deleted *d = context;
    assert_true (at + (size_t) count <= *d->count);
    memmove (d->items + at, d->items + at + count, (*d->count - at - count) * sizeof *d->items);
    *d->count -= count;
}

static int
compare_numbers (void *context, uint32_t a, uint32_t b)
{
    (void) context;
    return a < b ? -1 : a > b;
}

/* Thousands of edits in one version are those of an array; taken back they leave what was there,
 * and brought again what they made. The tree grows to several levels on the way. */
static void
test_array (void **state)
{
    (void) state;
    enum { BASE = 5000, EDITS = 20000 };
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct weir_rand r;
        uint32_t *items = weir_alloc ((BASE + 4 * EDITS) * sizeof *items);
        size_t count = BASE;
        struct deleted deleted = { items, &count };
        struct weir_tracker *t = weir_tracker_new (BASE, compare_numbers, NULL);
        /* Numbers come from above downwards in odd runs, from below in even ones. */
        uint32_t event = seed % 2 == 0 ? 7 : 1000000;
        uint32_t *first = weir_alloc (EDITS * sizeof *first);
        uint32_t *length = weir_alloc (EDITS * sizeof *length);
        weir_rand_init (&r, seed);
        for (uint32_t i = 0; i < BASE; i++) {
            items[i] = WEIR_TRACKER_BASE + i;
        }
        for (uint32_t e = 0; e < EDITS; e++) {
            uint32_t n = 1 + (uint32_t) weir_rand_below (&r, 4);
            uint32_t at = (uint32_t) weir_rand_below (&r, count + 1);
            event = seed % 2 == 0 ? event : event - n;
            if (weir_rand_below (&r, 3) == 0 && at < count) {
                uint32_t less = n < count - at ? n : (uint32_t) count - at;
                event += seed % 2 == 0 ? 0 : n - less;
                n = less;
                weir_tracker_delete (t, event, n, at, delete_there, &deleted);
            } else {
                uint32_t end_at = UINT32_MAX;
                weir_tracker_insert (t, event, n, at, &end_at);
                assert_int_equal (end_at, at);
                memmove (items + at + n, items + at, (count - at) * sizeof *items);
                for (uint32_t k = 0; k < n; k++) {
                    items[at + k] = event + k;
                }
                count += n;
            }
            first[e] = event;
            length[e] = n;
            event += seed % 2 == 0 ? n : 0;
            assert_int_equal (weir_tracker_length (t), count);
        }
        for (unsigned round = 0; round < 3; round++) {
            for (uint32_t i = 0; i < count; i++) {
                uint32_t at = 0;
                assert_int_equal (weir_tracker_at (t, i), items[i]);
                assert_true (weir_tracker_find (t, items[i], &at) && at == i);
            }
            for (uint32_t e = EDITS; round < 2 && e-- > 0;) {
                weir_tracker_retreat (t, first[e], length[e]);
            }
            assert_int_equal (weir_tracker_length (t), round < 2 ? BASE : count);
            for (uint32_t e = 0; round < 2 && e < EDITS; e++) {
                weir_tracker_advance (t, first[e], length[e]);
            }
            assert_int_equal (weir_tracker_length (t), count);
        }
        assert_true (weir_tracker_memory_bytes (t) < EDITS * 120);
        weir_tracker_destroy (&t);
        free (items);
        free (first);
        free (length);
    }
}

/* ---- hostile ---- */

static void
count_deleted (void *context, uint32_t at, uint32_t count)
{
    uint64_t *sum = context;
    (void) at;
    *sum += count;
}

/* The longest placeholder, deleted whole by a hundred entries at once, each a few bytes on the
 * wire; what they cost must not be in proportion to what they name. */
static void
test_giant_deletions (void **state)
{
    (void) state;
    enum { ENTRIES = 100, SIZE = 1 << 24 };
    struct weir_tracker *t = weir_tracker_new (WEIR_TRACKER_BASE - 1, compare_numbers, NULL);
    uint64_t sum = 0;
    uint32_t end_at = 0;
    for (uint32_t i = 0; i < ENTRIES; i++) {
        weir_tracker_delete (t, i * SIZE + 3, SIZE, 77, count_deleted, &sum);
        assert_int_equal (weir_tracker_length (t), WEIR_TRACKER_BASE - 1 - SIZE);
        weir_tracker_retreat (t, i * SIZE + 3, SIZE);
        assert_int_equal (weir_tracker_length (t), WEIR_TRACKER_BASE - 1);
    }
    assert_int_equal (sum, SIZE);
    assert_int_equal (weir_tracker_end_length (t), WEIR_TRACKER_BASE - 1 - SIZE);
    assert_true (weir_tracker_memory_bytes (t) < 96u << 20);
    for (uint32_t i = 0; i < ENTRIES; i++) {
        weir_tracker_advance (t, i * SIZE + 3, SIZE);
    }
    weir_tracker_retreat (t, 512, SIZE / 2);
    weir_tracker_advance (t, 512, SIZE / 2);
    assert_int_equal (weir_tracker_length (t), WEIR_TRACKER_BASE - 1 - SIZE);
    assert_false (weir_tracker_find (t, WEIR_TRACKER_BASE + 80, &end_at));
    assert_int_equal (end_at, 77);
    /* The last numbers there are, at the very end. */
    weir_tracker_insert (t, WEIR_TRACKER_BASE - 2, 2, weir_tracker_length (t), &end_at);
    assert_int_equal (end_at, WEIR_TRACKER_BASE - 1 - SIZE);
    assert_int_equal (weir_tracker_at (t, end_at + 1), WEIR_TRACKER_BASE - 1);
    weir_tracker_destroy (&t);
    weir_tracker_destroy (&t);
}

/* Two who cut the same placeholder in different places; pieces come one after the other, as the
 * text is when the one before is gone. */
static void
test_delete_across (void **state)
{
    (void) state;
    enum { BASE = 40 };
    uint32_t items[BASE + 8];
    size_t count = BASE;
    struct deleted deleted = { items, &count };
    uint32_t end_at = 0;
    struct weir_tracker *t = weir_tracker_new (BASE, compare_numbers, NULL);
    for (uint32_t i = 0; i < BASE; i++) {
        items[i] = WEIR_TRACKER_BASE + i;
    }
    for (uint32_t i = 0; i < 5; i++) { /* every eighth, and back */
        weir_tracker_delete (t, i, 1, 7 * i + 3, delete_there, &deleted);
    }
    weir_tracker_retreat (t, 0, 5);
    weir_tracker_insert (t, 100, 3, 20, &end_at);
    assert_int_equal (end_at, 17); /* 3, 11 and 19 are gone */
    memmove (items + 20, items + 17, (count - 17) * sizeof *items);
    items[17] = 100;
    items[18] = 101;
    items[19] = 102;
    count += 3;
    weir_tracker_retreat (t, 100, 3);
    /* Placeholder 2 .. 31 through four of the five, around what another put there. */
    weir_tracker_delete (t, 200, 30, 2, delete_there, &deleted);
    assert_int_equal (weir_tracker_length (t), 10);
    uint32_t left[] = { 0, 1, 100, 101, 102, 32, 33, 34, 36, 37, 38, 39 };
    assert_int_equal (count, sizeof left / sizeof left[0]);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t wanted = left[i] < BASE ? WEIR_TRACKER_BASE + left[i] : left[i];
        assert_int_equal (items[i], wanted);
        assert_int_equal (weir_tracker_at (t, i), wanted);
    }
    weir_tracker_advance (t, 100, 3);
    weir_tracker_advance (t, 0, 5);
    assert_int_equal (weir_tracker_length (t), weir_tracker_end_length (t));
    assert_int_equal (weir_tracker_end_length (t), count);
    weir_tracker_destroy (&t);
}

static void
test_nothing (void **state)
{
    (void) state;
    struct weir_tracker *t = weir_tracker_new (0, compare_numbers, NULL);
    uint64_t i = 0;
    uint32_t event = 0;
    uint32_t count = 0;
    uint32_t end_at = 9;
    assert_int_equal (weir_tracker_length (t), 0);
    assert_false (weir_tracker_next (t, &i, &event, &count));
    weir_tracker_insert (t, 5, 0, 0, &end_at);
    weir_tracker_delete (t, 5, 0, 0, NULL, NULL);
    weir_tracker_retreat (t, 5, 0);
    assert_int_equal (end_at, 0);
    assert_int_equal (weir_tracker_end_length (t), 0);
    weir_tracker_insert (t, 0, 2, 0, &end_at);
    weir_tracker_delete (t, 2, 2, 0, NULL, NULL);
    i = 0;
    assert_false (weir_tracker_next (t, &i, &event, &count));
    weir_tracker_destroy (&t);
}

/* ---- real histories ---- */

static void
test_traces (void **state)
{
    (void) state;
    static const char *const names[] = { "git-makefile.json.gz", "friendsforever.json.gz" };
    for (size_t i = 0; i < 2; i++) {
        json_t *json = walk_load (names[i]);
        struct walk_history h;
        struct walk_doc doc;
        if (json == NULL) {
            print_message ("skipped: no %s under WEIR_TRACES\n", names[i]);
            skip ();
        }
        if (i == 0) {
            walk_read_raw (&h, json);
        } else {
            walk_read_concurrent (&h, json);
        }
        json_decref (json);
        replay (&h, WHOLE, &doc);
        assert_true (walk_text_is_end (&doc));
        weir_graph_destroy (&doc.graph);
        walk_doc_fini (&doc);
        replay (&h, KEEP, &doc);
        assert_true (walk_text_is_end (&doc));
        weir_graph_destroy (&doc.graph);
        walk_doc_fini (&doc);
        walk_history_fini (&h);
    }
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_nothing),       cmocka_unit_test (test_delete_across),
        cmocka_unit_test (test_array),         cmocka_unit_test (test_giant_deletions),
        cmocka_unit_test (test_random),        cmocka_unit_test (test_conformance),
        cmocka_unit_test (test_tree_conforms), cmocka_unit_test (test_traces),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
