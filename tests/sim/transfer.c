/* One node's transfers at its store: requests of peers, frames and acknowledgements over links. */

#include "tests/sim/sim.h"
#include "store/repo/gap.h"
#include "store/sync/sync_state.h"

#include <stdlib.h>
#include <string.h>

/* ---- what peers asks ---- */

static struct sim_transfer *
find_transfer (struct sim_node *node, uint64_t session, uint64_t number, bool out)
{
    struct sim_transfer *t = node->transfers;
    while (t && !(t->session == session && t->number == number && (t->out != NULL) == out)) {
        t = t->next;
    }
    return t;
}

static bool
names_chain (const struct weir_told_row *rows, size_t n, const struct weir_chain *chain)
{
    for (size_t i = 0; i < n; i++) {
        if (weir_chain_compare (&rows[i].row.chain, chain) == 0) {
            return true;
        }
    }
    return false;
}

/* Our rows, with samples where `unknown` names the chain, in one block. */
static struct weir_told_row *
our_rows (struct sim_node *node, const struct weir_sync_action *ask,
          const struct weir_vector *unknown, size_t *n_rows)
{
    const struct weir_vector *v = weir_repo_vector (node->repo, &ask->db);
    struct weir_vector ours = { 0 };
    if (v) {
        weir_vector_copy (&ours, v);
    }
    struct weir_told_row *rows = weir_alloc ((ours.count + 1) * sizeof rows[0]);
    struct weir_sample *samples =
        weir_alloc ((unknown->count + 1) * WEIR_VECTOR_SAMPLES_MAX * 4 * sizeof samples[0]);
    size_t n = 0;
    size_t used = 0;
    for (size_t i = 0; i < ours.count; i++) {
        if (ask->only && !names_chain (ask->rows, ask->n_rows, &ours.rows[i].chain)) {
            continue;
        }
        rows[n].row = ours.rows[i];
        size_t count = 0;
        if (weir_vector_chain (unknown, &ours.rows[i].chain, &count)
            && used < unknown->count * WEIR_VECTOR_SAMPLES_MAX * 3) {
            rows[n].samples = samples + used;
            rows[n].n_samples = weir_repo_samples (node->repo, &ask->db, &ours.rows[i],
                                                   samples + used, WEIR_VECTOR_SAMPLES_MAX);
            used += rows[n].n_samples;
        }
        n++;
    }
    struct weir_told_row *copy = weir_sync_copy_rows (rows, n);
    *n_rows = n;
    free (rows);
    free (samples);
    weir_vector_fini (&ours);
    return copy;
}

void
sim_do_compare (struct sim *sim, struct sim_node *node, struct sim_event *ask)
{
    if (ask->action.ladder) {
        sim_do_ladder (sim, node, ask);
        return;
    }
    struct sim_event *e = sim_tell_new (node, WEIR_SYNC_COMPARED);
    e->event.ticket = ask->action.ticket;
    bool more = false;
    if (!ask->action.ask) {
        e->event.status = weir_repo_compare (node->repo, &ask->action.db, ask->action.rows,
                                             ask->action.n_rows, &e->ranges, &more, &e->unknown);
    }
    e->event.more = more;
    if (e->event.status == WEIR_OK) {
        e->rows = our_rows (node, &ask->action, &e->unknown, &e->event.n_rows);
    } else {
        sim_fail (sim, "node %u: compare: %s", node->index, weir_status_code (e->event.status));
    }
    sim_watch_allow (sim, node, sim_peer (sim, &ask->action.device)->index, &ask->action.db,
                     &e->ranges);
    sim_tell (sim, e);
}

void
sim_pump (struct sim *sim, struct sim_node *node, struct sim_transfer *t)
{
    if (!t->started) {
        return;
    }
    struct weir_buf runs = { 0 };
    for (;;) {
        struct weir_range range;
        uint64_t seq;
        size_t max;
        while (weir_out_wants (t->out, WEIR_FRAME_BYTES_FIRST, &range, &seq, &max)) {
            uint64_t next = range.to_seq;
            weir_buf_clear (&runs);
            enum weir_status status =
                weir_repo_read (node->repo, &t->db, &range, seq, max, &runs, &next);
            if (status == WEIR_BUSY) {
                t->waits = true; /* for the disk: compared when readable, sent when synced */
                sim_store_dirty (sim, node);
                break;
            }
            if (status != WEIR_OK) {
                sim_fail (sim, "node %u: cannot read what it should send: %s", node->index,
                          weir_status_code (status));
                weir_buf_clear (&runs);
                next = range.to_seq;
            }
            weir_out_bytes (t->out, weir_buf_bytes (&runs), next);
        }
        struct weir_bytes bytes;
        struct sim_event *e = sim_event_new (SIM_FRAME, t->peer);
        if (!weir_out_frame (t->out, sim->now_ms, WEIR_FRAME_BYTES_FIRST, &e->offset, &bytes,
                             &e->digest)) {
            sim_event_free (e);
            break;
        }
        weir_buf_put_bytes (&e->body, bytes);
        e->from = node->index;
        e->session = t->session;
        e->transfer = t->number;
        node->frames++;
        sim_send (sim, e);
    }
    weir_buf_fini (&runs);
    if (t->fed && weir_out_idle (t->out)) {
        t->fed = false;
        struct sim_event *e = sim_tell_new (node, WEIR_SYNC_ACKED);
        e->event.session = t->session;
        e->event.transfer = t->number;
        e->event.idle = true;
        sim_tell (sim, e);
    }
}

