/* Joining (page 2, "Keys, cards, tickets"). The one who joins dials with the ticket's one-time
 * key, proves its device and asks; the inviter's store signs it in. Each side makes the
 * relationship durable before it says so, so that a crash at any moment ends in asking again. */

#include "actors/peers/state.h"

#include <stdlib.h>
#include <string.h>

#define JOIN_FAST_ATTEMPTS 30u
#define JOIN_SLOW_MS 5000u

void
join_free (struct join *j)
{
    if (j != NULL) {
        weir_wipe (j->secret, sizeof j->secret);
        peers_card_destroy (&j->card);
        free (j);
    }
}

static struct join *
join_find (const struct peers *p, const struct weir_id *db)
{
    for (size_t i = 0; i < p->n_joins; i++) {
        if (weir_id_equal (&p->joins[i]->db, db)) {
            return p->joins[i];
        }
    }
    return NULL;
}

static void
join_drop (struct peers *p, struct join *j)
{
    for (size_t i = 0; i < p->n_joins; i++) {
        if (p->joins[i] == j) {
            p->joins[i] = p->joins[--p->n_joins];
            break;
        }
    }
    if (j->link != NULL) {
        j->link->join = NULL;
    }
    join_free (j);
}

/* ---- the one who joins ---- */

void
join_wanted (struct peers *p, const Weir__JoinWanted *m)
{
    struct weir_id db;
    struct weir_id ticket;
    struct peers_card *card = NULL;
    if (weir_field_get_id (&db, m->has_db, m->db) != WEIR_OK
        || weir_field_get_id (&ticket, m->has_ticket, m->ticket) != WEIR_OK || !m->has_secret
        || m->secret.len != 32 || peers_card_read (&card, m->card) != WEIR_OK) {
        return;
    }
    struct join *j = join_find (p, &db);
    if (j != NULL && weir_id_equal (&j->ticket, &ticket)) {
        peers_card_destroy (&card); /* said again */
        j->done = false;
        j->due_ms = 0;
        links_dial_soon (p);
        return;
    }
    if (j != NULL) {
        struct link *l = j->link;
        j->link = NULL;
        if (l != NULL) {
            l->join = NULL;
            link_end (p, l, WEIR_CANCELLED, "another ticket", false);
        }
        peers_card_destroy (&j->card);
    } else if (p->n_joins == sizeof p->joins / sizeof *p->joins) {
        peers_card_destroy (&card); /* the store says it again at our next start */
        return;
    } else {
        j = weir_alloc (sizeof *j);
        p->joins[p->n_joins++] = j;
    }
    j->db = db;
    j->ticket = ticket;
    memcpy (j->secret, m->secret.data, sizeof j->secret);
    j->card = card;
    j->due_ms = 0;
    j->attempts = 0;
    j->done = false;
    links_dial_soon (p);
}

void
join_dial (struct peers *p, uint64_t now_ms)
{
    for (size_t i = 0; i < p->n_joins; i++) {
        struct join *j = p->joins[i];
        size_t ways = j->card->n_addresses * j->card->n_keys;
        if (j->link != NULL || j->done || j->due_ms > now_ms || ways == 0) {
            continue;
        }
        size_t way = j->attempts % ways;
        struct link *l =
            link_dial (p, j->card->addresses[way % j->card->n_addresses], &j->card->device,
                       &j->card->keys[way / j->card->n_addresses], j->secret);
        if (l == NULL) {
            j->due_ms = now_ms + WEIR_RECONNECT_MS_MIN;
        } else {
            l->guest = true;
            l->join = j;
            j->link = l;
        }
    }
}

void
join_link_ended (struct peers *p, struct join *j, enum weir_status status)
{
    uint64_t delay =
        j->attempts < JOIN_FAST_ATTEMPTS ? link_backoff (p, j->attempts) : JOIN_SLOW_MS;
    j->link = NULL;
    j->attempts++;
    j->due_ms = weir_actor_now_ms (p->actor) + delay;
    if (!j->done) {
        weir_actor_log (p->actor, WEIR_LOG_INFO, "join_waits", "db=%s code=%s",
                        weir_id_text (&j->db).s, weir_status_code (status));
        links_dial_soon (p);
    }
}

