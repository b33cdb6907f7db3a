/* Goal: libweir's inside against a ROUTER that a test holds: a node that is not there, answers in
 * any order, late, in parts, as errors, and such as no node would give. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <zmq.h>

#include "actors/client/client.h"

#define NONE weir_bytes (NULL, 0)

struct lab {
    char path[64];
    char address[80];
    void *context;
    void *router;
    struct weir_client *client;
    uint8_t from[64]; /* the client's routing id, and its last request */
    size_t from_len;
    struct weir_envelope envelope;
};

static void
lab_init (struct lab *l)
{
    struct weir_error e = { 0 };
    memset (l, 0, sizeof *l);
    snprintf (l->path, sizeof l->path, "/tmp/weir-client-test-%d", (int) getpid ());
    snprintf (l->address, sizeof l->address, "ipc://%s", l->path);
    l->context = zmq_ctx_new ();
    l->router = zmq_socket (l->context, ZMQ_ROUTER);
    int zero = 0;
    zmq_setsockopt (l->router, ZMQ_LINGER, &zero, sizeof zero);
    assert_int_equal (zmq_bind (l->router, l->address), 0);
    assert_int_equal (weir_client_open (&l->client, l->address, 2000, &e), WEIR_OK);
}

static void
lab_fini (struct lab *l)
{
    weir_client_close (&l->client);
    weir_client_close (&l->client); /* harmless */
    zmq_close (l->router);
    zmq_ctx_term (l->context);
    unlink (l->path);
}

/* Takes one request at the node's end. */
static void
take (struct lab *l)
{
    uint8_t part[4096];
    int n = zmq_recv (l->router, l->from, sizeof l->from, 0);
    assert_true (n > 0);
    l->from_len = (size_t) n;
    n = zmq_recv (l->router, part, sizeof part, 0);
    assert_int_equal (weir_envelope_get (&l->envelope, weir_bytes (part, (size_t) n)), WEIR_OK);
    (void) zmq_recv (l->router, part, sizeof part, 0);
    (void) zmq_recv (l->router, part, sizeof part, 0);
}

static void
give_raw (struct lab *l, struct weir_bytes head, struct weir_bytes meta, struct weir_bytes body,
          int parts)
{
    zmq_send (l->router, l->from, l->from_len, ZMQ_SNDMORE);
    zmq_send (l->router, head.data, head.len, parts > 1 ? ZMQ_SNDMORE : 0);
    if (parts > 1) {
        zmq_send (l->router, meta.data, meta.len, parts > 2 ? ZMQ_SNDMORE : 0);
    }
    for (int i = 2; i < parts; i++) {
        zmq_send (l->router, body.data, body.len, i + 1 < parts ? ZMQ_SNDMORE : 0);
    }
}

static void
give (struct lab *l, uint64_t request, uint8_t flags, enum weir_status status,
      struct weir_bytes meta, const char *body)
{
    uint8_t head[WEIR_ENVELOPE_BYTES];
    struct weir_envelope e = l->envelope;
    e.request = request;
    e.flags = flags;
    e.status = (uint16_t) status;
    weir_envelope_put (&e, head);
    give_raw (l, weir_bytes (head, sizeof head), meta, weir_bytes_str (body), 3);
}

static void
test_no_node (void **state)
{
    (void) state;
    struct weir_client *c = NULL;
    struct weir_error e = { 0 };
    char path[256];
    assert_int_equal (weir_client_open (&c, "ipc:///nonexistent/control", 100, &e), WEIR_NO_NODE);
    assert_non_null (strstr (e.what, "/nonexistent/control"));
    memset (path, 'x', sizeof path);
    memcpy (path, "ipc:///", 7);
    path[sizeof path - 1] = '\0';
    assert_int_equal (weir_client_open (&c, path, 100, &e), WEIR_BAD_CONFIG);
    /* A socket file that a dead node left. */
    snprintf (path, sizeof path, "/tmp/weir-client-test-dead-%d", (int) getpid ());
    FILE *f = fopen (path, "w");
    fclose (f);
    assert_int_equal (weir_client_open (&c, path, 100, &e), WEIR_NO_NODE);
    unlink (path);
    assert_null (c);
}

static uint64_t
ask (struct lab *l)
{
    uint64_t request = 0;
    assert_int_equal (
        weir_client_send (l->client, WEIR_KIND_DB_LIST, NULL, NONE, 1000, &request, NULL), WEIR_OK);
    take (l);
    assert_int_equal (l->envelope.kind, WEIR_KIND_DB_LIST);
    assert_int_equal (l->envelope.request, request);
    assert_int_equal (l->envelope.ms_left, 1000);
    return request;
}

