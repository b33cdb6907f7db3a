/* Announcements of the tree (sync_tree.c): what a peer that does not want bodies is told of, and
 * what others told us of that is not here in time. How long that is follows what was seen: the
 * tree's way may be longer than the one on which the announcement came. Called by the other files
 * of the synchronizer. */

#include "store/sync/sync_state.h"

#include <string.h>

#define BUSY_MS_MAX 1000u
#define RECENT_MS 30000u
#define FLOW_MS 2000u

/* ---- ours ---- */

void
weir_sync_forget_owed (struct weir_sync_edge *edge, size_t i)
{
    edge->n_owed--;
    memmove (edge->owed + i, edge->owed + i + 1, (edge->n_owed - i) * sizeof edge->owed[0]);
}

static bool
has_news (const struct weir_sync_edge *edge)
{
    size_t i = 0;
    while (i < edge->n_owed && edge->owed[i].said) {
        i++;
    }
    return i < edge->n_owed;
}

static void
owe (struct weir_sync_pair *pair, const struct weir_range *range)
{
    struct weir_sync_edge *edge = pair->edge;
    uint64_t tag = weir_sync_chain_tag (pair->db, &range->chain);
    for (size_t i = 0; i < edge->n_owed; i++) {
        struct weir_sync_owed *owed = &edge->owed[i];
        if (owed->tag == tag && owed->range.to_seq == range->from_seq) {
            owed->range.to_seq = range->to_seq;
            owed->range.tip = range->tip;
            owed->said = false;
            return;
        }
    }
    if (edge->n_owed == WEIR_TREE_OWED_MAX) {
        weir_sync_forget_owed (edge, 0); /* the digests still tell that something is missing */
    }
    weir_grow (&edge->owed, &edge->owed_cap, edge->n_owed + 1, sizeof edge->owed[0]);
    edge->owed[edge->n_owed++] = (struct weir_sync_owed){ .range = *range, .tag = tag };
}

void
weir_sync_tree_owe (struct weir_sync *self, struct weir_sync_pair *pair,
                    const struct weir_ranges *ranges, uint64_t now_ms)
{
    struct weir_sync_edge *edge = pair->edge;
    if (!pair->met) {
        weir_sync_judge (self, pair, false, now_ms);
        return; /* the comparison to come will find them */
    }
    for (size_t i = 0; i < ranges->count; i++) {
        if (!weir_sync_is_theirs (pair, &ranges->items[i])) {
            owe (pair, &ranges->items[i]);
        }
    }
    if (has_news (edge) && edge->announce_ms > now_ms + WEIR_ANNOUNCE_DELAY_MS) {
        edge->announce_ms = now_ms + WEIR_ANNOUNCE_DELAY_MS;
    }
}

static void
announce (struct weir_sync *self, struct weir_sync_pair *pair, uint64_t now_ms)
{
    struct weir_sync_edge *edge = pair->edge;
    edge->announce_ms = WEIR_SYNC_NEVER;
    if (weir_id_is_zero (&pair->db->digest)
        || (!has_news (edge) && weir_id_equal (&edge->told, &pair->db->digest))) {
        return; /* told by a burst since */
    }
    size_t i = 0;
    do {
        struct weir_sync_message *m = weir_sync_say (self, pair->session, WEIR_SYNC_ANNOUNCE, pair);
        m->digest = pair->db->digest;
        m->marks = weir_alloc (WEIR_MARKS_PER_MESSAGE * sizeof m->marks[0]);
        for (; i < edge->n_owed && m->n_marks < WEIR_MARKS_PER_MESSAGE; i++) {
            struct weir_sync_owed *owed = &edge->owed[i];
            if (!owed->said) {
                m->marks[m->n_marks++] = (struct weir_sync_mark){ owed->tag, owed->range.to_seq };
                owed->said = true;
                owed->said_ms = now_ms;
            }
        }
        pair->figures.announced++;
    } while (has_news (edge));
    edge->told = pair->db->digest;
}

bool
weir_sync_is_owed (const struct weir_sync_pair *pair, const struct weir_range *range,
                   uint64_t now_ms)
{
    const struct weir_sync_edge *edge = pair->edge;
    for (size_t i = 0; edge && edge->lazy_out && i < edge->n_owed; i++) {
        const struct weir_sync_owed *owed = &edge->owed[i];
        if (owed->range.from_seq <= range->from_seq && owed->range.to_seq >= range->to_seq
            && (!owed->said || now_ms < owed->said_ms + WEIR_GRAFT_MS_MAX)
            && weir_chain_compare (&owed->range.chain, &range->chain) == 0) {
            return true;
        }
    }
    return false;
}

