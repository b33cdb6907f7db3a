#ifndef WEIR_STORE_SYNC_SYNC_H
#define WEIR_STORE_SYNC_SYNC_H

/* The synchronizer: decides, for every session with a peer and every database shared with it,
 * what to say and what to send. A pure state machine, (state, event, now) -> actions: no clock,
 * no socket, no disk. It runs in the peers actor and, many at a time, in the simulator.
 *
 * What it knows of data is digests and vectors; bodies move in transfers (transfer.h) between
 * the stores, which it only opens, feeds with ranges, and closes.
 *
 * Protocol of one session and database (page 3):
 *   rung 0  DIGESTS both ways when the session starts, when a database becomes shared, and each
 *           check interval with one peer: equal ends it.
 *           Where more than a few are shared a SUMMARY stands for all of them: one hash, then
 *           hashes of buckets when it differs, then the DIGESTS of the buckets that differ.
 *   ladder  LADDER, from protocol 2 on: bytes that the stores make and read (store/repo/ladder.c):
 *           heads and a hint, then ranges; at most eight messages. Older peers get
 *   rung 2  VECTOR: the side with the smaller device id asks (or either, when the other did not
 *           within WEIR_CONNECT_MS): round 1 the asker's rows, round 2 the other's, each side
 *           compares (its store does) and sends what the other lacks. Only where a chain has
 *           branches do rounds 3 and 4 follow, with samples of those chains. Whatever is still
 *           different then is looked at after a back-off, with a word to the operator when
 *           nothing changed meanwhile.
 *   live    novel ranges go to every peer that may have them and is not their source: at once
 *           when nothing is in flight there, else after the acknowledgement,
 *           WEIR_BURST_DELAY_MS or WEIR_BURST_BYTES, whichever comes first.
 * Roles: a leaf pushes only what was committed on it (and answers what it is asked); a hub
 * forwards what is new to it. Nothing that changed nothing is ever answered by data. */

#include "store/base/rand.h"
#include "store/dag/vector.h"

struct weir_sync;

enum weir_role { WEIR_ROLE_LEAF = 0, WEIR_ROLE_HUB = 1, WEIR_ROLE_RELAY = 2 };
enum weir_direction { WEIR_SYNC_PUSH = 1, WEIR_SYNC_PULL = 2, WEIR_SYNC_BOTH = 3 };

struct weir_sync_options {
    struct weir_id device;
    enum weir_role role;
    bool forward;               /* hub: push on what came from others */
    bool enabled;               /* false: nothing is sent by itself */
    uint64_t check_interval_ms; /* jittered +-25 % */
    uint32_t batch_size;        /* most entries in a live burst */
    uint64_t seed;              /* jitter and transfer numbers */
};

/* ---- events in ---- */

enum weir_sync_event_type {
    WEIR_SYNC_SESSION_UP,   /* session, device, key (of tags), role, protocol */
    WEIR_SYNC_SESSION_DOWN, /* session */
    WEIR_SYNC_SHARE,        /* device, db, direction, priority, our digest: related, and both
                             * members; their_digest: what both had last, or zero */
    WEIR_SYNC_UNSHARE,      /* device, db, status (WEIR_REMOVED: it is told so when it asks) */
    WEIR_SYNC_NOVEL,        /* db, ranges, source (zero: here), digest: synced to disk; fed: the
                             * standing transfers that the store gave them, digest and all */
    WEIR_SYNC_MESSAGE,      /* session, message: from the peer */
    WEIR_SYNC_COMPARED,     /* ticket, status, ranges (lacks), more, unknown, rows (ours, with
                               * samples where `unknown` names the chain); of the newer ladder: say
                               * and answer, settled, chains instead of unknown and rows */
    /* A transfer is named by session and number: the number is its sender's choice. */
    WEIR_SYNC_OPENED,        /* session, transfer, status: our store opened it (either way) */
    WEIR_SYNC_ACKED,         /* session, transfer, entries, their_digest (after its import; zero:
                               * not told), idle: all sent is acked (or nothing was to send) */
    WEIR_SYNC_ARRIVED,       /* session, transfer, entries, their_digest (told at the end of a
                               * burst, else zero), digest (ours), again (entries that
                               * were held already) and ranges (some of those), gap (runs wait for
                               * what is missing) and wants, status (not OK: it was given up) */
    WEIR_SYNC_FOUND,         /* session, device, db, ranges: what the peer wanted, as we hold it */
    WEIR_SYNC_TRANSFER_LOST, /* session, transfer, status: the store gave it up (stall, ...) */
    WEIR_SYNC_STORE_UP,      /* the store came (back): transfers are gone, digests follow */
    WEIR_SYNC_CHECK,         /* db (or zero: all), device (or zero: all): compare now */
    WEIR_SYNC_TICK           /* nothing but `now` */
};

