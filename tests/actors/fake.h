#ifndef WEIR_TESTS_ACTORS_FAKE_H
#define WEIR_TESTS_ACTORS_FAKE_H

/* A runtime for tests of one actor: it defines every function of actors/runtime/actor.h, keeps
 * what the actor sends, and lets the test be all its partners. Several may live in one process.
 * Included by one .c of a test program. Time is real, or the test's when `virtual_ms` is set. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <zmq.h>

#include "actors/runtime/actor.h"
#include "store/crypto/sign.h"

#define FAKE_WATCHES 64
#define FAKE_TIMERS 256
#define FAKE_PATIENCE_MS 10000u

/* Something the actor sent: a message, a request, or an answer to the test's request. */
struct fake_sent {
    struct fake_sent *next;
    uint16_t kind;
    bool answer;
    bool more;
    enum weir_status status;
    struct weir_mailbox_id to;
    uint64_t request; /* of ours, or of the actor's own request */
    struct weir_buf meta;
    struct weir_buf body;
    weir_actor_answer_fn *done;
    void *context;
    struct weir_arena *arena; /* of `decoded` */
    const ProtobufCMessage *decoded;
    struct weir_error problem;
};

struct fake_timer {
    uint64_t id;
    uint64_t at_ms;
    weir_actor_fn *fn;
    void *context;
};

struct fake_watch {
    void *socket;
    weir_actor_fn *fn;
    void *context;
};

struct weir_actor {
    const struct weir_actor_def *def;
    void *state;
    char name[64];
    void *zmq;
    struct weir_settings_values settings;
    struct weir_rand rand;
    struct fake_sent *sent;
    struct fake_timer timers[FAKE_TIMERS];
    struct fake_watch watches[FAKE_WATCHES];
    uint64_t next_id;
    uint64_t virtual_ms; /* 0: real time */
    bool ready;
    bool full; /* sends answer WEIR_BUSY */
    enum weir_status ended;
    unsigned logs;
    unsigned events;
    char last_event[64];
};

/* ---- what the actor calls ---- */

static struct weir_mailbox_id
fake_mailbox (uint8_t number)
{
    struct weir_mailbox_id id = { { 0 } };
    id.b[0] = 1;
    id.b[15] = number;
    return id;
}

static struct fake_sent *
fake_keep (struct weir_actor *self, uint16_t kind, const struct weir_mailbox_id *to,
           const ProtobufCMessage *meta, struct weir_bytes body)
{
    struct fake_sent *s = weir_alloc (sizeof *s);
    struct fake_sent **at = &self->sent;
    while (*at != NULL) {
        at = &(*at)->next;
    }
    *at = s;
    s->kind = kind;
    if (to != NULL) {
        s->to = *to;
    }
    weir_meta_put (&s->meta, meta);
    weir_buf_put_bytes (&s->body, body);
    return s;
}

enum weir_status
weir_actor_send (struct weir_actor *self, uint16_t kind, const struct weir_mailbox_id *to,
                 const ProtobufCMessage *meta, struct weir_bytes body)
{
    if (self->full) {
        return WEIR_BUSY;
    }
    fake_keep (self, kind, to, meta, body);
    return WEIR_OK;
}

enum weir_status
weir_actor_send_about (struct weir_actor *self, uint16_t kind, const struct weir_mailbox_id *to,
                       const struct weir_id *peer, const struct weir_id *db, uint64_t trace,
                       const ProtobufCMessage *meta, struct weir_bytes body)
{
    (void) peer;
    (void) db;
    (void) trace;
    return weir_actor_send (self, kind, to, meta, body);
}

uint64_t
weir_actor_ask (struct weir_actor *self, uint16_t kind, const struct weir_mailbox_id *to,
                const ProtobufCMessage *meta, struct weir_bytes body, uint32_t ms,
                weir_actor_answer_fn *done, void *context)
{
    struct fake_sent *s = fake_keep (self, kind, to, meta, body);
    (void) ms;
    assert_non_null (done);
    s->done = done;
    s->context = context;
    s->request = ++self->next_id;
    return s->request;
}

void
weir_actor_answer (struct weir_actor *self, const struct weir_envelope *request,
                   const ProtobufCMessage *meta, struct weir_bytes body, bool more)
{
    struct fake_sent *s = fake_keep (self, request->kind, &request->from, meta, body);
    s->answer = true;
    s->more = more;
    s->request = request->request;
}