static void
test_answers (void **state)
{
    (void) state;
    struct lab l;
    struct weir_client_answer answer;
    struct weir_error e = { 0 };
    lab_init (&l);
    /* Pipelined, answered the other way round. */
    uint64_t first = ask (&l);
    uint64_t second = ask (&l);
    assert_true (second != first);
    give (&l, second, WEIR_ENV_ANSWER, WEIR_OK, NONE, "two");
    give (&l, first, WEIR_ENV_ANSWER | WEIR_ENV_MORE, WEIR_OK, NONE, "one");
    assert_int_equal (weir_client_receive (l.client, 2000, &answer, &e), WEIR_OK);
    assert_int_equal (answer.request, second);
    assert_memory_equal (answer.body.data, "two", 3);
    assert_false (answer.more);
    weir_client_answer_fini (&answer);
    assert_int_equal (weir_client_receive (l.client, 2000, &answer, &e), WEIR_OK);
    assert_true (answer.more);
    weir_client_answer_fini (&answer);
    weir_client_answer_fini (&answer); /* harmless */
    assert_int_equal (weir_client_receive (l.client, 1, &answer, &e), WEIR_TIMED_OUT);
    /* An error comes with its words. */
    struct weir_buf problem = { 0 };
    struct weir_error why = { 0 };
    weir_error_set (&why, WEIR_NOT_FOUND, "look again", "no such thing");
    weir_problem_put (&problem, WEIR_NOT_FOUND, &why);
    first = ask (&l);
    give (&l, first, WEIR_ENV_ANSWER, WEIR_NOT_FOUND, weir_buf_bytes (&problem), "");
    assert_int_equal (weir_client_receive (l.client, 2000, &answer, &e), WEIR_OK);
    assert_int_equal (answer.status, WEIR_NOT_FOUND);
    assert_string_equal (answer.problem.what, "no such thing");
    weir_client_answer_fini (&answer);
    weir_buf_fini (&problem);
    lab_fini (&l);
}

static void
test_hostile_answers (void **state)
{
    (void) state;
    struct lab l;
    struct weir_client_answer answer;
    struct weir_error e = { 0 };
    uint8_t head[WEIR_ENVELOPE_BYTES];
    lab_init (&l);
    uint64_t request = ask (&l);
    static const uint8_t rubbish[] = { 0xff, 0xff, 0xff };
    give_raw (&l, weir_bytes (rubbish, 3), NONE, NONE, 3);
    give_raw (&l, weir_bytes (rubbish, 3), NONE, NONE, 1);
    give (&l, request, 0, WEIR_OK, NONE, ""); /* no answer at all */
    give (&l, request, WEIR_ENV_ANSWER, WEIR_OK, weir_bytes (rubbish, 3), "");
    l.envelope.kind = 65000;
    give (&l, request, WEIR_ENV_ANSWER, WEIR_OK, NONE, "");
    for (int i = 0; i < 5; i++) {
        assert_int_equal (weir_client_receive (l.client, 2000, &answer, &e), WEIR_BAD_MESSAGE);
    }
    /* More parts than there are: the rest is passed over, and the next one is whole. */
    l.envelope.kind = WEIR_KIND_DB_LIST;
    l.envelope.flags = WEIR_ENV_ANSWER;
    weir_envelope_put (&l.envelope, head);
    give_raw (&l, weir_bytes (head, sizeof head), NONE, weir_bytes_str ("x"), 6);
    give (&l, request, WEIR_ENV_ANSWER, WEIR_OK, NONE, "good");
    assert_int_equal (weir_client_receive (l.client, 2000, &answer, &e), WEIR_OK);
    weir_client_answer_fini (&answer);
    assert_int_equal (weir_client_receive (l.client, 2000, &answer, &e), WEIR_OK);
    assert_memory_equal (answer.body.data, "good", 4);
    weir_client_answer_fini (&answer);
    lab_fini (&l);
}

/* A call passes over what is late and in parts, and ends in time. */
static void
test_call (void **state)
{
    (void) state;
    struct lab l;
    struct weir_client_answer answer;
    struct weir_error e = { 0 };
    lab_init (&l);
    uint64_t late = ask (&l);
    give (&l, late, WEIR_ENV_ANSWER, WEIR_OK, NONE, "late");
    give (&l, late + 1, WEIR_ENV_ANSWER | WEIR_ENV_MORE, WEIR_OK, NONE, "a");
    give (&l, late + 1, WEIR_ENV_ANSWER, WEIR_OK, NONE, "b");
    assert_int_equal (weir_client_call (l.client, WEIR_KIND_DB_LIST, NULL, NONE, 2000, &answer, &e),
                      WEIR_OK);
    assert_memory_equal (answer.body.data, "b", 1);
    weir_client_answer_fini (&answer);
    give (&l, late + 2, WEIR_ENV_ANSWER, WEIR_BUSY, NONE, "");
    assert_int_equal (weir_client_call (l.client, WEIR_KIND_DB_LIST, NULL, NONE, 2000, &answer, &e),
                      WEIR_BUSY);
    assert_int_equal (weir_client_call (l.client, WEIR_KIND_DB_LIST, NULL, NONE, 5, &answer, &e),
                      WEIR_TIMED_OUT);
    assert_int_equal (weir_client_id (l.client).len, 16);
    uint64_t number = weir_client_number (l.client);
    assert_int_equal (weir_client_number (l.client), number + 1);
    lab_fini (&l);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_no_node),
        cmocka_unit_test (test_answers),
        cmocka_unit_test (test_hostile_answers),
        cmocka_unit_test (test_call),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
