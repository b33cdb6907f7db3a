#ifndef WEIR_TESTS_STORE_SYNC_TREE_RULES_H
#define WEIR_TESTS_STORE_SYNC_TREE_RULES_H

/* One synchronizer and the words, bursts and entries it is given, step by step. Sessions and the
 * transfers on them have the number of the peer's device. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "store/base/limits.h"
#include "store/crypto/hash.h"
#include "store/sync/session.h"
#include "store/sync/sync.h"

struct fixture {
    struct weir_sync *sync;
    struct weir_sync_actions actions;
    uint64_t now;
    unsigned digest;
};

static inline struct weir_id
id (unsigned n)
{
    struct weir_id i = { { 0 } };
    i.b[0] = (uint8_t) n;
    i.b[1] = (uint8_t) (n >> 8);
    i.b[2] = 1;
    return i;
}

static const struct weir_id key = { { 42 } };

static inline uint64_t
tag (void)
{
    struct weir_id db = id (1);
    return weir_hash_tag (&key, weir_id_bytes (&db));
}

static inline uint64_t
chain_tag (unsigned author, uint64_t lane)
{
    struct weir_id db = id (1);
    struct weir_id device = id (author);
    uint8_t name[WEIR_ID_BYTES + 8];
    memcpy (name, device.b, sizeof device.b);
    weir_store_u64 (name + WEIR_ID_BYTES, lane);
    return weir_hash_tag (&db, weir_bytes (name, sizeof name));
}

static inline void
step (struct fixture *f, const struct weir_sync_event *e)
{
    weir_sync_actions_clear (&f->actions);
    weir_sync_step (f->sync, e, f->now, &f->actions);
}

/* The n-th action of this type in the last step, NULL when there are fewer. */
static const struct weir_sync_action *
nth (const struct fixture *f, enum weir_sync_action_type type, size_t n)
{
    for (size_t i = 0; i < f->actions.count; i++) {
        if (f->actions.items[i].type == type && n-- == 0) {
            return &f->actions.items[i];
        }
    }
    return NULL;
}

static const struct weir_sync_message *
said (const struct fixture *f, enum weir_sync_message_type type, uint64_t session)
{
    for (size_t i = 0; i < f->actions.count; i++) {
        const struct weir_sync_action *a = &f->actions.items[i];
        if (a->type == WEIR_SYNC_SAY && a->message.type == type && a->session == session) {
            return &a->message;
        }
    }
    return NULL;
}

static inline void
start (struct fixture *f, enum weir_role role)
{
    struct weir_sync_options o = { .device = id (50),
                                   .role = role,
                                   .forward = true,
                                   .enabled = true,
                                   .check_interval_ms = 3000000,
                                   .batch_size = 4096,
                                   .seed = 3 };
    memset (f, 0, sizeof *f);
    f->sync = weir_sync_new (&o);
    f->now = 1000;
    f->digest = 7;
}

static inline void
end (struct fixture *f)
{
    weir_sync_actions_fini (&f->actions);
    weir_sync_destroy (&f->sync);
}

static inline void
say (struct fixture *f, uint64_t session, struct weir_sync_message *m)
{
    struct weir_sync_event e = { .type = WEIR_SYNC_MESSAGE, .session = session, .message = m };
    m->tag = m->tag != 0 ? m->tag : tag ();
    step (f, &e);
}

/* A session with `device` on which both are equal, and a transfer from it. Session and transfer
 * have the device's number. */
static inline void
meet (struct fixture *f, unsigned device, enum weir_role role, uint32_t protocol)
{
    struct weir_sync_event share = { .type = WEIR_SYNC_SHARE,
                                     .device = id (device),
                                     .db = id (1),
                                     .direction = WEIR_SYNC_BOTH,
                                     .digest = id (f->digest) };
    step (f, &share);
    struct weir_sync_event up = { .type = WEIR_SYNC_SESSION_UP,
                                  .session = device,
                                  .device = id (device),
                                  .key = key,
                                  .role = role,
                                  .protocol = protocol };
    step (f, &up);
    struct weir_sync_digest item = { .tag = tag (), .digest = id (f->digest) };
    struct weir_sync_message m = { .type = WEIR_SYNC_DIGESTS, .n_digests = 1, .digests = &item };
    say (f, device, &m);
    struct weir_sync_message offer = { .type = WEIR_SYNC_OFFER, .transfer = device };
    say (f, device, &offer);
    struct weir_sync_event opened = { .type = WEIR_SYNC_OPENED,
                                      .session = device,
                                      .transfer = device };
    step (f, &opened);
    assert_non_null (said (f, WEIR_SYNC_ACCEPT, device));
}

static inline void
add_range (struct weir_ranges *ranges, unsigned author, uint64_t lane, uint64_t from, uint64_t to)
{
    struct weir_range range = { .chain = { .author = id (author), .lane = lane },
                                .from_seq = from,
                                .to_seq = to,
                                .tip = id ((unsigned) to) };
    range.tip.b[3] = (uint8_t) author;
    range.tip.b[4] = (uint8_t) lane;
    weir_ranges_add (ranges, &range, &weir_id_zero);
}

/* Entries of `author` from `source` (0: here). */
static inline void
novel (struct fixture *f, unsigned source, unsigned author, uint64_t from, uint64_t to)
{
    struct weir_ranges ranges = { 0 };
    add_range (&ranges, author, 1, from, to);
    struct weir_sync_event e = {
        .type = WEIR_SYNC_NOVEL, .db = id (1), .ranges = &ranges, .digest = id (++f->digest)
    };
    e.source = source != 0 ? id (source) : weir_id_zero;
    step (f, &e);
    weir_ranges_fini (&ranges);
}

/* A burst of `device` that brought so much new, and these of `author` again. */
static inline void
arrived (struct fixture *f, unsigned device, uint64_t entries, unsigned author, uint64_t from,
         uint64_t to)
{
    struct weir_ranges held = { 0 };
    add_range (&held, author, 1, from, to);
    struct weir_sync_event e = { .type = WEIR_SYNC_ARRIVED,
                                 .session = device,
                                 .transfer = device,
                                 .entries = entries,
                                 .again = to - from,
                                 .ranges = &held,
                                 .digest = id (f->digest),
                                 .their_digest = id (f->digest) };
    step (f, &e);
    weir_ranges_fini (&held);
}

static inline void
tick (struct fixture *f, uint64_t ms)
{
    f->now += ms;
    struct weir_sync_event e = { .type = WEIR_SYNC_TICK };
    step (f, &e);
}

static inline struct weir_sync_state
state_of (const struct fixture *f, unsigned device)
{
    struct weir_sync_state s;
    struct weir_id d = id (device), db = id (1);
    assert_true (weir_sync_find (f->sync, &d, &db, &s));
    return s;
}

static inline void
prune_by (struct fixture *f, unsigned device)
{
    struct weir_sync_message m = { .type = WEIR_SYNC_PRUNE };
    say (f, device, &m);
}

#endif
