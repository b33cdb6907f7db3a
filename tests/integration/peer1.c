/* A node of the first protocol; see peer1.h. */

#include "tests/integration/peer1.h"

#include <stdlib.h>
#include <string.h>

#include "actors/transport/wire.h"

#define CREDIT (4u << 20)
#define FRAME (16u << 10)
#define KIND_NONE 0xffffu

/* ---- what protocol 1 was ---- */

/* The highest field a message had, and the highest in each message within its field `list`. */
static const struct {
    uint16_t kind;
    unsigned fields;
    unsigned list;
    unsigned fields_of_list;
} protocol1[] = {
    { WEIR_KIND_W_PROOF, 1, 0, 0 },   { WEIR_KIND_W_CARDS, 2, 1, 2 },
    { WEIR_KIND_W_JOIN, 3, 2, 2 },    { WEIR_KIND_W_JOINED, 4, 0, 0 },
    { WEIR_KIND_W_BYE, 2, 0, 0 },     { WEIR_KIND_W_PING, 2, 0, 0 },
    { WEIR_KIND_W_DIGESTS, 2, 1, 2 }, { WEIR_KIND_W_VECTOR, 7, 2, 5 },
    { WEIR_KIND_W_OFFER, 2, 0, 0 },   { WEIR_KIND_W_ACCEPT, 2, 0, 0 },
    { WEIR_KIND_W_CLOSE, 3, 0, 0 },   { WEIR_KIND_W_NOT_SHARED, 2, 0, 0 },
    { WEIR_KIND_W_FRAME, 7, 0, 0 },   { WEIR_KIND_W_ACK, 6, 0, 0 },
};

static uint64_t
varint (struct weir_bytes *b)
{
    uint64_t value = 0;
    for (unsigned shift = 0; b->len > 0 && shift < 64; shift += 7) {
        uint8_t byte = b->data[0];
        b->data++;
        b->len--;
        value |= (uint64_t) (byte & 0x7f) << shift;
        if (byte < 0x80) {
            break;
        }
    }
    return value;
}

/* The next field's number, 0 at the end; *within is what a field of bytes holds. */
static unsigned
next_field (struct weir_bytes *b, struct weir_bytes *within)
{
    *within = weir_bytes (NULL, 0);
    if (b->len == 0) {
        return 0;
    }
    uint64_t key = varint (b);
    size_t skip = (key & 7) == 1 ? 8 : (key & 7) == 5 ? 4 : 0;
    if ((key & 7) == 0) {
        (void) varint (b);
    } else if ((key & 7) == 2) {
        skip = (size_t) varint (b);
        *within = weir_bytes (b->data, skip);
    }
    if (skip > b->len) {
        node_die ("a field of %zu bytes in %zu", skip, b->len);
    }
    b->data += skip;
    b->len -= skip;
    return (unsigned) (key >> 3);
}

/* Hello is said before a version is chosen, and may say more. */
static void
check_said (uint16_t kind, struct weir_bytes meta)
{
    struct weir_bytes within;
    struct weir_bytes inner;
    size_t at = 0;
    while (at < sizeof protocol1 / sizeof protocol1[0] && protocol1[at].kind != kind) {
        at++;
    }
    if (kind == WEIR_KIND_W_HELLO) {
        return;
    }
    if (at == sizeof protocol1 / sizeof protocol1[0]) {
        node_die ("kind %u was said to a node of protocol 1", kind);
    }
    for (unsigned f = next_field (&meta, &within); f != 0; f = next_field (&meta, &within)) {
        if (f > protocol1[at].fields) {
            node_die ("field %u of kind %u was said to a node of protocol 1", f, kind);
        }
        while (f == protocol1[at].list && (f = next_field (&within, &inner)) != 0) {
            if (f > protocol1[at].fields_of_list) {
                node_die ("a list of kind %u has field %u", kind, f);
            }
            f = protocol1[at].list;
        }
    }
}

/* ---- what it holds ---- */

static void
sync_disk (struct peer1 *p)
{
    (void) weir_repo_flush (p->repo, 1);
    weir_kv_memory_sync (p->kv);
    weir_repo_on_synced (p->repo);
}

struct weir_id
peer1_digest (struct peer1 *p)
{
    const struct weir_vector *v = weir_repo_vector (p->repo, &p->db);
    struct weir_vector none = { 0 };
    return weir_vector_digest (v != NULL ? v : &none);
}

