#ifndef WEIR_STORE_BASE_LIMITS_H
#define WEIR_STORE_BASE_LIMITS_H

/* Every bound and time-out in one table. Names end in their unit. What is configuration has its
 * default here and its range in actors/runtime/settings.def. */

/* Entries and runs (page 2). */
#define WEIR_ENTRY_VERSION 1u
#define WEIR_ENTRY_DEPS_MAX 16u
#define WEIR_ENTRY_OPS_MAX (1u << 24)
#define WEIR_PAYLOAD_BYTES_MAX (1u << 20)
#define WEIR_RUN_BYTES_MAX (64u << 10) /* or one larger entry */
#define WEIR_RUN_ENTRIES_MAX 4096u
#define WEIR_RUN_HARD_BYTES_MAX (WEIR_PAYLOAD_BYTES_MAX + 4096u)
#define WEIR_MESSAGE_TEXT_BYTES_MAX 4096u /* a commit message */

/* Pending runs: what waits for prev or deps. */
#define WEIR_PENDING_BYTES_MAX (64u << 20)
#define WEIR_PENDING_RUNS_MAX 16384u
#define WEIR_REFUSED_NOTES_MAX 1024u

/* Chains that one author may begin or split in one database: at once, and for each second after
 * that; how many more may wait for their turn. */
#define WEIR_TIPS_BURST 1024u
#define WEIR_TIPS_PER_S 32u
#define WEIR_TIPS_WAITING_MAX 1024u

/* Members, databases, tickets. */
#define WEIR_MEMBERS_MAX 4096u
#define WEIR_DATABASES_MAX 65536u
#define WEIR_TICKETS_MAX 1024u
#define WEIR_TICKET_TTL_S 86400u
#define WEIR_TICKET_BYTES_MAX 2048u
#define WEIR_CARD_ADDRESSES_MAX 8u
#define WEIR_CARD_BYTES_MAX 2048u
#define WEIR_ADDRESS_BYTES_MAX 256u
#define WEIR_NAME_BYTES_MAX 128u

/* Documents. */
#define WEIR_JSON_DEPTH_MAX 64u
#define WEIR_JSON_BYTES_MAX (16u << 20)
#define WEIR_PATH_PARTS_MAX 64u
#define WEIR_KEY_BYTES_MAX 1024u
#define WEIR_PATCH_OPS_MAX 65536u
#define WEIR_LOSERS_MAX 16u                 /* concurrent losing values kept per map key */
#define WEIR_TRACKER_BYTES_MAX (256u << 20) /* what a sequence may keep for a merge */
#define WEIR_CONTAINERS_PER_PAYLOAD_MAX 65536u

/* Blobs: what is too large for an entry, in chunks of one size (the last is shorter). */
#define WEIR_CHUNK_BYTES (64u << 10)
#define WEIR_BLOB_BYTES_MAX (1u << 30)
#define WEIR_BLOB_CHUNKS_MAX (WEIR_BLOB_BYTES_MAX / WEIR_CHUNK_BYTES)
#define WEIR_MANIFEST_BYTES_MAX (9u + 32u * WEIR_BLOB_CHUNKS_MAX)
#define WEIR_BLOB_PART_BYTES (1u << 20) /* put and got by a client in one message, at most */
#define WEIR_BLOB_PART_CHUNKS (WEIR_BLOB_PART_BYTES / WEIR_CHUNK_BYTES)
#define WEIR_BLOB_KEEP_SECS 604800u                      /* content nothing visible refers to */
#define WEIR_BLOB_UPLOAD_KEEP_MS (24ull * 3600u * 1000u) /* chunks of a put that did not end */
#define WEIR_BLOB_MARK_MS 1000u                          /* between two looks at a document */

/* Fetching them: so much is asked of one peer at a time, by how fast it answers; what does not come
 * is asked of others, and bytes with another hash are not asked for again for a while. */
#define WEIR_FETCH_BYTES_FIRST (4u * WEIR_CHUNK_BYTES)
#define WEIR_FETCH_BYTES_MAX (64u * WEIR_CHUNK_BYTES)
#define WEIR_FETCH_PIECES_MAX 256u /* in one message, and asked of one peer */
#define WEIR_FETCH_FAST_MS 500u
#define WEIR_FETCH_SLOW_MS 1500u
#define WEIR_FETCH_HEDGE_MS 3000u
#define WEIR_FETCH_LATE_MS 10000u
#define WEIR_FETCH_BAN_MS 600000u
#define WEIR_FETCH_BLOBS_MAX 16u /* of which it is known what a peer lacks */

/* Clients' idempotent requests (page 1). */
#define WEIR_REQUESTS_KEPT 4096u
#define WEIR_CLIENTS_KEPT 65536u
#define WEIR_CLIENT_TTL_MS (10u * 60u * 1000u)

