#ifndef WEIR_STORE_CRDT_DOC_PARTS_H
#define WEIR_STORE_CRDT_DOC_PARTS_H

/* The inside of a document, for the files that share it: doc.c (entries and heads), doc_tree.c
 * (unique children, notices, chains), doc_history.c (warm and cold), state.c, change.c. Nobody
 * else includes it. */

#include "store/crdt/graph.h"
#include "store/crdt/payload.h"

#include "store/base/map.h"

/* The entry at hand, as types see it. */
struct weir_doc_now {
    const struct weir_doc_entry *entry; /* NULL: the open change, or nothing */
    uint32_t node;
    bool is_fast;
    bool is_applied;             /* it is among the heads by now, its ops are on their way */
    struct weir_numbers parents; /* in the graph; empty while cold */
};

struct weir_doc {
    struct weir_container *top;
    struct weir_map *uniques; /* id -> container */
    struct weir_chain *chains;
    size_t n_chains;
    size_t chains_cap;
    struct weir_map *chain_numbers; /* author, lane -> number + 1 */
    uint32_t last_chain;            /* the one asked for last */
    struct weir_id *heads;          /* sorted */
    size_t n_heads;
    size_t heads_cap;
    uint64_t lamport; /* of the next entry */
    const struct weir_history *history;
    uint64_t *budget;         /* NULL: no end */
    struct weir_graph *graph; /* NULL: cold */
    struct weir_doc_now now;
    struct weir_change *change; /* the open one */
    weir_notice_fn *notice;
    void *notice_context;
    struct weir_payload scratch;
    size_t bytes;
};

/* The container of a row; NULL when it is not there and `make` is false. */
struct weir_container *weir_doc_row_container (struct weir_doc *self, struct weir_payload *p,
                                               uint32_t row, const struct weir_id *entry,
                                               bool make);
/* All ops, in order, against the document; needs self->now. */
enum weir_status weir_doc_validate (struct weir_doc *self, struct weir_payload *p,
                                    const struct weir_id *entry);
/* Sets `now` for an entry, adding it to the graph while warm; or (NULL) for the open change. */
void weir_doc_begin (struct weir_doc *self, const struct weir_doc_entry *entry);
void weir_doc_end (struct weir_doc *self);
/* Moves the heads; adds it to the graph, while warm, unless it is there. */
void weir_doc_advance (struct weir_doc *self, const struct weir_doc_entry *entry);
/* WEIR_GRAPH_NONE: its parents are unknown, or it is there. */
uint32_t weir_doc_graph_add (struct weir_doc *self, const struct weir_doc_entry *entry);

/* A list of containers; zero-initialised is empty. The caller frees items. */
struct weir_containers {
    struct weir_container **items;
    size_t count;
    size_t cap;
};
void weir_containers_put (struct weir_containers *list, struct weir_container *c);
/* Those that hang below it by path, one level. */
void weir_containers_put_below (struct weir_containers *list, struct weir_container *parent);
/* Gives it and all below by path their ids. */
void weir_container_rename (struct weir_container *self, const struct weir_id *id);
/* Every container, in no order that matters. */
void weir_doc_walk (const struct weir_doc *self, struct weir_containers *out);

/* change.c: records what the open change has applied so far. */
void weir_change_record (struct weir_change *self);

#endif
