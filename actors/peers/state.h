#ifndef WEIR_ACTORS_PEERS_STATE_H
#define WEIR_ACTORS_PEERS_STATE_H

/* The peers actor's state, shared by its files: peers.c (start, dispatch), rows.c (persistent
 * state), devices.c (who we know), members.c (databases, sharing, admission), links.c (dialling),
 * sessions.c (handshake, cards), joins.c (tickets), syncing.c (the synchronizer's events and
 * actions), pacing.c (what the store is told to be fair), wire.c (its words as protobuf), known.c
 * (what a peer is known to hold, lag), presence.c, history.c (what was synced, figures), explain.c
 * (why not; pure), and the clients' verbs in verbs_peer.c, verbs_transport.c, verbs_sync.c,
 * verbs_relate.c, verbs_explain.c. Nothing here is for other actors. */

#include "actors/peers/card.h"
#include "actors/runtime/actor.h"
#include "store/base/map.h"
#include "store/sync/session.h"
#include "store/sync/sync.h"

#define PEERS_KNOWN_ROWS_MAX 256u /* of a cursor; what has more chains has no cursor */
#define PEERS_WHY_MAX 96u
#define PEERS_STRANGERS_MAX 64u
#define PEERS_ASK_MS 10000u

/* What is known of the content of blobs that the device holds (blobs.c). */
struct relation_blobs {
    uint64_t session; /* the store knows of it; 0: it does not */
    bool is_known;
    struct weir_id digest; /* when that was true: */
    uint64_t missing;
    uint64_t missing_bytes;
    uint64_t asked_ms;
};

struct peers_hint {
    struct weir_id digest;
    uint64_t position;
};

struct relation {
    struct device *device;
    struct relation *next;
    struct weir_id db;
    enum weir_direction direction; /* 0: taken off by hand, and not made again by itself */
    uint8_t priority;              /* 0 high, 1 normal, 2 low */
    uint64_t rate;                 /* bytes a second; 0: no limit */
    bool shared;                   /* the synchronizer was told */
    bool removed;                  /* the device is no longer a member */
    bool due;                      /* the retry queue waits for how this attempt ends */
    bool behind;                   /* told to the retry queue */
    enum weir_status last_error;
    /* What the device is known to hold: a hint, and the truth when its digest is `told`. */
    struct weir_vector known;
    bool known_any;
    bool refreshing;
    bool stepped;             /* became equal since the last flush */
    struct weir_id told;      /* the last digest they told; zero: none */
    struct peers_hint *hints; /* digests both had, the newest first */
    uint8_t n_hints;
    bool marking;                       /* asks the store for the next */
    uint64_t acked;                     /* entries, ever */
    uint64_t out_session, out_transfer; /* the transfer that sends to them */
    uint64_t in_session, in_transfer;   /* and the one that receives */
    bool stands;                        /* the store may feed that which sends */
    bool dirty;                         /* the relationship's row */
    bool cursor_dirty;
    struct relation_blobs blobs;
    uint64_t presence_session, presence_tag; /* where presence of it is shared; 0: nowhere */
};

struct device {
    struct weir_id id;
    struct peers_card *card; /* NULL: not known */
    bool typed;              /* an operator gave an address: */
    struct weir_id typed_key;
    char *typed_address; /* NULL: none; most devices are known by their card */
    bool added;
    bool blocked;
    uint32_t role;
    uint64_t first_seen_ms, last_seen_ms; /* unix */
    uint64_t sent, received;              /* entries */
    uint64_t card_acked;                  /* counter of our card that they hold */
    enum weir_status last_error;
    char *last_why; /* NULL: nothing to say; device_why */
    struct relation *relations;
    struct link *link; /* the open session's */
    struct link *dial; /* being dialled, up to the open session */
    uint32_t dial_turns;
    uint64_t due_ms; /* to dial, not before */
    uint32_t attempts;
    bool dirty;
    bool card_dirty;
};

