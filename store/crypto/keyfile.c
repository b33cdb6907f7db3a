/* The identity file: three lines of text.
 *
 *     weir-identity-v1
 *     device BASE32                the public key, so that a damaged seed is seen
 *     seed BASE32                  or: sealed BASE32 of salt, nonce, box
 *
 * It is written whole beside its place and moved there, so that there is always one good file.
 * Everything that held the seed is wiped before it is given back. */

#include "store/crypto/keyfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FORMAT "weir-identity-v1"
#define FILE_BYTES_MAX 1024u
#define SEED_BYTES 32u
#define SALT_BYTES crypto_pwhash_argon2id_SALTBYTES
#define NONCE_BYTES crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define BOX_BYTES (SEED_BYTES + crypto_aead_xchacha20poly1305_ietf_ABYTES)

/* What "sealed" holds, in this order. */
struct sealed {
    uint8_t salt[SALT_BYTES];
    uint8_t nonce[NONCE_BYTES];
    uint8_t box[BOX_BYTES];
};

_Static_assert(sizeof (struct sealed) == SALT_BYTES + NONCE_BYTES + BOX_BYTES, "no padding");

/* ---- sealing ---- */

static enum weir_status
key_of (uint8_t key[crypto_aead_xchacha20poly1305_ietf_KEYBYTES], const char *passphrase,
        const uint8_t salt[SALT_BYTES], struct weir_error *e)
{
    int failed = crypto_pwhash_argon2id (
        key, crypto_aead_xchacha20poly1305_ietf_KEYBYTES, passphrase, strlen (passphrase), salt,
        crypto_pwhash_argon2id_OPSLIMIT_MODERATE, crypto_pwhash_argon2id_MEMLIMIT_MODERATE,
        crypto_pwhash_argon2id_ALG_ARGON2ID13);
    return failed == 0 ? WEIR_OK
                       : weir_error_set (e, WEIR_FAILED, "it takes 256 MB for a moment",
                                         "not enough memory to work on the passphrase");
}

static enum weir_status
seal (struct sealed *out, const struct weir_identity *k, const char *passphrase,
      struct weir_error *e)
{
    uint8_t key[crypto_aead_xchacha20poly1305_ietf_KEYBYTES];
    weir_random (out->salt, sizeof out->salt);
    weir_random (out->nonce, sizeof out->nonce);
    enum weir_status status = key_of (key, passphrase, out->salt, e);
    if (status == WEIR_OK) {
        /* The seed is the first half of libsodium's secret key. */
        (void) crypto_aead_xchacha20poly1305_ietf_encrypt (out->box, NULL, k->secret, SEED_BYTES,
                                                           k->device.b, WEIR_ID_BYTES, NULL,
                                                           out->nonce, key);
    }
    weir_wipe (key, sizeof key);
    return status;
}

static enum weir_status
unseal (uint8_t seed[SEED_BYTES], const struct sealed *sealed, const struct weir_id *device,
        const char *path, const char *passphrase, struct weir_error *e)
{
    if (passphrase == NULL) {
        return weir_error_set (e, WEIR_BAD_PASSPHRASE, "set passphrase_file",
                               "the key file %s is sealed with a passphrase", path);
    }
    uint8_t key[crypto_aead_xchacha20poly1305_ietf_KEYBYTES];
    enum weir_status status = key_of (key, passphrase, sealed->salt, e);
    if (status == WEIR_OK
        && crypto_aead_xchacha20poly1305_ietf_decrypt (seed, NULL, NULL, sealed->box, BOX_BYTES,
                                                       device->b, WEIR_ID_BYTES, sealed->nonce, key)
               != 0) {
        status = weir_error_set (e, WEIR_BAD_PASSPHRASE, NULL,
                                 "the passphrase does not open the key file %s", path);
    }
    weir_wipe (key, sizeof key);
    return status;
}

/* ---- writing ---- */

static void
put_line (struct weir_buf *out, const char *name, const void *data, size_t len)
{
    weir_buf_put_bytes (out, weir_bytes_str (name));
    weir_buf_put_u8 (out, ' ');
    weir_base32_put (out, weir_bytes (data, len));
    weir_buf_put_u8 (out, '\n');
}

