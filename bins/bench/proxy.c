/* A network on one machine; see proxy.h. A loop over all connections: what was read waits in its
 * direction's queue until its time has come. */

#include "bins/bench/proxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "store/base/rand.h"

#define CONNECTIONS_MAX 256u
#define READ_BYTES 4096u /* the grain of delay and rate */
#define LOOK_MS 5

struct chunk {
    struct chunk *next;
    uint64_t due_us;
    size_t len;
    size_t sent;
    uint8_t bytes[READ_BYTES];
};

/* One direction of a connection. */
struct way {
    struct chunk *first;
    struct chunk **last;
    size_t queued;
    uint64_t free_us; /* when the link has carried all that came so far */
    bool ended;       /* no more comes; told to the other side when the queue is empty */
    bool told;
};

struct connection {
    struct connection *next;
    int fds[2]; /* who connected, the target */
    size_t from;
    size_t to;
    struct way ways[2]; /* [i] is read from fds[i] and written to fds[!i] */
    uint64_t reset_us;  /* 0: not decided */
    bool lost_bytes;
    bool dead;
};

struct port {
    int fd;
    uint16_t target;
    size_t side;
    size_t queue_bytes;
};

struct proxy {
    pthread_t thread;
    pthread_mutex_t lock;
    proxy_whose *whose;
    void *context;
    bool stop;
    size_t n_ports;
    struct port ports[PROXY_SIDES_MAX];
    struct proxy_rule rules[PROXY_SIDES_MAX][PROXY_SIDES_MAX];
    struct connection *connections;
    size_t n_connections;
    struct weir_rand rand;
    struct proxy_counts counts;
};

static uint64_t
now_us (void)
{
    struct timespec t;
    clock_gettime (CLOCK_MONOTONIC, &t);
    return (uint64_t) t.tv_sec * 1000000u + (uint64_t) t.tv_nsec / 1000u;
}

/* ---- connections ---- */

static void
way_fini (struct way *w)
{
    while (w->first != NULL) {
        struct chunk *c = w->first;
        w->first = c->next;
        free (c);
    }
}