void
join_opened (struct peers *p, struct link *l)
{
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    Weir__Join m = WEIR__JOIN__INIT;
    if (p->card == NULL) {
        cards_sign (p);
        link_end (p, l, WEIR_UNAVAILABLE, "our card is not signed yet", false);
    } else {
        m.has_ticket = m.has_name = true;
        m.ticket = weir_field_id (&l->join->ticket);
        m.name = weir_field_str (p->name);
        m.card = peers_card_message (p->card, arena);
        link_say (p, l, WEIR_KIND_W_JOIN, &m.base);
    }
    weir_arena_destroy (&arena);
}

static void
store_heard (void *state, struct weir_actor *actor, void *context, enum weir_status status,
             const struct weir_error *problem, const struct weir_message *answer)
{
    struct peers *p = state;
    struct weir_id *db = context;
    struct join *j = join_find (p, db);
    (void) problem;
    (void) answer;
    free (db);
    if (status != WEIR_OK) {
        weir_actor_log (actor, WEIR_LOG_WARN, "join_not_ended", "code=%s",
                        weir_status_code (status));
    } else if (j != NULL && j->done) {
        join_drop (p, j);
    }
}

static void
tell_store (struct peers *p, const struct weir_id *db, enum weir_status status)
{
    Weir__DbJoined m = WEIR__DB_JOINED__INIT;
    struct weir_id *context = weir_alloc (sizeof *context);
    *context = *db;
    m.has_db = m.has_status = true;
    m.db = weir_field_id (db);
    m.status = (uint32_t) status;
    (void) weir_actor_ask (p->actor, WEIR_KIND_DB_JOINED, NULL, &m.base, weir_bytes (NULL, 0), 0,
                           store_heard, context);
}

static void
joined_flushed (void *state, struct weir_actor *actor, void *context, enum weir_status status,
                const struct weir_error *problem, const struct weir_message *answer)
{
    struct weir_id *db = context;
    (void) actor;
    (void) problem;
    (void) answer;
    if (status == WEIR_OK) {
        tell_store (state, db, WEIR_OK);
    }
    free (db);
}

/* Another attempt would be answered the same. */
static bool
is_final (enum weir_status status)
{
    return status == WEIR_BAD_TICKET || status == WEIR_TICKET_EXPIRED || status == WEIR_TICKET_USED
           || status == WEIR_NOT_ALLOWED || status == WEIR_NOT_MEMBER || status == WEIR_REFUSED
           || status == WEIR_OWN_DEVICE || status == WEIR_NOT_FOUND || status == WEIR_BLOCKED
           || status == WEIR_REMOVED;
}

void
join_answered (struct peers *p, struct link *l, const Weir__Joined *m)
{
    struct join *j = l->join;
    enum weir_status status = weir_status_from_number (m->status);
    if (j == NULL || j->done) {
        return;
    }
    struct weir_id db = j->db;
    if (status == WEIR_OK) {
        struct device *d = device_need (p, &j->card->device);
        struct relation *r = relation_need (d, &db);
        struct weir_id *context = weir_alloc (sizeof *context);
        *context = db;
        struct peers_card *card = NULL; /* a copy: the join may have to ask again */
        if (peers_card_read_bytes (&card, weir_buf_bytes (&j->card->packed)) == WEIR_OK) {
            (void) device_take_card (p, d, &card);
        }
        r->direction = WEIR_SYNC_BOTH;
        r->dirty = d->dirty = true;
        device_error (d, WEIR_OK, "");
        d->due_ms = 0;
        d->attempts = 0;
        j->done = true;
        link_end (p, l, WEIR_OK, "joined", false);
        rows_flush (p, joined_flushed, context);
        members_apply (p);
        weir_actor_event (p->actor, "join_accepted", &d->id, &db, WEIR_OK, "right=%u", m->right);
        return;
    }
    weir_actor_log (p->actor, WEIR_LOG_WARN, "join_refused", "db=%s code=%s", weir_id_text (&db).s,
                    weir_status_code (status));
    if (is_final (status)) {
        j->done = true;
        link_end (p, l, WEIR_OK, "refused", false);
        tell_store (p, &db, status);
    } else {
        link_end (p, l, WEIR_OK, "not now", false);
    }
}

/* ---- the inviter ---- */

struct guest {
    uint64_t link;
    struct weir_id device;
    struct weir_id db;
    uint32_t right;
    struct peers_card *card;
};

