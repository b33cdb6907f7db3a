#ifndef WEIR_STORE_REPO_REPO_H
#define WEIR_STORE_REPO_REPO_H

/* The repository: the facade over dag, crdt and kv. It verifies, indexes and keeps heads in one
 * atomic batch, seals commits, and answers what sync asks. One thread; it blocks on disk reads
 * only. Time and randomness come in as arguments.
 *
 * Group commit: weir_repo_commit and weir_repo_import change the state in memory and collect a
 * batch; weir_repo_flush seals the open runs (one signature each), and hands the batch to the
 * kv. What a flush wrote is *readable* at once; it is *synced* when weir_kv_synced reaches the
 * number the flush returned: only then may it be acknowledged or leave the node
 * (weir_repo_on_synced). */

#include "store/crdt/doc.h"
#include "store/dag/members.h"
#include "store/dag/run.h"
#include "store/dag/vector.h"
#include "store/kv/kv.h"
#include "store/kv/tips.h"
#include "store/base/rand.h"

#define WEIR_LAYOUT_VERSION 1u

struct weir_repo;

struct weir_repo_options {
    struct weir_kv *kv;                   /* borrowed */
    struct weir_tips *tips;               /* borrowed */
    const struct weir_identity *identity; /* borrowed */
    uint8_t seed[32];                     /* random: lanes, epochs, genesis bytes */
    size_t documents_bytes_max;           /* documents kept in memory; 0: 256 MiB */
    uint64_t document_steps;              /* a document's merge in one go; 0: 4 Mi */
    uint64_t blob_keep_ms;                /* of content nothing visible names; 0: a week */
    uint64_t blob_upload_keep_ms;         /* of a put that did not end; 0: a day */
};

/* Opens or makes the repository in an empty kv. WEIR_NEWER_LAYOUT, WEIR_CORRUPT,
 * WEIR_WRONG_DEVICE (the data belong to another key). */
WEIR_MUST enum weir_status weir_repo_open (struct weir_repo **out,
                                           const struct weir_repo_options *options,
                                           struct weir_error *e);
/* Does not flush. */
void weir_repo_close (struct weir_repo **self_p);
/* Random, new only after restore, repair or rebuild. */
uint64_t weir_repo_epoch (const struct weir_repo *self);

/* ---- databases ---- */

struct weir_db_info {
    struct weir_id id;
    char name[WEIR_NAME_BYTES_MAX + 1];
    enum weir_right right; /* this device's, by the current heads */
    uint64_t entries;
    uint64_t bytes; /* of runs */
    uint64_t pending_runs;
    uint64_t refused_runs;
    uint64_t inert_entries;
    size_t n_heads;
    size_t n_chains; /* rows of the vector */
    bool needs_upgrade;
    bool joining;              /* expected by a ticket; genesis not here yet */
    uint64_t position;         /* in the arrival log, of the last change */
    enum weir_status deferred; /* not WEIR_OK: why the document is behind the log */
};

/* Makes a database: genesis with this device as admin of rank 0. Durable after flush + sync. */
WEIR_MUST enum weir_status weir_repo_create (struct weir_repo *self, const char *name,
                                             uint64_t now_ms, struct weir_id *db,
                                             struct weir_error *e);
/* Accepts runs of a database it does not hold yet (join); idempotent. */
WEIR_MUST enum weir_status weir_repo_expect (struct weir_repo *self, const struct weir_id *db);
/* Forgets a database and all that is stored of it (batched; large ones in slices by
 * weir_repo_work). */
WEIR_MUST enum weir_status weir_repo_forget (struct weir_repo *self, const struct weir_id *db);
/* The i-th database, in order of id; false past the end. */
bool weir_repo_database (struct weir_repo *self, size_t i, struct weir_db_info *info);
WEIR_MUST enum weir_status weir_repo_info (struct weir_repo *self, const struct weir_id *db,
                                           struct weir_db_info *info);
