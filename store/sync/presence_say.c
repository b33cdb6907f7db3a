/* Presence and time: what expires, what of ours is said again, what is to be said to which session,
 * and what changed for those who watch. */

#include "store/sync/presence_parts.h"

/* ---- time ---- */

static void
expire (struct weir_presence *self, struct weir_presence_room *room, uint64_t now_ms)
{
    struct weir_presence_kept *last = room->last; /* what ends moves behind it */
    struct weir_presence_kept *next = NULL;
    for (struct weir_presence_kept *at = room->first; at != NULL; at = next) {
        struct weir_presence_writer *writer = at->writer;
        next = at != last ? at->behind : NULL;
        if (at->expires_ms > now_ms) {
            self->expire_ms = at->expires_ms < self->expire_ms ? at->expires_ms : self->expire_ms;
        } else if (at->is.state != WEIR_PRESENCE_HERE) {
            weir_presence_free_item (self, at);
            if (weir_map_count (writer->items) == 0) {
                weir_presence_free_writer (self, writer);
            }
        } else if (weir_presence_is_ours (self, at)) {
            weir_presence_write_own (self, at);
            weir_presence_end_item (self, at, WEIR_PRESENCE_REMOVED, now_ms);
        } else {
            weir_presence_end_item (self, at, WEIR_PRESENCE_EXPIRED, now_ms);
        }
    }
}

/* All of ours at once: one message a session. */
static bool
refresh (struct weir_presence *self, struct weir_presence_room *room, uint64_t now_ms)
{
    struct weir_bytes key;
    void *value = NULL;
    bool any = false;
    struct weir_presence_writer *own =
        weir_map_get (room->writers, weir_id_bytes (&self->options.device));
    for (size_t i = 0; own != NULL && weir_map_next (own->items, &i, &key, &value);) {
        struct weir_presence_kept *item = value;
        if (item->is.state == WEIR_PRESENCE_HERE) {
            weir_presence_write_own (self, item);
            weir_presence_touch (self, item, false, now_ms);
            any = true;
        }
    }
    return any;
}

void
weir_presence_tick (struct weir_presence *self, uint64_t now_ms)
{
    struct weir_bytes key;
    void *value = NULL;
    if (self->expire_ms <= now_ms) {
        self->expire_ms = WEIR_PRESENCE_NEVER;
        for (size_t i = 0; weir_map_next (self->rooms, &i, &key, &value);) {
            struct weir_presence_room *room = value;
            expire (self, room, now_ms);
            weir_presence_drop_empty (self, room, NULL);
        }
    }
    if (self->refresh_ms <= now_ms) {
        bool any = false;
        for (size_t i = 0; weir_map_next (self->rooms, &i, &key, &value);) {
            any = refresh (self, value, now_ms) || any;
        }
        self->refresh_ms = any ? now_ms + WEIR_PRESENCE_REFRESH_MS : WEIR_PRESENCE_NEVER;
    }
    self->flushing = self->flushing || self->flush_ms <= now_ms;
}

uint64_t
weir_presence_next_ms (const struct weir_presence *self)
{
    uint64_t next = self->expire_ms < self->refresh_ms ? self->expire_ms : self->refresh_ms;
    return self->flush_ms < next ? self->flush_ms : next;
}

/* ---- saying ---- */

static bool
is_for (const struct weir_presence *self, const struct weir_presence_kept *item,
        const struct weir_presence_pair *pair)
{
    enum weir_presence_state state = item->is.state;
    if (weir_id_equal (&item->is.device, &pair->peer) || state == WEIR_PRESENCE_EXPIRED
        || item->is.hops >= WEIR_PRESENCE_HOPS_MAX
        || (!self->options.hub && !weir_presence_is_ours (self, item))
        || (state != WEIR_PRESENCE_HERE && item->serial <= pair->began)) {
        return false;
    }
    for (size_t i = 0; i < item->n_suppliers; i++) {
        if (item->suppliers[i] == pair->session) {
            return false; /* it is from there */
        }
    }
    return true;
}

static bool
fill (const struct weir_presence *self, const struct weir_presence_room *room,
      struct weir_presence_pair *pair, uint64_t now_ms, struct weir_presence_batch *out)
{
    const struct weir_presence_kept *at = room->last;
    out->n = 0;
    while (at != NULL && at->before != NULL && at->before->serial > pair->told) {
        at = at->before;
    }
    for (; at != NULL && out->n < WEIR_PRESENCE_ITEMS_PER_MESSAGE; at = at->behind) {
        if (at->serial > pair->told && is_for (self, at, pair)) {
            uint64_t left = at->expires_ms > now_ms ? at->expires_ms - now_ms : 1;
            out->items[out->n] = at->is;
            out->items[out->n++].ttl_ms = left < WEIR_PRESENCE_TTL_MS ? left : WEIR_PRESENCE_TTL_MS;
        }
        pair->told = at->serial > pair->told ? at->serial : pair->told;
    }
    out->session = pair->session;
    out->db = room->db;
    return out->n > 0;
}

bool
weir_presence_batch (struct weir_presence *self, uint64_t now_ms, struct weir_presence_batch *out)
{
    struct weir_bytes key;
    void *value = NULL;
    for (size_t i = 0; self->flushing && weir_map_next (self->rooms, &i, &key, &value);) {
        struct weir_presence_room *room = value;
        for (size_t k = 0; room->dirty && weir_map_next (room->pairs, &k, &key, &value);) {
            while (room->last != NULL
                   && ((struct weir_presence_pair *) value)->told < room->last->serial) {
                if (fill (self, room, value, now_ms, out)) {
                    self->counters.sent += out->n;
                    self->counters.batches++;
                    return true;
                }
            }
        }
        room->dirty = false;
    }
    if (self->flushing) {
        self->flushing = false;
        self->flush_ms = WEIR_PRESENCE_NEVER;
        self->flushed_ms = now_ms;
    }
    return false;
}

/* ---- watching ---- */

uint64_t
weir_presence_changes (const struct weir_presence *self, const struct weir_id *db, uint64_t serial,
                       uint64_t now_ms, bool *anew, weir_presence_fn *each, void *context)
{
    const struct weir_presence_room *room = weir_presence_room (self, db);
    uint64_t floor = room != NULL ? room->floor : self->start;
    *anew = serial < floor || serial > self->serial;
    for (const struct weir_presence_kept *at = room != NULL ? room->first : NULL; at != NULL;
         at = at->behind) {
        if (*anew ? at->is.state == WEIR_PRESENCE_HERE : at->is.changed > serial) {
            struct weir_presence_item item = at->is;
            item.ttl_ms = at->expires_ms > now_ms ? at->expires_ms - now_ms : 0;
            item.ours = weir_presence_is_ours (self, at);
            each (context, &item);
        }
    }
    return self->serial;
}

void
weir_presence_counters (const struct weir_presence *self, struct weir_presence_counters *out)
{
    *out = self->counters;
}
