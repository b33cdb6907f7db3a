/* The requests of the refusal matrix; see hostile_cells.h. Words for how one ended: "bye CODE"
 * (refused, and told), "closed" (cut off), "ignored" (the session lives, and it was counted),
 * "unanswered" (as if the database did not exist), "dropped" (a frame nobody asked for),
 * "lost CODE" (the transfer was given up), "run CODE" (the run was refused), "joined CODE",
 * "stored", "waits" (not enough came to judge), "cut off" (by libzmq itself), "shut"
 * (its ticket ran out, so its key is no longer admitted). */

#include "tests/integration/hostile_cells.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zmq.h>
#include <zstd.h>

#include "store/dag/members.h"
#include "store/dag/run.h"

static void
got (struct cell *c, const char *text)
{
    snprintf (c->got, sizeof c->got, "%s", text);
}

/* How it ended; "alive" is said as `calm`. */
static void
got_end (struct cell *c, const char *calm)
{
    const char *end = hostile_end (&c->h);
    got (c, strcmp (end, "alive") == 0 ? calm : end);
}

static struct weir_bytes
none (void)
{
    return weir_bytes (NULL, 0);
}

/* What was said before the session is ignored, if a session can be made after it. */
static void
got_after_open (struct cell *c)
{
    if (!hostile_open (&c->h)) {
        got_end (c, "?");
    } else {
        got_end (c, "ignored");
    }
}

/* ---- shapes: what is no message at all ---- */

enum { NO_PARTS, ONE_PART, FIVE_PARTS, SHORT_ENVELOPE, FLAGGED, HUGE, HALF, BAD_META, BIG_META };

static void
shape (struct cell *c)
{
    static uint8_t big[3u << 20];
    struct weir_envelope e = { .kind = WEIR_KIND_W_PING,
                               .flags = c->arg == FLAGGED ? WEIR_ENV_ANSWER : 0 };
    uint8_t envelope[WEIR_ENVELOPE_BYTES];
    weir_envelope_put (&e, envelope);
    struct weir_bytes parts[5] = { weir_bytes (envelope, sizeof envelope) };
    size_t n = 3;
    if (c->arg == NO_PARTS) {
        parts[0] = none ();
    } else if (c->arg == ONE_PART) {
        n = 1;
    } else if (c->arg == FIVE_PARTS) {
        n = 5;
    } else if (c->arg == SHORT_ENVELOPE) {
        parts[0].len = 79;
    } else if (c->arg == HUGE) {
        parts[2] = weir_bytes (big, sizeof big);
    } else if (c->arg == BAD_META) {
        parts[1] = weir_bytes ("\xff\xff\xff\xff", 4);
    } else if (c->arg == BIG_META) {
        parts[1] = weir_bytes (big, 300u << 10);
    }
    hostile_say_parts (&c->h, parts, c->arg == HALF ? 2 : n, c->arg == HALF);
    if (c->arg == HALF) {
        got (c, "silent"); /* and it stays so: others must not notice */
    } else {
        got_end (c, "ignored");
    }
    if (c->arg == HUGE && strcmp (c->got, "closed") == 0) {
        got (c, "cut off"); /* by libzmq, which tells nobody why */
    }
}

static void
kind (struct cell *c)
{
    static const struct weir_bytes nothing = { 0 };
    struct weir_envelope e = { .kind = (uint16_t) c->arg };
    uint8_t envelope[WEIR_ENVELOPE_BYTES];
    weir_envelope_put (&e, envelope);
    struct weir_bytes parts[3] = { weir_bytes (envelope, sizeof envelope), nothing, nothing };
    hostile_say_parts (&c->h, parts, 3, false);
    got_end (c, "ignored");
}

static void
routing_id (struct cell *c)
{
    hostile_dial (&c->h, c->w->zmq, &c->w->who[c->who], c->w->address, &c->w->link_key,
                  "honest-routing-id");
    c->dialled = true;
    if (!c->h.up) {
        got (c, "door");
        return;
    }
    hostile_say_hello (&c->h);
    got (c, hostile_hear (&c->h, WEIR_KIND_W_HELLO, HOSTILE_MS) ? "heard" : hostile_end (&c->h));
}

/* ---- the handshake ---- */

enum { GOOD, OWN_DEVICE, NO_COMMON, BACKWARDS, ZERO_DEVICE, TWICE };

