/* Goal: every reason why a database is not on a peer is reached by facts, has a code of its own
 * and words without holes; and of two peers actors in each of the common troubles `sync explain`
 * says the one that is true, and what to do. */

#include "tests/actors/peers/world.h"

#include "actors/peers/explain.h"

/* ---- the table ---- */

/* All well, but for what a row changes. */
static struct explain_facts
good (void)
{
    return (struct explain_facts){ .peer = "bob",
                                   .db = "notes",
                                   .is_member_here = true,
                                   .member = true,
                                   .related = true,
                                   .direction = WEIR_SYNC_BOTH,
                                   .enabled = true,
                                   .linked = true,
                                   .transport_up = true,
                                   .dialable = true,
                                   .ever_seen = true,
                                   .link_why = "",
                                   .shared = true,
                                   .phase = WEIR_SYNC_BACKING_OFF,
                                   .lag_known = true };
}

static struct explain_facts
away (enum weir_status error)
{
    struct explain_facts f = good ();
    f.linked = false;
    f.phase = WEIR_SYNC_ABSENT;
    f.absent_ms = 7200000;
    f.link_error = error;
    return f;
}

#define CASE(reason, base, change)                                                                 \
    {                                                                                              \
        struct explain_facts f = base;                                                             \
        change;                                                                                    \
        judged (EXPLAIN_##reason, &f, seen);                                                       \
    }

static void
judged (enum explain_reason reason, const struct explain_facts *f, bool *seen)
{
    char sentence[400];
    char hint[240];
    enum explain_reason got = explain_judge (f);
    if (got != reason) {
        fail_msg ("judged %s, not %s", explain_code (got), explain_code (reason));
    }
    seen[reason] = true;
    explain_words (reason, f, sentence, sizeof sentence, hint, sizeof hint);
    assert_true (sentence[0] != '\0');
    assert_null (strchr (sentence, '{'));
    assert_null (strchr (hint, '{'));
    assert_null (strstr (sentence, "  ")); /* a word that is empty */
}

static void
all_reasons (void **state)
{
    bool seen[EXPLAIN_COUNT] = { false };
    (void) state;
    CASE (ALONE, good (), f.alone = true)
    CASE (IN_STEP, good (), f.phase = WEIR_SYNC_EQUAL)
    CASE (BLOBS, good (), (f.phase = WEIR_SYNC_EQUAL, f.blobs = "content is not here yet"))
    CASE (JOINING, good (), f.joining = true)
    CASE (WE_ARE_OUT, good (), f.is_member_here = false)
    CASE (BLOCKED, good (), f.blocked = true)
    CASE (REMOVED, good (), f.removed = true)
    CASE (NOT_MEMBER, good (), f.member = false)
    CASE (NOT_RELATED, good (), f.related = false)
    CASE (TAKEN_OFF, good (), f.taken_off = true)
    CASE (DISK_FULL, good (), f.disk_full = true)
    CASE (CONNECTING, away (WEIR_TIMED_OUT), f.connecting = true)
    CASE (NO_TRANSPORT, away (WEIR_OK), f.transport_up = false)
    CASE (NO_ADDRESS, away (WEIR_OK), f.dialable = false)
    CASE (INCOMPATIBLE, away (WEIR_INCOMPATIBLE), (void) 0)
    CASE (WRONG_DEVICE, away (WEIR_WRONG_DEVICE), (void) 0)
    CASE (WRONG_DEVICE, away (WEIR_OWN_DEVICE), (void) 0)
    CASE (BAD_PROOF, away (WEIR_BAD_PROOF), (void) 0)
    CASE (THEY_BLOCK, away (WEIR_BLOCKED), (void) 0)
    CASE (THEY_REMOVED, away (WEIR_REMOVED), (void) 0)
    CASE (THEY_REFUSE, away (WEIR_REFUSED), f.link_why = "no longer allowed")
    CASE (NEVER_MET, away (WEIR_OK), f.ever_seen = false)
    CASE (NOT_CONNECTED, away (WEIR_NOT_REACHABLE_OR_NOT_ADMITTED), (void) 0)
    CASE (STORE_AWAY, good (), f.store_away = true)
    CASE (PEER_DISK_FULL, good (), f.sync_error = WEIR_DISK_FULL)
    CASE (NEEDS_UPGRADE, good (), f.sync_error = WEIR_NEEDS_UPGRADE)
    CASE (NEEDS_UPGRADE, good (), f.needs_upgrade = true)
    CASE (THEY_REMOVED, good (), f.sync_error = WEIR_REMOVED)
    CASE (SENDING, good (), (f.phase = WEIR_SYNC_SENDING, f.out_per_s = 1234.5, f.lag = 5000))
    CASE (SENDING_LIMITED, good (), (f.phase = WEIR_SYNC_SENDING, f.rate_limit = 1000))
    CASE (RECEIVING, good (), f.phase = WEIR_SYNC_RECEIVING)
    CASE (WAITS_TO_COMPARE, good (), f.waits_to_compare = true)
    CASE (COMPARING, good (), f.phase = WEIR_SYNC_COMPARING)
    CASE (DISABLED, good (), f.enabled = false)
    CASE (UNANSWERED, good (), f.phase = WEIR_SYNC_IDLE)
    CASE (PARKED, good (), (f.phase = WEIR_SYNC_IDLE, f.parked = f.retried = true, f.tries = 10))
    CASE (PULL_ONLY, good (), f.direction = WEIR_SYNC_PULL)
    CASE (PUSH_ONLY, good (), f.direction = WEIR_SYNC_PUSH)
    CASE (NOT_FETCHED, good (), (f.retried = true, f.tries = 4, f.retry_why = WEIR_REFUSED))
    CASE (NOT_FETCHED, good (), (f.sync_error = WEIR_REFUSED, f.pending = 3))
    CASE (UNANSWERED, good (), (f.phase = WEIR_SYNC_IDLE, f.sync_error = WEIR_REFUSED))
    CASE (PENDING_HERE, good (), f.pending = 3)
    CASE (PARKED, good (), (f.parked = f.retried = true, f.retry_why = WEIR_TIMED_OUT))
    CASE (RETRYING, good (), (f.retried = true, f.tries = 2))
    CASE (FAILED, good (), f.sync_error = WEIR_TIMED_OUT)
    CASE (SETTLING, good (), f.phase_ms = 500)
    CASE (DIFFERS, good (), f.phase_ms = 5000)
    CASE (LEAF, good (), (f.phase_ms = 5000, f.leaf = true, f.lag = 1))
    {
        struct explain_facts f = good ();
        char sentence[400];
        char hint[240];
        f.deferred = WEIR_PENDING;
        explain_words (EXPLAIN_DEFERRED, &f, sentence, sizeof sentence, hint, sizeof hint);
        assert_non_null (strstr (sentence, "not done yet"));
        seen[EXPLAIN_DEFERRED] = true; /* a remark: it keeps nothing from a peer */
    }
    for (unsigned i = 0; i < EXPLAIN_COUNT; i++) {
        if (!seen[i]) {
            fail_msg ("nothing reaches %s", explain_code ((enum explain_reason) i));
        }
        for (unsigned k = 0; k < i; k++) {
            assert_string_not_equal (explain_code ((enum explain_reason) i),
                                     explain_code ((enum explain_reason) k));
        }
    }
    assert_string_equal (explain_code (EXPLAIN_COUNT), "unknown");
}

static void
words (void **state)
{
    static const struct {
        uint64_t lag;
        double rate;
        uint64_t limit;
        const char *end;
    } rows[] = {
        { 100, 1000, 0, "less than a second left" }, { 5000, 1000, 0, "5 s left" },
        { 1200000, 1000, 0, "20 min left" },         { 30000000, 1000, 0, "8 h left" },
        { 500000000, 1000, 0, "6 days left" },       { 5, 0, 0, "an unknown time left" },
        { 1000, 1000, 1000, "100 s left" }, /* 100 bytes an entry: 10 a second */
    };
    char sentence[400];
    char hint[240];
    (void) state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct explain_facts f = good ();
        f.phase = WEIR_SYNC_SENDING;
        f.done = 7;
        f.lag = rows[i].lag;
        f.out_per_s = rows[i].rate;
        f.rate_limit = rows[i].limit;
        f.bytes_per_entry = 100;
        explain_words (explain_judge (&f), &f, sentence, sizeof sentence, hint, sizeof hint);
        assert_non_null (strstr (sentence, "7 of "));
        assert_non_null (strstr (sentence, rows[i].end));
    }
    struct explain_facts f = away (WEIR_TIMED_OUT);
    explain_words (explain_judge (&f), &f, sentence, sizeof sentence, hint, sizeof hint);
    assert_string_equal (sentence, "bob has not been connected for 2 h: no answer in time");
    char name[300];
    memset (name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    f.peer = name; /* longer than a word may be: cut, not more */
    explain_words (explain_judge (&f), &f, sentence, 40, hint, sizeof hint);
    assert_int_equal (strlen (sentence), 39);
    assert_string_equal (explain_status (WEIR_CORRUPT), "corrupt");
}

/* ---- two actors ---- */

static void
meet (struct world *w)
{
    world_init (w);
    world_relate (w);
    side_start (w, 0);
    side_start (w, 1);
    world_pass (w, 2000);
    assert_true (is_connected (w, 0));
}

/* The code that side 0 gives for the other. */
static void
expect (struct world *w, const char *code)
{
    Weir__SyncAsk ask = WEIR__SYNC_ASK__INIT;
    ask.has_db = true;
    ask.db = weir_field_str ("notes");
    struct fake_sent *s = side_call (w, 0, WEIR_KIND_SYNC_EXPLAIN, &ask.base);
    assert_non_null (s);
    assert_int_equal (s->status, WEIR_OK);
    const Weir__SyncExplained *m = (const Weir__SyncExplained *) s->decoded;
    assert_int_equal (m->n_items, 1);
    char got[64];
    assert_int_equal (weir_field_get_text (got, sizeof got - 1, true, m->items[0]->code), WEIR_OK);
    assert_string_equal (got, code);
    assert_int_equal (m->items[0]->in_sync, strcmp (code, "in_sync") == 0);
    assert_int_equal (m->in_sync, m->items[0]->in_sync);
    fake_sent_free (s);
}

static size_t
remarks (struct world *w)
{
    Weir__SyncAsk ask = WEIR__SYNC_ASK__INIT;
    ask.has_db = true;
    ask.db = weir_field_str ("notes");
    struct fake_sent *s = side_call (w, 0, WEIR_KIND_SYNC_EXPLAIN, &ask.base);
    size_t n = ((const Weir__SyncExplained *) s->decoded)->n_remarks;
    fake_sent_free (s);
    return n;
}

static void
relate (struct world *w, uint16_t kind, const char *direction)
{
    Weir__Relationship m = WEIR__RELATIONSHIP__INIT;
    struct weir_id other = world_device (w, 1);
    struct weir_id_text text = weir_id_text (&other);
    m.has_db = m.has_peer = true;
    m.db = weir_field_str ("notes");
    m.peer = weir_field_str (text.s);
    m.has_direction = direction != NULL;
    m.direction = weir_field_str (direction);
    struct fake_sent *s = side_call (w, 0, kind, &m.base);
    assert_int_equal (s->status, WEIR_OK);
    fake_sent_free (s);
}

static void
change_rights (struct world *w)
{
    Weir__RightsChanged m = WEIR__RIGHTS_CHANGED__INIT;
    side_deliver (&w->s[0], WEIR_KIND_RIGHTS_CHANGED, STORE, &m.base, weir_bytes (NULL, 0));
    world_pass (w, 100);
}

static void
troubles (void **state)
{
    struct world w;
    (void) state;
    meet (&w);
    expect (&w, "in_sync");
    assert_int_equal (remarks (&w), 0);
    w.s[0].disk_full = true;
    w.s[0].pending = 4;
    w.s[0].deferred = WEIR_PENDING;
    expect (&w, "in_sync"); /* it is, whatever else there is to say */
    assert_int_equal (remarks (&w), 3);
    /* the other goes away */
    w.cut = true;
    side_kill (&w, 1);
    expect (&w, "disk_full");
    w.s[0].disk_full = false;
    w.s[0].pending = 0;
    world_pass (&w, 5000);
    expect (&w, "not_connected");
    relate (&w, WEIR_KIND_SYNC_UNRELATE, NULL);
    Weir__SyncAsk ask = WEIR__SYNC_ASK__INIT;
    expect (&w, "sync_removed");
    relate (&w, WEIR_KIND_SYNC_RELATE, "both");
    w.s[0].rights[1] = 0;
    change_rights (&w);
    struct device *d = side_other (&w, 0);
    assert_non_null (d);
    expect (&w, "removed");
    w.s[0].rights[1] = 3;
    w.s[0].rights[0] = 0;
    change_rights (&w);
    expect (&w, "removed_here");
    w.s[0].rights[0] = 4;
    change_rights (&w);
    d->blocked = true;
    expect (&w, "blocked");
    d->blocked = false;
    device_error (d, WEIR_INCOMPATIBLE, "the Hello was refused");
    expect (&w, "incompatible");
    ask.has_db = true;
    ask.db = weir_field_str ("nosuch");
    struct fake_sent *s = side_call (&w, 0, WEIR_KIND_SYNC_EXPLAIN, &ask.base);
    assert_int_equal (s->status, WEIR_NOT_FOUND);
    assert_non_null (strstr (s->problem.hint, "weir db ls"));
    fake_sent_free (s);
    ask.db = weir_field_str ("notes");
    ask.has_peer = true;
    ask.peer = weir_field_str ("nobody");
    s = side_call (&w, 0, WEIR_KIND_SYNC_EXPLAIN, &ask.base);
    assert_int_equal (s->status, WEIR_NOT_FOUND);
    fake_sent_free (s);
    world_fini (&w);
}

/* Both are there and differ: the fake store never sends anything. */
static void
differences (void **state)
{
    struct world w;
    (void) state;
    meet (&w);
    Weir__Novel m = WEIR__NOVEL__INIT;
    struct weir_id digest = { { 7 } };
    m.has_db = m.has_digest = true;
    m.db = weir_field_id (&w.db);
    m.digest = weir_field_id (&digest);
    w.s[0].a->settings.enabled = false;
    w.s[0].digest = digest;
    w.s[0].lag = 5;
    w.s[0].store_away = true;
    side_deliver (&w.s[0], WEIR_KIND_NOVEL, STORE, &m.base, weir_bytes (NULL, 0));
    expect (&w, "store_away");
    w.s[0].store_away = false;
    w.s[0].tries = 3;
    Weir__SyncAsk ask = WEIR__SYNC_ASK__INIT;
    ask.has_db = true;
    ask.db = weir_field_str ("notes");
    struct fake_sent *s = side_call (&w, 0, WEIR_KIND_SYNC_EXPLAIN, &ask.base);
    const Weir__SyncExplained *x = (const Weir__SyncExplained *) s->decoded;
    assert_int_equal (x->items[0]->attempts, 3);
    assert_int_equal (x->items[0]->next_ms, 8000);
    assert_false (x->in_sync);
    fake_sent_free (s);
    world_fini (&w);
}

static void
tell_blobs (struct world *w, unsigned i, uint64_t missing)
{
    Weir__BlobState m = WEIR__BLOB_STATE__INIT;
    m.has_db = m.has_blobs = m.has_missing_blobs = true;
    m.db = weir_field_id (&w->db);
    m.blobs = 1;
    m.missing_blobs = missing;
    side_deliver (&w->s[i], WEIR_KIND_BLOB_STATE, STORE, &m.base, weir_bytes (NULL, 0));
    world_settle (w);
}

/* The first explain after a change waits for the peer's word on blobs, and no longer than that. */
static void
content (void **state)
{
    struct world w;
    (void) state;
    meet (&w);
    tell_blobs (&w, 0, 0);
    tell_blobs (&w, 1, 0);
    for (uint8_t k = 1; k <= 3; k++) {
        struct relation *ours = relation_find (side_other (&w, 0), &w.db);
        assert_true (ours->blobs.is_known);
        ours->blobs.digest.b[0] ^= k; /* what it said was true of other entries */
        if (k == 3) {                 /* it never says */
            struct relation *r = relation_find (side_other (&w, 1), &w.db);
            r->shared = false;
            Weir__SyncAsk ask = WEIR__SYNC_ASK__INIT;
            ask.has_db = true;
            ask.db = weir_field_str ("notes");
            assert_null (side_call (&w, 0, WEIR_KIND_SYNC_EXPLAIN, &ask.base));
            world_pass (&w, 2100);
            struct fake_sent *s = fake_find (w.s[0].a, WEIR_KIND_SYNC_EXPLAIN, true);
            assert_non_null (s);
            fake_sent_free (s);
        } else {
            expect (&w, "in_sync");
        }
    }
    world_fini (&w);
}

/* A rate that could not be kept is refused; none at all is none. */
static void
rates (void **state)
{
    static const struct {
        uint64_t rate;
        enum weir_status status;
    } rows[] = { { 1, WEIR_INVALID_ARGUMENT },
                 { WEIR_RATE_BYTES_MIN - 1, WEIR_INVALID_ARGUMENT },
                 { WEIR_RATE_BYTES_MIN, WEIR_OK },
                 { 0, WEIR_OK } };
    struct world w;
    (void) state;
    meet (&w);
    struct weir_id other = world_device (&w, 1);
    struct weir_id_text text = weir_id_text (&other);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Weir__Relationship m = WEIR__RELATIONSHIP__INIT;
        m.has_db = m.has_peer = m.has_rate = true;
        m.db = weir_field_str ("notes");
        m.peer = weir_field_str (text.s);
        m.rate = rows[i].rate;
        struct fake_sent *s = side_call (&w, 0, WEIR_KIND_SYNC_RELATE, &m.base);
        assert_int_equal (s->status, rows[i].status);
        fake_sent_free (s);
    }
    world_fini (&w);
}

