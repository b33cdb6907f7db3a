/* Goal: documents converge: whatever the order entries arrive in, value, losers and saved bytes
 * are the same; who wins is by order key; nested maps merge, and made again show only what their
 * removal had not seen; states load back, and nothing but a state loads. */

#include "tests/store/crdt/fixture.h"

#include "store/crdt/change.h"
#include "store/crdt/graph.h"

#include "store/base/rand.h"

#include <stdio.h>

/* Every order of up to 5 entries. */
static bool
next_permutation (size_t *order, size_t n)
{
    size_t i = n - 1;
    while (i > 0 && order[i - 1] >= order[i]) {
        i--;
    }
    if (i == 0) {
        return false;
    }
    size_t k = n - 1;
    while (order[k] <= order[i - 1]) {
        k--;
    }
    size_t t = order[i - 1];
    order[i - 1] = order[k];
    order[k] = t;
    for (size_t a = i, b = n - 1; a < b; a++, b--) {
        t = order[a];
        order[a] = order[b];
        order[b] = t;
    }
    return true;
}

static void
assert_all_orders (const struct fixture_entry *entries, size_t n, const char *wanted)
{
    size_t order[8] = { 0, 1, 2, 3, 4, 5, 6, 7 };
    struct weir_doc *first = weir_doc_new ();
    for (size_t i = 0; i < n; i++) {
        fixture_apply (first, &entries[i]);
    }
    assert_doc (first, "", wanted);
    do {
        struct weir_doc *doc = weir_doc_new ();
        for (size_t i = 0; i < n; i++) {
            fixture_apply (doc, &entries[order[i]]);
        }
        assert_doc (doc, "", wanted);
        assert_docs_equal (first, doc);
        weir_doc_destroy (&doc);
    } while (next_permutation (order, n));
    weir_doc_destroy (&first);
}

/* lamport, then author, then lane, then entry id: the greatest wins. */
static void
test_who_wins (void **state)
{
    (void) state;
    struct {
        struct weir_doc_entry low;
        struct weir_doc_entry high;
    } pairs[] = {
        { fixture_head (2, 9, 0, 4), fixture_head (1, 1, 0, 5) },
        { fixture_head (1, 9, 0, 5), fixture_head (2, 1, 0, 5) },
        { fixture_head (1, 9, 0, 5), fixture_head (1, 1, 0, 5) }, /* lanes: below */
        { fixture_head (1, 1, 3, 5), fixture_head (1, 2, 3, 5) },
    };
    pairs[2].high.chain.lane = 2;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        struct fixture_entry entries[2];
        struct weir_doc *a = weir_doc_new ();
        struct weir_doc *b = weir_doc_new ();
        entries[0] = fixture_commit (a, pairs[i].low, "/m/k", "\"low\"");
        entries[1] = fixture_commit (b, pairs[i].high, "/m/k", "\"high\"");
        assert_all_orders (entries, 2, "{\"m\":{\"k\":\"high\"}}");
        weir_doc_destroy (&a);
        weir_doc_destroy (&b);
        fixture_drop (&entries[0]);
        fixture_drop (&entries[1]);
    }
}

/* An op's lamport is its entry's and its offset. */
static void
test_offsets_count (void **state)
{
    (void) state;
    struct fixture_entry entries[2];
    struct weir_doc *a = weir_doc_new ();
    struct weir_doc *b = weir_doc_new ();
    entries[0] = fixture_commit (a, fixture_head (1, 1, 0, 5), "/m", "{\"x\":1,\"k\":\"third\"}");
    entries[1] = fixture_commit (b, fixture_head (2, 1, 0, 5), "/m/k", "\"first\"");
    assert_int_equal (entries[0].entry.ops, 2);
    assert_all_orders (entries, 2, "{\"m\":{\"k\":\"third\",\"x\":1}}");
    weir_doc_destroy (&a);
    weir_doc_destroy (&b);
    fixture_drop (&entries[0]);
    fixture_drop (&entries[1]);
}

