/* Both ends of a transfer: what is queued, read, cut into frames, limited and acknowledged on
 * the sending side; what came, was consumed and is durable on the receiving side. It never
 * reads, imports or sends anything itself: the store actor and the simulator do. */

#include "store/sync/transfer.h"

#include <stdlib.h>
#include <string.h>

#define PERIOD_MS 250u /* credit follows what became durable in so much time at least */
/* With something in flight, less room than this waits for the acknowledgement that makes more
 * of it, so that a full window is not cut into crumbs. */
#define CRUMB_BYTES WEIR_FRAME_BYTES_MIN

/* Bytes up to `end` of the stream close `entries` entries. */
struct mark {
    uint64_t end;
    uint64_t entries;
    struct weir_range range; /* the one that ends here; empty: none does */
};

struct weir_out {
    struct weir_ranges queue;
    size_t queue_first; /* items before it are read */
    uint64_t queue_seq; /* where the first goes on */
    struct weir_buf buffer;
    size_t buffer_first; /* bytes before it are in frames */
    struct weir_id digest;
    bool digest_due;
    struct weir_ranges acked_ranges; /* acknowledged whole, until they are taken */
    struct mark *marks;
    size_t marks_first;
    size_t marks_count;
    size_t marks_cap;
    uint64_t read; /* stream offsets: read <= ... */
    uint64_t sent;
    uint64_t acked;
    uint64_t limit;
    uint64_t received; /* acked <= received <= sent */
    uint64_t received_taken;
    uint64_t progress_ms;
};

struct weir_in {
    struct weir_buf buffer;
    size_t buffer_first;
    uint64_t credit;
    uint64_t credit_max;
    uint64_t limit; /* stream offsets */
    uint64_t taken;
    uint64_t consumed;
    uint64_t durable;
    uint64_t period_ms; /* since when `carried` is counted; 0: not yet */
    uint64_t carried;
    struct weir_id digest;
};

struct weir_out *
weir_out_new (uint64_t now_ms)
{
    struct weir_out *self = weir_alloc (sizeof *self);
    self->progress_ms = now_ms;
    return self;
}

void
weir_out_destroy (struct weir_out **self_p)
{
    struct weir_out *self = *self_p;
    if (!self) {
        return;
    }
    weir_ranges_fini (&self->queue);
    weir_ranges_fini (&self->acked_ranges);
    weir_buf_fini (&self->buffer);
    free (self->marks);
    free (self);
    *self_p = NULL;
}

void
weir_out_limit (struct weir_out *self, uint64_t limit)
{
    if (limit > self->limit) {
        self->limit = limit;
    }
}

void
weir_out_feed (struct weir_out *self, const struct weir_ranges *ranges,
               const struct weir_id *digest)
{
    for (size_t i = 0; i < ranges->count; i++) {
        if (ranges->items[i].to_seq > ranges->items[i].from_seq) {
            weir_ranges_add (&self->queue, &ranges->items[i], &weir_id_zero);
        }
    }
    if (self->queue_first < self->queue.count && self->queue_seq == 0) {
        self->queue_seq = self->queue.items[self->queue_first].from_seq;
    }
    self->digest = *digest;
    self->digest_due = true;
}

/* Bytes that were read and are in no frame yet. */
static size_t
buffered (const struct weir_out *self)
{
    return self->buffer.len - self->buffer_first;
}

bool
weir_out_wants (const struct weir_out *self, size_t ahead, struct weir_range *range,
                uint64_t *from_seq, size_t *bytes_max)
{
    if (self->queue_first >= self->queue.count || buffered (self) >= ahead) {
        return false;
    }
    *range = self->queue.items[self->queue_first];
    *from_seq = self->queue_seq;
    *bytes_max = 2 * ahead - buffered (self);
    return true;
}

/* Leaves the range at hand; forgets those that are done when all are. */
static void
next_range (struct weir_out *self)
{
    self->queue_first++;
    if (self->queue_first < self->queue.count) {
        self->queue_seq = self->queue.items[self->queue_first].from_seq;
        return;
    }
    weir_ranges_clear (&self->queue);
    self->queue_first = 0;
    self->queue_seq = 0;
}

