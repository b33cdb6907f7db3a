/* Goal: the actors' skeleton against a broker that this test plays: requests are sent again to
 * the next incarnation and only then, late and foreign answers are ignored, time limits hold,
 * nothing malformed on either socket harms, bulk does not delay a ping, and it ends when it
 * should with the right code. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "actors/runtime/actor.h"
#include "actors/runtime/post.h"

/* ---- the actor: peers, who asks the store when it is told to ---- */

struct mine {
    struct weir_envelope asked;
    unsigned turns;
    uint64_t cancelled;
    int pipe_ends[2];
    void *pair[2];
};

static void
said (void *state, struct weir_actor *actor, void *context, enum weir_status status,
      const struct weir_error *problem, const struct weir_message *answer)
{
    struct mine *m = state;
    (void) context;
    if (status == WEIR_OK) {
        bool more = (answer->envelope.flags & WEIR_ENV_MORE) != 0;
        weir_actor_answer (actor, &m->asked, NULL, answer->body, more);
    } else {
        weir_actor_fail (actor, &m->asked, status, problem);
    }
}

static void
from_pipe (void *state, struct weir_actor *actor, void *context)
{
    struct mine *m = state;
    char byte = 0;
    assert_int_equal (read (m->pipe_ends[0], &byte, 1), 1);
    weir_actor_watch_fd (actor, m->pipe_ends[0], NULL, NULL);
    weir_actor_watch_fd (actor, m->pipe_ends[0], NULL, NULL); /* once more: harmless */
    assert_ptr_equal (context, m);
    assert_int_equal (zmq_send (m->pair[0], "x", 1, 0), 1);
}

static void
from_socket (void *state, struct weir_actor *actor, void *context)
{
    struct mine *m = state;
    char byte = 0;
    (void) context;
    assert_int_equal (zmq_recv (m->pair[1], &byte, 1, ZMQ_DONTWAIT), 1);
    weir_actor_answer (actor, &m->asked, NULL, weir_bytes (NULL, 0), false);
}

static void
never (void *state, struct weir_actor *actor, void *context)
{
    struct weir_error e = { .what = "a cancelled timer fired" };
    (void) state;
    (void) context;
    weir_actor_exit (actor, WEIR_FAILED, &e);
}

static void
start_watching (struct mine *m, struct weir_actor *actor)
{
    assert_int_equal (pipe (m->pipe_ends), 0);
    for (int i = 0; i < 2; i++) {
        m->pair[i] = zmq_socket (weir_actor_zmq (actor), ZMQ_PAIR);
        weir_post_option (m->pair[i], ZMQ_LINGER, 0);
    }
    assert_int_equal (zmq_bind (m->pair[0], "inproc://x"), 0);
    assert_int_equal (zmq_connect (m->pair[1], "inproc://x"), 0);
    weir_actor_watch_fd (actor, m->pipe_ends[0], never, NULL);
    weir_actor_watch_fd (actor, m->pipe_ends[0], from_pipe, m); /* the last one counts */
    weir_actor_watch_socket (actor, m->pair[1], from_socket, NULL);
    assert_int_equal (write (m->pipe_ends[1], "x", 1), 1);
    uint64_t id = weir_actor_timer (actor, weir_actor_now_ms (actor), never, NULL);
    weir_actor_timer_cancel (actor, id);
    weir_actor_timer_cancel (actor, id);
    weir_actor_timer_cancel (actor, 0);
    weir_actor_timer_cancel (actor, 99);
}