/* What nodes say to each other about data. The peers actor carries them as protobuf. */
enum weir_sync_message_type {
    WEIR_SYNC_DIGESTS, /* items[]; answer: the receiver is to answer with its own; bits, bytes
                        * (which buckets, a bit each) and sum (of the summary that told them) when
                        * it answers buckets: all of the rest are equal */
    WEIR_SYNC_VECTOR,  /* tag, rows[], answer, round, more (pages), only (a list of chains only) */
    WEIR_SYNC_OFFER,   /* tag, transfer: I want to send you data of this database */
    WEIR_SYNC_ACCEPT,  /* transfer, credit */
    WEIR_SYNC_CLOSE,   /* transfer, status: either side ends it */
    WEIR_SYNC_NOT_SHARED, /* tag, status: asked about what is not shared with the asker (sent only
                           * to devices that were members: WEIR_REMOVED; strangers get silence) */
    /* From protocol 2 on. */
    WEIR_SYNC_SUMMARY,  /* sum: hash of all DIGESTS; bits, bytes: of each bucket, when they differ;
                         * answer */
    WEIR_SYNC_LADDER,   /* tag, round, answer (one is needed), bytes */
    WEIR_SYNC_ANNOUNCE, /* tag, digest, marks: there is something new here, up to these seqs */
    WEIR_SYNC_PRUNE,    /* tag: announce to me what comes to you, instead of sending it */
    WEIR_SYNC_GRAFT,    /* tag, marks (what is held here of chains that were announced): send
                         * again, what lies behind these first */
    WEIR_SYNC_WANT      /* tag, wants: entries that what came waits for */
};

struct weir_sync_digest {
    uint64_t tag;
    struct weir_id digest;
};

/* A count of entries of a chain, which is named by a tag that the database's id gives it. */
struct weir_sync_mark {
    uint64_t chain;
    uint64_t seq;
};

/* An entry that is missed, and from which seq on what leads to it is. */
struct weir_sync_want {
    struct weir_id id;
    uint64_t from_seq; /* WEIR_SYNC_FROM_UNKNOWN: not known */
};
#define WEIR_SYNC_FROM_UNKNOWN UINT64_MAX

struct weir_sync_message {
    enum weir_sync_message_type type;
    uint64_t tag;
    uint64_t transfer;
    uint64_t credit;
    uint32_t round;
    uint32_t page; /* VECTOR: counts from 0; all but the last say `more` */
    bool answer;
    bool more;
    bool only;
    enum weir_status status;
    size_t n_digests;
    struct weir_sync_digest *digests; /* borrowed for the call */
    size_t n_rows;
    struct weir_told_row *rows; /* borrowed for the call */
    struct weir_id sum;
    uint32_t bits; /* buckets by so many first bits of tags; 0: none */
    size_t n_bytes;
    uint8_t *bytes;        /* borrowed for the call */
    struct weir_id digest; /* ANNOUNCE: the sender's */
    size_t n_marks;
    struct weir_sync_mark *marks; /* borrowed for the call */
    size_t n_wants;
    struct weir_sync_want *wants; /* borrowed for the call */
};
/* A copy that owns all it points to; fini frees that. Who keeps a message keeps such a copy. */
void weir_sync_message_copy (struct weir_sync_message *to, const struct weir_sync_message *from);
void weir_sync_message_fini (struct weir_sync_message *m);

