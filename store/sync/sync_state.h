#ifndef WEIR_STORE_SYNC_SYNC_STATE_H
#define WEIR_STORE_SYNC_SYNC_STATE_H

/* The inside of the synchronizer, shared by its files: sync.c (events in, sessions, time),
 * sync_table.c (what is shared with whom), sync_out.c (actions and timers), sync_ladder.c
 * (when to compare, and the newer ladder), sync_vector.c (the older one), sync_summary.c
 * (digests), sync_live.c (novel ranges and transfers), sync_tree.c (who sends and
 * who announces), sync_gap.c (what early runs wait for). Nobody else includes it.
 *
 * A pair is (device, database). Everything decided about it follows from two digests, ours and
 * the last one the peer told; the rest of the state only says what is being done about their
 * difference, and may be forgotten at any time at the cost of one more exchange. */

#include "store/base/map.h"
#include "store/base/limits.h"
#include "store/sync/session.h"
#include "store/sync/sync.h"

#define WEIR_SYNC_NEVER UINT64_MAX
#define WEIR_SYNC_PRIORITIES 3u
#define WEIR_SYNC_REMOVED_MAX 64u /* remembered databases a device was removed from */

struct weir_sync_timer {
    uint64_t due_ms;
    size_t at;                         /* in the heap, from 1; 0: not in it */
    struct weir_sync_session *session; /* one of the two */
    struct weir_sync_pair *pair;
};

/* A vector on its way in, page by page; one at a time for a session. */
struct weir_sync_pages {
    struct weir_sync_pair *pair;
    uint32_t round;
    uint32_t next_page;
    size_t n_samples;
    struct weir_told_row **blocks; /* one for each page, rows and samples */
    size_t *counts;
    size_t n_blocks;
};

struct weir_sync_session {
    uint64_t id;
    struct weir_sync_peer *peer;
    struct weir_sync_session *next; /* of the peer, newest first */
    struct weir_id key;
    enum weir_role role;
    uint32_t protocol;
    struct weir_map *tags; /* tag -> pair */
    struct weir_sync_timer timer;
    uint64_t check_ms;
    bool greet;          /* some pairs want their digest said at the next turn */
    struct weir_id said; /* the sum of the last SUMMARY; `said` of the pairs goes with it */
    struct weir_sync_pages pages;
};

struct weir_sync_peer {
    struct weir_id device;
    struct weir_sync_session *sessions;
    struct weir_sync_pair *pairs;
    size_t n_pairs;
    struct weir_id removed[WEIR_SYNC_REMOVED_MAX];
    size_t n_removed;
};

/* The last that is known to be held of a chain, and who supplied it. */
struct weir_sync_chain {
    uint64_t tag;
    uint64_t from_seq; /* of what this supplier gave */
    uint64_t to_seq;
    struct weir_id source; /* zero: committed here */
    struct weir_sync_chain *newer;
    struct weir_sync_chain *older;
};

struct weir_sync_db {
    struct weir_id id;
    struct weir_id digest; /* zero: the store has not said yet */
    struct weir_sync_pair *pairs;
    struct weir_map *chains; /* tag -> chain; NULL: none yet */
    struct weir_sync_chain *newest;
    struct weir_sync_chain *oldest;
    uint64_t guide;    /* the chain by which hubs prune each other, */
    uint64_t guide_ms; /* when something of it was novel last, */
    uint64_t guide_since_ms;
};

/* What was announced to a peer, or is about to be, and not sent. */
struct weir_sync_owed {
    struct weir_range range;
    uint64_t tag;
    bool said;
    uint64_t said_ms;
};

/* What was announced to us and was not here then. */
struct weir_sync_missed {
    uint64_t tag;
    uint64_t first_seq; /* announced since the look before; waited for */
    uint64_t last_seq;  /* announced meanwhile */
    uint64_t since_ms;
    uint64_t asked_ms; /* 0: not grafted for it */
};

