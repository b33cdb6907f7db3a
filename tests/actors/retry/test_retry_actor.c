/* Goal: the retry actor remembers who is behind over kill -9, tells peers when it is time, writes
 * a new item at once and the rest within a second, and answers people truthfully. */

#include "tests/actors/fake.h"

#include "actors/retry/retry.h"
#include "store/base/map.h"
#include "store/sync/retry.h"

#define PEERS 1

static struct weir_map *rows; /* what the store keeps: struct weir_buf */

static void
free_row (void *value)
{
    weir_buf_fini (value);
    free (value);
}

static void
serve_put (struct weir_actor *a, struct fake_sent *s)
{
    const Weir__StateRows *m = (const Weir__StateRows *) s->decoded;
    for (size_t i = 0; i < m->n_rows; i++) {
        void *old = weir_map_remove (rows, weir_field (m->rows[i]->key));
        if (old != NULL) {
            free_row (old);
        }
        if (m->rows[i]->value.len > 0) {
            struct weir_buf *b = weir_alloc (sizeof *b);
            weir_buf_put_bytes (b, weir_field (m->rows[i]->value));
            (void) weir_map_put (rows, weir_field (m->rows[i]->key), b);
        }
    }
    fake_answer (a, s, WEIR_OK, NULL);
}

static size_t
serve (struct weir_actor *a)
{
    size_t n = 0;
    struct fake_sent *s;
    while ((s = fake_try (a, WEIR_KIND_STATE_PUT)) != NULL) {
        serve_put (a, s);
        n++;
    }
    return n;
}

/* Rows come one a page, so that paging is seen to. */
static void
serve_get (struct weir_actor *a)
{
    bool more = true;
    while (more) {
        struct fake_sent *s = fake_take (a, WEIR_KIND_STATE_GET);
        const Weir__StateScan *scan = (const Weir__StateScan *) s->decoded;
        Weir__StateRow row = WEIR__STATE_ROW__INIT;
        Weir__StateRow *items[1] = { &row };
        Weir__StateRows m = WEIR__STATE_ROWS__INIT;
        struct weir_bytes key;
        void *value = NULL;
        size_t left = 0;
        bool behind = !scan->has_after;
        for (size_t i = 0; weir_map_next (rows, &i, &key, &value);) {
            if (behind && m.n_rows == 0) {
                row.has_key = row.has_value = true;
                row.key = weir_field_of (key);
                row.value = weir_field_of (weir_buf_bytes (value));
                m.rows = items;
                m.n_rows = 1;
            } else if (behind) {
                left++;
            }
            behind = behind || weir_bytes_equal (key, weir_field (scan->after));
        }
        m.has_more = true;
        m.more = more = left > 0;
        fake_answer (a, s, WEIR_OK, &m.base);
    }
}

static struct weir_actor *
begin (uint64_t now)
{
    struct weir_actor *a = fake_new (&retry_def, "retry");
    a->virtual_ms = now;
    fake_start (a);
    assert_false (a->ready);
    serve_get (a);
    assert_true (a->ready);
    fake_up (a, "peers", PEERS);
    return a;
}

static void
crash (struct weir_actor **a_p)
{
    fake_forget_sent (*a_p);
    fake_destroy (a_p); /* what its stop writes reaches nobody */
}

static int
set_up (void **state)
{
    (void) state;
    rows = weir_map_new ();
    return 0;
}

static int
tear_down (void **state)
{
    (void) state;
    weir_map_destroy (&rows, free_row);
    return 0;
}

static struct weir_id
id_of (uint8_t number)
{
    struct weir_id id = { { number, number, number } };
    return id;
}

static void
tell (struct weir_actor *a, uint16_t kind, uint8_t device, uint8_t db, enum weir_status status)
{
    struct weir_mailbox_id peers = fake_mailbox (PEERS);
    struct weir_id d = id_of (device);
    struct weir_id b = id_of (db);
    Weir__Behind m = WEIR__BEHIND__INIT;
    m.has_device = m.has_db = m.has_status = true;
    m.device = weir_field_id (&d);
    m.db = weir_field_id (&b);
    m.status = (uint32_t) status;
    fake_deliver (a, kind, &peers, 0, &m.base, weir_bytes (NULL, 0));
}

