/* Goal: trees converge whatever order moves come in, without cycles; deleted nodes come back when
 * they are moved; siblings keep the order they were put in; nodes have maps of their own; what
 * names unknown nodes, is deep or many, does no harm; states are canonical. */

#include "tests/store/crdt/types_fixture.h"

#include <stdio.h>
#include <time.h>

#define ROOT WEIR_TREE_ROOT

static uint32_t
create (struct types_replica *r, uint32_t parent, uint32_t index, const char *name)
{
    struct weir_error e = { 0 };
    struct weir_container *tree = types_edit (r, &weir_container_tree);
    struct weir_value value = { .type = WEIR_VALUE_TEXT, .bytes = weir_bytes_str (name) };
    uint32_t node = UINT32_MAX;
    assert_status (weir_change_tree_create (r->change, tree, parent, index, &node, &e), WEIR_OK,
                   &e);
    assert_status (weir_change_map_set (r->change, weir_change_tree_meta (r->change, tree, node),
                                        weir_bytes_str ("name"), &value, &e),
                   WEIR_OK, &e);
    return node;
}

static enum weir_status
move (struct types_replica *r, uint32_t node, uint32_t parent, uint32_t index)
{
    struct weir_error e = { 0 };
    struct weir_container *tree = types_edit (r, &weir_container_tree);
    return weir_change_tree_move (r->change, tree, node, parent, index, &e);
}

static enum weir_status delete (struct types_replica *r, uint32_t node) {
    struct weir_error e = { 0 }; struct weir_container *tree = types_edit (r, &weir_container_tree);
    return weir_change_tree_delete (r->change, tree, node, &e);
}

static const struct weir_container *
tree_of (const struct types_replica *r)
{
    return weir_container_child (weir_doc_top (r->doc), weir_bytes_str ("tree"),
                                 &weir_container_tree, false);
}

/* The number that another replica's node has here. */
static uint32_t
same (const struct types_replica *from, uint32_t node, const struct types_replica *to)
{
    struct weir_tree_node found;
    weir_tree_node (tree_of (from), node, &found);
    return weir_tree_find (tree_of (to), &found.id);
}

/* As "a(b c(d))", by the nodes' names. */
static void
names_put (const json_t *nodes, struct weir_buf *out)
{
    size_t i;
    json_t *node;
    json_array_foreach (nodes, i, node)
    {
        const json_t *children = json_object_get (node, "children");
        assert_int_equal (json_integer_value (json_object_get (node, "index")), i);
        weir_buf_printf (
            out, "%s%s", i > 0 ? " " : "",
            json_string_value (json_object_get (json_object_get (node, "meta"), "name")));
        if (json_array_size (children) > 0) {
            weir_buf_printf (out, "(");
            names_put (children, out);
            weir_buf_printf (out, ")");
        }
    }
}

static void
assert_tree (const struct types_replica *r, const char *wanted)
{
    struct weir_error e = { 0 };
    struct weir_buf got = { 0 };
    json_t *json = NULL;
    assert_status (weir_doc_get (r->doc, "/tree", &json, &e), WEIR_OK, &e);
    names_put (json, &got);
    assert_string_equal (weir_buf_str (&got), wanted);
    json_decref (json);
    weir_buf_fini (&got);
}

