/* Goal: whatever is contended is shared by priority and never by how many databases a peer has;
 * nobody starves and nobody passes a limit for long; a slow link has little on its way and a fast
 * one much; one that is silent holds nobody else up. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "store/sync/pace.h"
#include "store/base/rand.h"

struct one {
    struct weir_pace_flow *flow;
    uint64_t got;
    uint64_t piece; /* units it takes at once; 0: what it may */
};

static struct weir_id
peer_id (unsigned n)
{
    struct weir_id id = { { 0 } };
    id.b[0] = (uint8_t) n;
    id.b[1] = 1;
    return id;
}

static void
join (struct weir_pace *pace, struct one *one, unsigned peer, uint32_t priority, uint64_t rate)
{
    struct weir_id id = peer_id (peer);
    memset (one, 0, sizeof *one);
    one->flow = weir_pace_flow_new (pace, &id, one);
    weir_pace_flow_set (pace, one->flow, priority, rate);
    weir_pace_ready (pace, one->flow);
}

/* Serves until `units` are used or nobody may; all go on having something. */
static uint64_t
serve (struct weir_pace *pace, uint64_t now_ms, uint64_t units)
{
    uint64_t used = 0;
    size_t max;
    struct one *one;
    while (used < units && (one = weir_pace_next (pace, now_ms, &max)) != NULL) {
        uint64_t take = one->piece > 0 ? one->piece : max;
        assert_true (max > 0);
        one->got += take;
        used += take;
        weir_pace_used (pace, one->flow, take, true);
    }
    return used;
}

static void
test_shares (void **state)
{
    (void) state;
    static const struct {
        uint32_t priority[3];
        unsigned peer[3];
        uint64_t piece[3];
        unsigned share[3]; /* of the sum */
    } table[] = {
        { { 0, 1, 2 }, { 1, 1, 1 }, { 0, 0, 0 }, { 16, 4, 1 } },
        { { 0, 1, 2 }, { 1, 2, 3 }, { 0, 0, 0 }, { 16, 4, 1 } },
        { { 1, 1, 1 }, { 1, 2, 3 }, { 0, 0, 0 }, { 1, 1, 1 } },
        { { 1, 1, 1 }, { 1, 2, 3 }, { 1 << 20, 1000, 70000 }, { 1, 1, 1 } },
        { { 2, 1, 1 }, { 1, 2, 2 }, { 1 << 20, 0, 0 }, { 1, 2, 2 } },
        { { 9, 1, 1 }, { 1, 2, 3 }, { 0, 0, 0 }, { 1, 1, 1 } }, /* none is normal */
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct weir_pace *pace = weir_pace_new (false);
        struct one ones[3];
        unsigned sum = 0;
        uint64_t all = 400u << 20;
        for (size_t n = 0; n < 3; n++) {
            join (pace, &ones[n], table[i].peer[n], table[i].priority[n], 0);
            ones[n].piece = table[i].piece[n];
            sum += table[i].share[n];
        }
        assert_true (serve (pace, 1, all) >= all);
        for (size_t n = 0; n < 3; n++) {
            uint64_t want = all * table[i].share[n] / sum;
            assert_in_range (ones[n].got, want * 95 / 100, want * 105 / 100);
            weir_pace_flow_destroy (pace, &ones[n].flow);
        }
        weir_pace_destroy (&pace);
    }
}

/* A peer with hundreds of databases, and one with one. */
static void
test_many_databases_weigh_no_more (void **state)
{
    (void) state;
    enum { MANY = 300 };
    struct weir_pace *pace = weir_pace_new (false);
    struct one many[MANY];
    struct one one;
    uint64_t got = 0;
    for (unsigned i = 0; i < MANY; i++) {
        join (pace, &many[i], 1, WEIR_PRIORITY_NORMAL, 0);
    }
    join (pace, &one, 2, WEIR_PRIORITY_NORMAL, 0);
    (void) serve (pace, 1, 100u << 20);
    for (unsigned i = 0; i < MANY; i++) {
        assert_true (many[i].got > 0); /* by turns */
        got += many[i].got;
        weir_pace_flow_destroy (pace, &many[i].flow);
    }
    assert_in_range (one.got, got * 95 / 100, got * 105 / 100);
    weir_pace_flow_destroy (pace, &one.flow);
    weir_pace_flow_destroy (pace, &one.flow);
    weir_pace_destroy (&pace);
    weir_pace_destroy (&pace);
}

