/* Goal: undo takes back what this replica wrote, a step at a time, and nothing that others wrote,
 * wherever they wrote it; redo is the way back up; steps are commits, or what is grouped or made
 * in quick succession; an edit forgets the way up, a checkout both ways. */

#include "tests/store/replica/replica_fixture.h"

#include "store/crdt/types.h"

#include <stdio.h>

struct pad {
    struct lab lab;
    struct weir_replica *r;
    struct weir_replica *other;
    struct weir_undo *undo;
};

static void
pad_init (struct pad *p, uint64_t merge_ms, size_t steps_max)
{
    *p = (struct pad){ .r = NULL };
    lab_init (&p->lab);
    p->r = lab_replica (&p->lab, 0);
    p->other = lab_replica (&p->lab, 1);
    p->undo = weir_undo_new (p->r, merge_ms, steps_max);
}

static void
pad_fini (struct pad *p)
{
    weir_undo_destroy (&p->undo);
    weir_replica_destroy (&p->r);
    weir_replica_destroy (&p->other);
    lab_fini (&p->lab);
}

static struct weir_container *
root (struct weir_replica *r, const char *name, const struct weir_container_type *type)
{
    struct weir_container *c = NULL;
    lab_ok (weir_change_root (lab_change (r), name, type, &c, &e));
    return c;
}

static void
type (struct weir_replica *r, uint32_t at, const char *text)
{
    lab_type (r, at, text);
    (void) lab_commit (r, "", 0);
}

static void
set (struct weir_replica *r, const char *key, int64_t number)
{
    lab_set (r, key, number);
    (void) lab_commit (r, "", 0);
}

#define undo(p) lab_ok (weir_undo_undo ((p)->undo, &e))
#define redo(p) lab_ok (weir_undo_redo ((p)->undo, &e))

static void
test_steps (void **state)
{
    struct pad p;
    pad_init (&p, 0, 0);
    assert_int_equal (weir_undo_undo (p.undo, NULL), WEIR_NOT_FOUND);
    assert_int_equal (weir_undo_redo (p.undo, NULL), WEIR_NOT_FOUND);
    type (p.r, 0, "one");
    type (p.r, 3, " two");
    lab_type (p.r, 7, " open"); /* is committed first */
    undo (&p);
    assert_shown (p.r, "{\"t\": \"one two\"}");
    undo (&p);
    assert_shown (p.r, "{\"t\": \"one\"}");
    assert_int_equal (weir_undo_steps (p.undo), 1);
    assert_int_equal (weir_undo_redo_steps (p.undo), 2);
    redo (&p);
    assert_shown (p.r, "{\"t\": \"one two\"}");
    redo (&p);
    assert_shown (p.r, "{\"t\": \"one two open\"}");
    undo (&p);
    type (p.r, 0, "!"); /* the way up is forgotten */
    assert_int_equal (weir_undo_redo_steps (p.undo), 0);
    undo (&p);
    undo (&p);
    undo (&p);
    assert_shown (p.r, "{\"t\": \"\"}");
    assert_int_equal (weir_undo_undo (p.undo, NULL), WEIR_NOT_FOUND);
    pad_fini (&p);
    (void) state;
}

/* At most so many; those within merge_ms of each other, and in a group, are one. */
static void
test_merging (void **state)
{
    struct pad p;
    pad_init (&p, 100, 2);
    static const uint64_t clocks[] = { 1000, 1050, 1140, 2000, 3000 };
    for (uint32_t i = 0; i < 5; i++) {
        lab_type (p.r, i, "x");
        (void) lab_commit (p.r, "", clocks[i]);
    }
    assert_int_equal (weir_undo_steps (p.undo), 2); /* the first three are one, and forgotten */
    undo (&p);
    undo (&p);
    assert_shown (p.r, "{\"t\": \"xxx\"}");
    assert_int_equal (weir_undo_undo (p.undo, NULL), WEIR_NOT_FOUND);
    weir_undo_group_start (p.undo);
    type (p.r, 0, "a");
    type (p.r, 1, "b");
    type (p.other, 0, "O");
    lab_sync (p.other, p.r); /* in the middle of the group: it is one all the same */
    lab_type (p.r, 0, "c");
    weir_undo_group_end (p.undo);
    assert_int_equal (weir_undo_steps (p.undo), 1);
    type (p.r, 0, "d");
    undo (&p);
    undo (&p);
    json_t *text = NULL;
    lab_ok (weir_doc_get (weir_replica_doc (p.r), "/t", &text, &e));
    assert_int_equal (json_string_length (text), 4);
    assert_non_null (strchr (json_string_value (text), 'O'));
    assert_non_null (strstr (json_string_value (text), "x"));
    json_decref (text);
    redo (&p);
    lab_ok (weir_doc_get (weir_replica_doc (p.r), "/t", &text, &e));
    assert_int_equal (json_string_length (text), 7);
    json_decref (text);
    pad_fini (&p);
    (void) state;
}