static void
test_nodes_stay_where_they_are_put (void **state)
{
    (void) state;
    struct types_world world = { .count = 0 };
    struct types_replica r;
    types_begin (&r, &world, 1);
    uint32_t a = create (&r, ROOT, 0, "a");
    uint32_t b = create (&r, ROOT, 1, "b");
    uint32_t c = create (&r, ROOT, 0, "c");
    uint32_t d = create (&r, ROOT, 1, "d");
    assert_tree (&r, "c d a b");
    assert_int_equal (move (&r, d, b, 0), WEIR_OK);
    assert_int_equal (move (&r, c, b, 1), WEIR_OK);
    assert_tree (&r, "a b(d c)");
    assert_int_equal (move (&r, c, b, 0), WEIR_OK);
    assert_tree (&r, "a b(c d)");
    uint64_t atoms = weir_change_atoms (r.change);
    assert_int_equal (move (&r, c, b, 0), WEIR_OK); /* it is there */
    assert_int_equal (weir_change_atoms (r.change), atoms);
    assert_int_equal (move (&r, a, ROOT, 1), WEIR_OK);
    assert_tree (&r, "b(c d) a");
    assert_int_equal (move (&r, a, ROOT, 2), WEIR_OUT_OF_RANGE);
    assert_int_equal (move (&r, a, b, 3), WEIR_OUT_OF_RANGE);
    assert_int_equal (move (&r, b, c, 0), WEIR_CONFLICT);
    assert_int_equal (move (&r, b, b, 0), WEIR_CONFLICT);
    assert_int_equal (move (&r, 9, b, 0), WEIR_NOT_FOUND);
    assert_int_equal (move (&r, b, 9, 0), WEIR_NOT_FOUND);
    assert_int_equal (delete (&r, b), WEIR_OK);
    assert_tree (&r, "a");
    assert_int_equal (delete (&r, b), WEIR_NOT_FOUND);
    assert_int_equal (delete (&r, c), WEIR_NOT_FOUND);
    assert_int_equal (delete (&r, 9), WEIR_NOT_FOUND);
    assert_int_equal (move (&r, a, c, 0), WEIR_NOT_FOUND);
    assert_int_equal (move (&r, c, a, 0), WEIR_OK); /* out of the trash */
    assert_tree (&r, "a(c)");
    assert_int_equal (move (&r, b, ROOT, 0), WEIR_OK);
    assert_tree (&r, "b(d) a(c)");
    types_commit (&r);
    types_assert_strict (r.doc);
    types_reload (&r);
    assert_tree (&r, "b(d) a(c)");
    types_end (&r);
    types_world_end (&world);
}

/* What two replicas do at once; both come out as the later one wins. */
static void
test_concurrent_moves (void **state)
{
    (void) state;
    struct types_world world = { .count = 0 };
    struct types_replica x;
    struct types_replica y;
    types_begin (&x, &world, 1);
    types_begin (&y, &world, 2);
    uint32_t a = create (&x, ROOT, 0, "a");
    uint32_t b = create (&x, ROOT, 1, "b");
    uint32_t c = create (&x, ROOT, 2, "c");
    types_commit (&x);
    types_sync (&x, &y);
    uint32_t a2 = same (&x, a, &y);
    uint32_t b2 = same (&x, b, &y);
    uint32_t c2 = same (&x, c, &y);
    /* A cycle: the later author's move does nothing. */
    assert_int_equal (move (&x, a, b, 0), WEIR_OK);
    types_commit (&x);
    assert_int_equal (move (&y, b2, a2, 0), WEIR_OK);
    types_commit (&y);
    types_sync (&x, &y);
    types_sync (&y, &x);
    assert_tree (&x, "b(a) c");
    assert_docs_equal (x.doc, y.doc);
    /* Deleted here, moved out of there: a child that leaves in time lives. */
    assert_int_equal (delete (&x, b), WEIR_OK);
    types_commit (&x);
    assert_int_equal (move (&y, a2, c2, 0), WEIR_OK);
    types_commit (&y);
    types_sync (&x, &y);
    types_sync (&y, &x);
    assert_tree (&x, "c(a)");
    assert_docs_equal (x.doc, y.doc);
    /* Deleted and moved at once: the greater order key decides. */
    assert_int_equal (move (&x, a, ROOT, 0), WEIR_OK);
    assert_int_equal (move (&x, a, ROOT, 1), WEIR_OK);
    types_commit (&x);
    assert_int_equal (delete (&y, a2), WEIR_OK);
    types_commit (&y);
    types_sync (&x, &y);
    types_sync (&y, &x);
    assert_tree (&x, "c a");
    assert_docs_equal (x.doc, y.doc);
    types_assert_strict (y.doc);
    types_end (&x);
    types_end (&y);
    types_world_end (&world);
}

