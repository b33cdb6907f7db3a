#ifndef WEIR_BROKER_SPAWN_H
#define WEIR_BROKER_SPAWN_H

/* A child process: started by posix_spawn, watched by pidfd. It inherits three fds (actor.h says
 * which argument names which): the life pipe, its ready pipe, and a pipe with its mailbox's
 * identity. It stays in the broker's process group. */

#include <sys/types.h>

#include "protos/envelope.h"

struct weir_spawner {
    const char *folder; /* where the programs are */
    const char *data;
    const char *run;
    int life_fd; /* the end that children hold */
};

struct weir_process {
    pid_t pid;
    int pid_fd;   /* readable when it has ended */
    int ready_fd; /* a byte: ready; hung up: closed or ended */
};

/* WEIR_CANNOT_CREATE: the program is missing, or no process is to be had. */
WEIR_MUST enum weir_status weir_spawn (struct weir_process *out, const struct weir_spawner *s,
                                       const char *program, const char *name,
                                       const struct weir_mailbox_id *identity,
                                       struct weir_error *e);
void weir_process_signal (const struct weir_process *p, int signal);

enum weir_process_news {
    WEIR_PROCESS_NOTHING,
    WEIR_PROCESS_ENDED,
    WEIR_PROCESS_STOPPED,
    WEIR_PROCESS_CONTINUED
};
/* What happened since; on ENDED *code is the exit code, or 128 + signal, and the process is
 * reaped. Call until NOTHING or ENDED. */
enum weir_process_news weir_process_news (const struct weir_process *p, int *code);
void weir_process_fini (struct weir_process *p); /* closes its fds */

#endif
