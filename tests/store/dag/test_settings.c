/* Goal: settings payloads read back as written; what is truncated, forged, too long, names a
 * device twice or carries a name that would garble a terminal is refused with the right code. */

#include "tests/store/dag/fixture.h"

#include "store/dag/members.h"

static struct weir_arena *arena;

static int
setup (void **state)
{
    (void) state;
    arena = weir_arena_new (1u << 20);
    return 0;
}

static int
teardown (void **state)
{
    (void) state;
    weir_arena_destroy (&arena);
    return 0;
}

static struct weir_settings
sample (struct weir_member_change *changes, size_t n)
{
    struct weir_settings s = { .entry_version_max = 1, .codec_max = 2, .n_changes = n };
    memset (s.random, 7, sizeof s.random);
    fixture_copy (s.database_name, "notes \xc3\xa9");
    s.changes = changes;
    for (size_t i = 0; i < n; i++) {
        changes[i] = (struct weir_member_change){
            .device = fixture_id ((uint32_t) (500 - i)),
            .right = (enum weir_right) (i % WEIR_RIGHT_COUNT),
        };
        if (i % 2 == 0) {
            memset (changes[i].name, 'a', i % (WEIR_NAME_BYTES_MAX + 1));
        }
    }
    return s;
}

static void
test_round_trip (void **state)
{
    (void) state;
    struct weir_member_change *changes = calloc (WEIR_SETTINGS_CHANGES_MAX, sizeof *changes);
    const size_t counts[] = { 0, 1, 2, WEIR_SETTINGS_CHANGES_MAX };
    for (size_t i = 0; i < 8; i++) {
        bool genesis = i >= 4;
        memset (changes, 0, WEIR_SETTINGS_CHANGES_MAX * sizeof *changes);
        struct weir_settings s = sample (changes, counts[i % 4]);
        struct weir_buf out = { 0 };
        weir_settings_put (&out, &s, genesis);
        assert_int_equal (out.data[0], WEIR_CODEC_SETTINGS);
        struct weir_settings got;
        weir_arena_reset (arena);
        assert_int_equal (weir_settings_get (&got, arena, weir_buf_bytes (&out), genesis), WEIR_OK);
        assert_string_equal (got.database_name, s.database_name);
        assert_int_equal (got.entry_version_max, 1);
        assert_int_equal (got.codec_max, 2);
        assert_int_equal (got.n_changes, s.n_changes);
        for (size_t n = 0; n < got.n_changes; n++) {
            assert_ids_equal (&got.changes[n].device, &changes[n].device);
            assert_int_equal (got.changes[n].right, changes[n].right);
            assert_string_equal (got.changes[n].name, changes[n].name);
        }
        assert_int_equal (got.random[31], genesis ? 7 : 0);
        weir_buf_fini (&out);
    }
    free (changes);
}

static void
test_every_beginning_and_any_rest_is_bad (void **state)
{
    (void) state;
    struct weir_member_change changes[3] = { 0 };
    struct weir_settings s = sample (changes, 3);
    struct weir_settings got = { .codec_max = 99 };
    struct weir_buf out = { 0 };
    weir_settings_put (&out, &s, true);
    for (size_t len = 0; len < out.len; len++) {
        uint8_t *exact = malloc (len + 1);
        memcpy (exact, out.data, len);
        assert_int_equal (weir_settings_get (&got, arena, weir_bytes (exact, len), true),
                          WEIR_BAD_PAYLOAD);
        free (exact);
    }
    assert_int_equal (got.codec_max, 99); /* written only on success */
    weir_buf_put_u8 (&out, 0);
    assert_int_equal (weir_settings_get (&got, arena, weir_buf_bytes (&out), true),
                      WEIR_BAD_PAYLOAD);
    weir_buf_fini (&out);
}

static enum weir_status
get_by_hand (uint8_t codec, const char *name, uint64_t count, uint32_t first, uint32_t second,
             uint8_t right, const char *device_name)
{
    struct weir_buf out = { 0 };
    weir_buf_put_u8 (&out, codec);
    weir_buf_put_blob (&out, weir_bytes (name, strlen (name)));
    weir_buf_put_u8 (&out, 1);
    weir_buf_put_u8 (&out, 1);
    weir_buf_put_varint (&out, count);
    for (int i = 0; i < 2; i++) {
        uint32_t number = i == 0 ? first : second;
        struct weir_id id = number == 0 ? weir_id_zero : fixture_id (number);
        weir_buf_put (&out, id.b, sizeof id.b);
        weir_buf_put_u8 (&out, right);
        weir_buf_put_blob (&out, weir_bytes (device_name, strlen (device_name)));
    }
    struct weir_settings got;
    weir_arena_reset (arena);
    enum weir_status status = weir_settings_get (&got, arena, weir_buf_bytes (&out), false);
    weir_buf_fini (&out);
    return status;
}

