/* Tickets (page 2): an admin's node prints one string; the other device connects with the
 * one-time key in it, proves its device, and is signed in. Rows "tickets/<public key>" hold what
 * was promised and to whom it went; rows "joins/<database>" what this node still wants to join.
 * Both survive restarts, so the same device asking again gets the same answer. */

#include <stdlib.h>
#include <string.h>

#include "actors/store/state.h"
#include "actors/store/ticket.h"

#define TICKETS_PREFIX "tickets/"
#define JOINS_PREFIX "joins/"

/* ---- the inviter ---- */

/* db 32 | right u8 | expires u64 | owner 32 (zero: nobody yet) */
struct ticket_row {
    struct weir_id db;
    uint8_t right;
    uint64_t expires_ms;
    struct weir_id owner;
};

static void
ticket_key (char *out, size_t size, const struct weir_id *public_key)
{
    snprintf (out, size, TICKETS_PREFIX "%s", weir_id_text (public_key).s);
}

static void
put_row (struct store *s, const struct weir_id *public_key, const struct ticket_row *row)
{
    char key[sizeof TICKETS_PREFIX + WEIR_ID_TEXT];
    struct weir_buf b = { 0 };
    weir_buf_put_bytes (&b, weir_id_bytes (&row->db));
    weir_buf_put_u8 (&b, row->right);
    weir_buf_put_u64 (&b, row->expires_ms);
    weir_buf_put_bytes (&b, weir_id_bytes (&row->owner));
    ticket_key (key, sizeof key, public_key);
    weir_repo_state_put (s->repo, key, weir_buf_bytes (&b));
    weir_buf_fini (&b);
}

static bool
read_row (struct weir_bytes bytes, struct ticket_row *row)
{
    struct weir_reader r = weir_reader (bytes);
    bool good = weir_id_from_bytes (&row->db, weir_read_bytes (&r, WEIR_ID_BYTES)) == WEIR_OK;
    row->right = weir_read_u8 (&r);
    row->expires_ms = weir_read_u64 (&r);
    good = weir_id_from_bytes (&row->owner, weir_read_bytes (&r, WEIR_ID_BYTES)) == WEIR_OK && good;
    return good && weir_reader_done (&r);
}

/* Walks the rows, dropping those that ran out; calls fn for the live ones. */
static size_t
each_ticket (struct store *s, Weir__LiveTicket **items, struct weir_arena *arena)
{
    struct weir_buf key = { 0 };
    struct weir_buf value = { 0 };
    char after[64 + WEIR_ID_TEXT] = "";
    size_t n = 0;
    uint64_t now = weir_actor_wall_ms (s->actor);
    while (n < WEIR_TICKETS_MAX
           && weir_repo_state_next (s->repo, TICKETS_PREFIX, after, &key, &value) == WEIR_OK) {
        struct ticket_row row;
        struct weir_id public_key;
        snprintf (after, sizeof after, "%s", weir_buf_str (&key));
        bool good = read_row (weir_buf_bytes (&value), &row)
                    && weir_id_parse (&public_key, after + strlen (TICKETS_PREFIX)) == WEIR_OK;
        if (!good || row.expires_ms < now) {
            weir_repo_state_put (s->repo, after, weir_bytes (NULL, 0));
        } else {
            Weir__LiveTicket *m = weir_arena_alloc (arena, sizeof *m);
            if (m == NULL) {
                break;
            }
            *m = (Weir__LiveTicket) WEIR__LIVE_TICKET__INIT;
            m->has_id = m->has_link_key = m->has_expires_ms = true;
            m->id.data = weir_arena_copy (arena, weir_id_bytes (&public_key));
            m->id.len = WEIR_ID_BYTES;
            m->link_key = m->id;
            m->expires_ms = row.expires_ms;
            items[n++] = m;
        }
        weir_buf_clear (&key);
        weir_buf_clear (&value);
    }
    weir_buf_fini (&key);
    weir_buf_fini (&value);
    return n;
}

