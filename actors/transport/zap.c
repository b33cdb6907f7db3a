/* The ZAP handler (RFC 27): the only place that lets a CURVE key in. It knows the list that peers
 * told last and nothing else; before the first list nobody is admitted. Changes count at once for
 * handshakes; links that are up are cut by links_close_refused. */

#include <string.h>

#include "actors/transport/state.h"

#define ZAP_ENDPOINT "inproc://zeromq.zap.01"
#define ZAP_FRAMES_MAX 8
#define ZAP_FRAMES 7

static char one[1]; /* the maps' value */

static void
answer (void *socket, zmq_msg_t *request_id, bool good, const char *user)
{
    static const char version[] = "1.0";
    const char *code = good ? "200" : "400";
    const char *text = good ? "OK" : "not admitted";
    (void) zmq_send (socket, version, strlen (version), ZMQ_SNDMORE);
    (void) zmq_send (socket, zmq_msg_data (request_id), zmq_msg_size (request_id), ZMQ_SNDMORE);
    (void) zmq_send (socket, code, strlen (code), ZMQ_SNDMORE);
    (void) zmq_send (socket, text, strlen (text), ZMQ_SNDMORE);
    (void) zmq_send (socket, user, strlen (user), ZMQ_SNDMORE);
    (void) zmq_send (socket, "", 0, 0);
}

/* Frames: version, request id, domain, address, identity, mechanism, credentials. */
static void
judge (struct transport *t, zmq_msg_t *parts, int n)
{
    struct weir_id key = { { 0 } };
    bool shaped = n == ZAP_FRAMES;
    if (shaped) {
        struct weir_bytes mechanism =
            weir_bytes (zmq_msg_data (&parts[5]), zmq_msg_size (&parts[5]));
        shaped = weir_bytes_equal (mechanism, weir_bytes_str ("CURVE"))
                 && weir_id_from_bytes (
                        &key, weir_bytes (zmq_msg_data (&parts[6]), zmq_msg_size (&parts[6])))
                        == WEIR_OK;
    }
    bool good = shaped && zap_admits (&t->zap, &key);
    if (good) {
        t->zap.accepted++;
    } else {
        t->zap.refused++;
        weir_actor_log (t->actor, WEIR_LOG_WARN, "link_refused", "key=%s refused=%llu",
                        weir_id_text (&key).s, (unsigned long long) t->zap.refused);
    }
    answer (t->zap.socket, &parts[1], good, good ? weir_id_text (&key).s : "");
}

static void
readable (void *state, struct weir_actor *actor, void *context)
{
    struct transport *t = state;
    (void) actor;
    (void) context;
    for (unsigned i = 0; i < WEIR_DRAIN_PER_TURN; i++) {
        zmq_msg_t parts[ZAP_FRAMES_MAX];
        int n = link_receive (t->zap.socket, parts, ZAP_FRAMES_MAX);
        if (n == 0) {
            return;
        }
        if (n >= 2) { /* libzmq itself asks: it always has a version and an id */
            judge (t, parts, n);
        }
        link_parts_close (parts, n);
    }
}

enum weir_status
zap_open (struct transport *t, struct weir_error *e)
{
    t->zap.admitted = weir_map_new ();
    t->zap.socket = zmq_socket (weir_actor_zmq (t->actor), ZMQ_REP);
    if (t->zap.socket == NULL || zmq_bind (t->zap.socket, ZAP_ENDPOINT) != 0) {
        return weir_error_set (e, WEIR_FAILED, NULL, "cannot bind the ZAP handler: %s",
                               zmq_strerror (zmq_errno ()));
    }
    int zero = 0;
    (void) zmq_setsockopt (t->zap.socket, ZMQ_LINGER, &zero, sizeof zero);
    weir_actor_watch_socket (t->actor, t->zap.socket, readable, NULL);
    return WEIR_OK;
}

void
zap_close (struct transport *t)
{
    if (t->zap.socket != NULL) {
        weir_actor_watch_socket (t->actor, t->zap.socket, NULL, NULL);
        zmq_close (t->zap.socket);
        t->zap.socket = NULL;
    }
    weir_map_destroy (&t->zap.admitted, NULL);
    weir_map_destroy (&t->zap.incoming, NULL);
}

bool
zap_admit (struct zap *zap, const Weir__Admit *page)
{
    if (page->first || zap->incoming == NULL) {
        weir_map_destroy (&zap->incoming, NULL);
        zap->incoming = page->first ? weir_map_new () : NULL;
    }
    if (zap->incoming == NULL) {
        return false; /* a page of a list whose beginning was lost: the next list comes whole */
    }
    for (size_t i = 0; i < page->n_link_keys; i++) {
        struct weir_id key;
        if (weir_field_get_id (&key, true, page->link_keys[i]) == WEIR_OK
            && !weir_id_is_zero (&key)) {
            (void) weir_map_put (zap->incoming, weir_id_bytes (&key), one);
        }
    }
    if (!page->last) {
        return false;
    }
    weir_map_destroy (&zap->admitted, NULL);
    zap->admitted = zap->incoming;
    zap->incoming = NULL;
    return true;
}

bool
zap_admits (const struct zap *zap, const struct weir_id *key)
{
    return weir_map_get (zap->admitted, weir_id_bytes (key)) != NULL;
}
