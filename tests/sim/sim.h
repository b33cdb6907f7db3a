#ifndef WEIR_TESTS_SIM_SIM_H
#define WEIR_TESTS_SIM_SIM_H

/* The seeded simulator: whole nodes (repository on the memory kv, synchronizer, transfers,
 * retry, supervisor) in one process, under virtual time, with every fault a network, a disk, a
 * clock and a liar can make. One seed is one history, exactly repeatable: plan.c draws it,
 * world.c and script.c let it happen, net.c carries (and loses) what nodes say, lie.c is a node
 * that lies, watch.c and oracle.c check, shrink.c makes a failing one small, shapes.c measures
 * named topologies. peers.c, node.c and transfer.c are the glue that the actors have. */

#include "broker/supervisor.h"
#include "store/base/heap.h"
#include "store/base/map.h"
#include "store/repo/repo.h"
#include "store/sync/retry.h"
#include "store/sync/sync.h"
#include "store/sync/transfer.h"

#define SIM_DBS_MAX 20
#define SIM_INTERVAL_MS 30000u
#define SIM_POLL_MS 250u
#define SIM_LIVE_MS 4000u /* for a commit to be everywhere, without faults, joins included */

#define SIM_NO_NODE UINT32_MAX
#define SIM_MEANINGLESS "the nodes are not connected"

enum sim_part { SIM_STORE, SIM_PEERS };

enum sim_event_type {
    SIM_MESSAGE, /* peers -> peers, over a link: `message` */
    SIM_FRAME,   /* store -> store, over a link */
    SIM_ACK,     /* store -> store, over a link */
    SIM_ASK,     /* peers -> store, one node: `action` */
    SIM_TELL,    /* store -> peers, one node: `event` */
    SIM_SESSION, /* link -> peers: up or down */
    SIM_DISK,    /* the kv of a node syncs */
    SIM_TURN,    /* the store's turn ends: flush */
    SIM_TICK,    /* timers of a node's synchronizer */
    SIM_WATCH,   /* the store looks at its transfers */
    SIM_BOSS,    /* timers of a node's supervisor */
    SIM_SCRIPT   /* the world does something */
};

/* What the world does. */
enum sim_script {
    SIM_EDIT,
    SIM_BURST,
    SIM_CUT,
    SIM_BLOCK,
    SIM_HEAL,
    SIM_CONNECT,
    SIM_CRASH, /* power: both parts, unsynced writes lost */
    SIM_KILL_STORE,
    SIM_KILL_PEERS,
    SIM_RESTART,
    SIM_BACKUP,
    SIM_ROLL_BACK,
    SIM_CLOCK, /* a wall clock jumps */
    SIM_JOIN,
    SIM_REMOVE,
    SIM_SETTINGS,
    SIM_SEEN, /* is an entry everywhere by now? */
    SIM_END_OF_FAULTS,
    SIM_POLL
};

/* Owns what it points to. */
struct sim_event {
    uint64_t at_ms;
    uint64_t order;
    enum sim_event_type type;
    unsigned node;  /* where it happens */
    unsigned from;  /* over a link: who sent it */
    uint64_t epoch; /* of the part it is for; another one: lost */
    uint64_t session;
    uint64_t transfer;
    uint64_t offset;
    uint64_t limit;
    struct weir_id digest;
    struct weir_buf body;
    struct weir_sync_message message;
    struct weir_sync_action action;
    struct weir_sync_event event;
    struct weir_ranges ranges;  /* of event */
    struct weir_vector unknown; /* of event */
    struct weir_told_row *rows; /* of event */
    unsigned script;
    uint64_t dice; /* of SCRIPT: its own luck */
    bool up;
    bool harmed; /* a liar's, or spoiled: it may be refused */
    struct weir_sync_fed *fed;
};

