/* What an entry costs in a network of real nodes that all write at once: bodies and messages for
 * each node, counted by the nodes themselves, and when the last node has the last entry. */

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "bins/bench/bench.h"

#define NODES_MAX 32u
#define WARM_UP 120u /* entries that every link has carried before it is counted */
#define PATIENCE_MS 60000u

enum shape { CHAIN, TRIANGLE, RING, HUB, MESH };

static const struct {
    const char *name;
    size_t nodes; /* by default */
} shapes[] = {
    [CHAIN] = { "chain", 4 }, [TRIANGLE] = { "triangle", 3 }, [RING] = { "ring", 5 },
    [HUB] = { "hub", 21 },    [MESH] = { "mesh", 6 },
};
#define SHAPES (sizeof shapes / sizeof *shapes)

struct fan {
    char db[WEIR_ID_TEXT + 1];
    size_t n;
    size_t n_edges;
    struct bench_node nodes[NODES_MAX];
};

struct writer {
    const char *db;
    struct bench_node *node;
    uint64_t first;
    uint64_t count;
    uint64_t payload;
    pthread_t thread;
};

/* ---- the network ---- */

static void
name_of (char name[16], size_t i)
{
    snprintf (name, 16, "n%u", (unsigned) i);
}

/* Two members that may not have heard of each other yet. */
static void
relate (struct fan *f, size_t from, size_t to)
{
    uint64_t until = bench_now_us () + PATIENCE_MS * 1000u;
    char name[16];
    name_of (name, to);
    for (;;) {
        Weir__Relationship ask = WEIR__RELATIONSHIP__INIT;
        struct weir_client_answer answer;
        struct weir_error e = { 0 };
        ask.has_db = ask.has_peer = true;
        ask.db = weir_field_str (f->db);
        ask.peer = weir_field_str (name);
        enum weir_status status =
            weir_client_call (f->nodes[from].client, WEIR_KIND_SYNC_RELATE, &ask.base,
                              weir_bytes (NULL, 0), 10000, &answer, &e);
        if (status == WEIR_OK) {
            weir_client_answer_fini (&answer);
            f->n_edges++;
            return;
        }
        if ((status != WEIR_NOT_FOUND && status != WEIR_NOT_MEMBER) || bench_now_us () > until) {
            bench_die ("sync add: %s", e.what);
        }
        bench_pause_us (10000);
    }
}

static void
open_all (struct bench *b, struct fan *f, enum shape shape)
{
    bool line = shape == CHAIN || shape == RING;
    for (size_t i = 0; i < f->n; i++) {
        char name[16];
        bool leaf = shape == HUB && i > 0;
        name_of (name, i);
        bench_node_init (b, &f->nodes[i], name, leaf ? "leaf" : "hub",
                         leaf ? NULL : "tcp://127.0.0.1:0");
        bench_node_start (b, &f->nodes[i]);
    }
    bench_create_db (&f->nodes[0], "bench", f->db);
    for (size_t i = 1; i < f->n; i++) {
        bench_join_as (&f->nodes[line ? i - 1 : 0], &f->nodes[i], f->db, line ? 4 : 3);
        f->n_edges++;
    }
    if (shape == RING) {
        relate (f, 0, f->n - 1);
    }
    for (size_t i = 1; (shape == MESH || shape == TRIANGLE) && i < f->n; i++) {
        for (size_t k = i + 1; k < f->n; k++) {
            relate (f, i, k);
        }
    }
}

/* ---- writing, and waiting ---- */

/* One after the other, each durable before the next: as people write, not as files are read. */
static void *
write_all (void *argument)
{
    struct writer *w = argument;
    struct weir_rand random;
    char *value = weir_alloc (w->payload + 3);
    weir_rand_init (&random, w->first + 1);
    for (uint64_t i = 0; i < w->count; i++) {
        value[0] = value[w->payload + 1] = '"';
        bench_random_text (&random, value + 1, w->payload);
        bench_set_one (w->node, w->db, w->first + i, value);
    }
    free (value);
    return NULL;
}

static void
write_on_all (struct fan *f, uint64_t first, uint64_t count, uint64_t payload)
{
    struct writer writers[NODES_MAX];
    for (size_t i = 0; i < f->n; i++) {
        writers[i] = (struct writer){ .db = f->db,
                                      .node = &f->nodes[i],
                                      .first = first + i * 10000000u,
                                      .count = count,
                                      .payload = payload };
        if (pthread_create (&writers[i].thread, NULL, write_all, &writers[i]) != 0) {
            bench_die ("no thread");
        }
    }
    for (size_t i = 0; i < f->n; i++) {
        pthread_join (writers[i].thread, NULL);
    }
}

static struct weir_id
digest_of (struct fan *f, size_t i)
{
    Weir__DbName ask = WEIR__DB_NAME__INIT;
    struct weir_client_answer answer;
    struct weir_id digest = weir_id_zero;
    ask.has_db = true;
    ask.db = weir_field_str (f->db);
    bench_call (&f->nodes[i], WEIR_KIND_DB_SHOW, &ask.base, weir_bytes (NULL, 0), 30000, &answer);
    const Weir__DbInfos *m = (const Weir__DbInfos *) answer.meta;
    if (m->n_items == 1) {
        weir_ignore (weir_field_get_id (&digest, m->items[0]->has_digest, m->items[0]->digest));
    }
    weir_client_answer_fini (&answer);
    return digest;
}

