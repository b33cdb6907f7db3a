/* Databases, their members, and what follows: what is shared with whom, which sessions may stay,
 * whose keys transports let in. Rights are the store's word; this file only draws conclusions,
 * all of them again after any change, so that no order of events can leave a gap. */

#include "actors/peers/state.h"
#include "store/crypto/hash.h"

#include <stdlib.h>
#include <string.h>

#define ADMIT_KEYS_PER_PAGE 4096u

/* ---- databases ---- */

struct database *
database_find (const struct peers *p, const struct weir_id *id)
{
    return weir_map_get (p->databases, weir_id_bytes (id));
}

static void
members_free (struct database *db)
{
    for (size_t i = 0; i < db->n_members; i++) {
        free (db->members[i].name);
    }
    free (db->members);
    db->members = NULL;
    db->n_members = 0;
}

void
database_free (void *value)
{
    members_free (value);
    free (value);
}

static int
compare_members (const void *a, const void *b)
{
    return weir_id_compare (&((const struct member *) a)->device,
                            &((const struct member *) b)->device);
}

const struct member *
database_member (const struct database *db, const struct weir_id *device)
{
    struct member wanted = { .device = *device };
    if (db->n_members == 0) {
        return NULL;
    }
    return bsearch (&wanted, db->members, db->n_members, sizeof *db->members, compare_members);
}

void
database_add_member (struct database *db, const struct weir_id *device, uint32_t right)
{
    for (size_t i = 0; i < db->n_members; i++) {
        if (weir_id_equal (&db->members[i].device, device)) {
            db->members[i].right = right > db->members[i].right ? right : db->members[i].right;
            return;
        }
    }
    db->members = weir_realloc (db->members, (db->n_members + 1) * sizeof *db->members);
    db->members[db->n_members++] =
        (struct member){ .device = *device, .right = right, .name = weir_strdup ("") };
    qsort (db->members, db->n_members, sizeof *db->members, compare_members);
}

bool
device_is_member (const struct peers *p, const struct weir_id *id)
{
    struct weir_bytes key;
    void *value = NULL;
    for (size_t i = 0; weir_map_next (p->databases, &i, &key, &value);) {
        const struct member *m = database_member (value, id);
        if (m != NULL && m->right > 0) {
            return true;
        }
    }
    return false;
}

/* ---- rights ---- */

struct reading {
    bool one;
    struct weir_id db;
};

static void ask_rights (struct peers *p, struct reading *reading, const struct weir_id *after);

static void
take_right (struct peers *p, const Weir__DbRight *m)
{
    struct weir_id id;
    if (weir_field_get_id (&id, m->has_db, m->db) != WEIR_OK) {
        return;
    }
    struct database *db = database_find (p, &id);
    if (db == NULL) {
        db = weir_alloc (sizeof *db);
        db->id = id;
        (void) weir_map_put (p->databases, weir_id_bytes (&id), db);
    }
    db->seen = true;
    db->right = m->right;
    db->joining = m->joining;
    if (weir_field_get_id (&db->digest, m->has_digest, m->digest) != WEIR_OK) {
        db->digest = weir_id_zero;
    }
    if (weir_field_get_text (db->name, WEIR_NAME_BYTES_MAX, m->has_name, m->name) != WEIR_OK) {
        db->name[0] = '\0';
    }
    members_free (db);
    db->members = weir_alloc ((m->n_members + 1) * sizeof *db->members);
    for (size_t i = 0; i < m->n_members; i++) {
        char name[WEIR_NAME_BYTES_MAX + 1];
        struct member *member = &db->members[db->n_members];
        if (weir_field_get_id (&member->device, m->members[i]->has_device, m->members[i]->device)
            == WEIR_OK) {
            bool named = weir_field_get_text (name, WEIR_NAME_BYTES_MAX, m->members[i]->has_name,
                                              m->members[i]->name)
                         == WEIR_OK;
            member->right = m->members[i]->right;
            member->name = weir_strdup (named ? name : "");
            db->n_members++;
        }
    }
    if (db->n_members > 1) {
        qsort (db->members, db->n_members, sizeof *db->members, compare_members);
    }
}

