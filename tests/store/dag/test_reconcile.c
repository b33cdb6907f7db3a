/* Goal: two vectors, whatever they hold, are reconciled in at most six messages: what each side
 * finds that the other lacks is the difference of the sets, by a model that knows every entry;
 * forks included, up to 20,000 chains. One chain apart in 20,000 costs few bytes; a bound on
 * bytes is kept and the rest found by beginning again; a chain that fits into no message does not
 * keep those behind it from being found. Messages that make no sense are refused,
 * and those that lie cost no more than their length. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "store/base/limits.h"
#include "store/base/map.h"
#include "store/base/rand.h"
#include "store/dag/reconcile.h"

#define NONE UINT32_MAX

/* Every entry there is; two sides hold some of them. */
struct entry {
    struct weir_id id;
    struct weir_chain chain;
    uint64_t seq;
    uint32_t prev;
    bool forked; /* its chain */
};

struct world {
    struct entry *entries;
    size_t n;
    size_t cap;
    struct weir_map *by_id; /* id -> number + 1 */
};

struct side {
    struct world *w;
    bool *held;
    struct weir_vector vector;
    struct weir_reconcile r;
    struct weir_compare_store store;
    bool *sent; /* found to be lacking at the other side */
};

static uint32_t
number_of (const struct world *w, const struct weir_id *id)
{
    return (uint32_t) ((uintptr_t) weir_map_get (w->by_id, weir_id_bytes (id)) - 1);
}

static uint32_t
add (struct world *w, const struct weir_chain *chain, uint32_t prev)
{
    uint8_t name[8];
    weir_grow (&w->entries, &w->cap, w->n + 1, sizeof w->entries[0]);
    struct entry *e = &w->entries[w->n];
    weir_store_u64 (name, w->n);
    e->id = weir_hash (WEIR_DOMAIN_CHECK, weir_bytes (name, 8), weir_bytes (NULL, 0));
    e->chain = *chain;
    e->prev = prev;
    e->forked = false;
    e->seq = prev == NONE ? 0 : w->entries[prev].seq + 1;
    weir_map_put (w->by_id, weir_id_bytes (&e->id), (void *) (uintptr_t) (w->n + 1));
    return (uint32_t) w->n++;
}

static bool
find (void *context, const struct weir_id *id, struct weir_chain *chain, uint64_t *seq)
{
    struct side *s = context;
    uint32_t n = number_of (s->w, id);
    if (n == NONE || !s->held[n]) {
        return false;
    }
    *chain = s->w->entries[n].chain;
    *seq = s->w->entries[n].seq;
    return true;
}

static bool
id_at (void *context, const struct weir_row *tip, uint64_t seq, struct weir_id *id)
{
    struct side *s = context;
    uint32_t n = number_of (s->w, &tip->tip);
    assert_true (n != NONE && s->held[n]); /* asked only for what is held */
    while (n != NONE && s->w->entries[n].seq > seq) {
        n = s->w->entries[n].prev;
    }
    if (n == NONE || s->w->entries[n].seq != seq) {
        return false;
    }
    *id = s->w->entries[n].id;
    return true;
}

static void
side_init (struct side *s, struct world *w)
{
    memset (s, 0, sizeof *s);
    s->w = w;
    s->held = weir_alloc (w->n + 1);
    s->sent = weir_alloc (w->n + 1);
    s->store = (struct weir_compare_store){ s, find, id_at };
    s->r = (struct weir_reconcile){ &s->vector, &s->store, { { 7 } }, SIZE_MAX / 4 };
}

static void
side_fini (struct side *s)
{
    weir_vector_fini (&s->vector);
    free (s->held);
    free (s->sent);
}

/* An entry and what is before it. */
static void
hold (struct side *s, uint32_t n)
{
    for (; n != NONE && !s->held[n]; n = s->w->entries[n].prev) {
        s->held[n] = true;
    }
}

