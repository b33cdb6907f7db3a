/* The older ladder, of protocol 1: rows of vectors, in pages, and samples where branches part
 * (page 3's second rung). sync_ladder.c decides when. */

#include "store/sync/sync_state.h"

#include <stdlib.h>
#include <string.h>

#define ROW_COST 96u /* bytes on the wire, at most */
#define SAMPLE_COST 48u

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

/* Our store compared, or gave our rows. */
void
weir_sync_on_rows (struct weir_sync *self, struct weir_sync_pair *pair,
                   const struct weir_sync_event *e, uint64_t now_ms)
{
    if (pair->stage == WEIR_STAGE_ROWS) {
        say_vector (self, pair, 1, e->rows, e->n_rows, false, NULL);
        weir_sync_await (self, pair, 1, now_ms);
        return;
    }
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
        weir_sync_await (self, pair, 3, now_ms);
    } else {
        weir_sync_finish_ladder (self, pair, now_ms);
    }
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

/* Is a vector of this round welcome now? */
static bool
wanted (const struct weir_sync *self, const struct weir_sync_pair *pair,
        const struct weir_sync_session *session, uint32_t round)
{
    if (round % 2 == 0) {
        return pair->stage == WEIR_STAGE_ASKED && !pair->newer && pair->round + 1 == round
               && pair->stage_session == session;
    }
    return weir_sync_may_ask (self, pair);
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
        struct weir_sync_action *action =
            weir_sync_ask_store (self, pair, session, WEIR_STAGE_STORE, now_ms);
        action->rows = rows;
        action->n_rows = n_rows;
        action->only = m->only;
        pair->round = m->round;
        pair->newer = false;
        pair->turn = false;
        pair->recheck_ms = WEIR_SYNC_NEVER;
    }
    weir_sync_pages_clear (&session->pages);
    weir_sync_settle (self, pair, now_ms);
}
