#ifndef WEIR_BROKER_NOTIFY_H
#define WEIR_BROKER_NOTIFY_H

/* sd_notify(3) without libsystemd: a datagram to $NOTIFY_SOCKET. Nothing happens without it. */

#include <stdint.h>

struct weir_notify {
    char path[108];       /* "" : nobody listens */
    uint64_t watchdog_ms; /* how often to say WATCHDOG=1; 0: never */
};

/* Reads and removes NOTIFY_SOCKET and WATCHDOG_USEC: children must not speak for us. */
void weir_notify_init (struct weir_notify *n);
void weir_notify_say (const struct weir_notify *n, const char *text);

#endif
