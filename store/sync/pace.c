/* Deficit round robin, token buckets and windows. It knows neither what is sent nor who sends. */

#include "store/sync/pace.h"

#include "store/base/heap.h"
#include "store/base/map.h"

#include <stdlib.h>
#include <string.h>

#define PRIORITIES 3u
#define PERIOD_MS 250u   /* a link is judged by so much time at least */
#define SILENCE_MS 1000u /* nothing came through for so long: the window may be the reason */
#define PIECE_UNITS WEIR_FRAME_BYTES_FIRST /* by turns within a turn: so much at a time */
#define PASSES_MAX 512u
#define NEVER UINT64_MAX

static const int64_t quantum[PRIORITIES] = { 64 << 10, 16 << 10, 4 << 10 };

struct bucket {
    uint64_t rate; /* units a second; 0: no limit */
    int64_t tokens;
    uint64_t at_ms;
};

/* The flows of one peer and priority that are ready, in a ring of turns. */
struct turn {
    struct turn *next; /* in the ring; NULL: not in it */
    struct turn *prev;
    struct peer *peer;
    unsigned priority;
    int64_t deficit;
    struct weir_pace_flow *first;
    struct weir_pace_flow *last;
};

struct peer {
    struct weir_id id;
    size_t n_flows;
    struct turn turns[PRIORITIES];
    struct bucket bucket;
    uint64_t load;
    /* Of windows. */
    uint64_t window;
    uint64_t rate;      /* bytes a second; 0: not measured yet */
    uint64_t period_ms; /* since when `carried` is counted */
    uint64_t carried;
    bool blocked;      /* somebody waited for the window in this period */
    uint64_t rtt_ms;   /* of the link when it is idle; 0: not measured yet */
    uint64_t begun_ms; /* 0, or when something was first put on the idle link */
    uint64_t progress_ms;
    unsigned silences; /* since then */
    bool is_deaf;
};

enum where { RESTS, IN_TURN, WAITS };

struct weir_pace_flow {
    void *owner;
    struct peer *peer;
    unsigned priority;
    enum where where;
    struct weir_pace_flow *next; /* in its turn */
    struct weir_pace_flow *prev;
    struct bucket bucket;
    uint64_t due_ms; /* while it waits for tokens */
    uint64_t load;
    uint64_t piece; /* used since it was its turn */
};

struct weir_pace {
    bool has_windows;
    struct weir_map *peers;
    struct turn *ring; /* whose turn it is */
    size_t n_turns;
    struct weir_heap waiting; /* flows, by due_ms */
    struct bucket all;
    uint64_t each_peer;
    uint64_t due_ms;
};

static uint64_t
clamp (uint64_t value, uint64_t min, uint64_t max)
{
    return value < min ? min : value > max ? max : value;
}

/* ---- token buckets ---- */

static int64_t
bucket_size (const struct bucket *b)
{
    uint64_t size = b->rate / 4; /* a quarter of a second */
    return size < WEIR_FRAME_BYTES_MIN ? (int64_t) WEIR_FRAME_BYTES_MIN : (int64_t) size;
}

static void
bucket_set (struct bucket *b, uint64_t rate)
{
    if (rate > 0 && rate < WEIR_RATE_BYTES_MIN) {
        rate = WEIR_RATE_BYTES_MIN;
    }
    if (rate > (uint64_t) 1 << 40) {
        rate = (uint64_t) 1 << 40;
    }
    if (rate != b->rate) {
        b->rate = rate;
        b->tokens = bucket_size (b);
        b->at_ms = 0;
    }
}

/* When a frame's worth is there; `now_ms`: it is. */
static uint64_t
bucket_due (struct bucket *b, uint64_t now_ms)
{
    if (b->rate == 0) {
        return now_ms;
    }
    int64_t size = bucket_size (b);
    if (now_ms > b->at_ms) {
        uint64_t ms = b->at_ms > 0 ? now_ms - b->at_ms : 0;
        uint64_t full_ms = (uint64_t) (size - b->tokens) * 1000 / b->rate + 1;
        if (ms >= full_ms) {
            b->tokens = size;
            b->at_ms = now_ms;
        } else if (ms == 0) {
            b->at_ms = now_ms;
        } else {
            uint64_t more = b->rate * ms / 1000;
            b->tokens += (int64_t) more;
            b->at_ms += more * 1000 / b->rate; /* what makes no whole unit yet is not lost */
        }
    }
    int64_t need = (int64_t) WEIR_FRAME_BYTES_MIN - b->tokens;
    return need <= 0 ? now_ms : now_ms + ((uint64_t) need * 1000 + b->rate - 1) / b->rate;
}

static void
bucket_use (struct bucket *b, uint64_t units)
{
    if (b->rate > 0) {
        b->tokens -= (int64_t) units;
    }
}

