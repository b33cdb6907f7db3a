/* Goal: rows stay sorted and distinct whatever is put, advanced or cleared, checked against a
 * plain list; equal sets have equal digests and any difference shows; ranges join only where one
 * continues the other. */

#include "tests/store/dag/fixture.h"

#include "store/dag/vector.h"

static struct weir_row
row_of (uint32_t author, uint64_t lane, uint64_t count, uint32_t tip)
{
    struct weir_row row = { { fixture_id (author), lane }, count, fixture_id (tip) };
    return row;
}

static void
assert_sorted (const struct weir_vector *v)
{
    for (size_t i = 1; i < v->count; i++) {
        int order = weir_chain_compare (&v->rows[i - 1].chain, &v->rows[i].chain);
        assert_true (order < 0
                     || (order == 0 && weir_id_compare (&v->rows[i - 1].tip, &v->rows[i].tip) < 0));
    }
}

static void
test_put_find_chain (void **state)
{
    (void) state;
    struct weir_vector v = { 0 };
    size_t n = 7;
    const struct weir_row absent = row_of (9, 9, 1, 1);
    assert_null (weir_vector_chain (&v, &absent.chain, &n));
    assert_int_equal (n, 0);
    const struct weir_row rows[] = {
        row_of (2, 1, 5, 50), row_of (1, 9, 3, 7),  row_of (2, 1, 4, 20),
        row_of (2, 0, 1, 99), row_of (2, 1, 9, 50), row_of (2, 1, 2, 50),
    };
    for (size_t i = 0; i < 6; i++) {
        weir_vector_put (&v, &rows[i]);
        assert_sorted (&v);
    }
    assert_int_equal (v.count, 4);
    const struct weir_row *chain = weir_vector_chain (&v, &rows[0].chain, &n);
    assert_int_equal (n, 2);
    assert_int_equal (chain[0].count, 4);
    assert_int_equal (chain[1].count, 9); /* grew, and never shrinks */
    assert_int_equal (weir_vector_find (&v, &rows[1].chain, &rows[1].tip)->count, 3);
    assert_null (weir_vector_find (&v, &rows[1].chain, &rows[0].tip));
    assert_null (weir_vector_find (&v, &absent.chain, &absent.tip));
    weir_vector_put (&v, &v.rows[3]); /* a row of itself */
    assert_int_equal (v.count, 4);
    weir_vector_clear (&v);
    assert_int_equal (v.count, 0);
    weir_vector_fini (&v);
}

/* Random puts and advances against an unsorted list. */
static void
test_against_a_plain_list (void **state)
{
    (void) state;
    struct weir_rand r;
    weir_rand_init (&r, 3);
    for (int round = 0; round < 300; round++) {
        struct weir_vector v = { 0 };
        struct weir_row list[64];
        size_t n = 0;
        for (int step = 0; step < 60; step++) {
            struct weir_row row =
                row_of ((uint32_t) weir_rand_below (&r, 3), weir_rand_below (&r, 2),
                        1 + weir_rand_below (&r, 9), (uint32_t) weir_rand_below (&r, 6));
            struct weir_id from = fixture_id ((uint32_t) weir_rand_below (&r, 7));
            bool advance = weir_rand_below (&r, 2) == 0;
            for (size_t i = 0; advance && i < n; i++) {
                if (weir_chain_compare (&list[i].chain, &row.chain) == 0
                    && weir_id_equal (&list[i].tip, &from)) {
                    list[i] = list[--n];
                    if (weir_id_equal (&from, &row.tip)) {
                        break;
                    }
                }
            }
            size_t at = 0;
            while (at < n
                   && (weir_chain_compare (&list[at].chain, &row.chain) != 0
                       || !weir_id_equal (&list[at].tip, &row.tip))) {
                at++;
            }
            if (at == n) {
                list[n++] = row;
            } else if (row.count > list[at].count) {
                list[at].count = row.count;
            }
            if (advance) {
                weir_vector_advance (&v, &from, &row);
            } else {
                weir_vector_put (&v, &row);
            }
            assert_sorted (&v);
            assert_int_equal (v.count, n);
            for (size_t i = 0; i < n; i++) {
                const struct weir_row *found = weir_vector_find (&v, &list[i].chain, &list[i].tip);
                assert_non_null (found);
                assert_int_equal (found->count, list[i].count);
            }
        }
        weir_vector_fini (&v);
    }
}