static void
test_who_has_nothing (void **state)
{
    (void) state;
    struct weir_pace *pace = weir_pace_new (false);
    struct one a;
    struct one b;
    size_t max;
    assert_null (weir_pace_next (pace, 1, &max));
    assert_int_equal (weir_pace_due_ms (pace), UINT64_MAX);
    join (pace, &a, 1, 1, 0);
    join (pace, &b, 2, 1, 0);
    weir_pace_ready (pace, a.flow); /* said twice */
    assert_ptr_equal (weir_pace_next (pace, 1, &max), &a);
    weir_pace_used (pace, a.flow, 100, false);
    assert_ptr_equal (weir_pace_next (pace, 1, &max), &b);
    weir_pace_used (pace, b.flow, 0, false);
    assert_null (weir_pace_next (pace, 1, &max));
    /* Ready again, of another priority; then gone while its turn it is. */
    weir_pace_flow_set (pace, a.flow, WEIR_PRIORITY_LOW, 0);
    assert_null (weir_pace_next (pace, 1, &max));
    weir_pace_ready (pace, a.flow);
    weir_pace_flow_set (pace, a.flow, WEIR_PRIORITY_HIGH, 0);
    assert_ptr_equal (weir_pace_next (pace, 1, &max), &a);
    weir_pace_flow_destroy (pace, &a.flow);
    assert_null (weir_pace_next (pace, 1, &max));
    weir_pace_flow_destroy (pace, &b.flow);
    weir_pace_destroy (&pace);
}

/* What was overdrawn is paid back, and no credit is saved up meanwhile. */
static void
test_overdraft (void **state)
{
    (void) state;
    struct weir_pace *pace = weir_pace_new (false);
    struct one big;
    struct one small;
    join (pace, &big, 1, WEIR_PRIORITY_LOW, 0);
    join (pace, &small, 2, WEIR_PRIORITY_LOW, 0);
    big.piece = 64u << 20; /* a thousand turns of debt */
    small.piece = 4096;
    (void) serve (pace, 1, 64u << 20);
    (void) serve (pace, 1, 1u << 20);
    assert_true (small.got >= 1u << 20);
    /* Alone it is served, debt or not. */
    weir_pace_flow_destroy (pace, &small.flow);
    assert_true (serve (pace, 1, 1) > 0);
    weir_pace_flow_destroy (pace, &big.flow);
    weir_pace_destroy (&pace);
}

/* Each millisecond served as told; in the long run every limit holds, and is used. */
static void
test_rates (void **state)
{
    (void) state;
    static const struct {
        uint64_t all;
        uint64_t peer;
        uint64_t rate[3];
        unsigned of_peer[3];
        uint64_t want[3]; /* a second */
    } table[] = {
        { 0, 0, { 100000, 50000, 2000 }, { 1, 1, 2 }, { 100000, 50000, 2000 } },
        { 0, 90000, { 0, 0, 0 }, { 1, 1, 2 }, { 45000, 45000, 90000 } },
        { 120000, 0, { 0, 0, 0 }, { 1, 2, 3 }, { 40000, 40000, 40000 } },
        { 120000, 90000, { 0, 0, 0 }, { 1, 2, 2 }, { 60000, 30000, 30000 } },
        { 0, 0, { 1, 1024, 5000000 }, { 1, 1, 1 }, { 1024, 1024, 5000000 } },
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct weir_pace *pace = weir_pace_new (false);
        struct one ones[3];
        weir_pace_limit (pace, table[i].peer, table[i].all);
        for (size_t n = 0; n < 3; n++) {
            join (pace, &ones[n], table[i].of_peer[n], 1, table[i].rate[n]);
            ones[n].piece = n == 0 ? 1000 : 0;
        }
        weir_pace_limit (pace, table[i].peer, table[i].all); /* told again: nothing is given */
        uint64_t now = 1;
        while (now < 100000) {
            (void) serve (pace, now, UINT64_MAX);
            uint64_t due = weir_pace_due_ms (pace);
            assert_true (due > now);
            assert_true (due < now + 10000);
            now = due;
        }
        for (size_t n = 0; n < 3; n++) {
            assert_in_range (ones[n].got, table[i].want[n] * 92, table[i].want[n] * 108);
            weir_pace_flow_destroy (pace, &ones[n].flow);
        }
        weir_pace_destroy (&pace);
    }
}