/* The mark at the end of a range names it: what is acknowledged up to there is all of it. */
static void
put_mark (struct weir_out *self, uint64_t entries, const struct weir_range *ends)
{
    if (self->marks_first > 64 && self->marks_first * 2 > self->marks_count) {
        self->marks_count -= self->marks_first;
        memmove (self->marks, self->marks + self->marks_first,
                 self->marks_count * sizeof *self->marks);
        self->marks_first = 0;
    }
    weir_grow (&self->marks, &self->marks_cap, self->marks_count + 1, sizeof *self->marks);
    struct mark *mark = &self->marks[self->marks_count++];
    *mark = (struct mark){ .end = self->read, .entries = entries };
    if (ends != NULL) {
        mark->range = *ends;
    }
}

void
weir_out_bytes (struct weir_out *self, struct weir_bytes runs, uint64_t next_seq)
{
    weir_assert (self->queue_first < self->queue.count);
    const struct weir_range *range = &self->queue.items[self->queue_first];
    uint64_t to_seq = range->to_seq;
    weir_assert (next_seq <= to_seq && next_seq > self->queue_seq);
    uint64_t entries = next_seq - self->queue_seq;
    if (runs.len > 0) {
        if (self->buffer_first > 0) {
            memmove (self->buffer.data, self->buffer.data + self->buffer_first, buffered (self));
            self->buffer.len -= self->buffer_first;
            self->buffer_first = 0;
        }
        weir_buf_put_bytes (&self->buffer, runs);
        self->read += runs.len;
        put_mark (self, entries, next_seq == to_seq ? range : NULL);
    }
    self->queue_seq = next_seq;
    if (next_seq == to_seq) {
        next_range (self);
    }
}

bool
weir_out_frame (struct weir_out *self, uint64_t now_ms, size_t bytes_max, uint64_t *offset,
                struct weir_bytes *bytes, struct weir_id *digest)
{
    size_t len = buffered (self);
    bool last_read = self->queue_first >= self->queue.count;
    if (len == 0 && !(last_read && self->digest_due)) {
        return false;
    }
    size_t want = len < bytes_max ? len : bytes_max;
    uint64_t room = self->limit > self->sent ? self->limit - self->sent : 0;
    if (want > room) {
        if (room == 0 || (room < CRUMB_BYTES && self->sent > self->acked)) {
            return false;
        }
        want = (size_t) room;
    }
    if (self->sent == self->acked) {
        self->progress_ms = now_ms;
    }
    *offset = self->sent;
    *bytes = weir_bytes (len > 0 ? self->buffer.data + self->buffer_first : NULL, want);
    self->buffer_first += want;
    self->sent += want;
    *digest = weir_id_zero;
    if (want == len && last_read) {
        *digest = self->digest;
        self->digest_due = false;
    }
    return true;
}

enum weir_status
weir_out_received (struct weir_out *self, uint64_t offset, uint64_t now_ms)
{
    if (offset > self->sent) {
        return WEIR_BAD_FRAME;
    }
    if (offset > self->received) {
        self->received = offset;
        self->progress_ms = now_ms;
    }
    return WEIR_OK;
}

uint64_t
weir_out_take_received (struct weir_out *self)
{
    uint64_t bytes = self->received - self->received_taken;
    self->received_taken = self->received;
    return bytes;
}

enum weir_status
weir_out_ack (struct weir_out *self, uint64_t offset, uint64_t now_ms, uint64_t *entries)
{
    enum weir_status status = weir_out_received (self, offset, now_ms);
    *entries = 0;
    if (status != WEIR_OK || offset <= self->acked) {
        return status; /* late or repeated: acknowledgements are cumulative */
    }
    self->acked = offset;
    self->progress_ms = now_ms;
    while (self->marks_first < self->marks_count && self->marks[self->marks_first].end <= offset) {
        const struct mark *mark = &self->marks[self->marks_first++];
        *entries += mark->entries;
        if (mark->range.to_seq > mark->range.from_seq
            && self->acked_ranges.count < WEIR_RANGES_PER_MESSAGE) {
            weir_ranges_add (&self->acked_ranges, &mark->range, &weir_id_zero);
        }
    }
    if (self->marks_first == self->marks_count) {
        self->marks_first = 0;
        self->marks_count = 0;
    }
    return WEIR_OK;
}

struct weir_ranges
weir_out_take_acked (struct weir_out *self)
{
    struct weir_ranges taken = self->acked_ranges;
    self->acked_ranges = (struct weir_ranges){ 0 };
    return taken;
}

