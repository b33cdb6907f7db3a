/* Owns undo and redo. A step is one's own commits between two versions; what takes it back is
 * their difference the other way round, carried over what others wrote since (the step's
 * footprint), and applied as new ops. Steps below then stand on a version that nobody saw: it
 * has the values of the one they were made at, so they need no more than the footprints of those
 * above, carried down. */

#include "store/replica/undo_parts.h"
#include "store/replica/events.h"

#include <stdlib.h>
#include <string.h>

#define EXCLUDED_MAX 16u

/* Own commits with nothing of others between them. */
struct span {
    struct weir_heads before;
    struct weir_heads after;
    struct weir_footprint since; /* what others wrote behind it, before the next span */
    uint64_t clock_ms;           /* of its last commit; 0: unknown */
    bool is_closed;              /* others wrote since */
};

struct step {
    struct span *spans; /* more than one only in a group */
    size_t count;
    size_t cap;
};

struct steps {
    struct step *items;
    size_t count;
    size_t cap;
};

struct weir_undo {
    struct weir_replica *replica;
    uint64_t merge_ms;
    size_t steps_max;
    struct steps undo;
    struct steps redo;
    struct weir_map *stands_for; /* id -> struct weir_id: containers made again */
    json_t *nodes_for;           /* name -> name: nodes of trees made again */
    struct weir_chain chain;     /* that the steps were written to */
    char *excluded[EXCLUDED_MAX];
    size_t n_excluded;
    uint32_t groups; /* open, one in another */
    bool group_has_step;
    bool is_working;    /* its own commit is being made: the event only tells where */
    struct span worked; /* from the first to the last of those commits */
    bool has_worked;
    /* The version that the next step down ends at, most likely: made once. */
    struct weir_replica_peek view;
    struct weir_heads view_heads;
};

/* ---- heads ---- */

static void
heads_copy (struct weir_heads *to, const struct weir_heads *from)
{
    weir_heads_fini (to);
    for (size_t i = 0; i < from->count; i++) {
        weir_heads_put (to, &from->items[i]);
    }
}

static bool
heads_equal (const struct weir_heads *a, const struct weir_heads *b)
{
    bool same = a->count == b->count;
    for (size_t i = 0; same && i < a->count; i++) {
        same = weir_id_equal (&a->items[i], &b->items[i]);
    }
    return same;
}

/* ---- steps ---- */

static void
span_fini (struct span *s)
{
    weir_heads_fini (&s->before);
    weir_heads_fini (&s->after);
    weir_footprint_fini (&s->since);
}

static void
step_fini (struct step *s)
{
    for (size_t i = 0; i < s->count; i++) {
        span_fini (&s->spans[i]);
    }
    free (s->spans);
    *s = (struct step){ .spans = NULL };
}

static void
steps_clear (struct steps *s)
{
    for (size_t i = 0; i < s->count; i++) {
        step_fini (&s->items[i]);
    }
    free (s->items);
    *s = (struct steps){ .items = NULL };
}

static struct step *
steps_top (struct steps *s)
{
    return s->count > 0 ? &s->items[s->count - 1] : NULL;
}

/* Takes the span over. */
static void
step_add (struct step *step, struct span *span)
{
    weir_grow (&step->spans, &step->cap, step->count + 1, sizeof *step->spans);
    step->spans[step->count++] = *span;
    *span = (struct span){ .clock_ms = 0 };
}

static void
steps_push (struct steps *s, struct span *span, size_t max)
{
    if (max > 0 && s->count == max) {
        step_fini (&s->items[0]);
        s->count--;
        memmove (&s->items[0], &s->items[1], s->count * sizeof *s->items);
    }
    weir_grow (&s->items, &s->cap, s->count + 1, sizeof *s->items);
    s->items[s->count] = (struct step){ .spans = NULL };
    step_add (&s->items[s->count++], span);
}

