/* Presence at work (store/sync/presence.h decides): who shares what is read off links, members and
 * relationships; items become W_PRESENCE, for peers that speak protocol 2; clients set, list and
 * watch. Nothing of it is stored, and nothing else in peers waits for it. */

#include "actors/peers/state.h"
#include "store/base/json.h"
#include "store/crypto/hash.h"
#include "store/dag/members.h"
#include "store/sync/presence.h"

#include <stdlib.h>
#include <string.h>

#define PROTOCOL_MIN 2u
#define WATCHES_MAX 256u
#define WATCH_MS_MAX 60000u

struct watch { /* a client that waits for a change */
    struct watch *next;
    struct presence *presence;
    struct weir_envelope request;
    struct weir_id db;
    uint64_t since;
    uint64_t timer;
};

struct presence {
    struct peers *peers;
    struct weir_presence *table;
    struct watch *watches;
    size_t n_watches;
    uint64_t timer;
    uint64_t due_ms;
};

static void look_at_watches (struct presence *s);

static bool
is_hub (const struct peers *p)
{
    const struct weir_settings_values *v = weir_actor_settings (p->actor);
    return strcmp (v->role, "hub") == 0 && v->forward;
}

void
presence_start (struct peers *p)
{
    struct weir_presence_options o = { .device = p->device,
                                       .epoch = weir_actor_wall_ms (p->actor),
                                       .hub = is_hub (p) };
    p->presence = weir_alloc (sizeof *p->presence);
    p->presence->peers = p;
    p->presence->table = weir_presence_new (&o);
}

static void
drop_watch (struct presence *s, struct watch *w)
{
    for (struct watch **at = &s->watches; *at != NULL; at = &(*at)->next) {
        if (*at == w) {
            *at = w->next;
            break;
        }
    }
    weir_actor_timer_cancel (s->peers->actor, w->timer);
    s->n_watches--;
    free (w);
}

void
presence_stop (struct peers *p)
{
    struct presence *s = p->presence;
    if (s == NULL) {
        return;
    }
    while (s->watches != NULL) {
        drop_watch (s, s->watches);
    }
    weir_presence_destroy (&s->table);
    free (s);
    p->presence = NULL;
}

void
presence_configure (struct peers *p)
{
    if (p->presence != NULL) {
        weir_presence_configure (p->presence->table, is_hub (p));
    }
}

/* ---- saying ---- */

static Weir__PresenceItem *
make_item (const struct weir_presence_item *item, struct weir_arena *arena)
{
    Weir__PresenceItem *m = weir_arena_alloc (arena, sizeof *m);
    if (m == NULL) {
        return NULL;
    }
    *m = (Weir__PresenceItem) WEIR__PRESENCE_ITEM__INIT;
    m->has_device = m->has_key = m->has_value = m->has_epoch = m->has_version = true;
    m->has_hops = m->has_ttl_ms = m->has_state = true;
    m->device = wire_copy_id (arena, &item->device);
    m->key = wire_copy (arena, item->key);
    m->value = wire_copy (arena, item->value);
    m->epoch = item->epoch;
    m->version = item->version;
    m->hops = item->hops;
    m->ttl_ms = item->ttl_ms <= UINT32_MAX ? (uint32_t) item->ttl_ms : UINT32_MAX;
    m->state = (uint32_t) item->state;
    return m;
}

static void
say (struct peers *p, const struct weir_presence_batch *batch)
{
    struct link *l = weir_map_get (p->sessions, weir_bytes (&batch->session, sizeof (uint64_t)));
    struct relation *r = l != NULL ? relation_find (l->device, &batch->db) : NULL;
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    Weir__PresenceItem *items[WEIR_PRESENCE_ITEMS_PER_MESSAGE];
    Weir__Presence m = WEIR__PRESENCE__INIT;
    m.items = items;
    for (size_t i = 0; i < batch->n; i++) {
        items[m.n_items] = make_item (&batch->items[i], arena);
        m.n_items += items[m.n_items] != NULL;
    }
    if (r != NULL && r->presence_session == batch->session
        && weir_actor_settings (p->actor)->enabled) {
        m.has_tag = true;
        m.tag = r->presence_tag;
        link_say (p, l, WEIR_KIND_W_PRESENCE, &m.base);
    }
    weir_arena_destroy (&arena);
}

static void
work (void *state, struct weir_actor *actor, void *context)
{
    struct peers *p = state;
    struct presence *s = p->presence;
    struct weir_presence_batch *batch = NULL;
    uint64_t now = weir_actor_now_ms (actor);
    (void) context;
    s->timer = 0;
    batch = weir_alloc (sizeof *batch);
    weir_presence_tick (s->table, now);
    while (weir_presence_batch (s->table, now, batch)) {
        say (p, batch);
    }
    free (batch);
    look_at_watches (s);
    presence_rearm (p);
}

