/* Goal: weir.conf is read as page 5 says: flag over environment over file over default, every
 * mistake named with its line, its key and what is allowed; and where things are, for users and
 * for root, never the working directory. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "actors/runtime/settings.h"

static struct weir_settings_values
defaults (void)
{
    struct weir_settings_values v;
    assert_int_equal (weir_settings_load (&v, NULL, false, NULL), WEIR_OK);
    return v;
}

static void
test_defaults (void **state)
{
    (void) state;
    struct weir_settings_values v = defaults ();
    assert_string_equal (v.role, "leaf");
    assert_int_equal (v.transports, 1);
    assert_true (v.enabled);
    assert_int_equal (v.max_queue_size, WEIR_MAX_QUEUE_SIZE);
    struct weir_setting_row row;
    size_t n = 0;
    while (weir_settings_row (&v, n, &row)) {
        assert_string_equal (row.origin, "default");
        assert_string_equal (row.value, row.default_value);
        assert_true (strncmp (row.env, "WEIR_", 5) == 0);
        assert_true (row.text[0] != '\0');
        n++;
    }
    assert_true (n > 20);
}

static void
test_file_over_default (void **state)
{
    (void) state;
    struct weir_settings_values v = defaults ();
    struct weir_error e = { 0 };
    static const char text[] = "# a node\n"
                               "\n"
                               "name = \"the # kitchen\"   # where it stands\n"
                               "role = hub\r\n"
                               "listen='tcp://0.0.0.0:28470'\n"
                               "   \n"
                               "enabled = no\n"
                               "batch_size = 17 # not more\n"
                               "advertise =\n";
    assert_int_equal (weir_settings_parse (&v, weir_bytes_str (text), "x", &e), WEIR_OK);
    assert_string_equal (v.name, "the # kitchen");
    assert_string_equal (v.role, "hub");
    assert_string_equal (v.listen, "tcp://0.0.0.0:28470");
    assert_string_equal (v.advertise, "");
    assert_false (v.enabled);
    assert_int_equal (v.batch_size, 17);
    struct weir_setting_row row;
    for (size_t i = 0; weir_settings_row (&v, i, &row); i++) {
        if (strcmp (row.key, "batch_size") == 0) {
            assert_string_equal (row.origin, "file");
            assert_string_equal (row.value, "17");
            assert_string_equal (row.default_value, "4096");
        }
    }
}

static void
test_mistakes_are_named (void **state)
{
    (void) state;
    static const struct {
        const char *text;
        const char *what; /* in the sentence */
        const char *hint;
    } cases[] = {
        { "rolle = hub\n", "x:1: there is no setting rolle", "did you mean role?" },
        { "\n\nmax_queue_szie = 1\n", "x:3:", "did you mean max_queue_size?" },
        { "qqqqqqqqqqqqqq = 1\n", "qqqqqqqqqqqqqq", "weir config show lists all keys" },
        { "role = king\n", "must be one of leaf|hub", "weir config check" },
        { "role = relay\n", "must be one of leaf|hub", NULL },
        { "role =\n", "must be one of leaf|hub", NULL },
        { "role = hub|relay\n", "must be one of", NULL },
        { "batch_size = 0\n", "a number from 1 to 65536, in entries", NULL },
        { "batch_size = 65537\n", "a number from 1 to 65536", NULL },
        { "batch_size = -1\n", "a number", NULL },
        { "batch_size = 1e3\n", "a number", NULL },
        { "batch_size =\n", "a number", NULL },
        { "batch_size = 99999999999999999999999\n", "a number", NULL },
        { "enabled = perhaps\n", "yes or no", NULL },
        { "name = \"open\n", "the quote does not end", NULL },
        { "name = \"a\" b\n", "the quote does not end", NULL },
        { "name = a\x01"
          "b\n",
          "on one line", NULL },
        { "name = \xff\n", "not UTF-8", NULL },
        { "  name = a\n", "four spaces", NULL },
        { "    name = a\n", "four spaces", NULL },
        { "= a\n", "a name was expected", NULL },
        { "na me = a\n", "`=` was expected", NULL },
        { "a\n    b\n        c\n            d\n                e\n", "too deep", NULL },
        { "section\n    role = hub\n", "there is no setting section/role", NULL },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct weir_settings_values v = defaults ();
        struct weir_error e = { 0 };
        assert_int_equal (weir_settings_parse (&v, weir_bytes_str (cases[i].text), "x", &e),
                          WEIR_BAD_CONFIG);
        assert_non_null (strstr (e.what, cases[i].what));
        if (cases[i].hint != NULL) {
            assert_string_equal (weir_error_hint (&e), cases[i].hint);
        }
    }
    struct weir_settings_values v = defaults ();
    struct weir_error e = { 0 };
    assert_int_equal (weir_settings_parse (&v, weir_bytes ("name = a\0b\n", 11), "x", &e),
                      WEIR_BAD_CONFIG);
    char text[2000];
    memset (text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_int_equal (weir_settings_parse (&v, weir_bytes_str (text), "x", &e), WEIR_BAD_CONFIG);
    memset (text, 'a', 100); /* a name too long */
    text[100] = '\0';
    assert_int_equal (weir_settings_parse (&v, weir_bytes_str (text), "x", &e), WEIR_BAD_CONFIG);
    memcpy (text, "name = ", 7);
    memset (text + 7, 'a', 600);
    text[607] = '\0';
    assert_int_equal (weir_settings_parse (&v, weir_bytes_str (text), "x", &e), WEIR_BAD_CONFIG);
}

