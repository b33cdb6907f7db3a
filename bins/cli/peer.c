/* weir peer, transport, sync, retry and key: who we know and how far they are. */

#include <stdlib.h>
#include <string.h>

#include "bins/cli/cli.h"

#define NO_BODY weir_bytes (NULL, 0)

/* ---- peers ---- */

static json_t *
pair_json (const Weir__Pair *m)
{
    return json_pack (
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:b, s:s, s:o, s:o, s:o, s:o}", "peer",
        cli_id (m->has_device, m->device), "peer_name", cli_text (m->has_peer_name, m->peer_name),
        "db", cli_id (m->has_db, m->db), "db_name", cli_text (m->has_db_name, m->db_name),
        "direction", cli_text (m->has_direction, m->direction), "phase",
        cli_text (m->has_phase, m->phase), "lag_entries",
        m->lag_known ? cli_u64 (m->lag_entries) : json_null (), "lag_oldest_ms",
        m->lag_known ? cli_u64 (m->lag_oldest_ms) : json_null (), "in_step", (int) m->in_step,
        "lag_known", (int) m->lag_known, "reason",
        m->reason == 0 ? "" : weir_status_code (weir_status_from_number (m->reason)), "reason_text",
        cli_text (m->has_reason_text, m->reason_text), "priority",
        cli_text (m->has_priority, m->priority), "blobs_missing", cli_u64 (m->blobs_missing),
        "blob_bytes_missing", cli_u64 (m->blob_bytes_missing));
}

static json_t *
texts_json (ProtobufCBinaryData *items, size_t n)
{
    json_t *list = json_array ();
    for (size_t i = 0; i < n; i++) {
        json_array_append_new (list, cli_text (true, items[i]));
    }
    return list;
}

json_t *
cli_peer_json (const Weir__Peer *m)
{
    json_t *pairs = json_array ();
    for (size_t i = 0; i < m->n_pairs; i++) {
        json_array_append_new (pairs, pair_json (m->pairs[i]));
    }
    json_t *out = json_pack (
        "{s:o, s:o, s:o, s:o, s:o, s:s, s:o, s:o, s:b, s:o, s:o, s:o, s:o}", "id",
        cli_id (m->has_device, m->device), "name", cli_text (m->has_name, m->name), "state",
        cli_text (m->has_state, m->state), "lag_entries",
        m->lag_known ? cli_u64 (m->lag_entries) : json_null (), "lag_oldest_ms",
        m->lag_known ? cli_u64 (m->lag_oldest_ms) : json_null (), "reason",
        m->reason == 0 ? "" : weir_status_code (weir_status_from_number (m->reason)), "reason_text",
        cli_text (m->has_reason_text, m->reason_text), "role", cli_text (m->has_role, m->role),
        "blocked", (int) m->blocked, "first_seen_ms", cli_u64 (m->first_seen_ms), "last_seen_ms",
        cli_u64 (m->last_seen_ms), "sent_entries", cli_u64 (m->sent_entries), "received_entries",
        cli_u64 (m->received_entries));
    json_object_set_new (out, "addresses", texts_json (m->addresses, m->n_addresses));
    json_object_set_new (out, "databases", pairs);
    json_object_set_new (out, "figures", cli_figures_json (m->figures));
    return out;
}

static void
show_peer_line (const json_t *peer)
{
    const json_t *lag = json_object_get (peer, "lag_entries");
    const char *reason = json_string_value (json_object_get (peer, "reason"));
    printf ("%-13.13s %-16s %-10s ", json_string_value (json_object_get (peer, "id")),
            json_string_value (json_object_get (peer, "name")),
            json_string_value (json_object_get (peer, "state")));
    if (json_is_null (lag)) {
        printf ("lag unknown");
    } else {
        printf ("lag %lld", (long long) json_integer_value (lag));
    }
    printf ("%s%s\n", reason[0] != '\0' ? "  " : "", reason);
}

int
cli_peer_ls (struct cli *c)
{
    Weir__PeerName ask = WEIR__PEER_NAME__INIT;
    struct cli_reply reply;
    int code = cli_call (c, WEIR_KIND_PEER_LIST, &ask.base, NO_BODY, &reply);
    if (code != 0) {
        return code;
    }
    const Weir__Peers *m = (const Weir__Peers *) reply.answer.meta;
    json_t *list = json_array ();
    for (size_t i = 0; i < m->n_items; i++) {
        json_t *peer = cli_peer_json (m->items[i]);
        if (!c->json) {
            show_peer_line (peer);
        }
        json_array_append_new (list, peer);
    }
    if (c->json) {
        cli_json (json_pack ("{s:O}", "peers", list));
    }
    json_decref (list);
    cli_reply_fini (&reply);
    return 0;
}

