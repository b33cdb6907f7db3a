/* See fake.h. */

#include "tests/actors/store/fake.h"

#include <unistd.h>

#include "actors/store/store.h"
#include "store/crypto/keyfile.h"

#define TIMERS_MAX 64u

struct timer {
    uint64_t id;
    uint64_t at_ms;
    weir_actor_fn *fn;
    void *context;
};

struct weir_actor {
    struct fake *fake;
    struct weir_settings_values settings;
    struct weir_paths paths;
    weir_actor_fn *synced;
    struct timer timers[TIMERS_MAX];
    uint64_t next_timer;
};

static struct weir_actor the_actor;
static const struct weir_actor_def *the_def;
static struct weir_kv *the_kv;
static struct weir_arena *the_arena;

/* ---- what the actor calls ---- */

int
weir_actor_run (const struct weir_actor_def *def, int argc, char **argv)
{
    (void) argc;
    (void) argv;
    the_def = def;
    return 0;
}

enum weir_status
weir_kv_open (struct weir_kv **out, const char *path, bool create, struct weir_error *e)
{
    (void) path;
    (void) create;
    (void) e;
    *out = the_kv != NULL ? the_kv : weir_kv_memory_new ();
    the_kv = NULL;
    return WEIR_OK;
}

static struct fake_sent *
record (struct weir_actor *self, uint16_t kind, const ProtobufCMessage *meta,
        struct weir_bytes body)
{
    struct fake *f = self->fake;
    assert_true (f->n_sent < FAKE_SENT_MAX);
    struct fake_sent *s = &f->sent[f->n_sent++];
    *s = (struct fake_sent){ .kind = kind };
    weir_meta_put (&s->meta, meta);
    weir_buf_put_bytes (&s->body, body);
    assert_true (s->meta.len <= WEIR_MESSAGE_META_BYTES_MAX);
    assert_true (s->body.len <= weir_kind (kind)->body_max);
    return s;
}

enum weir_status
weir_actor_send_about (struct weir_actor *self, uint16_t kind, const struct weir_mailbox_id *to,
                       const struct weir_id *peer, const struct weir_id *db, uint64_t trace,
                       const ProtobufCMessage *meta, struct weir_bytes body)
{
    (void) peer;
    (void) db;
    (void) trace;
    assert_true ((weir_kind (kind)->flags & WEIR_KIND_ONEWAY) != 0);
    assert_true (meta == NULL || meta->descriptor == weir_kind (kind)->meta);
    if (self->fake->busy_kind == kind) {
        return WEIR_BUSY;
    }
    struct fake_sent *s = record (self, kind, meta, body);
    if (to != NULL) {
        s->to = *to;
    }
    return WEIR_OK;
}

enum weir_status
weir_actor_send (struct weir_actor *self, uint16_t kind, const struct weir_mailbox_id *to,
                 const ProtobufCMessage *meta, struct weir_bytes body)
{
    return weir_actor_send_about (self, kind, to, NULL, NULL, 0, meta, body);
}

void
weir_actor_answer (struct weir_actor *self, const struct weir_envelope *request,
                   const ProtobufCMessage *meta, struct weir_bytes body, bool more)
{
    if (request->request == 0) {
        return;
    }
    assert_true (meta == NULL || meta->descriptor == weir_kind (request->kind)->answer);
    struct fake_sent *s = record (self, request->kind, meta, body);
    s->is_answer = true;
    s->more = more;
    s->request = request->request;
}

void
weir_actor_fail (struct weir_actor *self, const struct weir_envelope *request,
                 enum weir_status status, const struct weir_error *e)
{
    (void) e;
    assert_int_not_equal (status, WEIR_OK);
    if (request->request == 0) {
        return;
    }
    struct fake_sent *s = record (self, request->kind, NULL, weir_bytes (NULL, 0));
    s->is_answer = true;
    s->status = status;
    s->request = request->request;
}

uint64_t
weir_actor_now_ms (const struct weir_actor *self)
{
    return self->fake->now_ms;
}

uint64_t
weir_actor_wall_ms (const struct weir_actor *self)
{
    return self->fake->wall_ms;
}

uint64_t
weir_actor_timer (struct weir_actor *self, uint64_t at_ms, weir_actor_fn *fn, void *context)
{
    for (size_t i = 0; i < TIMERS_MAX; i++) {
        if (self->timers[i].id == 0) {
            self->timers[i] = (struct timer){ ++self->next_timer, at_ms, fn, context };
            return self->next_timer;
        }
    }
    fail_msg ("too many timers");
    return 0;
}

void
weir_actor_timer_cancel (struct weir_actor *self, uint64_t id)
{
    for (size_t i = 0; i < TIMERS_MAX && id != 0; i++) {
        if (self->timers[i].id == id) {
            self->timers[i].id = 0;
        }
    }
}

