#ifndef WEIR_STORE_REPO_PARTS_H
#define WEIR_STORE_REPO_PARTS_H

/* What the files of the repository share, and nobody else includes: the state kept in memory of
 * each database, and the few steps that several of them take. See repo.h for the outside. */

#include "store/base/map.h"
#include "store/dag/reconcile.h"
#include "store/repo/repo.h"
#include "store/repo/keys.h"

#define WEIR_REPO_NONE UINT32_MAX            /* no branch, no view */
#define WEIR_REPO_ARENA_BYTES_MAX (1u << 20) /* the entries of one run, with room */

/* A chain is a tree of branches: one when nothing forked. Each ends in a tip, so there is one
 * for each row of the entry vector. Entries first_seq .. count-1 are its own; those before are
 * its parent's. A branch's number is its index. */
struct weir_repo_branch {
    struct weir_chain chain;
    uint32_t parent; /* WEIR_REPO_NONE: it begins the chain */
    uint32_t next;   /* of the same chain */
    uint64_t first_seq;
    uint64_t count;       /* the seq behind the tip */
    struct weir_id first; /* the entry at first_seq */
    struct weir_id tip;
    uint64_t lamport;  /* behind the tip */
    uint32_t view;     /* behind the tip */
    uint64_t run_seq;  /* where its last run begins */
    uint64_t position; /* of its last run */
    bool dirty;        /* differs from its row */
};

/* One settings entry, by ordinal. */
struct weir_repo_settings {
    struct weir_id entry;
    uint32_t view; /* of its past */
    uint8_t entry_version_max;
    uint8_t codec_max;
};

enum weir_repo_db_state {
    WEIR_REPO_DB_LIVE = 1,
    WEIR_REPO_DB_JOINING = 2,
    WEIR_REPO_DB_FORGOTTEN = 3
};

/* Our own tip as the tips file says it. */
struct weir_repo_tip {
    bool known;
    uint64_t lane;
    uint64_t count;
    struct weir_id tip;
};

/* What a document may ask of its log: rows up to `upto`, without one that is being applied. */
struct weir_repo_history {
    struct weir_history port;
    struct weir_repo *repo;
    struct weir_repo_db *db;
    uint64_t upto;
    uint64_t without; /* 0: none */
    uint64_t also;    /* a row behind `upto` that is applied; 0: none */
};

/* How far a document is that catches up with its log. */
struct weir_repo_behind {
    bool is_behind;
    uint64_t after;   /* rows up to here are applied */
    uint32_t done;    /* and so many entries of the next */
    uint64_t applied; /* a later row that is applied, too; 0: none */
};

struct weir_repo_pending;
struct weir_repo_clients;
struct weir_repo_counters;
struct weir_repo_blobs;

struct weir_repo_db {
    struct weir_id id;
    uint32_t number;
    enum weir_repo_db_state state;
    bool loaded; /* what follows is there */
    bool dirty;  /* listed in repo->dirty */

    struct weir_repo_branch *branches;
    size_t n_branches;
    size_t cap_branches;
    struct weir_map *chains; /* author + lane -> its first branch + 1 */
    struct weir_map *tips;   /* entry id -> branch + 1 */
    struct weir_vector vector;
    struct weir_id *heads; /* sorted; the open run's tip among them */
    size_t n_heads;
    size_t cap_heads;
    uint64_t lamport; /* behind all heads */

    struct weir_members *members;
    struct weir_repo_settings *settings;
    size_t n_settings;
    size_t cap_settings;
    uint32_t view;                 /* of the heads: all settings held */
    uint32_t right_view;           /* the view `write_status` is for, WEIR_REPO_NONE at first */
    enum weir_status write_status; /* may this device write data? */
    bool needs_upgrade;

    uint64_t entries;
    uint64_t bytes;
    uint64_t refused;
    uint64_t inert;
    uint64_t inert_newer;    /* of these: what a newer weir may be able to read */
    uint64_t inert_position; /* rows up to here were looked at for inert entries */
    uint64_t position;       /* of its last row in the log */
    uint64_t pending_runs;

