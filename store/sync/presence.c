/* Presence: see presence.h. The items of a database lie in a list in the order of their serials;
 * a session is behind while the serial it was told last is below the list's end, so what is to
 * be said to whom follows from two numbers, and a late joiner begins at 0. */

#include "store/sync/presence_parts.h"

#include <stdlib.h>
#include <string.h>

struct weir_bytes
weir_presence_session_key (const uint64_t *session)
{
    return weir_bytes (session, sizeof *session);
}

struct weir_presence *
weir_presence_new (const struct weir_presence_options *options)
{
    struct weir_presence *self = weir_alloc (sizeof *self);
    self->options = *options;
    self->rooms = weir_map_new ();
    self->buckets = weir_map_new ();
    self->start = self->serial = options->epoch << 8; /* tokens of an earlier process are lower */
    self->expire_ms = self->refresh_ms = self->flush_ms = WEIR_PRESENCE_NEVER;
    return self;
}

/* ---- items and what holds them ---- */

static void
unlink_item (struct weir_presence_room *room, struct weir_presence_kept *item)
{
    *(item->before != NULL ? &item->before->behind : &room->first) = item->behind;
    *(item->behind != NULL ? &item->behind->before : &room->last) = item->before;
    item->before = item->behind = NULL;
}

static void
append_item (struct weir_presence_room *room, struct weir_presence_kept *item)
{
    item->before = room->last;
    *(room->last != NULL ? &room->last->behind : &room->first) = item;
    room->last = item;
}

static size_t
item_bytes (const struct weir_presence_kept *item)
{
    return item->is.key.len + item->is.value.len;
}

void
weir_presence_free_item (struct weir_presence *self, struct weir_presence_kept *item)
{
    struct weir_presence_writer *writer = item->writer;
    struct weir_presence_room *room = writer->room;
    if (item->is.changed > room->floor) {
        room->floor = item->is.changed;
    }
    unlink_item (room, item);
    (void) weir_map_remove (writer->items, item->is.key);
    writer->bytes -= item_bytes (item);
    room->bytes -= item_bytes (item);
    room->n_items--;
    self->counters.bytes -= item_bytes (item);
    self->counters.items--;
    free (item->bytes);
    free (item);
}

void
weir_presence_free_writer (struct weir_presence *self, struct weir_presence_writer *writer)
{
    struct weir_bytes key;
    void *value = NULL;
    for (size_t i = 0; weir_map_next (writer->items, &i, &key, &value);) {
        weir_presence_free_item (self, value);
    }
    weir_map_destroy (&writer->items, NULL);
    (void) weir_map_remove (writer->room->writers, weir_id_bytes (&writer->device));
    self->counters.writers--;
    free (writer);
}

static void
free_room (struct weir_presence *self, struct weir_presence_room *room)
{
    struct weir_bytes key;
    void *value = NULL;
    for (size_t i = 0; weir_map_next (room->writers, &i, &key, &value);) {
        weir_presence_free_writer (self, value);
    }
    weir_map_destroy (&room->writers, NULL);
    weir_map_destroy (&room->pairs, free);
    (void) weir_map_remove (self->rooms, weir_id_bytes (&room->db));
    free (room);
}

void
weir_presence_drop_empty (struct weir_presence *self, struct weir_presence_room *room,
                          struct weir_presence_writer *writer)
{
    if (writer != NULL && weir_map_count (writer->items) == 0) {
        weir_presence_free_writer (self, writer);
    }
    if (weir_map_count (room->writers) == 0 && weir_map_count (room->pairs) == 0) {
        free_room (self, room);
    }
}

void
weir_presence_destroy (struct weir_presence **self_p)
{
    struct weir_presence *self = *self_p;
    struct weir_bytes key;
    void *value = NULL;
    if (self == NULL) {
        return;
    }
    for (size_t i = 0; weir_map_next (self->rooms, &i, &key, &value);) {
        free_room (self, value);
    }
    weir_map_destroy (&self->rooms, NULL);
    weir_map_destroy (&self->buckets, free);
    free (self);
    *self_p = NULL;
}

void
weir_presence_configure (struct weir_presence *self, bool hub)
{
    self->options.hub = hub;
}

struct weir_presence_room *
weir_presence_room (const struct weir_presence *self, const struct weir_id *db)
{
    return weir_map_get (self->rooms, weir_id_bytes (db));
}