/* All live ones, so that peers admits their keys and no others. */
void
store_tickets_tell (struct store *s)
{
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    Weir__Tickets m = WEIR__TICKETS__INIT;
    m.items = weir_alloc (WEIR_TICKETS_MAX * sizeof *m.items);
    m.n_items = each_ticket (s, m.items, arena);
    (void) weir_actor_send (s->actor, WEIR_KIND_TICKETS, NULL, &m.base, weir_bytes (NULL, 0));
    free (m.items);
    weir_arena_destroy (&arena);
}

static size_t
live_tickets (struct store *s)
{
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    Weir__LiveTicket **items = weir_alloc (WEIR_TICKETS_MAX * sizeof *items);
    size_t n = each_ticket (s, items, arena);
    free (items);
    weir_arena_destroy (&arena);
    return n;
}

static bool
own_card (struct store *s, struct weir_buf *out, struct weir_error *e)
{
    struct weir_card card;
    if (weir_repo_state_get (s->repo, "own_card", out) != WEIR_OK
        || weir_card_get (&card, weir_buf_bytes (out)) != WEIR_OK || card.n_addresses == 0) {
        weir_error_set (e, WEIR_REFUSED, "set listen = tcp://HOST:PORT in weir.conf and restart",
                        "this node has no address that another device could dial");
        return false;
    }
    return true;
}

void
store_db_share (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct store *s = state;
    const Weir__DbShare *ask = (const Weir__DbShare *) message->meta;
    struct weir_error e = { 0 };
    struct weir_ticket t = { 0 };
    struct weir_link_key key;
    struct weir_db_info info;
    if (!store_writable (s, &message->envelope)
        || !store_resolve (s, &message->envelope, ask->has_db, ask->db, &t.db)) {
        return;
    }
    enum weir_status status = weir_repo_info (s->repo, &t.db, &info);
    if (status == WEIR_OK
        && (!ask->has_right || ask->right == 0 || ask->right >= WEIR_RIGHT_COUNT)) {
        status = weir_error_set (&e, WEIR_INVALID_ARGUMENT, NULL, "no such right");
    } else if (status == WEIR_OK && info.right != WEIR_RIGHT_ADMIN) {
        status = weir_error_set (&e, WEIR_NOT_ALLOWED, NULL, "only an admin of %s can share it",
                                 info.name);
    } else if (status == WEIR_OK && !own_card (s, &t.card, &e)) {
        status = e.status;
    }
    if (status != WEIR_OK) {
        store_fail (s, &message->envelope, status, &e);
        weir_ticket_fini (&t);
        return;
    }
    if (live_tickets (s) >= WEIR_TICKETS_MAX) {
        weir_error_set (&e, WEIR_LIMIT, "wait for some to run out, or give a shorter --ttl",
                        "%u tickets of this node are live", WEIR_TICKETS_MAX);
        store_fail (s, &message->envelope, WEIR_LIMIT, &e);
        weir_ticket_fini (&t);
        return;
    }
    uint64_t seconds = ask->has_seconds && ask->seconds > 0
                           ? ask->seconds
                           : weir_actor_settings (actor)->ticket_ttl_secs;
    snprintf (t.db_name, sizeof t.db_name, "%s", info.name);
    t.right = ask->right;
    t.expires_ms = weir_actor_wall_ms (actor) + seconds * 1000u;
    weir_link_key_make (&key);
    memcpy (t.secret, key.secret, sizeof t.secret);
    struct ticket_row row = { .db = t.db, .right = (uint8_t) t.right, .expires_ms = t.expires_ms };
    put_row (s, &key.public_key, &row);
    struct weir_buf text = { 0 };
    weir_ticket_put (&text, &t);
    Weir__Ticket answer = WEIR__TICKET__INIT;
    answer.has_text = true;
    answer.text = weir_field_of (weir_buf_bytes (&text));
    store_answer_synced (s, &message->envelope, &answer.base, weir_bytes (NULL, 0), 0);
    store_tickets_tell (s);
    weir_wipe (text.data, text.len);
    weir_buf_fini (&text);
    weir_wipe (&key, sizeof key);
    weir_ticket_fini (&t);
}

/* Signs the device in. The first device to prove itself owns the ticket; the same one, asking
 * again after a crash, gets the same answer. */
