/* Goal: random settings DAGs of 2..5 devices, hostile ones among them, added in permuted orders:
 * every replica gives the same rights, lists and voids for every version, and they are those of a
 * slow model that states the rules with masks and nothing else. Beside the model, properties that
 * people count on are checked by themselves: no removals that cross, nothing of a removed admin
 * that did not know, nobody back without a later grant, and a change that may_change allows
 * takes effect. */

#include "tests/store/dag/lab.h"

#define DEVICES 5u

/* ---- the model ---- */

/* One effect of one change, in one version. */
struct model {
    const struct lab *lab;
    bool stored[LAB_ENTRIES_MAX];
    bool lowering[LAB_ENTRIES_MAX][LAB_CHANGES_MAX];
};

struct verdict {
    int level[LAB_ENTRIES_MAX]; /* -2: not supported */
    bool effective[LAB_ENTRIES_MAX];
    bool applied[LAB_ENTRIES_MAX][LAB_CHANGES_MAX];
};

static bool
in (uint32_t mask, uint32_t entry)
{
    return (mask >> entry & 1) != 0;
}

static bool
knows (const struct lab *lab, uint32_t a, uint32_t b)
{
    return in (lab->entries[a].past, b);
}

/* Calls for every applied change to `device` that is (not) a lowering. */
#define EACH_CHANGE(lab, e, c, device_)                                                            \
    for (uint32_t e = 0; e < (lab)->count; e++)                                                    \
        for (uint32_t c = 0; c < (lab)->entries[e].n_changes; c++)                                 \
            if ((lab)->entries[e].changes[c].device == (device_))

static enum weir_right
change_right (const struct lab *lab, uint32_t e, uint32_t c)
{
    bool founder = e == 0 && lab->entries[0].changes[c].device == 0;
    return founder ? WEIR_RIGHT_ADMIN : lab->entries[e].changes[c].right;
}

static int
level_of_grant (const struct verdict *v, const struct lab *lab, uint32_t e, uint32_t c)
{
    return e == 0 && lab->entries[0].changes[c].device == 0 ? -1 : v->level[e];
}

/* The grant (e, c) is taken below `right`, as seen from `past` at `level`. */
static bool
taken (const struct model *m, const struct verdict *v, uint32_t e, uint32_t c, uint32_t past,
       int level, enum weir_right right)
{
    const struct lab *lab = m->lab;
    uint32_t device = lab->entries[e].changes[c].device;
    EACH_CHANGE (lab, l, k, device)
    {
        if (v->applied[l][k] && m->lowering[l][k] && change_right (lab, l, k) < right
            && in (past, l) && !knows (lab, e, l)
            && (v->level[l] < level
                || (v->level[l] == level && lab->entries[l].author == device))) {
            return true;
        }
    }
    return false;
}

static enum weir_right
needed (const struct lab *lab, uint32_t entry)
{
    return lab_leaves (&lab->entries[entry]) ? WEIR_RIGHT_CARRY : WEIR_RIGHT_ADMIN;
}

static bool
supported (const struct model *m, const struct verdict *v, uint32_t entry, int level)
{
    const struct lab *lab = m->lab;
    enum weir_right least = needed (lab, entry);
    uint32_t past = lab->entries[entry].past;
    EACH_CHANGE (lab, e, c, lab->entries[entry].author)
    {
        if (v->applied[e][c] && !m->lowering[e][c] && change_right (lab, e, c) >= least
            && in (past, e) && level_of_grant (v, lab, e, c) == level - 1
            && !taken (m, v, e, c, past, level, least)) {
            return true;
        }
    }
    return false;
}

static bool
voided (const struct model *m, const struct verdict *v, uint32_t entry, bool own)
{
    const struct lab *lab = m->lab;
    uint32_t author = lab->entries[entry].author;
    EACH_CHANGE (lab, l, k, author)
    {
        bool concurrent = l != entry && !knows (lab, l, entry) && !knows (lab, entry, l);
        bool by_itself = lab->entries[l].author == author;
        if (v->applied[l][k] && m->lowering[l][k] && concurrent && by_itself == own
            && (own ? v->level[l] <= v->level[entry] : v->level[l] < v->level[entry])) {
            return true;
        }
    }
    return false;
}

static bool
lowers (const struct model *m, const struct verdict *v, uint32_t entry, uint32_t device)
{
    const struct lab *lab = m->lab;
    EACH_CHANGE (lab, e, c, device)
    {
        if (v->applied[e][c] && !m->lowering[e][c] && !knows (lab, e, entry)
            && level_of_grant (v, lab, e, c) < v->level[entry]
            && !taken (m, v, e, c, lab->entries[entry].past, v->level[entry], WEIR_RIGHT_CARRY)) {
            return false;
        }
    }
    return true;
}

