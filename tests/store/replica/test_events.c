/* Goal: who subscribes is told once of each commit, import and checkout that changed what is
 * shown, from where to where, by whom, and exactly what: parents first, moves as moves, a batch
 * as one; and nothing when nothing that shows has changed. */

#include "tests/store/replica/replica_fixture.h"

#include "store/crdt/types.h"

#include <stdio.h>

struct told {
    unsigned count;
    enum weir_event_by by;
    char origin[16];
    json_t *diff; /* of the last; ids left out */
    size_t from;  /* heads */
    size_t to;
};

/* Rows without their ids. */
static void
on_event (void *context, const struct weir_replica_event *event)
{
    struct told *told = context;
    told->count++;
    told->by = event->by;
    told->from = event->from->count;
    told->to = event->to->count;
    snprintf (told->origin, sizeof told->origin, "%s", event->origin);
    json_decref (told->diff);
    told->diff = json_deep_copy (event->diff);
    for (size_t i = 0; i < json_array_size (told->diff); i++) {
        json_object_del (json_array_get (told->diff, i), "container");
        json_object_del (json_array_get (told->diff, i), "type");
    }
}

static void
assert_told (struct told *told, unsigned count, enum weir_event_by by, const char *diff)
{
    json_t *wanted = fixture_json (diff);
    assert_int_equal (told->count, count);
    assert_int_equal (told->by, by);
    if (!json_equal (told->diff, wanted)) {
        char *text = json_dumps (told->diff, JSON_SORT_KEYS);
        fail_msg ("%s instead of %s", text, diff);
    }
    json_decref (wanted);
}

struct pad {
    struct lab lab;
    struct weir_replica *r;
    struct weir_replica *other;
    struct told told;
};

static void
pad_init (struct pad *p)
{
    *p = (struct pad){ .r = NULL };
    lab_init (&p->lab);
    p->r = lab_replica (&p->lab, 0);
    p->other = lab_replica (&p->lab, 1);
    weir_replica_subscribe (p->r, on_event, &p->told);
}

static void
pad_fini (struct pad *p)
{
    weir_replica_destroy (&p->r);
    weir_replica_destroy (&p->other);
    json_decref (p->told.diff);
    lab_fini (&p->lab);
}

static struct weir_container *
root (struct weir_replica *r, const char *name, const struct weir_container_type *type)
{
    struct weir_container *c = NULL;
    lab_ok (weir_change_root (lab_change (r), name, type, &c, &e));
    return c;
}

static struct weir_value
number (int64_t n)
{
    return (struct weir_value){ .type = WEIR_VALUE_INT, .number.i = n };
}

static void
test_local (void **state)
{
    struct pad p;
    pad_init (&p);
    lab_set (p.r, "a", 1);
    lab_set (p.r, "a", 2);
    lab_set (p.r, "b", 3);
    assert_int_equal (p.told.count, 0); /* not before the commit */
    weir_replica_set_origin (p.r, "me");
    (void) lab_commit (p.r, "", 0);
    assert_told (&p.told, 1, WEIR_BY_LOCAL,
                 "[{\"path\": \"/m\", \"diff\": {\"set\": {\"a\": 2, \"b\": 3}}}]");
    assert_string_equal (p.told.origin, "me");
    assert_int_equal (p.told.from, 1);
    assert_int_equal (p.told.to, 1);
    (void) lab_change (p.r);
    (void) lab_commit (p.r, "", 0); /* of nothing */
    assert_int_equal (p.told.count, 1);
    lab_ok (weir_change_map_delete (lab_change (p.r), root (p.r, "m", &weir_container_map),
                                    fixture_text ("a"), &e));
    (void) lab_commit (p.r, "", 0);
    assert_told (&p.told, 2, WEIR_BY_LOCAL,
                 "[{\"path\": \"/m\", \"diff\": {\"delete\": [\"a\"]}}]");
    assert_string_equal (p.told.origin, "");
    pad_fini (&p);
    (void) state;
}