void
weir_actor_fail (struct weir_actor *self, const struct weir_envelope *request,
                 enum weir_status status, const struct weir_error *e)
{
    struct fake_sent *s =
        fake_keep (self, request->kind, &request->from, NULL, weir_bytes (NULL, 0));
    s->answer = true;
    s->status = status;
    s->request = request->request;
    if (e != NULL) {
        s->problem = *e;
    }
}

static uint64_t
fake_real_ms (void)
{
    struct timespec t;
    clock_gettime (CLOCK_MONOTONIC, &t);
    return (uint64_t) t.tv_sec * 1000u + (uint64_t) t.tv_nsec / 1000000u;
}

uint64_t
weir_actor_now_ms (const struct weir_actor *self)
{
    return self->virtual_ms != 0 ? self->virtual_ms : fake_real_ms ();
}

uint64_t
weir_actor_wall_ms (const struct weir_actor *self)
{
    return weir_actor_now_ms (self) + 1700000000000u;
}

struct weir_rand *
weir_actor_rand (struct weir_actor *self)
{
    return &self->rand;
}

uint64_t
weir_actor_timer (struct weir_actor *self, uint64_t at_ms, weir_actor_fn *fn, void *context)
{
    for (size_t i = 0; i < FAKE_TIMERS; i++) {
        if (self->timers[i].id == 0) {
            self->timers[i] = (struct fake_timer){ ++self->next_id, at_ms, fn, context };
            return self->timers[i].id;
        }
    }
    fail_msg ("more timers than the test allows");
    return 0;
}

void
weir_actor_timer_cancel (struct weir_actor *self, uint64_t id)
{
    for (size_t i = 0; i < FAKE_TIMERS; i++) {
        if (id != 0 && self->timers[i].id == id) {
            self->timers[i].id = 0;
        }
    }
}

void
weir_actor_watch_fd (struct weir_actor *self, int fd, weir_actor_fn *fn, void *context)
{
    (void) self;
    (void) fd;
    (void) fn;
    (void) context;
    fail_msg ("no actor under test watches an fd");
}

void
weir_actor_watch_socket (struct weir_actor *self, void *socket, weir_actor_fn *fn, void *context)
{
    size_t free_at = FAKE_WATCHES;
    for (size_t i = 0; i < FAKE_WATCHES; i++) {
        if (self->watches[i].socket == socket) {
            self->watches[i] = (struct fake_watch){ fn != NULL ? socket : NULL, fn, context };
            return;
        }
        if (self->watches[i].socket == NULL && free_at == FAKE_WATCHES) {
            free_at = i;
        }
    }
    if (fn != NULL) {
        assert_true (free_at < FAKE_WATCHES);
        self->watches[free_at] = (struct fake_watch){ socket, fn, context };
    }
}

void *
weir_actor_zmq (struct weir_actor *self)
{
    return self->zmq;
}

const char *
weir_actor_name (const struct weir_actor *self)
{
    return self->name;
}

uint64_t
weir_actor_epoch (const struct weir_actor *self)
{
    (void) self;
    return 77;
}

const struct weir_settings_values *
weir_actor_settings (const struct weir_actor *self)
{
    return &self->settings;
}

void
weir_actor_ready (struct weir_actor *self)
{
    assert_false (self->ready);
    self->ready = true;
}

void
weir_actor_exit (struct weir_actor *self, enum weir_status status, const struct weir_error *e)
{
    (void) e;
    self->ended = status;
}

void
weir_actor_log (struct weir_actor *self, enum weir_log_level level, const char *event,
                const char *format, ...)
{
    (void) level;
    (void) event;
    (void) format;
    self->logs++;
}

void
weir_actor_event (struct weir_actor *self, const char *event, const struct weir_id *device,
                  const struct weir_id *db, enum weir_status status, const char *format, ...)
{
    (void) device;
    (void) db;
    (void) status;
    (void) format;
    self->events++;
    snprintf (self->last_event, sizeof self->last_event, "%s", event);
}

int
weir_actor_run (const struct weir_actor_def *def, int argc, char **argv)
{
    (void) def;
    (void) argc;
    (void) argv;
    return 1;
}

/* ---- what the test calls ---- */

