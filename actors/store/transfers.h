#ifndef WEIR_ACTORS_STORE_TRANSFERS_H
#define WEIR_ACTORS_STORE_TRANSFERS_H

/* The inside of transfers at the store, shared by store_transfer.c (the table; opened, changed and
 * stopped by peers), store_sending.c and store_receiving.c. Nobody else includes it. */

#include "actors/store/state.h"
#include "store/sync/pace.h"

struct store_transfer {
    struct store_transfer *next;
    struct store_transfer *next_busy;
    uint64_t session;
    uint64_t number;
    uint64_t link;
    struct weir_mailbox_id mailbox;
    struct weir_id device;
    struct weir_id db;
    bool is_out;
    bool started;
    bool stands; /* fed here with what is novel */
    bool is_busy;
    bool receipts; /* the other node knows what a receipt is */
    struct weir_pace_flow *flow;
    struct weir_out *out;
    struct weir_in *in;
    struct weir_buf stuck; /* a frame the transport's mailbox had no room for */
    uint64_t stuck_offset;
    struct weir_id stuck_digest;
    bool is_stuck;
    bool is_early;               /* what it is to send is not synced yet */
    struct weir_id their_digest; /* told with the byte at digest_offset */
    uint64_t digest_offset;
    /* In: consumed in the turn at hand; flushed since the batch that is waited for; waited for.
     * Only the last may be acknowledged, and only once its batch is synced. */
    uint64_t open_offset;
    bool is_open;
    uint64_t flushed_offset;
    uint64_t flushed_batch;
    bool is_flushed;
    uint64_t batch_offset;
    uint64_t batch;
    bool waits;
    /* In: to be said, again when a mailbox was full. */
    uint64_t ack_offset;
    uint64_t ack_limit;
    bool owes_ack;
    bool owes_receipt;
    uint64_t told_received;
    bool owes_arrived;
    uint64_t new_entries;
    uint64_t again;          /* entries that were held already, */
    struct weir_ranges held; /* and some of those */
    bool gap;
    /* Out: peers fed it and waits to hear that all is acknowledged; what it was not told yet. */
    bool fed;
    bool owes_acked;
    uint64_t told_ms; /* peers, of anything */
    uint64_t acked_offset;
    uint64_t told_offset; /* both ways: bytes of the stream that peers heard of */
    uint64_t acked_entries;
    struct weir_id acked_digest;
};

/* ---- store_transfer.c ---- */
struct store_transfer *store_transfer_find (struct store *s, uint64_t session, uint64_t number,
                                            bool is_out);
/* By what the wire names; the mailbox is the broker's stamp, the link the transport's. */
struct store_transfer *store_transfer_on_link (struct store *s,
                                               const struct weir_mailbox_id *mailbox, uint64_t link,
                                               uint64_t number, bool is_out);
/* Gives up and tells peers, whose ladder finds out what is missing. Frees it. */
void store_transfer_lose (struct store *s, struct store_transfer *t, enum weir_status why);
/* It is looked at when the turn ends and when something is synced, for as long as it needs to. */
void store_transfer_busy (struct store *s, struct store_transfer *t);

/* ---- store_sending.c ---- */
void store_send_turn (struct store *s);
/* Says what waits to be said; false when a mailbox is full: to be tried again. */
bool store_send_owed (struct store *s, struct store_transfer *t);

/* ---- store_receiving.c ---- */
void store_receive_turn (struct store *s);
bool store_receive_owed (struct store *s, struct store_transfer *t);
void store_receive_flushed (struct store_transfer *t, uint64_t batch);
void store_receive_synced (struct store *s, struct store_transfer *t, uint64_t synced);

#endif