static void
test_environment_over_file (void **state)
{
    (void) state;
    char path[] = "/tmp/weir-conf-XXXXXX";
    struct weir_settings_values v;
    struct weir_error e = { 0 };
    int fd = mkstemp (path);
    assert_true (fd >= 0);
    assert_int_equal (write (fd, "role = hub\nbatch_size = 5\n", 26), 26);
    assert_int_equal (setenv ("WEIR_ROLE", "relay", 1), 0); /* not built yet */
    assert_int_equal (weir_settings_load (&v, path, true, &e), WEIR_BAD_CONFIG);
    assert_int_equal (setenv ("WEIR_ROLE", "leaf", 1), 0);
    assert_int_equal (weir_settings_load (&v, path, true, &e), WEIR_OK);
    assert_string_equal (v.role, "leaf");
    assert_int_equal (v.batch_size, 5);
    assert_string_equal (v.file, path);
    assert_int_equal (weir_settings_set (&v, "role", "leaf", WEIR_FROM_FLAG, &e), WEIR_OK);
    assert_string_equal (v.role, "leaf");
    assert_int_equal (weir_settings_set (&v, "role", "x", WEIR_FROM_FLAG, &e), WEIR_BAD_CONFIG);
    assert_non_null (strstr (e.what, "the command line"));
    assert_int_equal (weir_settings_set (&v, "role", "x", WEIR_FROM_ENV, &e), WEIR_BAD_CONFIG);
    assert_int_equal (setenv ("WEIR_ROLE", "king", 1), 0);
    assert_int_equal (weir_settings_load (&v, path, true, &e), WEIR_BAD_CONFIG);
    assert_non_null (strstr (e.what, "WEIR_ROLE"));
    assert_int_equal (unsetenv ("WEIR_ROLE"), 0);
    /* Too large a file, one that cannot be read, one that is not there. */
    assert_int_equal (ftruncate (fd, WEIR_SETTINGS_BYTES_MAX + 1), 0);
    assert_int_equal (weir_settings_load (&v, path, true, &e), WEIR_BAD_CONFIG);
    assert_int_equal (weir_settings_load (&v, "/tmp", true, &e), WEIR_BAD_CONFIG);
    assert_int_equal (weir_settings_load (&v, "/proc/none", true, &e), WEIR_BAD_CONFIG);
    assert_int_equal (weir_settings_load (&v, "/proc/none", false, &e), WEIR_OK);
    (void) close (fd);
    assert_int_equal (unlink (path), 0);
}

/* A pipe that nobody writes into, a folder, a device: refused at once, whether there must be a file
 * or not; a symbolic link to a file is as good as the file. */
