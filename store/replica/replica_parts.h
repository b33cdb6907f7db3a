#ifndef WEIR_STORE_REPLICA_REPLICA_PARTS_H
#define WEIR_STORE_REPLICA_REPLICA_PARTS_H

/* What the files of a replica share, and nobody else includes.
 *
 * The *log* holds every entry by number, parents first: the graph knows how they hang together,
 * a row beside it where the payload lies. Runs stay whole and as they came, signature and all:
 * that is what makes exports of equal replicas equal bytes. The *document* is always at the
 * log's heads. What is shown is the document, or while detached the *view*, a second one. */

#include "store/base/arena.h"
#include "store/base/map.h"
#include "store/replica/export.h"
#include "store/replica/replica.h"

#define WEIR_LOG_NONE UINT32_MAX
/* What all containers of a document together can number, less one entry. */
#define WEIR_LOG_OPS_MAX ((UINT64_C (1) << 31) - 3 * (uint64_t) WEIR_ENTRY_OPS_MAX)

/* One entry; its id, chain, seq, ops and parents are in the graph, under the same number. */
struct weir_log_row {
    uint64_t counter; /* ops of its chain before it */
    uint64_t lamport;
    uint64_t clock_ms;
    uint32_t run;   /* WEIR_LOG_NONE: cut away, a shallow root or before: no bytes here */
    uint32_t index; /* in its run */
    uint32_t at;    /* where its payload begins in the run's bytes */
    uint32_t len;
    uint32_t prev;  /* number; WEIR_LOG_NONE: seq 0, or cut away */
    uint32_t depth; /* the longest way to it from a root, in entries: orders exports */
    uint8_t kind;
    uint8_t inert;   /* a status; 0: not */
    bool is_applied; /* to the document */
};

/* A run as it came: entries skip .. take-1 are numbered first, first + 1, ...; those before lie
 * in another run, too (two runs that begin alike), those behind are not known here (a fork). */
struct weir_log_run {
    struct weir_bytes bytes; /* of the open run: empty */
    struct weir_chain chain;
    uint64_t seq;
    struct weir_id prev;
    struct weir_id tip; /* of the whole run */
    size_t deps_at;     /* in log->deps */
    uint32_t count;
    uint32_t skip;
    uint32_t take;
    uint32_t first;
    uint16_t n_deps;
    uint8_t kind;
    bool is_covered; /* all of it lies in another run */
    bool is_vouched; /* its own signature was not verified: one behind it in the chain stands
                        for it */
};

/* A run that waits: owned. */
struct weir_log_wait {
    struct weir_run run; /* entries owned */
    struct weir_buf bytes;
    struct weir_id missing;
    struct weir_log_wait *next; /* on the same missing id */
    bool is_marked;             /* while an import looks at it */
};

struct weir_log {
    struct weir_id database; /* zero: none yet */
    struct weir_graph *graph;
    struct weir_log_row *rows;
    size_t rows_cap;
    struct weir_log_run *runs;
    size_t n_runs;
    size_t runs_cap;
    struct weir_id *deps;
    size_t n_deps;
    size_t deps_cap;
    struct weir_buf *segments; /* what runs' bytes lie in */
    size_t n_segments;
    size_t segments_cap;
    size_t segment_bytes;
    size_t vouched_from; /* no run before is vouched for */
    uint64_t ops;        /* of all entries that are not inert */

    struct weir_run_builder builder; /* the open run, when open_run says so */
    uint32_t open_run;

    struct weir_map *missing; /* id -> the first that waits for it */
    struct weir_map *waiting; /* tip -> the run that waits */
    size_t n_waiting;
    size_t waiting_bytes;
};

/* A shallow root, kept to be exported again and to check out. */
struct weir_replica_root {
    struct weir_export_root told; /* state in `state` */
    struct weir_buf state;
    struct weir_buf settings; /* the settings runs, one behind the other */
    struct weir_run *runs;    /* of them: one entry each */
    struct weir_run_entry *entries;
    size_t n_runs;
    uint32_t number; /* of the root's row */
};

struct weir_plan;
struct weir_replica_events; /* diff.c */

