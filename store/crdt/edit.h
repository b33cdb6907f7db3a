#ifndef WEIR_STORE_CRDT_EDIT_H
#define WEIR_STORE_CRDT_EDIT_H

/* The inside of an edit, for edit.c and patch.c: ops that are encoded but not sealed, and what
 * the document looks like through them. A *shadow* is a container as the edit sees it, a *cell*
 * one key of a shadow that the edit has looked at. Everything is appended in order and can be
 * taken back to a mark, so that a call that fails leaves no trace. */

#include "store/crdt/payload.h"

#define WEIR_EDIT_NONE UINT32_MAX

struct weir_edit_cell {
    struct weir_item base; /* in the document; its key is not set */
    bool has_base;
    uint32_t shadow;
    uint32_t key_at; /* in `keys` */
    uint32_t key_len;
    uint32_t hash;
    uint32_t op;    /* the last one on it */
    uint32_t child; /* shadow of the map under it */
    uint32_t next;  /* cell of the same shadow */
};

struct weir_edit_shadow {
    const struct weir_container *base; /* NULL: not in the document yet */
    uint32_t cell;                     /* where it hangs */
    uint32_t row;                      /* in the payload, once it has ops */
    uint32_t cells;                    /* the first of its list */
    uint32_t depth;
};

struct weir_edit_op {
    uint32_t cell;
    uint32_t before; /* the op before on that cell */
    uint32_t at;     /* in `code` */
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
    uint32_t *slots; /* of a table: cell + 1 */
    size_t slots_cap;
    struct weir_buf keys;
    struct weir_buf code; /* the ops as they will stand in the payload */
    struct weir_buf scratch;
};

struct weir_edit_mark {
    size_t n_cells, n_shadows, n_ops, n_rows, keys_len, code_len;
};
struct weir_edit_mark weir_edit_mark (const struct weir_edit *self);
void weir_edit_rollback (struct weir_edit *self, const struct weir_edit_mark *mark);

/* The cell at a path of 1 or more parts. Maps missing on the way are made when `make` says so;
 * else WEIR_NOT_FOUND. WEIR_CONFLICT when something else stands in the way. */
WEIR_MUST enum weir_status weir_edit_walk (struct weir_edit *self, const struct weir_path *path,
                                           bool make, uint32_t *cell, struct weir_error *e);
/* What is visible there through the edit; false: nothing. `value` is borrowed until the next
 * op. */
bool weir_edit_visible (struct weir_edit *self, uint32_t cell, struct weir_value *value);
/* As JSON, with all below; of something visible. */
json_t *weir_edit_cell_json (struct weir_edit *self, uint32_t cell);
json_t *weir_edit_json (struct weir_edit *self); /* the whole document */
/* These leave ops behind when they fail: for callers that hold a mark. */
WEIR_MUST enum weir_status weir_edit_assign (struct weir_edit *self, uint32_t cell,
                                             const json_t *value, struct weir_error *e);
WEIR_MUST enum weir_status weir_edit_clear (struct weir_edit *self, uint32_t cell,
                                            struct weir_error *e);

#endif
