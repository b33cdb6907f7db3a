#ifndef WEIR_TESTS_MODELS_PLAY_H
#define WEIR_TESTS_MODELS_PLAY_H

/* Random histories of a document for models that edit by changes: 2 to 5 replicas, which commit,
 * exchange entries in any order that keeps causes first, start again from a saved state, go cold
 * and warm; several write on lanes of one author, some on the very same chain. At every step a
 * replica is what the model makes of the entries it has seen; at the end all are equal in values
 * and bytes, as are fresh documents that take the entries in other orders, and every version by
 * replay. */

#include "tests/models/models.h"

#include "store/crdt/change.h"
#include "store/crdt/payload.h"

#include "store/base/rand.h"

#define PLAY_ENTRIES_MAX 48u
#define PLAY_REPLICAS_MAX 5u

struct play_entry {
    struct weir_doc_entry head;
    struct weir_id parents[PLAY_REPLICAS_MAX + 2];
    struct weir_buf payload;
    struct weir_payload decoded; /* ops resolved */
    uint64_t past;               /* entries before it, a bit each */
};

struct play;
struct play_replica {
    struct play *play;
    struct weir_doc *doc;
    struct weir_history history;
    struct weir_chain chain;
    uint64_t seen;
    uint8_t order[PLAY_ENTRIES_MAX]; /* entries, as they came */
    size_t n_order;
};

struct play_model {
    /* Some ops in the open change; none is allowed. */
    void (*edit) (struct play *play, struct play_replica *replica, struct weir_change *change);
    /* The document is what these entries make. */
    void (*check) (struct play *play, struct weir_doc *doc, uint64_t seen);
};

struct play {
    struct weir_rand rand;
    const struct play_model *model;
    struct play_entry entries[PLAY_ENTRIES_MAX];
    size_t n_entries;
    struct play_replica replicas[PLAY_REPLICAS_MAX];
    size_t n_replicas;
};

void play_history (uint64_t seed, const struct play_model *model);
uint64_t play_below (struct play *play, uint64_t n);

/* Every op in sight with its order, one after the other: *entry and *i start at 0, *offset is
 * that of the op in its entry. NULL at the end. */
const struct weir_op *play_next (const struct play *play, uint64_t seen, size_t *entry, size_t *i,
                                 uint32_t *offset);

/* The value at the path is this JSON (stolen). */
void play_check_value (const struct weir_doc *doc, const char *path, json_t *wanted);

#endif
