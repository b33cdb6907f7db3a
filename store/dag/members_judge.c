/* Judges views: which settings entries count in a version, and what that makes of each device's
 * right. The rules stand in members_parts.h; the steps below carry their numbers. */

#include "store/dag/members_parts.h"

#include <stdlib.h>
#include <string.h>

/* ---- the rules ---- */

static bool
is_lowering (const struct weir_members *self, const struct weir_judged *j, uint32_t change)
{
    return change < j->n_changes && j->applied[change] && self->changes[change].lowering;
}

static bool
is_grant (const struct weir_members *self, const struct weir_judged *j, uint32_t change)
{
    return change < j->n_changes && j->applied[change] && !self->changes[change].lowering;
}

static bool
is_own (const struct weir_members *self, const struct weir_settings_change *change)
{
    return self->entries[change->entry].device == change->device;
}

/* Was it judged when entries of `level` are: at a lesser level, or at this one and its own? */
static bool
judged_before (const struct weir_members *self, const struct weir_judged *j,
               const struct weir_settings_change *lowering, int32_t level)
{
    int32_t of = j->levels[lowering->entry];
    return of < level || (of == level && is_own (self, lowering));
}

/* Where somebody stands who looks at grants: an entry, or the top of a view. */
struct place {
    const struct weir_view *past;
    uint32_t entry; /* UINT32_MAX: nothing was made on top of the place yet */
    int32_t level;
};

/* Is the device's grant, changes.items[index], reduced below `right` by a lowering in the past of
 * the place, judged before? Looked for from the grant on: what takes it is mostly the next. */
static bool
is_taken (const struct weir_members *self, const struct weir_judged *j,
          const struct weir_device *device, size_t index, const struct place *at,
          enum weir_right right)
{
    const struct weir_settings_change *g = &self->changes[device->changes.items[index]];
    for (size_t n = 1; n < device->changes.count; n++) {
        uint32_t change = device->changes.items[(index + n) % device->changes.count];
        if (!is_lowering (self, j, change)) {
            continue;
        }
        const struct weir_settings_change *l = &self->changes[change];
        if (l->right < (uint8_t) right && weir_members_view_has (at->past, l->entry)
            && judged_before (self, j, l, at->level)
            && !weir_members_is_past (self, l->entry, g->entry)) {
            return true;
        }
    }
    return false;
}

static int32_t
grant_level (const struct weir_members *self, const struct weir_judged *j,
             const struct weir_settings_change *g)
{
    /* The genesis author's own grant stands before all. */
    return g->entry == 0 && is_own (self, g) ? -1 : j->levels[g->entry];
}

/* Step 1, for one level. */
static bool
is_supported (const struct weir_members *self, const struct weir_judged *j, uint32_t author,
              const struct place *at)
{
    enum weir_right needed = weir_members_needed (self->entries[at->entry].leaves);
    const struct weir_device *device = &self->devices[author];
    for (size_t i = 0; i < device->changes.count; i++) {
        uint32_t change = device->changes.items[i];
        if (!is_grant (self, j, change)) {
            continue;
        }
        const struct weir_settings_change *g = &self->changes[change];
        if (g->right >= (uint8_t) needed && weir_members_view_has (at->past, g->entry)
            && grant_level (self, j, g) == at->level - 1
            && !is_taken (self, j, device, i, at, needed)) {
            return true;
        }
    }
    return false;
}

/* Step 2: by lesser levels, or by its author's own (`own`) lowerings. */
static bool
is_voided (const struct weir_members *self, const struct weir_judged *j, uint32_t ordinal, bool own)
{
    const struct weir_settings_entry *entry = &self->entries[ordinal];
    const struct weir_device *device = &self->devices[entry->device];
    for (size_t i = 0; i < device->changes.count; i++) {
        uint32_t change = device->changes.items[i];
        if (!is_lowering (self, j, change)) {
            continue;
        }
        const struct weir_settings_change *l = &self->changes[change];
        if (is_own (self, l) == own && l->entry != ordinal
            && judged_before (self, j, l, j->levels[ordinal])
            && !weir_members_is_past (self, l->entry, ordinal)
            && !weir_members_is_past (self, ordinal, l->entry)) {
            return true;
        }
    }
    return false;
}