int
cli_peer_show (struct cli *c)
{
    Weir__PeerName ask = WEIR__PEER_NAME__INIT;
    struct cli_reply reply;
    ask.has_peer = true;
    ask.peer = weir_field_str (c->args[0]);
    int code = cli_call (c, WEIR_KIND_PEER_LIST, &ask.base, NO_BODY, &reply);
    if (code != 0) {
        return code;
    }
    const Weir__Peers *m = (const Weir__Peers *) reply.answer.meta;
    if (m->n_items == 0) {
        cli_reply_fini (&reply);
        return cli_fail_status (c, WEIR_NOT_FOUND, "no such peer");
    }
    json_t *peer = cli_peer_json (m->items[0]);
    json_dumpf (peer, stdout, c->json ? JSON_COMPACT : JSON_INDENT (2));
    putchar ('\n');
    json_decref (peer);
    cli_reply_fini (&reply);
    return 0;
}

static int
show_self (struct cli *c, uint16_t kind)
{
    struct cli_reply reply;
    int code = cli_call (c, kind, NULL, NO_BODY, &reply);
    if (code != 0) {
        return code;
    }
    const Weir__PeerSelf *m = (const Weir__PeerSelf *) reply.answer.meta;
    json_t *addresses = json_array ();
    json_t *keys = json_array ();
    json_t *id = cli_id (m->has_device, m->device);
    for (size_t i = 0; i < m->n_link_keys; i++) {
        json_array_append_new (keys, cli_id (true, m->link_keys[i]));
    }
    for (size_t i = 0; i < m->n_addresses && json_array_size (keys) > 0; i++) {
        json_t *text = cli_text (true, m->addresses[i]);
        const char *host = json_string_value (text);
        host = strncmp (host, "tcp://", 6) == 0 ? host + 6 : host;
        json_array_append_new (addresses,
                               json_sprintf ("weir://%s@%s?k=%s", json_string_value (id), host,
                                             json_string_value (json_array_get (keys, 0))));
        json_decref (text);
    }
    if (c->json) {
        cli_json (json_pack ("{s:O, s:o, s:O, s:O, s:o}", "id", id, "name",
                             cli_text (m->has_name, m->name), "addresses", addresses, "link_keys",
                             keys, "counter", cli_u64 (m->counter)));
    } else {
        printf ("%s %.*s\n", json_string_value (id), (int) m->name.len,
                (const char *) m->name.data);
        for (size_t i = 0; i < json_array_size (addresses); i++) {
            printf ("%s\n", json_string_value (json_array_get (addresses, i)));
        }
        if (json_array_size (addresses) == 0) {
            cli_note (c, "it listens nowhere: others cannot dial it (listen = tcp://HOST:PORT)");
        }
    }
    json_decref (id);
    json_decref (addresses);
    json_decref (keys);
    cli_reply_fini (&reply);
    return 0;
}

int
cli_peer_self (struct cli *c)
{
    return show_self (c, WEIR_KIND_PEER_SELF);
}

int
cli_key_rotate_link (struct cli *c)
{
    return show_self (c, WEIR_KIND_KEY_ROTATE_LINK);
}

int
cli_peer_add (struct cli *c)
{
    Weir__PeerAdd ask = WEIR__PEER_ADD__INIT;
    struct cli_reply reply;
    ask.has_address = true;
    ask.address = weir_field_str (c->args[0]);
    int code = cli_call (c, WEIR_KIND_PEER_ADD, &ask.base, NO_BODY, &reply);
    if (code == 0) {
        const Weir__PeerId *m = (const Weir__PeerId *) reply.answer.meta;
        json_t *id = cli_id (m->has_device, m->device);
        if (c->json) {
            cli_json (json_pack ("{s:O}", "id", id));
        } else {
            puts (json_is_string (id) ? json_string_value (id) : "");
        }
        json_decref (id);
        cli_reply_fini (&reply);
    }
    return code;
}

int
cli_peer_rm (struct cli *c)
{
    Weir__PeerName ask = WEIR__PEER_NAME__INIT;
    ask.has_peer = true;
    ask.peer = weir_field_str (c->args[0]);
    return cli_call_quietly (c, WEIR_KIND_PEER_REMOVE, &ask.base);
}

int
cli_peer_block (struct cli *c)
{
    Weir__PeerBlock ask = WEIR__PEER_BLOCK__INIT;
    ask.has_peer = ask.has_off = true;
    ask.peer = weir_field_str (c->args[0]);
    ask.off = cli_option (c, "off") != NULL;
    return cli_call_quietly (c, WEIR_KIND_PEER_BLOCK, &ask.base);
}