void
weir_actor_watch_fd (struct weir_actor *self, int fd, weir_actor_fn *fn, void *context)
{
    (void) fd;
    (void) context;
    self->synced = fn;
}

const struct weir_settings_values *
weir_actor_settings (const struct weir_actor *self)
{
    return &self->settings;
}

const struct weir_paths *
weir_actor_paths (const struct weir_actor *self)
{
    return &self->paths;
}

void
weir_actor_ready (struct weir_actor *self)
{
    (void) self;
}

void
weir_actor_exit (struct weir_actor *self, enum weir_status status, const struct weir_error *e)
{
    (void) status;
    (void) e;
    self->fake->ended = true;
}

void
weir_actor_log (struct weir_actor *self, enum weir_log_level level, const char *event,
                const char *format, ...)
{
    (void) self;
    (void) level;
    (void) event;
    (void) format;
}

void
weir_actor_event (struct weir_actor *self, const char *event, const struct weir_id *device,
                  const struct weir_id *db, enum weir_status status, const char *format, ...)
{
    (void) event;
    (void) device;
    (void) db;
    (void) status;
    (void) format;
    self->fake->events++;
}

/* ---- what tests call ---- */

static void
start (struct fake *f)
{
    void *state = NULL;
    struct weir_error e = { 0 };
    the_actor.fake = f;
    memset (the_actor.timers, 0, sizeof the_actor.timers);
    assert_int_equal (weir_store_run (0, NULL), 0);
    assert_int_equal (the_def->start (&state, &the_actor, &e), WEIR_OK);
    f->store = state;
}

void
fake_init (struct fake *f, uint8_t number)
{
    struct weir_error e = { 0 };
    struct weir_identity identity;
    uint8_t seed[32] = { number, 99 };
    memset (f, 0, sizeof *f);
    f->now_ms = 1000;
    f->wall_ms = 1700000000000u;
    strcpy (f->dir, "/tmp/weir-store-test-XXXXXX");
    assert_non_null (mkdtemp (f->dir));
    memset (&the_actor, 0, sizeof the_actor);
    assert_int_equal (weir_settings_load (&the_actor.settings, NULL, false, &e), WEIR_OK);
    the_actor.settings.disk_reserve_mb = 1;
    snprintf (the_actor.settings.name, sizeof the_actor.settings.name, "node%d", number);
    snprintf (the_actor.paths.data, sizeof the_actor.paths.data, "%s", f->dir);
    snprintf (the_actor.paths.db, sizeof the_actor.paths.db, "%s", f->dir);
    snprintf (the_actor.paths.key, sizeof the_actor.paths.key, "%s/identity.key", f->dir);
    snprintf (the_actor.paths.tips, sizeof the_actor.paths.tips, "%s/tips", f->dir);
    weir_identity_init (&identity, seed);
    assert_int_equal (weir_keyfile_create (the_actor.paths.key, &identity, NULL, &e), WEIR_OK);
    weir_identity_fini (&identity);
    start (f);
}

static void
stop (struct fake *f)
{
    void *state = f->store;
    the_def->stop (&state, &the_actor);
    f->store = NULL;
}

void
fake_fini (struct fake *f)
{
    stop (f);
    fake_clear (f);
    weir_arena_destroy (&the_arena);
    unlink (the_actor.paths.key);
    unlink (the_actor.paths.tips);
    rmdir (f->dir);
}

void
fake_restart (struct fake *f, size_t keep)
{
    struct weir_kv *after = weir_kv_memory_crash (f->store->kv, keep);
    stop (f);
    the_kv = after;
    start (f);
}

static void
deliver (struct fake *f, const struct weir_envelope *envelope, const ProtobufCMessage *meta,
         struct weir_bytes body)
{
    const struct weir_kind *kind = weir_kind (envelope->kind);
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    struct weir_buf packed = { 0 };
    ProtobufCMessage *unpacked = NULL;
    weir_meta_put (&packed, meta);
    assert_int_equal (weir_meta_get (&unpacked, arena, kind, false, weir_buf_bytes (&packed)),
                      WEIR_OK);
    struct weir_message message = { .envelope = *envelope,
                                    .kind = kind,
                                    .meta = unpacked,
                                    .meta_bytes = weir_buf_bytes (&packed),
                                    .body = body };
    const struct weir_actor_handler *h = the_def->handlers;
    while (h->kind != 0 && h->kind != envelope->kind) {
        h++;
    }
    assert_int_equal (h->kind, envelope->kind);
    h->handle (f->store, &the_actor, &message);
    weir_buf_fini (&packed);
    weir_arena_destroy (&arena);
}

uint64_t
fake_ask (struct fake *f, uint16_t kind, const ProtobufCMessage *meta, struct weir_bytes body)
{
    struct weir_envelope envelope = { .kind = kind, .request = ++f->next_request };
    deliver (f, &envelope, meta, body);
    return envelope.request;
}

