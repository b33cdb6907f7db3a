/* Goal: the synchronizer's rules, one by one, by its actions: what is said when a session
 * starts, who asks, what is sent to whom, what ends in a back-off; and that late, repeated,
 * hostile and lost messages cost bounded work and end in a new exchange of digests. Whole
 * histories are the simulator's (tests/sim). */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "store/sync/sync.h"
#include "store/base/limits.h"
#include "store/crypto/hash.h"

#define INTERVAL 30000u

struct fixture {
    struct weir_sync *sync;
    struct weir_sync_actions actions;
    size_t read; /* actions before it are checked */
    uint64_t now;
    uint64_t ticket;
    uint64_t transfer; /* of the last OPEN_OUT */
    bool stands;       /* the last STAND, which is expected nowhere */
};

static struct weir_id
id (unsigned n)
{
    struct weir_id i = { { 0 } };
    i.b[0] = (uint8_t) n;
    i.b[1] = 1;
    return i;
}

static const struct weir_id key = { { 42 } };

static struct weir_sync_options
default_options (void)
{
    struct weir_sync_options o = { .device = id (50),
                                   .role = WEIR_ROLE_HUB,
                                   .forward = true,
                                   .enabled = true,
                                   .check_interval_ms = INTERVAL,
                                   .batch_size = 4096,
                                   .seed = 3 };
    return o;
}

static void
start (struct fixture *f, const struct weir_sync_options *options)
{
    memset (f, 0, sizeof *f);
    f->sync = weir_sync_new (options);
    f->now = 1000;
}

static void
end (struct fixture *f)
{
    weir_sync_actions_fini (&f->actions);
    weir_sync_destroy (&f->sync);
    weir_sync_destroy (&f->sync);
}

static void
step (struct fixture *f, const struct weir_sync_event *e)
{
    assert_int_equal (f->read, f->actions.count); /* all that was done before was expected */
    weir_sync_actions_clear (&f->actions);
    f->read = 0;
    weir_sync_step (f->sync, e, f->now, &f->actions);
    size_t kept = 0;
    for (size_t i = 0; i < f->actions.count; i++) {
        if (f->actions.items[i].type == WEIR_SYNC_STAND) {
            f->stands = f->actions.items[i].stand;
        } else {
            f->actions.items[kept++] = f->actions.items[i];
        }
    }
    f->actions.count = kept;
}

static const struct weir_sync_action *
expect (struct fixture *f, enum weir_sync_action_type type)
{
    assert_true (f->read < f->actions.count);
    const struct weir_sync_action *a = &f->actions.items[f->read++];
    assert_int_equal (a->type, type);
    if (type == WEIR_SYNC_COMPARE) {
        f->ticket = a->ticket;
    } else if (type == WEIR_SYNC_OPEN_OUT) {
        f->transfer = a->transfer;
        assert_true (a->transfer != 0);
    }
    return a;
}

static const struct weir_sync_message *
expect_say (struct fixture *f, enum weir_sync_message_type type)
{
    const struct weir_sync_action *a = expect (f, WEIR_SYNC_SAY);
    assert_int_equal (a->message.type, type);
    return &a->message;
}

static void
expect_none (struct fixture *f)
{
    assert_int_equal (f->read, f->actions.count);
}

static void
up (struct fixture *f, uint64_t session, unsigned device)
{
    struct weir_sync_event e = { .type = WEIR_SYNC_SESSION_UP,
                                 .session = session,
                                 .device = id (device),
                                 .key = key,
                                 .role = WEIR_ROLE_HUB };
    step (f, &e);
}

static void
down (struct fixture *f, uint64_t session)
{
    struct weir_sync_event e = { .type = WEIR_SYNC_SESSION_DOWN, .session = session };
    step (f, &e);
}

static void
share (struct fixture *f, unsigned device, unsigned db, enum weir_direction direction,
       unsigned digest)
{
    struct weir_sync_event e = {
        .type = WEIR_SYNC_SHARE, .device = id (device), .db = id (db), .direction = direction
    };
    if (digest != 0) {
        e.digest = id (digest);
    }
    step (f, &e);
}

static uint64_t
tag (unsigned db)
{
    struct weir_id i = id (db);
    return weir_hash_tag (&key, weir_id_bytes (&i));
}

static void
say (struct fixture *f, uint64_t session, const struct weir_sync_message *m)
{
    struct weir_sync_event e = { .type = WEIR_SYNC_MESSAGE, .session = session, .message = m };
    step (f, &e);
}

static void
say_digest (struct fixture *f, uint64_t session, unsigned db, unsigned digest, bool answer)
{
    struct weir_sync_digest item = { .tag = tag (db), .digest = id (digest) };
    struct weir_sync_message m = {
        .type = WEIR_SYNC_DIGESTS, .n_digests = 1, .digests = &item, .answer = answer
    };
    say (f, session, &m);
}

static void
say_vector (struct fixture *f, uint64_t session, unsigned db, uint32_t round, size_t n_rows)
{
    struct weir_sync_message m = {
        .type = WEIR_SYNC_VECTOR, .tag = tag (db), .round = round, .n_rows = n_rows
    };
    m.rows = weir_alloc (n_rows * sizeof m.rows[0]);
    for (size_t i = 0; i < n_rows; i++) {
        m.rows[i].row.chain.lane = i;
        m.rows[i].row.count = 1;
    }
    say (f, session, &m);
    free (m.rows);
}

static void
say_transfer (struct fixture *f, uint64_t session, enum weir_sync_message_type type, unsigned db,
              uint64_t transfer, enum weir_status status)
{
    struct weir_sync_message m = {
        .type = type, .tag = tag (db), .transfer = transfer, .credit = UINT64_MAX, .status = status
    };
    say (f, session, &m);
}

static void
tick (struct fixture *f, uint64_t ms)
{
    f->now += ms;
    struct weir_sync_event e = { .type = WEIR_SYNC_TICK };
    step (f, &e);
}

static void
put_range (struct weir_ranges *r, uint64_t lane, uint64_t from, uint64_t to)
{
    struct weir_range range = { .chain = { .author = id (9), .lane = lane },
                                .from_seq = from,
                                .to_seq = to };
    range.tip = id ((unsigned) to);
    range.tip.b[2] = (uint8_t) lane;
    weir_ranges_add (r, &range, &weir_id_zero);
}

static void
novel (struct fixture *f, unsigned db, unsigned source, uint64_t from, uint64_t to, unsigned digest)
{
    struct weir_ranges r = { 0 };
    put_range (&r, 1, from, to);
    struct weir_sync_event e = {
        .type = WEIR_SYNC_NOVEL, .db = id (db), .ranges = &r, .digest = id (digest)
    };
    if (source != 0) {
        e.source = id (source);
    }
    step (f, &e);
    weir_ranges_fini (&r);
}

