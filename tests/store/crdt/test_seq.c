/* Goal: sequences under long histories: trackers fed, made anew from earlier and later bases, and
 * dropped, give what a fresh document makes of the same entries in another order; several
 * sequences in one entry; ids, also of documents that were loaded and went cold; text that was
 * deleted is let go; too many events are refused. */

#include "tests/store/crdt/seq_fixture.h"

#include "store/crdt/seq_parts.h"

static struct weir_container *
text_of (struct weir_doc *doc, const char *name)
{
    return weir_container_child (weir_doc_top (doc), weir_bytes_str (name), &weir_container_text,
                                 true);
}

/* One to three edits of one or two texts. */
static void
edit (struct peer *p, struct weir_rand *rand)
{
    struct weir_error e = { 0 };
    for (uint64_t n = 1 + weir_rand_below (rand, 3); n > 0; n--) {
        const char *name = weir_rand_below (rand, 4) == 0 ? "other" : "main";
        struct weir_container *t = peer_root (p, name, &weir_container_text);
        uint32_t length = weir_seq_length (weir_container_seq (t));
        uint32_t at = (uint32_t) weir_rand_below (rand, length + 1);
        if (length > at + 3 && weir_rand_below (rand, 5) < 2) {
            assert_ok (weir_change_text_delete (p->change, t, at,
                                                1 + (uint32_t) weir_rand_below (rand, 3), &e),
                       &e);
        } else {
            char text[8];
            for (size_t i = 0; i < sizeof text; i++) {
                text[i] = (char) ('a' + weir_rand_below (rand, 26));
            }
            struct weir_bytes bytes = weir_bytes (text, 1 + weir_rand_below (rand, sizeof text));
            assert_ok (weir_change_text_insert (p->change, t, at, bytes, &e), &e);
        }
    }
    (void) peer_commit (p);
}

/* The entries in an order that only keeps causes first. */
static void
take_shuffled (struct peer *p, struct weir_rand *rand)
{
    size_t left = p->history->count - p->n_order;
    size_t first = 0;
    while (left > 0) {
        while (peer_has (p, first)) {
            first++;
        }
        size_t i = first;
        for (size_t tries = weir_rand_below (rand, 12); tries > 0; tries--) {
            size_t other = first + weir_rand_below (rand, 40);
            if (other < p->history->count && peer_may_take (p, other)) {
                i = other;
            }
        }
        assert_ok (peer_take (p, (uint32_t) i), NULL);
        left--;
    }
}

/* `alone`: how many commits at most between exchanges. */
static void
play (uint64_t seed, size_t steps, uint64_t alone)
{
    struct history h = { 0 };
    struct weir_rand rand;
    struct peer peers[3];
    struct peer fresh;
    weir_rand_init (&rand, seed);
    for (uint8_t i = 0; i < 3; i++) {
        peer_begin (&peers[i], &h, (uint8_t) (3 - i));
    }
    edit (&peers[0], &rand);
    for (size_t i = 0; i < steps; i++) {
        struct peer *p = &peers[weir_rand_below (&rand, 3)];
        for (uint64_t n = 1 + weir_rand_below (&rand, alone); n > 0; n--) {
            edit (p, &rand);
        }
        for (uint64_t n = weir_rand_below (&rand, 3); n > 0; n--) {
            peer_sync (&peers[weir_rand_below (&rand, 3)], &peers[weir_rand_below (&rand, 3)]);
        }
        if (weir_rand_below (&rand, 40) == 0) {
            peer_reload (p);
        }
    }
    peer_begin (&fresh, &h, 9);
    take_shuffled (&fresh, &rand);
    for (size_t i = 0; i < 6; i++) {
        peer_sync (&peers[i % 3], &peers[(i + 1) % 3]);
    }
    for (size_t i = 0; i < 3; i++) {
        assert_same_state (peers[i].doc, fresh.doc);
        peer_end (&peers[i]);
    }
    peer_end (&fresh);
    history_end (&h);
}

static void
test_short_stretches (void **state)
{
    (void) state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        play (seed, 150, 3);
    }
}

/* Lines longer than what is fed to a tracker, so that bases move on. */
static void
test_long_stretches (void **state)
{
    (void) state;
    for (uint64_t seed = 1; seed <= 2; seed++) {
        play (seed, 12, 300);
    }
}

/* Two that hardly ever have all of each other: at the rare moments when one has, the tracker may
 * begin anew; then a line, in which it is dropped. */