    /* Local commits. */
    uint32_t own_branch;        /* WEIR_REPO_NONE: the next write begins a lane */
    bool open;                  /* `builder` holds entries that are not sealed */
    struct weir_buf open_inert; /* those that did nothing: index u32, status u8 each */
    struct weir_run_builder builder;
    struct weir_run_entry *open_entries; /* ids and ops of the builder's */
    size_t cap_open;
    uint64_t open_lamport;     /* of the first open entry */
    uint32_t open_view;        /* of its past */
    struct weir_repo_tip told; /* what the tips file says, or shall say */

    /* The document, when loaded: at `position` and the open run. */
    struct weir_doc *doc;
    struct weir_repo_history history; /* of `doc`, and of others while they are replayed */
    uint64_t doc_used;                /* repo->uses when last asked for */
    size_t doc_bytes;                 /* as measured last */
    uint64_t snapshot_position;
    uint64_t snapshot_bytes;
    uint32_t snapshot_generation;
    uint64_t since_entries; /* applied behind the snapshot */
    uint64_t since_bytes;
    struct weir_repo_behind behind;
    uint64_t *steps;            /* left of a slice; NULL: no bound */
    enum weir_status deferred;  /* not WEIR_OK: why the document could not be brought up */
    uint64_t deferred_position; /* .. when the log ended here */
    enum weir_status why;       /* the last entry that was put off, by whatever replay */

    struct weir_repo_counters *counters; /* NULL until asked for */
    struct weir_repo_blobs *blobs;       /* NULL: no entry ever named one */
};

/* Our tip of one database as of a batch; goes to the tips file once the batch is synced. */
struct weir_repo_told {
    uint64_t batch;
    uint32_t db;
    uint64_t lane;
    uint64_t count;
    struct weir_id tip;
};

struct weir_repo_marker {
    uint64_t batch;
    uint64_t position;
};

struct weir_repo {
    struct weir_kv *kv;
    struct weir_tips *tips;
    const struct weir_identity *identity;
    uint8_t seed[32];
    uint64_t draws;
    size_t documents_bytes_max;
    uint64_t document_steps;
    uint64_t epoch;
    uint64_t now_ms;

    struct weir_repo_db **dbs; /* by id; forgotten ones in `forgotten` */
    size_t n_dbs;
    size_t cap_dbs;
    struct weir_repo_db **by_number; /* NULL: forgotten, or never there */
    size_t n_numbers;
    size_t cap_numbers;
    struct weir_repo_db *last_db; /* the one asked for last */
    uint32_t next_db;
    uint32_t *forgotten; /* numbers whose rows are to be deleted */
    size_t n_forgotten;
    size_t cap_forgotten;

    struct weir_kv_batch *batch;
    bool batch_used;
    uint64_t last_batch;
    struct weir_repo_db **dirty;
    size_t n_dirty;
    size_t cap_dirty;

    uint64_t position;        /* of the last row given out */
    uint64_t synced_position; /* feeds and cursors end here */
    struct weir_repo_marker *markers;
    size_t n_markers;
    size_t cap_markers;
    struct weir_repo_told *told;
    size_t n_told;
    size_t cap_told;
    bool tips_dirty;

    struct weir_repo_pending *pending;
    struct weir_repo_budget *budget;
    struct weir_repo_clients *clients;
    bool state_dirty;
    uint64_t members_epoch;
    uint64_t uses;
    size_t docs_bytes;
    uint64_t blob_keep_ms;
    uint64_t blob_upload_keep_ms;
    bool blobs_changed; /* of some database: the outside is to be told */
    bool blobs_noticed; /* a document is to be looked at */

    struct weir_arena *arena;      /* of `imported` */
    struct weir_run imported;      /* what the last import decoded: its new part */
    struct weir_buf imported_cut;  /* its bytes, when a part was held */
    struct weir_arena *arena_read; /* of one stored run that is looked at */
    struct weir_buf row;           /* a row being written */
    struct weir_buf record;        /* a row being read */
    struct weir_buf sealed;        /* the bytes of a run of ours */
    struct weir_member *members_copy;
    size_t cap_members_copy;
};

/* ---- repo.c ---- */

