#ifndef WEIR_TESTS_STORE_SYNC_TREE_WORLD_H
#define WEIR_TESTS_STORE_SYNC_TREE_WORLD_H

/* A small world for the tree: synchronizers whose stores are counts of entries per author, links
 * with a latency, disks that take 2 ms. It counts the bodies that each node got once and again,
 * and how late the latest was. Virtual time; exactly repeatable. */

#include <stdlib.h>
#include <string.h>

#include "store/base/heap.h"
#include "store/base/limits.h"
#include "store/crypto/hash.h"
#include "store/sync/session.h"
#include "store/sync/sync.h"

#define WORLD_NODES_MAX 24
#define WORLD_ENTRIES_MAX 600u /* of one author */
#define WORLD_DISK_MS 2u

enum world_type { WORLD_MESSAGE, WORLD_FRAME, WORLD_ACK, WORLD_EVENT, WORLD_SYNCED };

struct world_item {
    uint64_t at_ms;
    uint64_t order;
    enum world_type type;
    unsigned node;
    unsigned from;
    uint64_t session;
    uint64_t transfer;
    uint64_t entries;
    uint64_t again;
    bool gap;
    bool settled;
    struct weir_id digest;
    struct weir_sync_message message;
    struct weir_ranges ranges;
    struct weir_ranges held;
    enum weir_sync_event_type event;
    uint64_t ticket;
    struct weir_told_row *rows;
    size_t n_rows;
};

struct world_transfer {
    uint64_t session;
    uint64_t number;
    unsigned peer;
    bool out;
    bool standing;
    uint64_t flying; /* frames */
};

struct world_node {
    struct weir_sync *sync;
    enum weir_role role;
    uint32_t protocol;
    uint64_t counts[WORLD_NODES_MAX];
    struct weir_ranges pending;
    struct world_transfer transfers[4 * WORLD_NODES_MAX];
    size_t n_transfers;
    uint64_t session_with[WORLD_NODES_MAX];
    bool hung; /* says nothing and hears nothing */
    uint64_t fresh, again, announced, grafts;
    uint64_t latest_ms; /* from commit to here */
};

struct world {
    struct weir_heap items;
    uint64_t now_ms;
    uint64_t order;
    uint64_t next_session;
    unsigned n;
    struct world_node nodes[WORLD_NODES_MAX];
    uint64_t latency_ms[WORLD_NODES_MAX][WORLD_NODES_MAX];
    uint64_t made_ms[WORLD_NODES_MAX][WORLD_ENTRIES_MAX];
};

static const struct weir_id world_db = { { 77, 1 } };

static struct weir_id
world_device (unsigned n)
{
    struct weir_id id = { { 0 } };
    id.b[0] = (uint8_t) (n + 1);
    id.b[5] = 9;
    return id;
}

static unsigned
world_index (const struct weir_id *device)
{
    return device->b[0] - 1u;
}

static struct weir_id
world_entry (unsigned author, uint64_t seq)
{
    struct weir_id id = { { 0 } };
    id.b[0] = (uint8_t) (author + 1);
    weir_store_u64 (id.b + 8, seq + 1);
    return id;
}

static struct weir_range
world_range (unsigned author, uint64_t from, uint64_t to)
{
    struct weir_range r = { .chain = { .author = world_device (author), .lane = 1 },
                            .from_seq = from,
                            .to_seq = to,
                            .tip = world_entry (author, to - 1) };
    return r;
}

static struct weir_id
world_digest (const struct world_node *node)
{
    return weir_hash (WEIR_DOMAIN_TAG, weir_bytes (node->counts, sizeof node->counts),
                      weir_bytes (NULL, 0));
}

static int
world_order (const void *a, const void *b)
{
    const struct world_item *x = a;
    const struct world_item *y = b;
    if (x->at_ms != y->at_ms) {
        return x->at_ms < y->at_ms ? -1 : 1;
    }
    return x->order < y->order ? -1 : 1;
}

