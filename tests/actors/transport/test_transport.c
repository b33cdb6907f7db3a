/* Goal: over real sockets, a transport lets in exactly whom peers names, carries messages both
 * ways under the right names, and answers whatever a hostile client does with a reason and a
 * count: no LINK_UP, or a LINK_DOWN that says why, and the process goes on. */

#include "tests/actors/fake.h"

#include "actors/transport/state.h"

#define PEERS 1 /* mailboxes */
#define STORE 2

static struct weir_id
key_id (const struct weir_link_key *key)
{
    return key->public_key;
}

static void
lease (struct weir_actor *a, const struct weir_link_key *keys, size_t n)
{
    Weir__LinkKey items[2];
    Weir__LinkKey *pointers[2];
    Weir__Lease m = WEIR__LEASE__INIT;
    m.keys = pointers;
    m.n_keys = n;
    for (size_t i = 0; i < n; i++) {
        items[i] = (Weir__LinkKey) WEIR__LINK_KEY__INIT;
        items[i].has_public_key = items[i].has_secret_key = true;
        items[i].public_key = weir_field_id (&keys[i].public_key);
        items[i].secret_key = weir_field_of (weir_bytes (keys[i].secret, 32));
        pointers[i] = &items[i];
    }
    fake_answer (a, fake_take (a, WEIR_KIND_LEASE), WEIR_OK, &m.base);
}

/* A transport that is ready; `address` gets where it listens ("" when it does not). */
static struct weir_actor *
begin (const char *listen, const struct weir_link_key *key, char address[300])
{
    struct weir_actor *a = fake_new (&transport_def, "transport-1");
    Weir__StateRows none = WEIR__STATE_ROWS__INIT;
    snprintf (a->settings.listen, sizeof a->settings.listen, "%s", listen);
    fake_start (a);
    lease (a, key, 1);
    assert_false (a->ready);
    fake_answer (a, fake_take (a, WEIR_KIND_STATE_GET), WEIR_OK, &none.base);
    assert_true (a->ready);
    fake_expect_none (a, WEIR_KIND_TRANSPORT_READY); /* nobody to tell yet */
    fake_up (a, "peers", PEERS);
    struct fake_sent *s = fake_take (a, WEIR_KIND_TRANSPORT_READY);
    const Weir__TransportReady *m = (const Weir__TransportReady *) s->decoded;
    address[0] = '\0';
    if (listen[0] != '\0') {
        assert_int_equal (m->n_addresses, 1);
        assert_int_equal (weir_field_get_text (address, 299, true, m->addresses[0]), WEIR_OK);
        assert_true (transport_address_ok (address));
        fake_sent_free (fake_take (a, WEIR_KIND_STATE_PUT)); /* the port it picked */
    }
    fake_sent_free (s);
    return a;
}

static void
admit (struct weir_actor *a, const struct weir_link_key *const *keys, size_t n,
       const struct weir_id *use)
{
    ProtobufCBinaryData fields[4];
    Weir__Admit m = WEIR__ADMIT__INIT;
    struct weir_mailbox_id peers = fake_mailbox (PEERS);
    m.link_keys = fields;
    m.n_link_keys = n;
    for (size_t i = 0; i < n; i++) {
        fields[i] = weir_field_id (&keys[i]->public_key);
    }
    m.has_first = m.has_last = m.first = m.last = true;
    if (use != NULL) {
        m.has_use_key = true;
        m.use_key = weir_field_id (use);
    }
    fake_deliver (a, WEIR_KIND_ADMIT, &peers, 0, &m.base, weir_bytes (NULL, 0));
}

static void
dial (struct weir_actor *a, uint64_t link, const char *address, const struct weir_id *server,
      const uint8_t *secret)
{
    Weir__Dial m = WEIR__DIAL__INIT;
    struct weir_mailbox_id peers = fake_mailbox (PEERS);
    m.has_link = m.has_address = m.has_server_key = true;
    m.link = link;
    m.address = weir_field_str (address);
    m.server_key = weir_field_id (server);
    if (secret != NULL) {
        m.has_client_secret = true;
        m.client_secret = weir_field_of (weir_bytes (secret, 32));
    }
    fake_deliver (a, WEIR_KIND_DIAL, &peers, 0, &m.base, weir_bytes (NULL, 0));
}

