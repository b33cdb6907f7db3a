#ifndef WEIR_STORE_SYNC_PRESENCE_H
#define WEIR_STORE_SYNC_PRESENCE_H

/* Presence: small values that live for seconds (cursors, who is here), by database, device and
 * key. Pure and in memory only: nothing of it is ever stored. Each device writes its own keys; a
 * newer version wins, versions being ordered by (epoch of the writer's process, counter), and
 * what its writer does not refresh expires. Hubs pass on what is new to them, at most
 * WEIR_PRESENCE_HOPS_MAX links far; a leaf speaks for itself only.
 *
 * How a value goes when its writer does: each copy remembers the sessions that supply it, of
 * those that are nearer to the writer than this node (the feasibility condition of EIGRP and
 * Babel, RFC 8966 section 3.5.1, which keeps two nodes from holding each other's copy up). With
 * the last of them gone the copy is withdrawn, and those who had it from here are told. Whatever
 * goes wrong, a copy dies by its own clock.
 *
 * It is not signed: what it proves, and what a hub could forge, is in docs/security.md. Who is a
 * member, and who shares what, is the caller's to know (share, unshare, forget). */

#include "store/base/id.h"
#include "store/base/limits.h"

struct weir_presence;

struct weir_presence_options {
    struct weir_id device;
    uint64_t epoch; /* of this process; later ones are larger */
    bool hub;       /* passes on what others wrote */
};

enum weir_presence_state {
    WEIR_PRESENCE_HERE,
    WEIR_PRESENCE_REMOVED, /* by its writer */
    WEIR_PRESENCE_LOST,    /* nobody supplies it any more */
    WEIR_PRESENCE_EXPIRED
};

/* A value as told, and as kept: what it points to is borrowed for the call. */
struct weir_presence_item {
    struct weir_id device;
    struct weir_bytes key;
    struct weir_bytes value; /* JSON; empty unless it is here */
    uint64_t epoch;
    uint64_t version;
    uint32_t hops;
    uint64_t ttl_ms;
    enum weir_presence_state state;
    uint64_t changed;    /* kept: the serial of its last change here; refreshes are none */
    uint64_t changed_ms; /* kept: when that was */
    bool ours;           /* kept */
};

/* What became of items that were taken. */
struct weir_presence_taken {
    size_t news;    /* new here */
    size_t old;     /* held already, or older */
    size_t refused; /* absurd, beyond a bound, or not the teller's to say */
    size_t limited; /* beyond the rate */
};

struct weir_presence_counters {
    uint64_t news, old, refused, limited, sent, batches;
    size_t items, writers, bytes;
};

struct weir_presence *weir_presence_new (const struct weir_presence_options *options);
void weir_presence_destroy (struct weir_presence **self_p);
void weir_presence_configure (struct weir_presence *self, bool hub);

/* From now on the database is shared with the peer on this session; what is here goes to it with
 * the next flush. Said again it changes nothing. */
void weir_presence_share (struct weir_presence *self, uint64_t session, const struct weir_id *peer,
                          bool peer_is_hub, const struct weir_id *db, uint64_t now_ms);
void weir_presence_unshare (struct weir_presence *self, uint64_t session, const struct weir_id *db,
                            uint64_t now_ms);
bool weir_presence_shares (const struct weir_presence *self, uint64_t session,
                           const struct weir_id *db);
void weir_presence_session_down (struct weir_presence *self, uint64_t session, uint64_t now_ms);
/* One writer of a database, or the whole database, is no longer ours to know. */
void weir_presence_forget (struct weir_presence *self, const struct weir_id *db,
                           const struct weir_id *device, uint64_t now_ms);
void weir_presence_forget_db (struct weir_presence *self, const struct weir_id *db);
/* The databases, and their writers, one after the other as in weir_map_next. Forgetting the one
 * just given is allowed. */
bool weir_presence_db (const struct weir_presence *self, size_t *at, struct weir_id *db);
bool weir_presence_writer (const struct weir_presence *self, const struct weir_id *db, size_t *at,
                           struct weir_id *device);

/* Ours. It is said again to all every WEIR_PRESENCE_REFRESH_MS for `life_ms`. WEIR_LIMIT beyond
 * the keys or bytes a device may have, WEIR_TOO_LARGE, WEIR_INVALID_ARGUMENT (an empty key). */
WEIR_MUST enum weir_status weir_presence_set (struct weir_presence *self, const struct weir_id *db,
                                              struct weir_bytes key, struct weir_bytes value,
                                              uint64_t life_ms, uint64_t now_ms);
/* WEIR_NOT_FOUND when it is not here. */
WEIR_MUST enum weir_status weir_presence_remove (struct weir_presence *self,
                                                 const struct weir_id *db, struct weir_bytes key,
                                                 uint64_t now_ms);
/* Told by the session's peer. Costs bounded work and memory whatever they hold. */
struct weir_presence_taken weir_presence_take (struct weir_presence *self, uint64_t session,
                                               const struct weir_id *db,
                                               const struct weir_presence_item *items, size_t n,
                                               uint64_t now_ms);

/* Expires, refreshes; then call weir_presence_batch until it says false. */
void weir_presence_tick (struct weir_presence *self, uint64_t now_ms);
/* When to tick at the latest; UINT64_MAX: nothing is due. */
uint64_t weir_presence_next_ms (const struct weir_presence *self);
/* What is to be said next to one session about one database: at most
 * WEIR_PRESENCE_ITEMS_PER_MESSAGE items, borrowed until the next call. */
struct weir_presence_batch {
    uint64_t session;
    struct weir_id db;
    size_t n;
    struct weir_presence_item items[WEIR_PRESENCE_ITEMS_PER_MESSAGE];
};
bool weir_presence_batch (struct weir_presence *self, uint64_t now_ms,
                          struct weir_presence_batch *out);

/* What changed in a database behind `serial` (0: what is here), in no order: calls `each`, and
 * returns the serial to go on from. `anew`: some that are gone may be missed (they are told for
 * WEIR_PRESENCE_GONE_MS), so this is all that is here. */
typedef void (weir_presence_fn) (void *context, const struct weir_presence_item *item);
uint64_t weir_presence_changes (const struct weir_presence *self, const struct weir_id *db,
                                uint64_t serial, uint64_t now_ms, bool *anew,
                                weir_presence_fn *each, void *context);
void weir_presence_counters (const struct weir_presence *self, struct weir_presence_counters *out);

#endif