/* Kinds of trouble a history may have; each can be left out (--drop). */
enum sim_trouble {
    SIM_LOSES,
    SIM_REPEATS,
    SIM_REORDERS,
    SIM_DELAYS,
    SIM_THROTTLES,
    SIM_FLIPS,  /* bits on links: the session ends */
    SIM_SPOILS, /* a node's memory is bad: what it sends is not what it read */
    SIM_SKEWS,
    SIM_LIES,
    SIM_ONE_WAY, /* push-only and pull-only relationships */
    SIM_DISABLED,
    SIM_OLD, /* nodes that speak protocol 1 */
    SIM_TROUBLES
};

/* What a liar is best at. */
enum sim_habit {
    SIM_MIXES,     /* all of it */
    SIM_MUTE,      /* promises, and sends nothing */
    SIM_PRUNES,    /* wants nothing sent, by anybody */
    SIM_ANNOUNCES, /* what it does not have */
    SIM_FLOODS,
    SIM_AGREES, /* acknowledges everything, equals everybody */
    SIM_HABITS
};

/* What was injected, and counted. */
enum sim_count {
    SIM_N_LOST,
    SIM_N_REPEATED,
    SIM_N_REORDERED,
    SIM_N_DELAYED,
    SIM_N_THROTTLED,
    SIM_N_FLIPPED,
    SIM_N_SPOILED,
    SIM_N_CUTS,
    SIM_N_BLOCKS_ONE_WAY,
    SIM_N_BLOCKS,
    SIM_N_POWER,
    SIM_N_STORE_KILLS,
    SIM_N_PEERS_KILLS,
    SIM_N_UNSYNCED_LOST,
    SIM_N_UNSYNCED_KEPT,
    SIM_N_GIVEN_UP,
    SIM_N_RESTORES,
    SIM_N_ROLL_BACKS,
    SIM_N_CLOCK_JUMPS,
    SIM_N_LIES,
    SIM_N_RIGHTS,
    SIM_N_REMOVALS,
    SIM_N_LATE,
    SIM_N_ONE_WAY,
    SIM_N_DISABLED,
    SIM_N_OLD,
    SIM_N_LARGE, /* histories of 20 or more nodes */
    SIM_COUNTS
};

/* What one end of a link is seen to know of the other, for one database (watch.c). */
struct sim_view {
    struct weir_map *chains;    /* chain -> struct sim_chain */
    struct weir_ranges allowed; /* what a comparison or a question found the other to lack */
    uint64_t unshared_ms;       /* 0: shared */
    uint64_t equal_ms;          /* EQUAL was claimed, wrongly, since; 0: it is not */
    uint64_t bodies;            /* that came from the other */
    uint64_t again;             /* of these, held already */
};

struct sim_link {
    unsigned a;
    unsigned b;
    unsigned at;      /* its number */
    bool wanted;      /* the topology has it */
    bool cut;         /* no session can be */
    bool blocked[2];  /* a -> b, b -> a: lost without a word */
    uint64_t session; /* 0: none */
    uint64_t up_ms;   /* since when */
    uint64_t latency_ms;
    uint64_t last_ms[2];              /* of the last delivery, so that order holds */
    uint64_t rate;                    /* bytes a second; 0: any */
    uint64_t free_us[2];              /* when what was sent before has left */
    uint64_t said[2];                 /* messages, a -> b and b -> a */
    enum weir_direction direction[2]; /* as a and as b has it */
    struct weir_rand rand;
    struct sim_view views[2][SIM_DBS_MAX]; /* a of b, b of a */
};

#define SIM_STANDING_MAX 256u /* of one node and database */

struct sim_transfer {
    struct sim_transfer *next;
    uint64_t session;
    uint64_t number;
    unsigned peer;
    struct weir_id db;
    struct weir_out *out; /* one of the two */
    struct weir_in *in;
    bool started;
    bool stands;
    bool fed;
    bool waits;     /* out: what is to be read is not synced yet */
    uint64_t batch; /* in: to be acknowledged with it */
    uint64_t batch_offset;
    uint64_t entries;
    uint64_t again;
    struct weir_ranges held_already; /* in: some of where */
    struct weir_id told;
    bool gap;
    bool harmed;
    struct sim_event **held; /* out: SENDs that wait for the disk */
    size_t n_held;
    size_t held_cap;
};