static size_t
due_now (struct weir_actor *a)
{
    size_t n = 0;
    struct fake_sent *s;
    while ((s = fake_try (a, WEIR_KIND_DUE)) != NULL) {
        fake_sent_free (s);
        n++;
    }
    return n;
}

static struct fake_sent *
call (struct weir_actor *a, uint16_t kind, const ProtobufCMessage *meta)
{
    struct weir_mailbox_id client = fake_mailbox (9);
    fake_deliver (a, kind, &client, 1, meta, weir_bytes (NULL, 0));
    return fake_find (a, kind, true);
}

static size_t
listed (struct weir_actor *a, size_t *parked)
{
    struct fake_sent *s = call (a, WEIR_KIND_RETRY_LIST, NULL);
    const Weir__RetryItems *m = (const Weir__RetryItems *) s->decoded;
    size_t n = m->n_items;
    *parked = 0;
    for (size_t i = 0; i < n; i++) {
        *parked += m->items[i]->parked ? 1 : 0;
    }
    fake_sent_free (s);
    return n;
}

static void
tried_again (void **state)
{
    struct weir_actor *a = begin (1000000);
    size_t parked;
    (void) state;
    tell (a, WEIR_KIND_BEHIND, 1, 2, WEIR_UNAVAILABLE);
    fake_pass (a, 1);
    assert_int_equal (serve (a), 1); /* new: written at once */
    assert_int_equal (weir_map_count (rows), 1);
    fake_pass (a, 200000);
    size_t n = due_now (a);
    assert_in_range (n, 2, 40); /* 2, 4, 8 .. 64 s, seen by the timer; never more often */
    tell (a, WEIR_KIND_BEHIND, 1, 2, WEIR_UNAVAILABLE);
    assert_int_equal (listed (a, &parked), 1); /* one item a pair, however often it is told */
    tell (a, WEIR_KIND_IN_STEP, 1, 2, WEIR_OK);
    tell (a, WEIR_KIND_IN_STEP, 1, 2, WEIR_OK); /* late, twice */
    fake_pass (a, 1100);
    (void) serve (a);
    assert_int_equal (weir_map_count (rows), 0);
    assert_int_equal (listed (a, &parked), 0);
    fake_pass (a, 100000);
    assert_int_equal (due_now (a), 0);
    assert_int_equal (serve (a), 0); /* nothing changed: nothing written */
    fake_destroy (&a);
}

static void
survives_kill (void **state)
{
    struct weir_actor *a = begin (1000000);
    size_t parked;
    (void) state;
    for (uint8_t i = 1; i <= 3; i++) {
        tell (a, WEIR_KIND_BEHIND, i, 7, WEIR_UNAVAILABLE);
    }
    fake_pass (a, 1);
    (void) serve (a);
    crash (&a);
    a = begin (1005000);
    assert_int_equal (listed (a, &parked), 3);
    fake_pass (a, 70000);
    (void) serve (a);
    assert_true (due_now (a) >= 3);
    crash (&a);
    struct weir_buf *bad = weir_alloc (sizeof *bad); /* a row that is none is passed over */
    weir_buf_put_u8 (bad, 99);
    (void) weir_map_put (rows, weir_bytes_str ("retry/x"), bad);
    a = begin (1100000);
    assert_int_equal (listed (a, &parked), 3);
    assert_true (a->logs > 0);
    fake_destroy (&a);
}

