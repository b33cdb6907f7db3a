/* The command line's frame: global options, the verb table, help, and finding the node. */

#include "bins/cli/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TIMEOUT_DEFAULT_MS 10000u
#define CONNECT_MS 2000u

const struct cli_verb cli_verbs[] = {
#define VERB(fn, noun, verb, usage, min, max, options, node, text)                                 \
    { noun, verb, usage, min, max, options, node, text, cli_##fn },
#include "bins/cli/verbs.def"
#undef VERB
    { NULL, NULL, NULL, 0, 0, NULL, false, NULL, NULL },
};

/* ---- options ---- */

const char *
cli_option (const struct cli *c, const char *name)
{
    for (size_t i = c->n_options; i-- > 0;) {
        if (strcmp (c->options[i].name, name) == 0) {
            return c->options[i].value != NULL ? c->options[i].value : "";
        }
    }
    return NULL;
}

enum weir_status
cli_number (const char *text, uint64_t max, uint64_t *out, struct weir_error *e)
{
    char *end = NULL;
    errno = 0;
    unsigned long long value = strtoull (text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || value > max) {
        return weir_error_set (e, WEIR_USAGE, NULL, "%s is not a number from 0 to %llu", text,
                               (unsigned long long) max);
    }
    *out = value;
    return WEIR_OK;
}

enum weir_status
cli_duration_ms (const char *text, uint64_t *ms, struct weir_error *e)
{
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = { { "ms", 1 },          { "s", 1000 },          { "", 1000 },
                  { "m", 60u * 1000u }, { "h", 3600u * 1000u }, { "d", 86400u * 1000u } };
    char *end = NULL;
    errno = 0;
    unsigned long long value = strtoull (text, &end, 10);
    for (size_t i = 0;
         text[0] >= '0' && text[0] <= '9' && errno == 0 && i < sizeof units / sizeof *units; i++) {
        if (strcmp (end, units[i].unit) == 0 && value <= UINT32_MAX / units[i].ms) {
            *ms = value * units[i].ms;
            return WEIR_OK;
        }
    }
    return weir_error_set (e, WEIR_USAGE, "such as 500ms, 10s, 5m, 2h",
                           "%s is not a duration (at most 49 days)", text);
}

/* Is `name` in the list "a=,b,c="? Tells whether it takes a value. */
static bool
listed (const char *list, const char *name, size_t len, bool *takes_value)
{
    for (const char *p = list; *p != '\0';) {
        size_t n = strcspn (p, ",");
        bool value = n > 0 && p[n - 1] == '=';
        if (n - (value ? 1 : 0) == len && strncmp (p, name, len) == 0) {
            *takes_value = value;
            return true;
        }
        p += n + (p[n] == ',' ? 1 : 0);
    }
    return false;
}

#define GLOBAL_OPTIONS "json,quiet,verbose,timeout=,data=,socket=,color=,help"

static const char *
long_name (char letter)
{
    static const struct {
        char letter;
        const char *name;
    } table[] = { { 'q', "quiet" },  { 'v', "verbose" }, { 'm', "message" },
                  { 'f', "follow" }, { 'h', "help" },    { 'o', "output" } };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (table[i].letter == letter) {
            return table[i].name;
        }
    }
    return NULL;
}