static void
hello (struct cell *c)
{
    struct weir_hello *ours = &c->h.hello;
    if (c->arg == OWN_DEVICE) {
        ours->device = c->w->device;
    } else if (c->arg == NO_COMMON) {
        ours->protocol_min = ours->protocol_max = WEIR_PROTOCOL_MAX + 7;
    } else if (c->arg == BACKWARDS) {
        ours->protocol_min = 9;
    } else if (c->arg == ZERO_DEVICE) {
        ours->device = weir_id_zero;
    }
    hostile_say_hello (&c->h);
    if (c->arg == TWICE) {
        hostile_say_hello (&c->h);
    }
    (void) hostile_hear (&c->h, WEIR_KIND_W_BYE, HOSTILE_MS);
    got_end (c, "?");
}

enum { FORGED, REFLECTED, REPLAYED, OTHER_ROLE, SHORT_PROOF, TOO_EARLY };

/* Of an earlier session of the same device over another link. */
static void
earlier_proof (struct cell *c, struct weir_signature *out)
{
    struct hostile before;
    hostile_dial (&before, c->w->zmq, &c->w->who[c->who], c->w->address, &c->w->link_key, NULL);
    if (!before.up || !hostile_greet (&before)) {
        node_die ("no earlier session");
    }
    hostile_sign (&before, out);
    hostile_close (&before);
}

static void
proof (struct cell *c)
{
    struct weir_signature signature = { { 1, 2, 3 } };
    if (c->arg == REFLECTED) {
        signature = c->h.their_proof;
    } else if (c->arg == REPLAYED) {
        earlier_proof (c, &signature);
    } else if (c->arg == OTHER_ROLE) {
        struct weir_buf claim = { 0 };
        weir_session_claim (&c->h.session, WEIR_RESPONDER, &claim);
        weir_sign (&signature, &c->h.id.device, WEIR_SIGN_PROOF, weir_buf_bytes (&claim));
        weir_buf_fini (&claim);
    }
    if (c->arg == SHORT_PROOF) {
        Weir__Proof m = WEIR__PROOF__INIT;
        m.has_signature = true;
        m.signature = weir_field_of (weir_bytes (signature.b, 5));
        hostile_say (&c->h, WEIR_KIND_W_PROOF, &m.base, none ());
    } else {
        hostile_say_proof (&c->h, &signature);
    }
    (void) hostile_hear (&c->h, WEIR_KIND_W_BYE, HOSTILE_MS);
    got_end (c, "?");
}

static void
session (struct cell *c)
{
    if (c->arg == TWICE) {
        hostile_say_hello (&c->h);
    }
    got_end (c, c->arg == TWICE ? "ignored" : "alive");
}

/* ---- sync's words ---- */

enum {
    OF_SECRET = 1,
    OF_NOTHING = 2,
    MANY = 4,
    VERY_MANY = 8,
    SAMPLES = 16,
    BAD_IDS = 32,
    ANSWER = 64,
    ROWLESS = 128
};

static uint64_t
tag_of (const struct cell *c)
{
    if (c->h.session.their_hello.len == 0) {
        return 1;
    }
    struct weir_id nothing = { { 9 } };
    return hostile_tag (&c->h, c->arg & OF_SECRET    ? &c->w->secret
                               : c->arg & OF_NOTHING ? &nothing
                                                     : &c->w->db);
}

static size_t
how_many (const struct cell *c)
{
    return c->arg & VERY_MANY ? 10000 : c->arg & MANY ? 1100 : 1;
}

static void
say_digests (struct cell *c)
{
    size_t n = how_many (c);
    Weir__Digest item = WEIR__DIGEST__INIT;
    Weir__Digests m = WEIR__DIGESTS__INIT;
    item.has_tag = item.has_digest = true;
    item.tag = tag_of (c);
    item.digest = weir_field_of (weir_bytes (c->w->device.b, c->arg & BAD_IDS ? 7 : 32));
    m.items = weir_alloc (n * sizeof *m.items);
    for (; m.n_items < n; m.n_items++) {
        m.items[m.n_items] = &item;
    }
    m.has_answer = m.answer = true;
    hostile_say (&c->h, WEIR_KIND_W_DIGESTS, &m.base, none ());
    free (m.items);
}

