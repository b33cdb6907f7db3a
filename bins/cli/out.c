/* What the command line prints: errors with their code and hint, JSON, text that may come from
 * elsewhere. */

#include <stdarg.h>
#include <string.h>

#include "bins/cli/cli.h"

int
cli_fail (struct cli *c, const struct weir_error *e)
{
    enum weir_status status = e->status != WEIR_OK ? e->status : WEIR_FAILED;
    const char *hint = weir_error_hint (e);
    char help[64];
    if (c->verb != NULL && e->hint[0] == '\0'
        && (status == WEIR_USAGE || status == WEIR_INVALID_ARGUMENT)) {
        snprintf (help, sizeof help, "see weir %s%s%s --help", c->verb->noun,
                  c->verb->verb[0] != '\0' ? " " : "", c->verb->verb);
        hint = help;
    }
    const char *what = e->what[0] != '\0' ? e->what : weir_status_code (status);
    if (c->json) {
        json_t *out = json_pack ("{s:{s:s, s:s, s:s}}", "error", "code", weir_status_code (status),
                                 "what", what, "hint", hint);
        json_dumpf (out, stderr, JSON_COMPACT);
        fputc ('\n', stderr);
        json_decref (out);
        return weir_status_exit (status);
    }
    fputs ("weir: ", stderr);
    cli_put (stderr, what);
    if (strcmp (what, weir_status_code (status)) != 0) {
        fprintf (stderr, " (%s)", weir_status_code (status));
    }
    fputc ('\n', stderr);
    if (hint[0] != '\0') {
        fputs ("hint: ", stderr);
        cli_put (stderr, hint);
        fputc ('\n', stderr);
    }
    return weir_status_exit (status);
}

int
cli_fail_status (struct cli *c, enum weir_status status, const char *what)
{
    struct weir_error e = { 0 };
    weir_error_set (&e, status, NULL, "%s", what);
    return cli_fail (c, &e);
}

void
cli_json (json_t *value)
{
    json_dumpf (value, stdout, JSON_COMPACT | JSON_ENCODE_ANY);
    putchar ('\n');
    json_decref (value);
}

/* C1 controls, which some terminals obey, too, and what turns the direction of a line: a name
 * from elsewhere must not make the rest of its line read as something else. */
static bool
misleads (uint32_t point)
{
    return (point >= 0x80 && point < 0xa0) || point == 0x061c
           || (point >= 0x200e && point <= 0x200f) || (point >= 0x2028 && point <= 0x202e)
           || (point >= 0x2066 && point <= 0x2069);
}

void
cli_put (FILE *out, const char *text)
{
    const unsigned char *end = (const unsigned char *) text + strlen (text);
    for (const unsigned char *p = (const unsigned char *) text; p < end; p++) {
        uint32_t point = 0;
        size_t n = *p < 0x80 ? 1 : weir_utf8_next (weir_bytes (p, (size_t) (end - p)), &point);
        if (n > 1 && misleads (point)) {
            fprintf (out, "\\u%04x", (unsigned) point);
            p += n - 1;
        } else if (*p < 0x20 || *p == 0x7f) {
            fprintf (out, "\\x%02x", *p);
        } else {
            fputc (*p, out);
        }
    }
}

void
cli_note (struct cli *c, const char *format, ...)
{
    va_list args;
    if (c->quiet) {
        return;
    }
    va_start (args, format);
    vfprintf (stderr, format, args);
    va_end (args);
    fputc ('\n', stderr);
}

json_t *
cli_id (bool has, ProtobufCBinaryData field)
{
    struct weir_id id;
    if (weir_field_get_id (&id, has, field) != WEIR_OK) {
        return json_null ();
    }
    return json_string (weir_id_text (&id).s);
}

json_t *
cli_text (bool has, ProtobufCBinaryData field)
{
    json_t *text = has ? json_stringn ((const char *) field.data, field.len) : NULL;
    return text != NULL ? text : json_string ("");
}

json_t *
cli_u64 (uint64_t value)
{
    if (value <= (1ull << 53)) {
        return json_integer ((json_int_t) value);
    }
    char text[24];
    snprintf (text, sizeof text, "%llu", (unsigned long long) value);
    return json_string (text);
}

json_t *
cli_hex64 (uint64_t value)
{
    char text[24];
    snprintf (text, sizeof text, "%016llx", (unsigned long long) value);
    return json_string (text);
}

const char *
cli_bytes_text (uint64_t bytes, char out[32])
{
    static const char *const units[] = { "B", "kB", "MB", "GB", "TB" };
    double value = (double) bytes;
    size_t unit = 0;
    while (value >= 1000.0 && unit + 1 < sizeof units / sizeof *units) {
        value /= 1000.0;
        unit++;
    }
    snprintf (out, 32, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
    return out;
}

const char *
cli_ms_text (uint64_t ms, char out[32])
{
    if (ms < 1000) {
        snprintf (out, 32, "%llu ms", (unsigned long long) ms);
    } else if (ms < 120000) {
        snprintf (out, 32, "%.1f s", (double) ms / 1000.0);
    } else if (ms < 7200000) {
        snprintf (out, 32, "%llu min", (unsigned long long) (ms / 60000));
    } else if (ms < 172800000) {
        snprintf (out, 32, "%llu h", (unsigned long long) (ms / 3600000));
    } else {
        snprintf (out, 32, "%llu d", (unsigned long long) (ms / 86400000));
    }
    return out;
}

const char *
cli_text_of (const json_t *object, const char *key)
{
    const char *text = json_string_value (json_object_get (object, key));
    return text != NULL ? text : "-";
}