struct weir_replica {
    struct weir_replica_options options;
    struct weir_chain chain; /* that commits go to */
    bool knows_tip;          /* `tip` was looked for */
    uint32_t tip;            /* the last entry of it that was written here; WEIR_LOG_NONE */
    struct weir_log log;
    struct weir_buf asleep;         /* a snapshot whose history is not decoded yet; empty: awake */
    struct weir_replica_root *root; /* NULL: not shallow */
    struct weir_doc *doc;
    struct weir_doc *view;          /* NULL: attached */
    struct weir_numbers view_order; /* what was applied to the view, in order */
    struct weir_history history;
    struct weir_history view_history;
    struct weir_change *change; /* NULL: none is open */
    struct weir_buf scratch;
    uint64_t inert;          /* entries, ever */
    enum weir_status astray; /* why the document could not go on: it is not what the log says */
    bool is_replaying;       /* it is made anew */
    bool gave_up;            /* and lacks an entry that would take too much */

    const char *origin; /* of the next local event; NULL: "" */
    weir_replica_event_fn *subscriber;
    void *subscriber_context;
    struct weir_replica_events *events;
};

/* ---- log.c ---- */

void weir_log_init (struct weir_log *log);
void weir_log_fini (struct weir_log *log);
size_t weir_log_memory_bytes (const struct weir_log *log);
/* Adds a run (its bytes are copied), whose prev and deps are here, or whose entry `skip` - 1 is,
 * and whose entries from `skip` to take-1 are not. */
uint32_t weir_log_add_run (struct weir_log *log, const struct weir_run *run, uint32_t skip,
                           uint32_t take);
/* Adds an entry of which only this is known (lamport, counter and all as told): a shallow root,
 * or, before it, the tips that were there. */
uint32_t weir_log_add_cut (struct weir_log *log, const struct weir_graph_node *node,
                           const struct weir_id *parents, size_t n_parents);
/* Adds an entry to the open run, which must have room: see weir_log_open_run. Gives its number. */
uint32_t weir_log_append (struct weir_log *log, uint32_t ops, uint64_t clock_ms,
                          struct weir_bytes payload);
/* Sees to it that the open run takes an entry of this kind and size behind `prev` (WEIR_LOG_NONE:
 * the first of its lane) with these deps. */
void weir_log_open_run (struct weir_log *log, const struct weir_identity *identity, uint8_t kind,
                        const struct weir_chain *chain, uint32_t prev, const struct weir_id *deps,
                        size_t n_deps, size_t payload_bytes);
/* Signs the open run, if there is one. */
void weir_log_close_run (struct weir_log *log, const struct weir_identity *identity);
/* Sorts runs as exports hold them: parents first, and alike on every replica. */
void weir_log_runs_order (const struct weir_log *log, uint32_t *runs, size_t count);
/* The numbers of its entries 0 .. take-1, those that lie in other runs, too, included; the caller
 * frees. WEIR_LOG_NONE: cut away. */
uint32_t *weir_log_run_numbers (const struct weir_log *log, const struct weir_log_run *run);
/* Verifies what was taken on the word of a later signature; what is signed badly is joined to
 * the run behind it, so that every run that is left can stand alone. */
void weir_log_check_vouched (struct weir_log *log);
struct weir_bytes weir_log_payload (const struct weir_log *log, uint32_t number);
/* A tip before a shallow root. Documents begin at the root, which has it in its past, and hear
 * nothing of it. */
bool weir_log_is_before_root (const struct weir_log *log, uint32_t number);
/* As a document wants it. `parents` has room for WEIR_ENTRY_DEPS_MAX + 1. */
struct weir_doc_entry weir_log_entry (const struct weir_log *log, uint32_t number,
                                      struct weir_id *parents);
/* Applies or passes it, as its row says. */
enum weir_status weir_log_apply (const struct weir_log *log, uint32_t number, struct weir_doc *doc,
                                 bool *deferred);
/* Whether documents are told only that it is there. */
bool weir_log_is_passed (const struct weir_log_row *row);
/* Waiting runs: copies it. */
void weir_log_wait (struct weir_log *log, const struct weir_run *run,
                    const struct weir_id *missing);
void weir_log_wait_for (struct weir_log *log, struct weir_log_wait *wait,
                        const struct weir_id *missing);