static struct world_item *
world_post (struct world *w, enum world_type type, unsigned node, uint64_t delay_ms)
{
    struct world_item *item = weir_alloc (sizeof *item);
    item->type = type;
    item->node = node;
    item->at_ms = w->now_ms + delay_ms;
    item->order = ++w->order;
    weir_heap_push (&w->items, item);
    return item;
}

static void
world_item_free (struct world_item *item)
{
    weir_sync_message_fini (&item->message);
    weir_ranges_fini (&item->ranges);
    weir_ranges_fini (&item->held);
    free (item->rows);
    free (item);
}

static struct world_transfer *
world_transfer (struct world_node *node, uint64_t session, uint64_t number, bool out)
{
    for (size_t i = 0; i < node->n_transfers; i++) {
        struct world_transfer *t = &node->transfers[i];
        if (t->session == session && t->number == number && t->out == out) {
            return t;
        }
    }
    return NULL;
}

static void
world_frame (struct world *w, unsigned from, struct world_transfer *t,
             const struct weir_ranges *ranges)
{
    struct world_node *node = &w->nodes[from];
    struct world_item *item = world_post (w, WORLD_FRAME, t->peer, w->latency_ms[from][t->peer]);
    item->from = from;
    item->session = t->session;
    item->transfer = t->number;
    item->digest = world_digest (node);
    for (size_t i = 0; i < ranges->count; i++) {
        weir_ranges_add (&item->ranges, &ranges->items[i], &weir_id_zero);
    }
    t->flying++;
}

static void world_step (struct world *w, unsigned n, const struct weir_sync_event *e);

/* ---- actions ---- */

/* The newer ladder, in short: counts there, counts back. */
static void
world_climb (struct world *w, unsigned n, const struct weir_sync_action *a, struct world_item *item)
{
    struct world_node *node = &w->nodes[n];
    bool begins = a->message.n_bytes == 0;
    uint64_t theirs[WORLD_NODES_MAX] = { 0 };
    if (!begins) {
        weir_assert (a->message.n_bytes == sizeof theirs);
        memcpy (theirs, a->message.bytes, sizeof theirs);
    }
    for (unsigned i = 0; !begins && i < w->n; i++) {
        if (node->counts[i] > theirs[i]) {
            struct weir_range range = world_range (i, theirs[i], node->counts[i]);
            weir_ranges_add (&item->ranges, &range, &weir_id_zero);
        }
    }
    item->settled = !begins;
    item->message.answer = begins;
    if (begins || a->message.answer) {
        item->message.n_bytes = sizeof node->counts;
        item->message.bytes = weir_alloc (sizeof node->counts);
        memcpy (item->message.bytes, node->counts, sizeof node->counts);
    }
}

static void
world_compare (struct world *w, unsigned n, const struct weir_sync_action *a)
{
    struct world_node *node = &w->nodes[n];
    struct world_item *item = world_post (w, WORLD_EVENT, n, 1);
    item->event = WEIR_SYNC_COMPARED;
    item->ticket = a->ticket;
    if (a->ladder) {
        world_climb (w, n, a, item);
        return;
    }
    item->rows = weir_alloc (WORLD_NODES_MAX * sizeof item->rows[0]);
    for (unsigned i = 0; i < w->n; i++) {
        uint64_t theirs = 0;
        struct weir_id author = world_device (i);
        for (size_t k = 0; k < a->n_rows; k++) {
            if (weir_id_equal (&a->rows[k].row.chain.author, &author)) {
                theirs = a->rows[k].row.count;
            }
        }
        if (!a->ask && node->counts[i] > theirs) {
            struct weir_range range = world_range (i, theirs, node->counts[i]);
            weir_ranges_add (&item->ranges, &range, &weir_id_zero);
        }
        if (node->counts[i] > 0) {
            struct weir_row *row = &item->rows[item->n_rows++].row;
            row->chain = world_range (i, 0, 1).chain;
            row->count = node->counts[i];
            row->tip = world_entry (i, node->counts[i] - 1);
        }
    }
}

