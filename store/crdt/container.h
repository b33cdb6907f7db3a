#ifndef WEIR_STORE_CRDT_CONTAINER_H
#define WEIR_STORE_CRDT_CONTAINER_H

/* What a container type is: one file behind one vtable. doc.c owns the tree of containers,
 * payload.c the bytes around ops, edit.c and change.c what is not sealed yet; what an op means,
 * only its type knows.
 *
 * A payload addresses its ops by a table of containers: a row is a root {type, name}, a child
 * by path {parent row, key, type}, or a unique child {the op that made it, type}. An op's head
 * holds its row and its code in that row's type; then come the fields that the type reads.
 *
 * To add a type: number it below, write its file, name its table in container.c. */

#include "store/crdt/doc.h"
#include "store/crdt/value.h"

enum weir_container_number {
    WEIR_CONTAINER_MAP = 1,
    WEIR_CONTAINER_LIST = 2,
    WEIR_CONTAINER_TEXT = 3,
    WEIR_CONTAINER_MOVABLE = 4,
    WEIR_CONTAINER_TREE = 5,
    WEIR_CONTAINER_COUNTER = 6
};

/* Codes of ops, by type. Atoms are what Loro counts: one for each of the elements that a
 * sequence op inserts or deletes, two for a mark, else one. Positions count entities (elements,
 * anchors, losing slots) at the version of the entry's parents and its own earlier ops. */
enum weir_map_code {
    WEIR_MAP_SET = 0,   /* key blob, value */
    WEIR_MAP_DELETE = 1 /* key blob */
};
enum weir_list_code {
    WEIR_LIST_INSERT = 0, /* at, count, values */
    WEIR_LIST_DELETE = 1  /* at, count */
};
enum weir_text_code {
    WEIR_TEXT_INSERT = 0, /* at, count of scalars; their bytes lie in the payload's text */
    WEIR_TEXT_DELETE = 1, /* at, count */
    WEIR_TEXT_MARK = 2    /* at .. to, flags (expand), key, value (null: unmark): anchors become
                             the entities `at` and, when that one is in, `to` */
};
enum weir_movable_code {
    WEIR_MOVABLE_INSERT = 0, /* as list */
    WEIR_MOVABLE_DELETE = 1,
    WEIR_MOVABLE_MOVE = 2, /* at (old slot), to (new slot, the old one being out), target */
    WEIR_MOVABLE_SET = 3   /* target, value */
};
enum weir_tree_code {
    WEIR_TREE_CREATE = 0, /* parent, key (fractional index): the node's id is the op's */
    WEIR_TREE_MOVE = 1,   /* target, parent, key */
    WEIR_TREE_DELETE = 2  /* target */
};
enum weir_counter_code {
    WEIR_COUNTER_INT = 0,   /* zigzag varint, wrapping */
    WEIR_COUNTER_DOUBLE = 1 /* binary64, finite */
};

/* A root's container has depth 1. The document as JSON is one deeper, and so are bytes in the
 * deepest: together within what weir_json_parse takes. */
#define WEIR_CONTAINER_DEPTH_MAX (WEIR_JSON_DEPTH_MAX - 2u)

struct weir_container_type;
struct weir_graph;

/* The head of every container; a type's own struct begins with it. */
struct weir_container {
    const struct weir_container_type *type;
    struct weir_doc *doc;
    struct weir_container *parent;  /* NULL: the document itself, whose keys are the roots; or a
                                       unique child whose making is not known yet */
    struct weir_container *sibling; /* same parent and key, another (greater) type */
    struct weir_id id;              /* hash of (parent id, key, type), of a unique child of
                                       (entry, offset, type); zero for the document */
    struct weir_op_id made;         /* of a unique child: the op; entry zero while not sealed */
    uint8_t *key;                   /* owned; of unique children empty */
    uint32_t key_len;
    uint32_t mark;  /* for walks over the tree (save); means nothing between them */
    uint32_t depth; /* below the document or, of a unique child and what hangs below it by path,
                       below what the unique child hangs in: roots and unique children have 1 */
    bool is_unique;
};

