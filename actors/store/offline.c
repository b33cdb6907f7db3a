/* What weir-store does by hand, on the data directory itself: make a node (init), recompute
 * everything (verify), bring back what can be brought back (repair). Takes the store's lock, so
 * never beside a running node. One JSON object on stdout; a sentence and a hint on stderr. */

#include "actors/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "actors/runtime/settings.h"
#include "store/crypto/keyfile.h"
#include "store/repo/repo.h"

struct offline {
    struct weir_paths paths;
    struct weir_settings_values settings;
    const char *data;
    const char *name;
    const char *role;
    const char *listen;
    const char *db;
    const char *passphrase_file; /* protect: the new one */
    bool off;
};

static int
fail (enum weir_status status, const struct weir_error *e)
{
    const char *hint = e->hint[0] != '\0' ? e->hint : weir_status_hint (status);
    fprintf (stderr, "weir: %s (%s)\n", e->what[0] != '\0' ? e->what : weir_status_code (status),
             weir_status_code (status));
    if (hint[0] != '\0') {
        fprintf (stderr, "hint: %s\n", hint);
    }
    return weir_status_exit (status);
}

static enum weir_status
read_line (const char *path, char *out, size_t size, struct weir_error *e)
{
    FILE *f = fopen (path, "re");
    if (f == NULL) {
        return weir_error_set (e, WEIR_BAD_CONFIG, NULL, "cannot read the passphrase from %s: %s",
                               path, strerror (errno));
    }
    if (fgets (out, (int) size, f) == NULL) {
        out[0] = '\0';
    }
    fclose (f);
    out[strcspn (out, "\r\n")] = '\0';
    return out[0] != '\0'
               ? WEIR_OK
               : weir_error_set (e, WEIR_BAD_PASSPHRASE, "its first line is the passphrase",
                                 "%s is empty", path);
}

static enum weir_status
load_passphrase (const struct offline *o, char *out, size_t size, struct weir_error *e)
{
    out[0] = '\0';
    return o->settings.passphrase_file[0] != '\0'
               ? read_line (o->settings.passphrase_file, out, size, e)
               : WEIR_OK;
}

/* ---- init ---- */

/* Like mkdir -p, the last part 0700. */
static enum weir_status
make_directory (const char *path, struct weir_error *e)
{
    char part[WEIR_SETTING_TEXT_MAX];
    snprintf (part, sizeof part, "%s", path);
    for (char *p = part + 1; *p != '\0'; p++) {
        if (*p == '/') {
            *p = '\0';
            if (mkdir (part, 0755) != 0 && errno != EEXIST) {
                return weir_error_set (e, WEIR_CANNOT_CREATE, NULL, "cannot make %s: %s", part,
                                       strerror (errno));
            }
            *p = '/';
        }
    }
    if (mkdir (part, 0700) != 0 && errno != EEXIST) {
        return weir_error_set (e, errno == ENOSPC ? WEIR_DISK_FULL : WEIR_CANNOT_CREATE, NULL,
                               "cannot make %s: %s", part, strerror (errno));
    }
    return WEIR_OK;
}

/* Values of a ZPL file go in quotes; the format has no escapes, so a quote cannot be written. */
static enum weir_status
put_value (struct weir_buf *out, const char *key, const char *value, struct weir_error *e)
{
    for (const char *p = value; *p != '\0'; p++) {
        if (*p == '"' || (unsigned char) *p < 0x20) {
            return weir_error_set (e, WEIR_INVALID_ARGUMENT, NULL,
                                   "%s cannot hold quotes or control characters", key);
        }
    }
    weir_buf_printf (out, "%s = \"%s\"\n", key, value);
    return WEIR_OK;
}

