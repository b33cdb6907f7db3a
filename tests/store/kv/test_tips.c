/* Goal: what is saved is loaded, in a file and in memory; a file that was cut, changed in any one
 * byte, or is something else altogether is CORRUPT and never content; a save that fails leaves
 * the old content. */

#include "tests/store/kv/fixture.h"

#include "store/kv/crc32c.h"
#include "store/kv/tips.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>

struct place {
    char *directory;
    char *path;
    struct weir_tips *tips;
};

static int
setup (void **state)
{
    struct place *p = weir_alloc (sizeof *p);
    struct weir_buf path = { 0 };
    p->directory = make_directory ();
    weir_buf_printf (&path, "%s/tips", p->directory);
    p->path = weir_strdup (weir_buf_str (&path));
    p->tips = weir_tips_file_new (p->path);
    weir_buf_fini (&path);
    *state = p;
    return 0;
}

static int
teardown (void **state)
{
    struct place *p = *state;
    weir_tips_destroy (&p->tips);
    assert_null (p->tips);
    weir_tips_destroy (&p->tips);
    remove_directory (p->directory);
    free (p->directory);
    free (p->path);
    free (p);
    return 0;
}

static void
assert_loads (struct weir_tips *tips, const char *expected)
{
    struct weir_buf out = { 0 };
    weir_buf_put (&out, ">", 1);
    assert_int_equal (weir_tips_load (tips, &out), WEIR_OK);
    assert_int_equal (out.len, 1 + strlen (expected));
    assert_memory_equal (out.data + 1, expected, strlen (expected));
    weir_buf_fini (&out);
}

static void
assert_fails (struct weir_tips *tips, enum weir_status expected)
{
    struct weir_buf out = { 0 };
    assert_int_equal (weir_tips_load (tips, &out), expected);
    assert_int_equal (out.len, 0);
    weir_buf_fini (&out);
}

static void
save_and_load (struct weir_tips *tips)
{
    static const char *const contents[] = { "one", "", "a longer one", "two" };
    assert_fails (tips, WEIR_NOT_FOUND);
    for (size_t i = 0; i < sizeof contents / sizeof contents[0]; i++) {
        assert_int_equal (weir_tips_save (tips, text (contents[i])), WEIR_OK);
        assert_loads (tips, contents[i]);
        assert_loads (tips, contents[i]);
    }
}

static void
test_file (void **state)
{
    struct place *p = *state;
    save_and_load (p->tips);
    struct stat st;
    assert_int_equal (stat (p->path, &st), 0);
    assert_int_equal (st.st_mode & 0777, 0600);
    /* Another process's later start. */
    weir_tips_destroy (&p->tips);
    p->tips = weir_tips_file_new (p->path);
    assert_loads (p->tips, "two");
}

static void
test_memory (void **state)
{
    (void) state;
    struct weir_tips *tips = weir_tips_memory_new ();
    save_and_load (tips);
    weir_tips_destroy (&tips);
}

static void
write_file (const char *path, struct weir_bytes data)
{
    FILE *f = fopen (path, "we");
    assert_non_null (f);
    assert_int_equal (fwrite (data.data, 1, data.len, f), data.len);
    assert_int_equal (fclose (f), 0);
}

static void
test_damage (void **state)
{
    struct place *p = *state;
    uint8_t file[256];
    assert_int_equal (weir_tips_save (p->tips, text ("the tips of all chains")), WEIR_OK);
    FILE *f = fopen (p->path, "re");
    assert_non_null (f);
    size_t size = fread (file, 1, sizeof file, f);
    fclose (f);
    for (size_t i = 0; i < size; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            file[i] = (uint8_t) (file[i] ^ 1u << bit);
            write_file (p->path, weir_bytes (file, size));
            assert_fails (p->tips, WEIR_CORRUPT);
            file[i] = (uint8_t) (file[i] ^ 1u << bit);
        }
        write_file (p->path, weir_bytes (file, i));
        assert_fails (p->tips, WEIR_CORRUPT);
    }
    file[size] = 0;
    write_file (p->path, weir_bytes (file, size + 1));
    assert_fails (p->tips, WEIR_CORRUPT);
    write_file (p->path, weir_bytes (file, size));
    assert_loads (p->tips, "the tips of all chains");
    assert_int_equal (truncate (p->path, 1l << 40), 0);
    assert_fails (p->tips, WEIR_CORRUPT);
    assert_int_equal (unlink (p->path), 0);
    assert_fails (p->tips, WEIR_NOT_FOUND);
    assert_int_equal (mkdir (p->path, 0700), 0);
    assert_fails (p->tips, WEIR_IO_ERROR);
    assert_int_equal (weir_tips_save (p->tips, text ("x")), WEIR_IO_ERROR);
}

static void
test_failed_save (void **state)
{
    struct place *p = *state;
    struct rlimit before;
    assert_int_equal (weir_tips_save (p->tips, text ("old")), WEIR_OK);
    /* The disk takes 30 bytes and no more. */
    signal (SIGXFSZ, SIG_IGN);
    assert_int_equal (getrlimit (RLIMIT_FSIZE, &before), 0);
    struct rlimit small = { .rlim_cur = 30, .rlim_max = before.rlim_max };
    assert_int_equal (setrlimit (RLIMIT_FSIZE, &small), 0);
    enum weir_status status = weir_tips_save (p->tips, text ("something longer than that"));
    assert_int_equal (setrlimit (RLIMIT_FSIZE, &before), 0);
    signal (SIGXFSZ, SIG_DFL);
    assert_int_equal (status, WEIR_IO_ERROR);
    assert_loads (p->tips, "old");
    assert_int_equal (weir_tips_save (p->tips, weir_bytes ("", (64u << 20) + 1)), WEIR_TOO_LARGE);
    assert_loads (p->tips, "old");
    /* No such directory. */
    struct weir_tips *lost = weir_tips_file_new ("/nonexistent-weir/tips");
    assert_int_equal (weir_tips_save (lost, text ("x")), WEIR_IO_ERROR);
    assert_fails (lost, WEIR_NOT_FOUND);
    weir_tips_destroy (&lost);
}

/* RFC 3720, appendix B.4. */
static void
test_crc (void **state)
{
    (void) state;
    uint8_t data[32];
    assert_int_equal (weir_crc32c (0, text ("123456789")), 0xe3069283u);
    memset (data, 0, 32);
    assert_int_equal (weir_crc32c (0, weir_bytes (data, 32)), 0x8a9136aau);
    memset (data, 0xff, 32);
    assert_int_equal (weir_crc32c (0, weir_bytes (data, 32)), 0x62a8ab43u);
    assert_int_equal (weir_crc32c (weir_crc32c (0, text ("12345")), text ("6789")), 0xe3069283u);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown (test_file, setup, teardown),
        cmocka_unit_test (test_memory),
        cmocka_unit_test_setup_teardown (test_damage, setup, teardown),
        cmocka_unit_test_setup_teardown (test_failed_save, setup, teardown),
        cmocka_unit_test (test_crc),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
