/* How long two nodes that both wrote while every packet between them was dropped need to be equal
 * once packets pass again. In a network namespace of its own with nftables where that is allowed;
 * else a proxy swallows what is sent. */

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bins/bench/bench.h"
#include "bins/bench/proxy.h"

#define QUEUE_BYTES 65536u
#define WRITES 100u
#define PATIENCE_MS 60000u

extern char **environ;

struct wire {
    uint16_t port;       /* where the dialled node listens */
    struct proxy *proxy; /* NULL: packets are dropped by nftables */
};

/* ---- nftables ---- */

static bool
nft (const char *commands)
{
    char *argv[] = { "nft", (char *) (uintptr_t) commands, NULL };
    posix_spawn_file_actions_t actions;
    pid_t pid;
    int status = 1;
    posix_spawn_file_actions_init (&actions);
    posix_spawn_file_actions_addopen (&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    bool spawned = posix_spawnp (&pid, "nft", &actions, NULL, argv, environ) == 0;
    posix_spawn_file_actions_destroy (&actions);
    return spawned && waitpid (pid, &status, 0) == pid && status == 0;
}

/* A namespace of our own, whose rules touch nobody else. */
static bool
own_network (void)
{
    struct ifreq lo = { .ifr_name = "lo" };
    if (unshare (CLONE_NEWNET) != 0) {
        return false;
    }
    int fd = socket (AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool up = fd >= 0 && ioctl (fd, SIOCGIFFLAGS, &lo) == 0;
    lo.ifr_flags = (short) (lo.ifr_flags | IFF_UP);
    up = up && ioctl (fd, SIOCSIFFLAGS, &lo) == 0;
    if (fd >= 0) {
        close (fd);
    }
    if (!up) {
        bench_die ("a network namespace without loopback: %s", strerror (errno));
    }
    return nft ("add table inet weir; add chain inet weir in "
                "{ type filter hook input priority 0; }");
}

static void
drop (struct wire *w, bool on)
{
    struct proxy_rule gone = { .drop = { on, on } };
    char rules[200];
    snprintf (
        rules, sizeof rules,
        on ? "add rule inet weir in tcp dport %u drop; add rule inet weir in tcp sport %u drop"
           : "flush chain inet weir in",
        (unsigned) w->port, (unsigned) w->port);
    if (w->proxy != NULL) {
        proxy_set (w->proxy, 0, 0, &gone);
    } else if (!nft (rules)) {
        bench_die ("nft refused: %s", rules);
    }
}

/* ---- the bench ---- */

static uint16_t
free_port (void)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
    socklen_t len = sizeof a;
    int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind (fd, (struct sockaddr *) &a, sizeof a) != 0
        || getsockname (fd, (struct sockaddr *) &a, &len) != 0) {
        bench_die ("no free port: %s", strerror (errno));
    }
    close (fd);
    return ntohs (a.sin_port);
}

static void
advertise (const struct bench_node *n, uint16_t port)
{
    char path[512];
    snprintf (path, sizeof path, "%s/weir.conf", n->data);
    FILE *f = fopen (path, "ae");
    if (f == NULL || fprintf (f, "advertise = \"tcp://127.0.0.1:%u\"\n", (unsigned) port) < 0
        || fclose (f) != 0) {
        bench_die ("cannot write %s: %s", path, strerror (errno));
    }
}

static void
wait_both (struct bench_node n[2], const char *db, uint64_t entries, uint32_t ms)
{
    for (size_t i = 0; i < 2; i++) {
        bench_wait_entries (&n[i], db, entries, ms);
    }
    for (size_t i = 0; i < 2; i++) {
        bench_wait_synced (&n[i], db, ms);
    }
}

void
bench_outage (struct bench *b)
{
    struct wire w = { .port = free_port () };
    struct bench_node n[2];
    char db[WEIR_ID_TEXT + 1];
    char listen[64];
    uint64_t seconds = b->seconds > 0 ? b->seconds : 60;
    bool dropped = own_network ();
    snprintf (listen, sizeof listen, "tcp://127.0.0.1:%u", (unsigned) w.port);
    bench_node_init (b, &n[0], "hub", "hub", listen);
    bench_node_init (b, &n[1], "leaf", "leaf", NULL);
    if (!dropped) {
        w.proxy = proxy_new (1, NULL, NULL);
        uint16_t port = w.proxy != NULL ? proxy_port (w.proxy, 0, w.port, QUEUE_BYTES) : 0;
        if (port == 0) {
            bench_die ("no proxy: %s", strerror (errno));
        }
        advertise (&n[0], port);
    }
    bench_node_start (b, &n[0]);
    bench_node_start (b, &n[1]);
    bench_create_db (&n[0], "bench", db);
    bench_join (&n[0], &n[1], db);
    bench_wait_synced (&n[0], db, PATIENCE_MS);
    uint64_t want = bench_entries (&n[0], db);
    wait_both (n, db, want, PATIENCE_MS);
    drop (&w, true);
    uint64_t until = bench_now_us () + seconds * 1000000u;
    for (size_t i = 0; i < 2; i++) {
        (void) bench_apply (&n[i], db, i * WRITES, WRITES, b->payload);
    }
    want += 2u * WRITES;
    while (bench_now_us () < until) {
        bench_pause_us (10000);
    }
    if (bench_entries (&n[1], db) >= want) {
        bench_die ("entries passed while packets were dropped");
    }
    uint64_t began = bench_now_us ();
    drop (&w, false);
    wait_both (n, db, want, PATIENCE_MS);
    double recovery = (double) (bench_now_us () - began) / 1e6;
    bench_node_stop (&n[1]);
    bench_node_stop (&n[0]);
    proxy_destroy (&w.proxy);
    bench_print (b, json_pack ("{s:I, s:s, s:I, s:f}", "seconds", (json_int_t) seconds,
                               "dropped_by", dropped ? "nftables" : "proxy", "entries",
                               (json_int_t) (2u * WRITES), "recovery_s", recovery));
}
