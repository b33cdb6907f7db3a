/* Goal: a counter is the sum of all increments, whatever order they came in: integers wrap,
 * doubles add up in one order of chains and entries, sums stay finite; its state is canonical,
 * and increments that no verb would write make their entry inert. */

#include "tests/store/crdt/types_fixture.h"

#include <float.h>
#include <math.h>

static enum weir_status
add_value (struct types_replica *r, const struct weir_value *by)
{
    struct weir_error e = { 0 };
    struct weir_container *c = types_edit (r, &weir_container_counter);
    return weir_change_increment (r->change, c, by, &e);
}

static void
add (struct types_replica *r, int64_t by)
{
    struct weir_value value = { .type = WEIR_VALUE_INT, .number.i = by };
    assert_int_equal (add_value (r, &value), WEIR_OK);
}

static void
add_double (struct types_replica *r, double by)
{
    struct weir_value value = { .type = WEIR_VALUE_DOUBLE, .number.d = by };
    assert_int_equal (add_value (r, &value), WEIR_OK);
}

static void
assert_number (struct types_replica *r, double wanted)
{
    struct weir_error e = { 0 };
    json_t *json = NULL;
    assert_int_equal (weir_doc_get (r->doc, "/counter", &json, &e), WEIR_OK);
    assert_true (json_is_real (json));
    double got = json_real_value (json);
    assert_memory_equal (&got, &wanted, sizeof got);
    json_decref (json);
}

static void
test_integers_wrap (void **state)
{
    (void) state;
    static const struct {
        int64_t steps[3];
        const char *sum;
    } rows[] = {
        { { 1, 2, 3 }, "6" },
        { { 5, -7, 0 }, "-2" },
        { { INT64_MAX, 1, 0 }, "-9223372036854775808" },
        { { INT64_MIN, -1, -1 }, "9223372036854775806" },
        { { 4, -4, 0 }, "0" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct types_world world = { .count = 0 };
        struct types_replica a;
        struct types_replica b;
        types_begin (&a, &world, 1);
        types_begin (&b, &world, 2);
        add (&a, rows[i].steps[0]);
        assert_int_equal (weir_change_atoms (a.change), 1);
        types_commit (&a);
        add (&b, rows[i].steps[1]);
        add (&b, rows[i].steps[2]);
        types_commit (&b);
        types_sync (&a, &b);
        types_sync (&b, &a);
        assert_doc (a.doc, "/counter", rows[i].sum);
        assert_docs_equal (a.doc, b.doc);
        types_assert_strict (a.doc);
        types_end (&a);
        types_end (&b);
        types_world_end (&world);
    }
}

/* 0.1 + 0.2 + 0.3 by one chain and -0.3 by another, however they arrive; then integers join. */
static void
test_doubles_add_in_one_order (void **state)
{
    (void) state;
    static const uint32_t orders[][4] = { { 0, 1, 2, 3 }, { 3, 0, 1, 2 }, { 0, 3, 1, 2 } };
    struct types_world world = { .count = 0 };
    struct types_replica a;
    struct types_replica b;
    types_begin (&a, &world, 1);
    types_begin (&b, &world, 2);
    add_double (&a, 0.1);
    types_commit (&a);
    add_double (&a, 0.2);
    types_commit (&a);
    add_double (&a, 0.3);
    types_commit (&a);
    add_double (&b, -0.3);
    types_commit (&b);
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        struct types_replica c;
        types_begin (&c, &world, 3);
        for (size_t k = 0; k < 4; k++) {
            assert_int_equal (types_take (&c, orders[i][k]), WEIR_OK);
            types_reload (&c);
        }
        assert_number (&c, (0.1 + 0.2 + 0.3) + -0.3);
        types_assert_strict (c.doc);
        add (&c, 7);
        assert_number (&c, (7.0 + (0.1 + 0.2 + 0.3)) + -0.3);
        types_commit (&c);
        world.count--;
        weir_buf_fini (&world.entries[world.count].payload);
        types_end (&c);
    }
    types_end (&a);
    types_end (&b);
    types_world_end (&world);
}

/* Two tips of one chain: the entry with the smaller id comes first, once it has one. */
static void
test_forked_chains (void **state)
{
    (void) state;
    struct types_world world = { .count = 0 };
    struct types_replica a;
    struct types_replica b;
    types_begin (&a, &world, 1);
    types_begin (&b, &world, 1);
    add_double (&a, 1e16);
    add_double (&a, 1.0);
    types_commit (&a);
    add_double (&b, -1e16);
    add_double (&b, 0.5);
    types_commit (&b);
    types_sync (&a, &b);
    types_sync (&b, &a);
    assert_number (&a, 1e16 + 1.0 + -1e16 + 0.5);
    assert_docs_equal (a.doc, b.doc);
    /* An open change on top of two tips. */
    add_double (&a, 3.25);
    assert_number (&a, 1e16 + 1.0 + -1e16 + 0.5 + 3.25);
    types_commit (&a);
    types_sync (&a, &b);
    assert_docs_equal (a.doc, b.doc);
    types_end (&a);
    types_end (&b);
    types_world_end (&world);
}

