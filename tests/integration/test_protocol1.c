/* Goal: a node that speaks only the first protocol stays in step with one that speaks the newest,
 * both ways. First, every message of a conversation that was recorded when there was no other
 * protocol (tests/fixtures/protocol1.txt) means to today's codec what it meant then, and its runs
 * hold. Then a node of protocol 1, written out by hand (peer1.c), joins a real hub with a real
 * leaf beside it: what each of the three writes reaches the others, live, after time apart,
 * whoever asks first; and nothing that protocol 1 did not have is ever said to it. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zmq.h>

#include "actors/transport/wire.h"
#include "store/dag/run.h"
#include "tests/integration/peer1.h"

#define LINE_MAX_BYTES (1u << 16)
#define WAIT_MS 15000u

/* ---- what a message means, in words ---- */

static void render (const ProtobufCMessage *m, struct weir_buf *out);

static void
put_text (struct weir_buf *out, const char *text)
{
    weir_buf_put_bytes (out, weir_bytes_str (text));
}

static void
put_hex (struct weir_buf *out, struct weir_bytes bytes)
{
    char digits[3];
    for (size_t i = 0; i < bytes.len; i++) {
        snprintf (digits, sizeof digits, "%02x", bytes.data[i]);
        put_text (out, digits);
    }
}

static void
render_value (const ProtobufCFieldDescriptor *f, const void *v, struct weir_buf *out)
{
    char number[32];
    put_text (out, " ");
    put_text (out, f->name);
    put_text (out, "=");
    if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
        put_text (out, "{");
        render (*(ProtobufCMessage *const *) v, out);
        put_text (out, " }");
    } else if (f->type == PROTOBUF_C_TYPE_BYTES) {
        put_hex (out, weir_field (*(const ProtobufCBinaryData *) v));
    } else if (f->type == PROTOBUF_C_TYPE_BOOL) {
        put_text (out, *(const protobuf_c_boolean *) v ? "true" : "false");
    } else if (f->type == PROTOBUF_C_TYPE_UINT32) {
        snprintf (number, sizeof number, "%u", *(const uint32_t *) v);
        put_text (out, number);
    } else {
        snprintf (number, sizeof number, "%llu", (unsigned long long) *(const uint64_t *) v);
        put_text (out, number);
    }
}

static void
render (const ProtobufCMessage *m, struct weir_buf *out)
{
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        const char *at = (const char *) m + f->offset;
        const char *has = (const char *) m + f->quantifier_offset;
        if (f->label == PROTOBUF_C_LABEL_REPEATED) {
            size_t size =
                f->type == PROTOBUF_C_TYPE_BYTES ? sizeof (ProtobufCBinaryData) : sizeof (void *);
            const char *items = *(const char *const *) at;
            for (size_t j = 0; j < *(const size_t *) has; j++) {
                render_value (f, items + j * size, out);
            }
        } else if (f->type == PROTOBUF_C_TYPE_MESSAGE ? *(ProtobufCMessage *const *) at != NULL
                                                      : *(const protobuf_c_boolean *) has != 0) {
            render_value (f, at, out);
        }
    }
}

/* ---- the fixtures ---- */

struct fixture {
    struct weir_id db;
    struct weir_arena *arena;
    struct transport_codec *codec;
    const struct weir_kind *kind;
    char meaning[LINE_MAX_BYTES]; /* as it was written down */
    ProtobufCMessage *message;
    struct weir_buf meta;
    struct weir_buf body;
    struct weir_bytes rest; /* of the body, unpacked: runs that no line spoke of yet */
    unsigned messages, runs;
};

static struct weir_bytes
unhex (struct weir_buf *out, const char *text)
{
    unsigned byte = 0;
    weir_buf_clear (out);
    for (; sscanf (text, "%2x", &byte) == 1; text += 2) {
        weir_buf_put_u8 (out, (uint8_t) byte);
    }
    return weir_buf_bytes (out);
}

