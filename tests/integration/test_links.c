/* Goal: whatever links do to nodes that write, nothing is lost and all is equal soon after: parts
 * that are cut off from each other and both written to, a link that carries one way only,
 * connections that are reset all the time; and on a link of 256 kbit/s, and on one of 300 ms
 * there and back, what is written live arrives in bounded time while another database is cloned
 * over the same link, and the clone ends.
 *
 * The links are made by a proxy of the tests' own (bins/bench/proxy.h), so this runs anywhere;
 * tests/integration/netns.sh does the same with the kernel's means. WEIR_LINKS=NAME runs one;
 * WEIR_LINKS_SEED another run of the resets. */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "store/base/rand.h"
#include "tests/integration/net.h"

#define QUEUE_BYTES 16384u /* of a slow link's router: half a second of it */
#define EQUAL_WITHIN_MS 10000u
#define LIVE_EVERY_MS 100

static const char *const env[] = { "WEIR_CHECK_INTERVAL_SECS=4", NULL };
static const struct proxy_rule fine;
static struct net net;

static uint64_t
seed (void)
{
    const char *text = getenv ("WEIR_LINKS_SEED");
    return text != NULL ? strtoull (text, NULL, 10) : 1;
}

static void
begin_all (void)
{
    for (size_t i = 0; i < net.n; i++) {
        net_write_begin (&net, i, 0);
    }
}

static uint64_t
end_all (void)
{
    uint64_t acknowledged = 0;
    for (size_t i = 0; i < net.n; i++) {
        acknowledged += net_write_end (&net, i, true);
    }
    return acknowledged;
}

/* Until every writer has `more` acknowledged beyond what it had. */
static void
wait_written (uint64_t more, uint32_t ms)
{
    uint64_t until = node_now_ms () + ms;
    uint64_t had[NET_NODES_MAX];
    for (size_t i = 0; i < net.n; i++) {
        had[i] = atomic_load (&net.writers[i].acknowledged);
    }
    for (size_t i = 0; i < net.n; i++) {
        while (atomic_load (&net.writers[i].acknowledged) < had[i] + more) {
            if (node_now_ms () > until) {
                node_die ("%s does not get on with writing", net.nodes[i].name);
            }
            node_pause_ms (5);
        }
    }
}

static void
wait_state (size_t i, size_t k, const char *wanted, uint32_t ms)
{
    uint64_t until = node_now_ms () + ms;
    for (bool is = false; !is;) {
        Weir__PeerName ask = WEIR__PEER_NAME__INIT;
        struct weir_client_answer answer;
        struct weir_error e = { 0 };
        ask.has_peer = true;
        ask.peer = weir_field_str (net.nodes[k].name);
        if (node_call (&net.nodes[i], WEIR_KIND_PEER_LIST, &ask.base, weir_bytes (NULL, 0), 5000,
                       &answer, &e)
            != WEIR_OK) {
            node_die ("peer ls: %s", e.what);
        }
        const Weir__Peers *m = (const Weir__Peers *) answer.meta;
        is = m->n_items == 1 && m->items[0]->state.len == strlen (wanted)
             && memcmp (m->items[0]->state.data, wanted, strlen (wanted)) == 0;
        weir_client_answer_fini (&answer);
        if (!is && node_now_ms () > until) {
            node_die ("%s is not %s for %s", net.nodes[k].name, wanted, net.nodes[i].name);
        }
        node_pause_ms (is ? 0 : 10);
    }
}

static void
end (const char *what, uint64_t acknowledged)
{
    uint64_t took = net_wait_equal (&net, EQUAL_WITHIN_MS);
    printf ("%s: %llu acknowledged, all equal %llu ms after the links were whole\n", what,
            (unsigned long long) acknowledged, (unsigned long long) took);
    net_check (&net);
    net_close (&net);
    node_end ();
}

/* ---- cut off ---- */

