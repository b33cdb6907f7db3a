/* Goal: messages through the real broker. Requests of clients and actors survive the death of who
 * should answer, or end with a status in time; who may not is refused; nothing malformed harms;
 * taps and events show what they should and no more. */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/broker/node.h"

static void
kill_actor (struct node *n, const char *name)
{
    struct node_actor a;
    assert_true (node_actor (n, name, &a));
    assert_true (a.pid > 1);
    assert_int_equal (kill (a.pid, SIGKILL), 0);
}

static void
start_lenient (struct node *n)
{
    node_init (n);
    node_setting ("WEIR_RESTART_LIMIT", "1000");
    node_setting ("WEIR_BACKOFF_MS_MAX", "100");
    node_start (n);
}

/* ---- who is away ---- */

/* kill -9 of the store between request and answer: the client sees an answer, a later one. */
static void
test_request_survives (void **state)
{
    (void) state;
    struct node n;
    struct node_actor before;
    struct node_answer a;
    start_lenient (&n);
    assert_true (node_actor (&n, "store", &before));
    node_mode (&n, "store", "quiet"); /* takes it, never answers */
    uint64_t request = node_send_doc (&n, "echo", 10000);
    assert_false (node_try_receive (&n, &a, 100));
    node_mode (&n, "store", NULL);
    kill_actor (&n, "store");
    node_receive (&n, &a, 10000);
    assert_int_equal (a.request, request);
    assert_int_equal (a.status, WEIR_OK);
    assert_true (((const Weir__DocValue *) a.meta)->bytes != (uint64_t) before.pid);
    node_answer_fini (&a);

    /* Asked while nobody is there. */
    kill_actor (&n, "store");
    assert_int_equal (node_doc (&n, "echo", 10000), WEIR_OK);
    /* A stream that has begun cannot begin again. */
    request = node_send_doc (&n, "begin", 10000);
    node_receive (&n, &a, 10000);
    assert_int_equal (a.flags & WEIR_ENV_MORE, WEIR_ENV_MORE);
    node_answer_fini (&a);
    kill_actor (&n, "store");
    node_receive (&n, &a, 10000);
    assert_int_equal (a.request, request);
    assert_int_equal (a.status, WEIR_UNAVAILABLE);
    assert_int_equal (a.flags & WEIR_ENV_REFUSED, WEIR_ENV_REFUSED);
    node_answer_fini (&a);
    node_fini (&n);
}

/* A request that kills whoever takes it does not take the node with it. */
static void
test_poison (void **state)
{
    (void) state;
    struct node n;
    node_init (&n);
    node_setting ("WEIR_BACKOFF_MS_MAX", "100");
    node_start (&n);
    assert_int_equal (node_doc (&n, "exit 9", 20000), WEIR_UNAVAILABLE);
    assert_int_equal (node_doc (&n, "echo", 20000), WEIR_OK);
    node_fini (&n);
}

static void
test_nobody_comes (void **state)
{
    (void) state;
    struct node n;
    node_init (&n);
    node_setting ("WEIR_START_MS", "60000");
    node_mode (&n, "peers", "never");
    node_launch (&n);
    struct node_actor a;
    uint64_t until = weir_now_ms () + 10000;
    while (!node_actor (&n, "peers", &a) || strcmp (a.state, "starting") != 0) {
        assert_true (weir_now_ms () < until);
    }
    /* Told before its own patience ends. */
    Weir__PeerName name = WEIR__PEER_NAME__INIT;
    uint64_t from = weir_now_ms ();
    struct node_answer answer;
    (void) node_send (&n, WEIR_KIND_PEER_LIST, &name.base, 1000);
    node_receive (&n, &answer, 1000);
    assert_int_equal (answer.status, WEIR_UNAVAILABLE);
    assert_true (weir_now_ms () - from >= 500);
    node_answer_fini (&answer);
    /* A stopping node refuses at once. */
    node_mode (&n, "store", "stubborn");
    node_mode (&n, "peers", "stubborn");
    assert_int_equal (node_call (&n, WEIR_KIND_NODE_STOP, NULL), WEIR_OK);
    (void) node_send (&n, WEIR_KIND_PEER_LIST, &name.base, 60000);
    node_receive (&n, &answer, 5000);
    assert_int_equal (answer.status, WEIR_UNAVAILABLE);
    node_answer_fini (&answer);
    Weir__ActorName store = WEIR__ACTOR_NAME__INIT;
    store.has_name = 1;
    store.name = weir_field_str ("store");
    assert_int_equal (node_call (&n, WEIR_KIND_ACTOR_RESTART, &store.base), WEIR_UNAVAILABLE);
    node_fini (&n);
}

