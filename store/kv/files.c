/* What must be known of the database's directory before LevelDB touches it, for LevelDB trusts
 * what it finds. leveldb.c calls this. */

#include "store/kv/files.h"

#include "store/kv/faults.h"
#include "store/kv/torn.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
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
weir_files_look (const char *path, bool create, struct weir_error *e)
{
    struct weir_files files;
    enum weir_status status = weir_files_list (path, &files);
    if (status == WEIR_NOT_FOUND && create) {
        return make_directory (path, e);
    }
    if (status != WEIR_OK && status != WEIR_NOT_FOUND) {
        return weir_error_set (e, status, NULL, "cannot read the directory %s: %s", path,
                               strerror (errno));
    }
    if (status == WEIR_OK && !files.current && files.data) {
        return weir_error_set (e, WEIR_CORRUPT, NULL, "%s/CURRENT is missing", path);
    }
    if (status == WEIR_NOT_FOUND || (!files.current && !create)) {
        return weir_error_set (e, WEIR_NOT_FOUND, NULL, "there is no database in %s", path);
    }
    return weir_torn_check (path, e);
}

int
weir_files_lock (const char *path)
{
    struct weir_buf name = { 0 };
    weir_buf_printf (&name, "%s/LOCK", path);
    int fd = open (weir_buf_str (&name), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int number = errno;
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    if (fd >= 0 && fcntl (fd, F_SETLK, &lock) != 0) {
        close (fd);
        fd = -1;
        number = EAGAIN;
    }
    weir_buf_fini (&name);
    errno = number;
    return fd;
}