void
peer1_init (struct peer1 *p, struct world *w, unsigned number)
{
    struct weir_error e = { 0 };
    memset (p, 0, sizeof *p);
    hostile_id_make (&p->id, number, number);
    world_join (w, &p->id, "first", WEIR_RIGHT_WRITE);
    p->db = w->db;
    p->hub = w->device;
    p->kv = weir_kv_memory_new ();
    p->tips = weir_tips_memory_new ();
    struct weir_repo_options options = {
        .kv = p->kv, .tips = p->tips, .identity = &p->id.device, .seed = { (uint8_t) number }
    };
    if (weir_repo_open (&p->repo, &options, &e) != WEIR_OK
        || weir_repo_expect (p->repo, &p->db) != WEIR_OK) {
        node_die ("a repository in memory: %s", e.what);
    }
}

void
peer1_fini (struct peer1 *p)
{
    peer1_hang_up (p);
    weir_repo_close (&p->repo);
    weir_kv_close (&p->kv);
    weir_tips_destroy (&p->tips);
    weir_buf_fini (&p->stream);
    weir_buf_fini (&p->unsent);
    weir_identity_fini (&p->id.device);
}

bool
peer1_has (struct peer1 *p, const char *path, const char *text)
{
    struct weir_doc *doc = NULL;
    json_t *value = NULL;
    bool has = weir_repo_document (p->repo, &p->db, &doc, NULL) == WEIR_OK
               && weir_doc_get (doc, path, &value, NULL) == WEIR_OK && json_is_string (value)
               && strcmp (json_string_value (value), text) == 0;
    json_decref (value);
    return has;
}

/* ---- saying ---- */

static void
say (struct peer1 *p, uint16_t kind, const ProtobufCMessage *meta)
{
    hostile_say (&p->h, kind, meta, weir_bytes (NULL, 0));
}

static void
say_digest (struct peer1 *p, bool answer)
{
    struct weir_id digest = peer1_digest (p);
    Weir__Digest item = WEIR__DIGEST__INIT;
    Weir__Digest *items[] = { &item };
    Weir__Digests m = WEIR__DIGESTS__INIT;
    item.has_tag = item.has_digest = m.has_answer = true;
    item.tag = p->tag;
    item.digest = weir_field_id (&digest);
    m.items = items;
    m.n_items = 1;
    m.answer = answer;
    say (p, WEIR_KIND_W_DIGESTS, &m.base);
}

static void
say_vector (struct peer1 *p, uint32_t round)
{
    const struct weir_vector *v = weir_repo_vector (p->repo, &p->db);
    size_t n = v != NULL ? v->count : 0;
    Weir__Row *rows = calloc (n + 1, sizeof *rows);
    Weir__Row **items = calloc (n + 1, sizeof (Weir__Row *));
    Weir__Vector m = WEIR__VECTOR__INIT;
    for (size_t i = 0; i < n; i++) {
        weir__row__init (&rows[i]);
        rows[i].has_author = rows[i].has_lane = rows[i].has_count = rows[i].has_tip = true;
        rows[i].author = weir_field_id (&v->rows[i].chain.author);
        rows[i].lane = v->rows[i].chain.lane;
        rows[i].count = v->rows[i].count;
        rows[i].tip = weir_field_id (&v->rows[i].tip);
        items[i] = &rows[i];
    }
    m.has_tag = m.has_answer = m.has_round = true;
    m.tag = p->tag;
    m.answer = round % 2 == 1;
    m.round = round;
    m.rows = items;
    m.n_rows = n;
    say (p, WEIR_KIND_W_VECTOR, &m.base);
    free (items);
    free (rows);
}

void
peer1_ask (struct peer1 *p)
{
    say_vector (p, 1);
}

/* Frames of what waits; the last tells our digest. */
static void
send_frames (struct peer1 *p)
{
    struct weir_id digest = peer1_digest (p);
    size_t at = 0;
    while (p->accepted && at < p->unsent.len) {
        size_t n = p->unsent.len - at < FRAME ? p->unsent.len - at : FRAME;
        Weir__Frame m = WEIR__FRAME__INIT;
        m.has_transfer = m.has_offset = m.has_codec = m.has_bytes = true;
        m.transfer = p->out;
        m.offset = p->sent;
        m.bytes = (uint32_t) n;
        m.has_digest = at + n == p->unsent.len;
        m.digest = weir_field_id (&digest);
        hostile_say (&p->h, WEIR_KIND_W_FRAME, &m.base, weir_bytes (p->unsent.data + at, n));
        at += n;
        p->sent += n;
    }
    if (p->accepted) {
        weir_buf_clear (&p->unsent);
    }
}

static void
push (struct peer1 *p)
{
    if (p->unsent.len > 0 && p->out == 0) {
        Weir__Offer m = WEIR__OFFER__INIT;
        weir_random (&p->out, sizeof p->out);
        m.has_tag = m.has_transfer = true;
        m.tag = p->tag;
        m.transfer = p->out;
        say (p, WEIR_KIND_W_OFFER, &m.base);
    }
    send_frames (p);
}

