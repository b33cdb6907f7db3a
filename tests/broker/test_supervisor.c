/* Goal: on random histories of crashes, hangs, late turns, restarts by hand and stops, the
 * supervisor never has two incarnations of a child, starts and stops stage by stage, keeps the
 * back-off's bounds, escalates exactly when the policy says, and always comes to an end. Pure:
 * a model world carries out its actions; a seed repeats a history. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "broker/supervisor.h"

static const struct weir_supervisor_config usual = {
    .start_ms = 30000,
    .stop_ms = 5000,
    .stopped_kill_ms = 1000,
    .late_ms = 1000,
    .restart = { .limit = 5,
                 .window_ms = 120000,
                 .backoff_ms_min = 100,
                 .backoff_ms_max = 10000,
                 .reset_ms = 5000 },
};

enum { STORE, RETRY, PEERS, TRANSPORT_1, TRANSPORT_2, CHILDREN };

/* What really is: a process a child, obeying or not. */
struct world {
    struct weir_supervisor s;
    struct weir_rand rand;
    uint64_t now;
    struct {
        bool alive, told_up, stopping, killed, gave_up;
        unsigned lives;
    } is[CHILDREN];
    bool bundle_ready;
    bool ended;
};

static void
check_action (struct world *w, const struct weir_supervise_action *a)
{
    size_t i = a->child;
    switch (a->what) {
    case WEIR_DO_SPAWN:
        assert_false (w->is[i].alive);
        assert_false (w->s.stopping);
        for (size_t j = 0; j < CHILDREN; j++) {
            /* Nobody starts before the stages below were up, or given up, once. */
            if (w->s.children[j].stage < w->s.children[i].stage) {
                assert_true (w->s.children[j].was_ready || w->is[j].gave_up);
            }
        }
        w->is[i].alive = true;
        w->is[i].stopping = w->is[i].killed = false;
        w->is[i].lives++;
        break;
    case WEIR_DO_STOP:
        assert_true (w->is[i].alive);
        if (w->s.stopping) {
            for (size_t j = 0; j < CHILDREN; j++) {
                /* All above are gone before this stage is asked. */
                assert_true (w->s.children[j].stage <= w->s.children[i].stage || !w->is[j].alive);
            }
        }
        w->is[i].stopping = true;
        break;
    case WEIR_DO_KILL:
        assert_true (w->is[i].alive && !w->is[i].killed);
        w->is[i].killed = true;
        break;
    case WEIR_DO_UP:
        assert_true (w->is[i].alive && !w->is[i].told_up);
        w->is[i].told_up = true;
        break;
    case WEIR_DO_DOWN:
        assert_true (w->is[i].told_up && !w->is[i].alive);
        w->is[i].told_up = false;
        break;
    case WEIR_DO_FAILED:
        assert_false (w->is[i].alive);
        w->is[i].gave_up = true;
        break;
    case WEIR_DO_READY:
        assert_false (w->bundle_ready);
        w->bundle_ready = true;
        break;
    case WEIR_DO_END:
        for (size_t j = 0; j < CHILDREN; j++) {
            assert_false (w->is[j].alive);
        }
        assert_false (w->ended);
        w->ended = true;
        break;
    }
}

static void
carry_out (struct world *w, struct weir_supervise_actions *actions)
{
    for (size_t i = 0; i < actions->count; i++) {
        check_action (w, &actions->items[i]);
    }
    actions->count = 0;
}

static void
world_init (struct world *w, uint64_t seed, const struct weir_supervisor_config *config)
{
    memset (w, 0, sizeof *w);
    w->now = 1000;
    weir_rand_init (&w->rand, seed);
    weir_supervisor_init (&w->s, config, seed);
    assert_int_equal (weir_supervisor_add (&w->s, 0, true, 30000), STORE);
    (void) weir_supervisor_add (&w->s, 1, false, 2000);
    (void) weir_supervisor_add (&w->s, 1, true, 2000);
    (void) weir_supervisor_add (&w->s, 2, false, 2000);
    (void) weir_supervisor_add (&w->s, 2, false, 2000);
    struct weir_supervise_actions actions = { 0 };
    weir_supervisor_start (&w->s, w->now, &actions);
    carry_out (w, &actions);
}

static void
tell (struct world *w, size_t child, enum weir_child_event event, int detail)
{
    struct weir_supervise_actions actions = { 0 };
    weir_supervisor_event (&w->s, child, event, detail, w->now, &actions);
    carry_out (w, &actions);
}

static void
die (struct world *w, size_t child, int code)
{
    w->is[child].alive = false;
    tell (w, child, WEIR_CHILD_EXITED, code);
}

