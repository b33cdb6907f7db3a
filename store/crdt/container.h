#ifndef WEIR_STORE_CRDT_CONTAINER_H
#define WEIR_STORE_CRDT_CONTAINER_H

/* What a container type is: one file behind one vtable. doc.c owns the tree of containers,
 * payload.c the bytes around ops, edit.c what is not sealed yet; what an op means, only its
 * type knows.
 *
 * A payload addresses its ops by a table of containers: a row is a root {type, name}, a child
 * by path {parent row, key, type}, or (to come) a unique child {entry, offset}. An op's head
 * holds its row and its code in that row's type; then come the fields that the type reads.
 *
 * To add a type: number it below, write its file, name its table in container.c. */

#include "store/crdt/doc.h"
#include "store/crdt/value.h"

enum weir_container_number {
    WEIR_CONTAINER_MAP = 1 /* list 2, text 3, movable list 4, tree 5, counter 6 to come */
};

enum weir_map_code {
    WEIR_MAP_SET = 0,   /* key blob, value */
    WEIR_MAP_DELETE = 1 /* key blob */
};

/* A root's container has depth 1. The document as JSON is one deeper, and so are bytes in the
 * deepest: together within what weir_json_parse takes. */
#define WEIR_CONTAINER_DEPTH_MAX (WEIR_JSON_DEPTH_MAX - 2u)

struct weir_container_type;

/* The head of every container; a type's own struct begins with it. */
struct weir_container {
    const struct weir_container_type *type;
    struct weir_doc *doc;
    struct weir_container *parent;  /* NULL: the document itself, whose keys are the roots */
    struct weir_container *sibling; /* same parent and key, another (greater) type */
    struct weir_id id;              /* hash of (parent id, key, type); zero for the document */
    uint8_t *key;                   /* owned */
    uint32_t key_len;
    uint32_t mark; /* for walks over the tree (save); means nothing between them */
    uint32_t depth;
};

/* Who wrote, and when: what the order key is made of. `chain` counts in the document's table. */
struct weir_stamp {
    uint64_t lamport;
    const struct weir_id *entry;
    uint32_t chain;
};

/* One op, decoded. Types to come add their fields. */
struct weir_op {
    uint32_t row;
    uint32_t atoms; /* how many ops it counts as */
    uint8_t code;
    struct weir_bytes key;
    struct weir_value value;
};

/* What stands at one place of a container. */
struct weir_item {
    struct weir_bytes key; /* of maps */
    struct weir_value value;
    struct weir_container *child; /* for WEIR_VALUE_CONTAINER; NULL while it is empty */
};

/* One of the values that concur. */
struct weir_concurrent {
    struct weir_stamp stamp;
    struct weir_value value;
};

struct weir_save;
struct weir_load;

struct weir_container_type {
    uint8_t number;
    const char *name;
    size_t size; /* of its struct; it comes zeroed and with its head filled in */
    void (*fini) (struct weir_container *self);

    /* Reads the fields behind the head (op->row and op->code are set), sets op->atoms. What is
     * cut short sets r->bad. WEIR_BAD_PAYLOAD, WEIR_NEEDS_UPGRADE (unknown code). */
    enum weir_status (*decode) (struct weir_reader *r, struct weir_op *op);
    /* The reverse of decode. */
    void (*encode) (struct weir_buf *out, const struct weir_op *op);
    /* Whether the op can be applied to the container as it is (NULL: it is not there yet, so
     * empty). All ops of a payload pass here before the first is applied. */
    enum weir_status (*validate) (const struct weir_container *self, const struct weir_op *op);
    void (*apply) (struct weir_container *self, const struct weir_op *op,
                   const struct weir_stamp *stamp);
    /* Adds what the op does to {"op", "path"} for people; the key goes to the path. */
    void (*describe) (const struct weir_op *op, json_t *out);

    /* The container as JSON, without what `next` gives; NULL is an empty one. */
    json_t *(*json) (const struct weir_container *self);
    /* The visible items; *i starts at 0. NULL for types without items. */
    bool (*next) (const struct weir_container *self, size_t *i, struct weir_item *item);
    /* What is visible at one part of a path; false: nothing. */
    bool (*find) (const struct weir_container *self, struct weir_bytes part,
                  struct weir_item *item);
    /* The values that concur there, the winner first; how many (at most `max`). */
    size_t (*concurrent) (const struct weir_container *self, struct weir_bytes part,
                          struct weir_concurrent *values, size_t max);
    /* Children by path, visible or not: where the first child under the key hangs; NULL when
     * the place does not exist and `make` is false. */
    struct weir_container **(*children) (struct weir_container *self, struct weir_bytes key,
                                         bool make);
    /* Every key that children hang under, in any order. */
    struct weir_container *(*next_children) (const struct weir_container *self, size_t *i);

    /* Was no op ever applied to it? */
    bool (*is_empty) (const struct weir_container *self);
    /* The state, canonical, without children. */
    void (*save) (struct weir_container *self, struct weir_save *save);
    /* Into a new, empty container. WEIR_BAD_PAYLOAD for what save would not have written. */
    enum weir_status (*load) (struct weir_container *self, struct weir_load *load);
};

extern const struct weir_container_type weir_container_map;

/* NULL: unknown here. */
const struct weir_container_type *weir_container_type (uint8_t number);
/* The child by path, made when it is not there and `make` says so; else NULL. */
struct weir_container *weir_container_child (struct weir_container *self, struct weir_bytes key,
                                             const struct weir_container_type *type, bool make);
struct weir_bytes weir_container_key (const struct weir_container *self);
/* Frees it and all below. */
void weir_container_destroy (struct weir_container **self_p);

/* ---- what doc.c gives to types ---- */

/* <0, 0, >0, by order key. */
int weir_doc_compare_stamps (const struct weir_doc *doc, const struct weir_stamp *a,
                             const struct weir_stamp *b);
/* What stands there as JSON, with all below. */
json_t *weir_doc_item_json (const struct weir_item *item);
/* Accounts for memory taken (or given back). */
void weir_doc_count_bytes (struct weir_doc *doc, ptrdiff_t bytes);
/* The document's own container; its items are the roots. */
struct weir_container *weir_doc_top (const struct weir_doc *doc);

/* The table of chains that stamps count in. */
uint32_t weir_doc_chain_number (struct weir_doc *doc, const struct weir_chain *chain);
uint32_t weir_doc_chains (const struct weir_doc *doc);
const struct weir_chain *weir_doc_chain (const struct weir_doc *doc, uint32_t number);

/* ---- state.c: what save and load lend to types ---- */

/* The writes of a state: stamp, then value; a write of the same entry as the one before costs
 * no id. Nothing is appended while `out` is NULL: that pass only finds the chains in use. */
struct weir_save {
    struct weir_buf *out;
    const struct weir_doc *doc;
    uint32_t *chains; /* number in the document -> number in the state */
    struct weir_id entry;
};
void weir_save_write (struct weir_save *save, const struct weir_stamp *stamp,
                      const struct weir_value *value);

struct weir_load {
    struct weir_reader r;
    struct weir_doc *doc;
    uint32_t n_chains;
    uint8_t *chains_seen; /* one for each chain of the state */
    struct weir_id entry;
};
/* stamp->entry points into *load until the next call. */
WEIR_MUST enum weir_status weir_load_write (struct weir_load *load, struct weir_stamp *stamp,
                                            struct weir_value *value);

#endif
