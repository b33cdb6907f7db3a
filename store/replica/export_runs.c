/* Puts the runs of an export together again: byte for byte as they were taken apart. A ref needs
 * the ids of what stands before, so each run is decoded, which computes them, as soon as its bytes
 * are there. The blob may be hostile: counts allocate nothing, what comes out is bounded, and the
 * work is that of what comes out. */

#include "store/replica/export_parts.h"

#include <stdlib.h>
#include <string.h>

/* Room for all runs is made at once when it is at most so many times the blob. */
#define ROOM_FACTOR 16u

static uint64_t
number (struct weir_export_reader *self, enum weir_export_section i)
{
    return weir_read_varint (&self->columns[i]);
}

static struct weir_bytes
bytes_of (struct weir_export_reader *self, enum weir_export_section i, uint64_t len)
{
    struct weir_reader *r = &self->columns[i];
    if (len > weir_reader_left (r)) {
        r->bad = true;
        len = 0;
    }
    return weir_read_bytes (r, (size_t) len);
}

static void
get_ref (struct weir_export_reader *self, struct weir_id *id)
{
    struct weir_reader *heads = &self->columns[WEIR_EXPORT_HEADS];
    uint64_t ref = weir_read_varint (heads);
    uint64_t back = ref >> 1;
    if (ref == 0) {
        struct weir_bytes raw = weir_read_bytes (&self->columns[WEIR_EXPORT_RAW], WEIR_ID_BYTES);
        if (raw.len == WEIR_ID_BYTES) {
            memcpy (id->b, raw.data, WEIR_ID_BYTES);
            weir_grow (&self->raw, &self->raw_cap, self->n_raw + 1, sizeof *self->raw);
            self->raw[self->n_raw++] = raw.data;
        }
    } else if (back == 0 || back > ((ref & 1) == 0 ? self->n_entries : self->n_raw)) {
        heads->bad = true;
    } else if ((ref & 1) == 0) {
        *id = *self->entries[self->n_entries - back];
    } else {
        memcpy (id->b, self->raw[self->n_raw - back], WEIR_ID_BYTES);
    }
}

/* Nothing that is put together passes the bounds of a run: told early, so that a hostile blob
 * cannot make us copy for ever. */
static bool
is_within (const struct weir_export_reader *self, uint64_t more)
{
    return more <= WEIR_PAYLOAD_BYTES_MAX
           && self->scratch.len + more <= WEIR_RUN_HARD_BYTES_MAX + WEIR_RUN_BYTES_MAX;
}

static bool
any_bad (const struct weir_export_reader *self)
{
    bool any = false;
    for (size_t i = WEIR_EXPORT_RAW; i < WEIR_EXPORT_SECTIONS; i++) {
        any |= self->columns[i].bad;
    }
    return any;
}

static bool
get_ops (struct weir_export_reader *self)
{
    struct weir_buf *out = &self->scratch;
    uint64_t columns = number (self, WEIR_EXPORT_SIZES);
    uint64_t rest = number (self, WEIR_EXPORT_SIZES);
    const struct weir_reader *heads = &self->columns[WEIR_EXPORT_OP_HEADS];
    if (columns > weir_reader_left (heads)) {
        return false;
    }
    for (uint64_t i = 0; i < columns; i++) {
        weir_buf_put_varint (out, number (self, WEIR_EXPORT_OP_HEADS));
        weir_buf_put_varint (out, number (self, WEIR_EXPORT_OP_ATS));
        weir_buf_put_varint (out, number (self, WEIR_EXPORT_OP_COUNTS));
    }
    struct weir_bytes other = bytes_of (self, WEIR_EXPORT_REST, rest);
    if (!is_within (self, other.len)) {
        return false;
    }
    weir_buf_put_bytes (out, other);
    return true;
}

