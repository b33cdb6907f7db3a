/* Goal: the event graph answers as plain sets of entries would, on random graphs with merges,
 * several roots and redundant parents; refuses what it must; stays small and quick on a long
 * line, and bounded on graphs made to hurt. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/base/rand.h"
#include "store/crdt/graph.h"

static struct weir_id
make_id (uint32_t number)
{
    struct weir_id id = { { 0 } };
    weir_store_u32 (id.b, number * 2654435761u);
    weir_store_u32 (id.b + 28, number);
    return id;
}

static uint32_t
add (struct weir_graph *graph, uint32_t name, const uint32_t *parents, size_t n_parents,
     uint32_t ops)
{
    struct weir_graph_node node = { .id = make_id (name), .ops = ops, .seq = name };
    struct weir_id ids[64];
    uint32_t number = WEIR_GRAPH_NONE;
    assert_true (n_parents <= 64);
    for (size_t i = 0; i < n_parents; i++) {
        ids[i] = make_id (parents[i]);
    }
    assert_int_equal (weir_graph_add (graph, &node, ids, n_parents, &number), WEIR_OK);
    return number;
}

/* ---- against sets ---- */

#define NODES_MAX 60u

struct plain {
    struct weir_graph *graph;
    uint32_t count;
    uint64_t past[NODES_MAX]; /* with itself */
};

static uint64_t
bit (uint32_t i)
{
    return (uint64_t) 1 << i;
}

static uint64_t
past_of (const struct plain *p, const uint32_t *version, size_t count)
{
    uint64_t set = 0;
    for (size_t i = 0; i < count; i++) {
        set |= p->past[version[i]];
    }
    return set;
}

/* Those of a set that are in no other's past. */
static uint64_t
tops (const struct plain *p, uint64_t set)
{
    uint64_t below = 0;
    for (uint32_t i = 0; i < p->count; i++) {
        below |= (set & bit (i)) != 0 ? p->past[i] & ~bit (i) : 0;
    }
    return set & ~below;
}

static void
assert_list_is (const uint32_t *items, size_t count, uint64_t set)
{
    uint32_t last = 0;
    for (size_t i = 0; i < count; i++) {
        assert_true (i == 0 || items[i] > last); /* ascending */
        last = items[i];
        assert_true ((set & bit (last)) != 0);
    }
    assert_int_equal (count, __builtin_popcountll (set));
}

static size_t
random_numbers (const struct plain *p, struct weir_rand *r, uint32_t *out)
{
    size_t count = weir_rand_below (r, 4);
    for (size_t i = 0; i < count; i++) {
        out[i] = (uint32_t) weir_rand_below (r, p->count);
    }
    return count;
}

static void
grow (struct plain *p, struct weir_rand *r, uint64_t line)
{
    uint32_t parents[4];
    size_t n = p->count == 0 ? 0 : random_numbers (p, r, parents);
    if (p->count > 0 && weir_rand_below (r, line) != 0) {
        parents[0] = p->count - 1;
        n = 1;
    } else if (n == 0 && weir_rand_below (r, 4) != 0 && p->count > 0) {
        parents[0] = (uint32_t) weir_rand_below (r, p->count);
        n = 1;
    }
    uint32_t number = add (p->graph, p->count, parents, n, (uint32_t) weir_rand_below (r, 9));
    assert_int_equal (number, p->count);
    p->past[number] = past_of (p, parents, n) | bit (number);
    p->count++;
    const struct weir_graph_node *node = weir_graph_node (p->graph, number);
    uint64_t kept = 0;
    for (uint32_t i = 0; i < node->n_parents; i++) {
        kept |= bit (node->parents[i]);
    }
    assert_true (kept == tops (p, p->past[number] & ~bit (number)));
    assert_int_equal (node->n_parents, __builtin_popcountll (kept));
    size_t n_heads = 0;
    const uint32_t *heads = weir_graph_heads (p->graph, &n_heads);
    assert_list_is (heads, n_heads, tops (p, bit (number) | (bit (number) - 1)));
}

