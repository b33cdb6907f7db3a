/* Goal: imports: in any order and however often, what waits and what it waits for, all or nothing
 * for each blob, and what is refused: signatures, foreign databases, chains that do not go on
 * where they end. What a failed import leaves behind is looked for in re-exported bytes. */

#include "tests/store/replica/replica_fixture.h"

#include "store/replica/replica_parts.h"

#include <stdio.h>

#define PARTS_MAX 16u

/* The runs of a history, to be put into blobs as a test likes. */
struct parts {
    struct weir_export_reader *reader;
    struct weir_buf blob;
    struct weir_export_runs runs;
    struct weir_id database;
};

static void
parts_init (struct parts *p, struct weir_replica *r)
{
    *p = (struct parts){ .database = *weir_replica_database (r) };
    p->blob = lab_snapshot (r);
    lab_ok (weir_export_open (&p->reader, weir_buf_bytes (&p->blob), 0, &e));
    lab_ok (weir_export_read_runs (p->reader, &p->runs, &e));
}

static void
parts_fini (struct parts *p)
{
    weir_export_close (&p->reader);
    weir_buf_fini (&p->blob);
}

static struct weir_buf
blob_of (const struct weir_id *database, const struct weir_bytes *runs, size_t n_runs)
{
    struct weir_op_vector none = { 0 };
    struct weir_export_parts parts = {
        .mode = WEIR_EXPORT_UPDATE,
        .database = *database,
        .asked = &none,
        .end = &none,
        .runs = runs,
        .n_runs = n_runs,
    };
    struct weir_buf out = { 0 };
    lab_ok (weir_export_write (&parts, true, &out, &e));
    return out;
}

static enum weir_status
import_runs (struct weir_replica *r, const struct weir_id *database, const struct weir_bytes *runs,
             size_t n_runs, struct weir_import *result)
{
    struct weir_buf blob = blob_of (database, runs, n_runs);
    enum weir_status status = weir_replica_import (r, weir_buf_bytes (&blob), result, NULL);
    weir_buf_fini (&blob);
    return status;
}

/* An entry after another for anybody, with a payload that means nothing. */
struct made {
    struct weir_buf bytes;
    struct weir_id ids[8];
};

static void
make_run (struct lab *lab, struct made *m, unsigned device, uint64_t lane, uint64_t seq,
          const struct weir_id *prev, const struct weir_id *deps, size_t n_deps, unsigned count,
          unsigned salt)
{
    struct weir_run_builder b;
    struct weir_chain chain = { .author = lab->devices[device].device, .lane = lane };
    struct weir_replica *r = lab_replica (lab, 0);
    weir_run_builder_init (&b);
    weir_run_begin (&b, weir_replica_database (r), WEIR_ENTRY_DATA, &chain, seq, prev, deps,
                    n_deps);
    for (unsigned i = 0; i < count; i++) {
        uint8_t payload[2] = { (uint8_t) (i + 1 == count ? salt : 0), (uint8_t) i };
        weir_run_add (&b, 3, 0, weir_bytes (payload, 2), &m->ids[i]);
    }
    m->bytes = (struct weir_buf){ 0 };
    weir_run_close (&b, &lab->devices[device], &m->bytes);
    weir_run_builder_fini (&b);
    weir_replica_destroy (&r);
}

/* Two replicas that write by turns. */
static struct weir_replica *
history (struct lab *lab, unsigned turns)
{
    struct weir_replica *a = lab_replica (lab, 0);
    struct weir_replica *b = lab_replica (lab, 1);
    for (unsigned i = 0; i < turns; i++) {
        struct weir_replica *r = i % 2 == 0 ? a : b;
        lab_type (r, 0, i % 2 == 0 ? "ab" : "cde");
        lab_set (r, "n", (int64_t) i);
        lab_sync (r, i % 2 == 0 ? b : a);
    }
    lab_sync (a, b);
    weir_replica_destroy (&b);
    return a;
}

