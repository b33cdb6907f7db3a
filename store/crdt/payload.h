#ifndef WEIR_STORE_CRDT_PAYLOAD_H
#define WEIR_STORE_CRDT_PAYLOAD_H

/* The codec of data payloads:
 *
 *     codec u8 | message blob | ids varint | entry id 32 ... | rows varint | row ... |
 *     text blob | op ... to the end
 *     row:  (type << 2 | kind) u8, then kind 0 (root): name blob
 *                                       kind 1 (by path): parent row varint, key blob
 *                                       kind 2 (unique): the op that made it, as an id
 *     op:   (row << 4 | code) varint, then the type's fields
 *     id:   varint 1 + row in the table of ids (0 there is the entry itself), offset varint;
 *           0 alone: none
 *
 * The codec is WEIR_CODEC_BLOBS where an op sets a blob (a value of that type), else
 * WEIR_CODEC_DOC.
 * A "blob" here is a varint length and bytes. A parent stands before its children, an op that makes
 * a unique child before the child's. No two ids, and no two rows, are the same. All that is
 * inserted into texts stands in `text`, in the order of ops. Setting a key of a root map costs 11
 * bytes beyond the name, the key and the value. */

#include "store/crdt/container.h"

enum weir_row_kind { WEIR_ROW_ROOT = 0, WEIR_ROW_PATH = 1, WEIR_ROW_UNIQUE = 2 };

struct weir_payload_row {
    const struct weir_container_type *type;
    struct weir_container *container; /* found while applying */
    struct weir_bytes key;
    struct weir_op_ref made_ref; /* of unique children */
    struct weir_op_check check;
    uint32_t parent;
    uint32_t first; /* ops may come from this offset on: what makes it is behind them */
    uint32_t cursor;
    uint16_t depth;
    uint8_t kind;
};

/* A decoded payload; zero-initialised is empty. Everything in it is borrowed from the bytes.
 * Its arrays grow as rows and ops are read, never by what a count promises. */
struct weir_payload {
    struct weir_bytes message;
    struct weir_bytes ids; /* WEIR_ID_BYTES each */
    struct weir_payload_row *rows;
    size_t n_rows;
    size_t rows_cap;
    struct weir_op *ops;
    size_t n_ops;
    size_t ops_cap;
    uint64_t atoms;
    bool has_blobs; /* values of type WEIR_VALUE_BLOB */
};

void weir_payload_fini (struct weir_payload *p);
/* Everything that can be said without a document. WEIR_BAD_PAYLOAD, WEIR_NEEDS_UPGRADE; *p is
 * then unspecified, but can be used again. */
WEIR_MUST enum weir_status weir_payload_decode (struct weir_payload *p, struct weir_bytes bytes);
/* Fills in the op's target and parent; `entry` is what row 0 of the ids stands for. */
void weir_payload_resolve (const struct weir_payload *p, struct weir_op *op,
                           const struct weir_id *entry);
/* Parts, for those who write: begin, n_rows rows, the text as a blob, ops. `ids` without row 0. */
void weir_payload_begin (struct weir_buf *out, struct weir_bytes message, const struct weir_id *ids,
                         size_t n_ids, size_t n_rows);
/* Needs type, kind, and what goes with the kind: key, parent and key, made_ref. */
void weir_payload_put_row (struct weir_buf *out, const struct weir_payload_row *row);
/* w->cursor is the row's, as the op before left it. */
void weir_payload_put_op (struct weir_op_writer *w, const struct weir_container_type *type,
                          const struct weir_op *op);
/* Does the op set a blob, alone or among the values that it inserts? */
bool weir_op_has_blobs (const struct weir_container_type *type, const struct weir_op *op);
/* What is sealed begins at `start`: names its codec. */
void weir_payload_name_codec (struct weir_buf *payload, size_t start, bool has_blobs);
/* See weir_doc_payload_json. */
json_t *weir_payload_json (struct weir_payload *p);

#endif