/* Takes one option at argv[*i]; `allowed` is the verb's list, NULL before the verb is known. */
static enum weir_status
take_option (struct cli *c, int argc, char **argv, int *i, const char *allowed,
             struct weir_error *e)
{
    const char *text = argv[*i];
    const char *name = text + 2;
    const char *value = NULL;
    bool takes_value = false;
    if (text[1] != '-') {
        name = text[2] == '\0' ? long_name (text[1]) : NULL;
        if (name == NULL) {
            return weir_error_set (e, WEIR_USAGE, NULL, "unknown option %s", text);
        }
    }
    size_t len = strcspn (name, "=");
    if (!listed (GLOBAL_OPTIONS, name, len, &takes_value)
        && (allowed == NULL || !listed (allowed, name, len, &takes_value))) {
        return weir_error_set (e, WEIR_USAGE, NULL, "unknown option %s", text);
    }
    if (name[len] == '=') {
        value = name + len + 1;
        if (!takes_value) {
            return weir_error_set (e, WEIR_USAGE, NULL, "--%.*s takes no value", (int) len, name);
        }
    } else if (takes_value) {
        if (*i + 1 >= argc) {
            return weir_error_set (e, WEIR_USAGE, NULL, "--%s needs a value", name);
        }
        value = argv[++*i];
    }
    if (c->n_options == CLI_OPTIONS_MAX) {
        return weir_error_set (e, WEIR_USAGE, NULL, "too many options");
    }
    char *copy = weir_strndup (name, len); /* lives as long as the program */
    c->options[c->n_options++] = (struct cli_option){ .name = copy, .value = value };
    return WEIR_OK;
}

/* ---- verbs ---- */

static const struct cli_verb *
find_verb (const char *noun, const char *verb, bool *noun_known)
{
    *noun_known = false;
    for (const struct cli_verb *v = cli_verbs; v->noun != NULL; v++) {
        if (strcmp (v->noun, noun) == 0) {
            *noun_known = true;
            if (v->verb[0] == '\0' || (verb != NULL && strcmp (v->verb, verb) == 0)) {
                return v;
            }
        }
    }
    return NULL;
}

static void
put_usage (FILE *out, const struct cli_verb *v)
{
    fprintf (out, "usage: weir %s%s%s%s%s\n       %s\n", v->noun, v->verb[0] != '\0' ? " " : "",
             v->verb, v->usage[0] != '\0' ? " " : "", v->usage, v->text);
}

int
cli_help (struct cli *c)
{
    const char *noun = c->n_args > 0 ? c->args[0] : NULL;
    const char *verb = c->n_args > 1 ? c->args[1] : NULL;
    if (c->json) {
        json_t *list = json_array ();
        for (const struct cli_verb *v = cli_verbs; v->noun != NULL; v++) {
            json_array_append_new (list, json_pack ("{s:s, s:s, s:s, s:s, s:b}", "noun", v->noun,
                                                    "verb", v->verb, "usage", v->usage, "text",
                                                    v->text, "node", v->node));
        }
        cli_json (json_pack ("{s:o}", "verbs", list));
        return 0;
    }
    if (noun == NULL) {
        printf ("weir keeps signed databases in step between devices and servers.\n\n"
                "usage: weir [OPTION...] NOUN VERB [ARGUMENT...]\n\n");
    }
    size_t shown = 0;
    for (const struct cli_verb *v = cli_verbs; v->noun != NULL; v++) {
        if ((noun == NULL || strcmp (v->noun, noun) == 0)
            && (verb == NULL || strcmp (v->verb, verb) == 0)) {
            char head[64];
            snprintf (head, sizeof head, "%s %s", v->noun, v->verb);
            if (verb != NULL || (noun != NULL && v->verb[0] == '\0')) {
                put_usage (stdout, v);
            } else {
                printf ("  %-18s %s\n", head, v->text);
            }
            shown++;
        }
    }
    if (shown == 0) {
        struct weir_error e = { 0 };
        weir_error_set (&e, WEIR_USAGE, "weir help lists all", "no such command: weir %s%s%s", noun,
                        verb != NULL ? " " : "", verb != NULL ? verb : "");
        return cli_fail (c, &e);
    }
    if (noun == NULL) {
        printf ("\noptions everywhere:\n"
                "  --json             one JSON object (NDJSON for streams) on stdout\n"
                "  --data DIR         the node's directory (WEIR_DATA)\n"
                "  --socket PATH      its control socket (WEIR_SOCKET)\n"
                "  --timeout 10s      how long to wait\n"
                "  -q, -v             less, more on stderr\n"
                "  --color auto|always|never\n\n"
                "exit codes: 0 ok, 1 failed or false, 2 usage, 3 no node, 4 not found, 5 refused,\n"
                "6 conflict, 7 timed out, 65 corrupt, 70 escalated, 73 cannot create, 74 disk,\n"
                "75 already running, 76 newer layout, 78 configuration, 130 interrupted\n");
    }
    return 0;
}

