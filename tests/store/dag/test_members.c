/* Goal: each rule of membership by a case that a person would tell: who is stored, what counts
 * after a removal, ranks, back-dated grants, removals that cross, re-admission, leaving, the list,
 * and views as they are kept. Random cases against a slow model are in test_members_model.c. */

#include "tests/store/dag/lab.h"

#define NONE WEIR_RIGHT_NONE
#define CARRY WEIR_RIGHT_CARRY
#define READ WEIR_RIGHT_READ
#define WRITE WEIR_RIGHT_WRITE
#define ADMIN WEIR_RIGHT_ADMIN

/* What a lab must give, in every order of adding, for the version of all its entries. */
struct expected {
    enum weir_right rights[6]; /* by device */
    uint32_t voids;            /* mask of entries without effect */
};

static void
check_at (const struct lab *lab, uint32_t mask, const struct expected *expected)
{
    for (uint64_t seed = 0; seed < 12; seed++) {
        struct weir_rand random;
        weir_rand_init (&random, seed);
        struct replica r;
        replica_init (&r, lab, seed == 0 ? NULL : &random);
        for (uint32_t d = 0; d < 6; d++) {
            if (replica_right (&r, mask, d) != expected->rights[d]) {
                fail_msg ("seed %u: device %u has %s", (unsigned) seed, d,
                          weir_right_name (replica_right (&r, mask, d)));
            }
        }
        for (uint32_t i = 0; i < lab->count; i++) {
            bool expect_void = (expected->voids >> i & 1) != 0;
            if ((mask >> i & 1) != 0 && replica_void (&r, mask, i) != expect_void) {
                fail_msg ("seed %u: entry %u", (unsigned) seed, i);
            }
        }
        replica_fini (&r);
    }
}

static void
check (const struct lab *lab, const struct expected *expected)
{
    check_at (lab, lab_all (lab), expected);
}

#define BIT(n) (1u << (n))
#define CHECK(...) check (&lab, &(const struct expected){ __VA_ARGS__ })
#define CHECK_AT(mask, ...) check_at (&lab, mask, &(const struct expected){ __VA_ARGS__ })

static void
test_one_after_the_other (void **state)
{
    (void) state;
    struct lab lab;
    lab_begin (&lab);
    CHECK ({ ADMIN }, 0);
    uint32_t b = lab_say (&lab, 0, BIT (0), 1, ADMIN);
    uint32_t c = lab_say (&lab, 1, BIT (b), 2, WRITE);
    uint32_t d = lab_say (&lab, 1, BIT (c), 3, READ);
    uint32_t e = lab_say (&lab, 0, BIT (d), 4, CARRY);
    CHECK ({ ADMIN, ADMIN, WRITE, READ, CARRY, NONE }, 0);
    uint32_t raise = lab_say (&lab, 1, BIT (e), 4, ADMIN); /* not by its inviter: allowed */
    uint32_t lower = lab_say (&lab, 0, BIT (raise), 1, READ);
    CHECK ({ ADMIN, READ, WRITE, READ, ADMIN, NONE }, 0);
    CHECK_AT (lab.entries[raise].past, { ADMIN, ADMIN, WRITE, READ, CARRY, NONE }, 0);
    uint32_t gone = lab_say (&lab, 0, BIT (lower), 1, NONE);
    CHECK ({ ADMIN, NONE, WRITE, READ, ADMIN, NONE }, 0); /* whom it admitted stays */
    (void) gone;
}

/* B, an admin, is removed, and on a device that has not heard of it admits C; C admits D. */
static void
test_back_dated_grants_are_void (void **state)
{
    (void) state;
    struct lab lab;
    lab_begin (&lab);
    uint32_t b = lab_say (&lab, 0, BIT (0), 1, ADMIN);
    uint32_t removal = lab_say (&lab, 0, BIT (b), 1, NONE);
    uint32_t c = lab_say (&lab, 1, BIT (b), 2, ADMIN);
    uint32_t d = lab_say (&lab, 2, BIT (c), 3, WRITE);
    CHECK_AT (lab_closed (&lab, BIT (d) | BIT (c)), { ADMIN, ADMIN, ADMIN, WRITE }, 0);
    CHECK ({ ADMIN, NONE, NONE, NONE, NONE, NONE }, BIT (c) | BIT (d));
    /* Admitted by somebody else too, C keeps what that one gave. */
    (void) lab_say (&lab, 0, BIT (removal), 2, READ);
    CHECK ({ ADMIN, NONE, READ, NONE, NONE, NONE }, BIT (c) | BIT (d));
}

