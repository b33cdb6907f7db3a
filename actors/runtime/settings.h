#ifndef WEIR_ACTORS_RUNTIME_SETTINGS_H
#define WEIR_ACTORS_RUNTIME_SETTINGS_H

/* Configuration: one ZPL file, weir.conf; flag > WEIR_* > file > default. One table,
 * settings.def, yields the parser, the sample, the environment names and `weir config show
 * --origin`; an unknown key is an error with a suggestion. Values are plain; all processes of a
 * node read the same file (the broker passes flags on as WEIR_* variables). */

#include "store/base/limits.h"
#include "store/base/status.h"
#include "store/base/bytes.h"

/* Rows: TEXT, NUMBER and FLAG; see settings.def. */
enum weir_setting_origin { WEIR_FROM_DEFAULT, WEIR_FROM_FILE, WEIR_FROM_ENV, WEIR_FROM_FLAG };

#define WEIR_SETTING_TEXT_MAX 512u

struct weir_settings_values {
#define TEXT(field, key, unit, value, choices, reload, text) char field[WEIR_SETTING_TEXT_MAX];
#define NUMBER(field, key, unit, value, min, max, reload, text) uint64_t field;
#define FLAG(field, key, unit, value, reload, text) bool field;
#include "actors/runtime/settings.def"
#undef TEXT
#undef NUMBER
#undef FLAG
    uint8_t origins[64];              /* enum weir_setting_origin, by row */
    char file[WEIR_SETTING_TEXT_MAX]; /* the file read; "" when none */
};

/* Defaults, then the file (NULL or absent: skipped unless `must_exist`), then the environment.
 * WEIR_BAD_CONFIG names file, line, key, value, what is allowed, and the likely key meant. What is
 * no regular file is refused, and not waited for. */
WEIR_MUST enum weir_status weir_settings_load (struct weir_settings_values *out, const char *file,
                                               bool must_exist, struct weir_error *e);
/* The same from the text of a file called `name`, on top of what is in `v` already. */
WEIR_MUST enum weir_status weir_settings_parse (struct weir_settings_values *v,
                                                struct weir_bytes text, const char *name,
                                                struct weir_error *e);
/* One value, as from a flag. */
WEIR_MUST enum weir_status weir_settings_set (struct weir_settings_values *v, const char *key,
                                              const char *value, enum weir_setting_origin origin,
                                              struct weir_error *e);
/* The i-th row for showing: false past the end. */
struct weir_setting_row {
    const char *key;
    const char *unit;
    const char *text;
    const char *choices; /* "a|b|c"; NULL: any */
    const char *origin;
    uint64_t min, max; /* of a number */
    bool is_number;
    bool reload;
    char env[64];
    char default_value[64];
    char value[WEIR_SETTING_TEXT_MAX];
};
bool weir_settings_row (const struct weir_settings_values *v, size_t i,
                        struct weir_setting_row *row);
void weir_settings_sample (struct weir_buf *out); /* a commented weir.conf */

#define WEIR_SETTINGS_BYTES_MAX (64u << 10) /* of the file */

/* Paths: where things are, following XDG for users and FHS for root; never the working
 * directory. `data` may be NULL (then WEIR_DATA, then the default); `v` may be NULL, as before
 * the file is read. All are absolute. */
struct weir_paths {
    char data[WEIR_SETTING_TEXT_MAX];    /* DIR */
    char config[WEIR_SETTING_TEXT_MAX];  /* DIR/weir.conf */
    char key[WEIR_SETTING_TEXT_MAX];     /* DIR/identity.key */
    char db[WEIR_SETTING_TEXT_MAX];      /* DIR/store */
    char tips[WEIR_SETTING_TEXT_MAX];    /* beside the data directory unless configured */
    char run[WEIR_SETTING_TEXT_MAX];     /* sockets, lock; 0700 */
    char control[WEIR_SETTING_TEXT_MAX]; /* ipc://run/control */
};
/* WEIR_BAD_CONFIG with a hint when an ipc path would pass WEIR_IPC_PATH_MAX. */
WEIR_MUST enum weir_status weir_paths_find (struct weir_paths *out, const char *data,
                                            const struct weir_settings_values *v,
                                            struct weir_error *e);

#endif
