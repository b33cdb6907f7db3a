/* What does the other lack? Digests, and the ladder of vectors that follows when they differ and
 * nothing that moves explains it (page 3). It decides when to compare and what to say; the
 * store compares; sync_live.c sends what came out. */

#include "store/sync/sync_state.h"

#include <stdlib.h>
#include <string.h>

#define ROW_COST 96u /* bytes on the wire, at most */
#define SAMPLE_COST 48u

bool
weir_sync_known (const struct weir_sync_pair *pair)
{
    return pair->session && !weir_id_is_zero (&pair->db->digest)
           && !weir_id_is_zero (&pair->theirs);
}

bool
weir_sync_equal (const struct weir_sync_pair *pair)
{
    return weir_id_equal (&pair->db->digest, &pair->theirs);
}

static bool
active (const struct weir_sync *self, const struct weir_sync_pair *pair)
{
    return self->options.enabled || pair->manual;
}

/* Nothing is under way that may explain a difference. Live bursts in an endless stream are no
 * excuse for ever. */
static bool
is_quiet (const struct weir_sync_pair *pair, uint64_t now_ms)
{
    if (pair->stage != WEIR_STAGE_REST || pair->bulk || pair->in_state == WEIR_IN_OPENING
        || (pair->out_state != WEIR_OUT_NONE && pair->out_state != WEIR_OUT_OPEN)) {
        return false;
    }
    if (pair->differs_ms != 0 && now_ms - pair->differs_ms >= WEIR_SYNC_PATIENCE_MS
        && !(pair->in_busy && now_ms - pair->in_ms < WEIR_SYNC_PATIENCE_MS)) {
        return true;
    }
    /* Before the first comparison of a session nothing can have moved yet. */
    return !pair->sending && pair->queue.count == 0 && !pair->in_busy
           && (!pair->met || now_ms - pair->activity_ms >= WEIR_SYNC_SETTLE_MS);
}

void
weir_sync_end_stage (struct weir_sync *self, struct weir_sync_pair *pair)
{
    if (pair->ticket != 0) {
        uint8_t key[8];
        weir_map_remove (self->tickets, weir_sync_key64 (key, pair->ticket));
    }
    pair->ticket = 0;
    pair->stage = WEIR_STAGE_REST;
    pair->stage_session = NULL;
}

/* Asks our store; rows NULL: for our rows only. */
static void
ask_store (struct weir_sync *self, struct weir_sync_pair *pair, struct weir_sync_session *session,
           enum weir_sync_stage stage, struct weir_told_row *rows, size_t n_rows, bool only,
           uint64_t now_ms)
{
    weir_sync_end_stage (self, pair);
    pair->live = false;
    pair->stage = stage;
    pair->stage_session = session;
    pair->stage_ms = now_ms + WEIR_TRANSFER_STALL_MS;
    pair->ticket = ++self->next_ticket;
    uint8_t key[8];
    weir_map_put (self->tickets, weir_sync_key64 (key, pair->ticket), pair);
    struct weir_sync_action *action = weir_sync_act (self, WEIR_SYNC_COMPARE, pair);
    action->session = session->id;
    action->ticket = pair->ticket;
    action->rows = rows;
    action->n_rows = n_rows;
    action->only = only;
    action->ask = stage == WEIR_STAGE_ROWS;
}

static uint64_t
backoff (struct weir_sync *self, unsigned attempts)
{
    uint64_t delay = WEIR_SYNC_BACKOFF_MS_MIN;
    for (unsigned i = 1; i < attempts && delay < WEIR_SYNC_BACKOFF_MS_MAX; i++) {
        delay *= 2;
    }
    if (delay > WEIR_SYNC_BACKOFF_MS_MAX) {
        delay = WEIR_SYNC_BACKOFF_MS_MAX;
    }
    return weir_rand_jitter (&self->rand, delay, 25);
}

/* The operator hears of a difference that outlived a ladder, once for each pair of digests. */
static void
tell_difference (struct weir_sync *self, struct weir_sync_pair *pair)
{
    bool same = weir_id_equal (&pair->ladder_ours, &pair->db->digest)
                && weir_id_equal (&pair->ladder_theirs, &pair->theirs);
    bool told = weir_id_equal (&pair->differs_ours, &pair->db->digest)
                && weir_id_equal (&pair->differs_theirs, &pair->theirs);
    if (same && !told) {
        struct weir_sync_action *action = weir_sync_act (self, WEIR_SYNC_DIFFERS, pair);
        action->status = pair->last_error != WEIR_OK ? pair->last_error : WEIR_CONFLICT;
        pair->differs_ours = pair->db->digest;
        pair->differs_theirs = pair->theirs;
        self->counters.ladders_stopped++;
    }
    pair->ladder_ours = pair->db->digest;
    pair->ladder_theirs = pair->theirs;
}

