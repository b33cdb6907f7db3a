#ifndef WEIR_ACTORS_STORE_STATE_H
#define WEIR_ACTORS_STORE_STATE_H

/* The store actor's state, shared by its files: store.c (start, group commit, dispatch),
 * store_db.c (databases and members), store_doc.c (documents), store_past.c (their versions),
 * store_blob.c and store_fetch.c (content of blobs), store_file.c (exports and imports),
 * store_log.c (log and feed), store_node.c (node state, keys, cards, leases), store_ticket.c,
 * store_sync.c (compare), store_transfer.c, store_sending.c, store_receiving.c (transfers).
 * Nothing here is for other actors. */

#include "actors/runtime/actor.h"
#include "store/base/map.h"
#include "store/repo/repo.h"
#include "store/sync/pace.h"
#include "store/sync/transfer.h"

struct store_transfer;
struct store_watch;
struct store_fetch;

/* An answer that waits until its batch is synced to disk. */
struct store_pending {
    uint64_t batch;  /* of the turn's flush; 0 when nothing was written since the start */
    bool is_flushed; /* false: of the turn at hand */
    struct weir_envelope request;
    enum weir_status status;
    struct weir_buf meta; /* packed answer, or Problem */
    struct weir_buf body;
};

struct store {
    struct weir_actor *actor;
    struct weir_kv *kv;
    struct weir_tips *tips;
    struct weir_repo *repo;
    struct weir_identity identity;
    struct weir_paths paths;
    char name[WEIR_NAME_BYTES_MAX + 1];

    struct store_pending *pending; /* in order of batch */
    size_t n_pending;
    size_t cap_pending;
    uint64_t batch_last;

    uint64_t told_position; /* of the arrival log: told to peers up to here */
    bool peers_up;
    bool tell_again; /* a full mailbox refused a NOVEL */

    bool disk_full;
    uint64_t disk_checked_ms;
    uint64_t disk_free_bytes;
    uint64_t disk_used_bytes;   /* by the content of blobs, since it was looked at .. */
    uint64_t disk_coming_bytes; /* .. and in the time before: it may not have been on disk yet */

    struct store_transfer *transfers; /* list */
    struct store_transfer *busy;      /* those a turn's end, or a sync, has to look at */
    struct weir_map *by_session;      /* NULL until the first */
    struct weir_map *by_link;
    struct weir_pace *sending;   /* whose frame leaves next */
    struct weir_pace *importing; /* whose run is verified next */
    uint32_t n_transfers;
    uint32_t n_standing;
    uint64_t pump_timer;
    uint64_t pump_ms;     /* when it fires */
    uint64_t pump_due_ms; /* of the turn at hand */
    uint64_t watch_transfers;

    struct store_fetch *fetch; /* of the content of blobs */

    struct store_watch *watches; /* list */
    uint64_t watch_timer;
    uint64_t work_timer;

    uint64_t commits;
    uint64_t imports;
    uint64_t refused;
    uint64_t refused_told_ms; /* told once a second at most: a peer may send thousands */
    uint64_t author_told_ms;  /* .. of those who split chains, or begin too many */
    uint64_t frames_dropped;
    uint64_t members_epoch;
};

/* ---- answers ---- */

/* Answers at once (a read). */
void store_answer (struct store *s, const struct weir_envelope *request,
                   const ProtobufCMessage *meta);
void store_fail (struct store *s, const struct weir_envelope *request, enum weir_status status,
                 const struct weir_error *e);
/* Answers once all that was written so far is on disk. `client` (16 bytes) and `number`, when
 * given, make the answer the one any resend gets. */
void store_answer_synced (struct store *s, const struct weir_envelope *request,
                          const ProtobufCMessage *meta, struct weir_bytes client, uint64_t number);
/* With a body, which is moved. */
void store_answer_synced_body (struct store *s, const struct weir_envelope *request,
                               const ProtobufCMessage *meta, struct weir_buf *body);
/* A resend of a numbered request: answers it again (once synced) and returns true. False also
 * when the request is not numbered; true with an error answer when the number is malformed. */
bool store_answered_before (struct store *s, const struct weir_envelope *request, bool has_client,
                            ProtobufCBinaryData client, uint64_t number);
/* A database as typed. Fails the request itself on an error. */
bool store_resolve (struct store *s, const struct weir_envelope *request, bool has,
                    ProtobufCBinaryData text, struct weir_id *db);
/* May anything be written now (disk)? Fails the request itself when not. */
bool store_writable (struct store *s, const struct weir_envelope *request);
/* Content of a blob was stored: it counts as used before the disk is looked at again, as it comes
 * faster than that. */
void store_disk_uses (struct store *s, size_t bytes);
struct weir_id store_digest (struct store *s, const struct weir_id *db);
/* Answers at once with a body in parts, as large as it is; `meta` goes with each. */
void store_answer_body (struct store *s, const struct weir_envelope *request,
                        const ProtobufCMessage *meta, struct weir_bytes body);

/* ---- documents ---- */

/* A document at some version: the newest is the repository's, an older one the caller's. */
struct store_version {
    struct weir_doc *doc;
    bool is_owned;
};
/* `names`: entries by id or unique prefix; none: the newest version. */
WEIR_MUST enum weir_status store_version_get (struct store *s, const struct weir_id *db,
                                              const ProtobufCBinaryData *names, size_t n_names,
                                              struct store_version *out, struct weir_error *e);
