/* Goal: real processes under the real broker. Whatever happens to a child (killed, stopped, hung,
 * refusing, never ready) it comes back or the bundle ends with the right code; whatever happens
 * to the broker, nothing survives it. */

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/broker/node.h"

static const char *const everybody[] = { "store", "retry", "peers", "transport-1" };
#define EVERYBODY (sizeof everybody / sizeof everybody[0])

/* Never to the process group of the test itself. */
static int
send_signal (pid_t pid, int signal)
{
    assert_true (pid > 1);
    return kill (pid, signal);
}

static void
note_pids (struct node *n, pid_t pids[EVERYBODY])
{
    for (size_t i = 0; i < EVERYBODY; i++) {
        struct node_actor a;
        assert_true (node_actor (n, everybody[i], &a));
        pids[i] = a.pid;
    }
}

static int
count_of (const char *text, const char *word)
{
    int n = 0;
    for (const char *p = strstr (text, word); p != NULL; p = strstr (p + 1, word)) {
        n++;
    }
    return n;
}

/* Does `first` come before `second` in the journal? Both must be there. */
static void
assert_before (const char *journal, const char *first, const char *second)
{
    const char *a = strstr (journal, first);
    const char *b = strstr (journal, second);
    assert_non_null (a);
    assert_non_null (b);
    assert_true (a < b);
}

static void
test_starts_and_stops_in_order (void **state)
{
    (void) state;
    struct node n;
    char journal[4096];
    node_init (&n);
    node_setting ("WEIR_TRANSPORTS", "2");
    node_start (&n);
    for (size_t i = 0; i < EVERYBODY; i++) {
        struct node_actor a;
        assert_true (node_actor (&n, everybody[i], &a));
        assert_string_equal (a.state, "ready");
        assert_true (a.pid > 0 && a.epoch != 0 && a.restarts == 0);
    }
    assert_int_equal (node_doc (&n, "echo", 5000), WEIR_OK);
    assert_int_equal (node_call (&n, WEIR_KIND_NODE_STOP, NULL), WEIR_OK);
    assert_int_equal (node_wait_exit (&n, 10000), 0);
    (void) node_journal (&n, journal, sizeof journal);
    assert_before (journal, "store start", "retry start");
    assert_before (journal, "store start", "peers start");
    assert_before (journal, "peers start", "transport-1 start");
    assert_before (journal, "retry start", "transport-2 start");
    assert_before (journal, "transport-1 stop", "peers stop");
    assert_before (journal, "transport-2 stop", "retry stop");
    assert_before (journal, "peers stop", "store stop");
    assert_non_null (strstr (journal, "transport-1 up store"));
    assert_non_null (strstr (journal, "store up transport-2"));
    node_fini (&n);
}

static void
test_terminated_by_signal (void **state)
{
    (void) state;
    struct node n;
    pid_t pids[EVERYBODY];
    static const int signals[] = { SIGTERM, SIGINT };
    for (size_t s = 0; s < 2; s++) {
        node_init (&n);
        node_start (&n);
        note_pids (&n, pids);
        assert_int_equal (send_signal (n.pid, signals[s]), 0);
        assert_int_equal (node_wait_exit (&n, 10000), 0);
        for (size_t i = 0; i < EVERYBODY; i++) {
            assert_true (pid_is_gone (pids[i]));
        }
        node_fini (&n);
    }
}

/* One that will not stop is killed when its stage's time is over; a second signal kills at
 * once. */
static void
test_stubborn_child (void **state)
{
    (void) state;
    struct node n;
    pid_t pids[EVERYBODY];
    node_init (&n);
    node_setting ("WEIR_STOP_MS", "200");
    node_mode (&n, "peers", "stubborn");
    node_start (&n);
    assert_int_equal (send_signal (n.pid, SIGTERM), 0);
    assert_int_equal (node_wait_exit (&n, 10000), 0);
    node_fini (&n);

    node_init (&n);
    node_setting ("WEIR_STOP_MS", "600000");
    node_mode (&n, "transport-1", "stubborn");
    node_start (&n);
    note_pids (&n, pids);
    assert_int_equal (send_signal (n.pid, SIGTERM), 0);
    struct node_actor a;
    node_wait_state (&n, "transport-1", "stopping", 0, &a);
    assert_int_equal (send_signal (n.pid, SIGTERM), 0);
    assert_int_equal (node_wait_exit (&n, 10000), 0);
    for (size_t i = 0; i < EVERYBODY; i++) {
        assert_true (pid_is_gone (pids[i]));
    }
    node_fini (&n);
}