/* Appends the payload, its length in front. */
static bool
get_payload (struct weir_export_reader *self, struct weir_buf *payload)
{
    uint64_t form = number (self, WEIR_EXPORT_SIZES);
    struct weir_buf *out = &self->scratch;
    size_t begin = out->len;
    if (form == WEIR_EXPORT_BARE) {
        struct weir_bytes bare =
            bytes_of (self, WEIR_EXPORT_REST, number (self, WEIR_EXPORT_SIZES));
        if (!is_within (self, bare.len)) {
            return false;
        }
        weir_buf_put_blob (out, bare);
        return true;
    }
    if (form == WEIR_EXPORT_APART) {
        uint64_t head = number (self, WEIR_EXPORT_SIZES);
        uint64_t rows = number (self, WEIR_EXPORT_SIZES);
        self->head = bytes_of (self, WEIR_EXPORT_REST, head);
        self->rows = bytes_of (self, WEIR_EXPORT_REST, rows);
    } else if (form != WEIR_EXPORT_AGAIN) {
        return false;
    }
    if (!is_within (self, (uint64_t) self->head.len + self->rows.len)) {
        return false;
    }
    weir_buf_put_bytes (out, self->head);
    uint64_t ids = number (self, WEIR_EXPORT_SIZES);
    if (ids > WEIR_PAYLOAD_BYTES_MAX / WEIR_ID_BYTES || !is_within (self, ids * WEIR_ID_BYTES)) {
        return false;
    }
    weir_buf_put_varint (out, ids);
    for (uint64_t i = 0; i < ids; i++) {
        struct weir_id id = weir_id_zero;
        get_ref (self, &id);
        weir_buf_put (out, id.b, WEIR_ID_BYTES);
    }
    weir_buf_put_bytes (out, self->rows);
    struct weir_bytes text = bytes_of (self, WEIR_EXPORT_TEXT, number (self, WEIR_EXPORT_SIZES));
    if (!is_within (self, text.len)) {
        return false;
    }
    weir_buf_put_blob (out, text);
    if (!get_ops (self)) {
        return false;
    }
    /* Its length goes before it. */
    weir_buf_clear (payload);
    weir_buf_put (payload, out->data + begin, out->len - begin);
    out->len = begin;
    weir_buf_put_blob (out, weir_buf_bytes (payload));
    return true;
}

static bool
get_entries (struct weir_export_reader *self, uint64_t count, struct weir_buf *payload)
{
    uint64_t clock_ms = 0;
    for (uint64_t i = 0; i < count; i++) {
        weir_buf_put_varint (&self->scratch, number (self, WEIR_EXPORT_OPS));
        self->clock_ms += (uint64_t) weir_read_zigzag (&self->columns[WEIR_EXPORT_CLOCKS]);
        weir_buf_put_zigzag (&self->scratch, (int64_t) (self->clock_ms - clock_ms));
        clock_ms = self->clock_ms;
        if (!get_payload (self, payload) || any_bad (self)) {
            return false;
        }
    }
    return true;
}

