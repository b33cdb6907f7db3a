/* weir doc blob put, get: content too large for an entry, as a stream. A put sends what is not
 * there yet, and names it by one commit when all of it is on the node's disk: whatever interrupts
 * it, the same put goes on where it was. A get writes what the node has, and waits for the rest
 * when it was given a --timeout. */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bins/cli/cli.h"
#include "store/dag/blob.h"

#define STEP_TIMEOUT_MS 60000u /* one part, on a slow disk */

/* Blocks until `max` bytes or the end. */
static enum weir_status
read_some (const char *file, int fd, uint8_t *out, size_t max, size_t *len, struct weir_error *e)
{
    *len = 0;
    while (*len < max) {
        ssize_t n = read (fd, out + *len, max - *len);
        if (n == 0) {
            break;
        }
        if (n < 0 && errno != EINTR) {
            return weir_error_set (e, WEIR_IO_ERROR, NULL, "cannot read %s: %s", file,
                                   strerror (errno));
        }
        *len += n > 0 ? (size_t) n : 0;
    }
    return WEIR_OK;
}

/* ---- put ---- */

struct put {
    struct cli *c;
    const char *file;
    struct weir_buf manifest; /* ids, behind its head */
    uint64_t bytes;
    uint64_t sent;
};

/* Asks whether a blob can be set there, before any of it is sent. */
static int
put_may (struct put *p)
{
    Weir__BlobPart ask = WEIR__BLOB_PART__INIT;
    struct cli_reply reply;
    ask.has_db = ask.has_ids = ask.has_path = true;
    ask.db = weir_field_str (p->c->args[1]);
    ask.path = weir_field_str (p->c->args[2]);
    int code = cli_call (p->c, WEIR_KIND_BLOB_PART, &ask.base, weir_bytes (NULL, 0), &reply);
    if (code == 0) {
        cli_reply_fini (&reply);
    }
    return code;
}

/* Asks which chunks of a part are there; sends the part unless all are. */
static int
put_part (struct put *p, struct weir_bytes part)
{
    Weir__BlobPart ask = WEIR__BLOB_PART__INIT;
    struct cli_reply reply;
    struct weir_buf ids = { 0 };
    bool all = false;
    for (size_t at = 0; at < part.len; at += WEIR_CHUNK_BYTES) {
        size_t len = part.len - at < WEIR_CHUNK_BYTES ? part.len - at : WEIR_CHUNK_BYTES;
        struct weir_id id = weir_chunk_id (weir_bytes (part.data + at, len));
        weir_buf_put_bytes (&ids, weir_id_bytes (&id));
    }
    ask.has_db = ask.has_ids = true;
    ask.db = weir_field_str (p->c->args[1]);
    ask.ids = weir_field_of (weir_buf_bytes (&ids));
    int code = cli_call (p->c, WEIR_KIND_BLOB_PART, &ask.base, weir_bytes (NULL, 0), &reply);
    if (code == 0) {
        const Weir__BlobParted *m = (const Weir__BlobParted *) reply.answer.meta;
        all =
            m->held.len * WEIR_ID_BYTES == ids.len && memchr (m->held.data, 0, m->held.len) == NULL;
        cli_reply_fini (&reply);
    }
    if (code == 0 && !all) {
        ask.has_ids = false;
        code = cli_call (p->c, WEIR_KIND_BLOB_PART, &ask.base, part, &reply);
        if (code == 0) {
            p->sent += part.len;
            cli_reply_fini (&reply);
        }
    }
    weir_buf_put_bytes (&p->manifest, weir_buf_bytes (&ids));
    p->bytes += part.len;
    weir_buf_fini (&ids);
    return code;
}

static int
put_all (struct put *p, int fd)
{
    struct weir_error e = { 0 };
    uint8_t *part = weir_alloc (WEIR_BLOB_PART_BYTES);
    size_t len = WEIR_BLOB_PART_BYTES;
    int code = 0;
    while (code == 0 && len == WEIR_BLOB_PART_BYTES) {
        enum weir_status status = read_some (p->file, fd, part, WEIR_BLOB_PART_BYTES, &len, &e);
        if (status == WEIR_OK && p->bytes + len > WEIR_BLOB_BYTES_MAX) {
            status = weir_error_set (&e, WEIR_TOO_LARGE, "put it in several",
                                     "a blob is at most %u MiB", WEIR_BLOB_BYTES_MAX >> 20);
        }
        if (status != WEIR_OK) {
            code = cli_fail (p->c, &e);
        } else if (len > 0) {
            code = put_part (p, weir_bytes (part, len));
        }
    }
    free (part);
    return code;
}

