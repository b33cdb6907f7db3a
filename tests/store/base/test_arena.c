/* Goal: an arena gives zeroed, aligned memory and never a byte more than its cap, whatever
 * sizes a hostile message asks for. */

#include "tests/store/base/unit.h"

#include "store/base/arena.h"
#include "store/base/rand.h"

static void
test_alloc (void **state)
{
    (void) state;
    struct weir_arena *arena = weir_arena_new (1u << 20);
    struct weir_rand rand;
    weir_rand_init (&rand, 3);
    uint8_t *kept[200];
    size_t sizes[200];
    for (size_t i = 0; i < 200; i++) {
        sizes[i] = 1 + (size_t) weir_rand_below (&rand, i % 20 == 0 ? 5000 : 200);
        kept[i] = weir_arena_alloc (arena, sizes[i]);
        assert_non_null (kept[i]);
        assert_int_equal ((uintptr_t) kept[i] % _Alignof(max_align_t), 0);
        for (size_t j = 0; j < sizes[i]; j++) {
            assert_int_equal (kept[i][j], 0);
        }
        memset (kept[i], (int) i, sizes[i]);
    }
    for (size_t i = 0; i < 200; i++) {
        assert_int_equal (kept[i][0], (uint8_t) i);
        assert_int_equal (kept[i][sizes[i] - 1], (uint8_t) i);
    }
    weir_arena_destroy (&arena);
    assert_null (arena);
    weir_arena_destroy (&arena);
}

static void
test_cap (void **state)
{
    (void) state;
    struct weir_arena *arena = weir_arena_new (4096);
    assert_null (weir_arena_alloc (arena, 4097));
    assert_null (weir_arena_alloc (arena, SIZE_MAX));
    assert_null (weir_arena_alloc (arena, SIZE_MAX - 3));
    assert_int_equal (weir_arena_used (arena), 0);
    for (unsigned i = 0; i < 4; i++) {
        assert_non_null (weir_arena_alloc (arena, 1024));
    }
    assert_int_equal (weir_arena_used (arena), 4096);
    assert_null (weir_arena_alloc (arena, 1));
    assert_null (weir_arena_alloc (arena, 0));
    weir_arena_destroy (&arena);
    /* What is left but would be passed by rounding up. */
    arena = weir_arena_new (20);
    assert_non_null (weir_arena_alloc (arena, 3));
    assert_null (weir_arena_alloc (arena, 3));
    weir_arena_destroy (&arena);
    arena = weir_arena_new (SIZE_MAX);
    assert_null (weir_arena_alloc (arena, SIZE_MAX - 3));
    weir_arena_destroy (&arena);
}

static void
test_array_and_copy (void **state)
{
    (void) state;
    struct weir_arena *arena = weir_arena_new (1024);
    assert_non_null (weir_arena_array (arena, 10, 8));
    assert_null (weir_arena_array (arena, SIZE_MAX / 2, 3));
    assert_null (weir_arena_array (arena, 1000, 8));
    uint8_t *copy = weir_arena_copy (arena, weir_bytes_str ("text"));
    assert_string_equal ((char *) copy, "text");
    copy = weir_arena_copy (arena, weir_bytes (NULL, 0));
    assert_string_equal ((char *) copy, "");
    assert_null (weir_arena_copy (arena, weir_bytes ("x", SIZE_MAX)));
    assert_null (weir_arena_copy (arena, weir_bytes ("x", 1024)));
    weir_arena_destroy (&arena);
}

static void
test_reset (void **state)
{
    (void) state;
    struct weir_arena *arena = weir_arena_new (8192);
    weir_arena_reset (arena);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 8; i++) {
            uint8_t *p = weir_arena_alloc (arena, 1024);
            assert_non_null (p);
            assert_int_equal (p[1023], 0);
            memset (p, 0xff, 1024);
        }
        assert_null (weir_arena_alloc (arena, 1));
        weir_arena_reset (arena);
        assert_int_equal (weir_arena_used (arena), 0);
    }
    weir_arena_destroy (&arena);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_alloc),
        cmocka_unit_test (test_cap),
        cmocka_unit_test (test_array_and_copy),
        cmocka_unit_test (test_reset),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