static struct weir_presence_room *
need_room (struct weir_presence *self, const struct weir_id *db)
{
    struct weir_presence_room *room = weir_presence_room (self, db);
    if (room == NULL) {
        room = weir_alloc (sizeof *room);
        room->db = *db;
        room->writers = weir_map_new ();
        room->pairs = weir_map_new ();
        room->floor = self->start;
        (void) weir_map_put (self->rooms, weir_id_bytes (db), room);
    }
    return room;
}

static void
flush_soon (struct weir_presence *self, struct weir_presence_room *room, uint64_t now_ms)
{
    uint64_t soonest = self->flushed_ms + WEIR_PRESENCE_FLUSH_MS;
    room->dirty = true;
    if (self->flush_ms == WEIR_PRESENCE_NEVER) {
        self->flush_ms = self->flushed_ms == 0 || soonest < now_ms ? now_ms : soonest;
    }
}

void
weir_presence_touch (struct weir_presence *self, struct weir_presence_kept *item, bool changed,
                     uint64_t now_ms)
{
    struct weir_presence_room *room = item->writer->room;
    unlink_item (room, item);
    append_item (room, item);
    item->serial = ++self->serial;
    if (changed) {
        item->is.changed = item->serial;
        item->is.changed_ms = now_ms;
    }
    self->expire_ms = item->expires_ms < self->expire_ms ? item->expires_ms : self->expire_ms;
    flush_soon (self, room, now_ms);
}

void
weir_presence_put_value (struct weir_presence *self, struct weir_presence_kept *item,
                         struct weir_bytes value)
{
    struct weir_presence_writer *writer = item->writer;
    size_t key_len = item->is.key.len;
    size_t old = item_bytes (item);
    uint8_t *bytes = weir_alloc (key_len + value.len + 1);
    memcpy (bytes, item->bytes, key_len);
    if (value.len > 0) {
        memcpy (bytes + key_len, value.data, value.len);
    }
    free (item->bytes); /* a map of items copies its keys */
    item->bytes = bytes;
    item->is.key = weir_bytes (bytes, key_len);
    item->is.value = weir_bytes (bytes + key_len, value.len);
    writer->bytes += item_bytes (item) - old;
    writer->room->bytes += item_bytes (item) - old;
    self->counters.bytes += item_bytes (item) - old;
}

void
weir_presence_end_item (struct weir_presence *self, struct weir_presence_kept *item,
                        enum weir_presence_state state, uint64_t now_ms)
{
    item->is.state = state;
    item->n_suppliers = 0;
    item->direct = 0;
    item->expires_ms = now_ms + WEIR_PRESENCE_GONE_MS;
    weir_presence_put_value (self, item, weir_bytes (NULL, 0));
    weir_presence_touch (self, item, true, now_ms);
}

/* ---- room for one more ---- */

static bool
fits (const struct weir_presence_room *room, const struct weir_presence_writer *writer,
      size_t items, size_t bytes)
{
    return weir_map_count (writer->items) + items <= WEIR_PRESENCE_DEVICE_KEYS_MAX
           && writer->bytes + bytes <= WEIR_PRESENCE_DEVICE_BYTES_MAX
           && room->n_items + items <= WEIR_PRESENCE_ITEMS_MAX
           && room->bytes + bytes <= WEIR_PRESENCE_BYTES_MAX;
}

/* What is gone makes way, the oldest first: the writer's own, then anybody's. */
static bool
make_room (struct weir_presence *self, struct weir_presence_writer *writer,
           const struct weir_presence_kept *keep, size_t items, size_t bytes)
{
    struct weir_presence_room *room = writer->room;
    for (int own = 1; own >= 0 && !fits (room, writer, items, bytes); own--) {
        struct weir_presence_kept *next = NULL;
        for (struct weir_presence_kept *at = room->first; at != NULL; at = next) {
            struct weir_presence_writer *of = at->writer;
            next = at->behind;
            if (at != keep && at->is.state != WEIR_PRESENCE_HERE && (!own || of == writer)) {
                weir_presence_free_item (self, at);
                if (of != writer && weir_map_count (of->items) == 0) {
                    weir_presence_free_writer (self, of);
                }
                if (fits (room, writer, items, bytes)) {
                    break;
                }
            }
        }
    }
    return fits (room, writer, items, bytes);
}

