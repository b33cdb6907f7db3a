/* Tickets as people paste them, and cards as peers send them. What is taken says the same when it
 * is written and read again. The first byte chooses: text, a ticket's body (the check is put
 * behind it, so that the fuzzer gets past), or a card. */

#include <stdlib.h>
#include <string.h>

#include "actors/store/ticket.h"
#include "store/crypto/hash.h"

static void
check_card (struct weir_bytes packed)
{
    struct weir_card card;
    if (weir_card_get (&card, packed) == WEIR_OK) {
        weir_assert (!weir_id_is_zero (&card.device));
        weir_assert (card.n_link_keys <= WEIR_CARD_KEYS_MAX);
        weir_assert (card.n_addresses <= WEIR_CARD_ADDRESSES_MAX);
        weir_assert (strlen (card.name) <= WEIR_NAME_BYTES_MAX);
    }
}

static void
check_ticket (struct weir_bytes text)
{
    struct weir_ticket t = { 0 };
    struct weir_ticket again = { 0 };
    struct weir_error e = { 0 };
    struct weir_buf out = { 0 };
    enum weir_status status = weir_ticket_get (&t, text, &e);
    if (status != WEIR_OK) {
        weir_assert (status == WEIR_BAD_TICKET && e.what[0] != '\0');
        return;
    }
    weir_ticket_put (&out, &t);
    if (out.len <= WEIR_TICKET_BYTES_MAX) {
        weir_assert (weir_ticket_get (&again, weir_buf_bytes (&out), NULL) == WEIR_OK);
        weir_assert (weir_id_equal (&t.db, &again.db) && weir_id_equal (&t.device, &again.device));
        weir_assert (t.right == again.right && t.expires_ms == again.expires_ms);
        weir_assert (memcmp (t.secret, again.secret, sizeof t.secret) == 0);
        weir_assert (strcmp (t.db_name, again.db_name) == 0);
        weir_ticket_fini (&again);
    }
    weir_buf_fini (&out);
    weir_ticket_fini (&t);
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct weir_bytes rest = weir_bytes (data + 1, size - 1);
    struct weir_buf body = { 0 };
    struct weir_buf text = { 0 };
    weir_crypto_init ();
    switch (data[0] % 3) {
    case 0:
        check_ticket (rest);
        break;
    case 1: {
        struct weir_id check = weir_hash (WEIR_DOMAIN_CHECK, rest, weir_bytes (NULL, 0));
        weir_buf_put_bytes (&body, rest);
        weir_buf_put (&body, check.b, 4);
        weir_buf_put_bytes (&text, weir_bytes_str ("weir"));
        weir_base32_put (&text, weir_buf_bytes (&body));
        check_ticket (weir_buf_bytes (&text));
        break;
    }
    default:
        check_card (rest);
        break;
    }
    weir_buf_fini (&body);
    weir_buf_fini (&text);
    return 0;
}
