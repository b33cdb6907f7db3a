/* What an actor says to people: log lines, and events that the broker keeps for `weir events`. */

#include "actors/runtime/actor_parts.h"

#include <stdio.h>

void
weir_actor_log (struct weir_actor *self, enum weir_log_level level, const char *event,
                const char *format, ...)
{
    va_list args;
    va_start (args, format);
    weir_log_vput (&self->log, level, event, format, args);
    va_end (args);
}

void
weir_actor_event (struct weir_actor *self, const char *event, const struct weir_id *device,
                  const struct weir_id *db, enum weir_status status, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start (args, format);
    (void) vsnprintf (text, sizeof text, format, args);
    va_end (args);
    weir_log_put (&self->log, WEIR_LOG_INFO, event, "device=%s db=%s code=%s text=\"%s\"",
                  device == NULL ? "" : weir_id_text (device).s,
                  db == NULL ? "" : weir_id_text (db).s, weir_status_code (status), text);
    Weir__Event message = WEIR__EVENT__INIT;
    message.has_ms = 1;
    message.ms = weir_actor_wall_ms (self);
    message.has_name = 1;
    message.name = weir_field_str (event);
    message.has_device = device != NULL;
    message.has_db = db != NULL;
    if (device != NULL) {
        message.device = weir_field_id (device);
    }
    if (db != NULL) {
        message.db = weir_field_id (db);
    }
    message.has_status = 1;
    message.status = (uint32_t) status;
    message.has_text = 1;
    message.text = weir_field_str (text);
    /* Lost when the mailbox is full: the log line above has it. */
    (void) weir_actor_send_about (self, WEIR_KIND_EVENT, NULL, device, db, 0, &message.base,
                                  weir_bytes (NULL, 0));
}