/* Takes it out of its list; it stays in `waiting`. */
void weir_log_wait_unlink (struct weir_log *log, struct weir_log_wait *wait);
/* Takes it out of `waiting`, too: it is the caller's then. */
void weir_log_wait_out (struct weir_log *log, struct weir_log_wait *wait);
void weir_log_wait_destroy (struct weir_log_wait **wait_p);
struct weir_log_wait *weir_log_waits (const struct weir_log *log, const struct weir_id *missing);
bool weir_log_is_waiting (const struct weir_log *log, const struct weir_id *tip);

/* ---- replica.c ---- */

/* Commits what is open, with an empty message, and decodes the history when it is not. */
WEIR_MUST enum weir_status weir_replica_settle (struct weir_replica *self, struct weir_error *e);
/* Decodes the history, when it is not. */
WEIR_MUST enum weir_status weir_replica_wake (struct weir_replica *self, struct weir_error *e);
struct weir_doc *weir_replica_shown (struct weir_replica *self);
void weir_replica_root_destroy (struct weir_replica_root **root_p);
/* A replica without document and history. */
struct weir_replica *weir_replica_make (const struct weir_replica_options *options);
/* Applies a row to the document and notes what came of it. */
void weir_replica_apply (struct weir_replica *self, uint32_t number);
void weir_replica_set_inert (struct weir_replica *self, uint32_t number, enum weir_status status);
/* Looks, once, for what was written in the lane before. What is found must be shown. */
void weir_replica_find_tip (struct weir_replica *self);
/* Commits go to a new lane, which nobody has used. */
void weir_replica_set_lane (struct weir_replica *self, uint64_t lane);

/* ---- replica_load.c ---- */

/* Keeps what a shallow export says of its root (copied, `told` may go), and puts the cut entries
 * into the log, which is empty. */
void weir_replica_root_take (struct weir_replica *self, const struct weir_export_root *told,
                             const struct weir_run *settings, size_t n_settings);
/* Makes the document of all that is in the log, by replay. WEIR_BAD_EXPORT (the state at the
 * root); WEIR_LIMIT: made, but for what would take too much. */
WEIR_MUST enum weir_status weir_replica_show_all (struct weir_replica *self, struct weir_error *e);
/* Applies everything from `first` on to the document, in an order that is cheap. A document that
 * cannot go on, because a snapshot's state was not of its history, is made anew; one that would
 * take more memory than there may be leaves WEIR_LIMIT in `astray`. */
void weir_replica_apply_from (struct weir_replica *self, uint32_t first);

/* Gives an entry to one who reads the history; what fn returns. */
bool weir_log_give (const struct weir_log *log, uint32_t number, weir_history_fn *fn,
                    void *context);

/* ---- replica_view.c ---- */

/* A new document of what lies before everything in the log: empty, or at the shallow root.
 * WEIR_BAD_EXPORT: that state does not load, or is another's. */
WEIR_MUST enum weir_status weir_replica_base (struct weir_replica *self, struct weir_doc **out,
                                              struct weir_error *e);
/* A new document at a version, by replay, without a history port; the caller destroys it.
 * WEIR_NOT_FOUND, WEIR_STALE_ROOT. */
WEIR_MUST enum weir_status weir_replica_view_at (struct weir_replica *self,
                                                 const struct weir_heads *heads,
                                                 struct weir_doc **out, struct weir_error *e);
/* The numbers of a version that can be shown: the empty one is that of the genesis. */
WEIR_MUST enum weir_status weir_replica_version (struct weir_replica *self,
                                                 const struct weir_heads *heads,
                                                 struct weir_numbers *out, struct weir_error *e);
/* Log, root and document change hands. */
void weir_replica_swap (struct weir_replica *self, struct weir_replica *fresh);
/* Undoes a plan that was carried out, by making everything before entry `first` anew: what came
 * cannot be shown. */
void weir_replica_roll_back (struct weir_replica *self, uint32_t first,
                             const struct weir_plan *plan);
/* The same by numbers; `order` is what was applied. */
WEIR_MUST enum weir_status weir_replica_view_of (struct weir_replica *self,
                                                 const struct weir_numbers *version,
                                                 struct weir_doc **out, struct weir_numbers *order,
                                                 struct weir_error *e);

/* ---- version.c ---- */

