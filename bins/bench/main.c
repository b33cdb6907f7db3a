/* Which bench, with what; the temporary folder it works in. */

#include "bins/bench/main.h"

#include <errno.h>
#include <getopt.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bins/bench/bench.h"

static const struct {
    const char *name;
    void (*run) (struct bench *b);
    bool (*run_files) (struct bench *b); /* instead: it takes files */
    const char *text;
} benches[] = {
    { "commit", bench_commit, NULL, "durable commits on one node: pipelined, and one at a time" },
    { "sync", bench_sync, NULL,
      "catch-up between two nodes; --turns: two authors, cloned by a third" },
    { "blob", bench_blob, NULL,
      "a large value: put, fetched by another node, read there; --payload BYTES" },
    { "clone", bench_clone, NULL, "a database into an empty node; --turns: of two authors" },
    { "live", bench_live, NULL,
      "commit here to readable and durable there; sustained rate; --authors N: of so many by "
      "turns" },
    { "apart", bench_apart, NULL,
      "an entry apart in --entries, of --authors chains more: bytes, and round trips (what is "
      "waited for after the digests until it is readable) to mend it" },
    { "databases", bench_databases, NULL,
      "a reconnect with --databases shared of which one changed" },
    { "idle", bench_idle, NULL, "proportional memory of an idle node's processes" },
    { "hooks", bench_hooks, NULL,
      "what enabled sync costs commits when there is no peer, as a ratio" },
    { "through", bench_through, NULL,
      "from a device through a server to another (--topology live, burst, reconnect, triangle)" },
    { "peers", bench_peers, NULL,
      "what connected, active peers add to that, and absent ones; the peers are one process" },
    { "outage", bench_outage, NULL,
      "until two nodes are equal after --seconds in which all packets were dropped" },
    { "queue", bench_queue, NULL, "the retry queue in memory, and the retry actor durably" },
    { "fanout", bench_fanout, NULL,
      "bodies and messages for each node of a --topology chain|triangle|ring|hub|mesh" },
    { "text", NULL, bench_text,
      "FILE...: recorded editing histories (sequential, concurrent, raw graph; .json or "
      ".json.gz)" },
    { "replay", NULL, bench_replay,
      "FILE...: document histories with the values they must come to (.ndjson or .ndjson.gz)" },
    { "doc", bench_doc, NULL, "the library: map, counter, list, import_batch, large documents" },
};
#define BENCHES (sizeof benches / sizeof *benches)

/* What a bench may be told; each uses what concerns it. */
static const struct {
    const char *name;
    enum { NUMBER, WORD, FLAG } type;
    size_t at; /* in struct bench */
    uint64_t max;
} options[] = {
    { "entries", NUMBER, offsetof (struct bench, entries), 100000000 },
    { "payload", NUMBER, offsetof (struct bench, payload), 100000 },
    { "samples", NUMBER, offsetof (struct bench, samples), 1000000 },
    { "peers", NUMBER, offsetof (struct bench, peers), 1000 },
    { "absent", NUMBER, offsetof (struct bench, absent), 100000 },
    { "runs", NUMBER, offsetof (struct bench, runs), 1000 },
    { "authors", NUMBER, offsetof (struct bench, authors), 100000 },
    { "databases", NUMBER, offsetof (struct bench, databases), 60000 },
    { "nodes", NUMBER, offsetof (struct bench, nodes), 64 },
    { "seconds", NUMBER, offsetof (struct bench, seconds), 86400 },
    { "megabytes", NUMBER, offsetof (struct bench, megabytes), 1024 },
    { "topology", WORD, offsetof (struct bench, topology), 0 },
    { "dir", WORD, offsetof (struct bench, dir), 0 },
    { "turns", FLAG, offsetof (struct bench, turns), 0 },
    { "verbose", FLAG, offsetof (struct bench, verbose), 0 },
    { "keep", FLAG, offsetof (struct bench, keep), 0 },
    { "json", FLAG, offsetof (struct bench, json), 0 },
};
#define OPTIONS (sizeof options / sizeof *options)