static int
row_order (const void *a, const void *b)
{
    const struct weir_row *x = a;
    const struct weir_row *y = b;
    int order = weir_chain_compare (&x->chain, &y->chain);
    return order != 0 ? order : weir_id_compare (&x->tip, &y->tip);
}

static void
make_vector (struct side *s)
{
    bool *inner = weir_alloc (s->w->n + 1);
    weir_vector_clear (&s->vector);
    for (size_t i = 0; i < s->w->n; i++) {
        if (s->held[i] && s->w->entries[i].prev != NONE) {
            inner[s->w->entries[i].prev] = true;
        }
    }
    weir_grow (&s->vector.rows, &s->vector.cap, s->w->n + 1, sizeof s->vector.rows[0]);
    for (size_t i = 0; i < s->w->n; i++) {
        const struct entry *e = &s->w->entries[i];
        if (s->held[i] && !inner[i]) {
            s->vector.rows[s->vector.count++] = (struct weir_row){ e->chain, e->seq + 1, e->id };
        }
    }
    qsort (s->vector.rows, s->vector.count, sizeof s->vector.rows[0], row_order);
    free (inner);
}

static void
note_sent (struct side *s, const struct weir_ranges *lacks)
{
    for (size_t i = 0; i < lacks->count; i++) {
        const struct weir_range *range = &lacks->items[i];
        uint32_t n = number_of (s->w, &range->tip);
        assert_true (n != NONE && s->held[n]);
        assert_int_equal (s->w->entries[n].seq + 1, range->to_seq);
        for (; n != NONE && s->w->entries[n].seq >= range->from_seq; n = s->w->entries[n].prev) {
            s->sent[n] = true;
        }
    }
}

struct cost {
    size_t messages;
    size_t bytes;
    bool cut;
};

static struct cost
reconcile (struct side *a, struct side *b)
{
    struct cost cost = { 0 };
    struct weir_buf message = { 0 };
    struct weir_buf answer = { 0 };
    bool goes_on = true;
    weir_reconcile_begin (&a->r, &message);
    while (goes_on) {
        struct weir_reconciled result = { 0 };
        struct side *to = cost.messages % 2 == 0 ? b : a;
        cost.messages++;
        cost.bytes += message.len;
        assert_true (message.len <= to->r.bytes_max + 8192);
        weir_buf_clear (&answer);
        assert_int_equal (weir_reconcile_step (&to->r, weir_buf_bytes (&message), &answer, &result),
                          WEIR_OK);
        note_sent (to, &result.lacks);
        cost.cut = cost.cut || result.cut;
        goes_on = answer.len > 1;
        if (!goes_on) {
            assert_false (result.answer);
        }
        assert_true (cost.messages < 20);
        struct weir_buf swap = message;
        message = answer;
        answer = swap;
        weir_reconciled_fini (&result);
    }
    weir_buf_fini (&message);
    weir_buf_fini (&answer);
    return cost;
}

/* Exactly the difference; where a chain forks, samples say where only within a factor of two, and
 * what lies between is sent again. */
static void
check_way (const struct side *from, const struct side *to)
{
    for (size_t i = 0; i < from->w->n; i++) {
        bool lacks = from->held[i] && !to->held[i];
        bool forked = from->w->entries[i].forked;
        if (from->sent[i] != lacks && (lacks || !forked)) {
            fail_msg ("entry %zu: sent %d, lacks %d, forked %d", i, from->sent[i], lacks, forked);
        }
    }
}

static void
check (const struct side *a, const struct side *b)
{
    check_way (a, b);
    check_way (b, a);
}

static void
world_fini (struct world *w)
{
    free (w->entries);
    weir_map_destroy (&w->by_id, NULL);
}

