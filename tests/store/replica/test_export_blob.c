/* Goal: what goes into an export comes out byte for byte, whatever the runs look like; its header
 * reads without unpacking; no cut, no flipped byte and no bytes made to deceive get past it, or
 * take more than they were allowed; the root of a shallow one is what its signer signed. */

#include "tests/store/crdt/fixture.h"

#include "store/base/rand.h"
#include "store/replica/export_parts.h"

/* A history made by hand: runs, in the order they were made. */
struct history {
    struct weir_identity devices[3];
    struct weir_id database;
    struct weir_run_builder builder;
    struct weir_buf runs[64];
    struct weir_bytes bytes[64];
    size_t n_runs;
    struct weir_id tips[3];
    uint64_t seqs[3];
    uint64_t clock_ms;
};

static struct weir_chain
history_chain (const struct history *h, unsigned device)
{
    struct weir_chain chain = { .author = h->devices[device].device, .lane = device + 5 };
    return chain;
}

static void
history_begin (struct history *h, unsigned device, uint8_t kind, const struct weir_id *deps,
               size_t n_deps)
{
    struct weir_chain chain = history_chain (h, device);
    weir_run_begin (&h->builder, &h->database, kind, &chain, h->seqs[device], &h->tips[device],
                    deps, n_deps);
}

static void
history_add (struct history *h, unsigned device, uint32_t ops, struct weir_bytes payload)
{
    weir_run_add (&h->builder, ops, h->clock_ms, payload, &h->tips[device]);
    h->seqs[device]++;
}

static void
history_close (struct history *h, unsigned device)
{
    assert_true (h->n_runs < 64);
    weir_run_close (&h->builder, &h->devices[device], &h->runs[h->n_runs]);
    h->bytes[h->n_runs] = weir_buf_bytes (&h->runs[h->n_runs]);
    h->n_runs++;
}

static void
history_init (struct history *h)
{
    memset (h, 0, sizeof *h);
    for (uint8_t i = 0; i < 3; i++) {
        uint8_t seed[32] = { i, 1 };
        weir_identity_init (&h->devices[i], seed);
    }
    weir_run_builder_init (&h->builder);
    history_begin (h, 0, WEIR_ENTRY_GENESIS, NULL, 0);
    history_add (h, 0, 0, weir_bytes_str ("genesis"));
    h->database = h->tips[0];
    history_close (h, 0);
}

static void
history_fini (struct history *h)
{
    weir_run_builder_fini (&h->builder);
    for (size_t i = 0; i < h->n_runs; i++) {
        weir_buf_fini (&h->runs[i]);
    }
}

/* A payload of one text: `ops` are numbers, three an op. */
static void
put_text_payload (struct weir_buf *out, const char *text, const struct weir_id *ids, size_t n_ids,
                  const uint64_t *ops, size_t n_ops)
{
    weir_buf_put_u8 (out, WEIR_CODEC_DOC);
    weir_buf_put_blob (out, weir_bytes (NULL, 0));
    weir_buf_put_varint (out, n_ids);
    for (size_t i = 0; i < n_ids; i++) {
        weir_buf_put (out, ids[i].b, WEIR_ID_BYTES);
    }
    weir_buf_put_varint (out, 1);
    weir_buf_put_u8 (out, WEIR_CONTAINER_TEXT << 2);
    weir_buf_put_blob (out, weir_bytes_str ("t"));
    weir_buf_put_blob (out, weir_bytes_str (text));
    for (size_t i = 0; i < n_ops; i++) {
        weir_buf_put_varint (out, ops[i]);
    }
}