/* A pair as an edge of the database's tree; there is one while something about it is not plain:
 * eager both ways, and nothing announced. It dies with the session. */
struct weir_sync_edge {
    bool lazy_in;  /* we pruned it: it announces to us */
    bool lazy_out; /* it pruned us: we announce to it */
    struct weir_sync_owed *owed;
    size_t n_owed;
    size_t owed_cap;
    uint64_t announce_ms; /* due: what is owed, and the digest */
    struct weir_id told;  /* the digest announced last */
    struct weir_sync_missed *missing;
    size_t n_missing;
    size_t missing_cap;
    uint64_t missing_ms; /* due: graft, or judge what came of it; */
    uint64_t not_before_ms;
    uint64_t wait_ms;    /* so long after the announcement */
    uint64_t lag_ms;     /* so much later bodies came by themselves, lately */
    uint64_t waited_ms;  /* before the last graft */
    uint64_t asked_ms;   /* the last graft for what is missing; 0: none */
    uint64_t arrived_ms; /* anything from it */
    uint64_t pruned_ms;  /* said PRUNE */
    uint64_t refused_ms; /* its PRUNE */
    uint64_t ignored_ms; /* until then */
    uint64_t again;      /* entries, lately */
    uint64_t fresh;
    unsigned strikes;
    bool begun; /* it was decided whether it gets what is committed here */
};

enum weir_sync_out_state { WEIR_OUT_NONE, WEIR_OUT_OPENING, WEIR_OUT_OFFERED, WEIR_OUT_OPEN };
enum weir_sync_in_state { WEIR_IN_NONE, WEIR_IN_OPENING, WEIR_IN_OPEN };
enum weir_sync_stage {
    WEIR_STAGE_REST,
    WEIR_STAGE_ROWS,  /* asked our store for our rows */
    WEIR_STAGE_ASKED, /* said a VECTOR, the peer's is awaited */
    WEIR_STAGE_STORE  /* asked our store to compare */
};

/* Where two differ, for words. */
#define WEIR_SYNC_WHERE_RANGES 4u
struct weir_sync_where {
    size_t chains;
    uint64_t entries; /* that they lack, as far as found */
    bool more;        /* they hold something that is not here */
    size_t n_ranges;
    struct weir_range ranges[WEIR_SYNC_WHERE_RANGES]; /* the first of them */
};

struct weir_sync_pair {
    struct weir_sync_peer *peer;
    struct weir_sync_db *db;
    struct weir_sync_pair *next_of_peer;
    struct weir_sync_pair *next_of_db;
    size_t at; /* in pairs[] */
    enum weir_direction direction;
    uint8_t priority;
    struct weir_sync_session *session; /* where we speak; NULL: absent */
    struct weir_sync_timer timer;

    struct weir_id theirs; /* zero: not told */
    struct weir_id said;   /* with the session's last SUMMARY */
    bool in_step;          /* said so */
    bool met;            /* equal or compared since the session began: novel ranges alone will do */
    bool refused;        /* the peer takes no data of this */
    bool manual;         /* asked for by hand, though nothing is sent by itself */
    bool behind;         /* said so while absent */
    bool greet;          /* its digest is to be said at the next turn, and the peer's asked for */
    bool reply;          /* the message at hand asked for its digest */
    uint64_t differs_ms; /* since when; 0: equal or unknown */
    uint64_t activity_ms;
    uint64_t recheck_ms;
    uint64_t ladder_ms;         /* no sooner than this again */
    unsigned attempts;          /* ladders since the last equality */
    unsigned unanswered;        /* digests asked for since the last that was told */
    struct weir_id agreed;      /* what both had last, as far as is known here */
    bool turn;                  /* the smaller id did not ask: we do */
    struct weir_id ladder_ours; /* digests at the last ladder and the last DIFFERS */
    struct weir_id ladder_theirs;
    struct weir_id differs_ours;
    struct weir_id differs_theirs;