struct weir_presence_writer *
weir_presence_need_writer (struct weir_presence *self, struct weir_presence_room *room,
                           const struct weir_id *device)
{
    struct weir_presence_writer *writer = weir_map_get (room->writers, weir_id_bytes (device));
    if (writer == NULL && weir_map_count (room->writers) < WEIR_PRESENCE_WRITERS_MAX) {
        writer = weir_alloc (sizeof *writer);
        writer->device = *device;
        writer->room = room;
        writer->items = weir_map_new ();
        (void) weir_map_put (room->writers, weir_id_bytes (device), writer);
        self->counters.writers++;
    }
    return writer;
}

struct weir_presence_kept *
weir_presence_find_item (const struct weir_presence_writer *writer, struct weir_bytes key)
{
    return writer != NULL ? weir_map_get (writer->items, key) : NULL;
}

struct weir_presence_kept *
weir_presence_need_item (struct weir_presence *self, struct weir_presence_writer *writer,
                         struct weir_bytes key, size_t value_len)
{
    struct weir_presence_kept *item = weir_presence_find_item (writer, key);
    size_t more = value_len + (item == NULL ? key.len : 0);
    if (item != NULL) {
        more -= item->is.value.len < more ? item->is.value.len : more;
    }
    if (!make_room (self, writer, item, item == NULL, more)) {
        return NULL;
    }
    if (item == NULL) {
        item = weir_alloc (sizeof *item);
        item->writer = writer;
        item->bytes = weir_alloc (key.len + 1);
        memcpy (item->bytes, key.data, key.len);
        item->is.device = writer->device;
        item->is.key = weir_bytes (item->bytes, key.len);
        item->is.state = WEIR_PRESENCE_LOST;
        (void) weir_map_put (writer->items, key, item);
        append_item (writer->room, item);
        writer->bytes += key.len;
        writer->room->bytes += key.len;
        writer->room->n_items++;
        self->counters.bytes += key.len;
        self->counters.items++;
    }
    return item;
}

/* ---- who shares what ---- */

void
weir_presence_share (struct weir_presence *self, uint64_t session, const struct weir_id *peer,
                     bool peer_is_hub, const struct weir_id *db, uint64_t now_ms)
{
    struct weir_presence_room *room = need_room (self, db);
    if (weir_map_get (room->pairs, weir_presence_session_key (&session)) != NULL) {
        return;
    }
    struct weir_presence_pair *pair = weir_alloc (sizeof *pair);
    *pair = (struct weir_presence_pair){ session, *peer, peer_is_hub, 0, self->serial };
    (void) weir_map_put (room->pairs, weir_presence_session_key (&session), pair);
    if (room->first != NULL) {
        flush_soon (self, room, now_ms);
    }
}

bool
weir_presence_is_ours (const struct weir_presence *self, const struct weir_presence_kept *item)
{
    return weir_id_equal (&item->is.device, &self->options.device);
}

bool
weir_presence_drop_supplier (struct weir_presence_kept *item, uint64_t session)
{
    for (size_t i = 0; i < item->n_suppliers; i++) {
        if (item->suppliers[i] == session) {
            item->suppliers[i] = item->suppliers[--item->n_suppliers];
            return true;
        }
    }
    return false;
}

void
weir_presence_unshare (struct weir_presence *self, uint64_t session, const struct weir_id *db,
                       uint64_t now_ms)
{
    struct weir_presence_room *room = weir_presence_room (self, db);
    void *pair =
        room != NULL ? weir_map_remove (room->pairs, weir_presence_session_key (&session)) : NULL;
    if (pair == NULL) {
        return;
    }
    free (pair);
    struct weir_presence_kept *last = room->last; /* those that are lost move behind it */
    struct weir_presence_kept *next = NULL;
    for (struct weir_presence_kept *at = room->first; at != NULL; at = next) {
        next = at != last ? at->behind : NULL;
        if (weir_presence_drop_supplier (at, session) && at->n_suppliers == 0
            && at->is.state == WEIR_PRESENCE_HERE) {
            weir_presence_end_item (self, at, WEIR_PRESENCE_LOST, now_ms);
        }
    }
    weir_presence_drop_empty (self, room, NULL);
}

bool
weir_presence_shares (const struct weir_presence *self, uint64_t session, const struct weir_id *db)
{
    const struct weir_presence_room *room = weir_presence_room (self, db);
    return room != NULL && weir_map_get (room->pairs, weir_presence_session_key (&session)) != NULL;
}

void
weir_presence_session_down (struct weir_presence *self, uint64_t session, uint64_t now_ms)
{
    struct weir_bytes key;
    void *value = NULL;
    for (size_t i = 0; weir_map_next (self->rooms, &i, &key, &value);) {
        weir_presence_unshare (self, session, &((struct weir_presence_room *) value)->db, now_ms);
    }
    free (weir_map_remove (self->buckets, weir_presence_session_key (&session)));
}

