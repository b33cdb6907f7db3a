/* Goal: who x request, each cell a refusal: with the right code where one is told, counted, nothing
 * stored that must not be, nothing crashed, and the honest peer still in step. Who: a stranger, the
 * holder of a ticket, members that may read, write and carry, a removed member, and one that
 * shows a member's link key with another device's key. Then the other way round: an honest node
 * dials servers that lie, and one that does not admit it. The matrix is printed at the end. */

#include "tests/integration/hostile_cells.h"

#include <stdio.h>
#include <string.h>

#include <zmq.h>

#define REQUESTS_MAX 128u

static char matrix[REQUESTS_MAX][WHOS][64];

/* ---- what is expected ---- */

static bool
applies (const struct request *r, enum who who)
{
    if (r->phase == GUEST || (r->phase == DIALS && strncmp (r->name, "join", 4) == 0)) {
        return r->phase == DIALS ? who == TICKET : true;
    }
    return true;
}

static const char *
expected (const struct request *r, enum who who)
{
    if (who == STRANGER || who == REMOVED) {
        return "door";
    }
    if (r->phase == GUEST) {
        return who == TICKET ? r->expect : who == IMPOSTOR ? "bye refused" : "ignored";
    }
    if (r->phase == DIALS) {
        return r->expect;
    }
    bool lives = strcmp (r->expect, "ignored") == 0;
    if (who == IMPOSTOR) {
        return r->phase == OPEN || lives ? "bye refused" : r->expect;
    }
    if (who == TICKET && strncmp (r->name, "ack: of", 7) == 0) {
        return "alive"; /* nobody offers it anything */
    }
    if (who == TICKET && r->phase == OPEN) {
        /* Cut off and undecodable messages end any link; the rest means nothing from a guest. */
        bool body = strncmp (r->name, "run", 3) == 0 || strncmp (r->name, "frame", 5) == 0;
        bool same = strstr (r->name, "does not decode") != NULL || strcmp (r->expect, "closed") == 0
                    || strcmp (r->expect, "alive") == 0 || strcmp (r->expect, "dropped") == 0;
        return body ? "not accepted" : same ? r->expect : "ignored";
    }
    return who == WRITER && r->expect_w != NULL ? r->expect_w : r->expect;
}

/* Must it be seen to have been counted? */
static bool
is_counted (struct world *w, const struct cell *c, const struct counts *before)
{
    struct counts now;
    uint64_t own = c->h.guest ? c->h.pings : 0; /* each of those is counted too */
    world_counts (w, &now);
    if (strcmp (c->got, "door") == 0 || strcmp (c->got, "shut") == 0) {
        return now.refused > before->refused;
    }
    if (strncmp (c->got, "run ", 4) == 0) {
        return now.runs_refused > before->runs_refused;
    }
    if (strcmp (c->got, "dropped") == 0 || strncmp (c->got, "lost", 4) == 0) {
        return now.frames_dropped > before->frames_dropped;
    }
    if (strncmp (c->got, "bye ", 4) == 0 || strncmp (c->got, "joined ", 7) == 0) {
        for (unsigned i = 1; i < WEIR_STATUS_COUNT; i++) {
            if (strcmp (strchr (c->got, ' ') + 1, weir_status_code ((enum weir_status) i)) == 0
                && world_event (w, c->event, NULL, (enum weir_status) i) != WEIR_OK) {
                return true;
            }
        }
        return now.bad > before->bad;
    }
    if (strcmp (c->got, "closed") == 0 || strcmp (c->got, "ignored") == 0
        || strcmp (c->got, "not accepted") == 0) {
        return now.bad > before->bad + own;
    }
    return true; /* stored, waits, alive, unanswered, silent: nothing was refused */
}

/* ---- a cell ---- */