/* Chains of up to `length` entries, some of them forked. */
static void
make_world (struct world *w, struct weir_rand *random, size_t chains, unsigned length,
            unsigned fork_percent)
{
    *w = (struct world){ .by_id = weir_map_new () };
    struct weir_chain chain = { .lane = 0 };
    for (size_t i = 0; i < chains; i++) {
        if (i == 0 || weir_rand_below (random, 3) != 0) {
            weir_rand_bytes (random, chain.author.b, WEIR_ID_BYTES);
            if (weir_rand_below (random, 4) == 0) {
                memset (chain.author.b, 9, 30); /* bounds of many bytes */
            }
        }
        chain.lane = weir_rand_u64 (random);
        size_t first = w->n;
        uint32_t last = NONE;
        for (unsigned k = 1 + (unsigned) weir_rand_below (random, length); k > 0; k--) {
            last = add (w, &chain, last);
        }
        while (weir_rand_below (random, 100) < fork_percent) {
            uint32_t at = (uint32_t) (first + weir_rand_below (random, w->n - first));
            uint32_t prev = weir_rand_below (random, 5) == 0 ? NONE : at;
            for (unsigned k = 1 + (unsigned) weir_rand_below (random, length); k > 0; k--) {
                prev = add (w, &chain, prev);
            }
            for (size_t k = first; k < w->n; k++) {
                w->entries[k].forked = true;
            }
        }
    }
}

/* Both hold most, each lacks some. */
static void
deal (struct side *a, struct side *b, struct weir_rand *random, unsigned differ_per_mille)
{
    for (uint32_t i = 0; i < a->w->n; i++) {
        bool leaf = i + 1 == a->w->n || a->w->entries[i + 1].prev != i;
        if (!leaf) {
            continue;
        }
        unsigned how = weir_rand_below (random, 1000) < differ_per_mille
                           ? 1 + (unsigned) weir_rand_below (random, 4)
                           : 0;
        uint32_t back = i;
        for (uint64_t k = weir_rand_below (random, 6); k > 0 && back != NONE; k--) {
            back = a->w->entries[back].prev;
        }
        hold (a, how == 1 ? NONE : how == 3 ? back : i);
        hold (b, how == 2 ? NONE : how == 4 ? back : i);
    }
    make_vector (a);
    make_vector (b);
}

static void
play (uint64_t seed, size_t chains, unsigned length, unsigned forks, unsigned differ)
{
    struct weir_rand random;
    struct world w;
    struct side a;
    struct side b;
    weir_rand_init (&random, seed);
    make_world (&w, &random, chains, length, forks);
    side_init (&a, &w);
    side_init (&b, &w);
    deal (&a, &b, &random, differ);
    struct cost cost = reconcile (&a, &b);
    assert_true (cost.messages <= WEIR_RECONCILE_MESSAGES_MAX);
    assert_false (cost.cut);
    check (&a, &b);
    side_fini (&a);
    side_fini (&b);
    world_fini (&w);
}

static void
test_small (void **state)
{
    (void) state;
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        struct weir_rand random;
        weir_rand_init (&random, seed);
        size_t chains = weir_rand_below (&random, 120);
        play (seed, chains, 1 + (unsigned) weir_rand_below (&random, 7),
              (unsigned) weir_rand_below (&random, 60), (unsigned) weir_rand_below (&random, 1001));
    }
}

static void
test_large (void **state)
{
    static const struct {
        size_t chains;
        unsigned length;
        unsigned forks;
        unsigned differ;
    } cases[] = {
        { 20000, 3, 0, 1 },    { 20000, 3, 10, 5 }, { 20000, 3, 0, 1000 },
        { 20000, 4, 30, 300 }, { 5000, 6, 40, 50 }, { 1000, 20, 50, 500 },
    };
    (void) state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        play (100 + i, cases[i].chains, cases[i].length, cases[i].forks, cases[i].differ);
    }
}

static void
test_one_side_empty (void **state)
{
    (void) state;
    struct weir_rand random;
    struct world w;
    weir_rand_init (&random, 5);
    make_world (&w, &random, 2000, 3, 5);
    for (unsigned which = 0; which < 3; which++) {
        struct side a;
        struct side b;
        side_init (&a, &w);
        side_init (&b, &w);
        for (uint32_t i = 0; i < w.n; i++) {
            hold (&a, which == 0 ? i : NONE);
            hold (&b, which == 1 ? i : NONE);
        }
        make_vector (&a);
        make_vector (&b);
        struct cost cost = reconcile (&a, &b);
        assert_true (cost.messages <= 3);
        assert_true (cost.bytes < 16384); /* nobody lists what the other has nothing of */
        check (&a, &b);
        side_fini (&a);
        side_fini (&b);
    }
    world_fini (&w);
}