/* Two who write at once, merge, a third with a lane of its own, text and bare payloads. */
static void
history_fill (struct history *h)
{
    static const uint64_t insert[] = { 0, 0, 5, 1, 3, 2 };
    static const uint64_t mark[] = { 0, 8, 2, 2, 1, 7, 9 };
    struct weir_buf p = { 0 };
    history_begin (h, 0, WEIR_ENTRY_DATA, NULL, 0);
    put_text_payload (&p, "hello", NULL, 0, insert, 6);
    for (int i = 0; i < 3; i++) {
        h->clock_ms = 1700000000000u + (unsigned) i;
        history_add (h, 0, 7, weir_buf_bytes (&p));
    }
    history_close (h, 0);
    struct weir_id first = h->tips[0];
    history_begin (h, 1, WEIR_ENTRY_DATA, &first, 1);
    weir_buf_clear (&p);
    put_text_payload (&p, "ab", &first, 1, mark, 7);
    history_add (h, 1, 4, weir_buf_bytes (&p));
    history_add (h, 1, 0, weir_bytes_str ("\x07 from the future"));
    history_close (h, 1);
    h->clock_ms = 0;
    history_begin (h, 0, WEIR_ENTRY_DATA, NULL, 0);
    history_add (h, 0, 2, weir_bytes (NULL, 0));
    history_close (h, 0);
    struct weir_id both[2] = { h->tips[0], h->tips[1] };
    history_begin (h, 2, WEIR_ENTRY_MERGE, both, 2);
    history_add (h, 2, 0, weir_bytes (NULL, 0));
    history_close (h, 2);
    history_begin (h, 2, WEIR_ENTRY_SETTINGS, NULL, 0);
    history_add (h, 2, 0, weir_bytes_str ("settings"));
    history_close (h, 2);
    weir_buf_fini (&p);
}

static void
write_blob (const struct weir_export_parts *parts, struct weir_buf *out)
{
    struct weir_error e = { 0 };
    assert_status (weir_export_write (parts, false, out, &e), WEIR_OK, &e);
}

static struct weir_export_reader *
open_blob (const struct weir_buf *blob)
{
    struct weir_error e = { 0 };
    struct weir_export_reader *reader = NULL;
    assert_status (weir_export_open (&reader, weir_buf_bytes (blob), 0, &e), WEIR_OK, &e);
    return reader;
}

static void
assert_runs (const struct weir_run *runs, size_t n, const struct weir_bytes *bytes, size_t n_bytes)
{
    assert_int_equal (n, n_bytes);
    for (size_t i = 0; i < n; i++) {
        assert_true (weir_bytes_equal (runs[i].bytes, bytes[i]));
    }
}

/* ---- what goes in comes out ---- */

static void
test_round_trip (void **state)
{
    (void) state;
    struct history h;
    struct weir_buf blob = { 0 };
    struct weir_buf again = { 0 };
    struct weir_export_runs runs;
    struct weir_error e = { 0 };
    struct weir_export_inert inert[2] = { { 1, WEIR_BAD_PAYLOAD }, { 5, WEIR_NEEDS_UPGRADE } };
    history_init (&h);
    history_fill (&h);
    struct weir_op_row rows[2] = { { history_chain (&h, 0), h.tips[0], 23 },
                                   { history_chain (&h, 1), weir_id_zero, 4 } };
    struct weir_op_vector asked = { .rows = rows, .count = 2 };
    struct weir_op_vector end = { .rows = rows, .count = 1 };
    struct weir_export_parts parts = {
        .mode = WEIR_EXPORT_UPDATE,
        .database = h.database,
        .asked = &asked,
        .end = &end,
        .runs = h.bytes,
        .n_runs = h.n_runs - 2,
        .pending = &h.bytes[h.n_runs - 2],
        .n_pending = 2,
        .state = weir_bytes_str ("the state"),
        .inert = inert,
        .n_inert = 2,
    };
    write_blob (&parts, &blob);
    write_blob (&parts, &again);
    assert_true (weir_bytes_equal (weir_buf_bytes (&blob), weir_buf_bytes (&again)));

    struct weir_export_info info;
    assert_status (weir_export_read_info (weir_buf_bytes (&blob), &info, &e), WEIR_OK, &e);
    assert_int_equal (info.mode, WEIR_EXPORT_UPDATE);
    assert_true (weir_id_equal (&info.database, &h.database));
    assert_int_equal (info.entries, 7);
    assert_int_equal (info.ops, 27);
    assert_int_equal (info.clock_ms_min, 1700000000000u);
    assert_int_equal (info.clock_ms_max, 1700000000002u);
    assert_int_equal (info.asked.count, 2);
    assert_memory_equal (info.asked.rows, rows, sizeof rows);
    assert_int_equal (info.asked_to.count, 0);
    assert_int_equal (info.start.count, 0);
    assert_int_equal (info.end.count, 1);
    assert_int_equal (info.root.count, 0);
    weir_export_info_fini (&info);

    struct weir_export_reader *reader = open_blob (&blob);
    struct weir_bytes doc;
    const struct weir_export_root *root = NULL;
    assert_status (weir_export_read_state (reader, &doc, &e), WEIR_OK, &e);
    assert_true (weir_bytes_equal (doc, parts.state));
    assert_status (weir_export_read_root (reader, &root, &e), WEIR_OK, &e);
    assert_null (root);
    assert_status (weir_export_verify_root (reader, &e), WEIR_BAD_EXPORT, &e);
    assert_status (weir_export_read_runs (reader, &runs, &e), WEIR_OK, &e);
    assert_runs (runs.runs, runs.n_runs, h.bytes, h.n_runs - 2);
    assert_runs (runs.pending, runs.n_pending, &h.bytes[h.n_runs - 2], 2);
    assert_int_equal (runs.n_settings, 0);
    assert_int_equal (runs.n_inert, 2);
    assert_int_equal (runs.inert[1].entry, 5);
    assert_int_equal (runs.inert[1].status, WEIR_NEEDS_UPGRADE);
    struct weir_arena *arena = weir_export_take_runs (reader);
    struct weir_run kept = runs.runs[0];
    weir_export_close (&reader);
    assert_true (weir_bytes_equal (kept.bytes, h.bytes[0]));
    assert_true (weir_id_equal (&kept.entries[0].id, &h.database));
    weir_arena_destroy (&arena);
    weir_buf_fini (&blob);
    weir_buf_fini (&again);
    history_fini (&h);
}