static void
test_no_regular_file (void **state)
{
    (void) state;
    char folder[] = "/tmp/weir-conf-XXXXXX";
    char pipe_path[64];
    char link_path[64];
    char file_path[64];
    struct weir_settings_values v;
    assert_non_null (mkdtemp (folder));
    (void) snprintf (pipe_path, sizeof pipe_path, "%s/pipe", folder);
    (void) snprintf (link_path, sizeof link_path, "%s/link", folder);
    (void) snprintf (file_path, sizeof file_path, "%s/file", folder);
    assert_int_equal (mkfifo (pipe_path, 0600), 0);
    assert_int_equal (symlink ("file", link_path), 0);
    const char *const refused[] = { pipe_path, folder, "/dev/null" };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        for (int must_exist = 0; must_exist < 2; must_exist++) {
            struct weir_error e = { 0 };
            assert_int_equal (weir_settings_load (&v, refused[i], must_exist != 0, &e),
                              WEIR_BAD_CONFIG);
            assert_non_null (strstr (e.what, refused[i]));
            assert_non_null (strstr (e.what, "is no regular file"));
            assert_true (e.hint[0] != '\0');
        }
    }
    struct weir_error e = { 0 };
    assert_int_equal (weir_settings_load (&v, link_path, true, &e), WEIR_BAD_CONFIG);
    assert_non_null (strstr (e.what, "there is no file"));
    assert_true (e.hint[0] != '\0');
    int fd = open (file_path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true (fd >= 0);
    assert_int_equal (write (fd, "batch_size = 5\n", 15), 15);
    (void) close (fd);
    assert_int_equal (weir_settings_load (&v, link_path, true, &e), WEIR_OK);
    assert_int_equal (v.batch_size, 5);
    assert_int_equal (unlink (file_path), 0);
    assert_int_equal (unlink (link_path), 0);
    assert_int_equal (unlink (pipe_path), 0);
    assert_int_equal (rmdir (folder), 0);
}

/* The sample is a valid file that changes nothing, and still is one with every # taken away. */
static void
test_sample (void **state)
{
    (void) state;
    struct weir_buf sample = { 0 };
    struct weir_buf bare = { 0 };
    struct weir_settings_values plain = defaults ();
    struct weir_settings_values v = defaults ();
    struct weir_error e = { 0 };
    weir_settings_sample (&sample);
    assert_int_equal (weir_settings_parse (&v, weir_buf_bytes (&sample), "sample", &e), WEIR_OK);
    assert_memory_equal (&v, &plain, sizeof v);
    char *rest = NULL;
    char *text = weir_strdup (weir_buf_str (&sample));
    for (char *line = strtok_r (text, "\n", &rest); line != NULL;
         line = strtok_r (NULL, "\n", &rest)) {
        if (strncmp (line, "# ", 2) == 0 && strstr (line, " = ") != NULL) {
            weir_buf_printf (&bare, "%s\n", line + 2);
        }
    }
    assert_int_equal (weir_settings_parse (&v, weir_buf_bytes (&bare), "bare", &e), WEIR_OK);
    assert_int_equal (v.max_attempts, plain.max_attempts);
    memset (v.origins, 0, sizeof v.origins);
    assert_memory_equal (&v, &plain, sizeof v);
    free (text);
    weir_buf_fini (&sample);
    weir_buf_fini (&bare);
}

/* ---- paths ---- */

