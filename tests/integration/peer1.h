#ifndef WEIR_TESTS_INTEGRATION_PEER1_H
#define WEIR_TESTS_INTEGRATION_PEER1_H

/* A node of the first protocol, and of nothing since: one socket, one repository in memory, and
 * protocol 1 written out by hand beside them, so that what the project's synchronizer learns
 * later cannot leak into it. A message of a kind that protocol 1 did not have, or a field that a
 * message then had not, ends the test. */

#include "store/repo/repo.h"
#include "tests/integration/hostile_world.h"

struct peer1 {
    struct hostile h;
    struct hostile_id id;
    struct weir_kv *kv;
    struct weir_tips *tips;
    struct weir_repo *repo;
    struct weir_id db;
    struct weir_id hub;
    bool connected;
    struct weir_id theirs; /* the digest they told last */
    uint64_t tag;
    uint64_t in; /* a transfer to us, and what came of it and is no whole run yet */
    struct weir_buf stream;
    uint64_t out; /* a transfer to them: 0 none */
    bool accepted;
    uint64_t sent;
    uint64_t acked;
    struct weir_buf unsent;
    uint64_t vectors, offers, frames; /* heard */
};

void peer1_init (struct peer1 *p, struct world *w, unsigned number);
void peer1_fini (struct peer1 *p);
void peer1_connect (struct peer1 *p, struct world *w);
void peer1_hang_up (struct peer1 *p);
/* Hears and answers for so long. */
void peer1_turn (struct peer1 *p, uint32_t ms);
/* Says its rows and asks for theirs: what the smaller device of two does when digests differ. */
void peer1_ask (struct peer1 *p);
/* Commits a string at a path, and pushes it when connected. */
void peer1_set (struct peer1 *p, const char *path, const char *text);
bool peer1_has (struct peer1 *p, const char *path, const char *text);
/* The digest of what it holds; zero when it holds nothing. */
struct weir_id peer1_digest (struct peer1 *p);

#endif