/* Nothing inside is an export, too: what is known already is exported so. */
static void
test_empty (void **state)
{
    (void) state;
    struct weir_buf blob = { 0 };
    struct weir_error e = { 0 };
    struct weir_export_runs runs;
    struct weir_bytes doc;
    struct weir_export_parts parts = { .mode = WEIR_EXPORT_SPANS };
    write_blob (&parts, &blob);
    assert_in_range (blob.len, 1, 160);
    struct weir_export_reader *reader = open_blob (&blob);
    assert_status (weir_export_read_runs (reader, &runs, &e), WEIR_OK, &e);
    assert_status (weir_export_read_runs (reader, &runs, &e), WEIR_OK, &e);
    assert_int_equal (runs.n_runs + runs.n_pending + runs.n_settings, 0);
    assert_status (weir_export_read_state (reader, &doc, &e), WEIR_OK, &e);
    assert_int_equal (doc.len, 0);
    weir_export_close (&reader);
    weir_export_close (&reader);
    weir_buf_fini (&blob);
}

/* A run that is none is the caller's store gone bad; nothing is appended. */
static void
test_bad_run (void **state)
{
    (void) state;
    struct history h;
    struct weir_buf blob = { 0 };
    struct weir_error e = { 0 };
    history_init (&h);
    struct weir_bytes cut = weir_bytes (h.bytes[0].data, h.bytes[0].len - 1);
    struct weir_export_parts parts = {
        .mode = WEIR_EXPORT_UPDATE, .database = h.database, .runs = &cut, .n_runs = 1
    };
    weir_buf_put_u8 (&blob, 7);
    assert_status (weir_export_write (&parts, true, &blob, &e), WEIR_BAD_RUN, &e);
    assert_int_equal (blob.len, 1);
    weir_buf_fini (&blob);
    history_fini (&h);
}

/* Bytes that look more or less like payloads, in runs of any length, with any clocks: large
 * enough to be packed. */
static void
random_payload (struct weir_rand *r, const struct weir_id *ids, struct weir_buf *out)
{
    weir_buf_clear (out);
    uint64_t numbers[24];
    size_t n = weir_rand_below (r, 24);
    for (size_t i = 0; i < n; i++) {
        numbers[i] = weir_rand_below (r, 4) == 0 ? weir_rand_u64 (r) : weir_rand_below (r, 200);
        numbers[i] =
            i % 3 == 0 && weir_rand_below (r, 8) != 0 ? weir_rand_below (r, 2) : numbers[i];
    }
    put_text_payload (out, weir_rand_below (r, 2) == 0 ? "x" : "some longer text", ids,
                      weir_rand_below (r, 3), numbers, n);
    if (weir_rand_below (r, 3) == 0 && out->len > 0) {
        out->data[weir_rand_below (r, out->len)] = (uint8_t) weir_rand_u64 (r);
    }
    if (weir_rand_below (r, 4) == 0) {
        out->len = weir_rand_below (r, out->len + 1);
    }
}