bool
weir_out_idle (const struct weir_out *self)
{
    return self->queue_first >= self->queue.count && buffered (self) == 0 && !self->digest_due
           && self->acked == self->sent;
}

bool
weir_out_stalled (const struct weir_out *self, uint64_t now_ms)
{
    return self->sent > self->acked && now_ms > self->progress_ms
           && now_ms - self->progress_ms >= WEIR_TRANSFER_STALL_MS;
}

struct weir_in *
weir_in_new (uint64_t credit_bytes)
{
    struct weir_in *self = weir_alloc (sizeof *self);
    self->credit = credit_bytes > WEIR_CREDIT_BYTES_MIN ? credit_bytes : WEIR_CREDIT_BYTES_MIN;
    self->credit_max = self->credit;
    self->limit = self->credit;
    return self;
}

void
weir_in_destroy (struct weir_in **self_p)
{
    struct weir_in *self = *self_p;
    if (!self) {
        return;
    }
    weir_buf_fini (&self->buffer);
    free (self);
    *self_p = NULL;
}

enum weir_status
weir_in_frame (struct weir_in *self, uint64_t offset, struct weir_bytes bytes,
               const struct weir_id *digest)
{
    if (bytes.len > WEIR_FRAME_BYTES_MAX) {
        return WEIR_BAD_FRAME;
    }
    if (offset < self->taken) {
        return WEIR_EXISTS;
    }
    if (offset > self->taken) {
        return WEIR_GAP;
    }
    if (bytes.len > weir_in_limit (self) - self->taken) {
        return WEIR_BAD_FRAME;
    }
    if (bytes.len > 0) {
        if (self->buffer_first * 2 > self->buffer.len) {
            size_t left = self->buffer.len - self->buffer_first;
            memmove (self->buffer.data, self->buffer.data + self->buffer_first, left);
            self->buffer.len = left;
            self->buffer_first = 0;
        }
        weir_buf_put_bytes (&self->buffer, bytes);
        self->taken += bytes.len;
        self->digest = *digest;
    } else if (!weir_id_is_zero (digest)) {
        self->digest = *digest;
    }
    return WEIR_OK;
}

struct weir_bytes
weir_in_bytes (const struct weir_in *self)
{
    size_t left = self->buffer.len - self->buffer_first;
    return weir_bytes (left > 0 ? self->buffer.data + self->buffer_first : NULL, left);
}

void
weir_in_consume (struct weir_in *self, size_t bytes)
{
    weir_assert (bytes <= self->buffer.len - self->buffer_first);
    self->buffer_first += bytes;
    self->consumed += bytes;
    if (self->buffer_first == self->buffer.len) {
        weir_buf_clear (&self->buffer);
        self->buffer_first = 0;
    }
}

uint64_t
weir_in_consumed (const struct weir_in *self)
{
    return self->consumed;
}

bool
weir_in_durable (struct weir_in *self, uint64_t offset, uint64_t now_ms, uint64_t *limit)
{
    weir_assert (offset <= self->consumed);
    if (offset <= self->durable) {
        return false;
    }
    self->carried += offset - self->durable;
    self->durable = offset;
    uint64_t ms = now_ms > self->period_ms ? now_ms - self->period_ms : 0;
    if (ms >= PERIOD_MS) {
        uint64_t rate = self->carried * 1000 / ms;
        if (self->period_ms > 0) {
            self->credit = rate < WEIR_CREDIT_BYTES_MIN ? WEIR_CREDIT_BYTES_MIN
                           : rate > self->credit_max    ? self->credit_max
                                                        : rate;
        }
        self->period_ms = now_ms;
        self->carried = 0;
    }
    if (self->durable + self->credit > self->limit) {
        self->limit = self->durable + self->credit;
    }
    *limit = self->limit;
    return true;
}

uint64_t
weir_in_received (const struct weir_in *self)
{
    return self->taken;
}

struct weir_id
weir_in_digest (struct weir_in *self)
{
    struct weir_id digest = weir_id_zero;
    if (self->consumed == self->taken) {
        digest = self->digest;
        self->digest = weir_id_zero;
    }
    return digest;
}

uint64_t
weir_in_limit (const struct weir_in *self)
{
    return self->limit;
}