/* A repository in which nothing is loaded, for opening and for repair. */
struct weir_repo *weir_repo_blank (const struct weir_repo_options *options);
/* Reads the layout row. WEIR_NOT_FOUND: the kv is empty. */
WEIR_MUST enum weir_status weir_repo_layout_load (struct weir_repo *self, struct weir_error *e);
/* Takes a new epoch and puts the layout row. */
void weir_repo_begin_anew (struct weir_repo *self, uint32_t next_db, uint64_t position);

/* 32 bytes nobody can guess: from the seed and a counter. */
struct weir_id weir_repo_draw (struct weir_repo *self);
/* A live or joining database by id, its state loaded. WEIR_NOT_FOUND, or what the kv says. */
WEIR_MUST enum weir_status weir_repo_db_get (struct weir_repo *self, const struct weir_id *id,
                                             struct weir_repo_db **db);
/* As it is in memory, perhaps not loaded; NULL when there is none. */
struct weir_repo_db *weir_repo_db_find (const struct weir_repo *self, const struct weir_id *id);
struct weir_repo_db *weir_repo_db_by_number (struct weir_repo *self, uint32_t number);
void weir_repo_put_layout (struct weir_repo *self);
WEIR_MUST enum weir_status weir_repo_db_new (struct weir_repo *self, const struct weir_id *id,
                                             enum weir_repo_db_state state,
                                             struct weir_repo_db **db);
void weir_repo_put_database (struct weir_repo *self, const struct weir_repo_db *db);

/* ---- repo_db.c: one database's state, and its rows ---- */

WEIR_MUST enum weir_status weir_repo_db_load (struct weir_repo *self, struct weir_repo_db *db);
void weir_repo_db_destroy (struct weir_repo_db **db_p);
void weir_repo_db_mark (struct weir_repo *self, struct weir_repo_db *db);
/* Puts the rows of what changed since the last flush. */
void weir_repo_db_put (struct weir_repo *self, struct weir_repo_db *db);
void weir_repo_put (struct weir_repo *self, const struct weir_repo_key *key,
                    struct weir_bytes value);
void weir_repo_delete (struct weir_repo *self, const struct weir_repo_key *key);
/* Flushes when something is not written yet, so that the kv shows all that was done. */
void weir_repo_settle (struct weir_repo *self);

/* Where an entry lies. */
struct weir_repo_spot {
    uint32_t branch;
    uint64_t run_seq;
    uint64_t seq;
};
WEIR_MUST enum weir_status weir_repo_find (struct weir_repo *self, struct weir_repo_db *db,
                                           const struct weir_id *id, struct weir_repo_spot *spot);
/* The first branch of a chain, or WEIR_REPO_NONE; go on by .next. */
uint32_t weir_repo_chain (const struct weir_repo_db *db, const struct weir_chain *chain);
uint32_t weir_repo_branch_new (struct weir_repo_db *db, const struct weir_chain *chain,
                               uint32_t parent, uint64_t first_seq, const struct weir_id *first);
/* The branch's tip is now `tip`. */
void weir_repo_branch_advance (struct weir_repo_db *db, uint32_t branch, uint64_t count,
                               const struct weir_id *tip);
/* `tip` builds on `prev` (may be NULL) and the deps: they are heads no more, it is one. */
void weir_repo_heads_advance (struct weir_repo_db *db, const struct weir_id *prev,
                              const struct weir_id *deps, size_t n_deps, const struct weir_id *tip);
/* Adds a settings entry whose past is `view` and that has no ordinal yet; gives the view behind
 * it, and puts its row when `put`. */
uint32_t weir_repo_settings_add (struct weir_repo *self, struct weir_repo_db *db,
                                 const struct weir_id *entry, const struct weir_chain *chain,
                                 uint32_t view, bool genesis, struct weir_bytes payload, bool put);
/* The heads' settings grew by `view`. */
void weir_repo_view_grow (struct weir_repo *self, struct weir_repo_db *db, uint32_t view);

/* ---- repo_run.c: stored runs ---- */

/* A run as it is stored: what stands beside its bytes. */
struct weir_repo_record {
    uint64_t position;
    uint64_t lamport; /* of its first entry */
    uint32_t view;    /* of its past */
    struct weir_id source;
    struct weir_id tip;
    struct weir_bytes bytes; /* borrowed from the row */
};
void weir_repo_record_put (struct weir_buf *out, const struct weir_repo_db *db,
                           const struct weir_repo_record *record);
