/* Keys, signatures, and what else is asked of libsodium. The secret halves pass through here and
 * through keyfile.c only. libsodium's verify refuses small-order and non-canonical keys, and
 * non-canonical signatures, by itself; tests/store/crypto holds it to that. */

#include "store/crypto/sign.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* Messages up to this are put together on the stack: all of ours but cards and tickets. */
#define SHORT_BYTES 256

/* None is the beginning of another, so that tag || message is never ambiguous. */
static const char *const tags[WEIR_SIGN_USE_COUNT] = {
    [WEIR_SIGN_ENTRY] = "weir-sign-entry",   [WEIR_SIGN_PROOF] = "weir-sign-proof",
    [WEIR_SIGN_CARD] = "weir-sign-card",     [WEIR_SIGN_TICKET] = "weir-sign-ticket",
    [WEIR_SIGN_EXPORT] = "weir-sign-export",
};

void
weir_crypto_init (void)
{
    if (sodium_init () < 0) {
        weir_bug (__FILE__, __LINE__, "libsodium cannot start");
    }
}

void
weir_random (void *out, size_t len)
{
    randombytes_buf (out, len);
}

void
weir_wipe (void *p, size_t len)
{
    sodium_memzero (p, len);
}

void
weir_identity_init (struct weir_identity *k, const uint8_t seed[32])
{
    (void) crypto_sign_ed25519_seed_keypair (k->device.b, k->secret, seed);
}

void
weir_identity_fini (struct weir_identity *k)
{
    weir_wipe (k, sizeof *k);
}

/* tag || message, in `small` when it fits, else on the heap (the caller frees what is not
 * `small`). */
static uint8_t *
tagged (uint8_t small[SHORT_BYTES], size_t *len, enum weir_sign_use use, struct weir_bytes message)
{
    size_t tag_len = strlen (tags[use]);
    *len = tag_len + message.len;
    uint8_t *p = *len <= SHORT_BYTES ? small : weir_realloc (NULL, *len);
    memcpy (p, tags[use], tag_len);
    if (message.len > 0) {
        memcpy (p + tag_len, message.data, message.len);
    }
    return p;
}

void
weir_sign (struct weir_signature *out, const struct weir_identity *k, enum weir_sign_use use,
           struct weir_bytes message)
{
    uint8_t small[SHORT_BYTES];
    size_t len = 0;
    uint8_t *text = tagged (small, &len, use, message);
    (void) crypto_sign_ed25519_detached (out->b, NULL, text, len, k->secret);
    if (text != small) {
        free (text);
    }
}

enum weir_status
weir_verify (const struct weir_id *device, enum weir_sign_use use, struct weir_bytes message,
             const struct weir_signature *signature)
{
    uint8_t small[SHORT_BYTES];
    size_t len = 0;
    uint8_t *text = tagged (small, &len, use, message);
    int failed = crypto_sign_ed25519_verify_detached (signature->b, text, len, device->b);
    if (text != small) {
        free (text);
    }
    return failed == 0 ? WEIR_OK : WEIR_BAD_SIGNATURE;
}

void
weir_link_key_make (struct weir_link_key *out)
{
    weir_random (out->secret, sizeof out->secret);
    weir_link_key_public (&out->public_key, out->secret);
}

void
weir_link_key_public (struct weir_id *out, const uint8_t secret[32])
{
    (void) crypto_scalarmult_curve25519_base (out->b, secret);
}
