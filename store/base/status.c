/* The table of outcomes and what is told to people about them. Text that may hold words of a
 * peer is made harmless here, once, so that no caller can forget it. Never logs; the only output
 * of this folder is weir_bug's last line before abort. */

#include "store/base/status.h"

#include "store/base/bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct row {
    const char *code;
    int exit;
    const char *hint;
};

static const struct row rows[] = {
#define STATUS(name, code, exit, hint) { code, exit, hint },
#include "store/base/status.def"
#undef STATUS
};

static const struct row *
row_of (enum weir_status status)
{
    unsigned i = (unsigned) status;
    return &rows[i < WEIR_STATUS_COUNT ? i : WEIR_FAILED];
}

const char *
weir_status_code (enum weir_status status)
{
    return row_of (status)->code;
}

const char *
weir_status_hint (enum weir_status status)
{
    return row_of (status)->hint;
}

int
weir_status_exit (enum weir_status status)
{
    return row_of (status)->exit;
}

enum weir_status
weir_status_from_number (unsigned number)
{
    return number < WEIR_STATUS_COUNT ? (enum weir_status) number : WEIR_FAILED;
}

/* Controls would move a terminal's cursor, separators would break a log line, and the
 * bidirectional marks would show a text other than the one that is there. */
static bool
is_harmful (uint32_t point)
{
    return point < 0x20 || (point >= 0x7f && point < 0xa0) || point == 0x061c
           || (point >= 0x200e && point <= 0x200f) || (point >= 0x2028 && point <= 0x202e)
           || (point >= 0x2066 && point <= 0x2069);
}

/* In place, as the result is never longer. A character that vsnprintf cut in two is dropped
 * together with whatever else is not UTF-8. */
static void
make_harmless (char *text)
{
    size_t len = strlen (text);
    size_t out = 0;
    for (size_t in = 0; in < len;) {
        uint32_t point = 0;
        size_t n = weir_utf8_next (weir_bytes (text + in, len - in), &point);
        if (n == 0 || is_harmful (point)) {
            text[out++] = '?';
            in += n == 0 ? 1 : n;
            continue;
        }
        memmove (text + out, text + in, n);
        out += n;
        in += n;
    }
    text[out] = 0;
}

enum weir_status
weir_error_set (struct weir_error *e, enum weir_status status, const char *hint, const char *format,
                ...)
{
    if (e == NULL) {
        return status;
    }
    /* Built aside: the arguments may point into *e. */
    struct weir_error made = { .status = status };
    va_list args;
    va_start (args, format);
    if (vsnprintf (made.what, sizeof made.what, format, args) < 0) {
        made.what[0] = 0;
    }
    va_end (args);
    (void) snprintf (made.hint, sizeof made.hint, "%s", hint == NULL ? "" : hint);
    make_harmless (made.what);
    make_harmless (made.hint);
    *e = made;
    return status;
}

const char *
weir_error_hint (const struct weir_error *e)
{
    return e->hint[0] != 0 ? e->hint : weir_status_hint (e->status);
}

_Noreturn void
weir_bug (const char *file, int line, const char *text)
{
    fprintf (stderr, "weir: bug at %s:%d: %s\n", file, line, text);
    abort ();
}
