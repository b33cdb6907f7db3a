/* libweir's inside: one DEALER to a node's control socket. Every request carries an id; answers
 * are matched by it, so requests may be pipelined. */

#include "actors/client/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#define SEND_QUEUE 1000

struct weir_client {
    void *context;
    void *socket;
    char control[WEIR_IPC_PATH_MAX + 8];
    uint8_t id[16];
    uint64_t number;
    uint64_t request;
    uint64_t trace;
};

static uint64_t
now_ms (void)
{
    struct timespec t;
    clock_gettime (CLOCK_MONOTONIC, &t);
    return (uint64_t) t.tv_sec * 1000u + (uint64_t) t.tv_nsec / 1000000u;
}

static enum weir_status
no_node (const char *control, const char *why, struct weir_error *e)
{
    return weir_error_set (e, WEIR_NO_NODE, NULL, "cannot reach the node at %s: %s", control, why);
}

enum weir_status
weir_client_open (struct weir_client **out, const char *control, uint32_t ms, struct weir_error *e)
{
    const char *path = strncmp (control, "ipc://", 6) == 0 ? control + 6 : control;
    if (strlen (path) > WEIR_IPC_PATH_MAX) {
        return weir_error_set (e, WEIR_BAD_CONFIG, "set run_dir to a shorter path",
                               "the socket's path has more than %u bytes: %s", WEIR_IPC_PATH_MAX,
                               path);
    }
    if (access (path, R_OK | W_OK) != 0) {
        return no_node (control, strerror (errno), e);
    }
    struct weir_client *c = weir_alloc (sizeof *c);
    int zero = 0;
    int linger = 1000;
    int queue = SEND_QUEUE;
    int handshake = (int) (ms > 0 ? ms : 1);
    snprintf (c->control, sizeof c->control, "ipc://%s", path);
    if (getrandom (c->id, sizeof c->id, 0) != (ssize_t) sizeof c->id) {
        free (c);
        return weir_error_set (e, WEIR_FAILED, NULL, "no random bytes: %s", strerror (errno));
    }
    memcpy (&c->trace, c->id + 8, sizeof c->trace);
    c->context = zmq_ctx_new ();
    c->socket = zmq_socket (c->context, ZMQ_DEALER);
    zmq_setsockopt (c->socket, ZMQ_LINGER, &linger, sizeof linger);
    zmq_setsockopt (c->socket, ZMQ_SNDHWM, &queue, sizeof queue);
    zmq_setsockopt (c->socket, ZMQ_RCVHWM, &zero, sizeof zero);
    zmq_setsockopt (c->socket, ZMQ_HANDSHAKE_IVL, &handshake, sizeof handshake);
    zmq_setsockopt (c->socket, ZMQ_IMMEDIATE, &(int){ 1 }, sizeof (int));
    if (zmq_connect (c->socket, c->control) != 0) {
        enum weir_status status = no_node (control, zmq_strerror (errno), e);
        weir_client_close (&c);
        return status;
    }
    /* A socket file without a listener (a node that died) shows as a pipe that never opens. */
    zmq_pollitem_t item = { .socket = c->socket, .events = ZMQ_POLLOUT };
    if (zmq_poll (&item, 1, (long) ms) != 1) {
        enum weir_status status = no_node (control, "nobody answers there", e);
        weir_client_close (&c);
        return status;
    }
    *out = c;
    return WEIR_OK;
}

void
weir_client_close (struct weir_client **self_p)
{
    struct weir_client *c = *self_p;
    if (c == NULL) {
        return;
    }
    if (c->socket != NULL) {
        zmq_close (c->socket);
    }
    if (c->context != NULL) {
        zmq_ctx_term (c->context);
    }
    free (c);
    *self_p = NULL;
}

struct weir_bytes
weir_client_id (const struct weir_client *self)
{
    return weir_bytes (self->id, sizeof self->id);
}

uint64_t
weir_client_number (struct weir_client *self)
{
    return ++self->number;
}

/* ---- sending ---- */

enum weir_status
weir_client_send (struct weir_client *self, uint16_t kind, const ProtobufCMessage *meta,
                  struct weir_bytes body, uint32_t ms, uint64_t *request, struct weir_error *e)
{
    uint8_t head[WEIR_ENVELOPE_BYTES];
    struct weir_buf packed = { 0 };
    struct weir_envelope envelope = { .kind = kind,
                                      .ms_left = ms,
                                      .request = ++self->request,
                                      .trace = self->trace + self->request };
    weir_envelope_put (&envelope, head);
    weir_meta_put (&packed, meta);
    int timeout = (int) ms;
    zmq_setsockopt (self->socket, ZMQ_SNDTIMEO, &timeout, sizeof timeout);
    bool sent = zmq_send (self->socket, head, sizeof head, ZMQ_SNDMORE) >= 0
                && zmq_send (self->socket, packed.data, packed.len, ZMQ_SNDMORE) >= 0
                && zmq_send (self->socket, body.data, body.len, 0) >= 0;
    weir_buf_fini (&packed);
    if (!sent) {
        if (errno == EINTR) {
            return weir_error_set (e, WEIR_INTERRUPTED, NULL, "interrupted");
        }
        return weir_error_set (e, WEIR_UNAVAILABLE, NULL, "the node at %s takes nothing more",
                               self->control);
    }
    *request = envelope.request;
    return WEIR_OK;
}

/* ---- receiving ---- */

struct owned {
    struct weir_arena *arena;
    zmq_msg_t body;
    bool has_body;
};

