#ifndef WEIR_STORE_CRDT_CHANGE_H
#define WEIR_STORE_CRDT_CHANGE_H

/* Direct editing, for the library: typed operations that show in the document's values at once,
 * collected into one payload. A document has at most one open change; while it is open nothing
 * else may be applied to the document. What an op would do wrong is said before anything is
 * changed, so a change is never taken back; it ends by being sealed.
 *
 * Positions count what is visible, unless they say otherwise. Setting the value that is there
 * makes no op. Containers are found by weir_change_root and below and stay valid as long as the
 * document. All of them are pure and block on nothing but the history (weir_doc_warm). */

#include "store/crdt/container.h"

struct weir_change;

/* `chain` is who writes: the document's heads are the parents. */
struct weir_change *weir_change_open (struct weir_doc *doc, const struct weir_chain *chain,
                                      uint64_t seq);
/* Frees it. One with ops must be sealed, unless the document is destroyed next. */
void weir_change_destroy (struct weir_change **self_p);
struct weir_doc *weir_change_doc (const struct weir_change *self);
uint64_t weir_change_atoms (const struct weir_change *self);
/* About how long the payload is by now: seal before WEIR_PAYLOAD_BYTES_MAX, and before
 * WEIR_ENTRY_OPS_MAX atoms. Ops that would pass them are refused with WEIR_TOO_LARGE. */
size_t weir_change_bytes (const struct weir_change *self);
/* Appends the payload. The change stays open, and takes no more ops, until its entry has an id. */
WEIR_MUST enum weir_status weir_change_payload (struct weir_change *self, struct weir_bytes message,
                                                struct weir_buf *payload, uint32_t *ops,
                                                struct weir_error *e);
/* The entry is made: fills in its id, moves the heads, and leaves the change closed. */
void weir_change_seal (struct weir_change *self, const struct weir_doc_entry *entry);
/* Applies the ops of a payload (of an edit on this document as it stands) as the change's own. */
WEIR_MUST enum weir_status weir_change_adopt (struct weir_change *self, struct weir_bytes payload,
                                              struct weir_error *e);

/* ---- containers ---- */

/* The root container with this name and type. WEIR_INVALID_ARGUMENT: not a key, or it begins with
 * an underscore. */
WEIR_MUST enum weir_status weir_change_root (struct weir_change *self, const char *name,
                                             const struct weir_container_type *type,
                                             struct weir_container **out, struct weir_error *e);
/* The child by path under a map's key, made there when it is not what stands there. */
WEIR_MUST enum weir_status weir_change_child (struct weir_change *self, struct weir_container *map,
                                              struct weir_bytes key,
                                              const struct weir_container_type *type,
                                              struct weir_container **out, struct weir_error *e);

/* ---- map ---- */

WEIR_MUST enum weir_status weir_change_map_set (struct weir_change *self,
                                                struct weir_container *map, struct weir_bytes key,
                                                const struct weir_value *value,
                                                struct weir_error *e);
/* No op when nothing is there. */
WEIR_MUST enum weir_status weir_change_map_delete (struct weir_change *self,
                                                   struct weir_container *map,
                                                   struct weir_bytes key, struct weir_error *e);
/* Loro's unique child: two made at once are two, and one of them is seen. */
WEIR_MUST enum weir_status weir_change_map_make (struct weir_change *self,
                                                 struct weir_container *map, struct weir_bytes key,
                                                 const struct weir_container_type *type,
                                                 struct weir_container **out, struct weir_error *e);

/* ---- list and movable list ---- */

/* Of a value WEIR_VALUE_UNIQUE (without bytes) the child is given in `children` (NULL: not
 * asked for; else `count` of them). */
WEIR_MUST enum weir_status weir_change_list_insert (struct weir_change *self,
                                                    struct weir_container *list, uint32_t at,
                                                    const struct weir_value *values, uint32_t count,
                                                    struct weir_container **children,
                                                    struct weir_error *e);
WEIR_MUST enum weir_status weir_change_list_delete (struct weir_change *self,
                                                    struct weir_container *list, uint32_t at,
                                                    uint32_t count, struct weir_error *e);
/* Movable lists only: the element at `from` ends at index `to`. */
WEIR_MUST enum weir_status weir_change_list_move (struct weir_change *self,
                                                  struct weir_container *list, uint32_t from,
                                                  uint32_t to, struct weir_error *e);
WEIR_MUST enum weir_status weir_change_list_set (struct weir_change *self,
                                                 struct weir_container *list, uint32_t at,
                                                 const struct weir_value *value,
                                                 struct weir_container **child,
                                                 struct weir_error *e);

/* ---- text ---- */

WEIR_MUST enum weir_status weir_change_text_insert (struct weir_change *self,
                                                    struct weir_container *text, uint32_t at,
                                                    struct weir_bytes utf8, struct weir_error *e);
WEIR_MUST enum weir_status weir_change_text_delete (struct weir_change *self,
                                                    struct weir_container *text, uint32_t at,
                                                    uint32_t count, struct weir_error *e);
/* `value` null unmarks. */
WEIR_MUST enum weir_status weir_change_text_mark (struct weir_change *self,
                                                  struct weir_container *text, uint32_t from,
                                                  uint32_t to, struct weir_bytes key,
                                                  const struct weir_value *value,
                                                  enum weir_expand expand, struct weir_error *e);

/* ---- tree: nodes go by numbers that stay good as long as the document ---- */

#define WEIR_TREE_ROOT UINT32_MAX
WEIR_MUST enum weir_status weir_change_tree_create (struct weir_change *self,
                                                    struct weir_container *tree, uint32_t parent,
                                                    uint32_t index, uint32_t *node,
                                                    struct weir_error *e);
/* WEIR_CONFLICT when the parent is below the node. */
WEIR_MUST enum weir_status weir_change_tree_move (struct weir_change *self,
                                                  struct weir_container *tree, uint32_t node,
                                                  uint32_t parent, uint32_t index,
                                                  struct weir_error *e);
WEIR_MUST enum weir_status weir_change_tree_delete (struct weir_change *self,
                                                    struct weir_container *tree, uint32_t node,
                                                    struct weir_error *e);
/* The node's own map. */
struct weir_container *weir_change_tree_meta (struct weir_change *self, struct weir_container *tree,
                                              uint32_t node);

/* ---- counter ---- */

/* `by` an int or a double. */
WEIR_MUST enum weir_status weir_change_increment (struct weir_change *self,
                                                  struct weir_container *counter,
                                                  const struct weir_value *by,
                                                  struct weir_error *e);

/* ---- for the types' files: how an op is added ---- */

/* Applies the op with the change's stamp and collects it, joined to the one before where the
 * type's join says so. Gives the offset of its first atom. The op's positions are entities, its
 * atoms are set, its refs are from weir_change_ref; row, target and parent are filled in here; its
 * bytes are copied. */
WEIR_MUST enum weir_status weir_change_put (struct weir_change *self, struct weir_container *on,
                                            struct weir_op *op, uint32_t *offset,
                                            struct weir_error *e);
/* The row of an id in the payload's table; an entry of zero is the open one, row 0; all 0xff is
 * none, WEIR_OP_REF_NONE. */
struct weir_op_ref weir_change_ref (struct weir_change *self, const struct weir_op_id *id);

#endif
