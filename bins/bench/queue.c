/* What the retry queue costs: the pure queue with as many waiting pairs as it is meant for, and
 * the retry actor with its persistence, from the fact's passing the broker until its row is synced.
 * For the second a node runs whose `weir-peers` is this program: it says BEHIND when asked, as the
 * real one does after a failure, and takes no other part. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "actors/runtime/actor.h"
#include "bins/bench/bench.h"
#include "bins/bench/main.h"
#include "store/base/limits.h"
#include "store/crypto/sign.h"
#include "store/sync/retry.h"

#define PAIRS 10000u  /* waiting, in memory */
#define STANDING 500u /* waiting, at the actor: below max_queue_size, or all would be due */
#define WARM_UP 50u
#define CALL_MS 10000u
#define PEERS_PROGRAM "weir-peers"

static int
compare_ns (const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *) a;
    uint64_t y = *(const uint64_t *) b;
    return x < y ? -1 : x > y;
}

static double
percentile_ms (const uint64_t *sorted_ns, size_t n, double p)
{
    return (double) sorted_ns[(size_t) (p * (double) (n - 1))] / 1e6;
}

static uint64_t
now_ns (void)
{
    struct timespec t;
    clock_gettime (CLOCK_MONOTONIC, &t);
    return (uint64_t) t.tv_sec * 1000000000u + (uint64_t) t.tv_nsec;
}

/* ---- in memory ---- */

static struct weir_retry *
queue_new (void)
{
    struct weir_retry_options options = { .max_attempts = WEIR_MAX_ATTEMPTS,
                                          .check_interval_ms = WEIR_CHECK_INTERVAL_SECS * 1000u,
                                          .max_queue_age_ms = WEIR_MAX_QUEUE_AGE_SECS * 1000u,
                                          .max_queue_size = 10u * PAIRS,
                                          .parked_ms = WEIR_PARKED_DAYS * 86400000ull,
                                          .seed = 1 };
    return weir_retry_new (&options);
}

/* By turns: a fact comes, one is looked for that is due, one is in step again. The queue stays as
 * long as it is. */
static void
in_memory (uint64_t samples, uint64_t *ns)
{
    struct weir_retry *queue = queue_new ();
    struct weir_id *devices = weir_alloc ((PAIRS + 1) * sizeof *devices);
    struct weir_id db = { { 1 } };
    struct weir_rand rand;
    uint64_t now_ms = 1700000000000u;
    weir_rand_init (&rand, 1);
    for (size_t i = 0; i <= PAIRS; i++) {
        weir_rand_bytes (&rand, devices[i].b, sizeof devices[i].b);
        if (i > 0) {
            (void) weir_retry_failed (queue, &devices[i], &db, WEIR_TIMED_OUT, now_ms + i);
        }
    }
    for (uint64_t i = 0; i < samples; i++) {
        size_t out = (size_t) (i % (PAIRS + 1)); /* the one that is not in the queue */
        size_t done = (size_t) ((i + 1) % (PAIRS + 1));
        now_ms += 7;
        uint64_t began = now_ns ();
        (void) weir_retry_failed (queue, &devices[out], &db, WEIR_TIMED_OUT, now_ms);
        (void) weir_retry_due (queue, now_ms);
        (void) weir_retry_done (queue, &devices[done], &db);
        ns[i] = now_ns () - began;
    }
    if (weir_retry_count (queue, NULL) != PAIRS) {
        bench_die ("%zu pairs wait, not %u", weir_retry_count (queue, NULL), PAIRS);
    }
    free (devices);
    weir_retry_destroy (&queue);
}

/* ---- the other side: this program in the place of weir-peers ---- */

struct stand_in {
    struct weir_id db;
    struct weir_id devices[STANDING];
    uint64_t said;
};

static enum weir_status
stand_in_start (void **state, struct weir_actor *actor, struct weir_error *e)
{
    (void) e;
    *state = weir_alloc (sizeof (struct stand_in));
    weir_actor_ready (actor);
    return WEIR_OK;
}

static void
stand_in_stop (void **state, struct weir_actor *actor)
{
    (void) actor;
    free (*state);
    *state = NULL;
}

static void
say (struct weir_actor *actor, uint16_t kind, const struct weir_id *device,
     const struct weir_id *db)
{
    Weir__Behind m = WEIR__BEHIND__INIT;
    m.has_device = m.has_db = m.has_status = true;
    m.device = weir_field_id (device);
    m.db = weir_field_id (db);
    m.status = (uint32_t) WEIR_TIMED_OUT;
    (void) weir_actor_send_about (actor, kind, NULL, device, db, 0, &m.base, weir_bytes (NULL, 0));
}

static void
stand_in_asked (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct stand_in *s = state;
    struct weir_id *device = &s->devices[s->said % STANDING];
    if (s->said >= STANDING) {
        say (actor, WEIR_KIND_IN_STEP, device, &s->db);
    }
    weir_rand_bytes (weir_actor_rand (actor), device->b, sizeof device->b);
    say (actor, WEIR_KIND_BEHIND, device, &s->db);
    s->said++;
    weir_actor_answer (actor, &message->envelope, NULL, weir_bytes (NULL, 0), false);
}

static void
stand_in_ignores (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    (void) state;
    (void) actor;
    (void) message;
}

bool
bench_is_stand_in (const char *program)
{
    const char *slash = strrchr (program, '/');
    return strcmp (slash != NULL ? slash + 1 : program, PEERS_PROGRAM) == 0;
}

