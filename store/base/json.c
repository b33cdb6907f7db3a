/* JSON at the door: jansson behind our limits. What jansson does not do is done around it: depth
 * is measured before it may recurse, integers too large for it are turned into doubles, and
 * writing is our own, so that equal values give equal bytes. JSON Pointer lives here too. */

#include "store/base/json.h"

#include "store/base/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- reading ---- */

/* Tells people where, counting from 1; the column in bytes. */
static enum weir_status
refuse (struct weir_error *error, enum weir_status status, struct weir_bytes text, size_t at,
        const char *why)
{
    size_t line = 1;
    size_t column = 1;
    for (size_t i = 0; i < at && i < text.len; i++) {
        column++;
        if (text.data[i] == '\n') {
            line++;
            column = 1;
        }
    }
    return weir_error_set (error, status, NULL, "invalid JSON at line %zu, column %zu: %s", line,
                           column, why);
}

static size_t
digits_at (struct weir_bytes text, size_t at)
{
    size_t n = 0;
    while (at + n < text.len && text.data[at + n] >= '0' && text.data[at + n] <= '9') {
        n++;
    }
    return n;
}

/* Is the integer of `digits` digits before `end` beyond int64? */
static bool
is_beyond_int64 (struct weir_bytes text, size_t begin, size_t digits, bool negative)
{
    if (digits != 19) {
        return digits > 19;
    }
    const char *edge = negative ? "9223372036854775808" : "9223372036854775807";
    return memcmp (text.data + begin, edge, 19) > 0;
}

/* Measures depth, and copies the text with ".0" behind integers that jansson would refuse; the
 * places of those are kept in *added (places in the copy), so that errors can be told in the
 * text that was given. Wrong JSON is jansson's to refuse: here it only has to be walked. */
struct scan {
    struct weir_buf copy;
    size_t *added;
    size_t n_added;
    size_t cap_added;
};

static size_t
string_end (struct weir_bytes text, size_t at)
{
    for (at++; at < text.len && text.data[at] != '"'; at++) {
        if (text.data[at] == '\\') {
            at++;
        }
    }
    return at < text.len ? at + 1 : text.len;
}

static size_t
number_end (struct scan *s, struct weir_bytes text, size_t at, size_t *copied)
{
    size_t begin = at + (text.data[at] == '-');
    size_t digits = digits_at (text, begin);
    size_t end = begin + digits;
    bool real = end < text.len && strchr (".eE", text.data[end]) != NULL && text.data[end] != 0;
    if (!real && is_beyond_int64 (text, begin, digits, begin > at)) {
        weir_buf_put (&s->copy, text.data + *copied, end - *copied);
        weir_grow (&s->added, &s->cap_added, s->n_added + 1, sizeof *s->added);
        s->added[s->n_added++] = s->copy.len;
        weir_buf_put (&s->copy, ".0", 2);
        *copied = end;
    }
    /* Past the rest of a double, whose digits are none of ours. */
    while (end < text.len && strchr ("0123456789.eE+-", text.data[end]) != NULL
           && text.data[end] != 0) {
        end++;
    }
    return end;
}

static enum weir_status
scan_text (struct scan *s, struct weir_bytes text, struct weir_error *error)
{
    size_t depth = 0;
    size_t copied = 0;
    for (size_t at = 0; at < text.len;) {
        uint8_t c = text.data[at];
        if (c == '"') {
            at = string_end (text, at);
            continue;
        }
        if (c == '-' || (c >= '0' && c <= '9')) {
            at = number_end (s, text, at, &copied);
            continue;
        }
        if (c == 0) { /* the end of the text to jansson, whatever comes behind */
            return refuse (error, WEIR_INVALID_JSON, text, at, "a NUL byte");
        }
        if (c == '[' || c == '{') {
            depth++;
        } else if ((c == ']' || c == '}') && depth > 0) {
            depth--;
        }
        if (depth > WEIR_JSON_DEPTH_MAX) {
            return refuse (error, WEIR_LIMIT, text, at, "nested too deeply");
        }
        at++;
    }
    if (s->n_added > 0) {
        weir_buf_put (&s->copy, text.data + copied, text.len - copied);
    }
    return WEIR_OK;
}

/* The place in the text that was given, of a place in the copy. */
static size_t
place_given (const struct scan *s, size_t place)
{
    size_t before = 0;
    while (before < s->n_added && s->added[before] < place) {
        before++;
    }
    return place - 2 * before;
}