static bool
next_permutation (unsigned *items, size_t n)
{
    size_t i = n - 1;
    while (i > 0 && items[i - 1] >= items[i]) {
        i--;
    }
    if (i == 0) {
        return false;
    }
    size_t j = n - 1;
    while (items[j] <= items[i - 1]) {
        j--;
    }
    unsigned t = items[i - 1];
    items[i - 1] = items[j];
    items[j] = t;
    for (j = n - 1; i < j; i++, j--) {
        t = items[i];
        items[i] = items[j];
        items[j] = t;
    }
    return true;
}

static uint64_t
span_ops (const struct weir_op_span *spans, size_t n)
{
    uint64_t ops = 0;
    for (size_t i = 0; i < n; i++) {
        ops += spans[i].to - spans[i].from;
    }
    return ops;
}

static void
test_any_order (void **state)
{
    struct lab lab;
    lab_init (&lab);
    struct weir_replica *whole = history (&lab, 4);
    struct parts p;
    unsigned order[] = { 0, 1, 2, 3, 4 };
    parts_init (&p, whole);
    assert_int_equal (p.runs.n_runs, 5); /* genesis and four */
    do {
        struct weir_replica_options options = lab_options (&lab, 2);
        struct weir_replica *r = NULL;
        uint64_t success = 0;
        options.genesis = weir_bytes (NULL, 0);
        options.trusts_signatures = true;
        lab_ok (weir_replica_new (&r, &options, &e));
        for (size_t i = 0; i < 5; i++) {
            struct weir_import got = { 0 };
            assert_int_equal (import_runs (r, &p.database, &p.runs.runs[order[i]].bytes, 1, &got),
                              WEIR_OK);
            success += span_ops (got.success, got.n_success);
            if (i == 4) {
                assert_int_equal (got.n_pending, 0);
            }
            weir_import_fini (&got);
            /* The same again is nothing new. */
            assert_int_equal (import_runs (r, &p.database, &p.runs.runs[order[i]].bytes, 1, &got),
                              WEIR_OK);
            assert_int_equal (got.n_success, 0);
            weir_import_fini (&got);
        }
        assert_int_equal (success, 3 + 4 + 3 + 4);
        assert_same_replicas (whole, r);
        weir_replica_destroy (&r);
    } while (next_permutation (order, 5));
    parts_fini (&p);
    weir_replica_destroy (&whole);
    lab_fini (&lab);
    (void) state;
}

/* What waits is exported, too, and waits on after a load. */
static void
test_pending_travels (void **state)
{
    struct lab lab;
    lab_init (&lab);
    struct weir_replica *whole = history (&lab, 6);
    struct parts p;
    parts_init (&p, whole);
    struct weir_replica *r = lab_replica (&lab, 2);
    struct weir_replica *other = lab_replica (&lab, 2);
    struct weir_replica *loaded = NULL;
    struct weir_replica_options options = lab_options (&lab, 3);
    struct weir_import got = { 0 };
    for (size_t i = p.runs.n_runs; i-- > 3;) {
        assert_int_equal (import_runs (r, &p.database, &p.runs.runs[i].bytes, 1, NULL), WEIR_OK);
    }
    struct weir_buf update = lab_update (r, NULL);
    struct weir_buf snapshot = lab_snapshot (r);
    lab_ok (weir_replica_import (other, weir_buf_bytes (&update), &got, &e));
    assert_int_equal (got.n_success, 0);
    assert_int_not_equal (got.n_pending, 0);
    weir_import_fini (&got);
    lab_ok (weir_replica_load (&loaded, &options, weir_buf_bytes (&snapshot), &e));
    assert_same_replicas (r, loaded);
    assert_same_replicas (r, other);
    struct weir_bytes rest[] = { p.runs.runs[2].bytes, p.runs.runs[1].bytes };
    assert_int_equal (import_runs (r, &p.database, rest, 2, NULL), WEIR_OK);
    assert_int_equal (import_runs (other, &p.database, rest, 2, NULL), WEIR_OK);
    assert_int_equal (import_runs (loaded, &p.database, rest, 2, NULL), WEIR_OK);
    assert_same_replicas (whole, r);
    assert_same_replicas (whole, other);
    assert_same_replicas (whole, loaded);
    weir_buf_fini (&update);
    weir_buf_fini (&snapshot);
    weir_replica_destroy (&r);
    weir_replica_destroy (&other);
    weir_replica_destroy (&loaded);
    parts_fini (&p);
    weir_replica_destroy (&whole);
    lab_fini (&lab);
    (void) state;
}

