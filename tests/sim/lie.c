/* A node that lies, and one whose memory is bad. The liar runs the honest code, for whatever is
 * true is the best cover, and changes, holds back, repeats and makes up what leaves it: wrong
 * digests, absurd vectors and counts, offers that nothing follows, acknowledgements of what never
 * came, frames of junk. The honest ones must converge without it and stay within their bounds. */

#include "tests/sim/sim.h"

#include <stdlib.h>
#include <string.h>

#define LAST_TYPE WEIR_SYNC_WANT

static struct weir_id
some_id (struct sim *sim)
{
    struct weir_id id;
    weir_rand_bytes (sim->dice, &id, sizeof id);
    return id;
}

static uint64_t
some_number (struct sim *sim)
{
    static const uint64_t odd[] = { 0, 1, 2, 63, 64, 1024, UINT32_MAX, UINT64_MAX - 1, UINT64_MAX };
    unsigned i = sim_below (sim, 2 * sizeof odd / sizeof odd[0]);
    return i < sizeof odd / sizeof odd[0] ? odd[i] : weir_rand_u64 (sim->dice);
}

/* ---- messages ---- */

static void
lie_digests (struct sim *sim, struct weir_sync_message *m)
{
    for (size_t i = 0; i < m->n_digests; i++) {
        unsigned what = sim_below (sim, 4);
        if (what == 0) {
            m->digests[i].digest = some_id (sim);
        } else if (what == 1) {
            m->digests[i].digest = weir_id_zero;
        } else if (what == 2) {
            m->digests[i].tag = some_number (sim);
        } else {
            m->digests[i].digest = m->digests[0].digest;
        }
    }
}

static void
lie_row (struct sim *sim, struct weir_told_row *row)
{
    unsigned what = sim_below (sim, 5);
    if (what == 0) {
        row->row.count = some_number (sim);
    } else if (what == 1) {
        row->row.tip = some_id (sim);
    } else if (what == 2) {
        row->row.chain.lane = some_number (sim);
    } else if (what == 3) {
        row->row.chain.author = some_id (sim);
    }
    for (size_t i = 0; i < row->n_samples && what == 4; i++) {
        row->samples[i].seq = some_number (sim);
        row->samples[i].id = some_id (sim);
    }
}

/* As many rows as a message may have, or some more, of chains that are nowhere. */
static void
invent_rows (struct sim *sim, struct weir_sync_message *m)
{
    size_t n = 1 + sim_below (sim, sim_chance (sim, 10) ? WEIR_VECTOR_ROWS_PER_MESSAGE + 2 : 20);
    struct weir_told_row *rows = weir_alloc (n * sizeof rows[0]);
    for (size_t i = 0; i < n; i++) {
        rows[i].row.chain.author = some_id (sim);
        rows[i].row.chain.lane = some_number (sim);
        rows[i].row.count = some_number (sim);
        rows[i].row.tip = some_id (sim);
    }
    free (m->rows);
    m->rows = rows;
    m->n_rows = n;
}

static void
lie_fields (struct sim *sim, struct weir_sync_message *m)
{
    switch (sim_below (sim, 10)) {
    case 9:
        m->type = (enum weir_sync_message_type) sim_below (sim, LAST_TYPE + 1);
        break;
    case 0:
        m->tag = some_number (sim);
        break;
    case 1:
        m->transfer = some_number (sim);
        break;
    case 2:
        m->credit = some_number (sim);
        break;
    case 3:
        m->round = (uint32_t) some_number (sim);
        break;
    case 4:
        m->page = (uint32_t) some_number (sim);
        break;
    case 5:
        m->answer = !m->answer;
        break;
    case 6:
        m->more = !m->more;
        break;
    case 7:
        m->only = !m->only;
        break;
    default:
        m->status = (enum weir_status) (1 + sim_below (sim, 20));
        break;
    }
}