/* ---- history and figures ---- */

static size_t
history (struct world *w, const char *db, uint32_t limit, Weir__HistoryRow *first)
{
    Weir__HistoryAsk ask = WEIR__HISTORY_ASK__INIT;
    ask.has_db = db != NULL;
    ask.db = weir_field_str (db);
    ask.has_limit = limit > 0;
    ask.limit = limit;
    struct fake_sent *s = side_call (w, 0, WEIR_KIND_SYNC_HISTORY, &ask.base);
    assert_int_equal (s->status, WEIR_OK);
    const Weir__SyncHistory *m = (const Weir__SyncHistory *) s->decoded;
    size_t n = m->n_rows;
    if (n > 0 && first != NULL) {
        *first = *m->rows[0]; /* its numbers */
    }
    fake_sent_free (s);
    return n;
}

static void
arrive (struct world *w, struct relation *r, uint64_t entries)
{
    Weir__TransferArrived m = WEIR__TRANSFER_ARRIVED__INIT;
    m.has_transfer = m.has_session = m.has_entries = m.has_bytes = m.has_again = true;
    m.transfer = r->in_transfer;
    m.session = r->in_session;
    m.entries = entries;
    m.bytes = entries * 100;
    m.again = 1;
    side_deliver (&w->s[0], WEIR_KIND_TRANSFER_ARRIVED, STORE, &m.base, weir_bytes (NULL, 0));
}