static void
test_one_entry_apart (void **state)
{
    (void) state;
    struct weir_rand random;
    struct world w;
    struct side a;
    struct side b;
    weir_rand_init (&random, 6);
    make_world (&w, &random, 20000, 2, 0);
    side_init (&a, &w);
    side_init (&b, &w);
    for (uint32_t i = 0; i < w.n; i++) {
        hold (&a, i);
        hold (&b, i == 777 ? w.entries[i].prev : i);
    }
    make_vector (&a);
    make_vector (&b);
    struct cost cost = reconcile (&a, &b);
    check (&a, &b);
    assert_true (cost.messages <= 4);
    assert_true (cost.bytes < 6000);
    side_fini (&a);
    side_fini (&b);
    world_fini (&w);
}

/* A bound on bytes: what does not fit is found by beginning again, once what was found moved. */
static void
test_cut (void **state)
{
    (void) state;
    struct weir_rand random;
    struct world w;
    struct side a;
    struct side b;
    size_t ladders = 0;
    weir_rand_init (&random, 7);
    make_world (&w, &random, 3000, 2, 0);
    side_init (&a, &w);
    side_init (&b, &w);
    deal (&a, &b, &random, 1000);
    a.r.bytes_max = b.r.bytes_max = 32768;
    while (!weir_vector_equal (&a.vector, &b.vector)) {
        struct cost cost = reconcile (&a, &b);
        assert_true (cost.messages <= WEIR_RECONCILE_MESSAGES_MAX);
        size_t moved = 0;
        for (size_t i = 0; i < w.n; i++) {
            moved += a.sent[i] || b.sent[i];
            a.held[i] = a.held[i] || b.sent[i];
            b.held[i] = b.held[i] || a.sent[i];
        }
        assert_true (moved > 0);
        memset (a.sent, 0, w.n);
        memset (b.sent, 0, w.n);
        make_vector (&a);
        make_vector (&b);
        assert_true (++ladders < 40);
    }
    assert_true (ladders > 1);
    side_fini (&a);
    side_fini (&b);
    world_fini (&w);
}

/* One chain of very many branches among others, told or held by either side or by both: it does not
 * fit into a message, and yet all the others are found, before it and behind it. */
static void
test_many_branches (void **state)
{
    (void) state;
    for (unsigned which = 0; which < 3; which++) {
        struct world w = { .by_id = weir_map_new () };
        struct side a;
        struct side b;
        for (unsigned i = 0; i <= 200; i++) {
            struct weir_chain chain = { .author = { { (uint8_t) (1 + i), 5 } }, .lane = 1 };
            uint32_t first = add (&w, &chain, NONE);
            for (unsigned k = i == 100 ? 4000 : 1; k > 0; k--) {
                uint32_t tip = add (&w, &chain, first);
                w.entries[tip].forked = i == 100;
            }
            w.entries[first].forked = i == 100;
        }
        side_init (&a, &w);
        side_init (&b, &w);
        for (uint32_t i = 0; i < w.n; i++) {
            const struct entry *e = &w.entries[i];
            bool ours = e->seq == 0 || e->chain.author.b[0] % 2 == 0;
            hold (&a, e->forked ? (which == 0 || (which == 1 && i % 97 != 0) ? i : NONE)
                                : (ours ? i : NONE));
            hold (&b, e->forked ? (which != 0 && i % 89 != 0 ? i : NONE)
                                : (!ours || e->seq == 0 ? i : NONE));
        }
        make_vector (&a);
        make_vector (&b);
        a.r.bytes_max = b.r.bytes_max = WEIR_LADDER_BYTES_MAX;
        struct cost cost = reconcile (&a, &b);
        assert_true (cost.messages <= WEIR_RECONCILE_MESSAGES_MAX);
        for (uint32_t i = 0; i < w.n; i++) { /* of the one chain, what is found is no matter */
            if (!w.entries[i].forked
                && (a.sent[i] != (a.held[i] && !b.held[i])
                    || b.sent[i] != (b.held[i] && !a.held[i]))) {
                fail_msg ("%u: chain %u was not found", which, w.entries[i].chain.author.b[0]);
            }
        }
        side_fini (&a);
        side_fini (&b);
        world_fini (&w);
    }
}

