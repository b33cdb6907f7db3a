#ifndef WEIR_STORE_KV_FILES_H
#define WEIR_STORE_KV_FILES_H

/* The directory that LevelDB lives in, looked at from outside. */

#include "store/base/bytes.h"

struct weir_files {
    bool current; /* LevelDB's entry point is there */
    bool data;    /* logs or tables are */
    uint64_t bytes;
};

/* WEIR_NOT_FOUND (no directory), or what errno says. */
WEIR_MUST enum weir_status weir_files_list (const char *path, struct weir_files *out);
/* Before LevelDB opens `path`: makes the directory (0700, durably) when absent and `create`;
 * WEIR_NOT_FOUND when there is no database and not `create`; WEIR_CORRUPT where LevelDB would
 * begin anew over what is left of an old one, or stop early without a word (torn.h). */
WEIR_MUST enum weir_status weir_files_look (const char *path, bool create, struct weir_error *e);
/* LevelDB's own lock, for who works on the files without it; to be closed. -1 and errno: EAGAIN
 * when another process holds it. Not while this process has the database open. */
int weir_files_lock (const char *path);

#endif
