/* Goal: a member that means harm cannot keep two honest nodes apart, slow them beyond their
 * bounds, or stay unnamed (attacks.h). While it is at work, the hub and the leaf beside it write,
 * read each other within seconds, and commit within bounds; the hub's processes are the ones they
 * were, within their memory; and an event, or what `peer show` says, names the device (but for
 * prunes: those are no offence). The figures are printed. WEIR_HOSTILE names one attack. */

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/integration/attacks.h"

#define COMMITS 100u
#define COMMIT_MS_MAX 2000u
#define READ_MS_MAX 5000u  /* a write of one honest node, on the other */
#define SAME_MS_MAX 90000u /* all of it the same: what the tip budget holds back comes later */
#define NAMED_MS_MAX 30000u
#define GROWTH_KB_MAX (96u << 10)

/* ---- what the honest ones feel ---- */

static uint64_t
rss_kb (struct world *w, char most[64])
{
    struct node_actor actors[NODE_ACTORS_MAX];
    size_t n = node_actors (&w->hub, actors, 5000);
    uint64_t sum = 0;
    uint64_t top = 0;
    for (size_t i = 0; i < n; i++) {
        char path[64];
        char line[128];
        unsigned long long kb = 0;
        snprintf (path, sizeof path, "/proc/%ld/status", (long) actors[i].pid);
        FILE *f = fopen (path, "r");
        while (f != NULL && fgets (line, sizeof line, f) != NULL) {
            if (sscanf (line, "VmRSS: %llu kB", &kb) == 1) {
                break;
            }
        }
        if (f != NULL) {
            fclose (f);
        }
        sum += kb;
        if (kb > top) {
            top = kb;
            snprintf (most, 64, "%.31s %llu MB", actors[i].name, kb >> 10);
        }
    }
    return sum;
}

static double
commit_ms (struct node *n, const char *path)
{
    Weir__DocWrite ask = WEIR__DOC_WRITE__INIT;
    struct weir_client_answer answer;
    struct weir_error e = { 0 };
    struct timespec from;
    struct timespec to;
    ask.has_db = ask.has_path = true;
    ask.db = weir_field_str ("matrix");
    ask.path = weir_field_str (path);
    clock_gettime (CLOCK_MONOTONIC, &from);
    if (node_call (n, WEIR_KIND_DOC_SET, &ask.base, weir_bytes_str ("1"), 20000, &answer, &e)
        != WEIR_OK) {
        node_die ("%s cannot write: %s", n->name, e.what);
    }
    clock_gettime (CLOCK_MONOTONIC, &to);
    weir_client_answer_fini (&answer);
    return (double) (to.tv_sec - from.tv_sec) * 1e3 + (double) (to.tv_nsec - from.tv_nsec) / 1e6;
}

static bool
can_read (struct node *n, const char *path)
{
    Weir__DocPath ask = WEIR__DOC_PATH__INIT;
    struct weir_client_answer answer;
    struct weir_error e = { 0 };
    ask.has_db = ask.has_path = true;
    ask.db = weir_field_str ("matrix");
    ask.path = weir_field_str (path);
    enum weir_status status =
        node_call (n, WEIR_KIND_DOC_GET, &ask.base, weir_bytes (NULL, 0), 10000, &answer, &e);
    if (status != WEIR_OK) {
        return false;
    }
    weir_client_answer_fini (&answer);
    return true;
}

static int
compare_double (const void *a, const void *b)
{
    const double *x = a;
    const double *y = b;
    return (*x > *y) - (*x < *y);
}

struct felt {
    double commit_p50, commit_max;
    uint64_t read_ms; /* the longest wait for the other's write */
    uint64_t grown_kb;
    char most[64];
};

