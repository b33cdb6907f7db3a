#ifndef WEIR_STORE_CRDT_TYPES_H
#define WEIR_STORE_CRDT_TYPES_H

/* What the files of container types lend to those that look inside: edits, differences, cursors.
 * Everything is read only. */

#include "store/crdt/container.h"
#include "store/crdt/seq.h"

/* Of text, list, movable list; NULL of others. */
struct weir_seq *weir_container_seq (const struct weir_container *self);

/* The `prepare` of those types. */
enum weir_status weir_container_seq_prepare (struct weir_container *self, uint64_t *budget);

/* list.c, movable.c: the element at a visible index; false beyond the end. */
bool weir_list_item (const struct weir_container *list, uint32_t index, struct weir_item *item);

/* text.c: where (in entities) a local insertion at the `at`-th visible scalar goes among the
 * anchors that stand there. */
uint32_t weir_text_place (const struct weir_container *text, uint32_t at);
/* Writes the `at` and `to` (entities) of a mark over the visible scalars from .. to-1, and
 * whether setting `value` changes anything there. */
bool weir_text_mark_place (const struct weir_container *text, uint32_t from, uint32_t to,
                           struct weir_bytes key, const struct weir_value *value, uint32_t *at,
                           uint32_t *end);
/* What a mark's op says of expanding: turned round for an unmark (`value` null), as in Loro. */
enum weir_expand weir_text_expand (enum weir_expand expand, const struct weir_value *value);
/* [{"insert": text, "attributes": {key: value}}], neighbours with equal attributes joined. */
json_t *weir_text_delta (const struct weir_container *text);
/* The same by the text's path; the caller owns *out. WEIR_NOT_FOUND, WEIR_INVALID_PATH,
 * WEIR_CONFLICT (something else stands there). */
WEIR_MUST enum weir_status weir_doc_delta (const struct weir_doc *self, const char *path,
                                           json_t **out, struct weir_error *e);

/* movable.c: the id of the element at a visible index (its entry is zero while not sealed). */
bool weir_movable_element (const struct weir_container *list, uint32_t index,
                           struct weir_op_id *id);
/* Where the `to`-th place of a move from index `from` is, in entities: the op's `at` and `to`. */
void weir_movable_place (const struct weir_container *list, uint32_t from, uint32_t to,
                         uint32_t *at, uint32_t *end);

/* tree.c: nodes go by numbers 0 .. count-1, alive or not. */
struct weir_tree_node {
    struct weir_op_id id;
    uint32_t parent; /* WEIR_GRAPH_NONE: a root */
    bool is_alive;   /* created and not below the trash */
    struct weir_bytes position;
    struct weir_container *meta; /* NULL while empty */
};
uint32_t weir_tree_nodes (const struct weir_container *tree);
void weir_tree_node (const struct weir_container *tree, uint32_t number,
                     struct weir_tree_node *out);
/* WEIR_GRAPH_NONE: unknown. */
uint32_t weir_tree_find (const struct weir_container *tree, const struct weir_op_id *id);
/* The alive children in order, appended. `parent` WEIR_GRAPH_NONE: the roots. */
void weir_tree_children (const struct weir_container *tree, uint32_t parent,
                         struct weir_numbers *out);

#endif