static int
range_order (const void *a, const void *b)
{
    const struct weir_log_row *x = a;
    const struct weir_log_row *y = b;
    return (x->position > y->position) - (x->position < y->position);
}

/* In the order of arrival, so that little has to wait for what it builds on at the other side:
 * each range is cut at the rows of the log. */
static void
feed_in_order (struct sim_node *node, struct sim_transfer *t, const struct weir_ranges *ranges,
               const struct weir_id *digest)
{
    struct weir_ranges ordered = { 0 };
    struct weir_log_row *rows = NULL;
    size_t n = 0;
    size_t cap = 0;
    if (ranges->count < 2) {
        weir_out_feed (t->out, ranges, digest);
        return;
    }
    for (size_t i = 0; i < ranges->count; i++) {
        weir_grow (&rows, &cap, n + 1, sizeof rows[0]);
        rows[n].range = ranges->items[i];
        rows[n].position = UINT64_MAX - ranges->count + i;
        struct weir_log_row row;
        uint64_t after = 0;
        while (weir_repo_log_next (node->repo, after, &t->db, &row) == WEIR_OK) {
            after = row.position;
            if (weir_chain_compare (&row.range.chain, &ranges->items[i].chain) == 0
                && row.range.to_seq > ranges->items[i].from_seq
                && row.range.from_seq <= ranges->items[i].from_seq) {
                rows[n].position = row.position; /* where its first entry came */
                break;
            }
        }
        n++;
    }
    qsort (rows, n, sizeof rows[0], range_order);
    for (size_t i = 0; i < n; i++) {
        weir_ranges_add (&ordered, &rows[i].range, &weir_id_zero);
    }
    weir_out_feed (t->out, &ordered, digest);
    weir_ranges_fini (&ordered);
    free (rows);
}

void
sim_do_send (struct sim *sim, struct sim_node *node, struct sim_transfer *t, struct sim_event *ask)
{
    for (size_t i = 0; i < ask->action.ranges.count; i++) {
        const struct weir_range *r = &ask->action.ranges.items[i];
        sim_log (sim, "  %u sends %02x/%04x %llu..%llu to %u", node->index, r->chain.author.b[0],
                 (unsigned) (r->chain.lane & 0xffff), (unsigned long long) r->from_seq,
                 (unsigned long long) r->to_seq, t->peer);
        sim_watch_send (sim, node, t, r);
    }
    feed_in_order (node, t, &ask->action.ranges, &ask->action.digest);
    t->fed = true;
    sim_pump (sim, node, t);
}

static void
on_open (struct sim *sim, struct sim_node *node, const struct weir_sync_action *a)
{
    struct sim_transfer *t = weir_alloc (sizeof *t);
    t->session = a->session;
    t->number = a->transfer;
    t->db = a->db;
    t->peer = sim_peer (sim, &a->device)->index;
    if (a->type == WEIR_SYNC_OPEN_OUT) {
        t->out = weir_out_new (sim->now_ms);
    } else {
        t->in = weir_in_new (a->credit);
    }
    t->next = node->transfers;
    node->transfers = t;
    struct sim_event *e = sim_tell_new (node, WEIR_SYNC_OPENED);
    e->event.session = a->session;
    e->event.transfer = a->transfer;
    sim_tell (sim, e);
}

void
sim_put_missing (struct sim *sim, struct sim_node *node, const struct sim_transfer *t,
                 struct sim_event *e)
{
    struct weir_repo_missing missing[WEIR_WANTS_PER_MESSAGE];
    const struct weir_id *source = &sim->nodes[t->peer].identity.device;
    size_t n =
        !t->gap ? 0
                : weir_repo_missing (node->repo, &t->db, source, missing, WEIR_WANTS_PER_MESSAGE);
    e->message.wants = weir_alloc ((n + 1) * sizeof e->message.wants[0]);
    e->message.n_wants = n;
    for (size_t i = 0; i < n; i++) {
        e->message.wants[i].id = missing[i].id;
        e->message.wants[i].from_seq =
            missing[i].has_from ? missing[i].from_seq : WEIR_SYNC_FROM_UNKNOWN;
    }
}