static enum weir_status
redeem (struct store *s, const struct weir_id *public_key, const struct weir_id *device,
        const char *name, struct ticket_row *row, struct weir_error *e)
{
    char key[sizeof TICKETS_PREFIX + WEIR_ID_TEXT];
    struct weir_buf value = { 0 };
    ticket_key (key, sizeof key, public_key);
    bool good = weir_repo_state_get (s->repo, key, &value) == WEIR_OK
                && read_row (weir_buf_bytes (&value), row);
    weir_buf_fini (&value);
    if (!good) {
        return weir_error_set (e, WEIR_TICKET_EXPIRED, NULL, "this node knows no such ticket");
    }
    if (weir_id_equal (&row->owner, device)) {
        /* What it may by now: an old ticket is no way around a removal. */
        row->right = (uint8_t) weir_repo_right (s->repo, &row->db, device);
        return row->right != WEIR_RIGHT_NONE
                   ? WEIR_OK
                   : weir_error_set (e, WEIR_REMOVED, "ask for a new ticket: weir db share DB",
                                     "the device was removed since it used this ticket");
    }
    if (!weir_id_is_zero (&row->owner)) {
        return weir_error_set (e, WEIR_TICKET_USED, NULL, "another device used this ticket");
    }
    if (row->expires_ms < weir_actor_wall_ms (s->actor)) {
        return weir_error_set (e, WEIR_TICKET_EXPIRED, NULL, "the ticket has run out");
    }
    if (weir_repo_right (s->repo, &row->db, device) < (enum weir_right) row->right) {
        struct weir_member_change change = { .device = *device,
                                             .right = (enum weir_right) row->right };
        struct weir_id entry;
        snprintf (change.name, sizeof change.name, "%s", name);
        enum weir_status status = weir_repo_change_members (
            s->repo, &row->db, &change, 1, weir_actor_wall_ms (s->actor), &entry, e);
        if (status != WEIR_OK) {
            return status;
        }
        s->commits++;
        weir_actor_event (s->actor, "member_joined", device, &row->db, WEIR_OK, "right=%s",
                          weir_right_name (change.right));
    }
    row->owner = *device;
    put_row (s, public_key, row);
    return WEIR_OK;
}

void
store_ticket_redeem (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct store *s = state;
    const Weir__TicketRedeem *ask = (const Weir__TicketRedeem *) message->meta;
    struct weir_error e = { 0 };
    struct weir_id device;
    struct weir_id public_key;
    struct ticket_row row;
    char name[WEIR_NAME_BYTES_MAX + 1];
    (void) actor;
    if (!store_writable (s, &message->envelope)) {
        return;
    }
    enum weir_status status = weir_field_get_id (&device, ask->has_device, ask->device);
    if (status == WEIR_OK) {
        status = weir_field_get_id (&public_key, ask->has_ticket, ask->ticket);
    }
    if (status == WEIR_OK) {
        status = weir_field_get_text (name, WEIR_NAME_BYTES_MAX, ask->has_name, ask->name);
    }
    if (status == WEIR_OK) {
        status = redeem (s, &public_key, &device, name, &row, &e);
    }
    if (status != WEIR_OK) {
        store_fail (s, &message->envelope, status, &e);
        return;
    }
    struct weir_db_info info = { 0 };
    weir_ignore (weir_repo_info (s->repo, &row.db, &info));
    Weir__TicketRedeemed answer = WEIR__TICKET_REDEEMED__INIT;
    answer.has_db = answer.has_right = answer.has_name = true;
    answer.db = weir_field_id (&row.db);
    answer.right = row.right;
    answer.name = weir_field_str (info.name);
    store_answer_synced (s, &message->envelope, &answer.base, weir_bytes (NULL, 0), 0);
}

/* ---- the one who joins ---- */

static void
tell_join (struct store *s, const struct weir_ticket *t)
{
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    ProtobufCMessage *card = NULL;
    struct weir_id public_key;
    weir_link_key_public (&public_key, t->secret);
    if (weir_meta_unpack (&card, arena, &weir__card__descriptor, weir_buf_bytes (&t->card))
        == WEIR_OK) {
        Weir__JoinWanted m = WEIR__JOIN_WANTED__INIT;
        m.has_db = m.has_ticket = m.has_secret = true;
        m.db = weir_field_id (&t->db);
        m.ticket = weir_field_id (&public_key);
        m.secret = weir_field_of (weir_bytes (t->secret, sizeof t->secret));
        m.card = (Weir__Card *) card;
        (void) weir_actor_send_about (s->actor, WEIR_KIND_JOIN_WANTED, NULL, &t->device, &t->db, 0,
                                      &m.base, weir_bytes (NULL, 0));
    }
    weir_arena_destroy (&arena);
}

