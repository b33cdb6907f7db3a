#ifndef WEIR_ACTORS_PEERS_PEERS_H
#define WEIR_ACTORS_PEERS_PEERS_H

/* The peers actor's program: who we know and on what terms, sessions, the synchronizer. It
 * touches neither disk nor network: its state goes through the store, its words through
 * transports. */

/* As the broker starts it. Returns the exit code. */
int weir_peers_run (int argc, char **argv);

#endif