/* An entry that was reported as durable to whoever committed it. */
struct sim_acked {
    struct weir_id db;
    struct weir_id entry;
    uint64_t batch;
    struct weir_chain chain;
    uint64_t seq;
    bool durable;
    bool imported; /* acknowledged to a peer, not to who committed it */
};

/* A state of a database at a node, by its digest, until it changed. */
struct sim_was {
    struct weir_id digest;
    uint64_t until_ms;
};
#define SIM_WAS_MAX 64u

struct sim_past {
    struct weir_id digest;
    struct sim_was was[SIM_WAS_MAX]; /* a ring */
    unsigned n_was;
};

struct sim_node {
    unsigned index;
    enum weir_role role;
    bool absent; /* left out of this history */
    bool liar;
    enum sim_habit habit;
    bool spoiler;
    bool enabled;
    uint32_t protocol;
    int64_t skew_ms; /* of its wall clock */
    struct weir_rand rand;
    struct weir_supervisor boss;
    bool powered; /* the boss runs */
    uint64_t boss_ms;
    struct sim_past pasts[SIM_DBS_MAX];
    struct weir_map *novel[SIM_DBS_MAX]; /* chain -> uint64_t: told as novel up to */
    struct weir_identity identity;
    struct sim_link **links; /* those it is an end of */
    unsigned n_links;
    struct weir_kv *kv;
    struct weir_tips *tips;
    struct weir_repo *repo; /* NULL: the store is down */
    struct weir_sync *sync; /* NULL: peers is down */
    struct weir_retry *retry;
    uint64_t epochs[2];
    uint64_t told_position; /* of the arrival log, as NOVEL */
    uint64_t members_epoch;
    uint64_t flushed; /* the last batch */
    bool turn;        /* a SIM_TURN is on its way */
    bool disk;        /* a SIM_DISK is on its way */
    uint64_t tick_ms; /* the SIM_TICK on its way; UINT64_MAX: none */
    struct sim_transfer *transfers;
    struct sim_acked *acked;
    size_t n_acked;
    size_t acked_cap;
    struct weir_map *hints;      /* device, db -> what peers remembers on disk */
    struct sim_event **compares; /* wait for the disk */
    size_t n_compares;
    size_t compares_cap;
    struct weir_kv *backup_kv; /* NULL: none */
    struct weir_buf backup_tips;
    size_t backup_acked;
    bool rolled_back; /* its key may write one seq twice */
    bool waited;      /* runs came here before what they build on */
    bool removed;
    bool joined;
    bool online; /* neither part was told to stay down */
    /* counts */
    uint64_t entries_new;
    uint64_t entries_again;
    uint64_t messages; /* said, but DIGESTS */
    uint64_t digests;
    uint64_t frames;
    uint64_t acks;
    uint64_t bytes; /* said, in all */
    uint64_t resent;
    uint64_t to_holder;
};

struct sim_stats {
    uint64_t histories;
    uint64_t events;
    uint64_t commits;
    uint64_t entries_new;
    uint64_t entries_again;
    uint64_t messages;
    uint64_t forks; /* chains that got a tip more */
    uint64_t pending;
    uint64_t refused;
    uint64_t ladders;
    uint64_t meaningless;
    uint64_t slowest_ms; /* from the end of faults to convergence */
    uint64_t counts[SIM_COUNTS];
};

/* One thing of a history that can be left out. */
struct sim_item {
    bool dropped;
    int trouble; /* an enum sim_trouble, or -1 */
    int absent;  /* a node, or -1 */
    enum sim_script script;
    unsigned node;
    uint64_t at_ms;
    uint64_t dice;
};

