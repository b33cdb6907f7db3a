/* Lanes, stretches and steps: how a recorded history is given to an engine, see trace.h. */

#include "bins/bench/trace.h"

#include <stdlib.h>
#include <string.h>

static void
push (uint32_t **items, size_t *count, size_t *cap, uint32_t item)
{
    weir_grow (items, cap, *count + 1, sizeof **items);
    (*items)[(*count)++] = item;
}

/* A walk towards the past, with marks that need no clearing. */
struct walk {
    const struct bench_trace *t;
    uint32_t *seen; /* by transaction: the last walk that saw it */
    uint32_t now;
    uint32_t *todo;
    size_t n_todo;
    size_t cap_todo;
};

static void
walk_push (struct walk *w, const struct bench_txn *txn, uint32_t not_before)
{
    for (size_t i = 0; i < txn->n_parents; i++) {
        uint32_t p = w->t->parents[txn->parents + i];
        if (p >= not_before && w->seen[p] != w->now) {
            w->seen[p] = w->now;
            push (&w->todo, &w->n_todo, &w->cap_todo, p);
        }
    }
}

static bool
is_in_past (struct walk *w, uint32_t txn, uint32_t what)
{
    w->now++;
    w->n_todo = 0;
    walk_push (w, &w->t->txns[txn], what);
    while (w->n_todo > 0 && w->seen[what] != w->now) {
        walk_push (w, &w->t->txns[w->todo[--w->n_todo]], what);
    }
    return w->seen[what] == w->now;
}

/* ---- lanes ---- */

