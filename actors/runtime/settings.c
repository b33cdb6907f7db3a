/* Owns the values of a process's settings: the table of settings.def, where each value came
 * from, and what is refused. The file's grammar is settings_file.c's, where things are is
 * paths.c's. Every process of a node calls this once at start. */

#include "actors/runtime/settings.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "actors/runtime/settings_file.h"

enum setting_type { SETTING_TEXT, SETTING_NUMBER, SETTING_FLAG };

struct setting {
    enum setting_type type;
    const char *key;
    const char *unit;
    const char *text;
    const char *choices;
    const char *text_default;
    uint64_t number_default; /* of a flag: 0 or 1 */
    uint64_t min, max;
    size_t at; /* in struct weir_settings_values */
    bool reload;
};

#define AT(field) offsetof (struct weir_settings_values, field)
static const struct setting settings[] = {
#define TEXT(field, key, unit, value, choices, reload, text)                                       \
    { SETTING_TEXT, key, unit, text, choices, value, 0, 0, 0, AT (field), reload },
#define NUMBER(field, key, unit, value, min, max, reload, text)                                    \
    { SETTING_NUMBER, key, unit, text, NULL, NULL, value, min, max, AT (field), reload },
#define FLAG(field, key, unit, value, reload, text)                                                \
    { SETTING_FLAG, key, unit, text, NULL, NULL, value, 0, 0, AT (field), reload },
#include "actors/runtime/settings.def"
#undef TEXT
#undef NUMBER
#undef FLAG
};
#define SETTINGS (sizeof settings / sizeof settings[0])
_Static_assert(SETTINGS <= sizeof ((struct weir_settings_values *) 0)->origins,
               "origins has too few places");

static char *
text_at (const struct weir_settings_values *v, const struct setting *s)
{
    return (char *) (uintptr_t) v + s->at;
}

static void
env_name (char out[64], const char *key)
{
    size_t at = (size_t) snprintf (out, 64, "WEIR_");
    for (; *key != '\0' && at < 63; key++, at++) {
        out[at] = *key == '/' ? '_' : (char) toupper ((unsigned char) *key);
    }
    out[at] = '\0';
}

static void
set_defaults (struct weir_settings_values *v)
{
    memset (v, 0, sizeof *v);
    for (size_t i = 0; i < SETTINGS; i++) {
        const struct setting *s = &settings[i];
        bool flag = s->number_default != 0;
        if (s->type == SETTING_TEXT) {
            (void) snprintf (text_at (v, s), WEIR_SETTING_TEXT_MAX, "%s", s->text_default);
        } else if (s->type == SETTING_NUMBER) {
            memcpy (text_at (v, s), &s->number_default, sizeof s->number_default);
        } else {
            memcpy (text_at (v, s), &flag, sizeof flag);
        }
    }
}

/* ---- one value ---- */

/* Levenshtein's distance, two rows; keys are short. */
static size_t
distance (const char *a, const char *b)
{
    size_t row[64];
    size_t n = strlen (b);
    if (n >= 64) {
        return SIZE_MAX;
    }
    for (size_t j = 0; j <= n; j++) {
        row[j] = j;
    }
    for (size_t i = 0; a[i] != '\0'; i++) {
        size_t corner = row[0];
        row[0] = i + 1;
        for (size_t j = 1; j <= n; j++) {
            size_t here = corner + (a[i] == b[j - 1] ? 0 : 1);
            corner = row[j];
            here = here < row[j] + 1 ? here : row[j] + 1;
            row[j] = here < row[j - 1] + 1 ? here : row[j - 1] + 1;
        }
    }
    return row[n];
}

static enum weir_status
refuse_key (const char *where, const char *key, struct weir_error *e)
{
    size_t best = SIZE_MAX;
    const char *likely = "";
    for (size_t i = 0; i < SETTINGS; i++) {
        size_t d = distance (key, settings[i].key);
        if (d < best) {
            best = d;
            likely = settings[i].key;
        }
    }
    char hint[160];
    (void) snprintf (hint, sizeof hint, "did you mean %s?", likely);
    bool near = best <= 3 || best <= strlen (key) / 3;
    return weir_error_set (e, WEIR_BAD_CONFIG, near ? hint : "weir config show lists all keys",
                           "%s: there is no setting %s", where, key);
}

static bool
is_choice (const char *choices, const char *value)
{
    size_t len = strlen (value);
    for (const char *p = choices; p != NULL; p = strchr (p, '|')) {
        p += *p == '|' ? 1 : 0;
        if (strcspn (p, "|") == len && strncmp (p, value, len) == 0) {
            return true;
        }
    }
    return false;
}

static bool
parse_number (uint64_t *out, const char *text)
{
    uint64_t n = 0;
    if (*text == '\0') {
        return false;
    }
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9' || n > (UINT64_MAX - 9) / 10) {
            return false;
        }
        n = n * 10 + (uint64_t) (*text - '0');
    }
    *out = n;
    return true;
}