static enum weir_status
put_file (struct weir_buf *out, const struct weir_identity *k, const char *passphrase,
          struct weir_error *e)
{
    struct sealed sealed;
    /* At once, so that no copy of the seed stays behind in memory that was outgrown. */
    weir_buf_reserve (out, FILE_BYTES_MAX);
    weir_buf_put_bytes (out, weir_bytes_str (FORMAT "\n"));
    put_line (out, "device", k->device.b, WEIR_ID_BYTES);
    if (passphrase == NULL) {
        put_line (out, "seed", k->secret, SEED_BYTES);
        return WEIR_OK;
    }
    enum weir_status status = seal (&sealed, k, passphrase, e);
    if (status == WEIR_OK) {
        put_line (out, "sealed", &sealed, sizeof sealed);
    }
    return status;
}

static enum weir_status
cannot_write (const char *path, int why, struct weir_error *e)
{
    enum weir_status status = why == EEXIST                    ? WEIR_EXISTS
                              : why == ENOSPC || why == EDQUOT ? WEIR_DISK_FULL
                              : why == EACCES || why == EROFS  ? WEIR_READ_ONLY
                                                               : WEIR_CANNOT_CREATE;
    return weir_error_set (e, status, NULL, "cannot write the key file %s: %s", path,
                           strerror (why));
}

static int
write_all (int fd, struct weir_bytes data)
{
    while (data.len > 0) {
        ssize_t n = write (fd, data.data, data.len);
        if (n < 0 && errno != EINTR) {
            return -1;
        }
        if (n > 0) {
            data.data += n;
            data.len -= (size_t) n;
        }
    }
    return fsync (fd);
}

