#ifndef WEIR_STORE_DAG_MEMBERS_PARTS_H
#define WEIR_STORE_DAG_MEMBERS_PARTS_H

/* What members.c (the facade), members_view.c (sets of settings entries) and members_judge.c
 * (what counts in one) share, and nobody else includes.
 *
 * THE RULES, exactly. Everything below is a function of the set V of settings entries in a
 * version and of their pasts; ordinals, order of arrival and clocks have no part in it.
 *
 * Words. A settings entry says changes (device, right). A change is a *lowering* when its right
 * is less than the device had at the entry's own past, else a *grant*. The genesis grants its
 * author admin, before any level there is (level -1).
 *
 * Stored. A settings entry is stored when its author is admin at the entry's own past; a *leave*
 * (it says one thing: its author is removed) when its author is a member there, whatever the
 * right; data and merges need write. "At a past" means: by these same rules, in that past as the
 * version.
 *
 * Counts, in V. Entries are judged level by level (a level is the author's rank at that entry):
 *   1. An entry is *supported at level k* when its past holds an effective grant of admin to its
 *      author, made at level k-1, and no effective lowering that takes it away: one of the
 *      author below admin that has not the grant after it (so it knew the grant, or neither
 *      knew the other), of a lesser level than k, or the author's own of level k. Its level is
 *      the least k at which it is supported. Never supported, or not stored by the rule above:
 *      void.
 *      A leave needs a grant of any right that is not taken away whole, in place of admin.
 *   2. A supported entry is void when an effective lowering of its author is concurrent with it:
 *      one of a lesser level, or the author's own of at most this level (the latter spares the
 *      entry's own lowering of its author: two that say "I leave" agree).
 *   3. The grants of what is left take effect; they make the next level.
 *   4. A lowering of another device takes effect unless that device has a grant of a lesser
 *      level than the lowering's, not made after the lowering, and not already taken away whole
 *      in the lowering's past (by the measure of 1): only a smaller rank lowers a greater one.
 *      So two of one rank never remove each other, and of two ranks the smaller wins. Lowering
 *      oneself always takes effect, unless step 2 voids the entry by a lesser level.
 * What an entry may void or take away always has a greater level than the entry (or is its
 * author's own), so every judgement leans on finished ones only, and the order within a level
 * does not matter.
 *
 * Rights, in V. Each effective grant is worth its right, but at most the right of every effective
 * lowering of that device that the grant has not in its past: lowering takes away, also from
 * grants it did not know, and what is granted again later brings back nothing else. A device has
 * the best of its grants. Its rank is the least level of a grant that is worth something, + 1.
 *
 * Cost: pasts are bit sets; judging V is linear in its entries, times the changes made to the
 * same device (few, for honest members). Judgements are kept for the views used last, and a
 * version with one settings head is judged from its past by one step, which gives the same. */

#include "store/base/map.h"
#include "store/dag/members.h"

#define WEIR_JUDGED_KEPT 64u
#define WEIR_LEVEL_NONE (-2) /* not supported; -1 is the genesis author's own grant */

struct weir_settings_change {
    uint32_t device;
    uint32_t entry; /* ordinal */
    uint8_t right;
    bool lowering;
    char *name;
};

struct weir_settings_entry {
    struct weir_id id;
    struct weir_chain chain;
    uint32_t view;   /* its past */
    uint32_t device; /* its author */
    bool decoded;
    bool leaves;     /* says only that its author leaves */
    bool stored;     /* the author was admin there, or leaves and was a member */
    uint32_t change; /* the first of its changes */
    uint32_t n_changes;
    char *database_name;
    uint8_t entry_version_max;
    uint8_t codec_max;
};

struct weir_numbers {
    uint32_t *items;
    size_t count;
    size_t cap;
};

struct weir_device {
    struct weir_id id;
    struct weir_numbers changes; /* made to it, in the order of adding */
    struct weir_numbers entries; /* it wrote, in the order of adding: pasts come first */
};

/* What counts in one view. Arrays by ordinal, change and device as there were then: what was
 * added later is not in the view. */
struct weir_judged {
    uint32_t view;
    uint64_t used;
    uint32_t n_entries;
    uint32_t n_changes;
    uint32_t n_devices;
    int32_t *levels;
    uint8_t *effective; /* by ordinal: supported and not void */
    uint8_t *applied;   /* by change */
    int8_t *rights;     /* by device; -1: not asked yet */
};

struct weir_view {
    uint32_t number;
    uint32_t count;   /* entries in it */
    uint32_t n_heads; /* its maximal entries, sorted */
    uint32_t *heads;
    size_t n_words;
    uint64_t *words;            /* by ordinal */
    struct weir_judged *judged; /* or NULL */
};

struct weir_members {
    struct weir_settings_entry *entries;
    size_t n_entries;
    size_t entries_cap;
    struct weir_settings_change *changes;
    size_t n_changes;
    size_t changes_cap;
    struct weir_device *devices;
    size_t n_devices;
    size_t devices_cap;
    struct weir_view **views;
    size_t n_views;
    size_t views_cap;
    struct weir_map *entry_by_id;  /* to ordinal + 1 */
    struct weir_map *device_by_id; /* to index + 1 */
    struct weir_map *view_by_heads;
    struct weir_judged *kept[WEIR_JUDGED_KEPT];
    uint64_t uses;
    struct weir_member *list;
    size_t list_cap;
};

/* members_view.c */
void weir_members_views_init (struct weir_members *self);
void weir_members_views_fini (struct weir_members *self);
bool weir_members_view_has (const struct weir_view *view, uint32_t ordinal);
/* Is `a` in the past of `b`? */
bool weir_members_is_past (const struct weir_members *self, uint32_t a, uint32_t b);
/* The order of settings: (entries in its past, author, lane, entry id). */
int weir_members_order (const struct weir_members *self, uint32_t a, uint32_t b);

/* members_judge.c */
const struct weir_judged *weir_members_judge (struct weir_members *self, uint32_t view);
/* Frees and forgets all judgements. */
void weir_members_judged_fini (struct weir_members *self);
enum weir_right weir_members_right_of (struct weir_members *self, uint32_t view, uint32_t device);
/* The right that an entry's author must have. */
static inline enum weir_right
weir_members_needed (bool leaves)
{
    return leaves ? WEIR_RIGHT_CARRY : WEIR_RIGHT_ADMIN;
}
/* What a device's grant, the index-th change made to it, is worth: its right, less what was taken
 * away. */
enum weir_right weir_members_worth (const struct weir_members *self,
                                    const struct weir_judged *judged, uint32_t device,
                                    size_t index);
/* Could `author` lower `device` on top of the view? */
bool weir_members_may_lower (struct weir_members *self, uint32_t view, uint32_t author,
                             uint32_t device);

#endif
