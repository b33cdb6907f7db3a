/* Owns an actor's second socket, which no bulk can delay: hello, pings, stop, UP and DOWN, log
 * levels. The loop hands every message of it here, before any of the mailbox. */

#include "actors/runtime/actor_parts.h"

#include <stdio.h>
#include <unistd.h>

static void
send_on (struct weir_actor *self, void *socket, uint16_t kind, const ProtobufCMessage *meta)
{
    struct weir_post post;
    weir_post_init (&post);
    post.envelope.kind = kind;
    weir_post_pack (&post.meta, meta);
    if (weir_post_send (socket, &post) != WEIR_OK) {
        self->vitals.busy++; /* an unheard pong is what a hang is */
    }
    weir_post_fini (&post);
}

/* On both sockets: the broker can send to neither before it has heard from it. */
void
weir_lifeline_hello (struct weir_actor *self)
{
    Weir__ActorHello hello = WEIR__ACTOR_HELLO__INIT;
    hello.has_name = 1;
    hello.name = weir_field_str (self->name);
    hello.has_epoch = 1;
    hello.epoch = self->epoch;
    hello.has_pid = 1;
    hello.pid = (uint32_t) getpid ();
    send_on (self, self->mailbox, WEIR_KIND_HELLO_ACTOR, &hello.base);
    send_on (self, self->life, WEIR_KIND_HELLO_ACTOR, &hello.base);
}

static uint64_t
resident_bytes (void)
{
    unsigned long long total = 0;
    unsigned long long resident = 0;
    FILE *f = fopen ("/proc/self/statm", "re");
    if (f != NULL) {
        if (fscanf (f, "%llu %llu", &total, &resident) != 2) {
            resident = 0;
        }
        (void) fclose (f);
    }
    return (uint64_t) resident * (uint64_t) sysconf (_SC_PAGESIZE);
}

static void
pong (struct weir_actor *self)
{
    Weir__ActorVitals vitals = WEIR__ACTOR_VITALS__INIT;
    vitals.has_turns = vitals.has_received = vitals.has_sent = vitals.has_busy = 1;
    vitals.has_bad = vitals.has_rss_bytes = 1;
    vitals.turns = self->vitals.turns;
    vitals.received = self->vitals.received;
    vitals.sent = self->vitals.sent;
    vitals.busy = self->vitals.busy;
    vitals.bad = self->vitals.bad;
    vitals.rss_bytes = resident_bytes ();
    send_on (self, self->life, WEIR_KIND_PONG, &vitals.base);
}

static void
log_level_back (void *state, struct weir_actor *self, void *context)
{
    (void) state;
    (void) context;
    (void) weir_log_level_parse (&self->log.level, self->settings.log_level);
}

static void
set_log_level (struct weir_actor *self, const Weir__LogLevel *wanted)
{
    char word[16];
    if (weir_field_get_text (word, sizeof word - 1, wanted->has_level, wanted->level) != WEIR_OK
        || !weir_log_level_parse (&self->log.level, word)) {
        self->vitals.bad++;
        return;
    }
    weir_timers_remove (&self->timers, &self->log_alarm.timer);
    if (wanted->seconds > 0) {
        self->log_alarm.fn = log_level_back;
        weir_timers_set (&self->timers, &self->log_alarm.timer,
                         self->now_ms + (uint64_t) wanted->seconds * 1000u);
    }
}

/* The broker has checked them; one that this program does not know is left as it is. */
static void
reload (struct weir_actor *self, const Weir__ConfigReloaded *m)
{
    bool quiet = self->log_alarm.timer.place == 0; /* nobody set the level for a while */
    for (size_t i = 0; i < m->n_changes; i++) {
        char key[64];
        char value[WEIR_SETTING_TEXT_MAX];
        struct weir_error e = { 0 };
        const Weir__SettingChange *change = m->changes[i];
        if (change->applied
            && (weir_field_get_text (key, sizeof key - 1, change->has_key, change->key) != WEIR_OK
                || weir_field_get_text (value, sizeof value - 1, change->has_is, change->is)
                       != WEIR_OK
                || weir_settings_set (&self->settings, key, value, WEIR_FROM_FILE, &e)
                       != WEIR_OK)) {
            self->vitals.bad++;
        }
    }
    if (quiet) {
        (void) weir_log_level_parse (&self->log.level, self->settings.log_level);
    }
    if (self->def->reloaded != NULL && self->state != NULL) {
        self->def->reloaded (self->state, self);
    }
}

void
weir_lifeline_take (struct weir_actor *self, struct weir_post *post)
{
    const struct weir_kind *kind = weir_kind (post->envelope.kind);
    ProtobufCMessage *meta = NULL;
    weir_arena_reset (self->arena);
    if (kind == NULL
        || weir_meta_get (&meta, self->arena, kind, false, weir_post_bytes (&post->meta))
               != WEIR_OK) {
        self->vitals.bad++;
        return;
    }
    switch (kind->number) {
    case WEIR_KIND_PING:
        pong (self);
        break;
    case WEIR_KIND_STOP:
        self->stopping = true;
        break;
    case WEIR_KIND_UP:
    case WEIR_KIND_DOWN:
        weir_partner_notice (self, kind->number == WEIR_KIND_UP, (const Weir__ActorNotice *) meta);
        break;
    case WEIR_KIND_RELOAD:
        reload (self, (const Weir__ConfigReloaded *) meta);
        break;
    case WEIR_KIND_SET_LOG_LEVEL:
        set_log_level (self, (const Weir__LogLevel *) meta);
        break;
    default:
        self->vitals.bad++;
        break;
    }
}