static void
random_run (struct history *h, struct weir_rand *r, struct weir_buf *payload)
{
    unsigned device = (unsigned) weir_rand_below (r, 3);
    struct weir_id ids[2] = { h->tips[weir_rand_below (r, 3)], h->tips[weir_rand_below (r, 3)] };
    if (weir_rand_below (r, 3) == 0) {
        ids[0].b[3] ^= 1; /* not here */
    }
    bool is_first = h->seqs[device] == 0;
    struct weir_id deps[2] = { h->database, ids[0] };
    if (weir_id_equal (&ids[0], &weir_id_zero)) {
        deps[1] = h->database;
    }
    size_t n_deps = is_first || weir_rand_below (r, 3) == 0 ? 2 : 0;
    history_begin (h, device, WEIR_ENTRY_DATA, deps, n_deps);
    for (uint64_t n = weir_rand_below (r, 30) + 1; n > 0; n--) {
        random_payload (r, ids, payload);
        h->clock_ms = weir_rand_below (r, 3) == 0 ? weir_rand_u64 (r) : h->clock_ms + 250;
        if (!weir_run_has_room (&h->builder, payload->len)) {
            break;
        }
        history_add (h, device, (uint32_t) weir_rand_below (r, 9), weir_buf_bytes (payload));
    }
    history_close (h, device);
}

static void
test_any_runs (void **state)
{
    (void) state;
    struct weir_buf payload = { 0 };
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct history h;
        struct weir_buf blob = { 0 };
        struct weir_export_runs runs;
        struct weir_error e = { 0 };
        struct weir_rand r;
        weir_rand_init (&r, seed);
        history_init (&h);
        while (h.n_runs < 20) {
            random_run (&h, &r, &payload);
        }
        /* From the middle on, too: then much is not in the blob. */
        size_t from = weir_rand_below (&r, 2) * weir_rand_below (&r, 15);
        struct weir_export_parts parts = {
            .mode = WEIR_EXPORT_UPDATE,
            .database = h.database,
            .runs = h.bytes + from,
            .n_runs = h.n_runs - from,
        };
        assert_status (weir_export_write (&parts, seed % 2 == 0, &blob, &e), WEIR_OK, &e);
        struct weir_export_reader *reader = open_blob (&blob);
        assert_status (weir_export_read_runs (reader, &runs, &e), WEIR_OK, &e);
        assert_runs (runs.runs, runs.n_runs, parts.runs, parts.n_runs);
        weir_export_close (&reader);
        weir_buf_fini (&blob);
        history_fini (&h);
    }
    weir_buf_fini (&payload);
}

/* ---- damage and deceit ---- */

static void
small_blob (struct history *h, struct weir_buf *blob)
{
    history_init (h);
    history_fill (h);
    struct weir_export_parts parts = {
        .mode = WEIR_EXPORT_SNAPSHOT,
        .database = h->database,
        .runs = h->bytes,
        .n_runs = h->n_runs,
        .state = weir_bytes_str ("a state a state a state a state a state a state a state a state"),
    };
    write_blob (&parts, blob);
}

static void
assert_bad (struct weir_bytes blob)
{
    struct weir_error e = { 0 };
    struct weir_export_reader *reader = NULL;
    struct weir_export_info info;
    assert_status (weir_export_open (&reader, blob, 0, &e), WEIR_BAD_EXPORT, &e);
    assert_null (reader);
    assert_status (weir_export_read_info (blob, &info, &e), WEIR_BAD_EXPORT, &e);
}