/* A transfer that stands (WEIR_SYNC_STAND) and was fed by the store itself. */
struct weir_sync_fed {
    uint64_t session;
    uint64_t transfer;
};

struct weir_sync_event {
    enum weir_sync_event_type type;
    uint64_t session;
    struct weir_id device;
    struct weir_id db;
    struct weir_id key;
    struct weir_id source;
    enum weir_role role;
    uint32_t protocol; /* 0 counts as 1 */
    enum weir_direction direction;
    uint8_t priority; /* 0 high, 1 normal, 2 low */
    uint64_t transfer;
    uint64_t ticket;
    uint64_t entries;
    uint64_t again;
    enum weir_status status;
    bool more;
    bool gap;
    bool idle;
    bool answer;                 /* COMPARED: what is said needs one */
    bool settled;                /* COMPARED: all that they lack is in ranges */
    size_t chains;               /* COMPARED: that are known to differ */
    struct weir_bytes say;       /* COMPARED: empty: nothing */
    struct weir_id digest;       /* ours; of an empty vector while joining; zero: not known yet */
    struct weir_id their_digest; /* zero: not told */
    const struct weir_ranges *ranges;
    const struct weir_vector *unknown; /* may be NULL */
    size_t n_rows;
    const struct weir_told_row *rows;
    const struct weir_sync_message *message;
    size_t n_wants;
    const struct weir_sync_want *wants;
    size_t n_fed; /* NOVEL */
    const struct weir_sync_fed *fed;
};

/* ---- actions out ---- */

enum weir_sync_action_type {
    WEIR_SYNC_SAY,      /* session, message */
    WEIR_SYNC_COMPARE,  /* ticket, db, rows (told; n_rows may be 0): ask the store to compare
                               * and to give our rows: all, or those of the told chains (`only`).
                               * `ask`: nothing was told yet, only our rows are wanted. `ladder`:
                               * the newer one: what to say to message.bytes (none: begin, with
                               * `theirs`, their digest, or zero), under `key` */
    WEIR_SYNC_OPEN_OUT, /* transfer, session, device, db: our store, to send */
    WEIR_SYNC_OPEN_IN,  /* transfer, session, device, db, credit: our store, to receive */
    WEIR_SYNC_START,    /* transfer, session, credit: the peer accepted; the store may send */
    WEIR_SYNC_SEND,     /* transfer, session, db, ranges, digest (ours): feed it; entries is
                               * how many; at most WEIR_RANGES_PER_MESSAGE ranges */
    WEIR_SYNC_STOP,     /* transfer, session, out (which end): our store, forget it */
    WEIR_SYNC_STAND,    /* transfer, session, device, db, stand: our store may feed it novel runs
                         * by itself from now on, or no longer */
    WEIR_SYNC_FIND,     /* session, device, db, message.wants: our store, where they are (FOUND) */
    WEIR_SYNC_BEHIND,   /* device, db, status: an exchange failed; for the retry queue */
    WEIR_SYNC_IN_STEP,  /* device, db, entries: both digests are equal now */
    WEIR_SYNC_DIFFERS,  /* device, db, status: said once per change: where we differ: entries and
                         * ranges (some of what they lack), more, chains */
    WEIR_SYNC_STRIKE    /* device, db: it announces what it does not send, again and again */
};

