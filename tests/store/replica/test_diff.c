/* Goal: what a difference says of each container, and that it says it exactly; that it is applied
 * as new ops, or not at all: what is no difference, or one of another version, leaves no trace;
 * that going back to a version shows it again, with and without a history that was cut away. */

#include "tests/store/replica/replica_fixture.h"

#include "store/replica/diff_apply.h"
#include "store/crdt/types.h"

#include <stdio.h>

struct pad {
    struct lab lab;
    struct weir_replica *r;
    struct weir_heads then; /* a version to compare with */
};

static void
pad_init (struct pad *p)
{
    *p = (struct pad){ .r = NULL };
    lab_init (&p->lab);
    p->r = lab_replica (&p->lab, 0);
}

static void
pad_fini (struct pad *p)
{
    weir_replica_destroy (&p->r);
    weir_heads_fini (&p->then);
    lab_fini (&p->lab);
}

static void
pad_keep (struct pad *p)
{
    (void) lab_commit (p->r, "", 0);
    weir_heads_fini (&p->then);
    weir_replica_log_heads (p->r, &p->then);
}

static struct weir_container *
root (struct pad *p, const char *name, const struct weir_container_type *type)
{
    struct weir_container *c = NULL;
    lab_ok (weir_change_root (lab_change (p->r), name, type, &c, &e));
    return c;
}

static struct weir_value
number (int64_t n)
{
    return (struct weir_value){ .type = WEIR_VALUE_INT, .number.i = n };
}

static struct weir_value
unique (uint8_t type)
{
    return (struct weir_value){ .type = WEIR_VALUE_UNIQUE, .container = type };
}

/* Ids as A, B, .. in order of coming, entries too. */
static void
anonymous (json_t *value, json_t *names)
{
    const char *key;
    json_t *item;
    void *next;
    json_object_foreach_safe (value, next, key, item)
    {
        const char *text = json_string_value (item);
        if (text != NULL && json_string_length (item) >= WEIR_ID_TEXT) {
            if (json_object_get (names, text) == NULL) {
                char name[2] = { (char) ('A' + (char) json_object_size (names)), 0 };
                json_object_set_new (names, text, json_string (name));
            }
            json_object_set (value, key, json_object_get (names, text));
        } else {
            anonymous (item, names);
        }
    }
    for (size_t i = 0; i < json_array_size (value); i++) {
        anonymous (json_array_get (value, i), names);
    }
}

static json_t *
difference (struct pad *p, bool back)
{
    struct weir_heads now = { 0 };
    json_t *diff = NULL;
    (void) lab_commit (p->r, "", 0);
    weir_replica_log_heads (p->r, &now);
    lab_ok (weir_replica_diff (p->r, back ? &now : &p->then, back ? &p->then : &now, &diff, &e));
    weir_heads_fini (&now);
    return diff;
}

static void
assert_diff (struct pad *p, bool back, const char *wanted)
{
    json_t *diff = difference (p, back);
    json_t *want = fixture_json (wanted);
    json_t *names = json_object ();
    anonymous (diff, names);
    if (!json_equal (diff, want)) {
        char *text = json_dumps (diff, JSON_SORT_KEYS);
        fail_msg ("%s instead of %s", text, wanted);
    }
    json_decref (names);
    json_decref (want);
    json_decref (diff);
}

/* ---- what it says ---- */

static void
test_map (void **state)
{
    struct pad p;
    pad_init (&p);
    lab_set (p.r, "a", 1);
    lab_set (p.r, "b", 2);
    lab_set (p.r, "same", 3);
    pad_keep (&p);
    lab_set (p.r, "a", 5);
    lab_ok (weir_change_map_delete (lab_change (p.r), root (&p, "m", &weir_container_map),
                                    fixture_text ("b"), &e));
    assert_diff (&p, false,
                 "[{\"container\": \"A\", \"type\": \"map\", \"path\": \"/m\", \"diff\":"
                 " {\"set\": {\"a\": 5}, \"delete\": [\"b\"]}}]");
    assert_diff (&p, true,
                 "[{\"container\": \"A\", \"type\": \"map\", \"path\": \"/m\", \"diff\":"
                 " {\"set\": {\"a\": 1, \"b\": 2}}}]");
    pad_keep (&p);
    assert_diff (&p, false, "[]");
    pad_fini (&p);
    (void) state;
}