WEIR_MUST enum weir_status weir_repo_record_read (struct weir_repo_record *record,
                                                  struct weir_repo_db *db, struct weir_bytes row);
/* What can be read of a row whose database's members are lost. */
WEIR_MUST enum weir_status weir_repo_record_salvage (struct weir_repo_record *record,
                                                     struct weir_bytes row);
/* Reads the run that begins at `seq` of the branch. `row` owns the bytes. */
WEIR_MUST enum weir_status weir_repo_record_get (struct weir_repo *self, struct weir_repo_db *db,
                                                 uint32_t branch, uint64_t seq,
                                                 struct weir_buf *row,
                                                 struct weir_repo_record *record);
/* The run that holds `seq` of the branch; *run_seq is where it begins. */
WEIR_MUST enum weir_status weir_repo_record_at (struct weir_repo *self, struct weir_repo_db *db,
                                                uint32_t branch, uint64_t seq, struct weir_buf *row,
                                                struct weir_repo_record *record, uint64_t *run_seq);
/* What an entry hands on to those that build on it. */
struct weir_repo_facts {
    uint64_t lamport;
    uint32_t view;
    uint64_t position;
};
WEIR_MUST enum weir_status weir_repo_facts_behind (struct weir_repo *self, struct weir_repo_db *db,
                                                   const struct weir_repo_spot *spot,
                                                   struct weir_repo_facts *facts);
/* Stores a verified run whose past is held: rows, branch, vector, log. `branch` is the one it
 * extends, or WEIR_REPO_NONE for one that begins or forks (`parent`). Not heads, view,
 * document. Returns the branch it lies in. */
struct weir_repo_place {
    uint32_t branch;
    uint32_t parent;
    uint64_t lamport;
    uint32_t view;
};
uint32_t weir_repo_run_store (struct weir_repo *self, struct weir_repo_db *db,
                              const struct weir_run *run, const struct weir_repo_place *place,
                              const struct weir_id *source);
/* A stored run that does not decode is corruption; this says so. */
WEIR_MUST enum weir_status weir_repo_run_decode (struct weir_repo *self, struct weir_repo_db *db,
                                                 const struct weir_repo_record *record,
                                                 struct weir_run *run);

/* ---- repo_commit.c ---- */

/* Is the batch so large that it should be handed over? Then flushes. */
void weir_repo_flush_if_large (struct weir_repo *self);
/* Seals the open run, if any. */
void weir_repo_seal (struct weir_repo *self, struct weir_repo_db *db);

/* ---- repo_tips.c ---- */

/* Reads the tips file into the databases' `told`; one that is missing or corrupt says nothing. */
WEIR_MUST enum weir_status weir_repo_tips_load (struct weir_repo *self);
/* Is the database at least where the tips file says, in the lane it would go on in? */
WEIR_MUST enum weir_status weir_repo_tips_check (struct weir_repo *self, struct weir_repo_db *db);
/* We signed this run: the file shall say so once its batch is synced. */
void weir_repo_tips_note (struct weir_repo *self, const struct weir_repo_db *db,
                          const struct weir_run *run);
/* What was noted since the last flush is in this batch. */
void weir_repo_tips_flushed (struct weir_repo *self, uint64_t batch);
/* All up to this batch is synced: saves the file if that changes it. */
void weir_repo_tips_synced (struct weir_repo *self, uint64_t batch);

/* ---- repo_import.c ---- */

/* Imports one run; `verified` when its signature was, earlier. Does not unlock others. */
WEIR_MUST enum weir_status weir_repo_import_one (struct weir_repo *self, struct weir_repo_db *db,
                                                 struct weir_bytes bytes,
                                                 const struct weir_id *source, bool verified,
                                                 struct weir_import_result *result);

/* ---- repo_pending.c ---- */

struct weir_repo_pending *weir_repo_pending_new (void);
void weir_repo_pending_destroy (struct weir_repo_pending **self_p);
/* Does a run wait that ends in `tip` and begins at `seq` or before? Then *missing is what for
 * (followed through what waits itself). A shorter cut of a run says nothing of a longer one. */