static void
say_vector (struct cell *c)
{
    size_t n = c->arg & SAMPLES ? 1 : how_many (c);
    size_t n_samples = c->arg & SAMPLES ? how_many (c) : 0;
    Weir__Sample sample = WEIR__SAMPLE__INIT;
    Weir__Row row = WEIR__ROW__INIT;
    Weir__Vector m = WEIR__VECTOR__INIT;
    sample.has_seq = sample.has_id = true;
    sample.id = weir_field_id (&c->w->device);
    row.has_author = row.has_lane = row.has_count = row.has_tip = true;
    row.author = row.tip = weir_field_of (weir_bytes (c->w->device.b, c->arg & BAD_IDS ? 7 : 32));
    row.samples = weir_alloc ((n_samples + 1) * sizeof *row.samples);
    for (; row.n_samples < n_samples; row.n_samples++) {
        row.samples[row.n_samples] = &sample;
    }
    m.rows = weir_alloc (n * sizeof *m.rows);
    for (; m.n_rows < n && !(c->arg & ROWLESS); m.n_rows++) {
        m.rows[m.n_rows] = &row;
    }
    m.has_tag = m.has_round = m.has_answer = true;
    m.tag = tag_of (c);
    m.round = c->arg & ANSWER ? 2 : 1;
    m.answer = m.round == 1;
    hostile_say (&c->h, WEIR_KIND_W_VECTOR, &m.base, none ());
    free (m.rows);
    free (row.samples);
}

static void
say_offer (struct cell *c, uint64_t tag, uint64_t transfer)
{
    Weir__Offer m = WEIR__OFFER__INIT;
    m.has_tag = m.has_transfer = true;
    m.tag = tag;
    m.transfer = transfer;
    hostile_say (&c->h, WEIR_KIND_W_OFFER, &m.base, none ());
}

static void
got_word (struct cell *c)
{
    unsigned before = c->h.words;
    if (c->h.session.phase == WEIR_SESSION_NEW || c->h.session.phase == WEIR_SESSION_HELLO) {
        got_after_open (c);
        return;
    }
    if (!c->h.session.proof_sent) {
        struct weir_signature signature;
        hostile_sign (&c->h, &signature);
        hostile_say_proof (&c->h, &signature);
    }
    got_end (c, "ignored");
    if (c->who != TICKET && strcmp (c->got, "ignored") == 0 && c->arg & (OF_SECRET | OF_NOTHING)) {
        got (c, c->h.words > before ? "answered" : "unanswered");
    }
}

static void
digests (struct cell *c)
{
    say_digests (c);
    got_word (c);
}

static void
vector (struct cell *c)
{
    say_vector (c);
    got_word (c);
}

static void
offer (struct cell *c)
{
    say_offer (c, tag_of (c), 99);
    got_word (c);
}

static void
cards (struct cell *c)
{
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    Weir__Cards m = WEIR__CARDS__INIT;
    Weir__Card *card = hostile_card (&c->w->who[c->arg], arena);
    card->signature.data[5] ^= 1;
    m.cards = &card;
    m.n_cards = 1;
    hostile_say (&c->h, WEIR_KIND_W_CARDS, &m.base, none ());
    got_end (c, "ignored");
    weir_arena_destroy (&arena);
}

/* ---- joining ---- */

enum { FOREIGN_TICKET, OTHERS_CARD, NO_CARD, USED, EXPIRED };

static void
say_join (struct cell *c, const struct weir_id *ticket, const struct hostile_id *card)
{
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    Weir__Join m = WEIR__JOIN__INIT;
    m.has_ticket = true;
    m.ticket = weir_field_id (ticket);
    m.card = card != NULL ? hostile_card (card, arena) : NULL;
    hostile_say (&c->h, WEIR_KIND_W_JOIN, &m.base, none ());
    weir_arena_destroy (&arena);
}

static void
got_joined (struct cell *c)
{
    if (hostile_hear (&c->h, WEIR_KIND_W_JOINED, HOSTILE_MS)) {
        enum weir_status status =
            weir_status_from_number (((const Weir__Joined *) c->h.heard)->status);
        snprintf (c->got, sizeof c->got, "joined %s", weir_status_code (status));
    } else {
        got_end (c, "ignored");
    }
}