static void
lie_message (struct sim *sim, struct weir_sync_message *m)
{
    if (m->n_digests > 0 && sim_chance (sim, 70)) {
        lie_digests (sim, m);
    } else if (m->n_bytes > 0 && sim_chance (sim, 70)) {
        m->bytes[weir_rand_below (sim->dice, m->n_bytes)] ^= (uint8_t) (1u << sim_below (sim, 8));
        m->n_bytes -= sim_chance (sim, 20) ? 1 : 0;
    } else if (m->n_marks > 0 && sim_chance (sim, 70)) {
        for (size_t i = 0; i < m->n_marks; i++) {
            m->marks[i].seq = some_number (sim);
        }
    } else if (m->n_wants > 0 && sim_chance (sim, 70)) {
        for (size_t i = 0; i < m->n_wants; i++) {
            m->wants[i].from_seq = some_number (sim);
        }
    } else if (m->type == WEIR_SYNC_VECTOR && sim_chance (sim, 30)) {
        invent_rows (sim, m);
    } else if (m->n_rows > 0 && sim_chance (sim, 70)) {
        for (size_t i = 0; i < m->n_rows; i++) {
            lie_row (sim, &m->rows[i]);
        }
    } else {
        lie_fields (sim, m);
    }
}

/* ---- frames ---- */

static void
flip_bytes (struct sim *sim, struct weir_buf *body)
{
    unsigned n = 1 + sim_below (sim, 3);
    for (unsigned i = 0; i < n && body->len > 0; i++) {
        size_t at = (size_t) weir_rand_below (sim->dice, body->len);
        body->data[at] ^= (uint8_t) (1u << sim_below (sim, 8));
    }
}

static void
lie_frame (struct sim *sim, struct sim_event *e)
{
    unsigned what = sim_below (sim, 4);
    if (what == 0) {
        flip_bytes (sim, &e->body);
    } else if (what == 1) {
        e->offset = sim_chance (sim, 50) ? some_number (sim) : e->offset + sim_below (sim, 100);
    } else if (what == 2) {
        e->digest = some_id (sim);
    } else {
        uint8_t junk[512];
        weir_rand_bytes (sim->dice, junk, sizeof junk);
        weir_buf_put_bytes (&e->body, weir_bytes (junk, 1 + sim_below (sim, sizeof junk - 1)));
    }
}

static void
lie_ack (struct sim *sim, struct sim_event *e)
{
    unsigned what = sim_below (sim, 3);
    if (what == 0) {
        e->offset = sim_chance (sim, 50) ? some_number (sim) : e->offset + sim_below (sim, 100000);
    } else if (what == 1) {
        e->limit = some_number (sim);
    } else {
        e->digest = some_id (sim);
    }
}

void
sim_spoil (struct sim *sim, struct sim_event *e)
{
    sim_count (sim, SIM_N_SPOILED);
    flip_bytes (sim, &e->body);
    e->harmed = true;
}

static bool
is_offer (const struct sim_event *e)
{
    return e->type == SIM_MESSAGE
           && (e->message.type == WEIR_SYNC_OFFER || e->message.type == WEIR_SYNC_ANNOUNCE);
}

/* By habit; false: what was to be said is not. */
static bool
by_habit (struct sim *sim, struct sim_node *node, struct sim_event *e)
{
    unsigned more = 0;
    if (node->habit == SIM_MUTE) {
        return e->type != SIM_FRAME;
    }
    if (node->habit == SIM_PRUNES || node->habit == SIM_ANNOUNCES) {
        more = 1;
    } else if (node->habit == SIM_FLOODS) {
        more = 1 + sim_below (sim, 30);
    } else if (node->habit == SIM_AGREES && e->type == SIM_ACK) {
        e->offset += sim_below (sim, 1000);
        e->limit = UINT64_MAX;
    }
    for (unsigned i = 0; i < more; i++) {
        sim_lie_about (sim, node);
    }
    return node->habit != SIM_ANNOUNCES || e->type == SIM_ACK || is_offer (e);
}

bool
sim_lie (struct sim *sim, struct sim_event *e)
{
    struct sim_node *node = &sim->nodes[e->from];
    if (!sim_chance (sim, sim->trouble[SIM_LIES])) {
        return true;
    }
    sim_count (sim, SIM_N_LIES);
    e->harmed = true;
    if (node->habit != SIM_MIXES) {
        return by_habit (sim, node, e);
    }
    if (sim_chance (sim, 30)) {
        return false; /* promised, and never sent */
    }
    if (e->type == SIM_MESSAGE) {
        lie_message (sim, &e->message);
    } else if (e->type == SIM_FRAME) {
        lie_frame (sim, e);
    } else {
        lie_ack (sim, e);
    }
    if (sim_chance (sim, 10)) {
        sim_lie_about (sim, node);
    }
    return true;
}

/* ---- out of nothing ---- */