static void
apply (const struct model *m, struct verdict *v, uint32_t e, bool own)
{
    const struct lab_entry *entry = &m->lab->entries[e];
    for (uint32_t c = 0; c < entry->n_changes && !entry->broken; c++) {
        bool of_itself = m->lowering[e][c] && entry->changes[c].device == entry->author;
        if (own) {
            v->applied[e][c] = v->applied[e][c] || of_itself;
        } else if (!of_itself) {
            v->applied[e][c] = m->lowering[e][c] ? lowers (m, v, e, entry->changes[c].device)
                                                 : change_right (m->lab, e, c) > WEIR_RIGHT_NONE;
        }
    }
}

/* Levels without end: as many as there are entries, over all entries each time. */
static struct verdict
judge (const struct model *m, uint32_t mask)
{
    const struct lab *lab = m->lab;
    struct verdict v = { .level = { 0 } };
    for (uint32_t e = 0; e < lab->count; e++) {
        v.level[e] = -2;
    }
    if (!in (mask, 0)) {
        return v;
    }
    v.level[0] = 0;
    v.effective[0] = true;
    apply (m, &v, 0, false);
    for (int level = 0; level <= (int) lab->count; level++) {
        bool heard[LAB_ENTRIES_MAX] = { false };
        for (uint32_t e = 1; e < lab->count; e++) {
            if (in (mask, e) && m->stored[e] && v.level[e] == -2 && supported (m, &v, e, level)) {
                v.level[e] = level;
                heard[e] = !voided (m, &v, e, false);
                if (heard[e]) {
                    apply (m, &v, e, true);
                }
            }
        }
        for (uint32_t e = 1; e < lab->count; e++) {
            v.effective[e] = v.effective[e] || (heard[e] && !voided (m, &v, e, true));
        }
        for (uint32_t e = 1; e < lab->count; e++) {
            if (v.effective[e] && v.level[e] == level) {
                apply (m, &v, e, false);
            }
        }
    }
    return v;
}

static enum weir_right
model_right (const struct model *m, const struct verdict *v, uint32_t device)
{
    const struct lab *lab = m->lab;
    enum weir_right best = WEIR_RIGHT_NONE;
    EACH_CHANGE (lab, e, c, device)
    {
        if (!v->applied[e][c] || m->lowering[e][c]) {
            continue;
        }
        enum weir_right worth = change_right (lab, e, c);
        EACH_CHANGE (lab, l, k, device)
        {
            if (v->applied[l][k] && m->lowering[l][k] && !knows (lab, e, l)
                && change_right (lab, l, k) < worth) {
                worth = change_right (lab, l, k);
            }
        }
        best = worth > best ? worth : best;
    }
    return best;
}

/* The plan is in an order with pasts first, so each entry's own past is judged before it. */
static void
model_init (struct model *m, const struct lab *lab)
{
    *m = (struct model){ .lab = lab };
    for (uint32_t e = 1; e < lab->count; e++) {
        struct verdict v = judge (m, lab->entries[e].past);
        m->stored[e] = model_right (m, &v, lab->entries[e].author) >= needed (lab, e);
        for (uint32_t c = 0; c < lab->entries[e].n_changes; c++) {
            m->lowering[e][c] =
                change_right (lab, e, c) < model_right (m, &v, lab->entries[e].changes[c].device);
        }
    }
}

/* ---- random plans ---- */

static enum weir_right
random_right (struct weir_rand *r)
{
    const enum weir_right rights[] = {
        WEIR_RIGHT_ADMIN, WEIR_RIGHT_ADMIN, WEIR_RIGHT_ADMIN, WEIR_RIGHT_NONE,
        WEIR_RIGHT_NONE,  WEIR_RIGHT_WRITE, WEIR_RIGHT_READ,  WEIR_RIGHT_CARRY,
    };
    return rights[weir_rand_below (r, 8)];
}

