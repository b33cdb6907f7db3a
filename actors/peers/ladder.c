/* The newer ladder's glue: asks the store for the next step and brings what it found; remembers of
 * each relationship a few digests that both had, with our position in the log then (hints: kept
 * with the cursor, checked by the store, worth nothing when wrong); says in words where two
 * differ. It decides nothing. */

#include "actors/peers/state.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define RANGE_BYTES (2 * WEIR_ID_BYTES + 24u)

/* ---- hints ---- */

bool
ladder_has_hint (const struct relation *r, const struct weir_id *digest)
{
    return r->n_hints > 0 && weir_id_equal (&r->hints[0].digest, digest);
}

void
ladder_add_hint (struct relation *r, const struct weir_id *digest, uint64_t position)
{
    if (ladder_has_hint (r, digest)) {
        return;
    }
    if (r->n_hints < WEIR_HINTS_MAX) {
        r->n_hints++;
        r->hints = weir_realloc (r->hints, r->n_hints * sizeof r->hints[0]);
    }
    memmove (&r->hints[1], &r->hints[0], (r->n_hints - 1u) * sizeof r->hints[0]);
    r->hints[0] = (struct peers_hint){ *digest, position };
    r->cursor_dirty = true;
}

void
ladder_put_hints (const struct relation *r, struct weir_buf *out)
{
    weir_buf_put_u8 (out, r->n_hints);
    for (size_t i = 0; i < r->n_hints; i++) {
        weir_buf_put_bytes (out, weir_id_bytes (&r->hints[i].digest));
        weir_buf_put_u64 (out, r->hints[i].position);
    }
}

bool
ladder_get_hints (struct relation *r, struct weir_reader *reader)
{
    uint8_t n = weir_read_u8 (reader);
    r->n_hints = 0;
    if (n == 0 || n > WEIR_HINTS_MAX) {
        return n == 0;
    }
    r->hints = weir_realloc (r->hints, n * sizeof r->hints[0]);
    for (uint8_t i = 0; i < n; i++) {
        struct peers_hint *hint = &r->hints[i];
        if (weir_id_from_bytes (&hint->digest, weir_read_bytes (reader, WEIR_ID_BYTES))
            != WEIR_OK) {
            return false;
        }
        hint->position = weir_read_u64 (reader);
    }
    r->n_hints = n;
    return true;
}

struct mark {
    struct weir_id device;
    struct weir_id db;
};

static void
marked (void *state, struct weir_actor *actor, void *context, enum weir_status status,
        const struct weir_error *problem, const struct weir_message *answer)
{
    struct peers *p = state;
    struct mark *mark = context;
    struct device *d = device_find (p, &mark->device);
    struct relation *r = d != NULL ? relation_find (d, &mark->db) : NULL;
    struct weir_id digest;
    (void) actor;
    (void) problem;
    if (r != NULL) {
        r->marking = false;
    }
    if (r != NULL && status == WEIR_OK && answer != NULL && answer->meta != NULL) {
        const Weir__LadderAnswer *m = (const Weir__LadderAnswer *) answer->meta;
        if (weir_field_get_id (&digest, m->has_digest, m->digest) == WEIR_OK
            && weir_id_equal (&digest, &r->told)) {
            ladder_add_hint (r, &digest, m->position);
            rows_flush_later (p);
        }
    }
    free (mark);
}

void
ladder_mark (struct peers *p, struct relation *r, const struct weir_id *digest)
{
    if (r->marking || ladder_has_hint (r, digest)) {
        return;
    }
    struct mark *mark = weir_alloc (sizeof *mark);
    Weir__LadderAsk m = WEIR__LADDER_ASK__INIT;
    *mark = (struct mark){ r->device->id, r->db };
    r->marking = true;
    m.has_db = m.has_mark = m.mark = true;
    m.db = weir_field_id (&r->db);
    (void) weir_actor_ask (p->actor, WEIR_KIND_LADDER, NULL, &m.base, weir_bytes (NULL, 0),
                           PEERS_ASK_MS, marked, mark);
}

/* ---- steps ---- */

