/* What a hundred connected, active peers cost a node in memory. The peers are keys and sockets
 * of this process; the node is whole, and cannot tell. */

#include <stdlib.h>

#include <zmq.h>

#include "bins/bench/bench.h"
#include "bins/bench/peer.h"

#define PATIENCE_US 60000000u
#define TURN_MS 20
#define HOLD_US 4000000u /* connected and beating, after all that */

struct many {
    void *zmq;
    size_t n;
    struct bench_peer *peers;
    zmq_pollitem_t *items;
    struct weir_arena *arena;
};

static void
many_init (struct many *m)
{
    m->zmq = zmq_ctx_new ();
    zmq_ctx_set (m->zmq, ZMQ_MAX_SOCKETS, 3 * (int) m->n + 16); /* a closed one lingers */
    m->peers = weir_alloc ((m->n + 1) * sizeof *m->peers);
    m->items = weir_alloc ((m->n + 1) * sizeof *m->items);
    m->arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
}

static void
many_fini (struct many *m)
{
    for (size_t i = 0; i < m->n; i++) {
        bench_peer_fini (&m->peers[i]);
    }
    zmq_ctx_term (m->zmq);
    weir_arena_destroy (&m->arena);
    free (m->items);
    free (m->peers);
}

static size_t
reached (const struct many *m, enum bench_peer_phase phase)
{
    size_t n = 0;
    for (size_t i = 0; i < m->n; i++) {
        n += m->peers[i].phase >= phase;
    }
    return n;
}

/* One turn of all peers. */
static void
turn (struct many *m)
{
    int n = 0;
    for (size_t i = 0; i < m->n; i++) {
        if (m->peers[i].socket != NULL) {
            m->items[n++] = (zmq_pollitem_t){ m->peers[i].socket, 0, ZMQ_POLLIN, 0 };
        }
    }
    if (zmq_poll (m->items, n, TURN_MS) > 0) {
        for (size_t i = 0; i < m->n; i++) {
            bench_peer_take (&m->peers[i], m->arena);
        }
    }
}

static void
until_all (struct many *m, enum bench_peer_phase phase, const char *what)
{
    uint64_t until = bench_now_us () + PATIENCE_US;
    size_t n;
    while ((n = reached (m, phase)) < m->n) {
        if (bench_now_us () > until) {
            bench_die ("%zu of %zu peers %s", n, m->n, what);
        }
        turn (m);
    }
}

/* Until the node says of every peer that it holds everything. */
static void
until_in_step (struct many *m, struct bench_node *n)
{
    uint64_t until = bench_now_us () + PATIENCE_US;
    for (;;) {
        Weir__SyncAsk ask = WEIR__SYNC_ASK__INIT;
        struct weir_client_answer answer;
        size_t in_step = 0;
        bench_call (n, WEIR_KIND_SYNC_STATUS, &ask.base, weir_bytes (NULL, 0), 10000, &answer);
        const Weir__SyncStatus *status = (const Weir__SyncStatus *) answer.meta;
        for (size_t i = 0; i < status->n_pairs; i++) {
            in_step += status->pairs[i]->in_step ? 1 : 0;
        }
        weir_client_answer_fini (&answer);
        if (in_step >= m->n) {
            return;
        }
        if (bench_now_us () > until) {
            bench_die ("%zu of %zu peers are in step", in_step, m->n);
        }
        turn (m);
    }
}

static void
invite (struct many *m, struct bench_node *n, const char *db)
{
    for (size_t i = 0; i < m->n; i++) {
        Weir__DbShare share = WEIR__DB_SHARE__INIT;
        struct weir_client_answer answer;
        share.has_db = share.has_right = true;
        share.db = weir_field_str (db);
        share.right = 2; /* write */
        bench_call (n, WEIR_KIND_DB_SHARE, &share.base, weir_bytes (NULL, 0), 10000, &answer);
        bench_peer_init (&m->peers[i], m->zmq,
                         weir_field (((const Weir__Ticket *) answer.meta)->text));
        weir_client_answer_fini (&answer);
    }
}