static void
begin_message (struct fixture *f, const char *line)
{
    char name[32];
    if (f->rest.len != 0 || sscanf (line, "%31s", name) != 1 || weir_kind_by_name (name) == NULL) {
        node_die ("a fixture begins with '%.40s', or the one before is not at its end", line);
    }
    f->kind = weir_kind_by_name (name);
    snprintf (f->meaning, sizeof f->meaning, "%s", line + strlen (name));
    f->messages++;
}

static void
check_meta (struct fixture *f, const char *hex)
{
    struct weir_buf now = { 0 };
    weir_arena_reset (f->arena);
    if (weir_meta_get (&f->message, f->arena, f->kind, false, unhex (&f->meta, hex)) != WEIR_OK) {
        node_die ("%s does not decode any more", f->kind->name);
    }
    render (f->message, &now);
    if (now.len != strlen (f->meaning) || memcmp (now.data, f->meaning, now.len) != 0) {
        node_die ("%s meant%s\nand means%.*s", f->kind->name, f->meaning, (int) now.len,
                  (const char *) now.data);
    }
    weir_buf_fini (&now);
}

static void
check_body (struct fixture *f, const char *hex)
{
    if (f->kind->number != WEIR_KIND_W_FRAME
        || transport_frame_unpack (f->codec, (const Weir__Frame *) f->message,
                                   unhex (&f->body, hex), &f->rest)
               != WEIR_OK) {
        node_die ("a frame cannot be unpacked any more");
    }
}

static void
check_run (struct fixture *f, const char *text)
{
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    struct weir_run run;
    struct weir_buf now = { 0 };
    char facts[80];
    size_t used = 0;
    if (weir_run_decode (&run, arena, &f->db, f->rest, &used, NULL) != WEIR_OK
        || weir_run_verify (&run) != WEIR_OK) {
        node_die ("a run of then is not good any more: %s", text);
    }
    snprintf (facts, sizeof facts, "%u %llu %llu %u ", run.kind,
              (unsigned long long) run.chain.lane, (unsigned long long) run.seq, run.count);
    put_text (&now, facts);
    put_hex (&now, weir_id_bytes (weir_run_tip (&run)));
    if (now.len != strlen (text) || memcmp (now.data, text, now.len) != 0) {
        node_die ("a run was %s and is %.*s", text, (int) now.len, (const char *) now.data);
    }
    f->rest.data += used;
    f->rest.len -= used;
    f->runs++;
    weir_buf_fini (&now);
    weir_arena_destroy (&arena);
}

static void
check_line (struct fixture *f, const char *line)
{
    if (strncmp (line, "db ", 3) == 0) {
        weir_ignore (weir_id_from_bytes (&f->db, unhex (&f->meta, line + 3)));
    } else if (strncmp (line, "meta ", 5) == 0) {
        check_meta (f, line + 5);
    } else if (strncmp (line, "body ", 5) == 0) {
        check_body (f, line + 5);
    } else if (strncmp (line, "run ", 4) == 0) {
        check_run (f, line + 4);
    } else if (line[0] != '#') {
        begin_message (f, line);
    }
}

static void
check_fixtures (void)
{
    static struct fixture f;
    static char line[LINE_MAX_BYTES];
    FILE *file = fopen ("tests/fixtures/protocol1.txt", "r");
    if (file == NULL) {
        node_die ("the fixtures are not here: run it from the root of the sources");
    }
    f.arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    f.codec = transport_codec_new ();
    while (fgets (line, sizeof line, file) != NULL) {
        line[strcspn (line, "\n")] = '\0';
        check_line (&f, line);
    }
    fclose (file);
    if (f.messages < 30 || f.runs < 10 || f.rest.len != 0) {
        node_die ("%u messages and %u runs are not all", f.messages, f.runs);
    }
    printf ("%u messages and %u runs of protocol 1 mean what they meant\n", f.messages, f.runs);
    weir_buf_fini (&f.meta);
    weir_buf_fini (&f.body);
    transport_codec_destroy (&f.codec);
    weir_arena_destroy (&f.arena);
}