void
weir_client_answer_fini (struct weir_client_answer *answer)
{
    struct owned *o = answer->owned;
    if (o != NULL) {
        weir_arena_destroy (&o->arena);
        if (o->has_body) {
            zmq_msg_close (&o->body);
        }
        free (o);
    }
    *answer = (struct weir_client_answer){ 0 };
}

static void
drain (void *socket)
{
    int more = 1;
    size_t size = sizeof more;
    while (zmq_getsockopt (socket, ZMQ_RCVMORE, &more, &size) == 0 && more) {
        zmq_msg_t rest;
        zmq_msg_init (&rest);
        if (zmq_msg_recv (&rest, socket, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close (&rest);
            break;
        }
        zmq_msg_close (&rest);
    }
}

static enum weir_status
decode (const zmq_msg_t *head, const zmq_msg_t *meta, struct weir_client_answer *answer,
        struct owned *o)
{
    struct weir_envelope envelope;
    zmq_msg_t *h = (zmq_msg_t *) (uintptr_t) head;
    zmq_msg_t *m = (zmq_msg_t *) (uintptr_t) meta;
    struct weir_bytes bytes = weir_bytes (zmq_msg_data (m), zmq_msg_size (m));
    enum weir_status status =
        weir_envelope_get (&envelope, weir_bytes (zmq_msg_data (h), zmq_msg_size (h)));
    const struct weir_kind *kind = status == WEIR_OK ? weir_kind (envelope.kind) : NULL;
    if (status == WEIR_OK && (kind == NULL || (envelope.flags & WEIR_ENV_ANSWER) == 0)) {
        status = WEIR_BAD_MESSAGE;
    }
    if (status != WEIR_OK) {
        return status;
    }
    answer->request = envelope.request;
    answer->more = (envelope.flags & WEIR_ENV_MORE) != 0;
    answer->status = weir_status_from_number (envelope.status);
    if (answer->status != WEIR_OK) {
        weir_problem_get (&answer->problem, answer->status, bytes);
        return WEIR_OK;
    }
    ProtobufCMessage *unpacked = NULL;
    o->arena = weir_arena_new (2u * WEIR_UNPACK_BYTES_MAX);
    status = weir_meta_get (&unpacked, o->arena, kind, true, bytes);
    answer->meta = unpacked;
    return status;
}

static enum weir_status
receive_parts (struct weir_client *self, struct weir_client_answer *answer, struct weir_error *e)
{
    zmq_msg_t head;
    zmq_msg_t meta;
    struct owned *o = weir_alloc (sizeof *o);
    enum weir_status status = WEIR_BAD_MESSAGE;
    zmq_msg_init (&head);
    zmq_msg_init (&meta);
    zmq_msg_init (&o->body);
    o->has_body = true;
    *answer = (struct weir_client_answer){ .owned = o };
    if (zmq_msg_recv (&head, self->socket, ZMQ_DONTWAIT) >= 0 && zmq_msg_more (&head)
        && zmq_msg_recv (&meta, self->socket, ZMQ_DONTWAIT) >= 0) {
        if (zmq_msg_more (&meta)) {
            (void) zmq_msg_recv (&o->body, self->socket, ZMQ_DONTWAIT);
        }
        status = decode (&head, &meta, answer, o);
    }
    drain (self->socket);
    zmq_msg_close (&head);
    zmq_msg_close (&meta);
    if (status != WEIR_OK) {
        weir_client_answer_fini (answer);
        return weir_error_set (e, status, "do client and node have one version?",
                               "the node's answer does not decode");
    }
    answer->body = weir_bytes (zmq_msg_data (&o->body), zmq_msg_size (&o->body));
    return WEIR_OK;
}

enum weir_status
weir_client_receive (struct weir_client *self, uint32_t ms, struct weir_client_answer *answer,
                     struct weir_error *e)
{
    zmq_pollitem_t item = { .socket = self->socket, .events = ZMQ_POLLIN };
    int n = zmq_poll (&item, 1, (long) ms);
    if (n < 0) {
        return weir_error_set (e, errno == EINTR ? WEIR_INTERRUPTED : WEIR_UNAVAILABLE, NULL, "%s",
                               errno == EINTR ? "interrupted" : zmq_strerror (errno));
    }
    if (n == 0) {
        /* No answer: is anybody there at all? ZMQ_IMMEDIATE makes "not writable" say no. */
        zmq_pollitem_t there = { .socket = self->socket, .events = ZMQ_POLLOUT };
        if (zmq_poll (&there, 1, 0) == 0) {
            return weir_error_set (e, WEIR_UNAVAILABLE, NULL, "the node at %s went away",
                                   self->control);
        }
        return weir_error_set (e, WEIR_TIMED_OUT, NULL, "no answer within %u ms", ms);
    }
    return receive_parts (self, answer, e);
}

enum weir_status
weir_client_call (struct weir_client *self, uint16_t kind, const ProtobufCMessage *meta,
                  struct weir_bytes body, uint32_t ms, struct weir_client_answer *answer,
                  struct weir_error *e)
{
    uint64_t request = 0;
    uint64_t until = now_ms () + ms;
    enum weir_status status = weir_client_send (self, kind, meta, body, ms, &request, e);
    while (status == WEIR_OK) {
        uint64_t now = now_ms ();
        status = weir_client_receive (self, now < until ? (uint32_t) (until - now) : 0, answer, e);
        if (status != WEIR_OK) {
            return status;
        }
        if (answer->request == request && !answer->more) {
            break;
        }
        weir_client_answer_fini (answer); /* late, or a part before the last */
    }
    if (status == WEIR_OK && answer->status != WEIR_OK) {
        if (e != NULL) {
            *e = answer->problem;
        }
        status = answer->status;
        weir_client_answer_fini (answer);
    }
    return status;
}