/* Who wrote, and when: what the order key is made of. `chain` counts in the document's table.
 * `entry` is zero in what a change (change.h) has applied and not sealed: it is the greatest
 * there is by lamport, so that nothing depends on it, and `seal` fills it in. */
struct weir_stamp {
    uint64_t lamport; /* of the op: its entry's + offset */
    const struct weir_id *entry;
    uint32_t chain;
    uint32_t offset; /* of the op's first atom in its entry */
    uint64_t seq;    /* of the entry, where an op is applied, recorded or sealed; else 0 */
};

/* An id in a payload goes by the table of ids: 0 is the entry itself. */
struct weir_op_ref {
    uint32_t row;
    uint32_t offset;
};

/* One op, decoded; which fields mean something, its type and code say. Borrowed from the
 * payload. */
struct weir_op {
    uint32_t row;
    uint32_t atoms; /* how many ops it counts as */
    uint8_t code;
    uint8_t flags;
    uint32_t at;
    uint32_t count;
    uint32_t to;
    struct weir_bytes key;
    struct weir_value value;
    struct weir_bytes bytes;       /* text; or `count` values, encoded */
    struct weir_op_ref target_ref; /* as it stands in the payload */
    struct weir_op_ref parent_ref; /* row WEIR_OP_REF_NONE: no parent, the root */
    struct weir_op_id target;      /* resolved before validate, apply, record, describe */
    struct weir_op_id parent;      /* entry all 0xff: the root */
};
#define WEIR_OP_REF_NONE UINT32_MAX

/* What decode reads from and encode writes to. */
struct weir_op_reader {
    struct weir_reader r;    /* the ops */
    struct weir_reader text; /* what text ops insert, one after the other */
    uint32_t cursor;         /* where the row's op before ended: `at` is told relative to it */
    uint32_t n_ids;          /* rows of the table of ids, the entry itself included */
};
struct weir_op_writer {
    struct weir_buf *out;
    struct weir_buf *text;
    uint32_t cursor;
};
/* Both set the cursor to `at`; decode and encode of an insertion then add its count. */
void weir_op_put_at (struct weir_op_writer *w, uint32_t at);
uint32_t weir_op_read_at (struct weir_op_reader *r);
void weir_op_put_ref (struct weir_op_writer *w, const struct weir_op_ref *ref);
struct weir_op_ref weir_op_read_ref (struct weir_op_reader *r); /* may set r->r.bad */

/* What stands at one place of a container. */
struct weir_item {
    struct weir_bytes key; /* of maps */
    struct weir_value value;
    struct weir_container *child; /* for WEIR_VALUE_CONTAINER and WEIR_VALUE_UNIQUE; NULL while
                                     it is empty */
};

/* One of the values that concur. */
struct weir_concurrent {
    struct weir_stamp stamp;
    struct weir_value value;
};

/* What validate keeps between the ops of one entry on one container: zero at first. */
struct weir_op_check {
    bool begun;
    uint64_t length; /* entities, after the ops looked at so far */
};

struct weir_save;
struct weir_load;

struct weir_container_type {
    uint8_t number;
    const char *name;
    size_t size; /* of its struct; it comes zeroed and with its head filled in */
    void (*init) (struct weir_container *self); /* may be NULL */
    void (*fini) (struct weir_container *self);

