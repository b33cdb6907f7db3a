/* Goal: a key that was written comes back, is never overwritten, never readable by others, and a
 * damaged, foreign or sealed file is told apart with the right code. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/crypto/keyfile.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[64];
static char path[128];
static struct weir_identity identity;

static int
setup (void **state)
{
    (void) state;
    static const uint8_t seed[32] = { 1, 2, 3 };
    (void) snprintf (directory, sizeof directory, "/tmp/weir-keyfile-XXXXXX");
    assert_non_null (mkdtemp (directory));
    (void) snprintf (path, sizeof path, "%s/identity", directory);
    weir_identity_init (&identity, seed);
    return 0;
}

static int
teardown (void **state)
{
    (void) state;
    (void) unlink (path);
    /* Refuses to go when a temporary file was left behind. */
    assert_int_equal (rmdir (directory), 0);
    return 0;
}

/* Reads the file as text. */
static void
read_text (char *text, size_t size)
{
    FILE *f = fopen (path, "r");
    assert_non_null (f);
    size_t n = fread (text, 1, size - 1, f);
    text[n] = 0;
    (void) fclose (f);
}

static void
write_text (const char *text, size_t len)
{
    (void) unlink (path);
    int fd = open (path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true (fd >= 0);
    assert_int_equal (write (fd, text, len), (ssize_t) len);
    (void) close (fd);
}

static void
assert_loads (const char *passphrase, enum weir_status expected)
{
    struct weir_identity k;
    struct weir_error e = { 0 };
    memset (&k, 0, sizeof k);
    enum weir_status status = weir_keyfile_load (path, passphrase, &k, &e);
    if (status != expected) {
        fail_msg ("%s, not %s: %s", weir_status_code (status), weir_status_code (expected), e.what);
    }
    if (expected == WEIR_OK) {
        assert_memory_equal (&k, &identity, sizeof k);
    } else {
        assert_int_equal (e.status, expected);
        assert_non_null (strstr (e.what, path));
        assert_true (weir_id_is_zero (&k.device));
    }
}

static void
test_plain (void **state)
{
    (void) state;
    struct weir_error e = { 0 };
    struct stat st;
    assert_int_equal (weir_keyfile_create (path, &identity, NULL, &e), WEIR_OK);
    assert_int_equal (stat (path, &st), 0);
    assert_int_equal (st.st_mode & 07777, 0600);
    assert_loads (NULL, WEIR_OK);
    assert_loads ("not needed", WEIR_OK);
    assert_int_equal (weir_keyfile_create (path, &identity, NULL, &e), WEIR_EXISTS);
    assert_int_equal (weir_keyfile_create (path, &identity, "sealed", NULL), WEIR_EXISTS);
    assert_loads (NULL, WEIR_OK);
    char text[1000];
    read_text (text, sizeof text);
    assert_memory_equal (text, "weir-identity-v1\ndevice ", 24);
}

static void
test_sealed (void **state)
{
    (void) state;
    struct weir_error e = { 0 };
    char text[1000];
    assert_int_equal (weir_keyfile_create (path, &identity, "horse", &e), WEIR_OK);
    read_text (text, sizeof text);
    assert_null (strstr (text, "seed "));
    assert_loads ("horse", WEIR_OK);
    assert_loads ("house", WEIR_BAD_PASSPHRASE);
    assert_loads (NULL, WEIR_BAD_PASSPHRASE);
    assert_int_equal (weir_keyfile_protect (path, "wrong", "new", &e), WEIR_BAD_PASSPHRASE);
    assert_int_equal (weir_keyfile_protect (path, "horse", NULL, &e), WEIR_OK);
    assert_loads (NULL, WEIR_OK);
    assert_int_equal (weir_keyfile_protect (path, NULL, "again", &e), WEIR_OK);
    assert_loads (NULL, WEIR_BAD_PASSPHRASE);
    assert_loads ("again", WEIR_OK);
    /* The device is bound to the box: another one's line does not open it. */
    read_text (text, sizeof text);
    text[24] = text[24] == 'a' ? 'b' : 'a';
    write_text (text, strlen (text));
    assert_loads ("again", WEIR_BAD_PASSPHRASE);
}

static void
test_absent_or_open_to_others (void **state)
{
    (void) state;
    assert_loads (NULL, WEIR_NOT_FOUND);
    assert_int_equal (weir_keyfile_protect (path, NULL, "x", NULL), WEIR_NOT_FOUND);
    assert_int_equal (weir_keyfile_create (path, &identity, NULL, NULL), WEIR_OK);
    static const mode_t modes[] = { 0640, 0604, 0660, 0601, 0610 };
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        assert_int_equal (chmod (path, modes[i]), 0);
        assert_loads (NULL, WEIR_BAD_CONFIG);
    }
    assert_int_equal (chmod (path, 0400), 0);
    assert_loads (NULL, WEIR_OK);
    (void) unlink (path);
    assert_int_equal (mkdir (path, 0700), 0);
    assert_loads (NULL, WEIR_BAD_CONFIG);
    assert_int_equal (rmdir (path), 0);
    assert_int_equal (mkfifo (path, 0600), 0); /* must not wait for a writer */
    assert_loads (NULL, WEIR_BAD_CONFIG);
}