/* All chunks are there: the manifest, then the entry that names it. */
static int
put_name (struct put *p)
{
    struct cli *c = p->c;
    struct cli_reply reply;
    Weir__BlobPut ask = WEIR__BLOB_PUT__INIT;
    Weir__DocWrite write = WEIR__DOC_WRITE__INIT;
    struct weir_buf manifest = { 0 };
    struct weir_buf value = { 0 };
    const char *text = cli_option (c, "message");
    weir_manifest_begin (&manifest, p->bytes);
    weir_buf_put_bytes (&manifest, weir_buf_bytes (&p->manifest));
    struct weir_id blob = weir_blob_id (weir_buf_bytes (&manifest));
    ask.has_db = true;
    ask.db = weir_field_str (c->args[1]);
    int code = cli_call (c, WEIR_KIND_BLOB_PUT, &ask.base, weir_buf_bytes (&manifest), &reply);
    if (code == 0) {
        cli_reply_fini (&reply);
        weir_buf_printf (&value, "{\"$blob\":\"%s\",\"bytes\":%llu}", weir_id_text (&blob).s,
                         (unsigned long long) p->bytes);
        write.has_db = write.has_path = write.has_client = write.has_number = true;
        write.db = weir_field_str (c->args[1]);
        write.path = weir_field_str (c->args[2]);
        write.has_message = text != NULL;
        write.message = weir_field_str (text);
        write.client = weir_field_of (weir_client_id (c->client));
        write.number = weir_client_number (c->client);
        code = cli_call (c, WEIR_KIND_DOC_SET, &write.base, weir_buf_bytes (&value), &reply);
    }
    if (code == 0) {
        const Weir__EntryId *m = (const Weir__EntryId *) reply.answer.meta;
        if (c->json) {
            cli_json (json_pack ("{s:s, s:o, s:o, s:o, s:b}", "blob", weir_id_text (&blob).s,
                                 "bytes", cli_u64 (p->bytes), "sent", cli_u64 (p->sent), "entry",
                                 cli_id (m->has_id, m->id), "changed", !m->unchanged));
        } else if (!c->quiet) {
            puts (weir_id_text (&blob).s);
        }
        cli_reply_fini (&reply);
    }
    weir_buf_fini (&manifest);
    weir_buf_fini (&value);
    return code;
}

static int
put (struct cli *c)
{
    const char *file = c->n_args > 3 ? c->args[3] : "-";
    bool is_stdin = strcmp (file, "-") == 0;
    struct put p = { .c = c, .file = is_stdin ? "standard input" : file };
    int fd = is_stdin ? STDIN_FILENO : open (file, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        struct weir_error e = { 0 };
        (void) weir_error_set (&e, errno == ENOENT ? WEIR_NOT_FOUND : WEIR_IO_ERROR, NULL,
                               "cannot read %s: %s", file, strerror (errno));
        return cli_fail (c, &e);
    }
    c->timeout_ms = c->timeout_ms < STEP_TIMEOUT_MS ? STEP_TIMEOUT_MS : c->timeout_ms;
    int code = put_may (&p);
    if (code == 0) {
        code = put_all (&p, fd);
    }
    if (code == 0) {
        code = put_name (&p);
    }
    if (fd != STDIN_FILENO) {
        close (fd);
    }
    weir_buf_fini (&p.manifest);
    return code;
}

/* ---- get ---- */

static enum weir_status
write_all (int fd, struct weir_bytes bytes, struct weir_error *e)
{
    size_t at = 0;
    while (at < bytes.len) {
        ssize_t n = write (fd, bytes.data + at, bytes.len - at);
        if (n < 0 && errno != EINTR) {
            return weir_error_set (e, WEIR_IO_ERROR, NULL, "cannot write: %s", strerror (errno));
        }
        at += n > 0 ? (size_t) n : 0;
    }
    return WEIR_OK;
}