/* The same between actors: peers asks the store, which dies, and is asked again. */
static void
test_actors_ask_again (void **state)
{
    (void) state;
    struct node n;
    struct node_answer a;
    start_lenient (&n);
    Weir__PeerName name = WEIR__PEER_NAME__INIT;
    assert_int_equal (node_call (&n, WEIR_KIND_PEER_LIST, &name.base), WEIR_OK);
    node_mode (&n, "store", "quiet");
    (void) node_send (&n, WEIR_KIND_PEER_LIST, &name.base, 10000);
    assert_false (node_try_receive (&n, &a, 100));
    node_mode (&n, "store", NULL);
    kill_actor (&n, "store");
    node_receive (&n, &a, 10000);
    assert_int_equal (a.status, WEIR_OK);
    node_answer_fini (&a);
    /* One that never answers: the asker's own time limit. */
    node_mode (&n, "store", "quiet");
    (void) node_send (&n, WEIR_KIND_PEER_LIST, &name.base, 200);
    node_receive (&n, &a, 10000);
    assert_int_equal (a.status, WEIR_TIMED_OUT);
    node_answer_fini (&a);
    node_fini (&n);
}

/* 50,000 messages into a mailbox nobody reads: BUSY, at once, counted; the store gets well. */
static void
test_busy (void **state)
{
    (void) state;
    struct node n;
    start_lenient (&n);
    Weir__PeerName flood = WEIR__PEER_NAME__INIT;
    flood.has_peer = 1;
    flood.peer = weir_field_str ("flood");
    struct node_actor store;
    assert_true (node_actor (&n, "store", &store));
    (void) node_send_doc (&n, "hang", 100);
    assert_int_equal (node_call (&n, WEIR_KIND_PEER_LIST, &flood.base), WEIR_OK);
    assert_true (store.pid > 1);
    assert_int_equal (kill (store.pid, SIGKILL), 0);
    /* Peers asks all that again: for a while the new one is busy, too. */
    uint64_t until = weir_now_ms () + 10000;
    while (node_doc (&n, "echo", 10000) != WEIR_OK) {
        assert_true (weir_now_ms () < until);
    }
    node_fini (&n);
}

/* ---- who may not ---- */

static void
test_clients_may_not (void **state)
{
    (void) state;
    struct node n;
    struct node_answer a;
    node_init (&n);
    node_start (&n);
    static const struct {
        uint16_t kind;
        enum weir_status status;
    } cases[] = {
        { WEIR_KIND_STATE_GET, WEIR_NOT_PERMITTED_KIND },
        { WEIR_KIND_LEASE, WEIR_NOT_PERMITTED_KIND },
        { WEIR_KIND_HELLO_ACTOR, WEIR_NOT_PERMITTED_KIND },
        { WEIR_KIND_PING, WEIR_NOT_PERMITTED_KIND },
        { WEIR_KIND_STOP, WEIR_NOT_PERMITTED_KIND },
        { WEIR_KIND_FRAME_IN, WEIR_NOT_PERMITTED_KIND },
        { WEIR_KIND_W_HELLO, WEIR_NOT_PERMITTED_KIND },
        { 999, WEIR_UNKNOWN_KIND },
        { 65535, WEIR_UNKNOWN_KIND },
        { WEIR_KIND_DB_LIST, WEIR_UNKNOWN_KIND }, /* known here, not to our tiny store */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t request = node_send (&n, cases[i].kind, NULL, 5000);
        struct weir_post post;
        weir_post_init (&post);
        zmq_pollitem_t item = { .socket = n.client, .events = ZMQ_POLLIN };
        assert_int_equal (zmq_poll (&item, 1, 5000), 1);
        assert_int_equal (weir_post_receive (n.client, &post), WEIR_OK);
        assert_int_equal (post.envelope.request, request);
        assert_int_equal (post.envelope.status, cases[i].status);
        weir_post_fini (&post);
    }
    /* Too large a body, for a kind that takes none. */
    struct weir_post post;
    weir_post_init (&post);
    post.envelope.kind = WEIR_KIND_NODE_STATUS;
    post.envelope.request = 77777;
    weir_post_copy (&post.body, weir_bytes_str ("x"));
    assert_int_equal (weir_post_send (n.client, &post), WEIR_OK);
    weir_post_fini (&post);
    node_receive (&n, &a, 5000);
    assert_int_equal (a.status, WEIR_TOO_LARGE);
    node_answer_fini (&a);
    /* Peers asks the store what only transports may. */
    Weir__PeerName forbidden = WEIR__PEER_NAME__INIT;
    forbidden.has_peer = 1;
    forbidden.peer = weir_field_str ("forbidden");
    assert_int_equal (node_call (&n, WEIR_KIND_PEER_LIST, &forbidden.base),
                      WEIR_NOT_PERMITTED_KIND);
    node_fini (&n);
}

