/* Owns the grammar of weir.conf, and nothing of what the keys mean. Called by settings.c. */

#include "actors/runtime/settings_file.h"

#include <stdio.h>
#include <string.h>

#define LINE_BYTES_MAX 1024u
#define DEPTH_MAX 4u
#define NAME_BYTES_MAX 64u

struct reader {
    const char *name; /* of the file */
    unsigned line;
    size_t depth; /* sections open */
    char sections[DEPTH_MAX][NAME_BYTES_MAX];
    struct weir_error *e;
};

static enum weir_status
refuse (const struct reader *r, const char *why)
{
    return weir_error_set (r->e, WEIR_BAD_CONFIG,
                           "lines are `name = value`, or a section's name with four more spaces "
                           "before what is in it",
                           "%s:%u: %s", r->name, r->line, why);
}

static bool
is_name_char (char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'
           || c == '-' || c == '.';
}

static bool
is_blank (char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* The value of `text` (behind the '='), in place. NULL: a quote is not closed, or something
 * follows it. */
static char *
value_of (char *text)
{
    while (is_blank (*text)) {
        text++;
    }
    char *end = NULL;
    if (*text == '"' || *text == '\'') {
        end = strchr (text + 1, *text);
        if (end == NULL) {
            return NULL;
        }
        *end = '\0';
        text++;
        for (end++; is_blank (*end); end++) {
        }
        return *end == '\0' || *end == '#' ? text : NULL;
    }
    end = text + strcspn (text, "#");
    while (end > text && is_blank (end[-1])) {
        end--;
    }
    *end = '\0';
    return text;
}

static enum weir_status
read_line (struct reader *r, char *line, weir_settings_value_fn *value, void *context)
{
    size_t spaces = strspn (line, " ");
    char *p = line + spaces;
    if (*p == '\0' || *p == '#' || (is_blank (*p) && p[strspn (p, " \t\r")] == '\0')) {
        return WEIR_OK;
    }
    if (spaces % 4 != 0 || spaces / 4 > r->depth) {
        return refuse (r, "indented by other than four spaces a level");
    }
    r->depth = spaces / 4;
    size_t len = 0;
    while (is_name_char (p[len])) {
        len++;
    }
    if (len == 0 || len >= NAME_BYTES_MAX) {
        return refuse (r, "a name was expected");
    }
    char *rest = p + len;
    while (is_blank (*rest)) {
        *rest++ = '\0';
    }
    if (*rest == '\0' || *rest == '#') {
        *rest = '\0';
        if (r->depth == DEPTH_MAX) {
            return refuse (r, "sections too deep");
        }
        (void) snprintf (r->sections[r->depth], NAME_BYTES_MAX, "%s", p);
        r->depth++;
        return WEIR_OK;
    }
    if (*rest != '=') {
        return refuse (r, "`=` was expected");
    }
    *rest = '\0';
    char *text = value_of (rest + 1);
    if (text == NULL) {
        return refuse (r, "the quote does not end");
    }
    char key[(DEPTH_MAX + 1) * NAME_BYTES_MAX] = "";
    size_t at = 0;
    for (size_t i = 0; i < r->depth; i++) {
        at += (size_t) snprintf (key + at, sizeof key - at, "%s/", r->sections[i]);
    }
    (void) snprintf (key + at, sizeof key - at, "%s", p);
    return value (context, r->line, key, text, r->e);
}

enum weir_status
weir_settings_file_read (struct weir_bytes text, const char *name, weir_settings_value_fn *value,
                         void *context, struct weir_error *e)
{
    struct reader r = { .name = name, .e = e };
    size_t at = 0;
    while (at < text.len) {
        r.line++;
        const uint8_t *end = memchr (text.data + at, '\n', text.len - at);
        size_t len = end == NULL ? text.len - at : (size_t) (end - text.data) - at;
        if (len >= LINE_BYTES_MAX) {
            return refuse (&r, "the line is too long");
        }
        struct weir_bytes line = weir_bytes (text.data + at, len);
        if (!weir_bytes_is_utf8 (line) || memchr (line.data, '\0', len) != NULL) {
            return refuse (&r, "this is not UTF-8 text");
        }
        char copy[LINE_BYTES_MAX];
        memcpy (copy, line.data, len);
        copy[len] = '\0';
        enum weir_status status = read_line (&r, copy, value, context);
        if (status != WEIR_OK) {
            return status;
        }
        at += len + 1;
    }
    return WEIR_OK;
}