/* A file is opened once there is something for it: what it held outlives a get that fails. */
static enum weir_status
write_part (const char *file, int *fd, struct weir_bytes bytes, struct weir_error *e)
{
    if (*fd < 0) {
        *fd = open (file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    }
    return *fd >= 0 ? write_all (*fd, bytes, e)
                    : weir_error_set (e, WEIR_CANNOT_CREATE, NULL, "cannot write %s: %s", file,
                                      strerror (errno));
}

/* From `offset` up to `length` bytes, in parts. */
static int
get_all (struct cli *c, const char *file, int *fd, uint64_t offset, uint64_t length)
{
    Weir__BlobGet ask = WEIR__BLOB_GET__INIT;
    struct weir_error e = { 0 };
    uint8_t blob[WEIR_ID_BYTES];
    uint64_t total = UINT64_MAX;
    uint64_t left = length;
    const char *at = cli_option (c, "at");
    int code = 0;
    ask.has_db = ask.has_path = ask.has_offset = ask.has_bytes = true;
    ask.db = weir_field_str (c->args[1]);
    ask.path = weir_field_str (c->args[2]);
    ask.n_heads = cli_heads (at, &ask.heads);
    do {
        struct cli_reply reply;
        ask.offset = offset;
        ask.bytes = left;
        code = cli_call (c, WEIR_KIND_BLOB_GET, &ask.base, weir_bytes (NULL, 0), &reply);
        if (code != 0) {
            break;
        }
        const Weir__BlobGot *m = (const Weir__BlobGot *) reply.answer.meta;
        total = m->bytes;
        if (m->has_blob && m->blob.len == sizeof blob) { /* what is at the path may change */
            memcpy (blob, m->blob.data, sizeof blob);
            ask.has_blob = true;
            ask.blob = weir_field_of (weir_bytes (blob, sizeof blob));
        }
        if (write_part (file, fd, weir_buf_bytes (&reply.body), &e) != WEIR_OK) {
            code = cli_fail (c, &e);
        }
        bool ended = reply.body.len == 0;
        offset += reply.body.len;
        left -= reply.body.len < left ? reply.body.len : left;
        cli_reply_fini (&reply);
        if (ended) {
            break;
        }
    } while (code == 0 && left > 0 && offset < total);
    free (ask.heads);
    return code;
}

static int
get (struct cli *c)
{
    struct weir_error e = { 0 };
    const char *file = cli_option (c, "output");
    const char *from = cli_option (c, "offset");
    const char *count = cli_option (c, "length");
    uint64_t offset = 0;
    uint64_t length = UINT64_MAX;
    bool is_stdout = file == NULL || strcmp (file, "-") == 0;
    enum weir_status status =
        from != NULL ? cli_number (from, WEIR_BLOB_BYTES_MAX, &offset, &e) : WEIR_OK;
    if (status == WEIR_OK && count != NULL) {
        status = cli_number (count, WEIR_BLOB_BYTES_MAX, &length, &e);
    }
    if (status != WEIR_OK) {
        return cli_fail (c, &e);
    }
    if (is_stdout && (c->json || isatty (STDOUT_FILENO) != 0)) {
        return cli_fail_status (c, WEIR_USAGE, "content is bytes: -o FILE says where they go");
    }
    int fd = is_stdout ? STDOUT_FILENO : -1;
    c->waits = cli_option (c, "timeout") != NULL;
    int code = get_all (c, file, &fd, offset, length);
    if (!is_stdout) {
        if (fd >= 0 && close (fd) != 0 && code == 0) {
            code = cli_fail_status (c, WEIR_IO_ERROR, "cannot write the content");
        }
        if (code == 0 && c->json) {
            cli_json (json_pack ("{s:s}", "file", file));
        }
    }
    return code;
}

int
cli_doc_blob (struct cli *c)
{
    if (strcmp (c->args[0], "put") == 0) {
        return put (c);
    }
    if (strcmp (c->args[0], "get") == 0 && c->n_args == 3) {
        return get (c);
    }
    return cli_fail_status (c, WEIR_USAGE, "put DB PATH [FILE], or get DB PATH [-o FILE]");
}