static enum weir_status
write_config (const struct offline *o, struct weir_error *e)
{
    struct weir_buf text = { 0 };
    char host[WEIR_NAME_BYTES_MAX + 1] = "";
    int fd = -1;
    if (gethostname (host, sizeof host - 1) != 0) {
        host[0] = '\0';
    }
    weir_buf_printf (&text, "#   weir.conf: weir config show lists every setting\n");
    enum weir_status status = put_value (&text, "name", o->name != NULL ? o->name : host, e);
    if (status == WEIR_OK && o->role != NULL) {
        status = put_value (&text, "role", o->role, e);
    }
    if (status == WEIR_OK && o->listen != NULL) {
        status = put_value (&text, "listen", o->listen, e);
    }
    if (status == WEIR_OK) {
        fd = open (o->paths.config, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0 && errno == EEXIST) {
            /* A prepared configuration is kept; flags that would say otherwise are not lost. */
            if (o->name != NULL || o->role != NULL || o->listen != NULL) {
                status = weir_error_set (e, WEIR_EXISTS, "edit it, or leave the flags out",
                                         "%s is already there", o->paths.config);
            }
        } else if (fd < 0 || write (fd, text.data, text.len) != (ssize_t) text.len) {
            status = weir_error_set (e, errno == ENOSPC ? WEIR_DISK_FULL : WEIR_CANNOT_CREATE, NULL,
                                     "cannot write %s: %s", o->paths.config, strerror (errno));
        }
    }
    if (fd >= 0) {
        close (fd);
    }
    weir_buf_fini (&text);
    return status;
}

/* The flags must be good before anything is written. */
static enum weir_status
check_flags (struct offline *o, struct weir_error *e)
{
    enum weir_status status = WEIR_OK;
    if (o->name != NULL) {
        status = weir_settings_set (&o->settings, "name", o->name, WEIR_FROM_FLAG, e);
        if (status == WEIR_OK && strlen (o->name) > WEIR_NAME_BYTES_MAX) {
            status = weir_error_set (e, WEIR_INVALID_ARGUMENT, NULL, "a name has at most %u bytes",
                                     WEIR_NAME_BYTES_MAX);
        }
    }
    if (status == WEIR_OK && o->role != NULL) {
        status = strcmp (o->role, "relay") == 0
                     ? weir_error_set (e, WEIR_UNSUPPORTED, "leaf and hub are there",
                                       "the relay role is not built yet")
                     : weir_settings_set (&o->settings, "role", o->role, WEIR_FROM_FLAG, e);
    }
    if (status == WEIR_OK && o->listen != NULL) {
        status = weir_settings_set (&o->settings, "listen", o->listen, WEIR_FROM_FLAG, e);
        if (status == WEIR_OK && strncmp (o->listen, "tcp://", 6) != 0) {
            status = weir_error_set (e, WEIR_INVALID_ARGUMENT, "tcp://HOST:PORT",
                                     "cannot listen on %s", o->listen);
        }
    }
    return status;
}

static int
init (struct offline *o)
{
    struct weir_error e = { 0 };
    struct weir_identity identity = { 0 };
    uint8_t seed[32];
    char passphrase[512] = "";
    enum weir_status status = check_flags (o, &e);
    if (status == WEIR_OK && access (o->paths.key, F_OK) == 0) {
        status = weir_error_set (&e, WEIR_EXISTS, "weir run starts it; keys are never overwritten",
                                 "there is a node in %s already", o->paths.data);
    }
    if (status == WEIR_OK) {
        status = make_directory (o->paths.data, &e);
    }
    if (status == WEIR_OK) {
        status = write_config (o, &e);
    }
    if (status == WEIR_OK) {
        status = load_passphrase (o, passphrase, sizeof passphrase, &e);
    }
    if (status == WEIR_OK) {
        weir_random (seed, sizeof seed);
        weir_identity_init (&identity, seed);
        status = weir_keyfile_create (o->paths.key, &identity,
                                      passphrase[0] != '\0' ? passphrase : NULL, &e);
    }
    weir_wipe (seed, sizeof seed);
    weir_wipe (passphrase, sizeof passphrase);
    if (status == WEIR_OK) {
        json_t *out = json_pack ("{s:s, s:s, s:s}", "id", weir_id_text (&identity.device).s, "data",
                                 o->paths.data, "config", o->paths.config);
        json_dumpf (out, stdout, JSON_COMPACT);
        putchar ('\n');
        json_decref (out);
    }
    weir_identity_fini (&identity);
    return status == WEIR_OK ? 0 : fail (status, &e);
}

