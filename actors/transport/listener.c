/* The server's side: one ROUTER with CURVE. A link is known by the routing id our ROUTER gave it;
 * ids that a client chose are refused, and every part of every message must come from the key
 * that the link began with (page 7). Connections are watched by the socket's monitor and cut by
 * their fd. */

#include "actors/transport/state.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define MONITOR_ENDPOINT "inproc://listener-%u"
#define BIND_AGAIN_MS 50u
#define BIND_PATIENCE_MS 5000u
#define ZAP_ENFORCE_DOMAIN 93 /* a draft option's number: Debian's library has it, not its header */
#define STATE_ROW "transports/"

static void
set_int (void *socket, int option, int value)
{
    int rc = zmq_setsockopt (socket, option, &value, sizeof value);
    weir_assert (rc == 0);
}

void
listener_set_common (void *socket)
{
    int64_t bytes_max = WEIR_WIRE_MESSAGE_BYTES_MAX;
    set_int (socket, ZMQ_LINGER, 0);
    set_int (socket, ZMQ_SNDHWM, (int) WEIR_MAILBOX_MESSAGES_MAX);
    set_int (socket, ZMQ_RCVHWM, (int) WEIR_MAILBOX_MESSAGES_MAX);
    set_int (socket, ZMQ_HEARTBEAT_IVL, (int) WEIR_HEARTBEAT_MS);
    set_int (socket, ZMQ_HEARTBEAT_TIMEOUT, (int) WEIR_HEARTBEAT_TIMEOUT_MS);
    set_int (socket, ZMQ_HEARTBEAT_TTL, (int) WEIR_HEARTBEAT_TIMEOUT_MS);
    set_int (socket, ZMQ_HANDSHAKE_IVL, (int) WEIR_HANDSHAKE_MS);
    int rc = zmq_setsockopt (socket, ZMQ_MAXMSGSIZE, &bytes_max, sizeof bytes_max);
    weir_assert (rc == 0);
}

/* An IPv4 address stays one: told to others as [::ffff:...], fewer could dial it. */
void
listener_set_family (void *socket, const char *address)
{
    const char *host = strstr (address, "://");
    host = host != NULL ? host + 3 : address;
    bool four = strspn (host, "0123456789.*:") == strlen (host);
    set_int (socket, ZMQ_IPV6, four ? 0 : 1);
}

/* ---- connections ---- */

static bool
peer_name (int fd, char *out, size_t size)
{
    struct sockaddr_storage a;
    socklen_t len = sizeof a;
    char host[INET6_ADDRSTRLEN] = "";
    if (fd < 0 || getpeername (fd, (struct sockaddr *) &a, &len) != 0) {
        return false;
    }
    if (a.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *) &a;
        inet_ntop (AF_INET, &in->sin_addr, host, sizeof host);
        snprintf (out, size, "tcp://%s:%u", host, ntohs (in->sin_port));
        return true;
    }
    if (a.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *) &a;
        inet_ntop (AF_INET6, &in->sin6_addr, host, sizeof host);
        snprintf (out, size, "tcp://[%s]:%u", host, ntohs (in->sin6_port));
        return true;
    }
    return false;
}

/* The fd is libzmq's and may be another connection's by now: only one that still leads to where
 * the link came from is shut. */
void
listener_cut (struct link *l)
{
    char address[WEIR_ADDRESS_BYTES_MAX + 1];
    if (!l->gone && peer_name (l->fd, address, sizeof address)
        && strcmp (address, l->address) == 0) {
        (void) shutdown (l->fd, SHUT_RDWR);
    }
}

static void
monitored (void *state, struct weir_actor *actor, void *context)
{
    struct transport *t = state;
    uint16_t event = 0;
    int value = 0;
    (void) actor;
    (void) context;
    while (link_event (t->listener_monitor, &event, &value)) {
        if (event != ZMQ_EVENT_DISCONNECTED) {
            continue;
        }
        for (struct link *l = t->links; l != NULL; l = l->next) {
            if (!l->free && l->dealer == NULL && l->fd == value) {
                l->gone = true; /* the newest with that fd comes first in the list */
                t->some_gone = true;
                break;
            }
        }
    }
}

