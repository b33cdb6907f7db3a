/* Membership as a pure function of settings entries: the facade. It keeps what was added, asks
 * members_judge.c what counts in a view, and answers by device. The rules stand in
 * members_parts.h. The repository holds one a database; nothing here reads or writes disk. */

#include "store/dag/members_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct weir_members *
weir_members_new (void)
{
    struct weir_members *self = weir_alloc (sizeof *self);
    self->entry_by_id = weir_map_new ();
    self->device_by_id = weir_map_new ();
    weir_members_views_init (self);
    return self;
}

void
weir_members_destroy (struct weir_members **self_p)
{
    struct weir_members *self = *self_p;
    if (self == NULL) {
        return;
    }
    weir_members_judged_fini (self);
    weir_members_views_fini (self);
    for (size_t i = 0; i < self->n_changes; i++) {
        free (self->changes[i].name);
    }
    for (size_t i = 0; i < self->n_entries; i++) {
        free (self->entries[i].database_name);
    }
    for (size_t i = 0; i < self->n_devices; i++) {
        free (self->devices[i].changes.items);
        free (self->devices[i].entries.items);
    }
    free (self->changes);
    free (self->entries);
    free (self->devices);
    free (self->list);
    weir_map_destroy (&self->entry_by_id, NULL);
    weir_map_destroy (&self->device_by_id, NULL);
    free (self);
    *self_p = NULL;
}

/* ---- adding ---- */

/* Maps hold numbers as pointers: their items move as they grow. 0 is absent. */
static uint32_t
number_get (const struct weir_map *map, const struct weir_id *id)
{
    return (uint32_t) (uintptr_t) weir_map_get (map, weir_id_bytes (id));
}

static void
number_put (struct weir_map *map, const struct weir_id *id, size_t number)
{
    (void) weir_map_put (map, weir_id_bytes (id), (void *) (uintptr_t) number);
}

static void
numbers_add (struct weir_numbers *n, uint32_t number)
{
    weir_grow (&n->items, &n->cap, n->count + 1, sizeof n->items[0]);
    n->items[n->count++] = number;
}

static uint32_t
device_of (struct weir_members *self, const struct weir_id *id)
{
    uint32_t number = number_get (self->device_by_id, id);
    if (number != 0) {
        return number - 1;
    }
    weir_grow (&self->devices, &self->devices_cap, self->n_devices + 1, sizeof self->devices[0]);
    self->devices[self->n_devices++] = (struct weir_device){ .id = *id };
    number_put (self->device_by_id, id, self->n_devices);
    return (uint32_t) self->n_devices - 1;
}

/* What a change is, is settled by the entry's own past, before the entry itself is there. */
static void
add_change (struct weir_members *self, uint32_t ordinal, uint32_t view,
            const struct weir_member_change *change, enum weir_right right)
{
    uint32_t device = device_of (self, &change->device);
    bool lowering = ordinal > 0 && right < weir_members_right_of (self, view, device);
    weir_grow (&self->changes, &self->changes_cap, self->n_changes + 1, sizeof self->changes[0]);
    self->changes[self->n_changes] = (struct weir_settings_change){
        .device = device,
        .entry = ordinal,
        .right = (uint8_t) right,
        .lowering = lowering,
        .name = change->name[0] == '\0' ? NULL : weir_strdup (change->name),
    };
    numbers_add (&self->devices[device].changes, (uint32_t) self->n_changes);
    self->n_changes++;
}

/* The genesis makes its author admin, whatever its payload says of it, and even if it cannot be
 * read. */
