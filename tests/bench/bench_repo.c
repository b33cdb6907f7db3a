/* Measures the repository alone on one thread: commits, imports of runs and of single entries by
 * two authors in turns, with their documents. Prints figures, one line each, by the clock and
 * by this thread's CPU time, which a busy machine does not spoil; not a test.
 *
 *     bench_repo [DIRECTORY]     LevelDB there; in memory without */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store/repo/repo.h"

#define ENTRIES 200000u
#define TURNS 5000u
#define GROUP 256u

struct node {
    struct weir_kv *kv;
    struct weir_tips *tips;
    struct weir_identity key;
    struct weir_repo *repo;
};

static double
seconds_of (clockid_t clock)
{
    struct timespec t;
    clock_gettime (clock, &t);
    return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static double cpu_started;

static double
now (void)
{
    cpu_started = seconds_of (CLOCK_THREAD_CPUTIME_ID);
    return seconds_of (CLOCK_MONOTONIC);
}

static void
must (enum weir_status status, const char *what)
{
    if (status != WEIR_OK) {
        fprintf (stderr, "bench_repo: %s: %s\n", what, weir_status_code (status));
        exit (1);
    }
}

static void
node_open (struct node *n, uint8_t number, const char *directory)
{
    uint8_t seed[32] = { number };
    char path[512];
    if (directory == NULL) {
        n->kv = weir_kv_memory_new ();
    } else {
        snprintf (path, sizeof path, "%s/%u", directory, number);
        must (weir_kv_open (&n->kv, path, true, NULL), "open the kv");
    }
    n->tips = weir_tips_memory_new ();
    weir_identity_init (&n->key, seed);
    struct weir_repo_options options = { .kv = n->kv, .tips = n->tips, .identity = &n->key };
    options.seed[0] = number;
    must (weir_repo_open (&n->repo, &options, NULL), "open the repository");
}

static void
node_close (struct node *n)
{
    weir_repo_close (&n->repo);
    weir_kv_close (&n->kv);
    weir_tips_destroy (&n->tips);
}

static uint64_t
node_flush (struct node *n, const char *directory)
{
    uint64_t batch = weir_repo_flush (n->repo, 1);
    if (directory == NULL) {
        weir_kv_memory_sync (n->kv);
    }
    weir_repo_on_synced (n->repo);
    return batch;
}

/* Sets one of 10,000 keys to a text of about `bytes`. */
static void
commit_one (struct node *n, const struct weir_id *db, unsigned i, size_t bytes)
{
    static char text[1024];
    struct weir_doc *doc = NULL;
    struct weir_buf payload = { 0 };
    struct weir_id entry;
    char path[64];
    uint32_t ops = 0;
    memset (text, 'x', bytes);
    snprintf (text, sizeof text, "%u", i);
    text[strlen (text)] = '.';
    text[bytes] = '\0';
    snprintf (path, sizeof path, "/m/%u", i % 10000);
    must (weir_repo_document (n->repo, db, &doc, NULL), "read the document");
    struct weir_edit *edit = weir_edit_new (doc);
    json_t *value = json_string (text);
    must (weir_edit_set (edit, path, value, NULL), "edit");
    must (weir_edit_seal (edit, weir_bytes (NULL, 0), &payload, &ops, NULL), "seal");
    weir_edit_destroy (&edit);
    json_decref (value);
    must (weir_repo_commit (n->repo, db, weir_buf_bytes (&payload), ops, 1000 + i, &entry, NULL),
          "commit");
    weir_buf_fini (&payload);
}

static void
report (const char *what, unsigned entries, double started)
{
    double cpu = seconds_of (CLOCK_THREAD_CPUTIME_ID) - cpu_started;
    double wall = seconds_of (CLOCK_MONOTONIC) - started;
    printf ("%-28s %8u entries %8.3f s %10.0f /s, cpu %8.3f s %10.0f /s\n", what, entries, wall,
            (double) entries / wall, cpu, (double) entries / cpu);
    fflush (stdout);
}

static void
read_all (struct node *n, const struct weir_id *db, struct weir_buf *out)
{
    struct weir_ranges lacks = { 0 };
    struct weir_vector unknown = { 0 };
    bool more = false;
    must (weir_repo_compare (n->repo, db, NULL, 0, &lacks, &more, &unknown), "compare");
    for (size_t i = 0; i < lacks.count; i++) {
        uint64_t at = lacks.items[i].from_seq;
        while (at < lacks.items[i].to_seq) {
            must (weir_repo_read (n->repo, db, &lacks.items[i], at, 256u << 10, out, &at), "read");
        }
    }
    weir_ranges_fini (&lacks);
    weir_vector_fini (&unknown);
}

static void
import_all (struct node *n, const struct weir_id *db, const struct weir_id *source,
            struct weir_bytes runs, const char *directory)
{
    struct weir_import_result result;
    size_t since = 0;
    while (runs.len > 0) {
        size_t used = 0;
        must (weir_run_length (runs, &used), "cut");
        must (weir_repo_import (n->repo, db, weir_bytes (runs.data, used), source, 1, &result),
              "import");
        runs.data += used;
        runs.len -= used;
        since += used;
        if (since > (256u << 10)) {
            node_flush (n, directory);
            since = 0;
        }
    }
    must (weir_kv_wait (n->kv, node_flush (n, directory)), "sync");
}

static void
bench_one_author (const char *directory)
{
    struct node a;
    struct node b;
    struct weir_id db;
    struct weir_doc *doc = NULL;
    struct weir_buf runs = { 0 };
    struct weir_buf raw = { 0 };
    struct weir_id entry;
    node_open (&a, 1, directory);
    node_open (&b, 2, directory);
    must (weir_repo_create (a.repo, "bench", 1, &db, NULL), "create");
    double start = now ();
    for (unsigned i = 0; i < ENTRIES; i++) {
        commit_one (&a, &db, i, 80);
        if (i % GROUP == GROUP - 1) {
            node_flush (&a, directory);
        }
    }
    must (weir_kv_wait (a.kv, node_flush (&a, directory)), "sync");
    node_flush (&a, directory);
    report ("edit, commit, flush a 256", ENTRIES, start);
    start = now ();
    read_all (&a, &db, &runs);
    report ("read for sending", ENTRIES, start);
    must (weir_repo_expect (b.repo, &db), "expect");
    start = now ();
    import_all (&b, &db, &a.key.device, weir_buf_bytes (&runs), directory);
    report ("import, no document", ENTRIES, start);
    start = now ();
    must (weir_repo_document (b.repo, &db, &doc, NULL), "document");
    report ("load the document", ENTRIES, start);
    node_close (&b);
    node_open (&b, 3, directory);
    must (weir_repo_expect (b.repo, &db), "expect");
    size_t genesis = 0;
    must (weir_run_length (weir_buf_bytes (&runs), &genesis), "cut");
    import_all (&b, &db, &a.key.device, weir_bytes (runs.data, genesis), directory);
    must (weir_repo_document (b.repo, &db, &doc, NULL), "document");
    start = now ();
    import_all (&b, &db, &a.key.device, weir_bytes (runs.data + genesis, runs.len - genesis),
                directory);
    report ("import with the document", ENTRIES, start);
    weir_buf_put_u8 (&raw, WEIR_CODEC_DOC);
    weir_buf_reserve (&raw, 99);
    memset (raw.data + raw.len, 0xff, 99);
    raw.len += 99;
    node_close (&b);
    node_open (&b, 4, directory);
    must (weir_repo_create (b.repo, "raw", 1, &db, NULL), "create");
    start = now ();
    for (unsigned i = 0; i < ENTRIES; i++) {
        must (weir_repo_commit (b.repo, &db, weir_buf_bytes (&raw), 1, 1000 + i, &entry, NULL),
              "commit");
        if (i % GROUP == GROUP - 1) {
            node_flush (&b, directory);
        }
    }
    must (weir_kv_wait (b.kv, node_flush (&b, directory)), "sync");
    report ("commit alone", ENTRIES, start);
    weir_buf_fini (&runs);
    weir_buf_fini (&raw);
    node_close (&a);
    node_close (&b);
}

/* What `from` has and `to` lacks goes over. */
static void
pull (struct node *to, struct node *from, const struct weir_id *db, const char *directory,
      struct weir_buf *all)
{
    struct weir_told_row told[8];
    const struct weir_vector *v = weir_repo_vector (to->repo, db);
    struct weir_ranges lacks = { 0 };
    struct weir_vector unknown = { 0 };
    struct weir_import_result result;
    bool more = false;
    size_t n = v->count;
    for (size_t i = 0; i < n; i++) {
        told[i] = (struct weir_told_row){ .row = v->rows[i] };
    }
    must (weir_repo_compare (from->repo, db, told, n, &lacks, &more, &unknown), "compare");
    for (size_t i = 0; i < lacks.count; i++) {
        size_t at = all->len;
        uint64_t next = 0;
        must (weir_repo_read (from->repo, db, &lacks.items[i], lacks.items[i].from_seq, 4096, all,
                              &next),
              "read");
        must (weir_repo_import (to->repo, db, weir_bytes (all->data + at, all->len - at),
                                &from->key.device, 1, &result),
              "import");
    }
    node_flush (to, directory);
    weir_ranges_fini (&lacks);
    weir_vector_fini (&unknown);
}

static void
bench_turns (const char *directory)
{
    struct node n[3];
    struct weir_id db;
    struct weir_buf runs = { 0 };
    struct weir_id entry;
    for (uint8_t i = 0; i < 3; i++) {
        node_open (&n[i], (uint8_t) (i + 11), directory);
    }
    must (weir_repo_create (n[0].repo, "turns", 1, &db, NULL), "create");
    struct weir_member_change change = { .device = n[1].key.device, .right = WEIR_RIGHT_WRITE };
    must (weir_repo_change_members (n[0].repo, &db, &change, 1, 1, &entry, NULL), "grant");
    must (weir_kv_wait (n[0].kv, node_flush (&n[0], directory)), "sync");
    node_flush (&n[0], directory);
    read_all (&n[0], &db, &runs);
    must (weir_repo_expect (n[1].repo, &db), "expect");
    import_all (&n[1], &db, &n[0].key.device, weir_buf_bytes (&runs), directory);
    double start = now ();
    for (unsigned i = 0; i < TURNS; i++) {
        struct node *from = &n[i % 2];
        commit_one (from, &db, i, 80);
        must (weir_kv_wait (from->kv, node_flush (from, directory)), "sync");
        node_flush (from, directory);
        pull (&n[1 - i % 2], from, &db, directory, &runs);
    }
    report ("turns: commit, read, import", TURNS, start);
    must (weir_repo_expect (n[2].repo, &db), "expect");
    start = now ();
    import_all (&n[2], &db, &n[0].key.device, weir_buf_bytes (&runs), directory);
    report ("turns: import alone", TURNS, start);
    weir_buf_fini (&runs);
    for (size_t i = 0; i < 3; i++) {
        node_close (&n[i]);
    }
}

int
main (int argc, char **argv)
{
    weir_crypto_init ();
    bench_one_author (argc > 1 ? argv[1] : NULL);
    bench_turns (argc > 1 ? argv[1] : NULL);
    return 0;
}
