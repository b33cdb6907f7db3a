/* Owns the requests this actor waits for: each has an id, a time left and one last answer. When
 * its partner goes, an IDEM one is parked and sent again to the next incarnation, in the order
 * asked; others end with WEIR_UNAVAILABLE. It decides nothing about what answers mean. */

#include "actors/runtime/actor_parts.h"

#include <stdlib.h>
#include <string.h>

enum ask_place {
    ASK_SENT,
    ASK_PARKED, /* waits for its partner to come (back) */
    ASK_DOOMED  /* its end is known and told by the timer: never from inside the asking */
};

struct weir_ask {
    struct weir_alarm alarm; /* first */
    struct weir_ask *chain;
    struct weir_ask *before, *after;
    enum ask_place place;
    enum weir_status doom;
    const struct weir_kind *kind;
    const struct weir_partner *partner; /* NULL: the broker, or any of the role */
    struct weir_envelope envelope;
    zmq_msg_t meta, body; /* to be sent again */
    bool kept;            /* they are there */
    bool begun;           /* a stream that has answered: not sent again */
    uint32_t ms;
    uint64_t until_ms; /* 0: no limit */
    weir_actor_answer_fn *done;
    void *context;
};

/* ---- the table ---- */

static struct weir_ask *
find (struct weir_actor *self, uint64_t request)
{
    struct weir_ask *ask = self->asks.buckets[request % WEIR_ASK_BUCKETS];
    while (ask != NULL && ask->envelope.request != request) {
        ask = ask->chain;
    }
    return ask;
}

static void
add (struct weir_actor *self, struct weir_ask *ask)
{
    struct weir_asks *asks = &self->asks;
    struct weir_ask **bucket = &asks->buckets[ask->envelope.request % WEIR_ASK_BUCKETS];
    ask->chain = *bucket;
    *bucket = ask;
    ask->before = asks->last;
    if (asks->last != NULL) {
        asks->last->after = ask;
    } else {
        asks->first = ask;
    }
    asks->last = ask;
    asks->count++;
}

static void
forget (struct weir_actor *self, struct weir_ask *ask)
{
    struct weir_asks *asks = &self->asks;
    struct weir_ask **p = &asks->buckets[ask->envelope.request % WEIR_ASK_BUCKETS];
    while (*p != ask) {
        p = &(*p)->chain;
    }
    *p = ask->chain;
    *(ask->before == NULL ? &asks->first : &ask->before->after) = ask->after;
    *(ask->after == NULL ? &asks->last : &ask->after->before) = ask->before;
    asks->count--;
    weir_timers_remove (&self->timers, &ask->alarm.timer);
    if (ask->kept) {
        (void) zmq_msg_close (&ask->meta);
        (void) zmq_msg_close (&ask->body);
    }
    free (ask);
}

void
weir_asks_fini (struct weir_actor *self)
{
    while (self->asks.first != NULL) {
        forget (self, self->asks.first);
    }
}

/* ---- sending ---- */

static void
doom (struct weir_actor *self, struct weir_ask *ask, enum weir_status status)
{
    ask->place = ASK_DOOMED;
    ask->doom = status;
    weir_timers_set (&self->timers, &ask->alarm.timer, self->now_ms);
}

/* Keeps what is needed to send it again; `post` keeps its own. */
static void
keep (struct weir_ask *ask, struct weir_post *post)
{
    (void) zmq_msg_init (&ask->meta);
    (void) zmq_msg_init (&ask->body);
    (void) zmq_msg_copy (&ask->meta, &post->meta);
    (void) zmq_msg_copy (&ask->body, &post->body);
    ask->kept = true;
}

static void
transmit (struct weir_actor *self, struct weir_ask *ask, struct weir_post *post)
{
    ask->place = ASK_SENT;
    post->envelope = ask->envelope;
    enum weir_status status = weir_mailbox_send (self, post);
    if (status != WEIR_OK) {
        doom (self, ask, status);
    }
}