static bool
parse_flag (bool *out, const char *text)
{
    static const char *const yes[] = { "yes", "true", "on", "1" };
    static const char *const no[] = { "no", "false", "off", "0" };
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
        if (strcmp (text, yes[i]) == 0 || strcmp (text, no[i]) == 0) {
            *out = strcmp (text, yes[i]) == 0;
            return true;
        }
    }
    return false;
}

static enum weir_status
refuse_value (const char *where, const struct setting *s, const char *value, struct weir_error *e)
{
    char allowed[128];
    if (s->type == SETTING_NUMBER) {
        (void) snprintf (allowed, sizeof allowed, "a number from %llu to %llu%s%s",
                         (unsigned long long) s->min, (unsigned long long) s->max,
                         s->unit[0] == '\0' ? "" : ", in ", s->unit);
    } else if (s->type == SETTING_FLAG) {
        (void) snprintf (allowed, sizeof allowed, "yes or no");
    } else if (s->choices != NULL) {
        (void) snprintf (allowed, sizeof allowed, "one of %s", s->choices);
    } else {
        (void) snprintf (allowed, sizeof allowed, "text of fewer than %u bytes on one line",
                         WEIR_SETTING_TEXT_MAX);
    }
    return weir_error_set (e, WEIR_BAD_CONFIG, NULL, "%s: %s = %.64s: must be %s", where, s->key,
                           value, allowed);
}

static bool
is_plain (const char *value)
{
    for (const char *p = value; *p != '\0'; p++) {
        if ((unsigned char) *p < 0x20 || *p == 0x7f) {
            return false;
        }
    }
    return strlen (value) < WEIR_SETTING_TEXT_MAX;
}

static enum weir_status
set_value (struct weir_settings_values *v, const char *where, const char *key, const char *value,
           enum weir_setting_origin origin, struct weir_error *e)
{
    size_t i = 0;
    while (i < SETTINGS && strcmp (settings[i].key, key) != 0) {
        i++;
    }
    if (i == SETTINGS) {
        return refuse_key (where, key, e);
    }
    const struct setting *s = &settings[i];
    uint64_t number = 0;
    bool flag = false;
    switch (s->type) {
    case SETTING_TEXT:
        if (!is_plain (value) || (s->choices != NULL && !is_choice (s->choices, value))) {
            return refuse_value (where, s, value, e);
        }
        (void) snprintf (text_at (v, s), WEIR_SETTING_TEXT_MAX, "%s", value);
        break;
    case SETTING_NUMBER:
        if (!parse_number (&number, value) || number < s->min || number > s->max) {
            return refuse_value (where, s, value, e);
        }
        memcpy (text_at (v, s), &number, sizeof number);
        break;
    case SETTING_FLAG:
        if (!parse_flag (&flag, value)) {
            return refuse_value (where, s, value, e);
        }
        memcpy (text_at (v, s), &flag, sizeof flag);
        break;
    }
    v->origins[i] = (uint8_t) origin;
    return WEIR_OK;
}

enum weir_status
weir_settings_set (struct weir_settings_values *v, const char *key, const char *value,
                   enum weir_setting_origin origin, struct weir_error *e)
{
    return set_value (v, origin == WEIR_FROM_ENV ? "the environment" : "the command line", key,
                      value, origin, e);
}

/* ---- all of them ---- */

struct from_file {
    struct weir_settings_values *v;
    const char *name;
};

static enum weir_status
value_from_file (void *context, unsigned line, const char *key, const char *value,
                 struct weir_error *e)
{
    const struct from_file *from = context;
    char where[WEIR_SETTING_TEXT_MAX + 16];
    (void) snprintf (where, sizeof where, "%s:%u", from->name, line);
    return set_value (from->v, where, key, value, WEIR_FROM_FILE, e);
}

enum weir_status
weir_settings_parse (struct weir_settings_values *v, struct weir_bytes text, const char *name,
                     struct weir_error *e)
{
    struct from_file from = { v, name };
    return weir_settings_file_read (text, name, value_from_file, &from, e);
}

/* Opens the file, without waiting for whoever would write into a pipe: a node reads it again while
 * it runs. *fd is -1 where there is none and there need not be. */
