/* Goal: two nodes that tell each other their rows, and samples where asked, send each other
 * exactly what the other lacks, in at most four messages; nothing that told rows prove held is
 * sent, but for forks no more than the other's branch is long. Absurd rows crash nothing and
 * never make a node send more than it has. Random forests of forked chains, from seeds. */

#include "tests/store/dag/fixture.h"

#include "store/dag/vector.h"

#define ENTRIES_MAX 400u
#define CHAINS 3u
#define NONE UINT32_MAX

struct node_entry {
    struct weir_id id;
    struct weir_chain chain;
    uint64_t seq;
    uint32_t parent;
};

struct universe {
    struct node_entry entries[ENTRIES_MAX];
    uint32_t count;
};

struct side {
    const struct universe *u;
    bool held[ENTRIES_MAX];
    struct weir_vector vector;
    struct weir_ranges lacks;   /* what the other lacks, of the last compare */
    struct weir_vector unknown; /* rows that our next message carries samples for */
    bool more;
    struct weir_compare_store store;
    uint64_t reads;
};

static uint32_t
lookup (const struct universe *u, const struct weir_id *id)
{
    for (uint32_t i = 0; i < u->count; i++) {
        if (weir_id_equal (&u->entries[i].id, id)) {
            return i;
        }
    }
    return NONE;
}

static bool
side_find (void *context, const struct weir_id *entry, struct weir_chain *chain, uint64_t *seq)
{
    struct side *s = context;
    s->reads++;
    uint32_t i = lookup (s->u, entry);
    if (i == NONE || !s->held[i]) {
        return false;
    }
    *chain = s->u->entries[i].chain;
    *seq = s->u->entries[i].seq;
    return true;
}

static bool
side_id_at (void *context, const struct weir_row *tip, uint64_t seq, struct weir_id *id)
{
    struct side *s = context;
    s->reads++;
    uint32_t i = lookup (s->u, &tip->tip);
    assert_true (i != NONE && s->held[i]); /* only ours are asked for */
    while (i != NONE && s->u->entries[i].seq > seq) {
        i = s->u->entries[i].parent;
    }
    if (i == NONE || s->u->entries[i].seq != seq) {
        return false;
    }
    *id = s->u->entries[i].id;
    return true;
}

static void
side_init (struct side *s, const struct universe *u)
{
    *s = (struct side){ .u = u };
    s->store = (struct weir_compare_store){ s, side_find, side_id_at };
}

static void
side_fini (struct side *s)
{
    weir_vector_fini (&s->vector);
    weir_vector_fini (&s->unknown);
    weir_ranges_fini (&s->lacks);
}

static void
side_hold (struct side *s, uint32_t i)
{
    for (; i != NONE; i = s->u->entries[i].parent) {
        s->held[i] = true;
    }
}

static void
side_index (struct side *s)
{
    weir_vector_clear (&s->vector);
    for (uint32_t i = 0; i < s->u->count; i++) {
        bool is_tip = s->held[i];
        for (uint32_t j = i + 1; is_tip && j < s->u->count; j++) {
            is_tip = !(s->held[j] && s->u->entries[j].parent == i);
        }
        if (is_tip) {
            const struct node_entry *e = &s->u->entries[i];
            struct weir_row row = { e->chain, e->seq + 1, e->id };
            weir_vector_put (&s->vector, &row);
        }
    }
}

/* Chains that fork with one chance in `fork` at each entry (0: never). */
static void
grow_universe (struct universe *u, struct weir_rand *r, uint32_t count, unsigned fork)
{
    u->count = 0;
    uint32_t last[CHAINS] = { NONE, NONE, NONE };
    while (u->count < count) {
        uint32_t c = (uint32_t) weir_rand_below (r, CHAINS);
        struct node_entry *e = &u->entries[u->count];
        weir_rand_bytes (r, e->id.b, sizeof e->id.b);
        e->chain = (struct weir_chain){ fixture_id (c / 2), c % 2 };
        e->parent = last[c];
        if (last[c] != NONE && fork != 0 && weir_rand_below (r, fork) == 0) {
            for (uint64_t up = weir_rand_below (r, 30); up > 0 && e->parent != NONE; up--) {
                e->parent = u->entries[e->parent].parent;
            }
        }
        e->seq = e->parent == NONE ? 0 : u->entries[e->parent].seq + 1;
        last[c] = u->count++;
    }
}