/* Messages between processes. */
#define WEIR_MESSAGE_META_BYTES_MAX (256u << 10)
#define WEIR_MESSAGE_BODY_BYTES_MAX (1200u << 10)
#define WEIR_MAILBOX_MESSAGES_MAX 10000u
#define WEIR_DRAIN_PER_TURN 256u
#define WEIR_UNPACK_BYTES_MAX (8u << 20) /* one decoded message in memory */

/* Supervision (page 1). */
#define WEIR_HANG_MS 2000u
#define WEIR_HANG_STORE_MS 30000u
#define WEIR_PING_MS 500u
#define WEIR_STOPPED_KILL_MS 1000u
#define WEIR_BACKOFF_MS_MIN 100u
#define WEIR_BACKOFF_MS_MAX 10000u
#define WEIR_RESTART_LIMIT 5u
#define WEIR_RESTART_WINDOW_S 120u
#define WEIR_READY_RESET_MS 5000u
#define WEIR_START_MS 30000u /* from spawn to ready; the store counts recovery as turns */
#define WEIR_STOP_MS 5000u   /* from stop to kill */
#define WEIR_TRIM_MS 1000u   /* quiet for so long after a burst: its memory is given back */

/* Links and sessions (page 3). */
#define WEIR_HEARTBEAT_MS 1000u
#define WEIR_HEARTBEAT_TIMEOUT_MS 3000u
#define WEIR_CONNECT_MS 1000u
#define WEIR_RECONNECT_MS_MIN 100u
#define WEIR_RECONNECT_MS_MAX 1000u
#define WEIR_HANDSHAKE_MS 5000u
#define WEIR_DIAL_FAST_MAX 64u
#define WEIR_LINKS_MAX 4096u
/* What a link may say a second (receipts and pieces of blobs apart), and so many seconds of it at
 * once; and of frames without a receipt, beyond what the store takes. The rest is not read. */
#define WEIR_LINK_MESSAGES_PER_S 2000u
#define WEIR_LINK_SMALL_PER_S 20000u
#define WEIR_LINK_BURST_S 4u
#define WEIR_LINK_FRAME_BYTES_PER_S (4u << 20)
#define WEIR_WIRE_MESSAGE_BYTES_MAX (1400u << 10)

/* Sync. */
#define WEIR_VECTOR_ROWS_PER_MESSAGE 1024u
#define WEIR_VECTOR_SAMPLES_MAX 64u
#define WEIR_DIGESTS_PER_MESSAGE 1024u
#define WEIR_RANGES_PER_MESSAGE 1024u
#define WEIR_LADDER_MESSAGES_MAX 4u /* rounds of vectors; the design allows 8, branches need 4 */
#define WEIR_LADDER_ROUNDS_MAX 8u   /* of the newer ladder: messages of one comparison */
#define WEIR_LADDER_BYTES_MAX (192u << 10)
#define WEIR_HEADS_MAX 64u
#define WEIR_HINT_ROWS_MAX 256u
#define WEIR_HINTS_MAX 2u          /* digests both had, remembered of a pair */
#define WEIR_WALK_RUNS_MAX 1024u   /* of what lies behind heads, or behind a hint */
#define WEIR_LACKS_MAX 12000u      /* ranges from one comparison: more are found by the next */
#define WEIR_COMPARES_MAX 32u      /* comparisons at once; others wait, by priority */
#define WEIR_SUMMARY_PAIRS_MIN 16u /* more databases shared: a summary of their digests */
#define WEIR_SUMMARY_BITS_MAX 10u
#define WEIR_BURST_DELAY_MS 5u
#define WEIR_BURST_BYTES (64u << 10)
#define WEIR_FRAME_BYTES_MIN (4u << 10)
#define WEIR_FRAME_BYTES_MAX (256u << 10)
#define WEIR_FRAME_BYTES_FIRST (16u << 10)
#define WEIR_CREDIT_BYTES (4u << 20)
/* A whole run must fit, whatever its size, or the transfer would wait for ever. */
#define WEIR_CREDIT_BYTES_MIN (WEIR_RUN_HARD_BYTES_MAX + WEIR_FRAME_BYTES_MAX)
#define WEIR_TRANSFER_STALL_MS 10000u
#define WEIR_RATE_BYTES_MIN 1024u /* a second; slower is no link */
/* Verification and import work: a byte is one unit, a run so many more (its signature). */
#define WEIR_IMPORT_RUN_UNITS 4096u
#define WEIR_IMPORT_TURN_UNITS (512u << 10)
#define WEIR_VERIFY_KB_PER_PEER (256u << 10)   /* KiB a second */
#define WEIR_PEER_BUFFER_BYTES (4u << 20)      /* not imported yet: no receipts beyond it */
#define WEIR_PEER_BUFFER_BYTES_MAX (32u << 20) /* nor anything beyond this: the transfer is lost */
#define WEIR_TRANSFERS_MAX 65536u
#define WEIR_SYNC_BACKOFF_MS_MIN 500u
#define WEIR_SYNC_BACKOFF_MS_MAX 30000u
/* A difference that arrives while data moves is looked at when it has been quiet for so long,
 * and whatever moves when it has lasted for so long. */
