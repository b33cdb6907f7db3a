#ifndef WEIR_STORE_REPLICA_REPLICA_H
#define WEIR_STORE_REPLICA_REPLICA_H

/* A replica: one device's copy of a document with its history, in memory; what an application
 * uses without any daemon. It writes signed entries, reads those of others in any order, and
 * shows any version. Pure code: identity, lanes and time come in as arguments; nothing blocks.
 *
 * Two versions are kept apart: what the *log* knows and what the *document* shows. Attached,
 * they agree. Uncommitted edits show in values at once; export, import, checkout, diff, cursors
 * and undo commit first, with an empty message. Who may write is not asked here: that is the
 * repository's (store/repo/repo.h); signatures are.
 *
 * Every call that can fail returns a status and, where it takes one, fills an error with a hint;
 * nothing is changed then. Everything handed out is owned by the replica and borrowed until the
 * next call that changes it, unless it says otherwise. */

#include "store/crdt/change.h"
#include "store/crdt/graph.h"
#include "store/dag/run.h"

struct weir_replica;

struct weir_replica_options {
    const struct weir_identity *identity; /* borrowed; NULL: reads only */
    uint64_t lane;                        /* random; each replica and fork its own */
    /* The run that founds the database (weir_replica_genesis); empty: it comes by import. */
    struct weir_bytes genesis;
    bool trusts_signatures;    /* do not verify: for measuring, and for one's own files */
    bool keeps_detached_edits; /* edits while detached are allowed (each checkout then needs
                                         a lane: `next_lane`) */
    uint64_t (*next_lane) (void *context); /* random; for fork and detached edits */
    void *context;
};
/* Appends a genesis run: `random` makes it one of its kind. */
void weir_replica_genesis (const struct weir_identity *identity, const uint8_t random[32],
                           const char *name, struct weir_buf *run);

WEIR_MUST enum weir_status weir_replica_new (struct weir_replica **out,
                                             const struct weir_replica_options *options,
                                             struct weir_error *e);
/* From a snapshot of one's own (checked by its checksum, not by signatures); history is decoded
 * when it is needed. WEIR_BAD_EXPORT. */
WEIR_MUST enum weir_status weir_replica_load (struct weir_replica **out,
                                              const struct weir_replica_options *options,
                                              struct weir_bytes snapshot, struct weir_error *e);
void weir_replica_destroy (struct weir_replica **self_p);
size_t weir_replica_memory_bytes (const struct weir_replica *self);
/* As given; the lane may be another by now. */
const struct weir_replica_options *weir_replica_options (const struct weir_replica *self);
/* All zero while no genesis is here. */
const struct weir_id *weir_replica_database (const struct weir_replica *self);

/* ---- values and edits ---- */

/* What is shown. */
const struct weir_doc *weir_replica_doc (const struct weir_replica *self);
/* The open change, opened when there is none: edit by change.h. WEIR_DETACHED, WEIR_READ_ONLY
 * (no identity), WEIR_PENDING (no genesis yet). Full ones are committed by themselves by the next
 * call. */
WEIR_MUST enum weir_status weir_replica_change (struct weir_replica *self, struct weir_change **out,
                                                struct weir_error *e);
/* The same by paths: edit is weir_edit_new (weir_replica_doc (self)), edited. WEIR_CONFLICT when
 * the open change has ops already: what the edit names of its own and of theirs could not be
 * told apart. Commit first. */
WEIR_MUST enum weir_status weir_replica_adopt (struct weir_replica *self, struct weir_edit *edit,
                                               struct weir_error *e);
/* Seals what is open as one entry. clock_ms 0: not recorded. *entry (may be NULL) is zero when
 * there was nothing. */
WEIR_MUST enum weir_status weir_replica_commit (struct weir_replica *self,
                                                struct weir_bytes message, uint64_t clock_ms,
                                                struct weir_id *entry, struct weir_error *e);

/* ---- versions ---- */

/* Heads: sorted ids. A list owned by the caller; zero-initialised is the empty version. */
struct weir_heads {
    struct weir_id *items;
    size_t count;
    size_t cap;
};
void weir_heads_fini (struct weir_heads *h);
void weir_heads_put (struct weir_heads *h, const struct weir_id *id);

