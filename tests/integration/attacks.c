/* What a member that means harm does, attack by attack; see attacks.h. */

#include "tests/integration/attacks.h"

#include <stdlib.h>
#include <string.h>

#include "store/dag/run.h"

#define KIND_NONE 0xffffu

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

void
attack_connect (struct attack *a)
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
        attack_connect (a);
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

void
attack_promises (struct attack *a)
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

void
attack_announces (struct attack *a)
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

void
attack_prunes (struct attack *a)
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

void
attack_floods (struct attack *a)
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
void
attack_drowns (struct attack *a)
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

void
attack_absurdities (struct attack *a)
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

void
attack_equivocates (struct attack *a)
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