/* Puts one run together in `scratch`; gives its chain. */
static bool
get_run (struct weir_export_reader *self, size_t *chain_number, struct weir_buf *payload)
{
    struct weir_buf *out = &self->scratch;
    struct weir_reader *heads = &self->columns[WEIR_EXPORT_HEADS];
    uint64_t flags = number (self, WEIR_EXPORT_HEADS);
    uint64_t chain = number (self, WEIR_EXPORT_HEADS);
    uint64_t count = number (self, WEIR_EXPORT_HEADS);
    if (heads->bad || chain >= self->n_chains || flags >> 3 > WEIR_ENTRY_DEPS_MAX
        || count > WEIR_RUN_ENTRIES_MAX) {
        return false;
    }
    const struct weir_export_chain_end *end = &self->ends[chain];
    struct weir_id id = weir_id_zero;
    *chain_number = (size_t) chain;
    weir_buf_clear (out);
    weir_buf_put_u8 (out, 1);
    weir_buf_put_u8 (out, flags & 3);
    weir_buf_put (out, self->chain_table + chain * (WEIR_ID_BYTES + 8), WEIR_ID_BYTES + 8);
    if ((flags & 4) != 0) {
        if (end->tip == 0) {
            return false;
        }
        weir_buf_put_varint (out, end->next_seq);
        weir_buf_put (out, self->entries[end->tip - 1]->b, WEIR_ID_BYTES);
    } else {
        uint64_t seq = number (self, WEIR_EXPORT_HEADS);
        weir_buf_put_varint (out, seq);
        if (seq > 0) {
            get_ref (self, &id);
            weir_buf_put (out, id.b, WEIR_ID_BYTES);
        }
    }
    weir_buf_put_u8 (out, (uint8_t) (flags >> 3));
    for (uint64_t i = 0; i < flags >> 3; i++) {
        get_ref (self, &id);
        weir_buf_put (out, id.b, WEIR_ID_BYTES);
    }
    weir_buf_put_varint (out, count);
    if (!get_entries (self, count, payload)) {
        return false;
    }
    weir_buf_put_bytes (out, bytes_of (self, WEIR_EXPORT_RAW, WEIR_SIGNATURE_BYTES));
    return !any_bad (self);
}

/* What an entry and a run cost us beyond the arena. */
static bool
has_room (struct weir_export_reader *self, size_t more)
{
    if (more > self->bytes_max - self->bytes) {
        return false;
    }
    self->bytes += more;
    return true;
}

static enum weir_status
add_run (struct weir_export_reader *self, size_t chain, struct weir_error *e)
{
    struct weir_run run;
    size_t used = 0;
    const uint8_t *copy = weir_arena_copy (self->arena, weir_buf_bytes (&self->scratch));
    if (copy == NULL || !has_room (self, sizeof run)) {
        return weir_export_too_much (e);
    }
    struct weir_bytes bytes = weir_bytes (copy, self->scratch.len);
    enum weir_status status =
        weir_run_decode (&run, self->arena, &self->info.database, bytes, &used, e);
    if (status == WEIR_PENDING || (status == WEIR_OK && used != bytes.len)) {
        return weir_export_bad (e, "a run in the export is malformed");
    }
    if (status != WEIR_OK) {
        return status;
    }
    if (!has_room (self, run.count * sizeof *self->entries)) {
        return weir_export_too_much (e);
    }
    weir_grow (&self->entries, &self->entries_cap, self->n_entries + run.count,
               sizeof *self->entries);
    for (uint32_t i = 0; i < run.count; i++) {
        self->entries[self->n_entries++] = &run.entries[i].id;
    }
    self->ends[chain] = (struct weir_export_chain_end){ .next_seq = run.seq + run.count,
                                                        .tip = (uint32_t) self->n_entries };
    weir_grow (&self->runs, &self->runs_cap, self->runs_count + 1, sizeof run);
    self->runs[self->runs_count++] = run;
    return WEIR_OK;
}

/* That the header tells of what is inside. */
static enum weir_status
check_runs (const struct weir_export_reader *self, struct weir_error *e)
{
    uint64_t entries = 0;
    uint64_t ops = 0;
    for (size_t i = 0; i < self->n_runs; i++) {
        const struct weir_run *run = &self->runs[self->n_settings + i];
        entries += run->count;
        for (uint32_t k = 0; k < run->count; k++) {
            ops += run->entries[k].ops;
        }
    }
    for (size_t i = WEIR_EXPORT_RAW; i < WEIR_EXPORT_SECTIONS; i++) {
        if (!weir_reader_done (&self->columns[i])) {
            return weir_export_bad (e, "the export holds more than its header says");
        }
    }
    if (entries != self->info.entries || ops != self->info.ops) {
        return weir_export_bad (e, "the export does not hold what its header says");
    }
    return WEIR_OK;
}

