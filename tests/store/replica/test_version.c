/* Goal: versions: heads to op vectors and back, what is unknown or inside an entry, how versions
 * compare, several tips of one chain, and the history as a list of changes. */

#include "tests/store/replica/replica_fixture.h"

static void
test_vector_and_back (void **state)
{
    struct lab lab;
    lab_init (&lab);
    struct weir_replica *a = lab_replica (&lab, 0);
    struct weir_replica *b = lab_replica (&lab, 1);
    struct weir_heads heads = { 0 };
    struct weir_heads back = { 0 };
    struct weir_op_vector v = { 0 };
    lab_vector (a, &v);
    assert_int_equal (v.count, 0); /* the genesis holds no ops */
    lab_ok (weir_replica_heads (a, &v, &back, &e));
    assert_int_equal (back.count, 0);
    lab_type (a, 0, "hello");
    (void) lab_commit (a, "", 0);
    lab_type (a, 5, "!!");
    lab_type (b, 0, "abc");
    lab_sync (b, a);
    lab_vector (a, &v);
    assert_int_equal (v.count, 2);
    uint64_t ops = v.rows[0].ops + v.rows[1].ops;
    assert_int_equal (ops, 10);
    weir_replica_log_heads (a, &heads);
    lab_ok (weir_replica_heads (a, &v, &back, &e));
    assert_same_heads (&heads, &back);
    struct weir_op_row *mine = v.rows[0].ops == 7 ? &v.rows[0] : &v.rows[1];
    mine->ops = 5; /* the first entry of two */
    mine->tip = weir_id_zero;
    lab_ok (weir_replica_heads (a, &v, &back, &e));
    assert_int_equal (back.count, 2);
    mine->ops = 6;
    assert_int_equal (weir_replica_heads (a, &v, &back, NULL), WEIR_INVALID_ARGUMENT);
    mine->ops = 3;
    assert_int_equal (weir_replica_heads (a, &v, &back, NULL), WEIR_NOT_FOUND);
    mine->ops = 0;
    lab_ok (weir_replica_heads (a, &v, &back, &e));
    assert_int_equal (back.count, 1);
    mine->ops = 7;
    mine->chain.lane++;
    assert_int_equal (weir_replica_heads (a, &v, &back, NULL), WEIR_NOT_FOUND);
    weir_heads_put (&heads, &(struct weir_id){ { 9 } });
    assert_int_equal (weir_replica_vector (a, &heads, &v, NULL), WEIR_NOT_FOUND);
    weir_heads_fini (&heads);
    weir_heads_fini (&back);
    weir_op_vector_fini (&v);
    weir_replica_destroy (&a);
    weir_replica_destroy (&b);
    lab_fini (&lab);
    (void) state;
}

static void
assert_relation (struct weir_replica *r, const struct weir_heads *x, const struct weir_heads *y,
                 enum weir_graph_relation wanted)
{
    enum weir_graph_relation got = WEIR_GRAPH_EQUAL;
    lab_ok (weir_replica_compare (r, x, y, &got, &e));
    assert_int_equal (got, wanted);
}