#define WEIR_SYNC_SETTLE_MS 250u
#define WEIR_SYNC_PATIENCE_MS 10000u
#define WEIR_SYNC_FLOW_PATIENCE_MS 60000u /* of a stream in which nothing is overdue */
#define WEIR_SYNC_HESITATE_MS 250u        /* before a comparison, where others supply too */
#define WEIR_VECTOR_PAGES_MAX 64u
#define WEIR_VECTOR_PAGE_BYTES (192u << 10)
#define WEIR_VECTOR_SAMPLES_TOTAL_MAX 65536u
#define WEIR_SYNC_QUEUE_RANGES_MAX 4096u /* novel ranges that wait for one peer */

/* The tree (page 3): chains remembered of a database and marks in one message; announcements are
 * gathered for so long; what was announced and is not here is asked for, answered within the
 * patience, or else the peer gets a strike: at the third its announcements are ignored. */
#define WEIR_TREE_CHAINS_MAX 1024u
#define WEIR_TREE_OWED_MAX 256u
#define WEIR_MARKS_PER_MESSAGE 64u
#define WEIR_WANTS_PER_MESSAGE 64u
#define WEIR_WANT_ENTRIES_MAX 16384u
#define WEIR_WANTS_IN_A_ROW_MAX 16u
#define WEIR_ANNOUNCE_DELAY_MS 10u
#define WEIR_TELL_DIGEST_MS 100u
#define WEIR_GRAFT_MS 200u
#define WEIR_GRAFT_MS_MAX 5000u
#define WEIR_GRAFT_PATIENCE_MS 3000u
#define WEIR_PRUNE_AGAIN_MS 500u
#define WEIR_GUIDE_MS 2000u /* a chain guides for so long after its last entry */
#define WEIR_GUIDE_SETTLE_MS 100u
#define WEIR_STRIKES_MAX 3u
#define WEIR_STRIKE_MS 60000u

/* Queue and retry: the original design's names (page 3). */
#define WEIR_MAX_QUEUE_SIZE 1000u
#define WEIR_MAX_QUEUE_AGE_SECS 300u
#define WEIR_BATCH_SIZE 4096u
#define WEIR_CHECK_INTERVAL_SECS 30u
#define WEIR_MAX_ATTEMPTS 10u
#define WEIR_RETRY_DELAY_S_MAX 64u
#define WEIR_PARKED_DAYS 30u
#define WEIR_HISTORY_ROWS_MAX 10000u
#define WEIR_HISTORY_DAYS 90u

/* Presence: what one device may have in one database, what a database may hold of all, how far
 * and how long it goes; a database's whole list fits into one message. */
#define WEIR_PRESENCE_KEY_BYTES_MAX 128u
#define WEIR_PRESENCE_VALUE_BYTES_MAX 4096u
#define WEIR_PRESENCE_DEVICE_KEYS_MAX 16u
#define WEIR_PRESENCE_DEVICE_BYTES_MAX (8u << 10)
#define WEIR_PRESENCE_WRITERS_MAX 256u
#define WEIR_PRESENCE_ITEMS_MAX 512u
#define WEIR_PRESENCE_BYTES_MAX (128u << 10)
#define WEIR_PRESENCE_ITEMS_PER_MESSAGE 32u
#define WEIR_PRESENCE_HOPS_MAX 8u
#define WEIR_PRESENCE_TTL_MS 30000u     /* of a copy, from its last refresh */
#define WEIR_PRESENCE_REFRESH_MS 10000u /* all of a writer's in one message */
#define WEIR_PRESENCE_FLUSH_MS 30u      /* changes within it go in one message, the last of a key */
#define WEIR_PRESENCE_GONE_MS 60000u
#define WEIR_PRESENCE_LIFE_S 300u /* of a value that was set, unless said otherwise */
#define WEIR_PRESENCE_LIFE_S_MAX 86400u
#define WEIR_PRESENCE_WRITER_PER_S 400u /* items; twice as many at once */
#define WEIR_PRESENCE_SESSION_PER_S 4000u

/* Tap. */
#define WEIR_TAP_RATE_PER_S 1000u
#define WEIR_TAP_SECONDS 300u
#define WEIR_TAPS_MAX 8u

/* Paths. */
#define WEIR_IPC_PATH_MAX 107u

#endif
