#ifndef WEIR_STORE_KV_TIPS_H
#define WEIR_STORE_KV_TIPS_H

/* The tips file (page 2, "A key in two places"): a small second file, outside the data
 * directory by default, that holds the tips this device has signed. Written whole (temporary
 * file, rename), without fsync, after each sync to disk and before anything leaves. If it is
 * missing or ahead of the database at start, the store takes new lanes. */

#include "store/base/bytes.h"

struct weir_tips;

struct weir_tips *weir_tips_file_new (const char *path);
struct weir_tips *weir_tips_memory_new (void); /* for tests and the simulator */
void weir_tips_destroy (struct weir_tips **self_p);
/* Appends the content. WEIR_NOT_FOUND when it was never written; WEIR_CORRUPT for a checksum
 * that does not fit (treated like missing); WEIR_IO_ERROR. */
WEIR_MUST enum weir_status weir_tips_load (struct weir_tips *self, struct weir_buf *out);
/* After a failure the old content stands: WEIR_DISK_FULL, WEIR_READ_ONLY, WEIR_IO_ERROR;
 * WEIR_TOO_LARGE beyond 64 MiB. */
WEIR_MUST enum weir_status weir_tips_save (struct weir_tips *self, struct weir_bytes content);

#endif