static void
test_deletes_are_writes (void **state)
{
    (void) state;
    struct fixture_entry entries[3];
    struct weir_doc *a = weir_doc_new ();
    struct weir_doc *b = weir_doc_new ();
    entries[0] = fixture_commit (a, fixture_head (1, 1, 0, 0), "/m/k", "1");
    fixture_apply (b, &entries[0]);
    entries[1] = fixture_commit (a, fixture_head (1, 2, 1, 1), "/m/k", "2");
    entries[2] = fixture_commit (b, fixture_head (2, 3, 0, 1), "/m/k", NULL);
    assert_all_orders (entries, 3, "{\"m\":{}}");
    entries[2].entry.lamport = 0; /* as if it lost */
    assert_all_orders (entries, 3, "{\"m\":{\"k\":2}}");
    weir_doc_destroy (&a);
    weir_doc_destroy (&b);
    for (size_t i = 0; i < 3; i++) {
        fixture_drop (&entries[i]);
    }
}

/* Both make the map by path: it is one map. */
static void
test_nested_maps_merge (void **state)
{
    (void) state;
    struct fixture_entry entries[4];
    struct weir_doc *a = weir_doc_new ();
    struct weir_doc *b = weir_doc_new ();
    entries[0] = fixture_commit (a, fixture_head (1, 1, 0, 0), "/m/x/y", "{\"a\":1}");
    entries[1] = fixture_commit (b, fixture_head (2, 2, 0, 0), "/m/x/y", "{\"b\":2}");
    assert_all_orders (entries, 2, "{\"m\":{\"x\":{\"y\":{\"a\":1,\"b\":2}}}}");
    /* a, not knowing of b, removes x; then makes it again. */
    entries[2] = fixture_commit (a, fixture_head (1, 3, 1, 3), "/m/x", NULL);
    assert_doc (a, "", "{\"m\":{}}");
    assert_all_orders (entries, 3, "{\"m\":{}}");
    entries[3] = fixture_commit (a, fixture_head (1, 4, 2, 6), "/m/x/y/c", "3");
    assert_doc (a, "", "{\"m\":{\"x\":{\"y\":{\"c\":3}}}}");
    assert_all_orders (entries, 4, "{\"m\":{\"x\":{\"y\":{\"b\":2,\"c\":3}}}}");
    weir_doc_destroy (&a);
    weir_doc_destroy (&b);
    for (size_t i = 0; i < 4; i++) {
        fixture_drop (&entries[i]);
    }
}

/* A scalar hides the map while it wins; setting an object then shows that object only, making a
 * map on the way shows what nobody removed. */
static void
test_scalar_against_map (void **state)
{
    (void) state;
    struct fixture_entry entries[3];
    struct weir_doc *a = weir_doc_new ();
    struct weir_doc *b = weir_doc_new ();
    entries[0] = fixture_commit (a, fixture_head (1, 1, 0, 0), "/m/k/a", "1");
    entries[1] = fixture_commit (b, fixture_head (2, 2, 0, 9), "/m/k", "5");
    assert_all_orders (entries, 2, "{\"m\":{\"k\":5}}");
    fixture_apply (a, &entries[1]);
    fixture_apply (b, &entries[0]);
    entries[2] = fixture_commit (a, fixture_head (1, 3, 1, 10), "/m/k", "{\"c\":3}");
    assert_all_orders (entries, 3, "{\"m\":{\"k\":{\"c\":3}}}");
    fixture_drop (&entries[2]);
    struct fixture_entry removed = fixture_commit (b, fixture_head (2, 4, 1, 10), "/m/k", NULL);
    entries[2] = fixture_commit (b, fixture_head (2, 5, 2, 11), "/m/k/c", "3");
    assert_doc (b, "", "{\"m\":{\"k\":{\"a\":1,\"c\":3}}}");
    fixture_drop (&removed);
    for (size_t i = 0; i < 3; i++) {
        fixture_drop (&entries[i]);
    }
    weir_doc_destroy (&a);
    weir_doc_destroy (&b);
}