static void
check_base (const struct plain *p, const uint32_t *version, size_t count)
{
    struct weir_numbers zone = { 0 };
    struct weir_numbers order = { 0 };
    uint64_t set = past_of (p, version, count);
    uint32_t wanted = WEIR_GRAPH_NONE;
    for (uint32_t i = 0; i < p->count; i++) {
        bool critical = (set & bit (i)) != 0;
        for (uint32_t k = 0; critical && k < p->count; k++) {
            critical =
                (set & bit (k)) == 0 || (p->past[i] & bit (k)) != 0 || (p->past[k] & bit (i)) != 0;
        }
        for (size_t k = 0; k < count; k++) {
            critical = critical && (p->past[version[k]] & bit (i)) != 0;
        }
        wanted = critical ? i : wanted;
    }
    uint32_t base = weir_graph_base (p->graph, version, count, &zone);
    assert_int_equal (base, wanted);
    assert_list_is (zone.items, zone.count, set & ~(base == WEIR_GRAPH_NONE ? 0 : p->past[base]));
    weir_graph_order (p->graph, &zone, &order);
    uint64_t out = 0;
    uint64_t zone_set = 0;
    for (size_t i = 0; i < zone.count; i++) {
        zone_set |= bit (zone.items[i]);
    }
    assert_int_equal (order.count, zone.count);
    for (size_t i = 0; i < order.count; i++) {
        uint32_t number = order.items[i];
        assert_true ((out & bit (number)) == 0);
        assert_true ((p->past[number] & zone_set & ~out) == bit (number));
        out |= bit (number);
    }
    weir_numbers_fini (&zone);
    weir_numbers_fini (&order);
}

static void
check_versions (const struct plain *p, struct weir_rand *r)
{
    uint32_t a[4];
    uint32_t b[4];
    size_t n_a = random_numbers (p, r, a);
    size_t n_b = random_numbers (p, r, b);
    uint64_t past_a = past_of (p, a, n_a);
    uint64_t past_b = past_of (p, b, n_b);
    struct weir_numbers only_a = { 0 };
    struct weir_numbers only_b = { 0 };
    weir_numbers_push (&only_a, 7);
    weir_graph_diff (p->graph, a, n_a, b, n_b, &only_a, &only_b);
    assert_list_is (only_a.items, only_a.count, past_a & ~past_b);
    assert_list_is (only_b.items, only_b.count, past_b & ~past_a);
    enum weir_graph_relation wanted = WEIR_GRAPH_EQUAL;
    if ((past_a & ~past_b) != 0) {
        wanted = (past_b & ~past_a) != 0 ? WEIR_GRAPH_CONCURRENT : WEIR_GRAPH_AFTER;
    } else if ((past_b & ~past_a) != 0) {
        wanted = WEIR_GRAPH_BEFORE;
    }
    assert_int_equal (weir_graph_compare (p->graph, a, n_a, b, n_b), wanted);
    for (uint32_t i = 0; i < p->count; i++) {
        assert_int_equal (weir_graph_contains (p->graph, a, n_a, i), (past_a & bit (i)) != 0);
    }
    weir_numbers_clear (&only_a);
    uint64_t set = 0;
    for (size_t i = 0; i < n_a; i++) {
        weir_numbers_push (&only_a, a[i]);
        set |= bit (a[i]);
    }
    weir_graph_minimize (p->graph, &only_a);
    assert_list_is (only_a.items, only_a.count, tops (p, set));
    check_base (p, a, n_a);
    check_base (p, only_a.items, only_a.count);
    weir_numbers_fini (&only_a);
    weir_numbers_fini (&only_b);
}

static void
test_random (void **state)
{
    (void) state;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct plain p = { .graph = weir_graph_new () };
        struct weir_rand r;
        weir_rand_init (&r, seed);
        uint64_t count = 1 + weir_rand_below (&r, NODES_MAX - 1);
        uint64_t line = 1 + weir_rand_below (&r, 6);
        while (p.count < count) {
            grow (&p, &r, line);
            check_versions (&p, &r);
        }
        size_t n_heads = 0;
        const uint32_t *heads = weir_graph_heads (p.graph, &n_heads);
        check_base (&p, heads, n_heads);
        for (uint32_t i = 0; i < p.count; i++) {
            struct weir_id id = make_id (i);
            check_base (&p, &i, 1);
            assert_int_equal (weir_graph_find (p.graph, &id), i);
        }
        weir_graph_destroy (&p.graph);
    }
}