static void
test_rates_change (void **state)
{
    (void) state;
    struct weir_pace *pace = weir_pace_new (false);
    struct one one;
    size_t max;
    join (pace, &one, 1, 1, 4096);
    (void) serve (pace, 1, UINT64_MAX);
    assert_null (weir_pace_next (pace, 2, &max));
    weir_pace_flow_set (pace, one.flow, 1, 0); /* while it waits */
    assert_ptr_equal (weir_pace_next (pace, 2, &max), &one);
    weir_pace_limit (pace, 5000, 0);
    (void) serve (pace, 3, UINT64_MAX);
    assert_null (weir_pace_next (pace, 3, &max));
    weir_pace_limit (pace, 0, 0);
    assert_ptr_equal (weir_pace_next (pace, 3, &max), &one);
    weir_pace_limit (pace, 0, 5000);
    (void) serve (pace, 4, UINT64_MAX);
    assert_null (weir_pace_next (pace, 4, &max));
    assert_true (weir_pace_due_ms (pace) > 4);
    /* Gone while it waits for tokens. */
    weir_pace_limit (pace, 0, 0);
    weir_pace_flow_set (pace, one.flow, 1, 2000);
    (void) serve (pace, 5, UINT64_MAX);
    weir_pace_flow_destroy (pace, &one.flow);
    assert_null (weir_pace_next (pace, 500000, &max));
    weir_pace_destroy (&pace);
}

/* A link of so many bytes a second and so long a round trip, with flows that always have more. */
struct link {
    struct weir_pace *pace;
    struct one *ones;
    size_t n;
    uint64_t rate;
    uint64_t rtt_ms;
    struct {
        struct one *one;
        uint64_t bytes;
        uint64_t at_ms;
    } way[4096];
    size_t first;
    size_t last;
    uint64_t busy_us; /* until then the link is taken */
    uint64_t most;    /* on its way at once, since it was cleared */
    size_t frame;     /* the last */
};

static void
run_link (struct link *l, uint64_t from_ms, uint64_t to_ms)
{
    size_t max;
    struct one *one;
    for (uint64_t now = from_ms; now < to_ms; now++) {
        while (l->first < l->last && l->way[l->first % 4096].at_ms <= now) {
            size_t i = l->first++ % 4096;
            weir_pace_unload (l->pace, l->way[i].one->flow, l->way[i].bytes, now);
            l->way[i].one->got += l->way[i].bytes;
        }
        while ((one = weir_pace_next (l->pace, now, &max)) != NULL) {
            uint64_t start = l->busy_us > now * 1000 ? l->busy_us : now * 1000;
            size_t i = l->last++ % 4096;
            assert_true (l->last - l->first <= 4096);
            l->busy_us = start + max * 1000000 / l->rate;
            l->way[i].one = one;
            l->way[i].bytes = max;
            l->way[i].at_ms = l->busy_us / 1000 + l->rtt_ms;
            l->frame = max;
            weir_pace_load (l->pace, one->flow, max, now);
            weir_pace_used (l->pace, one->flow, max, true);
            uint64_t load = weir_pace_peer_load (one->flow);
            l->most = load > l->most ? load : l->most;
        }
    }
}