/* The peer is heard from: its items are due at once, parked ones too; others are not. */
static void
heard (void **state)
{
    struct weir_actor *a = begin (1000000);
    struct weir_mailbox_id peers = fake_mailbox (PEERS);
    struct weir_id device = id_of (1);
    Weir__PeerId m = WEIR__PEER_ID__INIT;
    size_t parked;
    (void) state;
    for (unsigned i = 0; i <= WEIR_MAX_ATTEMPTS; i++) {
        tell (a, WEIR_KIND_BEHIND, 1, 2, WEIR_REFUSED);
    }
    tell (a, WEIR_KIND_BEHIND, 3, 2, WEIR_UNAVAILABLE);
    assert_int_equal (listed (a, &parked), 2);
    assert_int_equal (parked, 1);
    assert_string_equal (a->last_event, "peer_parked");
    (void) due_now (a);
    m.has_device = true;
    m.device = weir_field_id (&device);
    fake_deliver (a, WEIR_KIND_HEARD, &peers, 0, &m.base, weir_bytes (NULL, 0));
    assert_int_equal (due_now (a), 1);
    assert_int_equal (listed (a, &parked), 2);
    assert_int_equal (parked, 0);
    m.device.len = 3; /* nonsense */
    fake_deliver (a, WEIR_KIND_HEARD, &peers, 0, &m.base, weir_bytes (NULL, 0));
    Weir__Behind none = WEIR__BEHIND__INIT;
    fake_deliver (a, WEIR_KIND_BEHIND, &peers, 0, &none.base, weir_bytes (NULL, 0));
    fake_deliver (a, WEIR_KIND_IN_STEP, &peers, 0, &none.base, weir_bytes (NULL, 0));
    assert_int_equal (listed (a, &parked), 2);
    fake_destroy (&a);
}

static void
peers_away (void **state)
{
    struct weir_actor *a = begin (1000000);
    (void) state;
    tell (a, WEIR_KIND_BEHIND, 1, 2, WEIR_UNAVAILABLE);
    fake_down (a, "peers", PEERS);
    fake_pass (a, 100000);
    assert_int_equal (due_now (a), 0); /* nobody to tell */
    fake_up (a, "peers", PEERS);
    fake_pass (a, 40000);
    assert_true (due_now (a) >= 1);
    a->full = true; /* a full mailbox: later */
    fake_pass (a, 200000);
    a->full = false;
    fake_pass (a, 200000);
    assert_true (due_now (a) >= 1);
    fake_destroy (&a);
}

static void
by_hand (void **state)
{
    struct weir_actor *a = begin (1000000);
    Weir__PeerName now = WEIR__PEER_NAME__INIT;
    Weir__RetryDrop drop = WEIR__RETRY_DROP__INIT;
    struct weir_id one = id_of (1);
    struct weir_id two = id_of (2);
    struct weir_id_text text = weir_id_text (&one);
    struct weir_id_text db = weir_id_text (&two);
    size_t parked;
    (void) state;
    tell (a, WEIR_KIND_BEHIND, 1, 2, WEIR_UNAVAILABLE);
    tell (a, WEIR_KIND_BEHIND, 1, 3, WEIR_UNAVAILABLE);
    tell (a, WEIR_KIND_BEHIND, 4, 3, WEIR_UNAVAILABLE);
    (void) due_now (a);
    struct fake_sent *s = call (a, WEIR_KIND_RETRY_NOW, &now.base);
    assert_int_equal (((const Weir__Count *) s->decoded)->count, 3);
    fake_sent_free (s);
    assert_int_equal (due_now (a), 3);
    text.s[10] = '\0'; /* a prefix */
    now.has_peer = true;
    now.peer = weir_field_str (text.s);
    s = call (a, WEIR_KIND_RETRY_NOW, &now.base);
    assert_int_equal (((const Weir__Count *) s->decoded)->count, 2);
    fake_sent_free (s);
    now.peer = weir_field_str ("nobody-at-all");
    s = call (a, WEIR_KIND_RETRY_NOW, &now.base);
    assert_int_equal (s->status, WEIR_NOT_FOUND);
    fake_sent_free (s);
    now.peer = weir_field_str ("\xff");
    s = call (a, WEIR_KIND_RETRY_NOW, &now.base);
    assert_int_equal (s->status, WEIR_INVALID_ARGUMENT);
    fake_sent_free (s);
    drop.has_peer = drop.has_db = true;
    drop.peer = weir_field_str (text.s);
    drop.db = weir_field_str ("what");
    s = call (a, WEIR_KIND_RETRY_DROP, &drop.base);
    assert_int_equal (s->status, WEIR_NOT_FOUND);
    fake_sent_free (s);
    drop.db = weir_field_str (db.s);
    s = call (a, WEIR_KIND_RETRY_DROP, &drop.base);
    assert_int_equal (((const Weir__Count *) s->decoded)->count, 1);
    fake_sent_free (s);
    drop.db = weir_field_str (""); /* all of the peer's */
    s = call (a, WEIR_KIND_RETRY_DROP, &drop.base);
    assert_int_equal (((const Weir__Count *) s->decoded)->count, 1);
    fake_sent_free (s);
    fake_pass (a, 1);
    (void) serve (a);
    assert_int_equal (weir_map_count (rows), 1);
    assert_int_equal (listed (a, &parked), 1);
    fake_destroy (&a);
}