/* What B did before its removal knew of it stays. */
static void
test_earlier_grants_stay (void **state)
{
    (void) state;
    struct lab lab;
    lab_begin (&lab);
    uint32_t b = lab_say (&lab, 0, BIT (0), 1, ADMIN);
    uint32_t c = lab_say (&lab, 1, BIT (b), 2, ADMIN);
    (void) lab_say (&lab, 0, BIT (c), 1, NONE);
    (void) lab_say (&lab, 2, BIT (c), 3, WRITE); /* C is nobody's shadow: it does not know */
    CHECK ({ ADMIN, NONE, ADMIN, WRITE, NONE, NONE }, 0);
}

/* Lowering an admin voids what it did without knowing, as removal does, and no more. */
static void
test_lowering_removes_what_it_takes_away (void **state)
{
    (void) state;
    struct lab lab;
    lab_begin (&lab);
    uint32_t b = lab_say (&lab, 0, BIT (0), 1, ADMIN);
    (void) lab_say (&lab, 0, BIT (b), 1, WRITE);
    uint32_t c = lab_say (&lab, 1, BIT (b), 2, READ);
    CHECK ({ ADMIN, WRITE, NONE, NONE, NONE, NONE }, BIT (c));
}

/* Two changes at once to one device: the least wins against what it did not know. */
static void
test_removal_beats_a_concurrent_grant (void **state)
{
    (void) state;
    struct lab lab;
    lab_begin (&lab);
    uint32_t b = lab_say (&lab, 0, BIT (0), 1, ADMIN);
    uint32_t c = lab_say (&lab, 0, BIT (b), 2, READ);
    uint32_t raise = lab_say (&lab, 1, BIT (c), 2, WRITE);
    uint32_t removal = lab_say (&lab, 0, BIT (c), 2, NONE);
    CHECK ({ ADMIN, ADMIN, NONE, NONE, NONE, NONE }, 0);
    (void) raise;
    /* Who has seen the removal may admit again, and brings back nothing else. */
    (void) lab_say (&lab, 1, BIT (removal), 2, CARRY);
    CHECK ({ ADMIN, ADMIN, CARRY, NONE, NONE, NONE }, 0);
}

static void
test_two_invitations_give_the_greater (void **state)
{
    (void) state;
    struct lab lab;
    lab_begin (&lab);
    uint32_t b = lab_say (&lab, 0, BIT (0), 1, ADMIN);
    (void) lab_say (&lab, 1, BIT (b), 2, READ);
    (void) lab_say (&lab, 0, BIT (b), 2, WRITE);
    CHECK ({ ADMIN, ADMIN, WRITE, NONE, NONE, NONE }, 0);
}

/* Admins of one rank remove each other at once, or one after the other: no effect. */
static void
test_one_rank_cannot_remove_itself (void **state)
{
    (void) state;
    struct lab lab;
    lab_begin (&lab);
    uint32_t b = lab_say (&lab, 0, BIT (0), 1, ADMIN);
    uint32_t c = lab_say (&lab, 0, BIT (b), 2, ADMIN);
    uint32_t bc = lab_say (&lab, 1, BIT (c), 2, NONE);
    uint32_t cb = lab_say (&lab, 2, BIT (c), 1, NONE);
    CHECK_AT (lab_closed (&lab, BIT (bc)) | BIT (bc), { ADMIN, ADMIN, ADMIN }, BIT (bc));
    CHECK ({ ADMIN, ADMIN, ADMIN, NONE, NONE, NONE }, BIT (bc) | BIT (cb));
    uint32_t grant = lab_say (&lab, 2, BIT (cb), 3, WRITE); /* still an admin */
    CHECK ({ ADMIN, ADMIN, ADMIN, WRITE, NONE, NONE }, BIT (bc) | BIT (cb));
    (void) grant;
}

/* Of two ranks the smaller wins, whichever way they cross. */
static void
test_the_smaller_rank_wins (void **state)
{
    (void) state;
    struct lab lab;
    lab_begin (&lab);
    uint32_t b = lab_say (&lab, 0, BIT (0), 1, ADMIN);
    uint32_t c = lab_say (&lab, 1, BIT (b), 2, ADMIN); /* rank 2 */
    uint32_t cb = lab_say (&lab, 2, BIT (c), 1, NONE);
    uint32_t bc = lab_say (&lab, 1, BIT (c), 2, NONE);
    uint32_t by_c = lab_say (&lab, 2, BIT (cb), 3, ADMIN);
    CHECK ({ ADMIN, ADMIN, NONE, NONE, NONE, NONE }, BIT (cb) | BIT (by_c));
    uint32_t ca = lab_say (&lab, 2, BIT (c), 0, READ);
    CHECK ({ ADMIN, ADMIN, NONE, NONE, NONE, NONE }, BIT (cb) | BIT (by_c) | BIT (ca));
    (void) bc;
}

/* A(0) removes B(1) while B removes C(2) while C admits D: B's removal of C is void, so C's
 * grant stands. */