static void
take (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct mine *m = state;
    char word[32];
    const Weir__PeerName *name = (const Weir__PeerName *) message->meta;
    m->asked = message->envelope;
    assert_int_equal (weir_field_get_text (word, sizeof word - 1, name->has_peer, name->peer),
                      WEIR_OK);
    const struct weir_mailbox_id stranger = { .b = { 77 } };
    if (strcmp (word, "watch") == 0) {
        start_watching (m, actor);
    } else if (strcmp (word, "stranger") == 0) { /* STORE_OPEN, of a mailbox nobody knows */
        (void) weir_actor_ask (actor, WEIR_KIND_STORE_OPEN, &stranger, NULL, weir_bytes (NULL, 0),
                               0, said, NULL);
    } else if (strcmp (word, "exit") == 0) {
        weir_actor_exit (actor, WEIR_DISK_FULL, NULL);
    } else if (strcmp (word, "tell") == 0) { /* one-way, to whom kinds.def says */
        enum weir_status status =
            weir_actor_send (actor, WEIR_KIND_BEHIND, NULL, NULL, weir_bytes (NULL, 0));
        weir_actor_fail (actor, &m->asked, status == WEIR_OK ? WEIR_EXISTS : status, NULL);
    } else if (strcmp (word, "stream") == 0) { /* with a time limit between its parts */
        (void) weir_actor_ask (actor, WEIR_KIND_DB_RIGHTS, NULL, NULL, weir_bytes (NULL, 0),
                               message->envelope.ms_left, said, NULL);
    } else {
        (void) weir_actor_ask (actor, WEIR_KIND_STATE_GET, NULL, NULL, weir_bytes (NULL, 0),
                               message->envelope.ms_left, said, NULL);
    }
}

static enum weir_status
start (void **state, struct weir_actor *actor, struct weir_error *e)
{
    (void) e;
    *state = weir_alloc (sizeof (struct mine));
    assert_string_equal (weir_actor_name (actor), "peers");
    assert_true (weir_actor_epoch (actor) != 0);
    assert_true (weir_rand_u64 (weir_actor_rand (actor)) != 0);
    assert_true (weir_actor_wall_ms (actor) > 1700000000000u);
    assert_string_equal (weir_actor_settings (actor)->role, "leaf");
    weir_actor_ready (actor);
    weir_actor_ready (actor); /* twice is once */
    return WEIR_OK;
}

static void
stop (void **state, struct weir_actor *actor)
{
    struct mine *m = *state;
    (void) actor;
    for (int i = 0; i < 2 && m->pair[i] != NULL; i++) {
        (void) zmq_close (m->pair[i]);
        (void) close (m->pipe_ends[i]);
    }
    free (m);
    *state = NULL;
}

static const struct weir_actor_handler handlers[] = { { WEIR_KIND_PEER_LIST, take }, { 0, NULL } };

static void
reloaded (void *state, struct weir_actor *actor)
{
    (void) state;
    weir_assert (weir_actor_settings (actor)->batch_size == 17);
    weir_assert (weir_actor_settings (actor)->max_attempts != 0);
}

static const struct weir_actor_def def = { "peers", handlers, start, stop,
                                           NULL,    NULL,     NULL,  reloaded };

/* ---- the broker ---- */

struct stage {
    char run[64];
    pid_t pid;
    int life[2], ready[2];
    void *zmq, *actors, *life_socket;
    uint8_t id[WEIR_ADDRESS_BYTES];
    uint64_t request;
};

static const struct weir_mailbox_id client = { .b = { 5, 5 } };
static const struct weir_mailbox_id store_1 = { .b = { 6, 1 } };
static const struct weir_mailbox_id store_2 = { .b = { 6, 2 } };

static pid_t
fork_actor (struct stage *s, int identity_fd)
{
    pid_t pid = fork ();
    assert_true (pid >= 0);
    if (pid == 0) {
        char fds[3][16];
        (void) snprintf (fds[0], 16, "%d", s->life[0]);
        (void) snprintf (fds[1], 16, "%d", s->ready[1]);
        (void) snprintf (fds[2], 16, "%d", identity_fd);
        (void) close (s->life[1]);
        char *argv[] = { (char *) "weir-peers",
                         (char *) "--name",
                         (char *) "peers",
                         (char *) "--data",
                         s->run,
                         (char *) "--run",
                         s->run,
                         (char *) "--life-fd",
                         fds[0],
                         (char *) "--ready-fd",
                         fds[1],
                         (char *) "--identity-fd",
                         fds[2],
                         NULL };
        exit (weir_actor_run (&def, 13, argv));
    }
    return pid;
}

