#ifndef WEIR_PROTOS_CODEC_H
#define WEIR_PROTOS_CODEC_H

/* The only door between bytes and messages. Every meta part is packed and unpacked here, by
 * kind, through a capped arena (page 7: a megabyte of empty fields would unpack to 25), and
 * checked against kinds.def. Who includes this gets the generated types too. */

#include "protos/envelope.h"
#include "protos/blob.pb-c.h"
#include "protos/common.pb-c.h"
#include "protos/link.pb-c.h"
#include "protos/node.pb-c.h"
#include "protos/presence.pb-c.h"
#include "protos/store.pb-c.h"
#include "protos/sync.pb-c.h"
#include "protos/wire.pb-c.h"
#include "store/base/arena.h"
#include "store/base/limits.h"

enum weir_kind_number {
#define KIND(number, name, from, to, meta, answer, body, flags) WEIR_KIND_##name = (number),
#include "protos/kinds.def"
#undef KIND
};

/* Roles as bits; ANY is every actor. */
enum weir_role_bit {
    WEIR_ROLE_C = 1,
    WEIR_ROLE_B = 2,
    WEIR_ROLE_S = 4,
    WEIR_ROLE_P = 8,
    WEIR_ROLE_T = 16,
    WEIR_ROLE_R = 32,
    WEIR_ROLE_G = 64,
    WEIR_ROLE_N = 128,
    WEIR_ROLE_ANY = 4 | 8 | 16 | 32 | 64
};
enum weir_kind_flags {
    WEIR_KIND_ONEWAY = 1,
    WEIR_KIND_IDEM = 2,
    WEIR_KIND_SECRET = 4,
    WEIR_KIND_STREAM = 8
};

struct weir_kind {
    uint16_t number;
    const char *name;
    unsigned from; /* role bits */
    unsigned to;
    const ProtobufCMessageDescriptor *meta;   /* NULL: none */
    const ProtobufCMessageDescriptor *answer; /* NULL: none */
    size_t body_max;
    unsigned flags;
};
/* NULL for a number that is not in the table. */
const struct weir_kind *weir_kind (uint16_t number);
const struct weir_kind *weir_kind_by_name (const char *name); /* any case */
const struct weir_kind *weir_kind_at (size_t i); /* in table order; NULL past the end */
const char *weir_role_name (unsigned role_bit);  /* "client", "store", ... */
unsigned weir_role_by_name (const char *name);   /* 0: unknown */

/* Packs; the descriptor must be the one kinds.def names (asserted: our own code). NULL meta
 * gives no bytes. */
void weir_meta_put (struct weir_buf *out, const ProtobufCMessage *meta);
/* Unpacks the meta of a request, or (answer = true) of an answer of this kind; *out lives in
 * the arena, NULL when the kind has none. WEIR_BAD_MESSAGE, WEIR_TOO_LARGE. */
WEIR_MUST enum weir_status weir_meta_get (ProtobufCMessage **out, struct weir_arena *arena,
                                          const struct weir_kind *kind, bool answer,
                                          struct weir_bytes bytes);
/* By descriptor, for signed parts such as CardBody. */
WEIR_MUST enum weir_status weir_meta_unpack (ProtobufCMessage **out, struct weir_arena *arena,
                                             const ProtobufCMessageDescriptor *type,
                                             struct weir_bytes bytes);

/* `bytes` fields. */
struct weir_bytes weir_field (ProtobufCBinaryData data);
ProtobufCBinaryData weir_field_of (struct weir_bytes bytes);  /* borrowed */
ProtobufCBinaryData weir_field_id (const struct weir_id *id); /* borrowed */
ProtobufCBinaryData weir_field_str (const char *text);        /* borrowed; NULL: empty */
/* A 32-byte id field; WEIR_BAD_MESSAGE for another length or when absent. */
WEIR_MUST enum weir_status weir_field_get_id (struct weir_id *id, bool has,
                                              ProtobufCBinaryData data);
/* Text of at most `max` bytes, valid UTF-8, without NUL, into out (max + 1 bytes); "" when
 * absent. */
WEIR_MUST enum weir_status weir_field_get_text (char *out, size_t max, bool has,
                                                ProtobufCBinaryData data);

/* An error answer's meta. */
void weir_problem_put (struct weir_buf *out, enum weir_status status, const struct weir_error *e);
void weir_problem_get (struct weir_error *e, enum weir_status status, struct weir_bytes meta);

#endif