/* They hold what they announce. */
static void
forget_told (struct weir_sync_edge *edge, const struct weir_sync_mark *mark)
{
    for (size_t i = edge->n_owed; i-- > 0;) {
        const struct weir_sync_owed *owed = &edge->owed[i];
        if (owed->tag == mark->chain && owed->range.to_seq <= mark->seq && owed->said) {
            weir_sync_forget_owed (edge, i);
        }
    }
}

/* ---- theirs ---- */

static bool
is_held (const struct weir_sync_db *db, uint64_t tag, uint64_t seq)
{
    const struct weir_sync_chain *chain = weir_sync_find_chain (db, tag);
    return chain && chain->to_seq >= seq;
}

static void
forget_missing (struct weir_sync_edge *edge)
{
    edge->n_missing = 0;
    edge->missing_ms = WEIR_SYNC_NEVER;
}

/* When to look again. */
static void
set_missing_ms (struct weir_sync_edge *edge)
{
    edge->missing_ms = WEIR_SYNC_NEVER;
    for (size_t i = 0; i < edge->n_missing; i++) {
        const struct weir_sync_missed *missed = &edge->missing[i];
        uint64_t due_ms = missed->asked_ms != 0 ? missed->asked_ms + WEIR_GRAFT_PATIENCE_MS
                                                : missed->since_ms + edge->wait_ms;
        edge->missing_ms = due_ms < edge->missing_ms ? due_ms : edge->missing_ms;
    }
    if (edge->n_missing > 0 && edge->missing_ms < edge->not_before_ms) {
        edge->missing_ms = edge->not_before_ms;
    }
}

/* How long to wait for what this peer announces: longer where others' bodies come later. */
static void
set_wait (struct weir_sync *self, struct weir_sync_edge *edge)
{
    uint64_t wait_ms = WEIR_GRAFT_MS + 2 * edge->lag_ms;
    wait_ms = wait_ms < WEIR_GRAFT_MS_MAX ? wait_ms : WEIR_GRAFT_MS_MAX;
    edge->wait_ms = weir_rand_jitter (&self->rand, wait_ms, 25);
}

static void
miss (struct weir_sync *self, struct weir_sync_pair *pair, const struct weir_sync_mark *mark,
      uint64_t now_ms)
{
    struct weir_sync_edge *edge = pair->edge;
    size_t i = 0;
    while (i < edge->n_missing && edge->missing[i].tag != mark->chain) {
        i++;
    }
    if (is_held (pair->db, mark->chain, mark->seq) || i == WEIR_MARKS_PER_MESSAGE) {
        return;
    }
    if (i < edge->n_missing) {
        if (edge->missing[i].last_seq < mark->seq) {
            edge->missing[i].last_seq = mark->seq;
        }
        return;
    }
    if (edge->n_missing == 0) {
        set_wait (self, edge);
    }
    weir_grow (&edge->missing, &edge->missing_cap, i + 1, sizeof edge->missing[0]);
    edge->missing[edge->n_missing++] = (struct weir_sync_missed){
        .tag = mark->chain, .first_seq = mark->seq, .last_seq = mark->seq, .since_ms = now_ms
    };
    set_missing_ms (edge);
}

/* It came by itself, so much later. */
static void
note_lag (struct weir_sync_edge *edge, uint64_t lag_ms)
{
    uint64_t before = edge->lag_ms - edge->lag_ms / 8;
    edge->lag_ms = lag_ms > before ? lag_ms : before;
}

/* What has come since is missed no more. In a stream more was announced meanwhile: that is waited
 * for anew. */
static void
drop_held (struct weir_sync *self, struct weir_sync_pair *pair, uint64_t now_ms)
{
    struct weir_sync_edge *edge = pair->edge;
    size_t kept = 0;
    for (size_t i = 0; i < edge->n_missing; i++) {
        struct weir_sync_missed *missed = &edge->missing[i];
        if (is_held (pair->db, missed->tag, missed->first_seq)) {
            if (missed->asked_ms == 0) {
                note_lag (edge, now_ms - missed->since_ms);
                set_wait (self, edge);
            }
            missed->first_seq = missed->last_seq;
            missed->since_ms = now_ms;
            missed->asked_ms = 0;
        }
        if (!is_held (pair->db, missed->tag, missed->last_seq)) {
            edge->missing[kept++] = *missed;
        }
    }
    edge->n_missing = kept;
    set_missing_ms (edge);
}

