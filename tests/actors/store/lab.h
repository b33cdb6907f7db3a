#ifndef WEIR_TESTS_ACTORS_STORE_LAB_H
#define WEIR_TESTS_ACTORS_STORE_LAB_H

/* For tests of transfers: a store without a runtime, another device whose runs go in, and the words
 * of peers and of a transport. */

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

static inline void
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

static inline void
lab_fini (struct lab *l)
{
    weir_buf_fini (&l->runs);
    node_fini (&l->peer);
    fake_fini (&l->f);
    free (l);
}

static inline enum weir_status
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

static inline enum weir_status
open_transfer (struct lab *l, uint64_t number, bool out)
{
    return open_with (l, number, out, &l->peer.key.device, &l->db, 0);
}

static inline void
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

static inline struct weir_bytes
part (const struct lab *l, size_t from, size_t to)
{
    return weir_bytes (l->runs.data + from, to - from);
}

/* The end of the i-th run in the stream. */
static inline size_t
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

static inline uint64_t
acked (struct lab *l)
{
    const struct fake_sent *s = fake_last (&l->f, WEIR_KIND_ACK_OUT);
    return s == NULL ? 0 : ((const Weir__Ack *) fake_meta (s))->offset;
}

static inline enum weir_status
lost (struct lab *l)
{
    const struct fake_sent *s = fake_last (&l->f, WEIR_KIND_TRANSFER_LOST);
    return s == NULL
               ? WEIR_OK
               : weir_status_from_number (((const Weir__TransferLost *) fake_meta (s))->status);
}

static inline struct lab *
lab_new (uint8_t number)
{
    struct lab *l = malloc (sizeof *l);
    lab_init (l, number);
    return l;
}

static inline void
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

static inline void
begin (struct lab *l, uint64_t number, uint64_t limit)
{
    Weir__TransferStart m = WEIR__TRANSFER_START__INIT;
    m.has_transfer = m.has_session = m.has_limit = true;
    m.transfer = number;
    m.session = 5;
    m.limit = limit;
    fake_tell (&l->f, WEIR_KIND_TRANSFER_START, &link_box, &m.base, NONE);
}

static inline void
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
static inline size_t
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
static inline struct lab *
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

#endif
