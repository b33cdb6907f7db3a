/* The ring of a node's events. Pure memory; who follows it is control.c's. */

#include "broker/events.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
weir_events_init (struct weir_events *r)
{
    r->ring = weir_alloc (WEIR_EVENTS_KEPT * sizeof r->ring[0]);
    r->next = 1;
}

void
weir_events_fini (struct weir_events *r)
{
    free (r->ring);
    r->ring = NULL;
}

static bool
copy_id (uint8_t out[WEIR_ID_BYTES], bool has, ProtobufCBinaryData data)
{
    if (!has || data.len != WEIR_ID_BYTES) {
        return false;
    }
    memcpy (out, data.data, WEIR_ID_BYTES);
    return true;
}

uint64_t
weir_events_add (struct weir_events *r, const char *actor, const Weir__Event *event,
                 uint64_t now_unix_ms)
{
    struct weir_event *e = &r->ring[r->next % WEIR_EVENTS_KEPT];
    memset (e, 0, sizeof *e);
    (void) snprintf (e->actor, sizeof e->actor, "%s", actor);
    if (weir_field_get_text (e->name, sizeof e->name - 1, event->has_name, event->name)
        != WEIR_OK) {
        (void) snprintf (e->name, sizeof e->name, "unreadable");
    }
    if (weir_field_get_text (e->text, sizeof e->text - 1, event->has_text, event->text)
        != WEIR_OK) {
        e->text[0] = '\0';
    }
    e->has_device = copy_id (e->device, event->has_device, event->device);
    e->has_db = copy_id (e->db, event->has_db, event->db);
    e->status = event->status;
    e->ms = event->has_ms ? event->ms : now_unix_ms;
    e->number = r->next++;
    return e->number;
}

uint64_t
weir_events_note (struct weir_events *r, const char *name, uint32_t status, const char *text,
                  uint64_t now_unix_ms)
{
    Weir__Event event = WEIR__EVENT__INIT;
    event.has_name = 1;
    event.name = weir_field_str (name);
    event.has_text = 1;
    event.text = weir_field_str (text);
    event.status = status;
    return weir_events_add (r, "broker", &event, now_unix_ms);
}

const struct weir_event *
weir_events_after (const struct weir_events *r, uint64_t after)
{
    uint64_t oldest = r->next > WEIR_EVENTS_KEPT ? r->next - WEIR_EVENTS_KEPT : 1;
    uint64_t number = oldest;
    if (after >= oldest && after < r->next) {
        number = after + 1;
    } /* else it is too old, or of another run of the broker: from the beginning */
    return number < r->next ? &r->ring[number % WEIR_EVENTS_KEPT] : NULL;
}

void
weir_events_message (Weir__Event *out, const struct weir_event *event)
{
    weir__event__init (out);
    out->has_number = out->has_ms = out->has_actor = out->has_name = 1;
    out->has_status = out->has_text = 1;
    out->number = event->number;
    out->ms = event->ms;
    out->actor = weir_field_str (event->actor);
    out->name = weir_field_str (event->name);
    out->status = event->status;
    out->text = weir_field_str (event->text);
    out->has_device = event->has_device;
    out->has_db = event->has_db;
    out->device = weir_field_of (weir_bytes (event->device, event->has_device ? WEIR_ID_BYTES : 0));
    out->db = weir_field_of (weir_bytes (event->db, event->has_db ? WEIR_ID_BYTES : 0));
}