static void
test_children (void **state)
{
    struct pad p;
    struct weir_container *child = NULL;
    struct weir_container *text = NULL;
    struct weir_value one = number (1);
    pad_init (&p);
    pad_keep (&p);
    struct weir_container *map = root (&p, "m", &weir_container_map);
    lab_ok (weir_change_child (lab_change (p.r), map, fixture_text ("a/b"), &weir_container_map,
                               &child, &e));
    lab_ok (weir_change_map_set (lab_change (p.r), child, fixture_text ("k"), &one, &e));
    lab_ok (weir_change_map_make (lab_change (p.r), child, fixture_text ("t"), &weir_container_text,
                                  &text, &e));
    lab_ok (weir_change_text_insert (lab_change (p.r), text, 0, fixture_text ("hi"), &e));
    assert_diff (
        &p, false,
        "[{\"container\": \"A\", \"type\": \"map\", \"path\": \"/m\", \"diff\": {\"set\":"
        " {\"a/b\": {\"$container\": \"B\", \"type\": \"map\"}}}},"
        " {\"container\": \"B\", \"type\": \"map\", \"path\": \"/m/a~1b\", \"diff\": {\"set\":"
        " {\"k\": 1, \"t\": {\"$container\": \"C\", \"type\": \"text\", \"unique\": true}}}},"
        " {\"container\": \"C\", \"type\": \"text\", \"path\": \"/m/a~1b/t\", \"diff\":"
        " [{\"insert\": \"hi\"}]}]");
    pad_fini (&p);
    (void) state;
}

static void
test_text (void **state)
{
    struct pad p;
    struct weir_value yes = { .type = WEIR_VALUE_TRUE };
    struct weir_value no = { .type = WEIR_VALUE_NULL };
    pad_init (&p);
    lab_type (p.r, 0, "hello w\xc3\xb6rld");
    struct weir_container *t = root (&p, "t", &weir_container_text);
    lab_ok (weir_change_text_mark (lab_change (p.r), t, 0, 2, fixture_text ("b"), &yes,
                                   WEIR_EXPAND_AFTER, &e));
    pad_keep (&p);
    lab_ok (weir_change_text_delete (lab_change (p.r), t, 5, 6, &e));
    lab_ok (weir_change_text_insert (lab_change (p.r), t, 5, fixture_text ("!\xc3\xa9"), &e));
    lab_ok (weir_change_text_mark (lab_change (p.r), t, 0, 1, fixture_text ("b"), &no,
                                   WEIR_EXPAND_AFTER, &e));
    lab_ok (weir_change_text_mark (lab_change (p.r), t, 4, 6, fixture_text ("i"), &yes,
                                   WEIR_EXPAND_AFTER, &e));
    assert_diff (&p, false,
                 "[{\"container\": \"A\", \"type\": \"text\", \"path\": \"/t\", \"diff\":"
                 " [{\"retain\": 1, \"attributes\": {\"b\": null}}, {\"retain\": 3},"
                 " {\"retain\": 1, \"attributes\": {\"i\": true}},"
                 " {\"insert\": \"!\", \"attributes\": {\"i\": true}}, {\"insert\": \"\xc3\xa9\"},"
                 " {\"delete\": 6}]}]");
    assert_diff (&p, true,
                 "[{\"container\": \"A\", \"type\": \"text\", \"path\": \"/t\", \"diff\":"
                 " [{\"retain\": 1, \"attributes\": {\"b\": true}}, {\"retain\": 3},"
                 " {\"retain\": 1, \"attributes\": {\"i\": null}},"
                 " {\"insert\": \" w\xc3\xb6rld\"}, {\"delete\": 2}]}]");
    pad_fini (&p);
    (void) state;
}

