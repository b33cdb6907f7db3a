#ifndef WEIR_STORE_CRDT_MOVABLE_H
#define WEIR_STORE_CRDT_MOVABLE_H

/* What list.c hands on when the list is a movable one, and what the files of the movable list
 * share: movable.c (elements, slots), movable_ops.c, movable_state.c, movable_change.c. */

#include "store/crdt/change.h"
#include "store/crdt/op_names.h"
#include "store/crdt/types.h"

/* For weir_change_list_insert and weir_change_list_delete, weir_container_seq, weir_list_item. */
WEIR_MUST enum weir_status weir_movable_change_insert (struct weir_change *self,
                                                       struct weir_container *list, uint32_t at,
                                                       const struct weir_value *values,
                                                       uint32_t count,
                                                       struct weir_container **children,
                                                       struct weir_error *e);
WEIR_MUST enum weir_status weir_movable_change_delete (struct weir_change *self,
                                                       struct weir_container *list, uint32_t at,
                                                       uint32_t count, struct weir_error *e);
bool weir_movable_item (const struct weir_container *list, uint32_t index, struct weir_item *item);

/* ---- inside ---- */

#define WEIR_MOVABLE_NONE UINT32_MAX

/* When a register was written; the greatest order key wins. */
struct weir_movable_when {
    uint64_t lamport;
    uint32_t entry; /* index in names */
    uint32_t chain;
    uint32_t offset;
    bool is_set;
};

struct weir_movable_value {
    union {
        uint8_t few[8];
        uint8_t *many; /* owned, of more than 8 */
    } bytes;
    uint32_t len;
    uint8_t type;
    uint8_t container;
};

/* By its number in names; its name is the op that inserted it. Elements are kept when they are
 * deleted: a move that comes later may bring them back. */
struct weir_movable_element {
    struct weir_movable_when valued;
    struct weir_movable_when placed;
    struct weir_movable_value value;
    uint32_t slot; /* that of the last placing; NONE: it is deleted */
    bool is_created;
};

struct weir_movable_splice {
    uint32_t at;
    uint32_t removed;
    uint32_t inserted;
};

struct weir_movable {
    struct weir_container head;
    struct weir_seq *seq;
    struct weir_op_names names; /* of elements */
    struct weir_movable_element *elements;
    size_t elements_cap;
    uint32_t *slots; /* element by slot; 0 is nobody's */
    size_t n_slots;
    size_t slots_cap;
    struct weir_movable_splice *splices; /* to be told */
    size_t n_splices;
    size_t splices_cap;
    size_t counted_bytes;
};

struct weir_value weir_movable_value (const struct weir_movable_element *e);
void weir_movable_keep (struct weir_movable *m, struct weir_movable_element *e,
                        const struct weir_value *value);
/* The element's number, made when it is not there. */
uint32_t weir_movable_element_of (struct weir_movable *m, const struct weir_id *entry,
                                  uint32_t offset);
uint32_t weir_movable_slot_add (struct weir_movable *m, uint32_t element);
struct weir_stamp weir_movable_stamp (const struct weir_movable *m,
                                      const struct weir_movable_when *when);
struct weir_movable_when weir_movable_when (struct weir_movable *m, const struct weir_stamp *stamp);
void weir_movable_count_bytes (struct weir_movable *m);

/* movable_ops.c, movable_state.c: for the table of the type. */
enum weir_status weir_movable_decode (struct weir_op_reader *r, struct weir_op *op);
void weir_movable_encode (struct weir_op_writer *w, const struct weir_op *op);
enum weir_status weir_movable_validate (struct weir_container *self, const struct weir_op *op,
                                        struct weir_op_check *check);
bool weir_movable_join (struct weir_op *last, const struct weir_op *next);
void weir_movable_describe (const struct weir_op *op, json_t *out);
void weir_movable_save (struct weir_container *self, struct weir_save *save);
enum weir_status weir_movable_load (struct weir_container *self, struct weir_load *load);

#endif
