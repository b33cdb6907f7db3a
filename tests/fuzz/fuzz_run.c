/* Goal: whatever bytes come as runs, the decoder stays within them and its bounds, agrees with the
 * measure that does not hash, and what it accepts has exactly one encoding: built again it gives
 * the same records and ids, cut anywhere it is a run with the same ids, and joined with the run
 * behind it, where it may be, it is one too. Seeds: tests/store/dag/test_corpus.c makes them. */

#include "store/dag/run.h"

#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static struct weir_id
fuzz_database (void)
{
    struct weir_id id;
    memset (id.b, 0x77, sizeof id.b);
    return id;
}

static struct weir_arena *
arena_number (size_t i)
{
    static struct weir_arena *arenas[3];
    if (arenas[i] == NULL) {
        arenas[i] = weir_arena_new (1u << 20);
    }
    return arenas[i];
}

static bool
decode (struct weir_run *run, size_t arena, struct weir_bytes bytes, size_t *used)
{
    struct weir_id database = fuzz_database ();
    struct weir_error e = { .status = WEIR_OK };
    weir_arena_reset (arena_number (arena));
    enum weir_status status =
        weir_run_decode (run, arena_number (arena), &database, bytes, used, &e);
    weir_assert (status == e.status);
    return status == WEIR_OK;
}

/* The part decodes, and holds the entries of `run` from `index` on. */
static void
check_part (const struct weir_run *run, uint32_t index, const struct weir_buf *part)
{
    struct weir_run got;
    size_t used;
    weir_assert (decode (&got, 2, weir_buf_bytes (part), &used));
    weir_assert (used == part->len && got.count >= run->count - index);
    for (uint32_t i = index; i < run->count; i++) {
        const struct weir_run_entry *a = &run->entries[i];
        const struct weir_run_entry *b = &got.entries[i - index];
        weir_assert (weir_id_equal (&a->id, &b->id) && a->ops == b->ops);
        weir_assert (a->clock_ms == b->clock_ms && weir_bytes_equal (a->payload, b->payload));
    }
}

static void
check_cuts (const struct weir_run *run)
{
    struct weir_buf out = { 0 };
    uint32_t step = run->count / 8 + 1;
    for (uint32_t i = 0; i < run->count; i += step) {
        weir_buf_clear (&out);
        weir_run_cut (run, run->seq + i, &out);
        check_part (run, i, &out);
    }
    weir_buf_fini (&out);
}

static void
check_encoding (const struct weir_run *run)
{
    struct weir_id database = run->kind == WEIR_ENTRY_GENESIS ? weir_id_zero : fuzz_database ();
    struct weir_run_builder b;
    weir_run_builder_init (&b);
    weir_run_begin (&b, &database, run->kind, &run->chain, run->seq, &run->prev, run->deps,
                    run->n_deps);
    weir_assert (b.head.n_deps == run->n_deps);
    uint32_t n = 0;
    while (n < run->count && weir_run_has_room (&b, run->entries[n].payload.len)) {
        const struct weir_run_entry *e = &run->entries[n];
        struct weir_id id;
        weir_run_add (&b, e->ops, e->clock_ms, e->payload, &id);
        weir_assert (weir_id_equal (&id, &e->id));
        n++;
    }
    /* The builder leaves more room than the bound asks, so it may stop earlier. */
    if (n == run->count) {
        size_t head = run->bytes.len - WEIR_SIGNATURE_BYTES - b.records.len;
        weir_assert (memcmp (run->bytes.data + head, b.records.data, b.records.len) == 0);
    }
    weir_run_builder_fini (&b);
}

static void
check_join (const struct weir_run *run, struct weir_bytes rest)
{
    struct weir_run next;
    size_t used;
    if (!decode (&next, 1, rest, &used) || !weir_run_can_join (run, &next)) {
        return;
    }
    struct weir_buf out = { 0 };
    weir_run_join (run, &next, &out);
    check_part (run, 0, &out);
    weir_buf_fini (&out);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    weir_crypto_init ();
    struct weir_bytes bytes = weir_bytes (data, size);
    struct weir_run run;
    size_t used = 0;
    size_t length = 0;
    enum weir_status measured = weir_run_length (bytes, &length);
    if (!decode (&run, 0, bytes, &used)) {
        return 0;
    }
    weir_assert (measured == WEIR_OK && length == used && used <= size);
    weir_assert (run.count > 0 && run.count <= WEIR_RUN_ENTRIES_MAX);
    weir_assert (run.count == 1 ? used <= WEIR_RUN_HARD_BYTES_MAX : used <= WEIR_RUN_BYTES_MAX);
    weir_assert (weir_id_equal (weir_run_tip (&run), &run.entries[run.count - 1].id));
    (void) weir_run_verify (&run);
    check_cuts (&run);
    check_encoding (&run);
    check_join (&run, weir_bytes (data + used, size - used));
    return 0;
}