static inline struct weir_actor *
fake_new (const struct weir_actor_def *def, const char *name)
{
    struct weir_actor *self = weir_alloc (sizeof *self);
    weir_crypto_init ();
    self->def = def;
    self->zmq = zmq_ctx_new ();
    snprintf (self->name, sizeof self->name, "%s", name);
    weir_rand_init (&self->rand, 1);
    snprintf (self->settings.role, sizeof self->settings.role, "leaf");
    self->settings.enabled = self->settings.forward = true;
    self->settings.transports = 1;
    self->settings.check_interval_secs = WEIR_CHECK_INTERVAL_SECS;
    self->settings.batch_size = WEIR_BATCH_SIZE;
    self->settings.max_attempts = WEIR_MAX_ATTEMPTS;
    self->settings.max_queue_size = WEIR_MAX_QUEUE_SIZE;
    self->settings.max_queue_age_secs = WEIR_MAX_QUEUE_AGE_SECS;
    return self;
}

static inline void
fake_start (struct weir_actor *self)
{
    struct weir_error e = { 0 };
    assert_int_equal (self->def->start (&self->state, self, &e), WEIR_OK);
}

static inline void
fake_sent_free (struct fake_sent *s)
{
    weir_buf_fini (&s->meta);
    weir_buf_fini (&s->body);
    weir_arena_destroy (&s->arena);
    free (s);
}

static inline void
fake_forget_sent (struct weir_actor *self)
{
    while (self->sent != NULL) {
        struct fake_sent *next = self->sent->next;
        fake_sent_free (self->sent);
        self->sent = next;
    }
}

static inline void
fake_destroy (struct weir_actor **self_p)
{
    struct weir_actor *self = *self_p;
    if (self->state != NULL) {
        self->def->stop (&self->state, self);
    }
    fake_forget_sent (self);
    zmq_ctx_term (self->zmq);
    free (self);
    *self_p = NULL;
}

/* One turn: what is readable within `ms`, and the timers that are due. */
static inline void
fake_turn (struct weir_actor *self, long ms)
{
    zmq_pollitem_t items[FAKE_WATCHES];
    struct fake_watch watches[FAKE_WATCHES];
    int n = 0;
    for (size_t i = 0; i < FAKE_WATCHES; i++) {
        if (self->watches[i].socket != NULL) {
            items[n] = (zmq_pollitem_t){ self->watches[i].socket, 0, ZMQ_POLLIN, 0 };
            watches[n++] = self->watches[i];
        }
    }
    if (n > 0) {
        (void) zmq_poll (items, n, ms);
    }
    for (int i = 0; i < n; i++) {
        for (size_t k = 0; (items[i].revents & ZMQ_POLLIN) != 0 && k < FAKE_WATCHES; k++) {
            if (self->watches[k].socket == watches[i].socket) { /* not removed since */
                watches[i].fn (self->state, self, watches[i].context);
                break;
            }
        }
    }
    for (size_t i = 0; i < FAKE_TIMERS; i++) {
        struct fake_timer t = self->timers[i];
        if (t.id != 0 && t.at_ms <= weir_actor_now_ms (self)) {
            self->timers[i].id = 0;
            t.fn (self->state, self, t.context);
        }
    }
    if (self->def->after_turn != NULL) {
        self->def->after_turn (self->state, self);
    }
}

/* Virtual time goes on, timer by timer. */
static inline void
fake_pass (struct weir_actor *self, uint64_t ms)
{
    uint64_t until = self->virtual_ms + ms;
    for (;;) {
        uint64_t next = until;
        for (size_t i = 0; i < FAKE_TIMERS; i++) {
            if (self->timers[i].id != 0 && self->timers[i].at_ms < next) {
                next = self->timers[i].at_ms;
            }
        }
        self->virtual_ms = next > self->virtual_ms ? next : self->virtual_ms;
        fake_turn (self, 0);
        if (self->virtual_ms >= until) {
            return;
        }
        self->virtual_ms += next == self->virtual_ms ? 1 : 0;
    }
}