static void
test_damage (void **state)
{
    (void) state;
    struct history h;
    struct weir_buf blob = { 0 };
    small_blob (&h, &blob);
    for (size_t len = 0; len < blob.len; len++) {
        uint8_t *exact = weir_realloc (NULL, len + 1);
        memcpy (exact, blob.data, len);
        assert_bad (weir_bytes (exact, len));
        free (exact);
    }
    for (size_t at = 0; at < blob.len; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            blob.data[at] ^= (uint8_t) (1u << bit);
            assert_bad (weir_buf_bytes (&blob));
            blob.data[at] ^= (uint8_t) (1u << bit);
        }
    }
    weir_buf_put_u8 (&blob, 0);
    assert_bad (weir_buf_bytes (&blob));
    weir_buf_fini (&blob);
    history_fini (&h);
}

/* As whoever makes blobs to deceive would. */
static void
fix_check (struct weir_buf *blob)
{
    weir_export_check (weir_buf_bytes (blob), blob->data + WEIR_EXPORT_MAGIC_BYTES);
}

/* Reads all there is; any status but those is a bug. */
static enum weir_status
read_all (struct weir_bytes blob, size_t bytes_max)
{
    struct weir_error e = { 0 };
    struct weir_export_reader *reader = NULL;
    struct weir_export_runs runs;
    struct weir_bytes doc;
    const struct weir_export_root *root = NULL;
    enum weir_status status = weir_export_open (&reader, blob, bytes_max, &e);
    if (status == WEIR_OK) {
        status = weir_export_read_state (reader, &doc, &e);
    }
    if (status == WEIR_OK) {
        status = weir_export_read_root (reader, &root, &e);
    }
    if (status == WEIR_OK) {
        status = root != NULL ? weir_export_verify_root (reader, &e) : WEIR_OK;
    }
    if (status == WEIR_OK) {
        status = weir_export_read_runs (reader, &runs, &e);
    }
    if (status != WEIR_OK && reader != NULL) {
        assert_true (weir_export_read_runs (reader, &runs, &e) != WEIR_PENDING);
    }
    weir_export_close (&reader);
    assert_true (status == WEIR_OK || status == WEIR_BAD_EXPORT || status == WEIR_BAD_RUN
                 || status == WEIR_NEEDS_UPGRADE || status == WEIR_LIMIT
                 || status == WEIR_BAD_SIGNATURE);
    return status;
}

static void
test_deceit (void **state)
{
    (void) state;
    struct history h;
    struct weir_buf blob = { 0 };
    struct weir_buf copy = { 0 };
    struct weir_rand r;
    size_t good = 0;
    weir_rand_init (&r, 3);
    small_blob (&h, &blob);
    for (int i = 0; i < 20000; i++) {
        weir_buf_clear (&copy);
        weir_buf_put_bytes (&copy, weir_buf_bytes (&blob));
        for (uint64_t n = weir_rand_below (&r, 3) + 1; n > 0; n--) {
            size_t at = WEIR_EXPORT_BEGIN + weir_rand_below (&r, blob.len - WEIR_EXPORT_BEGIN);
            copy.data[at] = weir_rand_below (&r, 2) == 0
                                ? (uint8_t) weir_rand_u64 (&r)
                                : (uint8_t) (copy.data[at] + weir_rand_below (&r, 3) - 1);
        }
        if (weir_rand_below (&r, 8) == 0) {
            copy.len = WEIR_EXPORT_BEGIN + weir_rand_below (&r, blob.len - WEIR_EXPORT_BEGIN);
        }
        fix_check (&copy);
        good += read_all (weir_buf_bytes (&copy), 1u << 20) == WEIR_OK;
    }
    assert_true (good > 0); /* some bytes are nobody's business here: states, signatures */
    weir_buf_fini (&blob);
    weir_buf_fini (&copy);
    history_fini (&h);
}

static void
test_format (void **state)
{
    (void) state;
    struct history h;
    struct weir_buf blob = { 0 };
    small_blob (&h, &blob);
    blob.data[WEIR_EXPORT_BEGIN] = WEIR_EXPORT_FORMAT + 1;
    fix_check (&blob);
    assert_int_equal (read_all (weir_buf_bytes (&blob), 0), WEIR_NEEDS_UPGRADE);
    blob.data[WEIR_EXPORT_BEGIN] = 0;
    fix_check (&blob);
    assert_int_equal (read_all (weir_buf_bytes (&blob), 0), WEIR_BAD_EXPORT);
    weir_buf_fini (&blob);
    history_fini (&h);
}