/* Each of these is in a blob between good runs, which must not come in either. */
static void
test_refused (void **state)
{
    struct lab lab;
    lab_init (&lab);
    struct weir_replica *whole = history (&lab, 2);
    struct weir_replica *r = lab_replica (&lab, 2);
    struct parts p;
    struct made bad[4];
    static const enum weir_status wanted[] = { WEIR_BAD_SIGNATURE, WEIR_BAD_RUN, WEIR_BAD_RUN,
                                               WEIR_BAD_RUN };
    parts_init (&p, whole);
    const struct weir_run *first = &p.runs.runs[1];
    const struct weir_id *tip = weir_run_tip (first);
    make_run (&lab, &bad[0], 0, 77, 0, NULL, &p.database, 1, 1, 1);
    bad[0].bytes.data[bad[0].bytes.len - 1] ^= 1;
    make_run (&lab, &bad[1], 3, first->chain.lane, first->seq + first->count, tip, NULL, 0, 1, 1);
    make_run (&lab, &bad[2], 0, first->chain.lane + 1, first->seq + first->count, tip, NULL, 0, 1,
              1);
    make_run (&lab, &bad[3], 0, first->chain.lane, first->seq + first->count + 1, tip, NULL, 0, 1,
              1);
    lab_set (r, "own", 1);
    struct weir_buf before = lab_snapshot (r);
    for (size_t i = 0; i < 4; i++) {
        for (size_t at = 0; at < 3; at++) {
            struct weir_bytes runs[3];
            size_t n = 0;
            for (size_t k = 0; k < 3; k++) {
                runs[k] = k == at ? weir_buf_bytes (&bad[i].bytes) : p.runs.runs[1 + n++].bytes;
            }
            assert_int_equal (import_runs (r, &p.database, runs, 3, NULL), wanted[i]);
            struct weir_buf after = lab_snapshot (r);
            assert_int_equal (before.len, after.len);
            assert_memory_equal (before.data, after.data, before.len);
            weir_buf_fini (&after);
        }
        weir_buf_fini (&bad[i].bytes);
    }
    lab_sync (whole, r);
    lab_sync (r, whole);
    assert_same_replicas (whole, r);
    weir_buf_fini (&before);
    weir_replica_destroy (&r);
    parts_fini (&p);
    weir_replica_destroy (&whole);
    lab_fini (&lab);
    (void) state;
}

static void
test_damaged (void **state)
{
    struct lab lab;
    lab_init (&lab);
    struct weir_replica *whole = history (&lab, 2);
    struct weir_replica *r = lab_replica (&lab, 2);
    struct weir_buf before = lab_snapshot (r);
    struct weir_buf blob = lab_update (whole, NULL);
    for (size_t i = 0; i < blob.len; i++) {
        blob.data[i] ^= 0x10;
        assert_int_not_equal (weir_replica_import (r, weir_buf_bytes (&blob), NULL, NULL), WEIR_OK);
        blob.data[i] ^= 0x10;
        assert_int_not_equal (weir_replica_import (r, weir_bytes (blob.data, i), NULL, NULL),
                              WEIR_OK);
    }
    struct weir_buf after = lab_snapshot (r);
    assert_int_equal (before.len, after.len);
    assert_memory_equal (before.data, after.data, before.len);
    lab_import (r, &blob);
    assert_same_replicas (whole, r);
    weir_buf_fini (&before);
    weir_buf_fini (&after);
    weir_buf_fini (&blob);
    weir_replica_destroy (&r);
    weir_replica_destroy (&whole);
    lab_fini (&lab);
    (void) state;
}