static void
join (struct cell *c)
{
    const struct hostile_id *us = &c->w->who[c->who];
    bool foreign = c->arg == FOREIGN_TICKET || c->who != TICKET;
    if (c->who != TICKET) {
        say_join (c, &c->w->who[TICKET].link.public_key, us);
        got_end (c, "ignored");
        return;
    }
    say_join (c, foreign ? &c->w->link_key : &us->link.public_key,
              c->arg == NO_CARD       ? NULL
              : c->arg == OTHERS_CARD ? &c->w->who[WRITER]
                                      : us);
    got_joined (c);
}

/* With a ticket of its own, which another device uses first, or which runs out first. */
static void
stale_ticket (struct cell *c)
{
    struct hostile_id us;
    hostile_id_make (&us, 200 + c->arg, 0);
    world_ticket (c->w, WEIR_RIGHT_READ, c->arg == EXPIRED ? 1 : 3600, &us.link);
    if (c->arg == USED) {
        struct hostile_id other;
        struct hostile_id card;
        hostile_id_make (&other, 300, 33);
        card = other;
        other.link = us.link;
        hostile_dial (&c->h, c->w->zmq, &other, c->w->address, &c->w->link_key, NULL);
        if (!c->h.up || !hostile_open (&c->h)) {
            node_die ("the first user of a ticket is refused: %s", hostile_end (&c->h));
        }
        say_join (c, &us.link.public_key, &card);
        got_joined (c);
        hostile_close (&c->h);
    }
    hostile_dial (&c->h, c->w->zmq, &us, c->w->address, &c->w->link_key, NULL);
    c->dialled = true;
    if (!c->h.up || !hostile_open (&c->h)) {
        got (c, c->h.up ? hostile_end (&c->h) : "door");
        return;
    }
    if (c->arg == EXPIRED) {
        (void) hostile_hear (&c->h, WEIR_KIND_W_BYE, HOSTILE_MS); /* its time passes */
        got (c, c->h.gone ? "shut" : "alive");
        return;
    }
    say_join (c, &us.link.public_key, &us);
    got_joined (c);
}

/* ---- transfers ---- */

static uint64_t transfers = 1000;

/* Offers, and waits for the acceptance; false when that did not come. */
static bool
begin_transfer (struct cell *c, uint64_t *limit)
{
    say_offer (c, hostile_tag (&c->h, &c->w->db), ++transfers);
    if (c->who == TICKET || !hostile_hear (&c->h, WEIR_KIND_W_ACCEPT, HOSTILE_MS)) {
        got_end (c, "not accepted");
        return false;
    }
    *limit = ((const Weir__Accept *) c->h.heard)->limit;
    return true;
}

static void
say_frame (struct cell *c, uint64_t transfer, uint64_t offset, uint32_t codec, uint64_t told,
           struct weir_bytes body)
{
    Weir__Frame m = WEIR__FRAME__INIT;
    m.has_transfer = m.has_offset = m.has_digest = m.has_codec = m.has_bytes = true;
    m.transfer = transfer;
    m.offset = offset;
    m.codec = codec;
    m.bytes = (uint32_t) told;
    m.digest = weir_field_id (&c->w->device); /* never ours: what we hold differs */
    hostile_say (&c->h, WEIR_KIND_W_FRAME, &m.base, body);
}

static void
got_transfer (struct cell *c, uint64_t until_offset)
{
    uint64_t until = node_now_ms () + HOSTILE_MS;
    while (node_now_ms () < until) {
        if (hostile_hear (&c->h, WEIR_KIND_W_ACK, 20)
            && ((const Weir__Ack *) c->h.heard)->offset >= until_offset) {
            break;
        }
        if (c->h.heard != NULL && c->h.heard->descriptor == &weir__close_transfer__descriptor) {
            enum weir_status status =
                weir_status_from_number (((const Weir__CloseTransfer *) c->h.heard)->status);
            snprintf (c->got, sizeof c->got, "lost %s", weir_status_code (status));
            return;
        }
        if (c->h.bye || c->h.gone) {
            got_end (c, "?");
            return;
        }
    }
    got (c, "acknowledged");
}

/* What became of a run that came whole. Refusals are told once a second: one peer says it again
 * until that is its own, of the others they are counted. */