struct member {
    struct weir_id device;
    uint32_t right; /* 0: was removed */
    char *name;
};

/* As the store says, which may be before the database's rights are read. */
struct database_blobs {
    uint64_t count;
    uint64_t missing;
    uint64_t missing_bytes;
};

struct database {
    struct weir_id id;
    struct weir_id digest;
    char name[WEIR_NAME_BYTES_MAX + 1];
    uint32_t right; /* ours */
    bool joining;
    bool seen;              /* by the reading at hand */
    struct member *members; /* sorted by device */
    size_t n_members;
};

struct transport {
    struct weir_mailbox_id mailbox;
    char name[64];
    char kind[16];
    bool up;
    bool stopped;
    size_t n_addresses;
    char addresses[WEIR_CARD_ADDRESSES_MAX][WEIR_ADDRESS_BYTES_MAX + 1];
    struct weir_id admitted; /* hash of the list it was told */
    uint64_t ignored;        /* messages of its links that were not allowed where they came */
};

struct join {
    struct weir_id db;
    struct weir_id ticket; /* its public key */
    uint8_t secret[32];
    struct peers_card *card; /* the inviter's */
    struct link *link;
    uint64_t due_ms;
    uint32_t attempts;
    bool done; /* waits for the store to hear of it */
};

struct ticket {
    struct weir_id key;
    uint64_t expires_ms;
};

/* A link and the session on it. */
struct link {
    uint64_t number;
    struct transport *transport;
    bool dialled;
    bool up;
    bool told_bye; /* they said it first */
    bool guest;    /* shows a ticket's key: it may join and nothing else */
    bool ended;
    struct link *next_ended; /* freed after the turn */
    char address[WEIR_ADDRESS_BYTES_MAX + 1];
    struct weir_id our_key;
    struct weir_id their_key;
    struct weir_session session;
    bool begun;
    bool signing;
    bool opened;
    bool in_sync;                                      /* the synchronizer was told */
    struct weir_id key;                                /* of database tags */
    struct device *device;                             /* dialled, or of the open session */
    struct peers_card *strangers[PEERS_STRANGERS_MAX]; /* cards of who may be a member soon */
    size_t n_strangers;
    struct join *join;
    uint64_t timer;
    uint64_t flood_told_ms;
};

struct wait; /* of SYNC_WAIT, PEER_PING; verbs_sync.c, verbs_peer.c */
struct ping;
struct presence; /* presence.c */
struct history;  /* history.c */

struct peers {
    struct weir_actor *actor;
    struct weir_id device;
    char name[WEIR_NAME_BYTES_MAX + 1];
    uint64_t store_epoch;
    bool loaded;  /* rows are read */
    bool ready;   /* rights too */
    bool reading; /* rights */
    bool read_again;

    struct weir_map *devices;   /* id -> device */
    struct weir_map *databases; /* id -> database */
    struct weir_map *blobs;     /* id -> database_blobs, where there are any */
    struct weir_map *links;     /* number -> link */
    struct weir_map *sessions;  /* our session epoch -> link, while the synchronizer has it */
    struct transport transports[16];
    size_t n_transports;
    struct join *joins[64];
    size_t n_joins;
    struct ticket *tickets;
    size_t n_tickets;
    uint64_t tickets_timer;

    struct peers_card *card; /* ours */
    uint64_t card_seen;      /* a counter of ours that others showed */
    bool signing_card;
    bool sign_again;
    bool rotate; /* with the next signing */
    bool retire;
    struct weir_envelope rotate_request; /* its client waits */
    bool rotate_asked;

    struct weir_sync *sync;
    bool enabled; /* as it was told last */
    struct weir_sync_actions actions;
    bool acting;
    uint64_t sync_timer;
    uint64_t sync_due_ms;

    struct link *ended;
    uint64_t dial_timer;
    uint64_t flush_timer;
    struct weir_map *forgotten; /* keys of rows to delete */
    uint64_t history_next;

