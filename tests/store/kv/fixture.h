#ifndef WEIR_TESTS_STORE_KV_FIXTURE_H
#define WEIR_TESTS_STORE_KV_FIXTURE_H

/* What the kv's tests share: text as bytes, a directory of their own, one-line writes, and the
 * whole content of a kv as text. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/kv/kv.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef __SANITIZE_THREAD__
/* LevelDB itself is not built for TSan, which then takes its lock-free lists for races. Ours are
 * still seen: what LevelDB calls, and what calls it, are two things. */
const char *__tsan_default_suppressions (void);

const char *
__tsan_default_suppressions (void)
{
    return "called_from_lib:libleveldb.so\ncalled_from_lib:libstdc++.so\n";
}
#endif

static inline struct weir_bytes
text (const char *s)
{
    return weir_bytes_str (s);
}

/* Where memory serves as a disk, use it: for tests that sync thousands of times and do not ask
 * what a disk is. */
static inline void
use_memory_disk (void)
{
    if (access ("/dev/shm", W_OK) == 0) {
        setenv ("TMPDIR", "/dev/shm", 1);
    }
}

/* A new directory in TMPDIR; the caller frees the name. */
static inline char *
make_directory (void)
{
    const char *base = getenv ("TMPDIR");
    char path[512];
    snprintf (path, sizeof path, "%s/weir-kv-XXXXXX", base != NULL ? base : "/tmp");
    assert_non_null (mkdtemp (path));
    return weir_strdup (path);
}

/* Removes a directory of files, or of directories of files. */
static inline void
remove_directory (const char *path)
{
    DIR *dir = opendir (path);
    if (dir == NULL) {
        return;
    }
    for (struct dirent *d = readdir (dir); d != NULL; d = readdir (dir)) {
        if (strcmp (d->d_name, ".") == 0 || strcmp (d->d_name, "..") == 0) {
            continue;
        }
        if (unlinkat (dirfd (dir), d->d_name, 0) != 0) {
            int inner_fd = openat (dirfd (dir), d->d_name, O_RDONLY | O_DIRECTORY);
            DIR *inner = inner_fd < 0 ? NULL : fdopendir (inner_fd);
            for (struct dirent *f = inner != NULL ? readdir (inner) : NULL; f != NULL;
                 f = readdir (inner)) {
                unlinkat (dirfd (inner), f->d_name, 0);
            }
            if (inner != NULL) {
                closedir (inner);
            }
            unlinkat (dirfd (dir), d->d_name, AT_REMOVEDIR);
        }
    }
    closedir (dir);
    rmdir (path);
}

/* "a=1 b=2 -c": puts and deletes, as one batch. */
static inline uint64_t
write_text (struct weir_kv *kv, const char *pairs)
{
    struct weir_kv_batch *b = weir_kv_batch_new ();
    char *copy = weir_strdup (pairs);
    char *rest = copy;
    for (char *word = strtok_r (rest, " ", &rest); word != NULL;
         word = strtok_r (NULL, " ", &rest)) {
        char *value = strchr (word, '=');
        if (value == NULL) {
            weir_kv_delete (b, text (word + 1));
        } else {
            *value = '\0';
            weir_kv_put (b, text (word), text (value + 1));
        }
    }
    free (copy);
    uint64_t number = weir_kv_write (kv, &b);
    assert_null (b);
    return number;
}

/* What an iterator gives from here on, as "a=1 b=2". */
static inline void
put_rest (struct weir_kv_iter *iter, struct weir_buf *out)
{
    struct weir_bytes key;
    struct weir_bytes value;
    while (weir_kv_iter_next (iter, &key, &value)) {
        weir_buf_printf (out, "%s%.*s=%.*s", out->len > 0 ? " " : "", (int) key.len,
                         (const char *) key.data, (int) value.len, (const char *) value.data);
    }
}

static inline void
assert_range (struct weir_kv *kv, const char *from, const char *to, bool backward,
              const char *expected)
{
    struct weir_buf out = { 0 };
    struct weir_kv_iter *iter = weir_kv_iter_new (kv, text (from), text (to), backward);
    put_rest (iter, &out);
    assert_int_equal (weir_kv_iter_status (iter), WEIR_OK);
    weir_kv_iter_destroy (&iter);
    assert_null (iter);
    assert_string_equal (weir_buf_str (&out), expected);
    weir_buf_fini (&out);
}

static inline void
assert_content (struct weir_kv *kv, const char *expected)
{
    assert_range (kv, "", "", false, expected);
}

#endif
