/* Goal: a recorded history of each format becomes the transactions, lanes and steps that it
 * says, cut where a parent points into the middle; whatever is wrong with a file (not whole, not
 * JSON, fields missing, positions, parents, numbers out of range) is told with a sentence, and
 * bytes changed at random never do more harm than that. */

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

#include "bins/bench/trace.h"
#include "store/base/rand.h"

static void
parse (struct bench_trace_file *file, const char *text)
{
    struct weir_error e = { 0 };
    if (bench_trace_parse (file, weir_bytes_str (text), &e) != WEIR_OK) {
        fail_msg ("%s", e.what);
    }
}

/* "lane:seq+events<parents" of each transaction. */
static void
check_txns (const struct bench_trace *t, const char *want)
{
    struct weir_buf got = { 0 };
    for (size_t i = 0; i < t->n_txns; i++) {
        const struct bench_txn *x = &t->txns[i];
        weir_buf_printf (&got, "%s%s.%u:%llu+%u<", i > 0 ? " " : "", t->agents[x->agent],
                         t->lanes[x->lane].number, (unsigned long long) x->seq, x->events);
        for (size_t k = 0; k < x->n_parents; k++) {
            weir_buf_printf (&got, "%s%u", k > 0 ? "," : "", t->parents[x->parents + k]);
        }
    }
    assert_string_equal (weir_buf_str (&got), want);
    weir_buf_fini (&got);
}

/* "at-deleted+text" of each patch. */
static void
check_patches (const struct bench_trace *t, const char *want)
{
    struct weir_buf got = { 0 };
    for (size_t i = 0; i < t->n_txns; i++) {
        for (size_t k = 0; k < t->txns[i].n_patches; k++) {
            const struct bench_patch *p = &t->patches[t->txns[i].patches + k];
            weir_buf_printf (&got, "%s%u-%u+%.*s",
                             k > 0   ? " "
                             : i > 0 ? "|"
                                     : "",
                             p->at, p->deleted, (int) p->bytes,
                             (const char *) t->text.data + p->text);
        }
    }
    assert_string_equal (weir_buf_str (&got), want);
    weir_buf_fini (&got);
}

static void
test_sequential (void **state)
{
    (void) state;
    struct bench_trace_file file = { 0 };
    parse (&file, "{\"startContent\":\"\",\"endContent\":\"h\xc3\xa9\",\"txns\":["
                  "{\"patches\":[[0,0,\"hallo\"],[1,1,\"\xc3\xa9\"]]},{\"patches\":[]},"
                  "{\"patches\":[[2,3,\"\"]]}]}");
    assert_int_equal (file.format, BENCH_SEQUENTIAL);
    assert_int_equal (file.items[0].events, 10);
    check_txns (&file.items[0], "author.1:0+7< author.1:7+3<0");
    check_patches (&file.items[0], "0-0+hallo 1-1+\xc3\xa9|2-3+");
    bench_trace_file_fini (&file);
}

static void
test_concurrent (void **state)
{
    (void) state;
    struct bench_trace_file file = { 0 };
    /* Transaction 2 has no events: who names it, means its parents. Agent 10 comes after 9. */
    parse (&file, "{\"kind\":\"concurrent\",\"endContent\":\"\",\"txns\":["
                  "{\"parents\":[],\"agent\":10,\"patches\":[[0,0,\"ab\"]]},"
                  "{\"parents\":[0],\"agent\":9,\"patches\":[[0,1,\"\"]]},"
                  "{\"parents\":[0,1],\"agent\":10,\"patches\":[]},"
                  "{\"parents\":[2,1],\"agent\":10,\"patches\":[[0,1,\"\"]]}]}");
    assert_int_equal (file.format, BENCH_CONCURRENT);
    check_txns (&file.items[0], "10.1:0+2< 9.1:0+1<0 10.1:2+1<0,1");
    assert_string_equal (file.items[0].agents[0], "9");
    bench_trace_file_fini (&file);
}