static void
view_drop (struct weir_undo *self)
{
    weir_replica_peek_fini (&self->view);
    weir_heads_fini (&self->view_heads);
}

static void
forget (struct weir_undo *self)
{
    steps_clear (&self->undo);
    steps_clear (&self->redo);
    view_drop (self);
    self->group_has_step = false;
    self->chain = self->replica->chain;
}

/* ---- what happens ---- */

static uint64_t
clock_of (const struct weir_undo *self, const struct weir_heads *heads)
{
    const struct weir_log *log = &self->replica->log;
    uint32_t number =
        heads->count == 1 ? weir_graph_find (log->graph, &heads->items[0]) : WEIR_GRAPH_NONE;
    return number == WEIR_GRAPH_NONE ? 0 : log->rows[number].clock_ms;
}

/* Others' writes lie between the step on top and now. */
static void
steps_foreign (struct steps *s, const json_t *diff)
{
    struct step *top = steps_top (s);
    if (top != NULL) {
        struct span *last = &top->spans[top->count - 1];
        weir_footprint_add (&last->since, diff);
        last->is_closed = true;
    }
}

static void
own (struct weir_undo *self, const struct weir_replica_event *event)
{
    struct step *top = steps_top (&self->undo);
    struct span *last = top != NULL ? &top->spans[top->count - 1] : NULL;
    struct span span = { .clock_ms = clock_of (self, event->to) };
    bool in_time = last != NULL && last->clock_ms != 0 && span.clock_ms >= last->clock_ms
                   && span.clock_ms - last->clock_ms <= self->merge_ms && self->merge_ms > 0
                   && !last->is_closed;
    bool joins = last != NULL && (self->groups > 0 ? self->group_has_step : in_time);
    steps_clear (&self->redo);
    if (joins && !last->is_closed && heads_equal (&last->after, event->from)) {
        heads_copy (&last->after, event->to);
        last->clock_ms = span.clock_ms;
        return;
    }
    heads_copy (&span.before, event->from);
    heads_copy (&span.after, event->to);
    if (joins) {
        step_add (top, &span);
    } else {
        steps_push (&self->undo, &span, self->steps_max);
    }
    self->group_has_step = self->groups > 0;
}

static bool
is_excluded (const struct weir_undo *self, const char *origin)
{
    for (size_t i = 0; i < self->n_excluded; i++) {
        if (strncmp (origin, self->excluded[i], strlen (self->excluded[i])) == 0) {
            return true;
        }
    }
    return false;
}

static void
on_event (void *context, const struct weir_replica_event *event)
{
    struct weir_undo *self = context;
    if (event->by == WEIR_BY_CHECKOUT
        || weir_chain_compare (&self->chain, &self->replica->chain) != 0) {
        forget (self);
    }
    if (event->by == WEIR_BY_CHECKOUT) {
        return;
    }
    if (self->is_working) {
        if (!self->has_worked) {
            heads_copy (&self->worked.before, event->from);
        }
        heads_copy (&self->worked.after, event->to);
        self->worked.clock_ms = clock_of (self, event->to);
        self->has_worked = true;
    } else if (event->by == WEIR_BY_IMPORT || is_excluded (self, event->origin)) {
        steps_foreign (&self->undo, event->diff);
        steps_foreign (&self->redo, event->diff);
    } else {
        own (self, event);
    }
}

/* ---- going back ---- */

/* What takes the span back, as of the version behind it. */
static enum weir_status
span_inverse (struct weir_undo *self, const struct span *span, json_t **out, struct weir_error *e)
{
    struct weir_replica_peek after = { .doc = NULL };
    struct weir_replica_peek before = { .doc = NULL };
    enum weir_status status = WEIR_OK;
    if (self->view.doc != NULL && heads_equal (&self->view_heads, &span->after)) {
        after.doc = self->view.doc;
    } else {
        status = weir_replica_peek (self->replica, &span->after, &after, e);
    }
    if (status == WEIR_OK) {
        status = weir_replica_peek_made (self->replica, &span->before, &before, e);
    }
    if (status == WEIR_OK) {
        status = weir_doc_diff (after.doc, before.doc, out, e);
    }
    weir_replica_peek_fini (&after);
    if (status == WEIR_OK) {
        view_drop (self);
        self->view = before;
        before = (struct weir_replica_peek){ .doc = NULL };
        heads_copy (&self->view_heads, &span->before);
    }
    weir_replica_peek_fini (&before);
    return status;
}

