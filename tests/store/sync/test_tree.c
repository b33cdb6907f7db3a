/* Goal: in any graph of hubs and leaves every body reaches each node once, soon after the links
 * are there, and as fast as when each sent all it had; nothing flips for ever; what fails costs a
 * second at most; and whoever prunes everybody, announces what it does not send or says nonsense
 * costs others nothing but that. Whole histories with faults are the simulator's. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "tests/store/sync/tree_world.h"

/* ---- graphs ---- */

static void
triangle (struct world *w)
{
    world_init (w, 3, 3);
    world_link (w, 0, 1, 10);
    world_link (w, 1, 2, 12);
    world_link (w, 0, 2, 14);
}

static void
ring (struct world *w)
{
    world_init (w, 6, 6);
    for (unsigned i = 0; i < 6; i++) {
        world_link (w, i, (i + 1) % 6, 5 + i);
    }
}

static void
full (struct world *w, unsigned n)
{
    world_init (w, n, n);
    for (unsigned i = 0; i < n; i++) {
        for (unsigned k = i + 1; k < n; k++) {
            world_link (w, i, k, 3 + (7 * i + 11 * k) % 13);
        }
    }
}

static void
mesh_of_6 (struct world *w)
{
    full (w, 6);
}

static void
mesh_of_20 (struct world *w)
{
    full (w, 20);
}

static void
chain (struct world *w)
{
    world_init (w, 8, 8);
    for (unsigned i = 0; i + 1 < 8; i++) {
        world_link (w, i, i + 1, 4);
    }
}

static void
hub_and_leaves (struct world *w)
{
    world_init (w, 12, 1);
    for (unsigned i = 1; i < 12; i++) {
        world_link (w, 0, i, 3 + i);
    }
}

static void
two_hubs (struct world *w)
{
    world_init (w, 22, 2);
    world_link (w, 0, 1, 5);
    for (unsigned i = 2; i < 22; i++) {
        world_link (w, 0, i, 4 + i % 7);
        world_link (w, 1, i, 4 + i % 5);
    }
}

/* A leaf at both ends of a chain of hubs, and two that it shares with the middle. */
static void
far_hubs (struct world *w)
{
    world_init (w, 7, 4);
    world_link (w, 0, 1, 6);
    world_link (w, 1, 2, 6);
    world_link (w, 2, 3, 6);
    world_link (w, 4, 0, 5);
    world_link (w, 4, 3, 5);
    world_link (w, 5, 0, 5);
    world_link (w, 5, 2, 5);
    world_link (w, 6, 1, 5);
    world_link (w, 6, 3, 5);
}

/* Leaves among each other, and a hub that has them all. */
static void
leaves_too (struct world *w)
{
    world_init (w, 5, 1);
    for (unsigned i = 1; i < 5; i++) {
        world_link (w, 0, i, 6);
        world_link (w, i, i % 4 + 1, 8);
    }
}

static void
with_an_old_one (struct world *w)
{
    world_init (w, 4, 4);
    w->nodes[3].protocol = WEIR_PROTOCOL_MIN;
    for (unsigned i = 0; i < 4; i++) {
        for (unsigned k = i + 1; k < 4; k++) {
            world_link (w, i, k, 5 + i + k);
        }
    }
}

/* ---- writers ---- */

struct load {
    const char *name;
    bool all;     /* everybody writes, by turns */
    bool at_once; /* in the same millisecond, not by turns */
    uint64_t every_ms;
    unsigned warm;
};
static const struct load loads[] = {
    { "one writer", false, false, 50, 100 },
    { "by turns", true, false, 20, 150 },
    { "all at once", true, true, 100, 20 },
    { "a stream", true, false, 1, 400 },
};

static void
write_some (struct world *w, const struct load *load, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        for (unsigned k = 0; k < w->n; k++) {
            if (load->at_once || k == (load->all ? i % w->n : 0)) {
                world_commit (w, k, 1);
            }
        }
        world_run (w, load->every_ms);
    }
}