static int
compare_by_seq (const void *a, const void *b, void *context)
{
    const struct bench_txn *txns = context;
    const struct bench_txn *x = &txns[*(const uint32_t *) a];
    const struct bench_txn *y = &txns[*(const uint32_t *) b];
    if (x->agent != y->agent) {
        return x->agent < y->agent ? -1 : 1;
    }
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static void
push_lane (struct bench_trace *t, uint32_t agent)
{
    uint32_t number = 1;
    if (t->n_lanes > 0 && t->lanes[t->n_lanes - 1].agent == agent) {
        number = t->lanes[t->n_lanes - 1].number + 1;
    }
    weir_grow (&t->lanes, &t->cap_lanes, t->n_lanes + 1, sizeof *t->lanes);
    t->lanes[t->n_lanes++] = (struct bench_lane){ agent, number };
}

enum weir_status
bench_trace_set_lanes (struct bench_trace *t, struct weir_error *e)
{
    struct walk w = { .t = t, .seen = weir_alloc (t->n_txns * sizeof *w.seen) };
    uint32_t *order = weir_alloc (t->n_txns * sizeof *order);
    enum weir_status status = WEIR_OK;
    for (uint32_t i = 0; i < t->n_txns; i++) {
        order[i] = i;
    }
    if (t->n_txns > 0) {
        qsort_r (order, t->n_txns, sizeof *order, compare_by_seq, t->txns);
    }
    for (size_t i = 0; i < t->n_txns; i++) {
        struct bench_txn *txn = &t->txns[order[i]];
        const struct bench_txn *last = i > 0 ? &t->txns[order[i - 1]] : NULL;
        bool goes_on = last != NULL && last->agent == txn->agent;
        if (goes_on && last->seq + last->events > txn->seq) {
            status = weir_error_set (e, WEIR_BAD_MESSAGE, NULL, "agent %s has its event %llu twice",
                                     t->agents[txn->agent], (unsigned long long) txn->seq);
            break;
        }
        if (!goes_on || !is_in_past (&w, order[i], order[i - 1])) {
            push_lane (t, txn->agent);
        }
        txn->lane = (uint32_t) t->n_lanes - 1;
    }
    free (order);
    free (w.seen);
    free (w.todo);
    return status;
}

/* ---- stretches ---- */

/* By transaction: which step it is in. */
static uint32_t *
make_stretches (struct bench_plan *plan, const struct bench_trace *t)
{
    uint32_t *step_of = weir_alloc (t->n_txns * sizeof *step_of);
    uint32_t *children = weir_alloc (t->n_txns * sizeof *children);
    uint32_t *next = weir_alloc (t->n_txns * sizeof *next); /* of the same stretch */
    for (size_t i = 0; i < t->n_parents; i++) {
        children[t->parents[i]]++;
    }
    for (uint32_t i = 0; i < t->n_txns; i++) {
        const struct bench_txn *txn = &t->txns[i];
        uint32_t first = txn->n_parents > 0 ? t->parents[txn->parents] : BENCH_TRACE_NONE;
        next[i] = BENCH_TRACE_NONE;
        if (txn->n_parents == 1 && children[first] == 1 && t->txns[first].lane == txn->lane) {
            next[first] = i;
            step_of[i] = step_of[first];
            plan->steps[step_of[i]].n_txns++;
            plan->steps[step_of[i]].events += txn->events;
            continue;
        }
        step_of[i] = (uint32_t) plan->n_steps;
        weir_grow (&plan->steps, &plan->cap_steps, plan->n_steps + 1, sizeof *plan->steps);
        plan->steps[plan->n_steps++] = (struct bench_step){ .lane = txn->lane,
                                                            .copy_of = BENCH_TRACE_NONE,
                                                            .events = txn->events,
                                                            .txns = i,
                                                            .n_txns = 1 };
    }
    for (size_t s = 0; s < plan->n_steps; s++) {
        struct bench_step *step = &plan->steps[s];
        const struct bench_txn *head = &t->txns[step->txns];
        uint32_t txn = (uint32_t) step->txns;
        step->parents = plan->n_numbers;
        step->n_parents = head->n_parents;
        for (size_t i = 0; i < head->n_parents; i++) {
            push (&plan->numbers, &plan->n_numbers, &plan->cap_numbers,
                  step_of[t->parents[head->parents + i]]);
        }
        step->txns = plan->n_txns;
        for (; txn != BENCH_TRACE_NONE; txn = next[txn]) {
            push (&plan->txns, &plan->n_txns, &plan->cap_txns, txn);
        }
    }
    free (children);
    free (next);
    return step_of;
}

/* ---- documents ---- */

/* Which steps a lane's document holds: a bit each; NULL while there is none. */
struct documents {
    uint8_t **held;
    size_t bytes;
    uint32_t *todo;
    size_t n_todo;
    size_t cap_todo;
};

static bool
has (const uint8_t *held, uint32_t step)
{
    return (held[step / 8] >> step % 8 & 1) != 0;
}

static void
add (uint8_t *held, uint32_t step)
{
    held[step / 8] = (uint8_t) (held[step / 8] | 1u << step % 8);
}

/* Adds the past of a step to `held`; what was missing goes to the plan's numbers, unless
 * `is_counted` is false. */
static void
add_past (struct documents *d, struct bench_plan *plan, uint32_t step, uint8_t *held,
          bool is_counted)
{
    const struct bench_step *s = &plan->steps[step];
    for (size_t i = 0; i < s->n_parents; i++) {
        push (&d->todo, &d->n_todo, &d->cap_todo, plan->numbers[s->parents + i]);
    }
    while (d->n_todo > 0) {
        uint32_t at = d->todo[--d->n_todo];
        if (has (held, at)) {
            continue;
        }
        add (held, at);
        if (is_counted) {
            push (&plan->numbers, &plan->n_numbers, &plan->cap_numbers, at);
            plan->steps[at].is_sent = true;
        }
        s = &plan->steps[at];
        for (size_t i = 0; i < s->n_parents; i++) {
            push (&d->todo, &d->n_todo, &d->cap_todo, plan->numbers[s->parents + i]);
        }
    }
}

/* The lane whose document holds the most of `past` and nothing else. */
static uint32_t
find_copy (const struct documents *d, size_t n_lanes, const uint8_t *past)
{
    uint32_t best = BENCH_TRACE_NONE;
    size_t most = 0;
    for (uint32_t lane = 0; lane < n_lanes; lane++) {
        size_t n = 0;
        size_t i = 0;
        for (; d->held[lane] != NULL && i < d->bytes; i++) {
            if ((d->held[lane][i] & ~past[i]) != 0) {
                break;
            }
            n += (size_t) __builtin_popcount (d->held[lane][i]);
        }
        if (i == d->bytes && n > most) {
            most = n;
            best = lane;
        }
    }
    return best;
}

static int
compare_u32 (const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *) a;
    uint32_t y = *(const uint32_t *) b;
    return x < y ? -1 : x > y;
}