static void
test_ids_lead_to_nodes (void **state)
{
    (void) state;
    struct types_world world = { .count = 0 };
    struct types_replica r;
    char path[128];
    types_begin (&r, &world, 1);
    (void) create (&r, ROOT, 0, "a");
    uint32_t b = create (&r, ROOT, 1, "b");
    types_commit (&r);
    struct weir_tree_node node;
    weir_tree_node (tree_of (&r), b, &node);
    assert_true (node.is_alive);
    assert_int_equal (node.parent, WEIR_GRAPH_NONE);
    assert_non_null (node.meta);
    assert_int_equal (node.id.offset, 2);
    assert_true (weir_id_equal (&node.id.entry, &world.entries[0].entry.id));
    struct weir_op_id parsed;
    struct weir_op_id_text text = weir_op_id_text (&node.id);
    assert_int_equal (weir_op_id_parse (&parsed, weir_bytes_str (text.s)), WEIR_OK);
    assert_int_equal (weir_op_id_compare (&parsed, &node.id), 0);
    snprintf (path, sizeof path, "/tree/%s", text.s);
    assert_doc (r.doc, path, "{\"name\":\"b\"}");
    snprintf (path, sizeof path, "/tree/%s/name", text.s);
    assert_doc (r.doc, path, "\"b\"");
    static const char *const nothing[] = { "", "0", "x@0", "x", "@1" };
    for (size_t i = 0; i < sizeof nothing / sizeof *nothing; i++) {
        snprintf (path, sizeof path, "/tree/%s", nothing[i]);
        assert_doc (r.doc, path, NULL);
    }
    static const char *const tails[] = { "@", "@02", "@4294967296", "@12345678901", "@-1", "#2" };
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
        snprintf (path, sizeof path, "/tree/%.52s%s", text.s, tails[i]);
        assert_doc (r.doc, path, NULL);
        assert_int_equal (weir_op_id_parse (&parsed, weir_bytes_str (path + 6)),
                          WEIR_INVALID_ARGUMENT);
    }
    assert_int_equal (delete (&r, b), WEIR_OK);
    snprintf (path, sizeof path, "/tree/%s", text.s);
    assert_doc (r.doc, path, NULL);
    types_commit (&r);
    types_end (&r);
    types_world_end (&world);
}

/* Moves of nodes that come into being later, or never, by hand; in both orders. */
static void
test_unknown_nodes (void **state)
{
    (void) state;
    struct types_world world = { .count = 0 };
    struct types_replica x;
    struct types_replica y;
    types_begin (&x, &world, 1);
    types_begin (&y, &world, 2);
    struct weir_id ids[2] = { { .b = { 0, 0, 0, 2 } }, { .b = { 7 } } };
    struct weir_op_ref none = { .row = WEIR_OP_REF_NONE };
    struct weir_op ops[] = {
        { .code = WEIR_TREE_CREATE, .atoms = 1, .target_ref = none, .parent_ref = none },
        /* Entry 2 is made below: its first op creates. */
        { .code = WEIR_TREE_MOVE, .atoms = 1, .target_ref = { 1, 0 }, .parent_ref = { 0, 0 } },
        { .code = WEIR_TREE_MOVE, .atoms = 1, .target_ref = { 2, 9 }, .parent_ref = { 1, 0 } },
        { .code = WEIR_TREE_MOVE, .atoms = 1, .target_ref = { 0, 0 }, .parent_ref = { 2, 4 } },
        { .code = WEIR_TREE_DELETE, .atoms = 1, .target_ref = { 2, 5 }, .parent_ref = none },
        { .code = WEIR_TREE_MOVE, .atoms = 1, .target_ref = { 0, 0 }, .parent_ref = none },
        { .code = WEIR_TREE_MOVE, .atoms = 1, .target_ref = { 2, 6 }, .parent_ref = { 2, 6 } },
    };
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        ops[i].key = weir_bytes_str ("k");
    }
    assert_int_equal (types_craft (&x, &weir_container_tree, ids, 2, ops, 7), WEIR_OK);
    /* One root: the rest is unknown. */
    assert_int_equal (weir_tree_nodes (tree_of (&x)), 6);
    struct weir_numbers roots = { 0 };
    weir_tree_children (tree_of (&x), WEIR_GRAPH_NONE, &roots);
    assert_int_equal (roots.count, 1);
    weir_numbers_fini (&roots);
    types_assert_strict (x.doc);
    assert_int_equal (types_craft (&y, &weir_container_tree, NULL, 0, ops, 1), WEIR_OK);
    types_reload (&x);
    types_sync (&y, &x);
    types_sync (&x, &y);
    assert_docs_equal (x.doc, y.doc);
    uint32_t first = weir_tree_find (tree_of (&x), &(struct weir_op_id){ .entry = ids[0] });
    struct weir_tree_node node;
    weir_tree_node (tree_of (&x), first, &node);
    assert_true (node.is_alive);
    assert_int_not_equal (node.parent, WEIR_GRAPH_NONE);
    assert_int_equal (weir_tree_find (tree_of (&x), &(struct weir_op_id){ .entry = ids[1] }),
                      WEIR_GRAPH_NONE);
    types_assert_strict (x.doc);
    types_end (&x);
    types_end (&y);
    types_world_end (&world);
}

