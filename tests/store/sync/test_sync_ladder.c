/* Goal: with a peer of protocol 2, many databases cost one hash and those that differ are found by
 * buckets; the newer ladder ends after eight messages and says where two differ; no more than
 * WEIR_COMPARES_MAX comparisons run at once, and who waits goes by priority; where only one of
 * two has changed it begins, with the other's digest, whatever the ids. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "store/base/limits.h"
#include "store/sync/sync.h"

#define DATABASES 100u

static struct weir_id
id (unsigned n)
{
    struct weir_id i = { { (uint8_t) n, (uint8_t) (n >> 8), 1 } };
    return i;
}

struct side {
    struct weir_sync *sync;
    struct weir_sync_actions actions;
    unsigned number;
};

static void
step (struct side *s, const struct weir_sync_event *e, uint64_t now)
{
    weir_sync_step (s->sync, e, now, &s->actions);
}

static void
side_init (struct side *s, unsigned number, unsigned other, unsigned n, unsigned changed)
{
    struct weir_sync_options o = { .device = id (number),
                                   .role = WEIR_ROLE_HUB,
                                   .forward = true,
                                   .enabled = true,
                                   .check_interval_ms = 30000,
                                   .batch_size = 100,
                                   .seed = number };
    struct weir_sync_event up = { .type = WEIR_SYNC_SESSION_UP,
                                  .session = 1,
                                  .device = id (other),
                                  .key = id (7),
                                  .role = WEIR_ROLE_HUB,
                                  .protocol = 2 };
    memset (s, 0, sizeof *s);
    s->number = number;
    s->sync = weir_sync_new (&o);
    for (unsigned i = 0; i < n; i++) {
        struct weir_sync_event e = { .type = WEIR_SYNC_SHARE,
                                     .device = id (other),
                                     .db = id (1000 + i),
                                     .direction = WEIR_SYNC_BOTH,
                                     .priority = (uint8_t) (i % 3),
                                     .digest = id (i < changed ? 3000 + number : 2000 + i) };
        step (s, &e, 1000);
    }
    step (s, &up, 1000);
}

static void
side_fini (struct side *s)
{
    weir_sync_actions_fini (&s->actions);
    weir_sync_destroy (&s->sync);
}

/* What one side has said goes to the other; how many messages, and bytes of digests in them. */
static size_t
deliver (struct side *from, struct side *to, size_t *items)
{
    struct weir_sync_actions said = from->actions;
    size_t n = 0;
    memset (&from->actions, 0, sizeof from->actions);
    for (size_t i = 0; i < said.count; i++) {
        struct weir_sync_action *a = &said.items[i];
        if (a->type == WEIR_SYNC_SAY) {
            struct weir_sync_event e = { .type = WEIR_SYNC_MESSAGE,
                                         .session = 1,
                                         .message = &a->message };
            n++;
            *items += a->message.n_digests;
            step (to, &e, 1001);
        }
    }
    weir_sync_actions_fini (&said);
    return n;
}

static unsigned
count_phase (const struct side *s, enum weir_sync_phase phase)
{
    struct weir_sync_state state;
    unsigned n = 0;
    for (size_t i = 0; weir_sync_state (s->sync, i, &state); i++) {
        n += state.phase == phase;
    }
    return n;
}

static void
test_summary (void **state)
{
    static const unsigned changed[] = { 0, 1, 3, DATABASES };
    (void) state;
    for (size_t c = 0; c < sizeof changed / sizeof *changed; c++) {
        struct side a;
        struct side b;
        size_t messages = 0;
        size_t items = 0;
        side_init (&a, 60, 50, DATABASES, changed[c]);
        side_init (&b, 50, 60, DATABASES, changed[c]);
        assert_int_equal (a.actions.items[0].message.type, WEIR_SYNC_SUMMARY);
        for (unsigned i = 0; i < 5; i++) {
            messages += deliver (&a, &b, &items);
            messages += deliver (&b, &a, &items);
        }
        assert_int_equal (count_phase (&a, WEIR_SYNC_EQUAL), DATABASES - changed[c]);
        assert_int_equal (count_phase (&b, WEIR_SYNC_EQUAL), DATABASES - changed[c]);
        assert_true (changed[c] > 0 || messages == 2);
        assert_true (changed[c] != 1 || items <= 64);
        side_fini (&a);
        side_fini (&b);
    }
}