static void
test_lists (void **state)
{
    struct pad p;
    struct weir_value v[4] = { number (1), number (2), number (3), number (4) };
    pad_init (&p);
    struct weir_container *l = root (&p, "l", &weir_container_list);
    struct weir_container *m = root (&p, "v", &weir_container_movable);
    lab_ok (weir_change_list_insert (lab_change (p.r), l, 0, v, 4, NULL, &e));
    lab_ok (weir_change_list_insert (lab_change (p.r), m, 0, v, 4, NULL, &e));
    pad_keep (&p);
    struct weir_value nine = number (9);
    lab_ok (weir_change_list_delete (lab_change (p.r), l, 1, 2, &e));
    lab_ok (weir_change_list_insert (lab_change (p.r), l, 2, &nine, 1, NULL, &e));
    lab_ok (weir_change_list_move (lab_change (p.r), m, 0, 2, &e));
    lab_ok (weir_change_list_set (lab_change (p.r), m, 3, &nine, NULL, &e));
    assert_diff (&p, false,
                 "[{\"container\": \"A\", \"type\": \"list\", \"path\": \"/l\", \"diff\":"
                 " [{\"retain\": 1}, {\"delete\": 2}, {\"retain\": 1}, {\"insert\": [9]}]},"
                 " {\"container\": \"B\", \"type\": \"movable\", \"path\": \"/v\", \"diff\":"
                 " [{\"delete\": 1}, {\"retain\": 2}, {\"insert\": [1], \"move\": 0},"
                 " {\"set\": 9}]}]");
    pad_fini (&p);
    (void) state;
}

static void
test_tree_and_counter (void **state)
{
    struct pad p;
    uint32_t a, b, c;
    struct weir_value two = number (2);
    pad_init (&p);
    struct weir_container *tree = root (&p, "tr", &weir_container_tree);
    lab_ok (weir_change_tree_create (lab_change (p.r), tree, WEIR_TREE_ROOT, 0, &a, &e));
    lab_ok (weir_change_tree_create (lab_change (p.r), tree, a, 0, &b, &e));
    lab_ok (weir_change_tree_create (lab_change (p.r), tree, WEIR_TREE_ROOT, 1, &c, &e));
    pad_keep (&p);
    lab_ok (weir_change_tree_move (lab_change (p.r), tree, b, c, 0, &e));
    lab_ok (weir_change_tree_delete (lab_change (p.r), tree, a, &e));
    lab_ok (weir_change_increment (lab_change (p.r), root (&p, "c", &weir_container_counter), &two,
                                   &e));
    assert_diff (&p, false,
                 "[{\"container\": \"A\", \"type\": \"counter\", \"path\": \"/c\", \"diff\": 2},"
                 " {\"container\": \"B\", \"type\": \"tree\", \"path\": \"/tr\", \"diff\":"
                 " [{\"move\": \"C\", \"parent\": \"D\", \"index\": 0}, {\"delete\": \"E\"}]}]");
    assert_diff (&p, true,
                 "[{\"container\": \"A\", \"type\": \"counter\", \"path\": \"/c\", \"diff\": -2},"
                 " {\"container\": \"B\", \"type\": \"tree\", \"path\": \"/tr\", \"diff\":"
                 " [{\"create\": \"C\", \"parent\": null, \"index\": 0},"
                 " {\"move\": \"D\", \"parent\": \"C\", \"index\": 0}]}]");
    pad_fini (&p);
    (void) state;
}

/* ---- what does not apply ---- */

/* Something of each. */
static void
furnish (struct pad *p)
{
    struct weir_value v[3] = { number (1), unique (WEIR_CONTAINER_MAP), number (3) };
    struct weir_container *children[3];
    uint32_t a;
    lab_set (p->r, "a", 1);
    lab_type (p->r, 0, "text");
    lab_ok (weir_change_list_insert (lab_change (p->r), root (p, "l", &weir_container_list), 0, v,
                                     3, children, &e));
    lab_ok (weir_change_list_insert (lab_change (p->r), root (p, "v", &weir_container_movable), 0,
                                     v, 3, children, &e));
    lab_ok (weir_change_tree_create (lab_change (p->r), root (p, "tr", &weir_container_tree),
                                     WEIR_TREE_ROOT, 0, &a, &e));
    lab_ok (weir_change_increment (lab_change (p->r), root (p, "c", &weir_container_counter), &v[0],
                                   &e));
    pad_keep (p);
}

