/* Goal: the map holds what a slow, obvious model holds, iterates in order of insertion under any
 * hash key, and its hash is SipHash-1-3. */

#include "tests/store/base/unit.h"

#include "store/base/map.h"
#include "store/base/rand.h"

#define MODEL_MAX 4096

static void
test_siphash (void **state)
{
    (void) state;
    static const struct {
        const char *text;
        uint64_t hash; /* as CPython 3.11 has it, with a key of zeros */
    } rows[] = {
        { "a", 0x407448d2b89b1813u },
        { "abcdefg", 0x6db12aae9070f506u },
        { "abcdefgh", 0x3f7b849c0b8e35eau },
        { "abcdefghi", 0xf89b34a3d11eb6e5u },
    };
    uint8_t bytes[63];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_true (weir_hash64 (weir_bytes_str (rows[i].text)) == rows[i].hash);
    }
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t) i;
    }
    assert_true (weir_hash64 (weir_bytes (bytes, sizeof bytes)) == 0x385d3e39e5f37359u);
    /* The first vector of the authors: key 0..15, no input. */
    weir_map_seed (bytes);
    assert_true (weir_hash64 (weir_bytes (NULL, 0)) == 0xabac0158050fc4dcu);
    memset (bytes, 0, sizeof bytes);
    weir_map_seed (bytes);
}

static void
test_basics (void **state)
{
    (void) state;
    struct weir_map *map = weir_map_new ();
    int one = 1;
    int two = 2;
    size_t i = 0;
    struct weir_bytes key = weir_bytes_str ("key");
    assert_null (weir_map_get (map, key));
    assert_null (weir_map_remove (map, key));
    assert_false (weir_map_next (map, &i, NULL, NULL));
    assert_null (weir_map_put (map, key, &one));
    assert_ptr_equal (weir_map_get (map, key), &one);
    assert_ptr_equal (weir_map_put (map, key, &two), &one);
    assert_int_equal (weir_map_count (map), 1);
    assert_null (weir_map_get (map, weir_bytes_str ("ke")));
    assert_null (weir_map_remove (map, weir_bytes_str ("keys")));
    assert_null (weir_map_put (map, weir_bytes (NULL, 0), &one)); /* no bytes are a key too */
    assert_ptr_equal (weir_map_get (map, weir_bytes_str ("")), &one);
    assert_ptr_equal (weir_map_remove (map, key), &two);
    assert_null (weir_map_get (map, key));
    assert_int_equal (weir_map_count (map), 1);
    weir_map_destroy (&map, NULL);
    assert_null (map);
    weir_map_destroy (&map, NULL);
}

static void
test_destroy_calls (void **state)
{
    (void) state;
    struct weir_map *map = weir_map_new ();
    for (unsigned i = 0; i < 100; i++) {
        assert_null (weir_map_put (map, weir_bytes (&i, sizeof i), weir_alloc (8)));
    }
    unsigned first = 0;
    unsigned middle = 50;
    free (weir_map_remove (map, weir_bytes (&first, sizeof first)));
    free (weir_map_remove (map, weir_bytes (&middle, sizeof middle)));
    weir_map_destroy (&map, free); /* the leak checker counts the rest */
}

/* The model: an array in order of insertion. */
struct model {
    uint16_t keys[MODEL_MAX];
    int *values[MODEL_MAX];
    size_t count;
};

static size_t
model_find (const struct model *m, uint16_t key)
{
    size_t i = 0;
    while (i < m->count && m->keys[i] != key) {
        i++;
    }
    return i;
}

static void
model_remove (struct model *m, size_t at)
{
    m->count--;
    memmove (m->keys + at, m->keys + at + 1, (m->count - at) * sizeof *m->keys);
    memmove (m->values + at, m->values + at + 1, (m->count - at) * sizeof *m->values);
}

static void
assert_same (const struct weir_map *map, const struct model *m)
{
    size_t i = 0;
    size_t n = 0;
    struct weir_bytes key;
    void *value = NULL;
    assert_int_equal (weir_map_count (map), m->count);
    while (weir_map_next (map, &i, &key, &value)) {
        assert_true (n < m->count);
        assert_true (weir_bytes_equal (key, weir_bytes (&m->keys[n], sizeof m->keys[n])));
        assert_ptr_equal (value, m->values[n]);
        n++;
    }
    assert_int_equal (n, m->count);
}

