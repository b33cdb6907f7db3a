#ifndef WEIR_TESTS_SIM_SIM_H
#define WEIR_TESTS_SIM_SIM_H

/* The seeded simulator: whole nodes (repository on the memory kv, synchronizer, transfers,
 * retry) in one process, under virtual time, with every fault a network and a disk can make.
 * One seed is one history, exactly repeatable. See world.c for what happens in one, oracle.c
 * for what is checked. */

#include "store/base/heap.h"
#include "store/base/map.h"
#include "store/repo.h"
#include "store/sync/retry.h"
#include "store/sync/sync.h"
#include "store/sync/transfer.h"

#define SIM_DBS_MAX 2
#define SIM_INTERVAL_MS 30000u
#define SIM_POLL_MS 250u
#define SIM_LIVE_MS 4000u /* for a commit to be everywhere, without faults, joins included */

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
    bool up;
};

struct sim_link {
    unsigned a;
    unsigned b;
    bool wanted;      /* the topology has it */
    bool cut;         /* no session can be */
    bool blocked[2];  /* a -> b, b -> a: lost without a word */
    uint64_t session; /* 0: none */
    uint64_t latency_ms;
    uint64_t last_ms[2]; /* of the last delivery, so that order holds */
};

struct sim_transfer {
    struct sim_transfer *next;
    uint64_t session;
    uint64_t number;
    unsigned peer;
    struct weir_id db;
    struct weir_out *out; /* one of the two */
    struct weir_in *in;
    bool started;
    bool fed;
    bool waits;     /* out: what is to be read is not synced yet */
    uint64_t batch; /* in: to be acknowledged with it */
    uint64_t batch_offset;
    uint64_t entries;
    uint64_t again;
    struct weir_ranges held_already; /* in: some of where */
    struct weir_id told;
    bool gap;
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

struct sim_node {
    unsigned index;
    enum weir_role role;
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
    struct sim_event **compares; /* wait for the disk */
    size_t n_compares;
    size_t compares_cap;
    struct weir_kv *backup_kv;
    struct weir_buf backup_tips;
    size_t backup_acked;
    bool rolled_back; /* its key may write one seq twice */
    bool removed;
    bool joined;
    bool online; /* neither part was told to stay down */
    /* counts */
    uint64_t entries_new;
    uint64_t entries_again;
    uint64_t messages; /* said, but DIGESTS */
    uint64_t digests;
    uint64_t frames;
};

struct sim_stats {
    uint64_t histories;
    uint64_t events;
    uint64_t commits;
    uint64_t entries_new;
    uint64_t entries_again;
    uint64_t messages;
    uint64_t crashes;
    uint64_t lost;
    uint64_t forks; /* chains that got a tip more */
    uint64_t pending;
    uint64_t refused;
    uint64_t ladders;
    uint64_t slowest_ms; /* from the end of faults to convergence */
};

struct sim {
    uint64_t seed;
    bool verbose;
    struct weir_rand rand;
    uint64_t now_ms;
    uint64_t order;
    struct weir_heap events;
    struct sim_node *nodes;
    unsigned n_nodes;
    struct sim_link *links;
    unsigned n_links;
    struct weir_map *by_device; /* device -> node */
    struct weir_map *by_ends;   /* two nodes -> link */
    unsigned topology;
    struct weir_id dbs[SIM_DBS_MAX];
    unsigned n_dbs;
    unsigned late;         /* joins after the others; 0: none */
    unsigned loss_percent; /* of any message, with reorder and repetition */
    bool faults;           /* this history has them */
    bool silent;           /* something was lost without a word: the check interval finds it */
    bool quiet;            /* they are over */
    uint64_t end_of_faults_ms;
    uint64_t next_session;
    struct weir_map *written; /* db, author, lane, seq -> entry id */
    struct sim_stats *stats;
    char failure[512];
};

/* world.c */
bool sim_run (uint64_t seed, bool verbose, struct sim_stats *stats, char failure[512]);
void sim_post (struct sim *sim, struct sim_event *event, uint64_t at_ms); /* moved */
struct sim_event *sim_event_new (enum sim_event_type type, unsigned node);
void sim_event_free (struct sim_event *event);
/* Over the link of the event's session, towards event->node. */
void sim_send (struct sim *sim, struct sim_event *event);
void sim_fail (struct sim *sim, const char *format, ...) WEIR_PRINTF (2, 3);
struct sim_link *sim_link_between (const struct sim *sim, unsigned a, unsigned b);
/* NULL: no node of this history. */
struct sim_node *sim_peer (const struct sim *sim, const struct weir_id *device);
void sim_log (const struct sim *sim, const char *format, ...) WEIR_PRINTF (2, 3);

void sim_script (struct sim *sim, enum sim_script what, unsigned node, uint64_t at_ms);
void sim_connect (struct sim *sim, struct sim_link *link);
void sim_end_session (struct sim *sim, struct sim_link *link);
unsigned sim_below (struct sim *sim, unsigned n);
bool sim_chance (struct sim *sim, unsigned percent);

/* script.c: people, disks and power. */
void sim_run_script (struct sim *sim, const struct sim_event *e);
/* True when it was done in any database. */
bool sim_change_member (struct sim *sim, struct sim_node *by, unsigned who, enum weir_right right);

/* transfer.c: the store's transfers. */
void sim_pump (struct sim *sim, struct sim_node *node, struct sim_transfer *t);
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

/* oracle.c */
bool sim_hubs_inside (struct sim *sim);
void sim_log_states (struct sim *sim);
bool sim_converged (struct sim *sim);
void sim_check_durable (struct sim *sim, struct sim_node *node);
void sim_check_end (struct sim *sim);
void sim_check_seen (struct sim *sim, const struct sim_event *e);
void sim_check_written (struct sim *sim, struct sim_node *node, struct sim_acked *acked);

#endif