/* Op vector: for each chain (each tip, where it has several) how many ops. Sorted. */
struct weir_op_row {
    struct weir_chain chain;
    struct weir_id tip; /* the last entry that it reaches into; tells branches apart. Zero, from
                           callers: the one there is */
    uint64_t ops;
};
struct weir_op_vector {
    struct weir_op_row *rows;
    size_t count;
    size_t cap;
};
void weir_op_vector_fini (struct weir_op_vector *v);

void weir_replica_log_heads (struct weir_replica *self, struct weir_heads *out);
void weir_replica_doc_heads (struct weir_replica *self, struct weir_heads *out);
/* WEIR_NOT_FOUND: an id that is not here. */
WEIR_MUST enum weir_status weir_replica_vector (struct weir_replica *self,
                                                const struct weir_heads *heads,
                                                struct weir_op_vector *out, struct weir_error *e);
/* The reverse; WEIR_INVALID_ARGUMENT when the vector ends inside an entry. */
WEIR_MUST enum weir_status weir_replica_heads (struct weir_replica *self,
                                               const struct weir_op_vector *vector,
                                               struct weir_heads *out, struct weir_error *e);
WEIR_MUST enum weir_status weir_replica_compare (struct weir_replica *self,
                                                 const struct weir_heads *a,
                                                 const struct weir_heads *b,
                                                 enum weir_graph_relation *out,
                                                 struct weir_error *e);
/* Shows an older version: detached, even when it is the newest; edits are refused unless the
 * options allow them. WEIR_NOT_FOUND, WEIR_STALE_ROOT (before a shallow root). */
WEIR_MUST enum weir_status weir_replica_checkout (struct weir_replica *self,
                                                  const struct weir_heads *heads,
                                                  struct weir_error *e);
/* Stays at what is shown while the log goes on. */
WEIR_MUST enum weir_status weir_replica_detach (struct weir_replica *self, struct weir_error *e);
WEIR_MUST enum weir_status weir_replica_attach (struct weir_replica *self, struct weir_error *e);
bool weir_replica_is_attached (const struct weir_replica *self);
/* A second replica of what is shown (or of `heads`), with a lane of its own, history up to there
 * only; the caller owns it. A run that goes on behind is exported whole by it, too: its end is
 * where the signature is. */
WEIR_MUST enum weir_status weir_replica_fork (struct weir_replica *self,
                                              const struct weir_heads *heads, /* NULL: shown */
                                              struct weir_replica **out, struct weir_error *e);

/* The history as Loro's Changes: consecutive entries of one chain, no new deps, the same
 * message, within `interval_s`, are one. */
struct weir_replica_change_row {
    struct weir_chain chain;
    uint64_t counter; /* of its first op in its chain */
    uint64_t lamport; /* of its first op */
    uint64_t ops;
    uint64_t clock_ms;
    struct weir_bytes message;
    struct weir_id first;
    struct weir_id last;
    size_t n_deps;
    const struct weir_id *deps; /* entries, without those that change nothing (genesis) */
};
/* Calls fn for each, parents first, until it returns false. */
typedef bool (weir_replica_change_fn) (void *context, const struct weir_replica_change_row *row);
WEIR_MUST enum weir_status weir_replica_changes (struct weir_replica *self, uint64_t interval_s,
                                                 weir_replica_change_fn *fn, void *context,
                                                 struct weir_error *e);

/* ---- export and import (export.h has the bytes) ---- */

enum weir_export_mode {
    WEIR_EXPORT_SNAPSHOT = 1, /* all history and the state */
    WEIR_EXPORT_UPDATE = 2,   /* the entries that `from` lacks */
    WEIR_EXPORT_SPANS = 3,    /* those spans, widened to whole runs */
    WEIR_EXPORT_SHALLOW = 4   /* state at `root`, history after it, the exporter's signature */
};
struct weir_op_span {
    struct weir_chain chain;
    uint64_t from; /* ops */
    uint64_t to;
};
struct weir_export {
    enum weir_export_mode mode;
    const struct weir_op_vector *from; /* update; NULL: the empty one. Unknown rows are ignored */
    const struct weir_op_span *spans;
    size_t n_spans;
    const struct weir_heads *root; /* shallow */
    bool fast;                     /* packs at less cost, for what is sent at once and not kept */
};
/* Appends. Pending entries are exported with an update or snapshot, too (Loro loses them). */
WEIR_MUST enum weir_status weir_replica_export (struct weir_replica *self,
                                                const struct weir_export *what,
                                                struct weir_buf *out, struct weir_error *e);

