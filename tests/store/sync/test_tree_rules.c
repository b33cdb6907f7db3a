/* Goal: the tree's rules, one by one, by the synchronizer's actions: who is pruned for what came
 * twice, what is announced and grafted and when, and that hostile, late and repeated messages
 * cost bounded work. Whole graphs are in test_tree.c. */

#include "tests/store/sync/tree_rules.h"

/* ---- prune ---- */

struct prune_case {
    const char *name;
    enum weir_role ours, first, late; /* who supplied it, who sent it again */
    uint32_t first_protocol, late_protocol;
    bool guided;     /* the chain was the guide for long enough */
    uint64_t fresh;  /* what else the burst brought */
    unsigned pruned; /* 60 first, 61 late, 0 nobody */
};

static void
test_who_is_pruned (void **state)
{
    (void) state;
    static const struct prune_case cases[] = {
        { "hubs: the late one", 1, 1, 1, 2, 2, true, 0, 61 },
        { "hubs: not before one chain guides", 1, 1, 1, 2, 2, false, 0, 0 },
        { "hubs: a burst that was mostly new", 1, 1, 1, 2, 2, true, 9, 0 },
        { "hubs: the late one cannot hear it", 1, 1, 1, 2, 1, true, 0, 60 },
        { "hubs: neither can", 1, 1, 1, 1, 1, true, 0, 0 },
        { "hub: a leaf that a hub brings too", 1, 0, 1, 2, 2, false, 0, 60 },
        { "hub: a leaf that cannot hear it", 1, 0, 1, 1, 2, false, 0, 0 },
        { "hub: a leaf's own came by a hub first", 1, 1, 0, 2, 2, true, 0, 61 },
        { "hub: two leaves", 1, 0, 0, 2, 2, true, 0, 0 },
        { "leaf: the late hub, guided or not", 0, 1, 1, 2, 2, false, 0, 61 },
        { "leaf: another leaf", 0, 0, 1, 2, 2, false, 0, 60 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct prune_case *c = &cases[i];
        struct fixture f;
        start (&f, c->ours);
        meet (&f, 60, c->first, c->first_protocol);
        meet (&f, 61, c->late, c->late_protocol);
        novel (&f, 60, 9, 0, 1);
        f.now += c->guided ? WEIR_GUIDE_SETTLE_MS : 1;
        novel (&f, 60, 9, 1, 2);
        arrived (&f, 61, c->fresh, 9, 1, 2);
        bool first = said (&f, WEIR_SYNC_PRUNE, 60) != NULL;
        bool late = said (&f, WEIR_SYNC_PRUNE, 61) != NULL;
        if (first != (c->pruned == 60) || late != (c->pruned == 61)) {
            fail_msg ("%s: first %d, late %d", c->name, first, late);
        }
        assert_int_equal (state_of (&f, 61).entries_again, 1);
        if (c->pruned != 0) {
            assert_true (state_of (&f, c->pruned).pruned);
            assert_int_equal (state_of (&f, c->pruned).prunes, 1);
        }
        end (&f);
    }
}

static void
test_what_prunes_nobody (void **state)
{
    (void) state;
    struct fixture f;
    start (&f, WEIR_ROLE_HUB);
    meet (&f, 60, WEIR_ROLE_HUB, 2);
    meet (&f, 61, WEIR_ROLE_HUB, 2);
    novel (&f, 0, 50, 0, 1);
    f.now += WEIR_GUIDE_SETTLE_MS;
    arrived (&f, 61, 0, 50, 0, 1); /* our own came back: the other end has it twice too */
    assert_null (said (&f, WEIR_SYNC_PRUNE, 61));
    novel (&f, 60, 9, 0, 4);
    arrived (&f, 60, 0, 9, 0, 4); /* the same one, twice */
    assert_null (said (&f, WEIR_SYNC_PRUNE, 60));
    arrived (&f, 61, 0, 9, 3, 9); /* more than is remembered */
    assert_null (said (&f, WEIR_SYNC_PRUNE, 61));
    arrived (&f, 61, 0, 8, 0, 1); /* a chain that nobody remembers */
    assert_null (said (&f, WEIR_SYNC_PRUNE, 61));
    struct weir_sync_event down = { .type = WEIR_SYNC_SESSION_DOWN, .session = 60 };
    step (&f, &down);
    f.now += WEIR_GUIDE_SETTLE_MS;
    arrived (&f, 61, 0, 9, 0, 4); /* who supplied it is gone */
    assert_null (said (&f, WEIR_SYNC_PRUNE, 61));
    end (&f);
}

/* Bursts that are new in part prune when that goes on; and not twice in half a second. */
static void
test_mixed_bursts (void **state)
{
    (void) state;
    struct fixture f;
    start (&f, WEIR_ROLE_LEAF);
    meet (&f, 60, WEIR_ROLE_HUB, 2);
    meet (&f, 61, WEIR_ROLE_HUB, 2);
    size_t bursts = 0;
    for (uint64_t seq = 0; !state_of (&f, 61).pruned; seq += 8) {
        novel (&f, 60, 9, seq, seq + 8);
        arrived (&f, 61, 8, 9, seq, seq + 8);
        bursts++;
        assert_true (bursts < 10);
    }
    assert_int_equal (bursts, 2);
    arrived (&f, 61, 0, 9, 0, 8); /* on its way before it heard */
    assert_null (said (&f, WEIR_SYNC_PRUNE, 61));
    f.now += WEIR_PRUNE_AGAIN_MS;
    arrived (&f, 61, 0, 9, 0, 8); /* it did not hear */
    assert_non_null (said (&f, WEIR_SYNC_PRUNE, 61));
    /* It sends what nobody else has: it is no longer taken for silent. */
    f.now += WEIR_PRUNE_AGAIN_MS + 1;
    struct weir_sync_event e = {
        .type = WEIR_SYNC_ARRIVED, .session = 61, .transfer = 61, .entries = 3
    };
    step (&f, &e);
    assert_false (state_of (&f, 61).pruned);
    for (uint64_t i = 0; i < 40; i++) {
        arrived (&f, 60, 100, 8, 0, 100); /* shares are of late only */
    }
    end (&f);
}

/* ---- announce and graft, as the one that sends ---- */

static void
test_announcements (void **state)
{
    (void) state;
    struct fixture f;
    start (&f, WEIR_ROLE_HUB);
    meet (&f, 60, WEIR_ROLE_HUB, 2);
    meet (&f, 61, WEIR_ROLE_HUB, 2);
    prune_by (&f, 60);
    assert_true (state_of (&f, 60).pruned_by && state_of (&f, 60).pruned);
    novel (&f, 0, 50, 0, 2);
    novel (&f, 0, 50, 2, 5);
    assert_null (said (&f, WEIR_SYNC_ANNOUNCE, 60));
    tick (&f, WEIR_ANNOUNCE_DELAY_MS);
    const struct weir_sync_message *m = said (&f, WEIR_SYNC_ANNOUNCE, 60);
    assert_int_equal (m->n_marks, 1);
    assert_true (m->marks[0].chain == chain_tag (50, 1) && m->marks[0].seq == 5);
    struct weir_id digest = id (f.digest);
    assert_true (weir_id_equal (&m->digest, &digest));
    /* It held two of them; a third it was not told of yet goes as a body too. */
    novel (&f, 0, 50, 5, 6);
    novel (&f, 0, 51, 0, 1);
    struct weir_sync_mark mark = { chain_tag (50, 1), 2 };
    struct weir_sync_message graft = { .type = WEIR_SYNC_GRAFT, .n_marks = 1, .marks = &mark };
    say (&f, 60, &graft);
    assert_false (state_of (&f, 60).pruned_by);
    const struct weir_sync_action *open = nth (&f, WEIR_SYNC_OPEN_OUT, 0);
    assert_non_null (open);
    uint64_t transfer = open->transfer;
    struct weir_sync_event e = { .type = WEIR_SYNC_OPENED, .session = 60, .transfer = transfer };
    step (&f, &e);
    struct weir_sync_message accept = { .type = WEIR_SYNC_ACCEPT,
                                        .transfer = transfer,
                                        .credit = 1u << 20 };
    say (&f, 60, &accept);
    const struct weir_sync_action *send = nth (&f, WEIR_SYNC_SEND, 0);
    assert_int_equal (send->ranges.count, 2);
    assert_true (send->ranges.items[0].from_seq == 2 && send->ranges.items[0].to_seq == 6);
    assert_int_equal (send->entries, 5);
    tick (&f, WEIR_ANNOUNCE_DELAY_MS);
    assert_null (said (&f, WEIR_SYNC_ANNOUNCE, 60));
    /* Said again, it costs nothing. */
    say (&f, 60, &graft);
    assert_null (nth (&f, WEIR_SYNC_SEND, 0));
    end (&f);
}

/* What they announce themselves they are not owed; a digest alone is told when it is quiet. */
static void
test_they_have_it (void **state)
{
    (void) state;
    struct fixture f;
    start (&f, WEIR_ROLE_HUB);
    meet (&f, 60, WEIR_ROLE_HUB, 2);
    meet (&f, 61, WEIR_ROLE_HUB, 2);
    prune_by (&f, 60);
    novel (&f, 61, 9, 0, 4);
    tick (&f, WEIR_ANNOUNCE_DELAY_MS);
    assert_non_null (said (&f, WEIR_SYNC_ANNOUNCE, 60));
    struct weir_sync_mark mark = { chain_tag (9, 1), 4 };
    struct weir_sync_message m = {
        .type = WEIR_SYNC_ANNOUNCE, .n_marks = 1, .marks = &mark, .digest = id (f.digest)
    };
    say (&f, 60, &m);
    assert_int_equal (state_of (&f, 60).phase, WEIR_SYNC_EQUAL);
    struct weir_sync_message graft = { .type = WEIR_SYNC_GRAFT };
    say (&f, 60, &graft);
    assert_null (nth (&f, WEIR_SYNC_OPEN_OUT, 0)); /* nothing is owed */
    prune_by (&f, 60);
    novel (&f, 60, 8, 0, 1); /* it came from them, though they announce: only our digest is news */
    tick (&f, WEIR_ANNOUNCE_DELAY_MS);
    assert_null (said (&f, WEIR_SYNC_ANNOUNCE, 60));
    tick (&f, WEIR_TELL_DIGEST_MS);
    assert_int_equal (said (&f, WEIR_SYNC_ANNOUNCE, 60)->n_marks, 0);
    /* What they wrote themselves is neither announced nor pushed. */
    novel (&f, 61, 60, 0, 1);
    tick (&f, WEIR_ANNOUNCE_DELAY_MS);
    assert_null (said (&f, WEIR_SYNC_ANNOUNCE, 60));
    end (&f);
}

static void
test_what_is_owed_is_bounded (void **state)
{
    (void) state;
    struct fixture f;
    start (&f, WEIR_ROLE_HUB);
    meet (&f, 60, WEIR_ROLE_HUB, 2);
    meet (&f, 61, WEIR_ROLE_HUB, 2);
    prune_by (&f, 60);
    struct weir_ranges many = { 0 };
    for (unsigned i = 0; i < WEIR_TREE_CHAINS_MAX + 100; i++) {
        add_range (&many, 100 + i, 1, 0, 1);
    }
    struct weir_sync_event e = {
        .type = WEIR_SYNC_NOVEL, .db = id (1), .source = id (61), .ranges = &many, .digest = id (8)
    };
    step (&f, &e);
    weir_ranges_fini (&many);
    tick (&f, WEIR_ANNOUNCE_DELAY_MS);
    size_t marks = 0;
    size_t messages = 0;
    const struct weir_sync_action *a;
    for (size_t i = 0; (a = nth (&f, WEIR_SYNC_SAY, i)) != NULL; i++) {
        if (a->message.type == WEIR_SYNC_ANNOUNCE) {
            assert_true (a->message.n_marks <= WEIR_MARKS_PER_MESSAGE);
            marks += a->message.n_marks;
            messages++;
        }
    }
    assert_int_equal (marks, WEIR_TREE_OWED_MAX);
    assert_int_equal (messages, WEIR_TREE_OWED_MAX / WEIR_MARKS_PER_MESSAGE);
    assert_int_equal (state_of (&f, 60).announced, messages);
    /* The first chains are forgotten: what comes of them again prunes nobody. */
    f.now += 10 * WEIR_GUIDE_MS;
    arrived (&f, 61, 0, 100, 0, 1);
    assert_null (said (&f, WEIR_SYNC_PRUNE, 61));
    end (&f);
}

static void
test_the_last_edge_stays (void **state)
{
    (void) state;
    struct fixture f;
    start (&f, WEIR_ROLE_HUB);
    meet (&f, 60, WEIR_ROLE_HUB, 2);
    meet (&f, 62, WEIR_ROLE_LEAF, 2);
    for (unsigned i = 0; i < 100; i++) { /* a peer that prunes everybody */
        prune_by (&f, 60);
        f.now += 10;
    }
    assert_false (state_of (&f, 60).pruned_by);
    assert_in_range (state_of (&f, 60).grafts, 2, 3); /* said so once in half a second */
    prune_by (&f, 62);                                /* a leaf may want nothing */
    assert_true (state_of (&f, 62).pruned_by);
    end (&f);
    /* A leaf's last hub takes what it writes, whatever that says. */
    start (&f, WEIR_ROLE_LEAF);
    meet (&f, 60, WEIR_ROLE_HUB, 2);
    prune_by (&f, 60);
    assert_int_equal (f.actions.count, 0);
    assert_false (state_of (&f, 60).pruned_by);
    end (&f);
}

/* ---- announce and graft, as the one that misses it ---- */

static void
announce_by (struct fixture *f, unsigned device, unsigned author, uint64_t seq)
{
    struct weir_sync_mark mark = { chain_tag (author, 1), seq };
    struct weir_sync_message m = {
        .type = WEIR_SYNC_ANNOUNCE, .n_marks = 1, .marks = &mark, .digest = id (200)
    };
    say (f, device, &m);
}

/* Time passes until it says this, at most so long. */
static const struct weir_sync_message *
wait_for (struct fixture *f, enum weir_sync_message_type type, uint64_t session, uint64_t ms)
{
    const struct weir_sync_message *m = NULL;
    for (uint64_t end_ms = f->now + ms; !m && f->now < end_ms;) {
        tick (f, 1);
        m = said (f, type, session);
    }
    return m;
}

static void
test_graft_what_is_late (void **state)
{
    (void) state;
    struct fixture f;
    start (&f, WEIR_ROLE_HUB);
    meet (&f, 60, WEIR_ROLE_HUB, 2);
    meet (&f, 61, WEIR_ROLE_HUB, 2);
    novel (&f, 61, 9, 0, 3);
    announce_by (&f, 60, 9, 3); /* held */
    assert_null (wait_for (&f, WEIR_SYNC_GRAFT, 60, 1000));
    /* In a stream there is always something that was announced just now. */
    for (uint64_t seq = 4; seq < 40; seq++) {
        announce_by (&f, 60, 9, seq);
        tick (&f, 20);
        novel (&f, 61, 9, seq - 1, seq);
        assert_null (said (&f, WEIR_SYNC_GRAFT, 60));
    }
    uint64_t begin = f.now;
    announce_by (&f, 60, 9, 60);
    const struct weir_sync_message *m = wait_for (&f, WEIR_SYNC_GRAFT, 60, 1000);
    assert_int_equal (m->n_marks, 1);
    assert_true (m->marks[0].chain == chain_tag (9, 1) && m->marks[0].seq == 39);
    assert_in_range (f.now - begin, WEIR_GRAFT_MS * 3 / 4, 2 * WEIR_GRAFT_MS);
    /* Another that announces the same waits for the first. */
    announce_by (&f, 61, 9, 60);
    assert_null (wait_for (&f, WEIR_SYNC_GRAFT, 61, WEIR_GRAFT_MS / 2));
    novel (&f, 60, 9, 39, 60);
    assert_null (wait_for (&f, WEIR_SYNC_GRAFT, 61, 3000));
    assert_int_equal (state_of (&f, 60).strikes, 0);
    assert_int_equal (state_of (&f, 60).announcements_heard, 38);
    end (&f);
}

/* Of a way round that takes long, bodies are waited for longer. */
static void
test_wait_for_the_tree (void **state)
{
    (void) state;
    struct fixture f;
    start (&f, WEIR_ROLE_HUB);
    meet (&f, 60, WEIR_ROLE_HUB, 2);
    meet (&f, 61, WEIR_ROLE_HUB, 2);
    novel (&f, 61, 9, 0, 1);
    f.now += WEIR_GUIDE_SETTLE_MS;
    size_t grafts = 0;
    for (uint64_t seq = 1; seq < 12; seq++) {
        announce_by (&f, 60, 9, seq + 1);
        const struct weir_sync_message *m = wait_for (&f, WEIR_SYNC_GRAFT, 60, 400);
        novel (&f, 61, 9, seq, seq + 1);
        if (m) {
            grafts++;
            arrived (&f, 60, 0, 9, seq, seq + 1); /* in vain: it is pruned again */
        }
        tick (&f, 600);
    }
    assert_in_range (grafts, 1, 2);
    end (&f);
}

/* One that announces what it does not send. */
static void
test_broken_promises (void **state)
{
    (void) state;
    struct fixture f;
    start (&f, WEIR_ROLE_HUB);
    meet (&f, 60, WEIR_ROLE_HUB, 2);
    meet (&f, 61, WEIR_ROLE_HUB, 2);
    size_t strikes = 0;
    for (uint64_t seq = 1; strikes == 0 && seq < 10; seq++) {
        announce_by (&f, 60, 9, seq);
        assert_non_null (wait_for (&f, WEIR_SYNC_GRAFT, 60, 5000));
        for (uint64_t end_ms = f.now + 2 * WEIR_GRAFT_PATIENCE_MS; f.now < end_ms;) {
            tick (&f, 10);
            strikes += nth (&f, WEIR_SYNC_STRIKE, 0) != NULL;
        }
    }
    assert_int_equal (strikes, 1);
    assert_int_equal (state_of (&f, 60).strikes, WEIR_STRIKES_MAX);
    announce_by (&f, 60, 9, 100);
    assert_null (wait_for (&f, WEIR_SYNC_GRAFT, 60, 10000)); /* nobody listens */
    f.now += WEIR_STRIKE_MS;
    struct weir_sync_digest item = { .tag = tag (), .digest = id (f.digest) };
    struct weir_sync_message equal = { .type = WEIR_SYNC_DIGESTS,
                                       .n_digests = 1,
                                       .digests = &item };
    say (&f, 60, &equal);
    announce_by (&f, 60, 9, 101);
    assert_non_null (wait_for (&f, WEIR_SYNC_GRAFT, 60, 5000)); /* until now */
    /* What comes and is not stored is no lie. */
    arrived (&f, 60, 0, 7, 0, 1);
    uint64_t before = state_of (&f, 60).strikes;
    for (uint64_t i = 0; i < 50; i++) {
        tick (&f, 100);
    }
    assert_int_equal (state_of (&f, 60).strikes, before);
    end (&f);
}

/* ---- nonsense ---- */

static void
test_hostile_messages (void **state)
{
    (void) state;
    struct fixture f;
    struct weir_sync_mark marks[WEIR_MARKS_PER_MESSAGE + 1] = { { 1, 1 } };
    struct weir_sync_want wants[WEIR_WANTS_PER_MESSAGE + 1] = { { { { 1 } }, 0 } };
    start (&f, WEIR_ROLE_HUB);
    meet (&f, 60, WEIR_ROLE_HUB, 2);
    meet (&f, 61, WEIR_ROLE_HUB, 1);
    struct weir_sync_message bad[] = {
        { .type = WEIR_SYNC_ANNOUNCE, .n_marks = WEIR_MARKS_PER_MESSAGE + 1, .marks = marks },
        { .type = WEIR_SYNC_GRAFT, .n_marks = WEIR_MARKS_PER_MESSAGE + 1, .marks = marks },
        { .type = WEIR_SYNC_WANT, .n_wants = 0 },
        { .type = WEIR_SYNC_WANT, .n_wants = WEIR_WANTS_PER_MESSAGE + 1, .wants = wants },
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        say (&f, 60, &bad[i]);
        assert_int_equal (f.actions.count, 0);
    }
    prune_by (&f, 61); /* of one that does not speak of it */
    struct weir_sync_counters c;
    weir_sync_counters (f.sync, &c);
    assert_int_equal (c.messages_bad, 5);
    assert_false (state_of (&f, 61).pruned_by);
    for (uint64_t i = 0; i < 1000; i++) { /* chains that are none */
        for (size_t k = 0; k < WEIR_MARKS_PER_MESSAGE; k++) {
            marks[k] = (struct weir_sync_mark){ i * 1000 + k, UINT64_MAX };
        }
        struct weir_sync_message m = { .type = WEIR_SYNC_ANNOUNCE,
                                       .n_marks = WEIR_MARKS_PER_MESSAGE,
                                       .marks = marks };
        m.digest = id (200);
        say (&f, 60, &m);
    }
    const struct weir_sync_message *graft = wait_for (&f, WEIR_SYNC_GRAFT, 60, 1000);
    assert_int_equal (graft->n_marks, WEIR_MARKS_PER_MESSAGE);
    /* Of a database that it does not share: silence; that it was removed from: told. */
    struct weir_sync_message m = { .type = WEIR_SYNC_PRUNE, .tag = 99 };
    say (&f, 60, &m);
    assert_int_equal (f.actions.count, 0);
    struct weir_sync_message want = {
        .type = WEIR_SYNC_WANT, .tag = 99, .n_wants = 1, .wants = wants
    };
    say (&f, 60, &want);
    assert_int_equal (f.actions.count, 0);
    struct weir_sync_event unshare = {
        .type = WEIR_SYNC_UNSHARE, .device = id (60), .db = id (1), .status = WEIR_REMOVED
    };
    step (&f, &unshare);
    m.tag = 0;
    say (&f, 60, &m);
    assert_non_null (said (&f, WEIR_SYNC_NOT_SHARED, 60));
    end (&f);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_who_is_pruned),
        cmocka_unit_test (test_what_prunes_nobody),
        cmocka_unit_test (test_mixed_bursts),
        cmocka_unit_test (test_announcements),
        cmocka_unit_test (test_they_have_it),
        cmocka_unit_test (test_what_is_owed_is_bounded),
        cmocka_unit_test (test_the_last_edge_stays),
        cmocka_unit_test (test_graft_what_is_late),
        cmocka_unit_test (test_wait_for_the_tree),
        cmocka_unit_test (test_broken_promises),
        cmocka_unit_test (test_hostile_messages),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
