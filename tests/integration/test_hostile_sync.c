/* Goal: a member that means harm cannot keep two honest nodes apart, slow them beyond their
 * bounds, or stay unnamed. It sends nothing it promised; announces what it does not have; prunes
 * everybody; floods; says absurd counts in every field of every message; writes thousands of
 * chains and splits one into thousands of tips. While it does, the hub and the leaf beside it
 * write, read each other within seconds, and commit within bounds; the hub's processes are the
 * ones they were, within their memory; and an event, or what `peer show` says, names the device (but
 * for prunes: those are no offence).
 * The figures are printed. WEIR_HOSTILE names one attack to be run alone. */

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zmq.h>

#include "store/dag/run.h"
#include "tests/integration/hostile_world.h"

#define COMMITS 100u
#define COMMIT_MS_MAX 2000u
#define READ_MS_MAX 5000u  /* a write of one honest node, on the other */
#define SAME_MS_MAX 90000u /* all of it the same: what the tip budget holds back comes later */
#define NAMED_MS_MAX 30000u
#define GROWTH_KB_MAX (96u << 10)
#define CREDIT (4u << 20)
#define KIND_NONE 0xffffu

struct attack {
    struct world *w;
    struct hostile h;
    struct hostile_id id;
    uint64_t tag;
    struct weir_id heads[WEIR_ENTRY_DEPS_MAX]; /* behind its admission */
    size_t n_heads;
    atomic_bool stop;
    atomic_uint done; /* rounds of it */
    uint64_t said;
};

static bool
going (struct attack *a)
{
    return !atomic_load (&a->stop);
}

static struct weir_bytes
none (void)
{
    return weir_bytes (NULL, 0);
}

static void
say (struct attack *a, uint16_t kind, const ProtobufCMessage *meta)
{
    a->said++;
    hostile_say (&a->h, kind, meta, none ());
}

static void
connect_again (struct attack *a)
{
    hostile_dial (&a->h, a->w->zmq, &a->id, a->w->address, &a->w->link_key, NULL);
    if (a->h.up && hostile_open (&a->h)) {
        a->tag = hostile_tag (&a->h, &a->w->db);
    }
}

/* Hears for so long; a session that ended is begun again. */
static void
hear (struct attack *a, uint32_t ms)
{
    (void) hostile_hear (&a->h, KIND_NONE, ms);
    if (a->h.bye || a->h.gone || !a->h.up) {
        void (*on) (struct hostile *, uint16_t) = a->h.on;
        hostile_close (&a->h);
        connect_again (a);
        a->h.on = on;
        a->h.context = a;
    }
}

/* ---- it sends nothing that it promised ---- */

static void
say_digest (struct attack *a, uint64_t salt, bool answer)
{
    struct weir_id digest = { { 1 } };
    Weir__Digest item = WEIR__DIGEST__INIT;
    Weir__Digest *items[] = { &item };
    Weir__Digests m = WEIR__DIGESTS__INIT;
    weir_store_u64 (digest.b + 8, salt);
    item.has_tag = item.has_digest = m.has_answer = true;
    item.tag = a->tag;
    item.digest = weir_field_id (&digest);
    m.items = items;
    m.n_items = 1;
    m.answer = answer;
    say (a, WEIR_KIND_W_DIGESTS, &m.base);
}

static void
say_offer (struct attack *a, uint64_t transfer)
{
    Weir__Offer m = WEIR__OFFER__INIT;
    m.has_tag = m.has_transfer = true;
    m.tag = a->tag;
    m.transfer = transfer;
    say (a, WEIR_KIND_W_OFFER, &m.base);
}

/* Takes all that is offered, asks for everything, and never acknowledges a byte. */
static void
hear_promises (struct hostile *h, uint16_t kind)
{
    struct attack *a = h->context;
    if (kind == WEIR_KIND_W_OFFER) {
        Weir__Accept m = WEIR__ACCEPT__INIT;
        m.has_transfer = m.has_limit = true;
        m.transfer = ((const Weir__Offer *) h->heard)->transfer;
        m.limit = UINT64_MAX;
        say (a, WEIR_KIND_W_ACCEPT, &m.base);
    } else if (kind == WEIR_KIND_W_VECTOR && ((const Weir__Vector *) h->heard)->answer) {
        Weir__Vector m = WEIR__VECTOR__INIT;
        m.has_tag = m.has_round = true;
        m.tag = a->tag;
        m.round = 2;
        say (a, WEIR_KIND_W_VECTOR, &m.base);
    }
}