void store_version_fini (struct store_version *v);
/* Their ids, sorted as given; *heads is the caller's. WEIR_NOT_FOUND, WEIR_AMBIGUOUS. */
WEIR_MUST enum weir_status store_heads_get (struct store *s, const struct weir_id *db,
                                            const ProtobufCBinaryData *names, size_t n_names,
                                            struct weir_id **heads, struct weir_error *e);
/* Commits what the edit holds as one entry. *unchanged: there was nothing to say. */
WEIR_MUST enum weir_status store_seal (struct store *s, const struct weir_id *db,
                                       struct weir_edit *edit, struct weir_bytes text,
                                       struct weir_buf *payload, struct weir_id *entry,
                                       bool *unchanged, struct weir_error *e);
/* A commit's message; WEIR_INVALID_ARGUMENT. */
WEIR_MUST enum weir_status store_commit_text (bool has, ProtobufCBinaryData field,
                                              struct weir_bytes *out, struct weir_error *e);

/* The ranges of a transfer in the order in which they should leave; appends to *out. */
void store_order (struct store *s, const struct weir_id *db, const struct weir_ranges *ranges,
                  struct weir_ranges *out);

/* Fills ranges of a message; how many entries they hold. */
uint64_t store_put_ranges (struct weir_arena *arena, const struct weir_ranges *ranges,
                           Weir__Range ***out, size_t *n_out);

/* What runs of a sender wait for. */
void store_put_missing (struct store *s, struct weir_arena *arena, const struct weir_id *db,
                        const struct weir_id *source, Weir__TransferArrived *m);

/* ---- told by store.c when a batch became durable ---- */
void store_tell_novel (struct store *s);
void store_watch_synced (struct store *s);
void store_watches_drop (struct store *s);
void store_transfer_synced (struct store *s, uint64_t synced);
void store_transfer_pump (struct store *s);
/* The standing transfers that get what is novel from here: named in what peers is told, fed once
 * it was told. */
void store_transfer_name (struct store *s, const struct weir_log_row *row,
                          const struct weir_ranges *ranges, struct weir_arena *arena,
                          Weir__Novel *m);
void store_transfer_feed (struct store *s, const struct weir_log_row *row,
                          const struct weir_ranges *ranges, const struct weir_id *digest);
/* All, or those over one transport that went. Peers knows why by itself. */
void store_transfer_drop_all (struct store *s, const struct weir_mailbox_id *mailbox);
void store_transfers_fini (struct store *s);
void store_transfer_flushed (struct store *s, uint64_t batch);
void store_tickets_tell (struct store *s);
void store_joins_tell (struct store *s);
void store_rights_changed (struct store *s, const struct weir_id *db);

/* ---- store_fetch.c: content of blobs, from and to other nodes ---- */
struct store_fetch *store_fetch_new (void);
void store_fetch_destroy (struct store_fetch **self_p);
void store_fetch_turn (struct store *s); /* at a turn's end, before it is flushed */
void store_fetch_flushed (struct store *s, uint64_t batch);
void store_fetch_synced (struct store *s, uint64_t synced);
void store_fetch_drop_all (struct store *s, const struct weir_mailbox_id *mailbox);
void store_fetch_peers_up (struct store *s);
/* Adds who may have what is missing to an error's hint. */
void store_fetch_explain (struct store *s, const struct weir_id *db, struct weir_error *e);

/* ---- handlers, by kind ---- */
#define STORE_HANDLER(name)                                                                        \
    void store_##name (void *state, struct weir_actor *actor, const struct weir_message *message)
STORE_HANDLER (db_create);
STORE_HANDLER (db_list);
STORE_HANDLER (db_show);
STORE_HANDLER (db_share);
STORE_HANDLER (db_join);
STORE_HANDLER (db_members);
STORE_HANDLER (db_grant);
STORE_HANDLER (db_forget);
STORE_HANDLER (db_verify);
STORE_HANDLER (db_watch);
STORE_HANDLER (db_leave);
STORE_HANDLER (db_export);
STORE_HANDLER (db_import);
STORE_HANDLER (doc_get);
STORE_HANDLER (doc_set);
STORE_HANDLER (doc_remove);
STORE_HANDLER (doc_apply);
STORE_HANDLER (doc_log);
STORE_HANDLER (doc_heads);
STORE_HANDLER (doc_conflicts);
STORE_HANDLER (doc_diff);
STORE_HANDLER (doc_revert);
STORE_HANDLER (entry_show);
STORE_HANDLER (status);
STORE_HANDLER (key_show);
STORE_HANDLER (open);
STORE_HANDLER (state_get);
STORE_HANDLER (state_put);
STORE_HANDLER (sign_proof);
STORE_HANDLER (card_sign);
STORE_HANDLER (db_rights);
STORE_HANDLER (compare);
STORE_HANDLER (ladder);
STORE_HANDLER (entries_find);
STORE_HANDLER (transfer_open);
STORE_HANDLER (transfer_set);
STORE_HANDLER (transfer_start);
STORE_HANDLER (transfer_send);
STORE_HANDLER (transfer_stop);
STORE_HANDLER (ticket_redeem);
STORE_HANDLER (lag);
STORE_HANDLER (db_joined);
STORE_HANDLER (blob_part);
STORE_HANDLER (blob_put);
STORE_HANDLER (blob_get);
STORE_HANDLER (blob_peer);
STORE_HANDLER (blob_hear);
STORE_HANDLER (blob_piece_in);
STORE_HANDLER (lease);
STORE_HANDLER (frame_in);
STORE_HANDLER (ack_in);

#endif
