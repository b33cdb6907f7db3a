/* Scans and joins stored runs without hashing. The caller (the repository) verified them when it
 * stored them; bytes that do not scan are reported, since a disk may lie. */

#include "store/dag/run_scan.h"
#include "store/dag/run_parts.h"

#include <string.h>

static void
read_id (struct weir_reader *r, struct weir_id *id)
{
    struct weir_bytes b = weir_read_bytes (r, WEIR_ID_BYTES);
    if (b.len == WEIR_ID_BYTES && !r->bad) {
        memcpy (id->b, b.data, WEIR_ID_BYTES);
    }
}

static uint64_t
scan_head (struct weir_reader *r, struct weir_run *run)
{
    if (weir_read_u8 (r) != WEIR_RUN_FORMAT) {
        r->bad = true;
    }
    run->kind = weir_read_u8 (r);
    read_id (r, &run->chain.author);
    run->chain.lane = weir_read_u64 (r);
    run->seq = weir_read_varint (r);
    if (run->seq > 0) {
        read_id (r, &run->prev);
    }
    run->n_deps = weir_read_u8 (r);
    if (run->n_deps > WEIR_ENTRY_DEPS_MAX) {
        r->bad = true;
        run->n_deps = 0;
    }
    for (uint16_t i = 0; i < run->n_deps; i++) {
        read_id (r, &run->deps[i]);
    }
    return weir_read_varint (r);
}

enum weir_status
weir_run_scan (struct weir_run *run, struct weir_arena *arena, struct weir_bytes bytes)
{
    struct weir_reader r = weir_reader (bytes);
    struct weir_run x = { .count = 0 };
    uint64_t count = scan_head (&r, &x);
    if (r.bad || count == 0 || count > WEIR_RUN_ENTRIES_MAX) {
        return WEIR_BAD_RUN;
    }
    x.count = (uint32_t) count;
    x.entries = weir_arena_array (arena, x.count, sizeof x.entries[0]);
    if (x.entries == NULL) {
        return WEIR_LIMIT;
    }
    uint64_t clock_ms = 0;
    for (uint32_t i = 0; i < x.count; i++) {
        struct weir_run_entry *entry = &x.entries[i];
        entry->ops = (uint32_t) weir_read_varint (&r);
        clock_ms += (uint64_t) weir_read_zigzag (&r);
        entry->clock_ms = clock_ms;
        entry->payload = weir_read_blob (&r, WEIR_PAYLOAD_BYTES_MAX);
    }
    struct weir_bytes signature = weir_read_bytes (&r, WEIR_SIGNATURE_BYTES);
    if (!weir_reader_done (&r)) {
        return WEIR_BAD_RUN;
    }
    memcpy (x.signature.b, signature.data, WEIR_SIGNATURE_BYTES);
    x.bytes = bytes;
    *run = x;
    return WEIR_OK;
}

void
weir_run_joiner_fini (struct weir_run_joiner *j)
{
    weir_buf_fini (&j->records);
    *j = (struct weir_run_joiner){ .counted = 0 };
}

bool
weir_run_joiner_is_empty (const struct weir_run_joiner *j)
{
    return j->head.count == 0;
}

/* Appends the records of `run`, the first one's clock counted from `clock_before_ms`. */
static void
put_records (struct weir_buf *out, const struct weir_run *run, uint64_t clock_before_ms)
{
    const struct weir_run_entry *first = &run->entries[0];
    const uint8_t *end = run->bytes.data + run->bytes.len - WEIR_SIGNATURE_BYTES;
    const uint8_t *payload = first->payload.data;
    weir_buf_put_varint (out, first->ops);
    weir_buf_put_varint (out, weir_run_clock_delta (clock_before_ms, first->clock_ms));
    weir_buf_put_varint (out, first->payload.len);
    weir_buf_put (out, payload, (size_t) (end - payload));
}

bool
weir_run_joiner_add (struct weir_run_joiner *j, const struct weir_run *run)
{
    const struct weir_run_entry *first = &run->entries[0];
    size_t records = run->bytes.len - weir_run_head_bytes (run) - WEIR_SIGNATURE_BYTES
                     - weir_run_varint_bytes (weir_run_clock_delta (0, first->clock_ms));
    if (weir_run_joiner_is_empty (j)) {
        j->head = *run;
        j->counted = WEIR_RUN_COUNTED_HEAD + records;
        weir_buf_clear (&j->records);
        put_records (&j->records, run, 0);
    } else {
        uint64_t seam = weir_run_clock_delta (j->clock_ms, first->clock_ms);
        size_t counted = j->counted + records + weir_run_varint_bytes (seam);
        if (run->kind != j->head.kind || weir_run_kind_is_alone (run->kind) || run->n_deps != 0
            || counted > WEIR_RUN_BYTES_MAX || run->seq != j->head.seq + j->head.count
            || j->head.count + run->count > WEIR_RUN_ENTRIES_MAX) {
            return false;
        }
        put_records (&j->records, run, j->clock_ms);
        j->counted = counted;
        j->head.count += run->count;
        j->head.signature = run->signature;
    }
    j->clock_ms = run->entries[run->count - 1].clock_ms;
    return true;
}

void
weir_run_joiner_close (struct weir_run_joiner *j, struct weir_buf *out)
{
    weir_run_put_head (out, &j->head);
    weir_buf_put (out, j->records.data, j->records.len);
    weir_buf_put (out, j->head.signature.b, WEIR_SIGNATURE_BYTES);
    j->head.count = 0;
}