static void
test_wrong_database (void **state)
{
    struct lab lab;
    lab_init (&lab);
    struct weir_replica *a = lab_replica (&lab, 0);
    struct weir_replica *other = NULL;
    struct weir_replica_options options = lab_options (&lab, 0);
    struct weir_buf genesis = { 0 };
    uint8_t random[32] = { 8 };
    weir_replica_genesis (&lab.devices[0], random, "other", &genesis);
    options.genesis = weir_buf_bytes (&genesis);
    lab_ok (weir_replica_new (&other, &options, &e));
    lab_set (other, "a", 1);
    struct weir_buf blob = lab_update (other, NULL);
    assert_int_equal (weir_replica_import (a, weir_buf_bytes (&blob), NULL, NULL),
                      WEIR_WRONG_DATABASE);
    assert_shown (a, "{}");
    weir_buf_fini (&blob);
    weir_buf_fini (&genesis);
    weir_replica_destroy (&a);
    weir_replica_destroy (&other);
    lab_fini (&lab);
    (void) state;
}

/* A run that waited turns out to lie about its chain when what it waited for comes: it goes, and
 * what came stands. */
static void
test_lying_pending (void **state)
{
    struct lab lab;
    lab_init (&lab);
    struct weir_replica *whole = history (&lab, 1);
    struct weir_replica *r = lab_replica (&lab, 2);
    struct parts p;
    struct made liar;
    struct made follower;
    struct weir_import got = { 0 };
    parts_init (&p, whole);
    const struct weir_id *tip = weir_run_tip (&p.runs.runs[1]);
    make_run (&lab, &liar, 3, 5, 9, tip, NULL, 0, 1, 1);
    make_run (&lab, &follower, 3, 6, 0, NULL, &liar.ids[0], 1, 1, 1);
    struct weir_bytes first[] = { weir_buf_bytes (&follower.bytes), weir_buf_bytes (&liar.bytes) };
    assert_int_equal (import_runs (r, &p.database, first, 2, &got), WEIR_OK);
    assert_int_equal (got.n_pending, 2);
    weir_import_fini (&got);
    assert_int_equal (import_runs (r, &p.database, &p.runs.runs[1].bytes, 1, &got), WEIR_OK);
    assert_int_equal (span_ops (got.success, got.n_success), 3);
    assert_int_equal (got.n_pending, 1); /* what stands on the liar waits for ever */
    weir_import_fini (&got);
    assert_shown (r, "{\"m\": {\"n\": 0}, \"t\": \"ab\"}");
    weir_buf_fini (&liar.bytes);
    weir_buf_fini (&follower.bytes);
    weir_replica_destroy (&r);
    parts_fini (&p);
    weir_replica_destroy (&whole);
    lab_fini (&lab);
    (void) state;
}

/* Two runs that begin alike and part inside: both are kept whole, in whatever order they come,
 * and one that another holds all of is exported no more. */
static void
test_runs_that_part (void **state)
{
    struct lab lab;
    lab_init (&lab);
    struct weir_replica *r[6];
    struct made m[3];
    unsigned order[] = { 0, 1, 2 };
    struct weir_id database;
    for (size_t i = 0; i < 6; i++) {
        r[i] = lab_replica (&lab, 2);
    }
    database = *weir_replica_database (r[0]);
    make_run (&lab, &m[0], 3, 5, 0, NULL, &database, 1, 3, 0);
    make_run (&lab, &m[1], 3, 5, 0, NULL, &database, 1, 5, 0);
    make_run (&lab, &m[2], 3, 5, 0, NULL, &database, 1, 4, 9);
    size_t n = 0;
    do {
        for (size_t i = 0; i < 3; i++) {
            struct weir_bytes bytes = weir_buf_bytes (&m[order[i]].bytes);
            struct weir_import got = { 0 };
            assert_int_equal (import_runs (r[n], &database, &bytes, 1, &got), WEIR_OK);
            assert_int_equal (got.inert * 3, span_ops (got.success, got.n_success));
            weir_import_fini (&got);
        }
        assert_same_replicas (r[0], r[n]);
        n++;
    } while (next_permutation (order, 3));
    struct weir_op_vector v = { 0 };
    lab_vector (r[0], &v);
    assert_int_equal (v.count, 2);
    assert_int_equal (v.rows[0].ops + v.rows[1].ops, 15 + 12);
    weir_op_vector_fini (&v);
    struct weir_buf blob = lab_snapshot (r[0]);
    struct weir_replica *again = lab_replica (&lab, 1);
    lab_import (again, &blob);
    assert_same_replicas (r[0], again);
    weir_buf_fini (&blob);
    weir_replica_destroy (&again);
    for (size_t i = 0; i < 6; i++) {
        weir_replica_destroy (&r[i]);
    }
    for (size_t i = 0; i < 3; i++) {
        weir_buf_fini (&m[i].bytes);
    }
    lab_fini (&lab);
    (void) state;
}

