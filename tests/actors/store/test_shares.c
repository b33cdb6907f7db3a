/* Goal: who sends and is sent to through the store gets a fair share: a flood delays no other, what
 * waits is bounded, a limit holds, a receipt keeps alive and acknowledges nothing, and what stands
 * is fed when it is synced, to whom it should. */

#include "tests/actors/store/lab.h"

static uint64_t
acked_of (struct lab *l, uint64_t number)
{
    uint64_t offset = 0;
    for (size_t i = 0; i < l->f.n_sent; i++) {
        if (!l->f.sent[i].is_answer && l->f.sent[i].kind == WEIR_KIND_ACK_OUT) {
            const Weir__Ack *m = (const Weir__Ack *) fake_meta (&l->f.sent[i]);
            offset = m->transfer == number ? m->offset : offset;
        }
    }
    return offset;
}

/* One peer sends thousands of runs, another one: the one does not wait for the thousands. */
static void
test_a_flood_delays_no_other (void **state)
{
    (void) state;
    struct lab *l = lab_new (12);
    struct weir_id flooder = { { 7 } };
    struct weir_buf flood = { 0 };
    size_t one = run_end (l, 0);
    while (flood.len + one <= WEIR_FRAME_BYTES_MAX) {
        weir_buf_put_bytes (&flood, part (l, 0, one));
    }
    assert_int_equal (open_with (l, 1, false, &flooder, &l->db, 0), WEIR_OK);
    assert_int_equal (open_transfer (l, 2, false), WEIR_OK);
    for (uint64_t i = 0; i < 4; i++) {
        frame (l, &link_box, 1, i * flood.len, weir_buf_bytes (&flood), NULL);
    }
    frame (l, &link_box, 2, 0, part (l, 0, l->runs.len), NULL);
    fake_turn (&l->f);
    fake_sync (&l->f);
    assert_int_equal (acked_of (l, 2), l->runs.len);
    assert_true (acked_of (l, 1) < 4 * flood.len);
    for (int i = 0; i < 1000 && acked_of (l, 1) < 4 * flood.len; i++) {
        fake_clear (&l->f);
        fake_wait (&l->f, 0); /* it goes on by itself */
        fake_sync (&l->f);
    }
    assert_int_equal (acked_of (l, 1), 4 * flood.len);
    assert_int_equal (lost (l), WEIR_OK);
    weir_buf_fini (&flood);
    lab_fini (l);
}

/* A peer that fills one transfer after the other with runs that never end. */
static void
test_what_is_kept_is_bounded (void **state)
{
    (void) state;
    struct lab *l = lab_new (13);
    struct weir_buf never = { 0 };
    size_t whole = run_end (l, 1) - run_end (l, 0);
    uint64_t number = 0;
    struct weir_settings_values *v = (void *) (uintptr_t) weir_actor_settings (l->f.store->actor);
    v->verify_kb_per_peer = 1; /* nothing is imported meanwhile, but for a little */
    while (never.len + whole <= WEIR_FRAME_BYTES_MAX) {
        weir_buf_put_bytes (&never, part (l, run_end (l, 0), run_end (l, 1)));
    }
    while (lost (l) == WEIR_OK && number < 100) {
        assert_int_equal (open_transfer (l, ++number, false), WEIR_OK);
        for (uint64_t i = 0; i < 8 && lost (l) == WEIR_OK; i++) {
            frame (l, &link_box, number, i * never.len, weir_buf_bytes (&never), NULL);
            fake_turn (&l->f);
        }
    }
    assert_int_equal (lost (l), WEIR_LIMIT);
    assert_in_range (number * 8 * never.len, WEIR_PEER_BUFFER_BYTES_MAX,
                     WEIR_PEER_BUFFER_BYTES_MAX + (4u << 20));
    assert_int_equal (l->f.store->n_transfers, number - 1);
    weir_buf_fini (&never);
    lab_fini (l);
}

/* Half a run: nothing is durable, but its sender is told that it came; an old one is not. */
static void
test_receipts (void **state)
{
    (void) state;
    struct lab *l = lab_new (14);
    assert_int_equal (open_transfer (l, 1, false), WEIR_OK);
    frame (l, &link_box, 1, 0, part (l, 0, 10), NULL);
    fake_turn (&l->f);
    assert_int_equal (fake_count (&l->f, WEIR_KIND_ACK_OUT), 1);
    const Weir__Ack *m = (const Weir__Ack *) fake_meta (fake_last (&l->f, WEIR_KIND_ACK_OUT));
    assert_int_equal (m->offset, 0);
    assert_true (m->has_received);
    assert_int_equal (m->received, 10);
    assert_false (m->has_digest);
    fake_turn (&l->f);
    assert_int_equal (fake_count (&l->f, WEIR_KIND_ACK_OUT), 1); /* said once */
    /* At the sender: a receipt keeps it alive, and acknowledges nothing. */
    lab_fini (l);
    l = holding_lab (15);
    assert_int_equal (open_transfer (l, 1, true), WEIR_OK);
    begin (l, 1, WEIR_CREDIT_BYTES);
    feed (l, 1, 4);
    fake_turn (&l->f);
    Weir__Ack ack = WEIR__ACK__INIT;
    ack.has_link = ack.has_transfer = ack.has_offset = ack.has_limit = ack.has_received = true;
    ack.link = 9;
    ack.transfer = 1;
    ack.limit = WEIR_CREDIT_BYTES;
    for (uint64_t i = 1; i < 5; i++) {
        fake_wait (&l->f, WEIR_TRANSFER_STALL_MS - 1);
        ack.received = i;
        fake_tell (&l->f, WEIR_KIND_ACK_IN, &link_box, &ack.base, NONE);
        assert_int_equal (lost (l), WEIR_OK);
        const Weir__TransferAcked *acked =
            (const Weir__TransferAcked *) fake_meta (fake_last (&l->f, WEIR_KIND_TRANSFER_ACKED));
        assert_int_equal (acked->entries, 0);
        assert_false (acked->idle);
    }
    ack.received = UINT64_MAX; /* never sent */
    fake_tell (&l->f, WEIR_KIND_ACK_IN, &link_box, &ack.base, NONE);
    assert_int_equal (lost (l), WEIR_BAD_FRAME);
    lab_fini (l);
}

