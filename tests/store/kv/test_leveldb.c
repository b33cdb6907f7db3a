/* Goal: what only a disk can do. Acknowledged batches survive kill -9 in the middle of writing,
 * whole and in order; who may open what, and how a refusal reads; the event; the bound on what
 * waits; a full, failing or read-only disk keeps what was synced and says so, and the next open
 * goes on from there. This program runs itself for what needs another process. */

#include "tests/store/kv/fixture.h"

#include "store/base/rand.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

extern char **environ;

static const char *program; /* how this one was called */

#define EXIT_SKIP 77
#define MEGABYTE (1u << 20)

static int
setup (void **state)
{
    *state = make_directory ();
    return 0;
}

static int
teardown (void **state)
{
    remove_directory (*state);
    free (*state);
    return 0;
}

/* Runs this program as `mode path`, its standard output in *out (when asked for). */
static pid_t
run_self (const char *mode, const char *path, int *out)
{
    int ends[2] = { -1, -1 };
    pid_t pid;
    posix_spawn_file_actions_t actions;
    char *argv[] = { (char *) "test_leveldb", (char *) mode, (char *) path, NULL };
    assert_int_equal (posix_spawn_file_actions_init (&actions), 0);
    if (out != NULL) {
        assert_int_equal (pipe2 (ends, O_CLOEXEC), 0);
        assert_int_equal (posix_spawn_file_actions_adddup2 (&actions, ends[1], 1), 0);
    }
    assert_int_equal (posix_spawnp (&pid, program, &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy (&actions);
    if (out != NULL) {
        close (ends[1]);
        *out = ends[0];
    }
    return pid;
}

static int
exit_code (pid_t pid)
{
    int status;
    assert_int_equal (waitpid (pid, &status, 0), pid);
    return WIFEXITED (status) ? WEXITSTATUS (status) : -WTERMSIG (status);
}

static struct weir_kv *
open_good (const char *path)
{
    struct weir_kv *kv = NULL;
    struct weir_error e = { 0 };
    enum weir_status status = weir_kv_open (&kv, path, true, &e);
    if (status != WEIR_OK) {
        print_error ("%s\n", e.what);
    }
    assert_int_equal (status, WEIR_OK);
    return kv;
}

/* ---- opening ---- */

static void
test_open (void **state)
{
    const char *base = *state;
    char path[600];
    struct weir_kv *kv = NULL;
    struct weir_kv *second = NULL;
    struct weir_error e = { 0 };
    struct stat st;
    snprintf (path, sizeof path, "%s/db/", base);
    assert_int_equal (weir_kv_open (&kv, path, false, &e), WEIR_NOT_FOUND);
    assert_null (kv);
    assert_int_equal (stat (path, &st), -1);
    assert_int_equal (weir_kv_open (&kv, path, true, &e), WEIR_OK);
    assert_int_equal (stat (path, &st), 0);
    assert_int_equal (st.st_mode & 0777, 0700);
    assert_true (weir_kv_disk_bytes (kv) > 0);
    /* It is held: in this process and for another; repair is refused too. */
    assert_int_equal (weir_kv_open (&second, path, true, &e), WEIR_ALREADY_RUNNING);
    assert_null (second);
    assert_non_null (strstr (e.what, path));
    assert_true (strlen (weir_error_hint (&e)) > 0);
    assert_int_equal (exit_code (run_self ("open", path, NULL)), WEIR_ALREADY_RUNNING);
    assert_int_equal (exit_code (run_self ("salvage", path, NULL)), WEIR_ALREADY_RUNNING);
    assert_int_equal (weir_kv_wait (kv, write_text (kv, "a=1")), WEIR_OK);
    weir_kv_close (&kv);
    assert_int_equal (exit_code (run_self ("open", path, NULL)), WEIR_OK);
    /* Another program may hold it in LevelDB's own way. */
    snprintf (path, sizeof path, "%s/db/LOCK", base);
    int fd = open (path, O_RDWR | O_CLOEXEC);
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    assert_int_equal (fcntl (fd, F_SETLK, &lock), 0);
    snprintf (path, sizeof path, "%s/db", base);
    assert_int_equal (exit_code (run_self ("open", path, NULL)), WEIR_ALREADY_RUNNING);
    close (fd);
    /* A directory without a database in it, a file, a place that cannot be. */
    assert_int_equal (weir_kv_open (&kv, base, false, &e), WEIR_NOT_FOUND);
    snprintf (path, sizeof path, "%s/file", base);
    FILE *f = fopen (path, "we");
    assert_non_null (f);
    fclose (f);
    assert_int_equal (weir_kv_open (&kv, path, true, &e), WEIR_IO_ERROR);
    assert_int_equal (weir_kv_salvage (path, &e), WEIR_IO_ERROR);
    snprintf (path, sizeof path, "%s/no/db", base);
    assert_int_equal (weir_kv_open (&kv, path, true, &e), WEIR_IO_ERROR);
    assert_int_equal (weir_kv_salvage (path, &e), WEIR_NOT_FOUND);
    assert_null (kv);
    /* The first database is as it was. */
    snprintf (path, sizeof path, "%s/db", base);
    kv = open_good (path);
    assert_content (kv, "a=1");
    weir_kv_close (&kv);
}

/* ---- the committer ---- */

static bool
event_is_up (struct weir_kv *kv, int timeout_ms)
{
    struct pollfd p = { .fd = weir_kv_event_fd (kv), .events = POLLIN };
    return poll (&p, 1, timeout_ms) == 1;
}

static void
test_event (void **state)
{
    struct weir_kv *kv = open_good (*state);
    assert_false (event_is_up (kv, 0));
    weir_kv_clear_event (kv); /* nothing to take: fine */
    (void) write_text (kv, "");
    assert_false (event_is_up (kv, 0));
    for (unsigned i = 0; i < 20; i++) {
        uint64_t number = write_text (kv, "a=1");
        while (weir_kv_synced (kv) < number) {
            assert_true (event_is_up (kv, 30000));
            weir_kv_clear_event (kv);
        }
        assert_int_equal (weir_kv_status (kv), WEIR_OK);
    }
    /* Synced, but perhaps not told yet. */
    uint64_t number = write_text (kv, "b=1");
    assert_int_equal (weir_kv_wait (kv, number), WEIR_OK);
    assert_true (event_is_up (kv, 30000));
    weir_kv_clear_event (kv);
    assert_content (kv, "a=1 b=1");
    weir_kv_close (&kv);
}

/* Bytes that do not compress away, the same in each run: made once, to be quick. */
static const uint8_t *
noise (void)
{
    static uint8_t bytes[MEGABYTE];
    if (bytes[0] == 0) {
        struct weir_rand r;
        weir_rand_init (&r, 1);
        weir_rand_bytes (&r, bytes, sizeof bytes);
        bytes[0] = 1;
    }
    return bytes;
}

/* The number, and noise. */
static struct weir_kv_batch *
big_batch (uint32_t i, size_t bytes)
{
    uint8_t key[4];
    struct weir_kv_batch *b = weir_kv_batch_new ();
    weir_store_u32 (key, i);
    weir_kv_put (b, weir_bytes (key, 4), weir_bytes (noise () + i % 7, bytes - 7));
    weir_kv_put (b, text ("count"), weir_bytes (key, 4));
    return b;
}

/* How many batches there are: all of them whole, from the first on. */
static uint32_t
count_batches (struct weir_kv *kv, size_t bytes)
{
    struct weir_buf value = { 0 };
    uint32_t count = 0;
    for (enum weir_status status = WEIR_OK; status == WEIR_OK; count++) {
        uint8_t key[4];
        weir_store_u32 (key, count);
        weir_buf_clear (&value);
        status = weir_kv_get (kv, weir_bytes (key, 4), &value);
        if (status != WEIR_OK) {
            assert_int_equal (status, WEIR_NOT_FOUND);
            break;
        }
        assert_true (weir_bytes_equal (weir_buf_bytes (&value),
                                       weir_bytes (noise () + count % 7, bytes - 7)));
    }
    weir_buf_clear (&value);
    enum weir_status status = weir_kv_get (kv, text ("count"), &value);
    assert_int_equal (status, count == 0 ? WEIR_NOT_FOUND : WEIR_OK);
    assert_true (count == 0 || weir_load_u32 (value.data) == count - 1);
    weir_buf_fini (&value);
    return count;
}

/* 250 MB handed over as fast as can be: no more than the bound waits, all of it can be read
 * meanwhile (from several tables), and closing at once loses nothing. */
static void
test_backlog (void **state)
{
    struct weir_kv *kv = open_good (*state);
    struct weir_kv_iter *view = NULL;
    for (uint32_t i = 0; i < 250; i++) {
        struct weir_kv_batch *b = big_batch (i, MEGABYTE);
        uint64_t number = weir_kv_write (kv, &b);
        uint64_t waiting = number - weir_kv_synced (kv);
        assert_true (waiting <= WEIR_KV_BACKLOG_BYTES_MAX / MEGABYTE + 2);
        if (i == 75) {
            assert_int_equal (count_batches (kv, MEGABYTE), 76);
            view = weir_kv_iter_new (kv, text (""), text ("count"), false);
        }
    }
    struct weir_bytes key;
    for (uint32_t i = 0; i < 76; i++) {
        assert_true (weir_kv_iter_next (view, &key, NULL));
        assert_int_equal (weir_load_u32 (key.data), i);
    }
    assert_false (weir_kv_iter_next (view, &key, NULL));
    weir_kv_iter_destroy (&view);
    weir_kv_close (&kv);
    kv = open_good (*state);
    assert_int_equal (count_batches (kv, MEGABYTE), 250);
    /* So much that memory is given back, in the committer's thread. */
    struct weir_kv_batch *b = big_batch (250, MEGABYTE);
    for (uint32_t i = 0; i < 20; i++) {
        uint8_t small = (uint8_t) i;
        weir_kv_put (b, weir_bytes (&small, 1), weir_bytes (noise (), MEGABYTE));
    }
    assert_int_equal (weir_kv_wait (kv, weir_kv_write (kv, &b)), WEIR_OK);
    weir_kv_clear_event (kv);
    weir_kv_clear_event (kv);
    assert_int_equal (weir_kv_wait (kv, write_text (kv, "a=1")), WEIR_OK);
    weir_kv_close (&kv);
}

/* ---- kill -9 ---- */

#define PAIRS 7u

/* The child: batches of pairs that belong together, without end; each time synced advances, its
 * number goes out as 8 bytes. */
static int
write_until_killed (const char *path)
{
    struct weir_kv *kv = NULL;
    if (weir_kv_open (&kv, path, true, NULL) != WEIR_OK) {
        return 1;
    }
    uint64_t told = 0;
    struct weir_rand r;
    weir_rand_init (&r, (uint64_t) getpid ());
    for (uint64_t i = 1; weir_kv_status (kv) == WEIR_OK; i++) {
        struct weir_kv_batch *b = weir_kv_batch_new ();
        for (uint8_t j = 0; j < PAIRS; j++) {
            uint8_t key[9];
            uint8_t value[300];
            weir_store_u64 (key, i);
            key[8] = j;
            memset (value, j, sizeof value);
            weir_kv_put (b, weir_bytes (key, 9),
                         weir_bytes (value, weir_rand_below (&r, sizeof value)));
        }
        (void) weir_kv_write (kv, &b);
        if (weir_rand_below (&r, 4) == 0) {
            struct pollfd p = { .fd = weir_kv_event_fd (kv), .events = POLLIN };
            (void) poll (&p, 1, 1000);
        }
        weir_kv_clear_event (kv);
        uint64_t synced = weir_kv_synced (kv);
        if (synced > told && write (1, &synced, sizeof synced) != sizeof synced) {
            return 1;
        }
        told = synced;
    }
    return 1;
}

static void
kill_once (const char *path, unsigned acks)
{
    int out;
    uint64_t acknowledged = 0;
    pid_t pid = run_self ("write", path, &out);
    /* So many, and what came after them before the end. */
    for (unsigned i = 0;; i++) {
        uint64_t number;
        if (i == acks) {
            assert_int_equal (kill (pid, SIGKILL), 0);
        }
        ssize_t got = read (out, &number, sizeof number);
        if (got != sizeof number) {
            assert_int_equal (got, 0);
            assert_true (i >= acks);
            break;
        }
        assert_true (number > acknowledged);
        acknowledged = number;
    }
    close (out);
    assert_int_equal (exit_code (pid), -SIGKILL);
    struct weir_kv *kv = open_good (path);
    struct weir_kv_iter *iter = weir_kv_iter_new (kv, text (""), text (""), false);
    struct weir_bytes key;
    uint64_t count = 0;
    while (weir_kv_iter_next (iter, &key, NULL)) {
        assert_int_equal (key.len, 9);
        assert_int_equal (weir_load_u64 (key.data), count / PAIRS + 1);
        assert_int_equal (key.data[8], count % PAIRS);
        count++;
    }
    assert_int_equal (weir_kv_iter_status (iter), WEIR_OK);
    assert_int_equal (count % PAIRS, 0);
    assert_true (count / PAIRS >= acknowledged);
    weir_kv_iter_destroy (&iter);
    weir_kv_close (&kv);
}

static void
test_kill (void **state)
{
    static const unsigned acks[] = { 1, 2, 3, 5, 10, 20, 40, 80, 160, 400 };
    for (size_t i = 0; i < sizeof acks / sizeof acks[0]; i++) {
        char path[600];
        snprintf (path, sizeof path, "%s/%zu", (const char *) *state, i);
        kill_once (path, acks[i]);
    }
}

/* ---- disks that fail ---- */

/* The limit on the size of files stands for a disk that stops taking bytes in mid-write. */
static void
test_write_error (void **state)
{
    struct rlimit before;
    struct weir_kv *kv = open_good (*state);
    signal (SIGXFSZ, SIG_IGN);
    assert_int_equal (getrlimit (RLIMIT_FSIZE, &before), 0);
    struct rlimit small = { .rlim_cur = 300000, .rlim_max = before.rlim_max };
    assert_int_equal (setrlimit (RLIMIT_FSIZE, &small), 0);
    uint32_t written = 0;
    for (; weir_kv_status (kv) == WEIR_OK && written < 10000; written++) {
        struct weir_kv_batch *b = big_batch (written, 10000);
        uint64_t number = weir_kv_write (kv, &b);
        enum weir_status waited = weir_kv_wait (kv, number);
        assert_int_equal (waited, weir_kv_status (kv));
    }
    assert_int_equal (setrlimit (RLIMIT_FSIZE, &before), 0);
    signal (SIGXFSZ, SIG_DFL);
    assert_int_equal (weir_kv_status (kv), WEIR_IO_ERROR);
    assert_true (event_is_up (kv, 30000));
    /* Nothing is synced any more, though the disk would take it again; all can be read. */
    uint64_t synced = weir_kv_synced (kv);
    assert_int_equal (synced, written - 1);
    struct weir_kv_batch *b = big_batch (written, 10000);
    assert_int_equal (weir_kv_write (kv, &b), written + 1);
    assert_int_equal (write_text (kv, ""), written + 2);
    assert_int_equal (weir_kv_wait (kv, written + 2), WEIR_IO_ERROR);
    assert_int_equal (weir_kv_wait (kv, synced), WEIR_OK);
    assert_int_equal (weir_kv_synced (kv), synced);
    assert_int_equal (count_batches (kv, 10000), written + 1);
    weir_kv_close (&kv);
    kv = open_good (*state);
    assert_int_equal (count_batches (kv, 10000), synced);
    b = big_batch ((uint32_t) synced, 10000);
    assert_int_equal (weir_kv_wait (kv, weir_kv_write (kv, &b)), WEIR_OK);
    weir_kv_close (&kv);
}

/* A child on a small tmpfs of its own. Exits with 0, EXIT_SKIP, or the line that failed. */
#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x)) {                                                                                \
            fprintf (stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x);                               \
            return 1;                                                                              \
        }                                                                                          \
    } while (0)

