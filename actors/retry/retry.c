/* The retry actor: store/sync/retry.h decides, this file gives it time and a memory. A new item
 * is written at once, changes of known ones within a second; rows are read back at the start, so
 * kill -9 loses nothing that a peer's next word would not say again. Times are wall-clock: they
 * outlive the process. */

#include "actors/retry/retry.h"
#include "store/base/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/map.h"
#include "store/crypto/sign.h"
#include "store/sync/retry.h"

#define ROW_PREFIX "retry/"
#define KEY_MAX (sizeof ROW_PREFIX + 2 * WEIR_ID_TEXT + 1)
#define FLUSH_MS 1000u
#define BATCH_ROWS 256u
#define DUE_PER_TURN 64u
#define PARKED_MS ((uint64_t) WEIR_PARKED_DAYS * 24u * 3600u * 1000u)

struct retry {
    struct weir_actor *actor;
    struct weir_retry *queue;
    struct weir_map *dirty; /* keys of rows to write: char* */
    uint64_t timer;
    uint64_t flush_timer;
    uint64_t flush_at_ms;
    bool loaded;
    bool peers_up;
};

struct pair {
    struct weir_id device;
    struct weir_id db;
};

static void look (void *state, struct weir_actor *actor, void *context);

/* ---- rows ---- */

static void
pair_key (char key[KEY_MAX], const struct weir_id *device, const struct weir_id *db)
{
    snprintf (key, KEY_MAX, ROW_PREFIX "%s/%s", weir_id_text (device).s, weir_id_text (db).s);
}

static void
written (void *state, struct weir_actor *actor, void *context, enum weir_status status,
         const struct weir_error *problem, const struct weir_message *answer)
{
    (void) state;
    (void) context;
    (void) problem;
    (void) answer;
    if (status != WEIR_OK) {
        weir_actor_log (actor, WEIR_LOG_WARN, "state_not_written", "code=%s",
                        weir_status_code (status));
    }
}

static void
put_rows (struct retry *r, Weir__StateRow **rows, size_t n)
{
    Weir__StateRows m = WEIR__STATE_ROWS__INIT;
    m.rows = rows;
    m.n_rows = n;
    if (n > 0) {
        /* Without limit: sent again to the next incarnation of the store. */
        (void) weir_actor_ask (r->actor, WEIR_KIND_STATE_PUT, NULL, &m.base, weir_bytes (NULL, 0),
                               0, written, NULL);
    }
}

static void
flush (void *state, struct weir_actor *actor, void *context)
{
    struct retry *r = state;
    Weir__StateRow rows[BATCH_ROWS];
    Weir__StateRow *pointers[BATCH_ROWS];
    struct weir_buf values[BATCH_ROWS];
    char keys[BATCH_ROWS][KEY_MAX];
    struct weir_bytes key;
    void *value = NULL;
    size_t i = 0;
    (void) actor;
    (void) context;
    r->flush_timer = 0;
    memset (values, 0, sizeof values);
    while (weir_map_count (r->dirty) > 0) {
        size_t n = 0;
        i = 0;
        while (n < BATCH_ROWS && weir_map_next (r->dirty, &i, &key, &value)) {
            struct pair *pair = value;
            const struct weir_retry_item *item =
                weir_retry_find (r->queue, &pair->device, &pair->db);
            pair_key (keys[n], &pair->device, &pair->db);
            weir_buf_clear (&values[n]);
            if (item != NULL) {
                weir_retry_item_put (item, &values[n]);
            }
            rows[n] = (Weir__StateRow) WEIR__STATE_ROW__INIT;
            rows[n].has_key = rows[n].has_value = true;
            rows[n].key = weir_field_str (keys[n]);
            rows[n].value = weir_field_of (weir_buf_bytes (&values[n]));
            pointers[n] = &rows[n];
            n++;
            (void) weir_map_remove (r->dirty, key);
            free (pair);
        }
        put_rows (r, pointers, n);
    }
    for (size_t k = 0; k < BATCH_ROWS; k++) {
        weir_buf_fini (&values[k]);
    }
}

static void
mark (struct retry *r, const struct weir_id *device, const struct weir_id *db, bool at_once)
{
    struct pair *pair = weir_alloc (sizeof *pair);
    uint64_t now = weir_actor_now_ms (r->actor);
    uint64_t at = at_once ? now : now + FLUSH_MS;
    *pair = (struct pair){ *device, *db };
    free (weir_map_put (r->dirty, weir_bytes (pair, sizeof *pair), pair));
    if (r->flush_timer == 0 || r->flush_at_ms > at) {
        weir_actor_timer_cancel (r->actor, r->flush_timer);
        r->flush_at_ms = at;
        r->flush_timer = weir_actor_timer (r->actor, at, flush, NULL);
    }
}

