/* The peers actor: start, partners, dispatch. See state.h for its files. It becomes ready when it
 * has read what it knew and what the store may share; before that it opens no link. */

#include "actors/peers/peers.h"

#include <stdlib.h>
#include <string.h>

#include "actors/peers/history.h"

/* ---- start ---- */

static void
store_opened (void *state, struct weir_actor *actor, void *context, enum weir_status status,
              const struct weir_error *problem, const struct weir_message *answer)
{
    struct peers *p = state;
    const Weir__StoreOpened *m =
        status == WEIR_OK && answer != NULL ? (const Weir__StoreOpened *) answer->meta : NULL;
    struct weir_id device;
    (void) context;
    if (m == NULL || weir_field_get_id (&device, m->has_device, m->device) != WEIR_OK) {
        weir_actor_exit (actor, status == WEIR_OK ? WEIR_FAILED : status, problem);
        return;
    }
    if (weir_field_get_text (p->name, WEIR_NAME_BYTES_MAX, m->has_name, m->name) != WEIR_OK) {
        p->name[0] = '\0';
    }
    p->store_epoch = m->epoch;
    if (p->sync == NULL) {
        p->device = device;
        sync_start (p);
        presence_start (p);
        history_start (p);
        rows_load (p);
        return;
    }
    /* It came back: its transfers are gone, its digests are read anew. */
    struct weir_sync_event e = { .type = WEIR_SYNC_STORE_UP };
    struct weir_bytes key;
    void *value = NULL;
    for (size_t i = 0; weir_map_next (p->databases, &i, &key, &value);) {
        ((struct database *) value)->digest = weir_id_zero;
    }
    sync_step (p, &e);
    if (p->loaded) {
        members_read (p);
    }
}

static void
ask_store (struct peers *p)
{
    (void) weir_actor_ask (p->actor, WEIR_KIND_STORE_OPEN, NULL, NULL, weir_bytes (NULL, 0), 0,
                           store_opened, NULL);
}

static enum weir_status
start (void **state, struct weir_actor *actor, struct weir_error *e)
{
    struct peers *p = weir_alloc (sizeof *p);
    (void) e;
    *state = p;
    weir_crypto_init ();
    p->actor = actor;
    p->devices = weir_map_new ();
    p->databases = weir_map_new ();
    p->links = weir_map_new ();
    p->sessions = weir_map_new ();
    p->forgotten = weir_map_new ();
    ask_store (p);
    return WEIR_OK;
}

static void
free_link (void *value)
{
    link_free (value);
}

static void
free_device (void *value)
{
    device_free (value);
}

static void
stop (void **state, struct weir_actor *actor)
{
    struct peers *p = *state;
    struct weir_bytes key;
    void *value = NULL;
    (void) actor;
    if (p->sync != NULL) {
        for (size_t i = 0; weir_map_next (p->links, &i, &key, &value);) {
            struct link *l = value;
            if (l->opened && !l->guest) {
                l->device->last_seen_ms = weir_actor_wall_ms (actor);
                l->device->dirty = true;
            }
        }
        history_stop (p);
        rows_flush (p, NULL, NULL);
    }
    verb_waits_free (p);
    presence_stop (p);
    blobs_stop (p);
    links_free_ended (p);
    weir_map_destroy (&p->sessions, NULL);
    weir_map_destroy (&p->links, free_link);
    weir_map_destroy (&p->devices, free_device);
    weir_map_destroy (&p->databases, database_free);
    weir_map_destroy (&p->forgotten, free);
    for (size_t i = 0; i < p->n_joins; i++) {
        join_free (p->joins[i]);
    }
    free (p->tickets);
    peers_card_destroy (&p->card);
    weir_sync_actions_fini (&p->actions);
    weir_sync_destroy (&p->sync);
    free (p);
    *state = NULL;
}

/* ---- partners ---- */

static void
up (void *state, struct weir_actor *actor, const char *role, const char *name,
    const struct weir_mailbox_id *mailbox, uint64_t epoch)
{
    struct peers *p = state;
    (void) actor;
    (void) name;
    (void) mailbox;
    (void) epoch;
    if (strcmp (role, "store") == 0 && p->sync != NULL) {
        blobs_store_up (p);
        ask_store (p);
    } else if (strcmp (role, "retry") == 0) {
        struct weir_bytes key;
        void *value = NULL;
        for (size_t i = 0; weir_map_next (p->devices, &i, &key, &value);) {
            for (struct relation *r = ((struct device *) value)->relations; r != NULL;
                 r = r->next) {
                r->behind = true; /* what it was told last may have been lost: tell it again */
            }
        }
    }
}

static void
down (void *state, struct weir_actor *actor, const char *role, const char *name,
      const struct weir_mailbox_id *mailbox)
{
    (void) actor;
    (void) name;
    if (strcmp (role, "transport") == 0) {
        transport_down (state, mailbox);
    }
}

static void
reloaded (void *state, struct weir_actor *actor)
{
    (void) actor;
    sync_reload (state);
}

static void
after_turn (void *state, struct weir_actor *actor)
{
    struct peers *p = state;
    (void) actor;
    if (p->look_at_waits) {
        p->look_at_waits = false;
        verb_waits_look (p);
    }
    links_free_ended (p);
}

/* ---- dispatch ---- */

#define ON(name)                                                                                   \
    static void on_##name (void *state, struct weir_actor *actor,                                  \
                           const struct weir_message *message)

ON (novel)
{
    struct peers *p = state;
    (void) actor;
    if (p->loaded) {
        sync_novel (p, (const Weir__Novel *) message->meta);
    }
}

