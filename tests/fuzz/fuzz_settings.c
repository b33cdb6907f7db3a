/* Goal: whatever bytes come as a settings payload, the decoder stays within them and its bounds,
 * and what it accepts has exactly one encoding; membership takes it as a genesis and as a change,
 * and still answers. The first byte says whether the payload is a genesis's. Seeds:
 * tests/store/dag/test_corpus.c makes them. */

#include "store/crypto/sign.h"
#include "store/dag/members.h"

#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static struct weir_id
numbered (uint8_t number)
{
    struct weir_id id;
    memset (id.b, number, sizeof id.b);
    return id;
}

static void
check_encoding (const struct weir_settings *s, struct weir_bytes payload, bool genesis)
{
    struct weir_buf out = { 0 };
    weir_settings_put (&out, s, genesis);
    weir_assert (weir_bytes_equal (weir_buf_bytes (&out), payload));
    weir_buf_fini (&out);
}

static void
check_members (const struct weir_settings *s)
{
    struct weir_members *m = weir_members_new ();
    const struct weir_chain founder = { numbered (1), 1 };
    struct weir_id first = numbered (2);
    struct weir_id second = numbered (3);
    uint32_t view = weir_members_with (m, 0, weir_members_add (m, &first, &founder, 0, s));
    view = weir_members_with (m, view, weir_members_add (m, &second, &founder, view, s));
    size_t count = 0;
    const struct weir_member *list = weir_members_list (m, view, &count);
    weir_assert (count >= 1 && count <= s->n_changes + 1);
    for (size_t i = 0; i < count; i++) {
        enum weir_right right = list[i].right;
        weir_assert (strlen (list[i].name) <= WEIR_NAME_BYTES_MAX);
        weir_assert (right == weir_members_right (m, view, &list[i].device));
    }
    weir_assert (strcmp (weir_members_database_name (m, view), s->database_name) == 0);
    weir_members_destroy (&m);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    static struct weir_arena *arena;
    if (arena == NULL) {
        weir_crypto_init ();
        arena = weir_arena_new (1u << 20);
    }
    if (size == 0) {
        return 0;
    }
    bool genesis = (data[0] & 1) != 0;
    struct weir_bytes payload = weir_bytes (data + 1, size - 1);
    struct weir_settings s;
    weir_arena_reset (arena);
    if (weir_settings_get (&s, arena, payload, genesis) == WEIR_OK) {
        weir_assert (s.n_changes <= WEIR_SETTINGS_CHANGES_MAX);
        check_encoding (&s, payload, genesis);
        check_members (&s);
    }
    return 0;
}