void
weir_sync_tree_changed (struct weir_sync *self, struct weir_sync_pair *pair, bool apart,
                        uint64_t now_ms)
{
    bool tells = apart && self->options.enabled && pair->met && pair->session
                 && pair->session->protocol >= WEIR_PROTOCOL_TREE;
    struct weir_sync_edge *edge = tells ? weir_sync_need_edge (pair) : pair->edge;
    if (!edge || !pair->session) {
        return;
    }
    if (edge->n_missing > 0) {
        drop_held (self, pair, now_ms);
    }
    if ((tells || edge->lazy_in || edge->lazy_out) && !has_news (edge)
        && !weir_id_equal (&edge->told, &pair->db->digest)) {
        edge->announce_ms = now_ms + WEIR_TELL_DIGEST_MS;
    }
}

/* Another peer is sending at this moment. */
static bool
comes_anyway (const struct weir_sync_pair *but, uint64_t now_ms)
{
    struct weir_sync_pair *pair = but->db->pairs;
    while (pair && (pair == but || !pair->in_busy || now_ms - pair->in_ms >= WEIR_GRAFT_MS)) {
        pair = pair->next_of_db;
    }
    return pair != NULL;
}

/* It was asked for what it had announced, and that is still not here. Something that came and
 * was not stored is no lie. */
static void
judge_promise (struct weir_sync *self, struct weir_sync_pair *pair, uint64_t now_ms)
{
    struct weir_sync_edge *edge = pair->edge;
    bool lied = edge->arrived_ms < edge->asked_ms;
    forget_missing (edge);
    if (!lied) {
        edge->strikes = 0;
        return;
    }
    pair->figures.strikes++;
    if (++edge->strikes >= WEIR_STRIKES_MAX) {
        edge->strikes = 0;
        edge->ignored_ms = now_ms + WEIR_STRIKE_MS;
        weir_sync_act (self, WEIR_SYNC_STRIKE, pair);
    }
    edge->asked_ms = 0;
    weir_sync_prune (self, pair, now_ms); /* nobody is to rely on it */
}

/* Another peer was asked for the same chain just now. */
static bool
is_asked (const struct weir_sync_pair *but, uint64_t tag, uint64_t now_ms)
{
    for (const struct weir_sync_pair *pair = but->db->pairs; pair; pair = pair->next_of_db) {
        const struct weir_sync_edge *edge = pair->edge;
        for (size_t i = 0; edge && pair != but && i < edge->n_missing; i++) {
            const struct weir_sync_missed *missed = &edge->missing[i];
            if (missed->tag == tag && missed->asked_ms != 0
                && now_ms < missed->asked_ms + WEIR_GRAFT_MS) {
                return true;
            }
        }
    }
    return false;
}

static void
look_for_missing (struct weir_sync *self, struct weir_sync_pair *pair, uint64_t now_ms)
{
    struct weir_sync_edge *edge = pair->edge;
    bool broken = false;
    bool late = false;
    bool unasked = false;
    drop_held (self, pair, now_ms);
    if (weir_sync_known (pair) && weir_sync_equal (pair)) {
        forget_missing (edge);
    }
    for (size_t i = 0; i < edge->n_missing; i++) {
        const struct weir_sync_missed *missed = &edge->missing[i];
        if (missed->asked_ms != 0) {
            broken = broken || now_ms >= missed->asked_ms + WEIR_GRAFT_PATIENCE_MS;
        } else if (now_ms >= missed->since_ms + edge->wait_ms) {
            late = true;
            unasked = unasked || !is_asked (pair, missed->tag, now_ms);
            edge->waited_ms = now_ms - missed->since_ms;
        }
    }
    if (broken) {
        judge_promise (self, pair, now_ms);
    } else if (late && edge->waited_ms < edge->wait_ms + BUSY_MS_MAX
               && comes_anyway (pair, now_ms)) {
        edge->not_before_ms = now_ms + weir_rand_jitter (&self->rand, WEIR_GRAFT_MS, 25);
        set_missing_ms (edge);
    } else if (late && !unasked) {
        edge->not_before_ms = now_ms + weir_rand_jitter (&self->rand, WEIR_GRAFT_MS, 25);
        set_missing_ms (edge);
    } else if (late) {
        weir_sync_graft (self, pair, now_ms);
    }
}