/* Many splices of one text come to one delta; what came and went within goes unsaid. */
static void
test_text (void **state)
{
    struct pad p;
    struct weir_value yes = { .type = WEIR_VALUE_TRUE };
    struct weir_value no = { .type = WEIR_VALUE_NULL };
    pad_init (&p);
    lab_type (p.r, 0, "0123456789");
    (void) lab_commit (p.r, "", 0);
    struct weir_container *t = root (p.r, "t", &weir_container_text);
    lab_type (p.r, 8, "abc");
    lab_ok (weir_change_text_delete (lab_change (p.r), t, 9, 1, &e)); /* the b */
    lab_ok (weir_change_text_delete (lab_change (p.r), t, 1, 2, &e));
    lab_type (p.r, 3, "\xc3\xa9");
    lab_type (p.r, 5, "gone");
    lab_ok (weir_change_text_delete (lab_change (p.r), t, 5, 4, &e));
    (void) lab_commit (p.r, "", 0);
    assert_told (&p.told, 2, WEIR_BY_LOCAL,
                 "[{\"path\": \"/t\", \"diff\": [{\"retain\": 1}, {\"delete\": 2},"
                 " {\"retain\": 2}, {\"insert\": \"\xc3\xa9\"}, {\"retain\": 3},"
                 " {\"insert\": \"ac\"}]}]");
    lab_ok (weir_change_text_mark (lab_change (p.r), t, 0, 2, fixture_text ("b"), &yes,
                                   WEIR_EXPAND_AFTER, &e));
    lab_type (p.r, 1, "x");
    (void) lab_commit (p.r, "", 0);
    assert_told (&p.told, 3, WEIR_BY_LOCAL,
                 "[{\"path\": \"/t\", \"diff\": [{\"retain\": 1, \"attributes\": {\"b\": true}},"
                 " {\"insert\": \"x\", \"attributes\": {\"b\": true}},"
                 " {\"retain\": 1, \"attributes\": {\"b\": true}}]}]");
    lab_ok (weir_change_text_mark (lab_change (p.r), t, 0, 1, fixture_text ("b"), &no,
                                   WEIR_EXPAND_AFTER, &e));
    (void) lab_commit (p.r, "", 0);
    assert_told (&p.told, 4, WEIR_BY_LOCAL,
                 "[{\"path\": \"/t\", \"diff\": [{\"retain\": 1,"
                 " \"attributes\": {\"b\": null}}]}]");
    pad_fini (&p);
    (void) state;
}

static void
test_moves (void **state)
{
    struct pad p;
    struct weir_value v[3] = { number (1), number (2), number (3) };
    struct weir_value nine = number (9);
    uint32_t a, b;
    pad_init (&p);
    struct weir_container *m = root (p.r, "v", &weir_container_movable);
    struct weir_container *tree = root (p.r, "tr", &weir_container_tree);
    lab_ok (weir_change_list_insert (lab_change (p.r), m, 0, v, 3, NULL, &e));
    (void) lab_commit (p.r, "", 0);
    lab_ok (weir_change_list_move (lab_change (p.r), m, 0, 2, &e));
    lab_ok (weir_change_list_set (lab_change (p.r), m, 0, &nine, NULL, &e));
    (void) lab_commit (p.r, "", 0);
    assert_told (&p.told, 2, WEIR_BY_LOCAL,
                 "[{\"path\": \"/v\", \"diff\": [{\"delete\": 1}, {\"set\": 9}, {\"retain\": 1},"
                 " {\"insert\": [1], \"move\": 0}]}]");
    lab_ok (weir_change_tree_create (lab_change (p.r), tree, WEIR_TREE_ROOT, 0, &a, &e));
    lab_ok (weir_change_tree_create (lab_change (p.r), tree, WEIR_TREE_ROOT, 1, &b, &e));
    (void) lab_commit (p.r, "", 0);
    lab_ok (weir_change_tree_move (lab_change (p.r), tree, b, a, 0, &e));
    (void) lab_commit (p.r, "", 0);
    const json_t *steps = json_object_get (json_array_get (p.told.diff, 0), "diff");
    assert_int_equal (json_array_size (steps), 1);
    assert_non_null (json_object_get (json_array_get (steps, 0), "move"));
    lab_ok (weir_change_tree_delete (lab_change (p.r), tree, a, &e));
    (void) lab_commit (p.r, "", 0);
    steps = json_object_get (json_array_get (p.told.diff, 0), "diff");
    assert_int_equal (json_array_size (steps), 1); /* its child goes unsaid */
    assert_non_null (json_object_get (json_array_get (steps, 0), "delete"));
    pad_fini (&p);
    (void) state;
}

