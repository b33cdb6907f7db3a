/* Reads faults of the disk: errno, and LevelDB's sentences, which are all that its C interface
 * gives: the class in front ("Corruption: ", "IO error: "), strerror at the end. */

#include "store/kv/faults.h"

#include <errno.h>
#include <string.h>

static bool
ends_with (const char *s, const char *end)
{
    size_t len = strlen (s);
    size_t end_len = strlen (end);
    return len >= end_len && strcmp (s + len - end_len, end) == 0;
}

enum weir_status
weir_faults_errno (int number)
{
    switch (number) {
    case ENOSPC:
    case EDQUOT:
        return WEIR_DISK_FULL;
    case EROFS:
    case EACCES:
    case EPERM:
        return WEIR_READ_ONLY;
    default:
        return WEIR_IO_ERROR;
    }
}

enum weir_status
weir_faults_words (const char *words)
{
    static const int known[] = { ENOSPC, EDQUOT, EROFS, EACCES, EPERM };
    /* A table that is gone, or a place in one that is beyond its end. */
    static const int corrupt[] = { ENOENT, EINVAL };
    if (strncmp (words, "IO error: ", 10) != 0) {
        return WEIR_CORRUPT; /* Corruption, and what only a damaged file can ask for */
    }
    if (strncmp (words, "IO error: lock ", 15) == 0
        && (ends_with (words, "already held by process") || ends_with (words, strerror (EAGAIN))
            || ends_with (words, strerror (EACCES)))) {
        return WEIR_ALREADY_RUNNING;
    }
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (ends_with (words, strerror (known[i]))) {
            return weir_faults_errno (known[i]);
        }
    }
    for (size_t i = 0; i < sizeof corrupt / sizeof corrupt[0]; i++) {
        if (ends_with (words, strerror (corrupt[i]))) {
            return WEIR_CORRUPT;
        }
    }
    return WEIR_IO_ERROR;
}