void
weir_presence_forget (struct weir_presence *self, const struct weir_id *db,
                      const struct weir_id *device, uint64_t now_ms)
{
    struct weir_presence_room *room = weir_presence_room (self, db);
    struct weir_presence_writer *writer =
        room != NULL ? weir_map_get (room->writers, weir_id_bytes (device)) : NULL;
    struct weir_bytes key;
    void *value = NULL;
    for (size_t i = 0; writer != NULL && weir_map_next (writer->items, &i, &key, &value);) {
        struct weir_presence_kept *item = value;
        if (item->is.state == WEIR_PRESENCE_HERE) {
            weir_presence_end_item (self, item, WEIR_PRESENCE_LOST, now_ms);
        }
    }
}

void
weir_presence_forget_db (struct weir_presence *self, const struct weir_id *db)
{
    struct weir_presence_room *room = weir_presence_room (self, db);
    if (room != NULL) {
        free_room (self, room);
    }
}

bool
weir_presence_db (const struct weir_presence *self, size_t *at, struct weir_id *db)
{
    struct weir_bytes key;
    void *value = NULL;
    if (!weir_map_next (self->rooms, at, &key, &value)) {
        return false;
    }
    *db = ((struct weir_presence_room *) value)->db;
    return true;
}

bool
weir_presence_writer (const struct weir_presence *self, const struct weir_id *db, size_t *at,
                      struct weir_id *device)
{
    const struct weir_presence_room *room = weir_presence_room (self, db);
    struct weir_bytes key;
    void *value = NULL;
    if (room == NULL || !weir_map_next (room->writers, at, &key, &value)) {
        return false;
    }
    *device = ((struct weir_presence_writer *) value)->device;
    return true;
}

/* ---- ours ---- */

void
weir_presence_write_own (struct weir_presence *self, struct weir_presence_kept *item)
{
    item->is.epoch = self->options.epoch;
    item->is.version = ++self->version;
    item->is.hops = 0;
}

enum weir_status
weir_presence_set (struct weir_presence *self, const struct weir_id *db, struct weir_bytes key,
                   struct weir_bytes value, uint64_t life_ms, uint64_t now_ms)
{
    if (key.len == 0 || value.len == 0 || life_ms == 0) {
        return WEIR_INVALID_ARGUMENT;
    }
    if (key.len > WEIR_PRESENCE_KEY_BYTES_MAX || value.len > WEIR_PRESENCE_VALUE_BYTES_MAX) {
        return WEIR_TOO_LARGE;
    }
    struct weir_presence_room *room = need_room (self, db);
    struct weir_presence_writer *writer =
        weir_presence_need_writer (self, room, &self->options.device);
    struct weir_presence_kept *item =
        writer != NULL ? weir_presence_need_item (self, writer, key, value.len) : NULL;
    if (item == NULL) {
        weir_presence_drop_empty (self, room, writer);
        return WEIR_LIMIT;
    }
    bool same = item->is.state == WEIR_PRESENCE_HERE && weir_bytes_equal (item->is.value, value);
    item->is.state = WEIR_PRESENCE_HERE;
    item->expires_ms = now_ms + life_ms;
    weir_presence_write_own (self, item);
    if (!same) {
        weir_presence_put_value (self, item, value);
    }
    weir_presence_touch (self, item, !same, now_ms);
    if (self->refresh_ms == WEIR_PRESENCE_NEVER) {
        self->refresh_ms = now_ms + WEIR_PRESENCE_REFRESH_MS;
    }
    return WEIR_OK;
}

enum weir_status
weir_presence_remove (struct weir_presence *self, const struct weir_id *db, struct weir_bytes key,
                      uint64_t now_ms)
{
    struct weir_presence_room *room = weir_presence_room (self, db);
    struct weir_presence_kept *item =
        room != NULL ? weir_presence_find_item (
            weir_map_get (room->writers, weir_id_bytes (&self->options.device)), key)
                     : NULL;
    if (item == NULL || item->is.state != WEIR_PRESENCE_HERE) {
        return WEIR_NOT_FOUND;
    }
    weir_presence_write_own (self, item);
    weir_presence_end_item (self, item, WEIR_PRESENCE_REMOVED, now_ms);
    return WEIR_OK;
}