/* ---- start ---- */

static void
options (struct weir_actor *actor, struct weir_retry_options *o)
{
    const struct weir_settings_values *v = weir_actor_settings (actor);
    memset (o, 0, sizeof *o);
    o->max_attempts = (uint32_t) v->max_attempts;
    o->check_interval_ms = v->check_interval_secs * 1000u;
    o->max_queue_age_ms = v->max_queue_age_secs * 1000u;
    o->max_queue_size = (uint32_t) v->max_queue_size;
    o->parked_ms = PARKED_MS;
    o->seed = weir_rand_u64 (weir_actor_rand (actor));
}

static void ask_rows (struct retry *r, struct weir_bytes after);

static void
rows_read (void *state, struct weir_actor *actor, void *context, enum weir_status status,
           const struct weir_error *problem, const struct weir_message *answer)
{
    struct retry *r = state;
    (void) context;
    if (status != WEIR_OK || answer == NULL || answer->meta == NULL) {
        weir_actor_exit (actor, status == WEIR_OK ? WEIR_FAILED : status, problem);
        return;
    }
    const Weir__StateRows *m = (const Weir__StateRows *) answer->meta;
    for (size_t i = 0; i < m->n_rows; i++) {
        struct weir_retry_item item;
        if (weir_retry_item_get (&item, weir_field (m->rows[i]->value)) == WEIR_OK) {
            weir_retry_load (r->queue, &item);
        } else {
            weir_actor_log (actor, WEIR_LOG_WARN, "row_skipped", "prefix=" ROW_PREFIX);
        }
    }
    if (m->more && m->n_rows > 0) {
        ask_rows (r, weir_field (m->rows[m->n_rows - 1]->key));
        return;
    }
    r->loaded = true;
    weir_actor_ready (actor);
    look (r, actor, NULL);
}

static void
ask_rows (struct retry *r, struct weir_bytes after)
{
    Weir__StateScan m = WEIR__STATE_SCAN__INIT;
    m.has_prefix = true;
    m.prefix = weir_field_str (ROW_PREFIX);
    m.has_after = after.len > 0;
    m.after = weir_field_of (after);
    (void) weir_actor_ask (r->actor, WEIR_KIND_STATE_GET, NULL, &m.base, weir_bytes (NULL, 0), 0,
                           rows_read, NULL);
}

static enum weir_status
start (void **state, struct weir_actor *actor, struct weir_error *e)
{
    struct retry *r = weir_alloc (sizeof *r);
    struct weir_retry_options o;
    (void) e;
    *state = r;
    r->actor = actor;
    options (actor, &o);
    r->queue = weir_retry_new (&o);
    r->dirty = weir_map_new ();
    ask_rows (r, weir_bytes (NULL, 0));
    return WEIR_OK;
}

static void
stop (void **state, struct weir_actor *actor)
{
    struct retry *r = *state;
    flush (r, actor, NULL);
    weir_retry_destroy (&r->queue);
    weir_map_destroy (&r->dirty, free);
    free (r);
    *state = NULL;
}

static void
up (void *state, struct weir_actor *actor, const char *role, const char *name,
    const struct weir_mailbox_id *mailbox, uint64_t epoch)
{
    struct retry *r = state;
    (void) name;
    (void) mailbox;
    (void) epoch;
    if (strcmp (role, "peers") == 0) {
        r->peers_up = true;
        if (r->loaded) {
            look (r, actor, NULL);
        }
    }
}

static void
down (void *state, struct weir_actor *actor, const char *role, const char *name,
      const struct weir_mailbox_id *mailbox)
{
    struct retry *r = state;
    (void) actor;
    (void) name;
    (void) mailbox;
    if (strcmp (role, "peers") == 0) {
        r->peers_up = false;
    }
}

static void
reloaded (void *state, struct weir_actor *actor)
{
    struct retry *r = state;
    struct weir_retry_options o;
    options (actor, &o);
    weir_retry_configure (r->queue, &o);
    if (r->loaded) {
        look (r, actor, NULL);
    }
}

/* ---- time ---- */

static void
rearm (struct retry *r)
{
    uint64_t wall = weir_actor_wall_ms (r->actor);
    uint64_t now = weir_actor_now_ms (r->actor);
    uint64_t next = weir_retry_next_ms (r->queue);
    weir_actor_timer_cancel (r->actor, r->timer);
    r->timer = 0;
    if (next == UINT64_MAX || !r->peers_up) {
        return; /* nobody to tell: `up` looks again */
    }
    uint64_t in = next > wall ? next - wall : 0;
    /* Nothing is due later than that but after the clock stepped back; `look` finds out. */
    in = in < WEIR_RETRY_DELAY_S_MAX * 1000u ? in : WEIR_RETRY_DELAY_S_MAX * 1000u;
    r->timer = weir_actor_timer (r->actor, now + in, look, NULL);
}