/* ---- protect ---- */

static int
protect (struct offline *o)
{
    struct weir_error e = { 0 };
    char old[512] = "";
    char fresh[512] = "";
    enum weir_status status = WEIR_OK;
    if ((o->passphrase_file == NULL) == !o->off) {
        status = weir_error_set (&e, WEIR_USAGE, NULL, "give --passphrase-file FILE or --off");
    }
    if (status == WEIR_OK) {
        status = load_passphrase (o, old, sizeof old, &e);
    }
    if (status == WEIR_OK && !o->off) {
        status = read_line (o->passphrase_file, fresh, sizeof fresh, &e);
    }
    if (status == WEIR_OK) {
        status = weir_keyfile_protect (o->paths.key, old[0] != '\0' ? old : NULL,
                                       o->off ? NULL : fresh, &e);
    }
    weir_wipe (old, sizeof old);
    weir_wipe (fresh, sizeof fresh);
    if (status != WEIR_OK) {
        return fail (status, &e);
    }
    puts (o->off ? "{\"sealed\":false}" : "{\"sealed\":true}");
    if (!o->off) {
        fprintf (stderr, "set passphrase_file = \"%s\" in %s\n", o->passphrase_file,
                 o->paths.config);
    }
    return 0;
}

/* ---- verify and repair ---- */

static enum weir_status
load_identity (struct offline *o, struct weir_identity *identity, struct weir_error *e)
{
    char passphrase[512];
    enum weir_status status = load_passphrase (o, passphrase, sizeof passphrase, e);
    if (status == WEIR_OK) {
        status = weir_keyfile_load (o->paths.key, passphrase[0] != '\0' ? passphrase : NULL,
                                    identity, e);
    }
    weir_wipe (passphrase, sizeof passphrase);
    if (status == WEIR_NOT_FOUND) {
        return weir_error_set (e, WEIR_BAD_CONFIG, "weir init makes one",
                               "there is no node in %s: no identity file", o->paths.data);
    }
    return status;
}

static void
print_report (const struct weir_check_report *r, enum weir_status status)
{
    json_t *out = json_pack ("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s}", "result",
                             weir_status_code (status), "databases", (json_int_t) r->databases,
                             "runs", (json_int_t) r->runs, "entries", (json_int_t) r->entries,
                             "bytes", (json_int_t) r->bytes, "bad_runs", (json_int_t) r->bad_runs,
                             "missing", (json_int_t) r->missing, "wrong_indexes",
                             (json_int_t) r->wrong_indexes, "first_problem", r->first_problem);
    json_object_set_new (out, "pieces", json_integer ((json_int_t) r->pieces));
    json_object_set_new (out, "bad_pieces", json_integer ((json_int_t) r->bad_pieces));
    json_dumpf (out, stdout, JSON_COMPACT);
    putchar ('\n');
    json_decref (out);
}

static int
verify (struct offline *o)
{
    struct weir_error e = { 0 };
    struct weir_identity identity = { 0 };
    struct weir_kv *kv = NULL;
    struct weir_tips *tips = NULL;
    struct weir_repo *repo = NULL;
    struct weir_check_report report = { 0 };
    struct weir_id db;
    enum weir_status status = load_identity (o, &identity, &e);
    if (status == WEIR_OK) {
        status = weir_kv_open (&kv, o->paths.db, false, &e);
    }
    if (status == WEIR_OK) {
        tips = weir_tips_file_new (o->paths.tips);
        struct weir_repo_options options = { .kv = kv, .tips = tips, .identity = &identity };
        weir_random (options.seed, sizeof options.seed);
        status = weir_repo_open (&repo, &options, &e);
    }
    if (status == WEIR_OK && o->db != NULL) {
        status = weir_repo_resolve (repo, o->db, &db, &e);
    }
    if (status == WEIR_OK) {
        status = weir_repo_verify (repo, o->db != NULL ? &db : NULL, NULL, NULL, &report);
        print_report (&report, status);
        if (status != WEIR_OK) {
            weir_error_set (&e, status, NULL, "%s", report.first_problem);
        }
    }
    weir_repo_close (&repo);
    weir_tips_destroy (&tips);
    if (kv != NULL) {
        weir_kv_close (&kv);
    }
    weir_identity_fini (&identity);
    return status == WEIR_OK ? 0 : fail (status, &e);
}