static void
test_graph_is_cut (void **state)
{
    (void) state;
    struct bench_trace_file file = { 0 };
    /* b hangs in the middle of a's insertion, c within a's deletion. */
    parse (&file,
           "[{\"endContent\":\"\",\"txns\":["
           "{\"span\":[0,6],\"parents\":[],\"agent\":\"a\",\"seqStart\":0,"
           "\"ops\":[[0,0,\"w\xc3\xa9ir\"],[1,2,\"\"]]},"
           "{\"span\":[6,7],\"parents\":[1],\"agent\":\"b\",\"seqStart\":3,\"ops\":[[2,0,\"!\"]]},"
           "{\"span\":[9,10],\"parents\":[4,6],\"agent\":\"c\",\"seqStart\":0,"
           "\"ops\":[[0,1,\"\"]]}]}]");
    assert_true (file.is_array);
    check_txns (&file.items[0], "a.1:0+2< a.1:2+3<0 a.1:5+1<1 b.1:3+1<0 c.1:0+1<1,3");
    check_patches (&file.items[0], "0-0+w\xc3\xa9|2-0+ir 1-1+|1-1+|2-0+!|0-1+");
    bench_trace_file_fini (&file);
}

static void
test_lanes (void **state)
{
    (void) state;
    struct bench_trace_file file = { 0 };
    /* a's second is concurrent with its first, its third follows both; its fourth (by seq) was
     * stored before the third. Lanes go by seq. */
    parse (&file,
           "{\"endContent\":\"\",\"txns\":["
           "{\"span\":[0,1],\"parents\":[],\"agent\":\"a\",\"seqStart\":0,\"ops\":[[0,0,\"x\"]]},"
           "{\"span\":[1,2],\"parents\":[],\"agent\":\"a\",\"seqStart\":1,\"ops\":[[0,0,\"y\"]]},"
           "{\"span\":[2,3],\"parents\":[0],\"agent\":\"a\",\"seqStart\":9,\"ops\":[[0,0,\"z\"]]},"
           "{\"span\":[3,4],\"parents\":[1,0],\"agent\":\"a\",\"seqStart\":2,"
           "\"ops\":[[0,0,\"z\"]]}]}");
    check_txns (&file.items[0], "a.1:0+1< a.2:1+1< a.3:9+1<0 a.2:2+1<1,0");
    bench_trace_file_fini (&file);
}

/* "lane[copy](imports)parents: txns /drops" of each step. */
static void
check_plan (const struct bench_plan *p, const char *want)
{
    struct weir_buf got = { 0 };
    for (size_t i = 0; i < p->n_steps; i++) {
        const struct bench_step *s = &p->steps[i];
        weir_buf_printf (&got, "%s%u", i > 0 ? " " : "", s->lane);
        if (s->copy_of != BENCH_TRACE_NONE) {
            weir_buf_printf (&got, "=%u", s->copy_of);
        }
        for (size_t k = 0; k < s->n_imports; k++) {
            weir_buf_printf (&got, "+%u", p->numbers[s->imports + k]);
        }
        for (size_t k = 0; k < s->n_txns; k++) {
            weir_buf_printf (&got, "%c%u", k > 0 ? ',' : ':', p->txns[s->txns + k]);
        }
        weir_buf_printf (&got, "%s", s->is_sent ? "!" : "");
        for (size_t k = 0; k < s->n_drops; k++) {
            weir_buf_printf (&got, "/%u", p->numbers[s->drops + k]);
        }
    }
    assert_string_equal (weir_buf_str (&got), want);
    weir_buf_fini (&got);
}

static void
test_plan (void **state)
{
    (void) state;
    struct bench_trace_file file = { 0 };
    struct bench_plan plan;
    /* 0 and 1 are one stretch of lane 0; b builds on it, a goes on beside it, a merges. */
    parse (&file, "{\"kind\":\"concurrent\",\"endContent\":\"\",\"txns\":["
                  "{\"parents\":[],\"agent\":0,\"patches\":[[0,0,\"a\"]]},"
                  "{\"parents\":[0],\"agent\":0,\"patches\":[[1,0,\"b\"]]},"
                  "{\"parents\":[1],\"agent\":1,\"patches\":[[0,0,\"c\"]]},"
                  "{\"parents\":[1],\"agent\":0,\"patches\":[[0,1,\"\"]]},"
                  "{\"parents\":[2],\"agent\":1,\"patches\":[[0,0,\"d\"]]},"
                  "{\"parents\":[3,4],\"agent\":0,\"patches\":[[0,1,\"\"]]}]}");
    bench_plan_make (&plan, &file.items[0]);
    check_plan (&plan, "0:0,1 1=0:2,4!/1 0:3 0+1:5/0");
    bench_plan_fini (&plan);
    bench_trace_file_fini (&file);
}

