/* The content of blobs, as far as peers has to do with it: the store says how much a database has
 * and how much of it is missing; the store is told on which sessions such a database is shared,
 * and fetches there by itself. Peers of two nodes tell each other what is missing (W_BLOB_LACK),
 * with the digest that it is true of: having the content is a part of being in step. Nothing is
 * said of databases without blobs, nor to peers that speak protocol 1. */

#include "actors/peers/state.h"
#include "store/crypto/hash.h"

#include <stdlib.h>

#define PROTOCOL_MIN 2u
#define ASK_MS 200u /* between two questions about one relationship */

static const char unsaid[] = "it has not said yet whether it has the content of blobs";

static struct database_blobs
blobs_of (const struct peers *p, const struct weir_id *id)
{
    const struct database_blobs *b =
        p->blobs != NULL ? weir_map_get (p->blobs, weir_id_bytes (id)) : NULL;
    return b != NULL ? *b : (struct database_blobs){ .count = 0 };
}

void
blobs_stop (struct peers *p)
{
    weir_map_destroy (&p->blobs, free);
}

static void
tell_store (struct peers *p, const struct link *l, const struct relation *r, uint64_t session,
            bool off)
{
    Weir__BlobPeer m = WEIR__BLOB_PEER__INIT;
    m.has_session = m.has_link = m.has_mailbox = m.has_device = m.has_db = true;
    m.has_tag = m.has_off = true;
    m.session = session;
    m.link = l->number;
    m.mailbox = weir_field_of (weir_bytes (l->transport->mailbox.b, WEIR_ADDRESS_BYTES));
    m.device = weir_field_id (&l->device->id);
    m.db = weir_field_id (&r->db);
    m.tag = weir_hash_tag (&l->key, weir_id_bytes (&r->db));
    m.off = off;
    (void) weir_actor_send_about (p->actor, WEIR_KIND_BLOB_PEER, NULL, &l->device->id, &r->db, 0,
                                  &m.base, weir_bytes (NULL, 0));
}

static void
say_lack (struct peers *p, struct link *l, const struct relation *r, bool ask)
{
    const struct database *db = database_find (p, &r->db);
    Weir__BlobLack m = WEIR__BLOB_LACK__INIT;
    m.has_tag = m.has_ask = true;
    m.tag = weir_hash_tag (&l->key, weir_id_bytes (&r->db));
    m.ask = ask;
    if (db != NULL) {
        m.has_digest = m.has_blobs = m.has_bytes = true;
        m.digest = weir_field_id (&db->digest);
        m.blobs = blobs_of (p, &r->db).missing;
        m.bytes = blobs_of (p, &r->db).missing_bytes;
    }
    link_say (p, l, WEIR_KIND_W_BLOB_LACK, &m.base);
}

static void
apply_link (struct peers *p, struct link *l)
{
    uint64_t session = l->session.ours.epoch;
    for (struct relation *r = l->device->relations; r != NULL; r = r->next) {
        bool wanted = r->shared && blobs_of (p, &r->db).count > 0;
        if (wanted && r->blobs.session != session) {
            r->blobs = (struct relation_blobs){ .session = session };
            tell_store (p, l, r, session, false);
            say_lack (p, l, r, true);
        } else if (!wanted && r->blobs.session == session) {
            r->blobs = (struct relation_blobs){ .session = 0 };
            tell_store (p, l, r, session, true);
        }
    }
}

void
blobs_apply (struct peers *p)
{
    struct weir_bytes key;
    void *value = NULL;
    for (size_t i = 0; weir_map_next (p->sessions, &i, &key, &value);) {
        struct link *l = value;
        if (l->session.protocol >= PROTOCOL_MIN && l->device != NULL) {
            apply_link (p, l);
        }
    }
}

void
blobs_session_down (struct peers *p, struct link *l)
{
    uint64_t session = l->session.ours.epoch;
    for (struct relation *r = l->device->relations; r != NULL; r = r->next) {
        if (r->blobs.session == session) {
            tell_store (p, l, r, session, true);
            r->blobs = (struct relation_blobs){ .session = 0 };
        }
    }
}

void
blobs_store_up (struct peers *p)
{
    struct weir_bytes key;
    void *value = NULL;
    for (size_t i = 0; weir_map_next (p->devices, &i, &key, &value);) {
        for (struct relation *r = ((struct device *) value)->relations; r != NULL; r = r->next) {
            r->blobs = (struct relation_blobs){ .session = 0 };
        }
    }
}

void
blobs_state (struct peers *p, const Weir__BlobState *m)
{
    struct weir_id id;
    struct weir_bytes key;
    void *value = NULL;
    if (weir_field_get_id (&id, m->has_db, m->db) != WEIR_OK) {
        return;
    }
    bool told = blobs_of (p, &id).missing != m->missing_blobs || m->missing_blobs > 0;
    struct database_blobs *b = weir_alloc (sizeof *b);
    *b = (struct database_blobs){ .count = m->blobs,
                                  .missing = m->missing_blobs,
                                  .missing_bytes = m->missing_bytes };
    p->blobs = p->blobs != NULL ? p->blobs : weir_map_new ();
    free (weir_map_put (p->blobs, weir_id_bytes (&id), b));
    blobs_apply (p);
    for (size_t i = 0; told && weir_map_next (p->sessions, &i, &key, &value);) {
        struct link *l = value;
        struct relation *r = l->device != NULL ? relation_find (l->device, &id) : NULL;
        if (r != NULL && r->blobs.session == l->session.ours.epoch) {
            say_lack (p, l, r, false);
        }
    }
    p->look_at_waits = true;
}

void
blobs_lack (struct peers *p, struct link *l, const Weir__BlobLack *m)
{
    for (struct relation *r = l->device->relations; r != NULL; r = r->next) {
        if (!r->shared || weir_hash_tag (&l->key, weir_id_bytes (&r->db)) != m->tag) {
            continue;
        }
        r->blobs.is_known =
            weir_field_get_id (&r->blobs.digest, m->has_digest, m->digest) == WEIR_OK;
        r->blobs.missing = m->blobs;
        r->blobs.missing_bytes = m->bytes;
        r->blobs.asked_ms = m->ask ? r->blobs.asked_ms : 0;
        if (m->ask) {
            say_lack (p, l, r, false);
        }
        p->look_at_waits = true;
        return;
    }
}

bool
blobs_in_step (struct peers *p, struct relation *r, const char **why)
{
    const struct database *db = database_find (p, &r->db);
    struct link *l = r->device->link;
    struct database_blobs ours = blobs_of (p, &r->db);
    if (db == NULL || ours.count == 0) {
        return true;
    }
    if (l == NULL || !l->in_sync || l->session.protocol < PROTOCOL_MIN) {
        *why = l == NULL ? "not connected" : "it is of an older version, which takes no blobs";
        return false;
    }
    bool is_fresh = r->blobs.is_known && weir_id_equal (&r->blobs.digest, &db->digest);
    if (!is_fresh) {
        uint64_t now = weir_actor_now_ms (p->actor);
        if (now >= r->blobs.asked_ms + ASK_MS) {
            r->blobs.asked_ms = now;
            say_lack (p, l, r, true);
        }
        *why = unsaid;
        return false;
    }
    if (ours.missing > 0) {
        *why = "content of blobs is not here yet";
        return false;
    }
    if (r->blobs.missing > 0) {
        *why = "content of blobs is not there yet";
        return false;
    }
    return true; /* and nothing to say of it */
}

bool
blobs_unsaid (struct peers *p, struct relation *r)
{
    const char *why = NULL;
    return !blobs_in_step (p, r, &why) && why == unsaid;
}