/* Both sides derive the same container, from parent, key and type. */
static void
test_ids_are_derived (void **state)
{
    (void) state;
    struct weir_doc *a = weir_doc_new ();
    struct weir_doc *b = weir_doc_new ();
    struct fixture_entry entries[2];
    entries[0] = fixture_commit (a, fixture_head (1, 1, 0, 0), "/m/x/y", "1");
    entries[1] = fixture_commit (b, fixture_head (2, 2, 0, 7), "/m", "{\"x\":{\"z\":1},\"y\":{}}");
    const struct weir_container *m[2];
    const struct weir_container *x[2];
    struct weir_doc *docs[2] = { a, b };
    for (size_t i = 0; i < 2; i++) {
        struct weir_container *top = weir_doc_top (docs[i]);
        m[i] = weir_container_child (top, fixture_text ("m"), &weir_container_map, false);
        x[i] = weir_container_child ((struct weir_container *) (uintptr_t) m[i], fixture_text ("x"),
                                     &weir_container_map, false);
        assert_null (weir_container_child ((struct weir_container *) (uintptr_t) m[i],
                                           fixture_text ("none"), &weir_container_map, false));
    }
    assert_true (weir_id_equal (&m[0]->id, &m[1]->id));
    assert_true (weir_id_equal (&x[0]->id, &x[1]->id));
    assert_false (weir_id_equal (&m[0]->id, &x[0]->id));
    for (size_t i = 0; i < 2; i++) {
        fixture_drop (&entries[i]);
        weir_doc_destroy (&docs[i]);
    }
}

static void
test_reading (void **state)
{
    (void) state;
    struct weir_doc *doc = weir_doc_new ();
    struct weir_error e = { 0 };
    json_t *json = NULL;
    struct fixture_entry entry =
        fixture_commit (doc, fixture_head (1, 1, 0, 0), "/m", "{\"a\":{\"b\":1},\"e\":{}}");
    assert_doc (doc, "", "{\"m\":{\"a\":{\"b\":1},\"e\":{}}}");
    assert_doc (doc, "/m/a", "{\"b\":1}");
    assert_doc (doc, "/m/a/b", "1");
    assert_doc (doc, "/m/e", "{}");
    assert_doc (doc, "/m/e/x", NULL);
    assert_doc (doc, "/m/a/b/c", NULL);
    assert_doc (doc, "/x", NULL);
    assert_status (weir_doc_get (doc, "m", &json, &e), WEIR_INVALID_PATH, &e);
    assert_null (json);
    fixture_drop (&entry);
    weir_doc_destroy (&doc);
    weir_doc_destroy (&doc);
}

/* ---- losers ---- */

static void
assert_conflicts (const struct weir_doc *doc, const char *path, const char *const *wanted, size_t n)
{
    struct weir_doc_value values[WEIR_LOSERS_MAX + 8];
    struct weir_error e = { 0 };
    size_t count = 0;
    assert_status (weir_doc_conflicts (doc, path, values, WEIR_LOSERS_MAX + 8, &count, &e), WEIR_OK,
                   &e);
    assert_int_equal (count, n);
    for (size_t i = 0; i < n; i++) {
        if (wanted[i] == NULL) {
            assert_null (values[i].value);
        } else {
            struct weir_buf text = { 0 };
            weir_json_put (&text, values[i].value);
            assert_string_equal (weir_buf_str (&text), wanted[i]);
            weir_buf_fini (&text);
        }
        if (i > 0) {
            assert_true (weir_order_key_compare (&values[i - 1].key, &values[i].key) > 0);
        }
        json_decref (values[i].value);
    }
}

/* One write of each chain is kept, the greatest; a chain's later write takes its earlier one's
 * place, whether that won or lost. */
