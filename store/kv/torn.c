/* Tells a log whose writer died from a log whose length byte was flipped. Knows LevelDB's log
 * format (its doc/log_format.md): blocks of 32 KiB; records of masked CRC-32C (4 bytes, little
 * endian, over type and data), length (2), type (1), data. leveldb.c calls it before opening. */

#include "store/kv/torn.h"

#include "store/kv/crc32c.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK_BYTES 32768u
#define HEADER_BYTES 7u

static uint32_t
unmask (const uint8_t *p)
{
    uint32_t masked = (uint32_t) p[0] | (uint32_t) p[1] << 8 | (uint32_t) p[2] << 16
                      | (uint32_t) p[3] << 24;
    uint32_t rotated = masked - 0xa282ead8u;
    return rotated >> 17 | rotated << 15;
}

/* Does the record fit its checksum with one of the lengths that differ in one byte? */
static bool
fits_another_length (const uint8_t *record, size_t left)
{
    uint32_t crc = unmask (record);
    for (unsigned byte = 0; byte < 2; byte++) {
        for (unsigned value = 0; value < 256; value++) {
            size_t len = byte == 0 ? (size_t) record[5] << 8 | value
                                   : (size_t) value << 8 | record[4];
            if (HEADER_BYTES + len <= left
                && weir_crc32c (0, weir_bytes (record + 6, 1 + len)) == crc) {
                return true;
            }
        }
    }
    return false;
}

bool
weir_torn_is_damaged (struct weir_bytes block)
{
    size_t pos = 0;
    while (block.len - pos >= HEADER_BYTES) {
        const uint8_t *record = block.data + pos;
        size_t len = (size_t) record[4] | (size_t) record[5] << 8;
        if (HEADER_BYTES + len > block.len - pos) {
            return fits_another_length (record, block.len - pos);
        }
        pos += HEADER_BYTES + len;
    }
    return false;
}

static bool
is_log (const char *name)
{
    size_t len = strlen (name);
    return strncmp (name, "MANIFEST-", 9) == 0
           || (len > 4 && strcmp (name + len - 4, ".log") == 0);
}

static bool
file_is_damaged (int dir_fd, const char *name)
{
    uint8_t block[BLOCK_BYTES];
    bool damaged = false;
    struct stat st;
    int fd = openat (dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0 && fstat (fd, &st) == 0) {
        /* A last block that is full is no end for LevelDB: it reports a bad length there. */
        size_t want = (size_t) (st.st_size % BLOCK_BYTES);
        ssize_t got = pread (fd, block, want, st.st_size - (off_t) want);
        damaged = got > 0 && weir_torn_is_damaged (weir_bytes (block, (size_t) got));
    }
    if (fd >= 0) {
        close (fd);
    }
    return damaged;
}

enum weir_status
weir_torn_check (const char *path, struct weir_error *e)
{
    enum weir_status status = WEIR_OK;
    DIR *dir = opendir (path);
    if (dir == NULL) {
        return WEIR_OK;
    }
    for (struct dirent *d = readdir (dir); d != NULL && status == WEIR_OK; d = readdir (dir)) {
        if (is_log (d->d_name) && file_is_damaged (dirfd (dir), d->d_name)) {
            status = weir_error_set (e, WEIR_CORRUPT, NULL,
                                     "the length of a record in %s/%s is damaged", path,
                                     d->d_name);
        }
    }
    closedir (dir);
    return status;
}
