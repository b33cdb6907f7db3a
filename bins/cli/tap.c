/* weir tap: messages as they pass the broker: one line each, decoded fields, or NDJSON. Bounded
 * and off by itself; Ctrl-C ends it at the broker, too. */

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bins/cli/cli.h"

#define DEPTH_MAX 8u

static volatile sig_atomic_t interrupted;

static void
on_signal (int number)
{
    (void) number;
    interrupted = 1;
}

/* ---- decoded fields, by protobuf-c's descriptors ---- */

static json_t *
bytes_json (ProtobufCBinaryData field)
{
    struct weir_id id;
    if (weir_field_get_id (&id, true, field) == WEIR_OK) {
        return json_string (weir_id_text (&id).s);
    }
    json_t *text = json_stringn ((const char *) field.data, field.len);
    if (text != NULL) {
        return text;
    }
    char hex[2 * 16 + 32];
    size_t n = field.len < 16 ? field.len : 16;
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        at += (size_t) snprintf (hex + at, sizeof hex - at, "%02x", field.data[i]);
    }
    snprintf (hex + at, sizeof hex - at, "%s(%zu bytes)", field.len > n ? "..." : " ", field.len);
    return json_string (hex);
}

static json_t *message_json (const ProtobufCMessage *m, unsigned depth);

/* One value of a field, at its place in memory. */
static json_t *
value_json (const ProtobufCFieldDescriptor *f, const void *at, unsigned depth)
{
    switch ((int) f->type) {
    case PROTOBUF_C_TYPE_BYTES:
        return bytes_json (*(const ProtobufCBinaryData *) at);
    case PROTOBUF_C_TYPE_MESSAGE: {
        const ProtobufCMessage *inner = *(ProtobufCMessage *const *) at;
        return inner != NULL ? message_json (inner, depth + 1) : json_null ();
    }
    case PROTOBUF_C_TYPE_BOOL:
        return json_boolean (*(const protobuf_c_boolean *) at);
    case PROTOBUF_C_TYPE_FIXED64:
        return cli_hex64 (*(const uint64_t *) at);
    case PROTOBUF_C_TYPE_UINT64:
        return cli_u64 (*(const uint64_t *) at);
    default:
        return cli_u64 (*(const uint32_t *) at);
    }
}