static size_t
bucket_room (const struct bucket *b, size_t units)
{
    return b->rate == 0 || (int64_t) units <= b->tokens ? units : (size_t) b->tokens;
}

/* ---- the ring ---- */

static void
ring_put (struct weir_pace *self, struct turn *turn)
{
    if (turn->next) {
        return;
    }
    if (self->ring) {
        turn->next = self->ring;
        turn->prev = self->ring->prev;
        turn->prev->next = turn;
        self->ring->prev = turn;
    } else {
        turn->next = turn->prev = turn;
        self->ring = turn;
    }
    self->n_turns++;
}

static void
ring_take (struct weir_pace *self, struct turn *turn)
{
    if (!turn->next) {
        return;
    }
    if (self->ring == turn) {
        self->ring = turn->next == turn ? NULL : turn->next;
    }
    turn->next->prev = turn->prev;
    turn->prev->next = turn->next;
    turn->next = turn->prev = NULL;
    self->n_turns--;
    if (turn->deficit > 0) {
        turn->deficit = 0; /* who has nothing to do saves nothing up; a debt stays */
    }
}

static void
turn_put (struct weir_pace *self, struct weir_pace_flow *flow)
{
    struct turn *turn = &flow->peer->turns[flow->priority];
    flow->where = IN_TURN;
    flow->next = NULL;
    flow->prev = turn->last;
    *(turn->last ? &turn->last->next : &turn->first) = flow;
    turn->last = flow;
    ring_put (self, turn);
}

/* Out of its turn, or of those that wait. */
static void
rest (struct weir_pace *self, struct weir_pace_flow *flow)
{
    struct turn *turn = &flow->peer->turns[flow->priority];
    if (flow->where == WAITS) {
        weir_heap_remove (&self->waiting, flow);
    } else if (flow->where == IN_TURN) {
        *(flow->prev ? &flow->prev->next : &turn->first) = flow->next;
        *(flow->next ? &flow->next->prev : &turn->last) = flow->prev;
        if (!turn->first) {
            ring_take (self, turn);
        }
    }
    flow->where = RESTS;
    flow->piece = 0;
    flow->next = flow->prev = NULL;
}

/* ---- making ---- */

static int
sooner (const void *a, const void *b)
{
    const struct weir_pace_flow *x = a;
    const struct weir_pace_flow *y = b;
    return (x->due_ms > y->due_ms) - (x->due_ms < y->due_ms);
}

struct weir_pace *
weir_pace_new (bool has_windows)
{
    struct weir_pace *self = weir_alloc (sizeof *self);
    self->has_windows = has_windows;
    self->peers = weir_map_new ();
    self->due_ms = NEVER;
    weir_heap_init (&self->waiting, sooner);
    return self;
}

void
weir_pace_destroy (struct weir_pace **self_p)
{
    struct weir_pace *self = *self_p;
    if (!self) {
        return;
    }
    weir_assert (weir_map_count (self->peers) == 0);
    weir_map_destroy (&self->peers, NULL);
    weir_heap_fini (&self->waiting);
    free (self);
    *self_p = NULL;
}

void
weir_pace_limit (struct weir_pace *self, uint64_t each_peer, uint64_t in_all)
{
    struct weir_bytes key;
    void *value;
    bucket_set (&self->all, in_all);
    if (each_peer == self->each_peer) {
        return;
    }
    self->each_peer = each_peer;
    for (size_t i = 0; weir_map_next (self->peers, &i, &key, &value);) {
        struct peer *peer = value;
        bucket_set (&peer->bucket, each_peer);
    }
}

static struct peer *
peer_need (struct weir_pace *self, const struct weir_id *id)
{
    struct peer *peer = weir_map_get (self->peers, weir_id_bytes (id));
    if (peer) {
        return peer;
    }
    peer = weir_alloc (sizeof *peer);
    peer->id = *id;
    peer->window = 2 * WEIR_FRAME_BYTES_FIRST;
    bucket_set (&peer->bucket, self->each_peer);
    for (unsigned i = 0; i < PRIORITIES; i++) {
        peer->turns[i].peer = peer;
        peer->turns[i].priority = i;
    }
    (void) weir_map_put (self->peers, weir_id_bytes (id), peer);
    return peer;
}

struct weir_pace_flow *
weir_pace_flow_new (struct weir_pace *self, const struct weir_id *peer, void *owner)
{
    struct weir_pace_flow *flow = weir_alloc (sizeof *flow);
    flow->owner = owner;
    flow->peer = peer_need (self, peer);
    flow->peer->n_flows++;
    flow->priority = WEIR_PRIORITY_NORMAL;
    return flow;
}