/* ---- with real nodes ---- */

static void
set (struct node *n, const char *path, const char *json)
{
    Weir__DocWrite ask = WEIR__DOC_WRITE__INIT;
    struct weir_client_answer answer;
    struct weir_error e = { 0 };
    ask.has_db = ask.has_path = true;
    ask.db = weir_field_str ("matrix");
    ask.path = weir_field_str (path);
    if (node_call (n, WEIR_KIND_DOC_SET, &ask.base, weir_bytes_str (json), 10000, &answer, &e)
        != WEIR_OK) {
        node_die ("%s cannot write: %s", n->name, e.what);
    }
    weir_client_answer_fini (&answer);
}

/* All three hold the same, and the node of protocol 1 was told so. */
static void
wait_same (struct world *w, struct peer1 *p, const char *when)
{
    uint64_t until = node_now_ms () + WAIT_MS;
    uint64_t n;
    for (;;) {
        peer1_turn (p, 10);
        struct weir_id ours = peer1_digest (p);
        struct weir_id hub = node_digest (&w->hub, "matrix", &n);
        struct weir_id leaf = node_digest (&w->honest, "matrix", &n);
        if (weir_id_equal (&ours, &hub) && weir_id_equal (&ours, &leaf)
            && weir_id_equal (&ours, &p->theirs)) {
            return;
        }
        if (node_now_ms () > until) {
            node_die ("%s: not the same after %u ms", when, WAIT_MS);
        }
    }
}

static void
check_has (struct peer1 *p, const char *path, const char *text)
{
    if (!peer1_has (p, path, text)) {
        node_die ("the node of protocol 1 does not read %s at %s", text, path);
    }
}

/* Both sides wrote while apart; `asks`: it says its rows first, else the hub does. */
static void
apart (struct world *w, struct peer1 *p, bool asks)
{
    const char *name = asks ? "/apart/asked" : "/apart/waited";
    char theirs[64];
    peer1_hang_up (p);
    snprintf (theirs, sizeof theirs, "%s/old", name);
    peer1_set (p, theirs, "from the old");
    snprintf (theirs, sizeof theirs, "%s/new", name);
    set (&w->hub, theirs, "\"from the new\"");
    peer1_connect (p, w);
    if (asks) {
        peer1_ask (p);
    }
    wait_same (w, p, name);
    check_has (p, theirs, "from the new");
}

static void
check_nodes (void)
{
    static struct peer1 p;
    struct world w;
    char path[32];
    world_init (&w);
    set (&w.hub, "/before/it", "\"joined\"");
    peer1_init (&p, &w, 60);
    peer1_connect (&p, &w);
    wait_same (&w, &p, "the first time");
    check_has (&p, "/before/it", "joined");
    for (unsigned i = 0; i < 20; i++) {
        snprintf (path, sizeof path, "/live/new-%u", i);
        set (i % 2 == 0 ? &w.hub : &w.honest, path, "\"live\"");
        snprintf (path, sizeof path, "/live/old-%u", i);
        peer1_set (&p, path, "live");
    }
    uint64_t vectors = p.vectors;
    wait_same (&w, &p, "live");
    check_has (&p, "/live/new-18", "live");
    check_has (&p, "/live/new-19", "live");
    if (p.vectors > vectors + 4) {
        node_die ("live, with %llu vectors", (unsigned long long) (p.vectors - vectors));
    }
    apart (&w, &p, true);
    apart (&w, &p, false);
    printf ("a node of protocol 1 heard %llu vectors, %llu offers, %llu frames, and holds all\n",
            (unsigned long long) p.vectors, (unsigned long long) p.offers,
            (unsigned long long) p.frames);
    peer1_fini (&p);
    world_check_alive (&w);
    world_fini (&w);
}

int
main (void)
{
    weir_crypto_init ();
    check_fixtures ();
    check_nodes ();
    return 0;
}