    struct presence *presence;
    struct history *history;
    struct wait *waits;
    struct explaining *explains; /* that wait for a peer's word */
    struct ping *pings;
    bool look_at_waits;
    uint64_t ignored; /* messages that were not allowed where they came */
};

/* ---- rows.c: `_node` rows, written in batches ---- */
void rows_load (struct peers *p); /* then members_read, then ready */
void rows_flush_later (struct peers *p);
/* Writes what is dirty now; `done` (may be NULL) is told once it is on disk. */
void rows_flush (struct peers *p, weir_actor_answer_fn *done, void *context);
void rows_forget_relation (struct peers *p, const struct relation *r);
void rows_forget_device (struct peers *p, const struct device *d);
void rows_forget (struct peers *p, const char *key);
/* Now, beside the batches. */
void rows_put (struct peers *p, const char *const *keys, const struct weir_bytes *values, size_t n);

/* ---- devices.c ---- */
struct device *device_find (struct peers *p, const struct weir_id *id);
struct device *device_need (struct peers *p, const struct weir_id *id);
/* The device goes, when nothing holds it: no relation, not added, no link. */
void device_drop (struct peers *p, struct device *d);
void device_free (struct device *d);
const char *device_name (struct peers *p, const struct device *d);
/* As typed: id, unique prefix, or name. */
WEIR_MUST enum weir_status device_resolve (struct peers *p, bool has, ProtobufCBinaryData text,
                                           struct device **out, struct weir_error *e);
WEIR_MUST enum weir_status database_resolve (struct peers *p, bool has, ProtobufCBinaryData text,
                                             struct database **out, struct weir_error *e);
struct relation *relation_find (const struct device *d, const struct weir_id *db);
struct relation *relation_need (struct device *d, const struct weir_id *db);
void relation_free (struct relation *r);
/* Keeps the card when it is newer (moved in either case); true when it was. */
bool device_take_card (struct peers *p, struct device *d, struct peers_card **card_p);
void device_error (struct device *d, enum weir_status status, const char *why);
const char *device_why (const struct device *d); /* "" when there is nothing to say */
/* Replaces a text, cut at `max` bytes; empty becomes NULL. */
void device_text (char **at, struct weir_bytes text, size_t max);
const char *direction_name (enum weir_direction direction);
const char *priority_name (uint8_t priority);
WEIR_MUST enum weir_status priority_parse (const char *text, uint8_t *out);
WEIR_MUST enum weir_status direction_parse (const char *text, enum weir_direction *out);

/* ---- members.c ---- */
struct database *database_find (const struct peers *p, const struct weir_id *id);
void database_free (void *value);
const struct member *database_member (const struct database *db, const struct weir_id *device);
/* A member that the store has signed in and that the next reading will show. */
void database_add_member (struct database *db, const struct weir_id *device, uint32_t right);
void members_read (struct peers *p); /* asks the store for all rights */
/* What follows from rights, relationships, cards, blocks and tickets: what is shared, who may
 * stay, whom transports let in. Call after any change of these. */
void members_apply (struct peers *p);
void members_admit (struct peers *p, struct transport *t, bool force);
bool relation_valid (const struct peers *p, const struct relation *r);
bool device_allowed (const struct peers *p, const struct device *d);
bool device_is_member (const struct peers *p, const struct weir_id *id);
const struct weir_id *members_shown_key (struct peers *p); /* of ours; NULL: no card yet */
void tickets_take (struct peers *p, const Weir__Tickets *m);
bool ticket_live (const struct peers *p, const struct weir_id *key);

/* ---- links.c ---- */
struct transport *transport_find (struct peers *p, const struct weir_mailbox_id *mailbox);
void transport_ready (struct peers *p, const struct weir_envelope *from,
                      const Weir__TransportReady *m);
void transport_down (struct peers *p, const struct weir_mailbox_id *mailbox);
struct link *link_find (struct peers *p, uint64_t number);
void link_on_up (struct peers *p, const struct weir_envelope *from, const Weir__LinkUp *m);
/* The link ends: here (tell the other side and the transport) or because it is gone. */
void link_end (struct peers *p, struct link *l, enum weir_status status, const char *why,
               bool gone);