bool weir_repo_pending_find (struct weir_repo *self, const struct weir_repo_db *db,
                             const struct weir_id *tip, uint64_t seq, struct weir_id *missing);
/* Takes a copy, in place of a shorter cut; from a file (zero source) it is kept across
 * restarts. */
void weir_repo_pending_add (struct weir_repo *self, struct weir_repo_db *db,
                            const struct weir_run *run, const struct weir_id *source,
                            const struct weir_id *missing);
/* Imports what waited for the entries of `imported`, and for theirs, and so on. */
WEIR_MUST enum weir_status weir_repo_pending_unlock (struct weir_repo *self,
                                                     struct weir_repo_db *db, uint32_t *unlocked);
WEIR_MUST enum weir_status weir_repo_pending_load (struct weir_repo *self, struct weir_repo_db *db);
void weir_repo_pending_drop (struct weir_repo *self, struct weir_repo_db *db);
/* The runs that wait, one after the other: *cursor is NULL at first. */
bool weir_repo_pending_next (struct weir_repo *self, const struct weir_repo_db *db,
                             const void **cursor, struct weir_bytes *run);
/* Drops a bounded number of those that waited too long. */
void weir_repo_pending_expire (struct weir_repo *self);
/* Verdicts of membership, so that a run is not verified again. */
bool weir_repo_refused_find (struct weir_repo *self, const struct weir_repo_db *db,
                             const struct weir_id *tip, enum weir_status *status);
void weir_repo_refused_add (struct weir_repo *self, const struct weir_repo_db *db,
                            const struct weir_id *tip, enum weir_status status);
/* Takes a copy of a run that waits for nothing but its author's budget; and imports the oldest of
 * those, with what waits for it. */
void weir_repo_pending_add_late (struct weir_repo *self, struct weir_repo_db *db,
                                 const struct weir_run *run, const struct weir_id *source);
WEIR_MUST enum weir_status weir_repo_pending_release (struct weir_repo *self, uint32_t db,
                                                      const struct weir_id *author);

/* ---- repo_budget.c ---- */

struct weir_repo_budget *weir_repo_budget_new (void);
void weir_repo_budget_destroy (struct weir_repo_budget **self_p);
/* `author` begins or splits a chain: WEIR_OK, and counted; WEIR_PENDING, it is to wait;
 * WEIR_TOO_OFTEN, too many wait already. */
WEIR_MUST enum weir_status weir_repo_budget_take (struct weir_repo *self,
                                                  const struct weir_repo_db *db,
                                                  const struct weir_id *author,
                                                  const struct weir_id *source);
/* One run more waits for the author's budget, or one less. */
void weir_repo_budget_waits (struct weir_repo *self, uint32_t db, const struct weir_id *author);
void weir_repo_budget_left (struct weir_repo *self, uint32_t db, const struct weir_id *author);
/* Lets in what time has made room for, a bounded slice; true when there is more. */
bool weir_repo_budget_work (struct weir_repo *self);

/* ---- repo_export.c ---- */

void weir_repo_counters_destroy (struct weir_repo_counters **self_p);

/* ---- repo_read.c ---- */

/* The id at `seq` on the way to the tip of `branch`. WEIR_NOT_FOUND beyond it. */
WEIR_MUST enum weir_status weir_repo_id_at (struct weir_repo *self, struct weir_repo_db *db,
                                            uint32_t branch, uint64_t seq, struct weir_id *id);

/* As weir_repo_compare, of some of our rows only. */
WEIR_MUST enum weir_status weir_repo_compare_rows (struct weir_repo *self, struct weir_repo_db *db,
                                                   const struct weir_vector *ours,
                                                   const struct weir_told_row *told, size_t n_told,
                                                   struct weir_ranges *lacks, bool *more,
                                                   struct weir_vector *unknown);
/* A step of weir_reconcile_step; `told` empty: the first message. */
WEIR_MUST enum weir_status weir_repo_reconcile (struct weir_repo *self, struct weir_repo_db *db,
                                                const struct weir_id *key, struct weir_bytes told,
                                                struct weir_buf *say,
                                                struct weir_reconciled *result);