static void
expect_down (struct weir_actor *a, struct weir_actor *other, uint64_t link, enum weir_status status)
{
    struct fake_sent *s = NULL;
    uint64_t until = fake_real_ms () + FAKE_PATIENCE_MS;
    while (s == NULL && fake_real_ms () < until) {
        fake_turn (a, 5);
        if (other != NULL) {
            fake_turn (other, 5);
        }
        s = fake_try (a, WEIR_KIND_LINK_DOWN);
    }
    assert_non_null (s);
    const Weir__LinkDown *m = (const Weir__LinkDown *) s->decoded;
    assert_true (link == 0 || m->link == link);
    assert_string_equal (weir_status_code (weir_status_from_number (m->status)),
                         weir_status_code (status));
    assert_true (m->why.len > 0);
    fake_sent_free (s);
}

/* Waits for `kind` at a, giving turns to both. */
static struct fake_sent *
await (struct weir_actor *a, struct weir_actor *other, uint16_t kind)
{
    struct fake_sent *s = NULL;
    uint64_t until = fake_real_ms () + FAKE_PATIENCE_MS;
    while ((s = fake_try (a, kind)) == NULL && fake_real_ms () < until) {
        fake_turn (other, 2);
        fake_turn (a, 2);
    }
    if (s == NULL) {
        fail_msg ("no %s came", weir_kind (kind)->name);
    }
    return s;
}

static void
wire_out (struct weir_actor *a, uint64_t link, uint16_t kind, const char *body)
{
    Weir__LinkMessage m = WEIR__LINK_MESSAGE__INIT;
    struct weir_mailbox_id peers = fake_mailbox (PEERS);
    m.has_link = m.has_kind = true;
    m.link = link;
    m.kind = kind;
    fake_deliver (a, WEIR_KIND_WIRE_OUT, &peers, 0, &m.base, weir_bytes_str (body));
}

static void
expect_wire (struct weir_actor *a, struct weir_actor *other, uint64_t link, uint16_t kind,
             const char *body)
{
    struct fake_sent *s = await (a, other, WEIR_KIND_WIRE_IN);
    const Weir__LinkMessage *m = (const Weir__LinkMessage *) s->decoded;
    assert_int_equal (m->link, link);
    assert_int_equal (m->kind, kind);
    assert_true (weir_bytes_equal (weir_buf_bytes (&s->body), weir_bytes_str (body)));
    fake_sent_free (s);
}

/* Links client to server; the server's number of the link. */
static uint64_t
linked (struct weir_actor *server, const struct weir_link_key *server_key,
        struct weir_actor *client, const struct weir_link_key *client_key, const char *address,
        uint64_t number)
{
    struct weir_id seen;
    dial (client, number, address, &server_key->public_key, NULL);
    struct fake_sent *s = await (client, server, WEIR_KIND_LINK_UP);
    const Weir__LinkUp *m = (const Weir__LinkUp *) s->decoded;
    assert_true (m->dialled);
    assert_int_equal (m->link, number);
    assert_int_equal (weir_field_get_id (&seen, m->has_their_key, m->their_key), WEIR_OK);
    assert_true (weir_id_equal (&seen, &server_key->public_key));
    assert_int_equal (weir_field_get_id (&seen, m->has_our_key, m->our_key), WEIR_OK);
    assert_true (weir_id_equal (&seen, &client_key->public_key));
    fake_sent_free (s);
    fake_expect_none (server, WEIR_KIND_LINK_UP); /* named by its first message */
    wire_out (client, number, WEIR_KIND_W_HELLO, "hello");
    s = await (server, client, WEIR_KIND_LINK_UP);
    m = (const Weir__LinkUp *) s->decoded;
    uint64_t link = m->link;
    assert_false (m->dialled);
    assert_true ((link & TRANSPORT_LINK_OURS) != 0);
    assert_int_equal (weir_field_get_id (&seen, m->has_their_key, m->their_key), WEIR_OK);
    assert_true (weir_id_equal (&seen, &client_key->public_key));
    assert_int_equal (weir_field_get_id (&seen, m->has_our_key, m->our_key), WEIR_OK);
    assert_true (weir_id_equal (&seen, &server_key->public_key));
    fake_sent_free (s);
    expect_wire (server, client, link, WEIR_KIND_W_HELLO, "hello");
    return link;
}