int
cli_peer_ping (struct cli *c)
{
    Weir__PeerName ask = WEIR__PEER_NAME__INIT;
    struct cli_reply reply;
    ask.has_peer = true;
    ask.peer = weir_field_str (c->args[0]);
    int code = cli_call (c, WEIR_KIND_PEER_PING, &ask.base, NO_BODY, &reply);
    if (code == 0) {
        const Weir__PeerPinged *m = (const Weir__PeerPinged *) reply.answer.meta;
        if (c->json) {
            cli_json (json_pack ("{s:o, s:f}", "id", cli_id (m->has_device, m->device), "rtt_ms",
                                 (double) m->rtt_us / 1000.0));
        } else {
            printf ("%.3f ms\n", (double) m->rtt_us / 1000.0);
        }
        cli_reply_fini (&reply);
    }
    return code;
}

/* ---- transports ---- */

int
cli_transport_ls (struct cli *c)
{
    struct cli_reply reply;
    int code = cli_call (c, WEIR_KIND_TRANSPORT_LIST, NULL, NO_BODY, &reply);
    if (code != 0) {
        return code;
    }
    const Weir__Transports *m = (const Weir__Transports *) reply.answer.meta;
    json_t *list = json_array ();
    for (size_t i = 0; i < m->n_items; i++) {
        const Weir__Transport *t = m->items[i];
        json_t *row = json_pack (
            "{s:o, s:o, s:b, s:o, s:i, s:o, s:o, s:o, s:o, s:o, s:o}", "name",
            cli_text (t->has_name, t->name), "kind", cli_text (t->has_kind, t->kind), "running",
            (int) t->running, "addresses", texts_json (t->addresses, t->n_addresses), "links",
            (int) t->links, "refused", cli_u64 (t->refused), "bad", cli_u64 (t->bad), "bytes_in",
            cli_u64 (t->bytes_in), "bytes_out", cli_u64 (t->bytes_out), "messages_in",
            cli_u64 (t->messages_in), "messages_out", cli_u64 (t->messages_out));
        if (!c->json) {
            char in[32];
            char out[32];
            json_t *address = json_array_get (json_object_get (row, "addresses"), 0);
            printf ("%-14s %-6s %-8s %-24s %u links, %s in, %s out, %llu refused\n",
                    json_string_value (json_object_get (row, "name")),
                    json_string_value (json_object_get (row, "kind")),
                    t->running ? "running" : "stopped",
                    address != NULL ? json_string_value (address) : "-", t->links,
                    cli_bytes_text (t->bytes_in, in), cli_bytes_text (t->bytes_out, out),
                    (unsigned long long) t->refused);
        }
        json_array_append_new (list, row);
    }
    if (c->json) {
        cli_json (json_pack ("{s:O}", "transports", list));
    }
    json_decref (list);
    cli_reply_fini (&reply);
    return 0;
}

static int
transport_set (struct cli *c, bool running)
{
    Weir__TransportSet ask = WEIR__TRANSPORT_SET__INIT;
    ask.has_name = ask.has_running = true;
    ask.name = weir_field_str (c->args[0]);
    ask.running = running;
    return cli_call_quietly (c, WEIR_KIND_TRANSPORT_SET, &ask.base);
}

int
cli_transport_start (struct cli *c)
{
    return transport_set (c, true);
}

int
cli_transport_stop (struct cli *c)
{
    return transport_set (c, false);
}

/* ---- sync ---- */

static Weir__SyncAsk
sync_ask (const struct cli *c)
{
    Weir__SyncAsk ask = WEIR__SYNC_ASK__INIT;
    const char *peer = cli_option (c, "peer");
    ask.has_db = c->n_args > 0;
    ask.db = weir_field_str (c->n_args > 0 ? c->args[0] : NULL);
    ask.has_peer = peer != NULL;
    ask.peer = weir_field_str (peer);
    return ask;
}

static void
show_pair_line (const json_t *pair)
{
    const char *name = json_string_value (json_object_get (pair, "peer_name"));
    const char *reason = json_string_value (json_object_get (pair, "reason_text"));
    const json_t *lag = json_object_get (pair, "lag_entries");
    printf ("%-16s %-16.16s %-5s %-12s ", json_string_value (json_object_get (pair, "db_name")),
            name[0] != '\0' ? name : json_string_value (json_object_get (pair, "peer")),
            json_string_value (json_object_get (pair, "direction")),
            json_is_true (json_object_get (pair, "in_step"))
                ? "in step"
                : json_string_value (json_object_get (pair, "phase")));
    if (json_is_null (lag)) {
        printf ("lag unknown");
    } else {
        printf ("lag %lld", (long long) json_integer_value (lag));
    }
    printf ("%s%s\n", reason[0] != '\0' ? "  " : "", reason);
}