/* By whole id, unique id prefix (8+), or exact name. WEIR_NOT_FOUND, WEIR_AMBIGUOUS. */
WEIR_MUST enum weir_status weir_repo_resolve (struct weir_repo *self, const char *text,
                                              struct weir_id *db, struct weir_error *e);
/* Sorted; *count of them, borrowed until the next change. */
const struct weir_id *weir_repo_heads (struct weir_repo *self, const struct weir_id *db,
                                       size_t *count);

/* ---- local commits ---- */

/* One sealed entry from an edit of weir_repo_document: payload and ops as weir_edit_seal gave
 * them. Applied to the document at once. WEIR_NOT_FOUND, WEIR_NOT_MEMBER, WEIR_NOT_ALLOWED,
 * WEIR_REMOVED, WEIR_NEEDS_UPGRADE, or the kv's status when the disk fails. */
WEIR_MUST enum weir_status weir_repo_commit (struct weir_repo *self, const struct weir_id *db,
                                             struct weir_bytes payload, uint32_t ops,
                                             uint64_t now_ms, struct weir_id *entry,
                                             struct weir_error *e);
/* Members: a settings entry (a run alone) with these changes; checked by
 * weir_members_may_change. */
WEIR_MUST enum weir_status weir_repo_change_members (struct weir_repo *self,
                                                     const struct weir_id *db,
                                                     const struct weir_member_change *changes,
                                                     size_t count, uint64_t now_ms,
                                                     struct weir_id *entry, struct weir_error *e);
/* The document, attached, loaded when needed (snapshot + replay of the log); valid until the
 * next call on self. WEIR_DEFERRED: it is behind its log, which goes on; the error says why. */
WEIR_MUST enum weir_status weir_repo_document (struct weir_repo *self, const struct weir_id *db,
                                               struct weir_doc **doc, struct weir_error *e);

/* The document as it was at some heads: replayed from the log, so its cost is the history's. The
 * caller owns it. WEIR_NOT_FOUND: an entry that is not here. */
WEIR_MUST enum weir_status weir_repo_document_at (struct weir_repo *self, const struct weir_id *db,
                                                  const struct weir_id *heads, size_t n_heads,
                                                  struct weir_doc **doc, struct weir_error *e);

/* ---- import ---- */

enum weir_import_outcome {
    WEIR_IMPORT_NEW,     /* stored; `range` is what was new of it */
    WEIR_IMPORT_HELD,    /* nothing new: changes nothing; `range` is all of it */
    WEIR_IMPORT_PENDING, /* waits for `missing`; zero, WEIR_TOO_OFTEN: for its author's budget */
    WEIR_IMPORT_REFUSED, /* `status` says why; nothing stored */
};
struct weir_import_result {
    enum weir_import_outcome outcome;
    enum weir_status status;
    struct weir_range range; /* its chain, also of what waits or was refused */
    uint32_t held;           /* how many of its entries were held already */
    struct weir_id missing;  /* the first thing it waits for */
    bool fork;               /* the author's chain has now one tip more */
    uint32_t unlocked;       /* pending runs that this one made whole; they are stored too */
};
/* One run (its bytes exactly). `source` is who sent it (zero: a file); remembered for the
 * arrival log, so that nothing is pushed back. */
WEIR_MUST enum weir_status weir_repo_import (struct weir_repo *self, const struct weir_id *db,
                                             struct weir_bytes run, const struct weir_id *source,
                                             uint64_t now_ms, struct weir_import_result *result);

/* ---- files ---- */

/* All of a database for an export: appends its runs, parents first, end to end, and those that
 * wait for others. `join`: as one where that saves signatures; else each as it came, so that a
 * part of them can be small. WEIR_BUSY when something is not synced yet: nothing leaves the node
 * that a crash could take back. */
WEIR_MUST enum weir_status weir_repo_runs (struct weir_repo *self, const struct weir_id *db,
                                           bool join, struct weir_buf *runs,
                                           struct weir_buf *pending);
/* Appends the runs that wait. */
WEIR_MUST enum weir_status weir_repo_waiting (struct weir_repo *self, const struct weir_id *db,
                                              struct weir_buf *pending);
