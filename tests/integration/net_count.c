/* What a network of nodes says of its traffic: the senders' counters, and taps; see net.h. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/integration/net.h"

#define CALL_MS 20000u
#define TAP_RATE 100000u

static void
call (struct net *net, size_t i, uint16_t kind, const ProtobufCMessage *meta,
      struct weir_client_answer *answer)
{
    struct weir_error e = { 0 };
    enum weir_status status =
        node_call (&net->nodes[i], kind, meta, weir_bytes (NULL, 0), CALL_MS, answer, &e);
    if (status != WEIR_OK) {
        node_die ("%s on %s: %s (%s)", weir_kind (kind)->name, net->nodes[i].name, e.what,
                  weir_status_code (status));
    }
}

/* ---- counters ---- */

static void
count_peers (struct net *net, size_t i, struct net_counts *out)
{
    struct weir_client_answer answer;
    call (net, i, WEIR_KIND_PEER_LIST, NULL, &answer);
    const Weir__Peers *m = (const Weir__Peers *) answer.meta;
    for (size_t k = 0; k < m->n_items; k++) {
        struct weir_id device = weir_id_zero;
        weir_ignore (weir_field_get_id (&device, m->items[k]->has_device, m->items[k]->device));
        for (size_t j = 0; j < net->n; j++) {
            if (weir_id_equal (&device, &net->devices[j])) {
                out->sent[i][j] = m->items[k]->sent_entries;
            }
        }
    }
    weir_client_answer_fini (&answer);
}

static void
count_authors (struct net *net, struct net_counts *out)
{
    uint64_t before = 0;
    do {
        Weir__DocLogAsk ask = WEIR__DOC_LOG_ASK__INIT;
        struct weir_client_answer answer;
        ask.has_db = ask.has_before = ask.has_limit = true;
        ask.db = weir_field_str (net->db);
        ask.before = before;
        ask.limit = 500;
        call (net, 0, WEIR_KIND_DOC_LOG, &ask.base, &answer);
        const Weir__DocLog *m = (const Weir__DocLog *) answer.meta;
        out->entries += m->n_items;
        for (size_t k = 0; k < m->n_items; k++) {
            struct weir_id author = weir_id_zero;
            weir_ignore (weir_field_get_id (&author, m->items[k]->has_author, m->items[k]->author));
            for (size_t i = 0; i < net->n; i++) {
                out->own[i] += weir_id_equal (&author, &net->devices[i]) ? 1u : 0u;
            }
        }
        before = m->before;
        weir_client_answer_fini (&answer);
    } while (before > 0);
}

/* False when a transport was too busy to say. */
static bool
count_messages (struct net *net, size_t i, struct net_counts *out)
{
    struct weir_client_answer answer;
    uint64_t messages = 0;
    uint64_t bytes = 0;
    bool all = true;
    call (net, i, WEIR_KIND_TRANSPORT_LIST, NULL, &answer);
    const Weir__Transports *m = (const Weir__Transports *) answer.meta;
    for (size_t k = 0; k < m->n_items; k++) {
        all = all && m->items[k]->has_messages_out;
        messages += m->items[k]->messages_out;
        bytes += m->items[k]->bytes_out;
    }
    weir_client_answer_fini (&answer);
    out->messages += all ? messages : 0;
    out->bytes += all ? bytes : 0;
    return all;
}

void
net_count (struct net *net, struct net_counts *out)
{
    uint64_t until = node_now_ms () + CALL_MS;
    memset (out, 0, sizeof *out);
    count_authors (net, out);
    for (size_t i = 0; i < net->n; i++) {
        count_peers (net, i, out);
        while (!count_messages (net, i, out)) {
            if (node_now_ms () > until) {
                node_die ("a transport of %s does not answer", net->nodes[i].name);
            }
            node_pause_ms (20);
        }
    }
}