/* In `diff` $m, $t, .. are the ids of the roots, $x one of nobody, $n the tree's node. */
static char *
filled_in (struct pad *p, const char *diff)
{
    static const struct {
        char sign;
        const char *name;
        const struct weir_container_type *type;
    } roots[] = { { 'm', "m", &weir_container_map },   { 't', "t", &weir_container_text },
                  { 'l', "l", &weir_container_list },  { 'v', "v", &weir_container_movable },
                  { 'r', "tr", &weir_container_tree }, { 'c', "c", &weir_container_counter } };
    struct weir_buf out = { 0 };
    struct weir_id none = { { 7 } };
    for (; *diff != 0; diff++) {
        struct weir_id id = none;
        for (size_t i = 0; diff[0] == '$' && i < sizeof roots / sizeof *roots; i++) {
            if (roots[i].sign == diff[1]) {
                id = root (p, roots[i].name, roots[i].type)->id;
            }
        }
        if (diff[0] == '$' && diff[1] == 'n') {
            struct weir_tree_node node;
            weir_tree_node (root (p, "tr", &weir_container_tree), 0, &node);
            weir_buf_printf (&out, "%s", weir_op_id_text (&node.id).s);
            diff++;
        } else if (diff[0] == '$' && strchr ("mtlvrcx", diff[1]) != NULL && diff[2] == '"') {
            weir_buf_printf (&out, "%s", weir_id_text (&id).s);
            diff++;
        } else {
            weir_buf_put_u8 (&out, (uint8_t) *diff);
        }
    }
    char *text = weir_strdup (weir_buf_str (&out));
    weir_buf_fini (&out);
    return text;
}

#define ROW(id, type, diff)                                                                        \
    "{\"container\": \"$" id "\", \"type\": \"" type "\", \"diff\": " diff "}"