/* Step 4. */
static bool
may_lower (const struct weir_members *self, const struct weir_judged *j, uint32_t device,
           const struct place *at)
{
    const struct weir_device *d = &self->devices[device];
    for (size_t i = 0; i < d->changes.count; i++) {
        uint32_t change = d->changes.items[i];
        if (!is_grant (self, j, change)) {
            continue;
        }
        const struct weir_settings_change *g = &self->changes[change];
        bool behind = at->entry != UINT32_MAX && weir_members_is_past (self, at->entry, g->entry);
        if (!behind && grant_level (self, j, g) < at->level
            && !is_taken (self, j, d, i, at, WEIR_RIGHT_CARRY)) {
            return false;
        }
    }
    return true;
}

static struct place
place_of (const struct weir_members *self, const struct weir_judged *j, uint32_t ordinal)
{
    return (struct place){
        .past = self->views[self->entries[ordinal].view],
        .entry = ordinal,
        .level = j->levels[ordinal],
    };
}

/* The author's lowering of itself, if the entry says so. */
static void
apply_own (const struct weir_members *self, struct weir_judged *j, uint32_t ordinal)
{
    const struct weir_settings_entry *entry = &self->entries[ordinal];
    for (uint32_t i = entry->change; i < entry->change + entry->n_changes; i++) {
        if (self->changes[i].lowering && self->changes[i].device == entry->device) {
            j->applied[i] = 1;
        }
    }
}

/* Steps 3 and 4 for all other changes. */
static void
apply_others (const struct weir_members *self, struct weir_judged *j, uint32_t ordinal)
{
    const struct weir_settings_entry *entry = &self->entries[ordinal];
    struct place at = place_of (self, j, ordinal);
    j->effective[ordinal] = 1;
    for (uint32_t i = entry->change; i < entry->change + entry->n_changes; i++) {
        const struct weir_settings_change *change = &self->changes[i];
        if (!change->lowering) {
            j->applied[i] = change->right > WEIR_RIGHT_NONE; /* "removed" a stranger: nothing */
        } else if (change->device != entry->device) {
            j->applied[i] = may_lower (self, j, change->device, &at);
        }
    }
}

/* ---- level by level ---- */

struct court {
    const struct weir_members *self;
    struct weir_judged *j;
    const struct weir_view *view;
    struct weir_numbers authors; /* who was granted a right at the level before */
    uint8_t *is_author;          /* by device: in the list above */
    struct weir_numbers entries; /* of this level */
};

static void
numbers_add (struct weir_numbers *n, uint32_t number)
{
    weir_grow (&n->items, &n->cap, n->count + 1, sizeof n->items[0]);
    n->items[n->count++] = number;
}

/* Supported at this level and not void by lesser ones: those stand in `entries`, with their own
 * lowerings applied. A device's entries come with their pasts first, as its own lowerings need;
 * other devices' own lowerings say nothing about it. */
static void
hear_author (struct court *c, uint32_t device, int32_t level)
{
    const struct weir_members *self = c->self;
    const struct weir_numbers *written = &self->devices[device].entries;
    for (size_t i = 0; i < written->count; i++) {
        uint32_t ordinal = written->items[i];
        if (!weir_members_view_has (c->view, ordinal) || !self->entries[ordinal].stored
            || c->j->levels[ordinal] != WEIR_LEVEL_NONE) {
            continue;
        }
        struct place at = { self->views[self->entries[ordinal].view], ordinal, level };
        if (!is_supported (self, c->j, device, &at)) {
            continue;
        }
        c->j->levels[ordinal] = level;
        if (!is_voided (self, c->j, ordinal, false)) {
            apply_own (self, c->j, ordinal);
            numbers_add (&c->entries, ordinal);
        }
    }
}

/* The grants that took effect at this level make the authors of the next: whoever is a member may
 * leave. */
static void
call_authors (struct court *c)
{
    const struct weir_members *self = c->self;
    for (size_t i = 0; i < c->authors.count; i++) {
        c->is_author[c->authors.items[i]] = 0;
    }
    c->authors.count = 0;
    for (size_t i = 0; i < c->entries.count; i++) {
        const struct weir_settings_entry *entry = &self->entries[c->entries.items[i]];
        for (uint32_t n = entry->change; n < entry->change + entry->n_changes; n++) {
            uint32_t device = self->changes[n].device;
            if (c->j->applied[n] && !self->changes[n].lowering && !c->is_author[device]) {
                c->is_author[device] = 1;
                numbers_add (&c->authors, device);
            }
        }
    }
    c->entries.count = 0;
}

/* The genesis needs nobody's leave, and its author is admin by it. */
static void
judge_genesis (struct weir_judged *j, const struct weir_members *self)
{
    const struct weir_settings_entry *genesis = &self->entries[0];
    j->levels[0] = 0;
    j->effective[0] = 1;
    for (uint32_t i = genesis->change; i < genesis->change + genesis->n_changes; i++) {
        j->applied[i] = self->changes[i].right > WEIR_RIGHT_NONE;
    }
}

