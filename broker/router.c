/* Owns the three sockets and the way of a message through them: who sent it is stamped here, who
 * may is rules.c's, unanswered clients' requests are clients.c's. It reads envelopes, never meta
 * or body, blocks on nothing and allocates nothing for a message that passes. */

#include "broker/parts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "actors/runtime/post.h"
#include "broker/rules.h"

#define LINGER_MS 300
#define LIFE_PER_TURN 256u

/* ---- sockets ---- */

static void *
open_router (struct weir_broker *b, const char *name, int queue, bool own, struct weir_error *e)
{
    char address[WEIR_SETTING_TEXT_MAX + 32];
    (void) snprintf (address, sizeof address, "ipc://%s/%s", b->paths.run, name);
    void *socket = zmq_socket (b->zmq, ZMQ_ROUTER);
    weir_assert (socket != NULL);
    weir_post_option (socket, ZMQ_ROUTER_MANDATORY, 1);
    weir_post_option (socket, ZMQ_SNDHWM, queue);
    weir_post_option (socket, ZMQ_RCVHWM, queue);
    weir_post_option (socket, ZMQ_LINGER, LINGER_MS);
    if (own) {
        weir_post_option (socket, ZMQ_ROUTER_HANDOVER, 1);
    } else {
        int64_t max = WEIR_MESSAGE_BODY_BYTES_MAX;
        int rc = zmq_setsockopt (socket, ZMQ_MAXMSGSIZE, &max, sizeof max);
        weir_assert (rc == 0);
    }
    if (zmq_bind (socket, address) != 0) {
        (void) weir_error_set (e, WEIR_CANNOT_CREATE, NULL, "cannot bind %s: %s", address,
                               zmq_strerror (errno));
        (void) zmq_close (socket);
        return NULL;
    }
    return socket;
}

enum weir_status
weir_router_open (struct weir_broker *b, struct weir_error *e)
{
    int queue = (int) WEIR_MAILBOX_MESSAGES_MAX;
    b->zmq = zmq_ctx_new ();
    weir_assert (b->zmq != NULL);
    /* No bound on lifelines: two pings a second, and who does not read is killed. A lost DOWN
     * would leave its partners waiting. */
    b->life = open_router (b, "life", 0, true, e);
    b->actors = b->life == NULL ? NULL : open_router (b, "actors", queue, true, e);
    b->control = b->actors == NULL ? NULL : open_router (b, "control", queue, false, e);
    return b->control == NULL ? WEIR_CANNOT_CREATE : WEIR_OK;
}

void
weir_router_close (struct weir_broker *b)
{
    void *sockets[] = { b->life, b->actors, b->control };
    for (size_t i = 0; i < 3; i++) {
        if (sockets[i] != NULL) {
            (void) zmq_close (sockets[i]);
        }
    }
    if (b->zmq != NULL) {
        (void) zmq_ctx_term (b->zmq);
    }
    b->life = b->actors = b->control = b->zmq = NULL;
}

/* ---- sending ---- */

