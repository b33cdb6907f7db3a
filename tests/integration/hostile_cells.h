#ifndef WEIR_TESTS_INTEGRATION_HOSTILE_CELLS_H
#define WEIR_TESTS_INTEGRATION_HOSTILE_CELLS_H

/* The requests of the refusal matrix: each says something on a link it is given, and tells in
 * words how that ended. */

#include "tests/integration/hostile_world.h"

enum phase {
    DIALS, /* the request dials by itself */
    LINK,  /* the CURVE handshake is done, nothing was said */
    MID,   /* both Hellos and their Proof, not ours */
    OPEN,  /* in session */
    GUEST  /* in session, by tickets alone */
};

struct cell {
    struct world *w;
    enum who who;
    struct hostile h;
    bool dialled;
    unsigned arg;
    uint64_t event; /* the newest before */
    char got[64];
};

typedef void (request_fn) (struct cell *c);

struct request {
    const char *name;
    enum phase phase;
    request_fn *run;
    unsigned arg;
    const char *expect;   /* of a member */
    const char *expect_w; /* of the one with the right to write, when that differs */
};

extern const struct request requests[];
extern const size_t n_requests;

#endif
