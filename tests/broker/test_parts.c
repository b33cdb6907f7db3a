/* Goal: the broker's small parts on their own: what a tap's filter takes and shows and never
 * shows, the ring of events, the table of held requests, the run directory's lock, processes. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "actors/runtime/post.h"
#include "broker/events.h"
#include "broker/held.h"
#include "broker/lock.h"
#include "broker/notify.h"
#include "broker/spawn.h"
#include "broker/tap.h"

/* ---- tap ---- */

struct shown {
    unsigned events;
    unsigned ends;
    uint64_t missed;
    bool meta, body;
    size_t body_len;
    enum weir_status status; /* what the tapper answers */
};

static enum weir_status
take_tap (void *context, const struct weir_envelope *request, const Weir__TapEvent *event,
          bool more)
{
    struct shown *s = context;
    assert_int_equal (request->request, 7);
    if (s->status != WEIR_OK) {
        return s->status;
    }
    s->events += more ? 1 : 0;
    s->ends += more ? 0 : 1;
    s->missed += event->missed;
    s->meta = event->has_meta != 0;
    s->body = event->has_body != 0;
    s->body_len = event->body.len;
    return WEIR_OK;
}

struct passing {
    struct weir_envelope envelope;
    uint8_t head[WEIR_ENVELOPE_BYTES];
    struct weir_tap_seen seen;
};

static void
pass_of (struct passing *p, uint16_t kind)
{
    memset (p, 0, sizeof *p);
    p->envelope.kind = kind;
    weir_envelope_put (&p->envelope, p->head);
    p->seen = (struct weir_tap_seen){
        .envelope = &p->envelope,
        .head = weir_bytes (p->head, sizeof p->head),
        .kind = weir_kind (kind),
        .from_name = "peers",
        .from_role = "peers",
        .to_name = "transport-1",
        .to_role = "transport",
        .meta = weir_bytes_str ("m"),
        .body = weir_bytes_str ("body"),
    };
}

static void
start (struct weir_taps *t, struct shown *s, const char *expression, bool body)
{
    memset (t, 0, sizeof *t);
    memset (s, 0, sizeof *s);
    t->send = take_tap;
    t->context = s;
    struct weir_envelope request = { .request = 7, .from = { .b = { 9 } } };
    Weir__TapFilter wanted = WEIR__TAP_FILTER__INIT;
    struct weir_error e;
    wanted.has_expression = 1;
    wanted.expression = weir_field_str (expression);
    wanted.body = body;
    assert_int_equal (weir_taps_start (t, &request, &wanted, 1000, &e), WEIR_OK);
}