static void
change (struct lab *l, uint64_t number, uint64_t rate, bool stand)
{
    Weir__TransferSet m = WEIR__TRANSFER_SET__INIT;
    m.has_transfer = m.has_session = m.has_out = m.has_priority = m.has_rate = m.has_stand = true;
    m.transfer = number;
    m.session = 5;
    m.out = true;
    m.rate = rate;
    m.stand = stand;
    fake_tell (&l->f, WEIR_KIND_TRANSFER_SET, &link_box, &m.base, NONE);
}

static void
test_a_limited_relationship (void **state)
{
    (void) state;
    struct lab *l = holding_lab (16);
    assert_int_equal (open_with (l, 1, true, &l->peer.key.device, &l->db, 4096), WEIR_OK);
    begin (l, 1, WEIR_CREDIT_BYTES);
    feed (l, 1, 4);
    fake_turn (&l->f);
    size_t before = stream (l);
    assert_in_range (before, 1, 4096);
    fake_wait (&l->f, 999);
    assert_int_equal (stream (l), before);
    fake_wait (&l->f, 200);
    assert_in_range (stream (l), before + 1, before + 4096);
    change (l, 1, 0, false); /* no longer */
    fake_turn (&l->f);
    assert_true (stream (l) > before + 4096);
    change (l, 99, 0, true); /* there is none */
    lab_fini (l);
}

/* What stands is fed when it is synced, with no word of peers and no other turn; peers is told
 * whom it reached; it never goes back to where it came from, and a leaf forwards nothing. */
static void
test_standing (void **state)
{
    (void) state;
    static const struct {
        const char *role;
        bool to_source;
        bool own;
        bool fed;
    } table[] = {
        { "leaf", false, true, true },
        { "leaf", false, false, false },
        { "hub", false, false, true },
        { "hub", true, false, false },
        { "hub", true, true, true },
        { "hub", false, false, false }, /* as the author of what came: it has it */
    };
    struct weir_id other = { { 8 } };
    for (uint8_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct lab *l = holding_lab ((uint8_t) (30 + i));
        struct weir_settings_values *v =
            (void *) (uintptr_t) weir_actor_settings (l->f.store->actor);
        snprintf (v->role, sizeof v->role, "%s", table[i].role);
        bool author = i == 5;
        struct weir_id db = table[i].own ? fake_create (&l->f, "mine") : l->db;
        assert_int_equal (open_with (l, 1, true,
                                     table[i].to_source || author ? &l->peer.key.device : &other,
                                     &db, 0),
                          WEIR_OK);
        change (l, 1, 0, true); /* not started: it cannot stand */
        assert_int_equal (l->f.store->n_standing, 0);
        begin (l, 1, WEIR_CREDIT_BYTES);
        change (l, 1, 0, true);
        fake_turn (&l->f);
        fake_clear (&l->f);
        if (table[i].own) {
            assert_int_equal (fake_set (&l->f, "mine", "/m/a", "1"), WEIR_OK);
        } else {
            struct weir_buf more = { 0 };
            struct node here = { .repo = l->f.store->repo };
            node_set (&l->peer, &l->db, "/m/more", "v");
            node_sync (&l->peer);
            node_lacking (&l->peer, &here, &l->db, &more);
            assert_int_equal (
                open_with (l, 101, false, author ? &other : &l->peer.key.device, &l->db, 0),
                WEIR_OK);
            fake_clear (&l->f);
            frame (l, &link_box, 101, 0, weir_buf_bytes (&more), NULL);
            fake_turn (&l->f);
            fake_sync (&l->f);
            weir_buf_fini (&more);
        }
        const Weir__Novel *m = (const Weir__Novel *) fake_meta (fake_last (&l->f, WEIR_KIND_NOVEL));
        assert_int_equal (m->n_fed, table[i].fed ? 1 : 0);
        if (table[i].fed) {
            assert_int_equal (m->fed[0]->transfer, 1);
            assert_int_equal (m->fed[0]->session, 5);
        }
        assert_int_equal (fake_count (&l->f, WEIR_KIND_FRAME_OUT), table[i].fed ? 1 : 0);
        change (l, 1, 0, false);
        assert_int_equal (l->f.store->n_standing, 0);
        lab_fini (l);
    }
}

int
main (void)
{
    weir_crypto_init ();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_a_flood_delays_no_other),
        cmocka_unit_test (test_what_is_kept_is_bounded),
        cmocka_unit_test (test_receipts),
        cmocka_unit_test (test_a_limited_relationship),
        cmocka_unit_test (test_standing),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