/* Both honest nodes write by turns while the attack goes on, and read each other. */
static void
measure (struct world *w, const char *name, uint64_t before_kb, struct felt *felt)
{
    static double ms[COMMITS];
    char path[64];
    for (unsigned i = 0; i < COMMITS; i++) {
        struct node *writer = i % 2 == 0 ? &w->hub : &w->honest;
        struct node *reader = i % 2 == 0 ? &w->honest : &w->hub;
        snprintf (path, sizeof path, "/%s/%u", name, i);
        ms[i] = commit_ms (writer, path);
        uint64_t from = node_now_ms ();
        while (!can_read (reader, path)) {
            if (node_now_ms () - from > READ_MS_MAX) {
                node_die ("%s: %s does not read what %s wrote", name, reader->name, writer->name);
            }
            node_pause_ms (1);
        }
        uint64_t took = node_now_ms () - from;
        felt->read_ms = took > felt->read_ms ? took : felt->read_ms;
        if (i % 10 == 9) {
            uint64_t kb = rss_kb (w, felt->most);
            uint64_t grown = kb > before_kb ? kb - before_kb : 0;
            felt->grown_kb = grown > felt->grown_kb ? grown : felt->grown_kb;
        }
    }
    qsort (ms, COMMITS, sizeof ms[0], compare_double);
    felt->commit_p50 = ms[COMMITS / 2];
    felt->commit_max = ms[COMMITS - 1];
}

/* ---- the peer is named ---- */

/* An event of this name about the device; any, when NULL. */
static bool
event_names (struct world *w, const struct weir_id *device, uint64_t after, char out[64])
{
    Weir__EventsAsk ask = WEIR__EVENTS_ASK__INIT;
    struct weir_client_answer answer;
    struct weir_error e = { 0 };
    uint64_t request = 0;
    bool more = true;
    bool named = false;
    ask.has_after = true;
    ask.after = after;
    if (weir_client_send (w->ctl, WEIR_KIND_EVENTS, &ask.base, weir_bytes (NULL, 0), 10000,
                          &request, &e)
        != WEIR_OK) {
        node_die ("events: %s", e.what);
    }
    while (more) {
        if (weir_client_receive (w->ctl, 10000, &answer, &e) != WEIR_OK) {
            node_die ("events: %s", e.what);
        }
        const Weir__Event *m = (const Weir__Event *) answer.meta;
        struct weir_id id;
        more = answer.more;
        if (more && m != NULL && weir_field_get_id (&id, m->has_device, m->device) == WEIR_OK
            && weir_id_equal (&id, device)
            && !weir_bytes_equal (weir_field (m->name), weir_bytes_str ("peer_connected"))
            && !weir_bytes_equal (weir_field (m->name), weir_bytes_str ("peer_disconnected"))
            && !weir_bytes_equal (weir_field (m->name), weir_bytes_str ("member_joined"))) {
            snprintf (out, 64, "event %.*s", (int) m->name.len, (const char *) m->name.data);
            named = true;
        }
        weir_client_answer_fini (&answer);
    }
    return named;
}

/* What `peer show` says of it: a reason, or a database that is not in step and why. */
static bool
show_names (struct world *w, const struct weir_id *device, char out[64])
{
    Weir__PeerName ask = WEIR__PEER_NAME__INIT;
    struct weir_client_answer answer;
    struct weir_id_text text = weir_id_text (device);
    struct weir_error e = { 0 };
    bool named = false;
    ask.has_peer = true;
    ask.peer = weir_field_str (text.s);
    if (weir_client_call (w->ctl, WEIR_KIND_PEER_LIST, &ask.base, weir_bytes (NULL, 0), 10000,
                          &answer, &e)
        != WEIR_OK) {
        node_die ("peer show: %s", e.what);
    }
    const Weir__Peers *m = (const Weir__Peers *) answer.meta;
    for (size_t i = 0; m->n_items == 1 && i < m->items[0]->n_pairs; i++) {
        const Weir__Pair *pair = m->items[0]->pairs[i];
        if (!pair->in_step && pair->reason != 0 && pair->reason != WEIR_PENDING) {
            snprintf (out, 64, "peer show: not in step, %s",
                      weir_status_code (weir_status_from_number (pair->reason)));
            named = true;
        }
    }
    weir_client_answer_fini (&answer);
    return named;
}

/* ---- one attack ---- */

