#ifndef WEIR_ACTORS_RUNTIME_LOG_H
#define WEIR_ACTORS_RUNTIME_LOG_H

/* Lines on stderr: `ts level actor epoch event=<constant> key=value`. For actors (which see it as
 * weir_actor_log) and the broker; libraries do not log. */

#include <stdarg.h>

#include "store/base/bytes.h"

enum weir_log_level { WEIR_LOG_ERROR, WEIR_LOG_WARN, WEIR_LOG_INFO, WEIR_LOG_DEBUG };
enum weir_log_format { WEIR_LOG_TEXT, WEIR_LOG_JSON, WEIR_LOG_JOURNALD };

#define WEIR_LOG_EVENTS_MAX 128u /* warnings told apart for their limit of one a second */
#define WEIR_LOG_LINE_MAX 2048u

struct weir_log {
    enum weir_log_level level;
    enum weir_log_format format;
    char actor[64];
    uint64_t epoch;
    int fd;
    struct {
        const char *event;
        uint64_t second; /* when a line was last written */
        uint64_t held;   /* lines not written since */
    } warned[WEIR_LOG_EVENTS_MAX];
};

/* `level` and `format` are settings' words; unknown ones count as info and auto. auto: journald
 * under systemd, else text. */
void weir_log_begin (struct weir_log *log, const char *actor, uint64_t epoch, const char *level,
                     const char *format);
bool weir_log_level_parse (enum weir_log_level *out, const char *word);
/* `event` is a constant; warnings (input errors) come at most once a second for each event, and
 * the next one says how many were held back. */
void weir_log_put (struct weir_log *log, enum weir_log_level level, const char *event,
                   const char *format, ...) WEIR_PRINTF (4, 5);
void weir_log_vput (struct weir_log *log, enum weir_log_level level, const char *event,
                    const char *format, va_list args) __attribute__ ((format (printf, 4, 0)));

#endif
