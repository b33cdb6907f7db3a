#ifndef WEIR_TESTS_STORE_DAG_LAB_H
#define WEIR_TESTS_STORE_DAG_LAB_H

/* A small world of settings entries for membership tests: a plan says who changes whom on top of
 * what; a replica is a weir_members to which the plan's entries were added in some order. Sets of
 * plan entries are bit masks. Device 0 makes the genesis, entry 0. */

#include "tests/store/dag/fixture.h"

#include "store/dag/members.h"

#define LAB_ENTRIES_MAX 16u
#define LAB_CHANGES_MAX 3u

struct lab_entry {
    uint32_t author;
    uint32_t past; /* mask, closed */
    uint64_t lane;
    size_t n_changes;
    struct {
        uint32_t device;
        enum weir_right right;
    } changes[LAB_CHANGES_MAX];
    const char *database_name;
    bool broken; /* its payload cannot be read */
    bool more;   /* a removal of its author says something else beside */
};

struct lab {
    struct lab_entry entries[LAB_ENTRIES_MAX];
    uint32_t count;
};

struct replica {
    const struct lab *lab;
    struct weir_members *members;
    uint32_t ordinals[LAB_ENTRIES_MAX];
};

static inline struct weir_id
lab_device (uint32_t number)
{
    return fixture_id (10 + number);
}

static inline struct weir_id
lab_entry_id (uint32_t number)
{
    /* Not in the order of the plan. */
    return fixture_id (1000 + (number * 7 + 3) % 16);
}

static inline uint32_t
lab_closed (const struct lab *lab, uint32_t mask)
{
    uint32_t closed = mask;
    for (uint32_t i = 0; i < lab->count; i++) {
        if ((mask >> i & 1) != 0) {
            closed |= lab->entries[i].past;
        }
    }
    return closed;
}

/* One change on top of the entries of `mask` and all below them; returns the entry. */
static inline uint32_t
lab_say (struct lab *lab, uint32_t author, uint32_t mask, uint32_t device, enum weir_right right)
{
    struct lab_entry *e = &lab->entries[lab->count];
    *e = (struct lab_entry){ .author = author, .past = lab_closed (lab, mask), .n_changes = 1 };
    e->changes[0].device = device;
    e->changes[0].right = right;
    return lab->count++;
}

static inline void
lab_begin (struct lab *lab)
{
    *lab = (struct lab){ .count = 0 };
    (void) lab_say (lab, 0, 0, 0, WEIR_RIGHT_ADMIN);
    lab->entries[0].database_name = "notes";
}

static inline uint32_t
replica_view (struct replica *r, uint32_t mask)
{
    uint32_t view = 0;
    for (uint32_t i = 0; i < r->lab->count; i++) {
        if ((mask >> i & 1) != 0) {
            view = weir_members_with (r->members, view, r->ordinals[i]);
        }
    }
    return view;
}

/* Says nothing but that its author leaves: every member may. */
static inline bool
lab_leaves (const struct lab_entry *e)
{
    return e->past != 0 && !e->broken && !e->more && e->database_name == NULL && e->n_changes == 1
           && e->changes[0].device == e->author && e->changes[0].right == WEIR_RIGHT_NONE;
}

static inline void
replica_add (struct replica *r, uint32_t number)
{
    const struct lab_entry *e = &r->lab->entries[number];
    struct weir_member_change changes[LAB_CHANGES_MAX] = { 0 };
    struct weir_settings s = { .n_changes = e->n_changes, .changes = changes };
    s.entry_version_max = lab_leaves (e) ? 0 : (uint8_t) (number + 1);
    if (e->database_name != NULL) {
        fixture_copy (s.database_name, e->database_name);
    }
    for (size_t i = 0; i < e->n_changes; i++) {
        changes[i].device = lab_device (e->changes[i].device);
        changes[i].right = e->changes[i].right;
        changes[i].name[0] = (char) ('a' + number);
    }
    struct weir_id id = lab_entry_id (number);
    struct weir_chain chain = { lab_device (e->author), e->lane };
    uint32_t view = replica_view (r, e->past);
    r->ordinals[number] = weir_members_add (r->members, &id, &chain, view, e->broken ? NULL : &s);
}

/* Adds in a random order that keeps pasts first, the genesis before all; in the order of the plan
 * without `random`. */
static inline void
replica_init (struct replica *r, const struct lab *lab, struct weir_rand *random)
{
    *r = (struct replica){ .lab = lab, .members = weir_members_new () };
    uint32_t added = 0;
    for (uint32_t n = 0; n < lab->count; n++) {
        uint32_t ready[LAB_ENTRIES_MAX];
        uint32_t n_ready = 0;
        for (uint32_t i = 0; i < lab->count; i++) {
            if ((added >> i & 1) == 0 && (lab->entries[i].past & ~added) == 0) {
                ready[n_ready++] = i;
            }
        }
        uint32_t pick = ready[random == NULL || n == 0 ? 0 : weir_rand_below (random, n_ready)];
        replica_add (r, pick);
        added |= 1u << pick;
    }
}

static inline void
replica_fini (struct replica *r)
{
    weir_members_destroy (&r->members);
}

static inline uint32_t
lab_all (const struct lab *lab)
{
    return (1u << lab->count) - 1;
}

static inline enum weir_right
replica_right (struct replica *r, uint32_t mask, uint32_t device)
{
    struct weir_id id = lab_device (device);
    return weir_members_right (r->members, replica_view (r, mask), &id);
}

static inline bool
replica_void (struct replica *r, uint32_t mask, uint32_t number)
{
    return weir_members_is_void (r->members, replica_view (r, mask), r->ordinals[number]);
}

#endif