static void
start_ladder (struct weir_sync *self, struct weir_sync_pair *pair, uint64_t now_ms)
{
    tell_difference (self, pair);
    self->counters.ladders++;
    pair->attempts++;
    pair->ladder_ms = now_ms + backoff (self, pair->attempts);
    pair->turn = false;
    pair->recheck_ms = WEIR_SYNC_NEVER;
    pair->round = 1;
    ask_store (self, pair, pair->session, WEIR_STAGE_ROWS, NULL, 0, false, now_ms);
}

static void
note_equal (struct weir_sync *self, struct weir_sync_pair *pair)
{
    pair->differs_ms = 0;
    pair->attempts = 0;
    pair->ladder_ms = 0;
    pair->recheck_ms = WEIR_SYNC_NEVER;
    pair->turn = false;
    pair->met = true;
    pair->live = true;
    pair->manual = false;
    pair->behind = false;
    pair->last_error = WEIR_OK;
    weir_ranges_clear (&pair->queue); /* it holds all that we have */
    pair->bulk = pair->bulk && pair->sending;
    pair->queue_entries = 0;
    pair->burst_ms = WEIR_SYNC_NEVER;
    if (!pair->in_step) {
        pair->in_step = true;
        struct weir_sync_action *action = weir_sync_act (self, WEIR_SYNC_IN_STEP, pair);
        action->entries = pair->entries_moved;
        pair->entries_moved = 0;
    }
}

