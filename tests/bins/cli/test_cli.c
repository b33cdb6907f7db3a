/* Goal: the parser, the numbers people type, what is printed, and the table of verbs: each has
 * help and a sentence, and takes no argument or option that the table does not name. No node
 * runs. */

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <zmq.h>

#include "bins/cli/cli.h"

static void
test_durations (void **state)
{
    (void) state;
    static const struct {
        const char *text;
        enum weir_status status;
        uint64_t ms;
    } rows[] = {
        { "500ms", WEIR_OK, 500 },  { "10s", WEIR_OK, 10000 },
        { "10", WEIR_OK, 10000 },   { "5m", WEIR_OK, 300000 },
        { "2h", WEIR_OK, 7200000 }, { "1d", WEIR_OK, 86400000 },
        { "0", WEIR_OK, 0 },        { "", WEIR_USAGE, 0 },
        { "s", WEIR_USAGE, 0 },     { "-1s", WEIR_USAGE, 0 },
        { "+1s", WEIR_USAGE, 0 },   { " 1s", WEIR_USAGE, 0 },
        { "1 s", WEIR_USAGE, 0 },   { "1.5s", WEIR_USAGE, 0 },
        { "1y", WEIR_USAGE, 0 },    { "60d", WEIR_USAGE, 0 },
        { "1sm", WEIR_USAGE, 0 },   { "99999999999999999999s", WEIR_USAGE, 0 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct weir_error e = { 0 };
        uint64_t ms = 0;
        if (cli_duration_ms (rows[i].text, &ms, &e) != rows[i].status || ms != rows[i].ms) {
            fail_msg ("'%s' gives %llu", rows[i].text, (unsigned long long) ms);
        }
        assert_int_equal (e.status, rows[i].status);
    }
}

static void
test_numbers (void **state)
{
    (void) state;
    static const struct {
        const char *text;
        uint64_t max;
        enum weir_status status;
        uint64_t value;
    } rows[] = {
        { "0", 5, WEIR_OK, 0 },
        { "5", 5, WEIR_OK, 5 },
        { "6", 5, WEIR_USAGE, 0 },
        { "18446744073709551615", UINT64_MAX, WEIR_OK, UINT64_MAX },
        { "18446744073709551616", UINT64_MAX, WEIR_USAGE, 0 },
        { "-1", UINT64_MAX, WEIR_USAGE, 0 },
        { "", 5, WEIR_USAGE, 0 },
        { "1x", 5, WEIR_USAGE, 0 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t value = 0;
        if (cli_number (rows[i].text, rows[i].max, &value, NULL) != rows[i].status
            || value != rows[i].value) {
            fail_msg ("'%s' gives %llu", rows[i].text, (unsigned long long) value);
        }
    }
}

static void
test_words (void **state)
{
    (void) state;
    static const struct {
        uint64_t n;
        const char *bytes;
        const char *ms;
    } rows[] = {
        { 0, "0 B", "0 ms" },           { 999, "999 B", "999 ms" },
        { 1500, "1.5 kB", "1.5 s" },    { 200000, "200.0 kB", "3 min" },
        { 20000000, "20.0 MB", "5 h" }, { 2000000000000, "2.0 TB", "23148 d" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char out[32];
        assert_string_equal (cli_bytes_text (rows[i].n, out), rows[i].bytes);
        assert_string_equal (cli_ms_text (rows[i].n, out), rows[i].ms);
    }
}

/* ---- what a command line does, from outside ---- */

struct result {
    int code;
    char out[65536];
    char err[8192];
};

static void
slurp (int fd, char *text, size_t size)
{
    lseek (fd, 0, SEEK_SET);
    ssize_t n = read (fd, text, size - 1);
    text[n > 0 ? n : 0] = '\0';
    close (fd);
}

static int
temporary (void)
{
    char name[] = "/tmp/weir-cli-test-XXXXXX";
    int fd = mkstemp (name);
    assert_true (fd >= 0);
    unlink (name);
    return fd;
}

static void
weir (struct result *r, char **argv)
{
    int argc = 0;
    while (argv[argc] != NULL) {
        argc++;
    }
    fflush (NULL);
    int out = dup (STDOUT_FILENO);
    int err = dup (STDERR_FILENO);
    int out_file = temporary ();
    int err_file = temporary ();
    dup2 (out_file, STDOUT_FILENO);
    dup2 (err_file, STDERR_FILENO);
    r->code = cli_main (argc, argv);
    fflush (NULL);
    dup2 (out, STDOUT_FILENO);
    dup2 (err, STDERR_FILENO);
    close (out);
    close (err);
    slurp (out_file, r->out, sizeof r->out);
    slurp (err_file, r->err, sizeof r->err);
}

#define WEIR(...) weir (r, (char *[]){ "weir", __VA_ARGS__, NULL })

static void
test_usage (void **state)
{
    (void) state;
    struct result *r = calloc (1, sizeof *r);
    static const struct {
        char *args[6];
        int code;
        const char *text; /* on stderr, or on stdout when the code is 0 */
    } rows[] = {
        { { "version" }, 0, "weir" },
        { { "version", "--json" }, 0, "{\"version\":" },
        { { "--json", "version" }, 0, "{\"version\":" },
        { { "help", "db", "create" }, 0, "usage: weir db create NAME" },
        { { "db", "--help" }, 0, "db create" },
        { { "db", "create", "--help" }, 0, "usage: weir db create NAME" },
        { { "-h" }, 0, "usage: weir" },
        { { "help", "nosuch" }, 2, "no such command" },
        { { "nosuch" }, 2, "no such command: weir nosuch" },
        { { "db", "nosuch" }, 2, "no such command: weir db nosuch" },
        { { "db" }, 2, "needs a verb" },
        { { "db", "create" }, 2, "usage: weir db create NAME" },
        { { "db", "create", "a", "b" }, 2, "usage:" },
        { { "version", "--wat" }, 2, "unknown option --wat" },
        { { "version", "-z" }, 2, "unknown option -z" },
        { { "version", "-qv" }, 2, "unknown option" },
        { { "db", "ls", "--message", "x" }, 2, "unknown option" },
        { { "version", "--timeout" }, 2, "needs a value" },
        { { "version", "--timeout=" }, 2, "not a duration" },
        { { "version", "--json=1" }, 2, "takes no value" },
        { { "version", "--color", "pink" }, 2, "--color is" },
        { { "--data", "/nonexistent", "db", "ls" }, 3, "no_node" },
        { { "--socket", "/nonexistent", "db", "ls" }, 3, "hint: is it running? weir run" },
        { { "--data", "/nonexistent", "db", "ls", "--json" },
          3,
          "{\"error\":{\"code\":\"no_node\"" },
        { { "--data", "/nonexistent", "health" }, 1, "" },
        { { "--data", "/nonexistent", "run" }, 78, "weir init" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *argv[8] = { "weir" };
        memcpy (argv + 1, rows[i].args, sizeof rows[i].args);
        weir (r, argv);
        const char *where = rows[i].code == 0 ? r->out : r->err;
        if (r->code != rows[i].code || strstr (where, rows[i].text) == NULL) {
            fail_msg ("row %zu: exit %d, '%s' '%s'", i, r->code, r->out, r->err);
        }
        if (rows[i].code == 2 || rows[i].code == 3) {
            assert_string_equal (r->out, ""); /* results only */
        }
    }
    free (r);
}

/* Behind "--" all are arguments, and a lone dash always is one. */
static void
test_dashes (void **state)
{
    (void) state;
    struct result *r = calloc (1, sizeof *r);
    WEIR ("--data", "/nonexistent", "doc", "set", "db", "/a", "--", "-1");
    assert_int_equal (r->code, 3);
    WEIR ("--data", "/nonexistent", "db", "join", "-");
    assert_int_equal (r->code, 3);
    WEIR ("--data", "/nonexistent", "doc", "set", "db", "/a", "-1"); /* a number, no option */
    assert_int_equal (r->code, 3);
    WEIR ("--data", "/nonexistent", "doc", "set", "db", "/a", "-x");
    assert_int_equal (r->code, 2);
    free (r);
}

static void
test_table (void **state)
{
    (void) state;
    struct result *r = calloc (1, sizeof *r);
    size_t n = 0;
    for (const struct cli_verb *v = cli_verbs; v->noun != NULL; v++, n++) {
        assert_true (v->args_min <= v->args_max && v->args_max <= CLI_ARGS_MAX);
        assert_non_null (v->run);
        assert_true (strlen (v->text) > 4);
        for (const struct cli_verb *w = cli_verbs; w != v; w++) {
            assert_false (strcmp (v->noun, w->noun) == 0 && strcmp (v->verb, w->verb) == 0);
        }
        char *noun = (char *) (uintptr_t) v->noun;
        char *verb = (char *) (uintptr_t) v->verb;
        WEIR ("help", noun, verb[0] != '\0' ? verb : NULL);
        assert_int_equal (r->code, 0);
        assert_non_null (strstr (r->out, v->text));
    }
    WEIR ("help", "--json");
    json_t *help = json_loads (r->out, 0, NULL);
    assert_int_equal (json_array_size (json_object_get (help, "verbs")), n);
    json_decref (help);
    free (r);
}

/* Text from elsewhere cannot drive the terminal; UTF-8 is left alone. */
static void
test_escapes (void **state)
{
    (void) state;
    char text[128] = "";
    int fd = temporary ();
    FILE *file = fdopen (dup (fd), "w");
    cli_put (file, "a\033[31mb\nc\td\x7f \xc2\x9b\xc3\xa9 \xe2\x82\xac"
                   "\xe2\x80\xae\xe2\x81\xa6\xff");
    fclose (file);
    slurp (fd, text, sizeof text);
    assert_null (strchr (text, '\033'));
    assert_null (strchr (text, '\n'));
    assert_null (strchr (text, '\x9b'));
    assert_non_null (strstr (text, "\\u009b"));
    assert_non_null (strstr (text, "\\u202e\\u2066\xff")); /* what turns a line's direction */
    assert_non_null (strstr (text, "a\\x1b[31mb\\x0ac\\x09d\\x7f"));
    assert_non_null (strstr (text, "\xc3\xa9 \xe2\x82\xac"));
}

/* A node whose document is behind its log twice, in a thread of its own. */
static void *
serve_deferred (void *router)
{
    static const enum weir_status answers[] = { WEIR_DEFERRED, WEIR_DEFERRED, WEIR_OK };
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        uint8_t from[64];
        uint8_t head[WEIR_ENVELOPE_BYTES];
        uint8_t rest[4096];
        int from_len = zmq_recv (router, from, sizeof from, 0);
        int head_len = zmq_recv (router, head, sizeof head, 0);
        int more = 1;
        size_t size = sizeof more;
        struct weir_envelope e;
        if (from_len <= 0 || head_len != (int) sizeof head
            || weir_envelope_get (&e, weir_bytes (head, sizeof head)) != WEIR_OK) {
            return NULL;
        }
        zmq_getsockopt (router, ZMQ_RCVMORE, &more, &size);
        while (more) {
            (void) zmq_recv (router, rest, sizeof rest, 0);
            zmq_getsockopt (router, ZMQ_RCVMORE, &more, &size);
        }
        e.flags = WEIR_ENV_ANSWER;
        e.status = (uint16_t) answers[i];
        weir_envelope_put (&e, head);
        zmq_send (router, from, (size_t) from_len, ZMQ_SNDMORE);
        zmq_send (router, head, sizeof head, ZMQ_SNDMORE);
        zmq_send (router, "", 0, ZMQ_SNDMORE);
        zmq_send (router, "", 0, 0);
    }
    return router;
}

static void
test_deferred_is_asked_again (void **state)
{
    (void) state;
    char path[64];
    char address[80];
    pthread_t thread;
    void *served = NULL;
    struct cli c = { .timeout_ms = 10000, .quiet = true };
    struct cli_reply reply;
    struct weir_error e = { 0 };
    Weir__DbName ask = WEIR__DB_NAME__INIT;
    void *context = zmq_ctx_new ();
    void *router = zmq_socket (context, ZMQ_ROUTER);
    int zero = 0;
    snprintf (path, sizeof path, "/tmp/weir-cli-test-%d", (int) getpid ());
    snprintf (address, sizeof address, "ipc://%s", path);
    zmq_setsockopt (router, ZMQ_LINGER, &zero, sizeof zero);
    assert_int_equal (zmq_bind (router, address), 0);
    assert_int_equal (weir_client_open (&c.client, address, 2000, &e), WEIR_OK);
    assert_int_equal (pthread_create (&thread, NULL, serve_deferred, router), 0);
    assert_int_equal (cli_call (&c, WEIR_KIND_DOC_HEADS, &ask.base, weir_bytes (NULL, 0), &reply),
                      0);
    cli_reply_fini (&reply);
    assert_int_equal (pthread_join (thread, &served), 0);
    assert_ptr_equal (served, router); /* all three were asked for */
    weir_client_close (&c.client);
    zmq_close (router);
    zmq_ctx_term (context);
    unlink (path);
}

int
main (void)
{
    unsetenv ("WEIR_DATA");
    unsetenv ("WEIR_SOCKET");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_durations), cmocka_unit_test (test_numbers),
        cmocka_unit_test (test_words),     cmocka_unit_test (test_usage),
        cmocka_unit_test (test_dashes),    cmocka_unit_test (test_table),
        cmocka_unit_test (test_escapes),   cmocka_unit_test (test_deferred_is_asked_again),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
