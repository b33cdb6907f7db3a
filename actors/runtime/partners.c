/* Owns what an actor knows of the others: who is up, under which mailbox and epoch. The broker
 * tells it over the lifeline; asks.c is told so that what was unanswered is sent again. */

#include "actors/runtime/actor_parts.h"

#include <string.h>

struct weir_partner *
weir_partner_at (struct weir_actor *self, const struct weir_mailbox_id *mailbox)
{
    for (size_t i = 0; i < self->n_partners; i++) {
        if (weir_mailbox_equal (&self->partners[i].mailbox, mailbox)) {
            return &self->partners[i];
        }
    }
    return NULL;
}

/* One that is up, if any is. */
struct weir_partner *
weir_partner_of_role (struct weir_actor *self, unsigned role)
{
    struct weir_partner *found = NULL;
    for (size_t i = 0; i < self->n_partners; i++) {
        struct weir_partner *p = &self->partners[i];
        if (p->role == role && (found == NULL || (p->up && !found->up))) {
            found = p;
        }
    }
    return found;
}

static struct weir_partner *
partner_named (struct weir_actor *self, const char *role, const char *name)
{
    for (size_t i = 0; i < self->n_partners; i++) {
        if (strcmp (self->partners[i].name, name) == 0) {
            return &self->partners[i];
        }
    }
    if (self->n_partners == WEIR_PARTNERS_MAX) {
        return NULL;
    }
    struct weir_partner *p = &self->partners[self->n_partners++];
    memset (p, 0, sizeof *p);
    p->role = weir_role_by_name (role);
    (void) snprintf (p->role_name, sizeof p->role_name, "%s", role);
    (void) snprintf (p->name, sizeof p->name, "%s", name);
    return p;
}

static void
went (struct weir_actor *self, struct weir_partner *p)
{
    bool was_up = p->up;
    p->up = false;
    weir_asks_down (self, p);
    if (was_up && self->def->down != NULL && self->state != NULL) {
        self->def->down (self->state, self, p->role_name, p->name, &p->mailbox);
    }
}

void
weir_partner_notice (struct weir_actor *self, bool up, const Weir__ActorNotice *notice)
{
    char role[32];
    char name[64];
    if (weir_field_get_text (role, sizeof role - 1, notice->has_role, notice->role) != WEIR_OK
        || weir_field_get_text (name, sizeof name - 1, notice->has_name, notice->name) != WEIR_OK
        || notice->mailbox.len != WEIR_ADDRESS_BYTES) {
        self->vitals.bad++;
        return;
    }
    struct weir_partner *p = partner_named (self, role, name);
    if (p == NULL) {
        weir_actor_log (self, WEIR_LOG_WARN, "too_many_partners", "name=%s", name);
        return;
    }
    if (!up) {
        p->failed = notice->failed != 0;
        if (memcmp (p->mailbox.b, notice->mailbox.data, WEIR_ADDRESS_BYTES) == 0 || p->failed) {
            went (self, p);
        }
        return;
    }
    if (p->up) {
        went (self, p); /* its DOWN was not heard */
    }
    memcpy (p->mailbox.b, notice->mailbox.data, WEIR_ADDRESS_BYTES);
    p->epoch = notice->epoch;
    p->up = true;
    p->failed = false;
    weir_actor_log (self, WEIR_LOG_DEBUG, "partner_up", "name=%s", name);
    weir_asks_up (self, p);
    if (self->def->up != NULL && self->state != NULL) {
        self->def->up (self->state, self, p->role_name, p->name, &p->mailbox, p->epoch);
    }
}