    /* Reads the fields behind the head (op->row and op->code are set), sets op->atoms. What is
     * cut short sets r->r.bad. WEIR_BAD_PAYLOAD, WEIR_NEEDS_UPGRADE (unknown code). */
    enum weir_status (*decode) (struct weir_op_reader *r, struct weir_op *op);
    /* The reverse of decode. */
    void (*encode) (struct weir_op_writer *w, const struct weir_op *op);
    /* Before the ops of an entry that is not on top of all heads are validated: does what walking
     * its parents need, counting *budget down. WEIR_BUSY: it is used up, call again with the same
     * entry; WEIR_LIMIT: never. NULL: nothing to prepare. */
    enum weir_status (*prepare) (struct weir_container *self, uint64_t *budget);
    /* Whether the op can be applied to the container as it is at the version of the entry's
     * parents and its earlier ops (NULL: it is not there yet, so empty). All ops of a payload
     * pass here, in order, before the first is applied; NULL: always. WEIR_BAD_PAYLOAD,
     * WEIR_NEEDS_UPGRADE or WEIR_OUT_OF_RANGE, alike on every replica; any other status defers the
     * entry. It may call weir_doc_warm, apply may not. */
    enum weir_status (*validate) (struct weir_container *self, const struct weir_op *op,
                                  struct weir_op_check *check);
    void (*apply) (struct weir_container *self, const struct weir_op *op,
                   const struct weir_stamp *stamp);
    /* Whether `next`, on the same container right behind `last`, is one op with it; then *last is
     * (at, count). Its atoms and bytes are the caller's to add up. NULL: never. */
    bool (*join) (struct weir_op *last, const struct weir_op *next);
    /* While the document warms up: keeps what later merges need of an op whose effect is in the
     * state already. NULL: nothing. */
    void (*record) (struct weir_container *self, const struct weir_op *op,
                    const struct weir_stamp *stamp);
    /* The entry of an op applied with a zero entry has its id now: stamp->entry. NULL: nothing
     * of it is kept. */
    void (*seal) (struct weir_container *self, const struct weir_op *op,
                  const struct weir_stamp *stamp);
    /* Forgets what record and apply kept while warm (the document goes cold). NULL: nothing. */
    void (*cool) (struct weir_container *self);
    /* Adds what the op does to {"op", "path"} for people; the key goes to the path. */
    void (*describe) (const struct weir_op *op, json_t *out);

