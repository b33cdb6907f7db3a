/* What clients (and the gateway) ask of the broker itself: status, stop, restart, log levels,
 * taps, events. Streams are answered as far as the asker reads; the rest waits in the ring or is
 * counted as missed. Called by router.c and the loop. */

#include "broker/parts.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define EVENTS_PER_TURN 256u

uint64_t
weir_unix_ms (void)
{
    struct timespec now;
    (void) clock_gettime (CLOCK_REALTIME, &now);
    return (uint64_t) now.tv_sec * 1000u + (uint64_t) now.tv_nsec / 1000000u;
}

/* Something people should see: logged, and kept for `weir events`. */
void
weir_control_note (struct weir_broker *b, const char *event, enum weir_status status,
                   const char *format, ...)
{
    char text[256];
    va_list args;
    va_start (args, format);
    (void) vsnprintf (text, sizeof text, format, args);
    va_end (args);
    weir_log_put (&b->log, WEIR_LOG_INFO, event, "%s", text);
    (void) weir_events_note (&b->events, event, (uint32_t) status, text, weir_unix_ms ());
}

/* ---- events ---- */

static void
remove_follower (struct weir_broker *b, size_t i)
{
    b->n_followers--;
    memmove (&b->followers[i], &b->followers[i + 1], (b->n_followers - i) * sizeof b->followers[0]);
}

static enum weir_status
end_follower (struct weir_broker *b, const struct weir_follower *f)
{
    Weir__Event last = WEIR__EVENT__INIT;
    last.has_number = 1;
    last.number = f->after;
    return weir_router_answer_more (b, &f->request, &last.base, false);
}

/* Sends what it can; false: this follower is done with, or gone. */
static bool
feed (struct weir_broker *b, struct weir_follower *f)
{
    for (size_t n = 0; n < EVENTS_PER_TURN; n++) {
        const struct weir_event *event = weir_events_after (&b->events, f->after);
        if (event == NULL) {
            return f->follow || end_follower (b, f) == WEIR_BUSY;
        }
        Weir__Event message;
        weir_events_message (&message, event);
        enum weir_status status = weir_router_answer_more (b, &f->request, &message.base, true);
        if (status != WEIR_OK) {
            return status == WEIR_BUSY; /* it goes on where it stands */
        }
        f->after = event->number;
    }
    return true;
}

static void
events (struct weir_broker *b, const struct weir_envelope *request, const Weir__EventsAsk *ask)
{
    struct weir_error e = { 0 };
    if (b->n_followers == WEIR_FOLLOWERS_MAX) {
        (void) weir_error_set (&e, WEIR_LIMIT, NULL, "%u follow the events already",
                               WEIR_FOLLOWERS_MAX);
        weir_router_fail (b, request, WEIR_LIMIT, &e);
        return;
    }
    struct weir_follower *f = &b->followers[b->n_followers];
    *f = (struct weir_follower){ *request, ask->after, ask->follow != 0 };
    if (feed (b, f)) {
        b->n_followers++;
    }
}

static void
stop_stream (struct weir_broker *b, const struct weir_envelope *request, uint64_t stream)
{
    enum weir_status status = WEIR_NOT_FOUND;
    for (size_t i = 0; i < b->n_followers && status != WEIR_OK; i++) {
        struct weir_follower *f = &b->followers[i];
        if (f->request.request == stream && weir_mailbox_equal (&f->request.from, &request->from)) {
            (void) end_follower (b, f);
            remove_follower (b, i);
            status = WEIR_OK;
        }
    }
    if (status != WEIR_OK) {
        status = weir_taps_stop (&b->taps, &request->from, stream, "stopped");
    }
    if (status == WEIR_OK) {
        weir_router_answer (b, request, NULL);
    } else {
        weir_router_fail (b, request, status, NULL);
    }
}

/* ---- actors ---- */

static enum weir_status
find_actor (struct weir_broker *b, size_t *child, bool has, ProtobufCBinaryData name,
            struct weir_error *e)
{
    char text[64];
    if (weir_field_get_text (text, sizeof text - 1, has, name) != WEIR_OK) {
        return weir_error_set (e, WEIR_INVALID_ARGUMENT, NULL, "that is no actor's name");
    }
    *child = weir_children_named (b, text);
    if (*child == WEIR_NOBODY) {
        return weir_error_set (e, WEIR_NOT_FOUND, "weir actor ls", "there is no actor %s", text);
    }
    return WEIR_OK;
}

static void
reply (struct weir_broker *b, const struct weir_envelope *request, enum weir_status status,
       const struct weir_error *e)
{
    if (status == WEIR_OK) {
        weir_router_answer (b, request, NULL);
    } else {
        weir_router_fail (b, request, status, e);
    }
}

static void
restart_actor (struct weir_broker *b, const struct weir_envelope *request,
               const Weir__ActorName *ask)
{
    size_t child = WEIR_NOBODY;
    struct weir_error e = { 0 };
    enum weir_status status = find_actor (b, &child, ask->has_name, ask->name, &e);
    if (status == WEIR_OK && b->supervisor.stopping) {
        status = weir_error_set (&e, WEIR_UNAVAILABLE, NULL, "the node is stopping");
    }
    if (status == WEIR_OK) {
        weir_control_note (b, "actor_restart", WEIR_OK, "%s", b->slots[child].name);
        weir_children_event (b, child, WEIR_CHILD_RESTART, 0);
        weir_children_act (b);
    }
    reply (b, request, status, &e);
}