static void
test_windows_follow_the_link (void **state)
{
    (void) state;
    static const struct {
        uint64_t rate;
        uint64_t rtt_ms;
        uint64_t most_min, most_max; /* on its way, once it is known */
        uint64_t percent;            /* of the link that is used */
    } table[] = {
        { 32000, 300, 9600, 70000, 80 }, /* 256 kbit/s */
        { 8000, 100, 4096, 65536, 80 },  /* a least frame is half a second */
        { 1000000, 20, 100000, 1500000, 90 },
        { 100000000, 1, 100000, (4u << 20) + (256u << 10), 90 },
        { 500000, 2000, 900000, 4u << 20, 60 }, /* by satellite, twice */
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct link *l = weir_alloc (sizeof *l);
        struct one ones[2];
        l->pace = weir_pace_new (true);
        l->rate = table[i].rate;
        l->rtt_ms = table[i].rtt_ms;
        join (l->pace, &ones[0], 1, WEIR_PRIORITY_NORMAL, 0);
        join (l->pace, &ones[1], 1, WEIR_PRIORITY_NORMAL, 0);
        run_link (l, 1, 40000);
        uint64_t before = ones[0].got + ones[1].got;
        l->most = 0;
        run_link (l, 40000, 80000);
        uint64_t got = ones[0].got + ones[1].got - before;
        assert_in_range (l->most, table[i].most_min, table[i].most_max);
        assert_true (got >= table[i].rate * 40 * table[i].percent / 100);
        assert_in_range (l->frame, WEIR_FRAME_BYTES_MIN, WEIR_FRAME_BYTES_MAX);
        for (size_t n = 0; n < 2; n++) {
            weir_pace_flow_destroy (l->pace, &ones[n].flow);
        }
        weir_pace_destroy (&l->pace);
        free (l);
    }
}

/* The link becomes a thousand times slower: a second of it is on its way, soon. */
static void
test_a_link_that_slows_down (void **state)
{
    (void) state;
    struct link *l = weir_alloc (sizeof *l);
    struct one one;
    l->pace = weir_pace_new (true);
    l->rate = 10000000;
    l->rtt_ms = 5;
    join (l->pace, &one, 1, 1, 0);
    run_link (l, 1, 3000);
    uint64_t fast = weir_pace_window (one.flow);
    assert_in_range (fast, 2000000, WEIR_CREDIT_BYTES);
    l->rate = 100000;
    run_link (l, 3000, 60000);
    assert_in_range (weir_pace_window (one.flow), 10000, 250000);
    l->rate = 10000000;
    run_link (l, 60000, 63000);
    assert_in_range (weir_pace_window (one.flow), 2000000, WEIR_CREDIT_BYTES);
    weir_pace_flow_destroy (l->pace, &one.flow);
    weir_pace_destroy (&l->pace);
    free (l);
}

/* Little that is sent says nothing against a link. */
static void
test_little_traffic_keeps_the_window (void **state)
{
    (void) state;
    struct link *l = weir_alloc (sizeof *l);
    struct one one;
    l->pace = weir_pace_new (true);
    l->rate = 10000000;
    l->rtt_ms = 5;
    join (l->pace, &one, 1, 1, 0);
    run_link (l, 1, 3000);
    uint64_t window = weir_pace_window (one.flow);
    for (uint64_t now = 10000; now < 20000; now += 100) {
        run_link (l, now, now + 1);
        weir_pace_used (l->pace, one.flow, 0, false);
        uint64_t load = weir_pace_peer_load (one.flow);
        weir_pace_unload (l->pace, one.flow, load, now + 1);
        weir_pace_load (l->pace, one.flow, 200, now + 10);
        weir_pace_unload (l->pace, one.flow, 200, now + 40);
        weir_pace_unload (l->pace, one.flow, 200, now + 40); /* more than there is */
        assert_int_equal (weir_pace_peer_load (one.flow), 0);
    }
    assert_in_range (weir_pace_window (one.flow), window / 2, WEIR_CREDIT_BYTES);
    weir_pace_flow_destroy (l->pace, &one.flow);
    weir_pace_destroy (&l->pace);
    free (l);
}

/* What it tells may be lost: the window gives way, ever later, up to the credit. Others do not
 * notice. */