/* A container that comes is told whole, behind its parent; one that is hidden, not at all. */
static void
test_children (void **state)
{
    struct pad p;
    struct weir_container *map = NULL;
    struct weir_container *list = NULL;
    struct weir_value v[2] = { number (1), { .type = WEIR_VALUE_UNIQUE } };
    struct weir_container *made[2];
    v[1].container = WEIR_CONTAINER_COUNTER;
    pad_init (&p);
    struct weir_container *m = root (p.r, "m", &weir_container_map);
    lab_ok (
        weir_change_child (lab_change (p.r), m, fixture_text ("k"), &weir_container_map, &map, &e));
    lab_ok (weir_change_child (lab_change (p.r), map, fixture_text ("l"), &weir_container_list,
                               &list, &e));
    lab_ok (weir_change_list_insert (lab_change (p.r), list, 0, v, 2, made, &e));
    lab_ok (weir_change_increment (lab_change (p.r), made[1], &v[0], &e));
    (void) lab_commit (p.r, "", 0);
    assert_int_equal (p.told.count, 1);
    static const char *const paths[] = { "/m", "/m/k", "/m/k/l", "/m/k/l/1" };
    assert_int_equal (json_array_size (p.told.diff), 4);
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal (
            json_string_value (json_object_get (json_array_get (p.told.diff, i), "path")),
            paths[i]);
    }
    lab_ok (weir_change_increment (lab_change (p.r), made[1], &v[0], &e));
    (void) lab_commit (p.r, "", 0);
    assert_told (&p.told, 2, WEIR_BY_LOCAL, "[{\"path\": \"/m/k/l/1\", \"diff\": 1}]");
    lab_ok (weir_change_list_delete (lab_change (p.r), list, 1, 1, &e));
    (void) lab_commit (p.r, "", 0);
    assert_int_equal (p.told.count, 3);
    lab_ok (weir_change_increment (lab_change (p.r), made[1], &v[0], &e));
    (void) lab_commit (p.r, "", 0);
    assert_int_equal (p.told.count, 3); /* nobody sees it */
    pad_fini (&p);
    (void) state;
}

static void
test_import (void **state)
{
    struct pad p;
    struct weir_bytes blobs[3];
    struct weir_buf bufs[3];
    pad_init (&p);
    for (unsigned i = 0; i < 3; i++) {
        struct weir_op_vector has = { 0 };
        lab_vector (p.other, &has);
        lab_type (p.other, i, "x");
        (void) lab_commit (p.other, "", 0);
        bufs[i] = lab_update (p.other, &has);
        blobs[2 - i] = weir_buf_bytes (&bufs[i]); /* the last first */
        weir_op_vector_fini (&has);
    }
    lab_set (p.r, "a", 1); /* open: is committed, and told, before */
    lab_ok (weir_replica_import_batch (p.r, blobs, 3, NULL, &e));
    assert_told (&p.told, 2, WEIR_BY_IMPORT,
                 "[{\"path\": \"/t\", \"diff\": [{\"insert\": \"xxx\"}]}]");
    assert_string_equal (p.told.origin, "");
    assert_int_equal (p.told.to, 2);
    lab_ok (weir_replica_import_batch (p.r, blobs, 3, NULL, &e)); /* again: nothing new */
    assert_int_equal (p.told.count, 2);
    /* What waits for its past is not shown. */
    struct weir_op_vector has = { 0 };
    lab_type (p.other, 0, "y");
    (void) lab_commit (p.other, "", 0);
    lab_vector (p.other, &has);
    struct weir_buf closed = lab_update (p.other, &has); /* a run ends where it is exported */
    weir_buf_fini (&closed);
    lab_type (p.other, 0, "z");
    (void) lab_commit (p.other, "", 0);
    struct weir_buf late = lab_update (p.other, &has);
    lab_import (p.r, &late);
    assert_int_equal (p.told.count, 2);
    lab_sync (p.other, p.r);
    assert_told (&p.told, 3, WEIR_BY_IMPORT,
                 "[{\"path\": \"/t\", \"diff\": [{\"insert\": \"zy\"}]}]");
    weir_buf_fini (&late);
    weir_op_vector_fini (&has);
    for (unsigned i = 0; i < 3; i++) {
        weir_buf_fini (&bufs[i]);
    }
    pad_fini (&p);
    (void) state;
}

