#ifndef WEIR_ACTORS_TRANSPORT_TRANSPORT_H
#define WEIR_ACTORS_TRANSPORT_TRANSPORT_H

/* The transport actor's program: holds links of one kind (CURVE) to other nodes. It never holds
 * the signing key and never decides what is synced. */

/* As the broker starts it. Returns the exit code. */
int weir_transport_run (int argc, char **argv);

#endif
