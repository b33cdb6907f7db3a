/* Goal: a database in which one byte was flipped, in any file, never opens clean with lost or
 * wrong data: it is refused when opened, or says CORRUPT when read, or everything is still there.
 * The same for a lost CURRENT, and for tables that are gone or cut; a log that was cut, as by a
 * power loss, opens. After repair what is left is true. By default every byte of what is small
 * and some hundreds of the rest; with WEIR_TEST_LONG=1 every byte of all. */

#include "tests/store/kv/fixture.h"

#include "store/base/rand.h"
#include "store/kv/crc32c.h"
#include "store/kv/faults.h"
#include "store/kv/logs.h"

#include <errno.h>

#define PAIRS 640u /* half of them in a table, half in the log */
#define FILES_MAX 16u

struct file {
    char name[64];
    uint8_t *data;
    size_t len;
};

struct image {
    char *directory; /* where copies are made */
    struct file files[FILES_MAX];
    size_t n_files;
};

static void
pair (unsigned i, uint8_t key[8], uint8_t value[256], size_t *len)
{
    struct weir_rand r;
    weir_rand_init (&r, i);
    weir_store_u64 (key, i * 7u);
    *len = 20 + weir_rand_below (&r, 200);
    memset (value, 'v', *len);
    weir_rand_bytes (&r, value, *len / 2);
}

static void
write_pairs (struct weir_kv *kv, unsigned from, unsigned to)
{
    uint64_t number = 0;
    for (unsigned i = from; i < to; i += 4) {
        struct weir_kv_batch *b = weir_kv_batch_new ();
        for (unsigned j = i; j < i + 4; j++) {
            uint8_t key[8];
            uint8_t value[256];
            size_t len;
            pair (j, key, value, &len);
            weir_kv_put (b, weir_bytes (key, 8), weir_bytes (value, len));
        }
        number = weir_kv_write (kv, &b);
        assert_int_equal (weir_kv_wait (kv, number), WEIR_OK);
    }
}

static void
read_file (struct file *f, const char *directory, const char *name)
{
    char path[700];
    snprintf (path, sizeof path, "%s/%s", directory, name);
    snprintf (f->name, sizeof f->name, "%.63s", name);
    FILE *in = fopen (path, "re");
    assert_non_null (in);
    f->data = weir_alloc (1u << 20);
    f->len = fread (f->data, 1, 1u << 20, in);
    assert_true (f->len < 1u << 20);
    fclose (in);
}

static int
setup (void **state)
{
    use_memory_disk ();
    struct image *image = weir_alloc (sizeof *image);
    struct weir_kv *kv = NULL;
    *state = image;
    image->directory = make_directory ();
    if (weir_kv_open (&kv, image->directory, true, NULL) != WEIR_OK) {
        return -1;
    }
    write_pairs (kv, 0, PAIRS / 2);
    weir_kv_close (&kv); /* the next open makes a table of the log */
    if (weir_kv_open (&kv, image->directory, true, NULL) != WEIR_OK) {
        return -1;
    }
    write_pairs (kv, PAIRS / 2, PAIRS);
    weir_kv_close (&kv);
    DIR *dir = opendir (image->directory);
    for (struct dirent *d = readdir (dir); d != NULL; d = readdir (dir)) {
        if (d->d_name[0] != '.') {
            read_file (&image->files[image->n_files++], image->directory, d->d_name);
        }
    }
    closedir (dir);
    remove_directory (image->directory);
    return 0;
}

static int
teardown (void **state)
{
    struct image *image = *state;
    for (size_t i = 0; i < image->n_files; i++) {
        free (image->files[i].data);
    }
    remove_directory (image->directory);
    free (image->directory);
    free (image);
    return 0;
}

