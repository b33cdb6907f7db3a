/* Goal: transfers at the store. Frames become entries and are acknowledged when durable, no sooner;
 * what was not opened is dropped and counted; holes, rubbish, a full disk and a silent peer end a
 * transfer and peers is told; whatever a full mailbox refused is said again. */

#include "tests/actors/store/lab.h"

static void
test_frames_become_entries (void **state)
{
    (void) state;
    struct lab *l = lab_new (1);
    struct weir_id digest = weir_vector_digest (weir_repo_vector (l->peer.repo, &l->db));
    size_t n = l->runs.len;
    assert_int_equal (open_transfer (l, 1, false), WEIR_OK);
    assert_int_equal (open_transfer (l, 1, false), WEIR_OK); /* a resend opens nothing new */
    assert_int_equal (l->f.store->n_transfers, 1);
    frame (l, &link_box, 1, 0, part (l, 0, n / 2), NULL);
    frame (l, &link_box, 1, 0, part (l, 0, n / 2), NULL); /* a duplicate */
    frame (l, &link_box, 1, n / 2, part (l, n / 2, n), &digest);
    fake_turn (&l->f);
    assert_int_equal (acked (l), 0);
    assert_null (fake_last (&l->f, WEIR_KIND_TRANSFER_ARRIVED));
    fake_sync (&l->f);
    assert_int_equal (acked (l), n);
    const Weir__Ack *ack = (const Weir__Ack *) fake_meta (fake_last (&l->f, WEIR_KIND_ACK_OUT));
    assert_true (ack->limit >= n + WEIR_CREDIT_BYTES_MIN);
    assert_memory_equal (ack->digest.data, digest.b, 32);
    const Weir__TransferArrived *m =
        (const Weir__TransferArrived *) fake_meta (fake_last (&l->f, WEIR_KIND_TRANSFER_ARRIVED));
    assert_memory_equal (m->their_digest.data, digest.b, 32);
    assert_memory_equal (m->digest.data, digest.b, 32);
    assert_int_equal (m->entries, 21);
    assert_false (m->gap);
    /* The same again, in another transfer: held, acknowledged, nothing new. */
    fake_clear (&l->f);
    assert_int_equal (open_transfer (l, 2, false), WEIR_OK);
    frame (l, &link_box, 2, 0, part (l, 0, n), &digest);
    fake_turn (&l->f);
    fake_sync (&l->f);
    assert_int_equal (acked (l), n);
    m = (const Weir__TransferArrived *) fake_meta (fake_last (&l->f, WEIR_KIND_TRANSFER_ARRIVED));
    assert_int_equal (m->entries, 0);
    assert_int_equal (m->again, 21);
    assert_true (m->n_held > 0 && m->n_missing == 0);
    assert_int_equal (lost (l), WEIR_OK);
    lab_fini (l);
}

/* The second half first: its arrival says what it waits for. */
static void
test_a_gap_is_told (void **state)
{
    (void) state;
    struct lab *l = lab_new (13);
    size_t first = 0;
    assert_int_equal (weir_run_length (weir_buf_bytes (&l->runs), &first), WEIR_OK);
    assert_true (first < l->runs.len);
    assert_int_equal (open_transfer (l, 1, false), WEIR_OK);
    frame (l, &link_box, 1, 0, part (l, first, l->runs.len), NULL);
    fake_turn (&l->f);
    fake_sync (&l->f);
    const Weir__TransferArrived *m =
        (const Weir__TransferArrived *) fake_meta (fake_last (&l->f, WEIR_KIND_TRANSFER_ARRIVED));
    assert_true (m->gap);
    assert_true (m->n_missing > 0);
    assert_true (m->missing[0]->has_id);
    lab_fini (l);
}