#define TXN(fields) "{\"endContent\":\"\",\"txns\":[{" fields "}]}"
#define GRAPH(fields) TXN ("\"agent\":\"a\",\"seqStart\":0," fields)

static void
test_bad_files (void **state)
{
    (void) state;
    static const struct {
        const char *text;
        enum weir_status status;
        const char *why;
    } rows[] = {
        { "", WEIR_INVALID_JSON, "JSON" },
        { "{\"txns\":", WEIR_INVALID_JSON, "JSON" },
        { "7", WEIR_BAD_MESSAGE, "endContent" },
        { "[]", WEIR_BAD_MESSAGE, "no history" },
        { "[3]", WEIR_BAD_MESSAGE, "history 0" },
        { "{\"endContent\":\"\"}", WEIR_BAD_MESSAGE, "txns" },
        { "{\"txns\":[],\"endContent\":1}", WEIR_BAD_MESSAGE, "endContent" },
        { "{\"txns\":[],\"endContent\":\"\",\"startContent\":\"x\"}", WEIR_BAD_MESSAGE, "start" },
        { TXN (""), WEIR_BAD_MESSAGE, "patches" },
        { "{\"endContent\":\"\",\"txns\":[3]}", WEIR_BAD_MESSAGE, "patches" },
        { TXN ("\"patches\":[3]"), WEIR_BAD_MESSAGE, "a patch is" },
        { TXN ("\"patches\":[[0,0]]"), WEIR_BAD_MESSAGE, "a patch is" },
        { TXN ("\"patches\":[[-1,0,\"\"]]"), WEIR_BAD_MESSAGE, "a patch is" },
        { TXN ("\"patches\":[[0,1.5,\"\"]]"), WEIR_BAD_MESSAGE, "a patch is" },
        { TXN ("\"patches\":[[0,0,null]]"), WEIR_BAD_MESSAGE, "a patch is" },
        { TXN ("\"patches\":[[4294967296,0,\"\"]]"), WEIR_BAD_MESSAGE, "a patch is" },
        { TXN ("\"patches\":[[1,0,\"x\"]]"), WEIR_BAD_MESSAGE, "beyond the end" },
        { TXN ("\"patches\":[[0,1,\"x\"]]"), WEIR_BAD_MESSAGE, "beyond the end" },
        { TXN ("\"patches\":[[0,0,\"xy\"],[0,1,\"\"],[1,1,\"\"]]"), WEIR_BAD_MESSAGE, "beyond" },
        { TXN ("\"parents\":[],\"patches\":[]"), WEIR_BAD_MESSAGE, "agent" },
        { TXN ("\"agent\":0,\"parents\":7,\"patches\":[]"), WEIR_BAD_MESSAGE, "parents" },
        { TXN ("\"agent\":0,\"parents\":[0],\"patches\":[]"), WEIR_BAD_MESSAGE, "earlier" },
        { TXN ("\"agent\":0,\"parents\":[-1],\"patches\":[]"), WEIR_BAD_MESSAGE, "earlier" },
        { TXN ("\"agent\":0,\"parents\":[\"x\"],\"patches\":[]"), WEIR_BAD_MESSAGE, "earlier" },
        { TXN ("\"agent\":0,\"parents\":[]"), WEIR_BAD_MESSAGE, "patches" },
        { GRAPH ("\"span\":3,\"parents\":[],\"ops\":[]"), WEIR_BAD_MESSAGE, "span" },
        { GRAPH ("\"span\":[2,1],\"parents\":[],\"ops\":[]"), WEIR_BAD_MESSAGE, "span" },
        { GRAPH ("\"span\":[0,-1],\"parents\":[],\"ops\":[]"), WEIR_BAD_MESSAGE, "span" },
        { GRAPH ("\"span\":[0,1],\"parents\":[],\"ops\":[]"), WEIR_BAD_MESSAGE, "number of" },
        { GRAPH ("\"span\":[0,1],\"parents\":[]"), WEIR_BAD_MESSAGE, "ops" },
        { GRAPH ("\"span\":[0,1],\"parents\":[0],\"ops\":[[0,0,\"x\"]]"), WEIR_BAD_MESSAGE,
          "earlier event" },
        { GRAPH ("\"span\":[0,1],\"parents\":[9],\"ops\":[[0,0,\"x\"]]"), WEIR_BAD_MESSAGE,
          "earlier event" },
        { GRAPH ("\"span\":[0,1],\"parents\":[null],\"ops\":[[0,0,\"x\"]]"), WEIR_BAD_MESSAGE,
          "parent is no number" },
        { GRAPH ("\"span\":[0,1],\"ops\":[[0,0,\"x\"]]"), WEIR_BAD_MESSAGE, "parents" },
        { TXN ("\"agent\":\"a\",\"span\":[0,1],\"parents\":[],\"ops\":[]"), WEIR_BAD_MESSAGE,
          "seqStart" },
        { "{\"endContent\":\"\",\"txns\":["
          "{\"agent\":\"a\",\"seqStart\":0,\"span\":[0,2],\"parents\":[],\"ops\":[[0,0,\"xy\"]]},"
          "{\"agent\":\"a\",\"seqStart\":1,\"span\":[2,3],\"parents\":[1],\"ops\":[[0,0,\"z\"]]}]}",
          WEIR_BAD_MESSAGE, "twice" },
        { "{\"endContent\":\"\",\"txns\":["
          "{\"agent\":\"a\",\"seqStart\":0,\"span\":[0,2],\"parents\":[],\"ops\":[[0,0,\"xy\"]]},"
          "{\"agent\":\"a\",\"seqStart\":2,\"span\":[1,2],\"parents\":[1],\"ops\":[[0,0,\"z\"]]}]}",
          WEIR_BAD_MESSAGE, "there already" },
        { "{\"endContent\":\"\",\"txns\":["
          "{\"agent\":\"a\",\"seqStart\":0,\"span\":[0,1],\"parents\":[],\"ops\":[[0,0,\"x\"]]},"
          "{\"agent\":\"a\",\"seqStart\":2,\"span\":[5,6],\"parents\":[3],\"ops\":[[0,0,\"z\"]]}]}",
          WEIR_BAD_MESSAGE, "earlier event" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bench_trace_file file = { 0 };
        struct weir_error e = { 0 };
        enum weir_status status = bench_trace_parse (&file, weir_bytes_str (rows[i].text), &e);
        if (status != rows[i].status || strstr (e.what, rows[i].why) == NULL) {
            fail_msg ("%s\n gives %s: %s", rows[i].text, weir_status_code (status), e.what);
        }
    }
}

/* ---- files ---- */

static void
write_file (const char *path, const void *data, size_t len)
{
    int fd = open (path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true (fd >= 0);
    assert_int_equal (write (fd, data, len), (ssize_t) len);
    assert_int_equal (close (fd), 0);
}

static const char sample[] =
    "{\"kind\":\"concurrent\",\"endContent\":\"caz\",\"txns\":["
    "{\"parents\":[],\"agent\":\"x\",\"patches\":[[0,0,\"ab\"]]},"
    "{\"parents\":[0],\"agent\":\"y\",\"patches\":[[0,0,\"c\"],[2,1,\"z\"]]},"
    "{\"parents\":[0],\"agent\":\"x\",\"patches\":[[0,1,\"\"],[0,0,\"a\"]]},"
    "{\"parents\":[1,2],\"agent\":\"y\",\"patches\":[[0,0,\"\"]]}]}";

static void
test_files (void **state)
{
    (void) state;
    char path[] = "/tmp/weir-trace-XXXXXX";
    struct bench_trace_file file = { 0 };
    struct weir_error e = { 0 };
    struct weir_buf packed = { 0 };
    int fd = mkstemp (path);
    assert_true (fd >= 0);
    assert_int_equal (close (fd), 0);

    write_file (path, sample, strlen (sample));
    assert_int_equal (bench_trace_load (&file, path, &e), WEIR_OK);
    bench_trace_file_fini (&file);

    gzFile out = gzopen (path, "wb");
    assert_int_equal (gzwrite (out, sample, (unsigned) strlen (sample)), strlen (sample));
    assert_int_equal (gzclose_w (out), Z_OK);
    assert_int_equal (bench_trace_load (&file, path, &e), WEIR_OK);
    assert_string_equal (weir_buf_str (&file.items[0].end), "caz");
    bench_trace_file_fini (&file);

    FILE *in = fopen (path, "rb");
    weir_buf_reserve (&packed, 4096);
    packed.len = fread (packed.data, 1, 4096, in);
    assert_int_equal (fclose (in), 0);
    write_file (path, packed.data, packed.len - 9); /* cut short */
    assert_int_equal (bench_trace_load (&file, path, &e), WEIR_BAD_MESSAGE);
    assert_non_null (strstr (e.what, "not whole"));
    packed.data[packed.len / 2] ^= 0x10;
    write_file (path, packed.data, packed.len);
    assert_int_not_equal (bench_trace_load (&file, path, &e), WEIR_OK);
    assert_int_equal (unlink (path), 0);
    assert_int_equal (bench_trace_load (&file, path, &e), WEIR_NOT_FOUND);
    assert_int_not_equal (bench_trace_load (&file, "/", &e), WEIR_OK);
    weir_buf_fini (&packed);
}

/* Changes bytes so that much stays JSON: digits, brackets, commas, and now and then anything. */
static void
test_random_changes (void **state)
{
    (void) state;
    static const char graph[] =
        "[{\"endContent\":\"\",\"txns\":["
        "{\"span\":[0,6],\"parents\":[],\"agent\":\"a\",\"seqStart\":0,"
        "\"ops\":[[0,0,\"weir\"],[1,2,\"\"]]},"
        "{\"span\":[6,7],\"parents\":[1],\"agent\":\"b\",\"seqStart\":3,\"ops\":[[2,0,\"!\"]]},"
        "{\"span\":[7,9],\"parents\":[5],\"agent\":\"a\",\"seqStart\":6,\"ops\":[[0,1,\"q\"]]},"
        "{\"span\":[9,10],\"parents\":[4,6],\"agent\":\"c\",\"seqStart\":0,"
        "\"ops\":[[0,1,\"\"]]}]}]";
    static const char *const texts[] = { sample, graph };
    static const char likely[] = "0123456789,[]\"-";
    struct weir_rand r;
    weir_rand_init (&r, 20);
    size_t good = 0;
    for (size_t i = 0; i < 20000; i++) {
        char *text = weir_strdup (texts[i % 2]);
        size_t len = strlen (text);
        for (size_t k = 0; k <= i % 3; k++) {
            size_t at = weir_rand_below (&r, len);
            bool is_digit = text[at] >= '0' && text[at] <= '9';
            text[at] = is_digit                       ? (char) ('0' + weir_rand_below (&r, 10))
                       : weir_rand_below (&r, 8) == 0 ? (char) (weir_rand_below (&r, 255) + 1)
                       : weir_rand_below (&r, 8) == 0
                           ? likely[weir_rand_below (&r, sizeof likely - 1)]
                           : text[at];
        }
        struct bench_trace_file file = { 0 };
        struct weir_error e = { 0 };
        enum weir_status status = bench_trace_parse (&file, weir_bytes_str (text), &e);
        if (status == WEIR_OK) {
            struct bench_plan plan;
            bench_plan_make (&plan, &file.items[0]);
            bench_plan_fini (&plan);
            bench_trace_file_fini (&file);
            good++;
        } else {
            assert_true (e.what[0] != '\0');
        }
        free (text);
    }
    assert_true (good > 1000);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_sequential),   cmocka_unit_test (test_concurrent),
        cmocka_unit_test (test_graph_is_cut), cmocka_unit_test (test_lanes),
        cmocka_unit_test (test_plan),         cmocka_unit_test (test_bad_files),
        cmocka_unit_test (test_files),        cmocka_unit_test (test_random_changes),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
