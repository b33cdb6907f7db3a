#ifndef WEIR_STORE_CRDT_TEXT_PARTS_H
#define WEIR_STORE_CRDT_TEXT_PARTS_H

/* The inside of a text, for text.c (characters) and marks.c (styles). Nobody else includes it.
 *
 * A mark is two anchors, entities of the sequence that nobody sees: the entity's content is the
 * mark's number doubled, and one more for its end. */

#include "store/crdt/change.h"
#include "store/crdt/rope.h"
#include "store/crdt/types.h"

#define MARK_START 1u
#define MARK_END 2u
#define MARK_BOTH (MARK_START | MARK_END)

struct mark {
    uint8_t *bytes;       /* owned: the key, and the value's bytes */
    struct weir_id entry; /* zero until it is sealed */
    uint64_t lamport;
    struct weir_value value; /* null: unmark; its bytes lie in `bytes` */
    uint32_t chain;
    uint32_t offset;
    uint32_t key_len;
    uint8_t expand;
    uint8_t anchors; /* those that are there: a broken payload may delete one */
};

struct text {
    struct weir_container head;
    struct weir_seq *seq; /* here in every type that has one */
    struct mark *marks;
    size_t n_marks;
    size_t marks_cap;
    size_t n_sealed;      /* marks before it are sealed */
    uint32_t last_anchor; /* where the last one was put, in entities */
    bool is_written;
};

/* ---- marks.c ---- */

void weir_marks_fini (struct text *t);
/* A new mark, without anchors yet. Key and value are copied. */
uint32_t weir_marks_add (struct text *t, struct weir_bytes key, uint8_t expand,
                         const struct weir_value *value, const struct weir_stamp *stamp);
void weir_marks_apply (struct text *t, const struct weir_op *op, const struct weir_stamp *stamp);
void weir_marks_seal (struct text *t, const struct weir_op *op, const struct weir_stamp *stamp);
/* Anchors leave. */
void weir_marks_remove (struct text *t, uint32_t at, uint32_t count, uint32_t content);
bool weir_text_is_styled (const struct text *t);

/* ---- text_state.c ---- */

void weir_text_save (struct weir_container *self, struct weir_save *save);
enum weir_status weir_text_load (struct weir_container *self, struct weir_load *load);

#endif