/* The same chain, and nothing else: who holds few of its branches is told the others. */
static void
test_only_branches (void **state)
{
    (void) state;
    struct world w = { .by_id = weir_map_new () };
    struct weir_chain chain = { .author = { { 1 } }, .lane = 1 };
    struct side a;
    struct side b;
    for (unsigned i = 0; i < 4500; i++) {
        uint32_t first = add (&w, &chain, NONE);
        w.entries[first].forked = true;
    }
    side_init (&a, &w);
    side_init (&b, &w);
    for (uint32_t i = 0; i < w.n; i++) {
        hold (&a, i);
        hold (&b, i % 500 == 0 ? i : NONE);
    }
    make_vector (&a);
    make_vector (&b);
    a.r.bytes_max = b.r.bytes_max = WEIR_LADDER_BYTES_MAX;
    assert_int_equal (reconcile (&a, &b).messages, 2);
    check (&a, &b);
    side_fini (&a);
    side_fini (&b);
    world_fini (&w);
}

static enum weir_status
try (struct side *s, const void *bytes, size_t len, size_t *answer)
{
    struct weir_buf out = { 0 };
    struct weir_reconciled result = { 0 };
    enum weir_status status = weir_reconcile_step (&s->r, weir_bytes (bytes, len), &out, &result);
    *answer = out.len;
    weir_reconciled_fini (&result);
    weir_buf_fini (&out);
    return status;
}

static void
test_nonsense (void **state)
{
    static const struct {
        const char *what;
        uint8_t bytes[24];
        size_t len;
    } cases[] = {
        { "nothing", { 0 }, 0 },
        { "another version", { 2 }, 1 },
        { "an unknown item", { 1, 4, 255 }, 3 },
        { "no bound", { 1, 0 }, 2 },
        { "a bound without bytes", { 1, 0, 0 }, 3 },
        { "a bound too long", { 1, 0, 41 }, 3 },
        { "a bound cut short", { 1, 0, 4, 9 }, 4 },
        { "bounds that stand still", { 1, 0, 1, 9, 0, 1, 9 }, 7 },
        { "bounds that go back", { 1, 0, 1, 9, 0, 1, 8 }, 7 },
        { "a range behind the end", { 1, 0, 255, 0, 255 }, 5 },
        { "a hash cut short", { 1, 1, 255, 1, 2, 3 }, 6 },
        { "rows cut short", { 1, 2, 255, 1, 0, 3 }, 6 },
        { "an absurd number of rows", { 1, 2, 255, 255, 255, 255, 255, 127 }, 8 },
        { "an author that is no row's", { 1, 2, 255, 1, 9, 0, 0, 0, 0, 0, 0, 0, 0 }, 13 },
        { "unknown flags", { 1, 2, 255, 1, 32 }, 5 },
        { "a range behind chains", { 1, 3, 0, 0, 255 }, 5 },
    };
    (void) state;
    struct weir_rand random;
    struct world w;
    struct side a;
    size_t answer;
    weir_rand_init (&random, 8);
    make_world (&w, &random, 300, 3, 20);
    side_init (&a, &w);
    for (uint32_t i = 0; i < w.n; i++) {
        hold (&a, i);
    }
    make_vector (&a);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (try (&a, cases[i].bytes, cases[i].len, &answer) != WEIR_BAD_MESSAGE) {
            fail_msg ("%s was taken", cases[i].what);
        }
    }
    uint8_t end[] = { 1, 0, 255 };
    assert_int_equal (try (&a, end, sizeof end, &answer), WEIR_OK);
    assert_int_equal (answer, 1);
    side_fini (&a);
    world_fini (&w);
}

