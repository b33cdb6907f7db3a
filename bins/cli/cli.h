#ifndef WEIR_BINS_CLI_CLI_H
#define WEIR_BINS_CLI_CLI_H

/* The command line: noun, verb. One table of verbs (verbs.def) yields the parser, the usage
 * text and the test that walks them all. Results go to stdout, everything else to stderr. */

#include <jansson.h>

#include "actors/client/client.h"
#include "actors/runtime/settings.h"

#define CLI_ARGS_MAX 64u
#define CLI_OPTIONS_MAX 32u

struct cli_option {
    const char *name;  /* without dashes */
    const char *value; /* NULL for a flag */
};

struct cli {
    const char *program; /* argv[0], to find the other programs beside it */
    const struct cli_verb *verb;
    const char *args[CLI_ARGS_MAX]; /* behind the verb */
    size_t n_args;
    struct cli_option options[CLI_OPTIONS_MAX];
    size_t n_options;
    bool json;
    bool quiet;
    bool verbose;
    bool color;
    uint32_t timeout_ms;
    bool waits; /* for content that is on its way */
    const char *data;
    const char *socket;
    struct weir_settings_values settings;
    struct weir_paths paths;
    struct weir_client *client;
};

struct cli_verb {
    const char *noun;
    const char *verb;  /* "" when the noun is the verb */
    const char *usage; /* arguments, for people */
    size_t args_min;
    size_t args_max;
    const char *options; /* allowed ones: "message=,no-wait"; = takes a value */
    bool node;           /* needs a connection */
    const char *text;
    int (*run) (struct cli *c);
};
extern const struct cli_verb cli_verbs[]; /* ends with noun NULL */

/* ---- cli.c ---- */
int cli_main (int argc, char **argv);
/* The value of an option, or NULL; a flag that is set gives "". */
const char *cli_option (const struct cli *c, const char *name);
/* A duration such as 500ms, 10s, 5m, 2h, or plain seconds. */
WEIR_MUST enum weir_status cli_duration_ms (const char *text, uint64_t *ms, struct weir_error *e);
WEIR_MUST enum weir_status cli_number (const char *text, uint64_t max, uint64_t *out,
                                       struct weir_error *e);
/* Ends in execv of a program beside this one; returns only on failure. */
int cli_exec (struct cli *c, const char *name, char *const argv[]);
/* The path of a program beside this one, or in the installed libexec folder. */
void cli_program (const struct cli *c, const char *name, char *out, size_t size);

/* ---- out.c ---- */
/* The error sentence and hint on stderr (with --json also {"error": ...} there); the exit code. */
int cli_fail (struct cli *c, const struct weir_error *e);
int cli_fail_status (struct cli *c, enum weir_status status, const char *what);
/* Prints a value as one line of JSON and lets go of it. */
void cli_json (json_t *value);
/* Text that may come from elsewhere: control characters escaped. */
void cli_put (FILE *out, const char *text);
void cli_note (struct cli *c, const char *format, ...) WEIR_PRINTF (2, 3); /* stderr; not with -q */
/* JSON of fields. */
json_t *cli_id (bool has, ProtobufCBinaryData field);   /* base32, or null */
json_t *cli_text (bool has, ProtobufCBinaryData field); /* string, or "" */
json_t *cli_u64 (uint64_t value);                       /* number when it fits 2^53, else string */
json_t *cli_hex64 (uint64_t value);                     /* lanes and epochs */
/* For people. A member's text, or "-". */
const char *cli_text_of (const json_t *object, const char *key);
const char *cli_bytes_text (uint64_t bytes, char out[32]);
const char *cli_ms_text (uint64_t ms, char out[32]);

/* ---- call.c: one request, its last answer ---- */
/* Fails the command itself (message on stderr) and returns its exit code, 0 when good. `body`
 * of a streamed answer is all parts in one. The answer is the caller's to finish. */
struct cli_reply {
    struct weir_client_answer answer;
    struct weir_buf body;
};
int cli_call (struct cli *c, uint16_t kind, const ProtobufCMessage *meta, struct weir_bytes body,
              struct cli_reply *reply);
/* For a verb whose answer carries nothing to show: {"ok": true} under --json. */
int cli_call_quietly (struct cli *c, uint16_t kind, const ProtobufCMessage *meta);
uint64_t cli_now_ms (void); /* monotonic */
/* For lists that come in several answers: `each` sees the meta of every one. */
typedef void (cli_part_fn) (void *context, const ProtobufCMessage *meta);
int cli_call_parts (struct cli *c, uint16_t kind, const ProtobufCMessage *meta, cli_part_fn *each,
                    void *context);
void cli_reply_fini (struct cli_reply *reply);

/* ---- past.c ---- */
/* Ids or prefixes with commas between them, as fields that point into the text; how many. *out is
 * the caller's to free. */
size_t cli_heads (const char *text, ProtobufCBinaryData **out);

/* ---- peer.c ---- */
json_t *cli_peer_json (const Weir__Peer *m);

/* ---- explain.c ---- */
json_t *cli_figures_json (const Weir__Figures *m); /* null for NULL */

/* ---- verbs, by file ---- */
#define VERB(fn, noun, verb, usage, min, max, options, node, text) int cli_##fn (struct cli *c);
#include "bins/cli/verbs.def"
#undef VERB

#endif
