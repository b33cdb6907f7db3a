/* Goal: runs that came too early make the synchronizer ask their sender for what they wait for, and
 * answer who asks; both bounded. And which transfers it lets the store feed by itself, and how what
 * was fed so is counted. */

#include "tests/store/sync/tree_rules.h"

/* ---- gaps ---- */

static void
gap_arrives (struct fixture *f, unsigned device, size_t n)
{
    struct weir_sync_want wants[WEIR_WANTS_PER_MESSAGE + 8] = { { { { 1 } }, 4 } };
    struct weir_sync_event e = { .type = WEIR_SYNC_ARRIVED,
                                 .session = device,
                                 .transfer = device,
                                 .gap = true,
                                 .wants = wants,
                                 .n_wants = n };
    step (f, &e);
}

static void
test_gaps_are_asked_for (void **state)
{
    (void) state;
    struct fixture f;
    start (&f, WEIR_ROLE_HUB);
    meet (&f, 60, WEIR_ROLE_HUB, 2);
    meet (&f, 61, WEIR_ROLE_HUB, 1);
    gap_arrives (&f, 60, 1);
    const struct weir_sync_message *m = said (&f, WEIR_SYNC_WANT, 60);
    assert_int_equal (m->n_wants, 1);
    assert_int_equal (m->wants[0].from_seq, 4);
    gap_arrives (&f, 60, WEIR_WANTS_PER_MESSAGE + 8);
    assert_int_equal (said (&f, WEIR_SYNC_WANT, 60)->n_wants, WEIR_WANTS_PER_MESSAGE);
    gap_arrives (&f, 60, 0); /* the store knows of nothing */
    assert_null (said (&f, WEIR_SYNC_WANT, 60));
    gap_arrives (&f, 61, 1); /* it would not understand */
    assert_null (said (&f, WEIR_SYNC_WANT, 61));
    size_t asked = 2;
    for (size_t i = 0; i < 100; i++) { /* one that answers with more that waits, for ever */
        gap_arrives (&f, 60, 1);
        asked += said (&f, WEIR_SYNC_WANT, 60) != NULL;
    }
    assert_int_equal (asked, WEIR_WANTS_IN_A_ROW_MAX);
    arrived (&f, 60, 1, 9, 0, 1); /* whole again */
    gap_arrives (&f, 60, 1);
    assert_non_null (said (&f, WEIR_SYNC_WANT, 60));
    end (&f);
}

static void
found (struct fixture *f, unsigned device, uint64_t from, uint64_t to)
{
    struct weir_ranges ranges = { 0 };
    add_range (&ranges, 9, 1, from, to);
    struct weir_sync_event e = { .type = WEIR_SYNC_FOUND,
                                 .session = device,
                                 .device = id (device),
                                 .db = id (1),
                                 .ranges = &ranges };
    step (f, &e);
    weir_ranges_fini (&ranges);
}

static void
test_wants_are_answered (void **state)
{
    (void) state;
    struct fixture f;
    struct weir_sync_want want = { id (5), WEIR_SYNC_FROM_UNKNOWN };
    struct weir_sync_message m = { .type = WEIR_SYNC_WANT, .n_wants = 1, .wants = &want };
    start (&f, WEIR_ROLE_LEAF);
    meet (&f, 60, WEIR_ROLE_HUB, 2);
    say (&f, 60, &m);
    const struct weir_sync_action *find = nth (&f, WEIR_SYNC_FIND, 0);
    assert_int_equal (find->message.n_wants, 1);
    assert_int_equal (find->session, 60);
    say (&f, 60, &m); /* one at a time */
    assert_int_equal (f.actions.count, 0);
    found (&f, 60, 0, WEIR_WANT_ENTRIES_MAX + 1); /* a comparison does that better */
    assert_int_equal (f.actions.count, 0);
    say (&f, 60, &m);
    assert_non_null (nth (&f, WEIR_SYNC_FIND, 0));
    found (&f, 60, 3, 5);
    assert_non_null (nth (&f, WEIR_SYNC_OPEN_OUT, 0));
    say (&f, 60, &m);
    struct weir_sync_event down = { .type = WEIR_SYNC_SESSION_DOWN, .session = 60 };
    step (&f, &down);
    found (&f, 60, 3, 5); /* late */
    found (&f, 61, 3, 5); /* of nobody */
    assert_int_equal (f.actions.count, 0);
    end (&f);
}

/* ---- standing transfers ---- */

static void
test_standing (void **state)
{
    (void) state;
    struct fixture f;
    start (&f, WEIR_ROLE_HUB);
    meet (&f, 60, WEIR_ROLE_HUB, 2);
    meet (&f, 61, WEIR_ROLE_HUB, 2);
    novel (&f, 0, 50, 0, 1);
    uint64_t transfer = 0;
    for (size_t i = 0; i < 2; i++) {
        const struct weir_sync_action *a = nth (&f, WEIR_SYNC_OPEN_OUT, i);
        transfer = a->session == 60 ? a->transfer : transfer;
    }
    struct weir_sync_event opened = { .type = WEIR_SYNC_OPENED,
                                      .session = 60,
                                      .transfer = transfer };
    step (&f, &opened);
    struct weir_sync_message accept = { .type = WEIR_SYNC_ACCEPT,
                                        .transfer = transfer,
                                        .credit = 1u << 20 };
    say (&f, 60, &accept);
    assert_non_null (nth (&f, WEIR_SYNC_SEND, 0));
    assert_null (nth (&f, WEIR_SYNC_STAND, 0)); /* not while something flies */
    struct weir_sync_event acked = { .type = WEIR_SYNC_ACKED,
                                     .session = 60,
                                     .transfer = transfer,
                                     .entries = 1,
                                     .their_digest = id (f.digest),
                                     .idle = true };
    f.now += 3;
    step (&f, &acked);
    const struct weir_sync_action *stand = nth (&f, WEIR_SYNC_STAND, 0);
    assert_true (stand->stand && stand->transfer == transfer && stand->session == 60);
    assert_true (state_of (&f, 60).stands);
    assert_int_equal (state_of (&f, 60).acks, 1);
    assert_int_equal (state_of (&f, 60).ack_us, 3000);
    assert_int_equal (state_of (&f, 60).acks_in[2], 1); /* < 4 ms */
    /* Fed by the store: counted, not sent again; of a transfer that is gone: sent. */
    struct weir_ranges ranges = { 0 };
    add_range (&ranges, 50, 1, 1, 3);
    struct weir_sync_fed fed[] = { { 60, transfer }, { 61, 12345 }, { 60, 99 } };
    struct weir_sync_event e = { .type = WEIR_SYNC_NOVEL,
                                 .db = id (1),
                                 .ranges = &ranges,
                                 .digest = id (++f.digest),
                                 .fed = fed,
                                 .n_fed = 3 };
    step (&f, &e);
    weir_ranges_fini (&ranges);
    assert_null (nth (&f, WEIR_SYNC_SEND, 0));
    assert_int_equal (state_of (&f, 60).entries_sent, 3);
    assert_int_equal (state_of (&f, 60).phase, WEIR_SYNC_SENDING);
    /* Pruned, it stands no more. */
    prune_by (&f, 60);
    stand = nth (&f, WEIR_SYNC_STAND, 0);
    assert_false (stand->stand);
    assert_false (state_of (&f, 60).stands);
    end (&f);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_gaps_are_asked_for),
        cmocka_unit_test (test_wants_are_answered),
        cmocka_unit_test (test_standing),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