/* ---- adding ---- */

static void
test_add (void **state)
{
    (void) state;
    struct weir_graph *graph = weir_graph_new ();
    struct weir_id ids[4] = { make_id (1), make_id (2), make_id (3), make_id (4) };
    struct weir_graph_node node = { .id = ids[0], .ops = 5 };
    uint32_t number = 99;
    size_t n_heads = 1;
    (void) weir_graph_heads (graph, &n_heads);
    assert_int_equal (n_heads, 0);
    assert_int_equal (weir_graph_find (graph, &ids[0]), WEIR_GRAPH_NONE);

    node.chain.author.b[0] = 1;
    assert_int_equal (weir_graph_add (graph, &node, &ids[1], 1, &number), WEIR_NOT_FOUND);
    assert_int_equal (number, 99);
    assert_int_equal (weir_graph_count (graph), 0);
    assert_int_equal (weir_graph_add (graph, &node, NULL, 0, &number), WEIR_OK);
    assert_int_equal (weir_graph_add (graph, &node, NULL, 0, &number), WEIR_CONFLICT);
    assert_int_equal (weir_graph_count (graph), 1);

    /* Another's, behind it: its own chain has no ops yet. */
    node = (struct weir_graph_node){ .id = ids[1], .ops = 3 };
    node.chain.author.b[0] = 2;
    assert_int_equal (weir_graph_add (graph, &node, ids, 1, &number), WEIR_OK);
    assert_int_equal (weir_graph_node (graph, 1)->lamport, 5);
    assert_int_equal (weir_graph_node (graph, 1)->counter, 0);

    /* The first's next, beside that one; then one behind both, prev first though it is older. */
    node = (struct weir_graph_node){ .id = ids[2], .ops = 1, .seq = 1 };
    node.chain.author.b[0] = 2;
    assert_int_equal (weir_graph_add (graph, &node, ids, 2, &number), WEIR_OK);
    assert_int_equal (weir_graph_node (graph, 2)->n_parents, 1); /* 0 is in the past of 1 */
    node = (struct weir_graph_node){ .id = ids[3], .ops = 2, .seq = 1 };
    node.chain.author.b[0] = 1;
    assert_int_equal (
        weir_graph_add (graph, &node, (struct weir_id[]){ ids[0], ids[0] }, 2, &number), WEIR_OK);
    assert_int_equal (weir_graph_node (graph, 3)->counter, 5);
    assert_int_equal (weir_graph_node (graph, 3)->n_parents, 1);
    node = (struct weir_graph_node){ .id = make_id (5), .ops = 2, .seq = 2 };
    node.chain.author.b[0] = 1;
    assert_int_equal (
        weir_graph_add (graph, &node, (struct weir_id[]){ ids[3], ids[2] }, 2, &number), WEIR_OK);
    const struct weir_graph_node *merged = weir_graph_node (graph, 4);
    assert_int_equal (merged->n_parents, 2);
    assert_int_equal (merged->parents[0], 3);
    assert_int_equal (merged->parents[1], 2);
    assert_int_equal (merged->counter, 7);
    assert_int_equal (merged->lamport, 9);
    weir_graph_destroy (&graph);
    weir_graph_destroy (&graph);
    assert_null (graph);
}

/* ---- size ---- */

static void
test_long_line (void **state)
{
    (void) state;
    enum { COUNT = 200000 };
    struct weir_graph *graph = weir_graph_new ();
    struct weir_numbers only_a = { 0 };
    struct weir_numbers only_b = { 0 };
    struct weir_numbers zone = { 0 };
    for (uint32_t i = 0; i < COUNT; i++) {
        uint32_t parent = i - 1;
        assert_int_equal (add (graph, i, &parent, i > 0, 1), i);
    }
    assert_int_equal (weir_graph_node (graph, COUNT - 1)->lamport, COUNT - 1);
    assert_true (weir_graph_memory_bytes (graph) / COUNT <= 145);
    /* Walks along a line cost what they give out: a million of them end in no time. */
    for (uint32_t i = 0; i < 1000000; i++) {
        uint32_t a = COUNT - 1 - i % 7;
        uint32_t b = i % COUNT / 2;
        assert_true (weir_graph_contains (graph, &a, 1, b));
        assert_int_equal (weir_graph_compare (graph, &a, 1, &b, 1), WEIR_GRAPH_AFTER);
        assert_int_equal (weir_graph_base (graph, &a, 1, &zone), a);
    }
    uint32_t a = 5;
    uint32_t b = COUNT - 1;
    weir_graph_diff (graph, &a, 1, &b, 1, &only_a, &only_b);
    assert_int_equal (only_a.count, 0);
    assert_int_equal (only_b.count, COUNT - 6);
    weir_graph_order (graph, &only_b, &zone);
    assert_memory_equal (zone.items, only_b.items, zone.count * sizeof *zone.items);
    weir_numbers_fini (&only_a);
    weir_numbers_fini (&only_b);
    weir_numbers_fini (&zone);
    weir_graph_destroy (&graph);
}