int
cli_sync_status (struct cli *c)
{
    Weir__SyncAsk ask = sync_ask (c);
    struct cli_reply reply;
    int code = cli_call (c, WEIR_KIND_SYNC_STATUS, &ask.base, NO_BODY, &reply);
    if (code != 0) {
        return code;
    }
    const Weir__SyncStatus *m = (const Weir__SyncStatus *) reply.answer.meta;
    json_t *list = json_array ();
    for (size_t i = 0; i < m->n_pairs; i++) {
        json_t *pair = pair_json (m->pairs[i]);
        if (!c->json) {
            show_pair_line (pair);
        }
        json_array_append_new (list, pair);
    }
    json_t *figures = json_array ();
    for (size_t i = 0; i < m->n_figures; i++) {
        json_array_append_new (figures, cli_figures_json (m->figures[i]));
    }
    if (c->json) {
        cli_json (json_pack ("{s:O, s:O, s:b, s:o, s:o, s:o, s:o, s:o, s:o}", "pairs", list,
                             "figures", figures, "enabled", (int) m->enabled, "waiting",
                             cli_u64 (m->waiting), "parked", cli_u64 (m->parked), "messages_in",
                             cli_u64 (m->messages_in), "messages_out", cli_u64 (m->messages_out),
                             "ladders", cli_u64 (m->ladders), "bursts", cli_u64 (m->bursts)));
    } else if (!m->enabled) {
        cli_note (c, "enabled = no: nothing is sent by itself");
    }
    json_decref (list);
    json_decref (figures);
    cli_reply_fini (&reply);
    return 0;
}

int
cli_sync_now (struct cli *c)
{
    Weir__SyncAsk ask = sync_ask (c);
    return cli_call_quietly (c, WEIR_KIND_SYNC_NOW, &ask.base);
}

int
cli_sync_wait (struct cli *c)
{
    Weir__SyncWait ask = WEIR__SYNC_WAIT__INIT;
    struct cli_reply reply;
    const char *peer = cli_option (c, "peer");
    ask.has_db = ask.has_ms = true;
    ask.db = weir_field_str (c->args[0]);
    ask.has_peer = peer != NULL;
    ask.peer = weir_field_str (peer);
    ask.ms = c->timeout_ms;
    c->timeout_ms += 2000u; /* the node answers at the deadline; we wait a little longer */
    int code = cli_call (c, WEIR_KIND_SYNC_WAIT, &ask.base, NO_BODY, &reply);
    if (code != 0) {
        return code;
    }
    const Weir__SyncWaited *m = (const Weir__SyncWaited *) reply.answer.meta;
    bool synced = m->synced;
    json_t *list = json_array ();
    for (size_t i = 0; i < m->n_waiting_for; i++) {
        json_t *pair = pair_json (m->waiting_for[i]);
        if (!c->json) {
            show_pair_line (pair);
        }
        json_array_append_new (list, pair);
    }
    if (c->json) {
        cli_json (json_pack ("{s:b, s:O}", "synced", (int) synced, "waiting_for", list));
    } else if (synced) {
        puts ("synced");
    }
    json_decref (list);
    cli_reply_fini (&reply);
    if (!synced) {
        struct weir_error e = { 0 };
        weir_error_set (&e, WEIR_TIMED_OUT, "weir sync explain says why",
                        "not everything is in step yet");
        return c->json ? weir_status_exit (WEIR_TIMED_OUT) : cli_fail (c, &e);
    }
    return 0;
}

static int
relate (struct cli *c, uint16_t kind, bool must_exist)
{
    Weir__Relationship ask = WEIR__RELATIONSHIP__INIT;
    struct weir_error e = { 0 };
    const char *direction = cli_option (c, "direction");
    const char *priority = cli_option (c, "priority");
    const char *rate = cli_option (c, "rate");
    uint64_t bytes = 0;
    ask.has_db = ask.has_peer = ask.has_must_exist = true;
    ask.db = weir_field_str (c->args[0]);
    ask.peer = weir_field_str (c->args[1]);
    ask.must_exist = must_exist;
    ask.has_direction = direction != NULL;
    ask.direction = weir_field_str (direction);
    ask.has_priority = priority != NULL;
    ask.priority = weir_field_str (priority);
    if (rate != NULL && cli_number (rate, UINT64_MAX, &bytes, &e) != WEIR_OK) {
        return cli_fail (c, &e);
    }
    ask.has_rate = rate != NULL;
    ask.rate = bytes;
    return cli_call_quietly (c, kind, &ask.base);
}