static void
test_compare (void **state)
{
    struct lab lab;
    lab_init (&lab);
    struct weir_replica *a = lab_replica (&lab, 0);
    struct weir_replica *b = lab_replica (&lab, 1);
    struct weir_heads none = { 0 };
    struct weir_heads first = { 0 };
    struct weir_heads mine = { 0 };
    struct weir_heads theirs = { 0 };
    struct weir_heads both = { 0 };
    enum weir_graph_relation relation;
    lab_set (a, "x", 1);
    (void) lab_commit (a, "", 0);
    weir_replica_log_heads (a, &first);
    lab_sync (a, b);
    lab_set (a, "x", 2);
    (void) lab_commit (a, "", 0);
    weir_replica_log_heads (a, &mine);
    lab_set (b, "y", 2);
    (void) lab_commit (b, "", 0);
    weir_replica_log_heads (b, &theirs);
    assert_int_equal (weir_replica_compare (a, &mine, &theirs, &relation, NULL), WEIR_NOT_FOUND);
    lab_sync (b, a);
    weir_replica_log_heads (a, &both);
    assert_relation (a, &first, &first, WEIR_GRAPH_EQUAL);
    assert_relation (a, &none, &first, WEIR_GRAPH_BEFORE);
    assert_relation (a, &first, &mine, WEIR_GRAPH_BEFORE);
    assert_relation (a, &both, &theirs, WEIR_GRAPH_AFTER);
    assert_relation (a, &theirs, &mine, WEIR_GRAPH_CONCURRENT);
    weir_heads_put (&both, &first.items[0]); /* redundant heads mean nothing */
    assert_relation (a, &both, &theirs, WEIR_GRAPH_AFTER);
    weir_heads_fini (&first);
    weir_heads_fini (&mine);
    weir_heads_fini (&theirs);
    weir_heads_fini (&both);
    weir_replica_destroy (&a);
    weir_replica_destroy (&b);
    lab_fini (&lab);
    (void) state;
}

/* A replica copied with its lane: one chain ends in two tips, and every replica says so. */
static void
test_two_tips (void **state)
{
    struct lab lab;
    lab_init (&lab);
    struct weir_replica_options options = lab_options (&lab, 1);
    struct weir_replica *a = NULL;
    struct weir_replica *b = NULL;
    struct weir_replica *c = lab_replica (&lab, 0);
    struct weir_heads heads = { 0 };
    struct weir_heads back = { 0 };
    struct weir_op_vector v = { 0 };
    lab_ok (weir_replica_new (&a, &options, &e));
    lab_type (a, 0, "same");
    struct weir_buf copy = lab_snapshot (a);
    lab_ok (weir_replica_load (&b, &options, weir_buf_bytes (&copy), &e));
    lab_type (a, 4, " here");
    lab_type (b, 4, " and there");
    lab_sync (a, c);
    lab_sync (b, c);
    lab_vector (c, &v);
    assert_int_equal (v.count, 2);
    assert_int_equal (weir_chain_compare (&v.rows[0].chain, &v.rows[1].chain), 0);
    assert_true (weir_id_compare (&v.rows[0].tip, &v.rows[1].tip) < 0);
    assert_int_equal (v.rows[0].ops + v.rows[1].ops, 4 + 5 + 4 + 10);
    lab_ok (weir_replica_heads (c, &v, &back, &e));
    weir_replica_log_heads (c, &heads);
    assert_same_heads (&heads, &back);
    lab_type (c, 0, "the ");
    lab_sync (c, b);
    lab_sync (b, a);
    lab_type (a, 0, "-"); /* it goes on on its own branch */
    lab_sync (a, b);
    lab_sync (a, c);
    assert_same_replicas (a, b);
    assert_same_replicas (a, c);
    weir_buf_fini (&copy);
    weir_op_vector_fini (&v);
    weir_heads_fini (&heads);
    weir_heads_fini (&back);
    weir_replica_destroy (&a);
    weir_replica_destroy (&b);
    weir_replica_destroy (&c);
    lab_fini (&lab);
    (void) state;
}

/* ---- changes ---- */

struct told {
    struct weir_replica_change_row rows[16];
    char messages[16][16];
    struct weir_id deps[16];
    size_t count;
    size_t max;
};

static bool
tell (void *context, const struct weir_replica_change_row *row)
{
    struct told *told = context;
    told->rows[told->count] = *row;
    memcpy (told->messages[told->count], row->message.data, row->message.len);
    told->messages[told->count][row->message.len] = '\0';
    if (row->n_deps > 0) {
        told->deps[told->count] = row->deps[0];
    }
    told->count++;
    return told->count < told->max;
}

