#ifndef WEIR_ACTORS_PEERS_CARD_H
#define WEIR_ACTORS_PEERS_CARD_H

/* Cards and addresses as bytes (page 2, "Keys, cards, tickets"). A card is a device's own word,
 * signed, on its link keys and addresses; the newest counter wins. */

#include "protos/codec.h"
#include "store/crypto/sign.h"

#define PEERS_CARD_KEYS_MAX 4u

struct peers_card {
    struct weir_id device;
    uint64_t counter;
    size_t n_keys;
    struct weir_id keys[PEERS_CARD_KEYS_MAX]; /* the current one first */
    size_t n_addresses;
    char *addresses[WEIR_CARD_ADDRESSES_MAX];
    char name[WEIR_NAME_BYTES_MAX + 1];
    struct weir_buf packed; /* as received: what is hashed and signed is never encoded again */
};

/* Decodes and verifies; *out is new. WEIR_BAD_CARD. */
WEIR_MUST enum weir_status peers_card_read (struct peers_card **out, const Weir__Card *card);
WEIR_MUST enum weir_status peers_card_read_bytes (struct peers_card **out,
                                                  struct weir_bytes packed);
void peers_card_destroy (struct peers_card **self_p);
/* The packed card as a message in the arena; NULL when the arena is full. */
Weir__Card *peers_card_message (const struct peers_card *self, struct weir_arena *arena);

/* weir://DEVICE@host:port?k=LINKKEY */
struct peers_address {
    struct weir_id device;
    struct weir_id key;
    char address[WEIR_ADDRESS_BYTES_MAX + 1]; /* tcp://host:port */
};
WEIR_MUST enum weir_status peers_address_parse (struct peers_address *out, const char *text,
                                                struct weir_error *e);
/* The other way round, for people to copy. */
void peers_address_print (struct weir_buf *out, const struct weir_id *device, const char *address,
                          const struct weir_id *key);

#endif
