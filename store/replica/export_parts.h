#ifndef WEIR_STORE_REPLICA_EXPORT_PARTS_H
#define WEIR_STORE_REPLICA_EXPORT_PARTS_H

/* What the files of exports share, and nobody else includes: the sections, and how a payload is
 * taken apart.
 *
 * Header, behind the check: format u8 | mode u8 | flags u8 | database 32 | clock min u64, max u64 |
 * entries varint | ops varint | chains varint, {author 32, lane u64} each | vectors asked,
 * asked_to, start, end | root (when the flags say so) | runs, pending, settings: a varint each |
 * for each section: length, length packed (the same: it is not packed), varints.
 *
 * A vector: rows varint, {chain << 1 | has tip: varint, ops varint, tip 32 when it has one} each.
 * The root: entry 32 | lamport varint | ops varint | rows varint, {chain varint, count varint, ops
 * varint, tip 32} each | signer 32 | signature 64.
 *
 * Runs, one after the other (settings, history, pending), over the columns:
 *     HEADS   kind | follows << 2 | deps << 3, chain, count; seq when it does not follow the run
 *             before it of this chain; then refs: prev (seq > 0, does not follow), deps
 *     OPS, CLOCKS (zigzag, since the entry before in the blob), each one a number an entry
 *     SIZES   an entry's payload: 0 bare: length (bytes in REST)
 *             1 taken apart: length of its head (codec, message) and of its rows (both in REST),
 *             2 the same with head and rows of the last such one; then: ids (refs in HEADS), length
 *             of the text (TEXT), how many ops in columns (OP_HEADS, OP_ATS, OP_COUNTS), length
 *             of the other ops (REST)
 *     RAW     ids that are not in the blob, signatures; never packed
 * A ref is a varint: 0: an id in RAW that was not there before; even: twice how many entries back,
 * from where the run begins; odd: twice how many such ids back, and 1. */

#include "store/replica/export.h"

#define WEIR_EXPORT_MAGIC "weirexpt"
#define WEIR_EXPORT_MAGIC_BYTES 8u
#define WEIR_EXPORT_CHECK_BYTES 16u
#define WEIR_EXPORT_BEGIN (WEIR_EXPORT_MAGIC_BYTES + WEIR_EXPORT_CHECK_BYTES)

enum weir_export_section {
    WEIR_EXPORT_STATE,
    WEIR_EXPORT_ROOT_STATE,
    WEIR_EXPORT_INERT, /* {entries since the one before, status} varints each */
    WEIR_EXPORT_RAW,
    WEIR_EXPORT_HEADS,
    WEIR_EXPORT_OPS,
    WEIR_EXPORT_CLOCKS,
    WEIR_EXPORT_SIZES,
    WEIR_EXPORT_REST,
    WEIR_EXPORT_TEXT,
    WEIR_EXPORT_OP_HEADS,
    WEIR_EXPORT_OP_ATS,
    WEIR_EXPORT_OP_COUNTS,
    WEIR_EXPORT_SECTIONS
};

#define WEIR_EXPORT_FLAG_ROOT 1u

enum weir_export_payload_form {
    WEIR_EXPORT_BARE = 0,
    WEIR_EXPORT_APART = 1,
    WEIR_EXPORT_AGAIN = 2
};

/* A data payload taken apart; borrowed. */
struct weir_export_payload {
    struct weir_bytes head; /* codec, message */
    struct weir_bytes ids;
    struct weir_bytes rows; /* their count, too */
    struct weir_bytes text;
    struct weir_bytes ops;
    bool is_text; /* one row, of a text */
};

/* ---- export_pack.c ---- */

/* Packs the sections, one behind the other, and gives each one's length packed. */
void weir_export_pack (const struct weir_buf sections[WEIR_EXPORT_SECTIONS], bool fast,
                       struct weir_buf *out, size_t packed[WEIR_EXPORT_SECTIONS]);
/* Exactly `len` bytes come out; memory grows as they do. Else false. */
bool weir_export_unpack (struct weir_bytes packed, size_t len, struct weir_buf *out);

/* ---- export_write.c ---- */

/* False: it is no document's payload by its outer shape. What is put together again is byte for
 * byte the same. */
bool weir_export_payload_split (struct weir_bytes payload, struct weir_export_payload *out);
/* The first 16 bytes of the BLAKE2b (CHECK) of everything behind the check. */
void weir_export_check (struct weir_bytes blob, uint8_t out[WEIR_EXPORT_CHECK_BYTES]);

/* ---- export_read.c ---- */

/* What the last run of a chain, so far, leaves to the next. */
struct weir_export_chain_end {
    uint64_t next_seq;
    uint32_t tip; /* entry, + 1; 0: none yet */
};

struct weir_export_reader {
    struct weir_export_info info;
    struct weir_export_root root;
    uint8_t flags;
    uint64_t n_runs;
    uint64_t n_pending;
    uint64_t n_settings;
    const uint8_t *chain_table; /* in the blob */
    size_t n_chains;
    struct weir_bytes packed[WEIR_EXPORT_SECTIONS];
    size_t len[WEIR_EXPORT_SECTIONS];
    struct weir_buf unpacked[WEIR_EXPORT_SECTIONS];
    size_t bytes_max;
    size_t bytes; /* unpacked so far */

    bool has_runs;
    struct weir_arena *arena; /* bytes and entries of runs */
    struct weir_run *runs;    /* settings, history, pending */
    size_t runs_count;
    size_t runs_cap;
    struct weir_export_inert *inert;
    size_t n_inert;
    size_t inert_cap;

    /* While runs are put together. */
    struct weir_reader columns[WEIR_EXPORT_SECTIONS];
    struct weir_export_chain_end *ends;
    const struct weir_id **entries;
    size_t n_entries;
    size_t entries_cap;
    const uint8_t **raw; /* ids that came bare */
    size_t n_raw;
    size_t raw_cap;
    uint64_t clock_ms;
    struct weir_bytes head;
    struct weir_bytes rows;
    struct weir_buf scratch;
};

enum weir_status weir_export_bad (struct weir_error *e, const char *what);
enum weir_status weir_export_too_much (struct weir_error *e);
void weir_export_read_id (struct weir_reader *r, struct weir_id *id);
/* Unpacked, when it is not yet. */
WEIR_MUST enum weir_status weir_export_open_section (struct weir_export_reader *self,
                                                     enum weir_export_section i,
                                                     struct weir_bytes *out, struct weir_error *e);
/* Moves it out; the reader is good for nothing but closing then. */
struct weir_export_info weir_export_take_info (struct weir_export_reader *self);

#endif
