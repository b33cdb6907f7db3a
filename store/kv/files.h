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
/* Holds the directory until the fd is closed: against other processes and this one. (LevelDB's
 * own lock is lost when the process that holds it tries to open the database again.)
 * WEIR_ALREADY_RUNNING, WEIR_NOT_FOUND, or what errno says. */
WEIR_MUST enum weir_status weir_files_lock (int *fd, const char *path, struct weir_error *e);
/* Before LevelDB opens `path`: makes the directory (0700, durably) when absent and `create`,
 * locks it, and looks at what is in it. WEIR_NOT_FOUND when there is no database and not
 * `create`; WEIR_CORRUPT where LevelDB would begin anew over what is left of an old one, or stop
 * early without a word (logs.h). The fd is given on success only. */
WEIR_MUST enum weir_status weir_files_take (int *fd, const char *path, bool create,
                                            struct weir_error *e);

#endif
