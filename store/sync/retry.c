/* The retry schedule: one item for a pair that is behind, in a heap by when it is next tried.
 * It decides when, never how: the retry actor turns what is due into a request to peers and
 * persists the rows. */

#include "store/sync/retry.h"
#include "store/base/heap.h"
#include "store/base/limits.h"
#include "store/base/map.h"

#include <stdlib.h>
#include <string.h>

#define KEY_BYTES (2u * WEIR_ID_BYTES)
#define JITTER_PERCENT 25u
#define ROW_VERSION 1u

struct item {
    struct weir_retry_item pub;
    size_t at; /* in items[] */
};

struct weir_retry {
    struct weir_retry_options options;
    struct weir_rand rand;
    struct weir_map *by_pair;
    struct weir_heap waiting; /* items that are not parked */
    struct item **items;
    size_t count;
    size_t cap;
    size_t expire_at; /* where the search for old parked items goes on */
    uint64_t look_ms; /* the timer looks no sooner */
    bool urgent;      /* something became due outside the timer */
};

static int
compare_next (const void *a, const void *b)
{
    const struct weir_retry_item *x = &((const struct item *) a)->pub;
    const struct weir_retry_item *y = &((const struct item *) b)->pub;
    if (x->next_ms != y->next_ms) {
        return x->next_ms < y->next_ms ? -1 : 1;
    }
    if (x->since_ms != y->since_ms) {
        return x->since_ms < y->since_ms ? -1 : 1;
    }
    int order = weir_id_compare (&x->device, &y->device);
    return order != 0 ? order : weir_id_compare (&x->db, &y->db);
}

struct weir_retry *
weir_retry_new (const struct weir_retry_options *options)
{
    struct weir_retry *self = weir_alloc (sizeof *self);
    self->options = *options;
    weir_rand_init (&self->rand, options->seed);
    self->by_pair = weir_map_new ();
    weir_heap_init (&self->waiting, compare_next);
    return self;
}

void
weir_retry_destroy (struct weir_retry **self_p)
{
    struct weir_retry *self = *self_p;
    if (!self) {
        return;
    }
    weir_map_destroy (&self->by_pair, NULL);
    weir_heap_fini (&self->waiting);
    for (size_t i = 0; i < self->count; i++) {
        free (self->items[i]);
    }
    free (self->items);
    free (self);
    *self_p = NULL;
}

void
weir_retry_configure (struct weir_retry *self, const struct weir_retry_options *options)
{
    self->options = *options;
    self->look_ms = 0;
}

bool
weir_retry_is_persistent (enum weir_status why)
{
    static const enum weir_status persistent[] = {
        WEIR_REFUSED,      WEIR_INCOMPATIBLE, WEIR_WRONG_DEVICE,   WEIR_OWN_DEVICE,
        WEIR_BAD_PROOF,    WEIR_BAD_ADDRESS,  WEIR_BAD_CARD,       WEIR_BLOCKED,
        WEIR_REMOVED,      WEIR_NOT_MEMBER,   WEIR_NOT_ALLOWED,    WEIR_NEEDS_UPGRADE,
        WEIR_UNSUPPORTED,  WEIR_BAD_TICKET,   WEIR_TICKET_EXPIRED, WEIR_TICKET_USED,
        WEIR_BELOW_HORIZON
    };
    for (size_t i = 0; i < sizeof persistent / sizeof persistent[0]; i++) {
        if (persistent[i] == why) {
            return true;
        }
    }
    return false;
}

static void
pair_key (uint8_t key[KEY_BYTES], const struct weir_id *device, const struct weir_id *db)
{
    memcpy (key, device->b, WEIR_ID_BYTES);
    memcpy (key + WEIR_ID_BYTES, db->b, WEIR_ID_BYTES);
}

static struct item *
find (const struct weir_retry *self, const struct weir_id *device, const struct weir_id *db)
{
    uint8_t key[KEY_BYTES];
    pair_key (key, device, db);
    return weir_map_get (self->by_pair, weir_bytes (key, sizeof key));
}

static struct item *
add (struct weir_retry *self, const struct weir_id *device, const struct weir_id *db)
{
    struct item *item = weir_alloc (sizeof *item);
    item->pub.device = *device;
    item->pub.db = *db;
    item->at = self->count;
    weir_grow (&self->items, &self->cap, self->count + 1, sizeof (struct item *));
    self->items[self->count++] = item;
    uint8_t key[KEY_BYTES];
    pair_key (key, device, db);
    weir_map_put (self->by_pair, weir_bytes (key, sizeof key), item);
    return item;
}