static void
send_raw (void *socket, const void *parts[], const size_t lens[], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_true (zmq_send (socket, parts[i], lens[i], i + 1 < count ? ZMQ_SNDMORE : 0) >= 0);
    }
}

/* Garbage of every shape, answers nobody asked for, chosen routing ids, spoofed senders: no
 * answer, no harm. */
static void
test_hostile_clients (void **state)
{
    (void) state;
    struct node n;
    struct node_answer a;
    node_init (&n);
    node_start (&n);
    uint8_t envelope[WEIR_ENVELOPE_BYTES];
    struct weir_envelope e = { .kind = WEIR_KIND_NODE_STATUS, .request = 1 };
    weir_envelope_put (&e, envelope);
    const void *good[] = { envelope, "", "", "", "" };
    const size_t lens[] = { sizeof envelope, 0, 0, 0, 0 };
    void *bad = node_connect (&n);
    send_raw (bad, good, lens, 1); /* too few parts, too many */
    send_raw (bad, good, lens, 2);
    send_raw (bad, good, lens, 4);
    send_raw (bad, good, lens, 5);
    const size_t truncated[] = { sizeof envelope - 1, 0, 0 };
    send_raw (bad, good, truncated, 3);
    envelope[0] = 9; /* version */
    send_raw (bad, good, lens, 3);
    e.flags = WEIR_ENV_ANSWER; /* of what nobody asked */
    weir_envelope_put (&e, envelope);
    send_raw (bad, good, lens, 3);
    e.flags = 0;
    e.kind = WEIR_KIND_DOC_GET;
    e.request = 0; /* wants no answer: nobody could be told */
    weir_envelope_put (&e, envelope);
    send_raw (bad, good, lens, 3);
    e.kind = WEIR_KIND_ACTOR_RESTART;
    e.request = 2;
    weir_envelope_put (&e, envelope);
    const void *junk[] = { envelope, "\xff\xff\xff", "" };
    const size_t junk_lens[] = { sizeof envelope, 3, 0 };
    send_raw (bad, junk, junk_lens, 3); /* meta that does not decode: answered so */
    zmq_pollitem_t item = { .socket = bad, .events = ZMQ_POLLIN };
    assert_int_equal (zmq_poll (&item, 1, 5000), 1);
    struct weir_post post;
    weir_post_init (&post);
    assert_int_equal (weir_post_receive (bad, &post), WEIR_OK);
    assert_int_equal (post.envelope.request, 2);
    assert_int_equal (post.envelope.status, WEIR_BAD_MESSAGE);
    weir_post_fini (&post);
    (void) zmq_close (bad);

    /* A routing id of its own choice is never answered. */
    char address[160];
    (void) snprintf (address, sizeof address, "ipc://%s/run/control", n.data);
    void *named = zmq_socket (n.zmq, ZMQ_DEALER);
    weir_post_option (named, ZMQ_LINGER, 0);
    assert_int_equal (zmq_setsockopt (named, ZMQ_ROUTING_ID, "store", 5), 0);
    assert_int_equal (zmq_connect (named, address), 0);
    e.kind = WEIR_KIND_NODE_STATUS;
    weir_envelope_put (&e, envelope);
    send_raw (named, good, lens, 3);

    /* Both are served in turn: what came before a good request was dropped. */
    assert_int_equal (node_doc (&n, "echo", 5000), WEIR_OK);
    zmq_pollitem_t silent = { .socket = named, .events = ZMQ_POLLIN };
    assert_int_equal (zmq_poll (&silent, 1, 50), 0);
    (void) zmq_close (named);
    (void) node_send (&n, WEIR_KIND_NODE_STATUS, NULL, 5000);
    node_receive (&n, &a, 5000);
    assert_true (((const Weir__NodeStatus *) a.meta)->dropped >= 7);
    node_answer_fini (&a);
    node_fini (&n);
}