static void *
bind_router (struct stage *s, const char *name)
{
    char address[128];
    void *socket = zmq_socket (s->zmq, ZMQ_ROUTER);
    (void) snprintf (address, sizeof address, "ipc://%s/%s", s->run, name);
    weir_post_option (socket, ZMQ_ROUTER_MANDATORY, 1);
    weir_post_option (socket, ZMQ_LINGER, 0);
    assert_int_equal (zmq_bind (socket, address), 0);
    return socket;
}

static bool
receive (struct stage *s, void *socket, struct weir_post *post, int ms)
{
    zmq_pollitem_t item = { .socket = socket, .events = ZMQ_POLLIN };
    if (zmq_poll (&item, 1, ms) != 1) {
        return false;
    }
    uint8_t id[32];
    assert_int_equal (zmq_recv (socket, id, sizeof id, 0), WEIR_ADDRESS_BYTES);
    assert_memory_equal (id, s->id, sizeof s->id);
    weir_post_init (post);
    assert_int_equal (weir_post_receive (socket, post), WEIR_OK);
    return true;
}

static void
expect (struct stage *s, void *socket, uint16_t kind, struct weir_envelope *envelope)
{
    struct weir_post post;
    assert_true (receive (s, socket, &post, 5000));
    assert_int_equal (post.envelope.kind, kind);
    if (envelope != NULL) {
        *envelope = post.envelope;
    }
    weir_post_fini (&post);
}

static void
expect_nothing (struct stage *s, void *socket)
{
    struct weir_post post;
    assert_false (receive (s, socket, &post, 50));
}

static void
send_post (struct stage *s, void *socket, const struct weir_envelope *envelope,
           const ProtobufCMessage *meta)
{
    struct weir_post post;
    weir_post_init (&post);
    post.envelope = *envelope;
    weir_post_pack (&post.meta, meta);
    assert_int_equal (zmq_send (socket, s->id, sizeof s->id, ZMQ_SNDMORE), sizeof s->id);
    assert_int_equal (weir_post_send (socket, &post), WEIR_OK);
    weir_post_fini (&post);
}

static void
stage_init (struct stage *s)
{
    int identity[2];
    memset (s, 0, sizeof *s);
    (void) snprintf (s->run, sizeof s->run, "/tmp/weir-stage-XXXXXX");
    assert_non_null (mkdtemp (s->run));
    assert_int_equal (pipe (s->life), 0);
    assert_int_equal (pipe (s->ready), 0);
    assert_int_equal (pipe (identity), 0);
    memset (s->id, 3, sizeof s->id);
    assert_int_equal (write (identity[1], s->id, sizeof s->id), sizeof s->id);
    (void) close (identity[1]);
    s->pid = fork_actor (s, identity[0]); /* before ZeroMQ's threads exist */
    (void) close (identity[0]);
    (void) close (s->ready[1]);
    s->zmq = zmq_ctx_new ();
    s->actors = bind_router (s, "actors");
    s->life_socket = bind_router (s, "life");
    expect (s, s->actors, WEIR_KIND_HELLO_ACTOR, NULL);
    expect (s, s->life_socket, WEIR_KIND_HELLO_ACTOR, NULL);
    char byte = 0;
    assert_int_equal (read (s->ready[0], &byte, 1), 1);
    assert_int_equal (read (s->ready[0], &byte, 1), 0);
}

static int
stage_end (struct stage *s)
{
    int status = 0;
    for (int i = 0; waitpid (s->pid, &status, WNOHANG) == 0; i++) {
        assert_true (i < 5000);
        (void) poll (NULL, 0, 1);
    }
    s->pid = 0;
    return WIFEXITED (status) ? WEXITSTATUS (status) : 128 + WTERMSIG (status);
}

