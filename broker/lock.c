/* Owns the run directory and its lock: a second process could bind the same ipc:// path and
 * silently take new connections (page 7), so this comes before any socket. */

#include "broker/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static enum weir_status
failed (const char *what, const char *path, struct weir_error *e)
{
    enum weir_status status =
        errno == EROFS || errno == EACCES || errno == EPERM ? WEIR_READ_ONLY : WEIR_CANNOT_CREATE;
    const char *hint = errno == ENOENT ? "weir init makes the data directory" : NULL;
    return weir_error_set (e, status, hint, "cannot %s %s: %s", what, path, strerror (errno));
}

static long
holder (int fd)
{
    char text[32] = "";
    ssize_t n = pread (fd, text, sizeof text - 1, 0);
    return n > 0 ? strtol (text, NULL, 10) : 0;
}

enum weir_status
weir_lock_take (int *out, const char *run_dir, struct weir_error *e)
{
    enum weir_status status = WEIR_OK;
    char path[4096];
    struct stat info;
    int fd = -1;
    if (mkdir (run_dir, 0700) != 0 && errno != EEXIST) {
        return failed ("make", run_dir, e);
    }
    if (stat (run_dir, &info) != 0 || !S_ISDIR (info.st_mode) || info.st_uid != geteuid ()) {
        return weir_error_set (e, WEIR_CANNOT_CREATE, "set run_dir to a directory of this user",
                               "%s is not a directory of this user", run_dir);
    }
    if ((info.st_mode & 0777) != 0700 && chmod (run_dir, 0700) != 0) {
        return failed ("protect", run_dir, e);
    }
    (void) snprintf (path, sizeof path, "%s/lock", run_dir);
    fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return failed ("open", path, e);
    }
    if (flock (fd, LOCK_EX | LOCK_NB) != 0) {
        status = weir_error_set (e, WEIR_ALREADY_RUNNING, NULL,
                                 "a node runs already on %s (pid %ld)", run_dir, holder (fd));
        goto done;
    }
    char text[32];
    int len = snprintf (text, sizeof text, "%ld\n", (long) getpid ());
    /* Only for people: what counts is the lock. On a full disk it stays empty. */
    ssize_t n = ftruncate (fd, 0) == 0 ? pwrite (fd, text, (size_t) len, 0) : 0;
    (void) n;
    *out = fd;
    fd = -1;
done:
    if (fd >= 0) {
        (void) close (fd);
    }
    return status;
}
