/* Goal: presence reaches who shares the database, over hubs and no further than the bound; a late
 * joiner sees what is here; it goes when its writer does, with the last way to it; rapid changes
 * are one message; floods, absurd numbers and forged devices cost bounded work and memory and
 * change nothing for others. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "store/sync/presence.h"

#define NODES 12
#define START 1000000u

static struct weir_id
id (unsigned n)
{
    struct weir_id i = { { 0 } };
    i.b[0] = (uint8_t) (n >> 8);
    i.b[1] = (uint8_t) n;
    i.b[2] = 1;
    return i;
}

/* Nodes and links between them: the session of a-b is a * NODES + b at a, and the other way round
 * at b. */
struct net {
    struct weir_presence *at[NODES];
    bool hub[NODES];
    bool linked[NODES][NODES];
    uint64_t now;
    struct weir_id db;
    size_t messages, items;
    size_t to[NODES];
};

static uint64_t
session (unsigned at, unsigned peer)
{
    return 1 + at * NODES + peer;
}

static void
node (struct net *n, unsigned i, bool hub)
{
    struct weir_presence_options o = { .device = id (i + 1), .epoch = START, .hub = hub };
    n->at[i] = weir_presence_new (&o);
    n->hub[i] = hub;
}

static void
net_init (struct net *n, unsigned hubs, unsigned leaves)
{
    memset (n, 0, sizeof *n);
    n->now = START;
    n->db = id (700);
    for (unsigned i = 0; i < hubs + leaves; i++) {
        node (n, i, i < hubs);
    }
}

static void
net_fini (struct net *n)
{
    for (unsigned i = 0; i < NODES; i++) {
        weir_presence_destroy (&n->at[i]);
    }
}

static void
join (struct net *n, unsigned a, unsigned b)
{
    struct weir_id ida = id (a + 1), idb = id (b + 1);
    n->linked[a][b] = n->linked[b][a] = true;
    weir_presence_share (n->at[a], session (a, b), &idb, n->hub[b], &n->db, n->now);
    weir_presence_share (n->at[b], session (b, a), &ida, n->hub[a], &n->db, n->now);
}

static void
part (struct net *n, unsigned a, unsigned b)
{
    n->linked[a][b] = n->linked[b][a] = false;
    weir_presence_session_down (n->at[a], session (a, b), n->now);
    weir_presence_session_down (n->at[b], session (b, a), n->now);
}

static void
pass (struct net *n, uint64_t ms)
{
    static struct weir_presence_batch batch;
    for (uint64_t until = n->now + ms; n->now <= until; n->now += 10) {
        for (unsigned i = 0; i < NODES; i++) {
            if (n->at[i] == NULL || weir_presence_next_ms (n->at[i]) > n->now) {
                continue;
            }
            weir_presence_tick (n->at[i], n->now);
            while (weir_presence_batch (n->at[i], n->now, &batch)) {
                unsigned to = (unsigned) ((batch.session - 1) % NODES);
                assert_true (batch.n > 0 && batch.n <= WEIR_PRESENCE_ITEMS_PER_MESSAGE);
                n->messages++;
                n->items += batch.n;
                n->to[to]++;
                if (n->linked[i][to]) {
                    weir_presence_take (n->at[to], session (to, i), &batch.db, batch.items, batch.n,
                                        n->now);
                }
            }
        }
    }
}

static void
set (struct net *n, unsigned i, const char *key, const char *value)
{
    assert_int_equal (weir_presence_set (n->at[i], &n->db, weir_bytes_str (key),
                                         weir_bytes_str (value), 3600000, n->now),
                      WEIR_OK);
}

struct seen {
    const char *key;
    char value[64];
    size_t here, gone, all;
};

static void
see (void *context, const struct weir_presence_item *item)
{
    struct seen *s = context;
    s->all++;
    s->here += item->state == WEIR_PRESENCE_HERE;
    s->gone += item->state != WEIR_PRESENCE_HERE;
    if (s->key != NULL && weir_bytes_equal (item->key, weir_bytes_str (s->key))) {
        snprintf (s->value, sizeof s->value, "%.*s", (int) item->value.len,
                  item->value.data != NULL ? (const char *) item->value.data : "");
    }
}

static struct seen
look (struct net *n, unsigned i, const char *key)
{
    struct seen s = { .key = key };
    bool anew = false;
    weir_presence_changes (n->at[i], &n->db, 0, n->now, &anew, see, &s);
    assert_true (anew);
    assert_int_equal (s.gone, 0);
    return s;
}