static void
test_a_void_removal_voids_nothing (void **state)
{
    (void) state;
    struct lab lab;
    lab_begin (&lab);
    uint32_t b = lab_say (&lab, 0, BIT (0), 1, ADMIN);
    uint32_t c = lab_say (&lab, 1, BIT (b), 2, ADMIN);
    uint32_t ab = lab_say (&lab, 0, BIT (c), 1, NONE);
    uint32_t bc = lab_say (&lab, 1, BIT (c), 2, NONE);
    uint32_t cd = lab_say (&lab, 2, BIT (c), 3, WRITE);
    CHECK_AT (lab_closed (&lab, BIT (bc) | BIT (cd)) | BIT (bc) | BIT (cd),
              { ADMIN, ADMIN, NONE, NONE }, BIT (cd));
    CHECK ({ ADMIN, NONE, ADMIN, WRITE, NONE, NONE }, BIT (bc));
    (void) ab;
}

/* Removed, admitted again with less, and an old grant of admin turns up. */
static void
test_readmission_brings_nothing_back (void **state)
{
    (void) state;
    struct lab lab;
    lab_begin (&lab);
    uint32_t b = lab_say (&lab, 0, BIT (0), 1, ADMIN);
    uint32_t gone = lab_say (&lab, 0, BIT (b), 1, NONE);
    uint32_t back = lab_say (&lab, 0, BIT (gone), 1, WRITE);
    uint32_t late = lab_say (&lab, 1, BIT (b), 2, ADMIN);
    CHECK ({ ADMIN, WRITE, NONE, NONE, NONE, NONE }, BIT (late));
    uint32_t again = lab_say (&lab, 0, BIT (back), 1, ADMIN);
    CHECK ({ ADMIN, ADMIN, NONE, NONE, NONE, NONE }, BIT (late)); /* still void */
    (void) lab_say (&lab, 1, BIT (again), 2, READ);
    CHECK ({ ADMIN, ADMIN, READ, NONE, NONE, NONE }, BIT (late));
}

static void
test_leaving (void **state)
{
    (void) state;
    struct lab lab;
    lab_begin (&lab);
    uint32_t b = lab_say (&lab, 0, BIT (0), 1, ADMIN);
    uint32_t leaves = lab_say (&lab, 1, BIT (b), 1, NONE);
    uint32_t other_lane = lab_say (&lab, 1, BIT (b), 2, WRITE);
    lab.entries[other_lane].lane = 9;
    CHECK ({ ADMIN, NONE, NONE, NONE, NONE, NONE }, BIT (other_lane));
    /* Leaving twice at once is leaving. */
    uint32_t twice = lab_say (&lab, 1, BIT (b), 1, READ);
    CHECK ({ ADMIN, NONE, NONE, NONE, NONE, NONE }, BIT (other_lane));
    (void) leaves;
    (void) twice;
    /* The founder may leave; nobody else removes it. */
    lab_begin (&lab);
    b = lab_say (&lab, 0, BIT (0), 1, ADMIN);
    uint32_t founder = lab_say (&lab, 0, BIT (b), 0, NONE);
    CHECK ({ NONE, ADMIN, NONE, NONE, NONE, NONE }, 0);
    uint32_t back = lab_say (&lab, 1, BIT (founder), 0, WRITE); /* rank 2 now */
    uint32_t c = lab_say (&lab, 1, BIT (back), 2, ADMIN);
    (void) lab_say (&lab, 1, BIT (c), 0, NONE);
    CHECK ({ NONE, ADMIN, ADMIN, NONE, NONE, NONE }, 0);
}

/* Settings of who is no admin, or nobody, are void even when somebody stored them. */
static void
test_strangers_change_nothing (void **state)
{
    (void) state;
    struct lab lab;
    lab_begin (&lab);
    uint32_t b = lab_say (&lab, 0, BIT (0), 1, WRITE);
    uint32_t self = lab_say (&lab, 1, BIT (b), 1, ADMIN);
    uint32_t stranger = lab_say (&lab, 4, BIT (b), 4, ADMIN);
    uint32_t below = lab_say (&lab, 4, BIT (stranger), 1, NONE);
    uint32_t nothing = lab_say (&lab, 5, 0, 5, ADMIN); /* on top of no genesis */
    uint32_t broken = lab_say (&lab, 0, BIT (b), 3, ADMIN);
    lab.entries[broken].broken = true;
    CHECK ({ ADMIN, WRITE, NONE, NONE, NONE, NONE },
           BIT (self) | BIT (stranger) | BIT (below) | BIT (nothing) | BIT (broken));
}