/* The numbers of heads, minimal, ascending. WEIR_NOT_FOUND, WEIR_STALE_ROOT. */
WEIR_MUST enum weir_status weir_replica_numbers (struct weir_replica *self,
                                                 const struct weir_heads *heads,
                                                 struct weir_numbers *out, struct weir_error *e);
void weir_replica_heads_of (const struct weir_replica *self, const uint32_t *version, size_t count,
                            struct weir_heads *out);
void weir_replica_vector_of (const struct weir_replica *self, const uint32_t *version, size_t count,
                             struct weir_op_vector *out);
/* What the owner of this vector has of the log: numbers, minimal. Rows whose tip is unknown here
 * say nothing; those that end inside an entry, that the entries before are there. */
void weir_replica_known_of (const struct weir_replica *self, const struct weir_op_vector *vector,
                            struct weir_numbers *out);
void weir_op_spans_add (struct weir_op_span **spans, size_t *count, size_t *cap,
                        const struct weir_op_span *span);

/* ---- import_plan.c ---- */

/* What an import would do to the log, worked out before anything is done. */
struct weir_plan_run {
    const struct weir_run *run;
    struct weir_log_wait *was; /* it waited before; NULL: it is new */
    uint32_t source;           /* which blob brought it */
    uint32_t skip;             /* its first entries that are here */
    bool is_linked;
    bool is_new; /* it is no run that waited before */
    struct weir_id tip;
    bool is_known;                  /* all of it is here, or waits already */
    bool is_good;                   /* its signature was verified, or need not be */
    struct weir_id missing;         /* when it waits */
    struct weir_plan_run *next;     /* on the same missing id */
    struct weir_plan_run *follower; /* the run that goes on in its chain without deps */
    struct weir_plan_run *voucher;  /* whose signature stands for its own */
    uint32_t number;                /* of the log's run, once it is added */
};
struct weir_plan {
    struct weir_replica *replica;
    struct weir_arena *arena;
    struct weir_plan_run **items;
    size_t n_items;
    size_t items_cap;
    struct weir_plan_run **order; /* those that link, parents first */
    size_t n_order;
    size_t order_cap;
    struct weir_plan_run **work;
    size_t n_work;
    size_t work_cap;
    uint64_t *slots; /* entries that link, by id: item << 32 | entry, + 1 */
    size_t n_slots;
    size_t slots_used;
    struct weir_map *waits; /* missing id -> the first that waits for it */
    struct weir_map *cut;   /* entries in the blobs that lie before a shallow root */
    uint32_t bad_source;
    struct weir_log_wait **ended; /* waited before, and do no more: kept to be undone */
    size_t n_ended;
    size_t ended_cap;
};
void weir_plan_init (struct weir_plan *plan, struct weir_replica *replica);
void weir_plan_fini (struct weir_plan *plan);
/* Adds a decoded run, which must outlive the plan. */
void weir_plan_add (struct weir_plan *plan, const struct weir_run *run, uint32_t source);
/* Finds what links and what waits. WEIR_BAD_RUN, WEIR_STALE_ROOT: *plan then says in bad_source
 * whose run it is. */
WEIR_MUST enum weir_status weir_plan_make (struct weir_plan *plan, struct weir_error *e);
/* Verifies what is new. `vouching`: one signature for runs of a chain that could be one run.
 * WEIR_BAD_SIGNATURE, bad_source. */
WEIR_MUST enum weir_status weir_plan_verify (struct weir_plan *plan, bool vouching,
                                             struct weir_error *e);
/* WEIR_LIMIT: more would wait than may, or there would be more ops than a document can number:
 * entries behind that could never be applied. */
WEIR_MUST enum weir_status weir_plan_check (const struct weir_plan *plan, struct weir_error *e);
/* Does it; gives the number of the first new entry. */
uint32_t weir_plan_commit (struct weir_plan *plan);

/* ---- diff.c ---- */

/* Around everything that changes what is shown: before (local: when a change opens), and behind,
 * also when nothing came of it. */
void weir_replica_event_begin (struct weir_replica *self, enum weir_event_by by);
void weir_replica_event_end (struct weir_replica *self, enum weir_event_by by);
void weir_replica_events_fini (struct weir_replica *self);

#endif