static enum weir_status
open_file (const char *file, bool must_exist, int *fd, struct weir_error *e)
{
    struct stat st;
    *fd = open (file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (*fd < 0 && errno == ENOENT) {
        return !must_exist ? WEIR_OK
                           : weir_error_set (e, WEIR_BAD_CONFIG,
                                             "put it back; weir config show lists every setting",
                                             "there is no file %s", file);
    }
    if (*fd < 0 && errno != ENXIO) {
        return weir_error_set (e, WEIR_BAD_CONFIG, NULL, "cannot read %s: %s", file,
                               strerror (errno));
    }
    if (*fd >= 0 && fstat (*fd, &st) == 0 && S_ISREG (st.st_mode)) {
        return WEIR_OK;
    }
    if (*fd >= 0) {
        (void) close (*fd);
        *fd = -1;
    }
    return weir_error_set (e, WEIR_BAD_CONFIG, "settings are read from a file of text",
                           "%s is no regular file", file);
}

static enum weir_status
read_file (struct weir_settings_values *v, const char *file, bool must_exist, struct weir_error *e)
{
    struct weir_buf text = { 0 };
    int fd = -1;
    enum weir_status status = open_file (file, must_exist, &fd, e);
    if (fd < 0) {
        return status;
    }
    for (;;) {
        weir_buf_reserve (&text, WEIR_SETTINGS_BYTES_MAX + 1 - text.len);
        ssize_t n = read (fd, text.data + text.len, WEIR_SETTINGS_BYTES_MAX + 1 - text.len);
        if (n < 0) {
            status = weir_error_set (e, WEIR_BAD_CONFIG, NULL, "cannot read %s: %s", file,
                                     strerror (errno));
            goto done;
        }
        text.len += (size_t) n;
        if (text.len > WEIR_SETTINGS_BYTES_MAX) {
            status = weir_error_set (e, WEIR_BAD_CONFIG, NULL, "%s is larger than %u bytes", file,
                                     WEIR_SETTINGS_BYTES_MAX);
            goto done;
        }
        if (n == 0) {
            break;
        }
    }
    (void) snprintf (v->file, sizeof v->file, "%s", file);
    status = weir_settings_parse (v, weir_buf_bytes (&text), file, e);
done:
    weir_buf_fini (&text);
    (void) close (fd);
    return status;
}

enum weir_status
weir_settings_load (struct weir_settings_values *out, const char *file, bool must_exist,
                    struct weir_error *e)
{
    struct weir_settings_values v;
    set_defaults (&v);
    enum weir_status status = WEIR_OK;
    if (file != NULL) {
        status = read_file (&v, file, must_exist, e);
    }
    for (size_t i = 0; i < SETTINGS && status == WEIR_OK; i++) {
        char name[64];
        env_name (name, settings[i].key);
        const char *value = getenv (name);
        if (value != NULL) {
            status = set_value (&v, name, settings[i].key, value, WEIR_FROM_ENV, e);
        }
    }
    if (status == WEIR_OK) {
        *out = v;
    }
    return status;
}

/* ---- showing ---- */

static void
show (char *out, size_t size, const struct setting *s, const void *place)
{
    uint64_t number = 0;
    bool flag = false;
    switch (s->type) {
    case SETTING_TEXT:
        (void) snprintf (out, size, "%s", (const char *) place);
        break;
    case SETTING_NUMBER:
        memcpy (&number, place, sizeof number);
        (void) snprintf (out, size, "%llu", (unsigned long long) number);
        break;
    case SETTING_FLAG:
        memcpy (&flag, place, sizeof flag);
        (void) snprintf (out, size, "%s", flag ? "yes" : "no");
        break;
    }
}

static void
show_default (char *out, size_t size, const struct setting *s)
{
    bool flag = s->number_default != 0;
    const void *place = &s->number_default;
    if (s->type == SETTING_TEXT) {
        place = s->text_default;
    } else if (s->type == SETTING_FLAG) {
        place = &flag;
    }
    show (out, size, s, place);
}

bool
weir_settings_row (const struct weir_settings_values *v, size_t i, struct weir_setting_row *row)
{
    static const char *const origins[] = { "default", "file", "environment", "flag" };
    if (i >= SETTINGS) {
        return false;
    }
    const struct setting *s = &settings[i];
    *row = (struct weir_setting_row){
        .key = s->key,
        .unit = s->unit,
        .text = s->text,
        .choices = s->choices,
        .origin = origins[v->origins[i] % 4],
        .min = s->min,
        .max = s->max,
        .is_number = s->type == SETTING_NUMBER,
        .reload = s->reload,
    };
    env_name (row->env, s->key);
    show_default (row->default_value, sizeof row->default_value, s);
    show (row->value, sizeof row->value, s, text_at (v, s));
    return true;
}

void
weir_settings_sample (struct weir_buf *out)
{
    weir_buf_printf (out, "# weir.conf: what is commented out is the default. Each can also be\n"
                          "# given as an environment variable: role as WEIR_ROLE.\n");
    for (size_t i = 0; i < SETTINGS; i++) {
        const struct setting *s = &settings[i];
        char value[64];
        show_default (value, sizeof value, s);
        weir_buf_printf (out, "\n# %s", s->text);
        if (s->choices != NULL) {
            weir_buf_printf (out, " (%s)", s->choices);
        } else if (s->type == SETTING_NUMBER) {
            weir_buf_printf (out, " (%llu .. %llu%s%s)", (unsigned long long) s->min,
                             (unsigned long long) s->max, s->unit[0] == '\0' ? "" : " ", s->unit);
        }
        weir_buf_printf (out, "\n# %s = %s\n", s->key, value[0] == '\0' ? "\"\"" : value);
    }
}