/* More than was allowed does not come out, in one piece or in many. */
static void
test_limits (void **state)
{
    (void) state;
    struct history h;
    struct weir_buf blob = { 0 };
    struct weir_buf much = { 0 };
    history_init (&h);
    history_fill (&h);
    weir_buf_reserve (&much, 4u << 20);
    memset (much.data, 'x', 4u << 20);
    much.len = 4u << 20;
    struct weir_export_parts parts = {
        .mode = WEIR_EXPORT_SNAPSHOT,
        .database = h.database,
        .runs = h.bytes,
        .n_runs = h.n_runs,
        .state = weir_buf_bytes (&much),
    };
    write_blob (&parts, &blob);
    assert_in_range (blob.len, 1, 4096);
    assert_int_equal (read_all (weir_buf_bytes (&blob), 4u << 20), WEIR_LIMIT);
    assert_int_equal (read_all (weir_buf_bytes (&blob), 5u << 20), WEIR_OK);
    weir_buf_clear (&blob);
    parts.state = weir_bytes (NULL, 0);
    write_blob (&parts, &blob);
    size_t room = 64;
    while (read_all (weir_buf_bytes (&blob), room) == WEIR_LIMIT) {
        room += 64;
    }
    assert_int_equal (read_all (weir_buf_bytes (&blob), room), WEIR_OK);
    assert_in_range (room, 1024, 65536);
    weir_buf_fini (&much);
    weir_buf_fini (&blob);
    history_fini (&h);
}

/* A section must unpack to exactly its length. */
static void
test_unpack (void **state)
{
    (void) state;
    struct weir_buf sections[WEIR_EXPORT_SECTIONS] = { { 0 } };
    struct weir_buf packed = { 0 };
    struct weir_buf out = { 0 };
    size_t lens[WEIR_EXPORT_SECTIONS];
    for (unsigned i = 0; i < 100000; i++) {
        weir_buf_printf (&sections[WEIR_EXPORT_TEXT], "%u,", i % 977);
    }
    size_t len = sections[WEIR_EXPORT_TEXT].len;
    weir_export_pack (sections, false, &packed, lens);
    struct weir_bytes all = weir_buf_bytes (&packed);
    assert_int_equal (packed.len, lens[WEIR_EXPORT_TEXT]);
    assert_true (weir_export_unpack (all, len, &out));
    assert_true (
        weir_bytes_equal (weir_buf_bytes (&out), weir_buf_bytes (&sections[WEIR_EXPORT_TEXT])));
    assert_false (weir_export_unpack (all, len - 1, &out));
    assert_false (weir_export_unpack (all, len + 1, &out));
    assert_false (weir_export_unpack (all, 0, &out));
    assert_false (weir_export_unpack (weir_bytes (NULL, 0), 0, &out));
    assert_false (weir_export_unpack (weir_bytes (NULL, 0), 9, &out));
    for (size_t cut = 0; cut < all.len; cut += 7) {
        assert_false (weir_export_unpack (weir_bytes (all.data, cut), len, &out));
    }
    weir_buf_put_u8 (&packed, 0);
    assert_false (weir_export_unpack (weir_buf_bytes (&packed), len, &out));
    weir_buf_fini (&sections[WEIR_EXPORT_TEXT]);
    weir_buf_fini (&packed);
    weir_buf_fini (&out);
}

/* ---- roots ---- */