static void
test_killed_actors_come_back (void **state)
{
    (void) state;
    struct node n;
    char journal[4096];
    node_init (&n);
    node_setting ("WEIR_RESTART_LIMIT", "100");
    node_setting ("WEIR_BACKOFF_MS_MAX", "100");
    node_start (&n);
    for (size_t i = 0; i < EVERYBODY; i++) {
        struct node_actor before;
        struct node_actor after;
        assert_true (node_actor (&n, everybody[i], &before));
        assert_int_equal (send_signal (before.pid, SIGKILL), 0);
        node_wait_state (&n, everybody[i], "ready", before.pid, &after);
        assert_true (after.epoch != before.epoch);
        assert_int_equal (after.restarts, 1);
        assert_int_equal (after.last_exit, 128 + SIGKILL);
    }
    /* Partners were told: peers of the store at its start, of its second life, and once more in
     * its own second life. */
    (void) node_journal (&n, journal, sizeof journal);
    assert_int_equal (count_of (journal, "peers up store\n"), 3);
    assert_int_equal (count_of (journal, "peers down store\n"), 1);
    assert_int_equal (count_of (journal, "store down peers\n"), 1);
    assert_int_equal (node_doc (&n, "echo", 5000), WEIR_OK);
    assert_int_equal (send_signal (n.pid, SIGTERM), 0);
    assert_int_equal (node_wait_exit (&n, 10000), 0);
    node_fini (&n);
}

/* A stopped child is seen at once and killed a second later; a hung one after hang_ms. */
static void
test_stopped_and_hung (void **state)
{
    (void) state;
    struct node n;
    struct node_actor before;
    struct node_actor after;
    node_init (&n);
    node_setting ("WEIR_HANG_MS", "300");
    node_setting ("WEIR_HANG_STORE_MS", "60000");
    node_start (&n);
    assert_true (node_actor (&n, "store", &before));
    uint64_t from = weir_now_ms ();
    assert_int_equal (send_signal (before.pid, SIGSTOP), 0);
    node_wait_state (&n, "store", "ready", before.pid, &after);
    assert_true (weir_now_ms () - from >= WEIR_STOPPED_KILL_MS);

    Weir__PeerName hang = WEIR__PEER_NAME__INIT;
    hang.has_peer = 1;
    hang.peer = weir_field_str ("hang");
    assert_true (node_actor (&n, "peers", &before));
    (void) node_send (&n, WEIR_KIND_PEER_LIST, &hang.base, 1000);
    node_wait_state (&n, "peers", "ready", before.pid, &after);

    /* One that goes on in time is left alone. */
    assert_true (node_actor (&n, "retry", &before));
    assert_int_equal (send_signal (before.pid, SIGSTOP), 0);
    assert_int_equal (send_signal (before.pid, SIGCONT), 0);
    assert_int_equal (node_doc (&n, "echo", 5000), WEIR_OK);
    assert_true (node_actor (&n, "retry", &after));
    assert_int_equal (after.pid, before.pid);
    node_fini (&n);
}

/* The broker itself stopped for longer than hang_ms: the children are not to blame. */
static void
test_late_broker_forgives (void **state)
{
    (void) state;
    struct node n;
    pid_t before[EVERYBODY];
    pid_t after[EVERYBODY];
    node_init (&n);
    node_setting ("WEIR_HANG_MS", "300");
    node_start (&n);
    note_pids (&n, before);
    assert_int_equal (send_signal (n.pid, SIGSTOP), 0);
    (void) pause_ms (1500); /* the time itself is what is tested */
    assert_int_equal (send_signal (n.pid, SIGCONT), 0);
    assert_int_equal (node_doc (&n, "echo", 5000), WEIR_OK);
    note_pids (&n, after);
    assert_memory_equal (before, after, sizeof before);
    node_fini (&n);
}

