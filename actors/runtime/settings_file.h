#ifndef WEIR_ACTORS_RUNTIME_SETTINGS_FILE_H
#define WEIR_ACTORS_RUNTIME_SETTINGS_FILE_H

/* Reads the subset of ZPL (rfc.zeromq.org/spec/4) that weir.conf uses: `name = value` lines,
 * sections as names alone, children indented by exactly four spaces, # comments, values bare or
 * quoted by " or ' without escapes. */

#include "store/base/bytes.h"

/* One value: `key` is section/name. A status other than WEIR_OK ends the reading. */
typedef enum weir_status (weir_settings_value_fn) (void *context, unsigned line, const char *key,
                                                   const char *value, struct weir_error *e);

WEIR_MUST enum weir_status weir_settings_file_read (struct weir_bytes text, const char *name,
                                                    weir_settings_value_fn *value, void *context,
                                                    struct weir_error *e);

#endif
