/* Goal: kill -9 of any actor at any moment, of the broker, and SIGSTOP of any actor, in a loop
 * under load, lose no acknowledged commit, double none, leave both nodes equal within 5 s after
 * the last fault, and nothing of a node's process group alive 3 s after its end.
 *
 * The nodes run with restart_limit and backoff_ms_max set, since the faults are many on purpose;
 * tests/integration/escalate.sh shows what the defaults do. A writer on each node sends numbered
 * requests and sends them again, with the same number, until they are answered. WEIR_KILL_SEED
 * and WEIR_KILL_SECONDS repeat or lengthen a run. */

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "store/base/rand.h"
#include "tests/integration/node.h"

#define FAULT_EVERY_MS 250
#define EQUAL_WITHIN_MS 5000u

static const char *const env[] = { "WEIR_RESTART_LIMIT=1000000", "WEIR_BACKOFF_MS_MAX=500",
                                   "WEIR_CHECK_INTERVAL_SECS=2", NULL };

struct writer {
    struct node *node;
    uint8_t client[16];
    atomic_bool stop;
    atomic_uint_fast64_t acknowledged;
    pthread_t thread;
};

/* One numbered write, repeated until it is answered. */
static void
write_one (struct writer *w, uint64_t i)
{
    Weir__DocWrite ask = WEIR__DOC_WRITE__INIT;
    struct weir_client_answer answer;
    struct weir_error e = { 0 };
    char path[64];
    char value[32];
    snprintf (path, sizeof path, "/%s/%08llu", w->node->name, (unsigned long long) i);
    snprintf (value, sizeof value, "%llu", (unsigned long long) i);
    ask.has_db = ask.has_path = ask.has_client = ask.has_number = true;
    ask.db = weir_field_str ("kill");
    ask.path = weir_field_str (path);
    ask.client = weir_field_of (weir_bytes (w->client, sizeof w->client));
    ask.number = i + 1;
    for (;;) {
        enum weir_status status = node_call (w->node, WEIR_KIND_DOC_SET, &ask.base,
                                             weir_bytes_str (value), 3000, &answer, &e);
        if (status == WEIR_OK) {
            weir_client_answer_fini (&answer);
            atomic_fetch_add (&w->acknowledged, 1);
            return;
        }
        if (status != WEIR_TIMED_OUT && status != WEIR_NO_NODE && status != WEIR_UNAVAILABLE
            && status != WEIR_BUSY) {
            node_die ("write %llu on %s: %s (%s)", (unsigned long long) i, w->node->name, e.what,
                      weir_status_code (status));
        }
    }
}

static void *
write_all (void *argument)
{
    struct writer *w = argument;
    for (uint64_t i = 0; !atomic_load (&w->stop); i++) {
        write_one (w, i);
    }
    return NULL;
}

/* ---- faults ---- */

static void
fault (struct node *n, struct weir_rand *rand, unsigned counts[3])
{
    struct node_actor actors[NODE_ACTORS_MAX];
    uint64_t dice = weir_rand_below (rand, 100);
    if (dice < 10) {
        node_kill_broker (n);
        node_start (n, env); /* who kills the broker starts it again */
        counts[2]++;
        return;
    }
    size_t count = node_actors (n, actors, 1000);
    if (count == 0) {
        return; /* the broker is busy restarting things */
    }
    struct node_actor *a = &actors[weir_rand_below (rand, count)];
    if (a->pid > 0) {
        bool hang = dice < 30;
        kill (a->pid, hang ? SIGSTOP : SIGKILL);
        counts[hang ? 1 : 0]++;
    }
}

/* ---- afterwards ---- */

static void
wait_equal (struct node *a, struct node *b)
{
    uint64_t began = node_now_ms ();
    uint64_t n_a = 0;
    uint64_t n_b = 0;
    for (;;) {
        struct weir_id x = node_digest (a, "kill", &n_a);
        struct weir_id y = node_digest (b, "kill", &n_b);
        uint64_t took = node_now_ms () - began;
        if (weir_id_equal (&x, &y)) {
            printf ("equal after %llu ms, %llu entries\n", (unsigned long long) took,
                    (unsigned long long) n_a);
            return;
        }
        if (took > EQUAL_WITHIN_MS) {
            node_die ("not equal after %llu ms: %llu and %llu entries", (unsigned long long) took,
                      (unsigned long long) n_a, (unsigned long long) n_b);
        }
        node_pause_ms (20);
    }
}