static void
carries_both_ways (void **state)
{
    struct weir_link_key sk, ck;
    char address[300], none[300];
    (void) state;
    weir_link_key_make (&sk);
    weir_link_key_make (&ck);
    struct weir_actor *server = begin ("tcp://127.0.0.1:0", &sk, address);
    struct weir_actor *client = begin ("", &ck, none);
    struct weir_mailbox_id peers = fake_mailbox (PEERS), store = fake_mailbox (STORE);
    const struct weir_link_key *keys[] = { &ck };
    admit (server, keys, 1, NULL);
    uint64_t link = linked (server, &sk, client, &ck, address, 7);
    wire_out (server, link, WEIR_KIND_W_PROOF, "proof");
    expect_wire (client, server, 7, WEIR_KIND_W_PROOF, "proof");

    static uint8_t body[20000];
    Weir__Frame f = WEIR__FRAME__INIT;
    f.has_link = f.has_transfer = f.has_offset = f.has_session = f.has_digest = true;
    f.link = link;
    f.transfer = 99;
    f.offset = 12345;
    f.session = 4;
    f.digest = weir_field_id (&sk.public_key);
    fake_deliver (server, WEIR_KIND_FRAME_OUT, &store, 0, &f.base, weir_bytes (body, sizeof body));
    struct fake_sent *s = await (client, server, WEIR_KIND_FRAME_IN);
    const Weir__Frame *got = (const Weir__Frame *) s->decoded;
    assert_int_equal (got->link, 7);
    assert_int_equal (got->transfer, 99);
    assert_int_equal (got->offset, 12345);
    assert_int_equal (got->digest.len, 32);
    assert_false (got->has_session); /* the sender's own */
    assert_int_equal (s->body.len, sizeof body);
    fake_sent_free (s);

    Weir__Ack ack = WEIR__ACK__INIT;
    ack.has_link = ack.has_transfer = ack.has_offset = ack.has_limit = true;
    ack.link = 7;
    ack.transfer = 99;
    ack.offset = ack.limit = 20000;
    fake_deliver (client, WEIR_KIND_ACK_OUT, &store, 0, &ack.base, weir_bytes (NULL, 0));
    s = await (server, client, WEIR_KIND_ACK_IN);
    assert_int_equal (((const Weir__Ack *) s->decoded)->link, link);
    assert_int_equal (((const Weir__Ack *) s->decoded)->limit, 20000);
    fake_sent_free (s);

    fake_deliver (server, WEIR_KIND_LINK_STATUS, &peers, 5, NULL, weir_bytes (NULL, 0));
    s = fake_find (server, WEIR_KIND_LINK_STATUS, true);
    const Weir__TransportStatus *status = (const Weir__TransportStatus *) s->decoded;
    assert_int_equal (status->n_links, 1);
    assert_true (status->links[0]->up);
    assert_true (status->bytes_out > 0 && status->bytes_out < 2000); /* 20,000 zeros */
    assert_true (status->messages_out > 0);
    assert_int_equal (status->bad, 0);
    fake_sent_free (s);

    /* What belongs to no link, or to no kind between nodes, goes nowhere. */
    wire_out (server, link + 1, WEIR_KIND_W_PROOF, "lost");
    wire_out (server, link, WEIR_KIND_COMPARE, "not for others");
    wire_out (server, link, WEIR_KIND_W_FRAME, "not for peers");

    Weir__HangUp h = WEIR__HANG_UP__INIT;
    h.has_link = true;
    h.link = 7;
    fake_deliver (client, WEIR_KIND_HANG_UP, &peers, 0, &h.base, weir_bytes (NULL, 0));
    expect_down (server, client, link, WEIR_NOT_REACHABLE_OR_NOT_ADMITTED);
    fake_destroy (&client);
    fake_destroy (&server);
}

