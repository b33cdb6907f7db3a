/* Networks of whole nodes; see net.h. */

#include "tests/integration/net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "store/crypto/sign.h"

#define OPEN_MS 30000u
#define CALL_MS 20000u
#define WRITE_MS 3000u
#define PARTS_MAX 64u

/* ---- asking ---- */

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

static void
learn_device (struct net *net, size_t i)
{
    struct weir_client_answer answer;
    call (net, i, WEIR_KIND_PEER_SELF, NULL, &answer);
    const Weir__PeerSelf *m = (const Weir__PeerSelf *) answer.meta;
    if (weir_field_get_id (&net->devices[i], m->has_device, m->device) != WEIR_OK) {
        node_die ("%s does not say who it is", net->nodes[i].name);
    }
    weir_client_answer_fini (&answer);
}

/* ---- making ---- */

void
net_relate (struct net *net, size_t from, size_t to)
{
    uint64_t until = node_now_ms () + OPEN_MS;
    for (;;) {
        Weir__Relationship ask = WEIR__RELATIONSHIP__INIT;
        struct weir_client_answer answer;
        struct weir_error e = { 0 };
        ask.has_db = ask.has_peer = true;
        ask.db = weir_field_str (net->db);
        ask.peer = weir_field_str (net->nodes[to].name);
        enum weir_status status = node_call (&net->nodes[from], WEIR_KIND_SYNC_RELATE, &ask.base,
                                             weir_bytes (NULL, 0), CALL_MS, &answer, &e);
        if (status == WEIR_OK) {
            weir_client_answer_fini (&answer);
            net->n_edges++;
            return;
        }
        /* Until it has heard that the other is a member, and where it listens. */
        if (status != WEIR_NOT_FOUND && status != WEIR_NOT_MEMBER) {
            node_die ("sync add on %s: %s", net->nodes[from].name, e.what);
        }
        if (node_now_ms () > until) {
            node_die ("%s does not come to know %s", net->nodes[from].name, net->nodes[to].name);
        }
        node_pause_ms (20);
    }
}

static void
join (struct net *net, size_t from, size_t to)
{
    /* Who is joined by the next must be able to invite. */
    node_join_as (&net->nodes[from], &net->nodes[to], net->db,
                  from + 1 == to ? WEIR_RIGHT_ADMIN : WEIR_RIGHT_WRITE);
    net->n_edges++;
}

static void
open_all (struct net *net, enum net_shape shape, size_t n, const char *const *env, size_t queue)
{
    net->db = "net";
    net->env = env;
    net->n = n;
    for (size_t i = 0; i < n; i++) {
        char name[32];
        snprintf (name, sizeof name, "n%zu", i);
        if (shape == NET_HUB && i > 0) {
            node_init_dialling (&net->nodes[i], name, "leaf");
        } else {
            node_init (&net->nodes[i], name, "hub");
        }
        if (net->proxy != NULL && net->nodes[i].port != 0) {
            net_behind_proxy (net, i, queue);
        }
        node_start (&net->nodes[i], env);
        learn_device (net, i);
    }
    node_create_db (&net->nodes[0], net->db);
    for (size_t i = 1; i < n; i++) {
        join (net, shape == NET_CHAIN || shape == NET_RING ? i - 1 : 0, i);
    }
    if (shape == NET_RING) {
        net_relate (net, 0, n - 1);
    }
    for (size_t i = 1; shape == NET_MESH && i < n; i++) {
        for (size_t k = i + 1; k < n; k++) {
            net_relate (net, i, k);
        }
    }
    (void) net_wait_equal (net, OPEN_MS);
}

void
net_open (struct net *net, enum net_shape shape, size_t n, const char *const *env)
{
    memset (net, 0, sizeof *net);
    open_all (net, shape, n, env, 0);
}

void
net_open_behind (struct net *net, enum net_shape shape, size_t n, const char *const *env,
                 uint64_t seed, size_t queue_bytes)
{
    memset (net, 0, sizeof *net);
    net->proxy = proxy_new (seed, net_whose, net);
    if (net->proxy == NULL) {
        node_die ("no proxy");
    }
    open_all (net, shape, n, env, queue_bytes);
}

void
net_close (struct net *net)
{
    for (size_t i = 0; i < net->n; i++) {
        int code = node_stop (&net->nodes[i]);
        if (code != 0) {
            node_die ("%s ended with %d", net->nodes[i].name, code);
        }
    }
    proxy_destroy (&net->proxy);
}

/* ---- writing ---- */