static void
guest_free (struct guest *g)
{
    peers_card_destroy (&g->card);
    free (g);
}

static void
say_joined (struct peers *p, const struct guest *g, enum weir_status status,
            const struct weir_error *problem)
{
    struct link *l = link_find (p, g->link);
    Weir__Joined m = WEIR__JOINED__INIT;
    if (l == NULL || l->ended) {
        return; /* it asks again */
    }
    m.has_status = true;
    m.status = (uint32_t) status;
    if (status == WEIR_OK) {
        m.has_db = m.has_right = true;
        m.db = weir_field_id (&g->db);
        m.right = g->right;
    } else if (problem != NULL) {
        m.has_what = true;
        m.what = weir_field_str (problem->what);
    }
    link_say (p, l, WEIR_KIND_W_JOINED, &m.base);
}

static void
guest_flushed (void *state, struct weir_actor *actor, void *context, enum weir_status status,
               const struct weir_error *problem, const struct weir_message *answer)
{
    struct guest *g = context;
    (void) actor;
    (void) answer;
    say_joined (state, g, status, problem);
    guest_free (g);
}

static void
redeemed (void *state, struct weir_actor *actor, void *context, enum weir_status status,
          const struct weir_error *problem, const struct weir_message *answer)
{
    struct peers *p = state;
    struct guest *g = context;
    const Weir__TicketRedeemed *m =
        status == WEIR_OK && answer != NULL ? (const Weir__TicketRedeemed *) answer->meta : NULL;
    if (m == NULL || weir_field_get_id (&g->db, m->has_db, m->db) != WEIR_OK) {
        weir_actor_event (actor, "join_refused", &g->device, NULL, status, "code=%s",
                          weir_status_code (status));
        say_joined (p, g, status == WEIR_OK ? WEIR_FAILED : status, problem);
        guest_free (g);
        return;
    }
    g->right = m->right;
    struct device *d = device_need (p, &g->device);
    struct relation *r = relation_need (d, &g->db);
    struct database *db = database_find (p, &g->db);
    bool newer = device_take_card (p, d, &g->card);
    r->direction = WEIR_SYNC_BOTH;
    r->dirty = d->dirty = true;
    d->first_seen_ms = d->first_seen_ms != 0 ? d->first_seen_ms : weir_actor_wall_ms (actor);
    if (db != NULL) {
        database_add_member (db, &g->device, m->right);
    }
    if (newer) {
        cards_forward (p, NULL, d);
    }
    weir_actor_event (actor, "member_joined", &g->device, &g->db, WEIR_OK, "right=%u", m->right);
    members_apply (p); /* its own key is let in before it is told */
    rows_flush (p, guest_flushed, g);
}

void
join_asked (struct peers *p, struct link *l, const Weir__Join *m)
{
    struct weir_id ticket;
    struct guest *g = weir_alloc (sizeof *g);
    g->link = l->number;
    g->device = l->session.theirs.device;
    /* The key the link shows is the ticket: naming another's would prove nothing. */
    if (weir_field_get_id (&ticket, m->has_ticket, m->ticket) != WEIR_OK
        || !weir_id_equal (&ticket, &l->their_key) || peers_card_read (&g->card, m->card) != WEIR_OK
        || !weir_id_equal (&g->card->device, &g->device)) {
        link_ignored (p, l);
        weir_actor_event (p->actor, "join_refused", &g->device, NULL, WEIR_BAD_TICKET, "code=%s",
                          weir_status_code (WEIR_BAD_TICKET));
        say_joined (p, g, WEIR_BAD_TICKET, NULL);
        guest_free (g);
        return;
    }
    const struct device *known = device_find (p, &g->device);
    if (known != NULL && known->blocked) {
        say_joined (p, g, WEIR_BLOCKED, NULL);
        guest_free (g);
        return;
    }
    Weir__TicketRedeem ask = WEIR__TICKET_REDEEM__INIT;
    ask.has_device = ask.has_ticket = true;
    ask.device = weir_field_id (&g->device);
    ask.ticket = weir_field_id (&ticket);
    ask.has_name = m->has_name;
    ask.name = m->name;
    (void) weir_actor_ask (p->actor, WEIR_KIND_TICKET_REDEEM, NULL, &ask.base, weir_bytes (NULL, 0),
                           PEERS_ASK_MS, redeemed, g);
}
