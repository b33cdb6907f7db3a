#ifndef WEIR_STORE_REPLICA_DIFF_REPLICA_H
#define WEIR_STORE_REPLICA_DIFF_REPLICA_H

/* What diff_replica.c lends to undo.c and cursor.c. */

#include "store/replica/diff_apply.h"
#include "store/replica/replica_parts.h"

/* A version of a replica, to be read: what is shown, when that is it; else made by replay, with
 * a history of its own. Zero-initialised is none. */
struct weir_replica_made;
struct weir_replica_peek {
    struct weir_doc *doc;
    struct weir_replica_made *made; /* owned */
};
/* Nothing may be open. */
WEIR_MUST enum weir_status weir_replica_peek (struct weir_replica *self,
                                              const struct weir_heads *heads,
                                              struct weir_replica_peek *out, struct weir_error *e);
/* Always by replay. */
WEIR_MUST enum weir_status weir_replica_peek_made (struct weir_replica *self,
                                                   const struct weir_heads *heads,
                                                   struct weir_replica_peek *out,
                                                   struct weir_error *e);
void weir_replica_peek_fini (struct weir_replica_peek *peek);
/* Ready to apply to what is shown. */
struct weir_diff_apply weir_replica_applying (struct weir_replica *self, struct weir_error *e);

#endif
