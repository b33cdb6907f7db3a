/* Goal: log lines have their shape in each format, warnings come once a second and are counted,
 * and nothing remote forges a line. The timers' heap against a sorted model. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "actors/runtime/log.h"
#include "actors/runtime/timers.h"
#include "store/base/rand.h"

struct sink {
    struct weir_log log;
    int ends[2];
    char text[4096];
};

static void
sink_init (struct sink *s, const char *level, const char *format)
{
    weir_log_begin (&s->log, "store", 0x1234, level, format);
    assert_int_equal (pipe (s->ends), 0);
    s->log.fd = s->ends[1];
}

static const char *
sink_read (struct sink *s)
{
    (void) close (s->ends[1]);
    size_t have = 0;
    for (ssize_t n = 1; n > 0; have += n > 0 ? (size_t) n : 0) {
        n = read (s->ends[0], s->text + have, sizeof s->text - 1 - have);
    }
    s->text[have] = '\0';
    (void) close (s->ends[0]);
    return s->text;
}

static void
test_text (void **state)
{
    (void) state;
    struct sink s;
    sink_init (&s, "info", "text");
    weir_log_put (&s.log, WEIR_LOG_INFO, "opened", "db=%s entries=%d", "notes", 3);
    weir_log_put (&s.log, WEIR_LOG_DEBUG, "unseen", "x=1");
    const char *line = sink_read (&s);
    assert_int_equal (line[10], 'T');
    assert_int_equal (line[23], 'Z');
    assert_string_equal (line + 24, " info store 0000000000001234 event=opened db=notes "
                                    "entries=3\n");
}

static void
test_no_forged_lines (void **state)
{
    (void) state;
    struct sink s;
    sink_init (&s, "debug", "text");
    weir_log_put (&s.log, WEIR_LOG_ERROR, "bad", "name=%s", "a\nerror\x1b[2J\x7f");
    assert_non_null (strstr (sink_read (&s), "event=bad name=a?error?[2J?\n"));
}

static void
test_json_and_journald (void **state)
{
    (void) state;
    struct sink s;
    sink_init (&s, "info", "json");
    weir_log_put (&s.log, WEIR_LOG_ERROR, "bad", "name=\"%s\"", "a\\b");
    assert_non_null (strstr (sink_read (&s), "\"level\":\"error\",\"actor\":\"store\",\"epoch\":"
                                             "\"0000000000001234\",\"event\":\"bad\",\"detail\":"
                                             "\"name=\\\"a\\\\b\\\"\"}\n"));
    sink_init (&s, "info", "journald");
    weir_log_put (&s.log, WEIR_LOG_WARN, "odd", "x=1");
    assert_string_equal (sink_read (&s), "<4>warn store 0000000000001234 event=odd x=1\n");
    assert_int_equal (setenv ("JOURNAL_STREAM", "1:2", 1), 0);
    sink_init (&s, "nonsense", "auto");
    assert_int_equal (s.log.level, WEIR_LOG_INFO);
    weir_log_put (&s.log, WEIR_LOG_INFO, "plain", "%s", "");
    assert_string_equal (sink_read (&s), "<6>info store 0000000000001234 event=plain\n");
    assert_int_equal (unsetenv ("JOURNAL_STREAM"), 0);
}

static void
test_warnings_are_held_back (void **state)
{
    (void) state;
    struct sink s;
    sink_init (&s, "info", "text");
    for (int i = 0; i < 1000; i++) {
        weir_log_put (&s.log, WEIR_LOG_WARN, "bad_frame", "i=%d", i);
    }
    /* As if a second had gone by. */
    s.log.warned[0].second--;
    uint64_t held = s.log.warned[0].held;
    assert_true (held >= 900);
    weir_log_put (&s.log, WEIR_LOG_WARN, "bad_frame", "i=last");
    weir_log_put (&s.log, WEIR_LOG_WARN, "other", "i=1");
    const char *text = sink_read (&s);
    assert_non_null (strstr (text, "event=bad_frame i=0\n"));
    char last[64];
    (void) snprintf (last, sizeof last, "event=bad_frame i=last held=%u\n", (unsigned) held);
    assert_non_null (strstr (text, last));
    assert_non_null (strstr (text, "event=other i=1\n"));
}

static void
test_timers_equal_a_model (void **state)
{
    (void) state;
    enum { TIMERS = 64 };
    struct weir_timer timers[TIMERS];
    bool set[TIMERS] = { false };
    struct weir_timers t = { 0 };
    struct weir_rand rand;
    uint64_t now = 0;
    memset (timers, 0, sizeof timers);
    weir_rand_init (&rand, 1);
    assert_int_equal (weir_timers_wait (&t, 0, 77), 77);
    for (int step = 0; step < 20000; step++) {
        size_t i = weir_rand_below (&rand, TIMERS);
        switch (weir_rand_below (&rand, 4)) {
        case 0:
        case 1:
            weir_timers_set (&t, &timers[i], now + weir_rand_below (&rand, 100));
            set[i] = true;
            break;
        case 2:
            weir_timers_remove (&t, &timers[i]);
            set[i] = false;
            break;
        default:
            now += weir_rand_below (&rand, 20);
            for (struct weir_timer *d = NULL; (d = weir_timers_due (&t, now)) != NULL;) {
                assert_true (set[d - timers] && d->at_ms <= now);
                for (size_t j = 0; j < TIMERS; j++) {
                    assert_true (!set[j] || timers[j].at_ms >= d->at_ms);
                }
                set[d - timers] = false;
            }
            break;
        }
        uint64_t first = UINT64_MAX;
        size_t count = 0;
        for (size_t j = 0; j < TIMERS; j++) {
            count += set[j] ? 1 : 0;
            first = set[j] && timers[j].at_ms < first ? timers[j].at_ms : first;
        }
        assert_int_equal (t.count, count);
        uint64_t wait = first == UINT64_MAX ? 1000 : first > now ? first - now : 0;
        assert_int_equal (weir_timers_wait (&t, now, 1000), wait);
    }
    weir_timers_fini (&t);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_text),
        cmocka_unit_test (test_no_forged_lines),
        cmocka_unit_test (test_json_and_journald),
        cmocka_unit_test (test_warnings_are_held_back),
        cmocka_unit_test (test_timers_equal_a_model),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