/* One value; false when it was told to stop before it was answered. */
static void
write_one (struct net_writer *w, struct weir_client **client, uint64_t i)
{
    Weir__DocWrite ask = WEIR__DOC_WRITE__INIT;
    struct node *n = &w->net->nodes[w->node];
    char path[64];
    char value[32];
    snprintf (path, sizeof path, "/%s/%08llu", n->name, (unsigned long long) i);
    snprintf (value, sizeof value, "%llu", (unsigned long long) i);
    ask.has_db = ask.has_path = ask.has_client = ask.has_number = true;
    ask.db = weir_field_str (w->net->db);
    ask.path = weir_field_str (path);
    ask.client = weir_field_of (weir_bytes (w->client, sizeof w->client));
    ask.number = i + 1;
    for (;;) {
        struct weir_client_answer answer;
        struct weir_error e = { 0 };
        enum weir_status status = WEIR_OK;
        if (*client == NULL) {
            status = weir_client_open (client, n->paths.control, 1000, &e);
        }
        if (status == WEIR_OK) {
            status = weir_client_call (*client, WEIR_KIND_DOC_SET, &ask.base,
                                       weir_bytes_str (value), WRITE_MS, &answer, &e);
        }
        if (status == WEIR_OK) {
            weir_client_answer_fini (&answer);
            return;
        }
        weir_client_close (client);
        if (status != WEIR_TIMED_OUT && status != WEIR_NO_NODE && status != WEIR_UNAVAILABLE
            && status != WEIR_BUSY) {
            node_die ("write %llu on %s: %s (%s)", (unsigned long long) i, n->name, e.what,
                      weir_status_code (status));
        }
        node_pause_ms (10);
    }
}

static void *
write_all (void *argument)
{
    struct net_writer *w = argument;
    struct weir_client *client = NULL;
    uint64_t first = atomic_load (&w->acknowledged);
    for (uint64_t i = 0; (w->count == 0 || i < w->count) && !atomic_load (&w->stop); i++) {
        write_one (w, &client, first + i);
        atomic_fetch_add (&w->acknowledged, 1);
    }
    weir_client_close (&client);
    return NULL;
}

void
net_write_begin (struct net *net, size_t node, uint64_t count)
{
    struct net_writer *w = &net->writers[node];
    if (w->net == NULL) {
        w->net = net;
        w->node = node;
        weir_random (w->client, sizeof w->client);
    }
    w->count = count;
    atomic_store (&w->stop, false);
    if (pthread_create (&w->thread, NULL, write_all, w) != 0) {
        node_die ("no thread");
    }
}

uint64_t
net_write_end (struct net *net, size_t node, bool stop)
{
    struct net_writer *w = &net->writers[node];
    if (stop) {
        atomic_store (&w->stop, true);
    }
    pthread_join (w->thread, NULL);
    return atomic_load (&w->acknowledged);
}

void
net_write_all (struct net *net, uint64_t count)
{
    for (size_t i = 0; i < net->n; i++) {
        net_write_begin (net, i, count);
    }
    for (size_t i = 0; i < net->n; i++) {
        (void) net_write_end (net, i, false);
    }
}

/* ---- waiting ---- */

static bool
same_entries (struct net *net)
{
    uint64_t entries;
    struct weir_id first = node_digest (&net->nodes[0], net->db, &entries);
    for (size_t i = 1; i < net->n; i++) {
        struct weir_id other = node_digest (&net->nodes[i], net->db, &entries);
        if (!weir_id_equal (&first, &other)) {
            return false;
        }
    }
    return true;
}

/* Every pair of every node; each relationship is a pair on both sides. */
static bool
all_in_step (struct net *net)
{
    size_t pairs = 0;
    bool in_step = true;
    for (size_t i = 0; i < net->n && in_step; i++) {
        Weir__SyncAsk ask = WEIR__SYNC_ASK__INIT;
        struct weir_client_answer answer;
        call (net, i, WEIR_KIND_SYNC_STATUS, &ask.base, &answer);
        const Weir__SyncStatus *m = (const Weir__SyncStatus *) answer.meta;
        for (size_t k = 0; k < m->n_pairs; k++) {
            in_step = in_step && m->pairs[k]->in_step && m->pairs[k]->lag_entries == 0;
        }
        pairs += m->n_pairs;
        weir_client_answer_fini (&answer);
    }
    return in_step && pairs >= 2 * net->n_edges;
}

static void
tell_where (struct net *net)
{
    for (size_t i = 0; i < net->n; i++) {
        uint64_t entries;
        struct weir_id id = node_digest (&net->nodes[i], net->db, &entries);
        fprintf (stderr, "%s: %llu entries, digest %.8s\n", net->nodes[i].name,
                 (unsigned long long) entries, weir_id_text (&id).s);
        Weir__SyncAsk ask = WEIR__SYNC_ASK__INIT;
        struct weir_client_answer answer;
        call (net, i, WEIR_KIND_SYNC_STATUS, &ask.base, &answer);
        const Weir__SyncStatus *m = (const Weir__SyncStatus *) answer.meta;
        for (size_t k = 0; k < m->n_pairs; k++) {
            const Weir__Pair *p = m->pairs[k];
            fprintf (stderr, "    to %.*s: %.*s, %llu behind, %.*s\n", (int) p->peer_name.len,
                     (const char *) p->peer_name.data, (int) p->phase.len,
                     (const char *) p->phase.data, (unsigned long long) p->lag_entries,
                     (int) p->reason_text.len, (const char *) p->reason_text.data);
        }
        weir_client_answer_fini (&answer);
    }
}