static void
sweep (struct peers *p, const struct reading *reading)
{
    struct weir_bytes key;
    void *value = NULL;
    for (size_t i = 0; weir_map_next (p->databases, &i, &key, &value);) {
        struct database *db = value;
        if (!db->seen && (!reading->one || weir_id_equal (&db->id, &reading->db))) {
            (void) weir_map_remove (p->databases, weir_id_bytes (&db->id));
            database_free (db);
        }
    }
}

static void
became_ready (struct peers *p)
{
    if (!p->ready) {
        p->ready = true;
        weir_actor_ready (p->actor);
    }
}

static void
rights_told (void *state, struct weir_actor *actor, void *context, enum weir_status status,
             const struct weir_error *problem, const struct weir_message *answer)
{
    struct peers *p = state;
    struct reading *reading = context;
    if (status != WEIR_OK || answer == NULL || answer->meta == NULL) {
        free (reading);
        p->reading = false;
        if (!p->ready) {
            weir_actor_exit (actor, status == WEIR_OK ? WEIR_FAILED : status, problem);
        }
        return;
    }
    const Weir__DbRights *m = (const Weir__DbRights *) answer->meta;
    for (size_t i = 0; i < m->n_items; i++) {
        take_right (p, m->items[i]);
    }
    struct weir_id last;
    if (m->more && m->n_items > 0
        && weir_field_get_id (&last, true, m->items[m->n_items - 1]->db) == WEIR_OK) {
        ask_rights (p, reading, &last);
        return;
    }
    sweep (p, reading);
    free (reading);
    p->reading = false;
    became_ready (p);
    sessions_take_strangers (p);
    members_apply (p);
    p->look_at_waits = true;
    if (p->read_again) {
        p->read_again = false;
        members_read (p);
    }
}

static void
ask_rights (struct peers *p, struct reading *reading, const struct weir_id *after)
{
    Weir__DbRightsAsk m = WEIR__DB_RIGHTS_ASK__INIT;
    if (after != NULL) {
        m.has_after = true;
        m.after = weir_field_id (after);
    }
    if (reading->one) {
        m.has_db = true;
        m.db = weir_field_id (&reading->db);
    }
    (void) weir_actor_ask (p->actor, WEIR_KIND_DB_RIGHTS, NULL, &m.base, weir_bytes (NULL, 0), 0,
                           rights_told, reading);
}

void
members_read (struct peers *p)
{
    struct weir_bytes key;
    void *value = NULL;
    if (p->reading) {
        p->read_again = true;
        return;
    }
    p->reading = true;
    for (size_t i = 0; weir_map_next (p->databases, &i, &key, &value);) {
        ((struct database *) value)->seen = false;
    }
    ask_rights (p, weir_alloc (sizeof (struct reading)), NULL);
}

/* ---- what follows ---- */

bool
relation_valid (const struct peers *p, const struct relation *r)
{
    const struct database *db = database_find (p, &r->db);
    if (db == NULL) {
        return false;
    }
    if (db->joining || database_member (db, &p->device) == NULL) {
        /* What made us a member has not come yet, nor perhaps what made the inviter one, who is
         * whom we have. */
        return true;
    }
    const struct member *m = database_member (db, &r->device->id);
    return m != NULL && m->right > 0;
}

bool
device_allowed (const struct peers *p, const struct device *d)
{
    if (d->blocked) {
        return false;
    }
    if (d->added) {
        return true;
    }
    for (const struct relation *r = d->relations; r != NULL; r = r->next) {
        if (r->direction != 0 && relation_valid (p, r)) {
            return true;
        }
    }
    return device_is_member (p, &d->id);
}