static void
test_a_silent_peer (void **state)
{
    (void) state;
    struct weir_pace *pace = weir_pace_new (true);
    struct one silent;
    struct one other;
    size_t max;
    join (pace, &silent, 1, WEIR_PRIORITY_HIGH, 0);
    join (pace, &other, 2, WEIR_PRIORITY_LOW, 0);
    uint64_t sent = 0;
    uint64_t now;
    for (now = 1; now < 300000; now += 10) {
        struct one *one;
        bool served = false;
        while ((one = weir_pace_next (pace, now, &max)) != NULL) {
            weir_pace_load (pace, one->flow, max, now);
            weir_pace_used (pace, one->flow, max, true);
            if (one == &other) {
                served = true;
                weir_pace_unload (pace, one->flow, max, now);
                break; /* always has more: look at the other again */
            }
            sent += max;
        }
        assert_true (served);
    }
    assert_in_range (sent, WEIR_CREDIT_BYTES, WEIR_CREDIT_BYTES + WEIR_FRAME_BYTES_MAX);
    weir_pace_used (pace, other.flow, 0, false);
    assert_null (weir_pace_next (pace, now, &max));
    assert_int_equal (weir_pace_due_ms (pace), UINT64_MAX);
    /* It speaks. */
    weir_pace_unload (pace, silent.flow, sent, now);
    assert_ptr_equal (weir_pace_next (pace, now, &max), &silent);
    /* Of an older one nothing else can be expected. */
    weir_pace_load (pace, silent.flow, 2 * WEIR_CREDIT_BYTES, now);
    assert_null (weir_pace_next (pace, now, &max));
    weir_pace_deaf (silent.flow);
    assert_ptr_equal (weir_pace_next (pace, now, &max), &silent);
    weir_pace_flow_destroy (pace, &silent.flow);
    weir_pace_flow_destroy (pace, &other.flow);
    weir_pace_destroy (&pace);
}

/* Anything in any order: the books balance. */
static void
test_any_order (void **state)
{
    (void) state;
    struct weir_rand rand;
    weir_rand_init (&rand, 7);
    struct weir_pace *pace = weir_pace_new (true);
    struct one ones[40];
    memset (ones, 0, sizeof ones);
    uint64_t now = 1;
    for (int step = 0; step < 200000; step++) {
        struct one *one = &ones[weir_rand_u64 (&rand) % 40];
        struct one *next;
        size_t max = 0;
        uint64_t what = weir_rand_u64 (&rand) % 8;
        if (!one->flow) {
            join (pace, one, (unsigned) (weir_rand_u64 (&rand) % 5),
                  (uint32_t) (weir_rand_u64 (&rand) % 4),
                  weir_rand_u64 (&rand) % 3 == 0 ? 5000 : 0);
        } else if (what == 0) {
            weir_pace_flow_destroy (pace, &one->flow);
        } else if (what == 1) {
            weir_pace_ready (pace, one->flow);
        } else if (what == 2) {
            weir_pace_flow_set (pace, one->flow, (uint32_t) (weir_rand_u64 (&rand) % 4),
                                weir_rand_u64 (&rand) % 9000);
        } else if (what == 3) {
            weir_pace_unload (pace, one->flow, weir_rand_u64 (&rand) % 70000, now);
        } else if (what == 4) {
            now += weir_rand_u64 (&rand) % 2000;
        } else if (what == 5) {
            weir_pace_limit (pace, weir_rand_u64 (&rand) % 2 * 100000,
                             weir_rand_u64 (&rand) % 2 * 300000);
        } else if ((next = weir_pace_next (pace, now, &max)) != NULL) {
            assert_in_range (max, 1, WEIR_FRAME_BYTES_MAX);
            weir_pace_load (pace, next->flow, max, now);
            weir_pace_used (pace, next->flow, max, weir_rand_u64 (&rand) % 3 != 0);
        }
    }
    for (size_t i = 0; i < 40; i++) {
        weir_pace_flow_destroy (pace, &ones[i].flow);
    }
    weir_pace_destroy (&pace);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_shares),
        cmocka_unit_test (test_many_databases_weigh_no_more),
        cmocka_unit_test (test_who_has_nothing),
        cmocka_unit_test (test_overdraft),
        cmocka_unit_test (test_rates),
        cmocka_unit_test (test_rates_change),
        cmocka_unit_test (test_windows_follow_the_link),
        cmocka_unit_test (test_a_link_that_slows_down),
        cmocka_unit_test (test_little_traffic_keeps_the_window),
        cmocka_unit_test (test_a_silent_peer),
        cmocka_unit_test (test_any_order),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