/* A chain cut in the middle: packets vanish; both parts are written to and agree in themselves. */
static void
partition (void)
{
    struct proxy_rule gone = { .drop = { true, true } };
    net_open_behind (&net, NET_CHAIN, 4, env, seed (), QUEUE_BYTES);
    begin_all ();
    wait_written (20, 10000);
    net_rule (&net, 3, 12, &gone);
    wait_state (1, 2, "absent", 8000);
    wait_written (200, 20000);
    uint64_t acknowledged = end_all ();
    net_rule (&net, 3, 12, &fine);
    end ("partition", acknowledged);
}

/* What one says arrives, what the other says does not: first one way, then the other. */
static void
one_way (void)
{
    struct proxy_rule there = { .drop = { true, false } };
    struct proxy_rule back = { .drop = { false, true } };
    net_open_behind (&net, NET_CHAIN, 2, env, seed (), QUEUE_BYTES);
    begin_all ();
    wait_written (20, 10000);
    net_rule (&net, 1, 2, &there);
    wait_state (0, 1, "absent", 8000);
    wait_written (100, 10000);
    net_rule (&net, 1, 2, &fine);
    wait_state (0, 1, "connected", 8000);
    net_rule (&net, 1, 2, &back);
    wait_state (0, 1, "absent", 8000);
    wait_written (100, 10000);
    uint64_t acknowledged = end_all ();
    net_rule (&net, 1, 2, &fine);
    end ("one way", acknowledged);
}

/* Loss as TCP shows it when it gives up: connections end, about two a second a link. */
static void
resets (void)
{
    struct proxy_rule bad = { .reset_mean_ms = 500 };
    struct proxy_counts counts;
    uint64_t until = node_now_ms () + 20000;
    net_open_behind (&net, NET_CHAIN, 3, env, seed (), QUEUE_BYTES);
    begin_all ();
    net_rule (&net, 7, 7, &bad);
    do {
        node_pause_ms (20);
        proxy_counts (net.proxy, &counts);
    } while (counts.resets < 12 && node_now_ms () < until);
    uint64_t acknowledged = end_all ();
    net_rule (&net, 7, 7, &fine);
    if (counts.resets < 12) {
        node_die ("%llu connections were reset only", (unsigned long long) counts.resets);
    }
    end ("resets", acknowledged);
}

/* ---- slow links ---- */

/* One commit each of `count` values of a hundred random letters, in few requests. */
static void
fill (struct node *n, const char *db, size_t count)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-";
    struct weir_rand rand;
    weir_rand_init (&rand, 7);
    for (size_t i = 0; i < count;) {
        struct weir_buf body = { 0 };
        for (size_t k = 0; k < 500 && i < count; k++, i++) {
            char value[101];
            for (size_t c = 0; c < 100; c++) {
                value[c] = letters[weir_rand_below (&rand, 64)];
            }
            value[100] = '\0';
            weir_buf_printf (&body, "[{\"op\":\"add\",\"path\":\"/v/%06zu\",\"value\":\"%s\"}]\n",
                             i, value);
        }
        Weir__DocApply ask = WEIR__DOC_APPLY__INIT;
        struct weir_client_answer answer;
        struct weir_error e = { 0 };
        ask.has_db = true;
        ask.db = weir_field_str (db);
        if (node_call (n, WEIR_KIND_DOC_APPLY, &ask.base, weir_buf_bytes (&body), 30000, &answer,
                       &e)
            != WEIR_OK) {
            node_die ("doc apply: %s", e.what);
        }
        weir_client_answer_fini (&answer);
        weir_buf_fini (&body);
    }
}