/* More splices than are put together: both versions are compared, and it comes to the same. */
static void
test_scattered (void **state)
{
    struct pad p;
    static char text[12001];
    pad_init (&p);
    memset (text, 'a', sizeof text - 1);
    lab_type (p.other, 0, text);
    (void) lab_commit (p.other, "", 0);
    lab_sync (p.other, p.r);
    for (uint32_t i = 0; i < 5000; i++) {
        lab_type (p.other, 2 * i + 1, "b");
    }
    (void) lab_commit (p.other, "", 0);
    lab_sync (p.other, p.r);
    assert_int_equal (p.told.count, 2);
    const json_t *delta = json_object_get (json_array_get (p.told.diff, 0), "diff");
    assert_int_equal (json_array_size (delta), 10000);
    pad_fini (&p);
    (void) state;
}

static void
test_checkout (void **state)
{
    struct pad p;
    struct weir_heads first = { 0 };
    struct weir_heads now = { 0 };
    pad_init (&p);
    lab_set (p.r, "a", 1);
    (void) lab_commit (p.r, "", 0);
    weir_replica_log_heads (p.r, &first);
    lab_set (p.r, "a", 2);
    lab_ok (weir_replica_checkout (p.r, &first, &e));
    assert_told (&p.told, 3, WEIR_BY_CHECKOUT,
                 "[{\"path\": \"/m\", \"diff\": {\"set\": {\"a\": 1}}}]");
    lab_set (p.other, "b", 3);
    (void) lab_commit (p.other, "", 0);
    lab_sync (p.other, p.r);
    assert_int_equal (p.told.count, 3); /* into the log only */
    lab_ok (weir_replica_attach (p.r, &e));
    assert_told (&p.told, 4, WEIR_BY_CHECKOUT,
                 "[{\"path\": \"/m\", \"diff\": {\"set\": {\"a\": 2, \"b\": 3}}}]");
    lab_ok (weir_replica_attach (p.r, &e));
    lab_ok (weir_replica_detach (p.r, &e));
    weir_replica_log_heads (p.r, &now);
    lab_ok (weir_replica_checkout (p.r, &now, &e));
    assert_int_equal (p.told.count, 4); /* the same is shown */
    weir_heads_fini (&first);
    weir_heads_fini (&now);
    pad_fini (&p);
    (void) state;
}

/* One at a time; the last one counts. */
static void
test_subscribers (void **state)
{
    struct pad p;
    struct told other = { 0 };
    pad_init (&p);
    lab_set (p.r, "a", 1);
    weir_replica_subscribe (p.r, on_event, &other); /* what is open goes to the one before */
    assert_int_equal (p.told.count, 1);
    lab_set (p.r, "a", 2);
    (void) lab_commit (p.r, "", 0);
    assert_int_equal (other.count, 1);
    assert_int_equal (p.told.count, 1);
    weir_replica_subscribe (p.r, NULL, NULL);
    lab_set (p.r, "a", 3);
    (void) lab_commit (p.r, "", 0);
    assert_int_equal (other.count, 1);
    json_decref (other.diff);
    pad_fini (&p);
    (void) state;
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_local),    cmocka_unit_test (test_text),
        cmocka_unit_test (test_moves),    cmocka_unit_test (test_children),
        cmocka_unit_test (test_import),   cmocka_unit_test (test_scattered),
        cmocka_unit_test (test_checkout), cmocka_unit_test (test_subscribers),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
