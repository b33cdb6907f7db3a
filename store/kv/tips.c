/* The tips file: written whole beside itself and renamed, checked by CRC when read. What is in it
 * is the repository's business. */

#include "store/kv/tips.h"

#include "store/kv/crc32c.h"
#include "store/kv/faults.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC "weirtip1"
#define MAGIC_BYTES 8u
#define HEAD_BYTES (MAGIC_BYTES + 8u + 4u) /* then u64 length, u32 CRC-32C of the content */
/* Far above what all databases of a node need: what is larger is not ours. */
#define CONTENT_BYTES_MAX (64u << 20)

struct weir_tips {
    char *path; /* NULL: in memory */
    char *new_path;
    bool saved;
    struct weir_buf content; /* in memory */
};

struct weir_tips *
weir_tips_memory_new (void)
{
    return weir_alloc (sizeof (struct weir_tips));
}

struct weir_tips *
weir_tips_file_new (const char *path)
{
    struct weir_tips *self = weir_tips_memory_new ();
    struct weir_buf name = { 0 };
    weir_buf_printf (&name, "%s.new", path);
    self->path = weir_strdup (path);
    self->new_path = weir_strdup (weir_buf_str (&name));
    weir_buf_fini (&name);
    return self;
}

void
weir_tips_destroy (struct weir_tips **self_p)
{
    struct weir_tips *self = *self_p;
    if (self != NULL) {
        weir_buf_fini (&self->content);
        free (self->new_path);
        free (self->path);
        free (self);
        *self_p = NULL;
    }
}

static enum weir_status
read_file (int fd, struct weir_buf *out)
{
    struct stat st;
    if (fstat (fd, &st) != 0 || !S_ISREG (st.st_mode)) {
        return WEIR_IO_ERROR;
    }
    if (st.st_size < (off_t) HEAD_BYTES || st.st_size > (off_t) (HEAD_BYTES + CONTENT_BYTES_MAX)) {
        return WEIR_CORRUPT;
    }
    size_t size = (size_t) st.st_size;
    weir_buf_reserve (out, size);
    while (out->len < size) {
        ssize_t got = read (fd, out->data + out->len, size - out->len);
        if (got < 0 && errno != EINTR) {
            return WEIR_IO_ERROR;
        }
        if (got == 0) {
            return WEIR_CORRUPT;
        }
        out->len += got > 0 ? (size_t) got : 0;
    }
    return WEIR_OK;
}

enum weir_status
weir_tips_load (struct weir_tips *self, struct weir_buf *out)
{
    if (self->path == NULL) {
        if (!self->saved) {
            return WEIR_NOT_FOUND;
        }
        weir_buf_put_bytes (out, weir_buf_bytes (&self->content));
        return WEIR_OK;
    }
    int fd = open (self->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? WEIR_NOT_FOUND : WEIR_IO_ERROR;
    }
    struct weir_buf file = { 0 };
    enum weir_status status = read_file (fd, &file);
    if (status == WEIR_OK) {
        struct weir_reader r = weir_reader (weir_buf_bytes (&file));
        struct weir_bytes magic = weir_read_bytes (&r, MAGIC_BYTES);
        uint64_t len = weir_read_u64 (&r);
        uint32_t crc = weir_read_u32 (&r);
        struct weir_bytes content = weir_bytes (file.data + HEAD_BYTES, file.len - HEAD_BYTES);
        if (weir_bytes_equal (magic, weir_bytes (MAGIC, MAGIC_BYTES)) && len == content.len
            && crc == weir_crc32c (0, content)) {
            weir_buf_put_bytes (out, content);
        } else {
            status = WEIR_CORRUPT;
        }
    }
    weir_buf_fini (&file);
    close (fd);
    return status;
}

static enum weir_status
write_file (const char *path, struct weir_bytes data)
{
    enum weir_status status = WEIR_OK;
    int fd = open (path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return weir_faults_errno (errno);
    }
    size_t pos = 0;
    while (status == WEIR_OK && pos < data.len) {
        ssize_t n = write (fd, data.data + pos, data.len - pos);
        if (n >= 0) {
            pos += (size_t) n;
        } else if (errno != EINTR) {
            status = weir_faults_errno (errno);
        }
    }
    if (close (fd) != 0 && status == WEIR_OK) {
        status = weir_faults_errno (errno);
    }
    return status;
}

enum weir_status
weir_tips_save (struct weir_tips *self, struct weir_bytes content)
{
    if (content.len > CONTENT_BYTES_MAX) {
        return WEIR_TOO_LARGE;
    }
    if (self->path == NULL) {
        weir_buf_clear (&self->content);
        weir_buf_put_bytes (&self->content, content);
        self->saved = true;
        return WEIR_OK;
    }
    struct weir_buf file = { 0 };
    weir_buf_put (&file, MAGIC, MAGIC_BYTES);
    weir_buf_put_u64 (&file, content.len);
    weir_buf_put_u32 (&file, weir_crc32c (0, content));
    weir_buf_put_bytes (&file, content);
    enum weir_status status = write_file (self->new_path, weir_buf_bytes (&file));
    if (status == WEIR_OK && rename (self->new_path, self->path) != 0) {
        status = weir_faults_errno (errno);
    }
    if (status != WEIR_OK) {
        (void) unlink (self->new_path); /* the old content stays */
    }
    weir_buf_fini (&file);
    return status;
}
