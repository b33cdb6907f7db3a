#ifndef WEIR_STORE_CRDT_VALUE_H
#define WEIR_STORE_CRDT_VALUE_H

/* Values of documents: their bytes in payloads and states, and their JSON. The same numbers
 * stand in both, so rows are only ever appended. Pure code. */

#include "store/base/id.h"
#include "store/base/json.h"

enum weir_value_type {
    WEIR_VALUE_NULL = 0,
    WEIR_VALUE_FALSE = 1,
    WEIR_VALUE_TRUE = 2,
    WEIR_VALUE_INT = 3,       /* zigzag varint */
    WEIR_VALUE_DOUBLE = 4,    /* IEEE 754 binary64, big-endian; finite */
    WEIR_VALUE_TEXT = 5,      /* varint length, UTF-8 without NUL */
    WEIR_VALUE_BYTES = 6,     /* varint length, bytes */
    WEIR_VALUE_CONTAINER = 7, /* u8: its type; which one follows from the place */
    WEIR_VALUE_DELETED = 8,   /* never in a payload: what a delete leaves in a register */
    WEIR_VALUE_UNIQUE = 9,    /* u8: its type; the op that says so makes a container of its own.
                                 In memory and in states, 32 bytes more: its id (`bytes`) */
    WEIR_VALUE_BLOB = 10      /* the id of its manifest (store/dag/blob.h), u64: how many bytes it
                                 has; both are `bytes`. Only in payloads of WEIR_CODEC_BLOBS */
};

struct weir_value {
    uint8_t type;
    uint8_t container; /* the type's number, for WEIR_VALUE_CONTAINER and UNIQUE */
    union {
        int64_t i;
        double d;
    } number;
    struct weir_bytes bytes; /* of text, bytes and blobs: borrowed */
};

/* Appends type and body; of WEIR_VALUE_UNIQUE the id when `bytes` holds one (clear it for a
 * payload). */
void weir_value_put (struct weir_buf *out, const struct weir_value *v);
/* Reads type and body; bytes are borrowed from the reader. WEIR_NEEDS_UPGRADE for a type from
 * the future; whatever is cut short sets r->bad. WEIR_VALUE_DELETED is read as any other. */
WEIR_MUST enum weir_status weir_value_read (struct weir_reader *r, struct weir_value *v);
/* The same from a state, where WEIR_VALUE_UNIQUE has its id; WEIR_BAD_PAYLOAD for anything that
 * cannot stand there. */
WEIR_MUST enum weir_status weir_value_read_kept (struct weir_reader *r, struct weir_value *v);
/* WEIR_BAD_PAYLOAD for what JSON could never show: text that is not UTF-8 or holds NUL, a
 * double that is not finite. */
WEIR_MUST enum weir_status weir_value_check (const struct weir_value *v);
/* Same type, same bits. */
bool weir_value_equal (const struct weir_value *a, const struct weir_value *b);
/* JSON of anything but a container or DELETED. Bytes show as {"$bytes": base32}, what is too large
 * for that as {"$blob": id, "bytes": how many}. */
json_t *weir_value_json (const struct weir_value *v);
/* The value a JSON scalar, {"$bytes": base32} or {"$blob": id, "bytes": n} stands for; *is_scalar
 * is false for any other object and for arrays, and *v is then not written. Text is borrowed from
 * `json`, decoded bytes from `scratch`. WEIR_INVALID_JSON for text with NUL. */
WEIR_MUST enum weir_status weir_value_from_json (struct weir_value *v, const json_t *json,
                                                 struct weir_buf *scratch, bool *is_scalar,
                                                 struct weir_error *e);
/* A blob by its id and size, and back (false: it is no blob); its bytes lie in `scratch`. */
struct weir_value weir_value_blob (const struct weir_id *id, uint64_t bytes,
                                   struct weir_buf *scratch);
bool weir_value_get_blob (const struct weir_value *v, struct weir_id *id, uint64_t *bytes);
/* UTF-8 without NUL, at most WEIR_KEY_BYTES_MAX. */
bool weir_value_is_key (struct weir_bytes key);

#endif