/* Rows of chains outside the range, out of order, or with a count of nothing. */
static void
test_lies (void **state)
{
    (void) state;
    struct weir_rand random;
    struct world w;
    struct side a;
    size_t answer;
    weir_rand_init (&random, 9);
    make_world (&w, &random, 300, 3, 20);
    side_init (&a, &w);
    for (uint32_t i = 0; i < w.n; i++) {
        hold (&a, i);
    }
    make_vector (&a);
    for (unsigned which = 0; which < 3; which++) {
        struct weir_buf m = { 0 };
        weir_buf_put_u8 (&m, 1);
        weir_buf_put_u8 (&m, 2);
        weir_buf_put_u8 (&m, which == 0 ? 1 : 255);
        weir_buf_put (&m, "\x03", which == 0 ? 1 : 0);
        weir_buf_put_u8 (&m, which == 1 ? 2 : 1);
        for (unsigned i = 0; i < (which == 1 ? 2u : 1u); i++) {
            struct weir_id author = { { (uint8_t) (5 - i) } };
            weir_buf_put_u8 (&m, 0);
            weir_buf_put_bytes (&m, weir_id_bytes (&author));
            weir_buf_put_u64 (&m, 1);
            weir_buf_put_varint (&m, which == 2 ? 0 : UINT64_MAX);
            weir_buf_put_bytes (&m, weir_id_bytes (&author));
        }
        assert_int_equal (try (&a, m.data, m.len, &answer), WEIR_BAD_MESSAGE);
        weir_buf_fini (&m);
    }
    side_fini (&a);
    world_fini (&w);
}

/* Whatever becomes of the bytes of true messages, nothing is asked of the store that is not held,
 * and the answer stays in proportion. */
static void
test_broken (void **state)
{
    (void) state;
    for (uint64_t seed = 1; seed <= 400; seed++) {
        struct weir_rand random;
        struct world w;
        struct side s[2];
        struct weir_buf message = { 0 };
        struct weir_buf answer = { 0 };
        weir_rand_init (&random, seed);
        make_world (&w, &random, 200, 3, 20);
        side_init (&s[0], &w);
        side_init (&s[1], &w);
        deal (&s[0], &s[1], &random, 300);
        weir_reconcile_begin (&s[0].r, &message);
        for (unsigned i = 1; i < 7; i++) {
            struct weir_reconciled result = { 0 };
            if (weir_rand_below (&random, 2) == 0) {
                message.data[weir_rand_below (&random, message.len)] ^=
                    (uint8_t) (1u << weir_rand_below (&random, 8));
            }
            weir_buf_clear (&answer);
            enum weir_status status =
                weir_reconcile_step (&s[i % 2].r, weir_buf_bytes (&message), &answer, &result);
            for (size_t k = 0; status == WEIR_OK && k < result.lacks.count; k++) {
                assert_true (number_of (&w, &result.lacks.items[k].tip) != NONE);
            }
            weir_reconciled_fini (&result);
            if (status != WEIR_OK) {
                break;
            }
            struct weir_buf swap = message;
            message = answer;
            answer = swap;
        }
        weir_buf_fini (&message);
        weir_buf_fini (&answer);
        side_fini (&s[0]);
        side_fini (&s[1]);
        world_fini (&w);
    }
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_small),
        cmocka_unit_test (test_large),
        cmocka_unit_test (test_one_side_empty),
        cmocka_unit_test (test_one_entry_apart),
        cmocka_unit_test (test_cut),
        cmocka_unit_test (test_many_branches),
        cmocka_unit_test (test_only_branches),
        cmocka_unit_test (test_nonsense),
        cmocka_unit_test (test_lies),
        cmocka_unit_test (test_broken),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