static int
mount_small (const char *path)
{
    return unshare (CLONE_NEWNS) == 0 && mount (NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0
                   && mount ("tmpfs", path, "tmpfs", 0, "size=3m") == 0
               ? 0
               : EXIT_SKIP;
}

static int
fill_disk (const char *path)
{
    struct weir_kv *kv = NULL;
    struct weir_error e = { 0 };
    uint32_t written = 0;
    if (mount_small (path) != 0) {
        return EXIT_SKIP;
    }
    CHECK (weir_kv_open (&kv, path, true, &e) == WEIR_OK);
    for (; weir_kv_status (kv) == WEIR_OK && written < 10000; written++) {
        struct weir_kv_batch *b = big_batch (written, 10000);
        enum weir_status status = weir_kv_wait (kv, weir_kv_write (kv, &b));
        CHECK (status == weir_kv_status (kv));
    }
    CHECK (weir_kv_status (kv) == WEIR_DISK_FULL);
    CHECK (weir_kv_synced (kv) == written - 1);
    CHECK (count_batches (kv, 10000) == written);
    weir_kv_close (&kv);
    /* Still full: opening needs room of its own. */
    enum weir_status status = weir_kv_open (&kv, path, true, &e);
    CHECK (status == WEIR_DISK_FULL);
    CHECK (strstr (e.what, path) != NULL && strlen (weir_error_hint (&e)) > 0);
    CHECK (mount ("tmpfs", path, "tmpfs", MS_REMOUNT | MS_RDONLY, "size=30m") == 0);
    status = weir_kv_open (&kv, path, true, &e);
    CHECK (status == WEIR_READ_ONLY);
    CHECK (mount ("tmpfs", path, "tmpfs", MS_REMOUNT, "size=30m") == 0);
    CHECK (weir_kv_open (&kv, path, true, &e) == WEIR_OK);
    CHECK (count_batches (kv, 10000) == written - 1);
    struct weir_kv_batch *b = big_batch (written - 1, 10000);
    CHECK (weir_kv_wait (kv, weir_kv_write (kv, &b)) == WEIR_OK);
    weir_kv_close (&kv);
    return 0;
}

static void
test_full_disk (void **state)
{
    int code = exit_code (run_self ("fill", *state, NULL));
    if (code == EXIT_SKIP) {
        print_message ("SKIPPED: a full disk needs the right to mount a tmpfs\n");
        skip ();
    }
    assert_int_equal (code, 0);
}

/* ---- this program as another process ---- */

static int
act (const char *mode, const char *path)
{
    if (strcmp (mode, "open") == 0) {
        struct weir_kv *kv = NULL;
        enum weir_status status = weir_kv_open (&kv, path, false, NULL);
        weir_kv_close (&kv);
        return (int) status;
    }
    if (strcmp (mode, "salvage") == 0) {
        return (int) weir_kv_salvage (path, NULL);
    }
    return strcmp (mode, "write") == 0 ? write_until_killed (path) : fill_disk (path);
}

int
main (int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown (test_open, setup, teardown),
        cmocka_unit_test_setup_teardown (test_event, setup, teardown),
        cmocka_unit_test_setup_teardown (test_backlog, setup, teardown),
        cmocka_unit_test_setup_teardown (test_kill, setup, teardown),
        cmocka_unit_test_setup_teardown (test_write_error, setup, teardown),
        cmocka_unit_test_setup_teardown (test_full_disk, setup, teardown),
    };
    program = argv[0];
    return argc == 3 ? act (argv[1], argv[2]) : cmocka_run_group_tests (tests, NULL, NULL);
}