static void
on_find (struct sim *sim, struct sim_node *node, const struct weir_sync_action *a)
{
    struct sim_event *e = sim_tell_new (node, WEIR_SYNC_FOUND);
    e->event.session = a->session;
    e->event.device = a->device;
    e->event.db = a->db;
    for (size_t i = 0; i < a->message.n_wants; i++) {
        const struct weir_sync_want *want = &a->message.wants[i];
        struct weir_range range;
        if (weir_repo_way_to (node->repo, &a->db, &want->id,
                              want->from_seq != WEIR_SYNC_FROM_UNKNOWN, want->from_seq, &range)
            == WEIR_OK) {
            weir_ranges_add (&e->ranges, &range, &weir_id_zero);
        }
    }
    sim_watch_allow (sim, node, sim_peer (sim, &a->device)->index, &a->db, &e->ranges);
    sim_tell (sim, e);
}

/* Keeps the event: true. */
bool
sim_on_ask (struct sim *sim, struct sim_node *node, struct sim_event *ask)
{
    const struct weir_sync_action *a = &ask->action;
    struct sim_transfer *out = find_transfer (node, a->session, a->transfer, true);
    struct sim_transfer *in = find_transfer (node, a->session, a->transfer, false);
    if (a->type == WEIR_SYNC_COMPARE) {
        sim_flush (sim, node);
        if (weir_kv_synced (node->kv) >= node->flushed) {
            sim_do_compare (sim, node, ask);
            return false;
        }
        weir_grow (&node->compares, &node->compares_cap, node->n_compares + 1,
                   sizeof (struct sim_event *));
        node->compares[node->n_compares++] = ask;
        return true;
    }
    if (a->type == WEIR_SYNC_OPEN_OUT || a->type == WEIR_SYNC_OPEN_IN) {
        on_open (sim, node, a);
    } else if (a->type == WEIR_SYNC_START && out) {
        out->started = true;
        weir_out_limit (out->out, a->credit);
        sim_pump (sim, node, out);
    } else if (a->type == WEIR_SYNC_SEND && out) {
        if (weir_kv_synced (node->kv) < node->flushed || out->n_held > 0) {
            weir_grow (&out->held, &out->held_cap, out->n_held + 1, sizeof (struct sim_event *));
            out->held[out->n_held++] = ask;
            return true;
        }
        sim_do_send (sim, node, out, ask);
    } else if (a->type == WEIR_SYNC_FIND) {
        on_find (sim, node, a);
    } else if (a->type == WEIR_SYNC_STAND && out) {
        sim_on_stand (out, a->stand);
    } else if (a->type == WEIR_SYNC_STOP && (out || in)) {
        sim_drop_transfer (node, out ? out : in);
    }
    return false;
}

/* ---- over the links ---- */

static void
give_up (struct sim *sim, struct sim_node *node, struct sim_transfer *t, enum weir_status status)
{
    struct sim_event *e = sim_tell_new (node, WEIR_SYNC_TRANSFER_LOST);
    e->event.session = t->session;
    e->event.transfer = t->number;
    e->event.status = status;
    sim_tell (sim, e);
    sim_drop_transfer (node, t);
}

/* What was held of a run. */
static void
note_again (struct sim_transfer *t, const struct weir_import_result *result)
{
    struct weir_range range = result->range;
    t->again += result->held;
    if (result->outcome == WEIR_IMPORT_NEW) {
        range.to_seq = range.from_seq;
        range.from_seq -= result->held;
    }
    if (result->held > 0 && range.to_seq > range.from_seq
        && t->held_already.count < WEIR_MARKS_PER_MESSAGE) {
        weir_ranges_add (&t->held_already, &range, &weir_id_zero);
    }
}

