/* The table of clients' unanswered requests. What happens to them is router.c's. */

#include "broker/held.h"

#include <stdlib.h>
#include <string.h>

#include "store/base/map.h"

static size_t
bucket_of (const struct weir_mailbox_id *client, uint64_t request)
{
    uint64_t key[3];
    memcpy (key, client->b, sizeof client->b);
    key[2] = request;
    return weir_hash64 (weir_bytes (key, sizeof key)) % WEIR_HELD_BUCKETS;
}

struct weir_held_item *
weir_held_find (const struct weir_held *h, const struct weir_mailbox_id *client, uint64_t request)
{
    struct weir_held_item *item = h->buckets[bucket_of (client, request)];
    while (item != NULL
           && (item->envelope.request != request
               || !weir_mailbox_equal (&item->envelope.from, client))) {
        item = item->chain;
    }
    return item;
}

struct weir_held_item *
weir_held_add (struct weir_held *h, const struct weir_envelope *envelope, zmq_msg_t *meta,
               zmq_msg_t *body, bool again, size_t child, uint64_t until_ms)
{
    if (h->count == WEIR_HELD_MAX
        || weir_held_find (h, &envelope->from, envelope->request) != NULL) {
        return NULL;
    }
    struct weir_held_item *item = h->free;
    if (item != NULL) {
        h->free = item->chain;
    } else {
        item = weir_alloc (sizeof *item);
    }
    memset (item, 0, sizeof *item);
    item->envelope = *envelope;
    item->child = child;
    item->until_ms = until_ms;
    (void) zmq_msg_init (&item->meta);
    (void) zmq_msg_init (&item->body);
    size_t bytes = zmq_msg_size (meta) + zmq_msg_size (body);
    if (again && h->bytes + bytes <= WEIR_HELD_BYTES_MAX) {
        (void) zmq_msg_copy (&item->meta, meta);
        (void) zmq_msg_copy (&item->body, body);
        item->kept = true;
        item->bytes = bytes;
        h->bytes += bytes;
    }
    struct weir_held_item **bucket = &h->buckets[bucket_of (&envelope->from, envelope->request)];
    item->chain = *bucket;
    *bucket = item;
    item->before = h->last;
    *(h->last == NULL ? &h->first : &h->last->after) = item;
    h->last = item;
    h->count++;
    return item;
}

void
weir_held_drop (struct weir_held *h, struct weir_held_item *item)
{
    struct weir_held_item **p =
        &h->buckets[bucket_of (&item->envelope.from, item->envelope.request)];
    while (*p != item) {
        p = &(*p)->chain;
    }
    *p = item->chain;
    *(item->before == NULL ? &h->first : &item->before->after) = item->after;
    *(item->after == NULL ? &h->last : &item->after->before) = item->before;
    (void) zmq_msg_close (&item->meta);
    (void) zmq_msg_close (&item->body);
    h->bytes -= item->bytes;
    h->count--;
    item->chain = h->free;
    h->free = item;
}

void
weir_held_fini (struct weir_held *h)
{
    while (h->first != NULL) {
        weir_held_drop (h, h->first);
    }
    while (h->free != NULL) {
        struct weir_held_item *item = h->free;
        h->free = item->chain;
        free (item);
    }
}