static void
share (struct peers *p, struct relation *r)
{
    const struct database *db = database_find (p, &r->db);
    bool want = r->direction != 0 && !r->device->blocked && relation_valid (p, r);
    const struct member *m = db != NULL ? database_member (db, &r->device->id) : NULL;
    bool removed = !want && m != NULL && m->right == 0;
    struct weir_sync_event e = { .device = r->device->id, .db = r->db };
    if (want) {
        e.type = WEIR_SYNC_SHARE;
        e.direction = r->direction;
        e.priority = r->priority;
        e.digest = db->digest;
        e.their_digest = r->n_hints > 0 ? r->hints[0].digest : weir_id_zero;
        r->shared = true;
        r->removed = false;
        sync_step (p, &e);
    } else if (r->shared || removed != r->removed) {
        e.type = WEIR_SYNC_UNSHARE;
        e.status = removed ? WEIR_REMOVED : WEIR_OK;
        r->shared = false;
        r->removed = removed;
        sync_step (p, &e);
    }
}

static bool
was_removed (const struct device *d)
{
    for (const struct relation *r = d->relations; r != NULL; r = r->next) {
        if (r->removed) {
            return true;
        }
    }
    return false;
}

static void
end_forbidden (struct peers *p)
{
    struct weir_bytes key;
    void *value = NULL;
    for (size_t i = 0; weir_map_next (p->links, &i, &key, &value);) {
        struct link *l = value;
        if (l->opened && !l->guest && !l->ended && !device_allowed (p, l->device)) {
            bool removed = was_removed (l->device);
            weir_actor_event (p->actor, "peer_refused", &l->device->id, NULL,
                              removed ? WEIR_REMOVED : WEIR_REFUSED, "%s",
                              l->device->blocked ? "blocked" : "no longer a member");
            link_end (p, l, removed ? WEIR_REMOVED : WEIR_REFUSED, "no longer allowed", false);
        }
    }
}

void
members_apply (struct peers *p)
{
    struct weir_bytes key;
    void *value = NULL;
    if (!p->ready) {
        return;
    }
    for (size_t i = 0; weir_map_next (p->devices, &i, &key, &value);) {
        struct device *d = value;
        for (struct relation *r = d->relations; r != NULL; r = r->next) {
            share (p, r);
        }
    }
    end_forbidden (p);
    for (size_t i = 0; i < p->n_transports; i++) {
        members_admit (p, &p->transports[i], false);
    }
    presence_apply (p);
    blobs_apply (p);
    links_dial_soon (p);
}

/* ---- admission ---- */

struct list {
    struct weir_map *keys; /* each once */
    struct weir_id *items;
    size_t n;
    size_t cap;
};

static void
list_add (struct list *list, const struct weir_id *key)
{
    static char one[1];
    if (!weir_id_is_zero (key) && weir_map_put (list->keys, weir_id_bytes (key), one) == NULL) {
        weir_grow (&list->items, &list->cap, list->n + 1, sizeof *list->items);
        list->items[list->n++] = *key;
    }
}

static void
list_device (struct list *list, const struct device *d)
{
    for (size_t i = 0; d->card != NULL && i < d->card->n_keys; i++) {
        list_add (list, &d->card->keys[i]);
    }
    if (d->typed) {
        list_add (list, &d->typed_key);
    }
}

/* During a rotation the old key is shown until every partner has acknowledged the card with the
 * new one; then the old one is dropped from the card. */
const struct weir_id *
members_shown_key (struct peers *p)
{
    struct weir_bytes key;
    void *value = NULL;
    if (p->card == NULL || p->card->n_keys == 0) {
        return NULL;
    }
    if (p->card->n_keys == 1) {
        return &p->card->keys[0];
    }
    for (size_t i = 0; weir_map_next (p->devices, &i, &key, &value);) {
        const struct device *d = value;
        if (d->card_acked >= p->card->counter || d->blocked) {
            continue;
        }
        for (const struct relation *r = d->relations; r != NULL; r = r->next) {
            if (r->direction != 0 && relation_valid (p, r)) {
                return &p->card->keys[1];
            }
        }
    }
    cards_retire (p);
    return &p->card->keys[0];
}

