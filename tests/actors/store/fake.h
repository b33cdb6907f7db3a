#ifndef WEIR_TESTS_ACTORS_STORE_FAKE_H
#define WEIR_TESTS_ACTORS_STORE_FAKE_H

/* The store actor without a runtime: fake.c stands in for the symbols of actors/runtime that it
 * uses and for weir_kv_open (a memory twin, so that tests say when a batch is synced). A test
 * hands messages in and looks at what was sent. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "actors/store/state.h"
#include "actors/store/ticket.h"

#define FAKE_SENT_MAX 4096u

struct fake_sent {
    uint16_t kind;
    bool is_answer;
    bool more;
    enum weir_status status;
    uint64_t request;
    struct weir_mailbox_id to;
    struct weir_buf meta;
    struct weir_buf body;
};

struct fake {
    char dir[64];
    struct store *store; /* the actor's state */
    struct weir_kv *kv;  /* what the next start opens; the running one's is store->kv */
    uint64_t now_ms;
    uint64_t wall_ms;
    uint16_t busy_kind; /* sends of this kind are refused */
    bool ended;
    unsigned events;
    uint64_t next_request;
    struct fake_sent sent[FAKE_SENT_MAX];
    size_t n_sent;
};

void fake_init (struct fake *f, uint8_t number);
void fake_fini (struct fake *f);
/* Crash: what is synced and `keep` more batches are there after it. */
void fake_restart (struct fake *f, size_t keep);
/* Hands a message in as a role's; returns its request id. `turn` ends the turn behind it. */
uint64_t fake_ask (struct fake *f, uint16_t kind, const ProtobufCMessage *meta,
                   struct weir_bytes body);
/* The same from a transport's mailbox, without an answer wanted. */
void fake_tell (struct fake *f, uint16_t kind, const struct weir_mailbox_id *from,
                const ProtobufCMessage *meta, struct weir_bytes body);
void fake_turn (struct fake *f);
/* The disk has caught up. */
void fake_sync (struct fake *f);
/* Moves time and fires what is due. */
void fake_wait (struct fake *f, uint64_t ms);
void fake_peers_up (struct fake *f);
void fake_clear (struct fake *f);

/* The answers to a request: how many, and the last; NULL when there is none. */
size_t fake_answers (const struct fake *f, uint64_t request);
const struct fake_sent *fake_answer (const struct fake *f, uint64_t request);
/* The last message of a kind that was sent unasked; NULL: none. */
const struct fake_sent *fake_last (const struct fake *f, uint16_t kind);
size_t fake_count (const struct fake *f, uint16_t kind);
/* Asks, ends the turn, syncs: the answer's status. */
enum weir_status fake_call (struct fake *f, uint16_t kind, const ProtobufCMessage *meta,
                            struct weir_bytes body, const struct fake_sent **answer);
/* Decoded; lives until the next call. */
const ProtobufCMessage *fake_meta (const struct fake_sent *sent);

/* Shorthand. */
struct weir_id fake_create (struct fake *f, const char *name);
enum weir_status fake_set (struct fake *f, const char *db, const char *path, const char *json);

#endif