static void
last_words_arrive (void **state)
{
    struct weir_link_key sk, ck;
    char address[300], none[300];
    (void) state;
    weir_link_key_make (&sk);
    weir_link_key_make (&ck);
    struct weir_actor *server = begin ("tcp://127.0.0.1:0", &sk, address);
    struct weir_actor *client = begin ("", &ck, none);
    struct weir_mailbox_id peers = fake_mailbox (PEERS);
    const struct weir_link_key *keys[] = { &ck };
    admit (server, keys, 1, NULL);
    uint64_t link = linked (server, &sk, client, &ck, address, 7);
    Weir__HangUp h = WEIR__HANG_UP__INIT;
    h.has_link = true;
    h.link = link;
    wire_out (server, link, WEIR_KIND_W_BYE, "bye");
    fake_deliver (server, WEIR_KIND_HANG_UP, &peers, 0, &h.base, weir_bytes (NULL, 0));
    expect_wire (client, server, 7, WEIR_KIND_W_BYE, "bye");
    expect_down (client, server, 7, WEIR_NOT_REACHABLE_OR_NOT_ADMITTED);
    fake_destroy (&client);
    fake_destroy (&server);
}

/* Who is not on the list of now learns nothing: not before the first list, not with another
 * key, not when the server is another than thought. */
static void
strangers (void **state)
{
    struct weir_link_key sk, ck, other;
    char address[300], none[300];
    (void) state;
    weir_link_key_make (&sk);
    weir_link_key_make (&ck);
    weir_link_key_make (&other);
    struct weir_actor *server = begin ("tcp://127.0.0.1:0", &sk, address);
    struct weir_actor *client = begin ("", &ck, none);
    const struct weir_link_key *keys[] = { &other };
    dial (client, 1, address, &sk.public_key, NULL); /* no list yet */
    expect_down (client, server, 1, WEIR_NOT_REACHABLE_OR_NOT_ADMITTED);
    admit (server, keys, 1, NULL);
    dial (client, 2, address, &sk.public_key, NULL); /* not on it */
    expect_down (client, server, 2, WEIR_NOT_REACHABLE_OR_NOT_ADMITTED);
    struct transport *t = server->state;
    assert_true (t->zap.refused >= 2);
    keys[0] = &ck;
    admit (server, keys, 1, NULL);
    dial (client, 3, address, &other.public_key, NULL); /* another server's key */
    expect_down (client, server, 3, WEIR_NOT_REACHABLE_OR_NOT_ADMITTED);
    dial (client, 4, address, &sk.public_key, other.secret); /* a ticket that ran out */
    expect_down (client, server, 4, WEIR_NOT_REACHABLE_OR_NOT_ADMITTED);
    fake_expect_none (server, WEIR_KIND_LINK_UP);
    fake_expect_none (client, WEIR_KIND_LINK_UP);
    fake_destroy (&client);
    fake_destroy (&server);
}

static void
bad_dials (void **state)
{
    struct weir_link_key ck, other;
    char none[300];
    static const char *const addresses[] = { "inproc://zeromq.zap.01", "ipc:///tmp/x", "tcp://",
                                             "" };
    (void) state;
    weir_link_key_make (&ck);
    weir_link_key_make (&other);
    struct weir_actor *client = begin ("", &ck, none);
    for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
        dial (client, 10 + i, addresses[i], &other.public_key, NULL);
        expect_down (client, NULL, 10 + i, WEIR_BAD_ADDRESS);
    }
    dial (client, 20, "tcp://127.0.0.1:1", &other.public_key, NULL); /* nobody there */
    expect_down (client, NULL, 20, WEIR_NOT_REACHABLE_OR_NOT_ADMITTED);
    dial (client, 0, "tcp://127.0.0.1:1", &other.public_key, NULL); /* no number */
    dial (client, TRANSPORT_LINK_OURS | 1, "tcp://127.0.0.1:1", &other.public_key, NULL);
    fake_expect_none (client, WEIR_KIND_LINK_DOWN);
    assert_int_equal (((struct transport *) client->state)->dropped, 2);
    fake_destroy (&client);
}

