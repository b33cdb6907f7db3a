/* Reads LevelDB's logs from outside, for damage that LevelDB passes over. Knows their format
 * (LevelDB's doc/log_format.md): blocks of 32 KiB; records of masked CRC-32C (4 bytes, little
 * endian, over type and data), length (2), type (1), data; no record crosses a block. leveldb.c
 * calls it before opening and before repair. */

#include "store/kv/logs.h"

#include "store/kv/crc32c.h"
#include "store/kv/faults.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK_BYTES 32768u
#define HEADER_BYTES 7u

static uint32_t
crc_of (const uint8_t *record)
{
    uint32_t masked = (uint32_t) record[0] | (uint32_t) record[1] << 8 | (uint32_t) record[2] << 16
                      | (uint32_t) record[3] << 24;
    uint32_t rotated = masked - 0xa282ead8u;
    return rotated >> 17 | rotated << 15;
}

/* Does the record fit its checksum with one of the lengths that differ in one byte? */
static bool
fits_another_length (const uint8_t *record, size_t left)
{
    uint32_t crc = crc_of (record);
    for (unsigned byte = 0; byte < 2; byte++) {
        for (unsigned value = 0; value < 256; value++) {
            size_t len =
                byte == 0 ? (size_t) record[5] << 8 | value : (size_t) value << 8 | record[4];
            if (HEADER_BYTES + len <= left
                && weir_crc32c (0, weir_bytes (record + 6, 1 + len)) == crc) {
                return true;
            }
        }
    }
    return false;
}

size_t
weir_logs_damage (struct weir_bytes block, bool last, bool lengths_only)
{
    size_t pos = 0;
    while (block.len - pos >= HEADER_BYTES) {
        const uint8_t *record = block.data + pos;
        size_t len = (size_t) record[4] | (size_t) record[5] << 8;
        if (HEADER_BYTES + len > block.len - pos) {
            bool torn = last && !fits_another_length (record, block.len - pos);
            return torn ? block.len : pos;
        }
        if (len == 0 && record[6] == 0) {
            return block.len; /* zeros: LevelDB skips the rest of the block */
        }
        if (!lengths_only && weir_crc32c (0, weir_bytes (record + 6, 1 + len)) != crc_of (record)) {
            return pos;
        }
        pos += HEADER_BYTES + len;
    }
    return block.len;
}

static bool
is_log (const char *name)
{
    const char *dot = strrchr (name, '.');
    return dot != NULL && strcmp (dot, ".log") == 0;
}

static bool
last_length_is_damaged (int dir_fd, const char *name)
{
    uint8_t block[BLOCK_BYTES];
    bool damaged = false;
    struct stat st;
    int fd = openat (dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0 && fstat (fd, &st) == 0) {
        /* A last block that is full is no end for LevelDB: it reports a bad length there. */
        size_t want = (size_t) (st.st_size % BLOCK_BYTES);
        ssize_t got = pread (fd, block, want, st.st_size - (off_t) want);
        struct weir_bytes bytes = weir_bytes (block, got > 0 ? (size_t) got : 0);
        damaged = weir_logs_damage (bytes, true, true) < bytes.len;
    }
    if (fd >= 0) {
        close (fd);
    }
    return damaged;
}

enum weir_status
weir_logs_check (const char *path, struct weir_error *e)
{
    enum weir_status status = WEIR_OK;
    DIR *dir = opendir (path);
    if (dir == NULL) {
        return WEIR_OK;
    }
    for (struct dirent *d = readdir (dir); d != NULL && status == WEIR_OK; d = readdir (dir)) {
        bool log = is_log (d->d_name) || strncmp (d->d_name, "MANIFEST-", 9) == 0;
        if (log && last_length_is_damaged (dirfd (dir), d->d_name)) {
            status = weir_error_set (e, WEIR_CORRUPT, NULL,
                                     "the length of a record in %s/%s is damaged", path, d->d_name);
        }
    }
    closedir (dir);
    return status;
}

/* 0, or -1 and errno. */
static int
mend_file (int dir_fd, const char *name)
{
    static const uint8_t zeros[BLOCK_BYTES];
    uint8_t block[BLOCK_BYTES];
    bool wiped = false;
    ssize_t got = 0;
    off_t at = 0;
    int fd = openat (dir_fd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return -1;
    }
    for (; (got = pread (fd, block, sizeof block, at)) > 0; at += got) {
        size_t len = (size_t) got;
        size_t pos = weir_logs_damage (weir_bytes (block, len), len < BLOCK_BYTES, false);
        if (pos < len) {
            wiped = true;
            if (pwrite (fd, zeros, len - pos, at + (off_t) pos) != (ssize_t) (len - pos)) {
                got = -1;
                break;
            }
        }
    }
    if (got == 0 && wiped && fsync (fd) != 0) {
        got = -1;
    }
    int number = errno;
    close (fd);
    errno = number;
    return got < 0 ? -1 : 0;
}

enum weir_status
weir_logs_mend (const char *path, struct weir_error *e)
{
    enum weir_status status = WEIR_OK;
    DIR *dir = opendir (path);
    if (dir == NULL) {
        return weir_error_set (e, weir_faults_errno (errno), NULL,
                               "cannot read the directory %s: %s", path, strerror (errno));
    }
    for (struct dirent *d = readdir (dir); d != NULL && status == WEIR_OK; d = readdir (dir)) {
        if (is_log (d->d_name) && mend_file (dirfd (dir), d->d_name) != 0) {
            status = weir_error_set (e, weir_faults_errno (errno), NULL, "cannot mend %s/%s: %s",
                                     path, d->d_name, strerror (errno));
        }
    }
    closedir (dir);
    return status;
}