static void
id_free (void *id)
{
    free (id);
}

/* What was made stands for what it was made after; both may still be open, and go by ids that
 * change with the commit. */
static void
stand_for (struct weir_undo *self, const struct weir_diff_made *made)
{
    const struct weir_id *now = &made->now->id;
    if (!weir_id_equal (&made->old, now)) {
        struct weir_id *id = weir_alloc (sizeof *id);
        *id = *now;
        free (weir_map_put (self->stands_for, weir_id_bytes (&made->old), id));
    }
    if (made->is_node) {
        struct weir_op_id_text old = weir_op_id_text (&made->node);
        json_object_set_new (self->nodes_for, old.s,
                             json_string (weir_op_id_text (&made->now->made).s));
    }
}

static void
steps_rename (struct steps *s, const struct weir_diff_made *made)
{
    struct weir_op_id_text old = weir_op_id_text (&made->node);
    struct weir_op_id_text now = weir_op_id_text (&made->now->made);
    for (size_t i = 0; i < s->count; i++) {
        for (size_t k = 0; k < s->items[i].count; k++) {
            struct weir_footprint *since = &s->items[i].spans[k].since;
            weir_footprint_rename (since, &made->old, &made->now->id);
            if (made->is_node) {
                weir_footprint_rename_node (since, old.s, now.s);
            }
        }
    }
}

struct made {
    struct weir_diff_made *items;
    size_t count;
    size_t cap;
};

/* As new ops; the children that it makes are noted, for their ids come with the commit. */
static enum weir_status
inverse_apply (struct weir_undo *self, const json_t *inverse, struct made *made,
               struct weir_error *e)
{
    struct weir_diff_apply apply = weir_replica_applying (self->replica, e);
    apply.is_lenient = true;
    apply.stands_for = self->stands_for;
    apply.nodes_for = self->nodes_for;
    enum weir_status status = weir_diff_apply (&apply, inverse);
    for (size_t i = 0; i < apply.n_made; i++) {
        weir_grow (&made->items, &made->cap, made->count + 1, sizeof *made->items);
        made->items[made->count++] = apply.made[i];
        stand_for (self, &apply.made[i]);
    }
    weir_diff_apply_fini (&apply);
    return status;
}

/* The spans of a step, last to first, as one commit. `inverses` has one for each. */
static enum weir_status
step_take_back (struct weir_undo *self, struct step *step, json_t *const *inverses,
                struct steps *below, struct made *made, struct weir_error *e)
{
    enum weir_status status = WEIR_OK;
    for (size_t i = step->count; i-- > 0 && status == WEIR_OK;) {
        struct weir_footprint *since = &step->spans[i].since;
        struct step *next = steps_top (below);
        struct span *down = i > 0          ? &step->spans[i - 1]
                            : next != NULL ? &next->spans[next->count - 1]
                                           : NULL;
        json_t *now = weir_footprint_over (since, inverses[i], self->stands_for, self->nodes_for);
        status = inverse_apply (self, now, made, e);
        json_decref (now);
        weir_footprint_carry (since, inverses[i], self->stands_for);
        if (down != NULL) {
            down->is_closed = down->is_closed || since->feet != NULL;
            weir_footprint_join (&down->since, since);
        }
    }
    return status;
}