static void
test_losers (void **state)
{
    (void) state;
    struct fixture_entry e[5];
    struct weir_doc *docs[3];
    for (size_t i = 0; i < 3; i++) {
        docs[i] = weir_doc_new ();
    }
    e[0] = fixture_commit (docs[0], fixture_head (1, 1, 0, 0), "/m/k", "\"a\"");
    e[1] = fixture_commit (docs[1], fixture_head (2, 2, 0, 0), "/m/k/x", "1");
    e[2] = fixture_commit (docs[2], fixture_head (3, 3, 0, 5), "/m/k", "2.5");
    e[3] = fixture_commit (docs[0], fixture_head (1, 4, 1, 4), "/m/k", NULL);
    e[4] = fixture_commit (docs[2], fixture_head (3, 5, 1, 6), "/m/k", "{\"$bytes\":\"ge\"}");
    assert_all_orders (e, 5, "{\"m\":{\"k\":{\"$bytes\":\"ge\"}}}");
    struct weir_doc *doc = weir_doc_new ();
    for (size_t i = 5; i-- > 0;) {
        fixture_apply (doc, &e[i]);
    }
    const char *const wanted[] = { "{\"$bytes\":\"ge\"}", NULL, "{\"x\":1}" };
    assert_conflicts (doc, "/m/k", wanted, 3);
    const char *const below[] = { "1" };
    struct weir_error error = { 0 };
    size_t count = 7;
    struct weir_doc_value value;
    /* The map under the key lost: nothing below it is visible. */
    assert_status (weir_doc_conflicts (doc, "/m/k/x", &value, 1, &count, &error), WEIR_NOT_FOUND,
                   &error);
    assert_conflicts (docs[1], "/m/k/x", below, 1);
    assert_status (weir_doc_conflicts (doc, "/m/none", &value, 1, &count, &error), WEIR_NOT_FOUND,
                   &error);
    assert_status (weir_doc_conflicts (doc, "/m", &value, 1, &count, &error), WEIR_INVALID_PATH,
                   &error);
    assert_status (weir_doc_conflicts (doc, "m", &value, 1, &count, &error), WEIR_INVALID_PATH,
                   &error);
    assert_int_equal (count, 7);
    assert_status (weir_doc_conflicts (doc, "/m/k", &value, 1, &count, &error), WEIR_OK, &error);
    assert_int_equal (count, 1);
    json_decref (value.value);
    weir_doc_destroy (&doc);
    for (size_t i = 0; i < 3; i++) {
        weir_doc_destroy (&docs[i]);
    }
    for (size_t i = 0; i < 5; i++) {
        fixture_drop (&e[i]);
    }
}

/* More chains than are kept, each writing several times: what stays does not depend on the
 * order, not even on causal order. */
static void
test_many_losers_in_any_order (void **state)
{
    (void) state;
    enum { CHAINS = 40, WRITES = 3, N = CHAINS * WRITES };
    static struct fixture_entry e[N];
    struct weir_rand rand;
    weir_rand_init (&rand, 7);
    for (size_t i = 0; i < N; i++) {
        char value[64];
        struct weir_doc *doc = weir_doc_new ();
        struct weir_doc_entry head =
            fixture_head ((uint8_t) (1 + i % CHAINS), (uint32_t) i, i / CHAINS,
                          i / CHAINS * 5 + weir_rand_below (&rand, 10));
        snprintf (value, sizeof value, "\"%0*zu\"", (int) weir_rand_below (&rand, 40), i);
        e[i] = fixture_commit (doc, head, "/m/k", value);
        weir_doc_destroy (&doc);
    }
    struct weir_doc *first = NULL;
    for (size_t round = 0; round < 50; round++) {
        struct weir_doc *doc = weir_doc_new ();
        for (size_t i = N; i-- > 0;) {
            size_t k = weir_rand_below (&rand, i + 1);
            struct fixture_entry t = e[i];
            e[i] = e[k];
            e[k] = t;
        }
        for (size_t i = 0; i < N; i++) {
            fixture_apply (doc, &e[i]);
        }
        if (first == NULL) {
            first = doc;
            continue;
        }
        assert_docs_equal (first, doc);
        weir_doc_destroy (&doc);
    }
    struct weir_doc_value values[64];
    struct weir_error error = { 0 };
    size_t count = 0;
    assert_status (weir_doc_conflicts (first, "/m/k", values, 64, &count, &error), WEIR_OK, &error);
    assert_int_equal (count, WEIR_LOSERS_MAX + 1);
    for (size_t i = 0; i < count; i++) {
        json_decref (values[i].value);
    }
    weir_doc_destroy (&first);
    for (size_t i = 0; i < N; i++) {
        fixture_drop (&e[i]);
    }
}