    enum weir_sync_stage stage;
    struct weir_sync_session *stage_session;
    uint64_t stage_ms; /* time-out */
    uint64_t ticket;
    uint32_t round;
    bool newer;      /* the ladder at hand is the newer one */
    bool answer_due; /* what was told needs an answer */
    bool admitted;   /* it counts among those at once */
    uint64_t admitted_ms;
    bool waits; /* for that: in the list of its priority */
    unsigned wait_list;
    struct weir_sync_pair *wait_next;
    struct weir_sync_pair *wait_prev;
    struct weir_sync_message *held; /* a peer's first LADDER that waits; NULL: we begin */
    struct weir_sync_session *held_session;
    uint64_t held_ms;
    struct weir_sync_where *where; /* what the last ladder found; NULL: nothing */

    enum weir_sync_out_state out_state;
    struct weir_sync_session *out_session;
    uint64_t out;
    uint64_t out_ms; /* time-out */
    struct weir_ranges queue;
    uint64_t queue_entries;
    uint64_t burst_ms;
    struct weir_ranges flying; /* sent and not all acknowledged */
    bool sending;              /* something is in flight */
    bool bulk;                 /* it came from a ladder: live pushes wait */

    enum weir_sync_in_state in_state;
    struct weir_sync_session *in_session;
    uint64_t in;
    bool in_busy; /* data came, and not yet the digest that ends it */
    uint64_t in_ms;

    struct weir_sync_edge *edge; /* NULL: eager both ways, nothing announced */
    bool hesitated;              /* before the session's first comparison */
    bool live;                   /* equal since the last comparison: twice means by two ways */
    bool standing;               /* our store was told that it may feed `out` */
    uint64_t sent_ms;            /* when what is in flight began to be */
    unsigned wants;              /* said in a row, for gaps */
    bool finding;                /* our store looks for what the peer wanted */
    bool fed;                    /* by the store, at this step */
    struct {
        uint64_t again, announced, heard, grafts, prunes, strikes, acks, ack_us;
        uint32_t acks_in[WEIR_SYNC_ACK_BUCKETS];
    } figures;

    uint64_t entries_sent;
    uint64_t entries_acked;
    uint64_t entries_moved; /* since the last IN_STEP */
    enum weir_status last_error;
    enum weir_sync_phase phase;
    uint64_t phase_ms;
};

struct weir_sync {
    struct weir_sync_options options;
    struct weir_rand rand;
    struct weir_map *sessions;                               /* id -> session */
    struct weir_map *peers;                                  /* device -> peer */
    struct weir_map *dbs;                                    /* id -> db */
    struct weir_map *by_pair;                                /* device and db -> pair */
    struct weir_map *tickets;                                /* ticket -> pair */
    size_t n_admitted;                                       /* comparisons at once */
    struct weir_sync_pair *waiting[WEIR_SYNC_PRIORITIES][2]; /* first, last */
    struct weir_map *transfers;                              /* (session, number) -> pair */
    struct weir_sync_pair **pairs;
    size_t n_pairs;
    size_t pairs_cap;
    struct weir_sync_timer **timers; /* a heap; [0] unused */
    size_t n_timers;
    size_t timers_cap;
    uint64_t next_ticket;
    struct weir_sync_counters counters;
    struct weir_sync_actions *actions; /* of the step at hand */
};

/* ---- sync_table.c ---- */
struct weir_sync_peer *weir_sync_need_peer (struct weir_sync *self, const struct weir_id *device);
/* Forgets the peer when nothing is known of it any more. */
void weir_sync_drop_peer (struct weir_sync *self, struct weir_sync_peer *peer);
struct weir_sync_pair *weir_sync_find_pair (const struct weir_sync *self,
                                            const struct weir_id *device, const struct weir_id *db);