static void
revoked (void **state)
{
    struct weir_link_key sk, ck;
    char address[300], none[300];
    (void) state;
    weir_link_key_make (&sk);
    weir_link_key_make (&ck);
    struct weir_actor *server = begin ("tcp://127.0.0.1:0", &sk, address);
    struct weir_actor *client = begin ("", &ck, none);
    const struct weir_link_key *keys[] = { &ck };
    admit (server, keys, 1, NULL);
    uint64_t link = linked (server, &sk, client, &ck, address, 7);
    admit (server, keys, 1, NULL); /* again: nothing changes */
    fake_expect_none (server, WEIR_KIND_LINK_DOWN);
    admit (server, keys, 0, NULL);
    expect_down (server, client, link, WEIR_REMOVED);
    wire_out (client, 7, WEIR_KIND_W_PROOF, "still there?"); /* refused at once */
    expect_down (client, server, 7, WEIR_NOT_REACHABLE_OR_NOT_ADMITTED);
    fake_expect_none (server, WEIR_KIND_WIRE_IN);
    /* A page of a list whose beginning is missing counts for nothing. */
    Weir__Admit tail = WEIR__ADMIT__INIT;
    ProtobufCBinaryData field = weir_field_id (&ck.public_key);
    tail.link_keys = &field;
    tail.n_link_keys = 1;
    tail.has_last = tail.last = true;
    struct weir_mailbox_id peers = fake_mailbox (PEERS);
    fake_deliver (server, WEIR_KIND_ADMIT, &peers, 0, &tail.base, weir_bytes (NULL, 0));
    dial (client, 8, address, &sk.public_key, NULL);
    expect_down (client, server, 8, WEIR_NOT_REACHABLE_OR_NOT_ADMITTED);
    fake_destroy (&client);
    fake_destroy (&server);
}

/* Links end with the life of peers, and begin anew with the next. */
static void
peers_restart (void **state)
{
    struct weir_link_key sk, ck;
    char address[300], none[300];
    (void) state;
    weir_link_key_make (&sk);
    weir_link_key_make (&ck);
    struct weir_actor *server = begin ("tcp://127.0.0.1:0", &sk, address);
    struct weir_actor *client = begin ("", &ck, none);
    const struct weir_link_key *keys[] = { &ck };
    admit (server, keys, 1, NULL);
    (void) linked (server, &sk, client, &ck, address, 7);
    fake_down (server, "peers", PEERS);
    expect_down (client, server, 7, WEIR_NOT_REACHABLE_OR_NOT_ADMITTED);
    fake_expect_none (server, WEIR_KIND_LINK_DOWN); /* nobody to tell */
    fake_up (server, "peers", PEERS);
    fake_sent_free (await (server, client, WEIR_KIND_TRANSPORT_READY));
    (void) linked (server, &sk, client, &ck, address, 8);
    fake_destroy (&client);
    fake_destroy (&server);
}

static void
stopped_and_started (void **state)
{
    struct weir_link_key sk, ck;
    char address[300], again[300], none[300];
    (void) state;
    weir_link_key_make (&sk);
    weir_link_key_make (&ck);
    struct weir_actor *server = begin ("tcp://127.0.0.1:0", &sk, address);
    struct weir_actor *client = begin ("", &ck, none);
    struct weir_mailbox_id peers = fake_mailbox (PEERS);
    const struct weir_link_key *keys[] = { &ck };
    Weir__TransportSet set = WEIR__TRANSPORT_SET__INIT;
    admit (server, keys, 1, NULL);
    uint64_t link = linked (server, &sk, client, &ck, address, 7);
    set.has_running = true;
    fake_deliver (server, WEIR_KIND_TRANSPORT_RUN, &peers, 0, &set.base, weir_bytes (NULL, 0));
    expect_down (server, client, link, WEIR_UNAVAILABLE);
    expect_down (client, server, 7, WEIR_NOT_REACHABLE_OR_NOT_ADMITTED);
    struct fake_sent *s = fake_take (server, WEIR_KIND_TRANSPORT_READY);
    assert_true (((const Weir__TransportReady *) s->decoded)->stopped);
    assert_int_equal (((const Weir__TransportReady *) s->decoded)->n_addresses, 0);
    fake_sent_free (s);
    dial (server, 5, address, &ck.public_key, NULL); /* stopped: dials neither */
    expect_down (server, client, 5, WEIR_UNAVAILABLE);
    set.running = true;
    fake_deliver (server, WEIR_KIND_TRANSPORT_RUN, &peers, 0, &set.base, weir_bytes (NULL, 0));
    s = await (server, client, WEIR_KIND_TRANSPORT_READY);
    const Weir__TransportReady *m = (const Weir__TransportReady *) s->decoded;
    assert_int_equal (m->n_addresses, 1);
    assert_int_equal (weir_field_get_text (again, 299, true, m->addresses[0]), WEIR_OK);
    assert_string_equal (again, address); /* the picked port stays */
    fake_sent_free (s);
    (void) linked (server, &sk, client, &ck, address, 8);
    fake_destroy (&client);
    fake_destroy (&server);
}

