/* Goal: no bytes of an export crash, hang or allocate out of proportion, whole or damaged. What
 * can be read can be written again and reads the same; what can be imported is exported and
 * imported once more; what is refused leaves a replica empty. The input is everything behind the
 * checksum, which is made right. Seeds: tests/store/replica/test_corpus.c. */

#include "store/replica/export_parts.h"

#include <stdlib.h>
#include <string.h>

#define UNPACKED_MAX ((size_t) 2 << 20)

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static bool
is_known (enum weir_status status)
{
    return status == WEIR_OK || status == WEIR_BAD_EXPORT || status == WEIR_BAD_RUN
           || status == WEIR_NEEDS_UPGRADE || status == WEIR_LIMIT || status == WEIR_BAD_SIGNATURE;
}

static struct weir_bytes *
bytes_of (const struct weir_run *runs, size_t count)
{
    struct weir_bytes *bytes = weir_alloc ((count + 1) * sizeof *bytes);
    for (size_t i = 0; i < count; i++) {
        bytes[i] = runs[i].bytes;
    }
    return bytes;
}

static void
check_same (const struct weir_run *a, size_t n_a, const struct weir_run *b, size_t n_b)
{
    weir_assert (n_a == n_b);
    for (size_t i = 0; i < n_a; i++) {
        weir_assert (weir_bytes_equal (a[i].bytes, b[i].bytes));
    }
}

/* The runs, written anew, read as they are. */
static void
check_rewrite (struct weir_export_reader *reader, const struct weir_export_runs *runs)
{
    const struct weir_export_info *info = weir_export_info (reader);
    struct weir_bytes *lists[2] = { bytes_of (runs->runs, runs->n_runs),
                                    bytes_of (runs->pending, runs->n_pending) };
    struct weir_buf blob = { 0 };
    struct weir_export_reader *again = NULL;
    struct weir_export_runs got;
    struct weir_export_parts parts = {
        .mode = WEIR_EXPORT_UPDATE,
        .database = info->database,
        .asked = &info->asked,
        .start = &info->start,
        .end = &info->end,
        .runs = lists[0],
        .n_runs = runs->n_runs,
        .pending = lists[1],
        .n_pending = runs->n_pending,
    };
    struct weir_error e = { 0 };
    weir_assert (weir_export_write (&parts, true, &blob, &e) == WEIR_OK);
    weir_assert (weir_export_open (&again, weir_buf_bytes (&blob), 0, &e) == WEIR_OK);
    weir_assert (weir_export_read_runs (again, &got, &e) == WEIR_OK);
    check_same (runs->runs, runs->n_runs, got.runs, got.n_runs);
    check_same (runs->pending, runs->n_pending, got.pending, got.n_pending);
    weir_assert (weir_export_info (again)->entries == info->entries);
    weir_assert (weir_export_info (again)->ops == info->ops);
    weir_export_close (&again);
    weir_buf_fini (&blob);
    free (lists[0]);
    free (lists[1]);
}

static bool
check_reader (struct weir_bytes blob)
{
    struct weir_export_reader *reader = NULL;
    struct weir_export_runs runs;
    struct weir_bytes state;
    const struct weir_export_root *root = NULL;
    struct weir_error e = { 0 };
    enum weir_status status = weir_export_open (&reader, blob, UNPACKED_MAX, &e);
    weir_assert (is_known (status));
    if (status != WEIR_OK) {
        return false;
    }
    weir_assert (is_known (weir_export_read_state (reader, &state, &e)));
    weir_assert (is_known (weir_export_read_root (reader, &root, &e)));
    status = weir_export_read_runs (reader, &runs, &e);
    weir_assert (is_known (status));
    if (status == WEIR_OK) {
        check_rewrite (reader, &runs);
        weir_assert (is_known (weir_export_verify_root (reader, &e)));
    }
    weir_export_close (&reader);
    return status == WEIR_OK;
}

static struct weir_buf
snapshot_of (struct weir_replica *r)
{
    struct weir_export what = { .mode = WEIR_EXPORT_SNAPSHOT };
    struct weir_buf out = { 0 };
    weir_assert (weir_replica_export (r, &what, &out, NULL) == WEIR_OK);
    return out;
}

static struct weir_replica *
replica_new (void)
{
    struct weir_replica_options options = { .trusts_signatures = true, .lane = 1 };
    struct weir_replica *r = NULL;
    weir_assert (weir_replica_new (&r, &options, NULL) == WEIR_OK);
    return r;
}

static void
check_import (struct weir_bytes blob)
{
    struct weir_replica *a = replica_new ();
    struct weir_replica *b = replica_new ();
    enum weir_status status = weir_replica_import (a, blob, NULL, NULL);
    struct weir_buf once = snapshot_of (a);
    if (status != WEIR_OK) {
        struct weir_buf empty = snapshot_of (b);
        weir_assert (weir_bytes_equal (weir_buf_bytes (&once), weir_buf_bytes (&empty)));
        weir_buf_fini (&empty);
    } else {
        weir_assert (weir_replica_import (b, weir_buf_bytes (&once), NULL, NULL) == WEIR_OK);
        struct weir_buf twice = snapshot_of (b);
        weir_assert (weir_bytes_equal (weir_buf_bytes (&once), weir_buf_bytes (&twice)));
        weir_buf_fini (&twice);
    }
    weir_buf_fini (&once);
    weir_replica_destroy (&a);
    weir_replica_destroy (&b);
}

/* As one's own, which is believed more. */
static void
check_load (struct weir_bytes blob)
{
    struct weir_replica_options options = { .trusts_signatures = true, .lane = 1 };
    struct weir_replica *r = NULL;
    if (weir_replica_load (&r, &options, blob, NULL) == WEIR_OK) {
        struct weir_buf out = { 0 };
        struct weir_export what = { .mode = WEIR_EXPORT_SNAPSHOT };
        weir_ignore (weir_replica_export (r, &what, &out, NULL));
        weir_buf_fini (&out);
        weir_replica_destroy (&r);
    }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    struct weir_buf blob = { 0 };
    static const uint8_t none[WEIR_EXPORT_CHECK_BYTES];
    weir_crypto_init ();
    weir_assert (!check_reader (weir_bytes (data, size))
                 || (size > 8 && memcmp (data, WEIR_EXPORT_MAGIC, 8) == 0));
    weir_buf_put (&blob, WEIR_EXPORT_MAGIC, WEIR_EXPORT_MAGIC_BYTES);
    weir_buf_put (&blob, none, sizeof none);
    weir_buf_put (&blob, data, size);
    weir_export_check (weir_buf_bytes (&blob), blob.data + WEIR_EXPORT_MAGIC_BYTES);
    if (check_reader (weir_buf_bytes (&blob))) {
        check_import (weir_buf_bytes (&blob));
        check_load (weir_buf_bytes (&blob));
    }
    weir_buf_fini (&blob);
    return 0;
}