/* An entry that says it was written long ago, on the oldest version, is one among concurrent
 * ones. */
static void
test_back_dated (void **state)
{
    struct lab lab;
    lab_init (&lab);
    struct weir_replica *whole = history (&lab, 4);
    struct weir_replica *late = lab_replica (&lab, 3);
    lab_type (late, 0, "old");
    (void) lab_commit (late, "", 1);
    lab_sync (late, whole);
    lab_sync (whole, late);
    assert_same_replicas (whole, late);
    weir_replica_destroy (&late);
    weir_replica_destroy (&whole);
    lab_fini (&lab);
    (void) state;
}

/* ---- batches ---- */

static void
test_batch (void **state)
{
    struct lab lab;
    lab_init (&lab);
    struct weir_replica *writer = lab_replica (&lab, 0);
    struct weir_replica *one = lab_replica (&lab, 1);
    struct weir_replica *r = lab_replica (&lab, 2);
    struct weir_buf blobs[64];
    struct weir_bytes list[66];
    struct weir_op_vector v = { 0 };
    struct weir_import got = { 0 };
    for (size_t i = 0; i < 64; i++) {
        lab_vector (writer, &v);
        lab_type (writer, (uint32_t) i, "x");
        blobs[i] = lab_update (writer, &v);
        list[63 - i] = weir_buf_bytes (&blobs[i]);
        lab_import (one, &blobs[i]);
    }
    list[64] = weir_bytes ("rubbish", 7);
    list[65] = list[0];
    assert_int_equal (weir_replica_import_batch (r, list, 66, &got, NULL), WEIR_BAD_EXPORT);
    assert_int_equal (got.n_success, 1);
    assert_int_equal (got.success[0].to, 64);
    assert_int_equal (got.n_pending, 0);
    weir_import_fini (&got);
    assert_same_replicas (writer, one);
    assert_same_replicas (writer, r);
    lab_ok (weir_replica_import_batch (r, list, 0, &got, &e));
    assert_int_equal (got.n_success, 0);
    lab_ok (weir_replica_import_batch (r, list, 1, &got, &e));
    assert_int_equal (got.n_success, 0);
    for (size_t i = 0; i < 64; i++) {
        weir_buf_fini (&blobs[i]);
    }
    weir_op_vector_fini (&v);
    weir_replica_destroy (&writer);
    weir_replica_destroy (&one);
    weir_replica_destroy (&r);
    lab_fini (&lab);
    (void) state;
}

/* In a batch one signature stands for the runs before it in its chain. A bad one among those
 * does no harm, and does not travel on. */
static void
test_batch_signatures (void **state)
{
    struct lab lab;
    lab_init (&lab);
    struct weir_replica *r = lab_replica (&lab, 2);
    struct weir_replica *other = lab_replica (&lab, 1);
    struct weir_id database = *weir_replica_database (r);
    struct made m[5];
    struct weir_buf blobs[5];
    struct weir_bytes list[5];
    struct weir_import got = { 0 };
    for (unsigned i = 0; i < 5; i++) {
        make_run (&lab, &m[i], 3, 5, i * 2, i == 0 ? NULL : &m[i - 1].ids[1], &database,
                  i == 0 ? 1 : 0, 2, i);
        if (i == 1 || i == 2) {
            m[i].bytes.data[m[i].bytes.len - 1] ^= 1;
        }
        struct weir_bytes bytes = weir_buf_bytes (&m[i].bytes);
        blobs[i] = blob_of (&database, &bytes, 1);
        list[i] = weir_buf_bytes (&blobs[i]);
    }
    lab_ok (weir_replica_import_batch (r, list, 5, &got, &e));
    assert_int_equal (span_ops (got.success, got.n_success), 30);
    weir_import_fini (&got);
    lab_sync (r, other);
    struct weir_op_vector v = { 0 };
    lab_vector (other, &v);
    assert_int_equal (v.count, 1);
    assert_int_equal (v.rows[0].ops, 30);
    weir_op_vector_fini (&v);
    assert_same_replicas (r, other);
    struct weir_replica *third = lab_replica (&lab, 1);
    /* The last one is bad: nobody stands for it, nor for the bad ones before. */
    m[4].bytes.data[m[4].bytes.len - 1] ^= 1;
    struct weir_bytes bytes = weir_buf_bytes (&m[4].bytes);
    weir_buf_fini (&blobs[4]);
    blobs[4] = blob_of (&database, &bytes, 1);
    list[4] = weir_buf_bytes (&blobs[4]);
    assert_int_equal (weir_replica_import_batch (third, list, 5, &got, NULL), WEIR_BAD_SIGNATURE);
    assert_int_not_equal (got.n_success, 0);
    weir_import_fini (&got);
    lab_sync (third, other);
    for (unsigned i = 0; i < 5; i++) {
        weir_buf_fini (&blobs[i]);
        weir_buf_fini (&m[i].bytes);
    }
    weir_replica_destroy (&r);
    weir_replica_destroy (&third);
    weir_replica_destroy (&other);
    lab_fini (&lab);
    (void) state;
}

