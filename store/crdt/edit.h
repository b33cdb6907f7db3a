#ifndef WEIR_STORE_CRDT_EDIT_H
#define WEIR_STORE_CRDT_EDIT_H

/* The inside of an edit, for edit.c, edit_seq.c, edit_json.c and patch.c: ops that are encoded
 * but not sealed, and what the document looks like through them. A *shadow* is a container as the
 * edit sees it, a *cell* one place of a shadow that the edit has looked at: a key of a map, an
 * element of a list. A sequence is seen through *pieces*: stretches of the document's own and of
 * what the edit inserted. Everything is appended in order and can be taken back to a mark, so
 * that a call that fails leaves no trace. */

#include "store/crdt/graph.h"
#include "store/crdt/payload.h"
#include "store/crdt/types.h"

#define WEIR_EDIT_NONE UINT32_MAX

struct weir_edit_cell {
    struct weir_item base; /* what is there without the edit's ops; its key is not set */
    bool has_base;
    uint32_t shadow;
    uint32_t key_at; /* in `keys`: a map's key; of elements "b" base index or "n" op ":" nth */
    uint32_t key_len;
    uint32_t hash;
    uint32_t op;     /* the last one that gave it a value */
    uint32_t child;  /* the first shadow under it */
    uint32_t next;   /* cell of the same shadow */
    uint32_t offset; /* of an element the edit inserted: of its op in the entry */
};

/* A stretch of what a sequence shows through the edit: `count` elements of the document from
 * visible index `base` on; or, with WEIR_EDIT_NONE there, new ones. New text lies in `text` from
 * byte `from` on, `bytes` long; new elements came with op `from`, beginning with its `nth`; a
 * moved one is a cell (`is_cell`: `from`); an anchor has no elements. */
struct weir_edit_piece {
    uint32_t base;
    uint32_t count;
    uint32_t from;
    uint32_t nth;
    uint32_t bytes;
    uint32_t hidden; /* entities of the document, hidden, before a new piece */
    bool is_cell;
    bool is_anchor;
};

struct weir_edit_shadow {
    const struct weir_container_type *type;
    const struct weir_container *base; /* NULL: not in the document yet */
    uint32_t cell;                     /* where it hangs */
    uint32_t sibling;                  /* the next shadow under the same cell */
    uint32_t row;                      /* in the payload, once it has ops */
    uint32_t cells;                    /* the first of its list */
    uint32_t depth;
    uint32_t cursor; /* of the row's last op */
    bool is_unique;
    struct weir_op_id made;         /* unique: entry zero when this edit makes it */
    struct weir_edit_piece *pieces; /* of sequences, once looked at */
    size_t n_pieces, pieces_cap;
    bool has_pieces;
};

/* What an op does to the pieces of its shadow, at a visible position. */
struct weir_edit_splice {
    uint32_t at;
    uint32_t removed;
    uint32_t inserted; /* of a piece like this one */
    uint32_t moved;    /* index + 1 of the element that leaves before; 0: none */
    uint32_t mark;     /* position + 1 of the anchor that comes first; 0: none */
    struct weir_edit_piece piece;
};

struct weir_edit_op {
    uint32_t shadow;
    uint32_t cell;     /* that got a value; WEIR_EDIT_NONE */
    uint32_t before;   /* the op before on that cell */
    uint32_t cursor;   /* the shadow's before */
    uint32_t value_at; /* in `values`: what was set, or the elements or text inserted */
    uint32_t offset;   /* of its first atom in the entry */
    struct weir_edit_splice splice; /* to be done again after a rollback */
};

struct weir_edit {
    const struct weir_doc *doc;
    struct weir_edit_cell *cells;
    size_t n_cells, cells_cap;
    struct weir_edit_shadow *shadows; /* the first is the document: its cells are the roots */
    size_t n_shadows, shadows_cap;
    struct weir_edit_op *ops;
    size_t n_ops, ops_cap;
    uint32_t *rows; /* the shadow of each */
    size_t n_rows, rows_cap;
    struct weir_id *ids; /* the payload's table, behind the entry itself */
    size_t n_ids, ids_cap;
    uint32_t *slots; /* of a table: cell + 1 */
    size_t slots_cap;
    uint64_t atoms;
    bool has_blobs; /* an op sets one (or did, before it was rolled back) */
    struct weir_buf keys;
    struct weir_buf values;
    struct weir_buf code; /* the ops as they will stand in the payload */
    struct weir_buf text; /* and their text */
    struct weir_buf scratch;
};

struct weir_edit_mark {
    size_t n_cells, n_shadows, n_ops, n_rows, n_ids, keys_len, values_len, code_len, text_len;
    uint64_t atoms;
};
struct weir_edit_mark weir_edit_mark (const struct weir_edit *self);
void weir_edit_rollback (struct weir_edit *self, const struct weir_edit_mark *mark);

/* Where a path leads: to a cell; or, in a list, to an index, which may be its length (then there
 * is no cell). */
struct weir_edit_place {
    uint32_t shadow;
    uint32_t cell;
    uint32_t index; /* WEIR_EDIT_NONE in maps */
};
/* The place at a path of 1 or more parts. Maps missing on the way are made when `make` says so;
 * else WEIR_NOT_FOUND. WEIR_CONFLICT when something else stands in the way. `end`: an index may
 * be the length or "-". */
WEIR_MUST enum weir_status weir_edit_walk (struct weir_edit *self, const struct weir_path *path,
                                           bool make, bool end, struct weir_edit_place *place,
                                           struct weir_error *e);
/* What is visible there through the edit; false: nothing. `value` is borrowed until the next
 * op. */