/* The same number asked twice: one answer, and the second is refused, not mixed up. */
static void
test_duplicate_request (void **state)
{
    (void) state;
    struct node n;
    struct node_answer a;
    node_init (&n);
    node_start (&n);
    (void) node_send_doc (&n, "later", 5000);
    n.request--;
    (void) node_send_doc (&n, "echo", 5000);
    node_receive (&n, &a, 5000);
    assert_int_equal (a.status, WEIR_BUSY);
    node_answer_fini (&a);
    node_receive (&n, &a, 5000);
    assert_int_equal (a.status, WEIR_OK);
    node_answer_fini (&a);
    assert_false (node_try_receive (&n, &a, 50));
    node_fini (&n);
}

/* ---- what can be seen ---- */

static void
test_tap (void **state)
{
    (void) state;
    struct node n;
    struct node_answer a;
    node_init (&n);
    node_start (&n);
    Weir__TapFilter filter = WEIR__TAP_FILTER__INIT;
    filter.has_expression = 1;
    filter.expression = weir_field_str ("kind=nonsense");
    (void) node_send (&n, WEIR_KIND_TAP_START, &filter.base, 0);
    node_receive (&n, &a, 5000);
    assert_int_equal (a.status, WEIR_INVALID_ARGUMENT);
    node_answer_fini (&a);

    filter.expression = weir_field_str ("kind=DOC_GET actor=store");
    filter.has_meta = 1;
    filter.meta = 1;
    uint64_t stream = node_send (&n, WEIR_KIND_TAP_START, &filter.base, 0);
    uint64_t request = node_send_doc (&n, "echo", 5000);
    bool question = false;
    bool answer = false;
    bool done = false;
    while (!question || !answer || !done) {
        node_receive (&n, &a, 5000);
        if (a.request == request) {
            done = true;
        } else {
            assert_int_equal (a.request, stream);
            const Weir__TapEvent *event = (const Weir__TapEvent *) a.meta;
            struct weir_envelope seen;
            assert_int_equal (weir_envelope_get (&seen, weir_field (event->envelope)), WEIR_OK);
            assert_int_equal (seen.kind, WEIR_KIND_DOC_GET);
            question =
                question || weir_bytes_equal (weir_field (event->from), weir_bytes_str ("client"));
            answer =
                answer || weir_bytes_equal (weir_field (event->from), weir_bytes_str ("store"));
            assert_true (event->has_meta);
        }
        node_answer_fini (&a);
    }
    (void) node_send (&n, WEIR_KIND_NODE_STATUS, NULL, 5000);
    node_receive (&n, &a, 5000);
    assert_int_equal (((const Weir__NodeStatus *) a.meta)->taps, 1);
    node_answer_fini (&a);

    Weir__TapStop stop = WEIR__TAP_STOP__INIT;
    stop.has_request = 1;
    stop.request = stream;
    (void) node_send (&n, WEIR_KIND_TAP_STOP, &stop.base, 5000);
    node_receive (&n, &a, 5000);
    assert_int_equal (a.request, stream);
    assert_int_equal (a.flags & WEIR_ENV_MORE, 0);
    node_answer_fini (&a);
    node_receive (&n, &a, 5000);
    assert_int_equal (a.status, WEIR_OK);
    node_answer_fini (&a);
    assert_int_equal (node_call (&n, WEIR_KIND_TAP_STOP, &stop.base), WEIR_NOT_FOUND);

    /* It ends by itself, and also with the node. */
    filter.has_seconds = 1;
    filter.seconds = 1;
    (void) node_send (&n, WEIR_KIND_TAP_START, &filter.base, 0);
    node_receive (&n, &a, 5000);
    assert_true (weir_bytes_equal (weir_field (((const Weir__TapEvent *) a.meta)->ended),
                                   weir_bytes_str ("time")));
    node_answer_fini (&a);
    node_fini (&n);
}