/* A key that peers wants shown is leased, then shown: at the same address. */
static void
rotated (void **state)
{
    struct weir_link_key keys[2], ck;
    char address[300], none[300];
    (void) state;
    weir_link_key_make (&keys[1]);
    weir_link_key_make (&keys[0]);
    weir_link_key_make (&ck);
    struct weir_actor *server = begin ("tcp://127.0.0.1:0", &keys[1], address);
    struct weir_actor *client = begin ("", &ck, none);
    const struct weir_link_key *admitted[] = { &ck };
    admit (server, admitted, 1, NULL);
    uint64_t link = linked (server, &keys[1], client, &ck, address, 7);
    struct weir_id wanted = key_id (&keys[0]);
    admit (server, admitted, 1, &wanted);
    lease (server, keys, 2);
    expect_down (server, client, link, WEIR_UNAVAILABLE);
    expect_down (client, server, 7, WEIR_NOT_REACHABLE_OR_NOT_ADMITTED);
    fake_sent_free (await (server, client, WEIR_KIND_TRANSPORT_READY));
    (void) linked (server, &keys[0], client, &ck, address, 8);
    fake_destroy (&client);
    fake_destroy (&server);
}

/* ---- a client that speaks ZeroMQ and CURVE, and nothing else ---- */

struct attacker {
    void *zmq;
    void *socket;
};

static void
attack (struct attacker *x, const char *address, const struct weir_link_key *server,
        const struct weir_link_key *key, const char *routing_id)
{
    int zero = 0;
    x->zmq = zmq_ctx_new ();
    x->socket = zmq_socket (x->zmq, ZMQ_DEALER);
    zmq_setsockopt (x->socket, ZMQ_LINGER, &zero, sizeof zero);
    zmq_setsockopt (x->socket, ZMQ_CURVE_SERVERKEY, server->public_key.b, 32);
    zmq_setsockopt (x->socket, ZMQ_CURVE_PUBLICKEY, key->public_key.b, 32);
    zmq_setsockopt (x->socket, ZMQ_CURVE_SECRETKEY, key->secret, 32);
    if (routing_id != NULL) {
        assert_int_equal (
            zmq_setsockopt (x->socket, ZMQ_ROUTING_ID, routing_id, strlen (routing_id)), 0);
    }
    assert_int_equal (zmq_connect (x->socket, address), 0);
}

static void
attack_end (struct attacker *x)
{
    zmq_close (x->socket);
    zmq_ctx_term (x->zmq);
}

static void
say (struct attacker *x, uint16_t kind, size_t envelope_bytes, size_t meta, size_t body, int parts)
{
    static uint8_t zeros[2u << 20];
    uint8_t bytes[WEIR_ENVELOPE_BYTES];
    struct weir_envelope e = { .kind = kind };
    weir_envelope_put (&e, bytes);
    zmq_send (x->socket, bytes, envelope_bytes, parts > 1 ? ZMQ_SNDMORE : 0);
    if (parts > 1) {
        zmq_send (x->socket, zeros, meta, parts > 2 ? ZMQ_SNDMORE : 0);
    }
    for (int i = 2; i < parts; i++) {
        zmq_send (x->socket, zeros, body, i + 1 < parts ? ZMQ_SNDMORE : 0);
    }
}