static void
queue (struct peer1 *p, const struct weir_range *range)
{
    uint64_t at = range->from_seq;
    while (at < range->to_seq) {
        uint64_t next = at;
        if (weir_repo_read (p->repo, &p->db, range, at, FRAME, &p->unsent, &next) != WEIR_OK
            || next <= at) {
            node_die ("our own entries cannot be read");
        }
        at = next;
    }
}

static enum weir_status
edit (struct peer1 *p, const char *path, const char *text, struct weir_id *entry,
      struct weir_error *e)
{
    struct weir_doc *doc = NULL;
    struct weir_buf payload = { 0 };
    uint32_t ops = 0;
    enum weir_status status = weir_repo_document (p->repo, &p->db, &doc, e);
    if (status != WEIR_OK) {
        return status;
    }
    struct weir_edit *change = weir_edit_new (doc);
    json_t *value = json_string (text);
    status = weir_edit_set (change, path, value, e);
    if (status == WEIR_OK) {
        status = weir_edit_seal (change, weir_bytes (NULL, 0), &payload, &ops, e);
    }
    weir_edit_destroy (&change);
    json_decref (value);
    if (status == WEIR_OK) {
        status = weir_repo_commit (p->repo, &p->db, weir_buf_bytes (&payload), ops, 1, entry, e);
    }
    weir_buf_fini (&payload);
    return status;
}

void
peer1_set (struct peer1 *p, const char *path, const char *text)
{
    struct weir_id entry;
    struct weir_entry_facts facts;
    struct weir_error e = { 0 };
    enum weir_status status = edit (p, path, text, &entry, &e);
    sync_disk (p);
    if (status != WEIR_OK || weir_repo_entry (p->repo, &p->db, &entry, &facts, NULL) != WEIR_OK) {
        node_die ("a node of protocol 1 cannot write: %s", e.what);
    }
    if (p->connected) {
        struct weir_range range = { facts.chain, facts.seq, facts.seq + 1, entry };
        queue (p, &range);
        push (p);
    }
}

/* ---- hearing ---- */

/* Sends what they lack; a chain with several tips is beyond this peer. */
static void
compare (struct peer1 *p, const Weir__Vector *m)
{
    struct weir_told_row *told = calloc (m->n_rows + 1, sizeof *told);
    struct weir_ranges lacks = { 0 };
    struct weir_vector unknown = { 0 };
    bool more = false;
    for (size_t i = 0; i < m->n_rows; i++) {
        told[i].row.chain.lane = m->rows[i]->lane;
        told[i].row.count = m->rows[i]->count;
        weir_ignore (weir_field_get_id (&told[i].row.chain.author, true, m->rows[i]->author));
        weir_ignore (weir_field_get_id (&told[i].row.tip, true, m->rows[i]->tip));
    }
    if (weir_repo_compare (p->repo, &p->db, told, m->n_rows, &lacks, &more, &unknown) != WEIR_OK) {
        node_die ("a vector cannot be compared");
    }
    for (size_t i = 0; i < lacks.count; i++) {
        queue (p, &lacks.items[i]);
    }
    weir_ranges_fini (&lacks);
    weir_vector_fini (&unknown);
    free (told);
    push (p);
}

static void
take_offer (struct peer1 *p, const Weir__Offer *m)
{
    Weir__Accept accept = WEIR__ACCEPT__INIT;
    p->offers++;
    p->in = m->transfer;
    weir_buf_clear (&p->stream);
    accept.has_transfer = accept.has_limit = true;
    accept.transfer = m->transfer;
    accept.limit = CREDIT;
    say (p, WEIR_KIND_W_ACCEPT, &accept.base);
}

static void
import (struct peer1 *p)
{
    size_t used = 0;
    size_t at = 0;
    struct weir_import_result result;
    while (at < p->stream.len
           && weir_run_length (weir_bytes (p->stream.data + at, p->stream.len - at), &used)
                  == WEIR_OK) {
        struct weir_bytes run = weir_bytes (p->stream.data + at, used);
        if (weir_repo_import (p->repo, &p->db, run, &p->hub, 1, &result) != WEIR_OK
            || result.outcome == WEIR_IMPORT_REFUSED) {
            node_die ("a node of protocol 1 refuses a run: %s", weir_status_code (result.status));
        }
        at += used;
    }
    memmove (p->stream.data, p->stream.data + at, p->stream.len - at);
    p->stream.len -= at;
    sync_disk (p);
}