/* Ten thousand branches from one entry; entries that name an old parent and the newest again and
 * again; a merge of sixty. */
static void
test_wide (void **state)
{
    (void) state;
    enum { WIDTH = 10000 };
    struct weir_graph *graph = weir_graph_new ();
    struct weir_numbers zone = { 0 };
    struct weir_numbers order = { 0 };
    uint32_t parents[64] = { 0 };
    (void) add (graph, 0, NULL, 0, 1);
    for (uint32_t i = 1; i <= WIDTH; i++) {
        (void) add (graph, i, parents, 1, WIDTH - i);
    }
    size_t n_heads = 0;
    const uint32_t *heads = weir_graph_heads (graph, &n_heads);
    assert_int_equal (n_heads, WIDTH);
    assert_int_equal (weir_graph_base (graph, heads, n_heads, &zone), 0);
    assert_int_equal (zone.count, WIDTH);
    weir_graph_order (graph, &zone, &order);
    assert_int_equal (order.items[0], WIDTH); /* the shortest first */
    assert_int_equal (order.items[WIDTH - 1], 1);
    for (uint32_t i = 0; i < 60; i++) {
        parents[i] = WIDTH - i;
    }
    uint32_t merge = add (graph, WIDTH + 1, parents, 60, 1);
    assert_int_equal (weir_graph_node (graph, merge)->n_parents, 60);
    for (uint32_t i = 1; i < WIDTH; i++) {
        parents[0] = 0;
        parents[1] = merge + i - 1;
        assert_int_equal (add (graph, merge + i, parents, 2, 1), merge + i);
        assert_int_equal (weir_graph_node (graph, merge + i)->n_parents, 1);
    }
    weir_numbers_fini (&zone);
    weir_numbers_fini (&order);
    weir_graph_destroy (&graph);
}

/* Numbers beyond the stack's depth: a ladder whose rungs cross has a merge at each step, and the
 * walks must not try all ways through it. */
static void
test_ladder (void **state)
{
    (void) state;
    enum { STEPS = 2000 };
    struct weir_graph *graph = weir_graph_new ();
    struct weir_numbers zone = { 0 };
    (void) add (graph, 0, NULL, 0, 1);
    (void) add (graph, 1, NULL, 0, 1);
    for (uint32_t i = 1; i < STEPS; i++) {
        uint32_t both[2] = { 2 * i - 2, 2 * i - 1 };
        (void) add (graph, 2 * i, both, 2, 1);
        (void) add (graph, 2 * i + 1, both, 2, 1);
    }
    uint32_t top = 2 * STEPS - 1;
    uint32_t other = 2 * STEPS - 2;
    assert_true (weir_graph_contains (graph, &top, 1, 0));
    assert_false (weir_graph_contains (graph, &top, 1, other));
    uint32_t heads[2] = { other, top };
    assert_int_equal (weir_graph_base (graph, heads, 2, &zone), WEIR_GRAPH_NONE);
    assert_int_equal (zone.count, 2 * STEPS);
    assert_int_equal (weir_graph_base (graph, &top, 1, &zone), top);
    assert_int_equal (weir_graph_compare (graph, &top, 1, &other, 1), WEIR_GRAPH_CONCURRENT);
    weir_numbers_fini (&zone);
    weir_graph_destroy (&graph);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_add),       cmocka_unit_test (test_random),
        cmocka_unit_test (test_long_line), cmocka_unit_test (test_wide),
        cmocka_unit_test (test_ladder),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