static void
test_equality_and_digest (void **state)
{
    (void) state;
    struct weir_vector a = { 0 };
    struct weir_vector b = { 0 };
    const struct weir_row rows[] = {
        row_of (1, 1, 5, 5),
        row_of (1, 2, 6, 6),
        row_of (2, 1, 7, 7),
    };
    for (size_t i = 0; i < 3; i++) {
        weir_vector_put (&a, &rows[i]);
        weir_vector_put (&b, &rows[2 - i]);
    }
    struct weir_id da = weir_vector_digest (&a);
    struct weir_id db = weir_vector_digest (&b);
    assert_true (weir_vector_equal (&a, &b));
    assert_ids_equal (&da, &db);
    const struct weir_row others[] = {
        row_of (1, 1, 6, 5),
        row_of (3, 1, 7, 7),
        row_of (2, 1, 7, 8),
        row_of (2, 3, 7, 7),
    };
    for (size_t i = 0; i < 4; i++) {
        weir_vector_copy (&b, &a);
        assert_true (weir_vector_equal (&a, &b));
        weir_vector_put (&b, &others[i]);
        db = weir_vector_digest (&b);
        assert_false (weir_vector_equal (&a, &b));
        assert_false (weir_id_equal (&da, &db));
    }
    struct weir_vector empty = { 0 };
    weir_vector_copy (&b, &empty);
    assert_int_equal (b.count, 0);
    db = weir_vector_digest (&b);
    assert_false (weir_id_equal (&da, &db));
    weir_vector_fini (&a);
    weir_vector_fini (&b);
}

static void
test_ranges_join (void **state)
{
    (void) state;
    struct weir_ranges r = { 0 };
    const struct weir_chain one = { fixture_id (1), 1 };
    const struct weir_chain two = { fixture_id (1), 2 };
    const struct {
        struct weir_range range;
        struct weir_id before;
        size_t count; /* afterwards */
    } rows[] = {
        { { one, 0, 4, fixture_id (10) }, weir_id_zero, 1 },
        { { one, 4, 6, fixture_id (11) }, fixture_id (10), 1 },
        { { one, 6, 7, fixture_id (12) }, weir_id_zero, 2 },      /* unknown before */
        { { one, 8, 9, fixture_id (13) }, fixture_id (12), 3 },   /* a gap */
        { { one, 9, 10, fixture_id (14) }, fixture_id (99), 4 },  /* another branch */
        { { two, 10, 11, fixture_id (15) }, fixture_id (14), 5 }, /* another chain */
        { { two, 11, 20, fixture_id (16) }, fixture_id (15), 5 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        weir_ranges_add (&r, &rows[i].range, &rows[i].before);
        assert_int_equal (r.count, rows[i].count);
        assert_int_equal (r.items[r.count - 1].to_seq, rows[i].range.to_seq);
        assert_ids_equal (&r.items[r.count - 1].tip, &rows[i].range.tip);
    }
    assert_int_equal (r.items[0].to_seq, 6);
    weir_ranges_clear (&r);
    assert_int_equal (r.count, 0);
    weir_ranges_fini (&r);
}

int
main (void)
{
    weir_crypto_init ();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_put_find_chain),
        cmocka_unit_test (test_against_a_plain_list),
        cmocka_unit_test (test_equality_and_digest),
        cmocka_unit_test (test_ranges_join),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
