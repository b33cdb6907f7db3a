/* The proxy before the nodes of a network: who is at the other end of a connection is read from
 * /proc, so that a node needs one address only, and each pair can have its own weather. */

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/integration/net.h"

/* The inode of the socket whose local port this is; 0: none. */
static unsigned long
inode_of (uint16_t port)
{
    char line[512];
    unsigned long found = 0;
    FILE *f = fopen ("/proc/net/tcp", "re");
    while (f != NULL && found == 0 && fgets (line, sizeof line, f) != NULL) {
        unsigned local;
        unsigned long inode;
        if (sscanf (line, " %*d: %*x:%x %*x:%*x %*x %*x:%*x %*x:%*x %*x %*d %*d %lu", &local,
                    &inode)
                == 2
            && local == port) {
            found = inode;
        }
    }
    if (f != NULL) {
        fclose (f);
    }
    return found;
}

static bool
holds (const char *pid, unsigned long inode)
{
    char path[300];
    char wanted[64];
    char link[64];
    bool found = false;
    snprintf (wanted, sizeof wanted, "socket:[%lu]", inode);
    snprintf (path, sizeof path, "/proc/%s/fd", pid);
    DIR *dir = opendir (path);
    for (struct dirent *e; dir != NULL && !found && (e = readdir (dir)) != NULL;) {
        ssize_t n = readlinkat (dirfd (dir), e->d_name, link, sizeof link - 1);
        link[n > 0 ? n : 0] = '\0';
        found = strcmp (link, wanted) == 0;
    }
    if (dir != NULL) {
        closedir (dir);
    }
    return found;
}

/* The process groups of nodes are theirs alone. */
size_t
net_whose (void *context, uint16_t source_port)
{
    const struct net *net = context;
    unsigned long inode = inode_of (source_port);
    size_t found = NET_NODES_MAX;
    DIR *dir = opendir ("/proc");
    for (struct dirent *e;
         dir != NULL && found == NET_NODES_MAX && inode != 0 && (e = readdir (dir)) != NULL;) {
        long pid = strtol (e->d_name, NULL, 10);
        pid_t group = pid > 0 ? getpgid ((pid_t) pid) : -1;
        for (size_t i = 0; i < net->n && group > 0; i++) {
            if (group == net->nodes[i].pid && holds (e->d_name, inode)) {
                found = i;
            }
        }
    }
    if (dir != NULL) {
        closedir (dir);
    }
    return found;
}

void
net_behind_proxy (struct net *net, size_t i, size_t queue_bytes)
{
    char path[300];
    struct node *n = &net->nodes[i];
    uint16_t port = proxy_port (net->proxy, i, n->port, queue_bytes);
    snprintf (path, sizeof path, "%s/weir.conf", n->data);
    FILE *f = fopen (path, "ae");
    if (port == 0 || f == NULL
        || fprintf (f, "advertise = \"tcp://127.0.0.1:%u\"\n", (unsigned) port) < 0
        || fclose (f) != 0) {
        node_die ("cannot put %s behind the proxy", n->name);
    }
}

void
net_rule (struct net *net, uint32_t some, uint32_t others, const struct proxy_rule *rule)
{
    struct proxy_rule back = *rule;
    for (size_t i = 0; i < 2; i++) {
        back.drop[i] = rule->drop[!i];
        back.delay_ms[i] = rule->delay_ms[!i];
    }
    for (size_t i = 0; i < net->n; i++) {
        for (size_t k = 0; k < net->n; k++) {
            if ((some >> i & 1u) != 0 && (others >> k & 1u) != 0) {
                proxy_set (net->proxy, i, k, rule);
                proxy_set (net->proxy, k, i, &back);
            }
        }
    }
}