static void
forget (struct weir_retry *self, struct item *item)
{
    uint8_t key[KEY_BYTES];
    pair_key (key, &item->pub.device, &item->pub.db);
    weir_map_remove (self->by_pair, weir_bytes (key, sizeof key));
    if (!item->pub.parked) {
        weir_heap_remove (&self->waiting, item);
    }
    struct item *last = self->items[--self->count];
    self->items[item->at] = last;
    last->at = item->at;
    free (item);
}

static uint64_t
delay_ms (struct weir_retry *self, uint32_t attempts)
{
    uint64_t most = WEIR_RETRY_DELAY_S_MAX * 1000u;
    uint64_t delay = attempts < 16 ? 1000u << attempts : most;
    delay = weir_rand_jitter (&self->rand, delay < most ? delay : most, JITTER_PERCENT);
    if (delay > self->options.max_queue_age_ms) {
        delay = self->options.max_queue_age_ms;
    }
    return delay < most ? delay : most;
}

static void
schedule (struct weir_retry *self, struct item *item, uint64_t next_ms)
{
    if (!item->pub.parked) {
        weir_heap_remove (&self->waiting, item);
    }
    item->pub.parked = false;
    item->pub.next_ms = next_ms;
    weir_heap_push (&self->waiting, item);
}

static void
park (struct weir_retry *self, struct item *item)
{
    weir_heap_remove (&self->waiting, item);
    item->pub.parked = true;
    item->pub.next_ms = UINT64_MAX;
}

/* All that waits is due now. */
static void
hurry (struct weir_retry *self, uint64_t now_ms)
{
    for (size_t i = 0; i < self->count; i++) {
        if (!self->items[i]->pub.parked && self->items[i]->pub.next_ms > now_ms) {
            schedule (self, self->items[i], now_ms);
        }
    }
    self->urgent = true;
}

const struct weir_retry_item *
weir_retry_failed (struct weir_retry *self, const struct weir_id *device, const struct weir_id *db,
                   enum weir_status why, uint64_t now_ms)
{
    struct item *item = find (self, device, db);
    bool fresh = !item;
    if (fresh) {
        item = add (self, device, db);
        item->pub.since_ms = now_ms;
        weir_heap_push (&self->waiting, item);
    }
    item->pub.why = why;
    if (item->pub.attempts < UINT32_MAX) {
        item->pub.attempts++;
    }
    if (weir_retry_is_persistent (why) && item->pub.attempts >= self->options.max_attempts) {
        if (!item->pub.parked) {
            park (self, item);
        }
        return &item->pub;
    }
    if (!item->pub.parked) {
        schedule (self, item, now_ms + delay_ms (self, item->pub.attempts));
    }
    if (fresh && self->waiting.count == self->options.max_queue_size) {
        hurry (self, now_ms);
    }
    return &item->pub;
}

bool
weir_retry_done (struct weir_retry *self, const struct weir_id *device, const struct weir_id *db)
{
    struct item *item = find (self, device, db);
    if (!item) {
        return false;
    }
    forget (self, item);
    return true;
}

size_t
weir_retry_heard (struct weir_retry *self, const struct weir_id *device, uint64_t now_ms)
{
    size_t count = 0;
    for (size_t i = 0; i < self->count; i++) {
        if (weir_id_equal (&self->items[i]->pub.device, device)) {
            schedule (self, self->items[i], now_ms);
            count++;
        }
    }
    self->urgent = self->urgent || count > 0;
    return count;
}

size_t
weir_retry_revive (struct weir_retry *self, const struct weir_id *device, uint64_t now_ms)
{
    size_t count = 0;
    for (size_t i = 0; i < self->count; i++) {
        if (!device || weir_id_equal (&self->items[i]->pub.device, device)) {
            self->items[i]->pub.attempts = 0;
            schedule (self, self->items[i], now_ms);
            count++;
        }
    }
    self->urgent = self->urgent || count > 0;
    return count;
}

size_t
weir_retry_drop (struct weir_retry *self, const struct weir_id *device, const struct weir_id *db)
{
    if (db) {
        return weir_retry_done (self, device, db) ? 1 : 0;
    }
    size_t count = 0;
    for (size_t i = self->count; i > 0; i--) {
        if (weir_id_equal (&self->items[i - 1]->pub.device, device)) {
            forget (self, self->items[i - 1]);
            count++;
        }
    }
    return count;
}

