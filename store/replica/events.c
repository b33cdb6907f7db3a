/* Owns who is told what changed: listens to the shown document from the moment it begins to
 * change, and tells the difference when that is over. What changed by another document being
 * shown is found by comparing both. */

#include "store/replica/diff_replica.h"
#include "store/replica/events.h"

#include <stdlib.h>
#include <string.h>

#define LISTENERS_MAX 16u

struct listener {
    weir_replica_event_fn *fn;
    void *context;
};

struct weir_replica_events {
    struct listener listeners[LISTENERS_MAX]; /* in order */
    size_t n_listeners;
    bool is_open;
    struct weir_doc *doc; /* listened to since begin */
    struct weir_heads from;
    struct weir_records records;
    struct weir_map *shapes; /* of `shapes_doc`; NULL: not looked at yet */
    struct weir_doc *shapes_doc;
};

static void
note (void *context, const struct weir_notice *notice)
{
    struct weir_replica_events *events = context;
    weir_records_note (&events->records, notice);
}

static void
shapes_keep (struct weir_replica_events *events, struct weir_doc *doc)
{
    if (events->shapes == NULL || events->shapes_doc != doc) {
        weir_shapes_destroy (&events->shapes);
        events->shapes = weir_shapes_of (doc);
        events->shapes_doc = doc;
    }
}

static void
shapes_forget (struct weir_replica_events *events)
{
    weir_shapes_destroy (&events->shapes);
    events->shapes_doc = NULL;
}

static void
close_event (struct weir_replica_events *events)
{
    weir_records_clear (&events->records);
    weir_heads_fini (&events->from);
    events->is_open = false;
    events->doc = NULL;
}

void
weir_replica_events_fini (struct weir_replica *self)
{
    struct weir_replica_events *events = self->events;
    if (events != NULL) {
        shapes_forget (events);
        close_event (events);
        free (events);
        self->events = NULL;
    }
}

/* ---- listeners ---- */

void
weir_replica_listen (struct weir_replica *self, weir_replica_event_fn *fn, void *context)
{
    /* What is open was not listened to from its beginning. */
    weir_ignore (weir_replica_commit (self, weir_bytes (NULL, 0), 0, NULL, NULL));
    if (self->events == NULL) {
        self->events = weir_alloc (sizeof *self->events);
    }
    struct weir_replica_events *events = self->events;
    weir_assert (events->n_listeners < LISTENERS_MAX);
    events->listeners[events->n_listeners++] = (struct listener){ .fn = fn, .context = context };
}

void
weir_replica_unlisten (struct weir_replica *self, weir_replica_event_fn *fn, void *context)
{
    struct weir_replica_events *events = self->events;
    size_t i = 0;
    while (events != NULL && i < events->n_listeners
           && (events->listeners[i].fn != fn || events->listeners[i].context != context)) {
        i++;
    }
    if (events != NULL && i < events->n_listeners) {
        events->n_listeners--;
        memmove (&events->listeners[i], &events->listeners[i + 1],
                 (events->n_listeners - i) * sizeof *events->listeners);
    }
}

void
weir_replica_subscribe (struct weir_replica *self, weir_replica_event_fn *fn, void *context)
{
    weir_ignore (weir_replica_commit (self, weir_bytes (NULL, 0), 0, NULL, NULL));
    if (self->subscriber != NULL) {
        weir_replica_unlisten (self, self->subscriber, self->subscriber_context);
    }
    self->subscriber = fn;
    self->subscriber_context = context;
    if (fn != NULL) {
        weir_replica_listen (self, fn, context);
    }
}

void
weir_replica_set_origin (struct weir_replica *self, const char *origin)
{
    self->origin = origin;
}

/* ---- events ---- */

void
weir_replica_event_begin (struct weir_replica *self, enum weir_event_by by)
{
    struct weir_replica_events *events = self->events;
    if (events == NULL || events->n_listeners == 0 || events->is_open) {
        return;
    }
    events->is_open = true;
    events->doc = weir_replica_shown (self);
    weir_replica_doc_heads (self, &events->from);
    if (by != WEIR_BY_CHECKOUT) {
        shapes_keep (events, events->doc);
        weir_doc_listen (events->doc, note, events);
    }
}

/* By comparing: the version before is made again. */
static json_t *
compare (struct weir_replica *self, const struct weir_heads *from)
{
    struct weir_replica_peek before = { .doc = NULL };
    json_t *diff = NULL;
    struct weir_error e = { 0 };
    shapes_forget (self->events);
    if (weir_replica_peek (self, from, &before, &e) == WEIR_OK) {
        weir_ignore (weir_doc_diff (before.doc, weir_replica_shown (self), &diff, &e));
    }
    weir_replica_peek_fini (&before);
    return diff;
}

static void
tell_all (struct weir_replica *self, enum weir_event_by by, const struct weir_heads *from,
          const struct weir_heads *to, const json_t *diff)
{
    struct weir_replica_event event = {
        .by = by, .origin = "", .from = from, .to = to, .diff = diff
    };
    struct weir_replica_events *events = self->events;
    struct listener told[LISTENERS_MAX];
    size_t n = events->n_listeners;
    if (by == WEIR_BY_LOCAL && self->origin != NULL) {
        event.origin = self->origin;
    }
    /* They may leave while they are told. */
    memcpy (told, events->listeners, sizeof told);
    for (size_t i = 0; i < n; i++) {
        told[i].fn (told[i].context, &event);
    }
}

void
weir_replica_event_end (struct weir_replica *self, enum weir_event_by by)
{
    struct weir_replica_events *events = self->events;
    struct weir_heads from = { 0 };
    struct weir_heads to = { 0 };
    json_t *diff = NULL;
    if (events != NULL && events->is_open) {
        bool same_doc = by != WEIR_BY_CHECKOUT && events->doc == weir_replica_shown (self);
        if (same_doc) {
            weir_doc_listen (events->doc, NULL, NULL);
        }
        if (same_doc && !events->records.is_too_much) {
            diff = weir_records_diff (&events->records, events->shapes);
        } else {
            diff = compare (self, &events->from);
        }
        from = events->from;
        events->from = (struct weir_heads){ 0 };
        close_event (events);
        weir_replica_doc_heads (self, &to);
        if (json_array_size (diff) > 0) {
            tell_all (self, by, &from, &to, diff);
        }
    }
    if (by == WEIR_BY_LOCAL) {
        self->origin = NULL;
    }
    json_decref (diff);
    weir_heads_fini (&from);
    weir_heads_fini (&to);
}