void
fake_tell (struct fake *f, uint16_t kind, const struct weir_mailbox_id *from,
           const ProtobufCMessage *meta, struct weir_bytes body)
{
    struct weir_envelope envelope = { .kind = kind, .from = *from };
    deliver (f, &envelope, meta, body);
}

void
fake_turn (struct fake *f)
{
    the_def->after_turn (f->store, &the_actor);
}

void
fake_sync (struct fake *f)
{
    weir_kv_memory_sync (f->store->kv);
    the_actor.synced (f->store, &the_actor, NULL);
}

void
fake_wait (struct fake *f, uint64_t ms)
{
    f->now_ms += ms;
    f->wall_ms += ms;
    for (size_t i = 0; i < TIMERS_MAX; i++) {
        struct timer t = the_actor.timers[i];
        if (t.id != 0 && t.at_ms <= f->now_ms) {
            the_actor.timers[i].id = 0;
            t.fn (f->store, &the_actor, t.context);
        }
    }
    fake_turn (f);
}

void
fake_peers_up (struct fake *f)
{
    static const struct weir_mailbox_id mailbox = { { 'P' } };
    the_def->up (f->store, &the_actor, "peers", "peers", &mailbox, 7);
}

void
fake_clear (struct fake *f)
{
    for (size_t i = 0; i < f->n_sent; i++) {
        weir_buf_fini (&f->sent[i].meta);
        weir_buf_fini (&f->sent[i].body);
    }
    f->n_sent = 0;
}

size_t
fake_answers (const struct fake *f, uint64_t request)
{
    size_t n = 0;
    for (size_t i = 0; i < f->n_sent; i++) {
        n += f->sent[i].is_answer && f->sent[i].request == request ? 1 : 0;
    }
    return n;
}

const struct fake_sent *
fake_answer (const struct fake *f, uint64_t request)
{
    for (size_t i = f->n_sent; i-- > 0;) {
        if (f->sent[i].is_answer && f->sent[i].request == request) {
            return &f->sent[i];
        }
    }
    return NULL;
}

const struct fake_sent *
fake_last (const struct fake *f, uint16_t kind)
{
    for (size_t i = f->n_sent; i-- > 0;) {
        if (!f->sent[i].is_answer && f->sent[i].kind == kind) {
            return &f->sent[i];
        }
    }
    return NULL;
}

size_t
fake_count (const struct fake *f, uint16_t kind)
{
    size_t n = 0;
    for (size_t i = 0; i < f->n_sent; i++) {
        n += !f->sent[i].is_answer && f->sent[i].kind == kind ? 1 : 0;
    }
    return n;
}

enum weir_status
fake_call (struct fake *f, uint16_t kind, const ProtobufCMessage *meta, struct weir_bytes body,
           const struct fake_sent **answer)
{
    uint64_t request = fake_ask (f, kind, meta, body);
    fake_turn (f);
    fake_sync (f);
    const struct fake_sent *a = fake_answer (f, request);
    assert_non_null (a);
    if (answer != NULL) {
        *answer = a;
    }
    return a->status;
}

const ProtobufCMessage *
fake_meta (const struct fake_sent *sent)
{
    ProtobufCMessage *meta = NULL;
    weir_arena_destroy (&the_arena);
    the_arena = weir_arena_new (4u * WEIR_UNPACK_BYTES_MAX);
    assert_non_null (sent);
    assert_int_equal (sent->status, WEIR_OK);
    assert_int_equal (weir_meta_get (&meta, the_arena, weir_kind (sent->kind), sent->is_answer,
                                     weir_buf_bytes (&sent->meta)),
                      WEIR_OK);
    return meta;
}

struct weir_id
fake_create (struct fake *f, const char *name)
{
    Weir__DbCreate ask = WEIR__DB_CREATE__INIT;
    const struct fake_sent *answer = NULL;
    struct weir_id id;
    ask.has_name = true;
    ask.name = weir_field_str (name);
    assert_int_equal (fake_call (f, WEIR_KIND_DB_CREATE, &ask.base, weir_bytes (NULL, 0), &answer),
                      WEIR_OK);
    const Weir__DbId *m = (const Weir__DbId *) fake_meta (answer);
    assert_int_equal (weir_field_get_id (&id, m->has_id, m->id), WEIR_OK);
    return id;
}

enum weir_status
fake_set (struct fake *f, const char *db, const char *path, const char *json)
{
    Weir__DocWrite ask = WEIR__DOC_WRITE__INIT;
    ask.has_db = ask.has_path = true;
    ask.db = weir_field_str (db);
    ask.path = weir_field_str (path);
    return fake_call (f, WEIR_KIND_DOC_SET, &ask.base, weir_bytes_str (json), NULL);
}
