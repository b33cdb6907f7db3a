#ifndef WEIR_STORE_BASE_JSON_H
#define WEIR_STORE_BASE_JSON_H

/* JSON at the door: jansson with our limits. Duplicate keys, trailing bytes, invalid UTF-8,
 * NUL in strings, depth beyond WEIR_JSON_DEPTH_MAX and size beyond `bytes_max` are refused with
 * a sentence that names line and column. A number is an int64 when it has neither fraction nor
 * exponent and fits, else a double. */

#include <jansson.h>

#include "store/base/status.h"
#include "store/base/bytes.h"

/* *out is the caller's (json_decref). Any JSON value is accepted, not only objects. */
WEIR_MUST enum weir_status weir_json_parse (json_t **out, struct weir_bytes text, size_t bytes_max,
                                            struct weir_error *error);
/* Appends compact JSON with sorted keys, one line, no newline; doubles print so that they read
 * back the same. */
void weir_json_put (struct weir_buf *out, const json_t *value);

/* RFC 6901. Splits "/a/b~1c" into unescaped parts; "" is the whole document (0 parts). At most
 * WEIR_PATH_PARTS_MAX parts of at most WEIR_KEY_BYTES_MAX bytes each. */
struct weir_path {
    size_t count;
    char **parts; /* NUL-terminated, owned */
};
WEIR_MUST enum weir_status weir_path_parse (struct weir_path *out, const char *pointer,
                                            struct weir_error *error);
void weir_path_fini (struct weir_path *p);
void weir_path_put (struct weir_buf *out, const struct weir_path *p); /* the pointer's text */

#endif