static void
test_bad_words (void **state)
{
    (void) state;
    struct side a;
    uint8_t bytes[8] = { 0 };
    struct weir_sync_counters counters;
    struct weir_sync_message bad[] = {
        { .type = WEIR_SYNC_SUMMARY, .bits = 11, .n_bytes = 8, .bytes = bytes },
        { .type = WEIR_SYNC_SUMMARY, .bits = 4, .n_bytes = 8, .bytes = bytes },
        { .type = WEIR_SYNC_SUMMARY, .bits = 1, .n_bytes = 8, .bytes = bytes },
        { .type = WEIR_SYNC_DIGESTS, .bits = 10, .n_bytes = 8, .bytes = bytes, .answer = true },
    };
    side_init (&a, 60, 50, DATABASES, 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct weir_sync_event e = { .type = WEIR_SYNC_MESSAGE, .session = 1, .message = &bad[i] };
        step (&a, &e, 1001);
        weir_sync_counters (a.sync, &counters);
        assert_int_equal (counters.messages_bad, i + 1);
    }
    side_fini (&a);
}

/* All differ, and the store never ends: 32 at once, the first priority first, and eight
 * messages. */
static void
test_crowd_and_bound (void **state)
{
    (void) state;
    struct side a;
    struct side b;
    size_t items = 0;
    unsigned asked = 0;
    unsigned limits = 0;
    uint8_t bytes[1] = { 9 };
    side_init (&a, 50, 60, DATABASES, DATABASES);
    side_init (&b, 60, 50, DATABASES, DATABASES);
    for (unsigned i = 0; i < 3; i++) {
        (void) deliver (&b, &a, &items);
        for (size_t k = 0; k < a.actions.count; k++) {
            asked += a.actions.items[k].type == WEIR_SYNC_COMPARE;
        }
        (void) deliver (&a, &b, &items);
    }
    assert_int_equal (asked, WEIR_COMPARES_MAX);
    /* One that is let in climbs as long as it may. */
    struct weir_sync_event compared = { .type = WEIR_SYNC_COMPARED,
                                        .ticket = 1,
                                        .answer = true,
                                        .more = true,
                                        .say = weir_bytes (bytes, 1) };
    for (uint32_t round = 1; round <= WEIR_LADDER_ROUNDS_MAX; round += 2) {
        uint64_t tag = 0;
        step (&a, &compared, 1002);
        for (size_t k = 0; k < a.actions.count; k++) {
            const struct weir_sync_action *x = &a.actions.items[k];
            limits += x->type == WEIR_SYNC_DIFFERS && x->status == WEIR_LIMIT && x->more;
            tag = x->type == WEIR_SYNC_SAY ? x->message.tag : tag;
            if (x->type == WEIR_SYNC_SAY) {
                assert_int_equal (x->message.round, round);
            }
        }
        weir_sync_actions_clear (&a.actions);
        struct weir_sync_message m = { .type = WEIR_SYNC_LADDER,
                                       .tag = tag,
                                       .round = round + 1,
                                       .answer = round + 1 < WEIR_LADDER_ROUNDS_MAX,
                                       .n_bytes = 1,
                                       .bytes = bytes };
        struct weir_sync_event e = { .type = WEIR_SYNC_MESSAGE, .session = 1, .message = &m };
        step (&a, &e, 1002);
        for (size_t k = 0; k < a.actions.count; k++) {
            if (a.actions.items[k].type == WEIR_SYNC_COMPARE) {
                compared.ticket = a.actions.items[k].ticket;
            }
        }
        weir_sync_actions_clear (&a.actions);
    }
    step (&a, &compared, 1002);
    unsigned let_in = 0;
    for (size_t k = 0; k < a.actions.count; k++) {
        const struct weir_sync_action *x = &a.actions.items[k];
        limits += x->type == WEIR_SYNC_DIFFERS && x->status == WEIR_LIMIT && x->more;
        let_in += x->type == WEIR_SYNC_COMPARE;
    }
    assert_int_equal (limits, 1);
    assert_int_equal (let_in, 1); /* of those that wait */
    side_fini (&a);
    side_fini (&b);
}

/* All differ and more than may be compared at once wait: as one ends the most important goes. */
static void
test_important_first (void **state)
{
    (void) state;
    struct side a;
    struct side b;
    size_t items = 0;
    uint64_t tickets[DATABASES];
    unsigned begun = 0;
    unsigned ended = 0;
    unsigned last = 0;
    side_init (&a, 50, 60, DATABASES, DATABASES);
    side_init (&b, 60, 50, DATABASES, DATABASES);
    for (unsigned i = 0; i < 3; i++) {
        (void) deliver (&b, &a, &items);
        for (size_t k = 0; k < a.actions.count; k++) {
            if (a.actions.items[k].type == WEIR_SYNC_COMPARE) {
                tickets[begun++] = a.actions.items[k].ticket;
            }
        }
        (void) deliver (&a, &b, &items);
    }
    assert_int_equal (begun, WEIR_COMPARES_MAX);
    for (; ended < begun; ended++) {
        struct weir_sync_event e = { .type = WEIR_SYNC_COMPARED,
                                     .ticket = tickets[ended],
                                     .settled = true };
        weir_sync_actions_clear (&a.actions);
        step (&a, &e, 1002);
        for (size_t k = 0; k < a.actions.count; k++) {
            const struct weir_sync_action *x = &a.actions.items[k];
            if (x->type == WEIR_SYNC_COMPARE) {
                unsigned db = x->db.b[0] + 256u * x->db.b[1];
                assert_true (begun < DATABASES && (db - 1000) % 3 >= last);
                last = (db - 1000) % 3;
                tickets[begun++] = x->ticket;
            }
        }
    }
    assert_int_equal (begun, DATABASES);
    assert_int_equal (last, 2);
    side_fini (&a);
    side_fini (&b);
}