static void
add_changes (struct weir_members *self, uint32_t ordinal, uint32_t view,
             const struct weir_id *author, const struct weir_settings *settings)
{
    bool author_named = ordinal > 0;
    size_t n = settings == NULL ? 0 : settings->n_changes;
    for (size_t i = 0; i < n; i++) {
        const struct weir_member_change *change = &settings->changes[i];
        bool own = ordinal == 0 && weir_id_equal (&change->device, author);
        author_named = author_named || own;
        add_change (self, ordinal, view, change, own ? WEIR_RIGHT_ADMIN : change->right);
    }
    if (!author_named) {
        struct weir_member_change change = { .device = *author };
        add_change (self, ordinal, view, &change, WEIR_RIGHT_ADMIN);
    }
}

uint32_t
weir_members_add (struct weir_members *self, const struct weir_id *entry,
                  const struct weir_chain *chain, uint32_t view,
                  const struct weir_settings *settings)
{
    uint32_t known = number_get (self->entry_by_id, entry);
    if (known != 0) {
        return known - 1;
    }
    weir_assert (view < self->n_views && self->n_entries < UINT32_MAX - 1);
    uint32_t ordinal = (uint32_t) self->n_entries;
    uint32_t author = device_of (self, &chain->author);
    bool leaves = settings != NULL && weir_settings_is_leave (settings, &chain->author);
    struct weir_settings_entry e = {
        .id = *entry,
        .chain = *chain,
        .view = view,
        .device = author,
        .decoded = settings != NULL,
        .leaves = leaves,
        .stored = ordinal == 0
                  || weir_members_right_of (self, view, author) >= weir_members_needed (leaves),
        .change = (uint32_t) self->n_changes,
    };
    if (settings != NULL) {
        e.database_name =
            settings->database_name[0] == '\0' ? NULL : weir_strdup (settings->database_name);
        e.entry_version_max = settings->entry_version_max;
        e.codec_max = settings->codec_max;
    }
    add_changes (self, ordinal, view, &chain->author, settings);
    e.n_changes = (uint32_t) self->n_changes - e.change;
    weir_grow (&self->entries, &self->entries_cap, self->n_entries + 1, sizeof self->entries[0]);
    self->entries[self->n_entries++] = e;
    numbers_add (&self->devices[author].entries, ordinal);
    number_put (self->entry_by_id, entry, self->n_entries);
    return ordinal;
}

/* ---- asking ---- */

enum weir_right
weir_members_right (struct weir_members *self, uint32_t view, const struct weir_id *device)
{
    uint32_t number = number_get (self->device_by_id, device);
    return number == 0 ? WEIR_RIGHT_NONE : weir_members_right_of (self, view, number - 1);
}

static bool
is_leave (struct weir_bytes payload, const struct weir_id *author)
{
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    struct weir_settings settings;
    bool leaves = weir_settings_get (&settings, arena, payload, false) == WEIR_OK
                  && weir_settings_is_leave (&settings, author);
    weir_arena_destroy (&arena);
    return leaves;
}

enum weir_status
weir_members_may_store (struct weir_members *self, uint32_t view, const struct weir_id *author,
                        uint8_t kind, struct weir_bytes payload)
{
    if (kind == WEIR_ENTRY_GENESIS) {
        return view == 0 ? WEIR_OK : WEIR_NOT_ALLOWED;
    }
    enum weir_right right = weir_members_right (self, view, author);
    if (right == WEIR_RIGHT_NONE) {
        return WEIR_NOT_MEMBER;
    }
    enum weir_right needed = WEIR_RIGHT_WRITE;
    if (kind == WEIR_ENTRY_SETTINGS) {
        bool leaves = right < WEIR_RIGHT_ADMIN && is_leave (payload, author);
        needed = weir_members_needed (leaves);
    }
    return right >= needed ? WEIR_OK : WEIR_NOT_ALLOWED;
}

bool
weir_members_is_void (struct weir_members *self, uint32_t view, uint32_t ordinal)
{
    weir_assert (ordinal < self->n_entries);
    const struct weir_judged *j = weir_members_judge (self, view);
    if (!weir_members_view_has (self->views[view], ordinal)) {
        return false;
    }
    const struct weir_settings_entry *e = &self->entries[ordinal];
    for (uint32_t i = e->change; i < e->change + e->n_changes; i++) {
        if (j->applied[i]) {
            return false;
        }
    }
    bool says_more = e->n_changes == 0 || e->database_name != NULL;
    return !j->effective[ordinal] || !e->decoded || !says_more;
}