void
weir_sync_put_missing (struct weir_sync_pair *pair, struct weir_sync_message *m, uint64_t now_ms)
{
    struct weir_sync_edge *edge = pair->edge;
    m->marks = weir_alloc ((edge->n_missing + 1) * sizeof m->marks[0]);
    for (size_t i = 0; i < edge->n_missing; i++) {
        struct weir_sync_missed *missed = &edge->missing[i];
        const struct weir_sync_chain *chain = weir_sync_find_chain (pair->db, missed->tag);
        m->marks[m->n_marks++] = (struct weir_sync_mark){ missed->tag, chain ? chain->to_seq : 0 };
        missed->asked_ms = now_ms;
    }
    if (edge->n_missing > 0) {
        edge->asked_ms = now_ms;
    }
    set_missing_ms (edge);
}

/* It was asked in vain: what was missing came by the tree. */
void
weir_sync_tree_overhasty (struct weir_sync_pair *pair, uint64_t now_ms)
{
    struct weir_sync_edge *edge = pair->edge;
    if (edge->asked_ms != 0 && now_ms < edge->asked_ms + RECENT_MS
        && edge->lag_ms < WEIR_GRAFT_MS_MAX) {
        edge->lag_ms = edge->lag_ms > edge->waited_ms ? 2 * edge->lag_ms : 2 * edge->waited_ms;
    }
    edge->asked_ms = 0;
}

void
weir_sync_on_announce (struct weir_sync *self, struct weir_sync_pair *pair,
                       const struct weir_sync_message *m, uint64_t now_ms)
{
    struct weir_sync_edge *edge = weir_sync_need_edge (pair);
    pair->figures.heard++;
    pair->activity_ms = now_ms;
    if (!weir_id_is_zero (&m->digest)) {
        pair->theirs = m->digest;
    }
    if (m->n_marks > 0 && now_ms > edge->asked_ms + WEIR_PRUNE_AGAIN_MS) {
        edge->lazy_in = true; /* whatever made it so */
    }
    bool equal = weir_sync_known (pair) && weir_sync_equal (pair);
    bool wanted = (pair->direction & WEIR_SYNC_PULL) != 0 && pair->met && !equal
                  && now_ms >= edge->ignored_ms;
    for (size_t i = 0; i < m->n_marks; i++) {
        forget_told (edge, &m->marks[i]);
        if (wanted) {
            miss (self, pair, &m->marks[i], now_ms);
        }
    }
    if (equal) {
        forget_missing (edge);
    }
    weir_sync_judge (self, pair, false, now_ms);
}

bool
weir_sync_tree_flows (const struct weir_sync_pair *pair, uint64_t now_ms)
{
    const struct weir_sync_edge *edge = pair->edge;
    if (!pair->live || !pair->session || pair->session->protocol < WEIR_PROTOCOL_TREE
        || now_ms - pair->activity_ms >= FLOW_MS
        || (pair->sending && now_ms - pair->sent_ms >= FLOW_MS)) {
        return false;
    }
    for (size_t i = 0; edge && i < edge->n_missing; i++) {
        if (edge->missing[i].asked_ms != 0) {
            return false;
        }
    }
    return true;
}

/* ---- time ---- */

uint64_t
weir_sync_tree_due_ms (const struct weir_sync_pair *pair)
{
    const struct weir_sync_edge *edge = pair->edge;
    if (!edge || !pair->session) {
        return WEIR_SYNC_NEVER;
    }
    return edge->announce_ms < edge->missing_ms ? edge->announce_ms : edge->missing_ms;
}

void
weir_sync_tree_due (struct weir_sync *self, struct weir_sync_pair *pair, uint64_t now_ms)
{
    if (pair->edge && pair->session && pair->edge->announce_ms <= now_ms) {
        announce (self, pair, now_ms);
    }
    if (pair->edge && pair->session && pair->edge->missing_ms <= now_ms) {
        look_for_missing (self, pair, now_ms);
    }
}
