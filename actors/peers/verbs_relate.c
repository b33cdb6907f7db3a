/* What clients change about relationships: with whom a database is kept in step, and how. Answered
 * once it is on disk. */

#include "actors/peers/state.h"

#include <string.h>

/* The two of a relationship; and what is already there. Fails the request itself. */
static struct device *
read_pair (struct peers *p, const struct weir_message *message, const Weir__Relationship *ask,
           struct weir_id *db)
{
    struct weir_error e = { 0 };
    struct database *database = NULL;
    struct device *d = NULL;
    if (verb_not_ready (p, message)) {
        return NULL;
    }
    enum weir_status status = database_resolve (p, ask->has_db, ask->db, &database, &e);
    if (status == WEIR_OK) {
        status = device_resolve (p, ask->has_peer, ask->peer, &d, &e);
    }
    if (status == WEIR_OK && ask->must_exist) {
        struct relation *r = relation_find (d, &database->id);
        if (r == NULL || r->direction == 0) {
            status = weir_error_set (&e, WEIR_NOT_FOUND, "weir sync add DB PEER",
                                     "%s is not kept in step with that peer", database->name);
        }
    }
    if (status != WEIR_OK) {
        weir_actor_fail (p->actor, &message->envelope, status, &e);
        return NULL;
    }
    *db = database->id;
    return d;
}

static enum weir_status
read_options (const Weir__Relationship *ask, struct relation *r, struct weir_error *e)
{
    char text[32];
    enum weir_direction direction = r->direction != 0 ? r->direction : WEIR_SYNC_BOTH;
    uint8_t priority = r->priority;
    if (ask->has_direction && ask->direction.len > 0
        && (weir_field_get_text (text, sizeof text - 1, true, ask->direction) != WEIR_OK
            || direction_parse (text, &direction) != WEIR_OK)) {
        return weir_error_set (e, WEIR_INVALID_ARGUMENT, NULL, "a direction is push, pull or both");
    }
    if (ask->has_priority && ask->priority.len > 0) {
        if (weir_field_get_text (text, sizeof text - 1, true, ask->priority) != WEIR_OK) {
            text[0] = '\0';
        }
        if (priority_parse (text, &priority) != WEIR_OK) {
            return weir_error_set (e, WEIR_INVALID_ARGUMENT, NULL,
                                   "a priority is high, normal or low");
        }
    }
    if (ask->has_rate && ask->rate > 0 && ask->rate < WEIR_RATE_BYTES_MIN) {
        return weir_error_set (e, WEIR_INVALID_ARGUMENT, "--rate 0 is no limit",
                               "a rate is %u bytes a second or more", WEIR_RATE_BYTES_MIN);
    }
    r->direction = direction;
    r->priority = priority;
    r->rate = ask->has_rate ? ask->rate : r->rate;
    return WEIR_OK;
}

void
verb_sync_relate (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct peers *p = state;
    const Weir__Relationship *ask = (const Weir__Relationship *) message->meta;
    struct weir_error e = { 0 };
    struct weir_id db;
    struct device *d = read_pair (p, message, ask, &db);
    if (d == NULL) {
        return;
    }
    struct relation *r = relation_find (d, &db);
    struct relation trial = { .direction = 0, .priority = 1 };
    trial = r != NULL ? *r : trial;
    trial.device = d;
    trial.db = db;
    enum weir_status status = WEIR_OK;
    if (!relation_valid (p, &trial)) {
        status = weir_error_set (&e, WEIR_NOT_MEMBER, "weir db share DB, and join there",
                                 "that peer is not a member of the database");
    }
    if (status == WEIR_OK) {
        status = read_options (ask, &trial, &e);
    }
    if (status != WEIR_OK) {
        weir_actor_fail (actor, &message->envelope, status, &e);
        return;
    }
    r = relation_need (d, &db);
    r->direction = trial.direction;
    r->priority = trial.priority;
    r->rate = trial.rate;
    r->dirty = true;
    d->due_ms = 0;
    members_apply (p);
    pacing_changed (p, r);
    verb_answer_flushed (p, &message->envelope, NULL);
}

void
verb_sync_unrelate (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct peers *p = state;
    const Weir__Relationship *ask = (const Weir__Relationship *) message->meta;
    struct weir_id db;
    struct device *d = read_pair (p, message, ask, &db);
    (void) actor;
    if (d == NULL) {
        return;
    }
    struct relation *r = relation_find (d, &db);
    if (r != NULL) {
        r->direction = 0; /* kept as a row, so that the other's asking does not bring it back */
        r->dirty = true;
        members_apply (p);
    }
    verb_answer_flushed (p, &message->envelope, NULL);
}
