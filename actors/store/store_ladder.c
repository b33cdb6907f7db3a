/* The store's part in the newer ladder: what to say to a peer and what it lacks, from what it said.
 * The repository finds it; this carries it, with what does not fit into a meta in the body. */

#include <stdlib.h>
#include <string.h>

#include "actors/store/state.h"

#define RANGE_BYTES (2 * WEIR_ID_BYTES + 24u)

static void
put_range (struct weir_buf *out, const struct weir_range *range)
{
    weir_buf_put_bytes (out, weir_id_bytes (&range->chain.author));
    weir_buf_put_u64 (out, range->chain.lane);
    weir_buf_put_u64 (out, range->from_seq);
    weir_buf_put_u64 (out, range->to_seq);
    weir_buf_put_bytes (out, weir_id_bytes (&range->tip));
}

/* At most WEIR_HINTS_MAX of them; what is no hint is left out. */
static size_t
read_hints (const Weir__LadderAsk *ask, struct weir_repo_hint hints[WEIR_HINTS_MAX])
{
    size_t n = 0;
    for (size_t i = 0; i < ask->n_hints && n < WEIR_HINTS_MAX; i++) {
        const Weir__Hint *m = ask->hints[i];
        if (weir_field_get_id (&hints[n].digest, m->has_digest, m->digest) == WEIR_OK) {
            hints[n++].position = m->position;
        }
    }
    return n;
}

static void
answer_mark (struct store *s, const struct weir_envelope *request, const struct weir_id *db)
{
    Weir__LadderAnswer answer = WEIR__LADDER_ANSWER__INIT;
    struct weir_db_info info;
    struct weir_id digest = store_digest (s, db); /* nothing is open behind it */
    enum weir_status status = weir_repo_info (s->repo, db, &info);
    if (status != WEIR_OK) {
        store_fail (s, request, status, NULL);
        return;
    }
    answer.has_digest = answer.has_position = true;
    answer.digest = weir_field_id (&digest);
    answer.position = info.position;
    store_answer (s, request, &answer.base);
}

void
store_ladder (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct store *s = state;
    const Weir__LadderAsk *ask = (const Weir__LadderAsk *) message->meta;
    struct weir_repo_hint hints[WEIR_HINTS_MAX];
    struct weir_repo_ladder step = { .told = message->body, .hints = hints };
    struct weir_repo_rung rung = { .answer = false };
    (void) actor;
    enum weir_status status = weir_field_get_id (&step.db, ask->has_db, ask->db);
    if (status == WEIR_OK && ask->mark) {
        answer_mark (s, &message->envelope, &step.db);
        return;
    }
    if (status == WEIR_OK) {
        status = weir_field_get_id (&step.key, ask->has_key, ask->key);
    }
    if (status == WEIR_OK && ask->has_theirs) {
        status = weir_field_get_id (&step.theirs, true, ask->theirs);
    }
    step.n_hints = read_hints (ask, hints);
    if (status == WEIR_OK) {
        status = weir_repo_ladder (s->repo, &step, &rung);
    }
    if (status == WEIR_OK) {
        Weir__LadderAnswer answer = WEIR__LADDER_ANSWER__INIT;
        answer.has_answer = answer.has_settled = answer.has_more = true;
        answer.has_chains = answer.has_said = true;
        answer.answer = rung.answer;
        answer.settled = rung.settled;
        answer.more = rung.more;
        answer.chains = rung.chains;
        answer.said = rung.say.len;
        for (size_t i = 0;
             i < rung.lacks.count && rung.say.len + RANGE_BYTES <= WEIR_MESSAGE_BODY_BYTES_MAX;
             i++) {
            put_range (&rung.say, &rung.lacks.items[i]); /* the rest is found by the next */
        }
        /* What is compared is readable; it may be told and sent once it is on disk. */
        store_answer_synced_body (s, &message->envelope, &answer.base, &rung.say);
    } else {
        store_fail (s, &message->envelope, status, NULL);
    }
    weir_repo_rung_fini (&rung);
}
