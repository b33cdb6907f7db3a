#ifndef WEIR_ACTORS_RETRY_RETRY_H
#define WEIR_ACTORS_RETRY_RETRY_H

/* The retry actor's program: what must be tried again, when, and how often. It remembers that a
 * peer is behind, never the bytes it lacks. */

#include "actors/runtime/actor.h"

/* As the broker starts it. Returns the exit code. */
int weir_retry_run (int argc, char **argv);

extern const struct weir_actor_def retry_def; /* for the tests */

#endif