void weir_sync_put_tag (struct weir_sync_session *session, struct weir_sync_pair *pair);
void weir_sync_free_pair (struct weir_sync_pair *pair);
void weir_sync_on_share (struct weir_sync *self, const struct weir_sync_event *e, uint64_t now_ms);
void weir_sync_on_unshare (struct weir_sync *self, const struct weir_sync_event *e,
                           uint64_t now_ms);
void weir_sync_on_store_up (struct weir_sync *self, uint64_t now_ms);
void weir_sync_on_check (struct weir_sync *self, const struct weir_sync_event *e, uint64_t now_ms);

/* ---- sync_out.c ---- */
struct weir_sync_action *weir_sync_act (struct weir_sync *self, enum weir_sync_action_type type,
                                        const struct weir_sync_pair *pair);
struct weir_sync_message *weir_sync_say (struct weir_sync *self, struct weir_sync_session *session,
                                         enum weir_sync_message_type type,
                                         const struct weir_sync_pair *pair);
void weir_sync_say_close (struct weir_sync *self, struct weir_sync_session *session,
                          uint64_t transfer, enum weir_status status);
/* A copy in one block (free frees all of it); NULL when n is 0. */
struct weir_told_row *weir_sync_copy_rows (const struct weir_told_row *rows, size_t n);
void weir_sync_timer_set (struct weir_sync *self, struct weir_sync_timer *timer, uint64_t due_ms);
/* The pair's timer follows its time-outs, and its phase its state. Call after any change. */
void weir_sync_settle (struct weir_sync *self, struct weir_sync_pair *pair, uint64_t now_ms);
void weir_sync_session_timer (struct weir_sync *self, struct weir_sync_session *session,
                              uint64_t now_ms);
uint64_t weir_sync_tag (const struct weir_sync_session *session, const struct weir_id *db);
struct weir_sync_pair *weir_sync_by_tag (const struct weir_sync_session *session, uint64_t tag);
struct weir_bytes weir_sync_key64 (uint8_t key[8], uint64_t v);
struct weir_bytes weir_sync_transfer_key (uint8_t key[16], uint64_t session, uint64_t transfer);

/* ---- sync_ladder.c ---- */
/* When a comparison that the peer began, and that waits, is answered at last. */
uint64_t weir_sync_held_due_ms (const struct weir_sync_pair *pair);
void weir_sync_held_due (struct weir_sync *self, struct weir_sync_pair *pair, uint64_t now_ms);
bool weir_sync_known (const struct weir_sync_pair *pair); /* session, and both digests */
bool weir_sync_equal (const struct weir_sync_pair *pair);
/* Something about the two digests changed. `told`: just now, by DIGESTS. */
void weir_sync_judge (struct weir_sync *self, struct weir_sync_pair *pair, bool told,
                      uint64_t now_ms);
void weir_sync_recheck (struct weir_sync *self, struct weir_sync_pair *pair, uint64_t now_ms);
void weir_sync_on_ladder (struct weir_sync *self, struct weir_sync_session *session,
                          const struct weir_sync_message *m, uint64_t now_ms);
void weir_sync_on_compared (struct weir_sync *self, const struct weir_sync_event *e,
                            uint64_t now_ms);
void weir_sync_end_stage (struct weir_sync *self, struct weir_sync_pair *pair);
void weir_sync_failed (struct weir_sync *self, struct weir_sync_pair *pair, enum weir_status status,
                       uint64_t now_ms);
/* Asks our store to compare: the caller fills the action. */
struct weir_sync_action *weir_sync_ask_store (struct weir_sync *self, struct weir_sync_pair *pair,
                                              struct weir_sync_session *session,
                                              enum weir_sync_stage stage, uint64_t now_ms);
/* `round` was said, and the peer's answer is awaited. */
void weir_sync_await (struct weir_sync *self, struct weir_sync_pair *pair, uint32_t round,
                      uint64_t now_ms);
