/* Tickets and cards as bytes. What comes in is somebody's: every field is checked, a card's
 * signature before anything of it is believed. */

#include "actors/store/ticket.h"

#include <string.h>

#include "store/crypto/hash.h"

#define TICKET_PREFIX "weir"
#define TICKET_CHECK_BYTES 4u
#define RIGHT_MAX 4u /* enum weir_right: admin */

void
weir_ticket_fini (struct weir_ticket *t)
{
    weir_wipe (t->secret, sizeof t->secret);
    weir_buf_fini (&t->card);
}

static void
put_check (struct weir_buf *body)
{
    struct weir_id check =
        weir_hash (WEIR_DOMAIN_CHECK, weir_buf_bytes (body), weir_bytes (NULL, 0));
    weir_buf_put (body, check.b, TICKET_CHECK_BYTES);
}

void
weir_ticket_put (struct weir_buf *text, const struct weir_ticket *t)
{
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    struct weir_buf packed = { 0 };
    ProtobufCMessage *card = NULL;
    Weir__TicketBody body = WEIR__TICKET_BODY__INIT;
    body.has_db = body.has_db_name = body.has_right = body.has_expires_ms = true;
    body.has_secret = true;
    body.db = weir_field_id (&t->db);
    body.db_name = weir_field_str (t->db_name);
    body.right = t->right;
    body.expires_ms = t->expires_ms;
    body.secret = weir_field_of (weir_bytes (t->secret, sizeof t->secret));
    enum weir_status status =
        weir_meta_unpack (&card, arena, &weir__card__descriptor, weir_buf_bytes (&t->card));
    weir_assert (status == WEIR_OK); /* our own card */
    body.card = (Weir__Card *) card;
    weir_meta_put (&packed, &body.base);
    put_check (&packed);
    weir_buf_put_bytes (text, weir_bytes_str (TICKET_PREFIX));
    weir_base32_put (text, weir_buf_bytes (&packed));
    weir_wipe (packed.data, packed.len);
    weir_buf_fini (&packed);
    weir_arena_destroy (&arena);
}

static struct weir_bytes
trim (struct weir_bytes text)
{
    while (text.len > 0 && strchr (" \t\r\n", text.data[0]) != NULL) {
        text.data++;
        text.len--;
    }
    while (text.len > 0 && strchr (" \t\r\n", text.data[text.len - 1]) != NULL) {
        text.len--;
    }
    return text;
}

/* The body's bytes behind prefix and check. */
static enum weir_status
open_text (struct weir_buf *packed, struct weir_bytes text, struct weir_error *e)
{
    size_t prefix = strlen (TICKET_PREFIX);
    text = trim (text);
    if (text.len <= prefix || memcmp (text.data, TICKET_PREFIX, prefix) != 0) {
        return weir_error_set (e, WEIR_BAD_TICKET, NULL,
                               "this is not a ticket: it does not begin "
                               "with \"" TICKET_PREFIX "\"");
    }
    if (text.len > WEIR_TICKET_BYTES_MAX
        || weir_base32_get (packed, weir_bytes (text.data + prefix, text.len - prefix)) != WEIR_OK
        || packed->len <= TICKET_CHECK_BYTES) {
        return weir_error_set (e, WEIR_BAD_TICKET, NULL, "the ticket is cut off or mistyped");
    }
    struct weir_bytes body = weir_bytes (packed->data, packed->len - TICKET_CHECK_BYTES);
    struct weir_id check = weir_hash (WEIR_DOMAIN_CHECK, body, weir_bytes (NULL, 0));
    if (memcmp (check.b, packed->data + body.len, TICKET_CHECK_BYTES) != 0) {
        return weir_error_set (e, WEIR_BAD_TICKET, NULL, "the ticket is cut off or mistyped");
    }
    packed->len = body.len;
    return WEIR_OK;
}

enum weir_status
weir_ticket_get (struct weir_ticket *out, struct weir_bytes text, struct weir_error *e)
{
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    struct weir_buf packed = { 0 };
    struct weir_ticket t = { 0 };
    struct weir_card card;
    ProtobufCMessage *message = NULL;
    enum weir_status status = open_text (&packed, text, e);
    if (status == WEIR_OK) {
        status = weir_meta_unpack (&message, arena, &weir__ticket_body__descriptor,
                                   weir_buf_bytes (&packed));
        const Weir__TicketBody *body = (const Weir__TicketBody *) message;
        if (status != WEIR_OK || weir_field_get_id (&t.db, body->has_db, body->db) != WEIR_OK
            || weir_field_get_text (t.db_name, WEIR_NAME_BYTES_MAX, body->has_db_name,
                                    body->db_name)
                   != WEIR_OK
            || !body->has_secret || body->secret.len != sizeof t.secret || body->card == NULL
            || !body->has_right || body->right == 0 || body->right > RIGHT_MAX) {
            status =
                weir_error_set (e, WEIR_BAD_TICKET, NULL, "the ticket lacks something it must say");
        } else {
            t.right = body->right;
            t.expires_ms = body->expires_ms;
            memcpy (t.secret, body->secret.data, sizeof t.secret);
            weir_meta_put (&t.card, &body->card->base);
            if (weir_card_get (&card, weir_buf_bytes (&t.card)) != WEIR_OK) {
                status = weir_error_set (e, WEIR_BAD_TICKET, NULL,
                                         "the inviter's card in the ticket does not verify");
            } else if (card.n_link_keys == 0 || card.n_addresses == 0) {
                status = weir_error_set (e, WEIR_BAD_TICKET,
                                         "give the inviting node an address: "
                                         "listen = tcp://HOST:PORT",
                                         "the ticket names no address to dial");
            } else {
                t.device = card.device;
            }
        }
    }
    if (status == WEIR_OK) {
        *out = t;
    } else {
        weir_ticket_fini (&t);
    }
    if (packed.data != NULL) {
        weir_wipe (packed.data, packed.cap);
    }
    weir_buf_fini (&packed);
    weir_arena_destroy (&arena);
    return status;
}

