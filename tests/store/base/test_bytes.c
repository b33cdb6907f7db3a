/* Goal: numbers survive the way into bytes and back, each has one encoding only, and no length
 * that comes from outside makes a reader leave its bytes. */

#include "tests/store/base/unit.h"

#include "store/base/bytes.h"

static void
test_slices (void **state)
{
    (void) state;
    static const struct {
        const char *a;
        const char *b;
        int order;
    } rows[] = {
        { "", "", 0 },       { NULL, "", 0 },   { "a", "", 1 },      { "", "a", -1 },
        { "ab", "abc", -1 }, { "b", "abc", 1 }, { "abc", "abc", 0 }, { "\x01", "\xff", -1 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct weir_bytes a = weir_bytes_str (rows[i].a);
        struct weir_bytes b = weir_bytes_str (rows[i].b);
        int order = weir_bytes_compare (a, b);
        assert_int_equal ((order > 0) - (order < 0), rows[i].order);
        assert_int_equal (weir_bytes_equal (a, b), rows[i].order == 0);
    }
}

static void
test_utf8 (void **state)
{
    (void) state;
    static const struct {
        const char *text;
        bool good;
        uint32_t first;
    } rows[] = {
        { "", true, 0 },
        { "plain", true, 'p' },
        { "\xc2\x80", true, 0x80 },
        { "\xdf\xbf", true, 0x7ff },
        { "\xe0\xa0\x80", true, 0x800 },
        { "\xed\x9f\xbf", true, 0xd7ff },
        { "\xee\x80\x80", true, 0xe000 },
        { "\xf0\x90\x80\x80", true, 0x10000 },
        { "\xf4\x8f\xbf\xbf", true, 0x10ffff },
        { "\x80", false, 0 },     /* a continuation alone */
        { "\xc0\x80", false, 0 }, /* not the shortest */
        { "\xc1\xbf", false, 0 },
        { "\xe0\x9f\xbf", false, 0 },
        { "\xf0\x8f\xbf\xbf", false, 0 },
        { "\xed\xa0\x80", false, 0 }, /* a surrogate */
        { "\xed\xbf\xbf", false, 0 },
        { "\xf4\x90\x80\x80", false, 0 }, /* beyond U+10FFFF */
        { "\xf8\x88\x80\x80\x80", false, 0 },
        { "\xff", false, 0 },
        { "\xc2", false, 0 }, /* cut */
        { "\xe2\x82", false, 0 },
        { "\xf0\x9f\x98", false, 0 },
        { "\xe2\x28\xa1", false, 0 }, /* no continuation */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct weir_bytes text = weir_bytes_str (rows[i].text);
        uint32_t point = 77;
        size_t n = weir_utf8_next (text, &point);
        assert_int_equal (weir_bytes_is_utf8 (text), rows[i].good);
        assert_int_equal (n > 0, rows[i].good && text.len > 0);
        assert_int_equal (point, n > 0 ? rows[i].first : 77);
    }
    assert_false (weir_bytes_is_utf8 (weir_bytes_str ("good then \xff")));
    assert_true (weir_bytes_is_utf8 (weir_bytes_str ("eight: 8, then \xc3\xa9, then eight more")));
}

static void
test_memory (void **state)
{
    (void) state;
    uint8_t *p = weir_alloc (16);
    for (size_t i = 0; i < 16; i++) {
        assert_int_equal (p[i], 0);
    }
    p = weir_realloc (p, 32);
    void *none = weir_alloc (0);
    assert_non_null (none);
    none = weir_realloc (none, 0);
    assert_non_null (none);
    free (none);
    free (p);
    char *text = weir_strdup ("text");
    assert_string_equal (text, "text");
    free (text);
    text = weir_strndup ("text", 2);
    assert_string_equal (text, "te");
    free (text);
}

static void
test_grow (void **state)
{
    (void) state;
    uint32_t *items = NULL;
    size_t cap = 0;
    weir_grow (&items, &cap, 0, sizeof *items);
    assert_null (items);
    weir_grow (&items, &cap, 1, sizeof *items);
    assert_int_equal (cap, 8);
    items[7] = 5;
    weir_grow (&items, &cap, 9, sizeof *items);
    assert_int_equal (cap, 16);
    weir_grow (&items, &cap, 100, sizeof *items);
    assert_int_equal (cap, 100);
    assert_int_equal (items[7], 5);
    free (items);
}

static void
grow_beyond_all (void)
{
    uint64_t *items = NULL;
    size_t cap = 0;
    weir_grow (&items, &cap, SIZE_MAX / 2, sizeof *items);
}

static void
grow_from_half (void)
{
    uint64_t *items = NULL;
    size_t cap = SIZE_MAX / 2;
    weir_grow (&items, &cap, cap + 1, sizeof *items);
}

static void
reserve_beyond_all (void)
{
    struct weir_buf b = { 0 };
    weir_buf_put_u8 (&b, 1);
    weir_buf_reserve (&b, SIZE_MAX);
}

static void
run_out_of_memory (void)
{
    struct rlimit small = { 1u << 20, 1u << 20 };
    (void) setrlimit (RLIMIT_DATA, &small);
    (void) weir_realloc (NULL, SIZE_MAX / 4);
}

static void
test_no_memory_aborts (void **state)
{
    (void) state;
    assert_aborts (grow_beyond_all);
    assert_aborts (grow_from_half);
    assert_aborts (reserve_beyond_all);
    /* A sanitizer would end the process in its own way first. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    assert_aborts (run_out_of_memory);
#else
    (void) run_out_of_memory;
#endif
}

static void
test_numbers_are_big_endian (void **state)
{
    (void) state;
    struct weir_buf b = { 0 };
    weir_buf_put_u8 (&b, 0x01);
    weir_buf_put_u16 (&b, 0x0203);
    weir_buf_put_u32 (&b, 0x04050607);
    weir_buf_put_u64 (&b, 0x08090a0b0c0d0e0fu);
    assert_int_equal (b.len, 15);
    for (size_t i = 0; i < 15; i++) {
        assert_int_equal (b.data[i], i + 1);
    }
    struct weir_reader r = weir_reader (weir_buf_bytes (&b));
    assert_int_equal (weir_reader_left (&r), 15);
    assert_int_equal (weir_read_u8 (&r), 0x01);
    assert_int_equal (weir_read_u16 (&r), 0x0203);
    assert_int_equal (weir_read_u32 (&r), 0x04050607);
    assert_false (weir_reader_done (&r));
    assert_true (weir_read_u64 (&r) == 0x08090a0b0c0d0e0fu);
    assert_true (weir_reader_done (&r));
    weir_buf_fini (&b);
}

static void
test_varints (void **state)
{
    (void) state;
    static const struct {
        uint64_t value;
        size_t len;
        const char *bytes;
    } rows[] = {
        { 0, 1, "\x00" },
        { 1, 1, "\x01" },
        { 127, 1, "\x7f" },
        { 128, 2, "\x80\x01" },
        { 300, 2, "\xac\x02" },
        { 16383, 2, "\xff\x7f" },
        { 16384, 3, "\x80\x80\x01" },
        { UINT64_MAX, 10, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" },
        { 1ull << 63, 10, "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct weir_buf b = { 0 };
        weir_buf_put_varint (&b, rows[i].value);
        assert_int_equal (b.len, rows[i].len);
        assert_memory_equal (b.data, rows[i].bytes, b.len);
        struct weir_reader r = weir_reader (weir_buf_bytes (&b));
        assert_true (weir_read_varint (&r) == rows[i].value);
        assert_true (weir_reader_done (&r));
        /* Cut anywhere, it is bad. */
        for (size_t len = 0; len < b.len; len++) {
            r = weir_reader (weir_bytes (b.data, len));
            assert_int_equal (weir_read_varint (&r), 0);
            assert_true (r.bad);
        }
        weir_buf_fini (&b);
    }
}