static void
test_sums_stay_finite (void **state)
{
    (void) state;
    struct types_world world = { .count = 0 };
    struct types_replica a;
    struct types_replica b;
    types_begin (&a, &world, 1);
    types_begin (&b, &world, 2);
    add_double (&a, DBL_MAX);
    add_double (&a, DBL_MAX);
    assert_number (&a, DBL_MAX);
    types_commit (&a);
    add_double (&b, -DBL_MAX);
    add_double (&b, -DBL_MAX);
    assert_number (&b, -DBL_MAX);
    types_commit (&b);
    types_sync (&b, &a);
    assert_number (&a, 0.0);
    struct weir_value bad[] = {
        { .type = WEIR_VALUE_DOUBLE, .number.d = (double) INFINITY },
        { .type = WEIR_VALUE_DOUBLE, .number.d = (double) NAN },
        { .type = WEIR_VALUE_TEXT },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal (add_value (&a, &bad[i]), WEIR_INVALID_ARGUMENT);
    }
    assert_int_equal (weir_change_atoms (a.change), 0);
    types_end (&a);
    types_end (&b);
    types_world_end (&world);
}

static void
test_hostile_ops (void **state)
{
    (void) state;
    struct types_world world = { .count = 0 };
    struct types_replica a;
    types_begin (&a, &world, 1);
    struct weir_op op = { .code = WEIR_COUNTER_DOUBLE, .atoms = 1 };
    op.value.type = WEIR_VALUE_DOUBLE;
    op.value.number.d = (double) NAN;
    assert_int_equal (types_craft (&a, &weir_container_counter, NULL, 0, &op, 1), WEIR_BAD_PAYLOAD);
    op.code = 2;
    assert_int_equal (types_craft (&a, &weir_container_counter, NULL, 0, &op, 1),
                      WEIR_NEEDS_UPGRADE);
    op.code = WEIR_COUNTER_DOUBLE;
    op.value.number.d = 2.5;
    op.atoms = 2; /* the header lies */
    assert_int_equal (types_craft (&a, &weir_container_counter, NULL, 0, &op, 1), WEIR_BAD_PAYLOAD);
    assert_doc (a.doc, "/counter", NULL);
    op.atoms = 1;
    assert_int_equal (types_craft (&a, &weir_container_counter, NULL, 0, &op, 1), WEIR_OK);
    assert_doc (a.doc, "/counter", "2.5");
    types_end (&a);
    types_world_end (&world);
}

static void
test_shown_to_people (void **state)
{
    (void) state;
    struct types_world world = { .count = 0 };
    struct types_replica a;
    struct weir_buf text = { 0 };
    json_t *json = NULL;
    types_begin (&a, &world, 1);
    add (&a, -3);
    add_double (&a, 0.5);
    types_commit (&a);
    assert_int_equal (weir_doc_payload_json (weir_buf_bytes (&world.entries[0].payload), &json),
                      WEIR_OK);
    weir_json_put (&text, json_object_get (json, "ops"));
    assert_string_equal (weir_buf_str (&text),
                         "[{\"by\":-3,\"op\":\"increment\",\"path\":\"/counter\"},"
                         "{\"by\":0.5,\"op\":\"increment\",\"path\":\"/counter\"}]");
    json_decref (json);
    weir_buf_fini (&text);
    types_end (&a);
    types_world_end (&world);
}

static void
hear (void *context, const struct weir_notice *notice)
{
    double *sum = context;
    assert_int_equal (notice->kind, WEIR_NOTICE_NUMBER);
    *sum += notice->by.type == WEIR_VALUE_INT ? (double) notice->by.number.i : notice->by.number.d;
}

static void
test_notices (void **state)
{
    (void) state;
    struct types_world world = { .count = 0 };
    struct types_replica a;
    struct types_replica b;
    double heard = 0;
    types_begin (&a, &world, 1);
    types_begin (&b, &world, 2);
    weir_doc_listen (b.doc, hear, &heard);
    add (&a, 4);
    add_double (&a, 0.25);
    types_commit (&a);
    types_sync (&a, &b);
    assert_true (heard == 4.25);
    types_end (&a);
    types_end (&b);
    types_world_end (&world);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_integers_wrap), cmocka_unit_test (test_doubles_add_in_one_order),
        cmocka_unit_test (test_forked_chains), cmocka_unit_test (test_sums_stay_finite),
        cmocka_unit_test (test_hostile_ops),   cmocka_unit_test (test_shown_to_people),
        cmocka_unit_test (test_notices),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