static enum weir_status
import_runs (struct sim *sim, struct sim_node *node, struct sim_transfer *t)
{
    const struct weir_id *source = &sim->nodes[t->peer].identity.device;
    for (;;) {
        struct weir_bytes bytes = weir_in_bytes (t->in);
        size_t used = 0;
        if (bytes.len == 0) {
            return WEIR_OK;
        }
        enum weir_status status = weir_run_length (bytes, &used);
        if (status != WEIR_OK) {
            return status == WEIR_PENDING ? WEIR_OK : status;
        }
        struct weir_import_result result = { 0 };
        status = weir_repo_import (node->repo, &t->db, weir_bytes (bytes.data, used), source,
                                   sim_wall (sim, node), &result);
        if (status != WEIR_OK) {
            return status;
        }
        sim_watch_body (sim, node, t, weir_bytes (bytes.data, used), &result);
        weir_in_consume (t->in, used);
        note_again (t, &result);
        if (result.outcome == WEIR_IMPORT_NEW) {
            t->entries += result.range.to_seq - result.range.from_seq;
            sim->stats->forks += result.fork ? 1 : 0;
            const struct sim_node *author = sim_peer (sim, &result.range.chain.author);
            if (result.fork && !author->rolled_back) {
                sim_fail (sim, "P7: node %u wrote one seq twice: it got to %u", author->index,
                          node->index);
            }
            sim_note_acked (node, &t->db, &result.range.tip, true);
        } else if (result.outcome == WEIR_IMPORT_PENDING) {
            t->gap = true;
            sim->stats->pending++;
        } else if (result.outcome == WEIR_IMPORT_HELD) {
            sim_log (sim, "  %u: held already, from %u", node->index, t->peer);
        } else {
            sim->stats->refused++;
            sim_log (sim, "node %u refuses a run: %s", node->index,
                     weir_status_code (result.status));
            bool bad = result.status == WEIR_BAD_RUN || result.status == WEIR_BAD_SIGNATURE;
            if (bad && !t->harmed) {
                sim_fail (sim, "P4: node %u refuses what an honest node sent: %s", node->index,
                          weir_status_code (result.status));
            }
        }
    }
}

void
sim_on_frame (struct sim *sim, struct sim_node *node, const struct sim_event *e)
{
    struct sim_transfer *t = find_transfer (node, e->session, e->transfer, false);
    if (!t) {
        return;
    }
    t->harmed = t->harmed || e->harmed;
    enum weir_status status =
        weir_in_frame (t->in, e->offset, weir_buf_bytes (&e->body), &e->digest);
    if (status == WEIR_EXISTS) {
        return;
    }
    if (status == WEIR_OK) {
        status = import_runs (sim, node, t);
    }
    if (status != WEIR_OK) {
        if (status != WEIR_GAP && !t->harmed) {
            sim_fail (sim, "node %u: frame: %s", node->index, weir_status_code (status));
        }
        give_up (sim, node, t, status);
        return;
    }
    struct weir_id told = weir_in_digest (t->in);
    if (!weir_id_is_zero (&told)) {
        t->told = told;
    }
    if (e->body.len == 0 && !weir_id_is_zero (&told)) {
        struct sim_event *arrived = sim_tell_new (node, WEIR_SYNC_ARRIVED);
        arrived->event.session = t->session;
        arrived->event.transfer = t->number;
        arrived->event.digest = sim_digest (node, &t->db);
        arrived->event.their_digest = told;
        sim_tell (sim, arrived);
    }
    sim_store_dirty (sim, node);
}

void
sim_on_ack (struct sim *sim, struct sim_node *node, const struct sim_event *e)
{
    struct sim_transfer *t = find_transfer (node, e->session, e->transfer, true);
    if (!t) {
        return;
    }
    uint64_t entries = 0;
    if (weir_out_ack (t->out, e->offset, sim->now_ms, &entries) != WEIR_OK) {
        if (!e->harmed) {
            sim_fail (sim, "node %u: an acknowledgement of what was never sent", node->index);
        }
        give_up (sim, node, t, WEIR_BAD_FRAME);
        return;
    }
    struct weir_ranges acked_ranges = weir_out_take_acked (t->out);
    if (!e->harmed) {
        sim_watch_acked (sim, node, t, &acked_ranges);
    }
    weir_ranges_fini (&acked_ranges);
    weir_out_limit (t->out, e->limit);
    sim_pump (sim, node, t);
    struct sim_event *acked = sim_tell_new (node, WEIR_SYNC_ACKED);
    acked->event.session = t->session;
    acked->event.transfer = t->number;
    acked->event.entries = entries;
    acked->event.their_digest = e->digest;
    acked->event.idle = weir_out_idle (t->out);
    t->fed = t->fed && !acked->event.idle;
    sim_tell (sim, acked);
}

void
sim_on_watch (struct sim *sim, struct sim_node *node)
{
    struct sim_transfer *next;
    for (struct sim_transfer *t = node->transfers; t; t = next) {
        next = t->next;
        if (t->out && weir_out_stalled (t->out, sim->now_ms)) {
            give_up (sim, node, t, WEIR_TIMED_OUT);
        }
    }
    struct sim_event *e = sim_event_new (SIM_WATCH, node->index);
    e->epoch = node->epochs[SIM_STORE];
    sim_post (sim, e, sim->now_ms + 1000);
}