static void
promises (struct attack *a)
{
    a->h.on = hear_promises;
    a->h.context = a;
    for (uint64_t i = 1; going (a); i++) {
        say_digest (a, i, i % 2 == 0);
        say_offer (a, i);
        hear (a, 100);
        atomic_fetch_add (&a->done, 1);
    }
}

/* ---- it announces what it does not have ---- */

/* Seems to be in step whenever it is asked. */
static void
hear_equal (struct hostile *h, uint16_t kind)
{
    struct attack *a = h->context;
    if (kind == WEIR_KIND_W_DIGESTS && ((const Weir__Digests *) h->heard)->answer) {
        Weir__Digests m = *(const Weir__Digests *) h->heard;
        m.has_answer = m.answer = false;
        say (a, WEIR_KIND_W_DIGESTS, &m.base);
    }
}

static void
announces (struct attack *a)
{
    struct weir_id digest = { { 2 } };
    uint64_t chains[WEIR_MARKS_PER_MESSAGE];
    uint64_t seqs[WEIR_MARKS_PER_MESSAGE];
    a->h.on = hear_equal;
    a->h.context = a;
    for (uint64_t i = 1; going (a); i++) {
        Weir__Announce m = WEIR__ANNOUNCE__INIT;
        for (size_t n = 0; n < WEIR_MARKS_PER_MESSAGE; n++) {
            chains[n] = i * 1000u + n;
            seqs[n] = n % 2 == 0 ? UINT64_MAX : i;
        }
        weir_store_u64 (digest.b + 8, i);
        m.has_tag = m.has_digest = true;
        m.tag = a->tag;
        m.digest = weir_field_id (&digest);
        m.chains = chains;
        m.seqs = seqs;
        m.n_chains = m.n_seqs = i % 3 == 0 ? 1 : WEIR_MARKS_PER_MESSAGE;
        say (a, WEIR_KIND_W_ANNOUNCE, &m.base);
        hear (a, 50);
        atomic_fetch_add (&a->done, 1);
    }
}

/* ---- it prunes everybody, and grafts what it never needs ---- */

static void
prunes (struct attack *a)
{
    a->h.on = hear_equal;
    a->h.context = a;
    for (uint64_t i = 1; going (a); i++) {
        Weir__Prune m = WEIR__PRUNE__INIT;
        m.has_tag = true;
        m.tag = a->tag;
        say (a, WEIR_KIND_W_PRUNE, &m.base);
        if (i % 4 == 0) {
            Weir__Graft g = WEIR__GRAFT__INIT;
            uint64_t chain = i;
            uint64_t seq = 0;
            g.has_tag = true;
            g.tag = a->tag;
            g.chains = &chain;
            g.seqs = &seq;
            g.n_chains = g.n_seqs = 1;
            say (a, WEIR_KIND_W_GRAFT, &g.base);
        }
        hear (a, 5);
        atomic_fetch_add (&a->done, 1);
    }
}

/* ---- it floods ---- */

static void
flood_frames (struct attack *a, uint64_t i)
{
    static uint8_t zeros[16u << 10];
    Weir__Frame m = WEIR__FRAME__INIT;
    m.has_transfer = m.has_offset = m.has_codec = m.has_bytes = true;
    m.transfer = 7;
    m.offset = i * sizeof zeros;
    m.bytes = sizeof zeros;
    a->said++;
    hostile_say (&a->h, WEIR_KIND_W_FRAME, &m.base, weir_bytes (zeros, sizeof zeros));
}

static void
floods (struct attack *a)
{
    for (uint64_t i = 1; going (a); i++) {
        Weir__PingPong ping = WEIR__PING_PONG__INIT;
        Weir__Vector vector = WEIR__VECTOR__INIT;
        Weir__Want want = WEIR__WANT__INIT;
        ping.has_number = vector.has_tag = vector.has_answer = vector.has_round = true;
        ping.number = i;
        vector.tag = want.tag = a->tag;
        vector.answer = true;
        vector.round = 1;
        want.has_tag = true;
        say_digest (a, i, true);
        say (a, WEIR_KIND_W_PING, &ping.base);
        say (a, WEIR_KIND_W_VECTOR, &vector.base);
        say (a, WEIR_KIND_W_WANT, &want.base);
        say_offer (a, i);
        flood_frames (a, i);
        hear (a, i % 64 == 0 ? 1 : 0);
        atomic_fetch_add (&a->done, 1);
    }
}

