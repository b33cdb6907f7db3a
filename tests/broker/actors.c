/* The tiny actors of node.h. All roles run the same code: they obey, and write down in
 * DATA/journal when they start and stop, and whom they hear of. */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "actors/runtime/actor.h"
#include "broker/broker.h"
#include "tests/broker/node.h"

struct obeying {
    struct weir_envelope asked; /* by a client, until the store has answered us */
    unsigned answers;
    unsigned turns;
};

static void
journal (struct weir_actor *actor, const char *what, const char *about)
{
    char path[600];
    char line[128];
    (void) snprintf (path, sizeof path, "%s/journal", weir_actor_paths (actor)->data);
    int len = snprintf (line, sizeof line, "%s %s%s%s\n", weir_actor_name (actor), what,
                        about[0] == '\0' ? "" : " ", about);
    int fd = open (path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd >= 0) {
        ssize_t n = write (fd, line, (size_t) len);
        (void) n;
        (void) close (fd);
    }
}

static void
hang (void)
{
    for (;;) {
        (void) pause (); /* SIGTERM is blocked, SIGINT ignored: only SIGKILL ends this */
    }
}

/* "exit N": at once, as a crash would. "fail N": through the skeleton, with a status. */
static bool
obey_end (struct weir_actor *actor, const char *command)
{
    int number = 0;
    if (sscanf (command, "exit %d", &number) == 1) {
        _exit (number);
    }
    if (sscanf (command, "fail %d", &number) == 1) {
        struct weir_error e = { .what = "told to fail" };
        weir_actor_exit (actor, (enum weir_status) number, &e);
        return true;
    }
    if (strcmp (command, "hang") == 0) {
        hang ();
    }
    return false;
}

