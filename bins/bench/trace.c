/* Files of recorded editing histories: unpacking, which format it is, and the whole of a file.
 * What comes from a file is checked, never trusted: the bench is run on anybody's. */

#include "bins/bench/trace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "store/base/json.h"

#define CHUNK_BYTES (256u << 10)

const char *
bench_trace_format_name (enum bench_trace_format format)
{
    static const char *const names[] = { [BENCH_SEQUENTIAL] = "sequential",
                                         [BENCH_CONCURRENT] = "concurrent",
                                         [BENCH_GRAPH] = "graph" };
    return names[format];
}

/* zlib reads what is not gzip as it is; what is, it checks to the end. */
enum weir_status
bench_file_read (const char *path, struct weir_buf *out, struct weir_error *e)
{
    enum weir_status status = WEIR_OK;
    size_t begin = out->len;
    errno = 0;
    gzFile in = gzopen (path, "rb");
    if (in == NULL) {
        return errno == ENOENT
                   ? weir_error_set (e, WEIR_NOT_FOUND, "give the path of a trace file",
                                     "there is no file %s", path)
                   : weir_error_set (e, WEIR_IO_ERROR, NULL, "%s: %s", path, strerror (errno));
    }
    for (int n = 1; n > 0;) {
        weir_buf_reserve (out, CHUNK_BYTES);
        n = gzread (in, out->data + out->len, CHUNK_BYTES);
        out->len += n > 0 ? (size_t) n : 0;
        if (out->len - begin > BENCH_TRACE_FILE_BYTES_MAX) {
            status = weir_error_set (e, WEIR_TOO_LARGE, "give a smaller file",
                                     "%s unpacks to more than %u bytes", path,
                                     BENCH_TRACE_FILE_BYTES_MAX);
            break;
        }
    }
    int why = Z_OK;
    const char *text = gzerror (in, &why);
    if (status == WEIR_OK && why == Z_ERRNO) {
        status = weir_error_set (e, WEIR_IO_ERROR, NULL, "%s: %s", path, strerror (errno));
    } else if (status == WEIR_OK && why != Z_OK && why != Z_STREAM_END) {
        status = weir_error_set (e, WEIR_BAD_MESSAGE, "fetch the file again",
                                 "%s is not whole as a gzip file: %s", path, text);
    }
    if (status != WEIR_OK) {
        out->len = begin;
    }
    (void) gzclose_r (in);
    return status;
}

static void
trace_fini (struct bench_trace *t)
{
    for (size_t i = 0; i < t->n_agents; i++) {
        free (t->agents[i]);
    }
    free (t->agents);
    free (t->lanes);
    free (t->txns);
    free (t->patches);
    free (t->parents);
    weir_buf_fini (&t->text);
    weir_buf_fini (&t->end);
    memset (t, 0, sizeof *t);
}

void
bench_trace_file_fini (struct bench_trace_file *self)
{
    for (size_t i = 0; i < self->count; i++) {
        trace_fini (&self->items[i]);
    }
    free (self->items);
    memset (self, 0, sizeof *self);
}

static enum weir_status
load_one (struct bench_trace *t, const json_t *root, struct weir_error *e)
{
    enum weir_status status = bench_trace_read (t, root, e);
    return status == WEIR_OK ? bench_trace_set_lanes (t, e) : status;
}

enum weir_status
bench_trace_parse (struct bench_trace_file *out, struct weir_bytes text, struct weir_error *e)
{
    struct bench_trace_file file = { 0 };
    json_t *root = NULL;
    enum weir_status status = weir_json_parse (&root, text, BENCH_TRACE_FILE_BYTES_MAX, e);
    if (status != WEIR_OK) {
        return status;
    }
    file.is_array = json_is_array (root);
    file.count = file.is_array ? json_array_size (root) : 1;
    file.items = weir_alloc (file.count * sizeof *file.items);
    if (file.count == 0) {
        status = weir_error_set (e, WEIR_BAD_MESSAGE, NULL, "the array holds no history");
    }
    for (size_t i = 0; status == WEIR_OK && i < file.count; i++) {
        struct weir_error why = { 0 };
        status = load_one (&file.items[i], file.is_array ? json_array_get (root, i) : root, &why);
        if (status != WEIR_OK && file.is_array) {
            weir_ignore (weir_error_set (e, status, why.hint, "history %zu: %s", i, why.what));
        } else if (status != WEIR_OK && e != NULL) {
            *e = why;
        }
    }
    json_decref (root);
    if (status != WEIR_OK) {
        bench_trace_file_fini (&file);
        return status;
    }
    file.format = file.items[0].format;
    *out = file;
    return WEIR_OK;
}

enum weir_status
bench_trace_load (struct bench_trace_file *out, const char *path, struct weir_error *e)
{
    struct weir_buf text = { 0 };
    enum weir_status status = bench_file_read (path, &text, e);
    if (status == WEIR_OK) {
        status = bench_trace_parse (out, weir_buf_bytes (&text), e);
    }
    weir_buf_fini (&text);
    return status;
}