/* Removing who is no member takes nothing away, also not from a concurrent invitation. */
static void
test_removing_a_stranger (void **state)
{
    (void) state;
    struct lab lab;
    lab_begin (&lab);
    uint32_t b = lab_say (&lab, 0, BIT (0), 1, ADMIN);
    uint32_t idle = lab_say (&lab, 0, BIT (b), 2, NONE);
    uint32_t c = lab_say (&lab, 1, BIT (b), 2, WRITE);
    CHECK ({ ADMIN, ADMIN, WRITE, NONE, NONE, NONE }, BIT (idle));
    (void) lab_say (&lab, 1, BIT (c) | BIT (idle), 2, NONE); /* nor does it shield */
    CHECK ({ ADMIN, ADMIN, NONE, NONE, NONE, NONE }, BIT (idle));
}

/* One rank 1 admin removes C by what it knew; the founder invites C at the same time: C has a
 * rank of 1 by that, so the removal has no effect. */
static void
test_a_concurrent_invitation_from_above_protects (void **state)
{
    (void) state;
    struct lab lab;
    lab_begin (&lab);
    uint32_t b = lab_say (&lab, 0, BIT (0), 1, ADMIN);
    uint32_t c = lab_say (&lab, 1, BIT (b), 2, ADMIN); /* rank 2 */
    uint32_t bc = lab_say (&lab, 1, BIT (c), 2, NONE);
    uint32_t ac = lab_say (&lab, 0, BIT (c), 2, ADMIN); /* rank 1 */
    uint32_t cb = lab_say (&lab, 2, BIT (ac), 1, NONE); /* of its own rank: nothing */
    CHECK ({ ADMIN, ADMIN, ADMIN, NONE, NONE, NONE }, BIT (bc) | BIT (cb));
    /* A later invitation undoes no removal: what went before it stays gone. */
    lab_begin (&lab);
    b = lab_say (&lab, 0, BIT (0), 1, ADMIN);
    c = lab_say (&lab, 1, BIT (b), 2, ADMIN);
    bc = lab_say (&lab, 1, BIT (c), 2, NONE);
    uint32_t late = lab_say (&lab, 2, BIT (c), 3, WRITE);
    ac = lab_say (&lab, 0, BIT (bc), 2, READ);
    CHECK ({ ADMIN, ADMIN, READ, NONE, NONE, NONE }, BIT (late));
    (void) ac;
}

static void
test_may_store (void **state)
{
    (void) state;
    struct lab lab;
    lab_begin (&lab);
    uint32_t all = BIT (0);
    for (uint32_t d = 1; d <= 3; d++) {
        all |= BIT (lab_say (&lab, 0, all, d, (enum weir_right) (WEIR_RIGHT_ADMIN - d)));
    }
    struct replica r;
    replica_init (&r, &lab, NULL);
    uint32_t view = replica_view (&r, all);
    const enum weir_status statuses[5][4] = {
        /* genesis, data, settings, merge */
        { WEIR_NOT_ALLOWED, WEIR_OK, WEIR_OK, WEIR_OK },
        { WEIR_NOT_ALLOWED, WEIR_OK, WEIR_NOT_ALLOWED, WEIR_OK },
        { WEIR_NOT_ALLOWED, WEIR_NOT_ALLOWED, WEIR_NOT_ALLOWED, WEIR_NOT_ALLOWED },
        { WEIR_NOT_ALLOWED, WEIR_NOT_ALLOWED, WEIR_NOT_ALLOWED, WEIR_NOT_ALLOWED },
        { WEIR_NOT_ALLOWED, WEIR_NOT_MEMBER, WEIR_NOT_MEMBER, WEIR_NOT_MEMBER },
    };
    for (uint32_t d = 0; d < 5; d++) {
        struct weir_id id = lab_device (d);
        for (uint8_t kind = 0; kind < 4; kind++) {
            struct weir_bytes none = weir_bytes (NULL, 0);
            assert_int_equal (weir_members_may_store (r.members, view, &id, kind, none),
                              statuses[d][kind]);
            assert_int_equal (weir_members_may_store (r.members, 0, &id, kind, none),
                              kind == WEIR_ENTRY_GENESIS ? WEIR_OK : WEIR_NOT_MEMBER);
        }
    }
    replica_fini (&r);
}

/* A settings entry that says only "I leave" is every member's to store; anything beside it is an
 * admin's. */