/* Ops are counted along a chain, as Loro's counters are. Of the entry with this lamport in the
 * log's row at `position`: how many ops of its chain stand before it. The first call reads the
 * database's log, later ones what came since. */
WEIR_MUST enum weir_status weir_repo_counter (struct weir_repo *self, const struct weir_id *db,
                                              uint64_t position, uint64_t lamport,
                                              uint64_t *counter);
/* Calls fn for each row behind `after`, in order: its entries, and the ops `from` .. `to` - 1 of
 * its chain. weir_repo_position_last: the last row, synced or not. */
typedef void (weir_repo_span_fn) (void *context, const struct weir_range *range, uint64_t from,
                                  uint64_t to);
WEIR_MUST enum weir_status weir_repo_op_spans (struct weir_repo *self, const struct weir_id *db,
                                               uint64_t after, weir_repo_span_fn *fn,
                                               void *context);
uint64_t weir_repo_position_last (const struct weir_repo *self);

/* ---- group commit ---- */

/* Seals, signs, writes. Returns the kv's batch number: when it is synced, so is everything
 * before this call. Cheap when nothing is open. */
uint64_t weir_repo_flush (struct weir_repo *self, uint64_t now_ms);
/* To be called when weir_kv_synced advanced, before anything of it is told: saves the tips
 * file, moves the synced position of the arrival log. */
void weir_repo_on_synced (struct weir_repo *self);
/* Deferred work (forgetting, snapshots of documents), a bounded slice; true when more is left. */
bool weir_repo_work (struct weir_repo *self, uint64_t now_ms);

/* ---- the arrival log ---- */

/* One row: a stored run, in order of arrival. Only rows up to the synced position are given. */
struct weir_log_row {
    uint64_t position;
    struct weir_id db;
    struct weir_range range;
    struct weir_id source; /* zero: committed here (or from a file) */
    uint8_t kind;
    uint32_t bytes; /* of the run */
};
uint64_t weir_repo_position (const struct weir_repo *self); /* the last synced one */
/* The first row behind `after` (of `db`, when not NULL); WEIR_NOT_FOUND when there is none. */
WEIR_MUST enum weir_status weir_repo_log_next (struct weir_repo *self, uint64_t after,
                                               const struct weir_id *db, struct weir_log_row *row);
/* The last row before position `before` (of `db`, when not NULL), for reading the log newest
 * first. */
WEIR_MUST enum weir_status weir_repo_log_prev (struct weir_repo *self, uint64_t before,
                                               const struct weir_id *db, struct weir_log_row *row);

/* ---- what sync asks ---- */

/* The entry vector, of what is synced and of what is not yet (readable): sync tells and
 * compares readable state, but sends and acknowledges only what is synced. Borrowed until the
 * next change. NULL: not held. */
const struct weir_vector *weir_repo_vector (struct weir_repo *self, const struct weir_id *db);
/* What another node told of its vector, compared with ours; as weir_vector_compare. */
WEIR_MUST enum weir_status weir_repo_compare (struct weir_repo *self, const struct weir_id *db,
                                              const struct weir_told_row *told, size_t n_told,
                                              struct weir_ranges *lacks, bool *more,
                                              struct weir_vector *unknown);
size_t weir_repo_samples (struct weir_repo *self, const struct weir_id *db,
                          const struct weir_row *row, struct weir_sample *samples, size_t max);
/* Everything that is not in the past of these entries, in order of arrival. WEIR_NOT_FOUND: one is
 * not here; WEIR_LIMIT: it takes more than `runs_max` runs to say. */
WEIR_MUST enum weir_status weir_repo_beyond (struct weir_repo *self, const struct weir_id *db,
                                             const struct weir_id *heads, size_t n_heads,
                                             size_t runs_max, struct weir_ranges *beyond);
/* The entry vector as it was when the database's last row in the log was the one at `position`.
 * WEIR_LIMIT: more than `runs_max` runs came since. */
WEIR_MUST enum weir_status weir_repo_vector_at (struct weir_repo *self, const struct weir_id *db,
                                                uint64_t position, size_t runs_max,
                                                struct weir_vector *v);