ON (rights_changed)
{
    struct peers *p = state;
    (void) actor;
    (void) message;
    if (p->loaded) {
        members_read (p);
    }
}

ON (transfer_acked)
{
    struct peers *p = state;
    (void) actor;
    if (p->loaded) {
        sync_acked (p, (const Weir__TransferAcked *) message->meta);
    }
}

ON (transfer_arrived)
{
    struct peers *p = state;
    (void) actor;
    if (p->loaded) {
        sync_arrived (p, (const Weir__TransferArrived *) message->meta);
    }
}

ON (transfer_lost)
{
    struct peers *p = state;
    (void) actor;
    if (p->loaded) {
        sync_lost (p, (const Weir__TransferLost *) message->meta);
    }
}

ON (blob_state)
{
    (void) actor;
    blobs_state (state, (const Weir__BlobState *) message->meta);
}

ON (join_wanted)
{
    (void) actor;
    join_wanted (state, (const Weir__JoinWanted *) message->meta);
}

ON (tickets)
{
    (void) actor;
    tickets_take (state, (const Weir__Tickets *) message->meta);
}

ON (transport_ready)
{
    (void) actor;
    transport_ready (state, &message->envelope, (const Weir__TransportReady *) message->meta);
}

ON (link_up)
{
    (void) actor;
    link_on_up (state, &message->envelope, (const Weir__LinkUp *) message->meta);
}

ON (link_down)
{
    struct peers *p = state;
    const Weir__LinkDown *m = (const Weir__LinkDown *) message->meta;
    struct link *l = link_find (p, m->link);
    char why[PEERS_WHY_MAX];
    (void) actor;
    if (l == NULL || !weir_mailbox_equal (&l->transport->mailbox, &message->envelope.from)) {
        return;
    }
    if (weir_field_get_text (why, sizeof why - 1, m->has_why, m->why) != WEIR_OK) {
        why[0] = '\0';
    }
    link_end (p, l, weir_status_from_number (m->status), why, true);
}

ON (wire_in)
{
    (void) actor;
    session_take (state, (const Weir__LinkMessage *) message->meta, message);
}

ON (due)
{
    struct peers *p = state;
    const Weir__Behind *m = (const Weir__Behind *) message->meta;
    struct weir_id device;
    struct weir_id db;
    (void) actor;
    if (p->ready && weir_field_get_id (&device, m->has_device, m->device) == WEIR_OK
        && weir_field_get_id (&db, m->has_db, m->db) == WEIR_OK) {
        sync_due (p, &device, &db);
    }
}

static const struct weir_actor_handler handlers[] = {
    { WEIR_KIND_NOVEL, on_novel },
    { WEIR_KIND_RIGHTS_CHANGED, on_rights_changed },
    { WEIR_KIND_TRANSFER_ACKED, on_transfer_acked },
    { WEIR_KIND_TRANSFER_ARRIVED, on_transfer_arrived },
    { WEIR_KIND_TRANSFER_LOST, on_transfer_lost },
    { WEIR_KIND_JOIN_WANTED, on_join_wanted },
    { WEIR_KIND_BLOB_STATE, on_blob_state },
    { WEIR_KIND_TICKETS, on_tickets },
    { WEIR_KIND_TRANSPORT_READY, on_transport_ready },
    { WEIR_KIND_LINK_UP, on_link_up },
    { WEIR_KIND_LINK_DOWN, on_link_down },
    { WEIR_KIND_WIRE_IN, on_wire_in },
    { WEIR_KIND_DUE, on_due },
    { WEIR_KIND_PEER_LIST, verb_peer_list },
    { WEIR_KIND_PEER_SELF, verb_peer_self },
    { WEIR_KIND_PEER_ADD, verb_peer_add },
    { WEIR_KIND_PEER_REMOVE, verb_peer_remove },
    { WEIR_KIND_PEER_BLOCK, verb_peer_block },
    { WEIR_KIND_PEER_PING, verb_peer_ping },
    { WEIR_KIND_SYNC_STATUS, verb_sync_status },
    { WEIR_KIND_SYNC_NOW, verb_sync_now },
    { WEIR_KIND_SYNC_WAIT, verb_sync_wait },
    { WEIR_KIND_SYNC_RELATE, verb_sync_relate },
    { WEIR_KIND_SYNC_UNRELATE, verb_sync_unrelate },
    { WEIR_KIND_TRANSPORT_LIST, verb_transport_list },
    { WEIR_KIND_TRANSPORT_SET, verb_transport_set },
    { WEIR_KIND_KEY_ROTATE_LINK, verb_rotate_link },
    { WEIR_KIND_SYNC_EXPLAIN, verb_sync_explain },
    { WEIR_KIND_SYNC_HISTORY, verb_sync_history },
    { WEIR_KIND_PRESENCE_SET, verb_presence_set },
    { WEIR_KIND_PRESENCE_REMOVE, verb_presence_remove },
    { WEIR_KIND_PRESENCE_LIST, verb_presence_list },
    { WEIR_KIND_PRESENCE_WATCH, verb_presence_watch },
    { 0, NULL },
};

const struct weir_actor_def peers_def = {
    .role = "peers",
    .handlers = handlers,
    .start = start,
    .stop = stop,
    .up = up,
    .down = down,
    .after_turn = after_turn,
    .reloaded = reloaded,
};

int
weir_peers_run (int argc, char **argv)
{
    return weir_actor_run (&peers_def, argc, argv);
}