/* ---- the frame ---- */

static enum weir_status
take_globals (struct cli *c, struct weir_error *e)
{
    const char *color = cli_option (c, "color");
    const char *timeout = cli_option (c, "timeout");
    uint64_t ms = TIMEOUT_DEFAULT_MS;
    c->json = cli_option (c, "json") != NULL;
    c->quiet = cli_option (c, "quiet") != NULL;
    c->verbose = cli_option (c, "verbose") != NULL;
    c->data = cli_option (c, "data");
    c->socket = cli_option (c, "socket");
    c->socket = c->socket != NULL ? c->socket : getenv ("WEIR_SOCKET");
    const char *no_color = getenv ("NO_COLOR");
    c->color = isatty (STDOUT_FILENO) && (no_color == NULL || no_color[0] == '\0');
    if (color != NULL) {
        if (strcmp (color, "always") != 0 && strcmp (color, "never") != 0
            && strcmp (color, "auto") != 0) {
            return weir_error_set (e, WEIR_USAGE, NULL, "--color is auto, always or never");
        }
        c->color = strcmp (color, "always") == 0 || (strcmp (color, "auto") == 0 && c->color);
    }
    enum weir_status status = timeout != NULL ? cli_duration_ms (timeout, &ms, e) : WEIR_OK;
    c->timeout_ms = (uint32_t) ms;
    return status;
}

/* Where the node is: flag, environment, configuration, default. */
static enum weir_status
find_node (struct cli *c, struct weir_error *e)
{
    enum weir_status status = weir_settings_load (&c->settings, NULL, false, e);
    if (status == WEIR_OK) {
        status = weir_paths_find (&c->paths, c->data, &c->settings, e);
    }
    if (status == WEIR_OK && access (c->paths.config, F_OK) == 0) {
        status = weir_settings_load (&c->settings, c->paths.config, true, e);
    }
    if (status == WEIR_OK) {
        status = weir_paths_find (&c->paths, c->data, &c->settings, e);
    }
    return status;
}

static enum weir_status
parse (struct cli *c, int argc, char **argv, struct weir_error *e)
{
    bool noun_known = false;
    bool only_args = false;
    const char *noun = NULL;
    for (int i = 1; i < argc; i++) {
        const char *text = argv[i];
        if (c->verb == NULL && strcmp (text, "--version") == 0) {
            text = "version";
        }
        if (c->verb != NULL && strcmp (c->verb->options, "*") == 0) {
            only_args = true; /* the rest is another program's */
        }
        if (!only_args && strcmp (text, "--") == 0) {
            only_args = true;
        } else if (!only_args && text[0] == '-' && text[1] != '\0'
                   && !(text[1] >= '0' && text[1] <= '9')) { /* -3 is a number */
            const char *allowed = c->verb != NULL ? c->verb->options : NULL;
            enum weir_status status = take_option (c, argc, argv, &i, allowed, e);
            if (status != WEIR_OK) {
                return status;
            }
        } else if (c->verb == NULL) {
            c->verb =
                find_verb (noun != NULL ? noun : text, noun != NULL ? text : NULL, &noun_known);
            if (c->verb == NULL && (!noun_known || noun != NULL)) {
                return weir_error_set (e, WEIR_USAGE, NULL, "no such command: weir %s%s%s",
                                       noun != NULL ? noun : "", noun != NULL ? " " : "", text);
            }
            noun = text;
        } else if (c->n_args == CLI_ARGS_MAX) {
            return weir_error_set (e, WEIR_USAGE, NULL, "too many arguments");
        } else {
            c->args[c->n_args++] = text;
        }
    }
    if (c->verb == NULL && noun != NULL && cli_option (c, "help") != NULL) {
        c->args[c->n_args++] = noun; /* weir db --help */
    } else if (c->verb == NULL && noun != NULL) {
        return weir_error_set (e, WEIR_USAGE, "weir help lists all",
                               "weir %s needs a verb: weir help %s", noun, noun);
    }
    return WEIR_OK;
}