struct sums {
    uint64_t fresh, again, announced, grafts, latest_ms;
};

static struct sums
sum (const struct world *w)
{
    struct sums s = { 0 };
    for (unsigned i = 0; i < w->n; i++) {
        s.fresh += w->nodes[i].fresh;
        s.again += w->nodes[i].again;
        s.announced += w->nodes[i].announced;
        s.grafts += w->nodes[i].grafts;
        s.latest_ms = w->nodes[i].latest_ms > s.latest_ms ? w->nodes[i].latest_ms : s.latest_ms;
    }
    return s;
}

static uint64_t
ladders (const struct world *w)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < w->n; i++) {
        struct weir_sync_counters c;
        weir_sync_counters (w->nodes[i].sync, &c);
        n += c.ladders;
    }
    return n;
}

struct graph {
    const char *name;
    void (*make) (struct world *w);
    uint64_t latest_ms; /* the longest way, with disks and bursts that wait for acknowledgements */
    bool is_large;      /* the first loads only: it takes long */
};
static const struct graph graphs[] = {
    { "triangle", triangle, 60, false },
    { "ring of 6", ring, 100, false },
    { "mesh of 6", mesh_of_6, 60, false },
    { "mesh of 20", mesh_of_20, 60, true },
    { "chain of 8", chain, 100, false },
    { "hub with leaves", hub_and_leaves, 60, false },
    { "two hubs, 20 leaves", two_hubs, 60, true },
    { "far hubs", far_hubs, 80, false },
    { "leaves too", leaves_too, 60, false },
    { "one of protocol 1", with_an_old_one, 60, false },
};

static void
check_bodies (const struct graph *graph, const struct load *load)
{
    struct world *w = weir_alloc (sizeof *w);
    graph->make (w);
    world_run (w, 3000);
    write_some (w, load, load->warm);
    world_forget (w);
    write_some (w, load, load->at_once ? 40 : 200);
    world_run (w, 2000);
    struct sums s = sum (w);
    if (!world_equal (w) || s.again * 20 > s.fresh || s.latest_ms > graph->latest_ms
        || ladders (w) > 0) {
        fail_msg ("%s, %s: %llu again of %llu, the latest %llu ms, %llu ladders, %s", graph->name,
                  load->name, (unsigned long long) s.again, (unsigned long long) s.fresh,
                  (unsigned long long) s.latest_ms, (unsigned long long) ladders (w),
                  world_equal (w) ? "equal" : "they differ");
    }
    /* Silence: all know of all that they are equal. */
    uint64_t before = s.announced + s.grafts;
    world_run (w, 5000);
    s = sum (w);
    assert_true (s.announced + s.grafts == before);
    for (unsigned i = 0; i < w->n; i++) {
        struct weir_sync_state state;
        for (size_t k = 0; weir_sync_state (w->nodes[i].sync, k, &state); k++) {
            if (state.phase != WEIR_SYNC_EQUAL) {
                fail_msg ("%s, %s: node %u is in phase %d with %u", graph->name, load->name, i,
                          (int) state.phase, world_index (&state.device));
            }
        }
    }
    world_fini (w);
    free (w);
}

static void
test_bodies (void **state)
{
    (void) state;
    for (size_t g = 0; g < sizeof graphs / sizeof graphs[0]; g++) {
        for (size_t l = 0; l < (graphs[g].is_large ? 2 : sizeof loads / sizeof loads[0]); l++) {
            check_bodies (&graphs[g], &loads[l]);
        }
    }
}

/* ---- what fails ---- */