/* How a history is to be run. */
struct sim_setup {
    uint64_t seed;
    unsigned nodes; /* 0: 2..5, drawn */
    bool verbose;
    const bool *drop; /* items left out, by their number; may be NULL */
    size_t n_drop;
};

/* When entries reached the last node that got them. */
struct sim_meter {
    struct weir_map *by_entry; /* chain and seq -> struct sim_flight */
    uint64_t committed;
    uint64_t late_ms;  /* somebody came late, or a cut was mended: since then */
    uint64_t *last_ms; /* of each entry, from its commit to its last arrival */
    size_t n_last;
    size_t last_cap;
};

struct sim {
    struct weir_rand rand;  /* of the plan */
    struct weir_rand *dice; /* of what happens now */
    struct weir_rand script_rand;
    uint64_t now_ms;
    uint64_t order;
    struct weir_heap events;
    struct sim_node *nodes;
    unsigned n_nodes;
    struct sim_link **links;
    unsigned n_links;
    size_t links_cap;
    struct weir_map *by_device; /* device -> node */
    struct weir_map *by_ends;   /* two nodes -> link */
    unsigned topology;
    struct weir_id dbs[SIM_DBS_MAX];
    unsigned n_dbs;
    unsigned late;                  /* joins after the others; 0: none */
    unsigned trouble[SIM_TROUBLES]; /* percent, of messages or nodes; 0: none */
    struct sim_item *items;
    size_t n_items;
    size_t items_cap;
    struct sim_setup setup;
    bool one_way;     /* some relationships are */
    bool rolled_back; /* chains may have branches */
    bool shape;       /* a measured topology: no faults, its own script */
    bool faults;      /* this history has them */
    bool silent;      /* something was lost without a word: the check interval finds it */
    bool quiet;       /* they are over */
    uint64_t end_of_faults_ms;
    uint64_t next_session;
    struct weir_map *written; /* db, author, lane, seq -> entry id */
    struct sim_stats *stats;
    struct sim_meter *meter; /* NULL: nothing is measured */
    char failure[512];
};

/* world.c: time, and one history from its beginning to its end. */
bool sim_run (const struct sim_setup *setup, struct sim_stats *stats, char failure[512]);
/* How many items the plan of this seed has, and which of them are dropped already. */
size_t sim_plan_items (const struct sim_setup *setup);
void sim_post (struct sim *sim, struct sim_event *event, uint64_t at_ms); /* moved */
struct sim_event *sim_event_new (enum sim_event_type type, unsigned node);
void sim_event_free (struct sim_event *event);
struct sim_event *sim_event_copy (const struct sim_event *e); /* of what travels over links */
void sim_fail (struct sim *sim, const char *format, ...) WEIR_PRINTF (2, 3);
void sim_log (const struct sim *sim, const char *format, ...) WEIR_PRINTF (2, 3);
void sim_script (struct sim *sim, enum sim_script what, unsigned node, uint64_t at_ms);
unsigned sim_below (struct sim *sim, unsigned n);
bool sim_chance (struct sim *sim, unsigned percent);
void sim_count (struct sim *sim, enum sim_count what);
struct sim *sim_new (const struct sim_setup *setup, struct sim_stats *stats);
void sim_free (struct sim *sim);
void sim_boot (struct sim *sim, struct sim_node *node);
/* Serves the next event. */
void sim_next (struct sim *sim);

/* plan.c: what a seed means. */
void sim_plan (struct sim *sim, const struct sim_setup *setup);
struct sim_link *sim_add_link (struct sim *sim, unsigned a, unsigned b);
void sim_add_nodes (struct sim *sim, unsigned n);
void sim_make_databases (struct sim *sim, unsigned n_dbs);
/* Are the rest connected without `without` and those that are gone? */
bool sim_connected (const struct sim *sim, unsigned without);

