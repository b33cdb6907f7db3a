/* Gaps: runs that came before what they build on. Their sender is asked at once for what they
 * wait for, by ids that the store knows from what is pending; it answers with ranges, where its
 * store finds them. What that does not mend, the next comparison does. Called by the other files
 * of the synchronizer. */

#include "store/sync/sync_state.h"

#include <string.h>

static struct weir_sync_want *
copy_wants (const struct weir_sync_want *wants, size_t n)
{
    struct weir_sync_want *copy = weir_alloc (n * sizeof wants[0]);
    memcpy (copy, wants, n * sizeof wants[0]);
    return copy;
}

void
weir_sync_ask_missing (struct weir_sync *self, struct weir_sync_pair *pair,
                       const struct weir_sync_event *e)
{
    if (!e->gap) {
        pair->wants = 0;
        return;
    }
    if (e->n_wants == 0 || pair->in_session->protocol < WEIR_PROTOCOL_TREE
        || pair->wants >= WEIR_WANTS_IN_A_ROW_MAX) {
        return;
    }
    pair->wants++;
    struct weir_sync_message *m = weir_sync_say (self, pair->in_session, WEIR_SYNC_WANT, pair);
    m->n_wants = e->n_wants < WEIR_WANTS_PER_MESSAGE ? e->n_wants : WEIR_WANTS_PER_MESSAGE;
    m->wants = copy_wants (e->wants, m->n_wants);
}

/* One question at a time: who asks more waits for the comparison. */
void
weir_sync_on_want (struct weir_sync *self, struct weir_sync_session *session,
                   const struct weir_sync_message *m)
{
    struct weir_sync_pair *pair = weir_sync_by_tag (session, m->tag);
    if (!pair) {
        weir_sync_unknown_tag (self, session, m->tag);
        return;
    }
    if (m->n_wants == 0 || m->n_wants > WEIR_WANTS_PER_MESSAGE) {
        self->counters.messages_bad++;
        return;
    }
    if (pair->session != session || pair->finding || !weir_sync_may_push (pair)) {
        return;
    }
    pair->finding = true;
    struct weir_sync_action *action = weir_sync_act (self, WEIR_SYNC_FIND, pair);
    action->session = session->id;
    action->message.type = WEIR_SYNC_WANT;
    action->message.n_wants = m->n_wants;
    action->message.wants = copy_wants (m->wants, m->n_wants);
}

void
weir_sync_on_found (struct weir_sync *self, const struct weir_sync_event *e, uint64_t now_ms)
{
    struct weir_sync_pair *pair = weir_sync_find_pair (self, &e->device, &e->db);
    if (!pair) {
        return; /* late */
    }
    pair->finding = false;
    if (!pair->session || pair->session->id != e->session || !weir_sync_may_push (pair)) {
        return;
    }
    uint64_t left = WEIR_WANT_ENTRIES_MAX; /* a comparison does more at less cost */
    for (size_t i = 0; e->ranges && i < e->ranges->count; i++) {
        const struct weir_range *range = &e->ranges->items[i];
        if (range->to_seq > range->from_seq && range->to_seq - range->from_seq <= left) {
            left -= range->to_seq - range->from_seq;
            weir_sync_enqueue (pair, range);
        }
    }
    if (pair->stage == WEIR_STAGE_REST) {
        weir_sync_flush (self, pair, now_ms);
    }
    weir_sync_settle (self, pair, now_ms);
}
