#ifndef WEIR_STORE_KV_TORN_H
#define WEIR_STORE_KV_TORN_H

/* What LevelDB does not tell. A log (or MANIFEST) whose last record is longer than what is left
 * of the file ends there for LevelDB, without a word: its writer died in the middle. But a
 * flipped byte in the length of any record of the last 32 KiB block looks the same, and that
 * record and all behind it would be gone from a database that opens clean. The two can be told
 * apart: a damaged length has a whole record behind it, which the checksum proves. */

#include "store/base/bytes.h"

/* Looks at the last block of each log and MANIFEST in `path`, before LevelDB opens it.
 * WEIR_CORRUPT, with the file's name, when a length was damaged. A file that cannot be read is
 * left for LevelDB to complain about. */
WEIR_MUST enum weir_status weir_torn_check (const char *path, struct weir_error *e);
/* The same for the bytes of one file's last block. */
bool weir_torn_is_damaged (struct weir_bytes block);

#endif