static void
take_frame (struct peer1 *p, const Weir__Frame *m)
{
    struct transport_codec *codec = transport_codec_new ();
    struct weir_bytes body;
    Weir__Ack ack = WEIR__ACK__INIT;
    if (m->transfer != p->in
        || transport_frame_unpack (codec, m, weir_buf_bytes (&p->h.body), &body) != WEIR_OK) {
        node_die ("a frame that protocol 1 cannot read");
    }
    p->frames++;
    weir_buf_put_bytes (&p->stream, body);
    import (p);
    if (m->has_digest) {
        weir_ignore (weir_field_get_id (&p->theirs, true, m->digest));
    }
    struct weir_id digest = peer1_digest (p);
    ack.has_transfer = ack.has_offset = ack.has_limit = true;
    ack.transfer = m->transfer;
    ack.offset = m->offset + body.len - p->stream.len;
    ack.limit = ack.offset + CREDIT;
    ack.has_digest = m->has_digest;
    ack.digest = weir_field_id (&digest);
    say (p, WEIR_KIND_W_ACK, &ack.base);
    transport_codec_destroy (&codec);
}

static void
take_digests (struct peer1 *p, const Weir__Digests *m)
{
    for (size_t i = 0; i < m->n_items; i++) {
        if (m->items[i]->tag == p->tag) {
            weir_ignore (weir_field_get_id (&p->theirs, true, m->items[i]->digest));
            if (m->answer) {
                say_digest (p, false);
            }
        }
    }
}

static void
take_vector (struct peer1 *p, const Weir__Vector *m)
{
    p->vectors++;
    if (m->answer) {
        say_vector (p, m->round + 1);
    }
    compare (p, m);
}

static void
hear (struct hostile *h, uint16_t kind)
{
    struct peer1 *p = h->context;
    check_said (kind, weir_buf_bytes (&h->meta));
    if (kind == WEIR_KIND_W_DIGESTS) {
        take_digests (p, (const Weir__Digests *) h->heard);
    } else if (kind == WEIR_KIND_W_VECTOR) {
        take_vector (p, (const Weir__Vector *) h->heard);
    } else if (kind == WEIR_KIND_W_OFFER) {
        take_offer (p, (const Weir__Offer *) h->heard);
    } else if (kind == WEIR_KIND_W_FRAME) {
        take_frame (p, (const Weir__Frame *) h->heard);
    } else if (kind == WEIR_KIND_W_ACCEPT) {
        p->accepted = p->accepted || ((const Weir__Accept *) h->heard)->transfer == p->out;
        send_frames (p);
    } else if (kind == WEIR_KIND_W_ACK) {
        const Weir__Ack *m = (const Weir__Ack *) h->heard;
        p->acked = m->transfer == p->out ? m->offset : p->acked;
        if (m->has_digest) {
            weir_ignore (weir_field_get_id (&p->theirs, true, m->digest));
        }
    } else if (kind == WEIR_KIND_W_CLOSE || kind == WEIR_KIND_W_NOT_SHARED
               || kind == WEIR_KIND_W_BYE) {
        node_die ("a node of protocol 1 was told to go: kind %u", kind);
    } else if (kind == WEIR_KIND_W_PING) {
        Weir__PingPong pong = *(const Weir__PingPong *) h->heard;
        bool asked = !pong.answer;
        pong.has_answer = pong.answer = true;
        if (asked) {
            say (p, WEIR_KIND_W_PING, &pong.base);
        }
    }
}

void
peer1_turn (struct peer1 *p, uint32_t ms)
{
    (void) hostile_hear (&p->h, KIND_NONE, ms);
    if (p->h.bye || p->h.gone) {
        node_die ("a node of protocol 1 was hung up on");
    }
}

void
peer1_connect (struct peer1 *p, struct world *w)
{
    hostile_dial (&p->h, w->zmq, &p->id, w->address, &w->link_key, NULL);
    p->h.hello.protocol_min = p->h.hello.protocol_max = 1;
    p->h.session.ours.protocol_min = p->h.session.ours.protocol_max = 1;
    p->h.context = p;
    p->theirs = weir_id_zero;
    p->in = p->out = p->sent = p->acked = 0;
    p->accepted = false;
    if (!p->h.up || !hostile_open (&p->h)) {
        node_die ("a node of protocol 1 is not let in: %s", hostile_end (&p->h));
    }
    if (p->h.session.protocol != 1) {
        node_die ("protocol %u was chosen with a node of protocol 1", p->h.session.protocol);
    }
    p->connected = true;
    p->tag = hostile_tag (&p->h, &p->db);
    p->h.on = hear;
    say_digest (p, true);
}

void
peer1_hang_up (struct peer1 *p)
{
    if (p->connected) {
        hostile_close (&p->h);
        p->connected = false;
    }
}