static void
begin (struct cell *c, const struct request *r)
{
    struct world *w = c->w;
    if (r->phase == DIALS) {
        r->run (c);
        return;
    }
    hostile_dial (&c->h, w->zmq, &w->who[c->who], w->address, &w->link_key, NULL);
    c->h.guest = c->who == TICKET;
    c->dialled = true;
    if (!c->h.up) {
        snprintf (c->got, sizeof c->got, "door");
        return;
    }
    bool good = r->phase == LINK  ? true
                : r->phase == MID ? hostile_greet (&c->h)
                                  : hostile_open (&c->h) && hostile_alive (&c->h);
    if (good) {
        r->run (c);
    } else {
        snprintf (c->got, sizeof c->got, "%s", hostile_end (&c->h));
    }
}

static void
cell (struct world *w, size_t row, enum who who)
{
    const struct request *r = &requests[row];
    struct cell c = { .w = w, .who = who, .arg = r->arg };
    struct counts before;
    uint64_t n_before = 0;
    uint64_t n_after = 0;
    uint64_t s = 0;
    const char *want = expected (r, who);
    world_counts (w, &before);
    c.event = world_newest_event (w);
    struct weir_id digest = node_digest (&w->hub, "matrix", &n_before);
    struct weir_id secret = node_digest (&w->hub, "secret", &s);
    begin (&c, r);
    snprintf (matrix[row][who], sizeof matrix[row][who], "%s", c.got);
    bool counted_only = who != READER && strcmp (c.got, "run refused") == 0
                        && strncmp (want, "run ", 4) == 0; /* its code was told to the reader */
    if (strcmp (c.got, want) != 0 && !counted_only) {
        node_die ("%s, %s: '%s', not '%s'", who_name (who), r->name, c.got, want);
    }
    uint64_t until = node_now_ms () + HOSTILE_MS;
    while (!is_counted (w, &c, &before)) {
        if (node_now_ms () > until) {
            node_die ("%s, %s: '%s' was not counted", who_name (who), r->name, c.got);
        }
        node_pause_ms (2);
    }
    struct weir_id after = node_digest (&w->hub, "matrix", &n_after);
    struct weir_id secret_after = node_digest (&w->hub, "secret", &s);
    bool stores = strcmp (want, "stored") == 0 || strcmp (want, "joined ticket_used") == 0;
    if (weir_id_equal (&digest, &after) == stores || n_after != n_before + (stores ? 1 : 0)
        || !weir_id_equal (&secret, &secret_after)) {
        node_die ("%s, %s: '%s', and %llu entries became %llu", who_name (who), r->name, c.got,
                  (unsigned long long) n_before, (unsigned long long) n_after);
    }
    if (c.dialled) {
        hostile_close (&c.h);
    }
    world_check_alive (w);
}

/* ---- the honest node dials ---- */

enum lie { OTHER_DEVICE, ITS_OWN, NO_VERSION, FORGED, REFLECTED, EARLY };

static const struct {
    const char *name;
    enum lie lie;
    const char *expect;
} lies[] = {
    { "server: another device answers", OTHER_DEVICE, "wrong_device" },
    { "server: says the dialler's device", ITS_OWN, "own_device" },
    { "server: no common protocol", NO_VERSION, "incompatible" },
    { "server: Proof forged", FORGED, "bad_proof" },
    { "server: Proof reflected", REFLECTED, "bad_proof" },
    { "server: Proof before Hello", EARLY, "bad_proof" },
};
#define LIES (sizeof lies / sizeof lies[0])

static void
wait_reason (struct world *w, const struct weir_id *device, const char *name, const char *want)
{
    char reason[64] = "";
    uint64_t until = node_now_ms () + HOSTILE_MS;
    while (strcmp (reason, want) != 0) {
        if (node_now_ms () > until) {
            node_die ("%s: peer show says '%s', not '%s'", name, reason, want);
        }
        node_pause_ms (5);
        world_reason (w, device, reason);
    }
}