/* What no restart mends ends the node with the child's own code. */
static void
test_final_exits (void **state)
{
    (void) state;
    static const struct {
        const char *actor;
        const char *mode;
        int code;
    } cases[] = {
        { "store", "exit 65", 65 },
        { "transport-1", "exit 78", 78 },
        { "peers", "exit 78", 78 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct node n;
        node_init (&n);
        node_mode (&n, cases[i].actor, cases[i].mode);
        node_launch (&n);
        assert_int_equal (node_wait_exit (&n, 10000), cases[i].code);
        node_fini (&n);
    }
}

static void
test_escalates (void **state)
{
    (void) state;
    static const struct {
        const char *actor;
        const char *mode;
        int code;
    } cases[] = {
        { "store", "exit 1", 70 },
        { "store", "exit 74", 74 },
        { "peers", "exit 75", 75 },
        { "store", "never", 70 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct node n;
        char journal[4096];
        node_init (&n);
        node_setting ("WEIR_RESTART_LIMIT", "2");
        node_setting ("WEIR_BACKOFF_MS_MAX", "100");
        node_setting ("WEIR_START_MS", "300");
        node_mode (&n, cases[i].actor, cases[i].mode);
        node_launch (&n);
        assert_int_equal (node_wait_exit (&n, 15000), cases[i].code);
        (void) node_journal (&n, journal, sizeof journal);
        char line[64];
        (void) snprintf (line, sizeof line, "%s start\n", cases[i].actor);
        assert_int_equal (count_of (journal, line), 3); /* and two allowed deaths */
        node_fini (&n);
    }
}

static void
test_program_missing (void **state)
{
    (void) state;
    struct node n;
    char path[256];
    node_init (&n);
    node_setting ("WEIR_RESTART_LIMIT", "0");
    (void) snprintf (path, sizeof path, "%s/weir-store", n.base);
    assert_int_equal (unlink (path), 0);
    node_launch (&n);
    assert_int_equal (node_wait_exit (&n, 10000), 70);
    node_fini (&n);
}

/* A transport that cannot live does not take the node with it, and by hand it may try again. */
static void
test_failed_transport (void **state)
{
    (void) state;
    struct node n;
    struct node_actor a;
    node_init (&n);
    node_setting ("WEIR_RESTART_LIMIT", "1");
    node_setting ("WEIR_BACKOFF_MS_MAX", "100");
    node_mode (&n, "transport-1", "exit 1");
    node_start (&n); /* ready, since it waits for no failed one */
    node_wait_state (&n, "transport-1", "failed", -1, &a);
    assert_int_equal (a.last_exit, 1);
    assert_int_equal (node_doc (&n, "echo", 5000), WEIR_OK);

    node_mode (&n, "transport-1", NULL);
    Weir__ActorName name = WEIR__ACTOR_NAME__INIT;
    name.has_name = 1;
    name.name = weir_field_str ("transport-1");
    assert_int_equal (node_call (&n, WEIR_KIND_ACTOR_RESTART, &name.base), WEIR_OK);
    node_wait_state (&n, "transport-1", "ready", 0, &a);

    /* A living one is stopped in order and started again. */
    pid_t before = a.pid;
    assert_int_equal (node_call (&n, WEIR_KIND_ACTOR_RESTART, &name.base), WEIR_OK);
    node_wait_state (&n, "transport-1", "ready", before, &a);
    assert_int_equal (a.last_exit, 0);
    name.name = weir_field_str ("nobody");
    assert_int_equal (node_call (&n, WEIR_KIND_ACTOR_RESTART, &name.base), WEIR_NOT_FOUND);
    node_fini (&n);
}

/* kill -9 of the broker: not even a stopped or a hung child is left. */
static void
test_nothing_survives_the_broker (void **state)
{
    (void) state;
    struct node n;
    pid_t pids[EVERYBODY];
    node_init (&n);
    node_start (&n);
    note_pids (&n, pids);
    assert_int_equal (send_signal (pids[1], SIGSTOP), 0);
    (void) node_send_doc (&n, "hang", 1000);
    assert_int_equal (send_signal (n.pid, SIGKILL), 0);
    assert_int_equal (node_wait_exit (&n, 1000), 128 + SIGKILL);
    for (size_t i = 0; i < EVERYBODY; i++) {
        wait_gone (pids[i], 1000);
    }
    /* And the next one starts at once on the same data. */
    node_start (&n);
    assert_int_equal (send_signal (n.pid, SIGTERM), 0);
    assert_int_equal (node_wait_exit (&n, 10000), 0);
    node_fini (&n);
}

static void
test_second_broker_refused (void **state)
{
    (void) state;
    struct node n;
    node_init (&n);
    node_start (&n);
    struct node second = n;
    second.ready_fd = -1;
    node_launch (&second);
    assert_int_equal (node_wait_exit (&second, 10000), 75);
    (void) close (second.ready_fd);
    assert_int_equal (node_doc (&n, "echo", 5000), WEIR_OK);
    node_fini (&n);
}

static void
test_bad_starts (void **state)
{
    (void) state;
    struct node n;
    char path[256];
    node_init (&n);
    (void) snprintf (path, sizeof path, "%s/weir.conf", n.data);
    FILE *f = fopen (path, "w");
    assert_non_null (f);
    (void) fputs ("rolle = hub\n", f);
    (void) fclose (f);
    node_launch (&n);
    assert_int_equal (node_wait_exit (&n, 10000), 78);
    node_fini (&n);

    node_init (&n);
    assert_int_equal (rmdir (n.data), 0);
    node_launch (&n);
    assert_int_equal (node_wait_exit (&n, 10000), 73);
    node_fini (&n);

    node_init (&n);
    node_setting ("WEIR_RUN_DIR", "/proc");
    node_launch (&n);
    assert_int_equal (node_wait_exit (&n, 10000), 73);
    node_fini (&n);
}

static void
test_usage (void **state)
{
    (void) state;
    char *cases[][4] = {
        { (char *) "weir-broker", (char *) "--what", NULL, NULL },
        { (char *) "weir-broker", (char *) "--ready-fd", (char *) "x", NULL },
        { (char *) "weir-broker", (char *) "stray", NULL, NULL },
        { (char *) "weir-store", NULL, NULL, NULL },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int argc = 0;
        int code = 0;
        while (cases[i][argc] != NULL) {
            argc++;
        }
        assert_true (node_program (argc, cases[i], &code));
        assert_int_equal (code, 2);
    }
}

/* systemd's Type=notify, without libsystemd. */
static void
test_notifies (void **state)
{
    (void) state;
    struct node n;
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    char text[64];
    node_init (&n);
    (void) snprintf (at.sun_path, sizeof at.sun_path, "%s/notify", n.base);
    int fd = socket (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal (bind (fd, (const struct sockaddr *) &at, sizeof at), 0);
    node_setting ("NOTIFY_SOCKET", at.sun_path);
    node_setting ("WATCHDOG_USEC", "100000");
    node_start (&n);
    bool ready = false;
    bool alive = false;
    bool stopping = false;
    while (!ready || !alive || !stopping) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        assert_int_equal (poll (&p, 1, 10000), 1);
        ssize_t len = recv (fd, text, sizeof text - 1, 0);
        text[len > 0 ? len : 0] = '\0';
        ready = ready || strcmp (text, "READY=1") == 0;
        alive = alive || strcmp (text, "WATCHDOG=1") == 0;
        stopping = stopping || strcmp (text, "STOPPING=1") == 0;
        if (ready && alive && !stopping) {
            assert_int_equal (send_signal (n.pid, SIGTERM), 0);
        }
    }
    assert_int_equal (node_wait_exit (&n, 10000), 0);
    (void) close (fd);
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
        cmocka_unit_test (test_starts_and_stops_in_order),
        cmocka_unit_test (test_terminated_by_signal),
        cmocka_unit_test (test_stubborn_child),
        cmocka_unit_test (test_killed_actors_come_back),
        cmocka_unit_test (test_stopped_and_hung),
        cmocka_unit_test (test_late_broker_forgives),
        cmocka_unit_test (test_final_exits),
        cmocka_unit_test (test_escalates),
        cmocka_unit_test (test_program_missing),
        cmocka_unit_test (test_failed_transport),
        cmocka_unit_test (test_nothing_survives_the_broker),
        cmocka_unit_test (test_second_broker_refused),
        cmocka_unit_test (test_bad_starts),
        cmocka_unit_test (test_usage),
        cmocka_unit_test (test_notifies),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
