/* Goal: whatever bytes come as a message, the codec stays within them and its caps; what it takes
 * packs and unpacks to the same again. The first two bytes choose the kind, the third whether it
 * is an answer; then the envelope is tried on the same bytes, and the meta. Seeds: one for each
 * of several kinds, as an actor would send it. */

#include "protos/codec.h"

#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static void
try_envelope (struct weir_bytes bytes)
{
    struct weir_envelope e;
    uint8_t again[WEIR_ENVELOPE_BYTES];
    if (weir_envelope_get (&e, bytes) == WEIR_OK) {
        weir_envelope_put (&e, again);
        weir_assert (weir_bytes_equal (weir_bytes (again, sizeof again), bytes));
    }
}

static void
try_meta (const struct weir_kind *kind, bool answer, struct weir_bytes bytes)
{
    struct weir_arena *arena = weir_arena_new (2 * WEIR_UNPACK_BYTES_MAX);
    struct weir_buf once = { 0 };
    struct weir_buf twice = { 0 };
    ProtobufCMessage *message = NULL;
    if (weir_meta_get (&message, arena, kind, answer, bytes) == WEIR_OK && message != NULL) {
        weir_meta_put (&once, message);
        /* Packed anew the bytes may differ (minimal numbers, last of repeated fields); what
         * they say may not. */
        if (weir_meta_get (&message, arena, kind, answer, weir_buf_bytes (&once)) == WEIR_OK) {
            weir_meta_put (&twice, message);
            weir_assert (weir_bytes_equal (weir_buf_bytes (&once), weir_buf_bytes (&twice)));
        }
    }
    struct weir_error e;
    weir_problem_get (&e, WEIR_FAILED, bytes);
    weir_buf_fini (&once);
    weir_buf_fini (&twice);
    weir_arena_destroy (&arena);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    if (size < 3) {
        return 0;
    }
    struct weir_bytes rest = weir_bytes (data + 3, size - 3);
    const struct weir_kind *kind = weir_kind (weir_load_u16 (data));
    try_envelope (rest);
    if (kind != NULL) {
        try_meta (kind, (data[2] & 1) != 0, rest);
    }
    return 0;
}