void
presence_rearm (struct peers *p)
{
    struct presence *s = p->presence;
    uint64_t due = s != NULL ? weir_presence_next_ms (s->table) : UINT64_MAX;
    if (s == NULL || (s->timer != 0 && due == s->due_ms)) {
        return;
    }
    weir_actor_timer_cancel (p->actor, s->timer);
    s->timer = 0;
    s->due_ms = due;
    if (due != UINT64_MAX) {
        s->timer = weir_actor_timer (p->actor, due, work, NULL);
    }
}

/* ---- who shares what ---- */

static void
apply_link (struct presence *s, struct link *l, uint64_t now)
{
    uint64_t session = l->session.ours.epoch;
    bool hub = l->session.theirs.role == WEIR_ROLE_HUB;
    for (struct relation *r = l->device->relations; r != NULL; r = r->next) {
        bool shared = r->presence_session == session;
        if (r->shared && !shared) {
            r->presence_session = session;
            r->presence_tag = weir_hash_tag (&l->key, weir_id_bytes (&r->db));
            weir_presence_share (s->table, session, &l->device->id, hub, &r->db, now);
        } else if (!r->shared && shared) {
            r->presence_session = 0;
            weir_presence_unshare (s->table, session, &r->db, now);
        }
    }
}

static void
apply_members (struct peers *p, uint64_t now)
{
    struct weir_id db;
    struct weir_id writer;
    for (size_t i = 0; weir_presence_db (p->presence->table, &i, &db);) {
        const struct database *known = database_find (p, &db);
        if (known == NULL) {
            weir_presence_forget_db (p->presence->table, &db);
            continue;
        }
        for (size_t k = 0; weir_presence_writer (p->presence->table, &db, &k, &writer);) {
            const struct member *m = database_member (known, &writer);
            if (known->n_members > 0 && (m == NULL || m->right < WEIR_RIGHT_READ)) {
                weir_presence_forget (p->presence->table, &db, &writer, now);
            }
        }
    }
}

void
presence_apply (struct peers *p)
{
    uint64_t now = weir_actor_now_ms (p->actor);
    struct weir_bytes key;
    void *value = NULL;
    if (p->presence == NULL) {
        return;
    }
    for (size_t i = 0; weir_map_next (p->links, &i, &key, &value);) {
        struct link *l = value;
        if (l->in_sync && !l->ended && l->session.protocol >= PROTOCOL_MIN) {
            apply_link (p->presence, l, now);
        }
    }
    apply_members (p, now);
    look_at_watches (p->presence);
    presence_rearm (p);
}

void
presence_session_down (struct peers *p, struct link *l)
{
    if (p->presence == NULL) {
        return;
    }
    for (struct relation *r = l->device->relations; r != NULL; r = r->next) {
        r->presence_session =
            r->presence_session == l->session.ours.epoch ? 0 : r->presence_session;
    }
    weir_presence_session_down (p->presence->table, l->session.ours.epoch,
                                weir_actor_now_ms (p->actor));
    look_at_watches (p->presence);
    presence_rearm (p);
}

/* ---- taking ---- */

static bool
is_json (struct weir_bytes text)
{
    json_t *value = NULL;
    bool good = weir_json_parse (&value, text, WEIR_PRESENCE_VALUE_BYTES_MAX, NULL) == WEIR_OK;
    json_decref (value);
    return good;
}

/* Of a member that may read; while we join, nobody is known but the peer itself. */
static bool
may_write (const struct database *db, const struct link *l, const struct weir_id *device)
{
    const struct member *m = database_member (db, device);
    return db->n_members == 0 ? weir_id_equal (device, &l->device->id)
                              : m != NULL && m->right >= WEIR_RIGHT_READ;
}

static bool
read_item (const Weir__PresenceItem *m, struct weir_presence_item *out)
{
    *out = (struct weir_presence_item){ .key = weir_field (m->key),
                                        .value = weir_field (m->value),
                                        .epoch = m->epoch,
                                        .version = m->version,
                                        .hops = m->hops,
                                        .ttl_ms = m->ttl_ms,
                                        .state = m->state <= WEIR_PRESENCE_LOST
                                                     ? (enum weir_presence_state) m->state
                                                     : WEIR_PRESENCE_EXPIRED };
    return weir_field_get_id (&out->device, m->has_device, m->device) == WEIR_OK;
}