/* Values of all sizes overwrite each other in place. */
static void
test_overwriting (void **state)
{
    (void) state;
    struct weir_doc *doc = weir_doc_new ();
    static const size_t sizes[] = { 0, 5, 4000, 10, 100000, 1, 3, 20 };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct weir_buf text = { 0 };
        weir_buf_printf (&text, "\"");
        for (size_t k = 0; k < sizes[i]; k++) {
            weir_buf_put_u8 (&text, 'x');
        }
        weir_buf_printf (&text, "\"");
        struct fixture_entry e = fixture_commit (doc, fixture_head (1, (uint32_t) i, i, i), "/m/k",
                                                 weir_buf_str (&text));
        assert_doc (doc, "/m/k", weir_buf_str (&text));
        weir_buf_fini (&text);
        fixture_drop (&e);
    }
    weir_doc_cool (doc);
    assert_true (weir_doc_memory_bytes (doc) < 4000);
    weir_doc_destroy (&doc);
}

/* ---- heads, and what walks need ---- */

static void
assert_heads (const struct weir_doc *doc, const struct fixture_entry *entries, size_t n)
{
    size_t count = 0;
    const struct weir_id *heads = weir_doc_heads (doc, &count);
    assert_int_equal (count, n);
    for (size_t i = 0; i < n; i++) {
        assert_true (weir_id_equal (&heads[i], &entries[i].entry.id));
    }
}

/* An entry with these parents, whose payload sets /m/k. */
static struct fixture_entry
entry_on (uint32_t number, uint64_t lamport, const struct weir_id *parents, uint32_t n)
{
    struct weir_doc *doc = weir_doc_new ();
    struct fixture_entry out =
        fixture_commit (doc, fixture_head ((uint8_t) number, number, 0, lamport), "/m/k", "1");
    out.entry.parents = parents;
    out.entry.n_parents = n;
    weir_doc_destroy (&doc);
    return out;
}

static void
test_heads (void **state)
{
    (void) state;
    struct weir_doc *doc = weir_doc_new ();
    struct fixture_entry e[4];
    struct weir_id parents[3];
    struct weir_doc_entry genesis = fixture_head (9, 9, 0, 0);
    assert_heads (doc, NULL, 0);
    assert_int_equal (weir_doc_lamport (doc), 0);
    weir_doc_pass (doc, &genesis);
    assert_int_equal (weir_doc_lamport (doc), 0);
    e[0] = entry_on (1, 0, &genesis.id, 1);
    fixture_apply (doc, &e[0]);
    assert_heads (doc, e, 1);
    e[1] = entry_on (2, 5, &genesis.id, 1); /* beside it */
    fixture_apply (doc, &e[1]);
    assert_heads (doc, e, 2);
    assert_int_equal (weir_doc_lamport (doc), 6);
    /* Names both heads, and one that is in their past. */
    parents[0] = e[1].entry.id;
    parents[1] = e[0].entry.id;
    parents[2] = genesis.id;
    e[2] = entry_on (3, 6, parents, 3);
    fixture_apply (doc, &e[2]);
    assert_heads (doc, &e[2], 1);
    /* Inert, and a head all the same. */
    e[3] = entry_on (4, 7, &e[2].entry.id, 1);
    e[3].entry.ops = 2;
    bool deferred = true;
    assert_status (weir_doc_apply (doc, &e[3].entry, weir_buf_bytes (&e[3].payload), &deferred),
                   WEIR_BAD_PAYLOAD, NULL);
    assert_false (deferred);
    assert_heads (doc, &e[3], 1);
    assert_int_equal (weir_doc_lamport (doc), 9);
    assert_int_equal (weir_graph_count (weir_doc_graph (doc)), 5);
    assert_int_equal (weir_doc_node (doc), WEIR_GRAPH_NONE);
    weir_doc_cool (doc);
    weir_doc_cool (doc);
    assert_null (weir_doc_graph (doc));
    assert_docs_equal (doc, doc);
    for (size_t i = 0; i < 4; i++) {
        fixture_drop (&e[i]);
    }
    weir_doc_destroy (&doc);
}

/* ---- the history ---- */

struct log {
    const struct fixture_entry *entries;
    size_t count;
    size_t reads;
    enum weir_status status;
};

static enum weir_status
log_read (void *context, weir_history_fn *fn, void *fn_context)
{
    struct log *log = context;
    log->reads++;
    for (size_t i = 0; i < log->count; i++) {
        if (!fn (fn_context, &log->entries[i].entry, weir_buf_bytes (&log->entries[i].payload))) {
            return WEIR_OK;
        }
    }
    return log->status;
}