static void
through_a_hub (void **state)
{
    struct net n;
    (void) state;
    net_init (&n, 1, 3);        /* hub 0, leaves 1 2 3 */
    set (&n, 1, "cursor", "1"); /* before it is connected */
    join (&n, 1, 0);
    join (&n, 2, 0);
    pass (&n, 100);
    assert_string_equal (look (&n, 0, "cursor").value, "1");
    assert_string_equal (look (&n, 2, "cursor").value, "1");
    set (&n, 2, "cursor", "2"); /* the other way, under the same key: another device's */
    pass (&n, 100);
    assert_int_equal (look (&n, 1, NULL).here, 2);
    join (&n, 3, 0); /* late */
    pass (&n, 100);
    assert_int_equal (look (&n, 3, NULL).here, 2);
    /* rapid changes are one message, the last one */
    size_t before = n.to[2];
    for (int i = 0; i < 1000; i++) {
        char value[16];
        snprintf (value, sizeof value, "%d", i);
        set (&n, 1, "cursor", value);
        set (&n, 1, "other", value);
    }
    pass (&n, 60);
    assert_string_equal (look (&n, 2, "other").value, "999");
    assert_true (n.to[2] - before <= 2);
    /* refreshed: it outlives its time to live; all of a writer's in one message */
    before = n.to[3];
    pass (&n, 3u * WEIR_PRESENCE_TTL_MS);
    assert_int_equal (look (&n, 3, NULL).here, 3);
    assert_true (n.to[3] - before
                 <= 2u * (3u * WEIR_PRESENCE_TTL_MS / WEIR_PRESENCE_REFRESH_MS + 1));
    /* taken back, and the disconnect of its writer clears the rest */
    assert_int_equal (weir_presence_remove (n.at[1], &n.db, weir_bytes_str ("other"), n.now),
                      WEIR_OK);
    assert_int_equal (weir_presence_remove (n.at[1], &n.db, weir_bytes_str ("other"), n.now),
                      WEIR_NOT_FOUND);
    pass (&n, 100);
    assert_int_equal (look (&n, 3, NULL).here, 2);
    part (&n, 1, 0);
    pass (&n, 100);
    assert_int_equal (look (&n, 0, NULL).here, 1);
    assert_int_equal (look (&n, 3, NULL).here, 1);
    join (&n, 1, 0); /* and back */
    pass (&n, 100);
    assert_int_equal (look (&n, 3, NULL).here, 2);
    /* the hub dies without a word to anybody's writer */
    part (&n, 3, 0);
    pass (&n, 100);
    assert_int_equal (look (&n, 3, NULL).here, 0);
    net_fini (&n);
}

/* Two ways to one writer: it stays while one is left, and goes with the last. */
static void
two_ways (void **state)
{
    struct net n;
    (void) state;
    net_init (&n, 3, 1); /* hubs 0 1 2 in a triangle, leaf 3 on 0 and 1 */
    join (&n, 0, 1);
    join (&n, 1, 2);
    join (&n, 0, 2);
    join (&n, 3, 0);
    join (&n, 3, 1);
    set (&n, 3, "me", "1");
    pass (&n, 500);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal (look (&n, i, NULL).here, 1);
    }
    part (&n, 3, 0);
    pass (&n, 500);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal (look (&n, i, NULL).here, 1);
    }
    part (&n, 3, 1);
    pass (&n, 500);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal (look (&n, i, NULL).here, 0);
    }
    assert_int_equal (look (&n, 3, NULL).here, 1); /* its own */
    /* nobody talks about it any more */
    n.messages = 0;
    pass (&n, 5000);
    assert_int_equal (n.messages, 0);
    net_fini (&n);
}

static void
no_further_than_the_bound (void **state)
{
    struct net n;
    (void) state;
    net_init (&n, NODES, 0);
    for (unsigned i = 0; i + 1 < NODES; i++) {
        join (&n, i, i + 1);
    }
    set (&n, 0, "me", "1");
    pass (&n, 2000);
    for (unsigned i = 0; i < NODES; i++) {
        assert_int_equal (look (&n, i, NULL).here, i <= WEIR_PRESENCE_HOPS_MAX);
    }
    /* a ring of hubs says a change once a link and direction at most */
    join (&n, 0, NODES - 1);
    pass (&n, 2000);
    n.items = 0;
    set (&n, 0, "me", "2");
    pass (&n, 1000);
    assert_true (n.items <= 2 * NODES);
    part (&n, 0, 1);
    part (&n, 0, NODES - 1);
    pass (&n, 3000);
    for (unsigned i = 1; i < NODES; i++) {
        assert_int_equal (look (&n, i, NULL).here, 0);
    }
    net_fini (&n);
}