double
net_bodies (const struct net *net, const struct net_counts *from, const struct net_counts *to,
            double *worst)
{
    uint64_t bodies = 0;
    uint64_t wanted = 0;
    *worst = 0;
    for (size_t i = 0; i < net->n; i++) {
        uint64_t want = to->entries - from->entries - (to->own[i] - from->own[i]);
        uint64_t got = 0;
        for (size_t k = 0; k < net->n; k++) {
            got += to->sent[k][i] - from->sent[k][i];
        }
        double each = want > 0 ? (double) got / (double) want : 0;
        *worst = each > *worst ? each : *worst;
        bodies += got;
        wanted += want;
    }
    return wanted > 0 ? (double) bodies / (double) wanted : 0;
}

/* ---- taps ---- */

/* The kind that goes over the wire; 0: this message stays inside the node, or came in. */
static uint16_t
wire_kind (const Weir__TapEvent *m)
{
    struct weir_envelope envelope;
    if (!m->has_envelope || weir_envelope_get (&envelope, weir_field (m->envelope)) != WEIR_OK) {
        return 0;
    }
    if (envelope.kind == WEIR_KIND_FRAME_OUT) {
        return WEIR_KIND_W_FRAME;
    }
    if (envelope.kind == WEIR_KIND_ACK_OUT) {
        return WEIR_KIND_W_ACK;
    }
    if (envelope.kind != WEIR_KIND_WIRE_OUT) {
        return 0;
    }
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    ProtobufCMessage *meta = NULL;
    uint16_t kind = 0;
    if (weir_meta_get (&meta, arena, weir_kind (envelope.kind), false, weir_field (m->meta))
            == WEIR_OK
        && meta != NULL) {
        kind = (uint16_t) ((const Weir__LinkMessage *) meta)->kind;
    }
    weir_arena_destroy (&arena);
    return kind;
}

static void
read_tap (struct net *net, size_t i, struct weir_client *client, uint32_t seconds,
          struct net_wire *out)
{
    bool more = true;
    while (more) {
        struct weir_client_answer answer;
        struct weir_error e = { 0 };
        if (weir_client_receive (client, (seconds + 10) * 1000u, &answer, &e) != WEIR_OK
            || answer.status != WEIR_OK) {
            node_die ("tap on %s: %s", net->nodes[i].name, e.what);
        }
        const Weir__TapEvent *m = (const Weir__TapEvent *) answer.meta;
        more = answer.more;
        if (m != NULL) {
            uint16_t kind = wire_kind (m);
            out->missed += m->missed;
            if (kind > 0 && kind < sizeof out->kinds / sizeof *out->kinds) {
                out->kinds[kind]++;
                out->total++;
            }
        }
        weir_client_answer_fini (&answer);
    }
}

void
net_tap (struct net *net, uint32_t seconds, struct net_wire *out)
{
    struct weir_client *clients[NET_NODES_MAX] = { 0 };
    memset (out, 0, sizeof *out);
    for (size_t i = 0; i < net->n; i++) {
        Weir__TapFilter ask = WEIR__TAP_FILTER__INIT;
        struct weir_error e = { 0 };
        uint64_t request = 0;
        ask.has_expression = ask.has_seconds = ask.has_rate = ask.has_meta = true;
        ask.expression = weir_field_str ("to=transport");
        ask.seconds = seconds;
        ask.rate = TAP_RATE;
        ask.meta = true;
        if (weir_client_open (&clients[i], net->nodes[i].paths.control, CALL_MS, &e) != WEIR_OK
            || weir_client_send (clients[i], WEIR_KIND_TAP_START, &ask.base, weir_bytes (NULL, 0),
                                 0, &request, &e)
                   != WEIR_OK) {
            node_die ("tap on %s: %s", net->nodes[i].name, e.what);
        }
    }
    for (size_t i = 0; i < net->n; i++) {
        read_tap (net, i, clients[i], seconds, out);
        weir_client_close (&clients[i]);
    }
}