static void
test_hostile (void **state)
{
    (void) state;
    char longest[WEIR_NAME_BYTES_MAX + 2] = { 0 };
    memset (longest, 'x', WEIR_NAME_BYTES_MAX);
    assert_int_equal (get_by_hand (2, "a", 2, 1, 2, 4, "b"), WEIR_OK);
    assert_int_equal (get_by_hand (2, longest, 2, 1, 2, 0, longest), WEIR_OK);
    assert_int_equal (get_by_hand (3, "a", 2, 1, 2, 4, "b"), WEIR_NEEDS_UPGRADE);
    assert_int_equal (get_by_hand (2, "a", 2, 1, 1, 4, "b"), WEIR_BAD_PAYLOAD); /* twice */
    assert_int_equal (get_by_hand (2, "a", 2, 1, 0, 4, "b"), WEIR_BAD_PAYLOAD); /* zero */
    assert_int_equal (get_by_hand (2, "a", 2, 1, 2, 5, "b"), WEIR_BAD_PAYLOAD); /* no right */
    assert_int_equal (get_by_hand (2, "a", 1, 1, 2, 4, "b"), WEIR_BAD_PAYLOAD); /* a rest */
    assert_int_equal (get_by_hand (2, "a", 3, 1, 2, 4, "b"), WEIR_BAD_PAYLOAD);
    assert_int_equal (get_by_hand (2, "a", 257, 1, 2, 4, "b"), WEIR_BAD_PAYLOAD);
    assert_int_equal (get_by_hand (2, "a", UINT64_MAX, 1, 2, 4, "b"), WEIR_BAD_PAYLOAD);
    assert_int_equal (get_by_hand (2, "\x1b[2J", 2, 1, 2, 4, "b"), WEIR_BAD_PAYLOAD);
    assert_int_equal (get_by_hand (2, "a", 2, 1, 2, 4, "\x7f"), WEIR_BAD_PAYLOAD);
    assert_int_equal (get_by_hand (2, "a", 2, 1, 2, 4, "\xff\xfe"), WEIR_BAD_PAYLOAD);
    longest[WEIR_NAME_BYTES_MAX] = 'x';
    assert_int_equal (get_by_hand (2, longest, 2, 1, 2, 4, "b"), WEIR_BAD_PAYLOAD);
    assert_false (weir_settings_name_is_good (longest));
    assert_true (weir_settings_name_is_good (""));
    assert_false (weir_settings_name_is_good ("a\nb"));
}

static void
test_arena_cap (void **state)
{
    (void) state;
    struct weir_member_change changes[20] = { 0 };
    struct weir_settings s = sample (changes, 20);
    struct weir_buf out = { 0 };
    weir_settings_put (&out, &s, false);
    struct weir_arena *small = weir_arena_new (64);
    struct weir_settings got;
    assert_int_equal (weir_settings_get (&got, small, weir_buf_bytes (&out), false), WEIR_LIMIT);
    weir_arena_destroy (&small);
    weir_buf_fini (&out);
}

static void
test_right_names (void **state)
{
    (void) state;
    for (unsigned i = 0; i < WEIR_RIGHT_COUNT; i++) {
        enum weir_right right = WEIR_RIGHT_COUNT;
        const char *name = weir_right_name ((enum weir_right) i);
        assert_int_equal (weir_right_parse (&right, name), WEIR_OK);
        assert_int_equal (right, i);
    }
    enum weir_right right;
    assert_int_equal (weir_right_parse (&right, "root"), WEIR_INVALID_ARGUMENT);
    assert_int_equal (weir_right_parse (&right, ""), WEIR_INVALID_ARGUMENT);
    assert_string_equal (weir_right_name (WEIR_RIGHT_COUNT), "none");
}

int
main (void)
{
    weir_crypto_init ();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_round_trip),
        cmocka_unit_test (test_every_beginning_and_any_rest_is_bad),
        cmocka_unit_test (test_hostile),
        cmocka_unit_test (test_arena_cap),
        cmocka_unit_test (test_right_names),
    };
    return cmocka_run_group_tests (tests, setup, teardown);
}