static void
stage_fini (struct stage *s)
{
    if (s->pid > 0) {
        (void) kill (s->pid, SIGTERM);
        assert_int_equal (stage_end (s), 0);
    }
    (void) zmq_close (s->actors);
    (void) zmq_close (s->life_socket);
    (void) zmq_ctx_term (s->zmq);
    (void) close (s->life[0]);
    if (s->life[1] >= 0) {
        (void) close (s->life[1]);
    }
    (void) close (s->ready[0]);
    char path[128];
    (void) snprintf (path, sizeof path, "%s/actors", s->run);
    (void) unlink (path);
    (void) snprintf (path, sizeof path, "%s/life", s->run);
    (void) unlink (path);
    assert_int_equal (rmdir (s->run), 0);
}

static void
tell_notice (struct stage *s, uint16_t kind, const struct weir_mailbox_id *who, bool failed)
{
    Weir__ActorNotice n = WEIR__ACTOR_NOTICE__INIT;
    n.has_role = n.has_name = n.has_mailbox = n.has_epoch = n.has_failed = 1;
    n.role = weir_field_str ("store");
    n.name = weir_field_str ("store");
    n.mailbox = weir_field_of (weir_bytes (who->b, sizeof who->b));
    n.epoch = who->b[1];
    n.failed = failed;
    struct weir_envelope envelope = { .kind = kind };
    send_post (s, s->life_socket, &envelope, &n.base);
}

/* A ping, answered: everything sent on the lifeline before is handled. */
static void
ping (struct stage *s)
{
    struct weir_envelope envelope = { .kind = WEIR_KIND_PING };
    send_post (s, s->life_socket, &envelope, NULL);
    expect (s, s->life_socket, WEIR_KIND_PONG, NULL);
}

static void
ask (struct stage *s, const char *word, uint32_t ms)
{
    Weir__PeerName name = WEIR__PEER_NAME__INIT;
    name.has_peer = 1;
    name.peer = weir_field_str (word);
    struct weir_envelope envelope = {
        .kind = WEIR_KIND_PEER_LIST, .request = ++s->request, .from = client, .ms_left = ms
    };
    send_post (s, s->actors, &envelope, &name.base);
}

static void
answer (struct stage *s, const struct weir_envelope *request, const struct weir_mailbox_id *from,
        uint8_t flags, enum weir_status status)
{
    struct weir_envelope envelope = *request;
    envelope.flags = (uint8_t) (WEIR_ENV_ANSWER | flags);
    envelope.from = *from;
    envelope.status = (uint16_t) status;
    send_post (s, s->actors, &envelope, NULL);
}

static void
expect_outcome (struct stage *s, enum weir_status status)
{
    struct weir_envelope envelope;
    expect (s, s->actors, WEIR_KIND_PEER_LIST, &envelope);
    assert_int_equal (envelope.request, s->request);
    assert_int_equal (envelope.status, status);
    assert_int_equal (envelope.flags, WEIR_ENV_ANSWER);
    assert_true (weir_mailbox_equal (&envelope.to, &client));
}

static void
expect_part (struct stage *s)
{
    struct weir_envelope envelope;
    expect (s, s->actors, WEIR_KIND_PEER_LIST, &envelope);
    assert_int_equal (envelope.flags, WEIR_ENV_ANSWER | WEIR_ENV_MORE);
}

/* ---- requests and incarnations ---- */