static void
compared (struct fixture *f, uint64_t n_lacks, bool unknown, size_t n_rows)
{
    struct weir_ranges r = { 0 };
    for (uint64_t i = 0; i < n_lacks; i++) {
        put_range (&r, i, 0, 3);
    }
    struct weir_vector v = { 0 };
    struct weir_told_row *rows = weir_alloc ((n_rows + 1) * sizeof rows[0]);
    for (size_t i = 0; i < n_rows; i++) {
        rows[i].row.chain.lane = i;
        rows[i].row.count = 1;
    }
    if (unknown) {
        weir_vector_put (&v, &rows[0].row);
    }
    struct weir_sync_event e = { .type = WEIR_SYNC_COMPARED,
                                 .ticket = f->ticket,
                                 .ranges = &r,
                                 .unknown = &v,
                                 .rows = rows,
                                 .n_rows = n_rows };
    step (f, &e);
    free (rows);
    weir_vector_fini (&v);
    weir_ranges_fini (&r);
}

static void
transfer_event (struct fixture *f, enum weir_sync_event_type type, uint64_t transfer,
                enum weir_status status)
{
    struct weir_sync_event e = {
        .type = type, .session = 1, .transfer = transfer, .status = status
    };
    step (f, &e);
}

static void
acked (struct fixture *f, uint64_t entries, unsigned theirs, bool idle)
{
    struct weir_sync_event e = { .type = WEIR_SYNC_ACKED,
                                 .session = 1,
                                 .transfer = f->transfer,
                                 .entries = entries,
                                 .idle = idle };
    if (theirs != 0) {
        e.their_digest = id (theirs);
    }
    step (f, &e);
}

static enum weir_sync_phase
phase (struct fixture *f, unsigned device, unsigned db)
{
    struct weir_sync_state s;
    struct weir_id d = id (device), b = id (db);
    assert_true (weir_sync_find (f->sync, &d, &b, &s));
    return s.phase;
}

/* A session with device `device`, one database 1, both digests 7. */
static void
in_step (struct fixture *f, unsigned device)
{
    share (f, device, 1, WEIR_SYNC_BOTH, 7);
    expect_none (f);
    up (f, 1, device);
    assert_int_equal (expect_say (f, WEIR_SYNC_DIGESTS)->n_digests, 1);
    say_digest (f, 1, 1, 7, false);
    assert_int_equal (expect (f, WEIR_SYNC_IN_STEP)->entries, 0);
    assert_int_equal (phase (f, device, 1), WEIR_SYNC_EQUAL);
    f->now += 1000;
}

/* The first burst's transfer: opened, offered, accepted. */
static void
open_transfer (struct fixture *f)
{
    expect (f, WEIR_SYNC_OPEN_OUT);
    transfer_event (f, WEIR_SYNC_OPENED, f->transfer, WEIR_OK);
    assert_int_equal (expect_say (f, WEIR_SYNC_OFFER)->transfer, f->transfer);
    say_transfer (f, 1, WEIR_SYNC_ACCEPT, 1, f->transfer, WEIR_OK);
    assert_int_equal (expect (f, WEIR_SYNC_START)->credit, WEIR_CREDIT_BYTES);
}

static void
test_silence_when_equal (void **state)
{
    (void) state;
    struct fixture f;
    struct weir_sync_options o = default_options ();
    start (&f, &o);
    in_step (&f, 60);
    uint64_t next = weir_sync_next_ms (f.sync);
    assert_true (next >= 1000 + INTERVAL * 3 / 4 && next <= 1000 + INTERVAL * 5 / 4);
    size_t said = 0;
    for (uint64_t end_ms = f.now + 10 * INTERVAL; f.now < end_ms;) {
        tick (&f, weir_sync_next_ms (f.sync) - f.now);
        if (f.actions.count > 0) {
            assert_true (expect_say (&f, WEIR_SYNC_DIGESTS)->answer);
            say_digest (&f, 1, 1, 7, false);
            said++;
        }
    }
    assert_true (said >= 7 && said <= 14);
    /* The peer's own check serves both. */
    say_digest (&f, 1, 1, 7, true);
    assert_false (expect_say (&f, WEIR_SYNC_DIGESTS)->answer);
    assert_true (weir_sync_next_ms (f.sync) > f.now + INTERVAL / 2);
    end (&f);
}

static void
test_smaller_asks_at_once (void **state)
{
    (void) state;
    struct fixture f;
    struct weir_sync_options o = default_options ();
    start (&f, &o);
    share (&f, 60, 1, WEIR_SYNC_BOTH, 7);
    up (&f, 1, 60);
    expect_say (&f, WEIR_SYNC_DIGESTS);
    say_digest (&f, 1, 1, 8, false);
    assert_true (expect (&f, WEIR_SYNC_COMPARE)->ask);
    assert_int_equal (phase (&f, 60, 1), WEIR_SYNC_COMPARING);
    compared (&f, 5, false, 2); /* nothing was told yet: what they lack is not known */
    const struct weir_sync_message *m = expect_say (&f, WEIR_SYNC_VECTOR);
    assert_int_equal (m->round, 1);
    assert_int_equal (m->n_rows, 2);
    assert_true (m->answer && !m->more && !m->only);
    /* Novel ranges wait for the comparison, which finds them. */
    novel (&f, 1, 0, 3, 4, 9);
    say_vector (&f, 1, 1, 2, 3);
    assert_int_equal (expect (&f, WEIR_SYNC_COMPARE)->n_rows, 3);
    compared (&f, 2, false, 2);
    open_transfer (&f);
    const struct weir_sync_action *a = expect (&f, WEIR_SYNC_SEND);
    assert_int_equal (a->ranges.count, 2);
    assert_int_equal (a->entries, 6);
    struct weir_id nine = id (9);
    assert_true (weir_id_equal (&a->digest, &nine));
    assert_int_equal (phase (&f, 60, 1), WEIR_SYNC_SENDING);
    acked (&f, 6, 9, true);
    assert_int_equal (expect (&f, WEIR_SYNC_IN_STEP)->entries, 6);
    struct weir_sync_state s;
    assert_true (weir_sync_state (f.sync, 0, &s));
    assert_int_equal (s.entries_sent, 6);
    assert_int_equal (s.entries_acked, 6);
    assert_false (weir_sync_state (f.sync, 1, &s));
    end (&f);
}

static void
test_greater_waits_then_asks (void **state)
{
    (void) state;
    struct fixture f;
    struct weir_sync_options o = default_options ();
    start (&f, &o);
    share (&f, 40, 1, WEIR_SYNC_BOTH, 7);
    up (&f, 1, 40);
    expect_say (&f, WEIR_SYNC_DIGESTS);
    say_digest (&f, 1, 1, 8, false);
    expect_none (&f);
    tick (&f, WEIR_CONNECT_MS - 1);
    expect_none (&f);
    tick (&f, 1);
    assert_true (expect (&f, WEIR_SYNC_COMPARE)->ask);
    compared (&f, 0, false, 1);
    expect_say (&f, WEIR_SYNC_VECTOR);
    /* Both asked at once: the smaller's counts, we answer. */
    say_vector (&f, 1, 1, 1, 2);
    assert_false (expect (&f, WEIR_SYNC_COMPARE)->ask);
    compared (&f, 0, false, 1);
    const struct weir_sync_message *m = expect_say (&f, WEIR_SYNC_VECTOR);
    assert_int_equal (m->round, 2);
    assert_false (m->answer);
    say_vector (&f, 1, 1, 2, 2); /* late answer to what was given up */
    expect_none (&f);
    end (&f);
}