/* Nothing of theirs is left to read. */
static void
bury (struct transport *t)
{
    if (!t->some_gone) {
        return;
    }
    t->some_gone = false;
    for (struct link *l = t->links; l != NULL; l = l->next) {
        if (l->gone && !l->free) {
            link_gone (l, WEIR_NOT_REACHABLE_OR_NOT_ADMITTED, "the connection ended");
        }
    }
}

/* ---- messages ---- */

/* Who sent this, by the key that ZAP admitted; false when a part says otherwise. */
static bool
part_key (zmq_msg_t *part, struct weir_id *key)
{
    const char *user = zmq_msg_gets (part, "User-Id");
    return user != NULL && weir_id_parse (key, user) == WEIR_OK;
}

static bool
same_key (zmq_msg_t *parts, int n, struct weir_id *key)
{
    if (!part_key (&parts[1], key)) {
        return false;
    }
    for (int i = 2; i < n; i++) {
        struct weir_id other;
        if (!part_key (&parts[i], &other) || !weir_id_equal (key, &other)) {
            return false;
        }
    }
    return true;
}

static struct link *
link_named (struct transport *t, zmq_msg_t *parts, const struct weir_id *key)
{
    struct weir_bytes id = weir_bytes (zmq_msg_data (&parts[0]), zmq_msg_size (&parts[0]));
    struct link *l = weir_map_get (t->by_routing_id, id);
    if (l != NULL || t->n_links >= WEIR_LINKS_MAX || !t->peers_up || !zap_admits (&t->zap, key)) {
        return l;
    }
    uint64_t number;
    do {
        number = weir_rand_u64 (weir_actor_rand (t->actor)) | TRANSPORT_LINK_OURS;
    } while (link_find (t, number) != NULL);
    l = link_new (t, number);
    memcpy (l->routing_id, id.data, sizeof l->routing_id);
    (void) weir_map_put (t->by_routing_id, id, l);
    l->our_key = t->leased[t->active].public_key;
    l->their_key = *key;
    l->fd = zmq_msg_get (&parts[1], ZMQ_SRCFD);
    if (!peer_name (l->fd, l->address, sizeof l->address)) {
        snprintf (l->address, sizeof l->address, "unknown");
    }
    link_up (l, false);
    return l;
}

/* Cuts a connection that is no link and shall be none. */
static void
cut_stranger (zmq_msg_t *part)
{
    int fd = zmq_msg_get (part, ZMQ_SRCFD);
    char address[WEIR_ADDRESS_BYTES_MAX + 1];
    if (peer_name (fd, address, sizeof address)) {
        (void) shutdown (fd, SHUT_RDWR);
    }
}

static void
take (struct transport *t, zmq_msg_t *parts, int n)
{
    struct weir_id key = { { 0 } };
    const uint8_t *id = zmq_msg_data (&parts[0]);
    bool ours = zmq_msg_size (&parts[0]) == TRANSPORT_ROUTING_ID_BYTES && id[0] == 0;
    if (n < 2) {
        t->bad++;
        return;
    }
    if (!ours || !same_key (parts, n, &key)) {
        t->bad++;
        weir_actor_log (t->actor, WEIR_LOG_WARN, "bad_routing_id", "bad=%llu",
                        (unsigned long long) t->bad);
        cut_stranger (&parts[1]);
        return;
    }
    struct link *l = link_named (t, parts, &key);
    if (l == NULL) {
        t->dropped++;
        cut_stranger (&parts[1]);
    } else if (l->closing || l->free) {
        return;
    } else if (!weir_id_equal (&l->their_key, &key)) {
        t->bad++;
        link_close (l, WEIR_BAD_MESSAGE, "another key spoke on this link", false);
    } else if (n != 4) {
        t->bad++;
        link_close (l, WEIR_BAD_MESSAGE, "not a message of three parts", false);
    } else {
        link_take (l, &parts[1]);
    }
}