/* Far beyond any credit, and most of it of no transfer. */
static void
drowns (struct attack *a)
{
    for (uint64_t i = 1; going (a); i++) {
        if (i % 100 == 1) {
            say_offer (a, 7);
        }
        flood_frames (a, i);
        hear (a, i % 64 == 0 ? 1 : 0);
        atomic_fetch_add (&a->done, 1);
    }
}

/* ---- its every count is absurd ---- */

static const uint64_t numbers[] = { 0, 1, 1u << 20, UINT32_MAX, 1ull << 62, UINT64_MAX };
#define NUMBERS (sizeof numbers / sizeof numbers[0])
static const size_t lengths[] = { 0, 1, 31, 32, 33, 4000 };
#define LENGTHS (sizeof lengths / sizeof lengths[0])
static const size_t counts[] = { 0, 1, 64, 65, 1024, 1025, 5000 };
#define COUNTS (sizeof counts / sizeof counts[0])

static ProtobufCMessage *absurd (struct attack *a, const ProtobufCMessageDescriptor *type,
                                 struct weir_arena *arena, unsigned salt, unsigned depth);

static void
absurd_value (struct attack *a, const ProtobufCFieldDescriptor *f, void *at,
              struct weir_arena *arena, unsigned salt, unsigned depth)
{
    static uint8_t bytes[4000];
    if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
        *(ProtobufCMessage **) at = absurd (a, f->descriptor, arena, salt, depth + 1);
    } else if (f->type == PROTOBUF_C_TYPE_BYTES) {
        size_t len = salt % 3 != 0 ? WEIR_ID_BYTES : lengths[salt / 3 % LENGTHS];
        *(ProtobufCBinaryData *) at = weir_field_of (weir_bytes (bytes, len));
    } else if (f->type == PROTOBUF_C_TYPE_BOOL) {
        *(protobuf_c_boolean *) at = salt % 2;
    } else if (strcmp (f->name, "tag") == 0 && salt % 8 != 0) {
        *(uint64_t *) at = a->tag;
    } else if (f->type == PROTOBUF_C_TYPE_UINT32) {
        *(uint32_t *) at = (uint32_t) numbers[salt % NUMBERS];
    } else {
        *(uint64_t *) at = numbers[salt % NUMBERS];
    }
}

static size_t
size_of (const ProtobufCFieldDescriptor *f)
{
    return f->type == PROTOBUF_C_TYPE_MESSAGE  ? sizeof (void *)
           : f->type == PROTOBUF_C_TYPE_BYTES  ? sizeof (ProtobufCBinaryData)
           : f->type == PROTOBUF_C_TYPE_UINT32 ? sizeof (uint32_t)
           : f->type == PROTOBUF_C_TYPE_BOOL   ? sizeof (protobuf_c_boolean)
                                               : sizeof (uint64_t);
}

/* A message with a value in every field, and in lists as many as `salt` says; lists of as many
 * within lists only where it stays small. */
static ProtobufCMessage *
absurd (struct attack *a, const ProtobufCMessageDescriptor *type, struct weir_arena *arena,
        unsigned salt, unsigned depth)
{
    ProtobufCMessage *m = weir_arena_alloc (arena, type->sizeof_message);
    if (m == NULL) {
        node_die ("the test's own arena is full");
    }
    type->message_init (m);
    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &type->fields[i];
        char *at = (char *) m + f->offset;
        unsigned mixed = salt * 31u + i * 7u + salt / 11u;
        if (f->label == PROTOBUF_C_LABEL_REPEATED) {
            size_t n = depth > 0 ? mixed % 3 : counts[(salt + i) % COUNTS];
            char *items = weir_arena_alloc (arena, (n + 1) * size_of (f));
            for (size_t k = 0; items != NULL && k < n; k++) {
                absurd_value (a, f, items + k * size_of (f), arena, mixed + (unsigned) k, depth);
            }
            *(size_t *) ((char *) m + f->quantifier_offset) = items != NULL ? n : 0;
            *(char **) at = items;
        } else if (depth < 4) {
            absurd_value (a, f, at, arena, mixed, depth);
            if (f->type != PROTOBUF_C_TYPE_MESSAGE && mixed % 13 != 0) {
                *(protobuf_c_boolean *) ((char *) m + f->quantifier_offset) = 1;
            }
        }
    }
    return m;
}