/* One message from `from`, and what `to` makes of it. */
static void
tell (struct side *from, struct side *to)
{
    size_t n = from->vector.count;
    struct weir_told_row *told = weir_alloc ((n + 1) * sizeof told[0]);
    struct weir_sample *samples =
        weir_alloc ((n + 1) * WEIR_VECTOR_SAMPLES_MAX * sizeof samples[0]);
    for (size_t i = 0; i < n; i++) {
        const struct weir_row *row = &from->vector.rows[n - 1 - i]; /* order does not matter */
        told[i].row = *row;
        told[i].samples = samples + i * WEIR_VECTOR_SAMPLES_MAX;
        if (weir_vector_find (&from->unknown, &row->chain, &row->tip) != NULL) {
            told[i].n_samples =
                weir_vector_samples (row, &from->store, told[i].samples, WEIR_VECTOR_SAMPLES_MAX);
        }
    }
    weir_ranges_clear (&to->lacks);
    weir_vector_clear (&to->unknown);
    weir_vector_compare (&to->vector, told, n, &to->store, &to->lacks, &to->more, &to->unknown);
    free (samples);
    free (told);
}

static uint32_t
entry_at (const struct universe *u, uint32_t tip, uint64_t seq)
{
    while (tip != NONE && u->entries[tip].seq > seq) {
        tip = u->entries[tip].parent;
    }
    return tip;
}

/* How far the branch of `tip` runs beyond what it shares with `other`. */
static uint64_t
distance (const struct universe *u, uint32_t tip, uint32_t other)
{
    uint64_t n = u->entries[tip].seq + 1;
    for (uint64_t seq = 0; seq <= u->entries[tip].seq; seq++) {
        if (entry_at (u, tip, seq) == entry_at (u, other, seq)) {
            n = u->entries[tip].seq - seq;
        }
    }
    return n;
}

/* The longest branch of the other's unknown tips that parts from `tip`. */
static uint64_t
excess_allowed (const struct side *to, const struct side *from, uint32_t tip)
{
    uint64_t most = 0;
    for (size_t i = 0; i < to->vector.count; i++) {
        const struct weir_row *row = &to->vector.rows[i];
        uint32_t other = lookup (to->u, &row->tip);
        if (weir_chain_compare (&row->chain, &to->u->entries[tip].chain) == 0
            && !from->held[other]) {
            uint64_t d = distance (to->u, other, tip);
            most = d > most ? d : most;
        }
    }
    return most;
}

/* What `from->lacks` would bring: every range is held, none overlap, and the excess is within
 * bounds. */
static void
check_lacks (const struct side *from, const struct side *to, bool sent[ENTRIES_MAX])
{
    const struct universe *u = from->u;
    for (size_t i = 0; i < from->lacks.count; i++) {
        const struct weir_range *range = &from->lacks.items[i];
        uint32_t tip = lookup (u, &range->tip);
        assert_true (tip != NONE && from->held[tip]);
        assert_true (range->from_seq < range->to_seq);
        assert_int_equal (u->entries[tip].seq + 1, range->to_seq);
        uint64_t excess = 0;
        for (uint64_t seq = range->from_seq; seq < range->to_seq; seq++) {
            uint32_t e = entry_at (u, tip, seq);
            assert_false (sent[e]);
            sent[e] = true;
            excess += to->held[e];
        }
        assert_true (excess <= excess_allowed (to, from, tip));
    }
}

static void
exchange (const struct universe *u, struct side *a, struct side *b)
{
    side_index (a);
    side_index (b);
    tell (a, b);
    int messages = 1;
    while (messages < 4 && (messages == 1 || a->unknown.count + b->unknown.count > 0)) {
        struct side *from = messages % 2 == 1 ? b : a;
        tell (from, from == a ? b : a);
        messages++;
    }
    bool to_a[ENTRIES_MAX] = { false };
    bool to_b[ENTRIES_MAX] = { false };
    check_lacks (a, b, to_b);
    check_lacks (b, a, to_a);
    for (uint32_t i = 0; i < u->count; i++) {
        a->held[i] = a->held[i] || to_a[i];
        b->held[i] = b->held[i] || to_b[i];
    }
    assert_memory_equal (a->held, b->held, u->count * sizeof a->held[0]);
    /* In step: nothing more to say. */
    side_index (a);
    side_index (b);
    weir_vector_clear (&a->unknown);
    weir_vector_clear (&b->unknown);
    assert_true (weir_vector_equal (&a->vector, &b->vector));
    tell (a, b);
    assert_int_equal (b->lacks.count, 0);
    assert_int_equal (b->unknown.count, 0);
    assert_false (b->more);
}

static void
test_two_sides_converge (void **state)
{
    (void) state;
    struct universe *u = malloc (sizeof *u);
    for (uint64_t seed = 0; seed < 1500; seed++) {
        struct weir_rand r;
        weir_rand_init (&r, seed);
        const unsigned forks[] = { 0, 60, 20, 5 };
        grow_universe (u, &r, 1 + (uint32_t) weir_rand_below (&r, 150), forks[seed % 4]);
        struct side a, b;
        side_init (&a, u);
        side_init (&b, u);
        struct side *sides[] = { &a, &b };
        for (size_t i = 0; i < 2; i++) {
            for (uint64_t n = weir_rand_below (&r, 8); n > 0; n--) {
                side_hold (sides[i], (uint32_t) weir_rand_below (&r, u->count));
            }
        }
        exchange (u, &a, &b);
        side_fini (&a);
        side_fini (&b);
    }
    free (u);
}