static void
server (struct world *w, unsigned i)
{
    struct hostile h;
    struct hostile_id id;
    struct weir_signature signature = { { 7 } };
    uint16_t port = 0;
    hostile_id_make (&id, 100 + i, 20 + i);
    hostile_listen (&h, w->zmq, &id, &port);
    weir_session_init (&h.session, WEIR_RESPONDER, &h.hello, &w->link_key, &id.link.public_key,
                       &weir_id_zero, 0);
    world_dials (w, &id.device.device, port, &id.link.public_key);
    if (!hostile_hear (&h, WEIR_KIND_W_HELLO, HOSTILE_MS)) {
        node_die ("%s: the hub does not dial", lies[i].name);
    }
    if (lies[i].lie == OTHER_DEVICE) {
        h.hello.device = w->who[WRITER].device.device;
    } else if (lies[i].lie == ITS_OWN) {
        h.hello.device = w->device;
    } else if (lies[i].lie == NO_VERSION) {
        h.hello.protocol_min = h.hello.protocol_max = 0;
    }
    if (lies[i].lie != EARLY) {
        hostile_say_hello (&h);
    }
    if (lies[i].lie == REFLECTED && hostile_hear (&h, WEIR_KIND_W_PROOF, HOSTILE_MS)) {
        signature = h.their_proof;
    }
    if (lies[i].lie >= FORGED) {
        hostile_say_proof (&h, &signature);
    }
    wait_reason (w, &id.device.device, lies[i].name, lies[i].expect);
    hostile_close (&h);
    world_check_alive (w);
}

/* A node that does not know us says nothing before Hello: not even that it is there. */
static void
not_admitted (struct world *w)
{
    struct world other = { .zmq = w->zmq };
    struct weir_error e = { 0 };
    if (weir_client_open (&other.ctl, w->cold.paths.control, 5000, &e) != WEIR_OK) {
        node_die ("%s", e.what);
    }
    world_learn_self (&other);
    weir_client_close (&other.ctl);
    world_dials (w, &other.device, (uint16_t) world_port (&other), &other.link_key);
    wait_reason (w, &other.device, "a node that does not admit us",
                 weir_status_code (WEIR_NOT_REACHABLE_OR_NOT_ADMITTED));
}

/* ---- all of it ---- */

static void
print_matrix (void)
{
    printf ("\n%-36s", "");
    for (unsigned who = 0; who < WHOS; who++) {
        printf (" %-17s", who_name ((enum who) who));
    }
    for (size_t i = 0; i < n_requests; i++) {
        printf ("\n%-36s", requests[i].name);
        for (unsigned who = 0; who < WHOS; who++) {
            printf (" %-17s", matrix[i][who]);
        }
    }
    for (size_t i = 0; i < LIES; i++) {
        printf ("\n%-36s %s", lies[i].name, lies[i].expect);
    }
    printf ("\n%-36s %s\n", "server: does not admit us",
            weir_status_code (WEIR_NOT_REACHABLE_OR_NOT_ADMITTED));
}

int
main (void)
{
    struct world w;
    unsigned cells = 0;
    uint64_t began = node_now_ms ();
    world_init (&w);
    for (size_t i = 0; i < n_requests && i < REQUESTS_MAX; i++) {
        for (unsigned who = 0; who < WHOS; who++) {
            if (applies (&requests[i], (enum who) who)) {
                cell (&w, i, (enum who) who);
                cells++;
            }
        }
    }
    world_check_in_step (&w);
    for (unsigned i = 0; i < LIES; i++) {
        server (&w, i);
    }
    not_admitted (&w);
    world_check_in_step (&w);
    world_check_alive (&w);
    print_matrix ();
    world_fini (&w);
    printf (
        "%u cells, %zu lying servers: nothing stored, nothing crashed, still in step, %llu ms\n",
        cells, LIES, (unsigned long long) (node_now_ms () - began));
    return 0;
}