void links_dial_soon (struct peers *p);
void links_free_ended (struct peers *p);
void link_free (struct link *l);
/* Counts a message that was not allowed where it came; `weir transport ls` shows it as bad. */
void link_ignored (struct peers *p, struct link *l);
/* Asks a transport for a link; NULL when there is none that could. */
struct link *link_dial (struct peers *p, const char *address, const struct weir_id *device,
                        const struct weir_id *server_key, const uint8_t *client_secret);
void link_say (struct peers *p, struct link *l, uint16_t kind, const ProtobufCMessage *meta);
void link_say_bytes (struct peers *p, struct link *l, uint16_t kind, struct weir_bytes meta);
uint64_t link_backoff (struct peers *p, uint32_t attempts);

/* ---- sessions.c ---- */
void session_begin (struct peers *p, struct link *l);
void session_say_hello (struct peers *p, struct link *l);
void session_take (struct peers *p, const Weir__LinkMessage *m, const struct weir_message *message);
void session_say_cards (struct peers *p, struct link *l, const struct device *only);
/* Looks again at cards of those who were no members when they came. */
void sessions_take_strangers (struct peers *p);
/* Our card, signed for what transports listen on now. */
void cards_sign (struct peers *p);
void cards_retire (struct peers *p); /* the old link key is no longer needed */
void cards_tell_own (struct peers *p);
/* Tells a newer card of a device to the others whom it concerns. */
void cards_forward (struct peers *p, const struct link *from, const struct device *about);

/* ---- joins.c ---- */
void join_wanted (struct peers *p, const Weir__JoinWanted *m);
void join_dial (struct peers *p, uint64_t now_ms);
void join_opened (struct peers *p, struct link *l);
void join_asked (struct peers *p, struct link *l, const Weir__Join *m);
void join_answered (struct peers *p, struct link *l, const Weir__Joined *m);
void join_link_ended (struct peers *p, struct join *j, enum weir_status status);
void join_free (struct join *j);

/* ---- syncing.c ---- */
void sync_start (struct peers *p);
void sync_reload (struct peers *p); /* settings changed */
void sync_step (struct peers *p, const struct weir_sync_event *event);
void sync_session_up (struct peers *p, struct link *l);
void sync_session_down (struct peers *p, struct link *l);
void sync_take (struct peers *p, struct link *l, uint16_t kind, const ProtobufCMessage *meta);
void sync_look_at_steps (struct peers *p); /* what became equal since: cursors, history */
void sync_behind (struct peers *p, struct relation *r, enum weir_status status);
/* WEIR_KIND_BEHIND or WEIR_KIND_IN_STEP. */
void sync_tell_retry (struct peers *p, const struct relation *r, uint16_t kind,
                      enum weir_status status);
void sync_novel (struct peers *p, const Weir__Novel *m);
void sync_acked (struct peers *p, const Weir__TransferAcked *m);
void sync_arrived (struct peers *p, const Weir__TransferArrived *m);
void sync_lost (struct peers *p, const Weir__TransferLost *m);

/* ---- due.c ---- */
/* NULL: all devices, all databases. */
void sync_check (struct peers *p, const struct weir_id *device, const struct weir_id *db);
void sync_due (struct peers *p, const struct weir_id *device, const struct weir_id *db);

/* ---- pacing.c ---- */
void pacing_open (const struct link *l, const struct relation *r, Weir__TransferOpen *m);
/* Priority or rate are others now. */
void pacing_changed (struct peers *p, const struct relation *r);
void pacing_stand (struct peers *p, struct relation *r, const struct weir_sync_action *a);
/* Which standing transfers the store fed; false: more than an arena holds. */
bool pacing_fed (const Weir__Novel *m, struct weir_arena *arena, struct weir_sync_event *e);