static void
test_filter_words (void **state)
{
    (void) state;
    static const struct {
        const char *text;
        bool good, match;
    } cases[] = {
        { "", true, true },
        { "   ", true, true },
        { "actor=peers", true, true },
        { "actor=transport-1", true, true },
        { "actor=transport", true, true },
        { "actor=store", true, false },
        { "from=peers to=transport", true, true },
        { "from=transport", true, false },
        { "to=peers", true, false },
        { "kind=admit", true, true },
        { "kind=ADMIT answer=no", true, true },
        { "answer=yes", true, false },
        { "kind=DIAL", true, false },
        { "min=5 max=5", true, true },
        { "min=6", true, false },
        { "max=4", true, false },
        { "trace=0x10", true, true },
        { "trace=17", true, false },
        { "peer=aaaaaaaa", true, true },
        { "peer=AAAAAAAAAAAAZZZZ", true, true }, /* what an envelope can show of it */
        { "db=baaaaaaa", true, false },
        { "kind=", false, false },
        { "kind=what", false, false },
        { "peer=", false, false },
        { "min=x", false, false },
        { "min=-1", false, false },
        { "max=1k", false, false },
        { "answer=maybe", false, false },
        { "actor", false, false },
        { "nonsense=1", false, false },
        { "actor=", false, false },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct weir_tap_filter f;
        struct weir_error e = { 0 };
        struct passing p;
        pass_of (&p, WEIR_KIND_ADMIT);
        p.envelope.trace = 16;
        enum weir_status status = weir_tap_filter_parse (&f, cases[i].text, &e);
        assert_int_equal (status, cases[i].good ? WEIR_OK : WEIR_INVALID_ARGUMENT);
        if (cases[i].good) {
            assert_int_equal (weir_tap_filter_match (&f, &p.seen), cases[i].match);
        } else {
            assert_true (e.what[0] != '\0');
        }
    }
    struct weir_tap_filter f;
    char text[2000];
    memset (text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_int_equal (weir_tap_filter_parse (&f, text, NULL), WEIR_INVALID_ARGUMENT);
}

/* Tickets and keys pass by name only: not of their own kind, not inside a link's message. */
static void
test_secrets_stay (void **state)
{
    (void) state;
    struct weir_taps t;
    struct shown s;
    struct passing p;
    start (&t, &s, "", true);
    static const struct {
        uint16_t kind;
        uint32_t inner;
        bool meta, body;
    } cases[] = {
        { WEIR_KIND_NOVEL, 0, true, true },
        { WEIR_KIND_DIAL, 0, false, false },
        { WEIR_KIND_LEASE, 0, false, false },
        { WEIR_KIND_WIRE_OUT, WEIR_KIND_W_VECTOR, true, true },
        { WEIR_KIND_WIRE_OUT, WEIR_KIND_W_JOIN, true, false },
        { WEIR_KIND_WIRE_IN, 9999, true, false },
        { WEIR_KIND_WIRE_IN, 99999999, true, false },
        { 9999, 0, false, false },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct weir_buf meta = { 0 };
        Weir__LinkMessage link = WEIR__LINK_MESSAGE__INIT;
        link.has_kind = 1;
        link.kind = cases[i].inner;
        weir_meta_put (&meta, &link.base);
        pass_of (&p, cases[i].kind);
        p.seen.meta = weir_buf_bytes (&meta);
        weir_taps_see (&t, &p.seen, 1000, 1);
        assert_int_equal (s.events, i + 1);
        assert_int_equal (s.meta, cases[i].meta);
        assert_int_equal (s.body, cases[i].body);
        weir_buf_fini (&meta);
    }
    pass_of (&p, WEIR_KIND_WIRE_IN);
    p.seen.meta = weir_bytes_str ("\xff\xff");
    weir_taps_see (&t, &p.seen, 1000, 1);
    assert_false (s.body);
}

static void
test_tap_bounds (void **state)
{
    (void) state;
    struct weir_taps t;
    struct shown s;
    struct passing p;
    start (&t, &s, "", true);
    static uint8_t large[WEIR_TAP_PART_BYTES_MAX + 1];
    pass_of (&p, WEIR_KIND_NOVEL);
    p.seen.body = weir_bytes (large, sizeof large);
    weir_taps_see (&t, &p.seen, 1000, 1);
    assert_int_equal (s.body_len, WEIR_TAP_PART_BYTES_MAX);

    /* The rate; what was missed is told with the next one. */
    pass_of (&p, WEIR_KIND_NOVEL);
    for (unsigned i = 0; i < WEIR_TAP_RATE_PER_S + 100; i++) {
        weir_taps_see (&t, &p.seen, 2000, 1);
    }
    assert_int_equal (s.events, WEIR_TAP_RATE_PER_S + 1);
    weir_taps_see (&t, &p.seen, 3000, 1);
    assert_int_equal (s.missed, 100);

    /* A slow reader is not waited for; one that is gone is forgotten. */
    s.status = WEIR_BUSY;
    weir_taps_see (&t, &p.seen, 3000, 1);
    s.status = WEIR_OK;
    weir_taps_see (&t, &p.seen, 3000, 1);
    assert_int_equal (s.missed, 101);
    s.status = WEIR_UNAVAILABLE;
    weir_taps_see (&t, &p.seen, 3000, 1);
    assert_int_equal (t.count, 0);

    /* Its time; somebody else cannot stop it. */
    start (&t, &s, "", false);
    weir_taps_tick (&t, 1000 + WEIR_TAP_SECONDS * 1000u - 1);
    assert_int_equal (t.count, 1);
    struct weir_mailbox_id other = { .b = { 8 } };
    struct weir_mailbox_id own = { .b = { 9 } };
    assert_int_equal (weir_taps_stop (&t, &other, 7, "no"), WEIR_NOT_FOUND);
    assert_int_equal (weir_taps_stop (&t, &own, 8, "no"), WEIR_NOT_FOUND);
    weir_taps_tick (&t, 1000 + WEIR_TAP_SECONDS * 1000u);
    assert_int_equal (t.count, 0);
    assert_int_equal (s.ends, 1);
    assert_int_equal (weir_taps_stop (&t, &own, 7, "gone"), WEIR_NOT_FOUND);
}

static void
test_taps_are_few (void **state)
{
    (void) state;
    struct weir_taps t;
    struct shown s;
    struct weir_envelope request = { .request = 7 };
    Weir__TapFilter wanted = WEIR__TAP_FILTER__INIT;
    struct weir_error e;
    start (&t, &s, "", false);
    while (t.count < WEIR_TAPS_MAX) {
        assert_int_equal (weir_taps_start (&t, &request, &wanted, 0, &e), WEIR_OK);
    }
    assert_int_equal (weir_taps_start (&t, &request, &wanted, 0, &e), WEIR_LIMIT);
    memset (&t, 0, sizeof t);
    wanted.has_expression = 1;
    wanted.expression = weir_field_str ("\xff");
    assert_int_equal (weir_taps_start (&t, &request, &wanted, 0, &e), WEIR_INVALID_ARGUMENT);
}

/* ---- events ---- */

static void
test_events_ring (void **state)
{
    (void) state;
    struct weir_events r;
    weir_events_init (&r);
    assert_null (weir_events_after (&r, 0));
    assert_null (weir_events_after (&r, 99));
    for (uint64_t i = 1; i <= 2500; i++) {
        assert_int_equal (weir_events_note (&r, "x", 0, "t", i), i);
    }
    const struct weir_event *e = weir_events_after (&r, 0);
    assert_int_equal (e->number, 1501); /* the oldest kept */
    assert_int_equal (weir_events_after (&r, 1600)->number, 1601);
    assert_int_equal (weir_events_after (&r, 2499)->number, 2500);
    assert_null (weir_events_after (&r, 2500));
    assert_int_equal (weir_events_after (&r, 2501)->number, 1501); /* another run's token */
    assert_int_equal (weir_events_after (&r, UINT64_MAX)->number, 1501);
    weir_events_fini (&r);
}

static void
test_events_keep_what_is_clean (void **state)
{
    (void) state;
    struct weir_events r;
    struct weir_id id = { .b = { 1, 2, 3 } };
    weir_events_init (&r);
    Weir__Event said = WEIR__EVENT__INIT;
    said.has_name = said.has_text = said.has_device = said.has_db = said.has_ms = 1;
    said.name = weir_field_str ("fork_seen");
    said.text = weir_field_str ("two of them");
    said.device = weir_field_id (&id);
    said.db = weir_field_str ("short");
    said.ms = 5;
    (void) weir_events_add (&r, "store", &said, 9);
    const struct weir_event *e = weir_events_after (&r, 0);
    assert_string_equal (e->name, "fork_seen");
    assert_string_equal (e->actor, "store");
    assert_int_equal (e->ms, 5);
    assert_true (e->has_device && !e->has_db);
    Weir__Event out;
    weir_events_message (&out, e);
    assert_int_equal (out.device.len, WEIR_ID_BYTES);
    assert_false (out.has_db);
    said.name = weir_field_str ("\xff\xfe");
    said.text = weir_field_str ("\xc0");
    said.has_ms = 0;
    (void) weir_events_add (&r, "store", &said, 9);
    e = weir_events_after (&r, 1);
    assert_string_equal (e->name, "unreadable");
    assert_string_equal (e->text, "");
    assert_int_equal (e->ms, 9);
    weir_events_fini (&r);
}

/* ---- held ---- */

static struct weir_held_item *
hold (struct weir_held *h, uint8_t client, uint64_t request, size_t bytes, bool again)
{
    struct weir_envelope e = { .request = request, .from = { .b = { client } } };
    zmq_msg_t meta;
    zmq_msg_t body;
    (void) zmq_msg_init (&meta);
    (void) zmq_msg_init_size (&body, bytes);
    struct weir_held_item *item = weir_held_add (h, &e, &meta, &body, again, 3, 100);
    (void) zmq_msg_close (&meta);
    (void) zmq_msg_close (&body);
    return item;
}

static void
test_held (void **state)
{
    (void) state;
    static struct weir_held h;
    memset (&h, 0, sizeof h);
    struct weir_held_item *a = hold (&h, 1, 1, 100, true);
    struct weir_held_item *b = hold (&h, 1, 2, 100, true);
    struct weir_held_item *c = hold (&h, 2, 1, 100, false);
    assert_true (a != NULL && b != NULL && c != NULL);
    assert_null (hold (&h, 1, 1, 100, true)); /* under the same number */
    assert_true (a->kept && !c->kept);
    assert_int_equal (h.bytes, 200);
    struct weir_mailbox_id client = { .b = { 1 } };
    assert_ptr_equal (weir_held_find (&h, &client, 2), b);
    assert_null (weir_held_find (&h, &client, 3));
    assert_ptr_equal (h.first, a);
    weir_held_drop (&h, b);
    assert_ptr_equal (a->after, c);
    assert_null (weir_held_find (&h, &client, 2));
    weir_held_drop (&h, a);
    weir_held_drop (&h, c);
    assert_int_equal (h.count, 0);
    assert_int_equal (h.bytes, 0);
    /* Past the bytes it remembers without keeping; past the number it refuses. */
    struct weir_held_item *large = hold (&h, 3, 1, WEIR_HELD_BYTES_MAX, true);
    assert_true (large->kept);
    assert_false (hold (&h, 3, 2, 1, true)->kept);
    for (uint64_t i = 3; h.count < WEIR_HELD_MAX; i++) {
        assert_non_null (hold (&h, 4, i, 0, true));
    }
    assert_null (hold (&h, 5, 1, 0, true));
    weir_held_fini (&h);
    assert_int_equal (h.count, 0);
}

/* ---- lock ---- */

static void
test_lock (void **state)
{
    (void) state;
    char base[] = "/tmp/weir-lock-XXXXXX";
    char run[64];
    char lock[80];
    int first = -1;
    int second = -1;
    struct stat info;
    struct weir_error e = { 0 };
    assert_non_null (mkdtemp (base));
    (void) snprintf (run, sizeof run, "%s/run", base);
    (void) snprintf (lock, sizeof lock, "%s/lock", run);
    assert_int_equal (mkdir (run, 0755), 0);
    assert_int_equal (weir_lock_take (&first, run, &e), WEIR_OK);
    assert_int_equal (stat (run, &info), 0);
    assert_int_equal (info.st_mode & 0777, 0700);
    assert_int_equal (fcntl (first, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal (weir_lock_take (&second, run, &e), WEIR_ALREADY_RUNNING);
    char pid[32];
    (void) snprintf (pid, sizeof pid, "(pid %d)", (int) getpid ());
    assert_non_null (strstr (e.what, pid));
    (void) close (first);
    assert_int_equal (weir_lock_take (&first, run, &e), WEIR_OK);
    (void) close (first);
    /* A symbolic link in its place is not followed; nor is a file taken for a directory. */
    assert_int_equal (unlink (lock), 0);
    assert_int_equal (symlink ("/dev/null", lock), 0);
    assert_int_equal (weir_lock_take (&first, run, &e), WEIR_CANNOT_CREATE);
    assert_int_equal (weir_lock_take (&first, lock, &e), WEIR_CANNOT_CREATE);
    assert_int_equal (unlink (lock), 0);
    assert_int_equal (weir_lock_take (&first, "/proc/weir-is-not-here", &e), WEIR_CANNOT_CREATE);
    assert_int_equal (rmdir (run), 0);
    assert_int_equal (rmdir (base), 0);
}

/* ---- processes ---- */

static enum weir_process_news
wait_news (const struct weir_process *p, int *code)
{
    for (int i = 0; i < 5000; i++) {
        enum weir_process_news news = weir_process_news (p, code);
        if (news != WEIR_PROCESS_NOTHING) {
            return news;
        }
        (void) poll (NULL, 0, 1);
    }
    return WEIR_PROCESS_NOTHING;
}

static void
test_process (void **state)
{
    (void) state;
    char base[] = "/tmp/weir-spawn-XXXXXX";
    char program[64];
    int life[2];
    int code = -1;
    struct weir_process p;
    struct weir_error e = { 0 };
    struct weir_mailbox_id id = { .b = { 1, 2, 3 } };
    assert_non_null (mkdtemp (base));
    assert_int_equal (pipe2 (life, O_CLOEXEC), 0);
    (void) snprintf (program, sizeof program, "%s/child", base);
    FILE *f = fopen (program, "w");
    assert_non_null (f);
    /* Ready when the identity came; ends with the life pipe; its arguments are what actor.h
     * says. */
    (void) fputs ("#!/bin/sh\n"
                  "[ \"$*\" = '--name x --data D --run R --life-fd 3 --ready-fd 4 "
                  "--identity-fd 5' ] || exit 9\n"
                  "[ $(head -c 16 <&5 | wc -c) = 16 ] || exit 8\n"
                  "echo >&4\nread line <&3\nexit 7\n",
                  f);
    (void) fclose (f);
    assert_int_equal (chmod (program, 0700), 0);
    struct weir_spawner s = { base, "D", "R", life[0] };
    assert_int_equal (weir_spawn (&p, &s, "child", "x", &id, &e), WEIR_OK);
    struct pollfd ready = { .fd = p.ready_fd, .events = POLLIN };
    assert_int_equal (poll (&ready, 1, 5000), 1);
    char byte = 0;
    assert_int_equal (read (p.ready_fd, &byte, 1), 1);
    assert_int_equal (byte, '\n');
    weir_process_signal (&p, SIGSTOP);
    assert_int_equal (wait_news (&p, &code), WEIR_PROCESS_STOPPED);
    weir_process_signal (&p, SIGCONT);
    assert_int_equal (wait_news (&p, &code), WEIR_PROCESS_CONTINUED);
    assert_int_equal (weir_process_news (&p, &code), WEIR_PROCESS_NOTHING);
    (void) close (life[1]); /* the broker is gone */
    struct pollfd end = { .fd = p.pid_fd, .events = POLLIN };
    assert_int_equal (poll (&end, 1, 5000), 1);
    assert_int_equal (wait_news (&p, &code), WEIR_PROCESS_ENDED);
    assert_int_equal (code, 7);
    weir_process_signal (&p, SIGKILL); /* it has ended: that is fine */
    weir_process_fini (&p);
    assert_int_equal (unlink (program), 0);
    assert_int_equal (weir_spawn (&p, &s, "child", "x", &id, &e), WEIR_CANNOT_CREATE);
    assert_non_null (strstr (e.what, "child"));
    (void) close (life[0]);
    assert_int_equal (rmdir (base), 0);
}

static void
test_notify_without_anybody (void **state)
{
    (void) state;
    struct weir_notify n;
    (void) unsetenv ("NOTIFY_SOCKET");
    weir_notify_init (&n);
    assert_int_equal (n.watchdog_ms, 0);
    weir_notify_say (&n, "READY=1");
    assert_int_equal (setenv ("NOTIFY_SOCKET", "@weir-nobody-listens", 1), 0);
    weir_notify_init (&n);
    assert_null (getenv ("NOTIFY_SOCKET"));
    weir_notify_say (&n, "READY=1");
    assert_int_equal (setenv ("NOTIFY_SOCKET", "relative", 1), 0);
    weir_notify_init (&n);
    assert_string_equal (n.path, "");
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_filter_words), cmocka_unit_test (test_secrets_stay),
        cmocka_unit_test (test_tap_bounds),   cmocka_unit_test (test_taps_are_few),
        cmocka_unit_test (test_events_ring),  cmocka_unit_test (test_events_keep_what_is_clean),
        cmocka_unit_test (test_held),         cmocka_unit_test (test_lock),
        cmocka_unit_test (test_process),      cmocka_unit_test (test_notify_without_anybody),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
