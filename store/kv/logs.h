#ifndef WEIR_STORE_KV_LOGS_H
#define WEIR_STORE_KV_LOGS_H

/* What LevelDB does not tell about its logs (a MANIFEST is one too).
 *
 * A log whose last record is longer than what is left of the file ends there for LevelDB, without
 * a word: its writer died in the middle. But a flipped byte in the length of any record of the
 * last 32 KiB block looks the same, and that record and all behind it would be gone from a
 * database that opens clean. The two can be told apart: a damaged length has a whole record
 * behind it, which the checksum proves. And LevelDB's repair takes records from logs without
 * looking at their checksums at all. */

#include "store/base/bytes.h"

/* Before LevelDB opens `path`: looks at the last block of each log and MANIFEST. WEIR_CORRUPT,
 * with the file's name, when a length was damaged. A file that cannot be read is left for LevelDB
 * to complain about. */
WEIR_MUST enum weir_status weir_logs_check (const char *path, struct weir_error *e);
/* Before LevelDB repairs `path`: wipes each damaged record of each log, and what follows it in
 * its block, with zeros, which every reader skips. */
WEIR_MUST enum weir_status weir_logs_mend (const char *path, struct weir_error *e);

/* For one block, of which `last` says that the file ends with it: where the first damaged record
 * begins; the block's length when there is none. With `lengths_only`, records that fit in the
 * block are believed. */
size_t weir_logs_damage (struct weir_bytes block, bool last, bool lengths_only);

#endif