void
presence_take (struct peers *p, struct link *l, const Weir__Presence *m)
{
    struct weir_presence_item items[WEIR_PRESENCE_ITEMS_PER_MESSAGE];
    struct presence *s = p->presence;
    struct relation *r = l->device->relations;
    size_t n = 0;
    while (r != NULL
           && (r->presence_session != l->session.ours.epoch || r->presence_tag != m->tag)) {
        r = r->next;
    }
    const struct database *db = r != NULL ? database_find (p, &r->db) : NULL;
    if (db == NULL || m->n_items > WEIR_PRESENCE_ITEMS_PER_MESSAGE) {
        link_ignored (p, l); /* not shared (yet, or any more): it is said again */
        return;
    }
    for (size_t i = 0; i < m->n_items; i++) {
        if (read_item (m->items[i], &items[n]) && may_write (db, l, &items[n].device)
            && (items[n].value.len == 0 || is_json (items[n].value))) {
            n++;
        } else {
            link_ignored (p, l);
        }
    }
    struct weir_presence_taken taken = weir_presence_take (s->table, l->session.ours.epoch, &r->db,
                                                           items, n, weir_actor_now_ms (p->actor));
    for (size_t i = 0; i < taken.refused + taken.limited; i++) {
        link_ignored (p, l);
    }
    if (taken.limited > 0) {
        weir_actor_log (p->actor, WEIR_LOG_WARN, "presence_limited", "peer=%s items=%zu",
                        weir_id_text (&l->device->id).s, taken.limited);
    }
    if (taken.news > 0) {
        look_at_watches (s);
    }
    presence_rearm (p);
}

/* ---- clients ---- */

struct listing {
    struct peers *peers;
    const struct database *db;
    struct weir_arena *arena;
    bool anew;
    uint64_t now_ms;
    size_t n;
    Weir__PresenceItem *items[WEIR_PRESENCE_ITEMS_MAX];
};

static void
put_item (void *context, const struct weir_presence_item *item)
{
    struct listing *list = context;
    Weir__PresenceItem *m =
        list->n < WEIR_PRESENCE_ITEMS_MAX ? make_item (item, list->arena) : NULL;
    if (m == NULL) {
        return;
    }
    struct device *d = device_find (list->peers, &item->device);
    const struct member *member =
        list->db != NULL ? database_member (list->db, &item->device) : NULL;
    const char *name = item->ours       ? list->peers->name
                       : d != NULL      ? device_name (list->peers, d)
                       : member != NULL ? member->name
                                        : "";
    m->has_device_name = m->has_source = m->has_age_ms = true;
    m->device_name = wire_copy_str (list->arena, name);
    m->source = weir_field_str (list->anew ? "initial" : item->ours ? "local" : "remote");
    m->age_ms = list->now_ms > item->changed_ms ? list->now_ms - item->changed_ms : 0;
    list->items[list->n++] = m;
}

/* Answers with what changed since; false when nothing did, unless it must. */
static bool
answer_changes (struct presence *s, const struct weir_envelope *request, const struct weir_id *db,
                uint64_t since, bool must)
{
    struct peers *p = s->peers;
    struct listing *list = weir_alloc (sizeof *list);
    Weir__PresenceItems m = WEIR__PRESENCE_ITEMS__INIT;
    list->peers = p;
    list->db = database_find (p, db);
    list->arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    list->now_ms = weir_actor_now_ms (p->actor);
    list->anew = since == 0;
    m.token =
        weir_presence_changes (s->table, db, since, list->now_ms, &list->anew, put_item, list);
    bool answer = must || list->anew || list->n > 0;
    if (answer) {
        m.has_token = m.has_anew = true;
        m.anew = list->anew;
        m.items = list->items;
        m.n_items = list->n;
        verb_answer (p, request, &m.base);
    }
    weir_arena_destroy (&list->arena);
    free (list);
    return answer;
}

static void
look_at_watches (struct presence *s)
{
    struct watch *next = NULL;
    for (struct watch *w = s->watches; w != NULL; w = next) {
        next = w->next;
        if (answer_changes (s, &w->request, &w->db, w->since, false)) {
            drop_watch (s, w);
        }
    }
}

static void
watch_late (void *state, struct weir_actor *actor, void *context)
{
    struct watch *w = context;
    (void) state;
    (void) actor;
    w->timer = 0;
    (void) answer_changes (w->presence, &w->request, &w->db, w->since, true);
    drop_watch (w->presence, w);
}

/* The database asked for; NULL when the request was failed. */
static struct database *
asked (struct peers *p, const struct weir_message *message, bool has, ProtobufCBinaryData text)
{
    struct weir_error e = { 0 };
    struct database *db = NULL;
    if (verb_not_ready (p, message)) {
        return NULL;
    }
    enum weir_status status = database_resolve (p, has, text, &db, &e);
    if (status == WEIR_OK && db->right < WEIR_RIGHT_READ && !db->joining) {
        status =
            weir_error_set (&e, WEIR_NOT_ALLOWED, NULL,
                            "this device may not read %s, so it has no presence there", db->name);
    }
    if (status != WEIR_OK) {
        weir_actor_fail (p->actor, &message->envelope, status, &e);
        return NULL;
    }
    return db;
}