/* ---- presence.c ---- */
void presence_start (struct peers *p);
void presence_stop (struct peers *p);
void presence_configure (struct peers *p); /* the role, or whether a hub forwards, changed */
void presence_apply (struct peers *p);     /* after any change of links, members, relationships */
void presence_session_down (struct peers *p, struct link *l);
void presence_take (struct peers *p, struct link *l, const Weir__Presence *m);
void presence_rearm (struct peers *p);

/* ---- tree.c ---- */
void tree_find (struct peers *p, const struct weir_sync_action *a);
void tree_strike (struct peers *p, const struct weir_sync_action *a);
/* What came again, and what it waits for; false when it does not decode. */
bool tree_arrived (const Weir__TransferArrived *m, struct weir_arena *arena,
                   struct weir_ranges *held, struct weir_sync_event *e);

/* ---- blobs.c: content ---- */
void blobs_stop (struct peers *p);
/* After any change of what is shared: the store is told where such databases are. */
void blobs_apply (struct peers *p);
void blobs_session_down (struct peers *p, struct link *l);
void blobs_store_up (struct peers *p);
void blobs_state (struct peers *p, const Weir__BlobState *m);
void blobs_lack (struct peers *p, struct link *l, const Weir__BlobLack *m);
/* Have both all content, as far as both said of what they hold now? Else why not; asks when that is
 * not known. */
bool blobs_in_step (struct peers *p, struct relation *r, const char **why);
/* Is that because the peer has not said, and was asked? */
bool blobs_unsaid (struct peers *p, struct relation *r);

/* ---- wire.c, wire_tree.c: pure ---- */
/* The arena's message of a synchronizer's word, and its kind. */
uint16_t wire_from_sync (const struct weir_sync_message *m, struct weir_arena *arena,
                         ProtobufCMessage **out);
/* And back; rows and digests live in the arena. WEIR_BAD_MESSAGE, WEIR_UNKNOWN_KIND. */
WEIR_MUST enum weir_status wire_to_sync (uint16_t kind, const ProtobufCMessage *meta,
                                         struct weir_arena *arena, struct weir_sync_message *out);
/* Those of summaries and of the newer ladder; false: another. */
bool wire_from_ladder (const struct weir_sync_message *m, struct weir_arena *arena, uint16_t *kind,
                       ProtobufCMessage **out);
WEIR_MUST enum weir_status wire_to_ladder (uint16_t kind, const ProtobufCMessage *meta,
                                           struct weir_sync_message *out);
void wire_put_buckets (const struct weir_sync_message *m, Weir__Digests *out);
WEIR_MUST enum weir_status wire_get_buckets (const Weir__Digests *m, struct weir_sync_message *out);
/* Those of the tree; false: another. */
bool wire_from_tree (const struct weir_sync_message *m, struct weir_arena *arena, uint16_t *kind,
                     ProtobufCMessage **out);
WEIR_MUST enum weir_status wire_to_tree (uint16_t kind, const ProtobufCMessage *meta,
                                         struct weir_arena *arena, struct weir_sync_message *out);
Weir__Wanted **wire_wants_make (const struct weir_sync_want *wants, size_t n,
                                struct weir_arena *arena);
WEIR_MUST enum weir_status wire_wants_read (Weir__Wanted **items, size_t n,
                                            struct weir_arena *arena, struct weir_sync_want **out);
WEIR_MUST enum weir_status wire_rows_read (Weir__Row **rows, size_t n, struct weir_arena *arena,
                                           struct weir_told_row **out);
/* NULL when the arena is full. */
Weir__Row **wire_rows_make (const struct weir_told_row *rows, size_t n, struct weir_arena *arena);
WEIR_MUST enum weir_status wire_ranges_read (Weir__Range **items, size_t n,
                                             struct weir_ranges *out);
Weir__Range **wire_ranges_make (const struct weir_ranges *ranges, struct weir_arena *arena);
ProtobufCBinaryData wire_copy (struct weir_arena *arena, struct weir_bytes bytes);
ProtobufCBinaryData wire_copy_id (struct weir_arena *arena, const struct weir_id *id);
ProtobufCBinaryData wire_copy_str (struct weir_arena *arena, const char *text);