static void
run_against_model (uint64_t seed, uint64_t keys)
{
    static int values[64];
    struct model *m = weir_alloc (sizeof *m);
    struct weir_map *map = weir_map_new ();
    struct weir_rand rand;
    weir_rand_init (&rand, seed);
    for (unsigned step = 0; step < 4000; step++) {
        uint16_t key = (uint16_t) weir_rand_below (&rand, keys);
        struct weir_bytes bytes = weir_bytes (&key, sizeof key);
        size_t at = model_find (m, key);
        int *there = at < m->count ? m->values[at] : NULL;
        uint64_t act = weir_rand_below (&rand, 10);
        if (act < (step / 500 % 2 == 0 ? 6 : 3)) {
            int *value = &values[weir_rand_below (&rand, 64)];
            assert_ptr_equal (weir_map_put (map, bytes, value), there);
            m->keys[at] = key;
            m->values[at] = value;
            m->count += there == NULL;
        } else if (act < 9) {
            assert_ptr_equal (weir_map_remove (map, bytes), there);
            if (there != NULL) {
                model_remove (m, at);
            }
        } else {
            assert_ptr_equal (weir_map_get (map, bytes), there);
        }
        if (step % 50 == 0) {
            assert_same (map, m);
        }
    }
    assert_same (map, m);
    weir_map_destroy (&map, NULL);
    free (m);
}

static void
test_model (void **state)
{
    (void) state;
    uint8_t key[16] = { 0 };
    for (uint64_t seed = 0; seed < 20; seed++) {
        key[3] = (uint8_t) seed;
        weir_map_seed (key);
        run_against_model (seed, seed % 2 == 0 ? 40 : 3000);
    }
    memset (key, 0, sizeof key);
    weir_map_seed (key);
}

static void
test_remove_while_iterating (void **state)
{
    (void) state;
    struct weir_map *map = weir_map_new ();
    int value = 0;
    for (unsigned k = 0; k < 1000; k++) {
        assert_null (weir_map_put (map, weir_bytes (&k, sizeof k), &value));
    }
    struct weir_bytes key;
    unsigned expected = 0;
    for (size_t i = 0; weir_map_next (map, &i, &key, NULL);) {
        unsigned k = 0;
        memcpy (&k, key.data, sizeof k);
        assert_int_equal (k, expected++);
        if (k % 3 != 0) {
            assert_ptr_equal (weir_map_remove (map, key), &value);
        }
    }
    assert_int_equal (expected, 1000);
    assert_int_equal (weir_map_count (map), 334);
    weir_map_destroy (&map, NULL);
}

static void
test_queue_stays_small (void **state)
{
    (void) state;
    struct weir_map *map = weir_map_new ();
    int value = 0;
    for (unsigned k = 0; k < 100000; k++) {
        assert_null (weir_map_put (map, weir_bytes (&k, sizeof k), &value));
        if (k >= 10) {
            size_t i = 0;
            struct weir_bytes key;
            assert_true (weir_map_next (map, &i, &key, NULL));
            assert_true (i <= 32); /* the room never grew with what passed through */
            assert_ptr_equal (weir_map_remove (map, key), &value);
        }
    }
    assert_int_equal (weir_map_count (map), 10);
    weir_map_destroy (&map, NULL);
}

static void
put_null (void)
{
    struct weir_map *map = weir_map_new ();
    (void) weir_map_put (map, weir_bytes_str ("key"), NULL);
}

static void
test_null_is_a_bug (void **state)
{
    (void) state;
    assert_aborts (put_null);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_siphash),
        cmocka_unit_test (test_basics),
        cmocka_unit_test (test_destroy_calls),
        cmocka_unit_test (test_model),
        cmocka_unit_test (test_remove_while_iterating),
        cmocka_unit_test (test_queue_stays_small),
        cmocka_unit_test (test_null_is_a_bug),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