/* One side is ahead, nothing forked: two messages, no samples, exactly what is missing, and one
 * look-up a chain. */
static void
test_plain_extension (void **state)
{
    (void) state;
    struct universe *u = malloc (sizeof *u);
    struct weir_rand r;
    weir_rand_init (&r, 1);
    grow_universe (u, &r, 300, 0);
    struct side a, b;
    side_init (&a, u);
    side_init (&b, u);
    for (uint32_t i = 0; i < u->count; i++) {
        side_hold (&a, i);
        if (i < 290) {
            side_hold (&b, i);
        }
    }
    side_index (&a);
    side_index (&b);
    tell (&a, &b);
    assert_true (b.more);
    assert_int_equal (b.lacks.count, 0);
    assert_int_equal (b.unknown.count, 0);
    tell (&b, &a);
    assert_false (a.more);
    assert_int_equal (a.unknown.count, 0);
    uint64_t sum = 0;
    for (size_t i = 0; i < a.lacks.count; i++) {
        sum += a.lacks.items[i].to_seq - a.lacks.items[i].from_seq;
    }
    assert_int_equal (sum, 10);
    assert_true (a.reads <= 2 * CHAINS && b.reads <= 2 * CHAINS);
    side_fini (&a);
    side_fini (&b);
    free (u);
}

/* Chains that one side has never heard of go whole; what the other told of ours proves it. */
static void
test_unknown_chains (void **state)
{
    (void) state;
    struct universe *u = malloc (sizeof *u);
    struct weir_rand r;
    weir_rand_init (&r, 2);
    grow_universe (u, &r, 100, 0);
    struct side a, b;
    side_init (&a, u);
    side_init (&b, u);
    for (uint32_t i = 0; i < u->count; i++) {
        if (u->entries[i].chain.lane == 0) {
            side_hold (&a, i);
        } else {
            side_hold (&b, i);
        }
    }
    exchange (u, &a, &b);
    side_fini (&a);
    side_fini (&b);
    struct side empty;
    side_init (&empty, u);
    side_init (&a, u);
    side_hold (&a, 99);
    exchange (u, &empty, &a);
    side_fini (&empty);
    side_fini (&a);
    free (u);
}

static void
test_samples (void **state)
{
    (void) state;
    struct universe *u = malloc (sizeof *u);
    struct weir_rand r;
    weir_rand_init (&r, 5);
    u->count = 100;
    for (uint32_t i = 0; i < 100; i++) {
        weir_rand_bytes (&r, u->entries[i].id.b, 32);
        u->entries[i].chain = (struct weir_chain){ fixture_id (1), 1 };
        u->entries[i].seq = i;
        u->entries[i].parent = i == 0 ? NONE : i - 1;
    }
    struct side a;
    side_init (&a, u);
    side_hold (&a, 99);
    struct weir_sample samples[WEIR_VECTOR_SAMPLES_MAX];
    const struct {
        uint64_t count;
        size_t max;
        size_t n;
        uint64_t seqs[9];
    } rows[] = {
        { 100, 64, 8, { 98, 97, 95, 91, 83, 67, 35, 0 } },
        { 100, 3, 3, { 98, 97, 0 } },
        { 100, 1, 1, { 0 } },
        { 100, 0, 0, { 0 } },
        { 2, 64, 1, { 0 } },
        { 3, 64, 2, { 1, 0 } },
        { 9, 64, 4, { 7, 6, 4, 0 } },
        { 1, 64, 0, { 0 } },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct weir_row row = { u->entries[0].chain, rows[i].count,
                                u->entries[rows[i].count - 1].id };
        size_t n = weir_vector_samples (&row, &a.store, samples, rows[i].max);
        assert_int_equal (n, rows[i].n);
        for (size_t j = 0; j < n; j++) {
            assert_int_equal (samples[j].seq, rows[i].seqs[j]);
            assert_ids_equal (&samples[j].id, &u->entries[rows[i].seqs[j]].id);
        }
    }
    side_fini (&a);
    free (u);
}

/* A count that no chain has: the store knows none of it, and the walk back ends. */
static bool
find_nothing (void *context, const struct weir_id *entry, struct weir_chain *chain, uint64_t *seq)
{
    (void) context;
    (void) entry;
    (void) chain;
    (void) seq;
    return false;
}

static bool
id_at_nothing (void *context, const struct weir_row *tip, uint64_t seq, struct weir_id *id)
{
    (void) context;
    (void) tip;
    (void) seq;
    (void) id;
    return false;
}