/* One by one, as people come; later all connect at once, as after an outage. */
static void
join_all (struct many *m)
{
    uint64_t until = bench_now_us () + PATIENCE_US;
    for (size_t i = 0; i < m->n; i++) {
        bench_peer_join (&m->peers[i]);
        while (m->peers[i].phase < BENCH_PEER_JOINED) {
            if (bench_now_us () > until) {
                bench_die ("%zu of %zu peers joined", i, m->n);
            }
            turn (m);
        }
    }
}

/* Devices that an operator typed in and that are nowhere: what each adds to the node. */
static void
know_absent (struct bench *b, struct bench_node *n, json_t *result)
{
    json_t *were = json_object ();
    json_t *are = json_object ();
    uint64_t before = bench_pss_kb (n, were);
    for (uint64_t i = 0; i < b->absent; i++) {
        struct weir_identity device;
        struct weir_link_key link;
        char address[512];
        Weir__PeerAdd ask = WEIR__PEER_ADD__INIT;
        struct weir_client_answer answer;
        uint8_t seed[32];
        weir_random (seed, sizeof seed);
        weir_identity_init (&device, seed);
        weir_link_key_make (&link);
        snprintf (address, sizeof address, "weir://%s@127.0.0.1:1?k=%s",
                  weir_id_text (&device.device).s, weir_id_text (&link.public_key).s);
        ask.has_address = true;
        ask.address = weir_field_str (address);
        bench_call (n, WEIR_KIND_PEER_ADD, &ask.base, weir_bytes (NULL, 0), 10000, &answer);
        weir_client_answer_fini (&answer);
    }
    bench_pause_us (HOLD_US); /* until what the requests themselves took is given back */
    uint64_t after = bench_pss_kb (n, are);
    double kb = after > before ? (double) (after - before) : 0;
    json_object_set_new (result, "absent", json_integer ((json_int_t) b->absent));
    json_object_set_new (result, "absent_kb_each", json_real (kb / (double) b->absent));
    json_object_set_new (result, "absent_before_kb", were);
    json_object_set_new (result, "absent_after_kb", are);
}

static json_t *
megabytes (uint64_t kb)
{
    return json_real ((double) kb / 1024.0);
}

void
bench_peers (struct bench *b)
{
    struct bench_node n;
    char db[WEIR_ID_TEXT + 1];
    struct many m = { .n = b->peers };
    weir_crypto_init ();
    many_init (&m);
    bench_node_init (b, &n, "node", "hub", "tcp://127.0.0.1:0");
    bench_node_start (b, &n);
    bench_create_db (&n, "bench", db);
    json_t *result = json_object ();
    uint64_t before = bench_pss_kb (&n, NULL);
    invite (&m, &n, db);
    join_all (&m);
    for (size_t i = 0; i < m.n; i++) {
        bench_peer_connect (&m.peers[i]);
    }
    until_all (&m, BENCH_PEER_IN_STEP, "are connected");
    until_in_step (&m, &n);
    (void) bench_apply (&n, db, 0, 1, b->payload);
    until_all (&m, BENCH_PEER_RECEIVED, "have the live change");
    until_in_step (&m, &n);
    for (size_t i = 0; i < m.n; i++) {
        bench_peer_ping (&m.peers[i]);
    }
    until_all (&m, BENCH_PEER_ANSWERED, "answer a ping");
    for (uint64_t until = bench_now_us () + HOLD_US; bench_now_us () < until;) {
        turn (&m);
    }
    until_in_step (&m, &n);
    json_t *actors = json_object ();
    uint64_t after = bench_pss_kb (&n, actors);
    json_object_set_new (result, "peers", json_integer ((json_int_t) m.n));
    json_object_set_new (result, "before_mb", megabytes (before));
    json_object_set_new (result, "growth_mb", megabytes (after > before ? after - before : 0));
    json_object_set_new (result, "after_kb", actors);
    many_fini (&m);
    if (b->absent > 0) {
        know_absent (b, &n, result);
    }
    bench_node_stop (&n);
    bench_print (b, result);
}