static void
kept_and_trimmed (void **state)
{
    struct world w;
    Weir__HistoryRow row;
    (void) state;
    meet (&w);
    struct relation *r = relation_find (side_other (&w, 0), &w.db);
    r->in_session = side_other (&w, 0)->link->session.ours.epoch;
    r->in_transfer = 77;
    assert_int_equal (history (&w, "notes", 0, NULL), 0);
    arrive (&w, r, 5);
    arrive (&w, r, 6);
    assert_int_equal (history (&w, "notes", 0, &row), 1); /* it goes on */
    assert_true (row.open);
    assert_int_equal (row.in_entries, 11);
    assert_int_equal (row.in_bytes, 1100);
    assert_int_equal (row.again, 2);
    world_pass (&w, 70000); /* a minute closes it, whatever is said by then */
    assert_int_equal (history (&w, NULL, 0, &row), 1);
    assert_false (row.open);
    r->in_session = side_other (&w, 0)->link->session.ours.epoch;
    r->in_transfer = 77;
    arrive (&w, r, 1);
    side_kill (&w, 1); /* the session ends: what was open is told as it was */
    assert_int_equal (history (&w, "notes", 0, &row), 2);
    assert_false (row.open);
    assert_int_equal (row.in_entries, 1);
    assert_int_equal (history (&w, "notes", 1, NULL), 1);
    /* rows nobody can read, and old ones, go with the next trim */
    side_put_row (&w.s[0], "history/00007", weir_bytes ("\x01zzz", 4));
    w.cut = true;
    world_pass (&w, 1000);
    assert_int_equal (history (&w, "notes", 0, NULL), 2);
    side_kill (&w, 0);
    side_start (&w, 0);
    world_pass (&w, 65000);
    assert_null (weir_map_get (w.s[0].rows, weir_bytes_str ("history/00007")));
    assert_int_equal (history (&w, "notes", 0, NULL), 2);
    world_fini (&w);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (all_reasons),      cmocka_unit_test (words),
        cmocka_unit_test (troubles),         cmocka_unit_test (differences),
        cmocka_unit_test (kept_and_trimmed), cmocka_unit_test (rates),
        cmocka_unit_test (content),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