static void
read_mode (struct weir_actor *actor, char *out, size_t size)
{
    char path[600];
    (void) snprintf (path, sizeof path, "%s/%s.mode", weir_actor_paths (actor)->data,
                     weir_actor_name (actor));
    int fd = open (path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read (fd, out, size - 1);
    out[n > 0 ? n : 0] = '\0';
    if (fd >= 0) {
        (void) close (fd);
    }
}

static void
ready_later (void *state, struct weir_actor *actor, void *context)
{
    (void) state;
    (void) context;
    weir_actor_ready (actor);
}

static enum weir_status
start (void **state, struct weir_actor *actor, struct weir_error *e)
{
    char mode[64];
    struct obeying *self = weir_alloc (sizeof *self);
    *state = self;
    journal (actor, "start", "");
    read_mode (actor, mode, sizeof mode);
    int number = 0;
    if (sscanf (mode, "refuse %d", &number) == 1) {
        return weir_error_set (e, (enum weir_status) number, NULL, "told to refuse");
    }
    (void) obey_end (actor, mode);
    if (strcmp (mode, "never") != 0) {
        weir_actor_timer (actor, weir_actor_now_ms (actor) + 1, ready_later, NULL);
    }
    return WEIR_OK;
}

static void
stop (void **state, struct weir_actor *actor)
{
    char mode[64];
    read_mode (actor, mode, sizeof mode);
    if (strcmp (mode, "stubborn") == 0) {
        hang ();
    }
    journal (actor, "stop", "");
    free (*state);
    *state = NULL;
}

static void
up (void *state, struct weir_actor *actor, const char *role, const char *name,
    const struct weir_mailbox_id *mailbox, uint64_t epoch)
{
    (void) state;
    (void) role;
    (void) mailbox;
    (void) epoch;
    journal (actor, "up", name);
}

static void
down (void *state, struct weir_actor *actor, const char *role, const char *name,
      const struct weir_mailbox_id *mailbox)
{
    (void) state;
    (void) role;
    (void) mailbox;
    journal (actor, "down", name);
}

static void
after_turn (void *state, struct weir_actor *actor)
{
    (void) actor;
    ((struct obeying *) state)->turns++;
}

/* ---- as the store ---- */

static void
answer_value (struct weir_actor *actor, const struct weir_envelope *request, uint64_t value,
              bool more)
{
    Weir__DocValue answer = WEIR__DOC_VALUE__INIT;
    answer.has_bytes = 1;
    answer.bytes = value;
    weir_actor_answer (actor, request, &answer.base, weir_bytes (NULL, 0), more);
}

static void
answer_later (void *state, struct weir_actor *actor, void *context)
{
    struct obeying *self = state;
    (void) context;
    answer_value (actor, &self->asked, (uint64_t) getpid (), false);
}

static void
doc_get (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct obeying *self = state;
    char command[64];
    char mode[64];
    const Weir__DocPath *path = (const Weir__DocPath *) message->meta;
    if (weir_field_get_text (command, sizeof command - 1, path->has_path, path->path) != WEIR_OK) {
        weir_actor_fail (actor, &message->envelope, WEIR_INVALID_PATH, NULL);
        return;
    }
    read_mode (actor, mode, sizeof mode);
    if (obey_end (actor, command)) {
        return;
    }
    if (strcmp (command, "event") == 0) {
        weir_actor_event (actor, "told_so", NULL, NULL, WEIR_OK, "by %s", "a test");
    }
    if (strcmp (command, "quiet") == 0 || strcmp (mode, "quiet") == 0) {
        return;
    }
    if (strcmp (command, "later") == 0) {
        self->asked = message->envelope;
        weir_actor_timer (actor, weir_actor_now_ms (actor) + 50, answer_later, NULL);
        return;
    }
    if (strcmp (command, "begin") == 0) {
        answer_value (actor, &message->envelope, 1, true);
        return;
    }
    if (strcmp (command, "stream") == 0) {
        answer_value (actor, &message->envelope, 1, true);
        answer_value (actor, &message->envelope, 2, true);
    }
    answer_value (actor, &message->envelope, (uint64_t) getpid (), false);
}

static void
state_get (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    char mode[64];
    (void) state;
    read_mode (actor, mode, sizeof mode);
    if (strcmp (mode, "quiet") != 0) {
        weir_actor_answer (actor, &message->envelope, NULL, weir_bytes (NULL, 0), false);
    }
}

/* ---- as peers: what a client asks is asked of the store first ---- */

static void
store_said (void *state, struct weir_actor *actor, void *context, enum weir_status status,
            const struct weir_error *problem, const struct weir_message *answer)
{
    struct obeying *self = state;
    (void) context;
    (void) answer;
    if (status == WEIR_OK) {
        weir_actor_answer (actor, &self->asked, NULL, weir_bytes (NULL, 0), false);
    } else {
        weir_actor_fail (actor, &self->asked, status, problem);
    }
}

static void
answer_peers (void *state, struct weir_actor *actor, void *context)
{
    struct obeying *self = state;
    (void) context;
    weir_actor_answer (actor, &self->asked, NULL, weir_bytes (NULL, 0), false);
}

static void
counted (void *state, struct weir_actor *actor, void *context, enum weir_status status,
         const struct weir_error *problem, const struct weir_message *answer)
{
    struct obeying *self = state;
    (void) context;
    (void) problem;
    (void) answer;
    if (status == WEIR_BUSY && self->answers++ == 0) {
        /* Not now: the way out is what was full. */
        weir_actor_timer (actor, weir_actor_now_ms (actor) + 100, answer_peers, NULL);
    }
}

static void
peer_list (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct obeying *self = state;
    char command[64];
    const Weir__PeerName *name = (const Weir__PeerName *) message->meta;
    self->asked = message->envelope;
    if (weir_field_get_text (command, sizeof command - 1, name->has_peer, name->peer) != WEIR_OK
        || obey_end (actor, command)) {
        return;
    }
    if (strcmp (command, "flood") == 0) {
        for (int i = 0; i < 50000; i++) {
            (void) weir_actor_ask (actor, WEIR_KIND_STATE_GET, NULL, NULL, weir_bytes (NULL, 0),
                                   60000, counted, NULL);
        }
        return;
    }
    if (strcmp (command, "forbidden") == 0) { /* only transports may */
        (void) weir_actor_ask (actor, WEIR_KIND_LEASE, NULL, NULL, weir_bytes (NULL, 0), 2000,
                               store_said, NULL);
        return;
    }
    (void) weir_actor_ask (actor, WEIR_KIND_STATE_GET, NULL, NULL, weir_bytes (NULL, 0),
                           message->envelope.ms_left, store_said, NULL);
}

static const struct weir_actor_handler handlers[] = {
    { WEIR_KIND_DOC_GET, doc_get },
    { WEIR_KIND_STATE_GET, state_get },
    { WEIR_KIND_PEER_LIST, peer_list },
    { 0, NULL },
};

bool
node_program (int argc, char **argv, int *code)
{
    static const char *const roles[] = { "store", "peers", "retry", "transport" };
    const char *name = strrchr (argv[0], '/');
    name = name == NULL ? argv[0] : name + 1;
    if (strcmp (name, "weir-broker") == 0) {
        /* A test that fails leaves nothing behind. */
        (void) prctl (PR_SET_PDEATHSIG, SIGKILL);
        *code = weir_broker_run (argc, argv);
        return true;
    }
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        if (strncmp (name, "weir-", 5) == 0 && strcmp (name + 5, roles[i]) == 0) {
            struct weir_actor_def def = { .role = roles[i],
                                          .handlers = handlers,
                                          .start = start,
                                          .stop = stop,
                                          .up = up,
                                          .down = down,
                                          .after_turn = after_turn };
            *code = weir_actor_run (&def, argc, argv);
            return true;
        }
    }
    return false;
}