static void
test_hostile_ops (void **state)
{
    (void) state;
    struct types_world world = { .count = 0 };
    struct types_replica r;
    types_begin (&r, &world, 1);
    struct weir_op_ref none = { .row = WEIR_OP_REF_NONE };
    static uint8_t key[WEIR_KEY_BYTES_MAX + 1];
    static const struct {
        struct weir_op op;
        enum weir_status status;
    } rows[] = {
        { { .code = WEIR_TREE_MOVE, .target_ref = { WEIR_OP_REF_NONE, 0 } }, WEIR_BAD_PAYLOAD },
        { { .code = WEIR_TREE_DELETE, .target_ref = { WEIR_OP_REF_NONE, 0 } }, WEIR_BAD_PAYLOAD },
        { { .code = WEIR_TREE_MOVE, .target_ref = { 1, 0 } }, WEIR_BAD_PAYLOAD },
        { { .code = WEIR_TREE_DELETE, .target_ref = { 0, WEIR_ENTRY_OPS_MAX } }, WEIR_BAD_PAYLOAD },
        { { .code = WEIR_TREE_CREATE, .key = { key, sizeof key } }, WEIR_BAD_PAYLOAD },
        { { .code = 3 }, WEIR_NEEDS_UPGRADE },
        { { .code = WEIR_TREE_DELETE, .target_ref = { 0, WEIR_ENTRY_OPS_MAX - 1 } }, WEIR_OK },
        { { .code = WEIR_TREE_CREATE, .key = { key, sizeof key - 1 } }, WEIR_OK },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct weir_op op = rows[i].op;
        op.atoms = 1;
        op.parent_ref = none;
        assert_int_equal (types_craft (&r, &weir_container_tree, NULL, 0, &op, 1), rows[i].status);
    }
    types_reload (&r);
    types_end (&r);
    types_world_end (&world);
}

/* So deep that JSON stops before; numbers know it all. */
static void
test_deep_trees (void **state)
{
    (void) state;
    struct types_world world = { .count = 0 };
    struct types_replica r;
    types_begin (&r, &world, 1);
    struct weir_container *tree = types_edit (&r, &weir_container_tree);
    struct weir_error e = { 0 };
    uint32_t node = ROOT;
    for (int i = 0; i < 20000; i++) {
        assert_int_equal (weir_change_tree_create (r.change, tree, node, 0, &node, &e), WEIR_OK);
    }
    assert_int_equal (move (&r, 0, node, 0), WEIR_CONFLICT);
    types_commit (&r);
    types_reload (&r);
    json_t *json = NULL;
    struct weir_buf text = { 0 };
    assert_int_equal (weir_doc_get (r.doc, "", &json, &e), WEIR_OK);
    weir_json_put (&text, json);
    json_decref (json);
    assert_int_equal (weir_json_parse (&json, weir_buf_bytes (&text), WEIR_JSON_BYTES_MAX, &e),
                      WEIR_OK);
    json_t *level = json_object_get (json, "tree");
    int levels = 0;
    for (; json_array_size (level) == 1; levels++) {
        level = json_object_get (json_array_get (level, 0), "children");
    }
    assert_in_range (levels, 30, 32);
    assert_non_null (strstr (weir_buf_str (&text), "\"omitted\":true"));
    json_decref (json);
    struct weir_tree_node last;
    weir_tree_node (tree_of (&r), node, &last);
    assert_true (last.is_alive);
    weir_buf_fini (&text);
    types_end (&r);
    types_world_end (&world);
}

