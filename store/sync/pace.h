#ifndef WEIR_STORE_SYNC_PACE_H
#define WEIR_STORE_SYNC_PACE_H

/* Who is served next, and how much: fair shares of work among transfers. Pure; the store actor and
 * the simulator have one for what they send and one for what they import.
 *
 * A flow is a transfer's place in it. Flows of one peer and one priority share a turn, and turns
 * go round by deficit round robin (Shreedhar and Varghese, "Efficient Fair Queuing using Deficit
 * Round Robin", 1995): high, normal and low get 16 : 4 : 1 of what is contended, nobody gets
 * nothing, and a thousand databases of one peer weigh no more than one of another's. What cannot
 * be cut (a run) may overdraw; it is paid back.
 *
 * Token buckets limit units a second of a flow, of each peer, and of all.
 *
 * A sending pace has windows, too: of each peer, what is on its way is at most what its link
 * carries in a quarter of a second and two round trips, so that what is urgent waits behind
 * little; a piece is at most what it carries in 250 ms. Units are bytes there; an importing pace
 * counts verification work. */

#include "store/base/id.h"
#include "store/base/limits.h"

struct weir_pace;
struct weir_pace_flow;

enum weir_priority { WEIR_PRIORITY_HIGH = 0, WEIR_PRIORITY_NORMAL = 1, WEIR_PRIORITY_LOW = 2 };

struct weir_pace *weir_pace_new (bool has_windows);
/* All flows must be gone. */
void weir_pace_destroy (struct weir_pace **self_p);
/* Units a second; 0: no limit. Less than WEIR_RATE_BYTES_MIN counts as that. */
void weir_pace_limit (struct weir_pace *self, uint64_t each_peer, uint64_t in_all);

/* `owner` is what weir_pace_next gives. A priority that is none counts as normal. */
struct weir_pace_flow *weir_pace_flow_new (struct weir_pace *self, const struct weir_id *peer,
                                           void *owner);
void weir_pace_flow_destroy (struct weir_pace *self, struct weir_pace_flow **flow_p);
void weir_pace_flow_set (struct weir_pace *self, struct weir_pace_flow *flow, uint32_t priority,
                         uint64_t rate);
/* Its peer does not tell what came through before it is durable (protocol 1): no windows for it. */
void weir_pace_deaf (struct weir_pace_flow *flow);
/* It has something to do; said twice is said once. */
void weir_pace_ready (struct weir_pace *self, struct weir_pace_flow *flow);

/* The owner to be served now, and how much at most; NULL: none may. */
void *weir_pace_next (struct weir_pace *self, uint64_t now_ms, size_t *units_max);
/* What it took (more than allowed is paid back later); `more`: it goes on having something. To be
 * said before the next is asked for. */
void weir_pace_used (struct weir_pace *self, struct weir_pace_flow *flow, uint64_t units,
                     bool more);
/* When a flow that waits for tokens or for a silent link may go on; UINT64_MAX: none does. As of
 * the last weir_pace_next that gave NULL. */
uint64_t weir_pace_due_ms (const struct weir_pace *self);

/* What waits because of this flow: bytes on their way, or bytes that came and are not imported. */
void weir_pace_load (struct weir_pace *self, struct weir_pace_flow *flow, uint64_t bytes,
                     uint64_t now_ms);
/* So much of it is through: with windows, that is how the link is measured. */
void weir_pace_unload (struct weir_pace *self, struct weir_pace_flow *flow, uint64_t bytes,
                       uint64_t now_ms);
uint64_t weir_pace_peer_load (const struct weir_pace_flow *flow); /* of all the peer's flows */
uint64_t weir_pace_window (const struct weir_pace_flow *flow);
/* Most bytes in one frame: a quarter of a second of the link. */
size_t weir_pace_frame_bytes (const struct weir_pace_flow *flow);

#endif