static void
got_run (struct cell *c, const struct counts *before, struct weir_bytes bytes)
{
    uint64_t offset = bytes.len;
    uint64_t until = node_now_ms () + HOSTILE_MS;
    struct counts now;
    got_transfer (c, offset);
    world_counts (c->w, &now);
    if (strcmp (c->got, "acknowledged") == 0 && now.runs_refused == before->runs_refused) {
        got (c, "stored");
    }
    while (strcmp (c->got, "acknowledged") == 0) {
        enum weir_status status = world_event (c->w, c->event, "run_refused", WEIR_STATUS_COUNT);
        if (status != WEIR_OK) {
            snprintf (c->got, sizeof c->got, "run %s", weir_status_code (status));
        } else if (c->who != READER || node_now_ms () > until) {
            got (c, "run refused");
        } else {
            node_pause_ms (50);
            say_frame (c, transfers, offset, 0, bytes.len, bytes);
            offset += bytes.len;
            got_transfer (c, offset);
        }
    }
}

enum {
    RUN_GOOD,
    RUN_FORGED,
    RUN_SPLICED,
    RUN_ALTERED,
    RUN_SETTINGS,
    RUN_BY_STRANGER,
    RUN_BY_REMOVED,
    RUN_LATE,
    RUN_GENESIS,
    RUN_DEPS,
    RUN_COUNT,
    RUN_PAYLOAD,
    RUN_TRUNCATED,
    RUN_FORMAT,
    RUN_TWO
};

static void
put_run (struct cell *c, struct weir_buf *out)
{
    static uint64_t lane;
    struct weir_run_builder b;
    struct weir_id heads[WEIR_ENTRY_DEPS_MAX];
    struct weir_id id;
    struct weir_buf payload = { 0 };
    enum who author = c->arg == RUN_BY_STRANGER                        ? STRANGER
                      : c->arg == RUN_BY_REMOVED || c->arg == RUN_LATE ? REMOVED
                                                                       : c->who;
    struct weir_chain chain = { c->w->who[author].device.device, ++lane };
    size_t n = world_heads (c->w, "matrix", heads);
    struct weir_member_change change = { .device = chain.author, .right = WEIR_RIGHT_ADMIN };
    struct weir_settings settings = { .n_changes = 1, .changes = &change };
    uint8_t what = c->arg == RUN_SETTINGS ? WEIR_ENTRY_SETTINGS : WEIR_ENTRY_DATA;
    bool late = c->arg == RUN_LATE;
    if (c->arg == RUN_SETTINGS) {
        weir_settings_put (&payload, &settings, false);
    } else {
        weir_buf_put_bytes (&payload, weir_bytes_str ("\x7fhostile: no payload of ours"));
    }
    weir_run_builder_init (&b);
    weir_run_begin (&b, c->arg == RUN_SPLICED ? &c->w->secret : &c->w->db, what, &chain, 0,
                    &weir_id_zero, late ? c->w->early_heads : heads,
                    late ? c->w->n_early_heads : n);
    weir_run_add (&b, 0, 1, weir_buf_bytes (&payload), &id);
    weir_run_close (&b, &c->w->who[author].device, out);
    weir_run_builder_fini (&b);
    weir_buf_fini (&payload);
}

/* The header of a data run by hand, up to the count of deps. */
static void
put_head (const struct cell *c, struct weir_buf *out)
{
    weir_buf_put_u8 (out, c->arg == RUN_FORMAT ? 0xee : 1);
    weir_buf_put_u8 (out, WEIR_ENTRY_DATA);
    weir_buf_put_bytes (out, weir_id_bytes (&c->h.id.device.device));
    weir_buf_put_u64 (out, 7);
    weir_buf_put_varint (out, 0);
}

static void
put_absurd (const struct cell *c, struct weir_buf *out)
{
    unsigned deps = c->arg == RUN_DEPS ? 255 : 1;
    put_head (c, out);
    weir_buf_put_u8 (out, (uint8_t) deps);
    for (unsigned i = 0; i < deps; i++) {
        weir_buf_put_bytes (out, weir_id_bytes (&c->w->db));
    }
    weir_buf_put_varint (out, c->arg == RUN_COUNT ? 1ull << 32 : 1);
    weir_buf_put_varint (out, 0);
    weir_buf_put_varint (out, 0);
    weir_buf_put_varint (out, c->arg == RUN_PAYLOAD ? 1ull << 31 : 4);
    for (unsigned i = 0; i < 4 + 64; i++) {
        weir_buf_put_u8 (out, 0);
    }
}