static enum weir_status
set_log_level (struct weir_broker *b, const Weir__LogLevel *ask, struct weir_error *e)
{
    char level[16];
    enum weir_log_level parsed = WEIR_LOG_INFO;
    if (weir_field_get_text (level, sizeof level - 1, ask->has_level, ask->level) != WEIR_OK
        || !weir_log_level_parse (&parsed, level)) {
        return weir_error_set (e, WEIR_INVALID_ARGUMENT, NULL,
                               "a log level is error, warn, info or debug");
    }
    if (weir_bytes_equal (weir_field (ask->actor), weir_bytes_str ("broker"))) {
        b->log.level = parsed;
        return WEIR_OK;
    }
    size_t child = WEIR_NOBODY;
    enum weir_status status = find_actor (b, &child, ask->has_actor, ask->actor, e);
    if (status != WEIR_OK) {
        return status;
    }
    if (weir_router_tell (b, &b->slots[child], WEIR_KIND_SET_LOG_LEVEL, &ask->base) != WEIR_OK) {
        return weir_error_set (e, WEIR_UNAVAILABLE, NULL, "%s is not running",
                               b->slots[child].name);
    }
    return WEIR_OK;
}

static void
reload (struct weir_broker *b, const struct weir_envelope *request)
{
    struct weir_error e = { 0 };
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    Weir__ConfigReloaded m = WEIR__CONFIG_RELOADED__INIT;
    enum weir_status status = weir_reload (b, arena, &m, &e);
    if (status == WEIR_OK) {
        weir_router_answer (b, request, &m.base);
    } else {
        weir_router_fail (b, request, status, &e);
    }
    weir_arena_destroy (&arena);
}

/* ---- taps ---- */

static void
start_tap (struct weir_broker *b, const struct weir_envelope *request,
           const Weir__TapFilter *wanted)
{
    struct weir_error e = { 0 };
    enum weir_status status = weir_taps_start (&b->taps, request, wanted, b->now_ms, &e);
    if (status != WEIR_OK) {
        weir_router_fail (b, request, status, &e);
        return;
    }
    weir_control_note (b, "tap_started", WEIR_OK, "taps=%zu", b->taps.count);
}

/* ---- all of them ---- */

void
weir_control_take (struct weir_broker *b, struct weir_letter *letter)
{
    const struct weir_envelope *request = &letter->envelope;
    ProtobufCMessage *meta = NULL;
    struct weir_error e = { 0 };
    weir_arena_reset (b->arena);
    enum weir_status status =
        weir_meta_get (&meta, b->arena, letter->kind, false,
                       weir_bytes (zmq_msg_data (&letter->meta), zmq_msg_size (&letter->meta)));
    if (status != WEIR_OK) {
        b->dropped++;
        weir_router_fail (b, request, status, NULL);
        return;
    }
    switch (letter->kind->number) {
    case WEIR_KIND_NODE_STATUS:
        weir_status_answer (b, request);
        break;
    case WEIR_KIND_NODE_STOP:
        weir_router_answer (b, request, NULL);
        weir_control_note (b, "node_stop", WEIR_OK, "asked by a client");
        weir_supervisor_stop (&b->supervisor, 0, b->now_ms, &b->actions);
        weir_children_act (b);
        break;
    case WEIR_KIND_ACTOR_RESTART:
        restart_actor (b, request, (const Weir__ActorName *) meta);
        break;
    case WEIR_KIND_ACTOR_LOG_LEVEL:
        status = set_log_level (b, (const Weir__LogLevel *) meta, &e);
        reply (b, request, status, &e);
        break;
    case WEIR_KIND_CONFIG_RELOAD:
        reload (b, request);
        break;
    case WEIR_KIND_TAP_START:
        start_tap (b, request, (const Weir__TapFilter *) meta);
        break;
    case WEIR_KIND_TAP_STOP:
        stop_stream (b, request, ((const Weir__TapStop *) meta)->request);
        break;
    case WEIR_KIND_STREAM_STOP:
        stop_stream (b, request, ((const Weir__StreamStop *) meta)->request);
        break;
    case WEIR_KIND_EVENTS:
        events (b, request, (const Weir__EventsAsk *) meta);
        break;
    default:
        weir_router_fail (b, request, WEIR_UNKNOWN_KIND, NULL);
        break;
    }
}

void
weir_control_tick (struct weir_broker *b)
{
    weir_taps_tick (&b->taps, b->now_ms);
    for (size_t i = b->n_followers; i > 0; i--) {
        if (!feed (b, &b->followers[i - 1])) {
            remove_follower (b, i - 1);
        }
    }
}

void
weir_control_end (struct weir_broker *b)
{
    weir_control_tick (b);
    while (b->n_followers > 0) {
        enum weir_status status = end_follower (b, &b->followers[b->n_followers - 1]);
        b->dropped += status == WEIR_OK ? 0 : 1;
        b->n_followers--;
    }
    weir_taps_tick (&b->taps, UINT64_MAX);
}