static void
test_may_store_a_leave (void **state)
{
    (void) state;
    struct lab lab;
    lab_begin (&lab);
    uint32_t all = BIT (0);
    for (uint32_t d = 1; d <= 3; d++) {
        all |= BIT (lab_say (&lab, 0, all, d, (enum weir_right) (WEIR_RIGHT_ADMIN - d)));
    }
    struct replica r;
    replica_init (&r, &lab, NULL);
    uint32_t view = replica_view (&r, all);
    struct weir_member_change two[2] = { { .right = NONE }, { .right = NONE } };
    const struct {
        uint32_t author, leaver;
        size_t n_changes;
        enum weir_right right;
        const char *database_name;
        uint8_t limit;
        enum weir_status status;
    } rows[] = {
        { 1, 1, 1, NONE, "", 0, WEIR_OK },           { 2, 2, 1, NONE, "", 0, WEIR_OK },
        { 3, 3, 1, NONE, "", 0, WEIR_OK },           { 0, 0, 1, NONE, "", 0, WEIR_OK },
        { 4, 4, 1, NONE, "", 0, WEIR_NOT_MEMBER },   { 1, 2, 1, NONE, "", 0, WEIR_NOT_ALLOWED },
        { 1, 1, 2, NONE, "", 0, WEIR_NOT_ALLOWED },  { 1, 1, 1, READ, "", 0, WEIR_NOT_ALLOWED },
        { 1, 1, 1, NONE, "x", 0, WEIR_NOT_ALLOWED }, { 1, 1, 1, NONE, "", 9, WEIR_NOT_ALLOWED },
        { 0, 0, 2, NONE, "x", 9, WEIR_OK },          { 1, 1, 0, NONE, "", 0, WEIR_NOT_ALLOWED },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct weir_settings s = { .n_changes = rows[i].n_changes, .changes = two };
        struct weir_buf payload = { 0 };
        struct weir_id author = lab_device (rows[i].author);
        fixture_copy (s.database_name, rows[i].database_name);
        s.entry_version_max = rows[i].limit;
        two[0].device = lab_device (rows[i].leaver);
        two[0].right = rows[i].right;
        two[1].device = lab_device (5);
        weir_settings_put (&payload, &s, false);
        if (weir_members_may_store (r.members, view, &author, WEIR_ENTRY_SETTINGS,
                                    weir_buf_bytes (&payload))
            != rows[i].status) {
            fail_msg ("row %zu", i);
        }
        weir_buf_fini (&payload);
    }
    replica_fini (&r);
}

/* Writers and readers leave by themselves; what they were granted at the same time goes, too, and
 * a leave undoes nothing of what others did. */
static void
test_members_leave (void **state)
{
    (void) state;
    struct lab lab;
    lab_begin (&lab);
    uint32_t b = lab_say (&lab, 0, BIT (0), 1, WRITE);
    uint32_t c = lab_say (&lab, 0, BIT (b), 2, READ);
    uint32_t left = lab_say (&lab, 1, BIT (c), 1, NONE);
    CHECK ({ ADMIN, NONE, READ, NONE, NONE, NONE }, 0);
    (void) lab_say (&lab, 2, BIT (left), 2, NONE);
    CHECK ({ ADMIN, NONE, NONE, NONE, NONE, NONE }, 0);
    /* Made an admin by somebody who had not heard, and admitting somebody: void both. */
    uint32_t raised = lab_say (&lab, 0, BIT (c), 1, ADMIN);
    uint32_t late = lab_say (&lab, 1, BIT (raised), 3, WRITE);
    CHECK ({ ADMIN, NONE, NONE, NONE, NONE, NONE }, BIT (late));
    /* Whom nobody admitted cannot leave, and nobody leaves twice. */
    uint32_t stranger = lab_say (&lab, 4, BIT (c), 4, NONE);
    uint32_t again = lab_say (&lab, 1, BIT (left), 1, NONE);
    CHECK ({ ADMIN, NONE, NONE, NONE, NONE, NONE }, BIT (late) | BIT (stranger) | BIT (again));
    /* Coming back is a new grant. */
    (void) lab_say (&lab, 0, BIT (left) | BIT (late), 1, CARRY);
    CHECK ({ ADMIN, CARRY, NONE, NONE, NONE, NONE }, BIT (late) | BIT (stranger) | BIT (again));
}

static void
test_may_change (void **state)
{
    (void) state;
    struct lab lab;
    lab_begin (&lab);
    uint32_t b = lab_say (&lab, 0, BIT (0), 1, ADMIN);
    uint32_t c = lab_say (&lab, 0, BIT (b), 2, ADMIN);
    uint32_t d = lab_say (&lab, 1, BIT (c), 3, WRITE);
    struct replica r;
    replica_init (&r, &lab, NULL);
    uint32_t view = replica_view (&r, lab_all (&lab));
    (void) d;
    const struct {
        uint32_t author, device;
        enum weir_right right;
        const char *name;
        enum weir_status status;
    } rows[] = {
        { 0, 4, WRITE, "phone", WEIR_OK },
        { 1, 4, ADMIN, "", WEIR_OK },
        { 1, 2, ADMIN, "renamed", WEIR_OK },
        { 1, 2, WRITE, "", WEIR_NOT_ALLOWED }, /* same rank */
        { 1, 0, NONE, "", WEIR_NOT_ALLOWED },
        { 1, 1, NONE, "", WEIR_OK }, /* oneself */
        { 1, 3, NONE, "", WEIR_OK },
        { 2, 3, NONE, "", WEIR_OK },
        { 0, 0, READ, "", WEIR_OK },
        { 3, 3, NONE, "", WEIR_OK },          /* anybody leaves */
        { 3, 3, READ, "", WEIR_NOT_ALLOWED }, /* no admin */
        { 3, 4, READ, "", WEIR_NOT_ALLOWED },
        { 4, 3, NONE, "", WEIR_NOT_MEMBER },
        { 0, 4, NONE, "", WEIR_NOT_FOUND },
        { 0, 4, WEIR_RIGHT_COUNT, "", WEIR_INVALID_ARGUMENT },
        { 0, 4, READ, "\n", WEIR_INVALID_ARGUMENT },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct weir_member_change change = { lab_device (rows[i].device), rows[i].right, "" };
        fixture_copy (change.name, rows[i].name);
        struct weir_id author = lab_device (rows[i].author);
        struct weir_error e = { 0 };
        if (weir_members_may_change (r.members, view, &author, &change, &e) != rows[i].status) {
            fail_msg ("row %zu", i);
        }
        assert_int_equal (e.status, rows[i].status);
        assert_int_equal (weir_members_may_change (r.members, view, &author, &change, NULL),
                          rows[i].status);
    }
    replica_fini (&r);
}