struct weir_sync_action {
    enum weir_sync_action_type type;
    uint64_t session;
    struct weir_id device;
    struct weir_id db;
    uint64_t transfer;
    uint64_t ticket;
    uint64_t credit;
    uint64_t entries;
    enum weir_status status;
    struct weir_id digest;
    bool only;                        /* COMPARE: rows of the told chains only */
    bool ask;                         /* COMPARE: our rows only */
    bool ladder;                      /* COMPARE: a step of the newer ladder */
    bool more;                        /* DIFFERS: they hold something that is not here */
    size_t chains;                    /* DIFFERS: in so many chains */
    struct weir_id key;               /* COMPARE: for hashes */
    struct weir_id theirs;            /* COMPARE */
    bool out;                         /* STOP: it was the sending end */
    bool stand;                       /* STAND: from now on, or no longer */
    struct weir_sync_message message; /* SAY, FIND, COMPARE: owned by the action list */
    struct weir_ranges ranges;        /* SEND, DIFFERS: owned by the action list */
    size_t n_rows;                    /* COMPARE: told rows, owned by the action list */
    struct weir_told_row *rows;
};

/* A list of actions in the order to be done; cleared by the caller after doing them. */
struct weir_sync_actions {
    struct weir_sync_action *items;
    size_t count;
    size_t cap;
};
void weir_sync_actions_clear (struct weir_sync_actions *a);
void weir_sync_actions_fini (struct weir_sync_actions *a);

struct weir_sync *weir_sync_new (const struct weir_sync_options *options);
void weir_sync_destroy (struct weir_sync **self_p);
/* Options that may change while running: enabled, forward, role, intervals, batch. */
void weir_sync_configure (struct weir_sync *self, const struct weir_sync_options *options);
/* One step. Appends to *actions. Whatever a message holds, it costs bounded work and memory;
 * a message that makes no sense is counted and ignored, or ends in a CLOSE. */
void weir_sync_step (struct weir_sync *self, const struct weir_sync_event *event, uint64_t now_ms,
                     struct weir_sync_actions *actions);
/* When to call with TICK at the latest; UINT64_MAX: nothing is due. */
uint64_t weir_sync_next_ms (const struct weir_sync *self);

/* ---- status, truthful (P9) ---- */

enum weir_sync_phase {
    WEIR_SYNC_ABSENT, /* no session with the device */
    WEIR_SYNC_IDLE,   /* shared here, and the peer has not told a digest (not shared there?) */
    WEIR_SYNC_COMPARING,
    WEIR_SYNC_SENDING,
    WEIR_SYNC_RECEIVING,
    WEIR_SYNC_EQUAL, /* the last told digest equals ours */
    WEIR_SYNC_BACKING_OFF
};
#define WEIR_SYNC_ACK_BUCKETS 16
struct weir_sync_state {
    struct weir_id device;
    struct weir_id db;
    enum weir_direction direction;
    enum weir_sync_phase phase;
    struct weir_id digest;       /* ours */
    struct weir_id their_digest; /* zero: never told */
    uint64_t entries_sent;
    uint64_t entries_acked;
    uint64_t since_ms; /* in this phase */
    enum weir_status last_error;
    bool waits; /* to compare: others are at it */
    /* The tree, since the pair is shared: entries that came though they were held; said and
     * heard; what is eager now. */
    uint64_t entries_again;
    uint64_t announced;
    uint64_t announcements_heard;
    uint64_t grafts;
    uint64_t prunes;
    uint64_t strikes;
    bool pruned;     /* the peer sends us announcements */
    bool pruned_by;  /* we send it announcements */
    bool stands;     /* our store feeds the transfer by itself */
    uint64_t acks;   /* times that all that was sent was acknowledged as durable */
    uint64_t ack_us; /* how long that took: a moving average, */
    uint32_t acks_in[WEIR_SYNC_ACK_BUCKETS]; /* and how many took < 1, 2, 4, ... ms, or more */
};
/* The i-th shared pair (device, db); false past the end. */
bool weir_sync_state (const struct weir_sync *self, size_t i, struct weir_sync_state *state);
bool weir_sync_find (const struct weir_sync *self, const struct weir_id *device,
                     const struct weir_id *db, struct weir_sync_state *state);
struct weir_sync_counters {
    uint64_t messages_in;
    uint64_t messages_out;
    uint64_t messages_bad;
    uint64_t bursts;
    uint64_t ladders;
    uint64_t ladders_stopped;
};
void weir_sync_counters (const struct weir_sync *self, struct weir_sync_counters *out);

#endif