static const struct {
    const char *name;
    void (*run) (struct attack *a);
    unsigned rounds; /* that it has done before the honest ones are asked */
    enum {
        NOBODY, /* a prune is a wish, and costs who says it: no offence */
        EVENT,
        SHOWN /* an event, or peer show */
    } named;
} attacks[] = {
    { "promises", attack_promises, 3, SHOWN },
    { "announces", attack_announces, 3, SHOWN },
    { "prunes", attack_prunes, 3, NOBODY },
    { "floods", attack_floods, 100, EVENT },
    { "drowns", attack_drowns, 100, SHOWN },
    { "absurdities", attack_absurdities, 2, SHOWN },
    { "equivocates", attack_equivocates, 500, EVENT },
};
#define ATTACKS (sizeof attacks / sizeof attacks[0])

struct started {
    struct attack a;
    size_t which;
};

static void *
run_attack (void *argument)
{
    struct started *s = argument;
    attack_connect (&s->a);
    if (!s->a.h.up || !hostile_alive (&s->a.h)) {
        node_die ("%s: a member cannot connect: %s", attacks[s->which].name, hostile_end (&s->a.h));
    }
    attacks[s->which].run (&s->a);
    return NULL;
}

static void
wait_same (struct world *w, const char *name)
{
    uint64_t until = node_now_ms () + SAME_MS_MAX;
    uint64_t n = 0;
    uint64_t m = 0;
    for (;;) {
        struct weir_id a = node_digest (&w->hub, "matrix", &n);
        struct weir_id b = node_digest (&w->honest, "matrix", &m);
        if (weir_id_equal (&a, &b)) {
            return;
        }
        if (node_now_ms () > until) {
            node_die ("%s: %llu entries here, %llu there", name, (unsigned long long) n,
                      (unsigned long long) m);
        }
        node_pause_ms (20);
    }
}

static void
attack (struct world *w, size_t which)
{
    static struct started s;
    const char *name = attacks[which].name;
    struct felt felt = { 0 };
    char named[64] = "";
    pthread_t thread;
    memset (&s, 0, sizeof s);
    s.a.w = w;
    s.which = which;
    hostile_id_make (&s.a.id, 500 + (unsigned) which, 30 + (unsigned) which);
    world_join (w, &s.a.id, name, WEIR_RIGHT_WRITE);
    s.a.n_heads = world_heads (w, "matrix", s.a.heads);
    uint64_t after = world_newest_event (w);
    uint64_t before_kb = rss_kb (w, felt.most);
    if (pthread_create (&thread, NULL, run_attack, &s) != 0) {
        node_die ("no thread");
    }
    uint64_t until = node_now_ms () + 30000;
    while (atomic_load (&s.a.done) < attacks[which].rounds) {
        if (node_now_ms () > until) {
            node_die ("%s does not get going", name);
        }
        node_pause_ms (5);
    }
    measure (w, name, before_kb, &felt);
    until = node_now_ms () + NAMED_MS_MAX;
    while (attacks[which].named != NOBODY && !event_names (w, &s.a.id.device.device, after, named)
           && !(attacks[which].named == SHOWN && show_names (w, &s.a.id.device.device, named))) {
        if (node_now_ms () > until) {
            node_die ("%s: nobody names the peer", name);
        }
        node_pause_ms (100);
    }
    atomic_store (&s.a.stop, true);
    pthread_join (thread, NULL);
    hostile_close (&s.a.h);
    wait_same (w, name);
    world_check_alive (w);
    printf ("%-12s %7llu said; commit p50 %.1f ms, max %.1f ms; read by the other in %llu ms; "
            "+%llu MB (most: %s); named by: %s\n",
            name, (unsigned long long) s.a.said, felt.commit_p50, felt.commit_max,
            (unsigned long long) felt.read_ms, (unsigned long long) (felt.grown_kb >> 10),
            felt.most, named);
    fflush (stdout);
    if (felt.commit_max > COMMIT_MS_MAX || felt.grown_kb > GROWTH_KB_MAX) {
        node_die ("%s: beyond the bounds", name);
    }
}

int
main (void)
{
    struct world w;
    const char *only = getenv ("WEIR_HOSTILE");
    world_init (&w);
    for (size_t i = 0; i < ATTACKS; i++) {
        if (only == NULL || strcmp (only, attacks[i].name) == 0) {
            attack (&w, i);
        }
    }
    world_check_in_step (&w);
    world_fini (&w);
    return 0;
}