static void
world_find (struct world *w, unsigned n, const struct weir_sync_action *a)
{
    struct weir_ranges found = { 0 };
    for (size_t i = 0; i < a->message.n_wants; i++) {
        const struct weir_sync_want *want = &a->message.wants[i];
        unsigned author = want->id.b[0] - 1u;
        uint64_t to = weir_load_u64 (want->id.b + 8);
        if (author < w->n && to > 0 && to <= w->nodes[n].counts[author]) {
            bool known = want->from_seq < to;
            struct weir_range range = world_range (author, known ? want->from_seq : to - 1, to);
            weir_ranges_add (&found, &range, &weir_id_zero);
        }
    }
    struct weir_sync_event e = { .type = WEIR_SYNC_FOUND,
                                 .session = a->session,
                                 .device = a->device,
                                 .db = a->db,
                                 .ranges = &found };
    world_step (w, n, &e);
    weir_ranges_fini (&found);
}

static void
world_open (struct world *w, unsigned n, const struct weir_sync_action *a)
{
    struct world_node *node = &w->nodes[n];
    weir_assert (node->n_transfers < 4 * WORLD_NODES_MAX);
    node->transfers[node->n_transfers++] =
        (struct world_transfer){ .session = a->session,
                                 .number = a->transfer,
                                 .peer = world_index (&a->device),
                                 .out = a->type == WEIR_SYNC_OPEN_OUT };
    struct weir_sync_event e = { .type = WEIR_SYNC_OPENED,
                                 .session = a->session,
                                 .transfer = a->transfer };
    world_step (w, n, &e);
}

static void
world_say (struct world *w, unsigned n, const struct weir_sync_action *a)
{
    struct world_node *node = &w->nodes[n];
    unsigned to = world_index (&a->device);
    node->announced += a->message.type == WEIR_SYNC_ANNOUNCE;
    node->grafts += a->message.type == WEIR_SYNC_GRAFT;
    struct world_item *item = world_post (w, WORLD_MESSAGE, to, w->latency_ms[n][to]);
    item->from = n;
    item->session = a->session;
    weir_sync_message_copy (&item->message, &a->message);
}

static void
world_act (struct world *w, unsigned n, const struct weir_sync_action *a)
{
    struct world_node *node = &w->nodes[n];
    struct world_transfer *t =
        world_transfer (node, a->session, a->transfer, a->type != WEIR_SYNC_STOP || a->out);
    switch (a->type) {
    case WEIR_SYNC_SAY:
        world_say (w, n, a);
        break;
    case WEIR_SYNC_COMPARE:
        world_compare (w, n, a);
        break;
    case WEIR_SYNC_OPEN_OUT:
    case WEIR_SYNC_OPEN_IN:
        world_open (w, n, a);
        break;
    case WEIR_SYNC_SEND:
        if (t) {
            world_frame (w, n, t, &a->ranges);
        }
        break;
    case WEIR_SYNC_STOP:
        if (t) {
            *t = node->transfers[--node->n_transfers];
        }
        break;
    case WEIR_SYNC_STAND:
        if (t) {
            t->standing = a->stand;
        }
        break;
    case WEIR_SYNC_FIND:
        world_find (w, n, a);
        break;
    case WEIR_SYNC_STRIKE:
    case WEIR_SYNC_START:
    case WEIR_SYNC_BEHIND:
    case WEIR_SYNC_IN_STEP:
    case WEIR_SYNC_DIFFERS:
        break;
    }
}

static void
world_step (struct world *w, unsigned n, const struct weir_sync_event *e)
{
    struct weir_sync_actions actions = { 0 };
    weir_sync_step (w->nodes[n].sync, e, w->now_ms, &actions);
    for (size_t i = 0; i < actions.count; i++) {
        world_act (w, n, &actions.items[i]);
    }
    weir_sync_actions_fini (&actions);
}

/* ---- a store ---- */