struct weir_import {
    struct weir_op_span *success; /* new ops here, those that waited before included */
    size_t n_success;
    struct weir_op_span *pending; /* what still waits, all of it: counted from 0 where the entry
                                     before is not here either */
    size_t n_pending;
    uint64_t inert;             /* entries among the new ones without effect */
    struct weir_id root_signer; /* shallow: whose word was taken; else zero */
};
void weir_import_fini (struct weir_import *self);
/* All or nothing: a blob that is damaged, lies, or stands on what a shallow replica has cut away
 * leaves no trace. WEIR_BAD_EXPORT, WEIR_BAD_RUN, WEIR_BAD_SIGNATURE, WEIR_WRONG_DATABASE,
 * WEIR_STALE_ROOT, WEIR_NEEDS_UPGRADE. */
WEIR_MUST enum weir_status weir_replica_import (struct weir_replica *self, struct weir_bytes blob,
                                                struct weir_import *result, struct weir_error *e);
/* In any order of blobs: one merge, one event. A bad blob is skipped, the others stand; the
 * status is of the last bad one. */
WEIR_MUST enum weir_status weir_replica_import_batch (struct weir_replica *self,
                                                      const struct weir_bytes *blobs, size_t count,
                                                      struct weir_import *result,
                                                      struct weir_error *e);

/* The header alone, without loading. Owned by the caller. */
struct weir_export_info {
    enum weir_export_mode mode;
    struct weir_id database;
    uint64_t entries;
    uint64_t ops;
    struct weir_op_vector asked;    /* update: from; spans: their starts .. */
    struct weir_op_vector asked_to; /* .. spans: to their ends */
    struct weir_op_vector start;    /* what is inside: from here .. */
    struct weir_op_vector end;      /* .. to here */
    struct weir_heads root;         /* shallow */
    uint64_t clock_ms_min;
    uint64_t clock_ms_max;
};
void weir_export_info_fini (struct weir_export_info *self);
WEIR_MUST enum weir_status weir_export_read_info (struct weir_bytes blob,
                                                  struct weir_export_info *info,
                                                  struct weir_error *e);

/* ---- differences, events (diff.c) ---- */

/* A difference of two versions, a to b, is JSON: an array of rows, parents before children,
 *
 *     {"container": id, "type": name, "path": where it stands in b, "diff": ...}
 *
 * and a diff, by type:
 *     map      {"set": {key: value}, "delete": [key]}, either may be missing
 *     list     an array of {"retain": n}, {"insert": [value, ..]}, {"delete": n}
 *     text     the same with {"insert": text}; inserts may have "attributes" {key: value}, all
 *              of theirs, retains those that change (null: gone)
 *     movable  as list, and {"set": value}: one element stays and has another value, and
 *              {"insert": [value], "move": n}: the element that a has at index n (where it is
 *              told as deleted); with an empty insert it keeps its value
 *     tree     an array of {"create" | "move": node, "parent": node or null, "index": n},
 *              {"delete": node}, to be done one after the other: the index is among its siblings
 *              at that moment without itself; what is below a deleted node goes unsaid
 *     counter  a number
 * A value is as the document's JSON has it, but a child that comes is {"$container": id, "type":
 * name, "unique": true (none: by path)}; what is in it has rows of its own, as if it were new. A
 * node's map is a child of the tree that comes with it. Ids of containers are 52 characters, of
 * nodes as weir_op_id_text writes them. The caller owns what it is given. */
WEIR_MUST enum weir_status weir_replica_diff (struct weir_replica *self, const struct weir_heads *a,
                                              const struct weir_heads *b, json_t **out,
                                              struct weir_error *e);
/* As new ops on what is shown; unique containers that it makes get new ids, nodes that the tree
 * has known come back as themselves. Not committed (but what is too much for one entry is, in
 * between). On an error nothing is changed: WEIR_INVALID_JSON for what is no difference,
 * WEIR_OUT_OF_RANGE, WEIR_NOT_FOUND, WEIR_CONFLICT for one that does not fit. */
WEIR_MUST enum weir_status weir_replica_apply_diff (struct weir_replica *self, const json_t *diff,
                                                    struct weir_error *e);