static bool
next_event (struct node *n, char *name, size_t size, uint64_t *number)
{
    struct node_answer a;
    node_receive (n, &a, 5000);
    assert_int_equal (a.kind, WEIR_KIND_EVENTS);
    const Weir__Event *event = (const Weir__Event *) a.meta;
    assert_int_equal (weir_field_get_text (name, size - 1, event->has_name, event->name), WEIR_OK);
    *number = event->number;
    bool more = (a.flags & WEIR_ENV_MORE) != 0;
    node_answer_fini (&a);
    return more;
}

static void
test_events (void **state)
{
    (void) state;
    struct node n;
    char name[64];
    uint64_t number = 0;
    bool ups = false;
    node_init (&n);
    node_start (&n);
    Weir__EventsAsk ask = WEIR__EVENTS_ASK__INIT;
    (void) node_send (&n, WEIR_KIND_EVENTS, &ask.base, 0);
    while (next_event (&n, name, sizeof name, &number)) {
        ups = ups || strcmp (name, "actor_up") == 0;
    }
    assert_true (ups);
    assert_true (number >= 4);

    /* From there on, as they come. */
    ask.has_after = 1;
    ask.after = number;
    ask.has_follow = 1;
    ask.follow = 1;
    uint64_t stream = node_send (&n, WEIR_KIND_EVENTS, &ask.base, 0);
    struct node other = { .zmq = n.zmq };
    memcpy (other.data, n.data, sizeof other.data);
    assert_int_equal (node_doc (&other, "event", 5000), WEIR_OK);
    uint64_t newer = 0;
    assert_true (next_event (&n, name, sizeof name, &newer));
    assert_string_equal (name, "told_so");
    assert_int_equal (newer, number + 1);
    Weir__StreamStop stop = WEIR__STREAM_STOP__INIT;
    stop.has_request = 1;
    stop.request = stream;
    assert_int_equal (node_call (&other, WEIR_KIND_STREAM_STOP, &stop.base), WEIR_NOT_FOUND);
    (void) node_send (&n, WEIR_KIND_STREAM_STOP, &stop.base, 5000);
    assert_false (next_event (&n, name, sizeof name, &newer));
    struct node_answer a;
    node_receive (&n, &a, 5000);
    assert_int_equal (a.status, WEIR_OK);
    node_answer_fini (&a);

    /* A follower hears of the end of the node too. */
    (void) node_send (&n, WEIR_KIND_EVENTS, &ask.base, 0);
    assert_int_equal (node_call (&other, WEIR_KIND_NODE_STOP, NULL), WEIR_OK);
    bool stops = false;
    while (next_event (&n, name, sizeof name, &newer)) {
        stops = stops || strcmp (name, "node_stop") == 0;
    }
    assert_true (stops);
    assert_int_equal (node_wait_exit (&n, 10000), 0);
    (void) zmq_close (other.client);
    node_fini (&n);
}