/* Where entries are that a peer waits for; what is not here is left out. */
static void
test_entries_are_found (void **state)
{
    (void) state;
    struct lab *l = lab_new (14);
    struct weir_id db = fake_create (&l->f, "mine");
    assert_int_equal (fake_set (&l->f, "mine", "/m/a", "1"), WEIR_OK);
    size_t count = 0;
    struct weir_id head = weir_repo_heads (l->f.store->repo, &db, &count)[0];
    struct weir_id nothing = { { 5 } };
    const struct fake_sent *answer = NULL;
    Weir__Wanted here = WEIR__WANTED__INIT;
    Weir__Wanted gone = WEIR__WANTED__INIT;
    Weir__Wanted none = WEIR__WANTED__INIT;
    Weir__Wanted *items[] = { &gone, &here, &none };
    Weir__EntriesFind ask = WEIR__ENTRIES_FIND__INIT;
    here.has_id = gone.has_id = true;
    here.id = weir_field_id (&head);
    gone.id = weir_field_id (&nothing);
    ask.items = items;
    ask.n_items = 3;
    assert_int_not_equal (
        fake_call (&l->f, WEIR_KIND_ENTRIES_FIND, &ask.base, weir_bytes (NULL, 0), &answer),
        WEIR_OK); /* of which database? */
    ask.has_db = true;
    ask.db = weir_field_id (&db);
    assert_int_equal (
        fake_call (&l->f, WEIR_KIND_ENTRIES_FIND, &ask.base, weir_bytes (NULL, 0), &answer),
        WEIR_OK);
    const Weir__EntriesFound *m = (const Weir__EntriesFound *) fake_meta (answer);
    assert_int_equal (m->n_ranges, 1);
    assert_memory_equal (m->ranges[0]->tip.data, head.b, 32);
    assert_true (m->ranges[0]->to_seq > m->ranges[0]->from_seq);
    lab_fini (l);
}

/* What is consumed behind a flush is not acknowledged with that flush's batch. */
static void
test_no_ack_before_its_batch (void **state)
{
    (void) state;
    struct lab *l = lab_new (2);
    size_t first = run_end (l, 0);
    size_t second = run_end (l, 2);
    assert_int_equal (open_transfer (l, 1, false), WEIR_OK);
    frame (l, &link_box, 1, 0, part (l, 0, first), NULL);
    fake_turn (&l->f);
    frame (l, &link_box, 1, first, part (l, first, second), NULL);
    fake_sync (&l->f); /* the event comes before the turn's end */
    assert_int_equal (acked (l), first);
    fake_sync (&l->f);
    assert_int_equal (acked (l), first);
    fake_turn (&l->f);
    assert_int_equal (acked (l), first); /* it was imported as the turn ended */
    fake_sync (&l->f);
    assert_int_equal (acked (l), second);
    frame (l, &link_box, 1, second, part (l, second, l->runs.len), NULL);
    fake_turn (&l->f);
    assert_int_equal (acked (l), second);
    fake_sync (&l->f);
    assert_int_equal (acked (l), l->runs.len);
    lab_fini (l);
}

/* An end of a burst that carries no bytes is told, too. */
static void
test_a_digest_alone (void **state)
{
    (void) state;
    struct lab *l = lab_new (3);
    struct weir_id digest = weir_vector_digest (weir_repo_vector (l->peer.repo, &l->db));
    assert_int_equal (open_transfer (l, 1, false), WEIR_OK);
    frame (l, &link_box, 1, 0, NONE, &digest);
    fake_turn (&l->f);
    fake_sync (&l->f);
    assert_int_equal (fake_count (&l->f, WEIR_KIND_TRANSFER_ARRIVED), 1);
    assert_int_equal (fake_count (&l->f, WEIR_KIND_ACK_OUT), 0);
    lab_fini (l);
}

static void
test_full_mailboxes (void **state)
{
    (void) state;
    struct lab *l = lab_new (4);
    struct weir_id digest = weir_vector_digest (weir_repo_vector (l->peer.repo, &l->db));
    static const uint16_t kinds[] = { WEIR_KIND_ACK_OUT, WEIR_KIND_TRANSFER_ARRIVED };
    for (uint64_t i = 0; i < 2; i++) {
        fake_clear (&l->f);
        assert_int_equal (open_transfer (l, i + 1, false), WEIR_OK);
        l->f.busy_kind = kinds[i];
        frame (l, &link_box, i + 1, 0, part (l, 0, l->runs.len), &digest);
        fake_turn (&l->f);
        fake_sync (&l->f);
        fake_wait (&l->f, 1);
        assert_int_equal (fake_count (&l->f, kinds[i]), 0);
        l->f.busy_kind = 0;
        fake_wait (&l->f, 1);
        assert_int_equal (fake_count (&l->f, WEIR_KIND_ACK_OUT), 1);
        assert_int_equal (fake_count (&l->f, WEIR_KIND_TRANSFER_ARRIVED), 1);
        fake_wait (&l->f, 1);
        assert_int_equal (fake_count (&l->f, WEIR_KIND_ACK_OUT), 1);
    }
    lab_fini (l);
}