static void
leaves_do_not_forward (void **state)
{
    struct net n;
    (void) state;
    net_init (&n, 0, 3); /* 0 - 1 - 2 */
    join (&n, 0, 1);
    join (&n, 1, 2);
    set (&n, 0, "me", "1");
    pass (&n, 500);
    assert_int_equal (look (&n, 1, NULL).here, 1);
    assert_int_equal (look (&n, 2, NULL).here, 0);
    weir_presence_configure (n.at[1], true); /* it becomes a hub: 2 took it for a leaf */
    set (&n, 0, "me", "2");
    pass (&n, 500);
    assert_int_equal (look (&n, 2, NULL).here, 0);
    net_fini (&n);
}

static void
lives_and_ends (void **state)
{
    struct net n;
    struct seen s = { 0 };
    bool anew = false;
    (void) state;
    net_init (&n, 1, 1);
    join (&n, 0, 1);
    assert_int_equal (
        weir_presence_set (n.at[1], &n.db, weir_bytes_str ("k"), weir_bytes_str ("1"), 500, n.now),
        WEIR_OK);
    pass (&n, 100);
    uint64_t token = weir_presence_changes (n.at[0], &n.db, 0, n.now, &anew, see, &s);
    assert_int_equal (s.here, 1);
    pass (&n, 1000); /* its life is over: both know */
    memset (&s, 0, sizeof s);
    token = weir_presence_changes (n.at[0], &n.db, token, n.now, &anew, see, &s);
    assert_false (anew);
    assert_int_equal (s.gone, 1);
    assert_int_equal (s.here, 0);
    /* a writer that dies while its link seems to live: its copy expires by its own clock */
    set (&n, 1, "k", "2");
    pass (&n, 100);
    assert_int_equal (look (&n, 0, NULL).here, 1);
    weir_presence_destroy (&n.at[1]);
    pass (&n, WEIR_PRESENCE_TTL_MS + 100);
    assert_int_equal (look (&n, 0, NULL).here, 0);
    /* refreshes are no changes; what is gone long ago is told as "anew" */
    pass (&n, WEIR_PRESENCE_GONE_MS + 100);
    weir_presence_changes (n.at[0], &n.db, token, n.now, &anew, see, &s);
    assert_true (anew);
    struct weir_presence_counters c;
    weir_presence_counters (n.at[0], &c);
    assert_int_equal (c.items, 0);
    assert_int_equal (c.bytes, 0);
    assert_int_equal (c.writers, 0);
    net_fini (&n);
}

static void
restarts_and_databases (void **state)
{
    struct net n;
    struct weir_presence_options o = { .device = id (2), .epoch = START - 5000 };
    struct weir_id other = id (701);
    (void) state;
    net_init (&n, 1, 2);
    join (&n, 0, 1);
    join (&n, 0, 2);
    set (&n, 1, "k", "1");
    pass (&n, 100);
    /* it begins anew, and its clock stepped back: on its own session it is believed */
    part (&n, 0, 1);
    weir_presence_destroy (&n.at[1]);
    n.at[1] = weir_presence_new (&o);
    join (&n, 0, 1);
    set (&n, 1, "k", "2");
    pass (&n, 100);
    assert_string_equal (look (&n, 0, "k").value, "2");
    /* another database is another room: 2 does not share it */
    struct weir_id id0 = id (1), id1 = id (2);
    weir_presence_share (n.at[0], session (0, 1), &id1, false, &other, n.now);
    weir_presence_share (n.at[1], session (1, 0), &id0, true, &other, n.now);
    assert_int_equal (weir_presence_set (n.at[1], &other, weir_bytes_str ("k"),
                                         weir_bytes_str ("3"), 60000, n.now),
                      WEIR_OK);
    size_t to = n.to[2];
    pass (&n, 100);
    assert_int_equal (n.to[2], to);
    struct weir_id db, writer;
    size_t at = 0;
    assert_true (weir_presence_db (n.at[0], &at, &db));
    assert_true (weir_presence_db (n.at[0], &at, &db));
    assert_false (weir_presence_db (n.at[0], &at, &db));
    at = 0;
    assert_true (weir_presence_writer (n.at[0], &other, &at, &writer));
    assert_true (weir_id_equal (&writer, &id1));
    assert_false (weir_presence_writer (n.at[0], &other, &at, &writer));
    /* no longer shared; no longer a member; no longer here */
    assert_true (weir_presence_shares (n.at[0], session (0, 1), &other));
    weir_presence_unshare (n.at[0], session (0, 1), &other, n.now);
    assert_false (weir_presence_shares (n.at[0], session (0, 1), &other));
    weir_presence_forget (n.at[0], &n.db, &id1, n.now);
    assert_int_equal (look (&n, 0, NULL).here, 0);
    weir_presence_forget_db (n.at[0], &n.db);
    weir_presence_forget_db (n.at[0], &n.db);
    net_fini (&n);
}