void
weir_pace_flow_destroy (struct weir_pace *self, struct weir_pace_flow **flow_p)
{
    struct weir_pace_flow *flow = *flow_p;
    if (!flow) {
        return;
    }
    struct peer *peer = flow->peer;
    rest (self, flow);
    peer->load -= flow->load;
    if (--peer->n_flows == 0) {
        (void) weir_map_remove (self->peers, weir_id_bytes (&peer->id));
        free (peer);
    }
    free (flow);
    *flow_p = NULL;
}

void
weir_pace_flow_set (struct weir_pace *self, struct weir_pace_flow *flow, uint32_t priority,
                    uint64_t rate)
{
    enum where where = flow->where;
    rest (self, flow);
    flow->priority = priority < PRIORITIES ? priority : WEIR_PRIORITY_NORMAL;
    bucket_set (&flow->bucket, rate);
    if (where != RESTS) {
        turn_put (self, flow);
    }
}

void
weir_pace_deaf (struct weir_pace_flow *flow)
{
    flow->peer->is_deaf = true;
}

void
weir_pace_ready (struct weir_pace *self, struct weir_pace_flow *flow)
{
    if (flow->where == RESTS) {
        turn_put (self, flow);
    }
}

/* ---- serving ---- */

/* When this peer may take something; `now_ms`: now. */
static uint64_t
peer_due (const struct weir_pace *self, struct peer *peer, uint64_t now_ms)
{
    uint64_t due = bucket_due (&peer->bucket, now_ms);
    if (!self->has_windows || peer->load < peer->window || peer->is_deaf) {
        return due;
    }
    peer->blocked = true;
    /* What came through may have been told and lost: more is tried, by doubling and ever later. */
    while (peer->window < WEIR_CREDIT_BYTES) {
        uint64_t silent_ms = peer->progress_ms + ((uint64_t) SILENCE_MS << peer->silences);
        if (now_ms < silent_ms) {
            return silent_ms;
        }
        peer->silences++;
        peer->window = clamp (2 * peer->window, 0, WEIR_CREDIT_BYTES);
        if (peer->load < peer->window) {
            return due;
        }
    }
    return NEVER;
}

/* The turn's first flow that has tokens; those that have none wait elsewhere. */
static struct weir_pace_flow *
turn_first (struct weir_pace *self, struct turn *turn, uint64_t now_ms)
{
    while (turn->first) {
        struct weir_pace_flow *flow = turn->first;
        uint64_t due = bucket_due (&flow->bucket, now_ms);
        if (due <= now_ms) {
            return flow;
        }
        rest (self, flow);
        flow->where = WAITS;
        flow->due_ms = due;
        weir_heap_push (&self->waiting, flow);
    }
    return NULL;
}

static void
wake (struct weir_pace *self, uint64_t now_ms)
{
    struct weir_pace_flow *flow;
    while ((flow = weir_heap_peek (&self->waiting)) != NULL && flow->due_ms <= now_ms) {
        (void) weir_heap_pop (&self->waiting);
        turn_put (self, flow);
    }
}

static struct weir_pace_flow *
serve (struct weir_pace *self, uint64_t now_ms)
{
    bool some = true;
    for (unsigned pass = 0; some && pass < PASSES_MAX; pass++) {
        some = false;
        for (size_t n = self->n_turns; n > 0 && self->ring; n--) {
            struct turn *turn = self->ring;
            uint64_t due = peer_due (self, turn->peer, now_ms);
            struct weir_pace_flow *flow = due <= now_ms ? turn_first (self, turn, now_ms) : NULL;
            if (!flow) {
                self->due_ms = due > now_ms && due < self->due_ms ? due : self->due_ms;
                if (turn->next) {
                    self->ring = turn->next; /* else it left the ring by itself */
                }
                continue;
            }
            if (turn->deficit > 0 || pass + 1 == PASSES_MAX) {
                return flow; /* it keeps its turn until it has used it up */
            }
            turn->deficit += quantum[turn->priority];
            if (turn->deficit > 0) {
                return flow;
            }
            some = true;
            self->ring = turn->next;
        }
    }
    return NULL;
}

void *
weir_pace_next (struct weir_pace *self, uint64_t now_ms, size_t *units_max)
{
    self->due_ms = NEVER;
    wake (self, now_ms);
    uint64_t due = bucket_due (&self->all, now_ms);
    struct weir_pace_flow *flow = due <= now_ms ? serve (self, now_ms) : NULL;
    if (!flow) {
        const struct weir_pace_flow *first = weir_heap_peek (&self->waiting);
        if (due > now_ms && self->ring) {
            self->due_ms = due;
        }
        if (first && first->due_ms < self->due_ms) {
            self->due_ms = first->due_ms;
        }
        return NULL;
    }
    struct peer *peer = flow->peer;
    size_t units = weir_pace_frame_bytes (flow);
    units = bucket_room (&flow->bucket, units);
    units = bucket_room (&peer->bucket, units);
    *units_max = bucket_room (&self->all, units);
    return flow->owner;
}