/* net.c: links. */
/* Over the link of the event's session, towards event->node. */
void sim_send (struct sim *sim, struct sim_event *event);
size_t sim_bytes (const struct sim_event *e); /* about what it takes on the wire */
struct sim_link *sim_link_between (const struct sim *sim, unsigned a, unsigned b);
/* NULL: no node of this history. */
struct sim_node *sim_peer (const struct sim *sim, const struct weir_id *device);
void sim_connect (struct sim *sim, struct sim_link *link);
void sim_connect_later (struct sim *sim, struct sim_link *link);
void sim_end_session (struct sim *sim, struct sim_link *link);
/* Does what one end has get to the other? */
bool sim_flows (const struct sim *sim, const struct sim_link *link, unsigned from);

/* lie.c: what a liar says instead, and what bad memory makes of a frame. False: nothing. */
bool sim_lie (struct sim *sim, struct sim_event *e);
void sim_spoil (struct sim *sim, struct sim_event *e);
/* Out of nothing. */
void sim_lie_about (struct sim *sim, struct sim_node *node);

/* script.c: people, disks and power. */
void sim_run_script (struct sim *sim, const struct sim_event *e);
/* True when it was done in any database. */
bool sim_change_member (struct sim *sim, struct sim_node *by, unsigned who, enum weir_right right);
void sim_on_boss (struct sim *sim, struct sim_node *node);
void sim_edit (struct sim *sim, struct sim_node *node, unsigned count);

/* transfer.c: the store's transfers. */
void sim_pump (struct sim *sim, struct sim_node *node, struct sim_transfer *t);
/* ladder.c */
void sim_note_equal (struct sim *sim, struct sim_node *node, const struct weir_sync_action *a);
struct weir_id sim_last_equal (const struct sim_node *node, const struct weir_id *device,
                               const struct weir_id *db);
void sim_do_ladder (struct sim *sim, struct sim_node *node, struct sim_event *ask);
void sim_do_compare (struct sim *sim, struct sim_node *node, struct sim_event *ask);
void sim_do_send (struct sim *sim, struct sim_node *node, struct sim_transfer *t,
                  struct sim_event *ask);
/* What runs of the transfer wait for, into an event of its arrival. */
void sim_put_missing (struct sim *sim, struct sim_node *node, const struct sim_transfer *t,
                      struct sim_event *e);
bool sim_on_ask (struct sim *sim, struct sim_node *node, struct sim_event *ask);
void sim_on_frame (struct sim *sim, struct sim_node *node, const struct sim_event *e);
void sim_on_ack (struct sim *sim, struct sim_node *node, const struct sim_event *e);
void sim_on_watch (struct sim *sim, struct sim_node *node);

/* node.c and peers.c: the glue that the actors have. */
bool sim_ever_member (struct sim_node *node, const struct weir_id *db,
                      const struct weir_id *device);
uint64_t sim_wall (const struct sim *sim, const struct sim_node *node);
struct sim_event *sim_tell_new (struct sim_node *node, enum weir_sync_event_type type);
void sim_tell (struct sim *sim, struct sim_event *e);
struct weir_id sim_digest (struct sim_node *node, const struct weir_id *db);
void sim_flush (struct sim *sim, struct sim_node *node);
void sim_drop_transfer (struct sim_node *node, struct sim_transfer *t);
void sim_node_init (struct sim *sim, unsigned index, enum weir_role role);
void sim_node_fini (struct sim_node *node);
void sim_store_start (struct sim *sim, struct sim_node *node);
void sim_store_stop (struct sim *sim, struct sim_node *node); /* the process only */
void sim_peers_start (struct sim *sim, struct sim_node *node);
void sim_peers_stop (struct sim *sim, struct sim_node *node);
void sim_node_event (struct sim *sim, struct sim_node *node, struct sim_event *event);
void sim_store_event (struct sim *sim, struct sim_node *node, struct sim_event *e);
void sim_peers_event (struct sim *sim, struct sim_node *node, struct sim_event *e);
void sim_store_dirty (struct sim *sim, struct sim_node *node); /* something to flush */
void sim_share_all (struct sim *sim, struct sim_node *node);
void sim_session (struct sim *sim, struct sim_node *node, unsigned peer, uint64_t session, bool up);
void sim_step (struct sim *sim, struct sim_node *node, const struct weir_sync_event *event);
bool sim_commit (struct sim *sim, struct sim_node *node, unsigned db, bool large, bool follow);
void sim_note_acked (struct sim_node *node, const struct weir_id *db, const struct weir_id *entry,
                     bool imported);