static void
judge_levels (struct weir_members *self, struct weir_judged *j, const struct weir_view *view)
{
    struct court c = { .self = self, .j = j, .view = view };
    c.is_author = weir_alloc (self->n_devices);
    judge_genesis (j, self);
    numbers_add (&c.authors, self->entries[0].device);
    c.is_author[self->entries[0].device] = 1;
    numbers_add (&c.entries, 0);
    for (int32_t level = 0; c.authors.count > 0; level++) {
        size_t genesis = level == 0 ? 1 : 0;
        for (size_t i = 0; i < c.authors.count; i++) {
            hear_author (&c, c.authors.items[i], level);
        }
        /* Who is void by own lowerings is settled before anything else takes effect. */
        size_t n = genesis;
        for (size_t i = genesis; i < c.entries.count; i++) {
            if (!is_voided (self, j, c.entries.items[i], true)) {
                c.entries.items[n++] = c.entries.items[i];
            }
        }
        c.entries.count = n;
        for (size_t i = genesis; i < n; i++) {
            apply_others (self, j, c.entries.items[i]);
        }
        call_authors (&c);
    }
    free (c.authors.items);
    free (c.entries.items);
    free (c.is_author);
}

/* ---- one settings head: one step from its past ---- */

/* The least level at which somebody is supported at a place, or WEIR_LEVEL_NONE. */
static int32_t
least_level (const struct weir_members *self, const struct weir_judged *j, uint32_t author,
             enum weir_right needed, struct place at)
{
    int32_t best = WEIR_LEVEL_NONE;
    const struct weir_device *device = &self->devices[author];
    for (size_t i = 0; i < device->changes.count; i++) {
        uint32_t change = device->changes.items[i];
        if (!is_grant (self, j, change) || self->changes[change].right < (uint8_t) needed
            || !weir_members_view_has (at.past, self->changes[change].entry)) {
            continue;
        }
        at.level = grant_level (self, j, &self->changes[change]) + 1;
        if ((best == WEIR_LEVEL_NONE || at.level < best)
            && !is_taken (self, j, device, i, &at, needed)) {
            best = at.level;
        }
    }
    return best;
}

/* What the head says of a device comes after all else that was said of it: a grant knows every
 * lowering, and is worth its right; a lowering is known to no grant, and caps them all. */
static void
step_rights (const struct weir_members *self, struct weir_judged *j,
             const struct weir_settings_entry *head)
{
    for (uint32_t i = head->change; i < head->change + head->n_changes; i++) {
        const struct weir_settings_change *change = &self->changes[i];
        int8_t *right = &j->rights[change->device];
        if (j->applied[i] && *right >= 0
            && (change->lowering ? change->right < *right : change->right > *right)) {
            *right = (int8_t) change->right;
        }
    }
}

/* The head has all the rest in its past: nothing of the rest is concurrent with it, so nothing
 * of it is judged anew. */
static void
judge_step (struct weir_members *self, struct weir_judged *j, const struct weir_judged *past,
            uint32_t head)
{
    const struct weir_settings_entry *entry = &self->entries[head];
    memcpy (j->levels, past->levels, past->n_entries * sizeof j->levels[0]);
    memcpy (j->applied, past->applied, past->n_changes);
    memcpy (j->effective, past->effective, past->n_entries);
    memcpy (j->rights, past->rights, past->n_devices);
    if (!entry->stored) {
        return;
    }
    struct place at = { .past = self->views[entry->view], .entry = head };
    enum weir_right needed = weir_members_needed (entry->leaves);
    j->levels[head] = least_level (self, j, entry->device, needed, at);
    if (j->levels[head] != WEIR_LEVEL_NONE) {
        apply_own (self, j, head);
        apply_others (self, j, head);
        step_rights (self, j, entry);
    }
}

/* ---- judgements kept ---- */

static void
judged_destroy (struct weir_members *self, struct weir_judged *j)
{
    self->views[j->view]->judged = NULL;
    free (j->levels);
    free (j->effective);
    free (j->applied);
    free (j->rights);
    free (j);
}

void
weir_members_judged_fini (struct weir_members *self)
{
    for (size_t i = 0; i < WEIR_JUDGED_KEPT; i++) {
        if (self->kept[i] != NULL) {
            judged_destroy (self, self->kept[i]);
            self->kept[i] = NULL;
        }
    }
}