/* ---- bounds ---- */

/* More ops than a document can number: the export is refused whole, since its last entries could
 * never be applied. Entries that only say so are inert, and no matter. */
static void
test_too_many_ops (void **state)
{
    struct lab lab;
    lab_init (&lab);
    struct weir_replica *r = lab_replica (&lab, 0);
    struct weir_id database = *weir_replica_database (r);
    struct weir_chain chain = { .author = lab.devices[3].device, .lane = 4 };
    struct weir_payload_row row = { .type = &weir_container_text,
                                    .kind = WEIR_ROW_ROOT,
                                    .key = fixture_text ("t") };
    struct weir_op op = { .code = WEIR_TEXT_DELETE, .count = WEIR_ENTRY_OPS_MAX };
    for (unsigned lies = 0; lies < 2; lies++) {
        struct weir_buf payload = { 0 };
        struct weir_buf text = { 0 };
        struct weir_buf bytes = { 0 };
        struct weir_import got = { 0 };
        struct weir_run_builder b;
        struct weir_op_writer writer = { .out = &payload, .text = &text };
        struct weir_id id;
        weir_payload_begin (&payload, fixture_text (""), NULL, 0, 1);
        weir_payload_put_row (&payload, &row);
        weir_buf_put_blob (&payload, weir_bytes (NULL, 0));
        weir_payload_put_op (&writer, &weir_container_text, &op);
        payload.data[0] = lies != 0 ? 0x7f : payload.data[0];
        weir_run_builder_init (&b);
        weir_run_begin (&b, &database, WEIR_ENTRY_DATA, &chain, 0, NULL, &database, 1);
        for (unsigned i = 0; i < 128; i++) {
            weir_run_add (&b, WEIR_ENTRY_OPS_MAX, i, weir_buf_bytes (&payload), &id);
        }
        weir_run_close (&b, &lab.devices[3], &bytes);
        struct weir_bytes run = weir_buf_bytes (&bytes);
        assert_int_equal (import_runs (r, &database, &run, 1, &got),
                          lies != 0 ? WEIR_OK : WEIR_LIMIT);
        assert_int_equal (got.inert, lies != 0 ? 128 : 0);
        weir_import_fini (&got);
        weir_run_builder_fini (&b);
        weir_buf_fini (&payload);
        weir_buf_fini (&text);
        weir_buf_fini (&bytes);
    }
    lab_set (r, "still", 1);
    (void) lab_commit (r, "", 0);
    assert_shown (r, "{\"m\": {\"still\": 1}}");
    weir_replica_destroy (&r);
    lab_fini (&lab);
    (void) state;
}

