/* What others tell of presence: whether they may, whether it is new, and what it costs. Whatever it
 * holds, an item costs one look at a few tables, and memory within presence.h's bounds. */

#include "store/sync/presence_parts.h"

#define BURST 2u /* seconds of a rate that may come at once */

static bool
take_token (struct weir_presence_bucket *b, uint64_t per_s, uint64_t now_ms)
{
    uint64_t full = BURST * per_s * 1000u;
    uint64_t passed = b->at_ms == 0 ? BURST * 1000u : now_ms - b->at_ms;
    uint64_t more = (passed < BURST * 1000u ? passed : BURST * 1000u) * per_s;
    b->milli = b->milli + more < full ? b->milli + more : full;
    b->at_ms = now_ms;
    if (b->milli < 1000u) {
        return false;
    }
    b->milli -= 1000u;
    return true;
}

static struct weir_presence_bucket *
session_bucket (struct weir_presence *self, uint64_t session)
{
    struct weir_presence_bucket *b =
        weir_map_get (self->buckets, weir_presence_session_key (&session));
    if (b == NULL) {
        b = weir_alloc (sizeof *b);
        (void) weir_map_put (self->buckets, weir_presence_session_key (&session), b);
    }
    return b;
}

/* Is it one that anybody could honestly tell, and may this peer tell it? Who is here itself needs
 * nobody to speak for it; that somebody lost it is a call for help. */
static bool
may_tell (const struct weir_presence *self, const struct weir_presence_room *room,
          const struct weir_presence_pair *pair, const struct weir_presence_item *m)
{
    bool own = weir_id_equal (&m->device, &pair->peer);
    struct weir_bytes key;
    void *value = NULL;
    if (m->key.len == 0 || m->key.len > WEIR_PRESENCE_KEY_BYTES_MAX
        || m->value.len > WEIR_PRESENCE_VALUE_BYTES_MAX || !weir_bytes_is_utf8 (m->key)
        || (m->state == WEIR_PRESENCE_HERE) != (m->value.len > 0) || m->state > WEIR_PRESENCE_LOST
        || m->ttl_ms == 0 || m->hops >= WEIR_PRESENCE_HOPS_MAX || weir_id_is_zero (&m->device)
        || own != (m->hops == 0) || (!own && !pair->hub)
        || weir_id_equal (&m->device, &self->options.device)) {
        return false;
    }
    for (size_t i = 0;
         !own && m->state != WEIR_PRESENCE_LOST && weir_map_next (room->pairs, &i, &key, &value);) {
        if (weir_id_equal (&((const struct weir_presence_pair *) value)->peer, &m->device)) {
            return false;
        }
    }
    return true;
}

static void
accept (struct weir_presence *self, struct weir_presence_kept *item,
        const struct weir_presence_pair *pair, const struct weir_presence_item *m, uint64_t now_ms)
{
    bool same = item->is.state == m->state && weir_bytes_equal (item->is.value, m->value)
                && item->serial != 0;
    uint64_t ttl = m->ttl_ms < WEIR_PRESENCE_TTL_MS ? m->ttl_ms : WEIR_PRESENCE_TTL_MS;
    item->is.epoch = m->epoch;
    item->is.version = m->version;
    if (m->state == WEIR_PRESENCE_REMOVED) {
        item->is.hops = m->hops + 1;
        weir_presence_end_item (self, item, WEIR_PRESENCE_REMOVED, now_ms);
        return;
    }
    if (!same) {
        weir_presence_put_value (self, item, m->value);
    }
    item->is.state = WEIR_PRESENCE_HERE;
    item->is.hops = m->hops + 1;
    item->expires_ms = now_ms + ttl;
    item->direct = m->hops == 0 ? pair->session : 0;
    item->suppliers[0] = pair->session;
    item->n_suppliers = 1;
    weir_presence_touch (self, item, !same, now_ms);
}

/* The teller has lost it: one supplier less; or it can be helped. */
static bool
take_lost (struct weir_presence *self, struct weir_presence_kept *item,
           const struct weir_presence_pair *pair, uint64_t now_ms)
{
    if (item == NULL || item->is.state != WEIR_PRESENCE_HERE) {
        return false;
    }
    if (!weir_presence_drop_supplier (item, pair->session)) {
        weir_presence_touch (self, item, false,
                             now_ms); /* said to all again; it changes nothing for the rest */
        return false;
    }
    if (item->n_suppliers == 0) {
        weir_presence_end_item (self, item, WEIR_PRESENCE_LOST, now_ms);
    }
    return true;
}

static bool
newer (const struct weir_presence_item *m, const struct weir_presence_kept *item)
{
    return m->epoch != item->is.epoch ? m->epoch > item->is.epoch : m->version > item->is.version;
}

static void
take_one (struct weir_presence *self, struct weir_presence_room *room,
          const struct weir_presence_pair *pair, const struct weir_presence_item *m,
          struct weir_presence_taken *taken, uint64_t now_ms)
{
    struct weir_presence_writer *writer = weir_presence_need_writer (self, room, &m->device);
    if (writer != NULL && !take_token (&writer->rate, WEIR_PRESENCE_WRITER_PER_S, now_ms)) {
        taken->limited++;
        return;
    }
    struct weir_presence_kept *item = weir_presence_find_item (writer, m->key);
    bool same = item != NULL && m->epoch == item->is.epoch && m->version == item->is.version;
    bool gone =
        item != NULL
        && (item->is.state == WEIR_PRESENCE_LOST || item->is.state == WEIR_PRESENCE_EXPIRED);
    bool anew = item != NULL && m->hops == 0 && item->direct != pair->session;
    if (m->state == WEIR_PRESENCE_LOST) {
        *(take_lost (self, item, pair, now_ms) ? &taken->news : &taken->old) += 1;
    } else if (item == NULL || newer (m, item) || anew || (same && gone)) {
        item = writer != NULL ? weir_presence_need_item (self, writer, m->key, m->value.len) : NULL;
        if (item == NULL) {
            taken->refused++;
        } else {
            accept (self, item, pair, m, now_ms);
            taken->news++;
        }
    } else {
        if (same && item->is.state == WEIR_PRESENCE_HERE && m->hops < item->is.hops
            && item->n_suppliers < WEIR_PRESENCE_SUPPLIERS_MAX) {
            (void) weir_presence_drop_supplier (item, pair->session); /* each once */
            item->suppliers[item->n_suppliers++] = pair->session;
        }
        taken->old++;
    }
    if (writer != NULL && weir_map_count (writer->items) == 0) {
        weir_presence_free_writer (self, writer);
    }
}

struct weir_presence_taken
weir_presence_take (struct weir_presence *self, uint64_t session, const struct weir_id *db,
                    const struct weir_presence_item *items, size_t n, uint64_t now_ms)
{
    struct weir_presence_taken taken = { 0 };
    struct weir_presence_room *room = weir_presence_room (self, db);
    const struct weir_presence_pair *pair =
        room != NULL ? weir_map_get (room->pairs, weir_presence_session_key (&session)) : NULL;
    for (size_t i = 0; i < n; i++) {
        if (pair == NULL || !may_tell (self, room, pair, &items[i])) {
            taken.refused++;
        } else if (!take_token (session_bucket (self, session), WEIR_PRESENCE_SESSION_PER_S,
                                now_ms)) {
            taken.limited++;
        } else {
            take_one (self, room, pair, &items[i], &taken, now_ms);
        }
    }
    self->counters.news += taken.news;
    self->counters.old += taken.old;
    self->counters.refused += taken.refused;
    self->counters.limited += taken.limited;
    return taken;
}
