/* Requests of clients on their way to an actor: held until they are answered, so that `weir` does
 * not notice when an actor is killed and comes back. Called by router.c and children.c. */

#include "broker/parts.h"

#define NO_LIMIT_MS WEIR_CLIENT_TTL_MS /* a client that gives no time is remembered so long */
#define GRACE_MS 2000u                 /* behind the client's patience: answers may be on the way */
#define SWEEP_MS 100u

static void
fail (struct weir_broker *b, const struct weir_envelope *request, size_t child,
      enum weir_status status)
{
    struct weir_error e = { 0 };
    const char *name = child == WEIR_NOBODY ? "nobody" : b->slots[child].name;
    const char *state = child == WEIR_NOBODY
                            ? "failed"
                            : weir_child_state_name (b->supervisor.children[child].state);
    if (status == WEIR_BUSY) {
        b->busy++;
        (void) weir_error_set (&e, status, NULL, "%s has too much to do", name);
    } else if (b->supervisor.stopping) {
        (void) weir_error_set (&e, status, NULL, "the node is stopping");
    } else {
        (void) weir_error_set (&e, status, NULL, "%s cannot answer: it is %s", name, state);
    }
    b->dropped++;
    weir_router_fail (b, request, status, &e);
}

/* An actor that is away may come back; is this worth waiting for? */
static bool
may_come (const struct weir_broker *b, size_t child)
{
    return child != WEIR_NOBODY && !b->supervisor.stopping
           && b->supervisor.children[child].state != WEIR_CHILD_FAILED;
}

void
weir_clients_request (struct weir_broker *b, struct weir_letter *letter, size_t child)
{
    struct weir_envelope *envelope = &letter->envelope;
    bool again = (letter->kind->flags & WEIR_KIND_IDEM) != 0;
    bool up = child != WEIR_NOBODY && b->slots[child].up;
    if (!up && !(again && may_come (b, child))) {
        fail (b, envelope, child, WEIR_UNAVAILABLE);
        return;
    }
    if (envelope->request == 0) {
        b->dropped++; /* a client's kinds all have answers; nobody could be told */
        return;
    }
    uint64_t ms = envelope->ms_left == 0 ? NO_LIMIT_MS : envelope->ms_left;
    struct weir_held_item *item = weir_held_add (&b->held, envelope, &letter->meta, &letter->body,
                                                 again, child, b->now_ms + ms);
    if (item == NULL) {
        fail (b, envelope, child, WEIR_BUSY);
        return;
    }
    if (!up) {
        item->parked = item->kept;
        if (!item->kept) {
            weir_held_drop (&b->held, item);
            fail (b, envelope, child, WEIR_BUSY);
        }
        return;
    }
    envelope->to = b->slots[child].mailbox;
    enum weir_status status =
        weir_router_deliver (b, child, envelope, &letter->meta, &letter->body);
    if (status == WEIR_OK) {
        item->deliveries++;
        return;
    }
    if (status == WEIR_UNAVAILABLE && item->kept) {
        item->parked = true; /* it has just gone: its end will be seen */
        return;
    }
    weir_held_drop (&b->held, item);
    fail (b, envelope, child, status);
}

bool
weir_clients_answered (struct weir_broker *b, const struct weir_envelope *answer)
{
    struct weir_held_item *item = weir_held_find (&b->held, &answer->to, answer->request);
    if (item == NULL) {
        return false;
    }
    if ((answer->flags & WEIR_ENV_MORE) == 0) {
        weir_held_drop (&b->held, item);
        return true;
    }
    item->begun = true;
    uint64_t ms = item->envelope.ms_left == 0 ? NO_LIMIT_MS : item->envelope.ms_left;
    item->until_ms = b->now_ms + ms;
    return true;
}

void
weir_clients_up (struct weir_broker *b, size_t child)
{
    struct weir_held_item *next = NULL;
    for (struct weir_held_item *item = b->held.first; item != NULL; item = next) {
        next = item->after;
        if (item->child != child || !item->parked) {
            continue;
        }
        zmq_msg_t meta;
        zmq_msg_t body;
        (void) zmq_msg_init (&meta);
        (void) zmq_msg_init (&body);
        (void) zmq_msg_copy (&meta, &item->meta);
        (void) zmq_msg_copy (&body, &item->body);
        struct weir_envelope envelope = item->envelope;
        envelope.to = b->slots[child].mailbox;
        if (envelope.ms_left != 0) {
            uint64_t left = item->until_ms > b->now_ms ? item->until_ms - b->now_ms : 1;
            envelope.ms_left = (uint32_t) left;
        }
        item->parked = false;
        enum weir_status status = weir_router_deliver (b, child, &envelope, &meta, &body);
        item->deliveries++;
        if (status == WEIR_BUSY) {
            weir_held_drop (&b->held, item);
            fail (b, &envelope, child, status);
        } else if (status != WEIR_OK) {
            item->parked = true;
        }
        (void) zmq_msg_close (&meta);
        (void) zmq_msg_close (&body);
    }
}

void
weir_clients_down (struct weir_broker *b, size_t child, bool failed)
{
    struct weir_held_item *next = NULL;
    for (struct weir_held_item *item = b->held.first; item != NULL; item = next) {
        next = item->after;
        if (item->child != child) {
            continue;
        }
        bool again = item->kept && !item->begun && item->deliveries < WEIR_HELD_DELIVERIES_MAX;
        if (again && !failed && may_come (b, child)) {
            item->parked = true;
            continue;
        }
        struct weir_envelope envelope = item->envelope;
        weir_held_drop (&b->held, item);
        fail (b, &envelope, child, WEIR_UNAVAILABLE);
    }
}

/* When what waits for an absent actor is told so: before the client itself gives up. */
static uint64_t
give_up_at (const struct weir_held_item *item)
{
    uint64_t early = item->envelope.ms_left / 3u;
    return item->until_ms - (early < 500u ? early : 500u);
}

void
weir_clients_sweep (struct weir_broker *b)
{
    if (b->held.count == 0 || b->now_ms - b->swept_ms < SWEEP_MS) {
        return;
    }
    b->swept_ms = b->now_ms;
    struct weir_held_item *next = NULL;
    for (struct weir_held_item *item = b->held.first; item != NULL; item = next) {
        next = item->after;
        if (item->parked && b->now_ms >= give_up_at (item)) {
            struct weir_envelope envelope = item->envelope;
            size_t child = item->child;
            weir_held_drop (&b->held, item);
            fail (b, &envelope, child, WEIR_UNAVAILABLE);
        } else if (b->now_ms > item->until_ms + GRACE_MS) {
            weir_held_drop (&b->held, item);
        }
    }
}
