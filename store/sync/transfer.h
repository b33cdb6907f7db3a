#ifndef WEIR_STORE_SYNC_TRANSFER_H
#define WEIR_STORE_SYNC_TRANSFER_H

/* A transfer: one direction of one database over one session, a stream of bytes (runs lie end
 * to end) cut into frames anywhere, under credit, acknowledged cumulatively when durable. Both
 * ends are pure; the store actor (and the simulator) does the reading, importing and sending.
 *
 * The sender is fed ranges; it asks its owner to read bytes for the range at hand and cuts frames,
 * as large as its owner says (pace.h), while the receiver's limit (an absolute stream offset)
 * allows. Each frame carries its offset; the last of a burst carries the sender's digest. The
 * receiver takes frames in order only: an old offset is a duplicate and dropped, a hole ends the
 * transfer (the ladder finds out what is missing).
 *
 * What was received and is not durable yet is told apart: it says what the link carries, and that
 * the other side lives. It never makes anything safe. */

#include "store/dag/vector.h"

/* ---- the sending end ---- */

struct weir_out;
struct weir_out *weir_out_new (uint64_t now_ms);
void weir_out_destroy (struct weir_out **self_p);
/* The peer's limit: an absolute offset up to which bytes may be sent. Only grows. */
void weir_out_limit (struct weir_out *self, uint64_t limit);
/* More to send, behind what is queued; `digest` is ours once all queued is sent. */
void weir_out_feed (struct weir_out *self, const struct weir_ranges *ranges,
                    const struct weir_id *digest);
/* What to read next: false when nothing is queued or `ahead` bytes are buffered. Then give the
 * bytes of whole runs from *from_seq on (weir_repo_read) with weir_out_bytes. */
bool weir_out_wants (const struct weir_out *self, size_t ahead, struct weir_range *range,
                     uint64_t *from_seq, size_t *bytes_max);
/* `next_seq` is where the range goes on (its to_seq: done). Nothing read (an error of the
 * store): next_seq = to_seq with no bytes skips the range. */
void weir_out_bytes (struct weir_out *self, struct weir_bytes runs, uint64_t next_seq);
/* The next frame of at most `bytes_max` that the limit allows: bytes borrowed until the next call;
 * false when none. *digest is zero unless this frame ends everything queued. A frame may be empty
 * but for its digest. */
bool weir_out_frame (struct weir_out *self, uint64_t now_ms, size_t bytes_max, uint64_t *offset,
                     struct weir_bytes *bytes, struct weir_id *digest);
/* Everything below `offset` was received, durable or not. WEIR_BAD_FRAME: it was never sent. */
WEIR_MUST enum weir_status weir_out_received (struct weir_out *self, uint64_t offset,
                                              uint64_t now_ms);
/* How many bytes were received (or acknowledged) since the last call. */
uint64_t weir_out_take_received (struct weir_out *self);
/* Everything below `offset` is durable at the peer. *entries is how many entries that
 * acknowledged since the last call. WEIR_BAD_FRAME for an offset that was never sent. */
WEIR_MUST enum weir_status weir_out_ack (struct weir_out *self, uint64_t offset, uint64_t now_ms,
                                         uint64_t *entries);
/* The fed ranges that are acknowledged whole since the last call, at most
 * WEIR_RANGES_PER_MESSAGE. The caller ends them. */
struct weir_ranges weir_out_take_acked (struct weir_out *self);
bool weir_out_idle (const struct weir_out *self); /* all fed is sent and acknowledged */
/* Something is in flight and nothing was received for WEIR_TRANSFER_STALL_MS. */
bool weir_out_stalled (const struct weir_out *self, uint64_t now_ms);

/* ---- the receiving end ---- */

struct weir_in;
/* The credit begins as told and becomes what is made durable in a second; it is at least
 * WEIR_CREDIT_BYTES_MIN, so that any run fits, and a limit once given is never taken back. */
struct weir_in *weir_in_new (uint64_t credit_bytes);
void weir_in_destroy (struct weir_in **self_p);
/* A frame. WEIR_OK: taken; WEIR_EXISTS: a duplicate, dropped; WEIR_GAP: a hole, give it up;
 * WEIR_BAD_FRAME: beyond the credit, too large: give it up and count it against the peer. */
WEIR_MUST enum weir_status weir_in_frame (struct weir_in *self, uint64_t offset,
                                          struct weir_bytes bytes, const struct weir_id *digest);
/* The bytes that are not consumed yet, from the front; whole runs are taken off by
 * weir_in_consume (the import decodes them; weir_run_decode says WEIR_PENDING for a part). */
struct weir_bytes weir_in_bytes (const struct weir_in *self);
void weir_in_consume (struct weir_in *self, size_t bytes);
/* What was consumed so far is now durable (the offset that was consumed when the flush was
 * made). Returns true when an acknowledgement should be sent: *offset and the new *limit. */
uint64_t weir_in_consumed (const struct weir_in *self);
bool weir_in_durable (struct weir_in *self, uint64_t offset, uint64_t now_ms, uint64_t *limit);
uint64_t weir_in_received (const struct weir_in *self); /* consumed or not */
/* The digest the sender told with the end of what is consumed; zero when none is due. Cleared
 * by the call. */
struct weir_id weir_in_digest (struct weir_in *self);
uint64_t weir_in_limit (const struct weir_in *self);

#endif