static void
send_again (struct weir_actor *self, struct weir_ask *ask, const struct weir_partner *partner)
{
    struct weir_post post;
    weir_post_init (&post);
    (void) zmq_msg_copy (&post.meta, &ask->meta);
    (void) zmq_msg_copy (&post.body, &ask->body);
    ask->partner = partner;
    ask->envelope.to = partner->mailbox;
    if (ask->until_ms != 0) {
        uint64_t left = ask->until_ms > self->now_ms ? ask->until_ms - self->now_ms : 1;
        ask->envelope.ms_left = (uint32_t) left;
    }
    transmit (self, ask, &post);
    weir_post_fini (&post);
}

/* To whom; may leave it parked or doomed. */
static void
place (struct weir_actor *self, struct weir_ask *ask, const struct weir_mailbox_id *to)
{
    if (ask->kind->to == WEIR_ROLE_B) {
        return;
    }
    struct weir_partner *partner =
        to != NULL ? weir_partner_at (self, to) : weir_partner_of_role (self, ask->kind->to);
    if (partner == NULL && to != NULL) {
        doom (self, ask, WEIR_UNAVAILABLE);
        return;
    }
    if (partner != NULL && partner->failed) {
        doom (self, ask, WEIR_UNAVAILABLE);
        return;
    }
    ask->partner = partner;
    if (partner == NULL || !partner->up) {
        ask->place = ASK_PARKED;
        return;
    }
    ask->envelope.to = partner->mailbox;
}

uint64_t
weir_actor_ask (struct weir_actor *self, uint16_t kind, const struct weir_mailbox_id *to,
                const ProtobufCMessage *meta, struct weir_bytes body, uint32_t ms,
                weir_actor_answer_fn *done, void *context)
{
    const struct weir_kind *k = weir_kind (kind);
    weir_assert (k != NULL && (k->flags & WEIR_KIND_ONEWAY) == 0);
    weir_assert (meta == NULL || meta->descriptor == k->meta);
    struct weir_ask *ask = weir_alloc (sizeof *ask);
    ask->alarm.ask = ask;
    ask->kind = k;
    ask->ms = ms;
    ask->done = done;
    ask->context = context;
    ask->envelope.kind = kind;
    ask->envelope.ms_left = ms;
    ask->envelope.request = ++self->asks.next;
    if (ms > 0) {
        ask->until_ms = self->now_ms + ms;
        weir_timers_set (&self->timers, &ask->alarm.timer, ask->until_ms);
    }
    add (self, ask);
    struct weir_post post;
    weir_post_init (&post);
    weir_post_pack (&post.meta, meta);
    weir_post_copy (&post.body, body);
    place (self, ask, to);
    if (ask->place == ASK_PARKED || (k->flags & WEIR_KIND_IDEM) != 0) {
        keep (ask, &post);
    }
    if (ask->place == ASK_SENT) {
        transmit (self, ask, &post);
    }
    weir_post_fini (&post);
    return ask->envelope.request;
}

/* ---- ends ---- */

static void
end (struct weir_actor *self, struct weir_ask *ask, enum weir_status status,
     const struct weir_error *problem, const struct weir_message *answer)
{
    weir_actor_answer_fn *done = ask->done;
    void *context = ask->context;
    struct weir_error own;
    if (problem == NULL && status != WEIR_OK) {
        memset (&own, 0, sizeof own);
        (void) weir_error_set (&own, status, NULL, "%s did not answer %s",
                               weir_role_name (ask->kind->to), ask->kind->name);
        problem = &own;
    }
    forget (self, ask);
    if (done != NULL) {
        done (self->state, self, context, status, problem, answer);
    }
}

void
weir_asks_due (struct weir_actor *self, struct weir_ask *ask)
{
    enum weir_status status = WEIR_TIMED_OUT;
    if (ask->place != ASK_SENT) {
        status = ask->place == ASK_DOOMED ? ask->doom : WEIR_UNAVAILABLE;
    }
    end (self, ask, status, NULL, NULL);
}