static void
test_asked_again (void **state)
{
    (void) state;
    struct stage s;
    struct weir_envelope first;
    struct weir_envelope second;
    stage_init (&s);
    ask (&s, "store", 20000); /* nobody is there yet: it waits */
    expect_nothing (&s, s.actors);
    tell_notice (&s, WEIR_KIND_UP, &store_1, false);
    expect (&s, s.actors, WEIR_KIND_STATE_GET, &first);
    assert_true (weir_mailbox_equal (&first.to, &store_1));
    tell_notice (&s, WEIR_KIND_DOWN, &store_2, false); /* of another incarnation: no matter */
    ping (&s);
    tell_notice (&s, WEIR_KIND_DOWN, &store_1, false);
    tell_notice (&s, WEIR_KIND_UP, &store_2, false);
    expect (&s, s.actors, WEIR_KIND_STATE_GET, &second);
    assert_int_equal (second.request, first.request);
    assert_true (weir_mailbox_equal (&second.to, &store_2));
    assert_true (second.ms_left <= first.ms_left && second.ms_left > 0);
    answer (&s, &first, &store_1, 0, WEIR_OK); /* late, from the dead */
    answer (&s, &second, &client, 0, WEIR_OK); /* from who was not asked */
    second.kind = WEIR_KIND_STATE_PUT;
    answer (&s, &second, &store_2, 0, WEIR_OK); /* to another kind */
    second.kind = WEIR_KIND_STATE_GET;
    expect_nothing (&s, s.actors);
    answer (&s, &second, &store_2, 0, WEIR_OK);
    expect_outcome (&s, WEIR_OK);
    answer (&s, &second, &store_2, 0, WEIR_OK); /* twice */
    ping (&s);
    expect_nothing (&s, s.actors);
    stage_fini (&s);
}

static void
test_refused_by_the_broker (void **state)
{
    (void) state;
    struct stage s;
    struct weir_envelope request;
    stage_init (&s);
    tell_notice (&s, WEIR_KIND_UP, &store_1, false);
    ping (&s);
    ask (&s, "store", 20000);
    expect (&s, s.actors, WEIR_KIND_STATE_GET, &request);
    /* It could not be handed over: parked until the next one is there. */
    answer (&s, &request, &store_1, WEIR_ENV_REFUSED, WEIR_UNAVAILABLE);
    expect_nothing (&s, s.actors);
    tell_notice (&s, WEIR_KIND_UP, &store_2, false); /* DOWN was not heard */
    expect (&s, s.actors, WEIR_KIND_STATE_GET, &request);
    answer (&s, &request, &store_2, WEIR_ENV_REFUSED, WEIR_BUSY); /* another matter */
    expect_outcome (&s, WEIR_BUSY);
    /* The same word from the store itself is its answer. */
    ask (&s, "store", 20000);
    expect (&s, s.actors, WEIR_KIND_STATE_GET, &request);
    answer (&s, &request, &store_2, 0, WEIR_UNAVAILABLE);
    expect_outcome (&s, WEIR_UNAVAILABLE);
    stage_fini (&s);
}

static void
test_given_up (void **state)
{
    (void) state;
    struct stage s;
    struct weir_envelope request;
    stage_init (&s);
    ask (&s, "store", 100); /* nobody comes in time */
    expect_outcome (&s, WEIR_UNAVAILABLE);
    ask (&s, "stranger", 0);
    expect_outcome (&s, WEIR_UNAVAILABLE);
    tell_notice (&s, WEIR_KIND_UP, &store_1, false);
    ping (&s);
    ask (&s, "store", 100); /* it takes it and says nothing */
    expect (&s, s.actors, WEIR_KIND_STATE_GET, &request);
    expect_outcome (&s, WEIR_TIMED_OUT);
    ask (&s, "store", 20000);
    expect (&s, s.actors, WEIR_KIND_STATE_GET, &request);
    tell_notice (&s, WEIR_KIND_DOWN, &store_1, true); /* and will not come back */
    expect_outcome (&s, WEIR_UNAVAILABLE);
    ask (&s, "store", 20000); /* nor does anybody wait for it */
    expect_outcome (&s, WEIR_UNAVAILABLE);
    stage_fini (&s);
}