static void
test_paths (void **state)
{
    (void) state;
    struct weir_paths p;
    struct weir_error e = { 0 };
    assert_int_equal (weir_paths_find (&p, "/a/b/", NULL, &e), WEIR_OK);
    assert_string_equal (p.data, "/a/b");
    assert_string_equal (p.config, "/a/b/weir.conf");
    assert_string_equal (p.key, "/a/b/identity.key");
    assert_string_equal (p.db, "/a/b/store");
    assert_string_equal (p.tips, "/a/b.tips");
    assert_string_equal (p.run, "/a/b/run");
    assert_string_equal (p.control, "ipc:///a/b/run/control");

    struct weir_settings_values v = defaults ();
    (void) snprintf (v.run_dir, sizeof v.run_dir, "/r");
    (void) snprintf (v.tips_file, sizeof v.tips_file, "/t/tips");
    assert_int_equal (setenv ("WEIR_DATA", "/env", 1), 0);
    assert_int_equal (weir_paths_find (&p, NULL, &v, &e), WEIR_OK);
    assert_string_equal (p.data, "/env");
    assert_string_equal (p.run, "/r");
    assert_string_equal (p.tips, "/t/tips");
    assert_int_equal (weir_paths_find (&p, "/flag", &v, &e), WEIR_OK);
    assert_string_equal (p.data, "/flag");
    assert_int_equal (unsetenv ("WEIR_DATA"), 0);

    /* A relative one is meant from where the user stands. */
    char here[256];
    assert_non_null (getcwd (here, sizeof here));
    assert_int_equal (weir_paths_find (&p, "d", NULL, &e), WEIR_OK);
    assert_true (strncmp (p.data, here, strlen (here)) == 0);
    assert_string_equal (p.data + strlen (here), "/d");
}

static void
test_default_paths (void **state)
{
    (void) state;
    struct weir_paths p;
    struct weir_error e = { 0 };
    const char *home = getenv ("HOME");
    char *kept = home == NULL ? NULL : weir_strdup (home);
    assert_int_equal (weir_paths_find (&p, NULL, NULL, &e), WEIR_OK);
    if (geteuid () == 0) {
        assert_string_equal (p.data, "/var/lib/weir");
        if (seteuid (65534) != 0) {
            free (kept);
            return; /* no second user to be here */
        }
    }
    assert_int_equal (setenv ("XDG_DATA_HOME", "/x", 1), 0);
    assert_int_equal (weir_paths_find (&p, NULL, NULL, &e), WEIR_OK);
    assert_string_equal (p.data, "/x/weir");
    assert_int_equal (setenv ("XDG_DATA_HOME", "relative", 1), 0);
    assert_int_equal (setenv ("HOME", "/home/ann", 1), 0);
    assert_int_equal (weir_paths_find (&p, NULL, NULL, &e), WEIR_OK);
    assert_string_equal (p.data, "/home/ann/.local/share/weir");
    assert_int_equal (unsetenv ("HOME"), 0);
    assert_int_equal (unsetenv ("XDG_DATA_HOME"), 0);
    assert_int_equal (weir_paths_find (&p, NULL, NULL, &e), WEIR_OK);
    assert_string_equal (p.data, "/var/lib/weir");
    (void) seteuid (getuid ());
    if (kept != NULL) {
        (void) setenv ("HOME", kept, 1);
    }
    free (kept);
}

/* A socket's path ends at 107 bytes. */
static void
test_ipc_limit (void **state)
{
    (void) state;
    struct weir_paths p;
    struct weir_error e = { 0 };
    char data[600] = "/";
    size_t fits = WEIR_IPC_PATH_MAX - strlen ("/run/control");
    memset (data + 1, 'a', sizeof data - 2);
    data[fits] = '\0';
    assert_int_equal (weir_paths_find (&p, data, NULL, &e), WEIR_OK);
    data[fits] = 'a';
    data[fits + 1] = '\0';
    assert_int_equal (weir_paths_find (&p, data, NULL, &e), WEIR_BAD_CONFIG);
    assert_non_null (strstr (e.what, "108 bytes"));
    assert_non_null (strstr (weir_error_hint (&e), "run_dir"));
    struct weir_settings_values v = defaults ();
    (void) snprintf (v.run_dir, sizeof v.run_dir, "/r");
    assert_int_equal (weir_paths_find (&p, data, &v, &e), WEIR_OK);
    data[fits + 1] = 'a';
    assert_int_equal (weir_paths_find (&p, data, &v, &e), WEIR_BAD_CONFIG); /* 599 bytes */
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_defaults),
        cmocka_unit_test (test_file_over_default),
        cmocka_unit_test (test_mistakes_are_named),
        cmocka_unit_test (test_environment_over_file),
        cmocka_unit_test (test_no_regular_file),
        cmocka_unit_test (test_sample),
        cmocka_unit_test (test_paths),
        cmocka_unit_test (test_default_paths),
        cmocka_unit_test (test_ipc_limit),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