/* Parked for a month, with nobody heard: dropped, and said so. */
static void
dropped_by_age (void **state)
{
    struct weir_actor *a = begin (1000000);
    size_t parked;
    (void) state;
    for (unsigned i = 0; i <= WEIR_MAX_ATTEMPTS; i++) {
        tell (a, WEIR_KIND_BEHIND, 1, 2, WEIR_BLOCKED);
    }
    fake_pass (a, 1);
    (void) serve (a);
    assert_int_equal (weir_map_count (rows), 1);
    crash (&a);
    a = begin (1000000 + (uint64_t) (WEIR_PARKED_DAYS + 1) * 24 * 3600 * 1000);
    assert_int_equal (listed (a, &parked), 0);
    assert_string_equal (a->last_event, "retry_dropped");
    fake_pass (a, 1100);
    (void) serve (a);
    assert_int_equal (weir_map_count (rows), 0);
    fake_destroy (&a);
}

/* Thousands wait: all are written and told, a bounded number a turn; a list that does not fit
 * says so instead of being cut. */
static void
very_many (void **state)
{
    struct weir_actor *a = begin (1000000);
    struct weir_mailbox_id peers = fake_mailbox (PEERS);
    const unsigned many = 4000;
    (void) state;
    for (unsigned i = 0; i < many; i++) {
        struct weir_id d = { { (uint8_t) (i >> 8), (uint8_t) i, 1 } };
        Weir__Behind m = WEIR__BEHIND__INIT;
        m.has_device = m.has_db = true;
        m.device = m.db = weir_field_id (&d);
        m.has_status = true;
        m.status = (uint32_t) WEIR_UNAVAILABLE;
        fake_deliver (a, WEIR_KIND_BEHIND, &peers, 0, &m.base, weir_bytes (NULL, 0));
    }
    struct fake_sent *s = call (a, WEIR_KIND_RETRY_LIST, NULL);
    assert_int_equal (s->status, WEIR_TOO_LARGE);
    fake_sent_free (s);
    fake_pass (a, 1);
    (void) serve (a);
    assert_int_equal (weir_map_count (rows), many);
    (void) due_now (a);
    Weir__PeerName all = WEIR__PEER_NAME__INIT;
    s = call (a, WEIR_KIND_RETRY_NOW, &all.base);
    assert_int_equal (((const Weir__Count *) s->decoded)->count, many);
    fake_sent_free (s);
    size_t first = due_now (a);
    assert_in_range (first, 1, 100);
    fake_pass (a, 1000);
    assert_true (first + due_now (a) >= many);
    fake_destroy (&a);
}

static void
store_fails (void **state)
{
    struct weir_actor *a = fake_new (&retry_def, "retry");
    (void) state;
    a->virtual_ms = 1000000;
    fake_start (a);
    fake_answer (a, fake_take (a, WEIR_KIND_STATE_GET), WEIR_CORRUPT, NULL);
    assert_int_equal (a->ended, WEIR_CORRUPT); /* it must not act on half of what it knew */
    fake_destroy (&a);
    a = begin (1000000);
    tell (a, WEIR_KIND_BEHIND, 1, 2, WEIR_UNAVAILABLE);
    fake_pass (a, 1);
    unsigned logs = a->logs;
    fake_answer (a, fake_take (a, WEIR_KIND_STATE_PUT), WEIR_DISK_FULL, NULL);
    assert_true (a->logs > logs);
    fake_destroy (&a);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown (tried_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown (survives_kill, set_up, tear_down),
        cmocka_unit_test_setup_teardown (heard, set_up, tear_down),
        cmocka_unit_test_setup_teardown (peers_away, set_up, tear_down),
        cmocka_unit_test_setup_teardown (by_hand, set_up, tear_down),
        cmocka_unit_test_setup_teardown (dropped_by_age, set_up, tear_down),
        cmocka_unit_test_setup_teardown (very_many, set_up, tear_down),
        cmocka_unit_test_setup_teardown (store_fails, set_up, tear_down),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