static const struct {
    const char *diff;
    enum weir_status status;
} refused[] = {
    { "{}", WEIR_INVALID_JSON },
    { "[1]", WEIR_INVALID_JSON },
    { "[{}]", WEIR_INVALID_JSON },
    { "[{\"container\": \"short\", \"type\": \"map\", \"diff\": {}}]", WEIR_INVALID_JSON },
    { "[" ROW ("m", "blob", "{}") "]", WEIR_INVALID_JSON },
    { "[" ROW ("x", "map", "{}") "]", WEIR_NOT_FOUND },
    { "[" ROW ("m", "list", "[]") "]", WEIR_NOT_FOUND },
    { "[" ROW ("m", "map", "{}") "," ROW ("m", "map", "{}") "]", WEIR_INVALID_JSON },
    /* The first row is good: still nothing is done. */
    { "[" ROW ("m", "map", "{\"set\": {\"a\": 2}}") "," ROW ("m", "map", "{}") "]",
      WEIR_INVALID_JSON },
    { "[" ROW ("m", "map", "[]") "]", WEIR_INVALID_JSON },
    { "[" ROW ("m", "map", "{\"delete\": [1]}") "]", WEIR_INVALID_JSON },
    { "[" ROW ("m", "map", "{\"set\": {\"k\": []}}") "]", WEIR_INVALID_JSON },
    { "[" ROW ("m", "map", "{\"set\": {\"k\": {\"x\": 1}}}") "]", WEIR_INVALID_JSON },
    { "[" ROW ("m", "map", "{\"set\": {\"k\": {\"$container\": \"x\"}}}") "]", WEIR_INVALID_JSON },
    { "[" ROW ("m", "map",
               "{\"set\": {\"k\": {\"$container\": \"$x\", \"type\": \"map\"},"
               " \"l\": {\"$container\": \"$x\", \"type\": \"map\"}}}") "]",
      WEIR_INVALID_JSON },
    { "[" ROW ("t", "text", "{}") "]", WEIR_INVALID_JSON },
    { "[" ROW ("t", "text", "[{}]") "]", WEIR_INVALID_JSON },
    { "[" ROW ("t", "text", "[{\"retain\": 0}]") "]", WEIR_INVALID_JSON },
    { "[" ROW ("t", "text", "[{\"retain\": 5}]") "]", WEIR_OUT_OF_RANGE },
    { "[" ROW ("t", "text", "[{\"retain\": 2}, {\"delete\": 3}]") "]", WEIR_OUT_OF_RANGE },
    { "[" ROW ("t", "text", "[{\"delete\": 99999999999}]") "]", WEIR_INVALID_JSON },
    { "[" ROW ("t", "text", "[{\"insert\": [1]}]") "]", WEIR_INVALID_JSON },
    { "[" ROW ("t", "text", "[{\"insert\": \"\"}]") "]", WEIR_INVALID_JSON },
    { "[" ROW ("t", "text", "[{\"insert\": \"x\", \"attributes\": [1]}]") "]", WEIR_INVALID_JSON },
    { "[" ROW ("t", "text", "[{\"insert\": \"x\", \"attributes\": {\"b\": {}}}]") "]",
      WEIR_INVALID_JSON },
    { "[" ROW ("t", "text", "[{\"delete\": 1, \"attributes\": {\"b\": 1}}]") "]",
      WEIR_INVALID_JSON },
    { "[" ROW ("l", "list", "[{\"insert\": \"x\"}]") "]", WEIR_INVALID_JSON },
    { "[" ROW ("l", "list", "[{\"insert\": []}]") "]", WEIR_INVALID_JSON },
    { "[" ROW ("l", "list", "[{\"set\": 1}]") "]", WEIR_INVALID_JSON },
    { "[" ROW ("l", "list", "[{\"retain\": 1, \"attributes\": {\"b\": 1}}]") "]",
      WEIR_INVALID_JSON },
    { "[" ROW ("l", "list", "[{\"insert\": [1], \"move\": 0}]") "]", WEIR_INVALID_JSON },
    { "[" ROW ("l", "list", "[{\"insert\": [{\"$container\": \"$x\", \"type\": \"map\"}]}]") "]",
      WEIR_INVALID_JSON }, /* lists have no children by path */
    { "[" ROW ("v", "movable", "[{\"insert\": [1], \"move\": 0}]") "]", WEIR_OUT_OF_RANGE },
    { "[" ROW ("v", "movable", "[{\"insert\": [1], \"move\": 3}]") "]", WEIR_OUT_OF_RANGE },
    { "[" ROW ("v", "movable", "[{\"insert\": [1, 2], \"move\": 0}]") "]", WEIR_INVALID_JSON },
    { "[" ROW ("v", "movable",
               "[{\"delete\": 1}, {\"insert\": [1], \"move\": 0},"
               " {\"insert\": [1], \"move\": 0}]") "]",
      WEIR_OUT_OF_RANGE },
    { "[" ROW ("v", "movable", "[{\"retain\": 3}, {\"set\": 1}]") "]", WEIR_OUT_OF_RANGE },
    { "[" ROW ("r", "tree", "{}") "]", WEIR_INVALID_JSON },
    { "[" ROW ("r", "tree", "[{\"move\": \"$n\", \"parent\": \"$n\", \"index\": 0}]") "]",
      WEIR_CONFLICT },
    { "[" ROW ("r", "tree", "[{\"move\": \"$n\", \"parent\": null, \"index\": 1}]") "]",
      WEIR_OUT_OF_RANGE },
    { "[" ROW ("r", "tree", "[{\"move\": \"$n\", \"parent\": null}]") "]", WEIR_INVALID_JSON },
    { "[" ROW ("r", "tree", "[{\"create\": \"$n\", \"parent\": null, \"index\": 0}]") "]",
      WEIR_OUT_OF_RANGE },
    { "[" ROW ("r", "tree", "[{\"create\": \"what\", \"parent\": null, \"index\": 0}]") "]",
      WEIR_INVALID_JSON },
    { "[" ROW ("r", "tree", "[{\"delete\": \"$n\"}, {\"delete\": \"$n\"}]") "]",
      WEIR_OUT_OF_RANGE },
    { "[" ROW ("r", "tree", "[{\"delete\": 5}]") "]", WEIR_INVALID_JSON },
    { "[" ROW ("r", "tree",
               "[{\"delete\": \"$n\"}, {\"create\": \"$n\", \"parent\": \"$n\","
               " \"index\": 0}]") "]",
      WEIR_OUT_OF_RANGE },
    { "[" ROW ("c", "counter", "\"1\"") "]", WEIR_INVALID_JSON },
};