int
bench_stand_in (int argc, char **argv)
{
    static const struct weir_actor_handler handlers[] = {
        { WEIR_KIND_SYNC_NOW, stand_in_asked },  { WEIR_KIND_DUE, stand_in_ignores },
        { WEIR_KIND_NOVEL, stand_in_ignores },   { WEIR_KIND_RIGHTS_CHANGED, stand_in_ignores },
        { WEIR_KIND_TICKETS, stand_in_ignores }, { 0, NULL },
    };
    static const struct weir_actor_def def = {
        .role = "peers", .handlers = handlers, .start = stand_in_start, .stop = stand_in_stop
    };
    return weir_actor_run (&def, argc, argv);
}

/* ---- durable ---- */

/* A folder of programs as the broker wants it, with this one as weir-peers. */
static void
make_programs (struct bench *b, char folder[512])
{
    static const char *const names[] = { "weir-store", "weir-retry", "weir-transport" };
    char target[512];
    char path[600];
    snprintf (folder, 512, "%s/programs", b->root);
    bool made = mkdir (folder, 0700) == 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf (target, sizeof target, "%s/%s", b->programs, names[i]);
        snprintf (path, sizeof path, "%s/%s", folder, names[i]);
        made = made && symlink (target, path) == 0;
    }
    ssize_t n = readlink ("/proc/self/exe", target, sizeof target - 1);
    target[n > 0 ? n : 0] = '\0';
    snprintf (path, sizeof path, "%s/" PEERS_PROGRAM, folder);
    if (!made || symlink (target, path) != 0) {
        bench_die ("cannot make %s: %s", path, strerror (errno));
    }
}

static void
tap_begin (struct weir_client *client)
{
    Weir__TapFilter ask = WEIR__TAP_FILTER__INIT;
    struct weir_error e = { 0 };
    uint64_t request = 0;
    ask.has_expression = ask.has_seconds = ask.has_rate = true;
    ask.expression = weir_field_str ("actor=retry");
    ask.seconds = 600;
    ask.rate = 100000;
    if (weir_client_send (client, WEIR_KIND_TAP_START, &ask.base, weir_bytes (NULL, 0), 0, &request,
                          &e)
        != WEIR_OK) {
        bench_die ("tap: %s", e.what);
    }
}

/* When the tap showed this kind (its answer). */
static uint64_t
tap_until (struct weir_client *client, uint16_t kind, bool is_answer)
{
    for (;;) {
        struct weir_client_answer answer;
        struct weir_envelope envelope = { 0 };
        struct weir_error e = { 0 };
        if (weir_client_receive (client, CALL_MS, &answer, &e) != WEIR_OK
            || answer.status != WEIR_OK || !answer.more) {
            bench_die ("the tap ended: %s", e.what);
        }
        uint64_t at = now_ns ();
        const Weir__TapEvent *m = (const Weir__TapEvent *) answer.meta;
        bool good =
            m->has_envelope && weir_envelope_get (&envelope, weir_field (m->envelope)) == WEIR_OK;
        weir_client_answer_fini (&answer);
        if (good && envelope.kind == kind
            && ((envelope.flags & WEIR_ENV_ANSWER) != 0) == is_answer) {
            return at;
        }
    }
}

static void
durable (struct bench *b, uint64_t samples, uint64_t *ns)
{
    struct bench_node n;
    struct weir_client *tap = NULL;
    struct weir_error e = { 0 };
    char folder[512];
    make_programs (b, folder);
    setenv ("WEIR_LIBEXEC", folder, 1);
    setenv ("WEIR_TRANSPORTS", "0", 1);
    bench_node_init (b, &n, "node", "hub", NULL);
    bench_node_start (b, &n);
    if (weir_client_open (&tap, n.paths.control, CALL_MS, &e) != WEIR_OK) {
        bench_die ("%s", e.what);
    }
    tap_begin (tap);
    for (uint64_t i = 0; i < WARM_UP + samples; i++) {
        Weir__SyncAsk ask = WEIR__SYNC_ASK__INIT;
        struct weir_client_answer answer;
        bench_call (&n, WEIR_KIND_SYNC_NOW, &ask.base, weir_bytes (NULL, 0), CALL_MS, &answer);
        weir_client_answer_fini (&answer);
        uint64_t began = tap_until (tap, WEIR_KIND_BEHIND, false);
        uint64_t took = tap_until (tap, WEIR_KIND_STATE_PUT, true) - began;
        if (i >= WARM_UP) {
            ns[i - WARM_UP] = took;
        }
    }
    weir_client_close (&tap);
    bench_node_stop (&n);
    unsetenv ("WEIR_LIBEXEC");
    unsetenv ("WEIR_TRANSPORTS");
}

void
bench_queue (struct bench *b)
{
    uint64_t samples = b->samples > 0 ? b->samples : 1000;
    uint64_t memory_samples = 100u * samples;
    uint64_t *ns = weir_alloc (memory_samples * sizeof *ns);
    in_memory (memory_samples, ns);
    qsort (ns, memory_samples, sizeof *ns, compare_ns);
    double p50 = percentile_ms (ns, memory_samples, 0.50);
    double p99 = percentile_ms (ns, memory_samples, 0.99);
    durable (b, samples, ns);
    qsort (ns, samples, sizeof *ns, compare_ns);
    bench_print (b, json_pack ("{s:I, s:I, s:f, s:f, s:f, s:f, s:f}", "waiting", (json_int_t) PAIRS,
                               "samples", (json_int_t) samples, "enqueue_p50_ms", p50,
                               "enqueue_p99_ms", p99, "durable_p50_ms",
                               percentile_ms (ns, samples, 0.50), "durable_p99_ms",
                               percentile_ms (ns, samples, 0.99), "durable_max_ms",
                               percentile_ms (ns, samples, 1.0)));
    free (ns);
}