/* One step of the newer ladder (page 3): what to say to a node, from what it said. A digest that
 * both had, and the position in the log when it was ours: a hint, checked before it is used. */
struct weir_repo_hint {
    struct weir_id digest;
    uint64_t position;
};
struct weir_repo_ladder {
    struct weir_id db;
    struct weir_id key;     /* of the session, for hashes */
    struct weir_bytes told; /* empty: begin */
    struct weir_id theirs;  /* to begin: their digest; a hint's: nothing needs to be said */
    const struct weir_repo_hint *hints;
    size_t n_hints; /* the newest first */
};
/* Zero-initialised is empty. */
struct weir_repo_rung {
    struct weir_buf say;      /* empty: nothing */
    bool answer;              /* what is said needs an answer */
    bool settled;             /* by what was told: all that they lack is in `lacks` */
    bool more;                /* they hold something that is not here */
    struct weir_ranges lacks; /* at most WEIR_LACKS_MAX */
    size_t chains;            /* that are known to differ */
};
void weir_repo_rung_fini (struct weir_repo_rung *r);
/* WEIR_BAD_MESSAGE: what was told makes no sense. */
WEIR_MUST enum weir_status weir_repo_ladder (struct weir_repo *self,
                                             const struct weir_repo_ladder *ask,
                                             struct weir_repo_rung *rung);
/* How many entries there are in these ranges. Runs of a range for sending: appends whole runs,
 * joined where that saves signatures, from `from_seq` on until `bytes_max` is reached (at least
 * one), and gives the seq to go on from (range.to_seq when done). Order of several ranges is
 * the caller's: causal order is not needed, the importer holds what came early. What is not
 * synced is never given: WEIR_BUSY when nothing of it is, to be asked for again after
 * weir_repo_on_synced. */
WEIR_MUST enum weir_status weir_repo_read (struct weir_repo *self, const struct weir_id *db,
                                           const struct weir_range *range, uint64_t from_seq,
                                           size_t bytes_max, struct weir_buf *out,
                                           uint64_t *next_seq);
/* Where an entry is, and its facts. */
struct weir_entry_facts {
    struct weir_id id;
    struct weir_chain chain;
    uint64_t seq;
    uint64_t lamport;
    uint32_t ops;
    uint64_t clock_ms;
    uint8_t kind;
    uint64_t position; /* of its row in the log */
    uint16_t n_deps;
    struct weir_id deps[WEIR_ENTRY_DEPS_MAX]; /* and prev */
    struct weir_id prev;
    uint32_t view; /* of its past */
    bool inert;
    enum weir_status inert_why;
};
/* `payload` may be NULL; else the payload is appended. WEIR_NOT_FOUND. */
WEIR_MUST enum weir_status weir_repo_entry (struct weir_repo *self, const struct weir_id *db,
                                            const struct weir_id *entry,
                                            struct weir_entry_facts *facts,
                                            struct weir_buf *payload);
/* The entries of a log row, the last first, from one decoding of its run: `skip` of them are
 * passed over, and fn is called until it returns false. What it is given is borrowed for that
 * call, and it must not call the repository. */
typedef bool (weir_repo_entry_fn) (void *context, const struct weir_entry_facts *facts,
                                   struct weir_bytes payload);
WEIR_MUST enum weir_status weir_repo_row_entries (struct weir_repo *self,
                                                  const struct weir_log_row *row, size_t skip,
                                                  weir_repo_entry_fn *fn, void *context);
/* Is `a` in the past of `b`? Bounded by `steps_max` run visits: WEIR_LIMIT beyond. */
WEIR_MUST enum weir_status weir_repo_is_before (struct weir_repo *self, const struct weir_id *db,
                                                const struct weir_id *a, const struct weir_id *b,
                                                size_t steps_max, bool *before);
/* Entry by unique id prefix in a database. */
WEIR_MUST enum weir_status weir_repo_find_entry (struct weir_repo *self, const struct weir_id *db,
                                                 const char *prefix, struct weir_id *entry,
                                                 struct weir_error *e);