static void
random_lab (struct lab *lab, struct weir_rand *r)
{
    uint32_t devices = 2 + (uint32_t) weir_rand_below (r, DEVICES - 1);
    uint32_t count = 3 + (uint32_t) weir_rand_below (r, LAB_ENTRIES_MAX - 3);
    uint64_t seen = 1 + weir_rand_below (r, 4); /* how much writers have mostly seen */
    lab_begin (lab);
    while (lab->count < count) {
        uint32_t mask = 1;
        for (uint64_t n = weir_rand_below (r, seen + 1) + 1; n > 0; n--) {
            mask |= 1u << weir_rand_below (r, lab->count);
        }
        uint32_t e = lab_say (lab, (uint32_t) weir_rand_below (r, devices), mask,
                              (uint32_t) weir_rand_below (r, devices), random_right (r));
        struct lab_entry *entry = &lab->entries[e];
        entry->lane = weir_rand_below (r, 2);
        entry->broken = weir_rand_below (r, 30) == 0;
        entry->more = weir_rand_below (r, 4) == 0;
        for (size_t more = weir_rand_below (r, 8) == 0 ? 2 : 0; more > 0; more--) {
            uint32_t device = (uint32_t) weir_rand_below (r, devices);
            bool twice = false;
            for (size_t c = 0; c < entry->n_changes; c++) {
                twice = twice || entry->changes[c].device == device;
            }
            if (!twice) {
                entry->changes[entry->n_changes].device = device;
                entry->changes[entry->n_changes++].right = random_right (r);
            }
        }
        if (weir_rand_below (r, 10) == 0) {
            entry->database_name = "another";
        }
        if (entry->broken) {
            entry->n_changes = 0;
        }
    }
}

/* ---- checks ---- */

static void
check_against_model (struct replica *r, const struct model *m, uint32_t mask)
{
    struct verdict v = judge (m, mask);
    for (uint32_t d = 0; d < DEVICES; d++) {
        assert_int_equal (replica_right (r, mask, d), model_right (m, &v, d));
    }
    for (uint32_t e = 0; e < r->lab->count; e++) {
        const struct lab_entry *entry = &r->lab->entries[e];
        bool any = entry->n_changes == 0 || entry->database_name != NULL;
        bool effect = v.effective[e] && any && !entry->broken;
        for (uint32_t c = 0; c < entry->n_changes; c++) {
            effect = effect || v.applied[e][c];
        }
        assert_int_equal (replica_void (r, mask, e), in (mask, e) && !effect);
    }
}

static void
check_replicas_agree (struct replica *a, struct replica *b, uint32_t mask)
{
    uint32_t view_a = replica_view (a, mask);
    uint32_t view_b = replica_view (b, mask);
    size_t n_a, n_b;
    const struct weir_member *list_a = weir_members_list (a->members, view_a, &n_a);
    const struct weir_member *list_b = weir_members_list (b->members, view_b, &n_b);
    assert_int_equal (n_a, n_b);
    for (size_t i = 0; i < n_a; i++) {
        assert_ids_equal (&list_a[i].device, &list_b[i].device);
        assert_ids_equal (&list_a[i].by, &list_b[i].by);
        assert_ids_equal (&list_a[i].entry, &list_b[i].entry);
        assert_int_equal (list_a[i].right, list_b[i].right);
        assert_int_equal (list_a[i].rank, list_b[i].rank);
        assert_string_equal (list_a[i].name, list_b[i].name);
        assert_false (weir_id_is_zero (&list_a[i].entry));
        assert_int_equal (list_a[i].right,
                          weir_members_right (a->members, view_a, &list_a[i].device));
    }
    assert_string_equal (weir_members_database_name (a->members, view_a),
                         weir_members_database_name (b->members, view_b));
    uint8_t limits[4];
    weir_members_limits (a->members, view_a, &limits[0], &limits[1]);
    weir_members_limits (b->members, view_b, &limits[2], &limits[3]);
    assert_int_equal (limits[0], limits[2]);
    for (uint32_t e = 0; e < a->lab->count; e++) {
        assert_int_equal (replica_void (a, mask, e), replica_void (b, mask, e));
    }
}

/* A single change that lowers, by what its author saw, and has effect in the version. */
static bool
is_effective_lowering (struct replica *r, uint32_t mask, uint32_t e)
{
    const struct lab_entry *entry = &r->lab->entries[e];
    return e > 0 && in (mask, e) && entry->n_changes == 1 && entry->database_name == NULL
           && entry->changes[0].right < replica_right (r, entry->past, entry->changes[0].device)
           && !replica_void (r, mask, e);
}

/* Was the device lowered before, in the past of `l`? What it did then, it did by another rank. */
static bool
has_a_past (struct replica *r, uint32_t mask, uint32_t l, uint32_t device)
{
    const struct lab *lab = r->lab;
    EACH_CHANGE (lab, e, c, device)
    {
        if (knows (lab, l, e) && !replica_void (r, mask, e)
            && lab->entries[e].changes[c].right < replica_right (r, lab->entries[e].past, device)) {
            return true;
        }
    }
    return false;
}