enum weir_status
weir_json_parse (json_t **out, struct weir_bytes text, size_t bytes_max, struct weir_error *error)
{
    if (text.len > bytes_max) {
        return weir_error_set (error, WEIR_TOO_LARGE, NULL, "JSON of %zu bytes, at most %zu",
                               text.len, bytes_max);
    }
    struct scan s = { 0 };
    json_error_t why;
    json_t *value = NULL;
    enum weir_status status = scan_text (&s, text, error);
    if (status != WEIR_OK) {
        goto done;
    }
    struct weir_bytes given = s.n_added > 0 ? weir_buf_bytes (&s.copy) : text;
    value = json_loadb (given.len == 0 ? "" : (const char *) given.data, given.len,
                        JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
    if (value == NULL) {
        size_t place = why.position < 0 ? 0 : (size_t) why.position;
        status = refuse (error, WEIR_INVALID_JSON, text, place_given (&s, place), why.text);
        goto done;
    }
    *out = value;

done:
    weir_buf_fini (&s.copy);
    free (s.added);
    return status;
}

/* ---- writing ---- */

/* One open array or object. */
struct level {
    const json_t *value;
    const char **keys; /* sorted; NULL for an array */
    size_t count;
    size_t next;
};

static void
put_string (struct weir_buf *out, const char *text, size_t len)
{
    static const char letters[] = "btn.fr"; /* from 8 to 13; 11 has none */
    weir_buf_put_u8 (out, '"');
    size_t plain = 0;
    for (size_t i = 0; i < len; i++) {
        uint8_t c = (uint8_t) text[i];
        if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f) {
            continue;
        }
        weir_buf_put (out, text + plain, i - plain);
        plain = i + 1;
        if (c == '"' || c == '\\') {
            weir_buf_printf (out, "\\%c", c);
        } else if (c >= 8 && c <= 13 && c != 11) {
            weir_buf_printf (out, "\\%c", letters[c - 8]);
        } else {
            weir_buf_printf (out, "\\u%04x", c);
        }
    }
    weir_buf_put (out, text + plain, len - plain);
    weir_buf_put_u8 (out, '"');
}

/* The shortest of 15, 16 and 17 digits that reads back the same; always with a fraction or an
 * exponent, so that it reads back as a double at all. */
static void
put_real (struct weir_buf *out, double value)
{
    char text[40];
    int digits = 15;
    do {
        (void) snprintf (text, sizeof text, "%.*g", digits, value);
        digits++;
    } while (digits <= 17 && strtod (text, NULL) != value);
    weir_buf_put (out, text, strlen (text));
    if (strpbrk (text, ".e") == NULL) {
        weir_buf_put (out, ".0", 2);
    }
}

static int
compare_keys (const void *a, const void *b)
{
    return strcmp (*(const char *const *) a, *(const char *const *) b);
}

/* jansson's iterator takes the object without const, and does not change it. */
static json_t *
not_const (const json_t *value)
{
    return (json_t *) (uintptr_t) value;
}

static struct level
level_of (const json_t *value)
{
    struct level made = { .value = value };
    if (json_is_array (value)) {
        made.count = json_array_size (value);
        return made;
    }
    made.keys = weir_alloc ((json_object_size (value) + 1) * sizeof *made.keys);
    for (void *i = json_object_iter (not_const (value)); i != NULL;
         i = json_object_iter_next (not_const (value), i)) {
        made.keys[made.count++] = json_object_iter_key (i);
    }
    qsort (made.keys, made.count, sizeof *made.keys, compare_keys);
    return made;
}

/* Whatever has nothing in it; true when it was that. */
static bool
put_scalar (struct weir_buf *out, const json_t *value)
{
    switch (json_typeof (value)) {
    case JSON_OBJECT:
    case JSON_ARRAY:
        return false;
    case JSON_STRING:
        put_string (out, json_string_value (value), json_string_length (value));
        return true;
    case JSON_INTEGER:
        weir_buf_printf (out, "%" JSON_INTEGER_FORMAT, json_integer_value (value));
        return true;
    case JSON_REAL:
        put_real (out, json_real_value (value));
        return true;
    case JSON_TRUE:
        weir_buf_put (out, "true", 4);
        return true;
    case JSON_FALSE:
        weir_buf_put (out, "false", 5);
        return true;
    case JSON_NULL:
    default:
        weir_buf_put (out, "null", 4);
        return true;
    }
}