static void
test_what_ends_a_transfer (void **state)
{
    (void) state;
    static const char rubbish[] = "this is no run at all, however long it may be";
    for (uint8_t i = 0; i < 4; i++) {
        struct lab *l = lab_new ((uint8_t) (20 + i));
        struct weir_settings_values *v =
            (void *) (uintptr_t) weir_actor_settings (l->f.store->actor);
        assert_int_equal (open_transfer (l, 1, false), WEIR_OK);
        if (i == 0) {
            frame (l, &link_box, 1, 1, part (l, 1, 100), NULL);
            assert_int_equal (lost (l), WEIR_GAP);
        } else if (i == 1) {
            frame (l, &link_box, 1, 0, weir_bytes (rubbish, sizeof rubbish), NULL);
            fake_turn (&l->f);
            assert_int_not_equal (lost (l), WEIR_OK);
        } else if (i == 2) {
            struct weir_buf large = { 0 };
            weir_buf_reserve (&large, WEIR_FRAME_BYTES_MAX + 1);
            large.len = WEIR_FRAME_BYTES_MAX + 1;
            memset (large.data, 1, large.len);
            frame (l, &link_box, 1, 0, weir_buf_bytes (&large), NULL);
            assert_int_equal (lost (l), WEIR_BAD_FRAME);
            weir_buf_fini (&large);
        } else {
            v->disk_reserve_mb = 1u << 30;
            fake_wait (&l->f, 1000);
            frame (l, &link_box, 1, 0, part (l, 0, l->runs.len), NULL);
            assert_int_equal (lost (l), WEIR_DISK_FULL);
            assert_int_equal (open_transfer (l, 2, false), WEIR_DISK_FULL);
            v->disk_reserve_mb = 1;
        }
        assert_int_equal (l->f.store->n_transfers, 0);
        /* Late frames of what is gone are dropped and counted. */
        uint64_t dropped = l->f.store->frames_dropped;
        frame (l, &link_box, 1, 0, part (l, 0, l->runs.len), NULL);
        assert_int_equal (l->f.store->frames_dropped, dropped + 1);
        fake_turn (&l->f);
        fake_sync (&l->f);
        assert_int_equal (fake_count (&l->f, WEIR_KIND_ACK_OUT), 0);
        lab_fini (l);
    }
}

/* Forged runs by the dozen: counted, nothing stored, told once a second. */
static void
test_refused_runs (void **state)
{
    (void) state;
    struct lab *l = lab_new (11);
    size_t begin = run_end (l, 0);
    size_t n = 0;
    for (size_t at = begin; at < l->runs.len; n++) {
        size_t used = 0;
        assert_int_equal (weir_run_length (part (l, at, l->runs.len), &used), WEIR_OK);
        at += used;
        l->runs.data[at - 1] ^= 1; /* of the signature */
    }
    assert_true (n > 2);
    for (uint64_t round = 1; round <= 2; round++) {
        unsigned events = l->f.events;
        assert_int_equal (open_transfer (l, round, false), WEIR_OK);
        frame (l, &link_box, round, 0, part (l, 0, l->runs.len), NULL);
        fake_turn (&l->f);
        fake_sync (&l->f);
        assert_int_equal (l->f.store->refused, round * n);
        assert_int_equal (l->f.events, events + 1);
        assert_int_equal (acked (l), l->runs.len); /* taken, so that the rest may follow */
        fake_wait (&l->f, 1000);
    }
    struct weir_db_info info;
    assert_int_equal (weir_repo_info (l->f.store->repo, &l->db, &info), WEIR_OK);
    assert_int_equal (info.entries, 1);
    lab_fini (l);
}