const char *
weir_members_database_name (struct weir_members *self, uint32_t view)
{
    const struct weir_judged *j = weir_members_judge (self, view);
    uint32_t best = UINT32_MAX;
    for (uint32_t i = 0; i < j->n_entries; i++) {
        if (j->effective[i] && self->entries[i].database_name != NULL
            && (best == UINT32_MAX || weir_members_order (self, best, i) < 0)) {
            best = i;
        }
    }
    return best == UINT32_MAX ? "" : self->entries[best].database_name;
}

void
weir_members_limits (struct weir_members *self, uint32_t view, uint8_t *entry_version_max,
                     uint8_t *codec_max)
{
    const struct weir_judged *j = weir_members_judge (self, view);
    *entry_version_max = 0;
    *codec_max = 0;
    for (uint32_t i = 0; i < j->n_entries; i++) {
        const struct weir_settings_entry *e = &self->entries[i];
        if (j->effective[i]) {
            *entry_version_max = e->entry_version_max > *entry_version_max ? e->entry_version_max
                                                                           : *entry_version_max;
            *codec_max = e->codec_max > *codec_max ? e->codec_max : *codec_max;
        }
    }
}

/* ---- the list ---- */

/* Which of two changes comes later in the order of settings; `a` may be UINT32_MAX: none. */
static bool
is_later (const struct weir_members *self, uint32_t a, uint32_t b)
{
    return a == UINT32_MAX
           || weir_members_order (self, self->changes[a].entry, self->changes[b].entry) < 0;
}

static uint32_t
rank_of (const struct weir_members *self, const struct weir_judged *j, uint32_t grant)
{
    const struct weir_settings_change *g = &self->changes[grant];
    bool first = g->entry == 0 && self->entries[0].device == g->device;
    return first ? 0 : (uint32_t) (j->levels[g->entry] + 1);
}

/* What made the device what it is: the latest grant that is worth its right; when something was
 * taken from that grant, or there is none, the latest lowering that left exactly this right. */
static uint32_t
cause_of (const struct weir_members *self, const struct weir_judged *j, uint32_t number,
          enum weir_right right)
{
    const struct weir_device *device = &self->devices[number];
    uint32_t grant = UINT32_MAX;
    uint32_t lowering = UINT32_MAX;
    for (size_t i = 0; i < device->changes.count; i++) {
        uint32_t change = device->changes.items[i];
        if (change >= j->n_changes || !j->applied[change]
            || self->changes[change].right != (uint8_t) right) {
            continue;
        }
        if (self->changes[change].lowering) {
            lowering = is_later (self, lowering, change) ? change : lowering;
        } else if (weir_members_worth (self, j, number, i) == right) {
            grant = is_later (self, grant, change) ? change : grant;
        }
    }
    return grant != UINT32_MAX && right > WEIR_RIGHT_NONE ? grant : lowering;
}