/* What is new here goes to standing transfers at once, and to the synchronizer. */
static void
world_novel (struct world *w, unsigned n, const struct weir_ranges *ranges,
             const struct weir_id *source)
{
    struct world_node *node = &w->nodes[n];
    struct weir_sync_fed fed[4 * WORLD_NODES_MAX];
    struct weir_sync_event e = { .type = WEIR_SYNC_NOVEL,
                                 .db = world_db,
                                 .source = *source,
                                 .ranges = ranges,
                                 .fed = fed,
                                 .digest = world_digest (node) };
    bool mine = weir_id_is_zero (source);
    for (size_t i = 0; i < node->n_transfers; i++) {
        struct world_transfer *t = &node->transfers[i];
        if (t->out && t->standing && (mine || node->role == WEIR_ROLE_HUB)
            && (mine || t->peer != world_index (source))
            && (ranges->count > 1 || world_index (&ranges->items[0].chain.author) != t->peer)) {
            world_frame (w, n, t, ranges);
            fed[e.n_fed++] = (struct weir_sync_fed){ t->session, t->number };
        }
    }
    world_step (w, n, &e);
}

/* Takes what follows on what is held; the rest waits. */
static void
world_import (struct world *w, unsigned n, const struct weir_range *range, struct world_item *out)
{
    struct world_node *node = &w->nodes[n];
    unsigned author = world_index (&range->chain.author);
    uint64_t *count = &node->counts[author];
    if (range->from_seq > *count) {
        weir_ranges_add (&node->pending, range, &weir_id_zero);
        out->gap = true;
        return;
    }
    uint64_t end = range->to_seq < *count ? range->to_seq : *count;
    if (end > range->from_seq) {
        struct weir_range held = world_range (author, range->from_seq, end);
        out->again += end - range->from_seq;
        weir_ranges_add (&out->held, &held, &weir_id_zero);
    }
    if (range->to_seq > *count) {
        struct weir_range fresh = world_range (author, *count, range->to_seq);
        weir_ranges_add (&out->ranges, &fresh, &weir_id_zero);
        out->entries += fresh.to_seq - fresh.from_seq;
        for (uint64_t seq = fresh.from_seq; seq < fresh.to_seq; seq++) {
            uint64_t took = w->now_ms - w->made_ms[author][seq];
            node->latest_ms = took > node->latest_ms ? took : node->latest_ms;
        }
        *count = range->to_seq;
    }
}

static void
world_take_frame (struct world *w, const struct world_item *item)
{
    struct world_node *node = &w->nodes[item->node];
    if (!world_transfer (node, item->session, item->transfer, false)) {
        return;
    }
    struct world_item *synced = world_post (w, WORLD_SYNCED, item->node, WORLD_DISK_MS);
    synced->from = item->from;
    synced->session = item->session;
    synced->transfer = item->transfer;
    synced->digest = item->digest;
    for (size_t i = 0; i < item->ranges.count; i++) {
        world_import (w, item->node, &item->ranges.items[i], synced);
    }
    for (bool any = true; any;) {
        any = false;
        for (size_t i = 0; i < node->pending.count; i++) {
            struct weir_range range = node->pending.items[i];
            if (range.from_seq <= node->counts[world_index (&range.chain.author)]) {
                node->pending.items[i] = node->pending.items[--node->pending.count];
                struct world_item none = { 0 };
                world_import (w, item->node, &range, &none);
                for (size_t k = 0; k < none.ranges.count; k++) {
                    weir_ranges_add (&synced->ranges, &none.ranges.items[k], &weir_id_zero);
                }
                synced->entries += none.entries;
                weir_ranges_fini (&none.ranges);
                weir_ranges_fini (&none.held);
                any = true;
            }
        }
    }
    node->fresh += synced->entries;
    node->again += synced->again;
}