/* The name is durable only once its directory is. */
static int
sync_directory (const char *path)
{
    const char *slash = strrchr (path, '/');
    char *dir = weir_strdup (".");
    if (slash != NULL) {
        free (dir);
        dir = weir_strndup (path, (size_t) (slash - path) + 1);
    }
    int fd = open (dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free (dir);
    int failed = fd < 0 ? -1 : fsync (fd);
    if (fd >= 0) {
        close (fd);
    }
    return failed;
}

static enum weir_status
write_file (const char *path, struct weir_bytes data, bool replace, struct weir_error *e)
{
    struct weir_buf beside = { 0 };
    weir_buf_printf (&beside, "%s.XXXXXX", path);
    char *temporary = weir_strdup (weir_buf_str (&beside));
    weir_buf_fini (&beside);
    enum weir_status status = WEIR_OK;
    int fd = mkostemp (temporary, O_CLOEXEC); /* mode 0600 */
    if (fd < 0) {
        status = cannot_write (path, errno, e);
        goto done;
    }
    /* link refuses an existing name, which rename would replace. */
    if (write_all (fd, data) != 0
        || (replace ? rename (temporary, path) : link (temporary, path)) != 0
        || sync_directory (path) != 0) {
        status = cannot_write (path, errno, e);
    }
    (void) unlink (temporary); /* gone already after a rename */
    close (fd);

done:
    free (temporary);
    return status;
}

static enum weir_status
save (const char *path, const struct weir_identity *k, const char *passphrase, bool replace,
      struct weir_error *e)
{
    struct weir_buf text = { 0 };
    enum weir_status status = put_file (&text, k, passphrase, e);
    if (status == WEIR_OK) {
        status = write_file (path, weir_buf_bytes (&text), replace, e);
    }
    weir_wipe (text.data, text.cap);
    weir_buf_fini (&text);
    return status;
}

enum weir_status
weir_keyfile_create (const char *path, const struct weir_identity *k, const char *passphrase,
                     struct weir_error *e)
{
    /* Asked first only to spare the work on a passphrase; link decides. */
    if (access (path, F_OK) == 0) {
        return cannot_write (path, EEXIST, e);
    }
    return save (path, k, passphrase, false, e);
}

enum weir_status
weir_keyfile_protect (const char *path, const char *old_passphrase, const char *passphrase,
                      struct weir_error *e)
{
    struct weir_identity k;
    enum weir_status status = weir_keyfile_load (path, old_passphrase, &k, e);
    if (status == WEIR_OK) {
        status = save (path, &k, passphrase, true, e);
        weir_identity_fini (&k);
    }
    return status;
}

/* ---- reading ---- */

static enum weir_status
bad_file (const char *path, const char *why, const char *hint, struct weir_error *e)
{
    return weir_error_set (e, WEIR_BAD_CONFIG, hint, "the key file %s %s", path, why);
}

/* Who else could read or change it? Its owner may be root (secrets of a container are). */
static enum weir_status
check_access (int fd, const char *path, struct weir_error *e)
{
    struct stat st;
    if (fstat (fd, &st) != 0 || !S_ISREG (st.st_mode)) {
        return bad_file (path, "is not a file", "", e);
    }
    if ((st.st_mode & 077) != 0) {
        return bad_file (path, "can be read by others", "chmod 600, and think about a new key", e);
    }
    if (st.st_uid != geteuid () && st.st_uid != 0 && geteuid () != 0) {
        return bad_file (path, "belongs to another user", "run weir as its owner", e);
    }
    return WEIR_OK;
}

/* Appends the whole file to *out; more than FILE_BYTES_MAX is not ours. */
static enum weir_status
read_file (struct weir_buf *out, const char *path, struct weir_error *e)
{
    enum weir_status status = WEIR_OK;
    int fd = open (path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        return weir_error_set (e, errno == ENOENT ? WEIR_NOT_FOUND : WEIR_IO_ERROR,
                               errno == ENOENT ? "weir init" : NULL,
                               "cannot read the key file %s: %s", path, strerror (errno));
    }
    status = check_access (fd, path, e);
    weir_buf_reserve (out, FILE_BYTES_MAX + 1);
    while (status == WEIR_OK && out->len <= FILE_BYTES_MAX) {
        ssize_t n = read (fd, out->data + out->len, FILE_BYTES_MAX + 1 - out->len);
        if (n == 0) {
            break;
        }
        if (n > 0) {
            out->len += (size_t) n;
        } else if (errno != EINTR) {
            status = weir_error_set (e, WEIR_IO_ERROR, NULL, "cannot read the key file %s: %s",
                                     path, strerror (errno));
        }
    }
    close (fd);
    return status;
}

/* Takes the line "name VALUE" off *rest and decodes its value of exactly `len` bytes. */
static bool
take_line (struct weir_bytes *rest, const char *name, void *out, size_t len)
{
    struct weir_buf value = { 0 };
    size_t skip = strlen (name) + 1;
    bool good = false;
    const uint8_t *end = rest->len == 0 ? NULL : memchr (rest->data, '\n', rest->len);
    if (end == NULL || (size_t) (end - rest->data) < skip
        || memcmp (rest->data, name, skip - 1) != 0 || rest->data[skip - 1] != ' ') {
        return false;
    }
    size_t line = (size_t) (end - rest->data);
    weir_buf_reserve (&value, FILE_BYTES_MAX);
    if (weir_base32_get (&value, weir_bytes (rest->data + skip, line - skip)) == WEIR_OK
        && value.len == len) {
        memcpy (out, value.data, len);
        *rest = weir_bytes (end + 1, rest->len - line - 1);
        good = true;
    }
    weir_wipe (value.data, value.cap);
    weir_buf_fini (&value);
    return good;
}

static enum weir_status
parse_file (struct weir_identity *out, struct weir_bytes rest, const char *path,
            const char *passphrase, struct weir_error *e)
{
    static const char format[] = FORMAT "\n";
    struct sealed sealed;
    struct weir_identity k;
    struct weir_id device;
    uint8_t seed[SEED_BYTES];
    enum weir_status status = WEIR_OK;
    if (rest.len < sizeof format - 1 || memcmp (rest.data, format, sizeof format - 1) != 0) {
        return bad_file (path, "is not one of weir's", "", e);
    }
    rest = weir_bytes (rest.data + sizeof format - 1, rest.len - (sizeof format - 1));
    bool good = take_line (&rest, "device", device.b, WEIR_ID_BYTES);
    bool plain = good && take_line (&rest, "seed", seed, SEED_BYTES);
    good = plain || (good && take_line (&rest, "sealed", &sealed, sizeof sealed));
    if (!good || rest.len > 0) {
        status = bad_file (path, "is damaged", "bring it back from a copy", e);
        goto done;
    }
    if (!plain) {
        status = unseal (seed, &sealed, &device, path, passphrase, e);
    }
    if (status != WEIR_OK) {
        goto done;
    }
    weir_identity_init (&k, seed);
    if (weir_id_equal (&k.device, &device)) {
        *out = k;
    } else {
        status = bad_file (path, "is damaged: its key is of another device",
                           "bring it back from a copy", e);
    }
    weir_identity_fini (&k);

done:
    weir_wipe (seed, sizeof seed);
    return status;
}

enum weir_status
weir_keyfile_load (const char *path, const char *passphrase, struct weir_identity *out,
                   struct weir_error *e)
{
    struct weir_buf text = { 0 };
    enum weir_status status = read_file (&text, path, e);
    if (status == WEIR_OK) {
        status = parse_file (out, weir_buf_bytes (&text), path, passphrase, e);
    }
    if (text.data != NULL) {
        weir_wipe (text.data, text.cap);
    }
    weir_buf_fini (&text);
    return status;
}