const struct weir_retry_item *
weir_retry_due (struct weir_retry *self, uint64_t now_ms)
{
    /* A look further away than the interval was set before the clock stepped back. */
    if (!self->urgent && now_ms < self->look_ms
        && self->look_ms - now_ms <= self->options.check_interval_ms) {
        return NULL;
    }
    struct item *item = weir_heap_peek (&self->waiting);
    /* One that is further away than any delay was written before the clock stepped back. */
    if (item
        && (item->pub.next_ms <= now_ms
            || item->pub.next_ms - now_ms > WEIR_RETRY_DELAY_S_MAX * 1000u)) {
        schedule (self, item, now_ms + 1 + delay_ms (self, item->pub.attempts + 1));
        return &item->pub;
    }
    self->urgent = false;
    self->look_ms = now_ms + self->options.check_interval_ms;
    return NULL;
}

bool
weir_retry_expire (struct weir_retry *self, uint64_t now_ms, struct weir_retry_item *item)
{
    while (self->expire_at < self->count) {
        struct item *old = self->items[self->expire_at];
        if (old->pub.parked && now_ms > old->pub.since_ms
            && now_ms - old->pub.since_ms > self->options.parked_ms) {
            *item = old->pub;
            forget (self, old);
            return true;
        }
        self->expire_at++;
    }
    self->expire_at = 0;
    return false;
}

uint64_t
weir_retry_next_ms (const struct weir_retry *self)
{
    const struct item *item = weir_heap_peek (&self->waiting);
    if (!item) {
        return UINT64_MAX;
    }
    if (self->urgent || item->pub.next_ms > self->look_ms) {
        return item->pub.next_ms;
    }
    return self->look_ms;
}

size_t
weir_retry_count (const struct weir_retry *self, size_t *parked)
{
    if (parked) {
        *parked = self->count - self->waiting.count;
    }
    return self->count;
}

const struct weir_retry_item *
weir_retry_find (const struct weir_retry *self, const struct weir_id *device,
                 const struct weir_id *db)
{
    const struct item *item = find (self, device, db);
    return item ? &item->pub : NULL;
}

const struct weir_retry_item *
weir_retry_at (const struct weir_retry *self, size_t i)
{
    return i < self->count ? &self->items[i]->pub : NULL;
}

void
weir_retry_item_put (const struct weir_retry_item *item, struct weir_buf *out)
{
    weir_buf_put_u8 (out, ROW_VERSION);
    weir_buf_put_bytes (out, weir_id_bytes (&item->device));
    weir_buf_put_bytes (out, weir_id_bytes (&item->db));
    weir_buf_put_u32 (out, item->attempts);
    weir_buf_put_u64 (out, item->since_ms);
    weir_buf_put_u64 (out, item->next_ms);
    weir_buf_put_u32 (out, (uint32_t) item->why);
    weir_buf_put_u8 (out, item->parked ? 1 : 0);
}

enum weir_status
weir_retry_item_get (struct weir_retry_item *item, struct weir_bytes row)
{
    struct weir_reader r = weir_reader (row);
    struct weir_retry_item got = { 0 };
    uint8_t version = weir_read_u8 (&r);
    struct weir_bytes device = weir_read_bytes (&r, WEIR_ID_BYTES);
    struct weir_bytes db = weir_read_bytes (&r, WEIR_ID_BYTES);
    got.attempts = weir_read_u32 (&r);
    got.since_ms = weir_read_u64 (&r);
    got.next_ms = weir_read_u64 (&r);
    got.why = weir_status_from_number (weir_read_u32 (&r));
    uint8_t parked = weir_read_u8 (&r);
    got.parked = parked == 1;
    if (!weir_reader_done (&r) || version != ROW_VERSION || parked > 1
        || got.parked != (got.next_ms == UINT64_MAX)) {
        return WEIR_CORRUPT;
    }
    memcpy (got.device.b, device.data, WEIR_ID_BYTES);
    memcpy (got.db.b, db.data, WEIR_ID_BYTES);
    *item = got;
    return WEIR_OK;
}

void
weir_retry_load (struct weir_retry *self, const struct weir_retry_item *item)
{
    struct item *mine = find (self, &item->device, &item->db);
    if (mine) {
        forget (self, mine);
    }
    mine = add (self, &item->device, &item->db);
    size_t at = mine->at;
    mine->pub = *item;
    mine->at = at;
    if (!item->parked) {
        weir_heap_push (&self->waiting, mine);
    }
}
