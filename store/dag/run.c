/* Reads, cuts and joins runs. A run is decoded in two passes: the first walks its shape and
 * bounds without hashing, so that the beginning of a run, or a hostile one, costs little; the
 * second computes the ids. Building is in run_build.c. Import, transfers and storage call this.
 *
 * The size of a run is counted as if its head were the largest there can be (see run_parts.h):
 * cutting a good run anywhere then gives a good run, whatever its author made of the bounds. */

#include "store/dag/run_parts.h"

#include <string.h>

/* Reads forward. Past the end is WEIR_PENDING, which the reader of store/base cannot tell from
 * bytes that are wrong; the first thing that goes wrong stays. */
struct cursor {
    const uint8_t *data;
    size_t len;
    size_t pos;
    enum weir_status status;
};

static const uint8_t *
take (struct cursor *c, size_t len)
{
    if (c->status == WEIR_OK && len > c->len - c->pos) {
        c->status = WEIR_PENDING;
    }
    if (c->status != WEIR_OK) {
        return NULL;
    }
    const uint8_t *p = c->data + c->pos;
    c->pos += len;
    return p;
}

static uint8_t
take_u8 (struct cursor *c)
{
    const uint8_t *p = take (c, 1);
    return p == NULL ? 0 : *p;
}

static void
take_id (struct cursor *c, struct weir_id *id)
{
    const uint8_t *p = take (c, WEIR_ID_BYTES);
    if (p != NULL) {
        memcpy (id->b, p, WEIR_ID_BYTES);
    }
}

/* Shortest form only: a run has one encoding. */
static uint64_t
take_varint (struct cursor *c)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        uint8_t byte = take_u8 (c);
        if (c->status != WEIR_OK) {
            return 0;
        }
        if ((shift == 63 && byte > 1) || (shift > 0 && byte == 0)) {
            break;
        }
        value |= (uint64_t) (byte & 0x7f) << shift;
        if (byte < 0x80) {
            return value;
        }
    }
    c->status = WEIR_BAD_RUN;
    return 0;
}

size_t
weir_run_varint_bytes (uint64_t value)
{
    size_t n = 1;
    while (value >= 0x80) {
        value >>= 7;
        n++;
    }
    return n;
}

uint64_t
weir_run_clock_delta (uint64_t from_ms, uint64_t to_ms)
{
    uint64_t delta = to_ms - from_ms; /* wraps, and wraps back in the decoder */
    return (delta << 1) ^ (0 - (delta >> 63));
}

size_t
weir_run_head_bytes (const struct weir_run *run)
{
    return 2 + WEIR_ID_BYTES + 8 + weir_run_varint_bytes (run->seq)
           + (run->seq == 0 ? 0 : WEIR_ID_BYTES) + 1 + (size_t) run->n_deps * WEIR_ID_BYTES
           + weir_run_varint_bytes (run->count);
}

void
weir_run_put_head (struct weir_buf *out, const struct weir_run *run)
{
    weir_buf_put_u8 (out, WEIR_RUN_FORMAT);
    weir_buf_put_u8 (out, run->kind);
    weir_buf_put (out, run->chain.author.b, WEIR_ID_BYTES);
    weir_buf_put_u64 (out, run->chain.lane);
    weir_buf_put_varint (out, run->seq);
    if (run->seq > 0) {
        weir_buf_put (out, run->prev.b, WEIR_ID_BYTES);
    }
    weir_buf_put_u8 (out, (uint8_t) run->n_deps);
    for (size_t i = 0; i < run->n_deps; i++) {
        weir_buf_put (out, run->deps[i].b, WEIR_ID_BYTES);
    }
    weir_buf_put_varint (out, run->count);
}

bool
weir_run_kind_is_alone (uint8_t kind)
{
    return kind == WEIR_ENTRY_GENESIS || kind == WEIR_ENTRY_SETTINGS;
}

/* ---- decoding ---- */

/* Everything up to the first record. */
static void
scan_head (struct cursor *c, struct weir_run *run)
{
    uint8_t format = take_u8 (c);
    if (c->status == WEIR_OK && format != WEIR_RUN_FORMAT) {
        c->status = format > WEIR_RUN_FORMAT ? WEIR_NEEDS_UPGRADE : WEIR_BAD_RUN;
    }
    run->kind = take_u8 (c);
    take_id (c, &run->chain.author);
    const uint8_t *lane = take (c, 8);
    run->chain.lane = lane == NULL ? 0 : weir_load_u64 (lane);
    run->seq = take_varint (c);
    if (c->status == WEIR_OK && run->seq > 0) {
        take_id (c, &run->prev);
    }
    run->n_deps = take_u8 (c);
    if (c->status == WEIR_OK && run->n_deps > WEIR_ENTRY_DEPS_MAX) {
        c->status = WEIR_BAD_RUN;
    }
    for (size_t i = 0; i < run->n_deps && c->status == WEIR_OK; i++) {
        take_id (c, &run->deps[i]);
    }
    uint64_t count = take_varint (c);
    if (c->status == WEIR_OK
        && (count == 0 || count > WEIR_RUN_ENTRIES_MAX || run->seq > UINT64_MAX - count
            || (count > 1 && weir_run_kind_is_alone (run->kind)))) {
        c->status = WEIR_BAD_RUN;
    }
    run->count = c->status == WEIR_OK ? (uint32_t) count : 0;
}