/* A database that is full of members takes no new one; who is there can still be changed. */
static void
test_too_many_members (void **state)
{
    (void) state;
    struct weir_members *m = weir_members_new ();
    const struct weir_chain founder = { lab_device (0), 1 };
    struct weir_member_change *changes = calloc (WEIR_SETTINGS_CHANGES_MAX, sizeof *changes);
    struct weir_settings s = { .n_changes = WEIR_SETTINGS_CHANGES_MAX, .changes = changes };
    uint32_t view = 0;
    for (uint32_t i = 0; i < WEIR_MEMBERS_MAX / WEIR_SETTINGS_CHANGES_MAX; i++) {
        for (uint32_t n = 0; n < WEIR_SETTINGS_CHANGES_MAX; n++) {
            changes[n].device = lab_device (i * WEIR_SETTINGS_CHANGES_MAX + n);
            changes[n].right = WEIR_RIGHT_READ;
        }
        struct weir_id id = fixture_id (900000 + i);
        view = weir_members_with (m, view, weir_members_add (m, &id, &founder, view, &s));
    }
    size_t count = 0;
    (void) weir_members_list (m, view, &count);
    assert_int_equal (count, WEIR_MEMBERS_MAX);
    struct weir_member_change change = { lab_device (WEIR_MEMBERS_MAX), WEIR_RIGHT_READ, "" };
    struct weir_id author = lab_device (0);
    assert_int_equal (weir_members_may_change (m, view, &author, &change, NULL), WEIR_LIMIT);
    change.device = lab_device (WEIR_MEMBERS_MAX - 1);
    change.right = WEIR_RIGHT_NONE;
    assert_int_equal (weir_members_may_change (m, view, &author, &change, NULL), WEIR_OK);
    free (changes);
    weir_members_destroy (&m);
}

static void
test_the_list (void **state)
{
    (void) state;
    struct lab lab;
    lab_begin (&lab);
    uint32_t b = lab_say (&lab, 0, BIT (0), 2, ADMIN);
    uint32_t c = lab_say (&lab, 2, BIT (b), 1, WRITE);
    uint32_t d = lab_say (&lab, 2, BIT (c), 3, ADMIN);
    uint32_t gone = lab_say (&lab, 0, BIT (d), 3, NONE);
    uint32_t lower = lab_say (&lab, 0, BIT (gone), 2, READ);
    struct replica r;
    replica_init (&r, &lab, NULL);
    size_t n = 0;
    uint32_t view = replica_view (&r, lab_all (&lab));
    const struct weir_member *list = weir_members_list (r.members, view, &n);
    const struct {
        uint32_t device;
        enum weir_right right;
        uint32_t rank, by, entry;
    } rows[] = {
        { 0, ADMIN, 0, 0, 0 },
        { 2, READ, 1, 0, lower },
        { 1, WRITE, 2, 2, c },
        { 3, NONE, 2, 0, gone },
    };
    assert_int_equal (n, 4);
    for (size_t i = 0; i < 4; i++) {
        struct weir_id device = lab_device (rows[i].device);
        struct weir_id by = lab_device (rows[i].by);
        struct weir_id entry = lab_entry_id (rows[i].entry);
        assert_ids_equal (&list[i].device, &device);
        assert_ids_equal (&list[i].by, &by);
        assert_ids_equal (&list[i].entry, &entry);
        assert_int_equal (list[i].right, rows[i].right);
        assert_int_equal (list[i].rank, rows[i].rank);
        assert_int_equal (list[i].name[0], 'a' + rows[i].entry);
    }
    list = weir_members_list (r.members, 0, &n);
    assert_int_equal (n, 0);
    replica_fini (&r);
}

