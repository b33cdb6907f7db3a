#ifndef WEIR_BINS_BENCH_TRACE_H
#define WEIR_BINS_BENCH_TRACE_H

/* Recorded editing histories as files: read (gzip or plain JSON, three formats) into one form in
 * memory, and laid out as steps that any engine can take. Knows nothing of documents.
 *
 * The formats: *sequential*, one author, patches in order; *concurrent*, transactions with an
 * agent and the indices of their parents; *raw graph*, transactions of numbered events, parents
 * being event numbers, agents' events numbered by seq; or an array of those. A patch is
 * [position, deleted, inserted text]; positions and lengths count Unicode scalars, an event is a
 * character deleted or inserted. */

#include <jansson.h>

#include "store/base/bytes.h"

#define BENCH_TRACE_NONE UINT32_MAX
#define BENCH_TRACE_FILE_BYTES_MAX (2u << 30) /* unpacked */
#define BENCH_TRACE_EVENTS_MAX (1u << 30)

enum bench_trace_format { BENCH_SEQUENTIAL, BENCH_CONCURRENT, BENCH_GRAPH };

struct bench_patch {
    uint32_t at;
    uint32_t deleted;
    uint32_t inserted; /* scalars */
    uint32_t bytes;    /* of them, in UTF-8 */
    size_t text;       /* where in the trace's text */
};

/* What one agent did in one go; nobody's parent points into it. */
struct bench_txn {
    uint32_t agent; /* rank by name, as bytes (numbers by value) */
    uint32_t lane;
    uint64_t seq;    /* of its first event, among the agent's */
    uint64_t number; /* of its first event, in the file */
    uint32_t events; /* at least 1 */
    size_t patches;  /* where in the trace's patches */
    size_t n_patches;
    size_t parents; /* where in the trace's parents; all are smaller, none is there twice */
    size_t n_parents;
};

/* A part of an agent's events in which each has the one before in its past. */
struct bench_lane {
    uint32_t agent;
    uint32_t number; /* 1, 2, .. within the agent, ascending with seq */
};

struct bench_trace {
    enum bench_trace_format format;
    char **agents;
    size_t n_agents, cap_agents;
    struct bench_lane *lanes; /* by (agent, seq) */
    size_t n_lanes, cap_lanes;
    struct bench_txn *txns; /* parents first */
    size_t n_txns, cap_txns;
    struct bench_patch *patches;
    size_t n_patches, cap_patches;
    uint32_t *parents;
    size_t n_parents, cap_parents;
    struct weir_buf text;
    struct weir_buf end; /* what all must come to, UTF-8 */
    uint64_t events;
};

struct bench_trace_file {
    enum bench_trace_format format;
    bool is_array;
    struct bench_trace *items;
    size_t count;
};

const char *bench_trace_format_name (enum bench_trace_format format);
/* The file's content, unpacked when it is gzip. Appends. WEIR_NOT_FOUND, WEIR_IO_ERROR,
 * WEIR_TOO_LARGE; WEIR_BAD_MESSAGE for gzip that is damaged or ends early. */
WEIR_MUST enum weir_status bench_file_read (const char *path, struct weir_buf *out,
                                            struct weir_error *e);
/* All of a file, in bytes. WEIR_INVALID_JSON, WEIR_BAD_MESSAGE (a field is missing or of the
 * wrong kind, a position or parent is out of range), WEIR_TOO_LARGE. Errors name the
 * transaction. Of a graph, positions are checked against what was ever inserted before; what is
 * beyond the end at the parents only an engine can tell. */
WEIR_MUST enum weir_status bench_trace_parse (struct bench_trace_file *out, struct weir_bytes text,
                                              struct weir_error *e);
WEIR_MUST enum weir_status bench_trace_load (struct bench_trace_file *out, const char *path,
                                             struct weir_error *e);
void bench_trace_file_fini (struct bench_trace_file *self);

/* ---- trace_json.c: one history's transactions, without lanes; for trace.c ---- */

WEIR_MUST enum weir_status bench_trace_read (struct bench_trace *t, const json_t *root,
                                             struct weir_error *e);

/* ---- trace_plan.c ---- */

/* Gives every transaction its lane. WEIR_BAD_MESSAGE when an agent has an event twice. */
WEIR_MUST enum weir_status bench_trace_set_lanes (struct bench_trace *t, struct weir_error *e);

/* The steps of a replay, alike for all engines (tests/bench/rivals has the same in JavaScript).
 * Transactions of a lane that nobody refers to the middle of are one *stretch*: one commit. Each
 * lane has one document; its first is a copy of the document that holds most of its past and
 * nothing else. Before a stretch is typed, the document imports what it lacks, as one batch of
 * stretches. */
struct bench_step {
    uint32_t lane;
    uint32_t copy_of; /* the lane whose document is copied; NONE: begin empty, or go on */
    bool is_first;    /* of its lane */
    bool is_sent;     /* somebody imports it */
    uint32_t events;
    size_t txns; /* where in the plan's txns */
    size_t n_txns;
    size_t parents; /* steps, in the plan's numbers */
    size_t n_parents;
    size_t imports; /* steps, ascending, in the plan's numbers */
    size_t n_imports;
    size_t drops; /* lanes whose documents nobody needs any more, in the plan's numbers */
    size_t n_drops;
};
struct bench_plan {
    struct bench_step *steps; /* parents first */
    size_t n_steps, cap_steps;
    uint32_t *txns;
    size_t n_txns, cap_txns;
    uint32_t *numbers;
    size_t n_numbers, cap_numbers;
};
void bench_plan_make (struct bench_plan *out, const struct bench_trace *t);
void bench_plan_fini (struct bench_plan *self);

#endif