static enum weir_status
read_inert (struct weir_export_reader *self, struct weir_error *e)
{
    struct weir_reader *r = &self->columns[WEIR_EXPORT_INERT];
    uint64_t entry = 0;
    while (weir_reader_left (r) > 0) {
        uint64_t more = weir_read_varint (r);
        uint64_t status = weir_read_varint (r);
        entry += more;
        if (r->bad || more > self->info.entries || entry >= self->info.entries
            || (more == 0 && self->n_inert > 0) || status > UINT8_MAX) {
            return weir_export_bad (e, "the list of inert entries is malformed");
        }
        weir_grow (&self->inert, &self->inert_cap, self->n_inert + 1, sizeof *self->inert);
        self->inert[self->n_inert++] = (struct weir_export_inert){
            .entry = entry,
            .status = weir_status_from_number ((unsigned) status),
        };
    }
    return WEIR_OK;
}

/* What the sections take in the blob. */
static uint64_t
packed_bytes (const struct weir_export_reader *self)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < WEIR_EXPORT_SECTIONS; i++) {
        bytes += self->packed[i].len;
    }
    return bytes;
}

static enum weir_status
read_runs (struct weir_export_reader *self, struct weir_error *e)
{
    struct weir_buf payload = { 0 };
    enum weir_status status = WEIR_OK;
    for (size_t i = WEIR_EXPORT_INERT; i < WEIR_EXPORT_SECTIONS && status == WEIR_OK; i++) {
        struct weir_bytes section;
        status = weir_export_open_section (self, (enum weir_export_section) i, &section, e);
        if (status == WEIR_OK) {
            self->columns[i] = weir_reader (section);
        }
    }
    if (status != WEIR_OK) {
        return status;
    }
    self->arena = weir_arena_new (self->bytes_max - self->bytes);
    self->ends = weir_alloc ((self->n_chains + 1) * sizeof *self->ends);
    /* No sum overflows: each run takes bytes of a column. */
    size_t left = weir_reader_left (&self->columns[WEIR_EXPORT_HEADS]);
    if (self->n_runs > left || self->n_pending > left || self->n_settings > left) {
        return weir_export_bad (e, "the export does not hold what its header says");
    }
    uint64_t total = self->n_settings + self->n_runs + self->n_pending;
    if (total * sizeof *self->runs <= packed_bytes (self) * ROOM_FACTOR) {
        weir_grow (&self->runs, &self->runs_cap, (size_t) total, sizeof *self->runs);
    }
    for (uint64_t i = 0; i < total && status == WEIR_OK; i++) {
        size_t chain = 0;
        status = get_run (self, &chain, &payload)
                     ? add_run (self, chain, e)
                     : weir_export_bad (e, "a run in the export is malformed");
    }
    weir_buf_fini (&payload);
    if (status == WEIR_OK) {
        status = check_runs (self, e);
    }
    return status == WEIR_OK ? read_inert (self, e) : status;
}

enum weir_status
weir_export_read_runs (struct weir_export_reader *self, struct weir_export_runs *out,
                       struct weir_error *e)
{
    if (!self->has_runs) {
        if (self->arena != NULL) {
            return weir_export_bad (e, "the export was found to be malformed");
        }
        enum weir_status status = read_runs (self, e);
        if (status != WEIR_OK) {
            return status;
        }
        self->has_runs = true;
    }
    out->settings = self->runs;
    out->n_settings = (size_t) self->n_settings;
    out->runs = self->n_settings == 0 ? self->runs : self->runs + self->n_settings;
    out->n_runs = (size_t) self->n_runs;
    out->pending = self->runs_count == 0 ? NULL : self->runs + self->n_settings + self->n_runs;
    out->n_pending = (size_t) self->n_pending;
    out->inert = self->inert;
    out->n_inert = self->n_inert;
    return WEIR_OK;
}

struct weir_arena *
weir_export_take_runs (struct weir_export_reader *self)
{
    weir_assert (self->has_runs && self->arena != NULL);
    struct weir_arena *arena = self->arena;
    self->arena = NULL;
    return arena;
}