    /* The container as JSON, without what `next` gives; NULL is an empty one. A text gives its
     * string, a counter its number, a tree its nodes. */
    json_t *(*json) (const struct weir_container *self);
    /* The visible items; *i starts at 0. NULL for types without items. */
    bool (*next) (const struct weir_container *self, size_t *i, struct weir_item *item);
    /* What is visible at one part of a path; false: nothing. Lists take a decimal index. */
    bool (*find) (const struct weir_container *self, struct weir_bytes part,
                  struct weir_item *item);
    /* The values that concur there, the winner first; how many (at most `max`). */
    size_t (*concurrent) (const struct weir_container *self, struct weir_bytes part,
                          struct weir_concurrent *values, size_t max);
    /* Children by path, visible or not: where the first child under the key hangs; NULL when
     * the place does not exist and `make` is false. NULL for types without such children. */
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
extern const struct weir_container_type weir_container_list;
extern const struct weir_container_type weir_container_text;
extern const struct weir_container_type weir_container_movable;
extern const struct weir_container_type weir_container_tree;
extern const struct weir_container_type weir_container_counter;

/* NULL: unknown here. */
const struct weir_container_type *weir_container_type (uint8_t number);
/* The child by path, made when it is not there and `make` says so; else NULL. */
struct weir_container *weir_container_child (struct weir_container *self, struct weir_bytes key,
                                             const struct weir_container_type *type, bool make);
struct weir_bytes weir_container_key (const struct weir_container *self);
/* How deep it lies in the document: a root is 1; WEIR_CONTAINER_DEPTH_MAX + 1 for what lies deeper
 * or hangs nowhere. Nothing is shown of those, and verbs refuse to make them. */
uint32_t weir_container_level (const struct weir_container *self);
/* Was nothing ever written to it, nor to what hangs below it by path? Such a one is there because
 * somebody asked for it (change.h): it is neither shown as a root nor saved. */
bool weir_container_is_hollow (const struct weir_container *self);
/* Frees it and all below, without unique children. */
void weir_container_destroy (struct weir_container **self_p);

/* ---- unique children ---- */

/* The id of the child that op `made` makes (its entry sealed). */
struct weir_id weir_container_unique_id (const struct weir_op_id *made, uint8_t type);
/* The unique child with that id; NULL. */
struct weir_container *weir_doc_unique (const struct weir_doc *doc, const struct weir_id *id);
/* The same, made when it is not there (parent NULL until its making is known). `made->entry`
 * zero: of the open change; the id is then made of it, and weir_doc_unique_sealed gives the
 * right one. */
struct weir_container *weir_doc_unique_make (struct weir_doc *doc, const struct weir_op_id *made,
                                             const struct weir_container_type *type);
/* For types whose op makes a child: hangs it below its parent (depth, path). */
void weir_container_adopt (struct weir_container *self, struct weir_container *child);
/* The child that a stored WEIR_VALUE_UNIQUE names. */
struct weir_container *weir_doc_value_child (const struct weir_doc *doc,
                                             const struct weir_value *value);
/* In `seal`: gives the child its id by the sealed entry; returns it, NULL when there is none.
 * The value kept by the parent must then name child->id. */
struct weir_container *weir_doc_unique_sealed (struct weir_doc *doc, uint32_t offset, uint8_t type,
                                               const struct weir_id *entry);

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

/* The event graph; NULL while the document is cold. Nothing but doc.c changes it. */
const struct weir_graph *weir_doc_graph (const struct weir_doc *doc);
/* While an entry is validated, applied or recorded: its number in the graph (WEIR_GRAPH_NONE while
 * cold; of the open change the number that it will have: it is not there yet), its parents there,
 * and whether it has seen everything that was applied: then positions hold as they are. */
uint32_t weir_doc_node (const struct weir_doc *doc);
const uint32_t *weir_doc_node_parents (const struct weir_doc *doc, size_t *count);
bool weir_doc_is_fast (const struct weir_doc *doc);

/* Takes steps off the document's budget, for what an op costs beyond itself. */
void weir_doc_spend (struct weir_doc *doc, uint64_t steps);

/* ---- what changed, for events ---- */

enum weir_notice_kind {
    WEIR_NOTICE_KEY,    /* map: what is visible at `key` */
    WEIR_NOTICE_SPLICE, /* sequence: at `at`, `removed` elements left, then `inserted` came
                           (elements as users count them; a text's in scalars) */
    WEIR_NOTICE_VALUE,  /* movable list: the element at `at` has another value */
    WEIR_NOTICE_MARK,   /* text: styles of `inserted` scalars from `at` on */
    WEIR_NOTICE_NODE,   /* tree: the node `target` was made, moved, deleted or brought back */
    WEIR_NOTICE_NUMBER  /* counter: by `by` */
};
struct weir_notice {
    enum weir_notice_kind kind;
    struct weir_container *container;
    struct weir_bytes key; /* borrowed */
    uint32_t at;
    uint32_t removed;
    uint32_t inserted;
    struct weir_op_id target;
    struct weir_value by;
    bool is_move; /* a splice that is half of a move; then `target` is the element */
};
/* At most one listener; NULL: nobody. What it hears is borrowed for the call, and it must not
 * change the document. */
typedef void (weir_notice_fn) (void *context, const struct weir_notice *notice);
void weir_doc_listen (struct weir_doc *doc, weir_notice_fn *fn, void *context);
/* Types call it right after the change, when somebody listens. */
void weir_doc_notify (struct weir_doc *doc, const struct weir_notice *notice);
bool weir_doc_is_heard (const struct weir_doc *doc);

/* ---- state.c: what save and load lend to types ---- */

/* Stamps of a state, with the op's offset; and writes of registers, which need none: stamp
 * (offset 0 when loaded) and value. One of the same entry as the one before costs no id. Nothing
 * is appended while `out` is NULL: that pass only finds the chains in use. */
struct weir_save {
    struct weir_buf *out;
    const struct weir_doc *doc;
    uint32_t *chains; /* number in the document -> number in the state */
    struct weir_id entry;
};
void weir_save_stamp (struct weir_save *save, const struct weir_stamp *stamp);
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
WEIR_MUST enum weir_status weir_load_stamp (struct weir_load *load, struct weir_stamp *stamp);
WEIR_MUST enum weir_status weir_load_write (struct weir_load *load, struct weir_stamp *stamp,
                                            struct weir_value *value);

#endif
