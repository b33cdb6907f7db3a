#ifndef WEIR_BROKER_LOCK_H
#define WEIR_BROKER_LOCK_H

/* The run directory: one broker a node, sockets nobody else may reach. */

#include "store/base/status.h"

/* Makes the directory (0700; its parent must be there) and locks it. The fd holds the lock, and
 * is closed on exec. WEIR_ALREADY_RUNNING, WEIR_CANNOT_CREATE, WEIR_READ_ONLY, WEIR_REFUSED for a
 * directory of another user. */
WEIR_MUST enum weir_status weir_lock_take (int *fd, const char *run_dir, struct weir_error *e);

#endif
