#ifndef WEIR_BINS_BENCH_BENCH_H
#define WEIR_BINS_BENCH_BENCH_H

/* Benchmarks are commands that print figures. Each starts its own temporary nodes: real
 * processes on real disks, talking over loopback. Nothing is merged to look fast: an entry is a
 * sealed commit. */

#include <jansson.h>
#include <sys/types.h>

#include "actors/client/client.h"
#include "actors/runtime/settings.h"
#include "store/base/rand.h"

struct bench {
    bool json;
    bool keep;        /* leave the data where they are */
    uint64_t entries; /* 0: the bench's default */
    uint64_t payload; /* bytes of a value */
    uint64_t peers;
    uint64_t absent;  /* peers that are known and never come */
    uint64_t authors; /* 0: the bench's default, as below */
    uint64_t databases;
    uint64_t nodes;
    uint64_t seconds;
    uint64_t megabytes;
    const char *topology; /* NULL: the bench's default */
    uint64_t samples;
    bool turns;
    bool verbose;
    uint64_t runs; /* 0: the bench's default; the best is told */
    char **files;  /* of those that read files */
    size_t n_files;
    const char *dir;    /* where the temporary folder is made */
    char root[256];     /* the temporary folder */
    char programs[256]; /* where the other programs are */
};

struct bench_node {
    char data[400];
    struct weir_paths paths;
    pid_t pid;
    struct weir_client *client;
};

/* Ends the program with a sentence: a bench has no half results. */
_Noreturn void bench_die (const char *format, ...) WEIR_PRINTF (1, 2);
uint64_t bench_now_us (void);
void bench_pause_us (long us);

/* ---- node.c ---- */
void bench_node_init (struct bench *b, struct bench_node *n, const char *name, const char *role,
                      const char *listen);
/* Starts weir-broker, waits until it is ready, connects. */
void bench_node_start (struct bench *b, struct bench_node *n);
void bench_node_stop (struct bench_node *n);
void bench_remove (struct bench *b); /* the temporary folder */

/* One request; dies on an error. The answer is the caller's to finish. */
void bench_call (struct bench_node *n, uint16_t kind, const ProtobufCMessage *meta,
                 struct weir_bytes body, uint32_t ms, struct weir_client_answer *answer);
void bench_create_db (struct bench_node *n, const char *name, char id[WEIR_ID_TEXT + 1]);
/* Makes `to` a member through a ticket of `from`; returns when it is. */
void bench_join (struct bench_node *from, struct bench_node *to, const char *db);
void bench_join_as (struct bench_node *from, struct bench_node *to, const char *db, uint32_t right);
uint64_t bench_entries (struct bench_node *n, const char *db);
/* Waits until both hold `entries` and say that they are in step. */
void bench_wait_entries (struct bench_node *n, const char *db, uint64_t entries, uint32_t ms);
void bench_wait_synced (struct bench_node *n, const char *db, uint32_t ms);
uint64_t bench_wire_bytes (struct bench_node *n); /* in and out of all transports */
void bench_transport (struct bench_node *n, bool running);
/* `count` one-key commits of `payload` bytes from number `first` on, pipelined; durable when it
 * returns. Returns the seconds. */
double bench_apply (struct bench_node *n, const char *db, uint64_t first, uint64_t count,
                    uint64_t payload);
/* One durable commit below /single; `value` is JSON. */
void bench_set_one (struct bench_node *n, const char *db, uint64_t i, const char *value);
/* Runs end to end, made elsewhere: imported, pipelined; durable when it returns. */
void bench_import (struct bench_node *n, const char *db, struct weir_bytes runs);
/* Letters and digits, six bits each, so that compression cannot make the wire look small. */
void bench_random_text (struct weir_rand *random, char *out, size_t len);
/* Proportional set size of a node's processes, in kB; `each` (may be NULL) gets it by name. */
uint64_t bench_pss_kb (const struct bench_node *n, json_t *each);

/* ---- bench.c ---- */
/* From before the commit is sent on one node until the other's feed shows it: sealed and durable
 * here, sent, verified, applied and durable there. `token` is "" at first. */
uint64_t bench_one_way (struct bench_node *a, struct bench_node *c, const char *db, uint64_t i,
                        char token[64]);
double bench_percentile_ms (uint64_t *us, size_t n, double p); /* sorts */

/* ---- the benches; each prints one JSON object (a line a file, where it reads files) ---- */
void bench_commit (struct bench *b);
void bench_sync (struct bench *b);
void bench_blob (struct bench *b);
void bench_clone (struct bench *b);
void bench_live (struct bench *b);
void bench_idle (struct bench *b);
void bench_peers (struct bench *b);
void bench_hooks (struct bench *b);
void bench_through (struct bench *b);
void bench_apart (struct bench *b);
void bench_databases (struct bench *b);
void bench_outage (struct bench *b);
void bench_queue (struct bench *b);
void bench_fanout (struct bench *b);
/* Of the library: no node is started. */
void bench_doc (struct bench *b);
/* false: a file could not be read, or its result was not what it says. */
bool bench_text (struct bench *b);
bool bench_replay (struct bench *b);
void bench_print (struct bench *b, json_t *result);

#endif