/* A list insertion at `at`, by hand: rows: list "l". */
static struct fixture_entry
insertion (uint32_t number, uint64_t lamport, const struct weir_id *parents, uint32_t n_parents,
           uint8_t at)
{
    struct fixture_entry out = { .entry = fixture_head ((uint8_t) number, number, 0, lamport) };
    uint8_t payload[] = { 1, 0, 0, 1, 0x08, 1, 'l', 0, 0, 0, 1, 3, 0 };
    payload[9] = (uint8_t) (at * 2);
    payload[12] = (uint8_t) (number * 2);
    out.entry.ops = 1;
    out.entry.parents = parents;
    out.entry.n_parents = n_parents;
    weir_buf_put (&out.payload, payload, sizeof payload);
    return out;
}

static void
test_the_history_is_read_when_it_is_needed (void **state)
{
    (void) state;
    struct fixture_entry e[5];
    struct weir_buf bytes = { 0 };
    struct weir_doc *warm = weir_doc_new ();
    struct weir_doc *cold = NULL;
    bool deferred = false;
    e[0] = insertion (1, 0, NULL, 0, 0);
    e[1] = insertion (2, 1, &e[0].entry.id, 1, 1);
    e[2] = insertion (3, 1, &e[0].entry.id, 1, 1); /* beside e[1] */
    struct weir_id both[] = { e[1].entry.id, e[2].entry.id };
    e[3] = insertion (4, 2, both, 2, 3);
    e[4] = insertion (5, 1, &e[0].entry.id, 1, 7); /* out of range */
    fixture_apply (warm, &e[0]);
    fixture_apply (warm, &e[1]);
    weir_doc_save (warm, &bytes);
    assert_status (weir_doc_load (&cold, weir_buf_bytes (&bytes)), WEIR_OK, NULL);
    assert_false (weir_doc_is_warm (cold));
    /* No port, or one that fails or lies: nothing is changed, and it may be tried again. */
    struct log log = { .entries = e, .count = 2, .status = WEIR_IO_ERROR };
    struct weir_history port = { .context = &log, .read = log_read };
    assert_status (weir_doc_apply (cold, &e[2].entry, weir_buf_bytes (&e[2].payload), &deferred),
                   WEIR_UNSUPPORTED, NULL);
    assert_true (deferred);
    weir_doc_set_history (cold, &port);
    assert_status (weir_doc_apply (cold, &e[2].entry, weir_buf_bytes (&e[2].payload), &deferred),
                   WEIR_IO_ERROR, NULL);
    assert_true (deferred);
    log.status = WEIR_OK;
    log.count = 1; /* too little */
    assert_status (weir_doc_apply (cold, &e[2].entry, weir_buf_bytes (&e[2].payload), NULL),
                   WEIR_CORRUPT, NULL);
    log.entries = &e[1]; /* its parent is unknown */
    assert_status (weir_doc_warm (cold), WEIR_CORRUPT, NULL);
    log.entries = e;
    assert_heads (cold, &e[1], 1);
    assert_false (weir_doc_is_warm (cold));
    log.count = 2;
    log.reads = 0;
    fixture_apply (cold, &e[2]);
    assert_true (weir_doc_is_warm (cold));
    fixture_apply (warm, &e[2]);
    assert_docs_equal (warm, cold);
    assert_status (weir_doc_warm (cold), WEIR_OK, NULL);
    assert_int_equal (log.reads, 1);
    /* On top of all heads: cold again, and it stays so. */
    weir_doc_cool (cold);
    fixture_apply (cold, &e[3]);
    fixture_apply (warm, &e[3]);
    assert_false (weir_doc_is_warm (cold));
    assert_docs_equal (warm, cold);
    assert_doc (cold, "", "{\"l\":[1,2,3,4]}");
    /* Out of range at its parents, though there are so many now. */
    log.count = 4;
    struct weir_doc *docs[] = { warm, cold };
    for (size_t i = 0; i < 2; i++) {
        assert_status (
            weir_doc_apply (docs[i], &e[4].entry, weir_buf_bytes (&e[4].payload), &deferred),
            WEIR_OUT_OF_RANGE, NULL);
        assert_false (deferred);
    }
    assert_docs_equal (warm, cold);
    for (size_t i = 0; i < 5; i++) {
        fixture_drop (&e[i]);
    }
    weir_buf_fini (&bytes);
    weir_doc_destroy (&warm);
    weir_doc_destroy (&cold);
}

