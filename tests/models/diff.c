/* Goal: differences, events and undo on random histories of all containers. Between any two
 * versions: the difference told to a shadow, and applied to a copy, gives the other version. A
 * shadow that is told every event is the document at each step, whatever is imported, checked out
 * or undone. With one writer, undoing all and redoing all is the identity, step by step; with
 * several, what others typed stays. */

#include "tests/models/models.h"
#include "tests/models/shadow.h"

#include <stdlib.h>
#include <string.h>

#define REPLICAS 3u
#define VERSIONS_MAX 24u

struct member {
    struct weir_replica *replica;
    struct shadow shadow;
    struct weir_undo *undo;
    uint64_t events;
};

struct world {
    struct weir_rand rand;
    struct weir_identity device[2];
    struct weir_buf genesis;
    struct member members[REPLICAS];
    size_t count;
    struct weir_heads versions[VERSIONS_MAX]; /* of the first member's log */
    size_t n_versions;
};

static void
ok (enum weir_status status, const struct weir_error *e, const char *what)
{
    model_check (status == WEIR_OK, "%s: %s: %s", what, weir_status_code (status), e->what);
}

static uint64_t
lane (void *context)
{
    struct world *w = context;
    return weir_rand_u64 (&w->rand);
}

static void
on_event (void *context, const struct weir_replica_event *event)
{
    struct member *m = context;
    m->events++;
    shadow_apply (&m->shadow, event->diff);
}

static void
world_begin (struct world *w, uint64_t seed, size_t count)
{
    uint8_t random[32] = { 1 };
    *w = (struct world){ .count = count };
    weir_rand_init (&w->rand, seed);
    weir_crypto_init ();
    for (uint8_t i = 0; i < 2; i++) {
        uint8_t device[32] = { i, 5 };
        weir_identity_init (&w->device[i], device);
    }
    weir_replica_genesis (&w->device[0], random, "model", &w->genesis);
    for (size_t i = 0; i < count; i++) {
        struct weir_error e = { 0 };
        struct weir_replica_options options = {
            .identity = &w->device[i % 2],
            .lane = weir_rand_u64 (&w->rand),
            .genesis = weir_buf_bytes (&w->genesis),
            .trusts_signatures = true,
            .next_lane = lane,
            .context = w,
        };
        ok (weir_replica_new (&w->members[i].replica, &options, &e), &e, "new");
        shadow_init (&w->members[i].shadow);
        weir_replica_subscribe (w->members[i].replica, on_event, &w->members[i]);
    }
}

static void
world_end (struct world *w)
{
    for (size_t i = 0; i < w->count; i++) {
        weir_undo_destroy (&w->members[i].undo);
        weir_replica_destroy (&w->members[i].replica);
        shadow_fini (&w->members[i].shadow);
    }
    for (size_t i = 0; i < w->n_versions; i++) {
        weir_heads_fini (&w->versions[i]);
    }
    for (size_t i = 0; i < 2; i++) {
        weir_identity_fini (&w->device[i]);
    }
    weir_buf_fini (&w->genesis);
}

static void
check_shadow (struct member *m, const char *what)
{
    sketch_check (what, shadow_sketch (&m->shadow), sketch (weir_replica_doc (m->replica)));
}

static void
commit (struct member *m)
{
    struct weir_error e = { 0 };
    ok (weir_replica_commit (m->replica, weir_bytes (NULL, 0), 0, NULL, &e), &e, "commit");
}

static void
sync_one (struct member *from, struct member *to)
{
    struct weir_error e = { 0 };
    struct weir_heads heads = { 0 };
    struct weir_op_vector has = { 0 };
    struct weir_buf blob = { 0 };
    struct weir_export what = { .mode = WEIR_EXPORT_UPDATE, .from = &has };
    weir_replica_log_heads (to->replica, &heads);
    ok (weir_replica_vector (to->replica, &heads, &has, &e), &e, "vector");
    ok (weir_replica_export (from->replica, &what, &blob, &e), &e, "export");
    ok (weir_replica_import (to->replica, weir_buf_bytes (&blob), NULL, &e), &e, "import");
    weir_buf_fini (&blob);
    weir_op_vector_fini (&has);
    weir_heads_fini (&heads);
}

static void
version_keep (struct world *w)
{
    if (w->n_versions < VERSIONS_MAX) {
        weir_replica_log_heads (w->members[0].replica, &w->versions[w->n_versions++]);
    }
}

