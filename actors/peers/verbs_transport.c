/* What clients ask about transports: what each says of itself, started and stopped by name. */

#include "actors/peers/state.h"

#include <stdlib.h>
#include <string.h>

struct transports {
    struct weir_envelope request;
    size_t waiting;
    struct {
        char name[64];
        bool told;
        uint32_t links;
        uint64_t refused, bad, bytes_in, bytes_out, messages_in, messages_out;
    } items[16];
    size_t n;
};

static void
transports_done (struct peers *p, struct transports *list)
{
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    Weir__Transport *items[16];
    Weir__Transports answer = WEIR__TRANSPORTS__INIT;
    answer.items = items;
    for (size_t i = 0; i < p->n_transports; i++) {
        const struct transport *t = &p->transports[i];
        Weir__Transport *m = weir_arena_alloc (arena, sizeof *m);
        weir_assert (m != NULL);
        *m = (Weir__Transport) WEIR__TRANSPORT__INIT;
        m->has_name = m->has_kind = m->has_running = true;
        m->name = weir_field_str (t->name);
        m->kind = weir_field_str (t->kind);
        m->running = t->up && !t->stopped;
        m->addresses = weir_arena_array (arena, t->n_addresses + 1, sizeof *m->addresses);
        for (size_t k = 0; m->addresses != NULL && k < t->n_addresses; k++) {
            m->addresses[m->n_addresses++] = weir_field_str (t->addresses[k]);
        }
        for (size_t k = 0; k < list->n; k++) {
            if (list->items[k].told && strcmp (list->items[k].name, t->name) == 0) {
                m->has_links = m->has_refused = m->has_bad = true;
                m->has_bytes_in = m->has_bytes_out = true;
                m->links = list->items[k].links;
                m->refused = list->items[k].refused;
                m->bad = list->items[k].bad + t->ignored;
                m->bytes_in = list->items[k].bytes_in;
                m->bytes_out = list->items[k].bytes_out;
                m->has_messages_in = m->has_messages_out = true;
                m->messages_in = list->items[k].messages_in;
                m->messages_out = list->items[k].messages_out;
            }
        }
        items[answer.n_items++] = m;
    }
    verb_answer (p, &list->request, &answer.base);
    weir_arena_destroy (&arena);
    free (list);
}

struct status_ask {
    struct transports *list;
    size_t i;
};

static void
status_told (void *state, struct weir_actor *actor, void *context, enum weir_status status,
             const struct weir_error *problem, const struct weir_message *answer)
{
    struct status_ask *ask = context;
    struct transports *list = ask->list;
    (void) actor;
    (void) problem;
    if (status == WEIR_OK && answer != NULL && answer->meta != NULL) {
        const Weir__TransportStatus *m = (const Weir__TransportStatus *) answer->meta;
        list->items[ask->i].told = true;
        for (size_t i = 0; i < m->n_links; i++) {
            list->items[ask->i].links += m->links[i]->up ? 1u : 0u;
        }
        list->items[ask->i].refused = m->refused;
        list->items[ask->i].bad = m->bad;
        list->items[ask->i].bytes_in = m->bytes_in;
        list->items[ask->i].bytes_out = m->bytes_out;
        list->items[ask->i].messages_in = m->messages_in;
        list->items[ask->i].messages_out = m->messages_out;
    }
    free (ask);
    if (--list->waiting == 0) {
        transports_done (state, list);
    }
}

void
verb_transport_list (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct peers *p = state;
    if (verb_not_ready (p, message)) {
        return;
    }
    struct transports *list = weir_alloc (sizeof *list);
    list->request = message->envelope;
    list->waiting = 1;
    for (size_t i = 0; i < p->n_transports; i++) {
        const struct transport *t = &p->transports[i];
        if (t->up) {
            struct status_ask *ask = weir_alloc (sizeof *ask);
            ask->list = list;
            ask->i = list->n;
            memcpy (list->items[list->n++].name, t->name, sizeof t->name);
            list->waiting++;
            (void) weir_actor_ask (actor, WEIR_KIND_LINK_STATUS, &t->mailbox, NULL,
                                   weir_bytes (NULL, 0), 1000, status_told, ask);
        }
    }
    if (--list->waiting == 0) {
        transports_done (p, list);
    }
}

void
verb_transport_set (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct peers *p = state;
    const Weir__TransportSet *ask = (const Weir__TransportSet *) message->meta;
    char name[sizeof p->transports[0].name];
    if (verb_not_ready (p, message)) {
        return;
    }
    if (weir_field_get_text (name, sizeof name - 1, ask->has_name, ask->name) != WEIR_OK) {
        name[0] = '\0';
    }
    for (size_t i = 0; i < p->n_transports; i++) {
        struct transport *t = &p->transports[i];
        if (strcmp (t->name, name) == 0) {
            Weir__TransportSet m = WEIR__TRANSPORT_SET__INIT;
            m.has_running = true;
            m.running = ask->running;
            t->stopped = !ask->running;
            if (t->up) {
                (void) weir_actor_send (actor, WEIR_KIND_TRANSPORT_RUN, &t->mailbox, &m.base,
                                        weir_bytes (NULL, 0));
            }
            weir_actor_answer (actor, &message->envelope, NULL, weir_bytes (NULL, 0), false);
            return;
        }
    }
    struct weir_error e = { 0 };
    weir_error_set (&e, WEIR_NOT_FOUND, "weir transport ls", "there is no transport %s", name);
    weir_actor_fail (actor, &message->envelope, WEIR_NOT_FOUND, &e);
}