/* The budget counts what was applied, and never below nothing. */
static void
test_budget (void **state)
{
    (void) state;
    struct weir_doc *doc = weir_doc_new ();
    struct weir_doc *other = weir_doc_new ();
    uint64_t budget = 4;
    struct fixture_entry a =
        fixture_commit (other, fixture_head (1, 1, 0, 0), "/m", "{\"a\":1,\"b\":2,\"c\":3}");
    struct fixture_entry b = fixture_commit (other, fixture_head (1, 2, 1, 3), "/m", "{\"d\":1}");
    weir_doc_set_budget (doc, &budget);
    fixture_apply (doc, &a);
    assert_int_equal (budget, 1);
    fixture_apply (doc, &b);
    assert_int_equal (budget, 0);
    assert_docs_equal (doc, other);
    fixture_drop (&a);
    fixture_drop (&b);
    weir_doc_destroy (&doc);
    weir_doc_destroy (&other);
}

/* A document that warms up while a change is open counts the change's ops, too. */
static void
test_warming_up_under_an_open_change (void **state)
{
    (void) state;
    struct weir_chain me = { .lane = 3 };
    struct fixture_entry e[3] = { insertion (1, 0, NULL, 0, 0) };
    struct weir_doc *docs[2];
    struct weir_buf bytes = { 0 };
    struct weir_error error = { 0 };
    struct log log = { .entries = e, .count = 1 };
    struct weir_history port = { .context = &log, .read = log_read };
    e[2] = insertion (3, 1, &e[0].entry.id, 1, 1);
    docs[0] = weir_doc_new ();
    fixture_apply (docs[0], &e[0]);
    weir_doc_save (docs[0], &bytes);
    assert_status (weir_doc_load (&docs[1], weir_buf_bytes (&bytes)), WEIR_OK, NULL);
    for (size_t i = 0; i < 2; i++) {
        struct weir_change *change = weir_change_open (docs[i], &me, 0);
        struct weir_container *list = NULL;
        struct weir_value values[2] = { { .type = WEIR_VALUE_TRUE }, { .type = WEIR_VALUE_FALSE } };
        weir_doc_set_history (docs[i], &port);
        assert_status (weir_change_root (change, "l", &weir_container_list, &list, &error), WEIR_OK,
                       &error);
        assert_status (weir_change_list_insert (change, list, 0, values, 2, NULL, &error), WEIR_OK,
                       &error);
        assert_status (weir_change_list_delete (change, list, 1, 1, &error), WEIR_OK, &error);
        assert_status (weir_doc_warm (docs[i]), WEIR_OK, NULL);
        assert_status (weir_change_list_insert (change, list, 1, values, 1, NULL, &error), WEIR_OK,
                       &error);
        fixture_drop (&e[1]);
        e[1] = (struct fixture_entry){ .entry = fixture_head (2, 2, 0, 1) };
        e[1].entry.chain = me;
        e[1].entry.parents = &e[0].entry.id;
        e[1].entry.n_parents = 1;
        assert_status (weir_change_payload (change, weir_bytes (NULL, 0), &e[1].payload,
                                            &e[1].entry.ops, &error),
                       WEIR_OK, &error);
        weir_change_seal (change, &e[1].entry);
        weir_change_destroy (&change);
        fixture_apply (docs[i], &e[2]);
        assert_doc (docs[i], "/l", "[true,true,1,3]");
    }
    assert_docs_equal (docs[0], docs[1]);
    weir_buf_fini (&bytes);
    for (size_t i = 0; i < 3; i++) {
        fixture_drop (&e[i]);
    }
    for (size_t i = 0; i < 2; i++) {
        weir_doc_destroy (&docs[i]);
    }
}

/* ---- unique children ---- */

