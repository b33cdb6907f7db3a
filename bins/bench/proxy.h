#ifndef WEIR_BINS_BENCH_PROXY_H
#define WEIR_BINS_BENCH_PROXY_H

/* A network between nodes of one machine: TCP connections that are delayed, throttled, cut, reset
 * or swallowed on the way, by rules that change while it runs. One thread of its own; the same
 * seed loses at the same moments. For benches and tests; it knows nothing of what it carries.
 *
 * A port of the proxy leads to a port of loopback. Who connects is told by a function (NULL: all
 * are 0), so that one address can be near for one node and far for another. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROXY_SIDES_MAX 32u

struct proxy;

/* On the way from who connects to the port: [0] there, [1] back. */
struct proxy_rule {
    bool cut;               /* connections end, new ones are closed at once */
    bool drop[2];           /* bytes vanish; who lost some is reset when the rule ends */
    uint32_t delay_ms[2];   /* one way */
    uint64_t rate;          /* bytes a second, each way; 0: as they come */
    uint32_t reset_mean_ms; /* connections are reset, so often on average; 0: never */
};

typedef size_t proxy_whose (void *context, uint16_t source_port);

struct proxy *proxy_new (uint64_t seed, proxy_whose *whose, void *context);
/* Ends its thread and all connections. */
void proxy_destroy (struct proxy **self_p);
/* A new port that leads to `target`; 0 when there is none to be had. `queue_bytes` bounds what
 * waits inside the proxy in one direction of a connection, as a router's queue does. */
uint16_t proxy_port (struct proxy *self, size_t side, uint16_t target, size_t queue_bytes);
/* For connections of `from` to the port of `to`. */
void proxy_set (struct proxy *self, size_t from, size_t to, const struct proxy_rule *rule);
struct proxy_counts {
    uint64_t connections;
    uint64_t resets;
    uint64_t bytes[2];
    uint64_t dropped;
};
void proxy_counts (struct proxy *self, struct proxy_counts *out);

#endif