static bool
may_resend (const struct weir_ask *ask)
{
    return (ask->kind->flags & WEIR_KIND_IDEM) != 0 && !ask->begun;
}

void
weir_asks_down (struct weir_actor *self, const struct weir_partner *partner)
{
    for (struct weir_ask *ask = self->asks.first; ask != NULL; ask = ask->after) {
        if (ask->partner != partner || ask->place == ASK_DOOMED) {
            continue;
        }
        bool wait = !partner->failed && (ask->place == ASK_PARKED || may_resend (ask));
        if (wait) {
            ask->place = ASK_PARKED;
        } else {
            doom (self, ask, WEIR_UNAVAILABLE);
        }
    }
}

void
weir_asks_up (struct weir_actor *self, const struct weir_partner *partner)
{
    for (struct weir_ask *ask = self->asks.first; ask != NULL; ask = ask->after) {
        bool theirs =
            ask->partner == partner || (ask->partner == NULL && ask->kind->to == partner->role);
        if (ask->place == ASK_PARKED && theirs) {
            send_again (self, ask, partner);
        }
    }
}

/* The broker could not hand it over. Returns true when it waits for the next incarnation. */
static bool
refused (struct weir_actor *self, struct weir_ask *ask)
{
    if (!may_resend (ask) || ask->partner == NULL || ask->partner->failed) {
        return false;
    }
    if (ask->partner->up && !weir_mailbox_equal (&ask->partner->mailbox, &ask->envelope.to)) {
        send_again (self, ask, ask->partner);
    } else {
        ask->place = ASK_PARKED;
    }
    return true;
}

static void
take (struct weir_actor *self, struct weir_ask *ask, struct weir_post *post)
{
    const struct weir_envelope *envelope = &post->envelope;
    enum weir_status status = weir_status_from_number (envelope->status);
    struct weir_message answer = {
        .envelope = *envelope,
        .kind = ask->kind,
        .meta_bytes = weir_post_bytes (&post->meta),
        .body = weir_post_bytes (&post->body),
    };
    if (status != WEIR_OK) {
        struct weir_error problem;
        weir_problem_get (&problem, status, answer.meta_bytes);
        end (self, ask, status, &problem, NULL);
        return;
    }
    ProtobufCMessage *meta = NULL;
    status = weir_meta_get (&meta, self->arena, ask->kind, true, answer.meta_bytes);
    if (status != WEIR_OK) {
        self->vitals.bad++;
        end (self, ask, status, NULL, NULL);
        return;
    }
    answer.meta = meta;
    if ((envelope->flags & WEIR_ENV_MORE) == 0) {
        end (self, ask, WEIR_OK, NULL, &answer);
        return;
    }
    ask->begun = true;
    if (ask->ms > 0) {
        ask->until_ms = self->now_ms + ask->ms;
        weir_timers_set (&self->timers, &ask->alarm.timer, ask->until_ms);
    }
    if (ask->done != NULL) {
        ask->done (self->state, self, ask->context, WEIR_OK, NULL, &answer);
    }
}

void
weir_asks_answer (struct weir_actor *self, struct weir_post *post)
{
    struct weir_ask *ask = find (self, post->envelope.request);
    /* Nobody waits any more, or it comes from an incarnation that was given up. */
    if (ask == NULL || ask->place != ASK_SENT || ask->envelope.kind != post->envelope.kind
        || !weir_mailbox_equal (&ask->envelope.to, &post->envelope.from)) {
        return;
    }
    bool by_broker = (post->envelope.flags & WEIR_ENV_REFUSED) != 0;
    if (by_broker && post->envelope.status == WEIR_UNAVAILABLE && refused (self, ask)) {
        return;
    }
    take (self, ask, post);
}