/* Moves head, meta and body. */
static enum weir_status
send_parts (void *socket, const void *id, size_t id_len, zmq_msg_t *head, zmq_msg_t *meta,
            zmq_msg_t *body)
{
    zmq_msg_t to;
    int rc = zmq_msg_init_size (&to, id_len);
    weir_assert (rc == 0);
    memcpy (zmq_msg_data (&to), id, id_len);
    if (zmq_msg_send (&to, socket, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0) {
        (void) zmq_msg_close (&to);
        return errno == EHOSTUNREACH ? WEIR_UNAVAILABLE : WEIR_BUSY;
    }
    /* Once the first is in, the others follow. */
    if (zmq_msg_send (head, socket, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0
        || zmq_msg_send (meta, socket, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0
        || zmq_msg_send (body, socket, ZMQ_DONTWAIT) < 0) {
        return WEIR_UNAVAILABLE; /* its connection went between two parts: libzmq drops it */
    }
    return WEIR_OK;
}

static bool
is_client (const struct weir_broker *b, const struct weir_mailbox_id *id)
{
    return memcmp (id->b, b->client_tag, WEIR_CLIENT_TAG_BYTES) == 0;
}

static enum weir_status
send_to (struct weir_broker *b, const struct weir_mailbox_id *to, zmq_msg_t *head, zmq_msg_t *meta,
         zmq_msg_t *body)
{
    if (is_client (b, to)) {
        return send_parts (b->control, to->b + WEIR_CLIENT_TAG_BYTES, WEIR_CLIENT_ID_BYTES, head,
                           meta, body);
    }
    return send_parts (b->actors, to->b, sizeof to->b, head, meta, body);
}

enum weir_status
weir_router_deliver (struct weir_broker *b, size_t child, const struct weir_envelope *envelope,
                     zmq_msg_t *meta, zmq_msg_t *body)
{
    struct weir_slot *slot = &b->slots[child];
    zmq_msg_t head;
    int rc = zmq_msg_init_size (&head, WEIR_ENVELOPE_BYTES);
    weir_assert (rc == 0);
    weir_envelope_put (envelope, zmq_msg_data (&head));
    enum weir_status status =
        send_parts (b->actors, slot->mailbox.b, sizeof slot->mailbox.b, &head, meta, body);
    (void) zmq_msg_close (&head);
    if (status == WEIR_OK) {
        slot->delivered++;
        b->routed++;
    }
    return status;
}

/* The broker's own words: an answer in its name, or in that of somebody who cannot (`from`). */
static enum weir_status
answer (struct weir_broker *b, const struct weir_envelope *request, uint8_t flags,
        enum weir_status status, struct weir_bytes meta_bytes)
{
    if (request->request == 0 || (request->flags & WEIR_ENV_ANSWER) != 0) {
        return WEIR_OK;
    }
    struct weir_envelope envelope = *request;
    envelope.flags = (uint8_t) (WEIR_ENV_ANSWER | flags);
    envelope.status = (uint16_t) status;
    envelope.ms_left = 0;
    envelope.from = request->to;
    envelope.to = request->from;
    zmq_msg_t head;
    zmq_msg_t meta;
    zmq_msg_t body;
    int rc = zmq_msg_init_size (&head, WEIR_ENVELOPE_BYTES);
    weir_assert (rc == 0);
    weir_envelope_put (&envelope, zmq_msg_data (&head));
    (void) zmq_msg_init (&meta);
    (void) zmq_msg_init (&body);
    weir_post_copy (&meta, meta_bytes);
    enum weir_status sent = send_to (b, &envelope.to, &head, &meta, &body);
    (void) zmq_msg_close (&head);
    (void) zmq_msg_close (&meta);
    (void) zmq_msg_close (&body);
    return sent;
}

enum weir_status
weir_router_answer_more (struct weir_broker *b, const struct weir_envelope *request,
                         const ProtobufCMessage *meta, bool more)
{
    weir_buf_clear (&b->scratch);
    weir_meta_put (&b->scratch, meta);
    return answer (b, request, more ? WEIR_ENV_MORE : 0, WEIR_OK, weir_buf_bytes (&b->scratch));
}

void
weir_router_answer (struct weir_broker *b, const struct weir_envelope *request,
                    const ProtobufCMessage *meta)
{
    if (weir_router_answer_more (b, request, meta, false) != WEIR_OK) {
        b->dropped++;
    }
}

void
weir_router_fail (struct weir_broker *b, const struct weir_envelope *request,
                  enum weir_status status, const struct weir_error *e)
{
    weir_buf_clear (&b->scratch);
    weir_problem_put (&b->scratch, status, e);
    if (answer (b, request, WEIR_ENV_REFUSED, status, weir_buf_bytes (&b->scratch)) != WEIR_OK) {
        b->dropped++;
    }
}

enum weir_status
weir_router_tell (struct weir_broker *b, struct weir_slot *slot, uint16_t kind,
                  const ProtobufCMessage *meta)
{
    struct weir_envelope envelope = { .kind = kind, .to = slot->mailbox };
    zmq_msg_t head;
    zmq_msg_t part;
    zmq_msg_t body;
    int rc = zmq_msg_init_size (&head, WEIR_ENVELOPE_BYTES);
    weir_assert (rc == 0);
    weir_envelope_put (&envelope, zmq_msg_data (&head));
    (void) zmq_msg_init (&part);
    (void) zmq_msg_init (&body);
    weir_post_pack (&part, meta);
    enum weir_status status = WEIR_UNAVAILABLE;
    if (slot->life_heard) {
        status = send_parts (b->life, slot->mailbox.b, sizeof slot->mailbox.b, &head, &part, &body);
    }
    (void) zmq_msg_close (&head);
    (void) zmq_msg_close (&part);
    (void) zmq_msg_close (&body);
    return status;
}

/* ---- receiving ---- */

static void
letter_init (struct weir_letter *letter)
{
    (void) zmq_msg_init (&letter->id);
    (void) zmq_msg_init (&letter->head);
    (void) zmq_msg_init (&letter->meta);
    (void) zmq_msg_init (&letter->body);
}

static void
letter_fini (struct weir_letter *letter)
{
    (void) zmq_msg_close (&letter->id);
    (void) zmq_msg_close (&letter->head);
    (void) zmq_msg_close (&letter->meta);
    (void) zmq_msg_close (&letter->body);
}

/* WEIR_NOT_FOUND: nothing waits. WEIR_BAD_MESSAGE: not four parts with an envelope; it is gone. */
static enum weir_status
receive (void *socket, struct weir_letter *letter)
{
    zmq_msg_t *parts[] = { &letter->id, &letter->head, &letter->meta, &letter->body };
    bool more = true;
    for (size_t i = 0; i < 4 && more; i++) {
        if (zmq_msg_recv (parts[i], socket, ZMQ_DONTWAIT) < 0) {
            return i == 0 ? WEIR_NOT_FOUND : WEIR_BAD_MESSAGE;
        }
        more = zmq_msg_more (parts[i]) != 0;
        if (!more && i < 3) {
            return WEIR_BAD_MESSAGE;
        }
    }
    if (more) {
        while (more && zmq_msg_recv (&letter->body, socket, ZMQ_DONTWAIT) >= 0) {
            more = zmq_msg_more (&letter->body) != 0;
        }
        return WEIR_BAD_MESSAGE;
    }
    return weir_envelope_get (
        &letter->envelope, weir_bytes (zmq_msg_data (&letter->head), zmq_msg_size (&letter->head)));
}

static size_t
slot_at (const struct weir_broker *b, const void *id)
{
    for (size_t i = 0; i < b->supervisor.count; i++) {
        const struct weir_slot *slot = &b->slots[i];
        if (slot->running && memcmp (slot->mailbox.b, id, WEIR_ADDRESS_BYTES) == 0) {
            return i;
        }
    }
    return WEIR_NOBODY;
}

/* Who says so is known by the connection alone; what the sender wrote there is overwritten. */
static bool
stamp_actor (struct weir_broker *b, struct weir_letter *letter)
{
    if (zmq_msg_size (&letter->id) != WEIR_ADDRESS_BYTES) {
        return false;
    }
    letter->from = slot_at (b, zmq_msg_data (&letter->id));
    if (letter->from == WEIR_NOBODY) {
        return false; /* of a dead incarnation */
    }
    letter->from_role = b->slots[letter->from].role;
    letter->envelope.from = b->slots[letter->from].mailbox;
    return true;
}

static bool
stamp_client (struct weir_broker *b, struct weir_letter *letter)
{
    const uint8_t *id = zmq_msg_data (&letter->id);
    /* Only names that libzmq itself made: one chosen could be another's. */
    if (zmq_msg_size (&letter->id) != WEIR_CLIENT_ID_BYTES || id[0] != 0) {
        return false;
    }
    letter->from = WEIR_NOBODY;
    letter->from_role = WEIR_ROLE_C;
    memcpy (letter->envelope.from.b, b->client_tag, WEIR_CLIENT_TAG_BYTES);
    memcpy (letter->envelope.from.b + WEIR_CLIENT_TAG_BYTES, id, WEIR_CLIENT_ID_BYTES);
    return true;
}

/* ---- routing ---- */

struct target {
    unsigned role;
    size_t child; /* or WEIR_NOBODY */
};

static struct target
find_target (struct weir_broker *b, const struct weir_letter *letter)
{
    const struct weir_mailbox_id *to = &letter->envelope.to;
    bool asks = (letter->envelope.flags & WEIR_ENV_ANSWER) == 0;
    if (is_client (b, to)) {
        return (struct target){ WEIR_ROLE_C, WEIR_NOBODY };
    }
    if (!weir_mailbox_is_zero (to)) {
        size_t child = slot_at (b, to->b);
        /* Of one that is gone only the kind says what it was. */
        unsigned role = child != WEIR_NOBODY ? b->slots[child].role
                        : asks               ? letter->kind->to
                                             : letter->kind->from;
        return (struct target){ role, child };
    }
    if (!asks || letter->kind->to == WEIR_ROLE_B) {
        return (struct target){ WEIR_ROLE_B, WEIR_NOBODY };
    }
    return (struct target){ letter->kind->to, weir_children_of_role (b, letter->kind->to) };
}

static const char *
name_of (const struct weir_broker *b, unsigned role, size_t child)
{
    return child == WEIR_NOBODY ? weir_role_name (role) : b->slots[child].name;
}

static void
tap (struct weir_broker *b, struct weir_letter *letter, const struct target *to)
{
    struct weir_tap_seen seen = {
        .envelope = &letter->envelope,
        .kind = letter->kind,
        .head = weir_bytes (zmq_msg_data (&letter->head), zmq_msg_size (&letter->head)),
        .from_name = name_of (b, letter->from_role, letter->from),
        .from_role = weir_role_name (letter->from_role),
        .to_name = name_of (b, to->role, to->child),
        .to_role = weir_role_name (to->role),
        .meta = weir_bytes (zmq_msg_data (&letter->meta), zmq_msg_size (&letter->meta)),
        .body = weir_bytes (zmq_msg_data (&letter->body), zmq_msg_size (&letter->body)),
    };
    weir_taps_see (&b->taps, &seen, b->now_ms, weir_unix_ms ());
}

static void
refuse (struct weir_broker *b, const struct weir_letter *letter, enum weir_status status)
{
    b->dropped++;
    if (status != WEIR_UNAVAILABLE && status != WEIR_BUSY) {
        weir_log_put (&b->log, WEIR_LOG_WARN, "message_refused", "from=%s kind=%u code=%s",
                      name_of (b, letter->from_role, letter->from), letter->envelope.kind,
                      weir_status_code (status));
    }
    weir_router_fail (b, &letter->envelope, status, NULL);
}

/* Straight on: the envelope as it came, with `from` and `to` written over. */
static void
pass (struct weir_broker *b, struct weir_letter *letter, size_t child)
{
    if (child != WEIR_NOBODY && !b->slots[child].mailbox_heard) {
        refuse (b, letter, WEIR_UNAVAILABLE);
        return;
    }
    uint8_t *head = zmq_msg_data (&letter->head);
    if (child != WEIR_NOBODY) {
        letter->envelope.to = b->slots[child].mailbox;
    }
    memcpy (head + WEIR_ENVELOPE_AT_FROM, letter->envelope.from.b, WEIR_ADDRESS_BYTES);
    memcpy (head + WEIR_ENVELOPE_AT_TO, letter->envelope.to.b, WEIR_ADDRESS_BYTES);
    enum weir_status status =
        send_to (b, &letter->envelope.to, &letter->head, &letter->meta, &letter->body);
    if (status != WEIR_OK) {
        b->busy += status == WEIR_BUSY ? 1 : 0;
        refuse (b, letter, status);
        return;
    }
    b->routed++;
    if (child != WEIR_NOBODY) {
        b->slots[child].delivered++;
    }
}

static void
route (struct weir_broker *b, struct weir_letter *letter)
{
    bool is_answer = (letter->envelope.flags & WEIR_ENV_ANSWER) != 0;
    struct target to = { 0, WEIR_NOBODY };
    letter->kind = weir_kind (letter->envelope.kind);
    if (letter->kind != NULL) {
        to = find_target (b, letter);
    }
    if (b->taps.count > 0) {
        tap (b, letter, &to);
    }
    enum weir_status status =
        weir_rules_check (letter->kind, is_answer, letter->from_role, to.role,
                          zmq_msg_size (&letter->meta), zmq_msg_size (&letter->body));
    if (status != WEIR_OK) {
        refuse (b, letter, status);
    } else if (to.role == WEIR_ROLE_B && is_answer) {
        b->dropped++; /* the broker asks nobody */
    } else if (to.role == WEIR_ROLE_B && letter->from_role == WEIR_ROLE_C) {
        weir_control_take (b, letter);
    } else if (to.role == WEIR_ROLE_B) {
        weir_children_letter (b, letter, false);
    } else if (to.role == WEIR_ROLE_C) {
        if (is_answer && weir_clients_answered (b, &letter->envelope)) {
            pass (b, letter, WEIR_NOBODY);
        } else {
            b->dropped++; /* nobody waits for it any more */
        }
    } else if (letter->from_role == WEIR_ROLE_C) {
        weir_clients_request (b, letter, to.child);
    } else if (to.child == WEIR_NOBODY) {
        refuse (b, letter, WEIR_UNAVAILABLE);
    } else {
        pass (b, letter, to.child);
    }
}

static bool
drain (struct weir_broker *b, void *socket, size_t max,
       bool (*stamp) (struct weir_broker *b, struct weir_letter *letter),
       void (*take) (struct weir_broker *b, struct weir_letter *letter))
{
    struct weir_letter letter;
    letter_init (&letter);
    size_t n = 0;
    for (; n < max; n++) {
        enum weir_status status = receive (socket, &letter);
        if (status == WEIR_NOT_FOUND) {
            break;
        }
        if (status != WEIR_OK || !stamp (b, &letter)) {
            b->dropped++;
            weir_log_put (&b->log, WEIR_LOG_DEBUG, "message_dropped", "code=%s",
                          weir_status_code (status == WEIR_OK ? WEIR_UNAVAILABLE : status));
            continue;
        }
        take (b, &letter);
    }
    letter_fini (&letter);
    return n == max;
}

static void
take_life (struct weir_broker *b, struct weir_letter *letter)
{
    letter->kind = weir_kind (letter->envelope.kind);
    bool known = letter->kind != NULL && letter->kind->to == WEIR_ROLE_B
                 && (letter->envelope.flags & WEIR_ENV_ANSWER) == 0;
    if (known) {
        weir_children_letter (b, letter, true);
    } else {
        b->dropped++;
    }
}

bool
weir_router_drain_life (struct weir_broker *b)
{
    return drain (b, b->life, LIFE_PER_TURN, stamp_actor, take_life);
}

bool
weir_router_drain_actors (struct weir_broker *b)
{
    return drain (b, b->actors, WEIR_DRAIN_PER_TURN, stamp_actor, route);
}

bool
weir_router_drain_control (struct weir_broker *b)
{
    return drain (b, b->control, WEIR_DRAIN_PER_TURN, stamp_client, route);
}