static void
run (struct cell *c)
{
    struct weir_buf bytes = { 0 };
    struct counts before;
    uint64_t limit = 0;
    if (!begin_transfer (c, &limit)) {
        return;
    }
    if (c->arg == RUN_DEPS || c->arg == RUN_COUNT || c->arg == RUN_PAYLOAD
        || c->arg == RUN_FORMAT) {
        put_absurd (c, &bytes);
    } else {
        put_run (c, &bytes);
    }
    if (c->arg == RUN_FORGED) {
        bytes.data[bytes.len - 5] ^= 1;
    } else if (c->arg == RUN_ALTERED) {
        bytes.data[bytes.len - WEIR_SIGNATURE_BYTES - 3] ^= 1;
    } else if (c->arg == RUN_TRUNCATED) {
        bytes.len -= 20;
    }
    world_counts (c->w, &before);
    say_frame (c, transfers, 0, 0, bytes.len, weir_buf_bytes (&bytes));
    if (c->arg == RUN_TRUNCATED) {
        got_end (c, "waits"); /* the rest may come: nothing is acknowledged */
    } else {
        got_run (c, &before, weir_buf_bytes (&bytes));
    }
    weir_buf_fini (&bytes);
}

enum {
    HOLE,
    OVERLAP,
    UNKNOWN,
    OVERSIZED,
    BOMB,
    WRONG_SIZE,
    NO_ZSTD,
    CODEC_7,
    BEYOND,
    SHORT_DIGEST
};

static void
frame (struct cell *c)
{
    static uint8_t zeros[8u << 20];
    struct weir_buf packed = { 0 };
    uint64_t limit = 0;
    if (!begin_transfer (c, &limit)) {
        return;
    }
    weir_buf_reserve (&packed, ZSTD_compressBound (sizeof zeros));
    packed.len =
        ZSTD_compress (packed.data, ZSTD_compressBound (sizeof zeros), zeros, sizeof zeros, 1);
    if (c->arg == HOLE) {
        say_frame (c, transfers, 5, 0, 4, weir_bytes (zeros, 4));
        got_transfer (c, UINT64_MAX);
    } else if (c->arg == BEYOND) {
        say_frame (c, transfers, limit + 1, 0, 4, weir_bytes (zeros, 4));
        got_transfer (c, UINT64_MAX);
    } else if (c->arg == OVERLAP) {
        say_frame (c, transfers, 0, 0, 1, weir_bytes ("\x01", 1));
        say_frame (c, transfers, 0, 0, 4, weir_bytes (zeros, 4));
        got_end (c, "waits"); /* the second is a duplicate, whatever it says */
    } else if (c->arg == UNKNOWN) {
        say_frame (c, 4711, 0, 0, 4, weir_bytes (zeros, 4));
        got_end (c, "dropped");
    } else if (c->arg == OVERSIZED) {
        say_frame (c, transfers, 0, 0, 300u << 10, weir_bytes (zeros, 300u << 10));
        got_end (c, "?");
    } else if (c->arg == NO_ZSTD) {
        say_frame (c, transfers, 0, 1, 100, weir_bytes (zeros, 50));
        got_end (c, "?");
    } else {
        say_frame (c, transfers, 0, c->arg == CODEC_7 ? 7 : 1, c->arg == BOMB ? sizeof zeros : 100,
                   weir_buf_bytes (&packed));
        got_end (c, "?");
    }
    weir_buf_fini (&packed);
}

static void
ack (struct cell *c)
{
    Weir__Ack m = WEIR__ACK__INIT;
    m.has_transfer = m.has_offset = m.has_limit = true;
    m.transfer = 4711;
    m.offset = UINT64_MAX;
    m.limit = UINT64_MAX;
    hostile_say (&c->h, WEIR_KIND_W_ACK, &m.base, none ());
    got_end (c, "dropped");
}

/* Says that it has nothing, takes what is offered, and acknowledges what was never sent. */
static void
ack_beyond (struct cell *c)
{
    Weir__Accept accept = WEIR__ACCEPT__INIT;
    Weir__Ack m = WEIR__ACK__INIT;
    if (c->who == TICKET) {
        got_end (c, "alive"); /* nobody offers it anything */
        return;
    }
    c->arg = ROWLESS;
    say_vector (c); /* our question; and, if the hub asked first, our answer */
    c->arg = ROWLESS | ANSWER;
    say_vector (c);
    if (!hostile_hear (&c->h, WEIR_KIND_W_OFFER, HOSTILE_MS)) {
        got_end (c, "not offered");
        return;
    }
    accept.has_transfer = accept.has_limit = m.has_transfer = m.has_offset = m.has_limit = true;
    accept.transfer = m.transfer = ((const Weir__Offer *) c->h.heard)->transfer;
    accept.limit = m.limit = m.offset = UINT64_MAX;
    hostile_say (&c->h, WEIR_KIND_W_ACCEPT, &accept.base, none ());
    if (!hostile_hear (&c->h, WEIR_KIND_W_FRAME, HOSTILE_MS)) {
        got_end (c, "not sent");
        return;
    }
    hostile_say (&c->h, WEIR_KIND_W_ACK, &m.base, none ());
    got_transfer (c, UINT64_MAX);
}