static enum weir_status
read_lacks (struct weir_bytes body, struct weir_ranges *lacks)
{
    struct weir_reader r = weir_reader (body);
    while (weir_reader_left (&r) >= RANGE_BYTES) {
        struct weir_range range;
        enum weir_status status =
            weir_id_from_bytes (&range.chain.author, weir_read_bytes (&r, WEIR_ID_BYTES));
        range.chain.lane = weir_read_u64 (&r);
        range.from_seq = weir_read_u64 (&r);
        range.to_seq = weir_read_u64 (&r);
        if (status != WEIR_OK
            || weir_id_from_bytes (&range.tip, weir_read_bytes (&r, WEIR_ID_BYTES)) != WEIR_OK) {
            return WEIR_BAD_MESSAGE;
        }
        weir_ranges_add (lacks, &range, &weir_id_zero);
    }
    return weir_reader_done (&r) ? WEIR_OK : WEIR_BAD_MESSAGE;
}

static void
climbed (void *state, struct weir_actor *actor, void *context, enum weir_status status,
         const struct weir_error *problem, const struct weir_message *answer)
{
    uint64_t *ticket = context;
    struct weir_sync_event e = { .type = WEIR_SYNC_COMPARED, .ticket = *ticket, .status = status };
    struct weir_ranges lacks = { 0 };
    (void) actor;
    (void) problem;
    free (ticket);
    if (status == WEIR_OK && (answer == NULL || answer->meta == NULL)) {
        e.status = WEIR_FAILED;
    } else if (status == WEIR_OK) {
        const Weir__LadderAnswer *m = (const Weir__LadderAnswer *) answer->meta;
        size_t said = m->said < answer->body.len ? (size_t) m->said : answer->body.len;
        e.say = weir_bytes (answer->body.data, said);
        e.answer = m->answer;
        e.settled = m->settled;
        e.more = m->more;
        e.chains = (size_t) m->chains;
        e.ranges = &lacks;
        e.status =
            read_lacks (weir_bytes (answer->body.data + said, answer->body.len - said), &lacks);
    }
    sync_step (state, &e);
    weir_ranges_fini (&lacks);
}

void
ladder_step (struct peers *p, const struct relation *r, const struct weir_sync_action *a)
{
    Weir__LadderAsk m = WEIR__LADDER_ASK__INIT;
    Weir__Hint hints[WEIR_HINTS_MAX];
    Weir__Hint *items[WEIR_HINTS_MAX];
    uint64_t *ticket = weir_alloc (sizeof *ticket);
    *ticket = a->ticket;
    m.has_db = m.has_key = true;
    m.db = weir_field_id (&a->db);
    m.key = weir_field_id (&a->key);
    m.has_theirs = !weir_id_is_zero (&a->theirs);
    m.theirs = weir_field_id (&a->theirs);
    for (size_t i = 0; r != NULL && i < r->n_hints; i++) {
        hints[i] = (Weir__Hint) WEIR__HINT__INIT;
        hints[i].has_digest = hints[i].has_position = true;
        hints[i].digest = weir_field_id (&r->hints[i].digest);
        hints[i].position = r->hints[i].position;
        items[m.n_hints++] = &hints[i];
    }
    m.hints = items;
    (void) weir_actor_ask (p->actor, WEIR_KIND_LADDER, NULL, &m.base,
                           weir_bytes (a->message.bytes, a->message.n_bytes), PEERS_ASK_MS, climbed,
                           ticket);
}

/* ---- words ---- */

void
ladder_differs (struct peers *p, const struct weir_sync_action *a)
{
    struct weir_buf text = { 0 };
    weir_buf_printf (&text, "code=%s", weir_status_code (a->status));
    if (a->chains > 0) {
        weir_buf_printf (&text, " in %zu chains", a->chains);
    }
    if (a->entries > 0) {
        weir_buf_printf (&text, ", it lacks %" PRIu64 " entries", a->entries);
    }
    for (size_t i = 0; i < a->ranges.count; i++) {
        const struct weir_range *range = &a->ranges.items[i];
        weir_buf_printf (&text, "%s %.12s/%016" PRIx64 " %" PRIu64 "..%" PRIu64, i == 0 ? ":" : ",",
                         weir_id_text (&range->chain.author).s, range->chain.lane, range->from_seq,
                         range->to_seq - 1);
    }
    weir_buf_printf (&text, "%s", a->more ? "; it holds what is not here" : "");
    weir_actor_event (p->actor, "sync_differs", &a->device, &a->db, a->status, "%s",
                      weir_buf_str (&text));
    weir_buf_fini (&text);
}
