#ifndef WEIR_PROTOS_ENVELOPE_H
#define WEIR_PROTOS_ENVELOPE_H

/* A message is three parts: envelope (fixed layout, the broker reads no more), meta (protobuf,
 * no user data), body (bytes). The same three parts travel between processes and, with the wire
 * kinds, between nodes.
 *
 * Layout, big-endian, 80 bytes: version u8 (1) | flags u8 | kind u16 | ms_left u32 | from 16 |
 * to 16 | request u64 | trace u64 | peer 8 | database 8 | status u16 | zero u16 | zero u32. */

#include "store/base/bytes.h"
#include "store/base/id.h"

#define WEIR_ENVELOPE_BYTES 80
#define WEIR_ENVELOPE_AT_FROM 8 /* where the broker stamps, in place */
#define WEIR_ENVELOPE_AT_TO 24
#define WEIR_ADDRESS_BYTES 16 /* a mailbox's identity: random, the first byte not 0 */

enum weir_envelope_flags {
    WEIR_ENV_ANSWER = 1, /* answers `request` of `to`; kind is the request's */
    WEIR_ENV_MORE = 2,   /* one of several answers (streams, pages); the last has it not */
    WEIR_ENV_REFUSED = 4 /* an error answer made by the broker itself; `from` is then the mailbox
                          * that was meant */
};

struct weir_mailbox_id {
    uint8_t b[WEIR_ADDRESS_BYTES]; /* all zero in `to`: whoever kinds.def says takes this kind */
};

struct weir_envelope {
    uint8_t flags;
    uint16_t kind;
    uint16_t status;  /* answers: enum weir_status; 0 = ok. An error answer's meta is Problem */
    uint32_t ms_left; /* 0: no limit. The asker's patience when it was sent */
    struct weir_mailbox_id from; /* stamped by the broker */
    struct weir_mailbox_id to;
    uint64_t request;    /* 0: wants no answer */
    uint64_t trace;      /* follows a cause through processes and nodes; 0: none */
    uint8_t peer[8];     /* first bytes of the device concerned; zero: none */
    uint8_t database[8]; /* first bytes of the database concerned; zero: none */
};

void weir_envelope_put (const struct weir_envelope *e, uint8_t out[WEIR_ENVELOPE_BYTES]);
/* WEIR_BAD_MESSAGE for another length, version, or non-zero spare bytes. */
WEIR_MUST enum weir_status weir_envelope_get (struct weir_envelope *e, struct weir_bytes bytes);
bool weir_mailbox_equal (const struct weir_mailbox_id *a, const struct weir_mailbox_id *b);
bool weir_mailbox_is_zero (const struct weir_mailbox_id *a);

#endif