static enum weir_sync_message_type
some_type (struct sim *sim, enum sim_habit habit)
{
    if (habit == SIM_PRUNES) {
        return WEIR_SYNC_PRUNE;
    }
    if (habit == SIM_ANNOUNCES) {
        return WEIR_SYNC_ANNOUNCE;
    }
    return (enum weir_sync_message_type) sim_below (sim, LAST_TYPE + 1);
}

/* Arrays of its type, as long as they may be or a little longer. */
static void
invent_arrays (struct sim *sim, struct weir_sync_message *m)
{
    bool long_ones = sim_chance (sim, 10);
    if (m->type == WEIR_SYNC_VECTOR) {
        m->round = 1 + sim_below (sim, 5);
        invent_rows (sim, m);
    } else if (m->type == WEIR_SYNC_ANNOUNCE || m->type == WEIR_SYNC_GRAFT) {
        m->digest = some_id (sim);
        m->n_marks = 1 + sim_below (sim, long_ones ? WEIR_MARKS_PER_MESSAGE + 1 : 8);
        m->marks = weir_alloc (m->n_marks * sizeof m->marks[0]);
        for (size_t i = 0; i < m->n_marks; i++) {
            m->marks[i].chain = some_number (sim);
            m->marks[i].seq = some_number (sim);
        }
    } else if (m->type == WEIR_SYNC_WANT) {
        m->n_wants = 1 + sim_below (sim, long_ones ? WEIR_WANTS_PER_MESSAGE + 1 : 8);
        m->wants = weir_alloc (m->n_wants * sizeof m->wants[0]);
        for (size_t i = 0; i < m->n_wants; i++) {
            m->wants[i].id = some_id (sim);
            m->wants[i].from_seq = some_number (sim);
        }
    } else if (m->type == WEIR_SYNC_LADDER || m->type == WEIR_SYNC_SUMMARY) {
        m->round = 1 + sim_below (sim, 9);
        m->bits = sim_below (sim, 12);
        m->sum = some_id (sim);
        m->n_bytes = 1 + sim_below (sim, long_ones ? 300000 : 600);
        m->bytes = weir_alloc (m->n_bytes);
        weir_rand_bytes (sim->dice, m->bytes, m->n_bytes < 64 ? m->n_bytes : 64);
    } else if (m->type == WEIR_SYNC_DIGESTS) {
        m->n_digests = 1 + sim_below (sim, long_ones ? WEIR_DIGESTS_PER_MESSAGE + 1 : 8);
        m->digests = weir_alloc (m->n_digests * sizeof m->digests[0]);
        for (size_t i = 0; i < m->n_digests; i++) {
            m->digests[i].tag = some_number (sim);
            m->digests[i].digest = some_id (sim);
        }
        m->digests[0].tag = m->tag;
    }
}

void
sim_lie_about (struct sim *sim, struct sim_node *node)
{
    struct sim_link *link = node->links[sim_below (sim, node->n_links)];
    static const enum sim_event_type types[] = { SIM_MESSAGE, SIM_MESSAGE, SIM_FRAME, SIM_ACK };
    unsigned way = link->a == node->index ? 0 : 1;
    if (link->session == 0) {
        return;
    }
    enum sim_event_type type = node->habit == SIM_PRUNES || node->habit == SIM_ANNOUNCES
                                   ? SIM_MESSAGE
                                   : types[sim_below (sim, 4)];
    struct sim_event *e = sim_event_new (type, way == 0 ? link->b : link->a);
    e->from = node->index;
    e->session = link->session;
    e->harmed = true;
    e->transfer = some_number (sim);
    e->offset = some_number (sim);
    e->limit = some_number (sim);
    e->message.type = some_type (sim, node->habit);
    e->message.transfer = some_number (sim);
    e->message.tag = some_number (sim);
    e->message.answer = sim_chance (sim, 50);
    uint8_t number[8];
    weir_store_u64 (number, link->session);
    struct weir_id key = weir_hash (WEIR_DOMAIN_TAG, weir_bytes (number, 8), weir_bytes (NULL, 0));
    if (sim_chance (sim, 70)) {
        e->message.tag = weir_hash_tag (&key, weir_id_bytes (&sim->dbs[0]));
    }
    invent_arrays (sim, &e->message);
    link->said[way]++;
    sim_post (sim, e, sim->now_ms + link->latency_ms);
}