/* What the document cannot take is undone: entries, and what waited for them. */
static void
test_rolled_back (void **state)
{
    struct lab lab;
    lab_init (&lab);
    struct weir_replica *whole = history (&lab, 6);
    struct weir_replica *r = lab_replica (&lab, 2);
    struct weir_heads before = { 0 };
    struct weir_heads after = { 0 };
    struct parts p;
    parts_init (&p, whole);
    lab_set (r, "own", 1);
    (void) lab_commit (r, "", 0);
    struct weir_bytes some[] = { p.runs.runs[1].bytes, p.runs.runs[4].bytes, p.runs.runs[6].bytes };
    assert_int_equal (import_runs (r, &p.database, some, 3, NULL), WEIR_OK);
    weir_replica_log_heads (r, &before);
    struct weir_buf bytes = lab_snapshot (r);
    struct weir_bytes rest[] = { p.runs.runs[2].bytes, p.runs.runs[3].bytes };
    r->astray = WEIR_LIMIT; /* as if the document had said so */
    assert_int_equal (import_runs (r, &p.database, rest, 2, NULL), WEIR_LIMIT);
    weir_replica_log_heads (r, &after);
    assert_same_heads (&before, &after);
    struct weir_buf again = lab_snapshot (r);
    assert_int_equal (bytes.len, again.len);
    assert_memory_equal (bytes.data, again.data, bytes.len);
    assert_int_equal (import_runs (r, &p.database, rest, 2, NULL), WEIR_OK);
    lab_set (r, "own", 2);
    lab_sync (whole, r);
    lab_sync (r, whole);
    assert_same_replicas (whole, r);
    weir_buf_fini (&bytes);
    weir_buf_fini (&again);
    weir_heads_fini (&before);
    weir_heads_fini (&after);
    parts_fini (&p);
    weir_replica_destroy (&r);
    weir_replica_destroy (&whole);
    lab_fini (&lab);
    (void) state;
}

static void
test_too_many_wait (void **state)
{
    struct lab lab;
    lab_init (&lab);
    struct weir_replica *r = lab_replica (&lab, 0);
    struct weir_replica_options options = lab_options (&lab, 0);
    struct weir_id database = *weir_replica_database (r);
    struct weir_id nowhere = { { 1 } };
    struct weir_chain chain = { .author = lab.devices[3].device, .lane = 4 };
    struct weir_bytes *runs = weir_alloc ((WEIR_PENDING_RUNS_MAX + 1) * sizeof *runs);
    struct weir_buf *bytes = weir_alloc ((WEIR_PENDING_RUNS_MAX + 1) * sizeof *bytes);
    struct weir_run_builder b;
    struct weir_id id;
    weir_replica_destroy (&r);
    options.trusts_signatures = true;
    lab_ok (weir_replica_new (&r, &options, &e));
    weir_run_builder_init (&b);
    for (size_t i = 0; i <= WEIR_PENDING_RUNS_MAX; i++) {
        chain.lane = i;
        weir_run_begin (&b, &database, WEIR_ENTRY_DATA, &chain, 0, NULL, &nowhere, 1);
        weir_run_add (&b, 0, 0, weir_bytes ("x", 1), &id);
        weir_run_close (&b, &lab.devices[3], &bytes[i]);
        runs[i] = weir_buf_bytes (&bytes[i]);
    }
    assert_int_equal (import_runs (r, &database, runs, WEIR_PENDING_RUNS_MAX + 1, NULL),
                      WEIR_LIMIT);
    assert_int_equal (import_runs (r, &database, runs, 2, NULL), WEIR_OK);
    for (size_t i = 0; i <= WEIR_PENDING_RUNS_MAX; i++) {
        weir_buf_fini (&bytes[i]);
    }
    weir_run_builder_fini (&b);
    free (bytes);
    free (runs);
    weir_replica_destroy (&r);
    lab_fini (&lab);
    (void) state;
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_any_order),      cmocka_unit_test (test_pending_travels),
        cmocka_unit_test (test_refused),        cmocka_unit_test (test_damaged),
        cmocka_unit_test (test_wrong_database), cmocka_unit_test (test_lying_pending),
        cmocka_unit_test (test_runs_that_part), cmocka_unit_test (test_back_dated),
        cmocka_unit_test (test_batch),          cmocka_unit_test (test_batch_signatures),
        cmocka_unit_test (test_too_many_ops),   cmocka_unit_test (test_too_many_wait),
        cmocka_unit_test (test_rolled_back),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