static void
test_streams (void **state)
{
    (void) state;
    struct stage s;
    struct weir_envelope request;
    stage_init (&s);
    tell_notice (&s, WEIR_KIND_UP, &store_1, false);
    ping (&s);
    ask (&s, "stream", 300);
    expect (&s, s.actors, WEIR_KIND_DB_RIGHTS, &request);
    answer (&s, &request, &store_1, WEIR_ENV_MORE, WEIR_OK);
    answer (&s, &request, &store_1, WEIR_ENV_MORE, WEIR_OK);
    answer (&s, &request, &store_1, 0, WEIR_OK);
    expect_part (&s);
    expect_part (&s);
    expect_outcome (&s, WEIR_OK);
    ask (&s, "stream", 200);
    expect (&s, s.actors, WEIR_KIND_DB_RIGHTS, &request);
    answer (&s, &request, &store_1, WEIR_ENV_MORE, WEIR_OK);
    expect_part (&s);
    expect_outcome (&s, WEIR_TIMED_OUT); /* it stops in the middle */
    ask (&s, "stream", 20000);
    expect (&s, s.actors, WEIR_KIND_DB_RIGHTS, &request);
    answer (&s, &request, &store_1, WEIR_ENV_MORE, WEIR_OK);
    expect_part (&s);
    tell_notice (&s, WEIR_KIND_DOWN, &store_1, false);
    expect_outcome (&s, WEIR_UNAVAILABLE); /* what has begun is not asked again */
    stage_fini (&s);
}

static void
test_one_way (void **state)
{
    (void) state;
    struct stage s;
    stage_init (&s);
    ask (&s, "tell", 0); /* there is no retry actor */
    expect_outcome (&s, WEIR_UNAVAILABLE);
    Weir__ActorNotice n = WEIR__ACTOR_NOTICE__INIT;
    n.has_role = n.has_name = n.has_mailbox = 1;
    n.role = n.name = weir_field_str ("retry");
    n.mailbox = weir_field_of (weir_bytes (store_2.b, sizeof store_2.b));
    struct weir_envelope up = { .kind = WEIR_KIND_UP };
    send_post (&s, s.life_socket, &up, &n.base);
    ping (&s);
    ask (&s, "tell", 0);
    struct weir_envelope told;
    expect (&s, s.actors, WEIR_KIND_BEHIND, &told);
    assert_true (weir_mailbox_equal (&told.to, &store_2));
    expect_outcome (&s, WEIR_EXISTS);
    stage_fini (&s);
}

/* ---- malformed and foreign ---- */

static void
test_hostile (void **state)
{
    (void) state;
    struct stage s;
    struct weir_envelope envelope;
    stage_init (&s);
    void *sockets[] = { s.actors, s.life_socket };
    for (int i = 0; i < 2; i++) {
        for (int parts = 1; parts <= 6; parts++) {
            assert_true (zmq_send (sockets[i], s.id, sizeof s.id, ZMQ_SNDMORE) > 0);
            for (int p = 1; p <= parts; p++) {
                assert_true (zmq_send (sockets[i], "junk", 4, p < parts ? ZMQ_SNDMORE : 0) > 0);
            }
        }
    }
    ping (&s);
    /* A kind it does not take, one that does not exist, meta that does not decode. */
    static const struct {
        uint16_t kind;
        enum weir_status status;
    } cases[] = {
        { WEIR_KIND_DOC_GET, WEIR_UNKNOWN_KIND },
        { 999, WEIR_UNKNOWN_KIND },
    };
    for (size_t i = 0; i < 2; i++) {
        struct weir_envelope e = { .kind = cases[i].kind, .request = 40 + i, .from = client };
        send_post (&s, s.actors, &e, NULL);
        expect (&s, s.actors, cases[i].kind, &envelope);
        assert_int_equal (envelope.status, cases[i].status);
    }
    struct weir_post post;
    weir_post_init (&post);
    post.envelope =
        (struct weir_envelope){ .kind = WEIR_KIND_PEER_LIST, .request = 50, .from = client };
    weir_post_copy (&post.meta, weir_bytes_str ("\xff\xff"));
    assert_true (zmq_send (s.actors, s.id, sizeof s.id, ZMQ_SNDMORE) > 0);
    assert_int_equal (weir_post_send (s.actors, &post), WEIR_OK);
    weir_post_fini (&post);
    expect (&s, s.actors, WEIR_KIND_PEER_LIST, &envelope);
    assert_int_equal (envelope.status, WEIR_BAD_MESSAGE);
    stage_fini (&s);
}