static void
absurdities (struct attack *a)
{
    struct weir_arena *arena = weir_arena_new (64u << 20);
    static uint8_t body[1000];
    for (unsigned salt = 0; going (a); salt++) {
        for (size_t i = 0; going (a) && weir_kind_at (i) != NULL; i++) {
            const struct weir_kind *kind = weir_kind_at (i);
            if ((kind->from & WEIR_ROLE_N) == 0 || kind->meta == NULL
                || kind->number == WEIR_KIND_W_BYE) {
                continue;
            }
            weir_arena_reset (arena);
            ProtobufCMessage *m = absurd (a, kind->meta, arena, salt + kind->number, 0);
            a->said++;
            hostile_say (&a->h, kind->number, m,
                         kind->body_max > 0 ? weir_bytes (body, salt % sizeof body) : none ());
            hear (a, 0);
        }
        atomic_fetch_add (&a->done, 1);
    }
    weir_arena_destroy (&arena);
}

/* ---- thousands of chains, and of tips of one ---- */

struct stream {
    uint64_t transfer;
    uint64_t offset;
    uint64_t limit;
};

/* Sends runs, within what it is allowed. */
static void
send_runs (struct attack *a, struct stream *s, struct weir_buf *runs)
{
    Weir__Frame m = WEIR__FRAME__INIT;
    while (going (a) && s->offset + runs->len > s->limit) {
        if (hostile_hear (&a->h, WEIR_KIND_W_ACK, 100)) {
            s->limit = ((const Weir__Ack *) a->h.heard)->limit;
        } else if (a->h.gone || a->h.bye) {
            return;
        }
    }
    m.has_transfer = m.has_offset = m.has_codec = m.has_bytes = true;
    m.transfer = s->transfer;
    m.offset = s->offset;
    m.bytes = (uint32_t) runs->len;
    a->said++;
    hostile_say (&a->h, WEIR_KIND_W_FRAME, &m.base, weir_buf_bytes (runs));
    s->offset += runs->len;
    weir_buf_clear (runs);
    hear (a, 0);
}

static void
put_entry (struct attack *a, const struct weir_chain *chain, uint64_t seq,
           const struct weir_id *prev, unsigned salt, struct weir_buf *out, struct weir_id *id)
{
    struct weir_run_builder b;
    uint8_t payload[8] = { 0x7f };
    weir_store_u32 (payload + 1, salt);
    weir_run_builder_init (&b);
    weir_run_begin (&b, &a->w->db, WEIR_ENTRY_DATA, chain, seq, prev, a->heads,
                    seq == 0 ? a->n_heads : 0);
    weir_run_add (&b, 0, 1, weir_bytes (payload, sizeof payload), id);
    weir_run_close (&b, &a->id.device, out);
    weir_run_builder_fini (&b);
}

#define EQUIVOCATIONS 3000u

static void
equivocates (struct attack *a)
{
    struct stream s = { .transfer = 11 };
    struct weir_chain chain = { a->id.device.device, 1 };
    struct weir_buf runs = { 0 };
    struct weir_id first;
    struct weir_id id;
    say_offer (a, s.transfer);
    if (!hostile_hear (&a->h, WEIR_KIND_W_ACCEPT, HOSTILE_MS)) {
        node_die ("a member's offer is not accepted: %s", hostile_end (&a->h));
    }
    s.limit = ((const Weir__Accept *) a->h.heard)->limit;
    put_entry (a, &chain, 0, &weir_id_zero, 0, &runs, &first);
    for (unsigned i = 1; going (a) && i <= EQUIVOCATIONS; i++) {
        struct weir_chain other = { a->id.device.device, 1000u + i };
        put_entry (a, &chain, 1, &first, i, &runs, &id);
        put_entry (a, &other, 0, &weir_id_zero, i, &runs, &id);
        if (i % 16 == 0) {
            send_runs (a, &s, &runs);
        }
        atomic_store (&a->done, i);
    }
    while (going (a)) {
        hear (a, 50);
    }
    weir_buf_fini (&runs);
}

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
        node_call (n, WEIR_KIND_DOC_GET, &ask.base, none (), 10000, &answer, &e);
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
    if (weir_client_send (w->ctl, WEIR_KIND_EVENTS, &ask.base, none (), 10000, &request, &e)
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
    if (weir_client_call (w->ctl, WEIR_KIND_PEER_LIST, &ask.base, none (), 10000, &answer, &e)
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
    { "promises", promises, 3, SHOWN },
    { "announces", announces, 3, SHOWN },
    { "prunes", prunes, 3, NOBODY },
    { "floods", floods, 100, EVENT },
    { "drowns", drowns, 100, SHOWN },
    { "absurdities", absurdities, 2, SHOWN },
    { "equivocates", equivocates, 500, EVENT },
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
    connect_again (&s->a);
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