/* Both said what they lack. */
void weir_sync_finish_ladder (struct weir_sync *self, struct weir_sync_pair *pair, uint64_t now_ms);
/* May the peer begin a comparison now? */
bool weir_sync_may_ask (const struct weir_sync *self, const struct weir_sync_pair *pair);
/* Lets in comparisons that wait, as many as there may be. After each step. */
void weir_sync_admit (struct weir_sync *self, uint64_t now_ms);
void weir_sync_wait_no_more (struct weir_sync *self, struct weir_sync_pair *pair);

/* ---- sync_vector.c: the ladder of protocol 1 ---- */
void weir_sync_on_vector (struct weir_sync *self, struct weir_sync_session *session,
                          const struct weir_sync_message *m, uint64_t now_ms);
void weir_sync_on_rows (struct weir_sync *self, struct weir_sync_pair *pair,
                        const struct weir_sync_event *e, uint64_t now_ms);
void weir_sync_pages_clear (struct weir_sync_pages *pages);

/* ---- sync_summary.c ---- */
/* Says digests of the session's pairs; `answer` asks for the peer's. */
enum weir_sync_which { WEIR_SAY_ALL, WEIR_SAY_ONE, WEIR_SAY_GREETED, WEIR_SAY_REPLY };
void weir_sync_say_digests (struct weir_sync *self, struct weir_sync_session *session,
                            enum weir_sync_which which, const struct weir_sync_pair *one,
                            bool answer);
void weir_sync_on_digests (struct weir_sync *self, struct weir_sync_session *session,
                           const struct weir_sync_message *m, uint64_t now_ms);
void weir_sync_on_summary (struct weir_sync *self, struct weir_sync_session *session,
                           const struct weir_sync_message *m, uint64_t now_ms);
/* The tag is of a database the device was removed from: it is told. */
void weir_sync_unknown_tag (struct weir_sync *self, struct weir_sync_session *session,
                            uint64_t tag);

/* ---- sync_live.c ---- */
void weir_sync_on_novel (struct weir_sync *self, const struct weir_sync_event *e, uint64_t now_ms);
void weir_sync_send_lacks (struct weir_sync *self, struct weir_sync_pair *pair,
                           const struct weir_ranges *lacks, uint64_t now_ms);
/* Sends what waits, opening the transfer first when there is none. */
void weir_sync_flush (struct weir_sync *self, struct weir_sync_pair *pair, uint64_t now_ms);
void weir_sync_on_transfer_message (struct weir_sync *self, struct weir_sync_session *session,
                                    const struct weir_sync_message *m, uint64_t now_ms);
void weir_sync_on_transfer_event (struct weir_sync *self, const struct weir_sync_event *e,
                                  uint64_t now_ms);
/* Ends a transfer: tells our store (stop), the peer (unless told is OK), and forgets. */
void weir_sync_drop_out (struct weir_sync *self, struct weir_sync_pair *pair, bool stop,
                         enum weir_status tell);
void weir_sync_drop_in (struct weir_sync *self, struct weir_sync_pair *pair, bool stop,
                        enum weir_status tell);
bool weir_sync_may_push (const struct weir_sync_pair *pair);
bool weir_sync_is_theirs (const struct weir_sync_pair *pair, const struct weir_range *range);
/* Does the node push on what comes from others? */
bool weir_sync_forwards (const struct weir_sync *self);
/* Puts a range into what is to be sent; the caller flushes. */
void weir_sync_enqueue (struct weir_sync_pair *pair, const struct weir_range *range);
void weir_sync_clear_queue (struct weir_sync_pair *pair);
/* Tells our store whether it may feed the pair's transfer by itself, when that changed. */
void weir_sync_stand (struct weir_sync *self, struct weir_sync_pair *pair);

