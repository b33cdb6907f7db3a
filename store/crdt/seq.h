#ifndef WEIR_STORE_CRDT_SEQ_H
#define WEIR_STORE_CRDT_SEQ_H

/* A sequence: what text, list and movable list have in common. Three parts: the *rope*, the
 * entities that are there now; the *op log* (while the document is warm), what was inserted and
 * deleted by which op; the *tracker* (while concurrency lasts), which turns positions at an
 * entry's parents into positions now. Eg-walker, after Gentle and Kleppmann (EuroSys 2025).
 * Pure code.
 *
 * An *entity* is one place: a character, a list element, an anchor of a mark, a slot of a movable
 * list. Ops count entities; users count those that are not hidden. What an entity is, its owner
 * knows by `content`: a text's characters by the place of their bytes in the sequence's own
 * text, others by a number of the owner's. A stretch of entities has consecutive content.
 *
 * An *event* is one entity inserted or deleted, numbered in order of arrival within the sequence;
 * entities of a document that was loaded have no event (WEIR_SEQ_UNKNOWN) until ids are asked
 * for (weir_seq_resolve). */

#include "store/crdt/container.h"
#include "store/crdt/graph.h"

#define WEIR_SEQ_UNKNOWN UINT32_MAX

struct weir_seq;

/* What the owner hears while ops are applied, in order; positions in entities, as they are at
 * that moment. `removed` comes before the entities go. NULL: deaf. */
struct weir_seq_owner {
    void (*inserted) (struct weir_container *owner, uint32_t at, uint32_t count, uint32_t content);
    void (*removed) (struct weir_container *owner, uint32_t at, uint32_t count, uint32_t content);
};

/* `is_text`: content is bytes. */
struct weir_seq *weir_seq_new (struct weir_container *owner, const struct weir_seq_owner *listener,
                               bool is_text);
void weir_seq_destroy (struct weir_seq **self_p);

/* ---- now ---- */

uint32_t weir_seq_entities (const struct weir_seq *self);
uint32_t weir_seq_length (const struct weir_seq *self); /* not hidden */
/* Of text: without anchors, in a unit. */
uint64_t weir_seq_text_length (const struct weir_seq *self, enum weir_text_unit unit);
/* Appends the visible text between two positions (scalars). */
void weir_seq_text (const struct weir_seq *self, uint32_t from, uint32_t to, struct weir_buf *out);
/* A position in a unit as scalars. WEIR_OUT_OF_RANGE beyond the end, WEIR_INVALID_ARGUMENT inside
 * a character. */
WEIR_MUST enum weir_status weir_seq_text_convert (const struct weir_seq *self,
                                                  enum weir_text_unit from, uint64_t at,
                                                  enum weir_text_unit to, uint64_t *out);

/* A stretch of entities of one kind. */
struct weir_seq_span {
    uint32_t event; /* of the first; WEIR_SEQ_UNKNOWN */
    uint32_t count;
    uint32_t content; /* of the first */
    bool hidden;
    uint32_t at;      /* entities before it */
    uint32_t user_at; /* and of those, not hidden */
};
/* The stretch that holds the entity at `at`, cut to begin there; false: beyond the end. Reading
 * on with at + count costs no search. */
bool weir_seq_span (const struct weir_seq *self, uint32_t at, struct weir_seq_span *span);
/* The entity position of the `at`-th entity that is not hidden: just behind the one before it
 * (hidden ones in between stay to the right); at most the length. */
uint32_t weir_seq_entity_at (const struct weir_seq *self, uint32_t user_at);
/* The same, but of the visible entity itself: hidden ones in between are passed. `user_at` below
 * the length. */
uint32_t weir_seq_entity_of (const struct weir_seq *self, uint32_t user_at);
uint32_t weir_seq_user_at (const struct weir_seq *self, uint32_t entity_at);
/* Hides or shows the entity at `at`. */
void weir_seq_hide (struct weir_seq *self, uint32_t at, bool hidden);
/* Finds the entity with this content: walks the sequence. False: not there. */
bool weir_seq_find_content (const struct weir_seq *self, uint32_t content, uint32_t *at);

/* ---- ops of the entry at hand (see weir_doc_node) ---- */

/* For an entry that is not on top of everything: replays what its parents need, as far as the
 * budget goes (nodes and ops, and one more), and counts that down. WEIR_BUSY: there is more to
 * do; WEIR_LIMIT: it would take too much memory. */
WEIR_MUST enum weir_status weir_seq_prepare (struct weir_seq *self, uint64_t *budget);
/* Entities at its parents, before its own ops: for validate. */
WEIR_MUST enum weir_status weir_seq_length_at_parents (struct weir_seq *self, uint64_t *length);
/* `at` counts at the parents and after the entry's earlier ops; in range (validated). `offset` is
 * that of the op's first atom in the entry. Text is copied; `count` scalars in it. */
void weir_seq_insert_text (struct weir_seq *self, uint32_t at, uint32_t count,
                           struct weir_bytes text, uint32_t offset);
void weir_seq_insert (struct weir_seq *self, uint32_t at, uint32_t count, uint32_t content,
                      bool hidden, uint32_t offset);
void weir_seq_delete (struct weir_seq *self, uint32_t at, uint32_t count, uint32_t offset);
/* The same into the op log only, for `record`. `content` of what was inserted as the owner gives
 * it (it must keep what deleted entities were while warm); text is kept here. */
void weir_seq_record_text (struct weir_seq *self, uint32_t at, uint32_t count,
                           struct weir_bytes text, uint32_t offset);
void weir_seq_record (struct weir_seq *self, uint32_t at, uint32_t count, uint32_t content,
                      bool hidden, uint32_t offset);
void weir_seq_record_delete (struct weir_seq *self, uint32_t at, uint32_t count, uint32_t offset);
/* Drops op log and tracker. */
void weir_seq_cool (struct weir_seq *self);

/* For load: appends entities without events. */
void weir_seq_load_text (struct weir_seq *self, uint32_t count, struct weir_bytes text);
void weir_seq_load (struct weir_seq *self, uint32_t count, uint32_t content, bool hidden);

/* ---- ids; the document must be warm (weir_doc_warm) ---- */

/* Gives every entity its event, by replaying the sequence once; nothing to do when they have. */
void weir_seq_resolve (struct weir_seq *self);
/* The op that inserted an event, its node's id and offset; resolved. */
struct weir_op_id weir_seq_event_id (const struct weir_seq *self, uint32_t event);
/* How many events from `event` on, at most `max`, have consecutive offsets in one entry; *id is
 * that of the first. */
uint32_t weir_seq_event_run (const struct weir_seq *self, uint32_t event, uint32_t max,
                             struct weir_op_id *id);
/* WEIR_SEQ_UNKNOWN: no such insertion here. */
uint32_t weir_seq_event_of (const struct weir_seq *self, const struct weir_op_id *id);
/* Where an event's entity stands now; false: it is deleted, *at is where it would. Costs a
 * walk, and of a deleted one a replay. */
bool weir_seq_position (struct weir_seq *self, uint32_t event, uint32_t *at);

#endif