static void
readable (void *state, struct weir_actor *actor, void *context)
{
    struct transport *t = state;
    (void) context;
    if (t->listener == NULL) {
        return;
    }
    monitored (t, actor, NULL); /* an fd is known to be gone before it is somebody else's */
    for (unsigned i = 0; i < WEIR_DRAIN_PER_TURN; i++) {
        zmq_msg_t parts[TRANSPORT_PARTS];
        int n = link_receive (t->listener, parts, TRANSPORT_PARTS);
        if (n == 0) {
            bury (t);
            return;
        }
        take (t, parts, n);
        link_parts_close (parts, n);
    }
}

static void
monitor_readable (void *state, struct weir_actor *actor, void *context)
{
    monitored (state, actor, context);
    readable (state, actor, context);
}

/* ---- binding ---- */

static void
remembered (void *state, struct weir_actor *actor, void *context, enum weir_status status,
            const struct weir_error *problem, const struct weir_message *answer)
{
    (void) state;
    (void) context;
    (void) problem;
    (void) answer;
    if (status != WEIR_OK) {
        weir_actor_log (actor, WEIR_LOG_WARN, "port_not_kept", "code=%s",
                        weir_status_code (status));
    }
}

static void
remember_endpoint (struct transport *t)
{
    char key[128];
    Weir__StateRow row = WEIR__STATE_ROW__INIT;
    Weir__StateRow *rows[1] = { &row };
    Weir__StateRows m = WEIR__STATE_ROWS__INIT;
    snprintf (key, sizeof key, STATE_ROW "%s", weir_actor_name (t->actor));
    row.has_key = row.has_value = true;
    row.key = weir_field_str (key);
    row.value = weir_field_str (t->endpoint);
    m.rows = rows;
    m.n_rows = 1;
    (void) weir_actor_ask (t->actor, WEIR_KIND_STATE_PUT, NULL, &m.base, weir_bytes (NULL, 0),
                           WEIR_HANDSHAKE_MS, remembered, NULL);
}

static bool
picks_port (const char *listen)
{
    const char *colon = strrchr (listen, ':');
    return colon != NULL && (strcmp (colon, ":0") == 0 || strcmp (colon, ":*") == 0);
}

/* A picked port stays: other nodes know it from our card. */
static bool
keeps_endpoint (const struct transport *t, const char *listen)
{
    const char *colon = strrchr (t->endpoint, ':');
    size_t host = colon != NULL ? (size_t) (colon - t->endpoint) : 0;
    return host > 0 && picks_port (listen)
           && (strncmp (listen, "tcp://*", 7) == 0
               || (strncmp (t->endpoint, listen, host) == 0 && listen[host] == ':'));
}

static void *
new_listener (struct transport *t)
{
    static unsigned number;
    void *zmq = weir_actor_zmq (t->actor);
    const struct weir_link_key *key = &t->leased[t->active];
    char name[64];
    void *s = zmq_socket (zmq, ZMQ_ROUTER);
    weir_assert (s != NULL);
    listener_set_common (s);
    set_int (s, ZMQ_ROUTER_MANDATORY, 1);
    set_int (s, ZMQ_CURVE_SERVER, 1);
    set_int (s, ZAP_ENFORCE_DOMAIN, 1);
    int rc = zmq_setsockopt (s, ZMQ_ZAP_DOMAIN, "weir", 4);
    weir_assert (rc == 0);
    rc = zmq_setsockopt (s, ZMQ_CURVE_SECRETKEY, key->secret, sizeof key->secret);
    weir_assert (rc == 0);
    snprintf (name, sizeof name, MONITOR_ENDPOINT, number++);
    rc = zmq_socket_monitor (s, name, ZMQ_EVENT_DISCONNECTED);
    weir_assert (rc == 0);
    t->listener_monitor = zmq_socket (zmq, ZMQ_PAIR);
    weir_assert (t->listener_monitor != NULL);
    set_int (t->listener_monitor, ZMQ_LINGER, 0);
    rc = zmq_connect (t->listener_monitor, name);
    weir_assert (rc == 0);
    return s;
}