/* The founder is admin even if the genesis says otherwise, says nothing, or cannot be read. */
static void
test_the_genesis (void **state)
{
    (void) state;
    struct lab lab;
    lab_begin (&lab);
    lab.entries[0].changes[0].right = NONE;
    lab.entries[0].n_changes = 2;
    lab.entries[0].changes[1].device = 1;
    lab.entries[0].changes[1].right = WRITE;
    CHECK ({ ADMIN, WRITE, NONE, NONE, NONE, NONE }, 0);
    lab.entries[0].n_changes = 0;
    CHECK ({ ADMIN, NONE, NONE, NONE, NONE, NONE }, 0);
    lab.entries[0].broken = true;
    (void) lab_say (&lab, 0, BIT (0), 1, READ);
    CHECK ({ ADMIN, READ, NONE, NONE, NONE, NONE }, 0);
}

static void
test_names_and_limits (void **state)
{
    (void) state;
    struct lab lab;
    lab_begin (&lab);
    uint32_t b = lab_say (&lab, 0, BIT (0), 1, ADMIN);
    uint32_t one = lab_say (&lab, 0, BIT (b), 2, READ);
    uint32_t two = lab_say (&lab, 1, BIT (b), 3, READ);
    lab.entries[one].database_name = "one";
    lab.entries[two].database_name = "two";
    lab.entries[one].n_changes = 0;
    uint32_t bad = lab_say (&lab, 4, BIT (two), 3, READ);
    lab.entries[bad].database_name = "bad";
    for (uint64_t seed = 0; seed < 8; seed++) {
        struct weir_rand random;
        weir_rand_init (&random, seed);
        struct replica r;
        replica_init (&r, &lab, &random);
        uint8_t version, codec;
        assert_string_equal (weir_members_database_name (r.members, 0), "");
        weir_members_limits (r.members, 0, &version, &codec);
        assert_int_equal (version, 0);
        uint32_t view = replica_view (&r, BIT (0));
        assert_string_equal (weir_members_database_name (r.members, view), "notes");
        view = replica_view (&r, lab_all (&lab));
        /* Equal pasts: the greater author's is the later. */
        assert_string_equal (weir_members_database_name (r.members, view), "two");
        weir_members_limits (r.members, view, &version, &codec);
        assert_int_equal (version, two + 1); /* not what is void */
        assert_int_equal (codec, 0);
        assert_false (replica_void (&r, lab_all (&lab), one)); /* a name is an effect */
        assert_true (replica_void (&r, lab_all (&lab), bad));
        assert_false (replica_void (&r, BIT (0), bad)); /* not of that version */
        replica_fini (&r);
    }
}

static void
test_views (void **state)
{
    (void) state;
    struct lab lab;
    lab_begin (&lab);
    uint32_t left = lab_say (&lab, 0, BIT (0), 1, READ);
    uint32_t right = lab_say (&lab, 0, BIT (0), 2, READ);
    struct replica r;
    replica_init (&r, &lab, NULL);
    struct weir_members *m = r.members;
    uint32_t l = replica_view (&r, BIT (0) | BIT (left));
    uint32_t k = replica_view (&r, BIT (0) | BIT (right));
    const uint32_t both[] = { l, k };
    const uint32_t same[] = { k, k, k };
    const uint32_t mixed[] = { 0, l, replica_view (&r, BIT (0)) };
    uint32_t joined = weir_members_join (m, both, 2);
    assert_int_equal (weir_members_join (m, NULL, 0), 0);
    assert_int_equal (weir_members_join (m, same, 3), k);
    assert_int_equal (weir_members_join (m, mixed, 3), l);
    assert_int_equal (joined, replica_view (&r, lab_all (&lab)));
    assert_int_equal (weir_members_with (m, l, r.ordinals[right]), joined);
    assert_int_equal (weir_members_with (m, joined, r.ordinals[0]), joined);
    const uint32_t views[] = { 0, l, k, joined };
    for (size_t i = 0; i < 4; i++) {
        struct weir_buf out = { 0 };
        uint32_t back = 99;
        weir_members_view_put (m, views[i], &out);
        weir_buf_put_u8 (&out, 77);
        struct weir_reader reader = weir_reader (weir_buf_bytes (&out));
        assert_int_equal (weir_members_view_get (m, &back, &reader), WEIR_OK);
        assert_int_equal (back, views[i]);
        assert_int_equal (weir_reader_left (&reader), 1);
        weir_buf_fini (&out);
    }
    const struct {
        const char *bytes;
        size_t len;
        enum weir_status status;
    } rows[] = {
        { "", 0, WEIR_CORRUPT },
        { "\x01", 1, WEIR_CORRUPT },
        { "\x01\x03", 2, WEIR_CORRUPT },
        { "\xff\xff\xff\xff\x0f\x00", 6, WEIR_CORRUPT },
        { "\x02\x00\x80", 3, WEIR_CORRUPT },
        { "\x03\x01\x00\x01", 4, WEIR_OK },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint32_t back = 99;
        struct weir_reader reader = weir_reader (weir_bytes (rows[i].bytes, rows[i].len));
        assert_int_equal (weir_members_view_get (m, &back, &reader), rows[i].status);
        assert_int_equal (back, rows[i].status == WEIR_OK ? l : 99);
    }
    /* Adding twice is adding once. */
    uint32_t before = r.ordinals[right];
    replica_add (&r, right);
    assert_int_equal (r.ordinals[right], before);
    replica_fini (&r);
    struct weir_members *none = NULL;
    weir_members_destroy (&none);
}

