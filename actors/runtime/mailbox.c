/* Owns what goes through an actor's mailbox: sending, answering, and handing what arrives to the
 * actor's handlers. Whom a kind goes to comes from kinds.def; nothing here blocks. */

#include "actors/runtime/actor_parts.h"

#include <string.h>

enum weir_status
weir_mailbox_send (struct weir_actor *self, struct weir_post *post)
{
    enum weir_status status = weir_post_send (self->mailbox, post);
    if (status == WEIR_OK) {
        self->vitals.sent++;
    } else {
        self->vitals.busy++;
    }
    return status;
}

/* ---- one-way ---- */

enum weir_status
weir_actor_send_about (struct weir_actor *self, uint16_t kind, const struct weir_mailbox_id *to,
                       const struct weir_id *peer, const struct weir_id *db, uint64_t trace,
                       const ProtobufCMessage *meta, struct weir_bytes body)
{
    const struct weir_kind *k = weir_kind (kind);
    weir_assert (k != NULL && (k->flags & WEIR_KIND_ONEWAY) != 0);
    weir_assert (meta == NULL || meta->descriptor == k->meta);
    struct weir_post post;
    weir_post_init (&post);
    post.envelope.kind = kind;
    post.envelope.trace = trace;
    if (to != NULL) {
        post.envelope.to = *to;
    } else if (k->to != WEIR_ROLE_B) {
        const struct weir_partner *partner = weir_partner_of_role (self, k->to);
        if (partner == NULL || !partner->up) {
            weir_post_fini (&post);
            return WEIR_UNAVAILABLE;
        }
        post.envelope.to = partner->mailbox;
    }
    if (peer != NULL) {
        memcpy (post.envelope.peer, peer->b, sizeof post.envelope.peer);
    }
    if (db != NULL) {
        memcpy (post.envelope.database, db->b, sizeof post.envelope.database);
    }
    weir_post_pack (&post.meta, meta);
    weir_post_copy (&post.body, body);
    enum weir_status status = weir_mailbox_send (self, &post);
    weir_post_fini (&post);
    return status;
}

enum weir_status
weir_actor_send (struct weir_actor *self, uint16_t kind, const struct weir_mailbox_id *to,
                 const ProtobufCMessage *meta, struct weir_bytes body)
{
    return weir_actor_send_about (self, kind, to, NULL, NULL, 0, meta, body);
}

/* ---- answers ---- */

static void
answer (struct weir_actor *self, const struct weir_envelope *request, uint8_t flags,
        enum weir_status status, struct weir_post *post)
{
    post->envelope = *request;
    post->envelope.flags = (uint8_t) (WEIR_ENV_ANSWER | flags);
    post->envelope.status = (uint16_t) status;
    post->envelope.ms_left = 0;
    post->envelope.to = request->from;
    memset (&post->envelope.from, 0, sizeof post->envelope.from);
    /* A full mailbox drops it, counted: the asker's time runs out and it asks again. */
    (void) weir_mailbox_send (self, post);
}

void
weir_actor_answer (struct weir_actor *self, const struct weir_envelope *request,
                   const ProtobufCMessage *meta, struct weir_bytes body, bool more)
{
    if (request->request == 0) {
        return;
    }
    const struct weir_kind *k = weir_kind (request->kind);
    weir_assert (k != NULL && (meta == NULL || meta->descriptor == k->answer));
    struct weir_post post;
    weir_post_init (&post);
    weir_post_pack (&post.meta, meta);
    weir_post_copy (&post.body, body);
    answer (self, request, more ? WEIR_ENV_MORE : 0, WEIR_OK, &post);
    weir_post_fini (&post);
}

void
weir_actor_fail (struct weir_actor *self, const struct weir_envelope *request,
                 enum weir_status status, const struct weir_error *e)
{
    if (request->request == 0) {
        return;
    }
    struct weir_buf meta = { 0 };
    struct weir_post post;
    weir_post_init (&post);
    weir_problem_put (&meta, status, e);
    weir_post_copy (&post.meta, weir_buf_bytes (&meta));
    answer (self, request, 0, status, &post);
    weir_post_fini (&post);
    weir_buf_fini (&meta);
}

/* ---- what arrives ---- */

static void
refuse (struct weir_actor *self, const struct weir_envelope *envelope, enum weir_status status)
{
    self->vitals.bad++;
    weir_actor_log (self, WEIR_LOG_WARN, "message_refused", "kind=%u code=%s", envelope->kind,
                    weir_status_code (status));
    weir_actor_fail (self, envelope, status, NULL);
}

void
weir_mailbox_take (struct weir_actor *self, struct weir_post *post)
{
    const struct weir_envelope *envelope = &post->envelope;
    self->vitals.received++;
    weir_arena_reset (self->arena);
    if ((envelope->flags & WEIR_ENV_ANSWER) != 0) {
        weir_asks_answer (self, post);
        return;
    }
    const struct weir_kind *kind = weir_kind (envelope->kind);
    if (kind == NULL || self->handlers[kind->number] == NULL) {
        refuse (self, envelope, WEIR_UNKNOWN_KIND);
        return;
    }
    struct weir_message message = {
        .envelope = *envelope,
        .kind = kind,
        .meta_bytes = weir_post_bytes (&post->meta),
        .body = weir_post_bytes (&post->body),
    };
    ProtobufCMessage *meta = NULL;
    enum weir_status status = weir_meta_get (&meta, self->arena, kind, false, message.meta_bytes);
    if (status != WEIR_OK) {
        refuse (self, envelope, status);
        return;
    }
    message.meta = meta;
    self->handlers[kind->number](self->state, self, &message);
}