static void
world_synced (struct world *w, const struct world_item *item)
{
    struct world_node *node = &w->nodes[item->node];
    struct weir_id source = world_device (item->from);
    struct weir_sync_want wants[WEIR_WANTS_PER_MESSAGE];
    size_t n_wants = 0;
    if (item->ranges.count > 0) {
        world_novel (w, item->node, &item->ranges, &source);
    }
    for (size_t i = 0; item->gap && i < node->pending.count && n_wants < 8; i++) {
        const struct weir_range *range = &node->pending.items[i];
        unsigned author = world_index (&range->chain.author);
        wants[n_wants].id = world_entry (author, range->from_seq - 1);
        wants[n_wants++].from_seq = node->counts[author];
    }
    struct weir_sync_event e = { .type = WEIR_SYNC_ARRIVED,
                                 .session = item->session,
                                 .transfer = item->transfer,
                                 .entries = item->entries,
                                 .again = item->again,
                                 .ranges = &item->held,
                                 .gap = item->gap,
                                 .wants = wants,
                                 .n_wants = n_wants,
                                 .digest = world_digest (node),
                                 .their_digest = item->digest };
    world_step (w, item->node, &e);
    struct world_item *ack =
        world_post (w, WORLD_ACK, item->from, w->latency_ms[item->node][item->from]);
    ack->from = item->node;
    ack->session = item->session;
    ack->transfer = item->transfer;
    ack->entries = item->entries + item->again;
    ack->digest = world_digest (node);
}

static void
world_take_ack (struct world *w, const struct world_item *item)
{
    struct world_transfer *t =
        world_transfer (&w->nodes[item->node], item->session, item->transfer, true);
    if (t) {
        t->flying--;
        struct weir_sync_event e = { .type = WEIR_SYNC_ACKED,
                                     .session = item->session,
                                     .transfer = item->transfer,
                                     .entries = item->entries,
                                     .their_digest = item->digest,
                                     .idle = t->flying == 0 };
        world_step (w, item->node, &e);
    }
}

/* ---- the world ---- */

static struct weir_sync *
world_new_sync (unsigned i, enum weir_role role)
{
    struct weir_sync_options o = { .device = world_device (i),
                                   .role = role,
                                   .forward = true,
                                   .enabled = true,
                                   .check_interval_ms = 30000,
                                   .batch_size = 4096,
                                   .seed = i + 1 };
    return weir_sync_new (&o);
}

static void
world_init (struct world *w, unsigned n, unsigned n_hubs)
{
    memset (w, 0, sizeof *w);
    w->now_ms = 1000;
    w->n = n;
    weir_heap_init (&w->items, world_order);
    for (unsigned i = 0; i < n; i++) {
        struct world_node *node = &w->nodes[i];
        node->role = i < n_hubs ? WEIR_ROLE_HUB : WEIR_ROLE_LEAF;
        node->protocol = WEIR_PROTOCOL_MAX;
        node->sync = world_new_sync (i, node->role);
    }
}

static void
world_fini (struct world *w)
{
    struct world_item *item;
    while ((item = weir_heap_pop (&w->items)) != NULL) {
        world_item_free (item);
    }
    weir_heap_fini (&w->items);
    for (unsigned i = 0; i < w->n; i++) {
        weir_ranges_fini (&w->nodes[i].pending);
        weir_sync_destroy (&w->nodes[i].sync);
    }
}

static void
world_session (struct world *w, unsigned n, unsigned peer, uint64_t session)
{
    struct world_node *node = &w->nodes[n];
    uint8_t number[8];
    bool up = session != 0;
    weir_store_u64 (number, session);
    struct weir_sync_event e = {
        .type = up ? WEIR_SYNC_SESSION_UP : WEIR_SYNC_SESSION_DOWN,
        .session = up ? session : node->session_with[peer],
        .device = world_device (peer),
        .role = w->nodes[peer].role,
        .protocol =
            node->protocol < w->nodes[peer].protocol ? node->protocol : w->nodes[peer].protocol,
        .key = weir_hash (WEIR_DOMAIN_TAG, weir_bytes (number, 8), weir_bytes (NULL, 0)),
    };
    if (up) {
        struct weir_sync_event share = { .type = WEIR_SYNC_SHARE,
                                         .device = e.device,
                                         .db = world_db,
                                         .direction = WEIR_SYNC_BOTH,
                                         .digest = world_digest (node) };
        world_step (w, n, &share);
    }
    node->session_with[peer] = session;
    world_step (w, n, &e);
}