static int
dispatch (struct cli *c)
{
    struct weir_error e = { 0 };
    if (c->verb == NULL || cli_option (c, "help") != NULL) {
        if (c->verb != NULL) {
            put_usage (stdout, c->verb);
            return 0;
        }
        return cli_help (c);
    }
    if (c->n_args < c->verb->args_min || c->n_args > c->verb->args_max) {
        if (c->json) {
            weir_error_set (&e, WEIR_USAGE, NULL, "too %s arguments",
                            c->n_args < c->verb->args_min ? "few" : "many");
            return cli_fail (c, &e);
        }
        put_usage (stderr, c->verb);
        return weir_status_exit (WEIR_USAGE);
    }
    enum weir_status status = find_node (c, &e);
    if (status == WEIR_OK && c->verb->node) {
        status = weir_client_open (&c->client, c->socket != NULL ? c->socket : c->paths.control,
                                   c->timeout_ms < CONNECT_MS ? c->timeout_ms : CONNECT_MS, &e);
        if (status == WEIR_NO_NODE && c->socket == NULL && access (c->paths.key, F_OK) != 0) {
            snprintf (e.hint, sizeof e.hint, "there is no node in this directory: weir init");
        }
    }
    if (status != WEIR_OK && strcmp (c->verb->noun, "version") != 0
        && strcmp (c->verb->noun, "help") != 0
        && (strcmp (c->verb->noun, "config") != 0 || c->verb->node)) {
        return cli_fail (c, &e);
    }
    int code = c->verb->run (c);
    weir_client_close (&c->client);
    if (fflush (stdout) != 0) {
        return weir_status_exit (WEIR_FAILED);
    }
    return code;
}

static bool
has_argument (int argc, char **argv, const char *text)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp (argv[i], text) == 0) {
            return true;
        }
    }
    return false;
}

int
cli_main (int argc, char **argv)
{
    struct cli *c = weir_alloc (sizeof *c);
    struct weir_error e = { 0 };
    c->program = argv[0];
    enum weir_status status = parse (c, argc, argv, &e);
    if (status == WEIR_OK) {
        status = take_globals (c, &e);
    } else {
        c->json = has_argument (argc, argv, "--json"); /* also behind what is wrong */
    }
    int code = status == WEIR_OK ? dispatch (c) : cli_fail (c, &e);
    for (size_t i = 0; i < c->n_options; i++) {
        free ((void *) (uintptr_t) c->options[i].name);
    }
    free (c);
    return code;
}

/* ---- programs beside this one ---- */

void
cli_program (const struct cli *c, const char *name, char *out, size_t size)
{
    char self[WEIR_SETTING_TEXT_MAX];
    const char *libexec = getenv ("WEIR_LIBEXEC");
    (void) c;
    if (libexec != NULL && libexec[0] != '\0') {
        snprintf (out, size, "%s/%s", libexec, name);
        return;
    }
    ssize_t n = readlink ("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = '\0';
    char *slash = strrchr (self, '/');
    if (slash != NULL) {
        *slash = '\0';
    }
    snprintf (out, size, "%s/%s", self, name);
    if (access (out, X_OK) != 0) {
        snprintf (out, size, "%s/../libexec/weir/%s", self, name);
    }
}

int
cli_exec (struct cli *c, const char *name, char *const argv[])
{
    char path[WEIR_SETTING_TEXT_MAX + 32];
    struct weir_error e = { 0 };
    cli_program (c, name, path, sizeof path);
    fflush (stdout);
    execv (path, argv);
    weir_error_set (&e, WEIR_FAILED, "make builds it; WEIR_LIBEXEC names its folder",
                    "cannot start %s: %s", path, strerror (errno));
    return cli_fail (c, &e);
}