/* What a signer has not said, and what cannot be searched. */
static void
check_forgeries (struct weir_export_parts *parts, struct weir_export_root *root)
{
    struct weir_buf blob = { 0 };
    struct weir_row *rows = root->vector.rows;
    struct weir_op_row *ops = root->ops_vector.rows;
    /* Other words under the same signature. */
    root->state = weir_bytes_str ("the state at the loot");
    weir_buf_clear (&blob);
    write_blob (parts, &blob);
    assert_int_equal (read_all (weir_buf_bytes (&blob), 0), WEIR_BAD_SIGNATURE);
    root->state = weir_bytes_str ("the state at the root");
    parts->n_settings = 1;
    weir_buf_clear (&blob);
    write_blob (parts, &blob);
    assert_int_equal (read_all (weir_buf_bytes (&blob), 0), WEIR_BAD_SIGNATURE);
    parts->n_settings = 2;
    rows[1].count++;
    weir_buf_clear (&blob);
    write_blob (parts, &blob);
    assert_int_equal (read_all (weir_buf_bytes (&blob), 0), WEIR_BAD_SIGNATURE);
    rows[1].count--;

    /* A shallow one without a root, and rows that cannot be searched. */
    parts->root = NULL;
    weir_buf_clear (&blob);
    write_blob (parts, &blob);
    assert_int_equal (read_all (weir_buf_bytes (&blob), 0), WEIR_BAD_EXPORT);
    parts->root = root;
    rows[2] = rows[1];
    ops[2] = ops[1];
    weir_buf_clear (&blob);
    write_blob (parts, &blob);
    assert_int_equal (read_all (weir_buf_bytes (&blob), 0), WEIR_BAD_EXPORT);
    weir_buf_fini (&blob);
}

static void
test_root (void **state)
{
    (void) state;
    struct history h;
    struct weir_buf blob = { 0 };
    struct weir_error e = { 0 };
    history_init (&h);
    history_fill (&h);
    struct weir_row rows[3] = { { history_chain (&h, 0), h.seqs[0], h.tips[0] },
                                { history_chain (&h, 1), h.seqs[1], h.tips[1] },
                                { history_chain (&h, 2), 1, h.tips[2] } };
    struct weir_op_row ops[3];
    for (size_t i = 0; i < 3; i++) { /* few: by hand */
        for (size_t k = i + 1; k < 3; k++) {
            if (weir_chain_compare (&rows[i].chain, &rows[k].chain) > 0) {
                struct weir_row other = rows[i];
                rows[i] = rows[k];
                rows[k] = other;
            }
        }
        ops[i] = (struct weir_op_row){ rows[i].chain, rows[i].tip, 10 * i };
    }
    struct weir_export_root root = {
        .entry = h.tips[2],
        .lamport = 31,
        .vector = { .rows = rows, .count = 3 },
        .ops_vector = { .rows = ops, .count = 3 },
        .state = weir_bytes_str ("the state at the root"),
        .signer = h.devices[1].device,
    };
    struct weir_bytes settings[2] = { h.bytes[0], h.bytes[h.n_runs - 1] };
    struct weir_id hash = weir_export_root_hash (&h.database, &root, settings, 2);
    weir_sign (&root.signature, &h.devices[1], WEIR_SIGN_EXPORT, weir_id_bytes (&hash));
    struct weir_export_parts parts = {
        .mode = WEIR_EXPORT_SHALLOW,
        .database = h.database,
        .root = &root,
        .settings = settings,
        .n_settings = 2,
    };
    write_blob (&parts, &blob);
    struct weir_export_reader *reader = open_blob (&blob);
    const struct weir_export_root *got = NULL;
    assert_int_equal (weir_export_info (reader)->root.count, 1);
    assert_status (weir_export_verify_root (reader, &e), WEIR_OK, &e);
    assert_status (weir_export_read_root (reader, &got, &e), WEIR_OK, &e);
    assert_int_equal (got->lamport, 31);
    assert_int_equal (got->vector.count, 3);
    assert_memory_equal (got->vector.rows, rows, sizeof rows);
    assert_memory_equal (got->ops_vector.rows, ops, sizeof ops);
    assert_true (weir_bytes_equal (got->state, root.state));
    weir_export_close (&reader);

    check_forgeries (&parts, &root);
    weir_buf_fini (&blob);
    history_fini (&h);
}

int
main (void)
{
    weir_crypto_init ();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_round_trip), cmocka_unit_test (test_empty),
        cmocka_unit_test (test_bad_run),    cmocka_unit_test (test_any_runs),
        cmocka_unit_test (test_damage),     cmocka_unit_test (test_deceit),
        cmocka_unit_test (test_format),     cmocka_unit_test (test_limits),
        cmocka_unit_test (test_unpack),     cmocka_unit_test (test_root),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