static void
test_tracker_moves_on (void **state)
{
    (void) state;
    struct history h = { 0 };
    struct weir_rand rand;
    struct peer a;
    struct peer b;
    weir_rand_init (&rand, 21);
    peer_begin (&a, &h, 1);
    peer_begin (&b, &h, 2);
    edit (&a, &rand);
    peer_sync (&a, &b);
    for (size_t i = 0; i < 6000; i++) {
        size_t had = a.n_order;
        edit (&a, &rand);
        edit (&b, &rand);
        assert_ok (peer_take (&a, (uint32_t) h.count - 1), NULL);
        for (size_t k = had > 3 ? had - 3 : 0; k < had; k++) {
            if (!peer_has (&b, a.order[k])) {
                assert_ok (peer_take (&b, a.order[k]), NULL);
            }
        }
        if (i % 500 == 0) {
            peer_sync (&a, &b);
            edit (&b, &rand);
            peer_sync (&b, &a);
        }
    }
    struct weir_seq *seq = weir_container_seq (text_of (a.doc, "main"));
    assert_non_null (seq->merge.tracker);
    assert_true (seq->merge.base != WEIR_GRAPH_NONE && seq->merge.base > 4000);
    peer_sync (&a, &b);
    assert_same_state (a.doc, b.doc);
    for (size_t i = 0; i < 600; i++) {
        edit (&a, &rand);
    }
    assert_null (seq->merge.tracker);
    peer_sync (&a, &b);
    assert_same_state (a.doc, b.doc);
    peer_end (&a);
    peer_end (&b);
    history_end (&h);
}

/* Two lines of which one comes late: what it needs is replayed in slices. */
static void
test_slices (void **state)
{
    (void) state;
    struct history h = { 0 };
    struct weir_rand rand;
    struct peer a;
    struct peer b;
    weir_rand_init (&rand, 41);
    peer_begin (&a, &h, 1);
    peer_begin (&b, &h, 2);
    edit (&a, &rand);
    peer_sync (&a, &b);
    for (size_t i = 0; i < 500; i++) {
        edit (&a, &rand);
        edit (&b, &rand);
    }
    const struct history_entry *late = h.entries[2];
    size_t slices = 0;
    bool deferred = true;
    assert_int_equal (late->head.n_parents, 1);
    for (; deferred; slices++) {
        uint64_t budget = 10;
        weir_doc_set_budget (a.doc, &budget);
        enum weir_status status =
            weir_doc_apply (a.doc, &late->head, weir_buf_bytes (&late->payload), &deferred);
        assert_int_equal (status, deferred ? WEIR_BUSY : WEIR_OK);
        assert_true (slices < 1000);
    }
    assert_true (slices > 40);
    peer_saw (&a, 2);
    weir_doc_set_budget (a.doc, NULL);
    peer_sync (&b, &a);
    peer_sync (&a, &b);
    assert_same_state (a.doc, b.doc);
    peer_end (&a);
    peer_end (&b);
    history_end (&h);
}

/* Runs of ids are as long as they can be within a span. */
static void
check_runs (struct weir_seq *seq)
{
    struct weir_seq_span all;
    for (uint32_t i = 0; weir_seq_span (seq, i, &all); i += all.count) {
        struct weir_op_id first;
        struct weir_op_id next;
        uint32_t run = weir_seq_event_run (seq, all.event, all.count, &first);
        assert_true (run > 0 && run <= all.count);
        for (uint32_t k = 0; k < all.count; k++) {
            next = weir_seq_event_id (seq, all.event + k);
            bool follows =
                weir_id_equal (&next.entry, &first.entry) && next.offset == first.offset + k;
            assert_true (k < run ? follows : k > run || !follows);
        }
    }
}