static void
test_refused (void **state)
{
    struct pad p;
    pad_init (&p);
    furnish (&p);
    json_t *before = NULL;
    lab_ok (weir_doc_get (weir_replica_doc (p.r), "", &before, &e));
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct weir_error error = { 0 };
        char *text = filled_in (&p, refused[i].diff);
        json_t *diff = fixture_json (text);
        enum weir_status status = weir_replica_apply_diff (p.r, diff, &error);
        if (status != refused[i].status) {
            fail_msg ("%s: %s (%s)", refused[i].diff, weir_status_code (status), error.what);
        }
        json_t *after = NULL;
        lab_ok (weir_doc_get (weir_replica_doc (p.r), "", &after, &e));
        assert_true (json_equal (before, after));
        json_decref (after);
        json_decref (diff);
        free (text);
    }
    json_decref (before);
    pad_fini (&p);
    (void) state;
}

static void
apply (struct pad *p, const char *diff)
{
    char *text = filled_in (p, diff);
    json_t *json = fixture_json (text);
    lab_ok (weir_replica_apply_diff (p->r, json, &e));
    (void) lab_commit (p->r, "", 0);
    json_decref (json);
    free (text);
}

/* Roots need not be there; children and nodes of nobody get new ids; levels have a bound. */
static void
test_applied (void **state)
{
    struct pad p;
    pad_init (&p);
    struct weir_id id =
        weir_diff_path_id (&weir_id_zero, fixture_text ("new"), &weir_container_map);
    struct weir_buf text = { 0 };
    weir_buf_printf (&text,
                     "[{\"container\": \"%s\", \"type\": \"map\", \"path\": \"/new\", \"diff\":"
                     " {\"set\": {\"k\": {\"$container\": \"$x\", \"type\": \"list\","
                     " \"unique\": true}}}}," ROW ("x", "list", "[{\"insert\": [1, \"b\"]}]") "]",
                     weir_id_text (&id).s);
    apply (&p, weir_buf_str (&text));
    assert_shown (p.r, "{\"new\": {\"k\": [1, \"b\"]}}");
    weir_buf_fini (&text);
    furnish (&p);
    apply (&p, "[" ROW ("v", "movable",
                        "[{\"delete\": 1}, {\"retain\": 1},"
                        " {\"insert\": [7], \"move\": 0}, {\"insert\": [5]},"
                        " {\"set\": 4}]") "]");
    json_t *v = NULL;
    json_t *wanted = fixture_json ("[{}, 7, 5, 4]");
    lab_ok (weir_doc_get (weir_replica_doc (p.r), "/v", &v, &e));
    assert_true (json_equal (v, wanted));
    json_decref (v);
    json_decref (wanted);
    pad_fini (&p);
    (void) state;
}

/* A root that the schema does not allow, and one with another type. */
static void
test_reserved_root (void **state)
{
    struct pad p;
    pad_init (&p);
    struct weir_id id =
        weir_diff_path_id (&weir_id_zero, fixture_text ("_no"), &weir_container_map);
    json_t *diff = json_pack ("[{s:s, s:s, s:s, s:{s:{s:i}}}]", "container", weir_id_text (&id).s,
                              "type", "map", "path", "/_no", "diff", "set", "k", 1);
    assert_int_equal (weir_replica_apply_diff (p.r, diff, NULL), WEIR_NOT_FOUND);
    assert_shown (p.r, "{}");
    json_decref (diff);
    pad_fini (&p);
    (void) state;
}

/* ---- back ---- */