/* Of each container: what another wrote stays, and what is left of the step is undone. */
static void
test_others (void **state)
{
    struct pad p;
    struct weir_value three = { .type = WEIR_VALUE_INT, .number.i = 3 };
    pad_init (&p, 0, 0);
    type (p.r, 0, "hello");
    lab_sync (p.r, p.other);
    lab_set (p.r, "mine", 1);
    lab_set (p.r, "both", 1);
    lab_type (p.r, 5, " world");
    lab_ok (weir_change_increment (lab_change (p.r), root (p.r, "c", &weir_container_counter),
                                   &three, &e));
    (void) lab_commit (p.r, "", 0);
    lab_sync (p.r, p.other);
    set (p.other, "both", 2);
    set (p.other, "theirs", 2);
    type (p.other, 8, "(O)"); /* in the middle of what goes */
    lab_ok (weir_change_increment (lab_change (p.other),
                                   root (p.other, "c", &weir_container_counter), &three, &e));
    (void) lab_commit (p.other, "", 0);
    lab_sync (p.other, p.r);
    undo (&p);
    assert_shown (p.r, "{\"t\": \"hello(O)\", \"c\": 3, \"m\": {\"both\": 2, \"theirs\": 2}}");
    undo (&p);
    assert_shown (p.r, "{\"t\": \"(O)\", \"c\": 3, \"m\": {\"both\": 2, \"theirs\": 2}}");
    redo (&p);
    redo (&p);
    json_t *m = NULL;
    lab_ok (weir_doc_get (weir_replica_doc (p.r), "/m/mine", &m, &e));
    json_decref (m);
    lab_sync (p.r, p.other);
    assert_same_replicas (p.r, p.other);
    pad_fini (&p);
    (void) state;
}

/* Others write again and again before it is undone: their writes are put together. */
static void
test_others_often (void **state)
{
    struct pad p;
    struct weir_value v[3] = { { .type = WEIR_VALUE_INT, .number.i = 1 },
                               { .type = WEIR_VALUE_INT, .number.i = 2 },
                               { .type = WEIR_VALUE_INT, .number.i = 3 } };
    struct weir_value yes = { .type = WEIR_VALUE_TRUE };
    pad_init (&p, 0, 0);
    struct weir_container *m = root (p.r, "v", &weir_container_movable);
    struct weir_container *t = root (p.r, "t", &weir_container_text);
    lab_ok (weir_change_list_insert (lab_change (p.r), m, 0, v, 3, NULL, &e));
    type (p.r, 0, "abcdef");
    lab_ok (weir_change_list_move (lab_change (p.r), m, 0, 2, &e));
    lab_ok (weir_change_text_mark (lab_change (p.r), t, 0, 6, fixture_text ("b"), &yes,
                                   WEIR_EXPAND_AFTER, &e));
    lab_set (p.r, "x", 1);
    lab_set (p.r, "y", 1);
    lab_type (p.r, 3, "MINE");
    (void) lab_commit (p.r, "", 0);
    lab_sync (p.r, p.other);
    struct weir_container *m2 = root (p.other, "v", &weir_container_movable);
    struct weir_container *t2 = root (p.other, "t", &weir_container_text);
    for (int64_t i = 0; i < 3; i++) {
        lab_ok (weir_change_list_set (lab_change (p.other), m2, 2, &v[(size_t) i], NULL, &e));
        lab_ok (weir_change_text_delete (lab_change (p.other), t2, 0, 1, &e));
        lab_ok (weir_change_text_mark (lab_change (p.other), t2, 0, 1, fixture_text ("b"), &yes,
                                       WEIR_EXPAND_AFTER, &e));
        lab_set (p.other, "x", 7 + i);
        type (p.other, 1, "O");
        lab_sync (p.other, p.r);
    }
    undo (&p);
    json_t *shown = NULL;
    lab_ok (weir_doc_get (weir_replica_doc (p.r), "", &shown, &e));
    const char *text = json_string_value (json_object_get (shown, "t"));
    assert_null (strpbrk (text, "MINE"));
    assert_non_null (strstr (text, "def"));
    json_t *wanted = fixture_json ("{\"x\": 9}");
    assert_true (json_equal (json_object_get (shown, "m"), wanted));
    json_decref (wanted);
    wanted = fixture_json ("[3, 2, 3]"); /* back in its place, with their value */
    assert_true (json_equal (json_object_get (shown, "v"), wanted));
    json_decref (wanted);
    json_decref (shown);
    lab_sync (p.r, p.other);
    assert_same_replicas (p.r, p.other);
    pad_fini (&p);
    (void) state;
}