/* A node's map that is too deep for its place. */
static void
test_deep_maps_of_nodes (void **state)
{
    (void) state;
    struct types_world world = { .count = 0 };
    struct types_replica r;
    struct weir_error e = { 0 };
    types_begin (&r, &world, 1);
    uint32_t node = create (&r, ROOT, 0, "a");
    for (int i = 0; i < 20; i++) {
        node = create (&r, node, 0, "b");
    }
    struct weir_container *tree = types_edit (&r, &weir_container_tree);
    struct weir_container *map = weir_change_tree_meta (r.change, tree, node);
    for (int i = 0; i < 40; i++) {
        assert_status (
            weir_change_child (r.change, map, weir_bytes_str ("m"), &weir_container_map, &map, &e),
            WEIR_OK, &e);
    }
    json_t *json = NULL;
    struct weir_buf text = { 0 };
    assert_int_equal (weir_doc_get (r.doc, "", &json, &e), WEIR_OK);
    weir_json_put (&text, json);
    json_decref (json);
    assert_int_equal (weir_json_parse (&json, weir_buf_bytes (&text), WEIR_JSON_BYTES_MAX, &e),
                      WEIR_OK);
    assert_non_null (strstr (weir_buf_str (&text), "\"omitted\":true"));
    json_decref (json);
    weir_buf_fini (&text);
    types_end (&r);
    types_world_end (&world);
}

static double
now_s (void)
{
    struct timespec t;
    clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double) t.tv_sec + 1e-9 * (double) t.tv_nsec;
}

/* Ten times the nodes cost about ten times as much: in front, behind, in between, moved about,
 * and merged by somebody who had as many of his own. */
static double
many (uint32_t count)
{
    struct types_world world = { .count = 0 };
    struct types_replica x;
    struct types_replica y;
    struct weir_error e = { 0 };
    types_begin (&x, &world, 1);
    types_begin (&y, &world, 2);
    double start = now_s ();
    for (int side = 0; side < 2; side++) {
        struct types_replica *r = side == 0 ? &x : &y;
        for (uint32_t i = 0; i < count;) {
            struct weir_container *tree = types_edit (r, &weir_container_tree);
            for (uint32_t end = i + 5000; i < end && i < count; i++) {
                uint32_t index = i % 3 == 0 ? 0 : i % 3 == 1 ? i : i * 2654435761u % (i + 1);
                uint32_t node = 0;
                assert_int_equal (weir_change_tree_create (r->change, tree, ROOT, index, &node, &e),
                                  WEIR_OK);
                if (i % 10 == 9) {
                    assert_int_equal (
                        weir_change_tree_move (r->change, tree, node / 2, ROOT, i / 3, &e),
                        WEIR_OK);
                }
            }
            types_commit (r);
        }
    }
    types_sync (&x, &y);
    types_sync (&y, &x);
    struct weir_numbers roots = { 0 };
    weir_tree_children (tree_of (&x), WEIR_GRAPH_NONE, &roots);
    assert_int_equal (roots.count, 2 * count);
    double took = now_s () - start;
    weir_numbers_fini (&roots);
    assert_docs_equal (x.doc, y.doc);
    types_end (&x);
    types_end (&y);
    types_world_end (&world);
    return took;
}

static void
test_many_nodes (void **state)
{
    (void) state;
    double few = many (5000);
    double lots = many (50000);
    print_message ("%.3f s for 5,000 nodes, %.3f s for 50,000\n", few, lots);
    assert_true (lots < 40 * few);
}

static void
hear (void *context, const struct weir_notice *notice)
{
    uint32_t *heard = context;
    assert_int_equal (notice->kind, WEIR_NOTICE_NODE);
    assert_in_range (notice->target.offset, 0, 8);
    (*heard)++;
}