void
weir_pace_used (struct weir_pace *self, struct weir_pace_flow *flow, uint64_t units, bool more)
{
    struct turn *turn = &flow->peer->turns[flow->priority];
    bucket_use (&flow->bucket, units);
    bucket_use (&flow->peer->bucket, units);
    bucket_use (&self->all, units);
    turn->deficit -= (int64_t) units;
    flow->piece += units;
    if (!more) {
        rest (self, flow);
    } else if (flow->where == IN_TURN && flow->next && flow->piece >= PIECE_UNITS) {
        flow->piece = 0;
        struct weir_pace_flow *second = flow->next; /* behind the others of its turn */
        *(flow->prev ? &flow->prev->next : &turn->first) = second;
        second->prev = flow->prev;
        flow->prev = turn->last;
        flow->next = NULL;
        turn->last->next = flow;
        turn->last = flow;
    }
    if (self->ring == turn && turn->deficit <= 0) {
        self->ring = turn->next;
    }
}

uint64_t
weir_pace_due_ms (const struct weir_pace *self)
{
    return self->due_ms;
}

/* ---- windows ---- */

void
weir_pace_load (struct weir_pace *self, struct weir_pace_flow *flow, uint64_t bytes,
                uint64_t now_ms)
{
    struct peer *peer = flow->peer;
    if (peer->load == 0 && bytes > 0 && self->has_windows) {
        peer->period_ms = now_ms;
        peer->progress_ms = now_ms;
        peer->silences = 0;
        peer->begun_ms = now_ms;
        peer->carried = 0;
        peer->blocked = false;
    }
    flow->load += bytes;
    peer->load += bytes;
}

/* What the link carries in two round trips and a quarter of a second: so that it is never idle, and
 * can be seen to carry more. */
static void
open_window (struct peer *peer, uint64_t rate)
{
    uint64_t ms = clamp (PERIOD_MS + 2 * peer->rtt_ms, 0, 10000);
    peer->rate = rate;
    peer->window = clamp (rate * ms / 1000, 2 * WEIR_FRAME_BYTES_MIN,
                          clamp (2 * peer->window, 0, WEIR_CREDIT_BYTES));
}

/* The link carried `carried` bytes since the period began. */
static void
measure (struct peer *peer, uint64_t now_ms)
{
    uint64_t ms = now_ms > peer->period_ms ? now_ms - peer->period_ms : 1;
    uint64_t rate = peer->carried * 1000 / ms;
    if (ms < PERIOD_MS) {
        if (rate > peer->window) {
            open_window (peer, rate > peer->rate ? rate : peer->rate); /* upwards: by doubling */
        }
        return;
    }
    /* Where nobody waited for it, and less than a second of it was waiting, it could have carried
     * more. */
    if (rate > peer->rate || peer->blocked || peer->load > rate) {
        open_window (peer, rate);
    }
    peer->period_ms = now_ms;
    peer->carried = 0;
    peer->blocked = false;
}

void
weir_pace_unload (struct weir_pace *self, struct weir_pace_flow *flow, uint64_t bytes,
                  uint64_t now_ms)
{
    struct peer *peer = flow->peer;
    bytes = bytes < flow->load ? bytes : flow->load;
    flow->load -= bytes;
    peer->load -= bytes;
    if (!self->has_windows || bytes == 0) {
        return;
    }
    if (peer->begun_ms > 0) {
        uint64_t ms = now_ms - peer->begun_ms;
        peer->rtt_ms = peer->rtt_ms == 0 || ms < peer->rtt_ms ? ms : (7 * peer->rtt_ms + ms) / 8;
        peer->begun_ms = 0;
    }
    peer->progress_ms = now_ms;
    peer->silences = 0;
    peer->carried += bytes;
    measure (peer, now_ms);
}

uint64_t
weir_pace_peer_load (const struct weir_pace_flow *flow)
{
    return flow->peer->load;
}

uint64_t
weir_pace_window (const struct weir_pace_flow *flow)
{
    return flow->peer->window;
}

size_t
weir_pace_frame_bytes (const struct weir_pace_flow *flow)
{
    const struct peer *peer = flow->peer;
    if (peer->rate == 0) {
        return WEIR_FRAME_BYTES_FIRST;
    }
    return (size_t) clamp (clamp (peer->rate * PERIOD_MS / 1000, 0, peer->window / 2),
                           WEIR_FRAME_BYTES_MIN, WEIR_FRAME_BYTES_MAX);
}