/* Of transfers that are not. */
static void
stray (struct cell *c)
{
    Weir__Accept accept = WEIR__ACCEPT__INIT;
    Weir__CloseTransfer close = WEIR__CLOSE_TRANSFER__INIT;
    accept.has_transfer = close.has_transfer = true;
    accept.transfer = close.transfer = 4712;
    hostile_say (&c->h, (uint16_t) c->arg,
                 c->arg == WEIR_KIND_W_ACCEPT ? &accept.base : &close.base, none ());
    got_end (c, "alive");
}

/* ---- the table ---- */

const struct request requests[] = {
    { "three empty parts", LINK, shape, NO_PARTS, "closed", NULL },
    { "one part", LINK, shape, ONE_PART, "closed", NULL },
    { "five parts", LINK, shape, FIVE_PARTS, "closed", NULL },
    { "an envelope of 79 bytes", LINK, shape, SHORT_ENVELOPE, "closed", NULL },
    { "an answer to nothing", LINK, shape, FLAGGED, "closed", NULL },
    { "3 MB", LINK, shape, HUGE, "cut off", NULL },
    { "half a message, then silence", LINK, shape, HALF, "silent", NULL },
    { "meta that does not decode", OPEN, shape, BAD_META, "bye bad_message", NULL },
    { "meta of 300 KiB", OPEN, shape, BIG_META, "closed", NULL },
    { "an unknown wire kind", OPEN, kind, 699, "ignored", NULL },
    { "DB_CREATE", OPEN, kind, WEIR_KIND_DB_CREATE, "closed", NULL },
    { "SIGN_PROOF", OPEN, kind, WEIR_KIND_SIGN_PROOF, "closed", NULL },
    { "FRAME_IN", OPEN, kind, WEIR_KIND_FRAME_IN, "closed", NULL },
    { "kind 65535", OPEN, kind, 65535, "closed", NULL },
    { "another's routing id", DIALS, routing_id, 0, "closed", NULL },

    { "Hello: the node's own device", LINK, hello, OWN_DEVICE, "bye own_device", NULL },
    { "Hello: no common protocol", LINK, hello, NO_COMMON, "bye incompatible", NULL },
    { "Hello: protocols backwards", LINK, hello, BACKWARDS, "bye bad_message", NULL },
    { "Hello: device zero", LINK, hello, ZERO_DEVICE, "bye bad_message", NULL },
    { "Hello twice", LINK, hello, TWICE, "bye bad_message", NULL },
    { "Proof before Hello", LINK, proof, TOO_EARLY, "bye bad_proof", NULL },
    { "Proof: forged", MID, proof, FORGED, "bye bad_proof", NULL },
    { "Proof: reflected", MID, proof, REFLECTED, "bye bad_proof", NULL },
    { "Proof: replayed", MID, proof, REPLAYED, "bye bad_proof", NULL },
    { "Proof: of the other role", MID, proof, OTHER_ROLE, "bye bad_proof", NULL },
    { "Proof: cut short", MID, proof, SHORT_PROOF, "bye bad_proof", NULL },
    { "Proof: good", OPEN, session, GOOD, "alive", NULL },
    { "Hello in session", OPEN, session, TWICE, "ignored", NULL },

    { "digests before Hello", LINK, digests, 0, "ignored", NULL },
    { "vector before Hello", LINK, vector, 0, "ignored", NULL },
    { "offer between Hello and Proof", MID, offer, 0, "ignored", NULL },
    { "digest of a database it is not in", OPEN, digests, OF_SECRET, "unanswered", NULL },
    { "digest of no database", OPEN, digests, OF_NOTHING, "unanswered", NULL },
    { "vector of a database it is not in", OPEN, vector, OF_SECRET, "unanswered", NULL },
    { "vector of no database", OPEN, vector, OF_NOTHING, "unanswered", NULL },
    { "offer for a database it is not in", OPEN, offer, OF_SECRET, "unanswered", NULL },
    { "offer for no database", OPEN, offer, OF_NOTHING, "unanswered", NULL },
    { "digest of 7 bytes", OPEN, digests, BAD_IDS, "bye bad_message", NULL },
    { "row with a tip of 7 bytes", OPEN, vector, BAD_IDS, "bye bad_message", NULL },
    { "1,100 digests", OPEN, digests, MANY, "bye bad_message", NULL },
    { "10,000 digests", OPEN, digests, VERY_MANY, "closed", NULL },
    { "1,100 rows", OPEN, vector, MANY, "bye bad_message", NULL },
    { "10,000 rows", OPEN, vector, VERY_MANY, "closed", NULL },
    { "1,100 samples", OPEN, vector, SAMPLES | MANY, "bye bad_message", NULL },
    { "10,000 samples", OPEN, vector, SAMPLES | VERY_MANY, "closed", NULL },
    { "a forged card", OPEN, cards, READER, "ignored", NULL },

    { "join: with a ticket of others", GUEST, join, FOREIGN_TICKET, "joined bad_ticket", NULL },
    { "join: with another's card", GUEST, join, OTHERS_CARD, "joined bad_ticket", NULL },
    { "join: without a card", GUEST, join, NO_CARD, "joined bad_ticket", NULL },
    { "join: the ticket was used", DIALS, stale_ticket, USED, "joined ticket_used", NULL },
    { "join: the ticket ran out", DIALS, stale_ticket, EXPIRED, "shut", NULL },

    { "run: forged signature", OPEN, run, RUN_FORGED, "run bad_signature", NULL },
    { "run: of another database", OPEN, run, RUN_SPLICED, "run bad_signature", NULL },
    { "run: payload altered", OPEN, run, RUN_ALTERED, "run bad_signature", NULL },
    { "run: settings by no admin", OPEN, run, RUN_SETTINGS, "run not_allowed", NULL },
    { "run: by a stranger", OPEN, run, RUN_BY_STRANGER, "run not_member", NULL },
    { "run: by a removed member", OPEN, run, RUN_BY_REMOVED, "run not_member", NULL },
    { "run: 255 deps", OPEN, run, RUN_DEPS, "lost bad_run", NULL },
    { "run: 2^32 entries", OPEN, run, RUN_COUNT, "lost bad_run", NULL },
    { "run: payload of 2^31 bytes", OPEN, run, RUN_PAYLOAD, "lost bad_run", NULL },
    { "run: unknown format", OPEN, run, RUN_FORMAT, "lost needs_upgrade", NULL },
    { "run: cut off at the end", OPEN, run, RUN_TRUNCATED, "waits", NULL },
    { "frame: a hole", OPEN, frame, HOLE, "lost gap", NULL },
    { "frame: beyond the credit", OPEN, frame, BEYOND, "lost gap", NULL },
    { "frame: said again, otherwise", OPEN, frame, OVERLAP, "waits", NULL },
    { "frame: unknown transfer", OPEN, frame, UNKNOWN, "dropped", NULL },
    { "frame: 300 KiB", OPEN, frame, OVERSIZED, "closed", NULL },
    { "frame: 8 MiB in 1 KiB of zstd", OPEN, frame, BOMB, "closed", NULL },
    { "frame: more than it says", OPEN, frame, WRONG_SIZE, "closed", NULL },
    { "frame: no zstd", OPEN, frame, NO_ZSTD, "closed", NULL },
    { "frame: codec 7", OPEN, frame, CODEC_7, "closed", NULL },
    { "ack: unknown transfer", OPEN, ack, 0, "dropped", NULL },
    { "ack: of what was never sent", OPEN, ack_beyond, 0, "lost bad_frame", NULL },
    { "accept: of no transfer", OPEN, stray, WEIR_KIND_W_ACCEPT, "alive", NULL },
    { "close: of no transfer", OPEN, stray, WEIR_KIND_W_CLOSE, "alive", NULL },

    { "run: by itself", OPEN, run, RUN_GOOD, "run not_allowed", "stored" },
    { "run: late, of a removed member", OPEN, run, RUN_LATE, "stored", NULL },
};
const size_t n_requests = sizeof requests / sizeof requests[0];
