/* Goal: transfers at the store. Frames become entries and are acknowledged when durable, no sooner;
 * what was not opened is dropped and counted; holes, rubbish, a full disk and a silent peer end a
 * transfer and peers is told; whatever a full mailbox refused is said again. */

#include "tests/actors/store/fake.h"
#include "tests/support/repo.h"

#define NONE weir_bytes (NULL, 0)

static const struct weir_mailbox_id link_box = { { 'T' } };
static const struct weir_mailbox_id other_box = { { 'U' } };

struct lab {
    struct fake f;
    struct node peer; /* the other device, whose runs come in */
    struct weir_id db;
    struct weir_buf runs;
};

static void
lab_init (struct lab *l, uint8_t number)
{
    memset (l, 0, sizeof *l);
    fake_init (&l->f, number);
    fake_peers_up (&l->f);
    node_init (&l->peer, number);
    l->db = node_create (&l->peer, "notes");
    assert_int_equal (weir_repo_expect (l->f.store->repo, &l->db), WEIR_OK);
    char value[900]; /* so that a few runs come out */
    memset (value, 'v', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    for (int i = 0; i < 20; i++) {
        char path[16];
        snprintf (path, sizeof path, "/m/k%d", i);
        node_set (&l->peer, &l->db, path, value);
        node_sync (&l->peer);
    }
    struct node empty = { .repo = l->f.store->repo };
    node_lacking (&l->peer, &empty, &l->db, &l->runs);
    fake_clear (&l->f);
}

static void
lab_fini (struct lab *l)
{
    weir_buf_fini (&l->runs);
    node_fini (&l->peer);
    fake_fini (&l->f);
    free (l);
}

static enum weir_status
open_with (struct lab *l, uint64_t number, bool out, const struct weir_id *device,
           const struct weir_id *db, uint64_t rate)
{
    Weir__TransferOpen ask = WEIR__TRANSFER_OPEN__INIT;
    ask.has_transfer = ask.has_session = ask.has_link = ask.has_mailbox = true;
    ask.has_device = ask.has_db = ask.has_out = true;
    ask.transfer = number;
    ask.session = 5;
    ask.link = 9;
    ask.mailbox = weir_field_of (weir_bytes (link_box.b, sizeof link_box.b));
    ask.device = weir_field_id (device);
    ask.db = weir_field_id (db);
    ask.out = out;
    ask.has_receipts = ask.receipts = ask.has_priority = ask.has_rate = true;
    ask.priority = 1;
    ask.rate = rate;
    return fake_call (&l->f, WEIR_KIND_TRANSFER_OPEN, &ask.base, NONE, NULL);
}

static enum weir_status
open_transfer (struct lab *l, uint64_t number, bool out)
{
    return open_with (l, number, out, &l->peer.key.device, &l->db, 0);
}

static void
frame (struct lab *l, const struct weir_mailbox_id *from, uint64_t number, uint64_t offset,
       struct weir_bytes bytes, const struct weir_id *digest)
{
    Weir__Frame m = WEIR__FRAME__INIT;
    m.has_link = m.has_transfer = m.has_offset = true;
    m.link = 9;
    m.transfer = number;
    m.offset = offset;
    m.has_digest = digest != NULL;
    if (digest != NULL) {
        m.digest = weir_field_id (digest);
    }
    fake_tell (&l->f, WEIR_KIND_FRAME_IN, from, &m.base, bytes);
}

static struct weir_bytes
part (const struct lab *l, size_t from, size_t to)
{
    return weir_bytes (l->runs.data + from, to - from);
}

/* The end of the i-th run in the stream. */
static size_t
run_end (const struct lab *l, size_t i)
{
    size_t at = 0;
    for (size_t n = 0; n <= i; n++) {
        size_t used = 0;
        assert_int_equal (weir_run_length (part (l, at, l->runs.len), &used), WEIR_OK);
        at += used;
    }
    return at;
}

static uint64_t
acked (struct lab *l)
{
    const struct fake_sent *s = fake_last (&l->f, WEIR_KIND_ACK_OUT);
    return s == NULL ? 0 : ((const Weir__Ack *) fake_meta (s))->offset;
}

static enum weir_status
lost (struct lab *l)
{
    const struct fake_sent *s = fake_last (&l->f, WEIR_KIND_TRANSFER_LOST);
    return s == NULL
               ? WEIR_OK
               : weir_status_from_number (((const Weir__TransferLost *) fake_meta (s))->status);
}

static struct lab *
lab_new (uint8_t number)
{
    struct lab *l = malloc (sizeof *l);
    lab_init (l, number);
    return l;
}

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
    assert_int_equal (lost (l), WEIR_OK);
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
feed (struct lab *l, uint64_t number, size_t n_ranges)
{
    const struct weir_vector *v = weir_repo_vector (l->f.store->repo, &l->db);
    Weir__TransferSend m = WEIR__TRANSFER_SEND__INIT;
    Weir__Range ranges[4];
    Weir__Range *items[4];
    struct weir_id digest = weir_vector_digest (v);
    m.has_transfer = m.has_session = m.has_digest = true;
    m.transfer = number;
    m.session = 5;
    m.digest = weir_field_id (&digest);
    m.ranges = items;
    for (size_t i = 0; i < n_ranges && i < v->count; i++) {
        ranges[i] = (Weir__Range) WEIR__RANGE__INIT;
        ranges[i].has_author = ranges[i].has_lane = ranges[i].has_to_seq = ranges[i].has_tip = true;
        ranges[i].author = weir_field_id (&v->rows[i].chain.author);
        ranges[i].lane = v->rows[i].chain.lane;
        ranges[i].to_seq = v->rows[i].count;
        ranges[i].tip = weir_field_id (&v->rows[i].tip);
        items[m.n_ranges++] = &ranges[i];
    }
    fake_tell (&l->f, WEIR_KIND_TRANSFER_SEND, &link_box, &m.base, NONE);
}

static void
begin (struct lab *l, uint64_t number, uint64_t limit)
{
    Weir__TransferStart m = WEIR__TRANSFER_START__INIT;
    m.has_transfer = m.has_session = m.has_limit = true;
    m.transfer = number;
    m.session = 5;
    m.limit = limit;
    fake_tell (&l->f, WEIR_KIND_TRANSFER_START, &link_box, &m.base, NONE);
}

static void
acknowledge (struct lab *l, uint64_t number, uint64_t offset)
{
    Weir__Ack m = WEIR__ACK__INIT;
    m.has_link = m.has_transfer = m.has_offset = m.has_limit = true;
    m.link = 9;
    m.transfer = number;
    m.offset = offset;
    m.limit = offset + WEIR_CREDIT_BYTES;
    fake_tell (&l->f, WEIR_KIND_ACK_IN, &link_box, &m.base, NONE);
}

/* All frames sent, end to end; in order and without holes. */
static size_t
stream (struct lab *l)
{
    size_t at = 0;
    for (size_t i = 0; i < l->f.n_sent; i++) {
        if (!l->f.sent[i].is_answer && l->f.sent[i].kind == WEIR_KIND_FRAME_OUT) {
            const Weir__Frame *m = (const Weir__Frame *) fake_meta (&l->f.sent[i]);
            assert_int_equal (m->offset, at);
            assert_true (weir_mailbox_equal (&l->f.sent[i].to, &link_box));
            at += l->f.sent[i].body.len;
        }
    }
    return at;
}

/* The store with the peer's entries, ready to send them on. */
static struct lab *
holding_lab (uint8_t number)
{
    struct lab *l = lab_new (number);
    assert_int_equal (open_transfer (l, 100, false), WEIR_OK);
    frame (l, &link_box, 100, 0, part (l, 0, l->runs.len), NULL);
    fake_turn (&l->f);
    fake_sync (&l->f);
    fake_clear (&l->f);
    return l;
}

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

/* ---- shares, limits and what stands ---- */

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
        cmocka_unit_test (test_frames_become_entries),
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
        cmocka_unit_test (test_a_flood_delays_no_other),
        cmocka_unit_test (test_what_is_kept_is_bounded),
        cmocka_unit_test (test_receipts),
        cmocka_unit_test (test_a_limited_relationship),
        cmocka_unit_test (test_standing),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
