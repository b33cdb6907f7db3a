#ifndef WEIR_ACTORS_STORE_TICKET_H
#define WEIR_ACTORS_STORE_TICKET_H

/* Tickets and cards as bytes (page 2, "Keys, cards, tickets"). Pure but for packing.
 *
 * A ticket is "weir" + base32 (TicketBody, then the first 4 bytes of its check hash): one string
 * that people paste. A card is a serialised CardBody with the device's signature over it. */

#include "protos/codec.h"
#include "store/crypto/sign.h"

struct weir_ticket {
    struct weir_id db;
    char db_name[WEIR_NAME_BYTES_MAX + 1];
    uint32_t right;
    uint64_t expires_ms;   /* by the inviter's clock */
    uint8_t secret[32];    /* one-time CURVE secret key; its public half names the ticket */
    struct weir_buf card;  /* packed Card of the inviter */
    struct weir_id device; /* the inviter, from the card */
};

void weir_ticket_fini (struct weir_ticket *t);
void weir_ticket_put (struct weir_buf *text, const struct weir_ticket *t);
/* Accepts surrounding white space. WEIR_BAD_TICKET names what is wrong: not a ticket, cut off,
 * mistyped, or a card that does not verify. */
WEIR_MUST enum weir_status weir_ticket_get (struct weir_ticket *out, struct weir_bytes text,
                                            struct weir_error *e);

#define WEIR_CARD_KEYS_MAX 4u
struct weir_card {
    struct weir_id device;
    uint64_t counter;
    size_t n_link_keys;
    struct weir_id link_keys[WEIR_CARD_KEYS_MAX];
    size_t n_addresses;
    char addresses[WEIR_CARD_ADDRESSES_MAX][WEIR_ADDRESS_BYTES_MAX + 1];
    char name[WEIR_NAME_BYTES_MAX + 1];
};
/* Appends a packed Card, signed. */
void weir_card_put (struct weir_buf *out, const struct weir_card *card,
                    const struct weir_identity *identity);
/* Decodes and verifies a packed Card. WEIR_BAD_CARD. */
WEIR_MUST enum weir_status weir_card_get (struct weir_card *out, struct weir_bytes packed);

#endif