/* ---- hostile ---- */

static void
bad_items (void **state)
{
    struct net n;
    uint8_t big[WEIR_PRESENCE_VALUE_BYTES_MAX + 1];
    uint8_t bad_text[2] = { 0xff, 0xfe };
    struct weir_presence_item good = { .device = id (2),
                                       .key = weir_bytes_str ("k"),
                                       .value = weir_bytes_str ("1"),
                                       .epoch = 1,
                                       .version = 1,
                                       .ttl_ms = 1000 };
    struct weir_presence_item rows[12];
    size_t k = 0;
    (void) state;
    memset (big, '1', sizeof big);
    net_init (&n, 1, 3);
    join (&n, 0, 1); /* 1 is the bad one: a leaf */
    join (&n, 0, 2);
    for (size_t i = 0; i < 12; i++) {
        rows[i] = good;
    }
    rows[k++].device = weir_id_zero;
    rows[k++].device = id (1);                   /* the receiver's own */
    rows[k++].device = id (3);                   /* another's, by a leaf, as if it were near */
    rows[k].device = id (4), rows[k++].hops = 1; /* and as if it came from far */
    rows[k++].key = weir_bytes (NULL, 0);
    rows[k++].key = weir_bytes (big, WEIR_PRESENCE_KEY_BYTES_MAX + 1);
    rows[k++].key = weir_bytes (bad_text, sizeof bad_text);
    rows[k++].value = weir_bytes (big, sizeof big);
    rows[k++].value = weir_bytes (NULL, 0);
    rows[k++].ttl_ms = 0;
    rows[k++].state = (enum weir_presence_state) 77;
    rows[k].hops = UINT32_MAX, k++;
    for (size_t i = 0; i < k; i++) {
        struct weir_presence_taken t =
            weir_presence_take (n.at[0], session (0, 1), &n.db, &rows[i], 1, n.now);
        assert_int_equal (t.refused, 1);
    }
    struct weir_presence_taken t =
        weir_presence_take (n.at[0], 999, &n.db, &good, 1, n.now); /* no such session */
    assert_int_equal (t.refused, 1);
    struct weir_presence_counters c;
    weir_presence_counters (n.at[0], &c);
    assert_int_equal (c.items, 0);
    /* absurd counters and times to live: it blocks nobody but itself, and not for long */
    good.epoch = good.version = UINT64_MAX;
    good.ttl_ms = UINT64_MAX;
    t = weir_presence_take (n.at[0], session (0, 1), &n.db, &good, 1, n.now);
    assert_int_equal (t.news, 1);
    t = weir_presence_take (n.at[0], session (0, 1), &n.db, &good, 1, n.now);
    assert_int_equal (t.old, 1);
    pass (&n, WEIR_PRESENCE_TTL_MS + 100);
    assert_int_equal (look (&n, 0, NULL).here, 0);
    net_fini (&n);
}

/* A hub may say what it likes of a member that is not here itself (docs/security.md), but not of
 * one that is; and when the member comes, it is believed. */
static void
forging_hub (void **state)
{
    struct net n;
    struct weir_presence_item forged = { .device = id (3),
                                         .key = weir_bytes_str ("k"),
                                         .value = weir_bytes_str ("666"),
                                         .epoch = UINT64_MAX,
                                         .version = UINT64_MAX,
                                         .hops = 1,
                                         .ttl_ms = 30000 };
    (void) state;
    net_init (&n, 2, 1); /* 1 is the forger */
    join (&n, 0, 1);
    struct weir_presence_taken t =
        weir_presence_take (n.at[0], session (0, 1), &n.db, &forged, 1, n.now);
    assert_int_equal (t.news, 1);
    join (&n, 0, 2);
    set (&n, 2, "k", "1");
    pass (&n, 100);
    assert_string_equal (look (&n, 0, "k").value, "1");
    t = weir_presence_take (n.at[0], session (0, 1), &n.db, &forged, 1, n.now);
    assert_int_equal (t.refused, 1);
    forged.state = WEIR_PRESENCE_LOST;
    forged.value = weir_bytes (NULL, 0);
    t = weir_presence_take (n.at[0], session (0, 1), &n.db, &forged, 1, n.now);
    assert_int_equal (t.old, 1);
    assert_string_equal (look (&n, 0, "k").value, "1");
    net_fini (&n);
}