static void
test_smaller_ignores_crossed_ask (void **state)
{
    (void) state;
    struct fixture f;
    struct weir_sync_options o = default_options ();
    start (&f, &o);
    share (&f, 60, 1, WEIR_SYNC_BOTH, 7);
    up (&f, 1, 60);
    expect_say (&f, WEIR_SYNC_DIGESTS);
    say_digest (&f, 1, 1, 8, false);
    expect (&f, WEIR_SYNC_COMPARE);
    compared (&f, 0, false, 1);
    expect_say (&f, WEIR_SYNC_VECTOR);
    say_vector (&f, 1, 1, 1, 2);
    expect_none (&f);
    /* The answer never comes: back-off, then digests again, then the ladder. */
    tick (&f, WEIR_TRANSFER_STALL_MS);
    assert_int_equal (expect (&f, WEIR_SYNC_BEHIND)->status, WEIR_TIMED_OUT);
    assert_int_equal (phase (&f, 60, 1), WEIR_SYNC_BACKING_OFF);
    while (f.actions.count == f.read) {
        tick (&f, weir_sync_next_ms (f.sync) - f.now);
    }
    /* The digests are the same at the second ladder: the operator hears of it, once. */
    size_t differs = 0;
    size_t ladders = 0;
    for (uint64_t end_ms = f.now + 200000; f.now < end_ms;) {
        assert_true (expect_say (&f, WEIR_SYNC_DIGESTS)->answer);
        say_digest (&f, 1, 1, 8, false);
        if (f.actions.count == 0) {
            tick (&f, weir_sync_next_ms (f.sync) - f.now);
            continue; /* too soon after the last ladder */
        }
        if (f.actions.items[0].type == WEIR_SYNC_DIFFERS) {
            differs++;
            f.read++;
        }
        expect (&f, WEIR_SYNC_COMPARE);
        compared (&f, 0, false, 1);
        expect_say (&f, WEIR_SYNC_VECTOR);
        say_vector (&f, 1, 1, 2, 2);
        expect (&f, WEIR_SYNC_COMPARE);
        compared (&f, 0, false, 1);
        ladders++;
        while (f.actions.count == f.read) {
            tick (&f, weir_sync_next_ms (f.sync) - f.now);
        }
    }
    assert_int_equal (differs, 1);
    assert_true (ladders >= 4);
    f.read = f.actions.count;
    struct weir_sync_counters c;
    weir_sync_counters (f.sync, &c);
    assert_true (c.ladders >= 5 && c.ladders <= 20); /* backed off */
    end (&f);
}

static void
test_branches_take_four_rounds (void **state)
{
    (void) state;
    struct fixture f;
    struct weir_sync_options o = default_options ();
    start (&f, &o);
    share (&f, 60, 1, WEIR_SYNC_BOTH, 7);
    up (&f, 1, 60);
    expect_say (&f, WEIR_SYNC_DIGESTS);
    say_digest (&f, 1, 1, 8, false);
    expect (&f, WEIR_SYNC_COMPARE);
    compared (&f, 0, false, 4);
    expect_say (&f, WEIR_SYNC_VECTOR);
    say_vector (&f, 1, 1, 2, 4);
    expect (&f, WEIR_SYNC_COMPARE);
    compared (&f, 0, true, 4);
    const struct weir_sync_message *m = expect_say (&f, WEIR_SYNC_VECTOR);
    assert_int_equal (m->round, 3);
    assert_int_equal (m->n_rows, 1);
    assert_true (m->only && m->answer);
    say_vector (&f, 1, 1, 4, 1);
    expect (&f, WEIR_SYNC_COMPARE);
    compared (&f, 1, true, 4);
    expect (&f, WEIR_SYNC_OPEN_OUT); /* and no fifth message */
    expect_none (&f);
    /* As the other side: round 1 and 3 are answered by 2 and 4. */
    say_vector (&f, 1, 1, 1, 4);
    expect (&f, WEIR_SYNC_COMPARE);
    compared (&f, 0, true, 4);
    assert_int_equal (expect_say (&f, WEIR_SYNC_VECTOR)->n_rows, 4);
    say_vector (&f, 1, 1, 3, 1);
    expect (&f, WEIR_SYNC_COMPARE);
    compared (&f, 0, true, 4);
    m = expect_say (&f, WEIR_SYNC_VECTOR);
    assert_int_equal (m->round, 4);
    assert_int_equal (m->n_rows, 1);
    end (&f);
}

static void
test_live (void **state)
{
    (void) state;
    struct fixture f;
    struct weir_sync_options o = default_options ();
    start (&f, &o);
    in_step (&f, 60);
    novel (&f, 1, 0, 0, 1, 8);
    open_transfer (&f);
    expect (&f, WEIR_SYNC_SEND);
    /* In flight: the next waits 5 ms, or for the acknowledgement, or for enough. */
    novel (&f, 1, 0, 1, 2, 9);
    expect_none (&f);
    novel (&f, 1, 0, 2, 3, 10);
    expect_none (&f);
    tick (&f, WEIR_BURST_DELAY_MS - 1);
    expect_none (&f);
    tick (&f, 1);
    const struct weir_sync_action *a = expect (&f, WEIR_SYNC_SEND);
    assert_int_equal (a->entries, 2);
    novel (&f, 1, 0, 3, 4, 11);
    acked (&f, 3, 10, true);
    expect (&f, WEIR_SYNC_SEND);
    novel (&f, 1, 0, 4, 5000, 12);
    expect (&f, WEIR_SYNC_SEND);
    acked (&f, 4997, 12, true);
    assert_int_equal (expect (&f, WEIR_SYNC_IN_STEP)->entries, 5000);
    /* From the peer itself: not sent back; from another: forwarded by a hub. */
    novel (&f, 1, 60, 0, 1, 13);
    expect_none (&f);
    novel (&f, 1, 61, 0, 1, 14);
    expect (&f, WEIR_SYNC_SEND);
    end (&f);
}

static void
test_who_gets_what (void **state)
{
    (void) state;
    static const struct {
        enum weir_role role;
        bool forward;
        bool enabled;
        enum weir_direction direction;
        unsigned source;
        bool sent;
    } table[] = {
        { WEIR_ROLE_LEAF, true, true, WEIR_SYNC_BOTH, 0, true },
        { WEIR_ROLE_LEAF, true, true, WEIR_SYNC_BOTH, 61, false },
        { WEIR_ROLE_HUB, true, true, WEIR_SYNC_BOTH, 61, true },
        { WEIR_ROLE_HUB, false, true, WEIR_SYNC_BOTH, 61, false },
        { WEIR_ROLE_HUB, false, true, WEIR_SYNC_BOTH, 0, true },
        { WEIR_ROLE_HUB, true, true, WEIR_SYNC_BOTH, 60, false },
        { WEIR_ROLE_HUB, true, true, WEIR_SYNC_PUSH, 61, true },
        { WEIR_ROLE_HUB, true, true, WEIR_SYNC_PULL, 0, false },
        { WEIR_ROLE_HUB, true, false, WEIR_SYNC_BOTH, 0, false },
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct fixture f;
        struct weir_sync_options o = default_options ();
        start (&f, &o);
        in_step (&f, 60);
        o.role = table[i].role;
        o.forward = table[i].forward;
        o.enabled = table[i].enabled;
        weir_sync_configure (f.sync, &o);
        share (&f, 60, 1, table[i].direction, 7);
        novel (&f, 1, table[i].source, 0, 1, 8);
        if (table[i].sent) {
            expect (&f, WEIR_SYNC_OPEN_OUT);
        }
        expect_none (&f);
        end (&f);
    }
}

