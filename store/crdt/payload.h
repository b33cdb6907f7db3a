#ifndef WEIR_STORE_CRDT_PAYLOAD_H
#define WEIR_STORE_CRDT_PAYLOAD_H

/* The codec of data payloads:
 *
 *     codec u8 | message blob | rows varint | row ... | op ... to the end
 *     row:  (type << 2 | kind) u8, then kind 0 (root): name blob
 *                                       kind 1 (by path): parent row varint, key blob
 *     op:   (row << 4 | code) varint, then the type's fields
 *
 * A blob is a varint length and bytes. A parent stands before its children. Setting a key of a
 * root map costs 9 bytes beyond the name, the key and the value. */

#include "store/crdt/container.h"

enum weir_row_kind {
    WEIR_ROW_ROOT = 0,
    WEIR_ROW_PATH = 1 /* unique children: 2 */
};

struct weir_row_of_payload {
    const struct weir_container_type *type;
    struct weir_container *container; /* found while applying */
    struct weir_bytes key;
    uint32_t parent;
    uint16_t depth;
    uint8_t kind;
};

/* A decoded payload; zero-initialised is empty. Everything in it is borrowed from the bytes.
 * Its arrays grow as rows and ops are read, never by what a count promises. */
struct weir_payload {
    struct weir_bytes message;
    struct weir_row_of_payload *rows;
    size_t n_rows;
    size_t rows_cap;
    struct weir_op *ops;
    size_t n_ops;
    size_t ops_cap;
    uint64_t atoms;
};

void weir_payload_fini (struct weir_payload *p);
/* Everything that can be said without a document. WEIR_BAD_PAYLOAD, WEIR_NEEDS_UPGRADE; *p is
 * then unspecified, but can be used again. */
WEIR_MUST enum weir_status weir_payload_decode (struct weir_payload *p, struct weir_bytes bytes);
/* Parts, for edits. */
void weir_payload_put_row (struct weir_buf *out, uint8_t kind,
                           const struct weir_container_type *type, uint32_t parent,
                           struct weir_bytes key);
void weir_payload_put_op (struct weir_buf *out, const struct weir_container_type *type,
                          const struct weir_op *op);
/* See weir_doc_payload_json. */
json_t *weir_payload_json (const struct weir_payload *p);

#endif