static void
test_a_store_that_fails (void **state)
{
    (void) state;
    const struct weir_compare_store store = { NULL, find_nothing, id_at_nothing };
    struct weir_row rows[] = {
        { { fixture_id (1), 1 }, UINT64_MAX, fixture_id (5) },
        { { fixture_id (1), 1 }, UINT64_MAX, fixture_id (6) },
    };
    struct weir_sample samples[WEIR_VECTOR_SAMPLES_MAX];
    assert_int_equal (weir_vector_samples (&rows[0], &store, samples, 64), 0);
    struct weir_vector ours = { 0 };
    weir_vector_put (&ours, &rows[0]);
    weir_vector_put (&ours, &rows[1]);
    struct weir_told_row told = { { { fixture_id (1), 1 }, 1, fixture_id (7) }, 0, NULL };
    struct weir_ranges lacks = { 0 };
    struct weir_vector unknown = { 0 };
    bool more = false;
    weir_vector_compare (&ours, &told, 1, &store, &lacks, &more, &unknown);
    assert_true (more);
    assert_int_equal (lacks.count, 2);
    assert_int_equal (unknown.count, 2);
    weir_ranges_fini (&lacks);
    weir_vector_fini (&unknown);
    weir_vector_fini (&ours);
}

static struct weir_id
absurd_id (struct weir_rand *r, const struct universe *u)
{
    struct weir_id id = { { 0 } };
    switch (weir_rand_below (r, 4)) {
    case 0:
        return id;
    case 1:
        weir_rand_bytes (r, id.b, sizeof id.b);
        return id;
    default:
        return u->entries[weir_rand_below (r, u->count)].id;
    }
}

static uint64_t
absurd_number (struct weir_rand *r)
{
    const uint64_t numbers[] = { 0, 1, 2, 50, UINT64_MAX, UINT64_MAX - 1, 1ull << 63 };
    return weir_rand_below (r, 2) == 0 ? weir_rand_below (r, 60) : numbers[weir_rand_below (r, 7)];
}

static void
test_absurd_rows (void **state)
{
    (void) state;
    struct universe *u = malloc (sizeof *u);
    struct weir_told_row told[40];
    struct weir_sample samples[40][80];
    for (uint64_t seed = 0; seed < 3000; seed++) {
        struct weir_rand r;
        weir_rand_init (&r, seed);
        grow_universe (u, &r, 80, seed % 2 == 0 ? 4 : 0);
        struct side a;
        side_init (&a, u);
        for (int n = 0; n < 6; n++) {
            side_hold (&a, (uint32_t) weir_rand_below (&r, u->count));
        }
        side_index (&a);
        size_t n_told = weir_rand_below (&r, 40);
        for (size_t i = 0; i < n_told; i++) {
            told[i].row.chain.author = fixture_id ((uint32_t) weir_rand_below (&r, 3));
            told[i].row.chain.lane = weir_rand_below (&r, 2);
            told[i].row.count = absurd_number (&r);
            told[i].row.tip = absurd_id (&r, u);
            told[i].n_samples = weir_rand_below (&r, 2) == 0 ? 0 : weir_rand_below (&r, 80);
            told[i].samples = samples[i];
            for (size_t j = 0; j < told[i].n_samples; j++) {
                samples[i][j].seq = absurd_number (&r);
                samples[i][j].id = absurd_id (&r, u);
            }
        }
        weir_vector_compare (&a.vector, told, n_told, &a.store, &a.lacks, &a.more, &a.unknown);
        bool sent[ENTRIES_MAX] = { false };
        for (size_t i = 0; i < a.lacks.count; i++) {
            const struct weir_range *range = &a.lacks.items[i];
            uint32_t tip = lookup (u, &range->tip);
            assert_true (tip != NONE && a.held[tip] && range->from_seq < range->to_seq);
            assert_int_equal (range->to_seq, u->entries[tip].seq + 1);
            for (uint64_t seq = range->from_seq; seq < range->to_seq; seq++) {
                uint32_t e = entry_at (u, tip, seq);
                assert_false (sent[e]);
                sent[e] = true;
            }
        }
        for (size_t i = 0; i < a.unknown.count; i++) {
            assert_non_null (
                weir_vector_find (&a.vector, &a.unknown.rows[i].chain, &a.unknown.rows[i].tip));
        }
        side_fini (&a);
    }
    free (u);
}

int
main (void)
{
    weir_crypto_init ();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_two_sides_converge), cmocka_unit_test (test_plain_extension),
        cmocka_unit_test (test_unknown_chains),     cmocka_unit_test (test_samples),
        cmocka_unit_test (test_a_store_that_fails), cmocka_unit_test (test_absurd_rows),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