/* A free place among those kept; the one not used for longest makes room, but never `spare`. */
static struct weir_judged **
make_room (struct weir_members *self, const struct weir_judged *spare)
{
    size_t oldest = WEIR_JUDGED_KEPT;
    for (size_t i = 0; i < WEIR_JUDGED_KEPT; i++) {
        if (self->kept[i] == NULL) {
            return &self->kept[i];
        }
        if (self->kept[i] != spare
            && (oldest == WEIR_JUDGED_KEPT || self->kept[i]->used < self->kept[oldest]->used)) {
            oldest = i;
        }
    }
    judged_destroy (self, self->kept[oldest]);
    self->kept[oldest] = NULL;
    return &self->kept[oldest];
}

const struct weir_judged *
weir_members_judge (struct weir_members *self, uint32_t view)
{
    weir_assert (view < self->n_views);
    struct weir_view *v = self->views[view];
    self->uses++;
    if (v->judged != NULL) {
        v->judged->used = self->uses;
        return v->judged;
    }
    struct weir_judged *j = weir_alloc (sizeof *j);
    j->view = view;
    j->used = self->uses;
    j->n_entries = v->n_heads == 0 ? 0 : v->heads[v->n_heads - 1] + 1;
    if (j->n_entries > 0) {
        const struct weir_settings_entry *last = &self->entries[j->n_entries - 1];
        j->n_changes = last->change + last->n_changes;
    }
    j->n_devices = (uint32_t) self->n_devices;
    j->levels = weir_alloc (j->n_entries * sizeof j->levels[0]);
    j->effective = weir_alloc (j->n_entries);
    j->applied = weir_alloc (j->n_changes);
    j->rights = weir_alloc (j->n_devices);
    for (uint32_t i = 0; i < j->n_entries; i++) {
        j->levels[i] = WEIR_LEVEL_NONE;
    }
    memset (j->rights, -1, j->n_devices);
    const struct weir_judged *past = NULL;
    if (v->n_heads == 1) {
        past = self->views[self->entries[v->heads[0]].view]->judged;
    }
    if (past != NULL && past->n_entries > 0) {
        judge_step (self, j, past, v->heads[0]);
    } else if (weir_members_view_has (v, 0)) {
        judge_levels (self, j, v);
    }
    *make_room (self, past) = j;
    v->judged = j;
    return j;
}

/* ---- rights ---- */

enum weir_right
weir_members_worth (const struct weir_members *self, const struct weir_judged *j, uint32_t device,
                    size_t index)
{
    const struct weir_numbers *changes = &self->devices[device].changes;
    const struct weir_settings_change *g = &self->changes[changes->items[index]];
    uint8_t worth = g->right;
    for (size_t n = 1; n < changes->count && worth > WEIR_RIGHT_NONE; n++) {
        uint32_t change = changes->items[(index + n) % changes->count];
        const struct weir_settings_change *l = &self->changes[change];
        if (is_lowering (self, j, change) && l->right < worth
            && !weir_members_is_past (self, l->entry, g->entry)) {
            worth = l->right;
        }
    }
    return (enum weir_right) worth;
}

enum weir_right
weir_members_right_of (struct weir_members *self, uint32_t view, uint32_t device)
{
    const struct weir_judged *j = weir_members_judge (self, view);
    if (device >= j->n_devices) {
        return WEIR_RIGHT_NONE; /* first named later than this view was asked for */
    }
    if (j->rights[device] >= 0) {
        return (enum weir_right) j->rights[device];
    }
    enum weir_right best = WEIR_RIGHT_NONE;
    const struct weir_device *d = &self->devices[device];
    for (size_t i = 0; i < d->changes.count && best < WEIR_RIGHT_ADMIN; i++) {
        uint32_t change = d->changes.items[i];
        if (is_grant (self, j, change) && self->changes[change].right > (uint8_t) best) {
            enum weir_right worth = weir_members_worth (self, j, device, i);
            best = worth > best ? worth : best;
        }
    }
    j->rights[device] = (int8_t) best;
    return best;
}

bool
weir_members_may_lower (struct weir_members *self, uint32_t view, uint32_t author, uint32_t device)
{
    const struct weir_judged *j = weir_members_judge (self, view);
    struct place at = { .past = self->views[view], .entry = UINT32_MAX };
    at.level = least_level (self, j, author, WEIR_RIGHT_ADMIN, at);
    return at.level != WEIR_LEVEL_NONE && may_lower (self, j, device, &at);
}