static void
hostile_messages (void **state)
{
    static const struct {
        uint16_t kind;
        size_t envelope;
        size_t meta;
        size_t body;
        int parts;
        enum weir_status status; /* of LINK_DOWN */
    } rows[] = {
        { WEIR_KIND_W_HELLO, 79, 0, 0, 3, WEIR_BAD_MESSAGE }, /* truncated */
        { WEIR_KIND_W_HELLO, 80, 0, 0, 1, WEIR_BAD_MESSAGE },
        { WEIR_KIND_W_HELLO, 80, 0, 0, 2, WEIR_BAD_MESSAGE },
        { WEIR_KIND_W_HELLO, 80, 0, 0, 4, WEIR_BAD_MESSAGE },
        { WEIR_KIND_W_HELLO, 80, 0, 0, 9, WEIR_BAD_MESSAGE },
        { WEIR_KIND_W_HELLO, 80, 0, 1, 3, WEIR_TOO_LARGE },
        { WEIR_KIND_W_HELLO, 80, WEIR_MESSAGE_META_BYTES_MAX + 1, 0, 3, WEIR_TOO_LARGE },
        { WEIR_KIND_W_FRAME, 80, 0, WEIR_MESSAGE_BODY_BYTES_MAX + 1, 3, WEIR_TOO_LARGE },
        { WEIR_KIND_W_FRAME, 80, 0, WEIR_MESSAGE_BODY_BYTES_MAX, 3, WEIR_BAD_FRAME },
        { WEIR_KIND_W_FRAME, 80, 0, 100, 3, WEIR_BAD_FRAME }, /* names no transfer */
        { WEIR_KIND_W_ACK, 80, 0, 0, 3, WEIR_BAD_FRAME },
        { WEIR_KIND_W_ACK, 80, 7, 0, 3, WEIR_BAD_FRAME }, /* does not decode */
        { WEIR_KIND_FRAME_IN, 80, 0, 0, 3, WEIR_NOT_PERMITTED_KIND },
        { WEIR_KIND_NODE_STOP, 80, 0, 0, 3, WEIR_NOT_PERMITTED_KIND },
        { WEIR_KIND_LEASE, 80, 0, 0, 3, WEIR_NOT_PERMITTED_KIND },
        { 9999, 80, 0, 0, 3, WEIR_NOT_PERMITTED_KIND },
        /* Larger than any message: libzmq ends the connection. */
        { WEIR_KIND_W_FRAME, 80, 0, WEIR_WIRE_MESSAGE_BYTES_MAX + 1, 3,
          WEIR_NOT_REACHABLE_OR_NOT_ADMITTED },
    };
    struct weir_link_key sk, ck;
    char address[300];
    (void) state;
    weir_link_key_make (&sk);
    weir_link_key_make (&ck);
    struct weir_actor *server = begin ("tcp://127.0.0.1:0", &sk, address);
    struct transport *t = server->state;
    const struct weir_link_key *keys[] = { &ck };
    admit (server, keys, 1, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct attacker x;
        uint64_t bad = t->bad;
        attack (&x, address, &sk, &ck, NULL);
        say (&x, WEIR_KIND_W_HELLO, 80, 0, 0, 3); /* a good one first, so that it has a link */
        fake_sent_free (fake_take (server, WEIR_KIND_LINK_UP));
        fake_sent_free (fake_take (server, WEIR_KIND_WIRE_IN));
        say (&x, 698, 80, 0, 0, 3); /* of a newer node: skipped */
        say (&x, rows[i].kind, rows[i].envelope, rows[i].meta, rows[i].body, rows[i].parts);
        expect_down (server, NULL, 0, rows[i].status);
        fake_expect_none (server, WEIR_KIND_FRAME_IN);
        fake_expect_none (server, WEIR_KIND_ACK_IN);
        assert_int_equal (t->bad,
                          bad + (rows[i].status == WEIR_NOT_REACHABLE_OR_NOT_ADMITTED ? 0u : 1u));
        attack_end (&x);
    }
    assert_int_equal (t->unknown, sizeof rows / sizeof *rows);
    fake_destroy (&server);
}

/* Routing ids are the ROUTER's to give: one that a client chose is refused, whatever it says. */
static void
chosen_routing_id (void **state)
{
    struct weir_link_key sk, ck;
    char address[300];
    struct attacker x;
    (void) state;
    weir_link_key_make (&sk);
    weir_link_key_make (&ck);
    struct weir_actor *server = begin ("tcp://127.0.0.1:0", &sk, address);
    struct transport *t = server->state;
    const struct weir_link_key *keys[] = { &ck };
    uint64_t until = fake_real_ms () + FAKE_PATIENCE_MS;
    admit (server, keys, 1, NULL);
    attack (&x, address, &sk, &ck, "abcde");
    say (&x, WEIR_KIND_W_HELLO, 80, 0, 0, 3);
    while (t->bad == 0 && fake_real_ms () < until) {
        fake_turn (server, 20);
    }
    assert_true (t->bad > 0);
    fake_expect_none (server, WEIR_KIND_LINK_UP);
    fake_expect_none (server, WEIR_KIND_WIRE_IN);
    attack_end (&x);
    fake_destroy (&server);
}