static void
tick (struct world *w, uint64_t ms)
{
    struct weir_supervise_actions actions = { 0 };
    w->now += ms;
    weir_supervisor_tick (&w->s, w->now, &actions);
    carry_out (w, &actions);
}

static void
all_ready (struct world *w)
{
    for (size_t i = 0; i < CHILDREN; i++) {
        tell (w, i, WEIR_CHILD_SAYS_READY, 0);
    }
    assert_true (w->bundle_ready);
}

/* Turns go by, at the usual pace, with everybody alive heard. */
static void
live (struct world *w, uint64_t ms)
{
    for (uint64_t t = 0; t < ms; t += 200) {
        for (size_t i = 0; i < CHILDREN; i++) {
            weir_supervisor_heard (&w->s, i, w->now);
        }
        tick (w, 200);
    }
}

static void
test_starts_by_stages (void **state)
{
    (void) state;
    struct world w;
    world_init (&w, 1, &usual);
    assert_true (w.is[STORE].alive && !w.is[PEERS].alive);
    tell (&w, STORE, WEIR_CHILD_SAYS_READY, 0);
    assert_true (w.is[PEERS].alive && w.is[RETRY].alive && !w.is[TRANSPORT_1].alive);
    tell (&w, PEERS, WEIR_CHILD_SAYS_READY, 0);
    assert_false (w.is[TRANSPORT_1].alive);
    tell (&w, RETRY, WEIR_CHILD_SAYS_READY, 0);
    assert_true (w.is[TRANSPORT_1].alive && w.is[TRANSPORT_2].alive && !w.bundle_ready);
    tell (&w, TRANSPORT_1, WEIR_CHILD_SAYS_READY, 0);
    tell (&w, TRANSPORT_2, WEIR_CHILD_SAYS_READY, 0);
    assert_true (w.bundle_ready);
    tell (&w, STORE, WEIR_CHILD_SAYS_READY, 0); /* late, twice: nothing */
    weir_supervisor_fini (&w.s);
}

static void
test_one_for_one (void **state)
{
    (void) state;
    struct world w;
    world_init (&w, 2, &usual);
    all_ready (&w);
    live (&w, 6000);
    die (&w, STORE, 137);
    assert_int_equal (w.s.children[STORE].state, WEIR_CHILD_BACKING_OFF);
    assert_true (w.is[PEERS].alive);
    live (&w, 400);
    assert_true (w.is[STORE].alive);
    assert_int_equal (w.s.children[STORE].restarts, 1);
    assert_int_equal (w.is[PEERS].lives, 1);
    weir_supervisor_fini (&w.s);
}

static void
test_final_codes (void **state)
{
    (void) state;
    static const int codes[] = { 65, 76, 78 };
    for (size_t i = 0; i < 3 * CHILDREN; i++) {
        struct world w;
        world_init (&w, i, &usual);
        all_ready (&w);
        die (&w, i / 3, codes[i % 3]);
        assert_true (w.s.stopping);
        assert_int_equal (w.s.exit_code, codes[i % 3]);
        weir_supervisor_fini (&w.s);
    }
}