/* Reads ops, clock and length of one record, and takes its payload. */
static void
take_record (struct cursor *c, uint64_t clock_before_ms, struct weir_run_entry *entry)
{
    uint64_t ops = take_varint (c);
    uint64_t clock = take_varint (c);
    uint64_t len = take_varint (c);
    if (c->status == WEIR_OK && (ops > WEIR_ENTRY_OPS_MAX || len > WEIR_PAYLOAD_BYTES_MAX)) {
        c->status = WEIR_BAD_RUN;
    }
    entry->ops = (uint32_t) ops;
    entry->clock_ms = clock_before_ms + ((clock >> 1) ^ (0 - (clock & 1)));
    entry->payload.len = (size_t) len;
    entry->payload.data = take (c, c->status == WEIR_OK ? (size_t) len : 0);
}

/* Walks the records for shape and bounds; a size that cannot be good is known before its bytes
 * are there. */
static void
scan_records (struct cursor *c, const struct weir_run *run)
{
    size_t counted = WEIR_RUN_COUNTED_HEAD;
    uint64_t clock_ms = 0;
    for (uint32_t i = 0; i < run->count && c->status == WEIR_OK; i++) {
        struct weir_run_entry entry = { 0 };
        size_t start = c->pos;
        take_record (c, clock_ms, &entry);
        if (c->status != WEIR_OK && c->status != WEIR_PENDING) {
            return;
        }
        if (c->status == WEIR_PENDING) {
            /* Between its three numbers and its payload the length is already known. */
            counted += entry.payload.len;
        } else {
            counted += c->pos - start;
        }
        if (i == 0 && c->status == WEIR_OK) {
            counted -= weir_run_varint_bytes (weir_run_clock_delta (0, entry.clock_ms));
        }
        if ((run->count > 1 && counted > WEIR_RUN_BYTES_MAX)
            || (entry.ops != 0 && run->kind != WEIR_ENTRY_DATA)) {
            c->status = WEIR_BAD_RUN;
        }
        clock_ms = entry.clock_ms;
    }
}

static void
entry_of_run (struct weir_entry *e, const struct weir_run *run, const struct weir_id *database)
{
    e->version = WEIR_ENTRY_VERSION;
    e->kind = run->kind;
    e->database = run->kind == WEIR_ENTRY_GENESIS ? weir_id_zero : *database;
    e->author = run->chain.author;
    e->lane = run->chain.lane;
    e->seq = run->seq;
    e->prev = run->prev;
    e->n_deps = run->n_deps;
    memcpy (e->deps, run->deps, (size_t) run->n_deps * sizeof run->deps[0]);
}

/* The second pass: two hashes an entry, no allocation. `e` is the first entry's header. */
static void
compute_ids (struct cursor *c, const struct weir_run *run, struct weir_entry *e)
{
    uint64_t clock_ms = 0;
    for (uint32_t i = 0; i < run->count; i++) {
        struct weir_run_entry *entry = &run->entries[i];
        take_record (c, clock_ms, entry);
        clock_ms = entry->clock_ms;
        e->ops = entry->ops;
        e->clock_ms = entry->clock_ms;
        e->payload_bytes = (uint32_t) entry->payload.len;
        e->payload_hash = weir_payload_hash (entry->payload);
        entry->id = weir_entry_id (e);
        e->seq++;
        e->prev = entry->id;
        e->n_deps = 0;
    }
}

static enum weir_status
scan_failed (enum weir_status status, struct weir_error *e)
{
    switch ((int) status) {
    case WEIR_PENDING:
        return weir_error_set (e, status, NULL, "the run is not complete");
    case WEIR_NEEDS_UPGRADE:
        return weir_error_set (e, status, NULL, "the run has a format from the future");
    default:
        return weir_error_set (e, WEIR_BAD_RUN, NULL,
                               "the run is malformed or passes the bounds of a run");
    }
}

enum weir_status
weir_run_length (struct weir_bytes bytes, size_t *used)
{
    struct weir_run r = { .count = 0 };
    struct cursor c = { .data = bytes.data, .len = bytes.len, .status = WEIR_OK };
    scan_head (&c, &r);
    scan_records (&c, &r);
    (void) take (&c, WEIR_SIGNATURE_BYTES);
    if (c.status == WEIR_OK) {
        *used = c.pos;
    }
    return c.status;
}