static void
test_disabled_answers (void **state)
{
    (void) state;
    struct fixture f;
    struct weir_sync_options o = default_options ();
    o.enabled = false;
    start (&f, &o);
    share (&f, 60, 1, WEIR_SYNC_BOTH, 7);
    up (&f, 1, 60);
    expect_none (&f);
    say_digest (&f, 1, 1, 8, true);
    assert_false (expect_say (&f, WEIR_SYNC_DIGESTS)->answer);
    expect_none (&f); /* and asks for nothing */
    tick (&f, 3 * INTERVAL);
    expect_none (&f);
    say_vector (&f, 1, 1, 1, 1);
    expect (&f, WEIR_SYNC_COMPARE);
    compared (&f, 1, false, 1);
    expect (&f, WEIR_SYNC_OPEN_OUT);
    expect_say (&f, WEIR_SYNC_VECTOR);
    /* By hand it does all it can. */
    struct weir_sync_event e = { .type = WEIR_SYNC_CHECK };
    step (&f, &e);
    assert_true (expect_say (&f, WEIR_SYNC_DIGESTS)->answer);
    end (&f);
}

static void
test_directions (void **state)
{
    (void) state;
    struct fixture f;
    struct weir_sync_options o = default_options ();
    start (&f, &o);
    in_step (&f, 60);
    share (&f, 60, 1, WEIR_SYNC_PUSH, 7);
    say_transfer (&f, 1, WEIR_SYNC_OFFER, 1, 99, WEIR_OK);
    const struct weir_sync_message *m = expect_say (&f, WEIR_SYNC_CLOSE);
    assert_int_equal (m->status, WEIR_REFUSED);
    assert_int_equal (m->transfer, 99);
    tick (&f, 0);
    expect_say (&f, WEIR_SYNC_DIGESTS); /* the change of direction */
    /* We pull only: a comparison sends nothing. */
    share (&f, 60, 1, WEIR_SYNC_PULL, 7);
    tick (&f, 0);
    expect_say (&f, WEIR_SYNC_DIGESTS);
    say_vector (&f, 1, 1, 1, 1);
    expect (&f, WEIR_SYNC_COMPARE);
    compared (&f, 3, false, 1);
    expect_say (&f, WEIR_SYNC_VECTOR);
    expect_none (&f);
    say_transfer (&f, 1, WEIR_SYNC_OFFER, 1, 99, WEIR_OK);
    expect (&f, WEIR_SYNC_OPEN_IN);
    /* Refused by the peer: not offered again until it asks. */
    share (&f, 60, 1, WEIR_SYNC_BOTH, 7);
    tick (&f, 0);
    expect_say (&f, WEIR_SYNC_DIGESTS);
    novel (&f, 1, 0, 0, 1, 8);
    expect (&f, WEIR_SYNC_OPEN_OUT);
    transfer_event (&f, WEIR_SYNC_OPENED, f.transfer, WEIR_OK);
    expect_say (&f, WEIR_SYNC_OFFER);
    say_transfer (&f, 1, WEIR_SYNC_CLOSE, 1, f.transfer, WEIR_REFUSED);
    expect (&f, WEIR_SYNC_STOP);
    assert_int_equal (expect (&f, WEIR_SYNC_BEHIND)->status, WEIR_REFUSED);
    novel (&f, 1, 0, 1, 2, 9);
    expect_none (&f);
    end (&f);
}

/* What waited for a burst when the operator said that nothing is pushed any more. */
static void
test_direction_changes_before_a_burst (void **state)
{
    (void) state;
    struct fixture f;
    struct weir_sync_options o = default_options ();
    start (&f, &o);
    in_step (&f, 60);
    novel (&f, 1, 0, 0, 1, 8);
    open_transfer (&f);
    expect (&f, WEIR_SYNC_SEND);
    novel (&f, 1, 0, 1, 2, 9);
    share (&f, 60, 1, WEIR_SYNC_PULL, 9);
    tick (&f, WEIR_BURST_DELAY_MS);
    while (f.read < f.actions.count) {
        assert_int_not_equal (f.actions.items[f.read++].type, WEIR_SYNC_SEND);
    }
    end (&f);
}

static void
test_incoming (void **state)
{
    (void) state;
    struct fixture f;
    struct weir_sync_options o = default_options ();
    start (&f, &o);
    in_step (&f, 60);
    say_transfer (&f, 1, WEIR_SYNC_OFFER, 2, 99, WEIR_OK); /* not shared: silence */
    expect_none (&f);
    say_transfer (&f, 1, WEIR_SYNC_OFFER, 1, 99, WEIR_OK);
    const struct weir_sync_action *a = expect (&f, WEIR_SYNC_OPEN_IN);
    assert_int_equal (a->transfer, 99);
    say_transfer (&f, 1, WEIR_SYNC_OFFER, 1, 99, WEIR_OK); /* twice, too early */
    expect_none (&f);
    transfer_event (&f, WEIR_SYNC_OPENED, 99, WEIR_OK);
    assert_int_equal (expect_say (&f, WEIR_SYNC_ACCEPT)->credit, WEIR_CREDIT_BYTES);
    transfer_event (&f, WEIR_SYNC_OPENED, 99, WEIR_OK);
    expect_none (&f);
    say_transfer (&f, 1, WEIR_SYNC_OFFER, 1, 99, WEIR_OK); /* our ACCEPT was lost */
    expect_say (&f, WEIR_SYNC_ACCEPT);
    struct weir_sync_event e = {
        .type = WEIR_SYNC_ARRIVED, .session = 1, .transfer = 99, .entries = 4, .digest = id (8)
    };
    step (&f, &e);
    assert_int_equal (phase (&f, 60, 1), WEIR_SYNC_RECEIVING);
    e.their_digest = id (8);
    step (&f, &e);
    assert_int_equal (expect (&f, WEIR_SYNC_IN_STEP)->entries, 8);
    /* A digest that never comes: after a while the difference is looked at. */
    e.digest = id (9);
    e.their_digest = weir_id_zero;
    step (&f, &e);
    expect_none (&f);
    tick (&f, WEIR_TRANSFER_STALL_MS);
    tick (&f, WEIR_SYNC_SETTLE_MS);
    assert_true (expect_say (&f, WEIR_SYNC_DIGESTS)->answer);
    /* A hole in the stream. */
    e.status = WEIR_GAP;
    step (&f, &e);
    assert_int_equal (expect_say (&f, WEIR_SYNC_CLOSE)->status, WEIR_GAP);
    expect (&f, WEIR_SYNC_BEHIND);
    step (&f, &e); /* late */
    expect_none (&f);
    end (&f);
}