static void
test_changes (void **state)
{
    struct lab lab;
    lab_init (&lab);
    struct weir_replica *a = lab_replica (&lab, 0);
    struct weir_replica *b = lab_replica (&lab, 1);
    struct told told = { .max = 16 };
    lab_type (a, 0, "abc");
    (void) lab_commit (a, "", 1000);
    lab_type (a, 3, "de");
    struct weir_id second = lab_commit (a, "", 900000);
    lab_type (a, 5, "f");
    struct weir_id third = lab_commit (a, "", 1001001); /* more than 1,000 s behind the first */
    lab_type (a, 6, "g");
    (void) lab_commit (a, "told", 1001001); /* another message */
    lab_sync (a, b);
    lab_type (b, 0, "x");
    (void) lab_commit (b, "", 0);
    lab_sync (b, a);
    lab_type (a, 0, "y");
    (void) lab_commit (a, "told", 1001001); /* something new came before */
    lab_ok (weir_replica_changes (a, 1000, tell, &told, &e));
    assert_int_equal (told.count, 5);
    assert_int_equal (told.rows[0].ops, 5);
    assert_int_equal (told.rows[0].n_deps, 0);
    assert_true (weir_id_equal (&told.rows[0].last, &second));
    assert_int_equal (told.rows[1].counter, 5);
    assert_int_equal (told.rows[1].lamport, 5);
    assert_int_equal (told.rows[1].n_deps, 1);
    assert_true (weir_id_equal (&told.deps[1], &second));
    assert_string_equal (told.messages[2], "told");
    assert_true (weir_id_equal (&told.deps[2], &third));
    assert_int_equal (told.rows[3].lamport, 7);
    assert_int_equal (told.rows[3].counter, 0);
    assert_int_equal (told.rows[4].lamport, 8);
    assert_int_equal (told.rows[4].counter, 7);
    assert_int_equal (told.rows[4].n_deps, 1); /* b's, which has our own in its past */
    struct told again = { .max = 16 };
    lab_sync (a, b);
    lab_ok (weir_replica_changes (b, 1000, tell, &again, &e));
    assert_int_equal (again.count, 5);
    for (size_t i = 0; i < 5; i++) {
        assert_true (weir_id_equal (&again.rows[i].first, &told.rows[i].first));
    }
    struct told one = { .max = 1 };
    lab_ok (weir_replica_changes (b, 0, tell, &one, &e));
    assert_int_equal (one.count, 1);
    assert_int_equal (one.rows[0].ops, 3);
    weir_replica_destroy (&a);
    weir_replica_destroy (&b);
    lab_fini (&lab);
    (void) state;
}

/* Detached before there was anything, and edited when there is: the first entry follows the
 * genesis. */
static void
test_edits_of_the_empty_version (void **state)
{
    (void) state;
    struct lab lab;
    lab_init (&lab);
    struct weir_replica *a = lab_replica (&lab, 0);
    struct weir_replica_options options = lab_options (&lab, 1);
    struct weir_replica *b = NULL;
    options.genesis = weir_bytes (NULL, 0);
    options.keeps_detached_edits = true;
    lab_ok (weir_replica_new (&b, &options, &e));
    lab_ok (weir_replica_detach (b, &e));
    lab_set (a, "k", 1);
    lab_sync (a, b);
    lab_set (b, "l", 2);
    (void) lab_commit (b, "", 0);
    assert_shown (b, "{\"m\": {\"l\": 2}}");
    lab_ok (weir_replica_attach (b, &e));
    lab_sync (b, a);
    assert_shown (b, "{\"m\": {\"k\": 1, \"l\": 2}}");
    assert_same_replicas (a, b);
    weir_replica_destroy (&a);
    weir_replica_destroy (&b);
    lab_fini (&lab);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_edits_of_the_empty_version),
        cmocka_unit_test (test_vector_and_back),
        cmocka_unit_test (test_compare),
        cmocka_unit_test (test_two_tips),
        cmocka_unit_test (test_changes),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