static uint64_t
most (uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

void
weir_sync_judge (struct weir_sync *self, struct weir_sync_pair *pair, bool told, uint64_t now_ms)
{
    if (!weir_sync_known (pair)) {
        return;
    }
    if (weir_sync_equal (pair)) {
        note_equal (self, pair);
        return;
    }
    /* What ended a long agreement is most likely still on its way here. */
    bool fresh = pair->in_step;
    pair->in_step = false;
    if (pair->differs_ms == 0) {
        pair->differs_ms = most (now_ms, 1);
    }
    if (!active (self, pair)) {
        pair->recheck_ms = WEIR_SYNC_NEVER;
        return;
    }
    if (told && !fresh && is_quiet (pair, now_ms) && now_ms >= pair->ladder_ms) {
        if (pair->turn || weir_id_compare (&self->options.device, &pair->peer->device) < 0) {
            start_ladder (self, pair, now_ms);
        } else {
            pair->turn = true;
            pair->recheck_ms = now_ms + WEIR_CONNECT_MS;
        }
        return;
    }
    uint64_t due = most (most (now_ms, pair->activity_ms) + WEIR_SYNC_SETTLE_MS, pair->ladder_ms);
    if (pair->recheck_ms == WEIR_SYNC_NEVER || pair->recheck_ms <= now_ms) {
        pair->recheck_ms = due;
    }
}

/* The recheck time has come: whatever it was set for, look again. */
void
weir_sync_recheck (struct weir_sync *self, struct weir_sync_pair *pair, uint64_t now_ms)
{
    pair->recheck_ms = WEIR_SYNC_NEVER;
    if (weir_sync_known (pair) && weir_sync_equal (pair)) {
        note_equal (self, pair);
        return;
    }
    if (!pair->session || weir_id_is_zero (&pair->db->digest) || !active (self, pair)) {
        return;
    }
    if (!weir_sync_known (pair)) {
        /* Not told yet: lost, or not shared there. The check interval goes on asking. */
        weir_sync_say_digests (self, pair->session, WEIR_SAY_ONE, pair, true);
        return;
    }
    if (!is_quiet (pair, now_ms)) {
        pair->recheck_ms = now_ms + WEIR_SYNC_SETTLE_MS;
        return;
    }
    if (now_ms < pair->ladder_ms) {
        pair->recheck_ms = pair->ladder_ms;
        return;
    }
    if (pair->turn) {
        start_ladder (self, pair, now_ms);
        return;
    }
    weir_sync_say_digests (self, pair->session, WEIR_SAY_ONE, pair, true);
    pair->recheck_ms = now_ms + backoff (self, pair->attempts + 2);
}

void
weir_sync_failed (struct weir_sync *self, struct weir_sync_pair *pair, enum weir_status status,
                  uint64_t now_ms)
{
    pair->last_error = status;
    pair->in_step = false; /* when it is again, or still, that is said: it ends the retry */
    pair->met = weir_sync_known (pair) && weir_sync_equal (pair);
    struct weir_sync_action *action = weir_sync_act (self, WEIR_SYNC_BEHIND, pair);
    action->status = status;
    if (active (self, pair)) {
        pair->attempts++;
        pair->ladder_ms = most (pair->ladder_ms, now_ms + backoff (self, pair->attempts));
        pair->recheck_ms = pair->ladder_ms;
    }
}

static bool
is_said (const struct weir_sync_pair *pair, enum weir_sync_which which,
         const struct weir_sync_pair *one)
{
    switch (which) {
    case WEIR_SAY_ONE:
        return pair == one;
    case WEIR_SAY_GREETED:
        return pair->greet;
    case WEIR_SAY_REPLY:
        return pair->reply;
    case WEIR_SAY_ALL:
        break;
    }
    return true;
}

void
weir_sync_say_digests (struct weir_sync *self, struct weir_sync_session *session,
                       enum weir_sync_which which, const struct weir_sync_pair *one, bool answer)
{
    struct weir_sync_message *m = NULL;
    size_t cap = 0;
    struct weir_sync_pair *pair = session->peer->pairs;
    for (; pair; pair = pair->next_of_peer) {
        if (weir_id_is_zero (&pair->db->digest) || !is_said (pair, which, one)) {
            continue;
        }
        pair->greet = pair->greet && !answer;
        if (!m || m->n_digests == WEIR_DIGESTS_PER_MESSAGE) {
            m = weir_sync_say (self, session, WEIR_SYNC_DIGESTS, NULL);
            m->answer = answer;
            cap = 0;
        }
        weir_grow (&m->digests, &cap, m->n_digests + 1, sizeof m->digests[0]);
        m->digests[m->n_digests].tag = weir_sync_tag (session, &pair->db->id);
        m->digests[m->n_digests].digest = pair->db->digest;
        m->n_digests++;
    }
}

void
weir_sync_unknown_tag (struct weir_sync *self, struct weir_sync_session *session, uint64_t tag)
{
    struct weir_sync_peer *peer = session->peer;
    for (size_t i = 0; i < peer->n_removed; i++) {
        if (weir_sync_tag (session, &peer->removed[i]) == tag) {
            struct weir_sync_message *m = weir_sync_say (self, session, WEIR_SYNC_NOT_SHARED, NULL);
            m->tag = tag;
            m->status = WEIR_REMOVED;
            return;
        }
    }
}

void
weir_sync_on_digests (struct weir_sync *self, struct weir_sync_session *session,
                      const struct weir_sync_message *m, uint64_t now_ms)
{
    if (m->n_digests > WEIR_DIGESTS_PER_MESSAGE) {
        self->counters.messages_bad++;
        return;
    }
    size_t known = 0;
    for (size_t i = 0; i < m->n_digests; i++) {
        struct weir_sync_pair *pair = weir_sync_by_tag (session, m->digests[i].tag);
        if (!pair) {
            if (m->answer) {
                weir_sync_unknown_tag (self, session, m->digests[i].tag);
            }
            continue;
        }
        known++;
        pair->theirs = m->digests[i].digest;
        pair->reply = m->answer;
        if (m->answer && pair->stage == WEIR_STAGE_ASKED
            && pair->stage_ms > now_ms + WEIR_CONNECT_MS) {
            pair->stage_ms = now_ms + WEIR_CONNECT_MS; /* it may have forgotten our question */
        }
        pair->refused = pair->refused && !m->answer;
    }
    if (m->answer && known > 0) {
        weir_sync_say_digests (self, session, WEIR_SAY_REPLY, NULL, false);
        if (known == session->peer->n_pairs) {
            /* The peer's check served both. */
            session->check_ms =
                now_ms + weir_rand_jitter (&self->rand, self->options.check_interval_ms, 25);
            weir_sync_session_timer (self, session, now_ms);
        }
    }
    for (size_t i = 0; i < m->n_digests; i++) {
        struct weir_sync_pair *pair = weir_sync_by_tag (session, m->digests[i].tag);
        if (pair) {
            pair->reply = false;
            weir_sync_judge (self, pair, true, now_ms);
            weir_sync_settle (self, pair, now_ms);
        }
    }
}

/* ---- vectors out ---- */

static bool
names_chain (const struct weir_vector *v, const struct weir_chain *chain)
{
    size_t count = 0;
    return v && weir_vector_chain (v, chain, &count) != NULL;
}

/* Our rows, in pages; of the chains in `unknown` only, when `only`. */
static void
say_vector (struct weir_sync *self, struct weir_sync_pair *pair, uint32_t round,
            const struct weir_told_row *rows, size_t n_rows, bool only,
            const struct weir_vector *unknown)
{
    struct weir_sync_message *m = NULL;
    uint32_t page = 0;
    size_t cap = 0;
    size_t cost = 0;
    size_t at = 0;
    struct weir_told_row *picked = NULL;
    do {
        cap = 0;
        cost = 0;
        size_t n = 0;
        picked = NULL;
        for (; at < n_rows && n < WEIR_VECTOR_ROWS_PER_MESSAGE; at++) {
            if (only && !names_chain (unknown, &rows[at].row.chain)) {
                continue;
            }
            size_t add = ROW_COST + SAMPLE_COST * rows[at].n_samples;
            if (n > 0 && cost + add > WEIR_VECTOR_PAGE_BYTES) {
                break;
            }
            cost += add;
            weir_grow (&picked, &cap, n + 1, sizeof picked[0]);
            picked[n++] = rows[at];
        }
        m = weir_sync_say (self, pair->stage_session, WEIR_SYNC_VECTOR, pair);
        m->rows = weir_sync_copy_rows (picked, n);
        m->n_rows = n;
        m->round = round;
        m->page = page++;
        m->answer = round % 2 == 1;
        m->only = only;
        m->more = at < n_rows && page < WEIR_VECTOR_PAGES_MAX;
        free (picked);
    } while (m->more);
}

static void
await_vector (struct weir_sync *self, struct weir_sync_pair *pair, uint32_t round, uint64_t now_ms)
{
    struct weir_sync_session *session = pair->stage_session;
    weir_sync_end_stage (self, pair);
    pair->stage = WEIR_STAGE_ASKED;
    pair->stage_session = session;
    pair->stage_ms = now_ms + WEIR_TRANSFER_STALL_MS;
    pair->round = round;
}

/* Both said what they lack: what is still different when all of it has moved is looked at
 * again. */
static void
finish (struct weir_sync *self, struct weir_sync_pair *pair, uint64_t now_ms)
{
    weir_sync_end_stage (self, pair);
    pair->met = true;
    pair->activity_ms = now_ms;
    weir_sync_flush (self, pair, now_ms);
    weir_sync_judge (self, pair, false, now_ms);
}

void
weir_sync_on_compared (struct weir_sync *self, const struct weir_sync_event *e, uint64_t now_ms)
{
    uint8_t key[8];
    struct weir_sync_pair *pair = weir_map_get (self->tickets, weir_sync_key64 (key, e->ticket));
    if (!pair) {
        return; /* late: that comparison was given up */
    }
    if (e->status != WEIR_OK) {
        weir_sync_end_stage (self, pair);
        weir_sync_failed (self, pair, e->status, now_ms);
    } else if (pair->stage == WEIR_STAGE_ROWS) {
        say_vector (self, pair, 1, e->rows, e->n_rows, false, NULL);
        await_vector (self, pair, 1, now_ms);
    } else {
        if (e->ranges && e->ranges->count > 0) {
            weir_sync_send_lacks (self, pair, e->ranges, now_ms);
        }
        bool open = e->unknown && e->unknown->count > 0;
        if (pair->round == 1) {
            say_vector (self, pair, 2, e->rows, e->n_rows, false, NULL);
        } else if (pair->round == 3) {
            say_vector (self, pair, 4, e->rows, e->n_rows, true, e->unknown);
        }
        if (pair->round == 2 && open) {
            say_vector (self, pair, 3, e->rows, e->n_rows, true, e->unknown);
            await_vector (self, pair, 3, now_ms);
        } else {
            finish (self, pair, now_ms);
        }
    }
    weir_sync_settle (self, pair, now_ms);
}

/* ---- vectors in ---- */

void
weir_sync_pages_clear (struct weir_sync_pages *pages)
{
    for (size_t i = 0; i < pages->n_blocks; i++) {
        free (pages->blocks[i]);
    }
    free (pages->blocks);
    free (pages->counts);
    memset (pages, 0, sizeof *pages);
}

/* Takes a page. False when it is not the one expected, or too much. */
static bool
take_page (struct weir_sync_pages *pages, struct weir_sync_pair *pair,
           const struct weir_sync_message *m)
{
    if (m->page == 0) {
        weir_sync_pages_clear (pages);
        pages->pair = pair;
        pages->round = m->round;
    }
    if (pages->pair != pair || pages->round != m->round || pages->next_page != m->page
        || m->page >= WEIR_VECTOR_PAGES_MAX) {
        return false;
    }
    for (size_t i = 0; i < m->n_rows; i++) {
        pages->n_samples += m->rows[i].n_samples;
        if (m->rows[i].n_samples > WEIR_VECTOR_SAMPLES_MAX) {
            return false;
        }
    }
    if (pages->n_samples > WEIR_VECTOR_SAMPLES_TOTAL_MAX) {
        return false;
    }
    size_t cap = pages->n_blocks;
    weir_grow (&pages->blocks, &cap, pages->n_blocks + 1, sizeof (struct weir_told_row *));
    cap = pages->n_blocks;
    weir_grow (&pages->counts, &cap, pages->n_blocks + 1, sizeof pages->counts[0]);
    pages->blocks[pages->n_blocks] = weir_sync_copy_rows (m->rows, m->n_rows);
    pages->counts[pages->n_blocks++] = m->n_rows;
    pages->next_page++;
    return true;
}

/* All pages as one list, in one block. */
static struct weir_told_row *
join_pages (const struct weir_sync_pages *pages, size_t *n_rows)
{
    struct weir_told_row *all = NULL;
    size_t cap = 0;
    size_t n = 0;
    for (size_t i = 0; i < pages->n_blocks; i++) {
        weir_grow (&all, &cap, n + pages->counts[i] + 1, sizeof all[0]);
        if (pages->counts[i] > 0) {
            memcpy (all + n, pages->blocks[i], pages->counts[i] * sizeof all[0]);
            n += pages->counts[i];
        }
    }
    struct weir_told_row *copy = weir_sync_copy_rows (all, n);
    free (all);
    *n_rows = n;
    return copy;
}

/* Is a vector of this round welcome now? An ask ends what we began ourselves, unless we asked
 * first and our id is the smaller. */
static bool
wanted (const struct weir_sync *self, const struct weir_sync_pair *pair,
        const struct weir_sync_session *session, uint32_t round)
{
    if (weir_id_is_zero (&pair->db->digest) || pair->stage == WEIR_STAGE_STORE) {
        return false;
    }
    if (round % 2 == 0) {
        return pair->stage == WEIR_STAGE_ASKED && pair->round + 1 == round
               && pair->stage_session == session;
    }
    return pair->stage != WEIR_STAGE_ASKED
           || weir_id_compare (&self->options.device, &pair->peer->device) > 0;
}

void
weir_sync_on_vector (struct weir_sync *self, struct weir_sync_session *session,
                     const struct weir_sync_message *m, uint64_t now_ms)
{
    struct weir_sync_pair *pair = weir_sync_by_tag (session, m->tag);
    if (!pair) {
        weir_sync_unknown_tag (self, session, m->tag);
        return;
    }
    if (m->n_rows > WEIR_VECTOR_ROWS_PER_MESSAGE || m->round == 0
        || m->round > WEIR_LADDER_MESSAGES_MAX) {
        self->counters.messages_bad++;
        return;
    }
    if (!take_page (&session->pages, pair, m)) {
        weir_sync_pages_clear (&session->pages);
        self->counters.messages_bad++;
        return;
    }
    if (m->more) {
        return;
    }
    if (wanted (self, pair, session, m->round)) {
        size_t n_rows;
        struct weir_told_row *rows = join_pages (&session->pages, &n_rows);
        ask_store (self, pair, session, WEIR_STAGE_STORE, rows, n_rows, m->only, now_ms);
        pair->round = m->round;
        pair->turn = false;
        pair->recheck_ms = WEIR_SYNC_NEVER;
    }
    weir_sync_pages_clear (&session->pages);
    weir_sync_settle (self, pair, now_ms);
}