/* ---- one of two has changed ---- */

static const struct weir_sync_action *
find (const struct side *s, enum weir_sync_action_type type)
{
    for (size_t i = 0; i < s->actions.count; i++) {
        if (s->actions.items[i].type == type) {
            return &s->actions.items[i];
        }
    }
    return NULL;
}

/* Shares one database of which both had `agreed`, has `digest`, and hears `theirs` (0: not yet). */
static void
side_meets (struct side *s, unsigned number, unsigned other, unsigned agreed, unsigned digest,
            unsigned theirs)
{
    struct weir_id zero = { { 0 } };
    struct weir_id last = id (agreed);
    struct weir_sync_digest told = { .digest = id (theirs) };
    struct weir_sync_message m = { .type = WEIR_SYNC_DIGESTS, .n_digests = 1, .digests = &told };
    struct weir_sync_event say = { .type = WEIR_SYNC_MESSAGE, .session = 1, .message = &m };
    struct weir_sync_event up = { .type = WEIR_SYNC_SESSION_UP,
                                  .session = 1,
                                  .device = id (other),
                                  .key = id (7),
                                  .role = WEIR_ROLE_HUB,
                                  .protocol = 2 };
    struct weir_sync_event e = { .type = WEIR_SYNC_SHARE,
                                 .device = id (other),
                                 .db = id (1000),
                                 .direction = WEIR_SYNC_BOTH,
                                 .digest = id (digest),
                                 .their_digest = agreed > 0 ? last : zero };
    side_init (s, number, 9, 0, 0);
    step (s, &e, 1000);
    struct weir_sync_event down = { .type = WEIR_SYNC_SESSION_DOWN, .session = 1 };
    step (s, &down, 1000);
    weir_sync_actions_clear (&s->actions);
    step (s, &up, 1000);
    const struct weir_sync_action *said = find (s, WEIR_SYNC_SAY);
    assert_non_null (said);
    told.tag = said->message.digests[0].tag;
    if (theirs > 0) {
        weir_sync_actions_clear (&s->actions);
        step (s, &say, 1001);
    }
}

static void
test_one_changed (void **state)
{
    (void) state;
    static const struct {
        unsigned number, other, agreed, digest, theirs;
        bool begins;
    } table[] = {
        { 60, 50, 1, 2, 1, true },                              /* ahead */
        { 50, 60, 1, 2, 1, true },  { 60, 50, 1, 1, 2, false }, /* behind */
        { 50, 60, 1, 1, 2, false }, { 60, 50, 1, 2, 3, false }, /* both: the smaller */
        { 50, 60, 1, 2, 3, true },  { 60, 50, 0, 2, 1, false }, /* nothing is remembered */
        { 50, 60, 0, 2, 1, true },
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct side s;
        struct weir_sync_event tick = { .type = WEIR_SYNC_TICK };
        side_meets (&s, table[i].number, table[i].other, table[i].agreed, table[i].digest,
                    table[i].theirs);
        const struct weir_sync_action *begun = find (&s, WEIR_SYNC_COMPARE);
        assert_int_equal (begun != NULL, table[i].begins);
        if (!begun) {
            step (&s, &tick, 1001 + WEIR_CONNECT_MS - 1);
            assert_null (find (&s, WEIR_SYNC_COMPARE));
            step (&s, &tick, 1001 + WEIR_CONNECT_MS);
            begun = find (&s, WEIR_SYNC_COMPARE);
            assert_non_null (begun);
        }
        struct weir_id theirs = id (table[i].theirs);
        assert_true (begun->ladder && weir_id_equal (&begun->theirs, &theirs));
        side_fini (&s);
    }
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_summary),         cmocka_unit_test (test_bad_words),
        cmocka_unit_test (test_crowd_and_bound), cmocka_unit_test (test_important_first),
        cmocka_unit_test (test_one_changed),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