/* ---- repo_docs.c ---- */

/* Applies the last entry of the open run, when the document is loaded; its parents are filled in
 * here (`before`: the entry before it in the run, if there is one). */
void weir_repo_doc_commit (struct weir_repo *self, struct weir_repo_db *db,
                           const struct weir_doc_entry *entry, const struct weir_id *before,
                           struct weir_bytes payload);
/* The run of ours in `sealed` is stored: marks those of its entries that did nothing, passes what
 * was no data. */
void weir_repo_doc_sealed (struct weir_repo *self, struct weir_repo_db *db,
                           const struct weir_run *run, const struct weir_repo_place *place,
                           uint32_t branch);
/* Applies a stored run to the document, if it is loaded; `place` has the first entry's
 * lamport. */
void weir_repo_doc_run (struct weir_repo *self, struct weir_repo_db *db, const struct weir_run *run,
                        const struct weir_repo_place *place, uint32_t branch);
/* Applies the log's rows behind `after` to a document; inert entries that were not looked at
 * before are marked when `mark`. */
WEIR_MUST enum weir_status weir_repo_doc_replay (struct weir_repo *self, struct weir_repo_db *db,
                                                 uint64_t after, bool mark, struct weir_doc *doc);
/* The document as the snapshot has it; WEIR_NOT_FOUND when there is none that can be read. */
WEIR_MUST enum weir_status weir_repo_doc_snapshot (struct weir_repo *self, struct weir_repo_db *db,
                                                   struct weir_doc **doc);
/* ---- repo_history.c ---- */

void weir_repo_history_init (struct weir_repo_history *h, struct weir_repo *repo,
                             struct weir_repo_db *db);
/* The parents of entry `i` of a run (`before`: the id of the one before it): at most
 * WEIR_ENTRY_DEPS_MAX + 1, into `parents`; how many. */
uint32_t weir_repo_entry_parents (const struct weir_run *run, uint32_t i,
                                  const struct weir_id *before, struct weir_id *parents);

/* ---- repo_docs.c ---- */

/* One document's snapshot, when one is due; true when it did something. */
bool weir_repo_docs_work (struct weir_repo *self);
void weir_repo_doc_drop (struct weir_repo *self, struct weir_repo_db *db);
/* The entry did nothing: marks and counts it. */
void weir_repo_mark_inert (struct weir_repo *self, struct weir_repo_db *db, uint32_t branch,
                           uint64_t seq, enum weir_status why);

/* ---- repo_members.c ---- */

/* Brings write_status and needs_upgrade up to the heads' view. */
void weir_repo_rights_refresh (struct weir_repo *self, struct weir_repo_db *db);

/* ---- repo_blob*.c ---- */

WEIR_MUST enum weir_status weir_repo_blobs_load (struct weir_repo *self, struct weir_repo_db *db);
void weir_repo_blobs_destroy (struct weir_repo_blobs **self_p);
/* A data entry with this payload is stored. */
void weir_repo_blobs_notice (struct weir_repo *self, struct weir_repo_db *db,
                             struct weir_bytes payload);
/* A slice of collecting; true when it did something. */
bool weir_repo_blobs_work (struct weir_repo *self);

/* ---- repo_log.c ---- */

void weir_repo_log_put (struct weir_repo *self, struct weir_repo_db *db, const struct weir_run *run,
                        uint32_t branch, const struct weir_id *source);
/* A row with the place of its run. */
struct weir_repo_log_place {
    struct weir_log_row row;
    uint32_t db;
    uint32_t branch;
};
WEIR_MUST enum weir_status weir_repo_log_read (struct weir_repo *self, uint64_t position,
                                               struct weir_repo_log_place *place);

/* ---- repo_state.c ---- */

struct weir_repo_clients *weir_repo_clients_new (void);
void weir_repo_clients_destroy (struct weir_repo_clients **self_p);
WEIR_MUST enum weir_status weir_repo_clients_load (struct weir_repo *self);
void weir_repo_clients_put (struct weir_repo *self); /* at a flush */
bool weir_repo_clients_work (struct weir_repo *self);

#endif
