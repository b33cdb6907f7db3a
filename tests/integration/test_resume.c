/* Goal: a clone whose receiver is killed (kill -9 of its store) goes on from what it made durable:
 * by the bytes that the sender's transport counts, what is sent twice stays within a second of the
 * link for each kill, which is less than the credit. */

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "store/base/rand.h"
#include "tests/integration/net.h"

#define RATE 800000u /* bytes a second each way */
#define QUEUE_BYTES 65536u
#define ENTRIES 40000u
#define CLONE_MS 60000u
#define KILLS 2u

static const char *const env[] = { "WEIR_RESTART_LIMIT=1000000", "WEIR_BACKOFF_MS_MAX=500",
                                   "WEIR_CHECK_INTERVAL_SECS=2", NULL };
static struct net net;

/* Values that do not compress to nothing. */
static void
fill (struct node *n, const char *db)
{
    struct weir_rand rand;
    weir_rand_init (&rand, 7);
    for (size_t i = 0; i < ENTRIES;) {
        struct weir_buf body = { 0 };
        Weir__DocApply ask = WEIR__DOC_APPLY__INIT;
        struct weir_client_answer answer;
        struct weir_error e = { 0 };
        for (size_t k = 0; k < 500 && i < ENTRIES; k++, i++) {
            weir_buf_printf (&body, "[{\"op\":\"add\",\"path\":\"/v/%06zu\",\"value\":\"", i);
            for (size_t c = 0; c < 6; c++) {
                weir_buf_printf (&body, "%016llx", (unsigned long long) weir_rand_u64 (&rand));
            }
            weir_buf_printf (&body, "\"}]\n");
        }
        ask.has_db = true;
        ask.db = weir_field_str (db);
        if (node_call (n, WEIR_KIND_DOC_APPLY, &ask.base, weir_buf_bytes (&body), 60000, &answer,
                       &e)
            != WEIR_OK) {
            node_die ("doc apply: %s", e.what);
        }
        weir_client_answer_fini (&answer);
        weir_buf_fini (&body);
    }
}

static uint64_t
bytes_out (struct node *n)
{
    struct weir_client_answer answer;
    struct weir_error e = { 0 };
    uint64_t bytes = 0;
    if (node_call (n, WEIR_KIND_TRANSPORT_LIST, NULL, weir_bytes (NULL, 0), 10000, &answer, &e)
        != WEIR_OK) {
        node_die ("transport ls: %s", e.what);
    }
    const Weir__Transports *m = (const Weir__Transports *) answer.meta;
    for (size_t i = 0; i < m->n_items; i++) {
        bytes += m->items[i]->bytes_out;
    }
    weir_client_answer_fini (&answer);
    return bytes;
}

static void
kill_store (struct node *n)
{
    struct node_actor actors[NODE_ACTORS_MAX];
    size_t count = node_actors (n, actors, 10000);
    for (size_t i = 0; i < count; i++) {
        if (strcmp (actors[i].name, "store") == 0 && kill (actors[i].pid, SIGKILL) == 0) {
            return;
        }
    }
    node_die ("there is no store to kill");
}

/* The bytes that left the sender for a clone, with so many kills on the way. */
static uint64_t
clone_db (const char *db, unsigned kills)
{
    uint64_t before = bytes_out (&net.nodes[0]);
    uint64_t began = node_now_ms ();
    unsigned killed = 0;
    node_join_begin (&net.nodes[0], &net.nodes[1], db, WEIR_RIGHT_WRITE);
    for (;;) {
        uint64_t want = 0;
        uint64_t held = 0;
        struct weir_id ours = node_digest (&net.nodes[0], db, &want);
        struct weir_id theirs = node_digest (&net.nodes[1], db, &held);
        if (weir_id_equal (&ours, &theirs)) {
            break;
        }
        if (killed < kills && held > want * (killed + 1) / (kills + 1)) {
            kill_store (&net.nodes[1]);
            killed++;
        }
        if (node_now_ms () - began > CLONE_MS) {
            node_die ("%llu of %llu entries after %u ms", (unsigned long long) held,
                      (unsigned long long) want, CLONE_MS);
        }
        node_pause_ms (20);
    }
    if (killed < kills) {
        node_die ("the clone was over after %u kills", killed);
    }
    return bytes_out (&net.nodes[0]) - before;
}

int
main (void)
{
    static const struct proxy_rule rule = { .rate = RATE };
    static const struct proxy_rule fine;
    signal (SIGPIPE, SIG_IGN);
    setvbuf (stdout, NULL, _IOLBF, 0);
    net_open_behind (&net, NET_CHAIN, 2, env, 1, QUEUE_BYTES);
    node_create_db (&net.nodes[0], "whole");
    node_create_db (&net.nodes[0], "killed");
    fill (&net.nodes[0], "whole");
    fill (&net.nodes[0], "killed");
    net_rule (&net, 3, 3, &rule);
    uint64_t whole = clone_db ("whole", 0);
    uint64_t killed = clone_db ("killed", KILLS);
    uint64_t twice = killed > whole ? killed - whole : 0;
    printf ("a clone takes %llu bytes, with %u kills of its store %llu: %llu twice for each\n",
            (unsigned long long) whole, KILLS, (unsigned long long) killed,
            (unsigned long long) (twice / KILLS));
    if (twice > (uint64_t) KILLS * RATE || twice > (uint64_t) KILLS * WEIR_CREDIT_BYTES) {
        node_die ("more than what was on its way was sent twice");
    }
    net_rule (&net, 3, 3, &fine);
    net_close (&net);
    node_end ();
    puts ("interrupted clones go on where they were");
    return 0;
}