static void
test_hostile_transfers (void **state)
{
    (void) state;
    struct fixture f;
    struct weir_sync_options o = default_options ();
    start (&f, &o);
    in_step (&f, 60);
    novel (&f, 1, 0, 0, 1, 8);
    expect (&f, WEIR_SYNC_OPEN_OUT);
    say_transfer (&f, 1, WEIR_SYNC_ACCEPT, 1, f.transfer, WEIR_OK); /* before the offer */
    expect_none (&f);
    say_transfer (&f, 1, WEIR_SYNC_OFFER, 1, f.transfer, WEIR_OK); /* our own number */
    assert_int_equal (expect_say (&f, WEIR_SYNC_CLOSE)->status, WEIR_EXISTS);
    say_transfer (&f, 1, WEIR_SYNC_OFFER, 1, 0, WEIR_OK);
    expect_say (&f, WEIR_SYNC_CLOSE);
    say_transfer (&f, 1, WEIR_SYNC_CLOSE, 1, 12345, WEIR_OK);
    expect_none (&f);
    say_transfer (&f, 9, WEIR_SYNC_CLOSE, 1, f.transfer, WEIR_OK); /* another session */
    expect_none (&f);
    up (&f, 2, 61);
    say_transfer (&f, 2, WEIR_SYNC_CLOSE, 1, f.transfer, WEIR_OK); /* another peer */
    expect_none (&f);
    transfer_event (&f, WEIR_SYNC_OPENED, f.transfer, WEIR_OK);
    expect_say (&f, WEIR_SYNC_OFFER);
    acked (&f, 1000, 8, false); /* our store would not, and yet */
    expect (&f, WEIR_SYNC_IN_STEP);
    transfer_event (&f, WEIR_SYNC_ARRIVED, f.transfer, WEIR_OK);
    expect_none (&f);
    transfer_event (&f, WEIR_SYNC_TRANSFER_LOST, f.transfer, WEIR_TIMED_OUT);
    expect_say (&f, WEIR_SYNC_CLOSE);
    expect (&f, WEIR_SYNC_BEHIND);
    transfer_event (&f, WEIR_SYNC_TRANSFER_LOST, f.transfer, WEIR_TIMED_OUT);
    expect_none (&f);
    end (&f);
}

static void
test_hostile_messages (void **state)
{
    (void) state;
    struct fixture f;
    struct weir_sync_options o = default_options ();
    start (&f, &o);
    in_step (&f, 60);
    struct weir_sync_digest *many = weir_alloc ((WEIR_DIGESTS_PER_MESSAGE + 1) * sizeof many[0]);
    struct weir_sync_message m = { .type = WEIR_SYNC_DIGESTS,
                                   .digests = many,
                                   .answer = true,
                                   .n_digests = WEIR_DIGESTS_PER_MESSAGE + 1 };
    say (&f, 1, &m);
    m.n_digests--;
    say (&f, 1, &m); /* none of them ours: no answer */
    free (many);
    expect_none (&f);
    for (uint32_t round = 0; round < 7; round += 5) {
        say_vector (&f, 1, 1, round, 1);
        expect_none (&f);
    }
    say_vector (&f, 1, 1, 1, WEIR_VECTOR_ROWS_PER_MESSAGE + 1);
    say_vector (&f, 1, 2, 1, 1);
    say_vector (&f, 1, 1, 2, 1); /* nobody asked */
    say_vector (&f, 1, 1, 4, 1);
    expect_none (&f);
    m = (struct weir_sync_message){ .type = (enum weir_sync_message_type) 77 };
    say (&f, 1, &m);
    struct weir_sample samples[WEIR_VECTOR_SAMPLES_MAX + 1] = { 0 };
    struct weir_told_row row = { .n_samples = WEIR_VECTOR_SAMPLES_MAX + 1, .samples = samples };
    m = (struct weir_sync_message){
        .type = WEIR_SYNC_VECTOR, .tag = tag (1), .round = 1, .n_rows = 1, .rows = &row
    };
    say (&f, 1, &m);
    expect_none (&f);
    /* Pages: a lost one voids the vector, too many too. */
    row.n_samples = WEIR_VECTOR_SAMPLES_MAX;
    m.more = true;
    say (&f, 1, &m);
    m.page = 2;
    say (&f, 1, &m);
    m.page = 1;
    m.more = false;
    say (&f, 1, &m);
    expect_none (&f);
    m.more = true;
    for (m.page = 0; m.page < WEIR_VECTOR_PAGES_MAX + 3; m.page++) {
        say (&f, 1, &m);
    }
    expect_none (&f);
    m.page = 0;
    say (&f, 1, &m);
    m.page = 1;
    m.more = false;
    say (&f, 1, &m);
    assert_int_equal (expect (&f, WEIR_SYNC_COMPARE)->n_rows, 2);
    say_vector (&f, 1, 1, 1, 1); /* one comparison at a time */
    expect_none (&f);
    struct weir_sync_counters c;
    weir_sync_counters (f.sync, &c);
    assert_true (c.messages_bad >= 8);
    end (&f);
}

static void
test_pages_out (void **state)
{
    (void) state;
    struct fixture f;
    struct weir_sync_options o = default_options ();
    start (&f, &o);
    in_step (&f, 60);
    say_vector (&f, 1, 1, 1, 0);
    expect (&f, WEIR_SYNC_COMPARE);
    compared (&f, 0, false, 2 * WEIR_VECTOR_ROWS_PER_MESSAGE + 1);
    size_t rows = 0;
    for (uint32_t page = 0; page < 3; page++) {
        const struct weir_sync_message *m = expect_say (&f, WEIR_SYNC_VECTOR);
        assert_int_equal (m->page, page);
        assert_int_equal (m->more, page < 2);
        rows += m->n_rows;
    }
    assert_int_equal (rows, 2 * WEIR_VECTOR_ROWS_PER_MESSAGE + 1);
    end (&f);
}

static void
test_ladder_fails (void **state)
{
    (void) state;
    struct fixture f;
    struct weir_sync_options o = default_options ();
    start (&f, &o);
    share (&f, 60, 1, WEIR_SYNC_BOTH, 7);
    up (&f, 1, 60);
    expect_say (&f, WEIR_SYNC_DIGESTS);
    say_digest (&f, 1, 1, 8, false);
    expect (&f, WEIR_SYNC_COMPARE);
    struct weir_sync_event e = { .type = WEIR_SYNC_COMPARED,
                                 .ticket = f.ticket,
                                 .status = WEIR_IO_ERROR };
    step (&f, &e);
    assert_int_equal (expect (&f, WEIR_SYNC_BEHIND)->status, WEIR_IO_ERROR);
    step (&f, &e); /* late */
    expect_none (&f);
    /* Our store refuses to open. */
    say_vector (&f, 1, 1, 1, 1);
    expect (&f, WEIR_SYNC_COMPARE);
    compared (&f, 1, false, 1);
    expect (&f, WEIR_SYNC_OPEN_OUT);
    expect_say (&f, WEIR_SYNC_VECTOR);
    transfer_event (&f, WEIR_SYNC_OPENED, f.transfer, WEIR_BUSY);
    assert_int_equal (expect (&f, WEIR_SYNC_BEHIND)->status, WEIR_BUSY);
    say_transfer (&f, 1, WEIR_SYNC_OFFER, 1, 5, WEIR_OK);
    expect (&f, WEIR_SYNC_OPEN_IN);
    transfer_event (&f, WEIR_SYNC_OPENED, 5, WEIR_BUSY);
    assert_int_equal (expect_say (&f, WEIR_SYNC_CLOSE)->status, WEIR_BUSY);
    end (&f);
}