/* As a store opens: views that were kept name what is added again in the same order. */
static void
test_views_survive_a_restart (void **state)
{
    (void) state;
    struct lab lab;
    lab_begin (&lab);
    (void) lab_say (&lab, 0, BIT (0), 1, ADMIN);
    (void) lab_say (&lab, 0, BIT (1), 2, READ);
    (void) lab_say (&lab, 1, BIT (1), 3, READ);
    struct replica a, b;
    replica_init (&a, &lab, NULL);
    replica_init (&b, &lab, NULL);
    struct weir_buf out = { 0 };
    weir_members_view_put (a.members, replica_view (&a, lab_all (&lab)), &out);
    struct weir_reader reader = weir_reader (weir_buf_bytes (&out));
    uint32_t view;
    assert_int_equal (weir_members_view_get (b.members, &view, &reader), WEIR_OK);
    struct weir_id device = lab_device (3);
    assert_int_equal (weir_members_right (b.members, view, &device), READ);
    weir_buf_fini (&out);
    replica_fini (&a);
    replica_fini (&b);
}

/* One device is granted and lowered again and again: each change costs the same (2,100 of them
 * took 7 s when each looked at all), and the answers are those of a replica that is asked once. */
static void
test_many_changes (void **state)
{
    (void) state;
    struct weir_members *asked = weir_members_new ();
    struct weir_members *silent = weir_members_new ();
    struct weir_chain chain = { lab_device (0), 1 };
    struct weir_id device = lab_device (1);
    uint32_t view = 0;
    uint32_t silent_view = 0;
    for (uint32_t i = 0; i <= 2100; i++) {
        struct weir_member_change change = { .device = device,
                                             .right = i % 3 == 0 ? WEIR_RIGHT_ADMIN
                                                                 : (enum weir_right) (i % 3 + 1) };
        struct weir_settings settings = { .n_changes = i > 0, .changes = &change };
        struct weir_id id = fixture_id (5000 + i);
        uint32_t ordinal = weir_members_add (asked, &id, &chain, view, &settings);
        view = weir_members_with (asked, view, ordinal);
        ordinal = weir_members_add (silent, &id, &chain, silent_view, &settings);
        silent_view = weir_members_with (silent, silent_view, ordinal);
        assert_int_equal (weir_members_right (asked, view, &device),
                          i > 0 ? change.right : WEIR_RIGHT_NONE);
    }
    assert_int_equal (weir_members_right (silent, silent_view, &device),
                      weir_members_right (asked, view, &device));
    weir_members_destroy (&asked);
    weir_members_destroy (&silent);
}

int
main (void)
{
    weir_crypto_init ();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_one_after_the_other),
        cmocka_unit_test (test_back_dated_grants_are_void),
        cmocka_unit_test (test_earlier_grants_stay),
        cmocka_unit_test (test_lowering_removes_what_it_takes_away),
        cmocka_unit_test (test_removal_beats_a_concurrent_grant),
        cmocka_unit_test (test_two_invitations_give_the_greater),
        cmocka_unit_test (test_one_rank_cannot_remove_itself),
        cmocka_unit_test (test_the_smaller_rank_wins),
        cmocka_unit_test (test_a_void_removal_voids_nothing),
        cmocka_unit_test (test_readmission_brings_nothing_back),
        cmocka_unit_test (test_leaving),
        cmocka_unit_test (test_strangers_change_nothing),
        cmocka_unit_test (test_removing_a_stranger),
        cmocka_unit_test (test_a_concurrent_invitation_from_above_protects),
        cmocka_unit_test (test_may_store),
        cmocka_unit_test (test_may_store_a_leave),
        cmocka_unit_test (test_members_leave),
        cmocka_unit_test (test_may_change),
        cmocka_unit_test (test_too_many_members),
        cmocka_unit_test (test_the_list),
        cmocka_unit_test (test_the_genesis),
        cmocka_unit_test (test_names_and_limits),
        cmocka_unit_test (test_many_changes),
        cmocka_unit_test (test_views),
        cmocka_unit_test (test_views_survive_a_restart),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