/* ---- sync_tree.c ---- */
uint64_t weir_sync_chain_tag (const struct weir_sync_db *db, const struct weir_chain *chain);
struct weir_sync_chain *weir_sync_find_chain (const struct weir_sync_db *db, uint64_t tag);
struct weir_sync_edge *weir_sync_need_edge (struct weir_sync_pair *pair);
void weir_sync_prune (struct weir_sync *self, struct weir_sync_pair *pair, uint64_t now_ms);
void weir_sync_graft (struct weir_sync *self, struct weir_sync_pair *pair, uint64_t now_ms);
/* Before a leaf's first commit goes to this peer. */
void weir_sync_tree_begin (struct weir_sync *self, struct weir_sync_pair *pair, uint64_t now_ms);
bool weir_sync_is_lazy (const struct weir_sync_pair *pair); /* the peer wants announcements */
/* Notes who supplied what, before it is pushed on. */
void weir_sync_tree_novel (struct weir_sync_db *db, const struct weir_ranges *ranges,
                           const struct weir_id *source, uint64_t now_ms);
/* Something came from it. */
void weir_sync_tree_arrived (struct weir_sync *self, struct weir_sync_pair *pair,
                             const struct weir_sync_event *e, uint64_t now_ms);
void weir_sync_tree_message (struct weir_sync *self, struct weir_sync_session *session,
                             const struct weir_sync_message *m, uint64_t now_ms);
/* The pair's session is gone, or the pair goes: others supply from now on. */
void weir_sync_tree_cut (struct weir_sync *self, struct weir_sync_pair *gone,
                         const struct weir_sync_session *session, uint64_t now_ms);
void weir_sync_tree_free_db (struct weir_sync_db *db);
void weir_sync_tree_free_edge (struct weir_sync_pair *pair);

/* Another hub that supplies this pair's database. */
struct weir_sync_pair *weir_sync_other_supplier (const struct weir_sync_pair *but);

/* ---- sync_announce.c ---- */
/* Was this range announced to the peer just now, or is about to be? Then it asks for it if it does
 * not come by the tree. */
bool weir_sync_is_owed (const struct weir_sync_pair *pair, const struct weir_range *range,
                        uint64_t now_ms);
/* Is a difference of the digests what a stream makes: both go on, and nothing is overdue? */
bool weir_sync_tree_flows (const struct weir_sync_pair *pair, uint64_t now_ms);
void weir_sync_forget_owed (struct weir_sync_edge *edge, size_t i);
/* What is missing of what it announced, into a GRAFT. */
void weir_sync_put_missing (struct weir_sync_pair *pair, struct weir_sync_message *m,
                            uint64_t now_ms);
void weir_sync_tree_overhasty (struct weir_sync_pair *pair, uint64_t now_ms);
void weir_sync_on_announce (struct weir_sync *self, struct weir_sync_pair *pair,
                            const struct weir_sync_message *m, uint64_t now_ms);
/* Instead of pushing: to be announced soon. */
void weir_sync_tree_owe (struct weir_sync *self, struct weir_sync_pair *pair,
                         const struct weir_ranges *ranges, uint64_t now_ms);
/* Something is new here: it may have been missing, and a peer that it neither came from nor goes
 * to (`apart`, or by announcement) is told our digest when it is quiet. */
void weir_sync_tree_changed (struct weir_sync *self, struct weir_sync_pair *pair, bool apart,
                             uint64_t now_ms);
uint64_t weir_sync_tree_due_ms (const struct weir_sync_pair *pair);
void weir_sync_tree_due (struct weir_sync *self, struct weir_sync_pair *pair, uint64_t now_ms);

/* ---- sync_gap.c ---- */
/* Something came that waits for what was not sent: asks its sender. */
void weir_sync_ask_missing (struct weir_sync *self, struct weir_sync_pair *pair,
                            const struct weir_sync_event *e);
void weir_sync_on_want (struct weir_sync *self, struct weir_sync_session *session,
                        const struct weir_sync_message *m);
void weir_sync_on_found (struct weir_sync *self, const struct weir_sync_event *e, uint64_t now_ms);

#endif
