/* Owns the shape of a log line and the limit on repeated warnings. It never blocks on anything
 * but stderr itself, and never logs what a caller did not hand it. Actors and the broker call
 * it. */

#include "actors/runtime/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *const words[] = { "error", "warn", "info", "debug" };

bool
weir_log_level_parse (enum weir_log_level *out, const char *word)
{
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp (words[i], word) == 0) {
            *out = (enum weir_log_level) i;
            return true;
        }
    }
    return false;
}

void
weir_log_begin (struct weir_log *log, const char *actor, uint64_t epoch, const char *level,
                const char *format)
{
    memset (log, 0, sizeof *log);
    log->level = WEIR_LOG_INFO;
    (void) weir_log_level_parse (&log->level, level);
    log->format = WEIR_LOG_TEXT;
    if (strcmp (format, "json") == 0) {
        log->format = WEIR_LOG_JSON;
    } else if (strcmp (format, "journald") == 0
               || (strcmp (format, "text") != 0 && getenv ("JOURNAL_STREAM") != NULL)) {
        log->format = WEIR_LOG_JOURNALD;
    }
    (void) snprintf (log->actor, sizeof log->actor, "%s", actor);
    log->epoch = epoch;
    log->fd = STDERR_FILENO;
}

/* May this warning be written? *held: how many were not since the last that was. */
static bool
admit (struct weir_log *log, const char *event, uint64_t second, uint64_t *held)
{
    for (size_t i = 0; i < WEIR_LOG_EVENTS_MAX; i++) {
        if (log->warned[i].event == NULL) {
            log->warned[i].event = event;
            log->warned[i].second = second;
            return true;
        }
        if (strcmp (log->warned[i].event, event) != 0) {
            continue;
        }
        if (log->warned[i].second == second) {
            log->warned[i].held++;
            return false;
        }
        *held = log->warned[i].held;
        log->warned[i].held = 0;
        log->warned[i].second = second;
        return true;
    }
    return true;
}

/* Remote text must not forge lines or drive a terminal. */
static void
clean (char *text)
{
    for (char *p = text; *p != '\0'; p++) {
        if ((unsigned char) *p < 0x20 || *p == 0x7f) {
            *p = '?';
        }
    }
}

static void
put_json_text (struct weir_buf *out, const char *text)
{
    weir_buf_put_u8 (out, '"');
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '"' || *p == '\\') {
            weir_buf_put_u8 (out, '\\');
        }
        weir_buf_put_u8 (out, (uint8_t) *p);
    }
    weir_buf_put_u8 (out, '"');
}

static void
render (const struct weir_log *log, struct weir_buf *out, const char *stamp,
        enum weir_log_level level, const char *event, const char *detail)
{
    static const int priority[] = { 3, 4, 6, 7 }; /* syslog's numbers, as journald reads them */
    if (log->format == WEIR_LOG_JSON) {
        weir_buf_printf (out, "{\"ts\":\"%s\",\"level\":\"%s\",\"actor\":", stamp, words[level]);
        put_json_text (out, log->actor);
        weir_buf_printf (out, ",\"epoch\":\"%016llx\",\"event\":\"%s\",\"detail\":",
                         (unsigned long long) log->epoch, event);
        put_json_text (out, detail);
        weir_buf_printf (out, "}\n");
        return;
    }
    if (log->format == WEIR_LOG_JOURNALD) {
        weir_buf_printf (out, "<%d>", priority[level]);
    } else {
        weir_buf_printf (out, "%s ", stamp);
    }
    weir_buf_printf (out, "%s %s %016llx event=%s%s%s\n", words[level], log->actor,
                     (unsigned long long) log->epoch, event, detail[0] == '\0' ? "" : " ", detail);
}

void
weir_log_vput (struct weir_log *log, enum weir_log_level level, const char *event,
               const char *format, va_list args)
{
    if (level > log->level) {
        return;
    }
    struct timespec now;
    (void) clock_gettime (CLOCK_REALTIME, &now);
    uint64_t held = 0;
    if (level == WEIR_LOG_WARN && !admit (log, event, (uint64_t) now.tv_sec, &held)) {
        return;
    }
    char detail[WEIR_LOG_LINE_MAX];
    (void) vsnprintf (detail, sizeof detail - 32, format, args);
    if (held > 0) {
        size_t len = strlen (detail);
        (void) snprintf (detail + len, sizeof detail - len, " held=%llu",
                         (unsigned long long) held);
    }
    clean (detail);
    struct tm utc;
    (void) gmtime_r (&now.tv_sec, &utc);
    char stamp[64];
    size_t at = strftime (stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
    (void) snprintf (stamp + at, sizeof stamp - at, ".%03ldZ", now.tv_nsec / 1000000);
    struct weir_buf line = { 0 };
    render (log, &line, stamp, level, event, detail);
    /* One write, so that lines of several processes do not mix. A full or closed stderr must
     * not stop the work. */
    ssize_t done = write (log->fd, line.data, line.len);
    (void) done;
    weir_buf_fini (&line);
}

void
weir_log_put (struct weir_log *log, enum weir_log_level level, const char *event,
              const char *format, ...)
{
    va_list args;
    va_start (args, format);
    weir_log_vput (log, level, event, format, args);
    va_end (args);
}