static bool
is_equal (struct fan *f)
{
    struct weir_id first = digest_of (f, 0);
    for (size_t i = 1; i < f->n; i++) {
        struct weir_id other = digest_of (f, i);
        if (!weir_id_equal (&first, &other)) {
            return false;
        }
    }
    return true;
}

static uint64_t
wait_equal (struct fan *f)
{
    uint64_t began = bench_now_us ();
    while (!is_equal (f)) {
        if (bench_now_us () - began > PATIENCE_MS * 1000u) {
            bench_die ("the nodes are not equal after %u ms", PATIENCE_MS);
        }
        bench_pause_us (2000);
    }
    return bench_now_us () - began;
}

/* All acknowledgements are back: the senders' counters are whole. */
static void
wait_synced (struct fan *f)
{
    for (size_t i = 0; i < f->n; i++) {
        bench_wait_synced (&f->nodes[i], f->db, PATIENCE_MS);
    }
}

/* ---- counting ---- */

struct counts {
    uint64_t bodies;
    uint64_t messages;
    uint64_t bytes;
    uint64_t entries;
};

static struct counts
count (struct fan *f)
{
    struct counts c = { .entries = bench_entries (&f->nodes[0], f->db) };
    for (size_t i = 0; i < f->n; i++) {
        struct weir_client_answer answer;
        bench_call (&f->nodes[i], WEIR_KIND_PEER_LIST, NULL, weir_bytes (NULL, 0), 10000, &answer);
        const Weir__Peers *peers = (const Weir__Peers *) answer.meta;
        for (size_t k = 0; k < peers->n_items; k++) {
            c.bodies += peers->items[k]->sent_entries;
        }
        weir_client_answer_fini (&answer);
        bench_call (&f->nodes[i], WEIR_KIND_TRANSPORT_LIST, NULL, weir_bytes (NULL, 0), 10000,
                    &answer);
        const Weir__Transports *transports = (const Weir__Transports *) answer.meta;
        for (size_t k = 0; k < transports->n_items; k++) {
            if (!transports->items[k]->has_messages_out) {
                bench_die ("a transport was too busy to say what it sent");
            }
            c.messages += transports->items[k]->messages_out;
            c.bytes += transports->items[k]->bytes_out;
        }
        weir_client_answer_fini (&answer);
    }
    return c;
}

static enum shape
shape_of (const struct bench *b)
{
    const char *name = b->topology != NULL ? b->topology : "mesh";
    for (size_t i = 0; i < SHAPES; i++) {
        if (strcmp (name, shapes[i].name) == 0) {
            return (enum shape) i;
        }
    }
    bench_die ("--topology chain|triangle|ring|hub|mesh");
}

/* An entry has to come to every node but its author's. */
void
bench_fanout (struct bench *b)
{
    struct fan *f = weir_alloc (sizeof *f);
    enum shape shape = shape_of (b);
    f->n = b->nodes > 0 && shape != TRIANGLE ? b->nodes : shapes[shape].nodes;
    if (f->n < 2 || f->n > NODES_MAX || (shape == RING && f->n < 3)) {
        bench_die ("a %s has %u to %u nodes", shapes[shape].name, shape == RING ? 3u : 2u,
                   NODES_MAX);
    }
    uint64_t each = (b->entries > 0 ? b->entries : 1200) / f->n;
    open_all (b, f, shape);
    (void) wait_equal (f);
    write_on_all (f, 0, WARM_UP, b->payload);
    (void) wait_equal (f);
    wait_synced (f);
    struct counts before = count (f);
    uint64_t began = bench_now_us ();
    write_on_all (f, WARM_UP, each, b->payload);
    double seconds = (double) (bench_now_us () - began) / 1e6;
    uint64_t last_us = wait_equal (f);
    wait_synced (f);
    struct counts after = count (f);
    double entries = (double) (after.entries - before.entries);
    for (size_t i = f->n; i > 0; i--) {
        bench_node_stop (&f->nodes[i - 1]);
    }
    bench_print (
        b, json_pack ("{s:s, s:I, s:I, s:f, s:f, s:f, s:f, s:f}", "topology", shapes[shape].name,
                      "nodes", (json_int_t) f->n, "entries",
                      (json_int_t) (after.entries - before.entries), "bodies_per_node_per_entry",
                      (double) (after.bodies - before.bodies) / (entries * (double) (f->n - 1)),
                      "messages_per_node_per_entry",
                      (double) (after.messages - before.messages) / (entries * (double) f->n),
                      "bytes_per_node_per_entry",
                      (double) (after.bytes - before.bytes) / (entries * (double) f->n),
                      "write_seconds", seconds, "last_delivery_ms", (double) last_us / 1000.0));
    free (f);
}