/* The ZAP handler answers nonsense with a refusal: another mechanism, no key at all. */
static void
plain_client (void **state)
{
    struct weir_link_key sk;
    char address[300];
    int zero = 0;
    (void) state;
    weir_link_key_make (&sk);
    struct weir_actor *server = begin ("tcp://127.0.0.1:0", &sk, address);
    struct transport *t = server->state;
    void *zmq = zmq_ctx_new ();
    void *s = zmq_socket (zmq, ZMQ_DEALER);
    uint64_t until = fake_real_ms () + 300;
    zmq_setsockopt (s, ZMQ_LINGER, &zero, sizeof zero);
    zmq_connect (s, address);
    zmq_send (s, "x", 1, ZMQ_DONTWAIT);
    while (fake_real_ms () < until) {
        fake_turn (server, 20);
    }
    fake_expect_none (server, WEIR_KIND_LINK_UP);
    assert_int_equal (t->n_links, 0);
    zmq_close (s);
    zmq_ctx_term (zmq);
    void *req = zmq_socket (server->zmq, ZMQ_REQ); /* as only libzmq may, and badly */
    zmq_setsockopt (req, ZMQ_LINGER, &zero, sizeof zero);
    zmq_connect (req, "inproc://zeromq.zap.01");
    zmq_send (req, "1.0", 3, ZMQ_SNDMORE);
    zmq_send (req, "1", 1, 0);
    fake_turn (server, 100);
    char code[8] = "";
    zmq_recv (req, code, sizeof code, 0);
    zmq_recv (req, code, sizeof code, 0);
    zmq_recv (req, code, sizeof code, 0);
    assert_memory_equal (code, "400", 3);
    zmq_close (req);
    fake_destroy (&server);
}

/* Peers cannot take more: a link that it never heard of must not live. */
static void
peers_is_full (void **state)
{
    struct weir_link_key sk, ck;
    char address[300], none[300];
    (void) state;
    weir_link_key_make (&sk);
    weir_link_key_make (&ck);
    struct weir_actor *server = begin ("tcp://127.0.0.1:0", &sk, address);
    struct weir_actor *client = begin ("", &ck, none);
    const struct weir_link_key *keys[] = { &ck };
    admit (server, keys, 1, NULL);
    dial (client, 7, address, &sk.public_key, NULL);
    fake_sent_free (await (client, server, WEIR_KIND_LINK_UP));
    server->full = true;
    wire_out (client, 7, WEIR_KIND_W_HELLO, "hello");
    expect_down (client, server, 7, WEIR_NOT_REACHABLE_OR_NOT_ADMITTED);
    server->full = false;
    (void) linked (server, &sk, client, &ck, address, 8);
    fake_destroy (&client);
    fake_destroy (&server);
}

static void
lease_is_asked_again (void **state)
{
    struct weir_link_key key;
    struct weir_actor *a = fake_new (&transport_def, "transport-1");
    Weir__StateRows none = WEIR__STATE_ROWS__INIT;
    Weir__Lease empty = WEIR__LEASE__INIT;
    (void) state;
    weir_link_key_make (&key);
    fake_start (a);
    fake_answer (a, fake_take (a, WEIR_KIND_LEASE), WEIR_UNAVAILABLE, NULL);
    fake_answer (a, fake_take (a, WEIR_KIND_LEASE), WEIR_OK, &empty.base);
    lease (a, &key, 1);
    fake_answer (a, fake_take (a, WEIR_KIND_STATE_GET), WEIR_OK, &none.base);
    assert_true (a->ready);
    fake_destroy (&a);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (carries_both_ways),
        cmocka_unit_test (last_words_arrive),
        cmocka_unit_test (strangers),
        cmocka_unit_test (bad_dials),
        cmocka_unit_test (revoked),
        cmocka_unit_test (peers_restart),
        cmocka_unit_test (stopped_and_started),
        cmocka_unit_test (rotated),
        cmocka_unit_test (hostile_messages),
        cmocka_unit_test (chosen_routing_id),
        cmocka_unit_test (plain_client),
        cmocka_unit_test (peers_is_full),
        cmocka_unit_test (lease_is_asked_again),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