static int
repair (struct offline *o)
{
    struct weir_error e = { 0 };
    struct weir_identity identity = { 0 };
    struct weir_kv *kv = NULL;
    struct weir_tips *tips = NULL;
    struct weir_check_report report = { 0 };
    enum weir_status status = load_identity (o, &identity, &e);
    if (status == WEIR_OK) {
        status = weir_kv_salvage (o->paths.db, &e);
    }
    if (status == WEIR_OK) {
        status = weir_kv_open (&kv, o->paths.db, true, &e);
    }
    if (status == WEIR_OK) {
        tips = weir_tips_file_new (o->paths.tips);
        struct weir_repo_options options = { .kv = kv, .tips = tips, .identity = &identity };
        weir_random (options.seed, sizeof options.seed);
        status = weir_repo_repair (&options, &report, &e);
    }
    if (status == WEIR_OK) {
        print_report (&report, status);
    }
    weir_tips_destroy (&tips);
    if (kv != NULL) {
        weir_kv_close (&kv);
    }
    weir_identity_fini (&identity);
    return status == WEIR_OK ? 0 : fail (status, &e);
}

int
weir_store_offline (int argc, char **argv)
{
    static const struct option flags[] = { { "data", required_argument, NULL, 'd' },
                                           { "name", required_argument, NULL, 'n' },
                                           { "role", required_argument, NULL, 'r' },
                                           { "listen", required_argument, NULL, 'l' },
                                           { "db", required_argument, NULL, 'b' },
                                           { "passphrase-file", required_argument, NULL, 'p' },
                                           { "off", no_argument, NULL, 'o' },
                                           { NULL, 0, NULL, 0 } };
    struct offline o = { 0 };
    struct weir_error e = { 0 };
    int c;
    weir_crypto_init ();
    while ((c = getopt_long (argc, argv, "", flags, NULL)) != -1) {
        switch (c) {
        case 'd':
            o.data = optarg;
            break;
        case 'n':
            o.name = optarg;
            break;
        case 'r':
            o.role = optarg;
            break;
        case 'l':
            o.listen = optarg;
            break;
        case 'b':
            o.db = optarg;
            break;
        case 'p':
            o.passphrase_file = optarg;
            break;
        case 'o':
            o.off = true;
            break;
        default:
            return weir_status_exit (WEIR_USAGE);
        }
    }
    const char *verb = optind < argc ? argv[optind] : "";
    enum weir_status status = weir_settings_load (&o.settings, NULL, false, &e);
    if (status == WEIR_OK) {
        status = weir_paths_find (&o.paths, o.data, &o.settings, &e);
    }
    if (status == WEIR_OK && strcmp (verb, "init") != 0) {
        status = weir_settings_load (&o.settings, o.paths.config, false, &e);
        if (status == WEIR_OK) {
            status = weir_paths_find (&o.paths, o.data, &o.settings, &e);
        }
    }
    if (status != WEIR_OK) {
        return fail (status, &e);
    }
    if (strcmp (verb, "init") == 0) {
        return init (&o);
    }
    if (strcmp (verb, "verify") == 0) {
        return verify (&o);
    }
    if (strcmp (verb, "repair") == 0) {
        return repair (&o);
    }
    if (strcmp (verb, "protect") == 0) {
        return protect (&o);
    }
    weir_error_set (&e, WEIR_USAGE, "weir-store init|verify|repair|protect [--data DIR]",
                    "no such verb: %s", verb);
    return fail (WEIR_USAGE, &e);
}