static void
test_transfer_times_out (void **state)
{
    (void) state;
    struct fixture f;
    struct weir_sync_options o = default_options ();
    start (&f, &o);
    in_step (&f, 60);
    novel (&f, 1, 0, 0, 1, 8);
    expect (&f, WEIR_SYNC_OPEN_OUT);
    transfer_event (&f, WEIR_SYNC_OPENED, f.transfer, WEIR_OK);
    expect_say (&f, WEIR_SYNC_OFFER);
    tick (&f, WEIR_TRANSFER_STALL_MS);
    expect (&f, WEIR_SYNC_STOP);
    assert_int_equal (expect_say (&f, WEIR_SYNC_CLOSE)->status, WEIR_TIMED_OUT);
    expect (&f, WEIR_SYNC_BEHIND);
    say_transfer (&f, 1, WEIR_SYNC_ACCEPT, 1, f.transfer, WEIR_OK); /* late */
    expect_none (&f);
    /* The next novel range waits for the comparison that must come. */
    novel (&f, 1, 0, 1, 2, 9);
    expect_none (&f);
    /* An incoming one that our store never opened. */
    say_transfer (&f, 1, WEIR_SYNC_OFFER, 1, 5, WEIR_OK);
    expect (&f, WEIR_SYNC_OPEN_IN);
    f.now += WEIR_TRANSFER_STALL_MS;
    struct weir_sync_event e = { .type = WEIR_SYNC_TICK };
    step (&f, &e);
    bool stopped = false;
    for (; f.read < f.actions.count; f.read++) {
        stopped = stopped || f.actions.items[f.read].type == WEIR_SYNC_STOP;
    }
    assert_true (stopped);
    end (&f);
}

static void
test_session_ends (void **state)
{
    (void) state;
    struct fixture f;
    struct weir_sync_options o = default_options ();
    start (&f, &o);
    in_step (&f, 60);
    down (&f, 1); /* equal: nobody is behind */
    expect_none (&f);
    assert_int_equal (phase (&f, 60, 1), WEIR_SYNC_ABSENT);
    down (&f, 1);
    novel (&f, 1, 0, 0, 1, 8);
    assert_int_equal (expect (&f, WEIR_SYNC_BEHIND)->status, WEIR_UNAVAILABLE);
    novel (&f, 1, 0, 1, 2, 9); /* said once */
    expect_none (&f);
    struct weir_sync_event check = { .type = WEIR_SYNC_CHECK, .device = id (60), .db = id (1) };
    step (&f, &check);
    expect (&f, WEIR_SYNC_BEHIND);
    check.device = id (61);
    step (&f, &check);
    expect_none (&f);
    up (&f, 2, 60);
    expect_say (&f, WEIR_SYNC_DIGESTS);
    up (&f, 2, 60); /* twice */
    up (&f, 3, 50); /* ourselves */
    expect_none (&f);
    /* Not told: asked once more, then left to the interval. */
    tick (&f, WEIR_CONNECT_MS);
    assert_true (expect_say (&f, WEIR_SYNC_DIGESTS)->answer);
    assert_int_equal (phase (&f, 60, 1), WEIR_SYNC_IDLE);
    /* A second session takes over when the first goes. */
    up (&f, 4, 60);
    expect_say (&f, WEIR_SYNC_DIGESTS);
    down (&f, 2);
    expect_none (&f);
    say_digest (&f, 4, 1, 9, false);
    expect (&f, WEIR_SYNC_IN_STEP);
    down (&f, 4);
    end (&f);
}

static void
test_session_ends_mid_transfer (void **state)
{
    (void) state;
    struct fixture f;
    struct weir_sync_options o = default_options ();
    start (&f, &o);
    in_step (&f, 60);
    novel (&f, 1, 0, 0, 1, 8);
    open_transfer (&f);
    expect (&f, WEIR_SYNC_SEND);
    say_transfer (&f, 1, WEIR_SYNC_OFFER, 1, 5, WEIR_OK);
    expect (&f, WEIR_SYNC_OPEN_IN);
    /* A newer session: what is on its way on the old one must not hide what the peer lacks. */
    up (&f, 2, 60);
    assert_true (expect (&f, WEIR_SYNC_STOP)->out);
    assert_int_equal (expect_say (&f, WEIR_SYNC_CLOSE)->status, WEIR_CANCELLED);
    expect_say (&f, WEIR_SYNC_DIGESTS);
    down (&f, 1);
    assert_false (expect (&f, WEIR_SYNC_STOP)->out);
    assert_true (expect_say (&f, WEIR_SYNC_DIGESTS)->answer); /* on the session that is left */
    acked (&f, 1, 8, true);                                   /* late */
    expect_none (&f);
    end (&f);
}

static void
test_store_comes_back (void **state)
{
    (void) state;
    struct fixture f;
    struct weir_sync_options o = default_options ();
    start (&f, &o);
    in_step (&f, 60);
    novel (&f, 1, 0, 0, 1, 8);
    open_transfer (&f);
    expect (&f, WEIR_SYNC_SEND);
    struct weir_sync_event e = { .type = WEIR_SYNC_STORE_UP };
    step (&f, &e);
    expect (&f, WEIR_SYNC_STOP);
    assert_int_equal (expect_say (&f, WEIR_SYNC_CLOSE)->status, WEIR_UNAVAILABLE);
    say_digest (&f, 1, 1, 7, true); /* we do not know our own yet */
    expect_none (&f);
    say_vector (&f, 1, 1, 1, 1);
    expect_none (&f);
    share (&f, 60, 1, WEIR_SYNC_BOTH, 7);
    tick (&f, 0);
    assert_true (expect_say (&f, WEIR_SYNC_DIGESTS)->answer);
    say_digest (&f, 1, 1, 7, false);
    expect (&f, WEIR_SYNC_IN_STEP);
    end (&f);
}

static void
test_removed_is_told (void **state)
{
    (void) state;
    struct fixture f;
    struct weir_sync_options o = default_options ();
    start (&f, &o);
    in_step (&f, 60);
    struct weir_sync_event e = {
        .type = WEIR_SYNC_UNSHARE, .device = id (60), .db = id (1), .status = WEIR_REMOVED
    };
    step (&f, &e);
    const struct weir_sync_message *m = expect_say (&f, WEIR_SYNC_NOT_SHARED);
    assert_int_equal (m->status, WEIR_REMOVED);
    assert_int_equal (m->tag, tag (1));
    say_digest (&f, 1, 1, 7, true);
    expect_say (&f, WEIR_SYNC_NOT_SHARED);
    say_digest (&f, 1, 1, 7, false);
    say_digest (&f, 1, 2, 7, true); /* never was a member there: silence */
    expect_none (&f);
    say_vector (&f, 1, 1, 1, 1);
    expect_say (&f, WEIR_SYNC_NOT_SHARED);
    say_transfer (&f, 1, WEIR_SYNC_OFFER, 1, 9, WEIR_OK);
    expect_say (&f, WEIR_SYNC_NOT_SHARED);
    /* Re-admitted. */
    share (&f, 60, 1, WEIR_SYNC_BOTH, 7);
    say_digest (&f, 1, 1, 7, false);
    expect (&f, WEIR_SYNC_IN_STEP);
    tick (&f, 0);
    expect_say (&f, WEIR_SYNC_DIGESTS);
    /* The table of the removed is bounded. */
    for (unsigned n = 2; n < 100; n++) {
        e.db = id (n);
        step (&f, &e);
        expect_say (&f, WEIR_SYNC_NOT_SHARED);
    }
    /* The other side of it. */
    struct weir_sync_message told = { .type = WEIR_SYNC_NOT_SHARED,
                                      .tag = tag (1),
                                      .status = WEIR_REMOVED };
    say (&f, 1, &told);
    assert_int_equal (expect (&f, WEIR_SYNC_BEHIND)->status, WEIR_REMOVED);
    assert_int_equal (phase (&f, 60, 1), WEIR_SYNC_IDLE);
    told.tag = 5;
    say (&f, 1, &told);
    expect_none (&f);
    e.db = id (1);
    e.status = WEIR_OK;
    step (&f, &e);
    expect_none (&f);
    end (&f);
}

