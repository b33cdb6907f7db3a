/* Cards and addresses: every byte is somebody's word until its signature was checked. */

#include "actors/peers/card.h"

#include <stdlib.h>
#include <string.h>

void
peers_card_destroy (struct peers_card **self_p)
{
    struct peers_card *self = *self_p;
    if (self == NULL) {
        return;
    }
    for (size_t i = 0; i < self->n_addresses; i++) {
        free (self->addresses[i]);
    }
    weir_buf_fini (&self->packed);
    free (self);
    *self_p = NULL;
}

static bool
read_body (struct peers_card *card, const Weir__CardBody *body)
{
    if (weir_field_get_id (&card->device, body->has_device, body->device) != WEIR_OK
        || weir_id_is_zero (&card->device) || body->n_link_keys > PEERS_CARD_KEYS_MAX
        || body->n_addresses > WEIR_CARD_ADDRESSES_MAX
        || weir_field_get_text (card->name, WEIR_NAME_BYTES_MAX, body->has_name, body->name)
               != WEIR_OK) {
        return false;
    }
    card->counter = body->counter;
    for (size_t i = 0; i < body->n_link_keys; i++) {
        if (weir_field_get_id (&card->keys[card->n_keys++], true, body->link_keys[i]) != WEIR_OK) {
            return false;
        }
    }
    for (size_t i = 0; i < body->n_addresses; i++) {
        char text[WEIR_ADDRESS_BYTES_MAX + 1];
        if (weir_field_get_text (text, WEIR_ADDRESS_BYTES_MAX, true, body->addresses[i])
            != WEIR_OK) {
            return false;
        }
        card->addresses[card->n_addresses++] = weir_strdup (text);
    }
    return true;
}

enum weir_status
peers_card_read (struct peers_card **out, const Weir__Card *m)
{
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    struct peers_card *card = weir_alloc (sizeof *card);
    struct weir_signature signature;
    ProtobufCMessage *body = NULL;
    enum weir_status status = WEIR_BAD_CARD;
    if (m == NULL || !m->has_signed_bytes || !m->has_signature
        || m->signature.len != sizeof signature.b || m->signed_bytes.len > WEIR_CARD_BYTES_MAX
        || weir_meta_unpack (&body, arena, &weir__card_body__descriptor,
                             weir_field (m->signed_bytes))
               != WEIR_OK
        || !read_body (card, (const Weir__CardBody *) body)) {
        goto done;
    }
    memcpy (signature.b, m->signature.data, sizeof signature.b);
    if (weir_verify (&card->device, WEIR_SIGN_CARD, weir_field (m->signed_bytes), &signature)
        != WEIR_OK) {
        goto done;
    }
    weir_meta_put (&card->packed, &m->base);
    *out = card;
    card = NULL;
    status = WEIR_OK;
done:
    peers_card_destroy (&card);
    weir_arena_destroy (&arena);
    return status;
}

enum weir_status
peers_card_read_bytes (struct peers_card **out, struct weir_bytes packed)
{
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    ProtobufCMessage *m = NULL;
    enum weir_status status = WEIR_BAD_CARD;
    if (weir_meta_unpack (&m, arena, &weir__card__descriptor, packed) == WEIR_OK) {
        status = peers_card_read (out, (const Weir__Card *) m);
    }
    weir_arena_destroy (&arena);
    return status;
}

Weir__Card *
peers_card_message (const struct peers_card *self, struct weir_arena *arena)
{
    ProtobufCMessage *m = NULL;
    if (weir_meta_unpack (&m, arena, &weir__card__descriptor, weir_buf_bytes (&self->packed))
        != WEIR_OK) {
        return NULL;
    }
    return (Weir__Card *) m;
}

/* ---- addresses ---- */

#define SCHEME "weir://"

static enum weir_status
bad (struct weir_error *e, const char *why)
{
    return weir_error_set (e, WEIR_BAD_ADDRESS,
                           "weir://DEVICE@host:port?k=LINKKEY, as printed by"
                           " weir peer self",
                           "this is not an address: %s", why);
}

enum weir_status
peers_address_parse (struct peers_address *out, const char *text, struct weir_error *e)
{
    struct peers_address a = { 0 };
    char device[WEIR_ID_TEXT + 1] = "";
    size_t len = strlen (text);
    if (len < strlen (SCHEME) || strncmp (text, SCHEME, strlen (SCHEME)) != 0) {
        return bad (e, "it does not begin with " SCHEME);
    }
    const char *at = text + strlen (SCHEME);
    const char *host = strchr (at, '@');
    const char *query = host != NULL ? strchr (host, '?') : NULL;
    if (host == NULL || (size_t) (host - at) != WEIR_ID_TEXT) {
        return bad (e, "the device's 52 characters must stand before the @");
    }
    memcpy (device, at, WEIR_ID_TEXT);
    if (weir_id_parse (&a.device, device) != WEIR_OK) {
        return bad (e, "the device's id is mistyped");
    }
    if (query == NULL || strncmp (query, "?k=", 3) != 0
        || weir_id_parse (&a.key, query + 3) != WEIR_OK) {
        return bad (e, "the link key (?k=) is missing or mistyped");
    }
    size_t n = (size_t) (query - host) - 1;
    const char *colon = memchr (host + 1, ':', n);
    if (n == 0 || n + 7 > WEIR_ADDRESS_BYTES_MAX || colon == NULL) {
        return bad (e, "host:port is missing");
    }
    memcpy (a.address, "tcp://", 6);
    memcpy (a.address + 6, host + 1, n);
    *out = a;
    return WEIR_OK;
}

void
peers_address_print (struct weir_buf *out, const struct weir_id *device, const char *address,
                     const struct weir_id *key)
{
    const char *host = strncmp (address, "tcp://", 6) == 0 ? address + 6 : address;
    weir_buf_printf (out, SCHEME "%s@%s?k=%s", weir_id_text (device).s, host, weir_id_text (key).s);
}