static void
test_many_followers (void **state)
{
    (void) state;
    struct node n;
    struct node_answer a;
    node_init (&n);
    node_start (&n);
    Weir__EventsAsk ask = WEIR__EVENTS_ASK__INIT;
    ask.has_follow = 1;
    ask.follow = 1;
    for (int i = 0; i < 65; i++) {
        (void) node_send (&n, WEIR_KIND_EVENTS, &ask.base, 0);
    }
    bool limit = false;
    while (!limit) {
        node_receive (&n, &a, 5000);
        limit = a.status == WEIR_LIMIT;
        node_answer_fini (&a);
    }
    /* The client goes: an event that cannot be sent to it finds that out. */
    (void) zmq_close (n.client);
    n.client = NULL;
    uint64_t until = weir_now_ms () + 5000;
    for (bool free = false; !free;) {
        assert_int_equal (node_doc (&n, "event", 5000), WEIR_OK);
        uint64_t request = node_send (&n, WEIR_KIND_EVENTS, &ask.base, 0);
        assert_true (weir_now_ms () < until);
        node_receive (&n, &a, 5000);
        free = a.request == request && a.status == WEIR_OK;
        node_answer_fini (&a);
    }
    node_fini (&n);
}

static void
test_log_level (void **state)
{
    (void) state;
    struct node n;
    node_init (&n);
    node_start (&n);
    static const struct {
        const char *actor;
        const char *level;
        enum weir_status status;
    } cases[] = {
        { "store", "debug", WEIR_OK },
        { "broker", "debug", WEIR_OK },
        { "broker", "info", WEIR_OK },
        { "nobody", "debug", WEIR_NOT_FOUND },
        { "store", "loud", WEIR_INVALID_ARGUMENT },
        { "\xff", "info", WEIR_INVALID_ARGUMENT },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Weir__LogLevel level = WEIR__LOG_LEVEL__INIT;
        level.has_actor = level.has_level = level.has_seconds = 1;
        level.actor = weir_field_str (cases[i].actor);
        level.level = weir_field_str (cases[i].level);
        level.seconds = 1;
        assert_int_equal (node_call (&n, WEIR_KIND_ACTOR_LOG_LEVEL, &level.base), cases[i].status);
    }
    assert_int_equal (node_doc (&n, "stream", 5000), WEIR_OK);
    node_fini (&n);
}

static void
put_config (const struct node *n, const char *text)
{
    char path[160];
    (void) snprintf (path, sizeof path, "%s/weir.conf", n->data);
    FILE *f = fopen (path, "we");
    assert_non_null (f);
    assert_true (fputs (text, f) >= 0);
    assert_int_equal (fclose (f), 0);
}

/* Read again: what is wrong changes nothing, what may change does. */
static void
test_reload (void **state)
{
    (void) state;
    struct node n;
    node_init (&n);
    node_start (&n);
    assert_int_equal (node_call (&n, WEIR_KIND_CONFIG_RELOAD, NULL), WEIR_BAD_CONFIG); /* no file */
    put_config (&n, "batch_size = 17\nlog_level = debug\nlisten = \"tcp://127.0.0.1:1\"\n");
    assert_int_equal (node_call (&n, WEIR_KIND_CONFIG_RELOAD, NULL), WEIR_OK);
    put_config (&n, "batch_size = many\n");
    assert_int_equal (node_call (&n, WEIR_KIND_CONFIG_RELOAD, NULL), WEIR_BAD_CONFIG);
    put_config (&n, "");
    assert_true (n.pid > 1);
    assert_int_equal (kill (n.pid, SIGHUP), 0); /* without a terminal: the same */
    assert_int_equal (node_call (&n, WEIR_KIND_CONFIG_RELOAD, NULL), WEIR_OK);
    assert_int_equal (node_doc (&n, "alive", 5000), WEIR_OK);
    node_fini (&n);
}

int
main (int argc, char **argv)
{
    int code = 0;
    if (node_program (argc, argv, &code)) {
        return code;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_request_survives),
        cmocka_unit_test (test_poison),
        cmocka_unit_test (test_nobody_comes),
        cmocka_unit_test (test_actors_ask_again),
        cmocka_unit_test (test_busy),
        cmocka_unit_test (test_clients_may_not),
        cmocka_unit_test (test_hostile_clients),
        cmocka_unit_test (test_duplicate_request),
        cmocka_unit_test (test_tap),
        cmocka_unit_test (test_events),
        cmocka_unit_test (test_many_followers),
        cmocka_unit_test (test_log_level),
        cmocka_unit_test (test_reload),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