int
cli_sync_add (struct cli *c)
{
    return relate (c, WEIR_KIND_SYNC_RELATE, false);
}

int
cli_sync_set (struct cli *c)
{
    return relate (c, WEIR_KIND_SYNC_RELATE, true);
}

int
cli_sync_rm (struct cli *c)
{
    return relate (c, WEIR_KIND_SYNC_UNRELATE, true);
}

/* ---- retry ---- */

int
cli_retry_ls (struct cli *c)
{
    struct cli_reply reply;
    int code = cli_call (c, WEIR_KIND_RETRY_LIST, NULL, NO_BODY, &reply);
    if (code != 0) {
        return code;
    }
    const Weir__RetryItems *m = (const Weir__RetryItems *) reply.answer.meta;
    json_t *list = json_array ();
    for (size_t i = 0; i < m->n_items; i++) {
        const Weir__RetryItem *x = m->items[i];
        const char *why = weir_status_code (weir_status_from_number (x->why));
        json_t *row = json_pack ("{s:o, s:o, s:i, s:o, s:o, s:s, s:b}", "peer",
                                 cli_id (x->has_device, x->device), "db", cli_id (x->has_db, x->db),
                                 "attempts", (int) x->attempts, "since_ms", cli_u64 (x->since_ms),
                                 "next_ms", x->parked ? json_null () : cli_u64 (x->next_ms), "why",
                                 why, "parked", (int) x->parked);
        if (!c->json) {
            char in[32];
            const char *db = json_string_value (json_object_get (row, "db"));
            printf ("%.13s %.13s attempts %u  %s  %s%s\n",
                    json_string_value (json_object_get (row, "peer")), db != NULL ? db : "-",
                    x->attempts, why, x->parked ? "parked" : "next in ",
                    x->parked ? "" : cli_ms_text (x->next_ms, in));
        }
        json_array_append_new (list, row);
    }
    if (c->json) {
        cli_json (json_pack ("{s:O}", "items", list));
    }
    json_decref (list);
    cli_reply_fini (&reply);
    return 0;
}

static int
show_count (struct cli *c, uint16_t kind, const ProtobufCMessage *meta)
{
    struct cli_reply reply;
    int code = cli_call (c, kind, meta, NO_BODY, &reply);
    if (code == 0) {
        const Weir__Count *m = (const Weir__Count *) reply.answer.meta;
        if (c->json) {
            cli_json (json_pack ("{s:o}", "count", cli_u64 (m->count)));
        } else {
            printf ("%llu\n", (unsigned long long) m->count);
        }
        cli_reply_fini (&reply);
    }
    return code;
}

int
cli_retry_now (struct cli *c)
{
    Weir__PeerName ask = WEIR__PEER_NAME__INIT;
    ask.has_peer = c->n_args > 0;
    ask.peer = weir_field_str (c->n_args > 0 ? c->args[0] : NULL);
    return show_count (c, WEIR_KIND_RETRY_NOW, &ask.base);
}

int
cli_retry_drop (struct cli *c)
{
    Weir__RetryDrop ask = WEIR__RETRY_DROP__INIT;
    ask.has_peer = ask.has_db = true;
    ask.peer = weir_field_str (c->args[0]);
    ask.db = weir_field_str (c->args[1]);
    return show_count (c, WEIR_KIND_RETRY_DROP, &ask.base);
}

int
cli_key_show (struct cli *c)
{
    struct cli_reply reply;
    int code = cli_call (c, WEIR_KIND_KEY_SHOW, NULL, NO_BODY, &reply);
    if (code != 0) {
        return code;
    }
    const Weir__KeyShow *m = (const Weir__KeyShow *) reply.answer.meta;
    json_t *keys = json_array ();
    for (size_t i = 0; i < m->n_link_keys; i++) {
        json_array_append_new (keys, cli_id (true, m->link_keys[i]));
    }
    json_t *out =
        json_pack ("{s:o, s:o, s:b, s:o}", "device", cli_id (m->has_device, m->device), "file",
                   cli_text (m->has_file, m->file), "sealed", (int) m->sealed, "link_keys", keys);
    json_dumpf (out, stdout, c->json ? JSON_COMPACT : JSON_INDENT (2));
    putchar ('\n');
    json_decref (out);
    cli_reply_fini (&reply);
    return 0;
}