static void
world_link (struct world *w, unsigned a, unsigned b, uint64_t latency_ms)
{
    w->latency_ms[a][b] = latency_ms;
    w->latency_ms[b][a] = latency_ms;
    uint64_t session = ++w->next_session;
    world_session (w, a, b, session);
    world_session (w, b, a, session);
}

static void
world_cut (struct world *w, unsigned a, unsigned b)
{
    if (w->nodes[a].session_with[b] != 0) {
        world_session (w, a, b, 0);
        world_session (w, b, a, 0);
    }
}

static void
world_serve (struct world *w, struct world_item *item)
{
    struct world_node *node = &w->nodes[item->node];
    if (item->type <= WORLD_ACK
        && (node->session_with[item->from] != item->session || node->hung
            || w->nodes[item->from].hung)) {
        return; /* lost */
    }
    if (item->type == WORLD_MESSAGE) {
        struct weir_sync_event e = { .type = WEIR_SYNC_MESSAGE,
                                     .session = item->session,
                                     .message = &item->message };
        world_step (w, item->node, &e);
    } else if (item->type == WORLD_FRAME) {
        world_take_frame (w, item);
    } else if (item->type == WORLD_ACK) {
        world_take_ack (w, item);
    } else if (item->type == WORLD_SYNCED) {
        world_synced (w, item);
    } else {
        struct weir_vector unknown = { 0 };
        struct weir_sync_event e = { .type = item->event,
                                     .ticket = item->ticket,
                                     .ranges = &item->ranges,
                                     .unknown = &unknown,
                                     .settled = item->settled,
                                     .answer = item->message.answer,
                                     .say = weir_bytes (item->message.bytes, item->message.n_bytes),
                                     .rows = item->rows,
                                     .n_rows = item->n_rows };
        world_step (w, item->node, &e);
    }
}

static void
world_run (struct world *w, uint64_t ms)
{
    uint64_t end_ms = w->now_ms + ms;
    for (;;) {
        uint64_t due_ms = end_ms;
        unsigned who = w->n;
        for (unsigned i = 0; i < w->n; i++) {
            uint64_t next_ms = weir_sync_next_ms (w->nodes[i].sync);
            if (next_ms < due_ms) {
                due_ms = next_ms;
                who = i;
            }
        }
        struct world_item *item = weir_heap_pop (&w->items);
        if (item && item->at_ms <= due_ms) {
            w->now_ms = item->at_ms > w->now_ms ? item->at_ms : w->now_ms;
            world_serve (w, item);
            world_item_free (item);
            continue;
        }
        if (item) {
            weir_heap_push (&w->items, item);
        }
        if (who == w->n) {
            w->now_ms = end_ms;
            return;
        }
        w->now_ms = due_ms > w->now_ms ? due_ms : w->now_ms;
        struct weir_sync_event tick = { .type = WEIR_SYNC_TICK };
        world_step (w, who, &tick);
    }
}

static void
world_commit (struct world *w, unsigned n, uint64_t entries)
{
    struct world_node *node = &w->nodes[n];
    struct weir_ranges ranges = { 0 };
    struct weir_range range = world_range (n, node->counts[n], node->counts[n] + entries);
    weir_assert (range.to_seq <= WORLD_ENTRIES_MAX);
    for (uint64_t seq = range.from_seq; seq < range.to_seq; seq++) {
        w->made_ms[n][seq] = w->now_ms;
    }
    node->counts[n] = range.to_seq;
    weir_ranges_add (&ranges, &range, &weir_id_zero);
    world_novel (w, n, &ranges, &weir_id_zero);
    weir_ranges_fini (&ranges);
}

/* Forgets what was counted so far. */
static void
world_forget (struct world *w)
{
    for (unsigned i = 0; i < w->n; i++) {
        struct world_node *node = &w->nodes[i];
        node->fresh = node->again = node->latest_ms = 0;
        node->announced = node->grafts = 0;
    }
}

static bool
world_equal (const struct world *w)
{
    for (unsigned i = 1; i < w->n; i++) {
        if (memcmp (w->nodes[0].counts, w->nodes[i].counts, sizeof w->nodes[0].counts) != 0) {
            return false;
        }
    }
    return true;
}

#endif
