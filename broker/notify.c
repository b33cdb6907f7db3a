/* What the service manager is told: ready, stopping, alive. Called by broker.c. */

#include "broker/notify.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void
weir_notify_init (struct weir_notify *n)
{
    memset (n, 0, sizeof *n);
    const char *path = getenv ("NOTIFY_SOCKET");
    const char *usec = getenv ("WATCHDOG_USEC");
    if (path != NULL && (path[0] == '/' || path[0] == '@') && strlen (path) < sizeof n->path) {
        (void) snprintf (n->path, sizeof n->path, "%s", path);
        n->watchdog_ms = usec == NULL ? 0 : strtoull (usec, NULL, 10) / 2000u;
    }
    (void) unsetenv ("NOTIFY_SOCKET");
    (void) unsetenv ("WATCHDOG_USEC");
    (void) unsetenv ("WATCHDOG_PID");
}

void
weir_notify_say (const struct weir_notify *n, const char *text)
{
    if (n->path[0] == '\0') {
        return;
    }
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    size_t len = strlen (n->path);
    memcpy (to.sun_path, n->path, len);
    if (to.sun_path[0] == '@') {
        to.sun_path[0] = '\0'; /* the abstract name space */
    }
    int fd = socket (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        ssize_t sent = sendto (fd, text, strlen (text), MSG_DONTWAIT | MSG_NOSIGNAL,
                               (const struct sockaddr *) &to,
                               (socklen_t) (offsetof (struct sockaddr_un, sun_path) + len));
        (void) sent; /* a manager that does not listen is not our trouble */
        (void) close (fd);
    }
}