static enum weir_status
work (struct weir_undo *self, struct steps *from, struct steps *to, const char *origin,
      struct weir_error *e)
{
    struct weir_replica *replica = self->replica;
    struct made made = { .items = NULL };
    bool taken = false;
    enum weir_status status = weir_replica_settle (replica, e);
    if (status == WEIR_OK && steps_top (from) == NULL) {
        status = weir_error_set (e, WEIR_NOT_FOUND, NULL, "there is no step to %s", origin);
    }
    if (status != WEIR_OK) {
        return status;
    }
    struct step step = *steps_top (from);
    json_t **inverses = weir_alloc (step.count * sizeof (json_t *));
    for (size_t i = step.count; i-- > 0 && status == WEIR_OK;) {
        status = span_inverse (self, &step.spans[i], &inverses[i], e);
    }
    if (status == WEIR_OK) {
        from->count--;
        taken = true;
        self->is_working = true;
        self->has_worked = false;
        weir_replica_set_origin (replica, origin);
        status = step_take_back (self, &step, inverses, from, &made, e);
        enum weir_status committed =
            weir_replica_commit (replica, weir_bytes (NULL, 0), 0, NULL, e);
        status = status == WEIR_OK ? committed : status;
        self->is_working = false;
        weir_replica_set_origin (replica, NULL);
        for (size_t i = 0; i < made.count; i++) {
            stand_for (self, &made.items[i]);
            steps_rename (&self->undo, &made.items[i]);
            steps_rename (&self->redo, &made.items[i]);
        }
        if (self->has_worked) {
            steps_push (to, &self->worked, self->steps_max);
        }
        self->group_has_step = false;
    }
    for (size_t i = 0; i < step.count; i++) {
        json_decref (inverses[i]);
    }
    if (taken) {
        step_fini (&step);
    }
    free (inverses);
    free (made.items);
    return status;
}

/* ---- the handle ---- */

struct weir_undo *
weir_undo_new (struct weir_replica *replica, uint64_t merge_ms, size_t steps_max)
{
    struct weir_undo *self = weir_alloc (sizeof *self);
    self->replica = replica;
    self->merge_ms = merge_ms;
    self->steps_max = steps_max;
    self->stands_for = weir_map_new ();
    self->nodes_for = json_object ();
    self->chain = replica->chain;
    weir_replica_listen (replica, on_event, self);
    return self;
}

void
weir_undo_destroy (struct weir_undo **self_p)
{
    struct weir_undo *self = *self_p;
    *self_p = NULL;
    if (self == NULL) {
        return;
    }
    weir_replica_unlisten (self->replica, on_event, self);
    forget (self);
    span_fini (&self->worked);
    weir_map_destroy (&self->stands_for, id_free);
    json_decref (self->nodes_for);
    for (size_t i = 0; i < self->n_excluded; i++) {
        free (self->excluded[i]);
    }
    free (self);
}

void
weir_undo_exclude (struct weir_undo *self, const char *origin_prefix)
{
    weir_assert (self->n_excluded < EXCLUDED_MAX);
    self->excluded[self->n_excluded++] = weir_strdup (origin_prefix);
}

void
weir_undo_group_start (struct weir_undo *self)
{
    weir_ignore (weir_replica_settle (self->replica, NULL));
    self->group_has_step = self->groups++ > 0 && self->group_has_step;
}

void
weir_undo_group_end (struct weir_undo *self)
{
    weir_ignore (weir_replica_settle (self->replica, NULL));
    if (self->groups > 0) {
        self->groups--;
    }
}

/* What is open becomes a step when it is committed. */
size_t
weir_undo_steps (const struct weir_undo *self)
{
    return self->undo.count;
}

size_t
weir_undo_redo_steps (const struct weir_undo *self)
{
    return self->redo.count;
}

enum weir_status
weir_undo_undo (struct weir_undo *self, struct weir_error *e)
{
    return work (self, &self->undo, &self->redo, "undo", e);
}

enum weir_status
weir_undo_redo (struct weir_undo *self, struct weir_error *e)
{
    return work (self, &self->redo, &self->undo, "redo", e);
}
