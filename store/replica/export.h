#ifndef WEIR_STORE_REPLICA_EXPORT_H
#define WEIR_STORE_REPLICA_EXPORT_H

/* The bytes of exports: what weir_replica_export writes and import reads. Pure code; knows runs
 * and states as bytes, not what they mean to a document.
 *
 *     magic 8 "weirexpt" | check 16 (BLAKE2b CHECK of all behind it) | format u8 (1) |
 *     header | packed sections
 *
 * The header is read without unpacking anything. History is kept in columns under zstd: entries
 * that stand before it in the blob go by number, chains by a table, text and the numbers of ops
 * apart; it comes out byte for byte as it went in, signatures and all. */

#include "store/replica/replica.h"
#include "store/dag/vector.h"

#define WEIR_EXPORT_FORMAT 1u

/* What a shallow snapshot says of its root, and whose word that is. The root is one entry that
 * nothing in the history is concurrent with. */
struct weir_export_root {
    struct weir_id entry;
    uint64_t lamport;                 /* of the root's first op */
    uint32_t ops;                     /* of the root entry itself */
    struct weir_vector vector;        /* all that is in its past, and itself: a row a tip */
    struct weir_op_vector ops_vector; /* the same tips: how many ops lie on the way to each */
    struct weir_bytes state;          /* weir_doc_save at the root */
    struct weir_id signer;
    struct weir_signature signature; /* of weir_export_root_hash */
};
void weir_export_root_fini (struct weir_export_root *self); /* the vectors */
/* What the signer signs (WEIR_SIGN_EXPORT): database, root, vectors, state, and `settings`, the
 * settings runs up to it in causal order (genesis first). History has its own signatures. */
struct weir_id weir_export_root_hash (const struct weir_id *database,
                                      const struct weir_export_root *root,
                                      const struct weir_bytes *settings, size_t n_settings);

/* ---- writing ---- */

/* An entry of the history that the exporter's document found to be without effect, and why: so
 * that a state can be loaded without replaying. */
struct weir_export_inert {
    uint64_t entry; /* counting all entries of `runs`, from 0 */
    enum weir_status status;
};

/* All borrowed. How many entries and ops, and their clocks, the writer counts itself. */
struct weir_export_parts {
    enum weir_export_mode mode;
    struct weir_id database;
    const struct weir_op_vector *asked;    /* NULL: none */
    const struct weir_op_vector *asked_to; /* spans: their ends; NULL: none */
    const struct weir_op_vector *start;    /* NULL: from the beginning */
    const struct weir_op_vector *end;
    const struct weir_bytes *runs; /* parents first; whole runs, each as stored */
    size_t n_runs;
    const struct weir_bytes *pending; /* runs that wait; any order */
    size_t n_pending;
    struct weir_bytes state;               /* weir_doc_save at `end`; empty: without */
    const struct weir_export_inert *inert; /* ascending */
    size_t n_inert;
    /* Shallow. */
    const struct weir_export_root *root; /* NULL: not shallow */
    const struct weir_bytes *settings;   /* settings runs up to the root, genesis first */
    size_t n_settings;
};
/* Appends the blob: the same parts give the same bytes. `fast` packs at less cost, else for size.
 * WEIR_BAD_RUN: a run that is none (a store that is corrupt); nothing is appended then. */
WEIR_MUST enum weir_status weir_export_write (const struct weir_export_parts *parts, bool fast,
                                              struct weir_buf *out, struct weir_error *e);

/* ---- reading ---- */

/* All that a blob may hold, unpacked and decoded. */
#define WEIR_EXPORT_BYTES_MAX ((size_t) 1 << 30)

struct weir_export_reader;

/* Checks magic, checksum, format, header and the lengths of sections, and unpacks nothing; `blob`
 * is borrowed as long as the reader lives. bytes_max 0: WEIR_EXPORT_BYTES_MAX. WEIR_BAD_EXPORT;
 * WEIR_NEEDS_UPGRADE (whole, but of a newer format). */
WEIR_MUST enum weir_status weir_export_open (struct weir_export_reader **out,
                                             struct weir_bytes blob, size_t bytes_max,
                                             struct weir_error *e);
void weir_export_close (struct weir_export_reader **self_p);

/* What follows is borrowed from the reader. All may answer WEIR_BAD_EXPORT, and WEIR_LIMIT when
 * more than bytes_max comes out. */

const struct weir_export_info *weir_export_info (const struct weir_export_reader *self);
/* The state at the end of the history; empty when there is none. */
WEIR_MUST enum weir_status weir_export_read_state (struct weir_export_reader *self,
                                                   struct weir_bytes *out, struct weir_error *e);
/* The runs, unpacked and decoded: shapes are checked and ids computed (they are needed to put
 * the runs together), signatures are not looked at. That their counts are those of the header
 * is checked. WEIR_BAD_RUN, WEIR_NEEDS_UPGRADE. */
struct weir_export_runs {
    const struct weir_run *runs; /* parents first, as far as they are inside */
    size_t n_runs;
    const struct weir_run *pending;
    size_t n_pending;
    const struct weir_run *settings; /* shallow: those up to the root */
    size_t n_settings;
    const struct weir_export_inert *inert; /* as the exporter says */
    size_t n_inert;
};
WEIR_MUST enum weir_status weir_export_read_runs (struct weir_export_reader *self,
                                                  struct weir_export_runs *out,
                                                  struct weir_error *e);
/* Hands over what the bytes and entries of these runs lie in (the arrays of runs stay with the
 * reader): they live on after weir_export_close. Once, after weir_export_read_runs. */
struct weir_arena *weir_export_take_runs (struct weir_export_reader *self);
/* Shallow: the root with its state; NULL in *out when it is not shallow. */
WEIR_MUST enum weir_status weir_export_read_root (struct weir_export_reader *self,
                                                  const struct weir_export_root **out,
                                                  struct weir_error *e);
/* Is the root what its signer signed? Reads the runs for it. WEIR_BAD_SIGNATURE. */
WEIR_MUST enum weir_status weir_export_verify_root (struct weir_export_reader *self,
                                                    struct weir_error *e);

#endif
