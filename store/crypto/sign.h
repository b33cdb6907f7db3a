#ifndef WEIR_STORE_CRYPTO_SIGN_H
#define WEIR_STORE_CRYPTO_SIGN_H

/* Ed25519 (libsodium, detached) over "tag || message"; the tag names the use, so a signature
 * for one use is worth nothing for another. */

#include "store/base/id.h"

#define WEIR_SIGNATURE_BYTES 64

enum weir_sign_use {
    WEIR_SIGN_ENTRY,  /* "weir-sign-entry": the id of a run's last entry */
    WEIR_SIGN_PROOF,  /* "weir-sign-proof": a session's handshake */
    WEIR_SIGN_CARD,   /* "weir-sign-card" */
    WEIR_SIGN_TICKET, /* "weir-sign-ticket" */
    WEIR_SIGN_EXPORT, /* "weir-sign-export": the hash of a shallow export's root */
    WEIR_SIGN_USE_COUNT
};

struct weir_signature {
    uint8_t b[WEIR_SIGNATURE_BYTES];
};

/* A device's key pair. The secret half never leaves the store process; wipe with _fini. */
struct weir_identity {
    struct weir_id device; /* public key */
    uint8_t secret[64];
};

/* From a 32-byte seed (random for a new device; fixed in tests). */
void weir_identity_init (struct weir_identity *k, const uint8_t seed[32]);
void weir_identity_fini (struct weir_identity *k);
void weir_sign (struct weir_signature *out, const struct weir_identity *k, enum weir_sign_use use,
                struct weir_bytes message);
/* WEIR_OK or WEIR_BAD_SIGNATURE. Small-order and non-canonical keys are refused. */
WEIR_MUST enum weir_status weir_verify (const struct weir_id *device, enum weir_sign_use use,
                                        struct weir_bytes message,
                                        const struct weir_signature *signature);

/* Must be called once before anything of store/crypto; aborts when libsodium cannot start. */
void weir_crypto_init (void);
void weir_random (void *out, size_t len); /* from the system; never called by pure code */
void weir_wipe (void *p, size_t len);

/* CURVE (ZeroMQ) key pairs are Curve25519; raw 32 bytes each. */
struct weir_link_key {
    struct weir_id public_key;
    uint8_t secret[32];
};
void weir_link_key_make (struct weir_link_key *out);
/* The public half of a secret half. */
void weir_link_key_public (struct weir_id *out, const uint8_t secret[32]);

#endif