static enum weir_status
set_value (struct presence *s, const struct database *db, const Weir__PresenceSet *ask,
           struct weir_error *e)
{
    uint64_t life = ask->has_ttl_ms ? ask->ttl_ms : WEIR_PRESENCE_LIFE_S * 1000u;
    struct weir_bytes key = weir_field (ask->key);
    if (!weir_bytes_is_utf8 (key) || !is_json (weir_field (ask->value))) {
        return weir_error_set (e, WEIR_INVALID_JSON, NULL, "the key is text, the value JSON");
    }
    if (life == 0 || life > WEIR_PRESENCE_LIFE_S_MAX * 1000u) {
        return weir_error_set (e, WEIR_INVALID_ARGUMENT, NULL, "it lives for 1 ms to %u s",
                               WEIR_PRESENCE_LIFE_S_MAX);
    }
    enum weir_status status = weir_presence_set (s->table, &db->id, key, weir_field (ask->value),
                                                 life, weir_actor_now_ms (s->peers->actor));
    if (status == WEIR_LIMIT) {
        return weir_error_set (e, status, "weir presence rm DB KEY",
                               "a device has at most %u keys and %u bytes in a database",
                               WEIR_PRESENCE_DEVICE_KEYS_MAX, WEIR_PRESENCE_DEVICE_BYTES_MAX);
    }
    if (status == WEIR_TOO_LARGE) {
        return weir_error_set (e, status, NULL, "a key has at most %u bytes, a value %u",
                               WEIR_PRESENCE_KEY_BYTES_MAX, WEIR_PRESENCE_VALUE_BYTES_MAX);
    }
    return status == WEIR_OK ? status
                             : weir_error_set (e, status, NULL, "a key and a value are needed");
}

static void
changed (struct peers *p, const struct weir_message *message, enum weir_status status,
         const struct weir_error *e)
{
    if (status != WEIR_OK) {
        weir_actor_fail (p->actor, &message->envelope, status, e);
        return;
    }
    weir_actor_answer (p->actor, &message->envelope, NULL, weir_bytes (NULL, 0), false);
    look_at_watches (p->presence);
    presence_rearm (p);
}

void
verb_presence_set (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct peers *p = state;
    const Weir__PresenceSet *ask = (const Weir__PresenceSet *) message->meta;
    struct weir_error e = { 0 };
    const struct database *db = asked (p, message, ask->has_db, ask->db);
    (void) actor;
    if (db != NULL) {
        enum weir_status status = set_value (p->presence, db, ask, &e);
        changed (p, message, status, &e);
    }
}

void
verb_presence_remove (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct peers *p = state;
    const Weir__PresenceSet *ask = (const Weir__PresenceSet *) message->meta;
    struct weir_error e = { 0 };
    const struct database *db = asked (p, message, ask->has_db, ask->db);
    if (db != NULL) {
        enum weir_status status = weir_presence_remove (
            p->presence->table, &db->id, weir_field (ask->key), weir_actor_now_ms (actor));
        if (status != WEIR_OK) {
            status = weir_error_set (&e, status, "weir presence ls DB",
                                     "this device has no presence under that key");
        }
        changed (p, message, status, &e);
    }
}

void
verb_presence_list (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct peers *p = state;
    const Weir__PresenceAsk *ask = (const Weir__PresenceAsk *) message->meta;
    const struct database *db = asked (p, message, ask->has_db, ask->db);
    (void) actor;
    if (db != NULL) {
        (void) answer_changes (p->presence, &message->envelope, &db->id, 0, true);
    }
}

void
verb_presence_watch (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct peers *p = state;
    const Weir__PresenceAsk *ask = (const Weir__PresenceAsk *) message->meta;
    const struct database *db = asked (p, message, ask->has_db, ask->db);
    struct presence *s = p->presence;
    if (db == NULL || answer_changes (s, &message->envelope, &db->id, ask->since, ask->ms == 0)) {
        return;
    }
    if (s->n_watches == WATCHES_MAX) {
        weir_actor_fail (actor, &message->envelope, WEIR_LIMIT, NULL);
        return;
    }
    struct watch *w = weir_alloc (sizeof *w);
    uint64_t ms = ask->ms < WATCH_MS_MAX ? ask->ms : WATCH_MS_MAX;
    *w = (struct watch){ .next = s->watches,
                         .presence = s,
                         .request = message->envelope,
                         .db = db->id,
                         .since = ask->since };
    w->timer = weir_actor_timer (actor, weir_actor_now_ms (actor) + ms, watch_late, w);
    s->watches = w;
    s->n_watches++;
}
