/* Builds runs: group commit adds entries as they are sealed and pays one signature at the close.
 * It never reads what others sent; its arguments are the store's own, so it asserts. */

#include "store/dag/run_parts.h"

#include <stdlib.h>
#include <string.h>

/* The most that the numbers of a record take: ops, clock, payload length. */
#define RECORD_NUMBERS_MAX (4u + 10u + 3u)

void
weir_run_builder_init (struct weir_run_builder *b)
{
    *b = (struct weir_run_builder){ .next_seq = 0 };
}

void
weir_run_builder_fini (struct weir_run_builder *b)
{
    weir_buf_fini (&b->records);
    weir_run_builder_init (b);
}

/* Sorted, distinct, without prev: the canonical form. */
static void
set_deps (struct weir_run *head, const struct weir_id *deps, size_t n_deps)
{
    head->n_deps = 0;
    for (size_t i = 0; i < n_deps; i++) {
        size_t at = 0;
        while (at < head->n_deps && weir_id_compare (&head->deps[at], &deps[i]) < 0) {
            at++;
        }
        if ((at < head->n_deps && weir_id_equal (&head->deps[at], &deps[i]))
            || (head->seq > 0 && weir_id_equal (&head->prev, &deps[i]))) {
            continue;
        }
        weir_assert (head->n_deps < WEIR_ENTRY_DEPS_MAX);
        memmove (&head->deps[at + 1], &head->deps[at], (head->n_deps - at) * sizeof head->deps[0]);
        head->deps[at] = deps[i];
        head->n_deps++;
    }
}

void
weir_run_begin (struct weir_run_builder *b, const struct weir_id *database, uint8_t kind,
                const struct weir_chain *chain, uint64_t seq, const struct weir_id *prev,
                const struct weir_id *deps, size_t n_deps)
{
    weir_assert (kind < WEIR_ENTRY_KIND_COUNT);
    weir_buf_clear (&b->records);
    b->database = *database;
    b->head.kind = kind;
    b->head.chain = *chain;
    b->head.seq = seq;
    b->head.prev = seq == 0 ? weir_id_zero : *prev;
    b->head.count = 0;
    set_deps (&b->head, deps, n_deps);
    b->tip = b->head.prev;
    b->clock_ms = 0;
    b->next_seq = seq;
}

bool
weir_run_has_room (const struct weir_run_builder *b, size_t payload_bytes)
{
    if (b->head.count == 0) {
        return true;
    }
    return !weir_run_kind_is_alone (b->head.kind) && b->head.count < WEIR_RUN_ENTRIES_MAX
           && WEIR_RUN_COUNTED_HEAD + b->records.len + RECORD_NUMBERS_MAX + payload_bytes
                  <= WEIR_RUN_BYTES_MAX;
}

void
weir_run_add (struct weir_run_builder *b, uint32_t ops, uint64_t clock_ms,
              struct weir_bytes payload, struct weir_id *id)
{
    weir_assert (payload.len <= WEIR_PAYLOAD_BYTES_MAX && weir_run_has_room (b, payload.len));
    struct weir_entry e;
    bool first = b->head.count == 0;
    e.version = WEIR_ENTRY_VERSION;
    e.kind = b->head.kind;
    e.database = b->database;
    e.author = b->head.chain.author;
    e.lane = b->head.chain.lane;
    e.seq = b->next_seq;
    e.prev = b->tip;
    e.n_deps = first ? b->head.n_deps : 0;
    memcpy (e.deps, b->head.deps, (size_t) e.n_deps * sizeof e.deps[0]);
    e.ops = ops;
    e.clock_ms = clock_ms;
    e.payload_bytes = (uint32_t) payload.len;
    e.payload_hash = weir_payload_hash (payload);
    if (first) {
        weir_assert (weir_entry_check (&e, NULL) == WEIR_OK);
    }
    weir_assert (ops <= WEIR_ENTRY_OPS_MAX && (ops == 0 || e.kind == WEIR_ENTRY_DATA));
    b->tip = weir_entry_id (&e);
    weir_buf_put_varint (&b->records, ops);
    weir_buf_put_varint (&b->records, weir_run_clock_delta (b->clock_ms, clock_ms));
    weir_buf_put_varint (&b->records, payload.len);
    weir_buf_put_bytes (&b->records, payload);
    b->clock_ms = clock_ms;
    b->next_seq++;
    b->head.count++;
    *id = b->tip;
}

void
weir_run_close (struct weir_run_builder *b, const struct weir_identity *identity,
                struct weir_buf *out)
{
    weir_assert (b->head.count > 0 && weir_id_equal (&identity->device, &b->head.chain.author));
    weir_sign (&b->head.signature, identity, WEIR_SIGN_ENTRY, weir_id_bytes (&b->tip));
    weir_run_put_head (out, &b->head);
    weir_buf_put (out, b->records.data, b->records.len);
    weir_buf_put (out, b->head.signature.b, WEIR_SIGNATURE_BYTES);
    weir_buf_clear (&b->records);
    b->head.count = 0;
    b->head.kind = WEIR_ENTRY_KIND_COUNT; /* nothing may be added before the next begin */
}
