/* Owns how a child process comes to be and how its end is learnt. Whether it should is
 * supervisor.c's. Never a bare fork: ZeroMQ's threads exist already (page 7). */

#include "broker/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* Where a child finds them; ours are kept above, so that no dup2 steps on another's source. */
enum { CHILD_LIFE_FD = 3, CHILD_READY_FD = 4, CHILD_IDENTITY_FD = 5, OURS_FROM = 10 };

static bool
make_pipe (int ends[2])
{
    int low[2];
    if (pipe2 (low, O_CLOEXEC) != 0) {
        return false;
    }
    for (int i = 0; i < 2; i++) {
        ends[i] = fcntl (low[i], F_DUPFD_CLOEXEC, OURS_FROM);
        (void) close (low[i]);
    }
    return ends[0] >= 0 && ends[1] >= 0;
}

static void
close_fd (int *fd)
{
    if (*fd >= 0) {
        (void) close (*fd);
        *fd = -1;
    }
}

static int
launch (pid_t *pid, const struct weir_spawner *s, const char *program, const char *name,
        int ready_fd, int identity_fd)
{
    char path[1024];
    (void) snprintf (path, sizeof path, "%s/%s", s->folder, program);
    const char *argv[] = { path,    "--name",        name,        "--data", s->data,
                           "--run", s->run,          "--life-fd", "3",      "--ready-fd",
                           "4",     "--identity-fd", "5",         NULL };
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none;
    sigset_t all;
    (void) sigemptyset (&none);
    (void) sigfillset (&all);
    int rc = posix_spawn_file_actions_init (&files);
    weir_assert (rc == 0);
    rc = posix_spawnattr_init (&attributes);
    weir_assert (rc == 0);
    (void) posix_spawn_file_actions_adddup2 (&files, s->life_fd, CHILD_LIFE_FD);
    (void) posix_spawn_file_actions_adddup2 (&files, ready_fd, CHILD_READY_FD);
    (void) posix_spawn_file_actions_adddup2 (&files, identity_fd, CHILD_IDENTITY_FD);
    (void) posix_spawnattr_setsigmask (&attributes, &none);
    (void) posix_spawnattr_setsigdefault (&attributes, &all);
    (void) posix_spawnattr_setflags (&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    /* posix_spawn's type lacks the const that its contract has. */
    union {
        const char **in;
        char **out;
    } cast = { .in = argv };
    rc = posix_spawn (pid, path, &files, &attributes, cast.out, environ);
    (void) posix_spawn_file_actions_destroy (&files);
    (void) posix_spawnattr_destroy (&attributes);
    return rc;
}

enum weir_status
weir_spawn (struct weir_process *out, const struct weir_spawner *s, const char *program,
            const char *name, const struct weir_mailbox_id *identity, struct weir_error *e)
{
    int ready[2] = { -1, -1 };
    int id[2] = { -1, -1 };
    int pid_fd = -1;
    pid_t pid = -1;
    enum weir_status status = WEIR_OK;
    if (!make_pipe (ready) || !make_pipe (id)
        || write (id[1], identity->b, sizeof identity->b) != (ssize_t) sizeof identity->b) {
        status = weir_error_set (e, WEIR_CANNOT_CREATE, NULL, "no pipe for %s: %s", name,
                                 strerror (errno));
        goto done;
    }
    int rc = launch (&pid, s, program, name, ready[1], id[0]);
    if (rc != 0) {
        status = weir_error_set (e, WEIR_CANNOT_CREATE, "WEIR_LIBEXEC says where programs are",
                                 "cannot start %s/%s: %s", s->folder, program, strerror (rc));
        goto done;
    }
    pid_fd = pidfd_open (pid, 0); /* not reaped yet, so the number is still its own */
    if (pid_fd < 0) {
        status = weir_error_set (e, WEIR_CANNOT_CREATE, NULL, "no pidfd for %s: %s", name,
                                 strerror (errno));
        (void) kill (pid, SIGKILL);
        (void) waitpid (pid, NULL, 0);
        goto done;
    }
    (void) fcntl (ready[0], F_SETFL, O_NONBLOCK);
    *out = (struct weir_process){ pid, pid_fd, ready[0] };
    ready[0] = -1;
done:
    close_fd (&ready[0]);
    close_fd (&ready[1]);
    close_fd (&id[0]);
    close_fd (&id[1]);
    return status;
}

void
weir_process_signal (const struct weir_process *p, int signal)
{
    (void) pidfd_send_signal (p->pid_fd, signal, NULL, 0); /* it may have ended: that is fine */
}

enum weir_process_news
weir_process_news (const struct weir_process *p, int *code)
{
    siginfo_t info;
    memset (&info, 0, sizeof info);
    int rc = waitid (P_PIDFD, (id_t) p->pid_fd, &info, WEXITED | WSTOPPED | WCONTINUED | WNOHANG);
    if (rc != 0 || info.si_pid == 0) {
        return WEIR_PROCESS_NOTHING;
    }
    if (info.si_code == CLD_STOPPED || info.si_code == CLD_TRAPPED) {
        return WEIR_PROCESS_STOPPED;
    }
    if (info.si_code == CLD_CONTINUED) {
        return WEIR_PROCESS_CONTINUED;
    }
    *code = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
    return WEIR_PROCESS_ENDED;
}

void
weir_process_fini (struct weir_process *p)
{
    close_fd (&p->pid_fd);
    close_fd (&p->ready_fd);
    p->pid = 0;
}
