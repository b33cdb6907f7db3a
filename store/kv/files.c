/* What must be known of the database's directory before LevelDB touches it, for LevelDB trusts
 * what it finds. leveldb.c calls this. */

#include "store/kv/files.h"

#include "store/kv/faults.h"
#include "store/kv/logs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static bool
is_data (const char *name)
{
    const char *dot = strrchr (name, '.');
    return dot != NULL && (strcmp (dot, ".ldb") == 0 || strcmp (dot, ".log") == 0);
}

enum weir_status
weir_files_list (const char *path, struct weir_files *out)
{
    DIR *dir = opendir (path);
    if (dir == NULL) {
        return errno == ENOENT ? WEIR_NOT_FOUND : weir_faults_errno (errno);
    }
    memset (out, 0, sizeof *out);
    for (struct dirent *d = readdir (dir); d != NULL; d = readdir (dir)) {
        struct stat st;
        if (fstatat (dirfd (dir), d->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0
            && S_ISREG (st.st_mode)) {
            out->bytes += (uint64_t) st.st_size;
            out->current = out->current || strcmp (d->d_name, "CURRENT") == 0;
            out->data = out->data || is_data (d->d_name);
        }
    }
    closedir (dir);
    return WEIR_OK;
}

/* So that the directory is still there after power loss. */
static enum weir_status
make_directory (const char *path, struct weir_error *e)
{
    if (mkdir (path, 0700) != 0 && errno != EEXIST) {
        return weir_error_set (e, weir_faults_errno (errno), NULL, "cannot make %s: %s", path,
                               strerror (errno));
    }
    char *parent = weir_strdup (path);
    size_t len = strlen (parent);
    while (len > 1 && parent[len - 1] == '/') {
        parent[--len] = '\0';
    }
    char *slash = strrchr (parent, '/');
    if (slash != NULL) {
        slash[slash == parent ? 1 : 0] = '\0';
    }
    int fd = open (slash != NULL ? parent : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void) fsync (fd); /* not every file system can; the first commit will tell */
        close (fd);
    }
    free (parent);
    return WEIR_OK;
}

enum weir_status
weir_files_lock (int *fd, const char *path, struct weir_error *e)
{
    int dir_fd = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0) {
        enum weir_status status = errno == ENOENT ? WEIR_NOT_FOUND : weir_faults_errno (errno);
        return weir_error_set (e, status, NULL, "cannot open the directory %s: %s", path,
                               strerror (errno));
    }
    if (flock (dir_fd, LOCK_EX | LOCK_NB) != 0) {
        int number = errno;
        close (dir_fd);
        if (number == EWOULDBLOCK) {
            return weir_error_set (e, WEIR_ALREADY_RUNNING, NULL, "another process holds %s", path);
        }
        return weir_error_set (e, weir_faults_errno (number), NULL, "cannot lock %s: %s", path,
                               strerror (number));
    }
    *fd = dir_fd;
    return WEIR_OK;
}

static enum weir_status
look (const char *path, bool create, struct weir_error *e)
{
    struct weir_files files;
    enum weir_status status = weir_files_list (path, &files);
    if (status != WEIR_OK) {
        return weir_error_set (e, status, NULL, "cannot read the directory %s: %s", path,
                               strerror (errno));
    }
    if (!files.current && files.data) {
        return weir_error_set (e, WEIR_CORRUPT, NULL, "%s/CURRENT is missing", path);
    }
    if (!files.current && !create) {
        return weir_error_set (e, WEIR_NOT_FOUND, NULL, "there is no database in %s", path);
    }
    return weir_logs_check (path, e);
}

enum weir_status
weir_files_take (int *fd, const char *path, bool create, struct weir_error *e)
{
    int lock_fd = -1;
    enum weir_status status = WEIR_OK;
    if (create && access (path, F_OK) != 0) {
        status = make_directory (path, e);
    }
    if (status == WEIR_OK) {
        status = weir_files_lock (&lock_fd, path, e);
    }
    if (status == WEIR_OK) {
        status = look (path, create, e);
    }
    if (status == WEIR_OK) {
        *fd = lock_fd;
    } else if (lock_fd >= 0) {
        close (lock_fd);
    }
    return status;
}