void
weir_card_put (struct weir_buf *out, const struct weir_card *card,
               const struct weir_identity *identity)
{
    struct weir_buf signed_bytes = { 0 };
    struct weir_signature signature;
    ProtobufCBinaryData keys[WEIR_CARD_KEYS_MAX];
    ProtobufCBinaryData addresses[WEIR_CARD_ADDRESSES_MAX];
    Weir__CardBody body = WEIR__CARD_BODY__INIT;
    body.has_device = body.has_counter = body.has_name = true;
    body.device = weir_field_id (&card->device);
    body.counter = card->counter;
    body.name = weir_field_str (card->name);
    body.link_keys = keys;
    for (size_t i = 0; i < card->n_link_keys; i++) {
        keys[body.n_link_keys++] = weir_field_id (&card->link_keys[i]);
    }
    body.addresses = addresses;
    for (size_t i = 0; i < card->n_addresses; i++) {
        addresses[body.n_addresses++] = weir_field_str (card->addresses[i]);
    }
    weir_meta_put (&signed_bytes, &body.base);
    weir_sign (&signature, identity, WEIR_SIGN_CARD, weir_buf_bytes (&signed_bytes));
    Weir__Card packed = WEIR__CARD__INIT;
    packed.has_signed_bytes = packed.has_signature = true;
    packed.signed_bytes = weir_field_of (weir_buf_bytes (&signed_bytes));
    packed.signature = weir_field_of (weir_bytes (signature.b, sizeof signature.b));
    weir_meta_put (out, &packed.base);
    weir_buf_fini (&signed_bytes);
}

static enum weir_status
read_body (struct weir_card *out, const Weir__CardBody *body)
{
    if (weir_field_get_id (&out->device, body->has_device, body->device) != WEIR_OK
        || weir_id_is_zero (&out->device) || body->n_link_keys > WEIR_CARD_KEYS_MAX
        || body->n_addresses > WEIR_CARD_ADDRESSES_MAX
        || weir_field_get_text (out->name, WEIR_NAME_BYTES_MAX, body->has_name, body->name)
               != WEIR_OK) {
        return WEIR_BAD_CARD;
    }
    out->counter = body->counter;
    for (size_t i = 0; i < body->n_link_keys; i++) {
        if (weir_field_get_id (&out->link_keys[out->n_link_keys++], true, body->link_keys[i])
            != WEIR_OK) {
            return WEIR_BAD_CARD;
        }
    }
    for (size_t i = 0; i < body->n_addresses; i++) {
        if (weir_field_get_text (out->addresses[out->n_addresses++], WEIR_ADDRESS_BYTES_MAX, true,
                                 body->addresses[i])
            != WEIR_OK) {
            return WEIR_BAD_CARD;
        }
    }
    return WEIR_OK;
}

enum weir_status
weir_card_get (struct weir_card *out, struct weir_bytes packed)
{
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    struct weir_card card;
    struct weir_signature signature;
    ProtobufCMessage *outer = NULL;
    ProtobufCMessage *inner = NULL;
    enum weir_status status = WEIR_BAD_CARD;
    memset (&card, 0, sizeof card);
    if (packed.len > WEIR_CARD_BYTES_MAX
        || weir_meta_unpack (&outer, arena, &weir__card__descriptor, packed) != WEIR_OK) {
        goto done;
    }
    const Weir__Card *m = (const Weir__Card *) outer;
    if (!m->has_signed_bytes || !m->has_signature || m->signature.len != sizeof signature.b
        || weir_meta_unpack (&inner, arena, &weir__card_body__descriptor,
                             weir_field (m->signed_bytes))
               != WEIR_OK
        || read_body (&card, (const Weir__CardBody *) inner) != WEIR_OK) {
        goto done;
    }
    memcpy (signature.b, m->signature.data, sizeof signature.b);
    if (weir_verify (&card.device, WEIR_SIGN_CARD, weir_field (m->signed_bytes), &signature)
        == WEIR_OK) {
        *out = card;
        status = WEIR_OK;
    }
done:
    weir_arena_destroy (&arena);
    return status;
}