static void
test_queue_is_bounded (void **state)
{
    (void) state;
    struct fixture f;
    struct weir_sync_options o = default_options ();
    start (&f, &o);
    in_step (&f, 60);
    novel (&f, 1, 0, 0, 1, 8);
    expect (&f, WEIR_SYNC_OPEN_OUT); /* which is never answered */
    for (unsigned n = 0; n < 3 * WEIR_SYNC_QUEUE_RANGES_MAX; n++) {
        novel (&f, 1, 0, n + 1, n + 2, 9);
        expect_none (&f);
    }
    end (&f);
    /* Batches. */
    o.batch_size = 10;
    start (&f, &o);
    in_step (&f, 60);
    struct weir_ranges r = { 0 };
    for (uint64_t lane = 0; lane < 7; lane++) {
        put_range (&r, lane, 0, 4);
    }
    struct weir_sync_event e = {
        .type = WEIR_SYNC_NOVEL, .db = id (1), .ranges = &r, .digest = id (8)
    };
    step (&f, &e);
    open_transfer (&f);
    assert_int_equal (expect (&f, WEIR_SYNC_SEND)->ranges.count, 2);
    tick (&f, WEIR_BURST_DELAY_MS);
    assert_int_equal (expect (&f, WEIR_SYNC_SEND)->ranges.count, 2);
    weir_ranges_fini (&r);
    end (&f);
}

static void
test_many_databases_are_one_message (void **state)
{
    (void) state;
    struct fixture f;
    struct weir_sync_options o = default_options ();
    start (&f, &o);
    for (unsigned n = 1; n < 200; n++) {
        share (&f, 60, n, WEIR_SYNC_BOTH, 7);
    }
    up (&f, 1, 60);
    assert_int_equal (expect_say (&f, WEIR_SYNC_DIGESTS)->n_digests, 199);
    share (&f, 60, 201, WEIR_SYNC_BOTH, 7);
    share (&f, 60, 202, WEIR_SYNC_BOTH, 7);
    tick (&f, 0);
    assert_int_equal (expect_say (&f, WEIR_SYNC_DIGESTS)->n_digests, 2);
    share (&f, 60, 203, WEIR_SYNC_BOTH, 0); /* digest to follow */
    tick (&f, 0);
    expect_none (&f);
    share (&f, 50, 203, WEIR_SYNC_BOTH, 7); /* with ourselves: nothing */
    expect_none (&f);
    end (&f);
}

/* What a comparison finds and what is in flight already: each goes once. */
static void
test_comparison_with_data_in_flight (void **state)
{
    (void) state;
    struct fixture f;
    struct weir_sync_options o = default_options ();
    start (&f, &o);
    in_step (&f, 60);
    novel (&f, 1, 0, 0, 4, 8);
    open_transfer (&f);
    expect (&f, WEIR_SYNC_SEND);
    say_vector (&f, 1, 1, 1, 1);
    expect (&f, WEIR_SYNC_COMPARE);
    novel (&f, 1, 0, 4, 6, 9);  /* waits, and is found by the comparison too */
    novel (&f, 1, 0, 6, 9, 10); /* is not */
    struct weir_ranges r = { 0 };
    put_range (&r, 1, 0, 6);
    put_range (&r, 2, 0, 2);
    struct weir_sync_event e = { .type = WEIR_SYNC_COMPARED, .ticket = f.ticket, .ranges = &r };
    step (&f, &e);
    const struct weir_sync_action *a = expect (&f, WEIR_SYNC_SEND);
    assert_int_equal (a->ranges.count, 3);
    assert_int_equal (a->ranges.items[0].from_seq, 4);
    assert_int_equal (a->ranges.items[0].to_seq, 6);
    assert_int_equal (a->ranges.items[1].chain.lane, 2);
    assert_int_equal (a->ranges.items[2].from_seq, 6);
    assert_int_equal (expect_say (&f, WEIR_SYNC_VECTOR)->round, 2);
    /* Live pushes wait until the bulk is acknowledged; what it held is not sent again. */
    novel (&f, 1, 0, 6, 9, 10);
    novel (&f, 1, 0, 9, 10, 11);
    tick (&f, WEIR_BURST_DELAY_MS);
    expect_none (&f);
    /* Asked again, all of it is in flight. */
    say_vector (&f, 1, 1, 1, 1);
    expect (&f, WEIR_SYNC_COMPARE);
    e.ticket = f.ticket;
    step (&f, &e);
    a = expect (&f, WEIR_SYNC_SEND);
    assert_int_equal (a->ranges.count, 1);
    assert_int_equal (a->ranges.items[0].from_seq, 9);
    expect_say (&f, WEIR_SYNC_VECTOR);
    weir_ranges_fini (&r);
    end (&f);
}

static void
test_peer_gives_up_sending (void **state)
{
    (void) state;
    struct fixture f;
    struct weir_sync_options o = default_options ();
    start (&f, &o);
    in_step (&f, 60);
    say_transfer (&f, 1, WEIR_SYNC_OFFER, 1, 99, WEIR_OK);
    expect (&f, WEIR_SYNC_OPEN_IN);
    transfer_event (&f, WEIR_SYNC_OPENED, 99, WEIR_OK);
    expect_say (&f, WEIR_SYNC_ACCEPT);
    say_transfer (&f, 1, WEIR_SYNC_CLOSE, 1, 99, WEIR_UNAVAILABLE);
    assert_false (expect (&f, WEIR_SYNC_STOP)->out);
    say_transfer (&f, 1, WEIR_SYNC_CLOSE, 1, 99, WEIR_UNAVAILABLE); /* twice */
    expect_none (&f);
    /* A new one replaces the one before. */
    say_transfer (&f, 1, WEIR_SYNC_OFFER, 1, 100, WEIR_OK);
    expect (&f, WEIR_SYNC_OPEN_IN);
    say_transfer (&f, 1, WEIR_SYNC_OFFER, 1, 101, WEIR_OK);
    assert_int_equal (expect (&f, WEIR_SYNC_STOP)->transfer, 100);
    expect (&f, WEIR_SYNC_OPEN_IN);
    transfer_event (&f, WEIR_SYNC_TRANSFER_LOST, 101, WEIR_IO_ERROR);
    assert_int_equal (expect_say (&f, WEIR_SYNC_CLOSE)->status, WEIR_IO_ERROR);
    expect (&f, WEIR_SYNC_BEHIND);
    end (&f);
}