/* What another deleted does not come back; what they moved stays where they put it. */
static void
test_others_take (void **state)
{
    struct pad p;
    struct weir_value v[3] = { { .type = WEIR_VALUE_INT, .number.i = 1 },
                               { .type = WEIR_VALUE_INT, .number.i = 2 },
                               { .type = WEIR_VALUE_INT, .number.i = 3 } };
    uint32_t a, b;
    pad_init (&p, 0, 0);
    struct weir_container *m = root (p.r, "v", &weir_container_movable);
    struct weir_container *tree = root (p.r, "tr", &weir_container_tree);
    lab_ok (weir_change_list_insert (lab_change (p.r), m, 0, v, 3, NULL, &e));
    lab_ok (weir_change_tree_create (lab_change (p.r), tree, WEIR_TREE_ROOT, 0, &a, &e));
    lab_ok (weir_change_tree_create (lab_change (p.r), tree, WEIR_TREE_ROOT, 1, &b, &e));
    (void) lab_commit (p.r, "", 0);
    lab_ok (weir_change_list_move (lab_change (p.r), m, 0, 2, &e));
    lab_ok (weir_change_list_set (lab_change (p.r), m, 0, &v[2], NULL, &e));
    lab_ok (weir_change_tree_move (lab_change (p.r), tree, b, a, 0, &e));
    (void) lab_commit (p.r, "", 0);
    lab_sync (p.r, p.other);
    struct weir_container *m2 = root (p.other, "v", &weir_container_movable);
    struct weir_container *tree2 = root (p.other, "tr", &weir_container_tree);
    lab_ok (weir_change_list_set (lab_change (p.other), m2, 0, &v[1], NULL, &e));
    lab_ok (weir_change_list_delete (lab_change (p.other), m2, 2, 1, &e));
    lab_ok (weir_change_tree_delete (lab_change (p.other), tree2, b, &e));
    (void) lab_commit (p.other, "", 0);
    lab_sync (p.other, p.r);
    undo (&p);
    json_t *got = NULL;
    json_t *wanted = fixture_json ("[2, 3]");
    lab_ok (weir_doc_get (weir_replica_doc (p.r), "/v", &got, &e));
    assert_true (json_equal (got, wanted));
    json_decref (got);
    json_decref (wanted);
    struct weir_numbers roots = { .items = NULL };
    weir_tree_children (tree, WEIR_GRAPH_NONE, &roots);
    assert_int_equal (roots.count, 1);
    weir_numbers_fini (&roots);
    pad_fini (&p);
    (void) state;
}