static void
plan_step (struct documents *d, struct bench_plan *plan, uint32_t number, size_t n_lanes)
{
    struct bench_step *step = &plan->steps[number];
    uint8_t **held = &d->held[step->lane];
    step->is_first = *held == NULL;
    if (*held == NULL) {
        uint8_t *past = weir_alloc (d->bytes);
        add_past (d, plan, number, past, false);
        step->copy_of = find_copy (d, n_lanes, past);
        *held = past;
        if (step->copy_of != BENCH_TRACE_NONE) {
            memcpy (past, d->held[step->copy_of], d->bytes);
        } else {
            memset (past, 0, d->bytes);
        }
    }
    step->imports = plan->n_numbers;
    add_past (d, plan, number, *held, true);
    step->n_imports = plan->n_numbers - step->imports;
    if (step->n_imports > 0) {
        qsort (plan->numbers + step->imports, step->n_imports, sizeof *plan->numbers, compare_u32);
    }
    add (*held, number);
}

/* Behind its last use a lane's document goes. */
static void
plan_drops (struct bench_plan *plan, size_t n_lanes)
{
    uint32_t *last = weir_alloc (n_lanes * sizeof *last);
    for (uint32_t i = 0; i < plan->n_steps; i++) {
        last[plan->steps[i].lane] = i;
        if (plan->steps[i].copy_of != BENCH_TRACE_NONE) {
            last[plan->steps[i].copy_of] = i;
        }
    }
    for (uint32_t lane = 0; lane < n_lanes; lane++) {
        plan->steps[last[lane]].n_drops++;
    }
    size_t at = plan->n_numbers;
    for (size_t i = 0; i < plan->n_steps; i++) {
        plan->steps[i].drops = at;
        at += plan->steps[i].n_drops;
        plan->steps[i].n_drops = 0;
    }
    weir_grow (&plan->numbers, &plan->cap_numbers, at, sizeof *plan->numbers);
    plan->n_numbers = at;
    for (uint32_t lane = 0; lane < n_lanes; lane++) {
        struct bench_step *step = &plan->steps[last[lane]];
        plan->numbers[step->drops + step->n_drops++] = lane;
    }
    free (last);
}

void
bench_plan_make (struct bench_plan *out, const struct bench_trace *t)
{
    struct bench_plan plan = { 0 };
    free (make_stretches (&plan, t));
    struct documents d = { .bytes = (plan.n_steps + 7) / 8,
                           .held = weir_alloc (t->n_lanes * sizeof *d.held) };
    for (uint32_t i = 0; i < plan.n_steps; i++) {
        plan_step (&d, &plan, i, t->n_lanes);
    }
    plan_drops (&plan, t->n_lanes);
    for (size_t lane = 0; lane < t->n_lanes; lane++) {
        free (d.held[lane]);
    }
    free (d.held);
    free (d.todo);
    *out = plan;
}

void
bench_plan_fini (struct bench_plan *self)
{
    free (self->steps);
    free (self->txns);
    free (self->numbers);
    memset (self, 0, sizeof *self);
}