static json_t *
sketch_at (struct world *w, const struct weir_heads *heads)
{
    struct weir_error e = { 0 };
    struct weir_replica *fork = NULL;
    ok (weir_replica_fork (w->members[0].replica, heads, &fork, &e), &e, "fork");
    json_t *out = sketch (weir_replica_doc (fork));
    weir_replica_destroy (&fork);
    return out;
}

/* From the empty version to a, and on to b: a shadow follows; and a copy at a is made b. */
static void
check_pair (struct world *w, const struct weir_heads *a, const struct weir_heads *b)
{
    struct weir_error e = { 0 };
    struct weir_heads none = { 0 };
    struct weir_replica *r = w->members[0].replica;
    struct weir_replica *copy = NULL;
    struct shadow shadow;
    json_t *diff = NULL;
    shadow_init (&shadow);
    ok (weir_replica_diff (r, &none, a, &diff, &e), &e, "diff from nothing");
    shadow_apply (&shadow, diff);
    json_decref (diff);
    sketch_check ("from nothing", shadow_sketch (&shadow), sketch_at (w, a));
    ok (weir_replica_diff (r, a, b, &diff, &e), &e, "diff");
    shadow_apply (&shadow, diff);
    sketch_check ("told to a shadow", shadow_sketch (&shadow), sketch_at (w, b));
    ok (weir_replica_fork (r, a, &copy, &e), &e, "fork");
    ok (weir_replica_apply_diff (copy, diff, &e), &e, "apply");
    sketch_check ("applied to a copy", sketch (weir_replica_doc (copy)), sketch_at (w, b));
    weir_replica_destroy (&copy);
    json_decref (diff);
    shadow_fini (&shadow);
}

static void
visit (struct world *w, struct member *m)
{
    struct weir_error e = { 0 };
    const struct weir_heads *heads = &w->versions[weir_rand_below (&w->rand, w->n_versions)];
    ok (weir_replica_checkout (m->replica, heads, &e), &e, "checkout");
    check_shadow (m, "events of a checkout");
    ok (weir_replica_attach (m->replica, &e), &e, "attach");
    check_shadow (m, "events of attaching");
    if (weir_rand_below (&w->rand, 2) == 0) {
        json_t *then = sketch_at (w, heads);
        ok (weir_replica_revert_to (m->replica, heads, &e), &e, "revert");
        commit (m);
        sketch_check ("reverted", sketch (weir_replica_doc (m->replica)), then);
        check_shadow (m, "events of a revert");
    }
}

/* Versions and events, with several writers. */
static void
play_versions (uint64_t seed)
{
    struct world w;
    world_begin (&w, seed, 1 + seed % REPLICAS);
    version_keep (&w);
    for (unsigned step = 0; step < 20; step++) {
        struct member *m = &w.members[weir_rand_below (&w.rand, w.count)];
        struct member *other = &w.members[weir_rand_below (&w.rand, w.count)];
        uint64_t what = weir_rand_below (&w.rand, 10);
        if (what < 6) {
            sketch_edit (&w.rand, m->replica);
            commit (m);
        } else if (what < 9 && m != other) {
            sync_one (other, m);
        } else if (m == &w.members[0]) {
            visit (&w, m);
        }
        check_shadow (m, "events");
        version_keep (&w);
    }
    for (unsigned i = 0; i < 3; i++) {
        check_pair (&w, &w.versions[weir_rand_below (&w.rand, w.n_versions)],
                    &w.versions[weir_rand_below (&w.rand, w.n_versions)]);
    }
    world_end (&w);
}

/* All steps one way: each time that something shows, it is the next of what was. */
static void
all_steps (struct member *m, enum weir_status (*step) (struct weir_undo *, struct weir_error *),
           json_t *const *were, size_t n, bool down)
{
    struct weir_error e = { 0 };
    size_t at = down ? n - 1 : 0;
    while (step (m->undo, &e) == WEIR_OK) {
        json_t *now = sketch (weir_replica_doc (m->replica));
        if (json_equal (now, were[at])) {
            json_decref (now); /* a step without effect, as when something moves to where it is */
        } else {
            model_check (down ? at > 0 : at + 1 < n, "a step too many");
            at = down ? at - 1 : at + 1;
            sketch_check (down ? "undone" : "redone", now, json_incref (were[at]));
        }
        check_shadow (m, "events of undo");
    }
    model_check (e.status == WEIR_NOT_FOUND, "%s", e.what);
    model_check (at == (down ? 0 : n - 1), "a step is missing");
}