/* Root may read what belongs to others; a user may not lean on it. Only root can try. */
static void
test_owner (void **state)
{
    (void) state;
    if (geteuid () != 0) {
        skip ();
    }
    assert_int_equal (weir_keyfile_create (path, &identity, NULL, NULL), WEIR_OK);
    assert_int_equal (chmod (directory, 0755), 0);
    assert_int_equal (chown (path, 1234, 1234), 0);
    assert_loads (NULL, WEIR_OK);
    int fd = open (path, O_RDONLY);
    assert_true (fd >= 0);
    char again[64];
    (void) snprintf (again, sizeof again, "/dev/fd/%d", fd);
    assert_int_equal (seteuid (1235), 0);
    struct weir_identity k;
    struct weir_error e = { 0 };
    enum weir_status unreadable = weir_keyfile_load (path, NULL, &k, &e);
    enum weir_status unwritable = weir_keyfile_create ("/weir-no-such-place", &identity, NULL, &e);
    assert_int_equal (seteuid (0), 0);
    (void) close (fd);
    assert_int_equal (unreadable, WEIR_IO_ERROR);
    assert_int_equal (unwritable, WEIR_READ_ONLY);
}

static void
test_damaged (void **state)
{
    (void) state;
    char good[1000];
    char text[1100];
    assert_int_equal (weir_keyfile_create (path, &identity, NULL, NULL), WEIR_OK);
    read_text (good, sizeof good);
    size_t len = strlen (good);
    for (size_t cut = 0; cut < len; cut++) {
        write_text (good, cut);
        assert_loads (NULL, WEIR_BAD_CONFIG);
    }
    /* One wrong character anywhere: the two lines with keys check each other. */
    for (size_t i = 0; i < len; i++) {
        memcpy (text, good, len);
        text[i] = text[i] == 'q' ? 'z' : 'q';
        write_text (text, len);
        assert_loads (NULL, WEIR_BAD_CONFIG);
    }
    memcpy (text, good, len);
    memcpy (text + len, "\n", 1);
    write_text (text, len + 1);
    assert_loads (NULL, WEIR_BAD_CONFIG);
    memset (text + len, 'x', sizeof text - len);
    write_text (text, sizeof text);
    assert_loads (NULL, WEIR_BAD_CONFIG);
    (void) snprintf (text, sizeof text, "weir-identity-v1\n%s%s", strchr (good, '\n') + 1,
                     "seed aa\n");
    write_text (text, strlen (text));
    assert_loads (NULL, WEIR_BAD_CONFIG);
}

static void
test_cannot_create (void **state)
{
    (void) state;
    struct weir_error e = { 0 };
    assert_int_equal (weir_keyfile_create ("/tmp/weir/no/such/place", &identity, NULL, &e),
                      WEIR_CANNOT_CREATE);
    assert_int_equal (weir_keyfile_create ("/proc/weir-identity", &identity, NULL, &e),
                      WEIR_CANNOT_CREATE);
    /* A file that cannot grow: nothing may stay behind. */
    struct rlimit before;
    assert_int_equal (getrlimit (RLIMIT_FSIZE, &before), 0);
    struct rlimit small = { 10, before.rlim_max };
    (void) signal (SIGXFSZ, SIG_IGN);
    assert_int_equal (setrlimit (RLIMIT_FSIZE, &small), 0);
    enum weir_status status = weir_keyfile_create (path, &identity, NULL, &e);
    assert_int_equal (setrlimit (RLIMIT_FSIZE, &before), 0);
    assert_int_equal (status, WEIR_CANNOT_CREATE);
    assert_loads (NULL, WEIR_NOT_FOUND);
}

static void
test_relative_path (void **state)
{
    (void) state;
    char before[1000];
    assert_non_null (getcwd (before, sizeof before));
    assert_int_equal (chdir (directory), 0);
    assert_int_equal (weir_keyfile_create ("identity", &identity, NULL, NULL), WEIR_OK);
    assert_int_equal (chdir (before), 0);
    assert_loads (NULL, WEIR_OK);
}

int
main (void)
{
    weir_crypto_init ();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown (test_plain, setup, teardown),
        cmocka_unit_test_setup_teardown (test_sealed, setup, teardown),
        cmocka_unit_test_setup_teardown (test_absent_or_open_to_others, setup, teardown),
        cmocka_unit_test_setup_teardown (test_owner, setup, teardown),
        cmocka_unit_test_setup_teardown (test_damaged, setup, teardown),
        cmocka_unit_test_setup_teardown (test_cannot_create, setup, teardown),
        cmocka_unit_test_setup_teardown (test_relative_path, setup, teardown),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
