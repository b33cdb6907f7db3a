/* Owns where a node's files are: XDG directories for users, FHS for root, never the working
 * directory. It creates nothing. The CLI, the broker and the actors call it. */

#include "actors/runtime/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool
join (char out[WEIR_SETTING_TEXT_MAX], const char *a, const char *separator, const char *b)
{
    int n = snprintf (out, WEIR_SETTING_TEXT_MAX, "%s%s%s", a, separator, b);
    return n >= 0 && (size_t) n < WEIR_SETTING_TEXT_MAX;
}

static bool
default_data (char out[WEIR_SETTING_TEXT_MAX])
{
    const char *xdg = getenv ("XDG_DATA_HOME");
    const char *home = getenv ("HOME");
    if (geteuid () == 0 || ((xdg == NULL || xdg[0] != '/') && (home == NULL || home[0] != '/'))) {
        return join (out, "/var/lib/weir", "", "");
    }
    if (xdg != NULL && xdg[0] == '/') {
        return join (out, xdg, "/", "weir");
    }
    return join (out, home, "/", ".local/share/weir");
}

/* Absolute, without slashes at the end: children and sockets must not depend on where a process
 * happens to stand. */
static bool
absolute (char out[WEIR_SETTING_TEXT_MAX], const char *path)
{
    char here[WEIR_SETTING_TEXT_MAX];
    bool fits = false;
    if (path[0] == '/') {
        fits = join (out, path, "", "");
    } else if (getcwd (here, sizeof here) != NULL) {
        fits = join (out, here, "/", path);
    }
    size_t len = fits ? strlen (out) : 0;
    while (len > 1 && out[len - 1] == '/') {
        out[--len] = '\0';
    }
    return fits;
}

static const char *
configured (const char *value)
{
    return value != NULL && value[0] != '\0' ? value : NULL;
}

enum weir_status
weir_paths_find (struct weir_paths *out, const char *data, const struct weir_settings_values *v,
                 struct weir_error *e)
{
    struct weir_paths p;
    const char *given = configured (data);
    given = given == NULL ? configured (getenv ("WEIR_DATA")) : given;
    const char *run = v == NULL ? NULL : configured (v->run_dir);
    const char *tips = v == NULL ? NULL : configured (v->tips_file);
    memset (&p, 0, sizeof p);
    bool fits = given == NULL ? default_data (p.data) : absolute (p.data, given);
    fits = fits && join (p.config, p.data, "/", "weir.conf");
    fits = fits && join (p.key, p.data, "/", "identity.key");
    fits = fits && join (p.db, p.data, "/", "store");
    fits = fits && (tips == NULL ? join (p.tips, p.data, ".", "tips") : absolute (p.tips, tips));
    fits = fits && (run == NULL ? join (p.run, p.data, "/", "run") : absolute (p.run, run));
    fits = fits && join (p.control, "ipc://", p.run, "/control");
    if (!fits) {
        return weir_error_set (e, WEIR_BAD_CONFIG, "use a shorter --data", "the path is too long");
    }
    size_t longest = strlen (p.control) - strlen ("ipc://");
    if (longest > WEIR_IPC_PATH_MAX) {
        return weir_error_set (e, WEIR_BAD_CONFIG, "set run_dir (WEIR_RUN_DIR) to a shorter path",
                               "%s has %zu bytes, a socket's path may have %u",
                               p.control + strlen ("ipc://"), longest, WEIR_IPC_PATH_MAX);
    }
    *out = p;
    return WEIR_OK;
}