/* Deleting brings back by making again: steps below know who stands for whom. */
static void
test_made_again (void **state)
{
    struct pad p;
    struct weir_container *list = NULL;
    struct weir_value made = { .type = WEIR_VALUE_UNIQUE, .container = WEIR_CONTAINER_TREE };
    struct weir_value one = { .type = WEIR_VALUE_INT, .number.i = 1 };
    struct weir_container *tree = NULL;
    uint32_t node;
    pad_init (&p, 0, 0);
    list = root (p.r, "l", &weir_container_list);
    lab_ok (weir_change_list_insert (lab_change (p.r), list, 0, &made, 1, &tree, &e));
    (void) lab_commit (p.r, "", 0);
    lab_ok (weir_change_tree_create (lab_change (p.r), tree, WEIR_TREE_ROOT, 0, &node, &e));
    (void) lab_commit (p.r, "", 0);
    lab_ok (weir_change_map_set (lab_change (p.r),
                                 weir_change_tree_meta (lab_change (p.r), tree, node),
                                 fixture_text ("k"), &one, &e));
    (void) lab_commit (p.r, "", 0);
    lab_ok (weir_change_list_delete (lab_change (p.r), list, 0, 1, &e));
    (void) lab_commit (p.r, "", 0);
    for (unsigned round = 0; round < 3; round++) {
        assert_shown (p.r, "{\"l\": []}");
        undo (&p); /* another tree, another node */
        json_t *meta = NULL;
        lab_ok (weir_doc_get (weir_replica_doc (p.r), "/l/0", &meta, &e));
        json_t *k = json_object_get (json_object_get (json_array_get (meta, 0), "meta"), "k");
        assert_int_equal (json_integer_value (k), 1);
        json_decref (meta);
        undo (&p);
        lab_ok (weir_doc_get (weir_replica_doc (p.r), "/l/0", &meta, &e));
        assert_int_equal (json_object_size (json_object_get (json_array_get (meta, 0), "meta")), 0);
        json_decref (meta);
        undo (&p);
        assert_shown (p.r, "{\"l\": [[]]}");
        undo (&p);
        assert_shown (p.r, "{\"l\": []}");
        for (unsigned i = 0; i < 4; i++) {
            redo (&p);
        }
    }
    pad_fini (&p);
    (void) state;
}

static void
on_event (void *context, const struct weir_replica_event *event)
{
    snprintf (context, 16, "%s", event->origin);
}

/* Origins: those of undo are told; excluded ones are as of another. */
static void
test_origins (void **state)
{
    struct pad p;
    char origin[16] = "";
    pad_init (&p, 0, 0);
    weir_replica_subscribe (p.r, on_event, origin);
    weir_undo_exclude (p.undo, "sys:");
    type (p.r, 0, "me");
    weir_replica_set_origin (p.r, "sys:clock");
    type (p.r, 1, "SYS");
    assert_string_equal (origin, "sys:clock");
    assert_int_equal (weir_undo_steps (p.undo), 1);
    undo (&p);
    assert_string_equal (origin, "undo");
    assert_shown (p.r, "{\"t\": \"SYS\"}");
    redo (&p);
    assert_string_equal (origin, "redo");
    type (p.r, 0, "x");
    assert_string_equal (origin, "");
    pad_fini (&p);
    (void) state;
}

static void
test_forgotten (void **state)
{
    struct pad p;
    struct weir_heads heads = { 0 };
    pad_init (&p, 0, 0);
    type (p.r, 0, "a");
    weir_replica_log_heads (p.r, &heads);
    type (p.r, 1, "b");
    undo (&p);
    lab_ok (weir_replica_checkout (p.r, &heads, &e));
    lab_ok (weir_replica_attach (p.r, &e));
    type (p.r, 0, "c");
    lab_ok (weir_replica_checkout (p.r, &heads, &e));
    assert_int_equal (weir_undo_steps (p.undo), 0);
    assert_int_equal (weir_undo_redo_steps (p.undo), 0);
    struct weir_error e = { 0 };
    assert_status (weir_undo_undo (p.undo, &e), WEIR_NOT_FOUND, &e);
    weir_undo_destroy (&p.undo);
    weir_undo_destroy (&p.undo);
    type (p.other, 0, "x");
    lab_sync (p.other, p.r); /* nobody listens any more */
    weir_heads_fini (&heads);
    pad_fini (&p);
    (void) state;
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_steps),        cmocka_unit_test (test_merging),
        cmocka_unit_test (test_others),       cmocka_unit_test (test_others_take),
        cmocka_unit_test (test_others_often), cmocka_unit_test (test_made_again),
        cmocka_unit_test (test_origins),      cmocka_unit_test (test_forgotten),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
