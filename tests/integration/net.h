#ifndef WEIR_TESTS_INTEGRATION_NET_H
#define WEIR_TESTS_INTEGRATION_NET_H

/* Networks of whole nodes on this machine: who is connected to whom, all writing at once, and
 * what is counted then: by the nodes' own counters and by taps on all of them. As with node.h,
 * whatever does not come within its time ends the test with a sentence. */

#include <pthread.h>
#include <stdatomic.h>

#include "bins/bench/proxy.h"
#include "tests/integration/node.h"

#define NET_NODES_MAX 24u

enum net_shape { NET_CHAIN, NET_RING, NET_HUB, NET_MESH };

/* Writes numbered values below /<node>/, the next when the last is acknowledged as durable; a
 * request that is not answered is sent again with the same number. */
struct net_writer {
    struct net *net;
    size_t node;
    uint64_t count; /* 0: until told to stop */
    uint8_t client[16];
    atomic_bool stop;
    atomic_uint_fast64_t acknowledged;
    pthread_t thread;
};

struct net {
    const char *db;
    const char *const *env;
    size_t n;
    size_t n_edges;
    struct node nodes[NET_NODES_MAX];
    struct weir_id devices[NET_NODES_MAX];
    struct net_writer writers[NET_NODES_MAX];
    struct proxy *proxy; /* NULL: they reach each other directly */
};

/* Nodes that run, hold one database, and are in step. A hub's others are leaves that only dial;
 * everywhere else all nodes forward and listen. */
void net_open (struct net *net, enum net_shape shape, size_t n, const char *const *env);
/* The same, with a proxy before each that listens: rules are by number of node. */
void net_open_behind (struct net *net, enum net_shape shape, size_t n, const char *const *env,
                      uint64_t seed, size_t queue_bytes);
/* The same rule both ways between two sets of nodes (bits by number). */
void net_rule (struct net *net, uint32_t some, uint32_t others, const struct proxy_rule *rule);
/* Ordered stop of all: each ends with 0. */
void net_close (struct net *net);
/* Relates two members that know of each other; from dials to. */
void net_relate (struct net *net, size_t from, size_t to);

void net_write_begin (struct net *net, size_t node, uint64_t count);
/* Waits for it (`stop`: tells it to stop first); what was acknowledged in all. */
uint64_t net_write_end (struct net *net, size_t node, bool stop);
/* All nodes write `count` values each, at once. */
void net_write_all (struct net *net, uint64_t count);

/* Until all nodes hold the same entries, and say of all pairs that they are in step. Returns the
 * milliseconds that took. */
uint64_t net_wait_equal (struct net *net, uint32_t ms);
/* Same heads, same document, every acknowledged value of every writer in it, and one data entry
 * for each: nothing lost, nothing doubled. */
void net_check (struct net *net);

/* Bodies that were sent from one node to another and acknowledged, counted by the sender. */
struct net_counts {
    uint64_t sent[NET_NODES_MAX][NET_NODES_MAX];
    uint64_t entries;            /* held by all; call it when they are equal */
    uint64_t own[NET_NODES_MAX]; /* of these, by their author: values, settings, joined heads */
    uint64_t messages;           /* all that were sent between nodes */
    uint64_t bytes;
};
void net_count (struct net *net, struct net_counts *out);
/* Bodies per entry and node between two counts: of all nodes, and of the one that got most. An
 * entry has to reach every node but its author. */
double net_bodies (const struct net *net, const struct net_counts *from,
                   const struct net_counts *to, double *worst);

/* What was sent between nodes in so many seconds, by a tap on each: messages by their kind. */
struct net_wire {
    uint64_t total;
    uint64_t kinds[1024];
    uint64_t missed;
};
void net_tap (struct net *net, uint32_t seconds, struct net_wire *out);

/* ---- net_proxy.c, for net.c ---- */

/* Which node's process has this port of loopback; NET_NODES_MAX: none. */
proxy_whose net_whose;
/* Before its start: what the node tells others to dial is a port of the proxy. */
void net_behind_proxy (struct net *net, size_t i, size_t queue_bytes);

#endif
