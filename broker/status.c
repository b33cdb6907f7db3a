/* Makes the answer to NODE_STATUS: what the broker knows of its children and of itself. */

#include "broker/parts.h"

#include "protos/version.h"

static void
fill_actor (const struct weir_broker *b, size_t i, Weir__ActorState *a, Weir__ActorVitals *v)
{
    const struct weir_slot *slot = &b->slots[i];
    const struct weir_child *child = &b->supervisor.children[i];
    weir__actor_state__init (a);
    weir__actor_vitals__init (v);
    a->has_name = a->has_role = a->has_pid = a->has_state = a->has_epoch = 1;
    a->has_restarts = a->has_since_ms = a->has_last_exit = a->has_queue = 1;
    a->name = weir_field_str (slot->name);
    a->role = weir_field_str (weir_role_name (slot->role));
    a->pid = slot->running ? (uint32_t) slot->process.pid : 0;
    a->state = weir_field_str (weir_child_state_name (child->state));
    a->epoch = slot->epoch;
    a->restarts = child->restarts;
    a->since_ms = child->since_ms == 0 ? 0 : b->now_ms - child->since_ms;
    a->last_exit = (uint32_t) child->last_exit;
    a->queue = slot->queue;
    a->vitals = v;
    v->has_turns = v->has_received = v->has_sent = v->has_busy = v->has_bad = 1;
    v->has_rss_bytes = 1;
    v->turns = slot->vitals_turns;
    v->received = slot->vitals_received;
    v->sent = slot->vitals_sent;
    v->busy = slot->vitals_busy;
    v->bad = slot->vitals_bad;
    v->rss_bytes = slot->vitals_rss;
}

void
weir_status_answer (struct weir_broker *b, const struct weir_envelope *request)
{
    Weir__ActorState actors[WEIR_CHILDREN_MAX];
    Weir__ActorVitals vitals[WEIR_CHILDREN_MAX];
    Weir__ActorState *pointers[WEIR_CHILDREN_MAX];
    Weir__NodeStatus status = WEIR__NODE_STATUS__INIT;
    for (size_t i = 0; i < b->supervisor.count; i++) {
        fill_actor (b, i, &actors[i], &vitals[i]);
        pointers[i] = &actors[i];
    }
    status.n_actors = b->supervisor.count;
    status.actors = pointers;
    status.has_up_ms = status.has_version = status.has_taps = status.has_routed = 1;
    status.has_dropped = status.has_epoch = status.has_stopping = 1;
    status.up_ms = b->now_ms - b->started_ms;
    status.version = weir_field_str (WEIR_VERSION);
    status.taps = (uint32_t) b->taps.count;
    status.routed = b->routed;
    status.dropped = b->dropped;
    status.epoch = b->epoch;
    status.stopping = b->supervisor.stopping;
    weir_router_answer (b, request, &status.base);
}