/* The lifeline: kinds that are not its own, notices that make no sense. */
static void
test_hostile_lifeline (void **state)
{
    (void) state;
    struct stage s;
    stage_init (&s);
    Weir__ActorNotice n = WEIR__ACTOR_NOTICE__INIT;
    struct weir_envelope e = { .kind = WEIR_KIND_UP };
    send_post (&s, s.life_socket, &e, &n.base);
    n.has_role = n.has_name = 1;
    n.role = weir_field_str ("\xff");
    n.name = weir_field_str ("x");
    send_post (&s, s.life_socket, &e, &n.base);
    e.kind = WEIR_KIND_DOC_GET;
    send_post (&s, s.life_socket, &e, NULL);
    e.kind = 4242;
    send_post (&s, s.life_socket, &e, NULL);
    Weir__LogLevel level = WEIR__LOG_LEVEL__INIT;
    level.has_level = 1;
    level.level = weir_field_str ("loud");
    e.kind = WEIR_KIND_SET_LOG_LEVEL;
    send_post (&s, s.life_socket, &e, &level.base);
    level.level = weir_field_str ("debug");
    level.has_seconds = 1;
    level.seconds = 1;
    send_post (&s, s.life_socket, &e, &level.base);
    /* Settings that changed: one that is good, one of a newer broker, one out of its range. */
    Weir__ConfigReloaded changed = WEIR__CONFIG_RELOADED__INIT;
    static const char *const changes[][2] = { { "batch_size", "17" },
                                              { "no_such_setting", "1" },
                                              { "max_attempts", "0" } };
    Weir__SettingChange change[3];
    Weir__SettingChange *pointers[3];
    for (size_t i = 0; i < 3; i++) {
        change[i] = (Weir__SettingChange) WEIR__SETTING_CHANGE__INIT;
        change[i].has_key = change[i].has_is = change[i].has_applied = change[i].applied = 1;
        change[i].key = weir_field_str (changes[i][0]);
        change[i].is = weir_field_str (changes[i][1]);
        pointers[i] = &change[i];
    }
    changed.changes = pointers;
    changed.n_changes = 3;
    e.kind = WEIR_KIND_RELOAD;
    send_post (&s, s.life_socket, &e, &changed.base);
    /* More partners than there can be. */
    e.kind = WEIR_KIND_UP;
    for (int i = 0; i < 70; i++) {
        char name[32];
        uint8_t id[16] = { 8, (uint8_t) i };
        (void) snprintf (name, sizeof name, "transport-%d", i);
        n = (Weir__ActorNotice) WEIR__ACTOR_NOTICE__INIT;
        n.has_role = n.has_name = n.has_mailbox = 1;
        n.role = weir_field_str ("transport");
        n.name = weir_field_str (name);
        n.mailbox = weir_field_of (weir_bytes (id, sizeof id));
        send_post (&s, s.life_socket, &e, &n.base);
    }
    ping (&s);
    stage_fini (&s);
}

/* A ping behind 5,000 messages is answered before they are. */
static void
test_bulk_does_not_delay_a_ping (void **state)
{
    (void) state;
    struct stage s;
    struct weir_post post;
    stage_init (&s);
    for (int i = 0; i < 900; i++) {
        ask (&s, "store", 0);
    }
    ping (&s);
    tell_notice (&s, WEIR_KIND_UP, &store_1, false);
    for (int i = 0; i < 900; i++) { /* in the order they were asked */
        assert_true (receive (&s, s.actors, &post, 5000));
        assert_int_equal (post.envelope.request, i + 1);
        weir_post_fini (&post);
    }
    stage_fini (&s);
}

static void
test_watches (void **state)
{
    (void) state;
    struct stage s;
    stage_init (&s);
    ask (&s, "watch", 0);
    expect_outcome (&s, WEIR_OK);
    struct weir_envelope e = { .kind = WEIR_KIND_STOP };
    send_post (&s, s.life_socket, &e, NULL);
    assert_int_equal (stage_end (&s), 0);
    stage_fini (&s);
}

/* ---- ends ---- */