static inline struct fake_sent *
fake_find (struct weir_actor *self, uint16_t kind, bool answer)
{
    for (struct fake_sent **at = &self->sent; *at != NULL; at = &(*at)->next) {
        struct fake_sent *s = *at;
        if (s->kind == kind && s->answer == answer) {
            *at = s->next;
            s->next = NULL;
            if (s->status == WEIR_OK && s->arena == NULL) {
                s->arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
                ProtobufCMessage *m = NULL;
                assert_int_equal (weir_meta_get (&m, s->arena, weir_kind (kind), answer,
                                                 weir_buf_bytes (&s->meta)),
                                  WEIR_OK);
                s->decoded = m;
            }
            return s;
        }
    }
    return NULL;
}

/* The first of that kind that was sent; NULL when none was. Freed by fake_sent_free. */
static inline struct fake_sent *
fake_try (struct weir_actor *self, uint16_t kind)
{
    return fake_find (self, kind, false);
}

static inline struct fake_sent *
fake_take (struct weir_actor *self, uint16_t kind)
{
    struct fake_sent *s = fake_try (self, kind);
    uint64_t until = fake_real_ms () + FAKE_PATIENCE_MS;
    while (s == NULL && self->virtual_ms == 0 && fake_real_ms () < until) {
        fake_turn (self, 20);
        s = fake_try (self, kind);
    }
    if (s == NULL) {
        fail_msg ("%s never sent a %s", self->name, weir_kind (kind)->name);
    }
    return s;
}

static inline void
fake_expect_none (struct weir_actor *self, uint16_t kind)
{
    if (fake_try (self, kind) != NULL) {
        fail_msg ("%s sent a %s it should not", self->name, weir_kind (kind)->name);
    }
}

/* A message (or, with a request number, a request) from a partner. */
static inline void
fake_deliver (struct weir_actor *self, uint16_t kind, const struct weir_mailbox_id *from,
              uint64_t request, const ProtobufCMessage *meta, struct weir_bytes body)
{
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    struct weir_buf packed = { 0 };
    ProtobufCMessage *decoded = NULL;
    const struct weir_actor_handler *h = self->def->handlers;
    weir_meta_put (&packed, meta);
    assert_int_equal (
        weir_meta_get (&decoded, arena, weir_kind (kind), false, weir_buf_bytes (&packed)),
        WEIR_OK);
    struct weir_message message = { .kind = weir_kind (kind),
                                    .meta = decoded,
                                    .meta_bytes = weir_buf_bytes (&packed),
                                    .body = body };
    message.envelope.kind = kind;
    message.envelope.request = request;
    if (from != NULL) {
        message.envelope.from = *from;
    }
    while (h->kind != 0 && h->kind != kind) {
        h++;
    }
    assert_int_equal (h->kind, kind);
    h->handle (self->state, self, &message);
    if (self->def->after_turn != NULL) {
        self->def->after_turn (self->state, self);
    }
    weir_buf_fini (&packed);
    weir_arena_destroy (&arena);
}

/* The answer to a request of the actor; frees it. */
static inline void
fake_answer (struct weir_actor *self, struct fake_sent *ask, enum weir_status status,
             const ProtobufCMessage *meta)
{
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    struct weir_buf packed = { 0 };
    ProtobufCMessage *decoded = NULL;
    struct weir_error e = { 0 };
    weir_meta_put (&packed, meta);
    assert_int_equal (
        weir_meta_get (&decoded, arena, weir_kind (ask->kind), true, weir_buf_bytes (&packed)),
        WEIR_OK);
    struct weir_message message = { .kind = weir_kind (ask->kind), .meta = decoded };
    weir_error_set (&e, status, NULL, "the test says so");
    assert_non_null (ask->done);
    ask->done (self->state, self, ask->context, status, status == WEIR_OK ? NULL : &e,
               status == WEIR_OK ? &message : NULL);
    if (self->def->after_turn != NULL) {
        self->def->after_turn (self->state, self);
    }
    weir_buf_fini (&packed);
    weir_arena_destroy (&arena);
    fake_sent_free (ask);
}

static inline void
fake_up (struct weir_actor *self, const char *role, uint8_t mailbox)
{
    struct weir_mailbox_id id = fake_mailbox (mailbox);
    if (self->def->up != NULL) {
        self->def->up (self->state, self, role, role, &id, mailbox);
    }
}

static inline void
fake_down (struct weir_actor *self, const char *role, uint8_t mailbox)
{
    struct weir_mailbox_id id = fake_mailbox (mailbox);
    if (self->def->down != NULL) {
        self->def->down (self->state, self, role, role, &id);
    }
}

#endif