static size_t
value_bytes (const ProtobufCFieldDescriptor *f)
{
    switch ((int) f->type) {
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof (ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof (ProtobufCMessage *);
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof (protobuf_c_boolean);
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_UINT64:
        return sizeof (uint64_t);
    default:
        return sizeof (uint32_t);
    }
}

/* Our schemas nest a few levels and none is recursive; the depth is bounded all the same. */
static json_t *
message_json (const ProtobufCMessage *m, unsigned depth)
{
    json_t *out = json_object ();
    const uint8_t *base = (const uint8_t *) m;
    for (unsigned i = 0; depth < DEPTH_MAX && i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        const uint8_t *at = base + f->offset;
        if (f->label == PROTOBUF_C_LABEL_REPEATED) {
            size_t n = *(const size_t *) (const void *) (base + f->quantifier_offset);
            const uint8_t *items = *(uint8_t *const *) (const void *) at;
            json_t *list = json_array ();
            for (size_t k = 0; k < n && k < 16; k++) {
                json_array_append_new (list, value_json (f, items + k * value_bytes (f), depth));
            }
            if (n > 16) {
                json_array_append_new (list, json_sprintf ("... %zu in all", n));
            }
            if (n > 0) {
                json_object_set (out, f->name, list);
            }
            json_decref (list);
        } else if (f->type == PROTOBUF_C_TYPE_MESSAGE
                       ? *(ProtobufCMessage *const *) (const void *) at != NULL
                       : *(const protobuf_c_boolean *) (const void *) (base
                                                                       + f->quantifier_offset)) {
            json_object_set_new (out, f->name, value_json (f, at, depth));
        }
    }
    return out;
}

/* ---- one event ---- */

static json_t *
fields_of (const Weir__TapEvent *m, const struct weir_envelope *envelope)
{
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    const struct weir_kind *kind = weir_kind (envelope->kind);
    ProtobufCMessage *meta = NULL;
    json_t *out = NULL;
    bool answer = (envelope->flags & WEIR_ENV_ANSWER) != 0;
    if (kind != NULL && m->has_meta && envelope->status == 0
        && weir_meta_get (&meta, arena, kind, answer, weir_field (m->meta)) == WEIR_OK
        && meta != NULL) {
        out = message_json (meta, 0);
    }
    weir_arena_destroy (&arena);
    return out != NULL ? out : json_null ();
}

static void
put_short (char out[20], const uint8_t bytes[8])
{
    static const uint8_t zero[8];
    out[0] = '-';
    out[1] = '\0';
    if (memcmp (bytes, zero, 8) != 0) {
        struct weir_id id = { 0 };
        memcpy (id.b, bytes, 8);
        snprintf (out, 20, "%.12s", weir_id_text (&id).s);
    }
}

static void
show_event (struct cli *c, const Weir__TapEvent *m)
{
    struct weir_envelope envelope;
    char peer[20];
    char db[20];
    if (!m->has_envelope || weir_envelope_get (&envelope, weir_field (m->envelope)) != WEIR_OK) {
        return;
    }
    const struct weir_kind *kind = weir_kind (envelope.kind);
    const char *name = kind != NULL ? kind->name : "UNKNOWN";
    const char *arrow = (envelope.flags & WEIR_ENV_ANSWER) != 0 ? "answer" : "";
    put_short (peer, envelope.peer);
    put_short (db, envelope.database);
    if (c->json) {
        json_t *out = json_pack (
            "{s:o, s:s, s:b, s:o, s:o, s:o, s:o, s:s, s:s, s:s, s:i, s:i, s:o}", "ms",
            cli_u64 (m->ms), "kind", name, "answer", (envelope.flags & WEIR_ENV_ANSWER) != 0,
            "from", cli_text (m->has_from, m->from), "to", cli_text (m->has_to, m->to), "request",
            cli_u64 (envelope.request), "trace", cli_hex64 (envelope.trace), "peer", peer, "db", db,
            "code", weir_status_code (weir_status_from_number (envelope.status)), "meta_bytes",
            (int) m->meta_bytes, "body_bytes", (int) m->body_bytes, "missed", cli_u64 (m->missed));
        json_object_set_new (out, "fields", fields_of (m, &envelope));
        cli_json (out);
    } else {
        time_t seconds = (time_t) (m->ms / 1000u);
        struct tm tm;
        char when[16] = "";
        if (localtime_r (&seconds, &tm) != NULL) {
            strftime (when, sizeof when, "%H:%M:%S", &tm);
        }
        printf ("%s.%03u %-12.*s > %-12.*s %-18s %-6s %s peer=%s db=%s %u+%u B\n", when,
                (unsigned) (m->ms % 1000u), (int) m->from.len, (const char *) m->from.data,
                (int) m->to.len, (const char *) m->to.data, name, arrow,
                envelope.status != 0 ? weir_status_code (weir_status_from_number (envelope.status))
                                     : "",
                peer, db, m->meta_bytes, m->body_bytes);
        if (cli_option (c, "decode") != NULL) {
            json_t *fields = fields_of (m, &envelope);
            char *text = json_dumps (fields, JSON_COMPACT | JSON_ENCODE_ANY);
            printf ("    %s\n", text);
            free (text);
            json_decref (fields);
        }
        if (m->missed > 0) {
            fprintf (stderr, "weir: %" PRIu64 " messages were not shown: too many\n", m->missed);
        }
    }
    fflush (stdout);
}

/* ---- the verb ---- */

static enum weir_status
read_options (struct cli *c, Weir__TapFilter *ask, uint64_t *count, struct weir_error *e)
{
    const char *span = cli_option (c, "for");
    const char *rate = cli_option (c, "rate");
    const char *count_text = cli_option (c, "count");
    uint64_t ms = (uint64_t) WEIR_TAP_SECONDS * 1000u;
    uint64_t per_second = WEIR_TAP_RATE_PER_S;
    enum weir_status status = span != NULL ? cli_duration_ms (span, &ms, e) : WEIR_OK;
    if (status == WEIR_OK && rate != NULL) {
        status = cli_number (rate, 1000000, &per_second, e);
    }
    if (status == WEIR_OK && count_text != NULL) {
        status = cli_number (count_text, UINT64_MAX, count, e);
    }
    ask->has_seconds = ask->has_rate = ask->has_meta = ask->has_body = true;
    ask->seconds = (uint32_t) ((ms + 999u) / 1000u);
    ask->rate = (uint32_t) per_second;
    ask->meta = c->json || cli_option (c, "decode") != NULL;
    ask->body = cli_option (c, "body") != NULL;
    return status;
}

int
cli_tap (struct cli *c)
{
    Weir__TapFilter ask = WEIR__TAP_FILTER__INIT;
    Weir__TapStop stop = WEIR__TAP_STOP__INIT;
    struct weir_error e = { 0 };
    struct weir_buf filter = { 0 };
    uint64_t count = UINT64_MAX;
    uint64_t request = 0;
    enum weir_status status = read_options (c, &ask, &count, &e);
    for (size_t i = 0; i < c->n_args; i++) {
        weir_buf_printf (&filter, "%s%s", i > 0 ? " " : "", c->args[i]);
    }
    ask.has_expression = true;
    ask.expression = weir_field_str (weir_buf_str (&filter));
    struct sigaction action = { .sa_handler = on_signal };
    sigaction (SIGINT, &action, NULL);
    sigaction (SIGTERM, &action, NULL);
    if (status == WEIR_OK) {
        status = weir_client_send (c->client, WEIR_KIND_TAP_START, &ask.base, weir_bytes (NULL, 0),
                                   0, &request, &e);
    }
    bool more = true;
    while (status == WEIR_OK && more && count > 0 && !interrupted) {
        struct weir_client_answer answer;
        status = weir_client_receive (c->client, 3600000u, &answer, &e);
        if (status == WEIR_OK) {
            const Weir__TapEvent *m = (const Weir__TapEvent *) answer.meta;
            more = answer.more;
            status = answer.status;
            e = answer.problem;
            if (m != NULL && m->has_envelope) {
                show_event (c, m);
                count--;
            }
            if (m != NULL && m->has_ended) {
                cli_note (c, "weir: the tap ended: %.*s", (int) m->ended.len,
                          (const char *) m->ended.data);
            }
            weir_client_answer_fini (&answer);
        } else if (status == WEIR_TIMED_OUT) {
            status = WEIR_OK;
        }
    }
    if (more && (status == WEIR_OK || status == WEIR_INTERRUPTED)) {
        uint64_t ignored = 0;
        stop.has_request = true;
        stop.request = request;
        weir_ignore (weir_client_send (c->client, WEIR_KIND_TAP_STOP, &stop.base,
                                       weir_bytes (NULL, 0), 1000, &ignored, NULL));
    }
    weir_buf_fini (&filter);
    if (interrupted || status == WEIR_INTERRUPTED) {
        return weir_status_exit (WEIR_INTERRUPTED);
    }
    return status == WEIR_OK ? 0 : cli_fail (c, &e);
}