/* Tells peers what is due, a bounded number a turn. */
static void
look (void *state, struct weir_actor *actor, void *context)
{
    struct retry *r = state;
    struct weir_retry_item old;
    uint64_t wall = weir_actor_wall_ms (actor);
    (void) context;
    r->timer = 0;
    while (weir_retry_expire (r->queue, wall, &old)) {
        mark (r, &old.device, &old.db, false);
        weir_actor_event (actor, "retry_dropped", &old.device, &old.db, old.why, "why=age");
    }
    for (unsigned i = 0; r->peers_up && i < DUE_PER_TURN; i++) {
        const struct weir_retry_item *item = weir_retry_due (r->queue, wall);
        if (item == NULL) {
            break;
        }
        Weir__Behind m = WEIR__BEHIND__INIT;
        m.has_device = m.has_db = m.has_status = true;
        m.device = weir_field_id (&item->device);
        m.db = weir_field_id (&item->db);
        m.status = (uint32_t) item->why;
        mark (r, &item->device, &item->db, false);
        if (weir_actor_send_about (actor, WEIR_KIND_DUE, NULL, &item->device, &item->db, 0, &m.base,
                                   weir_bytes (NULL, 0))
            != WEIR_OK) {
            break; /* it was moved behind its next delay: tried again then */
        }
    }
    rearm (r);
}

/* ---- what peers says ---- */

static bool
read_pair (const Weir__Behind *m, struct pair *pair)
{
    return weir_field_get_id (&pair->device, m->has_device, m->device) == WEIR_OK
           && weir_field_get_id (&pair->db, m->has_db, m->db) == WEIR_OK;
}

static void
on_behind (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct retry *r = state;
    const Weir__Behind *m = (const Weir__Behind *) message->meta;
    enum weir_status why = weir_status_from_number (m->status);
    struct pair pair;
    if (!read_pair (m, &pair)) {
        return;
    }
    size_t before = weir_retry_count (r->queue, NULL);
    const struct weir_retry_item *old = weir_retry_find (r->queue, &pair.device, &pair.db);
    bool was_parked = old != NULL && old->parked;
    const struct weir_retry_item *item =
        weir_retry_failed (r->queue, &pair.device, &pair.db, why, weir_actor_wall_ms (actor));
    bool fresh = weir_retry_count (r->queue, NULL) > before;
    mark (r, &pair.device, &pair.db, fresh);
    if (item != NULL && item->parked && !was_parked) {
        weir_actor_event (actor, "peer_parked", &pair.device, &pair.db, why, "attempts=%u",
                          item->attempts);
    }
    rearm (r);
}

static void
on_in_step (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct retry *r = state;
    struct pair pair;
    (void) actor;
    if (read_pair ((const Weir__Behind *) message->meta, &pair)
        && weir_retry_done (r->queue, &pair.device, &pair.db)) {
        mark (r, &pair.device, &pair.db, false);
        rearm (r);
    }
}

static void
on_heard (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct retry *r = state;
    const Weir__PeerId *m = (const Weir__PeerId *) message->meta;
    struct weir_id device;
    if (weir_field_get_id (&device, m->has_device, m->device) == WEIR_OK
        && weir_retry_heard (r->queue, &device, weir_actor_wall_ms (actor)) > 0) {
        look (r, actor, NULL);
    }
}

/* ---- verbs ---- */

static void
on_list (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct retry *r = state;
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    size_t n = weir_retry_count (r->queue, NULL);
    uint64_t wall = weir_actor_wall_ms (actor);
    Weir__RetryItems m = WEIR__RETRY_ITEMS__INIT;
    struct weir_error e = { 0 };
    m.items = weir_arena_array (arena, n + 1, sizeof *m.items);
    Weir__RetryItem *rows = weir_arena_array (arena, n + 1, sizeof *rows);
    for (size_t i = 0; m.items != NULL && rows != NULL && i < n; i++) {
        const struct weir_retry_item *item = weir_retry_at (r->queue, i);
        Weir__RetryItem *row = &rows[i];
        *row = (Weir__RetryItem) WEIR__RETRY_ITEM__INIT;
        row->has_device = row->has_db = row->has_attempts = row->has_next_ms = true;
        row->device = weir_field_id (&item->device);
        row->db = weir_field_id (&item->db);
        row->attempts = item->attempts;
        row->next_ms = item->parked || item->next_ms < wall ? 0 : item->next_ms - wall;
        row->has_since_ms = row->has_why = row->has_parked = true;
        row->since_ms = item->since_ms;
        row->why = (uint32_t) item->why;
        row->parked = item->parked;
        m.items[m.n_items++] = row;
    }
    if (m.n_items < n
        || protobuf_c_message_get_packed_size (&m.base) > WEIR_MESSAGE_META_BYTES_MAX) {
        weir_error_set (&e, WEIR_TOO_LARGE, NULL, "%zu pairs wait: too many for one answer", n);
        weir_actor_fail (actor, &message->envelope, WEIR_TOO_LARGE, &e);
    } else {
        weir_actor_answer (actor, &message->envelope, &m.base, weir_bytes (NULL, 0), false);
    }
    weir_arena_destroy (&arena);
}