/* watch.c: checks on the way. Each is told what happens and fails the history when it must not. */
struct sim_view *sim_view_of (const struct sim *sim, const struct sim_node *node, unsigned peer,
                              const struct weir_id *db);
void sim_view_fini (struct sim_view *view);
unsigned sim_db_of (const struct sim *sim, const struct weir_id *db); /* SIM_DBS_MAX: none */
/* Ranges that a comparison, a question or a graft entitles the peer to. */
void sim_watch_allow (struct sim *sim, struct sim_node *node, unsigned peer,
                      const struct weir_id *db, const struct weir_ranges *ranges);
void sim_watch_novel (struct sim *sim, struct sim_node *node, const struct weir_id *db,
                      const struct weir_ranges *ranges);
/* Is about to be sent. `t` may be a standing transfer. */
void sim_watch_send (struct sim *sim, struct sim_node *node, const struct sim_transfer *t,
                     const struct weir_range *range);
/* A run came from t->peer, and the import said this of it. */
void sim_watch_body (struct sim *sim, struct sim_node *node, const struct sim_transfer *t,
                     struct weir_bytes run, const struct weir_import_result *result);
/* The peer acknowledged these as durable. */
void sim_watch_acked (struct sim *sim, struct sim_node *node, const struct sim_transfer *t,
                      const struct weir_ranges *ranges);
void sim_watch_share (struct sim *sim, struct sim_node *node, unsigned peer,
                      const struct weir_id *db, bool shared);
/* The state of a database changed, maybe. */
void sim_watch_digest (struct sim *sim, struct sim_node *node, const struct weir_id *db);
/* After a step that concerned this peer (NULL: all of this database; neither: none). */
void sim_watch_status (struct sim *sim, struct sim_node *node, const struct weir_id *device,
                       const struct weir_id *db);
void sim_watch_bounds (struct sim *sim, struct sim_node *node);
void sim_watch_rest (struct sim *sim, struct sim_node *node); /* nothing is under way any more */

/* oracle.c: checks at the end. */
bool sim_hubs_inside (const struct sim *sim);
bool sim_is_tree (const struct sim *sim);
/* Those that must agree: members by the heads of node 0, whom nobody can remove. */
bool sim_counts (struct sim *sim, const struct sim_node *node, unsigned db);
void sim_log_states (struct sim *sim);
bool sim_converged (struct sim *sim);
void sim_check_durable (struct sim *sim, struct sim_node *node);
void sim_check_end (struct sim *sim);
void sim_check_seen (struct sim *sim, const struct sim_event *e);
void sim_check_written (struct sim *sim, struct sim_node *node, struct sim_acked *acked);

/* shrink.c: prints the smallest history found that fails in the same way. */
void sim_shrink (const struct sim_setup *setup, const char *program, const char *failure);
void sim_print_command (const struct sim_setup *setup, const char *program);

/* meter.c: when entries reach the last node. */
void sim_meter_commit (struct sim *sim, const struct weir_chain *chain, uint64_t seq);
void sim_meter_arrival (struct sim *sim, const struct weir_chain *chain, uint64_t from_seq,
                        uint64_t to_seq);
void sim_meter_end (struct sim_meter *meter);

/* shapes.c: named topologies, measured. */
int sim_shapes (const char *only, bool verbose);

/* stand.c */
void sim_on_stand (struct sim_transfer *t, bool stand);
/* Feeds what stands, and tells peers. */
void sim_tell_novel (struct sim *sim, struct sim_node *node, struct sim_event *novel);

#endif