static void
test_escalation (void **state)
{
    (void) state;
    static const struct {
        size_t child;
        int exit;
        int code; /* -1: the bundle lives on */
    } cases[] = {
        { STORE, 1, 70 },   { STORE, 137, 70 }, { STORE, 73, 73 },       { STORE, 74, 74 },
        { STORE, 75, 75 },  { STORE, 77, 70 },  { STORE, 72, 70 },       { PEERS, 75, 75 },
        { PEERS, 139, 70 }, { RETRY, 1, -1 },   { TRANSPORT_2, 74, -1 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct world w;
        size_t child = cases[i].child;
        world_init (&w, i, &usual);
        all_ready (&w);
        for (int deaths = 1; deaths <= 6; deaths++) {
            assert_false (w.s.stopping);
            die (&w, child, cases[i].exit);
            if (deaths < 6) {
                assert_int_equal (w.s.children[child].state, WEIR_CHILD_BACKING_OFF);
                while (!w.is[child].alive) {
                    live (&w, 200);
                }
            }
        }
        assert_int_equal (w.s.stopping, cases[i].code >= 0);
        if (cases[i].code >= 0) {
            assert_int_equal (w.s.exit_code, cases[i].code);
        } else {
            assert_int_equal (w.s.children[child].state, WEIR_CHILD_FAILED);
            tell (&w, child, WEIR_CHILD_RESTART, 0); /* by hand, with a clean past */
            assert_true (w.is[child].alive);
            die (&w, child, 1);
            assert_int_equal (w.s.children[child].state, WEIR_CHILD_BACKING_OFF);
        }
        weir_supervisor_fini (&w.s);
    }
}

static void
test_overdue (void **state)
{
    (void) state;
    struct world w;
    world_init (&w, 3, &usual);
    tick (&w, 500);
    for (int i = 0; i < 58; i++) {
        tick (&w, 500);
    }
    assert_false (w.is[STORE].killed);
    tick (&w, 500); /* 30 s without being ready */
    assert_true (w.is[STORE].killed);
    die (&w, STORE, 137);
    assert_int_equal (w.s.children[STORE].state, WEIR_CHILD_BACKING_OFF);
    tick (&w, 200);
    all_ready (&w);
    /* Peers falls silent; the others do not. */
    for (int i = 0; i < 9; i++) {
        weir_supervisor_heard (&w.s, RETRY, w.now);
        weir_supervisor_heard (&w.s, TRANSPORT_1, w.now);
        weir_supervisor_heard (&w.s, TRANSPORT_2, w.now);
        tick (&w, 200);
    }
    assert_false (w.is[PEERS].killed);
    tick (&w, 200);
    assert_true (w.is[PEERS].killed && !w.is[RETRY].killed && !w.is[STORE].killed);
    weir_supervisor_fini (&w.s);
}

static void
test_stopped_child (void **state)
{
    (void) state;
    struct world w;
    world_init (&w, 4, &usual);
    all_ready (&w);
    weir_supervisor_stopped (&w.s, STORE, true, w.now);
    live (&w, 800);
    weir_supervisor_stopped (&w.s, STORE, true, w.now); /* told again: the first time counts */
    assert_false (w.is[STORE].killed);
    weir_supervisor_stopped (&w.s, STORE, false, w.now);
    live (&w, 2000);
    assert_false (w.is[STORE].killed);
    weir_supervisor_stopped (&w.s, STORE, true, w.now);
    live (&w, 1000);
    assert_true (w.is[STORE].killed);
    weir_supervisor_fini (&w.s);
}

/* A suspended machine: an hour in one turn harms nobody; then the clocks run on. */
static void
test_forgives_its_own_lateness (void **state)
{
    (void) state;
    struct world w;
    world_init (&w, 5, &usual);
    tell (&w, STORE, WEIR_CHILD_SAYS_READY, 0);
    weir_supervisor_stopped (&w.s, RETRY, true, w.now);
    tick (&w, 3600000);
    for (size_t i = 0; i < CHILDREN; i++) {
        assert_false (w.is[i].killed);
    }
    tick (&w, 600);
    tick (&w, 600);
    assert_true (w.is[RETRY].killed);
    weir_supervisor_fini (&w.s);
}

static void
test_restart_by_hand (void **state)
{
    (void) state;
    struct world w;
    world_init (&w, 6, &usual);
    all_ready (&w);
    tell (&w, PEERS, WEIR_CHILD_RESTART, 0);
    assert_true (w.is[PEERS].stopping);
    tell (&w, PEERS, WEIR_CHILD_RESTART, 0); /* once more: no matter */
    die (&w, PEERS, 0);
    assert_true (w.is[PEERS].alive);
    assert_int_equal (w.is[PEERS].lives, 2);
    /* Asked, but it hangs: killed, and started all the same. */
    tell (&w, PEERS, WEIR_CHILD_SAYS_READY, 0);
    tell (&w, PEERS, WEIR_CHILD_RESTART, 0);
    live (&w, 5000);
    assert_true (w.is[PEERS].killed);
    die (&w, PEERS, 137);
    assert_true (w.is[PEERS].alive);
    /* While the bundle stops nothing is started. */
    tell (&w, PEERS, WEIR_CHILD_RESTART, 0);
    struct weir_supervise_actions actions = { 0 };
    weir_supervisor_stop (&w.s, 0, w.now, &actions);
    carry_out (&w, &actions);
    die (&w, PEERS, 0);
    assert_false (w.is[PEERS].alive);
    tell (&w, PEERS, WEIR_CHILD_RESTART, 0);
    assert_false (w.is[PEERS].alive);
    weir_supervisor_fini (&w.s);
}

static void
test_due (void **state)
{
    (void) state;
    struct world w;
    world_init (&w, 7, &usual);
    assert_int_equal (weir_supervisor_due (&w.s, w.now), w.now + 30000);
    all_ready (&w);
    assert_int_equal (weir_supervisor_due (&w.s, w.now), w.now + 2000);
    weir_supervisor_fini (&w.s);
    struct weir_supervisor empty;
    weir_supervisor_init (&empty, &usual, 0);
    assert_int_equal (weir_supervisor_due (&empty, 5), 3600005);
    weir_supervisor_fini (&empty);
}

static void
test_names (void **state)
{
    (void) state;
    for (int i = 0; i < WEIR_CHILD_STATES; i++) {
        assert_true (strlen (weir_child_state_name ((enum weir_child_state) i)) > 3);
    }
}

/* ---- random histories ---- */

static void
random_step (struct world *w)
{
    size_t i = weir_rand_below (&w->rand, CHILDREN);
    static const int codes[] = { 0, 1, 70, 74, 75, 134, 137, 139 };
    switch (weir_rand_below (&w->rand, 12)) {
    case 0:
    case 1:
        if (w->is[i].alive) {
            die (w, i, w->is[i].killed ? 137 : codes[weir_rand_below (&w->rand, 8)]);
        }
        break;
    case 2:
    case 3:
    case 4:
        if (w->is[i].alive && !w->is[i].killed) {
            tell (w, i, WEIR_CHILD_SAYS_READY, 0);
        }
        break;
    case 5:
        if (w->is[i].alive) {
            weir_supervisor_stopped (&w->s, i, weir_rand_below (&w->rand, 2) == 0, w->now);
        }
        break;
    case 6:
        if (weir_rand_below (&w->rand, 8) == 0) {
            tell (w, i, WEIR_CHILD_RESTART, 0);
        }
        break;
    case 7:
        tick (w, weir_rand_below (&w->rand, 20000)); /* late */
        break;
    case 8:
        for (size_t j = 0; j < CHILDREN; j++) { /* who was killed is gone soon */
            if (w->is[j].alive && w->is[j].killed) {
                die (w, j, 137);
            }
        }
        break;
    default:
        for (size_t j = 0; j < CHILDREN; j++) {
            if (weir_rand_below (&w->rand, 10) != 0) {
                weir_supervisor_heard (&w->s, j, w->now);
            }
        }
        tick (w, weir_rand_below (&w->rand, 900));
        break;
    }
}

static void
check_state (const struct world *w)
{
    for (size_t i = 0; i < CHILDREN; i++) {
        const struct weir_child *c = &w->s.children[i];
        assert_int_equal (weir_child_alive (c->state), w->is[i].alive);
        if (c->state == WEIR_CHILD_BACKING_OFF) {
            assert_in_range (c->due_ms - c->since_ms, 100, 10000);
        }
        /* Who gave up had reason to: more early deaths than the limit, or a final code. */
        if (c->state == WEIR_CHILD_FAILED) {
            assert_true (c->restart.count > w->s.config.restart.limit || c->last_exit == 65
                         || c->last_exit == 76 || c->last_exit == 78);
        } else {
            assert_true (c->restart.count <= w->s.config.restart.limit || w->s.stopping);
        }
    }
}

/* From any state: asked to stop, with children that obey, hang or die, it ends. */
static void
run_to_the_end (struct world *w, bool at_once)
{
    struct weir_supervise_actions actions = { 0 };
    weir_supervisor_stop (&w->s, 0, w->now, &actions);
    carry_out (w, &actions);
    if (at_once) {
        weir_supervisor_kill (&w->s, w->now, &actions);
        carry_out (w, &actions);
    }
    for (int turn = 0; turn < 500 && !w->ended; turn++) {
        for (size_t i = 0; i < CHILDREN; i++) {
            bool obeys = w->is[i].stopping && weir_rand_below (&w->rand, 20) == 0;
            if (w->is[i].alive && (w->is[i].killed || obeys)) {
                die (w, i, w->is[i].killed ? 137 : 0);
            }
        }
        tick (w, 200);
    }
    assert_true (w->ended);
    assert_true (w->s.ended);
    tell (w, STORE, WEIR_CHILD_SAYS_READY, 0); /* words from the grave */
}

static void
test_random_histories (void **state)
{
    (void) state;
    for (uint64_t seed = 0; seed < 2000; seed++) {
        struct world w;
        struct weir_supervisor_config config = usual;
        config.restart.limit = seed % 3 == 0 ? 1000 : 5;
        world_init (&w, seed, &config);
        size_t steps = weir_rand_below (&w.rand, 300);
        for (size_t i = 0; i < steps && !w.ended; i++) {
            random_step (&w);
            check_state (&w);
        }
        if (!w.ended) {
            run_to_the_end (&w, seed % 2 == 0);
        }
        weir_supervisor_fini (&w.s);
    }
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_starts_by_stages),
        cmocka_unit_test (test_one_for_one),
        cmocka_unit_test (test_final_codes),
        cmocka_unit_test (test_escalation),
        cmocka_unit_test (test_overdue),
        cmocka_unit_test (test_stopped_child),
        cmocka_unit_test (test_forgives_its_own_lateness),
        cmocka_unit_test (test_restart_by_hand),
        cmocka_unit_test (test_due),
        cmocka_unit_test (test_names),
        cmocka_unit_test (test_random_histories),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