/* Both ends see a reset, as from a router that forgot them. */
static void
connection_reset (struct connection *c)
{
    struct linger hard = { .l_onoff = 1, .l_linger = 0 };
    for (size_t i = 0; i < 2; i++) {
        setsockopt (c->fds[i], SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    }
    c->dead = true;
}

static void
connections_sweep (struct proxy *p)
{
    struct connection **at = &p->connections;
    while (*at != NULL) {
        struct connection *c = *at;
        if (!c->dead) {
            at = &c->next;
            continue;
        }
        *at = c->next;
        close (c->fds[0]);
        close (c->fds[1]);
        way_fini (&c->ways[0]);
        way_fini (&c->ways[1]);
        free (c);
        p->n_connections--;
    }
}

/* Small ones, or the kernel's buffers are the queue. */
static void
set_buffer (int fd, size_t queue)
{
    int bytes = (int) (queue < 65536 ? queue : 65536);
    setsockopt (fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
}

static int
dial (uint16_t port, size_t queue)
{
    struct sockaddr_in a = { .sin_family = AF_INET,
                             .sin_port = htons (port),
                             .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
    int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    set_buffer (fd, queue);
    if (fd >= 0 && connect (fd, (struct sockaddr *) &a, sizeof a) != 0) {
        close (fd);
        fd = -1;
    }
    return fd;
}

static void
prepare (int fd)
{
    int on = 1;
    setsockopt (fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    fcntl (fd, F_SETFL, fcntl (fd, F_GETFL) | O_NONBLOCK);
}

static void
accept_one (struct proxy *p, const struct port *port)
{
    struct sockaddr_in a = { 0 };
    socklen_t len = sizeof a;
    int fd = accept4 (port->fd, (struct sockaddr *) &a, &len, SOCK_CLOEXEC);
    if (fd < 0) {
        return;
    }
    size_t from = p->whose != NULL ? p->whose (p->context, ntohs (a.sin_port)) : 0;
    int target = -1;
    if (from < PROXY_SIDES_MAX && p->n_connections < CONNECTIONS_MAX
        && !p->rules[from][port->side].cut) {
        target = dial (port->target, port->queue_bytes);
    }
    if (target < 0) {
        close (fd);
        return;
    }
    prepare (fd);
    prepare (target);
    struct connection *c = weir_alloc (sizeof *c);
    c->fds[0] = fd;
    c->fds[1] = target;
    c->from = from;
    c->to = port->side;
    for (size_t i = 0; i < 2; i++) {
        c->ways[i].last = &c->ways[i].first;
    }
    c->next = p->connections;
    p->connections = c;
    p->n_connections++;
    p->counts.connections++;
}

static size_t
queue_bytes (const struct proxy *p, const struct connection *c)
{
    for (size_t i = 0; i < p->n_ports; i++) {
        if (p->ports[i].side == c->to) {
            return p->ports[i].queue_bytes;
        }
    }
    return READ_BYTES;
}

/* What is on its way during the delay does not fill a queue. */
static bool
has_room (const struct proxy *p, const struct connection *c, size_t i)
{
    const struct proxy_rule *rule = &p->rules[c->from][c->to];
    size_t flying = (size_t) (rule->rate * rule->delay_ms[i] / 1000u);
    size_t room = queue_bytes (p, c) + (rule->rate > 0 ? flying : rule->delay_ms[i] * 10000u);
    return !c->ways[i].ended && c->ways[i].queued < room;
}

static void
read_way (struct proxy *p, struct connection *c, size_t i, uint64_t now)
{
    const struct proxy_rule *rule = &p->rules[c->from][c->to];
    struct way *w = &c->ways[i];
    struct chunk *chunk = weir_alloc (sizeof *chunk);
    ssize_t n = recv (c->fds[i], chunk->bytes, sizeof chunk->bytes, 0);
    if (n <= 0) {
        free (chunk);
        if (n == 0) {
            w->ended = true;
        } else if (errno != EAGAIN && errno != EINTR) {
            connection_reset (c);
        }
        return;
    }
    if (rule->drop[i]) {
        free (chunk);
        c->lost_bytes = true;
        p->counts.dropped += (uint64_t) n;
        return;
    }
    w->free_us = w->free_us > now ? w->free_us : now;
    w->free_us += rule->rate > 0 ? (uint64_t) n * 1000000u / rule->rate : 0;
    chunk->next = NULL;
    chunk->due_us = w->free_us + (uint64_t) rule->delay_ms[i] * 1000u;
    chunk->len = (size_t) n;
    chunk->sent = 0;
    *w->last = chunk;
    w->last = &chunk->next;
    w->queued += chunk->len;
    p->counts.bytes[i] += chunk->len;
}

static void
write_way (struct connection *c, size_t i, bool dropped, uint64_t now)
{
    struct way *w = &c->ways[i];
    while (!dropped && w->first != NULL && w->first->due_us <= now) {
        struct chunk *chunk = w->first;
        ssize_t n =
            send (c->fds[!i], chunk->bytes + chunk->sent, chunk->len - chunk->sent, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno != EAGAIN && errno != EINTR) {
                connection_reset (c);
            }
            return;
        }
        chunk->sent += (size_t) n;
        if (chunk->sent < chunk->len) {
            return;
        }
        w->queued -= chunk->len;
        w->first = chunk->next;
        w->last = w->first == NULL ? &w->first : w->last;
        free (chunk);
    }
    if (w->ended && w->first == NULL && !w->told) {
        w->told = true;
        shutdown (c->fds[!i], SHUT_WR);
        c->dead = c->dead || c->ways[!i].told;
    }
}

/* What the rules do to a connection whatever it carries. */
static void
apply_rule (struct proxy *p, struct connection *c, uint64_t now)
{
    const struct proxy_rule *rule = &p->rules[c->from][c->to];
    bool dropping = rule->drop[0] || rule->drop[1];
    if (rule->cut || (c->lost_bytes && !dropping)) {
        connection_reset (c);
    } else if (rule->reset_mean_ms == 0) {
        c->reset_us = 0;
    } else if (c->reset_us == 0) {
        c->reset_us = now + weir_rand_below (&p->rand, 2u * rule->reset_mean_ms + 1) * 1000u;
    } else if (now >= c->reset_us) {
        p->counts.resets++;
        connection_reset (c);
    }
}

/* ---- the loop ---- */

static int
wait_ms (const struct proxy *p, uint64_t now)
{
    uint64_t next = now + LOOK_MS * 1000u;
    for (const struct connection *c = p->connections; c != NULL; c = c->next) {
        for (size_t i = 0; i < 2; i++) {
            const struct chunk *chunk = c->ways[i].first;
            next = chunk != NULL && chunk->due_us < next ? chunk->due_us : next;
        }
    }
    return next > now ? (int) ((next - now + 999u) / 1000u) : 0;
}

static void
turn (struct proxy *p, struct pollfd *items, size_t n)
{
    uint64_t now = now_us ();
    size_t at = p->n_ports;
    for (struct connection *c = p->connections; c != NULL; c = c->next) {
        apply_rule (p, c, now);
        for (size_t i = 0; i < 2 && !c->dead; i++) {
            if (at + i < n && (items[at + i].revents & (POLLIN | POLLHUP | POLLERR)) != 0
                && has_room (p, c, i)) {
                read_way (p, c, i, now);
            }
        }
        at += 2;
    }
    for (struct connection *c = p->connections; c != NULL; c = c->next) {
        for (size_t i = 0; i < 2 && !c->dead; i++) {
            write_way (c, i, p->rules[c->from][c->to].drop[i], now);
        }
    }
    for (size_t i = 0; i < p->n_ports && i < n; i++) {
        if ((items[i].revents & POLLIN) != 0) {
            accept_one (p, &p->ports[i]);
        }
    }
    connections_sweep (p);
}

static void *
loop (void *argument)
{
    struct proxy *p = argument;
    static _Thread_local struct pollfd items[PROXY_SIDES_MAX + 2 * CONNECTIONS_MAX];
    pthread_mutex_lock (&p->lock);
    while (!p->stop) {
        size_t n = 0;
        for (size_t i = 0; i < p->n_ports; i++) {
            items[n++] = (struct pollfd){ .fd = p->ports[i].fd, .events = POLLIN };
        }
        for (const struct connection *c = p->connections; c != NULL; c = c->next) {
            for (size_t i = 0; i < 2; i++) {
                bool reads = has_room (p, c, i);
                items[n++] = (struct pollfd){ .fd = reads ? c->fds[i] : -1, .events = POLLIN };
            }
        }
        int ms = wait_ms (p, now_us ());
        pthread_mutex_unlock (&p->lock);
        poll (items, (nfds_t) n, ms);
        pthread_mutex_lock (&p->lock);
        turn (p, items, n);
    }
    pthread_mutex_unlock (&p->lock);
    return NULL;
}

/* ---- from outside ---- */

struct proxy *
proxy_new (uint64_t seed, proxy_whose *whose, void *context)
{
    struct proxy *p = weir_alloc (sizeof *p);
    p->whose = whose;
    p->context = context;
    weir_rand_init (&p->rand, seed);
    pthread_mutex_init (&p->lock, NULL);
    if (pthread_create (&p->thread, NULL, loop, p) != 0) {
        pthread_mutex_destroy (&p->lock);
        free (p);
        return NULL;
    }
    return p;
}

void
proxy_destroy (struct proxy **self_p)
{
    struct proxy *p = *self_p;
    if (p == NULL) {
        return;
    }
    pthread_mutex_lock (&p->lock);
    p->stop = true;
    pthread_mutex_unlock (&p->lock);
    pthread_join (p->thread, NULL);
    for (struct connection *c = p->connections; c != NULL; c = c->next) {
        c->dead = true;
    }
    connections_sweep (p);
    for (size_t i = 0; i < p->n_ports; i++) {
        close (p->ports[i].fd);
    }
    pthread_mutex_destroy (&p->lock);
    free (p);
    *self_p = NULL;
}

uint16_t
proxy_port (struct proxy *self, size_t side, uint16_t target, size_t queue)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
    socklen_t len = sizeof a;
    uint16_t port = 0;
    int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || side >= PROXY_SIDES_MAX) {
        goto done;
    }
    set_buffer (fd, queue);
    if (bind (fd, (struct sockaddr *) &a, sizeof a) != 0 || listen (fd, 64) != 0
        || getsockname (fd, (struct sockaddr *) &a, &len) != 0) {
        goto done;
    }
    pthread_mutex_lock (&self->lock);
    if (self->n_ports < PROXY_SIDES_MAX) {
        self->ports[self->n_ports++] = (struct port){ fd, target, side, queue };
        port = ntohs (a.sin_port);
        fd = -1;
    }
    pthread_mutex_unlock (&self->lock);
done:
    if (fd >= 0) {
        close (fd);
    }
    return port;
}

void
proxy_set (struct proxy *self, size_t from, size_t to, const struct proxy_rule *rule)
{
    pthread_mutex_lock (&self->lock);
    if (from < PROXY_SIDES_MAX && to < PROXY_SIDES_MAX) {
        self->rules[from][to] = *rule;
    }
    pthread_mutex_unlock (&self->lock);
}

void
proxy_counts (struct proxy *self, struct proxy_counts *out)
{
    pthread_mutex_lock (&self->lock);
    *out = self->counts;
    pthread_mutex_unlock (&self->lock);
}
