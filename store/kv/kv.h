#ifndef WEIR_STORE_KV_KV_H
#define WEIR_STORE_KV_KV_H

/* Ordered bytes on disk: a port with two sides. LevelDB for nodes, memory for tests and the
 * simulator; both keep the same promises, and one conformance test holds for both.
 *
 * Writes: weir_kv_write hands over a batch. It is readable at once (all or nothing, from an
 * overlay in memory), written to disk by the committer thread in order, and durable once
 * weir_kv_synced reaches its number. Batches that queue up while the disk is busy are written
 * and synced together. The caller's thread never waits for the disk, except in weir_kv_wait
 * and weir_kv_close, and when more than WEIR_KV_BACKLOG_BYTES_MAX wait to be written.
 *
 * Failure: the first error of the committer is kept (weir_kv_status: WEIR_IO_ERROR,
 * WEIR_DISK_FULL, WEIR_CORRUPT); nothing later is written or reported as synced. What is written
 * then stays readable in memory until the kv is closed, without a bound: stop writing.
 *
 * Threads: a kv, its batches and its iterators belong to one thread, and every function here is
 * for that thread. The committer is the kv's own, blocks all signals and calls nobody. */

#include "store/base/bytes.h"

#define WEIR_KV_BACKLOG_BYTES_MAX (64u << 20)

struct weir_kv;
struct weir_kv_batch;
struct weir_kv_iter;

/* LevelDB in directory `path` (made, mode 0700, when absent and `create`). paranoid_checks and
 * checksum verification on, bloom filter, zlib-free (snappy as Debian builds it).
 * WEIR_CORRUPT with a hint (weir db repair); WEIR_ALREADY_RUNNING when another process holds
 * it; WEIR_NOT_FOUND; WEIR_READ_ONLY; WEIR_DISK_FULL; WEIR_IO_ERROR. */
WEIR_MUST enum weir_status weir_kv_open (struct weir_kv **out, const char *path, bool create,
                                         struct weir_error *e);
/* LevelDB's own repair (drops what cannot be read; a key whose last record is lost may show an
 * older one, or come back), to be followed by repo's. Blocks. WEIR_NOT_FOUND where there is
 * nothing to repair, and weir_kv_open's. */
WEIR_MUST enum weir_status weir_kv_salvage (const char *path, struct weir_error *e);
/* Writes out what waits, syncs, joins the thread. After a failure it only closes. */
void weir_kv_close (struct weir_kv **self_p);

struct weir_kv_batch *weir_kv_batch_new (void);
void weir_kv_batch_destroy (struct weir_kv_batch **self_p);
void weir_kv_put (struct weir_kv_batch *b, struct weir_bytes key, struct weir_bytes value);
void weir_kv_delete (struct weir_kv_batch *b, struct weir_bytes key);
size_t weir_kv_batch_bytes (const struct weir_kv_batch *b);

/* Takes the batch. Returns its number, counting from 1 at each open; an empty batch is numbered
 * too (its number is synced when all before it are: at once, and without an event, when nothing
 * waits). */
uint64_t weir_kv_write (struct weir_kv *self, struct weir_kv_batch **batch_p);
uint64_t weir_kv_synced (const struct weir_kv *self);
/* Readable (poll) when synced advanced or the status changed; -1 for the memory twin, whose
 * writes are synced by weir_kv_memory_sync. weir_kv_clear_event takes the event. */
int weir_kv_event_fd (const struct weir_kv *self);
void weir_kv_clear_event (struct weir_kv *self);
/* Blocks until `number`, which was given, is synced or the committer failed. The twin syncs. */
WEIR_MUST enum weir_status weir_kv_wait (struct weir_kv *self, uint64_t number);
enum weir_status weir_kv_status (const struct weir_kv *self);

/* Appends the value to *out (may be NULL to test for presence). WEIR_NOT_FOUND, WEIR_CORRUPT,
 * WEIR_IO_ERROR. */
WEIR_MUST enum weir_status weir_kv_get (struct weir_kv *self, struct weir_bytes key,
                                        struct weir_buf *out);

/* Forward or backward over keys in memcmp order, within [from, to) (an empty `to` = to the
 * end). An iterator sees the state at its creation, whatever is written or synced meanwhile; it
 * must be destroyed before the kv is closed. Slices are valid until the next call on the
 * iterator; either may be NULL. */
struct weir_kv_iter *weir_kv_iter_new (struct weir_kv *self, struct weir_bytes from,
                                       struct weir_bytes to, bool backward);
void weir_kv_iter_destroy (struct weir_kv_iter **self_p);
/* false at the end or on an error (weir_kv_iter_status tells). */
bool weir_kv_iter_next (struct weir_kv_iter *self, struct weir_bytes *key,
                        struct weir_bytes *value);
enum weir_status weir_kv_iter_status (const struct weir_kv_iter *self);

/* Approximate bytes on disk (0 for memory). */
uint64_t weir_kv_disk_bytes (struct weir_kv *self);

/* The memory twin. weir_kv_memory_sync makes all written batches synced; weir_kv_memory_crash
 * gives what a disk would hold after power loss: a new kv with the synced batches and the first
 * `keep` of the unsynced ones; the old one stays open. weir_kv_memory_fail makes the next
 * writes fail as a disk would (WEIR_OK heals). */
struct weir_kv *weir_kv_memory_new (void);
void weir_kv_memory_sync (struct weir_kv *self);
struct weir_kv *weir_kv_memory_crash (const struct weir_kv *self, size_t keep);
/* A whole copy, as a backup of the directory would be. */
struct weir_kv *weir_kv_memory_copy (const struct weir_kv *self);
void weir_kv_memory_fail (struct weir_kv *self, enum weir_status status);

#endif