/* One writer: down all steps and up again. */
static void
play_undo_alone (uint64_t seed)
{
    struct world w;
    json_t *were[12];
    world_begin (&w, seed, 1);
    struct member *m = &w.members[0];
    m->undo = weir_undo_new (m->replica, 0, 0);
    size_t n = 0;
    were[n++] = sketch (weir_replica_doc (m->replica));
    while (n < 8) {
        sketch_edit (&w.rand, m->replica);
        commit (m);
        json_t *now = sketch (weir_replica_doc (m->replica));
        if (json_equal (now, were[n - 1])) {
            json_decref (now);
        } else {
            were[n++] = now;
        }
    }
    for (unsigned round = 0; round < 2; round++) {
        all_steps (m, weir_undo_undo, were, n, true);
        all_steps (m, weir_undo_redo, were, n, false);
    }
    for (size_t i = 0; i < n; i++) {
        json_decref (were[i]);
    }
    world_end (&w);
}

/* How often a letter stands in the text "t". */
static size_t
letters (const struct member *m, char letter)
{
    json_t *all = sketch (weir_replica_doc (m->replica));
    json_t *delta = json_object_get (json_object_get (all, "t"), "$text");
    size_t n = 0;
    for (size_t i = 0; i < json_array_size (delta); i++) {
        const char *s = json_string_value (json_object_get (json_array_get (delta, i), "insert"));
        for (; *s != 0; s++) {
            n += *s == letter;
        }
    }
    json_decref (all);
    return n;
}

static void
type (struct world *w, struct member *m, const char *text)
{
    struct weir_error e = { 0 };
    struct weir_change *change = NULL;
    struct weir_container *t = NULL;
    ok (weir_replica_change (m->replica, &change, &e), &e, "change");
    ok (weir_change_root (change, "t", &weir_container_text, &t, &e), &e, "root");
    uint32_t length = weir_seq_length (weir_container_seq (t));
    uint32_t at = (uint32_t) weir_rand_below (&w->rand, length + 1);
    ok (weir_change_text_insert (change, t, at, weir_bytes_str (text), &e), &e, "type");
    commit (m);
}

/* Two writers of one text, and of everything else: what the other typed is never undone. */
static void
play_undo_together (uint64_t seed)
{
    struct world w;
    struct weir_error e = { 0 };
    size_t typed = 0;
    size_t mine = 0;
    world_begin (&w, seed, 2);
    struct member *m = &w.members[0];
    struct member *other = &w.members[1];
    m->undo = weir_undo_new (m->replica, 0, 0);
    for (unsigned step = 0; step < 16; step++) {
        switch (weir_rand_below (&w.rand, 6)) {
        case 0:
        case 1:
            type (&w, m, "M");
            mine++;
            break;
        case 2:
            type (&w, other, "O");
            typed++;
            sync_one (other, m);
            break;
        case 3:
            sync_one (m, other);
            break;
        case 4:
            weir_ignore (weir_undo_undo (m->undo, &e));
            break;
        default:
            weir_ignore (weir_undo_redo (m->undo, &e));
            break;
        }
        model_check (letters (m, 'O') == typed, "what another typed is gone");
        model_check (letters (m, 'M') == weir_undo_steps (m->undo), "an undo took %zu for %zu",
                     letters (m, 'M'), weir_undo_steps (m->undo));
        check_shadow (m, "events");
    }
    while (weir_undo_undo (m->undo, &e) == WEIR_OK) {
        model_check (letters (m, 'O') == typed, "what another typed is gone");
    }
    model_check (letters (m, 'M') == 0, "own text is left");
    while (weir_undo_redo (m->undo, &e) == WEIR_OK) {
        check_shadow (m, "events of redo");
    }
    /* Anything may happen now, and nothing breaks. */
    for (unsigned step = 0; step < 10; step++) {
        struct member *one = weir_rand_below (&w.rand, 2) == 0 ? m : other;
        sketch_edit (&w.rand, one->replica);
        commit (one);
        sync_one (other, m);
        if (weir_rand_below (&w.rand, 2) == 0) {
            weir_ignore (weir_undo_undo (m->undo, &e));
        } else if (weir_rand_below (&w.rand, 2) == 0) {
            weir_ignore (weir_undo_redo (m->undo, &e));
        }
        sync_one (m, other);
        check_shadow (m, "events among others");
        sketch_check ("both end alike", sketch (weir_replica_doc (m->replica)),
                      sketch (weir_replica_doc (other->replica)));
    }
    world_end (&w);
}

void
weir_model_diff (uint64_t seed)
{
    play_versions (seed);
    play_undo_alone (seed);
    play_undo_together (seed);
}