/* A late move that makes a later one ineffective changes two nodes. */
static void
test_notices (void **state)
{
    (void) state;
    struct types_world world = { .count = 0 };
    struct types_replica x;
    struct types_replica y;
    uint32_t heard = 0;
    types_begin (&x, &world, 1);
    types_begin (&y, &world, 2);
    struct weir_error e = { 0 };
    struct weir_container *tree = types_edit (&x, &weir_container_tree);
    uint32_t a = 0;
    uint32_t b = 0;
    assert_int_equal (weir_change_tree_create (x.change, tree, ROOT, 0, &a, &e), WEIR_OK);
    assert_int_equal (weir_change_tree_create (x.change, tree, ROOT, 1, &b, &e), WEIR_OK);
    types_commit (&x);
    types_sync (&x, &y);
    weir_doc_listen (y.doc, hear, &heard);
    assert_int_equal (move (&y, same (&x, b, &y), same (&x, a, &y), 0), WEIR_OK);
    types_commit (&y);
    assert_int_equal (heard, 1);
    assert_int_equal (move (&x, a, b, 0), WEIR_OK);
    types_commit (&x);
    types_sync (&x, &y);
    assert_int_equal (heard, 3);
    types_end (&x);
    types_end (&y);
    types_world_end (&world);
}

static void
test_shown_to_people (void **state)
{
    (void) state;
    struct types_world world = { .count = 0 };
    struct types_replica r;
    json_t *json = NULL;
    struct weir_error e = { 0 };
    types_begin (&r, &world, 1);
    struct weir_container *tree = types_edit (&r, &weir_container_tree);
    uint32_t a = 0;
    uint32_t b = 0;
    assert_int_equal (weir_change_tree_create (r.change, tree, ROOT, 0, &a, &e), WEIR_OK);
    assert_int_equal (weir_change_tree_create (r.change, tree, a, 0, &b, &e), WEIR_OK);
    assert_int_equal (delete (&r, b), WEIR_OK);
    types_commit (&r);
    assert_int_equal (weir_doc_payload_json (weir_buf_bytes (&world.entries[0].payload), &json),
                      WEIR_OK);
    struct weir_buf text = { 0 };
    weir_json_put (&text, json_object_get (json, "ops"));
    assert_string_equal (weir_buf_str (&text),
                         "[{\"op\":\"create\",\"path\":\"/tree\"},"
                         "{\"op\":\"create\",\"parent\":\"@0\",\"path\":\"/tree\"},"
                         "{\"op\":\"delete\",\"path\":\"/tree\",\"target\":\"@1\"}]");
    json_decref (json);
    weir_buf_fini (&text);
    types_end (&r);
    types_world_end (&world);
}

/* A child that was made and never written to is in the state all the same. */
static void
test_new_children_are_saved (void **state)
{
    static const struct weir_container_type *const types[] = {
        &weir_container_map,     &weir_container_list, &weir_container_text,
        &weir_container_movable, &weir_container_tree, &weir_container_counter,
    };
    (void) state;
    struct types_world world = { .count = 0 };
    struct types_replica r;
    struct weir_error e = { 0 };
    struct weir_container *child = NULL;
    types_begin (&r, &world, 1);
    struct weir_container *map = types_edit (&r, &weir_container_map);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        assert_status (weir_change_map_make (r.change, map, weir_bytes_str (types[i]->name),
                                             types[i], &child, &e),
                       WEIR_OK, &e);
    }
    types_commit (&r);
    types_reload (&r);
    types_end (&r);
    types_world_end (&world);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_nodes_stay_where_they_are_put),
        cmocka_unit_test (test_concurrent_moves),
        cmocka_unit_test (test_ids_lead_to_nodes),
        cmocka_unit_test (test_unknown_nodes),
        cmocka_unit_test (test_hostile_ops),
        cmocka_unit_test (test_deep_trees),
        cmocka_unit_test (test_deep_maps_of_nodes),
        cmocka_unit_test (test_many_nodes),
        cmocka_unit_test (test_new_children_are_saved),
        cmocka_unit_test (test_notices),
        cmocka_unit_test (test_shown_to_people),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