static void
test_revert (void **state)
{
    struct pad p;
    struct weir_heads unknown = { 0 };
    struct weir_id nobody = { { 3 } };
    pad_init (&p);
    furnish (&p);
    json_t *then = NULL;
    lab_ok (weir_doc_get (weir_replica_doc (p.r), "", &then, &e));
    lab_set (p.r, "a", 9);
    lab_type (p.r, 2, "more");
    lab_ok (
        weir_change_tree_delete (lab_change (p.r), root (&p, "tr", &weir_container_tree), 0, &e));
    (void) lab_commit (p.r, "", 0);
    lab_ok (weir_replica_revert_to (p.r, &p.then, &e));
    struct weir_id entry = lab_commit (p.r, "", 0);
    assert_false (weir_id_is_zero (&entry));
    json_t *now = NULL;
    lab_ok (weir_doc_get (weir_replica_doc (p.r), "", &now, &e));
    assert_true (json_equal (then, now));
    lab_ok (weir_replica_revert_to (p.r, &p.then, &e)); /* makes no op */
    entry = lab_commit (p.r, "", 0);
    assert_true (weir_id_is_zero (&entry));
    weir_heads_put (&unknown, &nobody);
    assert_int_equal (weir_replica_revert_to (p.r, &unknown, NULL), WEIR_NOT_FOUND);
    json_t *diff = NULL;
    assert_int_equal (weir_replica_diff (p.r, &unknown, &p.then, &diff, NULL), WEIR_NOT_FOUND);
    assert_null (diff);
    weir_heads_fini (&unknown);
    json_decref (then);
    json_decref (now);
    pad_fini (&p);
    (void) state;
}

/* Children by path keep what is in them while they are hidden: when they come back, they are as
 * they were at the version, whatever was written below in between. */
static void
test_revert_hidden (void **state)
{
    static const struct weir_container_type *const types[] = {
        &weir_container_map,     &weir_container_list, &weir_container_text,
        &weir_container_movable, &weir_container_tree, &weir_container_counter,
    };
    struct pad p;
    struct weir_container *child[6];
    struct weir_container *below = NULL;
    struct weir_value half = { .type = WEIR_VALUE_DOUBLE, .number.d = 0.5 };
    uint32_t node;
    pad_init (&p);
    struct weir_container *m = root (&p, "m", &weir_container_map);
    json_t *versions[2] = { NULL, NULL };
    struct weir_heads heads[2] = { { 0 }, { 0 } };
    for (unsigned round = 0; round < 2; round++) {
        for (size_t i = 0; i < 6; i++) {
            lab_ok (weir_change_child (lab_change (p.r), m, fixture_text (types[i]->name), types[i],
                                       &child[i], &e));
        }
        lab_ok (weir_change_child (lab_change (p.r), child[0], fixture_text ("in"),
                                   &weir_container_map, &below, &e));
        lab_ok (weir_change_map_set (lab_change (p.r), below,
                                     fixture_text (round == 0 ? "then" : "later"), &half, &e));
        lab_ok (weir_change_list_insert (lab_change (p.r), child[1], 0, &half, 1, NULL, &e));
        lab_ok (weir_change_text_insert (lab_change (p.r), child[2], 0, fixture_text ("x"), &e));
        lab_ok (weir_change_list_insert (lab_change (p.r), child[3], 0, &half, 1, NULL, &e));
        lab_ok (weir_change_tree_create (lab_change (p.r), child[4], WEIR_TREE_ROOT, 0, &node, &e));
        lab_ok (weir_change_tree_create (lab_change (p.r), child[4], node, 0, &node, &e));
        lab_ok (weir_change_increment (lab_change (p.r), child[5], &half, &e));
        (void) lab_commit (p.r, "", 0);
        weir_replica_log_heads (p.r, &heads[round]);
        lab_ok (weir_doc_get (weir_replica_doc (p.r), "", &versions[round], &e));
    }
    for (unsigned round = 0; round < 4; round++) {
        for (size_t i = 0; i < 6; i++) {
            lab_ok (
                weir_change_map_delete (lab_change (p.r), m, fixture_text (types[i]->name), &e));
        }
        lab_ok (weir_replica_revert_to (p.r, &heads[round % 2], &e));
        (void) lab_commit (p.r, "", 0);
        json_t *now = NULL;
        lab_ok (weir_doc_get (weir_replica_doc (p.r), "", &now, &e));
        assert_true (json_equal (now, versions[round % 2]));
        json_decref (now);
    }
    for (unsigned i = 0; i < 2; i++) {
        json_decref (versions[i]);
        weir_heads_fini (&heads[i]);
    }
    pad_fini (&p);
    (void) state;
}