/* What is shown becomes what it was at `heads`, by new ops; history is kept. Not committed. */
WEIR_MUST enum weir_status weir_replica_revert_to (struct weir_replica *self,
                                                   const struct weir_heads *heads,
                                                   struct weir_error *e);
/* The difference of two documents of one database, for those without a replica (`weir doc
 * diff`). Both must be able to become warm. */
WEIR_MUST enum weir_status weir_doc_diff (struct weir_doc *a, struct weir_doc *b, json_t **out,
                                          struct weir_error *e);
enum weir_event_by { WEIR_BY_LOCAL, WEIR_BY_IMPORT, WEIR_BY_CHECKOUT };
struct weir_replica_event {
    enum weir_event_by by;
    const char *origin; /* of local ones: "", "undo", "redo", "revert", or the committer's */
    const struct weir_heads *from;
    const struct weir_heads *to;
    const json_t *diff; /* borrowed */
};
/* Who makes the next commit, for events: a word of the application's. Borrowed until then; NULL:
 * nobody in particular. */
void weir_replica_set_origin (struct weir_replica *self, const char *origin);
/* Called after a commit, import, checkout or attach that changed what is shown, once for each;
 * it may read the replica and must not change it. NULL: nobody. */
typedef void (weir_replica_event_fn) (void *context, const struct weir_replica_event *event);
void weir_replica_subscribe (struct weir_replica *self, weir_replica_event_fn *fn, void *context);

/* ---- cursors, undo ---- */

/* A place in a text or list that follows edits: before an element (side -1, 0) or after it. */
struct weir_cursor {
    struct weir_id container;
    struct weir_op_id element; /* entry zero: the beginning (side < 0) or the end (side > 0) */
    int8_t side;               /* -1 before, 0 on, 1 after the element */
};
/* At the element at index `at` (text: scalars); at the length: the end. WEIR_OUT_OF_RANGE beyond,
 * WEIR_INVALID_ARGUMENT for another kind of container, WEIR_STALE_ROOT for an element whose
 * history was cut away. */
WEIR_MUST enum weir_status weir_replica_cursor (struct weir_replica *self,
                                                struct weir_container *container, uint32_t at,
                                                int8_t side, struct weir_cursor *out,
                                                struct weir_error *e);
/* Where it is now: the index of its element, with side 1 that + 1. *moved (may be NULL): the
 * element is deleted; *at is where it was then, and a cursor to keep instead is in *update (may be
 * NULL). WEIR_NOT_FOUND: the container or element is unknown; WEIR_STALE_ROOT: its history was cut
 * away. */
WEIR_MUST enum weir_status weir_replica_cursor_at (struct weir_replica *self,
                                                   const struct weir_cursor *cursor, uint32_t *at,
                                                   bool *moved, struct weir_cursor *update,
                                                   struct weir_error *e);

/* As bytes, to be kept or sent: at most 70. Equal cursors have equal bytes. */
void weir_cursor_put (struct weir_buf *out, const struct weir_cursor *cursor);
/* WEIR_INVALID_ARGUMENT, WEIR_NEEDS_UPGRADE. */
WEIR_MUST enum weir_status weir_cursor_read (struct weir_bytes bytes, struct weir_cursor *out);

/* Undoes this replica's own commits, one step a commit (those within `merge_ms` of each other by
 * their clocks are one step), by new ops that leave what others wrote since. A checkout or a new
 * lane forgets the steps. */
struct weir_undo;
struct weir_undo *weir_undo_new (struct weir_replica *replica, uint64_t merge_ms, size_t steps_max);
void weir_undo_destroy (struct weir_undo **self_p);
/* Commits with this prefix of origin are not recorded. */
void weir_undo_exclude (struct weir_undo *self, const char *origin_prefix);
void weir_undo_group_start (struct weir_undo *self);
void weir_undo_group_end (struct weir_undo *self);
size_t weir_undo_steps (const struct weir_undo *self);
size_t weir_undo_redo_steps (const struct weir_undo *self);
/* One commit each (or none, when nothing is left of the step). WEIR_NOT_FOUND: no step. */
WEIR_MUST enum weir_status weir_undo_undo (struct weir_undo *self, struct weir_error *e);
WEIR_MUST enum weir_status weir_undo_redo (struct weir_undo *self, struct weir_error *e);

#endif