static void
close_listener (struct transport *t)
{
    if (t->listener_monitor != NULL) {
        weir_actor_watch_socket (t->actor, t->listener_monitor, NULL, NULL);
        (void) zmq_socket_monitor (t->listener, NULL, 0);
        zmq_close (t->listener_monitor);
        t->listener_monitor = NULL;
    }
    if (t->listener != NULL) {
        weir_actor_watch_socket (t->actor, t->listener, NULL, NULL);
        zmq_close (t->listener);
        t->listener = NULL;
    }
}

static void
bind_again (void *state, struct weir_actor *actor, void *context)
{
    struct transport *t = state;
    (void) actor;
    (void) context;
    t->bind_timer = 0;
    listener_start (t);
}

/* The port was ours a moment ago, or belongs to somebody else: that shows after a while. */
static void
bind_failed (struct transport *t, const char *listen, int why)
{
    struct weir_error e = { 0 };
    uint64_t now = weir_actor_now_ms (t->actor);
    bool patient = now - t->bind_since_ms < BIND_PATIENCE_MS;
    if (why == EADDRINUSE && weir_actor_settings (t->actor)->transports > 1) {
        weir_actor_log (t->actor, WEIR_LOG_INFO, "listen_skipped", "address=%s why=\"in use\"",
                        listen);
        listener_tell_ready (t); /* another transport of this node has it: this one dials */
        return;
    }
    if (why == EADDRINUSE && !patient && keeps_endpoint (t, listen)) {
        t->endpoint[0] = '\0'; /* somebody took it: pick another */
        patient = true;
    }
    if (why == EADDRINUSE && patient) {
        t->bind_timer = weir_actor_timer (t->actor, now + BIND_AGAIN_MS, bind_again, NULL);
        return;
    }
    weir_error_set (&e, WEIR_BAD_CONFIG, "listen = tcp://HOST:PORT, with a free port, or port 0",
                    "cannot listen on %s: %s", listen, zmq_strerror (why));
    weir_actor_exit (t->actor, WEIR_BAD_CONFIG, &e);
}

void
listener_start (struct transport *t)
{
    const char *listen = weir_actor_settings (t->actor)->listen;
    if (listen[0] == '\0' || t->stopped || t->n_leased == 0) {
        listener_tell_ready (t);
        return;
    }
    if (t->listener != NULL || t->bind_timer != 0) {
        return;
    }
    t->bind_since_ms = t->bind_since_ms != 0 ? t->bind_since_ms : weir_actor_now_ms (t->actor);
    void *s = new_listener (t);
    t->listener = s;
    listener_set_family (s, listen);
    if (zmq_bind (s, keeps_endpoint (t, listen) ? t->endpoint : listen) != 0) {
        int why = zmq_errno ();
        close_listener (t);
        bind_failed (t, listen, why);
        return;
    }
    char endpoint[sizeof t->endpoint] = "";
    size_t size = sizeof endpoint;
    (void) zmq_getsockopt (s, ZMQ_LAST_ENDPOINT, endpoint, &size);
    bool changed = strcmp (endpoint, t->endpoint) != 0;
    memcpy (t->endpoint, endpoint, sizeof endpoint);
    if (changed && picks_port (listen)) {
        remember_endpoint (t);
    }
    t->bind_since_ms = 0;
    weir_actor_watch_socket (t->actor, t->listener_monitor, monitor_readable, NULL);
    weir_actor_watch_socket (t->actor, t->listener, readable, NULL);
    weir_actor_log (t->actor, WEIR_LOG_INFO, "listening", "address=%s", t->endpoint);
    listener_tell_ready (t);
}

void
listener_stop (struct transport *t)
{
    weir_actor_timer_cancel (t->actor, t->bind_timer);
    t->bind_timer = 0;
    t->bind_since_ms = 0;
    for (struct link *l = t->links; l != NULL; l = l->next) {
        if (l->dealer == NULL && !l->free) {
            link_gone (l, WEIR_UNAVAILABLE, "the listener was closed");
        }
    }
    close_listener (t);
}