static void
test_ends (void **state)
{
    (void) state;
    struct stage s;
    stage_init (&s);
    assert_int_equal (kill (s.pid, SIGINT), 0); /* Ctrl-C is the broker's to handle */
    ping (&s);
    assert_int_equal (kill (s.pid, SIGTERM), 0);
    assert_int_equal (stage_end (&s), 0);
    stage_fini (&s);

    stage_init (&s);
    ask (&s, "exit", 0);
    assert_int_equal (stage_end (&s), 74);
    stage_fini (&s);

    stage_init (&s);
    (void) close (s.life[1]); /* the broker is gone */
    s.life[1] = -1;
    assert_int_equal (stage_end (&s), weir_status_exit (WEIR_UNAVAILABLE));
    stage_fini (&s);
}

static int
run_with (const char *data, const char *life, const char *ready, const char *identity)
{
    const char *argv[] = { "weir-peers", "--name",    "peers", "--data",     data,  "--run",
                           data,         "--life-fd", life,    "--ready-fd", ready, "--identity-fd",
                           identity,     NULL };
    union {
        const char **in;
        char **out;
    } cast = { .in = argv };
    return weir_actor_run (&def, 13, cast.out);
}

static void
test_bad_starts (void **state)
{
    (void) state;
    int life[2];
    int ready[2];
    int identity[2];
    char fds[3][16];
    assert_int_equal (pipe (life), 0);
    assert_int_equal (pipe (ready), 0);
    assert_int_equal (pipe (identity), 0);
    (void) snprintf (fds[0], 16, "%d", life[0]);
    (void) snprintf (fds[1], 16, "%d", ready[1]);
    (void) snprintf (fds[2], 16, "%d", identity[0]);
    assert_int_equal (run_with ("/tmp", "x", fds[1], fds[2]), 2);
    assert_int_equal (run_with ("/tmp", "1", fds[1], fds[2]), 2);
    char *unknown[] = { (char *) "weir-peers", (char *) "--what", NULL };
    assert_int_equal (weir_actor_run (&def, 2, unknown), 2);
    pid_t pid = fork ();
    assert_true (pid >= 0);
    if (pid == 0) { /* prctl and signals would change this process */
        /* The first byte may not be 0. */
        assert_int_equal (write (identity[1], "\0bcdefghijklmnop", 16), 16);
        (void) close (identity[1]);
        exit (run_with ("/tmp", fds[0], fds[1], fds[2]));
    }
    int status = 0;
    assert_int_equal (waitpid (pid, &status, 0), pid);
    assert_int_equal (WEXITSTATUS (status), 2);
    pid = fork ();
    assert_true (pid >= 0);
    if (pid == 0) {
        (void) setenv ("WEIR_ROLE", "king", 1);
        exit (run_with ("/tmp", fds[0], fds[1], fds[2]));
    }
    assert_int_equal (waitpid (pid, &status, 0), pid);
    assert_int_equal (WEXITSTATUS (status), 78);
    (void) close (life[1]); /* gone before it begins */
    pid = fork ();
    assert_true (pid >= 0);
    if (pid == 0) {
        exit (run_with ("/tmp", fds[0], fds[1], fds[2]));
    }
    assert_int_equal (waitpid (pid, &status, 0), pid);
    assert_int_equal (WEXITSTATUS (status), weir_status_exit (WEIR_UNAVAILABLE));
    int all[] = { life[0], ready[0], ready[1], identity[0], identity[1] };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        (void) close (all[i]);
    }
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_asked_again),
        cmocka_unit_test (test_refused_by_the_broker),
        cmocka_unit_test (test_given_up),
        cmocka_unit_test (test_streams),
        cmocka_unit_test (test_one_way),
        cmocka_unit_test (test_hostile),
        cmocka_unit_test (test_hostile_lifeline),
        cmocka_unit_test (test_bulk_does_not_delay_a_ping),
        cmocka_unit_test (test_watches),
        cmocka_unit_test (test_ends),
        cmocka_unit_test (test_bad_starts),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