uint64_t
net_wait_equal (struct net *net, uint32_t ms)
{
    uint64_t began = node_now_ms ();
    while (!same_entries (net) || !all_in_step (net)) {
        if (node_now_ms () - began > ms) {
            tell_where (net);
            node_die ("not in step after %u ms", ms);
        }
        node_pause_ms (20);
    }
    return node_now_ms () - began;
}

/* ---- what they hold ---- */

static json_t *
document (struct net *net, size_t i)
{
    Weir__DocPath ask = WEIR__DOC_PATH__INIT;
    struct weir_client *client = NULL;
    struct weir_error e = { 0 };
    struct weir_buf text = { 0 };
    uint64_t request = 0;
    bool more = true;
    ask.has_db = ask.has_path = true;
    ask.db = weir_field_str (net->db);
    ask.path = weir_field_str ("");
    if (weir_client_open (&client, net->nodes[i].paths.control, CALL_MS, &e) != WEIR_OK
        || weir_client_send (client, WEIR_KIND_DOC_GET, &ask.base, weir_bytes (NULL, 0), CALL_MS,
                             &request, &e)
               != WEIR_OK) {
        node_die ("doc get on %s: %s", net->nodes[i].name, e.what);
    }
    for (size_t parts = 0; more; parts++) {
        struct weir_client_answer answer;
        if (parts == PARTS_MAX || weir_client_receive (client, CALL_MS, &answer, &e) != WEIR_OK
            || answer.status != WEIR_OK) {
            node_die ("doc get on %s: %s", net->nodes[i].name, e.what);
        }
        weir_buf_put_bytes (&text, answer.body);
        more = answer.more;
        weir_client_answer_fini (&answer);
    }
    weir_client_close (&client);
    json_t *value = json_loadb ((const char *) text.data, text.len, JSON_DECODE_ANY, NULL);
    weir_buf_fini (&text);
    if (value == NULL) {
        node_die ("the document of %s is not JSON", net->nodes[i].name);
    }
    return value;
}

static json_t *
heads (struct net *net, size_t i)
{
    Weir__DbName ask = WEIR__DB_NAME__INIT;
    struct weir_client_answer answer;
    json_t *list = json_array ();
    ask.has_db = true;
    ask.db = weir_field_str (net->db);
    call (net, i, WEIR_KIND_DOC_HEADS, &ask.base, &answer);
    const Weir__DocHeads *m = (const Weir__DocHeads *) answer.meta;
    for (size_t k = 0; k < m->n_heads; k++) {
        struct weir_id id = weir_id_zero;
        weir_ignore (weir_field_get_id (&id, true, m->heads[k]));
        json_array_append_new (list, json_string (weir_id_text (&id).s));
    }
    weir_client_answer_fini (&answer);
    return list;
}

static uint64_t
data_entries (struct net *net, size_t i)
{
    uint64_t count = 0;
    uint64_t before = 0;
    do {
        Weir__DocLogAsk ask = WEIR__DOC_LOG_ASK__INIT;
        struct weir_client_answer answer;
        ask.has_db = ask.has_before = ask.has_limit = true;
        ask.db = weir_field_str (net->db);
        ask.before = before;
        ask.limit = 500;
        call (net, i, WEIR_KIND_DOC_LOG, &ask.base, &answer);
        const Weir__DocLog *m = (const Weir__DocLog *) answer.meta;
        for (size_t k = 0; k < m->n_items; k++) {
            count += m->items[k]->kind == 1;
        }
        before = m->before;
        weir_client_answer_fini (&answer);
    } while (before > 0);
    return count;
}

static void
check_values (const struct net *net, const json_t *root)
{
    for (size_t i = 0; i < net->n; i++) {
        const char *name = net->nodes[i].name;
        uint64_t want = atomic_load (&net->writers[i].acknowledged);
        for (uint64_t k = 0; k < want; k++) {
            char key[32];
            snprintf (key, sizeof key, "%08llu", (unsigned long long) k);
            const json_t *value = json_object_get (json_object_get (root, name), key);
            if (!json_is_integer (value) || (uint64_t) json_integer_value (value) != k) {
                node_die ("an acknowledged commit is lost: /%s/%s", name, key);
            }
        }
    }
}

void
net_check (struct net *net)
{
    json_t *root = document (net, 0);
    json_t *tips = heads (net, 0);
    uint64_t acknowledged = 0;
    check_values (net, root);
    for (size_t i = 0; i < net->n; i++) {
        acknowledged += atomic_load (&net->writers[i].acknowledged);
    }
    for (size_t i = 0; i < net->n; i++) {
        json_t *other = document (net, i);
        json_t *other_tips = heads (net, i);
        uint64_t entries = data_entries (net, i);
        if (!json_equal (root, other) || !json_equal (tips, other_tips)) {
            node_die ("%s and %s hold the same entries and differ", net->nodes[0].name,
                      net->nodes[i].name);
        }
        if (entries != acknowledged) {
            node_die ("%llu data entries on %s for %llu acknowledged commits",
                      (unsigned long long) entries, net->nodes[i].name,
                      (unsigned long long) acknowledged);
        }
        json_decref (other);
        json_decref (other_tips);
    }
    json_decref (root);
    json_decref (tips);
}