/* Makes, in the unique child of `in` (NULL: in root "m"), the unique child of key "u". */
static struct fixture_entry
making (uint32_t number, const struct weir_id *in)
{
    struct fixture_entry out = { .entry = fixture_head (1, number, number, number) };
    weir_buf_put (&out.payload, "\x01\x00", 2);
    weir_buf_put_u8 (&out.payload, in != NULL);
    if (in != NULL) {
        weir_buf_put (&out.payload, in->b, WEIR_ID_BYTES);
        weir_buf_put (&out.payload, "\x01\x06\x02\x00", 4);
    } else {
        weir_buf_put (&out.payload, "\x01\x04\x01m", 4);
    }
    weir_buf_put (&out.payload, "\x00\x00\x01u\x09\x01", 6);
    out.entry.ops = 1;
    return out;
}

/* Entries of a forger may write into what is not made yet, in any order; how deep it hangs, and
 * what is shown, is the same in the end, and has an end. */
static void
test_unique_children_of_unknown_parents (void **state)
{
    (void) state;
    enum { N = 100 };
    struct fixture_entry e[N];
    struct weir_doc *up = weir_doc_new ();
    struct weir_doc *down = weir_doc_new ();
    json_t *json = NULL;
    struct weir_error error = { 0 };
    for (uint32_t i = 0; i < N; i++) {
        e[i] = making (i + 1, i == 0 ? NULL : &e[i - 1].entry.id);
        fixture_apply (up, &e[i]);
    }
    for (uint32_t i = N; i-- > 0;) {
        assert_doc (down, "", "{}");
        fixture_apply (down, &e[i]);
        assert_docs_equal (down, down);
    }
    assert_docs_equal (up, down);
    assert_status (weir_doc_get (up, "", &json, &error), WEIR_OK, &error);
    struct weir_buf text = { 0 };
    json_t *again = NULL;
    weir_json_put (&text, json);
    assert_status (weir_json_parse (&again, weir_buf_bytes (&text), WEIR_JSON_BYTES_MAX, &error),
                   WEIR_OK, &error);
    json_decref (json);
    json_decref (again);
    weir_buf_fini (&text);
    struct weir_op_id last = { .entry = e[N - 1].entry.id };
    struct weir_id id = weir_container_unique_id (&last, WEIR_CONTAINER_MAP);
    assert_int_equal (weir_container_level (weir_doc_unique (up, &id)),
                      WEIR_CONTAINER_DEPTH_MAX + 1);
    assert_int_equal (weir_op_id_compare (&last, &last), 0);
    for (size_t i = 0; i < N; i++) {
        fixture_drop (&e[i]);
    }
    weir_doc_destroy (&up);
    weir_doc_destroy (&down);
}

/* Both made at once are told among the values that concur. */
static void
test_unique_children_concur (void **state)
{
    (void) state;
    struct weir_doc *doc = weir_doc_new ();
    struct fixture_entry a = making (1, NULL);
    struct fixture_entry b = making (2, NULL);
    b.entry.chain.lane = 2;
    fixture_apply (doc, &a);
    fixture_apply (doc, &b);
    struct fixture_entry inside = making (3, &a.entry.id);
    fixture_apply (doc, &inside);
    const char *const wanted[] = { "{}", "{\"u\":{}}" };
    assert_conflicts (doc, "/m/u", wanted, 2);
    assert_doc (doc, "/m", "{\"u\":{}}");
    fixture_drop (&a);
    fixture_drop (&b);
    fixture_drop (&inside);
    weir_doc_destroy (&doc);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_who_wins),
        cmocka_unit_test (test_offsets_count),
        cmocka_unit_test (test_deletes_are_writes),
        cmocka_unit_test (test_nested_maps_merge),
        cmocka_unit_test (test_scalar_against_map),
        cmocka_unit_test (test_ids_are_derived),
        cmocka_unit_test (test_reading),
        cmocka_unit_test (test_losers),
        cmocka_unit_test (test_many_losers_in_any_order),
        cmocka_unit_test (test_overwriting),
        cmocka_unit_test (test_heads),
        cmocka_unit_test (test_the_history_is_read_when_it_is_needed),
        cmocka_unit_test (test_budget),
        cmocka_unit_test (test_warming_up_under_an_open_change),
        cmocka_unit_test (test_unique_children_of_unknown_parents),
        cmocka_unit_test (test_unique_children_concur),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