/* A mesh in which all write, and then one of them is gone. */
static void
lose_one (bool hung, void (*make) (struct world *w), uint64_t latest_ms)
{
    static const struct load by_turns = { "by turns", true, false, 20, 0 };
    struct world *w = weir_alloc (sizeof *w);
    make (w);
    world_run (w, 3000);
    write_some (w, &by_turns, 100);
    world_forget (w);
    if (hung) {
        w->nodes[0].hung = true;
    } else {
        for (unsigned i = 1; i < w->n; i++) {
            world_cut (w, 0, i);
        }
    }
    for (unsigned i = 0; i < 100; i++) {
        world_commit (w, 1 + i % (w->n - 1), 1);
        world_run (w, 20);
    }
    world_run (w, 1500);
    for (unsigned i = 2; i < w->n; i++) {
        for (unsigned author = 1; author < w->n; author++) {
            assert_int_equal (w->nodes[i].counts[author], w->nodes[1].counts[author]);
        }
        if (w->nodes[i].latest_ms > latest_ms) {
            fail_msg ("%u of %u got something %llu ms late, hung %d", i, w->n,
                      (unsigned long long) w->nodes[i].latest_ms, hung);
        }
    }
    /* And when it is back, all is as before. */
    w->nodes[0].hung = false;
    for (unsigned i = 1; i < w->n; i++) {
        world_cut (w, 0, i);
        if (w->latency_ms[0][i] > 0) {
            world_link (w, 0, i, w->latency_ms[0][i]);
        }
    }
    world_run (w, 5000);
    assert_true (world_equal (w));
    write_some (w, &by_turns, 150);
    world_forget (w);
    write_some (w, &by_turns, 100);
    world_run (w, 1000);
    struct sums s = sum (w);
    assert_true (world_equal (w));
    assert_true (s.again * 20 <= s.fresh);
    world_fini (w);
    free (w);
}

static void
test_supplier_goes (void **state)
{
    (void) state;
    lose_one (false, mesh_of_6, 400);
    lose_one (false, ring, 400);
    lose_one (false, two_hubs, 400);
    lose_one (true, mesh_of_6, 1200);
    lose_one (true, two_hubs, 1200);
}

/* A leaf between two hubs that know nothing of each other: what it writes reaches both, the second
 * a moment later at first, and by itself from then on; when one goes, the other has it all. */
static void
test_leaf_of_two_worlds (void **state)
{
    (void) state;
    static const struct load mine = { "one writer", false, false, 30, 0 };
    struct world *w = weir_alloc (sizeof *w);
    world_init (w, 3, 3);
    /* The leaf is node 0: roles are by hand. */
    weir_sync_destroy (&w->nodes[0].sync);
    w->nodes[0].role = WEIR_ROLE_LEAF;
    w->nodes[0].sync = world_new_sync (0, WEIR_ROLE_LEAF);
    world_link (w, 0, 1, 5);
    world_link (w, 0, 2, 5);
    world_run (w, 2000);
    write_some (w, &mine, 20);
    assert_true (w->nodes[1].latest_ms < 50 || w->nodes[2].latest_ms < 50);
    world_forget (w);
    write_some (w, &mine, 20);
    world_run (w, 200);
    assert_true (w->nodes[1].latest_ms < 50 && w->nodes[2].latest_ms < 50);
    assert_int_equal (w->nodes[1].again + w->nodes[2].again, 0);
    /* Connected, they need it once. */
    world_link (w, 1, 2, 5);
    world_run (w, 1000);
    write_some (w, &mine, 20);
    world_forget (w);
    write_some (w, &mine, 20);
    world_run (w, 200);
    assert_true (world_equal (w));
    assert_int_equal (w->nodes[1].again + w->nodes[2].again, 0);
    struct weir_id device = world_device (1);
    struct weir_sync_state s;
    assert_true (weir_sync_find (w->nodes[0].sync, &device, &world_db, &s));
    unsigned eager = s.pruned_by ? 2 : 1;
    world_cut (w, 0, eager);
    world_forget (w);
    write_some (w, &mine, 10);
    world_run (w, 200);
    assert_true (world_equal (w));
    assert_true (w->nodes[1].latest_ms < 50 && w->nodes[2].latest_ms < 50);
    world_fini (w);
    free (w);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_bodies),
        cmocka_unit_test (test_supplier_goes),
        cmocka_unit_test (test_leaf_of_two_worlds),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
