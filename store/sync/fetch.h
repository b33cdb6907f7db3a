#ifndef WEIR_STORE_SYNC_FETCH_H
#define WEIR_STORE_SYNC_FETCH_H

/* Which missing piece of a blob is asked of whom. A *source* is a session on which a database is
 * shared. What is asked of one is bounded by how fast it answers; pieces are spread over all that
 * may have them; what one lacks, or does not send, is asked of others; one that sent other bytes
 * than their hash says is left alone for a while, with all its sessions. Pure: no clock, no I/O,
 * and it knows nothing of what is missing: the caller offers piece after piece. */

#include "store/dag/blob.h"

struct weir_fetch;

struct weir_fetch *weir_fetch_new (void);
void weir_fetch_destroy (struct weir_fetch **self_p);
/* Idempotent. Closing gives back what was asked there. */
void weir_fetch_open (struct weir_fetch *self, uint64_t session, const struct weir_id *db,
                      const struct weir_id *device);
void weir_fetch_close (struct weir_fetch *self, uint64_t session, const struct weir_id *db);

enum weir_fetch_answer {
    WEIR_FETCH_ASK,  /* of *session, now */
    WEIR_FETCH_WAIT, /* it is asked already, or nobody who may have it has room: offer the next */
    WEIR_FETCH_FULL  /* nobody has any room: offer nothing more for now */
};
enum weir_fetch_answer weir_fetch_offer (struct weir_fetch *self, const struct weir_id *db,
                                         const struct weir_piece *piece, uint64_t now_ms,
                                         uint64_t *session);

/* It came and is good, or it is not wanted any more. Whether it was asked of this one. */
bool weir_fetch_came (struct weir_fetch *self, uint64_t session, const struct weir_id *db,
                      const struct weir_id *piece, uint64_t now_ms);
/* Of this blob the source has only what the bits say (one for each chunk, the first one highest;
 * none: nothing). */
void weir_fetch_lacks (struct weir_fetch *self, uint64_t session, const struct weir_id *db,
                       const struct weir_id *blob, struct weir_bytes here);
/* It has more than it said. */
void weir_fetch_has_more (struct weir_fetch *self, uint64_t session, const struct weir_id *db);
/* It sent other bytes. Whose device that is (false: unknown session). */
bool weir_fetch_is_wrong (struct weir_fetch *self, uint64_t session, uint64_t now_ms,
                          struct weir_id *device);
/* Gives back what was asked too long ago; how many. */
size_t weir_fetch_late (struct weir_fetch *self, uint64_t now_ms);
/* Pieces that are asked and did not come. */
size_t weir_fetch_asked (const struct weir_fetch *self);
size_t weir_fetch_asked_of (const struct weir_fetch *self, const struct weir_id *db);

/* For people: sources of a database, and those which may have all of it. */
struct weir_fetch_sources {
    size_t count;
    size_t lacking; /* said that they lack some of it */
    size_t banned;
    struct weir_id devices[8]; /* the first that do not lack any */
    size_t n_devices;
};
void weir_fetch_sources (const struct weir_fetch *self, const struct weir_id *db, uint64_t now_ms,
                         struct weir_fetch_sources *out);

#endif
