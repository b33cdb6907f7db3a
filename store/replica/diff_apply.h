#ifndef WEIR_STORE_REPLICA_DIFF_APPLY_H
#define WEIR_STORE_REPLICA_DIFF_APPLY_H

/* A difference on its way to become ops. First all of it is checked against the document
 * (diff_check.c): every container is found, every position counted, trees are moved on paper;
 * then it is done (diff_apply.c), and nothing of it can fail any more. */

#include "store/base/map.h"
#include "store/replica/diff.h"

/* A container that the difference speaks of. */
struct weir_diff_place {
    struct weir_container *container; /* NULL: it comes, and is not made yet */
    const struct weir_container_type *type;
    uint32_t level;
    bool comes;        /* as a value of another row: what is in it now is not meant */
    const json_t *row; /* its diff; NULL: it has none */
};

/* What came in the place of what: an old id, and the container that stands for it. */
struct weir_diff_made {
    struct weir_id old;
    struct weir_container *now;
    struct weir_op_id node; /* of the map of a node that was made: which one it stands for */
    bool is_node;
};

struct weir_diff_apply {
    struct weir_doc *doc;
    /* Gives the open change, before each op; it may seal one that is full. */
    enum weir_status (*change) (void *context, struct weir_change **out, struct weir_error *e);
    void *context;
    /* What does not fit is left out, not refused: for undo, where others have written since. */
    bool is_lenient;
    /* id -> id, both as 32 bytes: who stands for whom since earlier (NULL: nobody). */
    const struct weir_map *stands_for;
    const json_t *nodes_for; /* the same of nodes, by name */

    /* From here on its own. */
    struct weir_map *places; /* id -> struct weir_diff_place */
    struct weir_map *index;  /* id -> struct weir_container, of all that is visible */
    struct weir_map *nodes;  /* of the tree at hand: name of a node that was made -> number + 1 */
    struct weir_diff_made *made;
    size_t n_made;
    size_t made_cap;
    struct weir_buf scratch;
    struct weir_error *e;
};
void weir_diff_apply_fini (struct weir_diff_apply *self);
/* Both in one. Nothing is changed unless WEIR_OK. WEIR_INVALID_JSON, WEIR_OUT_OF_RANGE,
 * WEIR_NOT_FOUND, WEIR_CONFLICT (a cycle), WEIR_LIMIT (depth). */
WEIR_MUST enum weir_status weir_diff_apply (struct weir_diff_apply *self, const json_t *diff);

/* ---- between the two ---- */

WEIR_MUST enum weir_status weir_diff_check (struct weir_diff_apply *self, const json_t *diff);
/* NULL: unknown. */
struct weir_diff_place *weir_diff_place (const struct weir_diff_apply *self,
                                         const json_t *container);
/* {"$container", ...}, rather than a scalar. */
bool weir_diff_is_ref (const json_t *value);
const struct weir_container_type *weir_diff_type (const json_t *name); /* NULL: none */
/* Whether the child that a moved or kept element names is the one that it has. */
bool weir_diff_is_child_of (const struct weir_diff_apply *self, const struct weir_container *list,
                            uint32_t at, const json_t *ref);
/* A step's node: its number in the tree (NULL: none is there); WEIR_GRAPH_NONE: not there. */
uint32_t weir_diff_tree_number (const struct weir_diff_apply *self,
                                const struct weir_container *tree, const json_t *name);

/* ---- between diff_check.c and diff_check_tree.c ---- */

/* Both say so in *e. */
WEIR_MUST enum weir_status weir_diff_malformed (struct weir_diff_apply *self, const char *why);
WEIR_MUST enum weir_status weir_diff_misfit (struct weir_diff_apply *self, const char *why);
/* Copies the place; none may be there under that id. */
struct weir_diff_place *weir_diff_place_add (struct weir_diff_apply *self, const struct weir_id *id,
                                             const struct weir_diff_place *place);
WEIR_MUST enum weir_status weir_diff_check_tree (struct weir_diff_apply *self, const json_t *diff,
                                                 const struct weir_diff_place *place);

/* ---- between diff_apply.c and diff_apply_seq.c: parts of what is done ---- */

WEIR_MUST enum weir_status weir_diff_change (struct weir_diff_apply *self,
                                             struct weir_change **change);
struct weir_bytes weir_diff_text_of (const json_t *json);
/* The value as ops take it; bytes are borrowed from `scratch`. */
WEIR_MUST enum weir_status weir_diff_value_of (struct weir_diff_apply *self, const json_t *json,
                                               struct weir_value *value, struct weir_buf *scratch);
/* The child that `ref` names has been made. */
WEIR_MUST enum weir_status weir_diff_child_came (struct weir_diff_apply *self, const json_t *ref,
                                                 struct weir_container *now);
/* Of a sequence; 0 of them is nothing to do. */
WEIR_MUST enum weir_status weir_diff_delete (struct weir_diff_apply *self, struct weir_container *c,
                                             uint32_t at, uint64_t count);
WEIR_MUST enum weir_status weir_diff_apply_text (struct weir_diff_apply *self,
                                                 struct weir_container *text, const json_t *diff);
WEIR_MUST enum weir_status weir_diff_apply_list (struct weir_diff_apply *self,
                                                 struct weir_container *list, const json_t *diff);
WEIR_MUST enum weir_status weir_diff_apply_movable (struct weir_diff_apply *self,
                                                    struct weir_container *list,
                                                    const json_t *diff);

#endif