bool weir_edit_visible (struct weir_edit *self, uint32_t cell, struct weir_value *value);
/* The container that is visible in the cell; WEIR_EDIT_NONE when none is. */
uint32_t weir_edit_shadow_in (struct weir_edit *self, uint32_t cell);
/* The child by path of that type under the cell, visible or not. */
uint32_t weir_edit_shadow_under (struct weir_edit *self, uint32_t cell,
                                 const struct weir_container_type *type);
/* As JSON, with all below; of something visible. */
json_t *weir_edit_cell_json (struct weir_edit *self, uint32_t cell);
json_t *weir_edit_json (struct weir_edit *self); /* the whole document */
/* These leave ops behind when they fail: for callers that hold a mark. Assign replaces what is
 * there. */
WEIR_MUST enum weir_status weir_edit_assign (struct weir_edit *self, uint32_t cell,
                                             const json_t *value, struct weir_error *e);
WEIR_MUST enum weir_status weir_edit_assign_at (struct weir_edit *self,
                                                const struct weir_edit_place *place,
                                                const json_t *value, struct weir_error *e);
WEIR_MUST enum weir_status weir_edit_insert_at (struct weir_edit *self,
                                                const struct weir_edit_place *place,
                                                const json_t *value, struct weir_error *e);
WEIR_MUST enum weir_status weir_edit_clear_at (struct weir_edit *self,
                                               const struct weir_edit_place *place,
                                               struct weir_error *e);

/* ---- edit.c, for the other files of edits ---- */

struct weir_bytes weir_edit_cell_key (const struct weir_edit *self, uint32_t cell);
uint32_t weir_edit_cell (struct weir_edit *self, uint32_t shadow, struct weir_bytes key);
/* Cells of all visible items of a map. `keep`: without those it names. */
void weir_edit_load_map (struct weir_edit *self, uint32_t shadow, const json_t *keep);
/* Encodes an op on the shadow, which its splice then changes. `kept` goes to `values`: what the
 * cell (or NONE) has now, or the elements that came. */
struct weir_edit_put {
    struct weir_op op;
    uint32_t cell;
    struct weir_bytes kept;
    struct weir_edit_splice splice;
};
WEIR_MUST enum weir_status weir_edit_put (struct weir_edit *self, uint32_t shadow,
                                          struct weir_edit_put *put, struct weir_error *e);
/* `value` NULL deletes. */
WEIR_MUST enum weir_status weir_edit_put_key (struct weir_edit *self, uint32_t cell,
                                              const struct weir_value *value, struct weir_error *e);
struct weir_op_ref weir_edit_ref (struct weir_edit *self, const struct weir_op_id *id);

/* ---- edit_seq.c ---- */

bool weir_edit_is_list (const struct weir_edit_shadow *s); /* movable or not */
uint32_t weir_edit_length (struct weir_edit *self, uint32_t shadow);
/* The cell of an element; WEIR_EDIT_NONE beyond the end. */
uint32_t weir_edit_element (struct weir_edit *self, uint32_t shadow, uint32_t index);
/* What stands in an element's new cell, by its key; *offset: of the op that made it. */
bool weir_edit_element_base (struct weir_edit *self, uint32_t shadow, struct weir_bytes key,
                             struct weir_item *item, uint32_t *offset);
/* Changes pieces as the splice says: weir_edit_put does it, and again after a rollback. */
void weir_edit_pieces_splice (struct weir_edit *self, uint32_t shadow,
                              const struct weir_edit_splice *splice);
/* Within the length; `values` are `count` encoded ones, given anew each time. */
WEIR_MUST enum weir_status weir_edit_insert (struct weir_edit *self, uint32_t shadow, uint32_t at,
                                             struct weir_bytes values, uint32_t count,
                                             struct weir_error *e);
WEIR_MUST enum weir_status weir_edit_insert_text (struct weir_edit *self, uint32_t shadow,
                                                  uint32_t at, struct weir_bytes text,
                                                  struct weir_error *e);
WEIR_MUST enum weir_status weir_edit_delete (struct weir_edit *self, uint32_t shadow, uint32_t at,
                                             uint32_t count, struct weir_error *e);
/* Of a movable list; the element's cell gets the value. */
WEIR_MUST enum weir_status weir_edit_set_element (struct weir_edit *self, uint32_t cell,
                                                  const struct weir_value *value,
                                                  struct weir_error *e);
/* Appends the visible text. */
void weir_edit_text_now (struct weir_edit *self, uint32_t shadow, struct weir_buf *out);
WEIR_MUST enum weir_status weir_edit_move (struct weir_edit *self, uint32_t shadow, uint32_t from,
                                           uint32_t to, struct weir_error *e);
/* Over visible from .. to-1, not empty. */
WEIR_MUST enum weir_status weir_edit_mark_text (struct weir_edit *self, uint32_t shadow,
                                                uint32_t from, uint32_t to, struct weir_bytes key,
                                                const struct weir_value *value,
                                                enum weir_expand expand, struct weir_error *e);
/* ---- edit_json.c ---- */

/* A counter becomes this number by its difference. */
WEIR_MUST enum weir_status weir_edit_set_number (struct weir_edit *self, uint32_t shadow,
                                                 const json_t *value, struct weir_error *e);
/* Inserts and deletes what makes it `text`. */
WEIR_MUST enum weir_status weir_edit_update_text (struct weir_edit *self, uint32_t shadow,
                                                  struct weir_bytes text, struct weir_error *e);
WEIR_MUST enum weir_status weir_edit_put_increment (struct weir_edit *self, uint32_t shadow,
                                                    const json_t *by, struct weir_error *e);

#endif
