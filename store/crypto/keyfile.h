#ifndef WEIR_STORE_CRYPTO_KEYFILE_H
#define WEIR_STORE_CRYPTO_KEYFILE_H

/* The identity file: one text file, mode 0600, written whole (temporary file, fsync, rename).
 * Format "weir-identity-v1", the seed in base32, plain or sealed with a passphrase
 * (Argon2id moderate, XChaCha20-Poly1305). A file others can read is refused. */

#include "store/crypto/sign.h"

/* WEIR_EXISTS when the file is there: keys are never overwritten by this. `passphrase` may be
 * NULL (plain). */
WEIR_MUST enum weir_status weir_keyfile_create (const char *path, const struct weir_identity *k,
                                                const char *passphrase, struct weir_error *e);
/* Replaces the file with the same key under another (or no) passphrase. */
WEIR_MUST enum weir_status weir_keyfile_protect (const char *path, const char *old_passphrase,
                                                 const char *passphrase, struct weir_error *e);
/* WEIR_BAD_PASSPHRASE when sealed and `passphrase` is NULL or wrong; WEIR_BAD_CONFIG for a file
 * that is not ours or readable by others; WEIR_NOT_FOUND. */
WEIR_MUST enum weir_status weir_keyfile_load (const char *path, const char *passphrase,
                                              struct weir_identity *out, struct weir_error *e);

#endif