/* ---- ladder.c ---- */
/* Both have this digest now: asks the store for its position. */
void ladder_mark (struct peers *p, struct relation *r, const struct weir_id *digest);
bool ladder_has_hint (const struct relation *r, const struct weir_id *digest);
void ladder_add_hint (struct relation *r, const struct weir_id *digest, uint64_t position);
void ladder_put_hints (const struct relation *r, struct weir_buf *out); /* of a cursor's row */
bool ladder_get_hints (struct relation *r, struct weir_reader *reader);
void ladder_step (struct peers *p, const struct relation *r, const struct weir_sync_action *a);
void ladder_differs (struct peers *p, const struct weir_sync_action *a);

/* ---- known.c ---- */
void known_clear (struct relation *r);
/* They hold this range. */
void known_add (struct relation *r, const struct weir_range *range);
/* They told (all of) their rows. */
void known_set (struct relation *r, const struct weir_told_row *rows, size_t n);
/* Both are equal: what they hold is what we hold. Asks the store when rows do not say so. */
void known_equal (struct peers *p, struct relation *r, const struct weir_id *digest);
/* Does `known` say exactly what they told? */
bool known_exact (const struct relation *r);
void known_put (const struct relation *r, struct weir_buf *out); /* a cursor's row */
WEIR_MUST enum weir_status known_get (struct relation *r, struct weir_bytes row);
/* One pair's lag; done () is called once, maybe at once. `known` false: we do not know. */
typedef void (known_lag_fn) (struct peers *p, void *context, bool known, uint64_t entries,
                             uint64_t oldest_ms);
void known_lag (struct peers *p, struct relation *r, known_lag_fn *done, void *context);

/* ---- verbs ---- */
#define PEERS_HANDLER(name)                                                                        \
    void verb_##name (void *state, struct weir_actor *actor, const struct weir_message *message)
PEERS_HANDLER (peer_list);
PEERS_HANDLER (peer_self);
PEERS_HANDLER (peer_add);
PEERS_HANDLER (peer_remove);
PEERS_HANDLER (peer_block);
PEERS_HANDLER (peer_ping);
PEERS_HANDLER (sync_status);
PEERS_HANDLER (sync_now);
PEERS_HANDLER (sync_wait);
PEERS_HANDLER (sync_relate);
PEERS_HANDLER (sync_unrelate);
PEERS_HANDLER (transport_list);
PEERS_HANDLER (transport_set);
PEERS_HANDLER (rotate_link);
PEERS_HANDLER (sync_explain);
PEERS_HANDLER (sync_history);
PEERS_HANDLER (presence_set);
PEERS_HANDLER (presence_remove);
PEERS_HANDLER (presence_list);
PEERS_HANDLER (presence_watch);
void verb_pinged (struct peers *p, const struct link *l, const Weir__PingPong *m);
/* A pair as people see it, in the arena; NULL when that is full. */
Weir__Pair *verb_pair (struct peers *p, struct relation *r, struct weir_arena *arena);
/* Answers unless it is too large for one message: then it says so. */
void verb_answer (struct peers *p, const struct weir_envelope *request,
                  const ProtobufCMessage *meta);
/* Fails the request when peers has not read yet what it knew. */
bool verb_not_ready (struct peers *p, const struct weir_message *message);
/* Answers once all rows are on disk; with the device, when there is one to tell. */
void verb_answer_flushed (struct peers *p, const struct weir_envelope *request,
                          const struct weir_id *device);
void verb_answer_self (struct peers *p, const struct weir_envelope *request);
void verb_waits_look (struct peers *p);
void verb_waits_free (struct peers *p);
void verb_explains_look (struct peers *p);
void verb_explains_free (struct peers *p);
void verb_pings_free (struct peers *p);

extern const struct weir_actor_def peers_def; /* for the tests */

#endif