/* From the commit's request on one node until the value is readable on the other. */
static uint64_t
live_ms (size_t i, uint32_t ms)
{
    uint64_t began = node_now_ms ();
    net_write_begin (&net, 0, 1);
    (void) net_write_end (&net, 0, false);
    for (;;) {
        Weir__DocPath ask = WEIR__DOC_PATH__INIT;
        struct weir_client_answer answer;
        struct weir_error e = { 0 };
        char path[64];
        snprintf (path, sizeof path, "/%s/%08zu", net.nodes[0].name, i);
        ask.has_db = ask.has_path = true;
        ask.db = weir_field_str (net.db);
        ask.path = weir_field_str (path);
        enum weir_status status = node_call (&net.nodes[1], WEIR_KIND_DOC_GET, &ask.base,
                                             weir_bytes (NULL, 0), 5000, &answer, &e);
        uint64_t took = node_now_ms () - began;
        if (status == WEIR_OK) {
            weir_client_answer_fini (&answer);
            return took;
        }
        if (status != WEIR_NOT_FOUND || took > ms) {
            node_die ("a value written live is not there after %llu ms: %s",
                      (unsigned long long) took, e.what);
        }
        node_pause_ms (5);
    }
}

/* A second database is cloned over the link while values are written live, one after the other. */
static void
live_during_clone (const char *what, const struct proxy_rule *rule, size_t entries,
                   uint32_t live_ms_max, uint32_t clone_ms_max)
{
    uint64_t held = 0;
    uint64_t want = 0;
    uint64_t worst = 0;
    uint64_t sum = 0;
    size_t i = 0;
    net_open_behind (&net, NET_CHAIN, 2, env, seed (), QUEUE_BYTES);
    node_create_db (&net.nodes[0], "bulk");
    fill (&net.nodes[0], "bulk", entries);
    net_rule (&net, 3, 3, rule);
    uint64_t alone = live_ms (i++, live_ms_max);
    node_join_begin (&net.nodes[0], &net.nodes[1], "bulk", WEIR_RIGHT_WRITE);
    uint64_t began = node_now_ms ();
    for (;;) {
        struct weir_id ours = node_digest (&net.nodes[0], "bulk", &want);
        struct weir_id theirs = node_digest (&net.nodes[1], "bulk", &held);
        if (weir_id_equal (&ours, &theirs)) {
            break;
        }
        if (node_now_ms () - began > clone_ms_max) {
            node_die ("the clone has %llu of %llu entries after %u ms", (unsigned long long) held,
                      (unsigned long long) want, clone_ms_max);
        }
        uint64_t took = live_ms (i++, live_ms_max);
        worst = took > worst ? took : worst;
        sum += took;
        node_pause_ms (LIVE_EVERY_MS);
    }
    printf ("%s: live %llu ms when alone, %llu ms during the clone (most %llu, of %zu); clone of "
            "%llu entries in %llu ms\n",
            what, (unsigned long long) alone, (unsigned long long) (i > 1 ? sum / (i - 1) : 0),
            (unsigned long long) worst, i - 1, (unsigned long long) held,
            (unsigned long long) (node_now_ms () - began));
    if (i < 4) {
        node_die ("the clone was over before anything was tried");
    }
    net_rule (&net, 3, 3, &fine);
    end (what, i);
}

static void
slow (void)
{
    struct proxy_rule rule = { .rate = 32000 };
    live_during_clone ("256 kbit/s", &rule, 2500, 3000, 60000);
}

static void
far (void)
{
    struct proxy_rule rule = { .delay_ms = { 150, 150 } };
    live_during_clone ("300 ms", &rule, 50000, 3000, 60000);
}

int
main (void)
{
    static const struct {
        const char *name;
        void (*run) (void);
    } tests[] = { { "partition", partition },
                  { "one-way", one_way },
                  { "resets", resets },
                  { "slow", slow },
                  { "far", far } };
    const char *only = getenv ("WEIR_LINKS");
    signal (SIGPIPE, SIG_IGN);
    setvbuf (stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
        if (only == NULL || strcmp (only, tests[i].name) == 0) {
            tests[i].run ();
        }
    }
    return 0;
}