static void
write_image (const struct image *image)
{
    remove_directory (image->directory);
    assert_int_equal (mkdir (image->directory, 0700), 0);
    for (size_t i = 0; i < image->n_files; i++) {
        char path[700];
        snprintf (path, sizeof path, "%s/%s", image->directory, image->files[i].name);
        int fd = open (path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_true (fd >= 0);
        assert_int_equal (write (fd, image->files[i].data, image->files[i].len),
                          image->files[i].len);
        close (fd);
    }
}

/* Pair i as it was written? */
static bool
is_true (unsigned i, struct weir_bytes key, struct weir_bytes value)
{
    uint8_t expected_key[8];
    uint8_t expected[256];
    size_t len;
    pair (i, expected_key, expected, &len);
    return weir_bytes_equal (key, weir_bytes (expected_key, 8))
           && weir_bytes_equal (value, weir_bytes (expected, len));
}

/* Reads all in both directions and each by itself. WEIR_OK when all pairs are there and true; the
 * first status that says otherwise. Fails the test where something is wrong without a word. */
static enum weir_status
read_all (struct weir_kv *kv)
{
    enum weir_status result = WEIR_OK;
    for (unsigned backward = 0; backward < 2; backward++) {
        struct weir_kv_iter *iter = weir_kv_iter_new (kv, text (""), text (""), backward == 1);
        struct weir_bytes key;
        struct weir_bytes value;
        unsigned i = 0;
        while (weir_kv_iter_next (iter, &key, &value)) {
            assert_true (i < PAIRS);
            assert_true (is_true (backward == 1 ? PAIRS - 1 - i : i, key, value));
            i++;
        }
        enum weir_status status = weir_kv_iter_status (iter);
        assert_true (status != WEIR_OK || i == PAIRS);
        result = result == WEIR_OK ? status : result;
        weir_kv_iter_destroy (&iter);
    }
    struct weir_buf value = { 0 };
    for (unsigned i = 0; i < PAIRS; i++) {
        uint8_t key[8];
        weir_store_u64 (key, i * 7u);
        weir_buf_clear (&value);
        enum weir_status status = weir_kv_get (kv, weir_bytes (key, 8), &value);
        assert_int_not_equal (status, WEIR_NOT_FOUND);
        assert_true (status != WEIR_OK
                     || is_true (i, weir_bytes (key, 8), weir_buf_bytes (&value)));
        result = result == WEIR_OK ? status : result;
    }
    weir_buf_fini (&value);
    return result;
}

/* What the database in the image's directory says of itself. */
static enum weir_status
judge (const struct image *image)
{
    struct weir_kv *kv = NULL;
    struct weir_error e = { 0 };
    enum weir_status status = weir_kv_open (&kv, image->directory, true, &e);
    if (status == WEIR_OK) {
        status = read_all (kv);
        weir_kv_close (&kv);
    } else {
        assert_true (e.what[0] != '\0');
        assert_null (kv);
    }
    return status;
}

/* Repairs, and sees that what is left is true. Gives the number of pairs. */
static unsigned
repair (const struct image *image)
{
    struct weir_kv *kv = NULL;
    struct weir_error e = { 0 };
    assert_int_equal (weir_kv_salvage (image->directory, &e), WEIR_OK);
    assert_int_equal (weir_kv_open (&kv, image->directory, false, &e), WEIR_OK);
    struct weir_kv_iter *iter = weir_kv_iter_new (kv, text (""), text (""), false);
    struct weir_bytes key;
    struct weir_bytes value;
    unsigned count = 0;
    while (weir_kv_iter_next (iter, &key, &value)) {
        assert_int_equal (key.len, 8);
        assert_true (is_true ((unsigned) (weir_load_u64 (key.data) / 7), key, value));
        count++;
    }
    assert_int_equal (weir_kv_iter_status (iter), WEIR_OK);
    weir_kv_iter_destroy (&iter);
    weir_kv_close (&kv);
    return count;
}

static bool
has_end (const char *name, const char *end)
{
    size_t len = strlen (name);
    return len >= strlen (end) && strcmp (name + len - strlen (end), end) == 0;
}

static struct file *
find_file (struct image *image, const char *begin, const char *end)
{
    for (size_t i = 0; i < image->n_files; i++) {
        if (strncmp (image->files[i].name, begin, strlen (begin)) == 0
            && has_end (image->files[i].name, end)) {
            return &image->files[i];
        }
    }
    fail_msg ("no file like %s*%s", begin, end);
    return NULL;
}

static void
test_intact (void **state)
{
    struct image *image = *state;
    write_image (image);
    assert_int_equal (judge (image), WEIR_OK);
    assert_int_equal (repair (image), PAIRS);
    /* All that the goal speaks of is there, and the log has several blocks. */
    assert_true (find_file (image, "", ".ldb")->len > 4096);
    assert_true (find_file (image, "", ".log")->len > 32768);
    find_file (image, "MANIFEST-", "");
    find_file (image, "CURRENT", "");
}

struct flips {
    unsigned trials;
    unsigned noticed;
};

static void
flip (struct image *image, struct file *f, size_t i, unsigned mask, struct flips *out)
{
    f->data[i] = (uint8_t) (f->data[i] ^ mask);
    write_image (image);
    f->data[i] = (uint8_t) (f->data[i] ^ mask);
    enum weir_status status = judge (image);
    if (status != WEIR_OK && status != WEIR_CORRUPT) {
        print_error ("%s byte %zu ^ %02x: %s\n", f->name, i, mask, weir_status_code (status));
        fail ();
    }
    out->trials++;
    out->noticed += status == WEIR_CORRUPT ? 1u : 0u;
    if (status == WEIR_CORRUPT && out->noticed % 50 == 1) {
        (void) repair (image);
    }
}

static void
test_flips (void **state)
{
    struct image *image = *state;
    bool all = getenv ("WEIR_TEST_LONG") != NULL;
    struct weir_rand r;
    weir_rand_init (&r, 7);
    for (size_t k = 0; k < image->n_files; k++) {
        struct file *f = &image->files[k];
        struct flips flips = { 0, 0 };
        bool words = strncmp (f->name, "LOG", 3) == 0; /* for people; LevelDB never reads it */
        uint64_t stride = words ? 50 : all || f->len < 400 ? 1 : f->len / 400;
        for (size_t i = 0; i < f->len; i += 1 + weir_rand_below (&r, 2 * stride - 1)) {
            flip (image, f, i, 1u + (unsigned) weir_rand_below (&r, 255), &flips);
        }
        print_message ("%s: %zu bytes, %u flips, %u noticed, the rest harmless\n", f->name, f->len,
                       flips.trials, flips.noticed);
        /* In a log each byte counts. */
        assert_true (!has_end (f->name, ".log") || flips.noticed == flips.trials);
        assert_true (strncmp (f->name, "MANIFEST", 8) != 0 || flips.noticed == flips.trials);
    }
}

/* Every length in the last block of the log, in every way that one byte can be wrong. */
static void
test_log_lengths (void **state)
{
    struct image *image = *state;
    static const char *const begins[] = { "", "MANIFEST-" };
    static const char *const ends[] = { ".log", "" };
    for (unsigned k = 0; k < 2; k++) {
        struct file *f = find_file (image, begins[k], ends[k]);
        size_t start = f->len - f->len % 32768;
        struct weir_bytes block = weir_bytes (f->data + start, f->len - start);
        assert_int_equal (weir_logs_damage (block, true, false), block.len);
        unsigned longer = 0;
        for (size_t pos = start; pos + 7 < f->len;) {
            size_t len = (size_t) f->data[pos + 4] | (size_t) f->data[pos + 5] << 8;
            for (unsigned byte = 4; byte < 6; byte++) {
                uint8_t right = f->data[pos + byte];
                for (unsigned wrong = 0; wrong < 256; wrong++) {
                    f->data[pos + byte] = (uint8_t) wrong;
                    size_t now = (size_t) f->data[pos + 4] | (size_t) f->data[pos + 5] << 8;
                    /* What stays within the file fails its checksum, and LevelDB says so. */
                    if (pos + 7 + now > f->len) {
                        assert_int_equal (weir_logs_damage (block, true, true), pos - start);
                        longer++;
                    }
                }
                f->data[pos + byte] = right;
            }
            pos += 7 + len;
        }
        assert_true (longer > 100);
        /* Cut anywhere, it is a log whose writer died. */
        for (size_t len = 0; len < block.len; len++) {
            struct weir_bytes cut = weir_bytes (block.data, len);
            assert_int_equal (weir_logs_damage (cut, true, false), len);
        }
    }
}

/* A log that ends early opens with what came before: whole batches, in order. */
static void
test_cut_log (void **state)
{
    struct image *image = *state;
    struct file *f = find_file (image, "", ".log");
    size_t whole = f->len;
    struct weir_rand r;
    weir_rand_init (&r, 3);
    for (unsigned round = 0; round < 60; round++) {
        struct weir_kv *kv = NULL;
        f->len = weir_rand_below (&r, whole);
        write_image (image);
        f->len = whole;
        assert_int_equal (weir_kv_open (&kv, image->directory, true, NULL), WEIR_OK);
        struct weir_kv_iter *iter = weir_kv_iter_new (kv, text (""), text (""), false);
        struct weir_bytes key;
        struct weir_bytes value;
        unsigned count = 0;
        while (weir_kv_iter_next (iter, &key, &value)) {
            assert_true (is_true (count++, key, value));
        }
        assert_int_equal (weir_kv_iter_status (iter), WEIR_OK);
        assert_true (count >= PAIRS / 2 && count % 4 == 0);
        weir_kv_iter_destroy (&iter);
        weir_kv_close (&kv);
    }
}

/* Files that are gone, cut or empty. */
static void
test_lost_files (void **state)
{
    struct image *image = *state;
    static const struct {
        const char *begin;
        const char *end;
        bool gone;
    } cases[] = {
        { "CURRENT", "", true },  { "MANIFEST-", "", true },  { "", ".ldb", true },
        { "CURRENT", "", false }, { "MANIFEST-", "", false }, { "", ".ldb", false },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct file *f = find_file (image, cases[i].begin, cases[i].end);
        struct file kept = *f;
        if (cases[i].gone) {
            *f = image->files[--image->n_files];
        } else {
            f->len /= 2;
        }
        write_image (image);
        if (cases[i].gone) {
            image->files[image->n_files++] = *f;
        }
        *f = kept;
        enum weir_status status = judge (image);
        if (status != WEIR_CORRUPT) {
            print_error ("%s*%s: %s\n", cases[i].begin, cases[i].end, weir_status_code (status));
        }
        assert_int_equal (status, WEIR_CORRUPT);
        assert_true (repair (image) >= PAIRS / 2 || has_end (cases[i].end, ".ldb"));
    }
}

/* What repair meets beside damage. */
static void
test_no_repair (void **state)
{
    struct image *image = *state;
    struct weir_error e = { 0 };
    char path[700];
    assert_int_equal (weir_kv_salvage (image->directory, &e), WEIR_NOT_FOUND);
    assert_int_equal (mkdir (image->directory, 0700), 0);
    assert_int_equal (weir_kv_salvage (image->directory, &e), WEIR_NOT_FOUND);
    /* Something is where repair writes its new MANIFEST. */
    write_image (image);
    snprintf (path, sizeof path, "%s/000001.dbtmp", image->directory);
    assert_int_equal (mkdir (path, 0700), 0);
    assert_int_equal (weir_kv_salvage (image->directory, &e), WEIR_IO_ERROR);
    assert_non_null (strstr (e.what, image->directory));
    assert_true (strlen (weir_error_hint (&e)) > 0);
    snprintf (path, sizeof path, "%s/000009.log", image->directory);
    assert_int_equal (mkdir (path, 0700), 0);
    assert_int_equal (weir_kv_salvage (image->directory, &e), WEIR_IO_ERROR);
    assert_non_null (strstr (e.what, path));
    /* Zeros in a log, as a file system may leave them, are no damage; a bad length in a block
     * that is not the last is. */
    uint8_t block[64] = { 0 };
    assert_int_equal (weir_logs_damage (weir_bytes (block, 64), true, false), 64);
    assert_int_equal (weir_logs_damage (weir_bytes (block, 64), false, true), 64);
    block[6] = 1;
    assert_int_equal (weir_logs_damage (weir_bytes (block, 64), true, false), 0);
    block[4] = 200;
    assert_int_equal (weir_logs_damage (weir_bytes (block, 64), true, false), 64);
    assert_int_equal (weir_logs_damage (weir_bytes (block, 64), false, true), 0);
}

static void
test_words (void **state)
{
    (void) state;
    static const struct {
        const char *words;
        int number; /* its strerror at the end; 0: none */
        enum weir_status expected;
    } cases[] = {
        { "Corruption: checksum mismatch", 0, WEIR_CORRUPT },
        { "Invalid argument: x: comparator", 0, WEIR_CORRUPT },
        { "IO error: /d/000003.log: ", ENOSPC, WEIR_DISK_FULL },
        { "IO error: /d/000003.log: ", EDQUOT, WEIR_DISK_FULL },
        { "IO error: /d/000003.log: ", EFBIG, WEIR_IO_ERROR },
        { "IO error: /d/000003.ldb: ", EIO, WEIR_IO_ERROR },
        { "IO error: /d/000003.ldb: ", ENOENT, WEIR_CORRUPT },
        { "IO error: /d/000003.ldb: ", EINVAL, WEIR_CORRUPT },
        { "IO error: /d/LOCK: ", EACCES, WEIR_READ_ONLY },
        { "IO error: /d/LOCK: ", EPERM, WEIR_READ_ONLY },
        { "IO error: /d/LOCK: ", EROFS, WEIR_READ_ONLY },
        { "IO error: lock /d/LOCK: already held by process", 0, WEIR_ALREADY_RUNNING },
        { "IO error: lock /d/LOCK: ", EAGAIN, WEIR_ALREADY_RUNNING },
        { "IO error: lock /d/LOCK: ", EACCES, WEIR_ALREADY_RUNNING },
        { "IO error: lock /d/LOCK: ", EIO, WEIR_IO_ERROR },
        { "", 0, WEIR_CORRUPT },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char words[200];
        snprintf (words, sizeof words, "%s%s", cases[i].words,
                  cases[i].number == 0 ? "" : strerror (cases[i].number));
        assert_int_equal (weir_faults_words (words), cases[i].expected);
    }
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown (test_intact, setup, teardown),
        cmocka_unit_test_setup_teardown (test_flips, setup, teardown),
        cmocka_unit_test_setup_teardown (test_log_lengths, setup, teardown),
        cmocka_unit_test_setup_teardown (test_cut_log, setup, teardown),
        cmocka_unit_test_setup_teardown (test_lost_files, setup, teardown),
        cmocka_unit_test_setup_teardown (test_no_repair, setup, teardown),
        cmocka_unit_test (test_words),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