/* By another mailbox, or another number: somebody else's frame. */
static void
test_unknown_frames (void **state)
{
    (void) state;
    struct lab *l = lab_new (5);
    assert_int_equal (open_transfer (l, 1, false), WEIR_OK);
    frame (l, &other_box, 1, 0, part (l, 0, l->runs.len), NULL);
    frame (l, &link_box, 2, 0, part (l, 0, l->runs.len), NULL);
    Weir__Ack ack = WEIR__ACK__INIT;
    ack.has_link = ack.has_transfer = true;
    ack.link = 9;
    ack.transfer = 1; /* goes in, not out */
    fake_tell (&l->f, WEIR_KIND_ACK_IN, &link_box, &ack.base, NONE);
    assert_int_equal (l->f.store->frames_dropped, 3);
    assert_int_equal (l->f.store->imports, 0);
    assert_int_equal (l->f.store->n_transfers, 1);
    Weir__TransferStop stop = WEIR__TRANSFER_STOP__INIT;
    stop.has_transfer = stop.has_session = true;
    stop.transfer = 1;
    stop.session = 5;
    fake_tell (&l->f, WEIR_KIND_TRANSFER_STOP, &link_box, &stop.base, NONE);
    fake_tell (&l->f, WEIR_KIND_TRANSFER_STOP, &link_box, &stop.base, NONE);
    assert_int_equal (l->f.store->n_transfers, 0);
    lab_fini (l);
}

/* ---- sending ---- */

static void
test_sending (void **state)
{
    (void) state;
    struct lab *l = holding_lab (6);
    assert_int_equal (open_transfer (l, 1, true), WEIR_OK);
    feed (l, 1, 4);
    fake_turn (&l->f);
    assert_int_equal (stream (l), 0); /* not started: the other side knows nothing yet */
    begin (l, 1, 500);
    fake_turn (&l->f);
    assert_int_equal (stream (l), 500); /* its credit */
    acknowledge (l, 1, 500);
    fake_turn (&l->f);
    size_t all = stream (l);
    assert_true (all > 500);
    const Weir__Frame *last =
        (const Weir__Frame *) fake_meta (fake_last (&l->f, WEIR_KIND_FRAME_OUT));
    assert_true (last->has_digest);
    /* A full mailbox: kept for the pump to say. */
    l->f.busy_kind = WEIR_KIND_TRANSFER_ACKED;
    acknowledge (l, 1, all);
    l->f.busy_kind = 0;
    fake_turn (&l->f);
    const Weir__TransferAcked *m =
        (const Weir__TransferAcked *) fake_meta (fake_last (&l->f, WEIR_KIND_TRANSFER_ACKED));
    assert_true (m->idle);
    assert_true (m->entries > 0);
    size_t told = fake_count (&l->f, WEIR_KIND_TRANSFER_ACKED);
    fake_turn (&l->f);
    assert_int_equal (fake_count (&l->f, WEIR_KIND_TRANSFER_ACKED), told);
    acknowledge (l, 1, all + 1); /* never sent */
    assert_int_equal (lost (l), WEIR_BAD_FRAME);
    lab_fini (l);
}

static void
test_a_stuck_frame (void **state)
{
    (void) state;
    struct lab *l = holding_lab (7);
    assert_int_equal (open_transfer (l, 1, true), WEIR_OK);
    begin (l, 1, WEIR_CREDIT_BYTES);
    l->f.busy_kind = WEIR_KIND_FRAME_OUT;
    feed (l, 1, 4);
    fake_turn (&l->f);
    fake_wait (&l->f, 1);
    assert_int_equal (stream (l), 0);
    l->f.busy_kind = 0;
    fake_wait (&l->f, 1);
    assert_true (stream (l) > 0);
    lab_fini (l);
}

static void
test_a_silent_peer (void **state)
{
    (void) state;
    struct lab *l = holding_lab (8);
    assert_int_equal (open_transfer (l, 1, true), WEIR_OK);
    begin (l, 1, WEIR_CREDIT_BYTES);
    feed (l, 1, 4);
    fake_turn (&l->f);
    fake_wait (&l->f, WEIR_TRANSFER_STALL_MS - 1);
    assert_int_equal (lost (l), WEIR_OK);
    fake_wait (&l->f, 1001); /* it is looked at each second */
    assert_int_equal (lost (l), WEIR_TIMED_OUT);
    acknowledge (l, 1, 1); /* late */
    assert_int_equal (l->f.store->frames_dropped, 1);
    lab_fini (l);
}