/* An endless stream of bursts hides a difference only so long. */
static void
test_patience_ends (void **state)
{
    (void) state;
    struct fixture f;
    struct weir_sync_options o = default_options ();
    start (&f, &o);
    in_step (&f, 60);
    novel (&f, 1, 0, 0, 1, 8);
    open_transfer (&f);
    expect (&f, WEIR_SYNC_SEND);
    bool asked = false;
    bool compared_too = false;
    for (unsigned n = 1; n < 200 && !compared_too; n++) {
        acked (&f, 1, 200, true); /* never what we have */
        f.read = f.actions.count;
        tick (&f, 100);
        for (; f.read < f.actions.count; f.read++) {
            asked = asked || f.actions.items[f.read].type == WEIR_SYNC_SAY;
        }
        novel (&f, 1, 0, n, n + 1, 8);
        f.read = f.actions.count;
        if (asked) {
            say_digest (&f, 1, 1, 200, false);
            for (; f.read < f.actions.count; f.read++) {
                compared_too = compared_too || f.actions.items[f.read].type == WEIR_SYNC_COMPARE;
            }
            asked = false;
        }
    }
    assert_true (compared_too);
    assert_true (f.now < 1000 + 2 * WEIR_SYNC_PATIENCE_MS);
    end (&f);
}

static void
test_our_digest_changes_unheard (void **state)
{
    (void) state;
    struct fixture f;
    struct weir_sync_options o = default_options ();
    start (&f, &o);
    in_step (&f, 60);
    share (&f, 60, 1, WEIR_SYNC_BOTH, 9); /* another digest than NOVEL told */
    expect_none (&f);
    assert_int_equal (phase (&f, 60, 1), WEIR_SYNC_BACKING_OFF);
    tick (&f, WEIR_SYNC_SETTLE_MS);
    assert_true (expect_say (&f, WEIR_SYNC_DIGESTS)->answer);
    say_digest (&f, 1, 1, 8, false);
    expect (&f, WEIR_SYNC_COMPARE);
    /* A newer session while our store compares: the comparison is made there again. */
    up (&f, 2, 60);
    expect_say (&f, WEIR_SYNC_DIGESTS);
    down (&f, 1);
    expect_none (&f);
    compared (&f, 0, false, 1); /* late */
    expect_none (&f);
    /* A peer nothing is known of leaves nothing behind. */
    up (&f, 3, 61);
    down (&f, 3);
    expect_none (&f);
    end (&f);
}

/* Seed 572 of the simulator: a transfer lost while both are equal leaves nothing to compare, so
 * the next commit has to be pushed. */
static void
test_push_after_idle_transfer_is_lost (void **state)
{
    (void) state;
    struct fixture f;
    struct weir_sync_options o = default_options ();
    start (&f, &o);
    in_step (&f, 60);
    novel (&f, 1, 0, 0, 1, 8);
    open_transfer (&f);
    expect (&f, WEIR_SYNC_SEND);
    acked (&f, 1, 8, true);
    expect (&f, WEIR_SYNC_IN_STEP);
    say_transfer (&f, 1, WEIR_SYNC_CLOSE, 1, f.transfer, WEIR_UNAVAILABLE);
    expect (&f, WEIR_SYNC_STOP);
    expect (&f, WEIR_SYNC_BEHIND);
    novel (&f, 1, 0, 1, 2, 9);
    expect (&f, WEIR_SYNC_OPEN_OUT);
    end (&f);
}

/* Seed 506936: a digest that overtakes what it counts is not worth a comparison. */
static void
test_digest_overtakes_data (void **state)
{
    (void) state;
    struct fixture f;
    struct weir_sync_options o = default_options ();
    start (&f, &o);
    in_step (&f, 60);
    say_digest (&f, 1, 1, 8, true);
    expect_say (&f, WEIR_SYNC_DIGESTS);
    expect_none (&f);
    novel (&f, 1, 60, 0, 1, 8); /* here it comes */
    expect (&f, WEIR_SYNC_IN_STEP);
    tick (&f, WEIR_SYNC_SETTLE_MS);
    expect_none (&f);
    /* And when it does not come, it is asked for. */
    say_digest (&f, 1, 1, 9, false);
    tick (&f, WEIR_SYNC_SETTLE_MS);
    expect_say (&f, WEIR_SYNC_DIGESTS);
    say_digest (&f, 1, 1, 9, false);
    expect (&f, WEIR_SYNC_COMPARE);
    end (&f);
}

static void
test_greeting_ends_a_wait (void **state)
{
    (void) state;
    struct fixture f;
    struct weir_sync_options o = default_options ();
    start (&f, &o);
    share (&f, 60, 1, WEIR_SYNC_BOTH, 7);
    up (&f, 1, 60);
    expect_say (&f, WEIR_SYNC_DIGESTS);
    say_digest (&f, 1, 1, 8, false);
    expect (&f, WEIR_SYNC_COMPARE);
    compared (&f, 0, false, 1);
    expect_say (&f, WEIR_SYNC_VECTOR);
    say_digest (&f, 1, 1, 8, true); /* its store came back: it forgot what we asked */
    expect_say (&f, WEIR_SYNC_DIGESTS);
    tick (&f, WEIR_CONNECT_MS);
    assert_int_equal (expect (&f, WEIR_SYNC_BEHIND)->status, WEIR_TIMED_OUT);
    end (&f);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_silence_when_equal),
        cmocka_unit_test (test_smaller_asks_at_once),
        cmocka_unit_test (test_greater_waits_then_asks),
        cmocka_unit_test (test_smaller_ignores_crossed_ask),
        cmocka_unit_test (test_branches_take_four_rounds),
        cmocka_unit_test (test_live),
        cmocka_unit_test (test_who_gets_what),
        cmocka_unit_test (test_disabled_answers),
        cmocka_unit_test (test_directions),
        cmocka_unit_test (test_direction_changes_before_a_burst),
        cmocka_unit_test (test_incoming),
        cmocka_unit_test (test_hostile_transfers),
        cmocka_unit_test (test_hostile_messages),
        cmocka_unit_test (test_pages_out),
        cmocka_unit_test (test_ladder_fails),
        cmocka_unit_test (test_transfer_times_out),
        cmocka_unit_test (test_session_ends),
        cmocka_unit_test (test_session_ends_mid_transfer),
        cmocka_unit_test (test_store_comes_back),
        cmocka_unit_test (test_removed_is_told),
        cmocka_unit_test (test_queue_is_bounded),
        cmocka_unit_test (test_many_databases_are_one_message),
        cmocka_unit_test (test_comparison_with_data_in_flight),
        cmocka_unit_test (test_peer_gives_up_sending),
        cmocka_unit_test (test_patience_ends),
        cmocka_unit_test (test_our_digest_changes_unheard),
        cmocka_unit_test (test_greeting_ends_a_wait),
        cmocka_unit_test (test_digest_overtakes_data),
        cmocka_unit_test (test_push_after_idle_transfer_is_lost),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