void
weir_json_put (struct weir_buf *out, const json_t *value)
{
    struct level *levels = NULL;
    size_t cap = 0;
    size_t depth = 0;
    const json_t *next = value;
    for (;;) {
        if (next != NULL && !put_scalar (out, next)) {
            weir_grow (&levels, &cap, depth + 1, sizeof *levels);
            levels[depth++] = level_of (next);
            weir_buf_put_u8 (out, json_is_array (next) ? '[' : '{');
        }
        if (depth == 0) {
            break;
        }
        struct level *top = &levels[depth - 1];
        if (top->next == top->count) {
            weir_buf_put_u8 (out, top->keys == NULL ? ']' : '}');
            free (top->keys);
            depth--;
            next = NULL;
            continue;
        }
        if (top->next > 0) {
            weir_buf_put_u8 (out, ',');
        }
        if (top->keys == NULL) {
            next = json_array_get (top->value, top->next);
        } else {
            const char *key = top->keys[top->next];
            put_string (out, key, strlen (key));
            weir_buf_put_u8 (out, ':');
            next = json_object_get (top->value, key);
        }
        top->next++;
    }
    free (levels);
}

/* ---- JSON Pointer (RFC 6901) ---- */

/* One part, up to '/' or the end; false when an escape is wrong. */
static bool
unescape (char *out, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] != '~') {
            *out++ = text[i];
            continue;
        }
        i++;
        if (i == len || (text[i] != '0' && text[i] != '1')) {
            return false;
        }
        *out++ = text[i] == '0' ? '~' : '/';
    }
    *out = 0;
    return true;
}

enum weir_status
weir_path_parse (struct weir_path *out, const char *pointer, struct weir_error *error)
{
    struct weir_path made = { 0 };
    size_t cap = 0;
    enum weir_status status = WEIR_OK;
    if (!weir_bytes_is_utf8 (weir_bytes_str (pointer))) {
        return weir_error_set (error, WEIR_INVALID_PATH, NULL, "the path is not UTF-8");
    }
    if (pointer[0] != 0 && pointer[0] != '/') {
        return weir_error_set (error, WEIR_INVALID_PATH, NULL, "the path %s does not begin with /",
                               pointer);
    }
    while (*pointer != 0) {
        const char *text = pointer + 1;
        size_t len = strcspn (text, "/");
        if (made.count == WEIR_PATH_PARTS_MAX) {
            status = weir_error_set (error, WEIR_LIMIT, NULL, "the path has more than %u parts",
                                     WEIR_PATH_PARTS_MAX);
            goto done;
        }
        weir_grow (&made.parts, &cap, made.count + 1, sizeof *made.parts);
        char *part = weir_alloc (len + 1);
        made.parts[made.count++] = part;
        if (!unescape (part, text, len)) {
            status = weir_error_set (error, WEIR_INVALID_PATH, "write ~0 for ~, and ~1 for /",
                                     "wrong escape in %.*s", (int) (len < 64 ? len : 64), text);
            goto done;
        }
        if (strlen (part) > WEIR_KEY_BYTES_MAX) {
            status =
                weir_error_set (error, WEIR_LIMIT, NULL,
                                "a part of the path has more than %u bytes", WEIR_KEY_BYTES_MAX);
            goto done;
        }
        pointer = text + len;
    }
    *out = made;
    made = (struct weir_path){ 0 };

done:
    weir_path_fini (&made);
    return status;
}

void
weir_path_fini (struct weir_path *p)
{
    for (size_t i = 0; i < p->count; i++) {
        free (p->parts[i]);
    }
    free (p->parts);
    *p = (struct weir_path){ 0 };
}

void
weir_path_put (struct weir_buf *out, const struct weir_path *p)
{
    for (size_t i = 0; i < p->count; i++) {
        weir_buf_put_u8 (out, '/');
        for (const char *c = p->parts[i]; *c != 0; c++) {
            if (*c == '~' || *c == '/') {
                weir_buf_put (out, *c == '~' ? "~0" : "~1", 2);
            } else {
                weir_buf_put_u8 (out, (uint8_t) *c);
            }
        }
    }
}