static void
check_one_lowering (struct replica *r, uint32_t mask, uint32_t l)
{
    const struct lab *lab = r->lab;
    uint32_t device = lab->entries[l].changes[0].device;
    uint32_t author = lab->entries[l].author;
    bool granted_again = false;
    bool by_another = author != device && !has_a_past (r, mask, l, device);
    for (uint32_t e = 1; e < lab->count; e++) {
        const struct lab_entry *entry = &lab->entries[e];
        if (!in (mask, e) || e == l) {
            continue;
        }
        bool concurrent = !knows (lab, e, l) && !knows (lab, l, e);
        if (by_another && concurrent && entry->author == device) {
            assert_true (replica_void (r, mask, e)); /* what D did without knowing */
        }
        if (by_another && concurrent && is_effective_lowering (r, mask, e)) {
            assert_false (entry->author == device && entry->changes[0].device == author);
        }
        for (size_t c = 0; c < entry->n_changes; c++) {
            granted_again = granted_again
                            || (knows (lab, e, l) && entry->changes[c].device == device
                                && !replica_void (r, mask, e));
        }
    }
    if (!granted_again) {
        assert_true (replica_right (r, mask, device) <= lab->entries[l].changes[0].right);
    }
}

static void
check_properties (struct replica *r, uint32_t mask)
{
    const struct lab *lab = r->lab;
    for (uint32_t e = 1; e < lab->count; e++) {
        const struct lab_entry *entry = &lab->entries[e];
        if (is_effective_lowering (r, mask, e)) {
            check_one_lowering (r, mask, e);
        }
        if (in (mask, e) && !replica_void (r, mask, e)) {
            assert_true (replica_right (r, entry->past, entry->author) >= needed (lab, e));
        }
        bool more = entry->more && entry->changes[0].device == entry->author;
        if (entry->n_changes != 1 || entry->database_name != NULL || entry->broken || more) {
            continue;
        }
        /* At the moment it was made, an entry has exactly the effect may_change foretold. */
        struct weir_member_change change = { .right = entry->changes[0].right };
        change.device = lab_device (entry->changes[0].device);
        struct weir_id author = lab_device (entry->author);
        enum weir_status status = weir_members_may_change (
            r->members, replica_view (r, entry->past), &author, &change, NULL);
        assert_int_equal (status != WEIR_OK, replica_void (r, entry->past | 1u << e, e));
    }
}

static void
test_random_plans (void **state)
{
    (void) state;
    for (uint64_t seed = 0; seed < 1000; seed++) {
        struct weir_rand random;
        weir_rand_init (&random, seed);
        struct lab lab;
        random_lab (&lab, &random);
        struct model m;
        model_init (&m, &lab);
        struct replica a, b;
        replica_init (&a, &lab, NULL);
        replica_init (&b, &lab, &random);
        for (int n = 0; n < 12; n++) {
            uint32_t mask =
                n == 0 ? lab_all (&lab) : (uint32_t) weir_rand_u64 (&random) & lab_all (&lab);
            mask = lab_closed (&lab, mask | (n == 11 ? 0 : 1));
            check_against_model (&a, &m, mask);
            check_against_model (&b, &m, mask);
            check_replicas_agree (&a, &b, mask);
            check_properties (&b, mask);
        }
        replica_fini (&a);
        replica_fini (&b);
    }
}

/* Every version of a plan, asked in a mixed order twice: what is kept, what was forgotten and
 * judged again, and what is judged by one step give the same. */
static void
test_every_version (void **state)
{
    (void) state;
    uint32_t most = 0;
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct weir_rand random;
        weir_rand_init (&random, 90000 + seed);
        struct lab lab;
        random_lab (&lab, &random);
        struct model m;
        model_init (&m, &lab);
        struct replica r;
        replica_init (&r, &lab, &random);
        for (uint32_t n = 0; n < 2u << lab.count && n < 3000; n++) {
            uint32_t mask = n * 40503u & lab_all (&lab);
            if (lab_closed (&lab, mask) == mask) {
                uint32_t view = replica_view (&r, mask);
                most = view > most ? view : most;
                check_against_model (&r, &m, mask);
            }
        }
        replica_fini (&r);
    }
    assert_true (most > 2 * 64); /* more versions than judgements are kept */
}

int
main (void)
{
    weir_crypto_init ();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_random_plans),
        cmocka_unit_test (test_every_version),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
