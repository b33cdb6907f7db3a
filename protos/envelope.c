/* Owns the 80 bytes in front of every message: their one encoding and what may stand in them.
 * It knows nothing of kinds. The broker, the actors' runtime and clients call it. */

#include "protos/envelope.h"

#include <string.h>

#define VERSION 1u

void
weir_envelope_put (const struct weir_envelope *e, uint8_t out[WEIR_ENVELOPE_BYTES])
{
    out[0] = VERSION;
    out[1] = e->flags;
    weir_store_u16 (out + 2, e->kind);
    weir_store_u32 (out + 4, e->ms_left);
    memcpy (out + WEIR_ENVELOPE_AT_FROM, e->from.b, WEIR_ADDRESS_BYTES);
    memcpy (out + WEIR_ENVELOPE_AT_TO, e->to.b, WEIR_ADDRESS_BYTES);
    weir_store_u64 (out + 40, e->request);
    weir_store_u64 (out + 48, e->trace);
    memcpy (out + 56, e->peer, sizeof e->peer);
    memcpy (out + 64, e->database, sizeof e->database);
    weir_store_u16 (out + 72, e->status);
    memset (out + 74, 0, 6);
}

enum weir_status
weir_envelope_get (struct weir_envelope *e, struct weir_bytes bytes)
{
    static const uint8_t zero[6];
    const uint8_t *p = bytes.data;
    if (bytes.len != WEIR_ENVELOPE_BYTES || p[0] != VERSION
        || (p[1] & ~(WEIR_ENV_ANSWER | WEIR_ENV_MORE | WEIR_ENV_REFUSED)) != 0
        || memcmp (p + 74, zero, 6) != 0) {
        return WEIR_BAD_MESSAGE;
    }
    e->flags = p[1];
    e->kind = weir_load_u16 (p + 2);
    e->ms_left = weir_load_u32 (p + 4);
    memcpy (e->from.b, p + WEIR_ENVELOPE_AT_FROM, WEIR_ADDRESS_BYTES);
    memcpy (e->to.b, p + WEIR_ENVELOPE_AT_TO, WEIR_ADDRESS_BYTES);
    e->request = weir_load_u64 (p + 40);
    e->trace = weir_load_u64 (p + 48);
    memcpy (e->peer, p + 56, sizeof e->peer);
    memcpy (e->database, p + 64, sizeof e->database);
    e->status = weir_load_u16 (p + 72);
    return WEIR_OK;
}

bool
weir_mailbox_equal (const struct weir_mailbox_id *a, const struct weir_mailbox_id *b)
{
    return memcmp (a->b, b->b, sizeof a->b) == 0;
}

bool
weir_mailbox_is_zero (const struct weir_mailbox_id *a)
{
    static const struct weir_mailbox_id zero;
    return weir_mailbox_equal (a, &zero);
}