static void
floods (void **state)
{
    struct net n;
    char key[32];
    char value[WEIR_PRESENCE_VALUE_BYTES_MAX + 1];
    struct weir_presence_counters c;
    size_t limited = 0, refused = 0;
    (void) state;
    net_init (&n, 2, 1);
    join (&n, 0, 1);
    memset (value, '1', sizeof value);
    /* one device: keys and bytes are bounded, and the rate */
    for (unsigned i = 0; i < 10000; i++) {
        struct weir_presence_item m = {
            .device = id (2), .epoch = 1, .version = i, .ttl_ms = 30000
        };
        snprintf (key, sizeof key, "k%u", i % 100);
        m.key = weir_bytes_str (key);
        m.value = weir_bytes (value, 1 + i % 1000);
        struct weir_presence_taken t =
            weir_presence_take (n.at[0], session (0, 1), &n.db, &m, 1, n.now);
        limited += t.limited;
        refused += t.refused;
        n.now += i % 10 == 0;
    }
    weir_presence_counters (n.at[0], &c);
    assert_true (c.items <= WEIR_PRESENCE_DEVICE_KEYS_MAX);
    assert_true (c.bytes <= WEIR_PRESENCE_DEVICE_BYTES_MAX);
    assert_true (limited > 8000 && refused > 0);
    /* a hub that forges thousands of devices: a database's bounds, and its session's rate */
    for (unsigned i = 0; i < 40000; i++) {
        struct weir_presence_item m = {
            .device = id (100 + i % 5000), .epoch = 1, .version = i, .hops = 3, .ttl_ms = 30000
        };
        m.key = weir_bytes_str ("k");
        m.value = weir_bytes (value, 1 + i % 900);
        weir_presence_take (n.at[0], session (0, 1), &n.db, &m, 1, n.now);
        n.now += i % 4 == 0;
        if (i % 1000 == 0) {
            pass (&n, 10);
        }
    }
    weir_presence_counters (n.at[0], &c);
    assert_true (c.items <= WEIR_PRESENCE_ITEMS_MAX);
    assert_true (c.writers <= WEIR_PRESENCE_WRITERS_MAX);
    assert_true (c.bytes <= WEIR_PRESENCE_BYTES_MAX);
    pass (&n, 2u * WEIR_PRESENCE_TTL_MS + 2u * WEIR_PRESENCE_GONE_MS);
    weir_presence_counters (n.at[0], &c);
    assert_int_equal (c.items, 0);
    assert_int_equal (c.writers, 0);
    /* our own bounds, and what is gone makes way */
    for (unsigned i = 0; i < 3u * WEIR_PRESENCE_DEVICE_KEYS_MAX; i++) {
        snprintf (key, sizeof key, "k%u", i);
        enum weir_status status = weir_presence_set (n.at[2], &n.db, weir_bytes_str (key),
                                                     weir_bytes_str ("1"), 1000, n.now);
        assert_int_equal (status, i < WEIR_PRESENCE_DEVICE_KEYS_MAX ? WEIR_OK : WEIR_LIMIT);
    }
    assert_int_equal (weir_presence_remove (n.at[2], &n.db, weir_bytes_str ("k3"), n.now), WEIR_OK);
    set (&n, 2, "other", "1");
    assert_int_equal (weir_presence_set (n.at[2], &n.db, weir_bytes_str ("k4"),
                                         weir_bytes (value, sizeof value), 1000, n.now),
                      WEIR_TOO_LARGE);
    assert_int_equal (
        weir_presence_set (n.at[2], &n.db, weir_bytes_str (""), weir_bytes_str ("1"), 1, n.now),
        WEIR_INVALID_ARGUMENT);
    net_fini (&n);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (through_a_hub),
        cmocka_unit_test (two_ways),
        cmocka_unit_test (no_further_than_the_bound),
        cmocka_unit_test (leaves_do_not_forward),
        cmocka_unit_test (lives_and_ends),
        cmocka_unit_test (restarts_and_databases),
        cmocka_unit_test (bad_items),
        cmocka_unit_test (forging_hub),
        cmocka_unit_test (floods),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