/* False when the device was never a member in this version. */
static bool
describe (struct weir_members *self, const struct weir_judged *j, uint32_t number,
          struct weir_member *out)
{
    const struct weir_device *device = &self->devices[number];
    enum weir_right right = weir_members_right_of (self, j->view, number);
    uint32_t named = UINT32_MAX;
    uint32_t rank = UINT32_MAX;
    for (size_t i = 0; i < device->changes.count; i++) {
        uint32_t change = device->changes.items[i];
        if (change >= j->n_changes || !j->applied[change]) {
            continue;
        }
        const struct weir_settings_change *c = &self->changes[change];
        bool counts = !c->lowering
                      && (right == WEIR_RIGHT_NONE
                          || weir_members_worth (self, j, number, i) > WEIR_RIGHT_NONE);
        if (counts && rank_of (self, j, change) < rank) {
            rank = rank_of (self, j, change);
        }
        if (c->name != NULL && is_later (self, named, change)) {
            named = change;
        }
    }
    if (rank == UINT32_MAX) {
        return false;
    }
    *out = (struct weir_member){ .device = device->id, .right = right, .rank = rank };
    uint32_t cause = cause_of (self, j, number, right);
    if (cause != UINT32_MAX) {
        const struct weir_settings_entry *entry = &self->entries[self->changes[cause].entry];
        out->by = entry->chain.author;
        out->entry = entry->id;
    }
    if (named != UINT32_MAX) {
        (void) snprintf (out->name, sizeof out->name, "%s", self->changes[named].name);
    }
    return true;
}

static int
member_order (const void *a, const void *b)
{
    const struct weir_member *x = a;
    const struct weir_member *y = b;
    if (x->rank != y->rank) {
        return x->rank < y->rank ? -1 : 1;
    }
    return weir_id_compare (&x->device, &y->device);
}

const struct weir_member *
weir_members_list (struct weir_members *self, uint32_t view, size_t *count)
{
    const struct weir_judged *j = weir_members_judge (self, view);
    weir_grow (&self->list, &self->list_cap, j->n_devices, sizeof self->list[0]);
    size_t n = 0;
    for (uint32_t i = 0; i < j->n_devices; i++) {
        if (describe (self, j, i, &self->list[n])) {
            n++;
        }
    }
    if (n > 1) {
        qsort (self->list, n, sizeof self->list[0], member_order);
    }
    *count = n;
    return self->list;
}

/* ---- before a change is made ---- */

static enum weir_status
check_lowering (struct weir_members *self, uint32_t view, uint32_t author, uint32_t device,
                struct weir_error *e)
{
    if (device == author || weir_members_may_lower (self, view, author, device)) {
        return WEIR_OK;
    }
    return weir_error_set (e, WEIR_NOT_ALLOWED, NULL,
                           "only an admin of a smaller rank lowers or removes this member");
}

enum weir_status
weir_members_may_change (struct weir_members *self, uint32_t view, const struct weir_id *author,
                         const struct weir_member_change *change, struct weir_error *e)
{
    enum weir_right own = weir_members_right (self, view, author);
    if (own == WEIR_RIGHT_NONE) {
        return weir_error_set (e, WEIR_NOT_MEMBER, NULL, "not a member of this database");
    }
    bool leaves = change->right == WEIR_RIGHT_NONE && weir_id_equal (&change->device, author);
    if (own < weir_members_needed (leaves)) {
        return weir_error_set (e, WEIR_NOT_ALLOWED, NULL, "only an admin changes members");
    }
    if ((unsigned) change->right >= WEIR_RIGHT_COUNT || weir_id_is_zero (&change->device)
        || !weir_settings_name_is_good (change->name)) {
        return weir_error_set (e, WEIR_INVALID_ARGUMENT, NULL,
                               "not a right, a device or a name that members can have");
    }
    enum weir_right has = weir_members_right (self, view, &change->device);
    if (change->right < has) {
        return check_lowering (self, view, number_get (self->device_by_id, author) - 1,
                               number_get (self->device_by_id, &change->device) - 1, e);
    }
    if (change->right == WEIR_RIGHT_NONE) {
        return weir_error_set (e, WEIR_NOT_FOUND, NULL, "the device is not a member");
    }
    if (has == WEIR_RIGHT_NONE && self->n_devices >= WEIR_MEMBERS_MAX
        && number_get (self->device_by_id, &change->device) == 0) {
        return weir_error_set (e, WEIR_LIMIT, NULL, "a database has at most %u members",
                               WEIR_MEMBERS_MAX);
    }
    return WEIR_OK;
}