/* ---- what others are told ---- */

/* What a wildcard stands for: the host's own addresses, loopback only when there is nothing
 * else. */
static size_t
host_addresses (char out[][WEIR_ADDRESS_BYTES_MAX + 1], size_t max, const char *port, bool six)
{
    struct ifaddrs *all = NULL;
    size_t n = 0;
    if (getifaddrs (&all) != 0) {
        all = NULL;
    }
    for (struct ifaddrs *i = all; i != NULL && n < max; i = i->ifa_next) {
        char host[INET6_ADDRSTRLEN] = "";
        if (i->ifa_addr == NULL || (i->ifa_flags & IFF_UP) == 0
            || (i->ifa_flags & IFF_LOOPBACK) != 0) {
            continue;
        }
        if (i->ifa_addr->sa_family == AF_INET) {
            const struct sockaddr_in *in = (const struct sockaddr_in *) i->ifa_addr;
            inet_ntop (AF_INET, &in->sin_addr, host, sizeof host);
            snprintf (out[n++], WEIR_ADDRESS_BYTES_MAX + 1, "tcp://%s:%s", host, port);
        } else if (six && i->ifa_addr->sa_family == AF_INET6) {
            const struct sockaddr_in6 *in = (const struct sockaddr_in6 *) i->ifa_addr;
            if (!IN6_IS_ADDR_LINKLOCAL (&in->sin6_addr)) {
                inet_ntop (AF_INET6, &in->sin6_addr, host, sizeof host);
                snprintf (out[n++], WEIR_ADDRESS_BYTES_MAX + 1, "tcp://[%s]:%s", host, port);
            }
        }
    }
    if (all != NULL) {
        freeifaddrs (all);
    }
    if (n == 0) {
        snprintf (out[n++], WEIR_ADDRESS_BYTES_MAX + 1, "tcp://127.0.0.1:%s", port);
    }
    return n;
}

static size_t
own_addresses (const struct transport *t, char out[][WEIR_ADDRESS_BYTES_MAX + 1], size_t max)
{
    const char *advertise = weir_actor_settings (t->actor)->advertise;
    if (t->listener == NULL) {
        return 0;
    }
    if (advertise[0] != '\0') {
        snprintf (out[0], WEIR_ADDRESS_BYTES_MAX + 1, "%.*s", (int) WEIR_ADDRESS_BYTES_MAX,
                  advertise);
        return 1;
    }
    const char *port = strrchr (t->endpoint, ':') + 1;
    bool four = strncmp (t->endpoint, "tcp://0.0.0.0:", 14) == 0;
    bool six = strncmp (t->endpoint, "tcp://[::]:", 11) == 0;
    if (four || six) {
        return host_addresses (out, max, port, six);
    }
    snprintf (out[0], WEIR_ADDRESS_BYTES_MAX + 1, "%s", t->endpoint);
    return 1;
}

void
listener_tell_ready (struct transport *t)
{
    char addresses[WEIR_CARD_ADDRESSES_MAX][WEIR_ADDRESS_BYTES_MAX + 1];
    ProtobufCBinaryData fields[WEIR_CARD_ADDRESSES_MAX];
    if (!t->ready) {
        t->ready = true;
        weir_actor_ready (t->actor);
    }
    if (!t->peers_up) {
        return;
    }
    Weir__TransportReady m = WEIR__TRANSPORT_READY__INIT;
    m.has_name = m.has_kind = m.has_stopped = true;
    m.stopped = t->stopped;
    m.name = weir_field_str (weir_actor_name (t->actor));
    m.kind = weir_field_str ("curve");
    m.addresses = fields;
    m.n_addresses = own_addresses (t, addresses, WEIR_CARD_ADDRESSES_MAX);
    for (size_t i = 0; i < m.n_addresses; i++) {
        fields[i] = weir_field_str (addresses[i]);
    }
    (void) weir_actor_send (t->actor, WEIR_KIND_TRANSPORT_READY, NULL, &m.base,
                            weir_bytes (NULL, 0));
}
