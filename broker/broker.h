#ifndef WEIR_BROKER_BROKER_H
#define WEIR_BROKER_BROKER_H

/* The parent of a node's processes. `weir-broker [--data DIR] [--ready-fd N]` starts the store,
 * then retry and peers, then the transports; routes messages between them and clients; restarts
 * what dies; ends them in reverse order on SIGTERM, SIGINT or a client's request. With
 * --ready-fd it writes "ready\n" there when all are ready for the first time. Returns the exit
 * code of `weir run` (page 5). */
int weir_broker_run (int argc, char **argv);

#endif
