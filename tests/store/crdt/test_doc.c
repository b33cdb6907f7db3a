/* Goal: documents converge: whatever the order entries arrive in, value, losers and saved bytes
 * are the same; who wins is by order key; nested maps merge, and made again show only what their
 * removal had not seen; states load back, and nothing but a state loads. */

#include "tests/store/crdt/fixture.h"

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
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