/* A text longer than an entry's payload, and a list of many: in as many entries as it takes. */
static void
test_long (void **state)
{
    struct pad p;
    pad_init (&p);
    pad_keep (&p);
    struct weir_heads empty = { 0 };
    weir_replica_log_heads (p.r, &empty);
    static char text[300001];
    memset (text, 'x', sizeof text - 1);
    for (unsigned i = 0; i < 5; i++) {
        lab_type (p.r, 0, text);
        (void) lab_commit (p.r, "", 0);
    }
    pad_keep (&p);
    struct weir_value v[500];
    for (unsigned i = 0; i < 500; i++) {
        v[i] = number (i);
    }
    struct weir_container *l = root (&p, "l", &weir_container_list);
    lab_ok (weir_change_list_insert (lab_change (p.r), l, 0, v, 500, NULL, &e));
    pad_keep (&p);
    lab_ok (weir_replica_revert_to (p.r, &empty, &e));
    (void) lab_commit (p.r, "", 0);
    assert_int_equal (weir_seq_length (weir_container_seq (root (&p, "t", &weir_container_text))),
                      0);
    lab_ok (weir_replica_revert_to (p.r, &p.then, &e));
    (void) lab_commit (p.r, "", 0);
    assert_int_equal (weir_seq_length (weir_container_seq (root (&p, "t", &weir_container_text))),
                      1500000);
    assert_int_equal (weir_seq_length (weir_container_seq (root (&p, "l", &weir_container_list))),
                      500);
    weir_heads_fini (&empty);
    pad_fini (&p);
    (void) state;
}

/* A replica whose history was cut away compares what it has. */
static void
test_shallow (void **state)
{
    struct pad p;
    struct weir_replica *whole = NULL;
    pad_init (&p);
    furnish (&p);
    struct weir_export what = { .mode = WEIR_EXPORT_SHALLOW, .root = &p.then };
    struct weir_buf blob = { 0 };
    lab_ok (weir_replica_export (p.r, &what, &blob, &e));
    whole = p.r;
    p.r = lab_replica (&p.lab, 1);
    lab_import (p.r, &blob);
    json_t *then = NULL;
    json_t *now = NULL;
    lab_ok (weir_doc_get (weir_replica_doc (p.r), "", &then, &e));
    lab_type (p.r, 2, "ab");
    lab_ok (
        weir_change_text_delete (lab_change (p.r), root (&p, "t", &weir_container_text), 0, 1, &e));
    assert_diff (&p, false,
                 "[{\"container\": \"A\", \"type\": \"text\", \"path\": \"/t\", \"diff\":"
                 " [{\"delete\": 1}, {\"retain\": 1}, {\"insert\": \"ab\"}]}]");
    lab_ok (weir_replica_revert_to (p.r, &p.then, &e));
    (void) lab_commit (p.r, "", 0);
    lab_ok (weir_doc_get (weir_replica_doc (p.r), "", &now, &e));
    assert_true (json_equal (then, now));
    json_decref (then);
    json_decref (now);
    weir_buf_fini (&blob);
    weir_replica_destroy (&whole);
    pad_fini (&p);
    (void) state;
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_map),
        cmocka_unit_test (test_children),
        cmocka_unit_test (test_text),
        cmocka_unit_test (test_lists),
        cmocka_unit_test (test_tree_and_counter),
        cmocka_unit_test (test_refused),
        cmocka_unit_test (test_applied),
        cmocka_unit_test (test_reserved_root),
        cmocka_unit_test (test_revert),
        cmocka_unit_test (test_long),
        cmocka_unit_test (test_revert_hidden),
        cmocka_unit_test (test_shallow),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