static int
usage (FILE *out, int code)
{
    int column = fprintf (out, "usage: weir-bench NAME");
    for (size_t i = 0; i < OPTIONS; i++) {
        static const char *const values[] = { " N", " WORD", "" };
        if (column > 80) {
            column = fprintf (out, "\n                     ") - 1;
        }
        column += fprintf (out, " [--%s%s]", options[i].name, values[options[i].type]);
    }
    fprintf (out, "\n       weir-bench text|replay FILE... [--runs N] [--verbose] [--json]\n");
    for (size_t i = 0; i < BENCHES; i++) {
        fprintf (out, "  %-9s %s\n", benches[i].name, benches[i].text);
    }
    return code;
}

static uint64_t
number (const char *text, uint64_t max)
{
    char *end = NULL;
    errno = 0;
    unsigned long long value = strtoull (text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || value > max) {
        bench_die ("%s is not a number from 0 to %llu", text, (unsigned long long) max);
    }
    return value;
}

static void
find_programs (struct bench *b)
{
    const char *libexec = getenv ("WEIR_LIBEXEC");
    if (libexec != NULL && libexec[0] != '\0') {
        snprintf (b->programs, sizeof b->programs, "%s", libexec);
        return;
    }
    ssize_t n = readlink ("/proc/self/exe", b->programs, sizeof b->programs - 1);
    b->programs[n > 0 ? n : 0] = '\0';
    char *slash = strrchr (b->programs, '/');
    if (slash != NULL) {
        *slash = '\0';
    }
}

static void
take_option (struct bench *b, size_t i, const char *text)
{
    void *at = (char *) b + options[i].at;
    switch (options[i].type) {
    case NUMBER:
        *(uint64_t *) at = number (text, options[i].max);
        break;
    case WORD:
        *(const char **) at = text;
        break;
    case FLAG:
        *(bool *) at = true;
        break;
    }
}

/* -1: go on; else the exit code that usage ends with. */
static int
read_options (struct bench *b, int argc, char **argv)
{
    struct option flags[OPTIONS + 2] = { { "help", no_argument, NULL, 'h' } };
    for (size_t i = 0; i < OPTIONS; i++) {
        flags[i + 1] =
            (struct option){ .name = options[i].name,
                             .has_arg = options[i].type == FLAG ? no_argument : required_argument };
    }
    for (;;) {
        int at = 0;
        int c = getopt_long (argc, argv, "h", flags, &at);
        if (c != 0) {
            return c == -1 ? -1 : c == 'h' ? 0 : 2;
        }
        take_option (b, (size_t) at - 1, optarg);
    }
}

static int
run_bench (struct bench *b, void (*run) (struct bench *b))
{
    const char *dir = b->dir != NULL ? b->dir : getenv ("TMPDIR");
    find_programs (b);
    snprintf (b->root, sizeof b->root, "%s/weir-bench-XXXXXX",
              dir != NULL && dir[0] != '\0' ? dir : "/tmp");
    if (mkdtemp (b->root) == NULL) {
        bench_die ("cannot make %s: %s", b->root, strerror (errno));
    }
    run (b);
    bench_remove (b);
    return 0;
}

int
bench_main (int argc, char **argv)
{
    struct bench b = { .payload = 100, .peers = 100 };
    if (bench_is_stand_in (argv[0])) {
        return bench_stand_in (argc, argv);
    }
    int code = read_options (&b, argc, argv);
    if (code >= 0 || optind >= argc) {
        return usage (code == 0 ? stdout : stderr, code == 0 ? 0 : 2);
    }
    b.files = argv + optind + 1;
    b.n_files = (size_t) (argc - optind - 1);
    for (size_t i = 0; i < BENCHES; i++) {
        if (strcmp (argv[optind], benches[i].name) != 0) {
            continue;
        }
        if (benches[i].run_files != NULL && b.n_files > 0) {
            return benches[i].run_files (&b) ? 0 : 1;
        }
        if (benches[i].run != NULL && b.n_files == 0) {
            return run_bench (&b, benches[i].run);
        }
    }
    fprintf (stderr, "weir-bench: there is no bench %s%s (invalid_argument)\n", argv[optind],
             b.n_files > 0 ? " that takes files" : " that takes no files");
    return usage (stderr, 2);
}