/* Every acknowledged value, on this node, in one read of the writer's root. */
static void
check_values (struct node *n, const struct writer *w)
{
    Weir__DocPath ask = WEIR__DOC_PATH__INIT;
    struct weir_client_answer answer;
    struct weir_error e = { 0 };
    char path[64];
    uint64_t want = atomic_load (&w->acknowledged);
    snprintf (path, sizeof path, "/%s", w->node->name);
    ask.has_db = ask.has_path = true;
    ask.db = weir_field_str ("kill");
    ask.path = weir_field_str (path);
    if (node_call (n, WEIR_KIND_DOC_GET, &ask.base, weir_bytes (NULL, 0), 10000, &answer, &e)
        != WEIR_OK) {
        node_die ("doc get on %s: %s", n->name, e.what);
    }
    json_t *root = json_loadb ((const char *) answer.body.data, answer.body.len, 0, NULL);
    for (uint64_t i = 0; i < want; i++) {
        snprintf (path, sizeof path, "%08llu", (unsigned long long) i);
        const json_t *value = json_object_get (root, path);
        if (!json_is_integer (value) || (uint64_t) json_integer_value (value) != i) {
            node_die ("an acknowledged commit is lost on %s: /%s/%s", n->name, w->node->name, path);
        }
    }
    json_decref (root);
    weir_client_answer_fini (&answer);
}

/* Data entries in the log: one for each acknowledged write, and no more. */
static uint64_t
data_entries (struct node *n)
{
    uint64_t count = 0;
    uint64_t before = 0;
    do {
        Weir__DocLogAsk ask = WEIR__DOC_LOG_ASK__INIT;
        struct weir_client_answer answer;
        struct weir_error e = { 0 };
        ask.has_db = ask.has_before = ask.has_limit = true;
        ask.db = weir_field_str ("kill");
        ask.before = before;
        ask.limit = 500;
        if (node_call (n, WEIR_KIND_DOC_LOG, &ask.base, weir_bytes (NULL, 0), 20000, &answer, &e)
            != WEIR_OK) {
            node_die ("doc log: %s", e.what);
        }
        const Weir__DocLog *m = (const Weir__DocLog *) answer.meta;
        for (size_t i = 0; i < m->n_items; i++) {
            count += m->items[i]->kind == 1;
        }
        before = m->before;
        weir_client_answer_fini (&answer);
    } while (before > 0);
    return count;
}

int
main (void)
{
    const char *seed_text = getenv ("WEIR_KILL_SEED");
    const char *seconds_text = getenv ("WEIR_KILL_SECONDS");
    uint64_t seed = seed_text != NULL ? strtoull (seed_text, NULL, 10) : 1;
    uint64_t seconds = seconds_text != NULL ? strtoull (seconds_text, NULL, 10) : 20;
    struct weir_rand rand;
    struct node nodes[2];
    struct writer writers[2] = { 0 };
    unsigned counts[3] = { 0 };
    weir_rand_init (&rand, seed);
    signal (SIGPIPE, SIG_IGN);
    node_init (&nodes[0], "hub", "hub");
    node_init (&nodes[1], "leaf", "leaf");
    node_start (&nodes[0], env);
    node_start (&nodes[1], env);
    node_create_db (&nodes[0], "kill");
    node_join (&nodes[0], &nodes[1], "kill");
    for (size_t i = 0; i < 2; i++) {
        writers[i].node = &nodes[i];
        weir_rand_bytes (&rand, writers[i].client, sizeof writers[i].client);
        if (pthread_create (&writers[i].thread, NULL, write_all, &writers[i]) != 0) {
            node_die ("no thread");
        }
    }
    uint64_t until = node_now_ms () + seconds * 1000u;
    while (node_now_ms () < until) {
        node_pause_ms (FAULT_EVERY_MS);
        fault (&nodes[weir_rand_below (&rand, 2)], &rand, counts);
    }
    for (size_t i = 0; i < 2; i++) {
        atomic_store (&writers[i].stop, true);
        pthread_join (writers[i].thread, NULL);
    }
    uint64_t acknowledged = 0;
    for (size_t i = 0; i < 2; i++) {
        acknowledged += atomic_load (&writers[i].acknowledged);
    }
    printf ("seed %llu: %u kills, %u stops, %u brokers killed; %llu commits acknowledged\n",
            (unsigned long long) seed, counts[0], counts[1], counts[2],
            (unsigned long long) acknowledged);
    if (acknowledged < 10 || counts[0] == 0) {
        node_die ("nothing was tried");
    }
    wait_equal (&nodes[0], &nodes[1]);
    for (size_t i = 0; i < 2; i++) {
        check_values (&nodes[i], &writers[0]);
        check_values (&nodes[i], &writers[1]);
        uint64_t entries = data_entries (&nodes[i]);
        if (entries != acknowledged) {
            node_die ("%llu data entries on %s for %llu acknowledged commits",
                      (unsigned long long) entries, nodes[i].name,
                      (unsigned long long) acknowledged);
        }
    }
    for (size_t i = 0; i < 2; i++) {
        int code = node_stop (&nodes[i]);
        if (code != 0) {
            node_die ("%s ended with %d", nodes[i].name, code);
        }
    }
    node_end ();
    puts ("no acknowledged commit lost, none doubled");
    return 0;
}
