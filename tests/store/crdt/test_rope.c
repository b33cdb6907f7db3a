/* Goal: the rope against an array of entities: random insertions, deletions, hiding and numbering,
 * looked up in every unit afterwards; every node counts what is below it; text is cut at
 * characters; trees grow, shrink to nothing and grow again. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/crdt/rope.h"

#include "store/base/rand.h"

#define ENTITIES_MAX 20000u

struct entity {
    uint32_t event;
    uint32_t content;
    uint32_t bytes; /* 0: no text */
    bool hidden;
};

struct world {
    struct weir_rand rand;
    struct rope rope;
    struct weir_buf text;
    struct entity *entities;
    uint32_t count;
    uint32_t next_event;
    uint32_t next_content;
    bool is_text;
};

static const char *const scalars[] = { "a", "z", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x99\x82" };

static uint32_t
below (struct world *w, uint32_t n)
{
    return (uint32_t) weir_rand_below (&w->rand, n);
}

static void
model_insert (struct world *w, uint32_t at, const struct entity *entity)
{
    memmove (&w->entities[at + 1], &w->entities[at], (w->count - at) * sizeof *w->entities);
    w->entities[at] = *entity;
    w->count++;
}

/* Text of one span: `rare` of a hundred characters are not ASCII. */
static void
insert_text (struct world *w, uint32_t at, uint32_t count, uint32_t rare)
{
    struct rope_span span = { .event = w->next_event, .content = (uint32_t) w->text.len };
    for (uint32_t i = 0; i < count; i++) {
        const char *c = scalars[below (w, 100) < rare ? 2 + below (w, 3) : below (w, 2)];
        struct entity entity = { .event = w->next_event + i,
                                 .content = (uint32_t) w->text.len,
                                 .bytes = (uint32_t) strlen (c) };
        model_insert (w, at + i, &entity);
        weir_buf_put (&w->text, c, strlen (c));
        span.astral = (uint16_t) (span.astral + (strlen (c) == 4));
    }
    span.count = count;
    span.bytes = (uint32_t) w->text.len - span.content;
    weir_rope_insert (&w->rope, w->text.data, at, &span);
    w->next_event += count;
}

static void
insert_numbers (struct world *w, uint32_t at, uint32_t count, bool hidden, bool known)
{
    struct rope_span span = { .event = known ? w->next_event : ROPE_NONE,
                              .count = count,
                              .content = w->next_content,
                              .hidden = hidden };
    for (uint32_t i = 0; i < count; i++) {
        struct entity entity = { .event = known ? w->next_event + i : ROPE_NONE,
                                 .content = w->next_content + i,
                                 .hidden = hidden };
        model_insert (w, at + i, &entity);
    }
    weir_rope_insert (&w->rope, w->text.data, at, &span);
    w->next_event += known ? count : 1;
    w->next_content += count;
}

static void delete (struct world *w, uint32_t at, uint32_t count)
{
    weir_rope_delete (&w->rope, w->text.data, at, count);
    w->count -= count;
    memmove (&w->entities[at], &w->entities[at + count], (w->count - at) * sizeof *w->entities);
}

static void
step (struct world *w, uint32_t grow)
{
    uint32_t at = below (w, w->count + 1);
    uint32_t what = below (w, 100);
    uint32_t count = below (w, 8) == 0 ? 1 + below (w, 60) : 1 + below (w, 4);
    if (what < grow && w->count + count < ENTITIES_MAX) {
        if (w->is_text && below (w, 20) > 0) {
            insert_text (w, at, count, below (w, 4) == 0 ? 30 : 0);
        } else {
            insert_numbers (w, at, w->is_text ? 1 : count, w->is_text || below (w, 3) == 0,
                            below (w, 4) > 0);
        }
    } else if (what < 95 && w->count > 0) {
        at = below (w, w->count);
        count = count < w->count - at ? count : w->count - at;
        delete (w, at, count);
    } else if (w->count > 0) {
        at = below (w, w->count);
        if (!w->is_text) {
            bool hidden = below (w, 2);
            weir_rope_hide (&w->rope, at, hidden);
            w->entities[at].hidden = hidden;
        }
        uint32_t got = weir_rope_assign (&w->rope, w->text.data, at, w->next_event, count);
        assert_true (got > 0 && got <= count);
        for (uint32_t i = 0; i < got; i++) {
            w->entities[at + i].event = w->next_event + i;
        }
        w->next_event += got;
    }
}

static struct rope_counts
counts_of (const struct entity *e)
{
    return (struct rope_counts){ 1, e->hidden ? 0 : 1, e->bytes, e->bytes == 4 };
}

/* Every node's counts are those of its children. */
static void
check_nodes (const struct rope *rope)
{
    struct rope_counts sum = { 0 };
    uint32_t leaves = 0;
    uint32_t last = ROPE_NONE;
    if (rope->leaf_count == 0) {
        return;
    }
    uint32_t leaf = rope->root;
    for (uint32_t level = rope->height; level > 0; level--) {
        leaf = rope->nodes[leaf].child[0];
    }
    for (; leaf != ROPE_NONE; leaf = rope->leaves[leaf].next) {
        const struct rope_leaf *l = &rope->leaves[leaf];
        struct rope_counts own = { 0 };
        for (uint32_t i = 0; i < l->count; i++) {
            const struct rope_span *s = &l->spans[i];
            own.entities += s->count;
            own.visible += s->hidden ? 0 : s->count;
            own.bytes += s->bytes;
            own.astral += s->astral;
            assert_true (s->count > 0);
            assert_true (s->bytes == s->count || s->count <= ROPE_MIXED_MAX || s->bytes == 0);
        }
        assert_true (l->count > 0 || rope->height == 0);
        assert_int_equal (l->prev, last);
        if (rope->height > 0) {
            assert_memory_equal (&own, &rope->nodes[l->parent].counts[l->slot], sizeof own);
            assert_int_equal (rope->nodes[l->parent].child[l->slot], leaf);
        }
        sum.entities += own.entities;
        sum.visible += own.visible;
        sum.bytes += own.bytes;
        sum.astral += own.astral;
        last = leaf;
        leaves++;
    }
    assert_int_equal (last, rope->last);
    assert_memory_equal (&sum, &rope->total, sizeof sum);
    assert_true (leaves <= rope->leaf_count);
}

/* All entities, read through. */
static void
check_all (struct world *w)
{
    struct rope_spot spot;
    uint32_t at = 0;
    check_nodes (&w->rope);
    assert_int_equal (w->rope.total.entities, w->count);
    for (bool more = weir_rope_find (&w->rope, ROPE_ENTITIES, 0, &spot); more;
         more = weir_rope_next (&w->rope, &spot)) {
        const struct rope_span *s = weir_rope_at (&w->rope, &spot);
        uint32_t bytes = 0;
        assert_int_equal (spot.before.entities, at);
        for (uint32_t i = 0; i < s->count; i++, at++) {
            const struct entity *e = &w->entities[at];
            assert_int_equal (s->hidden, e->hidden);
            assert_int_equal (s->event == ROPE_NONE ? ROPE_NONE : s->event + i, e->event);
            assert_int_equal (e->bytes > 0 ? s->content + bytes : s->content + i, e->content);
            bytes += e->bytes;
        }
        assert_int_equal (s->bytes, bytes);
    }
    assert_int_equal (at, w->count);
}

/* Some places, found in every unit. */
static void
check_units (struct world *w)
{
    struct rope_counts before = { 0 };
    struct rope_spot spot;
    for (uint32_t i = 0; i < w->count; i++) {
        const struct entity *e = &w->entities[i];
        for (enum rope_unit unit = ROPE_ENTITIES; unit <= ROPE_UTF16; unit++) {
            bool counts = unit == ROPE_ENTITIES || (unit == ROPE_BYTES ? e->bytes > 0 : !e->hidden);
            if (!counts || below (w, w->count / 64 + 1) > 0) {
                continue;
            }
            assert_true (weir_rope_find (&w->rope, unit, weir_rope_measure (&before, unit), &spot));
            const struct rope_span *s = weir_rope_at (&w->rope, &spot);
            assert_int_equal (weir_rope_measure (&spot.before, unit) + spot.offset,
                              weir_rope_measure (&before, unit));
            assert_true (spot.before.entities <= i && i < spot.before.entities + s->count);
        }
        struct rope_counts c = counts_of (e);
        before.entities += c.entities;
        before.visible += c.visible;
        before.bytes += c.bytes;
        before.astral += c.astral;
    }
    for (enum rope_unit unit = ROPE_ENTITIES; unit <= ROPE_UTF16; unit++) {
        assert_false (weir_rope_find (&w->rope, unit, weir_rope_measure (&before, unit), &spot));
        assert_memory_equal (&spot.before, &before, sizeof before);
    }
}

static void
play (bool is_text, uint64_t seed)
{
    struct world w = { .is_text = is_text };
    weir_rand_init (&w.rand, seed);
    w.entities = weir_alloc (ENTITIES_MAX * sizeof *w.entities);
    for (uint32_t phase = 0; phase < 6; phase++) {
        for (uint32_t i = 0; i < 1500; i++) {
            step (&w, phase % 2 == 0 ? 85 : 30);
            if (i % 500 == 0) {
                check_all (&w);
                check_units (&w);
            }
        }
    }
    while (w.count > 0) {
        uint32_t at = below (&w, w.count);
        uint32_t left = w.count - at;
        delete (&w, at, left > 400 ? 400 : left);
        check_all (&w);
    }
    assert_int_equal (w.rope.height, 0);
    assert_true (weir_rope_memory_bytes (&w.rope) > 0);
    for (uint32_t i = 0; i < 300; i++) {
        step (&w, 90);
    }
    check_all (&w);
    weir_rope_fini (&w.rope);
    weir_buf_fini (&w.text);
    free (w.entities);
}

static void
test_numbers (void **state)
{
    (void) state;
    for (uint64_t seed = 1; seed <= 2; seed++) {
        play (false, seed);
    }
}

static void
test_text (void **state)
{
    (void) state;
    for (uint64_t seed = 1; seed <= 2; seed++) {
        play (true, seed);
    }
}

/* Typing on and backspaces leave one span. */
static void
test_typing_is_one_span (void **state)
{
    (void) state;
    struct world w = { .is_text = true };
    w.entities = weir_alloc (ENTITIES_MAX * sizeof *w.entities);
    weir_rand_init (&w.rand, 1);
    for (uint32_t i = 0; i < 5000; i++) {
        insert_text (&w, i, 1, 0);
    }
    assert_int_equal (w.rope.leaves[0].count, 1);
    delete (&w, 4990, 10);
    assert_int_equal (w.rope.leaves[0].count, 1);
    /* In the middle, and out again. */
    insert_text (&w, 100, 1, 0);
    assert_int_equal (w.rope.leaves[0].count, 3);
    delete (&w, 100, 1);
    assert_int_equal (w.rope.leaves[0].count, 1);
    check_all (&w);
    weir_rope_fini (&w.rope);
    weir_buf_fini (&w.text);
    free (w.entities);
}

/* Chunks: ASCII as long as it goes, anything else up to a bound. */
static void
test_chunks (void **state)
{
    (void) state;
    struct weir_buf text = { 0 };
    struct rope_span span = { 0 };
    uint32_t astral = 0;
    for (uint32_t i = 0; i < 5000; i++) {
        weir_buf_put_u8 (&text, 'x');
    }
    for (uint32_t i = 0; i < 1500; i++) {
        weir_buf_put (&text, scalars[4], 4);
        weir_buf_put (&text, scalars[2], 2);
    }
    weir_rope_text_chunk (text.data, text.len, &span);
    assert_int_equal (span.count, 5000);
    assert_int_equal (span.bytes, 5000);
    weir_rope_text_chunk (text.data + 5000, text.len - 5000, &span);
    assert_int_equal (span.count, ROPE_MIXED_MAX);
    assert_int_equal (span.bytes, ROPE_MIXED_MAX * 3);
    assert_int_equal (span.astral, ROPE_MIXED_MAX / 2);
    weir_rope_text_chunk (text.data + 4990, text.len - 4990, &span);
    assert_int_equal (span.count, ROPE_MIXED_MAX);
    weir_rope_text_chunk (text.data, 13, &span);
    assert_int_equal (span.count, 13);
    assert_int_equal (weir_rope_text_scalars (text.data, text.len, &astral), 8000);
    assert_int_equal (astral, 1500);
    assert_int_equal (weir_rope_text_bytes (text.data, 5003), 5010);
    weir_buf_fini (&text);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_numbers),
        cmocka_unit_test (test_text),
        cmocka_unit_test (test_typing_is_one_span),
        cmocka_unit_test (test_chunks),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