/* ---- membership, by the current heads ---- */

enum weir_right weir_repo_right (struct weir_repo *self, const struct weir_id *db,
                                 const struct weir_id *device);
const struct weir_member *weir_repo_members (struct weir_repo *self, const struct weir_id *db,
                                             size_t *count);
/* Grows whenever the settings part of the heads of any database changes: peers re-reads rights. */
uint64_t weir_repo_members_epoch (const struct weir_repo *self);
/* Chains that one key wrote from two places: each fork's two entries, as proof. */
struct weir_fork {
    struct weir_chain chain;
    uint64_t seq;
    struct weir_id a;
    struct weir_id b;
};
WEIR_MUST enum weir_status weir_repo_fork (struct weir_repo *self, const struct weir_id *db,
                                           size_t i, struct weir_fork *fork);
/* The i-th settings entry that is stored and has no effect in the version of the current heads
 * (a back-dated grant); false past the end. */
bool weir_repo_void (struct weir_repo *self, const struct weir_id *db, size_t i,
                     struct weir_id *entry);
/* Data entries of a removed device that the removals (by current heads) had not seen. */
WEIR_MUST enum weir_status weir_repo_late (struct weir_repo *self, const struct weir_id *db,
                                           const struct weir_id *device,
                                           struct weir_ranges *ranges);

/* ---- requests and node state, written in the same batches ---- */

/* A client's numbered request (page 1): the first answer again, WEIR_NOT_FOUND when new,
 * WEIR_GAP when so old that it was forgotten. */
WEIR_MUST enum weir_status weir_repo_request_get (struct weir_repo *self, const uint8_t client[16],
                                                  uint64_t number, struct weir_buf *answer);
void weir_repo_request_put (struct weir_repo *self, const uint8_t client[16], uint64_t number,
                            struct weir_bytes answer, uint64_t now_ms);
/* `_node` state: small rows under a key of '/'-parted text such as "peers/<device>" (page 1,
 * "Where state lives"). Put with an empty value deletes. */
WEIR_MUST enum weir_status weir_repo_state_get (struct weir_repo *self, const char *key,
                                                struct weir_buf *value);
void weir_repo_state_put (struct weir_repo *self, const char *key, struct weir_bytes value);
/* Rows whose key starts with `prefix`, in order, from after `after` ("" = the first). */
WEIR_MUST enum weir_status weir_repo_state_next (struct weir_repo *self, const char *prefix,
                                                 const char *after, struct weir_buf *key,
                                                 struct weir_buf *value);

/* ---- verify and repair ---- */

struct weir_check_report {
    uint64_t databases;
    uint64_t runs;
    uint64_t entries;
    uint64_t bytes;
    uint64_t bad_runs;      /* do not decode, verify or fit */
    uint64_t missing;       /* entries referred to and not held */
    uint64_t wrong_indexes; /* index, heads, vector or log rows that differ from the runs */
    uint64_t pieces;        /* chunks and manifests of blobs */
    uint64_t bad_pieces;    /* without the hash they go by, or lost */
    char first_problem[256];
};
/* Recomputes everything of one database (or all, db NULL) from the runs: ids, signatures,
 * closure, membership, heads, vectors, indexes, document state. Changes nothing. `progress`
 * may be NULL. WEIR_OK when nothing is wrong, else WEIR_CORRUPT with the report. */
WEIR_MUST enum weir_status weir_repo_verify (struct weir_repo *self, const struct weir_id *db,
                                             void (*progress) (void *, uint64_t runs),
                                             void *context, struct weir_check_report *report);
/* After weir_kv_salvage: keeps the runs that decode, verify and are closed, rebuilds every
 * other row from them, takes a new store epoch and new lanes, and reports what was dropped
 * (peers bring it back). Works on the kv of a repository that is not open. */
WEIR_MUST enum weir_status weir_repo_repair (const struct weir_repo_options *options,
                                             struct weir_check_report *report,
                                             struct weir_error *e);

#endif