static void
test_hostile_varints (void **state)
{
    (void) state;
    static const struct {
        const char *bytes;
        size_t len;
    } rows[] = {
        { "\x80\x00", 2 },                                      /* 0, not the shortest */
        { "\xff\x80\x00", 3 },                                  /* 127, not the shortest */
        { "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10 },     /* 65 bits */
        { "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 11 }, /* eleven bytes */
        { "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct weir_reader r = weir_reader (weir_bytes (rows[i].bytes, rows[i].len));
        assert_int_equal (weir_read_varint (&r), 0);
        assert_true (r.bad);
        assert_false (weir_reader_done (&r));
        assert_int_equal (weir_reader_left (&r), 0);
    }
}

static void
test_zigzag (void **state)
{
    (void) state;
    static const struct {
        int64_t value;
        size_t len;
        uint8_t first;
    } rows[] = {
        { 0, 1, 0 },
        { -1, 1, 1 },
        { 1, 1, 2 },
        { -2, 1, 3 },
        { 63, 1, 126 },
        { -64, 1, 127 },
        { 64, 2, 0x80 },
        { INT64_MAX, 10, 0xfe },
        { INT64_MIN, 10, 0xff },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct weir_buf b = { 0 };
        weir_buf_put_zigzag (&b, rows[i].value);
        assert_int_equal (b.len, rows[i].len);
        assert_int_equal (b.data[0], rows[i].first);
        struct weir_reader r = weir_reader (weir_buf_bytes (&b));
        assert_true (weir_read_zigzag (&r) == rows[i].value);
        assert_true (weir_reader_done (&r));
        weir_buf_fini (&b);
    }
}

static void
test_blobs (void **state)
{
    (void) state;
    struct weir_buf b = { 0 };
    weir_buf_put_blob (&b, weir_bytes_str ("four"));
    weir_buf_put_blob (&b, weir_bytes (NULL, 0));
    struct weir_reader r = weir_reader (weir_buf_bytes (&b));
    assert_true (weir_bytes_equal (weir_read_blob (&r, 4), weir_bytes_str ("four")));
    assert_int_equal (weir_read_blob (&r, 0).len, 0);
    assert_true (weir_reader_done (&r));
    r = weir_reader (weir_buf_bytes (&b)); /* more than allowed */
    assert_int_equal (weir_read_blob (&r, 3).len, 0);
    assert_true (r.bad);
    assert_int_equal (weir_read_blob (&r, 100).len, 0);
    b.data[0] = 200; /* more than there is */
    b.data[1] = 1;
    r = weir_reader (weir_buf_bytes (&b));
    assert_null (weir_read_blob (&r, SIZE_MAX).data);
    assert_true (r.bad);
    weir_buf_fini (&b);
}

static void
test_reads_past_the_end (void **state)
{
    (void) state;
    struct weir_reader r = weir_reader (weir_bytes ("\x01\x02\x03", 3));
    assert_int_equal (weir_read_u32 (&r), 0);
    assert_true (r.bad);
    /* Bad for good: what is there is not given any more. */
    assert_int_equal (weir_read_u8 (&r), 0);
    assert_int_equal (weir_read_u16 (&r), 0);
    assert_int_equal (weir_read_u64 (&r), 0);
    assert_int_equal (weir_read_zigzag (&r), 0);
    assert_null (weir_read_bytes (&r, 0).data);
    r = weir_reader (weir_bytes (NULL, 0));
    assert_true (weir_reader_done (&r));
    assert_int_equal (weir_read_bytes (&r, 0).len, 0);
    assert_true (weir_reader_done (&r));
    assert_int_equal (weir_read_bytes (&r, SIZE_MAX).len, 0);
    assert_false (weir_reader_done (&r));
}

static void
test_buffers (void **state)
{
    (void) state;
    struct weir_buf b = { 0 };
    assert_string_equal (weir_buf_str (&b), "");
    weir_buf_put (&b, NULL, 0);
    weir_buf_printf (&b, "%s", "");
    assert_int_equal (b.len, 0);
    weir_buf_printf (&b, "%d-%s", 12, "three");
    assert_string_equal (weir_buf_str (&b), "12-three");
    assert_int_equal (b.len, 8);
    weir_buf_clear (&b);
    assert_int_equal (b.len, 0);
    assert_non_null (b.data);
    for (unsigned i = 0; i < 5000; i++) {
        weir_buf_printf (&b, "%u,", i % 10);
    }
    assert_int_equal (b.len, 10000);
    weir_buf_put_bytes (&b, weir_bytes_str ("end"));
    assert_string_equal (weir_buf_str (&b) + 10000, "end");
    weir_buf_fini (&b);
    assert_null (b.data);
    weir_buf_fini (&b);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_slices),
        cmocka_unit_test (test_utf8),
        cmocka_unit_test (test_memory),
        cmocka_unit_test (test_grow),
        cmocka_unit_test (test_no_memory_aborts),
        cmocka_unit_test (test_numbers_are_big_endian),
        cmocka_unit_test (test_varints),
        cmocka_unit_test (test_hostile_varints),
        cmocka_unit_test (test_zigzag),
        cmocka_unit_test (test_blobs),
        cmocka_unit_test (test_reads_past_the_end),
        cmocka_unit_test (test_buffers),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