/* What is not synced does not leave; a range that is not held is passed over. */
static void
test_only_synced_leaves (void **state)
{
    (void) state;
    struct lab *l = holding_lab (9);
    node_grant (&l->peer, &l->db, &l->peer, WEIR_RIGHT_ADMIN);
    struct weir_buf more = { 0 };
    struct node here = { .repo = l->f.store->repo };
    node_lacking (&l->peer, &here, &l->db, &more);
    assert_int_equal (open_transfer (l, 1, true), WEIR_OK);
    begin (l, 1, WEIR_CREDIT_BYTES);
    feed (l, 1, 4);
    fake_turn (&l->f);
    size_t before = stream (l);
    acknowledge (l, 1, before);
    frame (l, &link_box, 100, l->runs.len, weir_buf_bytes (&more), NULL);
    fake_turn (&l->f);
    feed (l, 1, 4);
    fake_turn (&l->f);
    size_t unsynced = stream (l);
    fake_sync (&l->f);
    fake_turn (&l->f);
    assert_true (before > 0);
    assert_true (stream (l) > unsynced);
    weir_buf_fini (&more);
    lab_fini (l);
}

/* ---- novel ---- */

static void
test_novel (void **state)
{
    (void) state;
    struct lab *l = holding_lab (10);
    struct weir_id db = fake_create (&l->f, "mine");
    assert_true (fake_count (&l->f, WEIR_KIND_NOVEL) >= 1);
    fake_clear (&l->f);
    l->f.busy_kind = WEIR_KIND_NOVEL;
    assert_int_equal (fake_set (&l->f, "mine", "/m/a", "1"), WEIR_OK);
    assert_int_equal (fake_count (&l->f, WEIR_KIND_NOVEL), 0);
    assert_true (l->f.store->tell_again);
    l->f.busy_kind = 0;
    fake_wait (&l->f, 1000);
    const Weir__Novel *m = (const Weir__Novel *) fake_meta (fake_last (&l->f, WEIR_KIND_NOVEL));
    assert_memory_equal (m->db.data, db.b, 32);
    assert_int_equal (m->n_ranges, 1);
    assert_int_equal (m->ranges[0]->to_seq - m->ranges[0]->from_seq, 1);
    assert_false (m->has_source);
    size_t told = fake_count (&l->f, WEIR_KIND_NOVEL);
    fake_wait (&l->f, 1000);
    assert_int_equal (fake_count (&l->f, WEIR_KIND_NOVEL), told);
    /* Nothing is told before it is durable. */
    Weir__DocWrite ask = WEIR__DOC_WRITE__INIT;
    ask.has_db = ask.has_path = true;
    ask.db = weir_field_str ("mine");
    ask.path = weir_field_str ("/m/b");
    (void) fake_ask (&l->f, WEIR_KIND_DOC_SET, &ask.base, weir_bytes_str ("1"));
    fake_turn (&l->f);
    assert_int_equal (fake_count (&l->f, WEIR_KIND_NOVEL), told);
    fake_sync (&l->f);
    assert_int_equal (fake_count (&l->f, WEIR_KIND_NOVEL), told + 1);
    lab_fini (l);
}

int
main (void)
{
    weir_crypto_init ();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_frames_become_entries),
        cmocka_unit_test (test_a_gap_is_told),
        cmocka_unit_test (test_entries_are_found),
        cmocka_unit_test (test_no_ack_before_its_batch),
        cmocka_unit_test (test_a_digest_alone),
        cmocka_unit_test (test_full_mailboxes),
        cmocka_unit_test (test_what_ends_a_transfer),
        cmocka_unit_test (test_unknown_frames),
        cmocka_unit_test (test_refused_runs),
        cmocka_unit_test (test_sending),
        cmocka_unit_test (test_a_stuck_frame),
        cmocka_unit_test (test_a_silent_peer),
        cmocka_unit_test (test_only_synced_leaves),
        cmocka_unit_test (test_novel),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