enum weir_status
weir_run_decode (struct weir_run *run, struct weir_arena *arena, const struct weir_id *database,
                 struct weir_bytes bytes, size_t *used, struct weir_error *e)
{
    struct weir_run r = { .count = 0 };
    struct cursor c = { .data = bytes.data, .len = bytes.len, .status = WEIR_OK };
    scan_head (&c, &r);
    size_t records_at = c.pos;
    struct weir_entry first;
    if (c.status == WEIR_OK) {
        entry_of_run (&first, &r, database);
        first.ops = 0;
        first.payload_bytes = 0;
        enum weir_status status = weir_entry_check (&first, e);
        if (status != WEIR_OK) {
            status = status == WEIR_BAD_ENTRY ? WEIR_BAD_RUN : status;
            if (e != NULL) {
                e->status = status; /* what was said of the entry stands for the run */
            }
            return status;
        }
    }
    scan_records (&c, &r);
    const uint8_t *signature = take (&c, WEIR_SIGNATURE_BYTES);
    if (c.status != WEIR_OK) {
        return scan_failed (c.status, e);
    }
    memcpy (r.signature.b, signature, WEIR_SIGNATURE_BYTES);
    r.bytes = weir_bytes (bytes.data, c.pos);
    r.entries = weir_arena_array (arena, r.count, sizeof r.entries[0]);
    if (r.entries == NULL) {
        return weir_error_set (e, WEIR_LIMIT, NULL, "no room for the %u entries of a run",
                               (unsigned) r.count);
    }
    struct cursor again = { .data = bytes.data, .len = c.pos, .pos = records_at };
    compute_ids (&again, &r, &first);
    if (r.kind == WEIR_ENTRY_GENESIS && !weir_id_equal (&r.entries[0].id, database)) {
        return weir_error_set (e, WEIR_BAD_RUN, NULL, "the genesis is of another database");
    }
    *run = r;
    *used = c.pos;
    return WEIR_OK;
}

enum weir_status
weir_run_verify (const struct weir_run *run)
{
    return weir_verify (&run->chain.author, WEIR_SIGN_ENTRY, weir_id_bytes (weir_run_tip (run)),
                        &run->signature);
}

const struct weir_id *
weir_run_tip (const struct weir_run *run)
{
    weir_assert (run->count > 0);
    return &run->entries[run->count - 1].id;
}

/* ---- cutting and joining ---- */

/* Appends the records from `index` on, that one's clock counted from `clock_before_ms`. All
 * but the numbers of the first is copied as it lies there. */
static void
put_records (struct weir_buf *out, const struct weir_run *run, uint32_t index,
             uint64_t clock_before_ms)
{
    const struct weir_run_entry *entry = &run->entries[index];
    const uint8_t *end = run->bytes.data + run->bytes.len - WEIR_SIGNATURE_BYTES;
    weir_buf_put_varint (out, entry->ops);
    weir_buf_put_varint (out, weir_run_clock_delta (clock_before_ms, entry->clock_ms));
    weir_buf_put_varint (out, entry->payload.len);
    weir_buf_put (out, entry->payload.data, (size_t) (end - entry->payload.data));
}

void
weir_run_cut (const struct weir_run *run, uint64_t seq, struct weir_buf *out)
{
    weir_assert (seq >= run->seq && seq - run->seq < run->count);
    uint32_t index = (uint32_t) (seq - run->seq);
    if (index == 0) {
        weir_buf_put_bytes (out, run->bytes);
        return;
    }
    struct weir_run head = {
        .kind = run->kind,
        .chain = run->chain,
        .seq = seq,
        .prev = run->entries[index - 1].id,
        .count = run->count - index,
    };
    weir_run_put_head (out, &head);
    put_records (out, run, index, 0);
    weir_buf_put (out, run->signature.b, WEIR_SIGNATURE_BYTES);
}

/* The bytes of the records, without what the first one's clock takes. */
static size_t
counted_records (const struct weir_run *run)
{
    uint64_t clock = weir_run_clock_delta (0, run->entries[0].clock_ms);
    return run->bytes.len - weir_run_head_bytes (run) - WEIR_SIGNATURE_BYTES
           - weir_run_varint_bytes (clock);
}

bool
weir_run_can_join (const struct weir_run *a, const struct weir_run *b)
{
    if (a->kind != b->kind || weir_run_kind_is_alone (a->kind) || b->n_deps != 0
        || weir_chain_compare (&a->chain, &b->chain) != 0 || b->seq != a->seq + a->count
        || !weir_id_equal (&b->prev, weir_run_tip (a))
        || a->count + b->count > WEIR_RUN_ENTRIES_MAX) {
        return false;
    }
    uint64_t seam =
        weir_run_clock_delta (a->entries[a->count - 1].clock_ms, b->entries[0].clock_ms);
    return WEIR_RUN_COUNTED_HEAD + counted_records (a) + counted_records (b)
               + weir_run_varint_bytes (seam)
           <= WEIR_RUN_BYTES_MAX;
}

void
weir_run_join (const struct weir_run *a, const struct weir_run *b, struct weir_buf *out)
{
    weir_assert (weir_run_can_join (a, b));
    struct weir_run head = *a;
    head.count = a->count + b->count;
    weir_run_put_head (out, &head);
    put_records (out, a, 0, 0);
    put_records (out, b, 0, a->entries[a->count - 1].clock_ms);
    weir_buf_put (out, b->signature.b, WEIR_SIGNATURE_BYTES);
}