/* Ids of a document that was loaded are those of one that made the text. */
static void
test_ids (void **state)
{
    (void) state;
    struct history h = { 0 };
    struct weir_rand rand;
    struct peer a;
    struct peer b;
    weir_rand_init (&rand, 31);
    peer_begin (&a, &h, 1);
    peer_begin (&b, &h, 2);
    for (size_t i = 0; i < 60; i++) {
        edit (i % 3 == 0 ? &a : &b, &rand);
        if (i % 5 == 0) {
            peer_sync (&a, &b);
            peer_sync (&b, &a);
        }
    }
    peer_sync (&a, &b);
    peer_sync (&b, &a);
    peer_reload (&b);
    struct weir_seq *warm = weir_container_seq (text_of (a.doc, "main"));
    struct weir_seq *loaded = weir_container_seq (text_of (b.doc, "main"));
    struct weir_op_id nobody = { .offset = 1 };
    uint32_t at = 7;
    nobody.entry.b[0] = 0xab;
    assert_int_equal (weir_seq_event_of (loaded, &nobody), WEIR_SEQ_UNKNOWN);
    assert_false (weir_seq_position (loaded, 0, &at));
    assert_ok (weir_doc_warm (b.doc), NULL);
    weir_seq_resolve (loaded);
    for (uint32_t i = 0; i < weir_seq_entities (warm); i++) {
        struct weir_seq_span x;
        struct weir_seq_span y;
        assert_true (weir_seq_span (warm, i, &x) && weir_seq_span (loaded, i, &y));
        struct weir_op_id id = weir_seq_event_id (warm, x.event);
        struct weir_op_id other = weir_seq_event_id (loaded, y.event);
        assert_int_equal (weir_op_id_compare (&id, &other), 0);
        assert_int_equal (weir_seq_event_of (loaded, &id), y.event);
        if (i % 16 == 0) {
            assert_true (weir_seq_position (loaded, y.event, &at));
            assert_int_equal (at, i);
        }
    }
    assert_int_equal (weir_seq_event_of (loaded, &nobody), WEIR_SEQ_UNKNOWN);
    assert_false (weir_seq_position (loaded, UINT32_MAX - 1, &at));
    check_runs (loaded);
    assert_int_equal (weir_seq_event_run (loaded, UINT32_MAX - 1, 9, &nobody), 0);
    /* Of an open change, too: by an entry of zero. */
    struct weir_error e = { 0 };
    struct weir_container *t = peer_root (&b, "main", &weir_container_text);
    assert_ok (weir_change_text_insert (b.change, t, 2, weir_bytes_str ("xyz"), &e), &e);
    struct weir_seq_span span;
    assert_true (weir_seq_span (loaded, 3, &span));
    struct weir_op_id id = weir_seq_event_id (loaded, span.event);
    assert_true (weir_id_is_zero (&id.entry));
    assert_int_equal (id.offset, 1);
    assert_int_equal (weir_seq_event_of (loaded, &id), span.event);
    assert_ok (weir_change_text_delete (b.change, t, 3, 1, &e), &e);
    assert_false (weir_seq_position (loaded, span.event, &at));
    assert_int_equal (at, 3);
    uint32_t number = peer_commit (&b);
    id.entry = h.entries[number]->head.id;
    assert_int_equal (weir_seq_event_of (loaded, &id), span.event);
    peer_sync (&b, &a);
    assert_same_state (a.doc, b.doc);
    peer_end (&a);
    peer_end (&b);
    history_end (&h);
}

static void
test_deleted_text_is_let_go (void **state)
{
    (void) state;
    struct history h = { 0 };
    struct weir_error e = { 0 };
    struct peer p;
    char text[1024];
    memset (text, 'x', sizeof text);
    peer_begin (&p, &h, 1);
    struct weir_container *t = peer_root (&p, "main", &weir_container_text);
    struct weir_seq *seq = weir_container_seq (t);
    for (uint32_t i = 0; i < 3000; i++) {
        t = peer_root (&p, "main", &weir_container_text);
        assert_ok (weir_change_text_insert (p.change, t, i % 7, weir_bytes (text, sizeof text), &e),
                   &e);
        if (i > 20) {
            assert_ok (weir_change_text_delete (p.change, t, 5, sizeof text, &e), &e);
        }
        if (i % 300 == 299) {
            (void) peer_commit (&p);
        }
    }
    assert_true (seq->text.cap < 1u << 20);
    weir_doc_cool (p.doc);
    assert_int_equal (seq->text.len, 21 * sizeof text);
    assert_true (weir_doc_memory_bytes (p.doc) < 100000);
    peer_end (&p);
    history_end (&h);
}

/* Events have numbers; when they run out, the entry is not taken. */
static void
test_too_many_events (void **state)
{
    (void) state;
    struct history h = { 0 };
    struct weir_error e = { 0 };
    struct weir_op insertion = { .code = WEIR_TEXT_INSERT, .count = 1, .atoms = 1 };
    insertion.bytes = weir_bytes_str ("x");
    struct peer p;
    peer_begin (&p, &h, 1);
    struct weir_container *t = peer_root (&p, "main", &weir_container_text);
    assert_ok (weir_change_text_insert (p.change, t, 0, weir_bytes_str ("abc"), &e), &e);
    (void) peer_commit (&p);
    struct weir_seq *seq = weir_container_seq (t);
    seq->log.next_event = SEQ_EVENTS_MAX + 1;
    assert_int_not_equal (peer_forge (&p, "main", &weir_container_text, &insertion, 1), WEIR_OK);
    assert_value (p.doc, "/main", "\"abc\"");
    seq->log.next_event = 3;
    peer_end (&p);
    history_end (&h);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_short_stretches),
        cmocka_unit_test (test_long_stretches),
        cmocka_unit_test (test_tracker_moves_on),
        cmocka_unit_test (test_slices),
        cmocka_unit_test (test_ids),
        cmocka_unit_test (test_deleted_text_is_let_go),
        cmocka_unit_test (test_too_many_events),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