static void
send_pages (struct peers *p, struct transport *t, const struct list *list)
{
    const struct weir_id *shown = members_shown_key (p);
    ProtobufCBinaryData *fields = weir_alloc (ADMIT_KEYS_PER_PAGE * sizeof *fields);
    size_t at = 0;
    enum weir_status status = WEIR_OK;
    do {
        Weir__Admit m = WEIR__ADMIT__INIT;
        m.link_keys = fields;
        m.has_first = m.has_last = true;
        m.first = at == 0;
        for (; at < list->n && m.n_link_keys < ADMIT_KEYS_PER_PAGE; at++) {
            fields[m.n_link_keys++] = weir_field_id (&list->items[at]);
        }
        m.last = at == list->n;
        if (shown != NULL) {
            m.has_use_key = true;
            m.use_key = weir_field_id (shown);
        }
        status =
            weir_actor_send (p->actor, WEIR_KIND_ADMIT, &t->mailbox, &m.base, weir_bytes (NULL, 0));
    } while (status == WEIR_OK && at < list->n);
    if (status != WEIR_OK) {
        t->admitted = weir_id_zero; /* again with the next occasion */
        links_dial_soon (p);
    }
    free (fields);
}

void
members_admit (struct peers *p, struct transport *t, bool force)
{
    struct list list = { .keys = weir_map_new () };
    struct weir_bytes key;
    void *value = NULL;
    uint64_t now = weir_actor_wall_ms (p->actor);
    if (!t->up || !p->ready) {
        weir_map_destroy (&list.keys, NULL);
        return;
    }
    for (size_t i = 0; weir_map_next (p->devices, &i, &key, &value);) {
        if (device_allowed (p, value)) {
            list_device (&list, value);
        }
    }
    for (size_t i = 0; i < p->n_tickets; i++) {
        if (p->tickets[i].expires_ms > now) {
            list_add (&list, &p->tickets[i].key);
        }
    }
    struct weir_hash h;
    weir_hash_init (&h, WEIR_DOMAIN_CHECK);
    weir_hash_add (&h, weir_bytes (list.items, list.n * sizeof *list.items));
    const struct weir_id *shown = members_shown_key (p);
    if (shown != NULL) {
        weir_hash_add (&h, weir_id_bytes (shown));
    }
    struct weir_id hash = weir_hash_end (&h);
    if (force || !weir_id_equal (&hash, &t->admitted)) {
        t->admitted = hash;
        send_pages (p, t, &list);
    }
    weir_map_destroy (&list.keys, NULL);
    free (list.items);
}

/* ---- tickets ---- */

static void
ticket_expired (void *state, struct weir_actor *actor, void *context)
{
    struct peers *p = state;
    (void) actor;
    (void) context;
    p->tickets_timer = 0;
    members_apply (p);
}

void
tickets_take (struct peers *p, const Weir__Tickets *m)
{
    uint64_t wall = weir_actor_wall_ms (p->actor);
    uint64_t next = UINT64_MAX;
    free (p->tickets);
    p->tickets = weir_alloc ((m->n_items + 1) * sizeof *p->tickets);
    p->n_tickets = 0;
    for (size_t i = 0; i < m->n_items && p->n_tickets < WEIR_TICKETS_MAX; i++) {
        struct ticket *t = &p->tickets[p->n_tickets];
        t->expires_ms = m->items[i]->expires_ms;
        if (weir_field_get_id (&t->key, m->items[i]->has_link_key, m->items[i]->link_key) == WEIR_OK
            && t->expires_ms > wall) {
            next = t->expires_ms - wall < next ? t->expires_ms - wall : next;
            p->n_tickets++;
        }
    }
    weir_actor_timer_cancel (p->actor, p->tickets_timer);
    p->tickets_timer = 0;
    if (next != UINT64_MAX) {
        p->tickets_timer = weir_actor_timer (p->actor, weir_actor_now_ms (p->actor) + next + 1,
                                             ticket_expired, NULL);
    }
    members_apply (p);
}

bool
ticket_live (const struct peers *p, const struct weir_id *key)
{
    uint64_t wall = weir_actor_wall_ms (p->actor);
    for (size_t i = 0; i < p->n_tickets; i++) {
        if (p->tickets[i].expires_ms > wall && weir_id_equal (&p->tickets[i].key, key)) {
            return true;
        }
    }
    return false;
}
