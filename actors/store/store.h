#ifndef WEIR_ACTORS_STORE_STORE_H
#define WEIR_ACTORS_STORE_STORE_H

/* The store actor's program, and what it does without a node. */

/* As the broker starts it. Returns the exit code. */
int weir_store_run (int argc, char **argv);
/* `weir-store init|verify|repair|protect [--data DIR] ...`: on the data directory itself, no
 * node running (it takes the store's lock). Results on stdout. Returns the exit code. */
int weir_store_offline (int argc, char **argv);

#endif
