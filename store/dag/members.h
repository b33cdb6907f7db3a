#ifndef WEIR_STORE_DAG_MEMBERS_H
#define WEIR_STORE_DAG_MEMBERS_H

/* Membership as a pure function of settings entries (page 2). Two questions, two rules:
 * is it stored (by the settings in the entry's own causal past), and does it count (in a
 * version that holds a removal of D, settings entries of D concurrent with that removal, and
 * what only they allowed, have no effect).
 *
 * A `view` is a set of settings entries closed under their pasts, interned as a small number:
 * the settings part of a version. View 0 is empty. */

#include "store/base/arena.h"
#include "store/dag/entry.h"

enum weir_right {
    WEIR_RIGHT_NONE = 0,  /* not a member, or removed */
    WEIR_RIGHT_CARRY = 1, /* hold and forward */
    WEIR_RIGHT_READ = 2,
    WEIR_RIGHT_WRITE = 3,
    WEIR_RIGHT_ADMIN = 4,
    WEIR_RIGHT_COUNT
};
const char *weir_right_name (enum weir_right right); /* "none", "carry", ... */
WEIR_MUST enum weir_status weir_right_parse (enum weir_right *out, const char *name);

/* One change a settings entry makes. */
struct weir_member_change {
    struct weir_id device;
    enum weir_right right;              /* WEIR_RIGHT_NONE removes */
    char name[WEIR_NAME_BYTES_MAX + 1]; /* what people call the device; may be "" */
};

/* The content of a settings (or genesis) payload. Codec byte WEIR_CODEC_SETTINGS. */
#define WEIR_CODEC_SETTINGS 0x02u
#define WEIR_SETTINGS_CHANGES_MAX 256u
struct weir_settings {
    uint8_t random[32];                          /* genesis only: makes the id unique */
    char database_name[WEIR_NAME_BYTES_MAX + 1]; /* "": as it was */
    uint8_t entry_version_max;                   /* highest that writers may use; 0: as it was */
    uint8_t codec_max;
    size_t n_changes;
    struct weir_member_change *changes; /* in the arena, or the caller's */
};
/* A database's or device's name: UTF-8 within the bound, no control characters; "" is one. */
bool weir_settings_name_is_good (const char *name);
void weir_settings_put (struct weir_buf *out, const struct weir_settings *s, bool genesis);
/* WEIR_BAD_PAYLOAD (a device named twice is), WEIR_NEEDS_UPGRADE (another codec), WEIR_LIMIT. */
WEIR_MUST enum weir_status weir_settings_get (struct weir_settings *s, struct weir_arena *arena,
                                              struct weir_bytes payload, bool genesis);

/* Does it say nothing but that `author` leaves? Every member may store that, whatever its right. */
bool weir_settings_is_leave (const struct weir_settings *s, const struct weir_id *author);

struct weir_members;
struct weir_members *weir_members_new (void);
void weir_members_destroy (struct weir_members **self_p);

/* Adds a settings entry (the genesis first) whose past is `view`; a payload that does not
 * decode is `settings` NULL and changes nothing. Returns its ordinal, 0,1,2...: the order of
 * adding, which a store persists. Adding one twice returns the first ordinal. */
uint32_t weir_members_add (struct weir_members *self, const struct weir_id *entry,
                           const struct weir_chain *chain, uint32_t view,
                           const struct weir_settings *settings);
/* May `author` store an entry of this kind on top of `view`? WEIR_OK, WEIR_NOT_MEMBER or
 * WEIR_NOT_ALLOWED. Genesis on view 0 is always allowed; data and merges need write; settings
 * need admin, but for those that say only that their author leaves: `payload`, looked at for
 * settings only, shows it. */
WEIR_MUST enum weir_status weir_members_may_store (struct weir_members *self, uint32_t view,
                                                   const struct weir_id *author, uint8_t kind,
                                                   struct weir_bytes payload);

/* Views: the union of several, or one plus a settings entry; and their lasting form, the sorted
 * ordinals of their maximal entries. */
uint32_t weir_members_join (struct weir_members *self, const uint32_t *views, size_t count);
uint32_t weir_members_with (struct weir_members *self, uint32_t view, uint32_t ordinal);
void weir_members_view_put (const struct weir_members *self, uint32_t view, struct weir_buf *out);
WEIR_MUST enum weir_status weir_members_view_get (struct weir_members *self, uint32_t *view,
                                                  struct weir_reader *r);

/* What counts in the version `view`. */
enum weir_right weir_members_right (struct weir_members *self, uint32_t view,
                                    const struct weir_id *device);
struct weir_member {
    struct weir_id device;
    enum weir_right right; /* NONE: was a member and was removed */
    uint32_t rank;         /* 0 the genesis author, else the inviter's + 1 */
    struct weir_id by;     /* who made it so */
    struct weir_id entry;  /* the settings entry that did */
    char name[WEIR_NAME_BYTES_MAX + 1];
};
/* All members ever, by rank then device; borrowed until the next call on self. */
const struct weir_member *weir_members_list (struct weir_members *self, uint32_t view,
                                             size_t *count);
/* Settings entries in the view that have no effect at all, by ordinal (for `db members`): void,
 * not readable, or every change of theirs refused by rank. False for one outside the view. */
bool weir_members_is_void (struct weir_members *self, uint32_t view, uint32_t ordinal);
/* The newest database name and limits that count (the limits never shrink; 0: none said). */
const char *weir_members_database_name (struct weir_members *self, uint32_t view);
void weir_members_limits (struct weir_members *self, uint32_t view, uint8_t *entry_version_max,
                          uint8_t *codec_max);
/* Would this change, made by `author` on top of `view`, take effect? WEIR_OK,
 * WEIR_NOT_MEMBER, WEIR_NOT_ALLOWED (not admin, or rank: only a smaller rank lowers or removes
 * a greater one, or oneself; any admin admits and raises; any member leaves), WEIR_NOT_FOUND
 * (removes who is no member), WEIR_INVALID_ARGUMENT (a right or name that cannot be), WEIR_LIMIT
 * (members). */
WEIR_MUST enum weir_status weir_members_may_change (struct weir_members *self, uint32_t view,
                                                    const struct weir_id *author,
                                                    const struct weir_member_change *change,
                                                    struct weir_error *e);

#endif