/* Repeated at each start of peers until it says that the join is done. */
void
store_joins_tell (struct store *s)
{
    struct weir_buf key = { 0 };
    struct weir_buf value = { 0 };
    char after[64 + WEIR_ID_TEXT] = "";
    while (weir_repo_state_next (s->repo, JOINS_PREFIX, after, &key, &value) == WEIR_OK) {
        struct weir_ticket t = { 0 };
        snprintf (after, sizeof after, "%s", weir_buf_str (&key));
        if (weir_ticket_get (&t, weir_buf_bytes (&value), NULL) == WEIR_OK) {
            tell_join (s, &t);
            weir_ticket_fini (&t);
        }
        weir_buf_clear (&key);
        weir_buf_clear (&value);
    }
    weir_buf_fini (&key);
    weir_buf_fini (&value);
}

void
store_db_join (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct store *s = state;
    const Weir__Ticket *ask = (const Weir__Ticket *) message->meta;
    struct weir_error e = { 0 };
    struct weir_ticket t = { 0 };
    if (!store_writable (s, &message->envelope)) {
        return;
    }
    enum weir_status status = weir_ticket_get (&t, weir_field (ask->text), &e);
    if (status == WEIR_OK && weir_id_equal (&t.device, &s->identity.device)) {
        status = weir_error_set (&e, WEIR_OWN_DEVICE, "give it to another device",
                                 "this node made the ticket itself");
    }
    if (status == WEIR_OK && t.expires_ms < weir_actor_wall_ms (actor)) {
        /* The inviter's clock decides; ours only spares a pointless wait when it agrees. */
        weir_actor_log (actor, WEIR_LOG_WARN, "ticket_looks_expired", "by=own_clock");
    }
    if (status == WEIR_OK) {
        status = weir_repo_expect (s->repo, &t.db);
    }
    if (status != WEIR_OK) {
        store_fail (s, &message->envelope, status, &e);
        weir_ticket_fini (&t);
        return;
    }
    char key[sizeof JOINS_PREFIX + WEIR_ID_TEXT];
    snprintf (key, sizeof key, JOINS_PREFIX "%s", weir_id_text (&t.db).s);
    weir_repo_state_put (s->repo, key, weir_field (ask->text));
    Weir__DbId answer = WEIR__DB_ID__INIT;
    answer.has_id = answer.has_name = answer.has_device = true;
    answer.id = weir_field_id (&t.db);
    answer.name = weir_field_str (t.db_name);
    answer.device = weir_field_id (&t.device);
    store_answer_synced (s, &message->envelope, &answer.base, weir_bytes (NULL, 0), 0);
    tell_join (s, &t);
    store_rights_changed (s, &t.db);
    weir_ticket_fini (&t);
}

/* Peers says how it ended: done (status 0) or refused for good. */
void
store_db_joined (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct store *s = state;
    const Weir__DbJoined *ask = (const Weir__DbJoined *) message->meta;
    struct weir_id db;
    if (weir_field_get_id (&db, ask->has_db, ask->db) != WEIR_OK) {
        store_fail (s, &message->envelope, WEIR_BAD_MESSAGE, NULL);
        return;
    }
    char key[sizeof JOINS_PREFIX + WEIR_ID_TEXT];
    snprintf (key, sizeof key, JOINS_PREFIX "%s", weir_id_text (&db).s);
    weir_repo_state_put (s->repo, key, weir_bytes (NULL, 0));
    enum weir_status status = weir_status_from_number (ask->status);
    weir_actor_event (actor, status == WEIR_OK ? "joined" : "join_refused", NULL, &db, status,
                      "code=%s", weir_status_code (status));
    store_answer_synced (s, &message->envelope, NULL, weir_bytes (NULL, 0), 0);
}