/* A device or database of the queue, by id or prefix (which: 0 device, 1 database). */
static enum weir_status
resolve (const struct retry *r, bool has, ProtobufCBinaryData field, int which, struct weir_id *out,
         struct weir_error *e)
{
    char text[WEIR_NAME_BYTES_MAX + 1];
    const char *what = which == 0 ? "peer" : "database";
    size_t hits = 0;
    if (weir_field_get_text (text, WEIR_NAME_BYTES_MAX, has, field) != WEIR_OK) {
        return weir_error_set (e, WEIR_INVALID_ARGUMENT, NULL, "a %s must be named", what);
    }
    if (weir_id_parse (out, text) == WEIR_OK) {
        return WEIR_OK;
    }
    for (size_t i = 0; i < weir_retry_count (r->queue, NULL); i++) {
        const struct weir_retry_item *item = weir_retry_at (r->queue, i);
        const struct weir_id *id = which == 0 ? &item->device : &item->db;
        if (strlen (text) >= WEIR_ID_PREFIX_MIN && weir_id_has_prefix (id, text)
            && (hits == 0 || !weir_id_equal (id, out))) {
            *out = *id;
            hits++;
        }
    }
    if (hits != 1) {
        return weir_error_set (e, hits == 0 ? WEIR_NOT_FOUND : WEIR_AMBIGUOUS,
                               "weir retry ls shows the ids", "no %s %s waits", what, text);
    }
    return WEIR_OK;
}

static void
answer_count (struct weir_actor *actor, const struct weir_message *message, size_t n)
{
    Weir__Count m = WEIR__COUNT__INIT;
    m.has_count = true;
    m.count = n;
    weir_actor_answer (actor, &message->envelope, &m.base, weir_bytes (NULL, 0), false);
}

static void
on_now (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct retry *r = state;
    const Weir__PeerName *ask = (const Weir__PeerName *) message->meta;
    struct weir_error e = { 0 };
    struct weir_id device;
    bool one = ask->has_peer && ask->peer.len > 0;
    enum weir_status status = one ? resolve (r, true, ask->peer, 0, &device, &e) : WEIR_OK;
    if (status != WEIR_OK) {
        weir_actor_fail (actor, &message->envelope, status, &e);
        return;
    }
    size_t n = weir_retry_revive (r->queue, one ? &device : NULL, weir_actor_wall_ms (actor));
    look (r, actor, NULL);
    answer_count (actor, message, n);
}

static void
on_drop (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct retry *r = state;
    const Weir__RetryDrop *ask = (const Weir__RetryDrop *) message->meta;
    struct weir_error e = { 0 };
    struct pair pair;
    bool one = ask->has_db && ask->db.len > 0;
    enum weir_status status = resolve (r, ask->has_peer, ask->peer, 0, &pair.device, &e);
    if (status == WEIR_OK && one) {
        status = resolve (r, true, ask->db, 1, &pair.db, &e);
    }
    if (status != WEIR_OK) {
        weir_actor_fail (actor, &message->envelope, status, &e);
        return;
    }
    for (size_t i = 0; i < weir_retry_count (r->queue, NULL); i++) {
        const struct weir_retry_item *item = weir_retry_at (r->queue, i);
        if (weir_id_equal (&item->device, &pair.device)
            && (!one || weir_id_equal (&item->db, &pair.db))) {
            mark (r, &item->device, &item->db, true);
        }
    }
    size_t n = weir_retry_drop (r->queue, &pair.device, one ? &pair.db : NULL);
    rearm (r);
    answer_count (actor, message, n);
}

static const struct weir_actor_handler handlers[] = {
    { WEIR_KIND_BEHIND, on_behind },
    { WEIR_KIND_IN_STEP, on_in_step },
    { WEIR_KIND_HEARD, on_heard },
    { WEIR_KIND_RETRY_LIST, on_list },
    { WEIR_KIND_RETRY_NOW, on_now },
    { WEIR_KIND_RETRY_DROP, on_drop },
    { 0, NULL },
};

const struct weir_actor_def retry_def = {
    .role = "retry",
    .handlers = handlers,
    .start = start,
    .stop = stop,
    .up = up,
    .down = down,
    .reloaded = reloaded,
};

int
weir_retry_run (int argc, char **argv)
{
    return weir_actor_run (&retry_def, argc, argv);
}
